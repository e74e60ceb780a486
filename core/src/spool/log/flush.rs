//! The flush: one task while there is something to write, none otherwise.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::{Active, Batch, Inner, Location, Log, Pending, Record, Segment, State, Ticket};
use crate::clock::UnixMillis;
use crate::envelope::MailId;
use crate::limits::BLOCK_BYTES;
use crate::spool::disk::Disk;
use crate::spool::format::{self, Entry, Head, Place, Trailer, kind};
use crate::spool::large::write_all;
use crate::spool::summary::{LINES_BYTES_MAX, add_line};
use crate::spool::{CopyId, SpoolError};
use crate::stages::{self, Stage};

/// Octets handed to the disk in one write.
const WRITE_BYTES: usize = 1 << 20;
/// Octets of notes in one record.
const NOTES_BYTES: usize = 64 << 10;
/// Octets of notes and rows that are kept for another try after a failed flush.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Metadata of a segment's first record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SegmentMeta {
    /// Version of the format.
    pub(super) format: u32,
    /// When it was begun, milliseconds.
    pub(super) created_at: u64,
    /// The segment before it.
    #[serde(default)]
    pub(super) previous: Option<u32>,
    /// Octets of it that were flushed, 0 if not known: if it has less now, it was truncated.
    #[serde(default)]
    pub(super) previous_bytes: u64,
}

pub(super) const NOBODY: CopyId = CopyId { mail: MailId(uuid::Uuid::nil()), copy: 0 };

/// Octets on their way to the active segment.
struct Encoder {
    out: Vec<u8>,
    place: Place,
    entries: Vec<Entry>,
    /// Lines of the queued mails for the segment's index, and how many octets of them it takes.
    lines: Vec<u8>,
    lines_room: usize,
}

impl Encoder {
    fn push<'a>(
        &mut self,
        place: Place,
        meta: &[u8],
        layout: &[u8],
        body: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Head {
        let head = format::encode(&mut self.out, place, meta, layout, body);
        self.place.block += head.blocks();
        self.entries.push(Entry::of(&head));
        head
    }

    fn record(&mut self, record: &Record) -> Head {
        let place = Place {
            kind: record.kind,
            flags: record.flags,
            stamp: record.stamp,
            id: record.id,
            ..self.place
        };
        let body = record.body.iter().map(|piece| &**piece);
        let head = self.push(place, &record.meta, &record.layout, body);
        if head.kind == kind::QUEUED {
            add_line(&mut self.lines, self.lines_room, head.block, &record.meta);
        }
        head
    }

    fn notes(&mut self, octets: &mut Vec<u8>) {
        if !octets.is_empty() {
            self.push(self.place, &[], &[], std::iter::once(&**octets));
            octets.clear();
        }
    }
}

