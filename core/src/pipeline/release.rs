//! What the control socket asks of a shard's mails: queue commands, release and deletion of held items.
//!
//! A release is a delivery like any other: by the rule of 250 the item counts as released once the next
//! hop took it or it is durable in the spool; a refusal leaves it held. It may take longer than a caller waits: then
//! it is answered as under way and goes on (`held_jobs`). Where the domain says so (`quarantine.rescan`, TM-34)
//! the mail is looked at again first (`rescan`).

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt as _;

use super::Pipeline;
use super::held_jobs::{Doing, Ended, Job};
use super::rows::path_text;
use crate::clock::Now;
use crate::control::{ItemOutcome, Reclassified, Request, Response};
use crate::deliver::{Accepted, Copy, Disposition, Needs, Others};
use crate::envelope::{Envelope, MailId, Mailbox, Recipient};
use crate::maillog::{EventRow, Row};
use crate::quarantine::{Again, HeldItem, HeldMail, ItemId, ItemState, Releasing};
use crate::shard::counters::Counter;
use crate::spool::SpoolError;
use crate::spool::disk::GlommioDisk;
use crate::tables::Resolution;
use crate::verdict::MainClass;

/// Who the log names for calls of the control socket: its peer is root or the operator.
const OPERATOR: &str = "operator";
/// A caller hears so soon how far its request has come. Well below the 60 s that callers wait at most, and often enough
/// for the bar of the command line.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often the jobs of a request are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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
            Request::QuarantineRelease { items, ham: false } => {
                self.each(items, Doing::Release).await
            }
            Request::QuarantineRelease { items, ham: true } => {
                self.each(items, Doing::ReleaseAsHam).await
            }
            Request::Reclassify { mails } => self.reclassify(mails),
            Request::QuarantineDelete { items } => self.each(items, Doing::Delete).await,
            Request::Ping
            | Request::Status
            | Request::Adopt { .. }
            | Request::AdoptDeltas
            | Request::Reload
            | Request::Drain => Response::Refused { why: "not for a shard".to_owned() },
        }
    }

    /// Does something to each of `items`, or joins those who asked for it before. What is not done in time is
    /// answered as under way: it goes on, and asking again is harmless.
    async fn each(&self, items: Vec<String>, doing: Doing) -> Response {
        let jobs: Vec<Result<Rc<Job>, String>> = items
            .iter()
            .map(|item| self.jobs.borrow_mut().join(item.parse::<ItemId>()?, doing))
            .collect();
        self.work();
        let end = Now::read().mono.plus(ANSWER_WAIT);
        while jobs.iter().flatten().any(|job| job.ended().is_none()) && Now::read().mono < end {
            glommio::timer::sleep(LOOK_AGAIN).await;
        }
        let outcomes = items.into_iter().zip(jobs).map(|(item, job)| {
            let ended = match job {
                Ok(job) => job.ended(),
                Err(why) => Some(Ended::not(why)),
            };
            match ended {
                Some(Ended { done, words }) => {
                    ItemOutcome { item, done, why: words, under_way: false }
                }
                None => {
                    let why = "still under way; ask again, or see `quarantine show`".to_owned();
                    ItemOutcome { item, done: false, why, under_way: true }
                }
            }
        });
        Response::Items { items: outcomes.collect() }
    }

    /// Starts as many of the waiting jobs as may run.
    fn work(&self) {
        loop {
            let Some(job) = self.jobs.borrow_mut().begin() else { return };
            let this = self.clone();
            // In the task queue of the caller: housekeeping, behind the mail.
            glommio::spawn_local(async move {
                let done = AssertUnwindSafe(this.carry_out_job(&job)).catch_unwind().await;
                let ended = done.unwrap_or_else(|_| {
                    this.rooms().count(Counter::SessionPanics);
                    tracing::error!(item = %job.item, "a release ended by a defect of ours (panic)");
                    Ended::not("internal problem, see the engine's log")
                });
                this.jobs.borrow_mut().end(&job, ended);
                this.work();
            })
            .detach();
        }
    }

    /// Releases and deletions that run: a drain waits for them.
    #[must_use]
    pub fn held_jobs_running(&self) -> usize {
        self.jobs.borrow().running()
    }

    async fn carry_out_job(&self, job: &Job) -> Ended {
        if self.rooms().shared.is_draining() {
            return Ended::not("the engine is ending: not begun");
        }
        match job.doing {
            Doing::Release => self.release(job.item, false).await,
            Doing::ReleaseAsHam => self.release(job.item, true).await,
            Doing::Delete => self.delete(job.item).await,
        }
    }

    async fn delete(&self, id: ItemId) -> Ended {
        let now = Now::read();
        match self.rooms().quarantine.delete(id, OPERATOR, now.unix).await {
            Ok(held) => {
                self.log_event((id, &held), "delete", "", now);
                Ended::done("")
            }
            Err(error) => Ended::not(error.to_string()),
        }
    }

    async fn release(&self, id: ItemId, ham: bool) -> Ended {
        let now = Now::read();
        let quarantine = &self.rooms().quarantine;
        let releasing = match quarantine.begin_release(id, OPERATOR, now.unix).await {
            Ok(releasing) => releasing,
            Err(SpoolError::State { state: "released", .. }) => {
                return Ended::done("was released before; not delivered again");
            }
            Err(error) => return Ended::not(error.to_string()),
        };
        let came = self.deliver_released(id, &releasing, now).await;
        let now = Now::read();
        let (state, ended) = match came {
            Came::Delivered(detail) => {
                self.rooms().count(Counter::Released);
                let state = ItemState::Released { by: OPERATOR.into(), at: now.unix, ham };
                (state, Ended::done(detail))
            }
            Came::HeldAgain(again) => {
                let why = format!("held again: {} ({})", again.reason, again.held_by);
                (ItemState::HeldAgain(again), Ended::not(why))
            }
            Came::Dropped { rule } => {
                let by = format!("release: {rule}").into();
                let why = format!("dropped by {rule}, as the mail log says");
                (ItemState::Deleted { by, at: now.unix }, Ended::not(why))
            }
            Came::Nothing(why) => (releasing.before.held(), Ended::not(why)),
        };
        let action = if ham && ended.done { "release and train" } else { "release" };
        self.log_event((id, &releasing.held), action, &ended.words, now);
        match releasing.end(state, now.unix).await {
            Ok(()) => ended,
            Err(error) => {
                let words = format!("{}; its state could not be written: {error}", ended.words);
                Ended { done: ended.done, words }
            }
        }
    }

    /// Hands a released copy to the next hop or the spool, if no other rule has something against it.
    async fn deliver_released(
        &self,
        id: ItemId,
        releasing: &Releasing<GlommioDisk>,
        now: Now,
    ) -> Came {
        let Releasing { held, before, content, .. } = releasing;
        let Some(item) = held.items.iter().find(|item| item.index == id.recipient) else {
            return Came::Nothing("this mail has no such recipient".to_owned());
        };
        let Some(current) = self.rooms().shared.tables() else {
            return Came::Nothing("no generation of tables is in force".to_owned());
        };
        // Where mail for it goes now: it may have become an alias since.
        let Resolution::Known { mailbox, domain, .. } =
            current.load().resolve(&item.recipient.resolved)
        else {
            return Came::Nothing("the recipient's domain is not ours any more".to_owned());
        };
        let item = &HeldItem {
            recipient: Recipient { resolved: mailbox, ..item.recipient.clone() },
            ..item.clone()
        };
        if domain.settings.quarantine.rescan {
            match self.rescan(held, item, before, content, now).await {
                Ok(None) => {}
                Ok(Some(came)) => return came,
                Err(why) => return Came::Nothing(why),
            }
        }
        // A released copy is a new delivery: the ids of spooled copies are never used twice.
        let mail = self.rooms().new_mail_id(now.unix);
        let envelope =
            Envelope { recipients: vec![item.recipient.clone()], ..held.envelope.clone() };
        let head = match self.head(content).await {
            Ok(head) => head,
            Err(reply) => return Came::Nothing(reply.to_string()),
        };
        let mut needs = Needs::of(head.section(), content, envelope.smtputf8);
        needs.eight_bit |= envelope.body == crate::envelope::BodyType::EightBitMime;
        let mut fallback = held.clone();
        fallback.mail = mail;
        fallback.held_at = now.unix;
        fallback.items = vec![HeldItem { index: 0, ..item.clone() }];
        let copy = Copy {
            recipients: vec![0],
            domain: Arc::clone(&domain.name),
            content: content.clone(),
            needs,
            may_report: false,
            fallback: Box::new(fallback),
        };
        let accepted =
            Accepted { mail, received_at: held.received_at, client: held.client.clone(), envelope };
        let settled = self.rooms().deliverer.settle(&accepted, &[copy], Others::None).await;
        let Some(outcome) = settled.outcomes.first() else {
            return Came::Nothing(settled.reply.to_string());
        };
        match outcome.disposition {
            Disposition::Delivered | Disposition::Queued | Disposition::QueuedUnknown => {
                Came::Delivered(format!("{} as {mail}", outcome.answer.reply))
            }
            Disposition::Refused
            | Disposition::Reported
            | Disposition::Held
            | Disposition::Logged
            | Disposition::NotKept
            | Disposition::Removed => Came::Nothing(format!("next hop: {}", outcome.answer.reply)),
        }
    }

    fn log_event(&self, (id, held): (ItemId, &HeldMail), action: &str, details: &str, now: Now) {
        let recipient = held.items.iter().find(|item| item.index == id.recipient);
        let class = match action {
            "release and train" => MainClass::FalsePositive.name(),
            _ => recipient.map_or("", |item| &item.main_class),
        };
        let recipient = recipient.map(|item| &item.recipient);
        let text = |mailbox: Option<&Mailbox>| mailbox.map(ToString::to_string).unwrap_or_default();
        let row = EventRow {
            at: now.unix,
            mail: Some(id.mail),
            filter_type: "Operator".to_owned(),
            action: action.to_owned(),
            classification: class.to_owned(),
            action_details: format!("{id} {details}").trim_end().to_owned(),
            to: text(recipient.map(|one| &one.original)),
            address: text(recipient.map(|one| &one.resolved)),
            from: path_text(&held.envelope.reverse_path),
            author: held.author.to_string(),
            source_address: Some(held.client.address.ip()),
            by: OPERATOR.to_owned(),
            ..EventRow::default()
        };
        self.rooms().maillog.write(&[Row::Event(Box::new(row))], now.unix);
    }
}

