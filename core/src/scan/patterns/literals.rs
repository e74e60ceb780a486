//! Necessary literals: sets of strings, of each of which every match of an expression contains one.
//!
//! Found on the syntax tree, conservatively: `exact` is the finite set of all strings that a node
//! matches, `needed` are sets of each of which its matches contain one, with how far from the match's
//! beginning that may be. Letters A to Z are lower case
//! in both and found in any case, which can only let more through.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::distance::Distance;
use super::relax::relax;
use super::rule::Pattern;
use super::simplify::anchored_tree;
use super::tier::SAMPLE;

/// Strings in one set.
const STRINGS_MAX: usize = 256;
/// Octets of one string.
const OCTETS_MAX: usize = 24;
/// Values of one class that are tried one by one.
const CLASS_MAX: usize = 12;
/// Chance of a hit per octet above which a set is not worth having.
const CHANCE_MAX: f64 = 8e-3;

/// Strings of a set that is looked for one by one.
const ALSO_STRINGS_MAX: usize = 16;
/// Sets that are kept of one expression, the rarest first.
const SETS_MAX: usize = 4;
/// The same where PCRE2 then only looks at the place itself.
const NEAR_CHANCE_MAX: f64 = 8e-2;
/// Pairs of strings of two sets that are compared.
const COMPARED_MAX: usize = 4096;
/// Strings that matches begin or end with.
const ENDS_MAX: usize = 16;
/// Octets after which strings of a gate may be cut.
const CUTS: [usize; 5] = [4, 5, 6, 8, 12];
/// Sets of so many strings are left as they are.
const FEW_STRINGS: usize = 8;
/// A gate this rare need not be rarer.
const TELLING_CHANCE: f64 = 1e-5;

pub(super) type Set = Vec<Vec<u8>>;

/// A set of strings, and where each of them is in a match.
pub(super) type Placed = BTreeMap<Vec<u8>, Distance>;

fn placed(set: Set, distance: Distance) -> Placed {
    let mut placed = Placed::new();
    set.into_iter().for_each(|text| place(&mut placed, text, distance));
    placed
}

/// Strings that are shortened alike have the distances of all of them.
fn place(placed: &mut Placed, mut text: Vec<u8>, distance: Distance) {
    text.truncate(OCTETS_MAX);
    placed.entry(text).and_modify(|known| *known = known.or(distance)).or_insert(distance);
}

#[derive(Clone)]
struct Known {
    /// All strings that match.
    exact: Option<Set>,
    /// Every match begins with one of these, and ends with one of those.
    head: Option<Set>,
    tail: Option<Set>,
    /// Every match contains a string of each of these.
    needed: Vec<Placed>,
    /// Octets of a match.
    length: Distance,
}

impl Known {
    fn exactly(set: Set, length: Distance) -> Self {
        Self { exact: Some(set), ..Self::nothing(length) }
    }

    fn nothing(length: Distance) -> Self {
        Self { exact: None, head: None, tail: None, needed: Vec::new(), length }
    }

    /// What matches begin with.
    fn heads(&self) -> Option<&Set> {
        self.exact.as_ref().or(self.head.as_ref())
    }

    /// What matches end with.
    fn tails(&self) -> Option<&Set> {
        self.exact.as_ref().or(self.tail.as_ref())
    }

    /// All that is known to be necessary, the rarest set first.
    fn sets(self) -> Vec<Placed> {
        let exact = self.exact.map(|set| placed(set, Distance::NONE));
        rarest(exact.into_iter().chain(self.needed))
    }
}

/// What is necessary for a match of `pattern`.
#[derive(Clone, Debug, Default)]
pub(super) struct Necessary {
    /// Sets that may be worth waiting for, the rarest first.
    pub(super) gates: Vec<Gate>,
    /// Sets that a unit must have as well: worth a look before PCRE2 is asked, not worth waiting for.
    pub(super) also: Vec<Set>,
}

/// A set that a rule may wait for.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) strings: Placed,
    /// So rare that PCRE2 may look at all of a unit where one is seen.
    pub(super) rare: bool,
    /// So near to where a match begins that PCRE2 needs to look only there.
    pub(super) near: bool,
}

/// What every match of `pattern` contains.
pub(super) fn necessary(pattern: &Pattern) -> Necessary {
    let sets = sets_of(pattern).unwrap_or_default();
    let at_line = begins_lines(pattern);
    let near = |set: &Placed| set.values().all(|distance| distance.is_near(at_line));
    let gate = |set: &Placed| {
        let chance = chance(set.keys());
        let near = chance <= NEAR_CHANCE_MAX && near(set);
        Gate { strings: fewer(set, chance), rare: chance <= CHANCE_MAX, near }
    };
    let gates = sets.iter().map(gate).filter(|gate| gate.rare || gate.near).collect();
    let rare = sets.first().is_some_and(|set| chance(set.keys()) <= CHANCE_MAX);
    let also = sets.into_iter().skip(usize::from(rare)).map(|set| set.into_keys().collect());
    let also = also.filter(|set: &Set| set.len() <= ALSO_STRINGS_MAX).take(SETS_MAX - 1).collect();
    Necessary { gates, also }
}

