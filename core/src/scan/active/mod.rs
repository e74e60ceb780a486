//! What acts when a part is opened: macros, fields that start programs, remote templates, scripts of
//! attached pages, shortcuts. Says what is there; what happens to it is the domain's setting
//! (`active_content.action`).
//!
//! Two places find it: the readers of containers while they open them (`ole`, `pdf`, [`rtf`]; in a
//! worker), which leave their marks in the view; and [`marks`], which looks at parts and members as they
//! are, on the shard too, in time linear in their octets. Nothing is executed, and no check asks a
//! document to be in order: those made for an attack are broken on purpose.

mod html;
pub(super) mod pdf;
pub(super) mod rtf;
mod sheet;
mod shown;
pub(super) mod xml;

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::attachment::{as_saved, is_binary_program};
use super::finding::{Finding, FindingKind, MilliPoints};
use super::ole::vba;
use crate::message::{Active, FileType, Part, PartOrigin, View, decode_charset};
use shown::{Sight, sights};

/// A mark that is no finding: programs have theirs as attachments (`ATTACH_PROGRAM`), and what is done with them is not up to
/// the setting for documents. Rules ask for it by `attachment_active`.
const PROGRAM: &str = "ACTIVE_PROGRAM";
/// Marks of one message that are kept.
const MARKS_MAX: usize = 200;
/// Characters of a detail.
const DETAIL_CHARS_MAX: usize = 150;

/// What each check adds to the score. What harmless documents have too adds little: macros alone are not
/// spam. What starts a program, or hides one, adds most of what makes spam, and never all of it.
const POINTS: &[(&str, MilliPoints)] = &[
    ("ACTIVE_VBA_AUTORUN", 500),
    ("ACTIVE_VBA_DANGEROUS", 3_500),
    ("ACTIVE_XLM", 500),
    ("ACTIVE_XLM_AUTORUN", 2_500),
    ("ACTIVE_DDE", 2_500),
    ("ACTIVE_REMOTE_TEMPLATE", 2_500),
    ("ACTIVE_REMOTE_OBJECT", 500),
    ("ACTIVE_EMBEDDED_PROGRAM", 3_000),
    ("ACTIVE_ACTIVEX", 500),
    ("ACTIVE_RTF_UPDATE", 2_000),
    ("ACTIVE_EQUATION", 2_500),
    ("ACTIVE_ONENOTE_FILE", 1_500),
    ("ACTIVE_PDF_JAVASCRIPT", 300),
    ("ACTIVE_PDF_LAUNCH", 3_000),
    ("ACTIVE_PDF_ACTION", 300),
    ("ACTIVE_PDF_RICHMEDIA", 300),
    ("ACTIVE_HTML_SCRIPT", 300),
    ("ACTIVE_HTML_OBFUSCATED", 2_000),
    ("ACTIVE_HTML_SMUGGLING", 3_500),
    ("ACTIVE_SVG_SCRIPT", 1_500),
    ("ACTIVE_SHORTCUT", 1_500),
    ("ACTIVE_SCRIPT", 1_000),
];

/// Adds a mark, once for each check and place.
pub(super) fn note(
    list: &mut Vec<Active>,
    rule: &'static str,
    place: &str,
    detail: impl Into<Box<str>>,
) {
    if list.len() >= MARKS_MAX || list.iter().any(|one| one.rule == rule && &*one.place == place) {
        return;
    }
    let detail: Box<str> = detail.into();
    let plain = detail.chars().filter(|c| !c.is_control());
    let detail = plain.take(DETAIL_CHARS_MAX).collect::<String>().into();
    list.push(Active { rule, place: place.into(), detail });
}

