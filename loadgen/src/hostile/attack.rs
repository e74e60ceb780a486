//! The thread that carries all attackers: one epoll, level-triggered, sockets that never block.
//!
//! An attacker must cost the generator little, or the paying load beside it would feel the generator and not the
//! server: a silent one has a socket and some 200 octets, a talking one a few system calls for each reply; nothing is
//! allocated for filler. The thread is nicer than the paying load's by [`NICE`], so that what a single core cannot do
//! is missing from the attack (and said) and not from the paying load.
//!
//! Bounds: `sessions` sockets; new ones by the clock, with at most [`CATCH_UP`] of it made up for; it ends by itself
//! after its time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use socket2::{Domain, Socket, Type};

use super::attacker::{Act, Attacker, Event, Said, Script};
use super::networks::Networks;
use super::profile::{Profile, Shares, Turns};
use super::tally::{Ended, Tally};
use crate::random::Random;
use crate::report::hostile::AttackReport;
use crate::send::{Inbox, Offers, thread_cpu};

/// The clock of new connections is looked at so often.
const TICK: Duration = Duration::from_millis(5);
/// A thread that is later than this leaves new connections out, and says so.
const CATCH_UP: Duration = Duration::from_millis(200);
const EVENTS_MAX: usize = 256;
/// New connections before replies are looked at again.
const NEW_MAX: usize = 64;
const NICE: i32 = 10;
/// A rest that is over while something is still to be said goes on for so long.
const AGAIN: Duration = Duration::from_secs(2);
const SPACE_BYTES: usize = 64 * 1024;
/// What huge lines are made of.
static FILLER: [u8; 16 * 1024] = [b'x'; 16 * 1024];

/// An attack.
#[derive(Clone, Debug)]
pub struct AttackOptions {
    /// The server.
    pub server: SocketAddr,
    /// Sessions at a time, at most.
    pub sessions: usize,
    /// New ones in a second, at most.
    pub per_second: f64,
    /// Parts of the profiles.
    pub shares: Shares,
    /// Where attackers come from.
    pub networks: Networks,
    /// What they say.
    pub script: Script,
    /// Seed of everything drawn.
    pub seed: u64,
    /// It ends by itself after so long.
    pub seconds: Duration,
}

/// An attack that is under way.
#[derive(Debug)]
pub struct Attack {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<AttackReport>,
}

impl Attack {
    /// Begins.
    ///
    /// # Errors
    /// No epoll or no thread; an option that is out of its bounds (`InvalidInput`).
    pub fn start(options: AttackOptions) -> io::Result<Self> {
        if !(options.per_second.is_finite() && options.per_second > 0.0) || options.sessions == 0 {
            let text = format!(
                "an attack of {} sessions and {} new ones a second is none",
                options.sessions, options.per_second
            );
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let runner = Runner::new(options, Arc::clone(&stop))?;
        let thread = thread::Builder::new().name("attack".to_owned()).spawn(|| runner.run())?;
        Ok(Self { stop, thread })
    }

    /// Ends it and closes all its connections.
    ///
    /// # Errors
    /// The thread ended by a defect.
    pub fn stop(self) -> io::Result<AttackReport> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the attack ended by a defect"))
    }
}

struct Connection {
    socket: Socket,
    attacker: Attacker,
    inbox: Inbox,
    offers: Offers,
    said: Said,
    /// Since when it stands.
    stood: Option<Instant>,
    /// When its rest is over.
    due: Option<Instant>,
    /// Reads nothing; only its end is looked for.
    is_deaf: bool,
    interest: epoll::EventFlags,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    /// It never stood.
    Dropped,
    Ended(Ended),
}

struct Runner {
    options: AttackOptions,
    stop: Arc<AtomicBool>,
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    turns: Turns,
    tally: Tally,
    random: Random,
    space: Vec<u8>,
    start: Instant,
    now: Instant,
    /// New connections that were due so far, whatever became of them.
    planned: u64,
    begun: u64,
    of_profile: [u64; Profile::ALL.len()],
    held_up: u64,
    late: u64,
}

