//! What a person sees while a load runs. Standard error, never standard output.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::Series;
use super::{Progress, SendOptions};

/// The one line, or a line a second.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    is_lines: bool,
}

impl Display {
    pub(super) fn new(options: &SendOptions) -> Self {
        let bar = (options.progress == Progress::Line).then(|| {
            let length = (options.mails < u64::MAX).then_some(options.mails);
            let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = if length.is_some() {
                "{bar:30} {pos}/{len} {msg}"
            } else {
                "{spinner} {pos} {msg}"
            };
            // A template of ours; if it were wrong, the default one is shown.
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { bar, is_lines: options.progress == Progress::Lines }
    }

    pub(super) fn show(&mut self, elapsed: Duration, series: &Series) {
        let (totals, last) = series.so_far();
        let text = format!(
            "accepted {} ({last}/s), refused for now {}, refused {}, unknown {}",
            totals.accepted, totals.refused_temporary, totals.refused_permanent, totals.unknown
        );
        if let Some(bar) = &self.bar {
            let ended = totals.accepted
                + totals.refused_temporary
                + totals.refused_permanent
                + totals.unknown;
            bar.set_position(ended);
            bar.set_message(text);
        } else if self.is_lines {
            let _ = writeln!(io::stderr(), "{:>5} s: {text}", elapsed.as_secs());
        }
    }

    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