/// Everything that acts in a message: what the readers of containers noted, and what parts show by
/// themselves.
pub(super) fn marks(view: &View<'_>) -> Vec<Active> {
    let mut out = view.active.clone();
    for (part, sight) in view.parts.iter().zip(sights(view)) {
        look(part, sight, &mut out);
    }
    // Behind all others: an archive full of programs must not displace what is in its documents.
    for part in view.parts.iter().filter(|part| is_binary_program(part.file_type(), &part.decoded))
    {
        note(&mut out, PROGRAM, &part.path, "program");
    }
    out
}

/// Marks as findings.
pub(super) fn findings(marks: &[Active], out: &mut Vec<Finding>) {
    for mark in marks.iter().filter(|mark| mark.rule != PROGRAM) {
        let points = POINTS.iter().find(|(rule, _)| *rule == mark.rule).map_or(0, |found| found.1);
        let place: String = mark.place.chars().take(100).collect();
        let detail: Box<str> =
            format!("{place}: {}", mark.detail).chars().take(200).collect::<String>().into();
        // Its points count once, however many parts have it.
        let known = out.iter().any(|finding| &*finding.rule == mark.rule);
        let points = if known { 0 } else { points };
        let kind = FindingKind::ActiveContent;
        out.push(Finding { kind, rule: mark.rule.into(), points, detail, log_only: false });
    }
}

/// One part as it is.
fn look(part: &Part<'_>, sight: Sight, out: &mut Vec<Active>) {
    let octets: &[u8] = &part.decoded;
    if octets.is_empty() {
        return;
    }
    let mut seen = Seen { part, out };
    if sight == Sight::Page {
        html::assembled(octets, &mut seen);
    }
    if sight != Sight::File && !part.is_container() {
        return;
    }
    seen.by_name();
    let kind = part.file_type();
    match kind {
        FileType::Lnk => seen.mark("ACTIVE_SHORTCUT", "shortcut"),
        FileType::Script => seen.mark("ACTIVE_SCRIPT", "script"),
        FileType::Text | FileType::Unknown | FileType::Mail => seen.text(octets),
        _ => {}
    }
    if sight == Sight::File {
        seen.opened(octets, kind);
    }
}

/// A part, and where its marks go.
struct Seen<'s, 'm> {
    part: &'s Part<'m>,
    out: &'s mut Vec<Active>,
}

impl Seen<'_, '_> {
    fn mark(&mut self, rule: &'static str, detail: impl Into<Box<str>>) {
        note(self.out, rule, &self.part.path, detail);
    }

    /// Whether it is saved under one of these endings. A part without a name is saved under that of its type.
    fn has_ending(&self, endings: &[&str]) -> bool {
        if self.part.file_names.is_empty() {
            return ending_of_type(&self.part.content_type)
                .is_some_and(|one| endings.contains(&one));
        }
        self.part.file_names.iter().any(|name| {
            as_saved(name).rsplit_once('.').is_some_and(|(_, ending)| {
                endings.iter().any(|one| ending.eq_ignore_ascii_case(one))
            })
        })
    }

    /// Whether a browser takes it for a drawing by its name or its type.
    fn is_drawing(&self) -> bool {
        self.has_ending(&["svg"]) || &*self.part.content_type == "image/svg+xml"
    }

    /// What a program makes of it that goes by its name or its type, whatever it begins with: browsers take any octets for a
    /// page, and interpreters any for a script.
    fn opened(&mut self, octets: &[u8], kind: FileType) {
        let declared = self.part.origin == PartOrigin::Mime
            && matches!(
                &*self.part.content_type,
                "text/html" | "text/xhtml" | "application/xhtml+xml" | "image/svg+xml"
            );
        if kind == FileType::Html || declared || self.has_ending(&PAGE_ENDINGS) {
            html::look(octets, self);
        }
        // Excel opens a page as a table.
        if kind == FileType::Html {
            sheet::text(&text_of(octets), self);
        }
        if self.has_ending(&SCRIPT_ENDINGS) {
            self.mark("ACTIVE_SCRIPT", "script");
        }
    }

