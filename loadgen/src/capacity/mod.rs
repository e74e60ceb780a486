//! The capacity sheet: engines started one after the other, each with one more part switched on, and what each can.
//!
//! Every row of the plan (`plan`) is an engine of its own on a scratch directory (`stand`), pinned to the engine's cores;
//! the generator and one sink for all rows run on the others. A row is measured four ways: a closed loop for CPU by
//! stage, to the last delivery; a ramp for the knee; an open loop at four fifths of the knee for latency; and the
//! ledgers of both ends for conservation. CPU is that of the engine's process, all threads, and its workers.
//!
//! It does **not** compare with other servers (`bench/peers` does), and it needs the programs `sekisho` and
//! `sekisho-engine`. Bounds: times and steps of [`Depth`]; an engine has three minutes to start; what waits after a
//! load has one to be delivered, and is counted as held after that.

mod plan;
mod stand;

pub use plan::{Depth, Part, Rules, rows};

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::thread::{CpuSet, sched_getaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::conservation::{Elsewhere, SentLedger, holds};
use crate::engine::{self, SETTLED};
use crate::mix::Mix;
use crate::ramp::{self, RampOptions};
use crate::report::RunReport;
use crate::report::sheet::{BeyondKnee, Row, Sheet};
use crate::send::{self, Pace, SendOptions, Spread, machine};
use crate::sink::{Service, Sink, SinkOptions};
use stand::Stand;

/// Mail that waits is delivered within this after a load.
const SETTLE: Duration = Duration::from_secs(60);
/// Sessions of the closed loop.
const SESSIONS: usize = 16;
/// Mails before anything is measured: clients become known, caches warm.
const WARM_UP: u64 = 200;
/// Of the knee, so much is sent while latency is measured.
const OF_KNEE: f64 = 0.8;
/// The generator and its sink together may take so much of their cores.
const BUSY_MAX: f64 = 0.9;

/// What is measured, and with what.
#[derive(Clone, Debug)]
pub struct CapacityOptions {
    /// Where `sekisho` and `sekisho-engine` are.
    pub programs: PathBuf,
    /// An empty directory, or one to be made; everything in it is of this run.
    pub scratch: PathBuf,
    /// Cores of the engine, all its threads and workers.
    pub engine_cores: Vec<usize>,
    /// Cores of generator and sink.
    pub generator_cores: Vec<usize>,
    /// Rules of `SpamAssassin`.
    pub spamassassin: Option<PathBuf>,
    /// How long and how thoroughly.
    pub depth: Depth,
    /// Only these rows, by the beginning of their names; empty: all.
    pub only: Vec<String>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Say on standard error what is under way.
    pub progress: bool,
}

/// Measures the whole plan.
///
/// # Errors
/// The programs are missing, an engine does not start, a ledger cannot be read: what was measured before it is lost.
pub fn run(options: &CapacityOptions) -> io::Result<Sheet> {
    let begun = Instant::now();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    std::fs::create_dir_all(&options.scratch)?;
    let load_before = load();
    // Before this thread is pinned: it would see its own cores only.
    let machine = machine();
    stand::pin(&options.generator_cores)?;
    let plan = rows(options);
    if plan.is_empty() {
        return Err(io::Error::other("no row of the plan has such a name"));
    }
    let sink = sink(options)?;
    let mut sheet = Sheet {
        started_unix: started.as_secs(),
        command: std::env::args().collect(),
        plan: options.depth.name.to_owned(),
        machine,
        programs: stand::programs(&options.programs)?,
        engine_cores: options.engine_cores.clone(),
        generator_cores: options.generator_cores.clone(),
        disk: stand::disk(&options.scratch)?,
        load_before,
        ..Sheet::default()
    };
    let count = plan.len();
    for (number, part) in plan.iter().enumerate() {
        let tell = |what: &str| {
            if options.progress {
                let seconds = begun.elapsed().as_secs();
                let _ = writeln!(
                    io::stderr(),
                    "{seconds:>5} s  [{}/{count}] {}: {what}",
                    number + 1,
                    part.name
                );
            }
        };
        let bench = Bench { options, sink: &sink, part, number: number as u64, tell: &tell };
        let row = match part.rules {
            None => bench.without_engine(),
            Some(_) => bench.with_engine(&mut sheet.machine.engine),
        };
        let row = row.map_err(|error| io::Error::other(format!("{}: {error}", part.name)))?;
        sheet.rows.push(row);
    }
    sheet.seconds = begun.elapsed().as_secs_f64();
    sheet.compare();
    Ok(sheet)
}

/// One sink for all rows: routes of tables that are kept lead to it.
fn sink(options: &CapacityOptions) -> io::Result<Sink> {
    let sink_options = SinkOptions::default();
    let threads = options.generator_cores.len().div_ceil(2).max(1);
    let sink = Sink::serve(sink_options, Service { threads, ..Service::default() })?;
    sink.keep_ledger(&options.scratch.join("sink.ledger"))?;
    Ok(sink)
}

/// One row under way.
struct Bench<'b> {
    options: &'b CapacityOptions,
    sink: &'b Sink,
    part: &'b Part,
    number: u64,
    tell: &'b dyn Fn(&str),
}

