//! One scanner: its queue, its threads, and whether it is asked at all.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::error::ScannerError;
use super::report::{Answer, Report};
use super::wire::now;
use super::{clamd, icap};
use crate::config::{Scanner, ScannerKind};
use crate::content::Content;

/// Mails that wait for a thread, for each thread.
const WAITING_EACH: usize = 16;
/// Failures in a row after which a scanner is left alone ...
pub(super) const FAILURES_MAX: u32 = 5;
/// ... for this long at first, doubled with each failure after that, up to the second one.
const REST_MILLIS: u64 = 5_000;
const REST_MILLIS_MAX: u64 = 60_000;
/// How often a scanner is asked what it calls itself: its signatures change.
const VERSION_MILLIS: u64 = 600_000;

/// Whether a scanner works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody asked it yet.
    Unknown,
    /// Its last answer was one.
    Up,
    /// Its last answer was none.
    Failing,
    /// It is left alone for some seconds.
    Resting,
}

impl State {
    /// As it stands in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Resting => "resting",
        }
    }
}

/// What a scanner did since the start, or since its table changed.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its name.
    pub name: Box<str>,
    /// Where it is.
    pub address: Box<str>,
    /// What it calls itself; empty if it did not say.
    pub version: Box<str>,
    /// Whether it works.
    pub state: State,
    /// Mails it was asked about.
    pub asked: u64,
    /// Mails it found malware in.
    pub found: u64,
    /// Mails it did not look at, those while it was left alone included.
    pub failed: u64,
    /// Mails that were too large for it.
    pub too_large: u64,
    /// Time from question to answer, all together, microseconds.
    pub micros: u64,
}

#[derive(Debug)]
struct Request {
    content: Content,
    begun: Instant,
    until: Instant,
    answer: flume::Sender<Answer>,
}

/// The queue of one scanner.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    requests: Sender<Request>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    scanner: Scanner,
    started: Instant,
    breaker: Breaker,
    version: ArcSwap<Box<str>>,
    /// When it is to be asked for the next time, milliseconds since `started`.
    version_due: AtomicU64,
    asked: AtomicU64,
    found: AtomicU64,
    failed: AtomicU64,
    too_large: AtomicU64,
    micros: AtomicU64,
}

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Asked {
    shared: Arc<Shared>,
    begun: Instant,
    answer: Result<flume::Receiver<Answer>, Answer>,
}

impl Lane {
    pub(super) fn start(scanner: &Scanner) -> io::Result<Self> {
        let threads = usize::from(scanner.connections_max.max(1));
        let (requests, queue) = bounded(threads.saturating_mul(WAITING_EACH));
        let shared = Arc::new(Shared {
            scanner: scanner.clone(),
            started: now(),
            breaker: Breaker::default(),
            version: ArcSwap::from_pointee("".into()),
            version_due: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            found: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        });
        for number in 0..threads {
            let (queue, shared) = (queue.clone(), Arc::clone(&shared));
            let name = format!("engine-{number}");
            std::thread::Builder::new().name(name).spawn(move || serve(&queue, &shared))?;
        }
        Ok(Self { requests, shared })
    }

    /// Puts a mail into the queue; never waits.
    pub(super) fn ask(&self, content: &Content) -> Asked {
        let (shared, begun) = (Arc::clone(&self.shared), now());
        let answer = self.try_ask(content, begun);
        if let Err(answer) = &answer {
            shared.note(answer, Duration::ZERO);
        }
        Asked { shared, begun, answer }
    }

    fn try_ask(
        &self,
        content: &Content,
        begun: Instant,
    ) -> Result<flume::Receiver<Answer>, Answer> {
        let shared = &self.shared;
        if content.bytes() > shared.scanner.message_bytes_max {
            return Err(Answer::TooLarge);
        }
        if !shared.breaker.lets_in(shared.millis()) {
            return Err(Answer::Failed(ScannerError::Resting));
        }
        let (answer, receiver) = flume::bounded(1);
        let until = begun + Duration::from_millis(shared.scanner.timeout_ms);
        let request = Request { content: content.clone(), begun, until, answer };
        match self.requests.try_send(request) {
            Ok(()) => Ok(receiver),
            Err(error) => {
                shared.breaker.left();
                Err(Answer::Failed(match error {
                    TrySendError::Full(_) => ScannerError::QueueFull,
                    TrySendError::Disconnected(_) => ScannerError::Ended,
                }))
            }
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let shared = &*self.shared;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let asked = read(&shared.asked);
        Figures {
            name: shared.scanner.name.clone(),
            address: shared.scanner.address.to_string().into(),
            version: (**shared.version.load()).clone(),
            state: match shared.breaker.failures.load(Ordering::Relaxed) {
                0 if asked == 0 => State::Unknown,
                0 => State::Up,
                failures if failures < FAILURES_MAX => State::Failing,
                _ => State::Resting,
            },
            asked,
            found: read(&shared.found),
            failed: read(&shared.failed),
            too_large: read(&shared.too_large),
            micros: read(&shared.micros),
        }
    }
}

impl Asked {
    /// Waits for the answer.
    pub(super) async fn answer(self) -> Report {
        let Self { shared, begun, answer } = self;
        let answer = match answer {
            // A thread that ends lets go of the question: nobody waits for ever.
            Ok(receiver) => {
                let ended = |_| Answer::Failed(ScannerError::Ended);
                receiver.recv_async().await.unwrap_or_else(ended)
            }
            Err(answer) => answer,
        };
        Report {
            scanner: shared.scanner.name.clone(),
            on_error: shared.scanner.on_error,
            answer,
            micros: micros(begun.elapsed()),
        }
    }
}

impl Shared {
    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn note(&self, answer: &Answer, took: Duration) {
        let count = |of: &AtomicU64| of.fetch_add(1, Ordering::Relaxed);
        count(&self.asked);
        self.micros.fetch_add(micros(took), Ordering::Relaxed);
        match answer {
            Answer::Clean => {}
            Answer::Found(_) => {
                count(&self.found);
            }
            Answer::TooLarge => {
                count(&self.too_large);
            }
            // Said when it happened five times; not again for each mail of a busy box, which the alarm stands for.
            Answer::Failed(ScannerError::Resting | ScannerError::QueueFull) => {
                count(&self.failed);
            }
            Answer::Failed(error) => {
                count(&self.failed);
                let scanner = &self.scanner.name;
                tracing::warn!(%scanner, %error, "a scanner did not look at a mail");
            }
        }
    }

