//! What a decision is made about, filled in at one place for the engine and for `sekisho check`.

use std::net::IpAddr;

use super::judge::bypassed;
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;
use crate::policy::{self, AttachmentFact, Bypassed, Decision, DomainSettings, Facts, ScopeMask};
use crate::scan::{Attachment, Examination};
use crate::tables::Snapshot;
use crate::verdict::{AuthEvidence, Verdict};

/// A mail, as far as rules can ask of it.
#[derive(Debug)]
pub struct About<'m> {
    /// What was found in it.
    pub examination: &'m Examination,
    /// Header fields: name and decoded value.
    pub headers: &'m [(&'m str, &'m str)],
    /// Its size in canonical octets.
    pub message_bytes: u64,
    /// Recipients in the envelope.
    pub recipients: u32,
    /// Reverse-path; `None` for `<>`.
    pub sender: Option<&'m Mailbox>,
    /// Mailboxes of the From field.
    pub authors: &'m [Mailbox],
    /// Mailboxes of Reply-To.
    pub reply_to: &'m [Mailbox],
    /// Client's address.
    pub client: Option<IpAddr>,
    /// What the checks of the sender came to.
    pub auth: &'m [AuthEvidence],
    /// When its transaction began.
    pub at: UnixMillis,
    /// Which rules are for this recipient.
    pub scope: ScopeMask,
}

/// Names of protected attachments that are told.
const UNREAD_MAX: usize = 50;

/// The name of the attachment that a recipient sees: of an archive, if this is a member of one.
fn outer_name<'a>(all: &'a [Attachment], one: &'a Attachment) -> &'a str {
    let outer = all.iter().find(|other| one.span.is_some() && other.span == one.span);
    &outer.unwrap_or(one).name
}

impl About<'_> {
    /// The decision for a recipient of `domain`, whose bypasses are in `tables`.
    #[must_use]
    pub fn decide(
        self,
        verdict: &Verdict,
        settings: &DomainSettings,
        (tables, domain): (&Snapshot, &str),
    ) -> Decision {
        let seen = &self.examination.facts;
        let attachments: Vec<AttachmentFact> =
            seen.attachments.iter().map(AttachmentFact::from).collect();
        let mut unread: Vec<&str> = Vec::new();
        for one in seen.attachments.iter().filter(|one| one.encrypted) {
            let name = outer_name(&seen.attachments, one);
            if !unread.contains(&name) && unread.len() < UNREAD_MAX {
                unread.push(name);
            }
        }
        let bypasses = tables.bypasses();
        let bypasses: Vec<Bypassed<'_>> = bypasses.of(domain, self.at).map(bypassed).collect();
        let facts = Facts {
            message_bytes: self.message_bytes,
            recipients: self.recipients,
            attachments: &attachments,
            attachments_count: seen.attachments_count,
            headers: self.headers,
            unread_names: &unread,
            cleaned: !self.examination.cuts.is_empty(),
            active_cleaned: !self.examination.active_cuts.is_empty(),
            body_blank: seen.body_blank,
            high_risk: policy::high_risk(&self.examination.findings),
            sender: self.sender,
            authors: self.authors,
            reply_to: self.reply_to,
            client: self.client,
            auth: self.auth,
            content: &self.examination.content,
            content_cut: self.examination.content_cut,
            at: self.at,
            scope: self.scope,
            bypasses: &bypasses,
        };
        policy::decide(verdict, settings, &facts)
    }
}
