//! One append-only log of one shard: the spool, each retention class of the quarantine and the mail log
//! are such logs. One writer; everybody else reads.
//!
//! **Appending.** [`Log::append`] returns when the record is durable. All that gathered while the last
//! flush ran goes into the next one: one write, one `fdatasync` (group commit); under load it waits a moment for more. A segment's name is
//! fsynced before its first record counts. After a failed write or `fdatasync` the segment is closed for
//! ever, everybody who waited gets the error, and the next append opens a new segment.
//!
//! **Changing.** A record never changes. Notes (small, many to a record of one block) say what changed;
//! [`Log::kill`] is a tombstone note. Ids are used once, so a tombstone holds wherever and in whatever order it is
//! read; notes to one slot are ordered by a number that survives restarts and compaction.
//!
//! **Starting.** [`Log::open`] only lists the directory and appends to a fresh segment, so that new mail
//! never waits for old segments. [`Log::load`] reads these: of a sealed one the index, of another one everything.
//! The queue comes back mail by mail (`recover`).
//!
//! **Space.** A segment without live records is removed, one that is mostly dead, or whose oldest dead record has
//! waited [`LogOptions::dead_age_ms`], is copied and removed.
//!
//! Memory per live record: one entry of a B-tree, 34 octets, 40-75 with the tree's slack. Not a hash map:
//! growing one of a million entries would stall the shard. Besides: what waits for the flush, and the
//! index of the active segment (36 octets per record of at least 4 KiB, and some 110 for each queued mail).
//!
//! Faults: see `load`. Not done here: budgets are only counted; refusing is the callers' business.

mod aside;
mod batch;
mod compact;
mod flush;
mod load;
mod notes;
mod pace;
mod recover;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use batch::Batch;
pub use batch::Ticket;
pub use load::Loaded;
pub(crate) use load::{LayoutPiece, layout_pieces};
pub(crate) use notes::Notes;
use pace::Pace;
pub(crate) use recover::Reading;

use super::budget::Budget;
use super::disk::Disk;
use super::format::{self, Entry, Note};
use super::{CopyId, Damage, SpoolError};
use crate::clock::UnixMillis;
use crate::content::{Content, Piece};

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Directory of this log; created if absent.
    pub directory: PathBuf,
    /// A segment is sealed when it has this many octets.
    pub segment_bytes: u64,
    /// A segment is sealed when it is that old, whatever its size, in milliseconds.
    pub segment_age_ms: u64,
    /// Octets of killed records leave the disk at latest after that time, in milliseconds.
    pub dead_age_ms: u64,
    /// Random number of this start; salts the records, so that nobody can forge one in a mail.
    pub salt: u64,
    /// Budget that its files count against.
    pub budget: Arc<Budget>,
}

impl LogOptions {
    /// Defaults: segments of 64 MiB or six hours, dead octets gone within twelve hours.
    #[must_use]
    pub fn new(directory: PathBuf, salt: u64, budget: Arc<Budget>) -> Self {
        const HOUR_MS: u64 = 3_600_000;
        Self {
            directory,
            segment_bytes: 64 << 20,
            segment_age_ms: 6 * HOUR_MS,
            dead_age_ms: 12 * HOUR_MS,
            salt,
            budget,
        }
    }
}

/// Most damages that are kept until somebody takes them.
const DAMAGES_MAX: usize = 1000;

/// Where a live record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    segment: u32,
    block: u32,
    /// Blocks; the highest bit says that it has files of its own.
    extent: u32,
    stamp: u32,
}

const FILES_BIT: u32 = 1 << 31;

impl Location {
    fn new(segment: u32, entry: &Entry) -> Self {
        let files = if entry.flags & format::FLAG_FILES == 0 { 0 } else { FILES_BIT };
        let extent = (entry.blocks & !FILES_BIT) | files;
        Self { segment, block: entry.block, extent, stamp: entry.stamp }
    }

    fn blocks(self) -> u32 {
        self.extent & !FILES_BIT
    }

    fn has_files(self) -> bool {
        self.extent & FILES_BIT != 0
    }
}

