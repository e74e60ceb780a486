//! YARA rules: compiled once when the tables are built, looked for by analysis workers and by `sekisho check`.
//!
//! Only with the feature `yara` of this crate, which brings the engine of YARA-X with it. Without it there is nothing but the words
//! for who has rules all the same: [`build`] and [`checked`] say what is missing, and [`Yara`] cannot be made.
//!
//! A rule sees what a signature of ClamAV for any file sees: each part as it is decoded, each member of each container; and the
//! whole mail as it came. What matches is a finding named `YARA.<rule>`, as ClamAV names it: malware, if the metadata of the rule
//! do not say otherwise:
//!
//! | key | what |
//! |---|---|
//! | `sekisho_kind` | a kind as in our own rules: `"spam"`, `"phishing"`, `"suspicious_object"`, ...; default `"malware"` |
//! | `sekisho_points` | points, -1000 to 1000; default 0 for malware and its like, 1.0 for others |
//! | `sekisho_log_only` | `true`: reported, never judged by |
//!
//! Each file is a namespace: its global rules bind it alone, and no rule of another file is seen. A file with a mistake is left out
//! whole, and the report says where the mistake is; so is one that includes another, or imports a module: there are none here.
//!
//! Never on a shard: what a rule takes is for its author to say, so a mail is looked at by a worker as soon as there are rules.
//! Bounds: [`SECONDS_MAX`] of a mail, [`MATCHES_MAX`] of a pattern in one part, and the memory of the worker.

#[cfg(not(feature = "yara"))]
mod absent;
#[cfg(feature = "yara")]
mod compile;
#[cfg(feature = "yara")]
mod format;
#[cfg(feature = "yara")]
mod meta;
#[cfg(feature = "yara")]
mod scanner;
#[cfg(test)]
#[cfg(feature = "yara")]
mod tests;

#[cfg(not(feature = "yara"))]
pub use absent::{Yara, build, checked};
#[cfg(feature = "yara")]
pub use compile::build;
#[cfg(feature = "yara")]
pub use format::checked;
#[cfg(feature = "yara")]
pub use scanner::Yara;

/// Whether this program can read YARA rules.
pub const IS_HERE: bool = cfg!(feature = "yara");
/// What is said where it cannot.
pub const MISSING: &str = "this build has no YARA: build with --features yara";
/// Seconds that all rules may take for one mail, all its parts, and what is looked at again, together.
pub const SECONDS_MAX: u64 = 10;
/// Matches of one pattern that are kept of one part: more are not counted.
pub const MATCHES_MAX: usize = 1_000;

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct YaraSource<'s> {
    /// Its name, for messages.
    pub path: &'s str,
    /// Its octets.
    pub octets: &'s [u8],
}

/// Why compiled rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUsable {
    /// They were compiled by another YARA: compile their sources again.
    Rebuild {
        /// What compiled them.
        built: String,
        /// What is here.
        here: String,
    },
    /// Anything else, in words.
    Damaged(String),
}
