//! Asks the next hop whether it knows a recipient: RCPT from `<>`, never DATA.
//!
//! Answers are kept (`ENTRIES_MAX`; a yes for two hours, a no for ten minutes, "cannot say" for one
//! minute), the same question is asked once at a time, and no more than `ASKING_MAX` questions are under
//! way. Only a clear 5yz to RCPT is a no: whatever else goes wrong says nothing about the recipient.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::client::{Fate, Transaction};
use super::connection::{Patience, Sent};
use super::copy::Needs;
use super::destinations::Asker;
use super::pool::Key;
use super::route::Hop;
use super::store::Store;
use super::transport::World;
use super::{Deliverer, wake};
use crate::clock::MonoMillis;
use crate::content::Content;
use crate::envelope::{BodyType, Mailbox, Notify, Recipient};
use crate::reply::{Enhanced, Reply};

/// Answers kept.
const ENTRIES_MAX: usize = 50_000;
/// Questions under way.
const ASKING_MAX: usize = 100;
/// Longest wait of a client for a call-out, all hops together.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a call-out brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callout {
    /// The next hop takes mail for this recipient.
    Known,
    /// It refused it for good; its reply.
    Unknown(Reply),
    /// It cannot be asked now; 451, or accepted, as the domain's setting says.
    Unanswered(Reply),
}

impl Callout {
    fn good_for(&self) -> Duration {
        match self {
            Self::Known => Duration::from_secs(7_200),
            Self::Unknown(_) => Duration::from_secs(600),
            Self::Unanswered(_) => Duration::from_secs(60),
        }
    }
}

enum Entry {
    Asking(Vec<Rc<wake::Wake>>),
    Known(Callout, MonoMillis),
}

/// What is known of recipients. `entries <= ENTRIES_MAX`, `asking <= ASKING_MAX`.
#[derive(Default)]
pub(super) struct Callouts {
    entries: HashMap<String, Entry, ahash::RandomState>,
    asking: usize,
}

/// What to do about a question.
enum Turn {
    Answered(Callout),
    /// Somebody asks already: wait, then look again.
    Wait(Rc<wake::Wake>),
    Ask,
}

impl Callouts {
    fn turn(&mut self, key: &str, now: MonoMillis) -> Turn {
        match self.entries.get_mut(key) {
            Some(Entry::Known(callout, until)) if now < *until => {
                return Turn::Answered(callout.clone());
            }
            Some(Entry::Asking(waiting)) => {
                let wake = Rc::new(wake::Wake::default());
                waiting.push(Rc::clone(&wake));
                return Turn::Wait(wake);
            }
            Some(Entry::Known(..)) | None => {}
        }
        if self.asking >= ASKING_MAX {
            return Turn::Answered(Callout::Unanswered(busy()));
        }
        self.make_room(now);
        self.asking += 1;
        self.entries.insert(key.to_owned(), Entry::Asking(Vec::new()));
        Turn::Ask
    }

    fn note(&mut self, key: &str, callout: &Callout, now: MonoMillis) {
        self.asking -= 1;
        let until = now.plus(callout.good_for());
        let old = self.entries.insert(key.to_owned(), Entry::Known(callout.clone(), until));
        if let Some(Entry::Asking(waiting)) = old {
            waiting.iter().for_each(|wake| wake.notify());
        }
    }

    /// Drops what is old; if all is fresh, every answer: bounded, and only asked again.
    fn make_room(&mut self, now: MonoMillis) {
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        let asking = |entry: &Entry| matches!(entry, Entry::Asking(_));
        self.entries.retain(|_, entry| match entry {
            Entry::Asking(_) => true,
            Entry::Known(_, until) => now < *until,
        });
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.retain(|_, entry| asking(entry));
        }
    }
}

/// Gives the question back when the asking task is dropped half way: the next one asks again.
struct Asking<'d, W: World, S: Store> {
    deliverer: &'d Deliverer<W, S>,
    key: String,
    done: bool,
}

impl<W: World, S: Store> Drop for Asking<'_, W, S> {
    fn drop(&mut self) {
        if !self.done {
            let mut callouts = self.deliverer.inner.callouts.borrow_mut();
            callouts.asking -= 1;
            if let Some(Entry::Asking(waiting)) = callouts.entries.remove(&self.key) {
                waiting.iter().for_each(|wake| wake.notify());
            }
        }
    }
}

