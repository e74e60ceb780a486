//! A receiving SMTP server that stores each mail as a file, or only counts it, and misbehaves on
//! request: the next hop of the demo domain, of the tests, and of every speed figure.
//!
//! A few threads, each with an epoll for its connections (`worker`); a session is a state machine
//! (`session`). Extensions are offered as told, so that a client can be tried against a hop without
//! CHUNKING, without SMTPUTF8, without anything. What it misbehaves by is in [`Behaviour`]: by
//! local-part (`tempfail-3@`, `dotreject@` ...), by percentage, by delay.
//! It survives any input of its client: a broken session ends alone. Files are written by the thread
//! that has the session: with a store, the disk is the sink's limit.

mod behaviour;
mod content;
mod session;
#[cfg(test)]
mod tests;
pub mod tls;
mod worker;

pub use behaviour::{Behaviour, Extensions, Fate};

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use worker::Worker;

/// First words of the sink's greeting, by which a second start knows it.
pub const GREETING_MARK: &str = "sekisho-sink";
/// Connections that wait to be accepted; more is for the kernel to refuse.
const BACKLOG: i32 = 4096;

/// How a sink is started.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where mails are stored; only counted if absent.
    pub store: Option<PathBuf>,
    /// What EHLO offers.
    pub extensions: Extensions,
    /// How it misbehaves.
    pub behaviour: Behaviour,
}

/// A free port of loopback; counts, offers everything and behaves.
impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            store: None,
            extensions: Extensions::default(),
            behaviour: Behaviour::default(),
        }
    }
}

/// Where TLS begins, if it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// In the clear; STARTTLS is offered if there is a certificate.
    #[default]
    Clear,
    /// With the first octet (RFC 8314).
    Implicit,
}

/// By what a sink serves; by default one thread, in the clear.
#[derive(Clone, Debug)]
pub struct Service {
    /// Threads, at least one.
    pub threads: usize,
    /// Certificate and key, from [`tls::self_signed`] or [`tls::from_files`].
    pub tls: Option<Arc<ServerConfig>>,
    /// Where TLS begins.
    pub entry: Entry,
}

impl Default for Service {
    fn default() -> Self {
        Self { threads: 1, tls: None, entry: Entry::Clear }
    }
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    store: Option<PathBuf>,
    ledger: OnceLock<Mutex<File>>,
    extensions: Extensions,
    behaviour: RwLock<Arc<Behaviour>>,
    stopping: AtomicBool,
    number: AtomicU64,
    connections: AtomicU64,
    mails: AtomicU64,
    bytes: AtomicU64,
    tls: Option<Arc<ServerConfig>>,
    entry: Entry,
    /// What a peer whose address is not known is called.
    nobody: SocketAddr,
    /// Readable when the sink stops.
    wake: OwnedFd,
}

impl Shared {
    fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether anybody wants the octets of a mail.
    fn keeps_content(&self) -> bool {
        self.store.is_some() || self.ledger.get().is_some()
    }

    /// One line for each mail, before it is answered: envelope id, reverse-path, first forward-path.
    fn note(&self, content: &[u8], mail_from: &str, rcpt_to: &str) -> io::Result<()> {
        let Some(ledger) = self.ledger.get() else { return Ok(()) };
        let id = crate::store::named_id(content).unwrap_or_default();
        let mut file = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{id}\t{mail_from}\t{rcpt_to}\n").as_bytes())
    }
}

/// A running sink. Dropping it stops it.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Sink {
    /// Listens, and serves on a thread of its own.
    ///
    /// # Errors
    /// The address is taken, or the store cannot be made.
    pub fn start(options: SinkOptions) -> io::Result<Self> {
        Self::serve(options, Service::default())
    }

    /// Listens, and serves as told.
    ///
    /// # Errors
    /// The address is taken, the store cannot be made, or `InvalidInput`: TLS from the first octet
    /// without a certificate.
    pub fn serve(options: SinkOptions, service: Service) -> io::Result<Self> {
        if service.entry == Entry::Implicit && service.tls.is_none() {
            let why = "TLS from the first octet without a certificate";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let number = match &options.store {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                crate::store::last_number(dir)?
            }
            None => 0,
        };
        let listener = Arc::new(listen(options.listen)?);
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            store: options.store,
            ledger: OnceLock::new(),
            extensions: options.extensions,
            behaviour: RwLock::new(Arc::new(options.behaviour)),
            stopping: AtomicBool::new(false),
            number: AtomicU64::new(number),
            connections: AtomicU64::new(0),
            mails: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            tls: service.tls,
            entry: service.entry,
            nobody: address,
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        });
        let mut sink = Self { address, shared, workers: Vec::new() };
        for index in 0..service.threads.max(1) {
            let worker = Worker::new(Arc::clone(&listener), Arc::clone(&sink.shared))?;
            let thread = thread::Builder::new().name(format!("sink-{index}"));
            sink.workers.push(thread.spawn(move || worker.run())?);
        }
        Ok(sink)
    }

    /// Writes a line for each further mail to the end of `path`: its id (that of the mail it is about, if it is a
    /// report), reverse-path, first forward-path. For counting what a million files are too many for.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn keep_ledger(&self, path: &Path) -> io::Result<()> {
        let file = File::options().create(true).append(true).open(path)?;
        self.shared.ledger.get_or_init(|| Mutex::new(file));
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Mails it answered 250 to since it started.
    #[must_use]
    pub fn mails(&self) -> u64 {
        self.shared.mails.load(Ordering::Relaxed)
    }

    /// Octets of those mails.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Connections it took since it started.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Behaves differently from the next command on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *self.shared.behaviour.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(behaviour);
    }

    /// Closes the listener and all sessions: to its clients the hop is down at once.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Cannot fail: a counter of 64 bits is never full by ones.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }

    /// Waits for ever (a program that is nothing but a sink).
    pub fn join(mut self) {
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end();
    }
}

/// A listener that accepts without waiting; what it accepts has Nagle's algorithm off, as it has.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
