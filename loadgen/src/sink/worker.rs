//! A thread of the sink: one epoll for its connections, level-triggered.
//!
//! Octets are read into one buffer that all connections of the thread share; a connection keeps only
//! what it could not use yet. A connection that waits (a slow answer) is out of the epoll until its
//! time has come: what its client does meanwhile waits too. Bounds per thread: [`SPACE_BYTES`] of
//! buffer or twice the longest line, and for each connection its content while it is kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::{SocketFlags, acceptfrom_with};

use super::session::{Session, Step};
use super::tls::Tls;
use super::{Entry, Shared};

/// A client that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// How often silence is looked for.
const SWEEP: Duration = Duration::from_secs(10);
const SPACE_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 256;
const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;

struct Connection {
    stream: TcpStream,
    number: u64,
    session: Session,
    tls: Option<Box<Tls>>,
    /// Octets for the wire; with TLS not those of the session.
    output: Vec<u8>,
    sent: usize,
    /// Read, not used yet.
    left: Vec<u8>,
    last: Instant,
    next: Step,
    interest: epoll::EventFlags,
}

/// What became of a connection after it was served.
enum Fate {
    Keep,
    Close,
}

pub(super) struct Worker {
    epoll: rustix::fd::OwnedFd,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    space: Vec<u8>,
    now: Instant,
    swept: Instant,
}

