//! Tables as text (CSV, SYLK), queries, and records of binary workbooks (MS-XLSB).

use memchr::memmem;

use super::{Seen, is_dde_formula};

/// Cells that are looked at.
const CELLS_MAX: usize = 20_000;

/// Octets of a cell in front of the mark of DDE.
const CELL_BYTES_MAX: usize = 300;

/// Marks of a table in text.
pub(super) fn text(text: &str, seen: &mut Seen<'_, '_>) {
    let sylk = text.starts_with("ID;");
    if sylk {
        sylk_rows(text, seen);
    }
    if !sylk && !seen.has_ending(&["csv", "tsv", "tab", "dif", "prn", "iqy", "oqy", "rqy"]) {
        return;
    }
    for at in memchr::memchr_iter(b'|', text.as_bytes()).take(CELLS_MAX) {
        let mut from = at.saturating_sub(CELL_BYTES_MAX);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let before = text.get(from..at).unwrap_or_default();
        let begin =
            before.rfind(['\n', '\r', ',', ';', '\t']).map_or(from, |found| from + found + 1);
        let cell = text.get(begin..).unwrap_or_default().chars().take(2 * CELL_BYTES_MAX);
        let cell: String = cell.take_while(|c| !matches!(c, '\n' | '\r')).collect();
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
