//! The texts of a message as expressions see them: NFKC, look-alikes folded (`message::normalise`), runs of
//! blanks made one space. In bodies a line end is where a client broke the line, so it is a space as well,
//! and nothing at all between two Japanese characters; an empty line ends a paragraph. In attachments
//! every line stays a line.

use std::borrow::Cow;
use std::cell::Cell;

use super::expression::Place;
use crate::message::{
    FileType, HtmlText, Part, PartOrigin, View, decode_charset, html_text, normalise,
};

/// Octets of all texts of one message that are searched; more than what any mail is written in.
pub(super) const TEXTS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Octets that all regular expressions together run over in one message: some seconds where each of them
/// is slow.
const REGEX_WORK_MAX: usize = 256 * 1024 * 1024;
/// Octets that tell whether something is text.
const PROBE_BYTES: usize = 4096;

/// One text.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) place: Place,
    /// Name of the attachment that it is in; empty for other places.
    pub(super) name: Box<str>,
    pub(super) plain: String,
    folded: std::cell::OnceCell<Option<String>>,
}

impl Text {
    fn new(place: Place, name: &str, plain: String) -> Self {
        Self { place, name: name.into(), plain, folded: std::cell::OnceCell::new() }
    }

    /// Lower case, with every octet where it is in `plain`.
    pub(super) fn folded(&self) -> &str {
        let own = self.folded.get_or_init(|| {
            let mut out = String::with_capacity(self.plain.len());
            fold(&self.plain, &mut out);
            (out != self.plain).then_some(out)
        });
        own.as_deref().unwrap_or(&self.plain)
    }
}

/// Appends `text` in lower case, each character in as many octets as before: the few that have a
/// lower case of another length (`İ`, `ẞ`) stay as they are.
pub(super) fn fold(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.extend(text.chars().map(|c| c.to_ascii_lowercase()));
        return;
    }
    out.extend(text.chars().map(|c| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) if one.len_utf8() == c.len_utf8() => one,
            _ => c,
        }
    }));
}

/// What line ends in a text mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// They were put there to make lines short.
    Flowed,
    /// They end something.
    Kept,
}

/// `text` as expressions see it.
pub(super) fn tidy(text: &str, lines: Lines) -> String {
    let mut normal = String::with_capacity(text.len());
    normalise(text, &mut normal);
    let mut out = String::with_capacity(normal.len());
    let (mut blank, mut ends) = (false, 0_usize);
    for c in normal.chars().map(one_of) {
        if c.is_whitespace() || c.is_control() {
            ends += usize::from(c == '\n');
            blank = true;
            continue;
        }
        if blank && !out.is_empty() {
            let before = out.chars().next_back();
            match (ends, lines) {
                (0, _) => out.push(' '),
                (1, Lines::Flowed) if is_unspaced(c) && before.is_some_and(is_unspaced) => {}
                (1, Lines::Flowed) => out.push(' '),
                (_, Lines::Kept | Lines::Flowed) => out.push('\n'),
            }
        }
        out.push(c);
        (blank, ends) = (false, 0);
    }
    out
}

/// What a reader sees of a page.
fn shown(html: &HtmlText) -> Cow<'_, str> {
    if html.hidden_ranges.is_empty() {
        return Cow::Borrowed(&html.text);
    }
    let mut out = String::with_capacity(html.text.len());
    let mut from = 0;
    for hidden in &html.hidden_ranges {
        out.push_str(html.text.get(from..hidden.start).unwrap_or_default());
        from = from.max(hidden.end);
    }
    out.push_str(html.text.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

/// Wave dash and minus of a Japanese charset are decoded to other characters than those that a UTF-8 text or a rule has, and NFKC
/// makes the one an ASCII character and leaves the other.
fn one_of(c: char) -> char {
    match c {
        '\u{301C}' => '~',
        '\u{2212}' => '-',
        c => c,
    }
}

/// Characters of scripts that put no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c), 0x2E80..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x2_0000..=0x3_FFFF)
}

/// The texts of a message.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) all: Vec<Text>,
    left: usize,
    /// There was more than is searched.
    pub(super) cut: bool,
    /// Octets that regular expressions were run over, and whether that was all.
    work: Cell<usize>,
    pub(super) over: Cell<bool>,
}

impl Texts {
    /// Whether one more regular expression may run over `bytes` octets.
    pub(super) fn affords(&self, bytes: usize) -> bool {
        self.work.set(self.work.get().saturating_add(bytes));
        let affords = self.work.get() <= REGEX_WORK_MAX;
        self.over.set(self.over.get() || !affords);
        affords
    }

