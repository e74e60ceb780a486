//! The RFC 5321 server as a state machine: octets and time in, replies and steps out.
//!
//! It does no I/O, reads no clock, and judges nobody: whether a client, a reverse-path, a recipient or a
//! message is welcome is asked (`Step::Ask...`) and answered by `pipeline` through the driver. It does not
//! sign, scan, store or look inside the content beyond line ends.
//!
//! ```text
//! Start -AskClient-> Greeted -HELO/EHLO-> Identified -MAIL, AskMail-> Mail -RCPT, AskRcpt-> Mail
//!   Mail -DATA, AskData-> Data -dot, AskMessage-> Identified
//!   Mail -BDAT, AskData-> Chunk -> Chunks -BDAT-> Chunk -LAST, AskMessage-> Identified
//! ```
//!
//! Any split of the input gives the same replies in the same order: commands are used only when complete,
//! one after another, and nothing moves while a question is open. Output is gathered and flushed once
//! per wait, so a pipelined group gets one packet of replies (RFC 2920).
//!
//! Memory per session: what the driver reads at once + one command line (4 KiB) + content below
//! `BODY_IN_MEMORY_BYTES_MAX` + two slices + the envelope (recipients_max paths of 1 KiB at most); one that
//! waits for a command keeps no buffer. Faults survived: any octets whatever (`fuzz_session`), silence,
//! slowness, a peer that vanishes, a pipeline that refuses anything at any question.
//!
//! Caller: the driver in `accept`/`shard`:
//! ```text
//! loop { match session.advance(now) {
//!     Read{deadline} => flush output; read with deadline -> fill | peer_closed | (nothing at the deadline)
//!     Ask...         => session.answer(pipeline...)
//!     ContentFull    => take_content() to disk     ContentDropped => forget it
//!     StartTls       => flush; handshake; tls_done  Close => flush; close; break
//! } }
//! ```

mod bdat;
mod command;
mod data;
mod error;
pub mod grammar;
mod helo;
mod input;
mod mail;
mod pace;
pub mod proxy;
mod question;
mod rcpt;
mod settings;
mod starttls;
mod step;
mod unstuff;
mod xclient;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use memchr::memchr;

use crate::clock::{MonoMillis, Now};
use crate::envelope::{BodyType, Client, Envelope};
use crate::limits::COMMAND_LINE_BYTES_MAX;
use crate::reply::{Enhanced, Reply};

use bdat::{After, Chunk};
use command::Verb;
use data::Receiver;
use helo::Greeting;
use input::Input;
use pace::Pace;
use question::Question;

pub use error::{Fault, PathError, ProxyError, SessionError};
pub use settings::{BareLineEnds, Capabilities, SessionConfig, Timeouts};
pub use step::{Answer, CloseReason, ContentTraits, ForwardPath, RcptTo, Received, Step};
pub use unstuff::unstuff;

/// Room for what is mostly said at once, the answer to EHLO included; the driver took the buffer with what was said before.
const REPLIES_BYTES: usize = 256;

/// Whether this client's address may use XCLIENT (named in the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xclient {
    /// Not offered, answered like an unknown command.
    #[default]
    Refused,
    /// Offered.
    Offered,
}

/// Where a session stands. `Mail` and after it until the end: `envelope` belongs to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the greeting, or after XCLIENT: the client is asked about.
    Start,
    /// 554 was the greeting: only QUIT is left (RFC 5321 section 3.1).
    Refused,
    /// Greeted, no HELO yet.
    Greeted,
    /// No transaction.
    Identified,
    /// MAIL was accepted; recipients may have been.
    Mail,
    /// Content of DATA is coming.
    Data,
    /// Between two chunks.
    Chunks,
    /// A chunk failed: nothing but RSET helps.
    ChunksFailed,
    /// Octets of a chunk are coming.
    Chunk { left: u64, chunk: Chunk },
    /// Octets of a refused chunk are coming.
    Swallow { left: u64, next: After },
    /// A TLS handshake runs.
    Handshake,
    /// Over.
    Closing(CloseReason),
}

/// What a session has from MAIL to the end of the transaction (and for a chunk that is not wanted), on the heap: most of
/// the time most sessions have none.
#[derive(Debug, Default)]
struct Transaction {
    envelope: Envelope,
    receiver: Receiver,
    pace: Pace,
    /// The reply when all of a chunk is swallowed.
    swallow_reply: Option<Reply>,
}

/// The envelope of a session without a transaction.
static NO_ENVELOPE: Envelope = Envelope {
    reverse_path: None,
    body: BodyType::SevenBit,
    smtputf8: false,
    ret: None,
    envid: None,
    size: None,
    recipients: Vec::new(),
};

