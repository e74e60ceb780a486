//! Tables as text (CSV, SYLK), queries, and records of binary workbooks (MS-XLSB).

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::{Seen, is_dde_formula, xml};

/// Cells that are looked at.
const CELLS_MAX: usize = 20_000;

/// Octets of a cell in front of the mark of DDE.
const CELL_BYTES_MAX: usize = 300;

/// Names under which a program for tables opens text, a page too.
const ENDINGS: [&str; 11] =
    ["csv", "tsv", "tab", "dif", "prn", "iqy", "oqy", "rqy", "xls", "xlt", "xlw"];

/// The function of LibreOffice and its first argument; quotation marks are doubled in CSV.
static CALL: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(["dde(\"", "dde( \""]);
    built.unwrap_or_else(|error| unreachable!("two short strings: {error}"))
});

/// Marks of a table in text, or of a page that is opened as one.
pub(super) fn text(text: &str, seen: &mut Seen<'_, '_>) {
    let sylk = text.starts_with("ID;");
    if sylk {
        sylk_rows(text, seen);
    }
    if !sylk && !seen.has_ending(&ENDINGS) {
        return;
    }
    let page = text.trim_start().starts_with('<');
    let text = if page { xml::plain(text) } else { Cow::Borrowed(text) };
    let text: &str = &text;
    call(text, seen);
    for at in memchr::memchr_iter(b'|', text.as_bytes()).take(CELLS_MAX) {
        let (from, before) = before(text, at);
        // In a page a cell is what is between tags, or a value (`x:fmla`).
        let parts =
            |c| matches!(c, '\n' | '\r' | ',' | ';' | '\t') || page && matches!(c, '>' | '"');
        let begin = before.rfind(parts).map_or(from, |found| from + found + 1);
        let cell = text.get(begin..).unwrap_or_default().chars().take(2 * CELL_BYTES_MAX);
        let ends = |c: &char| matches!(c, '\n' | '\r') || page && *c == '<';
        let cell: String = cell.take_while(|c| !ends(c)).collect();
        // In SYLK a formula stands behind an E.
        let cell = if sylk { cell.replacen('E', "=", 1) } else { cell };
        if is_dde_formula(&cell) {
            return seen.mark("ACTIVE_DDE", cell.trim());
        }
    }
    if seen.has_ending(&["iqy"])
        && text.trim_start().get(..3).is_some_and(|head| head.eq_ignore_ascii_case("WEB"))
    {
        seen.mark("ACTIVE_REMOTE_OBJECT", "query of a web page");
    }
}

/// What is in front of a place, near it, and where that begins.
fn before(text: &str, at: usize) -> (usize, &str) {
    let from = text.ceil_char_boundary(at.saturating_sub(CELL_BYTES_MAX));
    (from, text.get(from..at).unwrap_or_default())
}

/// A formula that calls `DDE("program"; "topic"; "item")`.
fn call(text: &str, seen: &mut Seen<'_, '_>) {
    for found in CALL.find_iter(text).take(CELLS_MAX) {
        let (_, before) = before(text, found.start());
        let line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
        let word = line.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
        if !word && line.contains(['=', '+', '-', '@']) {
            let rest = text.get(found.start()..).unwrap_or_default();
            let cell = rest.lines().next().unwrap_or_default();
            return seen.mark("ACTIVE_DDE", cell.chars().take(CELL_BYTES_MAX).collect::<String>());
        }
    }
}

/// SYLK may hold macros of Excel 4 and has no warning of its own in old versions.
fn sylk_rows(text: &str, seen: &mut Seen<'_, '_>) {
    let mut macros = false;
    for row in text.lines().take(1_000_000) {
        if row.starts_with("O;") && row.split(';').skip(1).any(|field| field.trim() == "E") {
            macros = true;
            seen.mark("ACTIVE_XLM", "table with macros");
        }
        let lower = row.to_ascii_lowercase();
        if macros && row.starts_with("NN;") && lower.contains(";nauto_") {
            seen.mark("ACTIVE_XLM_AUTORUN", row);
        }
    }
}

/// `BrtBeginSupBook`: a link to another workbook, by DDE or OLE. MS-XLSB section 2.4.258.
const LINK: u32 = 360;

/// Marks of a part of a binary workbook.
pub(super) fn binary(octets: &[u8], seen: &mut Seen<'_, '_>) {
    let name = seen.part.file_name().unwrap_or_default().to_ascii_lowercase();
    if !name.ends_with(".bin") {
        return;
    }
    if name.contains("externallink") {
        let (kind, rest) = number(octets, 2);
        let (_, rest) = number(rest, 4);
        let which = crate::scan::ole::half(rest, 0);
        let words: String = rest
            .get(2..)
            .unwrap_or_default()
            .iter()
            .take(1000)
            .filter(|octet| (32..127).contains(*octet))
            .map(|octet| char::from(*octet))
            .collect();
        match (kind, which) {
            (LINK, Some(1)) => seen.mark("ACTIVE_DDE", words),
            (LINK, Some(2)) => seen.mark("ACTIVE_REMOTE_OBJECT", words),
            _ => {}
        }
    }
    if name.ends_with("workbook.bin") {
        for word in ["Auto_Open", "auto_open", "AUTO_OPEN", "Auto_Close", "auto_close"] {
            let wide: Vec<u8> = word.bytes().flat_map(|octet| [octet, 0]).collect();
            if memmem::find(octets, &wide).is_some() {
                seen.mark("ACTIVE_XLM_AUTORUN", format!("runs by {word}"));
            }
        }
    }
}

/// A number of at most `most` octets, seven bits each.
fn number(octets: &[u8], most: usize) -> (u32, &[u8]) {
    let mut value = 0_u32;
    for (index, octet) in octets.iter().take(most).enumerate() {
        value |= u32::from(octet & 0x7F) << (7 * index);
        if octet & 0x80 == 0 {
            return (value, octets.get(index + 1..).unwrap_or_default());
        }
    }
    (value, octets.get(most..).unwrap_or_default())
}
