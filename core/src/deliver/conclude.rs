//! Writes down what an attempt brought for a spooled mail, and what is left of it.

use super::attempt::Tried;
use super::client::Fate;
use super::copy::{Disposition, HopAnswer};
use super::dsn::DsnAction;
use super::report::Failed;
use super::store::Store;
use super::transport::World;
use super::{Deliverer, record};
use crate::content::Content;
use crate::spool::{Outcome, QueuedMail, QueuedRecipient, SpoolError};

/// What is left of a mail after an attempt.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Recipients that still wait.
    pub recipients: usize,
    /// The hop may have the mail of some of them.
    pub unknown: bool,
    /// What was said last of those that wait.
    pub answer: Option<HopAnswer>,
}

impl<W: World, S: Store> Deliverer<W, S> {
    /// Settles who has an answer. Who was refused for good is reported or held first, and stays in
    /// the queue if even that is not possible now.
    pub(super) async fn conclude(
        &self,
        mail: &QueuedMail,
        content: &Content,
        tried: Vec<(QueuedRecipient, Tried)>,
    ) -> Left {
        let mut left = Left::default();
        let (mut failed, mut relayed) = (Vec::<Failed>::new(), Vec::<Failed>::new());
        for (recipient, tried) in tried {
            match tried.fate {
                Fate::Taken(reply) => {
                    let at = self.world().now().unix;
                    let outcome = Outcome::Delivered { reply };
                    self.settle_one(mail, recipient.index, outcome);
                    let about = (Disposition::Delivered, &tried.answer);
                    let place = (&*self.settings().host_name, at);
                    self.inner.store.log(record::row(mail, &recipient, about, place));
                    if wants_relayed(mail, &recipient, tried.hop_reports) {
                        relayed.push((recipient, tried.answer));
                    }
                }
                Fate::Never(_) => failed.push((recipient, tried.answer)),
                Fate::Later(_) | Fate::Unknown(_) | Fate::Open | Fate::Named | Fate::NotTried => {
                    left.recipients += 1;
                    left.unknown |= matches!(tried.fate, Fate::Unknown(_));
                    left.answer = Some(tried.answer);
                }
            }
        }
        self.send_relayed(mail, content, &relayed).await;
        if let Err(error) = self.end(mail, content, &failed).await {
            tracing::error!(mail = %mail.mail, %error, "a failed delivery cannot be reported yet");
            left.recipients += failed.len();
            left.answer = failed.pop().map(|(_, answer)| answer);
        }
        left
    }

    /// Ends the way of recipients that will never get the mail.
    ///
    /// # Errors
    /// Neither reported nor held: nothing is settled.
    pub(super) async fn end(
        &self,
        mail: &QueuedMail,
        content: &Content,
        failed: &[Failed],
    ) -> Result<(), SpoolError> {
        if failed.is_empty() {
            return Ok(());
        }
        let dispositions = self.report_or_hold(mail, content, failed).await?;
        let at = self.world().now().unix;
        for ((recipient, answer), disposition) in failed.iter().zip(dispositions) {
            let outcome = match disposition {
                Disposition::Held => Outcome::Held,
                _ => Outcome::Failed { reply: answer.reply.clone() },
            };
            self.settle_one(mail, recipient.index, outcome);
            // What is `Logged` has its durable row already.
            if disposition != Disposition::Logged {
                let place = (&*self.settings().host_name, at);
                let row = record::row(mail, recipient, (disposition, answer), place);
                self.inner.store.log(row);
            }
        }
        Ok(())
    }

    /// Success reports for recipients whose hop sends none (RFC 3461 section 5.2.2). Not part
    /// of any promise: one that cannot be stored is only noted.
    pub(super) async fn send_relayed(
        &self,
        mail: &QueuedMail,
        content: &Content,
        relayed: &[Failed],
    ) {
        if relayed.is_empty() {
            return;
        }
        let all: Vec<_> = relayed.iter().collect();
        if let Err(error) = self.send_dsn(mail, content, &all, DsnAction::Relayed).await {
            tracing::warn!(mail = %mail.mail, %error, "a success report was not stored");
        }
    }

    pub(super) fn settle_one(&self, mail: &QueuedMail, recipient: u16, outcome: Outcome) {
        let at = self.world().now().unix;
        if let Err(error) = self.inner.store.settle(mail.copy_id(), recipient, outcome, at) {
            tracing::error!(mail = %mail.mail, recipient, %error, "an outcome was not stored");
        }
    }
}

/// A success report is ours to send.
pub(super) fn wants_relayed(
    mail: &QueuedMail,
    recipient: &QueuedRecipient,
    hop_reports: bool,
) -> bool {
    let notify = recipient.recipient.notify;
    notify.success
        && !notify.never
        && !hop_reports
        && mail.may_report
        && mail.envelope.reverse_path.is_some()
}
