//! Tries the next hops of a route for one copy, in order, until every recipient has an answer.
//!
//! A hop that cannot be used (no connection, no greeting, closed before the final dot) is followed by
//! the next one; a hop that answers is believed: its 4yz and 5yz are the answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::client::{ClientSettings, Failure, Fate, Transaction};
use super::connection::{Connection, Patience, Sent};
use super::copy::{HopAnswer, Needs};
use super::destinations::{Asker, Denied, Destinations};
use super::pool::{Key, Pool};
use super::route::{Hop, Routes, TlsRule};
use super::settings::Settings;
use super::transport::World;
use super::vacancies::{Held, Ticket, Vacancies};
use super::way::{self, Origin, Way};
use crate::clock::MonoMillis;
use crate::content::Content;
use crate::envelope::{Envelope, Recipient};
use crate::reply::{Enhanced, Reply};

/// Pause of a domain whose hop has all the connections it may have. Each mail that ends makes room, on another
/// shard too, and nobody tells this one.
const FULL_PAUSE: Duration = Duration::from_millis(100);
pub(super) const FULL: &str = "next hop has all the connections it may have";
/// A client's mail waits so long for a connection to a hop that has all it may have, as long as others get theirs. At
/// what twenty connections carry (5,000 mails a second on one core) a hundred mails have had theirs in 20 ms; spooling
/// one instead is twice the work, and a flush.
pub(super) const VACANCY_WAIT: Duration = Duration::from_millis(500);
/// Addresses tried of one hop.
const ADDRESSES_MAX: usize = 4;

/// Everything a shard needs to send.
pub(super) struct Outlet<W: World> {
    pub world: W,
    pub settings: Settings,
    pub destinations: Arc<Destinations>,
    pub vacancies: Vacancies,
    pub pool: Pool<W>,
    pub routes: Routes,
}

/// One copy on its way.
#[derive(Clone, Copy)]
pub(super) struct Letter<'l> {
    /// Its recipients do not count, see `recipients`.
    pub envelope: &'l Envelope,
    pub recipients: &'l [Recipient],
    pub needs: Needs,
    pub content: &'l Content,
    pub asker: Asker,
}

/// What came of one recipient.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub fate: Fate,
    pub answer: HopAnswer,
    /// The hop offers DSN, so that reports of success are its business.
    pub hop_reports: bool,
}

/// A hop that owes the answer to a content.
pub(super) struct Waiting<W: World> {
    pub connection: Connection<W>,
    /// Which recipients of the letter its transaction has, in order.
    pub recipients: Vec<usize>,
    key: Key,
    host: Box<str>,
    permit: Held,
}

/// What came of a letter.
pub(super) struct Attempt<W: World> {
    /// In the order of its recipients.
    pub tried: Vec<Tried>,
    /// Recipients that are `Unknown` may still get their answer here.
    pub waiting: Option<Waiting<W>>,
    /// No hop could be used: the hops are at fault, not this mail.
    pub unusable: Option<Unusable>,
}

/// Why no hop could be used, and when the first of them is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// None of them answers.
    Down(MonoMillis),
    /// One has all the connections it may have: that is a sign of life.
    Full(MonoMillis),
}

impl<W: World> Attempt<W> {
    /// The same for everybody, and no hop was asked.
    fn without_hops(letter: Letter<'_>, fate: Fate, answer: HopAnswer) -> Self {
        let one = Tried { fate, answer, hop_reports: false };
        let tried = vec![one; letter.recipients.len()];
        Self { tried, waiting: None, unusable: None }
    }
}

/// The state of one attempt.
struct Round<'l, W: World> {
    letter: Letter<'l>,
    origin: Origin,
    patience: Patience,
    open: Vec<usize>,
    tried: Vec<Option<Tried>>,
    waiting: Option<Waiting<W>>,
    last: HopAnswer,
    answered: bool,
    down_until: Option<MonoMillis>,
    full_until: Option<MonoMillis>,
    /// The first hop that has all the connections it may have.
    full: Option<usize>,
    ticket: Option<Ticket>,
    /// Until when it waits for a connection to one that has.
    patient_until: MonoMillis,
}

