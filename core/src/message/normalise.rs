//! Texts without disguises: one way to write each character, and none that only looks like another.

use unicode_normalization::UnicodeNormalization as _;

/// Appends `text` to `out` in NFKC, confusable letters folded, invisible characters removed.
///
/// A word is folded to Latin letters only if it mixes them with look-alikes of other scripts or
/// consists of look-alikes alone: Russian and Greek text stays what it is.
pub fn normalise(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.find(|c| !is_plain(c)) {
        let from = rest.get(..at).and_then(|before| before.rfind(is_between)).unwrap_or(0);
        let to = rest.get(at..).and_then(|after| after.find(is_between));
        let to = to.map_or(rest.len(), |found| at + found);
        out.push_str(rest.get(..from).unwrap_or_default());
        normalise_words(rest.get(from..to).unwrap_or_default(), out);
        rest = rest.get(to..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// Characters of which a text is its own normal form, as long as there are no others: most of what is written in Japan
/// and in Europe. No letter of them is a look-alike, none is invisible, and no two of them make another.
fn is_plain(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x7F | 0xC0..=0xFF | 0x3001..=0x3002 | 0x3005..=0x3007 | 0x300C..=0x3011 | 0x3041..=0x3096
        | 0x30A1..=0x30FE | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3)
}

/// Plain ones that are not of a word and that no mark behind them changes: what is on one side of it says nothing about
/// the other.
fn is_between(c: char) -> bool {
    match c {
        // With a stroke through it, another sign.
        '<' | '=' | '>' => false,
        '、' | '。' | '「' | '」' | '『' | '』' | '【' | '】' | '・' => true,
        _ => c.is_ascii() && !c.is_ascii_alphanumeric(),
    }
}

fn normalise_words(text: &str, out: &mut String) {
    let plain: String = text.chars().filter(|&c| !is_invisible(c)).nfkc().collect();
    for word in plain.split_inclusive(|c: char| !c.is_alphanumeric()) {
        if !word.is_ascii() && is_disguised(word) {
            out.extend(word.chars().map(|c| look_alike(c).unwrap_or(c)));
        } else {
            out.push_str(word);
        }
    }
}

/// Words of `text` in which letters of other scripts pass for Latin ones beside real ones (`pаypal` with a Cyrillic a).
/// Words of look-alikes alone may be Russian or Greek and do not count.
#[must_use]
pub fn disguised_words(text: &str) -> usize {
    let (mut found, mut from) = (0, 0);
    // From one look-alike to the next: in most texts of other scripts there is none.
    while let Some(at) = next_octet(text, from, |octet| matches!(octet, 0xC4 | 0xC9 | 0xCE..=0xD6))
    {
        let (before, behind) = text.split_at_checked(at).unwrap_or((text, ""));
        let Some(c) = behind.chars().next() else { break };
        from = at + c.len_utf8();
        if look_alike(c).is_none() {
            continue;
        }
        let is_letter = char::is_alphanumeric;
        let head = before.len() - before.trim_end_matches(is_letter).len();
        let tail = behind.find(|c| !is_letter(c)).unwrap_or(behind.len());
        let word = text.get(at - head..at + tail).unwrap_or_default();
        found +=
            usize::from(word.contains(|c: char| c.is_ascii_alphabetic()) && is_disguised(word));
        from = at + tail;
    }
    found
}

/// Where the next octet is, from `from` on, that `is` one of those looked for. Blocks without one take an instruction or
/// two for each octet.
#[must_use]
pub fn next_octet(text: &str, from: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = from;
    for block in text.as_bytes().get(from..)?.chunks(64) {
        if block.iter().fold(false, |any, octet| any | is(*octet)) {
            return block.iter().position(|octet| is(*octet)).map(|inside| at + inside);
        }
        at += block.len();
    }
    None
}

/// The word reads as Latin although not all of it is.
fn is_disguised(word: &str) -> bool {
    let (mut foreign, mut latin, mut alike) = (0_usize, 0_usize, 0_usize);
    for c in word.chars().filter(|c| c.is_alphabetic()) {
        if look_alike(c).is_some() {
            alike += 1;
        } else if c.is_ascii() {
            latin += 1;
        } else {
            foreign += 1;
        }
    }
    alike > 0 && (latin > 0 || foreign == 0)
}

/// Characters that take no room or only steer others (Unicode: default ignorable, soft hyphen,
/// bidirectional controls, variation selectors, tags).
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
        | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F
        | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

/// The Latin letter that a letter of another script looks like. After Unicode TR 39, the part of it
/// that phishing uses.
fn look_alike(c: char) -> Option<char> {
    Some(match c {
        'а' | 'α' => 'a',
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'с' | 'ϲ' => 'c',
        'С' | 'Ϲ' => 'C',
        'ԁ' => 'd',
        'е' | 'ҽ' => 'e',
        'Е' | 'Ε' => 'E',
        'ɡ' => 'g',
        'һ' => 'h',
        'Н' | 'Η' => 'H',
        'і' | 'ι' | 'ı' => 'i',
        'І' | 'Ι' => 'I',
        'ј' => 'j',
        'Ј' => 'J',
        'К' | 'Κ' => 'K',
        'ӏ' => 'l',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'о' | 'ο' | 'օ' => 'o',
        'О' | 'Ο' | 'Օ' => 'O',
        'р' | 'ρ' => 'p',
        'Р' | 'Ρ' => 'P',
        'ԛ' => 'q',
        'ѕ' => 's',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'Х' | 'Χ' => 'X',
        'у' | 'γ' => 'y',
        'У' | 'Υ' => 'Y',
        'Ζ' => 'Z',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguised_words_are_counted_wherever_they_stand() {
        for (text, expected) in [
            ("p\u{430}ypal", 1),
            ("漢字p\u{430}ypal、p\u{430}y と \u{456}Tunes", 3),
            ("пример и пример", 0),
            ("ΑΒΓ abc \u{3B1}bc", 1),
            ("\u{131}stanbul istanbul", 1),
            ("plain", 0),
            ("", 0),
        ] {
            assert_eq!(disguised_words(text), expected, "{text}");
        }
        let long = format!("{} \u{430}pple {}", "あ".repeat(200), "x".repeat(200));
        assert_eq!(disguised_words(&long), 1);
        // Whatever `look_alike` knows is looked for.
        for c in (0x80..=0x2_FFFF).filter_map(char::from_u32).filter(|c| look_alike(*c).is_some()) {
            let lead = c.to_string().as_bytes()[0];
            assert!(matches!(lead, 0xC4 | 0xC9 | 0xCE..=0xD6), "{c:?}");
        }
    }

    fn both(text: &str) -> (String, String) {
        let (mut quick, mut slow) = (String::new(), String::new());
        normalise(text, &mut quick);
        normalise_words(text, &mut slow);
        (quick, slow)
    }

    #[test]
    fn what_is_plain_is_its_own_normal_form_beside_whatever_is_plain() {
        let plain: Vec<char> =
            (0..=0x2_FFFF).filter_map(char::from_u32).filter(|c| is_plain(*c)).collect();
        let mut out = String::new();
        for c in &plain {
            assert!(!is_invisible(*c) && look_alike(*c).is_none(), "{c:?}");
            for before in ['a', 'か', '=', '가', 'é', '漢', 'ー'] {
                let text: String = [before, *c].iter().collect();
                out.clear();
                normalise_words(&text, &mut out);
                assert_eq!(out, text);
            }
        }
    }

    #[test]
    fn nothing_behind_changes_what_stands_between_words() {
        let between: Vec<char> =
            (0..=0x3_0FFF).filter_map(char::from_u32).filter(|c| is_between(*c)).collect();
        assert!(between.len() > 60);
        for c in between {
            assert!(is_plain(c) && !c.is_alphanumeric(), "{c:?}");
            for mark in (0x300..0x370)
                .chain([0x3099, 0x309A, 0x20D2, 0xFE0F, 0x1161, 0x11A8])
                .filter_map(char::from_u32)
            {
                let (quick, slow) = both(&format!("p\u{430}y{c}{mark}p\u{430}y"));
                assert_eq!(quick, slow, "{c:?} {mark:?}");
            }
        }
    }

    #[test]
    fn parts_of_a_text_come_to_the_same_as_all_of_it() {
        let pool: Vec<char> = "a Zé=<>、。「ー・かがカ漢한가\u{3099}\u{309A}\u{301}\u{338}\u{327}\u{11A8}\u{1161}ﾃﾞＡ！　①ﬁаеоsпри\u{200B}\u{AD}\n-_9"
            .chars()
            .collect();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let text: String = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    pool[(state >> 33) as usize % pool.len()]
                })
                .collect();
            let (quick, slow) = both(&text);
            assert_eq!(quick, slow, "{text:?}");
        }
    }
}