    /// One mail.
    fn work(&self, request: &Request, kept: &mut Option<icap::Session>) -> Answer {
        if now() >= request.until {
            return Answer::Failed(ScannerError::Late);
        }
        let (scanner, content, until) = (&self.scanner, &request.content, request.until);
        let looked = catch_unwind(AssertUnwindSafe(|| match scanner.kind {
            ScannerKind::Clamd => clamd::scan(&scanner.address, content, until),
            ScannerKind::Icap => icap::scan(scanner, content, until, kept),
        }));
        match looked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Failed(error),
            Err(_) => {
                *kept = None;
                Answer::Failed(ScannerError::protocol("a defect of ours in reading its answer"))
            }
        }
    }

    /// Asks what it calls itself, now and then, after a mail that it looked at.
    fn ask_version(&self, kept: Option<&icap::Session>) {
        let (millis, due) = (self.millis(), self.version_due.load(Ordering::Relaxed));
        let next = millis.saturating_add(VERSION_MILLIS);
        let order = Ordering::Relaxed;
        if millis < due || self.version_due.compare_exchange(due, next, order, order).is_err() {
            return;
        }
        let version = match self.scanner.kind {
            ScannerKind::Clamd => {
                let until = now() + Duration::from_millis(self.scanner.timeout_ms.min(2_000));
                clamd::version(&self.scanner.address, until).unwrap_or_default()
            }
            ScannerKind::Icap => kept.map(|kept| kept.version().into()).unwrap_or_default(),
        };
        self.version.store(Arc::new(version));
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn serve(queue: &Receiver<Request>, shared: &Shared) {
    let mut kept: Option<icap::Session> = None;
    while let Ok(request) = queue.recv() {
        // Nobody waits for it any more.
        if request.answer.is_disconnected() {
            shared.breaker.left();
            continue;
        }
        let answer = shared.work(&request, &mut kept);
        match &answer {
            // The mail's file, or our own backlog: nothing that the scanner did.
            Answer::Failed(ScannerError::Content(_)) => shared.breaker.left(),
            Answer::Failed(_) => shared.breaker.failed(shared.millis()),
            Answer::Clean | Answer::Found(_) | Answer::TooLarge => shared.breaker.worked(),
        }
        shared.note(&answer, request.begun.elapsed());
        let worked = !matches!(answer, Answer::Failed(_));
        let _ = request.answer.try_send(answer);
        if worked {
            shared.ask_version(kept.as_ref());
        }
    }
}

/// Leaves a scanner alone that fails again and again: each mail would wait for its whole time limit.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    /// Until when it is left alone, milliseconds.
    rests_until: AtomicU64,
    /// One mail tries whether it is back.
    trying: AtomicBool,
}

impl Breaker {
    /// Whether a mail may go to it now.
    pub(super) fn lets_in(&self, millis: u64) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES_MAX {
            return true;
        }
        millis >= self.rests_until.load(Ordering::Relaxed)
            && !self.trying.swap(true, Ordering::Relaxed)
    }

    pub(super) fn worked(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.trying.store(false, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, millis: u64) {
        let failures = self.failures.load(Ordering::Relaxed).saturating_add(1);
        let over = failures.saturating_sub(FAILURES_MAX).min(8);
        let rest = (REST_MILLIS << over).min(REST_MILLIS_MAX);
        self.rests_until.store(millis.saturating_add(rest), Ordering::Relaxed);
        self.failures.store(failures, Ordering::Relaxed);
        self.trying.store(false, Ordering::Relaxed);
    }

    /// A mail that was let in did not reach it.
    pub(super) fn left(&self) {
        self.trying.store(false, Ordering::Relaxed);
    }
}
