//! The octets of a segment. Decision record 0010 says why they look like this.
//!
//! A record starts on a block of 4 KiB: a head of 96 octets, the metadata (JSON), the layout (JSON, only
//! if pieces lie in files of their own), the body, the end record of 16 octets, zeros up to the
//! next block. Everything is little endian.
//!
//! | offset | octets | head |
//! |---|---|---|
//! | 0 | 8 | magic `SKSHREC1` |
//! | 8 | 2 | kind |
//! | 10 | 2 | flags: 1 = has files of its own |
//! | 12 | 4 | number of the segment |
//! | 16 | 18 | id of the copy |
//! | 34 | 2 | zero |
//! | 36 | 4 | own block number |
//! | 40 | 8 | salt of the segment: who writes a mail cannot know it, so no mail can hold a record |
//! | 48 | 4 | blocks of the segment that were durable when this was written |
//! | 52 | 4 | stamp, seconds since 1970 |
//! | 56 | 4 | octets of metadata |
//! | 60 | 4 | octets of layout |
//! | 64 | 8 | octets of body |
//! | 72 | 4 | CRC-32C of the metadata |
//! | 76 | 4 | CRC-32C of layout and body |
//! | 80 | 12 | zero |
//! | 92 | 4 | CRC-32C of octets 0..92 |
//!
//! The end record is the magic `SKSHEND1` and both payload checksums again. A sealed segment ends with an
//! index record and one block of trailer that says where the index is.
//!
//! Nothing here panics on any octets: [`fuzz_segment`].

mod index;
mod note;
mod walk;

pub(crate) use index::{Entry, Trailer, encode_index, parse_index};
pub(crate) use note::{NOTE_BYTES_MAX, Note};
pub(crate) use walk::{Found, Step, Walk, walk};

use super::CopyId;
use crate::limits::BLOCK_BYTES;

/// Octets of a head.
pub(crate) const HEAD_BYTES: usize = 96;
/// Octets of the end record.
pub(crate) const END_BYTES: usize = 16;
/// Most octets of metadata.
pub(crate) const META_BYTES_MAX: usize = 8 << 20;
/// Most octets of layout.
pub(crate) const LAYOUT_BYTES_MAX: usize = 64 << 10;
/// Most octets of a body within a record; a larger one is a file of its own.
pub(crate) const BODY_BYTES_MAX: u64 = 64 << 20;

const MAGIC: &[u8; 8] = b"SKSHREC1";
const END_MAGIC: &[u8; 8] = b"SKSHEND1";

const _: () = assert!(HEAD_BYTES + END_BYTES <= BLOCK_BYTES);

/// Kinds of records that the log itself writes.
pub(crate) mod kind {
    /// First record of a segment.
    pub(crate) const SEGMENT: u16 = 1;
    /// A batch of notes and tombstones.
    pub(crate) const NOTES: u16 = 2;
    /// Last record of a sealed segment.
    pub(crate) const INDEX: u16 = 3;
    /// A queued mail.
    pub(crate) const QUEUED: u16 = 16;
    /// A held mail.
    pub(crate) const HELD: u16 = 17;
    /// Rows of the mail log.
    pub(crate) const ROWS: u16 = 18;
}

/// Flag: the record's layout names files of its own.
pub(crate) const FLAG_FILES: u16 = 1;

/// A decoded head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) segment: u32,
    pub(crate) id: CopyId,
    pub(crate) block: u32,
    pub(crate) salt: u64,
    pub(crate) flushed: u32,
    pub(crate) stamp: u32,
    pub(crate) meta_bytes: u32,
    pub(crate) layout_bytes: u32,
    pub(crate) body_bytes: u64,
    pub(crate) meta_crc: u32,
    pub(crate) body_crc: u32,
}

/// The sections of a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) meta: &'a [u8],
    pub(crate) layout: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Reads little-endian numbers; a short input gives zeros, which no checksum matches.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.0 = rest;
                *chunk
            }
            None => {
                self.0 = &[];
                [0; N]
            }
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// `bytes` rounded up to whole blocks.
pub(crate) fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK_BYTES as u64)).unwrap_or(u32::MAX)
}

/// Offset of a block.
pub(crate) fn offset(block: u32) -> u64 {
    u64::from(block) * BLOCK_BYTES as u64
}

