//! Necessary literals: sets of strings, of each of which every match of an expression contains one.
//!
//! Found on the syntax tree, conservatively: `exact` is the finite set of all strings that a node
//! matches, `needed` are sets of each of which its matches contain one. Letters A to Z are lower case
//! in both and found in any case, which can only let more through.

use std::sync::OnceLock;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::relax::relax;
use super::rule::Pattern;
use super::tier::SAMPLE;

/// Strings in one set.
const STRINGS_MAX: usize = 256;
/// Octets of one string.
const OCTETS_MAX: usize = 24;
/// Values of one class that are tried one by one.
const CLASS_MAX: usize = 12;
/// Chance of a hit per octet above which a set is not worth having.
const CHANCE_MAX: f64 = 2e-3;

/// Strings of a set that is looked for one by one.
const ALSO_STRINGS_MAX: usize = 16;
/// Sets that are kept of one expression, the rarest first.
const SETS_MAX: usize = 3;

pub(super) type Set = Vec<Vec<u8>>;

#[derive(Clone, Default)]
struct Known {
    exact: Option<Set>,
    /// Every match contains a string of each of these.
    needed: Vec<Set>,
}

impl Known {
    fn exactly(set: Set) -> Self {
        Self { exact: Some(set), needed: Vec::new() }
    }

    /// All that is known to be necessary, the rarest set first.
    fn sets(self) -> Vec<Set> {
        rarest(self.exact.map(shorten).into_iter().chain(self.needed))
    }
}

/// What is necessary for a match of `pattern`.
#[derive(Clone, Debug, Default)]
pub(super) struct Necessary {
    /// A set that is rare enough to wait for.
    pub(super) gate: Option<Set>,
    /// Sets that a unit must have as well: worth a look before PCRE2 is asked, not worth waiting for.
    pub(super) also: Vec<Set>,
}

/// What every match of `pattern` contains.
pub(super) fn necessary(pattern: &Pattern) -> Necessary {
    let mut sets = sets_of(pattern).unwrap_or_default();
    let rare = sets.first().is_some_and(|set| chance(set) <= CHANCE_MAX);
    let gate = rare.then(|| sets.remove(0));
    sets.retain(|set| set.len() <= ALSO_STRINGS_MAX);
    Necessary { gate, also: sets }
}

fn sets_of(pattern: &Pattern) -> Option<Vec<Set>> {
    let relaxed = relax(pattern)?;
    let hir = ParserBuilder::new()
        .unicode(pattern.utf)
        .utf8(false)
        // In octets, case is left to the literal database; characters fold in other ways too.
        .case_insensitive(pattern.utf && pattern.caseless)
        .dot_matches_new_line(pattern.dotall)
        .multi_line(pattern.multiline)
        .nest_limit(200)
        .build()
        .parse(&relaxed)
        .ok()?;
    Some(look(&hir, 0).sets())
}

/// If `set` could be told from the text at all: no empty string in it.
fn usable(set: &Set) -> bool {
    !set.is_empty() && set.len() <= STRINGS_MAX && set.iter().all(|text| !text.is_empty())
}

/// The usable ones, the rarest first, no two alike.
fn rarest(sets: impl Iterator<Item = Set>) -> Vec<Set> {
    let mut keyed: Vec<(f64, Set)> = sets.filter(usable).map(|set| (chance(&set), set)).collect();
    keyed.sort_by(|one, two| one.0.total_cmp(&two.0));
    keyed.dedup_by(|one, two| one.1 == two.1);
    keyed.truncate(SETS_MAX);
    keyed.into_iter().map(|(_, set)| set).collect()
}

/// Rough chance per octet of mail text that one of the strings begins there: by its octets, or by how often
/// it is in the sample, whichever is more. Rules are about what spam says, and half of that is what every
/// office says: of `account .{0,20}suspen` only the second word is worth waiting for.
fn chance(set: &Set) -> f64 {
    let of_octet = |octet: u8| match octet {
        b' ' => 0.15,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 0.07,
        b'a'..=b'z' => 0.03,
        b'0'..=b'9' | b'<' | b'>' | b'/' | b'=' | b'"' | b'.' | b'-' | b'\n' => 0.025,
        0xe3 | 0x81 | 0x82 | 0x83 => 0.15,
        0x80..=0xff => 0.02,
        _ => 0.008,
    };
    let by_octets = |text: &[u8]| text.iter().take(8).map(|octet| of_octet(*octet)).product();
    set.iter().map(|text| f64::max(by_octets(text), in_sample(text))).sum()
}

/// How often `text` begins in the sample, per octet.
fn in_sample(text: &[u8]) -> f64 {
    static LOWER: OnceLock<Vec<u8>> = OnceLock::new();
    let sample = LOWER.get_or_init(|| SAMPLE.to_ascii_lowercase().into_bytes());
    let times = memchr::memmem::find_iter(sample, text).count();
    let of = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    of(times) / of(sample.len().max(1))
}

fn shorten(mut set: Set) -> Set {
    for text in &mut set {
        text.truncate(OCTETS_MAX);
    }
    set.sort();
    set.dedup();
    set
}

