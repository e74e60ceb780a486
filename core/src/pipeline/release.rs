//! What the control socket asks of a shard's mails: queue commands, release and deletion of held items.
//!
//! A release is a delivery like any other: by the rule of 250 the item counts as released once the next
//! hop took it or it is durable in the spool; a refusal leaves it held. Where the domain says so
//! (`quarantine.rescan`, TM-34) the mail is looked at again first, by the tables of now and
//! without the reason that held it, and may be held again or dropped.

use std::rc::Rc;
use std::sync::Arc;

use super::message::{Head, Judged, Message};
use super::{Pipeline, Transaction};
use crate::clock::Now;
use crate::content::Content;
use crate::control::{ItemOutcome, Request, Response};
use crate::deliver::{Accepted, Copy, Disposition, Needs, Others};
use crate::envelope::{Envelope, MailId};
use crate::maillog::{EventRow, Row};
use crate::message::{View, ViewLimits};
use crate::policy::{Action, ListDecision};
use crate::quarantine::{HeldItem, HeldMail, ItemId, ItemState};
use crate::session::{ContentTraits, Received};
use crate::shard::counters::Counter;
use crate::tables::Resolution;

/// Who the log names for calls of the control socket: its peer is root or the operator.
const OPERATOR: &str = "operator";

impl Pipeline {
    /// Answers a request that is about this shard's mails.
    pub async fn control(&self, request: Request) -> Response {
        let deliverer = &self.rooms().deliverer;
        match request {
            Request::QueueList { domain, rows_max } => {
                let (rows, total) = deliverer.queue_rows(domain.as_deref(), rows_max);
                Response::Queue { rows, total }
            }
            Request::QueueWhy { domain } => {
                Response::QueueWhy { rows: deliverer.queue_why(domain.as_deref()) }
            }
            Request::QueueHold { domain } => {
                deliverer.queue_hold(&domain);
                Response::Done
            }
            Request::QueueUnhold { domain } => {
                done(deliverer.queue_unhold(&domain), "this domain was not held")
            }
            Request::QueueFlush { domain } => {
                deliverer.queue_flush(domain.as_deref());
                Response::Done
            }
            Request::QueueRetry { mail } => match mail.parse::<MailId>() {
                Ok(mail) => done(deliverer.queue_retry(mail), "no such mail in the queue"),
                Err(error) => Response::Refused { why: format!("`{mail}`: {error}") },
            },
            Request::QueueRemove { mail } => match mail.parse::<MailId>() {
                Ok(mail) => match deliverer.queue_remove(mail, OPERATOR).await {
                    Ok(was) => done(was, "no such mail in the queue, or it is being delivered"),
                    Err(error) => Response::Refused { why: error.to_string() },
                },
                Err(error) => Response::Refused { why: format!("`{mail}`: {error}") },
            },
            Request::QuarantineRelease { items } => self.each(items, Doing::Release).await,
            Request::QuarantineDelete { items } => self.each(items, Doing::Delete).await,
            Request::Ping
            | Request::Status
            | Request::Adopt { .. }
            | Request::AdoptDeltas
            | Request::Reload
            | Request::Drain => Response::Refused { why: "not for a shard".to_owned() },
        }
    }

