//! `manifest.json`: what a generation consists of.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::Written;
use super::sources::RuleFormat;
use super::{AdoptError, disk};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const CONFIG: &str = "sekisho.toml";
pub(super) const REPORT: &str = "report.json";
/// Single changes that the tables hold beside their sources; for the next build.
pub(super) const CHANGES: &str = "changes";
const FORMAT: u32 = 1;
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    pub format: u32,
    /// The generation's number; its directory is named by it.
    pub number: u64,
    /// Tables by their names.
    pub tables: BTreeMap<String, TableFile>,
    /// BLAKE3 of `sekisho.toml`.
    pub config_hash: String,
    /// Pattern sources it carries, in their order.
    pub pattern_sources: Vec<CarriedSource>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableFile {
    /// BLAKE3 of its header block: its name in the engine's directory.
    pub hash: String,
    pub bytes: u64,
}

impl From<Written> for TableFile {
    fn from(written: Written) -> Self {
        Self { hash: written.name, bytes: written.bytes }
    }
}

/// One source that is carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CarriedSource {
    /// Name in `sources/`.
    pub file: String,
    /// How it was named in the configuration.
    pub path: PathBuf,
    pub format: RuleFormat,
    /// BLAKE3 of its content.
    pub hash: String,
}

impl Manifest {
    pub(super) fn new(number: u64) -> Self {
        Self { format: FORMAT, number, ..Self::default() }
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        disk::write_new(&dir.join(MANIFEST), &text)
    }

    /// Adds a table to the manifest of a generation that has no name yet.
    pub(super) fn add_table(dir: &Path, name: &str, table: TableFile) -> io::Result<()> {
        let file = dir.join(MANIFEST);
        let text = disk::read(&file, SMALL_FILE_BYTES_MAX)?;
        let mut manifest: Self = serde_json::from_slice(&text).map_err(io::Error::other)?;
        manifest.tables.insert(name.to_owned(), table);
        std::fs::remove_file(&file)?;
        manifest.write(dir)
    }

    /// Reads it and compares its number with the name of the directory.
    pub(super) fn read(dir: &Path) -> Result<Self, AdoptError> {
        let file = dir.join(MANIFEST);
        let text = read_small(&file)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| {
            AdoptError::Malformed { file: file.clone(), text: error.to_string() }
        })?;
        let mismatch = |what, found: String, expected: String| {
            Err(AdoptError::Mismatch { file: file.clone(), what, found, expected })
        };
        if manifest.format != FORMAT {
            return mismatch("format", manifest.format.to_string(), FORMAT.to_string());
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        if *name != manifest.number.to_string() {
            return mismatch("number", manifest.number.to_string(), name.into_owned());
        }
        Ok(manifest)
    }

    /// The settings it carries.
    pub(super) fn config_text(&self, dir: &Path) -> Result<String, AdoptError> {
        let file = dir.join(CONFIG);
        let text = read_hashed(&file, &self.config_hash)?;
        String::from_utf8(text)
            .map_err(|error| AdoptError::Malformed { file, text: error.to_string() })
    }

    /// The pattern sources it carries.
    pub(super) fn carried(&self, dir: &Path) -> Result<Vec<(CarriedSource, Vec<u8>)>, AdoptError> {
        let read = |source: &CarriedSource| {
            let content = read_hashed(&dir.join("sources").join(&source.file), &source.hash)?;
            Ok((source.clone(), content))
        };
        self.pattern_sources.iter().map(read).collect()
    }
}

fn read_small(file: &Path) -> Result<Vec<u8>, AdoptError> {
    disk::read(file, SMALL_FILE_BYTES_MAX)
        .map_err(|source| AdoptError::Io { file: file.to_owned(), source })
}

fn read_hashed(file: &Path, expected: &str) -> Result<Vec<u8>, AdoptError> {
    let content = read_small(file)?;
    let found = blake3::hash(&content).to_hex().to_string();
    if found != expected {
        let (file, expected) = (file.to_owned(), expected.to_owned());
        return Err(AdoptError::Mismatch { file, what: "BLAKE3", found, expected });
    }
    Ok(content)
}
