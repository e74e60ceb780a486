//! When a flush begins: at once, or a moment later, so that more mails share it.
//!
//! A flush costs the same for one mail and for twenty: two trips to the kernel's workers, an interrupt of the drive, a
//! commit of the file system's journal. Under load, mails that come right after a flush began would each wait for the next
//! one anyway. Databases know this as a commit delay (PostgreSQL: `commit_delay`).

use std::time::Duration;

/// How long a flush waits for company. Longer saves nothing more (decision 0096).
const COMMIT_DELAY: Duration = Duration::from_micros(700);
/// Longest time between two records that still counts: more is a quiet log, however long.
const QUIET: Duration = Duration::from_secs(1);

/// How fast records come to one log.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last flush took what waited, on the disk's monotonic clock.
    taken_at: Duration,
    /// Time between two records or notes, half of it by the last flush, a quarter by the one before it, and so on.
    between: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { taken_at: Duration::ZERO, between: QUIET }
    }
}

impl Pace {
    /// What the next flush should wait: something only if at this pace one more record comes within the delay.
    pub(super) fn delay(&self) -> Option<Duration> {
        (self.between <= COMMIT_DELAY).then_some(COMMIT_DELAY)
    }

    /// A flush takes `taken` records and notes.
    pub(super) fn take(&mut self, now: Duration, taken: usize) {
        let taken = u32::try_from(taken).unwrap_or(u32::MAX).max(1);
        let between = now.saturating_sub(self.taken_at).min(QUIET) / taken;
        self.between = (self.between + between) / 2;
        self.taken_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_waits_for_company_only_if_some_is_to_be_expected() {
        let mut pace = Pace::default();
        let mut now = Duration::from_secs(5);
        let mut take = |pace: &mut Pace, micros: u64, taken: usize| {
            now += Duration::from_micros(micros);
            pace.take(now, taken);
            pace.delay()
        };
        assert_eq!(pace.delay(), None, "the first flush of all");
        assert_eq!(take(&mut pace, 0, 1), None);
        // Four mails in two milliseconds, over and over: soon each flush waits.
        let waits = (0..20).map(|_| take(&mut pace, 2000, 4)).filter(Option::is_some).count();
        assert!((5..20).contains(&waits), "{waits}");
        // One alone between them changes nothing.
        assert_eq!(take(&mut pace, 700, 1), Some(COMMIT_DELAY));
        // One each two milliseconds: soon none waits.
        let waits = (0..20).map(|_| take(&mut pace, 2000, 1)).filter(Option::is_some).count();
        assert!(waits < 5, "{waits}");
        // A quiet minute is forgotten after a dozen flushes, a clock that stands still does no harm.
        assert_eq!(take(&mut pace, 60_000_000, 1), None);
        assert_eq!(
            (0..20).filter_map(|_| take(&mut pace, 0, usize::MAX)).last(),
            Some(COMMIT_DELAY)
        );
    }
}
