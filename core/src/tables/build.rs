//! Compiles sources into a generation.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{SourceError, Sources};

/// How far a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: reading a file, writing a table.
    pub step: String,
    /// Lines or records so far.
    pub done: u64,
    /// How many there will be, if known.
    pub total: Option<u64>,
}

/// What a build made; `report.json` of the generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// One line for each table.
    pub tables: Vec<TableReport>,
    /// One line for each source file.
    pub sources: Vec<SourceReport>,
    /// What `scan::patterns` says of each rule: taken, prefilter and confirm, refused and why.
    pub patterns: serde_json::Value,
}

/// One table of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// Entries in it.
    pub entries: u64,
    /// Size of the file in octets.
    pub bytes: u64,
    /// Its name in the engine's directory: BLAKE3.
    pub hash: String,
}

/// One source of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceReport {
    /// The file.
    pub path: String,
    /// Items taken from it.
    pub items: u64,
    /// Lines that were understood and left out, with the reason (for example a TTL directive).
    pub left_out: u64,
}

/// Builds generation directory `out` (must not exist) from `sources`: under a temporary name beside
/// it, flushed, then renamed. Blocking; minutes for pattern sets of tens of thousands.
///
/// # Errors
/// Every mistake in every source; nothing is left behind then. The operator is at fault.
pub fn build_generation(
    sources: &Sources,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Vec<SourceError>> {
    let _ = (sources, progress);
    Err(vec![SourceError::new(out, 0, 0, "not yet built")])
}
