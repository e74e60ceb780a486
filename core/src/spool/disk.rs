//! The disk as the store sees it: a trait with two implementations, glommio's files and a
//! simulated disk ([`super::sim`]) that forgets, tears and reorders what was not flushed.
//!
//! Everything above is generic over [`Disk`], so that the proof runs the code that ships.
//! The room reads no environment, and no clock but the monotonic one that a disk brings along; paths come
//! from the configuration, and file names are made of numbers and ids of ours, never of octets of a peer.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use glommio::io::{BufferedFile, OpenOptions};

use crate::content::LargeFile;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File name without directory.
    pub name: String,
    /// Length in octets; 0 for a directory.
    pub bytes: u64,
    /// It is a directory.
    pub directory: bool,
}

/// What the store needs of a disk. Errors are those of the operating system, unchanged.
///
/// Only data that was written before [`Disk::fdatasync`] began, and names that existed before
/// [`Disk::sync_dir`] began, survive a power cut once these have returned `Ok`. After an `Err` of
/// `fdatasync` the state of the file's unflushed data is unknown for ever: a second call may say
/// `Ok` though nothing reached the disk (Linux reports a write-back error once).
pub trait Disk: Clone + std::fmt::Debug + 'static {
    /// An open file. Cloning shares the descriptor.
    type File: Clone + std::fmt::Debug + 'static;

    /// Creates a file for reading and writing; fails if the name exists.
    fn create(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>>;
    /// Writes at an offset; may write less than all, as `pwrite` may.
    fn write_at(
        &self,
        file: &Self::File,
        octets: Vec<u8>,
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>>;
    /// Reads up to `bytes` octets; fewer at the end of the file.
    fn read_at(
        &self,
        file: &Self::File,
        offset: u64,
        bytes: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>>;
    /// Length of an open file.
    fn bytes(&self, file: &Self::File) -> impl Future<Output = io::Result<u64>>;
    /// Makes what was written durable, with the length of the file.
    fn fdatasync(&self, file: &Self::File) -> impl Future<Output = io::Result<()>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, directory: &Path) -> impl Future<Output = io::Result<()>>;
    /// Creates a directory and its parents, durable; no error if it is there.
    fn create_dir(&self, directory: &Path) -> impl Future<Output = io::Result<()>>;
    /// Names in a directory in order of name; empty if there is no such directory.
    fn list(&self, directory: &Path) -> impl Future<Output = io::Result<Vec<Entry>>>;
    /// Renames a file within one file system.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>>;
    /// Gives a file a second name; fails if the name exists.
    fn link(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Octets that an ordinary user may still write on the file system of `path`.
    fn free_bytes(&self, path: &Path) -> impl Future<Output = io::Result<u64>>;
    /// Opens a complete file for use in a [`crate::content::Content`].
    fn open_large(&self, path: &Path) -> impl Future<Output = io::Result<LargeFile>>;
    /// Runs a future to its end on this shard, whoever started it goes on or is dropped.
    fn spawn(&self, future: impl Future<Output = ()> + 'static);
    /// Lets other tasks of the shard run.
    fn pause(&self) -> impl Future<Output = ()>;
    /// Lets other tasks of the shard run for that long.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// The monotonic clock, since an arbitrary start.
    fn elapsed(&self) -> Duration;
}

/// The real disk under the glommio executor of the calling shard.
///
/// Buffered files, not direct ones: `fdatasync` is needed with either (a drive's cache and the
/// file's length), group commit hides its cost, records need no aligned memory, a temporary
/// directory on tmpfs works, and the command line reads a record from the page cache at once.
/// Calls for which io_uring or glommio has nothing (`fsync` of a directory, list, link) run on
/// glommio's blocking thread: they are rare and never on the way of an ordinary append.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlommioDisk;

/// Runs a blocking call beside the shard.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    glommio::executor().spawn_blocking(call).await
}

fn to_io<T>(error: glommio::GlommioError<T>) -> io::Error {
    io::Error::from(error)
}

impl Disk for GlommioDisk {
    type File = Rc<BufferedFile>;

    async fn create(&self, path: &Path) -> io::Result<Self::File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Rc::new(options.buffered_open(path).await.map_err(to_io)?))
    }

    async fn open(&self, path: &Path) -> io::Result<Self::File> {
        Ok(Rc::new(BufferedFile::open(path).await.map_err(to_io)?))
    }

    async fn write_at(&self, file: &Self::File, octets: Vec<u8>, offset: u64) -> io::Result<usize> {
        file.write_at(octets, offset).await.map_err(to_io)
    }

    async fn read_at(&self, file: &Self::File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        Ok(file.read_at(offset, bytes).await.map_err(to_io)?.to_vec())
    }

    async fn bytes(&self, file: &Self::File) -> io::Result<u64> {
        file.file_size().await.map_err(to_io)
    }

    async fn fdatasync(&self, file: &Self::File) -> io::Result<()> {
        file.fdatasync().await.map_err(to_io)
    }

    #[expect(clippy::disallowed_methods, reason = "on glommio's blocking thread")]
    async fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        // Not glommio's Directory::sync: that is fdatasync, and ext4 commits a new name in an
        // existing block of a directory only with fsync.
        let directory = directory.to_path_buf();
        blocking(move || std::fs::File::open(directory)?.sync_all()).await
    }

    async fn create_dir(&self, directory: &Path) -> io::Result<()> {
        let directory = directory.to_path_buf();
        blocking(move || create_dir_durable(&directory)).await
    }

    async fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let directory = directory.to_path_buf();
        blocking(move || list_blocking(&directory)).await
    }

    #[expect(clippy::disallowed_methods, reason = "on glommio's blocking thread")]
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        blocking(move || std::fs::rename(from, to)).await
    }

    async fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        blocking(move || std::fs::hard_link(from, to)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let path = path.to_path_buf();
        blocking(move || std::fs::remove_file(path)).await
    }

    async fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = path.to_path_buf();
        blocking(move || {
            let stat = rustix::fs::statvfs(&path)?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
        .await
    }

    #[expect(clippy::disallowed_methods, reason = "on glommio's blocking thread")]
    async fn open_large(&self, path: &Path) -> io::Result<LargeFile> {
        let path = path.to_path_buf();
        blocking(move || {
            let file = std::fs::File::open(&path)?;
            let bytes = file.metadata()?.len();
            Ok(LargeFile { file, path, bytes })
        })
        .await
    }

    fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(future).detach();
    }

    async fn pause(&self) {
        glommio::executor().yield_if_needed().await;
    }

    async fn sleep(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    fn elapsed(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::try_from(now).unwrap_or_default()
    }
}

/// Creates `directory` and what is missing above it, each made durable in its parent.
#[expect(clippy::disallowed_methods, reason = "on glommio's blocking thread")]
fn create_dir_durable(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent: PathBuf = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    };
    create_dir_durable(&parent)?;
    match std::fs::create_dir(directory) {
        Ok(()) => {}
        // Another shard was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    std::fs::File::open(parent)?.sync_all()
}

/// Lists a directory; empty if it is absent. Also used by the readers of the command line.
#[expect(clippy::disallowed_methods, reason = "on a thread that may block")]
pub(crate) fn list_blocking(directory: &Path) -> io::Result<Vec<Entry>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A file may vanish between the two calls: a live writer drops segments.
        let Ok(metadata) = entry.metadata() else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        let bytes = if metadata.is_dir() { 0 } else { metadata.len() };
        out.push(Entry { name, bytes, directory: metadata.is_dir() });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}
