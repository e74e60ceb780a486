//! ARJ: names and stored members; what is compressed or garbled is said, never clean.

use super::{Budget, Member};
use crate::message::ExceptionKind;

const MARK: &[u8] = b"\x60\xEA";
/// A basic header is at most this long; longer is something else.
const HEADER_BYTES_MAX: usize = 2_600;
const GARBLED: u8 = 1;
/// It goes on in the next volume, or began in the one before.
const SPLIT: u8 = 0x0C;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    // The first header is about the archive.
    let mut next = block(octets, 0).map(|main| main.end);
    while let Some(at) = next {
        let Some(file) = block(octets, at) else {
            if octets.get(at..at + 4) != Some(b"\x60\xEA\0\0") {
                budget.note(ExceptionKind::Malformed, place, "arj that cannot be read to its end");
            }
            return out;
        };
        if !budget.admits_member(place) {
            return out;
        }
        let rest = octets.get(file.end..).unwrap_or_default();
        let data = rest.get(..file.bytes).unwrap_or(rest);
        let name = file.name.to_vec();
        if file.flags & GARBLED == 0 && file.method == 0 {
            // What is here is looked at; nobody shall take it for the whole.
            if file.flags & SPLIT != 0 || data.len() as u64 != file.unpacked {
                let detail = "an arj member of which a part is not here";
                budget.note(ExceptionKind::NotScanned, place, detail);
            }
            let mut source = data;
            let (content, _) = budget.read(&mut source, data.len() as u64, place);
            out.push(Member::new(name, content));
        } else {
            let encrypted = file.flags & GARBLED != 0;
            let (kind, detail) = match encrypted {
                true => (ExceptionKind::Encrypted, "password-protected arj member"),
                false => (ExceptionKind::NotScanned, "arj compression is not read here"),
            };
            budget.note(kind, place, detail);
            out.push(Member::unread(name, file.unpacked, encrypted));
        }
        next = file.end.checked_add(file.bytes);
    }
    budget.note(ExceptionKind::Malformed, place, "arj that cannot be read");
    out
}

struct Block<'z> {
    flags: u8,
    method: u8,
    bytes: usize,
    /// Octets when it is unpacked.
    unpacked: u64,
    name: &'z [u8],
    /// Behind the header and its extensions.
    end: usize,
}

/// The header at `at`; `None` for the mark of the end, too.
fn block(octets: &[u8], at: usize) -> Option<Block<'_>> {
    let half = |at: usize| -> Option<usize> {
        Some(usize::from(u16::from_le_bytes(octets.get(at..at + 2)?.try_into().ok()?)))
    };
    if octets.get(at..at + 2)? != MARK {
        return None;
    }
    let size = half(at + 2)?;
    if size == 0 || size > HEADER_BYTES_MAX {
        return None;
    }
    let header = octets.get(at + 4..at + 4 + size)?;
    let first = usize::from(*header.first()?);
    let name = header.get(first..)?.split(|octet| *octet == 0).next()?;
    let bytes = u32::from_le_bytes(header.get(12..16)?.try_into().ok()?);
    // A checksum, then extensions, each behind its size, until one has none.
    let mut end = at + 4 + size + 4;
    loop {
        let extension = half(end)?;
        end += 2;
        if extension == 0 {
            break;
        }
        end = end.checked_add(extension + 4)?;
    }
    Some(Block {
        flags: *header.get(4)?,
        method: *header.get(5)?,
        bytes: usize::try_from(bytes).ok()?,
        unpacked: u64::from(u32::from_le_bytes(header.get(16..20)?.try_into().ok()?)),
        name,
        end,
    })
}
