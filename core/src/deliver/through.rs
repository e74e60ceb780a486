//! The answer to a client: the rule of 250 and the outcome table of the architecture, section 2.

use std::time::Duration;

use super::attempt::{Attempt, Letter, Tried, Unusable, Waiting};
use super::client::Fate;
use super::conclude::wants_relayed;
use super::connection::Patience;
use super::copy::{Accepted, Copy, Disposition, Others, RecipientOutcome, Settled};
use super::destinations::Asker;
use super::report::Failed;
use super::store::Store;
use super::transport::World;
use super::{Deliverer, Mode, record, wake};
use crate::envelope::Recipient;
use crate::reply::{Enhanced, Reply};
use crate::spool::{Deferral, Mark, Outcome, QueuedMail, SpoolError};
use crate::stages::{self, Stage};

/// Octets per second that a hop must take of a large mail while the client waits: 2 GiB in 256 s,
/// so that with everything else the client has its answer within its own ten minutes.
const THROUGH_PACE: u64 = 8 * 1024 * 1024;

/// One recipient of one copy on its way to an outcome.
struct Line {
    recipient: u16,
    tried: Tried,
    disposition: Disposition,
}

/// One copy with all that came of it.
struct Way<'c, W: World> {
    copy: &'c Copy,
    lines: Vec<Line>,
    waiting: Option<Waiting<W>>,
    unusable: Option<Unusable>,
    /// Spooled parts, to be queued once the answer is 250.
    spooled: Vec<(QueuedMail, Mark)>,
}

impl<W: World, S: Store> Deliverer<W, S> {
    /// Delivers or keeps every copy of a message and says what the client is to be told.
    ///
    /// Copies whose action is to hold or drop are the caller's, **before** this call; `others` says whether
    /// there were any. Rows of the mail log are the caller's too, except for
    /// [`Disposition::Logged`], whose row is durable already.
    pub async fn settle(&self, message: &Accepted, copies: &[Copy], others: Others) -> Settled {
        let mut ways = match self.settings().mode {
            Mode::Spool => copies.iter().map(Way::untried).collect(),
            Mode::Through => self.try_all(message, copies).await,
        };
        let refused = |line: &Line| matches!(line.tried.fate, Fate::Never(_));
        let first = ways.iter().flat_map(|way| &way.lines).next();
        if let Some(first) = first
            && others == Others::None
            && ways.iter().flat_map(|way| &way.lines).all(refused)
        {
            // Nobody took anything: the client learns it from us, no report is needed.
            let reply = first.tried.answer.reply.clone();
            return self.settled(ways, reply, Disposition::Refused);
        }
        match self.keep(message, &mut ways).await {
            Ok(()) => {
                for way in &mut ways {
                    self.queue_spooled(way);
                }
                let text = format!("accepted as {}", message.mail);
                self.settled(ways, Reply::new(250, Enhanced(2, 0, 0), text), Disposition::Queued)
            }
            Err(error) => {
                tracing::error!(mail = %message.mail, %error, "a mail could not be kept");
                self.take_back(&mut ways);
                self.settled(ways, not_kept(&error), Disposition::NotKept)
            }
        }
    }

