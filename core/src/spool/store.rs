//! The spool: queued mails in a log. (Being built: the signatures are final.)

use super::disk::Disk;
use super::large::LargeWriter;
use super::log::{LogOptions, Ticket};
use super::{CopyId, Damage, Deferral, Outcome, QueuedMail, SpoolError};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::MailId;

/// Queued mails of one shard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SpoolStore<D: Disk> {
    disk: D,
    options: LogOptions,
}

fn unbuilt<T>() -> Result<T, SpoolError> {
    Err(SpoolError::TooLarge { what: "unbuilt", bytes: 0, bytes_max: 0 })
}

impl<D: Disk> SpoolStore<D> {
    /// Opens the spool of a shard. Returns before old segments are read: `put` works at once, and
    /// [`SpoolStore::recover`] gives what was there.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the directory cannot be used; the engine must not start.
    pub async fn open(disk: D, options: LogOptions, now: UnixMillis) -> Result<Self, SpoolError> {
        let _ = now;
        std::future::ready(Ok(Self { disk, options })).await
    }

    /// Stores a mail; returns when it is durable.
    ///
    /// # Errors
    /// No room, disk error: the mail is not ours; answer 4xx. It may still turn up after a crash.
    pub async fn put(
        &self,
        mail: &QueuedMail,
        content: &Content,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        let _ = (mail, content, now);
        std::future::ready(unbuilt()).await
    }

    /// Notes the end of one recipient's way; the copy goes when the last one has ended.
    /// Durable with the next flush, which starts at once; nobody needs to wait for it: losing it
    /// makes a duplicate, never a loss.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`].
    pub fn settle(
        &self,
        id: CopyId,
        recipient_index: u16,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Result<Ticket, SpoolError> {
        let _ = (id, recipient_index, outcome, now);
        unbuilt()
    }

    /// Notes a retry; durable within a second.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`].
    pub fn defer(
        &self,
        id: CopyId,
        deferral: &Deferral,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        let _ = (id, deferral, now);
        unbuilt()
    }

    /// Reads a queued mail back, settled recipients included with their state.
    /// Its `deferral` is that of the last `put`: the deliverer knows the newer one.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`], [`SpoolError::Damaged`]: permanent, an alarm.
    pub async fn load(&self, id: CopyId) -> Result<(QueuedMail, Content), SpoolError> {
        let _ = id;
        std::future::ready(unbuilt()).await
    }

    /// The mails that were there at [`SpoolStore::open`] and still have waiting recipients, newest
    /// segment first. To be called once.
    #[must_use]
    pub fn recover(&self) -> Recovery<D> {
        Recovery { store: self.clone() }
    }

    /// A file for a large mail that is arriving.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: 452 or 451.
    pub async fn incoming(&self, mail: MailId) -> Result<LargeWriter<D>, SpoolError> {
        LargeWriter::create(self.disk.clone(), &self.options.directory.join("incoming"), mail).await
    }

    /// Once a second: flushes what waits, seals and compacts segments, samples free space.
    pub async fn tick(&self, now: UnixMillis) {
        std::future::ready(now).await;
    }

    /// What recovery and reading set aside since the last call.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// Mails in the spool, as far as recovery has come.
    #[must_use]
    pub fn count(&self) -> u64 {
        0
    }
}

/// Iteration over what the spool held at the start; new mail is accepted meanwhile.
#[derive(Debug)]
pub struct Recovery<D: Disk> {
    store: SpoolStore<D>,
}

impl<D: Disk> Recovery<D> {
    /// The next mail with its state as it was; `None` at the end. A mail whose metadata cannot be read
    /// is an `Err`, and the iteration goes on.
    pub async fn next(&mut self) -> Option<Result<QueuedMail, SpoolError>> {
        let _ = &self.store;
        std::future::ready(None).await
    }
}
