//! True file type: what octets are, whatever their name says. `infer` knows the common ones; here
//! are those that mail attacks use and it does not tell apart.

use infer::MatcherType;
use memchr::memmem;

/// A file type, as far as rules distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// Nothing known.
    Unknown,
    /// Empty.
    Empty,
    /// Text without a format.
    Text,
    /// HTML.
    Html,
    /// Rich text.
    Rtf,
    /// PDF.
    Pdf,
    /// An image of any kind.
    Image,
    /// Sound or video.
    Media,
    /// ZIP that is none of the kinds below.
    Zip,
    /// Office Open XML document without macros.
    Ooxml,
    /// Office Open XML document with macros.
    OoxmlMacro,
    /// OpenDocument.
    OpenDocument,
    /// Java archive or Android package.
    Jar,
    /// OLE compound file (old Office, .msg, .msi).
    Ole,
    /// Windows program or library.
    Pe,
    /// DOS program.
    DosExe,
    /// ELF program or library.
    Elf,
    /// Mach-O program.
    MachO,
    /// A script with an interpreter line or a known head.
    Script,
    /// Windows shortcut.
    Lnk,
    /// OneNote.
    OneNote,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
    /// lz4, lzip, lzma, lzop, compress.
    OtherCompression,
    /// tar.
    Tar,
    /// 7z.
    SevenZip,
    /// RAR 4 or 5.
    Rar,
    /// Cabinet.
    Cab,
    /// ARJ.
    Arj,
    /// LHA/LZH.
    Lzh,
    /// ISO 9660 or UDF image.
    Iso,
    /// cpio.
    Cpio,
    /// ar, xar, rpm, deb.
    OtherArchive,
    /// TNEF (winmail.dat).
    Tnef,
    /// A mail message.
    Mail,
}

impl FileType {
    /// Holds other files, so that its own octets say little about what is inside.
    #[must_use]
    pub fn is_container(self) -> bool {
        self.is_zip() || self.is_unread_container() || self.is_archive()
    }

    /// An archive, a compressed stream or a document that is opened, at least as far as its names.
    #[must_use]
    pub fn is_archive(self) -> bool {
        matches!(
            self,
            Self::Gzip
                | Self::Bzip2
                | Self::Xz
                | Self::Zstd
                | Self::OtherCompression
                | Self::Tar
                | Self::SevenZip
                | Self::Rar
                | Self::Cab
                | Self::Arj
                | Self::Lzh
                | Self::Iso
                | Self::Cpio
                | Self::Tnef
                | Self::Pdf
                | Self::Ole
                | Self::OneNote
                | Self::Rtf
        )
    }

    /// A ZIP, whatever is inside.
    #[must_use]
    pub fn is_zip(self) -> bool {
        matches!(self, Self::Zip | Self::Ooxml | Self::OoxmlMacro | Self::OpenDocument | Self::Jar)
    }

    /// A container that this release does not open.
    #[must_use]
    pub fn is_unread_container(self) -> bool {
        self == Self::OtherArchive
    }

    /// Runs when opened.
    #[must_use]
    pub fn is_program(self) -> bool {
        matches!(self, Self::Pe | Self::DosExe | Self::Elf | Self::MachO | Self::Script | Self::Lnk)
    }
}

