//! Finds names in a text: each name a few words, of letters and digits or of kana and kanji.
//!
//! A text is read octet by octet; where a word or a character begins that no name begins with, which 15 KiB of bits know, it
//! is passed over. An automaton over all names took five times as long: its 9 MB are not in any cache when a mail comes.

use std::ops::Range;

use ahash::AHashMap;
use smallvec::SmallVec;

/// Letters of a word that the bits know it by.
const KEY_LETTERS: usize = 3;
/// Values of a letter there: none, ten digits, 26 letters.
const KEY_BASE: usize = 37;
/// Bits for first characters that are not ASCII: the lower half of their number.
const WIDE_BITS: usize = 1 << 16;

/// Characters of a name of katakana that other words begin with.
const SHORT_CHARS_MAX: usize = 3;

type Places = SmallVec<[u32; 2]>;

/// Names to be found, each with a number.
#[derive(Debug)]
pub(super) struct Names {
    /// Lower case.
    names: Vec<(Box<str>, u16)>,
    /// By the first word in lower case; the longest first.
    words: AHashMap<Box<str>, Places>,
    word_bits: Vec<u64>,
    /// By the first character, where it is not of ASCII; the longest first.
    wide: AHashMap<char, Places>,
    wide_bits: Vec<u64>,
}

impl Names {
    /// `names`: lower case, none empty; each begins with a letter or a digit of some script.
    pub(super) fn new(mut names: Vec<(Box<str>, u16)>) -> Self {
        // The longest first, so that all lists are in that order.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut built = Self {
            names: Vec::new(),
            words: AHashMap::new(),
            word_bits: vec![0; KEY_BASE.pow(3).div_ceil(64)],
            wide: AHashMap::new(),
            wide_bits: vec![0; WIDE_BITS / 64],
        };
        for (place, (name, _)) in (0_u32..).zip(&names) {
            let Some(first) = name.chars().next() else { continue };
            if first.is_ascii() {
                let word = word_at(name);
                set(&mut built.word_bits, key(word.as_bytes()));
                built.words.entry(word.into()).or_default().push(place);
            } else {
                set(&mut built.wide_bits, u32::from(first) as usize % WIDE_BITS);
                built.wide.entry(first).or_default().push(place);
            }
        }
        built.names = names;
        built
    }

    /// The names in `text`, from left to right, the longest where several begin at one place, none inside of another: number
    /// and where. Case of ASCII letters does not matter. ASCII letters and digits beside such a letter of a name make it
    /// another word.
    pub(super) fn find_in<'s>(
        &'s self,
        text: &'s str,
    ) -> impl Iterator<Item = (u16, Range<usize>)> + 's {
        let mut at = 0;
        std::iter::from_fn(move || {
            let octets = text.as_bytes();
            while let Some(octet) = octets.get(at) {
                let from = at;
                let found = if octet.is_ascii_alphanumeric() {
                    let rest = octets.get(at..).unwrap_or_default();
                    let length = rest.iter().take_while(|one| one.is_ascii_alphanumeric()).count();
                    at += length;
                    self.word(text, from, length)
                } else if octet.is_ascii() {
                    at += 1;
                    None
                } else {
                    let first = text.get(at..).and_then(|rest| rest.chars().next());
                    at += first.map_or(1, char::len_utf8);
                    first.and_then(|first| self.character(text, from, first))
                };
                if let Some((number, length)) = found {
                    at = from + length;
                    return Some((number, from..at));
                }
            }
            None
        })
    }

    /// The longest name that begins with the word of `length` octets at `from`.
    fn word(&self, text: &str, from: usize, length: usize) -> Option<(u16, usize)> {
        let word = text.get(from..from + length)?;
        if !is_set(&self.word_bits, key(word.as_bytes())) {
            return None;
        }
        let places = match word.bytes().any(|octet| octet.is_ascii_uppercase()) {
            true => self.words.get(word.to_ascii_lowercase().as_str()),
            false => self.words.get(word),
        };
        self.longest(places?, text.get(from..)?)
    }

    /// The longest name that begins with the character at `from`.
    fn character(&self, text: &str, from: usize, first: char) -> Option<(u16, usize)> {
        if !is_set(&self.wide_bits, u32::from(first) as usize % WIDE_BITS) {
            return None;
        }
        // `イオン` is not in `ライオン`.
        let before = text.get(..from).and_then(|before| before.chars().next_back());
        if is_katakana(first) && before.is_some_and(is_katakana) {
            return None;
        }
        self.longest(self.wide.get(&first)?, text.get(from..)?)
    }

    /// Number and octets of the first of `places` that `rest` begins with, as words of its own.
    fn longest(&self, places: &Places, rest: &str) -> Option<(u16, usize)> {
        let is_word = |c: char| c.is_ascii_alphanumeric();
        places.iter().filter_map(|place| self.names.get(*place as usize)).find_map(
            |(name, number)| {
                let (head, behind) = rest.split_at_checked(name.len())?;
                let ends = !(name.ends_with(is_word) && behind.starts_with(is_word));
                let whole = ends && head.eq_ignore_ascii_case(name) && !goes_on(name, behind);
                whole.then_some((*number, name.len()))
            },
        )
    }
}

