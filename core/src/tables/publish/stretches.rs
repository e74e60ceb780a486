//! Deltas squashed into stretches, so that the next change costs as much after 20,000 others as after
//! none.
//!
//! `generations/<n>/stretches/<first>-<last>` is the net of the deltas `first..=last` of that generation,
//! as a table that is mapped and asked by key. Stretches are aligned: they begin at `i * 8^k + 1` and are
//! `8^k` deltas long, so `last` deltas are at most 7 of each length, the longest first, and up to 7 deltas
//! by themselves. Who adds the delta that completes a stretch writes it, from the eight below it: each
//! change is written a logarithm of times.
//!
//! The deltas are the truth, stretches only save reading them: one that is missing (a crash between the
//! two, an older program that knows none) or damaged is read as the eight below it, down to the deltas,
//! and written by the next change. So nothing depends on one being written, and the engine, which reads
//! each delta once, knows none.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::delta::{self, EntryChange, Layer, RecipientChange};
use super::super::file::{self, Check, Kind, Table};
use super::super::flat::{Flat, FlatBuilder, Full};
use super::super::recipients::Record;
use super::super::senders::{EntryValue, entry_of};
use super::super::{AdoptError, Polarity, disk};

/// Stretches of one length that make one of the next.
const FANOUT: u64 = 8;
/// A larger net is not written down once more: the stretches below it are read instead. A bound for the
/// time that one change can take, far beyond what single changes reach before they are merged.
const LAYER_BYTES_MAX: usize = 64 << 20;

const RECIPIENT: u8 = b'r';
const ALLOW: u8 = b'a';
const BLOCK: u8 = b'b';
const REMOVED: u8 = 0;
const PUT: u8 = 1;

/// Deltas `first..first + count`; `count` is a power of eight and `first - 1` a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    first: u64,
    count: u64,
}

impl Span {
    /// The longest ones that `1..=last` consists of, in their order.
    fn all(last: u64) -> Vec<Self> {
        let mut spans = Vec::new();
        let mut count = FANOUT.pow(last.max(1).ilog(FANOUT));
        let mut first = 1;
        while count > 0 {
            while last - (first - 1) >= count {
                spans.push(Self { first, count });
                first += count;
            }
            count /= FANOUT;
        }
        spans
    }

    fn last(self) -> u64 {
        self.first + self.count - 1
    }

    /// The eight below it; none below a single delta.
    fn below(self) -> impl Iterator<Item = Self> {
        let count = self.count / FANOUT;
        let places = if count == 0 { 0..0 } else { 0..FANOUT };
        places.map(move |place| Self { first: self.first + place * count, count })
    }

    fn path(self, generation_dir: &Path) -> PathBuf {
        let name = format!("{:08}-{:08}", self.first, self.last());
        generation_dir.join("stretches").join(name)
    }
}

/// What is known of some deltas in a row.
#[derive(Debug)]
pub(super) enum Piece {
    /// A stretch of them, mapped.
    Stretch(Table<Flat>),
    /// Read one by one.
    Read(Layer),
}

impl Piece {
    pub(super) fn recipient(&self, address: &str) -> Option<RecipientChange> {
        match self {
            Self::Read(layer) => layer.recipients.get(address).cloned(),
            Self::Stretch(table) => {
                let key = key_of(RECIPIENT, address.as_bytes());
                table.get().find(&key).next().and_then(recipient_change)
            }
        }
    }

    /// What it says of the entry with this key and polarity.
    pub(super) fn entry(&self, key: &[u8], polarity: Polarity) -> EntryChange {
        match self {
            Self::Read(layer) => {
                let both = layer.entries.get(key);
                both.and_then(|both| both.get(delta::slot(polarity))).cloned().unwrap_or_default()
            }
            Self::Stretch(table) => {
                let found = key_of(tag_of(polarity), key);
                let value = table.get().find(&found).next();
                value.and_then(|value| entry_change(key, value)).unwrap_or_default()
            }
        }
    }

