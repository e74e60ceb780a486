//! Compiles sources into a generation.

mod collect;
pub(super) mod make;
pub(super) mod rules;
mod write;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{SourceError, Sources, disk};

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
    /// What is no mistake and probably not meant, with its place.
    pub warnings: Vec<String>,
}

/// Lines between two calls of the progress function.
const PROGRESS_LINES: u64 = 100_000;

/// Builds generation directory `out` (named by the generation's number; must not exist) from
/// `sources`: under a temporary name beside it, flushed, then renamed. Blocking; minutes for pattern
/// sets of tens of thousands, seconds for ten million addresses.
///
/// # Errors
/// Every mistake in every source; nothing is left behind then. The operator is at fault.
pub fn build_generation(
    sources: &Sources,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Vec<SourceError>> {
    let number = out.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
    let number = number.filter(|number| *number > 0).ok_or_else(|| {
        vec![SourceError::new(out, 0, 0, "the directory's name is not a generation number")]
    })?;
    if out.exists() {
        return Err(vec![SourceError::new(out, 0, 0, "is there already")]);
    }
    let mut mistakes = Vec::new();
    let made = write_dir(out, |dir| {
        make_generation(sources, number, dir, progress).map_err(|errors| {
            mistakes = errors;
            io::Error::other("mistakes in the sources")
        })
    });
    made.map_err(|error| match mistakes.is_empty() {
        true => vec![SourceError::new(out, 0, 0, error.to_string())],
        false => mistakes,
    })
}

/// Fills `dir` with generation `number`.
pub(super) fn make_generation(
    sources: &Sources,
    number: u64,
    dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Vec<SourceError>> {
    let made = make::make(collect::collect(sources, progress)?)?;
    write::write(dir, number, sources, made, progress)
        .map_err(|error| vec![SourceError::new(dir, 0, 0, error.to_string())])
}

/// Fills a directory under a temporary name, flushes it and renames it; removes it on failure.
pub(super) fn write_dir<T>(out: &Path, fill: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let temporary = disk::temporary(out);
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary)?;
    }
    std::fs::create_dir_all(temporary.join("delta"))?;
    let done = fill(&temporary).and_then(|value| {
        disk::sync_dir(&temporary.join("delta"))?;
        disk::sync_dir(&temporary)?;
        disk::rename(&temporary, out)?;
        Ok(value)
    });
    if done.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    done
}
