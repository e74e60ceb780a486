//! The dialogue of one session: what is said after which reply. No waiting and no sockets here.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use super::reply::{Code, Inbox, Offers};
use super::ring::Body;
use super::tally::End;
use super::tls::Tls;
use super::worker::{Worker, at};
use super::{Encryption, Pace};
use crate::ENVELOPE_ID_FIELD;
use crate::mix::Content;

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// For work; it has no connection.
    Free,
    /// For work; it has a connection.
    Kept,
    /// Before it connects again.
    Paused,
    Connecting,
    Handshake,
    Greeting,
    Hello,
    StartTls,
    Mail,
    /// Reply to RCPT of this recipient.
    Recipient(usize),
    Data,
    /// Reply to the end of data.
    Content,
    /// Reply to BDAT.
    Chunk,
    Reset,
    Quit,
    /// For the kernel to give back what is in flight.
    Closing,
}

impl Step {
    /// Whether a mail is under way: if the connection breaks now, nobody knows.
    fn is_transaction(self) -> bool {
        matches!(self, Self::Mail | Self::Recipient(_) | Self::Data | Self::Content | Self::Chunk)
    }

    /// Whether the server owes something, and soon.
    pub(super) fn has_deadline(self) -> bool {
        !matches!(self, Self::Free | Self::Kept | Self::Paused | Self::Closing)
    }
}

/// A mail on its way.
pub(super) struct Mail {
    pub(super) number: u64,
    /// Open loop: when it was due.
    pub(super) due: Option<Instant>,
    pub(super) started: Instant,
    pub(super) content: Content,
    /// Recipients that were accepted.
    accepted: usize,
    /// The refusal that decides if no recipient was accepted.
    refused: Option<Code>,
    /// BDAT: octets of the content that were sent, and chunks without an answer.
    sent: usize,
    chunks: usize,
}

impl Mail {
    pub(super) fn new(number: u64, due: Option<Instant>, now: Instant, content: Content) -> Self {
        let (accepted, refused, sent, chunks) = (0, None, 0, 0);
        Self { number, due, started: now, content, accepted, refused, sent, chunks }
    }
}

/// One session. Its socket and buffers are the ring's.
pub(super) struct Session {
    pub(super) step: Step,
    pub(super) inbox: Inbox,
    pub(super) offers: Offers,
    pub(super) tls: Option<Tls>,
    pub(super) mail: Option<Mail>,
    /// Mails on this connection.
    pub(super) used: u64,
    /// Connections in a row that could not be made.
    pub(super) failures: u32,
    pub(super) deadline: Instant,
    /// The server said all it will say.
    pub(super) ended: bool,
    /// The last transaction was left in the middle.
    needs_reset: bool,
}

impl Session {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            step: Step::Free,
            inbox: Inbox::default(),
            offers: Offers::default(),
            tls: None,
            mail: None,
            used: 0,
            failures: 0,
            deadline: now,
            ended: false,
            needs_reset: false,
        }
    }

    /// As before a connection; the mail stays.
    pub(super) fn disconnected(&mut self) {
        self.inbox.clear();
        self.offers = Offers::default();
        self.tls = None;
        self.used = 0;
        self.ended = false;
        self.needs_reset = false;
    }
}

impl Worker {
    /// Says what lies in `text`, and `body` after it, and waits for the reply of `step`.
    fn say(&mut self, slot: usize, step: Step, body: Option<Body>) -> io::Result<()> {
        self.expect(slot, step);
        let session = at(&mut self.sessions, slot);
        match &mut session.tls {
            None => {
                let text = &self.text;
                self.ring.send(slot, |outbox| outbox.extend_from_slice(text), body)?;
            }
            Some(tls) => {
                if let Some(body) = body {
                    let part = body.octets.get(body.from..body.to).unwrap_or_default();
                    self.text.extend_from_slice(part);
                }
                let (text, mut done) = (&self.text, Ok(()));
                self.ring.send(slot, |outbox| done = tls.send(text, outbox), None)?;
                done?;
            }
        }
        self.text.clear();
        self.ring.receive(slot)
    }

    fn say_text(&mut self, slot: usize, step: Step, text: &[u8]) -> io::Result<()> {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.say(slot, step, None)
    }

    fn hello(&mut self, slot: usize) -> io::Result<()> {
        self.text.clear();
        write!(self.text, "EHLO {}\r\n", self.shared.options.helo)?;
        self.say(slot, Step::Hello, None)
    }

    /// The connection stands.
    pub(super) fn connected(&mut self, slot: usize) -> io::Result<()> {
        if self.shared.options.encryption == Encryption::Implicit {
            return self.begin_tls(slot);
        }
        self.expect(slot, Step::Greeting);
        self.ring.receive(slot)
    }