/// What is known of one segment.
#[derive(Clone, Debug, Default)]
struct Segment {
    /// Length of the file, what was tried in vain included.
    bytes: u64,
    /// What this process knows to be flushed of it; 0 for segments of earlier ones.
    durable: u64,
    live_blocks: u32,
    /// When the first of its dead records died, milliseconds.
    dead_since: Option<u64>,
    newest_stamp: u32,
    /// Being sealed, compacted or removed, or set aside: not to be touched.
    busy: bool,
    /// Could not be compacted, because of the disk or of a damaged record: not tried again before then, so
    /// that it does not stand in the way of others.
    not_before: u64,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active<D: Disk> {
    number: u32,
    file: D::File,
    path: PathBuf,
    salt: u64,
    created_at: u64,
    /// Blocks that are durable; the next record starts there.
    blocks: u32,
    entries: Vec<Entry>,
    /// What the index will say of the queued mails ([`crate::spool::summary`]).
    lines: Vec<u8>,
}

/// Something that waits for the next flush.
#[derive(Clone, Debug)]
enum Pending {
    Record(Box<Record>),
    Note(Note),
}

/// A record that waits for the next flush.
#[derive(Clone, Debug)]
struct Record {
    id: CopyId,
    kind: u16,
    flags: u16,
    stamp: u32,
    meta: Vec<u8>,
    layout: Vec<u8>,
    body: Vec<Arc<[u8]>>,
    /// Where it was, if compaction moves it.
    moved_from: Option<Location>,
}

#[derive(Debug)]
struct State<D: Disk> {
    index: BTreeMap<CopyId, Location>,
    /// Segments that hold further copies of a record, which count for nothing: compaction that was cut
    /// off by a crash, flushes that failed.
    twins: BTreeMap<CopyId, Vec<u32>>,
    segments: BTreeMap<u32, Segment>,
    active: Option<Active<D>>,
    /// Its number, also while a flush has it in hand: nothing may be taken out of that segment.
    open: Option<u32>,
    next_segment: u32,
    /// Segments from this number on were begun by this process.
    first_own: u32,
    note_origin: u64,
    pending: Vec<Pending>,
    gather: Rc<Batch>,
    pace: Pace,
    /// Somebody wants a flush now.
    wanted: bool,
    flushing: bool,
    loaded: bool,
    /// Records of earlier processes from this segment and block on are out of reach: see [`recover`].
    unread: Option<(u32, u32)>,
    compacting: bool,
    /// Records whose files are linked but whose record is not yet in the index.
    appending: BTreeSet<CopyId>,
    damage: Vec<Damage>,
    now: u64,
    /// When the copies in `damaged/` are looked at next.
    aside_look_at: u64,
    failed_flushes: u64,
    given_up: u64,
}

#[derive(Debug)]
struct Inner<D: Disk> {
    disk: D,
    options: LogOptions,
    state: RefCell<State<D>>,
}

/// See the module. Cheap to clone; belongs to one shard.
#[derive(Debug)]
pub struct Log<D: Disk> {
    inner: Rc<Inner<D>>,
}

impl<D: Disk> Clone for Log<D> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

/// A record to be written.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Its id; a nil mail id makes a record that is never looked up by id (mail log).
    pub id: CopyId,
    /// Kind, from 16 on.
    pub kind: u16,
    /// Time that the owner goes by (held at, newest row), seconds since 1970.
    pub stamp: u32,
    /// Metadata.
    pub meta: Vec<u8>,
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// Metadata.
    pub meta: Vec<u8>,
    /// Content: small ones in memory, large ones as files.
    pub content: Content,
}

impl<D: Disk> Log<D> {
    /// Opens a log: lists its directory, reads nothing. Appending works at once.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the directory cannot be made or listed; the operator's.
    pub async fn open(disk: D, options: LogOptions, now: UnixMillis) -> Result<Self, SpoolError> {
        let directory = options.directory.clone();
        let fail = |error| SpoolError::io("open", &directory, &error);
        disk.create_dir(&directory).await.map_err(fail)?;
        disk.create_dir(&directory.join("large")).await.map_err(fail)?;
        let mut segments = BTreeMap::new();
        for entry in disk.list(&directory).await.map_err(fail)? {
            if let Some(number) = segment_number(&entry.name) {
                options.budget.add(entry.bytes);
                segments.insert(number, Segment { bytes: entry.bytes, ..Segment::default() });
            }
        }
        for entry in disk.list(&directory.join("large")).await.map_err(fail)? {
            options.budget.add(entry.bytes);
        }
        let next_segment = segments.keys().next_back().map_or(1, |last| last.saturating_add(1));
        let state = State {
            index: BTreeMap::new(),
            twins: BTreeMap::new(),
            loaded: segments.is_empty(),
            segments,
            unread: None,
            active: None,
            open: None,
            next_segment,
            first_own: next_segment,
            note_origin: u64::from(next_segment) << 32,
            pending: Vec::new(),
            gather: Rc::new(Batch::default()),
            pace: Pace::default(),
            wanted: false,
            flushing: false,
            compacting: false,
            appending: BTreeSet::new(),
            damage: Vec::new(),
            now: now.0,
            aside_look_at: 0,
            failed_flushes: 0,
            given_up: 0,
        };
        Ok(Self { inner: Rc::new(Inner { disk, options, state: RefCell::new(state) }) })
    }

