//! shard: one glommio executor per core, pinned; builds the rooms, serves, reloads, drains.
//!
//! ```text
//! main thread:    configuration, certificates, tables, control socket, metrics, signals
//! shard 0..n-1:   listeners (SO_REUSEPORT), sessions, delivery, housekeeping; shares nothing but
//!                 `Shared` (atomics and swapped values)
//! control thread: answers the control socket; asks shards through their inboxes
//! ```
//!
//! It decides nothing about mail: that is `pipeline`. Nobody imports it but programs (and `pipeline`
//! for the rooms it works with).
//!
//! Faults it survives: a panic in a session (421, counted), a shard that cannot bind (the engine does
//! not start), a generation that is refused (the last good one stays), SIGTERM at any moment.
//! Memory per shard: `smtp.shard_memory_bytes_max` for bodies, 1 KiB for each session that
//! is idle (9 under TLS).

mod alarms;
mod connection;
pub mod counters;
mod damage;
pub mod deadlines;
mod delivery;
mod dispatch;
mod greeting;
mod inbox;
mod keeper;
mod listener;
pub mod memory;
pub mod metrics;
mod overload;
pub mod rooms;
mod run;
pub mod shared;
mod start;
#[cfg(test)]
mod tests;
pub mod written;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use glommio::{LocalExecutorBuilder, Placement};

use crate::config::ConfigError;
use crate::spool::SpoolError;

pub use start::{dns_lists, names};

/// What the program was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Configuration file.
    pub config: PathBuf,
    /// Data directory, instead of the one in the configuration.
    pub data: Option<PathBuf>,
}

/// Why the engine did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration has mistakes; all of them are named.
    #[error("the configuration has mistakes:\n{}", lines(.0))]
    Config(Vec<ConfigError>),
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate.
    #[error(transparent)]
    Tls(#[from] crate::accept::tls::TlsError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] crate::control::server::ControlError),
    /// Spool, quarantine or mail log.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// `engine.sockets = "ring"`, and the kernel has none for us.
    #[error(
        "ring for the sockets of shard {shard}: {source}; it needs Linux 6.1 and io_uring allowed"
    )]
    SocketRing {
        /// Which.
        shard: u16,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// glommio could not make an executor; most often RLIMIT_MEMLOCK or io_uring is not allowed.
    #[error(
        "executor of shard {shard}: {text}; try: ulimit -l unlimited, sysctl kernel.io_uring_disabled=0"
    )]
    Executor {
        /// Which.
        shard: u16,
        /// Why.
        text: String,
    },
    /// The zone file cannot be read or served.
    #[error("dns.zone: {0}")]
    Zone(String),
    /// The threads that check senders could not be started.
    #[error("authentication: {0}")]
    Authentication(String),
    /// The threads that ask scan engines of others could not be started.
    #[error("scanners: {0}")]
    Scanners(String),
    /// A text of notices is wrong.
    #[error("{0}")]
    Notices(String),
    /// The analysis workers could not be started.
    #[error("analysis workers: {0}")]
    Analysis(String),
    /// Threads or TLS for next hops could not be made.
    #[error("delivery: {0}")]
    Delivery(String),
    /// The metrics address.
    #[error("metrics on {address}: {text}")]
    Metrics {
        /// Which.
        address: SocketAddr,
        /// Why.
        text: String,
    },
    /// A shard ended by a defect of ours.
    #[error("shard {shard} ended unexpectedly")]
    ShardDied {
        /// Which.
        shard: u16,
    },
}

fn lines(problems: &[ConfigError]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs the engine until SIGTERM, SIGINT or a `Drain` over the control socket.
///
/// # Errors
/// [`EngineError`]: why it could not start, or which shard died.
pub fn run(options: &Options) -> Result<(), EngineError> {
    let start::Started { shared, inboxes, receivers, seeds, keeper } = start::prepare(options)?;
    // Before the first listener: a SIGTERM right after the start drains like any other.
    start::signals(&shared, &inboxes)?;
    let (ready, readied) = flume::bounded(receivers.len());
    let (ended, ends) = flume::unbounded();
    let mut handles = Vec::new();
    for ((index, inbox), seed) in (0_u16..).zip(receivers).zip(seeds) {
        let start = run::Start {
            index,
            shared: Arc::clone(&shared),
            inbox,
            ready: ready.clone(),
            seed,
            ended: ended.clone(),
        };
        let handle = LocalExecutorBuilder::new(placement(index))
            .name(&format!("shard-{index}"))
            .io_memory(4 << 20)
            .ring_depth(256)
            .spawn(move || run::run(start))
            .map_err(|error| EngineError::Executor { shard: index, text: error.to_string() })?;
        handles.push((index, handle));
    }
    drop((ready, ended));
    // Each shard says once whether its listeners are bound.
    for _ in &handles {
        match readied.recv() {
            Ok(outcome) => outcome?,
            Err(flume::RecvError::Disconnected) => {
                return Err(EngineError::ShardDied { shard: 0 });
            }
        }
    }
    start::announce(&shared)?;
    // The death of any shard ends the process: its mails wait for a restart, not for ever.
    for _ in &handles {
        match ends.recv() {
            Ok(run::Ended { in_order: true, .. }) => {}
            Ok(run::Ended { shard, in_order: false }) => {
                return Err(EngineError::ShardDied { shard });
            }
            Err(flume::RecvError::Disconnected) => return Err(EngineError::ShardDied { shard: 0 }),
        }
    }
    for (shard, handle) in handles {
        handle.join().map_err(|_| EngineError::ShardDied { shard })?;
    }
    keeper.end();
    tracing::info!("drained, good night");
    Ok(())
}

/// Shard n on the n-th core that this process may use.
fn placement(index: u16) -> Placement {
    let allowed = start::cores();
    match allowed.get(usize::from(index) % allowed.len().max(1)) {
        Some(core) => Placement::Fixed(*core),
        None => Placement::Unbound,
    }
}
