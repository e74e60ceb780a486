//! One received message as the scanners see it: header fields, body parts, and the texts that rules
//! are matched against.
//!
//! `mail-parser` finds the structure, behind limits of ours: what it returns is an untrusted graph
//! (part ids may repeat, form cycles, or name parts that are not there), and it is handed only
//! messages that cannot make it recurse deeply or take quadratic time (`structure`). Whatever is
//! wrong with a message becomes an [`Exception`] beside the view; there is always a view, at worst
//! one text part that holds the raw octets, because what cannot be parsed is still scanned.
//!
//! What costs is built on first use and then kept: a view of a plain mail whose hashes and
//! normalised text nobody asks for never computes them.
//!
//! This room does not: change messages (`rewrite`), open archives (`scan::archive`), judge.
//!
//! Bounds: `parts <= parts_max`, `depth <= depth_max`, memory at most about six times the octets of
//! the message (raw is borrowed; decoded parts, three texts).

mod charset;
mod field;
mod filetype;
mod html;
mod part;
mod structure;
#[cfg(test)]
mod tests;
mod text;
pub mod trace;
mod uri;
mod view;

pub use charset::{Decoded, decode_charset};
pub use field::{Field, decode_field};
pub use filetype::{FileType, detect};
pub use html::{HtmlText, html_text};
pub use part::{Hashes, Part, PartOrigin};
pub use text::{RawUnits, TextUnits, normalise};
pub use uri::{Uri, UriSource};
pub use view::{View, ViewLimits};

/// Why a message, or a part of it, could not be looked at as it asks to be. The message's own
/// fault, never ours.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exception {
    /// The kind.
    pub kind: ExceptionKind,
    /// Where: a part's path, or `message`.
    pub place: Box<str>,
    /// What was found and what is allowed; no octets of the message.
    pub detail: Box<str>,
}

/// Kinds of [`Exception`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionKind {
    /// One of the limits: depth, parts, fields, octets, steps, ratio, members.
    LimitReached,
    /// Beyond what its reader understands.
    Malformed,
    /// Password-protected.
    Encrypted,
    /// A container, or a member of one, that is not read here.
    NotScanned,
}
