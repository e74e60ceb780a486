//! A world of its own: manual clock, scripted hops. Single task
//! loop, no threads: the same script gives the same run.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::clock::{MonoMillis, Now, UnixMillis};
use crate::content::LargeFile;
use crate::deliver::transport::{Certificate, Stream, World};
use crate::resolve::{MailHost, MailHosts, ResolveError};

/// Wall clock at the start of every world.
pub(in crate::deliver) const START: u64 = 1_790_000_000_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Behaviour = Box<dyn Fn(&Moment<'_>) -> Act>;

/// What a hop may react to.
#[derive(Debug)]
pub(in crate::deliver) enum Moment<'m> {
    Connect,
    Greeting,
    Command(&'m str),
    Content(&'m str),
}

/// What a hop does.
#[derive(Clone, Debug)]
pub(in crate::deliver) enum Act {
    /// What a well-behaved hop does.
    Normal,
    /// Says this instead.
    Say(&'static str),
    /// Does the normal thing after that many milliseconds.
    Late(u64),
    /// As `Late`, and says this.
    SayLate(u64, &'static str),
    /// Never says anything.
    Silent,
    /// Takes the content, and never says so.
    TakeSilently,
    /// Takes the content and closes without a word.
    TakeAndClose,
    /// Closes.
    Close,
    /// Refuses the connection.
    Refuse,
}

/// A message that a hop has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deliver) struct Taken {
    pub mail: String,
    pub rcpts: Vec<String>,
    pub content: String,
}

pub(in crate::deliver) struct Hop {
    behaviour: RefCell<Behaviour>,
    offers: RefCell<Vec<&'static str>>,
    pub taken: RefCell<Vec<Taken>>,
    pub lines: RefCell<Vec<String>>,
    pub connections: Cell<u32>,
    interruption: Cell<Option<&'static str>>,
    slow_writes: Cell<u64>,
}

impl Hop {
    pub(in crate::deliver) fn behave(&self, behaviour: impl Fn(&Moment<'_>) -> Act + 'static) {
        *self.behaviour.borrow_mut() = Box::new(behaviour);
    }

    pub(in crate::deliver) fn offer(&self, offers: &[&'static str]) {
        *self.offers.borrow_mut() = offers.to_vec();
    }

    /// Says this when the first octets of a content are there.
    pub(in crate::deliver) fn interrupt(&self, text: &'static str) {
        self.interruption.set(Some(text));
    }

    /// Every write takes that many milliseconds.
    pub(in crate::deliver) fn slow_writes(&self, millis: u64) {
        self.slow_writes.set(millis);
    }

    pub(in crate::deliver) fn said(&self, beginning: &str) -> usize {
        self.lines.borrow().iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Messages for a recipient.
    pub(in crate::deliver) fn count_for(&self, mailbox: &str) -> usize {
        let taken = self.taken.borrow();
        taken.iter().filter(|one| one.rcpts.iter().any(|rcpt| rcpt == mailbox)).count()
    }
}

struct Inner {
    now: Cell<u64>,
    timers: RefCell<Vec<(u64, Waker)>>,
    tasks: RefCell<Vec<Task>>,
    random: Cell<u64>,
    hops: RefCell<HashMap<String, Rc<Hop>>>,
    mail_hosts: RefCell<HashMap<String, Result<MailHosts, ResolveError>>>,
    looked_up: Cell<u32>,
}

#[derive(Clone)]
pub(in crate::deliver) struct Sim(Rc<Inner>);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Sim {
    pub(in crate::deliver) fn new(seed: u64) -> Self {
        Self(Rc::new(Inner {
            now: Cell::new(1_000),
            timers: RefCell::default(),
            tasks: RefCell::default(),
            random: Cell::new(seed),
            hops: RefCell::default(),
            mail_hosts: RefCell::default(),
            looked_up: Cell::new(0),
        }))
    }

    /// What the DNS says of a domain's mail; by default that it has no MX.
    pub(in crate::deliver) fn mail_hosts_of(
        &self,
        domain: &str,
        hosts: Result<MailHosts, ResolveError>,
    ) {
        self.0.mail_hosts.borrow_mut().insert(domain.to_owned(), hosts);
    }

    /// How often mail hosts were asked for.
    pub(in crate::deliver) fn looked_up(&self) -> u32 {
        self.0.looked_up.get()
    }

    /// A hop under a host name; offers the usual.
    pub(in crate::deliver) fn hop(&self, host: &str) -> Rc<Hop> {
        let hop = Rc::new(Hop {
            behaviour: RefCell::new(Box::new(|_| Act::Normal)),
            offers: RefCell::new(vec!["PIPELINING", "8BITMIME", "SIZE 0"]),
            taken: RefCell::default(),
            lines: RefCell::default(),
            connections: Cell::new(0),
            interruption: Cell::new(None),
            slow_writes: Cell::new(0),
        });
        self.0.hops.borrow_mut().insert(host.to_owned(), Rc::clone(&hop));
        hop
    }

    pub(in crate::deliver) fn millis(&self) -> u64 {
        self.0.now.get()
    }

    /// Ends everything that runs: the power is cut.
    pub(in crate::deliver) fn kill_tasks(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(tasks);
        self.0.timers.borrow_mut().clear();
    }

    /// Runs until `main` is done; time jumps to the next timer whenever nothing else can happen.
    pub(in crate::deliver) fn run<T>(&self, main: impl Future<Output = T>) -> T {
        self.run_until(u64::MAX, main).expect("the world stands still")
    }

    /// As `run`, but not longer than to `limit`; `None` then, or when nothing can happen any more.
    pub(in crate::deliver) fn run_until<T>(
        &self,
        limit: u64,
        main: impl Future<Output = T>,
    ) -> Option<T> {
        let mut main = Box::pin(main);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        loop {
            while flag.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(done) = main.as_mut().poll(&mut context) {
                    return Some(done);
                }
                let mut kept = Vec::new();
                let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
                for mut task in tasks {
                    if task.as_mut().poll(&mut context).is_pending() {
                        kept.push(task);
                    }
                }
                let mut tasks = self.0.tasks.borrow_mut();
                if !tasks.is_empty() {
                    flag.0.store(true, Ordering::SeqCst);
                }
                kept.append(&mut tasks);
                *tasks = kept;
            }
            let next = self.0.timers.borrow().iter().map(|(at, _)| *at).min()?;
            if next > limit {
                self.0.now.set(limit);
                return None;
            }
            self.0.now.set(next.max(self.0.now.get()));
            let due: Vec<_> =
                self.0.timers.borrow_mut().extract_if(.., |(at, _)| *at <= next).collect();
            due.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    /// As `run`, inside of another loop that polls (the simulated disk's): time jumps when nothing has
    /// happened for `IDLE_POLLS` polls.
    pub(in crate::deliver) async fn nested<T>(&self, main: impl Future<Output = T>) -> T {
        const IDLE_POLLS: u32 = 60;
        let mut main = Box::pin(main);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut idle = 0;
        poll_fn(|_| {
            let mut context = Context::from_waker(&waker);
            if flag.0.swap(false, Ordering::SeqCst) {
                idle = 0;
                if let Poll::Ready(done) = main.as_mut().poll(&mut context) {
                    return Poll::Ready(done);
                }
                let mut kept = Vec::new();
                let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
                for mut task in tasks {
                    if task.as_mut().poll(&mut context).is_pending() {
                        kept.push(task);
                    }
                }
                let mut tasks = self.0.tasks.borrow_mut();
                if !tasks.is_empty() {
                    flag.0.store(true, Ordering::SeqCst);
                }
                kept.append(&mut tasks);
                *tasks = kept;
                return Poll::Pending;
            }
            idle += 1;
            if idle >= IDLE_POLLS {
                idle = 0;
                let next = self.0.timers.borrow().iter().map(|(at, _)| *at).min();
                let Some(next) = next else { return Poll::Pending };
                self.0.now.set(next.max(self.0.now.get()));
                let mut timers = self.0.timers.borrow_mut();
                let due: Vec<_> = timers.extract_if(.., |(at, _)| *at <= next).collect();
                drop(timers);
                due.into_iter().for_each(|(_, waker)| waker.wake());
            }
            Poll::Pending
        })
        .await
    }

    async fn at(&self, at: u64) {
        let mut noted = false;
        poll_fn(|context| {
            if self.0.now.get() >= at {
                return Poll::Ready(());
            }
            if !noted && at != u64::MAX {
                noted = true;
                self.0.timers.borrow_mut().push((at, context.waker().clone()));
            }
            Poll::Pending
        })
        .await;
    }
}

impl World for Sim {
    type Stream = Wire;

    fn now(&self) -> Now {
        let mono = self.0.now.get();
        Now { unix: UnixMillis(START + mono), mono: MonoMillis(mono) }
    }

    async fn sleep_until(&self, at: MonoMillis) {
        self.at(at.0).await;
    }

    fn random(&self) -> u64 {
        let next = self
            .0
            .random
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0.random.set(next);
        next >> 11
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.tasks.borrow_mut().push(Box::pin(task));
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        // The address of a host is its place in the alphabet of the script.
        let hops = self.0.hops.borrow();
        let mut names: Vec<_> = hops.keys().collect();
        names.sort();
        let index = names.iter().position(|name| *name == host).ok_or(ResolveError::NoAddress)?;
        Ok(vec![IpAddr::from([192, 0, 2, index as u8])])
    }

    async fn mail_hosts(&self, domain: &str) -> Result<MailHosts, ResolveError> {
        self.0.looked_up.set(self.0.looked_up.get() + 1);
        let scripted = self.0.mail_hosts.borrow().get(domain).cloned();
        let own = MailHost { preference: 0, host: domain.into() };
        scripted.unwrap_or_else(|| Ok(MailHosts::Hosts(vec![own])))
    }

    async fn mail_host_addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.addresses(host).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Wire> {
        let hop = {
            let hops = self.0.hops.borrow();
            let mut names: Vec<_> = hops.keys().collect();
            names.sort();
            let IpAddr::V4(v4) = address.ip() else { panic!("an address of the script") };
            Rc::clone(&hops[names[usize::from(v4.octets()[3])]])
        };
        hop.connections.set(hop.connections.get() + 1);
        let act = hop.behaviour.borrow()(&Moment::Connect);
        match act {
            Act::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
            Act::Silent => self.at(u64::MAX).await,
            Act::Late(millis) => self.at(self.millis() + millis).await,
            _ => {}
        }
        let mut wire = Wire {
            sim: self.clone(),
            hop,
            input: Vec::new(),
            output: VecDeque::new(),
            closed: false,
            deaf: false,
            in_content: None,
            mail: None,
            rcpts: Vec::new(),
            encrypted: false,
        };
        wire.react(&Moment::Greeting, "220 hop ready");
        Ok(wire)
    }

    async fn start_tls(
        &self,
        mut stream: Wire,
        _host: &str,
        certificate: Certificate,
    ) -> io::Result<Wire> {
        let line = match certificate {
            Certificate::Any => "*handshake any",
            Certificate::Valid => "*handshake valid",
        };
        let act = stream.hop.behaviour.borrow()(&Moment::Command(line));
        if matches!(act, Act::Close) {
            return Err(io::Error::other("bad certificate"));
        }
        stream.encrypted = true;
        Ok(stream)
    }

    async fn read_file(
        &self,
        file: Arc<LargeFile>,
        offset: u64,
        bytes: usize,
    ) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt as _;
        let mut out = vec![0; bytes];
        let count = file.file.read_at(&mut out, offset)?;
        out.truncate(count);
        Ok(out)
    }
}

enum Behind {
    Dot,
    Bytes(usize),
}

/// One connection to a scripted hop.
pub(in crate::deliver) struct Wire {
    sim: Sim,
    hop: Rc<Hop>,
    input: Vec<u8>,
    output: VecDeque<(u64, Vec<u8>)>,
    closed: bool,
    /// Fell silent: answers nothing any more.
    deaf: bool,
    in_content: Option<Behind>,
    mail: Option<String>,
    rcpts: Vec<String>,
    encrypted: bool,
}

impl Wire {
    fn react(&mut self, moment: &Moment<'_>, normal: &str) -> bool {
        if self.deaf || self.closed {
            return false;
        }
        let act = self.hop.behaviour.borrow()(moment);
        let (wait, text) = match act {
            Act::Normal => (0, normal),
            Act::Say(text) => (0, text),
            Act::Late(millis) => (millis, normal),
            Act::SayLate(millis, text) => (millis, text),
            Act::Silent => {
                self.deaf = true;
                return false;
            }
            Act::TakeSilently => {
                self.deaf = true;
                return true;
            }
            Act::TakeAndClose => {
                self.closed = true;
                return true;
            }
            Act::Close | Act::Refuse => {
                self.closed = true;
                return false;
            }
        };
        self.output.push_back((self.sim.millis() + wait, format!("{text}\r\n").into_bytes()));
        if text.starts_with("421") {
            self.closed = true;
        }
        text.starts_with('2') || text.starts_with('3')
    }

    fn work(&mut self) {
        loop {
            match self.in_content.take() {
                Some(Behind::Dot) => {
                    let end = if self.input.starts_with(b".\r\n") {
                        Some((0, 3))
                    } else {
                        memchr::memmem::find(&self.input, b"\r\n.\r\n").map(|at| (at + 2, at + 5))
                    };
                    let Some((end, used)) = end else {
                        self.in_content = Some(Behind::Dot);
                        return;
                    };
                    let content =
                        String::from_utf8_lossy(&self.input[..end]).replace("\r\n..", "\r\n.");
                    self.input.drain(..used);
                    self.take(content);
                }
                Some(Behind::Bytes(bytes)) => {
                    if self.input.len() < bytes {
                        self.in_content = Some(Behind::Bytes(bytes));
                        return;
                    }
                    let content: Vec<u8> = self.input.drain(..bytes).collect();
                    self.take(String::from_utf8_lossy(&content).into_owned());
                }
                None => {
                    let Some(end) = memchr::memmem::find(&self.input, b"\r\n") else { return };
                    let line = String::from_utf8(self.input[..end].to_vec()).unwrap();
                    self.input.drain(..end + 2);
                    self.command(&line);
                }
            }
        }
    }

    fn take(&mut self, content: String) {
        let taken = self.react(&Moment::Content(&content), "250 2.0.0 taken");
        let (mail, rcpts) = (self.mail.take(), std::mem::take(&mut self.rcpts));
        if taken {
            let mail = mail.unwrap_or_default();
            self.hop.taken.borrow_mut().push(Taken { mail, rcpts, content });
        }
    }

    fn command(&mut self, line: &str) {
        self.hop.lines.borrow_mut().push(line.to_owned());
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_owned();
        let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match verb.as_str() {
            "EHLO" => {
                let mut lines = vec!["hop.example".to_owned()];
                let offers = self.hop.offers.borrow().clone();
                let offers = offers.iter().filter(|one| !(self.encrypted && **one == "STARTTLS"));
                lines.extend(offers.map(|one| (*one).to_owned()));
                let last = lines.len() - 1;
                let text: Vec<_> = lines
                    .iter()
                    .enumerate()
                    .map(|(n, one)| format!("250{}{one}", if n == last { ' ' } else { '-' }))
                    .collect();
                self.react(&Moment::Command(line), &text.join("\r\n"));
            }
            "MAIL" => {
                if self.react(&Moment::Command(line), "250 2.1.0 ok") {
                    self.mail = Some(path());
                }
            }
            "RCPT" => {
                let normal = if self.mail.is_some() { "250 2.1.5 ok" } else { "503 no MAIL" };
                if self.react(&Moment::Command(line), normal) {
                    self.rcpts.push(path());
                }
            }
            "DATA" => {
                let normal =
                    if self.rcpts.is_empty() { "554 5.5.1 no recipients" } else { "354 go" };
                if self.react(&Moment::Command(line), normal) {
                    self.in_content = Some(Behind::Dot);
                }
            }
            "BDAT" => {
                let bytes = line.split(' ').nth(1).unwrap().parse().unwrap();
                self.in_content = Some(Behind::Bytes(bytes));
            }
            "RSET" => {
                self.mail = None;
                self.rcpts.clear();
                self.react(&Moment::Command(line), "250 2.0.0 reset");
            }
            "QUIT" => {
                self.closed = true;
            }
            "HELO" => drop(self.react(&Moment::Command(line), "250 hop.example")),
            "STARTTLS" => drop(self.react(&Moment::Command(line), "220 go")),
            _ => drop(self.react(&Moment::Command(line), "500 what")),
        }
    }
}

impl Stream for Wire {
    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match self.output.front() {
                Some((at, _)) => {
                    let at = *at;
                    self.sim.at(at).await;
                    let (_, octets) = self.output.pop_front().unwrap();
                    into.extend_from_slice(&octets);
                    return Ok(octets.len());
                }
                None if self.closed => return Ok(0),
                None => self.sim.at(u64::MAX).await,
            }
        }
    }

    async fn write_all(&mut self, octets: &mut Vec<u8>) -> io::Result<()> {
        let slow = self.hop.slow_writes.get();
        if slow > 0 {
            self.sim.at(self.sim.millis() + slow).await;
        }
        self.input.append(octets);
        self.work();
        let halfway = self.in_content.is_some() && !self.input.is_empty();
        if halfway && let Some(text) = self.hop.interruption.take() {
            self.output.push_back((self.sim.millis(), format!("{text}\r\n").into_bytes()));
        }
        Ok(())
    }

    fn is_quiet(&self) -> bool {
        self.output.is_empty() && !self.closed && !self.deaf
    }

    fn tls_text(&self) -> Option<Box<str>> {
        self.encrypted.then(|| "TLSv1.3 TEST".into())
    }
}
