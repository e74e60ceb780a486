//! True file type: what octets are, whatever their name says.

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

/// The type of `octets`.
#[must_use]
pub fn detect(octets: &[u8]) -> FileType {
    if octets.is_empty() { FileType::Empty } else { FileType::Unknown }
}
