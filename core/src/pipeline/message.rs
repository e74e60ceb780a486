//! The message stage: look, judge, decide per recipient, rewrite, hold, deliver, log.
//!
//! One message, many recipients: each has its own verdict and its own action; copies that are the
//! same are made once. The answer to the client follows the rule of 250 (`deliver::settle`); held
//! copies and the records of drops are durable before the first final dot is sent.

use std::rc::Rc;
use std::sync::Arc;

use super::answer::{accepted, rejection};
use super::content::Wanted;
use super::copies::{Outgoing, groups};
use super::rows::Outcome;
use super::times::Times;
use super::{Complete, Pipeline, Transaction, clean, hold, rows};
use crate::analysis::{self, Asked};
use crate::authn::Authentication;
use crate::clock::Now;
use crate::content::{Content, Piece};
use crate::deliver::{Disposition, Others};
use crate::envelope::{Client, Mailbox};
use crate::message::{self, View, ViewLimits, trace};
use crate::policy::{self, Action, Decision, GroupReply};
use crate::reply::{Enhanced, Reply};
use crate::scan::finding::Finding;
use crate::scan::{self, Examination, ScanTables};
use crate::session::Received;
use crate::shard::counters::Counter;
use crate::spool::disk::{Disk as _, GlommioDisk};
use crate::stages::{self, Stage};
use crate::tables::Digest;
use crate::verdict::{self, AuthEvidence, MainClass, Verdict};

/// Octets of a large message that are read to find its header section.
const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Octets of a header field in a record: each recipient has records of its own, so a long field would
/// be written as often as the mail has recipients.
const EXCERPT_BYTES_MAX: usize = 1000;

/// Everything that is known of one message while it is decided about.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) transaction: Transaction,
    pub(super) client: Client,
    pub(super) received: Received,
    pub(super) head: Head,
    pub(super) examination: Examination,
    /// Who sent it, as far as that was checked.
    pub(super) authentication: Authentication,
    /// What of it does not speak for the sender.
    pub(super) auth_evidence: Vec<AuthEvidence>,
    /// The client sent something good within the last day.
    pub(super) known_client: bool,
    pub(super) at: Now,
    /// What the stages took.
    pub(super) times: Times,
    /// Recipients of the mail. More than those of `transaction` where a held copy is looked at again.
    pub(super) named: u32,
}

/// What the header section says.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// The first octets of the message, all of them if it is in memory.
    pub(super) front: Arc<[u8]>,
    /// How many of them are the header section, with the empty line.
    pub(super) header_bytes: usize,
    /// The header section is longer than what is read of it.
    pub(super) cut: bool,
    /// Decoded fields: name and value.
    pub(super) fields: Vec<(String, String)>,
    pub(super) authors: Vec<Mailbox>,
    /// Domains that the mail may be from.
    pub(super) author_domains: Vec<Box<str>>,
    pub(super) reply_to: Vec<Mailbox>,
    pub(super) hops: usize,
}

impl Head {
    /// Of the front of a message of `bytes` octets.
    fn read(front: Arc<[u8]>, bytes: u64) -> Self {
        let header_bytes = header_bytes(&front);
        let section = front.get(..header_bytes).unwrap_or_default();
        let cut = !section.ends_with(b"\r\n\r\n") && (front.len() as u64) < bytes;
        let view = View::build(section, &ViewLimits::shard());
        Self { cut, ..Self::of(&view, header_bytes, Arc::clone(&front)) }
    }

    /// What the view of a message, or of its header section alone, says.
    fn of(view: &View<'_>, header_bytes: usize, front: Arc<[u8]>) -> Self {
        let fields = view
            .fields
            .iter()
            .map(|field| (field.name.to_string(), field.value.to_string()))
            .collect();
        let hops = trace::hop_count(view);
        let (authors, reply_to) =
            (message::mailboxes(view, "from"), message::mailboxes(view, "reply-to"));
        let author_domains = message::author_domains(view);
        Self { fields, authors, author_domains, reply_to, hops, header_bytes, cut: false, front }
    }

    /// The header section with its empty line.
    pub(super) fn section(&self) -> &[u8] {
        self.front.get(..self.header_bytes).unwrap_or_default()
    }

