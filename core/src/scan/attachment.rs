//! Attachment rules that need no table: what runs when opened, what pretends to be something else,
//! what carries macros.

use crate::message::{FileType, Part, PartOrigin, View};

use super::finding::{Finding, FindingKind, MilliPoints};

/// What each check adds to the score, where a name alone adds nothing for it in the rules. A program that is called a document
/// is held by itself, as one with two extensions is by the rules: no sender does that unknowingly. Documents of one kind under
/// the name of another are sent by mistake, too.
const POINTS: &[(&str, MilliPoints)] = &[
    ("ATTACH_DISGUISED_PROGRAM", 6_500),
    ("ATTACH_PROGRAM_UNNAMED", 1_500),
    ("ATTACH_DISGUISED_ARCHIVE", 1_500),
    ("ATTACH_TYPE_MISMATCH", 1_000),
];

/// Extensions that Windows runs, or that a client hands to an interpreter, on a double click.
/// After the lists that Outlook and Gmail block.
const DANGEROUS: &[&str] = &[
    "accde",
    "ade",
    "adp",
    "apk",
    "appinstaller",
    "application",
    "appref-ms",
    "appx",
    "bas",
    "bat",
    "chm",
    "cmd",
    "com",
    "cpl",
    "crt",
    "desktop",
    "diagcab",
    "dll",
    "dmg",
    "exe",
    "gadget",
    "hlp",
    "hta",
    "img",
    "inf",
    "ins",
    "iso",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "ksh",
    "lib",
    "library-ms",
    "lnk",
    "mam",
    "mda",
    "mde",
    "mdt",
    "mdw",
    "mdz",
    "mof",
    "msc",
    "msh",
    "msi",
    "msix",
    "msp",
    "mst",
    "msu",
    "ocx",
    "ops",
    "osd",
    "pcd",
    "pif",
    "pl",
    "ppa",
    "prf",
    "prg",
    "ps1",
    "ps1xml",
    "ps2",
    "psc1",
    "psc2",
    "psd1",
    "psm1",
    "py",
    "pyc",
    "pyw",
    "pyz",
    "pyzw",
    "rdp",
    "reg",
    "scf",
    "scr",
    "sct",
    "search-ms",
    "searchconnector-ms",
    "settingcontent-ms",
    "shb",
    "shs",
    "sys",
    "theme",
    "themepack",
    "url",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vhdx",
    "vsto",
    "vxd",
    "webloc",
    "website",
    "wim",
    "wll",
    "ws",
    "wsb",
    "wsc",
    "wsf",
    "wsh",
    "xbap",
    "xla",
    "xll",
    "xnk",
];
/// Extensions that look harmless and so are put in front of the real one.
const HARMLESS: &[&str] = &[
    "doc", "docx", "gif", "htm", "html", "jpeg", "jpg", "mp3", "mp4", "pdf", "png", "ppt", "pptx",
    "rtf", "txt", "xls", "xlsx", "zip",
];
/// Extensions of disk images, which systems open as a drive without the mark of the web on their files.
const DISK: &[&str] = &["iso", "img", "vhd", "vhdx", "dmg", "udf", "wim"];
/// Extensions of documents with macros.
const MACRO: &[&str] =
    &["docm", "dotm", "pptm", "potm", "ppsm", "sldm", "xlsm", "xltm", "xlam", "xlsb"];

/// Findings about every part that has a name or a dangerous content. One without a name is an attachment, too: clients show
/// what they cannot show as text under a name of their own (ATT00001). A program is none of the texts, whatever it is declared.
pub(super) fn findings(view: &View<'_>, out: &mut Vec<Finding>) {
    for part in &view.parts {
        names(part, out);
        if !is_shown_as_text(part) || is_binary_program(part.file_type(), &part.decoded) {
            content(part, out);
        }
    }
}

/// Whether clients show the part by itself, as text or as a page, and offer no file.
pub(super) fn is_shown_as_text(part: &Part<'_>) -> bool {
    const SHOWN: [&str; 12] = [
        "text/plain",
        "text/html",
        "text/xhtml",
        "text/x-amp-html",
        "text/watch-html",
        "text/calendar",
        "text/enriched",
        "text/richtext",
        "text/markdown",
        "text/css",
        "text/rfc822-headers",
        "text/directory",
    ];
    part.origin == PartOrigin::Mime
        && !part.attachment
        && part.file_names.is_empty()
        && SHOWN.contains(&&*part.content_type)
}

