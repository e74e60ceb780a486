//! What operators see of the queue, and what they may do to it.

use super::{Domain, Entry, NIL, Now, Place, Queue, Taken};
use crate::control::{QueueRow, QueueWhyRow};
use crate::envelope::MailId;

impl Queue {
    /// Mails that wait, of one domain or of all; and how many there are.
    pub(in crate::deliver) fn rows(
        &self,
        domain: Option<&str>,
        rows_max: usize,
        now: Now,
    ) -> (Vec<QueueRow>, u64) {
        let mut rows = Vec::new();
        let mut total = 0;
        let wanted = domain.map(|name| self.names.get(name).copied().unwrap_or(NIL));
        for entry in self.entries.iter().filter(|entry| entry.place != Place::Free) {
            if wanted.is_some_and(|wanted| wanted != entry.domain) {
                continue;
            }
            total += 1;
            if rows.len() < rows_max {
                rows.push(self.row(entry, now));
            }
        }
        (rows, total)
    }

    fn row(&self, entry: &Entry, now: Now) -> QueueRow {
        let domain = self.domains.get(entry.domain as usize);
        let due = match entry.place {
            Place::Later => u64::from(entry.next) * 1000,
            Place::Ready => domain.map_or(0, |domain| domain.blocked_until),
            Place::Away | Place::Free => 0,
        };
        QueueRow {
            mail: entry.id.mail.to_string(),
            domain: domain.map(|domain| domain.name.to_string()).unwrap_or_default(),
            bytes: u64::from(entry.bytes),
            attempts: u32::from(entry.attempts),
            queued_at: u64::from(entry.queued_at) * 1000,
            next_attempt_at: to_wall(due, now),
            last_answer: self.answers.text(entry.answer).to_owned(),
        }
    }

    /// Why mails wait: a sentence for each domain.
    pub(in crate::deliver) fn why(&self, domain: Option<&str>, now: Now) -> Vec<QueueWhyRow> {
        // One pass over the mails for the ages and next attempts of all domains.
        let mut oldest = vec![u32::MAX; self.domains.len()];
        let mut next = vec![u32::MAX; self.domains.len()];
        let mut answer = vec![0_u16; self.domains.len()];
        for entry in self.entries.iter().filter(|entry| entry.place != Place::Free) {
            let index = entry.domain as usize;
            if let (Some(oldest), Some(next), Some(answer)) =
                (oldest.get_mut(index), next.get_mut(index), answer.get_mut(index))
            {
                *oldest = (*oldest).min(entry.queued_at);
                if entry.place == Place::Later && entry.next < *next {
                    *next = entry.next;
                    *answer = entry.answer;
                }
            }
        }
        let row = |(index, held): (usize, &Domain)| {
            let next = next.get(index).copied().filter(|at| *at != u32::MAX);
            let next = next.map(|at| u64::from(at) * 1000);
            let answer = answer.get(index).copied().unwrap_or(0);
            let (why, due) = self.sentence(held, (next, answer), now);
            let oldest = u64::from(oldest.get(index).copied().unwrap_or(u32::MAX));
            QueueWhyRow {
                domain: held.name.to_string(),
                mails: u64::from(held.mails),
                bytes: held.bytes,
                why,
                next_attempt_at: due,
                oldest_seconds: now.unix.as_secs().saturating_sub(oldest),
            }
        };
        let known = self.domains.iter().enumerate();
        let known = known.filter(|(_, found)| found.mails > 0 || found.held);
        known.filter(|(_, found)| domain.is_none_or(|name| *found.name == *name)).map(row).collect()
    }

    fn sentence(
        &self,
        domain: &Domain,
        (next, answer): (Option<u64>, u16),
        now: Now,
    ) -> (String, u64) {
        if domain.held {
            return ("held by an operator".to_owned(), 0);
        }
        if domain.blocked_until > now.mono.0 {
            let answer = self.answers.text(domain.answer);
            return (format!("backing off after: {answer}"), to_wall(domain.blocked_until, now));
        }
        if domain.ready > 0 {
            let why = match domain.away {
                0 => "ready, waits for its turn".to_owned(),
                away => format!("being delivered, {away} at a time"),
            };
            return (why, now.unix.0);
        }
        if domain.away > 0 {
            return ("being delivered, or a next hop owes its answer".to_owned(), now.unix.0);
        }
        match next {
            Some(at) => {
                let text = self.answers.text(answer);
                (format!("retry is scheduled after: {text}"), to_wall(at, now))
            }
            None => ("nothing waits".to_owned(), 0),
        }
    }

