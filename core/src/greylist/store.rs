//! The table in a file: magic, version, seed, entries, checksum. Read whole or not at all: a damaged one is no loss but that
//! strangers are asked again.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Greylist, Times};
use crate::clock::UnixMillis;

const MAGIC: &[u8; 8] = b"SKSHGRL1";
/// Octets of an entry.
const ENTRY_BYTES: usize = 16;
/// Longest file that is read: a table of 64 million entries.
const FILE_BYTES_MAX: u64 = 1 << 30;

impl Greylist {
    /// Whether it changed since it was last asked this.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.changes.swap(0, Ordering::Relaxed) > 0
    }

    /// Writes the table beside `path` and renames it. Blocks: for a thread of its own.
    ///
    /// # Errors
    /// The file cannot be written; the old one stays.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        #[expect(clippy::disallowed_methods, reason = "on a thread beside the shards")]
        let file = std::fs::File::create(&unfinished)?;
        let mut out = io::BufWriter::new(file);
        let mut checksum = 0;
        let mut put = |octets: &[u8]| {
            checksum = crc32c::crc32c_append(checksum, octets);
            out.write_all(octets)
        };
        put(MAGIC)?;
        put(&self.seed.to_le_bytes())?;
        for slot in &self.slots {
            let key = slot.key.load(Ordering::Relaxed);
            if key != 0 {
                put(&key.to_le_bytes())?;
                put(&slot.times.load(Ordering::Relaxed).to_le_bytes())?;
            }
        }
        out.write_all(&checksum.to_le_bytes())?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        #[expect(clippy::disallowed_methods, reason = "on a thread beside the shards")]
        std::fs::rename(&unfinished, path)
    }

    /// The table as it was written, of a size of today. `seed`: for one that begins anew, because there is no file or it
    /// cannot be read. Blocks: before the shards run.
    #[must_use]
    pub fn load(path: &Path, entries: usize, seed: u64, now: UnixMillis) -> Self {
        match read(path) {
            Ok((seed, stored)) => {
                let table = Self::new(entries, seed);
                for (key, times) in stored {
                    table.insert(key, Times::read(times), now.0 / 1000);
                }
                table
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, path = %path.display(), "greylist begins anew");
                }
                Self::new(entries, seed)
            }
        }
    }
}

type Stored = (u64, Vec<(u64, u64)>);

fn read(path: &Path) -> io::Result<Stored> {
    #[expect(clippy::disallowed_methods, reason = "before the shards run")]
    let file = std::fs::File::open(path)?;
    let mut octets = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut octets)?;
    parse(&octets)
}

fn parse(octets: &[u8]) -> io::Result<Stored> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (body, checksum) =
        octets.split_last_chunk::<4>().ok_or_else(|| wrong("it is too short"))?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(wrong("its checksum is wrong"));
    }
    let body = body.strip_prefix(MAGIC).ok_or_else(|| wrong("it is of another kind"))?;
    let (seed, entries) = body.split_first_chunk::<8>().ok_or_else(|| wrong("it is too short"))?;
    let word =
        |octets: &[u8]| octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet));
    let entries = entries.chunks_exact(ENTRY_BYTES).filter_map(|entry| {
        let (key, times) = entry.split_at_checked(8)?;
        Some((word(key), word(times))).filter(|(key, _)| *key != 0)
    });
    Ok((u64::from_le_bytes(*seed), entries.collect()))
}

/// Fuzz entry: any octets as a file, with its own checksum and with the right one. Number of entries.
pub fn fuzz_file(octets: &[u8]) -> usize {
    let _ = parse(octets);
    let whole = [octets, &crc32c::crc32c(octets).to_le_bytes()].concat();
    let Ok((seed, stored)) = parse(&whole) else { return 0 };
    let table = Greylist::new(64, seed);
    for (key, times) in &stored {
        table.insert(*key, Times::read(*times), 1_700_000_000);
    }
    stored.len()
}
