//! Compound files (MS-CFB): old Office documents, `.msg`, installers, what is embedded in others.
//!
//! Files inside become members, sources of macros too. What acts when the document is opened is
//! noted; so is encryption of the old formats. Runs only in an analysis worker. A file whose
//! directory cannot be read is searched as plain octets and is never clean (`NotScanned`).

mod biff;
mod compound;
mod crypt;
mod fuzz;
mod msg;
mod old_crypt;
mod package;
mod powerpoint;
mod strings;
mod text;
pub(super) mod vba;
mod visio;

use memchr::memmem;

use super::archive::{Budget, Member};
use crate::message::{ExceptionKind, FileType, detect};
use compound::{Compound, Entry, Kind};

pub(super) use compound::{half, word};
pub(super) use crypt::first_that_fits;
pub(super) use fuzz::fuzz_stream;
pub use msg::msg_to_mail;
pub(super) use msg::unpacked_rtf;
pub(super) use package::native_files;

/// Fields of one document that are looked at.
const FIELDS_MAX: usize = 100_000;
/// Octets of one stream that are looked at.
const STREAM_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What the streams of one file showed, to be said once.
#[derive(Default)]
struct Project {
    present: bool,
    seen: vba::Seen,
    embedded: usize,
}

/// The members of a compound file.
pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut project = Project::default();
    let mut out = Vec::new();
    let Some(file) = Compound::read(octets) else {
        budget.note(ExceptionKind::NotScanned, place, "OLE file that cannot be read");
        macros("", octets, &mut project, (place, budget), &mut out);
        say(&project, place, budget);
        return out;
    };
    if msg::is_msg(&file) {
        return msg::members(&file, place, budget);
    }
    if file.entries.iter().any(|entry| entry.kind != Kind::Root && entry.name == "EncryptedPackage")
    {
        return crypt::members(&file, place, budget);
    }
    let encrypted = is_encrypted(&file);
    let opened = if encrypted { old_crypt::open(&file, place, budget) } else { None };
    if !encrypted || opened.is_some() {
        let plain = |name: &str, stream: &[u8]| {
            let opened = opened.as_ref()?;
            opened.stream(name, stream).or_else(|| opened.table(name, stream))
        };
        out.extend(budget.text(text::of(&file, &plain), place));
    }
    for entry in &file.entries {
        // The storage of the project is there, whatever became of its streams.
        if matches!(entry.name.as_str(), "_VBA_PROJECT" | "_VBA_PROJECT_CUR")
            || entry.kind == Kind::Storage && entry.name == "VBA"
        {
            project.present = true;
        }
        if entry.kind != Kind::Stream || entry.bytes() == 0 {
            continue;
        }
        if !budget.admits_input(octets.len(), place) {
            break;
        }
        let stream = file.stream(entry, STREAM_BYTES_MAX);
        budget.used_input(stream.len() as u64);
        if let Some(plain) = opened.as_ref().and_then(|opened| opened.stream(&entry.name, &stream))
        {
            look(entry, &plain, &mut project, (place, budget), &mut out);
            // As a file of its own, so that signatures and rules see it.
            if budget.admits_member(place) {
                let mut source = plain.as_slice();
                let (octets, _) = budget.read(&mut source, plain.len() as u64, place);
                out.push(Member::new(entry.name.clone().into_bytes(), octets));
            }
            continue;
        }
        look(entry, &stream, &mut project, (place, budget), &mut out);
    }
    say(&project, place, budget);
    out
}

