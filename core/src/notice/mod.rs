//! Notices by mail: who is told that a mail was found to be bad, and what the mail to him says (unified model 10.2, C91;
//! NTT-06, TM-02, IIJ-85).
//!
//! - `plan`: the asks of all recipients of one mail to a list of notices: one for each recipient who is told, one for each
//!   other address, however many recipients it is about. Never to the null sender, never to a sender that nothing vouches
//!   for (unless the domain wants it), never about mail that a machine sent to its sender.
//! - `template`: texts as data, in Japanese and English, `%TOKENS%` filled in once; those of the operator go before ours.
//! - `mail`: the octets. Values come from strangers: no control characters, bounded, encoded by the library.
//! - `limits`: how many an address and a domain get in an hour, for the whole box; what was left out is said in the next one.
//!
//! It does not send: the pipeline hands the octets to delivery's own queue. No I/O, no clock. Memory: `limits` has a table
//! of 512 KiB for the box; a mail causes at most [`plan::TOLD_MAX`] notices.

mod limits;
mod mail;
mod marks;
mod plan;
mod template;
#[cfg(test)]
mod tests;

pub use limits::{Allowed, Limits};
pub use mail::{Facts, Numbered, fuzz_notice, to_content};
pub use marks::{MARK, Marks};
pub use plan::{About, Planned, Sender, TOLD_MAX, Told, plan};
pub use template::{Templates, Tongue};
