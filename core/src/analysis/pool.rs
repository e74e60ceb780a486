//! The engine's side: a bounded queue, and one thread for each worker process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::account::Account;
use super::deaths::{DEATHS_MAX, Deaths, End, hash_of};
use super::wire::{Answer, Request, lay_out, receive_answer, send_request};
use super::worker::WorkerArguments;
use super::{AnalysisError, Asked, Cleaning, Examination, WORKER_ARGUMENT, now};
use crate::classify::Reading;
use crate::content::Content;
use crate::scan::content::Expression;
use crate::scan::finding::{Finding, FindingKind};
use crate::stages::Stages;

/// Requests after which a worker is replaced, so that leaks and fragmentation have an end.
const REQUESTS_PER_WORKER_MAX: u32 = 5_000;

/// Failures in a row (deaths, failed starts) that cost no pause: one bad content has two.
const FAILURES_FREE: u32 = 2;
/// How often an idle worker is looked at.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// First pause after more of them; doubled each time, so that a loop of crashes is not one of forks.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How workers are run.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The program that calls [`super::worker_main`]; the engine itself.
    pub program: PathBuf,
    /// Arguments before the worker's own; [`WORKER_ARGUMENT`] for the engine.
    pub arguments: Vec<std::ffi::OsString>,
    /// Worker processes.
    pub workers: usize,
    /// Contents that may wait.
    pub queue_max: usize,
    /// Longest time for one content from its hand-over to its last octet of answer, and, by itself, for
    /// its wait in the queue and for the start of a worker.
    pub deadline: Duration,
    /// Address space of one worker above its tables.
    pub memory_bytes_max: u64,
    /// Whether workers try words of a mail as passwords of what is protected in it.
    pub passwords_from_text: bool,
    /// What workers become once their tables are mapped; `None`: they stay the engine's user.
    pub user: Option<Account>,
    /// The engine's own directory, which holds its copy of the tables.
    pub engine_dir: PathBuf,
}

impl PoolSettings {
    /// Settings for `program`, otherwise as in a configuration without `[analysis]`.
    #[must_use]
    pub fn new(program: PathBuf, engine_dir: PathBuf) -> Self {
        Self {
            program,
            arguments: vec![WORKER_ARGUMENT.into()],
            workers: 1,
            queue_max: 64,
            deadline: Duration::from_secs(30),
            memory_bytes_max: 512 << 20,
            passwords_from_text: true,
            user: None,
            engine_dir,
        }
    }
}

/// What happened since the start. For metrics and alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Contents that were examined.
    pub examined: u64,
    /// Workers that ended by themselves, idle or before they answered, or were killed at their deadline.
    pub deaths: u64,
    /// Contents that were turned away by a full queue.
    pub full: u64,
}

#[derive(Default)]
struct Counters {
    examined: AtomicU64,
    deaths: AtomicU64,
    full: AtomicU64,
}

