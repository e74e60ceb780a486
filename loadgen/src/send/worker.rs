//! One thread with one ring: begins mails when they are due, carries every completion to its
//! session, and gives up those that wait for too long.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::arrivals::Arrivals;
use super::ring::{Completion, Operation, Ring};
use super::session::{Mail, Session, Step};
use super::tally::{End, Tally};
use super::{Pace, Shared};
use crate::mix::Framing;
use crate::random::Random;

/// A connection that cannot be made costs the mail nothing: it is tried so many times in a row.
const CONNECT_FAILURES_MAX: u32 = 20;
/// Before the next try.
const PAUSE: Duration = Duration::from_millis(100);
/// Mails that wait for a session; what is due beyond is not sent, and said.
const WAITING_MAX: usize = 1_000_000;
/// A mail that a free session begins later than this was late through the generator.
const LATE: Duration = Duration::from_millis(10);

/// A session by its number; numbers are the ring's slots.
pub(super) fn at(sessions: &mut [Session], slot: usize) -> &mut Session {
    sessions.get_mut(slot).unwrap_or_else(|| unreachable!("a session for each slot"))
}

/// A mail of an open loop that is due.
struct Due {
    number: u64,
    at: Instant,
}

/// All that a thread needs. Made by the thread itself: a ring belongs to one.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) ring: Ring,
    pub(super) sessions: Vec<Session>,
    pub(super) tally: Tally,
    /// When the completions at hand came.
    pub(super) now: Instant,
    /// What is said next.
    pub(super) text: Vec<u8>,
    /// Sessions with a connection and without work.
    pub(super) kept: Vec<usize>,
    /// Sessions without a connection and without work.
    free: Vec<usize>,
    framing: Framing,
    draw: Random,
    arrivals: Option<Arrivals>,
    waiting: VecDeque<Due>,
    paused: BinaryHeap<Reverse<(Instant, usize)>>,
    lines: Vec<u8>,
    source: usize,
    watch_every: Duration,
    watch_at: Instant,
}

impl Worker {
    /// Worker `index` of `options.threads`.
    ///
    /// # Errors
    /// No ring can be made.
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> io::Result<Self> {
        let options = &shared.options;
        let sessions = share(options.sessions, options.threads, index);
        let seed = options.seed ^ (index as u64 + 1).wrapping_mul(0x00D1_B54A_32D1_92ED);
        let ring = Ring::new(sessions);
        // Who failed must be counted too, or the others wait for him.
        shared.ready.wait();
        let ring = ring?;
        let start = shared.start();
        let framing = if options.chunk_bytes.is_some() { Framing::Octets } else { Framing::Dots };
        let watch_every =
            (options.timeout / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        Ok(Self {
            ring,
            sessions: (0..sessions).map(|_| Session::new(start)).collect(),
            tally: Tally::new(start, Arc::clone(&shared.series)),
            now: start,
            text: Vec::new(),
            kept: Vec::new(),
            free: (0..sessions).rev().collect(),
            framing,
            draw: Random::new(seed),
            arrivals: arrivals(&shared, index, Random::new(!seed)),
            waiting: VecDeque::new(),
            paused: BinaryHeap::new(),
            lines: Vec::new(),
            source: index,
            watch_every,
            watch_at: start,
            shared,
        })
    }

    /// Sends until the end.
    ///
    /// # Errors
    /// The ring fails; what was counted is lost with it.
    pub(super) fn run(mut self) -> io::Result<Tally> {
        if self.shared.options.pace == Pace::Closed {
            for slot in std::mem::take(&mut self.free) {
                self.free(slot)?;
            }
        }
        loop {
            self.now = Instant::now();
            self.begin_due()?;
            // Sessions of a closed loop that wait for nothing have given up, or are through.
            if self.arrivals.is_none() || self.is_over() && self.waiting.is_empty() {
                for slot in std::mem::take(&mut self.kept) {
                    self.quit(slot)?;
                }
                if self.free.len() == self.sessions.len() {
                    break;
                }
            }
            self.write_ledger();
            self.ring.wait(self.time_to_wait())?;
            self.now = Instant::now();
            self.tally.roll(self.now);
            for index in 0..self.ring.completions() {
                if let Some(completion) = self.ring.completion(index)? {
                    self.complete(completion)?;
                }
            }
            self.watch()?;
        }
        self.write_ledger();
        self.tally.finish(Instant::now());
        Ok(self.tally)
    }

    /// Whether no further mail will become due.
    pub(super) fn is_over(&self) -> bool {
        match &self.arrivals {
            None => self.shared.is_all_taken(self.now),
            Some(arrivals) => self.shared.is_all_taken(arrivals.next()),
        }
    }

    fn time_to_wait(&self) -> Duration {
        let mut until = self.watch_at;
        if let Some(arrivals) = self.arrivals.as_ref().filter(|_| !self.is_over()) {
            until = until.min(arrivals.next());
        }
        if let Some(Reverse((when, _))) = self.paused.peek() {
            until = until.min(*when);
        }
        until.saturating_duration_since(self.now)
    }

    /// Begins what the clock asks for: mails that are due, connections after a pause.
    fn begin_due(&mut self) -> io::Result<()> {
        while let Some(Reverse((when, slot))) = self.paused.peek().copied() {
            if when > self.now {
                break;
            }
            self.paused.pop();
            self.connect(slot)?;
        }
        while let Some(arrivals) = &mut self.arrivals {
            let due = arrivals.next();
            if due > self.now || self.shared.is_all_taken(due) {
                break;
            }
            arrivals.advance();
            let Some(number) = self.shared.take_number() else { break };
            self.tally.begun();
            self.tally.arrivals += 1;
            let has_session = !(self.free.is_empty() && self.kept.is_empty());
            if !has_session {
                self.tally.waited += 1;
            } else if self.now - due > LATE {
                self.tally.late += 1;
            }
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(Due { number, at: due });
            } else {
                self.not_sent(number);
            }
            self.begin_waiting()?;
        }
        let end = self.shared.stop_at().map(|stop| stop + self.shared.options.drain);
        if end.is_some_and(|end| end <= self.now) {
            for Due { number, .. } in std::mem::take(&mut self.waiting) {
                self.not_sent(number);
            }
        }
        Ok(())
    }

