//! Verdict and decision for each recipient: the lists again with the author, evidence about content, client and sender, the
//! settings of the domain.

use std::rc::Rc;
use std::sync::Arc;

use super::Accepted;
use super::authenticate::evidence;
use super::entries::sender_entries;
use super::message::{Judged, Message};
use crate::classify::{self, Models};
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
                // Whom a mail poses as depends on the domain that it goes to.
                let settings = Arc::ptr_eq(there.settings(), accepted.settings())
                    && there.recipient.resolved.domain == accepted.recipient.resolved.domain
                    && there.recipient.original.domain == accepted.recipient.original.domain;
                let model = there.domain.name == accepted.domain.name
                    || !self.has_model(there) && !self.has_model(accepted);
                (settings && model && other.verdict.list == list).then(|| other.clone())
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
        findings.extend_from_slice(self.engine_findings(settings.actions.engines));
        findings.extend(self.network_findings());
        findings.extend(self.impersonation(accepted));
        findings.extend(self.classified(accepted));
        let auth = evidence(self, settings);
        let verdict = verdict::judge(&findings, &auth, &settings.weights, list);
        let decision = self.decide(accepted, &verdict);
        Judged { verdict: Rc::new(verdict), decision }
    }

    /// Whom the mail poses as, for a recipient of this domain.
    fn impersonation(&self, accepted: &Accepted) -> Vec<Finding> {
        let sender = &self.examination.facts.sender;
        let author = sender.authors.first().map_or("", |author| author.domain());
        let recipient = &accepted.recipient;
        let envelope = self.transaction.reverse_path.as_ref().map_or("", |path| &path.domain);
        let way = verdict::Way {
            recipient_domains: [&recipient.resolved.domain, &recipient.original.domain],
            envelope_domain: envelope,
            vouched: verdict::vouched(&self.authentication, &self.auth_evidence, author),
            known_client: self.known_client,
        };
        verdict::impersonation(sender, &way, &accepted.settings().impersonation)
    }

    /// Whether the recipient's domain trained a model of its own.
    fn has_model(&self, accepted: &Accepted) -> bool {
        self.transaction.snapshot.generation().model(&accepted.domain.name).is_some()
    }

    /// What the classifier says, by the models of the recipient's domain.
    fn classified(&self, accepted: &Accepted) -> Vec<Finding> {
        let settings = accepted.settings();
        if !settings.classifier.enabled {
            return Vec::new();
        }
        let generation = self.transaction.snapshot.generation();
        let models = Models {
            domain: generation.model(&accepted.domain.name),
            gateway: generation.model(""),
            base: classify::base(),
        };
        let suspect = settings.weights.suspect_points;
        classify::findings(&self.examination.features, &models, suspect)
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
