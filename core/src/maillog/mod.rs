//! The mail log: one row per recipient and outcome, one per event.
//!
//! Rows are written together: many to one record of a segment. **What a power cut (or a kill -9) can lose:** rows
//! given to [`MailLog::write`] since the last flush. The shard's tick flushes every second, and any
//! [`MailLog::write_durable`] flushes what waits before it; so it is about the last second, plus the time of one
//! flush. While flushes fail (disk full, disk broken), rows are kept in memory and tried again at each tick, up
//! to 64 MiB; the oldest go first, and are counted ([`MailLog::lost_rows`], an alarm). What the
//! rule of 250 depends on (a drop, an unreported refusal) goes through `write_durable` and is never lost. Mail itself
//! never depends on rows that were not durable.
//!
//! Kept for a number of days, or until the budget is full: the oldest segment goes first. Segments are at most a
//! day old when sealed, so "90 days" means 90 to 91.
//!
//! Not done here: statistics, text for people.

pub mod reader;
mod row;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

pub use row::{DeliveryRow, ENGINES_MAX, EngineSaid, EventRow, Row, StageTime, TIMES_MAX};

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::MailId;
use crate::spool::disk::Disk;
use crate::spool::log::{Log, LogOptions, NewRecord, Urgency};
use crate::spool::{CopyId, Damage, ROWS_KIND, SpoolError, to_json};

/// Octets of rows that make a record without waiting for the tick.
const RECORD_BYTES: usize = 128 << 10;
/// A segment is sealed after a day, so that whole segments can go by date.
const SEGMENT_AGE_MS: u64 = 86_400_000;

/// Metadata of a record of rows.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RowsMeta {
    /// Rows in it.
    pub(crate) rows: u32,
    /// Time of the oldest.
    pub(crate) from: UnixMillis,
    /// Time of the newest.
    pub(crate) to: UnixMillis,
}

#[derive(Debug, Default)]
struct Gathered {
    lines: Vec<u8>,
    meta: RowsMeta,
}

#[derive(Debug)]
struct Inner<D: Disk> {
    log: Log<D>,
    options: LogOptions,
    days: u16,
    gathered: RefCell<Gathered>,
}

/// Mail log of one shard. Cheap to clone.
#[derive(Debug)]
pub struct MailLog<D: Disk> {
    inner: Rc<Inner<D>>,
}

impl<D: Disk> Clone for MailLog<D> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<D: Disk> MailLog<D> {
    /// Opens the log of a shard; `options.directory` is `maillog/<shard>`. Rows older than
    /// `days` are dropped, whole segments at a time, and the oldest ones earlier if the budget is full.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the directory cannot be used.
    pub async fn open(
        disk: D,
        mut options: LogOptions,
        days: u16,
        now: UnixMillis,
    ) -> Result<Self, SpoolError> {
        options.segment_age_ms = SEGMENT_AGE_MS;
        let log = Log::open(disk.clone(), options.clone(), now).await?;
        let old = log.clone();
        // Only to know which segments are how old: nobody waits for it.
        disk.spawn(async move { drop(old.load().await) });
        Ok(Self { inner: Rc::new(Inner { log, options, days, gathered: RefCell::default() }) })
    }

    /// Writes rows: durable with the next [`MailLog::tick`] or durable write.
    pub fn write(&self, rows: &[Row], now: UnixMillis) {
        let full = {
            let mut gathered = self.inner.gathered.borrow_mut();
            for row in rows {
                gathered.push(row);
            }
            gathered.lines.len() >= RECORD_BYTES
        };
        if full {
            self.inner.log.set_now(now);
            self.hand_over(Urgency::Now);
        }
    }

    /// Writes rows; returns when they are durable, with all that were written before.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: temporary; what depends on them gets 4xx. The rows may still appear later.
    pub async fn write_durable(&self, rows: &[Row], now: UnixMillis) -> Result<(), SpoolError> {
        self.write(rows, now);
        self.hand_over(Urgency::Now);
        self.inner.log.flush().await
    }

    /// Once a second: flushes, seals, drops what is too old or too much.
    pub async fn tick(&self, now: UnixMillis) {
        self.hand_over(Urgency::Now);
        self.inner.log.tick(now).await;
        self.drop_old(now).await;
    }

    /// Makes all rows durable: for the drain.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.hand_over(Urgency::Now);
        self.inner.log.flush().await
    }

    /// What recovery set aside since the last call.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        self.inner.log.take_damage()
    }

    /// Records of rows that were given up after failed flushes: an alarm.
    #[must_use]
    pub fn lost_rows(&self) -> u64 {
        self.inner.log.given_up()
    }

    fn hand_over(&self, urgency: Urgency) {
        let Gathered { lines, meta } = self.inner.gathered.take();
        if lines.is_empty() {
            return;
        }
        let stamp = u32::try_from(meta.to.as_secs()).unwrap_or(u32::MAX);
        let id = CopyId::new(MailId(uuid::Uuid::nil()), 0);
        // Neither can fail: the metadata is three numbers, the lines are bounded by the longest row.
        let Ok(meta) = to_json(&meta) else { return };
        let new = NewRecord { id, kind: ROWS_KIND, stamp, meta };
        let _ = self.inner.log.append_lazy(new, &Content::from_octets(lines), urgency);
    }

    async fn drop_old(&self, now: UnixMillis) {
        let keep_from = now.as_secs().saturating_sub(u64::from(self.inner.days) * 86_400);
        while let Some(oldest) = self.inner.log.oldest() {
            let expired = u64::from(oldest.newest_stamp) < keep_from;
            if !(expired || self.inner.options.budget.excess() > 0) {
                return;
            }
            if self.inner.log.drop_segment(oldest.number).await.is_err() {
                return;
            }
        }
    }
}

impl Gathered {
    fn push(&mut self, row: &Row) {
        let length = self.lines.len();
        if serde_json::to_writer(&mut self.lines, row).is_err() {
            self.lines.truncate(length);
            return;
        }
        self.lines.push(b'\n');
        let at = row.at();
        let first = self.meta.rows == 0;
        self.meta.from = if first { at } else { self.meta.from.min(at) };
        self.meta.to = self.meta.to.max(at);
        self.meta.rows += 1;
    }
}
