//! The seconds of a run as rates, few enough to draw.

use super::{RunReport, Second};

/// Points that a chart of time has at most; longer runs are drawn in steps of several seconds.
pub(super) const POINTS_MAX: usize = 240;

/// A stretch of a run: rates a second, CPU in cores, the worst latency and the most memory in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Interval {
    /// Seconds from the start of the run.
    pub start: f64,
    /// Seconds.
    pub width: f64,
    pub sent: f64,
    pub accepted: f64,
    pub temporary: f64,
    pub permanent: f64,
    pub unknown: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub engine_cores: Option<f64>,
    pub generator_cores: Option<f64>,
    pub engine_mib: Option<f64>,
}

impl Interval {
    /// Where it is drawn.
    pub(super) fn middle(&self) -> f64 {
        self.start + self.width / 2.0
    }
}

/// The seconds of a run, at most [`POINTS_MAX`] of them.
///
/// The last second of a run is hardly ever a whole one. Drawn as if it were, every run would end
/// with a fall that nobody saw: counts are divided by the time they took, and a rest of less than
/// half a step goes to the step before.
pub(super) fn intervals(report: &RunReport) -> Vec<Interval> {
    let seconds: Vec<&Second> =
        report.series.iter().filter(|second| second.at.is_finite()).collect();
    let step = seconds.len().div_ceil(POINTS_MAX).max(1);
    let mut groups: Vec<Vec<&Second>> = seconds.chunks(step).map(<[_]>::to_vec).collect();
    let end = end_of(report);
    let starts = |groups: &[Vec<&Second>]| -> Vec<f64> {
        groups.iter().filter_map(|group| Some(group.first()?.at.max(0.0))).collect()
    };
    if let [.., last] = starts(&groups).as_slice()
        && groups.len() > 1
        && end - last < 0.5 * step as f64
        && let Some(rest) = groups.pop()
        && let Some(before) = groups.last_mut()
    {
        before.extend(rest);
    }
    let starts = starts(&groups);
    let ends = starts.iter().skip(1).copied().chain([end]);
    groups
        .iter()
        .zip(starts.iter().zip(ends))
        .map(|(group, (start, end))| interval(group, *start, end - start))
        .collect()
}

/// The end of the run: what it says, or a second after its last entry where that makes no sense.
pub(super) fn end_of(report: &RunReport) -> f64 {
    let last = report.series.last().map_or(0.0, |second| second.at);
    if report.seconds.is_finite() && report.seconds > last { report.seconds } else { last + 1.0 }
}

fn interval(group: &[&Second], start: f64, width: f64) -> Interval {
    let width = if width > 0.0 { width } else { 1.0 };
    let rate =
        |of: fn(&Second) -> u64| group.iter().map(|second| of(second) as f64).sum::<f64>() / width;
    let largest = |of: fn(&Second) -> Option<f64>| {
        group
            .iter()
            .filter_map(|second| of(second))
            .filter(|value| value.is_finite())
            .reduce(f64::max)
    };
    let cores = |of: fn(&Second) -> Option<f64>| {
        let known: Vec<f64> = group.iter().filter_map(|second| of(second)).collect();
        let sum: f64 = known.iter().sum();
        (!known.is_empty() && sum.is_finite()).then_some(sum / 1000.0 / width)
    };
    Interval {
        start,
        width,
        sent: rate(|second| second.sent),
        accepted: rate(|second| second.accepted),
        temporary: rate(|second| second.temporary),
        permanent: rate(|second| second.permanent),
        unknown: rate(|second| second.unknown),
        p50_ms: largest(|second| second.p50_ms),
        p99_ms: largest(|second| second.p99_ms),
        engine_cores: cores(|second| second.engine_cpu_ms),
        generator_cores: cores(|second| second.generator_cpu_ms),
        engine_mib: largest(|second| second.engine_rss_kib.map(|kib| kib as f64 / 1024.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: f64, counts: &[u64]) -> RunReport {
        let series = counts.iter().enumerate().map(|(at, accepted)| Second {
            at: at as f64,
            accepted: *accepted,
            ..Second::default()
        });
        RunReport { seconds, series: series.collect(), ..RunReport::default() }
    }

    #[test]
    fn the_rest_of_a_second_at_the_end_is_no_fall() {
        let short = intervals(&run(2.1, &[100, 100, 10]));
        assert_eq!(short.len(), 2);
        assert!((short[1].accepted - 100.0).abs() < 1e-6, "{}", short[1].accepted);
        let long = intervals(&run(2.8, &[100, 100, 80]));
        assert_eq!(long.len(), 3);
        assert!((long[2].accepted - 100.0).abs() < 1e-6, "{}", long[2].accepted);
    }

    #[test]
    fn a_long_run_is_drawn_in_steps_and_loses_no_mail() {
        let run = run(86_400.0, &vec![7; 86_400]);
        let drawn = intervals(&run);
        assert!(drawn.len() <= POINTS_MAX, "{}", drawn.len());
        let mails: f64 = drawn.iter().map(|interval| interval.accepted * interval.width).sum();
        assert!((mails - 7.0 * 86_400.0).abs() < 1.0, "{mails}");
    }

    #[test]
    fn a_run_shorter_than_a_second_and_one_without_entries_have_their_rates() {
        let drawn = intervals(&run(0.5, &[50]));
        assert!((drawn[0].accepted - 100.0).abs() < 1e-6);
        assert!(intervals(&run(0.0, &[])).is_empty());
        // A length that contradicts the entries is not believed.
        assert!((end_of(&run(0.0, &[1, 2])) - 2.0).abs() < 1e-9);
    }
}
