//! How many notices an address, or a domain, gets in an hour.
//!
//! A fixed table of atomics that all shards share: sets of four entries, each a tag of the key, the hour and a count. Where
//! more keys than entries meet, the one with the smallest count makes room: he who has had few may have a few more. Nothing
//! waits, nothing grows.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::UnixMillis;

/// Entries of the table.
const ENTRIES: usize = 1 << 16;
/// Entries that a key may be in.
const WAYS: usize = 4;
/// Attempts at an entry that others change at the same time; after them the notice is let through.
const TRIES: usize = 8;

/// Whether a notice may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// It may. So many were left out since the last one that went.
    Yes(u32),
    /// Enough for this hour.
    No,
}

/// The counts of the last hour.
pub struct Limits {
    entries: Box<[AtomicU64]>,
    hasher: ahash::RandomState,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

/// An entry: 24 bits of the key, 20 of the hour, 20 of the count.
#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    hour: u64,
    count: u64,
}

impl Entry {
    fn of(word: u64) -> Self {
        Self { tag: word >> 40, hour: (word >> 20) & 0xf_ffff, count: word & 0xf_ffff }
    }

    fn word(self) -> u64 {
        self.tag << 40 | (self.hour & 0xf_ffff) << 20 | self.count.min(0xf_ffff)
    }
}

impl Limits {
    /// An empty table. `seed`: random, so that nobody can choose addresses that meet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            entries: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect(),
            hasher: ahash::RandomState::with_seeds(seed, 2, 3, 4),
        }
    }

    /// Counts one more notice for `key`, of which `max` may go in an hour.
    pub fn ask(&self, key: &str, max: u16, now: UnixMillis) -> Allowed {
        let hash = self.hasher.hash_one(key);
        // A tag is never 0: that is an empty entry.
        let (tag, hour) = ((hash >> 40).max(1), (now.as_secs() / 3600) & 0xf_ffff);
        let first = usize::try_from(hash).unwrap_or(0) % (ENTRIES / WAYS) * WAYS;
        let Some(set) = self.entries.get(first..first + WAYS) else { return Allowed::Yes(0) };
        for _ in 0..TRIES {
            let words = set.iter().map(|entry| (entry, entry.load(Ordering::Relaxed)));
            let known = words.clone().find(|(_, word)| Entry::of(*word).tag == tag);
            let oldest = || {
                words.min_by_key(|(_, word)| {
                    let entry = Entry::of(*word);
                    if entry.hour == hour { entry.count + 1 } else { 0 }
                })
            };
            let Some((entry, word)) = known.or_else(oldest) else { break };
            let old = Entry::of(word);
            let (count, left_out) = match (old.tag == tag, old.hour == hour) {
                (true, true) => (old.count + 1, 0),
                // What was too much in that hour is said now.
                (true, false) => (1, old.count.saturating_sub(max.into())),
                (false, _) => (1, 0),
            };
            let new = Entry { tag, hour, count }.word();
            if entry.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return match count <= max.into() {
                    true => Allowed::Yes(u32::try_from(left_out).unwrap_or(u32::MAX)),
                    false => Allowed::No,
                };
            }
        }
        Allowed::Yes(0)
    }
}