    async fn try_all<'c>(&self, message: &Accepted, copies: &'c [Copy]) -> Vec<Way<'c, W>> {
        let _stage = stages::enter(Stage::NextHop);
        let settings = self.settings();
        let patience = Patience {
            connect: settings.connect_timeout,
            greeting: settings.response_timeout,
            command: settings.response_timeout,
            until_content: self.world().now().mono.plus(settings.through_timeout),
            after_content: settings.final_dot_wait,
            content_pace: THROUGH_PACE,
        };
        wake::all(copies.iter().map(|copy| async move {
            let recipients: Vec<Recipient> = copy
                .recipients
                .iter()
                .filter_map(|index| message.envelope.recipients.get(usize::from(*index)).cloned())
                .collect();
            let letter = Letter {
                envelope: &message.envelope,
                recipients: &recipients,
                needs: copy.needs,
                content: &copy.content,
                asker: Asker::Client,
            };
            let way = self.inner.outlet.way(&copy.domain, false).await;
            let attempt = self.inner.outlet.attempt(letter, way, patience).await;
            Way::tried(copy, attempt)
        }))
        .await
    }

    /// Makes durable what no hop has taken. First the copies that wait, then what follows from refusals:
    /// if the client has to keep the mail, nobody shall have got a report about it.
    async fn keep(&self, message: &Accepted, ways: &mut [Way<'_, W>]) -> Result<(), SpoolError> {
        let _stage = stages::enter(Stage::Spool);
        for way in ways.iter_mut() {
            self.spool(message, way).await?;
        }
        for way in ways.iter_mut() {
            self.report_refused(message, way).await?;
            self.report_relayed(message, way).await;
        }
        Ok(())
    }

    async fn spool(&self, message: &Accepted, way: &mut Way<'_, W>) -> Result<(), SpoolError> {
        for (mark, disposition) in
            [(Mark::None, Disposition::Queued), (Mark::OutcomeUnknown, Disposition::QueuedUnknown)]
        {
            let lines = way.lines.iter().filter(|line| line.disposition == disposition);
            let recipients: Vec<_> = lines.clone().map(|line| line.recipient).collect();
            let answer = lines.clone().next_back().map(|line| line.tried.answer.reply.to_string());
            let deferral = self.first_deferral(&answer.unwrap_or_default(), mark);
            if let Some(mail) = record::queued(message, way.copy, &recipients, deferral) {
                let now = self.world().now().unix;
                let _held_up = self.inner.outlet.vacancies.hold_up();
                self.inner.store.put(&mail, &way.copy.content, now).await?;
                way.spooled.push((mail, mark));
            }
        }
        Ok(())
    }

    fn first_deferral(&self, answer: &str, mark: Mark) -> Deferral {
        let now = self.world().now().unix;
        if self.settings().mode == Mode::Spool {
            return record::fresh(now);
        }
        let pause = self.settings().pause(1, self.world().random());
        Deferral { attempts: 1, next_attempt_at: now.plus(pause), last_answer: answer.into(), mark }
    }

    async fn report_refused(
        &self,
        message: &Accepted,
        way: &mut Way<'_, W>,
    ) -> Result<(), SpoolError> {
        let refused = |line: &&Line| line.disposition == Disposition::Refused;
        let recipients: Vec<_> =
            way.lines.iter().filter(refused).map(|line| line.recipient).collect();
        let deferral = record::fresh(self.world().now().unix);
        let Some(mail) = record::queued(message, way.copy, &recipients, deferral) else {
            return Ok(());
        };
        let answers = way.lines.iter().filter(refused).map(|line| line.tried.answer.clone());
        let failed: Vec<Failed> = mail.recipients.iter().cloned().zip(answers).collect();
        let done = self.report_or_hold(&mail, &way.copy.content, &failed).await?;
        let lines = way.lines.iter_mut().filter(|line| line.disposition == Disposition::Refused);
        for (line, disposition) in lines.zip(done) {
            line.disposition = disposition;
        }
        Ok(())
    }

    async fn report_relayed(&self, message: &Accepted, way: &Way<'_, W>) {
        let deferral = record::fresh(self.world().now().unix);
        let taken = way.lines.iter().filter(|line| line.disposition == Disposition::Delivered);
        let indices: Vec<_> = taken.clone().map(|line| line.recipient).collect();
        let wanted =
            indices.iter().filter_map(|i| message.envelope.recipients.get(usize::from(*i)));
        if !wanted.clone().any(|recipient| recipient.notify.success) {
            return;
        }
        let Some(mail) = record::queued(message, way.copy, &indices, deferral) else { return };
        let pairs = mail.recipients.iter().cloned().zip(taken);
        let relayed: Vec<Failed> = pairs
            .filter(|(recipient, line)| wants_relayed(&mail, recipient, line.tried.hop_reports))
            .map(|(recipient, line)| (recipient, line.tried.answer.clone()))
            .collect();
        self.send_relayed(&mail, &way.copy.content, &relayed).await;
    }

    /// The spooled parts are ours now: into the queue with them.
    fn queue_spooled(&self, way: &mut Way<'_, W>) {
        for (mail, mark) in std::mem::take(&mut way.spooled) {
            let waiting = way.waiting.take_if(|_| mark == Mark::OutcomeUnknown);
            match (waiting, way.unusable) {
                (Some(waiting), _) => self.await_late(mail, way.copy, waiting),
                (None, _) if self.settings().mode == Mode::Spool => self.enqueue_ready(&mail),
                (None, Some(why)) if mark == Mark::None => self.enqueue_blocked(&mail, why),
                (None, _) => self.enqueue_later(&mail),
            }
        }
    }

    /// Goes on waiting for the hop's answer beside everything else: it settles the spooled copy.
    fn await_late(&self, mail: QueuedMail, copy: &Copy, waiting: Waiting<W>) {
        let slot = self.enqueue_away(&mail);
        let (this, copy) = (self.clone(), copy.clone());
        let settings = self.settings();
        let rest = settings.final_dot_timeout.saturating_sub(settings.final_dot_wait);
        let patience = Patience {
            connect: Duration::ZERO,
            greeting: settings.response_timeout,
            command: settings.response_timeout,
            until_content: self.world().now().mono,
            after_content: rest,
            content_pace: THROUGH_PACE,
        };
        self.world().spawn(async move {
            let asked: Vec<_> = waiting
                .recipients
                .iter()
                .filter_map(|at| copy.recipients.get(*at).copied())
                .collect();
            let late = this.inner.outlet.late_answer(waiting, patience).await;
            let tried = asked.into_iter().zip(late).filter_map(|(index, tried)| {
                // Recipients that were refused at RCPT have their end already.
                let found = mail.recipients.iter().find(|r| r.index == index)?;
                Some((found.clone(), tried))
            });
            let left = this.conclude(&mail, &copy.content, tried.collect()).await;
            this.requeue(slot, &mail, &left, 1);
        });
    }

    /// The client keeps the mail: what was spooled a moment ago is taken out again, so that it does not
    /// arrive twice.
    fn take_back(&self, ways: &mut [Way<'_, W>]) {
        for way in ways {
            for (mail, _) in way.spooled.drain(..) {
                for recipient in &mail.recipients {
                    let by = "client was answered 4xx".into();
                    self.settle_one(&mail, recipient.index, Outcome::Removed { by });
                }
            }
        }
    }

    fn settled(&self, ways: Vec<Way<'_, W>>, reply: Reply, ending: Disposition) -> Settled {
        let at = self.world().now().unix;
        let outcome = |line: Line| RecipientOutcome {
            recipient: line.recipient,
            // Taken is taken; everything else is as good as not here when the client gets 4xx.
            disposition: match (ending, line.disposition) {
                (Disposition::NotKept, Disposition::Delivered) => Disposition::Delivered,
                (Disposition::NotKept, _) => Disposition::NotKept,
                (_, disposition) => disposition,
            },
            answer: line.tried.answer,
            at,
        };
        let outcomes = ways.into_iter().flat_map(|way| way.lines).map(outcome).collect();
        Settled { reply, outcomes }
    }
}

impl<'c, W: World> Way<'c, W> {
    fn tried(copy: &'c Copy, attempt: Attempt<W>) -> Self {
        let line = |(recipient, tried): (&u16, Tried)| Line {
            recipient: *recipient,
            disposition: match tried.fate {
                Fate::Taken(_) => Disposition::Delivered,
                Fate::Never(_) => Disposition::Refused,
                Fate::Unknown(_) => Disposition::QueuedUnknown,
                Fate::Later(_) | Fate::Open | Fate::Named | Fate::NotTried => Disposition::Queued,
            },
            tried,
        };
        Self {
            copy,
            lines: copy.recipients.iter().zip(attempt.tried).map(line).collect(),
            waiting: attempt.waiting,
            unusable: attempt.unusable,
            spooled: Vec::new(),
        }
    }

    /// Spool mode: durable first, tried afterwards.
    fn untried(copy: &'c Copy) -> Self {
        let reply = Reply::new(450, Enhanced(4, 0, 0), "queued");
        let tried = Tried {
            fate: Fate::Later(reply.clone()),
            answer: super::HopAnswer::ours(reply),
            hop_reports: false,
        };
        let count = copy.recipients.len();
        let attempt = Attempt { tried: vec![tried; count], waiting: None, unusable: None };
        Self::tried(copy, attempt)
    }
}

/// What the client is told when we can neither deliver nor keep its mail.
fn not_kept(error: &SpoolError) -> Reply {
    if error.is_full() {
        Reply::new(452, Enhanced(4, 3, 1), "no room for the message now, try again later")
    } else {
        Reply::new(451, Enhanced(4, 3, 0), "message not accepted now, try again later")
    }
}
