//! RAR 4 and 5: names, sizes and flags of the members; only stored ones are taken out. The compression is nobody's to read here
//! (its licence forbids it), so compressed members are "not scanned", never clean.

use super::{Budget, Member};
use crate::message::ExceptionKind;

const RAR4: &[u8] = b"Rar!\x1A\x07\x00";
const RAR5: &[u8] = b"Rar!\x1A\x07\x01\x00";
/// Blocks looked at.
const BLOCKS_MAX: usize = 10_000;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut reading = Reading { octets, place, budget, out: Vec::new() };
    let whole = match octets {
        _ if octets.starts_with(RAR5) => reading.five(RAR5.len()),
        _ if octets.starts_with(RAR4) => reading.four(RAR4.len()),
        _ => None,
    };
    if whole.is_none() {
        reading.budget.note(ExceptionKind::Malformed, place, "rar that cannot be read to its end");
    }
    reading.out
}

struct Reading<'z, 'b, 'l> {
    octets: &'z [u8],
    place: &'b str,
    budget: &'b mut Budget<'l>,
    out: Vec<Member>,
}

/// A member, as its header tells it.
struct File<'z> {
    name: &'z [u8],
    data: &'z [u8],
    /// Octets when it is unpacked.
    bytes: u64,
    stored: bool,
    encrypted: bool,
    /// A part of it is in another volume.
    split: bool,
}

impl<'z> Reading<'z, '_, '_> {
    /// One file, where its data are, and what is known of them. `None`: there is no room for more members.
    fn file(&mut self, file: &File<'z>) -> Option<()> {
        if !self.budget.admits_member(self.place) {
            return None;
        }
        let name = file.name.to_vec();
        if file.stored && !file.encrypted {
            // What is here is looked at; nobody shall take it for the whole.
            if file.split || file.data.len() as u64 != file.bytes {
                let detail = "a rar member of which a part is not here";
                self.budget.note(ExceptionKind::NotScanned, self.place, detail);
            }
            let mut source = file.data;
            let (octets, _) = self.budget.read(&mut source, file.data.len() as u64, self.place);
            self.out.push(Member::new(name, octets));
            return Some(());
        }
        let (kind, detail) = match file.encrypted {
            true => (ExceptionKind::Encrypted, "password-protected rar member"),
            false => (ExceptionKind::NotScanned, "rar compression is not read here"),
        };
        self.budget.note(kind, self.place, detail);
        self.out.push(Member::unread(name, file.bytes, file.encrypted));
        Some(())
    }

    fn headers_encrypted(&mut self) {
        let detail = "password-protected rar, names included";
        self.budget.note(ExceptionKind::Encrypted, self.place, detail);
    }

    /// RAR 4. `None`: it does not end as it should.
    fn four(&mut self, mut at: usize) -> Option<()> {
        for _ in 0..BLOCKS_MAX {
            let block = self.octets.get(at..)?;
            let head = block.get(..7)?;
            let (kind, flags, size) = (*head.get(2)?, half(head, 3)?, usize::from(half(head, 5)?));
            let header = block.get(..size).filter(|header| header.len() >= 7)?;
            let data_bytes = match flags & 0x8000 != 0 {
                true => usize::try_from(word(header, 7)?).ok()?,
                false => 0,
            };
            match kind {
                0x73 if flags & 0x80 != 0 => {
                    self.headers_encrypted();
                    return Some(());
                }
                0x74 => {
                    let mut data_bytes = data_bytes as u64;
                    let name_bytes = usize::from(half(header, 26)?);
                    let name_at = if flags & 0x100 != 0 { 40 } else { 32 };
                    let mut unpacked = u64::from(word(header, 11)?);
                    if flags & 0x100 != 0 {
                        data_bytes |= u64::from(word(header, 32)?) << 32;
                        unpacked |= u64::from(word(header, 36)?) << 32;
                    }
                    let name = header.get(name_at..name_at + name_bytes)?;
                    // Behind a zero stands the same name in an encoding of its own.
                    let name = name.split(|octet| *octet == 0).next().unwrap_or(name);
                    let bytes = usize::try_from(data_bytes).ok()?;
                    let rest = block.get(size..)?;
                    let data = rest.get(..bytes).unwrap_or(rest);
                    let directory = flags & 0xE0 == 0xE0;
                    let stored = *header.get(25)? == 0x30;
                    let (encrypted, split) = (flags & 4 != 0, flags & 3 != 0);
                    let file = File { name, data, bytes: unpacked, stored, encrypted, split };
                    if !directory && self.file(&file).is_none() {
                        return Some(());
                    }
                    at = at.checked_add(size)?.checked_add(bytes)?;
                    continue;
                }
                0x7B => return Some(()),
                _ => {}
            }
            at = at.checked_add(size)?.checked_add(data_bytes)?;
            if at == self.octets.len() {
                return Some(());
            }
        }
        None
    }

