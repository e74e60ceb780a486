//! The sockets of one shard over one io_uring of their own, hosted by the shard's executor.
//!
//! One task ([`SocketRing::drive`]) hands to the kernel what all sockets want, takes what came back, wakes whom it
//! concerns and lets them run; when nothing is left it waits for the ring's eventfd. So a round of many sessions is
//! one system call. Octets arrive in buffers that all sockets share: who waits for them gets the buffer itself, so that
//! an idle connection has none; what comes unasked (a client that pipelines while its mail is judged) is copied to
//! its socket, so that nobody can keep the buffers from others.
//!
//! Bounds: [`WAITING_MAX`] octets for each direction of a socket, one arrival or one write more. Beyond that
//! receiving pauses, and writing waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::future::yield_now;
use rustix::net::SendFlags;
use socket2::{Domain, Socket, Type};

use super::arrivals::{Arrivals, Arrived};
use super::kernel::{End, Event, Kernel, Key, Lent, PLACES};

/// Octets of one direction that wait for the session or for the peer.
const WAITING_MAX: usize = 64 * 1024;
/// Calls of the kernel in one turn, whatever is left.
const CALLS_MAX: usize = 8;
/// Write buffers that are kept for the next writes of all sockets, and what each may have: a socket that is idle has none.
const SPARE_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 1024;

/// The ring of one shard. Cloning shares it.
#[derive(Clone, Debug)]
pub struct SocketRing {
    inner: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    kernel: Kernel,
    /// By slot.
    sides: Vec<Side>,
    spare: Vec<Vec<u8>>,
    /// The driver, while it waits.
    driver: Option<Waker>,
    wake: Vec<Waker>,
}

/// What only a socket has that listens, or that is being connected.
#[derive(Debug, Default)]
struct Opening {
    accepted: VecDeque<io::Result<OwnedFd>>,
    is_accepting: bool,
    connected: Option<io::Result<()>>,
}

/// Our side of one socket.
#[derive(Debug, Default)]
struct Side {
    arrived: Arrivals,
    arrived_bytes: usize,
    /// Somebody polls for octets and found none: the next arrival may be lent.
    is_awaited: bool,
    is_receiving: bool,
    end: Option<End>,
    /// Octets behind those that the kernel sends.
    waiting: Vec<u8>,
    /// Octets that the kernel sends.
    sending: usize,
    write_error: Option<io::ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    opening: Option<Box<Opening>>,
}

impl Side {
    fn opening(&mut self) -> &mut Opening {
        self.opening.get_or_insert_default()
    }
}

impl SocketRing {
    /// A ring for the thread that asks.
    ///
    /// # Errors
    /// The kernel has no io_uring, an old one (before 6.1), or forbids it.
    pub fn new() -> io::Result<Self> {
        let kernel = Kernel::new()?;
        let (sides, spare, wake) = (Vec::with_capacity(PLACES), Vec::new(), Vec::new());
        let state = State { kernel, sides, spare, driver: None, wake };
        Ok(Self { inner: Rc::new(RefCell::new(state)) })
    }

    /// Serves all sockets of the ring. Ends only when the ring is broken.
    pub async fn drive(&self) -> io::Error {
        match self.run().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn run(&self) -> io::Result<std::convert::Infallible> {
        let bell = self.inner.borrow().kernel.wake_file()?;
        let mut events = Vec::new();
        let mut wake = Vec::new();
        let mut rung = None;
        loop {
            let is_idle = {
                let mut state = self.inner.borrow_mut();
                let is_idle = state.turn(&mut events)?;
                std::mem::swap(&mut wake, &mut state.wake);
                is_idle
            };
            wake.drain(..).for_each(Waker::wake);
            if !is_idle {
                yield_now().await;
                continue;
            }
            if !self.inner.borrow_mut().kernel.sleep() {
                // Whatever it is that keeps the ring awake, others have their turn.
                yield_now().await;
                continue;
            }
            let ring = rung.get_or_insert_with(|| Box::pin(bell.read_at(0, 8)));
            let has_rung = poll_fn(|context| {
                if self.inner.borrow_mut().is_wanted(context) {
                    return Poll::Ready(Ok(false));
                }
                ring.as_mut().poll(context).map_ok(|_| true)
            });
            // A bell that cannot be read would make this a loop without a pause.
            if has_rung.await? {
                rung = None;
            }
            let mut state = self.inner.borrow_mut();
            state.kernel.awake();
            state.driver = None;
        }
    }

    /// Takes a socket that listens.
    #[must_use]
    pub fn listen(&self, listener: std::net::TcpListener) -> RingListener {
        let key = self.inner.borrow_mut().insert(listener.into());
        RingListener { ring: self.clone(), key }
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.inner.borrow().sides.len()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// What the kernel said.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<RingSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Commands are small and the answer is waited for: Nagle would add 40 ms to each mail.
        socket.set_tcp_nodelay(true)?;
        let socket = {
            let mut state = self.inner.borrow_mut();
            let key = state.insert(socket.into());
            state.kernel.connect(key, address.into());
            state.submit_soon();
            RingSocket { ring: self.clone(), key }
        };
        poll_fn(|context| {
            socket.with(|side| match side.opening().connected.take() {
                Some(connected) => Poll::Ready(connected),
                None => {
                    remember(&mut side.reader, context);
                    Poll::Pending
                }
            })
        })
        .await?;
        socket.with(|side| side.opening = None);
        socket.start();
        Ok(socket)
    }
}

fn remember(place: &mut Option<Waker>, context: &Context<'_>) {
    if !place.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
        *place = Some(context.waker().clone());
    }
}

