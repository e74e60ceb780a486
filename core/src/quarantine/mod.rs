//! Held mail.
//!
//! Each retention class (a number of days) is a log of its own, `quarantine/<shard>/<days>/`, so that what expires
//! together lies together and whole segments go. A copy is stored once for all its recipients; each recipient is
//! an item with a state of its own: held -> releasing -> released, or held again; deleted. From `held_at` plus
//! the days on an item is invisible, whatever its state, and its octets leave the disk within 24 hours;
//! before that day nothing drops it, no full disk either (new mail is refused instead).
//!
//! An item is released once ([`Quarantine::begin_release`]): a second request finds the first under way or done. Only
//! what a crash left in the state `Releasing` may be released again: a duplicate is possible, a loss is not.
//!
//! Not done here: delivering what is released (`deliver`), who may do what (console), showing a mail.
//! Memory: the log's entry per copy, and one more per copy with an item that is not `Held`.

mod item;
pub mod reader;
mod releasing;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub use crate::spool::held::{Attachment, AuthResult, Direction, HeldItem, HeldMail, MatchedRule};
pub use item::{Again, ItemId, ItemState, Overruled};
pub use releasing::Releasing;
use releasing::Turn;

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::spool::disk::Disk;
use crate::spool::log::{Log, LogOptions, NewRecord, Urgency};
use crate::spool::{CopyId, Damage, HELD_KIND, SpoolError, to_json};

/// Copies that one call of [`Quarantine::expire`] removes at most per class.
const EXPIRE_COUNT_MAX: usize = 10_000;

type States = BTreeMap<u16, ItemState>;

#[derive(Debug)]
struct Inner<D: Disk> {
    disk: D,
    options: LogOptions,
    shard: u16,
    classes: RefCell<BTreeMap<u16, Log<D>>>,
    /// Items that are not simply held.
    changed: RefCell<BTreeMap<CopyId, States>>,
    /// Items whose release runs in this process.
    releasing: RefCell<BTreeSet<ItemId>>,
    /// What was there at the start is known.
    recovered: Cell<bool>,
}

/// Held mails of one shard. Cheap to clone.
#[derive(Debug)]
pub struct Quarantine<D: Disk> {
    inner: Rc<Inner<D>>,
}

impl<D: Disk> Clone for Quarantine<D> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<D: Disk> Quarantine<D> {
    /// Opens the quarantine of a shard: `options.directory` is `quarantine/<shard>`. Holding works at once; what
    /// was there is known after [`Quarantine::recover`].
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the directory cannot be used.
    pub async fn open(
        disk: D,
        shard: u16,
        options: LogOptions,
        now: UnixMillis,
    ) -> Result<Self, SpoolError> {
        let directory = options.directory.clone();
        let fail = |error| SpoolError::io("open", &directory, &error);
        disk.create_dir(&directory).await.map_err(fail)?;
        let entries = disk.list(&directory).await.map_err(fail)?;
        let inner = Inner {
            disk,
            options,
            shard,
            classes: RefCell::default(),
            changed: RefCell::default(),
            releasing: RefCell::default(),
            recovered: Cell::new(false),
        };
        let quarantine = Self { inner: Rc::new(inner) };
        for days in entries.iter().filter_map(|entry| entry.name.parse::<u16>().ok()) {
            quarantine.class(days, now).await?;
        }
        quarantine.inner.recovered.set(quarantine.inner.classes.borrow().is_empty());
        Ok(quarantine)
    }

    /// Reads what was there at [`Quarantine::open`]; to be called once, beside the mail. Until then no item can
    /// be found: its state may not be known.
    pub async fn recover(&self) {
        for log in self.logs() {
            let loaded = log.load().await;
            let mut changed = self.inner.changed.borrow_mut();
            for (id, notes) in loaded.notes {
                let states = changed.entry(id).or_default();
                for (slot, text) in notes {
                    if let Ok(state) = serde_json::from_slice(&text) {
                        states.entry(slot).or_insert(state);
                    }
                }
            }
        }
        self.inner.recovered.set(true);
    }