struct Shared {
    settings: PoolSettings,
    /// Directory of the generation that workers use.
    generation: ArcSwapOption<PathBuf>,
    counters: Counters,
    deaths: Deaths,
    /// What the workers took, one for each.
    stages: Box<[Arc<Stages>]>,
    started: Instant,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What shall be examined.
pub(super) struct Task {
    pub(super) content: Content,
    pub(super) envelope_from: Option<Vec<u8>>,
    /// The generation to look with; the newest one if absent.
    pub(super) generation: Option<Arc<PathBuf>>,
    pub(super) cleaning: Cleaning,
    pub(super) expressions: Vec<Vec<Expression>>,
    pub(super) reading: Reading,
    #[cfg(test)]
    pub(super) misbehave: Option<String>,
}

struct Job {
    asked: Task,
    /// Set by whoever is first: the worker's thread that takes it, or the shard that waited too long.
    claimed: Arc<AtomicBool>,
    answer: flume::Sender<Result<Examination, AnalysisError>>,
}

/// Handle of all workers; cheap to clone. When the last one is dropped, the workers end.
#[derive(Clone)]
pub struct Pool {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the threads; each starts its worker when it has its first content.
    ///
    /// # Errors
    /// [`AnalysisError::Start`] when a thread cannot be started.
    pub fn start(
        settings: PoolSettings,
        generation: Option<PathBuf>,
    ) -> Result<Self, AnalysisError> {
        let (jobs, queue) = bounded(settings.queue_max);
        let workers = settings.workers.max(1);
        let shared = Arc::new(Shared {
            settings,
            generation: ArcSwapOption::from(generation.map(Arc::new)),
            counters: Counters::default(),
            deaths: Deaths::default(),
            stages: (0..workers).map(|_| Arc::default()).collect(),
            started: now(),
        });
        for number in 0..workers {
            let (queue, shared) = (queue.clone(), Arc::clone(&shared));
            let Some(stages) = shared.stages.get(number).cloned() else { break };
            let slot = Slot { queue, shared, worker: None, stages, failures: 0 };
            std::thread::Builder::new()
                .name(format!("analysis-{number}"))
                .spawn(move || slot.run())
                .map_err(|error| AnalysisError::Start(error.to_string().into()))?;
        }
        Ok(Self { jobs, shared })
    }

    /// Has `content` examined by a worker, by the tables of the generation in `directory`: a transaction
    /// sees one generation from its first to its last octet, in a worker too. Never blocks; at most one
    /// deadline in the queue, then at most two for starts and two for the content.
    ///
    /// # Errors
    /// [`AnalysisError`]: our own fault, temporary; also when that generation is gone.
    pub async fn examine_by(
        &self,
        content: Content,
        envelope_from: Option<Vec<u8>>,
        directory: PathBuf,
        asked: Asked,
    ) -> Result<Examination, AnalysisError> {
        let job = Task {
            content,
            envelope_from,
            generation: Some(Arc::new(directory)),
            cleaning: asked.cleaning,
            expressions: asked.content,
            reading: asked.reading,
            #[cfg(test)]
            misbehave: None,
        };
        self.submit(job, glommio::timer::sleep(self.shared.settings.deadline)).await
    }

    /// As [`Self::examine_by`]; `waited`: ends when it has waited long enough for a free worker.
    pub(super) async fn submit(
        &self,
        asked: Task,
        waited: impl Future<Output = ()>,
    ) -> Result<Examination, AnalysisError> {
        let (answer, answered) = flume::bounded(1);
        let claimed = Arc::new(AtomicBool::new(false));
        let job = Job { asked, claimed: Arc::clone(&claimed), answer };
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.shared.counters.full.fetch_add(1, Ordering::Relaxed);
                return Err(AnalysisError::QueueFull(self.shared.settings.queue_max));
            }
            Err(TrySendError::Disconnected(_)) => return Err(AnalysisError::Ended),
        }
        let answer = async { answered.recv_async().await.unwrap_or(Err(AnalysisError::Ended)) };
        let too_late = async {
            waited.await;
            if claimed.swap(true, Ordering::AcqRel) {
                // A worker has it; its own deadlines end that.
                std::future::pending::<()>().await;
            }
            let waited = self.shared.settings.deadline.as_millis();
            Err(AnalysisError::Waited(u64::try_from(waited).unwrap_or(u64::MAX)))
        };
        futures_lite::future::or(answer, too_late).await
    }

    /// Workers use another generation from their next content on.
    pub fn adopt(&self, generation: PathBuf) {
        self.shared.generation.store(Some(Arc::new(generation)));
    }

    /// CPU of each worker by stage; those that were replaced are in it.
    #[must_use]
    pub fn stages(&self) -> &[Arc<Stages>] {
        &self.shared.stages
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> PoolCounters {
        let counters = &self.shared.counters;
        PoolCounters {
            examined: counters.examined.load(Ordering::Relaxed),
            deaths: counters.deaths.load(Ordering::Relaxed),
            full: counters.full.load(Ordering::Relaxed),
        }
    }
}