    /// Appends a record; returns when it is durable. Dropping the future does not take it back.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: not durable; it may still be there after a crash. [`SpoolError::TooLarge`].
    /// [`SpoolError::AlreadyThere`].
    pub async fn append(&self, new: NewRecord, content: &Content) -> Result<(), SpoolError> {
        let id = new.id;
        let inner = &self.inner;
        if inner.state.borrow().index.contains_key(&id) {
            return Err(SpoolError::AlreadyThere {
                id,
                directory: inner.options.directory.clone(),
            });
        }
        let record = record_of(new, content)?;
        let files = record.flags & format::FLAG_FILES != 0;
        if files {
            inner.state.borrow_mut().appending.insert(id);
        }
        let result = match inner.link_files(id, content).await {
            Ok(()) => inner.enqueue(Pending::Record(Box::new(record)), true).durable().await,
            Err(error) => Err(error),
        };
        if files {
            // A record whose flush failed may turn up at the next start: its files go with its segment.
            let gone = {
                let mut state = inner.state.borrow_mut();
                state.appending.remove(&id);
                result.is_err() && !state.twins.contains_key(&id)
            };
            if gone {
                inner.remove_files(id).await;
            }
        }
        result
    }

    /// Appends a record without waiting: it is durable with the next flush, whoever causes it (at latest
    /// [`Log::tick`]). The content must be in memory.
    ///
    /// # Errors
    /// [`SpoolError::TooLarge`].
    pub fn append_lazy(
        &self,
        new: NewRecord,
        content: &Content,
        urgency: Urgency,
    ) -> Result<Ticket, SpoolError> {
        let record = record_of(new, content)?;
        if record.flags & format::FLAG_FILES != 0 {
            let what = "lazily written record";
            return Err(SpoolError::TooLarge { what, bytes: content.bytes(), bytes_max: 0 });
        }
        Ok(self.inner.enqueue(Pending::Record(Box::new(record)), urgency == Urgency::Now))
    }

    /// Notes a change to a live record. `slot`: what it is about; the newest note of a slot counts.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`]; [`SpoolError::TooLarge`].
    pub fn note(
        &self,
        id: CopyId,
        slot: u16,
        text: Vec<u8>,
        urgency: Urgency,
    ) -> Result<Ticket, SpoolError> {
        self.location(id)?;
        if text.len() > format::NOTE_BYTES_MAX {
            return Err(SpoolError::TooLarge {
                what: "note",
                bytes: text.len() as u64,
                bytes_max: format::NOTE_BYTES_MAX as u64,
            });
        }
        let note = {
            let mut state = self.inner.state.borrow_mut();
            let (origin, at) = (state.next_origin(), state.now);
            Note { id, slot, origin, at, tombstone: None, text }
        };
        Ok(self.inner.enqueue(Pending::Note(note), urgency == Urgency::Now))
    }

    /// Kills a record: gone for everybody at once, for ever when the ticket says so. After a power cut
    /// before that it is there again.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`].
    pub fn kill(&self, id: CopyId) -> Result<Ticket, SpoolError> {
        let location = self.location(id)?;
        let mut segments = vec![location.segment];
        {
            let mut state = self.inner.state.borrow_mut();
            state.index.remove(&id);
            let now = state.now;
            state.bury(location, now);
            segments.extend(state.twins.remove(&id).unwrap_or_default());
        }
        let mut ticket = None;
        for segment in segments {
            let note = self.inner.state.borrow_mut().tombstone(id, segment);
            ticket = Some(self.inner.enqueue(Pending::Note(note), true));
        }
        if location.has_files() {
            let (inner, mut gone) = (Rc::clone(&self.inner), self.inner.ticket());
            self.inner.disk.spawn(async move {
                // Not while the record could come back without them. After a flush that failed the tombstone is
                // written with the next one.
                while gone.durable().await.is_err() {
                    gone = inner.ticket();
                }
                inner.remove_files(id).await;
            });
        }
        Ok(ticket.unwrap_or_else(|| self.inner.ticket()))
    }

