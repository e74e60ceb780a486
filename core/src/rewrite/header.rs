//! The header section that arrived: its fields, those that must not stay, and the subject.

use super::{Rewriting, subject};

/// Octets of the header section, the empty line included; all of `front` if it has no empty line.
pub(super) fn section_bytes(front: &[u8]) -> usize {
    if front.starts_with(b"\r\n") {
        return 2;
    }
    memchr::memmem::find(front, b"\r\n\r\n").map_or(front.len(), |at| at + 4)
}

/// One field: its octets with folds and line ends, and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawField<'h> {
    /// All octets.
    pub(super) octets: &'h [u8],
    /// The name without blanks before the colon (ITS-06 accepts them); empty if there is no colon.
    pub(super) name: &'h [u8],
    /// What follows the colon, folds and line end included.
    pub(super) value: &'h [u8],
}

/// The fields of a header section, and last the empty line (with an empty name).
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = RawField<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        // A field ends at a line end that no blank follows.
        loop {
            let line = rest.get(end..).unwrap_or_default();
            end += memchr::memchr(b'\n', line).map_or(line.len(), |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (octets, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after;
        let colon = memchr::memchr(b':', octets);
        let name = colon.and_then(|at| octets.get(..at)).unwrap_or_default().trim_ascii_end();
        let value = colon.and_then(|at| octets.get(at + 1..)).unwrap_or_default();
        Some(RawField { octets, name, value })
    })
}

/// Appends the section without fields of ours and with the subject tagged. `true`: a tag was written.
pub(super) fn copy(out: &mut Vec<u8>, header: &[u8], job: &Rewriting<'_>) -> bool {
    let tag = job.decision.tag.as_deref();
    let (mut has_subject, mut tagged) = (false, false);
    if header.starts_with(b" ") || header.starts_with(b"\t") {
        // A first line that goes on from nothing would go on from the last field that we write (ITS-08).
        out.extend_from_slice(b"X-Sekisho-Unnamed:");
    }
    for field in fields(header) {
        let added =
            |(name, _): &(Box<str>, Box<str>)| field.name.eq_ignore_ascii_case(name.as_bytes());
        if is_own(&field, job.host_name) || job.decision.fields.iter().any(added) {
            continue;
        }
        let is_subject = field.name.eq_ignore_ascii_case(b"Subject");
        has_subject |= is_subject;
        let ends_section = field.name.is_empty() && field.octets == b"\r\n";
        match tag {
            // A second Subject field is tagged too: readers differ in which one they show.
            Some(tag) if is_subject => {
                let before = out.len();
                subject::write_tagged(out, &field, tag);
                tagged |= out.get(before..) != Some(field.octets);
            }
            Some(tag) if ends_section && !has_subject => {
                tagged = true;
                subject::write_new(out, tag);
                out.extend_from_slice(field.octets);
            }
            _ => out.extend_from_slice(field.octets),
        }
    }
    tagged
}

/// Names that only we write (unified model 10.1).
const OWN_NAMES: [&str; 6] =
    ["X-AS", "X-SLBL-Result", "X-Spam-Filtered", "X-Spam-Result", "X-IPAS", "X-AV-Result"];

/// Whether the field claims to be ours.
fn is_own(field: &RawField<'_>, host_name: &str) -> bool {
    let prefix = b"X-Sekisho-";
    if field.name.get(..prefix.len()).is_some_and(|name| name.eq_ignore_ascii_case(prefix)) {
        return true;
    }
    if OWN_NAMES.iter().any(|own| field.name.eq_ignore_ascii_case(own.as_bytes())) {
        return true;
    }
    field.name.eq_ignore_ascii_case(b"Authentication-Results")
        && authserv_id(field.value).eq_ignore_ascii_case(host_name.as_bytes())
}

/// The authserv-id of RFC 8601 section 2.2: the first token after comments and folds, quotes and backslashes removed.
fn authserv_id(value: &[u8]) -> Vec<u8> {
    let mut rest = value.trim_ascii_start();
    while rest.first() == Some(&b'(') {
        let (mut depth, mut escaped) = (0_usize, false);
        let end = rest.iter().position(|octet| {
            match octet {
                _ if std::mem::take(&mut escaped) => {}
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        rest = end.and_then(|at| rest.get(at + 1..)).unwrap_or_default().trim_ascii_start();
    }
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let stops = |octet: &u8| matches!(octet, b';' | b'(') || octet.is_ascii_whitespace();
        let end = rest.iter().position(stops).unwrap_or(rest.len());
        return rest.get(..end).unwrap_or_default().to_vec();
    };
    let (mut id, mut escaped) = (Vec::new(), false);
    for octet in quoted {
        match octet {
            _ if std::mem::take(&mut escaped) => id.push(*octet),
            b'\\' => escaped = true,
            b'"' => break,
            _ => id.push(*octet),
        }
    }
    id.trim_ascii().to_vec()
}
