//! Rows of the mail log: one delivery row for each recipient, one event row for each rule that
//! matched. Written with the answer, not before it, except what a drop needs (rule of 250).

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::rc::Rc;

use super::copies::Outgoing;
use super::message::{Judged, Message};
use super::{Pipeline, Transaction};
use super::{clean, hold};
use crate::clock::UnixMillis;
use crate::deliver::{Disposition, RecipientOutcome};
use crate::envelope::{Mailbox, ReversePath};
use crate::maillog::{DeliveryRow, EventRow, Row};
use crate::policy::{self, Action, Decision};
use crate::quarantine::{Direction, ItemId, MatchedRule};
use crate::reply::{Enhanced, Reply};
use crate::stages::{self, Stage};
use crate::tables::Bypass;
use crate::verdict::{MainClass, Reason, Verdict};

/// What became of one recipient, as far as the pipeline knows.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Not yet.
    Open,
    /// Held.
    Held(ItemId),
    /// Dropped.
    Dropped,
    /// Refused by policy.
    Refused(Reply),
    /// Delivery had its say.
    Settled(RecipientOutcome),
}

impl Outcome {
    /// Whether its row was made durable already, because the answer depended on it.
    fn is_logged(&self) -> bool {
        match self {
            Self::Dropped => true,
            Self::Settled(settled) => settled.disposition == Disposition::Logged,
            Self::Open | Self::Held(_) | Self::Refused(_) => false,
        }
    }
}

/// What the verdict of the last row rests on: the next recipient's is mostly the same one.
#[derive(Default)]
pub(super) struct Evidence(Option<(Rc<Verdict>, Vec<MatchedRule>)>);

impl Evidence {
    fn rules(&mut self, judged: &Judged) -> Vec<MatchedRule> {
        match &self.0 {
            Some((last, rules)) if Rc::ptr_eq(last, &judged.verdict) => rules.clone(),
            _ => {
                let rules = hold::rules(judged);
                self.0 = Some((Rc::clone(&judged.verdict), rules.clone()));
                rules
            }
        }
    }
}

/// The same outcome for every recipient.
pub(super) fn all(count: usize, outcome: &Outcome) -> Vec<Outcome> {
    vec![outcome.clone(); count]
}

/// Text of a reverse-path in the log; empty for `<>`.
pub(super) fn path_text(path: &ReversePath) -> String {
    path.as_ref().map(ToString::to_string).unwrap_or_default()
}

impl Pipeline {
    /// Writes the rows of a message; durable within a second.
    pub(super) fn log(&self, message: &Message, judged: &[Judged], outcomes: &[Outcome]) {
        let _stage = stages::enter(Stage::MailLog);
        let rows = self.rows(message, judged, outcomes);
        self.rooms().maillog.write(&rows, message.at.unix);
    }

    /// Makes the records of drops durable.
    ///
    /// # Errors
    /// 451: nothing may be dropped without its record.
    pub(super) async fn log_drops(
        &self,
        message: &Message,
        judged: &[Judged],
        outcomes: &[Outcome],
    ) -> Result<(), Reply> {
        let _stage = stages::enter(Stage::MailLog);
        let mut evidence = Evidence::default();
        let drops: Vec<Row> = (0_u16..)
            .zip(judged.iter().zip(outcomes))
            .filter(|(_, (_, outcome))| matches!(outcome, Outcome::Dropped))
            .map(|(index, (judged, outcome))| {
                self.delivery_row(message, index, judged, outcome, &mut evidence)
            })
            .collect();
        self.rooms().maillog.write_durable(&drops, message.at.unix).await.map_err(|error| {
            tracing::error!(%error, "a drop could not be recorded");
            Reply::new(451, Enhanced(4, 3, 0), "Internal problem, try again later")
        })
    }

    fn rows(&self, message: &Message, judged: &[Judged], outcomes: &[Outcome]) -> Vec<Row> {
        let mut evidence = Evidence::default();
        let mut rows = Vec::with_capacity(judged.len() * 2);
        for (index, (judged, outcome)) in (0_u16..).zip(judged.iter().zip(outcomes)) {
            if !outcome.is_logged() {
                rows.push(self.delivery_row(message, index, judged, outcome, &mut evidence));
            }
            events(message, index, judged, &mut rows);
        }
        rows
    }

