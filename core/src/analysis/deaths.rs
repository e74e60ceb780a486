//! Contents on which workers died, so that each kills two and no more, whatever the number of
//! sessions that bring it and however often they come again.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::content::{Content, Piece};

/// Contents that are remembered; a newer one takes the place of an older one of the same slot.
const SLOTS: usize = 1024;
/// Bits of a slot that count, and the one that says that the last worker was late; the others are of the hash.
const COUNT_MASK: u64 = 3;
const LATE: u64 = 4;
const OWN_MASK: u64 = COUNT_MASK | LATE;
/// Deaths after which a content is not tried again: one may be chance.
pub(super) const DEATHS_MAX: u64 = 2;
/// After so long everything is forgotten: what was wrong may have been the machine.
const MEMORY_MS: u64 = 3_600_000;

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Died,
    /// It was killed at its deadline.
    Late,
}

/// The table. No lock: a slot is one number.
#[derive(Debug)]
pub(super) struct Deaths {
    slots: Box<[AtomicU64]>,
    used: AtomicU64,
    since_ms: AtomicU64,
}

impl Default for Deaths {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { slots, used: AtomicU64::new(0), since_ms: AtomicU64::new(0) }
    }
}

impl Deaths {
    /// How often workers died on it, and how the last one did. `hash` is asked for only if anything is remembered.
    pub(super) fn of(&self, now_ms: u64, hash: impl FnOnce() -> Option<u64>) -> (u64, End) {
        let none = (0, End::Died);
        if self.used.load(Ordering::Relaxed) == 0 {
            return none;
        }
        if now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed)) > MEMORY_MS {
            self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
            self.used.store(0, Ordering::Relaxed);
            return none;
        }
        let Some((hash, slot)) = hash().and_then(|hash| Some((hash, self.slot(hash)?))) else {
            return none;
        };
        let value = slot.load(Ordering::Relaxed);
        if value & !OWN_MASK != hash & !OWN_MASK {
            return none;
        }
        (value & COUNT_MASK, if value & LATE == 0 { End::Died } else { End::Late })
    }

    /// Notes one more death; returns how many there were.
    pub(super) fn add(&self, hash: u64, now_ms: u64, end: End) -> u64 {
        if self.used.fetch_add(1, Ordering::Relaxed) == 0 {
            self.since_ms.store(now_ms, Ordering::Relaxed);
        }
        let Some(slot) = self.slot(hash) else { return 0 };
        let more = |value: u64| {
            let known = value & !OWN_MASK == hash & !OWN_MASK;
            let count = if known { value & COUNT_MASK } else { 0 };
            let late = if end == End::Late { LATE } else { 0 };
            (hash & !OWN_MASK) | late | (count + 1).min(COUNT_MASK)
        };
        let before = slot
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(more(value)))
            .unwrap_or(0);
        more(before) & COUNT_MASK
    }

    fn slot(&self, hash: u64) -> Option<&AtomicU64> {
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SLOTS;
        self.slots.get(index)
    }
}

/// The hash of a content under a generation: other tables may not stumble over it.
pub(super) fn hash_of(content: &Content, generation: Option<&Path>) -> io::Result<u64> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(generation.map_or(&b""[..], |path| path.as_os_str().as_encoded_bytes()));
    let mut chunk = vec![0_u8; 64 * 1024];
    for piece in &content.pieces {
        match piece {
            Piece::Memory(octets) => {
                hasher.update(octets);
            }
            Piece::File { file, offset, bytes } => {
                let (mut at, mut left) = (*offset, *bytes);
                while left > 0 {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
                    let room = chunk.get_mut(..count).unwrap_or_default();
                    file.file.read_exact_at(room, at)?;
                    hasher.update(room);
                    at += count as u64;
                    left -= count as u64;
                }
            }
        }
    }
    let octets = hasher.finalize();
    Ok(octets.as_bytes().iter().take(8).fold(0, |hash, octet| hash << 8 | u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted_by_content_and_forgotten_after_an_hour() {
        let deaths = Deaths::default();
        let none = (0, End::Died);
        assert_eq!(deaths.of(0, || panic!("nothing is remembered: no hash is needed")), none);
        let hash = 0xDEAD_BEEF_0000_1234;
        let add = |now, end| deaths.add(hash, now, end);
        assert_eq!((add(5, End::Died), add(6, End::Late), add(7, End::Died)), (1, 2, 3));
        assert_eq!(add(8, End::Late), 3, "the count does not run into the hash");
        assert_eq!(deaths.of(9, || Some(hash)), (3, End::Late));
        assert_eq!(deaths.of(9, || Some(hash ^ 8)), none);
        assert_eq!(deaths.of(6 + MEMORY_MS, || Some(hash)), none);
        assert_eq!(deaths.of(6, || Some(hash)), none);
    }

    #[test]
    fn the_hash_is_of_octets_and_tables() {
        let content = |text: &'static str| Content::from_octets(text.as_bytes());
        let hash = |content: &Content, generation: Option<&str>| {
            hash_of(content, generation.map(Path::new)).unwrap()
        };
        let one = content("abc");
        assert_eq!(hash(&one, Some("/g/1")), hash(&content("abc"), Some("/g/1")));
        assert_ne!(hash(&one, Some("/g/1")), hash(&one, Some("/g/2")));
        assert_ne!(hash(&one, None), hash(&content("abd"), None));
    }
}
