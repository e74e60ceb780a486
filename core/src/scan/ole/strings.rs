//! Strings of Excel's binary format: the shared table, which goes on over several records, cells and boxes.

use super::biff::records;
use super::compound::{half, word};
use super::text::Text;

const CODE_PAGE: u16 = 0x0042;
const CONTINUE: u16 = 0x003C;
const SHARED: u16 = 0x00FC;
const LABEL: [u16; 2] = [0x0204, 0x00D6];
const RESULT: u16 = 0x0207;
const BOX: u16 = 0x01B6;
const NOTE: u16 = 0x001C;
const BOF: [u16; 3] = [0x0809, 0x0409, 0x0209];
/// Strings of one table.
const STRINGS_MAX: u32 = 2_000_000;
/// Characters of one string.
const CHARACTERS_MAX: usize = 32 * 1024;

/// Appends all strings.
pub(super) fn of(stream: &[u8], text: &mut Text) {
    let (mut wide, mut charset) = (true, "windows-1252");
    let mut shared: Vec<&[u8]> = Vec::new();
    let mut boxed = false;
    for (kind, data) in records(stream) {
        if text.is_full() {
            return;
        }
        if kind == CONTINUE {
            if !shared.is_empty() {
                shared.push(data);
            } else if boxed {
                // The first record behind a box is its text; the others are its letters' looks.
                flagged(data, text);
                boxed = false;
            }
            continue;
        }
        if !shared.is_empty() {
            Table::new(&std::mem::take(&mut shared)).read(text);
        }
        boxed = kind == BOX;
        match kind {
            _ if BOF.contains(&kind) => wide = half(data, 0) == Some(0x0600),
            CODE_PAGE => charset = charset_of(half(data, 0)),
            SHARED => shared.push(data),
            _ if LABEL.contains(&kind) => cell(data.get(6..), (wide, charset), text),
            RESULT => cell(Some(data), (wide, charset), text),
            NOTE if !wide => text.line(data.get(6..).unwrap_or_default(), charset),
            _ => {}
        }
    }
    if !shared.is_empty() {
        Table::new(&shared).read(text);
    }
}

/// A length of 16 bits, then octets, or (BIFF8) a flag and what it says.
fn cell(data: Option<&[u8]>, (wide, charset): (bool, &str), text: &mut Text) {
    let Some(data) = data else { return };
    let count = usize::from(half(data, 0).unwrap_or(0));
    let rest = data.get(2..).unwrap_or_default();
    if !wide {
        return text.line(rest.get(..count).unwrap_or(rest), charset);
    }
    let bytes =
        if rest.first().is_some_and(|flag| flag & 1 != 0) { 1 + 2 * count } else { 1 + count };
    flagged(rest.get(..bytes).unwrap_or(rest), text);
}

/// Characters behind a flag.
fn flagged(data: &[u8], text: &mut Text) {
    match data {
        [flag, rest @ ..] if flag & 1 != 0 => text.line(rest, "utf-16le"),
        [_, rest @ ..] => text.line(rest, "iso-8859-1"),
        [] => {}
    }
}

fn charset_of(page: Option<u16>) -> &'static str {
    match page {
        Some(932) => "shift_jis",
        Some(936) => "gbk",
        Some(949) => "euc-kr",
        Some(950) => "big5",
        Some(1251) => "windows-1251",
        Some(1250) => "windows-1250",
        _ => "windows-1252",
    }
}

/// The shared table and the records that it goes on in. Where characters go on in the next record, a flag stands in front of
/// them there. MS-XLS section 2.5.293.
struct Table<'r, 's> {
    records: &'r [&'s [u8]],
    record: usize,
    at: usize,
}

impl<'r, 's> Table<'r, 's> {
    fn new(records: &'r [&'s [u8]]) -> Self {
        Self { records, record: 0, at: 8 }
    }

    fn read(mut self, text: &mut Text) {
        let count = self.records.first().and_then(|first| word(first, 4)).unwrap_or(0);
        for _ in 0..count.min(STRINGS_MAX) {
            if text.is_full() || self.string(text).is_none() {
                return;
            }
        }
    }

    fn rest(&mut self) -> Option<&'s [u8]> {
        let record = self.records.get(self.record)?;
        let rest = record.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            self.record += 1;
            self.at = 0;
            return self.records.get(self.record).copied();
        }
        Some(rest)
    }

    /// Octets that do not have to be in one record.
    fn skip(&mut self, mut bytes: usize) -> Option<()> {
        while bytes > 0 {
            let now = self.rest()?.len().min(bytes);
            self.at += now;
            bytes -= now;
            if now == 0 {
                return None;
            }
        }
        Some(())
    }

    fn octet(&mut self) -> Option<u8> {
        let octet = *self.rest()?.first()?;
        self.at += 1;
        Some(octet)
    }

    fn string(&mut self, text: &mut Text) -> Option<()> {
        let mut count = usize::from(self.octet()?) | usize::from(self.octet()?) << 8;
        let mut flag = self.octet()?;
        let mut behind = 0;
        if flag & 8 != 0 {
            behind += 4 * (usize::from(self.octet()?) | usize::from(self.octet()?) << 8);
        }
        if flag & 4 != 0 {
            let mut bytes = 0;
            for shift in [0, 8, 16, 24] {
                bytes |= usize::from(self.octet()?) << shift;
            }
            behind += bytes;
        }
        let mut units: Vec<u8> = Vec::new();
        while count > 0 {
            let rest = self.rest()?;
            // At the begin of a record the flag is said again.
            let rest = match self.at {
                0 if self.record > 0 => {
                    flag = *rest.first()?;
                    self.at = 1;
                    rest.get(1..)?
                }
                _ => rest,
            };
            let step = if flag & 1 != 0 { 2 } else { 1 };
            let now = (rest.len() / step).min(count);
            if now == 0 {
                return None;
            }
            let octets = rest.get(..now * step)?;
            if units.len() < 2 * CHARACTERS_MAX {
                match step {
                    2 => units.extend_from_slice(octets),
                    _ => units.extend(octets.iter().flat_map(|octet| [*octet, 0])),
                }
            }
            self.at += now * step;
            count -= now;
        }
        text.line(&units, "utf-16le");
        self.skip(behind)
    }
}