    /// Members of Office Open XML that say by their place what they are.
    fn by_name(&mut self) {
        if self.part.origin != PartOrigin::Member {
            return;
        }
        let name =
            self.part.file_name().unwrap_or_default().to_ascii_lowercase().replace('\\', "/");
        if name.contains("/embeddings/") {
            self.mark("ACTIVE_EMBEDDED", format!("embedded file {name}"));
        }
        if name.contains("/macrosheets/") && !name.contains("/_rels/") {
            self.mark("ACTIVE_XLM", format!("macro sheet {name}"));
        }
        if name.contains("/activex/activex") {
            self.mark("ACTIVE_ACTIVEX", format!("ActiveX control {name}"));
        }
        if name.ends_with("vbaproject.bin") {
            self.mark("ACTIVE_VBA", "VBA project");
        }
        if name.starts_with("basic/") && name.ends_with(".xml") && !name.ends_with("-lb.xml") {
            // The libraries' own lists are in every document that was ever saved with an editor open.
            self.mark("ACTIVE_ODF_MACRO", format!("macros in {name}"));
        }
    }

    fn text(&mut self, octets: &[u8]) {
        sheet::binary(octets, self);
        if is_binary(octets) && !self.has_ending(&TEXT_ENDINGS) {
            return;
        }
        let text = text_of(octets);
        let begin = text.trim_start_matches('\u{FEFF}').trim_start();
        sheet::text(&text, self);
        if begin.starts_with('<') {
            if !self.is_drawing() && html::is_svg(begin.as_bytes()) {
                html::look(text.as_bytes(), self);
            }
            xml::look(&text, self);
            return;
        }
        if begin.get(..18).is_some_and(|head| head.eq_ignore_ascii_case("[InternetShortcut]")) {
            self.mark("ACTIVE_SHORTCUT", "shortcut to an address");
        }
        let module = self.has_ending(&["vba", "bas", "cls", "frm"])
            && [&b"End Sub"[..], b"End Function"]
                .iter()
                .any(|end| memchr::memmem::find(octets, end).is_some());
        if module || memchr::memmem::find(octets, b"Attribute VB_Name = ").is_some() {
            self.source(octets);
        }
    }

    /// Source of VBA. One out of a project was spoken of there already.
    fn source(&mut self, octets: &[u8]) {
        if self.part.origin == PartOrigin::Member && self.has_ending(&["vba"]) {
            return;
        }
        let mut seen = vba::Seen::default();
        seen.add(octets);
        self.mark("ACTIVE_VBA", "source of VBA");
        if !seen.autorun.is_empty() {
            self.mark("ACTIVE_VBA_AUTORUN", format!("runs by {}", seen.autorun.join(", ")));
        }
    }
}

/// Names under which a program reads text, whatever is in it.
const TEXT_ENDINGS: [&str; 25] = [
    "js", "jse", "vbs", "vbe", "wsf", "wsh", "hta", "ps1", "bat", "cmd", "sct", "csv", "tsv",
    "slk", "xml", "svg", "url", "htm", "html", "txt", "vba", "bas", "cls", "frm", "xls",
];
/// Names under which an interpreter runs it.
const SCRIPT_ENDINGS: [&str; 11] =
    ["js", "jse", "vbs", "vbe", "wsf", "wsh", "hta", "ps1", "bat", "cmd", "sct"];
/// Names under which a browser shows it.
const PAGE_ENDINGS: [&str; 8] = ["htm", "html", "xhtml", "xht", "shtml", "shtm", "hta", "svg"];

