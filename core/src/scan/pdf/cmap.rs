//! What codes of a font mean: `ToUnicode` maps of the file, and the encodings that are known by name. ISO 32000-1 section 9.10.

use crate::message::decode_charset;

use super::token::{Token, Tokens};

/// Entries of one map; there are no more characters in a font.
const ENTRIES_MAX: usize = 70_000;
/// Characters that one code stands for.
const CHARACTERS_MAX: usize = 16;

/// A map from codes to characters.
#[derive(Debug, Default)]
pub(super) struct CMap {
    /// First and last code, and what the first stands for; in order.
    entries: Vec<(u32, u32, Vec<u16>)>,
    /// Octets of a code, where the map says it of all codes.
    pub(super) width: Option<usize>,
    room: usize,
}

impl CMap {
    /// Whether octets are such a map.
    pub(super) fn is(content: &[u8]) -> bool {
        memchr::memmem::find(content, b"beginbf").is_some()
    }

    /// `entries_max`: of which there are less than a map may have if a file has many.
    pub(super) fn read(content: &[u8], entries_max: usize) -> Self {
        let mut map = Self { room: entries_max.min(ENTRIES_MAX), ..Self::default() };
        let mut operands: Vec<Token> = Vec::new();
        let mut widths: Vec<usize> = Vec::new();
        for token in Tokens::new(content) {
            match &token {
                Token::Word(word) => {
                    match word.as_slice() {
                        b"endcodespacerange" => widths.extend(strings(&operands).map(<[u8]>::len)),
                        b"endbfchar" => map.characters(&operands),
                        b"endbfrange" => map.ranges(&operands),
                        _ => {}
                    }
                    operands.clear();
                }
                _ if operands.len() < 4 * ENTRIES_MAX => operands.push(token),
                _ => {}
            }
        }
        map.entries.sort_by_key(|entry| entry.0);
        let first = widths.first().copied().filter(|width| matches!(width, 1..=4));
        map.width = first.filter(|first| widths.iter().all(|width| width == first));
        map
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn characters(&mut self, operands: &[Token]) {
        let strings: Vec<&[u8]> = strings(operands).collect();
        for pair in strings.chunks_exact(2) {
            if let [from, to] = pair {
                self.add(code(from), code(from), to);
            }
        }
    }

    /// First and last code, then what the first stands for, or a list of what each does.
    fn ranges(&mut self, operands: &[Token]) {
        let mut tokens = operands.iter();
        while let (Some(Token::String(low)), Some(Token::String(high))) =
            (tokens.next(), tokens.next())
        {
            let (low, high) = (code(low), code(high));
            match tokens.next() {
                Some(Token::String(to)) => self.add(low, high, to),
                Some(Token::ArrayOpen) => {
                    let each = tokens.by_ref().take_while(|token| **token != Token::ArrayClose);
                    for (code, to) in (low..=high).zip(each) {
                        if let Token::String(to) = to {
                            self.add(code, code, to);
                        }
                    }
                }
                _ => return,
            }
        }
    }

    fn add(&mut self, low: u32, high: u32, to: &[u8]) {
        if self.entries.len() >= self.room || high < low {
            return;
        }
        let pairs = to.chunks(2).take(CHARACTERS_MAX).map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            [one] => u16::from(*one),
            _ => 0,
        });
        self.entries.push((low, high, pairs.collect()));
    }

    /// Appends what a code stands for; `false` if it stands for nothing.
    fn put(&self, code: u32, out: &mut String) -> bool {
        let behind = self.entries.partition_point(|entry| entry.0 <= code);
        let found = behind.checked_sub(1).and_then(|at| self.entries.get(at));
        let Some((low, _, to)) = found.filter(|(_, high, _)| code <= *high) else { return false };
        let step = u16::try_from(code - low).unwrap_or(0);
        let last = to.len().saturating_sub(1);
        let units = to.iter().enumerate();
        let units = units.map(|(at, unit)| unit.wrapping_add(if at == last { step } else { 0 }));
        let characters = char::decode_utf16(units).map(|c| c.unwrap_or('\u{FFFD}'));
        out.extend(characters.filter(|c| !matches!(c, '\0' | '\u{FFFE}' | '\u{FFFF}')));
        true
    }
}

/// How the strings of a font are read.
#[derive(Debug, Default)]
pub(super) struct Font<'c> {
    /// Codes of more than one octet.
    pub(super) composite: bool,
    /// Name of the encoding, where it has one.
    pub(super) encoding: Vec<u8>,
    pub(super) map: Option<&'c CMap>,
}

impl Font<'_> {
    /// Appends the text of a string.
    pub(super) fn decode(&self, string: &[u8], out: &mut String) {
        let charset = if self.composite { charset_of(&self.encoding) } else { None };
        match (self.map, charset) {
            (Some(map), None) => {
                let width = map.width.unwrap_or(if self.composite { 2 } else { 1 });
                for octets in string.chunks(width) {
                    // A simple font's codes are mostly those of the characters.
                    if !map.put(code(octets), out) && !self.composite {
                        narrow(octets, out);
                    }
                }
            }
            (_, Some(charset)) => out.push_str(&decode_charset(string, charset).text),
            // Numbers of glyphs say nothing without a map.
            (None, None) if self.composite => {}
            (None, None) => narrow(string, out),
        }
    }
}

/// Octets of a font that has an encoding of one octet.
fn narrow(octets: &[u8], out: &mut String) {
    let text = decode_charset(octets, "windows-1252").text;
    out.extend(text.chars().filter(|c| !c.is_control()));
}

/// The charset of an encoding that has a name. ISO 32000-1 table 118.
fn charset_of(encoding: &[u8]) -> Option<&'static str> {
    let begins = |begin: &[u8]| encoding.starts_with(begin);
    let holds = |word: &[u8]| memchr::memmem::find(encoding, word).is_some();
    Some(match encoding {
        _ if begins(b"Identity") => return None,
        _ if holds(b"-UTF16") || holds(b"-UCS2") => "utf-16be",
        _ if holds(b"RKSJ") => "shift_jis",
        b"EUC-H" | b"EUC-V" => "euc-jp",
        _ if begins(b"GBK") || begins(b"GB-EUC") => "gbk",
        _ if begins(b"B5") || begins(b"ETen-B5") || begins(b"HKscs-B5") || begins(b"ETenms-B5") => {
            "big5"
        }
        _ if begins(b"KSC") => "euc-kr",
        _ => return None,
    })
}

fn strings(tokens: &[Token]) -> impl Iterator<Item = &[u8]> {
    tokens.iter().filter_map(|token| match token {
        Token::String(octets) => Some(octets.as_slice()),
        _ => None,
    })
}

/// A code as a number; of more than four octets the last ones.
fn code(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |code, octet| code << 8 | u32::from(*octet))
}