impl Head {
    /// Octets of the record without padding.
    pub(crate) fn record_bytes(&self) -> u64 {
        (HEAD_BYTES + END_BYTES) as u64
            + u64::from(self.meta_bytes)
            + u64::from(self.layout_bytes)
            + self.body_bytes
    }

    /// Blocks of the record.
    pub(crate) fn blocks(&self) -> u32 {
        blocks(self.record_bytes())
    }

    fn to_octets(self) -> [u8; HEAD_BYTES] {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.id.to_octets());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.flushed.to_le_bytes());
        out.extend_from_slice(&self.stamp.to_le_bytes());
        out.extend_from_slice(&self.meta_bytes.to_le_bytes());
        out.extend_from_slice(&self.layout_bytes.to_le_bytes());
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        out.extend_from_slice(&self.meta_crc.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(&out);
        head
    }

    /// Decodes a head that should stand at `block` of `segment`.
    ///
    /// # Errors
    /// Which check failed, with both values.
    pub(crate) fn parse(octets: &[u8], segment: u32, block: u32) -> Result<Self, String> {
        let Some(octets) = octets.get(..HEAD_BYTES) else {
            return Err(format!("{} octets left, a head has {HEAD_BYTES}", octets.len()));
        };
        let mut cursor = Cursor(octets);
        let magic: [u8; 8] = cursor.take();
        if magic != *MAGIC {
            return Err(format!("magic {}, expected {}", escape(&magic), escape(MAGIC)));
        }
        let (body, crc) = octets.split_at(HEAD_BYTES - 4);
        let (computed, stored) = (crc32c::crc32c(body), Cursor(crc).u32());
        if computed != stored {
            return Err(format!("head checksum {computed:08x}, expected {stored:08x}"));
        }
        let kind = cursor.u16();
        let flags = cursor.u16();
        let found_segment = cursor.u32();
        let id = CopyId::from_octets(cursor.take());
        let _ = cursor.u16();
        let found_block = cursor.u32();
        let head = Self {
            kind,
            flags,
            segment: found_segment,
            id,
            block: found_block,
            salt: cursor.u64(),
            flushed: cursor.u32(),
            stamp: cursor.u32(),
            meta_bytes: cursor.u32(),
            layout_bytes: cursor.u32(),
            body_bytes: cursor.u64(),
            meta_crc: cursor.u32(),
            body_crc: cursor.u32(),
        };
        if head.segment != segment || head.block != block {
            return Err(format!(
                "record of segment {found_segment} block {found_block}, expected segment {segment} block {block}"
            ));
        }
        let too_long = head.meta_bytes as usize > META_BYTES_MAX
            || head.layout_bytes as usize > LAYOUT_BYTES_MAX
            || head.body_bytes > BODY_BYTES_MAX;
        if too_long {
            return Err(format!("record of {} octets is above the maximum", head.record_bytes()));
        }
        Ok(head)
    }

    /// The metadata of a record whose first octets are given.
    ///
    /// # Errors
    /// Cut short, or its checksum.
    pub(crate) fn meta<'a>(&self, record: &'a [u8]) -> Result<&'a [u8], String> {
        let end = HEAD_BYTES + self.meta_bytes as usize;
        let meta = record
            .get(HEAD_BYTES..end)
            .ok_or_else(|| format!("metadata ends at {end}, the file {} after it", record.len()))?;
        check("metadata", crc32c::crc32c(meta), self.meta_crc)?;
        Ok(meta)
    }

    /// Checks a whole record, end record included.
    ///
    /// # Errors
    /// Which check failed, with both values.
    pub(crate) fn payload<'a>(&self, record: &'a [u8]) -> Result<Payload<'a>, String> {
        let bytes = usize::try_from(self.record_bytes()).unwrap_or(usize::MAX);
        let whole = record.get(..bytes).ok_or_else(|| {
            format!("record of {bytes} octets, the file ends after {}", record.len())
        })?;
        let meta = self.meta(whole)?;
        let (whole, end) = whole.split_at(bytes - END_BYTES);
        let mut cursor = Cursor(end);
        let magic: [u8; 8] = cursor.take();
        if magic != *END_MAGIC {
            return Err(format!("end record {}, expected {}", escape(&magic), escape(END_MAGIC)));
        }
        check("end record", cursor.u32(), self.meta_crc)?;
        check("end record", cursor.u32(), self.body_crc)?;
        let rest = whole.get(HEAD_BYTES + meta.len()..).unwrap_or_default();
        check("body", crc32c::crc32c(rest), self.body_crc)?;
        let (layout, body) =
            rest.split_at_checked(self.layout_bytes as usize).unwrap_or((rest, &[]));
        Ok(Payload { meta, layout, body })
    }
}

