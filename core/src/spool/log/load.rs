//! Reading what earlier processes left, and reading single records.
//!
//! | what is found | what is done |
//! |---|---|
//! | sealed segment | its index and its notes are read; bodies are checked when they are read |
//! | unsealed segment | all of it is read and checked, in windows of 1 MiB |
//! | a gap (bad magic, head, checksum, end record) | reading goes on at the next block that holds a record |
//! | ... before the last point known as flushed | [`Damage`] with `acknowledged`; octets copied to `damaged/` ([`super::aside`]) |
//! | ... after it | unfinished tail: [`Damage`] without `acknowledged`, dropped |
//! | a file shorter than the next segment says | [`Damage`]: truncated, with both lengths |
//! | a file that cannot be opened or read | [`Damage`] at offset 0 with the system's text |
//! | two live records of one id | compaction was cut off: the newer one counts |
//! | a file in `large/` that no live record names | removed |

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::flush::SegmentMeta;
use super::notes::Notes;
use super::{Inner, Location, Log, Pending, ReadRecord, files_of, large_name};
use crate::content::{Content, Piece};
use crate::limits::BLOCK_BYTES;
use crate::spool::disk::Disk;
use crate::spool::format::{self, Entry, Found, Head, Note, Step, Trailer, Walk, kind};
use crate::spool::{CopyId, Damage, SpoolError};

/// Octets read at a time.
pub(super) const READ_BYTES: usize = 1 << 20;
/// Records, entries or tombstones that are worked on before others on the shard have their turn.
const AT_ONCE: usize = 256;
/// First read of a record's metadata: head and what most metadata need.
const META_READ_BYTES: usize = 2 * BLOCK_BYTES;

/// What [`Log::load`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Live records of earlier processes, in the order in which they lie on the disk.
    pub ids: Vec<CopyId>,
    /// Their notes: slot and text, the newest of each slot.
    pub notes: BTreeMap<CopyId, Vec<(u16, Vec<u8>)>>,
}

/// One piece of a content, as the layout names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub(crate) enum LayoutPiece {
    /// Octets of the record's body.
    Inline {
        /// How many.
        inline: u64,
    },
    /// A range of a file in `large/`.
    File {
        /// Name.
        file: String,
        /// First octet.
        offset: u64,
        /// Octets.
        bytes: u64,
        /// Length of the file.
        length: u64,
    },
}

/// The layout of a content; empty if all of it is in memory.
pub(super) fn layout_of(id: CopyId, content: &Content) -> Vec<u8> {
    let files = files_of(content);
    if files.is_empty() {
        return Vec::new();
    }
    let piece = |piece: &Piece| match piece {
        Piece::Memory(octets) => LayoutPiece::Inline { inline: octets.len() as u64 },
        Piece::File { file, offset, bytes } => {
            let number = files.iter().position(|(path, _)| *path == file.path).unwrap_or(0);
            LayoutPiece::File {
                file: large_name(id, number),
                offset: *offset,
                bytes: *bytes,
                length: file.bytes,
            }
        }
    };
    serde_json::to_vec(&content.pieces.iter().map(piece).collect::<Vec<_>>()).unwrap_or_default()
}

/// The pieces of a layout.
pub(crate) fn layout_pieces(layout: &[u8]) -> Result<Vec<LayoutPiece>, String> {
    serde_json::from_slice(layout).map_err(|error| format!("layout: {error}"))
}

/// Tombstones by id: when the record died, and the segments they name.
type Tombstones = BTreeMap<CopyId, (u64, Vec<u32>)>;

/// What one segment says, its notes left out: there may be half a million of them, so each is handed on when it is
/// read.
#[derive(Debug, Default)]
pub(super) struct SegmentContents {
    pub(super) entries: Vec<Entry>,
    meta: Option<SegmentMeta>,
    gaps: Vec<Damage>,
}

