//! One append-only log of one shard. (Being built: the signatures are final.)

use std::path::PathBuf;
use std::sync::Arc;

use super::budget::Budget;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Directory of this log; created if absent.
    pub directory: PathBuf,
    /// A segment is sealed when it has this many octets.
    pub segment_bytes: u64,
    /// A segment is sealed when it is that old, whatever its size, in milliseconds.
    pub segment_age_ms: u64,
    /// Octets of killed records leave the disk at latest after that time, in milliseconds.
    pub dead_age_ms: u64,
    /// Random number of this start; salts the records, so that nobody can forge one in a mail.
    pub salt: u64,
    /// Budget that its files count against.
    pub budget: Arc<Budget>,
}

impl LogOptions {
    /// Defaults: segments of 64 MiB or six hours, dead octets gone within twelve hours.
    #[must_use]
    pub fn new(directory: PathBuf, salt: u64, budget: Arc<Budget>) -> Self {
        const HOUR_MS: u64 = 3_600_000;
        Self {
            directory,
            segment_bytes: 64 << 20,
            segment_age_ms: 6 * HOUR_MS,
            dead_age_ms: 12 * HOUR_MS,
            salt,
            budget,
        }
    }
}

/// A small record on its way to the disk. Dropping it loses nothing: the record is written anyway.
#[derive(Debug)]
pub struct Ticket(());

impl Ticket {
    /// Waits until the record is durable.
    ///
    /// # Errors
    /// The flush failed; the record is tried again with the next one, but nothing is certain now.
    pub async fn durable(self) -> Result<(), super::SpoolError> {
        std::future::ready(Ok(())).await
    }
}
