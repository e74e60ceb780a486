//! Deadlines of all sessions of a shard on one coarse clock: one timer for all of them.
//!
//! SMTP's time-outs are minutes, so a second of slack costs nothing, while a timer for each read
//! would cost an insertion and a removal in the reactor for each packet. Once a second `sweep` looks
//! at every entry: 50,000 sessions are 50,000 comparisons, well under a millisecond.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

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

/// A wait: polled beside what is waited for. It takes a place in the slab when it really waits, and gives it back when
/// dropped.
#[derive(Debug)]
pub struct Until<'d> {
    deadlines: &'d Deadlines,
    deadline: MonoMillis,
    index: Option<usize>,
    kickable: bool,
}

impl Until<'_> {
    /// Ready when the deadline passed, or the wait was kicked.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<Elapsed> {
        let mut slab = self.deadlines.inner.borrow_mut();
        let index = *self.index.get_or_insert_with(|| slab.place(self.deadline, self.kickable));
        match slab.entries.get_mut(index).and_then(Option::as_mut) {
            Some(entry) if !entry.passed => {
                if !entry.waker.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
                    entry.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(Elapsed),
        }
    }
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let mut slab = self.deadlines.inner.borrow_mut();
        if let Some(entry) = slab.entries.get_mut(index) {
            *entry = None;
        }
        slab.free.push(index);
    }
}

impl Slab {
    fn place(&mut self, deadline: MonoMillis, kickable: bool) -> usize {
        let entry = Some(Entry { deadline, waker: None, passed: false, kickable });
        match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.entries.get_mut(index) {
                    *slot = entry;
                }
                index
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        }
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
        let mut until = Until { deadlines: self, deadline, index: None, kickable };
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => until.poll(context).map(Err),
        })
        .await
    }

    /// The wait of [`Self::run_kickable`] by itself, for what has no future that would have to be kept.
    #[must_use]
    pub fn until_kicked(&self, deadline: MonoMillis) -> Until<'_> {
        Until { deadlines: self, deadline, index: None, kickable: true }
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