impl<D: Disk> Inner<D> {
    /// A ticket for what is enqueued before the next flush begins.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(Rc::clone(&self.state.borrow().gather))
    }

    /// Puts something among what waits. `now`: start a flush.
    pub(super) fn enqueue(self: &Rc<Self>, pending: Pending, now: bool) -> Ticket {
        self.state.borrow_mut().pending.push(pending);
        let ticket = self.ticket();
        if now {
            self.want_flush();
        }
        ticket
    }

    pub(super) fn want_flush(self: &Rc<Self>) {
        let idle = {
            let mut state = self.state.borrow_mut();
            state.wanted = true;
            !std::mem::replace(&mut state.flushing, true)
        };
        if idle {
            let inner = Rc::clone(self);
            self.disk.spawn(async move {
                let flush = std::pin::pin!(inner.flush_while_wanted());
                stages::measured(Stage::Flush, flush).await;
            });
        }
    }

    async fn flush_while_wanted(self: Rc<Self>) {
        loop {
            self.wait_for_company().await;
            let (pending, batch) = {
                let mut state = self.state.borrow_mut();
                if !std::mem::take(&mut state.wanted) {
                    state.flushing = false;
                    return;
                }
                let taken = state.pending.len();
                state.pace.take(self.disk.elapsed(), taken);
                let batch = std::mem::replace(&mut state.gather, Rc::new(Batch::default()));
                (std::mem::take(&mut state.pending), batch)
            };
            if pending.is_empty() {
                batch.finish(Ok(()));
                continue;
            }
            let outcome = self.write(&pending).await;
            let outcome = {
                let mut state = self.state.borrow_mut();
                match outcome {
                    Ok((segment, entries)) => {
                        state.accept(segment, &pending, &entries);
                        Ok(())
                    }
                    Err(error) => {
                        state.keep(pending);
                        Err(error)
                    }
                }
            };
            batch.finish(outcome);
        }
    }

    async fn wait_for_company(&self) {
        let delay = {
            let state = self.state.borrow();
            if state.wanted { state.pace.delay() } else { None }
        };
        if let Some(delay) = delay {
            self.disk.sleep(delay).await;
        }
    }

    /// Writes and flushes; gives the entries of the records, in their order.
    async fn write(self: &Rc<Self>, pending: &[Pending]) -> Result<(u32, Vec<Entry>), SpoolError> {
        self.ensure_active().await?;
        // No other task touches the active segment while this one runs; without it, it is closed.
        let Some(mut active) = self.state.borrow_mut().active.take() else {
            return Err(SpoolError::TooLarge { what: "no active segment", bytes: 0, bytes_max: 0 });
        };
        let place = Place {
            kind: kind::NOTES,
            flags: 0,
            segment: active.number,
            block: active.blocks,
            salt: active.salt,
            flushed: active.blocks,
            stamp: 0,
            id: NOBODY,
        };
        let mut encoder = Encoder {
            out: Vec::new(),
            place,
            entries: Vec::new(),
            lines: Vec::new(),
            lines_room: LINES_BYTES_MAX.saturating_sub(active.lines.len()),
        };
        let written = self.write_pending(&active, &mut encoder, pending).await;
        let bytes = format::offset(encoder.place.block) - format::offset(active.blocks);
        self.options.budget.add(bytes);
        if let Some(segment) = self.state.borrow_mut().segments.get_mut(&active.number) {
            segment.bytes = format::offset(encoder.place.block);
        }
        if let Err(error) = written {
            let mut state = self.state.borrow_mut();
            state.failed_flushes += 1;
            state.open = None;
            state.disown(active.number, pending);
            return Err(error);
        }
        let records: Vec<Entry> =
            encoder.entries.iter().filter(|entry| entry.kind != kind::NOTES).copied().collect();
        active.blocks = encoder.place.block;
        active.entries.append(&mut encoder.entries);
        active.lines.append(&mut encoder.lines);
        let number = active.number;
        let mut state = self.state.borrow_mut();
        if let Some(segment) = state.segments.get_mut(&number) {
            segment.durable = segment.bytes;
        }
        state.active = Some(active);
        Ok((number, records))
    }

    async fn write_pending(
        &self,
        active: &Active<D>,
        encoder: &mut Encoder,
        pending: &[Pending],
    ) -> Result<(), SpoolError> {
        let mut at = format::offset(active.blocks);
        let mut notes = Vec::new();
        for item in pending {
            match item {
                Pending::Record(record) => {
                    encoder.record(record);
                }
                Pending::Note(note) => {
                    note.encode(&mut notes);
                    if notes.len() >= NOTES_BYTES {
                        encoder.notes(&mut notes);
                    }
                }
            }
            if encoder.out.len() >= WRITE_BYTES {
                let octets = std::mem::take(&mut encoder.out);
                let bytes = octets.len() as u64;
                write_all(&self.disk, &active.file, &active.path, octets, at).await?;
                at += bytes;
            }
        }
        encoder.notes(&mut notes);
        let octets = std::mem::take(&mut encoder.out);
        if !octets.is_empty() {
            write_all(&self.disk, &active.file, &active.path, octets, at).await?;
        }
        let synced = self.disk.fdatasync(&active.file).await;
        synced.map_err(|error| SpoolError::io("fdatasync", &active.path, &error))
    }

    /// Makes sure that there is a segment with room, sealing the one before it.
    async fn ensure_active(self: &Rc<Self>) -> Result<(), SpoolError> {
        let fits = {
            let state = self.state.borrow();
            state.active.as_ref().is_some_and(|active| !self.is_full(active, state.now))
        };
        if fits {
            return Ok(());
        }
        let fresh = self.begin_segment().await?;
        let old = self.state.borrow_mut().active.replace(fresh);
        if let Some(old) = old {
            self.seal(old);
        }
        Ok(())
    }

    fn is_full(&self, active: &Active<D>, now: u64) -> bool {
        format::offset(active.blocks) >= self.options.segment_bytes
            || now.saturating_sub(active.created_at) >= self.options.segment_age_ms
    }

    async fn begin_segment(&self) -> Result<Active<D>, SpoolError> {
        let (number, now, previous) = {
            let mut state = self.state.borrow_mut();
            let number = state.next_segment;
            state.next_segment = number.saturating_add(1);
            let previous = state.segments.iter().next_back().map(|(n, s)| (*n, s.durable));
            (number, state.now, previous)
        };
        let path = self.segment_path(number);
        let file = self.disk.create(&path).await;
        let file = file.map_err(|error| SpoolError::io("create", &path, &error))?;
        let meta = SegmentMeta {
            format: 1,
            created_at: now,
            previous: previous.map(|(number, _)| number),
            previous_bytes: previous.map_or(0, |(_, bytes)| bytes),
        };
        let meta = serde_json::to_vec(&meta).unwrap_or_default();
        let salt = mix(self.options.salt, number);
        let place = Place {
            kind: kind::SEGMENT,
            flags: 0,
            segment: number,
            block: 0,
            salt,
            flushed: 0,
            stamp: 0,
            id: NOBODY,
        };
        let mut octets = Vec::new();
        let head = format::encode(&mut octets, place, &meta, &[], std::iter::empty());
        let bytes = octets.len() as u64;
        if let Err(error) = self.write_first(&file, &path, octets).await {
            // An empty name is harmless, but on a full disk each try would leave one.
            let _ = self.disk.remove(&path).await;
            return Err(error);
        }
        self.options.budget.add(bytes);
        let segment = Segment { bytes, durable: bytes, ..Segment::default() };
        let mut state = self.state.borrow_mut();
        state.segments.insert(number, segment);
        state.open = Some(number);
        drop(state);
        let blocks = head.blocks();
        let entries = vec![Entry::of(&head)];
        let lines = Vec::new();
        Ok(Active { number, file, path, salt, created_at: now, blocks, entries, lines })
    }

    /// The first record, and the segment's name: both durable before anything in it counts.
    async fn write_first(
        &self,
        file: &D::File,
        path: &std::path::Path,
        octets: Vec<u8>,
    ) -> Result<(), SpoolError> {
        write_all(&self.disk, file, path, octets, 0).await?;
        let synced = self.disk.fdatasync(file).await;
        synced.map_err(|error| SpoolError::io("fdatasync", path, &error))?;
        let synced = self.disk.sync_dir(&self.options.directory).await;
        synced.map_err(|error| SpoolError::io("fsync", &self.options.directory, &error))
    }

    /// Writes index and trailer behind a full segment, beside everything else. If that fails or is
    /// cut off, recovery reads the whole segment instead.
    fn seal(self: &Rc<Self>, old: Active<D>) {
        let number = old.number;
        if let Some(segment) = self.state.borrow_mut().segments.get_mut(&number) {
            segment.busy = true;
        }
        let inner = Rc::clone(self);
        self.disk.spawn(async move {
            let bytes = inner.write_index(&old).await.unwrap_or(0);
            inner.options.budget.add(bytes);
            if let Some(segment) = inner.state.borrow_mut().segments.get_mut(&number) {
                segment.bytes += bytes;
                segment.busy = false;
            }
        });
    }

    async fn write_index(&self, old: &Active<D>) -> Result<u64, SpoolError> {
        let place = Place {
            kind: kind::INDEX,
            flags: 0,
            segment: old.number,
            block: old.blocks,
            salt: old.salt,
            flushed: old.blocks,
            stamp: 0,
            id: NOBODY,
        };
        let body = format::encode_index(&old.entries);
        let mut octets = Vec::new();
        format::encode(&mut octets, place, &old.lines, &[], std::iter::once(&*body));
        let trailer = Trailer { segment: old.number, index_block: old.blocks, salt: old.salt };
        trailer.encode(&mut octets);
        let bytes = octets.len() as u64;
        let at = format::offset(old.blocks);
        write_all(&self.disk, &old.file, &old.path, octets, at).await?;
        let synced = self.disk.fdatasync(&old.file).await;
        synced.map_err(|error| SpoolError::io("fdatasync", &old.path, &error))?;
        Ok(bytes)
    }
}

