//! The waiting mails of one shard, in memory: who is next, and why the others wait. Pure.
//!
//! Only what scheduling needs is here, everything else is in the spool: at most `QUEUED_BYTES_MAX` octets
//! for each mail, its domain's entry included. Mails stand in one list per recipient domain, so a
//! domain that is held or whose hops are down costs nothing but its place: it is not looked at until
//! its time comes, however many mails it has. Healthy domains take turns.
//!
//! A mail that a hop answered with 4yz waits by its own retry schedule (`Later`); a mail whose hops
//! could not be reached waits for them (`Ready` in a blocked domain) and goes as soon as they answer.
//! All times are on the monotonic clock, in seconds: a jump of the wall clock expires nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;

use super::answers::Answers;
use super::destinations::QUEUED_FIRST;
use crate::clock::{MonoMillis, Now};
use crate::spool::CopyId;

/// Memory of one waiting mail: the bound of the requirement.
pub const QUEUED_BYTES_MAX: usize = 300;
/// Mails that one call looks at because their time has come.
const WOKEN_MAX: usize = 1_024;
/// Domains up to which one that has no mail is remembered because its hops answer: some 150 octets each.
const REMEMBERED_MAX: usize = 4_096;
/// "No entry" in the lists.
const NIL: u32 = u32::MAX;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not used.
    Free,
    /// In its domain's list.
    Ready,
    /// In the heap, until its own next attempt.
    Later,
    /// Being delivered, or a hop owes its answer.
    Away,
}

/// A mail that waits, as it is put in.
#[derive(Clone, Debug)]
pub(super) struct Waiting<'w> {
    pub id: CopyId,
    pub domain: &'w str,
    pub bytes: u64,
    pub attempts: u32,
    pub last_answer: &'w str,
    /// Wall clock in seconds.
    pub queued_at: u32,
    /// When it is given up.
    pub expires: MonoMillis,
    /// When a warning "delayed" is due; `None` if nobody asked for one.
    pub warn_at: Option<MonoMillis>,
}

/// 60 octets.
#[derive(Debug)]
struct Entry {
    id: CopyId,
    attempts: u16,
    answer: u16,
    place: Place,
    domain: u32,
    before: u32,
    behind: u32,
    bytes: u32,
    queued_at: u32,
    next: u32,
    expires: u32,
    warn_at: u32,
}

/// What is known of a domain's hops, and so in which line its mails stand: a crowd of hops that swallow
/// connections must not keep those waiting that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// They answered the last time.
    Proven,
    /// Nobody has asked them yet.
    Fresh,
    /// They did not answer lately: one mail at a time until they do.
    Doubtful,
}

impl Line {
    pub(super) const ALL: [Self; 3] = [Self::Proven, Self::Fresh, Self::Doubtful];
}

#[derive(Debug)]
struct Domain {
    name: Rc<str>,
    first: u32,
    last: u32,
    ready: u32,
    mails: u32,
    away: u32,
    bytes: u64,
    /// Milliseconds; 0 = not blocked.
    blocked_until: u64,
    answer: u16,
    /// Answers of its hops since they are known or could not be used last: so many more than [`QUEUED_FIRST`] of
    /// its mails may be under way. As the box counts for each hop, so that mails are not read in vain.
    answers: u16,
    held: bool,
    line: Line,
    /// In one of the `turns` already.
    in_turns: bool,
}

/// A mail that is to be delivered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub slot: u32,
    pub id: CopyId,
    pub attempts: u32,
}

/// What the sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Its lifetime is over.
    Expired(Taken),
    /// Its sender asked to be told of a delay. It stays where it is.
    Warning(u32, CopyId),
}

/// The queue of one shard.
#[derive(Debug)]
pub(super) struct Queue {
    entries: Vec<Entry>,
    free: Vec<u32>,
    domains: Vec<Domain>,
    free_domains: Vec<u32>,
    names: HashMap<Rc<str>, u32, ahash::RandomState>,
    /// In the order of `Line::ALL`.
    turns: [VecDeque<u32>; 3],
    later: BinaryHeap<Reverse<(u32, u32)>>,
    blocked: BinaryHeap<Reverse<(u64, u32)>>,
    answers: Answers,
    cursor: usize,
    away_per_domain_max: u32,
}

/// Seconds, rounded up: nothing is early.
fn seconds(at: MonoMillis) -> u32 {
    u32::try_from(at.0.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Grows by an eighth, not by half: at a million entries the slack of doubling alone would break
/// the bound.
fn push_lean<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 64);
    }
    list.push(item);
}

