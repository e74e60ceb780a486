//! Who sent it. DNS lists are asked when MAIL comes and waited for where a recipient's domain refuses by them; SPF is asked
//! for at RCPT where a domain greylists; everything else begins with the message and is waited for when it has been looked at.

use std::cell::OnceCell;
use std::sync::Arc;

use super::message::{Head, Message};
use super::{Pipeline, Transaction, rows};
use crate::authn::{
    AuthResult, Authentication, DnsLists, Listed, ListedAs, Pending, PendingListed, SpfChecks,
    Subject,
};
use crate::clock::Now;
use crate::content::Content;
use crate::envelope::Mailbox;
use crate::greylist::{Answer, Key, Origin, Rules};
use crate::policy::DomainSettings;
use crate::quarantine;
use crate::reply::{Enhanced, Reply};
use crate::shard::counters::Counter;
use crate::verdict::{AuthEvidence, sender_ip_evidence};

/// What DNS lists say of the client's address.
#[derive(Debug, Default)]
pub(super) struct Reputation {
    pending: Option<PendingListed>,
    answer: OnceCell<Listed>,
    /// The lists that are asked, and what makes an address bad.
    lists: Arc<DnsLists>,
}

impl Reputation {
    /// Waits for the lists, once.
    pub(super) async fn wait(&self) {
        if let Some(pending) = &self.pending
            && self.answer.get().is_none()
        {
            let listed = pending.answer().await;
            // Set already: by another recipient of this transaction, to the same.
            let _ = self.answer.set(listed);
        }
    }
}

impl Transaction {
    /// The class that tables and DNS lists, as far as they were waited for, give the client's address, and the list.
    pub(super) fn client_class(&self) -> Option<(ListedAs, &str)> {
        self.networks.class(self.listed.answer.get(), &self.listed.lists)
    }

    /// The list that calls the client's address bad.
    pub(super) fn bad(&self) -> Option<&str> {
        let bad = self.client_class().filter(|(class, _)| *class == ListedAs::Positive);
        bad.map(|(_, list)| list)
    }
}

impl Pipeline {
    /// Begins to ask DNS lists; nothing where there are none, or an own list lets the address in.
    pub(super) fn begin_lists(&self, client: std::net::IpAddr, allowed: bool) -> Reputation {
        let shared = &self.rooms().shared;
        let lists = shared.dns_lists.load_full();
        let asks = !allowed && !lists.lists.is_empty();
        let pending = asks.then(|| shared.authenticators.listed(client, Arc::clone(&lists)));
        Reputation { pending, answer: OnceCell::new(), lists }
    }

    fn subject(&self, transaction: &Transaction, author_domains: Vec<Box<str>>) -> Subject {
        Subject {
            ip: transaction.client,
            helo: transaction.helo.clone(),
            sender: rows::path_text(&transaction.reverse_path).into(),
            author_domains,
            receiver: self.rooms().shared.config.load().engine.host_name.clone(),
            now: transaction.begun.unix.0 / 1000,
        }
    }

    /// Stage i of RCPT: how long a stranger has to wait, `None` if he need not.
    pub(super) async fn greylisted(
        &self,
        transaction: &Transaction,
        recipient: &Mailbox,
        settings: &DomainSettings,
        now: Now,
    ) -> Option<u64> {
        let shared = &self.rooms().shared;
        let enabled = shared.config.load().authentication.enabled;
        if enabled && transaction.spf.get().is_none() {
            let subject = self.subject(transaction, Vec::new());
            let spf: SpfChecks = shared.authenticators.spf(subject).await;
            // Set already: by another recipient of this transaction, to the same.
            let _ = transaction.spf.set(spf);
        }
        let spf = transaction.spf.get();
        let vouched = spf.filter(|(spf, _)| spf.result == AuthResult::Pass);
        let origin = match vouched {
            Some((spf, _)) => Origin::Domain(&spf.domain),
            None => Origin::Network(transaction.client),
        };
        let sender = rows::path_text(&transaction.reverse_path);
        let recipient = recipient.to_string();
        let key = Key { origin, sender: &sender, recipient: &recipient };
        let greylist = &settings.greylist;
        let seconds = |count: u64| std::time::Duration::from_secs(count);
        let rules = Rules {
            delay: seconds(greylist.delay_seconds.into()),
            window: seconds(u64::from(greylist.window_hours) * 3_600),
            known: seconds(u64::from(greylist.known_days) * 86_400),
        };
        match shared.greylist.attempt(&key, &rules, now.unix) {
            Answer::Known => None,
            Answer::CameAgain(waited) => {
                self.rooms().count(Counter::GreylistPassed);
                self.rooms().count_many(Counter::GreylistSeconds, waited.as_secs());
                None
            }
            Answer::Later(left) => {
                self.rooms().count(Counter::Greylisted);
                Some(left.as_secs().max(1))
            }
        }
    }