impl<D: Disk> Log<D> {
    /// Reads the segments of earlier processes; new records are accepted meanwhile. To be called once.
    /// Never fails: what cannot be read is a damage ([`Log::take_damage`]) and concerns only itself.
    pub async fn load(&self) -> Loaded {
        let notes = self.read_old().await;
        let loaded = self.inner.loaded(notes);
        self.inner.remove_orphans().await;
        loaded
    }

    /// Reads what earlier processes left, and finds out what of it is alive.
    pub(super) async fn read_old(&self) -> Notes {
        let inner = &self.inner;
        let numbers: Vec<u32> = {
            let state = inner.state.borrow();
            state.segments.range(..state.first_own).map(|(number, _)| *number).rev().collect()
        };
        let mut notes = Notes::default();
        let mut tombstones = Tombstones::new();
        let mut lengths: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for number in numbers {
            let take = &mut |note: Note| {
                let Some(segment) = note.tombstone else {
                    notes.add(note.id, note.slot, note.origin, &note.text);
                    return;
                };
                let (at, segments) =
                    tombstones.entry(note.id).or_insert_with(|| (note.at, Vec::new()));
                *at = note.at.min(*at);
                segments.push(segment);
            };
            let contents = inner.contents_or_damage(number, take).await;
            if let Some(SegmentMeta { previous: Some(previous), previous_bytes, .. }) =
                contents.meta
            {
                lengths.insert(previous, (number, previous_bytes));
            }
            inner.admit(number, &contents).await;
            inner.set_aside(contents.gaps).await;
            inner.disk.pause().await;
        }
        inner.check_lengths(&lengths);
        inner.bury_all(tombstones).await;
        inner.state.borrow_mut().loaded = true;
        notes
    }
}

impl<D: Disk> Inner<D> {
    async fn contents_or_damage(
        &self,
        number: u32,
        take: &mut impl FnMut(Note),
    ) -> SegmentContents {
        match self.contents(number, take).await {
            Ok(contents) => contents,
            Err(error) => {
                let mut state = self.state.borrow_mut();
                if let Some(segment) = state.segments.get_mut(&number) {
                    // Never compact or remove what could not be read.
                    segment.busy = true;
                }
                state.report(Damage {
                    path: self.segment_path(number),
                    offset: 0,
                    bytes: 0,
                    what: error.to_string(),
                    acknowledged: true,
                });
                SegmentContents::default()
            }
        }
    }

    /// Reads what a segment says: by its index if it is sealed, else all of it. `take` gets its notes in their
    /// order.
    pub(super) async fn contents(
        &self,
        number: u32,
        take: &mut impl FnMut(Note),
    ) -> Result<SegmentContents, SpoolError> {
        let (file, path, bytes) = self.open_segment(number).await?;
        if let Some(contents) = self.indexed(&file, &path, number, bytes, take).await? {
            return Ok(contents);
        }
        // After a kill -9 this may show what is only in the page cache: nothing may be built on that. A
        // failure changes nothing, the octets are read either way.
        let _ = self.disk.fdatasync(&file).await;
        let mut contents = SegmentContents::default();
        let (mut flushed, mut count) = (0, 0_usize);
        let mut walk = Walk::new(number);
        let mut window = Vec::new();
        let (mut from, mut last) = (0, false);
        loop {
            match walk.step(&window, from, last) {
                Step::Found(Found::Record(head, payload)) => {
                    flushed = flushed.max(head.flushed);
                    contents.take(&head, payload.meta, payload.body, take);
                }
                Step::Found(Found::Gap { offset, bytes, what }) => contents.gaps.push(Damage {
                    path: path.clone(),
                    offset,
                    bytes,
                    what,
                    acknowledged: false,
                }),
                Step::More(wanted) => {
                    let wanted = wanted.max(READ_BYTES as u64);
                    from = walk.offset();
                    // Given back first: two windows would be twice the memory for a record of many MiB.
                    drop(window);
                    window = self.read_range(&file, &path, from, wanted).await?;
                    last = (window.len() as u64) < wanted;
                }
                Step::End => break,
            }
            count += 1;
            if count.is_multiple_of(AT_ONCE) {
                self.disk.pause().await;
            }
        }
        for gap in &mut contents.gaps {
            gap.acknowledged = gap.offset < format::offset(flushed);
        }
        Ok(contents)
    }

