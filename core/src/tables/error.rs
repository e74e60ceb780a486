//! What can go wrong with tables, and whose doing it is.

use std::path::PathBuf;

/// One mistake in a source file. A build reports all of them and builds nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {text}", file.display(), place(*line, *column))]
pub struct SourceError {
    /// The file as it was named in the configuration.
    pub file: PathBuf,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: u64,
    /// Column in characters, from 1; 0 where the whole line or file is meant.
    pub column: u64,
    /// What is wrong, with the value.
    pub text: String,
}

/// `:12:3`; a file as a whole has no line.
fn place(line: u64, column: u64) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!(":{line}"),
        (line, column) => format!(":{line}:{column}"),
    }
}

impl SourceError {
    /// A mistake at a place.
    #[must_use]
    pub fn new(file: &std::path::Path, line: u64, column: u64, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column, text: text.into() }
    }
}

/// Why a generation or a delta was not taken over. The last good one stays in force; it is always
/// the operator's matter, never the client's.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A file could not be read, copied or mapped.
    #[error("{}: {source}", file.display())]
    Io {
        /// Which one.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its header or the manifest says.
    #[error("{}: {what}: found {found}, expected {expected}", file.display())]
    Mismatch {
        /// Which one.
        file: PathBuf,
        /// What was compared.
        what: &'static str,
        /// The value in the file.
        found: String,
        /// The value that would fit.
        expected: String,
    },
    /// A file cannot be understood.
    #[error("{}: {text}", file.display())]
    Malformed {
        /// Which one.
        file: PathBuf,
        /// What is wrong with it.
        text: String,
    },
    /// The patterns were compiled for another Hyperscan or another CPU: run
    /// [`super::adopt::rebuild_patterns`] beside the shards, answer 451 meanwhile, adopt again.
    #[error("{}: patterns are built for {found}, this machine needs {expected}: rebuild them", file.display())]
    Rebuild {
        /// The table file.
        file: PathBuf,
        /// What it was built for.
        found: String,
        /// What this machine has.
        expected: String,
    },
}

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file could not be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// Which one.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no generation to change.
    #[error("{}: no generation yet, build one first", dir.display())]
    NoGeneration {
        /// Directory of the generations.
        dir: PathBuf,
    },
    /// The generation that the change belongs to cannot be read.
    #[error(transparent)]
    Generation(#[from] AdoptError),
    /// The sources have mistakes.
    #[error("{} mistakes in the sources, the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Sources(Vec<SourceError>),
    /// A change makes no sense: alias loop, alias of an existing mailbox, unknown domain, duplicate.
    #[error("{change}: {why}")]
    Refused {
        /// The change in one line.
        change: String,
        /// Why it is refused.
        why: String,
    },
}
