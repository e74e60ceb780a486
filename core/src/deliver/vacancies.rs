//! Clients' mails that wait for a connection to a hop that has all it may have, each hop's in the order in which they
//! came.
//!
//! A hop that answers gives a connection back within milliseconds. Who has that much patience spares the disk: spooled
//! at once, half of the mails of an overload were written, flushed, read and sent again, at twice the work of a mail that
//! is handed on. A hop of which nothing came back for [`STUCK`] while somebody waited for it has nobody waiting until
//! something does.
//!
//! Per shard: a connection that another shard gives back is found by who waits at the end of his patience, at the latest.
//! Mail of the queue does not wait here and is not behind those who do: it asks again by itself.
//! `lines <= destinations that are full`, `places <= PLACES_MAX` in each; a place takes some 100 octets.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::destinations::Permit;
use super::transport::{World, within};
use crate::clock::MonoMillis;

/// Nothing came back for so long: the hop is stuck.
pub(super) const STUCK: Duration = Duration::from_millis(50);
/// Mails that wait for one hop; one more is spooled at once.
const PLACES_MAX: usize = 200;

/// The lines of one shard. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Vacancies(Rc<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// By the place of the destination in the box's table.
    by_destination: RefCell<HashMap<usize, Line, ahash::RandomState>>,
    held_up: Cell<u64>,
}

/// Counts a client's mail as held up until it is dropped.
#[derive(Debug)]
pub(super) struct HeldUp(Vacancies);

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Rc<Place>>,
    /// Connections that came back since the line is there.
    given_back: u64,
    /// Somebody waited and nothing came back; nothing has since.
    is_stuck: bool,
}

#[derive(Debug, Default)]
struct Place {
    /// A connection came back for this one, and has not been asked for yet.
    is_called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place in a line; left when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    lines: Vacancies,
    destination: usize,
    place: Rc<Place>,
}

/// The right to a connection; who waits for one hears of it when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    permit: Permit,
    lines: Vacancies,
}

impl Vacancies {
    /// Whether somebody waits already: who comes now waits behind them.
    pub(super) fn has_line(&self, destination: usize) -> bool {
        self.0
            .by_destination
            .borrow()
            .get(&destination)
            .is_some_and(|line| !line.waiting.is_empty())
    }

    /// A place at the end of the line; none where waiting is in vain.
    pub(super) fn join(&self, destination: usize) -> Option<Ticket> {
        let mut lines = self.0.by_destination.borrow_mut();
        let line = lines.entry(destination).or_default();
        if line.is_stuck || line.waiting.len() >= PLACES_MAX {
            return None;
        }
        let place = Rc::new(Place::default());
        line.waiting.push_back(Rc::clone(&place));
        Some(Ticket { lines: self.clone(), destination, place })
    }

    /// A client's mail waits for something that others have now: a connection, the disk.
    pub(super) fn hold_up(&self) -> HeldUp {
        self.0.held_up.set(self.0.held_up.get() + 1);
        HeldUp(self.clone())
    }

    /// How many do.
    pub(super) fn held_up(&self) -> u64 {
        self.0.held_up.get()
    }

    pub(super) fn hold(&self, permit: Permit) -> Held {
        Held { permit, lines: self.clone() }
    }

    /// A connection is there: the first who was not called yet is.
    fn call(&self, destination: usize) {
        let lines = self.0.by_destination.borrow();
        let waiting = lines.get(&destination).map(|line| &line.waiting);
        let Some(place) = waiting.into_iter().flatten().find(|place| !place.is_called.get()) else {
            return;
        };
        place.is_called.set(true);
        if let Some(waker) = place.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn given_back(&self, destination: usize) {
        if let Some(line) = self.0.by_destination.borrow_mut().get_mut(&destination) {
            line.given_back += 1;
            line.is_stuck = false;
        }
        self.call(destination);
        self.tidy(destination);
    }

    fn count(&self, destination: usize) -> u64 {
        self.0.by_destination.borrow().get(&destination).map_or(0, |line| line.given_back)
    }

    fn tidy(&self, destination: usize) {
        let mut lines = self.0.by_destination.borrow_mut();
        if lines.get(&destination).is_some_and(|line| line.waiting.is_empty() && !line.is_stuck) {
            lines.remove(&destination);
        }
    }
}

impl Ticket {
    pub(super) fn is_for(&self, destination: usize) -> bool {
        self.destination == destination
    }

    /// Waits for a connection that comes back, as long as some do, until `until` at the latest. False: none came for this
    /// one; it is to be asked for once more even so, since another shard may have given one back.
    pub(super) async fn wait(&self, world: &impl World, until: MonoMillis) -> bool {
        let _held_up = self.lines.hold_up();
        loop {
            let before = self.lines.count(self.destination);
            let called = poll_fn(|context| {
                if self.place.is_called.get() {
                    return Poll::Ready(());
                }
                *self.place.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            });
            let now = world.now().mono;
            if within(world, now.plus(STUCK).min(until), called).await.is_some() {
                return true;
            }
            let is_late = world.now().mono >= until;
            let mut lines = self.lines.0.by_destination.borrow_mut();
            let Some(line) = lines.get_mut(&self.destination) else { return false };
            let has_moved = line.given_back != before;
            line.is_stuck |= !has_moved && now.plus(STUCK) <= until;
            if is_late || !has_moved {
                return false;
            }
        }
    }

    /// Another one was quicker: the place is kept.
    pub(super) fn missed(&self) {
        self.place.is_called.set(false);
    }

    /// A connection to this destination is had.
    pub(super) fn served(self, destination: usize) {
        if destination == self.destination {
            self.place.is_called.set(false);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(line) = self.lines.0.by_destination.borrow_mut().get_mut(&self.destination) {
            line.waiting.retain(|place| !Rc::ptr_eq(place, &self.place));
        }
        if self.place.is_called.get() {
            // It leaves without what is there for it.
            self.lines.call(self.destination);
        }
        self.lines.tidy(self.destination);
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        let held_up = &self.0.0.held_up;
        held_up.set(held_up.get().saturating_sub(1));
    }
}

impl Deref for Held {
    type Target = Permit;

    fn deref(&self) -> &Permit {
        &self.permit
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever is called has his turn after this, when the permit is back.
        self.lines.given_back(self.permit.destination());
    }
}