    pub(super) fn delivery_row(
        &self,
        message: &Message,
        index: u16,
        judged: &Judged,
        outcome: &Outcome,
        evidence: &mut Evidence,
    ) -> Row {
        let verdict = &judged.verdict;
        let recipient =
            message.transaction.recipients.get(usize::from(index)).map(|one| &one.recipient);
        let text = |mailbox: Option<&Mailbox>| mailbox.map(ToString::to_string).unwrap_or_default();
        let reason = judged.decision.reason.or(verdict.reason);
        let (class, sub_class) = judged.class();
        let mut row = DeliveryRow {
            at: message.at.unix,
            mail: Some(message.transaction.mail),
            recipient: index,
            direction: Direction::Inbound,
            from: path_text(&message.transaction.reverse_path),
            to: text(recipient.map(|one| &one.original)),
            address: text(recipient.map(|one| &one.resolved)),
            bytes: message.received.bytes,
            message_id: message.head.excerpt("message-id").to_owned(),
            author: message.head.excerpt("from").to_owned(),
            subject: message.head.excerpt("subject").to_owned(),
            node: self.rooms().shared.config.load().engine.host_name.to_string(),
            source_address: Some(message.transaction.client),
            source_host: message.client.name.as_deref().unwrap_or_default().to_owned(),
            helo: message.client.helo.to_string(),
            tls: message.client.tls.as_deref().unwrap_or_default().to_owned(),
            classification: class.name().to_owned(),
            sub_class: sub_class.to_owned(),
            reason: reason.map_or("", |reason| reason.key()).to_owned(),
            likelihood: verdict.likelihood.name().to_owned(),
            points: verdict.points,
            action: judged.decision.action.log_name().to_owned(),
            list_entry: hold::list_entry(&verdict.list),
            rules: evidence.rules(judged),
            attachments: hold::attachments(message),
            removed: clean::told(message, judged),
            auth: super::authenticate::results(&message.authentication),
            because: because(&judged.decision),
            engines: super::engines::said(message),
            times: message.times.all.clone(),
            ..DeliveryRow::default()
        };
        fill(&mut row, outcome);
        Row::Delivery(Box::new(row))
    }

    /// A recipient of a domain that is not ours gets a row, within what a minute may have: whoever looks for an open
    /// relay tries by the thousand, and the oldest rows of the log make room for new ones.
    pub(super) fn log_denied_relaying(
        &self,
        transaction: &Transaction,
        asked: &Mailbox,
        reply: &Reply,
        now: UnixMillis,
    ) {
        match self.denied.turn(now) {
            Turn::Written => self.log_refused_recipient(transaction, asked, reply, now),
            Turn::Last => self.log_no_more(transaction, "relaying denied", "reject", now),
            Turn::Left => {}
        }
    }

    /// SM-64: who was asked to come again gets a row, within what a minute may have: most strangers never do.
    pub(super) fn log_come_again(
        &self,
        transaction: &Transaction,
        asked: &Mailbox,
        reply: &Reply,
        now: UnixMillis,
    ) {
        match self.asked_again.turn(now) {
            Turn::Written => {
                let mut row = self.refused_row(transaction, asked, reply, now);
                row.status = "temporarily rejected".to_owned();
                row.classification = MainClass::Greylist.name().to_owned();
                self.rooms().maillog.write(&[Row::Delivery(Box::new(row))], now);
            }
            Turn::Last => self.log_no_more(transaction, "temporarily refused", "defer", now),
            Turn::Left => {}
        }
    }

    fn log_no_more(
        &self,
        transaction: &Transaction,
        condition: &str,
        action: &str,
        now: UnixMillis,
    ) {
        let row = EventRow {
            at: now,
            filter_type: "Security Filter".to_owned(),
            memo: "more of them in this minute are not logged".to_owned(),
            condition: condition.to_owned(),
            action: action.to_owned(),
            from: path_text(&transaction.reverse_path),
            source_address: Some(transaction.client),
            ..EventRow::default()
        };
        self.rooms().maillog.write(&[Row::Event(Box::new(row))], now);
    }

