//! Names we know, with the time until which we believe them. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::ResolveError;
use crate::clock::MonoMillis;

/// A failure is asked for again soon.
const BAD_FOR: Duration = Duration::from_secs(5);
/// Longest time that an answer is believed, whatever its TTL says.
pub(super) const GOOD_FOR_MAX: Duration = Duration::from_secs(86_400);

/// What was found, and for how long it is good.
pub(super) type Found<V> = Result<(V, Duration), ResolveError>;

#[derive(Debug)]
struct Entry<V> {
    answer: Result<V, ResolveError>,
    until: MonoMillis,
    stale: Option<(V, MonoMillis)>,
}

/// One kind of answers of one shard. `entries <= entries_max`.
#[derive(Debug)]
pub(super) struct Cache<V> {
    entries: HashMap<Box<str>, Entry<V>, ahash::RandomState>,
    entries_max: usize,
    stale_for: Duration,
}

impl<V: Clone> Cache<V> {
    /// An empty one. `stale_for`: an answer that is this much too old still beats a failure.
    pub(super) fn new(entries_max: usize, stale_for: Duration) -> Self {
        Self { entries: HashMap::default(), entries_max, stale_for }
    }

    /// What is known and fresh.
    pub(super) fn find(&self, name: &str, now: MonoMillis) -> Option<Result<V, ResolveError>> {
        let entry = self.entries.get(name).filter(|entry| now < entry.until)?;
        Some(entry.answer.clone())
    }

    /// Notes an answer; gives back what is to be told: for a failure an older answer, if there is one.
    pub(super) fn note(
        &mut self,
        name: &str,
        found: Found<V>,
        now: MonoMillis,
    ) -> Result<V, ResolveError> {
        let (answer, good_for, stale) = match found {
            Ok((value, ttl)) => {
                let good_for = ttl.min(GOOD_FOR_MAX);
                let stale = (value.clone(), now.plus(good_for).plus(self.stale_for));
                (Ok(value), good_for, Some(stale))
            }
            Err(error) => {
                let old = self.entries.get(name).and_then(|old| old.stale.clone());
                let old = old.filter(|(_, until)| !self.stale_for.is_zero() && now < *until);
                (old.as_ref().map_or(Err(error), |(value, _)| Ok(value.clone())), BAD_FOR, old)
            }
        };
        self.make_room(now);
        let entry = Entry { answer: answer.clone(), until: now.plus(good_for), stale };
        self.entries.insert(name.into(), entry);
        answer
    }

    /// Drops what is old; if all is fresh, everything: simple, bounded, and only a burst of look-ups.
    fn make_room(&mut self, now: MonoMillis) {
        if self.entries.len() >= self.entries_max {
            self.entries.retain(|_, entry| now < entry.until);
        }
        if self.entries.len() >= self.entries_max {
            self.entries.clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
