//! Host look-ups beside the shards: side threads with the system's resolver, a cache in front.
//!
//! It does **not** do MX, TXT or DNSSEC: next hops are configured by name, and what authentication
//! needs is looked up by `authn`. A look-up may block for as long as the system's resolver is set to, so
//! it never runs on a shard; the shard waits with a deadline and takes that for a temporary failure.
//! Bounds: `THREADS_MAX` threads, `REQUESTS_MAX` waiting requests, `ENTRIES_MAX` cached names.

mod cache;
mod error;
mod resolver;
#[cfg(test)]
mod tests;

pub use error::ResolveError;
pub use resolver::{Lookup, Resolver, ResolverThreads, system_lookup};
