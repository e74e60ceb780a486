//! The clock of an open loop.

use std::time::{Duration, Instant};

use super::options::Spread;
use crate::random::Random;

/// No gap is longer: a load of one mail in an hour is still one.
const GAP_MAX: f64 = 3600.0;

/// Moments at which mails of one worker are due.
pub(super) struct Arrivals {
    next: Instant,
    mean_seconds: f64,
    spread: Spread,
    random: Random,
}

impl Arrivals {
    /// `per_second` of this worker; the first is due after `offset` of a gap, so that the even
    /// moments of several workers lie between each other.
    pub(super) fn new(
        start: Instant,
        per_second: f64,
        spread: Spread,
        offset: f64,
        random: Random,
    ) -> Self {
        let mean_seconds = (1.0 / per_second).min(GAP_MAX);
        let mut arrivals = Self { next: start, mean_seconds, spread, random };
        let first = match spread {
            Spread::Even => Duration::from_secs_f64(mean_seconds * offset),
            Spread::Poisson => arrivals.gap(),
        };
        arrivals.next += first;
        arrivals
    }

    /// When the next mail is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Goes on to the one after it. By the plan, never by the clock: a late worker catches up.
    pub(super) fn advance(&mut self) {
        let gap = self.gap();
        self.next += gap;
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are taken")]
    fn gap(&mut self) -> Duration {
        let seconds = match self.spread {
            Spread::Even => self.mean_seconds,
            Spread::Poisson => {
                // In (0, 1], so that the logarithm is finite.
                let uniform = ((self.random.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                (-uniform.ln() * self.mean_seconds).min(GAP_MAX)
            }
        };
        Duration::from_secs_f64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Arrivals;
    use crate::random::Random;
    use crate::send::Spread;

    #[test]
    fn both_spreads_have_the_rate_asked_for_and_only_one_is_even() {
        let start = Instant::now();
        for spread in [Spread::Even, Spread::Poisson] {
            let mut arrivals = Arrivals::new(start, 1000.0, spread, 0.5, Random::new(3));
            let mut gaps = Vec::new();
            for _ in 0..20_000 {
                let before = arrivals.next();
                arrivals.advance();
                gaps.push(arrivals.next() - before);
            }
            let seconds = (arrivals.next() - start).as_secs_f64();
            assert!((19.4..20.6).contains(&seconds), "{spread:?}: {seconds} s");
            let short = gaps.iter().filter(|gap| **gap < Duration::from_micros(500)).count();
            match spread {
                Spread::Even => assert_eq!(short, 0),
                // 1 - exp(-1/2) of them.
                Spread::Poisson => assert!((7500..8300).contains(&short), "{short} short gaps"),
            }
        }
    }
}
