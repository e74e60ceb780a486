//! The end of a sealed segment: which records it has, and where that is written.

use super::{Cursor, Head, pad};
use crate::limits::BLOCK_BYTES;
use crate::spool::CopyId;

const TRAILER_MAGIC: &[u8; 8] = b"SKSHTRL1";
const TRAILER_BYTES: usize = 32;
/// Octets of one entry of an index record.
const ENTRY_BYTES: usize = 36;

/// One record as an index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: CopyId,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) block: u32,
    pub(crate) blocks: u32,
    pub(crate) stamp: u32,
}

impl Entry {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            id: head.id,
            kind: head.kind,
            flags: head.flags,
            block: head.block,
            blocks: head.blocks(),
            stamp: head.stamp,
        }
    }
}

/// The body of an index record.
pub(crate) fn encode_index(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        out.extend_from_slice(&entry.id.to_octets());
        out.extend_from_slice(&entry.kind.to_le_bytes());
        out.extend_from_slice(&entry.flags.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&entry.block.to_le_bytes());
        out.extend_from_slice(&entry.blocks.to_le_bytes());
        out.extend_from_slice(&entry.stamp.to_le_bytes());
    }
    out
}

/// The entries of an index record.
pub(crate) fn parse_index(body: &[u8]) -> Vec<Entry> {
    body.chunks_exact(ENTRY_BYTES)
        .map(|chunk| {
            let mut cursor = Cursor(chunk);
            let id = CopyId::from_octets(cursor.take());
            let (kind, flags, _) = (cursor.u16(), cursor.u16(), cursor.u16());
            let (block, blocks, stamp) = (cursor.u32(), cursor.u32(), cursor.u32());
            Entry { id, kind, flags, block, blocks, stamp }
        })
        .collect()
}

/// The last block of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) segment: u32,
    pub(crate) index_block: u32,
    pub(crate) salt: u64,
}

impl Trailer {
    /// Appends the trailer's block.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(TRAILER_MAGIC);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.index_block.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        pad(out, start + BLOCK_BYTES);
    }

    /// The trailer, if this is one of `segment`.
    pub(crate) fn parse(block: &[u8], segment: u32) -> Option<Self> {
        let octets = block.get(..TRAILER_BYTES)?;
        let (body, crc) = octets.split_at(TRAILER_BYTES - 4);
        let mut cursor = Cursor(octets);
        let magic: [u8; 8] = cursor.take();
        let sound = magic == *TRAILER_MAGIC && crc32c::crc32c(body) == Cursor(crc).u32();
        let trailer = Self { segment: cursor.u32(), index_block: cursor.u32(), salt: cursor.u64() };
        (sound && trailer.segment == segment).then_some(trailer)
    }
}
