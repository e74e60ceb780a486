//! Whom a shard turns away when more connections come than it can serve.
//!
//! Work that waits grows without bound once it comes faster than it is done, and then every mail waits for all before
//! it: the rate stays, the answers come after minutes, clients give up and come again. So there is a bound on what is
//! in work at a time, and who comes beyond it hears 421 before anything was spent on him.
//!
//! There are two lanes: clients that have sent good mail today and the operator's own, and strangers. Each has a task queue
//! of the executor (strangers a fifth of the time of the others, as long as both have work) and is judged by itself, so
//! that an attack of strangers makes strangers wait and be turned away, and nobody else.
//!
//! A lane is *busy* when its new tasks wait [`BUSY`] and longer for their turn, on the average of the last few. It is
//! *overloaded* when it has been busy for [`STANDING`] on end while more than `sessions_working_max` of its sessions were
//! working, which a burst does not do. From then on only so many sessions may work as it ends within
//! `overload_delay_ms`. While the shard is quick that bound grows, by half in each [`STEP`] if it has
//! nothing to do: sessions that wait for clients far away cost nothing. It is what it was as soon as tasks wait again,
//! or too many mails for the disk or for a connection to their hop: a shard that is idle because of those has no time.
//! It is over when nobody had to be turned away for a second, or when the bound has grown so far that it says nothing.
//!
//! Sessions under way are never cut. Pure: time comes in.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::clock::MonoMillis;
use crate::config;

/// New tasks that wait so long for their turn found the shard busy.
const BUSY: Duration = Duration::from_millis(1);
/// Waits of this and less on the average: the shard has time.
const IDLE: Duration = Duration::from_micros(250);
/// The average of so many waits: work comes in waves, and between two of them somebody is quick.
const WAITS: u64 = 8;
/// Busy for so long on end is no burst.
const STANDING: Duration = Duration::from_millis(100);
/// So long without standing business, and the overload is over.
const CALM: Duration = Duration::from_secs(1);
/// What a task's wait said is not believed for longer.
const FRESH: Duration = Duration::from_millis(100);
/// A probe that has not come back by then is none.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// Sessions that are let in at a time, however slow the shard seems.
const WORKING_MIN: u64 = 32;
/// While the shard is quick again more are let in step by step: what a session costs shows some round trips after it is
/// let in. A door that was opened at once stood open for 100 ms, a thousand sessions long, every second.
const STEP: Duration = Duration::from_millis(50);
/// In percent of the bound; by as much the overload is over.
const GROWN_MAX: u64 = 6_400;
/// How fast the shard ends sessions is measured over so long.
const MEASURED: Duration = Duration::from_millis(250);
/// A session from whose client nothing came for one to two of these periods is not working.
const PERIOD_MILLIS: u64 = 512;

/// What is known of a client that connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The operator's own, or it sent good mail within the last day.
    Known,
    /// Everybody else.
    Stranger,
}

/// The state of one shard. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Overload {
    known: Rc<Lane>,
    strangers: Rc<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    working: RefCell<Working>,
    pace: RefCell<Pace>,
    /// How long tasks waited, on average: microseconds.
    wait: Cell<u64>,
    /// When a task last said how long it waited.
    heard: Cell<MonoMillis>,
    /// Since when every task has waited.
    busy_since: Cell<Option<MonoMillis>>,
    /// Busy for long enough, last at.
    stood: Cell<MonoMillis>,
    is_over: Cell<bool>,
    /// By how much the bound has grown while the shard was quick, in percent, and when it last did.
    grown: Cell<u64>,
    grown_at: Cell<MonoMillis>,
    /// Since when a probe waits for its turn.
    probing: Cell<Option<MonoMillis>>,
}

/// Sessions by the period in which their client was last heard of: this one and the one before.
#[derive(Debug, Default)]
struct Working {
    period: u64,
    now: u64,
    before: u64,
}

impl Working {
    fn turn(&mut self, now: MonoMillis) {
        let period = now.0 / PERIOD_MILLIS;
        if period > self.period {
            let is_next = period == self.period + 1;
            self.before = if is_next { self.now } else { 0 };
            self.now = 0;
            self.period = period;
        }
    }

