//! Reading a saved run.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::RunReport;
use super::hostile::HostileReport;

/// Octets of a saved run at most: a day of seconds is some 20 MB.
pub const REPORT_BYTES_MAX: u64 = 256 << 20;

/// Why a saved run cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Larger than any run would be.
    #[error("{path}: more than {REPORT_BYTES_MAX} octets")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// Something else than a run.
    #[error("{path}: not a report of a run")]
    NotAReport {
        /// The file.
        path: String,
        /// What is wrong and where.
        #[source]
        source: serde_json::Error,
    },
}

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Saved {
    /// A run of `send`.
    Run(Box<RunReport>),
    /// A run of `hostile`.
    Hostile(Box<HostileReport>),
}

/// Reads what `--json` of a load wrote.
///
/// # Errors
/// [`ReadError`]: the operator named a file that is not one.
pub fn read(path: &Path) -> Result<Saved, ReadError> {
    let name = || path.display().to_string();
    let broken = |source| ReadError::Read { path: name(), source };
    let mut octets = Vec::new();
    let file = File::open(path).map_err(broken)?;
    file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut octets).map_err(broken)?;
    if octets.len() as u64 > REPORT_BYTES_MAX {
        return Err(ReadError::TooLarge { path: name() });
    }
    let not_one = |source| ReadError::NotAReport { path: name(), source };
    // Fields that are missing have their empty value, so either would be read as the other.
    let hostile: HostileReport = serde_json::from_slice(&octets).map_err(not_one)?;
    if hostile.phases.is_empty() {
        let run = serde_json::from_slice(&octets).map_err(not_one)?;
        return Ok(Saved::Run(Box::new(run)));
    }
    Ok(Saved::Hostile(Box::new(hostile)))
}
