//! Mails above `limits::BODY_IN_MEMORY_BYTES_MAX`: a file of its own, written as the mail arrives, in room that was
//! promised to it ([`Arriving`]) until the file is gone or has another name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SpoolError;
use super::budget::Arriving;
use super::disk::Disk;
use crate::content::{Content, Piece};
use crate::envelope::MailId;

/// Streams one large mail into `<directory>/incoming/`.
#[derive(Debug)]
pub struct LargeWriter<D: Disk> {
    disk: D,
    file: D::File,
    path: PathBuf,
    bytes: u64,
    room: Arriving,
}

/// A complete file in `incoming/`: keep it until the mail has its place (delivered, spooled, held); dropping
/// it removes the name. Rooms that keep the mail have linked it under a name of their own.
#[derive(Debug)]
pub struct Incoming<D: Disk> {
    /// The mail's octets.
    pub content: Content,
    disk: D,
    path: PathBuf,
    room: Arriving,
}

impl<D: Disk> Drop for Incoming<D> {
    fn drop(&mut self) {
        discard(&self.disk, std::mem::take(&mut self.path), std::mem::take(&mut self.room));
    }
}

/// Removes a file beside everything else; its room is free once it is gone.
fn discard<D: Disk>(disk: &D, path: PathBuf, room: Arriving) {
    let removing = disk.clone();
    disk.spawn(async move {
        // What stays is removed at the next start.
        let _ = removing.remove(&path).await;
        drop(room);
    });
}

impl<D: Disk> Drop for LargeWriter<D> {
    /// A message that was not finished (the client left, RSET, no room) leaves nothing on the disk.
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        discard(&self.disk, std::mem::take(&mut self.path), std::mem::take(&mut self.room));
    }
}

impl<D: Disk> LargeWriter<D> {
    /// Creates the file. `directory` is the `incoming` directory of the shard's spool, which exists; `room` is what
    /// was promised for the size that was declared.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: temporary.
    pub async fn create(
        disk: D,
        directory: &Path,
        mail: MailId,
        room: Arriving,
    ) -> Result<Self, SpoolError> {
        let path = directory.join(format!("{mail}.large"));
        let file =
            disk.create(&path).await.map_err(|error| SpoolError::io("create", &path, &error))?;
        Ok(Self { disk, file, path, bytes: 0, room })
    }

    /// Appends octets, if there is room for them without touching the reserve.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`], [`SpoolError::Io`]: temporary; the writer is of no more use.
    pub async fn write(&mut self, octets: Vec<u8>) -> Result<(), SpoolError> {
        let bytes = octets.len() as u64;
        self.room.cover(self.bytes + bytes)?;
        write_all(&self.disk, &self.file, &self.path, octets, self.bytes).await?;
        self.room.wrote(bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Octets so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file durable and gives it as a content.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: temporary.
    pub async fn finish(mut self) -> Result<Incoming<D>, SpoolError> {
        let (disk, bytes) = (self.disk.clone(), self.bytes);
        let sync = disk.fdatasync(&self.file).await;
        sync.map_err(|error| SpoolError::io("fdatasync", &self.path, &error))?;
        if let Some(directory) = self.path.parent() {
            let sync = disk.sync_dir(directory).await;
            sync.map_err(|error| SpoolError::io("fsync", directory, &error))?;
        }
        let large = disk.open_large(&self.path).await;
        let large = Arc::new(large.map_err(|error| SpoolError::io("open", &self.path, &error))?);
        let content = Content { pieces: vec![Piece::File { file: large, offset: 0, bytes }] };
        // From here on the file is the message's, not the writer's.
        let (path, room) = (std::mem::take(&mut self.path), std::mem::take(&mut self.room));
        Ok(Incoming { content, disk, path, room })
    }
}

/// Writes all of `octets`.
///
/// A short write to a regular file means that the disk is full (or about to fail): it is an error
/// and not tried again, so that the octets need not be kept twice.
pub(crate) async fn write_all<D: Disk>(
    disk: &D,
    file: &D::File,
    path: &Path,
    octets: Vec<u8>,
    offset: u64,
) -> Result<(), SpoolError> {
    let bytes = octets.len();
    let fail = |error: std::io::Error| SpoolError::io("write", path, &error);
    let written = disk.write_at(file, octets, offset).await.map_err(fail)?;
    if written == bytes {
        return Ok(());
    }
    Err(SpoolError::Io {
        action: "write",
        path: path.to_path_buf(),
        kind: std::io::ErrorKind::StorageFull,
        text: format!("{written} of {bytes} octets written"),
    })
}
