//! Rows of the mail log (JSON, self-describing: fields may be added, none is ever renamed).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::envelope::MailId;
use crate::reply::Enhanced;
use crate::spool::held::{Attachment, AuthResult, Direction, MatchedRule};

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "row")]
pub enum Row {
    /// What became of one recipient of one mail.
    Delivery(Box<DeliveryRow>),
    /// Something that a filter or an operator did.
    Event(Box<EventRow>),
}

impl Row {
    /// When it was written.
    #[must_use]
    pub fn at(&self) -> UnixMillis {
        match self {
            Self::Delivery(row) => row.at,
            Self::Event(row) => row.at,
        }
    }
}

/// One recipient and what became of it: unified model section 2, "Delivery log row", with what a search
/// wants of "Message" and "Recipient verdict". Empty text means "not known".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryRow {
    /// Date of the row.
    pub at: UnixMillis,
    /// The mail (qid); absent for a recipient that was refused before any mail was.
    pub mail: Option<MailId>,
    /// Recipient's index in the envelope.
    pub recipient: u16,
    /// Direction.
    pub direction: Direction,
    /// Reverse-path; empty for `<>`.
    pub from: String,
    /// Forward-path as the client named it.
    pub to: String,
    /// Mailbox after aliases.
    pub address: String,
    /// Octets.
    pub bytes: u64,
    /// `Message-ID:` as received.
    pub message_id: String,
    /// `From:` header field, decoded.
    pub author: String,
    /// `Subject:` header field, decoded.
    pub subject: String,
    /// Next hop, `host[address]:port`.
    pub relay: String,
    /// Enhanced status code of the outcome.
    pub dsn: Option<Enhanced>,
    /// `sent`, `deferred`, `bounced`, `held`, `rejected`, `dropped` ...
    pub status: String,
    /// `success`, `temporary`, `permanent`, `held`, `dropped`.
    pub status_class: String,
    /// Reply of the next hop, or ours to the client.
    pub reply: String,
    /// Our host name (processing node).
    pub node: String,
    /// Client's address.
    pub source_address: Option<IpAddr>,
    /// Client's verified name.
    pub source_host: String,
    /// Client's HELO.
    pub helo: String,
    /// TLS version and cipher of the client's session.
    pub tls: String,
    /// Address of the next hop.
    pub destination_address: Option<IpAddr>,
    /// Name of the next hop.
    pub destination_host: String,
    /// Port of the next hop.
    pub destination_port: Option<u16>,
    /// When the next hop took it.
    pub delivered_at: Option<UnixMillis>,
    /// Main class.
    pub classification: String,
    /// Sub class.
    pub sub_class: String,
    /// Reason key.
    pub reason: String,
    /// LOW, MEDIUM, HIGH.
    pub likelihood: String,
    /// Score in thousandths.
    pub points: i32,
    /// Final action.
    pub action: String,
    /// List entry that decided.
    pub list_entry: String,
    /// Contributions to the score.
    pub rules: Vec<MatchedRule>,
    /// Attachments.
    pub attachments: Vec<Attachment>,
    /// Parts that were taken out of the copy: name and virus of each.
    pub removed: Vec<String>,
    /// Results of sender authentication.
    pub auth: Vec<AuthResult>,
    /// Why it went where it did, if a rule sent it there (redirect, copy), and which rules were bypassed.
    pub because: String,
    /// What scan engines of others said, at most [`ENGINES_MAX`].
    pub engines: Vec<EngineSaid>,
    /// What the stages of the mail took, in their order, at most [`TIMES_MAX`].
    pub times: Vec<StageTime>,
}

/// Engines of one row.
pub const ENGINES_MAX: usize = 8;
/// Stages of one row.
pub const TIMES_MAX: usize = 12;

/// What one scan engine of others said of a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSaid {
    /// Its name in the configuration.
    pub name: String,
    /// What it said.
    pub said: String,
    /// From the question to the answer.
    pub micros: u64,
}

/// What one stage of a mail took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageTime {
    /// `connect` (from MAIL to the end of the content), `read`, `content`, `sender`, `verdict`, `delivery` (until the next hop
    /// answered or the copies are durable).
    pub stage: String,
    /// How long.
    pub micros: u64,
}

/// Unified model section 2, "Event log row".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventRow {
    /// When.
    pub at: UnixMillis,
    /// The mail, if it is about one.
    pub mail: Option<MailId>,
    /// Number of the event within the mail.
    pub number: u32,
    /// Filter type of section 4.2: `Spam Filter`, `Security Filter` ...; `Operator` for commands.
    pub filter_type: String,
    /// Memo.
    pub memo: String,
    /// Condition that was met.
    pub condition: String,
    /// Delivery action.
    pub delivery_action: String,
    /// Action.
    pub action: String,
    /// Action details.
    pub action_details: String,
    /// Main class that the mail has by it (SM-60): False-positive, False-negative; of a release that of the held item.
    pub classification: String,
    /// Forward-path as the client named it.
    pub to: String,
    /// Recipient's mailbox.
    pub address: String,
    /// Reverse-path.
    pub from: String,
    /// `From:` header field, decoded: an event of a policy shows both senders (TM-03). Empty where the mail was not seen.
    pub author: String,
    /// Client's address.
    pub source_address: Option<IpAddr>,
    /// Who did it, for commands.
    pub by: String,
}