    /// RAR 5. As [`Self::four`].
    fn five(&mut self, mut at: usize) -> Option<()> {
        for _ in 0..BLOCKS_MAX {
            if at == self.octets.len() {
                return Some(());
            }
            // CRC, then the size of what follows its own field.
            let mut fields = Numbers { octets: self.octets, at: at.checked_add(4)? };
            let size = usize::try_from(fields.next()?).ok()?;
            let end = fields.at.checked_add(size).filter(|end| *end <= self.octets.len())?;
            let (kind, flags) = (fields.next()?, fields.next()?);
            let extra = if flags & 1 != 0 { usize::try_from(fields.next()?).ok()? } else { 0 };
            let bytes = if flags & 2 != 0 { usize::try_from(fields.next()?).ok()? } else { 0 };
            let rest = self.octets.get(end..)?;
            match kind {
                4 => {
                    self.headers_encrypted();
                    return Some(());
                }
                5 => return Some(()),
                2 => {
                    let file_flags = fields.next()?;
                    let (unpacked, _attributes) = (fields.next()?, fields.next()?);
                    fields.at += if file_flags & 2 != 0 { 4 } else { 0 };
                    fields.at += if file_flags & 4 != 0 { 4 } else { 0 };
                    let compression = fields.next()?;
                    let _host = fields.next()?;
                    let name_bytes = usize::try_from(fields.next()?).ok()?;
                    let name = self.octets.get(fields.at..fields.at.checked_add(name_bytes)?)?;
                    let area = self.octets.get(end.checked_sub(extra)?..end)?;
                    let data = rest.get(..bytes).unwrap_or(rest);
                    let (stored, directory) = (compression >> 7 & 7 == 0, file_flags & 1 != 0);
                    // A writer that did not know it says so; then it is at least what is there.
                    let bytes = if file_flags & 8 != 0 { data.len() as u64 } else { unpacked };
                    let (encrypted, split) = (has_encryption(area), flags & 0x18 != 0);
                    let file = File { name, data, bytes, stored, encrypted, split };
                    if !directory && self.file(&file).is_none() {
                        return Some(());
                    }
                }
                _ => {}
            }
            at = end.checked_add(bytes)?;
        }
        None
    }
}

/// Whether the extra area of a file has a record of encryption.
fn has_encryption(area: &[u8]) -> bool {
    let mut fields = Numbers { octets: area, at: 0 };
    while let Some(size) = fields.next() {
        let Some(end) = usize::try_from(size).ok().and_then(|size| fields.at.checked_add(size))
        else {
            return false;
        };
        if fields.next() == Some(1) {
            return true;
        }
        fields.at = end;
    }
    false
}

/// Numbers of seven bits an octet, least significant first.
struct Numbers<'z> {
    octets: &'z [u8],
    at: usize,
}

impl Numbers<'_> {
    fn next(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let octet = *self.octets.get(self.at)?;
            self.at += 1;
            number |= u64::from(octet & 0x7F).checked_shl(shift)?;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}