    /// SM-51, C02: a recipient that was refused gets a row.
    pub(super) fn log_refused_recipient(
        &self,
        transaction: &Transaction,
        asked: &Mailbox,
        reply: &Reply,
        now: UnixMillis,
    ) {
        let row = self.refused_row(transaction, asked, reply, now);
        self.rooms().maillog.write(&[Row::Delivery(Box::new(row))], now);
    }

    /// The same for a recipient that a filter refused, with the event of the filter (IIJ-74), within what a minute may
    /// have: one listed client tries by the thousand, and its rows say by what, too.
    pub(super) fn log_refused_by(
        &self,
        transaction: &Transaction,
        (asked, reply): (&Mailbox, &Reply),
        now: UnixMillis,
        (filter, why): (RefusedBy, impl FnOnce(&mut DeliveryRow)),
    ) {
        let mut row = self.refused_row(transaction, asked, reply, now);
        row.reason = filter.reason.key().to_owned();
        why(&mut row);
        let turn = self.filtered.turn(now);
        let event = (turn == Turn::Written).then(|| refused_by(transaction, &row, filter));
        let mut rows = vec![Row::Delivery(Box::new(row))];
        rows.extend(event.map(|event| Row::Event(Box::new(event))));
        self.rooms().maillog.write(&rows, now);
        if turn == Turn::Last {
            self.log_no_more(transaction, "refused by a filter", "reject", now);
        }
    }

    fn refused_row(
        &self,
        transaction: &Transaction,
        asked: &Mailbox,
        reply: &Reply,
        now: UnixMillis,
    ) -> DeliveryRow {
        DeliveryRow {
            at: now,
            // The mail that it would have been: some recipients of it may be accepted.
            mail: Some(transaction.mail),
            from: path_text(&transaction.reverse_path),
            to: asked.to_string(),
            address: asked.to_string(),
            node: self.rooms().shared.config.load().engine.host_name.to_string(),
            source_address: Some(transaction.client),
            status: "rejected".to_owned(),
            status_class: status_class(reply).to_owned(),
            dsn: reply.enhanced,
            reply: reply.to_string(),
            classification: MainClass::Unknown.name().to_owned(),
            action: "Rejected".to_owned(),
            ..DeliveryRow::default()
        }
    }
}

/// The filter that refused a recipient.
#[derive(Debug)]
pub(super) struct RefusedBy {
    pub(super) reason: Reason,
    /// Key of the setting, or name of the class action.
    pub(super) setting: Cow<'static, str>,
    /// What was met.
    pub(super) condition: String,
}

/// The event of a filter that refused the recipient of `row`.
fn refused_by(transaction: &Transaction, row: &DeliveryRow, filter: RefusedBy) -> EventRow {
    EventRow {
        at: row.at,
        mail: Some(transaction.mail),
        filter_type: filter.reason.filter_type().to_owned(),
        memo: filter.setting.into_owned(),
        condition: hold::clip(&filter.condition, CONDITION_BYTES_MAX).to_owned(),
        delivery_action: row.action.clone(),
        action: Action::Reject.key().to_owned(),
        action_details: filter.reason.key().to_owned(),
        to: row.to.clone(),
        address: row.address.clone(),
        from: row.from.clone(),
        source_address: row.source_address,
        ..EventRow::default()
    }
}

/// Rows of one kind that a shard writes in a minute: the rest of a flood costs a count.
#[derive(Debug, Default)]
pub(super) struct RowsPerMinute(Cell<(u64, u32)>);

/// What becomes of a row that may be one of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Written,
    /// The first one that is too much: that there are more is written instead.
    Last,
    Left,
}

impl RowsPerMinute {
    /// Nobody asks for each of them.
    const MAX: u32 = 600;

    fn turn(&self, now: UnixMillis) -> Turn {
        let minute = now.0 / 60_000;
        let (last, count) = self.0.get();
        let count = if last == minute { count.saturating_add(1) } else { 1 };
        self.0.set((minute, count));
        match count.cmp(&(Self::MAX + 1)) {
            Ordering::Less => Turn::Written,
            Ordering::Equal => Turn::Last,
            Ordering::Greater => Turn::Left,
        }
    }
}