/// Which of the loads of a row: each has a seed of its own, or ids would come twice.
#[derive(Clone, Copy)]
enum Load {
    WarmUp,
    Closed,
    Open,
    /// And one more for each step.
    Ramp,
}

impl Bench<'_> {
    fn sending(&self, server: SocketAddr, load: Load) -> SendOptions {
        SendOptions {
            server,
            sessions: SESSIONS,
            mails: u64::MAX,
            to: vec![format!("user@{}", stand::DOMAIN)],
            threads: self.options.generator_cores.len().div_ceil(2).max(1),
            seed: self.options.seed.wrapping_add(self.number * 1000 + load as u64 * 100),
            timeout: Duration::from_secs(60),
            ledger: Some(self.ledger()),
            mix: self.part.mix.to_owned(),
            ..SendOptions::default()
        }
    }

    fn ledger(&self) -> PathBuf {
        self.options.scratch.join(format!("sent-{}.ledger", self.number))
    }

    fn mix(&self) -> io::Result<Mix> {
        Mix::named(self.part.mix, self.options.seed).map_err(io::Error::other)
    }

    fn closed(&self, server: SocketAddr) -> io::Result<RunReport> {
        let warm_up = SendOptions { mails: self.warm_up(), ..self.sending(server, Load::WarmUp) };
        send::run(warm_up, self.mix()?)?;
        let depth = &self.options.depth;
        let sending = self.sending(server, Load::Closed);
        let sending =
            SendOptions { seconds: Some(depth.closed), mails: depth.mails_max, ..sending };
        send::run(sending, self.mix()?)
    }

    fn warm_up(&self) -> u64 {
        WARM_UP.min(self.options.depth.mails_max)
    }

    /// Generator and sink, nothing between them: what no engine can be faster than here.
    fn without_engine(&self) -> io::Result<Row> {
        (self.tell)("closed loop");
        let busy = Busy::begin();
        let closed = self.closed(self.sink.address())?;
        let mut row = self.row(&closed);
        row.limited.extend(busy.end("closed loop", &self.options.generator_cores));
        self.rates(self.sink.address(), &closed, &mut row)?;
        self.account(0, &mut row)?;
        Ok(row)
    }

    fn with_engine(&self, version: &mut Option<String>) -> io::Result<Row> {
        (self.tell)("tables");
        let stand = Stand::start(self.options, self.part, self.sink.address(), self.tell)?;
        let engine = stand.engine();
        (self.tell)("closed loop, CPU by stage");
        send::run(
            SendOptions { mails: self.warm_up(), ..self.sending(stand.smtp(), Load::WarmUp) },
            self.mix()?,
        )?;
        self.settle(&stand)?;
        thread::sleep(SETTLED);
        let before = (engine.status()?, engine.usage());
        let depth = &self.options.depth;
        let busy = Busy::begin();
        let sending = SendOptions {
            seconds: Some(depth.closed),
            mails: depth.mails_max,
            ..self.sending(stand.smtp(), Load::Closed)
        };
        let closed = send::run(sending, self.mix()?)?;
        let mut row = self.row(&closed);
        row.limited.extend(busy.end("closed loop", &self.options.generator_cores));
        // CPU to the last delivery, not to the last answer: a queue would hide it.
        self.settle(&stand)?;
        thread::sleep(SETTLED);
        let after = (engine.status()?, engine.usage());
        cpu(&mut row, &before, &after);
        *version = Some(after.0.version().to_owned());
        self.rates(stand.smtp(), &closed, &mut row)?;
        row.rss_mib = engine.usage().map(|usage| usage.rss_kib / 1024);
        let waiting = self.settle(&stand)?;
        let end = engine.status()?;
        row.waiting = waiting;
        self.account(end.figure("recipients_held") + waiting, &mut row)?;
        (self.tell)("stopping");
        stand.stop()?;
        Ok(row)
    }

    fn row(&self, closed: &RunReport) -> Row {
        let machine_limit = closed.generator.limited.iter();
        let mut row = Row {
            name: self.part.name.to_owned(),
            base: self.part.base.map(str::to_owned),
            what: self.part.what.to_owned(),
            mix: self.part.mix.to_owned(),
            mode: self.part.mode.map(str::to_owned),
            mails: closed.totals.accepted,
            closed_per_second: closed.mails_per_second,
            generator_cpu_ms: closed.generator.cpu_ms_per_mail,
            limited: machine_limit.map(|why| format!("closed loop: {why}")).collect(),
            ..Row::default()
        };
        row.note_replies(&closed.replies, &closed.first_refusal);
        row
    }

    /// The knee, and latency below it.
    fn rates(&self, server: SocketAddr, closed: &RunReport, row: &mut Row) -> io::Result<()> {
        let depth = &self.options.depth;
        let Some(step) = depth.step else { return Ok(()) };
        (self.tell)("ramp to the knee");
        let busy = Busy::begin();
        let options = RampOptions {
            send: SendOptions { sessions: 200, ..self.sending(server, Load::Ramp) },
            from_rate: (closed.mails_per_second * 0.5).max(5.0),
            rate_max: 100_000.0,
            step,
            steps: depth.steps,
            p99_ms_max: Some(1000.0),
            spread: Spread::Poisson,
            precision: depth.precision,
        };
        let ramp = ramp::run(
            &options,
            || self.mix(),
            |step| {
                (self.tell)(&format!("{:.0} mails/s", step.rate));
            },
        )?;
        row.knee = Some(ramp.knee).filter(|knee| *knee > 0.0);
        row.knee_ended.clone_from(&ramp.ended);
        // The search goes beyond the knee on purpose. What the generator found there, all sessions busy, is the
        // engine's doing, unless the generator had no time left itself.
        let failed = ramp.steps.iter().filter_map(|step| Some((step.rate, step.failed.clone()?)));
        let lowest = failed.min_by(|(rate, _), (other, _)| rate.total_cmp(other));
        row.beyond_knee = lowest.map(|(rate, why)| BeyondKnee { rate, why });
        let by_generator = ramp.steps.last().filter(|_| ramp.by_generator);
        row.limited.extend(by_generator.map(|step| {
            let why = step.limited.as_deref().unwrap_or("its threads were busy");
            format!("knee: {why}")
        }));
        row.limited.extend(busy.end("knee", &self.options.generator_cores));
        let Some(knee) = row.knee else { return Ok(()) };
        let rate = knee * OF_KNEE;
        (self.tell)(&format!("latency at {rate:.0} mails/s"));
        let sending = SendOptions {
            pace: Pace::Open { per_second: rate, spread: Spread::Poisson },
            sessions: 200,
            seconds: Some(depth.open),
            ..self.sending(server, Load::Open)
        };
        let open = send::run(sending, self.mix()?)?;
        row.rate = Some(rate);
        row.latency_ms = Some(open.latency_ms.clone());
        row.latency_curve.clone_from(&open.latency_curve);
        row.latency_mails = open.replies.values().sum();
        row.note_replies(&open.replies, &open.first_refusal);
        row.limited.extend(open.generator.limited.map(|why| format!("latency: {why}")));
        Ok(())
    }

    /// Waits until nothing waits; how much still does when the time is up.
    fn settle(&self, stand: &Stand) -> io::Result<u64> {
        let end = Instant::now() + SETTLE;
        loop {
            // A gauge that is told once a second.
            thread::sleep(SETTLED);
            let waiting = stand.engine().status()?.figure("queue_mails");
            if waiting == 0 || Instant::now() > end {
                return Ok(waiting);
            }
            (self.tell)(&format!("{waiting} mails still wait"));
        }
    }

    fn account(&self, held: u64, row: &mut Row) -> io::Result<()> {
        let sent = SentLedger::read(&self.ledger())?;
        let received = self.options.scratch.join("sink.ledger");
        let found = sent.account(&received, &Elsewhere { held, ..Elsewhere::default() })?;
        if !holds(&found) || found.sum() != found.sent {
            row.failed = Some(crate::conservation::words(&found));
        }
        row.conservation = Some(found);
        Ok(())
    }
}

