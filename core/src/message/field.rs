//! Header fields: split, unfolded, decoded (RFC 5322 section 2.2, RFC 2047), and the parameters of
//! Content-Type and Content-Disposition (RFC 2045 section 5.1, RFC 2231).

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use memchr::memmem;

use super::charset::decode_charset;
use super::view::ViewLimits;
use super::{Exception, ExceptionKind, Limit};

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'m> {
    /// Its name as written, without white space before the colon; octets that are not UTF-8 are
    /// replaced.
    pub name: Cow<'m, str>,
    /// All after the colon as received, folds included, the final CR LF not.
    pub raw_value: Cow<'m, [u8]>,
    /// Unfolded, encoded words decoded, white space at both ends removed.
    pub value: Cow<'m, str>,
}

impl<'m> Field<'m> {
    /// A field whose raw value is known.
    pub(super) fn new(name: Cow<'m, str>, raw_value: Cow<'m, [u8]>) -> Self {
        let value = match &raw_value {
            Cow::Borrowed(raw) => decode_field(raw),
            Cow::Owned(raw) => Cow::Owned(decode_field(raw).into_owned()),
        };
        Self { name, raw_value, value }
    }

    /// Takes the field out of the octets it borrows from.
    pub(super) fn into_owned<'n>(self) -> Field<'n> {
        Field {
            name: Cow::Owned(self.name.into_owned()),
            raw_value: Cow::Owned(self.raw_value.into_owned()),
            value: Cow::Owned(self.value.into_owned()),
        }
    }
}

/// Splits the header section at the start of `raw`. Returns its length without the empty line.
///
/// A line without a colon, or with white space inside what should be a name (the `From ` line of a
/// mailbox file), is no field and is passed over.
pub(super) fn split<'m>(
    raw: &'m [u8],
    limits: &ViewLimits,
    exceptions: &mut Vec<Exception>,
) -> (usize, Vec<Field<'m>>) {
    let mut fields = Vec::with_capacity(24);
    let (mut at, mut too_long) = (0_usize, false);
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
            break;
        }
        let end = field_end(rest);
        let line = rest.get(..end).unwrap_or(rest);
        at += end;
        if fields.len() >= limits.fields_max {
            if fields.len() == limits.fields_max {
                exceptions.push(Exception::limit(
                    "message",
                    format!("more than {} header fields", limits.fields_max),
                ));
            }
            return (header_end(raw, at), fields);
        }
        if let Some((name, value)) = name_and_value(line) {
            let cut = value.get(..limits.field_bytes_max).unwrap_or(value);
            too_long |= cut.len() < value.len();
            fields.push(Field::new(String::from_utf8_lossy(name), Cow::Borrowed(cut)));
        }
    }
    if too_long {
        exceptions.push(Exception::limit(
            "message",
            format!("a header field of more than {} octets", limits.field_bytes_max),
        ));
    }
    (at, fields)
}

/// Where the header section ends, from `at` inside it.
fn header_end(raw: &[u8], at: usize) -> usize {
    let rest = raw.get(at..).unwrap_or_default();
    let crlf = memmem::find(rest, b"\r\n\r\n").map(|found| found + 2);
    let lf = memmem::find(rest, b"\n\n").map(|found| found + 1);
    match (crlf, lf) {
        (Some(a), Some(b)) => at + a.min(b),
        (Some(one), None) | (None, Some(one)) => at + one,
        (None, None) => raw.len(),
    }
}

/// Length of the field at the start of `rest`, folds and line ends included.
pub(super) fn field_end(rest: &[u8]) -> usize {
    for found in memchr::memchr_iter(b'\n', rest) {
        if !matches!(rest.get(found + 1), Some(b' ' | b'\t')) {
            return found + 1;
        }
    }
    rest.len()
}

/// The two sides of the colon, line end removed.
fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let name = name.trim_ascii_end();
    if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    Some((name, value.get(1..).unwrap_or_default()))
}

/// Unfolds and decodes one raw value: encoded words by their charset, bare 8-bit octets by a guess.
#[must_use]
pub fn decode_field(raw: &[u8]) -> Cow<'_, str> {
    let trimmed = raw.trim_ascii();
    let unfolded = unfold(trimmed);
    let plain = unfolded.is_ascii() && memchr::memchr(0x1B, &unfolded).is_none();
    if memmem::find(&unfolded, b"=?").is_some() {
        return Cow::Owned(decode_words(&unfolded));
    }
    match unfolded {
        Cow::Borrowed(octets) if plain => String::from_utf8_lossy(octets),
        Cow::Owned(octets) if plain => Cow::Owned(String::from_utf8(octets).unwrap_or_default()),
        other => Cow::Owned(decode_charset(&other, "").text),
    }
}

/// Removes CR LF (and lone ones) before white space. RFC 5322 section 2.2.3.
fn unfold(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\r', b'\n', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect())
}