    fn place(&mut self, period: u64) -> Option<&mut u64> {
        match self.period.checked_sub(period) {
            Some(0) => Some(&mut self.now),
            Some(1) => Some(&mut self.before),
            _ => None,
        }
    }

    fn count(&self) -> u64 {
        self.now + self.before
    }
}

/// How many sessions of a lane end in a second.
#[derive(Debug, Default)]
struct Pace {
    began: MonoMillis,
    ended: u64,
    per_second: u64,
}

impl Overload {
    fn lane(&self, whose: Standing) -> &Rc<Lane> {
        match whose {
            Standing::Known => &self.known,
            Standing::Stranger => &self.strangers,
        }
    }

    /// A session began; it counts as working until it is dropped or its client falls silent.
    pub(super) fn session(&self, whose: Standing, now: MonoMillis) -> Session {
        let lane = Rc::clone(self.lane(whose));
        let mut working = lane.working.borrow_mut();
        working.turn(now);
        let period = working.period;
        if let Some(count) = working.place(period) {
            *count += 1;
        }
        drop(working);
        Session { lane, period: Cell::new(period), has_answered: Cell::new(false) }
    }

    /// Whether somebody who connects now is turned away. `held_up`: mails that wait for the disk or for a connection
    /// to their hop.
    pub(super) fn refuses(
        &self,
        whose: Standing,
        held_up: u64,
        limits: &config::Admission,
        now: MonoMillis,
    ) -> bool {
        self.lane(whose).refuses(held_up, limits, now)
    }

    /// Whether connections are being turned away.
    pub(super) fn is_over(&self) -> bool {
        self.known.is_over.get() || self.strangers.is_over.get()
    }

    /// True for the one who shall find out how long a task of a lane waits, as no session begins that would: he says it by
    /// [`Self::probed`].
    pub(super) fn shall_probe(&self, whose: Standing, now: MonoMillis) -> bool {
        let lane = self.lane(whose);
        let waits = lane.probing.get().is_some_and(|since| now.since(since) < PROBE_MAX);
        if !waits {
            lane.probing.set(Some(now));
        }
        !waits
    }

    /// The end of a probe.
    pub(super) fn probed(&self, whose: Standing, waited: Duration, now: MonoMillis) {
        let lane = self.lane(whose);
        lane.probing.set(None);
        lane.waited(waited, now);
    }
}

impl Lane {
    fn refuses(&self, held_up: u64, limits: &config::Admission, now: MonoMillis) -> bool {
        if let Some(since) = self.probing.get()
            && now.since(since) > FRESH / 2
        {
            // It has waited for so long at least. Or a lane that stands still would be believed to have time.
            self.waited(now.since(since), now);
        }
        let working = self.working(now);
        let is_busy = self.busy_since.get().is_some() && now.since(self.heard.get()) <= FRESH;
        let is_standing = is_busy && now.since(self.stood.get()) <= FRESH && self.stood.get().0 > 0;
        let most = u64::from(limits.sessions_working_max);
        let paced = self.pace.borrow().per_second.saturating_mul(limits.overload_delay_ms) / 1000;
        let limit = paced.max(WORKING_MIN);
        // A disk may need longer than the delay for anything: it gets what it can write at once.
        let held_up_limit = limit.max(most / 4);
        let is_held_up = held_up > held_up_limit / 2;
        if is_held_up {
            self.shrink(now);
        }
        if self.is_over.get() {
            self.grow(now);
            let is_recent = now.since(self.stood.get()) <= CALM;
            self.is_over.set(is_recent && self.grown.get() < GROWN_MAX);
        } else if most > 0 && is_standing && working > most {
            self.is_over.set(true);
            self.shrink(now);
        }
        if !self.is_over.get() || now.since(self.heard.get()) > FRESH {
            return false;
        }
        let limit = if is_held_up { held_up_limit } else { limit };
        let is_refused = working >= limit.saturating_mul(self.grown.get()) / 100;
        if is_refused {
            // As long as more come than may it is not over, or it would be by its own success.
            self.stood.set(now);
        }
        is_refused
    }

