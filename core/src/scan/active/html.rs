//! Attached pages and drawings: scripts, and files that are put together in the reader's browser
//! ("HTML smuggling"), so that no scanner on the way sees them.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::Seen;

const SCRIPT: usize = 0;
const BLOB: usize = 1;
const OBJECT_URL: usize = 2;
const SAVE_BLOB: usize = 3;
const SAVE_OPEN_BLOB: usize = 4;
const BASE64: usize = 5;
const DOWNLOAD_ATTRIBUTE: usize = 6;
const DOWNLOAD: usize = 7;
const DATA: usize = 8;
const BYTES: usize = 9;
const CLICK: usize = 10;
const EVAL: usize = 11;
const WRITE: usize = 12;
const UNESCAPE: usize = 13;
const FROM_CODES: usize = 14;
const SCHEME: usize = 15;
const LOCATION: usize = 16;
const DATA_OCTETS: usize = 17;
const FRAME: usize = 18;
const DOWNLOAD_FIRST: usize = 19;
const DOWNLOAD_LAST: usize = 20;
const PREFIXED: usize = 21;
const INNER_PAGE: usize = 22;
const INNER_SCRIPTS: std::ops::RangeInclusive<usize> = 23..=25;
const WORDS: [&str; 26] = [
    "<script",
    "blob(",
    "createobjecturl",
    "mssaveblob",
    "mssaveoropenblob",
    "atob(",
    "download=",
    ".download",
    "data:application/",
    "uint8array",
    ".click(",
    "eval(",
    "document.write(",
    "unescape(",
    "fromcharcode",
    "javascript:",
    "location",
    "data:;base64",
    "<foreignobject",
    " download h",
    " download>",
    ":script",
    "srcdoc",
    "&lt;script",
    "&#60;script",
    "&#x3c;script",
];
static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(WORDS);
    built.unwrap_or_else(|error| unreachable!("a few short strings: {error}"))
});

/// Octets of a name of an element or attribute.
const NAME_BYTES_MAX: usize = 32;
/// How names of events go on behind `on`. Not every name that begins so is one: `online = 1` is prose.
const EVENTS: [&str; 63] = [
    "abort",
    "activate",
    "after",
    "anim",
    "auxclick",
    "before",
    "begin",
    "blur",
    "bounce",
    "cancel",
    "canplay",
    "change",
    "click",
    "close",
    "context",
    "copy",
    "cue",
    "cut",
    "dblclick",
    "drag",
    "drop",
    "duration",
    "end",
    "error",
    "finish",
    "focus",
    "formdata",
    "gesture",
    "got",
    "hashchange",
    "input",
    "invalid",
    "key",
    "load",
    "lost",
    "message",
    "mouse",
    "pagehide",
    "pageshow",
    "paste",
    "pause",
    "play",
    "pointer",
    "popstate",
    "progress",
    "property",
    "rate",
    "ready",
    "repeat",
    "reset",
    "resize",
    "scroll",
    "search",
    "seek",
    "select",
    "slot",
    "start",
    "submit",
    "toggle",
    "touch",
    "transition",
    "unload",
    "wheel",
];

/// Whether a drawing begins here: its first element, whatever prefix it has, behind comments and declarations of any length.
pub(super) fn is_svg(octets: &[u8]) -> bool {
    let mut rest = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets);
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b"<!--") {
            b"-->"
        } else if rest.starts_with(b"<?") {
            b"?>"
        } else if rest.starts_with(b"<!") {
            // A list of declarations inside has tags of its own.
            match memchr::memchr2(b'[', b'>', rest).and_then(|at| rest.get(at)) {
                Some(b'[') => b"]",
                _ => b">",
            }
        } else if rest.starts_with(b">") {
            b">"
        } else {
            break;
        };
        let Some(at) = memmem::find(rest, end) else { return false };
        rest = rest.get(at..).and_then(|rest| rest.get(end.len()..)).unwrap_or_default();
    }
    let Some(rest) = rest.strip_prefix(b"<") else { return false };
    let ends = |octet: &u8| octet.is_ascii_whitespace() || matches!(octet, b'/' | b'>');
    let name = rest.split(ends).next().unwrap_or_default();
    name.rsplit(|octet| *octet == b':').next().is_some_and(|own| own.eq_ignore_ascii_case(b"svg"))
}

/// What a page has.
struct Words {
    found: [bool; WORDS.len()],
    script: bool,
}

impl Words {
    fn of(octets: &[u8]) -> Self {
        let (mut found, mut prefixed) = ([false; WORDS.len()], false);
        for hit in FINDER.find_overlapping_iter(octets) {
            let word = hit.pattern().as_usize();
            prefixed |= word == PREFIXED && !prefixed && is_element(octets, hit.start());
            if let Some(slot) = found.get_mut(word) {
                *slot = true;
            }
        }
        let mut words = Self { found, script: false };
        let inner = words.has(INNER_PAGE) && INNER_SCRIPTS.into_iter().any(|word| words.has(word));
        words.script =
            words.has(SCRIPT) || words.has(SCHEME) || prefixed || inner || has_handler(octets);
        words
    }

    fn has(&self, word: usize) -> bool {
        self.found.get(word).copied().unwrap_or(false)
    }

