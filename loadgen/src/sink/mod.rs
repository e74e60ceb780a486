//! A receiving SMTP server that stores each mail as a file, or only counts it, and misbehaves on
//! request: the next hop of the demo domain, of the tests, and of every speed figure.
//!
//! One thread for each connection. Extensions are offered as told, so that a client can be tried
//! against a hop without CHUNKING, without SMTPUTF8, without anything. What it misbehaves by is in
//! [`Behaviour`]: by local-part (`tempfail-3@`, `dotreject@` ...), by percentage, by delay.
//! It survives any input of its client: a broken session ends alone.

mod behaviour;
mod session;
#[cfg(test)]
mod tests;

pub use behaviour::{Behaviour, Extensions, Fate};

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// First words of the sink's greeting, by which a second start knows it.
pub const GREETING_MARK: &str = "sekisho-sink";
/// A client that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

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
    streams: Mutex<HashMap<u64, TcpStream>>,
}

impl Shared {
    fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
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
    acceptor: Option<JoinHandle<()>>,
}

impl Sink {
    /// Listens, and serves on threads of its own.
    ///
    /// # Errors
    /// The address is taken, or the store cannot be made.
    pub fn start(options: SinkOptions) -> io::Result<Self> {
        let number = match &options.store {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                crate::store::last_number(dir)?
            }
            None => 0,
        };
        let listener = TcpListener::bind(options.listen)?;
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
            streams: Mutex::new(HashMap::new()),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("sink-accept".to_owned())
            .spawn(move || accept(&listener, &for_acceptor))?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
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
        // The acceptor sits in accept(2): one connection of our own wakes it.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let streams = self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits for ever (a program that is nothing but a sink).
    pub fn join(mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, peer)) = listener.accept() else {
            // Out of descriptors or the like: others end, then it goes on.
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let connection = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if let Ok(copy) = stream.try_clone() {
            shared.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, copy);
        }
        let _ = stream.set_read_timeout(Some(IDLE));
        let for_session = Arc::clone(shared);
        let started = thread::Builder::new()
            .name(format!("sink-{connection}"))
            .stack_size(256 * 1024)
            .spawn(move || {
                // The end of a session, however it comes, is the client's business.
                let _ = session::serve(stream, peer, connection, &for_session);
                for_session
                    .streams
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&connection);
            });
        if started.is_err() {
            shared.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
        }
    }
}
