//! Looking for the expressions of a set in the texts of a message.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::Input as WordInput;
use regex_automata::Input;
use xxhash_rust::xxh3::xxh3_64;

use super::expression::{Check, ContentHit, Place, WordMatch};
use super::identifier::{Identifier, luhn, mod97};
use super::set::{Compiled, ContentSet, Slot};
use super::text::{Text, Texts};

/// Octets that are searched without a pause.
const WINDOW_BYTES: usize = 64 * 1024;
/// Longest match of a regular expression, in octets; one that goes on is cut there.
const MATCH_BYTES_MAX: usize = 4096;
/// Matches of one slot in one text that are kept: who sends more has fulfilled every count.
const FOUND_MAX: usize = 2_000;
/// Matches of words in one window of a text: nested words are found once for each that ends there.
const NESTED_MAX: usize = 200_000;
/// Characters of an excerpt.
const EXCERPT_CHARS_MAX: usize = 60;

/// One match.
#[derive(Clone, Debug)]
struct Found {
    at: Range<usize>,
    /// Number of the word; 0 for what has no words.
    word: u32,
}

/// What is known of an expression after some texts.
#[derive(Default)]
struct Tally {
    count: u32,
    distinct: HashSet<u64>,
    words: HashSet<u32>,
    first: Option<(Box<str>, Box<str>)>,
}

/// Looks for all of `set` in `texts`.
pub(super) async fn run(
    set: &ContentSet,
    texts: &Texts,
    pause: &impl AsyncFn(),
) -> Vec<ContentHit> {
    let mut tallies: Vec<Tally> = Vec::new();
    tallies.resize_with(set.expressions.len(), Tally::default);
    for text in &texts.all {
        if !set.looks_in(&text.place) {
            continue;
        }
        let found = search(set, (texts, text), pause).await;
        for (expression, tally) in set.expressions.iter().zip(&mut tallies) {
            if expression.source.looks_in(&text.place) {
                count(set, expression, (text, &found), tally);
            }
        }
        pause().await;
    }
    let hit = |(expression, tally): (&Compiled, Tally)| {
        let all = expression.all_of.is_none_or(|all| tally.words.len() >= all as usize);
        let count = match expression.source.distinct {
            true => u32::try_from(tally.distinct.len()).unwrap_or(u32::MAX),
            false => tally.count,
        };
        let (place, excerpt) = tally.first?;
        let fulfilled = all && count >= expression.source.count_min.max(1);
        fulfilled.then_some(ContentHit { id: expression.id, count, place, excerpt })
    };
    set.expressions.iter().zip(tallies).filter_map(hit).collect()
}

/// All matches of all slots in one text.
async fn search(
    set: &ContentSet,
    (texts, text): (&Texts, &Text),
    pause: &impl AsyncFn(),
) -> Vec<Vec<Found>> {
    let mut found: Vec<Vec<Found>> = vec![Vec::new(); set.slots.len()];
    let asked = |slot: usize| {
        set.expressions.iter().any(|one| {
            (one.main == slot || one.near.is_some_and(|(near, _)| near == slot))
                && one.source.looks_in(&text.place)
        })
    };
    let asked: Vec<bool> = (0..set.slots.len()).map(asked).collect();
    let windows = windows(&text.plain);
    let mut seen = vec![false; set.owners.len()];
    for window in &windows {
        let full = words(set, text, window, (&asked, &mut seen, &mut found));
        texts.over.set(texts.over.get() || full);
        pause().await;
    }
    for (index, slot) in set.slots.iter().enumerate() {
        let Some(found) = found.get_mut(index).filter(|_| asked.get(index) == Some(&true)) else {
            continue;
        };
        for window in &windows {
            let full = match slot {
                Slot::Words { .. } => break,
                Slot::Regex { .. } if !texts.affords(window.len()) => break,
                Slot::Regex { regex, check } => {
                    matches(regex, *check, (&text.plain, window), found)
                }
                Slot::Identifier(what) => identifiers(*what, &text.plain, window, found),
            };
            pause().await;
            if full {
                // What is behind them was not counted, and may be what stands near something.
                texts.over.set(true);
                break;
            }
        }
    }
    found
}

