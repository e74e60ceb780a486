//! Append-only segments: what is durable lies here. (Room header follows with the log.)

pub mod budget;
mod copy_id;
pub mod disk;
mod error;
pub mod held;
pub mod large;
pub mod log;
mod queued;
mod store;

pub use copy_id::CopyId;
pub use error::{Damage, Fault, SpoolError};
pub use queued::{Deferral, Mark, Outcome, QueuedMail, QueuedRecipient, RecipientState};
pub use store::{Recovery, SpoolStore};
