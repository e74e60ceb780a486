//! Features of text, links and structure.

use std::borrow::Cow;

use super::features::{Gather, Hashed, Place};
use crate::message::{Part, PartOrigin, View, normalise};

/// Octets of the text that are read. What a reader sees first, and enough to tell what it is.
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// Characters of a word; of a longer one only its head and its length are a feature.
const WORD_CHARS_MAX: usize = 24;
/// Links that are looked at.
const LINKS_MAX: usize = 40;
/// Words of the path of one link.
const PATH_WORDS_MAX: usize = 8;
/// Tags that are looked at.
const TAGS_MAX: usize = 300;
/// Octets of HTML that are read for tags.
const MARKUP_BYTES_MAX: usize = 32 * 1024;
/// Parts that are looked at.
const PARTS_MAX: usize = 20;

/// Cuts text into words, pairs of words, and character grams where a script has no spaces.
pub(super) struct Words {
    place: Place,
    pairs: bool,
    word: String,
    chars: usize,
    digits: bool,
    last: Hashed,
    before: Hashed,
    now: Hashed,
    grams: [Option<char>; 2],
}

impl Words {
    /// Of the visible text.
    pub(super) fn of_text() -> Self {
        Self::at(Place::Word, true)
    }

    /// At another place, without pairs.
    pub(super) fn single(place: Place) -> Self {
        Self::at(place, false)
    }

    fn at(place: Place, pairs: bool) -> Self {
        Self {
            place,
            pairs,
            word: String::with_capacity(64),
            chars: 0,
            digits: false,
            last: Hashed::default(),
            before: Hashed::default(),
            now: Hashed::default(),
            grams: [None, None],
        }
    }

    /// Takes the words of `text`; it ends a word.
    pub(super) fn take(&mut self, text: &str, out: &mut impl Gather) {
        for c in text.chars() {
            if c.is_ascii() {
                if c.is_ascii_alphanumeric() || matches!(c, '\'' | '$' | '!' | '-' | '%') {
                    self.letter(c.to_ascii_lowercase());
                } else {
                    self.end(out);
                }
                self.grams = [None, None];
            } else if is_without_spaces(c) {
                self.end(out);
                self.gram(c, out);
            } else if c.is_alphanumeric() {
                c.to_lowercase().for_each(|c| self.letter(c));
                self.grams = [None, None];
            } else {
                self.end(out);
                // The long vowel mark and the like belong to their neighbours; punctuation does not.
                self.grams = [None, None];
            }
        }
        self.end(out);
        self.grams = [None, None];
    }

    fn letter(&mut self, c: char) {
        self.chars += 1;
        if self.chars <= WORD_CHARS_MAX {
            self.digits |= c.is_ascii_digit();
            // Numbers differ from mail to mail; that there is one, and how long it is, does not.
            self.word.push(if c.is_ascii_digit() { '0' } else { c });
        }
    }

    fn end(&mut self, out: &mut impl Gather) {
        if self.chars == 0 {
            return;
        }
        if self.chars > WORD_CHARS_MAX {
            let keep = self.word.char_indices().nth(4).map_or(self.word.len(), |(at, _)| at);
            self.word.truncate(keep);
            let tens = (self.chars / 10).min(9);
            self.word.push_str(
                ["", "", "..20", "..30", "..40", "..50", "..60", "..70", "..80", "..90"]
                    .get(tens)
                    .copied()
                    .unwrap_or_default(),
            );
        }
        let word = self.word.trim_matches(|c| matches!(c, '\'' | '-'));
        if word.len() > 1 || word.starts_with(|c: char| c.is_ascii_digit() || !c.is_ascii()) {
            out.one(self.place, word);
            if self.pairs {
                self.now.set(word);
                if !self.last.is_empty() {
                    out.two(Place::Pair, &self.last, &self.now);
                }
                if !self.before.is_empty() {
                    out.two(Place::Gap, &self.before, &self.now);
                }
                std::mem::swap(&mut self.before, &mut self.last);
                std::mem::swap(&mut self.last, &mut self.now);
            }
        }
        self.word.clear();
        self.chars = 0;
        self.digits = false;
    }

    fn gram(&mut self, c: char, out: &mut impl Gather) {
        let mut buffer = [0_u8; 12];
        let place = if self.place == Place::Word { Place::Gram } else { self.place };
        if let [_, Some(last)] = self.grams {
            out.one(place, join(&mut buffer, &[last, c]));
        }
        if let [Some(first), Some(last)] = self.grams {
            out.one(place, join(&mut buffer, &[first, last, c]));
        }
        self.grams = [self.grams[1], Some(c)];
    }
}