impl Worker {
    /// # Errors
    /// No descriptor for an epoll.
    pub(super) fn new(listener: Arc<TcpListener>, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
        epoll::add(&epoll, &*listener, epoll::EventData::new_u64(LISTENER), flags)?;
        let wake = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &shared.wake, wake, epoll::EventFlags::IN)?;
        let now = Instant::now();
        Ok(Self {
            epoll,
            listener,
            shared,
            connections: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
            space: vec![0; SPACE_BYTES],
            now,
            swept: now,
        })
    }

    /// Serves until the sink stops; all connections are closed then.
    pub(super) fn run(mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        while !self.shared.stopping.load(Ordering::SeqCst) {
            events.clear();
            let wait = self.patience();
            let wait = Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(1),
                tv_nsec: i64::from(wait.subsec_nanos()),
            };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Nothing but a bad descriptor of our own is left: it does not get better.
                Err(_) => return,
            }
            self.now = Instant::now();
            for event in &events {
                let mark = event.data.u64();
                match mark {
                    WAKE => {}
                    LISTENER => self.accept(),
                    slot => self.serve(usize::try_from(slot).unwrap_or(usize::MAX)),
                }
            }
            self.ring();
            if self.now.duration_since(self.swept) >= SWEEP {
                self.sweep();
            }
        }
    }

    /// Until the next timer, or the next look for silence.
    fn patience(&self) -> Duration {
        self.timers.peek().map_or(SWEEP, |Reverse((at, _, _))| {
            at.saturating_duration_since(Instant::now()).min(SWEEP)
        })
    }

    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (stream, peer) = match acceptfrom_with(&*self.listener, flags) {
            Ok((socket, address)) => {
                let peer = address.and_then(|address| SocketAddr::try_from(address).ok());
                (TcpStream::from(socket), peer.unwrap_or(self.shared.nobody))
            }
            // Another worker had it, or the client is gone.
            Err(
                rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED,
            ) => return,
            Err(_) => {
                // Out of descriptors or the like: others end, then it goes on.
                thread::sleep(Duration::from_millis(5));
                return;
            }
        };
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (session, next) = Session::greet(peer, number, &self.shared);
        let interest = epoll::EventFlags::IN;
        let mut connection = Connection {
            stream,
            number,
            session,
            tls: None,
            output: Vec::new(),
            sent: 0,
            left: Vec::new(),
            last: self.now,
            next,
            interest,
        };
        if self.shared.entry == Entry::Implicit {
            // The greeting waits until there are keys to send it under.
            connection.tls = self.shared.tls.clone().and_then(Tls::new);
            if connection.tls.is_none() {
                return;
            }
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let mark = epoll::EventData::new_u64(slot as u64);
        if epoll::add(&self.epoll, &connection.stream, mark, interest).is_err() {
            self.free.push(slot);
            return;
        }
        let fate = self.settle(slot, &mut connection);
        self.put_back(slot, Box::new(connection), fate);
    }

    fn put_back(&mut self, slot: usize, connection: Box<Connection>, fate: Fate) {
        match (fate, self.connections.get_mut(slot)) {
            (Fate::Keep, Some(place)) => *place = Some(connection),
            // Closing takes it out of the epoll.
            (Fate::Close | Fate::Keep, _) => self.free.push(slot),
        }
    }

    /// Something can be read or written.
    fn serve(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return;
        };
        connection.last = self.now;
        // What was not sent goes first; while it does not, nothing is read.
        let fate = if connection.sent < connection.output.len() {
            match self.settle(slot, &mut connection) {
                Fate::Keep if connection.output.is_empty() && connection.next == Step::Read => {
                    self.feed(slot, &mut connection)
                }
                fate => fate,
            }
        } else {
            self.read(slot, &mut connection)
        };
        self.put_back(slot, connection, fate);
    }

    fn read(&mut self, slot: usize, connection: &mut Connection) -> Fate {
        let held = if connection.tls.is_some() { 0 } else { connection.left.len() };
        if self.space.len() < held * 2 {
            self.space.resize(held * 2, 0);
        }
        let Some(room) = self.space.get_mut(held..) else { return Fate::Close };
        let bytes = match (&connection.stream).read(room) {
            Ok(0) => return Fate::Close,
            Ok(bytes) => bytes,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => Fate::Keep,
                    _ => Fate::Close,
                };
            }
        };
        if let Some(tls) = &mut connection.tls {
            let cipher = room.get(..bytes).unwrap_or_default();
            if tls.receive(cipher, &mut connection.left).is_err() {
                return Fate::Close;
            }
            return self.feed(slot, connection);
        }
        // What was left goes in front of what came: both are one piece then.
        if let Some(front) = self.space.get_mut(..held) {
            front.copy_from_slice(&connection.left);
        }
        let input = self.space.get(..held + bytes).unwrap_or_default();
        let Ok((used, next)) = connection.session.feed(&self.shared, input) else {
            return Fate::Close;
        };
        connection.left.clear();
        connection.left.extend_from_slice(input.get(used..).unwrap_or_default());
        connection.next = next;
        self.settle(slot, connection)
    }

    /// Goes on with what was read before.
    fn feed(&mut self, slot: usize, connection: &mut Connection) -> Fate {
        let Ok((used, next)) = connection.session.feed(&self.shared, &connection.left) else {
            return Fate::Close;
        };
        connection.left.drain(..used);
        connection.next = next;
        self.settle(slot, connection)
    }

    /// Sends what is to be sent and arranges for what comes next.
    fn settle(&mut self, slot: usize, connection: &mut Connection) -> Fate {
        if connection.send().is_err() {
            return Fate::Close;
        }
        let blocked = !connection.output.is_empty();
        match connection.next {
            Step::End if blocked => {}
            Step::End => return Fate::Close,
            Step::Handshake if !blocked => {
                // What came in the clear behind STARTTLS is not taken for what comes under keys.
                connection.left.clear();
                connection.tls = self.shared.tls.clone().and_then(Tls::new);
                connection.next = Step::Read;
                if connection.tls.is_none() {
                    return Fate::Close;
                }
            }
            Step::Wait(time) => {
                self.timers.push(Reverse((self.now + time, slot, connection.number)));
                let _ = epoll::delete(&self.epoll, &connection.stream);
                return Fate::Keep;
            }
            Step::Handshake | Step::Read => {}
        }
        let interest = if blocked { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        if interest != connection.interest {
            connection.interest = interest;
            let mark = epoll::EventData::new_u64(slot as u64);
            if epoll::modify(&self.epoll, &connection.stream, mark, interest).is_err() {
                return Fate::Close;
            }
        }
        Fate::Keep
    }

    /// Wakes the connections whose time has come.
    fn ring(&mut self) {
        while let Some(Reverse((at, slot, number))) = self.timers.peek().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop();
            let Some(place) = self.connections.get_mut(slot) else { continue };
            if place.as_ref().is_none_or(|connection| connection.number != number) {
                continue;
            }
            let Some(mut connection) = place.take() else { continue };
            connection.last = self.now;
            connection.interest = epoll::EventFlags::IN;
            let mark = epoll::EventData::new_u64(slot as u64);
            let added = epoll::add(&self.epoll, &connection.stream, mark, connection.interest);
            let fate = match connection.session.resume(&self.shared) {
                _ if added.is_err() => Fate::Close,
                Err(_) => Fate::Close,
                Ok(Some(next)) => {
                    connection.next = next;
                    self.settle(slot, &mut connection)
                }
                Ok(None) => self.feed(slot, &mut connection),
            };
            self.put_back(slot, connection, fate);
        }
    }

    /// Closes who was silent for too long; who waits for the sink is not silent.
    fn sweep(&mut self) {
        self.swept = self.now;
        for (slot, place) in self.connections.iter_mut().enumerate() {
            let silent = place.as_ref().is_some_and(|connection| {
                self.now.duration_since(connection.last) > IDLE
                    && !matches!(connection.next, Step::Wait(_))
            });
            if silent {
                *place = None;
                self.free.push(slot);
            }
        }
    }
}

impl Connection {
    /// Sends the session's replies as far as the peer takes them; `output` is empty when it took all.
    fn send(&mut self) -> io::Result<()> {
        let replies = &mut self.session.output;
        match &mut self.tls {
            Some(tls) => tls.send(replies, &mut self.output)?,
            // Most of the time nothing is left over, and the replies are sent from where they are.
            None if self.output.is_empty() => std::mem::swap(&mut self.output, replies),
            None => self.output.append(replies),
        }
        replies.clear();
        if let (Step::End, Some(tls)) = (self.next, &mut self.tls) {
            tls.close();
            tls.send(&[], &mut self.output)?;
        }
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match (&self.stream).write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }
}
