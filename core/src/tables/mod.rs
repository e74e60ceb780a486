//! What the engine knows and does not learn from the mail itself: recipients, sender lists, networks,
//! domains with their settings and routes, patterns, hashes, hosts.
//!
//! Data goes one way. Sources (files that people already have) are compiled by
//! [`build::build_generation`] into an immutable directory, a *generation*; the engine copies its
//! tables into a directory of its own, verifies **that copy**, maps it ([`Generation::adopt`]) and
//! swaps it in between two transactions ([`Current`]). Single changes to recipients and lists arrive
//! as small numbered *deltas* on top ([`delta`]) and are merged into a new base in the background
//! ([`publish`]).
//!
//! What it does **not** do: it decides nothing (`policy::lists` chooses among entries, `scan` weighs
//! hits), parses neither rules (`scan::patterns`) nor domain settings (`policy::source`), and never
//! changes a file once it has its name.
//!
//! Shape: a table file is a header block of 4 KiB and an rkyv payload of at most 2 GiB (rkyv's
//! relative pointers have 32 bits). Big tables are plain arrays: buckets of eight 64-bit
//! fingerprints, one cache line each, and a heap of records with the full key, so that verifying is
//! one pass of BLAKE3 and a look-up touches two lines.
//!
//! Invariants: a mapped file is ours alone, complete and verified; a snapshot never changes, so a
//! transaction that holds one sees one generation; what does not fit is refused with file and value and
//! the last good one stays; `0 <= old bases mapped <= 2` is for the caller to keep
//! ([`Current::old_bases_mapped`]).
//!
//! Memory per shard: none; all shards share the maps. Blocking I/O everywhere: adopt, build and
//! publish run beside the shards, look-ups never touch a file except through the map.

pub mod adopt;
pub mod build;
pub mod current;
pub mod delta;
pub mod domains;
pub mod error;
pub mod fuzz;
pub mod publish;
pub mod senders;
pub mod sources;

mod bypass;
mod disk;
mod file;
mod flat;
mod hashes;
mod hosts;
mod manifest;
mod networks;
mod recipients;
#[cfg(test)]
mod tests;
mod tokens;

pub use crate::config::{Route, RouteTls};
pub use adopt::Generation;
pub use build::{Progress, Report, TableReport, build_generation};
pub use bypass::{BYPASS_DAYS_MAX, BYPASSES_MAX, Bypass, Bypasses};
pub use current::{Counts, Current, Snapshot};
pub use delta::Change;
pub use domains::DomainRef;
pub use error::{AdoptError, PublishError, SourceError};
pub use recipients::{RecipientFlags, Resolution};
pub use senders::{
    Entry, MatchOn, Owner, OwnerLevel, Pattern, PatternKind, Polarity, SenderEntry, Side,
};
#[cfg(test)]
pub(crate) use sources::clamav_hashes::count as signatures_of_hashes;
pub use sources::{HostFlags, NetworkClass, Source, SourceKind, Sources};

use std::borrow::Cow;
use std::net::Ipv4Addr;

/// One list that knows the address of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkHit<'g> {
    /// What being on the list means.
    pub class: NetworkClass,
    /// Name of the list, as the operator configured it.
    pub list: &'g str,
    /// A record of the entry, `127.0.0.2` where it says none: some lists tell kinds apart by it.
    pub code: Ipv4Addr,
    /// Text of the entry (rbldnsd's, `$` replaced by the address); empty without one.
    pub text: Cow<'g, str>,
}

/// Digest of a file, attachment or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// MD5 of a whole file.
    Md5([u8; 16]),
    /// SHA-1 of a whole file.
    Sha1([u8; 20]),
    /// SHA-256 of a whole file.
    Sha256([u8; 32]),
    /// MD5 of a section of a PE file (ClamAV `mdb`).
    SectionMd5([u8; 16]),
    /// SHA-1 of a section of a PE file (ClamAV `msb`).
    SectionSha1([u8; 20]),
    /// SHA-256 of a section of a PE file (ClamAV `msb`).
    SectionSha256([u8; 32]),
    /// MD5 of what a PE file imports (ClamAV `imp`).
    ImportsMd5([u8; 16]),
    /// SHA-1 of what a PE file imports.
    ImportsSha1([u8; 20]),
    /// SHA-256 of what a PE file imports.
    ImportsSha256([u8; 32]),
    /// MD5 of a whole file that is known to be good (ClamAV `fp`).
    GoodMd5([u8; 16]),
    /// SHA-1 of one (ClamAV `sfp`).
    GoodSha1([u8; 20]),
    /// SHA-256 of one (ClamAV `sfp`).
    GoodSha256([u8; 32]),
}
