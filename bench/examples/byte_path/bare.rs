//! What a ring can do at best: multishot accept into fixed slots, multishot receive into shared buffers, one send in
//! flight for each connection, and the least of SMTP that a well-behaved client needs. It checks nothing, limits nothing
//! and times nothing out: it is for loopback, and for comparing with.
//!
//! Came over from the trial before the first line of the engine. Memory: 16,384 slots, 1,024 buffers of 16 KiB.

#![expect(unsafe_code, reason = "the kernel is given pointers; docs/decisions/0088")]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use memchr::{memchr, memmem};
use socket2::{Domain, Socket, Type};

const SLOTS: u32 = 16_384;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 16 * 1024;
const GROUP: u16 = 0;

const ACCEPT: u64 = 1 << 56;
const RECEIVE: u64 = 2 << 56;
const SEND: u64 = 3 << 56;
const CLOSE: u64 = 4 << 56;
const KIND: u64 = 0xff << 56;

/// The buffers that all connections receive into, and the ring by which the kernel gets them.
struct Buffers {
    entries: *mut types::BufRingEntry,
    octets: Vec<u8>,
    tail: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> Self {
        // Page-aligned, as the kernel asks for; leaked, as it keeps them to the end of the process.
        let layout = std::alloc::Layout::from_size_align(
            usize::from(BUFFERS) * size_of::<types::BufRingEntry>(),
            4096,
        )
        .unwrap();
        // SAFETY: the layout is not empty.
        let entries = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<types::BufRingEntry>();
        // SAFETY: `entries` are so many, aligned to a page, and live to the end of the process.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(entries as u64, BUFFERS, GROUP, 0)
                .unwrap();
        }
        let octets = vec![0; usize::from(BUFFERS) * BUFFER_BYTES];
        let mut buffers = Self { entries, octets, tail: 0 };
        for number in 0..BUFFERS {
            buffers.give(number);
        }
        buffers.commit();
        buffers
    }

    fn octets(&self, number: u16, bytes: usize) -> &[u8] {
        let from = usize::from(number) * BUFFER_BYTES;
        &self.octets[from..from + bytes]
    }

    /// Puts a buffer behind those that the kernel has; it sees it after `commit`.
    fn give(&mut self, number: u16) {
        let from = usize::from(number) * BUFFER_BYTES;
        let address = self.octets[from..].as_ptr() as u64;
        let at = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `at` is below BUFFERS, and the kernel does not read entries behind its tail.
        let entry = unsafe { &mut *self.entries.wrapping_add(at) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    fn commit(&self) {
        // SAFETY: the tail lies within the first entry, which lives as long as the process.
        let tail = unsafe { types::BufRingEntry::tail(self.entries) }.cast::<AtomicU16>();
        // SAFETY: it is aligned to two octets, and only read by the kernel.
        unsafe { &*tail }.store(self.tail, Ordering::Release);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Commands,
    /// In content; how much of `CR LF .` CR LF was seen: 0 nothing, 1 at the start of a line, 2 a dot, 3 its CR.
    Content(u8),
}

struct Connection {
    phase: Phase,
    line: Vec<u8>,
    body: Vec<u8>,
    output: Vec<u8>,
    /// Given to the kernel; unchanged while `sending`.
    in_flight: Vec<u8>,
    sending: bool,
    closing: bool,
    live: bool,
}

impl Connection {
    const NEW: Self = Self {
        phase: Phase::Commands,
        line: Vec::new(),
        body: Vec::new(),
        output: Vec::new(),
        in_flight: Vec::new(),
        sending: false,
        closing: false,
        live: false,
    };

    /// A connection in a slot that may have had one before, whose buffers it keeps.
    fn begin(&mut self) {
        (self.phase, self.closing, self.live) = (Phase::Commands, false, true);
        self.line.clear();
        self.output.clear();
        self.output.extend_from_slice(b"220 bare ESMTP\r\n");
    }

    /// Takes octets in; what is to be said is in `output` afterwards.
    fn feed(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() && !self.closing {
            octets = match self.phase {
                Phase::Commands => self.command_line(octets),
                Phase::Content(seen) => self.content(octets, seen),
            };
        }
    }

    fn command_line<'o>(&mut self, octets: &'o [u8]) -> &'o [u8] {
        let Some(end) = memchr(b'\n', octets) else {
            self.line.extend_from_slice(octets);
            return &[];
        };
        let (head, rest) = octets.split_at(end + 1);
        if self.line.is_empty() {
            self.command(head);
        } else {
            self.line.extend_from_slice(head);
            let line = std::mem::take(&mut self.line);
            self.command(&line);
        }
        rest
    }

    fn command(&mut self, line: &[u8]) {
        let mut verb = [0; 4];
        verb.iter_mut().zip(line).for_each(|(to, from)| *to = from.to_ascii_uppercase());
        self.output.extend_from_slice(match &verb {
            b"EHLO" => b"250-bare\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n",
            b"MAIL" => b"250 2.1.0 ok\r\n",
            b"RCPT" => b"250 2.1.5 ok\r\n",
            b"DATA" => {
                self.phase = Phase::Content(1);
                self.body.clear();
                b"354 go\r\n"
            }
            b"QUIT" => {
                self.closing = true;
                b"221 bye\r\n"
            }
            b"RSET" | b"NOOP" => b"250 ok\r\n",
            _ => b"500 what\r\n",
        });
    }

    /// Takes content up to its end; gives what is behind it.
    fn content<'o>(&mut self, octets: &'o [u8], seen: u8) -> &'o [u8] {
        let first = octets[0];
        match (seen, first) {
            (1, b'.') => self.phase = Phase::Content(2),
            (2, b'\r') => self.phase = Phase::Content(3),
            (3, b'\n') => {
                self.phase = Phase::Commands;
                self.output.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            _ => return self.text(octets),
        }
        &octets[1..]
    }

    /// Takes octets that do not begin with a part of an end.
    fn text<'o>(&mut self, octets: &'o [u8]) -> &'o [u8] {
        if octets[0] == b'\n' && self.body.last() == Some(&b'\r') {
            self.body.push(b'\n');
            self.phase = Phase::Content(1);
            return &octets[1..];
        }
        if let Some(at) = memmem::find(octets, b"\r\n.") {
            self.body.extend_from_slice(&octets[..at + 2]);
            self.phase = Phase::Content(2);
            return &octets[at + 3..];
        }
        self.body.extend_from_slice(octets);
        self.phase = Phase::Content(u8::from(octets.ends_with(b"\r\n")));
        &[]
    }
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    connections: Vec<Connection>,
}