impl<W: World> Outlet<W> {
    /// Goes `way` until everybody has an answer.
    pub(super) async fn attempt(
        &self,
        letter: Letter<'_>,
        way: Way,
        patience: Patience,
    ) -> Attempt<W> {
        let (hops, origin) = match way {
            Way::Hops(hops, origin) => (hops, origin),
            Way::Later(answer) => {
                return Attempt::without_hops(letter, Fate::Later(answer.reply.clone()), answer);
            }
            Way::Never(answer) => {
                return Attempt::without_hops(letter, Fate::Never(answer.reply.clone()), answer);
            }
        };
        let no_route = Reply::new(450, Enhanced(4, 4, 4), "no route to the recipient's domain");
        let mut round = Round {
            letter,
            origin,
            patience,
            open: (0..letter.recipients.len()).collect(),
            tried: vec![None; letter.recipients.len()],
            waiting: None,
            last: HopAnswer::ours(no_route),
            answered: false,
            down_until: None,
            full_until: None,
            full: None,
            ticket: None,
            patient_until: self.world.now().mono.plus(VACANCY_WAIT).min(patience.until_content),
        };
        loop {
            for hop in &hops {
                if round.is_over() {
                    break;
                }
                self.try_hop(hop, &mut round).await;
            }
            if round.is_over() || round.answered {
                break;
            }
            if !self.await_vacancy(&mut round).await {
                break;
            }
        }
        // Who spools does not keep those behind waiting.
        drop(round.ticket.take());
        let last = Tried {
            fate: Fate::Later(round.last.reply.clone()),
            answer: round.last,
            hop_reports: false,
        };
        Attempt {
            tried: round.tried.into_iter().map(|one| one.unwrap_or_else(|| last.clone())).collect(),
            waiting: round.waiting,
            unusable: match (round.full_until, round.down_until) {
                _ if round.answered => None,
                (Some(until), _) => Some(Unusable::Full(until)),
                (None, until) => until.map(Unusable::Down),
            },
        }
    }

    /// Until when a domain has to wait because all its hops are in use or left alone, and at least one is in
    /// use: known without reading the mail.
    pub(super) fn full_until(&self, domain: &str) -> Option<MonoMillis> {
        let known = (self.routes)(domain);
        // Only reports go to domains that are not ours; without a smart host it takes DNS to know where.
        let hops = known.as_deref().unwrap_or(&self.settings.report_route);
        let now = self.world.now().mono;
        let full = |hop: &&Hop| self.destinations.is_full((&hop.host, hop.port), now);
        let down =
            |hop: &Hop| self.destinations.back_off_until((&hop.host, hop.port), now).is_some();
        let some = hops.iter().any(|hop| full(&hop));
        let all = some && hops.iter().all(|hop| full(&hop) || down(hop));
        all.then(|| now.plus(FULL_PAUSE))
    }

    /// Asks for a connection; who waits for one is before those who come.
    fn admit(
        &self,
        hop: (&str, u16),
        round: &mut Round<'_, W>,
        now: MonoMillis,
    ) -> Result<Held, Denied> {
        let asker = round.letter.asker;
        let destination = self.destinations.place(hop.0, hop.1, now);
        let is_behind = asker == Asker::Client
            && self.vacancies.has_line(destination)
            && !round.ticket.as_ref().is_some_and(|ticket| ticket.is_for(destination));
        let admitted =
            if is_behind { Err(Denied::Full) } else { self.destinations.admit(hop, asker, now) };
        match admitted {
            Ok(_) => {
                if let Some(ticket) = round.ticket.take() {
                    ticket.served(destination);
                }
            }
            Err(Denied::Full) if asker == Asker::Client => {
                round.full.get_or_insert(destination);
            }
            Err(Denied::Full | Denied::BackingOff(_)) => {}
        }
        admitted.map(|permit| self.vacancies.hold(permit))
    }

    /// Waits for a connection to the hop that had none to spare. False: there is no point in that, or no more time.
    async fn await_vacancy(&self, round: &mut Round<'_, W>) -> bool {
        let Some(full) = round.full.take() else { return false };
        match &round.ticket {
            Some(ticket) => ticket.missed(),
            None => round.ticket = self.vacancies.join(full),
        }
        let is_early = self.world.now().mono < round.patient_until;
        let Some(ticket) = round.ticket.as_ref().filter(|_| is_early) else { return false };
        if !ticket.wait(&self.world, round.patient_until).await {
            round.patient_until = MonoMillis(0);
        }
        round.full_until = None;
        true
    }

