//! Records of Excel's binary format (MS-XLS): macro sheets, names that run by themselves, links by
//! DDE, encryption.

use super::compound::half;
use crate::message::decode_charset;
use crate::scan::archive::Budget;

/// Octets in which a workbook says that it is encrypted.
pub(super) const HEAD_BYTES: usize = 64 * 1024;
/// Records that are walked.
const RECORDS_MAX: usize = 2_000_000;

const BOUNDSHEET: u16 = 0x0085;
const FILEPASS: u16 = 0x002F;
const NAME: u16 = 0x0018;
const NAME_OLD: u16 = 0x0218;
const SUPBOOK: u16 = 0x01AE;
const EXTERNSHEET: u16 = 0x0017;
const FORMULA: [u16; 3] = [0x0006, 0x0206, 0x0406];
const BOF: u16 = 0x0809;

/// Type and data of each record.
pub(super) fn records(stream: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let kind = half(stream, at)?;
        let bytes = usize::from(half(stream, at + 2)?);
        let rest = stream.get(at + 4..)?;
        at += 4 + bytes;
        Some((kind, rest.get(..bytes).unwrap_or(rest)))
    })
    .take(RECORDS_MAX)
}

/// Whether there is a record of encryption.
pub(super) fn is_encrypted(stream: &[u8]) -> bool {
    // Behind the first sheet's data no such record has a meaning.
    records(stream).take(200).any(|(kind, _)| kind == FILEPASS)
}

/// What follows in the record of encryption, if it is RC4. MS-XLS section 2.4.117.
pub(super) fn file_pass(stream: &[u8]) -> Option<Vec<u8>> {
    let (_, data) = records(stream).take(200).find(|(kind, _)| *kind == FILEPASS)?;
    if half(data, 0)? == 1 { data.get(2..).map(<[u8]>::to_vec) } else { None }
}

/// Puts back what is in clear in an encrypted workbook: heads of records, and whole records without which it could not be
/// opened (MS-XLS section 2.2.10). The record of encryption itself becomes one that says nothing.
pub(super) fn restore(encrypted: &[u8], plain: &mut [u8]) {
    let mut at = 0_usize;
    for (kind, data) in records(encrypted) {
        let clear = match kind {
            BOF | FILEPASS | 0x00E1 | 0x0138 | 0x0194..=0x0196 => data.len(),
            BOUNDSHEET => 4.min(data.len()),
            _ => 0,
        };
        let range = at..at + 4 + clear;
        if let (Some(to), Some(from)) = (plain.get_mut(range.clone()), encrypted.get(range)) {
            to.copy_from_slice(from);
        }
        if kind == FILEPASS
            && let Some(kind) = plain.get_mut(at..at + 2)
        {
            kind.fill(0);
        }
        at += 4 + data.len();
    }
}

/// Notes what acts in a workbook.
pub(super) fn look(stream: &[u8], place: &str, budget: &mut Budget<'_>) {
    // Records of an encrypted workbook keep their heads, and their data are noise.
    if is_encrypted(stream) {
        return;
    }
    let mut sheets: Vec<String> = Vec::new();
    let (mut autorun, mut calls) = (None, false);
    // A sheet of macros of Excel 4 and 5 says so itself.
    let mut inside_macros = false;
    for (kind, data) in records(stream) {
        match kind {
            BOUNDSHEET if data.get(5).is_some_and(|kind| kind & 0x0F == 1) => {
                let hidden = match data.get(4).map_or(0, |state| state & 3) {
                    0 => "",
                    1 => " (hidden)",
                    _ => " (very hidden)",
                };
                sheets.push(format!("{}{hidden}", short_name(data.get(6..).unwrap_or_default())));
            }
            BOF => inside_macros = half(data, 2) == Some(0x0040),
            NAME | NAME_OLD => autorun = autorun.or_else(|| automatic(data)),
            SUPBOOK => dde(data.get(4..).unwrap_or_default(), place, budget),
            EXTERNSHEET => dde(data.get(1..).unwrap_or_default(), place, budget),
            _ if FORMULA.contains(&kind) && inside_macros => calls |= is_call(data),
            _ => {}
        }
        if inside_macros && sheets.is_empty() {
            sheets.push("macro sheet".to_owned());
        }
    }
    if sheets.is_empty() {
        return;
    }
    let named: Vec<&str> = sheets.iter().take(5).map(String::as_str).collect();
    budget.mark("ACTIVE_XLM", place, format!("macro sheets: {}", named.join(", ")));
    if let Some(name) = autorun {
        let calls = if calls { ", calls programs or libraries" } else { "" };
        budget.mark("ACTIVE_XLM_AUTORUN", place, format!("runs by {name}{calls}"));
    }
}