    /// A task that was ready `waited` ago has its turn.
    fn waited(&self, waited: Duration, now: MonoMillis) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX).min(1_000_000);
        // What was said long ago says nothing now.
        let before = if now.since(self.heard.get()) > FRESH { micros } else { self.wait.get() };
        let wait = (before * (WAITS - 1) + micros) / WAITS;
        self.wait.set(wait);
        if u128::from(wait) < BUSY.as_micros() {
            self.busy_since.set(None);
        } else {
            let since = self.busy_since.get().unwrap_or(now);
            self.busy_since.set(Some(since));
            if now.since(since) >= STANDING {
                self.stood.set(now);
            }
            self.shrink(now);
        }
        self.heard.set(now);
    }

    /// The bound as it is.
    fn shrink(&self, now: MonoMillis) {
        self.grown.set(100);
        self.grown_at.set(now);
    }

    /// The bound of a shard that is quick grows: fast if it has nothing to do.
    fn grow(&self, now: MonoMillis) {
        if now.since(self.grown_at.get()) < STEP {
            return;
        }
        let eighths = if u128::from(self.wait.get()) < IDLE.as_micros() { 12 } else { 9 };
        self.grown.set((self.grown.get() * eighths / 8).min(GROWN_MAX));
        self.grown_at.set(now);
    }

    fn working(&self, now: MonoMillis) -> u64 {
        let mut working = self.working.borrow_mut();
        working.turn(now);
        working.count()
    }
}

impl Pace {
    fn ended_one(&mut self, now: MonoMillis) {
        self.ended += 1;
        let span = now.since(self.began);
        if span >= MEASURED {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let measured = self.ended.saturating_mul(1000) / millis.max(1);
            // A moment in which little ended must not make the next ones smaller still.
            self.per_second = measured.max(self.per_second - self.per_second / 16);
            (self.began, self.ended) = (now, 0);
        }
    }
}

/// A session that works while its client says something.
#[derive(Debug)]
pub(super) struct Session {
    lane: Rc<Lane>,
    /// When its client was last heard of.
    period: Cell<u64>,
    has_answered: Cell<bool>,
}

impl Session {
    /// It has its first turn.
    pub(super) fn first_turn(&self, accepted: MonoMillis, now: MonoMillis) {
        self.lane.waited(now.since(accepted), now);
    }

    /// A message of it was answered.
    pub(super) fn answered(&self, now: MonoMillis) {
        self.has_answered.set(true);
        self.lane.pace.borrow_mut().ended_one(now);
    }

    /// Something came from its client.
    pub(super) fn heard(&self, now: MonoMillis) {
        let mut working = self.lane.working.borrow_mut();
        working.turn(now);
        let period = working.period;
        let last = self.period.replace(period);
        if last == period {
            return;
        }
        if let Some(count) = working.place(last) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = working.place(period) {
            *count += 1;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.has_answered.get() {
            // Who came for nothing was work, too.
            self.lane.pace.borrow_mut().ended += 1;
        }
        let mut working = self.lane.working.borrow_mut();
        if let Some(count) = working.place(self.period.get()) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(8);

    fn at(millis: u64) -> MonoMillis {
        MonoMillis(1_000_000 + millis)
    }

    fn limits() -> config::Admission {
        config::Admission {
            sessions_working_max: 100,
            overload_delay_ms: 50,
            ..config::Admission::default()
        }
    }

    /// A shard that ends `per_second` sessions, with as many that work, busy from `at(0)` to `at(1000)`.
    fn busy(per_second: u64, known: usize, strangers: usize) -> (Overload, Vec<Session>) {
        let overload = Overload::default();
        let sessions = |whose, count| (0..count).map(move |_| whose);
        let held = sessions(Standing::Known, known)
            .chain(sessions(Standing::Stranger, strangers))
            .map(|whose| overload.session(whose, at(0)))
            .collect::<Vec<_>>();
        for millis in 0..1000 {
            for lane in [&overload.known, &overload.strangers] {
                (0..per_second / 1000).for_each(|_| lane.pace.borrow_mut().ended_one(at(millis)));
                if millis % 10 == 0 {
                    lane.waited(LONG, at(millis));
                }
            }
            if millis % 10 == 0 {
                held.iter().for_each(|session| session.heard(at(millis)));
            }
        }
        (overload, held)
    }

    /// Enough of them for the average.
    fn all_wait(overload: &Overload, waited: Duration, millis: u64) {
        (0..32).for_each(|_| overload.known.waited(waited, at(millis)));
    }

    #[test]
    fn a_shard_that_is_busy_with_few_sessions_takes_more() {
        let (overload, _held) = busy(1000, 100, 0);
        assert!(!overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        assert!(!overload.is_over());
    }

    #[test]
    fn a_burst_is_no_overload() {
        let overload = Overload::default();
        let _held: Vec<_> = (0..500).map(|_| overload.session(Standing::Known, at(0))).collect();
        overload.known.waited(LONG, at(0));
        overload.known.waited(LONG, at(90));
        assert!(!overload.refuses(Standing::Known, 0, &limits(), at(90)));
    }

    #[test]
    fn beyond_the_bound_only_so_many_work_as_end_in_time() {
        // 2,000 a second within 50 ms are 100.
        let (overload, mut held) = busy(2000, 101, 0);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        held.truncate(100);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)), "it goes on with fewer");
        held.truncate(99);
        assert!(!overload.refuses(Standing::Known, 0, &limits(), at(1000)));
    }

