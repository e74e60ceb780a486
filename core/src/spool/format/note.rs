//! Notes: small changes, many to a record.

use super::Cursor;
use crate::spool::CopyId;

/// One note: a small change to a record, or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) id: CopyId,
    /// Which of the record's changeable things it is about; of notes to the same slot the one
    /// with the largest `origin` counts.
    pub(crate) slot: u16,
    /// Order of notes, across segments and restarts; kept when a note is carried on.
    pub(crate) origin: u64,
    /// When it was made, milliseconds.
    pub(crate) at: u64,
    /// A tombstone: the segment where the record lies. A tombstone holds wherever the record is; the
    /// segment only says how long the tombstone has to be kept.
    pub(crate) tombstone: Option<u32>,
    pub(crate) text: Vec<u8>,
}

/// Octets of a note without its text.
const NOTE_FIXED_BYTES: usize = 44;
/// Most octets of a note's text.
pub(crate) const NOTE_BYTES_MAX: usize = 16 << 10;

impl Note {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_octets());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.origin.to_le_bytes());
        out.extend_from_slice(&self.at.to_le_bytes());
        out.extend_from_slice(&self.tombstone.unwrap_or(u32::MAX).to_le_bytes());
        let bytes = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&self.text);
    }

    /// Octets on the disk.
    pub(crate) fn bytes(&self) -> u64 {
        (NOTE_FIXED_BYTES + self.text.len()) as u64
    }

    /// All notes of a record's body. Its checksum was right, so that a cut is a defect of ours: what
    /// was read up to there is given.
    pub(crate) fn parse_all(body: &[u8]) -> Vec<Self> {
        let mut out = Vec::new();
        let mut cursor = Cursor(body);
        while cursor.0.len() >= NOTE_FIXED_BYTES {
            let id = CopyId::from_octets(cursor.take());
            let slot = cursor.u16();
            let (origin, at) = (cursor.u64(), cursor.u64());
            let segment = cursor.u32();
            let bytes = cursor.u32() as usize;
            let Some((text, rest)) = cursor.0.split_at_checked(bytes) else { break };
            cursor.0 = rest;
            let tombstone = (segment != u32::MAX).then_some(segment);
            out.push(Self { id, slot, origin, at, tombstone, text: text.to_vec() });
        }
        out
    }
}