    async fn each(&self, items: Vec<String>, doing: Doing) -> Response {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let done = match item.parse::<ItemId>() {
                Ok(id) => match doing {
                    Doing::Release => self.release(id).await,
                    Doing::Delete => self.delete(id).await,
                },
                Err(why) => Err(why),
            };
            let why = done.err();
            outcomes.push(ItemOutcome { item, done: why.is_none(), why: why.unwrap_or_default() });
        }
        Response::Items { items: outcomes }
    }

    async fn delete(&self, id: ItemId) -> Result<(), String> {
        let now = Now::read();
        let state = ItemState::Deleted { by: OPERATOR.into(), at: now.unix };
        self.rooms().quarantine.mark(id, state, now.unix).await.map_err(|e| e.to_string())?;
        self.log_event(id, "delete", "", now);
        Ok(())
    }

    async fn release(&self, id: ItemId) -> Result<(), String> {
        let now = Now::read();
        let quarantine = &self.rooms().quarantine;
        let (held, _, content) =
            quarantine.load(id, now.unix).await.map_err(|error| error.to_string())?;
        let Some(item) = held.items.iter().find(|item| item.index == id.recipient).cloned() else {
            return Err("this mail has no such recipient".to_owned());
        };
        let releasing = ItemState::Releasing { by: OPERATOR.into(), at: now.unix };
        quarantine.mark(id, releasing, now.unix).await.map_err(|error| error.to_string())?;
        let done = self.deliver_released(&held, &item, content, now).await;
        let state = match &done {
            Ok(_) => ItemState::Released { by: OPERATOR.into(), at: now.unix },
            Err(_) => ItemState::Held,
        };
        quarantine.mark(id, state, now.unix).await.map_err(|error| error.to_string())?;
        let detail = match &done {
            Ok(detail) | Err(detail) => detail,
        };
        self.log_event(id, "release", detail, now);
        if done.is_ok() {
            self.rooms().count(Counter::Released);
        }
        done.map(|_| ())
    }

    /// Hands a released copy to the next hop or the spool; what became of it, or why nothing did.
    async fn deliver_released(
        &self,
        held: &HeldMail,
        item: &HeldItem,
        content: Content,
        now: Now,
    ) -> Result<String, String> {
        let Some(current) = self.rooms().shared.tables() else {
            return Err("no generation of tables is in force".to_owned());
        };
        let snapshot = current.load();
        let Resolution::Known { domain, .. } = snapshot.resolve(&item.recipient.resolved) else {
            return Err("the recipient's domain is not ours any more".to_owned());
        };
        // A released copy is a new delivery: the ids of spooled copies are never used twice.
        let mail = self.rooms().new_mail_id(now.unix);
        let mut fallback = held.clone();
        fallback.mail = mail;
        fallback.held_at = now.unix;
        fallback.items = vec![HeldItem { index: 0, ..item.clone() }];
        if domain.settings.quarantine.rescan
            && let Some(again) = self.rescan(&mut fallback, item, &content, now).await?
        {
            return Ok(again);
        }
        let envelope =
            Envelope { recipients: vec![item.recipient.clone()], ..held.envelope.clone() };
        let head = self.head(&content).await.map_err(|reply| reply.to_string())?;
        let mut needs = Needs::of(head.section(), &content, envelope.smtputf8);
        needs.eight_bit |= envelope.body == crate::envelope::BodyType::EightBitMime;
        let copy = Copy {
            recipients: vec![0],
            domain: Arc::clone(&domain.name),
            content,
            needs,
            may_report: false,
            fallback: Box::new(fallback),
        };
        let accepted =
            Accepted { mail, received_at: held.received_at, client: held.client.clone(), envelope };
        let settled = self.rooms().deliverer.settle(&accepted, &[copy], Others::None).await;
        let Some(outcome) = settled.outcomes.first() else {
            return Err(settled.reply.to_string());
        };
        match outcome.disposition {
            Disposition::Delivered | Disposition::Queued | Disposition::QueuedUnknown => {
                Ok(format!("{} as {mail}", outcome.answer.reply))
            }
            Disposition::Refused
            | Disposition::Reported
            | Disposition::Held
            | Disposition::Logged
            | Disposition::NotKept
            | Disposition::Removed => Err(format!("next hop: {}", outcome.answer.reply)),
        }
    }

    /// TM-34: looks again. `Some` if something else caught it: held again under that reason, or dropped.
    async fn rescan(
        &self,
        again: &mut HeldMail,
        item: &HeldItem,
        content: &Content,
        now: Now,
    ) -> Result<Option<String>, String> {
        let message = self.message_of(again, item, content, now).await?;
        let Some(accepted) = message.transaction.recipients.first() else { return Ok(None) };
        let mut verdict = Rc::unwrap_or_clone(message.judge(accepted).verdict);
        verdict.detections.retain(|one| one.reason.key() != &*item.reason);
        let decision = message.decide(accepted, &verdict);
        match decision.action {
            Action::Drop | Action::Reject => Ok(Some("dropped by another rule".to_owned())),
            Action::Quarantine | Action::QuarantineHidden => {
                let judged = Judged { decision, verdict: Rc::new(verdict) };
                let held = super::hold::held_mail(&message, &[judged], &[0], content.bytes());
                let why = held.items.first().map(|item| item.reason.clone()).unwrap_or_default();
                let quarantine = &self.rooms().quarantine;
                let ids = quarantine.hold(&held, content, now.unix).await;
                let ids = ids.map_err(|error| error.to_string())?;
                let id = ids.first().map(ToString::to_string).unwrap_or_default();
                Ok(Some(format!("held again as {id}: {why}")))
            }
            Action::Deliver | Action::Header | Action::Stamp | Action::Tag | Action::Clean => {
                Ok(None)
            }
        }
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
        let resolved = transaction.snapshot.resolve(&item.recipient.resolved);
        let Resolution::Known { domain, .. } = resolved else {
            return Err("the recipient's domain is not ours any more".to_owned());
        };
        let recipient = item.recipient.clone();
        let list = ListDecision::None;
        transaction.recipients.push(super::Accepted { recipient, domain, list });
        let head: Head = self.head(content).await.map_err(|reply| reply.to_string())?;
        let view =
            super::message::cheap(content).map(|octets| View::build(octets, &ViewLimits::shard()));
        let examined = self.examine(&transaction, content, view.as_ref()).await;
        let examination = examined.map_err(|reply| reply.to_string())?;
        let received = Received {
            bytes: content.bytes(),
            envelope,
            traits: ContentTraits::default(),
            chunked: false,
        };
        let client = held.client.clone();
        Ok(Message { transaction, client, received, head, examination, at: now })
    }

    fn log_event(&self, id: ItemId, action: &str, details: &str, now: Now) {
        let row = EventRow {
            at: now.unix,
            mail: Some(id.mail),
            filter_type: "Operator".to_owned(),
            action: action.to_owned(),
            action_details: format!("{id} {details}").trim_end().to_owned(),
            by: OPERATOR.to_owned(),
            ..EventRow::default()
        };
        self.rooms().maillog.write(&[Row::Event(Box::new(row))], now.unix);
    }
}

fn done(was: bool, why_not: &str) -> Response {
    if was { Response::Done } else { Response::Refused { why: why_not.to_owned() } }
}

/// What is done to held items.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Release,
    Delete,
}
