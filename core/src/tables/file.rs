//! A table file: one header block of 4 KiB, then the payload.
//!
//! | octets | what |
//! |---|---|
//! | 0..8 | magic `SEKITBL\n` |
//! | 8..12 | format version |
//! | 12..16 | kind |
//! | 16..24 | hash of the payload's schema |
//! | 24..32 | length of the payload |
//! | 32..64 | BLAKE3 of the payload |
//! | 4092..4096 | CRC-32C of what is before it |
//!
//! What patterns were compiled for (Hyperscan version, CPU) stands in their payload, which
//! `scan::patterns` checks. Numbers are little-endian. A file is named in the engine's directory by the BLAKE3 of its header
//! block: the header holds the hash of the payload, so the name stands for both.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::Path;

use memmap2::Mmap;
use rkyv::api::high::{HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::ser::writer::IoWriter;
use rkyv::{Archive, Portable, Serialize};

use super::{AdoptError, disk};
use crate::limits::BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"SEKITBL\n";
const FORMAT_VERSION: u32 = 1;
/// rkyv's relative pointers are 32 bits wide.
pub(super) const PAYLOAD_BYTES_MAX: u64 = i32::MAX as u64;

/// Kinds of table files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Recipients,
    Senders,
    Networks,
    Routes,
    Policies,
    Patterns,
    Hashes,
    Urls,
    /// YARA rules, compiled.
    Yara,
    /// Models of the classifier.
    Tokens,
    /// Changes, JSON.
    Delta,
    /// The net of deltas, by key.
    Stretch,
    /// Bypasses, JSON.
    Bypasses,
}

impl Kind {
    /// The tables of a generation, in the order in which they are written.
    pub(super) const TABLES: [Self; 10] = [
        Self::Policies,
        Self::Routes,
        Self::Recipients,
        Self::Senders,
        Self::Networks,
        Self::Hashes,
        Self::Urls,
        Self::Patterns,
        Self::Yara,
        Self::Tokens,
    ];

    /// Its name; with `.table` that of its file in a generation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Recipients => "recipients",
            Self::Senders => "senders",
            Self::Networks => "networks",
            Self::Routes => "routes",
            Self::Policies => "policies",
            Self::Patterns => "patterns",
            Self::Yara => "yara",
            Self::Hashes => "hashes",
            Self::Urls => "urls",
            Self::Tokens => "tokens",
            Self::Delta => "delta",
            Self::Stretch => "stretch",
            Self::Bypasses => "bypasses",
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::Recipients => 1,
            Self::Senders => 2,
            Self::Networks => 3,
            Self::Routes => 4,
            Self::Policies => 5,
            Self::Patterns => 6,
            Self::Hashes => 7,
            Self::Urls => 8,
            Self::Delta => 9,
            Self::Stretch => 10,
            Self::Tokens => 11,
            Self::Bypasses => 12,
            Self::Yara => 13,
        }
    }

    /// What the payload looks like. Change the text with the shape, so that neither side reads the
    /// other's octets as something else.
    fn schema(self) -> u64 {
        let text = match self {
            Self::Recipients => "recipients/1 flat/1 kind target",
            Self::Senders => {
                "senders/1 flat/1 prefix lengths; side owner kind pattern; polarity match_on active_from"
            }
            Self::Networks => "networks/1 ranges, sets, items, lists",
            Self::Routes => "routes/1 domain, host port preference tls",
            Self::Policies => "policies/1 settings as json; domain tenant settings aliases",
            Self::Patterns => "patterns/1 opaque",
            Self::Yara => "yara/1 opaque",
            Self::Hashes => "hashes/1 flat/1 size name",
            Self::Urls => "urls/1 flat/1 list flags scope, lists",
            Self::Tokens => "tokens/1 scope, model/1",
            Self::Delta => "delta/1 json",
            Self::Bypasses => "bypasses/1 json",
            Self::Stretch => "stretch/1 flat/1 tag key; removed or put, then as in its table",
        };
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub payload_bytes: u64,
    pub payload_hash: [u8; 32],
}

impl Header {
    fn to_block(&self) -> [u8; BLOCK_BYTES] {
        let mut content = Vec::with_capacity(BLOCK_BYTES);
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        content.extend_from_slice(&self.kind.code().to_le_bytes());
        content.extend_from_slice(&self.kind.schema().to_le_bytes());
        content.extend_from_slice(&self.payload_bytes.to_le_bytes());
        content.extend_from_slice(&self.payload_hash);
        content.resize(BLOCK_BYTES - 4, 0);
        content.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
        let mut block = [0; BLOCK_BYTES];
        block.copy_from_slice(&content);
        block
    }

