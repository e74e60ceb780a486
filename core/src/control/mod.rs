//! The control socket: closed request and response enums, one JSON object a line.
//!
//! `run/control.sock` in the data directory; the engine listens, `sekisho` and the control plane
//! call. Every call carries a request id; repeating a call with the same id is harmless.

pub mod server;

use serde::{Deserialize, Serialize};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the caller; the same id again gets the first answer again.
    pub id: String,
    /// What is asked.
    pub request: Request,
}

/// The answer to the call with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The id of the call.
    pub id: String,
    /// What came of it.
    pub response: Response,
}

/// Everything that can be asked of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Are you there; answers `Done`.
    Ping,
    /// Counters, shards, generation, alarms; answers `Status`.
    Status,
    /// Take over `generations/<number>`; answers `Done` or `Refused`.
    Adopt {
        /// Number of the generation.
        generation: u64,
    },
    /// Take over every delta that is new in the delta directory of the current generation.
    AdoptDeltas,
    /// Read configuration and certificates again, without dropping a session.
    Reload,
    /// Stop accepting, let sessions in DATA finish, then end.
    Drain,
    /// Queued mails; answers `Queue`.
    QueueList {
        /// Only for this recipient domain.
        domain: Option<String>,
        /// At most this many rows.
        rows_max: usize,
    },
    /// Why mails for a domain wait; answers `QueueWhy`.
    QueueWhy {
        /// Recipient domain; all of them if absent.
        domain: Option<String>,
    },
    /// Stop delivering to a domain until `QueueUnhold`.
    QueueHold {
        /// Recipient domain.
        domain: String,
    },
    /// Deliver to a held domain again.
    QueueUnhold {
        /// Recipient domain.
        domain: String,
    },
    /// Try everything for a domain now, whatever the schedule says.
    QueueFlush {
        /// Recipient domain; all if absent.
        domain: Option<String>,
    },
    /// Try one mail now.
    QueueRetry {
        /// `MailId` in hexadecimal.
        mail: String,
    },
    /// Remove one mail from the queue without a report to its sender.
    QueueRemove {
        /// `MailId` in hexadecimal.
        mail: String,
    },
    /// Deliver held mail.
    QuarantineRelease {
        /// Ids as `quarantine list` shows them.
        items: Vec<String>,
        /// They were trained as not spam: each becomes a False-positive (SM-60).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ham: bool,
    },
    /// Mails that came through were trained as spam, or as not spam, afterwards: the log says so (SM-60).
    Reclassify {
        /// Each with one of its recipients.
        mails: Vec<Reclassified>,
    },
    /// Delete held mail; its octets leave the disk within 24 hours.
    QuarantineDelete {
        /// Ids as `quarantine list` shows them.
        items: Vec<String>,
    },
}

/// A mail that was trained after it was judged, as its row in the mail log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reclassified {
    /// Its id.
    pub mail: String,
    /// It is spam; else it is none.
    pub spam: bool,
    /// Reverse-path.
    pub from: String,
    /// `From:` header field, decoded.
    pub author: String,
    /// Forward-path as the client named it.
    pub to: String,
    /// Recipient's mailbox.
    pub address: String,
    /// Who trained it.
    pub by: String,
}

/// Everything that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Response {
    /// It is done.
    Done,
    /// It was not done, and why.
    Refused {
        /// Reason for the operator.
        why: String,
    },
    /// One line for each item of the request.
    Items {
        /// In the order of the request.
        items: Vec<ItemOutcome>,
    },
    /// Answer to `Status`: an object of the shape that `status --json` prints.
    Status {
        /// The figures.
        status: serde_json::Value,
    },
    /// Answer to `QueueList`.
    Queue {
        /// Mails that wait.
        rows: Vec<QueueRow>,
        /// How many there are, shown or not.
        total: u64,
    },
    /// Answer to `QueueWhy`.
    QueueWhy {
        /// One row for each recipient domain.
        rows: Vec<QueueWhyRow>,
    },
}

/// What became of one item of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// The id.
    pub item: String,
    /// Whether it was done.
    pub done: bool,
    /// Why not, or what else there is to say.
    pub why: String,
    /// Not done yet, and it goes on. Asking for it again is harmless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub under_way: bool,
}

impl Response {
    /// Whether it says all that there is to say: while something is under way, the same question has a better answer
    /// later.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Items { items } => !items.iter().any(|item| item.under_way),
            Self::Done
            | Self::Refused { .. }
            | Self::Status { .. }
            | Self::Queue { .. }
            | Self::QueueWhy { .. } => true,
        }
    }
}

/// One mail that waits in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// `MailId` in hexadecimal.
    pub mail: String,
    /// Recipient domain.
    pub domain: String,
    /// Octets.
    pub bytes: u64,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was spooled, UTC milliseconds.
    pub queued_at: u64,
    /// When it is tried next, UTC milliseconds.
    pub next_attempt_at: u64,
    /// What the last attempt said.
    pub last_answer: String,
}

/// Why the mails of one domain wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueWhyRow {
    /// Recipient domain.
    pub domain: String,
    /// Mails that wait.
    pub mails: u64,
    /// Octets that wait.
    pub bytes: u64,
    /// One sentence: held, backing off after ..., at its concurrency limit, no route.
    pub why: String,
    /// When the next attempt is due, UTC milliseconds.
    pub next_attempt_at: u64,
    /// Age of the oldest, in seconds.
    pub oldest_seconds: u64,
}
