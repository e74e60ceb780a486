//! What an expression matches at least if nothing is counted, for automata.
//!
//! An automaton that counts has a state for each count of `{1,30}`, and for each combination of those of several. Forms to fill
//! in, a hundred words and then up to a hundred dots, are too large for libhs, and states without end for a lazy automaton
//! ([`super::lazy`]). Without counts they take libhs a third of a nanosecond for an octet. Anchors and word boundaries
//! stay. PCRE2 then decides.

use std::fmt::Write as _;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition};

use super::rule::Pattern;
use super::simplify::{anchored_core_of, shown_tree};

/// Syntax trees deeper than this are not looked at.
const DEPTH_MAX: usize = 200;
/// Longer ones take libhs seconds, if it takes them at all.
const OCTETS_MAX: usize = 8_000;
/// Shortest match that is worth looking for.
const MATCH_OCTETS_MIN: usize = 3;

/// The syntax tree; octets only.
pub(super) fn tree_of(pattern: &Pattern) -> Option<Hir> {
    let tree = uncounted(&anchored_core_of(pattern)?);
    (tree.properties().minimum_len()? >= MATCH_OCTETS_MIN).then_some(tree)
}

/// The expression, to be compiled with `DOTALL`, `MULTILINE` and (if the rule has it) `CASELESS`.
pub(super) fn text_of(pattern: &Pattern) -> Option<String> {
    let mut out = String::new();
    write_hir(&tree_of(pattern)?, pattern.caseless, &mut out, 0)?;
    (out.len() <= OCTETS_MAX).then_some(out)
}

/// Counts above this are of gaps: libhs has a state for each place in one, and determines them all.
const GAP_OCTETS: u32 = 64;

/// Whether the expression counts over a gap of almost any octets: two words within two hundred octets of each other.
pub(super) fn counts_far(pattern: &Pattern) -> bool {
    shown_tree(pattern).is_some_and(|tree| has_gap(&tree))
}

fn has_gap(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let far = repetition.max.is_some_and(|most| most > GAP_OCTETS);
            // One character: of UTF-8 it is an alternation of classes.
            let wide = repetition.sub.properties().minimum_len() == Some(1);
            far && wide || has_gap(&repetition.sub)
        }
        HirKind::Capture(capture) => has_gap(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_gap),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => false,
    }
}

/// A repetition that may come more than once may come any number of times.
fn uncounted(hir: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(uncounted).collect();
    match hir.kind() {
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            max: repetition.max.filter(|most| *most <= 1),
            sub: Box::new(uncounted(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => uncounted(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

fn write_hir(hir: &Hir, caseless: bool, out: &mut String, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX || out.len() > OCTETS_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Concat(parts) => {
            for part in parts {
                write_hir(part, caseless, out, depth + 1)?;
            }
        }
        HirKind::Capture(capture) => return write_hir(&capture.sub, caseless, out, depth + 1),
        HirKind::Empty => out.push_str("(?:)"),
        HirKind::Look(look) => out.push_str(match look {
            Look::Start | Look::StartLF => "^",
            Look::End | Look::EndLF => "$",
            Look::WordAscii => "\\b",
            Look::WordAsciiNegate => "\\B",
            _ => "(?:)",
        }),
        HirKind::Literal(literal) => literal.0.iter().for_each(|octet| write_octet(*octet, out)),
        HirKind::Class(Class::Bytes(class)) => write_class(class, caseless, out),
        HirKind::Class(Class::Unicode(_)) => return None,
        HirKind::Alternation(parts) => {
            out.push_str("(?:");
            for (number, part) in parts.iter().enumerate() {
                out.push_str(if number > 0 { "|" } else { "" });
                write_hir(part, caseless, out, depth + 1)?;
            }
            out.push(')');
        }
        HirKind::Repetition(repetition) => {
            out.push_str("(?:");
            write_hir(&repetition.sub, caseless, out, depth + 1)?;
            out.push(')');
            // Writing to a String cannot fail.
            let _ = match (repetition.min, repetition.max) {
                (0, None) => write!(out, "*"),
                (1, None) => write!(out, "+"),
                (0, Some(1)) => write!(out, "?"),
                (least, None) => write!(out, "{{{least},}}"),
                (least, Some(most)) => write!(out, "{{{least},{most}}}"),
            };
        }
    }
    Some(())
}

fn write_octet(octet: u8, out: &mut String) {
    if octet.is_ascii_alphanumeric() || octet == b' ' {
        out.push(char::from(octet));
    } else {
        let _ = write!(out, "\\x{octet:02x}");
    }
}

/// A letter in both cases is that letter if case does not count; what is shorter said by what is not in it is said so.
fn write_class(class: &ClassBytes, caseless: bool, out: &mut String) {
    if let [upper, lower] = class.ranges()
        && caseless
        && upper.start() == upper.end()
        && lower.start() == lower.end()
        && upper.start().to_ascii_lowercase() == lower.start()
    {
        return write_octet(lower.start(), out);
    }
    let mut other = class.clone();
    other.negate();
    let (ranges, sign) =
        if other.ranges().len() < class.ranges().len() && !other.ranges().is_empty() && !caseless {
            (other.ranges(), "^")
        } else {
            (class.ranges(), "")
        };
    let _ = write!(out, "[{sign}");
    for range in ranges {
        write_range(*range, out);
    }
    out.push(']');
}

fn write_range(range: ClassBytesRange, out: &mut String) {
    write_octet(range.start(), out);
    if range.start() != range.end() {
        out.push('-');
        write_octet(range.end(), out);
    }
}