impl Server {
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the entry points to is in a connection that stays where it is, unchanged, until the
            // operation came back, or it points to nothing.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.ring.submit().unwrap();
        }
    }

    fn receive(&mut self, slot: u32) {
        let entry = opcode::RecvMulti::new(types::Fixed(slot), GROUP).build();
        self.push(&entry.user_data(RECEIVE | u64::from(slot)));
    }

    /// Sends what is to be said, if nothing is being sent.
    fn kick(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        if connection.sending || connection.output.is_empty() || !connection.live {
            return;
        }
        std::mem::swap(&mut connection.output, &mut connection.in_flight);
        connection.output.clear();
        connection.sending = true;
        let (from, bytes) = (connection.in_flight.as_ptr(), connection.in_flight.len() as u32);
        let entry = opcode::Send::new(types::Fixed(slot), from, bytes)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.push(&entry.user_data(SEND | u64::from(slot)));
    }

    fn close(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.connections[slot as usize].live, false) {
            return;
        }
        let cancel = opcode::AsyncCancel::new(RECEIVE | u64::from(slot)).build();
        self.push(&cancel.user_data(CLOSE));
        self.push(&opcode::Close::new(types::Fixed(slot)).build().user_data(CLOSE));
    }

    fn received(&mut self, slot: u32, result: i32, flags: u32) {
        let connection = &mut self.connections[slot as usize];
        if result > 0 {
            let number = cqueue::buffer_select(flags).unwrap();
            connection.feed(self.buffers.octets(number, result as usize));
            self.buffers.give(number);
            self.buffers.commit();
            self.kick(slot);
            if !cqueue::more(flags) {
                self.receive(slot);
            }
        } else if result == -libc::ENOBUFS {
            self.receive(slot);
        } else if result != -libc::ECANCELED {
            if connection.live && !connection.sending {
                self.close(slot);
            } else {
                connection.closing = true;
                connection.output.clear();
            }
        }
    }
}

fn listener(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(16_384).unwrap();
    socket.into()
}

fn ring() -> IoUring {
    let ring = IoUring::builder()
        .setup_cqsize(8192)
        .setup_clamp()
        .setup_submit_all()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun()
        .build(1024)
        .unwrap();
    ring.submitter().register_files_sparse(SLOTS).unwrap();
    ring
}

/// Serves until the process ends.
pub(crate) fn serve(address: SocketAddr) {
    let listener = listener(address);
    let ring = ring();
    let buffers = Buffers::new(&ring);
    let mut server = Server { ring, buffers, connections: Vec::with_capacity(SLOTS as usize) };
    let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd()))
        .allocate_file_index(true)
        .build()
        .user_data(ACCEPT);
    server.push(&accept);
    println!("READY {address}");
    let mut done: Vec<(u64, i32, u32)> = Vec::with_capacity(8192);
    loop {
        // Interrupted: there may be something all the same.
        let _ = server.ring.submit_and_wait(1);
        done.clear();
        let each = server.ring.completion().map(|one| (one.user_data(), one.result(), one.flags()));
        done.extend(each);
        for &(what, result, flags) in &done {
            let slot = what as u32;
            match what & KIND {
                ACCEPT => {
                    if result >= 0 {
                        let slot = result as u32;
                        while server.connections.len() <= slot as usize {
                            server.connections.push(Connection::NEW);
                        }
                        server.connections[slot as usize].begin();
                        server.receive(slot);
                        server.kick(slot);
                    }
                    if !cqueue::more(flags) {
                        server.push(&accept);
                    }
                }
                RECEIVE => server.received(slot, result, flags),
                SEND => {
                    let connection = &mut server.connections[slot as usize];
                    connection.sending = false;
                    if result < 0 || connection.output.is_empty() && connection.closing {
                        server.close(slot);
                    } else {
                        server.kick(slot);
                    }
                }
                _ => {}
            }
        }
    }
}