impl Queue {
    pub(super) fn new(away_per_domain_max: u32) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            domains: Vec::new(),
            free_domains: Vec::new(),
            names: HashMap::default(),
            turns: Default::default(),
            later: BinaryHeap::new(),
            blocked: BinaryHeap::new(),
            answers: Answers::default(),
            cursor: 0,
            away_per_domain_max: away_per_domain_max.max(1),
        }
    }

    /// Mails that wait or are away.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Puts a mail in; it stays `Away` until one of the other calls says where it goes.
    pub(super) fn insert(&mut self, mail: &Waiting<'_>) -> u32 {
        let domain = self.domain(mail.domain);
        let entry = Entry {
            id: mail.id,
            attempts: u16::try_from(mail.attempts).unwrap_or(u16::MAX),
            answer: self.answers.index_of(mail.last_answer),
            place: Place::Away,
            domain,
            before: NIL,
            behind: NIL,
            bytes: u32::try_from(mail.bytes).unwrap_or(u32::MAX),
            queued_at: mail.queued_at,
            next: 0,
            expires: seconds(mail.expires),
            warn_at: mail.warn_at.map_or(u32::MAX, seconds),
        };
        let bytes = u64::from(entry.bytes);
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.entries.get_mut(slot as usize) {
                    *place = entry;
                }
                slot
            }
            None => {
                push_lean(&mut self.entries, entry);
                u32::try_from(self.entries.len() - 1).unwrap_or(NIL)
            }
        };
        if let Some(domain) = self.domains.get_mut(domain as usize) {
            domain.mails += 1;
            domain.away += 1;
            domain.bytes += bytes;
        }
        slot
    }

    /// Ready now: behind the others of its domain.
    pub(super) fn make_ready(&mut self, slot: u32) {
        if self.leave(slot) {
            self.append(slot);
        }
    }

    /// Waits for its own next attempt.
    pub(super) fn put_off(&mut self, slot: u32, until: MonoMillis, attempts: u32, answer: &str) {
        if !self.leave(slot) {
            return;
        }
        let answer = self.answers.index_of(answer);
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        entry.place = Place::Later;
        entry.attempts = u16::try_from(attempts).unwrap_or(u16::MAX);
        entry.answer = answer;
        entry.next = seconds(until);
        let (index, item) = (entry.domain, Reverse((entry.next, slot)));
        if let Some(domain) = self.domains.get_mut(index as usize) {
            domain.away = domain.away.saturating_sub(1);
        }
        // Its place among those under way is free for another one.
        self.take_turn(index);
        // Stale items of mails that were moved by hand must not pile up.
        if self.later.len() > 2 * self.entries.len() + 1_024 {
            self.rebuild_later();
        } else {
            self.later.push(item);
        }
    }

    /// The domain's hops could not be used: it waits as a whole, this mail in front.
    pub(super) fn block(&mut self, slot: u32, until: MonoMillis, answer: &str) {
        if !self.leave(slot) {
            return;
        }
        let answer = self.answers.index_of(answer);
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        entry.answer = answer;
        let index = entry.domain;
        if let Some(domain) = self.domains.get_mut(index as usize) {
            domain.answer = answer;
            domain.answers = 0;
            domain.line = Line::Doubtful;
            domain.blocked_until = domain.blocked_until.max(until.0);
            self.blocked.push(Reverse((domain.blocked_until, index)));
        }
        self.prepend(slot);
    }

    /// The domain's hops are busy: it waits a moment as a whole, this mail in front, and is trusted as before. A busy
    /// hop taken for a doubtful one would stand in line behind a thousand silent ones.
    pub(super) fn pause(&mut self, slot: u32, until: MonoMillis, answer: &str) {
        if !self.leave(slot) {
            return;
        }
        let answer = self.answers.index_of(answer);
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        let index = entry.domain;
        if let Some(domain) = self.domains.get_mut(index as usize) {
            domain.answer = answer;
            if domain.blocked_until < until.0 {
                domain.blocked_until = until.0;
                self.blocked.push(Reverse((until.0, index)));
            }
        }
        self.prepend(slot);
    }

    /// The domain's hops answer.
    pub(super) fn answered(&mut self, slot: u32) {
        let Some(entry) = self.entries.get(slot as usize) else { return };
        let index = entry.domain;
        if let Some(domain) = self.domains.get_mut(index as usize) {
            domain.line = Line::Proven;
            domain.answers = domain.answers.saturating_add(1);
            domain.blocked_until = 0;
        }
        self.take_turn(index);
    }

    /// The mail is gone.
    pub(super) fn remove(&mut self, slot: u32) {
        if !self.leave(slot) {
            return;
        }
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        entry.place = Place::Free;
        let (index, bytes) = (entry.domain, u64::from(entry.bytes));
        self.free.push(slot);
        let Some(domain) = self.domains.get_mut(index as usize) else { return };
        domain.away = domain.away.saturating_sub(1);
        domain.mails -= 1;
        domain.bytes -= bytes;
        self.take_turn(index);
        self.drop_domain(index);
    }

    /// The next mail to deliver of one line, domain by domain in turn.
    pub(super) fn take(&mut self, line: Line, now: MonoMillis) -> Option<Taken> {
        self.wake(now);
        while let Some(index) = self.turns.get_mut(line as usize)?.pop_front() {
            // It may have changed its line since it took its place.
            match self.domains.get(index as usize).map(|domain| domain.line) {
                Some(other) if other != line => self.stand(other, index),
                _ => {
                    if let Some(taken) = self.take_of(index, now) {
                        return Some(taken);
                    }
                }
            }
        }
        None
    }

    fn stand(&mut self, line: Line, index: u32) {
        if let Some(turns) = self.turns.get_mut(line as usize) {
            turns.push_back(index);
        }
    }

    fn take_of(&mut self, index: u32, now: MonoMillis) -> Option<Taken> {
        let most = self.away_per_domain_max;
        let domain = self.domains.get_mut(index as usize)?;
        domain.in_turns = false;
        let known = most.min(QUEUED_FIRST + u32::from(domain.answers));
        let most = if domain.line == Line::Doubtful { 1 } else { known };
        let slot = domain.first;
        if domain.held || domain.away >= most || domain.blocked_until > now.0 || slot == NIL {
            self.drop_domain(index);
            return None;
        }
        self.leave(slot);
        self.take_turn(index);
        let entry = self.entries.get(slot as usize)?;
        Some(Taken { slot, id: entry.id, attempts: u32::from(entry.attempts) })
    }

    /// A mail that was tried before the restart: its domain is not trusted until a hop answers.
    pub(super) fn doubt(&mut self, slot: u32) {
        let Some(entry) = self.entries.get(slot as usize) else { return };
        if let Some(domain) = self.domains.get_mut(entry.domain as usize) {
            domain.line = Line::Doubtful;
        }
    }

    /// When something is due that is not due now; `None` if nothing waits for a time.
    pub(super) fn next_event(&self) -> Option<MonoMillis> {
        let later = self.later.peek().map(|Reverse((at, _))| u64::from(*at) * 1000);
        let blocked = self.blocked.peek().map(|Reverse((at, _))| *at);
        [later, blocked].into_iter().flatten().min().map(MonoMillis)
    }

    /// Looks at up to `count` further entries for lifetimes and warnings, and stops when it has found
    /// `found_max`; says how many it looked at.
    pub(super) fn sweep(
        &mut self,
        now: MonoMillis,
        count: usize,
        found_max: usize,
    ) -> (Vec<Overdue>, usize) {
        let now = u32::try_from(now.0 / 1000).unwrap_or(u32::MAX);
        let mut out = Vec::new();
        let mut looked = 0;
        while looked < count.min(self.entries.len()) && out.len() < found_max {
            looked += 1;
            if self.cursor >= self.entries.len() {
                self.cursor = 0;
            }
            let slot = self.cursor;
            self.cursor += 1;
            let Some(entry) = self.entries.get_mut(slot) else { break };
            if !matches!(entry.place, Place::Ready | Place::Later) {
                continue;
            }
            let (id, attempts) = (entry.id, u32::from(entry.attempts));
            if entry.expires <= now {
                let slot = u32::try_from(slot).unwrap_or(NIL);
                self.leave(slot);
                out.push(Overdue::Expired(Taken { slot, id, attempts }));
            } else if entry.warn_at <= now {
                entry.warn_at = u32::MAX;
                out.push(Overdue::Warning(u32::try_from(slot).unwrap_or(NIL), id));
            }
        }
        (out, looked)
    }

    /// What was said last of a mail.
    pub(super) fn last_answer(&self, slot: u32) -> &str {
        let entry = self.entries.get(slot as usize);
        entry.map_or("", |entry| self.answers.text(entry.answer))
    }

    /// Takes an entry out of its list or heap; it is `Away` then. False if it is free.
    fn leave(&mut self, slot: u32) -> bool {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return false };
        let (place, before, behind, index) =
            (entry.place, entry.before, entry.behind, entry.domain);
        (entry.before, entry.behind) = (NIL, NIL);
        if place == Place::Free {
            return false;
        }
        entry.place = Place::Away;
        if place == Place::Ready {
            self.link(before, behind, index);
        }
        if let Some(domain) = self.domains.get_mut(index as usize) {
            domain.ready -= u32::from(place == Place::Ready);
            domain.away += u32::from(place != Place::Away);
        }
        true
    }

    /// Makes `before` and `behind` neighbours.
    fn link(&mut self, before: u32, behind: u32, domain: u32) {
        let Some(domain) = self.domains.get_mut(domain as usize) else { return };
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.behind = behind,
            None => domain.first = behind,
        }
        match self.entries.get_mut(behind as usize) {
            Some(entry) => entry.before = before,
            None => domain.last = before,
        }
    }

    fn append(&mut self, slot: u32) {
        self.enlist(slot, |domain| (domain.last, NIL));
    }

    fn prepend(&mut self, slot: u32) {
        self.enlist(slot, |domain| (NIL, domain.first));
    }

    fn enlist(&mut self, slot: u32, between: impl Fn(&Domain) -> (u32, u32)) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        let index = entry.domain;
        let Some(domain) = self.domains.get_mut(index as usize) else { return };
        let (before, behind) = between(domain);
        (entry.before, entry.behind, entry.place) = (before, behind, Place::Ready);
        domain.ready += 1;
        domain.away = domain.away.saturating_sub(1);
        self.link(before, slot, index);
        self.link(slot, behind, index);
        self.take_turn(index);
    }

    /// What has come to its time, at most [`WOKEN_MAX`] mails: of a million that are due in the same second the
    /// others follow with the next calls, and the shard's sessions have their turn in between.
    fn wake(&mut self, now: MonoMillis) {
        let second = u32::try_from(now.0 / 1000).unwrap_or(u32::MAX);
        for _ in 0..WOKEN_MAX {
            let Some(Reverse((at, slot))) = self.later.peek().copied() else { break };
            if at > second {
                break;
            }
            self.later.pop();
            let entry = self.entries.get(slot as usize);
            if entry.is_some_and(|entry| entry.place == Place::Later && entry.next <= second) {
                self.make_ready(slot);
            }
        }
        while let Some(Reverse((at, index))) = self.blocked.peek().copied() {
            if at > now.0 {
                break;
            }
            self.blocked.pop();
            self.take_turn(index);
        }
    }

    fn take_turn(&mut self, index: u32) {
        let Some(domain) = self.domains.get_mut(index as usize) else { return };
        if !domain.in_turns && domain.ready > 0 && !domain.held {
            domain.in_turns = true;
            let line = domain.line;
            self.stand(line, index);
        }
    }

    fn rebuild_later(&mut self) {
        let waiting = self.entries.iter().enumerate();
        let waiting = waiting.filter(|(_, entry)| entry.place == Place::Later);
        let waiting =
            waiting.map(|(slot, e)| Reverse((e.next, u32::try_from(slot).unwrap_or(NIL))));
        self.later = waiting.collect();
    }

    /// The entry of a domain, made if there is none.
    fn domain(&mut self, name: &str) -> u32 {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let name: Rc<str> = name.into();
        let domain = Domain {
            name: Rc::clone(&name),
            first: NIL,
            last: NIL,
            ready: 0,
            mails: 0,
            away: 0,
            answers: 0,
            bytes: 0,
            blocked_until: 0,
            answer: 0,
            held: false,
            line: Line::Fresh,
            in_turns: false,
        };
        let index = match self.free_domains.pop() {
            Some(index) => {
                if let Some(place) = self.domains.get_mut(index as usize) {
                    *place = domain;
                }
                index
            }
            None => {
                push_lean(&mut self.domains, domain);
                u32::try_from(self.domains.len() - 1).unwrap_or(NIL)
            }
        };
        self.names.insert(name, index);
        index
    }

    /// Forgets a domain that has neither mails nor a hold. One whose hops answer is known for longer: a healthy
    /// domain with little mail would come back as a stranger each time.
    fn drop_domain(&mut self, index: u32) {
        let Some(domain) = self.domains.get(index as usize) else { return };
        if domain.mails > 0 || domain.held || domain.in_turns {
            return;
        }
        if domain.line == Line::Proven && self.names.len() <= REMEMBERED_MAX {
            return;
        }
        if self.names.remove(&*domain.name).is_some() {
            self.free_domains.push(index);
        }
    }
}

#[path = "queue_view.rs"]
mod view;