    fn data(&self) -> bool {
        self.has(DATA) || self.has(DATA_OCTETS)
    }

    fn downloads(&self) -> bool {
        let words = [DOWNLOAD, DOWNLOAD_ATTRIBUTE, DOWNLOAD_FIRST, DOWNLOAD_LAST];
        words.into_iter().any(|word| self.has(word))
    }

    /// A script that makes a file and saves it.
    fn assembles(&self) -> bool {
        let made = self.has(BLOB) || self.has(BYTES) || self.has(BASE64);
        let saved = self.has(SAVE_BLOB)
            || self.has(SAVE_OPEN_BLOB)
            || self.has(OBJECT_URL) && (self.downloads() || self.has(CLICK) || self.has(LOCATION));
        self.script && made && saved
    }

    /// A script that runs what it unpacks.
    fn unpacks(&self) -> bool {
        let unpacks = self.has(BASE64) || self.has(UNESCAPE) || self.has(FROM_CODES);
        self.script && unpacks && (self.has(EVAL) || self.has(WRITE))
    }
}

/// Whether what is before the colon is the prefix of an element: `<s:script>` in a drawing or in XHTML.
fn is_element(octets: &[u8], colon: usize) -> bool {
    let near = octets.get(colon.saturating_sub(NAME_BYTES_MAX)..colon).unwrap_or_default();
    let named = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.');
    let before = near.iter().rev().find(|octet| !named(octet));
    before == Some(&b'<')
}

/// Whether an element has a script for an event: ` onload = "x"`, `/onfocus=x`. An empty one does nothing; drawing programs
/// leave such.
fn has_handler(octets: &[u8]) -> bool {
    memchr::memchr_iter(b'=', octets).any(|at| {
        let near = octets.get(..at).unwrap_or_default().trim_ascii_end();
        let name = near.iter().rev().take(NAME_BYTES_MAX);
        let letters = name.take_while(|octet| octet.is_ascii_alphabetic()).count();
        let Some((before, name)) = near.len().checked_sub(letters).map(|at| near.split_at(at))
        else {
            return false;
        };
        let apart = before
            .last()
            .is_some_and(|o| o.is_ascii_whitespace() || matches!(o, b'/' | b'"' | b'\''));
        let event = name
            .get(2..)
            .filter(|_| name.get(..2).is_some_and(|on| on.eq_ignore_ascii_case(b"on")));
        apart
            && event.is_some_and(is_event)
            && octets.get(at..).and_then(|rest| rest.get(1..)).is_some_and(has_value)
    })
}

fn is_event(name: &[u8]) -> bool {
    EVENTS.iter().any(|event| {
        name.get(..event.len()).is_some_and(|head| head.eq_ignore_ascii_case(event.as_bytes()))
    })
}

/// Whether an attribute's value, which begins here, is not empty.
fn has_value(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    !matches!(rest.trim_ascii_start().first(), None | Some(b'"' | b'\'' | b'>'))
}

/// Octets without NUL: so read browsers what they take for UTF-16, and most of what they take for a page.
fn narrow(octets: &[u8]) -> Cow<'_, [u8]> {
    let marks = [&b"\xFF\xFE"[..], b"\xFE\xFF"];
    let octets = marks.iter().find_map(|mark| octets.strip_prefix(*mark)).unwrap_or(octets);
    if memchr::memchr(0, octets).is_none() {
        return Cow::Borrowed(octets);
    }
    Cow::Owned(octets.iter().copied().filter(|octet| *octet != 0).collect())
}

/// Marks of a page that is probably the text of the mail: no letter makes files or unpacks itself, while scripts for mail
/// programs (schema.org, AMP) are in many.
pub(super) fn assembled(octets: &[u8], seen: &mut Seen<'_, '_>) {
    let words = Words::of(&narrow(octets));
    if words.assembles() {
        seen.mark("ACTIVE_HTML_SMUGGLING", "a file is put together by the page and saved");
    }
    if words.unpacks() {
        seen.mark("ACTIVE_HTML_OBFUSCATED", "a script that unpacks itself");
    }
}

/// Marks of a page or drawing.
pub(super) fn look(octets: &[u8], seen: &mut Seen<'_, '_>) {
    let octets = &*narrow(octets);
    let words = Words::of(octets);
    let script = words.script;
    if words.assembles() || words.data() && words.downloads() {
        seen.mark("ACTIVE_HTML_SMUGGLING", "a file is put together by the page and saved");
    }
    if words.unpacks() {
        seen.mark("ACTIVE_HTML_OBFUSCATED", "a script that unpacks itself");
    }
    let head = octets.get(..4096).unwrap_or(octets).to_ascii_lowercase();
    let drawing = is_svg(octets) || seen.is_drawing();
    let svg = drawing && memmem::find(&head, b"<html").is_none();
    // An entity stands for what is written so.
    let entity = INNER_SCRIPTS.into_iter().any(|word| words.has(word));
    if svg && (script || entity || words.has(FRAME) && words.data()) {
        seen.mark("ACTIVE_SVG_SCRIPT", "a drawing with a script");
    } else if script {
        seen.mark("ACTIVE_HTML_SCRIPT", "a page with a script");
    }
}
