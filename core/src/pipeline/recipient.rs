//! The recipient stage: unified model section 3.1, stage 4, in its order.
//!
//! a) domain known; b) refused characters; c) domain alias, then mailbox alias; d) recipient block
//! list; e) verification; f) recipient allow list; g) sender lists on the reverse-path; h) client
//! address; i) greylisting.

use std::borrow::Cow;
use std::sync::Arc;

use super::answer;
use super::client::ClientLists;
use super::entries::{client_entries, sender_entries};
use super::judge::bypassed;
use super::rows::RefusedBy;
use super::{Pipeline, Transaction, hold};
use crate::clock::Now;
use crate::deliver::Callout;
use crate::envelope::{Client, Envelope, Mailbox, Recipient};
use crate::maillog::DeliveryRow;
use crate::policy::{self, Bypassed, DomainSettings, ListDecision, RejectAt, Verify};
use crate::reply::{Enhanced, Reply};
use crate::session::{Answer, ForwardPath, RcptTo, grammar};
use crate::stages::{self, Stage};
use crate::tables::{DomainRef, Resolution};
use crate::verdict::{MainClass, Reason};

/// A recipient that was accepted at RCPT, with what was found out about it then.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// As named and as resolved.
    pub recipient: Recipient,
    /// Its domain, with settings and routes of the transaction's generation.
    pub domain: DomainRef,
    /// What the lists say so far: by envelope and client address.
    pub list: ListDecision,
}

impl Accepted {
    /// Settings of the domain.
    #[must_use]
    pub fn settings(&self) -> &Arc<DomainSettings> {
        &self.domain.settings
    }
}

impl Pipeline {
    /// Answers RCPT.
    pub async fn recipient(&self, transaction: &mut Transaction, to: RcptTo, now: Now) -> Answer {
        let _stage = stages::enter(Stage::Recipient);
        let asked = match &to.path {
            ForwardPath::Mailbox(mailbox) => mailbox.clone(),
            ForwardPath::Postmaster => match self.postmaster(transaction) {
                Some(mailbox) => mailbox,
                None => return refuse(no_such_user()),
            },
        };
        match self.stages(transaction, &asked, &to, now).await {
            Ok(accepted) => {
                let recipient = accepted.recipient.clone();
                match transaction.accept(accepted) {
                    None => Answer::Recipient(recipient),
                    Some((index, notify)) => Answer::Repeated { index, notify },
                }
            }
            Err(refused) => {
                let reply = refused.reply;
                self.log_refusal(transaction, (&asked, &reply), refused.log, now);
                Answer::Reply(reply)
            }
        }
    }

    fn log_refusal(
        &self,
        transaction: &Transaction,
        who: (&Mailbox, &Reply),
        log: Logged,
        now: Now,
    ) {
        let now = now.unix;
        let by = |reason, setting, condition| RefusedBy { reason, setting, condition };
        match log {
            Logged::No => {}
            Logged::Yes => self.log_refused_recipient(transaction, who.0, who.1, now),
            Logged::Blocked(rule, list) => {
                let entry = hold::list_entry(&list);
                let by = by(Reason::BlockList, rule, entry.clone());
                let why = |row: &mut DeliveryRow| {
                    row.classification = MainClass::Blacklisted.name().to_owned();
                    row.list_entry = entry;
                };
                self.log_refused_by(transaction, who, now, (by, why));
            }
            Logged::Client(list) => {
                let by = by(Reason::WebReputation, "ip.action".into(), list.to_string());
                let why = |row: &mut DeliveryRow| {
                    row.classification = MainClass::Spam.name().to_owned();
                    row.rules = vec![hold::client_rule(&list, transaction.client)];
                };
                self.log_refused_by(transaction, who, now, (by, why));
            }
            Logged::Oversize => {
                let declared = transaction.declared_bytes.unwrap_or_default();
                let by = by(Reason::Oversize, "size.action".into(), format!("SIZE={declared}"));
                self.log_refused_by(transaction, who, now, (by, |_: &mut DeliveryRow| {}));
            }
            Logged::ComeAgain => self.log_come_again(transaction, who.0, who.1, now),
            Logged::Relaying => self.log_denied_relaying(transaction, who.0, who.1, now),
        }
    }

