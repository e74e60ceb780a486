//! CPU by stage of a mail's way: where the time of a shard or of an analysis worker goes.
//!
//! A thread has one meter. What is polled by [`measured`] is measured; within it, [`enter`] says that another stage
//! begins, and its guard, dropped, that the former one goes on. A guard may live across an `await`: the meter is told
//! when the task is put aside and when it goes on, so time of other tasks is never in it. Outside of both nothing is
//! measured: that is the executor, the ring, the kernel's work for it, and what nobody named a stage for; who shows the
//! figures has it as the rest of the thread's CPU.
//!
//! The clock is the thread's CPU clock, so a busy neighbour is not in the figures. Reading it is a system call, some
//! 0.2 us: a shard measures one of [`ONE_IN`] polls, drawn, and counts what it took so many times; a worker, whose mails
//! are dear, measures all. What the reading itself takes is found out at the start and left out.
//!
//! Figures only: nothing is decided by them, and it is the only clock that a room may touch. Bound: a few words for
//! each thread; no allocation, no lock. Guards of branches that run side by side in one task (`zip`) must not overlap:
//! what is between them would be charged to the wrong one of the two, and nothing worse.

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use crossbeam::utils::CachePadded;
use rustix::time::{ClockId, clock_gettime};

/// One of so many polls of a shard is measured.
pub const ONE_IN: u64 = 16;
const _: () = assert!(ONE_IN.is_power_of_two(), "the draw is a mask");

/// A stage. Names for `sekisho status` and Prometheus are in [`Stage::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Stage::meaning says what each is, for people and for Prometheus")]
pub enum Stage {
    Session,
    Recipient,
    View,
    ScanTexts,
    ScanHeaders,
    ScanBodies,
    ScanOctets,
    ScanRest,
    Containers,
    HandOver,
    Decide,
    NextHop,
    Queue,
    Spool,
    Quarantine,
    MailLog,
    Flush,
}

impl Stage {
    /// All of them, in the order of a mail's way.
    pub const ALL: [Self; 17] = [
        Self::Session,
        Self::Recipient,
        Self::View,
        Self::ScanTexts,
        Self::ScanHeaders,
        Self::ScanBodies,
        Self::ScanOctets,
        Self::ScanRest,
        Self::Containers,
        Self::HandOver,
        Self::Decide,
        Self::NextHop,
        Self::Queue,
        Self::Spool,
        Self::Quarantine,
        Self::MailLog,
        Self::Flush,
    ];

    /// Its name in `status --json` and Prometheus.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// One sentence for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Session => ("session", "Dialogue with the client, content received, replies"),
            Self::Recipient => ("recipient", "MAIL and RCPT: tables, lists, verification"),
            Self::View => ("view", "Structure of the message and its header fields"),
            Self::ScanTexts => ("scan_texts", "Texts for the rules: decoded, rendered, normalised"),
            Self::ScanHeaders => ("scan_headers", "Rules on header fields, URIs and names"),
            Self::ScanBodies => ("scan_bodies", "Rules on rendered, raw and normalised texts"),
            Self::ScanOctets => ("scan_octets", "Rules on octets of the message and its parts"),
            Self::ScanRest => ("scan_rest", "Metas, attachments, hashes, hosts"),
            Self::Containers => ("containers", "Archives, office files and PDF opened"),
            Self::HandOver => ("hand_over", "Content handed to a worker, its findings read"),
            Self::Decide => ("decide", "Verdict, policy, reply, rewriting"),
            Self::NextHop => ("next_hop", "Given to the next hop while the client waits"),
            Self::Queue => ("queue", "Waiting mail read and given to the next hop"),
            Self::Spool => ("spool", "Made durable in the spool, settled"),
            Self::Quarantine => ("quarantine", "Held durably"),
            Self::MailLog => ("maillog", "Rows of the mail log"),
            Self::Flush => ("flush", "Records of many mails written and flushed together"),
        }
    }
}

const STAGES: usize = Stage::ALL.len();

