//! Features of text, links and structure.

use std::borrow::Cow;

use super::features::{Gather, Hashed, Place, Sink};
use crate::message::{Part, PartOrigin, View, normalise};

/// Octets of the text that are read. What a reader sees first, and enough to tell what it is.
pub(super) const TEXT_BYTES_MAX: usize = 32 * 1024;
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
    word: Vec<u8>,
    chars: usize,
    last: Hashed,
    before: Hashed,
    now: Hashed,
    /// Where the last two characters of a script without spaces begin, if nothing stands behind them.
    grams: [Option<usize>; 2],
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
            word: Vec::with_capacity(128),
            chars: 0,
            last: Hashed::default(),
            before: Hashed::default(),
            now: Hashed::default(),
            grams: [None, None],
        }
    }

    /// Takes the words of `text`; it ends a word.
    pub(super) fn take<S: Sink>(&mut self, text: &str, out: &mut Gather<S>) {
        let mut rest = text.as_bytes();
        let mut at = 0;
        while let Some(octet) = rest.first() {
            let mut taken = 1;
            if octet.is_ascii() {
                self.grams = [None, None];
                let run = rest.iter().position(|octet| !is_of_word(*octet)).unwrap_or(rest.len());
                if run > 0 {
                    self.letters(rest.get(..run).unwrap_or_default());
                    taken = run;
                } else {
                    self.end(out);
                }
            } else if let Some(c) = text.get(at..).and_then(|text| text.chars().next()) {
                taken = c.len_utf8();
                self.beyond_ascii(text, at, c, out);
            }
            at += taken;
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.end(out);
        self.grams = [None, None];
    }

    fn beyond_ascii<S: Sink>(&mut self, text: &str, at: usize, c: char, out: &mut Gather<S>) {
        if is_without_spaces(c) {
            self.end(out);
            self.gram(text, at, c.len_utf8(), out);
            return;
        }
        if c.is_alphanumeric() {
            for c in c.to_lowercase() {
                self.chars += 1;
                if self.chars <= WORD_CHARS_MAX {
                    self.word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        } else {
            // The long vowel mark and the like belong to their neighbours; punctuation does not.
            self.end(out);
        }
        self.grams = [None, None];
    }

    /// More of a word, in ASCII.
    fn letters(&mut self, run: &[u8]) {
        let room = WORD_CHARS_MAX.saturating_sub(self.chars).min(run.len());
        self.word.extend(run.get(..room).unwrap_or_default().iter().map(|octet| plain(*octet)));
        self.chars += run.len();
    }

    fn end<S: Sink>(&mut self, out: &mut Gather<S>) {
        if self.chars == 0 {
            return;
        }
        if self.chars > WORD_CHARS_MAX {
            let starts = self.word.iter().enumerate().filter(|(_, octet)| is_start(**octet));
            let keep = starts.map(|(at, _)| at).nth(4);
            self.word.truncate(keep.unwrap_or(self.word.len()));
            let tens = ["..20", "..30", "..40", "..50", "..60", "..70", "..80", "..90"];
            let tens = tens.get((self.chars / 10).min(9) - 2).copied().unwrap_or_default();
            self.word.extend_from_slice(tens.as_bytes());
        }
        let word = trimmed(&self.word);
        let speaks = |first: &u8| first.is_ascii_digit() || !first.is_ascii();
        if word.len() > 1 || word.first().is_some_and(speaks) {
            out.one(self.place, word);
            if self.pairs {
                Gather::<S>::hash(&mut self.now, word);
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
    }

    fn gram<S: Sink>(&mut self, text: &str, at: usize, bytes: usize, out: &mut Gather<S>) {
        let place = if self.place == Place::Word { Place::Gram } else { self.place };
        let [first, last] = self.grams;
        for from in [last, first].into_iter().flatten() {
            let gram = text.as_bytes().get(from..at + bytes);
            out.one(place, gram.unwrap_or_default());
        }
        self.grams = [last, Some(at)];
    }
}

/// ASCII that is part of a word.
fn is_of_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'\'' | b'$' | b'!' | b'-' | b'%')
}

/// Small letters; numbers differ from mail to mail: that there is one, and how long it is, does not.
pub(super) fn plain(octet: u8) -> u8 {
    if octet.is_ascii_digit() { b'0' } else { octet.to_ascii_lowercase() }
}

/// Whether a character begins with this octet of UTF-8.
fn is_start(octet: u8) -> bool {
    octet & 0xC0 != 0x80
}

/// A word without quotes and dashes around it.
fn trimmed(mut word: &[u8]) -> &[u8] {
    while let [b'\'' | b'-', rest @ ..] | [rest @ .., b'\'' | b'-'] = word {
        word = rest;
    }
    word
}

/// The first `chars` characters of `text`.
pub(super) fn head(text: &str, chars: usize) -> &str {
    if text.len() <= chars {
        return text;
    }
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// Han, kana, hangul and what is written among them.
fn is_without_spaces(c: char) -> bool {
    matches!(u32::from(c),
        0x3005..=0x3007 | 0x3041..=0x3096 | 0x309D..=0x309F | 0x30A1..=0x30FA | 0x30FC..=0x30FF | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}

/// Letters of Japanese or Chinese after which a mail counts as one of these languages.
const JAPANESE_LETTERS_MIN: usize = 4;

/// The texts that a reader sees, normalised.
pub(super) struct Texts<'v> {
    view: &'v View<'v>,
    pieces: Vec<Cow<'v, str>>,
}

impl<'v> Texts<'v> {
    /// Of `view`, at most `bytes` octets.
    pub(super) fn of(view: &'v View<'v>, bytes: usize) -> Self {
        let mut left = bytes;
        let mut pieces = Vec::new();
        for part in view.parts.iter().filter(|part| part.is_text()) {
            let text =
                if part.is_shown_as_html() { shown(part) } else { Cow::Borrowed(part.text()) };
            let end = text.floor_char_boundary(left);
            left -= end;
            pieces.push(normal(text, end));
            if left == 0 {
                break;
            }
        }
        Self { view, pieces }
    }

    /// One for each part.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(|piece| &**piece)
    }

    /// Whether a model that knows no Japanese must be silent about this mail.
    pub(super) fn is_japanese(&self) -> bool {
        let declared = self.view.parts.iter().any(|part| {
            let charset = &*part.charset;
            charset.starts_with("iso-2022-jp")
                || matches!(charset, "shift_jis" | "euc-jp" | "cp932" | "windows-31j")
        });
        let first = |name: &'static str| self.view.fields_named(name).next();
        let fields = ["subject", "from"].into_iter().filter_map(first).map(|field| &*field.value);
        let texts = fields.chain(self.pieces()).filter(|text| !text.is_ascii());
        let letters = texts.flat_map(str::chars).filter(|c| is_without_spaces(*c));
        declared || letters.take(JAPANESE_LETTERS_MIN).count() == JAPANESE_LETTERS_MIN
    }
}

/// The first `end` octets of `text` without disguises.
fn normal(text: Cow<'_, str>, end: usize) -> Cow<'_, str> {
    let cut = text.get(..end).unwrap_or(&text);
    if !cut.is_ascii() {
        let mut plain = String::with_capacity(cut.len());
        normalise(cut, &mut plain);
        return Cow::Owned(plain);
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
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
pub(super) fn size(value: usize) -> usize {
    if value < 2 { value } else { 1 << value.ilog2() }
}

/// Parts, their types, and figures of the text.
pub(super) fn structure<S: Sink>(view: &View<'_>, texts: &Texts<'_>, out: &mut Gather<S>) {
    let own = || view.parts.iter().filter(|part| part.origin == PartOrigin::Mime);
    out.number(Place::Shape, "parts ", size(own().count()));
    let mut order = String::new();
    for part in own().take(PARTS_MAX) {
        let charset = if part.is_text() { &*part.charset } else { "" };
        out.joined(Place::Shape, &["part ", &part.content_type, " ", charset]);
        if let Some(name) = part.file_name()
            && let Some((_, extension)) = name.rsplit_once('.')
        {
            out.joined(Place::Shape, &["file .", &extension.to_lowercase()]);
        }
        if order.len() < 100 {
            order.push(' ');
            order.push_str(&part.content_type);
        }
    }
    out.joined(Place::Shape, &["order", &order]);
    let (mut shown, mut marked) = (0, 0);
    for part in own().filter(|part| part.is_shown_as_html()).take(PARTS_MAX) {
        let html = part.html();
        shown += html.text.len();
        marked += part.text().len();
        out.number(Place::Shape, "links ", size(html.links.len()));
        out.number(Place::Shape, "comments ", size(html.comments.len() / 64));
        if !html.hidden_ranges.is_empty() {
            out.one(Place::Shape, b"hidden text");
        }
        if html.password_input {
            out.one(Place::Shape, b"asks for a password");
        }
        if html.script {
            out.one(Place::Shape, b"script");
        }
    }
    if let Some(tenths) = (shown * 10).checked_div(marked) {
        out.number(Place::Shape, "text in html ", tenths);
    }
    figures(texts, out);
}

/// How long, how loud and how foreign the text is.
fn figures<S: Sink>(texts: &Texts<'_>, out: &mut Gather<S>) {
    let [mut chars, mut other, mut capitals, mut marks, mut money] = [0_usize; 5];
    for piece in texts.pieces() {
        chars += count(piece, is_start);
        other += count(piece, |octet| octet >= 0xC0);
        capitals += count(piece, |octet| octet.is_ascii_uppercase());
        marks += count(piece, |octet| octet == b'!');
        money += count(piece, |octet| octet == b'$');
    }
    out.number(Place::Shape, "length ", size(chars));
    out.number(Place::Shape, "capitals ", capitals * 20 / chars.max(1));
    out.number(Place::Shape, "exclamation marks ", size(marks));
    out.number(Place::Shape, "dollars ", size(money));
    out.number(Place::Shape, "not ascii ", other * 10 / chars.max(1));
}

/// Octets of which `is` holds. Counted in octets, which the processor does many at a time.
fn count(text: &str, is: impl Fn(u8) -> bool) -> usize {
    let of = |block: &[u8]| -> u8 {
        block.iter().fold(0, |sum: u8, octet| sum.wrapping_add(u8::from(is(*octet))))
    };
    text.as_bytes().chunks(128).map(|block| usize::from(of(block))).sum()
}

/// Hosts and paths of links.
pub(super) fn links<S: Sink>(view: &View<'_>, out: &mut Gather<S>) {
    let uris = view.uris();
    out.number(Place::Shape, "uris ", size(uris.len()));
    for uri in uris.iter().take(LINKS_MAX) {
        let (scheme, rest) = uri.canonical.split_once(':').unwrap_or(("", &uri.canonical));
        out.one(Place::Link, scheme.as_bytes());
        if uri.host.is_empty() {
            continue;
        }
        out.one(Place::Link, uri.host.as_bytes());
        if uri.domain.is_empty() {
            out.one(Place::Link, b"address instead of a name");
        } else {
            out.one(Place::Link, uri.domain.as_bytes());
            if let Some((_, top)) = uri.domain.split_once('.') {
                out.joined(Place::Link, &[".", top]);
            }
        }
        let rest = rest.trim_start_matches('/');
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            out.one(Place::Link, b"user name in front of the host");
        }
        if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            out.one(Place::Link, b"port");
        }
        out.number(Place::Link, "path ", size(path.len()));
        let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1);
        for word in words.take(PATH_WORDS_MAX) {
            out.built(Place::Link, |text| {
                text.push(b'/');
                text.extend(head(word, WORD_CHARS_MAX).bytes().map(plain));
            });
        }
    }
}

/// Attributes that say how something looks.
const LOOKS: [&str; 9] =
    ["color", "size", "face", "bgcolor", "width", "height", "border", "align", "method"];

/// Tags and the attributes that say how something looks.
pub(super) fn markup<S: Sink>(view: &View<'_>, out: &mut Gather<S>) {
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

fn one_tag<S: Sink>(tag: &str, out: &mut Gather<S>) {
    let mut words = tag.split_ascii_whitespace();
    let Some(name) = words.next().filter(|name| name.len() <= 12) else { return };
    out.lower(Place::Markup, &[name]);
    for word in words.take(8) {
        let Some((attribute, value)) = word.split_once('=') else { continue };
        if LOOKS.iter().any(|known| known.eq_ignore_ascii_case(attribute)) {
            let value = value.trim_matches(['"', '\'']);
            let value = value.get(..value.floor_char_boundary(16)).unwrap_or_default();
            out.lower(Place::Markup, &[name, " ", attribute, "=", value]);
        }
    }
}
