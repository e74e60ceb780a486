//! What is known of a mail besides its verdict, as far as rules can ask for it.

use std::net::IpAddr;

use super::{Addresses, ScopeMask};
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;
use crate::policy::decide::Spared;
use crate::scan::content::ContentHit;
use crate::scan::finding::{Finding, FindingKind};
use crate::verdict::AuthEvidence;

/// What a rule can ask of one attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachmentFact {
    /// Decoded file name; empty = none.
    pub name: String,
    /// What else its fields call it.
    pub other_names: Vec<String>,
    /// Declared content type, lower case.
    pub content_type: String,
    /// What the octets say it is; empty = unknown.
    pub true_type: String,
    /// Decoded size in octets.
    pub bytes: u64,
    /// Password-protected.
    pub encrypted: bool,
    /// Has active content.
    pub active: bool,
    /// Where it is, if it can be taken out.
    pub span: Option<(u64, u64)>,
}

impl AttachmentFact {
    /// All its names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.other_names.iter().map(|name| &**name))
    }
}

impl From<&crate::scan::Attachment> for AttachmentFact {
    fn from(seen: &crate::scan::Attachment) -> Self {
        Self {
            name: seen.name.to_string(),
            other_names: seen.other_names.iter().map(ToString::to_string).collect(),
            content_type: seen.content_type.to_string(),
            true_type: seen.true_type.to_string(),
            bytes: seen.bytes,
            encrypted: seen.encrypted,
            active: seen.active,
            span: seen.span,
        }
    }
}

/// What is known of a message besides its verdict.
#[derive(Clone, Debug, Default)]
pub struct Facts<'m> {
    /// Size in canonical octets.
    pub message_bytes: u64,
    /// Recipients in the envelope.
    pub recipients: u32,
    /// Attachments and members of archives.
    pub attachments: &'m [AttachmentFact],
    /// Attachments that are parts of the mail itself.
    pub attachments_count: u32,
    /// Header fields: name and decoded value.
    pub headers: &'m [(&'m str, &'m str)],
    /// Names of attachments that could not be read (encrypted), for the `{file}` of a stamp.
    pub unread_names: &'m [&'m str],
    /// The scanner made a copy without the bad parts.
    pub cleaned: bool,
    /// The scanner made a copy without the parts that act when they are opened.
    pub active_cleaned: bool,
    /// No text part shows anything.
    pub body_blank: bool,
    /// Some attachment is of a kind that runs when it is opened, or hides that it does.
    pub high_risk: bool,
    /// Reverse-path; `None` for `<>`.
    pub sender: Option<&'m Mailbox>,
    /// Authors.
    pub authors: &'m [Mailbox],
    /// Addresses of Reply-To.
    pub reply_to: &'m [Mailbox],
    /// Client's address.
    pub client: Option<IpAddr>,
    /// What the checks of the sender came to.
    pub auth: &'m [AuthEvidence],
    /// Expressions of content conditions that the mail fulfils.
    pub content: &'m [ContentHit],
    /// Not all texts were searched for them.
    pub content_cut: bool,
    /// When its transaction began.
    pub at: UnixMillis,
    /// Which rules are for this recipient.
    pub scope: ScopeMask,
    /// Bypasses of the recipient's domain that are in force.
    pub bypasses: &'m [Bypassed<'m>],
}

/// Whether some attachment is of a kind that runs when it is opened, or hides that it does.
#[must_use]
pub fn high_risk(findings: &[Finding]) -> bool {
    findings.iter().any(|found| found.kind == FindingKind::Attachment && !found.log_only)
}

/// A bypass that is in force: what it is for, and what the log says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypassed<'m> {
    /// Name of the rule, or key of the setting; `None`: all of them.
    pub rule: Option<&'m str>,
    /// Who, until when and why.
    pub told: Box<str>,
}

impl Facts<'_> {
    /// Whether reverse-path or author is in a set.
    pub(super) fn sent_by(&self, set: &Addresses) -> bool {
        !set.is_empty()
            && (self.sender.is_some_and(|sender| set.contains(sender))
                || self.authors.iter().any(|author| set.contains(author)))
    }

    /// The first field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// What a bypass says of a rule or setting that goes by these names.
pub(in crate::policy) fn bypass<'b>(
    bypasses: &'b [Bypassed<'_>],
    names: &[&str],
    spared: Spared,
) -> Option<&'b str> {
    let found = bypasses.iter().find(|bypass| match bypass.rule {
        Some(rule) => names.contains(&rule),
        None => spared == Spared::No,
    });
    found.map(|bypass| &*bypass.told)
}
