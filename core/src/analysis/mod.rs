//! Analysis workers: processes that look at what may stall, loop, or break a parser.
//!
//! A worker is the engine's own program started with the argument [`WORKER_ARGUMENT`]. It maps the
//! engine's verified tables, then locks itself in (memory and time limits, no files to open, no
//! network, a list of allowed system calls; see `sandbox`), and only then reads its first content,
//! which arrives as descriptors. It answers with an [`Examination`]. One request at a time; killed
//! at its deadline. A thread could not be killed, and its stack overflow or failed allocation would
//! take every shard along.
//!
//! On the engine's side each worker has one thread of its own here that writes the request, waits,
//! kills and restarts. Shards never wait in it: [`Pool::examine_by`] puts a job into a bounded queue
//! and awaits the answer. Where the engine may (root), a worker becomes another user after its tables
//! are mapped and before it reads anything: what breaks out of it owns none of the engine's files.
//!
//! What the sender answers for: a content on which two workers died is the finding `WorkerDied`, also
//! when it comes again (`deaths`). What we answer for: a full queue, a worker that does not start, a pool that ends
//! are [`AnalysisError`]: 451 for the client.
//!
//! Bounds: `waiting <= queue_max`, `running <= workers`, one answer at most [`ANSWER_BYTES_MAX`].

mod account;
mod deaths;
mod pool;
mod sandbox;
#[cfg(test)]
mod tests;
mod wire;
mod worker;

pub use account::{Account, AccountError, WorkerUser, worker_user};
pub use pool::{Pool, PoolCounters, PoolSettings};
pub use sandbox::SandboxError;
pub use wire::fuzz_wire;
pub use worker::{WorkerArguments, worker_main};

use crate::classify::Reading;
use crate::message::{View, structure_cost};
pub use crate::scan::Examination;
use crate::scan::Unwanted;
use crate::scan::content::Expression;

/// First argument of a worker process.
pub const WORKER_ARGUMENT: &str = "analysis-worker";
/// Longest answer of a worker; a longer one counts as a death.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Structure of a message that may cost more steps than this is read by a worker.
const SHARD_STEPS_MAX: u64 = 20_000_000;

/// Which parts shall be told apart from the rest, because some recipient's domain takes them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cleaning {
    /// Those with malware: [`Examination::cuts`] are looked for if there is any.
    pub malware: bool,
    /// Those that act when they are opened: [`Examination::active_cuts`].
    pub active: bool,
}

impl Cleaning {
    /// What is to be looked for in a message in which this was found.
    #[must_use]
    pub fn wanted(self, seen: &Examination) -> Vec<Unwanted> {
        let mut out = Vec::new();
        if self.malware && seen.virus().is_some() {
            out.push(Unwanted::Malware);
        }
        if self.active && seen.active().is_some() {
            out.push(Unwanted::Active);
        }
        out
    }
}

/// What is asked about a content besides what is in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether parts with malware shall be told apart.
    pub cleaning: Cleaning,
    /// What the administrators of the recipients' domains look for: the expressions of each domain.
    pub content: Vec<Vec<Expression>>,
    /// What the classifiers need that will be asked.
    pub reading: Reading,
}

/// Why there is no examination. Always our own fault and temporary: 451.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnalysisError {
    /// More contents wait than the setting allows.
    #[error("analysis queue is full: {0} contents wait")]
    QueueFull(usize),
    /// It waited longer than the deadline for a free worker.
    #[error("no analysis worker became free within {0} ms")]
    Waited(u64),
    /// A worker could not be started or spoken to.
    #[error("analysis worker does not start: {0}")]
    Start(Box<str>),
    /// The scanner in the worker failed.
    #[error("analysis worker could not scan: {0}")]
    Scan(Box<str>),
    /// The pool has ended.
    #[error("analysis has ended")]
    Ended,
}

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of processes, on threads beside the shards"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Whether `raw` must not even be parsed on a shard: too large, or a structure that takes more than
/// linear time.
#[must_use]
pub fn too_costly(raw: &[u8]) -> bool {
    raw.len() > crate::limits::BODY_IN_MEMORY_BYTES_MAX + crate::limits::CONTENT_LINE_BYTES_MAX
        || structure_cost(raw) > SHARD_STEPS_MAX
}

/// Whether a message has a part that only a worker may open: archives, office files, PDF.
///
/// Images do not count: nothing in this release decodes them.
#[must_use]
pub fn needs_worker(view: &View<'_>) -> bool {
    view.parts.iter().any(crate::message::Part::needs_opening)
}