    async fn try_hop(&self, hop: &Hop, round: &mut Round<'_, W>) {
        let now = self.world.now().mono;
        let name = way::destination(hop, round.origin);
        let permit = match self.admit((&name, hop.port), round, now) {
            Ok(permit) => permit,
            Err(denied) => return round.denied(hop, denied, now),
        };
        let looked_up = self.addresses(hop, round.origin).await;
        let addresses = match looked_up {
            Ok(addresses) => addresses,
            Err(error) => {
                let text = format!("next hop {}: {error}", hop.host);
                round.last = HopAnswer {
                    host: hop.host.clone(),
                    ..HopAnswer::ours(Reply::new(450, Enhanced(4, 4, 3), text))
                };
                return round.down(permit.failed(self.world.now().mono, self.world.random()));
            }
        };
        let mut permit = Some(permit);
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match self.try_address(hop, address, &mut permit, round).await {
                Ok(()) => {
                    round.answered = true;
                    if let Some(permit) = &permit {
                        permit.answered();
                    }
                    return;
                }
                Err(failure) => {
                    round.last = HopAnswer {
                        host: hop.host.clone(),
                        address: Some(SocketAddr::new(address, hop.port)),
                        tls: None,
                        reply: failure.reply(),
                        from_hop: failure.from_hop(),
                    };
                }
            }
            if self.world.now().mono >= round.patience.until_content {
                break;
            }
        }
        if let Some(permit) = permit {
            round.down(permit.failed(self.world.now().mono, self.world.random()));
        }
    }

    /// `Err`: this address cannot be used and nothing was handed over.
    async fn try_address(
        &self,
        hop: &Hop,
        address: IpAddr,
        permit: &mut Option<Held>,
        round: &mut Round<'_, W>,
    ) -> Result<(), Failure> {
        let address = SocketAddr::new(address, hop.port);
        let key = Key { host: hop.host.clone(), address, tls: hop.tls.into() };
        if let Some(connection) = self.pool.take(&key, self.world.now().mono) {
            // An idle connection may die at any moment: that is no failure of the hop, and as long as
            // the final dot was not sent a fresh one may try the same again.
            if self.transact(connection, &key, permit, round).await.is_ok() {
                return Ok(());
            }
        }
        let connection = self.open(hop, address, round.patience).await?;
        self.transact(connection, &key, permit, round).await
    }

    pub(super) async fn open(
        &self,
        hop: &Hop,
        address: SocketAddr,
        patience: Patience,
    ) -> Result<Connection<W>, Failure> {
        let settings = |tls| ClientSettings {
            helo: self.settings.host_name.clone(),
            tls,
            eight_bit: self.settings.eight_bit,
            chunking: self.settings.chunking,
        };
        match Connection::open(&self.world, (hop, address), settings(hop.tls), patience).await {
            // Opportunistic means: better in clear than not at all. After a broken handshake that
            // takes a connection of its own.
            Err(Failure::Handshake(_)) if hop.tls == TlsRule::Opportunistic => {
                let clear = settings(TlsRule::Never);
                Connection::open(&self.world, (hop, address), clear, patience).await
            }
            opened => opened,
        }
    }

    /// Transactions for everybody who is open, as many as the hop's limits ask for.
    async fn transact(
        &self,
        mut connection: Connection<W>,
        key: &Key,
        permit: &mut Option<Held>,
        round: &mut Round<'_, W>,
    ) -> Result<(), Failure> {
        loop {
            let asked = std::mem::take(&mut round.open);
            let transaction = round.transaction(&asked);
            match connection.send(transaction, round.letter.content, round.patience).await {
                Sent::Waiting(fates) => {
                    round.note(&asked, fates, &connection, &key.host);
                    if let Some(permit) = permit.take() {
                        let (key, host) = (key.clone(), key.host.clone());
                        let waiting = Waiting { connection, recipients: asked, key, host, permit };
                        round.waiting = Some(waiting);
                    }
                    return Ok(());
                }
                Sent::Over(fates) => {
                    let broke = connection.broke();
                    let handed_over =
                        fates.iter().any(|fate| matches!(fate, Fate::Taken(_) | Fate::Unknown(_)));
                    if let Some(failure) = broke
                        && !handed_over
                    {
                        round.note_refusals(&asked, fates, &connection, &key.host);
                        return Err(failure);
                    }
                    round.note(&asked, fates, &connection, &key.host);
                }
            }
            if round.open.is_empty() || !connection.is_usable() {
                break;
            }
        }
        self.give_back(key.clone(), connection).await;
        Ok(())
    }

    /// Keeps a connection for the next mail if it is still good for one.
    pub(super) async fn give_back(&self, key: Key, connection: Connection<W>) {
        let worn = connection.transactions() >= self.settings.mails_per_connection_max;
        let surplus = if worn || !connection.is_usable() {
            Some(connection)
        } else {
            self.pool.keep(key, connection)
        };
        if let Some(connection) = surplus {
            connection.quit().await;
        }
    }

    /// Waits on for a hop that owes an answer. One entry for each of `waiting.recipients`; those
    /// that are still `Unknown` will never be known.
    pub(super) async fn late_answer(&self, waiting: Waiting<W>, patience: Patience) -> Vec<Tried> {
        let Waiting { mut connection, key, host, permit, .. } = waiting;
        let fates = match connection.answer(patience).await {
            Sent::Over(fates) => fates,
            Sent::Waiting(_) => connection.give_up(Failure::TimedOut),
        };
        let tried = |fate| Tried {
            answer: answer_of(&fate, &connection, &host),
            fate,
            hop_reports: connection.offers_dsn(),
        };
        let tried = fates.into_iter().map(tried).collect();
        permit.answered();
        self.give_back(key, connection).await;
        tried
    }
}