    /// The beginning of the first field called `name`, decoded, for records; empty if there is none.
    pub(super) fn excerpt(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map_or("", |(_, value)| hold::clip(value.trim(), EXCERPT_BYTES_MAX))
    }
}

/// What is decided for one recipient.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Shared by the recipients that it is the same for.
    pub(super) verdict: Rc<Verdict>,
    /// What the verdict was given on, that of this recipient's domain among it: where the log has its details from.
    pub(super) found: Rc<Vec<Finding>>,
    pub(super) decision: Decision,
}

impl Judged {
    /// Class and sub class of it (section 4.2).
    pub(super) fn class(&self) -> (MainClass, &str) {
        let (class, sub) = self.decision.class(&self.verdict);
        (class, sub.unwrap_or_default())
    }
}

impl Pipeline {
    /// Question 4: the complete message. The answer is the reply to end of data.
    pub async fn message(
        &self,
        transaction: Transaction,
        client: Client,
        received: Received,
        complete: Complete,
    ) -> Reply {
        // All that is not a stage of its own; the session goes on after it.
        let _decide = stages::enter(Stage::Decide);
        let content = complete.content();
        let mut times = Times::start();
        let octets = cheap(content);
        let reading = stages::enter(Stage::View);
        let view = octets.map(|octets| View::build(octets, &ViewLimits::shard()));
        let head = match view.as_ref().zip(octets) {
            Some((view, octets)) => Ok(Head::of(view, header_bytes(octets), Arc::clone(octets))),
            None => self.head(content).await,
        };
        drop(reading);
        let head = match head {
            Ok(head) => head,
            Err(reply) => return self.come_again(&transaction, reply),
        };
        let hops_max = self.rooms.shared.config.load().smtp.received_hops_max as usize;
        if head.hops > hops_max {
            let text = "Too many hops, this message is looping";
            let reply = Reply::new(554, Enhanced(5, 4, 6), text);
            for one in &transaction.recipients {
                let asked = &one.recipient.resolved;
                self.log_refused_recipient(&transaction, asked, &reply, Now::read().unix);
            }
            return reply;
        }
        times.lap("read");
        let checks = self.begin_checks(&transaction, &head, content);
        let examination = match self.look(&transaction, content, view.as_ref()).await {
            Ok(examination) => examination,
            Err(reply) => return self.come_again(&transaction, reply),
        };
        times.lap("content");
        let authentication = match self.checks(checks).await {
            Ok(authentication) => authentication,
            Err(reply) => return self.come_again(&transaction, reply),
        };
        transaction.listed.wait().await;
        times.lap("sender");
        let auth_evidence = verdict::auth_evidence(&authentication);
        let at = Now::read();
        times.before("connect", at.mono.since(transaction.begun.mono));
        let address = client.address.ip().to_canonical();
        let known_client = self.rooms.shared.senders.knows(address, at.mono);
        let named = u32::try_from(transaction.recipients.len()).unwrap_or(u32::MAX);
        let mut message = Message {
            transaction,
            client,
            received,
            head,
            examination,
            authentication,
            auth_evidence,
            known_client,
            at,
            times,
            named,
        };
        let mut judged = message.judge_all();
        message.times.lap("verdict");
        self.count_classes(&judged);
        let mut decisions: Vec<Decision> =
            judged.iter().map(|judged| judged.decision.clone()).collect();
        let group = policy::group_reply(&mut decisions);
        for (judged, decision) in judged.iter_mut().zip(decisions) {
            judged.decision = decision;
        }
        self.carry_out(message, &judged, group, content).await
    }

    /// A mail that cannot be judged now: each recipient has a row (SM-64).
    fn come_again(&self, transaction: &Transaction, reply: Reply) -> Reply {
        for one in &transaction.recipients {
            let asked = &one.recipient.original;
            self.log_come_again(transaction, asked, &reply, Now::read().unix);
        }
        reply
    }

    pub(super) async fn head(&self, content: &Content) -> Result<Head, Reply> {
        let octets = match content.pieces.first() {
            Some(Piece::Memory(octets)) => Arc::clone(octets),
            Some(Piece::File { file, offset, bytes }) => {
                let wanted = usize::try_from(*bytes).unwrap_or(usize::MAX).min(HEADER_BYTES_MAX);
                let opened = GlommioDisk.open(&file.path).await;
                let read = match opened {
                    Ok(opened) => GlommioDisk.read_at(&opened, *offset, wanted).await,
                    Err(error) => Err(error),
                };
                let octets = read.map_err(|error| {
                    tracing::error!(%error, path = ?file.path, "a large message cannot be read");
                    Reply::new(451, Enhanced(4, 3, 0), "Internal problem, try again later")
                })?;
                octets.into()
            }
            None => Arc::default(),
        };
        Ok(Head::read(octets, content.bytes()))
    }