/// The ranges in which matches begin, cut between characters.
fn windows(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::with_capacity(text.len() / WINDOW_BYTES + 1);
    let mut at = 0;
    while at < text.len() {
        let end = text.ceil_char_boundary((at + WINDOW_BYTES).min(text.len()));
        out.push(at..end);
        at = end;
    }
    out
}

/// True when something was found and not kept. Of each word at least one is kept.
fn words(
    set: &ContentSet,
    text: &Text,
    window: &Range<usize>,
    (asked, seen, found): (&[bool], &mut [bool], &mut [Vec<Found>]),
) -> bool {
    let Some(automaton) = &set.words else { return false };
    let mut full = false;
    let folded = text.folded();
    let end = (window.end + set.longest).min(folded.len());
    let input = WordInput::new(folded).range(window.start..end);
    for hit in automaton.find_overlapping_iter(input).take(NESTED_MAX) {
        let at = hit.start()..hit.end();
        let Some(owner) = set.owners.get(hit.pattern().as_usize()) else { continue };
        let is_asked = asked.get(owner.slot) == Some(&true);
        if !window.contains(&at.start) || !is_asked {
            continue;
        }
        let Some(Slot::Words { how }) = set.slots.get(owner.slot) else { continue };
        let fits = match how {
            WordMatch::Part | WordMatch::Wildcard => true,
            WordMatch::Word => is_word(folded, &at),
            WordMatch::Whole => is_whole(folded, &at),
        };
        let Some(found) = found.get_mut(owner.slot).filter(|_| fits) else { continue };
        let first = seen
            .get_mut(hit.pattern().as_usize())
            .is_some_and(|seen| !std::mem::replace(seen, true));
        if first || found.len() < FOUND_MAX {
            found.push(Found { at, word: owner.word });
        } else {
            full = true;
        }
    }
    full
}

/// Not a part of a longer word. Between Japanese characters, and between them and others, there is
/// always a boundary.
fn is_word(text: &str, at: &Range<usize>) -> bool {
    let spaced = |c: char| c.is_alphanumeric() && u32::from(c) < 0x2E80;
    let pair =
        |one: Option<char>, two: Option<char>| one.is_some_and(spaced) && two.is_some_and(spaced);
    let before = text.get(..at.start).and_then(|text| text.chars().next_back());
    let after = text.get(at.end..).and_then(|text| text.chars().next());
    let word = text.get(at.clone()).unwrap_or_default();
    !pair(before, word.chars().next()) && !pair(word.chars().next_back(), after)
}

/// The whole text, or a whole line of one that has lines: of a body, a paragraph.
fn is_whole(text: &str, at: &Range<usize>) -> bool {
    let octets = text.as_bytes();
    let begins = at.start == 0 || octets.get(at.start - 1) == Some(&b'\n');
    begins && matches!(octets.get(at.end), None | Some(b'\n'))
}

/// True when no more is wanted.
fn matches(
    regex: &regex_automata::meta::Regex,
    check: Check,
    (text, window): (&str, &Range<usize>),
    found: &mut Vec<Found>,
) -> bool {
    let end = text.ceil_char_boundary((window.end + MATCH_BYTES_MAX).min(text.len()));
    let from = found.last().map_or(window.start, |last| last.at.end.max(window.start));
    let input = Input::new(text).range(from.min(end)..end);
    for hit in regex.find_iter(input) {
        if hit.start() >= window.end {
            return false;
        }
        let at = hit.range();
        if at.is_empty() || !passes(check, text.get(at.clone()).unwrap_or_default()) {
            continue;
        }
        if found.len() >= FOUND_MAX {
            return true;
        }
        found.push(Found { at, word: 0 });
    }
    false
}

fn passes(check: Check, text: &str) -> bool {
    match check {
        Check::None => true,
        Check::Luhn => luhn(&kept(text, u8::is_ascii_digit)),
        Check::Mod97 => mod97(&kept(text, u8::is_ascii_alphanumeric)),
    }
}

fn kept(text: &str, which: impl Fn(&u8) -> bool) -> Vec<u8> {
    text.bytes().filter(|octet| which(octet)).collect()
}

fn identifiers(
    what: Identifier,
    text: &str,
    window: &Range<usize>,
    found: &mut Vec<Found>,
) -> bool {
    what.find(text, window.clone(), &mut |at| {
        found.push(Found { at, word: 0 });
        found.len() < FOUND_MAX
    });
    found.len() >= FOUND_MAX
}

