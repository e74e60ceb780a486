//! A smaller expression that matches at least as much: what libhs scans in place of one that is
//! full of spellings.
//!
//! Rules against obfuscated words list hundreds of UTF-8 spellings for each letter. libhs makes an
//! automaton of thousands of states of one, slow to build and to run. Here all octets above ASCII
//! become one class, HTML entities their beginning, look-around and what may be empty at both ends
//! goes. A match of the original always contains a match of the result; PCRE2 then decides.

use std::fmt::Write as _;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassBytes, Hir, HirKind};

use super::relax::{relax, relax_with_anchors};
use super::rule::Pattern;

const DEPTH_MAX: usize = 200;
/// Strings that are counted without PCRE2.
const WORDS_MAX: usize = 256;
/// Results beyond this are not simple.
const OCTETS_MAX: usize = 3_000;
/// Shortest match that a result must have: libhs would fire everywhere.
const MATCH_OCTETS_MIN: usize = 3;

/// The simpler expression, to be compiled with `DOTALL` and (if the rule has it) `CASELESS`.
pub(super) fn simplify(pattern: &Pattern) -> Option<String> {
    let core = core_of(pattern)?;
    if core.properties().minimum_len()? < MATCH_OCTETS_MIN {
        return None;
    }
    let mut out = String::new();
    write_hir(&core, &mut out, 0)?;
    (out.len() <= OCTETS_MAX).then_some(out)
}

/// The syntax tree of what matches at least as much; octets only.
pub(super) fn tree_of(pattern: &Pattern) -> Option<Hir> {
    octets_tree(pattern, &relax(pattern)?)
}

/// The syntax tree of what every match contains; octets only.
pub(super) fn core_of(pattern: &Pattern) -> Option<Hir> {
    tree_of(pattern).map(|hir| core(&hir))
}

/// The same with anchors and word boundaries, for automata that run over one unit at a time.
pub(super) fn anchored_core_of(pattern: &Pattern) -> Option<Hir> {
    anchored_tree(pattern).map(|hir| core(&hir))
}

/// The syntax tree of what matches at least as much, with anchors and word boundaries; octets only.
pub(super) fn anchored_tree(pattern: &Pattern) -> Option<Hir> {
    octets_tree(pattern, &relax_with_anchors(pattern)?)
}

/// The syntax tree, of UTF-8 where the pattern is: only to look at.
pub(super) fn shown_tree(pattern: &Pattern) -> Option<Hir> {
    parsed(pattern, &relax_with_anchors(pattern)?)
}

/// The strings that `pattern` matches, in the order in which PCRE2 tries them; `None`: they are many,
/// or it has more than strings, classes and alternatives.
pub(super) fn words_of(pattern: &Pattern) -> Option<Vec<Vec<u8>>> {
    // What means other things to `regex-syntax` than to PCRE2.
    let other = ["\\x{", "&&", "--", "~~", "(?", "\\Q"];
    let text = pattern.text.replace("(?:", "(");
    let plain = text.is_ascii() && !other.iter().any(|other| text.contains(other));
    if pattern.utf || pattern.extended || !plain {
        return None;
    }
    let hir = octets_tree(pattern, &text)?;
    let words = words(&hir, 0)?;
    words.iter().all(|word| !word.is_empty()).then_some(words)
}

fn words(hir: &Hir, depth: usize) -> Option<Vec<Vec<u8>>> {
    if depth > DEPTH_MAX {
        return None;
    }
    let words = match hir.kind() {
        HirKind::Literal(literal) => vec![literal.0.to_vec()],
        HirKind::Class(Class::Bytes(class)) => {
            let octets = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            octets.take(WORDS_MAX + 1).map(|octet| vec![octet]).collect()
        }
        HirKind::Capture(capture) => words(&capture.sub, depth + 1)?,
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let ends = words(part, depth + 1)?;
                if all.len() * ends.len() > WORDS_MAX {
                    return None;
                }
                let with_ends = |word: &Vec<u8>| -> Vec<Vec<u8>> {
                    ends.iter().map(|end| [word.as_slice(), end].concat()).collect()
                };
                all = all.iter().flat_map(with_ends).collect();
            }
            all
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(words(part, depth + 1)?);
            }
            all
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Class(Class::Unicode(_)) => return None,
    };
    (words.len() <= WORDS_MAX).then_some(words)
}

fn octets_tree(pattern: &Pattern, relaxed: &str) -> Option<Hir> {
    if pattern.utf { None } else { parsed(pattern, relaxed) }
}

fn parsed(pattern: &Pattern, relaxed: &str) -> Option<Hir> {
    ParserBuilder::new()
        .unicode(pattern.utf)
        .utf8(false)
        .case_insensitive(pattern.caseless)
        .dot_matches_new_line(pattern.dotall)
        .nest_limit(200)
        .build()
        .parse(relaxed)
        .ok()
}

