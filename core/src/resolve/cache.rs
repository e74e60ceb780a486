//! Names we know, with the time until which we believe them. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::ResolveError;
use crate::clock::MonoMillis;

/// Most names kept.
pub(super) const ENTRIES_MAX: usize = 10_000;
/// The system's resolver does not tell the TTL; one minute is what a careful operator gives a host
/// that may move.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// A failure is asked for again soon.
const BAD_FOR: Duration = Duration::from_secs(5);
/// When look-ups fail, an answer that is this much too old still beats none: a hop's address
/// seldom changes while the DNS is down.
const STALE_FOR: Duration = Duration::from_secs(3_600);

/// The answer to one look-up.
pub(super) type Answer = Result<Vec<IpAddr>, ResolveError>;

#[derive(Debug)]
struct Entry {
    answer: Answer,
    until: MonoMillis,
    stale: Option<(Vec<IpAddr>, MonoMillis)>,
}

/// The cache of one shard. `entries <= ENTRIES_MAX`.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Box<str>, Entry, ahash::RandomState>,
}

impl Cache {
    /// What is known and fresh.
    pub(super) fn find(&self, host: &str, now: MonoMillis) -> Option<Answer> {
        let entry = self.entries.get(host).filter(|entry| now < entry.until)?;
        Some(entry.answer.clone())
    }

    /// Notes an answer; gives back what is to be told: for a failure an older answer, if there is one.
    pub(super) fn note(&mut self, host: &str, answer: Answer, now: MonoMillis) -> Answer {
        let stale = match &answer {
            Ok(addresses) => Some((addresses.clone(), now.plus(STALE_FOR))),
            Err(_) => self
                .entries
                .get(host)
                .and_then(|old| old.stale.clone())
                .filter(|(_, until)| now < *until),
        };
        let told = match (&answer, &stale) {
            (Err(_), Some((addresses, _))) => Ok(addresses.clone()),
            (answer, _) => (*answer).clone(),
        };
        let until = now.plus(if answer.is_ok() { GOOD_FOR } else { BAD_FOR });
        self.make_room(now);
        self.entries.insert(host.into(), Entry { answer: told.clone(), until, stale });
        told
    }

    /// Drops what is old; if all is fresh, everything: simple, bounded, and only a burst of look-ups.
    fn make_room(&mut self, now: MonoMillis) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.retain(|_, entry| now < entry.until);
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
