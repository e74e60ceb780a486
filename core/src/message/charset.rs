//! Octets to UTF-8 by a declared charset, or by a guess where that is missing or wrong.
//!
//! The tables are those of `encoding_rs`; here are only the labels that mailers really write
//! (Python's spelling, vendors' names) and the shift sequences of ISO-2022-JP's relatives, which
//! are turned into EUC-JP and decoded from there.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_1252, X_MAC_CYRILLIC,
};
use mail_parser::decoders::charsets::map::charset_decoder;

/// Text and how it was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The text.
    pub text: String,
    /// The declared charset is unknown, or the octets are not in it.
    pub guessed: bool,
}

/// Longest label that is looked up.
const LABEL_BYTES_MAX: usize = 40;

/// Decodes `octets` declared as `label` (any case; empty: not declared). Never fails: what does not
/// fit becomes U+FFFD, and an unknown label is answered by a guess.
#[must_use]
pub fn decode_charset(octets: &[u8], label: &str) -> Decoded {
    let label = plain_label(label);
    if label.is_empty() || label == "us-ascii" || label == "ascii" || label == "utf-8" {
        return match simdutf8::basic::from_utf8(octets) {
            Ok(text) if !has_iso2022_shift(octets) => {
                Decoded { text: text.to_owned(), guessed: false }
            }
            _ => guess(octets),
        };
    }
    if label.starts_with("iso-2022-jp") || label == "csiso2022jp" {
        return decode_iso2022jp(octets);
    }
    if let Some(encoding) = encoding_of(&label) {
        let (text, _, errors) = encoding.decode(octets);
        if errors && encoding != UTF_8 && simdutf8::basic::from_utf8(octets).is_ok() {
            return guess(octets);
        }
        if errors && encoding == UTF_8 {
            return guess(octets);
        }
        return Decoded { text: text.into_owned(), guessed: errors };
    }
    match rare_decoder(&label) {
        Some(decode) => Decoded { text: decode(octets), guessed: false },
        None => guess(octets),
    }
}

/// Whether `label` names a charset that is read here. Nothing declared is as good as known: it is US-ASCII (RFC 2046
/// section 4.1.2) and looked at for what else it may be.
#[must_use]
pub fn is_known_charset(label: &str) -> bool {
    let label = plain_label(label);
    let common = ["", "us-ascii", "ascii", "utf-8", "csiso2022jp"];
    common.contains(&label.as_str())
        || label.starts_with("iso-2022-jp")
        || encoding_of(&label).is_some()
        || rare_decoder(&label).is_some()
}

/// A few that a browser does not know (UTF-7, the DOS code pages). Those that it knows and refuses (HZ) are guessed: with
/// some features, `mail-parser` would give one U+FFFD for all of the text.
fn rare_decoder(label: &str) -> Option<fn(&[u8]) -> String> {
    let refused = Encoding::for_label(label.as_bytes()).is_some();
    charset_decoder(label.as_bytes()).filter(|_| !refused)
}

/// Lower case, `_` as `-`, without quotes, blanks and an RFC 2231 language.
fn plain_label(label: &str) -> String {
    label
        .trim_matches(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'')
        .chars()
        .take(LABEL_BYTES_MAX)
        .map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}

/// The encoding that a declared charset means; `None`: unknown, or none that text can be written in.
#[must_use]
pub fn encoding(label: &str) -> Option<&'static Encoding> {
    let label = plain_label(label);
    // Later parts of ISO 2022-JP add sets to it; what is written in the first is right in all of them.
    match label.starts_with("iso-2022-jp") || label.starts_with("csiso2022jp") || label == "cp50221"
    {
        true => Some(encoding_rs::ISO_2022_JP),
        false => encoding_of(&label),
    }
}