/// Heads that decide at once.
const HEADS: &[(&[u8], FileType)] = &[
    (b"%PDF-", FileType::Pdf),
    (b"{\\rt", FileType::Rtf),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", FileType::Ole),
    (b"\x7FELF", FileType::Elf),
    (b"\xCF\xFA\xED\xFE", FileType::MachO),
    (b"\xCE\xFA\xED\xFE", FileType::MachO),
    (b"\x4C\x00\x00\x00\x01\x14\x02\x00", FileType::Lnk),
    (b"\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D", FileType::OneNote),
    (b"\x1F\x8B\x08", FileType::Gzip),
    (b"\xFD7zXZ\x00", FileType::Xz),
    (b"\x28\xB5\x2F\xFD", FileType::Zstd),
    (b"\x04\x22\x4D\x18", FileType::OtherCompression),
    (b"LZIP\x01", FileType::OtherCompression),
    (b"\x02\x21\x4C\x18", FileType::OtherCompression),
    (b"GRZipII", FileType::OtherCompression),
    (b"LRZI", FileType::OtherCompression),
    (b"zPQ", FileType::OtherCompression),
    (b"\x89LZO\x00\x0D\x0A\x1A\x0A", FileType::OtherCompression),
    (b"\x1F\x9D", FileType::OtherCompression),
    (b"\x1F\xA0", FileType::OtherCompression),
    (b"\x5D\x00\x00", FileType::OtherCompression),
    (b"7z\xBC\xAF\x27\x1C", FileType::SevenZip),
    (b"Rar!\x1A\x07", FileType::Rar),
    (b"MSCF\x00\x00\x00\x00", FileType::Cab),
    (b"ISc(", FileType::Cab),
    (b"070701", FileType::Cpio),
    (b"070702", FileType::Cpio),
    (b"070707", FileType::Cpio),
    (b"\xC7\x71", FileType::Cpio),
    (b"\x71\xC7", FileType::Cpio),
    (b"070727", FileType::Cpio),
    (b"!<arch>\n", FileType::OtherArchive),
    (b"ZOO ", FileType::OtherArchive),
    (b"SIT!", FileType::OtherArchive),
    (b"StuffIt", FileType::OtherArchive),
    (b"MSWIM\x00\x00\x00", FileType::OtherArchive),
    (b"hsqs", FileType::OtherArchive),
    (b"sqsh", FileType::OtherArchive),
    (b"conectix", FileType::OtherArchive),
    (b"vhdxfile", FileType::OtherArchive),
    (b"ALZ\x01", FileType::OtherArchive),
    (b"EGGA", FileType::OtherArchive),
    (b"ITSF", FileType::OtherArchive),
    (b"xar!\x00", FileType::OtherArchive),
    (b"\xED\xAB\xEE\xDB", FileType::OtherArchive),
    (b"\x78\x9F\x3E\x22", FileType::Tnef),
    (b"#!", FileType::Script),
];

/// The type of `octets`.
#[must_use]
pub fn detect(octets: &[u8]) -> FileType {
    if octets.is_empty() {
        return FileType::Empty;
    }
    for (head, kind) in HEADS {
        if octets.starts_with(head) {
            return *kind;
        }
    }
    if let Some(kind) = by_structure(octets) {
        return kind;
    }
    match infer::get(octets).map(|found| found.matcher_type()) {
        Some(MatcherType::Image) => return FileType::Image,
        Some(MatcherType::Audio | MatcherType::Video) => return FileType::Media,
        _ => {}
    }
    by_text(octets)
}

/// Formats whose mark is not at the start, or needs more than a mark.
fn by_structure(octets: &[u8]) -> Option<FileType> {
    let at = |offset: usize, mark: &[u8]| {
        octets.get(offset..).is_some_and(|rest| rest.starts_with(mark))
    };
    if octets.starts_with(b"MZ") || octets.starts_with(b"ZM") {
        let offset = octets.get(0x3C..0x40).and_then(|field| field.try_into().ok());
        let header = offset.map(u32::from_le_bytes).and_then(|offset| usize::try_from(offset).ok());
        let pe = header.is_some_and(|offset| at(offset, b"PE\0\0"));
        if !pe && zip_end(octets).is_some() {
            return Some(zip_kind(octets));
        }
        return Some(if pe { FileType::Pe } else { FileType::DosExe });
    }
    if octets.starts_with(b"BZh") && matches!(octets.get(3), Some(b'1'..=b'9')) {
        return Some(FileType::Bzip2);
    }
    // Frames that lz4 and zstd pass over, whatever follows them.
    if matches!(octets, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]) || is_lzma_alone(octets) {
        return Some(FileType::OtherCompression);
    }
    let ends_as_disk = octets.len() >= 512
        && (at(octets.len() - 512, b"koly") || at(octets.len() - 512, b"conectix"));
    if at(7, b"**ACE**") || ends_as_disk || is_volume(octets) {
        return Some(FileType::OtherArchive);
    }
    if octets.starts_with(b"\x60\xEA") && octets.len() > 10 {
        return Some(FileType::Arj);
    }
    if at(2, b"-lh") || at(2, b"-lz") {
        return Some(FileType::Lzh);
    }
    if at(257, b"ustar") {
        return Some(FileType::Tar);
    }
    if is_disc(octets) {
        return Some(FileType::Iso);
    }
    // A ZIP is found by its end, so that a prefix (self-extracting, picture in front) hides nothing.
    if at(0, b"PK\x03\x04") || zip_end(octets).is_some() {
        return Some(zip_kind(octets));
    }
    if is_tar_header(octets) {
        return Some(FileType::Tar);
    }
    // Clients look for this mark in the first 1,024 octets.
    let head = octets.get(..1024).unwrap_or(octets);
    memmem::find(head, b"%PDF-").map(|_| FileType::Pdf)
}

