//! Who may connect, how often: limits per address, per network and for the whole box.
//!
//! One table of atomics that all shards share, so a limit holds whatever the number of shards and no
//! shard ever waits for another. The table has a fixed number of slots; a slot belongs to one
//! address or network while it has connections or recent counts, and is then given to the next.
//!
//! When an attacker fills every slot of a neighbourhood the newcomer is judged by the box limit
//! alone and counted in `untracked`: the table fails open for single addresses, never for the box.
//!
//! Rates hold over a sliding minute. For the whole box they are counted only where a limit is set,
//! because that counter is the one cache line that all shards would share.
//!
//! Memory: 40 bytes a slot, `SLOTS` of them for the whole box.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock::MonoMillis;
use crate::config::{self, Allowance};

/// Slots of the table; a power of two.
const SLOTS: u32 = 1 << 17;
/// Slots that one key may stand in.
const NEIGHBOURHOOD: u32 = 16;
/// Key of a free slot.
const FREE: u64 = 0;
/// Key of a slot that is changing hands.
const MOVING: u64 = 1;

/// Why somebody was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many open connections from this address.
    Address,
    /// Too many open connections from this network.
    Network,
    /// Too many open connections on this box.
    Total,
    /// Too many new connections in a minute.
    Rate,
}

/// What is counted by the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rated {
    /// A new connection.
    Connect,
    /// A message (MAIL).
    Message,
    /// A recipient (RCPT).
    Recipient,
}

impl Rated {
    fn limit(self, allowance: &Allowance) -> u32 {
        match self {
            Self::Connect => allowance.connections_per_minute,
            Self::Message => allowance.mails_per_minute,
            Self::Recipient => allowance.recipients_per_minute,
        }
    }
}

/// One packed window for each `Rated`: minute, count before, count now.
type Rates = [AtomicU64; 3];

#[derive(Debug, Default)]
struct Slot {
    key: AtomicU64,
    connections: AtomicU32,
    rates: Rates,
}

/// The table. One for the box, behind an `Arc`.
#[derive(Debug)]
pub struct Admission {
    slots: Box<[Slot]>,
    total: AtomicU32,
    total_rates: Rates,
    untracked: AtomicU64,
    seed: u64,
}

/// An admitted connection; gives its places back when dropped.
#[derive(Debug)]
pub struct Admitted {
    table: Arc<Admission>,
    address: Option<u32>,
    network: Option<u32>,
    exempt: bool,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.table.total.fetch_sub(1, Ordering::Relaxed);
        for index in [self.address, self.network].into_iter().flatten() {
            self.table.release(index);
        }
    }
}

