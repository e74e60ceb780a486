//! Office documents in XML: relationships that lead outside, fields, links by DDE, macro sheets.
//!
//! Tags are walked as they stand, prefixes of names left out, and no order is asked for: a reader that
//! needs well-formed XML sees nothing in what Office still opens.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::{Seen, is_dde_field, is_dde_formula, is_outside, is_outside_share, is_remote};

/// Octets of the instructions of one field.
const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Octets of one tag in which a quotation mark may hide its end.
const TAG_BYTES_MAX: usize = 64 * 1024;
/// Tags of one document that are walked.
const TAGS_MAX: usize = 20_000_000;

/// One tag: its name without prefix, its attributes as written.
#[derive(Clone, Copy, Debug)]
pub(in crate::scan) struct Tag<'t> {
    pub(in crate::scan) name: &'t str,
    attributes: &'t str,
    /// What follows the tag.
    rest: &'t str,
    closes: bool,
}

impl<'t> Tag<'t> {
    /// The value of the attribute of this name, without prefix, entities undone.
    pub(in crate::scan) fn attribute(&self, name: &str) -> Option<Cow<'t, str>> {
        let mut rest = self.attributes;
        loop {
            let (key, behind) = rest.split_once('=')?;
            let key = key.rsplit(|c: char| c.is_whitespace() || c == ':').find(|k| !k.is_empty());
            let behind = behind.trim_start();
            let quote = behind.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, behind) = behind.get(1..)?.split_once(quote)?;
            if key.is_some_and(|key| key.eq_ignore_ascii_case(name)) {
                return Some(plain(value));
            }
            rest = behind;
        }
    }

    /// The text up to the next tag.
    fn text(&self) -> Cow<'t, str> {
        plain(self.rest.split('<').next().unwrap_or_default())
    }
}

/// Every tag in order; comments and declarations are passed over.
pub(in crate::scan) fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = text;
    let mut comments = true;
    std::iter::from_fn(move || {
        loop {
            let at = memchr::memchr(b'<', rest.as_bytes())?;
            let inside = rest.get(at + 1..)?;
            if let Some(comment) = inside.strip_prefix("!--") {
                // One that does not end hides nothing, and its end is looked for once.
                let end = if comments { comment.find("-->") } else { None };
                comments = end.is_some();
                rest = end.and_then(|end| comment.get(end + 3..)).unwrap_or(comment);
                continue;
            }
            let end = end_of_tag(inside);
            let tag = inside.get(..end)?;
            rest = inside.get(end..)?;
            let behind = rest.strip_prefix('>').unwrap_or(rest);
            let closes = tag.starts_with('/');
            let tag = tag.trim_start_matches(['/', '?', '!']);
            let name_end = tag.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(tag.len());
            let (name, attributes) = tag.split_at(name_end);
            let name = name.rsplit(':').next().unwrap_or(name);
            return Some(Tag { name, attributes, rest: behind, closes });
        }
    })
    .take(TAGS_MAX)
}

/// Where the `>` of a tag is; one inside of quotation marks is none.
fn end_of_tag(inside: &str) -> usize {
    let octets = inside.as_bytes();
    let mut quote = None;
    for (at, octet) in octets.iter().enumerate().take(TAG_BYTES_MAX) {
        match (quote, octet) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(*octet),
            (Some(open), octet) if open == *octet => quote = None,
            _ => {}
        }
    }
    // A quotation mark that nobody closes must not swallow the rest of the document.
    memchr::memchr(b'>', octets).unwrap_or(octets.len())
}