    /// Opens a segment; gives its path and its length too.
    pub(super) async fn open_segment(
        &self,
        number: u32,
    ) -> Result<(D::File, PathBuf, u64), SpoolError> {
        let path = self.segment_path(number);
        let file = self.disk.open(&path).await;
        let file = file.map_err(|error| SpoolError::io("open", &path, &error))?;
        let bytes = self.disk.bytes(&file).await;
        let bytes = bytes.map_err(|error| SpoolError::io("stat", &path, &error))?;
        Ok((file, path, bytes))
    }

    /// The entries of the index and its metadata; `None` if there is no index that checks.
    pub(super) async fn index_of(
        &self,
        file: &D::File,
        path: &Path,
        number: u32,
        bytes: u64,
    ) -> Result<Option<(Vec<Entry>, Vec<u8>)>, SpoolError> {
        let block = BLOCK_BYTES as u64;
        if bytes < 3 * block || !bytes.is_multiple_of(block) {
            return Ok(None);
        }
        let last = self.read_range(file, path, bytes - block, block).await?;
        let Some(trailer) = Trailer::parse(&last, number) else { return Ok(None) };
        let start = format::offset(trailer.index_block);
        let octets =
            self.read_range(file, path, start, bytes.saturating_sub(start + block)).await?;
        let Ok(head) = Head::parse(&octets, number, trailer.index_block) else { return Ok(None) };
        let Ok(payload) = head.payload(&octets) else { return Ok(None) };
        let index = (format::parse_index(payload.body), payload.meta.to_vec());
        Ok((head.kind == kind::INDEX).then_some(index))
    }

    /// The contents by the index; `None` if there is none that checks.
    async fn indexed(
        &self,
        file: &D::File,
        path: &Path,
        number: u32,
        bytes: u64,
        take: &mut impl FnMut(Note),
    ) -> Result<Option<SegmentContents>, SpoolError> {
        let Some((entries, _)) = self.index_of(file, path, number, bytes).await? else {
            return Ok(None);
        };
        let mut contents = SegmentContents::default();
        for entry in entries {
            if entry.kind != kind::NOTES && entry.kind != kind::SEGMENT {
                contents.entries.push(entry);
                continue;
            }
            let length = format::offset(entry.blocks);
            let octets = self.read_range(file, path, format::offset(entry.block), length).await?;
            let head = Head::parse(&octets, number, entry.block);
            match head.and_then(|head| head.payload(&octets).map(|payload| (head, payload))) {
                Ok((head, payload)) => contents.take(&head, payload.meta, payload.body, take),
                Err(what) => contents.gaps.push(Damage {
                    path: path.to_path_buf(),
                    offset: format::offset(entry.block),
                    bytes: length,
                    what,
                    acknowledged: true,
                }),
            }
        }
        Ok(Some(contents))
    }

