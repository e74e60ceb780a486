//! Objects inside the stream of a presentation: `ExOleObjStg` (MS-PPT section 2.10.34), which hold
//! embedded documents, controls and the VBA project.

use flate2::read::ZlibDecoder;
use memchr::memmem;

use super::compound::{half, word};
use crate::scan::archive::{Budget, Member};

/// `RT_ExternalOleObjectStg`
const OBJECT: [u8; 2] = [0x11, 0x10];

/// Each object as a member. Found by their heads, so that a broken record in front hides none.
pub(super) fn members(stream: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let mut behind = 0;
    for at in memmem::find_iter(stream, &OBJECT) {
        let Some(start) = at.checked_sub(2).filter(|start| *start >= behind) else { continue };
        let (Some(kind), Some(bytes)) = (half(stream, start), word(stream, start + 4)) else {
            continue;
        };
        // Version 0; instance 0 = as it is, 1 = compressed behind its length.
        if !matches!(kind, 0x0000 | 0x0010) || bytes < 8 {
            continue;
        }
        let rest = stream.get(start + 8..).unwrap_or_default();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let data = rest.get(..bytes).unwrap_or(rest);
        if !budget.admits_input(stream.len(), place) || !budget.admits_member(place) {
            break;
        }
        let (octets, used) = if kind == 0x0010 {
            let mut inflater = ZlibDecoder::new(data.get(4..).unwrap_or_default());
            let (octets, _) = budget.read(&mut inflater, data.len() as u64, place);
            (octets, usize::try_from(inflater.total_in()).unwrap_or(0))
        } else {
            let mut source = data;
            (budget.read(&mut source, data.len() as u64, place).0, data.len())
        };
        budget.used_input(used as u64);
        if !octets.is_empty() {
            behind = start + 8 + used;
            out.push(Member::new(b"object".to_vec(), octets));
        }
    }
    out
}
