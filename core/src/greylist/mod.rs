//! Greylisting (RFC 6647): a first attempt of a stranger is answered 451, and who comes again is let in.
//!
//! A [`Key`] is who (the domain that SPF vouches for, else the client's network), from whom, to whom. Once somebody came
//! again, his domain or network is known to that recipient domain and is not asked again for [`Rules::known`].
//!
//! One table of atomics for the whole box, as large as it is made: nobody waits for anybody, and a flood of strangers takes
//! the places of those who wait longest, never of those who are known. It is written to a file from time to time and read
//! at the start ([`Greylist::save`], [`Greylist::load`]): a restart defers nobody anew but those of the last moments.
//! Memory: 16 octets an entry, touched as it fills.

mod store;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::UnixMillis;

pub use store::fuzz_file;

/// Places that one key may stand in.
const NEIGHBOURHOOD: usize = 16;
/// Prefixes of networks whose hosts take turns in sending one mail.
const NETWORK_V4_BITS: u32 = 24;
const NETWORK_V6_BITS: u32 = 64;

/// What a domain asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who comes again sooner has to wait on.
    pub delay: Duration,
    /// Who does not come again within this is a stranger again.
    pub window: Duration,
    /// Who came again is known for so long after his last mail.
    pub known: Duration,
}

/// Who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'o> {
    /// SPF passed for this domain: its servers may take turns.
    Domain(&'o str),
    /// The network of this address.
    Network(IpAddr),
}

/// Who writes from what address to whom.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// Who.
    pub origin: Origin<'k>,
    /// The reverse-path; empty for the null one.
    pub sender: &'k str,
    /// The recipient after aliases.
    pub recipient: &'k str,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Known: let in.
    Known,
    /// Let in, for the first time: it took so long since the first attempt.
    CameAgain(Duration),
    /// 451; it may succeed after so long.
    Later(Duration),
}

/// The table. One for the box.
#[derive(Debug)]
pub struct Greylist {
    slots: Box<[Slot]>,
    seed: u64,
    changes: AtomicU64,
}

/// One entry. Written word by word: who reads between the two sees a stranger or an older time, and somebody is deferred
/// once more or once less.
#[derive(Debug, Default)]
struct Slot {
    /// Hash of the key; 0 is nobody.
    key: AtomicU64,
    /// First attempt (32 bits, seconds), last one (31 bits, seconds since the first), and whether it came again.
    times: AtomicU64,
}

#[derive(Clone, Copy)]
struct Times {
    first: u64,
    last: u64,
    known: bool,
}

impl Times {
    fn read(word: u64) -> Self {
        let first = word >> 32;
        Self { first, last: first + (word >> 1 & 0x7fff_ffff), known: word & 1 == 1 }
    }

    fn word(self) -> u64 {
        let since = self.last.saturating_sub(self.first).min(0x7fff_ffff);
        (self.first & 0xffff_ffff) << 32 | since << 1 | u64::from(self.known)
    }
}

impl Greylist {
    /// A table of `entries` (at least some) that knows nobody. `seed` keeps strangers from choosing their places.
    #[must_use]
    pub fn new(entries: usize, seed: u64) -> Self {
        let count = entries.max(NEIGHBOURHOOD).next_power_of_two();
        let slots = (0..count).map(|_| Slot::default()).collect();
        Self { slots, seed, changes: AtomicU64::new(0) }
    }

    /// An attempt at `now`: what to answer, and remembers it.
    #[must_use]
    pub fn attempt(&self, key: &Key<'_>, rules: &Rules, now: UnixMillis) -> Answer {
        let now = now.0 / 1000;
        let pair = self.pair(key);
        if let Some(slot) = self.find(pair) {
            let times = Times::read(slot.times.load(Ordering::Relaxed));
            if times.known && now.saturating_sub(times.last) < rules.known.as_secs() {
                self.write(slot, pair, Times { last: now.max(times.first), ..times });
                return Answer::Known;
            }
        }
        let triple = self.triple(key);
        let known =
            self.find(triple).map(|slot| (slot, Times::read(slot.times.load(Ordering::Relaxed))));
        let waited = match known {
            Some((slot, times)) if now.saturating_sub(times.first) < rules.window.as_secs() => {
                Some((slot, now.saturating_sub(times.first)))
            }
            _ => None,
        };
        match waited {
            Some((slot, waited)) if waited >= rules.delay.as_secs() => {
                slot.key.store(0, Ordering::Relaxed);
                self.insert(pair, Times { first: now, last: now, known: true }, now);
                Answer::CameAgain(Duration::from_secs(waited))
            }
            Some((_, waited)) => {
                Answer::Later(Duration::from_secs(rules.delay.as_secs().saturating_sub(waited)))
            }
            None => {
                self.insert(triple, Times { first: now, last: now, known: false }, now);
                Answer::Later(rules.delay)
            }
        }
    }

    /// Entries that are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.key.load(Ordering::Relaxed) != 0).count()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&self, key: u64, times: Times, now: u64) {
        // A free place, else a stranger's, the one who waits longest; else who is known, but wrote longest ago.
        let rank = |slot: &&Slot| {
            let there = slot.key.load(Ordering::Relaxed);
            let times = Times::read(slot.times.load(Ordering::Relaxed));
            match there {
                0 => (0, 0),
                same if same == key => (0, 0),
                _ if !times.known => (1, u64::MAX - now.saturating_sub(times.first)),
                _ => (2, u64::MAX - now.saturating_sub(times.last)),
            }
        };
        let own = self.find(key);
        if let Some(slot) = own.or_else(|| self.places(key).min_by_key(rank)) {
            self.write(slot, key, times);
        }
    }

    fn write(&self, slot: &Slot, key: u64, times: Times) {
        slot.times.store(times.word(), Ordering::Relaxed);
        slot.key.store(key, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn find(&self, key: u64) -> Option<&Slot> {
        self.places(key).find(|slot| slot.key.load(Ordering::Relaxed) == key)
    }

    fn places(&self, key: u64) -> impl Iterator<Item = &Slot> {
        let mask = self.slots.len() - 1;
        let first = usize::try_from(key & 0xffff_ffff).unwrap_or(0) & mask;
        (0..NEIGHBOURHOOD).filter_map(move |step| self.slots.get((first + step) & mask))
    }

    fn triple(&self, key: &Key<'_>) -> u64 {
        self.hash(&(1_u8, self.origin(key), key.sender, key.recipient))
    }

    /// Who is known, and to whom: a domain of ours, whose mailboxes would else ask each for itself.
    fn pair(&self, key: &Key<'_>) -> u64 {
        let domain = key.recipient.rsplit_once('@').map_or(key.recipient, |(_, domain)| domain);
        self.hash(&(2_u8, self.origin(key), domain))
    }

    fn origin(&self, key: &Key<'_>) -> u64 {
        match key.origin {
            Origin::Domain(domain) => self.hash(&(3_u8, domain.to_ascii_lowercase())),
            Origin::Network(address) => match address.to_canonical() {
                IpAddr::V4(v4) => self.hash(&(4_u8, v4.to_bits() >> (32 - NETWORK_V4_BITS))),
                IpAddr::V6(v6) => self.hash(&(5_u8, v6.to_bits() >> (128 - NETWORK_V6_BITS))),
            },
        }
    }

    /// Stable between runs: the table outlives the process.
    fn hash(&self, value: &impl std::hash::Hash) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::with_seed(self.seed);
        value.hash(&mut hasher);
        std::hash::Hasher::finish(&hasher).max(1)
    }
}
