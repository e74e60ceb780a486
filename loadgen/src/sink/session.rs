//! One connection to the sink as a state machine: octets in, replies and the next step out.
//!
//! It neither reads nor waits: what it cannot go on without it says as a [`Step`], and a worker
//! comes back with it. Octets of a content are kept only if somebody wants them (a store or a
//! ledger); otherwise they are counted as they pass.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memchr::memchr;

use super::{Behaviour, Entry, Fate, GREETING_MARK, Shared, content};
use crate::random::Random;
use crate::store::{self, StoredEnvelope};
use crate::wire::{LINE_BYTES_MAX, MESSAGE_BYTES_MAX};

/// What the session needs before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More octets of its client.
    Read,
    /// That so much time goes by; then [`Session::resume`].
    Wait(Duration),
    /// A TLS handshake, after its replies were sent in the clear.
    Handshake,
    /// Nothing: the connection is closed when its replies are sent.
    End,
}

/// What is answered after a wait.
#[derive(Debug)]
enum Pending {
    Recipient { path: String, parameters: String },
    Content { by: &'static str },
    Slow { by: &'static str },
}

#[derive(Debug)]
enum State {
    Command,
    Data {
        at_line_start: bool,
    },
    Chunk {
        missing: usize,
        last: bool,
    },
    Waiting(Pending),
    /// Reads on without a word until the client gives up.
    Hung,
}

pub(super) struct Session {
    connection: u64,
    peer: SocketAddr,
    helo: String,
    mail: Option<(String, String)>,
    recipients: Vec<(String, String)>,
    /// The fate of the mail as its recipients script it.
    fate: Fate,
    state: State,
    keeps_content: bool,
    /// The connection ends with the first octets of this content.
    breaks: bool,
    content: Vec<u8>,
    content_bytes: usize,
    random: Random,
    secured: bool,
    /// Replies that are not sent yet.
    pub(super) output: Vec<u8>,
}

impl Session {
    /// A session with its greeting in `output`, and what comes after that.
    pub(super) fn greet(peer: SocketAddr, connection: u64, shared: &Shared) -> (Self, Step) {
        let behaviour = shared.behaviour();
        let mut session = Self {
            connection,
            peer,
            helo: String::new(),
            mail: None,
            recipients: Vec::new(),
            fate: Fate::Take,
            state: State::Command,
            keeps_content: false,
            breaks: false,
            content: Vec::new(),
            content_bytes: 0,
            random: Random::new(behaviour.seed ^ connection.wrapping_mul(0x9E37_79B9)),
            secured: shared.entry == Entry::Implicit,
            output: Vec::with_capacity(256),
        };
        if behaviour.busy {
            session.reply("421 4.3.2 too busy");
            return (session, Step::End);
        }
        session.reply(&format!("220 {GREETING_MARK} ESMTP"));
        (session, Step::Read)
    }

    /// Works through `input`; says how much of it was used and what is needed next. What was not
    /// used comes again in front of what follows it.
    ///
    /// # Errors
    /// A line or a message beyond the bounds of `wire`; the store or the ledger cannot be written
    /// where the client gets no answer.
    pub(super) fn feed(&mut self, shared: &Shared, input: &[u8]) -> io::Result<(usize, Step)> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let step = match &mut self.state {
                State::Command => {
                    let Some(end) = memchr(b'\n', rest) else {
                        if rest.len() > LINE_BYTES_MAX {
                            return Err(io::Error::new(ErrorKind::InvalidData, "line too long"));
                        }
                        return Ok((used, Step::Read));
                    };
                    used += end + 1;
                    let line = rest.get(..end).unwrap_or_default();
                    self.command(shared, line.strip_suffix(b"\r").unwrap_or(line))?
                }
                State::Data { at_line_start } => {
                    let (keeps, kept, bytes) =
                        (self.keeps_content, &mut self.content, &mut self.content_bytes);
                    let (taken, ended) = content::take(rest, at_line_start, |part| {
                        *bytes += part.len();
                        if keeps {
                            kept.extend_from_slice(part);
                        }
                    });
                    used += taken;
                    self.check_size()?;
                    if self.breaks && taken > 0 {
                        return Ok((used, Step::End));
                    }
                    if !ended {
                        return Ok((used, Step::Read));
                    }
                    self.state = State::Command;
                    self.take(shared, "DATA")?
                }
                State::Chunk { missing, last } => {
                    let here = rest.len().min(*missing);
                    *missing -= here;
                    let (missing, last) = (*missing, *last);
                    used += here;
                    if self.breaks && here > 0 {
                        return Ok((used, Step::End));
                    }
                    self.content_bytes += here;
                    if self.keeps_content {
                        self.content.extend_from_slice(rest.get(..here).unwrap_or_default());
                    }
                    self.check_size()?;
                    if missing > 0 {
                        return Ok((used, Step::Read));
                    }
                    self.state = State::Command;
                    self.chunk(shared, last)?
                }
                State::Waiting(_) => return Ok((used, Step::Wait(Duration::ZERO))),
                State::Hung => return Ok((input.len(), Step::Read)),
            };
            if let Some(step) = step {
                return Ok((used, step));
            }
        }
    }

