//! Wakes the one task that waits for something to do.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A note that stays until it is read: a call before the wait is not lost.
#[derive(Debug, Default)]
pub(super) struct Wake {
    noted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Wake {
    pub(super) fn notify(&self) {
        self.noted.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) async fn wait(&self) {
        poll_fn(|context| {
            if self.noted.take() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Runs all of `work` at once and gives the results in order. For a handful of futures.
pub(super) async fn all<F: Future>(work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut work: Vec<_> = work.into_iter().map(|one| (Box::pin(one), None)).collect();
    poll_fn(|context| {
        let mut open = false;
        for (one, done) in &mut work {
            if done.is_none() {
                match one.as_mut().poll(context) {
                    Poll::Ready(output) => *done = Some(output),
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    work.into_iter().filter_map(|(_, done)| done).collect()
}
