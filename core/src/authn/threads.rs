//! The side threads: tokio runtimes of their own, each with a resolver and its cache, fed through bounded queues.
//!
//! Two lanes: messages in memory, and those in files, whose bodies take seconds to hash and must not keep the others
//! waiting. Within a lane everything that waits for the DNS waits at the same time.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::FutureExt as _;
use hickory_resolver::TokioResolver;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::check::{self, Whom};
use super::listed::{self, Listed, SharedLists};
use super::names;
use super::octets;
use super::{Authentication, Sealer, Sealing, SpfCheck, Unsealed};
use crate::content::{Content, Piece};
use crate::resolve::DnsSettings;

/// Requests that wait for a thread, in each lane.
const REQUESTS_MAX: usize = 4_096;
/// Requests of a thread that wait for the DNS.
const UNDER_WAY_MAX: usize = 2_048;
/// After so many requests in a row that the DNS did not answer ...
const SILENT_MAX: u32 = 8;
/// ... a request waits this long only, until one is answered: a DNS that is dead must not hold every mail for seconds.
const SILENT_DEADLINE: Duration = Duration::from_millis(300);

/// How it is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads for messages in memory.
    pub threads: usize,
    /// For all look-ups of one message.
    pub deadline: Duration,
    /// Whom to ask.
    pub dns: DnsSettings,
}

/// Who is to be checked.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Address of the client.
    pub ip: IpAddr,
    /// What it called itself.
    pub helo: Box<str>,
    /// MAIL FROM without brackets; empty for the null reverse-path.
    pub sender: Box<str>,
    /// Domains that the mail may be from (`message::author_domains`), for DMARC.
    pub author_domains: Vec<Box<str>>,
    /// Our name.
    pub receiver: Box<str>,
    /// Seconds since 1970.
    pub now: u64,
}

/// SPF of MAIL FROM, and of HELO where the two differ.
pub type SpfChecks = (SpfCheck, Option<SpfCheck>);

enum Request {
    Listed {
        address: IpAddr,
        lists: SharedLists,
        answer: flume::Sender<Listed>,
    },
    Spf {
        subject: Subject,
        answer: flume::Sender<SpfChecks>,
    },
    Message {
        subject: Subject,
        content: Content,
        spf: Option<SpfChecks>,
        answer: flume::Sender<Authentication>,
    },
    Seal {
        sealer: Arc<Sealer>,
        content: Content,
        sealing: Sealing,
        answer: flume::Sender<Result<Vec<u8>, Unsealed>>,
    },
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Yes,
    /// The queue is full.
    Full,
    /// The thread has ended.
    Ended,
}

impl Asked {
    fn of(queue: &mpsc::Sender<Request>, request: Request) -> Self {
        match queue.try_send(request) {
            Ok(()) => Self::Yes,
            Err(mpsc::error::TrySendError::Full(_)) => Self::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Self::Ended,
        }
    }
}

/// The threads; one set for the box. They end when the last clone is dropped.
#[derive(Clone)]
pub struct Authenticators {
    /// A queue for each thread: of several that wait at one queue of flume's, those that find it empty are woken for ever by
    /// their own wakers.
    small: Arc<[mpsc::Sender<Request>]>,
    large: mpsc::Sender<Request>,
    /// Whose turn it is.
    turn: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Authenticators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticators").field("threads", &self.small.len()).finish_non_exhaustive()
    }
}

impl Authenticators {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let mut small = Vec::new();
        for number in 0..settings.threads.max(1) {
            let (sender, queue) = mpsc::channel(REQUESTS_MAX);
            start_thread(format!("authn-{number}"), settings.clone(), queue)?;
            small.push(sender);
        }
        let (large, queue) = mpsc::channel(REQUESTS_MAX);
        start_thread("authn-large".into(), settings.clone(), queue)?;
        Ok(Self { small: small.into(), large, turn: Arc::default() })
    }

    /// Hands a request to the threads in turn.
    fn ask(&self, request: Request) -> Asked {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let queue = self.small.get(turn % self.small.len().max(1));
        queue.map_or(Asked::Ended, |queue| Asked::of(queue, request))
    }

    /// Asks what DNS lists say of a client's address, and goes on.
    #[must_use]
    pub fn listed(&self, address: IpAddr, lists: SharedLists) -> PendingListed {
        let (answer, receive) = flume::bounded(1);
        // A full queue drops the sender, and the answer is that no list says anything.
        let _ = self.ask(Request::Listed { address, lists, answer });
        PendingListed(receive)
    }

    /// SPF alone.
    pub async fn spf(&self, subject: Subject) -> SpfChecks {
        let (answer, receive) = flume::bounded(1);
        let (sender, helo) = (subject.sender.clone(), subject.helo.clone());
        let answered = match self.ask(Request::Spf { subject, answer }) {
            Asked::Yes => receive.recv_async().await.ok(),
            Asked::Full | Asked::Ended => None,
        };
        answered.unwrap_or_else(|| check::no_spf(&sender, &helo))
    }

    /// Asks for everything about a message, and goes on. `spf`: what is known of it already.
    #[must_use]
    pub fn begin(&self, subject: Subject, content: Content, spf: Option<SpfChecks>) -> Pending {
        let (answer, receive) = flume::bounded(1);
        let small = content.as_memory().is_some();
        let request = Request::Message { subject, content, spf, answer };
        let asked = if small { self.ask(request) } else { Asked::of(&self.large, request) };
        Pending { answer: receive, is_full: asked == Asked::Full }
    }

    /// Asks for a seal, and goes on. Bodies in files have a lane of their own here, too.
    #[must_use]
    pub fn seal(&self, sealer: Arc<Sealer>, content: Content, sealing: Sealing) -> PendingSeal {
        let (answer, receive) = flume::bounded(1);
        let large = content.pieces.iter().any(|piece| matches!(piece, Piece::File { .. }));
        let request = Request::Seal { sealer, content, sealing, answer };
        // A full queue drops the sender, and the answer is that there was no time.
        let _ = if large { Asked::of(&self.large, request) } else { self.ask(request) };
        PendingSeal(receive)
    }
}

