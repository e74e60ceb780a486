//! Delivery: hands judged copies to the next hop, keeps what it could not hand over, reports what
//! will never arrive.
//!
//! It does **not** judge, rewrite or choose who gets what: the pipeline gives it finished copies
//! ([`struct@Copy`]: recipients, octets, route domain, and what to do when it fails). It does not know how
//! the spool lies on disk ([`store::Store`]) nor how octets travel ([`transport::World`]): both are
//! traits with a real and a simulated implementation, and no clock, socket or random number is
//! used but through them, so that every failure replays from a seed.
//!
//! Parts: `client` is the SMTP client without I/O; `connection` runs it over a stream; `pool` keeps
//! idle connections; `way` says where a letter goes; `attempt`
//! tries the hops of a route; `through` answers the client by the rule
//! of 250; `queue` and `worker` retry what is spooled; `destinations` is what the whole box knows
//! about each hop; `dsn` writes reports; `callout` asks a hop about a recipient.
//!
//! Invariants: a copy is `Delivered` only by the hop's own 2yz after the final dot; `settle` answers
//! 250 only when every recipient is delivered, durable, reported durably, held durably, or refused
//! with a durable log record; a waiting mail takes at most `QUEUED_BYTES_MAX` = 300 octets of
//! memory. Called by `pipeline` (settle), `shard` (worker) and `control` (queue commands).

mod answers;
mod any_certificate;
mod attempt;
mod body;
mod callout;
pub mod client;
mod conclude;
mod connection;
mod copy;
pub mod destinations;
pub mod dsn;
pub mod live;
mod pool;
mod queue;
mod record;
mod report;
mod route;
mod settings;
pub mod store;
#[cfg(test)]
mod tests;
mod through;
pub mod transport;
mod vacancies;
mod wake;
mod way;
mod worker;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

pub use callout::Callout;
pub use copy::{Accepted, Copy, Disposition, HopAnswer, Needs, Others, RecipientOutcome, Settled};
pub use queue::QUEUED_BYTES_MAX;
pub use route::{Hop, Routes, TlsRule};
pub use settings::{Mode, Settings};

use self::attempt::Outlet;
use self::destinations::Destinations;
use self::pool::Pool;
use self::queue::Queue;
use self::store::Store;
use self::transport::World;
use self::vacancies::Vacancies;

/// Delivery of one shard. Cloning shares it.
pub struct Deliverer<W: World, S: Store> {
    inner: Rc<Inner<W, S>>,
}

struct Inner<W: World, S: Store> {
    outlet: Outlet<W>,
    store: S,
    queue: RefCell<Queue>,
    wake: wake::Wake,
    callouts: RefCell<callout::Callouts>,
    /// Queued mails under way, in the order of `queue::Line::ALL`.
    under_way: [Cell<usize>; 3],
    /// Those that have been under way for long, whatever their line.
    slow: Cell<usize>,
    /// Those of them that go to strangers' mail hosts.
    to_strangers: Cell<usize>,
    /// Mails whose lifetime or warning is being dealt with.
    overdue: Cell<usize>,
    stopping: Cell<bool>,
}

impl<W: World, S: Store> Clone for Deliverer<W, S> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<W: World, S: Store> std::fmt::Debug for Deliverer<W, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliverer").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl<W: World, S: Store> Deliverer<W, S> {
    /// The delivery of a shard. `destinations` is the box's one table; `routes` answers from the
    /// tables in force at the moment of the call.
    #[must_use]
    pub fn new(
        world: W,
        store: S,
        settings: Settings,
        destinations: Arc<Destinations>,
        routes: Routes,
    ) -> Self {
        let pool = Pool::new(settings.idle_connections_max, settings.idle_timeout);
        let away_max = settings.connections_per_destination_max;
        Self {
            inner: Rc::new(Inner {
                outlet: Outlet {
                    world,
                    settings,
                    destinations,
                    vacancies: Vacancies::default(),
                    pool,
                    routes,
                },
                store,
                queue: RefCell::new(Queue::new(away_max)),
                wake: wake::Wake::default(),
                callouts: RefCell::default(),
                under_way: Default::default(),
                slow: Cell::new(0),
                to_strangers: Cell::new(0),
                overdue: Cell::new(0),
                stopping: Cell::new(false),
            }),
        }
    }

    /// Mails in the queue of this shard.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.queue.borrow().len()
    }

    /// Clients' mails that wait for a connection to a hop that has all it may have, or for the disk: what they wait for
    /// is work of this shard, not a peer's answer.
    #[must_use]
    pub fn held_up(&self) -> u64 {
        self.inner.outlet.vacancies.held_up()
    }

    /// Ends [`Deliverer::run_queue`] at its next turn; deliveries under way go on to their end.
    pub fn stop(&self) {
        self.inner.stopping.set(true);
        self.inner.wake.notify();
    }

    fn world(&self) -> &W {
        &self.inner.outlet.world
    }

    fn settings(&self) -> &Settings {
        &self.inner.outlet.settings
    }
}
