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

    /// The octets, if all of them are one piece in memory.
    #[must_use]
    pub fn as_memory(&self) -> Option<&Arc<[u8]>> {
        match self.pieces.as_slice() {
            [Piece::Memory(octets)] => Some(octets),
            _ => None,
        }
    }
}
