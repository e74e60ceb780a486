//! TM-34, `quarantine.rescan`: a held mail is looked at once more before it is released, by the tables of now.
//!
//! What held it must not hold it again, else nothing could ever be released; **everything else applies**: lists, size,
//! classes, the administrator's rules. What was asked when it came is not asked again: who the sender is, and what lists
//! say of the client's address. What is overruled is what asked for the hold (`HeldItem::held_by`):
//!
//! | held by | overruled |
//! |---|---|
//! | `rule NAME` | the rule of that name; evidence of the same reason still counts |
//! | `size.action` | the size limit |
//! | `class_actions N` | that class action, and evidence of the same reason |
//! | another setting (`spam.action`) | all that this setting answers to, and evidence of the same reason |
//!
//! Held again, the item keeps its id and its day and says who holds it now; the next release overrules that, too,
//! so that two rules cannot hold it in turn for ever. There is nobody to refuse it to any more: what would be rejected is
//! held or dropped as `quarantine.mixed_reply` says (unified model 3.3). A drop is final only once its record is durable.

use std::rc::Rc;
use std::sync::Arc;

use super::client::ClientLists;
use super::hold::decided_by;
use super::message::{Head, Judged, Message};
use super::release::Came;
use super::rows::{Evidence, Outcome};
use super::{Accepted, Pipeline, Transaction};
use crate::authn::Authentication;
use crate::clock::Now;
use crate::content::Content;
use crate::maillog::Row;
use crate::message::{View, ViewLimits};
use crate::policy::{
    Action, Decision, DomainSettings, HoldSpec, ListDecision, MixedReply, setting_key,
};
use crate::quarantine::{Again, HeldItem, HeldMail, ItemState, Overruled};
use crate::session::{ContentTraits, Received};
use crate::tables::{DomainRef, Resolution};
use crate::verdict::{AuthEvidence, Reason, Verdict};

/// Rounds that are remembered: more than a domain has rules that hold.
const OVERRULED_MAX: usize = 64;
/// How a rule of the administrator is named in `HeldItem::held_by`.
pub(super) const RULE: &str = "rule ";

impl Pipeline {
    /// Looks again. `None`: nothing else has anything against it.
    pub(super) async fn rescan(
        &self,
        held: &HeldMail,
        item: &HeldItem,
        before: &ItemState,
        content: &Content,
        now: Now,
    ) -> Result<Option<Came>, String> {
        let overruled = overruled(item, before);
        let message = self.message_of(held, item, content, now).await?;
        let Some(accepted) = message.transaction.recipients.first() else { return Ok(None) };
        let settings = Arc::new(without(accepted.settings(), &overruled));
        let accepted = Accepted {
            domain: DomainRef { settings, ..accepted.domain.clone() },
            ..accepted.clone()
        };
        let Judged { verdict, found, .. } = message.judge(&accepted);
        let mut verdict = Rc::unwrap_or_clone(verdict);
        excuse(&mut verdict, &overruled);
        let mut decision = message.decide(&accepted, &verdict);
        // Nobody hears a refusal any more.
        refuse_nobody(&mut decision);
        let judged = Judged { verdict: Rc::new(verdict), found, decision };
        let rule = decided_by(&judged.decision, accepted.settings());
        match judged.decision.action {
            Action::Deliver | Action::Header | Action::Stamp | Action::Tag => Ok(None),
            // What the tables of now would take out is still in the copy: the next release is by somebody who knows.
            Action::Clean | Action::Quarantine | Action::QuarantineHidden | Action::Reject => {
                let hidden = judged.decision.action == Action::QuarantineHidden;
                let reason = judged.decision.reason.or(judged.verdict.reason);
                Ok(Some(Came::HeldAgain(Box::new(Again {
                    at: now.unix,
                    main_class: judged.class().0.name().into(),
                    category: reason.map_or("", |reason| reason.category().key()).into(),
                    reason: reason.map_or("", Reason::key).into(),
                    held_by: rule,
                    hidden,
                    overruled,
                }))))
            }
            Action::Drop => {
                self.record_drop(&message, &judged, item).await?;
                Ok(Some(Came::Dropped { rule: rule.into() }))
            }
        }
    }

    /// The record of a drop, durable.
    async fn record_drop(
        &self,
        message: &Message,
        judged: &Judged,
        item: &HeldItem,
    ) -> Result<(), String> {
        let mut row =
            self.delivery_row(message, 0, judged, &Outcome::Dropped, &mut Evidence::default());
        if let Row::Delivery(row) = &mut row {
            row.recipient = item.index;
        }
        let written = self.rooms().maillog.write_durable(&[row], message.at.unix).await;
        written.map_err(|error| format!("not dropped, its record cannot be written: {error}"))
    }

