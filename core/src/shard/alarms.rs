//! The texts of alarms: what is wrong, from which value on it is an alarm, and what helps.
//!
//! They are read in `sekisho status` at night by somebody who did not build this box; one reading has
//! to do. Pure: figures and time come in, a text comes out while the alarm is raised.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::clock::UnixMillis;
use crate::engines::{Figures, State};

/// Days before its end from which a certificate raises an alarm.
const CERTIFICATE_DAYS: u64 = 14;
/// Age of the oldest waiting mail from which the queue raises an alarm.
const QUEUE_AGE_SECONDS: u64 = 4 * 3600;
/// Age of the generation from which signatures count as stale.
const SIGNATURE_DAYS: u64 = 7;

const DAY_MILLIS: u64 = 86_400_000;

/// Without tables nobody can say whom mail is for.
pub(super) const NO_GENERATION: &str =
    "no generation is in force, all mail gets 451; `sekisho tables build` makes one";

/// `budgets`: what each of them says.
pub(super) fn disk(budgets: &[String]) -> Option<String> {
    (!budgets.is_empty()).then(|| {
        format!(
            "{}; at the reserve new mail gets 452: make room on the disk, delete held mail, or raise \
             the limit in [storage]",
            budgets.join("; ")
        )
    })
}

pub(super) fn queue_age(seconds: u64) -> Option<String> {
    (seconds > QUEUE_AGE_SECONDS).then(|| {
        format!(
            "the oldest mail waits for {} h {} min, an alarm from {} h on; `sekisho queue why` says \
             for what",
            seconds / 3600,
            seconds / 60 % 60,
            QUEUE_AGE_SECONDS / 3600
        )
    })
}

/// `file` is asked only while the alarm is raised.
pub(super) fn certificate(
    end: UnixMillis,
    now: UnixMillis,
    file: impl Fn() -> String,
) -> Option<String> {
    let days = end.0.saturating_sub(now.0) / DAY_MILLIS;
    let what = if end <= now {
        "has ended".to_owned()
    } else if days < CERTIFICATE_DAYS {
        format!("ends in {days} days, an alarm below {CERTIFICATE_DAYS}")
    } else {
        return None;
    };
    Some(format!("the certificate {} {what}; replace it, then `sekisho config reload`", file()))
}

pub(super) fn stale(built: UnixMillis, now: UnixMillis) -> Option<String> {
    let days = now.0.saturating_sub(built.0) / DAY_MILLIS;
    (days >= SIGNATURE_DAYS).then(|| {
        format!(
            "the rules and signatures in force were built {days} days ago, an alarm from \
             {SIGNATURE_DAYS} on; bring their sources up to date, then `sekisho tables build`"
        )
    })
}

pub(super) fn dead_worker(deaths: u64) -> String {
    let times = if deaths == 1 { "once".to_owned() } else { format!("{deaths} times") };
    format!(
        "an analysis worker died {times} since the start, lately within the hour; the mail was tried \
         again, and held if it killed twice: `run/engine.log` says more"
    )
}

/// Scanners that are left alone because they failed again and again.
pub(super) fn scanner(all: &[Figures]) -> Option<String> {
    let resting = all.iter().filter(|one| one.state == State::Resting);
    let names: Vec<String> = resting.map(|one| format!("{} ({})", one.name, one.address)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "no answer from {}; mails get what `on_error` of that [[scanner]] says, 451 by default: start it again, or \
             take its table out and `sekisho config reload`; `run/engine.log` says why",
            names.join(", ")
        )
    })
}

pub(super) fn overload(shed: u64) -> String {
    format!(
        "more came than this box can do: {shed} connections were turned away with 421 since the start, lately within \
         the hour, and their senders try again; strangers go first, so `[admission]` helps against few that send \
         much, and more shards or a second box against many"
    )
}

pub(super) fn lost_rows(rows: u64) -> Option<String> {
    (rows > 0).then(|| {
        format!(
            "{rows} rows of the mail log were lost since the start, because they could not be \
             written; `run/engine.log` says why"
        )
    })
}

/// The newest generation that was offered and refused. It is an alarm until one at least as new is in
/// force: an older one, which a restart falls back to, does not make it good.
#[derive(Debug, Default)]
pub(super) struct Refused(ArcSwapOption<(u64, String)>);

impl Refused {
    /// Generation `number` was refused; an older one that is refused after it changes nothing.
    pub(super) fn refuse(&self, number: u64, why: String) {
        if self.0.load().as_ref().is_none_or(|refused| refused.0 <= number) {
            self.0.store(Some(Arc::new((number, why))));
        }
    }

    /// Generation `number` is in force.
    pub(super) fn adopted(&self, number: u64) {
        if self.0.load().as_ref().is_some_and(|refused| refused.0 <= number) {
            self.0.store(None);
        }
    }

    /// Whether generation `number` or a newer one was refused.
    pub(super) fn is_refused(&self, number: u64) -> bool {
        self.0.load().as_ref().is_some_and(|refused| refused.0 >= number)
    }

    /// `in_force`: the generation that stays.
    pub(super) fn alarm(&self, in_force: u64) -> Option<String> {
        self.0.load().as_ref().map(|refused| {
            let (number, why) = &**refused;
            format!(
                "generation {number} was refused, {in_force} stays in force: {why}; `sekisho tables \
                 build` makes a new one"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn days(count: u64) -> u64 {
        count * DAY_MILLIS
    }

    #[test]
    fn every_alarm_says_what_is_wrong_from_when_on_and_what_helps() {
        let file = || "secrets/certificate.pem".to_owned();
        let later = |count| UnixMillis(NOW.0 + days(count));
        for (text, says) in [
            (queue_age(15_060), "4 h 11 min, an alarm from 4 h on; `sekisho queue why`"),
            (certificate(later(13), NOW, file), "secrets/certificate.pem ends in 13 days"),
            (certificate(NOW, NOW, file), "has ended; replace it, then `sekisho config reload`"),
            (stale(UnixMillis(NOW.0 - days(7)), NOW), "7 days ago"),
            (disk(&["spool: full".to_owned()]), "spool: full; at the reserve new mail gets 452"),
            (Some(dead_worker(1)), "died once"),
            (Some(overload(7)), "7 connections were turned away with 421"),
            (lost_rows(3), "3 rows"),
        ] {
            let text = text.unwrap();
            assert!(text.contains(says), "{says} in: {text}");
        }
        assert_eq!(queue_age(14_400), None);
        assert_eq!(certificate(later(14), NOW, file), None);
        assert_eq!(stale(UnixMillis(NOW.0 - days(7) + 1), NOW), None);
        assert_eq!((disk(&[]), lost_rows(0)), (None, None));
    }

    #[test]
    fn a_refusal_stays_an_alarm_until_one_as_new_is_in_force() {
        // After a restart the engine fell back to the generation before the damaged one, took that for a
        // success, and `status` had no alarm: changes went into a generation that nobody used.
        let refused = Refused::default();
        assert_eq!(refused.alarm(1), None);
        refused.refuse(2, "patterns.table: BLAKE3".to_owned());
        refused.adopted(1);
        assert!(refused.is_refused(2) && refused.is_refused(1) && !refused.is_refused(3));
        let text = refused.alarm(1).unwrap();
        for says in ["generation 2 was refused", "1 stays", "patterns.table: BLAKE3"] {
            assert!(text.contains(says), "{says} in: {text}");
        }
        refused.refuse(1, "older".to_owned());
        assert!(refused.alarm(0).unwrap().contains("generation 2"));
        refused.adopted(3);
        assert_eq!(refused.alarm(3), None);
    }
}
