//! One io_uring, and every octet that the kernel reads or writes through it.
//!
//! All unsafe code of the room is in this folder. What makes it sound: a pointer that the kernel gets leads into the memory of
//! `Buffers`, into the `outgoing` or the `address` of a slot, all on the heap and kept where they are until the
//! operation that uses them came back; a buffer of `Buffers` belongs either to the kernel or to one [`Lent`]; and
//! both are freed only after all operations came back (if the kernel keeps one, they are leaked instead).
//!
//! A slot has at most one of each operation in flight. Its place is used again only when none is left, and then under
//! another generation, so that a late completion can never be taken for one of its successor.

#![expect(unsafe_code, reason = "the kernel is given pointers; docs/decisions/0086")]

mod buffers;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::net::TcpListener;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use socket2::SockAddr;

use buffers::{BUFFERS, Buffers};

/// Entries of the submission queue; a full one is submitted at once.
const ENTRIES: u32 = 512;
/// Entries of the completion queue; what does not fit waits in the kernel.
const COMPLETIONS: u32 = 4096;
/// Sockets that have their places from the start: addresses, not memory, until they are used. Grown to it by doubling, the
/// places would leave as much memory behind as they take.
pub(super) const PLACES: usize = 32 * 1024;
/// The only group of buffers.
const GROUP: u16 = 0;

/// A listener of glommio's, which takes a bound socket only as a descriptor.
pub(super) fn glommio_listener(socket: socket2::Socket) -> TcpListener {
    // SAFETY: an open socket that nobody else owns.
    unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) }
}

/// What was asked of the kernel. The number is part of the completion's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Operation {
    Accept = 1,
    Connect = 2,
    Receive = 4,
    Send = 8,
    /// Cancel or close: nobody waits for it.
    Other = 0,
}

impl Operation {
    fn of(number: u64) -> Self {
        match number {
            1 => Self::Accept,
            2 => Self::Connect,
            4 => Self::Receive,
            8 => Self::Send,
            _ => Self::Other,
        }
    }
}

/// A socket of this ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    generation: u32,
}

impl Key {
    fn data(self, operation: Operation) -> u64 {
        u64::from(operation as u8) << 56
            | u64::from(self.generation & GENERATION_MASK) << 32
            | u64::from(self.slot)
    }

    pub(super) fn index(self) -> usize {
        self.slot as usize
    }
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

/// A buffer with octets that arrived; to be given back by [`Kernel::give_back`].
#[derive(Debug)]
pub(super) struct Lent {
    id: u16,
    bytes: usize,
}

impl Lent {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What came back.
#[derive(Debug)]
pub(super) enum Event {
    Accepted(Key, OwnedFd),
    /// No more connections until asked again.
    AcceptEnded(Key, io::Error),
    Connected(Key, io::Result<()>),
    Received(Key, Lent),
    /// No more octets until asked again.
    ReceiveEnded(Key, End),
    /// With the buffer that was sent.
    Sent(Key, Vec<u8>, io::Result<()>),
}

/// Why receiving ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer closed its half.
    Closed,
    /// We asked for it, or the kernel did for reasons of its own.
    Paused,
    Failed(io::Error),
}

#[derive(Default)]
struct Slot {
    fd: Option<OwnedFd>,
    generation: u32,
    outgoing: Vec<u8>,
    sent: usize,
    address: Option<Box<SockAddr>>,
    /// Operations in flight.
    in_flight: u8,
    is_released: bool,
}

impl Slot {
    fn has(&self, operation: Operation) -> bool {
        self.in_flight & operation as u8 != 0
    }

    fn fd(&self) -> Fd {
        Fd(self.fd.as_ref().map_or(-1, std::os::fd::AsRawFd::as_raw_fd))
    }
}

/// The ring. Belongs to the thread that made it.
pub(super) struct Kernel {
    ring: IoUring,
    buffers: Option<Buffers>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Operations that did not come back, those of released slots included.
    in_flight: usize,
    wake: OwnedFd,
    /// Sockets that found no buffer, the one that waits longest first.
    starved: VecDeque<Key>,
    came_back: Vec<cqueue::Entry>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Kernel {
    /// # Errors
    /// The kernel is older than 6.1, or io_uring is forbidden.
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS).setup_submit_all();
        builder.setup_single_issuer().setup_defer_taskrun();
        builder.setup_coop_taskrun().setup_taskrun_flag();
        let mut ring: IoUring = builder.build(ENTRIES)?;
        // Saves a look-up in each call; not known everywhere.
        let _ = ring.submitter().register_ring_fd();
        let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        ring.submitter().register_eventfd(wake.as_raw_fd())?;
        ring.completion().disable_eventfd();
        let mut buffers = Buffers::new();
        // SAFETY: a page of its own that is freed after the ring only.
        let registered = unsafe {
            ring.submitter().register_buf_ring_with_flags(buffers.ring_address(), BUFFERS, GROUP, 0)
        };
        if let Err(error) = registered {
            buffers.free();
            return Err(error);
        }
        for id in 0..BUFFERS {
            buffers.give(id);
        }
        Ok(Self {
            ring,
            buffers: Some(buffers),
            slots: Vec::with_capacity(PLACES),
            free: Vec::new(),
            in_flight: 0,
            wake,
            starved: VecDeque::new(),
            came_back: Vec::new(),
        })
    }