/// What one shard or one worker took. Written by one thread, read by whoever asks.
#[derive(Debug, Default)]
pub struct Stages {
    nanos: CachePadded<[AtomicU64; STAGES]>,
    thread: AtomicU64,
    mails: AtomicU64,
}

impl Stages {
    /// Nanoseconds of CPU in `stage`; of a shard an estimate by its samples.
    #[must_use]
    pub fn nanos(&self, stage: Stage) -> u64 {
        self.nanos.get(stage as usize).map_or(0, |nanos| nanos.load(Ordering::Relaxed))
    }

    /// Nanoseconds of CPU of the whole thread, or worker process: as it said it last.
    #[must_use]
    pub fn thread_nanos(&self) -> u64 {
        self.thread.load(Ordering::Relaxed)
    }

    /// Contents that a worker has looked at.
    #[must_use]
    pub fn mails(&self) -> u64 {
        self.mails.load(Ordering::Relaxed)
    }

    /// Notes what the calling thread took since it began.
    pub fn note_thread(&self) {
        self.thread.store(now(), Ordering::Relaxed);
    }

    /// Adds what a worker says of one content.
    pub fn add(&self, spent: &Spent) {
        // A worker that read a stranger's octets may say anything; its deadline is far below this.
        let plausible = |nanos: &u64| (*nanos).min(3_600_000_000_000);
        for (sum, nanos) in self.nanos.iter().zip(&spent.stages) {
            sum.fetch_add(plausible(nanos), Ordering::Relaxed);
        }
        self.thread.fetch_add(plausible(&spent.all), Ordering::Relaxed);
        self.mails.fetch_add(1, Ordering::Relaxed);
    }

    fn charge(&self, stage: Stage, nanos: u64) {
        if let Some(sum) = self.nanos.get(stage as usize) {
            sum.fetch_add(nanos, Ordering::Relaxed);
        }
    }
}

/// What a worker took for one content, in nanoseconds: crosses its socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Spent {
    /// By stage, in the order of [`Stage::ALL`].
    pub stages: Vec<u64>,
    /// All of it since the content before, the first time since the start.
    pub all: u64,
}

/// Which polls are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// One of [`ONE_IN`]: a shard.
    Some,
    /// Each: a worker, a test.
    All,
}

struct Meter {
    /// The stage of the task at hand, measured or not; none outside of tasks that are.
    stage: Cell<Option<Stage>>,
    /// Whether this poll is measured.
    on: Cell<bool>,
    /// When the stage began, or went on.
    since: Cell<u64>,
    draws: Cell<u64>,
    sink: OnceCell<Sink>,
}

struct Sink {
    stages: Arc<Stages>,
    sampling: Sampling,
    /// Nanoseconds that one reading of the clock takes.
    reading: u64,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            stage: Cell::new(None),
            on: Cell::new(false),
            since: Cell::new(0),
            draws: Cell::new(0x9e37_79b9_7f4a_7c15),
            sink: OnceCell::new(),
        }
    };
}

impl Meter {
    /// A task goes on in `stage`.
    fn resume(&self, stage: Stage) {
        self.stage.set(Some(stage));
        if self.is_drawn() {
            self.on.set(true);
            self.since.set(now());
        }
    }

    /// The task is put aside; the stage that it is in.
    fn suspend(&self) -> Option<Stage> {
        let stage = self.stage.replace(None);
        if self.on.replace(false) {
            self.charge(stage, now());
        }
        stage
    }

    fn switch(&self, stage: Stage) -> Option<Stage> {
        let before = self.stage.get()?;
        self.stage.set(Some(stage));
        if self.on.get() {
            let now = now();
            self.charge(Some(before), now);
            self.since.set(now);
        }
        Some(before)
    }

    fn charge(&self, stage: Option<Stage>, now: u64) {
        if let (Some(stage), Some(sink)) = (stage, self.sink.get()) {
            let nanos = now.saturating_sub(self.since.get()).saturating_sub(sink.reading);
            let times = match sink.sampling {
                Sampling::Some => ONE_IN,
                Sampling::All => 1,
            };
            sink.stages.charge(stage, nanos.saturating_mul(times));
        }
    }