    /// A held copy as the message that it was.
    async fn message_of(
        &self,
        held: &HeldMail,
        item: &HeldItem,
        content: &Content,
        now: Now,
    ) -> Result<Message, String> {
        let mut envelope = held.envelope.clone();
        envelope.recipients = vec![item.recipient.clone()];
        let begun = super::recipient::begin(self, &held.client, &envelope, now);
        let mut transaction: Transaction = begun.map_err(|reply| reply.to_string())?;
        transaction.mail = held.mail;
        // A client that came to be listed since is no rule of the policy: with `ip.action = "reject"` it dropped what
        // its recipient had asked for.
        transaction.networks = ClientLists::default();
        let mailbox = &item.recipient.resolved;
        let Resolution::Known { domain, .. } = transaction.snapshot.resolve(mailbox) else {
            return Err("the recipient's domain is not ours any more".to_owned());
        };
        // The lists as RCPT would find them now, that of recipients who bypass every filter among them.
        let list: ListDecision = self.lists(&transaction, mailbox, &domain.settings, now);
        let accepted = Accepted { recipient: item.recipient.clone(), domain, list };
        // The only one, so there is nobody whom it could repeat.
        transaction.accept(accepted);
        let head: Head = self.head(content).await.map_err(|reply| reply.to_string())?;
        let view =
            super::message::cheap(content).map(|octets| View::build(octets, &ViewLimits::shard()));
        let examined = self.look(&transaction, content, view.as_ref()).await;
        let examination = examined.map_err(|reply| reply.to_string())?;
        let received = Received {
            bytes: if held.received_bytes > 0 { held.received_bytes } else { content.bytes() },
            envelope,
            traits: ContentTraits::default(),
            chunked: false,
        };
        let named = u32::try_from(held.items.len()).unwrap_or(u32::MAX).max(held.recipients_count);
        let client = held.client.clone();
        Ok(Message {
            transaction,
            client,
            received,
            head,
            examination,
            authentication: Authentication::left_out(),
            // What was found out when it came.
            auth_evidence: held
                .auth_evidence
                .iter()
                .filter_map(|key| AuthEvidence::from_key(key))
                .collect(),
            // Long ago; who was a stranger then is no reason to hold it again.
            known_client: true,
            at: now,
            times: super::times::Times::start(),
            named,
        })
    }
}

/// Everything that releases of this item overrule, this one included.
fn overruled(item: &HeldItem, before: &ItemState) -> Vec<Overruled> {
    let mut all = before.again().map_or_else(Vec::new, |again| again.overruled.clone());
    let (reason, held_by) = match before.again() {
        Some(again) => (again.reason.clone(), again.held_by.clone()),
        None => (item.reason.clone(), item.held_by.clone()),
    };
    let this = Overruled { reason, held_by };
    if !all.contains(&this) && all.len() < OVERRULED_MAX {
        all.push(this);
    }
    all
}

/// The settings without what is overruled.
fn without(settings: &DomainSettings, overruled: &[Overruled]) -> DomainSettings {
    let mut settings = settings.clone();
    for Overruled { reason, held_by } in overruled {
        if let Some(name) = held_by.strip_prefix(RULE) {
            settings.rules.retain(|rule| &*rule.name != name);
        } else if let Some(order) = held_by.strip_prefix("class_actions ") {
            settings.class_actions.retain(|action| action.order.to_string() != order);
        } else if &**held_by == "size.action"
            || (held_by.is_empty() && &**reason == Reason::Oversize.key())
        {
            settings.size.action = Action::Deliver;
        } else if held_by.is_empty() {
            // Held by an engine that wrote down no more than the reason.
            settings.rules.retain(|rule| rule.reason().key() != &**reason);
        }
    }
    settings
}

/// Takes the evidence that is overruled out of a verdict.
fn excuse(verdict: &mut Verdict, overruled: &[Overruled]) {
    verdict.detections.retain(|found| {
        // What the tables of now call phishing and those of then called spam has the same setting: it is the rule that
        // held the mail.
        let setting = setting_key(found.kind);
        let excused = |one: &Overruled| {
            let reason = !one.held_by.starts_with(RULE) && &*one.reason == found.reason.key();
            reason || *one.held_by == *setting
        };
        !overruled.iter().any(excused)
    });
}

fn refuse_nobody(decision: &mut Decision) {
    if decision.action != Action::Reject {
        return;
    }
    match decision.mixed_reply {
        MixedReply::Dropped => decision.action = Action::Drop,
        MixedReply::Held => {
            decision.action = Action::Quarantine;
            decision.hold = Some(HoldSpec {
                days: decision.mixed_days,
                hidden: false,
                reply: crate::policy::HoldReply::Accept,
            });
        }
    }
}