/// A disk or a volume as it is: FAT, exFAT, NTFS, or a table of partitions. Systems that do not mount it have programs that
/// open it.
fn is_volume(octets: &[u8]) -> bool {
    let Some(sector) = octets.get(..512).filter(|sector| sector.ends_with(b"\x55\xAA")) else {
        return false;
    };
    let jumps = matches!(sector, [0xEB, _, 0x90, ..] | [0xE9, ..]);
    let named = [3, 54, 82].iter().any(|&at| {
        let name = sector.get(at..at + 5).unwrap_or_default();
        [&b"MSDOS"[..], b"MSWIN", b"mkfs.", b"EXFAT", b"NTFS ", b"FAT12", b"FAT16", b"FAT32"]
            .contains(&name)
    });
    let sized = matches!(sector.get(11..13), Some([0, 2 | 4 | 8 | 16]))
        && sector.get(13).is_some_and(|clusters| clusters.is_power_of_two());
    // Four entries of 16 octets, each not in use (all zero) or with a state, a type and a place.
    let entry = |entry: &[u8]| match entry {
        [0 | 0x80, _, _, _, 1..=0xFF, _, _, _, place @ ..] => place.iter().any(|octet| *octet != 0),
        _ => entry.iter().all(|octet| *octet == 0),
    };
    let table = sector.get(446..510).unwrap_or_default();
    let parted = table.chunks(16).all(entry) && table.iter().any(|octet| *octet != 0);
    jumps && (named || sized) || parted
}

/// Where the end record of a ZIP's directory is, if there is one that could be.
#[must_use]
pub fn zip_end(octets: &[u8]) -> Option<usize> {
    let tail = octets.len().saturating_sub(128 * 1024);
    // The last one that a whole record fits behind: four octets more at the end of the file are no end, and would hide the one
    // before them. From the front, since looking backwards takes ten times as long and most have none.
    memmem::find_iter(octets.get(tail..)?, b"PK\x05\x06")
        .map(|at| at + tail)
        .filter(|at| octets.len() - at >= 22)
        .last()
}

/// A tar or an image of a disc that begins at the first octet of what `kind` says is something else. The first octets of a tar
/// are a name, those of an image belong to nobody, so both may begin as a PDF or a program does, and their readers do not mind.
pub(super) fn also(octets: &[u8], kind: FileType) -> impl Iterator<Item = FileType> {
    let tar = kind != FileType::Tar && is_tar_header(octets);
    let iso = kind != FileType::Iso && is_disc(octets);
    [(tar, FileType::Tar), (iso, FileType::Iso)]
        .into_iter()
        .filter_map(|(holds, kind)| holds.then_some(kind))
}

/// The marks of ISO 9660 and UDF, in sectors of each size.
fn is_disc(octets: &[u8]) -> bool {
    [0x8001, 0x8801, 0x9001].iter().any(|&offset| {
        let rest = octets.get(offset..).unwrap_or_default();
        rest.starts_with(b"CD001") || rest.starts_with(b"BEA01")
    })
}

/// Which kind of ZIP, by the names in its directory.
fn zip_kind(octets: &[u8]) -> FileType {
    let has = |name: &[u8]| memmem::find(octets, name).is_some();
    if has(b"[Content_Types].xml") {
        if has(b"vbaProject.bin") { FileType::OoxmlMacro } else { FileType::Ooxml }
    } else if octets
        .get(30..)
        .is_some_and(|rest| rest.starts_with(b"mimetypeapplication/vnd.oasis.opendocument"))
    {
        FileType::OpenDocument
    } else if has(b"META-INF/MANIFEST.MF") || has(b"AndroidManifest.xml") {
        FileType::Jar
    } else {
        FileType::Zip
    }
}

/// The old format of LZMA has no mark: properties below 225, a dictionary of a power of two (or one and
/// a half), a size that is unknown or sensible, and the zero that its coder begins with.
fn is_lzma_alone(octets: &[u8]) -> bool {
    let [properties, d0, d1, d2, d3, size @ .., 0] = octets.get(..14).unwrap_or_default() else {
        return false;
    };
    let dictionary = u32::from_le_bytes([*d0, *d1, *d2, *d3]);
    let power = |bits: u32| bits.is_power_of_two() && bits >= 4096;
    let unknown = size.iter().all(|octet| *octet == 0xFF);
    let sensible = size.ends_with(&[0, 0, 0]) && size.iter().any(|octet| *octet != 0);
    *properties < 225
        && (power(dictionary) || dictionary % 3 == 0 && power(dictionary / 3 * 2))
        && (unknown || sensible)
}