    /// Stops a domain, whether it has mails or not.
    pub(in crate::deliver) fn hold(&mut self, domain: &str) {
        let index = self.domain(domain);
        if let Some(domain) = self.domains.get_mut(index as usize) {
            domain.held = true;
        }
    }

    /// Lets a domain go on. False if it was not held.
    pub(in crate::deliver) fn unhold(&mut self, domain: &str) -> bool {
        let Some(index) = self.names.get(domain).copied() else { return false };
        let Some(domain) = self.domains.get_mut(index as usize) else { return false };
        let was = std::mem::take(&mut domain.held);
        self.take_turn(index);
        self.drop_domain(index);
        was
    }

    /// Makes everything ready now, of one domain or of all, and forgets back-offs. Names the domains.
    pub(in crate::deliver) fn flush(&mut self, domain: Option<&str>) -> Vec<String> {
        let mut wanted = vec![false; self.domains.len()];
        let mut names = Vec::new();
        for (found, wanted) in self.domains.iter_mut().zip(&mut wanted) {
            if found.mails > 0 && domain.is_none_or(|name| *found.name == *name) {
                found.blocked_until = 0;
                *wanted = true;
                names.push(found.name.to_string());
            }
        }
        let is_wanted = |index: usize| wanted.get(index).copied().unwrap_or(false);
        for slot in 0..u32::try_from(self.entries.len()).unwrap_or(NIL) {
            let Some(entry) = self.entries.get(slot as usize) else { break };
            if entry.place == Place::Later && is_wanted(entry.domain as usize) {
                self.make_ready(slot);
            }
        }
        for index in 0..u32::try_from(self.domains.len()).unwrap_or(NIL) {
            if is_wanted(index as usize) {
                self.take_turn(index);
            }
        }
        names
    }

    /// The waiting copies of a mail.
    pub(in crate::deliver) fn copies_of(&self, mail: MailId) -> Vec<Taken> {
        let waits = |entry: &Entry| {
            entry.id.mail == mail && matches!(entry.place, Place::Ready | Place::Later)
        };
        let found = self.entries.iter().enumerate().filter(|(_, entry)| waits(entry));
        found
            .map(|(slot, entry)| Taken {
                slot: u32::try_from(slot).unwrap_or(NIL),
                id: entry.id,
                attempts: u32::from(entry.attempts),
            })
            .collect()
    }

    /// Takes one out to be worked on by hand.
    pub(in crate::deliver) fn take_out(&mut self, slot: u32) {
        self.leave(slot);
    }

    /// The domain of a mail that waits.
    pub(in crate::deliver) fn domain_of(&self, slot: u32) -> Option<&str> {
        let entry = self.entries.get(slot as usize)?;
        self.domains.get(entry.domain as usize).map(|domain| &*domain.name)
    }

    /// Octets of memory that are allocated, for the bound.
    #[cfg(test)]
    pub(in crate::deliver) fn memory_bytes(&self) -> usize {
        let names = self.names.keys().map(|name| name.len() + 32).sum::<usize>();
        // A hash map keeps at least an eighth of its places free, and doubles.
        let map = self.names.capacity() * 8 / 7 * (size_of::<(std::rc::Rc<str>, u32)>() + 1);
        self.entries.capacity() * size_of::<Entry>()
            + self.domains.capacity() * size_of::<Domain>()
            + (self.free.capacity()
                + self.free_domains.capacity()
                + self.turns.iter().map(std::collections::VecDeque::capacity).sum::<usize>())
                * 4
            + self.later.capacity() * size_of::<(u32, u32)>()
            + self.blocked.capacity() * size_of::<(u64, u32)>()
            + names
            + map
    }
}

/// A point on the monotonic clock as wall clock milliseconds; 0 stays 0.
fn to_wall(mono: u64, now: Now) -> u64 {
    if mono == 0 { 0 } else { now.unix.0.saturating_add(mono.saturating_sub(now.mono.0)) }
}