    /// Reads a range, in pieces; shorter if the file ends before.
    pub(super) async fn read_range(
        &self,
        file: &D::File,
        path: &Path,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, SpoolError> {
        let mut octets = Vec::new();
        while (octets.len() as u64) < bytes {
            let left = usize::try_from(bytes - octets.len() as u64).unwrap_or(READ_BYTES);
            let at = offset + octets.len() as u64;
            let part = self.disk.read_at(file, at, left.min(READ_BYTES)).await;
            let part = part.map_err(|error| SpoolError::io("read", path, &error))?;
            if part.is_empty() {
                break;
            }
            // Most reads are a single one: no copy then.
            if octets.is_empty() {
                octets = part;
            } else {
                octets.extend_from_slice(&part);
            }
        }
        Ok(octets)
    }

    /// Puts a segment's records into the index. Segments come newest first.
    async fn admit(&self, number: u32, contents: &SegmentContents) {
        for entries in contents.entries.chunks(AT_ONCE) {
            self.admit_some(number, entries);
            self.disk.pause().await;
        }
    }

    fn admit_some(&self, number: u32, entries: &[Entry]) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let now = state.now;
        let (mut live_blocks, mut newest, mut twin_died) = (0, 0, None);
        for entry in entries.iter().filter(|entry| entry.kind >= kind::QUEUED) {
            newest = entry.stamp.max(newest);
            if entry.id.mail.0.is_nil() {
                live_blocks += entry.blocks;
                continue;
            }
            match state.index.entry(entry.id) {
                Slot::Occupied(_) => {
                    state.twins.entry(entry.id).or_default().push(number);
                    twin_died = Some(now);
                }
                Slot::Vacant(slot) => {
                    live_blocks += entry.blocks;
                    slot.insert(Location::new(number, entry));
                }
            }
        }
        if let Some(segment) = state.segments.get_mut(&number) {
            segment.live_blocks += live_blocks;
            segment.newest_stamp = newest.max(segment.newest_stamp);
            segment.dead_since = segment.dead_since.or(twin_died);
        }
    }

    fn check_lengths(&self, lengths: &BTreeMap<u32, (u32, u64)>) {
        let mut state = self.state.borrow_mut();
        for (number, (next, wanted)) in lengths {
            let Some(bytes) = state.segments.get(number).map(|segment| segment.bytes) else {
                continue;
            };
            if bytes < *wanted {
                let what = format!("truncated: {bytes} octets, segment {next} says {wanted}");
                let path = self.segment_path(*number);
                let (offset, bytes) = (bytes, wanted - bytes);
                state.report(Damage { path, offset, bytes, what, acknowledged: true });
            }
        }
    }

    /// Applies tombstones; what they name is out of reach until all are applied.
    async fn bury_all(&self, tombstones: Tombstones) {
        for (count, (id, (at, named))) in tombstones.into_iter().enumerate() {
            if count.is_multiple_of(AT_ONCE) {
                self.disk.pause().await;
            }
            let mut state = self.state.borrow_mut();
            let Some(location) = state.index.remove(&id) else { continue };
            state.bury(location, at);
            let mut holders = state.twins.remove(&id).unwrap_or_default();
            holders.push(location.segment);
            // Killed while compaction moved it, and the power went before its new place got a
            // tombstone: without one it would rise when the old place and its tombstone are gone.
            for segment in holders.into_iter().filter(|segment| !named.contains(segment)) {
                let note = state.tombstone(id, segment);
                state.pending.push(Pending::Note(note));
            }
        }
    }

    /// The live records of earlier processes, with their notes.
    fn loaded(&self, notes: Notes) -> Loaded {
        let state = self.state.borrow();
        let old = state.index.iter().filter(|(_, location)| location.segment < state.first_own);
        let mut found: Vec<(Location, CopyId)> = old.map(|(id, at)| (*at, *id)).collect();
        found.sort_unstable();
        let ids: Vec<CopyId> = found.into_iter().map(|(_, id)| id).collect();
        let mut loaded = Loaded { ids, notes: BTreeMap::new() };
        for (id, slot, text) in notes.into_all() {
            if state.index.contains_key(&id) {
                loaded.notes.entry(id).or_default().push((slot, text));
            }
        }
        loaded
    }

    pub(super) async fn remove_orphans(&self) {
        let Ok(entries) = self.disk.list(&self.large()).await else { return };
        for entry in entries {
            let id = entry.name.strip_suffix(".large").and_then(|name| name.rsplit_once('-'));
            let id = id.and_then(|(id, _)| id.parse::<CopyId>().ok());
            let wanted = {
                let state = self.state.borrow();
                id.is_some_and(|id| {
                    state.index.contains_key(&id)
                        || state.appending.contains(&id)
                        || state.twins.contains_key(&id)
                })
            };
            if !wanted && self.disk.remove(&self.large().join(&entry.name)).await.is_ok() {
                self.options.budget.release(entry.bytes);
            }
        }
    }