/// As good a set with less in it: strings cut where their beginnings tell enough, none that begins with
/// another one. A literal database slows down with what is in it.
fn fewer(set: &Placed, chance_of_set: f64) -> Placed {
    let enough = chance_of_set.max(TELLING_CHANCE) * 1.25;
    let cut = |octets: usize| {
        let mut fewer = Placed::new();
        for (text, distance) in set {
            let text = text.get(..octets).unwrap_or(text);
            // In their order, what begins with another one comes behind it.
            let known = fewer.keys().next_back().filter(|known| text.starts_with(known)).cloned();
            place(&mut fewer, known.unwrap_or_else(|| text.to_vec()), *distance);
        }
        fewer
    };
    if set.len() <= FEW_STRINGS {
        return cut(OCTETS_MAX);
    }
    let cuts = CUTS.iter().map(|octets| cut(*octets));
    let mut good = cuts.filter(|fewer| chance(fewer.keys()) <= enough);
    good.next().unwrap_or_else(|| cut(OCTETS_MAX))
}

/// If every match begins where a line begins.
pub(super) fn begins_lines(pattern: &Pattern) -> bool {
    let starts = |hir: Hir| {
        let first = hir.properties().look_set_prefix();
        first.contains(Look::StartLF) || first.contains(Look::Start)
    };
    anchored_tree(pattern).is_some_and(starts)
}

fn sets_of(pattern: &Pattern) -> Option<Vec<Placed>> {
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
fn usable(set: &Placed) -> bool {
    !set.is_empty() && set.len() <= STRINGS_MAX && set.keys().all(|text| !text.is_empty())
}

/// The usable ones, the rarest first, no two alike.
fn rarest(sets: impl Iterator<Item = Placed>) -> Vec<Placed> {
    let mut keyed: Vec<(f64, Placed)> =
        sets.filter(usable).map(|set| (chance(set.keys()), set)).collect();
    keyed.sort_by(|one, two| one.0.total_cmp(&two.0));
    keyed.dedup_by(|one, two| one.1.keys().eq(two.1.keys()));
    let mut kept: Vec<Placed> = Vec::new();
    for (_, set) in keyed {
        if kept.len() < SETS_MAX && !kept.iter().any(|known| says_no_more(&set, known)) {
            kept.push(set);
        }
    }
    kept
}

/// If a text that has a string of `known` has one of `set` as well, and `set` is no nearer to where
/// a match begins.
fn says_no_more(set: &Placed, known: &Placed) -> bool {
    let span = |set: &Placed| {
        let spans = set.values().map(|at| at.most.map(|most| most.saturating_sub(at.least)));
        spans.map(|span| span.unwrap_or(u32::MAX)).max()
    };
    let inside = |text: &[u8]| set.keys().any(|part| memchr::memmem::find(text, part).is_some());
    set.len() * known.len() <= COMPARED_MAX
        && span(set) >= span(known)
        && known.keys().all(|text| inside(text))
}

/// Rough chance per octet of mail text that one of the strings begins there: by its octets, or by how often
/// it is in the sample, whichever is more. Rules are about what spam says, and half of that is what every
/// office says: of `account .{0,20}suspen` only the second word is worth waiting for.
fn chance<'s>(set: impl Iterator<Item = &'s Vec<u8>>) -> f64 {
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
    let of = |text: &[u8]| f64::max(by_octets(text), of_word(text)).max(in_sample(text));
    set.map(|text| of(text)).sum()
}

/// How often a string of `set` is to be expected per octet of mail.
pub(super) fn expected<'s>(set: impl Iterator<Item = &'s Vec<u8>>) -> f64 {
    set.map(|text| f64::max(of_word(text), in_sample(text))).sum()
}

/// The sample is short: a word that it lacks is still a word of some mails.
fn of_word(text: &[u8]) -> f64 {
    match text.len() {
        _ if !text.iter().all(|octet| octet.is_ascii_alphabetic() || *octet == b' ') => 0.0,
        0..=5 => 1e-4,
        6..=8 => 3e-5,
        _ => 1e-5,
    }
}

/// How often `text` begins in the sample, per octet.
fn in_sample(text: &[u8]) -> f64 {
    static LOWER: OnceLock<Vec<u8>> = OnceLock::new();
    let sample = LOWER.get_or_init(|| SAMPLE.to_ascii_lowercase().into_bytes());
    let times = memchr::memmem::find_iter(sample, text).count();
    let of = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    of(times) / of(sample.len().max(1))
}

