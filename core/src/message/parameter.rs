//! Parameters of Content-Type and Content-Disposition (RFC 2045 section 5.1, RFC 2231), read for
//! the file names in them. Both fields are asked, since clients differ in which one they believe.

use super::charset::decode_charset;
use super::field::{decode_field, hex_pair};

/// Longest file name that is kept, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Parameters of one field that are looked at.
const PARAMETERS_MAX: usize = 64;

/// Every value that `raw` gives for the parameter `wanted` (lower case), decoded: the RFC 2231 form
/// first, then the plain form.
pub(super) fn values(raw: &[u8], wanted: &str) -> Vec<Box<str>> {
    let mut plain = Vec::new();
    let mut pieces: Vec<(u32, bool, Vec<u8>)> = Vec::new();
    for (name, value) in split(raw) {
        let name = name.to_ascii_lowercase();
        let Some(tail) = name.strip_prefix(wanted.as_bytes()) else {
            continue;
        };
        match tail {
            b"" => plain.push(clean(&decode_field(&value))),
            [b'*', rest @ ..] => {
                let extended = rest.is_empty() || rest.ends_with(b"*");
                let digits = rest.strip_suffix(b"*").unwrap_or(rest);
                let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                pieces.push((number.unwrap_or(0), extended, value));
            }
            _ => {}
        }
    }
    let mut out: Vec<Box<str>> = Vec::new();
    if !pieces.is_empty() {
        out.push(clean(&join(pieces)));
    }
    out.extend(plain);
    out.retain(|name| !str::is_empty(name));
    out
}

/// Joins RFC 2231 continuations and decodes them by the charset that the first one names.
fn join(mut pieces: Vec<(u32, bool, Vec<u8>)>) -> String {
    pieces.sort_by_key(|piece| piece.0);
    let mut charset = String::new();
    let mut octets = Vec::new();
    for (index, (_, extended, value)) in pieces.into_iter().enumerate() {
        if !extended {
            octets.extend(value);
            continue;
        }
        let mut text: &[u8] = &value;
        if index == 0 {
            let mut quotes = memchr::memchr_iter(b'\'', text);
            if let (Some(first), Some(second)) = (quotes.next(), quotes.next()) {
                charset = String::from_utf8_lossy(text.get(..first).unwrap_or_default()).into();
                text = text.get(second + 1..).unwrap_or_default();
            }
        }
        percent_decode(text, &mut octets);
    }
    decode_charset(&octets, &charset).text
}

fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if let (b'%', [high, low, tail @ ..]) = (octet, after)
            && let Some(value) = hex_pair(*high, *low)
        {
            out.push(value);
            rest = tail;
        } else {
            out.push(octet);
        }
    }
}

/// Without control characters, and not longer than a file system takes. Of a longer one the end is kept: clients shorten what
/// is in front of the extension, since that decides what opens the file.
fn clean(name: &str) -> Box<str> {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let name = name.trim();
    if name.chars().nth(NAME_CHARS_MAX).is_none() {
        return name.into();
    }
    // Dots and blanks at the end are dropped when it is saved; a name of nothing else would be left of them.
    let name = name.trim_end_matches(['.', ' ']);
    let from = name.char_indices().rev().nth(NAME_CHARS_MAX - 1).map_or(0, |(from, _)| from);
    name.get(from..).unwrap_or(name).trim().into()
}

/// Name and value of every parameter after the first `;`. Quoted strings may hold `;` and escaped
/// quotes; a quote that never closes ends with the field.
fn split(raw: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out = Vec::new();
    let Some(start) = memchr::memchr(b';', raw) else {
        return out;
    };
    let mut rest = raw.get(start + 1..).unwrap_or_default();
    while !rest.is_empty() && out.len() < PARAMETERS_MAX {
        let (item, after) = item(rest);
        rest = after;
        if let Some(equals) = memchr::memchr(b'=', &item) {
            let (name, value) = item.split_at(equals);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let value = value.strip_prefix(b"\x00").unwrap_or(value);
            let value = value.strip_suffix(b"\x00").unwrap_or(value);
            let name = name.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            out.push((name, value.to_vec()));
        }
    }
    out
}

/// One parameter up to its `;`, with the quotes replaced by NUL and escapes undone.
fn item(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::new();
    let mut quoted = false;
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b';' if !quoted => return (out, rest),
            b'"' => {
                quoted = !quoted;
                out.push(0);
            }
            b'\\' if quoted => {
                // Outlook writes paths with single backslashes; only a quote or a backslash is
                // taken as escaped.
                if let Some((&next @ (b'"' | b'\\'), tail)) = rest.split_first() {
                    out.push(next);
                    rest = tail;
                } else {
                    out.push(octet);
                }
            }
            b'\r' | b'\n' | 0 => {}
            _ => out.push(octet),
        }
    }
    (out, rest)
}
