//! What can go wrong in the store, and who is at fault.

use std::io;
use std::path::{Path, PathBuf};

use super::CopyId;

/// Errors of the store. `Clone`, because one failed flush fails everybody who waited for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The operating system refused.
    #[error("{action} {}: {text}", path.display())]
    Io {
        /// What was tried: `write`, `fdatasync`, `create` ...
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Kind of the error, for [`SpoolError::is_full`].
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
    /// A record that does not check. The rest of its file is not concerned.
    #[error("segment {} offset {offset}: {what}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Offset of the record in octets.
        offset: u64,
        /// Which check failed, with both values.
        what: String,
    },
    /// A record's metadata is not what this version reads.
    #[error("segment {} offset {offset}: metadata: {what}", path.display())]
    Metadata {
        /// The segment.
        path: PathBuf,
        /// Offset of the record in octets.
        offset: u64,
        /// What the parser said.
        what: String,
    },
    /// Nothing of that id is alive here, or recovery has not come to it yet.
    #[error("{id} is not in {}", directory.display())]
    NotFound {
        /// What was asked for.
        id: CopyId,
        /// Where.
        directory: PathBuf,
    },
    /// Something of that id is alive here: ids are used once.
    #[error("{id} is in {} already", directory.display())]
    AlreadyThere {
        /// The id.
        id: CopyId,
        /// Where.
        directory: PathBuf,
    },
    /// The budget's reserve would be touched.
    #[error("{kind}: {bytes} octets do not fit: {used} of {limit} octets used, reserve {reserve}")]
    NoRoom {
        /// Which budget.
        kind: &'static str,
        /// Octets asked for.
        bytes: u64,
        /// Octets used.
        used: u64,
        /// The budget.
        limit: u64,
        /// What is kept free of it.
        reserve: u64,
    },
    /// The budget has room and the file system has not.
    #[error("{kind}: {bytes} octets do not fit: {free} free on the disk, {reserve} of them kept")]
    DiskFull {
        /// For which budget.
        kind: &'static str,
        /// Octets asked for, those promised to arriving mail among them.
        bytes: u64,
        /// Octets that the file system has free.
        free: u64,
        /// What is kept free of them.
        reserve: u64,
    },
    /// More than one record may hold.
    #[error("{what}: {bytes} octets are above the maximum of {bytes_max}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Octets given.
        bytes: u64,
        /// Bound.
        bytes_max: u64,
    },
    /// The item's release runs, in this process.
    #[error("{item}: its release is still under way")]
    UnderWay {
        /// The item.
        item: String,
    },
    /// What the last run left is not read yet: nobody can say what is there.
    #[error("what the last run left in {} is still being read, try again", directory.display())]
    StillRead {
        /// Where.
        directory: PathBuf,
    },
    /// A change that the item's state does not allow.
    #[error("{item}: is {state}, cannot become {wanted}")]
    State {
        /// The item.
        item: String,
        /// Its state.
        state: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
}

/// Who has to do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Disk full, disk broken, permissions, an id that is not there: the person who runs the box.
    Operator,
    /// A defect of ours.
    Ourselves,
}

impl SpoolError {
    /// Wraps an error of the operating system.
    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), kind: error.kind(), text: error.to_string() }
    }

    /// Who has to act.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { .. }
            | Self::Damaged { .. }
            | Self::NotFound { .. }
            | Self::NoRoom { .. }
            | Self::DiskFull { .. }
            | Self::UnderWay { .. }
            | Self::StillRead { .. }
            | Self::State { .. } => Fault::Operator,
            Self::Metadata { .. } | Self::AlreadyThere { .. } | Self::TooLarge { .. } => {
                Fault::Ourselves
            }
        }
    }

    /// Whether trying again can never help. A mail that could not be stored always gets 4xx: a
    /// broken disk says nothing about the mail.
    #[must_use]
    pub fn permanent(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::NoRoom { .. }
            | Self::DiskFull { .. }
            | Self::UnderWay { .. }
            | Self::StillRead { .. } => false,
            Self::Damaged { .. }
            | Self::Metadata { .. }
            | Self::NotFound { .. }
            | Self::AlreadyThere { .. }
            | Self::TooLarge { .. }
            | Self::State { .. } => true,
        }
    }

    /// No room on the disk or in the budget: 452 rather than 451.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoRoom { .. } | Self::DiskFull { .. } => true,
            Self::Io { kind, .. } => {
                matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Damaged { .. }
            | Self::Metadata { .. }
            | Self::NotFound { .. }
            | Self::AlreadyThere { .. }
            | Self::TooLarge { .. }
            | Self::UnderWay { .. }
            | Self::StillRead { .. }
            | Self::State { .. } => false,
        }
    }
}

/// Something that recovery found and set aside: an alarm for the operator, never a lost start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Offset of the damaged record in octets.
    pub offset: u64,
    /// Octets that are not readable.
    pub bytes: u64,
    /// Which check failed, with both values.
    pub what: String,
    /// `true`: the octets had been acknowledged. `false`: they follow the last point that is known
    /// to have been flushed, so most likely nobody was ever told that they are safe.
    pub acknowledged: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, offset, bytes, what, acknowledged } = self;
        let tail = if *acknowledged { "set aside" } else { "unfinished tail dropped" };
        write!(f, "segment {} offset {offset}: {what}; {bytes} octets {tail}", path.display())
    }
}
