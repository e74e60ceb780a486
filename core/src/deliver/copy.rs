//! What the pipeline hands over, and what it gets back.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::{Client, Envelope, MailId};
use crate::reply::Reply;
use crate::spool::held::HeldMail;

/// One message that a client has sent and that waits for our answer to its end of data.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id (qid).
    pub mail: MailId,
    /// When its transaction began.
    pub received_at: UnixMillis,
    /// Who brought it.
    pub client: Client,
    /// Its envelope; copies name recipients by index into it.
    pub envelope: Envelope,
}

/// What a next hop must offer to take the content unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// The content has octets above 127: 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// The header section has octets above 127 and the client gave SMTPUTF8: RFC 6531. Addresses
    /// are looked at separately, recipient by recipient.
    pub utf8_header: bool,
}

impl Needs {
    /// Looks at the octets of a content whose pieces are all in memory. `smtputf8`: the client
    /// gave the parameter; without it an 8-bit header is an old mailer's raw header, not UTF-8 mail.
    #[must_use]
    pub fn of(header_section: &[u8], content: &Content, smtputf8: bool) -> Self {
        let eight_bit = content.pieces.iter().any(|piece| match piece {
            crate::content::Piece::Memory(octets) => !octets.is_ascii(),
            // A file of its own is more than 256 KiB: what its client declared must do.
            crate::content::Piece::File { .. } => false,
        });
        Self { eight_bit, utf8_header: smtputf8 && !header_section.is_ascii() }
    }
}

/// One copy: the recipients that get the same octets by the same route.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Indices into the envelope's recipients, ascending, at least one.
    pub recipients: Vec<u16>,
    /// Recipient domain (after alias resolution), by which the next hops are found.
    pub domain: Arc<str>,
    /// The octets as the next hop shall get them.
    pub content: Content,
    /// What they need of the hop.
    pub needs: Needs,
    /// A DSN may be sent if delivery fails: false for mail judged spam or virus. A null
    /// reverse-path and NOTIFY are looked at here, not by the caller.
    pub may_report: bool,
    /// What it is held as where it can neither be delivered nor reported: an item for each of
    /// `recipients`, with its verdict. Also what the log and the reports say of the mail.
    pub fallback: Box<HeldMail>,
}

/// What became of the recipients of the same message that are in no [`struct@Copy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// There are none.
    None,
    /// Held durably, or dropped with a durable record, **before** `settle` is called: held copies
    /// come before the first final dot.
    Durable,
}

/// What became of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The next hop took it.
    Delivered,
    /// It is durable in the spool and will be tried again.
    Queued,
    /// As `Queued`; the hop may have taken it already (silent or closed after the final dot).
    QueuedUnknown,
    /// The next hop refused it for good, and our client gets that refusal.
    Refused,
    /// Refused for good, or retries ran out; the DSN is durable in the spool.
    Reported,
    /// As `Reported`, where no DSN may be sent: held in quarantine, durable.
    Held,
    /// As `Reported`, where NOTIFY forbids a DSN: durable in the log only.
    Logged,
    /// Neither delivered nor made durable: the client gets 4xx and keeps the mail.
    NotKept,
    /// Removed from the queue by the operator.
    Removed,
}

/// What a next hop said, or what we say in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopAnswer {
    /// Host name of the route; empty if no hop was asked.
    #[serde(default)]
    pub host: Box<str>,
    /// Address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Protocol version and cipher suite towards the hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<str>>,
    /// The reply. One of ours if the hop gave none (`450 4.4.1 connection refused`).
    pub reply: Reply,
    /// `reply` came from the hop.
    pub from_hop: bool,
}

impl HopAnswer {
    /// An answer of our own, without a hop.
    #[must_use]
    pub fn ours(reply: Reply) -> Self {
        Self { host: "".into(), address: None, tls: None, reply, from_hop: false }
    }
}

/// What became of one recipient, and why: the delivery row of the log follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// Index into the envelope's recipients.
    pub recipient: u16,
    /// What became of it.
    pub disposition: Disposition,
    /// What the hop said last.
    pub answer: HopAnswer,
    /// When.
    pub at: UnixMillis,
}

/// The answer to end of data, and one outcome for each recipient of each copy.
#[derive(Clone, Debug)]
pub struct Settled {
    /// For the client.
    pub reply: Reply,
    /// In the order of the copies and of their recipients.
    pub outcomes: Vec<RecipientOutcome>,
}