/// Undoes entities: the five of XML, and numbers.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let head: String = behind.chars().take(10).collect();
        let entity = head.split_once(';').map(|(entity, _)| entity.to_owned());
        let found = entity.as_deref().and_then(|entity| {
            Some(match entity {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                number => {
                    let number = number.strip_prefix('#')?;
                    let code = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                        None => number.parse().ok()?,
                    };
                    char::from_u32(code)?
                }
            })
        });
        match (found, entity) {
            (Some(c), Some(entity)) => {
                out.push(c);
                rest = behind.get(entity.len() + 1..).unwrap_or_default();
            }
            _ => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Addresses that a reader may click: of relationships, of OpenDocument, of the XML of 2003.
pub(in crate::scan) fn links(octets: &[u8]) -> Vec<String> {
    let text = super::text_of(octets);
    let mut out = Vec::new();
    for tag in tags(&text) {
        let target = match tag.name {
            "Relationship" if is_external(&tag) => tag.attribute("Target"),
            "a" => tag.attribute("href"),
            "hlink" => tag.attribute("dest"),
            "Cell" => tag.attribute("HRef"),
            _ => None,
        };
        if let Some(target) = target.filter(|target| target.contains(':'))
            && out.len() < 1_000
        {
            out.push(target.into_owned());
        }
    }
    out
}

fn is_external(tag: &Tag<'_>) -> bool {
    tag.attribute("TargetMode").is_some_and(|mode| mode.eq_ignore_ascii_case("External"))
}

/// Marks of one XML document.
pub(super) fn look(text: &str, seen: &mut Seen<'_, '_>) {
    let (mut field, mut depth) = (String::new(), 0_usize);
    // Asked once for a document, not for each of its scripts.
    let by_windows = OnceCell::new();
    for tag in tags(text) {
        if tag.closes {
            if tag.name == "p" && depth == 0 {
                field.clear();
            }
            continue;
        }
        match tag.name {
            "Relationship" => relationship(&tag, seen),
            "fldSimple" => {
                instructed(&tag.attribute("instr").unwrap_or_default(), seen);
            }
            "instrText" | "delInstrText" => {
                if field.len() >= FIELD_BYTES_MAX {
                    instructed(&field, seen);
                    field.clear();
                }
                field.push_str(&tag.text());
            }
            "fldChar" => match tag.attribute("fldCharType").as_deref() {
                Some("begin") => {
                    if depth == 0 {
                        field.clear();
                    }
                    depth += 1;
                }
                Some("separate") => {}
                _ => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        instructed(&field, seen);
                        field.clear();
                    }
                }
            },
            _ => object(&tag, &|| *by_windows.get_or_init(|| is_ms_script(text)), seen),
        }
        formula(&tag, seen);
    }
    instructed(&field, seen);
}

/// A tag that acts by itself. `by_windows`: whether scripts of the document are run by Windows.
fn object(tag: &Tag<'_>, by_windows: &dyn Fn() -> bool, seen: &mut Seen<'_, '_>) {
    let part = |name| tag.attribute(name).unwrap_or_default();
    match tag.name {
        "ddeLink" => {
            let detail = format!("{}|{}", part("ddeService"), part("ddeTopic"));
            seen.mark("ACTIVE_DDE", detail);
        }
        "dde-source" | "dde-connection-decl" => {
            let detail = format!("{}|{}", part("dde-application"), part("dde-topic"));
            seen.mark("ACTIVE_DDE", detail);
        }
        "definedName" => automatic(tag, seen),
        "macrosheet" => seen.mark("ACTIVE_XLM", "macro sheet"),
        "ocx" => seen.mark("ACTIVE_ACTIVEX", "ActiveX control"),
        "module" if tag.attribute("language").is_some() => {
            seen.mark("ACTIVE_ODF_MACRO", "module of macros");
        }
        "object-ole" | "docOleData" => seen.mark("ACTIVE_EMBEDDED", "embedded object"),
        "binData" if tag.attribute("name").is_some_and(|n| n.contains("editdata")) => {
            seen.mark("ACTIVE_VBA", "VBA project");
        }
        "script" if tag.attribute("language").is_some() && by_windows() => {
            seen.mark("ACTIVE_SCRIPT", "script in XML");
        }
        // Forms of XFA, which a PDF has in a stream of its own. No other format calls the attribute so.
        "script" if part("contentType").to_ascii_lowercase().contains("javascript") => {
            seen.mark("ACTIVE_PDF_JAVASCRIPT", "JavaScript of a form");
        }
        // The list of types of a package: where a sheet is does not say what it is.
        "Override" | "Default"
            if part("ContentType").to_ascii_lowercase().contains("macrosheet") =>
        {
            seen.mark("ACTIVE_XLM", format!("macro sheet {}", part("PartName")));
        }
        "webPr" if is_remote(&part("url")) => {
            seen.mark("ACTIVE_REMOTE_OBJECT", format!("query of {}", part("url")));
        }
        "dbPr" if part("connection").split([';', '=']).any(is_outside_share) => {
            seen.mark("ACTIVE_REMOTE_OBJECT", format!("query of {}", part("connection")));
        }
        "customUI" if ["://", "\\\\"].iter().any(|mark| part("onLoad").contains(mark)) => {
            seen.mark("ACTIVE_REMOTE_OBJECT", format!("runs {}", part("onLoad")));
        }
        _ => {}
    }
}