/// Whether the sum of a tar's header is right; a tar of before POSIX has no other mark.
fn is_tar_header(octets: &[u8]) -> bool {
    let Some(header) = octets.get(..512) else {
        return false;
    };
    let field = header.get(148..156).unwrap_or_default();
    let digits: String =
        field.iter().map(|&octet| char::from(octet)).filter(|c| ('0'..='7').contains(c)).collect();
    let Ok(wanted) = u32::from_str_radix(&digits, 8) else {
        return false;
    };
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(at, &octet)| if (148..156).contains(&at) { 32 } else { u32::from(octet) })
        .sum();
    header.first() != Some(&0) && wanted == sum
}

/// Fields of which a header section that begins otherwise has at least one.
const TELLING_FIELDS: [&[u8]; 5] =
    [b"content-type", b"mime-version", b"from", b"received", b"subject"];
/// Octets of a header section that are looked at.
const SECTION_BYTES_MAX: usize = 64 * 1024;

/// Where the first field of a mail is: behind empty lines, and behind the line that an mbox begins with.
#[must_use]
pub fn mail_start(octets: &[u8]) -> usize {
    let rest = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets).trim_ascii_start();
    let start = octets.len() - rest.len();
    if !rest.starts_with(b"From ") && !rest.starts_with(b">From ") {
        return start;
    }
    memchr::memchr(b'\n', rest).map_or(start, |end| start + end + 1)
}

/// Whether octets begin with a whole header section of a mail: fields and what goes on with them, to an empty line, and one
/// of them that a mail has. Which field is the first one is up to the sender, and so is what stands in it.
fn is_header_section(octets: &[u8]) -> bool {
    let section = octets.get(mail_start(octets)..).unwrap_or_default();
    let section = section.get(..SECTION_BYTES_MAX).unwrap_or(section);
    let mut telling = false;
    for line in section.split_inclusive(|&octet| octet == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            return telling;
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return false };
        let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return false;
        }
        telling |= TELLING_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field));
    }
    false
}

/// Fields that a mail begins with.
const MAIL_FIELDS: [&[u8]; 14] = [
    b"received:",
    b"return-path:",
    b"delivered-to:",
    b"from: ",
    b"mime-version:",
    b"content-type:",
    b"content-transfer-encoding:",
    b"message-id:",
    b"date: ",
    b"to: ",
    b"subject: ",
    b"dkim-signature:",
    b"arc-seal:",
    b"x-mozilla-status:",
];

/// Whether text, in lower case, begins as only a script does: batch, PHP, VBScript, and the XML of Windows
/// Script Host, whatever its first lines are.
fn is_script(lower: &[u8]) -> bool {
    const HEADS: [&[u8]; 10] = [
        b"@echo off",
        b"<?php",
        b"on error resume next",
        b"wscript.",
        b"<job",
        b"<package",
        b"<scriptlet",
        b"<component>",
        b"set-executionpolicy",
        b"#requires -",
    ];
    let xml = lower.starts_with(b"<?xml");
    HEADS.iter().any(|mark| lower.starts_with(mark))
        || xml
            && [&b"<job>"[..], b"<job id", b"<scriptlet", b"<?job", b"wscript."]
                .iter()
                .any(|mark| memmem::find(lower, mark).is_some())
}

/// Text formats, by their first characters.
fn by_text(octets: &[u8]) -> FileType {
    let head = octets.get(..1024).unwrap_or(octets);
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if head.contains(&0) {
        return FileType::Unknown;
    }
    let lower = head.trim_ascii_start().to_ascii_lowercase();
    let starts = |mark: &[u8]| lower.starts_with(mark);
    // Before pages, which a mail may have in its first octets.
    if !starts(b"<") && is_header_section(octets) {
        return FileType::Mail;
    }
    if [&b"<!doctype html"[..], b"<html", b"<head", b"<body", b"<script", b"<svg", b"<meta"]
        .iter()
        .any(|mark| starts(mark))
        || memmem::find(&lower, b"<html").is_some()
    {
        return FileType::Html;
    }
    if starts(b"{\\rt") {
        return FileType::Rtf;
    }
    if is_script(&lower) {
        return FileType::Script;
    }
    if MAIL_FIELDS.iter().any(|mark| starts(mark)) {
        return FileType::Mail;
    }
    let odd = head.iter().filter(|&&octet| octet < 9 || (14..32).contains(&octet)).count();
    if odd * 20 <= head.len() { FileType::Text } else { FileType::Unknown }
}
