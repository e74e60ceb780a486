//! The engine's side: a bounded queue, and one thread for each worker process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::wire::{Answer, Request, lay_out, receive_answer, send_request};
use super::worker::WorkerArguments;
use super::{AnalysisError, Examination, WORKER_ARGUMENT};
use crate::content::Content;
use crate::scan::finding::{Finding, FindingKind};

/// Requests after which a worker is replaced, so that leaks and fragmentation have an end.
const REQUESTS_PER_WORKER_MAX: u32 = 5_000;

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
    /// Longest time for one content, and for its wait in the queue.
    pub deadline: Duration,
    /// Address space of one worker above its tables.
    pub memory_bytes_max: u64,
    /// User and group of the workers, where the engine may change them (root).
    pub user: Option<(u32, u32)>,
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
    /// Workers that ended before they answered, or were killed at their deadline.
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
}

struct Job {
    content: Content,
    envelope_from: Option<Vec<u8>>,
    /// The generation to look with; the newest one if absent.
    generation: Option<Arc<PathBuf>>,
    queued: Instant,
    answer: flume::Sender<Result<Examination, AnalysisError>>,
    #[cfg(test)]
    misbehave: Option<String>,
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
        });
        for number in 0..workers {
            let slot = Slot { queue: queue.clone(), shared: shared.clone(), worker: None };
            std::thread::Builder::new()
                .name(format!("analysis-{number}"))
                .spawn(move || slot.run())
                .map_err(|error| AnalysisError::Start(error.to_string().into()))?;
        }
        Ok(Self { jobs, shared })
    }

    /// Has `content` examined by a worker. Never blocks; answers within three deadlines.
    ///
    /// # Errors
    /// [`AnalysisError`]: our own fault, temporary.
    pub async fn examine(
        &self,
        content: Content,
        envelope_from: Option<Vec<u8>>,
    ) -> Result<Examination, AnalysisError> {
        self.submit(content, envelope_from, None, None).await
    }

    /// As [`Self::examine`], by the tables of the generation in `directory`: a transaction sees one
    /// generation from its first to its last octet, in a worker too.
    ///
    /// # Errors
    /// [`AnalysisError`], also when that generation is gone.
    pub async fn examine_by(
        &self,
        content: Content,
        envelope_from: Option<Vec<u8>>,
        directory: PathBuf,
    ) -> Result<Examination, AnalysisError> {
        self.submit(content, envelope_from, Some(Arc::new(directory)), None).await
    }

    pub(super) async fn submit(
        &self,
        content: Content,
        envelope_from: Option<Vec<u8>>,
        generation: Option<Arc<PathBuf>>,
        misbehave: Option<&str>,
    ) -> Result<Examination, AnalysisError> {
        let (answer, answered) = flume::bounded(1);
        let job = Job {
            content,
            envelope_from,
            generation,
            queued: now(),
            answer,
            #[cfg(test)]
            misbehave: misbehave.map(str::to_owned),
        };
        let _ = misbehave;
        match self.jobs.try_send(job) {
            Ok(()) => answered.recv_async().await.unwrap_or(Err(AnalysisError::Ended)),
            Err(TrySendError::Full(_)) => {
                self.shared.counters.full.fetch_add(1, Ordering::Relaxed);
                Err(AnalysisError::QueueFull(self.shared.settings.queue_max))
            }
            Err(TrySendError::Disconnected(_)) => Err(AnalysisError::Ended),
        }
    }

    /// Workers use another generation from their next content on.
    pub fn adopt(&self, generation: PathBuf) {
        self.shared.generation.store(Some(Arc::new(generation)));
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

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of processes, on threads beside the shards"
)]
fn now() -> Instant {
    Instant::now()
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
        // It is our child and not yet waited for, so its number cannot be another's.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One thread and its worker.
struct Slot {
    queue: Receiver<Job>,
    shared: Arc<Shared>,
    worker: Option<Process>,
}

impl Slot {
    fn run(mut self) {
        while let Ok(job) = self.queue.recv() {
            let answer = self.answer(&job);
            // The shard may have stopped waiting (its client has gone); that is no fault.
            let _ = job.answer.send(answer);
        }
    }

    fn answer(&mut self, job: &Job) -> Result<Examination, AnalysisError> {
        let deadline = self.shared.settings.deadline;
        if job.queued.elapsed() > deadline {
            let waited = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            return Err(AnalysisError::Waited(waited));
        }
        // Once may be chance, or a worker that was ill before; twice is the content.
        for _ in 0..2 {
            match self.attempt(job)? {
                Answer::Examined(examination) => {
                    self.shared.counters.examined.fetch_add(1, Ordering::Relaxed);
                    return Ok(*examination);
                }
                Answer::Failed(reason) => {
                    self.worker = None;
                    return Err(AnalysisError::Scan(reason));
                }
                Answer::Ready => {
                    self.worker = None;
                    self.shared.counters.deaths.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(died_twice())
    }

    /// One request to a worker; [`Answer::Ready`] stands for a worker that died or was too slow.
    fn attempt(&mut self, job: &Job) -> Result<Answer, AnalysisError> {
        let ours = |error: io::Error| AnalysisError::Start(error.to_string().into());
        let (descriptors, ranges) = lay_out(&job.content).map_err(ours)?;
        let request = Request {
            ranges,
            envelope_from: job.envelope_from.clone(),
            #[cfg(test)]
            misbehave: job.misbehave.clone(),
        };
        let deadline = self.shared.settings.deadline;
        let process = self.process(job.generation.clone())?;
        process.requests += 1;
        match process.ask(&request, &descriptors, deadline) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::warn!(%error, "an analysis worker died or was killed at its deadline");
                Ok(Answer::Ready)
            }
        }
    }

    /// The worker, started or replaced where needed.
    fn process(&mut self, generation: Option<Arc<PathBuf>>) -> Result<&mut Process, AnalysisError> {
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
        let arguments =
            WorkerArguments { memory_bytes_max: settings.memory_bytes_max, tables }.to_arguments();
        let mut command = Command::new(&settings.program);
        command
            .args(&settings.arguments)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((user, group)) = settings.user {
            command.uid(user).gid(group);
        }
        let child = command.spawn()?;
        drop(command);
        let process = Self { child, socket, generation, requests: 0 };
        process.socket.set_write_timeout(Some(settings.deadline))?;
        match process.await_answer(settings.deadline)? {
            Answer::Ready => Ok(process),
            Answer::Failed(reason) => Err(io::Error::other(reason.into_string())),
            Answer::Examined(_) => Err(io::Error::other("worker answered before it was asked")),
        }
    }

    fn ask(
        &self,
        request: &Request,
        descriptors: &[OwnedFd],
        deadline: Duration,
    ) -> io::Result<Answer> {
        send_request(&self.socket, request, descriptors)?;
        self.await_answer(deadline)
    }

    /// The deadline holds for the first octet and again for the rest: an honest worker writes its
    /// answer at once, and a dishonest one can only reach twice the deadline for each read.
    fn await_answer(&self, deadline: Duration) -> io::Result<Answer> {
        self.socket.set_read_timeout(Some(deadline))?;
        receive_answer(&self.socket)
    }
}

/// The message's own fault, found by the deaths of two workers.
fn died_twice() -> Examination {
    let finding = Finding {
        kind: FindingKind::WorkerDied,
        rule: "SCAN_WORKER_DIED".into(),
        points: 0,
        detail: "two analysis workers died on it".into(),
        log_only: false,
    };
    Examination { findings: vec![finding], ..Examination::default() }
}