impl<W: World> Round<'_, W> {
    fn is_over(&self) -> bool {
        self.open.is_empty() || self.waiting.is_some()
    }

    fn transaction(&self, asked: &[usize]) -> Transaction {
        let envelope = self.letter.envelope;
        Transaction {
            reverse_path: envelope.reverse_path.clone(),
            body: envelope.body,
            ret: envelope.ret,
            envid: envelope.envid.clone(),
            needs: self.letter.needs,
            bytes: self.letter.content.bytes(),
            recipients: asked
                .iter()
                .filter_map(|index| self.letter.recipients.get(*index).cloned())
                .collect(),
            probe: false,
        }
    }

    fn denied(&mut self, hop: &Hop, denied: Denied, now: MonoMillis) {
        let text = match denied {
            Denied::BackingOff(until) => {
                self.down(until);
                "next hop did not answer lately"
            }
            Denied::Full => {
                self.full_until = Some(now.plus(FULL_PAUSE));
                FULL
            }
        };
        // What the hop said a moment ago tells the operator more than that it is left alone now.
        if !self.last.from_hop {
            let reply = Reply::new(450, Enhanced(4, 4, 1), text);
            self.last = HopAnswer { host: hop.host.clone(), ..HopAnswer::ours(reply) };
        }
    }

    fn down(&mut self, until: MonoMillis) {
        self.down_until = Some(self.down_until.map_or(until, |old| old.min(until)));
    }

    /// Writes down every fate; who was not tried stays open.
    fn note(&mut self, asked: &[usize], fates: Vec<Fate>, from: &Connection<W>, host: &str) {
        for (index, fate) in asked.iter().zip(fates) {
            if matches!(fate, Fate::NotTried | Fate::Open) {
                self.open.push(*index);
            } else if let Some(slot) = self.tried.get_mut(*index) {
                let answer = answer_of(&fate, from, host);
                *slot = Some(Tried { fate, answer, hop_reports: from.offers_dsn() });
            }
        }
    }

    /// Writes down who was refused for good; the others stay open for another hop.
    fn note_refusals(
        &mut self,
        asked: &[usize],
        fates: Vec<Fate>,
        from: &Connection<W>,
        host: &str,
    ) {
        let open = |fate| match fate {
            Fate::Later(_) => Fate::Open,
            fate => fate,
        };
        self.note(asked, fates.into_iter().map(open).collect(), from, host);
    }
}

/// The answer behind a fate, and who gave it.
fn answer_of<W: World>(fate: &Fate, from: &Connection<W>, host: &str) -> HopAnswer {
    let (reply, from_hop) = match fate {
        Fate::Taken(reply) | Fate::Later(reply) | Fate::Never(reply) => (reply.clone(), true),
        Fate::Unknown(reply) => (reply.clone(), false),
        Fate::Open | Fate::Named | Fate::NotTried => {
            (Reply::new(450, Enhanced(4, 4, 5), "not tried"), false)
        }
    };
    HopAnswer {
        host: host.into(),
        address: Some(from.address),
        tls: from.tls_text(),
        reply,
        from_hop,
    }
}
