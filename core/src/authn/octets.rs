//! The octets of a message for the checks: its header section in memory, its body hashed piece by piece.

use std::os::unix::fs::FileExt as _;

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext as _, HashImpl, Sha1, Sha256};
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher;

use crate::content::{Content, Piece};

/// Octets read to find the end of a header section; a longer one is not checked.
const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Octets of a file that are hashed at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The first octets of a message, all of them if it is one piece in memory.
pub(super) enum Front<'c> {
    /// The whole message.
    Whole(&'c [u8]),
    /// The header section with its empty line; the body is still where it was.
    Header(Vec<u8>),
}

impl Front<'_> {
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Whole(octets) => octets,
            Self::Header(octets) => octets,
        }
    }
}

/// Reads what has to be in memory. `None`: a file that cannot be read, or a header section without an end.
pub(super) fn front(content: &Content) -> Option<Front<'_>> {
    if let Some(octets) = content.as_memory() {
        return Some(Front::Whole(octets));
    }
    let mut octets = Vec::new();
    let mut end = None;
    let _ = chunks(content, &mut |chunk: &[u8]| {
        let searched = octets.len().saturating_sub(3);
        octets.extend_from_slice(chunk);
        let rest = octets.get(searched..).unwrap_or_default();
        end = memchr::memmem::find(rest, b"\r\n\r\n").map(|at| searched + at + 4);
        end.is_none() && octets.len() < HEADER_BYTES_MAX
    });
    octets.truncate(end?);
    Some(Front::Header(octets))
}

/// Hashes the body for every signature of `message`, which was read from the header section alone. `false`: it cannot be read.
pub(super) fn hash_body(
    message: &mut AuthenticatedMessage<'_>,
    content: &Content,
    header_bytes: usize,
) -> bool {
    for (canonicalization, algorithm, _, hash) in &mut message.body_hashes {
        let hashed = match algorithm {
            HashAlgorithm::Sha1 => hash_with::<Sha1>(content, header_bytes, *canonicalization),
            HashAlgorithm::Sha256 => hash_with::<Sha256>(content, header_bytes, *canonicalization),
        };
        match hashed {
            Some(hashed) => *hash = hashed,
            None => return false,
        }
    }
    true
}

/// The hash of a body; `None`: it cannot be read.
pub(super) fn hash_with<H: HashImpl>(
    content: &Content,
    header_bytes: usize,
    canonicalization: Canonicalization,
) -> Option<Vec<u8>> {
    let mut hasher = BodyHasher::new(H::hasher(), canonicalization, 0);
    let (mut skip, mut held) = (header_bytes, Held::default());
    let read = chunks(content, &mut |chunk: &[u8]| {
        let skipped = skip.min(chunk.len());
        skip -= skipped;
        let chunk = chunk.get(skipped..).unwrap_or_default();
        if canonicalization == Canonicalization::Simple {
            hasher.write(chunk);
            return true;
        }
        let text = chunk.len() - blank_end(chunk).len();
        let (text, blank) = chunk.split_at_checked(text).unwrap_or_default();
        if !text.is_empty() {
            held.give(&mut |octets: &[u8]| hasher.write(octets));
            hasher.write(text);
        }
        held.take(blank);
        true
    });
    if held.breaks > 0 {
        hasher.write(b"\r\n");
    }
    read.then(|| hasher.finish().0.complete().as_ref().to_vec())
}

/// The line ends and blanks that octets end with.
fn blank_end(octets: &[u8]) -> &[u8] {
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let text = octets.iter().rposition(|octet| !is_blank(octet)).map_or(0, |last| last + 1);
    octets.get(text..).unwrap_or_default()
}

/// Where the body of a message in memory begins, if lines of blanks end it. They are no lines for a relaxed hash (RFC 6376
/// section 3.4.4: blanks at the end of a line go first), and `mail_auth` 0.13 takes them for some.
pub(super) fn body_that_ends_in_blanks(octets: &[u8]) -> Option<usize> {
    if !blank_end(octets).iter().any(|octet| matches!(octet, b' ' | b'\t')) {
        return None;
    }
    memchr::memmem::find(octets, b"\r\n\r\n").map(|at| at + 4)
}

/// Line ends and blanks that more text may follow, as a relaxed body has them: of any number, a few octets.
#[derive(Default)]
struct Held {
    breaks: u64,
    blank: bool,
}

impl Held {
    fn take(&mut self, blank: &[u8]) {
        for octet in blank {
            match octet {
                b'\n' => (self.breaks, self.blank) = (self.breaks.saturating_add(1), false),
                b'\r' => {}
                _ => self.blank = true,
            }
        }
    }

    /// Text follows: they count.
    fn give(&mut self, write: &mut dyn FnMut(&[u8])) {
        for _ in 0..std::mem::take(&mut self.breaks) {
            write(b"\r\n");
        }
        if std::mem::take(&mut self.blank) {
            write(b" ");
        }
    }
}

/// The octets one after the other until `take` has enough. `false`: a file cannot be read.
fn chunks(content: &Content, take: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let mut buffer = Vec::new();
    for piece in &content.pieces {
        match piece {
            Piece::Memory(octets) => {
                if !take(octets) {
                    return true;
                }
            }
            Piece::File { file, offset, bytes } => {
                buffer.resize(CHUNK_BYTES, 0);
                let (mut at, mut left) = (*offset, *bytes);
                while left > 0 {
                    let wanted = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                    let Some(chunk) = buffer.get_mut(..wanted) else { return false };
                    if file.file.read_exact_at(chunk, at).is_err() {
                        return false;
                    }
                    if !take(chunk) {
                        return true;
                    }
                    at += wanted as u64;
                    left -= wanted as u64;
                }
            }
        }
    }
    true
}
