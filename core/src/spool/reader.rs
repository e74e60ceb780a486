//! Reading a log from another process, without the engine: for the command line.
//!
//! Blocking, read-only, and tolerant. A live writer may append, compact and remove segments meanwhile: a
//! segment that vanishes was compacted, so the directory is read again; what is not yet whole at the end of the
//! active segment is not there yet. What is damaged is skipped and reported ([`Scan::damage`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::disk::list_blocking;
use super::format::{self, Entry, Found, Head, Note, Trailer, kind};
use super::log::{LayoutPiece, layout_pieces, segment_number};
use super::{CopyId, Damage, SpoolError};
use crate::content::{Content, LargeFile, Piece};
use crate::limits::BLOCK_BYTES;

/// Times that the directory is read again because a segment vanished.
const TRIES_MAX: usize = 5;

/// Where one live record lies.
#[derive(Clone, Debug)]
pub struct Place {
    pub(crate) path: Arc<Path>,
    pub(crate) segment: u32,
    pub(crate) entry: Entry,
}

/// The live records of a log at one moment.
#[derive(Debug, Default)]
pub struct Scan {
    /// Live records by id.
    pub records: BTreeMap<CopyId, Place>,
    /// Records without an id, in the order of writing.
    pub rows: Vec<Place>,
    /// Newest note of each slot of the live records.
    pub notes: BTreeMap<CopyId, BTreeMap<u16, Vec<u8>>>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// Reads which records of the log in `directory` are alive. An absent directory is an empty log.
///
/// # Errors
/// The directory cannot be listed.
pub fn scan(directory: &Path) -> Result<Scan, SpoolError> {
    let mut tries = 0;
    loop {
        tries += 1;
        if let Some(scan) = scan_once(directory, tries == TRIES_MAX)? {
            return Ok(scan);
        }
    }
}

/// `None`: a segment vanished meanwhile.
fn scan_once(directory: &Path, last: bool) -> Result<Option<Scan>, SpoolError> {
    let entries =
        list_blocking(directory).map_err(|error| SpoolError::io("list", directory, &error))?;
    let mut scan = Scan::default();
    let mut notes: BTreeMap<(CopyId, u16), Note> = BTreeMap::new();
    let mut dead: BTreeSet<CopyId> = BTreeSet::new();
    // Oldest first: of two records of one id (compaction) the newer place counts.
    for entry in entries {
        let Some(segment) = segment_number(&entry.name) else { continue };
        let path = directory.join(&entry.name);
        let place_path: Arc<Path> = path.as_path().into();
        let contents = match contents(&path, segment) {
            Ok(contents) => contents,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if last {
                    continue;
                }
                return Ok(None);
            }
            Err(error) => {
                let what = error.to_string();
                scan.damage.push(Damage { path, offset: 0, bytes: 0, what, acknowledged: true });
                continue;
            }
        };
        scan.damage.extend(contents.damage);
        for entry in contents.entries.into_iter().filter(|entry| entry.kind >= kind::QUEUED) {
            let place = Place { path: Arc::clone(&place_path), segment, entry };
            if entry.id.mail.0.is_nil() {
                scan.rows.push(place);
            } else {
                scan.records.insert(entry.id, place);
            }
        }
        for note in contents.notes {
            if note.tombstone.is_some() {
                dead.insert(note.id);
                continue;
            }
            let key = (note.id, note.slot);
            if notes.get(&key).is_none_or(|newer| newer.origin < note.origin) {
                notes.insert(key, note);
            }
        }
    }
    scan.records.retain(|id, _| !dead.contains(id));
    for ((id, slot), note) in notes {
        if scan.records.contains_key(&id) {
            scan.notes.entry(id).or_default().insert(slot, note.text);
        }
    }
    Ok(Some(scan))
}

impl Place {
    /// Time that the owner goes by, seconds since 1970.
    #[must_use]
    pub fn stamp(&self) -> u32 {
        self.entry.stamp
    }

    /// Reads and checks the record; gives metadata and content.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] with file and offset; [`SpoolError::Io`].
    pub fn read(&self) -> Result<(Vec<u8>, Content), SpoolError> {
        let octets = self.octets(format::offset(self.entry.blocks))?;
        let damaged = |what| self.damaged(what);
        let head = Head::parse(&octets, self.segment, self.entry.block).map_err(damaged)?;
        let payload = head.payload(&octets).map_err(damaged)?;
        let meta = payload.meta.to_vec();
        if payload.layout.is_empty() {
            return Ok((meta, Content::from_octets(payload.body)));
        }
        let mut content = Content::default();
        let mut inline = payload.body;
        for piece in layout_pieces(payload.layout).map_err(damaged)? {
            content.pieces.push(match piece {
                LayoutPiece::Inline { inline: bytes } => {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    let Some((octets, rest)) = inline.split_at_checked(bytes) else {
                        return Err(self.damaged(format!("layout: {bytes} octets wanted")));
                    };
                    inline = rest;
                    Piece::Memory(octets.into())
                }
                LayoutPiece::File { file, offset, bytes, .. } => {
                    let file = self.large(&file)?;
                    Piece::File { file: Arc::new(file), offset, bytes }
                }
            });
        }
        Ok((meta, content))
    }

