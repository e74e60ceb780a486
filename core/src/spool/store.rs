//! The spool: queued mails in a [`Log`].
//!
//! Memory: the log's entry per mail (see there); a mail with several recipients has one more entry while
//! it is queued. Deferrals are kept on the disk only; the deliverer has them in its queue.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::budget::Arriving;
use super::disk::Disk;
use super::format::kind;
use super::large::LargeWriter;
use super::log::{Log, LogOptions, NewRecord, Ticket, Urgency};
use super::{CopyId, Damage, Deferral, Outcome, QueuedMail, RecipientState, Recovery, SpoolError};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::MailId;

/// Slot of the deferral note; the slots below are recipients.
pub(super) const DEFERRAL_SLOT: u16 = u16::MAX;

/// Text of a settle note.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Settled {
    pub(super) outcome: Outcome,
    pub(super) at: UnixMillis,
}

/// Recipients of a copy that has several.
type States = Vec<(u16, RecipientState)>;

#[derive(Debug, Default)]
struct Known {
    several: BTreeMap<CopyId, States>,
}

#[derive(Debug)]
pub(super) struct Inner<D: Disk> {
    pub(super) disk: D,
    pub(super) log: Log<D>,
    options: LogOptions,
    known: RefCell<Known>,
}

/// Queued mails of one shard. Cheap to clone.
#[derive(Debug)]
pub struct SpoolStore<D: Disk> {
    pub(super) inner: Rc<Inner<D>>,
}

impl<D: Disk> Clone for SpoolStore<D> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<D: Disk> SpoolStore<D> {
    /// Opens the spool of a shard. Returns before old segments are read: `put` works at once, and
    /// [`SpoolStore::recover`] gives what was there. Empties `incoming/`.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the directory cannot be used; the engine must not start.
    pub async fn open(disk: D, options: LogOptions, now: UnixMillis) -> Result<Self, SpoolError> {
        let incoming = options.directory.join("incoming");
        let fail = |error| SpoolError::io("open", &incoming, &error);
        let log = Log::open(disk.clone(), options.clone(), now).await?;
        disk.create_dir(&incoming).await.map_err(fail)?;
        for entry in disk.list(&incoming).await.map_err(fail)? {
            // Never acknowledged, or linked elsewhere before it was.
            let _ = disk.remove(&incoming.join(entry.name)).await;
        }
        let known = RefCell::default();
        Ok(Self { inner: Rc::new(Inner { disk, log, options, known }) })
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
        let inner = &self.inner;
        inner.options.budget.check_reserve(content.bytes())?;
        inner.log.set_now(now);
        let id = mail.copy_id();
        let meta = to_json(mail)?;
        let stamp = u32::try_from(mail.queued_at.as_secs()).unwrap_or(u32::MAX);
        self.know(id, mail.recipients.iter().map(|one| (one.index, &one.state)));
        let new = NewRecord { id, kind: kind::QUEUED, stamp, meta };
        let result = inner.log.append(new, content).await;
        if result.is_err() && !inner.log.contains(id) {
            inner.known.borrow_mut().several.remove(&id);
        }
        result
    }

