//! Verdict and decision for each recipient: the lists again with the author, evidence about content, client and sender, the
//! settings of the domain.

use std::rc::Rc;
use std::sync::Arc;

use super::Accepted;
use super::authenticate::evidence;
use super::entries::sender_entries;
use super::message::{Judged, Message};
use crate::policy::{self, AttachmentFact, Decision, Facts, ListDecision};
use crate::scan::finding::{Finding, FindingKind};
use crate::verdict::{self, Verdict};

impl Message {
    /// Verdicts and decisions of all recipients. Those with the same settings and the same list
    /// decision are judged once: a thousand recipients times a thousand findings is a sender's choice.
    pub(super) fn judge_all(&self) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::with_capacity(self.transaction.recipients.len());
        let mut different: Vec<usize> = Vec::new();
        for accepted in &self.transaction.recipients {
            let list = self.lists(accepted);
            let same = different.iter().find_map(|at| {
                let (other, there) = judged.get(*at).zip(self.transaction.recipients.get(*at))?;
                let settings = Arc::ptr_eq(there.settings(), accepted.settings());
                (settings && other.verdict.list == list).then(|| other.clone())
            });
            judged.push(same.unwrap_or_else(|| {
                different.push(judged.len());
                self.judge_by(accepted, list)
            }));
        }
        judged
    }

    /// Verdict and decision for one recipient.
    pub(super) fn judge(&self, accepted: &Accepted) -> Judged {
        self.judge_by(accepted, self.lists(accepted))
    }

    fn judge_by(&self, accepted: &Accepted, list: ListDecision) -> Judged {
        let settings = accepted.settings();
        let mut findings = self.examination.findings.clone();
        findings.extend(self.network_findings());
        let auth = evidence(self, settings);
        let verdict = verdict::judge(&findings, &auth, &settings.weights, list);
        let decision = self.decide(accepted, &verdict);
        Judged { verdict: Rc::new(verdict), decision }
    }

    /// The decision for one recipient.
    pub(super) fn decide(&self, accepted: &Accepted, verdict: &Verdict) -> Decision {
        let headers: Vec<(&str, &str)> =
            self.head.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let attachments: Vec<AttachmentFact> =
            self.examination.facts.attachments.iter().map(AttachmentFact::from).collect();
        let unread: Vec<&str> = self
            .examination
            .facts
            .attachments
            .iter()
            .filter(|one| one.encrypted)
            .map(|one| &*one.name)
            .collect();
        let facts = Facts {
            message_bytes: self.received.bytes,
            recipients: self.named,
            attachments: &attachments,
            headers: &headers,
            unread_names: &unread,
            cleaned: !self.examination.cuts.is_empty(),
            active_cleaned: !self.examination.active_cuts.is_empty(),
        };
        policy::decide(verdict, accepted.settings(), &facts)
    }

    /// Stage 7: the lists again, with the author.
    fn lists(&self, accepted: &Accepted) -> ListDecision {
        if matches!(accepted.list, ListDecision::Bypass) || self.head.authors.is_empty() {
            return accepted.list.clone();
        }
        let now = self.transaction.begun.unix;
        let tables = &self.transaction.snapshot;
        let recipient = &accepted.recipient.resolved;
        let mut envelope =
            super::entries::client_entries(tables, recipient, self.transaction.client, now);
        if let Some(sender) = &self.transaction.reverse_path {
            envelope.extend(sender_entries(tables, recipient, sender, now));
        }
        let header: Vec<_> = self
            .head
            .authors
            .iter()
            .flat_map(|author| sender_entries(tables, recipient, author, now))
            .collect();
        policy::lists::choose(&envelope, &header, &accepted.settings().lists, now)
    }

    fn network_findings(&self) -> impl Iterator<Item = Finding> + '_ {
        let finding = |kind, list: &str| Finding {
            kind,
            rule: list.into(),
            points: 0,
            detail: self.transaction.client.to_string().into(),
            log_only: false,
        };
        let bad = self.transaction.bad();
        let suspect = self.transaction.suspect();
        bad.map(|list| finding(FindingKind::NetworkPositive, list))
            .into_iter()
            .chain(suspect.map(move |list| finding(FindingKind::NetworkSuspect, list)))
    }
}