impl<D: Disk> State<D> {
    /// A flush is durable: its records are alive now.
    fn accept(&mut self, segment: u32, pending: &[Pending], entries: &[Entry]) {
        let records = pending.iter().filter_map(|item| match item {
            Pending::Record(record) => Some(record),
            Pending::Note(_) => None,
        });
        for (record, entry) in records.zip(entries) {
            let location = Location::new(segment, entry);
            if let Some(info) = self.segments.get_mut(&segment) {
                info.live_blocks += entry.blocks;
                info.newest_stamp = info.newest_stamp.max(entry.stamp);
            }
            if record.id == NOBODY {
                continue;
            }
            match record.moved_from {
                None => {
                    self.index.insert(record.id, location);
                }
                Some(old) if self.index.get(&record.id) == Some(&old) => {
                    self.index.insert(record.id, location);
                    let now = self.now;
                    self.bury(old, now);
                }
                // Killed while it was being moved: its tombstone speaks of the old place.
                Some(_) => {
                    let now = self.now;
                    self.bury(location, now);
                    let note = self.tombstone(record.id, segment);
                    self.pending.push(Pending::Note(note));
                    self.wanted = true;
                }
            }
        }
    }

    /// A flush failed, but its records may lie in the closed segment all the same: their tombstones and
    /// files must outlive that segment.
    fn disown(&mut self, segment: u32, pending: &[Pending]) {
        for item in pending {
            if let Pending::Record(record) = item
                && record.id != NOBODY
            {
                self.twins.entry(record.id).or_default().push(segment);
            }
        }
    }