/// One stream.
fn look(
    entry: &Entry,
    stream: &[u8],
    project: &mut Project,
    (place, budget): (&str, &mut Budget<'_>),
    out: &mut Vec<Member>,
) {
    macros(&entry.name, stream, project, (place, budget), out);
    match entry.name.as_str() {
        "Workbook" | "Book" => biff::look(stream, place, budget),
        "WordDocument" => word_fields(stream, place, budget),
        "PowerPoint Document" => {
            let mut found = powerpoint::members(stream, place, budget);
            project.embedded += found.len();
            out.append(&mut found);
        }
        "\u{1}Ole10Native" => {
            project.embedded += 1;
            out.extend(package::native(stream, place, budget));
            return;
        }
        "\u{1}Ole" => linked(stream, place, budget),
        "\u{3}OCXNAME" | "\u{3}OCXDATA" => {
            budget.mark("ACTIVE_ACTIVEX", place, "ActiveX control");
        }
        _ => {}
    }
    // Tables of fonts, pictures and themes begin with anything; these names are for files alone.
    let own = matches!(entry.name.as_str(), "Package" | "CONTENTS" | "EmbeddedOdf" | "Contents");
    if (begins_as_file(stream) || own && detect(stream) != FileType::Unknown)
        && budget.admits_member(place)
    {
        project.embedded += 1;
        let mut source = stream;
        let (octets, _) = budget.read(&mut source, stream.len() as u64, place);
        out.push(Member::new(entry.name.clone().into_bytes(), octets));
    }
    if entry.name == "VisioDocument" {
        out.extend(visio::project(stream, place, budget));
    }
}

/// Whether a stream is a file from its first octet on, by a mark that chance does not make.
fn begins_as_file(stream: &[u8]) -> bool {
    match detect(stream) {
        FileType::Pe
        | FileType::Elf
        | FileType::Ole
        | FileType::Pdf
        | FileType::Rtf
        | FileType::Lnk
        | FileType::OneNote
        | FileType::SevenZip
        | FileType::Rar
        | FileType::Cab
        | FileType::Html => true,
        kind => kind.is_zip() && stream.starts_with(b"PK\x03\x04"),
    }
}

/// Sources in a stream, each a member of its own.
fn macros(
    name: &str,
    stream: &[u8],
    project: &mut Project,
    (place, budget): (&str, &mut Budget<'_>),
    out: &mut Vec<Member>,
) {
    let mut sources = vba::sources(stream);
    // Unpacking goes on only as long as there is room for what comes of it.
    while let Some(source) = if budget.has_room() { sources.next() } else { None } {
        project.present = true;
        project.seen.add(&source);
        if !budget.admits_member(place) {
            return;
        }
        let mut unpacked = source.as_slice();
        let (octets, _) = budget.read(&mut unpacked, stream.len() as u64, place);
        out.push(Member::new(format!("{name}.vba").into_bytes(), octets));
    }
    if name == "_VBA_PROJECT" || name == "__SRP_0" {
        project.present = true;
        // Words of code whose source was taken out.
        project.seen.add(stream);
    }
}

fn say(project: &Project, place: &str, budget: &mut Budget<'_>) {
    if project.present {
        budget.mark("ACTIVE_VBA", place, "VBA project");
        say_macros(&project.seen, place, budget);
    }
    if project.embedded > 0 {
        budget.mark("ACTIVE_EMBEDDED", place, format!("{} embedded files", project.embedded));
    }
}

/// Says what sources do.
pub(super) fn say_macros(seen: &vba::Seen, place: &str, budget: &mut Budget<'_>) {
    if seen.autorun.is_empty() {
        return;
    }
    budget.mark("ACTIVE_VBA_AUTORUN", place, format!("runs by {}", seen.autorun.join(", ")));
    if !seen.dangerous.is_empty() {
        let detail =
            format!("runs by {}, calls {}", seen.autorun.join(", "), seen.dangerous.join(", "));
        budget.mark("ACTIVE_VBA_DANGEROUS", place, detail);
    }
}

/// Encryption of Word (FIB), Excel (FILEPASS) and PowerPoint.
fn is_encrypted(file: &Compound<'_>) -> bool {
    let head = |name: &str, bytes: usize| {
        let named = |entry: &&Entry| entry.kind == Kind::Stream && entry.name == name;
        file.entries.iter().find(named).map(|entry| file.stream(entry, bytes))
    };
    // MS-DOC section 2.5.2: fEncrypted, also with XOR obfuscation.
    let word = head("WordDocument", 32).is_some_and(|fib| {
        matches!(half(&fib, 0), Some(0xA5EC | 0xA5DC))
            && half(&fib, 10).is_some_and(|flags| flags & 0x0100 != 0)
    });
    // MS-PPT section 2.3.2: headerToken.
    let powerpoint = head("Current User", 64)
        .is_some_and(|user| compound::word(&user, 12) == Some(0xF3D1_C4DF))
        || head("EncryptedSummary", 1).is_some();
    let excel = ["Workbook", "Book"]
        .into_iter()
        .any(|name| head(name, biff::HEAD_BYTES).is_some_and(|stream| biff::is_encrypted(&stream)));
    word || powerpoint || excel
}

/// Fields of Word's binary format: the mark 0x13, then the instruction, in octets or UTF-16.
fn word_fields(stream: &[u8], place: &str, budget: &mut Budget<'_>) {
    for wide in [false, true] {
        let mark: &[u8] = if wide { &[0x13, 0] } else { &[0x13] };
        let step = mark.len();
        for at in memmem::find_iter(stream, mark).take(FIELDS_MAX) {
            let rest = stream.get(at + step..).unwrap_or_default();
            let text: String = rest
                .chunks(step)
                .take(300)
                .take_while(|unit| unit.get(1).is_none_or(|high| *high == 0))
                .filter_map(|unit| unit.first())
                .map(|octet| char::from(*octet))
                .take_while(|c| !matches!(c, '\u{13}'..='\u{15}'))
                .collect();
            if super::active::is_dde_field(&text) {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
                budget.mark("ACTIVE_DDE", place, shown);
                return;
            }
        }
    }
}

/// An object that is linked, not embedded: flag 1, and where it leads. MS-OLEDS section 2.3.3.
fn linked(stream: &[u8], place: &str, budget: &mut Budget<'_>) {
    if word(stream, 4).is_none_or(|flags| flags & 1 == 0) {
        return;
    }
    let mut narrow = stream.to_vec();
    narrow.retain(|octet| *octet != 0);
    let text = String::from_utf8_lossy(&narrow);
    let lower = text.to_ascii_lowercase();
    for scheme in ["http://", "https://", "\\\\", "mhtml:", "file:", "script:"] {
        if let Some(target) = lower.find(scheme).and_then(|at| text.get(at..)) {
            let target: String = target.chars().take_while(|c| !c.is_control()).take(500).collect();
            budget.mark("ACTIVE_REMOTE_OBJECT", place, target.as_str());
            budget.link(&target);
            return;
        }
    }
}

/// Fuzz entry: any octets as a compound file, and as a message of Outlook. Number of members.
///
/// # Panics
/// When more is made of it than the bounds allow.
pub fn fuzz_ole(octets: &[u8]) -> usize {
    let limits = super::ArchiveLimits { members_max: 50, ..Default::default() };
    let mut budget = Budget::new(&limits);
    let members = members(octets, "1", &mut budget);
    assert!(members.len() <= 50, "more members than allowed");
    let mail = msg_to_mail(octets);
    members.len() + usize::from(mail.is_some()) + super::archive::found(&budget)
}
