//! The rooms of one shard: everything that its sessions, its queue and its inbox use.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use glommio::TaskQueueHandle;

use super::counters::{Counter, Counters};
use super::deadlines::Deadlines;
use super::delivery::Deliverer;
use super::listener::Listening;
use super::memory::Memory;
use super::overload::{self, Overload, Standing};
use super::shared::Shared;
use crate::clock::{MonoMillis, UnixMillis};
use crate::envelope::MailId;
use crate::maillog::MailLog;
use crate::quarantine::Quarantine;
use crate::scan::patterns::{Patterns, ScanError, Scratch};
use crate::socket::Sockets;
use crate::spool::disk::GlommioDisk;
use crate::spool::{SpoolStore, large};

/// A large message that is arriving.
pub type LargeWriter = large::LargeWriter<GlommioDisk>;
/// A large message that has arrived.
pub type Incoming = large::Incoming<GlommioDisk>;

/// Scratch spaces that are kept for the next scan.
const SCRATCHES_MAX: usize = 16;

/// Task queues of the executor: mail before delivery before strangers before housekeeping, by shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues {
    /// Listeners, the ring, and sessions of those whom we know.
    pub(super) mail: TaskQueueHandle,
    pub(super) strangers: TaskQueueHandle,
    pub(super) delivery: TaskQueueHandle,
    pub(super) background: TaskQueueHandle,
}

/// The rooms of one shard.
pub struct Rooms {
    /// Number of the shard.
    pub index: u16,
    /// What all shards share.
    pub shared: Arc<Shared>,
    /// Where connections come from.
    pub sockets: Sockets,
    /// Waiting mail.
    pub spool: SpoolStore<GlommioDisk>,
    /// Held mail.
    pub quarantine: Quarantine<GlommioDisk>,
    /// Mail log.
    pub maillog: MailLog<GlommioDisk>,
    /// Delivery.
    pub deliverer: Deliverer,
    /// Deadlines of the sessions.
    pub deadlines: Deadlines,
    /// Budget for message bodies.
    pub memory: Memory,
    pub(super) queues: Queues,
    pub(super) listening: RefCell<Vec<Rc<Listening>>>,
    pub(super) sessions: Rc<Cell<u64>>,
    /// Whether more comes than can be served.
    pub(super) overload: Overload,
    pub(super) random: Random,
    /// Scratch spaces with the patterns that they were made for.
    pub(super) scratches: RefCell<Vec<(Arc<Patterns>, Scratch)>>,
    /// Compiled content conditions of domains.
    pub(crate) content: RefCell<crate::scan::content::Cache>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Rooms {
    /// Counts one.
    pub fn count(&self, what: Counter) {
        self.count_many(what, 1);
    }

    /// Counts `many`.
    pub fn count_many(&self, what: Counter, many: u64) {
        if let Some(counters) = self.counters() {
            counters.add(what, many);
        }
    }

    fn counters(&self) -> Option<&Arc<Counters>> {
        self.shared.counters.get(usize::from(self.index))
    }

    /// A fresh id for a mail.
    #[must_use]
    pub fn new_mail_id(&self, now: UnixMillis) -> MailId {
        let mut random = [0; 10];
        let draws = self.random.next().to_le_bytes().into_iter();
        let draws = draws.chain(self.random.next().to_le_bytes());
        for (octet, draw) in random.iter_mut().zip(draws) {
            *octet = draw;
        }
        MailId::from_parts(now, random)
    }

    pub(super) fn listening(&self, which: usize) -> Option<Rc<Listening>> {
        self.listening.borrow().get(which).map(Rc::clone)
    }

    /// Counts a session as open until it is dropped.
    pub(super) fn session_guard(&self, whose: Standing, now: MonoMillis) -> SessionGuard {
        self.sessions.set(self.sessions.get() + 1);
        let working = self.overload.session(whose, now);
        SessionGuard { open: Rc::clone(&self.sessions), working }
    }

    pub(super) fn spawn_mail(&self, work: impl Future<Output = ()> + 'static) {
        spawn(work, self.queues.mail);
    }

    /// Strangers get what time others leave, and a part of it when these leave none.
    pub(super) fn spawn_session(&self, whose: Standing, work: impl Future<Output = ()> + 'static) {
        let queue = match whose {
            Standing::Known => self.queues.mail,
            Standing::Stranger => self.queues.strangers,
        };
        spawn(work, queue);
    }

    pub(super) fn spawn_background(&self, work: impl Future<Output = ()> + 'static) {
        spawn(work, self.queues.background);
    }

    pub(super) fn spawn_delivery(&self, work: impl Future<Output = ()> + 'static) {
        spawn(work, self.queues.delivery);
    }

    /// A scratch space for `patterns`: one that is free, or a new one; an empty one where the
    /// generation has no patterns.
    ///
    /// # Errors
    /// No memory for one.
    pub fn take_scratch(&self, patterns: Option<&Arc<Patterns>>) -> Result<Scratch, ScanError> {
        let Some(patterns) = patterns else { return Ok(Scratch::default()) };
        let mut free = self.scratches.borrow_mut();
        free.retain(|(made_for, _)| Arc::ptr_eq(made_for, patterns));
        match free.pop() {
            Some((_, scratch)) => Ok(scratch),
            None => patterns.scratch(),
        }
    }

    /// Gives a scratch space back.
    pub fn give_scratch(&self, patterns: Option<&Arc<Patterns>>, scratch: Scratch) {
        let Some(patterns) = patterns else { return };
        let mut free = self.scratches.borrow_mut();
        if free.len() < SCRATCHES_MAX {
            free.push((Arc::clone(patterns), scratch));
        }
    }
}

fn spawn(work: impl Future<Output = ()> + 'static, queue: TaskQueueHandle) {
    match glommio::spawn_local_into(work, queue) {
        Ok(task) => {
            task.detach();
        }
        Err(error) => tracing::error!(%error, "a task could not be started"),
    }
}

/// One open session.
#[derive(Debug)]
pub(super) struct SessionGuard {
    open: Rc<Cell<u64>>,
    working: overload::Session,
}

impl SessionGuard {
    /// The session, accepted at `accepted`, has its first turn.
    pub(super) fn first_turn(&self, accepted: MonoMillis, now: MonoMillis) {
        self.working.first_turn(accepted, now);
    }

    /// Something came from the client.
    pub(super) fn heard(&self, now: MonoMillis) {
        self.working.heard(now);
    }

    /// A message was answered.
    pub(super) fn answered(&self, now: MonoMillis) {
        self.working.answered(now);
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
    }
}

/// Random numbers of a shard, from a seed that the kernel drew at the start (splitmix64): for ids,
/// jitter and choices among equals, never for secrets.
#[derive(Debug)]
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub(super) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