/// A running worker process.
struct Process {
    child: Child,
    socket: UnixStream,
    generation: Option<Arc<PathBuf>>,
    requests: u32,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is our child, and if it was waited for the library knows: the number is never another's.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One thread and its worker.
struct Slot {
    queue: Receiver<Job>,
    shared: Arc<Shared>,
    worker: Option<Process>,
    /// What its workers took, one after the other.
    stages: Arc<Stages>,
    /// Deaths and failed starts since the last examination.
    failures: u32,
}

impl Slot {
    fn run(mut self) {
        loop {
            let job = match &self.worker {
                Some(_) => self.queue.recv_timeout(LOOK_AFTER),
                // Nobody to look after.
                None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let Job { asked, claimed, answer } = match job {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.look_after();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if claimed.swap(true, Ordering::AcqRel) {
                continue;
            }
            // The shard may have stopped waiting (its client has gone); that is no fault.
            let _ = answer.send(self.answer(&asked));
            drop(asked);
            self.pause();
        }
    }

    /// Replaces a worker that died while it had nothing to do (killed by the kernel for its memory, or by
    /// somebody): nobody would have noticed before the next content, which would have been blamed. After some
    /// failures in a row the next content starts one.
    fn look_after(&mut self) {
        if !self.reap() || self.failures > FAILURES_FREE {
            return;
        }
        if let Err(error) = self.process(None) {
            tracing::warn!(%error, "an analysis worker could not be started again");
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Lets go of a worker that has ended by itself; true if it has.
    fn reap(&mut self) -> bool {
        let Some(process) = &mut self.worker else { return false };
        let Ok(Some(status)) = process.child.try_wait() else { return false };
        tracing::warn!(%status, pid = process.child.id(), "an idle analysis worker died");
        self.worker = None;
        self.failures = self.failures.saturating_add(1);
        self.shared.counters.deaths.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Waits after failures in a row. The queue is served by the other threads meanwhile.
    fn pause(&self) {
        let Some(more) = self.failures.checked_sub(FAILURES_FREE + 1) else { return };
        let pause = PAUSE_FIRST.saturating_mul(1 << more.min(16)).min(PAUSE_MAX);
        #[expect(clippy::disallowed_methods, reason = "a thread beside the shards")]
        std::thread::sleep(pause);
    }

    fn answer(&mut self, asked: &Task) -> Result<Examination, AnalysisError> {
        // Once may be chance, or a worker that was ill before; twice is the content, also if another
        // thread has seen one of the deaths.
        let mut end = End::Died;
        for _ in 0..DEATHS_MAX {
            let hash = || self.hash(asked);
            let (deaths, last) = self.shared.deaths.of(self.shared.now_ms(), hash);
            if deaths >= DEATHS_MAX {
                return Ok(given_up(last));
            }
            match self.attempt(asked) {
                Ok(Attempt::Answered(Answer::Examined(examination, spent))) => {
                    self.failures = 0;
                    self.stages.add(&spent);
                    self.shared.counters.examined.fetch_add(1, Ordering::Relaxed);
                    return Ok(*examination);
                }
                Ok(Attempt::Answered(Answer::Failed(reason))) => {
                    self.worker = None;
                    return Err(AnalysisError::Scan(reason));
                }
                Ok(attempt @ (Attempt::Answered(Answer::Ready) | Attempt::Ended(_))) => {
                    self.worker = None;
                    end = match attempt {
                        Attempt::Ended(end) => end,
                        Attempt::Answered(_) => End::Died,
                    };
                    self.failures = self.failures.saturating_add(1);
                    self.shared.counters.deaths.fetch_add(1, Ordering::Relaxed);
                    if let Some(hash) = self.hash(asked) {
                        self.shared.deaths.add(hash, self.shared.now_ms(), end);
                    }
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    return Err(error);
                }
            }
        }
        Ok(given_up(end))
    }

    /// `None` if the content cannot be read; then it cannot be looked at either.
    fn hash(&self, asked: &Task) -> Option<u64> {
        let newest = self.shared.generation.load_full();
        let generation = asked.generation.as_ref().or(newest.as_ref());
        hash_of(&asked.content, generation.map(|path| path.as_path())).ok()
    }

    /// One request to a worker.
    fn attempt(&mut self, asked: &Task) -> Result<Attempt, AnalysisError> {
        let ours = |error: io::Error| AnalysisError::Start(error.to_string().into());
        let (descriptors, ranges) = lay_out(&asked.content).map_err(ours)?;
        let request = Request {
            ranges,
            envelope_from: asked.envelope_from.clone(),
            cleaning: asked.cleaning,
            content: asked.expressions.clone(),
            reading: asked.reading,
            #[cfg(test)]
            misbehave: asked.misbehave.clone(),
        };
        let deadline = self.shared.settings.deadline;
        let process = self.process(asked.generation.clone())?;
        process.requests += 1;
        match process.ask(&request, &descriptors, now() + deadline) {
            Ok(answer) => Ok(Attempt::Answered(answer)),
            Err(error) => {
                tracing::warn!(%error, "an analysis worker died or was killed at its deadline");
                let late = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
                let late = late.contains(&error.kind());
                Ok(Attempt::Ended(if late { End::Late } else { End::Died }))
            }
        }
    }

    /// The worker, started or replaced where needed.
    fn process(&mut self, generation: Option<Arc<PathBuf>>) -> Result<&mut Process, AnalysisError> {
        self.reap();
        let wanted = generation.or_else(|| self.shared.generation.load_full());
        let fits = self.worker.as_ref().is_some_and(|process| {
            process.generation == wanted && process.requests < REQUESTS_PER_WORKER_MAX
        });
        if !fits {
            self.worker = None;
            let started = Process::start(&self.shared.settings, wanted)
                .map_err(|error| AnalysisError::Start(error.to_string().into()))?;
            self.worker = Some(started);
        }
        self.worker.as_mut().ok_or(AnalysisError::Ended)
    }
}

impl Process {
    fn start(settings: &PoolSettings, generation: Option<Arc<PathBuf>>) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let tables = generation
            .as_ref()
            .map(|generation| (generation.as_ref().clone(), settings.engine_dir.clone()));
        let arguments = WorkerArguments {
            memory_bytes_max: settings.memory_bytes_max,
            passwords_from_text: settings.passwords_from_text,
            user: settings.user,
            tables,
        }
        .to_arguments();
        let mut command = Command::new(&settings.program);
        command
            .args(&settings.arguments)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        drop(command);
        let process = Self { child, socket, generation, requests: 0 };
        process.socket.set_write_timeout(Some(settings.deadline))?;
        match receive_answer(&process.socket, now() + settings.deadline)? {
            Answer::Ready => Ok(process),
            Answer::Failed(reason) => Err(io::Error::other(reason.into_string())),
            Answer::Examined(..) => Err(io::Error::other("worker answered before it was asked")),
        }
    }

    /// `until` holds for everything from here to the last octet of the answer: a worker that drips
    /// its answer gains nothing.
    fn ask(
        &self,
        request: &Request,
        descriptors: &[OwnedFd],
        until: Instant,
    ) -> io::Result<Answer> {
        send_request(&self.socket, request, descriptors)?;
        receive_answer(&self.socket, until)
    }
}

/// What came of one request.
enum Attempt {
    Answered(Answer),
    Ended(End),
}

/// The message's own fault, found by the ends of two workers.
fn given_up(last: End) -> Examination {
    let (kind, rule, detail) = match last {
        End::Died => {
            (FindingKind::WorkerDied, "SCAN_WORKER_DIED", "two analysis workers died on it")
        }
        End::Late => {
            (FindingKind::WorkerDied, "SCAN_TIMEOUT", "it was not analysed within the time limit")
        }
    };
    let (rule, detail) = (rule.into(), detail.into());
    let finding = Finding { kind, rule, points: 0, detail, log_only: false };
    Examination { findings: vec![finding], ..Examination::default() }
}
