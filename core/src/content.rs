//! The octets of a message as a rope: pieces in memory and ranges of files, in order.
//!
//! Adding header fields or a stamp never copies a body. A body of up to
//! `limits::BODY_IN_MEMORY_BYTES_MAX` is one piece in memory; a larger one is a range of a file of
//! its own (`spool`), kept open, so that a rename or unlink cannot pull it away.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// A file of its own that holds one large message; never changed once complete.
#[derive(Debug)]
pub struct LargeFile {
    /// Open for reading.
    pub file: File,
    /// Where it is, for linking it into another room's directory.
    pub path: PathBuf,
    /// Length in octets.
    pub bytes: u64,
}

/// One piece of a message.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Octets in memory.
    Memory(Arc<[u8]>),
    /// `bytes` octets of `file` from `offset`.
    File {
        /// The file.
        file: Arc<LargeFile>,
        /// First octet.
        offset: u64,
        /// Number of octets.
        bytes: u64,
    },
}

impl Piece {
    /// Length in octets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }
}

/// A message in canonical line ends (CR LF), not dot-stuffed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Pieces in order.
    pub pieces: Vec<Piece>,
}

impl Content {
    /// A content of one piece in memory.
    #[must_use]
    pub fn from_octets(octets: impl Into<Arc<[u8]>>) -> Self {
        Self { pieces: vec![Piece::Memory(octets.into())] }
    }

    /// Length in octets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::bytes).sum()
    }

    /// The same content with `stand_in` in the place of each range (start and end, ascending).
    #[must_use]
    pub fn with_stand_ins(&self, ranges: &[(u64, u64)], stand_in: &[u8]) -> Self {
        let stand_in: Arc<[u8]> = stand_in.into();
        let mut pieces = Vec::new();
        let mut from = 0;
        for (start, end) in ranges {
            self.part(from, *start, &mut pieces);
            pieces.push(Piece::Memory(Arc::clone(&stand_in)));
            from = (*end).max(from);
        }
        self.part(from, self.bytes(), &mut pieces);
        Self { pieces }
    }

    /// The pieces that make up `start..end`.
    fn part(&self, start: u64, end: u64, out: &mut Vec<Piece>) {
        let mut at = 0;
        for piece in &self.pieces {
            let (first, last) = (start.max(at), end.min(at + piece.bytes()));
            if first < last {
                let (skip, bytes) = (first - at, last - first);
                out.push(match piece {
                    Piece::Memory(octets) => {
                        let place = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
                        let part = octets.get(place(skip)..place(skip + bytes));
                        Piece::Memory(part.unwrap_or_default().into())
                    }
                    Piece::File { file, offset, .. } => {
                        Piece::File { file: Arc::clone(file), offset: offset + skip, bytes }
                    }
                });
            }
            at += piece.bytes();
        }
    }

    /// The octets, if all of them are one piece in memory.
    #[must_use]
    pub fn as_memory(&self) -> Option<&Arc<[u8]>> {
        match self.pieces.as_slice() {
            [Piece::Memory(octets)] => Some(octets),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_content_are_replaced_wherever_its_pieces_end() {
        let pieces = ["01234", "56", "789"].map(|text| Piece::Memory(text.as_bytes().into()));
        let content = Content { pieces: pieces.into() };
        let text = |content: &Content| -> String {
            let octets = content.pieces.iter().map(|piece| match piece {
                Piece::Memory(octets) => String::from_utf8_lossy(octets).into_owned(),
                Piece::File { .. } => unreachable!("all in memory"),
            });
            octets.collect()
        };
        for (ranges, expected) in [
            (vec![], "0123456789"),
            (vec![(0, 10)], "-"),
            (vec![(3, 8)], "012-89"),
            (vec![(0, 1), (5, 7), (9, 10)], "-1234-78-"),
        ] {
            assert_eq!(text(&content.with_stand_ins(&ranges, b"-")), expected);
        }
    }
}
