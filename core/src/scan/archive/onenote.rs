//! Files inside of OneNote sections (MS-ONESTORE section 2.6.13): a GUID, a length, the octets.

use memchr::memmem;

use super::{Budget, Member};
use crate::message::{ExceptionKind, FileType, detect};

/// `{BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC}`, FileDataStoreObject.
const FILE: &[u8] = b"\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC";
/// Head of the file itself.
const HEAD_BYTES: usize = 1024;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    if octets.len() < HEAD_BYTES {
        budget.note(ExceptionKind::Malformed, place, "OneNote section that ends early");
    }
    for at in memmem::find_iter(octets, FILE) {
        let field = octets.get(at + 16..at + 24).and_then(|field| field.try_into().ok());
        let Some(bytes) = field.map(u64::from_le_bytes) else { break };
        let rest = octets.get(at + 36..).unwrap_or_default();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let data = rest.get(..bytes).unwrap_or(rest);
        if data.is_empty() {
            continue;
        }
        if !budget.admits_input(octets.len(), place) || !budget.admits_member(place) {
            break;
        }
        budget.used_input(data.len() as u64);
        let mut source = data;
        let (octets, _) = budget.read(&mut source, data.len() as u64, place);
        let kind = detect(&octets);
        if !matches!(kind, FileType::Image | FileType::Media) {
            budget.mark("ACTIVE_ONENOTE_FILE", place, format!("embedded file: {kind:?}"));
        }
        out.push(Member::new(Vec::new(), octets));
    }
    out
}
