//! Verdict and decision for each recipient: the lists again with the author, evidence about content, client and sender, the
//! settings of the domain.

use std::rc::Rc;
use std::sync::Arc;

use super::Accepted;
use super::about::About;
use super::authenticate::evidence;
use super::entries::Who;
use super::message::{Judged, Message};
use crate::classify::{self, Models};
use crate::policy::{Bypassed, Decision, ListDecision, ScopeMask};
use crate::scan::finding::{Finding, FindingKind};
use crate::tables::Bypass;
use crate::verdict::{self, AuthEvidence, Verdict};

impl Message {
    /// Verdicts and decisions of all recipients. Those with the same settings, the same list decision and the
    /// same rules for them are judged once: a thousand recipients times a thousand findings is a sender's choice.
    pub(super) fn judge_all(&self) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::with_capacity(self.transaction.recipients.len());
        let mut different: Vec<(usize, ScopeMask, bool)> = Vec::new();
        let bypasses = self.transaction.snapshot.bypasses();
        for accepted in &self.transaction.recipients {
            let list = self.lists(accepted);
            let scope = ScopeMask::of(&accepted.settings().rules, &accepted.recipient.resolved);
            // Who gets redirected mail is not redirected to himself.
            let target = self.is_redirected_to(accepted);
            let same = different.iter().find_map(|(at, known, known_target)| {
                let (other, there) = judged.get(*at).zip(self.transaction.recipients.get(*at))?;
                // Whom a mail poses as depends on the domain that it goes to; models and bypasses are of one domain,
                // whoever shares its settings.
                let settings = Arc::ptr_eq(there.settings(), accepted.settings())
                    && there.recipient.resolved.domain == accepted.recipient.resolved.domain
                    && there.recipient.original.domain == accepted.recipient.original.domain;
                let domain = there.domain.name == accepted.domain.name
                    || bypasses.is_empty() && !self.has_model(there) && !self.has_model(accepted);
                let same = settings && domain && *known == scope && *known_target == target;
                (same && other.verdict.list == list).then(|| other.clone())
            });
            judged.push(same.unwrap_or_else(|| {
                different.push((judged.len(), scope.clone(), target));
                self.judge_by(accepted, list, scope)
            }));
        }
        judged
    }

    /// Verdict and decision for one recipient.
    pub(super) fn judge(&self, accepted: &Accepted) -> Judged {
        let scope = ScopeMask::of(&accepted.settings().rules, &accepted.recipient.resolved);
        self.judge_by(accepted, self.lists(accepted), scope)
    }

    fn judge_by(&self, accepted: &Accepted, list: ListDecision, scope: ScopeMask) -> Judged {
        let settings = accepted.settings();
        let mut findings = self.examination.findings.clone();
        findings.extend_from_slice(self.engine_findings(settings.actions.engines));
        let client = self.transaction.client;
        let listed = self.transaction.client_class();
        findings.extend(listed.and_then(|class| super::client::finding(class, client)));
        findings.extend(self.unreadable());
        findings.extend(self.header_cut());
        findings.extend(self.impersonation(accepted));
        findings.extend(self.classified(accepted));
        let auth = evidence(self, settings);
        let verdict = verdict::judge(&findings, &auth, &settings.weights, list);
        let decision = self.decide_within(accepted, &verdict, (&auth, scope));
        Judged { verdict: Rc::new(verdict), found: Rc::new(findings), decision }
    }

    /// A mail that breaks the reader of signatures is judged as one that breaks another reader.
    fn unreadable(&self) -> Option<Finding> {
        self.authentication.unreadable.then(|| Finding {
            kind: FindingKind::Malformed,
            rule: "AUTH_UNREADABLE".into(),
            points: 0,
            detail: "signatures that their reader cannot bear".into(),
            log_only: false,
        })
    }

    /// ITS-08: what stands behind the part of the header section that is read is not rewritten, so it may pose as ours.
    fn header_cut(&self) -> Option<Finding> {
        self.head.cut.then(|| Finding {
            kind: FindingKind::LimitReached,
            rule: "SCAN_LIMIT_MIME".into(),
            points: 0,
            detail: format!("header section longer than {} octets", self.head.header_bytes).into(),
            log_only: false,
        })
    }

    /// Whom the mail poses as, for a recipient of this domain.
    fn impersonation(&self, accepted: &Accepted) -> Vec<Finding> {
        let sender = &self.examination.facts.sender;
        let authors = self.head.author_domains.iter().map(|domain| &**domain);
        let recipient = &accepted.recipient;
        let envelope = self.transaction.reverse_path.as_ref().map_or("", |path| &path.domain);
        let way = verdict::Way {
            recipient_domains: [&recipient.resolved.domain, &recipient.original.domain],
            envelope_domain: envelope,
            vouched: verdict::all_vouched(&self.authentication, &self.auth_evidence, authors),
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
        let settings = accepted.settings();
        let scope = ScopeMask::of(&settings.rules, &accepted.recipient.resolved);
        self.decide_within(accepted, verdict, (&evidence(self, settings), scope))
    }

    fn decide_within(
        &self,
        accepted: &Accepted,
        verdict: &Verdict,
        (auth, scope): (&[AuthEvidence], ScopeMask),
    ) -> Decision {
        let headers: Vec<(&str, &str)> =
            self.head.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let about = About {
            examination: &self.examination,
            headers: &headers,
            message_bytes: self.received.bytes,
            recipients: self.named,
            sender: self.transaction.reverse_path.as_ref(),
            authors: &self.head.authors,
            reply_to: &self.head.reply_to,
            client: Some(self.transaction.client),
            auth,
            at: self.transaction.begun.unix,
            scope,
        };
        let domain = (&*self.transaction.snapshot, &*accepted.domain.name);
        let mut decision = about.decide(verdict, accepted.settings(), domain);
        self.settle_redirect(accepted, &mut decision);
        decision
    }

    /// Stage 7: the lists again, with the author.
    fn lists(&self, accepted: &Accepted) -> ListDecision {
        if matches!(accepted.list, ListDecision::Bypass) || self.head.authors.is_empty() {
            return accepted.list.clone();
        }
        let who = Who {
            client: Some(self.transaction.client),
            sender: self.transaction.reverse_path.as_ref(),
            authors: &self.head.authors,
        };
        let tables = &self.transaction.snapshot;
        let settings = &accepted.settings().lists;
        let now = self.transaction.begun.unix;
        who.decision(tables, &accepted.recipient.resolved, settings, now)
    }
}

/// A bypass as rules see it, and what the log says of it.
pub fn bypassed(bypass: &Bypass) -> Bypassed<'_> {
    let until =
        jiff::Timestamp::from_millisecond(i64::try_from(bypass.until.0).unwrap_or(i64::MAX));
    let until = until.map_or_else(|_| bypass.until.0.to_string(), |time| time.to_string());
    let told = format!("bypassed by {} until {until}: {}", bypass.by, bypass.why);
    Bypassed { rule: bypass.rule.as_deref(), told: told.into() }
}