    /// Looks at the message: on the shard where that is cheap, in an analysis worker otherwise.
    pub(super) async fn examine(
        &self,
        transaction: &Transaction,
        content: &Content,
        view: Option<&View<'_>>,
    ) -> Result<Examination, Reply> {
        let path = rows::path_text(&transaction.reverse_path);
        let cleaning = clean::cleaning(transaction);
        let wanted = Wanted::of(transaction);
        // Rules of YARA take what their author likes: never on a shard.
        let by_worker = transaction.snapshot.generation().yara().is_some();
        if let Some(view) = view.filter(|view| !by_worker && !analysis::needs_worker(view)) {
            let seen = self.examine_here(transaction, view, (path.as_bytes(), &wanted)).await?;
            // To find what can be taken out is a matter for a worker.
            if cleaning.wanted(&seen).is_empty() {
                return Ok(seen);
            }
        }
        self.rooms.count(Counter::ScansOnWorker);
        let _stage = stages::enter(Stage::HandOver);
        let envelope_from = Some(path.into_bytes());
        let shared = &self.rooms.shared;
        let number = transaction.snapshot.number().to_string();
        let tables = shared.data.join("generations").join(number);
        let content = content.clone();
        let asked = Asked { cleaning, content: wanted.expressions(), reading: wanted.reading };
        let examined = shared.analysis.examine_by(content, envelope_from, tables, asked).await;
        let examined = examined.map(|mut seen| {
            seen.content_cut |= wanted.cut;
            seen
        });
        examined.map_err(|error| {
            tracing::warn!(%error, "a message could not be examined now");
            self.rooms.count(Counter::ScansFailed);
            Reply::new(451, Enhanced(4, 3, 2), "Message cannot be scanned now, try again later")
        })
    }