    /// Holds a copy; returns the ids of its items, in the order of `held.items`, when it is durable.
    ///
    /// # Errors
    /// No room, disk error: nothing is held; answer 4xx.
    pub async fn hold(
        &self,
        held: &HeldMail,
        content: &Content,
        now: UnixMillis,
    ) -> Result<Vec<ItemId>, SpoolError> {
        self.inner.options.budget.check_reserve(content.bytes())?;
        let log = self.class(held.days, now).await?;
        log.set_now(now);
        let stamp = u32::try_from(held.held_at.as_secs()).unwrap_or(u32::MAX);
        let id = held.copy_id();
        let new = NewRecord { id, kind: HELD_KIND, stamp, meta: to_json(held)? };
        log.append(new, content).await?;
        let (shard, mail) = (self.inner.shard, held.mail);
        Ok(held.items.iter().map(|item| ItemId { shard, mail, recipient: item.index }).collect())
    }

    /// Reads the copy that an item belongs to, and the item's state.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`], also when it has expired or was deleted; [`SpoolError::Damaged`];
    /// [`SpoolError::StillRead`].
    pub async fn load(
        &self,
        id: ItemId,
        now: UnixMillis,
    ) -> Result<(HeldMail, ItemState, Content), SpoolError> {
        let (log, copy, held) = self.find(id, now).await?;
        let state = self.state(copy, id.recipient);
        if matches!(state, ItemState::Deleted { .. }) {
            return Err(self.not_found(id));
        }
        Ok((held, state, log.read(copy).await?.content))
    }

    /// Deletes an item, for good; returns when that is durable, with what is known of its copy.
    ///
    /// # Errors
    /// [`SpoolError::UnderWay`]: it is being released; [`SpoolError::NotFound`], also when it was deleted before;
    /// [`SpoolError::Io`]: not durable; it is as it was, though after a crash it may be gone.
    pub async fn delete(
        &self,
        id: ItemId,
        by: &str,
        now: UnixMillis,
    ) -> Result<HeldMail, SpoolError> {
        self.mark(id, ItemState::Deleted { by: by.into(), at: now }, now, None).await
    }

    /// Changes the state of an item whose release does not run, or runs and has `turn`.
    async fn mark(
        &self,
        id: ItemId,
        state: ItemState,
        now: UnixMillis,
        turn: Option<&Turn<D>>,
    ) -> Result<HeldMail, SpoolError> {
        let (log, copy, held) = self.find(id, now).await?;
        // From here to the change of state nothing else runs.
        if turn.is_none() && self.inner.releasing.borrow().contains(&id) {
            return Err(SpoolError::UnderWay { item: id.to_string() });
        }
        log.set_now(now);
        let before = self.state(copy, id.recipient);
        if matches!(before, ItemState::Deleted { .. }) {
            return Err(self.not_found(id));
        }
        if !before.may_become(&state) {
            let (is, wanted) = (before.name(), state.name());
            return Err(SpoolError::State { item: id.to_string(), state: is, wanted });
        }
        let text = to_json(&state)?;
        let taken_back = match state {
            ItemState::Releasing { .. } | ItemState::Deleted { .. } => Some(to_json(&before)?),
            // What has happened has happened, whether or not it could be written down.
            ItemState::Held | ItemState::HeldAgain(_) | ItemState::Released { .. } => None,
        };
        self.set_state(copy, id.recipient, state);
        let deleted =
            |item: &HeldItem| matches!(self.state(copy, item.index), ItemState::Deleted { .. });
        let ticket = if held.items.iter().all(deleted) {
            log.kill(copy)
        } else {
            log.note(copy, id.recipient, text, Urgency::Now)
        };
        let outcome = match ticket {
            Ok(ticket) => ticket.durable().await,
            Err(error) => Err(error),
        };
        if !log.contains(copy) {
            self.inner.changed.borrow_mut().remove(&copy);
        } else if outcome.is_err()
            && let Some(text) = taken_back
        {
            self.set_state(copy, id.recipient, before);
            // The note that failed is written with the next flush all the same: this one overrules it.
            let _ = log.note(copy, id.recipient, text, Urgency::Lazy);
        }
        outcome.map(|()| held)
    }

