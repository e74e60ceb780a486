//! What we change in a mail: header fields of our own, a subject tag, a body stamp.
//!
//! - `Received` is added to every mail (RFC 5321 section 4.4); it is never removed.
//! - Fields with names of ours that arrived from outside are removed before ours are written
//!   (unified model 10.1, ITS-08); of `Authentication-Results` only those that carry our
//!   authserv-id (RFC 8601 section 5). That alone may change what stands below our fields.
//! - Infected parts are taken out and a text stands in their place, where that was decided (`clean`).
//! - A tag goes before the subject, once; a stamp goes before the text of the first text part, or is
//!   a header field where the body must not be touched (signed, encrypted, not readable).
//!
//! Works on the front of a message (its header section and what follows, as far as it is in memory)
//! and on the rope of its octets: a body is never copied, whatever its size. It cannot fail: what it
//! does not understand stays as it is. Input is in canonical line ends.

mod added;
mod authentication;
mod clean;
mod header;
mod received;
mod signed;
mod stamp;
mod subject;

#[cfg(test)]
mod tests;

pub use authentication::results;
pub use clean::{Removed, Why};

use std::sync::Arc;

use crate::authn::Authentication;
use crate::clock::UnixMillis;
use crate::content::{Content, Piece};
use crate::envelope::{Client, MailId, Mailbox};
use crate::policy::{Decision, Language};
use crate::verdict::Verdict;

/// Everything that the added fields tell.
#[derive(Clone, Copy, Debug)]
pub struct Rewriting<'m> {
    /// What was decided for this copy.
    pub decision: &'m Decision,
    /// Its verdict.
    pub verdict: &'m Verdict,
    /// Who brought the mail.
    pub client: &'m Client,
    /// Our name: `by` of Received, and our authserv-id.
    pub host_name: &'m str,
    /// Id of the mail.
    pub mail: MailId,
    /// When the mail arrived.
    pub received_at: UnixMillis,
    /// Who gets this copy. Received has `for` only if it is one: a copy for several must not tell one
    /// of them of another (RFC 5321 section 7.2).
    pub recipients: &'m [&'m Mailbox],
    /// SMTPUTF8 was given.
    pub smtputf8: bool,
    /// Which engines the mail went through (ITS-05, ITS-07: no result, no field).
    pub scanned: Scanned,
    /// Who sent it, as far as that was checked.
    pub authentication: &'m Authentication,
    /// Parts that are taken out if the decision cleans, in order and apart.
    pub removed: &'m [Removed<'m>],
    /// Language of what stands in their place.
    pub language: Language,
    /// Whether what we change is sealed afterwards.
    pub sealer: Sealer,
}

/// Whether the box can seal what it changes (ARC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealer {
    /// It has no key for it.
    #[default]
    None,
    /// It has.
    There,
}

/// A rewritten mail.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The octets.
    pub content: Content,
    /// Body or subject are not as they came: what signed them does not hold any more.
    pub changed: bool,
}

/// Whether the engines saw the mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scanned {
    /// Both did.
    #[default]
    Yes,
    /// None did (too large, bypassed).
    No,
}

/// The content as it is handed on; a part that is taken out leaves a text in its place. `front`: the
/// first octets of `content`, with the whole header section if at all possible.
///
/// # Panics
/// When a part to be taken out is in the header section or in another one: what would be handed on
/// is not what was looked at, and it may be infected.
#[must_use]
pub fn apply(content: &Content, front: &[u8], job: &Rewriting<'_>) -> Rewritten {
    let header_bytes = header::section_bytes(front);
    let (header, body) = front.split_at_checked(header_bytes).unwrap_or((front, &[]));
    let removed: &[Removed<'_>] = if job.decision.cleans() { job.removed } else { &[] };
    let goes_on = job.decision.action.delivers() || job.decision.action.holds();
    let signed = (job.decision.stamp_signed, job.sealer);
    let mut stamps = match job.decision.stamps.as_slice() {
        [] => stamp::Plan::default(),
        _ if !goes_on => stamp::Plan::default(),
        all if signed::keeps_body(header, &job.authentication.dkim, signed) => {
            stamp::Plan::fields(all)
        }
        all => stamp::plan(header, body, all),
    };
    let stand_in = |part| clean::stand_in(part, job.language);
    let mut edits: Vec<(std::ops::Range<u64>, Vec<u8>)> =
        removed.iter().map(|part| (part.start..part.end, stand_in(part))).collect();
    for (offset, octets) in std::mem::take(&mut stamps.inserts) {
        let at = (header_bytes + offset) as u64;
        if removed.iter().any(|part| (part.start..part.end).contains(&at)) {
            // The text that was to be stamped is gone.
            stamps.fields.clone_from(&job.decision.stamps);
        } else {
            edits.push((at..at, octets));
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut top: Vec<u8> = Vec::with_capacity(1024 + header.len());
    received::write(&mut top, job);
    added::write(&mut top, job);
    added::rule_fields(&mut top, job);
    for text in &stamps.fields {
        added::stamp_field(&mut top, text);
    }
    let tagged = header::copy(&mut top, header, job);
    let changed = tagged || !edits.is_empty();
    let mut result = Content { pieces: vec![Piece::Memory(Arc::from(top))] };
    let mut cut = header_bytes as u64;
    for (range, octets) in edits {
        assert!(
            cut <= range.start,
            "an edit at {} before the end of another at {cut}",
            range.start
        );
        append(&mut result, content, cut..range.start);
        result.pieces.push(Piece::Memory(Arc::from(octets)));
        cut = range.end;
    }
    append(&mut result, content, cut..content.bytes());
    Rewritten { content: result, changed }
}

/// Appends a range of `from`. Octets of files are not copied, and whole pieces in memory neither; a
/// part of a piece in memory is, and such a piece has at most `limits::BODY_IN_MEMORY_BYTES_MAX`.
fn append(to: &mut Content, from: &Content, range: std::ops::Range<u64>) {
    let mut at = 0;
    for piece in &from.pieces {
        let (first, last) = (at, at + piece.bytes());
        at = last;
        let (start, end) = (range.start.max(first), range.end.min(last));
        if start >= end {
            continue;
        }
        let (skip, bytes) = (start - first, end - start);
        to.pieces.push(match piece {
            whole if bytes == whole.bytes() => whole.clone(),
            Piece::File { file, offset, .. } => {
                Piece::File { file: Arc::clone(file), offset: offset + skip, bytes }
            }
            Piece::Memory(octets) => {
                let range = usize::try_from(skip)
                    .ok()
                    .zip(usize::try_from(skip + bytes).ok())
                    .and_then(|(start, end)| octets.get(start..end));
                Piece::Memory(Arc::from(range.unwrap_or_default()))
            }
        });
    }
}

/// Any message and any decision: nothing is lost below our fields, nothing panics.
pub fn fuzz_rewrite(data: &[u8]) {
    let header_bytes = header::section_bytes(data);
    let (header, body) = data.split_at_checked(header_bytes).unwrap_or((data, &[]));
    let plan = stamp::plan(header, body, &["stamp".into(), "検査できません".into()]);
    assert!(plan.inserts.is_sorted_by_key(|(offset, _)| *offset));
    assert!(plan.inserts.iter().all(|(offset, _)| *offset <= body.len()));
    let _ = subject::tagged(header, "[SPAM]");
}
