//! What is stored about a held mail: everything that a console or a digest shows, so that nobody has to open the
//! mail for a list. Lives here and not in `quarantine`, because a queued mail carries such a template
//! for the case that it can neither be delivered nor reported (architecture, "the rule of 250").
//!
//! Self-describing (JSON): fields may be added, unknown ones are ignored, none is ever renamed.
//! Classes, reasons and actions are text with the names of the unified model, section 4.

use serde::{Deserialize, Serialize};

use super::CopyId;
use crate::clock::UnixMillis;
use crate::envelope::{Client, Envelope, MailId, Recipient};
use crate::reply::Reply;

/// Direction of a mail, seen from the customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the customer.
    #[default]
    Inbound,
    /// From the customer.
    Outbound,
}

/// One attachment, for lists and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// File name as decoded; escaped where shown.
    pub name: Box<str>,
    /// True type (MIME), by content.
    #[serde(default)]
    pub mime: Box<str>,
    /// Decoded octets.
    #[serde(default)]
    pub bytes: u64,
    /// SHA-256 of the decoded octets in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Box<str>>,
}

/// One result of sender authentication, `spf` = `fail (reason)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthResult {
    /// `spf`, `dkim`, `dmarc`, `arc`, `iprev`.
    pub method: Box<str>,
    /// Result as in RFC 8601.
    pub result: Box<str>,
    /// For the reader.
    #[serde(default)]
    pub detail: Box<str>,
}

/// A rule, signature or list that contributed to a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedRule {
    /// Name of the rule as the operator knows it.
    pub name: Box<str>,
    /// Contribution to the score in thousandths.
    #[serde(default)]
    pub points: i32,
    /// What was found; escaped where shown.
    #[serde(default)]
    pub detail: Box<str>,
    /// Key of the stage that found it (`virus`, `content`, `sender`, `connect`); empty: the spam filter, or a record of before.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub stage: Box<str>,
    /// Reported only: an allow entry skipped its stage, or it only logs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_counted: bool,
}

/// One recipient of a held copy: unified model, "Recipient verdict" and "Quarantine item".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldItem {
    /// Index in the transaction's envelope; unique in the mail, part of the item's id.
    pub index: u16,
    /// Who it was for.
    pub recipient: Recipient,
    /// Not shown to the mailbox owner, only to administrators.
    #[serde(default)]
    pub hidden: bool,
    /// Category of the unified model, section 4.2: `spam`, `virus`, `content` ...
    pub category: Box<str>,
    /// Reason key of section 4.2: `phishing`, `malware` ...
    pub reason: Box<str>,
    /// What asked for it: the key of a setting (`size.action`), or `rule` and the name of one. A release overrules
    /// this and nothing else. Empty in what was held before this field was.
    #[serde(default)]
    pub held_by: Box<str>,
    /// Main class.
    pub main_class: Box<str>,
    /// Sub class; empty if there is none.
    #[serde(default)]
    pub sub_class: Box<str>,
    /// Extra classes.
    #[serde(default)]
    pub extra_classes: Vec<Box<str>>,
    /// LOW, MEDIUM, HIGH.
    #[serde(default)]
    pub likelihood: Box<str>,
    /// Score in thousandths.
    #[serde(default)]
    pub points: i32,
    /// The list entry that decided; empty if none did.
    #[serde(default)]
    pub list_entry: Box<str>,
    /// Everything that contributed.
    #[serde(default)]
    pub rules: Vec<MatchedRule>,
    /// Final action: `quarantine`.
    #[serde(default)]
    pub action: Box<str>,
    /// What the client was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

/// One held copy: the octets are stored once, whatever the number of its recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldMail {
    /// The mail (qid).
    pub mail: MailId,
    /// Direction.
    #[serde(default)]
    pub direction: Direction,
    /// When its transaction began.
    pub received_at: UnixMillis,
    /// When it was held; it expires `days` later.
    pub held_at: UnixMillis,
    /// Retention in days, at least 1; decides in which directory it lies.
    pub days: u16,
    /// Who brought it: address, name, HELO, TLS.
    pub client: Client,
    /// Envelope; its `recipients` are empty here, see `items`.
    pub envelope: Envelope,
    /// `From:` header field, decoded, with display name.
    #[serde(default)]
    pub author: Box<str>,
    /// Mailboxes of `From:`, read before it was decoded: a name may look like an address. At most two, which is enough to
    /// know that there is more than one; none in what was held before this field was.
    #[serde(default)]
    pub authors: Vec<Box<str>>,
    /// `Subject:` header field, decoded.
    #[serde(default)]
    pub subject: Box<str>,
    /// Octets of the stored copy.
    pub bytes: u64,
    /// Octets as received, without what we added: what a size limit is about. 0 in what was held before this
    /// field was.
    #[serde(default)]
    pub received_bytes: u64,
    /// Recipients of the mail, held or not: what a rule that counts them is about. 0 as above.
    #[serde(default)]
    pub recipients_count: u32,
    /// `Message-ID:` as received.
    #[serde(default)]
    pub message_id: Box<str>,
    /// `Message-ID:` that we gave it, if it had none.
    #[serde(default)]
    pub our_message_id: Box<str>,
    /// Attachments.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Results of sender authentication.
    #[serde(default)]
    pub auth: Vec<AuthResult>,
    /// What of them did not speak for the sender (`dmarc.reject`): our copy may have a tag, and its signatures cannot be
    /// verified again.
    #[serde(default)]
    pub auth_evidence: Vec<Box<str>>,
    /// Its recipients; at least one.
    pub items: Vec<HeldItem>,
}

impl HeldMail {
    /// Id of the stored copy.
    #[must_use]
    pub fn copy_id(&self) -> CopyId {
        CopyId::new(self.mail, self.items.iter().map(|item| item.index).min().unwrap_or(0))
    }

    /// From then on it is invisible, and its octets go within 24 hours.
    #[must_use]
    pub fn expires_at(&self) -> UnixMillis {
        expiry(self.held_at, self.days)
    }
}

/// `held_at` plus `days`.
#[must_use]
pub fn expiry(held_at: UnixMillis, days: u16) -> UnixMillis {
    held_at.plus(std::time::Duration::from_secs(u64::from(days) * 86_400))
}
