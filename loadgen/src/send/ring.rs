//! One io_uring of one worker, and the buffers that the kernel reads and writes through it.
//!
//! All unsafe code of the load generator is here. What makes it sound: every pointer given to the
//! kernel points into a [`Slot`] (its inbox, its outbox, its message, its address) or into an
//! `Arc` that the slot holds; slots are one allocation that never moves or grows; a slot changes a
//! buffer only while the operation that uses it is not in flight; and the ring is dropped only
//! after all operations came back (if the kernel keeps one, the slots are leaked instead).
//!
//! A slot has at most one connect, one receive and one send in flight. Memory: 4 KiB of inbox a
//! slot, an outbox of at most [`OUTBOX_KEPT_BYTES`] between mails; contents are shared.

#![expect(unsafe_code, reason = "the kernel is given pointers; docs/decisions/0083")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use socket2::{SockAddr, Socket};
use std::os::fd::AsRawFd;

/// Replies of a server are short; longer ones come in parts.
const INBOX_BYTES: usize = 4096;
/// An outbox that grew beyond this (TLS, long pipelined groups) is given back after the send.
const OUTBOX_KEPT_BYTES: usize = 64 * 1024;
/// `IORING_RECVSEND_POLL_FIRST`: a reply is never there before its command was sent, so the first
/// attempt to read is saved.
const POLL_FIRST: u16 = 1;

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Connect,
    Receive,
    Send,
    Cancel,
}

impl Operation {
    fn number(self) -> u64 {
        match self {
            Self::Connect => 0,
            Self::Receive => 1,
            Self::Send => 2,
            Self::Cancel => 3,
        }
    }
}

/// An operation that came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) slot: usize,
    pub(super) operation: Operation,
    /// Octets, or the error's number negated.
    pub(super) result: i32,
}

/// A part of a shared content.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) octets: Arc<[u8]>,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Body {
    fn rest(&self) -> &[u8] {
        self.octets.get(self.from..self.to).unwrap_or_default()
    }
}

struct Slot {
    socket: Option<Socket>,
    address: Option<SockAddr>,
    inbox: Box<[u8]>,
    outbox: Vec<u8>,
    sent: usize,
    body: Option<Body>,
    parts: [libc::iovec; 2],
    message: libc::msghdr,
    connecting: bool,
    receiving: bool,
    sending: bool,
    /// Cancelled: the rest of a send is not sent.
    is_given_up: bool,
}

impl Slot {
    fn new() -> Self {
        let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: a msghdr of zeros is one without address, parts and control data.
        let message = unsafe { std::mem::zeroed() };
        Self {
            socket: None,
            address: None,
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
            outbox: Vec::new(),
            sent: 0,
            body: None,
            parts: [nothing; 2],
            message,
            connecting: false,
            receiving: false,
            sending: false,
            is_given_up: false,
        }
    }

    fn fd(&self) -> Fd {
        Fd(self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }

    /// Takes `bytes` off what is to be sent; whether there is a rest.
    fn advance(&mut self, bytes: usize) -> bool {
        let of_outbox = bytes.min(self.outbox.len() - self.sent);
        self.sent += of_outbox;
        if let Some(body) = &mut self.body {
            body.from = (body.from + (bytes - of_outbox)).min(body.to);
        }
        self.sent < self.outbox.len() || self.body.as_ref().is_some_and(|body| body.from < body.to)
    }

    fn is_busy(&self) -> bool {
        self.connecting || self.receiving || self.sending
    }
}

/// A ring with a fixed number of slots, one for each session.
pub(super) struct Ring {
    ring: IoUring,
    slots: Box<[Slot]>,
    in_flight: usize,
    receive_flags: u16,
    came_back: Vec<Completion>,
}

impl Ring {
    /// A ring for the thread that makes it.
    ///
    /// # Errors
    /// The kernel has no io_uring, or forbids it.
    pub(super) fn new(slots: usize) -> io::Result<Self> {
        let completions = u32::try_from(slots.saturating_mul(6)).unwrap_or(u32::MAX).max(64);
        let entries = completions.min(4096).next_power_of_two();
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions.max(entries * 2)).setup_clamp();
        let plain = builder.clone();
        builder.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
        // Kernels before 6.1 know no deferred task work: they get a plain ring.
        let (ring, receive_flags) = match builder.build(entries) {
            Ok(ring) => (ring, POLL_FIRST),
            Err(_) => (plain.build(entries)?, 0),
        };
        let slots = (0..slots).map(|_| Slot::new()).collect();
        Ok(Self { ring, slots, in_flight: 0, receive_flags, came_back: Vec::new() })
    }