fn is_katakana(c: char) -> bool {
    matches!(c, '\u{30A1}'..='\u{30FA}' | 'ー')
}

/// Whether a short name of katakana is only the beginning of a word: `オリコン`, but not `オリコカード`.
fn goes_on(name: &str, behind: &str) -> bool {
    const WORDS: [&str; 9] = [
        "カード",
        "サービス",
        "センター",
        "オンライン",
        "アカウント",
        "ポイント",
        "メンバー",
        "メール",
        "チーム",
    ];
    behind.starts_with(is_katakana)
        && name.chars().count() <= SHORT_CHARS_MAX
        && name.ends_with(is_katakana)
        && !WORDS.iter().any(|word| behind.starts_with(word))
}

/// The letters and digits of ASCII that `text` begins with.
fn word_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A number for the first letters of a word.
fn key(word: &[u8]) -> usize {
    let value = |octet: Option<&u8>| match octet {
        Some(digit @ b'0'..=b'9') => usize::from(digit - b'0') + 1,
        Some(letter @ b'a'..=b'z') => usize::from(letter - b'a') + 11,
        Some(letter @ b'A'..=b'Z') => usize::from(letter - b'A') + 11,
        _ => 0,
    };
    (0..KEY_LETTERS).fold(0, |key, at| key * KEY_BASE + value(word.get(at)))
}

fn set(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}

fn is_set(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u16, &str)> {
        let names = [
            "line",
            "line pay",
            "amazon",
            "amazon.co.jp",
            "アマゾン",
            "dカード",
            "楽天",
            "楽天カード",
            "y!mobile",
            "7-eleven",
        ];
        let names = (0..).zip(names).map(|(number, name)| (name.into(), number)).collect();
        let names: &'static Names = Box::leak(Box::new(Names::new(names)));
        names.find_in(text).map(|(number, range)| (number, &text[range])).collect()
    }

    #[test]
    fn names_are_found_as_words_the_longest_first_whatever_their_case() {
        assert_eq!(found("Amazon and AMAZON.co.jp."), [(2, "Amazon"), (3, "AMAZON.co.jp")]);
        assert_eq!(found("line pay, Line  pay; lines"), [(1, "line pay"), (0, "Line")]);
        assert_eq!(found("amazon.co.jpx"), [(2, "amazon")]);
        assert_eq!(found("xamazon amazonx amazon2 2amazon"), []);
        assert_eq!(found("y!mobile 7-Eleven"), [(8, "y!mobile"), (9, "7-Eleven")]);
        assert_eq!(found("amazon"), [(2, "amazon")]);
        assert_eq!(found(""), []);
    }

    #[test]
    fn kana_and_kanji_stand_anywhere() {
        assert_eq!(
            found("お楽天カードのdカードとアマゾンで"),
            [(7, "楽天カード"), (5, "dカード"), (4, "アマゾン")]
        );
        assert_eq!(found("楽天Amazon楽天"), [(6, "楽天"), (2, "Amazon"), (6, "楽天")]);
        assert_eq!(found("オアマゾン"), []);
        // Octets that are cut are no character, and nothing is read beyond the end.
        assert_eq!(found("é楽"), []);
    }
}