/// One SMTP session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    client: Client,
    xclient: Xclient,
    /// What XCLIENT said: it stands above a later EHLO's word.
    xclient_helo: Option<Box<str>>,
    input: Input,
    output: Vec<u8>,
    phase: Phase,
    question: Option<Question>,
    transaction: Option<Box<Transaction>>,
    /// RCPTs of this transaction that named a recipient once more.
    repeated_recipients: usize,
    /// At least one RCPT of this transaction was refused.
    refused_in_transaction: bool,
    /// Canonical content that the driver has not taken.
    content: Vec<u8>,
    /// The driver holds content of this transaction.
    content_taken: bool,
    /// The driver must be told to drop it.
    drop_pending: bool,
    /// The command line that is coming is too long and will be answered when it ends.
    overlong: bool,
    command_deadline: Option<MonoMillis>,
    transactions: u32,
    errors: u32,
    refused_recipients: u32,
    deferred_recipients: u32,
    idle_commands: u32,
    peer_closed: bool,
    draining: bool,
    plaintext_dropped: bool,
}

impl Session {
    /// A session with `client`, before the greeting. With implicit TLS the handshake is done
    /// and `client.tls` is set.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>, client: Client, xclient: Xclient) -> Self {
        Self {
            config,
            client,
            xclient,
            xclient_helo: None,
            input: Input::default(),
            output: Vec::with_capacity(REPLIES_BYTES),
            phase: Phase::Start,
            question: None,
            transaction: None,
            repeated_recipients: 0,
            refused_in_transaction: false,
            content: Vec::new(),
            content_taken: false,
            drop_pending: false,
            overlong: false,
            command_deadline: None,
            transactions: 0,
            errors: 0,
            refused_recipients: 0,
            deferred_recipients: 0,
            idle_commands: 0,
            peer_closed: false,
            draining: false,
            plaintext_dropped: false,
        }
    }

    /// Octets from the peer, any split; they are copied.
    ///
    /// # Panics
    /// While a TLS handshake runs: what comes then is not ours to read.
    pub fn fill(&mut self, octets: &[u8]) {
        assert!(self.phase != Phase::Handshake, "fill during a handshake");
        self.input.fill(octets);
        if self.output.capacity() == 0 {
            self.output.reserve_exact(REPLIES_BYTES);
        }
    }

    /// Goes on as far as possible. Call until `Step::Read`, `StartTls` or `Close`, and again at the
    /// deadline.
    ///
    /// # Panics
    /// While a question is open: the driver's defect.
    pub fn advance(&mut self, now: Now) -> Step {
        assert!(self.question.is_none(), "advance while a question is open");
        // Taken out so that a command can borrow its line while the session changes.
        let mut input = std::mem::take(&mut self.input);
        let step = self.run(&mut input, now);
        self.input = input;
        step
    }

    fn run(&mut self, input: &mut Input, now: Now) -> Step {
        loop {
            if std::mem::take(&mut self.drop_pending) {
                return Step::ContentDropped;
            }
            if self.draining && !self.is_busy() {
                self.close_with(
                    &Reply::new(421, Enhanced(4, 3, 2), "Service shutting down"),
                    CloseReason::Shutdown,
                );
                continue;
            }
            let step = match self.phase {
                Phase::Start => self.ask(Question::Client, Step::AskClient),
                Phase::Data => self.receive_data(input, now),
                Phase::Chunk { left, chunk } => self.receive_chunk(input, now, (left, chunk)),
                Phase::Swallow { left, next } => self.receive_swallowed(input, now, (left, next)),
                Phase::Handshake => Some(Step::StartTls),
                Phase::Closing(reason) => {
                    input.clear();
                    Some(Step::Close { reason })
                }
                Phase::Refused
                | Phase::Greeted
                | Phase::Identified
                | Phase::Mail
                | Phase::Chunks
                | Phase::ChunksFailed => self.next_command(input, now),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Content is under way, or the session is over anyway: a drain waits.
    fn is_busy(&self) -> bool {
        match self.phase {
            Phase::Data
            | Phase::Chunks
            | Phase::Chunk { .. }
            | Phase::Swallow { .. }
            | Phase::Handshake
            | Phase::Closing(_) => true,
            Phase::Start
            | Phase::Refused
            | Phase::Greeted
            | Phase::Identified
            | Phase::Mail
            | Phase::ChunksFailed => false,
        }
    }

    /// Takes one complete line out of `input` and obeys it, or waits for more.
    fn next_command(&mut self, input: &mut Input, now: Now) -> Option<Step> {
        let Some(end) = memchr(b'\n', input.pending()) else {
            if input.pending().len() >= COMMAND_LINE_BYTES_MAX {
                self.overlong = true;
            }
            if self.overlong {
                input.clear();
            }
            input.release();
            let patience = now.mono.plus(self.config.timeouts.command);
            let mut deadline = *self.command_deadline.get_or_insert(patience);
            if self.phase == Phase::Chunks {
                let transaction = self.transaction.get_or_insert_default();
                let enough = transaction.pace.rate_deadline(now.mono, &self.config.timeouts);
                deadline = deadline.min(enough);
            }
            return self.read(now, deadline);
        };
        self.command_deadline = None;
        let overlong = std::mem::take(&mut self.overlong) || end + 1 > COMMAND_LINE_BYTES_MAX;
        if overlong {
            input.consume(end + 1);
            return self.fail(SessionError::CommandTooLong);
        }
        // The line must be used up before the command runs (BDAT, STARTTLS look at what follows).
        let mut line = smallvec::SmallVec::<[u8; 256]>::new();
        line.extend_from_slice(input.pending().get(..end).unwrap_or_default());
        input.consume(end + 1);
        let bare = line.last() != Some(&b'\r');
        if bare && self.config.bare_line_ends == BareLineEnds::Refuse {
            return self.fail(SessionError::BareLineFeed);
        }
        let text =
            if bare { &line[..] } else { line.split_last().map_or(&[][..], |(_, rest)| rest) };
        match command::parse(text) {
            Ok(command) => self.obey(command, input),
            Err(_) if self.phase == Phase::Refused => self.fail(SessionError::SessionRefused),
            Err(error) => self.fail(error),
        }
    }

    fn obey(&mut self, command: command::Command<'_>, input: &mut Input) -> Option<Step> {
        let argument = command.argument;
        match command.verb {
            Verb::Quit if argument.is_empty() => {
                self.output.extend_from_slice(b"221 2.0.0 Bye\r\n");
                self.close(CloseReason::Quit)
            }
            Verb::Bdat => self.bdat(argument),
            Verb::Http => self.close_with(
                &Reply::new(421, Enhanced(4, 7, 0), "This is not an HTTP server"),
                CloseReason::Protocol,
            ),
            _ if self.phase == Phase::Refused => self.fail(SessionError::SessionRefused),
            Verb::Helo => self.helo(Greeting::Helo, argument),
            Verb::Ehlo => self.helo(Greeting::Ehlo, argument),
            Verb::Mail => self.mail(argument),
            Verb::Rcpt => self.rcpt(argument),
            Verb::Data => self.data(argument),
            Verb::StartTls => self.starttls(argument, input),
            Verb::Xclient => self.xclient(argument),
            Verb::Rset if argument.is_empty() => {
                self.end_transaction();
                self.idle(b"250 2.0.0 Ok\r\n")
            }
            Verb::Noop => self.idle(b"250 2.0.0 Ok\r\n"),
            Verb::Help => self.idle(b"214 2.0.0 See RFC 5321\r\n"),
            // RFC 5321 section 3.5.3: neither confirms nor denies.
            Verb::Vrfy if !argument.is_empty() => {
                self.idle(b"252 2.5.2 Cannot VRFY user, send some mail\r\n")
            }
            Verb::NotServed => self.fail(SessionError::NotImplemented),
            Verb::Vrfy | Verb::Rset | Verb::Quit => self.fail(SessionError::Argument),
        }
    }

    /// Replies to a command that leads nowhere, as long as there are not too many of them.
    fn idle(&mut self, reply: &[u8]) -> Option<Step> {
        if self.may_idle() {
            self.output.extend_from_slice(reply);
        }
        None
    }

    /// Counts such a command; past the limit the session is closed and the command must not be obeyed.
    fn may_idle(&mut self) -> bool {
        self.idle_commands += 1;
        let within = self.idle_commands <= self.config.idle_commands_max;
        if !within {
            self.over_limit("too many commands without a message");
        }
        within
    }

    /// Replies with `error` and counts it.
    fn fail(&mut self, error: SessionError) -> Option<Step> {
        self.count_error(error);
        error.reply().write_to(&mut self.output);
        self.check_limits()
    }

    fn count_error(&mut self, error: SessionError) {
        self.errors += u32::from(error.permanent());
    }

    /// Counts a recipient that was answered with `reply`. A 4yz tells no guesser anything: a mailing
    /// list with more recipients than we take at once (452), or over its rate (451), must be able to
    /// go on with those that were accepted (RFC 5321 section 4.5.3.1.10) and had its session cut.
    fn count_refused(&mut self, reply: &Reply) -> Option<Step> {
        self.refused_in_transaction = true;
        if reply.is_transient() {
            self.deferred_recipients += 1;
        } else {
            self.refused_recipients += 1;
        }
        self.check_limits()
    }

    /// Ends the session when it has made too many errors. RFC 5321 section 4.2.1 allows 421 anywhere.
    fn check_limits(&mut self) -> Option<Step> {
        if self.errors > self.config.errors_max {
            return self.over_limit("too many errors");
        }
        if self.refused_recipients > self.config.refused_recipients_max {
            return self.over_limit("too many refused recipients");
        }
        if self.deferred_recipients > self.config.deferred_recipients_max {
            return self.over_limit("too many deferred recipients");
        }
        None
    }

    fn over_limit(&mut self, text: &'static str) -> Option<Step> {
        self.close_with(&Reply::new(421, Enhanced(4, 7, 0), text), CloseReason::Limit)
    }

    fn close_with(&mut self, reply: &Reply, reason: CloseReason) -> Option<Step> {
        reply.write_to(&mut self.output);
        self.close(reason)
    }

    /// Always `None`: the loop then comes to `Step::Close` by way of what must be dropped.
    fn close(&mut self, reason: CloseReason) -> Option<Step> {
        self.reset_transaction();
        self.phase = Phase::Closing(reason);
        None
    }

    /// Ends the transaction, if there is one, and stays identified, if it was.
    fn end_transaction(&mut self) {
        self.reset_transaction();
        match self.phase {
            Phase::Greeted | Phase::Refused | Phase::Start | Phase::Closing(_) => {}
            _ => self.phase = Phase::Identified,
        }
    }

    fn reset_transaction(&mut self) {
        self.transaction = None;
        self.repeated_recipients = 0;
        self.refused_in_transaction = false;
        self.drop_content();
    }

    /// Replies to be flushed at `Read`, `StartTls` and `Close`; the driver clears it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Octets of memory that the content waiting in this session takes up: what its buffer has, not
    /// what is in it. 1,000 sessions with 200 KiB each hold a quarter more than their content.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.content.capacity()
    }

    /// Takes the content gathered so far: at `ContentFull` and at `AskMessage`.
    pub fn take_content(&mut self) -> Vec<u8> {
        self.content_taken |= !self.content.is_empty();
        std::mem::take(&mut self.content)
    }

    /// The rest of the current content is thrown away and `reply` is its final reply; what the driver
    /// holds of it is void. For a full disk, or a transaction that takes too long.
    pub fn refuse_content(&mut self, reply: Reply) {
        self.content = Vec::new();
        self.content_taken = false;
        self.transaction().receiver.refusal = Some(reply);
    }

    /// The peer sent octets before the greeting went out: 554 and close. Instead of an answer to
    /// `AskClient`, or while its 220 is not yet flushed.
    pub fn early_talker(&mut self) {
        self.question = None;
        self.output.clear();
        self.output.extend_from_slice(b"554 Talked before the greeting\r\n");
        self.close(CloseReason::EarlyTalker);
    }

    /// The peer closed its side: complete commands are still obeyed, then the session closes.
    pub fn peer_closed(&mut self) {
        self.peer_closed = true;
    }

    /// Drain: 421 between transactions; content under way finishes first.
    pub fn shutdown(&mut self) {
        self.draining = true;
    }

    /// Ends the session with `reply` at the next `advance`, wherever it stands.
    pub fn abort(&mut self, reply: &Reply) {
        self.question = None;
        self.close_with(reply, CloseReason::Refused);
    }

    /// The client as known now.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// For what the driver finds out itself, such as the reverse name.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The envelope of the current transaction; `Step::AskMessage` has taken it along.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        self.transaction.as_deref().map_or(&NO_ENVELOPE, |transaction| &transaction.envelope)
    }

    fn transaction(&mut self) -> &mut Transaction {
        self.transaction.get_or_insert_default()
    }

    /// Whether what the driver holds for this transaction may still be asked for: false once it has ended, and
    /// from the moment on at which its content is refused.
    #[must_use]
    pub fn needs_transaction(&self) -> bool {
        match self.phase {
            Phase::Data | Phase::Chunk { .. } => {
                let transaction = self.transaction.as_deref();
                transaction.is_some_and(|open| !open.receiver.is_failed(&self.config))
            }
            Phase::Mail | Phase::Chunks | Phase::Swallow { next: After::Mail, .. } => true,
            Phase::Start
            | Phase::Refused
            | Phase::Greeted
            | Phase::Identified
            | Phase::ChunksFailed
            | Phase::Swallow { .. }
            | Phase::Handshake
            | Phase::Closing(_) => self.question.is_some(),
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Whether content is being read (choose a large read buffer).
    #[must_use]
    pub fn in_content(&self) -> bool {
        matches!(self.phase, Phase::Data | Phase::Chunk { .. } | Phase::Swallow { .. })
    }
}

/// Fuzz entry: any octets as a whole session; the first octet says how they are split and answered.
/// Whatever the split, the replies and the messages are the same.
pub fn fuzz_session(data: &[u8]) {
    let Some((control, octets)) = data.split_first() else { return };
    let whole = question::rehearse(octets, usize::MAX, *control);
    let split = question::rehearse(octets, usize::from(*control % 7) + 1, *control);
    assert_eq!(whole, split, "the split of the input changed the session");
}
