//! One connection to one hop: runs the sans-I/O client over a stream, with every wait bounded.

use std::net::SocketAddr;
use std::time::Duration;

use super::body::{self, Pace, Unsent};
use super::client::{Client, ClientSettings, Failure, Fate, Form, Step, Transaction, Wait};
use super::route::{Hop, TlsRule};
use super::transport::{Certificate, Stream, World, within};
use crate::clock::MonoMillis;
use crate::content::Content;

/// For an answer that seems to be there already.
const EARLY_WAIT: Duration = Duration::from_millis(100);

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To connect.
    pub connect: Duration,
    /// For one answer before the first mail: greeting, EHLO, STARTTLS.
    pub greeting: Duration,
    /// For one answer, and for one write.
    pub command: Duration,
    /// Until the final dot is on its way, everything together; for a large content as much longer
    /// as `content_pace` gives it.
    pub until_content: MonoMillis,
    /// Octets per second, at least 1.
    pub content_pace: u64,
    /// For the answer to the final dot, counted from it.
    pub after_content: Duration,
}

/// What came of a transaction.
#[derive(Debug)]
pub(super) enum Sent {
    /// Every recipient has its fate.
    Over(Vec<Fate>),
    /// The content is out and the hop silent: ask [`Connection::answer`] again. The fates so far;
    /// those that depend on the answer are `Unknown`.
    Waiting(Vec<Fate>),
}

/// Where [`Connection::run`] stopped.
enum Stop {
    Ready,
    Done,
    Silent,
    Closed(Failure),
}

/// A connection whose dialogue stands.
pub(super) struct Connection<W: World> {
    world: W,
    stream: Option<W::Stream>,
    client: Client,
    host: Box<str>,
    rule: TlsRule,
    input: Vec<u8>,
    /// Where it leads.
    pub address: SocketAddr,
    /// When the last transaction ended.
    pub idle_since: MonoMillis,
}

impl<W: World> Connection<W> {
    /// Connects and greets.
    pub(super) async fn open(
        world: &W,
        (hop, address): (&Hop, SocketAddr),
        settings: ClientSettings,
        patience: Patience,
    ) -> Result<Self, Failure> {
        let now = world.now().mono;
        let deadline = now.plus(patience.connect).min(patience.until_content);
        let stream = match within(world, deadline, world.connect(address)).await {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => return Err(Failure::Io(error.to_string())),
            None => return Err(Failure::TimedOut),
        };
        let mut connection = Self {
            world: world.clone(),
            stream: Some(stream),
            rule: settings.tls,
            client: Client::new(settings),
            host: hop.host.clone(),
            input: Vec::new(),
            address,
            idle_since: now,
        };
        let greeting = Patience { command: patience.greeting, ..patience };
        match connection.run(greeting, None).await {
            Stop::Ready => Ok(connection),
            Stop::Closed(failure) => Err(failure),
            Stop::Done | Stop::Silent => Err(Failure::TimedOut),
        }
    }

    /// What the hop offers.
    pub(super) fn offers_dsn(&self) -> bool {
        self.client.offer().dsn
    }

    /// Protocol version and cipher suite.
    pub(super) fn tls_text(&self) -> Option<Box<str>> {
        self.stream.as_ref().and_then(Stream::tls_text)
    }

    /// Transactions so far.
    pub(super) fn transactions(&self) -> u32 {
        self.client.transactions()
    }

    /// May carry another transaction as far as can be seen without asking the hop.
    pub(super) fn is_usable(&self) -> bool {
        self.client.reusable() && self.stream.as_ref().is_some_and(Stream::is_quiet)
    }

    /// Sends one message.
    pub(super) async fn send(
        &mut self,
        transaction: Transaction,
        content: &Content,
        patience: Patience,
    ) -> Sent {
        self.client.begin(transaction);
        let stop = self.run(patience, Some(content)).await;
        self.sent(&stop)
    }

    /// Waits on for the answer to a content that is out.
    pub(super) async fn answer(&mut self, patience: Patience) -> Sent {
        let stop = self.run(patience, None).await;
        self.sent(&stop)
    }

    /// Gives up waiting: the outcome stays unknown.
    pub(super) fn give_up(&mut self, failure: Failure) -> Vec<Fate> {
        self.client.close(failure);
        self.client.take_fates()
    }

    /// The connection broke, rather than the hop saying no.
    pub(super) fn broke(&mut self) -> Option<Failure> {
        match self.client.advance() {
            Step::Closed(failure) => Some(failure),
            Step::Read(_) | Step::StartTls | Step::Ready | Step::Content(_) | Step::Done => None,
        }
    }

    /// Says goodbye; waits for nobody.
    pub(super) async fn quit(mut self) {
        if !self.client.reusable() {
            return;
        }
        self.client.quit();
        let deadline = self.world.now().mono.plus(Duration::from_secs(1));
        if let Some(stream) = &mut self.stream {
            let goodbye = stream.write_all(self.client.output());
            // Nobody needs to know whether the hop got it.
            let _ = within(&self.world, deadline, goodbye).await;
        }
    }

    fn sent(&mut self, stop: &Stop) -> Sent {
        match stop {
            Stop::Silent => Sent::Waiting(self.client.fates_so_far(&Failure::TimedOut)),
            Stop::Ready | Stop::Done | Stop::Closed(_) => {
                self.idle_since = self.world.now().mono;
                Sent::Over(self.client.take_fates())
            }
        }
    }