/// The ending that clients make up for a part without a name, where it matters here.
fn ending_of_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "application/javascript"
        | "application/x-javascript"
        | "application/ecmascript"
        | "text/javascript"
        | "text/x-javascript"
        | "text/ecmascript"
        | "text/jscript" => "js",
        "text/vbscript" | "text/vbs" | "application/x-vbs" | "application/x-vbscript" => "vbs",
        "application/hta" => "hta",
        "text/scriptlet" => "sct",
        "text/html" => "htm",
        "application/xhtml+xml" => "xhtml",
        "image/svg+xml" => "svg",
        "text/xml" | "application/xml" => "xml",
        "text/csv" | "text/comma-separated-values" => "csv",
        "text/tab-separated-values" => "tsv",
        "application/vnd.ms-excel" => "xls",
        _ => return None,
    })
}
/// Octets in which a NUL shows that a part is no text.
const BINARY_SAMPLE_BYTES: usize = 1024;

/// No text of any encoding that is read here: a tenth of what an attachment costs went into reading pictures as text.
fn is_binary(octets: &[u8]) -> bool {
    let sample = octets.get(..BINARY_SAMPLE_BYTES).unwrap_or(octets);
    let wide = [&b"\xFF\xFE"[..], b"\xFE\xFF", b"<\0?\0", b"\0<\0?"];
    memchr::memchr(0, sample).is_some() && !wide.iter().any(|mark| octets.starts_with(mark))
}

/// Octets as text: UTF-16 where they say so, else UTF-8 as far as it goes.
fn text_of(octets: &[u8]) -> Cow<'_, str> {
    if octets.starts_with(b"\xFF\xFE") || octets.starts_with(b"\xFE\xFF") {
        return Cow::Owned(decode_charset(octets, "utf-16").text.to_string());
    }
    // Without the mark, XML begins so.
    if octets.starts_with(b"<\0?\0") {
        return Cow::Owned(decode_charset(octets, "utf-16le").text.to_string());
    }
    if octets.starts_with(b"\0<\0?") {
        return Cow::Owned(decode_charset(octets, "utf-16be").text.to_string());
    }
    String::from_utf8_lossy(octets)
}

/// Whether a field's instruction starts a program by DDE. `QUOTE 68 68 69` spells its words by numbers.
pub(super) fn is_dde_field(instruction: &str) -> bool {
    let mut plain = String::new();
    for word in instruction.split_whitespace() {
        let word = word.trim_matches('"');
        match word.parse::<u32>().ok().filter(|number| (32..127).contains(number)) {
            Some(number) => plain.extend(char::from_u32(number)),
            None if word.eq_ignore_ascii_case("QUOTE") => {}
            None => {
                plain.push(' ');
                plain.push_str(word);
            }
        }
    }
    let first = plain.split_whitespace().next().unwrap_or_default();
    let is = |word: &str| {
        word.eq_ignore_ascii_case("DDE")
            || word.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("DDEAUTO"))
    };
    is(first) && plain.split_whitespace().count() > 1
        || plain.split_whitespace().any(|word| word.eq_ignore_ascii_case("DDEAUTO"))
}

/// Whether a formula asks a program by DDE: `=cmd|' /C calc'!A0`.
fn is_dde_formula(formula: &str) -> bool {
    // Excel passes over a NUL.
    let formula = formula.trim_start_matches([' ', '"', '\'', '\t', '\0']);
    let Some(rest) = formula.strip_prefix(['=', '+', '-', '@']) else { return false };
    let rest = rest.trim_start_matches(['=', '+', '-', '@', ' ']);
    let Some((program, topic)) = rest.split_once('|') else { return false };
    let program = program.rsplit(['(', '+', '-', '*', '/', ',', '=']).next().unwrap_or_default();
    let program = program.trim_matches(['\'', '"', ' ']);
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '\\' | ':' | ' ');
    !program.is_empty() && program.len() < 100 && program.chars().all(named) && topic.contains('!')
}