impl<W: World, S: Store> Deliverer<W, S> {
    /// Asks the next hops of the recipient's domain about it. `mailbox` is the resolved one.
    pub async fn callout(&self, mailbox: &Mailbox) -> Callout {
        let key = mailbox.key();
        loop {
            let now = self.world().now().mono;
            let turn = self.inner.callouts.borrow_mut().turn(&key, now);
            match turn {
                Turn::Answered(callout) => return callout,
                Turn::Wait(wake) => wake.wait().await,
                Turn::Ask => break,
            }
        }
        let mut asking = Asking { deliverer: self, key, done: false };
        let callout = self.ask(mailbox).await;
        asking.done = true;
        let now = self.world().now().mono;
        self.inner.callouts.borrow_mut().note(&asking.key, &callout, now);
        callout
    }

    async fn ask(&self, mailbox: &Mailbox) -> Callout {
        let settings = self.settings();
        let deadline = self.world().now().mono.plus(PATIENCE);
        let patience = Patience {
            connect: settings.connect_timeout,
            greeting: settings.response_timeout,
            command: settings.response_timeout,
            until_content: deadline,
            after_content: Duration::ZERO,
            // There is no content.
            content_pace: 1,
        };
        let mut last = Reply::new(450, Enhanced(4, 4, 4), "no route to the recipient's domain");
        for hop in self.inner.outlet.hops(&mailbox.domain) {
            if self.world().now().mono >= deadline {
                break;
            }
            match self.ask_hop(&hop, mailbox, patience).await {
                Ok(callout) => return callout,
                Err(reply) => last = reply,
            }
        }
        Callout::Unanswered(last)
    }

    /// `Err`: this hop could not be asked.
    async fn ask_hop(
        &self,
        hop: &Hop,
        mailbox: &Mailbox,
        patience: Patience,
    ) -> Result<Callout, Reply> {
        let outlet = &self.inner.outlet;
        let now = self.world().now().mono;
        let permit = outlet
            .destinations
            .admit((&hop.host, hop.port), Asker::Client, now)
            .map(|permit| outlet.vacancies.hold(permit))
            .map_err(|_| busy())?;
        let addresses = self.world().addresses(&hop.host).await.unwrap_or_default();
        let mut last = Reply::new(450, Enhanced(4, 4, 3), "next hop has no address");
        for address in addresses.into_iter().take(2) {
            let address = SocketAddr::new(address, hop.port);
            let key = Key { host: hop.host.clone(), address, tls: hop.tls.into() };
            let pooled = outlet.pool.take(&key, self.world().now().mono);
            let connection = match pooled {
                Some(connection) => Ok(connection),
                None => outlet.open(hop, address, patience).await,
            };
            let mut connection = match connection {
                Ok(connection) => connection,
                Err(failure) => {
                    last = failure.reply();
                    continue;
                }
            };
            let sent = connection.send(probe(mailbox), &Content::default(), patience).await;
            permit.answered();
            let fate = match sent {
                Sent::Over(fates) | Sent::Waiting(fates) => fates.into_iter().next(),
            };
            outlet.give_back(key, connection).await;
            return match fate {
                Some(Fate::Taken(_)) => Ok(Callout::Known),
                Some(Fate::Never(reply)) => Ok(verdict(mailbox, reply)),
                Some(Fate::Later(reply) | Fate::Unknown(reply)) => Ok(Callout::Unanswered(reply)),
                Some(Fate::Open | Fate::Named | Fate::NotTried) | None => Err(last),
            };
        }
        permit.failed(self.world().now().mono, self.world().random());
        Err(last)
    }
}

/// A refusal of our own making (SMTPUTF8 not offered) is about this mailbox too: mail for it could not
/// be delivered. A refusal of `<>` looks like one of RCPT only from hops that check late; RFC 5321 section 6.1
/// forbids it, and there is no telling them apart.
fn verdict(mailbox: &Mailbox, reply: Reply) -> Callout {
    tracing::debug!(%mailbox, %reply, "call-out: refused");
    Callout::Unknown(reply)
}

fn probe(mailbox: &Mailbox) -> Transaction {
    let recipient = Recipient {
        original: mailbox.clone(),
        resolved: mailbox.clone(),
        notify: Notify::default(),
        orcpt: None,
    };
    Transaction {
        reverse_path: None,
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        needs: Needs::default(),
        bytes: 0,
        recipients: vec![recipient],
        probe: true,
    }
}

fn busy() -> Reply {
    Reply::new(450, Enhanced(4, 4, 5), "next hop cannot be asked now")
}