    /// Removes what has expired; returns how many copies. Once a minute is enough.
    pub async fn expire(&self, now: UnixMillis) -> u64 {
        let classes: Vec<(u16, Log<D>)> =
            self.inner.classes.borrow().iter().map(|(days, log)| (*days, log.clone())).collect();
        let mut count = 0;
        for (days, log) in classes {
            log.set_now(now);
            let seconds = now.as_secs().saturating_sub(u64::from(days) * 86_400);
            let before = u32::try_from(seconds).unwrap_or(u32::MAX);
            for id in log.older_than(before, EXPIRE_COUNT_MAX) {
                // Its release began in time, and may still read its file: next time then.
                if self.inner.releasing.borrow().iter().any(|item| item.mail == id.mail) {
                    continue;
                }
                // Unless old segments are still being read: next time then.
                if log.kill(id).is_ok() {
                    self.inner.changed.borrow_mut().remove(&id);
                    count += 1;
                }
            }
            self.inner.disk.pause().await;
        }
        count
    }

    /// Once a second: flushes, seals, compacts.
    pub async fn tick(&self, now: UnixMillis) {
        for log in self.logs() {
            log.tick(now).await;
        }
    }

    /// Copies that are held, as far as recovery has come.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.logs().iter().map(|log| log.count() as u64).sum()
    }

    /// What recovery and reading set aside since the last call.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        self.logs().iter().flat_map(Log::take_damage).collect()
    }

    fn logs(&self) -> Vec<Log<D>> {
        self.inner.classes.borrow().values().cloned().collect()
    }

    fn state(&self, copy: CopyId, recipient: u16) -> ItemState {
        let changed = self.inner.changed.borrow();
        changed.get(&copy).and_then(|states| states.get(&recipient)).cloned().unwrap_or_default()
    }

    fn set_state(&self, copy: CopyId, recipient: u16, state: ItemState) {
        self.inner.changed.borrow_mut().entry(copy).or_default().insert(recipient, state);
    }

    fn not_found(&self, id: ItemId) -> SpoolError {
        let directory = self.inner.options.directory.clone();
        SpoolError::NotFound { id: CopyId::new(id.mail, id.recipient), directory }
    }

    /// The log of a retention class, opened if it is a new one.
    async fn class(&self, days: u16, now: UnixMillis) -> Result<Log<D>, SpoolError> {
        if let Some(log) = self.inner.classes.borrow().get(&days) {
            return Ok(log.clone());
        }
        let mut options = self.inner.options.clone();
        options.directory = options.directory.join(days.to_string());
        options.salt = options.salt.rotate_left(u32::from(days % 64)) ^ u64::from(days);
        let log = Log::open(self.inner.disk.clone(), options, now).await?;
        // Two may have come here at once: the first one counts, the other has written nothing.
        Ok(self.inner.classes.borrow_mut().entry(days).or_insert(log).clone())
    }

    async fn find(
        &self,
        id: ItemId,
        now: UnixMillis,
    ) -> Result<(Log<D>, CopyId, HeldMail), SpoolError> {
        if !self.inner.recovered.get() {
            let directory = self.inner.options.directory.clone();
            return Err(SpoolError::StillRead { directory });
        }
        let mut unreadable = None;
        for log in self.logs() {
            for copy in log.copies_of(id.mail) {
                // Another copy of the same mail that cannot be read is not this item's fault.
                let held = match self.read_held(&log, copy).await {
                    Ok(held) => held,
                    Err(error) => {
                        unreadable = Some(error);
                        continue;
                    }
                };
                let here = held.items.iter().any(|item| item.index == id.recipient);
                if here && now < held.expires_at() && id.shard == self.inner.shard {
                    return Ok((log, copy, held));
                }
            }
        }
        Err(unreadable.unwrap_or_else(|| self.not_found(id)))
    }

    async fn read_held(&self, log: &Log<D>, copy: CopyId) -> Result<HeldMail, SpoolError> {
        let meta = log.read_meta(copy).await?;
        serde_json::from_slice(&meta).map_err(|error| SpoolError::Metadata {
            path: self.inner.options.directory.clone(),
            offset: 0,
            what: format!("{copy}: {error}"),
        })
    }
}
