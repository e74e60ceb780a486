//! Texts of old Office documents, for rules about words: pieces of Word (MS-DOC section 2.4.1), strings of Excel (MS-XLS
//! sections 2.4.265, 2.4.148), atoms of PowerPoint (MS-PPT section 2.9.42). What an encrypted document holds is noise.
//!
//! Bounds: 16 MiB of text of one document, 64 MiB of each stream.

use super::compound::{Compound, Entry, Kind, half, word};
use super::strings;
use crate::message::decode_charset;

/// Octets of text of one document.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Octets of one stream that are looked at.
const STREAM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pieces of a Word document, and records of a presentation.
const PIECES_MAX: usize = 1_000_000;
const RECORDS_MAX: usize = 1_000_000;

/// A text with a bound.
#[derive(Default)]
pub(super) struct Text {
    out: String,
}

impl Text {
    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= TEXT_BYTES_MAX
    }

    /// Appends a string, which ends a line.
    pub(super) fn line(&mut self, octets: &[u8], charset: &str) {
        if !octets.is_empty() && !self.is_full() {
            self.put(&decode_charset(octets, charset).text);
            self.out.push('\n');
        }
    }

    pub(super) fn put(&mut self, text: &str) {
        self.out.extend(text.chars().map(|c| match c {
            // Ends of paragraphs, cells, lines and pages.
            '\r' | '\u{7}' | '\u{B}' | '\u{C}' => '\n',
            '\n' | '\t' => c,
            c if c.is_control() => ' ',
            c => c,
        }));
    }
}

/// What a stream of this name was before it was encrypted; none for one that is not.
pub(super) type Undo<'f> = dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + 'f;

/// The text of a document; empty for what is none of the three.
pub(super) fn of(file: &Compound<'_>, plain: &Undo<'_>) -> String {
    let stream = |name: &str| {
        let named = |entry: &&Entry| entry.kind == Kind::Stream && entry.name == name;
        file.entries.iter().find(named).map(|entry| {
            let stream = file.stream(entry, STREAM_BYTES_MAX);
            plain(name, &stream).unwrap_or(stream)
        })
    };
    let mut text = Text::default();
    if let Some(document) = stream("WordDocument") {
        // MS-DOC section 2.5.2: fWhichTblStm.
        let second = half(&document, 10).is_some_and(|flags| flags & 0x0200 != 0);
        let table = stream(if second { "1Table" } else { "0Table" }).unwrap_or_default();
        if pieces(&document, &table, &mut text).is_none() {
            whole(&document, &mut text);
        }
    }
    for name in ["Workbook", "Book"] {
        if let Some(stream) = stream(name) {
            strings::of(&stream, &mut text);
        }
    }
    if let Some(stream) = stream("PowerPoint Document") {
        atoms(&stream, &mut text);
    }
    text.out
}

/// The pieces of a document of Word 97 and later. `None`: their table cannot be read.
fn pieces(document: &[u8], table: &[u8], text: &mut Text) -> Option<()> {
    let size = |octets: &[u8], at| usize::try_from(word(octets, at)?).ok();
    if half(document, 0)? != 0xA5EC {
        return None;
    }
    let (start, bytes) = (size(document, 0x01A2)?, size(document, 0x01A6)?);
    let mut clx = table.get(start..start.checked_add(bytes)?)?;
    // Changes of properties stand in front of the pieces.
    while let [1, rest @ ..] = clx {
        clx = rest.get(2 + usize::from(half(rest, 0)?)..)?;
    }
    let [2, rest @ ..] = clx else { return None };
    let plc = rest.get(4..4_usize.checked_add(size(rest, 0)?)?)?;
    let count = plc.len().checked_sub(4)? / 12;
    let mut shown = Field::default();
    for number in 0..count.min(PIECES_MAX) {
        let (from, to) = (size(plc, number * 4)?, size(plc, number * 4 + 4)?);
        let place = word(plc, (count + 1) * 4 + number * 8 + 2)?;
        let characters = to.checked_sub(from)?;
        // Octets of Windows-1252, or UTF-16.
        let narrow = place & 0x4000_0000 != 0;
        let at = usize::try_from(place & 0x3FFF_FFFF).ok()?;
        let (at, bytes) = if narrow { (at / 2, characters) } else { (at, characters * 2) };
        let rest = document.get(at..).unwrap_or_default();
        let octets = rest.get(..bytes.min(TEXT_BYTES_MAX)).unwrap_or(rest);
        let piece = decode_charset(octets, if narrow { "windows-1252" } else { "utf-16le" }).text;
        text.put(&shown.of(&piece));
        if text.is_full() {
            break;
        }
    }
    Some(())
}

/// Fields are instruction and result: the one is not shown.
#[derive(Default)]
struct Field {
    inside: bool,
}

impl Field {
    fn of(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            match c {
                '\u{13}' => self.inside = true,
                '\u{14}' | '\u{15}' => self.inside = false,
                // An instruction that no mark ends is shown, or all behind it would be hidden.
                '\r' => {
                    self.inside = false;
                    out.push(c);
                }
                c if !self.inside => out.push(c),
                _ => {}
            }
        }
        out
    }
}

/// A document of before Word 97, or one whose table is broken: from the first character to the last.
fn whole(document: &[u8], text: &mut Text) -> Option<()> {
    let (from, to) = (word(document, 24)?, word(document, 28)?);
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    let octets = document.get(from..)?;
    let octets = octets.get(..to.checked_sub(from)?.min(TEXT_BYTES_MAX)).unwrap_or(octets);
    let zeros = octets.iter().skip(1).step_by(2).take(2048).filter(|octet| **octet == 0).count();
    let wide = zeros > octets.len().min(4096) / 8;
    // MS-DOC section 2.5.2: lid.
    let japanese = half(document, 6) == Some(0x0411);
    let charset = match (wide, japanese) {
        (true, _) => "utf-16le",
        (false, true) => "shift_jis",
        (false, false) => "windows-1252",
    };
    text.put(&Field::default().of(&decode_charset(octets, charset).text));
    Some(())
}

/// Atoms of text; containers are walked into.
fn atoms(stream: &[u8], text: &mut Text) {
    let mut at = 0_usize;
    for _ in 0..RECORDS_MAX {
        let (Some(head), Some(kind), Some(bytes)) =
            (half(stream, at), half(stream, at + 2), word(stream, at + 4))
        else {
            return;
        };
        at += 8;
        if head & 0x000F == 0x000F {
            continue;
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let rest = stream.get(at..).unwrap_or_default();
        let data = rest.get(..bytes).unwrap_or(rest);
        match kind {
            // TextCharsAtom, CString; TextBytesAtom.
            0x0FA0 | 0x0FBA => text.line(data, "utf-16le"),
            0x0FA8 => text.line(data, "windows-1252"),
            _ => {}
        }
        at = at.saturating_add(bytes);
        if text.is_full() {
            return;
        }
    }
}