/// Adds what one text has of an expression.
fn count(
    set: &ContentSet,
    expression: &Compiled,
    (text, found): (&Text, &[Vec<Found>]),
    tally: &mut Tally,
) {
    let main = found.get(expression.main).map_or(&[][..], Vec::as_slice);
    let near = expression
        .near
        .map(|(slot, chars)| (found.get(slot).map_or(&[][..], Vec::as_slice), chars as usize));
    // Both in the order of their beginnings, so one walk over the two is enough.
    let mut behind = 0_usize;
    for one in main {
        if let Some((others, chars)) = near
            && !is_near(&text.plain, &one.at, (others, &mut behind), chars)
        {
            continue;
        }
        let octets = text.plain.get(one.at.clone()).unwrap_or_default();
        tally.count = tally.count.saturating_add(1);
        tally.words.insert(one.word);
        if tally.distinct.len() < FOUND_MAX {
            let folded = text.folded().get(one.at.clone()).unwrap_or_default();
            tally.distinct.insert(xxh3_64(&kept_or_all(folded)));
        }
        if tally.first.is_none() {
            let slot = set.slots.get(expression.main);
            tally.first = Some((place(text), excerpt(slot, octets)));
        }
    }
}

/// What makes a value: its letters and digits, if it has any (`4111-1111` is `4111 1111`).
fn kept_or_all(text: &str) -> Vec<u8> {
    let kept: Vec<u8> = text.bytes().filter(|o| o.is_ascii_alphanumeric() || *o > 127).collect();
    if kept.is_empty() { text.as_bytes().to_vec() } else { kept }
}

/// Whether one of `others` is at most `chars` characters away.
fn is_near(
    text: &str,
    at: &Range<usize>,
    (others, behind): (&[Found], &mut usize),
    chars: usize,
) -> bool {
    let widest = chars.saturating_mul(4).saturating_add(MATCH_BYTES_MAX);
    while others.get(*behind).is_some_and(|other| other.at.start + widest < at.start) {
        *behind += 1;
    }
    let gap = |from: usize, to: usize| match text.get(from..to) {
        Some(between) if between.len() <= chars.saturating_mul(4) => between.chars().count(),
        Some(_) => usize::MAX,
        // They overlap.
        None => 0,
    };
    let others = others.get(*behind..).unwrap_or_default();
    others
        .iter()
        .take_while(|other| other.at.start <= at.end.saturating_add(widest))
        .take(NEIGHBOURS_MAX)
        .any(|other| {
            let distance = if other.at.start >= at.end {
                gap(at.end, other.at.start)
            } else if other.at.end <= at.start {
                gap(other.at.end, at.start)
            } else {
                0
            };
            distance <= chars
        })
}

/// Neighbours that are looked at for one match.
const NEIGHBOURS_MAX: usize = 200;

fn place(text: &Text) -> Box<str> {
    match &text.place {
        Place::Field(name) => format!("header {name}").into(),
        Place::Attachment if !text.name.is_empty() => {
            let name: String = text.name.chars().take(100).collect();
            format!("attachment {name}").into()
        }
        place @ (Place::Subject
        | Place::Body
        | Place::Header
        | Place::AttachmentName
        | Place::Attachment) => place.name().into(),
    }
}

/// What is shown of a match: numbers but for their last four characters are not for logs.
fn excerpt(slot: Option<&Slot>, matched: &str) -> Box<str> {
    let hides: fn(&str) -> String = match slot {
        Some(Slot::Identifier(_)) => |text| masked(text, char::is_alphanumeric),
        Some(Slot::Regex { .. }) => |text| masked(text, |c| c.is_ascii_digit()),
        Some(Slot::Words { .. }) | None => str::to_owned,
    };
    let short: String = matched.chars().take(EXCERPT_CHARS_MAX).collect();
    hides(&short).into()
}

/// `text` with a star for all but the last four of the characters that `which` names.
fn masked(text: &str, which: impl Fn(char) -> bool) -> String {
    let all = text.chars().filter(|c| which(*c)).count();
    let mut seen = 0_usize;
    text.chars()
        .map(|c| {
            let hidden = which(c) && seen + 4 < all;
            seen += usize::from(which(c));
            if hidden { '*' } else { c }
        })
        .collect()
}
