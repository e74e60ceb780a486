//! The subject tag: once, whatever the encoding (unified model 3.1 row 15, NTT-05).

use crate::message::decode_field;

use super::header::{RawField, fields};

/// Octets of text in one encoded-word: 45 become 60 of base64, below the 75 of RFC 2047 section 2.
const WORD_BYTES: usize = 45;

/// Whether some subject of the section has the tag already.
pub(super) fn tagged(header: &[u8], tag: &str) -> bool {
    fields(header)
        .filter(|field| field.name.eq_ignore_ascii_case(b"Subject"))
        .any(|field| has_tag(&field, tag))
}

/// What mail programs put before the subject of an answer or of a mail that is passed on, in lower case.
const ANSWERS: [&str; 9] = ["re", "fw", "fwd", "aw", "wg", "sv", "vs", "返信", "転送"];

/// Whether the subject has the tag, read as a reader would see it: at its beginning, or behind marks of an answer.
/// Somewhere else it is the sender's word, which rules of mail programs and readers of lists do not see.
fn has_tag(field: &RawField<'_>, tag: &str) -> bool {
    let subject = decode_field(field.value);
    let mut rest = subject.trim_start();
    loop {
        if rest.starts_with(tag) {
            return true;
        }
        let Some((mark, behind)) = rest.split_once([':', '：']) else { return false };
        let mark = mark.trim().to_lowercase();
        let word = mark.split(['[', '(', '^']).next().unwrap_or_default().trim();
        if !ANSWERS.contains(&word) {
            return false;
        }
        rest = behind.trim_start();
    }
}

/// Appends the field with the tag before its value, or as it is if it has the tag.
///
/// The value itself is not touched: it may be in any charset, encoded or raw (ISO-2022-JP begins in
/// ASCII), and a tag of its own words before it is right for all of them.
pub(super) fn write_tagged(out: &mut Vec<u8>, field: &RawField<'_>, tag: &str) {
    if has_tag(field, tag) {
        out.extend_from_slice(field.octets);
        return;
    }
    let name_bytes = field.octets.len() - field.value.len();
    let name = field.octets.get(..name_bytes).unwrap_or(b"Subject:");
    out.extend_from_slice(name);
    words(out, tag);
    // A new line, so that no line of the sender's becomes longer; blanks he began with stay folded.
    let value = without_blank_lines(field.value);
    let blank = value.iter().all(u8::is_ascii_whitespace);
    if blank {
        out.extend_from_slice(b"\r\n");
    } else if matches!(value.first(), Some(b' ' | b'\t')) {
        if value.len() > 60 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(value);
    } else if value.starts_with(b"\r\n") {
        out.extend_from_slice(value);
    } else {
        out.push(b' ');
        out.extend_from_slice(value);
    }
}

/// The value from the line end before its first line that says something: behind the tag, the blanks that a mailer folded after
/// would be a line of nothing but blanks, where some readers end the header section (RFC 5322 section 3.2.2).
fn without_blank_lines(value: &[u8]) -> &[u8] {
    let mut from = 0;
    while let Some(line) = value.get(from..)
        && let Some(end) = memchr::memmem::find(line, b"\r\n")
        && line.get(..end).is_some_and(|line| line.iter().all(u8::is_ascii_whitespace))
        && line.len() > end + 2
    {
        from += end + 2;
    }
    value.get(from.saturating_sub(2)..).unwrap_or(value)
}

/// Appends a subject that is nothing but the tag.
pub(super) fn write_new(out: &mut Vec<u8>, tag: &str) {
    out.extend_from_slice(b"Subject:");
    words(out, tag);
    out.extend_from_slice(b"\r\n");
}

/// A blank and the tag: as it is in ASCII, else as encoded-words. The blank between the tag and an
/// encoded-word of the sender's is not shown (RFC 2047 section 6.2), so it is part of the tag's.
fn words(out: &mut Vec<u8>, tag: &str) {
    if tag.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ') && !tag.contains("=?") {
        out.push(b' ');
        out.extend_from_slice(tag.as_bytes());
    } else {
        encoded_words(out, &format!("{tag} "));
    }
}

/// Appends ` text` in ASCII as it is, folded, or as UTF-8 encoded-words, one a line.
pub(super) fn encoded_words(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ') && !text.contains("=?") {
        let mut column = 20;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if column + word.len() > 76 {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            out.extend_from_slice(word.as_bytes());
            column += word.len() + 1;
        }
        return;
    }
    let mut rest = text;
    let mut first = true;
    while !rest.is_empty() {
        // Each word must hold whole characters (RFC 2047 section 5).
        let end = (0..=WORD_BYTES.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at));
        let (word, after) = rest.split_at(end.filter(|end| *end > 0).unwrap_or(rest.len()));
        out.extend_from_slice(if first { b" =?UTF-8?B?" } else { b"\r\n =?UTF-8?B?" });
        base64(out, word.as_bytes());
        out.extend_from_slice(b"?=");
        rest = after;
        first = false;
    }
}

/// Appends base64 (RFC 4648 section 4) without line ends.
pub(super) fn base64(out: &mut Vec<u8>, octets: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in octets.chunks(3) {
        let octet = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for index in 0..4_usize {
            let six = (bits >> (18 - 6 * index)) & 63;
            let letter = ALPHABET.get(six as usize).copied().unwrap_or(b'A');
            out.push(if index <= group.len() { letter } else { b'=' });
        }
    }
}
