//! Works off the queue of a shard, and what operators do to it.

use super::attempt::{FULL, Letter, Unusable};
use super::client::Fate;
use super::conclude::Left;
use super::connection::Patience;
use super::copy::{Disposition, HopAnswer};
use super::destinations::Asker;
use super::dsn::DsnAction;
use super::queue::{Line, Overdue, Taken, Waiting};
use super::report::Failed;
use super::store::Store;
use super::transport::{World, within};
use super::way::{self, Origin, Way};
use super::{Deliverer, record};
use crate::clock::MonoMillis;
use crate::content::Content;
use crate::control::{QueueRow, QueueWhyRow};
use crate::envelope::{MailId, Recipient};
use crate::reply::{Enhanced, Reply};
use crate::spool::disk::Disk;
use crate::spool::{
    CopyId, Deferral, Mark, Outcome, QueuedMail, QueuedRecipient, QueuedSummary, Recovery,
    SpoolError,
};
use crate::stages::{self, Stage};
use std::time::Duration;

/// Entries looked at for their lifetime, each second: a million mails in some four minutes.
const SWEEP: usize = 4_096;
/// Octets per second that a hop must take of a large mail, beside the hour that any mail has.
const QUEUE_PACE: u64 = 64 * 1024;
/// Pause before a mail is read again that the disk did not give.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// Pause of a report when many of them are under way.
const STRANGERS_PAUSE: Duration = Duration::from_secs(5);
/// A delivery that takes longer makes room for another one.
const SLOW_AFTER: Duration = Duration::from_secs(5);
/// Mails whose lifetime is over, or that somebody is warned of, worked on at a time: each is in memory, its report
/// too. A million that end together must not be there together.
const OVERDUE_MAX: usize = 32;
/// The hops of a mail that a start finds, and that has waited so long, are not trusted before they answer.
const DOUBTED_AFTER: Duration = Duration::from_secs(30);
/// How often the queue is looked at when nothing happens.
const TICK: Duration = Duration::from_secs(1);

impl<W: World, S: Store> Deliverer<W, S> {
    /// Delivers what waits, until [`Deliverer::stop`]. Runs in the shard's background queue.
    pub async fn run_queue(&self) {
        let mut swept = self.world().now().mono;
        let mut to_sweep = 0;
        while !self.inner.stopping.get() {
            let now = self.world().now().mono;
            if now.since(swept) >= TICK {
                swept = now;
                to_sweep = SWEEP;
                for connection in self.inner.outlet.pool.expired(now) {
                    connection.quit().await;
                }
            }
            to_sweep -= self.sweep(now, to_sweep);
            self.start_deliveries(now);
            let next = self.inner.queue.borrow().next_event();
            let until = next.unwrap_or(MonoMillis(u64::MAX)).max(now).min(now.plus(TICK));
            let _ = within(self.world(), until.max(MonoMillis(now.0 + 1)), self.inner.wake.wait())
                .await;
        }
        for connection in self.inner.outlet.pool.drain() {
            connection.quit().await;
        }
    }

    /// Puts into the queue what the spool held at the start; new mail flows meanwhile.
    pub async fn recover<D: Disk>(&self, mut recovery: Recovery<D>) {
        while let Some(found) = recovery.next().await {
            match found {
                Ok((id, mail)) => self.adopt(id, &mail),
                Err(error) => tracing::error!(%error, "a spooled mail cannot be read"),
            }
        }
    }

    /// Puts one mail into the queue that is in the spool already.
    pub fn adopt(&self, id: CopyId, mail: &QueuedSummary) {
        if mail.waiting().next().is_none() {
            return;
        }
        let now = self.world().now();
        let slot = self.insert(id, mail, now.unix.since(mail.queued_at));
        let until = self.next_attempt(&mail.deferral);
        let mut queue = self.inner.queue.borrow_mut();
        // A hop that could not be reached is no attempt of the mail, so attempts do not tell: a hop that answers does
        // not leave a mail waiting. A thousand silent ones, trusted again at each start, would have all slots.
        if mail.deferral.attempts > 0 || now.unix.since(mail.queued_at) >= DOUBTED_AFTER {
            queue.doubt(slot);
        }
        if mail.deferral.attempts > 0 {
            let (attempts, answer) = (mail.deferral.attempts, &*mail.deferral.last_answer);
            queue.put_off(slot, until, attempts, answer);
        } else {
            queue.make_ready(slot);
        }
        drop(queue);
        self.inner.wake.notify();
    }

