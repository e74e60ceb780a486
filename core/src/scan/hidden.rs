//! What a reader does not see: hidden text, invisible characters, letters that only look like others, a picture instead of
//! words, a page and a plain text that have nothing to do with each other.
//!
//! Newsletters hide a preview line and whole blocks for small screens, so hidden text is a small sign by itself.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::LazyLock;

use ahash::AHashSet;
use encoding_rs::{GBK, SHIFT_JIS};
use smallvec::SmallVec;

use super::finding::Finding;
use super::letter::Letter;
use super::signs::{self, add};
use crate::message::{HtmlText, Part, disguised_words, is_invisible, next_octet};

/// Octets of a text that are looked at letter by letter.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Letters that are hidden, for a small and for a large sign.
const HIDDEN_LETTERS_MIN: usize = 300;
const HIDDEN_MOST_LETTERS_MIN: usize = 600;
/// Words with something invisible inside.
const INVISIBLE_MIN: usize = 5;
/// Words with letters of other scripts.
const DISGUISED_MIN: usize = 2;
/// Octets of a text whose scripts are told apart.
const SCRIPTS_BYTES_MAX: usize = 8 * 1024;
/// Kana of a text that is Japanese, and different characters that only Chinese has in it: two may be somebody's name, or the
/// name of the language. A text in both languages has more of them than one for eight kana.
const KANA_MIN: usize = 40;
const SIMPLIFIED_MIN: usize = 3;
/// Letters of a mail that is a picture.
const PICTURE_LETTERS_MAX: usize = 60;
/// Letters of comments that are many.
const COMMENT_LETTERS_MIN: usize = 1_500;
/// Words that are compared, and how few of them say something.
const WORDS_MAX: usize = 300;
const WORDS_MIN: usize = 25;

/// All signs of what is hidden, and of pages that ask for something.
pub(super) fn find(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let parts = || letter.view.parts.iter().filter(|part| part.is_text());
    for part in parts().filter(|part| part.is_shown_as_html()) {
        asks(part, out);
        hides(part.html(), out);
    }
    let attached =
        letter.view.parts.iter().filter(|part| !part.is_shown_as_html() && is_page(part));
    for part in attached.take(1) {
        add(out, &signs::HTML_ATTACHED, part.file_name().unwrap_or_default());
    }
    letters(&letter.view.body().text, out);
    let shown = |part: &Part<'_>| !part.attachment;
    let page = parts().find(|part| shown(part) && part.is_shown_as_html());
    let plain = parts().find(|part| shown(part) && !part.is_shown_as_html());
    if let Some(page) = page {
        picture(page.html(), plain, out);
        if let Some(plain) = plain
            && differ(plain.text(), &page.html().text)
        {
            add(out, &signs::ALTERNATIVES_DIFFER, "");
        }
    }
}

/// A file that opens as a page in a browser.
fn is_page(part: &Part<'_>) -> bool {
    let page = [".html", ".htm", ".shtml", ".xhtml", ".mht", ".svg"];
    part.file_names.iter().any(|name| {
        let name = name.to_ascii_lowercase();
        page.iter().any(|end| name.ends_with(end))
    })
}

/// Fields for passwords, forms, attached pages.
fn asks(part: &Part<'_>, out: &mut Vec<Finding>) {
    let html = part.html();
    let name = part.file_name().unwrap_or_default();
    // A page that is shown in the mail has no name, or is not called an attachment.
    if part.attachment || is_page(part) && !name.is_empty() {
        add(out, &signs::HTML_ATTACHED, name);
        if html.password_input {
            add(out, &signs::PASSWORD_IN_ATTACHMENT, name);
        } else if html.script {
            add(out, &signs::HTML_SCRIPT_ATTACHED, name);
        }
        return;
    }
    if html.password_input {
        add(out, &signs::PASSWORD_IN_MAIL, "");
    } else if !html.forms.is_empty() {
        add(out, &signs::FORM_IN_MAIL, "");
    }
}

