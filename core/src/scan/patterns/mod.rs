//! Patterns: rules of `SpamAssassin`, signatures of `ClamAV` and rules of our own, compiled into
//! Hyperscan databases and run over a message.
//!
//! ```text
//! sources/*  ->  rule::Rule  ->  compile (literals, tier)  ->  payload  ->  Patterns  ->  run  ->  Hits
//! ```
//!
//! A rule is matched against the *units* of one field: a paragraph, a line chunk, a header field,
//! a URI, a body part. Every rule runs by the way that is the cheapest for it
//! on a sample (`tier`); none loses a hit:
//!
//! - **literal**: the rule is a list of literals: pure-literal database over the whole text; thousands of long ones
//!   (signatures of malware) have a way of their own over octets (see `grams`);
//! - **gated**: every match of the expression contains one of some literals (proved from its
//!   syntax, see `literals`): PCRE2 runs over a unit in which the literal database saw one;
//! - **sieved**, **lazy**: it has no such literal, but the octets that its matches can begin with, or an
//!   automaton of what they are at least, say "no" to most units (see `sieve`, `lazy`); PCRE2 does the rest;
//! - **expression**: Hyperscan runs it over each unit; where libhs can only prefilter it, PCRE2
//!   confirms over the whole unit;
//! - **plain**: libhs cannot take it and it has no literal: PCRE2 over each unit, if cheap;
//!   otherwise it is refused by name when the tables are built.
//!
//! Before PCRE2 looks at a unit of a text, further strings that every match contains are looked for.
//!
//! This room does not judge: it hands out findings and counts. It reads no clock, except that the
//! build measures what a rule costs.
//!
//! Invariants: a slice between two pauses is at most [`SLICE_BYTES_MAX`]; a fault of the scanner is
//! an error, never an empty result; every count, id and length in a payload is checked when opened.
//! Memory: one payload (some MiB) for the box; for each shard one [`Scratch`]: below 1 MiB, and up to 4 MiB for each of
//! at most twelve lazy automata of a field.

mod compile;
mod confirm;
mod distance;
mod error;
pub mod fields;
mod format;
mod fuzz;
mod grams;
mod hits;
mod hs;
mod lazy;
mod literals;
mod meta;
mod open;
mod relax;
mod report;
pub mod rule;
mod run;
mod sieve;
mod simplify;
pub mod sources;
mod starter;
#[cfg(test)]
mod tests;
mod tier;
mod uncounted;

pub use compile::{CompiledPatterns, PatternSource, SourceFormat, build};
pub use error::{OpenError, ScanError, SourceError};
pub use fields::Fields;
pub use fuzz::{fuzz_open, fuzz_sources};
pub use hits::{Hit, Hits};
pub use open::Patterns;
pub use report::{BuildReport, Outcome, RuleReport};
pub use run::{Excerpt, Scratch, Ungated};
pub use sources::clamav::{HashSignature, hashes, ignored_names};
pub use starter::STARTER_RULES;

/// Octets that are scanned between two pauses.
pub const SLICE_BYTES_MAX: usize = 64 * 1024;
/// Hits of all rules in one message; one more is the finding `LimitReached`.
pub const HITS_MAX: u32 = 20_000;
/// Times one `multiple` rule is counted in one message.
pub const COUNT_MAX: u32 = 1_000;
