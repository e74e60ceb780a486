//! Gathers findings about one message: patterns, hashes, URLs, attachments, containers. Never
//! decides what shall happen; never does I/O.
//!
//! [`examine`] is what shards and analysis workers call. On a shard it never opens a container:
//! [`crate::analysis::needs_worker`] sends such messages to a worker, which calls [`expand`] first,
//! so that members are parts like all others.
//!
//! Faults: what is wrong with the message is a finding (`Encrypted`, `LimitReached`, `Malformed`,
//! `NotScanned`). A fault of ours is an error of the caller, never an empty list of findings.
//!
//! Memory: findings are at most [`FINDINGS_MAX`], each below 300 octets of text.

mod active;
mod archive;
mod attachment;
mod brand;
mod cipher;
pub mod content;
mod cut;
mod examine;
pub mod finding;
mod fuzz;
mod graymail;
mod hash;
mod hidden;
mod kin;
mod known;
mod letter;
mod links;
mod named;
mod names;
mod ole;
mod passwords;
pub mod patterns;
mod pdf;
mod signs;
mod structure;
#[cfg(test)]
mod tests;
pub mod yara;
mod zip;

pub use active::{fuzz_active, fuzz_rtf};
pub use archive::{ArchiveLimits, expand, fuzz_archive};
pub(crate) use attachment::as_saved;
pub use cut::{Cut, STAND_IN, Unwanted, cuts};
pub(crate) use examine::shows;
pub use examine::{
    Attachment, Examination, FINDINGS_MAX, Facts, HashLookUp, ScanTables, Scanned, examine,
};
pub use fuzz::{fuzz_filters, fuzz_links, fuzz_mail, fuzz_protected, fuzz_streams};
pub use known::passes_for;
pub use letter::{Sender, fold};
pub use names::{NAMES, Named};
pub use ole::{fuzz_ole, msg_to_mail};
pub(crate) use signs::{REPLY_TO_FREE_MAIL, REPLY_TO_FREE_MAIL_HIDDEN};
pub use signs::{SIGNS, Sign};