impl Admission {
    /// A table of its full size; `seed` keeps strangers from choosing their slots.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        let total_rates = Rates::default();
        Self { slots, total: AtomicU32::new(0), total_rates, untracked: AtomicU64::new(0), seed }
    }

    /// Open connections of the box.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// How often an address found no slot.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.untracked.load(Ordering::Relaxed)
    }

    /// Admits one connection.
    ///
    /// # Errors
    /// [`Refusal`]: which bound was reached. The client is at fault or busy: 421.
    pub fn connect(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &config::Admission,
        now: MonoMillis,
    ) -> Result<Admitted, Refusal> {
        let exempt = limits.exempt.iter().any(|network| network.contains(&address));
        self.admit((!exempt).then_some(address), limits, now)
    }

    /// Admits one connection of a front server of the operator's own, which is about to say by XCLIENT
    /// whose it is: only the limits of the box hold. With its own address counted like a client's, a
    /// front was cut at 300 connections a minute, and with it everybody behind it.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_front(
        self: &Arc<Self>,
        limits: &config::Admission,
        now: MonoMillis,
    ) -> Result<Admitted, Refusal> {
        self.admit(None, limits, now)
    }

    /// `address`: nothing for the exempt.
    fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &config::Admission,
        now: MonoMillis,
    ) -> Result<Admitted, Refusal> {
        let open = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let table = Arc::clone(self);
        let exempt = address.is_none();
        // From here on the guard gives back what was counted.
        let mut admitted = Admitted { table, address: None, network: None, exempt };
        if over(open, limits.total.connections_max) {
            return Err(Refusal::Total);
        }
        if let Some(address) = address {
            admitted.address = self.hold(self.key(address), now);
            admitted.network = self.hold(self.key(network_of(address)) | 2, now);
            if admitted.address.is_none() || admitted.network.is_none() {
                self.untracked.fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.held(admitted.address, limits.address.connections_max) {
            return Err(Refusal::Address);
        }
        if self.held(admitted.network, limits.network.connections_max) {
            return Err(Refusal::Network);
        }
        if self.over_rate(&admitted, Rated::Connect, limits, now) {
            return Err(Refusal::Rate);
        }
        Ok(admitted)
    }

    /// Counts one more of `what` for the address, the network and the box; true when one of them is
    /// over its limit. A limit holds over a sliding minute: the count before, weighted, plus the
    /// count now.
    #[must_use]
    pub fn over_rate(
        &self,
        who: &Admitted,
        what: Rated,
        limits: &config::Admission,
        now: MonoMillis,
    ) -> bool {
        let total = what.limit(&limits.total);
        let mut over = total != 0 && count(&self.total_rates, what, now) > total;
        let own = [(who.address, &limits.address), (who.network, &limits.network)];
        for (index, allowance) in own.into_iter().filter(|_| !who.exempt) {
            let limit = what.limit(allowance);
            if let Some(slot) = index.and_then(|index| self.slot(index)) {
                let counted = count(&slot.rates, what, now);
                over |= limit != 0 && counted > limit;
            }
        }
        over
    }

    /// Whether a key has too many connections. Two threads that meet a new key at the same moment may
    /// have taken a slot each: all slots of the key count.
    fn held(&self, index: Option<u32>, limit: u32) -> bool {
        let Some(slot) = index.and_then(|index| self.slot(index)) else { return false };
        let key = slot.key.load(Ordering::Acquire);
        let open: u32 = self
            .neighbourhood(key)
            .filter_map(|index| self.slot(index))
            .filter(|slot| slot.key.load(Ordering::Acquire) == key)
            .map(|slot| slot.connections.load(Ordering::Acquire))
            .sum();
        over(open, limit)
    }

    fn key(&self, address: IpAddr) -> u64 {
        let bits = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) | (1 << 64),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        // The lowest two bits tell addresses from networks and both from FREE and MOVING.
        (ahash::RandomState::with_seeds(self.seed, 1, 2, 3).hash_one(bits) & !3) | 4
    }

    /// Finds or takes the slot of `key` and counts one connection in it.
    fn hold(&self, key: u64, now: MonoMillis) -> Option<u32> {
        // Two passes: a slot may change hands under the first.
        for _ in 0..2 {
            for index in self.neighbourhood(key) {
                let Some(slot) = self.slot(index) else { continue };
                if slot.key.load(Ordering::Acquire) != key {
                    continue;
                }
                slot.connections.fetch_add(1, Ordering::AcqRel);
                if slot.key.load(Ordering::Acquire) == key {
                    return Some(index);
                }
                slot.connections.fetch_sub(1, Ordering::AcqRel);
            }
            if let Some(index) = self.neighbourhood(key).find(|index| self.take(*index, key, now)) {
                return Some(index);
            }
        }
        None
    }

    /// Takes a slot that is free, or idle for two minutes, for `key`, with one connection in it.
    fn take(&self, index: u32, key: u64, now: MonoMillis) -> bool {
        let Some(slot) = self.slot(index) else { return false };
        let old = slot.key.load(Ordering::Acquire);
        let idle = || {
            slot.connections.load(Ordering::Acquire) == 0
                && slot.rates.iter().all(|rate| {
                    let minute = Window::unpack(rate.load(Ordering::Relaxed)).minute;
                    minute_of(now).wrapping_sub(minute) >= 2
                })
        };
        if old == MOVING || (old != FREE && !idle()) {
            return false;
        }
        if slot.key.compare_exchange(old, MOVING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        // Somebody may have counted himself in just before: then the slot stays his.
        if slot.connections.load(Ordering::Acquire) != 0 {
            slot.key.store(old, Ordering::Release);
            return false;
        }
        for rate in &slot.rates {
            rate.store(0, Ordering::Relaxed);
        }
        slot.connections.fetch_add(1, Ordering::AcqRel);
        slot.key.store(key, Ordering::Release);
        true
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    fn release(&self, index: u32) {
        if let Some(slot) = self.slot(index) {
            slot.connections.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn neighbourhood(&self, key: u64) -> impl Iterator<Item = u32> + use<> {
        let first = low_bits(key >> 3);
        (0..NEIGHBOURHOOD).map(move |step| first.wrapping_add(step) & (SLOTS - 1))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is wanted")]
fn low_bits(of: u64) -> u32 {
    of as u32
}

/// /24 of IPv4, /64 of IPv6: what one customer of an access provider commonly has.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & 0xffff_ff00).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
    }
}

fn over(count: u32, limit: u32) -> bool {
    limit != 0 && count > limit
}

/// Counts one more and estimates the sliding minute.
fn count(rates: &Rates, what: Rated, now: MonoMillis) -> u32 {
    let Some(window) = rates.get(what as usize) else { return 0 };
    let mut estimate = 0;
    // `fetch_update` cannot fail with `Some`.
    let _ = window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
        let counted = Window::unpack(packed).counted(now);
        estimate = counted.estimate(now);
        Some(counted.pack())
    });
    estimate
}

/// 24 bits of minutes are 31 years. Three are added so that an empty slot is always old.
fn minute_of(now: MonoMillis) -> u32 {
    ((now.0 / 60_000 + 3) & 0xff_ffff) as u32
}

/// A sliding minute in one word: 24 bits minute, 20 bits count before, 20 bits count now.
#[derive(Clone, Copy, Default)]
struct Window {
    minute: u32,
    before: u32,
    count: u32,
}

const COUNT_MAX: u32 = (1 << 20) - 1;

impl Window {
    #[expect(clippy::cast_possible_truncation, reason = "masked to 24 and 20 bits")]
    fn unpack(packed: u64) -> Self {
        Self {
            minute: (packed >> 40) as u32,
            before: (packed >> 20) as u32 & COUNT_MAX,
            count: packed as u32 & COUNT_MAX,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.minute) << 40 | u64::from(self.before) << 20 | u64::from(self.count)
    }

    fn counted(self, now: MonoMillis) -> Self {
        let minute = minute_of(now);
        let (before, count) = match minute.wrapping_sub(self.minute) {
            0 => (self.before, self.count),
            1 => (self.count, 0),
            _ => (0, 0),
        };
        Self { minute, before, count: (count + 1).min(COUNT_MAX) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most 2^20 times 1")]
    fn estimate(self, now: MonoMillis) -> u32 {
        let left = 60_000 - now.0 % 60_000;
        self.count + (u64::from(self.before) * left / 60_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(address: u32, network: u32, total: u32) -> config::Admission {
        let allowance = |connections_max| Allowance {
            connections_max,
            connections_per_minute: 0,
            mails_per_minute: 0,
            recipients_per_minute: 0,
        };
        config::Admission {
            address: Allowance { recipients_per_minute: 10, ..allowance(address) },
            network: allowance(network),
            total: allowance(total),
            exempt: vec!["203.0.113.0/24".parse().unwrap()],
            ..config::Admission::default()
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_address_the_network_and_the_box_have_their_own_bounds() {
        let table = Arc::new(Admission::new(7));
        let now = MonoMillis(1);
        let limits = limits(3, 5, 7);
        let connect = |text| table.connect(ip(text), &limits, now);
        let held: Vec<_> = (0..3).map(|_| connect("192.0.2.1").unwrap()).collect();
        assert_eq!(connect("192.0.2.1").unwrap_err(), Refusal::Address);
        let more: Vec<_> = (0..2).map(|_| connect("192.0.2.2").unwrap()).collect();
        assert_eq!(connect("192.0.2.3").unwrap_err(), Refusal::Network);
        let other: Vec<_> = (0..2).map(|_| connect("2001:db8::1").unwrap()).collect();
        assert_eq!(connect("198.51.100.1").unwrap_err(), Refusal::Total);
        assert_eq!(
            connect("203.0.113.9").unwrap_err(),
            Refusal::Total,
            "exempt from the rest only"
        );
        drop((held, more, other));
        let exempt: Vec<_> = (0..7).map(|_| connect("203.0.113.9").unwrap()).collect();
        drop(exempt);
        assert_eq!(table.connections(), 0);
        assert!(connect("192.0.2.1").is_ok());
    }

    #[test]
    fn a_front_is_bound_by_the_box_alone() {
        let table = Arc::new(Admission::new(7));
        let bounds = limits(1, 1, 3);
        let front: Vec<_> =
            (0..3).map(|_| table.connect_front(&bounds, MonoMillis(1)).unwrap()).collect();
        assert_eq!(table.connect_front(&bounds, MonoMillis(1)).err(), Some(Refusal::Total));
        assert_eq!(table.connections(), 3);
        drop(front);
        assert_eq!(table.connections(), 0);
    }

    #[test]
    fn a_rate_holds_over_a_sliding_minute() {
        let table = Arc::new(Admission::new(7));
        let start = MonoMillis(600_000);
        let limits = limits(0, 0, 0);
        let who = table.connect(ip("192.0.2.1"), &limits, start).unwrap();
        let count = |at: u64| table.over_rate(&who, Rated::Recipient, &limits, MonoMillis(at));
        assert!((0..10).all(|_| !count(600_001)));
        assert!(count(600_002));
        // Half of the next minute later, half of the eleven still count: five more fit.
        assert!((0..5).all(|_| !count(690_000)));
        assert!(count(690_000));
        assert!(!count(900_000));
    }

    #[test]
    fn counts_are_exact_when_many_threads_connect_at_once() {
        let table = Arc::new(Admission::new(7));
        let bounds = limits(50, 0, 0);
        let admitted: Vec<_> = std::thread::scope(|scope| {
            let work = || {
                let (table, bounds) = (Arc::clone(&table), bounds.clone());
                move || {
                    (0..40)
                        .filter_map(|_| table.connect(ip("192.0.2.1"), &bounds, MonoMillis(1)).ok())
                        .collect::<Vec<_>>()
                }
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        // A refusal counts itself for a moment, so a racing neighbour may be refused too early,
        // never too late.
        assert!(admitted.len() <= 50 && admitted.len() >= 40, "{}", admitted.len());
        drop(admitted);
        assert_eq!(table.connections(), 0);
        let again: Vec<_> = (0..50)
            .map(|_| table.connect(ip("192.0.2.1"), &bounds, MonoMillis(2)).unwrap())
            .collect();
        assert!(table.connect(ip("192.0.2.1"), &bounds, MonoMillis(2)).is_err());
        drop(again);
    }

    #[test]
    fn a_flood_of_addresses_reuses_idle_slots_and_never_grows() {
        let table = Arc::new(Admission::new(7));
        let bounds = limits(3, 5, 0);
        for round in 0..4_u64 {
            for low in 0..60_000_u32 {
                let address = IpAddr::V4(
                    (0x0a00_0000 + u32::try_from(round).unwrap() * 0x10_0000 + low).into(),
                );
                drop(table.connect(address, &bounds, MonoMillis(round * 300_000)).unwrap());
            }
        }
        // 240,000 addresses went through 131,072 slots.
        assert_eq!(table.connections(), 0);
        assert!(table.untracked() < 2_400, "{}", table.untracked());
    }
}
