//! Tests of the session. `Peer` plays client and pipeline; time stands still unless a test moves it.

mod addresses;
mod content;
mod dialogues;
mod fuzzing;
mod limits;
mod splits;
mod states;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::envelope::{Mailbox, Recipient};

/// A client with a session of its own, and a pipeline that says yes to all but a few names.
pub(super) struct Peer {
    pub(super) session: Session,
    pub(super) now: Now,
    pub(super) messages: Vec<(Received, Vec<u8>)>,
    pub(super) closed: Option<CloseReason>,
    pub(super) deadline: Option<MonoMillis>,
    pub(super) dropped: usize,
    pub(super) full: usize,
    pub(super) handshakes: usize,
    taken: Vec<u8>,
}

pub(super) fn client() -> Client {
    Client {
        address: "192.0.2.1:4711".parse::<SocketAddr>().unwrap(),
        local: "192.0.2.25:25".parse::<SocketAddr>().unwrap(),
        name: None,
        helo: "".into(),
        esmtp: false,
        tls: None,
    }
}

pub(super) fn config() -> SessionConfig {
    SessionConfig { host_name: "foo.com".into(), ..SessionConfig::default() }
}

impl Peer {
    pub(super) fn new(config: SessionConfig) -> Self {
        Self::with(Session::new(Arc::new(config), client(), Xclient::Refused))
    }

    pub(super) fn with(session: Session) -> Self {
        Self {
            session,
            now: Now::default(),
            messages: vec![],
            closed: None,
            deadline: None,
            dropped: 0,
            full: 0,
            handshakes: 0,
            taken: vec![],
        }
    }

    /// A session that is greeted and has said EHLO.
    pub(super) fn identified(config: SessionConfig) -> Self {
        let mut peer = Self::new(config);
        peer.expect("", &["220"]);
        peer.expect("EHLO bar.com\r\n", &["250"]);
        peer
    }

    /// A session in a transaction with one recipient.
    pub(super) fn in_transaction(config: SessionConfig) -> Self {
        let mut peer = Self::identified(config);
        peer.expect("MAIL FROM:<a@bar.com>\r\nRCPT TO:<b@foo.com>\r\n", &["250", "250"]);
        peer
    }

    pub(super) fn later(&mut self, by: Duration) {
        self.now.mono = self.now.mono.plus(by);
    }

    /// Feeds octets and gives back the replies as they went out.
    pub(super) fn say(&mut self, octets: impl AsRef<[u8]>) -> String {
        if !octets.as_ref().is_empty() {
            self.session.fill(octets.as_ref());
        }
        self.run();
        String::from_utf8(std::mem::take(self.session.output())).unwrap()
    }

    /// Feeds octets; each expected text begins the last line of one reply, in order, and there
    /// are no others.
    #[track_caller]
    pub(super) fn expect(&mut self, octets: impl AsRef<[u8]>, expected: &[&str]) {
        let shown = String::from_utf8_lossy(octets.as_ref()).into_owned();
        let text = self.say(octets);
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        let replies: Vec<&str> =
            text.split_terminator("\r\n").filter(|line| line.as_bytes()[3] == b' ').collect();
        let fits = replies.len() == expected.len()
            && replies.iter().zip(expected).all(|(reply, start)| reply.starts_with(start));
        assert!(fits, "said {shown:?}\nexpected {expected:?}\ngot {text}");
    }

    pub(super) fn run(&mut self) {
        loop {
            match self.session.advance(self.now) {
                Step::Read { deadline } => {
                    assert!(deadline > self.now.mono);
                    self.deadline = Some(deadline);
                    break;
                }
                Step::AskClient => self.session.answer(Answer::Accept),
                Step::AskMail => self.answer_mail(),
                Step::AskRcpt(rcpt) => self.session.answer(answer_rcpt(rcpt)),
                Step::AskData => {
                    let envelope = self.session.envelope();
                    let full =
                        envelope.recipients.iter().any(|r| &*r.resolved.local_part == "full");
                    self.session.answer(if full {
                        Answer::Reply(Reply::new(452, Enhanced(4, 3, 1), "No room"))
                    } else {
                        Answer::Accept
                    });
                }
                Step::ContentFull => {
                    self.full += 1;
                    self.taken.append(&mut self.session.take_content());
                }
                Step::ContentDropped => {
                    self.dropped += 1;
                    assert!(!self.taken.is_empty());
                    self.taken.clear();
                }
                Step::AskMessage(received) => self.answer_message(*received),
                Step::StartTls => {
                    self.handshakes += 1;
                    break;
                }
                Step::Close { reason } => {
                    self.closed = Some(reason);
                    break;
                }
            }
        }
    }

    fn answer_mail(&mut self) {
        let refused = self
            .session
            .envelope()
            .reverse_path
            .as_ref()
            .is_some_and(|mailbox| &*mailbox.local_part == "blocked");
        self.session.answer(if refused {
            Answer::Reply(Reply::new(550, Enhanced(5, 7, 1), "Not you"))
        } else {
            Answer::Accept
        });
    }

    fn answer_message(&mut self, received: Received) {
        let mut content = std::mem::take(&mut self.taken);
        content.append(&mut self.session.take_content());
        assert_eq!(received.bytes, content.len() as u64);
        let spam = content.windows(4).any(|window| window == b"SPAM");
        self.messages.push((received, content));
        self.session.answer(if spam {
            Answer::Reply(Reply::new(550, Enhanced(5, 7, 1), "Spam"))
        } else {
            Answer::Accept
        });
    }

    /// The content of the only message so far.
    #[track_caller]
    pub(super) fn only_content(&self) -> &[u8] {
        assert_eq!(self.messages.len(), 1);
        &self.messages[0].1
    }
}

fn answer_rcpt(rcpt: RcptTo) -> Answer {
    let mailbox = match rcpt.path {
        ForwardPath::Mailbox(mailbox) => mailbox,
        ForwardPath::Postmaster => Mailbox::new("postmaster", "foo.com"),
    };
    match &*mailbox.local_part {
        "nobody" | "Green" => {
            Answer::Reply(Reply::new(550, Enhanced(5, 1, 1), "No such user here"))
        }
        "busy" => Answer::Reply(Reply::new(450, Enhanced(4, 2, 1), "Try later")),
        _ => Answer::Recipient(Recipient {
            original: mailbox.clone(),
            resolved: mailbox,
            notify: rcpt.notify,
            orcpt: rcpt.orcpt,
        }),
    }
}
