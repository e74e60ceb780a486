//! Getting space back: what is alive in a segment is appended again, then the segment is removed.
//!
//! One segment at a time, beside the mail. Nothing is removed before everything that is still needed
//! of it is durable elsewhere: live records, notes of live records, and tombstones whose record's segment is
//! still on the disk (a tombstone that goes too early would let its record rise from the dead).

use std::rc::Rc;
use std::sync::Arc;

use super::notes::NoteList;
use super::{Inner, Location, Log, Pending, Record, Segment, Ticket};
use crate::limits::BLOCK_BYTES;
use crate::spool::disk::Disk;
use crate::spool::format::{self, Note, kind};
use crate::spool::{CopyId, SpoolError};

/// A segment that could not be compacted is tried again after so long.
const TRY_AGAIN_MS: u64 = 10 * 60_000;
/// Octets that are moved before their flush is awaited: bounds memory, and what a client's mail waits for.
const MOVE_BYTES: u64 = 1 << 20;

impl<D: Disk> Inner<D> {
    /// Starts compaction of the segment that needs it most, unless one is running.
    pub(super) fn compact_if_due(self: &Rc<Self>) {
        let number = {
            let mut state = self.state.borrow_mut();
            // Not only between two flushes: on a busy shard the next one has always begun, and the disk would fill
            // up with what was delivered long ago.
            if !state.loaded || state.compacting {
                return;
            }
            let open = state.open;
            let now = state.now;
            let due = state.segments.iter().find(|(number, segment)| {
                let free = !segment.busy && segment.not_before <= now && !state.is_unread(**number);
                Some(**number) != open && free && self.is_due(segment, now)
            });
            let Some(number) = due.map(|(number, _)| *number) else { return };
            state.compacting = true;
            if let Some(segment) = state.segments.get_mut(&number) {
                segment.busy = true;
            }
            number
        };
        let inner = Rc::clone(self);
        self.disk.spawn(async move {
            let outcome = inner.compact(number).await;
            let mut state = inner.state.borrow_mut();
            state.compacting = false;
            let again = state.now.saturating_add(TRY_AGAIN_MS);
            if let (Err(error), Some(segment)) = (outcome, state.segments.get_mut(&number)) {
                // Its records stay where they are, and so does what is dead beside them. A damaged one goes the way of
                // all records when it expires or is deleted: then the segment can go, too.
                tracing::warn!(segment = number, %error, "a segment could not be compacted, later again");
                (segment.busy, segment.not_before) = (false, again);
            }
        });
    }

    fn is_due(&self, segment: &Segment, now: u64) -> bool {
        let live = format::offset(segment.live_blocks);
        let aged = segment
            .dead_since
            .is_some_and(|since| now.saturating_sub(since) >= self.options.dead_age_ms);
        // The first block is the segment's own; the index counts as dead, and is small.
        live == 0 || aged || (segment.dead_since.is_some() && live * 2 < segment.bytes)
    }

    /// Moves what is alive, removes the file.
    pub(super) async fn compact(self: &Rc<Self>, number: u32) -> Result<(), SpoolError> {
        // What is needed now may not be needed any more when it is moved: then it is moved in vain.
        let present = self.present();
        let mut notes = NoteList::default();
        let needed = &mut |note: Note| {
            let needed = match note.tombstone {
                Some(segment) => segment != number && present.contains(&segment),
                None => self.state.borrow().index.contains_key(&note.id),
            };
            if needed {
                notes.push(note);
            }
        };
        let contents = self.contents(number, needed).await?;
        let mut moved = 0;
        // Each record's own ticket: the flush that took it may fail while a later one does not.
        let mut tickets = Vec::new();
        for entry in contents.entries.iter().filter(|entry| entry.kind >= kind::QUEUED) {
            let at = Location::new(number, entry);
            if self.state.borrow().index.get(&entry.id) != Some(&at) {
                continue;
            }
            match self.to_move(entry.id, entry.kind, at).await {
                Ok(record) => {
                    tickets.push(self.enqueue(Pending::Record(Box::new(record)), false));
                }
                Err(error) => {
                    // An alarm once, not at every try.
                    let first = |segment: &Segment| segment.not_before == 0;
                    if self.state.borrow().segments.get(&number).is_some_and(first) {
                        self.report(&error);
                    }
                    return Err(error);
                }
            }
            moved += format::offset(entry.blocks);
            if moved >= MOVE_BYTES {
                moved = 0;
                self.all_durable(&mut tickets).await?;
            }
        }
        for note in notes.into_notes() {
            moved += note.bytes();
            tickets.push(self.enqueue(Pending::Note(note), false));
            if moved >= MOVE_BYTES {
                moved = 0;
                self.all_durable(&mut tickets).await?;
            }
        }
        self.all_durable(&mut tickets).await?;
        // A record that was killed while it moved has got another tombstone: that one, too.
        tickets.push(self.ticket());
        self.all_durable(&mut tickets).await?;
        self.remove_segment(number).await
    }

