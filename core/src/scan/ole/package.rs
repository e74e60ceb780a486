//! Embedded files: `Ole10Native` (MS-OLEDS section 2.3.6) as packager.exe writes it.

use super::compound::{half, word};
use crate::message::{ExceptionKind, detect};
use crate::scan::archive::{Budget, Member};

/// The file in an `Ole10Native` stream, which begins with its own length.
pub(super) fn native(stream: &[u8], place: &str, budget: &mut Budget<'_>) -> Option<Member> {
    let body = stream.get(4..)?;
    let (name, data) = packed(body).unwrap_or((Vec::new(), body));
    take(name, data, place, budget)
}

/// Files in objects of the older form (MS-OLEDS section 2.2.5), as RTF holds them in hexadecimal.
pub(in crate::scan) fn native_files(
    object: &[u8],
    place: &str,
    budget: &mut Budget<'_>,
) -> Vec<Member> {
    let Some((class, data)) = first_object(object) else {
        // Not in order. Whatever is in it is found by its mark.
        budget.note(ExceptionKind::Malformed, place, "embedded object out of order");
        return carved(object)
            .into_iter()
            .filter_map(|d| take(Vec::new(), d, place, budget))
            .collect();
    };
    let class = String::from_utf8_lossy(class).to_ascii_lowercase();
    let (name, data) = match packed(data).filter(|_| class.starts_with("package")) {
        Some((name, data)) => (name, data),
        None => (Vec::new(), data),
    };
    take(name, data, place, budget).into_iter().collect()
}

fn take(name: Vec<u8>, data: &[u8], place: &str, budget: &mut Budget<'_>) -> Option<Member> {
    if data.is_empty() && name.is_empty() || !budget.admits_member(place) {
        return None;
    }
    let mut source = data;
    let (octets, _) = budget.read(&mut source, data.len() as u64, place);
    let shown = String::from_utf8_lossy(&name).into_owned();
    if detect(&octets).is_program() || super::super::attachment::is_dangerous_name(&shown) {
        let detail = format!("embedded program {shown}");
        budget.mark("ACTIVE_EMBEDDED_PROGRAM", place, detail);
    }
    Some(Member::new(name, octets))
}

/// Label and data behind the length: type, label, path, two numbers, path of the temporary copy, data.
/// A link has no data.
fn packed(body: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    if half(body, 0)? != 2 {
        return None;
    }
    let (label, rest) = string(body.get(2..)?)?;
    let (path, rest) = string(rest)?;
    // The label is what is shown; the path's last part is what the file is called when it runs.
    let file = path.rsplit(|octet| matches!(octet, b'\\' | b'/')).next().unwrap_or_default();
    let name = if label.is_empty() { file } else { label };
    Some((name.to_vec(), data(rest).unwrap_or_default()))
}

fn data(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.get(4..)?;
    let bytes = usize::try_from(word(rest, 0)?).ok()?;
    let rest = rest.get(4..)?.get(bytes..)?;
    let size = usize::try_from(word(rest, 0)?).ok()?;
    let data = rest.get(4..)?;
    Some(data.get(..size).unwrap_or(data))
}

/// Up to the zero, and what is behind it.
fn string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, octets)?;
    Some((octets.get(..end)?, octets.get(end + 1..)?))
}

/// Class and native data of an embedded object.
fn first_object(object: &[u8]) -> Option<(&[u8], &[u8])> {
    // Version, format (1 = linked, 2 = embedded).
    let format = word(object, 4)?;
    if !matches!(format, 1 | 2) {
        return None;
    }
    let mut rest = object.get(8..)?;
    let mut class: &[u8] = &[];
    // Class, topic, item: length with the zero, then the octets.
    for number in 0..3 {
        let bytes = usize::try_from(word(rest, 0)?).ok()?;
        let text = rest.get(4..)?.get(..bytes)?;
        if number == 0 {
            class = text.strip_suffix(&[0]).unwrap_or(text);
        }
        rest = rest.get(4 + bytes..)?;
    }
    if format == 1 {
        return Some((class, &[]));
    }
    let bytes = usize::try_from(word(rest, 0)?).ok()?;
    let data = rest.get(4..)?;
    Some((class, data.get(..bytes).unwrap_or(data)))
}

/// What looks like a file in octets out of order.
fn carved(octets: &[u8]) -> Vec<&[u8]> {
    const MARKS: [&[u8]; 4] = [b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"MZ", b"PK\x03\x04", b"{\\rt"];
    let first = MARKS.iter().filter_map(|mark| memchr::memmem::find(octets, mark)).min();
    let whole = if octets.is_empty() { None } else { Some(octets) };
    first.and_then(|at| octets.get(at..)).or(whole).into_iter().collect()
}
