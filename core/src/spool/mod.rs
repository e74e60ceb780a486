//! Append-only segments: what the engine promised to keep lies here, and nowhere else.
//!
//! `disk` is what is needed of an operating system, real or simulated (`sim`); `format` the octets of a segment; `log`
//! one append-only log of one shard; `large` mails with a file of their own; `budget` how much disk a kind of file
//! may use; `store` the queue of mails to be delivered; `reader` reads a log from another process. `quarantine`
//! and `maillog` are further users of `log`. `held` and `queued` are what is stored about a mail.
//!
//! Not done here: deciding what is stored, retry schedules, refusing for lack of room (only the figures).
//!
//! Invariants:
//! - what `append` acknowledged is there, whole and unchanged, after any cut of power, until it is killed;
//! - `0 <= durable <= written <= length` of a segment; records start on a multiple of `limits::BLOCK_BYTES`;
//! - nothing is removed before everything alive in it is durable elsewhere;
//! - a damaged record costs itself only.
//!
//! Called by `deliver`, `quarantine`, `maillog`, `pipeline` (large bodies, budgets). Estimate: a mail of 16 KiB is 5
//! blocks; with 64 mails a flush and 0.4 ms for each, a shard stores 160,000 mails/s, far more than it judges.
//! Memory per shard: 40-75 octets per mail on the disk, what waits for a flush (bounded by the sessions), the index
//! of one segment (at most 600 KiB), one segment (64 MiB) while an unsealed one is read at the start.

pub mod budget;
mod copy_id;
pub mod disk;
mod error;
mod format;
pub mod held;
pub mod large;
pub mod log;
mod queued;
pub mod reader;
mod recovery;
pub mod sim;
mod store;
mod summary;
#[cfg(test)]
mod tests;

pub use copy_id::CopyId;
pub use error::{Damage, Fault, SpoolError};
pub use format::fuzz_segment;
pub use queued::{Deferral, Mark, Outcome, QueuedMail, QueuedRecipient, RecipientState};
pub use recovery::Recovery;
pub use store::SpoolStore;
pub use summary::{Asked, QueuedSummary, SummaryRecipient};

pub(crate) use format::kind::{HELD as HELD_KIND, ROWS as ROWS_KIND};
pub(crate) use store::to_json;
#[cfg(test)]
pub(crate) use tests::on_glommio;
