//! Windows programs (PE): where their sections lie, where they begin to run, what they import. For signatures; nothing is
//! run or relocated, and every number in the file is the sender's.

use std::ops::Range;

/// Sections of one file; Windows takes no more.
const SECTIONS_MAX: usize = 96;
/// Libraries and functions that are read for the hash of imports.
const LIBRARIES_MAX: usize = 256;
const FUNCTIONS_MAX: usize = 4_096;
/// Octets of a name in the import table.
const NAME_BYTES_MAX: usize = 256;
/// Octets of a version resource, from its mark on.
const VERSION_BYTES_MAX: usize = 64 * 1024;
/// Windows reads sections from multiples of this, whatever the header says.
const SECTOR: usize = 512;

/// The layout of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pe {
    /// Sections in the order of the header: their octets in the file, cut at its end.
    pub sections: Vec<Range<usize>>,
    /// Offset in the file of the first instruction; `None` if it lies in no section.
    pub entry: Option<usize>,
    /// Virtual address and size of each section.
    virtual_places: Vec<(usize, usize)>,
    imports: usize,
    wide: bool,
}

impl Pe {
    /// Reads the headers; `None` if it is not PE, or its headers lie outside of it.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let at = u32_at(octets, 0x3c)?;
        if octets.get(..2) != Some(b"MZ") || octets.get(at..at.checked_add(4)?)? != b"PE\0\0" {
            return None;
        }
        let sections = u16_at(octets, at + 6)?.min(SECTIONS_MAX);
        let optional_bytes = u16_at(octets, at + 20)?;
        let optional = at + 24;
        let wide = match u16_at(octets, optional)? {
            0x10b => false,
            0x20b => true,
            _ => return None,
        };
        let entry = u32_at(octets, optional + 16)?;
        let alignment = u32_at(octets, optional + 36)?.clamp(1, 64 * 1024);
        let directories = optional + if wide { 112 } else { 96 };
        let mut pe =
            Self { imports: u32_at(octets, directories + 8).unwrap_or(0), wide, ..Self::default() };
        let table = optional + optional_bytes;
        for number in 0..sections {
            let header = table + number * 40;
            let Some(raw) = u32_at(octets, header + 20) else { break };
            let field = |offset| u32_at(octets, header + offset).unwrap_or(0);
            let start = (raw / SECTOR * SECTOR).min(octets.len());
            let bytes = field(16).div_ceil(alignment).saturating_mul(alignment);
            pe.sections.push(start..start.saturating_add(bytes).min(octets.len()));
            pe.virtual_places.push((field(12), field(8).max(bytes)));
        }
        pe.entry = pe.offset(entry);
        Some(pe)
    }

    /// The offset in the file of a virtual address.
    fn offset(&self, address: usize) -> Option<usize> {
        let both = self.sections.iter().zip(&self.virtual_places);
        let found = both.filter_map(|(section, (start, bytes))| {
            let inside = address.checked_sub(*start).filter(|inside| inside < bytes)?;
            let offset = section.start.checked_add(inside)?;
            (offset < section.end).then_some(offset)
        });
        found.into_iter().next()
    }

    /// The version resource, from its mark on.
    #[must_use]
    pub fn version(octets: &[u8]) -> Option<Range<usize>> {
        const MARK: &[u8] = b"V\0S\0_\0V\0E\0R\0S\0I\0O\0N\0_\0I\0N\0F\0O\0";
        let start = memchr::memmem::find(octets, MARK)?;
        Some(start..start.saturating_add(VERSION_BYTES_MAX).min(octets.len()))
    }

    /// What it imports, as it is hashed ("imphash"): `library.function` in lower case, joined with commas. `None` if it
    /// imports nothing, or more than is read here.
    #[must_use]
    pub fn imports(&self, octets: &[u8]) -> Option<String> {
        let mut text = String::new();
        let mut functions = 0;
        let mut descriptor = self.offset(self.imports).filter(|_| self.imports > 0)?;
        for _ in 0..LIBRARIES_MAX {
            let field = |offset| u32_at(octets, descriptor + offset);
            let (lookup, name, first) = (field(0)?, field(12)?, field(16)?);
            if name == 0 {
                return (!text.is_empty()).then_some(text);
            }
            let library = name_at(octets, self.offset(name)?)?.to_ascii_lowercase();
            let library = [".dll", ".ocx", ".sys"]
                .iter()
                .find_map(|ending| library.strip_suffix(ending))
                .unwrap_or(&library);
            let mut at = self.offset(if lookup == 0 { first } else { lookup })?;
            while let Some(function) = self.function(octets, at)? {
                functions += 1;
                if functions > FUNCTIONS_MAX {
                    return None;
                }
                if !text.is_empty() {
                    text.push(',');
                }
                text.push_str(library);
                text.push('.');
                text.push_str(&function);
                at += if self.wide { 8 } else { 4 };
            }
            descriptor += 20;
        }
        None
    }

    /// One entry of a look-up table; `None` inside at its end, outside where it cannot be read.
    fn function(&self, octets: &[u8], at: usize) -> Option<Option<String>> {
        let low = u32_at(octets, at)?;
        let (high, ordinal) = if self.wide {
            let high = u32_at(octets, at + 4)?;
            (high, high >> 31 == 1)
        } else {
            (0, low >> 31 == 1)
        };
        if low == 0 && high == 0 {
            return Some(None);
        }
        if ordinal {
            return Some(Some(format!("ord{}", low & 0xffff)));
        }
        let hint = self.offset(low)?;
        Some(Some(name_at(octets, hint + 2)?.to_ascii_lowercase()))
    }
}

