//! TNEF (`winmail.dat`, MS-OXTNEF): attachments that Outlook wraps where no other client sees them.

use super::{Budget, Member};
use crate::message::ExceptionKind;

const HEAD_BYTES: usize = 6;
/// attAttachRendData: the next attachment begins.
const BEGIN: u32 = 0x0006_9002;
/// attAttachTitle
const TITLE: u32 = 0x0001_8010;
/// attAttachData
const DATA: u32 = 0x0006_800F;
/// attBody
const BODY: u32 = 0x0002_800C;
/// Level of attributes about attachments.
const ATTACHMENT: u8 = 2;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out: Vec<Member> = Vec::new();
    let (mut at, mut name) = (HEAD_BYTES, Vec::new());
    while at < octets.len() {
        let Some((level, id, value, next)) = attribute(octets, at) else {
            budget.note(ExceptionKind::Malformed, place, "tnef that cannot be read to its end");
            break;
        };
        at = next;
        match (level, id) {
            (ATTACHMENT, BEGIN) => name = Vec::new(),
            (ATTACHMENT, TITLE) => {
                name = value.split(|octet| *octet == 0).next().unwrap_or_default().to_vec();
            }
            (ATTACHMENT, DATA) | (_, BODY) if !value.is_empty() => {
                if !budget.admits_member(place) {
                    break;
                }
                let mut source = value;
                let (content, _) = budget.read(&mut source, value.len() as u64, place);
                let name = if id == BODY { Vec::new() } else { std::mem::take(&mut name) };
                out.push(Member { name, octets: content });
            }
            _ => {}
        }
    }
    out
}

/// Level, id, value, where the next one begins.
fn attribute(octets: &[u8], at: usize) -> Option<(u8, u32, &[u8], usize)> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(octets.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let level = *octets.get(at)?;
    let (id, bytes) = (word(at + 1)?, usize::try_from(word(at + 5)?).ok()?);
    let start = at + 9;
    let end = start.checked_add(bytes)?;
    // A checksum of two octets follows.
    Some((level, id, octets.get(start..end)?, end.checked_add(2)?))
}