/// Addresses that stand in a text, as they are written: at most 500.
pub(super) fn web_links(text: &str) -> Vec<String> {
    let starts = memchr::memmem::find_iter(text.as_bytes(), b"://");
    let mut out: Vec<String> = Vec::new();
    for at in starts {
        let scheme = text.get(..at).unwrap_or_default();
        let begin = ["https", "http", "ftp"].into_iter().find(|name| {
            scheme
                .len()
                .checked_sub(name.len())
                .and_then(|from| scheme.get(from..))
                .is_some_and(|s| s.eq_ignore_ascii_case(name))
        });
        let Some(rest) = begin.and_then(|name| text.get(at - name.len()..)) else { continue };
        let end = |c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>' | '\\')
        };
        if out.len() >= 500 {
            break;
        }
        out.push(rest.chars().take(4096).take_while(|c| !end(*c)).collect());
    }
    out
}

/// Whether a target is on another machine.
fn is_remote(target: &str) -> bool {
    let lower = target.trim().to_ascii_lowercase();
    let file = lower.strip_prefix("file:").map(|path| path.trim_start_matches(['/', '\\']));
    match file {
        // `file:///C:/x` is here; `file://host/x` and `file:///\\host\x` are not.
        Some(path) => {
            let drive = path.get(1..2) == Some(":") || path.get(1..2) == Some("|");
            !drive
                && (lower.starts_with("file://") && !lower.starts_with("file:///")
                    || lower.contains("\\\\"))
        }
        None => [
            "http:",
            "https:",
            "ftp:",
            "mhtml:",
            "mk:",
            "\\\\",
            "//",
            "ms-",
            "search-ms:",
            "script:",
            "webdav:",
        ]
        .iter()
        .any(|scheme| lower.starts_with(scheme)),
    }
}

/// Whether a target is on another machine that may be outside of the reader's network.
fn is_outside(target: &str) -> bool {
    if share_host(target).is_some() { is_outside_share(target) } else { is_remote(target) }
}

/// Whether a target is a share outside of the reader's network: Windows signs in there with what is left of the reader's
/// password. A name without a dot and an address of the network itself are the office's own file server, to which its
/// workbooks lead.
fn is_outside_share(target: &str) -> bool {
    let Some(host) = share_host(target) else { return false };
    match host.parse::<Ipv4Addr>() {
        Ok(address) => !address.is_private() && !address.is_loopback() && !address.is_link_local(),
        Err(_) => host.trim_matches('.').contains('.'),
    }
}

/// The host of `\\host\share`, `//host/share`, `file://host/share` or `file:///\\host\share`.
fn share_host(target: &str) -> Option<&str> {
    let target = target.trim().trim_start_matches(['"', '\'']);
    let file = target.get(..5).filter(|head| head.eq_ignore_ascii_case("file:"));
    let path = file.and_then(|_| target.get(5..)).unwrap_or(target);
    let slash = ['\\', '/'];
    let host = path.strip_prefix(slash)?.strip_prefix(slash)?.trim_start_matches(slash);
    host.split(['\\', '/', '@', ':', '"', ' ']).next().filter(|host| !host.is_empty())
}

/// Fuzz entry: any octets, under names that lead to every check. Number of marks and addresses.
pub fn fuzz_active(octets: &[u8]) -> usize {
    let mut marks = Vec::new();
    for name in
        ["a.csv", "a.slk", "x/word/document.xml", "xl/externalLinks/externalLink1.bin", "a.html"]
    {
        let octets = Cow::Borrowed(octets);
        let part = Part::of_octets("1".into(), PartOrigin::Member, name, octets);
        look(&part, Sight::File, &mut marks);
    }
    marks.len() + web_links(&String::from_utf8_lossy(octets)).len() + xml::links(octets).len()
}

/// Fuzz entry: any octets as RTF. Number of members and marks.
///
/// # Panics
/// When more is made of it than the bounds allow.
pub fn fuzz_rtf(octets: &[u8]) -> usize {
    let limits = super::ArchiveLimits { members_max: 50, ..Default::default() };
    let mut budget = super::archive::Budget::new(&limits);
    let members = rtf::members(octets, "1", &mut budget);
    assert!(members.len() <= 50, "more members than allowed");
    members.len() + super::archive::found(&budget)
}
