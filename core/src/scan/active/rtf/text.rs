//! The text of rich text, for rules about words: octets of the code page of their font, characters by number, without the
//! tables and pictures around them.

use std::collections::HashMap;

use crate::message::decode_charset;

/// Octets of text of one document.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Fonts of one document.
const FONTS_MAX: usize = 10_000;
/// Destinations that hold no text. What is marked as one that need not be known holds none either.
const HIDDEN: &[&[u8]] = &[
    b"fonttbl",
    b"colortbl",
    b"stylesheet",
    b"info",
    b"pict",
    b"listtable",
    b"listoverridetable",
    b"revtbl",
    b"rsidtbl",
    b"filetbl",
    b"generator",
    b"themedata",
    b"datastore",
    b"latentstyles",
    b"xmlnstbl",
    b"objdata",
    b"fldinst",
    b"template",
    b"objclass",
    b"bkmkstart",
    b"bkmkend",
];

/// What a group changes, until it ends.
#[derive(Clone, Copy, Default)]
struct Style {
    font: i32,
    /// Characters behind one by number that stand for it where numbers are not known.
    substitutes: usize,
    hidden: bool,
    fonts: bool,
}

/// The text so far.
pub(super) struct Text {
    out: String,
    /// Octets of one charset that are not decoded yet.
    octets: Vec<u8>,
    /// Half of a pair by number.
    high: Option<u16>,
    page: &'static str,
    pages: HashMap<i32, &'static str>,
    styles: Vec<Style>,
    /// Substitutes that are still to be passed over.
    skip: usize,
}

impl Text {
    pub(super) fn new() -> Self {
        let first = Style { substitutes: 1, ..Style::default() };
        Self {
            out: String::new(),
            octets: Vec::new(),
            high: None,
            page: "windows-1252",
            pages: HashMap::new(),
            styles: vec![first],
            skip: 0,
        }
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    fn change(&mut self, change: impl FnOnce(&mut Style)) {
        if let Some(style) = self.styles.last_mut() {
            change(style);
        }
    }

    pub(super) fn open(&mut self) {
        self.styles.push(self.style());
        self.skip = 0;
    }

    pub(super) fn close(&mut self) {
        self.flush();
        self.skip = 0;
        if self.styles.len() > 1 {
            self.styles.pop();
        }
    }

    pub(super) fn octet(&mut self, octet: u8) {
        if matches!(octet, b'\r' | b'\n') {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
        } else if !self.style().hidden {
            self.high = None;
            self.octets.push(octet);
            if self.octets.len() >= TEXT_BYTES_MAX {
                self.flush();
            }
        }
    }

    /// `~`, `-`, `_` and the like behind a backslash.
    pub(super) fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'~' => self.octet(b' '),
            b'_' => self.octet(b'-'),
            b'\\' | b'{' | b'}' => self.octet(symbol),
            b'*' => self.change(|style| style.hidden = true),
            b'\r' | b'\n' => self.end_line(),
            _ => {}
        }
    }

    pub(super) fn word(&mut self, word: &[u8], number: Option<i32>) {
        match word {
            _ if HIDDEN.contains(&word) => self.change(|style| {
                style.hidden = true;
                style.fonts |= word == b"fonttbl";
            }),
            b"ansicpg" => self.page = page(number.unwrap_or(0)).unwrap_or(self.page),
            b"f" | b"af" if self.style().fonts || word == b"f" => {
                self.flush();
                self.change(|style| style.font = number.unwrap_or(0));
            }
            b"fcharset" if self.style().fonts && self.pages.len() < FONTS_MAX => {
                if let Some(page) = charset(number.unwrap_or(0)) {
                    self.pages.insert(self.style().font, page);
                }
            }
            b"uc" => {
                let count = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
                self.change(|style| style.substitutes = count.min(16));
            }
            b"u" => self.character(number.unwrap_or(0)),
            b"par" | b"line" | b"cell" | b"row" | b"sect" | b"page" | b"column" => self.end_line(),
            b"tab" | b"emspace" | b"enspace" => self.octet(b' '),
            b"lquote" | b"rquote" => self.octet(b'\''),
            b"ldblquote" | b"rdblquote" => self.octet(b'"'),
            b"emdash" | b"endash" => self.octet(b'-'),
            _ => {}
        }
    }

    fn end_line(&mut self) {
        self.flush();
        if !self.style().hidden && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    /// A character by its number, which may be negative: 16 bits with a sign.
    fn character(&mut self, number: i32) {
        self.skip = self.style().substitutes;
        if self.style().hidden || self.out.len() >= TEXT_BYTES_MAX {
            return;
        }
        self.flush();
        let unit = number.rem_euclid(0x1_0000);
        let unit = u16::try_from(unit).unwrap_or(0);
        let pair = self.high.take().into_iter().chain([unit]);
        for c in char::decode_utf16(pair) {
            match c {
                Ok(c) => self.out.push(c),
                Err(_) if (0xD800..0xDC00).contains(&unit) => self.high = Some(unit),
                Err(_) => {}
            }
        }
    }

    fn flush(&mut self) {
        if self.octets.is_empty() {
            return;
        }
        let page = self.pages.get(&self.style().font).copied().unwrap_or(self.page);
        let octets = std::mem::take(&mut self.octets);
        if self.out.len() < TEXT_BYTES_MAX {
            self.out.push_str(&decode_charset(&octets, page).text);
        }
    }

    pub(super) fn take(mut self) -> String {
        self.flush();
        self.out
    }
}

/// The charset of a code page of Windows.
fn page(number: i32) -> Option<&'static str> {
    Some(match number {
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        874 => "windows-874",
        1250 => "windows-1250",
        1251 => "windows-1251",
        1252 => "windows-1252",
        1253 => "windows-1253",
        1254 => "windows-1254",
        1255 => "windows-1255",
        1256 => "windows-1256",
        1257 => "windows-1257",
        1258 => "windows-1258",
        10_000 => "macintosh",
        65_001 => "utf-8",
        _ => return None,
    })
}

/// The charset of a font; none where it says nothing.
fn charset(number: i32) -> Option<&'static str> {
    let number = match number {
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    page(number)
}