    fn begin_tls(&mut self, slot: usize) -> io::Result<()> {
        let Some(config) = &self.shared.tls else { return self.broken(slot) };
        let tls = Tls::new(config, self.shared.options.server.ip())?;
        at(&mut self.sessions, slot).tls = Some(tls);
        self.say_text(slot, Step::Handshake, b"")
    }

    /// Octets came. In a handshake they may ask for octets, elsewhere they are replies.
    pub(super) fn received(&mut self, slot: usize, bytes: usize) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        let octets = self.ring.received(slot, bytes);
        let Some(tls) = &mut session.tls else {
            session.inbox.octets().extend_from_slice(octets);
            return self.answer(slot);
        };
        if tls.receive(octets, session.inbox.octets()).is_err() {
            return self.broken(slot);
        }
        self.answer(slot)
    }

    /// Goes on with the handshake, or with what follows it.
    fn shake_hands(&mut self, slot: usize) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        let Some(tls) = &session.tls else { return self.broken(slot) };
        if session.ended {
            return self.broken(slot);
        }
        if tls.is_handshaking() {
            let wants_write = tls.wants_write();
            return if wants_write {
                self.say_text(slot, Step::Handshake, b"")
            } else {
                self.ring.receive(slot)
            };
        }
        if self.shared.options.encryption == Encryption::StartTls {
            // What was offered in clear text counts for nothing (RFC 3207 section 4.2).
            session.offers = Offers::default();
            return self.hello(slot);
        }
        // The last words of the handshake go out here; the greeting may be there already.
        self.say_text(slot, Step::Greeting, b"")
    }

    /// Works off the replies that are there, as long as nothing is being sent.
    pub(super) fn answer(&mut self, slot: usize) -> io::Result<()> {
        loop {
            let session = at(&mut self.sessions, slot);
            let is_elsewhere = matches!(
                session.step,
                Step::Closing | Step::Free | Step::Paused | Step::Connecting
            );
            if is_elsewhere || self.ring.is_sending(slot) {
                return Ok(());
            }
            if session.step == Step::Handshake {
                return self.shake_hands(slot);
            }
            let Some((code, text)) = session.inbox.reply(&mut session.offers) else {
                let is_over = session.ended || session.inbox.is_too_long();
                return if is_over { self.broken(slot) } else { self.ring.receive(slot) };
            };
            if !code.is_positive() && code.basic != 354 {
                self.tally.reply(code);
                let refusal = &self.shared.first_refusal;
                refusal.get_or_init(|| String::from_utf8_lossy(text).into_owned());
            }
            self.replied(slot, code)?;
        }
    }

    fn replied(&mut self, slot: usize, code: Code) -> io::Result<()> {
        let is_group = self.shared.options.pipelining;
        match at(&mut self.sessions, slot).step {
            Step::Greeting if code.basic == 220 => self.hello(slot),
            Step::Hello if code.is_positive() => self.welcomed(slot),
            Step::StartTls if code.basic == 220 => self.begin_tls(slot),
            Step::Greeting | Step::Hello | Step::StartTls => self.turned_away(slot, code),
            Step::Mail => {
                if !code.is_positive() {
                    self.refused(slot, code);
                    if !is_group {
                        return self.decided(slot, code, true);
                    }
                }
                self.recipient(slot, 0)
            }
            Step::Recipient(index) => {
                if code.is_positive() {
                    self.with_mail(slot, |mail| mail.accepted += 1);
                } else {
                    self.refused(slot, code);
                }
                self.recipient(slot, index + 1)
            }
            Step::Data => self.data(slot, code),
            Step::Content => {
                let code = self.refusal_of_all(slot).unwrap_or(code);
                self.decided(slot, code, false)
            }
            Step::Chunk => self.chunk_replied(slot, code),
            Step::Reset => self.transaction(slot),
            // Spoken to without being asked: a server that goes away.
            Step::Kept => self.broken(slot),
            Step::Quit => self.close(slot),
            Step::Free | Step::Paused | Step::Connecting | Step::Handshake | Step::Closing => {
                Ok(())
            }
        }
    }

    fn with_mail<T>(&mut self, slot: usize, change: impl FnOnce(&mut Mail) -> T) -> Option<T> {
        at(&mut self.sessions, slot).mail.as_mut().map(change)
    }

    fn refused(&mut self, slot: usize, code: Code) {
        self.with_mail(slot, |mail| mail.refused = mail.refused.or(Some(code)));
    }

    /// The reply that decides if no recipient was accepted.
    fn refusal_of_all(&mut self, slot: usize) -> Option<Code> {
        let of = |mail: &mut Mail| mail.refused.filter(|_| mail.accepted == 0);
        self.with_mail(slot, of).flatten()
    }

    fn welcomed(&mut self, slot: usize) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        let (offers, options) = (session.offers, &self.shared.options);
        let wants_tls = options.encryption == Encryption::StartTls && session.tls.is_none();
        let missing = [
            (wants_tls && !offers.starttls, "STARTTLS"),
            (options.pipelining && !offers.pipelining, "PIPELINING"),
            (options.chunk_bytes.is_some() && !offers.chunking, "CHUNKING"),
        ];
        // Before STARTTLS a server may offer less than after it.
        let missing = missing.iter().take(if wants_tls { 1 } else { 3 });
        if let Some((_, word)) = missing.into_iter().find(|(is, _)| *is) {
            let text = || format!("the server does not offer {word}");
            self.shared.first_refusal.get_or_init(text);
            return self.broken(slot);
        }
        if wants_tls {
            return self.say_text(slot, Step::StartTls, b"STARTTLS\r\n");
        }
        session.failures = 0;
        self.transaction(slot)
    }

    /// Begins the mail of this session.
    pub(super) fn transaction(&mut self, slot: usize) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        let options = &self.shared.options;
        session.needs_reset = false;
        let Some(mail) = &mut session.mail else { return self.next(slot) };
        mail.started = self.now;
        if mail.due.is_none() {
            self.tally.begun();
        }
        self.text.clear();
        write!(self.text, "MAIL FROM:<{}>", options.from)?;
        if session.offers.eight_bit_mime && mail.content.is_eight_bit {
            self.text.extend_from_slice(b" BODY=8BITMIME");
        }
        if self.shared.needs_smtputf8 {
            self.text.extend_from_slice(b" SMTPUTF8");
        }
        self.text.extend_from_slice(b"\r\n");
        if !options.pipelining {
            return self.say(slot, Step::Mail, None);
        }
        let number = mail.number;
        for index in 0..options.recipients {
            self.put_recipient(number, index);
        }
        if self.shared.options.chunk_bytes.is_none() {
            self.text.extend_from_slice(b"DATA\r\n");
            return self.say(slot, Step::Mail, None);
        }
        // Chunk heads and contents alternate, so all of them lie in one buffer.
        loop {
            match self.put_chunk(slot) {
                None => return self.say(slot, Step::Mail, None),
                Some(body) => {
                    let part = body.octets.get(body.from..body.to).unwrap_or_default();
                    self.text.extend_from_slice(part);
                }
            }
        }
    }

    fn put_recipient(&mut self, mail: u64, index: usize) {
        self.text.extend_from_slice(b"RCPT TO:<");
        self.shared.write_recipient(mail, index, &mut self.text);
        self.text.extend_from_slice(b">\r\n");
    }

    /// Goes on with recipient `index`, or behind the last one.
    fn recipient(&mut self, slot: usize, index: usize) -> io::Result<()> {
        let options = &self.shared.options;
        let (is_group, is_bdat) = (options.pipelining, options.chunk_bytes.is_some());
        let is_behind = index >= options.recipients;
        if is_group {
            let step = match (is_behind, is_bdat) {
                (false, _) => Step::Recipient(index),
                (true, false) => Step::Data,
                (true, true) => Step::Chunk,
            };
            self.expect(slot, step);
            return Ok(());
        }
        if !is_behind {
            let number = self.with_mail(slot, |mail| mail.number).unwrap_or(0);
            self.text.clear();
            self.put_recipient(number, index);
            return self.say(slot, Step::Recipient(index), None);
        }
        if let Some(code) = self.refusal_of_all(slot) {
            return self.decided(slot, code, true);
        }
        if !is_bdat {
            return self.say_text(slot, Step::Data, b"DATA\r\n");
        }
        self.text.clear();
        let body = self.put_chunk(slot);
        self.say(slot, Step::Chunk, body)
    }

    fn put_envelope_id(&mut self, number: u64) {
        // Writing to a vector cannot fail.
        let seed = self.shared.options.seed;
        let _ = write!(self.text, "{ENVELOPE_ID_FIELD}: {seed:x}-{number}\r\n");
    }

    fn data(&mut self, slot: usize, code: Code) -> io::Result<()> {
        if code.basic != 354 {
            let code = self.refusal_of_all(slot).unwrap_or(code);
            return self.decided(slot, code, true);
        }
        if self.refusal_of_all(slot).is_some() {
            // RFC 2920 section 3.1: without a recipient there is nothing to say.
            return self.say_text(slot, Step::Content, b".\r\n");
        }
        let content = |mail: &mut Mail| (mail.number, mail.content.clone());
        let Some((number, content)) = self.with_mail(slot, content) else { return Ok(()) };
        self.text.clear();
        self.put_envelope_id(number);
        let Content { octets, bytes: to, .. } = content;
        self.say(slot, Step::Content, Some(Body { octets, from: 0, to }))
    }

    /// Puts the head of the next chunk into the text, and gives its octets; none behind the last.
    fn put_chunk(&mut self, slot: usize) -> Option<Body> {
        let limit = self.shared.options.chunk_bytes.unwrap_or(usize::MAX).max(1);
        let (number, sent, octets, bytes) = self.with_mail(slot, |mail| {
            mail.chunks += 1;
            (mail.number, mail.sent, Arc::clone(&mail.content.octets), mail.content.bytes)
        })?;
        let is_first = sent == 0;
        if !is_first && sent >= bytes {
            self.with_mail(slot, |mail| mail.chunks -= 1);
            return None;
        }
        // The first chunk carries the envelope id field; its head needs the field's length.
        let text_before = self.text.len();
        if is_first {
            self.put_envelope_id(number);
        }
        let field = self.text.split_off(text_before);
        let to = sent.saturating_add(limit.saturating_sub(field.len()).max(1)).min(bytes);
        let last = if to >= bytes { " LAST" } else { "" };
        let _ = write!(self.text, "BDAT {}{last}\r\n", field.len() + to - sent);
        self.text.extend_from_slice(&field);
        // An empty content is sent once, as nothing.
        self.with_mail(slot, |mail| mail.sent = to.max(1));
        Some(Body { octets, from: sent, to })
    }

    fn chunk_replied(&mut self, slot: usize, code: Code) -> io::Result<()> {
        let open = self.with_mail(slot, |mail| {
            mail.chunks = mail.chunks.saturating_sub(1);
            mail.chunks
        });
        if self.shared.options.pipelining {
            if !code.is_positive() && self.refusal_of_all(slot).is_none() {
                // The chunk's own refusal decides over what is said to those after it.
                self.with_mail(slot, |mail| {
                    mail.accepted = 0;
                    mail.refused = Some(code);
                });
            }
            if open.unwrap_or(0) > 0 {
                self.expect(slot, Step::Chunk);
                return Ok(());
            }
            let code = self.refusal_of_all(slot).unwrap_or(code);
            return self.decided(slot, code, !code.is_positive());
        }
        if !code.is_positive() {
            return self.decided(slot, code, true);
        }
        self.text.clear();
        match self.put_chunk(slot) {
            Some(body) => self.say(slot, Step::Chunk, Some(body)),
            None => self.decided(slot, code, false),
        }
    }

    /// The mail has its answer.
    fn decided(&mut self, slot: usize, code: Code, needs_reset: bool) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        session.used += 1;
        session.needs_reset = needs_reset;
        if code.is_positive() {
            self.tally.reply(code);
        }
        if let Some(mail) = session.mail.take() {
            self.end(&mail, End::Answered(code));
        }
        if code.basic == 421 { self.close(slot) } else { self.next(slot) }
    }

    /// The next mail on this connection, or its end.
    fn next(&mut self, slot: usize) -> io::Result<()> {
        let used = at(&mut self.sessions, slot).used;
        if used >= self.shared.options.mails_per_connection {
            return self.quit(slot);
        }
        let Some(mail) = self.take_next() else {
            if self.is_over() {
                return self.quit(slot);
            }
            self.kept.push(slot);
            self.expect(slot, Step::Kept);
            return self.ring.receive(slot);
        };
        self.go_on(slot, mail)
    }

    /// Sends `mail` on a connection that stands.
    pub(super) fn go_on(&mut self, slot: usize, mail: Mail) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        session.mail = Some(mail);
        if session.needs_reset {
            return self.say_text(slot, Step::Reset, b"RSET\r\n");
        }
        self.transaction(slot)
    }

    pub(super) fn quit(&mut self, slot: usize) -> io::Result<()> {
        self.say_text(slot, Step::Quit, b"QUIT\r\n")
    }

    /// Greeting, EHLO or STARTTLS was refused. In an open loop that is the mail's refusal: an
    /// overloaded server says 421, and that is an answer. A closed loop tries again.
    fn turned_away(&mut self, slot: usize, code: Code) -> io::Result<()> {
        if self.shared.options.pace == Pace::Closed {
            return self.broken(slot);
        }
        if let Some(mail) = at(&mut self.sessions, slot).mail.take() {
            self.end(&mail, End::Answered(code));
        }
        self.close(slot)
    }

    /// The connection broke, or the server is silent for too long.
    pub(super) fn broken(&mut self, slot: usize) -> io::Result<()> {
        let session = at(&mut self.sessions, slot);
        match session.step {
            Step::Kept => self.kept.retain(|one| *one != slot),
            step if step.is_transaction() => {
                if let Some(mail) = session.mail.take() {
                    self.end(&mail, End::Unknown);
                }
            }
            _ if session.mail.is_some() => self.not_connected(slot),
            _ => {}
        }
        self.close(slot)
    }
}