fn check(what: &str, computed: u32, stored: u32) -> Result<(), String> {
    if computed == stored {
        return Ok(());
    }
    Err(format!("{what} checksum {computed:08x}, expected {stored:08x}"))
}

fn escape(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

/// What [`encode`] is given besides the payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) segment: u32,
    pub(crate) block: u32,
    pub(crate) salt: u64,
    pub(crate) flushed: u32,
    pub(crate) stamp: u32,
    pub(crate) id: CopyId,
}

/// Fills up with zeros to `length`, at most a block.
fn pad(out: &mut Vec<u8>, length: usize) {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    let missing = length.saturating_sub(out.len());
    out.extend_from_slice(ZEROS.get(..missing).unwrap_or_default());
}

/// Appends one record, padded to whole blocks. The caller has checked the bounds.
pub(crate) fn encode<'a>(
    out: &mut Vec<u8>,
    place: Place,
    meta: &[u8],
    layout: &[u8],
    body: impl Iterator<Item = &'a [u8]> + Clone,
) -> Head {
    let mut body_crc = crc32c::crc32c(layout);
    let mut body_bytes = 0u64;
    for piece in body.clone() {
        body_crc = crc32c::crc32c_append(body_crc, piece);
        body_bytes += piece.len() as u64;
    }
    let head = Head {
        kind: place.kind,
        flags: place.flags,
        segment: place.segment,
        id: place.id,
        block: place.block,
        salt: place.salt,
        flushed: place.flushed,
        stamp: place.stamp,
        meta_bytes: u32::try_from(meta.len()).unwrap_or(u32::MAX),
        layout_bytes: u32::try_from(layout.len()).unwrap_or(u32::MAX),
        body_bytes,
        meta_crc: crc32c::crc32c(meta),
        body_crc,
    };
    let start = out.len();
    let padded = start + head.blocks() as usize * BLOCK_BYTES;
    out.reserve(padded - start);
    out.extend_from_slice(&head.to_octets());
    out.extend_from_slice(meta);
    out.extend_from_slice(layout);
    for piece in body {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(END_MAGIC);
    out.extend_from_slice(&head.meta_crc.to_le_bytes());
    out.extend_from_slice(&head.body_crc.to_le_bytes());
    pad(out, padded);
    head
}

/// Fuzz entry: any octets as a segment, as an index and as notes; then as metadata and body of a record, which is found as
/// it was written, and after damage not at all or as it was. Number of records.
///
/// # Panics
/// When what it finds does not lie within the input, or is not what was written.
pub fn fuzz_segment(octets: &[u8]) -> usize {
    let mut records = 0;
    let mut look = |segment: &[u8]| {
        for found in walk(segment, 1) {
            match found {
                Found::Record(head, payload) => {
                    assert!(offset(head.block) + head.record_bytes() <= segment.len() as u64);
                    let _ = (parse_index(payload.body), Note::parse_all(payload.body));
                    records += 1;
                }
                Found::Gap { offset, bytes, .. } => assert!(offset + bytes <= segment.len() as u64),
            }
        }
    };
    look(octets);
    let _ = (Trailer::parse(octets, 1), parse_index(octets), Note::parse_all(octets));
    let (meta, body) = octets.split_at_checked(octets.len() / 3).unwrap_or((octets, &[]));
    let id = CopyId::from_octets([7; 18]);
    let place = Place {
        kind: kind::QUEUED,
        flags: 0,
        segment: 1,
        block: 0,
        salt: 3,
        flushed: 0,
        stamp: 5,
        id,
    };
    let mut segment = Vec::new();
    encode(&mut segment, place, meta, b"", std::iter::once(body));
    assert!(matches!(
        walk(&segment, 1).next(),
        Some(Found::Record(_, payload)) if payload.meta == meta && payload.body == body
    ));
    let at = octets.iter().fold(0_usize, |at, octet| at.wrapping_mul(31) + usize::from(*octet));
    let at = at % segment.len();
    if let Some(place) = segment.get_mut(at) {
        *place ^= octets.first().copied().unwrap_or(1) | 1;
    }
    look(&segment);
    records
}
