//! What goes into the client and what it asks for.

use super::Failure;
use crate::deliver::{Needs, TlsRule};
use crate::envelope::{BodyType, Recipient, Ret, ReversePath};

/// What to do with 8-bit content towards a hop without 8BITMIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EightBitRule {
    /// Send it as it is: every hop of the last twenty years takes it.
    #[default]
    AsIs,
    /// Refuse it with 5.6.3.
    Refuse,
}

/// How this client behaves.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Our name in EHLO.
    pub helo: Box<str>,
    /// TLS towards this hop.
    pub tls: TlsRule,
    /// 8-bit content without 8BITMIME.
    pub eight_bit: EightBitRule,
    /// Use BDAT where offered.
    pub chunking: bool,
}

/// One message for one hop.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// BODY as the client gave it.
    pub body: BodyType,
    /// RET as the client gave it.
    pub ret: Option<Ret>,
    /// ENVID as the client gave it.
    pub envid: Option<Box<str>>,
    /// What the content needs.
    pub needs: Needs,
    /// Length of the content in octets.
    pub bytes: u64,
    /// Recipients; fates are in the same order.
    pub recipients: Vec<Recipient>,
    /// Stops before DATA: a recipient that the hop takes at RCPT is `Taken` (call-out).
    pub probe: bool,
}

/// How the content goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Behind DATA: dots stuffed, ended by CR LF . CR LF.
    Data,
    /// Behind `BDAT n LAST`: as it is.
    Bdat,
}

/// Which time-out of RFC 5321 section 4.5.3.2 holds for the next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The greeting, EHLO, MAIL, RCPT and all other commands.
    Command,
    /// The answer to DATA.
    DataAsked,
    /// The answer to the final dot.
    Final,
}

/// What to do next. Flush `Client::output` first, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read, then `fill`.
    Read(Wait),
    /// Do the TLS handshake, then `tls_done`.
    StartTls,
    /// The dialogue stands: `begin` or `quit`.
    Ready,
    /// Send the content in this form; call `commit` **before** its last octets are written.
    Content(Form),
    /// The transaction is over: `take_fates`.
    Done,
    /// The connection is of no use any more; fates of a transaction under way are complete.
    Closed(Failure),
}