/// Up to three characters as a text, without a place on the heap.
fn join<'b>(buffer: &'b mut [u8; 12], chars: &[char]) -> &'b str {
    let mut end = 0;
    for c in chars {
        if let Some(room) = buffer.get_mut(end..).filter(|room| room.len() >= c.len_utf8()) {
            end += c.encode_utf8(room).len();
        }
    }
    buffer.get(..end).and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default()
}

/// Han, kana, hangul and what is written among them.
fn is_without_spaces(c: char) -> bool {
    matches!(u32::from(c),
        0x3005..=0x3007 | 0x3041..=0x3096 | 0x309D..=0x309F | 0x30A1..=0x30FA | 0x30FC..=0x30FF | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}

/// Letters of Japanese or Chinese after which a mail counts as one of these languages.
const JAPANESE_LETTERS_MIN: usize = 4;

/// Whether a model that knows no Japanese must be silent about this mail.
pub(super) fn is_japanese(view: &View<'_>) -> bool {
    let letters = |text: &str| text.chars().filter(|c| is_without_spaces(*c)).count();
    let mut count = 0;
    for name in ["subject", "from"] {
        count += view.fields_named(name).next().map_or(0, |field| letters(&field.value));
    }
    let declared = view.parts.iter().any(|part| {
        let charset = &*part.charset;
        charset.starts_with("iso-2022-jp")
            || matches!(charset, "shift_jis" | "euc-jp" | "cp932" | "windows-31j")
    });
    if !declared && count < JAPANESE_LETTERS_MIN {
        visible(view, |text| {
            count += if text.is_ascii() { 0 } else { letters(text) };
            count < JAPANESE_LETTERS_MIN
        });
    }
    declared || count >= JAPANESE_LETTERS_MIN
}

/// Hands out the texts that a reader sees, normalised, until `each` says that it has enough.
pub(super) fn visible(view: &View<'_>, mut each: impl FnMut(&str) -> bool) {
    let mut left = TEXT_BYTES_MAX;
    let mut own = |text: &str, each: &mut dyn FnMut(&str) -> bool| {
        let cut = text.get(..text.floor_char_boundary(left)).unwrap_or(text);
        left -= cut.len();
        let more = if cut.is_ascii() {
            each(cut)
        } else {
            let mut plain = String::with_capacity(cut.len());
            normalise(cut, &mut plain);
            each(&plain)
        };
        more && left > 0
    };
    for part in view.parts.iter().filter(|part| part.is_text()) {
        let more = if part.is_shown_as_html() {
            own(&shown(part), &mut each)
        } else {
            own(part.text(), &mut each)
        };
        if !more {
            return;
        }
    }
}

/// The text of HTML without what it hides.
fn shown<'p>(part: &'p Part<'_>) -> Cow<'p, str> {
    let html = part.html();
    if html.hidden_ranges.is_empty() {
        return Cow::Borrowed(&html.text);
    }
    let (mut out, mut from) = (String::with_capacity(html.text.len()), 0);
    for range in &html.hidden_ranges {
        out.push_str(html.text.get(from..range.start).unwrap_or_default());
        out.push(' ');
        from = range.end.max(from);
    }
    out.push_str(html.text.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

/// 0, 1, 2, 4, 8 ...: the size of a number as one of a few words.
fn size(value: usize) -> usize {
    if value < 2 { value } else { 1 << value.ilog2() }
}

/// Parts, their types, and figures of the text.
pub(super) fn structure(view: &View<'_>, out: &mut impl Gather) {
    let own = || view.parts.iter().filter(|part| part.origin == PartOrigin::Mime);
    out.one(Place::Shape, &format!("parts {}", size(own().count())));
    let mut order = String::new();
    for part in own().take(PARTS_MAX) {
        let charset = if part.is_text() { &*part.charset } else { "" };
        out.one(Place::Shape, &format!("part {} {charset}", part.content_type));
        if let Some(name) = part.file_name()
            && let Some((_, extension)) = name.rsplit_once('.')
        {
            out.one(Place::Shape, &format!("file .{}", extension.to_lowercase()));
        }
        if order.len() < 100 {
            order.push(' ');
            order.push_str(&part.content_type);
        }
    }
    out.one(Place::Shape, &format!("order{order}"));
    let (mut shown, mut marked) = (0, 0);
    for part in own().filter(|part| part.is_shown_as_html()).take(PARTS_MAX) {
        let html = part.html();
        shown += html.text.len();
        marked += part.text().len();
        out.one(Place::Shape, &format!("links {}", size(html.links.len())));
        out.one(Place::Shape, &format!("comments {}", size(html.comments.len() / 64)));
        if !html.hidden_ranges.is_empty() {
            out.one(Place::Shape, "hidden text");
        }
        if html.password_input {
            out.one(Place::Shape, "asks for a password");
        }
        if html.script {
            out.one(Place::Shape, "script");
        }
    }
    if let Some(tenths) = (shown * 10).checked_div(marked) {
        out.one(Place::Shape, &format!("text in html {tenths}"));
    }
    figures(view, out);
}

/// How long, how loud and how foreign the text is.
fn figures(view: &View<'_>, out: &mut impl Gather) {
    let (mut chars, mut capitals, mut marks, mut money) = (0, 0, 0, 0);
    let mut other = 0;
    visible(view, |text| {
        for c in text.chars() {
            chars += 1;
            capitals += usize::from(c.is_ascii_uppercase());
            marks += usize::from(c == '!');
            money += usize::from(c == '$');
            other += usize::from(!c.is_ascii());
        }
        true
    });
    out.one(Place::Shape, &format!("length {}", size(chars)));
    out.one(Place::Shape, &format!("capitals {}", capitals * 20 / chars.max(1)));
    out.one(Place::Shape, &format!("exclamation marks {}", size(marks)));
    out.one(Place::Shape, &format!("dollars {}", size(money)));
    out.one(Place::Shape, &format!("not ascii {}", other * 10 / chars.max(1)));
}

/// Hosts and paths of links.
pub(super) fn links(view: &View<'_>, out: &mut impl Gather) {
    let uris = view.uris();
    out.one(Place::Shape, &format!("uris {}", size(uris.len())));
    for uri in uris.iter().take(LINKS_MAX) {
        let (scheme, rest) = uri.canonical.split_once(':').unwrap_or(("", &uri.canonical));
        out.one(Place::Link, scheme);
        if uri.host.is_empty() {
            continue;
        }
        out.one(Place::Link, &uri.host);
        if uri.domain.is_empty() {
            out.one(Place::Link, "address instead of a name");
        } else {
            out.one(Place::Link, &uri.domain);
            if let Some((_, top)) = uri.domain.split_once('.') {
                out.one(Place::Link, &format!(".{top}"));
            }
        }
        let rest = rest.trim_start_matches('/');
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            out.one(Place::Link, "user name in front of the host");
        }
        if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            out.one(Place::Link, "port");
        }
        out.one(Place::Link, &format!("path {}", size(path.len())));
        let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1);
        for word in words.take(PATH_WORDS_MAX) {
            let word: String = word
                .chars()
                .take(WORD_CHARS_MAX)
                .map(|c| if c.is_ascii_digit() { '0' } else { c.to_ascii_lowercase() })
                .collect();
            out.one(Place::Link, &format!("/{word}"));
        }
    }
}

