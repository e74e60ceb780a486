//! What the whole box knows about its next hops: how many connections each has, and until when one
//! that does not answer is left alone.
//!
//! One table of fixed size for all shards, of atomics only. A destination is `host:port`; it is found
//! by a hash, a few places beside each other are tried, and a place that nobody needs any more is taken
//! over. When all are in use two destinations share one: their limits are then common, nothing else.
//! A hop is trusted with few connections for queued mail at first, and with more as it answers.
//! Memory: `SLOTS` x 40 octets for the box. Survives nothing: a restart asks every hop afresh.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::MonoMillis;

/// Destinations known at a time.
const SLOTS: usize = 16 * 1024;
/// Places tried for one destination.
const PROBES: usize = 8;
/// Connections for mail of the queue to a hop that has not answered yet, Postfix' number. A hop that hangs keeps
/// each of them for five minutes, and the slots of healthy domains with them.
pub(super) const QUEUED_FIRST: u32 = 5;
/// How long to wait for the outcome of somebody else's trial.
const TRIAL_LOOK: Duration = Duration::from_secs(5);
/// The pause doubles with every failure, as often as this.
const DOUBLINGS_MAX: u32 = 16;

#[derive(Debug, Default)]
struct Slot {
    tag: AtomicU64,
    /// Milliseconds on the monotonic clock; 0 = it answers.
    until: AtomicU64,
    /// The end that somebody gave it who is trying it just now.
    trial: AtomicU64,
    active: AtomicU32,
    failures: AtomicU32,
    /// Answers since it is known or has failed last: so many more than [`QUEUED_FIRST`] may mail of the queue have.
    answers: AtomicU32,
}

impl Slot {
    /// Whoever comes while another one tries looks again soon: a hop that came back would be left alone by every
    /// shard but one.
    fn backing_off(&self, until: u64, now: MonoMillis) -> Denied {
        let tried = self.trial.load(Ordering::Acquire) == until;
        let soon = now.plus(TRIAL_LOOK).0;
        Denied::BackingOff(MonoMillis(if tried { until.min(soon) } else { until }))
    }
}

/// The table. One for the box, shared by all shards.
#[derive(Debug)]
pub struct Destinations {
    slots: Box<[Slot]>,
    back_off: (Duration, Duration),
    connections_max: u32,
}

/// Why a destination may not be connected to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It did not answer, and is left alone until then.
    BackingOff(MonoMillis),
    /// It has as many connections as it may have.
    Full,
}

/// Who asks for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A client waits for the answer.
    Client,
    /// Mail of the queue: it starts with few connections and gets one more with each answer.
    Queue,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    table: Arc<Destinations>,
    index: usize,
    /// The one that is let through after a back-off.
    trial: bool,
}

impl Destinations {
    /// An empty table. `connections_max` >= 1; `back_off`: first and longest pause.
    #[must_use]
    pub fn new(connections_max: u32, back_off: (Duration, Duration)) -> Arc<Self> {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Arc::new(Self { slots, back_off, connections_max: connections_max.max(1) })
    }