/// What the names say. Every name counts: clients differ in which one they believe.
fn names(part: &Part<'_>, out: &mut Vec<Finding>) {
    for name in &part.file_names {
        let plain = as_saved(name).to_lowercase();
        let mut pieces = plain.rsplit('.');
        let extension = if plain.contains('.') { pieces.next().unwrap_or_default() } else { "" };
        let before = pieces.next().unwrap_or_default().trim();
        let member = part.origin == PartOrigin::Member;
        if DANGEROUS.contains(&extension) {
            let rule = if member { "ATTACH_DANGEROUS_IN_ARCHIVE" } else { "ATTACH_DANGEROUS" };
            push(out, FindingKind::Attachment, rule, name);
            if HARMLESS.contains(&before) {
                push(out, FindingKind::Attachment, "ATTACH_DOUBLE_EXTENSION", name);
            }
        }
        if MACRO.contains(&extension) {
            push(out, FindingKind::Attachment, "ATTACH_MACRO_DOCUMENT", name);
        }
        if name.chars().any(is_reordering) {
            push(out, FindingKind::Attachment, "ATTACH_REORDERED_NAME", name);
        }
    }
}

/// A name as it is when the attachment is saved: trailing dots and blanks are dropped by Windows, `::$DATA` is the file itself
/// on NTFS, a right-to-left override only reorders what is shown.
pub(crate) fn as_saved(name: &str) -> String {
    const STREAM: &str = "::$DATA";
    let plain: String = name.chars().filter(|c| !is_reordering(*c)).collect();
    let plain = plain.trim_end_matches(['.', ' ']);
    let stream = plain.len().checked_sub(STREAM.len()).and_then(|at| plain.split_at_checked(at));
    let file = stream.filter(|(_, end)| end.eq_ignore_ascii_case(STREAM)).map(|(file, _)| file);
    file.unwrap_or(plain).trim_end_matches(['.', ' ']).to_owned()
}

fn is_reordering(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

/// What the octets say, and whether a name denies it.
fn content(part: &Part<'_>, out: &mut Vec<Finding>) {
    let kind = part.file_type();
    let shown = part.file_name().unwrap_or(&part.path);
    if kind.is_program() {
        push(out, FindingKind::Attachment, "ATTACH_PROGRAM", shown);
        // Scripts are texts, and called so by those who send them to be read.
        if is_binary_program(kind, &part.decoded) {
            let detail = format!("{shown} is {kind:?}");
            if part.file_names.iter().any(|name| says_harmless(name)) || declares_document(part) {
                push(out, FindingKind::Attachment, "ATTACH_DISGUISED_PROGRAM", &detail);
            } else if !part.file_names.iter().any(|name| is_dangerous_name(name)) {
                // A name that says it has its points by the rules.
                push(out, FindingKind::Attachment, "ATTACH_PROGRAM_UNNAMED", &detail);
            }
        }
    }
    if kind == FileType::OoxmlMacro {
        push(out, FindingKind::Attachment, "ATTACH_MACRO_CONTENT", shown);
    }
    if kind.is_zip()
        && kind == FileType::Zip
        && part.file_names.iter().any(|name| says_picture(name))
    {
        push(out, FindingKind::Attachment, "ATTACH_DISGUISED_ARCHIVE", shown);
    } else if claims(part).into_iter().any(|claim| contradicts(kind, claim)) {
        let detail = format!("{shown} is {kind:?}");
        push(out, FindingKind::Attachment, "ATTACH_TYPE_MISMATCH", &detail);
    }
    let named = part.file_names.iter().any(|name| DISK.contains(&extension_of(name).as_str()));
    if kind == FileType::Iso || named && kind == FileType::OtherArchive {
        push(out, FindingKind::Attachment, "ATTACH_DISK_IMAGE", shown);
    }
}

/// A program, and no text that begins like one: a DOS program has nothing but two letters to be known by.
pub(super) fn is_binary_program(kind: FileType, octets: &[u8]) -> bool {
    let head = octets.get(..64).unwrap_or(octets);
    match kind {
        FileType::Pe | FileType::Elf | FileType::MachO | FileType::Lnk => true,
        FileType::DosExe => head.contains(&0),
        _ => false,
    }
}

/// Whether the declared type is one that a reader opens without a thought.
fn declares_document(part: &Part<'_>) -> bool {
    let kind = &*part.content_type;
    let harmless = ["image/", "audio/", "video/", "text/"];
    part.origin == PartOrigin::Mime
        && (harmless.iter().any(|begin| kind.starts_with(begin))
            || kind == "application/pdf"
            || kind == "application/msword"
            || kind.starts_with("application/vnd.ms-excel")
            || kind.starts_with("application/vnd.ms-powerpoint")
            || kind.starts_with("application/vnd.openxmlformats-officedocument"))
}

/// Whether Windows runs what has this name on a double click.
pub(super) fn is_dangerous_name(name: &str) -> bool {
    DANGEROUS.contains(&extension_of(name.trim_end_matches(['.', ' ', '\0'])).as_str())
}

/// What a name or a declared type claims. Only types that cannot be mistaken for each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Pdf,
    Image,
    Media,
    Office,
    Zip,
    Text,
}