    fn slot(&mut self, slot: usize) -> &mut Slot {
        self.slots.get_mut(slot).unwrap_or_else(|| unreachable!("a slot of this ring"))
    }

    fn push(&mut self, slot: usize, operation: Operation, entry: squeue::Entry) -> io::Result<()> {
        let entry = entry.user_data((slot as u64) << 2 | operation.number());
        if operation != Operation::Cancel {
            self.in_flight += 1;
        }
        loop {
            // SAFETY: the entry points into its slot, which keeps still until it came back; see the
            // head of this file.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    /// Begins to connect; the slot holds the socket until [`Ring::close`].
    pub(super) fn connect(&mut self, slot: usize, socket: Socket, to: SockAddr) -> io::Result<()> {
        let here = self.slot(slot);
        assert!(!here.is_busy() && here.socket.is_none(), "slot {slot} is connected");
        here.socket = Some(socket);
        let address = here.address.insert(to);
        let (pointer, length) = (address.as_ptr().cast(), address.len());
        here.connecting = true;
        let entry = opcode::Connect::new(here.fd(), pointer, length).build();
        self.push(slot, Operation::Connect, entry)
    }

    /// Waits for octets; nothing if it does so already.
    pub(super) fn receive(&mut self, slot: usize) -> io::Result<()> {
        let flags = self.receive_flags;
        let here = self.slot(slot);
        if here.receiving {
            return Ok(());
        }
        here.receiving = true;
        let bytes = u32::try_from(here.inbox.len()).unwrap_or(u32::MAX);
        let entry =
            opcode::Recv::new(here.fd(), here.inbox.as_mut_ptr(), bytes).ioprio(flags).build();
        self.push(slot, Operation::Receive, entry)
    }

    /// What a receive brought; empty while one is in flight.
    pub(super) fn received(&self, slot: usize, bytes: usize) -> &[u8] {
        let here = self.slots.get(slot).filter(|here| !here.receiving);
        here.and_then(|here| here.inbox.get(..bytes)).unwrap_or_default()
    }

    /// Sends what `fill` writes, and `body` after it.
    pub(super) fn send(
        &mut self,
        slot: usize,
        fill: impl FnOnce(&mut Vec<u8>),
        body: Option<Body>,
    ) -> io::Result<()> {
        let here = self.slot(slot);
        assert!(!here.sending, "slot {slot} sends already");
        here.outbox.clear();
        here.sent = 0;
        fill(&mut here.outbox);
        here.body = body;
        self.send_rest(slot)
    }

    fn send_rest(&mut self, slot: usize) -> io::Result<()> {
        let here = self.slot(slot);
        here.sending = true;
        let fd = here.fd();
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let outbox = here.outbox.get(here.sent..).unwrap_or_default();
        let part = |octets: &[u8]| libc::iovec {
            iov_base: octets.as_ptr().cast_mut().cast(),
            iov_len: octets.len(),
        };
        let entry = match &here.body {
            None => {
                let bytes = u32::try_from(outbox.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, outbox.as_ptr(), bytes).flags(flags).build()
            }
            Some(body) => {
                here.parts = [part(outbox), part(body.rest())];
                here.message.msg_iov = here.parts.as_mut_ptr();
                here.message.msg_iovlen = here.parts.len();
                let flags = flags.unsigned_abs();
                opcode::SendMsg::new(fd, &raw const here.message).flags(flags).build()
            }
        };
        self.push(slot, Operation::Send, entry)
    }

    /// Asks the kernel to give up what is in flight; it comes back as cancelled, or as it ended.
    pub(super) fn cancel(&mut self, slot: usize) -> io::Result<()> {
        let here = self.slot(slot);
        here.is_given_up = true;
        let flying = [
            (here.connecting, Operation::Connect),
            (here.receiving, Operation::Receive),
            (here.sending, Operation::Send),
        ];
        for (_, operation) in flying.into_iter().filter(|(is, _)| *is) {
            let target = (slot as u64) << 2 | operation.number();
            self.push(slot, Operation::Cancel, opcode::AsyncCancel::new(target).build())?;
        }
        Ok(())
    }

    /// Whether anything of this slot is in flight.
    pub(super) fn is_busy(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(Slot::is_busy)
    }

    /// Whether a send of this slot is in flight.
    pub(super) fn is_sending(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|here| here.sending)
    }

    /// Closes the socket of a slot that is not busy.
    pub(super) fn close(&mut self, slot: usize) {
        let here = self.slot(slot);
        assert!(!here.is_busy(), "slot {slot} has something in flight");
        here.socket = None;
        here.body = None;
        here.is_given_up = false;
    }

    /// Hands all entries to the kernel and waits for something to come back, at most `wait`.
    pub(super) fn wait(&mut self, wait: Duration) -> io::Result<()> {
        let until = Timespec::from(wait);
        let arguments = SubmitArgs::new().timespec(&until);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // Time is up; a signal; completions wait to be read first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        self.came_back.clear();
        for entry in self.ring.completion() {
            let data = entry.user_data();
            let operation = match data & 3 {
                0 => Operation::Connect,
                1 => Operation::Receive,
                2 => Operation::Send,
                _ => Operation::Cancel,
            };
            let slot = usize::try_from(data >> 2).unwrap_or(usize::MAX);
            self.came_back.push(Completion { slot, operation, result: entry.result() });
        }
        Ok(())
    }

    /// How many completions the last wait brought.
    pub(super) fn completions(&self) -> usize {
        self.came_back.len()
    }

    /// Takes one completion; none for what needs nobody's attention: a cancel, or a part of a
    /// send, whose rest goes out.
    pub(super) fn completion(&mut self, index: usize) -> io::Result<Option<Completion>> {
        let Some(&completion) = self.came_back.get(index) else { return Ok(None) };
        if completion.operation == Operation::Cancel {
            return Ok(None);
        }
        self.in_flight -= 1;
        let here = self.slot(completion.slot);
        match completion.operation {
            Operation::Connect => here.connecting = false,
            Operation::Receive => here.receiving = false,
            Operation::Send | Operation::Cancel => {
                here.sending = false;
                let bytes = usize::try_from(completion.result).unwrap_or(0);
                if bytes > 0 && here.advance(bytes) && !here.is_given_up {
                    self.send_rest(completion.slot)?;
                    return Ok(None);
                }
                here.body = None;
                if here.outbox.capacity() > OUTBOX_KEPT_BYTES {
                    here.outbox = Vec::new();
                }
            }
        }
        Ok(Some(completion))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Failures here leave operations in flight, which is dealt with at the end.
        let _ = self.ring.submit();
        if self.in_flight > 0 {
            let limit = Timespec::from(Duration::from_secs(5));
            let _ = self.ring.submitter().register_sync_cancel(Some(limit), CancelBuilder::any());
        }
        for _ in 0..100 {
            if self.in_flight == 0 {
                return;
            }
            if self.wait(Duration::from_millis(50)).is_err() {
                break;
            }
            let back = self.came_back.iter().filter(|one| one.operation != Operation::Cancel);
            self.in_flight = self.in_flight.saturating_sub(back.count());
        }
        if self.in_flight > 0 {
            // The kernel may still write: memory that is never used again is the lesser evil.
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}
