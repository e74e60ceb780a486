//! Attached pages and drawings: scripts, and files that are put together in the reader's browser
//! ("HTML smuggling"), so that no scanner on the way sees them.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

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
const HANDLER: usize = 15;
const SCHEME: usize = 16;
const LOCATION: usize = 17;
const DATA_OCTETS: usize = 18;
const FRAME: usize = 19;
const EVENTS: usize = 20;
const DOWNLOAD_FIRST: usize = 21;
const DOWNLOAD_LAST: usize = 22;
const WORDS: [&str; 23] = [
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
    " onload=",
    "javascript:",
    "location",
    "data:;base64",
    "<foreignobject",
    " onerror=",
    " download h",
    " download>",
];
static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(WORDS);
    built.unwrap_or_else(|error| unreachable!("a few short strings: {error}"))
});

/// Whether text begins as a drawing does.
pub(super) fn is_svg(begin: &str) -> bool {
    let mut end = begin.len().min(2048);
    while !begin.is_char_boundary(end) {
        end -= 1;
    }
    begin.get(..end).is_some_and(|head| head.to_ascii_lowercase().contains("<svg"))
}

/// Marks of a page or drawing.
pub(super) fn look(octets: &[u8], seen: &mut Seen<'_, '_>) {
    let mut found = [false; WORDS.len()];
    // Pages in UTF-16 are read by browsers too.
    let narrow: Vec<u8>;
    let octets = if octets.starts_with(b"\xFF\xFE") || octets.starts_with(b"\xFE\xFF") {
        narrow = octets.iter().copied().filter(|octet| *octet != 0).collect();
        &narrow
    } else {
        octets
    };
    for hit in FINDER.find_overlapping_iter(octets) {
        if let Some(slot) = found.get_mut(hit.pattern().as_usize()) {
            *slot = true;
        }
    }
    let has = |word: usize| found.get(word).copied().unwrap_or(false);
    let script = has(SCRIPT) || has(HANDLER) || has(EVENTS) || has(SCHEME);
    let data = has(DATA) || has(DATA_OCTETS);
    let attribute = has(DOWNLOAD_ATTRIBUTE) || has(DOWNLOAD_FIRST) || has(DOWNLOAD_LAST);
    let downloads = has(DOWNLOAD) || attribute;
    let made = has(BLOB) || has(BYTES) || has(BASE64);
    let smuggles = script && (has(SAVE_BLOB) || has(SAVE_OPEN_BLOB)) && made
        || script && has(OBJECT_URL) && made && (downloads || has(CLICK) || has(LOCATION))
        || data && downloads;
    if smuggles {
        seen.mark("ACTIVE_HTML_SMUGGLING", "a file is put together by the page and saved");
    }
    let unpacks = has(BASE64) || has(UNESCAPE) || has(FROM_CODES);
    if script && unpacks && (has(EVAL) || has(WRITE)) {
        seen.mark("ACTIVE_HTML_OBFUSCATED", "a script that unpacks itself");
    }
    let text = String::from_utf8_lossy(octets.get(..4096).unwrap_or(octets));
    let begin = text.trim_start_matches('\u{FEFF}').trim_start();
    let svg = begin.get(..5).is_some_and(|head| !head.eq_ignore_ascii_case("<html"))
        && is_svg(begin)
        && !text.to_ascii_lowercase().contains("<html");
    if svg && (script || has(FRAME) && data) {
        seen.mark("ACTIVE_SVG_SCRIPT", "a drawing with a script");
    } else if script {
        seen.mark("ACTIVE_HTML_SCRIPT", "a page with a script");
    }
}
