//! ZIP, read as every client together reads it: by the directory at the end, and by the local
//! headers in front of the data. Where the two differ, something is hidden from somebody.

use std::io::Cursor;

use flate2::read::DeflateDecoder;
use memchr::memmem;
use zip::ZipArchive;
use zip::result::ZipError;

use super::archive::{Budget, Member};
use crate::message::ExceptionKind;

/// Signature of a local header, and its length without name and extra field.
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;

/// A local header. APPNOTE.TXT section 4.3.7.
struct Local<'z> {
    encrypted: bool,
    method: u16,
    compressed: usize,
    name: &'z [u8],
    data: usize,
}

/// The members of a ZIP.
pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let mut covered = Vec::new();
    match ZipArchive::new(Cursor::new(octets)) {
        Ok(mut archive) => {
            for index in 0..archive.len() {
                if !budget.admits_member(place) {
                    return out;
                }
                by_directory(octets, &mut archive, index, place, budget, (&mut out, &mut covered));
            }
        }
        Err(_) => {
            budget.note(ExceptionKind::Malformed, place, "zip directory that cannot be read");
        }
    }
    by_local_headers(octets, &mut covered, place, budget, &mut out);
    out
}

/// One member that the directory names.
fn by_directory(
    octets: &[u8],
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    place: &str,
    budget: &mut Budget<'_>,
    (out, covered): (&mut Vec<Member>, &mut Vec<(usize, usize)>),
) {
    let Ok(raw) = archive.by_index_raw(index) else {
        budget.note(ExceptionKind::Malformed, place, "zip member that is not where it should be");
        return;
    };
    let name = raw.name_raw().to_vec();
    let (encrypted, bytes_in) = (raw.encrypted(), raw.compressed_size());
    let start = usize::try_from(raw.header_start()).unwrap_or(usize::MAX);
    let (method, is_dir) = (raw.compression(), raw.is_dir());
    drop(raw);
    let local = local_at(octets, start);
    if let Some(local) = &local {
        let bytes = usize::try_from(bytes_in).unwrap_or(usize::MAX);
        covered.push((start, local.data.saturating_add(bytes)));
        if local.name != name.as_slice() {
            budget.note(ExceptionKind::Malformed, place, "zip names differ between its headers");
        }
    }
    if encrypted || local.as_ref().is_some_and(|local| local.encrypted) {
        budget.note(ExceptionKind::Encrypted, place, "password-protected zip member");
        // Its name is still worth a look by the attachment rules.
        out.push(Member { name, octets: Vec::new() });
        return;
    }
    if is_dir && bytes_in == 0 {
        return;
    }
    match archive.by_index(index) {
        Ok(mut member) => {
            let (content, whole) = budget.read(&mut member, bytes_in, place);
            if !whole {
                budget.note(ExceptionKind::Malformed, place, "zip member that cannot be read");
            }
            out.push(Member { name, octets: content });
        }
        Err(ZipError::UnsupportedArchive(_)) => {
            let detail = format!("zip method {method} is not read here");
            budget.note(ExceptionKind::NotScanned, place, detail);
            out.push(Member { name, octets: Vec::new() });
        }
        Err(_) => {
            budget.note(ExceptionKind::Malformed, place, "zip member that cannot be opened");
        }
    }
}

/// Members that only local headers name: clients that read from the front (or repair) open them.
fn by_local_headers(
    octets: &[u8],
    covered: &mut [(usize, usize)],
    place: &str,
    budget: &mut Budget<'_>,
    out: &mut Vec<Member>,
) {
    covered.sort_unstable();
    let mut ranges = covered.iter().copied().peekable();
    let mut behind = 0_usize;
    for at in memmem::find_iter(octets, LOCAL) {
        while let Some(&(start, end)) = ranges.peek() {
            if start > at {
                break;
            }
            behind = behind.max(end);
            ranges.next();
        }
        if at < behind {
            continue;
        }
        let Some(local) = local_at(octets, at) else { continue };
        if !plausible(&local) {
            continue;
        }
        budget.note(ExceptionKind::Malformed, place, "zip member that its directory does not name");
        if !budget.admits_member(place) {
            return;
        }
        if local.encrypted {
            budget.note(ExceptionKind::Encrypted, place, "password-protected zip member");
            continue;
        }
        let data = octets.get(local.data..).unwrap_or_default();
        let bytes_in = data.len() as u64;
        let content = match local.method {
            0 => {
                let end = if local.compressed == 0 { data.len() } else { local.compressed };
                let mut stored = data.get(..end).unwrap_or(data);
                budget.read(&mut stored, bytes_in, place).0
            }
            8 => budget.read(&mut DeflateDecoder::new(data), bytes_in, place).0,
            _ => {
                budget.note(ExceptionKind::NotScanned, place, "zip method that is not read here");
                continue;
            }
        };
        behind = local.data.saturating_add(local.compressed);
        out.push(Member { name: local.name.to_vec(), octets: content });
    }
}

/// Four octets may be a header by chance; a method that exists and a short name rarely are.
fn plausible(local: &Local<'_>) -> bool {
    matches!(local.method, 0 | 1..=10 | 12 | 14 | 18 | 93..=99)
        && !local.name.is_empty()
        && local.name.len() <= 1024
}

/// The local header at `at`.
fn local_at(octets: &[u8], at: usize) -> Option<Local<'_>> {
    let rest = octets.get(at..)?;
    let header = rest.get(..LOCAL_BYTES).filter(|header| header.starts_with(LOCAL))?;
    let half = |offset: usize| -> Option<u16> {
        Some(u16::from_le_bytes(header.get(offset..offset + 2)?.try_into().ok()?))
    };
    let name_bytes = usize::from(half(26)?);
    let extra_bytes = usize::from(half(28)?);
    let compressed = u32::from_le_bytes(header.get(18..22)?.try_into().ok()?);
    Some(Local {
        encrypted: half(6)? & 1 != 0,
        method: half(8)?,
        compressed: usize::try_from(compressed).ok()?,
        name: rest.get(LOCAL_BYTES..LOCAL_BYTES + name_bytes)?,
        data: at + LOCAL_BYTES + name_bytes + extra_bytes,
    })
}
