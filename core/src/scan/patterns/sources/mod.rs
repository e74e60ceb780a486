//! Sources of rules: formats that people already have, and our own.

pub mod clamav;
pub mod spamassassin;
pub mod toml;

use super::error::SourceError;
use super::report::Outcome;
use super::rule::Rule;

/// A rule as its source gives it, and if that already decides what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The rule.
    pub rule: Rule,
    /// Not to be compiled, and why.
    pub outcome: Option<Outcome>,
}

/// What one reader collects over all files of its format.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Rules in order.
    pub drafts: Vec<Draft>,
    /// All lines that cannot be understood.
    pub errors: Vec<SourceError>,
    /// Words that are not taken: word, first `file:line`, how many lines.
    pub unknown: Vec<(String, String, u32)>,
    /// Notes for the report.
    pub notes: Vec<String>,
}

impl Collected {
    fn unknown_word(&mut self, word: &str, file: &str, line: u32) {
        match self.unknown.iter_mut().find(|(known, ..)| known == word) {
            Some((.., count)) => *count += 1,
            None => self.unknown.push((word.to_owned(), format!("{file}:{line}"), 1)),
        }
    }
}

/// Octets of a source as text whose characters stand for octets 0 to 255, so that columns are
/// octets and rules stay byte patterns whatever the file's charset.
pub(super) fn octets_as_text(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

/// An expression over octets in ASCII: the others as `\xHH`.
pub(super) fn ascii_pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.push_str(&format!("\\x{:02x}", u32::from(c) & 0xff));
        }
    }
    out
}

/// Undoes [`octets_as_text`] for text that is shown.
pub(super) fn shown_text(text: &str) -> String {
    let octets: Vec<u8> =
        text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
    String::from_utf8(octets).unwrap_or_else(|_| text.to_owned())
}