/// One encoded word: charset, decoded octets, and how many octets it took.
struct Word<'w> {
    charset: &'w [u8],
    octets: Vec<u8>,
    bytes: usize,
}

/// Decodes all encoded words of a value. Neighbours in the same charset are joined before they are
/// decoded: mailers cut characters in two (RFC 2047 section 5 forbids it, they do it).
fn decode_words(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let (mut rest, mut pending): (&[u8], Option<Word<'_>>) = (value, None);
    while !rest.is_empty() {
        let Some(start) = memmem::find(rest, b"=?") else {
            break;
        };
        let (before, from) = rest.split_at(start);
        let Some(word) = encoded_word(from) else {
            flush_word(&mut out, pending.take());
            let keep = before.len() + 2;
            push_plain(&mut out, rest.get(..keep).unwrap_or(rest));
            rest = rest.get(keep..).unwrap_or_default();
            continue;
        };
        rest = from.get(word.bytes..).unwrap_or_default();
        let blank = before.iter().all(u8::is_ascii_whitespace);
        match &mut pending {
            Some(last) if blank && last.charset.eq_ignore_ascii_case(word.charset) => {
                last.octets.extend_from_slice(&word.octets);
            }
            _ => {
                let after_word = pending.is_some();
                flush_word(&mut out, pending.take());
                if !(after_word && blank) {
                    push_plain(&mut out, before);
                }
                pending = Some(word);
            }
        }
    }
    flush_word(&mut out, pending);
    push_plain(&mut out, rest);
    out
}

fn push_plain(out: &mut String, octets: &[u8]) {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\u{1B}') => out.push_str(text),
        _ => out.push_str(&decode_charset(octets, "").text),
    }
}

fn flush_word(out: &mut String, word: Option<Word<'_>>) {
    if let Some(word) = word {
        // RFC 2231 section 5: a language may follow the charset.
        let label = word.charset.split(|&octet| octet == b'*').next().unwrap_or_default();
        out.push_str(&decode_charset(&word.octets, &String::from_utf8_lossy(label)).text);
    }
}

/// Reads `=?charset?B|Q?text?=` at the start of `from`.
fn encoded_word(from: &[u8]) -> Option<Word<'_>> {
    let inner = from.strip_prefix(b"=?")?;
    let charset_end = memchr::memchr(b'?', inner).filter(|&end| end > 0 && end <= 60)?;
    let (charset, after) = inner.split_at(charset_end);
    let (encoding, after) = match after {
        [b'?', encoding, b'?', after @ ..] => (encoding.to_ascii_lowercase(), after),
        _ => return None,
    };
    let text_end = memmem::find(after, b"?=")?;
    let text = after.get(..text_end)?;
    let octets = match encoding {
        b'b' => decode_base64_lenient(text),
        b'q' => decode_q(text),
        _ => return None,
    };
    Some(Word { charset, octets, bytes: 2 + charset_end + 3 + text_end + 2 })
}

/// Base64 with missing padding or foreign octets, as much of it as can be read. Padding in the middle
/// ends a group, not the text: mailers join encoded pieces.
pub(super) fn decode_base64_lenient(text: &[u8]) -> Vec<u8> {
    // In nearly all mails nothing but line ends and blanks is in it, and it is padded as it should be.
    let mut lines = without_line_ends(text);
    if let Ok(decoded) = base64_simd::forgiving_decode_inplace(&mut lines) {
        let bytes = decoded.len();
        lines.truncate(bytes);
        return lines;
    }
    let letters = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
    let clean: Vec<u8> = text.iter().copied().filter(letters).collect();
    base64_decode(&clean).unwrap_or_default()
}

/// The lines of `text` behind each other. Lines of an encoding are of one length, so each is first guessed to be as
/// long as the one before.
fn without_line_ends(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut rest, mut guess) = (text, 0_usize);
    while !rest.is_empty() {
        if rest.get(guess) != Some(&b'\n') {
            guess = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        }
        let (line, behind) = rest.split_at(guess);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        rest = behind.get(1..).unwrap_or_default();
    }
    out
}

/// The Q encoding, RFC 2047 section 4.2.
fn decode_q(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, tail @ ..]) => match hex_pair(*high, *low) {
                Some(value) => {
                    out.push(value);
                    rest = tail;
                }
                None => out.push(octet),
            },
            _ => out.push(octet),
        }
    }
    out
}

/// Two hexadecimal digits.
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

impl Exception {
    /// A limit that was reached at `place`.
    #[must_use]
    pub fn limit(place: &str, detail: String) -> Self {
        let kind = ExceptionKind::LimitReached(Limit::Mime);
        Self { kind, place: place.into(), detail: detail.into() }
    }

    /// Something malformed at `place`.
    #[must_use]
    pub fn malformed(place: &str, detail: &str) -> Self {
        Self { kind: ExceptionKind::Malformed, place: place.into(), detail: detail.into() }
    }
}
