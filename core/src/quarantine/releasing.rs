//! One release of one item, from its begin to its end.

use super::{HeldMail, ItemId, ItemState, Quarantine};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::spool::SpoolError;
use crate::spool::disk::Disk;

/// The only release of an item that runs in this process. Dropped without [`Releasing::end`] (a defect of ours, a
/// drain) it leaves the item in the state that a crash leaves it in: it may be released again.
#[derive(Debug)]
pub struct Releasing<D: Disk> {
    turn: Turn<D>,
    /// The copy that the item belongs to.
    pub held: HeldMail,
    /// The item's state before.
    pub before: ItemState,
    /// The stored octets.
    pub content: Content,
}

/// The item's place among those that are being released.
#[derive(Debug)]
pub(super) struct Turn<D: Disk> {
    quarantine: Quarantine<D>,
    id: ItemId,
}

impl<D: Disk> Drop for Turn<D> {
    fn drop(&mut self) {
        self.quarantine.inner.releasing.borrow_mut().remove(&self.id);
    }
}

impl<D: Disk> Quarantine<D> {
    /// Begins the release of an item; returns when that is durable.
    ///
    /// # Errors
    /// [`SpoolError::UnderWay`]: its release runs already; [`SpoolError::State`]: it is released; otherwise as
    /// [`Quarantine::load`]. [`SpoolError::Io`]: the item is as it was.
    pub async fn begin_release(
        &self,
        id: ItemId,
        by: &str,
        now: UnixMillis,
    ) -> Result<Releasing<D>, SpoolError> {
        // Before the first wait: of two who ask at the same time only one goes on.
        if !self.inner.releasing.borrow_mut().insert(id) {
            return Err(SpoolError::UnderWay { item: id.to_string() });
        }
        let turn = Turn { quarantine: self.clone(), id };
        let (held, before, content) = self.load(id, now).await?;
        let again = before.again().cloned().map(Box::new);
        let state = ItemState::Releasing { by: by.into(), at: now, again };
        self.mark(id, state, now, Some(&turn)).await?;
        Ok(Releasing { turn, held, before, content })
    }
}

impl<D: Disk> Releasing<D> {
    /// Ends it: `Released`, `Held` or `HeldAgain`, or `Deleted` where a rule dropped it. Returns when that is durable.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the item is in that state and its note is written with the next flush; only a crash before
    /// that leaves it `Releasing`. (`Deleted` is taken back instead.)
    pub async fn end(self, state: ItemState, now: UnixMillis) -> Result<(), SpoolError> {
        let Turn { quarantine, id } = &self.turn;
        match quarantine.mark(*id, state, now, Some(&self.turn)).await {
            // It expired meanwhile: there is nothing left to write about.
            Ok(_) | Err(SpoolError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