fn count(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphanumeric()).count()
}

/// Text and comments that no reader sees.
fn hides(html: &HtmlText, out: &mut Vec<Finding>) {
    let ranges = html.hidden_ranges.iter().filter_map(|range| html.text.get(range.clone()));
    let hidden: usize = ranges.map(count).sum();
    let comments = html.comments.len() >= COMMENT_LETTERS_MIN && !html.comments.contains("[if");
    if hidden < HIDDEN_LETTERS_MIN && !comments {
        return;
    }
    let seen = count(&html.text).saturating_sub(hidden);
    if hidden >= HIDDEN_MOST_LETTERS_MIN && hidden > seen.saturating_mul(2) {
        add(out, &signs::HIDDEN_MOST, &format!("{hidden} of {} letters", hidden + seen));
    } else if hidden >= HIDDEN_LETTERS_MIN && hidden > seen / 2 {
        add(out, &signs::HIDDEN_TEXT, &format!("{hidden} of {} letters", hidden + seen));
    }
    if comments && count(&html.comments) > COMMENT_LETTERS_MIN.max(seen) {
        add(out, &signs::COMMENTS_MOST, "");
    }
}

/// Letters that are not what they look like, or not to be seen.
fn letters(text: &str, out: &mut Vec<Finding>) {
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text);
    if text.is_ascii() {
        return;
    }
    let inside = invisible_inside(text);
    if inside >= INVISIBLE_MIN {
        add(out, &signs::INVISIBLE_IN_WORDS, &format!("{inside} times"));
    }
    let head = text.get(..text.floor_char_boundary(SCRIPTS_BYTES_MAX)).unwrap_or(text);
    let (kana, simplified, kinds) = scripts(head);
    if kana >= KANA_MIN && kinds >= SIMPLIFIED_MIN && simplified * 8 <= kana {
        add(out, &signs::TEXT_SIMPLIFIED, &format!("{simplified} of them"));
    }
    let disguised = disguised_words(text);
    if disguised >= DISGUISED_MIN {
        add(out, &signs::LETTERS_DISGUISED, &format!("{disguised} words"));
    }
}

/// Han characters that are common in China (the first level of GB 2312) and that Shift_JIS does not have.
static SIMPLIFIED: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let only_chinese = |code: u32| {
        let Some(c) = char::from_u32(code) else { return false };
        let mut octets = [0; 4];
        let text = c.encode_utf8(&mut octets);
        let (chinese, _, unknown) = GBK.encode(text);
        let common = matches!(*chinese, [0xB0..=0xD7, 0xA1..=0xFE]) && !unknown;
        common && SHIFT_JIS.encode(text).2
    };
    HAN.map(only_chinese).collect()
});
const HAN: std::ops::RangeInclusive<u32> = 0x4E00..=0x9FFF;

/// Kana of a text, its characters that only Chinese has, and how many different ones (none beyond three are told apart).
fn scripts(text: &str) -> (usize, usize, usize) {
    let (mut kana, mut simplified) = (0, 0);
    let mut kinds: SmallVec<[u32; SIMPLIFIED_MIN]> = SmallVec::new();
    for code in text.chars().map(u32::from) {
        kana += usize::from(matches!(code, 0x3041..=0x30FE));
        let known = HAN.contains(&code).then(|| SIMPLIFIED.get((code - HAN.start()) as usize));
        if known.flatten() == Some(&true) {
            simplified += 1;
            if kinds.len() < SIMPLIFIED_MIN && !kinds.contains(&code) {
                kinds.push(code);
            }
        }
    }
    (kana, simplified, kinds.len())
}

/// Scripts in which nothing invisible belongs between two letters. (It does in Persian, in Indian scripts, in Thai, and
/// the soft hyphen does anywhere.)
fn is_simple(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(u32::from(c), 0x3041..=0x30FE | 0x4E00..=0x9FFF)
}

