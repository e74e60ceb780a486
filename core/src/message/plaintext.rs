//! Addresses in texts: as `linkify` finds them, and where it does not.
//!
//! `linkify` takes every letter that is not ASCII for one of a host, which is right for hosts and wrong for Japanese, where
//! the sentence goes on behind an address without a space. So what it finds is cut there ([`runs_on`],
//! [`between_letters`]), and what no client makes a link of, but a reader types, is found besides ([`hidden_in_text`]).
//! All of this is linear in the text.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::parameter;
use super::part::Part;
use super::uri::FINDER;
use super::view::View;

/// What makes an address unclickable, and what it stands for.
const DEFANGED: [&str; 9] = ["hxxp", "hXXp", "HXXP", "Hxxp", "[.]", "(.)", "[dot]", "(dot)", "[:]"];
const PLAIN: [&str; 9] = ["http", "http", "http", "http", ".", ".", ".", ".", ":"];
static MARKS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let marks = AhoCorasick::new(DEFANGED);
    marks.unwrap_or_else(|error| unreachable!("nine short strings: {error}"))
});

/// The same where ordinary mail may have it for another reason: `[DOT]` is a ministry, too.
const HALF_DEFANGED: [&str; 12] = [
    " [dot] ", " (dot) ", "[dot]", "(dot)", "{dot}", "[.]", "(.)", "{.}", "[.", "[://]", "[:]",
    "hxxp",
];
const HALF_PLAIN: [&str; 12] = [".", ".", ".", ".", ".", ".", ".", ".", ".", "://", ":", "http"];
static HALF_MARKS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let mut marks = AhoCorasick::builder();
    marks.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest);
    let marks = marks.build(HALF_DEFANGED);
    marks.unwrap_or_else(|error| unreachable!("twelve short strings: {error}"))
});

/// Without a scheme, a link needs a known public suffix: `etc.But` is the end of a sentence, and
/// `report.doc` a file.
pub(super) fn is_link(link: &str) -> bool {
    link.contains("://") || can_be_registered(host_of(link))
}

fn can_be_registered(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known())
        && psl::domain_str(&host).is_some()
}

/// Host of a link as written.
fn host_of(link: &str) -> &str {
    let rest = if has_scheme(link) { link.split_once("://").map(|(_, rest)| rest) } else { None };
    let rest = rest.unwrap_or(link);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}

/// `example.com/?u=http://..` has none.
pub(super) fn has_scheme(link: &str) -> bool {
    link.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?', '#']))
}

/// Its scheme says that nobody is to follow it.
pub(super) fn is_defanged(link: &str) -> bool {
    link.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("hxxp"))
}

/// Makes addresses clickable again that were made unclickable; `None` if there is none.
pub(super) fn refang(text: &str) -> Option<String> {
    MARKS.is_match(text).then(|| MARKS.replace_all(text, &PLAIN))
}

/// Links of a text as they are.
pub(super) fn links_of(text: &str, mut found: impl FnMut(&str)) {
    for link in FINDER.links(text).filter(|link| is_link(link.as_str())) {
        found(link.as_str());
    }
}

/// Whether a link goes on in the sentence behind it: `https://example.com。`. Its host ends with no suffix that
/// anybody knows, and in front of its first letter that is not ASCII there is a whole address.
pub(super) fn runs_on(link: &str) -> bool {
    let host = host_of(link);
    if host.is_ascii() || !has_scheme(link) || can_be_registered(host) {
        return false;
    }
    let end = link.find(|c: char| !c.is_ascii()).unwrap_or(link.len());
    is_whole(link.get(..end).unwrap_or(link))
}

/// Its host is all there: `http://www.` in front of Japanese letters is not.
fn is_whole(link: &str) -> bool {
    let host = host_of(link);
    can_be_registered(host) || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// Links that letters other than ASCII touch, with where they begin.
pub(super) fn between_letters(text: &str, mut found: impl FnMut(&str, usize)) {
    let mut at = 0_usize;
    for piece in text.split_inclusive(|c: char| !c.is_ascii()) {
        let run = piece.trim_end_matches(|c: char| !c.is_ascii());
        // Words within are found as they stand.
        let first = run.find(' ').unwrap_or(run.len());
        let last = run.rfind(' ').map_or(run.len(), |space| space + 1);
        for (from, to) in [(0, first), (last, run.len())] {
            let word = run.get(from..to).filter(|word| word.contains('.')).unwrap_or_default();
            for link in FINDER.links(word) {
                if is_whole(link.as_str()) && !is_defanged(link.as_str()) {
                    found(link.as_str(), at + from + link.start());
                }
            }
        }
        at += piece.len();
    }
}

/// Links that no client shows as such, and that a reader types: in full-width letters, with a mark that stands for a dot.
pub(super) fn hidden_in_text(text: &str, mut found: impl FnMut(&str)) {
    let wide = widened(text);
    if let Some(wide) = &wide {
        links_of(wide, &mut found);
    }
    for text in [Some(text), wide.as_deref()].into_iter().flatten() {
        if HALF_MARKS.is_match(text) {
            links_of(&HALF_MARKS.replace_all(text, &HALF_PLAIN), &mut found);
        }
    }
}

/// The words of a text in which full-width letters stand for ASCII, one a line, with ASCII for them.
fn widened(text: &str) -> Option<String> {
    let fold = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => u32::from(c).checked_sub(0xfee0).and_then(char::from_u32),
        '\u{2010}'..='\u{2012}' | '\u{2212}' => Some('-'),
        '!'..='~' => Some(c),
        _ => None,
    };
    if text.is_ascii() {
        return None;
    }
    let mut out = String::new();
    for word in text.split(|c| fold(c).is_none()).filter(|word| !word.is_ascii()) {
        let start = out.len();
        out.extend(word.chars().filter_map(fold));
        if out.get(start..).is_some_and(|word| word.contains('.')) {
            out.push('\n');
        } else {
            out.truncate(start);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The text of a part whose lines a client joins: `format=flowed` with `delsp` (RFC 3676 section 4.1), calendars and cards
/// (RFC 5545 section 3.1). An address is in two pieces there for everybody else.
pub(super) fn unfolded(view: &View<'_>, part: &Part<'_>) -> Option<String> {
    let text = part.text();
    if matches!(&*part.content_type, "text/calendar" | "text/vcard" | "text/x-vcard") {
        let lines = text.replace("\r\n", "\n");
        return Some(lines.replace("\n ", "").replace("\n\t", ""));
    }
    if &*part.content_type != "text/plain" {
        return None;
    }
    let own = part.fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"));
    let field = own.or_else(|| view.fields_named("content-type").next())?;
    let says = |name: &str, value: &str| {
        let values = parameter::values(&field.raw_value, name);
        values.first().is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    if !says("format", "flowed") || !says("delsp", "yes") {
        return None;
    }
    let lines = text.replace("\r\n", "\n");
    Some(lines.replace(" \n", ""))
}
