//! How much disk one kind of file may use, for the whole box: atomics, shared by all shards.
//!
//! `used + arriving <= limit - reserve` is what new mail sees: [`Budget::admits`] says no before the reserve is
//! touched, and the client hears 452 before it sends any data. Tombstones, log rows and compaction, which
//! make room or must not fail, live on the reserve.
//!
//! A large mail is on the disk long before it is complete. Its room is promised to it ([`Arriving`]) when its size
//! is declared, at latest octet by octet as it comes, so that many of them at once cannot go through the
//! reserve together. Where it is kept in the end it counts as used; the promise goes a moment later.

use std::sync::Arc;
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
    /// Promised to mails that are arriving, written or not.
    arriving: AtomicU64,
    /// The part of `arriving` that is not on the disk yet.
    unwritten: AtomicU64,
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
            arriving: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            alarm: AtomicBool::new(false),
        }
    }

    /// Whether `bytes` more fit without touching the reserve of the budget or of the file system.
    #[must_use]
    pub fn admits(&self, bytes: u64) -> bool {
        self.fits(self.arriving(), bytes) && self.disk_fits(self.unwritten(), bytes)
    }

    fn fits(&self, arriving: u64, bytes: u64) -> bool {
        let taken = self.used().saturating_add(arriving);
        taken.saturating_add(bytes) <= self.limit - self.reserve
    }

    fn disk_fits(&self, unwritten: u64, bytes: u64) -> bool {
        let wanted = unwritten.saturating_add(bytes).saturating_add(self.reserve);
        self.free.load(Ordering::Relaxed) >= wanted
    }

    /// [`Budget::admits`] as an error.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`], [`SpoolError::DiskFull`]: the operator's to solve; temporary.
    pub fn check(&self, bytes: u64) -> Result<(), SpoolError> {
        if !self.fits(self.arriving(), bytes) {
            return Err(self.no_room(bytes));
        }
        let unwritten = self.unwritten();
        if self.disk_fits(unwritten, bytes) { Ok(()) } else { Err(self.disk_full(bytes)) }
    }

    /// An empty spool has no room either where something else filled the disk: the text must not blame it.
    fn disk_full(&self, bytes: u64) -> SpoolError {
        SpoolError::DiskFull {
            kind: self.kind,
            bytes: self.unwritten().saturating_add(bytes),
            free: self.free.load(Ordering::Relaxed),
            reserve: self.reserve,
        }
    }

    fn no_room(&self, bytes: u64) -> SpoolError {
        SpoolError::NoRoom {
            kind: self.kind,
            bytes,
            used: self.used().saturating_add(self.arriving()),
            limit: self.limit,
            reserve: self.reserve,
        }
    }

    /// Promises `bytes` to a mail that is arriving, as one step for all shards.
    fn promise(&self, bytes: u64) -> Result<(), SpoolError> {
        let relaxed = Ordering::Relaxed;
        let ours = self.arriving.fetch_update(relaxed, relaxed, |arriving| {
            self.fits(arriving, bytes).then(|| arriving.saturating_add(bytes))
        });
        ours.map_err(|_| self.no_room(bytes))?;
        let disk = self.unwritten.fetch_update(relaxed, relaxed, |unwritten| {
            self.disk_fits(unwritten, bytes).then(|| unwritten.saturating_add(bytes))
        });
        if disk.is_err() {
            subtract(&self.arriving, bytes);
            return Err(self.disk_full(bytes));
        }
        Ok(())
    }

    /// `bytes` that were promised are on the disk now. What is free is less by them until it is sampled again.
    fn wrote(&self, bytes: u64) {
        subtract(&self.unwritten, bytes);
        if self.free.load(Ordering::Relaxed) != u64::MAX {
            subtract(&self.free, bytes);
        }
    }

    fn take_back(&self, promised: u64, written: u64) {
        subtract(&self.arriving, promised);
        subtract(&self.unwritten, promised.saturating_sub(written));
    }

    /// Whether `bytes` more fit with the reserve used up: for mail that was admitted and is here now. What
    /// is promised does not count: that mail is among it.
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

    /// Octets promised to mails that are arriving.
    #[must_use]
    pub fn arriving(&self) -> u64 {
        self.arriving.load(Ordering::Relaxed)
    }

    fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
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
        subtract(&self.used, bytes);
    }

    /// What the file system said last; sampled once a second by the shard's tick.
    pub fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }

    /// The alarm's text while it is on: from 90 % of what is admitted until it is below 80 %, and
    /// while the file system has less than twice the reserve. At the reserve itself mail is refused
    /// already; an alarm is there to be heard before that.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        let admitted = (self.limit - self.reserve).max(1);
        let free = self.free.load(Ordering::Relaxed);
        let taken = self.used().saturating_add(self.arriving());
        let percent = taken.saturating_mul(100) / admitted;
        let on = free < self.reserve.saturating_mul(2)
            || percent >= ALARM_ON_PERCENT
            || (self.alarm.load(Ordering::Relaxed) && percent >= ALARM_OFF_PERCENT);
        self.alarm.store(on, Ordering::Relaxed);
        on.then(|| {
            format!(
                "{}: {} of {} used ({percent} %), {} free on the disk, {} of them kept",
                self.kind,
                size(taken),
                size(admitted),
                size(free),
                size(self.reserve)
            )
        })
    }
}

/// For people: octets only while they are few.
fn size(octets: u64) -> String {
    match octets {
        u64::MAX => "unknown".to_owned(),
        0..1_048_576 => format!("{octets} octets"),
        _ => format!("{} MiB", octets >> 20),
    }
}

fn subtract(from: &AtomicU64, bytes: u64) {
    // `fetch_update` cannot fail with `Some`.
    let _ = from
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
}

/// Room that is promised to one mail while it arrives, in every budget that it may end in. Given back when dropped.
/// The default one has no budget: for what nobody has to wait for.
#[derive(Debug, Default)]
pub struct Arriving {
    budgets: Vec<Arc<Budget>>,
    promised: u64,
    written: u64,
}

impl Arriving {
    /// Room for `bytes` octets, as declared; 0 if nothing was.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`]: one of the budgets, or the disk, would have to touch its reserve; 452.
    pub fn promise(budgets: &[&Arc<Budget>], bytes: u64) -> Result<Self, SpoolError> {
        let mut room = Self::default();
        for budget in budgets {
            budget.promise(bytes)?;
            // From here on dropping `room` gives this one back.
            room.budgets.push(Arc::clone(budget));
            room.promised = bytes;
        }
        Ok(room)
    }

    /// Whether it has a budget: false for the default one.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        !self.budgets.is_empty()
    }

    /// Makes sure that `bytes` octets in all are promised: whoever sends more than was declared, or declared
    /// nothing, needs room before the octets are written.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`]; what was promised stays.
    pub fn cover(&mut self, bytes: u64) -> Result<(), SpoolError> {
        let more = bytes.saturating_sub(self.promised);
        for (index, budget) in self.budgets.iter().enumerate() {
            if let Err(error) = budget.promise(more) {
                self.budgets.iter().take(index).for_each(|budget| budget.take_back(more, 0));
                return Err(error);
            }
        }
        self.promised += more;
        Ok(())
    }

    /// `bytes` of it are on the disk now.
    pub fn wrote(&mut self, bytes: u64) {
        self.written += bytes;
        self.budgets.iter().for_each(|budget| budget.wrote(bytes));
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.budgets.iter().for_each(|budget| budget.take_back(self.promised, self.written));
    }
}