    pub(super) fn enqueue_away(&self, mail: &QueuedMail) -> u32 {
        // It came a moment ago, whatever the wall clock says: one that was set forward by days meanwhile, as at the
        // start of a box without a battery, would end its lifetime before it was tried once.
        self.insert(mail.copy_id(), &QueuedSummary::of(mail), Duration::ZERO)
    }

    /// When the next attempt is due. A clock that jumped must not keep a mail for longer than its schedule would.
    fn next_attempt(&self, deferral: &Deferral) -> MonoMillis {
        let now = self.world().now();
        let longest = self.settings().retry.iter().max().copied().unwrap_or(READ_AGAIN) * 2;
        now.mono.plus(deferral.next_attempt_at.since(now.unix).min(longest))
    }

    /// Under way, until somebody says where it goes.
    fn insert(&self, id: CopyId, mail: &QueuedSummary, age: Duration) -> u32 {
        let now = self.world().now();
        let expires = now.mono.plus(self.settings().lifetime.saturating_sub(age));
        let warning = self.settings().delay_warning;
        let asked = mail.waiting().any(|one| one.recipient.notify.delay);
        // After a restart a warning that was due already is taken for sent.
        let warn_at = (asked && !warning.is_zero() && age < warning)
            .then(|| now.mono.plus(warning.saturating_sub(age)));
        self.inner.queue.borrow_mut().insert(&Waiting {
            id,
            domain: &mail.route_domain,
            bytes: mail.bytes,
            attempts: mail.deferral.attempts,
            last_answer: &mail.deferral.last_answer,
            queued_at: u32::try_from(mail.queued_at.as_secs()).unwrap_or(u32::MAX),
            expires,
            warn_at,
        })
    }

    pub(super) fn enqueue_ready(&self, mail: &QueuedMail) {
        let slot = self.enqueue_away(mail);
        self.inner.queue.borrow_mut().make_ready(slot);
        self.inner.wake.notify();
    }

    pub(super) fn enqueue_blocked(&self, mail: &QueuedMail, why: Unusable) {
        let slot = self.enqueue_away(mail);
        self.wait_for_hops(slot, why, &mail.deferral.last_answer);
        self.inner.wake.notify();
    }

    pub(super) fn enqueue_later(&self, mail: &QueuedMail) {
        let slot = self.enqueue_away(mail);
        let until = self.next_attempt(&mail.deferral);
        let (attempts, answer) = (mail.deferral.attempts, &*mail.deferral.last_answer);
        self.inner.queue.borrow_mut().put_off(slot, until, attempts, answer);
        self.inner.wake.notify();
    }

    /// The hops of a mail's domain could not be used: it waits for them, with the whole domain.
    fn wait_for_hops(&self, slot: u32, why: Unusable, answer: &str) {
        let mut queue = self.inner.queue.borrow_mut();
        match why {
            Unusable::Down(until) => queue.block(slot, until, answer),
            Unusable::Full(until) => queue.pause(slot, until, answer),
        }
    }

    /// What is left after attempt number `attempts` waits for its next one; nothing left: it is gone.
    pub(super) fn requeue(&self, slot: u32, mail: &QueuedMail, left: &Left, attempts: u32) {
        if left.recipients == 0 {
            self.inner.queue.borrow_mut().remove(slot);
        } else {
            let answer = left.answer.as_ref().map(|answer| answer.reply.to_string());
            let answer = answer.unwrap_or_default();
            let now = self.world().now();
            let pause = self.settings().pause(attempts, self.world().random());
            let deferral = Deferral {
                attempts,
                next_attempt_at: now.unix.plus(pause),
                last_answer: answer.as_str().into(),
                mark: if left.unknown { Mark::OutcomeUnknown } else { mail.deferral.mark },
            };
            self.note_deferral(mail.copy_id(), &deferral);
            let until = now.mono.plus(pause);
            self.inner.queue.borrow_mut().put_off(slot, until, attempts, &answer);
        }
        self.inner.wake.notify();
    }