/// The encoding for a label in [`plain_label`]'s form.
fn encoding_of(label: &str) -> Option<&'static Encoding> {
    let known = match label {
        "cp932" | "ms932" | "windows-932" | "shift-jis" | "s-jis" | "shiftjis"
        | "shift-jisx0213" | "shift-jis-2004" | "sjis-win" | "ms-kanji" => Some(SHIFT_JIS),
        "euc-jp" | "eucjp" | "ujis" | "u-jis" | "eucjp-ms" | "eucjp-win" | "euc-jisx0213"
        | "euc-jis-2004" | "cp51932" => Some(EUC_JP),
        "cp936" | "euc-cn" | "euccn" | "gb-2312" | "gb2312-80" => Some(GBK),
        "cp950" | "big5-hkscs" | "big5hkscs" | "hkscs" => Some(BIG5),
        "cp949" | "uhc" | "ms949" | "euckr" | "ks-c-5601-1987" | "ks-c-5601" => Some(EUC_KR),
        "latin1" | "latin-1" | "l1" | "iso8859-1" | "ansi" => Some(WINDOWS_1252),
        "mac-cyrillic" | "mac-ukrainian" | "maccyrillic" => Some(X_MAC_CYRILLIC),
        _ => None,
    };
    if known.is_some() {
        return known;
    }
    let found = Encoding::for_label(label.as_bytes()).or_else(|| {
        // Python spells `iso8859_5`, `cp1251`, `koi8_r`, `mac_cyrillic`.
        if let Some(number) = label.strip_prefix("iso8859-") {
            Encoding::for_label(format!("iso-8859-{number}").as_bytes())
        } else if let Some(number) = label.strip_prefix("cp") {
            Encoding::for_label(format!("windows-{number}").as_bytes())
        } else {
            Encoding::for_label(label.replace('-', "").as_bytes())
        }
    })?;
    // The "replacement" encoding (hz, iso-2022-kr) turns a whole text into one character: a
    // browser's safety, a scanner's blindness.
    (found != encoding_rs::REPLACEMENT).then_some(found)
}

/// Without a usable label: UTF-8 if it is, a Japanese encoding if it fits without an error and
/// shows kana or common kanji, else windows-1252, which takes anything.
fn guess(octets: &[u8]) -> Decoded {
    if has_iso2022_shift(octets) {
        return Decoded { guessed: true, ..decode_iso2022jp(octets) };
    }
    if let Ok(text) = simdutf8::basic::from_utf8(octets) {
        return Decoded { text: text.to_owned(), guessed: true };
    }
    let mut best: Option<(u64, String)> = None;
    for encoding in [EUC_JP, SHIFT_JIS, GBK] {
        let (text, _, errors) = encoding.decode(octets);
        if errors {
            continue;
        }
        let score = japanese_score(&text);
        if score > 0 && best.as_ref().is_none_or(|(other, _)| score > *other) {
            best = Some((score, text.into_owned()));
        }
    }
    let text = match best {
        Some((_, text)) => text,
        None => lossy(octets),
    };
    Decoded { text, guessed: true }
}

/// UTF-8 with a few broken octets stays UTF-8; anything else is read as windows-1252.
fn lossy(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let broken = text.chars().filter(|&c| c == char::REPLACEMENT_CHARACTER).count();
    let wide = text.chars().filter(|&c| !c.is_ascii()).count();
    if broken * 4 <= wide { text.into_owned() } else { WINDOWS_1252.decode(octets).0.into_owned() }
}

/// Kana count much; half-width kana and rare characters, which a wrong encoding produces, little. Characters that stand
/// alone among letters count against it: they are what an apostrophe (`It’s`) or an umlaut of windows-1252 becomes
/// together with the letter behind it.
fn japanese_score(text: &str) -> u64 {
    let (mut good, mut all) = (0_u64, 0_u64);
    let (mut alone, mut wide) = (0_u64, 0_u64);
    let mut rest = text.chars().peekable();
    let mut before_is_wide = false;
    while let Some(c) = rest.next() {
        let is_wide = !c.is_ascii();
        if is_wide {
            wide += 1;
            alone += u64::from(!before_is_wide && rest.peek().is_none_or(char::is_ascii));
        }
        before_is_wide = is_wide;
    }
    if alone * 2 > wide {
        return 0;
    }
    for c in text.chars().filter(|c| !c.is_ascii()) {
        all += 4;
        good += match u32::from(c) {
            0x3041..=0x30FE | 0x3001..=0x3002 => 4,
            0x4E00..=0x9FFF => 2,
            _ => 0,
        };
    }
    if good * 2 >= all { good } else { 0 }
}

