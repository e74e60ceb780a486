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

/// Where the values of all Content-Type fields begin that `mail-parser` could see: behind the colons
/// after that name, white space inside it allowed, since the parser allows it.
pub(super) fn type_fields(raw: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr::memchr_iter(b':', raw)
        .filter(|&colon| {
            let mut wanted = b"content-type".iter().rev();
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

/// A copy of `raw` in which the last letter of those subtypes is `x`; `None` if there are none.
pub(super) fn masked(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    for start in type_fields(raw) {
        let value = raw.get(start..).unwrap_or_default();
        let value = value.get(..super::field::field_end(value)).unwrap_or(value);
        // Parameters are left alone (a boundary may hold such a word) unless there are comments, of
        // which two readers may have two ideas.
        let end = match memchr::memchr(b'(', value) {
            Some(_) => value.len(),
            None => memchr::memchr(b';', value).unwrap_or(value.len()),
        };
        for (at, window) in value.get(..end).unwrap_or(value).windows(6).enumerate() {
            if OPENED_BY_US.iter().any(|word| window.eq_ignore_ascii_case(word))
                && let Some(last) = out.get_or_insert_with(|| raw.to_vec()).get_mut(start + at + 5)
            {
                *last = b'x';
            }
        }
    }
    out
}

/// The declared type as it was before [`masked`], lower case.
pub(super) fn unmasked(declared: String) -> Box<str> {
    match declared.as_str() {
        "message/rfc82x" => "message/rfc822".into(),
        "message/globax" => "message/global".into(),
        "multipart/digesx" => "multipart/digest".into(),
        _ => declared.into(),
    }
}