    /// Gives mails that wait to sessions without work.
    fn begin_waiting(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            if let Some(slot) = self.kept.pop() {
                let Some(mail) = self.take_next() else { return Ok(()) };
                self.go_on(slot, mail)?;
            } else if let Some(slot) = self.free.pop() {
                self.free(slot)?;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next mail: of a closed loop the next number, of an open one what waits longest.
    pub(super) fn take_next(&mut self) -> Option<Mail> {
        let (number, due) = if self.arrivals.is_some() {
            let due = self.waiting.pop_front()?;
            (due.number, Some(due.at))
        } else {
            if self.shared.is_all_taken(self.now) {
                return None;
            }
            (self.shared.take_number()?, None)
        };
        let content = self.shared.mix.pick(&mut self.draw).content_for(self.framing);
        Some(Mail::new(number, due, self.now, content))
    }

    /// A session without a connection takes the next mail, or waits for one.
    fn free(&mut self, slot: usize) -> io::Result<()> {
        let mail = self.take_next();
        let has_mail = mail.is_some();
        let session = at(&mut self.sessions, slot);
        session.mail = mail;
        if has_mail {
            return self.connect(slot);
        }
        session.step = Step::Free;
        self.free.push(slot);
        Ok(())
    }

    fn connect(&mut self, slot: usize) -> io::Result<()> {
        self.expect(slot, Step::Connecting);
        match self.socket() {
            Ok(socket) => self.ring.connect(slot, socket, self.shared.options.server.into()),
            // Out of descriptors or of ports: like a server that cannot be reached.
            Err(_) => self.broken(slot),
        }
    }

    fn socket(&mut self) -> io::Result<Socket> {
        let options = &self.shared.options;
        let socket = Socket::new(Domain::for_address(options.server), Type::STREAM, None)?;
        // A content of many segments must not wait for an acknowledgement of its first ones.
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = options.sources.get(self.source % options.sources.len().max(1)) {
            socket.bind(&SocketAddr::new(*source, 0).into())?;
            self.source = self.source.wrapping_add(options.threads);
        }
        Ok(socket)
    }

    /// What the session waits for from now on, and how long it may.
    pub(super) fn expect(&mut self, slot: usize, step: Step) {
        let session = at(&mut self.sessions, slot);
        session.step = step;
        session.deadline = self.now + self.shared.options.timeout;
    }

    fn complete(&mut self, completion: Completion) -> io::Result<()> {
        let Completion { slot, operation, result } = completion;
        let session = at(&mut self.sessions, slot);
        if session.step == Step::Closing {
            return if self.ring.is_busy(slot) { Ok(()) } else { self.closed(slot) };
        }
        match operation {
            Operation::Connect if result == 0 => self.connected(slot),
            Operation::Connect => self.broken(slot),
            Operation::Receive => match usize::try_from(result) {
                Ok(bytes) if bytes > 0 => self.received(slot, bytes),
                _ => {
                    session.ended = true;
                    self.answer(slot)
                }
            },
            // If it failed, the receive that is in flight will say why, or that there is no more.
            Operation::Send | Operation::Cancel => self.answer(slot),
        }
    }

    /// Ends the connection of a session; the mail it still has goes out on another one.
    pub(super) fn close(&mut self, slot: usize) -> io::Result<()> {
        at(&mut self.sessions, slot).step = Step::Closing;
        if self.ring.is_busy(slot) { self.ring.cancel(slot) } else { self.closed(slot) }
    }

    fn closed(&mut self, slot: usize) -> io::Result<()> {
        self.ring.close(slot);
        let session = at(&mut self.sessions, slot);
        session.disconnected();
        if session.mail.is_some() {
            session.step = Step::Paused;
            self.paused.push(Reverse((self.now + PAUSE, slot)));
            return Ok(());
        }
        if session.failures > CONNECT_FAILURES_MAX {
            // A closed loop goes on with one session less; an open one tries with the next mail.
            session.failures = 0;
            if self.arrivals.is_none() {
                session.step = Step::Free;
                self.free.push(slot);
                return Ok(());
            }
        }
        self.free(slot)
    }

    /// A connection could not be made; the mail is kept, until it was too often.
    pub(super) fn not_connected(&mut self, slot: usize) {
        self.tally.totals.connect_failures += 1;
        let session = at(&mut self.sessions, slot);
        session.failures += 1;
        if session.failures > CONNECT_FAILURES_MAX
            && let Some(mail) = session.mail.take()
        {
            self.not_sent(mail.number);
        }
    }

    fn not_sent(&mut self, number: u64) {
        self.tally.not_sent += 1;
        self.note(number, "not-sent");
    }

    /// A mail has its outcome.
    pub(super) fn end(&mut self, mail: &Mail, end: End) {
        let latency = self.now - mail.due.unwrap_or(mail.started);
        self.tally.ended(end, latency, self.now);
        match end {
            End::Answered(code) => self.note(mail.number, code.basic),
            End::Unknown => self.note(mail.number, "unknown"),
        }
    }

    fn note(&mut self, number: u64, outcome: impl std::fmt::Display) {
        if self.shared.ledger.is_none() {
            return;
        }
        // Writing to a vector cannot fail.
        let _ = write!(self.lines, "{:x}-{number}\t", self.shared.options.seed);
        for index in 0..self.shared.options.recipients {
            if index > 0 {
                self.lines.push(b',');
            }
            self.shared.write_recipient(number, index, &mut self.lines);
        }
        let _ = writeln!(self.lines, "\t{outcome}");
    }

    fn write_ledger(&mut self) {
        if let Some(ledger) = &self.shared.ledger
            && !self.lines.is_empty()
        {
            let mut file = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            // A ledger that cannot be written shows as mails missing from it.
            let _ = file.write_all(&self.lines);
            self.lines.clear();
        }
    }

    /// Gives up sessions that wait for too long.
    fn watch(&mut self) -> io::Result<()> {
        if self.now < self.watch_at {
            return Ok(());
        }
        self.watch_at = self.now + self.watch_every;
        for slot in 0..self.sessions.len() {
            let session = at(&mut self.sessions, slot);
            if session.step.has_deadline() && session.deadline <= self.now {
                self.broken(slot)?;
            }
        }
        Ok(())
    }
}

/// How many of `all` are those of part `index` of `parts`.
fn share(all: usize, parts: usize, index: usize) -> usize {
    all / parts + usize::from(index < all % parts)
}

#[expect(clippy::cast_precision_loss, reason = "a number of threads")]
fn arrivals(shared: &Shared, index: usize, random: Random) -> Option<Arrivals> {
    let Pace::Open { per_second, spread } = shared.options.pace else { return None };
    let threads = shared.options.threads as f64;
    let offset = index as f64 / threads;
    Some(Arrivals::new(shared.start(), per_second / threads, spread, offset, random))
}

impl Shared {
    /// The number of the next mail; none if that is all.
    fn take_number(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.options.mails).then_some(number)
    }

    /// Whether no mail begins at `when` or later.
    fn is_all_taken(&self, when: Instant) -> bool {
        self.stop_at().is_some_and(|stop| when >= stop)
            || self.next.load(Ordering::Relaxed) >= self.options.mails
    }

    /// Appends recipient `index` of mail `number`.
    pub(super) fn write_recipient(&self, number: u64, index: usize, out: &mut Vec<u8>) {
        let count = self.to.len().max(1) as u64;
        let first = number.wrapping_mul(self.options.recipients as u64);
        let which = first.wrapping_add(index as u64) % count;
        let path = usize::try_from(which).ok().and_then(|which| self.to.get(which));
        if let Some(path) = path {
            path.write(number, index, out);
        }
    }
}
