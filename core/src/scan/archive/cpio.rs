//! cpio in its four forms: new ASCII with and without a checksum, old ASCII, and binary in both orders of octets.

use super::{Budget, Member};
use crate::message::ExceptionKind;

/// Members of a cpio, and the end of the archive in its last name.
const TRAILER: &[u8] = b"TRAILER!!!";

/// One header.
struct Header {
    bytes: usize,
    name_bytes: usize,
    data_bytes: usize,
    /// Names and data end on a multiple of this.
    align: usize,
    regular: bool,
}

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let (mut out, mut at) = (Vec::new(), 0);
    if header(octets).is_none() {
        budget.note(ExceptionKind::NotScanned, place, "cpio of a kind that is not read here");
        return out;
    }
    loop {
        match one(octets, at) {
            Some((name, ..)) if name == TRAILER => return out,
            Some((name, data, next, regular)) => {
                at = next;
                if !regular && data.is_empty() {
                    continue;
                }
                if !budget.admits_member(place) {
                    return out;
                }
                let mut source = data;
                let (content, _) = budget.read(&mut source, data.len() as u64, place);
                out.push(Member::new(name.to_vec(), content));
            }
            None => {
                budget.note(ExceptionKind::Malformed, place, "cpio that cannot be read to its end");
                return out;
            }
        }
    }
}

/// Name, data, where the next header is, whether it is a file.
fn one(octets: &[u8], at: usize) -> Option<(&[u8], &[u8], usize, bool)> {
    let header = header(octets.get(at..)?)?;
    let name_at = at.checked_add(header.bytes)?;
    let name_end = name_at.checked_add(header.name_bytes)?;
    let name = octets.get(name_at..name_end)?;
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    let data_at = aligned(name_end, at, header.align)?;
    let data_end = data_at.checked_add(header.data_bytes)?;
    let data = octets.get(data_at..data_end)?;
    Some((name, data, aligned(data_end, at, header.align)?, header.regular))
}

/// Headers themselves stand aligned, so it does not matter from where it is counted.
fn aligned(end: usize, start: usize, align: usize) -> Option<usize> {
    let bytes = end.checked_sub(start)?;
    start.checked_add(bytes.checked_next_multiple_of(align)?)
}

fn header(octets: &[u8]) -> Option<Header> {
    let regular = |mode: usize| mode & 0o170_000 == 0o100_000;
    if octets.starts_with(b"070701") || octets.starts_with(b"070702") {
        let field = |index: usize| number(octets.get(6 + 8 * index..14 + 8 * index)?, 16);
        return Some(Header {
            bytes: 110,
            name_bytes: field(11)?,
            data_bytes: field(6)?,
            align: 4,
            regular: regular(field(1)?),
        });
    }
    if octets.starts_with(b"070707") {
        let field = |from: usize, to: usize| number(octets.get(from..to)?, 8);
        return Some(Header {
            bytes: 76,
            name_bytes: field(59, 65)?,
            data_bytes: field(65, 76)?,
            align: 1,
            regular: regular(field(18, 24)?),
        });
    }
    let little = octets.starts_with(b"\xC7\x71");
    if !little && !octets.starts_with(b"\x71\xC7") {
        return None;
    }
    let half = |index: usize| -> Option<usize> {
        let field: [u8; 2] = octets.get(2 * index..2 * index + 2)?.try_into().ok()?;
        Some(usize::from(if little {
            u16::from_le_bytes(field)
        } else {
            u16::from_be_bytes(field)
        }))
    };
    // Words have their more significant half first, in either order.
    Some(Header {
        bytes: 26,
        name_bytes: half(10)?,
        data_bytes: half(11)? << 16 | half(12)?,
        align: 2,
        regular: regular(half(3)?),
    })
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let digits = std::str::from_utf8(digits).ok()?;
    usize::from_str_radix(digits.trim(), radix).ok()
}