    fn note_deferral(&self, id: CopyId, deferral: &Deferral) {
        let now = self.world().now().unix;
        if let Err(error) = self.inner.store.defer(id, deferral, now) {
            tracing::error!(%id, %error, "a retry was not stored");
        }
    }

    /// Starts as many deliveries as there may be; each line has room of its own.
    fn start_deliveries(&self, now: MonoMillis) {
        for (line, under_way) in Line::ALL.into_iter().zip(&self.inner.under_way) {
            while under_way.get() < self.room(line) {
                let taken = self.inner.queue.borrow_mut().take(line, now);
                let Some(taken) = taken else { break };
                if self.is_full(taken) {
                    continue;
                }
                under_way.set(under_way.get() + 1);
                let this = self.clone();
                self.world().spawn(async move {
                    this.deliver_in_line(taken, line).await;
                    this.inner.wake.notify();
                });
            }
        }
    }

    /// Deliveries under way at a time: half for hops that answer, half for those that do not, and a quarter
    /// for those nobody has asked yet.
    fn room(&self, line: Line) -> usize {
        let all = self.settings().deliveries_max;
        match line {
            Line::Proven | Line::Doubtful => (all / 2).max(1),
            Line::Fresh => (all / 4).max(1),
        }
    }

    /// A delivery that takes long makes room for another one, as long as not too many do: a few domains whose hops
    /// fall silent in the middle of a mail would have all the room of their line for ten minutes.
    async fn deliver_in_line(&self, taken: Taken, line: Line) {
        let mut count = self.inner.under_way.get(line as usize).unwrap_or(&self.inner.slow);
        let delivery = std::pin::pin!(self.deliver(taken, line));
        let mut delivery = std::pin::pin!(stages::measured(Stage::Queue, delivery));
        let soon = self.world().now().mono.plus(SLOW_AFTER);
        if within(self.world(), soon, delivery.as_mut()).await.is_none() {
            let slow = &self.inner.slow;
            if line != Line::Doubtful && slow.get() < self.room(Line::Proven) {
                count.set(count.get() - 1);
                slow.set(slow.get() + 1);
                count = slow;
                self.inner.wake.notify();
            }
            delivery.await;
        }
        count.set(count.get() - 1);
    }

    /// A mail whose hops are all in use is put back before it is read: with many domains behind one hop most of them
    /// are in that case most of the time.
    fn is_full(&self, taken: Taken) -> bool {
        let mut queue = self.inner.queue.borrow_mut();
        let domain = queue.domain_of(taken.slot).unwrap_or_default();
        let Some(until) = self.inner.outlet.full_until(domain) else { return false };
        queue.pause(taken.slot, until, FULL);
        true
    }

    async fn deliver(&self, taken: Taken, line: Line) {
        let Some((mail, content)) = self.read(taken).await else { return };
        let waiting: Vec<QueuedRecipient> = mail.waiting().cloned().collect();
        let recipients: Vec<Recipient> = waiting.iter().map(|one| one.recipient.clone()).collect();
        let settings = self.settings();
        let command = settings.response_timeout.max(Duration::from_secs(300));
        let patience = Patience {
            connect: settings.connect_timeout,
            // Five minutes (RFC 5321 section 4.5.3.2.1) has who did not greet at the first try, in the line
            // where nobody else waits for him.
            greeting: if line == Line::Doubtful { command } else { settings.connect_timeout },
            command,
            until_content: self.world().now().mono.plus(Duration::from_secs(3_600)),
            after_content: settings.final_dot_timeout,
            content_pace: QUEUE_PACE,
        };
        let letter = Letter {
            envelope: &mail.envelope,
            recipients: &recipients,
            needs: record::needs(&mail),
            content: &content,
            asker: Asker::Queue,
        };
        let outlet = &self.inner.outlet;
        let way = outlet.way(&mail.route_domain, mail.client.is_none()).await;
        // A stranger's host may answer for an hour, octet by octet. A crowd of them must leave
        // room for the mail of our customers.
        let stranger = matches!(way, Way::Hops(_, Origin::Stranger));
        let strangers = &self.inner.to_strangers;
        if stranger && strangers.get() >= (settings.deliveries_max / 4).max(1) {
            let until = self.world().now().mono.plus(STRANGERS_PAUSE);
            let text = "many reports to other domains are under way";
            self.inner.queue.borrow_mut().block(taken.slot, until, text);
            return;
        }
        strangers.set(strangers.get() + usize::from(stranger));
        let nobody_asked = matches!(way, Way::Later(_));
        let attempt = outlet.attempt(letter, way, patience).await;
        strangers.set(strangers.get() - usize::from(stranger));
        if let Some(why) = attempt.unusable
            && !attempt.tried.iter().any(|tried| matches!(tried.fate, Fate::Never(_)))
        {
            let answer = attempt.tried.first().map(|tried| tried.answer.reply.to_string());
            self.wait_for_hops(taken.slot, why, &answer.unwrap_or_default());
            return;
        }
        match nobody_asked {
            // The look-up failed, which may have taken its time.
            true => self.inner.queue.borrow_mut().doubt(taken.slot),
            false => self.inner.queue.borrow_mut().answered(taken.slot),
        }
        let tried = waiting.into_iter().zip(attempt.tried).collect();
        let left = self.conclude(&mail, &content, tried).await;
        self.requeue(taken.slot, &mail, &left, taken.attempts + 1);
    }