    async fn examine_here(
        &self,
        transaction: &Transaction,
        view: &View<'_>,
        (reverse_path, wanted): (&[u8], &Wanted),
    ) -> Result<Examination, Reply> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the scanner failed");
            self.rooms.count(Counter::ScansFailed);
            Reply::new(451, Enhanced(4, 3, 2), "Message cannot be scanned now, try again later")
        };
        let snapshot = &transaction.snapshot;
        let hash = |digest: &Digest, bytes: u64| snapshot.hash(digest, bytes).map(Into::into);
        let url_host = |host: &str| snapshot.url_host(host);
        let patterns = snapshot.generation().patterns();
        let pause = async || glommio::executor().yield_task_queue_now().await;
        let content = self.content_sets(wanted, &pause).await;
        let tables = ScanTables {
            patterns: patterns.map(|patterns| &**patterns),
            hash: snapshot.generation().has_hashes().then_some(&hash),
            url_host: snapshot.generation().has_hosts().then_some(&url_host),
            reading: wanted.reading,
            content: &content,
            yara: None,
        };
        let _stage = stages::enter(Stage::ScanRest);
        let mut scratch = self.rooms.take_scratch(patterns).map_err(|error| failed(&error))?;
        let examined = scan::examine(view, &tables, &mut scratch, Some(reverse_path), &pause).await;
        self.rooms.give_scratch(patterns, scratch);
        let mut examined = examined.map_err(|error| failed(&error))?;
        examined.content_cut |= wanted.cut;
        Ok(examined)
    }

    fn count_classes(&self, judged: &[Judged]) {
        for judged in judged {
            match judged.class().0 {
                MainClass::Virus => self.rooms.count(Counter::Virus),
                MainClass::Spam | MainClass::Phish => {
                    self.rooms.count(Counter::Spam);
                }
                _ => {}
            }
        }
    }

    /// Holds, drops, delivers, answers, logs: in this order, so that what must be durable before
    /// the first final dot is.
    async fn carry_out(
        &self,
        mut message: Message,
        judged: &[Judged],
        group: GroupReply,
        content: &Content,
    ) -> Reply {
        let mut outcomes: Vec<Outcome> = vec![Outcome::Open; judged.len()];
        let held = match self.hold_all(&message, judged, content, &mut outcomes).await {
            Ok(held) => held,
            Err(reply) => {
                self.log(
                    &message,
                    judged,
                    &rows::all(judged.len(), &Outcome::Refused(reply.clone())),
                );
                return reply;
            }
        };
        let mut dropped = false;
        for (judged, outcome) in judged.iter().zip(&mut outcomes) {
            match judged.decision.action {
                Action::Drop => {
                    self.rooms.count(Counter::RecipientsDropped);
                    *outcome = Outcome::Dropped;
                    dropped = true;
                }
                Action::Reject => {
                    self.rooms.count(Counter::RecipientsRejected);
                    *outcome = Outcome::Refused(rejection(&message, judged));
                }
                _ => {}
            }
        }
        if dropped && let Err(reply) = self.log_drops(&message, judged, &outcomes).await {
            return reply;
        }
        let outgoing = self.outgoing(&message, judged, content).await;
        let mut others_got = Vec::new();
        let reply = if outgoing.copies.is_empty() {
            match group {
                GroupReply::Accept => accepted(&message),
                GroupReply::Reject => {
                    let refused = |first| rejection(&message, first);
                    judged.first().map_or_else(|| accepted(&message), refused)
                }
            }
        } else {
            let others = if held || dropped { Others::Durable } else { Others::None };
            let Outgoing { accepted, copies, .. } = &outgoing;
            let settled = self.rooms.deliverer.settle(accepted, copies, others).await;
            for outcome in settled.outcomes {
                self.count_disposition(outcome.disposition);
                match outcomes.get_mut(usize::from(outcome.recipient)) {
                    Some(slot) => *slot = Outcome::Settled(outcome),
                    None => others_got.push(outcome),
                }
            }
            settled.reply
        };
        message.times.lap("delivery");
        let message = &message;
        self.remember_sender(message, judged, &reply);
        self.send_notices(message, judged, &reply).await;
        self.log(message, judged, &outcomes);
        self.log_others(message, judged, (&outgoing, others_got));
        reply
    }

    fn count_disposition(&self, disposition: Disposition) {
        match disposition {
            Disposition::Delivered => self.rooms.count(Counter::RecipientsDelivered),
            Disposition::Queued | Disposition::QueuedUnknown => {
                self.rooms.count(Counter::RecipientsSpooled);
            }
            Disposition::Held => self.rooms.count(Counter::RecipientsHeld),
            Disposition::Refused
            | Disposition::Reported
            | Disposition::Logged
            | Disposition::NotKept
            | Disposition::Removed => {}
        }
    }

    /// Makes every held copy durable. True if there was one.
    async fn hold_all(
        &self,
        message: &Message,
        judged: &[Judged],
        content: &Content,
        outcomes: &mut [Outcome],
    ) -> Result<bool, Reply> {
        let mut any = false;
        for group in groups(message, judged, |judged| judged.decision.action.holds()) {
            let rewritten = self.rewritten(message, judged, &group, content);
            let copy = self.sealed(message, rewritten).await;
            let _stage = stages::enter(Stage::Quarantine);
            let held = hold::held_mail(message, judged, &group, copy.bytes());
            let kept = self.rooms.quarantine.hold(&held, &copy, message.at.unix).await;
            let items = kept.map_err(|error| {
                tracing::error!(%error, "a mail could not be held");
                Reply::new(452, Enhanced(4, 3, 1), "Insufficient system storage, try again later")
            })?;
            any = true;
            self.rooms.count_many(Counter::RecipientsHeld, group.len() as u64);
            for (recipient, item) in group.iter().zip(items) {
                if let Some(outcome) = outcomes.get_mut(usize::from(*recipient)) {
                    *outcome = Outcome::Held(item);
                }
            }
        }
        Ok(any)
    }
}

/// The octets of a message that a shard may parse itself: in memory, and of linear cost.
pub(super) fn cheap(content: &Content) -> Option<&Arc<[u8]>> {
    content.as_memory().filter(|octets| !analysis::too_costly(octets))
}

/// Octets of the header section with its empty line; all of them if there is none.
fn header_bytes(octets: &[u8]) -> usize {
    memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 4)
}