/// Style sheets and components that bring scripts along (`msxsl:script`, scriptlets).
fn is_ms_script(text: &str) -> bool {
    ["urn:schemas-microsoft-com:xslt", "<scriptlet", "<component", "<package", "<job"]
        .iter()
        .any(|mark| text.contains(mark))
}

/// What the instruction of a field does.
fn instructed(instruction: &str, seen: &mut Seen<'_, '_>) {
    dde(is_dde_field(instruction), instruction, seen);
    let upper = instruction.to_ascii_uppercase();
    let target = |word: &str| {
        let at = upper.find(word)?.checked_add(word.len())?;
        Some(instruction.get(at..)?.trim_start_matches([' ', '"', '\t']))
    };
    // Word writes the address of every picture that was copied from a page: only shares are worth a word.
    if target("INCLUDETEXT").is_some_and(is_outside)
        || target("INCLUDEPICTURE").is_some_and(is_outside_share)
    {
        seen.mark("ACTIVE_REMOTE_OBJECT", instruction.trim());
    }
}

fn dde(found: bool, instruction: &str, seen: &mut Seen<'_, '_>) {
    if found {
        seen.mark("ACTIVE_DDE", instruction.trim());
    }
}

fn formula(tag: &Tag<'_>, seen: &mut Seen<'_, '_>) {
    if tag.name == "Cell" || tag.name == "table-cell" {
        let value = tag.attribute("Formula").unwrap_or_default();
        let value = value.split_once(":=").map_or(&*value, |(_, formula)| formula);
        let with_mark = if value.starts_with('=') { value.to_owned() } else { format!("={value}") };
        dde(is_dde_formula(&with_mark), &with_mark, seen);
    }
    if tag.name == "f" {
        let text = tag.text();
        dde(is_dde_formula(&format!("={text}")), &text, seen);
    }
}

fn automatic(tag: &Tag<'_>, seen: &mut Seen<'_, '_>) {
    let name = tag.attribute("name").unwrap_or_default().to_ascii_lowercase();
    if ["auto_open", "auto_close", "auto_activate"].iter().any(|word| name.contains(word)) {
        seen.mark("ACTIVE_XLM_AUTORUN", format!("runs by {name}"));
    }
}

/// What a relationship leads to.
fn relationship(tag: &Tag<'_>, seen: &mut Seen<'_, '_>) {
    let kind = tag.attribute("Type").unwrap_or_default();
    let kind = kind.rsplit('/').next().unwrap_or_default();
    let target = tag.attribute("Target").unwrap_or_default();
    if !is_external(tag) {
        // Those in their usual folder are known by its name.
        let usual = target.to_ascii_lowercase().contains("embeddings/");
        if matches!(kind, "oleObject" | "package") && !usual {
            seen.mark("ACTIVE_EMBEDDED", format!("embedded file {target}"));
        }
        return;
    }
    match kind {
        "attachedTemplate" if is_remote(&target) => seen.mark("ACTIVE_REMOTE_TEMPLATE", &*target),
        "oleObject" | "frame" | "subDocument" | "control" | "package" | "aFChunk" => {
            seen.mark("ACTIVE_REMOTE_OBJECT", format!("{kind} {target}"));
        }
        "externalLinkPath" if is_outside_share(&target) => {
            seen.mark("ACTIVE_REMOTE_OBJECT", format!("{kind} {target}"));
        }
        "hyperlink" | "image" | "attachedTemplate" => {
            // Protocols that run something where a browser's would not.
            let lower = target.to_ascii_lowercase();
            if ["ms-msdt:", "search-ms:", "mhtml:", "script:", "javascript:"]
                .iter()
                .any(|s| lower.starts_with(s))
            {
                seen.mark("ACTIVE_REMOTE_OBJECT", format!("{kind} {target}"));
            }
        }
        _ => {}
    }
}
