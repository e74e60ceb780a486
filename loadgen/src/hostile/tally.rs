//! What the attackers did, counted by profile.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::profile::Profile;
use crate::report::hostile::{AttackSecond, ProfileReport};
use crate::send::{Code, histogram, percentiles};

/// Seconds that are kept: a day. No attack is longer.
pub(super) const SECONDS_MAX: usize = 24 * 3600;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The server closed it.
    Server,
    /// The server reset it.
    ServerReset,
    /// The attacker was through.
    Own,
    /// The attack was over.
    Over,
}

/// One profile.
pub(super) struct Counts {
    pub(super) sessions_max: usize,
    /// Connections that are begun or stand.
    pub(super) in_use: usize,
    open: u64,
    report: ProfileReport,
    replies: BTreeMap<Code, u64>,
    /// Microseconds.
    closed_after: Histogram<u64>,
}

impl Counts {
    fn new(profile: Profile, sessions_max: usize) -> Self {
        let name = profile.name().to_owned();
        Self {
            sessions_max,
            in_use: 0,
            open: 0,
            report: ProfileReport { name, sessions_max, ..ProfileReport::default() },
            replies: BTreeMap::new(),
            closed_after: histogram(2),
        }
    }

    pub(super) fn failed_here(&mut self) {
        self.report.failed_here += 1;
    }

    pub(super) fn not_connected(&mut self) {
        self.report.not_connected += 1;
    }

    pub(super) fn replied(&mut self, code: Code) {
        *self.replies.entry(code).or_default() += 1;
    }

    pub(super) fn turned_away(&mut self) {
        self.report.turned_away += 1;
    }

    pub(super) fn sent(&mut self, octets: usize) {
        self.report.octets_sent += octets as u64;
    }

    pub(super) fn received(&mut self, octets: usize) {
        self.report.octets_received += octets as u64;
    }

    fn into_report(mut self) -> ProfileReport {
        let named = self.replies.into_iter().map(|(code, count)| (code.to_string(), count));
        self.report.replies = named.collect();
        if !self.closed_after.is_empty() {
            self.report.closed_after_ms = percentiles(&self.closed_after);
        }
        self.report
    }
}

/// All profiles, and the seconds.
pub(super) struct Tally {
    counts: Vec<Counts>,
    seconds: Vec<AttackSecond>,
    current: AttackSecond,
}

impl Tally {
    pub(super) fn new(sessions: [usize; Profile::ALL.len()]) -> Self {
        let counts = Profile::ALL.into_iter().zip(sessions);
        let counts = counts.map(|(profile, sessions_max)| Counts::new(profile, sessions_max));
        Self { counts: counts.collect(), seconds: Vec::new(), current: AttackSecond::default() }
    }

    pub(super) fn of(&mut self, profile: Profile) -> &mut Counts {
        let counts = self.counts.get_mut(profile.index());
        counts.unwrap_or_else(|| unreachable!("counts for each profile"))
    }

    pub(super) fn has_room(&self, profile: Profile) -> bool {
        let counts = self.counts.get(profile.index());
        counts.is_some_and(|counts| counts.in_use < counts.sessions_max)
    }

    pub(super) fn opened(&mut self, profile: Profile) {
        self.current.opened += 1;
        self.current.open += 1;
        let counts = self.of(profile);
        counts.open += 1;
        counts.report.opened += 1;
        counts.report.open_most = counts.report.open_most.max(counts.open);
    }

    /// A connection that stood for `age` has ended.
    pub(super) fn ended(&mut self, profile: Profile, how: Ended, age: Duration) {
        self.current.open = self.current.open.saturating_sub(1);
        let is_server = matches!(how, Ended::Server | Ended::ServerReset);
        self.current.server_closed += u64::from(is_server);
        let counts = self.of(profile);
        counts.open = counts.open.saturating_sub(1);
        match how {
            Ended::Server | Ended::ServerReset => {
                counts.report.server_closed += 1;
                counts.report.server_reset += u64::from(how == Ended::ServerReset);
                let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
                // Beyond what a histogram holds is beyond every attack.
                let _ = counts.closed_after.record(micros);
            }
            Ended::Own => counts.report.own_closed += 1,
            Ended::Over => counts.report.open_at_end += 1,
        }
    }

    /// Ends the seconds before number `index`.
    #[expect(clippy::cast_precision_loss, reason = "a day of seconds")]
    pub(super) fn roll(&mut self, index: usize) {
        while self.seconds.len() < index.min(SECONDS_MAX) {
            let open = self.current.open;
            let at = self.seconds.len() as f64;
            let next = AttackSecond { open, ..AttackSecond::default() };
            let second = std::mem::replace(&mut self.current, next);
            self.seconds.push(AttackSecond { at, ..second });
        }
    }

    pub(super) fn into_reports(self) -> (Vec<ProfileReport>, Vec<AttackSecond>) {
        let taken = self.counts.into_iter().filter(|counts| counts.sessions_max > 0);
        (taken.map(Counts::into_report).collect(), self.seconds)
    }
}
