//! Entries for fuzzing of what is read inside a message.

use super::encoded::{BLOCKS_MAX, PADDING_BYTES};
use super::{
    View, ViewLimits, author_domains, authors, blocks_of, decode_charset, decode_field,
    disguised_words, is_known_charset, mailboxes, named_mailboxes, normalise, trace,
};
use crate::limits::AUTHOR_DOMAINS_MAX;

/// Charsets, as mailers name them: of each family one that is read by code of its own.
const LABELS: [&str; 24] = [
    "",
    "us-ascii",
    "utf-8",
    "utf-7",
    "utf-16",
    "utf-16le",
    "iso-2022-jp",
    "iso-2022-jp-3",
    "cp50221",
    "shift_jis",
    "cp932",
    "euc-jp",
    "gb18030",
    "hz-gb-2312",
    "big5",
    "euc-kr",
    "iso-2022-kr",
    "koi8-r",
    "windows-1252",
    "iso-8859-8-i",
    "macintosh",
    "ibm850",
    "x-user-defined",
    "unknown-8bit",
];
/// Names of a field, or files of a part, that are kept of one field.
const MAILBOXES_MAX: usize = 20;

/// First octet: which charset. Number of octets of the text.
///
/// # Panics
/// When a charset makes more of octets than any does.
pub fn fuzz_charset(data: &[u8]) -> usize {
    let Some((&which, octets)) = data.split_first() else { return 0 };
    let label = LABELS.get(usize::from(which) % LABELS.len()).copied().unwrap_or_default();
    let _ = is_known_charset(&String::from_utf8_lossy(octets.get(..40).unwrap_or(octets)));
    let decoded = decode_charset(octets, label);
    assert!(decoded.text.len() <= 4 * octets.len() + 4, "{label}: more text than octets");
    let mut plain = String::new();
    normalise(&decoded.text, &mut plain);
    let _ = disguised_words(&decoded.text);
    decoded.text.len()
}

/// Any octets as a header section: encoded words, parameters, mailboxes. Number of fields.
///
/// # Panics
/// When a bound does not hold.
pub fn fuzz_fields(section: &[u8]) -> usize {
    let raw = [section, b"\r\n\r\n"].concat();
    let view = View::build(&raw, &ViewLimits::shard());
    for field in &view.fields {
        assert!(named_mailboxes(field).len() <= MAILBOXES_MAX, "more mailboxes than allowed");
    }
    for name in ["from", "to", "reply-to", "sender"] {
        let _ = mailboxes(&view, name);
    }
    assert!(authors(section).len() <= MAILBOXES_MAX, "more authors than allowed");
    assert!(author_domains(&view).len() <= AUTHOR_DOMAINS_MAX + 1, "more domains than allowed");
    let _ = (trace::hop_count(&view), decode_field(section).len());
    for part in &view.parts {
        let _ = part.file_name();
    }
    view.fields.len()
}

/// Encoded blocks in any octets: uuencode, `data:`, base64. Number of blocks.
///
/// # Panics
/// When a block holds more than could be written there.
pub fn fuzz_blocks(octets: &[u8]) -> usize {
    let found = blocks_of(octets);
    assert!(found.len() <= BLOCKS_MAX, "more blocks than allowed");
    // Blanks that mailers cut off lines of uuencode are put back, within a bound.
    let most = octets.len().saturating_mul(2).saturating_add(PADDING_BYTES);
    assert!(found.iter().all(|(_, block)| block.len() <= most), "a block out of nothing");
    found.len()
}