    /// Reads a mail; one that the disk does not give is tried again, one that is gone is let go.
    async fn read(&self, taken: Taken) -> Option<(QueuedMail, Content)> {
        match self.inner.store.load(taken.id).await {
            Ok(found) => return Some(found),
            Err(error) if error.permanent() => {
                tracing::error!(id = %taken.id, %error, "a queued mail is not in the spool any more");
                self.inner.queue.borrow_mut().remove(taken.slot);
            }
            Err(error) => {
                tracing::error!(id = %taken.id, %error, "a queued mail cannot be read now");
                let until = self.world().now().mono.plus(READ_AGAIN);
                let text = "the spool cannot be read now";
                self.inner.queue.borrow_mut().put_off(taken.slot, until, taken.attempts, text);
            }
        }
        None
    }

    /// Looks at up to `count` mails; says at how many. What is found too much comes when there is room.
    fn sweep(&self, now: MonoMillis, count: usize) -> usize {
        let under_way = &self.inner.overdue;
        let room = OVERDUE_MAX.saturating_sub(under_way.get());
        let (overdue, looked) = self.inner.queue.borrow_mut().sweep(now, count, room);
        for one in overdue {
            under_way.set(under_way.get() + 1);
            let this = self.clone();
            self.world().spawn(async move {
                match one {
                    Overdue::Expired(taken) => this.expire(taken).await,
                    Overdue::Warning(slot, id) => this.warn(slot, id).await,
                }
                this.inner.overdue.set(this.inner.overdue.get().saturating_sub(1));
                this.inner.wake.notify();
            });
        }
        looked
    }

    /// The lifetime of a mail is over.
    async fn expire(&self, taken: Taken) {
        let Some((mail, content)) = self.read(taken).await else { return };
        let hours = self.settings().lifetime.as_secs() / 3_600;
        // The spool's record has the answer of the day it was written; the queue has the last one.
        let last = self.inner.queue.borrow().last_answer(taken.slot).to_owned();
        let text = format!("could not be delivered within {hours} hours; last answer: {last}");
        let answer = HopAnswer::ours(Reply::new(550, Enhanced(5, 4, 7), text));
        let failed: Vec<Failed> = mail.waiting().cloned().map(|r| (r, answer.clone())).collect();
        match self.end(&mail, &content, &failed).await {
            Ok(()) => self.inner.queue.borrow_mut().remove(taken.slot),
            Err(error) => {
                tracing::error!(mail = %mail.mail, %error, "an expired mail cannot be reported yet");
                let until = self.world().now().mono.plus(READ_AGAIN);
                let text = "expired, cannot be reported yet";
                self.inner.queue.borrow_mut().put_off(taken.slot, until, taken.attempts, text);
            }
        }
        self.inner.wake.notify();
    }