    /// Adds what it says to `layer`, above what is there.
    pub(super) fn add_to(&self, layer: &mut Layer) {
        let table = match self {
            Self::Read(newer) => return layer.absorb(newer),
            Self::Stretch(table) => table.get(),
        };
        for (key, value) in table.records() {
            match key.split_first() {
                Some((&RECIPIENT, address)) => {
                    let change = recipient_change(value);
                    if let (Ok(address), Some(change)) = (std::str::from_utf8(address), change) {
                        layer.recipient(address, change);
                    }
                }
                Some((&(ALLOW | BLOCK), key)) => match entry_change(key, value) {
                    Some(EntryChange::Put(ref entry)) => {
                        layer.entry(entry, EntryChange::Put(entry.clone()));
                    }
                    Some(EntryChange::Removed(ref entry)) => {
                        layer.entry(entry, EntryChange::Removed(entry.clone()));
                    }
                    Some(EntryChange::Untouched) | None => {}
                },
                Some(_) | None => {}
            }
        }
    }
}

fn key_of(tag: u8, key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(key.len() + 1);
    tagged.push(tag);
    tagged.extend_from_slice(key);
    tagged
}

fn tag_of(polarity: Polarity) -> u8 {
    match polarity {
        Polarity::Allow => ALLOW,
        Polarity::Block => BLOCK,
    }
}

fn recipient_change(value: &[u8]) -> Option<RecipientChange> {
    match value.split_first()? {
        (&REMOVED, []) => Some(RecipientChange::Removed),
        (&PUT, record) => match Record::decode(record)? {
            Record::Mailbox => Some(RecipientChange::Mailbox),
            Record::Alias(target) => Some(RecipientChange::Alias(target.into())),
        },
        _ => None,
    }
}

fn entry_change(key: &[u8], value: &[u8]) -> Option<EntryChange> {
    let (kind, value) = value.split_first()?;
    let entry = entry_of(key, EntryValue::decode(value)?)?.into();
    match *kind {
        REMOVED => Some(EntryChange::Removed(entry)),
        PUT => Some(EntryChange::Put(entry)),
        _ => None,
    }
}

fn table_of(layer: &Layer) -> Result<Flat, Full> {
    let mut table = FlatBuilder::default();
    let (mut value, mut record) = (Vec::new(), Vec::new());
    for (address, change) in &layer.recipients {
        value.clear();
        match change {
            RecipientChange::Removed => record.clear(),
            RecipientChange::Mailbox => Record::Mailbox.encode(&mut record),
            RecipientChange::Alias(target) => Record::Alias(target).encode(&mut record),
        }
        value.push(if *change == RecipientChange::Removed { REMOVED } else { PUT });
        value.extend_from_slice(&record);
        table.push(&key_of(RECIPIENT, address.as_bytes()), &value, (0, 0))?;
    }
    for (key, both) in &layer.entries {
        for change in both {
            let (kind, entry) = match change {
                EntryChange::Untouched => continue,
                EntryChange::Removed(entry) => (REMOVED, entry),
                EntryChange::Put(entry) => (PUT, entry),
            };
            value.clear();
            value.push(kind);
            value.extend_from_slice(&EntryValue::of(entry).encode());
            table.push(&key_of(tag_of(entry.polarity), key), &value, (0, 0))?;
        }
    }
    Ok(table.finish(|_, _| true).0)
}

/// Number of the last delta. They are numbered without a gap, so asking twice the logarithm of it is
/// enough; listing 20,000 names takes longer than the whole change may.
pub(super) fn last_delta(generation_dir: &Path) -> u64 {
    let is_there = |number| delta::path(generation_dir, number).exists();
    let mut above = 1;
    while is_there(above) {
        above *= 2;
    }
    let mut last = above / 2;
    while last + 1 < above {
        let middle = last + (above - last) / 2;
        if is_there(middle) { last = middle } else { above = middle }
    }
    last
}

/// What the deltas `1..=last` say, the oldest first, and which stretches were not there to be read.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub pieces: Vec<Piece>,
    missing: Vec<Span>,
}

