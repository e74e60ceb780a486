//! What can go wrong with patterns.

/// A line of a source that cannot be understood. The operator's fault; nothing is built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {text}")]
pub struct SourceError {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in octets, from 1.
    pub column: u32,
    /// What is wrong with what value.
    pub text: String,
}

/// Why a payload cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Built with another libhs or for another CPU: build it again from the generation's sources
    /// and answer 451 meanwhile.
    #[error("patterns were built with {built}, this machine has {here}: rebuild them")]
    Rebuild {
        /// Version and CPU features of the payload.
        built: String,
        /// Version and CPU features here.
        here: String,
    },
    /// Not a payload of this format, or damaged.
    #[error("patterns payload: {0}")]
    Damaged(String),
    /// libhs could not load a database.
    #[error("patterns database {field}: libhs error {code}")]
    Database {
        /// The field that it is for.
        field: String,
        /// Return value of libhs.
        code: i32,
    },
}

/// A scan that could not be done: our own fault, temporary. Never to be read as "no hits".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// libhs had no memory for its scratch space.
    #[error("libhs scratch space: error {0}")]
    Scratch(i32),
    /// libhs refused to scan.
    #[error("libhs scan: error {0}")]
    Scan(i32),
}
