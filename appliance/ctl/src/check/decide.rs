//! What would happen to the mail, and why.

use sekisho_core::clock::Now;
use sekisho_core::envelope::Mailbox;
use sekisho_core::message::{View, mailboxes};
use sekisho_core::pipeline::about::About;
use sekisho_core::policy::{Decision, MatchedRule, ScopeMask};
use sekisho_core::scan::Examination;
use sekisho_core::verdict::{AuthEvidence, Verdict};

use super::Judge;
use super::sender::Sender;

/// What was seen of one mail.
pub(super) struct Seen<'m> {
    pub(super) view: &'m View<'m>,
    pub(super) examination: &'m Examination,
    pub(super) sender: &'m Sender,
    /// What the checks of the sender came to.
    pub(super) auth: &'m [AuthEvidence],
}

impl Judge<'_> {
    /// The decision for the recipient; without one, for nobody in particular.
    pub(super) fn decide(&self, seen: &Seen<'_>, verdict: &Verdict, bytes: u64) -> Decision {
        let headers: Vec<(String, String)> = seen
            .view
            .fields
            .iter()
            .map(|field| (field.name.to_string(), field.value.to_string()))
            .collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let (authors, reply_to) = (mailboxes(seen.view, "from"), mailboxes(seen.view, "reply-to"));
        let nobody = Mailbox::new("", "invalid");
        let recipient = self.recipient.as_ref().unwrap_or(&nobody);
        let about = About {
            examination: seen.examination,
            headers: &headers,
            message_bytes: bytes,
            recipients: 1,
            sender: seen.sender.reverse_path.as_ref(),
            authors: &authors,
            reply_to: &reply_to,
            client: seen.sender.client,
            auth: seen.auth,
            at: Now::read().unix,
            scope: ScopeMask::of(&self.settings.rules, recipient),
        };
        about.decide(verdict, &self.settings, (self.snapshot, &self.domain))
    }
}

/// A rule or setting that matched, in words: what it asks for, its name, and what of the mail it was.
pub(super) fn told(matched: &MatchedRule) -> String {
    let MatchedRule { name, action, reason, log_only, memo, condition, bypassed } = matched;
    let mut out = format!("{} {name}", action.key());
    if !memo.is_empty() {
        out.push_str(&format!(" ({memo})"));
    }
    out.push_str(&format!(" reason {}", reason.key()));
    if !condition.is_empty() {
        out.push_str(&format!(": {condition}"));
    }
    if *log_only {
        out.push_str(" (log only)");
    }
    if !bypassed.is_empty() {
        out.push_str(&format!(" ({bypassed})"));
    }
    out
}
