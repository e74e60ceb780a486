//! What the page shows of one run or of two: each panel has a finding as its title, a chart, and the
//! same figures as a table.

use super::RunReport;
use super::chart::{Along, Bar, Line, Plot, Up, bars};
use super::figures::{answered, engine_cpu_ms_per_mail, refused};
use super::scale::nines;
use super::series::{Interval, end_of, intervals};
use super::text::{count, figure, percent, seconds, utc};

/// Rows of a table of replies or stages; a peer may make up as many as it likes.
const BARS_MAX: usize = 20;
/// The largest value so many times the least: a scale by powers of ten.
const LOGARITHMIC_FROM: f64 = 50.0;

/// One chart with what belongs to it.
pub(super) struct Panel {
    /// The finding.
    pub title: String,
    /// What must be known to read it.
    pub note: String,
    /// Names of lines and their classes; empty where bars say their names.
    pub legend: Vec<(String, &'static str)>,
    /// SVG, or nothing where there is nothing to draw.
    pub chart: String,
    pub table: Table,
}

/// The figures behind a chart; not yet escaped.
#[derive(Default)]
pub(super) struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A run and how it is called beside another; empty where it is alone.
pub(super) struct Run<'a> {
    pub name: &'static str,
    pub report: &'a RunReport,
    pub intervals: Vec<Interval>,
}

