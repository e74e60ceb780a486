//! The VBA project of old Visio drawings: a compound file, packed in the drawing's one stream.

use crate::scan::archive::{Budget, Member};

/// Octets that are unpacked.
const BYTES_MAX: usize = 32 * 1024 * 1024;
const WINDOW: usize = 4096;
/// What Visio's packing makes of the head of a compound file: eight literals, of which four are the
/// length of the chunk, then the next eight.
const HEAD: &[u8] = b"\xD0\xCF\x11\xE0";
const REST: &[u8] = b"\xA1\xB1\x1A\xE1";

/// The project, if there is one.
pub(super) fn project(stream: &[u8], place: &str, budget: &mut Budget<'_>) -> Option<Member> {
    let begins = |at: &usize| {
        let behind = stream.get(at + HEAD.len() + 1..).unwrap_or_default();
        at.checked_sub(5).and_then(|flags| stream.get(flags)) == Some(&0xFF)
            && behind.starts_with(REST)
    };
    let at = memchr::memmem::find_iter(stream, HEAD).find(begins)?;
    let unpacked = unpack(stream.get(at - 5..)?);
    let project = unpacked.get(4..)?;
    if !budget.admits_member(place) {
        return None;
    }
    let mut source = project;
    let (octets, _) = budget.read(&mut source, stream.len() as u64, place);
    Some(Member::new(b"VBA".to_vec(), octets))
}

/// A window of 4,096 octets; a set bit is a literal, else two octets say where in the window and how many.
fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut window = [0_u8; WINDOW];
    let mut out: Vec<u8> = Vec::new();
    let mut octets = packed.iter().copied();
    let mut put = |octet: u8, window: &mut [u8; WINDOW]| {
        if let Some(slot) = window.get_mut(out.len() % WINDOW) {
            *slot = octet;
        }
        out.push(octet);
        out.len() < BYTES_MAX
    };
    'all: while let Some(flags) = octets.next() {
        for bit in 0..8 {
            let Some(first) = octets.next() else { break 'all };
            if flags >> bit & 1 == 1 {
                if !put(first, &mut window) {
                    break 'all;
                }
                continue;
            }
            let Some(second) = octets.next() else { break 'all };
            let length = usize::from(second & 15) + 3;
            let pointer = usize::from(second & 0xF0) << 4 | usize::from(first);
            let from = if pointer > 4078 { pointer - 4078 } else { pointer + 18 };
            for step in 0..length {
                let octet = window.get((from + step) % WINDOW).copied().unwrap_or(0);
                if !put(octet, &mut window) {
                    break 'all;
                }
            }
        }
    }
    out
}