    /// Drawn, not every so many: polls of one mail come in a fixed order, and would be measured in step with it.
    fn is_drawn(&self) -> bool {
        let Some(sink) = self.sink.get() else { return false };
        match sink.sampling {
            Sampling::All => true,
            Sampling::Some => {
                let mut draw = self.draws.get();
                draw ^= draw << 13;
                draw ^= draw >> 7;
                draw ^= draw << 17;
                self.draws.set(draw);
                (draw >> 32) & (ONE_IN - 1) == 0
            }
        }
    }
}

/// The calling thread's CPU clock, nanoseconds.
fn now() -> u64 {
    nanos_of(ClockId::ThreadCPUTime)
}

fn nanos_of(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// What this process took since it began, all its threads, microseconds.
#[must_use]
pub fn process_micros() -> u64 {
    nanos_of(ClockId::ProcessCPUTime) / 1000
}

/// The calling thread measures from now on, into `stages`. The first call counts.
pub fn register(stages: Arc<Stages>, sampling: Sampling) {
    const READINGS: u64 = 200;
    let begun = now();
    let last = (0..READINGS).fold(begun, |_, _| now());
    let reading = last.saturating_sub(begun) / READINGS;
    METER.with(|meter| {
        meter.sink.get_or_init(|| Sink { stages, sampling, reading });
    });
}

/// Another stage of the task at hand, until the guard is dropped. Nothing outside of [`measured`].
#[must_use = "the stage ends when the guard is dropped"]
pub fn enter(stage: Stage) -> Entered {
    Entered { before: METER.with(|meter| meter.switch(stage)), stage }
}

/// A stage under way.
#[derive(Debug)]
pub struct Entered {
    before: Option<Stage>,
    stage: Stage,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some(before) = self.before else { return };
        METER.with(|meter| {
            // Else its task was given up, and another one's stage, or none, is under way.
            if meter.stage.get() == Some(self.stage) {
                meter.switch(before);
            }
        });
    }
}

/// `work`, measured: by what it enters, all else as `stage`.
pub fn measured<F: Future + Unpin>(stage: Stage, work: F) -> Measured<F> {
    Measured { stage, work }
}

/// See [`measured`].
#[derive(Debug)]
pub struct Measured<F> {
    /// What goes on with the next poll.
    stage: Stage,
    work: F,
}

impl<F: Future + Unpin> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        METER.with(|meter| meter.resume(self.stage));
        let polled = Pin::new(&mut self.work).poll(context);
        if let Some(stage) = METER.with(Meter::suspend) {
            self.stage = stage;
        }
        polled
    }
}

/// `work` at one go, measured like [`measured`].
pub fn measured_now<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    METER.with(|meter| meter.resume(stage));
    let done = work();
    METER.with(Meter::suspend);
    done
}

/// What the calling thread took since the last call, for who has no memory in common with it.
#[derive(Debug)]
pub struct Spending {
    stages: Arc<Stages>,
    last: Spent,
}

impl Spending {
    /// Registers the calling thread, whose every poll is measured.
    #[must_use]
    pub fn begin() -> Self {
        let stages = Arc::new(Stages::default());
        register(Arc::clone(&stages), Sampling::All);
        Self { stages, last: Spent { stages: vec![0; STAGES], all: 0 } }
    }

    /// What came to it since the last call.
    pub fn take(&mut self) -> Spent {
        let sum = Spent {
            stages: Stage::ALL.iter().map(|stage| self.stages.nanos(*stage)).collect(),
            all: now(),
        };
        let before = std::mem::replace(&mut self.last, sum);
        let pairs = self.last.stages.iter().zip(&before.stages);
        Spent {
            stages: pairs.map(|(after, before)| after.saturating_sub(*before)).collect(),
            all: self.last.all.saturating_sub(before.all),
        }
    }
}

#[cfg(test)]
mod tests;
