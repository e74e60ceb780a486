//! What the header of an entity declares, read as the most tolerant client does: with comments,
//! odd case, blanks and words around it.

use super::field::hex_pair;

/// A transfer encoding that changes octets. RFC 2045 section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// `base64`
    Base64,
    /// `quoted-printable`
    QuotedPrintable,
}

impl Transfer {
    /// The encoding that the value of a Content-Transfer-Encoding field names somewhere. Clients let
    /// comments, quotes and parameters pass (`"base64"`, `base64; x=y`, `(c) BASE64 `).
    pub(super) fn named_in(value: &[u8]) -> Option<Self> {
        let lower = value.get(..200).unwrap_or(value).to_ascii_lowercase();
        if memchr::memmem::find(&lower, b"base64").is_some() {
            Some(Self::Base64)
        } else if memchr::memmem::find(&lower, b"quoted-printable").is_some() {
            Some(Self::QuotedPrintable)
        } else {
            None
        }
    }

    /// Undoes the encoding; what does not belong to it is passed over, as clients do.
    pub(super) fn undo(self, source: &[u8]) -> Vec<u8> {
        match self {
            Self::Base64 => super::field::decode_base64_lenient(source),
            Self::QuotedPrintable => quoted_printable(source),
        }
    }
}

/// A transfer encoding that exists and that nobody here undoes.
pub(super) fn is_unread_transfer(value: &[u8]) -> bool {
    let lower = value.get(..200).unwrap_or(value).to_ascii_lowercase();
    [&b"binhex"[..], b"yenc", b"gzip", b"deflate", b"compress"]
        .iter()
        .any(|name| memchr::memmem::find(&lower, name).is_some())
}

/// Whether a transfer encoding is uuencode, which is undone where its first line is there.
pub(super) fn is_uuencode(value: &[u8]) -> bool {
    let lower = value.get(..200).unwrap_or(value).to_ascii_lowercase();
    [&b"uuencode"[..], b"x-uue", b"x-uu"]
        .iter()
        .any(|name| memchr::memmem::find(&lower, name).is_some())
}

/// RFC 2045 section 6.7. What is no escape stays as it is; blanks before a line end are no content.
fn quoted_printable(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len());
    for line in source.split_inclusive(|&octet| octet == b'\n') {
        let ends = line.ends_with(b"\n");
        let mut rest = line.trim_ascii_end();
        let soft = ends && rest.ends_with(b"=");
        if soft {
            rest = rest.get(..rest.len() - 1).unwrap_or_default();
        }
        while let Some(at) = memchr::memchr(b'=', rest) {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before);
            if let [_, high, low, tail @ ..] = from
                && let Some(octet) = hex_pair(*high, *low)
            {
                out.push(octet);
                rest = tail;
            } else {
                out.push(b'=');
                rest = from.get(1..).unwrap_or_default();
            }
        }
        out.extend_from_slice(rest);
        if ends && !soft {
            out.extend_from_slice(if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
        }
    }
    out
}

/// Where the values of all Content-Type fields begin that `mail-parser` could see.
pub(super) fn type_fields(raw: &[u8]) -> impl Iterator<Item = usize> + '_ {
    fields_named(raw, b"content-type")
}

/// Behind the colons after `name`, white space inside it allowed, since the parser allows it.
fn fields_named<'r>(raw: &'r [u8], name: &'static [u8]) -> impl Iterator<Item = usize> + 'r {
    memchr::memchr_iter(b':', raw)
        .filter(|&colon| {
            let mut wanted = name.iter().rev();
            for octet in raw.get(..colon).unwrap_or_default().iter().rev() {
                if octet.is_ascii_whitespace() && *octet != b'\n' {
                    continue;
                }
                match wanted.next() {
                    Some(letter) if octet.eq_ignore_ascii_case(letter) => {}
                    Some(_) => return false,
                    None => return true,
                }
            }
            wanted.next().is_none()
        })
        .map(|colon| colon + 1)
}

/// Subtypes for which `mail-parser` opens a message inside a message. It does so by recursion, and
/// once more when it drops what it read, whatever the depth: a message in base64 with some thousand
/// levels inside ended the process by its stack. So they have another name while it looks, and
/// messages inside are opened by us, one level at a time.
const OPENED_BY_US: [&[u8]; 3] = [b"rfc822", b"global", b"digest"];

/// Hides from `mail-parser` what it shall not do: the last letter of those subtypes becomes `x`, and so does the first
/// of every transfer encoding, which are undone by us (and its reader of quoted-printable counts below zero).
pub(super) fn mask(raw: &mut [u8]) {
    let types: Vec<usize> = type_fields(raw).collect();
    for start in types {
        let value = value_at(raw, start);
        // Parameters are left alone (a boundary may hold such a word) unless there are comments, of
        // which two readers may have two ideas.
        let end = match memchr::memchr(b'(', value) {
            Some(_) => value.len(),
            None => memchr::memchr(b';', value).unwrap_or(value.len()),
        };
        let opened = |window: &[u8]| OPENED_BY_US.iter().any(|o| window.eq_ignore_ascii_case(o));
        let windows = value.get(..end).unwrap_or(value).windows(6).enumerate();
        let found: Vec<usize> = windows.filter(|(_, w)| opened(w)).map(|(at, _)| at).collect();
        for at in found {
            overwrite(raw, start + at + 5);
        }
    }
    let encodings: Vec<usize> = fields_named(raw, b"content-transfer-encoding").collect();
    for start in encodings {
        let value = value_at(raw, start);
        if let Some(first) = value.iter().position(|octet| !octet.is_ascii_whitespace()) {
            overwrite(raw, start + first);
        }
    }
}

/// The value of a field, folds included.
fn value_at(raw: &[u8], start: usize) -> &[u8] {
    let value = raw.get(start..).unwrap_or_default();
    value.get(..super::field::field_end(value)).unwrap_or(value)
}

fn overwrite(raw: &mut [u8], at: usize) {
    if let Some(octet) = raw.get_mut(at) {
        *octet = b'x';
    }
}

/// The declared type as it was before [`mask`], lower case.
pub(super) fn unmasked(declared: String) -> Box<str> {
    match declared.as_str() {
        "message/rfc82x" => "message/rfc822".into(),
        "message/globax" => "message/global".into(),
        "multipart/digesx" => "multipart/digest".into(),
        _ => declared.into(),
    }
}