/// An engine at one moment, as it says itself and as the kernel does.
type Moment = (engine::Status, Option<engine::Usage>);

/// CPU of the engine between two moments, by stage and as a whole.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn cpu(row: &mut Row, before: &Moment, after: &Moment) {
    row.stages = engine::stages(&before.0, &after.0);
    let between = |name: &str| after.0.figure(name).saturating_sub(before.0.figure(name));
    row.on_worker = between("scans_on_worker");
    let mails = between("messages_received");
    let micros = before.0.cpu_micros().zip(after.0.cpu_micros()).map(|(b, a)| a.saturating_sub(b));
    let micros = micros.filter(|micros| mails > 0 && *micros > 0);
    row.cpu_ms = micros.map(|micros| micros as f64 / 1000.0 / mails as f64);
    let ticks = before.1.zip(after.1).map(|(b, a)| a.cpu_ms.saturating_sub(b.cpu_ms));
    row.kernel_cpu_ms = ticks.filter(|_| mails > 0).map(|ms| ms as f64 / mails as f64);
}

/// CPU of this process: generator and sink.
struct Busy {
    begun: Instant,
    cpu: Duration,
}

impl Busy {
    fn begin() -> Self {
        Self { begun: Instant::now(), cpu: process_cpu() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    fn end(&self, what: &str, cores: &[usize]) -> Option<String> {
        let cpu = process_cpu().saturating_sub(self.cpu).as_secs_f64();
        let share = cpu / self.begun.elapsed().as_secs_f64().max(1e-6) / cores.len().max(1) as f64;
        let percent = share * 100.0;
        (share > BUSY_MAX)
            .then(|| format!("{what}: generator and sink took {percent:.0} % of their cores"))
    }
}

/// Load average of the last minute.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Cores that this process may use.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Removes what a run left in its scratch directory; the directory too.
///
/// # Errors
/// Those of the file system.
pub fn clean_up(scratch: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(scratch)
}
