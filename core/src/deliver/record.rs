//! Turns a copy and what became of it into what is stored: spool record, held item, log row.

use crate::clock::UnixMillis;
use crate::envelope::Envelope;
use crate::maillog::DeliveryRow;
use crate::spool::held::HeldMail;
use crate::spool::{Deferral, Mark, QueuedMail, QueuedRecipient, RecipientState};

use super::copy::{Accepted, Copy, Disposition, HopAnswer, Needs};

/// The spool record for some recipients of a copy; `None` if there are none.
pub(super) fn queued(
    message: &Accepted,
    copy: &Copy,
    recipients: &[u16],
    deferral: Deferral,
) -> Option<QueuedMail> {
    let named = |index: &u16| {
        let recipient = message.envelope.recipients.get(usize::from(*index))?.clone();
        Some(QueuedRecipient { index: *index, recipient, state: RecipientState::Waiting })
    };
    let recipients: Vec<_> = recipients.iter().filter_map(named).collect();
    let mut fallback = copy.fallback.clone();
    keep_items(&mut fallback, |index| recipients.iter().any(|r| r.index == index));
    (!recipients.is_empty()).then(|| QueuedMail {
        mail: message.mail,
        client: Some(message.client.clone()),
        envelope: Envelope { recipients: Vec::new(), ..message.envelope.clone() },
        route_domain: copy.domain.as_ref().into(),
        recipients,
        queued_at: message.received_at,
        deferral,
        may_report: copy.may_report,
        subject: fallback.subject.clone(),
        message_id: fallback.message_id.clone(),
        fallback: Some(fallback),
        bytes: copy.content.bytes(),
        extra: extra(copy.needs),
    })
}

/// The record of a mail that was not tried yet.
pub(super) fn fresh(now: UnixMillis) -> Deferral {
    Deferral { attempts: 0, next_attempt_at: now, last_answer: "".into(), mark: Mark::None }
}

/// Needs as they are stored.
pub(super) fn extra(needs: Needs) -> serde_json::Value {
    serde_json::json!({ "needs": needs })
}

/// Needs as they were stored. A record without them is an old one: nothing was needed.
pub(super) fn needs(mail: &QueuedMail) -> Needs {
    let stored = mail.extra.get("needs").cloned();
    stored.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

/// Keeps the items of some recipients.
pub(super) fn keep_items(held: &mut HeldMail, keep: impl Fn(u16) -> bool) {
    held.items.retain(|item| keep(item.index));
}

/// A log row about one recipient of a spooled mail.
pub(super) fn row(
    mail: &QueuedMail,
    recipient: &QueuedRecipient,
    (disposition, answer): (Disposition, &HopAnswer),
    (node, at): (&str, UnixMillis),
) -> DeliveryRow {
    let (status, status_class) = status(disposition);
    let mut row = DeliveryRow {
        at,
        mail: Some(mail.mail),
        recipient: recipient.index,
        from: mail.envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default(),
        to: recipient.recipient.original.to_string(),
        address: recipient.recipient.resolved.to_string(),
        bytes: mail.bytes,
        message_id: mail.message_id.to_string(),
        subject: mail.subject.to_string(),
        dsn: answer.reply.enhanced,
        status: status.to_owned(),
        status_class: status_class.to_owned(),
        reply: answer.reply.to_string(),
        node: node.to_owned(),
        relay: relay(answer),
        destination_address: answer.address.map(|address| address.ip()),
        destination_host: answer.host.to_string(),
        destination_port: answer.address.map(|address| address.port()),
        delivered_at: (disposition == Disposition::Delivered).then_some(at),
        ..DeliveryRow::default()
    };
    if let Some(client) = &mail.client {
        row.source_address = Some(client.address.ip());
        row.source_host = client.name.as_deref().unwrap_or_default().to_owned();
        row.helo = client.helo.to_string();
        row.tls = client.tls.as_deref().unwrap_or_default().to_owned();
    }
    if let Some(held) = &mail.fallback {
        add_verdict(&mut row, held, recipient.index);
    }
    row
}

fn add_verdict(row: &mut DeliveryRow, held: &HeldMail, index: u16) {
    row.direction = held.direction;
    row.author = held.author.to_string();
    row.attachments.clone_from(&held.attachments);
    row.auth.clone_from(&held.auth);
    let Some(item) = held.items.iter().find(|item| item.index == index) else { return };
    row.classification = item.main_class.to_string();
    row.sub_class = item.sub_class.to_string();
    row.reason = item.reason.to_string();
    row.likelihood = item.likelihood.to_string();
    row.points = item.points;
    row.action = item.action.to_string();
    row.list_entry = item.list_entry.to_string();
    row.rules.clone_from(&item.rules);
}

/// `host[address]:port`.
pub(super) fn relay(answer: &HopAnswer) -> String {
    match answer.address {
        Some(address) => format!("{}[{}]:{}", answer.host, address.ip(), address.port()),
        None => answer.host.to_string(),
    }
}

/// Status and its class, as the log names them.
pub(super) fn status(disposition: Disposition) -> (&'static str, &'static str) {
    match disposition {
        Disposition::Delivered => ("sent", "success"),
        Disposition::Queued => ("deferred", "temporary"),
        Disposition::QueuedUnknown => ("deferred, outcome unknown", "temporary"),
        Disposition::Refused => ("rejected", "permanent"),
        Disposition::Reported => ("bounced", "permanent"),
        Disposition::Held => ("held", "held"),
        Disposition::Logged => ("failed, not reported", "permanent"),
        Disposition::NotKept => ("not accepted", "temporary"),
        Disposition::Removed => ("removed", "permanent"),
    }
}
