//! How much disk one kind of file may use, for the whole box: atomics, shared by all shards.
//!
//! `used <= limit - reserve` is what new mail sees: [`Budget::admits`] says no before the reserve is touched,
//! and the client hears 452 before it sends any data. Tombstones, log rows and compaction, which
//! make room or must not fail, live on the reserve.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::SpoolError;

/// Percent of the admitted part from which an alarm is on.
const ALARM_ON_PERCENT: u64 = 90;
/// Percent under which it goes off again; lower than [`ALARM_ON_PERCENT`], so that it does not flutter.
const ALARM_OFF_PERCENT: u64 = 80;

/// Budget of one kind (`spool`, `quarantine`, `maillog`).
#[derive(Debug)]
pub struct Budget {
    kind: &'static str,
    limit: u64,
    reserve: u64,
    used: AtomicU64,
    free: AtomicU64,
    alarm: AtomicBool,
}

impl Budget {
    /// A budget of `limit` octets, the last `reserve` of which are kept from new mail. The same
    /// reserve is kept free on the file system.
    #[must_use]
    pub fn new(kind: &'static str, limit: u64, reserve: u64) -> Self {
        Self {
            kind,
            limit,
            reserve: reserve.min(limit),
            used: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            alarm: AtomicBool::new(false),
        }
    }

    /// Whether `bytes` more fit without touching the reserve of the budget or of the file system.
    #[must_use]
    pub fn admits(&self, bytes: u64) -> bool {
        let ours = self.used().saturating_add(bytes) <= self.limit - self.reserve;
        let disk = self.free.load(Ordering::Relaxed) >= bytes.saturating_add(self.reserve);
        ours && disk
    }

    /// [`Budget::admits`] as an error.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`]: the operator's to solve; temporary.
    pub fn check(&self, bytes: u64) -> Result<(), SpoolError> {
        if self.admits(bytes) {
            return Ok(());
        }
        Err(SpoolError::NoRoom {
            kind: self.kind,
            bytes,
            used: self.used(),
            limit: self.limit,
            reserve: self.reserve,
        })
    }

    /// Whether `bytes` more fit with the reserve used up: for mail that was admitted and is here now.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`].
    pub fn check_reserve(&self, bytes: u64) -> Result<(), SpoolError> {
        if self.used().saturating_add(bytes) <= self.limit {
            return Ok(());
        }
        Err(SpoolError::NoRoom {
            kind: self.kind,
            bytes,
            used: self.used(),
            limit: self.limit,
            reserve: 0,
        })
    }

    /// Octets in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Octets that may be used, reserve included.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Octets above what is admitted: how much a log that drops its oldest segments has to drop.
    #[must_use]
    pub fn excess(&self) -> u64 {
        let ours = self.used().saturating_sub(self.limit - self.reserve);
        ours.max(self.reserve.saturating_sub(self.free.load(Ordering::Relaxed)))
    }

    /// `bytes` more are in use.
    pub fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `bytes` are in use no more.
    pub fn release(&self, bytes: u64) {
        // `fetch_update` cannot fail with `Some`.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            Some(used.saturating_sub(bytes))
        });
    }

    /// What the file system said last; sampled once a second by the shard's tick.
    pub fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }

    /// The alarm's text while it is on: from 90 % of what is admitted until it is below 80 %, and
    /// while the file system has less than the reserve.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        let admitted = (self.limit - self.reserve).max(1);
        let free = self.free.load(Ordering::Relaxed);
        let percent = self.used().saturating_mul(100) / admitted;
        let on = free < self.reserve
            || percent >= ALARM_ON_PERCENT
            || (self.alarm.load(Ordering::Relaxed) && percent >= ALARM_OFF_PERCENT);
        self.alarm.store(on, Ordering::Relaxed);
        on.then(|| {
            format!(
                "{}: {} of {admitted} octets used ({percent} %), {free} free on the disk, reserve {}",
                self.kind,
                self.used(),
                self.reserve
            )
        })
    }
}
