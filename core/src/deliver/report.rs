//! What becomes of recipients that will never get their mail: a DSN, quarantine, or the log.

use super::copy::{Disposition, HopAnswer, Needs};
use super::dsn::{Dsn, DsnAction, Reported};
use super::store::Store;
use super::transport::World;
use super::{Deliverer, record, wake};
use crate::clock::UnixMillis;
use crate::content::{Content, Piece};
use crate::envelope::{BodyType, Envelope, MailId, Mailbox, Notify, Recipient};
use crate::spool::{QueuedMail, QueuedRecipient, RecipientState, SpoolError};

/// One recipient and the answer that ends its way.
pub(super) type Failed = (QueuedRecipient, HopAnswer);

impl<W: World, S: Store> Deliverer<W, S> {
    /// Makes sure that the end of these recipients' way is known to somebody, durably: rule of 250,
    /// (b) and (d). Dispositions are in the order of `failed`.
    ///
    /// # Errors
    /// Something could not be made durable: the mail must stay where it is.
    pub(super) async fn report_or_hold(
        &self,
        mail: &QueuedMail,
        content: &Content,
        failed: &[Failed],
    ) -> Result<Vec<Disposition>, SpoolError> {
        let dispositions: Vec<_> =
            failed.iter().map(|(recipient, _)| disposition(mail, recipient)).collect();
        let of = |wanted: Disposition| {
            let pairs = failed.iter().zip(&dispositions);
            pairs.filter(|(_, found)| **found == wanted).map(|(one, _)| one).collect::<Vec<_>>()
        };
        let held = of(Disposition::Held);
        if let Some(template) = mail.fallback.as_ref().filter(|_| !held.is_empty()) {
            let now = self.world().now().unix;
            let mut template = template.clone();
            template.held_at = now;
            record::keep_items(&mut template, |index| held.iter().any(|(r, _)| r.index == index));
            self.inner.store.hold(&template, content, now).await?;
        }
        for (recipient, answer) in of(Disposition::Logged) {
            let now = self.world().now().unix;
            let about = (Disposition::Logged, answer);
            let row = record::row(mail, recipient, about, (&self.settings().host_name, now));
            self.inner.store.log_durable(row).await?;
        }
        let reported = of(Disposition::Reported);
        if !reported.is_empty() {
            self.send_dsn(mail, content, &reported, DsnAction::Failed).await?;
        }
        Ok(dispositions)
    }

    /// Tells the reverse-path; `Ok` means that the report is durable.
    pub(super) async fn send_dsn(
        &self,
        mail: &QueuedMail,
        content: &Content,
        recipients: &[&Failed],
        action: DsnAction,
    ) -> Result<(), SpoolError> {
        let Some(to) = &mail.envelope.reverse_path else { return Ok(()) };
        let now = self.world().now().unix;
        let reported: Vec<_> = recipients
            .iter()
            .map(|(recipient, answer)| Reported {
                recipient: &recipient.recipient,
                reply: &answer.reply,
                remote: if answer.from_hop { &answer.host } else { "" },
            })
            .collect();
        let retry_until = mail.queued_at.plus(self.settings().lifetime);
        let dsn = Dsn {
            action,
            about: mail.mail,
            id: self.fresh_id(now),
            envelope: &mail.envelope,
            to,
            recipients: &reported,
            host_name: &self.settings().host_name,
            arrived_at: mail.queued_at,
            retry_until: (action == DsnAction::Delayed).then_some(retry_until),
            now,
        };
        let beginning = self.beginning(content, dsn.wants_bytes(content.bytes())).await;
        let report = dsn.to_content(&beginning, content.bytes());
        let queued = queued_own(dsn.id, to, &report, now);
        self.inner.store.put(&queued, &report, now).await?;
        self.enqueue_ready(&queued);
        Ok(())
    }

    /// Spools mails of our own (id, to whom, octets) from the null reverse-path, all at the same time, and says how many are
    /// durable.
    pub async fn send_own(&self, mails: Vec<(MailId, Mailbox, Content)>) -> u64 {
        let now = self.world().now().unix;
        let kept = wake::all(mails.iter().map(|(id, to, content)| async move {
            let queued = queued_own(*id, to, content, now);
            match self.inner.store.put(&queued, content, now).await {
                Ok(()) => {
                    self.enqueue_ready(&queued);
                    1
                }
                Err(error) => {
                    tracing::warn!(%id, %error, "a notice was not stored");
                    0
                }
            }
        }));
        kept.await.into_iter().sum()
    }

    /// A new id, for a mail of our own.
    fn fresh_id(&self, now: UnixMillis) -> MailId {
        let (one, two) = (self.world().random().to_le_bytes(), self.world().random().to_le_bytes());
        let mut random = [0; 10];
        for (place, octet) in random.iter_mut().zip(one.into_iter().chain(two)) {
            *place = octet;
        }
        MailId::from_parts(now, random)
    }

    /// The first octets of a mail, for the report. A file that cannot be read leaves them out: a
    /// report without the header is better than none.
    async fn beginning(&self, content: &Content, bytes_max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &content.pieces {
            let room = bytes_max.saturating_sub(out.len());
            let wanted = usize::try_from(piece.bytes()).unwrap_or(usize::MAX).min(room);
            match piece {
                _ if wanted == 0 => break,
                Piece::Memory(octets) => {
                    out.extend_from_slice(octets.get(..wanted).unwrap_or_default());
                }
                Piece::File { file, offset, .. } => {
                    let read = self.world().read_file(file.clone(), *offset, wanted).await;
                    out.extend_from_slice(&read.unwrap_or_default());
                    break;
                }
            }
        }
        out
    }
}

/// What may be done about a recipient that will never get its mail.
fn disposition(mail: &QueuedMail, recipient: &QueuedRecipient) -> Disposition {
    if mail.may_report && mail.envelope.reverse_path.is_some() {
        match recipient.recipient.notify.reports_failure() {
            true => Disposition::Reported,
            false => Disposition::Logged,
        }
    } else if mail.fallback.is_some() {
        Disposition::Held
    } else {
        // A report of ours that cannot be delivered: there is nobody to tell but the operator.
        Disposition::Logged
    }
}

/// A mail of our own. What cannot be delivered is `Logged`: no report about a report, or a notice.
fn queued_own(id: MailId, to: &Mailbox, content: &Content, now: UnixMillis) -> QueuedMail {
    let needs = Needs::of(b"", content, false);
    let recipient = Recipient {
        original: to.clone(),
        resolved: to.clone(),
        notify: Notify::default(),
        orcpt: None,
    };
    QueuedMail {
        mail: id,
        client: None,
        envelope: Envelope {
            body: if needs.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
            smtputf8: !to.is_ascii(),
            ..Envelope::default()
        },
        route_domain: to.domain.clone(),
        recipients: vec![QueuedRecipient { index: 0, recipient, state: RecipientState::Waiting }],
        queued_at: now,
        deferral: record::fresh(now),
        may_report: false,
        fallback: None,
        subject: "".into(),
        message_id: "".into(),
        bytes: content.bytes(),
        // Only our own header section asks for SMTPUTF8. The parts behind it are 8-bit content: a sender
        // with an ASCII address, whose server knows no SMTPUTF8, hears of it as well (RFC 6533 section 3).
        extra: record::extra(Needs { utf8_header: !to.is_ascii(), ..needs }),
    }
}