    /// Goes on after [`Step::Wait`]; `None`: with the input that is there.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub(super) fn resume(&mut self, shared: &Shared) -> io::Result<Option<Step>> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Waiting(Pending::Recipient { path, parameters }) => {
                Ok(self.recipient(&shared.behaviour(), path, parameters))
            }
            State::Waiting(Pending::Content { by }) => self.decide(shared, by),
            State::Waiting(Pending::Slow { by }) => {
                self.taken(shared, by);
                self.reset();
                Ok(None)
            }
            other @ (State::Command | State::Data { .. } | State::Chunk { .. } | State::Hung) => {
                self.state = other;
                Ok(None)
            }
        }
    }

    fn check_size(&self) -> io::Result<()> {
        if self.content_bytes > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "message too large"));
        }
        Ok(())
    }

    fn reply(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn command(&mut self, shared: &Shared, line: &[u8]) -> io::Result<Option<Step>> {
        let line = String::from_utf8_lossy(line);
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.ehlo(shared, argument),
            "HELO" => {
                argument.clone_into(&mut self.helo);
                self.reset();
                self.reply(&format!("250 {GREETING_MARK}"));
            }
            "STARTTLS" if shared.tls.is_some() && !self.secured => {
                self.reply("220 2.0.0 go ahead");
                self.secured = true;
                self.helo.clear();
                self.reset();
                return Ok(Some(Step::Handshake));
            }
            "MAIL" => self.mail(shared, argument),
            "RCPT" => return Ok(self.rcpt(shared, argument)),
            "DATA" => return Ok(self.data(shared)),
            "BDAT" => return self.bdat(shared, argument),
            "RSET" => {
                self.reset();
                self.reply("250 2.0.0 reset");
            }
            "NOOP" => self.reply("250 2.0.0 ok"),
            "VRFY" => self.reply("252 2.5.2 will try"),
            "QUIT" => {
                self.reply("221 2.0.0 bye");
                return Ok(Some(Step::End));
            }
            _ => self.reply("500 5.5.1 unknown command"),
        }
        Ok(None)
    }

    fn ehlo(&mut self, shared: &Shared, argument: &str) {
        argument.clone_into(&mut self.helo);
        self.reset();
        let extensions = shared.extensions;
        let mut lines = vec![GREETING_MARK.to_owned()];
        let mut offer = |on: bool, word: &str| {
            if on {
                lines.push(word.to_owned());
            }
        };
        offer(extensions.pipelining, "PIPELINING");
        offer(extensions.chunking, "CHUNKING");
        offer(extensions.smtputf8, "SMTPUTF8");
        offer(extensions.eight_bit_mime, "8BITMIME");
        offer(extensions.dsn, "DSN");
        offer(true, "ENHANCEDSTATUSCODES");
        offer(shared.tls.is_some() && !self.secured, "STARTTLS");
        if let Some(size) = extensions.size {
            lines.push(format!("SIZE {size}"));
        }
        let last = lines.len() - 1;
        for (index, line) in lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            self.reply(&format!("250{mark}{line}"));
        }
    }

    fn reset(&mut self) {
        self.mail = None;
        self.recipients.clear();
        self.fate = Fate::Take;
        self.content.clear();
        self.content_bytes = 0;
        // One mail of 2 GiB is not paid for by all that come after it.
        self.content.shrink_to(1024 * 1024);
    }

    fn mail(&mut self, shared: &Shared, argument: &str) {
        let Some((path, parameters)) = path_of(argument, "FROM:") else {
            return self.reply("501 5.5.4 syntax: MAIL FROM:<path>");
        };
        if self.mail.is_some() {
            return self.reply("503 5.5.1 nested MAIL");
        }
        let wants_utf8 = parameters.split(' ').any(|word| word.eq_ignore_ascii_case("SMTPUTF8"));
        if wants_utf8 && !shared.extensions.smtputf8 {
            return self.reply("555 5.5.4 SMTPUTF8 was not offered");
        }
        self.mail = Some((path, parameters));
        self.reply("250 2.1.0 ok");
    }

    fn rcpt(&mut self, shared: &Shared, argument: &str) -> Option<Step> {
        let Some((path, parameters)) = path_of(argument, "TO:") else {
            self.reply("501 5.5.4 syntax: RCPT TO:<path>");
            return None;
        };
        if self.mail.is_none() {
            self.reply("503 5.5.1 MAIL first");
            return None;
        }
        let behaviour = shared.behaviour();
        if behaviour.delay > Duration::ZERO {
            self.state = State::Waiting(Pending::Recipient { path, parameters });
            return Some(Step::Wait(behaviour.delay));
        }
        self.recipient(&behaviour, path, parameters)
    }

    fn recipient(
        &mut self,
        behaviour: &Behaviour,
        path: String,
        parameters: String,
    ) -> Option<Step> {
        match behaviour.recipient(&path, &mut self.random) {
            Fate::RcptTemporary => self.reply("451 4.3.0 scripted: try again later"),
            Fate::RcptPermanent => self.reply("550 5.1.1 scripted: no such mailbox"),
            Fate::Nonsense => self.reply("what is this about?"),
            Fate::CloseRcpt => return Some(Step::End),
            fate => {
                if fate != Fate::Take {
                    self.fate = fate;
                }
                self.recipients.push((path, parameters));
                self.reply("250 2.1.5 ok");
            }
        }
        None
    }

    fn data(&mut self, shared: &Shared) -> Option<Step> {
        if self.mail.is_none() || self.recipients.is_empty() {
            let text = if self.mail.is_none() {
                "503 5.5.1 MAIL first"
            } else {
                "554 5.5.1 no valid recipients"
            };
            self.reply(text);
            return None;
        }
        if self.random.chance(shared.behaviour().data_close_percent) {
            return Some(Step::End);
        }
        self.reply("354 go ahead");
        self.content.clear();
        self.content_bytes = 0;
        self.keeps_content = shared.keeps_content();
        self.breaks = self.random.chance(shared.behaviour().body_close_percent);
        self.state = State::Data { at_line_start: true };
        None
    }

    fn bdat(&mut self, shared: &Shared, argument: &str) -> io::Result<Option<Step>> {
        let mut words = argument.split_ascii_whitespace();
        let Some(missing) = words.next().and_then(|word| word.parse::<usize>().ok()) else {
            self.reply("501 5.5.4 syntax: BDAT bytes [LAST]");
            return Ok(Some(Step::End));
        };
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        if missing == 0 {
            return self.chunk(shared, last);
        }
        self.keeps_content = shared.keeps_content();
        self.breaks = self.random.chance(shared.behaviour().body_close_percent);
        self.state = State::Chunk { missing, last };
        Ok(None)
    }

    /// The end of a chunk.
    fn chunk(&mut self, shared: &Shared, last: bool) -> io::Result<Option<Step>> {
        if !shared.extensions.chunking {
            self.reply("500 5.5.1 CHUNKING was not offered");
            return Ok(None);
        }
        if self.mail.is_none() || self.recipients.is_empty() {
            self.content.clear();
            self.content_bytes = 0;
            self.reply("503 5.5.1 MAIL and RCPT first");
            return Ok(None);
        }
        if last {
            return self.take(shared, "BDAT");
        }
        self.reply("250 2.0.0 chunk");
        Ok(None)
    }

    /// The end of data: answer, store, or misbehave; at once or later.
    fn take(&mut self, shared: &Shared, by: &'static str) -> io::Result<Option<Step>> {
        let delay = shared.behaviour().delay;
        if delay > Duration::ZERO {
            self.state = State::Waiting(Pending::Content { by });
            return Ok(Some(Step::Wait(delay)));
        }
        self.decide(shared, by)
    }

    fn decide(&mut self, shared: &Shared, by: &'static str) -> io::Result<Option<Step>> {
        let behaviour = shared.behaviour();
        let fate = match self.fate {
            Fate::Take => behaviour.mail(&mut self.random),
            scripted => scripted,
        };
        let mut step = None;
        match fate {
            Fate::DotTemporary => self.reply("451 4.3.0 scripted: not now"),
            Fate::DotPermanent => self.reply("554 5.7.1 scripted: never"),
            Fate::Hang => self.state = State::Hung,
            Fate::HangTaken => {
                self.store(shared, by, "none")?;
                self.state = State::Hung;
            }
            Fate::Close => step = Some(Step::End),
            Fate::CloseTaken => {
                self.store(shared, by, "none")?;
                step = Some(Step::End);
            }
            Fate::Slow => {
                self.state = State::Waiting(Pending::Slow { by });
                return Ok(Some(Step::Wait(behaviour.slow)));
            }
            Fate::Take
            | Fate::RcptTemporary
            | Fate::RcptPermanent
            | Fate::CloseRcpt
            | Fate::Nonsense => self.taken(shared, by),
        }
        self.reset();
        Ok(step)
    }

    fn taken(&mut self, shared: &Shared, by: &str) {
        match self.store(shared, by, "250") {
            Ok(number) => self.reply(&format!("250 2.0.0 taken as {number}")),
            Err(_) => self.reply("452 4.3.1 the sink cannot store it"),
        }
    }

    fn store(&mut self, shared: &Shared, by: &str, answer: &str) -> io::Result<u64> {
        let number = shared.number.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(dir) = &shared.store {
            let (mail_from, mail_parameters) = self.mail.clone().unwrap_or_default();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let envelope = StoredEnvelope {
                mail_from,
                mail_parameters,
                rcpt_to: self.recipients.iter().map(|(path, _)| path.clone()).collect(),
                rcpt_parameters: self.recipients.iter().map(|(_, rest)| rest.clone()).collect(),
                helo: self.helo.clone(),
                peer: self.peer.to_string(),
                by: by.to_owned(),
                received_at: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
                connection: self.connection,
                answer: answer.to_owned(),
            };
            store::put(dir, number, &envelope, &self.content)?;
        }
        let from = self.mail.as_ref().map_or("", |(path, _)| path);
        let to = self.recipients.first().map_or("", |(path, _)| path);
        shared.note(&self.content, from, to)?;
        shared.mails.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(self.content_bytes as u64, Ordering::Relaxed);
        Ok(number)
    }
}

/// Splits `FROM:<path> parameters` into path and parameters.
fn path_of(argument: &str, keyword: &str) -> Option<(String, String)> {
    let head = argument.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = argument.get(keyword.len()..)?.trim_start().strip_prefix('<')?;
    // A quoted local-part may hold the bracket: the path ends at the last one.
    let (path, parameters) = match rest.split_once("> ") {
        Some((path, parameters)) if !path.starts_with('"') => (path, parameters),
        _ => rest.rsplit_once('>')?,
    };
    Some((path.to_owned(), parameters.trim().to_owned()))
}