fn look(hir: &Hir, depth: usize) -> Known {
    if depth > 250 {
        return Known::default();
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::exactly(vec![Vec::new()]),
        HirKind::Literal(literal) => Known::exactly(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => Known { exact: class_values(class), needed: Vec::new() },
        HirKind::Capture(capture) => look(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) => {
            let known = look(&repetition.sub, depth + 1);
            match (repetition.min, repetition.max) {
                (0, Some(0)) => Known::exactly(vec![Vec::new()]),
                (0, Some(1)) => {
                    let exact = known.exact.map(|mut set| {
                        set.push(Vec::new());
                        shorten_none(set)
                    });
                    let exact = exact.filter(|set| set.len() <= STRINGS_MAX);
                    Known { exact, needed: Vec::new() }
                }
                (0, _) => Known::default(),
                (low, high) => repeated(&known, low, high == Some(low)),
            }
        }
        HirKind::Concat(parts) => {
            let mut joined = Joined::default();
            for part in parts {
                joined.add(look(part, depth + 1));
            }
            joined.finish()
        }
        HirKind::Alternation(parts) => {
            let all: Vec<Known> = parts.iter().map(|part| look(part, depth + 1)).collect();
            alternatives(all)
        }
    }
}

fn shorten_none(mut set: Set) -> Set {
    set.sort();
    set.dedup();
    set
}

/// At least `low` times one after the other (`low >= 1`).
fn repeated(known: &Known, low: u32, exactly: bool) -> Known {
    let mut joined = Joined::default();
    for _ in 0..low.min(8) {
        joined.add(known.clone());
    }
    if !exactly || low > 8 {
        joined.add(Known::default());
    }
    joined.finish()
}

fn alternatives(all: Vec<Known>) -> Known {
    let mut exact: Option<Set> = Some(Vec::new());
    let mut needed: Option<Set> = Some(Vec::new());
    for known in all {
        exact = match (exact, &known.exact) {
            (Some(mut all), Some(set)) => {
                all.extend(set.iter().cloned());
                Some(all).filter(|all| all.len() <= STRINGS_MAX)
            }
            _ => None,
        };
        needed = match (needed, known.sets().into_iter().next()) {
            (Some(mut all), Some(set)) => {
                all.extend(set);
                let all = shorten(all);
                Some(all).filter(|all| all.len() <= STRINGS_MAX)
            }
            _ => None,
        };
    }
    let needed = needed.into_iter().filter(usable).collect();
    Known { exact: exact.map(shorten_none), needed }
}

fn class_values(class: &Class) -> Option<Set> {
    let mut set: Set = Vec::new();
    match class {
        Class::Bytes(class) => {
            for range in class.ranges() {
                for octet in range.start()..=range.end() {
                    set.push(vec![octet.to_ascii_lowercase()]);
                    if set.len() > 4 * CLASS_MAX {
                        return None;
                    }
                }
            }
        }
        Class::Unicode(class) => {
            for range in class.ranges() {
                for c in range.start()..=range.end() {
                    set.push(c.to_string().into_bytes().to_ascii_lowercase());
                    if set.len() > 4 * CLASS_MAX {
                        return None;
                    }
                }
            }
        }
    }
    let set = shorten_none(set);
    (set.len() <= CLASS_MAX).then_some(set)
}

/// Nodes one after the other.
struct Joined {
    /// All strings of the nodes since the last one that is not finite.
    run: Set,
    /// No node so far was not finite.
    whole: bool,
    needed: Vec<Set>,
}

impl Default for Joined {
    fn default() -> Self {
        Self { run: vec![Vec::new()], whole: true, needed: Vec::new() }
    }
}

impl Joined {
    fn add(&mut self, known: Known) {
        let Some(set) = known.exact else {
            self.flush();
            let needed = std::mem::take(&mut self.needed);
            self.needed = rarest(needed.into_iter().chain(known.needed));
            return;
        };
        let longest = set.iter().map(Vec::len).max().unwrap_or(0);
        let now = self.run.iter().map(Vec::len).max().unwrap_or(0);
        if self.run.len().saturating_mul(set.len()) > STRINGS_MAX || now + longest > 4 * OCTETS_MAX
        {
            self.flush();
        }
        let mut crossed = Vec::with_capacity(self.run.len() * set.len());
        for left in &self.run {
            for right in &set {
                let mut both = left.clone();
                both.extend_from_slice(right);
                crossed.push(both);
            }
        }
        self.run = shorten_none(crossed);
    }

    /// The run so far ends: it is a set of its own, and what comes begins anew.
    fn flush(&mut self) {
        let run = std::mem::replace(&mut self.run, vec![Vec::new()]);
        let needed = std::mem::take(&mut self.needed);
        self.needed = rarest(needed.into_iter().chain([shorten(run)]));
        self.whole = false;
    }

    fn finish(mut self) -> Known {
        if self.whole {
            let exact = Some(self.run);
            return Known { exact, needed: self.needed };
        }
        self.flush();
        Known { exact: None, needed: self.needed }
    }
}