    /// Reads of it end when something came back while [`Self::sleep`] was in force.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn wake_file(&self) -> io::Result<BufferedFile> {
        let fd = self.wake.try_clone()?;
        // SAFETY: an open descriptor that nobody else owns.
        Ok(unsafe { BufferedFile::from_raw_fd(fd.into_raw_fd()) })
    }

    fn slot(&mut self, key: Key) -> &mut Slot {
        let slot = self.slots.get_mut(key.index()).unwrap_or_else(|| unreachable!("slot {key:?}"));
        assert!(slot.generation == key.generation && !slot.is_released, "{key:?} is gone");
        slot
    }

    /// Takes a socket.
    pub(super) fn insert(&mut self, fd: OwnedFd) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1)
                .unwrap_or_else(|_| unreachable!("that many sockets"))
        });
        let generation = match self.slots.get_mut(index as usize) {
            Some(slot) => {
                slot.fd = Some(fd);
                slot.generation
            }
            None => unreachable!("slot {index}"),
        };
        Key { slot: index, generation }
    }

    fn fd(&self, key: Key) -> Option<&OwnedFd> {
        let slot = self.slots.get(key.index()).filter(|slot| slot.generation == key.generation)?;
        slot.fd.as_ref()
    }

    /// The other end of a socket.
    pub(super) fn peer(&self, key: Key) -> Option<SocketAddr> {
        rustix::net::getpeername(self.fd(key)?).ok()??.try_into().ok()
    }

    /// Our end of a socket.
    pub(super) fn local(&self, key: Key) -> Option<SocketAddr> {
        rustix::net::getsockname(self.fd(key)?).ok()?.try_into().ok()
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the entry points to keeps still until it came back; see the head of this file.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            // Full. A failure here is one of the next turn, too.
            let _ = self.ring.submit();
        }
    }

    fn begin(&mut self, key: Key, operation: Operation, entry: squeue::Entry) {
        let slot = self.slot(key);
        assert!(!slot.has(operation), "{operation:?} of {key:?} is in flight");
        slot.in_flight |= operation as u8;
        self.in_flight += 1;
        self.push(&entry.user_data(key.data(operation)));
    }

    /// Accepts connections until told otherwise; nothing if it does so already.
    pub(super) fn accept(&mut self, key: Key) {
        let slot = self.slot(key);
        if !slot.has(Operation::Accept) {
            let entry = opcode::AcceptMulti::new(slot.fd()).flags(libc::SOCK_CLOEXEC).build();
            self.begin(key, Operation::Accept, entry);
        }
    }

    pub(super) fn connect(&mut self, key: Key, to: SockAddr) {
        let slot = self.slot(key);
        let address = slot.address.insert(Box::new(to));
        let (pointer, length) = (address.as_ptr().cast(), address.len());
        let entry = opcode::Connect::new(slot.fd(), pointer, length).build();
        self.begin(key, Operation::Connect, entry);
    }

    /// Receives until told otherwise; nothing if it does so already.
    pub(super) fn receive(&mut self, key: Key) {
        let slot = self.slot(key);
        if !slot.has(Operation::Receive) {
            let entry = opcode::RecvMulti::new(slot.fd(), GROUP).build();
            self.begin(key, Operation::Receive, entry);
        }
    }

    /// Stops receiving; what the kernel took meanwhile still comes.
    pub(super) fn pause(&mut self, key: Key) {
        if self.slot(key).has(Operation::Receive) {
            self.cancel(key, Operation::Receive);
        }
    }

    fn cancel(&mut self, key: Key, operation: Operation) {
        let entry = opcode::AsyncCancel::new(key.data(operation)).build();
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(key.data(Operation::Other)));
    }

    /// Sends all of it; one at a time.
    pub(super) fn send(&mut self, key: Key, octets: Vec<u8>) {
        let slot = self.slot(key);
        assert!(!slot.has(Operation::Send), "{key:?} sends already");
        slot.outgoing = octets;
        slot.sent = 0;
        self.send_rest(key);
    }

    fn send_rest(&mut self, key: Key) {
        let slot = self.slot(key);
        let rest = slot.outgoing.get(slot.sent..).unwrap_or_default();
        let bytes = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = opcode::Send::new(slot.fd(), rest.as_ptr(), bytes).flags(flags).build();
        self.begin(key, Operation::Send, entry);
    }

    /// Closes the socket. What was given to the kernel is begun before, and given up if it does not end at once.
    pub(super) fn release(&mut self, key: Key) {
        for operation in
            [Operation::Accept, Operation::Connect, Operation::Receive, Operation::Send]
        {
            if self.slot(key).has(operation) {
                self.cancel(key, operation);
            }
        }
        let slot = self.slot(key);
        slot.is_released = true;
        let fd = slot.fd.take();
        let is_idle = slot.in_flight == 0;
        if let Some(fd) = fd {
            let entry = opcode::Close::new(Fd(fd.into_raw_fd())).build();
            let entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
            self.push(&entry.user_data(key.data(Operation::Other)));
        }
        if is_idle {
            self.vacate(key.slot);
        }
    }

    fn vacate(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            let generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
            *slot = Slot { generation, ..Slot::default() };
            self.free.push(index);
        }
    }

    /// The octets of a buffer.
    pub(super) fn octets(&self, lent: &Lent) -> &[u8] {
        let Some(buffers) = &self.buffers else { return &[] };
        buffers.octets(lent.id, lent.bytes)
    }

    pub(super) fn give_back(&mut self, lent: Lent) {
        if let Some(buffers) = &mut self.buffers {
            buffers.give(lent.id);
        }
    }

    /// Few buffers are left: who does not read at once must not keep one.
    pub(super) fn is_short(&self) -> bool {
        self.buffers.as_ref().is_some_and(|buffers| buffers.lent > BUFFERS / 2)
    }

    /// Something waits to be handed to the kernel.
    pub(super) fn has_entries(&mut self) -> bool {
        !self.ring.submission().is_empty() || !self.starved.is_empty()
    }

    /// From now on what comes back wakes a reader of [`Self::wake_file`]; `false` if there is something already.
    pub(super) fn sleep(&mut self) -> bool {
        self.ring.completion().enable_eventfd();
        // The kernel looks at the flag after it has put its work where we look for it, we the other way round.
        fence(Ordering::SeqCst);
        if self.has_deferred() {
            self.run_deferred();
        }
        if self.has_entries() || !self.ring.completion().is_empty() {
            self.awake();
            return false;
        }
        true
    }

    /// Has the kernel do all that it deferred, so that what is deferred later is the first and rings the bell.
    ///
    /// The flag that says so is no proof: an interrupt queues its work and then sets it, and if we take the work in
    /// between, it stays set until the next work. A driver that believed it never slept, and let nobody run.
    fn run_deferred(&mut self) {
        let now = Timespec::from(Duration::ZERO);
        let all = COMPLETIONS as usize;
        // It ends by its time, having done everything; whatever else it says, completions are looked for next.
        let _ = self.ring.submitter().submit_with_args(all, &SubmitArgs::new().timespec(&now));
    }

    pub(super) fn awake(&mut self) {
        self.ring.completion().disable_eventfd();
    }

    /// Hands everything to the kernel, and takes what came back.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn turn(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        // As many as there are buffers. With thousands that wait, all but a few would be told again that there is none.
        let free = self.buffers.as_ref().map_or(0, |buffers| BUFFERS - buffers.lent.min(BUFFERS));
        for _ in 0..free {
            let Some(key) = self.starved.pop_front() else { break };
            let slot = self.slots.get(key.index());
            if slot.is_some_and(|slot| slot.generation == key.generation && !slot.is_released) {
                self.receive(key);
            }
        }
        if (self.has_entries() || self.has_deferred())
            && let Err(error) = self.ring.submit()
        {
            match error.raw_os_error() {
                // Completions have to be taken first; no memory just now; a signal.
                Some(libc::EBUSY | libc::EAGAIN | libc::EINTR) => {}
                _ => return Err(error),
            }
        }
        self.take_all(events);
        Ok(())
    }

    /// Whether more came back than the last turn took; wrong at times, see [`Self::run_deferred`].
    pub(super) fn has_deferred(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    fn take_all(&mut self, events: &mut Vec<Event>) {
        let mut came_back = std::mem::take(&mut self.came_back);
        came_back.extend(self.ring.completion());
        for entry in came_back.drain(..) {
            self.take(&entry, events);
        }
        self.came_back = came_back;
    }

    fn take(&mut self, entry: &cqueue::Entry, events: &mut Vec<Event>) {
        let (data, result) = (entry.user_data(), entry.result());
        let operation = Operation::of(data >> 56);
        if operation == Operation::Other {
            return;
        }
        let index = u32::try_from(data & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let generation = u32::try_from(data >> 32).unwrap_or(0) & GENERATION_MASK;
        let key = Key { slot: index, generation };
        let has_more = cqueue::more(entry.flags());
        let lent = cqueue::buffer_select(entry.flags())
            .map(|id| Lent { id, bytes: usize::try_from(result).unwrap_or(0) });
        if let (Some(_), Some(buffers)) = (&lent, &mut self.buffers) {
            buffers.lent += 1;
        }
        let accepted = (operation == Operation::Accept && result >= 0)
            // SAFETY: the kernel made this descriptor for us just now.
            .then(|| unsafe { OwnedFd::from_raw_fd(result) });
        let Some(slot) = self.slots.get_mut(index as usize) else { unreachable!("slot {index}") };
        assert!(slot.generation == generation, "{operation:?} of a socket that is gone");
        if !has_more {
            slot.in_flight &= !(operation as u8);
            self.in_flight -= 1;
        }
        if slot.is_released {
            let is_idle = slot.in_flight == 0;
            if let Some(lent) = lent {
                self.give_back(lent);
            }
            if is_idle {
                self.vacate(index);
            }
            return;
        }
        let result =
            if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) };
        match operation {
            Operation::Accept => match (accepted, result) {
                (Some(fd), _) => {
                    events.push(Event::Accepted(key, fd));
                    if !has_more {
                        self.accept(key);
                    }
                }
                (None, Err(error)) => events.push(Event::AcceptEnded(key, error)),
                (None, Ok(_)) => {}
            },
            Operation::Connect => events.push(Event::Connected(key, result.map(drop))),
            Operation::Receive => self.received(key, lent, result, has_more, events),
            Operation::Send => self.sent(key, result, events),
            Operation::Other => {}
        }
    }

    fn received(
        &mut self,
        key: Key,
        lent: Option<Lent>,
        result: io::Result<i32>,
        has_more: bool,
        events: &mut Vec<Event>,
    ) {
        match lent {
            Some(lent) if lent.bytes > 0 => events.push(Event::Received(key, lent)),
            Some(lent) => self.give_back(lent),
            None => {}
        }
        if has_more {
            return;
        }
        let end = match result {
            Ok(0) => End::Closed,
            Ok(_) => End::Paused,
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    self.starved.push_back(key);
                    return;
                }
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => End::Paused,
                _ => End::Failed(error),
            },
        };
        events.push(Event::ReceiveEnded(key, end));
    }

    fn sent(&mut self, key: Key, result: io::Result<i32>, events: &mut Vec<Event>) {
        let slot = self.slot(key);
        let result = match result {
            Ok(bytes) => {
                slot.sent += usize::try_from(bytes).unwrap_or(0);
                // MSG_WAITALL sends all of it, but for signals and memory.
                if bytes > 0 && slot.sent < slot.outgoing.len() {
                    return self.send_rest(key);
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        let octets = std::mem::take(&mut slot.outgoing);
        events.push(Event::Sent(key, octets, result));
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for index in 0..self.slots.len() {
            let here = self.slots.get(index).filter(|slot| slot.fd.is_some() && !slot.is_released);
            if let (Some(slot), Ok(index)) = (here, u32::try_from(index)) {
                self.release(Key { slot: index, generation: slot.generation });
            }
        }
        let _ = self.ring.submit();
        if self.in_flight > 0 {
            let limit = Timespec::from(Duration::from_secs(1));
            let _ = self.ring.submitter().register_sync_cancel(Some(limit), CancelBuilder::any());
        }
        let mut events = Vec::new();
        for _ in 0..50 {
            if self.in_flight == 0 {
                break;
            }
            let wait = Timespec::from(Duration::from_millis(20));
            let _ = self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&wait));
            self.take_all(&mut events);
            events.clear();
        }
        let buffers = self.buffers.take();
        if self.in_flight > 0 {
            // The kernel may still use them: memory that is never used again is the lesser evil.
            std::mem::forget(std::mem::take(&mut self.slots));
            return;
        }
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
        if let Some(buffers) = buffers {
            buffers.free();
        }
    }
}