    /// Reads the octets of a record, and its head.
    pub(super) async fn read_raw(&self, at: Location) -> Result<(Head, Vec<u8>), SpoolError> {
        let octets = self.read_blocks(at, format::offset(at.blocks())).await?;
        let head = Head::parse(&octets, at.segment, at.block);
        Ok((head.map_err(|what| self.damaged(at, what))?, octets))
    }

    pub(super) async fn read_blocks(
        &self,
        at: Location,
        bytes: u64,
    ) -> Result<Vec<u8>, SpoolError> {
        let path = self.segment_path(at.segment);
        let file = self.disk.open(&path).await;
        let file = file.map_err(|error| SpoolError::io("open", &path, &error))?;
        self.read_range(&file, &path, format::offset(at.block), bytes).await
    }

    pub(super) fn damaged(&self, at: Location, what: String) -> SpoolError {
        let path = self.segment_path(at.segment);
        SpoolError::Damaged { path, offset: format::offset(at.block), what }
    }

    pub(super) async fn read_meta_at(&self, at: Location) -> Result<Vec<u8>, SpoolError> {
        let all = format::offset(at.blocks());
        let mut octets = self.read_blocks(at, all.min(META_READ_BYTES as u64)).await?;
        let head = Head::parse(&octets, at.segment, at.block);
        let head = head.map_err(|what| self.damaged(at, what))?;
        if format::HEAD_BYTES + head.meta_bytes as usize > octets.len() {
            octets = self.read_blocks(at, all).await?;
        }
        Ok(head.meta(&octets).map_err(|what| self.damaged(at, what))?.to_vec())
    }

    pub(super) async fn read_at(&self, at: Location) -> Result<ReadRecord, SpoolError> {
        let (head, octets) = self.read_raw(at).await?;
        let payload = head.payload(&octets).map_err(|what| self.damaged(at, what))?;
        let meta = payload.meta.to_vec();
        if payload.layout.is_empty() {
            return Ok(ReadRecord { meta, content: Content::from_octets(payload.body) });
        }
        let layout = layout_pieces(payload.layout).map_err(|what| self.damaged(at, what))?;
        let mut content = Content::default();
        let mut inline = payload.body;
        for piece in layout {
            content.pieces.push(match piece {
                LayoutPiece::Inline { inline: bytes } => {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    let Some((octets, rest)) = inline.split_at_checked(bytes) else {
                        let what = format!("layout: {bytes} octets of {} left", inline.len());
                        return Err(self.damaged(at, what));
                    };
                    inline = rest;
                    Piece::Memory(octets.into())
                }
                LayoutPiece::File { file, offset, bytes, length } => {
                    let path = self.large().join(&file);
                    let large = self.disk.open_large(&path).await;
                    let large = large.map_err(|error| {
                        self.damaged(at, format!("its file {}: {error}", path.display()))
                    })?;
                    if large.bytes != length {
                        let (is, path) = (large.bytes, path.display());
                        let what = format!("its file {path}: {is} octets, expected {length}");
                        return Err(self.damaged(at, what));
                    }
                    Piece::File { file: Arc::new(large), offset, bytes }
                }
            });
        }
        Ok(ReadRecord { meta, content })
    }
}

impl SegmentContents {
    fn take(&mut self, head: &Head, meta: &[u8], body: &[u8], take: &mut impl FnMut(Note)) {
        match head.kind {
            kind::SEGMENT => self.meta = serde_json::from_slice(meta).ok(),
            kind::NOTES => {
                self.entries.push(Entry::of(head));
                Note::parse_all(body).into_iter().for_each(take);
            }
            kind::INDEX => {}
            _ => self.entries.push(Entry::of(head)),
        }
    }
}

/// Segments that are on the disk now: for [`super::compact`].
impl<D: Disk> Inner<D> {
    pub(super) fn present(&self) -> BTreeSet<u32> {
        self.state.borrow().segments.keys().copied().collect()
    }
}