impl State {
    /// Hands to the kernel what waits and takes what came back; true where nothing did.
    ///
    /// With a thousand sessions the kernel leaves a part of its deferred work for the next call. Left there, new connections
    /// and octets wait where nobody sees them (thousands of sockets with unread octets while tasks waited under 2 ms).
    fn turn(&mut self, events: &mut Vec<Event>) -> io::Result<bool> {
        let mut is_idle = true;
        for _ in 0..CALLS_MAX {
            self.kernel.turn(events)?;
            if events.is_empty() {
                break;
            }
            is_idle = false;
            // Before the next call: buffers that are copied from are free again.
            events.drain(..).for_each(|event| self.take(event));
            if !self.kernel.has_deferred() {
                break;
            }
        }
        Ok(is_idle)
    }

    fn insert(&mut self, fd: OwnedFd) -> Key {
        let key = self.kernel.insert(fd);
        if self.sides.len() <= key.index() {
            self.sides.resize_with(key.index() + 1, Side::default);
        }
        *self.side(key) = Side::default();
        key
    }

    fn side(&mut self, key: Key) -> &mut Side {
        self.sides.get_mut(key.index()).unwrap_or_else(|| unreachable!("{key:?}"))
    }

    /// The driver is to hand entries to the kernel.
    fn submit_soon(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Whether the driver has something to hand over; if not, it is woken when there is.
    fn is_wanted(&mut self, context: &Context<'_>) -> bool {
        if self.kernel.has_entries() {
            return true;
        }
        remember(&mut self.driver, context);
        false
    }

    fn receive(&mut self, key: Key) {
        let side = self.side(key);
        if !side.is_receiving && side.end.is_none() {
            side.is_receiving = true;
            self.kernel.receive(key);
            self.submit_soon();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Accepted(key, fd) => {
                self.side(key).opening().accepted.push_back(Ok(fd));
                self.wake_reader(key);
            }
            Event::AcceptEnded(key, error) => {
                let opening = self.side(key).opening();
                opening.is_accepting = false;
                opening.accepted.push_back(Err(error));
                self.wake_reader(key);
            }
            Event::Connected(key, result) => {
                self.side(key).opening().connected = Some(result);
                self.wake_reader(key);
            }
            Event::Received(key, lent) => self.arrived(key, lent),
            Event::ReceiveEnded(key, end) => {
                let side = self.side(key);
                side.is_receiving = false;
                if !matches!(end, End::Paused) {
                    side.end = Some(end);
                    self.wake_reader(key);
                } else if side.arrived.is_empty() {
                    self.receive(key);
                }
            }
            Event::Sent(key, octets, result) => self.sent(key, octets, result),
        }
    }

    fn arrived(&mut self, key: Key, lent: Lent) {
        let is_short = self.kernel.is_short();
        let Self { kernel, sides, .. } = self;
        let Some(side) = sides.get_mut(key.index()) else { return };
        side.arrived_bytes += lent.bytes();
        if side.is_awaited && !is_short {
            side.arrived.push(Arrived::Lent(lent, 0));
        } else {
            side.arrived.copy(kernel.octets(&lent));
            kernel.give_back(lent);
        }
        if side.arrived_bytes > WAITING_MAX && side.is_receiving {
            kernel.pause(key);
        }
        self.wake_reader(key);
    }

    fn sent(&mut self, key: Key, mut octets: Vec<u8>, result: io::Result<()>) {
        let side = self.side(key);
        side.sending = 0;
        if let Err(error) = result {
            side.write_error = Some(error.kind());
            side.waiting = Vec::new();
        } else if !side.waiting.is_empty() {
            let next = std::mem::take(&mut side.waiting);
            side.sending = next.len();
            self.kernel.send(key, next);
        }
        if octets.capacity() <= SPARE_BYTES_MAX && self.spare.len() < SPARE_MAX {
            octets.clear();
            self.spare.push(octets);
        }
        if let Some(writer) = self.side(key).writer.take() {
            self.wake.push(writer);
        }
    }

    fn wake_reader(&mut self, key: Key) {
        if let Some(reader) = self.side(key).reader.take() {
            self.wake.push(reader);
        }
    }

    /// Hands at most `bytes_max` octets that arrived to `take`; none at the end of the stream.
    fn read<T>(
        &mut self,
        key: Key,
        context: &Context<'_>,
        bytes_max: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        let Self { kernel, sides, .. } = self;
        let Some(side) = sides.get_mut(key.index()) else { unreachable!("{key:?}") };
        let Some(mut arrived) = side.arrived.take_first() else {
            return match &side.end {
                Some(End::Failed(error)) => Poll::Ready(Err(error.kind().into())),
                Some(End::Closed | End::Paused) => Poll::Ready(Ok(take(&[]))),
                None => {
                    side.is_awaited = true;
                    remember(&mut side.reader, context);
                    self.receive(key);
                    Poll::Pending
                }
            };
        };
        side.is_awaited = false;
        let (octets, from) = match &mut arrived {
            Arrived::Lent(lent, from) => (kernel.octets(lent), from),
            Arrived::Copied(octets, from) => (octets.as_slice(), from),
        };
        let rest = octets.get(*from..).unwrap_or_default();
        let given = rest.get(..bytes_max).unwrap_or(rest);
        let (count, is_all) = (given.len(), given.len() == rest.len());
        let taken = take(given);
        *from += count;
        side.arrived_bytes = side.arrived_bytes.saturating_sub(count);
        match arrived {
            arrived if !is_all => side.arrived.put_first(arrived),
            Arrived::Lent(lent, _) => kernel.give_back(lent),
            Arrived::Copied(..) => {}
        }
        Poll::Ready(Ok(taken))
    }

    /// Takes all of `octets` if there is room for them.
    fn write(
        &mut self,
        key: Key,
        context: &Context<'_>,
        octets: &mut Vec<u8>,
    ) -> Poll<io::Result<()>> {
        let side = self.side(key);
        if let Some(kind) = side.write_error {
            return Poll::Ready(Err(kind.into()));
        }
        if octets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if side.sending == 0 {
            // What waits goes at once, so nothing does.
            side.sending = octets.len();
            let next = std::mem::replace(octets, self.spare.pop().unwrap_or_default());
            self.kernel.send(key, next);
            self.submit_soon();
            return Poll::Ready(Ok(()));
        }
        if side.sending + side.waiting.len() > WAITING_MAX {
            remember(&mut side.writer, context);
            return Poll::Pending;
        }
        if side.waiting.is_empty() {
            std::mem::swap(&mut side.waiting, octets);
        } else {
            side.waiting.extend_from_slice(octets);
            octets.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when everything that was written is with the kernel's TCP.
    fn written(&mut self, key: Key, context: &Context<'_>) -> Poll<io::Result<()>> {
        let side = self.side(key);
        if let Some(kind) = side.write_error {
            return Poll::Ready(Err(kind.into()));
        }
        if side.sending == 0 {
            return Poll::Ready(Ok(()));
        }
        remember(&mut side.writer, context);
        Poll::Pending
    }

    fn release(&mut self, key: Key) {
        let mut side = std::mem::take(self.side(key));
        while let Some(arrived) = side.arrived.take_first() {
            if let Arrived::Lent(lent, _) = arrived {
                self.kernel.give_back(lent);
            }
        }
        self.kernel.release(key);
        self.submit_soon();
    }
}

/// A listening socket of a ring.
#[derive(Debug)]
pub struct RingListener {
    ring: SocketRing,
    key: Key,
}

impl RingListener {
    /// The next connection.
    ///
    /// # Errors
    /// What the kernel said: most often that no descriptor is left. The next call tries again.
    pub async fn accept(&self) -> io::Result<RingArrival> {
        let fd = poll_fn(|context| {
            let mut state = self.ring.inner.borrow_mut();
            let side = state.side(self.key);
            if let Some(accepted) = side.opening().accepted.pop_front() {
                return Poll::Ready(accepted);
            }
            remember(&mut side.reader, context);
            if !std::mem::replace(&mut side.opening().is_accepting, true) {
                state.kernel.accept(self.key);
                state.submit_soon();
            }
            Poll::Pending
        });
        let fd = fd.await?;
        let peer = rustix::net::getpeername(&fd).ok().flatten();
        let peer = peer.and_then(|address| address.try_into().ok());
        Ok(RingArrival { ring: self.ring.clone(), fd, peer })
    }
}

/// A connection that was accepted and is not served yet: turning it away costs the ring nothing.
#[derive(Debug)]
pub struct RingArrival {
    ring: SocketRing,
    fd: OwnedFd,
    peer: Option<SocketAddr>,
}

impl RingArrival {
    /// The other end; none if it went away already.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Says `line` if the socket takes it at once, and closes.
    pub fn refuse(self, line: &[u8]) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // Whoever does not hear it sees the connection close.
        let _ = rustix::net::send(&self.fd, line, flags);
    }

    /// Serves it.
    #[must_use]
    pub fn welcome(self) -> RingSocket {
        let key = self.ring.inner.borrow_mut().insert(self.fd);
        let socket = RingSocket { ring: self.ring, key };
        socket.start();
        socket
    }
}

impl Drop for RingListener {
    fn drop(&mut self) {
        self.ring.inner.borrow_mut().release(self.key);
    }
}

/// A connection of a ring. Dropped, it is closed; what was written just before still goes out if the peer takes it at
/// once.
#[derive(Debug)]
pub struct RingSocket {
    ring: SocketRing,
    key: Key,
}

impl RingSocket {
    fn with<T>(&self, work: impl FnOnce(&mut Side) -> T) -> T {
        work(self.ring.inner.borrow_mut().side(self.key))
    }

    fn start(&self) {
        self.ring.inner.borrow_mut().receive(self.key);
    }

    #[cfg(test)]
    pub(super) fn arrived_bytes(&self) -> usize {
        self.with(|side| side.arrived_bytes)
    }

    /// The other end; nothing once the peer has reset the connection. The kernel is asked each time: it is wanted at the
    /// start only.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.ring.inner.borrow().kernel.peer(self.key)
    }

    /// Our end.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.ring.inner.borrow().kernel.local(self.key)
    }

