//! Clients that did something within the last day: waited for our greeting, or sent mail that was taken and is good.
//!
//! Whoever talks before the greeting (RFC 5321 section 4.3.1) is found by making him wait for it. A wait in
//! each session would cost every good client its latency, so only strangers wait, once a day each. And when more comes than
//! can be served, who has sent good mail goes before who has not: waiting for a greeting costs an attacker nothing.
//!
//! One table of atomics for all shards; nobody ever waits for another. An entry is a client: an IPv4 address, or
//! a /64 of IPv6, which one customer commonly has. It is found by a seeded hash in a neighbourhood of a few
//! words; where that is full the oldest entry goes. What is forgotten costs a good client one more pause; two
//! clients share an entry once in 2^40 / `NEIGHBOURHOOD` questions, and then one of them is not made to wait.
//!
//! Memory: 8 octets an entry, `SLOTS` of them for the whole box. Survives nothing: after a restart everybody
//! is a stranger.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::MonoMillis;

/// Clients known at a time; a power of two. A large site has tens of thousands of them in a day.
const SLOTS: usize = 1 << 17;
/// Places that one client may stand in.
const NEIGHBOURHOOD: usize = 8;
/// After so long a client is a stranger again: an address changes hands.
const MINUTES_MAX: u64 = 24 * 60;
/// A word is 40 bits of the client's hash and 24 bits of the minute in which he did it; 0 is nobody.
const MINUTE_BITS: u32 = 24;
const MINUTE_MASK: u64 = (1 << MINUTE_BITS) - 1;

/// A table. One for the box, shared by all shards.
#[derive(Debug)]
pub struct Remembered {
    slots: Box<[AtomicU64]>,
    seed: u64,
}

impl Remembered {
    /// A table of its full size that knows nobody; `seed` keeps strangers from choosing their places.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), seed }
    }

    /// Whether `client` was remembered within the last day.
    #[must_use]
    pub fn knows(&self, client: IpAddr, now: MonoMillis) -> bool {
        let hash = self.hash(client);
        self.places(hash).any(|slot| {
            let word = slot.load(Ordering::Relaxed);
            is_of(word, hash) && age(word, now) < MINUTES_MAX
        })
    }

    /// `client` did it now.
    pub fn remember(&self, client: IpAddr, now: MonoMillis) {
        let hash = self.hash(client);
        let own = self.places(hash).find(|slot| is_of(slot.load(Ordering::Relaxed), hash));
        let oldest = || {
            self.places(hash).max_by_key(|slot| {
                let word = slot.load(Ordering::Relaxed);
                if word == 0 { u64::MAX } else { age(word, now) }
            })
        };
        if let Some(slot) = own.or_else(oldest) {
            slot.store((hash & !MINUTE_MASK) | minute_of(now), Ordering::Relaxed);
        }
    }

    /// The next time `client` is a stranger.
    pub fn forget(&self, client: IpAddr) {
        let hash = self.hash(client);
        for slot in self.places(hash) {
            let word = slot.load(Ordering::Relaxed);
            if is_of(word, hash) {
                // Where another shard was faster, its entry is of somebody else, or newer.
                let _ = slot.compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    fn hash(&self, client: IpAddr) -> u64 {
        let bits = match client {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) | (1 << 64),
            IpAddr::V6(v6) => v6.to_bits() & (u128::MAX << 64),
        };
        ahash::RandomState::with_seeds(self.seed, 5, 6, 7).hash_one(bits)
    }

    /// By the bits that the entry itself does not keep, as far as they reach.
    fn places(&self, hash: u64) -> impl Iterator<Item = &AtomicU64> {
        let first = (hash & MINUTE_MASK) as usize & (SLOTS - 1);
        (0..NEIGHBOURHOOD).filter_map(move |step| self.slots.get((first + step) & (SLOTS - 1)))
    }
}

/// Minutes begin at 1, so that no entry is 0.
fn minute_of(now: MonoMillis) -> u64 {
    (now.0 / 60_000 + 1) & MINUTE_MASK
}

fn age(word: u64, now: MonoMillis) -> u64 {
    minute_of(now).wrapping_sub(word & MINUTE_MASK) & MINUTE_MASK
}

fn is_of(word: u64, hash: u64) -> bool {
    word != 0 && word >> MINUTE_BITS == hash >> MINUTE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonoMillis = MonoMillis(7_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn hours_later(hours: u64) -> MonoMillis {
        MonoMillis(NOW.0 + hours * 3_600_000)
    }

    #[test]
    fn who_has_waited_is_known_for_a_day_and_nobody_else_is() {
        let table = Remembered::new(7);
        for (client, same, other) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1::ffff", "2001:db8:0:2::1"),
        ] {
            assert!(!table.knows(ip(client), NOW));
            table.remember(ip(client), NOW);
            assert!(table.knows(ip(client), NOW) && table.knows(ip(same), hours_later(23)));
            assert!(!table.knows(ip(other), NOW), "{other}");
            assert!(!table.knows(ip(client), hours_later(24)));
            table.remember(ip(client), hours_later(24));
            assert!(table.knows(ip(client), hours_later(47)));
            table.forget(ip(same));
            assert!(!table.knows(ip(client), hours_later(24)));
        }
    }

    #[test]
    fn a_flood_of_strangers_takes_the_places_of_the_oldest_and_never_grows() {
        let table = Remembered::new(7);
        for low in 0..300_000_u32 {
            let at = MonoMillis(NOW.0 + u64::from(low) * 10);
            table.remember(IpAddr::V4((0x0a00_0000 + low).into()), at);
        }
        let at = MonoMillis(NOW.0 + 3_000_000);
        let known = |from: u32| {
            (from..from + 1000)
                .filter(|low| table.knows(IpAddr::V4((0x0a00_0000 + low).into()), at))
                .count()
        };
        assert!(known(299_000) > 990, "the newest: {}", known(299_000));
        assert!(known(0) < 200, "the oldest: {}", known(0));
    }
}
