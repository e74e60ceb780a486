//! Append-only segments: what is durable lies here. (Room header follows with the log.)

pub mod budget;
mod copy_id;
pub mod disk;
mod error;
mod format;
pub mod held;
pub mod large;
pub mod log;
mod queued;
pub mod sim;
mod store;
#[cfg(test)]
mod tests;

pub use copy_id::CopyId;
pub use error::{Damage, Fault, SpoolError};
pub use format::fuzz_segment;
pub use queued::{Deferral, Mark, Outcome, QueuedMail, QueuedRecipient, RecipientState};
pub use store::{Recovery, SpoolStore};

pub(crate) use format::kind::{HELD as HELD_KIND, ROWS as ROWS_KIND};
pub(crate) use store::to_json;
