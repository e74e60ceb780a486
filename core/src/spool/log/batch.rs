//! Waiting for a flush: everybody whose record is in the same flush waits on the same batch.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::spool::SpoolError;

/// The outcome of one flush, once it is there.
#[derive(Debug, Default)]
pub(super) struct Batch {
    outcome: RefCell<Option<Result<(), SpoolError>>>,
    wakers: RefCell<Vec<Waker>>,
}

impl Batch {
    pub(super) fn finish(&self, outcome: Result<(), SpoolError>) {
        self.outcome.replace(Some(outcome));
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}

/// A record on its way to the disk. Dropping it loses nothing: the record is written anyway.
#[derive(Debug)]
pub struct Ticket(pub(super) Rc<Batch>);

impl Ticket {
    /// Waits until the record is durable.
    ///
    /// # Errors
    /// The flush failed. A note is tried again with the next one; a record is not.
    pub async fn durable(self) -> Result<(), SpoolError> {
        poll_fn(|context| {
            if let Some(outcome) = self.0.outcome.borrow().as_ref() {
                return Poll::Ready(outcome.clone());
            }
            self.0.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