    /// Reads a record and checks all of it.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`], [`SpoolError::Damaged`] (also put among the damages), [`SpoolError::Io`].
    pub async fn read(&self, id: CopyId) -> Result<ReadRecord, SpoolError> {
        loop {
            let location = self.location(id)?;
            match self.inner.read_at(location).await {
                Ok(record) => return Ok(record),
                // Compaction may have moved it meanwhile.
                Err(_) if self.location(id).is_ok_and(|now| now != location) => {}
                Err(error) => {
                    self.inner.report(&error);
                    return Err(error);
                }
            }
        }
    }

    /// Reads only the metadata of a record.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub async fn read_meta(&self, id: CopyId) -> Result<Vec<u8>, SpoolError> {
        loop {
            let location = self.location(id)?;
            match self.inner.read_meta_at(location).await {
                Ok(meta) => return Ok(meta),
                Err(_) if self.location(id).is_ok_and(|now| now != location) => {}
                Err(error) => {
                    self.inner.report(&error);
                    return Err(error);
                }
            }
        }
    }

    /// Whether a record of that id is alive, as far as loading has come.
    #[must_use]
    pub fn contains(&self, id: CopyId) -> bool {
        self.inner.state.borrow().index.contains_key(&id)
    }

    /// Ids of the live copies of one mail.
    #[must_use]
    pub fn copies_of(&self, mail: crate::envelope::MailId) -> Vec<CopyId> {
        let range = CopyId::new(mail, 0)..=CopyId::new(mail, u16::MAX);
        self.inner.state.borrow().index.range(range).map(|(id, _)| *id).collect()
    }

    /// Whether [`Log::load`] is done.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.inner.state.borrow().loaded
    }

    /// Live records, as far as loading has come.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.state.borrow().index.len()
    }

    /// Ids of live records whose stamp is below `stamp`, at most `count_max`.
    #[must_use]
    pub fn older_than(&self, stamp: u32, count_max: usize) -> Vec<CopyId> {
        let state = self.inner.state.borrow();
        let old = state.index.iter().filter(|(_, location)| location.stamp < stamp);
        old.map(|(id, _)| *id).take(count_max).collect()
    }

    /// Takes the damages found since the last call.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        std::mem::take(&mut self.inner.state.borrow_mut().damage)
    }

    /// Flushes that failed since the start.
    #[must_use]
    pub fn failed_flushes(&self) -> u64 {
        self.inner.state.borrow().failed_flushes
    }

    /// Records and notes that were given up after failed flushes, because too much waited.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.inner.state.borrow().given_up
    }

    /// Flushes what waits, and returns when it is durable.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub async fn flush(&self) -> Result<(), SpoolError> {
        let idle = {
            let state = self.inner.state.borrow();
            state.pending.is_empty() && !state.flushing
        };
        if idle {
            return Ok(());
        }
        let ticket = self.inner.ticket();
        self.inner.want_flush();
        ticket.durable().await
    }

    fn location(&self, id: CopyId) -> Result<Location, SpoolError> {
        let state = self.inner.state.borrow();
        let found = state.index.get(&id).copied();
        // While old segments are being read, what one of them says may be overruled by another.
        found.filter(|found| state.is_within_reach(*found)).ok_or_else(|| SpoolError::NotFound {
            id,
            directory: self.inner.options.directory.clone(),
        })
    }
}

/// How soon a note has to be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A flush starts at once, or when the running one ends.
    Now,
    /// With the next flush, at latest the next tick.
    Lazy,
}

impl<D: Disk> State<D> {
    fn is_within_reach(&self, at: Location) -> bool {
        let given = self.unread.is_none_or(|unread| (at.segment, at.block) < unread);
        at.segment >= self.first_own || (self.loaded && given)
    }

    /// Whether a segment has records that nobody was given yet.
    fn is_unread(&self, segment: u32) -> bool {
        segment < self.first_own && self.unread.is_some_and(|(number, _)| segment >= number)
    }

