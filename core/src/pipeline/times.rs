//! What the stages of one mail take, for its story in the mail log.

use std::time::Duration;

use crate::clock::Stopwatch;
use crate::maillog::{StageTime, TIMES_MAX};

/// Stages in their order.
#[derive(Debug)]
pub(super) struct Times {
    watch: Stopwatch,
    pub(super) all: Vec<StageTime>,
}

impl Times {
    pub(super) fn start() -> Self {
        Self { watch: Stopwatch::start(), all: Vec::with_capacity(6) }
    }

    /// Puts what came before all others first: what is left of `whole`, which ends now.
    pub(super) fn before(&mut self, stage: &str, whole: Duration) {
        let later: u64 = self.all.iter().map(|one| one.micros).sum();
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX).saturating_sub(later);
        self.all.insert(0, StageTime { stage: stage.to_owned(), micros });
    }

    /// Ends a stage; the next one begins.
    pub(super) fn lap(&mut self, stage: &str) {
        let micros = self.watch.lap();
        if self.all.len() < TIMES_MAX {
            self.all.push(StageTime { stage: stage.to_owned(), micros });
        }
    }
}
