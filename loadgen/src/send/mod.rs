//! The sending end: mails in a closed or an open loop, and what came of them.
//!
//! A **closed loop** sends the next mail when the last one was answered. It hides waiting when the
//! server is overloaded (a slow server gets fewer mails), so its latencies are good for comparing
//! two builds and for nothing else. An **open loop** sends by the clock, whatever the server does,
//! and counts latency from the moment at which a mail was due: a stall of the server, or of the
//! generator, is in the figures of every mail that it made wait.
//!
//! Event-driven: each worker thread has one io_uring and a fixed number of sessions, which are
//! state machines (`session.rs`); there is no thread for a session. A mail costs no allocation for
//! a command, and its content is shared with all others of its template.
//!
//! What it does **not** do: authentication; several servers; other addresses than loopback, unless
//! told so (the program asks). Bounds: `sessions` sockets, 4 KiB each; one million mails that wait for
//! a session; reply lines of 64 KiB.

mod arrivals;
mod machine;
mod options;
mod progress;
mod reply;
mod ring;
mod session;
mod tally;
#[cfg(test)]
mod tests;
mod tls;
mod worker;

pub use machine::machine;
pub use options::{Encryption, Pace, Progress, SendOptions, Spread};
pub(crate) use reply::{Code, Inbox, Offers};
pub(crate) use tally::{histogram, percentiles, thread_cpu};

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::ClientConfig;

use crate::engine::{Engine, Watch};
use crate::mix::Mix;
use crate::report::{Generator, RunReport};
use options::ForwardPath;
use progress::Display;
use tally::{Series, Tally};

/// A worker that is busy for more than this part of the time limits the run.
pub(crate) const BUSY_MAX: f64 = 0.9;
/// Arrivals that could not be started in time, of 100, before that limits the run.
const LATE_PERCENT: u64 = 1;

/// What all workers share.
struct Shared {
    options: SendOptions,
    to: Vec<ForwardPath>,
    needs_smtputf8: bool,
    mix: Mix,
    /// Workers that have all that they need, and this thread: then time begins.
    ready: Barrier,
    started: OnceLock<Instant>,
    next: AtomicU64,
    first_refusal: OnceLock<String>,
    ledger: Option<Mutex<File>>,
    series: Arc<Mutex<Series>>,
    tls: Option<Arc<ClientConfig>>,
}

impl Shared {
    /// When it began: the first time that somebody asks.
    fn start(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }

    /// When it ends, if a time ends it.
    fn stop_at(&self) -> Option<Instant> {
        self.options.seconds.map(|seconds| self.start() + seconds)
    }
}

/// Sends all mails and waits for the end.
///
/// # Errors
/// An option is out of its bounds (`InvalidInput`), the ledger cannot be made, no thread or no
/// ring can be started.
pub fn run(options: SendOptions, mix: Mix) -> io::Result<RunReport> {
    let shared = Arc::new(prepare(options, mix)?);
    let options = &shared.options;
    let watched = match &options.engine {
        Some(data) => Some(Engine::of(data).map_err(|error| {
            let text = format!("engine of {}: {error}", data.display());
            io::Error::new(error.kind(), text)
        })?),
        None => None,
    };
    let (tell, told) = mpsc::channel();
    for index in 0..options.threads {
        let (for_worker, tell) = (Arc::clone(&shared), tell.clone());
        thread::Builder::new().name(format!("send-{index}")).spawn(move || {
            let result = worker::Worker::new(for_worker, index).and_then(worker::Worker::run);
            // Whoever asked is gone only if another worker failed.
            let _ = tell.send(result);
        })?;
    }
    drop(tell);
    // Memory for thousands of sessions takes a while: arrivals that fell due meanwhile would come as a burst.
    shared.ready.wait();
    let mut watch = watched.map(|engine| Watch::begin(engine, shared.start()));
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut display = Display::new(options);
    let mut tallies = Vec::with_capacity(options.threads);
    while tallies.len() < options.threads {
        match told.recv_timeout(Duration::from_secs(1)) {
            Ok(tally) => tallies.push(tally?),
            Err(RecvTimeoutError::Timeout) => {
                let series = shared.series.lock().unwrap_or_else(PoisonError::into_inner);
                display.show(shared.start().elapsed(), &series);
                drop(series);
                if let Some(watch) = &mut watch {
                    watch.sample();
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("a worker ended without its figures"));
            }
        }
    }
    display.clear();
    let mut report = report(&shared, &tallies);
    report.started_unix = started.as_secs();
    if let Some(watch) = watch {
        (report.stages, report.machine.engine) = watch.end(&mut report.series);
    }
    Ok(report)
}

