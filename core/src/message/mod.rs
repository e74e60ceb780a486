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

mod author;
mod behind;
mod charset;
mod condensed;
mod declared;
mod encoded;
mod entity;
mod field;
mod filetype;
mod fuzz;
mod html;
mod normalise;
mod overlooked;
mod parameter;
mod part;
pub mod pe;
mod plaintext;
mod shortcut;
mod structure;
#[cfg(test)]
mod tests;
mod text;
pub mod trace;
mod uri;
mod view;

pub use author::{NamedMailbox, author_domains, authors, mailboxes, named_mailboxes};
pub use charset::{Decoded, decode_charset, encoding, is_known_charset};
pub use encoded::{blocks_of, holds_unread};
pub use field::{Field, decode_field};
pub use filetype::{FileType, detect, mail_start, zip_end};
pub use fuzz::{fuzz_blocks, fuzz_charset, fuzz_fields};
pub use html::{Anchor, HtmlText, html_text};
pub use normalise::{disguised_words, is_invisible, next_octet, normalise};
pub use part::{Hashes, Part, PartOrigin, Span, Unread};
pub use structure::{entities_of, first_strange_line, is_prose, structure_cost};
pub use text::{RawUnits, TextUnits};
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
    /// One of the limits.
    LimitReached(Limit),
    /// Beyond what its reader understands.
    Malformed,
    /// Password-protected.
    Encrypted,
    /// A container, or a member of one, that is not read here.
    NotScanned,
    /// Password-protected, and opened with a password of the mail's own text.
    Opened,
}

/// What there was too much of. Each is a reason of its own, so that an administrator sees which bound a mail met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Parts, fields or octets of the mail itself.
    Mime,
    /// Containers inside each other.
    Depth,
    /// Members of containers, or what counts as such: streams, objects, directories.
    Entries,
    /// Octets of all members.
    Bytes,
    /// Octets out for an octet in.
    Ratio,
    /// Memory that a decoder asks for.
    Memory,
    /// Work: the same data unpacked again and again.
    Work,
}

/// Something in a part that acts, or leads elsewhere, when a client opens it: a macro, a field that
/// starts a program, a remote template. Beside the view, as [`Exception`] is; no judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Name of the check, `ACTIVE_...`.
    pub rule: &'static str,
    /// A part's path.
    pub place: Box<str>,
    /// What was found, for display; may hold words of the sender.
    pub detail: Box<str>,
}

/// Fuzz entry: any octets give a view whose texts can be built and whose offsets hold.
///
/// # Panics
/// When an invariant of the view does not hold.
pub fn fuzz_view(raw: &[u8]) {
    let limits = ViewLimits::shard();
    let view = View::build(raw, &limits);
    assert!(view.header_bytes <= raw.len(), "header section ends behind the message");
    assert!(
        view.parts.len() <= limits.parts_max * (encoded::BLOCKS_MAX + 1),
        "more parts than allowed"
    );
    let (body, rawbody) = (view.body(), view.rawbody());
    assert!(body.ends.is_sorted() && rawbody.ends.is_sorted(), "units out of order");
    let whole: usize = body.iter().map(str::len).sum();
    assert_eq!(whole, body.text.len(), "units do not make up the text");
    let whole: usize = rawbody.iter().map(<[u8]>::len).sum();
    assert_eq!(whole, rawbody.octets.len(), "units do not make up the raw text");
    assert_eq!(view.normalised().ends.len(), body.ends.len(), "normalising changed the units");
    assert!(view.uris().len() <= limits.uris_max, "more URIs than allowed");
    for part in &view.parts {
        let _ = part.file_type();
    }
}

/// Fuzz entry: any text is read as HTML, and the ranges it reports are in it.
///
/// # Panics
/// When a range is not inside the text.
pub fn fuzz_html(octets: &[u8]) {
    let read = html_text(&String::from_utf8_lossy(octets));
    for range in &read.hidden_ranges {
        assert!(read.text.get(range.clone()).is_some(), "hidden range outside the text");
    }
}
