//! What the spool held at the start, mail by mail.

use std::collections::VecDeque;
use std::rc::Rc;

use super::disk::Disk;
use super::log::{Notes, Reading};
use super::store::{DEFERRAL_SLOT, Settled, SpoolStore};
use super::summary::QueuedSummary;
use super::{CopyId, RecipientState, SpoolError};

/// Mails that are given, and notes that are let go, before others on the shard have their turn.
const GIVEN_AT_ONCE: u32 = 16;

/// Iteration over what the spool held at the start; new mail is accepted meanwhile, and each mail may be worked
/// on once it was given.
#[derive(Debug)]
pub struct Recovery<D: Disk> {
    store: SpoolStore<D>,
    /// Segments that are still to be read; `None` before the first call.
    segments: Option<VecDeque<u32>>,
    reading: Option<Reading>,
    notes: Notes,
    given: u32,
}

impl<D: Disk> Recovery<D> {
    pub(super) fn new(store: SpoolStore<D>) -> Self {
        Self { store, segments: None, reading: None, notes: Notes::default(), given: 0 }
    }

    /// The next mail with its state as it was, `None` at the end. The first call reads the indexes of all
    /// segments. A mail whose metadata cannot be read is an `Err`: it stays where it is, with an alarm, and
    /// the iteration goes on.
    pub async fn next(&mut self) -> Option<Result<(CopyId, QueuedSummary), SpoolError>> {
        let inner = Rc::clone(&self.store.inner);
        loop {
            let (id, found) = match self.give().await? {
                Ok(given) => given,
                Err(error) => return Some(Err(error)),
            };
            let mut mail = match found {
                Ok(mail) => mail,
                Err(error) => return Some(Err(error)),
            };
            self.apply_notes(id, &mut mail);
            if mail.waiting().next().is_none() {
                // All settled, only the tombstone was lost.
                let _ = inner.log.kill(id);
                continue;
            }
            self.store.know(id, mail.recipients.iter().map(|one| (one.index, &one.state)));
            return Some(Ok((id, mail)));
        }
    }

    /// The next mail that is alive, without its notes; an outer `Err` is a whole segment that cannot be read.
    async fn give(&mut self) -> Option<Given> {
        let inner = Rc::clone(&self.store.inner);
        let log = &inner.log;
        loop {
            self.given = self.given.wrapping_add(1);
            if self.given.is_multiple_of(GIVEN_AT_ONCE) {
                inner.disk.pause().await;
            }
            if let Some(reading) = &mut self.reading {
                match log.give(reading).await {
                    Some(given) => return Some(Ok(given)),
                    None => self.reading = None,
                }
            }
            let segments = match &mut self.segments {
                Some(segments) => segments,
                None => {
                    let (segments, notes) = log.begin().await;
                    self.notes = notes;
                    self.segments.insert(segments)
                }
            };
            let Some(number) = segments.pop_front() else { break };
            match log.reading(number).await {
                Ok(reading) => self.reading = Some(reading),
                Err(error) => return Some(Err(error)),
            }
        }
        log.all_given();
        // Those of mails that are no more.
        while self.notes.let_go() {
            self.given = self.given.wrapping_add(1);
            if self.given.is_multiple_of(GIVEN_AT_ONCE) {
                inner.disk.pause().await;
            }
        }
        None
    }

    fn apply_notes(&mut self, id: CopyId, mail: &mut QueuedSummary) {
        for (slot, text) in self.notes.take(id) {
            if slot == DEFERRAL_SLOT {
                mail.deferral = serde_json::from_slice(&text).unwrap_or_default();
                continue;
            }
            let recipient = mail.recipients.iter_mut().find(|recipient| recipient.index == slot);
            let settled = serde_json::from_slice::<Settled>(&text);
            if let (Some(recipient), Ok(Settled { outcome, at })) = (recipient, settled) {
                recipient.state = RecipientState::Settled { outcome, at };
            }
        }
    }
}

type Given = Result<(CopyId, Result<QueuedSummary, SpoolError>), SpoolError>;