    async fn all_durable(self: &Rc<Self>, tickets: &mut Vec<Ticket>) -> Result<(), SpoolError> {
        self.want_flush();
        for ticket in tickets.drain(..) {
            ticket.durable().await?;
        }
        Ok(())
    }

    async fn to_move(&self, id: CopyId, kind: u16, at: Location) -> Result<Record, SpoolError> {
        let (head, octets) = self.read_raw(at).await?;
        let payload = head.payload(&octets).map_err(|what| self.damaged(at, what))?;
        Ok(Record {
            id,
            kind,
            flags: head.flags,
            stamp: head.stamp,
            meta: payload.meta.to_vec(),
            layout: payload.layout.to_vec(),
            body: vec![Arc::from(payload.body)],
            moved_from: Some(at),
        })
    }

    async fn remove_segment(&self, number: u32) -> Result<(), SpoolError> {
        let path = self.segment_path(number);
        let removed = self.disk.remove(&path).await;
        removed.map_err(|error| SpoolError::io("remove", &path, &error))?;
        // Known as present until the name is gone for good: tombstones depend on it.
        let synced = self.disk.sync_dir(&self.options.directory).await;
        synced.map_err(|error| SpoolError::io("fsync", &self.options.directory, &error))?;
        for id in self.forget_segment(number) {
            self.remove_files(id).await;
        }
        Ok(())
    }
}

impl<D: Disk> Inner<D> {
    /// Forgets a segment that is gone; gives the ids that lay there only because a flush had failed.
    fn forget_segment(&self, number: u32) -> Vec<CopyId> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Some(segment) = state.segments.remove(&number) {
            self.options.budget.release(segment.bytes);
        }
        let mut gone = Vec::new();
        state.twins.retain(|id, segments| {
            segments.retain(|segment| *segment != number);
            let alive = state.index.contains_key(id) || state.appending.contains(id);
            if segments.is_empty() && !alive {
                gone.push(*id);
            }
            !segments.is_empty()
        });
        gone
    }
}

/// One segment, as the mail log sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oldest {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    pub(crate) newest_stamp: u32,
}

impl<D: Disk> Log<D> {
    /// The oldest segment that is complete.
    pub(crate) fn oldest(&self) -> Option<Oldest> {
        let state = self.inner.state.borrow();
        let first = state.segments.iter().next().filter(|(number, segment)| {
            state.loaded && Some(**number) != state.open && !segment.busy
        });
        first.map(|(number, segment)| Oldest {
            number: *number,
            bytes: segment.bytes,
            newest_stamp: segment.newest_stamp,
        })
    }

    /// Removes a segment with all that is in it: only for logs whose records have no ids.
    pub(crate) async fn drop_segment(&self, number: u32) -> Result<(), SpoolError> {
        self.inner.remove_segment(number).await
    }

    /// Octets of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inner.state.borrow().segments.values().map(|segment| segment.bytes).sum()
    }
}

const _: () = assert!(MOVE_BYTES >= BLOCK_BYTES as u64);
