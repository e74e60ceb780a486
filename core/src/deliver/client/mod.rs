//! The SMTP client without I/O: RFC 5321 with PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, DSN,
//! STARTTLS and LIMITS, as far as the hop offers them.
//!
//! Octets in by [`Client::fill`], octets out by [`Client::output`], and [`Client::advance`] says what
//! to do next. One transaction at a time; every recipient gets a [`Fate`]. The client knows whether
//! the end of the content was sent ([`Client::committed`]): before it every failure is "not taken",
//! after it every failure is "unknown". It reads no clock and opens nothing; nonsense from the hop ends
//! the connection and never more than that. Bounds: those of `answer`, and `BATCH` commands under way.

mod answer;
mod command;
mod fate;
mod fuzz;
mod offer;
mod steps;

use std::collections::VecDeque;

pub use answer::Nonsense;
pub use fate::{Failure, Fate};
pub use fuzz::fuzz_hop_reply;
pub use offer::Offer;
pub use steps::{ClientSettings, EightBitRule, Form, Step, Transaction, Wait};

use self::answer::Answers;
use super::TlsRule;
use crate::reply::{Enhanced, Reply};

/// Commands sent before their replies are read. Each reply of the batch fits into any socket buffer,
/// so neither side can block the other (RFC 2920 section 3.1).
const BATCH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// The answer to the lone dot after a DATA that has no recipients.
    Discard,
    Final,
    Quit,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Talking,
    Handshake,
    Ready,
    Envelope,
    Content(Form),
    Final,
    Done,
    Closed(Failure),
}

#[derive(Debug)]
struct Current {
    transaction: Transaction,
    fates: Vec<Fate>,
    /// Recipients still to be named to the hop, in order.
    unsent: VecDeque<usize>,
    utf8: bool,
    mail_sent: bool,
    data_sent: bool,
    /// MAIL was refused: everything behind it is moot.
    moot: bool,
}

/// The client side of one connection.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    state: State,
    answers: Answers,
    output: Vec<u8>,
    expected: VecDeque<Expect>,
    offer: Offer,
    encrypted: bool,
    reset_due: bool,
    transactions: u32,
    current: Option<Current>,
}