fn status_class(reply: &Reply) -> &'static str {
    match reply.code {
        200..=299 => "success",
        400..=499 => "temporary",
        _ => "permanent",
    }
}

/// The part of a row that says what became of the recipient.
fn fill(row: &mut DeliveryRow, outcome: &Outcome) {
    let mut set = |status: &str, class: &str| {
        row.status = status.to_owned();
        row.status_class = class.to_owned();
    };
    match outcome {
        Outcome::Open => set("unknown", "temporary"),
        Outcome::Held(item) => {
            set("held", "held");
            row.reply = format!("held as {item}");
        }
        Outcome::Dropped => set("dropped", "dropped"),
        Outcome::Refused(reply) => {
            set("rejected", status_class(reply));
            row.dsn = reply.enhanced;
            row.reply = reply.to_string();
        }
        Outcome::Settled(settled) => {
            let (status, class) = disposition(settled.disposition);
            set(status, class);
            row.dsn = settled.answer.reply.enhanced;
            row.reply = settled.answer.reply.to_string();
            row.relay = match settled.answer.address {
                Some(address) => {
                    format!("{}[{}]:{}", settled.answer.host, address.ip(), address.port())
                }
                None => settled.answer.host.to_string(),
            };
            row.destination_host = settled.answer.host.to_string();
            row.destination_address = settled.answer.address.map(|address| address.ip());
            row.destination_port = settled.answer.address.map(|address| address.port());
            row.delivered_at =
                (settled.disposition == Disposition::Delivered).then_some(settled.at);
        }
    }
}

/// Status and status class of the log for what delivery did.
pub(super) fn disposition(disposition: Disposition) -> (&'static str, &'static str) {
    match disposition {
        Disposition::Delivered => ("sent", "success"),
        Disposition::Queued => ("deferred", "temporary"),
        Disposition::QueuedUnknown => ("deferred, outcome unknown", "temporary"),
        Disposition::Refused => ("rejected", "permanent"),
        Disposition::Reported => ("bounced", "permanent"),
        Disposition::Held => ("held", "held"),
        Disposition::Logged => ("bounced, not reported", "permanent"),
        Disposition::NotKept => ("not kept", "temporary"),
        Disposition::Removed => ("removed", "dropped"),
    }
}

/// Where the mail went instead, and what was bypassed; empty for nearly all.
fn because(decision: &Decision) -> String {
    let mut all: Vec<String> = Vec::new();
    if let Some(to) = decision.redirect.as_ref().filter(|_| decision.action.delivers()) {
        all.push(format!("redirected to {} by rule {}", to.mailbox, to.rule));
    }
    let bypassed = decision.matched.iter().filter(|matched| !matched.bypassed.is_empty());
    all.extend(bypassed.map(|matched| format!("{} {}", named(matched), matched.bypassed)));
    all.join("; ")
}

/// The name that people know a rule or setting by.
fn named(matched: &policy::MatchedRule) -> &str {
    if matched.memo.is_empty() { &matched.name } else { &matched.memo }
}

/// One event for each rule or setting that matched (IIJ-74 to IIJ-76), those without effect included.
fn events(message: &Message, index: u16, judged: &Judged, rows: &mut Vec<Row>) {
    let recipient = message.transaction.recipients.get(usize::from(index));
    for (number, matched) in (1_u32..).zip(&judged.decision.matched) {
        let mut memo = named(matched).to_owned();
        if matched.log_only {
            memo.push_str(" (log only)");
        }
        if !matched.bypassed.is_empty() {
            memo = format!("{memo} ({})", matched.bypassed);
        }
        let condition =
            if matched.condition.is_empty() { &matched.name } else { &matched.condition };
        let mut action_details = matched.reason.key().to_owned();
        if !matched.memo.is_empty() {
            action_details = format!("{action_details} by {}", matched.name);
        }
        rows.push(Row::Event(Box::new(EventRow {
            at: message.at.unix,
            mail: Some(message.transaction.mail),
            number,
            filter_type: matched.reason.filter_type().to_owned(),
            memo,
            condition: hold::clip(condition, CONDITION_BYTES_MAX).to_owned(),
            delivery_action: judged.decision.action.log_name().to_owned(),
            action: matched.action.key().to_owned(),
            action_details,
            classification: String::new(),
            to: recipient.map(|one| one.recipient.original.to_string()).unwrap_or_default(),
            address: recipient.map(|one| one.recipient.resolved.to_string()).unwrap_or_default(),
            from: path_text(&message.transaction.reverse_path),
            author: message.head.excerpt("from").to_owned(),
            source_address: Some(message.transaction.client),
            by: String::new(),
        })));
    }
}

