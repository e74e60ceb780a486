//! PCRE2 with bounds.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use pcre2::bytes::{Regex, RegexBuilder};

use super::literals::begins_lines;
use super::rule::Pattern;
use super::simplify::words_of;

/// Steps of one match; some milliseconds at worst.
const STEPS_MAX: u32 = 200_000;
/// Octets of stack that compiled code may use in one match.
const STACK_BYTES_MAX: usize = 256 * 1024;

/// A bound was reached: it is not known if the expression matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitReached;

/// An expression ready to run.
#[derive(Debug)]
pub(super) struct Confirm {
    regex: Regex,
    /// It is these strings and nothing else: counting them takes no PCRE2.
    words: Option<Words>,
}

/// Strings to be counted.
#[derive(Debug)]
struct Words {
    /// Those of one octet that is in no other string: no match of theirs is in the way of another one.
    octets: Vec<u8>,
    others: Option<AhoCorasick>,
}

impl Words {
    fn new(pattern: &Pattern) -> Option<Self> {
        let words = words_of(pattern)?;
        let alone = |word: &Vec<u8>| match word.as_slice() {
            [octet] => !words.iter().any(|other| other.len() > 1 && other.contains(octet)),
            _ => false,
        };
        let (mut octets, others): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
            words.iter().cloned().partition(alone);
        octets.sort_unstable();
        octets.dedup();
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostFirst).kind(Some(AhoCorasickKind::DFA));
        let others = match others.as_slice() {
            [] => None,
            others => Some(builder.build(others).ok()?),
        };
        Some(Self { octets: octets.concat(), others })
    }

    fn count(&self, unit: &[u8], most: u32) -> u32 {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let octets = self.octets.iter().map(|octet| memchr::memchr_iter(*octet, unit).count());
        let others =
            self.others.as_ref().map_or(0, |words| words.find_iter(unit).take(most).count());
        u32::try_from((octets.sum::<usize>() + others).min(most)).unwrap_or(u32::MAX)
    }
}

impl Confirm {
    /// Compiles `pattern`, or says why PCRE2 does not take it.
    pub(super) fn new(pattern: &Pattern) -> Result<Self, String> {
        let words = Words::new(pattern);
        Ok(Self { regex: Self::compile(pattern, &pattern.text)?, words })
    }

    fn compile(pattern: &Pattern, text: &str) -> Result<Regex, String> {
        // Bounds go in front of the expression; the line end is LF whatever the library was built
        // with, as libhs has it.
        let text = format!("(*LIMIT_MATCH={STEPS_MAX})(*LF){text}");
        RegexBuilder::new()
            .caseless(pattern.caseless)
            .multi_line(pattern.multiline)
            .dotall(pattern.dotall)
            .extended(pattern.extended)
            .utf(pattern.utf)
            .ucp(pattern.utf)
            .jit_if_available(true)
            .max_jit_stack_size(Some(STACK_BYTES_MAX))
            .build(&text)
            .map_err(|error| error.to_string())
    }

    /// If it matches anywhere in `unit`.
    pub(super) fn matches(&self, unit: &[u8]) -> Result<bool, LimitReached> {
        // Any failure of a match is a bound of one kind or another (steps, depth, stack, heap).
        self.regex.is_match(unit).map_err(|_| LimitReached)
    }

    /// The first match in `unit`; `None` also where a bound was reached.
    pub(super) fn first(&self, unit: &[u8]) -> Option<Range<usize>> {
        let found = self.regex.find(unit).ok()??;
        Some(found.start()..found.end())
    }

    /// How often it matches in `unit`, at most `most` times.
    pub(super) fn count(&self, unit: &[u8], most: u32) -> Result<u32, LimitReached> {
        if let Some(words) = &self.words {
            return Ok(words.count(unit, most));
        }
        let mut count = 0;
        for found in self.regex.find_iter(unit) {
            found.map_err(|_| LimitReached)?;
            count += 1;
            if count >= most {
                break;
            }
        }
        Ok(count)
    }
}

/// Brings places into the order in which [`Anchored::count`] takes them.
pub(super) fn in_order(places: &mut Vec<Range<usize>>) {
    places.sort_unstable_by_key(|range| (range.start, range.end));
    places.dedup_by(|next, kept| {
        let joins = next.start <= kept.end;
        if joins {
            kept.end = kept.end.max(next.end);
        }
        joins
    });
}

/// An expression that is tried at given places only.
#[derive(Debug)]
pub(super) struct Anchored {
    regex: Regex,
    /// A match begins where a line begins.
    at_line: bool,
}

impl Anchored {
    /// `None`: a match of `pattern` could begin elsewhere than where it is tried (`\K`), or each trial
    /// would look at all of the unit (UTF-8, which PCRE2 checks each time).
    pub(super) fn new(pattern: &Pattern) -> Option<Self> {
        if pattern.utf || pattern.text.contains("\\K") || pattern.text.contains("(*") {
            return None;
        }
        // The line end closes a comment at the end of an extended expression.
        let end = if pattern.extended { "\n)" } else { ")" };
        let text = format!("\\G(?:{}{end}", pattern.text);
        let regex = Confirm::compile(pattern, &text).ok()?;
        Some(Self { regex, at_line: begins_lines(pattern) })
    }

    /// How often it matches in `unit` with its beginning in one of `places` (in their order, none
    /// before the one in front of it), at most `most` times: what [`Confirm::count`] counts if no
    /// match begins anywhere else.
    pub(super) fn count(
        &self,
        unit: &[u8],
        places: &[Range<usize>],
        most: u32,
    ) -> Result<u32, LimitReached> {
        let mut count = 0;
        let mut free_from = 0;
        for places in places {
            for place in places.start..places.end.min(unit.len()) {
                let line = place.checked_sub(1).and_then(|before| unit.get(before));
                if place < free_from || (self.at_line && line.is_some_and(|c| *c != b'\n')) {
                    continue;
                }
                if most == 1 {
                    if self.regex.is_match_at(unit, place).map_err(|_| LimitReached)? {
                        return Ok(1);
                    }
                } else if let Some(found) =
                    self.regex.find_at(unit, place).map_err(|_| LimitReached)?
                {
                    count += 1;
                    free_from = found.end().max(place + 1);
                    if count >= most {
                        return Ok(count);
                    }
                }
            }
        }
        Ok(count)
    }
}