    /// Those of the places that `wants` names. `pause` is awaited after each of them.
    pub(super) async fn of(
        view: &View<'_>,
        wants: &dyn Fn(&Place) -> bool,
        pause: &impl AsyncFn(),
    ) -> Self {
        let mut texts = Self { left: TEXTS_BYTES_MAX, ..Self::default() };
        if wants(&Place::Subject) {
            for field in view.fields_named("subject") {
                texts.push(Place::Subject, "", &field.value, Lines::Kept);
            }
        }
        for field in &view.fields {
            let place = Place::Field(field.name.as_ref().into());
            if wants(&place) {
                texts.push(place, "", &field.value, Lines::Kept);
            }
        }
        for part in &view.parts {
            if wants(&Place::AttachmentName) {
                for name in &part.file_names {
                    texts.push(Place::AttachmentName, "", name, Lines::Kept);
                }
            }
            let place =
                if part.is_text() && !part.attachment { Place::Body } else { Place::Attachment };
            if wants(&place) {
                texts.part(place, part);
                pause().await;
            }
        }
        texts
    }

    fn part(&mut self, place: Place, part: &Part<'_>) {
        let lines = if place == Place::Body { Lines::Flowed } else { Lines::Kept };
        let name = part.file_name().unwrap_or_default();
        if part.is_shown_as_html() {
            // What is hidden stands by itself: in the middle of a word it would hide the word from us, and from no reader.
            let html = part.html();
            let hidden = html.hidden();
            self.push(place.clone(), name, &shown(html), lines);
            if !hidden.trim().is_empty() {
                self.push(place, name, &hidden, lines);
            }
        } else if part.is_text() {
            self.push(place, name, part.text(), lines);
        } else if let Some(text) = self.text_of(part) {
            self.push(place, name, &text, lines);
        }
    }

    /// The text of an attachment or member that is not declared as text.
    fn text_of(&mut self, part: &Part<'_>) -> Option<String> {
        let octets = &part.decoded;
        // What rich text says is a part of its own, too: nothing is counted twice.
        if part.told || part.file_type() == FileType::Rtf || !is_text(octets) {
            return None;
        }
        // Decoding makes at most three octets of one.
        let most = self.left.saturating_add(1).min(octets.len());
        let octets = octets.get(..most)?;
        let text = decode_charset(octets, &part.charset).text;
        let begin = text.trim_start_matches(['\u{FEFF}', ' ', '\r', '\n', '\t']);
        let named =
            |end: &str| part.file_names.iter().any(|name| name.to_lowercase().ends_with(end));
        if begin.starts_with("<?xml") || part.origin == PartOrigin::Member && named(".xml") {
            return Some(xml_text(begin));
        }
        if named(".html")
            || named(".htm")
            || begin.starts_with("<!DOCTYPE")
            || begin.starts_with("<html")
        {
            return Some(html_text(begin).text);
        }
        Some(text)
    }

    fn push(&mut self, place: Place, name: &str, text: &str, lines: Lines) {
        let whole = text.len() <= self.left;
        let kept = text.get(..text.floor_char_boundary(self.left)).unwrap_or_default();
        self.cut |= !whole;
        self.left -= kept.len();
        let plain = tidy(kept, lines);
        if !plain.is_empty() {
            self.all.push(Text::new(place, name, plain));
        }
    }
}

/// Whether octets without a declared type are text of some charset: no NUL and hardly a control
/// character where it begins, or a mark of UTF-16.
fn is_text(octets: &[u8]) -> bool {
    if octets.starts_with(&[0xFF, 0xFE]) || octets.starts_with(&[0xFE, 0xFF]) {
        return true;
    }
    let probe = octets.get(..PROBE_BYTES).unwrap_or(octets);
    let odd = |octet: &&u8| matches!(octet, 0..=8 | 14..=26 | 28..=31 | 127);
    !probe.is_empty() && !probe.starts_with(b"%PDF") && probe.iter().filter(odd).count() == 0
}

/// Text of an XML file of an office document. Runs of one word are separate elements there, so a tag
/// is nothing; the end of a paragraph, cell or row is a line end.
pub(super) fn xml_text(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len() / 4);
    let mut rest = xml;
    while let Some(open) = rest.find('<') {
        unescape(rest.get(..open).unwrap_or_default(), &mut out);
        let tag = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = tag.find('>') else { return out };
        let name = tag.get(..close).unwrap_or_default();
        let local = name.trim_end_matches('/').rsplit(':').next().unwrap_or_default();
        let ends = name.starts_with('/');
        let element = local.trim_start_matches('/');
        let element = element.split([' ', '\r', '\n', '\t']).next().unwrap_or_default();
        match element {
            "p" | "si" | "c" | "v" | "row" | "tr" | "td" | "h" if ends => out.push('\n'),
            "br" | "cr" => out.push('\n'),
            "tab" | "s" if !ends => out.push(' '),
            _ => {}
        }
        rest = tag.get(close + 1..).unwrap_or_default();
    }
    unescape(rest, &mut out);
    out
}

/// Appends text with the entities of XML undone.
fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let end = after.bytes().take(10).position(|octet| octet == b';');
        let entity = end.and_then(|end| after.get(..end)).and_then(entity);
        match (entity, end) {
            (Some(c), Some(end)) => {
                out.push(c);
                rest = after.get(end + 1..).unwrap_or_default();
            }
            _ => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