    /// Reads and checks only the metadata.
    ///
    /// # Errors
    /// As [`Place::read`].
    pub fn read_meta(&self) -> Result<Vec<u8>, SpoolError> {
        let octets = self.octets(format::offset(self.entry.blocks.min(2)))?;
        let damaged = |what| self.damaged(what);
        let head = Head::parse(&octets, self.segment, self.entry.block).map_err(damaged)?;
        if format::HEAD_BYTES + head.meta_bytes as usize <= octets.len() {
            return Ok(head.meta(&octets).map_err(damaged)?.to_vec());
        }
        let octets = self.octets(format::offset(self.entry.blocks))?;
        Ok(head.meta(&octets).map_err(damaged)?.to_vec())
    }

    fn damaged(&self, what: String) -> SpoolError {
        let offset = format::offset(self.entry.block);
        SpoolError::Damaged { path: self.path.to_path_buf(), offset, what }
    }

    fn octets(&self, bytes: u64) -> Result<Vec<u8>, SpoolError> {
        let fail = |error| SpoolError::io("read", &self.path, &error);
        let file = open(&self.path).map_err(fail)?;
        read_range(&file, format::offset(self.entry.block), bytes).map_err(fail)
    }

    fn large(&self, name: &str) -> Result<LargeFile, SpoolError> {
        let path = self.path.parent().unwrap_or_else(|| Path::new(".")).join("large").join(name);
        let opened = open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened
            .map_err(|error| self.damaged(format!("its file {}: {error}", path.display())))?;
        Ok(LargeFile { file, path, bytes })
    }
}

#[derive(Debug, Default)]
struct Contents {
    entries: Vec<Entry>,
    notes: Vec<Note>,
    damage: Vec<Damage>,
}

#[expect(clippy::disallowed_methods, reason = "the command line blocks; never on a shard")]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn read_range(file: &File, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset).min(bytes);
    let mut octets = vec![0; usize::try_from(left).unwrap_or(0)];
    file.read_exact_at(&mut octets, offset)?;
    Ok(octets)
}

fn contents(path: &Path, segment: u32) -> io::Result<Contents> {
    let file = open(path)?;
    let bytes = file.metadata()?.len();
    if let Some(contents) = indexed(&file, path, segment, bytes)? {
        return Ok(contents);
    }
    let octets = read_range(&file, 0, bytes)?;
    let mut contents = Contents::default();
    let mut flushed = 0;
    for found in format::walk(&octets, segment) {
        match found {
            Found::Record(head, payload) => {
                flushed = flushed.max(head.flushed);
                contents.entries.push(Entry::of(&head));
                if head.kind == kind::NOTES {
                    contents.notes.append(&mut Note::parse_all(payload.body));
                }
            }
            Found::Gap { offset, bytes, what } => {
                let path = path.to_path_buf();
                contents.damage.push(Damage { path, offset, bytes, what, acknowledged: false });
            }
        }
    }
    // What follows the last flush is still being written.
    contents.damage.retain(|gap| gap.offset < format::offset(flushed));
    for gap in &mut contents.damage {
        gap.acknowledged = true;
    }
    Ok(contents)
}

fn indexed(file: &File, path: &Path, segment: u32, bytes: u64) -> io::Result<Option<Contents>> {
    let block = BLOCK_BYTES as u64;
    if bytes < 3 * block || !bytes.is_multiple_of(block) {
        return Ok(None);
    }
    let last = read_range(file, bytes - block, block)?;
    let Some(trailer) = Trailer::parse(&last, segment) else { return Ok(None) };
    let start = format::offset(trailer.index_block);
    let octets = read_range(file, start, bytes.saturating_sub(start + block))?;
    let Ok(head) = Head::parse(&octets, segment, trailer.index_block) else { return Ok(None) };
    let Ok(payload) = head.payload(&octets) else { return Ok(None) };
    let mut contents = Contents::default();
    for entry in format::parse_index(payload.body) {
        if entry.kind == kind::NOTES {
            let offset = format::offset(entry.block);
            let octets = read_range(file, offset, format::offset(entry.blocks))?;
            let head = Head::parse(&octets, segment, entry.block);
            match head.and_then(|head| Ok(Note::parse_all(head.payload(&octets)?.body))) {
                Ok(mut notes) => contents.notes.append(&mut notes),
                Err(what) => contents.damage.push(Damage {
                    path: path.to_path_buf(),
                    offset,
                    bytes: format::offset(entry.blocks),
                    what,
                    acknowledged: true,
                }),
            }
        }
        contents.entries.push(entry);
    }
    Ok(Some(contents))
}
