//! The copies of a message: one for each group of recipients that get the same octets, and those that rules
//! send to others (redirect, BCC).
//!
//! Who is not a recipient of the mail is judged by nobody: a copy goes to him and nothing comes of it, so no rule
//! can send mail in circles. He must be a mailbox of a domain of ours, and he is told of to nobody: no
//! report about him goes to the sender. What a rule redirects must not reach its recipient: where the other
//! mailbox is none of ours any more, the mail is held.

use std::rc::Rc;
use std::sync::Arc;

use super::answer::may_report;
use super::message::{Judged, Message};
use super::{Accepted, Pipeline};
use crate::content::Content;
use crate::deliver::{self, Needs};
use crate::envelope::{Envelope, Mailbox, Notify, Recipient};
use crate::policy::{Action, Decision, HoldReply, HoldSpec, SentTo};
use crate::tables::{DomainRef, Resolution};
use crate::verdict::Reason;

/// Mailboxes beside the recipients that get a copy of one mail.
const OTHERS_MAX: usize = 100;

/// Everything that leaves.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) accepted: deliver::Accepted,
    pub(super) copies: Vec<deliver::Copy>,
    /// Those who get a copy besides, by their index behind the recipients.
    pub(super) others: Vec<Other>,
}

/// One who gets a copy although he is no recipient.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) index: u16,
    pub(super) recipient: Recipient,
    /// Index of the recipient whose copy it is.
    pub(super) of: u16,
    pub(super) rule: Box<str>,
}