    /// Reads the header of a file of `file_bytes` octets that should be of `kind`.
    pub(super) fn parse(block: &[u8], file_bytes: u64, kind: Kind) -> Result<Self, Mismatch> {
        let (content, sum) = block
            .split_at_checked(BLOCK_BYTES - 4)
            .filter(|_| block.len() == BLOCK_BYTES)
            .ok_or_else(|| Mismatch::new("length of the header", block.len(), BLOCK_BYTES))?;
        let u32_at = |at: usize| {
            content.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let u64_at = |at: usize| {
            content.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        if !content.starts_with(MAGIC) {
            let found = content.get(..8).unwrap_or_default().escape_ascii();
            return Err(Mismatch::new("magic", found, MAGIC.escape_ascii()));
        }
        let expected = crc32c::crc32c(content);
        let found = sum.try_into().map_or(0, u32::from_le_bytes);
        if found != expected {
            return Err(Mismatch::hex("checksum of the header", found.into(), expected.into()));
        }
        if u32_at(8) != FORMAT_VERSION {
            return Err(Mismatch::new("format version", u32_at(8), FORMAT_VERSION));
        }
        if u32_at(12) != kind.code() {
            return Err(Mismatch::new("kind of table", u32_at(12), kind.code()));
        }
        if u64_at(16) != kind.schema() {
            return Err(Mismatch::hex("schema", u64_at(16), kind.schema()));
        }
        let payload_bytes = u64_at(24);
        if Some(file_bytes) != payload_bytes.checked_add(BLOCK_BYTES as u64) {
            return Err(Mismatch::new(
                "length in octets",
                file_bytes,
                payload_bytes.saturating_add(BLOCK_BYTES as u64),
            ));
        }
        Ok(Self {
            kind,
            payload_bytes,
            payload_hash: content.get(32..64).and_then(|b| b.try_into().ok()).unwrap_or([0; 32]),
        })
    }
}

/// A value in a file that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    what: &'static str,
    found: String,
    expected: String,
}

impl Mismatch {
    fn new(what: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Self { what, found: found.to_string(), expected: expected.to_string() }
    }

    fn hex(what: &'static str, found: u64, expected: u64) -> Self {
        Self { what, found: format!("{found:x}"), expected: format!("{expected:x}") }
    }

    pub(super) fn of(self, file: &Path) -> AdoptError {
        let Self { what, found, expected } = self;
        AdoptError::Mismatch { file: file.to_owned(), what, found, expected }
    }
}

/// Name of a table file in the engine's directory: BLAKE3 of its header block.
pub(super) fn name_of_block(block: &[u8]) -> String {
    blake3::hash(block).to_hex().to_string()
}

/// Checks header and payload of a whole file in memory: the payload.
pub(super) fn verify(content: &[u8], kind: Kind) -> Result<(Header, &[u8]), Mismatch> {
    let (block, payload) = content
        .split_at_checked(BLOCK_BYTES)
        .ok_or_else(|| Mismatch::new("length in octets", content.len(), "at least 4096"))?;
    let header = Header::parse(block, content.len() as u64, kind)?;
    let found = blake3::hash(payload);
    let expected = blake3::Hash::from_bytes(header.payload_hash);
    if found != expected {
        return Err(Mismatch::new("BLAKE3 of the payload", found.to_hex(), expected.to_hex()));
    }
    Ok((header, payload))
}

/// A small file as a whole: header and payload.
pub(super) fn whole(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let (payload_bytes, payload_hash) = (payload.len() as u64, *blake3::hash(payload).as_bytes());
    let mut content = Header { kind, payload_bytes, payload_hash }.to_block().to_vec();
    content.extend_from_slice(payload);
    content
}

/// Counts and hashes what goes through.
pub(super) struct Tee<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(piece)?;
        let written = piece.get(..count).unwrap_or_default();
        self.hasher.update(written);
        self.bytes = self.bytes.saturating_add(count as u64);
        if self.bytes > PAYLOAD_BYTES_MAX {
            let text = format!("table is larger than {PAYLOAD_BYTES_MAX} octets");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) type Sink = BufWriter<Tee<BufWriter<File>>>;

/// What was written: file name in the engine's directory, octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub name: String,
    pub bytes: u64,
}

