//! Look-ups beside the shards, on side threads, with caches in front: addresses of configured hosts
//! by the system's resolver, and mail hosts of other people's domains by our own DNS client.
//!
//! It does **not** do TXT or DNSSEC: what authentication needs is looked up by `authn`. A zone file of the operator's ([`zone`]) is
//! served on loopback, and then everybody asks there. A look-up
//! may block, so it never runs on a shard; the shard waits with a deadline and takes that for a temporary
//! failure. The two kinds have threads of their own: strangers' slow servers must not keep a customer's next
//! hop waiting for its address. Bounds: `THREADS_MAX` threads and `REQUESTS_MAX` waiting requests of
//! each kind; per shard `HOSTS_MAX` names of hosts and `DOMAINS_MAX` domains with at most 16 mail hosts
//! each (some 10 MiB at the worst).

mod cache;
mod dns;
mod error;
mod mail_hosts;
mod resolver;
mod servers;
#[cfg(test)]
mod tests;
pub mod zone;

pub use dns::{DnsClient, DnsSettings, fuzz_answer};
pub use error::ResolveError;
pub use mail_hosts::{MailHost, MailHosts};
pub use resolver::{Lookup, Resolver, ResolverThreads, system_lookup, zone_lookup};

/// Addresses kept of one answer.
const ADDRESSES_MAX: usize = 16;