impl Client {
    /// A client on a fresh connection.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        Self {
            settings,
            state: State::Talking,
            answers: Answers::default(),
            output: Vec::new(),
            expected: VecDeque::from([Expect::Greeting]),
            offer: Offer::default(),
            encrypted: false,
            reset_due: false,
            transactions: 0,
            current: None,
        }
    }

    /// Octets for the hop; the caller sends and clears them.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Octets from the hop.
    pub fn fill(&mut self, octets: &[u8]) {
        self.answers.fill(octets);
    }

    /// What the hop offers.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The end of the content may have reached the hop: from here a failure means "unknown".
    #[must_use]
    pub fn committed(&self) -> bool {
        self.state == State::Final
    }

    /// May carry another transaction.
    #[must_use]
    pub fn reusable(&self) -> bool {
        matches!(self.state, State::Ready)
            && self.answers.is_empty()
            && self.offer.mails_max.is_none_or(|max| self.transactions < max)
    }

    /// Transactions begun on this connection.
    #[must_use]
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Works through what is there and says what to do next.
    pub fn advance(&mut self) -> Step {
        loop {
            match &self.state {
                State::Closed(failure) => return Step::Closed(failure.clone()),
                State::Handshake => return Step::StartTls,
                State::Ready if self.answers.is_empty() => return Step::Ready,
                State::Content(form) if self.answers.is_empty() => return Step::Content(*form),
                State::Content(_) => {
                    self.on_early();
                    continue;
                }
                State::Done => return Step::Done,
                State::Talking | State::Ready | State::Envelope | State::Final => {}
            }
            match self.answers.next() {
                Ok(Some(reply)) => self.on_reply(reply),
                Ok(None) => return Step::Read(self.wait()),
                Err(nonsense) => self.close(Failure::Nonsense(nonsense)),
            }
        }
    }

    fn wait(&self) -> Wait {
        match self.expected.front() {
            Some(Expect::Data) => Wait::DataAsked,
            Some(Expect::Final) => Wait::Final,
            _ => Wait::Command,
        }
    }

    /// The handshake is done: everything learnt in clear is forgotten (RFC 3207 section 4.2).
    pub fn tls_done(&mut self) {
        self.encrypted = true;
        self.offer = Offer::default();
        self.ehlo();
    }

    /// Begins a transaction; only at [`Step::Ready`].
    pub fn begin(&mut self, transaction: Transaction) {
        assert!(self.state == State::Ready, "a transaction begins only when the dialogue stands");
        self.transactions += 1;
        let (fates, utf8) = fate::before(&transaction, &self.offer, self.settings.eight_bit);
        let unsent = (0..fates.len()).filter(|i| matches!(fates.get(*i), Some(Fate::Open)));
        let unsent = unsent.collect::<VecDeque<_>>();
        self.state = if unsent.is_empty() { State::Done } else { State::Envelope };
        self.current = Some(Current {
            transaction,
            fates,
            unsent,
            utf8,
            mail_sent: false,
            data_sent: false,
            moot: false,
        });
        if self.state == State::Envelope {
            self.send_commands();
        }
    }

    /// The caller is about to write the last octets of the content.
    pub fn commit(&mut self) {
        assert!(matches!(self.state, State::Content(_)), "commit belongs to the content");
        self.state = State::Final;
        self.expected.push_back(Expect::Final);
    }

    /// The fates of the finished transaction; the connection is ready for another one if it still
    /// stands.
    pub fn take_fates(&mut self) -> Vec<Fate> {
        if self.state == State::Done {
            self.state = State::Ready;
        }
        self.current.take().map(|current| current.fates).unwrap_or_default()
    }

    /// The fates as they are while the answer to the content is awaited.
    #[must_use]
    pub fn fates_so_far(&self, failure: &Failure) -> Vec<Fate> {
        let fates = self.current.as_ref().map(|current| current.fates.clone()).unwrap_or_default();
        let unknown = |fate| match fate {
            Fate::Named | Fate::Open => Fate::Unknown(failure.reply()),
            Fate::Taken(_)
            | Fate::Later(_)
            | Fate::Never(_)
            | Fate::Unknown(_)
            | Fate::NotTried => fate,
        };
        fates.into_iter().map(unknown).collect()
    }

    /// Says goodbye; nobody waits for the answer.
    pub fn quit(&mut self) {
        self.output.extend_from_slice(b"QUIT\r\n");
        self.expected.push_back(Expect::Quit);
        self.state = State::Talking;
    }

    /// The connection failed, or the caller gave up: fates become "not taken" or, after the
    /// end of the content, "unknown".
    pub fn close(&mut self, failure: Failure) {
        let failure = self.after_handshake(failure);
        let committed = self.committed();
        if let Some(current) = &mut self.current {
            for fate in &mut current.fates {
                match fate {
                    Fate::Named if committed => *fate = Fate::Unknown(failure.reply()),
                    Fate::Open | Fate::Named => *fate = Fate::Later(failure.reply()),
                    Fate::Taken(_)
                    | Fate::Later(_)
                    | Fate::Never(_)
                    | Fate::Unknown(_)
                    | Fate::NotTried => {}
                }
            }
        }
        self.state = State::Closed(failure);
    }

    /// A connection that breaks before the hop has said one word under TLS failed in its handshake: under TLS 1.3
    /// ours is over before the hop sees what we sent, and one that wants a certificate of ours says no only then.
    fn after_handshake(&self, failure: Failure) -> Failure {
        let unheard = self.encrypted
            && self.state == State::Talking
            && self.expected.front() == Some(&Expect::Ehlo)
            && self.answers.is_empty();
        match failure {
            Failure::Closed if unheard => {
                Failure::Handshake("closed after the handshake".to_owned())
            }
            Failure::TimedOut if unheard => {
                Failure::Handshake("no answer after the handshake".to_owned())
            }
            Failure::Io(error) if unheard => Failure::Handshake(error),
            failure => failure,
        }
    }

    fn on_reply(&mut self, reply: Reply) {
        let Some(expect) = self.expected.pop_front() else {
            let failure = match reply.code {
                421 => Failure::Shutdown(reply),
                _ => Failure::Nonsense(Nonsense::Unasked),
            };
            return self.close(failure);
        };
        match expect {
            Expect::Greeting if reply.is_positive() => self.ehlo(),
            Expect::Greeting => self.close(Failure::Greeting(reply)),
            Expect::Ehlo => self.on_ehlo(&reply),
            Expect::Helo if reply.is_positive() => self.on_hello_done(),
            Expect::Helo => self.close(Failure::Hello(reply)),
            Expect::StartTls => self.on_starttls(reply),
            Expect::Reset if reply.is_positive() => self.on_batch_end(),
            Expect::Reset => self.close(Failure::Shutdown(reply)),
            Expect::Mail => self.on_mail(reply),
            Expect::Rcpt(index) => self.on_rcpt(index, reply),
            Expect::Data => self.on_data(reply),
            Expect::Discard => self.finish(),
            Expect::Final => self.on_final(reply),
            Expect::Quit => self.close(Failure::Closed),
        }
    }

    fn ehlo(&mut self) {
        self.output.extend_from_slice(format!("EHLO {}\r\n", self.settings.helo).as_bytes());
        self.expected.push_back(Expect::Ehlo);
        self.state = State::Talking;
    }

    fn on_ehlo(&mut self, reply: &Reply) {
        if reply.is_positive() {
            self.offer = Offer::from_reply(reply);
            return self.on_hello_done();
        }
        if !reply.is_permanent() {
            return self.close(Failure::Hello(reply.clone()));
        }
        // RFC 5321 section 3.2: a server that does not know EHLO gets HELO.
        self.output.extend_from_slice(format!("HELO {}\r\n", self.settings.helo).as_bytes());
        self.expected.push_back(Expect::Helo);
    }

    fn on_hello_done(&mut self) {
        let wanted = match self.settings.tls {
            TlsRule::Never => false,
            TlsRule::Opportunistic | TlsRule::Required | TlsRule::Verify => !self.encrypted,
        };
        if wanted && self.offer.starttls {
            self.output.extend_from_slice(b"STARTTLS\r\n");
            self.expected.push_back(Expect::StartTls);
        } else if wanted && self.tls_is_a_must() {
            self.close(Failure::NoTls);
        } else {
            self.state = State::Ready;
        }
    }

    fn tls_is_a_must(&self) -> bool {
        match self.settings.tls {
            TlsRule::Never | TlsRule::Opportunistic => false,
            TlsRule::Required | TlsRule::Verify => true,
        }
    }

    fn on_starttls(&mut self, reply: Reply) {
        if reply.code == 220 {
            // What stands behind this reply in clear is an attacker's (CVE-2011-0411, the client's side).
            if self.answers.is_empty() {
                self.state = State::Handshake;
            } else {
                self.close(Failure::Nonsense(Nonsense::AfterStartTls));
            }
        } else if reply.code == 421 || self.tls_is_a_must() {
            self.close(Failure::TlsRefused(reply));
        } else {
            self.state = State::Ready;
        }
    }

    /// Sends the next batch: RSET if due, MAIL, RCPTs, DATA; one command without PIPELINING.
    fn send_commands(&mut self) {
        let Some(current) = &mut self.current else { return };
        let batch = if self.offer.pipelining { BATCH } else { 1 };
        let chunking = self.offer.chunking && self.settings.chunking;
        while self.expected.len() < batch {
            if self.reset_due {
                self.output.extend_from_slice(b"RSET\r\n");
                self.expected.push_back(Expect::Reset);
                self.reset_due = false;
            } else if !current.mail_sent {
                command::mail(&mut self.output, &current.transaction, &self.offer, current.utf8);
                self.expected.push_back(Expect::Mail);
                current.mail_sent = true;
            } else if let Some(index) = current.unsent.pop_front() {
                if let Some(recipient) = current.transaction.recipients.get(index) {
                    command::rcpt(&mut self.output, recipient, &self.offer);
                    self.expected.push_back(Expect::Rcpt(index));
                }
            } else if !chunking && !current.data_sent && !current.transaction.probe {
                self.output.extend_from_slice(b"DATA\r\n");
                self.expected.push_back(Expect::Data);
                current.data_sent = true;
            } else {
                return;
            }
        }
    }

    fn on_mail(&mut self, reply: Reply) {
        if reply.is_positive() {
            return self.on_batch_end();
        }
        let Some(fate) = Fate::of_refusal(&reply) else {
            return self.close(Failure::Nonsense(Nonsense::Code));
        };
        if let Some(current) = &mut self.current {
            current.moot = true;
            current.unsent.clear();
            for slot in &mut current.fates {
                if matches!(slot, Fate::Open) {
                    *slot = fate.clone();
                }
            }
        }
        self.after_refusal(&reply);
    }

    fn on_rcpt(&mut self, index: usize, reply: Reply) {
        let Some(current) = &mut self.current else { return };
        if !current.moot {
            let fate = match reply.is_positive() {
                true if current.transaction.probe => Some(Fate::Taken(reply.clone())),
                true => Some(Fate::Named),
                false => Fate::of_refusal(&reply),
            };
            let Some(fate) = fate else {
                return self.close(Failure::Nonsense(Nonsense::Code));
            };
            if let Some(slot) = current.fates.get_mut(index) {
                *slot = fate;
            }
        }
        if reply.is_positive() { self.on_batch_end() } else { self.after_refusal(&reply) }
    }

    /// 421 says that the hop is closing: nothing more will be answered.
    fn after_refusal(&mut self, reply: &Reply) {
        if reply.code == 421 {
            self.close(Failure::Shutdown(reply.clone()));
        } else {
            self.on_batch_end();
        }
    }

    /// Goes on once every reply of the batch is there.
    fn on_batch_end(&mut self) {
        if !self.expected.is_empty() {
            return;
        }
        let Some(current) = &mut self.current else { return };
        let named = current.fates.iter().any(|fate| matches!(fate, Fate::Named));
        let everybody_asked = current.mail_sent && current.unsent.is_empty();
        if everybody_asked && !named {
            self.reset_due = true;
            return self.finish();
        }
        if everybody_asked && self.offer.chunking && self.settings.chunking {
            let bytes = current.transaction.bytes;
            self.output.extend_from_slice(format!("BDAT {bytes} LAST\r\n").as_bytes());
            self.state = State::Content(Form::Bdat);
            return;
        }
        self.send_commands();
    }

    fn on_data(&mut self, reply: Reply) {
        let Some(current) = &mut self.current else { return };
        let named = current.fates.iter().any(|fate| matches!(fate, Fate::Named));
        if reply.code == 354 {
            if named {
                self.state = State::Content(Form::Data);
            } else {
                // RFC 2920 section 3.1: nobody to send to, yet the hop waits for a content.
                self.output.extend_from_slice(b".\r\n");
                self.expected.push_back(Expect::Discard);
            }
            return;
        }
        self.reset_due = true;
        if named || reply.code == 421 {
            self.refuse_named(reply);
        } else {
            self.finish();
        }
    }

    /// The hop speaks before the content has its end. A no is its answer, and ends the connection, on
    /// which half a content stands. A yes to what it does not have yet is a reply out of step: taken for
    /// the answer to the content it would lose a mail that the hop refuses a moment later.
    fn on_early(&mut self) {
        match self.answers.next() {
            Ok(Some(reply)) if Fate::of_refusal(&reply).is_some() => {
                self.refuse_named(reply.clone());
                self.state = State::Closed(Failure::Shutdown(reply));
            }
            Ok(_) => self.close(Failure::Nonsense(Nonsense::Unasked)),
            Err(nonsense) => self.close(Failure::Nonsense(nonsense)),
        }
    }

    fn on_final(&mut self, reply: Reply) {
        if !reply.is_positive() {
            return self.refuse_named(reply);
        }
        if let Some(current) = &mut self.current {
            for fate in &mut current.fates {
                if matches!(fate, Fate::Named) {
                    *fate = Fate::Taken(reply.clone());
                }
            }
        }
        self.finish();
    }

    /// An answer to DATA or to the content that is no yes.
    fn refuse_named(&mut self, reply: Reply) {
        let Some(refusal) = Fate::of_refusal(&reply) else {
            return self.close(Failure::Nonsense(Nonsense::Code));
        };
        if let Some(current) = &mut self.current {
            for fate in &mut current.fates {
                if matches!(fate, Fate::Named) {
                    *fate = refusal.clone();
                }
            }
        }
        if reply.code == 421 { self.close(Failure::Shutdown(reply)) } else { self.finish() }
    }

    fn finish(&mut self) {
        self.state = State::Done;
    }
}

/// `450 4.4.2 text`.
pub(super) fn ours(code: u16, enhanced: Enhanced, text: &'static str) -> Reply {
    Reply::new(code, enhanced, text)
}