    /// Tells those who asked for it that their mail is late.
    async fn warn(&self, slot: u32, id: CopyId) {
        let Ok((mail, content)) = self.inner.store.load(id).await else { return };
        let last = self.inner.queue.borrow().last_answer(slot).to_owned();
        let answer = HopAnswer::ours(Reply::new(450, Enhanced(4, 4, 1), last));
        let asked = |one: &&QueuedRecipient| one.recipient.notify.delay;
        let late: Vec<Failed> =
            mail.waiting().filter(asked).cloned().map(|r| (r, answer.clone())).collect();
        if late.is_empty() || !mail.may_report {
            return;
        }
        let late: Vec<_> = late.iter().collect();
        if let Err(error) = self.send_dsn(&mail, &content, &late, DsnAction::Delayed).await {
            tracing::warn!(mail = %mail.mail, %error, "a delay warning was not stored");
        }
    }

    /// Mails that wait, for `queue list`.
    #[must_use]
    pub fn queue_rows(&self, domain: Option<&str>, rows_max: usize) -> (Vec<QueueRow>, u64) {
        self.inner.queue.borrow().rows(domain, rows_max, self.world().now())
    }

    /// Why mails wait, for `queue why`.
    #[must_use]
    pub fn queue_why(&self, domain: Option<&str>) -> Vec<QueueWhyRow> {
        self.inner.queue.borrow().why(domain, self.world().now())
    }

    /// Stops deliveries of queued mail to a domain.
    pub fn queue_hold(&self, domain: &str) {
        self.inner.queue.borrow_mut().hold(domain);
    }

    /// Lets a held domain go on. False if it was not held on this shard.
    pub fn queue_unhold(&self, domain: &str) -> bool {
        let was = self.inner.queue.borrow_mut().unhold(domain);
        self.inner.wake.notify();
        was
    }

    /// Tries everything for a domain (or for all) now, back-off or not.
    pub fn queue_flush(&self, domain: Option<&str>) {
        let names = self.inner.queue.borrow_mut().flush(domain);
        names.iter().for_each(|name| self.forgive(name));
        self.inner.wake.notify();
    }

    /// Tries one mail now. False if it does not wait on this shard.
    pub fn queue_retry(&self, mail: MailId) -> bool {
        let copies = self.inner.queue.borrow().copies_of(mail);
        for taken in &copies {
            let mut queue = self.inner.queue.borrow_mut();
            let domain = queue.domain_of(taken.slot).map(ToOwned::to_owned);
            queue.make_ready(taken.slot);
            queue.answered(taken.slot);
            drop(queue);
            if let Some(domain) = domain {
                self.forgive(&domain);
            }
        }
        self.inner.wake.notify();
        !copies.is_empty()
    }

    /// Forgets the back-off of a domain's next hops. Those of other people's domains may have to be
    /// looked up for that, so it happens beside; it is asked before the deliveries that follow ask.
    fn forgive(&self, domain: &str) {
        let (this, domain) = (self.clone(), domain.to_owned());
        self.world().spawn(async move {
            let outlet = &this.inner.outlet;
            let Way::Hops(hops, origin) = outlet.way(&domain, true).await else { return };
            let now = this.world().now().mono;
            for hop in hops {
                let name = way::destination(&hop, origin);
                outlet.destinations.forgive((&name, hop.port), now);
            }
        });
    }

    /// Removes one mail without a report to its sender. False if it does not wait on this shard (or
    /// is being delivered at this moment).
    ///
    /// # Errors
    /// The spool cannot be read; the mail stays.
    pub async fn queue_remove(&self, mail: MailId, by: &str) -> Result<bool, SpoolError> {
        let copies = self.inner.queue.borrow().copies_of(mail);
        for taken in &copies {
            self.inner.queue.borrow_mut().take_out(taken.slot);
            let (mail, _) = match self.inner.store.load(taken.id).await {
                Ok(found) => found,
                Err(error) => {
                    self.inner.queue.borrow_mut().make_ready(taken.slot);
                    return Err(error);
                }
            };
            let at = self.world().now().unix;
            let text = format!("removed from the queue by {by}");
            let answer = HopAnswer::ours(Reply::new(550, Enhanced(5, 0, 0), text));
            for recipient in mail.waiting() {
                self.settle_one(&mail, recipient.index, Outcome::Removed { by: by.into() });
                let about = (Disposition::Removed, &answer);
                let place = (&*self.settings().host_name, at);
                self.inner.store.log(record::row(&mail, recipient, about, place));
            }
            self.inner.queue.borrow_mut().remove(taken.slot);
        }
        Ok(!copies.is_empty())
    }
}