fn look(hir: &Hir, depth: usize) -> Known {
    let length = Distance::of(hir);
    if depth > 250 {
        return Known::nothing(length);
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::exactly(vec![Vec::new()], length),
        HirKind::Literal(literal) => Known::exactly(vec![literal.0.to_ascii_lowercase()], length),
        HirKind::Class(class) => Known { exact: class_values(class), ..Known::nothing(length) },
        HirKind::Capture(capture) => look(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) => {
            let known = look(&repetition.sub, depth + 1);
            match (repetition.min, repetition.max) {
                (0, Some(0)) => Known::exactly(vec![Vec::new()], length),
                (0, Some(1)) => {
                    let exact = known.exact.map(|mut set| {
                        set.push(Vec::new());
                        shorten_none(set)
                    });
                    let exact = exact.filter(|set| set.len() <= STRINGS_MAX);
                    Known { exact, ..Known::nothing(length) }
                }
                (0, _) => Known::nothing(length),
                (low, high) => Known { length, ..repeated(&known, low, high == Some(low)) },
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
            alternatives(all, length)
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
        // However often it is there: it ends as it does once.
        let length = Distance { least: 0, most: None, lines: None };
        let tail = known.tails().cloned();
        joined.add(Known { tail, ..Known::nothing(length) });
    }
    joined.finish()
}

fn alternatives(all: Vec<Known>, length: Distance) -> Known {
    let mut exact: Option<Set> = Some(Vec::new());
    let mut needed: Option<Placed> = Some(Placed::new());
    let either = |ends: &dyn Fn(&Known) -> Option<&Set>| {
        let mut together = Set::new();
        for known in &all {
            together.extend(ends(known)?.iter().cloned());
        }
        Some(shorten_none(together)).filter(|set| set.len() <= ENDS_MAX)
    };
    let (head, tail) = (either(&Known::heads), either(&Known::tails));
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
                set.into_iter().for_each(|(text, distance)| place(&mut all, text, distance));
                Some(all).filter(|all| all.len() <= STRINGS_MAX)
            }
            _ => None,
        };
    }
    let needed = needed.into_iter().filter(usable).collect();
    Known { exact: exact.map(shorten_none), head, tail, needed, length }
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
    /// Octets before `run`, and before the next node.
    run_from: Distance,
    length: Distance,
    /// No node so far was not finite.
    whole: bool,
    /// What the first nodes begin with, once they are not finite.
    head: Option<Set>,
    needed: Vec<Placed>,
}

impl Default for Joined {
    fn default() -> Self {
        Self {
            run: vec![Vec::new()],
            run_from: Distance::NONE,
            length: Distance::NONE,
            whole: true,
            head: None,
            needed: Vec::new(),
        }
    }
}

impl Joined {
    fn add(&mut self, known: Known) {
        let from = self.length;
        let behind = from.plus(known.length);
        let Some(set) = known.exact else {
            if let Some(head) = known.head.filter(|head| self.has_room_for(head)) {
                self.run = crossed(&self.run, &head);
            }
            self.flush();
            let needed = std::mem::take(&mut self.needed);
            let moved = |set: Placed| -> Placed {
                set.into_iter().map(|(text, distance)| (text, from.plus(distance))).collect()
            };
            self.needed = rarest(needed.into_iter().chain(known.needed.into_iter().map(moved)));
            self.length = behind;
            self.run_from = behind;
            if let Some(tail) = known.tail.filter(|tail| tail.len() <= ENDS_MAX) {
                let lengths = || tail.iter().map(Vec::len);
                let (short, long) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
                self.run_from = behind.less(short).or(behind.less(long));
                self.run = tail;
            }
            return;
        };
        if !self.has_room_for(&set) {
            self.flush();
        }
        self.run = crossed(&self.run, &set);
        self.length = behind;
    }

    fn has_room_for(&self, set: &Set) -> bool {
        let longest = |set: &Set| set.iter().map(Vec::len).max().unwrap_or(0);
        self.run.len().saturating_mul(set.len()) <= STRINGS_MAX
            && longest(&self.run) + longest(set) <= 4 * OCTETS_MAX
    }

    /// The run so far ends: it is a set of its own, and what comes begins anew.
    fn flush(&mut self) {
        let run = std::mem::replace(&mut self.run, vec![Vec::new()]);
        let needed = std::mem::take(&mut self.needed);
        if self.whole {
            self.head = Some(run.clone()).filter(|head| head.len() <= ENDS_MAX);
        }
        self.needed = rarest(needed.into_iter().chain([placed(run, self.run_from)]));
        self.run_from = self.length;
        self.whole = false;
    }

    fn finish(mut self) -> Known {
        let length = self.length;
        if self.whole {
            let exact = Some(self.run);
            return Known { exact, needed: self.needed, ..Known::nothing(length) };
        }
        let tail = Some(self.run.clone()).filter(|tail| tail.len() <= ENDS_MAX);
        self.flush();
        let Self { head, needed, .. } = self;
        Known { exact: None, head, tail, needed, length }
    }
}

/// Each of `left` with each of `right` behind it.
fn crossed(left: &Set, right: &Set) -> Set {
    let of = |one: &Vec<u8>| right.iter().map(|two| [one.as_slice(), two].concat()).collect();
    shorten_none(left.iter().flat_map(|one| -> Vec<Vec<u8>> { of(one) }).collect())
}