/// What the lists say, once they have said it.
#[derive(Debug)]
pub struct PendingListed(flume::Receiver<Listed>);

impl PendingListed {
    /// It; a list that does not answer says nothing.
    pub async fn answer(&self) -> Listed {
        self.0.recv_async().await.unwrap_or_default()
    }
}

/// The checks of a message that are under way.
#[derive(Debug)]
pub struct Pending {
    answer: flume::Receiver<Authentication>,
    is_full: bool,
}

impl Pending {
    /// There was no room for them. That is our own fault, and the client shall come again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Their results, once they are there.
    pub async fn answer(self) -> Authentication {
        self.answer.recv_async().await.unwrap_or_else(|_| Authentication::unanswered())
    }
}

/// A seal that is being made.
#[derive(Debug)]
pub struct PendingSeal(flume::Receiver<Result<Vec<u8>, Unsealed>>);

impl PendingSeal {
    /// The fields, once they are there.
    ///
    /// # Errors
    /// [`Unsealed`].
    pub async fn answer(self) -> Result<Vec<u8>, Unsealed> {
        self.0.recv_async().await.unwrap_or(Err(Unsealed::Late))
    }
}

fn start_thread(
    name: String,
    settings: Settings,
    queue: mpsc::Receiver<Request>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, serve(&settings, queue));
    })?;
    Ok(())
}

/// What the requests of a thread share.
struct Shared {
    resolver: TokioResolver,
    deadline: Duration,
    /// Requests in a row that were not answered in time.
    silent: Cell<u32>,
}

impl Shared {
    /// When a request that begins now has to be answered.
    fn until(&self) -> Instant {
        let deadline = match self.silent.get() {
            silent if silent >= SILENT_MAX => self.deadline.min(SILENT_DEADLINE),
            _ => self.deadline,
        };
        Instant::now() + deadline
    }

    fn note(&self, in_time: bool) {
        self.silent.set(if in_time { 0 } else { self.silent.get().saturating_add(1) });
    }
}

async fn serve(settings: &Settings, mut queue: mpsc::Receiver<Request>) {
    let resolver = match names::resolver(&settings.dns) {
        Ok(resolver) => resolver,
        Err(error) => {
            // Requests find a closed queue: temperror, all of them, and the operator reads why.
            tracing::error!(%error, "no resolver for the authentication of senders");
            return;
        }
    };
    let shared = Rc::new(Shared { resolver, deadline: settings.deadline, silent: Cell::new(0) });
    let room = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY_MAX));
    while let Some(request) = queue.recv().await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            answer(&shared, request).await;
            drop(permit);
        });
    }
}

async fn answer(shared: &Shared, request: Request) {
    match request {
        Request::Listed { address, lists, answer } => {
            if answer.is_disconnected() {
                return;
            }
            let listed = listed::listed(&shared.resolver, address, &lists);
            let listed = timeout_at(shared.until(), listed).await;
            shared.note(listed.is_ok());
            let _ = answer.try_send(listed.unwrap_or_default());
        }
        Request::Spf { subject, answer } => {
            // Nobody waits for it any more: spare the DNS.
            if answer.is_disconnected() {
                return;
            }
            let whom = subject.whom();
            let checks = timeout_at(shared.until(), check::spf(&shared.resolver, &whom)).await;
            shared.note(checks.is_ok());
            let _ = answer
                .try_send(checks.unwrap_or_else(|_| check::no_spf(&subject.sender, &subject.helo)));
        }
        Request::Message { subject, content, spf, answer } => {
            if answer.is_disconnected() {
                return;
            }
            let checks = guarded(message(shared, &subject, &content, spf)).await;
            let _ = answer.try_send(checks);
        }
        // Whoever asked waits for a while only, and then it is too late.
        Request::Seal { sealer, content, sealing, answer } if !answer.is_disconnected() => {
            let _ = answer.try_send(sealer.seal(&content, &sealing));
        }
        Request::Seal { .. } => {}
    }
}

/// A sender who has found a mail that breaks the reader must not pass for one about whom the DNS did not answer.
pub(super) async fn guarded(checks: impl Future<Output = Authentication>) -> Authentication {
    let checked = AssertUnwindSafe(checks).catch_unwind().await;
    checked.unwrap_or_else(|_| Authentication::unreadable())
}

async fn message(
    shared: &Shared,
    subject: &Subject,
    content: &Content,
    spf: Option<SpfChecks>,
) -> Authentication {
    let front = octets::front(content);
    let mut parsed = front.as_ref().and_then(|front| check::read(front.octets(), subject.now));
    let to_hash = front.as_ref().and_then(|front| match front {
        octets::Front::Header(header) => Some(header.len()),
        octets::Front::Whole(whole) => octets::body_that_ends_in_blanks(whole),
    });
    if let Some((from, message)) = to_hash.zip(parsed.as_mut())
        && !octets::hash_body(message, content, from)
    {
        parsed = None;
    }
    let (whom, until) = (subject.whom(), shared.until());
    let (checks, answered) =
        check::message(&shared.resolver, &whom, parsed.as_ref(), spf, until).await;
    shared.note(answered);
    checks
}

impl Subject {
    fn whom(&self) -> Whom<'_> {
        Whom {
            ip: self.ip,
            helo: &self.helo,
            sender: &self.sender,
            author_domains: &self.author_domains,
            receiver: &self.receiver,
            now: self.now,
        }
    }
}