fn prepare(mut options: SendOptions, mix: Mix) -> io::Result<Shared> {
    let invalid = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text.to_owned()));
    if let Pace::Open { per_second, .. } = options.pace
        && !(per_second.is_finite() && per_second > 0.0)
    {
        return invalid("the rate must be above 0");
    }
    if options.mails == u64::MAX && options.seconds.is_none() {
        return invalid("neither a number of mails nor a time ends the run");
    }
    if options.to.is_empty() || options.recipients == 0 {
        return invalid("a mail needs a recipient");
    }
    options.sessions = options.sessions.max(1);
    // A thread without a session would have nothing to do.
    options.threads = options.threads.clamp(1, options.sessions);
    let ledger = match &options.ledger {
        Some(path) => Some(Mutex::new(File::options().create(true).append(true).open(path)?)),
        None => None,
    };
    let tls = if options.encryption == Encryption::None { None } else { Some(tls::config()?) };
    let is_ascii = options.from.is_ascii() && options.to.iter().all(|to| to.is_ascii());
    Ok(Shared {
        to: options.to.iter().map(|to| ForwardPath::new(to)).collect(),
        needs_smtputf8: !is_ascii,
        mix,
        ready: Barrier::new(options.threads + 1),
        started: OnceLock::new(),
        next: AtomicU64::new(0),
        first_refusal: OnceLock::new(),
        ledger,
        series: Arc::default(),
        tls,
        options,
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn report(shared: &Shared, tallies: &[Tally]) -> RunReport {
    let mut all = Tally::new(shared.start(), Arc::default());
    for tally in tallies {
        all.add(tally);
    }
    let seconds = if all.last > shared.start() {
        all.last - shared.start()
    } else {
        shared.start().elapsed()
    };
    let seconds = seconds.as_secs_f64();
    let answered =
        all.totals.accepted + all.totals.refused_temporary + all.totals.refused_permanent;
    let series = std::mem::take(&mut *shared.series.lock().unwrap_or_else(PoisonError::into_inner));
    let cpu_ms = all.cpu.as_secs_f64() * 1000.0;
    RunReport {
        title: shared.options.title(),
        command: std::env::args().collect(),
        machine: machine(),
        load: shared.options.plan(),
        seconds,
        mails_per_second: if seconds > 0.0 { all.totals.accepted as f64 / seconds } else { 0.0 },
        totals: all.totals.clone(),
        first_refusal: shared.first_refusal.get().cloned().unwrap_or_default(),
        latency_ms: percentiles(&all.latency),
        latency_accepted_ms: percentiles(&all.latency_accepted),
        latency_curve: tally::curve(&all.latency),
        series: series.into_seconds(),
        replies: all.replies.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
        generator: Generator {
            cpu_ms_per_mail: if answered > 0 { cpu_ms / answered as f64 } else { 0.0 },
            threads: shared.options.threads,
            limited: limited(shared, tallies, &all),
        },
        ..RunReport::default()
    }
}

/// Why this run measures the generator and not the server; none if it does not.
fn limited(shared: &Shared, tallies: &[Tally], all: &Tally) -> Option<String> {
    let busy = tallies
        .iter()
        .map(|tally| tally.cpu.as_secs_f64() / tally.ran.as_secs_f64().max(1e-6))
        .fold(0.0, f64::max);
    let arrivals = all.arrivals;
    let is_many = |count: u64| count.saturating_mul(100) > arrivals * LATE_PERCENT;
    let mut reasons = Vec::new();
    if busy > BUSY_MAX {
        reasons.push(format!("a worker thread was busy {:.0} % of the time", busy * 100.0));
    }
    if is_many(all.late) {
        reasons.push(format!("{} of {arrivals} arrivals began over 10 ms late", all.late));
    }
    if is_many(all.waited) {
        let sessions = shared.options.sessions;
        let waited = all.waited;
        reasons.push(format!("{waited} of {arrivals} arrivals found all {sessions} sessions busy"));
    }
    if all.not_sent > 0 && arrivals > 0 {
        reasons.push(format!("{} of {arrivals} arrivals were not sent", all.not_sent));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