fn name_at(octets: &[u8], at: usize) -> Option<&str> {
    let rest = octets.get(at..)?;
    let rest = rest.get(..NAME_BYTES_MAX).unwrap_or(rest);
    let end = memchr::memchr(0, rest)?;
    let name = rest.get(..end)?;
    let plain = !name.is_empty() && name.iter().all(|octet| octet.is_ascii_graphic());
    std::str::from_utf8(name).ok().filter(|_| plain)
}

fn u16_at(octets: &[u8], at: usize) -> Option<usize> {
    let two: [u8; 2] = octets.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(u16::from_le_bytes(two).into())
}

fn u32_at(octets: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = octets.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

/// Any octets are read without a panic, and what is found lies in them. Number of sections, and 1 for a program.
pub fn fuzz_pe(data: &[u8]) -> usize {
    let Some(pe) = Pe::read(data) else { return 0 };
    assert!(pe.sections.len() <= SECTIONS_MAX);
    for section in &pe.sections {
        assert!(section.start <= section.end && section.end <= data.len());
    }
    assert!(pe.entry.is_none_or(|entry| entry < data.len()));
    let _ = pe.imports(data);
    let _ = Pe::version(data);
    1 + pe.sections.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program of our own: headers, two sections, an import table in the second. Not meant to run.
    pub(crate) fn program() -> Vec<u8> {
        let mut octets = vec![0_u8; 0x600];
        let mut put = |at: usize, bytes: &[u8]| octets[at..at + bytes.len()].copy_from_slice(bytes);
        let number = |value: u32| value.to_le_bytes();
        put(0, b"MZ");
        put(0x3c, &number(0x80));
        put(0x80, b"PE\0\0");
        put(0x84, &0x14c_u16.to_le_bytes());
        put(0x86, &2_u16.to_le_bytes());
        put(0x94, &0xe0_u16.to_le_bytes());
        put(0x98, &0x10b_u16.to_le_bytes());
        put(0xa8, &number(0x1010)); // entry
        put(0xbc, &number(0x200)); // file alignment
        put(0x100, &number(0x2000)); // imports
        let section = 0x98 + 0xe0;
        for (at, name, address, raw) in
            [(section, b".text", 0x1000, 0x200), (section + 40, b".data", 0x2000, 0x400)]
        {
            put(at, name);
            put(at + 8, &number(0x200));
            put(at + 12, &number(address));
            put(at + 16, &number(0x200));
            put(at + 20, &number(raw));
        }
        put(0x210, b"the entry point is here");
        put(0x2f0, b"in the first section");
        put(0x5e0, b"in the last section");
        // One library, one function by name, one by number.
        put(0x400, &number(0x2040));
        put(0x40c, &number(0x2060));
        put(0x410, &number(0x2040));
        put(0x440, &number(0x2070));
        put(0x444, &number(0x8000_0007));
        put(0x460, b"KERNEL32.DLL\0");
        put(0x472, b"ExitProcess\0");
        octets
    }

    #[test]
    fn sections_entry_and_imports_of_a_program_are_found() {
        let octets = program();
        let pe = Pe::read(&octets).unwrap();
        assert_eq!(pe.sections, [0x200..0x400, 0x400..0x600]);
        assert_eq!(pe.entry, Some(0x210));
        assert_eq!(pe.imports(&octets).as_deref(), Some("kernel32.exitprocess,kernel32.ord7"));
    }

    #[test]
    fn a_program_that_is_cut_or_lies_about_itself_is_read_as_far_as_it_goes() {
        let octets = program();
        for end in 0..octets.len() {
            fuzz_pe(&octets[..end]);
        }
        for at in 0..0x200 {
            for value in [0, 0x7f, 0xff] {
                let mut changed = octets.clone();
                changed[at] = value;
                fuzz_pe(&changed);
            }
        }
    }
}
