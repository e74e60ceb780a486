//! The guard against clients that send content too slowly to be honest (slow lorises).

use crate::clock::MonoMillis;

use super::settings::Timeouts;

/// How content comes in. `started <= progress` once it has started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When the first read of the content began; time that we spent ourselves moves it on.
    started: Option<MonoMillis>,
    /// When octets last arrived.
    progress: Option<MonoMillis>,
    /// Since when we keep the client waiting.
    paused: Option<MonoMillis>,
    received: u64,
}

impl Pace {
    /// `count` octets arrived.
    pub(super) fn arrived(&mut self, now: MonoMillis, count: u64) {
        self.started.get_or_insert(now);
        self.progress = Some(now);
        self.received += count;
    }

    /// From now on it is us who take the time.
    pub(super) fn pause(&mut self, now: MonoMillis) {
        self.paused.get_or_insert(now);
    }

    /// It is the client's turn again.
    pub(super) fn resume(&mut self, now: MonoMillis) {
        if let Some(since) = self.paused.take() {
            let ours = now.since(since);
            self.started = self.started.map(|started| started.plus(ours));
            self.progress = self.progress.map(|progress| progress.plus(ours));
        }
    }

    /// When patience ends: `content` after the last arrival, or the moment at which the average rate
    /// falls below the smallest, whichever comes first.
    pub(super) fn deadline(&mut self, now: MonoMillis, timeouts: &Timeouts) -> MonoMillis {
        let silence = self.progress.get_or_insert(now).plus(timeouts.content);
        silence.min(self.rate_deadline(now, timeouts))
    }

    /// The second half of [`Pace::deadline`]: also binds between two chunks.
    pub(super) fn rate_deadline(&mut self, now: MonoMillis, timeouts: &Timeouts) -> MonoMillis {
        let started = *self.started.get_or_insert(now);
        let rate = u64::from(timeouts.content_bytes_per_second_min.max(1));
        let earned = std::time::Duration::from_millis(self.received.saturating_mul(1000) / rate);
        started.plus(timeouts.content_grace).plus(earned)
    }
}