    /// Open, with nothing to be read, as far as the last turn of the ring saw.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.with(|side| {
            side.arrived.is_empty() && side.end.is_none() && side.write_error.is_none()
        })
    }

    /// Hands at most `bytes_max` octets that arrived to `take`; none at the end of the stream. `take` must not use a
    /// socket.
    pub fn poll_read_with<T>(
        &self,
        context: &Context<'_>,
        bytes_max: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        self.ring.inner.borrow_mut().read(self.key, context, bytes_max, take)
    }

    /// Takes all of `octets` and leaves the buffer empty; pending while too much waits for the peer.
    pub fn poll_write_all(
        &self,
        context: &Context<'_>,
        octets: &mut Vec<u8>,
    ) -> Poll<io::Result<()>> {
        self.ring.inner.borrow_mut().write(self.key, context, octets)
    }

    /// Ready when everything that was written is with the kernel's TCP.
    pub fn poll_written(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.ring.inner.borrow_mut().written(self.key, context)
    }
}

impl Drop for RingSocket {
    fn drop(&mut self) {
        self.ring.inner.borrow_mut().release(self.key);
    }
}

impl futures_lite::io::AsyncRead for RingSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let bytes_max = buffer.len();
        self.poll_read_with(context, bytes_max, |octets| {
            if let Some(place) = buffer.get_mut(..octets.len()) {
                place.copy_from_slice(octets);
            }
            octets.len()
        })
    }
}

impl futures_lite::io::AsyncWrite for RingSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.ring.inner.borrow_mut();
        let side = state.side(self.key);
        if side.write_error.is_none() && side.sending + side.waiting.len() > WAITING_MAX {
            remember(&mut side.writer, context);
            return Poll::Pending;
        }
        state.write(self.key, context, &mut buffer.to_vec()).map_ok(|()| buffer.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is queued goes out with the next turn.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(context)
    }
}
