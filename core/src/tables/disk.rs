//! The few file operations of this room. They block: adopt, build and publish run beside the shards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Opens for reading.
#[expect(clippy::disallowed_methods, reason = "blocking by design: never called on a shard")]
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Creates a file that must not exist.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Reads a whole small file, at most `bytes_max` octets.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > bytes_max {
        let text = format!("{bytes} octets, at most {bytes_max} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    file.take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

/// Writes a new file and flushes it to the disk.
pub(super) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Renames and makes the new name durable.
#[expect(clippy::disallowed_methods, reason = "blocking by design: never called on a shard")]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    open(dir)?.sync_all()
}

/// Names in a directory, sorted; none if it does not exist.
#[expect(clippy::disallowed_methods, reason = "blocking by design: never called on a shard")]
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of ours.
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Copies `from` to the new file `to`, octet by octet (never a link: the other side could still write
/// through one), and flushes it.
pub(super) fn copy_new(from: &Path, to: &Path) -> io::Result<u64> {
    let mut source = open(from)?;
    let mut target = create_new(to)?;
    let mut buffer = vec![0_u8; 1 << 20];
    let mut total = 0_u64;
    loop {
        let count = source.read(&mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
        target.write_all(piece)?;
        total = total.saturating_add(count as u64);
    }
    target.sync_all()?;
    Ok(total)
}

/// A name beside `path` that no other run of this program uses at the same time.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    path.with_file_name(name)
}