/// Without what may be empty at both ends: who contains a match contains one of the rest.
fn core(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Capture(capture) => core(&capture.sub),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(core).collect()),
        HirKind::Concat(parts) => {
            let may_be_empty = |part: &&Hir| {
                let properties = part.properties();
                properties.minimum_len().unwrap_or(0) == 0 && properties.look_set().is_empty()
            };
            let first = parts.iter().take_while(may_be_empty).count();
            let last = parts.iter().rev().take_while(may_be_empty).count();
            let kept = parts.get(first..parts.len().saturating_sub(last)).unwrap_or_default();
            Hir::concat(kept.to_vec())
        }
        _ => hir.clone(),
    }
}

/// Shortest and longest match of what matches octets above ASCII only.
fn high(hir: &Hir, depth: usize) -> Option<(usize, usize)> {
    if depth > DEPTH_MAX {
        return None;
    }
    let only_high = match hir.kind() {
        HirKind::Literal(literal) => literal.0.iter().all(|octet| *octet >= 0x80),
        HirKind::Class(Class::Bytes(class)) => class.ranges().iter().all(|r| r.start() >= 0x80),
        HirKind::Capture(capture) => high(&capture.sub, depth + 1).is_some(),
        HirKind::Repetition(repetition) => high(&repetition.sub, depth + 1).is_some(),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().all(|part| high(part, depth + 1).is_some())
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Unicode(_)) => false,
    };
    let low = hir.properties().minimum_len()?;
    only_high.then(|| (low, hir.properties().maximum_len().unwrap_or(usize::MAX)))
}

fn write_hir(hir: &Hir, out: &mut String, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX || out.len() > OCTETS_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => out.push_str("(?:)"),
        HirKind::Literal(literal) => {
            for octet in &literal.0 {
                let _ = write!(out, "\\x{octet:02x}");
            }
        }
        HirKind::Class(Class::Bytes(class)) => write_class(class, out),
        HirKind::Class(Class::Unicode(_)) => return None,
        HirKind::Capture(capture) => {
            out.push_str("(?:");
            write_hir(&capture.sub, out, depth + 1)?;
            out.push(')');
        }
        HirKind::Repetition(repetition) => {
            out.push_str("(?:");
            write_hir(&repetition.sub, out, depth + 1)?;
            out.push(')');
            let low = repetition.min;
            let _ = match (low, repetition.max) {
                (0, None) => write!(out, "*"),
                (1, None) => write!(out, "+"),
                (0, Some(1)) => write!(out, "?"),
                (low, None) => write!(out, "{{{low},}}"),
                (low, Some(high)) => write!(out, "{{{low},{high}}}"),
            };
        }
        HirKind::Concat(parts) => {
            for part in parts {
                write_hir(part, out, depth + 1)?;
            }
        }
        HirKind::Alternation(parts) => write_alternation(parts, out, depth)?,
    }
    Some(())
}

/// Octets above ASCII in a class count as all of them where there are several.
fn write_class(class: &ClassBytes, out: &mut String) {
    let highs = class.ranges().iter().filter(|range| range.start() >= 0x80).count();
    out.push('[');
    for range in class.ranges() {
        if highs > 1 && range.start() >= 0x80 {
            continue;
        }
        let _ = write!(out, "\\x{:02x}-\\x{:02x}", range.start(), range.end());
    }
    if highs > 1 {
        out.push_str("\\x80-\\xff");
    }
    out.push(']');
}

fn write_alternation(parts: &[Hir], out: &mut String, depth: usize) -> Option<()> {
    let mut highs: Option<(usize, usize)> = None;
    let mut entities: Option<(usize, usize)> = None;
    let mut written: Vec<String> = Vec::new();
    let widen = |old: Option<(usize, usize)>, (low, high): (usize, usize)| match old {
        Some((l, h)) => Some((l.min(low), h.max(high))),
        None => Some((low, high)),
    };
    for part in parts {
        if let Some(range) = high(part, 0) {
            highs = widen(highs, range);
            continue;
        }
        if starts_with_ampersand(part) {
            let low = part.properties().minimum_len()?;
            let high = part.properties().maximum_len()?;
            entities = widen(entities, (low.checked_sub(1)?, high.checked_sub(1)?));
            continue;
        }
        let mut text = String::new();
        write_hir(part, &mut text, depth + 1)?;
        written.push(text);
    }
    if let Some((low, high)) = highs {
        written.push(match high {
            usize::MAX => format!("[\\x80-\\xff]{{{low},}}"),
            high => format!("[\\x80-\\xff]{{{low},{high}}}"),
        });
    }
    if let Some((low, high)) = entities {
        written.push(format!("&.{{{low},{high}}}"));
    }
    let _ = write!(out, "(?:{})", written.join("|"));
    Some(())
}

fn starts_with_ampersand(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.first() == Some(&b'&') && literal.0.len() > 1,
        HirKind::Concat(parts) => match parts.first().map(Hir::kind) {
            Some(HirKind::Literal(literal)) => literal.0.first() == Some(&b'&'),
            _ => false,
        },
        _ => false,
    }
}