/// How often something invisible stands between two letters of a word.
fn invisible_inside(text: &str) -> usize {
    // Octets that characters of this kind begin with. Kana begin with E3, as one of them does: that one is asked for first.
    let filler = memchr::memmem::find(text.as_bytes(), "\u{3164}".as_bytes()).is_some();
    let is_lead = |octet: u8| {
        matches!(octet, 0xC2 | 0xCD | 0xD8 | 0xE1 | 0xE2 | 0xEF | 0xF0 | 0xF3)
            || filler && octet == 0xE3
    };
    let hides = |c: char| is_invisible(c) && c != '\u{AD}';
    let (mut found, mut from) = (0, 0);
    while let Some(at) = next_octet(text, from, is_lead) {
        let (before, behind) = text.split_at_checked(at).unwrap_or((text, ""));
        let Some(c) = behind.chars().next() else { break };
        from = at + c.len_utf8();
        if hides(c) {
            let rest = behind.trim_start_matches(hides);
            let inside = before.chars().next_back().is_some_and(is_simple)
                && rest.chars().next().is_some_and(is_simple);
            found += usize::from(inside);
            from = text.len() - rest.len();
        }
    }
    found
}

/// A picture to click and hardly a word.
fn picture(html: &HtmlText, plain: Option<&Part<'_>>, out: &mut Vec<Finding>) {
    if html.images == 0 || html.anchors.is_empty() || html.text.len() > 4096 {
        return;
    }
    let few = |text: &str| {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        letters.take(PICTURE_LETTERS_MAX + 1).count() <= PICTURE_LETTERS_MAX
    };
    if few(&html.text) && plain.is_none_or(|plain| few(plain.text())) {
        add(out, &signs::PICTURE_ONLY, "");
    }
}

/// Has a scheme.
fn is_address(word: &str) -> bool {
    word.as_bytes().array_windows().any(|three| three == b"://")
}

/// Whether two texts that should say the same have hardly a word in common.
fn differ(plain: &str, page: &str) -> bool {
    // Two words of one hash in common are a word too many in common: the careful side.
    let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let words = |text: &str| -> AHashSet<u64> {
        let words = text.split_whitespace().filter(|word| !is_address(word));
        let words = words.flat_map(|word| word.split(|c: char| !c.is_alphanumeric()));
        let words = words.filter(|word| word.chars().nth(3).is_some()).take(WORDS_MAX);
        let hash = |word: &str| {
            let mut hasher = state.build_hasher();
            word.bytes().for_each(|octet| hasher.write_u8(octet.to_ascii_lowercase()));
            hasher.finish()
        };
        words.map(hash).collect()
    };
    let (plain, page) = (words(plain), words(page));
    if plain.len() < WORDS_MIN || page.len() < WORDS_MIN {
        return false;
    }
    let common = plain.iter().filter(|word| page.contains(*word)).count();
    common * 12 < plain.len().min(page.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_count_between_letters_of_scripts_that_need_none() {
        for (text, expected) in [
            ("ア\u{200B}マ\u{200B}ゾン", 2),
            ("pay\u{200C}\u{200D}pal", 1),
            ("in\u{AD}visible", 0),
            ("می\u{200C}خواهم", 0),
            ("👩\u{200D}💻 x", 0),
            ("\u{200B}word \u{200B}word\u{200B}", 0),
            ("a\u{AD}\u{200B}b", 0),
            ("漢\u{E0041}字\u{FE0F}と\u{3164}か", 3),
        ] {
            assert_eq!(invisible_inside(text), expected, "{text:?}");
        }
        for c in (0x80..=0xF_FFFF).filter_map(char::from_u32).filter(|c| is_invisible(*c)) {
            let text = format!("a{c}b");
            assert_eq!(invisible_inside(&text), usize::from(c != '\u{AD}'), "{c:?}");
        }
    }
}