/// Octets of what a rule matched, in one row.
const CONDITION_BYTES_MAX: usize = 1000;

impl Pipeline {
    /// A row for each who got a copy although he is no recipient.
    pub(super) fn log_others(
        &self,
        message: &Message,
        judged: &[Judged],
        (outgoing, outcomes): (&Outgoing, Vec<RecipientOutcome>),
    ) {
        let mut evidence = Evidence::default();
        let mut rows = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let other = outgoing.others.iter().find(|other| other.index == outcome.recipient);
            let Some(other) = other else { continue };
            let Some(judged) = judged.get(usize::from(other.of)) else { continue };
            let outcome = Outcome::Settled(outcome);
            if outcome.is_logged() {
                continue;
            }
            let row = self.delivery_row(message, other.of, judged, &outcome, &mut evidence);
            if let Row::Delivery(mut row) = row {
                row.because = format!("copy of the mail to {} by rule {}", row.to, other.rule);
                row.recipient = other.index;
                row.to = other.recipient.original.to_string();
                row.address = other.recipient.resolved.to_string();
                rows.push(Row::Delivery(row));
            }
        }
        if !rows.is_empty() {
            self.rooms().maillog.write(&rows, message.at.unix);
        }
    }

    /// Writes down bypasses that began or ended since the last call; `seen` are those that were in force
    /// then. For one shard, once a second.
    pub fn note_bypasses(&self, seen: &mut Option<Vec<Bypass>>, now: UnixMillis) {
        let Some(tables) = self.rooms().shared.tables() else { return };
        let snapshot = tables.load();
        let in_force = || snapshot.bypasses().iter().filter(|one| one.is_in_force(now));
        // What was in force at the start was written down by the engine before.
        let started = now.0.saturating_sub(STARTED_MS);
        let before = seen.get_or_insert_with(|| {
            in_force().filter(|one| one.since.0 < started).cloned().collect()
        });
        if before.is_empty() && in_force().next().is_none() {
            return;
        }
        let row = |one: &Bypass, action: &str, by: &str| {
            let rule = one.rule.as_deref().unwrap_or("all rules");
            Row::Event(Box::new(EventRow {
                at: now,
                filter_type: "Operator".to_owned(),
                memo: one.why.to_string(),
                condition: format!("{}: {rule}", one.domain),
                action: action.to_owned(),
                action_details: super::judge::bypassed(one).told.to_string(),
                by: by.to_owned(),
                ..EventRow::default()
            }))
        };
        let known = |all: &[Bypass], id: u64| all.iter().any(|one| one.id == id);
        let began = in_force().filter(|one| !known(before, one.id));
        let mut rows: Vec<Row> = began.map(|one| row(one, "bypass begins", &one.by)).collect();
        let now_there: Vec<Bypass> = in_force().cloned().collect();
        for one in before.iter().filter(|one| !known(&now_there, one.id)) {
            let by = snapshot.bypasses().iter().find(|other| other.id == one.id);
            let by = by.and_then(|other| other.removed.as_ref()).map(|(by, _)| &**by);
            rows.push(row(one, "bypass ends", by.unwrap_or("its time")));
        }
        *before = now_there;
        if !rows.is_empty() {
            self.rooms().maillog.write(&rows, now);
        }
    }
}

/// Bypasses that are younger when an engine first looks were made while it started.
const STARTED_MS: u64 = 10_000;