    #[test]
    fn an_attack_of_strangers_turns_strangers_away_and_nobody_else() {
        let (overload, _held) = busy(2000, 99, 4000);
        assert!(overload.refuses(Standing::Stranger, 0, &limits(), at(1000)));
        assert!(!overload.refuses(Standing::Known, 0, &limits(), at(1000)), "99 of 100");
        assert!(overload.is_over());
        let (overload, _held) = busy(2000, 101, 50);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        assert!(!overload.refuses(Standing::Stranger, 0, &limits(), at(1000)), "50 of 100");
    }

    /// Quick for so long, and somebody comes each millisecond; when the first of them is let in.
    fn let_in_after(overload: &Overload, from: u64, until: u64) -> Option<u64> {
        (from..until).find(|millis| {
            all_wait(overload, Duration::ZERO, *millis);
            !overload.refuses(Standing::Known, 0, &limits(), at(*millis))
        })
    }

    #[test]
    fn who_is_quick_again_lets_in_more_step_by_step_and_stops_when_he_is_busy() {
        let (overload, _held) = busy(2000, 150, 0);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        overload.known.waited(Duration::ZERO, at(1000));
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)), "one that was quick");
        let first = let_in_after(&overload, 1001, 2000);
        assert!(first.is_some_and(|first| (1090..1200).contains(&first)), "225 of 100: {first:?}");
        all_wait(&overload, LONG, 1201);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1201)), "100 again");
        assert!(
            !overload.refuses(Standing::Known, 0, &limits(), at(1302)),
            "what was said is stale"
        );
    }

    #[test]
    fn an_overload_does_not_end_by_its_own_success() {
        // Who was turned away made the shard quick, after a second all were let in, 3,000 in 300 ms: each second anew.
        let (overload, held) = busy(2000, 150, 0);
        for millis in (1000..5000).step_by(10) {
            let waits = if millis % 20 == 0 { LONG } else { Duration::ZERO };
            all_wait(&overload, waits, millis);
            held.iter().for_each(|session| session.heard(at(millis)));
            assert!(overload.refuses(Standing::Known, 0, &limits(), at(millis)), "{millis}");
        }
    }

    #[test]
    fn it_is_over_after_a_second_without_standing_business() {
        let (overload, _held) = busy(2000, 150, 0);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        for millis in (1010..2100).step_by(20) {
            all_wait(&overload, Duration::ZERO, millis);
            all_wait(&overload, LONG, millis + 10);
        }
        assert!(!overload.refuses(Standing::Known, 0, &limits(), at(2100)));
        assert!(!overload.is_over());
    }

    #[test]
    fn sessions_that_wait_for_clients_far_away_are_no_overload() {
        let (overload, _held) = busy(2000, 400, 0);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        let first = let_in_after(&overload, 1001, 2000);
        assert!(first.is_some_and(|first| first < 1300), "{first:?}: four times as many as may be");
        let over = (1300..3000).find(|millis| {
            let let_in = let_in_after(&overload, *millis, millis + 1);
            assert!(let_in.is_some(), "idle all the time: {millis}");
            !overload.is_over()
        });
        assert!(over.is_some_and(|over| over < 1800), "{over:?}");
    }

    #[test]
    fn who_has_time_because_mails_wait_for_the_disk_has_none() {
        // The shard was idle while a thousand mails waited for a flush, and so let in a thousand more.
        let (overload, mut held) = busy(2000, 150, 0);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        let now = let_in_after(&overload, 1001, 2000).unwrap();
        let refuses = |held_up| overload.refuses(Standing::Known, held_up, &limits(), at(now));
        assert!(!refuses(50), "as many as end in half of the time");
        assert!(refuses(51));
        held.truncate(99);
        assert!(!refuses(51), "the bound is the same");
    }

    #[test]
    fn an_overload_lasts_while_mails_wait_for_the_disk() {
        let (overload, held) = busy(2000, 150, 0);
        assert!(overload.refuses(Standing::Known, 0, &limits(), at(1000)));
        for millis in (1001..4000).step_by(20) {
            all_wait(&overload, Duration::ZERO, millis);
            held.iter().for_each(|session| session.heard(at(millis)));
            assert!(overload.refuses(Standing::Known, 100, &limits(), at(millis)));
        }
        assert!(let_in_after(&overload, 4001, 4200).is_some());
    }

    #[test]
    fn mails_that_wait_for_the_disk_alone_are_no_overload() {
        let overload = Overload::default();
        let _held: Vec<_> = (0..500).map(|_| overload.session(Standing::Known, at(0))).collect();
        for millis in 0..500 {
            overload.known.waited(Duration::ZERO, at(millis));
            assert!(!overload.refuses(Standing::Known, 400, &limits(), at(millis)));
        }
    }

    #[test]
    fn a_slow_disk_gets_what_it_can_write_at_once() {
        let most = config::Admission { sessions_working_max: 400, ..limits() };
        let (overload, mut held) = busy(1000, 401, 0);
        assert!(overload.refuses(Standing::Known, 0, &most, at(1000)), "401 of 400");
        held.truncate(99);
        assert!(overload.refuses(Standing::Known, 0, &most, at(1000)), "99 of 50");
        assert!(!overload.refuses(Standing::Known, 51, &most, at(1000)), "99 of 100");
    }

    #[test]
    fn a_silent_session_does_not_work() {
        let overload = Overload::default();
        let held: Vec<_> = (0..10).map(|_| overload.session(Standing::Known, at(0))).collect();
        assert_eq!(overload.known.working(at(0)), 10);
        held.iter().take(3).for_each(|session| session.heard(at(700)));
        assert_eq!(overload.known.working(at(PERIOD_MILLIS * 2)), 3);
        drop(held);
        assert_eq!(overload.known.working(at(PERIOD_MILLIS * 2)), 0, "each was counted once");
    }

    #[test]
    fn a_bound_of_zero_is_none() {
        let (overload, _held) = busy(2000, 1000, 1000);
        let limits = config::Admission { sessions_working_max: 0, ..limits() };
        assert!(!overload.refuses(Standing::Stranger, 0, &limits, at(1000)));
    }

    #[test]
    fn one_probes_at_a_time() {
        let overload = Overload::default();
        assert!(overload.shall_probe(Standing::Known, at(0)));
        assert!(!overload.shall_probe(Standing::Known, at(9_999)));
        assert!(overload.shall_probe(Standing::Stranger, at(0)), "each lane has its own");
        assert!(overload.shall_probe(Standing::Known, at(10_000)), "that one is lost");
        overload.probed(Standing::Known, LONG, at(10_001));
        assert!(overload.shall_probe(Standing::Known, at(10_001)));
    }

    #[test]
    fn a_lane_that_stands_still_has_no_time() {
        // Strangers' tasks had no turn for more than 100 ms, nothing was heard of them, and the door stood open.
        let (overload, held) = busy(2000, 0, 400);
        let refuses = |millis| {
            held.iter().for_each(|session| session.heard(at(millis)));
            overload.refuses(Standing::Stranger, 0, &limits(), at(millis))
        };
        assert!(refuses(1000));
        assert!(overload.shall_probe(Standing::Stranger, at(1000)));
        assert!((1001..1600).step_by(5).all(refuses));
        overload.probed(Standing::Stranger, LONG, at(1600));
        assert!(!refuses(1800), "nobody probes, nothing was heard");
    }
}