/// Tags and the attributes that say how something looks.
pub(super) fn markup(view: &View<'_>, out: &mut impl Gather) {
    let mut left = TAGS_MAX;
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()).take(PARTS_MAX) {
        let text = part.text();
        let text = text.get(..text.floor_char_boundary(MARKUP_BYTES_MAX)).unwrap_or(text);
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
            rest = rest.get(at + 1..).unwrap_or_default();
            if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let end = memchr::memchr(b'>', rest.as_bytes()).unwrap_or(rest.len());
            let (tag, after) = rest.split_at(end);
            rest = after;
            if left == 0 {
                return;
            }
            left -= 1;
            one_tag(tag, out);
        }
    }
}

fn one_tag(tag: &str, out: &mut impl Gather) {
    let mut words = tag.split_ascii_whitespace();
    let Some(name) = words.next().filter(|name| name.len() <= 12) else { return };
    let name = name.to_ascii_lowercase();
    out.one(Place::Markup, &name);
    for word in words.take(8) {
        let Some((attribute, value)) = word.split_once('=') else { continue };
        let attribute = attribute.to_ascii_lowercase();
        if matches!(
            attribute.as_str(),
            "color"
                | "size"
                | "face"
                | "bgcolor"
                | "width"
                | "height"
                | "border"
                | "align"
                | "method"
        ) {
            let value = value.trim_matches(['"', '\'']).to_ascii_lowercase();
            let value = value.get(..value.floor_char_boundary(16)).unwrap_or_default();
            out.one(Place::Markup, &format!("{name} {attribute}={value}"));
        }
    }
}