    async fn stages(
        &self,
        transaction: &Transaction,
        asked: &Mailbox,
        to: &RcptTo,
        now: Now,
    ) -> Result<Accepted, Refused> {
        let tables = &transaction.snapshot;
        // a and c: one look-up resolves domain alias and mailbox aliases (SM-20 to SM-22).
        let Resolution::Known { mailbox, domain, listed, .. } = tables.resolve(asked) else {
            // Never a relay: whatever hides in the local-part, the domain is not ours.
            return Err(Refused::relaying());
        };
        let settings = Arc::clone(&domain.settings);
        let log = Logged::when(settings.recipient.log_invalid);
        // A local-part that routes (percent hack, bang path, quoted @) would make the next hop a
        // relay for strangers; only a mailbox that is listed by that very name may have it.
        if !listed && grammar::is_source_routed(&asked.local_part) {
            return Err(Refused::relaying());
        }
        // b: refused characters (C03, SM-51).
        if policy::refused_char(&settings, &asked.local_part).is_some() {
            let text = "Character not allowed in the local-part";
            return Err(Refused::new(550, Enhanced(5, 1, 3), text, log));
        }
        // d: recipient block list (SM-58).
        if tables.recipient_block(&mailbox, now.unix).is_some() {
            return Err(Refused::new(550, Enhanced(5, 7, 1), "Recipient does not take mail", log));
        }
        if domain.routes.is_empty() {
            // SM-05.
            let text = "No route for this domain yet, try again later";
            return Err(Refused::new(451, Enhanced(4, 4, 4), text, Logged::ComeAgain));
        }
        self.verify(&settings, listed, &mailbox, log).await?;
        let of_domain = tables.bypasses();
        let bypasses: Vec<_> = of_domain.of(&domain.name, now.unix).map(bypassed).collect();
        let declared_bytes = transaction.declared_bytes.unwrap_or_default();
        if policy::size_refusal(&settings, declared_bytes, &bypasses) {
            let text = "Message larger than this recipient takes";
            return Err(Refused::new(552, Enhanced(5, 3, 4), text, Logged::Oversize));
        }
        let list = self.lists(transaction, &mailbox, &settings, now);
        self.by_lists(transaction, &settings, (&list, &bypasses)).await?;
        self.by_greylist(transaction, &mailbox, &settings, &list, now).await?;
        let recipient = Recipient {
            original: asked.clone(),
            resolved: mailbox,
            notify: to.notify,
            orcpt: to.orcpt.clone(),
        };
        Ok(Accepted { recipient, domain, list })
    }

    /// e: IIJ-10, C01.
    async fn verify(
        &self,
        settings: &DomainSettings,
        listed: bool,
        mailbox: &Mailbox,
        log: Logged,
    ) -> Result<(), Refused> {
        match settings.recipient.verify {
            Verify::Off => return Ok(()),
            // A listed recipient need not be asked for again.
            Verify::List | Verify::Directory | Verify::Callout if listed => return Ok(()),
            // RFC 5321 section 4.5.1: who takes mail for a domain takes it for its postmaster, whether
            // somebody thought of listing him or not.
            Verify::List | Verify::Directory
                if mailbox.local_part.eq_ignore_ascii_case("postmaster") =>
            {
                return Ok(());
            }
            Verify::List | Verify::Directory => return Err(Refused { reply: no_such_user(), log }),
            Verify::Callout => {}
        }
        match self.rooms().deliverer.callout(mailbox).await {
            Callout::Known => Ok(()),
            Callout::Unknown(_) => Err(Refused { reply: no_such_user(), log }),
            Callout::Unanswered(reply) => {
                tracing::info!(%mailbox, %reply, "call-out without an answer");
                let text = "Recipient cannot be verified now, try again later";
                Err(Refused::new(451, Enhanced(4, 4, 3), text, Logged::ComeAgain))
            }
        }
    }

    /// f and g: recipient allow list, then sender lists on the reverse-path and the client.
    pub(super) fn lists(
        &self,
        transaction: &Transaction,
        mailbox: &Mailbox,
        settings: &DomainSettings,
        now: Now,
    ) -> ListDecision {
        let tables = &transaction.snapshot;
        if tables.recipient_allow(mailbox, now.unix).is_some() {
            return ListDecision::Bypass;
        }
        let mut entries = client_entries(tables, mailbox, transaction.client, now.unix);
        if let Some(sender) = &transaction.reverse_path {
            entries.extend(sender_entries(tables, mailbox, sender, now.unix));
        }
        policy::lists::choose(&entries, &[], &settings.lists, now.unix)
    }

