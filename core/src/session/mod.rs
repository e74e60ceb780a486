//! The RFC 5321 server as a state machine: octets and time in, replies and steps out. (Header follows with the body.)

mod settings;
mod step;

use std::sync::Arc;

use crate::clock::{MonoMillis, Now};
use crate::envelope::{Client, Envelope};
use crate::reply::Reply;

pub use settings::{BareLineEnds, Capabilities, SessionConfig, Timeouts};
pub use step::{Answer, CloseReason, ContentTraits, ForwardPath, RcptTo, Received, Step};

/// Whether this client's address may use XCLIENT (named in the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xclient {
    /// Not offered, answered like an unknown command.
    #[default]
    Refused,
    /// Offered.
    Offered,
}

/// One SMTP session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    client: Client,
    output: Vec<u8>,
    content: Vec<u8>,
    envelope: Envelope,
}

impl Session {
    /// A session with `client`, before the greeting. With implicit TLS the handshake is done
    /// and `client.tls` is set.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>, client: Client, _xclient: Xclient) -> Self {
        Self { config, client, output: vec![], content: vec![], envelope: Envelope::default() }
    }
    /// Octets from the peer, any split. Not while a question is open or a handshake runs.
    pub fn fill(&mut self, _octets: &[u8]) {}
    /// Goes on as far as possible. Call until `Step::Read`, `StartTls` or `Close`.
    pub fn advance(&mut self, _now: Now) -> Step {
        Step::Read { deadline: MonoMillis(0) }
    }
    /// Answers the open question.
    pub fn answer(&mut self, _answer: Answer) {}
    /// Replies to be flushed at `Read`, `StartTls` and `Close`; the driver clears it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }
    /// Takes the content gathered so far.
    pub fn take_content(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.content)
    }
    /// The rest of the current content is thrown away and `reply` is its final reply.
    pub fn refuse_content(&mut self, _reply: Reply) {}
    /// The peer sent octets before the greeting went out: 554 and close.
    pub fn early_talker(&mut self) {}
    /// The handshake after `StartTls` is done; `description` is protocol version and cipher suite.
    pub fn tls_done(&mut self, _description: &str) {}
    /// The peer closed its side.
    pub fn peer_closed(&mut self) {}
    /// Drain: 421 between transactions, content under way finishes first.
    pub fn shutdown(&mut self) {}
    /// Ends the session with `reply` at the next `advance`, wherever it stands.
    pub fn abort(&mut self, _reply: Reply) {}
    /// The client as known now.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
    /// The envelope of the current transaction.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }
    /// Whether content is being read (choose a large read buffer).
    #[must_use]
    pub fn in_content(&self) -> bool {
        false
    }
}