    /// Begins the checks of a message; `None` where they are switched off.
    pub(super) fn begin_checks(
        &self,
        transaction: &Transaction,
        head: &Head,
        content: &Content,
    ) -> Option<Pending> {
        let shared = &self.rooms().shared;
        let spf = transaction.spf.get().cloned();
        let subject = || self.subject(transaction, head.author_domains.clone());
        let begin = || shared.authenticators.begin(subject(), content.clone(), spf);
        shared.config.load().authentication.enabled.then(begin)
    }

    /// Their results.
    ///
    /// # Errors
    /// 451: there was no room for them.
    pub(super) async fn checks(&self, pending: Option<Pending>) -> Result<Authentication, Reply> {
        let Some(pending) = pending else { return Ok(Authentication::left_out()) };
        if pending.is_full() {
            let text = "Too many messages are being checked, try again later";
            return Err(Reply::new(451, Enhanced(4, 3, 2), text));
        }
        let mut found = pending.answer().await;
        found.believe(&self.rooms().shared.config.load().authentication.arc_trusted);
        Ok(found)
    }
}

/// What the checks of the sender came to, for a recipient of a domain with these settings.
pub(super) fn evidence(message: &Message, settings: &DomainSettings) -> Vec<AuthEvidence> {
    let sender = message.transaction.reverse_path.iter();
    let domains = sender.chain(&message.head.authors).map(|mailbox| &*mailbox.domain);
    let client = message.transaction.client;
    let mut evidence = message.auth_evidence.clone();
    evidence.extend(sender_ip_evidence(client, domains, &settings.auth.sender_ip));
    evidence
}

/// The results for records and the log.
pub(super) fn results(found: &Authentication) -> Vec<quarantine::AuthResult> {
    if found.left_out {
        return Vec::new();
    }
    let result = |method: &str, result: AuthResult, detail: String| quarantine::AuthResult {
        method: method.into(),
        result: result.keyword().into(),
        detail: super::hold::clip(&detail, DETAIL_BYTES_MAX).into(),
    };
    let mut all = Vec::with_capacity(found.dkim.len() + 5);
    let with = |domain: &str, more: &str| match (domain, more) {
        (domain, "") => domain.to_owned(),
        (domain, more) => format!("{domain} ({more})"),
    };
    all.push(result("spf", found.spf.result, with(&found.spf.domain, &found.spf.matched)));
    if let Some(helo) = &found.helo {
        all.push(result("spf-helo", helo.result, with(&helo.domain, &helo.matched)));
    }
    for one in &found.dkim {
        all.push(result("dkim", one.result, with(&one.domain, &one.reason)));
    }
    let dmarc = &found.dmarc;
    let more = match &dmarc.by_arc {
        Some(sealer) => format!("p={}; passed at {sealer}", dmarc.policy.keyword()),
        None => format!("p={}", dmarc.policy.keyword()),
    };
    all.push(result("dmarc", dmarc.result, with(&dmarc.domain, &more)));
    if found.arc.result != AuthResult::None {
        let last = found.arc.sealers.last().map_or("", |sealer| &sealer.domain);
        all.push(result("arc", found.arc.result, with(last, &found.arc.reason)));
    }
    all.push(result("iprev", found.reverse.result, found.reverse.name.to_string()));
    all
}

/// Octets of a detail in a record.
const DETAIL_BYTES_MAX: usize = 255;