impl Runner {
    fn new(options: AttackOptions, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            stop,
            connections: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
            turns: Turns::default(),
            tally: Tally::new(options.shares.divide(options.sessions)),
            random: Random::new(options.seed),
            space: vec![0; SPACE_BYTES],
            start: now,
            now,
            planned: 0,
            begun: 0,
            of_profile: [0; Profile::ALL.len()],
            held_up: 0,
            late: 0,
            options,
        })
    }

    fn run(mut self) -> AttackReport {
        // A thread that may not be nicer is as nice as the others.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
        let cpu = thread_cpu();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            self.now = Instant::now();
            let elapsed = self.now - self.start;
            self.tally.roll(usize::try_from(elapsed.as_secs()).unwrap_or(usize::MAX));
            if self.stop.load(Ordering::Relaxed) || elapsed >= self.options.seconds {
                break;
            }
            self.begin_new(elapsed);
            self.wake();
            events.clear();
            let tick = TICK.subsec_nanos();
            let wait = Timespec { tv_sec: 0, tv_nsec: tick.into() };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Nothing but a bad descriptor of our own is left: it does not get better.
                Err(_) => break,
            }
            self.now = Instant::now();
            for event in &events {
                // Copied out of a packed structure.
                let (flags, data) = (event.flags, event.data);
                self.serve(usize::try_from(data.u64()).unwrap_or(usize::MAX), flags);
            }
        }
        let cpu = thread_cpu().saturating_sub(cpu);
        self.report(cpu)
    }

    fn report(mut self, cpu: Duration) -> AttackReport {
        let elapsed = self.now - self.start;
        for slot in 0..self.connections.len() {
            if let Some(connection) = self.connections.get_mut(slot).and_then(Option::take) {
                self.end(slot, *connection, Fate::Ended(Ended::Over));
            }
        }
        let (profiles, series) = self.tally.into_reports();
        AttackReport {
            sessions_max: self.options.sessions,
            per_second_max: self.options.per_second,
            networks: self.options.networks.count(),
            hosts: usize::from(self.options.networks.hosts()) * Profile::ALL.len(),
            shares: self.options.shares.to_string(),
            lead_seconds: 0.0,
            seconds: elapsed.as_secs_f64(),
            begun: self.begun,
            held_up: self.held_up,
            late: self.late,
            busy: cpu.as_secs_f64() / elapsed.as_secs_f64().max(1e-6),
            profiles,
            series,
        }
    }

    /// Begins the connections that are due by the clock.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate above 0 times a day"
    )]
    fn begin_new(&mut self, elapsed: Duration) {
        let due = |time: Duration| (time.as_secs_f64() * self.options.per_second) as u64;
        let (now, oldest) = (due(elapsed), due(elapsed.saturating_sub(CATCH_UP)));
        if self.planned < oldest {
            self.late += oldest - self.planned;
            self.planned = oldest;
        }
        for _ in 0..NEW_MAX {
            if self.planned >= now {
                return;
            }
            let tally = &self.tally;
            let next = self.turns.next(&self.options.shares, |one| tally.has_room(one));
            let Some(profile) = next else {
                self.held_up += now - self.planned;
                self.planned = now;
                return;
            };
            self.planned += 1;
            self.begin(profile);
        }
    }

    fn begin(&mut self, profile: Profile) {
        let variant = self.of_profile.get_mut(profile.index()).map_or(0, |count| {
            *count += 1;
            *count - 1
        });
        let source = IpAddr::V4(self.options.networks.address(profile, variant));
        self.begun += 1;
        let server = self.options.server;
        let socket = match socket_from(source, server) {
            Ok(socket) => socket,
            Err(_) => return self.tally.of(profile).failed_here(),
        };
        let stands = match socket.connect(&server.into()) {
            Ok(()) => true,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => false,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                return self.tally.of(profile).not_connected();
            }
            // Out of ports, for the most part.
            Err(_) => return self.tally.of(profile).failed_here(),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let interest = if stands {
            epoll::EventFlags::IN | epoll::EventFlags::RDHUP
        } else {
            epoll::EventFlags::OUT
        };
        let data = epoll::EventData::new_u64(slot as u64);
        if epoll::add(&self.epoll, &socket, data, interest).is_err() {
            self.free.push(slot);
            return self.tally.of(profile).failed_here();
        }
        self.tally.of(profile).in_use += 1;
        let mut connection = Box::new(Connection {
            socket,
            attacker: Attacker::new(profile, variant),
            inbox: Inbox::default(),
            offers: Offers::default(),
            said: Said::default(),
            stood: None,
            due: None,
            is_deaf: false,
            interest,
        });
        let fate = if stands { self.connected(slot, &mut connection) } else { Fate::Keep };
        self.put_back(slot, connection, fate);
    }

    fn put_back(&mut self, slot: usize, mut connection: Box<Connection>, fate: Fate) {
        let fate = if fate == Fate::Keep && self.listen(slot, &mut connection).is_err() {
            Fate::Ended(Ended::Own)
        } else {
            fate
        };
        match (fate, self.connections.get_mut(slot)) {
            (Fate::Keep, Some(place)) => *place = Some(connection),
            _ => self.end(slot, *connection, fate),
        }
    }

    /// Asks for what the connection waits for.
    fn listen(&self, slot: usize, connection: &mut Connection) -> io::Result<()> {
        let mut interest = epoll::EventFlags::RDHUP;
        if connection.stood.is_none() {
            interest = epoll::EventFlags::OUT;
        } else if !connection.is_deaf {
            interest |= epoll::EventFlags::IN;
            if !connection.said.is_empty() {
                interest |= epoll::EventFlags::OUT;
            }
        }
        if interest == connection.interest {
            return Ok(());
        }
        connection.interest = interest;
        let data = epoll::EventData::new_u64(slot as u64);
        Ok(epoll::modify(&self.epoll, &connection.socket, data, interest)?)
    }

    fn end(&mut self, slot: usize, connection: Connection, fate: Fate) {
        self.free.push(slot);
        let profile = connection.attacker.profile();
        let counts = self.tally.of(profile);
        counts.in_use = counts.in_use.saturating_sub(1);
        // A connection that never stood and that the end of the attack finds is none.
        if let (Fate::Ended(how), Some(stood)) = (fate, connection.stood) {
            self.tally.ended(profile, how, self.now.saturating_duration_since(stood));
        }
    }

    fn serve(&mut self, slot: usize, flags: epoll::EventFlags) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return;
        };
        let fate = self.happened(slot, &mut connection, flags);
        self.put_back(slot, connection, fate);
    }

    fn happened(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        flags: epoll::EventFlags,
    ) -> Fate {
        if connection.stood.is_none() {
            return match connection.socket.take_error() {
                Ok(None) => self.connected(slot, connection),
                Ok(Some(_)) | Err(_) => {
                    self.tally.of(connection.attacker.profile()).not_connected();
                    Fate::Dropped
                }
            };
        }
        let gone = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if connection.is_deaf {
            if !flags.intersects(gone) {
                return Fate::Keep;
            }
            let is_reset = flags.contains(epoll::EventFlags::ERR);
            return Fate::Ended(if is_reset { Ended::ServerReset } else { Ended::Server });
        }
        if flags.contains(epoll::EventFlags::OUT) {
            let fate = self.send(connection);
            if fate != Fate::Keep {
                return fate;
            }
        }
        if flags.intersects(gone | epoll::EventFlags::IN) {
            return self.read(slot, connection);
        }
        self.answer(slot, connection)
    }

    fn connected(&mut self, slot: usize, connection: &mut Connection) -> Fate {
        connection.stood = Some(self.now);
        self.tally.opened(connection.attacker.profile());
        self.step(slot, connection, Event::Connected)
    }

    fn read(&mut self, slot: usize, connection: &mut Connection) -> Fate {
        let ended = match (&connection.socket).read(&mut self.space) {
            Ok(0) => Ended::Server,
            Ok(bytes) => {
                let octets = self.space.get(..bytes).unwrap_or_default();
                connection.inbox.octets().extend_from_slice(octets);
                self.tally.of(connection.attacker.profile()).received(bytes);
                return if connection.inbox.is_too_long() {
                    Fate::Ended(Ended::Own)
                } else {
                    self.answer(slot, connection)
                };
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => return Fate::Keep,
                ErrorKind::ConnectionReset => Ended::ServerReset,
                _ => Ended::Server,
            },
        };
        // What was heard while a huge line went out counts, too; nobody is left to answer.
        while let Some((code, _)) = connection.inbox.reply(&mut connection.offers) {
            self.tally.of(connection.attacker.profile()).replied(code);
        }
        Fate::Ended(ended)
    }

    /// Works off the replies that are there, as long as nothing is still to be said.
    fn answer(&mut self, slot: usize, connection: &mut Connection) -> Fate {
        while connection.said.is_empty() {
            let Some((code, _)) = connection.inbox.reply(&mut connection.offers) else { break };
            let counts = self.tally.of(connection.attacker.profile());
            counts.replied(code);
            if !connection.attacker.is_greeted() && code.basic != 220 {
                counts.turned_away();
            }
            let fate = self.step(slot, connection, Event::Reply(code.basic));
            if fate != Fate::Keep {
                return fate;
            }
        }
        Fate::Keep
    }

    fn step(&mut self, slot: usize, connection: &mut Connection, event: Event) -> Fate {
        let Runner { options, random, .. } = self;
        let act = connection.attacker.on(event, &options.script, random, &mut connection.said);
        match act {
            Act::Listen => {}
            Act::Rest(time) => self.rest(slot, connection, time),
            Act::Deaf => connection.is_deaf = true,
            Act::Close => return Fate::Ended(Ended::Own),
            Act::Reset => {
                // If it cannot be a reset, it is an ordinary end.
                let _ = connection.socket.set_linger(Some(Duration::ZERO));
                return Fate::Ended(Ended::Own);
            }
        }
        self.send(connection)
    }

    fn rest(&mut self, slot: usize, connection: &mut Connection, time: Duration) {
        let due = self.now + time;
        connection.due = Some(due);
        self.timers.push(Reverse((due, slot)));
    }

    /// Says as much as the server takes.
    fn send(&mut self, connection: &mut Connection) -> Fate {
        while !connection.said.is_empty() {
            match (&connection.socket).write(connection.said.next(&FILLER)) {
                Ok(bytes) => {
                    self.tally.of(connection.attacker.profile()).sent(bytes);
                    connection.said.went(bytes);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Fate::Keep,
                    ErrorKind::Interrupted => {}
                    // Its last words may still be there to be read.
                    _ => {
                        connection.said.clear();
                        return Fate::Keep;
                    }
                },
            }
        }
        Fate::Keep
    }

    /// Goes on with those whose rest is over.
    fn wake(&mut self) {
        while let Some(Reverse((at, slot))) = self.timers.peek().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop();
            // Another connection may have the slot now, or the rest was cut short.
            let place = self.connections.get_mut(slot);
            let taken = place.and_then(|place| place.take_if(|one| one.due == Some(at)));
            let Some(mut connection) = taken else { continue };
            connection.due = None;
            let fate = if connection.said.is_empty() {
                self.step(slot, &mut connection, Event::Due)
            } else {
                // The server takes nothing: what is to be said next waits for that.
                self.rest(slot, &mut connection, AGAIN);
                Fate::Keep
            };
            self.put_back(slot, connection, fate);
        }
    }
}

/// A socket at `source` that never blocks.
fn socket_from(source: IpAddr, server: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    Ok(socket)
}
