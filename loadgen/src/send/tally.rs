//! What a run came to: each worker counts for itself, and gives every second to all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use super::reply::Code;
use crate::report::{Percentiles, Second, Totals};

/// Seconds that are kept: a week.
const SECONDS_MAX: usize = 7 * 24 * 3600;
/// Seconds after which a second's histogram is made its percentiles: no worker is later.
const SETTLED_AFTER: usize = 10;

/// CPU of the calling thread since it began, kernel included.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// An empty histogram of so many digits.
pub(crate) fn histogram(digits: u8) -> Histogram<u64> {
    // One to five digits are a legal precision.
    Histogram::new(digits).unwrap_or_else(|_| unreachable!("a histogram of {digits} digits"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// How a mail ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// With this reply.
    Answered(Code),
    /// The connection broke.
    Unknown,
}

#[derive(Debug, Default)]
struct Cell {
    second: Second,
    cpu: Duration,
    latency: Option<Histogram<u64>>,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        let (sum, one) = (&mut self.second, &other.second);
        sum.sent += one.sent;
        sum.accepted += one.accepted;
        sum.temporary += one.temporary;
        sum.permanent += one.permanent;
        sum.unknown += one.unknown;
        self.cpu += other.cpu;
        if let Some(latency) = &other.latency {
            // All are made with the same bounds, so they add.
            let _ = self.latency.get_or_insert_with(|| histogram(2)).add(latency);
        }
    }

    fn settle(&mut self) {
        if let Some(latency) = self.latency.take() {
            self.second.p50_ms = Some(milliseconds(latency.value_at_quantile(0.5)));
            self.second.p99_ms = Some(milliseconds(latency.value_at_quantile(0.99)));
        }
    }
}

/// The seconds of a run, from all workers.
#[derive(Debug, Default)]
pub(super) struct Series {
    cells: Vec<Cell>,
}

impl Series {
    fn add(&mut self, index: usize, cell: &Cell) {
        if index >= SECONDS_MAX {
            return;
        }
        if self.cells.len() <= index {
            self.cells.resize_with(index + 1, Cell::default);
            let settled = index.saturating_sub(SETTLED_AFTER);
            for old in self.cells.iter_mut().take(settled) {
                old.settle();
            }
        }
        if let Some(sum) = self.cells.get_mut(index) {
            sum.add(cell);
        }
    }

    /// Sums of all whole seconds so far, and the last of them.
    pub(super) fn so_far(&self) -> (Totals, u64) {
        let mut totals = Totals::default();
        for Cell { second, .. } in &self.cells {
            totals.accepted += second.accepted;
            totals.refused_temporary += second.temporary;
            totals.refused_permanent += second.permanent;
            totals.unknown += second.unknown;
        }
        (totals, self.cells.last().map_or(0, |cell| cell.second.accepted))
    }

    #[expect(clippy::cast_precision_loss, reason = "a week of seconds")]
    pub(super) fn into_seconds(self) -> Vec<Second> {
        let settled = |(index, mut cell): (usize, Cell)| {
            cell.settle();
            cell.second.at = index as f64;
            cell.second.generator_cpu_ms = Some(milliseconds(micros(cell.cpu)));
            cell.second
        };
        self.cells.into_iter().enumerate().map(settled).collect()
    }
}

/// What one worker counted.
pub(super) struct Tally {
    pub(super) totals: Totals,
    pub(super) replies: BTreeMap<Code, u64>,
    pub(super) latency: Histogram<u64>,
    /// Of accepted mails alone.
    pub(super) latency_accepted: Histogram<u64>,
    /// The last answer.
    pub(super) last: Instant,
    /// Mails that were never begun.
    pub(super) not_sent: u64,
    /// Arrivals in all; those that a free session and a busy worker made late; those that waited
    /// for a session.
    pub(super) arrivals: u64,
    pub(super) late: u64,
    pub(super) waited: u64,
    /// CPU of the worker, and how long it ran.
    pub(super) cpu: Duration,
    pub(super) ran: Duration,
    start: Instant,
    series: Arc<Mutex<Series>>,
    index: usize,
    cell: Cell,
    cpu_before: Duration,
}

impl Tally {
    pub(super) fn new(start: Instant, series: Arc<Mutex<Series>>) -> Self {
        Self {
            totals: Totals::default(),
            replies: BTreeMap::new(),
            latency: histogram(3),
            latency_accepted: histogram(3),
            last: start,
            not_sent: 0,
            arrivals: 0,
            late: 0,
            waited: 0,
            cpu: Duration::ZERO,
            ran: Duration::ZERO,
            start,
            series,
            index: 0,
            cell: Cell::default(),
            cpu_before: thread_cpu(),
        }
    }

    pub(super) fn begun(&mut self) {
        self.cell.second.sent += 1;
    }

    pub(super) fn reply(&mut self, code: Code) {
        *self.replies.entry(code).or_default() += 1;
    }

    pub(super) fn ended(&mut self, end: End, latency: Duration, now: Instant) {
        self.last = now;
        let second = &mut self.cell.second;
        let (total, of_second) = match end {
            End::Unknown => (&mut self.totals.unknown, &mut second.unknown),
            End::Answered(code) => match code.basic {
                200..300 => (&mut self.totals.accepted, &mut second.accepted),
                400..500 => (&mut self.totals.refused_temporary, &mut second.temporary),
                _ => (&mut self.totals.refused_permanent, &mut second.permanent),
            },
        };
        *total += 1;
        *of_second += 1;
        if let End::Answered(code) = end {
            // Beyond what a histogram holds is beyond every time-out.
            let _ = self.latency.record(micros(latency));
            if (200..300).contains(&code.basic) {
                let _ = self.latency_accepted.record(micros(latency));
            }
            let _ = self.cell.latency.get_or_insert_with(|| histogram(2)).record(micros(latency));
        }
    }

    /// Gives the second that ended to all.
    pub(super) fn roll(&mut self, now: Instant) {
        let index = usize::try_from((now - self.start).as_secs()).unwrap_or(usize::MAX);
        if index != self.index {
            self.give();
            self.index = index;
        }
    }

    /// Gives what is left, and takes the worker's time.
    pub(super) fn finish(&mut self, now: Instant) {
        self.give();
        self.ran = now - self.start;
    }

    fn give(&mut self) {
        let cpu = thread_cpu();
        let mut cell = std::mem::take(&mut self.cell);
        cell.cpu = cpu.saturating_sub(self.cpu_before);
        self.cpu += cell.cpu;
        self.cpu_before = cpu;
        self.series.lock().unwrap_or_else(PoisonError::into_inner).add(self.index, &cell);
    }

    /// Takes over what another worker counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.totals.accepted += other.totals.accepted;
        self.totals.refused_temporary += other.totals.refused_temporary;
        self.totals.refused_permanent += other.totals.refused_permanent;
        self.totals.unknown += other.totals.unknown;
        self.totals.connect_failures += other.totals.connect_failures;
        for (code, count) in &other.replies {
            *self.replies.entry(*code).or_default() += count;
        }
        let _ = self.latency.add(&other.latency);
        let _ = self.latency_accepted.add(&other.latency_accepted);
        self.last = self.last.max(other.last);
        self.not_sent += other.not_sent;
        self.arrivals += other.arrivals;
        self.late += other.late;
        self.waited += other.waited;
        self.cpu += other.cpu;
    }
}

/// The figures of a latency, microseconds into milliseconds.
pub(crate) fn percentiles(latency: &Histogram<u64>) -> Percentiles {
    let at = |quantile| milliseconds(latency.value_at_quantile(quantile));
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: milliseconds(latency.max()),
    }
}

/// Points of a plot over the quantiles, dense where it matters: the tail.
pub(super) fn curve(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    const QUANTILES: &[f64] = &[
        0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99,
        0.9925, 0.995, 0.9975, 0.999, 0.99925, 0.9995, 0.99975, 0.9999, 1.0,
    ];
    if latency.is_empty() {
        return Vec::new();
    }
    let point = |&quantile| (quantile, milliseconds(latency.value_at_quantile(quantile)));
    QUANTILES.iter().map(point).collect()
}