/// The recipients that `which` chooses, grouped so that one copy serves each group: same domain, same
/// decision, same verdict.
pub(super) fn groups(
    message: &Message,
    judged: &[Judged],
    which: impl Fn(&Judged) -> bool,
) -> Vec<Vec<u16>> {
    let mut groups: Vec<Vec<u16>> = Vec::new();
    let all = (0_u16..).zip(judged).zip(&message.transaction.recipients);
    for ((index, one), accepted) in all {
        if !which(one) {
            continue;
        }
        let same = |group: &&mut Vec<u16>| {
            let Some(first) = group.first().map(|first| usize::from(*first)) else { return false };
            let other = judged.get(first).zip(message.transaction.recipients.get(first));
            other.is_some_and(|(other, there)| {
                there.domain.name == accepted.domain.name
                    && other.decision == one.decision
                    && (Rc::ptr_eq(&other.verdict, &one.verdict) || other.verdict == one.verdict)
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

impl Pipeline {
    /// What leaves: copies for next hops and for those whom rules name. All seals are made at the same time.
    pub(super) async fn outgoing(
        &self,
        message: &Message,
        judged: &[Judged],
        content: &Content,
    ) -> Outgoing {
        let mut outgoing =
            Outgoing { accepted: message.accepted(), copies: Vec::new(), others: Vec::new() };
        let mut seals = Vec::new();
        for group in groups(message, judged, |judged| judged.decision.action.delivers()) {
            let rewritten = self.rewritten(message, judged, &group, content);
            let seal = self.begin_seal(message, &rewritten);
            let first = outgoing.copies.len();
            message.leave(&mut outgoing, (judged, group), &rewritten.content);
            seals.push((first..outgoing.copies.len(), rewritten.content, seal));
        }
        for (copies, content, seal) in seals {
            let sealed = self.with_seal(message, content, seal).await;
            for copy in outgoing.copies.get_mut(copies).unwrap_or_default() {
                copy.content = sealed.clone();
            }
        }
        outgoing
    }
}

impl Message {
    /// Adds the copies of one group.
    fn leave(
        &self,
        outgoing: &mut Outgoing,
        (judged, group): (&[Judged], Vec<u16>),
        content: &Content,
    ) {
        let Some(first) = group.first().copied() else { return };
        let Some(accepted) = self.transaction.recipients.get(usize::from(first)) else { return };
        let Some(Judged { verdict, decision, .. }) = judged.get(usize::from(first)) else { return };
        let smtputf8 = self.received.envelope.smtputf8;
        let mut needs = Needs::of(self.head.section(), content, smtputf8);
        needs.eight_bit |= self.received.traits.eight_bit;
        let fallback = Pipeline::fallback(self, judged, &group);
        for (target, domain, rule) in self.blind((judged, decision), outgoing) {
            let Ok(index) = u16::try_from(outgoing.accepted.envelope.recipients.len()) else {
                break;
            };
            let notify = Notify { never: true, ..Notify::default() };
            let recipient =
                Recipient { original: target.clone(), resolved: target, notify, orcpt: None };
            let mut fallback = fallback.clone();
            fallback.items.truncate(1);
            for item in &mut fallback.items {
                (item.index, item.recipient) = (index, recipient.clone());
            }
            outgoing.copies.push(deliver::Copy {
                domain: Arc::clone(&domain.name),
                needs,
                content: content.clone(),
                may_report: false,
                fallback,
                recipients: vec![index],
            });
            outgoing.accepted.envelope.recipients.push(recipient.clone());
            outgoing.others.push(Other { index, recipient, of: first, rule });
        }
        let mut domain = Arc::clone(&accepted.domain.name);
        if let Some((target, there)) = decision.redirect.as_ref().and_then(|to| self.ours(to)) {
            domain = there.name;
            for index in &group {
                let recipients = &mut outgoing.accepted.envelope.recipients;
                if let Some(recipient) = recipients.get_mut(usize::from(*index)) {
                    recipient.resolved = target.clone();
                }
            }
        }
        outgoing.copies.push(deliver::Copy {
            domain,
            needs,
            content: content.clone(),
            may_report: may_report(verdict),
            fallback,
            recipients: group,
        });
    }

    /// Who gets a blind copy of this group's mail, and has none yet.
    fn blind(
        &self,
        (judged, decision): (&[Judged], &Decision),
        outgoing: &Outgoing,
    ) -> Vec<(Mailbox, DomainRef, Box<str>)> {
        let mut found: Vec<(Mailbox, DomainRef, Box<str>)> = Vec::new();
        // A recipient who gets his own copy needs no other.
        let own = |target: &Mailbox| {
            self.transaction.recipients.iter().zip(judged).any(|(accepted, judged)| {
                accepted.recipient.resolved == *target
                    && judged.decision.action.delivers()
                    && judged.decision.redirect.is_none()
            })
        };
        for to in &decision.bcc {
            let Some((target, domain)) = self.ours(to) else { continue };
            let known = outgoing.others.iter().any(|other| other.recipient.resolved == target)
                || found.iter().any(|(known, ..)| *known == target)
                || own(&target);
            if !known && outgoing.others.len() + found.len() < OTHERS_MAX {
                found.push((target, domain, to.rule.clone()));
            }
        }
        found
    }

    /// The mailbox that a rule names, after aliases, if it is one of ours that mail can go to.
    fn ours(&self, to: &SentTo) -> Option<(Mailbox, DomainRef)> {
        let (local_part, domain) = to.mailbox.rsplit_once('@')?;
        let named = Mailbox::new(local_part, &crate::config::host_name(domain)?);
        match self.transaction.snapshot.resolve(&named) {
            Resolution::Known { mailbox, domain, .. } if !domain.routes.is_empty() => {
                Some((mailbox, domain))
            }
            Resolution::Known { .. } | Resolution::UnknownDomain => None,
        }
    }

    /// Whether some rule of his domain redirects mail to this recipient.
    pub(super) fn is_redirected_to(&self, accepted: &Accepted) -> bool {
        let settings = accepted.settings();
        let sides = settings.rules.iter().map(|rule| &rule.side);
        let sides = sides.chain(settings.class_actions.iter().map(|class| &class.side));
        sides.filter_map(|side| side.redirect.as_ref()).any(|mailbox| {
            let to = SentTo { mailbox: mailbox.clone(), rule: "".into() };
            self.ours(&to).is_some_and(|(target, _)| target == accepted.recipient.resolved)
        })
    }

    /// Makes a decision fit what is there: a redirection to the recipient himself is none, and one to nobody
    /// holds the mail.
    pub(super) fn settle_redirect(&self, accepted: &Accepted, decision: &mut Decision) {
        let Some(to) = &decision.redirect else { return };
        match self.ours(to) {
            Some((target, _)) if target == accepted.recipient.resolved => decision.redirect = None,
            Some(_) => {}
            None => {
                tracing::warn!(mailbox = %to.mailbox, rule = %to.rule, "no such mailbox to redirect to");
                decision.redirect = None;
                if decision.action.delivers() {
                    decision.action = Action::Quarantine;
                    decision.reason = decision.reason.or(Some(Reason::Content));
                    decision.hold = Some(HoldSpec {
                        days: accepted.settings().quarantine.days,
                        hidden: false,
                        reply: HoldReply::Accept,
                    });
                }
            }
        }
    }

    fn accepted(&self) -> deliver::Accepted {
        deliver::Accepted {
            mail: self.transaction.mail,
            received_at: self.transaction.begun.unix,
            client: self.client.clone(),
            envelope: self.received.envelope.clone(),
        }
    }

    /// The envelope without its recipients.
    pub(super) fn envelope_without_recipients(&self) -> Envelope {
        Envelope { recipients: Vec::new(), ..self.received.envelope.clone() }
    }
}
