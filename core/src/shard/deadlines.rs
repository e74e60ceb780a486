//! Deadlines of all sessions of a shard on one coarse clock: one timer for all of them.
//!
//! SMTP's time-outs are minutes, so a second of slack costs nothing, while a timer for each read
//! would cost an insertion and a removal in the reactor for each packet. Once a second `sweep` looks
//! at every entry: 50,000 sessions are 50,000 comparisons, well under a millisecond.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::clock::MonoMillis;

/// The deadline passed before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline passed")]
pub struct Elapsed;

#[derive(Debug)]
struct Entry {
    deadline: MonoMillis,
    waker: Option<Waker>,
    passed: bool,
    kickable: bool,
}

/// All deadlines of a shard. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    inner: Rc<RefCell<Slab>>,
}

#[derive(Debug, Default)]
struct Slab {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

/// A place in the slab, given back when dropped (also when the waiting future is dropped).
struct Place {
    deadlines: Deadlines,
    index: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slab = self.deadlines.inner.borrow_mut();
        if let Some(entry) = slab.entries.get_mut(self.index) {
            *entry = None;
        }
        slab.free.push(self.index);
    }
}

impl Deadlines {
    /// Runs `work` until `deadline`.
    ///
    /// # Errors
    /// [`Elapsed`], up to a second late; `work` is dropped.
    pub async fn run<T>(
        &self,
        deadline: MonoMillis,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        self.wait(deadline, false, work).await
    }

    /// As [`Self::run`], and [`Self::kick`] ends it early: for waits for the peer's next command.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub async fn run_kickable<T>(
        &self,
        deadline: MonoMillis,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        self.wait(deadline, true, work).await
    }

    async fn wait<T>(
        &self,
        deadline: MonoMillis,
        kickable: bool,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        let mut place = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            // Only what really waits takes a place.
            let place = place.get_or_insert_with(|| self.place(deadline, kickable));
            let mut slab = self.inner.borrow_mut();
            match slab.entries.get_mut(place.index).and_then(Option::as_mut) {
                Some(entry) if !entry.passed => {
                    if !entry.waker.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
                        entry.waker = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
                _ => Poll::Ready(Err(Elapsed)),
            }
        })
        .await
    }

    /// Wakes everything whose deadline has passed. Called once a second by the shard.
    pub fn sweep(&self, now: MonoMillis) {
        self.wake(|entry| entry.deadline <= now);
    }

    /// Ends every wait that is kickable: the shard drains.
    pub fn kick(&self) {
        self.wake(|entry| entry.kickable);
    }

    fn wake(&self, which: impl Fn(&Entry) -> bool) {
        let mut wake = Vec::new();
        for entry in self.inner.borrow_mut().entries.iter_mut().flatten() {
            if !entry.passed && which(entry) {
                entry.passed = true;
                wake.extend(entry.waker.take());
            }
        }
        wake.into_iter().for_each(Waker::wake);
    }

    fn place(&self, deadline: MonoMillis, kickable: bool) -> Place {
        let mut slab = self.inner.borrow_mut();
        let entry = Some(Entry { deadline, waker: None, passed: false, kickable });
        let index = match slab.free.pop() {
            Some(index) => {
                if let Some(slot) = slab.entries.get_mut(index) {
                    *slot = entry;
                }
                index
            }
            None => {
                slab.entries.push(entry);
                slab.entries.len() - 1
            }
        };
        Place { deadlines: self.clone(), index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, pending, poll_once};

    #[test]
    fn what_is_done_in_time_is_done() {
        let deadlines = Deadlines::default();
        assert_eq!(block_on(deadlines.run(MonoMillis(5), async { 7 })), Ok(7));
        assert!(deadlines.inner.borrow().entries.is_empty());
    }

    #[test]
    fn a_sweep_after_the_deadline_ends_the_wait_and_the_place_is_used_again() {
        let deadlines = Deadlines::default();
        for round in 0..3 {
            let mut wait = Box::pin(deadlines.run(MonoMillis(5), pending::<()>()));
            assert_eq!(block_on(poll_once(&mut wait)), None);
            deadlines.sweep(MonoMillis(4));
            assert_eq!(block_on(poll_once(&mut wait)), None, "round {round}");
            deadlines.sweep(MonoMillis(5));
            assert_eq!(block_on(wait), Err(Elapsed));
        }
        assert_eq!(deadlines.inner.borrow().entries.len(), 1);
    }

    #[test]
    fn a_dropped_wait_gives_its_place_back() {
        let deadlines = Deadlines::default();
        let mut wait = Box::pin(deadlines.run(MonoMillis(5), pending::<()>()));
        assert_eq!(block_on(poll_once(&mut wait)), None);
        drop(wait);
        assert_eq!(deadlines.inner.borrow().free.len(), 1);
        deadlines.sweep(MonoMillis(9));
    }
}
