//! The greylist on disk: read at the start, written while the engine runs by a thread of its own, and once more at the end.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::EngineError;
use super::start::io_error;
use crate::clock::Now;
use crate::greylist::Greylist;

/// How often it is written, if it changed: what a power cut takes.
const WRITTEN_EACH: Duration = Duration::from_secs(10);

/// The thread that writes it.
#[derive(Debug)]
pub(super) struct Keeper {
    end: flume::Sender<()>,
    thread: JoinHandle<()>,
}

/// The greylist as the last run left it, and who keeps it. `seed`: for a new one.
pub(super) fn start(
    data: &Path,
    entries: usize,
    seed: u64,
) -> Result<(Arc<Greylist>, Keeper), EngineError> {
    let directory = data.join("engine");
    std::fs::create_dir_all(&directory).map_err(io_error(&directory))?;
    let path = directory.join("greylist");
    let table = Arc::new(Greylist::load(&path, entries, seed, Now::read().unix));
    let kept = Arc::clone(&table);
    let (end, ends) = flume::bounded::<()>(0);
    let write = move || loop {
        let last =
            !matches!(ends.recv_timeout(WRITTEN_EACH), Err(flume::RecvTimeoutError::Timeout));
        if kept.changed()
            && let Err(error) = kept.save(&path)
        {
            tracing::warn!(%error, path = %path.display(), "the greylist cannot be written");
        }
        if last {
            return;
        }
    };
    let thread = std::thread::Builder::new().name("greylist".into()).spawn(write);
    let thread = thread.map_err(io_error(&directory))?;
    Ok((table, Keeper { end, thread }))
}

impl Keeper {
    /// Writes what is left.
    pub(super) fn end(self) {
        drop(self.end);
        // A thread that panicked has written what it could.
        let _ = self.thread.join();
    }
}