/// ESC $ or ESC ( : the shift sequences of ISO-2022.
fn has_iso2022_shift(octets: &[u8]) -> bool {
    memchr::memchr_iter(0x1B, octets).any(|at| matches!(octets.get(at + 1), Some(b'$' | b'(')))
}

/// The character set that ISO-2022's shift sequences chose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shifted {
    Ascii,
    Kana,
    Kanji,
    Supplement,
    Chinese,
    Korean,
}

impl Shifted {
    /// The set that the octets after ESC choose, and how many octets say so.
    fn chosen(after: &[u8]) -> Option<(Self, usize)> {
        match after {
            [b'(', b'B' | b'J' | b'H', ..] => Some((Self::Ascii, 2)),
            [b'(', b'I', ..] => Some((Self::Kana, 2)),
            [b'$', b'(', b'D', ..] => Some((Self::Supplement, 3)),
            [b'$', b'(', b'C', ..] => Some((Self::Korean, 3)),
            [b'$', b'(', _, ..] => Some((Self::Kanji, 3)),
            [b'$', b'A', ..] => Some((Self::Chinese, 2)),
            [b'$', b'@' | b'B', ..] => Some((Self::Kanji, 2)),
            [b'&', b'@', ..] => Some((Self::Kanji, 2)),
            _ => None,
        }
    }

    /// The encoding that its octets, with the high bit set, belong to.
    fn carrier(self) -> &'static Encoding {
        match self {
            Self::Ascii | Self::Kana | Self::Kanji | Self::Supplement => EUC_JP,
            Self::Chinese => GBK,
            Self::Korean => EUC_KR,
        }
    }
}

/// ISO-2022-JP with what is found in the field: -1, -2, -MS and 2004 sets, half-width kana by ESC,
/// by SO/SI or as bare 8-bit octets, a line that ends without shifting back.
fn decode_iso2022jp(octets: &[u8]) -> Decoded {
    let mut text = String::with_capacity(octets.len());
    let mut run = Vec::with_capacity(octets.len());
    let mut guessed = false;
    let (mut set, mut carrier, mut shift_out) = (Shifted::Ascii, EUC_JP, false);
    let mut flush = |run: &mut Vec<u8>, carrier: &'static Encoding| {
        let (decoded, _, errors) = carrier.decode(run);
        guessed |= errors;
        text.push_str(&decoded);
        run.clear();
    };
    let mut rest = octets;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            0x1B => {
                if let Some((chosen, bytes)) = Shifted::chosen(after) {
                    set = chosen;
                    rest = after.get(bytes..).unwrap_or_default();
                    if set.carrier() != carrier {
                        flush(&mut run, carrier);
                        carrier = set.carrier();
                    }
                }
            }
            0x0E => shift_out = true,
            0x0F => shift_out = false,
            b'\r' | b'\n' => {
                set = Shifted::Ascii;
                shift_out = false;
                run.push(octet);
            }
            0x21..=0x7E => match (set, shift_out) {
                (Shifted::Ascii, false) => run.push(octet),
                (Shifted::Ascii | Shifted::Kana, _) => run.extend([0x8E, octet | 0x80]),
                (Shifted::Supplement, _) => {
                    run.extend([0x8F, octet | 0x80]);
                    rest = second_octet(&mut run, rest);
                }
                (Shifted::Kanji | Shifted::Chinese | Shifted::Korean, _) => {
                    run.push(octet | 0x80);
                    rest = second_octet(&mut run, rest);
                }
            },
            0xA1..=0xDF if matches!(set, Shifted::Ascii | Shifted::Kana) => {
                run.extend([0x8E, octet]);
            }
            _ => run.push(octet),
        }
    }
    flush(&mut run, carrier);
    Decoded { text, guessed }
}

/// Moves the second octet of a two-octet character, if it is one.
fn second_octet<'o>(run: &mut Vec<u8>, rest: &'o [u8]) -> &'o [u8] {
    match rest.split_first() {
        Some((&octet @ 0x21..=0x7E, after)) => {
            run.push(octet | 0x80);
            after
        }
        _ => rest,
    }
}
