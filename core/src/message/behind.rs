//! Archives that begin behind something else: behind a program that unpacks itself, or behind octets of nothing that their
//! readers pass over. Packers look for the mark, not at the first octet, so whoever only looks there sees nothing.
//!
//! Nothing is looked for in what is known to be something else (pictures, texts), unless its name promises such an archive.

use memchr::memmem;

use super::filetype::FileType;
use super::pe::Pe;

/// Octets that are searched: from the begin, and of what a program has behind its sections. WinRAR looks through 2 MiB.
const SEARCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Marks of one kind that are looked at: programs that pack have them as constants.
const MARKS_MAX: usize = 64;

/// Marks, and endings of names that promise what they begin.
const MARKS: [(&[u8], FileType, &[&str]); 3] = [
    (b"Rar!\x1A\x07", FileType::Rar, &[".rar", ".r00", ".rev"]),
    (b"7z\xBC\xAF\x27\x1C", FileType::SevenZip, &[".7z", ".7z.001"]),
    (b"MSCF\0\0\0\0", FileType::Cab, &[".cab"]),
];

/// Where archives begin in `octets`, which are of type `kind` themselves: at most one for each type of archive.
pub(super) fn archives(
    octets: &[u8],
    kind: FileType,
    names: &[Box<str>],
) -> Vec<(usize, FileType)> {
    let program = matches!(kind, FileType::Pe | FileType::DosExe | FileType::Elf | FileType::MachO);
    let ends = |name: &[u8], ending: &str| {
        let at = name.len().checked_sub(ending.len());
        let tail = at.and_then(|at| name.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ending.as_bytes()))
    };
    let promised = |endings: &[&str]| {
        names.iter().any(|name| endings.iter().any(|ending| ends(name.as_bytes(), ending)))
    };
    let behind = if program { overlay(octets) } else { octets.len() };
    let mut out = Vec::new();
    for (mark, archive, endings) in MARKS {
        let promised = promised(endings);
        if archive == kind || !program && !promised && kind != FileType::Unknown {
            continue;
        }
        let mut found = marks(octets, 0, mark).chain(marks(octets, behind, mark));
        // Behind a program, and where the name says so, a mark that nothing sensible follows is a broken archive; elsewhere it
        // is chance, or a constant of a program that packs.
        let counts = |at: &usize| {
            *at > 0 && (promised || program && *at >= behind || is_plausible(octets, *at, archive))
        };
        out.extend(found.find(counts).map(|at| (at, archive)));
    }
    out
}

fn marks<'o>(
    octets: &'o [u8],
    from: usize,
    mark: &'o [u8],
) -> impl Iterator<Item = usize> + use<'o> {
    let rest = octets.get(from..).unwrap_or_default();
    let rest = rest.get(..SEARCH_BYTES_MAX).unwrap_or(rest);
    memmem::find_iter(rest, mark).take(MARKS_MAX).map(move |at| from + at)
}

/// Where what is not the program's own begins: behind its last section.
fn overlay(octets: &[u8]) -> usize {
    let sections = Pe::read(octets).map(|pe| pe.sections).unwrap_or_default();
    sections.iter().map(|section| section.end).max().unwrap_or(0)
}

/// Whether a header follows the mark, as every archive of its kind has one.
fn is_plausible(octets: &[u8], at: usize, archive: FileType) -> bool {
    let rest = octets.get(at..).unwrap_or_default();
    let word = |at: usize| {
        let four = rest.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(u32::from_le_bytes)
    };
    match archive {
        // The header of the archive, or (RAR 5) that of its encryption.
        FileType::Rar => match rest.get(6..) {
            Some([0, _, _, 0x73, ..]) => true,
            Some([1, 0, _, _, _, _, size @ 1..=0x7F, 1 | 4, ..]) => *size > 2,
            Some([1, 0, _, _, _, _, 0x80..=0xFF, 0..=0x7F, 1 | 4, ..]) => true,
            _ => false,
        },
        // The sum of the header that says where the directory is.
        FileType::SevenZip => rest.get(12..32).is_some_and(|start| {
            let mut sum = flate2::Crc::new();
            sum.update(start);
            rest.get(6) == Some(&0) && word(8) == Some(sum.sum())
        }),
        // Version 1.3, and a table of files that is inside.
        FileType::Cab => {
            let bytes = word(8).unwrap_or(0);
            matches!(rest.get(24..26), Some([3, 1])) && word(16).is_some_and(|files| files < bytes)
        }
        _ => false,
    }
}