    /// Notes the end of one recipient's way; the copy goes when the last one has ended.
    /// On its way to the disk at once; nobody needs to wait for it: losing it makes a duplicate, never a
    /// loss. Settling a recipient twice changes nothing.
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
        let log = &self.inner.log;
        log.set_now(now);
        let mut known = self.inner.known.borrow_mut();
        let Some(states) = known.several.get_mut(&id) else {
            return log.kill(id);
        };
        let text = to_json(&Settled { outcome: outcome.clone(), at: now })?;
        let state = states.iter_mut().find(|(index, _)| *index == recipient_index);
        if let Some((_, state)) = state.filter(|(_, state)| *state == RecipientState::Waiting) {
            *state = RecipientState::Settled { outcome, at: now };
        }
        if states.iter().any(|(_, state)| *state == RecipientState::Waiting) {
            return log.note(id, recipient_index, text, Urgency::Now);
        }
        let ticket = log.kill(id)?;
        known.several.remove(&id);
        Ok(ticket)
    }

    /// Notes a retry; durable within a second or so.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`].
    pub fn defer(
        &self,
        id: CopyId,
        deferral: &Deferral,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        self.inner.log.set_now(now);
        let mut deferral = deferral.clone();
        // What a next hop says is its own business, and goes into memory at each start.
        if let Some((cut, _)) = deferral.last_answer.char_indices().nth(ANSWER_CHARS_MAX) {
            deferral.last_answer = deferral.last_answer.get(..cut).unwrap_or_default().into();
        }
        self.inner.log.note(id, DEFERRAL_SLOT, to_json(&deferral)?, Urgency::Lazy)?;
        Ok(())
    }

    /// Reads a queued mail back, settled recipients included with their state.
    /// Its `deferral` is that of the last `put`: the deliverer knows the newer one.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`], [`SpoolError::Damaged`]: permanent, an alarm.
    pub async fn load(&self, id: CopyId) -> Result<(QueuedMail, Content), SpoolError> {
        let record = self.inner.log.read(id).await?;
        let mut mail = self.parse(id, &record.meta)?;
        let known = self.inner.known.borrow();
        if let Some(states) = known.several.get(&id) {
            for (recipient, (_, state)) in mail.recipients.iter_mut().zip(states) {
                recipient.state = state.clone();
            }
        }
        Ok((mail, record.content))
    }

    /// Mails that were there at [`SpoolStore::open`] and still have waiting recipients, in the order in
    /// which they lie on the disk. To be called once.
    #[must_use]
    pub fn recover(&self) -> Recovery<D> {
        Recovery::new(self.clone())
    }

    /// A file for a large mail that is arriving, in the room that was promised to it.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: 452 or 451.
    pub async fn incoming(
        &self,
        mail: MailId,
        room: Arriving,
    ) -> Result<LargeWriter<D>, SpoolError> {
        let directory: PathBuf = self.inner.options.directory.join("incoming");
        LargeWriter::create(self.inner.disk.clone(), &directory, mail, room).await
    }

    /// Whether a mail of that size may come in: asked before 354, answered 452.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`].
    pub fn admits(&self, bytes: u64) -> Result<(), SpoolError> {
        self.inner.options.budget.check(bytes)
    }

    /// Once a second: flushes what waits, seals and compacts segments, samples free space.
    pub async fn tick(&self, now: UnixMillis) {
        self.inner.log.tick(now).await;
    }

    /// Makes everything durable that was settled or deferred: for the drain.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.inner.log.flush().await
    }

    /// What recovery and reading set aside since the last call.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        self.inner.log.take_damage()
    }

    /// Mails in the spool, as far as recovery has come.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.inner.log.count() as u64
    }

    /// Remembers the recipients of a mail that has several.
    pub(super) fn know<'s>(
        &self,
        id: CopyId,
        recipients: impl ExactSizeIterator<Item = (u16, &'s RecipientState)>,
    ) {
        if recipients.len() > 1 {
            let states = recipients.map(|(index, state)| (index, state.clone())).collect();
            self.inner.known.borrow_mut().several.insert(id, states);
        }
    }

    fn parse(&self, id: CopyId, meta: &[u8]) -> Result<QueuedMail, SpoolError> {
        serde_json::from_slice(meta).map_err(|error| SpoolError::Metadata {
            path: self.inner.options.directory.clone(),
            offset: 0,
            what: format!("{id}: {error}"),
        })
    }
}

/// Characters of a next hop's answer that are kept.
const ANSWER_CHARS_MAX: usize = 200;

/// JSON of a value of ours.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, SpoolError> {
    serde_json::to_vec(value).map_err(|error| SpoolError::Metadata {
        path: PathBuf::new(),
        offset: 0,
        what: error.to_string(),
    })
}