    /// What lists and client address refuse at RCPT already.
    async fn by_lists(
        &self,
        transaction: &Transaction,
        settings: &DomainSettings,
        (list, bypasses): (&ListDecision, &[Bypassed<'_>]),
    ) -> Result<(), Refused> {
        // TM-38, SM-56: a block entry whose action is reject answers here.
        if let Some(rule) = policy::block_refusal(settings, list, bypasses) {
            let text = "Sender is blocked by the recipient";
            let log = Logged::Blocked(rule, list.clone());
            return Err(Refused::new(550, Enhanced(5, 7, 1), text, log));
        }
        // h: NTT-10, the reply names address and list.
        if !policy::network_refusal(settings, list, RejectAt::Rcpt, bypasses) {
            return Ok(());
        }
        transaction.listed.wait().await;
        if let Some(bad) = transaction.bad() {
            let reply = answer::bad_client(transaction.client, bad);
            return Err(Refused { reply, log: Logged::Client(bad.into()) });
        }
        Ok(())
    }

    /// i: strangers come again.
    async fn by_greylist(
        &self,
        transaction: &Transaction,
        mailbox: &Mailbox,
        settings: &DomainSettings,
        list: &ListDecision,
        now: Now,
    ) -> Result<(), Refused> {
        if !policy::greylists(settings, list) {
            return Ok(());
        }
        let Some(seconds) = self.greylisted(transaction, mailbox, settings, now).await else {
            return Ok(());
        };
        let text = format!("Greylisted, please try again in {seconds} seconds");
        let reply = Reply::new(451, Enhanced(4, 7, 1), text);
        Err(Refused { reply, log: Logged::ComeAgain })
    }

    /// `<Postmaster>` without a domain: the postmaster of the first domain that was named, else of the
    /// domain that our own host name is in, else of the first by name. The order of a map would give
    /// one tenant's mail to another after each start.
    fn postmaster(&self, transaction: &Transaction) -> Option<Mailbox> {
        let generation = transaction.snapshot.generation();
        let named = transaction.recipients.first().map(|first| Arc::clone(&first.domain.name));
        let ours = || {
            let config = self.rooms().shared.config.load();
            let host = &*config.engine.host_name;
            let above = host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..));
            let mut names = std::iter::once(host).chain(above);
            names.find_map(|name| generation.domain(name)).map(|domain| domain.name)
        };
        let domain = named.or_else(ours).or_else(|| generation.first_domain().cloned())?;
        Some(Mailbox::new("postmaster", &domain))
    }
}

/// Answers MAIL: takes the snapshot that the whole transaction sees.
pub(super) fn begin(
    pipeline: &Pipeline,
    client: &Client,
    envelope: &Envelope,
    now: Now,
) -> Result<Transaction, Reply> {
    let Some(current) = pipeline.rooms().shared.tables() else {
        // Patterns are being rebuilt for this Hyperscan or CPU.
        let text = "Rules are being prepared, try again in some minutes";
        return Err(Reply::new(451, Enhanced(4, 3, 2), text));
    };
    let snapshot = current.load();
    let address = client.address.ip();
    let networks = ClientLists::of(&snapshot, address);
    Ok(Transaction {
        mail: pipeline.rooms().new_mail_id(now.unix),
        begun: now,
        snapshot,
        client: address,
        helo: client.helo.to_string().into(),
        reverse_path: envelope.reverse_path.clone(),
        declared_bytes: envelope.size,
        listed: pipeline.begin_lists(address, networks.allowed),
        networks,
        spf: std::cell::OnceCell::new(),
        recipients: Vec::new(),
        mailboxes: Vec::new(),
    })
}

/// Whether a refusal gets a row in the mail log (C02, SM-51).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Logged {
    No,
    Yes,
    /// With the rule that refuses and the block entry that it is for.
    Blocked(Cow<'static, str>, ListDecision),
    /// With the list that the client's address is in.
    Client(Box<str>),
    /// The mail says that it is too large.
    Oversize,
    /// As many as a minute may have.
    Relaying,
    /// The same.
    ComeAgain,
}

impl Logged {
    fn when(wanted: bool) -> Self {
        if wanted { Self::Yes } else { Self::No }
    }
}

/// A recipient that is refused.
struct Refused {
    reply: Reply,
    log: Logged,
}

impl Refused {
    fn new(code: u16, enhanced: Enhanced, text: &'static str, log: Logged) -> Self {
        Self { reply: Reply::new(code, enhanced, text), log }
    }

    fn relaying() -> Self {
        Self::new(550, Enhanced(5, 7, 1), "Relaying denied", Logged::Relaying)
    }
}

fn refuse(reply: Reply) -> Answer {
    Answer::Reply(reply)
}

/// IIJ-10.
fn no_such_user() -> Reply {
    Reply::new(550, Enhanced(5, 1, 1), "User unknown")
}