impl Pipeline {
    /// SM-60: what was trained as spam afterwards is a False-negative, what was trained as none a False-positive.
    fn reclassify(&self, mails: Vec<Reclassified>) -> Response {
        let now = Now::read().unix;
        let row = |one: Reclassified| {
            let class = if one.spam { MainClass::FalseNegative } else { MainClass::FalsePositive };
            let row = EventRow {
                at: now,
                mail: one.mail.parse().ok(),
                filter_type: "Operator".to_owned(),
                action: "train".to_owned(),
                action_details: if one.spam { "spam" } else { "ham" }.to_owned(),
                classification: class.name().to_owned(),
                from: one.from,
                author: one.author,
                to: one.to,
                address: one.address,
                by: one.by,
                ..EventRow::default()
            };
            Row::Event(Box::new(row))
        };
        let rows: Vec<Row> = mails.into_iter().map(row).collect();
        self.rooms().maillog.write(&rows, now);
        Response::Done
    }
}

fn done(was: bool, why_not: &str) -> Response {
    if was { Response::Done } else { Response::Refused { why: why_not.to_owned() } }
}

/// What came of a release.
#[derive(Debug)]
pub(super) enum Came {
    /// The next hop took it, or it is durable in the spool.
    Delivered(String),
    /// Another rule holds it.
    HeldAgain(Box<Again>),
    /// Another rule dropped it; the record of that is durable.
    Dropped {
        /// As `HeldItem::held_by`.
        rule: String,
    },
    /// Nothing: it is held as before, and why.
    Nothing(String),
}