impl Pieces {
    /// `check`: header and length for a few questions, everything where what is read is written again.
    ///
    /// # Errors
    /// A delta that cannot be read.
    pub(super) fn read(generation_dir: &Path, last: u64, check: Check) -> Result<Self, AdoptError> {
        let mut read = Self::default();
        for span in Span::all(last) {
            read.span(generation_dir, span, check)?;
        }
        Ok(read)
    }

    fn span(&mut self, generation_dir: &Path, span: Span, check: Check) -> Result<(), AdoptError> {
        if span.count > 1 {
            match Table::open(&span.path(generation_dir), Kind::Stretch, check) {
                Ok(table) => self.pieces.push(Piece::Stretch(table)),
                Err(_) => {
                    self.missing.push(span);
                    for below in span.below() {
                        self.span(generation_dir, below, check)?;
                    }
                }
            }
            return Ok(());
        }
        let changes = delta::read(&delta::path(generation_dir, span.first))?;
        match self.pieces.last_mut() {
            // Thousands of layers would be asked one after the other, where no stretch was written yet.
            Some(Piece::Read(layer)) => layer.absorb(&Layer::of(&changes)),
            Some(Piece::Stretch(_)) | None => self.pieces.push(Piece::Read(Layer::of(&changes))),
        }
        Ok(())
    }

    /// All of it as one.
    pub(super) fn net(&self) -> Layer {
        let mut net = Layer::default();
        self.pieces.iter().for_each(|piece| piece.add_to(&mut net));
        net
    }

    /// Stretches that were asked for and not there.
    pub(super) fn into_missing(self) -> Vec<Span> {
        self.missing
    }
}

/// Writes what `1..=last` lacks: `missing` before the last delta, and the stretch that ends with it.
/// Stretches that are in a longer one now are removed. Under the lock.
///
/// # Errors
/// A stretch that was not written; the deltas say the same.
pub(super) fn complete(
    generation_dir: &Path,
    last: u64,
    missing: &[Span],
) -> Result<(), AdoptError> {
    let is_due = |span: &Span| span.last() == last || missing.contains(span);
    for span in Span::all(last).into_iter().filter(|span| span.count > 1).filter(is_due) {
        write(generation_dir, span)?;
    }
    Ok(())
}

/// Writes every stretch of the deltas `1..=last`: in a directory that is not published yet.
///
/// # Errors
/// A delta that cannot be read, a stretch that cannot be written.
pub(super) fn write_all(generation_dir: &Path, last: u64) -> Result<(), AdoptError> {
    let mut spans = Span::all(last).into_iter().filter(|span| span.count > 1);
    spans.try_for_each(|span| write(generation_dir, span))
}

fn write(generation_dir: &Path, span: Span) -> Result<(), AdoptError> {
    let path = span.path(generation_dir);
    let mut read = Pieces::default();
    for below in span.below() {
        read.span(generation_dir, below, Check::Full)?;
    }
    let net = read.net();
    if net.bytes() > LAYER_BYTES_MAX {
        return Ok(());
    }
    // An entry that no table can hold is read from its delta each time.
    let Ok(table) = table_of(&net) else { return Ok(()) };
    let temporary = disk::temporary(&path);
    let written = match path.parent() {
        Some(dir) if !dir.exists() => fs::create_dir(dir),
        Some(_) | None => Ok(()),
    };
    let written = written.and_then(|()| {
        let _ = fs::remove_file(&temporary);
        file::write(&temporary, Kind::Stretch, &table)?;
        disk::rename(&temporary, &path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| AdoptError::Io { file: path, source })?;
    remove_below(generation_dir, span);
    Ok(())
}

/// Removes what is in a longer stretch now. The last of the eight was never written where its last delta
/// completed the longer one, too: then those below it are still there.
fn remove_below(generation_dir: &Path, span: Span) {
    for below in span.below().filter(|below| below.count > 1) {
        if fs::remove_file(below.path(generation_dir)).is_err() {
            remove_below(generation_dir, below);
        }
    }
}
