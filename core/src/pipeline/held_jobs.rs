//! What the operator asked of held items and what is not done yet, for one shard.
//!
//! A release may wait minutes for a slow next hop, and hundreds may be asked for at once. So what is asked becomes a job:
//! at most [`AT_ONCE_MAX`] of a kind run, the others wait for their turn, and whoever asks for the same thing again while its
//! job is there joins that job instead of making another one.
//! Memory: about 100 octets a job, at most [`JOBS_MAX`] of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::quarantine::ItemId;

/// Jobs of one kind that run at the same time: a deletion does not wait for slow hops. Each may hold a connection to a
/// next hop and a body of 256 KiB.
pub(super) const AT_ONCE_MAX: usize = 16;
/// Jobs that are known at the same time: more than one call of 4 MiB can name.
const JOBS_MAX: usize = 100_000;

/// What is done to held items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    Release,
    /// It was trained as not spam, too.
    ReleaseAsHam,
    Delete,
}

/// How a job ended: whether it is done, and what there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) done: bool,
    pub(super) words: String,
}

impl Ended {
    pub(super) fn done(words: impl Into<String>) -> Self {
        Self { done: true, words: words.into() }
    }

    pub(super) fn not(why: impl Into<String>) -> Self {
        Self { done: false, words: why.into() }
    }
}

/// One thing to do to one item.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) item: ItemId,
    pub(super) doing: Doing,
    ended: RefCell<Option<Ended>>,
}

impl Job {
    /// How it ended; `None` while it runs or waits.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }
}

/// The jobs of a shard.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    known: BTreeMap<(ItemId, Doing), Rc<Job>>,
    releases: Lane,
    deletions: Lane,
}

/// The jobs of one kind.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Rc<Job>>,
    running: usize,
}

impl Lane {
    fn begin(&mut self) -> Option<Rc<Job>> {
        if self.running >= AT_ONCE_MAX {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.running += 1;
        Some(job)
    }
}

impl Jobs {
    /// The job that does this: the one that is there, or a new one that waits for its turn.
    ///
    /// # Errors
    /// Too many are there.
    pub(super) fn join(&mut self, item: ItemId, doing: Doing) -> Result<Rc<Job>, String> {
        if let Some(job) = self.known.get(&(item, doing)) {
            return Ok(Rc::clone(job));
        }
        if self.known.len() >= JOBS_MAX {
            return Err(format!("{JOBS_MAX} items wait for their turn already, ask again later"));
        }
        let job = Rc::new(Job { item, doing, ended: RefCell::default() });
        self.known.insert((item, doing), Rc::clone(&job));
        self.lane(doing).waiting.push_back(Rc::clone(&job));
        Ok(job)
    }

    fn lane(&mut self, doing: Doing) -> &mut Lane {
        match doing {
            Doing::Release | Doing::ReleaseAsHam => &mut self.releases,
            Doing::Delete => &mut self.deletions,
        }
    }

    /// The next job, if one waits and another one may run.
    pub(super) fn begin(&mut self) -> Option<Rc<Job>> {
        self.deletions.begin().or_else(|| self.releases.begin())
    }

    /// Ends a job that [`Jobs::begin`] gave.
    pub(super) fn end(&mut self, job: &Job, ended: Ended) {
        let lane = self.lane(job.doing);
        lane.running = lane.running.saturating_sub(1);
        self.known.remove(&(job.item, job.doing));
        job.ended.replace(Some(ended));
    }

    /// Jobs that run.
    pub(super) fn running(&self) -> usize {
        self.releases.running + self.deletions.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::MailId;

    fn item(number: u128) -> ItemId {
        ItemId { shard: 0, mail: MailId(uuid::Uuid::from_u128(number)), recipient: 0 }
    }

    #[test]
    fn asking_for_the_same_again_joins_the_job_that_is_there_and_only_so_many_run_at_once() {
        let mut jobs = Jobs::default();
        let all: Vec<_> =
            (0..40).map(|n| jobs.join(item(n), Doing::Release).expect("room")).collect();
        let again = jobs.join(item(3), Doing::Release).expect("room");
        assert!(Rc::ptr_eq(&again, &all[3]), "the same item, twice in one call or in two");
        let other = jobs.join(item(3), Doing::Delete).expect("room");
        assert!(!Rc::ptr_eq(&other, &all[3]), "something else is another job");
        assert!(jobs.begin().is_some_and(|job| Rc::ptr_eq(&job, &other)), "waits for no release");
        jobs.end(&other, Ended::done(""));
        let begun: Vec<_> = std::iter::from_fn(|| jobs.begin()).collect();
        assert_eq!((begun.len(), jobs.running()), (AT_ONCE_MAX, AT_ONCE_MAX));
        assert!(Rc::ptr_eq(&begun[3], &all[3]), "in the order of asking");
        jobs.end(&begun[3], Ended::not("hop: 550 no"));
        assert_eq!(again.ended(), Some(Ended::not("hop: 550 no")), "all who joined learn it");
        assert_eq!(all[4].ended(), None);
        assert!(jobs.begin().is_some() && jobs.begin().is_none(), "a place is free, and taken");
        let anew = jobs.join(item(3), Doing::Release).expect("room");
        assert!(!Rc::ptr_eq(&anew, &all[3]), "what has ended may be asked for anew");
    }

    #[test]
    fn more_jobs_than_fit_are_refused() {
        let mut jobs = Jobs::default();
        for number in 0..JOBS_MAX as u128 {
            jobs.join(item(number), Doing::Release).expect("room");
        }
        let why = jobs.join(item(u128::MAX), Doing::Release).expect_err("full");
        assert!(why.contains("100000"), "{why}");
        assert!(jobs.join(item(7), Doing::Release).is_ok(), "joining needs no room");
    }
}