/// A sheet's name: length, then (BIFF8) a flag and the characters.
fn short_name(data: &[u8]) -> String {
    let [cch, flag, rest @ ..] = data else { return String::new() };
    let text = match flag {
        0 => decode_charset(rest.get(..usize::from(*cch)).unwrap_or(rest), "").text.to_string(),
        1 => {
            let bytes = usize::from(*cch) * 2;
            decode_charset(rest.get(..bytes).unwrap_or(rest), "utf-16le").text.to_string()
        }
        _ => decode_charset(data.get(1..).unwrap_or_default(), "").text.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).take(31).collect()
}

/// The name of a defined name that runs by itself. MS-XLS section 2.4.150.
fn automatic(data: &[u8]) -> Option<String> {
    let flags = half(data, 0)?;
    let hidden = if flags & 1 != 0 { " (hidden)" } else { "" };
    let count = usize::from(*data.get(3)?);
    let text = data.get(14..)?;
    let text = text.get(..text.len().min(count * 2 + 1)).unwrap_or_default();
    if flags & 0x20 != 0 {
        // Built in, by number; in BIFF5 there is no flag in front of it.
        let number = text.iter().copied().find(|octet| *octet != 0)?;
        return match number {
            1 => Some(format!("Auto_Open{hidden}")),
            2 => Some(format!("Auto_Close{hidden}")),
            10 => Some(format!("Auto_Activate{hidden}")),
            _ => None,
        };
    }
    let plain: String =
        text.iter().filter(|octet| **octet > 31).map(|octet| char::from(*octet)).collect();
    let lower = plain.to_ascii_lowercase();
    let known = ["auto_open", "auto_close", "auto_activate", "auto_deactivate"];
    known.iter().find(|name| lower.contains(**name)).map(|_| format!("{plain}{hidden}"))
}

/// A link whose path has the mark 3: program and topic for DDE. A class with a dot is a linked object.
fn dde(path: &[u8], place: &str, budget: &mut Budget<'_>) {
    let text: String =
        path.iter().filter(|octet| **octet != 0).map(|octet| char::from(*octet)).collect();
    let text: String = text.chars().skip_while(|c| c.is_control() && *c != '\u{3}').collect();
    let Some((program, topic)) = text.split_once('\u{3}') else { return };
    let program: String = program.chars().filter(|c| !c.is_control()).collect();
    if program.is_empty() || program.len() > 255 {
        return;
    }
    let topic: String = topic.chars().filter(|c| !c.is_control()).take(200).collect();
    let rule = if program.contains('.') && !program.to_ascii_lowercase().ends_with(".exe") {
        "ACTIVE_REMOTE_OBJECT"
    } else {
        "ACTIVE_DDE"
    };
    budget.mark(rule, place, format!("{program}|{topic}"));
}

/// A formula that calls EXEC, CALL, REGISTER or REGISTER.ID: token of a function, number of arguments,
/// number of the function.
fn is_call(data: &[u8]) -> bool {
    data.windows(4).any(|four| {
        matches!(four, [0x22 | 0x42 | 0x62, 0..=30, 0x6E | 0x95 | 0x96, 0])
            || matches!(four, [0x22 | 0x42 | 0x62, 0..=30, 0x0B, 0x01])
    })
}
