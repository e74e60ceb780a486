//! Delivery: hands judged copies to the next hop, keeps what it could not hand over, reports what
//! will never arrive.
//!
//! It does **not** judge, rewrite or choose who gets what: the pipeline gives it finished copies
//! ([`Copy`]: recipients, octets, route domain, and what to do when it fails). It does not know how
//! the spool lies on disk ([`store::Store`]) nor how octets travel ([`transport::World`]): both are
//! traits with a real and a simulated implementation, and no clock, socket or random number is
//! used but through them, so that every failure replays from a seed.
//!
//! Parts: `client` is the SMTP client without I/O; `connection` runs it over a stream; `pool` keeps
//! idle connections; `attempt` tries the hops of a route; `through` answers the client by the rule
//! of 250; `queue` and `worker` retry what is spooled; `destinations` is what the whole box knows
//! about each hop; `dsn` writes reports; `callout` asks a hop about a recipient.
//!
//! Invariants: a copy is `Delivered` only by the hop's own 2yz after the final dot; `settle` answers
//! 250 only when every recipient is delivered, durable, reported durably, held durably, or refused
//! with a durable log record; a waiting mail takes at most `QUEUED_BYTES_MAX` = 300 octets of
//! memory. Called by `pipeline` (settle), `shard` (worker) and `control` (queue commands).

mod copy;
mod route;

pub use copy::{Accepted, Copy, Disposition, HopAnswer, Needs, Others, RecipientOutcome, Settled};
pub use route::{Hop, Routes, TlsRule};