fn claims(part: &Part<'_>) -> Vec<Claim> {
    let mut out = Vec::new();
    for name in &part.file_names {
        match extension_of(name).as_str() {
            "pdf" => out.push(Claim::Pdf),
            "jpg" | "jpeg" | "png" | "gif" | "bmp" | "tif" | "tiff" | "webp" => {
                out.push(Claim::Image);
            }
            "mp3" | "mp4" | "wav" | "avi" | "mov" => out.push(Claim::Media),
            "docx" | "xlsx" | "pptx" | "doc" | "xls" | "ppt" => out.push(Claim::Office),
            "zip" => out.push(Claim::Zip),
            "txt" | "csv" | "log" => out.push(Claim::Text),
            _ => {}
        }
    }
    match &*part.content_type {
        "application/pdf" => out.push(Claim::Pdf),
        "image/jpeg" | "image/png" | "image/gif" => out.push(Claim::Image),
        "audio/mpeg" | "video/mp4" => out.push(Claim::Media),
        _ => {}
    }
    out
}

/// Whether octets of this type are surely not what is claimed. Types that are guessed from a few octets
/// contradict nothing; Office files may be nearly anything that Office opens.
fn contradicts(kind: FileType, claim: Claim) -> bool {
    let archive = matches!(
        kind,
        FileType::Rar | FileType::SevenZip | FileType::Cab | FileType::Iso | FileType::Lzh
    );
    let zip = kind.is_zip();
    let document = matches!(kind, FileType::Ole | FileType::Rtf | FileType::OneNote);
    match claim {
        Claim::Pdf => {
            archive || zip || document || matches!(kind, FileType::Html | FileType::Image)
        }
        Claim::Image | Claim::Media => {
            archive || zip || document || matches!(kind, FileType::Html | FileType::Pdf)
        }
        Claim::Office => archive || matches!(kind, FileType::Pdf | FileType::OneNote),
        Claim::Zip => matches!(
            kind,
            FileType::Rar | FileType::SevenZip | FileType::Iso | FileType::Html | FileType::Ole
        ),
        Claim::Text => archive || document || matches!(kind, FileType::Pdf),
    }
}

fn extension_of(name: &str) -> String {
    let name = as_saved(name);
    name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default()
}

fn says_harmless(name: &str) -> bool {
    HARMLESS.contains(&extension_of(name).as_str())
}

fn says_picture(name: &str) -> bool {
    matches!(extension_of(name).as_str(), "jpg" | "jpeg" | "png" | "gif" | "txt" | "pdf")
}

fn push(out: &mut Vec<Finding>, kind: FindingKind, rule: &str, detail: &str) {
    let detail: Box<str> = detail.chars().take(200).collect::<String>().into();
    if out.iter().any(|finding| &*finding.rule == rule && finding.detail == detail) {
        return;
    }
    // Its points count once, however many parts have it.
    let known = out.iter().any(|finding| &*finding.rule == rule);
    let points = POINTS.iter().find(|(name, _)| !known && *name == rule).map_or(0, |one| one.1);
    out.push(Finding { kind, rule: rule.into(), points, detail, log_only: false });
}