    /// A flush failed. Notes (they hold in any order and any number of times) and rows of the mail log
    /// are tried again with the next one. Mails are not: whoever waits for them was told.
    fn keep(&mut self, pending: Vec<Pending>) {
        let again = pending.into_iter().filter(|item| match item {
            Pending::Note(_) => true,
            Pending::Record(record) => record.id == NOBODY,
        });
        let mut kept: Vec<Pending> = again.collect();
        let bytes = |item: &Pending| match item {
            Pending::Note(note) => note.text.len() + 64,
            Pending::Record(record) => record.body.iter().map(|piece| piece.len()).sum(),
        };
        // The newest are kept.
        let mut room = KEPT_BYTES_MAX;
        let from = kept.iter().rposition(|item| {
            let fits = bytes(item) <= room;
            room = room.saturating_sub(bytes(item));
            !fits
        });
        if let Some(last) = from {
            self.given_up += last as u64 + 1;
            kept.drain(..=last);
        }
        // What came meanwhile is always kept: its own flush is still to come.
        kept.append(&mut self.pending);
        self.pending = kept;
    }
}

impl<D: Disk> Log<D> {
    /// Once a second: tells the time, flushes what waits, seals what is old enough, compacts.
    pub async fn tick(&self, now: UnixMillis) {
        let inner = &self.inner;
        let old = {
            let mut state = inner.state.borrow_mut();
            state.now = now.0;
            if !state.pending.is_empty() {
                state.wanted = true;
            }
            let due = !state.flushing
                && state.active.as_ref().is_some_and(|active| inner.is_full(active, now.0));
            if due {
                state.open = None;
                state.active.take()
            } else {
                None
            }
        };
        if let Some(old) = old {
            inner.seal(old);
        }
        if inner.state.borrow().wanted {
            inner.want_flush();
        }
        if let Ok(free) = inner.disk.free_bytes(&inner.options.directory).await {
            inner.options.budget.set_free(free);
        }
        inner.tidy_aside_if_due().await;
        inner.compact_if_due();
    }

    /// Tells the time without doing anything: for callers that have a newer one than the last tick.
    pub(crate) fn set_now(&self, now: UnixMillis) {
        self.inner.state.borrow_mut().now = now.0;
    }
}

/// Another salt for each segment of one start.
fn mix(salt: u64, number: u32) -> u64 {
    let mut mixed = salt ^ u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 27)
}

const _: () = assert!(WRITE_BYTES.is_multiple_of(BLOCK_BYTES) && NOTES_BYTES <= WRITE_BYTES);
// Every note fits into a record of notes.
const _: () = assert!(format::NOTE_BYTES_MAX <= NOTES_BYTES);
