//! How far a string stands behind the beginning of a match, and so where a match can begin once it was
//! seen.

use std::ops::Range;

use regex_syntax::hir::{Class, ClassBytesRange, Hir, HirKind};
use serde::{Deserialize, Serialize};

/// Places near a string at which a match may begin; more are not tried one by one.
const NEAR_OCTETS: u32 = 16;
/// Lines before a string in which a match may begin, at their beginnings.
const NEAR_LINES: u32 = 3;
/// A longer line is not looked back over: PCRE2 then looks at all of the unit.
const LINE_OCTETS_MAX: usize = 4096;
/// Syntax trees deeper than this are not looked at.
const DEPTH_MAX: usize = 250;

/// Octets between the beginning of a match and that of a string in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Distance {
    pub(super) least: u32,
    /// `None`: any number.
    pub(super) most: Option<u32>,
    /// Line ends (LF) that may be among them; `None`: any number.
    pub(super) lines: Option<u32>,
}

impl Distance {
    /// No octet.
    pub(super) const NONE: Self = Self { least: 0, most: Some(0), lines: Some(0) };

    pub(super) fn of(hir: &Hir) -> Self {
        let number = |length: usize| u32::try_from(length).ok();
        let properties = hir.properties();
        let least = properties.minimum_len().and_then(number).unwrap_or(0);
        let most = properties.maximum_len().and_then(number);
        Self { least, most, lines: lines(hir, 0) }
    }

    /// If there are few places at which a match can begin that has the string somewhere.
    pub(super) fn is_near(self, at_line: bool) -> bool {
        let octets = self.most.is_some_and(|most| most.saturating_sub(self.least) < NEAR_OCTETS);
        octets || (at_line && self.lines.is_some_and(|lines| lines < NEAR_LINES))
    }

    /// Where matches can begin that have the string at `at` of `unit`; `None`: in too many places.
    pub(super) fn places(
        self,
        unit: &[u8],
        at: usize,
        add: &mut impl FnMut(Range<usize>),
    ) -> Option<()> {
        let far = |octets: u32| at.checked_sub(usize::try_from(octets).ok()?);
        // The unit begins too late for a match.
        let Some(last) = far(self.least) else { return Some(()) };
        if self.most.is_some_and(|most| most.saturating_sub(self.least) < NEAR_OCTETS) {
            add(self.most.and_then(far).unwrap_or(0)..last + 1);
            return Some(());
        }
        let mut end = at;
        for _ in 0..=self.lines? {
            let from = end.saturating_sub(LINE_OCTETS_MAX);
            let found = memchr::memrchr(b'\n', unit.get(from..end)?);
            let start = match found {
                Some(line_end) => from + line_end + 1,
                None if from == 0 => 0,
                None => return None,
            };
            add(start..start + 1);
            let Some(before) = start.checked_sub(1) else { break };
            end = before;
        }
        Some(())
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u32>, two: Option<u32>| one?.checked_add(two?);
        Self {
            least: self.least.saturating_add(other.least),
            most: sum(self.most, other.most),
            lines: sum(self.lines, other.lines),
        }
    }

    /// Whatever is in either.
    pub(super) fn or(self, other: Self) -> Self {
        let larger = |one: Option<u32>, two: Option<u32>| Some(one?.max(two?));
        Self {
            least: self.least.min(other.least),
            most: larger(self.most, other.most),
            lines: larger(self.lines, other.lines),
        }
    }

    /// With the last `octets` of it left out.
    pub(super) fn less(self, octets: usize) -> Self {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let most = self.most.map(|most| most.saturating_sub(octets));
        Self { least: self.least.saturating_sub(octets), most, ..self }
    }
}

/// Most line ends in a match of `hir`.
fn lines(hir: &Hir, depth: usize) -> Option<u32> {
    if depth > DEPTH_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(0),
        HirKind::Literal(literal) => {
            u32::try_from(memchr::memchr_iter(b'\n', &literal.0).count()).ok()
        }
        HirKind::Class(Class::Bytes(class)) => {
            let has = |range: &ClassBytesRange| (range.start()..=range.end()).contains(&b'\n');
            Some(u32::from(class.ranges().iter().any(has)))
        }
        HirKind::Class(Class::Unicode(_)) => None,
        HirKind::Capture(capture) => lines(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) => match lines(&repetition.sub, depth + 1)? {
            0 => Some(0),
            each => each.checked_mul(repetition.max?),
        },
        HirKind::Concat(parts) => {
            parts.iter().try_fold(0_u32, |all, part| all.checked_add(lines(part, depth + 1)?))
        }
        HirKind::Alternation(parts) => {
            parts.iter().try_fold(0_u32, |all, part| Some(all.max(lines(part, depth + 1)?)))
        }
    }
}
