//! Held mail. (Being built: the signatures are final.)

mod item;

pub use crate::spool::held::{Attachment, AuthResult, Direction, HeldItem, HeldMail, MatchedRule};
pub use item::{ItemId, ItemState};

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::spool::SpoolError;
use crate::spool::disk::Disk;
use crate::spool::log::LogOptions;

/// Held mails of one shard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Quarantine<D: Disk> {
    disk: D,
    options: LogOptions,
    shard: u16,
}

fn unbuilt<T>() -> Result<T, SpoolError> {
    Err(SpoolError::TooLarge { what: "unbuilt", bytes: 0, bytes_max: 0 })
}

impl<D: Disk> Quarantine<D> {
    /// Opens the quarantine of a shard: `options.directory` is `quarantine/<shard>`; each retention
    /// class lies in a directory of its own under it. Old segments are read later, by [`Quarantine::recover`].
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the directory cannot be used.
    pub async fn open(
        disk: D,
        shard: u16,
        options: LogOptions,
        now: UnixMillis,
    ) -> Result<Self, SpoolError> {
        let _ = now;
        std::future::ready(Ok(Self { disk, options, shard })).await
    }

    /// Reads what was there at [`Quarantine::open`]; to be called once, beside the mail.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub async fn recover(&self) -> Result<(), SpoolError> {
        std::future::ready(unbuilt()).await
    }

    /// Holds a copy; returns the ids of its items, in the order of `held.items`, when it is durable.
    ///
    /// # Errors
    /// No room, disk error: nothing is held; answer 4xx.
    pub async fn hold(
        &self,
        held: &HeldMail,
        content: &Content,
        now: UnixMillis,
    ) -> Result<Vec<ItemId>, SpoolError> {
        let _ = (held, content, now, &self.disk, &self.options, self.shard);
        std::future::ready(unbuilt()).await
    }

    /// Reads the copy that an item belongs to, and the item's state.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`] also when it has expired.
    pub async fn load(
        &self,
        id: ItemId,
        now: UnixMillis,
    ) -> Result<(HeldMail, ItemState, Content), SpoolError> {
        let _ = (id, now);
        std::future::ready(unbuilt()).await
    }

    /// Changes the state of an item; returns when that is durable.
    ///
    /// # Errors
    /// [`SpoolError::State`]: not allowed from its present state; [`SpoolError::NotFound`].
    pub async fn mark(
        &self,
        id: ItemId,
        state: ItemState,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        let _ = (id, state, now);
        std::future::ready(unbuilt()).await
    }

    /// Removes what has expired; returns how many copies. Once a minute is enough.
    pub async fn expire(&self, now: UnixMillis) -> u64 {
        std::future::ready(now).await;
        0
    }

    /// Once a second: flushes, seals, compacts.
    pub async fn tick(&self, now: UnixMillis) {
        std::future::ready(now).await;
    }
}