impl<'a> Run<'a> {
    /// One run alone, or two, A and B.
    pub(super) fn all(reports: &'a [RunReport]) -> Vec<Self> {
        let names: &[&'static str] = if reports.len() > 1 { &["A", "B"] } else { &[""] };
        let named = reports.iter().zip(names);
        named.map(|(report, name)| Self { name, report, intervals: intervals(report) }).collect()
    }

    fn named(&self, what: &str) -> String {
        if self.name.is_empty() { what.to_owned() } else { format!("{}: {what}", self.name) }
    }

    /// The class of a line: that of its meaning, or that of its run where there are two.
    fn class(&self, alone: &'static str) -> &'static str {
        match self.name {
            "A" => "run-a",
            "B" => "run-b",
            _ => alone,
        }
    }

    fn line(&self, what: &str, class: &'static str, of: fn(&Interval) -> Option<f64>) -> Line {
        let points = self.intervals.iter().map(|one| (one.middle(), of(one))).collect();
        Line { name: self.named(what), class, points }
    }
}

/// All panels in the order of the page.
pub(super) fn panels(runs: &[Run<'_>]) -> Vec<Panel> {
    vec![
        throughput(runs),
        percentiles(runs),
        latency_over_time(runs),
        cpu_over_time(runs),
        refusals(runs),
        stages(runs),
        memory(runs),
    ]
}

/// A finding said of each run: `A: ...; B: ...`.
fn said(runs: &[Run<'_>], of: impl Fn(&Run<'_>) -> String) -> String {
    let words: Vec<String> = runs.iter().map(|run| run.named(&of(run))).collect();
    words.join("; ")
}

/// Whether the chart of a run has longer steps than seconds.
fn is_coarse(run: &Run<'_>) -> bool {
    run.intervals.iter().any(|one| one.width > 1.9)
}

/// How long a step of the chart is, where it is not a second.
fn step_note(runs: &[Run<'_>], words: &str) -> String {
    if !runs.iter().any(is_coarse) {
        return String::new();
    }
    let widths = runs.iter().flat_map(|run| &run.intervals).map(|one| one.width);
    format!("Each point stands for {} s: {words}.", seconds(widths.fold(0.0, f64::max)))
}

fn over_time(runs: &[Run<'_>], unit: &'static str, lines: Vec<Line>) -> Panel {
    let end = runs.iter().map(|run| end_of(run.report)).fold(0.0, f64::max);
    let lines: Vec<Line> =
        lines.into_iter().filter(|line| line.values().next().is_some()).collect();
    let legend = lines.iter().map(|line| (line.name.clone(), line.class)).collect();
    let mut head = vec!["second".to_owned()];
    head.extend(lines.iter().map(|line| format!("{}, {unit}", line.name)));
    // Rows are the steps of the longest run; a shorter one ends earlier.
    let longest = runs.iter().max_by_key(|run| run.intervals.len());
    let steps = longest.map_or(&[][..], |run| run.intervals.as_slice());
    let cell = |line: &Line, index: usize| {
        let value = line.points.get(index).and_then(|(_, value)| *value);
        value.map_or_else(|| "-".to_owned(), figure)
    };
    let row = |(index, step): (usize, &Interval)| {
        let mut cells = vec![seconds(step.start)];
        cells.extend(lines.iter().map(|line| cell(line, index)));
        cells
    };
    let table = Table { head, rows: steps.iter().enumerate().map(row).collect() };
    let plot =
        Plot { label: String::new(), along: Along::Time(end), up: Up::FromZero, unit, lines };
    let chart = if plot.lines.is_empty() { String::new() } else { plot.render() };
    Panel { title: String::new(), note: String::new(), legend, chart, table }
}

pub(super) fn throughput(runs: &[Run<'_>]) -> Panel {
    let mut lines = Vec::new();
    for run in runs {
        let seen = |of: fn(&Interval) -> f64| run.intervals.iter().any(|one| of(one) > 0.0);
        if run.name.is_empty() {
            lines.push(run.line("offered", "offered", |one| Some(one.sent)));
        }
        lines.push(run.line("accepted", run.class("accepted"), |one| Some(one.accepted)));
        if run.name.is_empty() {
            // A line along the bottom says no more than its absence does.
            if seen(|one| one.temporary) {
                lines.push(
                    run.line("refused for now (4yz)", "temporary", |one| Some(one.temporary)),
                );
            }
            if seen(|one| one.permanent) {
                lines.push(
                    run.line("refused for good (5yz)", "permanent", |one| Some(one.permanent)),
                );
            }
            if seen(|one| one.unknown) {
                lines.push(run.line("unknown (broken off)", "unknown", |one| Some(one.unknown)));
            }
        } else if seen(|one| one.temporary + one.permanent) {
            let class = if run.name == "A" { "run-a refused" } else { "run-b refused" };
            lines.push(run.line("refused", class, |one| Some(one.temporary + one.permanent)));
        }
    }
    Panel {
        title: said(runs, |run| {
            let mean = format!("{} mails/s accepted", figure(run.report.mails_per_second));
            let least = run.intervals.iter().map(|one| one.accepted).reduce(f64::min);
            let step = if is_coarse(run) { "step" } else { "second" };
            match least.filter(|_| run.intervals.len() > 2) {
                Some(least) => format!("{mean}, {} in the worst {step}", figure(least)),
                None => mean,
            }
        }),
        note: step_note(runs, "the mean of its seconds"),
        ..over_time(runs, "mails/s", lines)
    }
}

/// The curve of a run as quantile and milliseconds; its six percentiles where it has no curve.
pub(super) fn curve(report: &RunReport) -> Vec<(f64, f64)> {
    if answered(report) == 0 {
        return Vec::new();
    }
    let of = &report.latency_ms;
    let six = [
        (0.5, of.p50),
        (0.9, of.p90),
        (0.99, of.p99),
        (0.999, of.p999),
        (0.9999, of.p9999),
        (1.0, of.max),
    ];
    let curve =
        if report.latency_curve.is_empty() { six.to_vec() } else { report.latency_curve.clone() };
    curve.into_iter().filter(|(quantile, ms)| quantile.is_finite() && ms.is_finite()).collect()
}

/// The points of a curve by their nines. What lies beyond the end is one point there, the largest.
pub(super) fn spread(curve: &[(f64, f64)], nines_max: f64) -> Vec<(f64, Option<f64>)> {
    let mut points: Vec<(f64, Option<f64>)> =
        curve.iter().map(|(quantile, ms)| (nines(*quantile), Some(*ms))).collect();
    let beyond = points.iter().position(|point| point.0 >= nines_max).unwrap_or(points.len());
    let largest = points.drain(beyond..).filter_map(|point| point.1).reduce(f64::max);
    points.extend(largest.map(|ms| (nines_max, Some(ms))));
    points
}

fn percentiles(runs: &[Run<'_>]) -> Panel {
    // Beyond the nines that the count of mails has, a percentile is the largest value again.
    let nines_max = |run: &Run<'_>| (answered(run.report).max(10) as f64).log10().clamp(1.0, 6.0);
    let lines: Vec<Line> = runs
        .iter()
        .map(|run| Line {
            name: run.named("latency"),
            class: run.class("accepted"),
            points: spread(&curve(run.report), nines_max(run)),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let values = || lines.iter().flat_map(Line::values).filter(|value| *value > 0.0);
    let (least, largest) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    let up = if largest > least * LOGARITHMIC_FROM { Up::Logarithmic } else { Up::FromZero };
    let title = said(runs, |run| {
        if answered(run.report) == 0 {
            return "no mail was answered".to_owned();
        }
        let of = &run.report.latency_ms;
        format!(
            "half within {} ms, 99 % within {} ms, all within {} ms",
            figure(of.p50),
            figure(of.p99),
            figure(of.max)
        )
    });
    let open = runs.iter().any(|run| run.report.load.arrivals_per_second.is_some());
    let from = if open {
        "Latency counts from the time at which a mail was due."
    } else {
        "A closed loop sends less while the server is slow, which hides waiting: compare builds by it, not promises."
    };
    let rows = [("p50", 0), ("p90", 1), ("p99", 2), ("p99.9", 3), ("p99.99", 4), ("max", 5)];
    let cell = |run: &Run<'_>, index: usize| {
        let of = &run.report.latency_ms;
        let all = [of.p50, of.p90, of.p99, of.p999, of.p9999, of.max];
        if answered(run.report) == 0 {
            "-".to_owned()
        } else {
            all.get(index).map_or_else(String::new, |ms| figure(*ms))
        }
    };
    let table = Table {
        head: std::iter::once("percentile".to_owned())
            .chain(runs.iter().map(|run| run.named("ms")))
            .collect(),
        rows: rows
            .iter()
            .map(|(name, index)| {
                std::iter::once((*name).to_owned())
                    .chain(runs.iter().map(|run| cell(run, *index)))
                    .collect()
            })
            .collect(),
    };
    let legend = if runs.len() > 1 {
        lines.iter().map(|line| (line.name.clone(), line.class)).collect()
    } else {
        Vec::new()
    };
    let high = runs.iter().map(nines_max).fold(1.0, f64::max);
    let plot = Plot {
        label: title.clone(),
        along: Along::Quantiles(high),
        up,
        unit: "latency, ms",
        lines,
    };
    let chart = if plot.lines.is_empty() { String::new() } else { plot.render() };
    Panel { title, note: from.to_owned(), legend, chart, table }
}

pub(super) fn latency_over_time(runs: &[Run<'_>]) -> Panel {
    let mut lines = Vec::new();
    for run in runs {
        if run.name.is_empty() {
            lines.push(run.line("half within (p50)", "offered", |one| one.p50_ms));
        }
        lines.push(run.line("99 % within (p99)", run.class("accepted"), |one| one.p99_ms));
    }
    Panel {
        title: said(runs, |run| {
            let worst = run.intervals.iter().filter_map(|one| Some((one.p99_ms?, one.start)));
            let worst = worst.reduce(|a, b| if b.0 > a.0 { b } else { a });
            worst.map_or_else(
                || "latency was not measured by the second".to_owned(),
                |(ms, at)| {
                    format!(
                        "the slowest second began at {} s: 99 % within {} ms",
                        figure(at),
                        figure(ms)
                    )
                },
            )
        }),
        note: step_note(runs, "the slowest of its seconds"),
        ..over_time(runs, "ms", lines)
    }
}

pub(super) fn refusals(runs: &[Run<'_>]) -> Panel {
    let mut made = Vec::new();
    let mut rows = Vec::new();
    for run in runs {
        let all: u64 = run.report.replies.values().fold(0, |sum, times| sum.saturating_add(*times));
        let mut sorted: Vec<(&String, u64)> = run
            .report
            .replies
            .iter()
            .filter(|(code, _)| !code.starts_with('2'))
            .map(|(code, times)| (code, *times))
            .collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        for (code, times) in sorted.into_iter().take(BARS_MAX) {
            let words = format!("{} ({})", count(times), percent(times, all));
            let class = if code.starts_with('5') { "permanent" } else { "temporary" };
            made.push(Bar {
                name: run.named(code),
                words: words.clone(),
                class,
                value: times as f64,
            });
            rows.push(vec![run.named(code), count(times), percent(times, all)]);
        }
    }
    let title = said(runs, |run| match refused(run.report) {
        0 => "nothing was refused".to_owned(),
        some => format!(
            "{} mails refused, {} of those answered",
            count(some),
            percent(some, answered(run.report))
        ),
    });
    let chart = if made.is_empty() { String::new() } else { bars(&title, &made) };
    let head = ["reply", "mails", "of all replies"].map(str::to_owned).to_vec();
    let note = if made.is_empty() {
        String::new()
    } else {
        "Mails by reply code and enhanced status code.".to_owned()
    };
    Panel { title, note, legend: Vec::new(), chart, table: Table { head, rows } }
}

fn stages(runs: &[Run<'_>]) -> Panel {
    let mut made = Vec::new();
    let mut rows = Vec::new();
    for run in runs {
        let of_run = run.report.stages.iter().filter(|stage| stage.micros_per_mail.is_finite());
        for stage in of_run.take(BARS_MAX) {
            let words = format!("{} µs", figure(stage.micros_per_mail));
            let class = run.class("accepted");
            made.push(Bar {
                name: run.named(&stage.name),
                words: words.clone(),
                class,
                value: stage.micros_per_mail,
            });
            rows.push(vec![run.named(&stage.name), figure(stage.micros_per_mail)]);
        }
    }
    // Two runs: the same stage of both side by side.
    made.sort_by_key(|bar| (runs.len() > 1).then(|| position(runs, &bar.name)));
    let title = said(runs, |run| {
        let sum: f64 = run
            .report
            .stages
            .iter()
            .map(|stage| stage.micros_per_mail)
            .filter(|us| us.is_finite())
            .sum();
        if run.report.stages.is_empty() {
            "the engine did not tell its stages".to_owned()
        } else {
            format!("{} µs of CPU a mail in {} stages", figure(sum), run.report.stages.len())
        }
    });
    let chart = if made.is_empty() { String::new() } else { bars(&title, &made) };
    let head = ["stage", "µs of CPU a mail"].map(str::to_owned).to_vec();
    Panel { title, note: String::new(), legend: Vec::new(), chart, table: Table { head, rows } }
}

/// Where a stage stands in the first run that has it; its run's name is before it.
fn position(runs: &[Run<'_>], name: &str) -> usize {
    let plain = name.split_once(": ").map_or(name, |(_, plain)| plain);
    let stages = runs.iter().flat_map(|run| &run.report.stages);
    stages.map(|stage| stage.name.as_str()).position(|stage| stage == plain).unwrap_or(usize::MAX)
}

fn cpu_over_time(runs: &[Run<'_>]) -> Panel {
    let mut lines = Vec::new();
    for run in runs {
        lines.push(run.line("engine", run.class("accepted"), |one| one.engine_cores));
        if run.name.is_empty() {
            lines.push(run.line("load generator", "offered", |one| one.generator_cores));
        }
    }
    Panel {
        title: said(runs, |run| {
            engine_cpu_ms_per_mail(run.report).map_or_else(
                || "CPU of the engine was not measured".to_owned(),
                |ms| format!("the engine took {} ms of CPU a mail", figure(ms)),
            )
        }),
        note: step_note(runs, "the mean of its seconds"),
        ..over_time(runs, "CPU, cores", lines)
    }
}

fn memory(runs: &[Run<'_>]) -> Panel {
    let lines =
        runs.iter().map(|run| run.line("engine", run.class("accepted"), |one| one.engine_mib));
    Panel {
        title: said(runs, |run| {
            let known: Vec<f64> = run.intervals.iter().filter_map(|one| one.engine_mib).collect();
            match (known.first(), known.last(), known.iter().copied().reduce(f64::max)) {
                (Some(first), Some(last), Some(most)) => format!(
                    "the engine had {} MiB at first, {} MiB at the end, {} MiB at most",
                    figure(*first),
                    figure(*last),
                    figure(most)
                ),
                _ => "memory of the engine was not measured".to_owned(),
            }
        }),
        note: step_note(runs, "the most of its seconds"),
        ..over_time(runs, "resident memory, MiB", lines.collect())
    }
}

/// When a run began, where that is known.
pub(super) fn started(report: &RunReport) -> String {
    if report.started_unix == 0 { "time not known".to_owned() } else { utc(report.started_unix) }
}