    fn next_origin(&mut self) -> u64 {
        self.note_origin += 1;
        self.note_origin
    }

    /// The record at `location` is dead since `at`.
    fn bury(&mut self, location: Location, at: u64) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.live_blocks = segment.live_blocks.saturating_sub(location.blocks());
            segment.dead_since = Some(segment.dead_since.map_or(at, |since| since.min(at)));
        }
    }

    fn tombstone(&mut self, id: CopyId, segment: u32) -> Note {
        let (origin, at) = (self.next_origin(), self.now);
        Note { id, slot: 0, origin, at, tombstone: Some(segment), text: Vec::new() }
    }

    fn report(&mut self, damage: Damage) {
        if self.damage.len() < DAMAGES_MAX {
            self.damage.push(damage);
        }
    }
}

impl<D: Disk> Inner<D> {
    fn segment_path(&self, number: u32) -> PathBuf {
        self.options.directory.join(segment_name(number))
    }

    fn large(&self) -> PathBuf {
        self.options.directory.join("large")
    }

    /// Gives every file of a content a name in this log's own directory, durable.
    async fn link_files(&self, id: CopyId, content: &Content) -> Result<(), SpoolError> {
        let files = files_of(content);
        if files.is_empty() {
            return Ok(());
        }
        for (number, (from, bytes)) in files.iter().enumerate() {
            let to = self.large().join(large_name(id, number));
            let mut linked = self.disk.link(from, &to).await;
            if matches!(&linked, Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists) {
                // Left by an append that failed: the id is not alive.
                let _ = self.disk.remove(&to).await;
                linked = self.disk.link(from, &to).await;
            }
            linked.map_err(|error| SpoolError::io("link", &to, &error))?;
            self.options.budget.add(*bytes);
        }
        let synced = self.disk.sync_dir(&self.large()).await;
        synced.map_err(|error| SpoolError::io("fsync", &self.large(), &error))
    }

    async fn remove_files(&self, id: CopyId) {
        for number in 0..FILES_MAX {
            let path = self.large().join(large_name(id, number));
            let bytes = match self.disk.open_large(&path).await {
                Ok(file) => file.bytes,
                Err(_) => return,
            };
            if self.disk.remove(&path).await.is_ok() {
                self.options.budget.release(bytes);
            }
        }
    }
}

/// Most files of its own that one content may have.
const FILES_MAX: usize = 16;

/// Distinct files of a content in order, with their lengths.
fn files_of(content: &Content) -> Vec<(&Path, u64)> {
    let mut files: Vec<(&Path, u64)> = Vec::new();
    for piece in &content.pieces {
        if let Piece::File { file, .. } = piece
            && !files.iter().any(|(path, _)| *path == file.path)
        {
            files.push((&file.path, file.bytes));
        }
    }
    files
}

fn record_of(new: NewRecord, content: &Content) -> Result<Record, SpoolError> {
    let too_large = |what, bytes, bytes_max| Err(SpoolError::TooLarge { what, bytes, bytes_max });
    let layout = load::layout_of(new.id, content);
    let mut body = Vec::new();
    let mut inline = 0;
    for piece in &content.pieces {
        if let Piece::Memory(octets) = piece {
            inline += octets.len() as u64;
            body.push(Arc::clone(octets));
        }
    }
    if new.meta.len() > format::META_BYTES_MAX {
        return too_large("metadata", new.meta.len() as u64, format::META_BYTES_MAX as u64);
    }
    if inline > format::BODY_BYTES_MAX {
        return too_large("body in memory", inline, format::BODY_BYTES_MAX);
    }
    if layout.len() > format::LAYOUT_BYTES_MAX || files_of(content).len() > FILES_MAX {
        return too_large("files of one content", files_of(content).len() as u64, FILES_MAX as u64);
    }
    let flags = if layout.is_empty() { 0 } else { format::FLAG_FILES };
    Ok(Record {
        id: new.id,
        kind: new.kind,
        flags,
        stamp: new.stamp,
        meta: new.meta,
        layout,
        body,
        moved_from: None,
    })
}

pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:010}.segment")
}

/// The number in a segment's file name.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    name.strip_suffix(".segment")?.parse().ok()
}

pub(crate) fn large_name(id: CopyId, number: usize) -> String {
    format!("{id}-{number}.large")
}
