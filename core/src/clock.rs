//! Time as a value. No room reads a clock: whoever owns the event loop reads it once per event and
//! hands it in, so that every failure replays from a seed (house invariant 5).

use std::time::Duration;

/// A point in time in milliseconds since 1970-01-01 UTC. Wall clock: stored, shown, compared with
/// expiry dates. It may jump; never measure a timeout with it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This point plus `delta`, saturating.
    #[must_use]
    pub fn plus(self, delta: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delta.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this point; zero if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// A point on the monotonic clock in milliseconds since an arbitrary start: for timeouts and rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoMillis(pub u64);

impl MonoMillis {
    /// This point plus `delta`, saturating.
    #[must_use]
    pub fn plus(self, delta: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delta.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks, read at one moment. Passed by value into everything that needs the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Wall clock.
    pub unix: UnixMillis,
    /// Monotonic clock.
    pub mono: MonoMillis,
}

impl Now {
    /// Reads both clocks: for event loops and programs, never for rooms.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the one place where the clocks are read; CLOCK_MONOTONIC and CLOCK_REALTIME always exist"
    )]
    pub fn read() -> Self {
        use std::sync::OnceLock;
        use std::time::{Instant, SystemTime, UNIX_EPOCH};
        static START: OnceLock<Instant> = OnceLock::new();
        let mono = START.get_or_init(Instant::now).elapsed().as_millis();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock is after 1970");
        Self {
            unix: UnixMillis(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)),
            mono: MonoMillis(u64::try_from(mono).unwrap_or(u64::MAX)),
        }
    }
}

/// Time between two moments, finer than [`MonoMillis`]: what stages of one mail take, for its story. Nothing is ever
/// decided by it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "one of two places where a clock is read")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Microseconds since it began, or since the last lap; begins the next one.
    pub fn lap(&mut self) -> u64 {
        let micros = u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX);
        *self = Self::start();
        micros
    }
}