    /// Does what the client says until there is something to tell.
    async fn run(&mut self, patience: Patience, content: Option<&Content>) -> Stop {
        // The wait for the final answer begins with the final dot, not with each read.
        let mut final_deadline =
            self.client.committed().then(|| self.world.now().mono.plus(patience.after_content));
        loop {
            match self.client.advance() {
                Step::Ready => return Stop::Ready,
                Step::Done => return Stop::Done,
                Step::Closed(failure) => return Stop::Closed(failure),
                Step::StartTls => self.start_tls(patience).await,
                Step::Content(form) => {
                    let Some(content) = content else {
                        self.client.close(Failure::TimedOut);
                        continue;
                    };
                    self.send_content(content, form, patience).await;
                    final_deadline = Some(self.world.now().mono.plus(patience.after_content));
                }
                Step::Read(wait) => {
                    if self.flush(patience).await.is_err() {
                        continue;
                    }
                    let deadline = match (wait, final_deadline) {
                        (Wait::Final, Some(deadline)) => deadline,
                        (Wait::Final | Wait::DataAsked | Wait::Command, _) => {
                            self.world.now().mono.plus(patience.command).min(patience.until_content)
                        }
                    };
                    if self.read(deadline, wait).await == Heard::Nothing {
                        return Stop::Silent;
                    }
                }
            }
        }
    }

    async fn read(&mut self, deadline: MonoMillis, wait: Wait) -> Heard {
        let Some(stream) = &mut self.stream else {
            self.client.close(Failure::Closed);
            return Heard::Something;
        };
        self.input.clear();
        match within(&self.world, deadline, stream.read(&mut self.input)).await {
            Some(Ok(0)) => self.client.close(Failure::Closed),
            Some(Ok(_)) => self.client.fill(&self.input),
            Some(Err(error)) => self.client.close(Failure::Io(error.to_string())),
            None if wait == Wait::Final => return Heard::Nothing,
            None => self.client.close(Failure::TimedOut),
        }
        Heard::Something
    }

    /// Writes what the client wants to say.
    async fn flush(&mut self, patience: Patience) -> Result<(), ()> {
        if self.client.output().is_empty() {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Err(()) };
        let deadline = self.world.now().mono.plus(patience.command);
        let written = within(&self.world, deadline, stream.write_all(self.client.output())).await;
        self.client.output().clear();
        match written {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => self.client.close(Failure::Io(error.to_string())),
            None => self.client.close(Failure::TimedOut),
        }
        Err(())
    }

    async fn send_content(&mut self, content: &Content, form: Form, patience: Patience) {
        let mut buffer = std::mem::take(self.client.output());
        // A hop that drains its window octet by octet keeps every single write within its time; the
        // client waits for all of them together.
        let extra = Duration::from_secs(content.bytes() / patience.content_pace.max(1));
        let pace = Pace { write: patience.command, until: patience.until_content.plus(extra) };
        let Some(stream) = &mut self.stream else {
            return self.client.close(Failure::Closed);
        };
        let mut sent = body::send(&self.world, stream, &mut buffer, (content, form), pace).await;
        if sent.is_ok() {
            // In a large content there was time to say no before its end. And only DATA has an answer of its
            // own between the envelope and the content, which would show a hop that is out of step.
            if form == Form::Bdat || content.bytes() > body::BUFFER_BYTES as u64 {
                self.hear_early().await;
            }
            if !matches!(self.client.advance(), Step::Content(_)) {
                return;
            }
            self.client.commit();
            let Some(stream) = &mut self.stream else {
                return self.client.close(Failure::Closed);
            };
            sent = body::write(&self.world, stream, &mut buffer, pace).await;
        }
        buffer.clear();
        *self.client.output() = buffer;
        match sent {
            Ok(()) => {}
            Err(Unsent::TimedOut) => self.client.close(Failure::TimedOut),
            // Who refuses a content half way often closes at once, and then the write fails first.
            Err(Unsent::Io(error)) => {
                if !self.client.committed() {
                    self.hear_early().await;
                }
                self.client.close(Failure::Io(error.to_string()));
            }
        }
    }

    /// Reads what the hop says before the end of the content.
    async fn hear_early(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if stream.is_quiet() {
            return;
        }
        self.input.clear();
        let deadline = self.world.now().mono.plus(EARLY_WAIT);
        match within(&self.world, deadline, stream.read(&mut self.input)).await {
            Some(Ok(0)) => self.client.close(Failure::Closed),
            Some(Ok(_)) => self.client.fill(&self.input),
            Some(Err(error)) => self.client.close(Failure::Io(error.to_string())),
            // TLS has messages of its own.
            None => {}
        }
        // Takes the answer, if it is one.
        let _ = self.client.advance();
    }

    async fn start_tls(&mut self, patience: Patience) {
        let Some(stream) = self.stream.take() else {
            return self.client.close(Failure::Closed);
        };
        let certificate = match self.rule {
            TlsRule::Never | TlsRule::Opportunistic | TlsRule::Required => Certificate::Any,
            TlsRule::Verify => Certificate::Valid,
        };
        let deadline = self.world.now().mono.plus(patience.command).min(patience.until_content);
        let handshake = self.world.start_tls(stream, &self.host, certificate);
        match within(&self.world, deadline, handshake).await {
            Some(Ok(stream)) => {
                self.stream = Some(stream);
                self.client.tls_done();
            }
            Some(Err(error)) => self.client.close(Failure::Handshake(error.to_string())),
            None => self.client.close(Failure::Handshake("no answer".to_owned())),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
}
