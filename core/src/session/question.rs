//! The questions of a session and what their answers do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::clock::Now;
use crate::envelope::{Client, Mailbox, Recipient};
use crate::reply::{Enhanced, Reply};

use super::bdat::Chunk;
use super::step::{Answer, CloseReason, ForwardPath, Step};
use super::{BareLineEnds, Capabilities, Phase, Session, SessionConfig, Xclient};

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Client,
    Mail,
    Rcpt,
    Data,
    Chunk(Chunk),
    Message,
}

impl Session {
    /// Opens a question.
    pub(super) fn ask(&mut self, question: Question, step: Step) -> Option<Step> {
        self.question = Some(question);
        Some(step)
    }

    /// Answers the open question.
    ///
    /// # Panics
    /// If none is open, or if the answer is no answer to it (a recipient for anything but `AskRcpt`, a
    /// bare yes to `AskRcpt`): the driver's defect.
    pub fn answer(&mut self, answer: Answer) {
        // Only `early_talker` and `abort` take a question away; what they said stands.
        let Some(question) = self.question.take() else {
            assert!(matches!(self.phase, Phase::Closing(_)), "answer without a question");
            return;
        };
        match answer {
            Answer::Accept => self.accept(question, None),
            Answer::Reply(reply) if reply.is_positive() => self.accept(question, Some(&reply)),
            Answer::Reply(reply) => self.refuse(question, &reply),
            Answer::Recipient(recipient) => {
                assert!(question == Question::Rcpt, "a recipient is no answer to {question:?}");
                self.transaction().envelope.recipients.push(recipient);
                self.output.extend_from_slice(b"250 2.1.5 Recipient ok\r\n");
            }
            Answer::Repeated { index, notify } => {
                assert!(question == Question::Rcpt, "a recipient is no answer to {question:?}");
                if let Some(recipient) = self.transaction().envelope.recipients.get_mut(index) {
                    recipient.notify = notify;
                }
                self.repeated_recipients += 1;
                self.output.extend_from_slice(b"250 2.1.5 Recipient ok\r\n");
            }
            Answer::Close(reply) => {
                self.content_taken &= question != Question::Message;
                self.close_with(&reply, CloseReason::Refused);
            }
        }
    }

    fn accept(&mut self, question: Question, reply: Option<&Reply>) {
        let own: &[u8] = match question {
            Question::Client => {
                self.phase = Phase::Greeted;
                if reply.is_none() {
                    self.output.extend_from_slice(b"220 ");
                    self.output.extend_from_slice(self.config.host_name.as_bytes());
                }
                b" ESMTP\r\n"
            }
            Question::Mail => {
                self.phase = Phase::Mail;
                b"250 2.1.0 Sender ok\r\n"
            }
            Question::Rcpt => panic_on_bare_yes(),
            Question::Data => return self.start_data(),
            Question::Chunk(chunk) => return self.start_chunks(chunk),
            Question::Message => {
                self.message_answered();
                b"250 2.0.0 Ok\r\n"
            }
        };
        match reply {
            Some(reply) => reply.write_to(&mut self.output),
            None => self.output.extend_from_slice(own),
        }
    }

    fn refuse(&mut self, question: Question, reply: &Reply) {
        match question {
            Question::Chunk(chunk) => return self.swallow_with(chunk, reply.clone()),
            Question::Client => self.phase = Phase::Refused,
            Question::Mail => self.end_transaction(),
            Question::Message => self.message_answered(),
            Question::Data | Question::Rcpt => {}
        }
        reply.write_to(&mut self.output);
        if question == Question::Rcpt {
            self.count_refused(reply);
        }
    }

    /// The message is the pipeline's now: whatever it said, the content is dealt with.
    fn message_answered(&mut self) {
        self.content_taken = false;
        self.idle_commands = 0;
        self.end_transaction();
    }
}

#[expect(clippy::panic, reason = "our own broken invariant: the driver must name the recipient")]
fn panic_on_bare_yes() -> ! {
    panic!("a bare yes is no answer to AskRcpt")
}

/// A whole session for fuzzing: all replies, all messages and the reason it ended. `step` octets are
/// filled at a time; `control` chooses the settings and what the pipeline would say.
pub(super) fn rehearse(octets: &[u8], step: usize, control: u8) -> Rehearsal {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 25));
    let client =
        Client { address, local: address, name: None, helo: "".into(), esmtp: false, tls: None };
    let config = SessionConfig {
        capabilities: Capabilities { starttls: control & 1 != 0, ..Capabilities::default() },
        message_bytes_max: 10_000,
        content_line_bytes_max: 2000,
        swallow_bytes_max: 20_000,
        recipients_max: 3,
        ..SessionConfig::default()
    };
    let config = if control & 4 == 0 {
        config
    } else {
        let bare_line_ends = BareLineEnds::Refuse;
        SessionConfig { errors_max: 2, idle_commands_max: 2, bare_line_ends, ..config }
    };
    let xclient = if control & 2 != 0 { Xclient::Offered } else { Xclient::Refused };
    let mut session = Session::new(Arc::new(config), client, xclient);
    let mut pieces = octets.chunks(step.max(1).min(octets.len().max(1)));
    let mut rehearsal = Rehearsal::default();
    let mut body = Vec::new();
    loop {
        match session.advance(Now::default()) {
            Step::Read { .. } => match pieces.next() {
                Some(piece) => session.fill(piece),
                None => session.peer_closed(),
            },
            Step::AskClient | Step::AskMail | Step::AskData => session.answer(Answer::Accept),
            Step::AskRcpt(rcpt) => session.answer(rehearsed_recipient(rcpt.path, rcpt.notify)),
            Step::ContentFull => body.append(&mut session.take_content()),
            Step::ContentDropped => body.clear(),
            Step::AskMessage(received) => {
                body.append(&mut session.take_content());
                assert_eq!(received.bytes, body.len() as u64);
                assert!(!received.envelope.recipients.is_empty());
                rehearsal.messages.push(std::mem::take(&mut body));
                session.answer(Answer::Accept);
            }
            // What follows in the same piece is thrown away, so the split matters: stop here.
            Step::StartTls => break,
            Step::Close { reason } => {
                rehearsal.reason = Some(reason);
                break;
            }
        }
    }
    rehearsal.replies = String::from_utf8_lossy(session.output()).into_owned();
    // 421 is the last word, whatever was pipelined behind the command that it answers.
    let ends = rehearsal.replies.lines().position(|line| line.starts_with("421"));
    assert!(ends.is_none_or(|line| line + 1 == rehearsal.replies.lines().count()));
    rehearsal
}

/// What a rehearsed session did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rehearsal {
    pub(super) replies: String,
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) reason: Option<CloseReason>,
}

/// Local-parts that start with `no` do not exist.
fn rehearsed_recipient(path: ForwardPath, notify: crate::envelope::Notify) -> Answer {
    let mailbox = match path {
        ForwardPath::Mailbox(mailbox) => mailbox,
        ForwardPath::Postmaster => Mailbox::new("postmaster", "localhost"),
    };
    if mailbox.local_part.starts_with("no") {
        return Answer::Reply(Reply::new(550, Enhanced(5, 1, 1), "User unknown"));
    }
    Answer::Recipient(Recipient {
        original: mailbox.clone(),
        resolved: mailbox,
        notify,
        orcpt: None,
    })
}