    /// Asks for a connection. After a back-off one caller at a time is let through to see whether the
    /// hop answers again.
    ///
    /// # Errors
    /// [`Denied`]: the mail waits, the hop is not asked.
    pub fn admit(
        self: &Arc<Self>,
        (host, port): (&str, u16),
        asker: Asker,
        now: MonoMillis,
    ) -> Result<Permit, Denied> {
        let index = self.place(host, port, now);
        let Some(slot) = self.slots.get(index) else { return Err(Denied::Full) };
        let until = slot.until.load(Ordering::Acquire);
        if until > now.0 {
            return Err(slot.backing_off(until, now));
        }
        let most = self.most(slot, asker);
        let taken = slot.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, |active| {
            (active < most).then_some(active + 1)
        });
        if taken.is_err() {
            return Err(Denied::Full);
        }
        // From here on dropping it gives the connection back.
        let permit = Permit { table: Arc::clone(self), index, trial: until > 0 };
        if until > 0 {
            // After the connection is had: a trial that is not made would leave the hop alone for its time.
            // Whoever moves the end of the back-off forward is the one who tries.
            let trial = now.plus(self.back_off.0.max(Duration::from_secs(30))).0;
            match slot.until.compare_exchange(until, trial, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => slot.trial.store(trial, Ordering::Release),
                // Somebody was quicker, and it answers.
                Err(0) => {}
                Err(other) => {
                    return Err(Denied::BackingOff(MonoMillis(other.min(now.plus(TRIAL_LOOK).0))));
                }
            }
        }
        Ok(permit)
    }

    /// When a destination may be tried again; `None` if now.
    #[must_use]
    pub fn back_off_until(&self, (host, port): (&str, u16), now: MonoMillis) -> Option<MonoMillis> {
        let until = self.slots.get(self.place(host, port, now))?.until.load(Ordering::Acquire);
        (until > now.0).then_some(MonoMillis(until))
    }

    /// Connections that a destination may have.
    fn most(&self, slot: &Slot, asker: Asker) -> u32 {
        match asker {
            Asker::Client => self.connections_max,
            Asker::Queue => {
                let answers = slot.answers.load(Ordering::Acquire);
                QUEUED_FIRST.saturating_add(answers).min(self.connections_max)
            }
        }
    }

    /// Whether a destination that answers has all the connections it may have for mail of the queue.
    #[must_use]
    pub fn is_full(&self, (host, port): (&str, u16), now: MonoMillis) -> bool {
        self.slots.get(self.place(host, port, now)).is_some_and(|slot| {
            slot.until.load(Ordering::Acquire) == 0
                && slot.active.load(Ordering::Acquire) >= self.most(slot, Asker::Queue)
        })
    }

    /// Forgets a back-off: the operator says "try now".
    pub fn forgive(&self, (host, port): (&str, u16), now: MonoMillis) {
        if let Some(slot) = self.slots.get(self.place(host, port, now)) {
            slot.until.store(0, Ordering::Release);
            slot.failures.store(0, Ordering::Release);
        }
    }

    /// The place of a destination, claimed if it has none yet.
    pub(super) fn place(&self, host: &str, port: u16, now: MonoMillis) -> usize {
        let tag = tag(host, port);
        let first = usize::try_from(tag).unwrap_or(usize::MAX) % SLOTS;
        let mut reusable = None;
        for probe in 0..PROBES {
            let index = (first + probe) % SLOTS;
            let Some(slot) = self.slots.get(index) else { continue };
            let found = slot.tag.load(Ordering::Acquire);
            if found == tag {
                return index;
            }
            let idle = slot.active.load(Ordering::Acquire) == 0
                && slot.until.load(Ordering::Acquire) <= now.0;
            if reusable.is_none() && (found == 0 || idle) {
                reusable = Some((index, found));
            }
        }
        let Some((index, found)) = reusable else { return first };
        if let Some(slot) = self.slots.get(index)
            && slot.tag.compare_exchange(found, tag, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            slot.until.store(0, Ordering::Release);
            slot.failures.store(0, Ordering::Release);
            slot.answers.store(0, Ordering::Release);
        }
        index
    }
}

/// Never 0, which marks a free place. The same on all shards of a process.
fn tag(host: &str, port: u16) -> u64 {
    let mut hasher = ahash::AHasher::default();
    for octet in host.bytes() {
        hasher.write_u8(octet.to_ascii_lowercase());
    }
    port.hash(&mut hasher);
    hasher.finish().max(1)
}

impl Permit {
    /// The place of the destination.
    pub(super) fn destination(&self) -> usize {
        self.index
    }

    /// The destination answered.
    pub fn answered(&self) {
        if let Some(slot) = self.table.slots.get(self.index) {
            slot.until.store(0, Ordering::Release);
            slot.failures.store(0, Ordering::Release);
            // Beyond the limit of all no answer counts, so this never overflows.
            let _ = slot.answers.fetch_update(Ordering::AcqRel, Ordering::Acquire, |answers| {
                (answers < self.table.connections_max).then_some(answers + 1)
            });
        }
    }

    /// The destination did not answer: it is left alone for a while, longer each time. `random` spreads
    /// the shards and boxes. Returns the end of the back-off.
    pub fn failed(&self, now: MonoMillis, random: u64) -> MonoMillis {
        let Some(slot) = self.table.slots.get(self.index) else { return now };
        let known = slot.until.load(Ordering::Acquire);
        if !self.trial && known > now.0 {
            // Twenty connections that break at one moment are one failure, not twenty.
            return MonoMillis(known);
        }
        slot.answers.store(0, Ordering::Release);
        let failures = slot.failures.fetch_add(1, Ordering::AcqRel).min(DOUBLINGS_MAX);
        let (first, longest) = self.table.back_off;
        let pause = first.saturating_mul(1 << failures).min(longest);
        let jitter = u32::try_from(random % 20).unwrap_or(0);
        let until = now.plus(pause + pause / 100 * jitter);
        slot.until.store(until.0, Ordering::Release);
        until
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(slot) = self.table.slots.get(self.index) {
            slot.active.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
