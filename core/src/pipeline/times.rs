//! What the stages of one mail take, for its story in the mail log.

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
        Self { watch: Stopwatch::start(), all: Vec::with_capacity(4) }
    }

    /// Ends a stage; the next one begins.
    pub(super) fn lap(&mut self, stage: &str) {
        let micros = self.watch.lap();
        if self.all.len() < TIMES_MAX {
            self.all.push(StageTime { stage: stage.to_owned(), micros });
        }
    }
}
