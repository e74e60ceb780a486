//! Notices by mail about a mail that was just settled: best effort, before the answer and without changing it.
//!
//! Each is durable in the spool when it counts as sent. One that cannot be kept is counted and forgotten: a notice is no
//! promise, and must not make the client send the mail again. A mail that the client keeps (4yz) is told of when it comes
//! again.

use super::Pipeline;
use super::message::{Judged, Message};
use super::rows;
use crate::authn::AuthResult;
use crate::notice::{self, About, Allowed, Facts, Numbered, Sender, Told};
use crate::reply::Reply;
use crate::scan::finding::Finding;
use crate::shard::counters::Counter;

impl Pipeline {
    /// Sends what was asked for.
    pub(super) async fn send_notices(&self, message: &Message, judged: &[Judged], reply: &Reply) {
        let asked = judged.iter().any(|judged| !judged.decision.notices.is_empty());
        if !asked || (400..500).contains(&reply.code) {
            return;
        }
        let abouts = judged.iter().zip(&message.transaction.recipients).map(|(judged, one)| {
            let settings = one.settings();
            About {
                recipient: &one.recipient.resolved,
                domain: &one.domain.name,
                settings: &settings.notice,
                lists: &settings.notify_lists,
                primary_contact: &settings.primary_contact,
                asks: &judged.decision.notices,
                action: judged.decision.action,
                reason: judged.decision.reason.map_or("", |reason| reason.key()),
            }
        });
        let planned = notice::plan(abouts, &sender(message));
        let mut left_out = planned.left_out;
        let shared = &self.rooms().shared;
        let config = shared.config.load();
        let facts = facts(message, judged, &config.engine.host_name);
        let templates = shared.notices.load();
        let mut mails = Vec::with_capacity(planned.told.len());
        let came = |name: &str| name.eq_ignore_ascii_case(notice::MARK);
        let fields = message.head.fields.iter().filter(|(name, _)| came(name));
        let came_back: Vec<&str> = fields.map(|(_, value)| &**value).collect();
        for told in &planned.told {
            // Never a notice about a notice, to whom that one went.
            if came_back.iter().any(|field| shared.notice_marks.is_in(field, &told.to)) {
                left_out += 1;
                continue;
            }
            let Some(before) = self.allowed(message, told) else {
                left_out += 1;
                continue;
            };
            let id = self.rooms().new_mail_id(message.at.unix);
            let mark = shared.notice_marks.of(&told.to);
            let numbered = Numbered { id, now: message.at.unix, left_out: before, mark };
            let content = notice::to_content(told, &templates, &facts, &numbered);
            mails.push((id, told.to.clone(), content));
        }
        let count = mails.len() as u64;
        let kept = self.rooms().deliverer.send_own(mails).await;
        self.rooms().count_many(Counter::NoticesSent, kept);
        self.rooms().count_many(Counter::NoticesLeftOut, left_out + count - kept);
    }

    /// How many were left out before this one; `None`: this one is, too.
    fn allowed(&self, message: &Message, told: &Told) -> Option<u32> {
        let limits = &self.rooms().shared.notice_limits;
        let (address, domain) = (told.to.key(), format!("@{}", told.domain));
        let (address_max, domain_max) = told.hourly_max;
        // The domain is asked first: what it may not send is not counted for the address.
        if limits.ask(&domain, domain_max, message.at.unix) == Allowed::No {
            return None;
        }
        match limits.ask(&address, address_max, message.at.unix) {
            Allowed::Yes(before) => Some(before),
            Allowed::No => None,
        }
    }
}

/// What is known of the sender. A machine does not read what is sent back to it (RFC 3834 section 2).
fn sender(message: &Message) -> Sender<'_> {
    let mailbox = message.transaction.reverse_path.as_ref();
    let fields = &message.head.fields;
    let automatic = fields.iter().any(|(name, value)| {
        let value = value.trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        (is("Auto-Submitted") && !value.eq_ignore_ascii_case("no"))
            || (is("Precedence")
                && ["bulk", "list", "junk"].iter().any(|one| value.eq_ignore_ascii_case(one)))
            || is("List-Id")
    });
    let found = &message.authentication;
    let domain = mailbox.map_or("", |mailbox| &mailbox.domain);
    // SPF of MAIL FROM: with a HELO of its own beside it, else it is of HELO alone.
    let by_spf = found.helo.is_some() && found.spf.result == AuthResult::Pass;
    let by_dkim = found
        .dkim
        .iter()
        .any(|check| check.result == AuthResult::Pass && check.domain.eq_ignore_ascii_case(domain));
    Sender { mailbox, verified: by_spf || by_dkim, automatic }
}

fn facts<'m>(message: &'m Message, judged: &[Judged], host_name: &'m str) -> Facts<'m> {
    let examination = &message.examination;
    let counts = |found: &&Finding| found.kind.is_virus() && !found.log_only;
    let findings = || examination.findings.iter().chain(&examination.engine_findings);
    let mut viruses: Vec<&str> = findings().filter(counts).map(|found| &*found.rule).collect();
    viruses.sort_unstable();
    viruses.dedup();
    // What was taken out is what it is about, if anything was; else the attachments that malware was found in, as far as
    // somebody says where. An engine of others does not.
    let cleaned = judged.iter().any(|judged| judged.decision.cleans());
    let all = || examination.facts.attachments.iter().map(|one| &*one.name);
    let infected = |name: &&str| {
        !name.is_empty() && findings().filter(counts).any(|found| found.detail.contains(*name))
    };
    let mut files: Vec<&str> = match cleaned && !examination.cuts.is_empty() {
        true => examination.cuts.iter().map(|cut| &*cut.name).collect(),
        false => all().filter(infected).collect(),
    };
    if files.is_empty() {
        files = all().collect();
    }
    Facts {
        viruses,
        files,
        sender: rows::path_text(&message.transaction.reverse_path),
        author: message.head.excerpt("from"),
        subject: message.head.excerpt("subject"),
        message_id: message.head.excerpt("message-id"),
        mail: message.transaction.mail.to_string(),
        received_at: message.transaction.begun.unix,
        bytes: message.received.bytes,
        attachments: examination.facts.attachments.len(),
        host_name,
    }
}
