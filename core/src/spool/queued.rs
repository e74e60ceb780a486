//! What is stored about a queued mail (JSON, self-describing, see `held`).

use serde::{Deserialize, Serialize};

use super::CopyId;
use super::held::HeldMail;
use crate::clock::UnixMillis;
use crate::envelope::{Client, Envelope, MailId, Recipient};
use crate::reply::Reply;

/// What is uncertain about a queued mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// The next hop was silent after our final dot: it may have the mail. A duplicate is possible.
    OutcomeUnknown,
}

/// Where a recipient of a queued mail stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum RecipientState {
    /// Still to be delivered.
    #[default]
    Waiting,
    /// Done; the outcome says how.
    Settled {
        /// How it ended.
        outcome: Outcome,
        /// When.
        at: UnixMillis,
    },
}

/// How the way of one recipient ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// The next hop took it.
    Delivered {
        /// What it said.
        reply: Reply,
    },
    /// Given up; the report is durable, or forbidden (NOTIFY) and logged.
    Failed {
        /// Last answer of the next hop, or ours.
        reply: Reply,
    },
    /// Given up; held in quarantine because no report may be sent.
    Held,
    /// Taken out of the queue by an operator.
    Removed {
        /// Who.
        by: Box<str>,
    },
}

/// One recipient of a queued copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// Index in the transaction's envelope; unique in the mail.
    pub index: u16,
    /// Who it is for.
    pub recipient: Recipient,
    /// Where it stands.
    #[serde(default)]
    pub state: RecipientState,
}

/// A retry that was scheduled; the last one written counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_at: UnixMillis,
    /// What the last attempt said, or why there was none.
    #[serde(default)]
    pub last_answer: Box<str>,
    /// Whether the outcome of the last attempt is unknown.
    #[serde(default)]
    pub mark: Mark,
}

/// One copy of one mail that waits for its next hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMail {
    /// The mail.
    pub mail: MailId,
    /// Who brought it; absent for a report of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// Envelope; its `recipients` are empty here, see `recipients`.
    pub envelope: Envelope,
    /// Domain whose routes are used, in A-labels.
    pub route_domain: Box<str>,
    /// Recipients of this copy; at least one.
    pub recipients: Vec<QueuedRecipient>,
    /// When it was accepted.
    pub queued_at: UnixMillis,
    /// Attempts and the next one.
    #[serde(default)]
    pub deferral: Deferral,
    /// Whether a report may go to the reverse-path when it cannot be delivered (never for spam, virus and
    /// the null reverse-path).
    pub may_report: bool,
    /// What to hold it as where no report may be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Box<HeldMail>>,
    /// For reports and the log: `Subject:`, decoded.
    #[serde(default)]
    pub subject: Box<str>,
    /// For reports and the log: `Message-ID:`.
    #[serde(default)]
    pub message_id: Box<str>,
    /// Octets of the stored copy.
    #[serde(default)]
    pub bytes: u64,
    /// Whatever else the deliverer wants back after a restart.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub extra: serde_json::Value,
}

impl QueuedMail {
    /// Id of the stored copy.
    #[must_use]
    pub fn copy_id(&self) -> CopyId {
        CopyId::new(self.mail, self.recipients.iter().map(|r| r.index).min().unwrap_or(0))
    }

    /// Recipients that are still to be delivered.
    pub fn waiting(&self) -> impl Iterator<Item = &QueuedRecipient> {
        self.recipients.iter().filter(|r| r.state == RecipientState::Waiting)
    }
}