fn write_payload(
    path: &Path,
    kind: Kind,
    fill: impl FnOnce(Sink) -> io::Result<Sink>,
) -> io::Result<Written> {
    let mut file = disk::create_new(path)?;
    file.write_all(&[0; BLOCK_BYTES])?;
    let buffered = BufWriter::with_capacity(1 << 20, file);
    let tee = BufWriter::with_capacity(
        1 << 20,
        Tee { inner: buffered, hasher: blake3::Hasher::new(), bytes: 0 },
    );
    let tee = fill(tee)?.into_inner().map_err(io::IntoInnerError::into_error)?;
    let header =
        Header { kind, payload_bytes: tee.bytes, payload_hash: *tee.hasher.finalize().as_bytes() };
    let mut file: File = tee.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    let block = header.to_block();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&block)?;
    file.sync_all()?;
    Ok(Written {
        name: name_of_block(&block),
        bytes: header.payload_bytes.saturating_add(BLOCK_BYTES as u64),
    })
}

/// Writes a table under its final name (in a directory that is not published yet) and flushes it.
pub(super) fn write<T>(path: &Path, kind: Kind, value: &T) -> io::Result<Written>
where
    T: for<'a> Serialize<HighSerializer<IoWriter<Sink>, ArenaHandle<'a>, rancor::Error>>,
{
    write_payload(path, kind, |sink| {
        rkyv::api::high::to_bytes_in::<_, rancor::Error>(value, IoWriter::new(sink))
            .map(IoWriter::into_inner)
            .map_err(io::Error::other)
    })
}

/// Writes a file with a payload that is already octets.
pub(super) fn write_bytes(path: &Path, kind: Kind, payload: &[u8]) -> io::Result<Written> {
    write_payload(path, kind, |mut sink| {
        sink.write_all(payload)?;
        Ok(sink)
    })
}

/// How much of a file is checked when it is opened. Either way the payload's shape is checked, and
/// no look-up trusts an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Header and BLAKE3 of every octet: the engine.
    Full,
    /// Header and length: the publisher, which asks a few keys for each single change.
    Header,
}

/// A verified, mapped file whose payload is octets.
#[derive(Debug)]
pub(super) struct MappedFile {
    map: Mmap,
    name: String,
}

impl MappedFile {
    /// Maps and verifies a file that belongs to this process' directory: every page is touched by it.
    ///
    /// # Errors
    /// What does not fit, with the value. The caller removes the file then.
    pub(super) fn open(path: &Path, kind: Kind, check: Check) -> Result<Self, AdoptError> {
        let io_error = |source| AdoptError::Io { file: path.to_owned(), source };
        let file = disk::open(path).map_err(io_error)?;
        // SAFETY: a map of a file that another process truncates or writes to is undefined behaviour.
        // The engine maps files in its own directory, the publisher those that it wrote itself: nobody
        // else may write there, no file is opened for writing again once it has its name, and they
        // are only ever unlinked.
        #[expect(unsafe_code, reason = "the one place where a file is mapped")]
        let map = unsafe { Mmap::map(&file) }.map_err(io_error)?;
        match check {
            Check::Full => verify(&map, kind).map(drop),
            Check::Header => {
                Header::parse(map.get(..BLOCK_BYTES).unwrap_or(&map), map.len() as u64, kind)
                    .map(drop)
            }
        }
        .map_err(|mismatch| mismatch.of(path))?;
        let name = name_of_block(map.get(..BLOCK_BYTES).unwrap_or_default());
        Ok(Self { map, name })
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.map.get(BLOCK_BYTES..).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

/// A verified, mapped table of `T`.
#[derive(Debug)]
pub(super) struct Table<T> {
    file: MappedFile,
    payload: PhantomData<fn() -> T>,
}

impl<T: Archive> Table<T>
where
    T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    /// Opens and verifies as [`MappedFile::open`], then checks that the payload is a `T`.
    pub(super) fn open(path: &Path, kind: Kind, check: Check) -> Result<Self, AdoptError> {
        let file = MappedFile::open(path, kind, check)?;
        rkyv::access::<T::Archived, rancor::Error>(file.payload()).map_err(|error| {
            AdoptError::Malformed { file: path.to_owned(), text: error.to_string() }
        })?;
        Ok(Self { file, payload: PhantomData })
    }

    pub(super) fn get(&self) -> &T::Archived {
        // SAFETY: needs octets that are a valid archive of T. `open` checked exactly these octets with
        // `rkyv::access`, and the map never changes (see `MappedFile::open`).
        #[expect(unsafe_code, reason = "checking again at each look-up would walk the table")]
        unsafe {
            rkyv::access_unchecked::<T::Archived>(self.file.payload())
        }
    }

    pub(super) fn file(&self) -> &MappedFile {
        &self.file
    }
}
