//! What PCRE2 is to look at: units of a slice by rule, whole or at some places.
//!
//! Notes come by the thousand for a long text, several for the same rule and unit. They are joined as they come, without
//! sorting: each rule runs one way (`tier`), each way goes through a slice once and from its front to its back, so
//! another note for the same unit follows the last one of its rule.

use std::ops::Range;

use crate::scan::patterns::rule::RuleIndex;

/// No place.
const NONE: u32 = u32::MAX;

/// One unit that one rule is to look at.
#[derive(Clone, Copy, Debug)]
pub(in crate::scan::patterns) struct Ask {
    pub(super) unit: u32,
    pub(super) rule: RuleIndex,
    /// All of it; else at the places alone.
    pub(super) whole: bool,
    /// The place that was noted last, by its number in `places`.
    last: u32,
}

/// A place, and the number of the one that was noted before it for the same rule and unit.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
    before: u32,
}

/// The notes of one slice.
#[derive(Debug, Default)]
pub(in crate::scan::patterns) struct Asked {
    asks: Vec<Ask>,
    places: Vec<Place>,
    /// By rule: the number of its last ask, if that is in `asks` and its own.
    by_rule: Vec<u32>,
}

impl Asked {
    /// Makes it fit that many rules.
    pub(super) fn fit(&mut self, rules: usize) {
        self.by_rule.clear();
        self.by_rule.resize(rules, 0);
    }

    pub(super) fn clear(&mut self) {
        self.asks.clear();
        self.places.clear();
    }

    /// The rule is to look at all of the unit.
    pub(super) fn whole(&mut self, unit: u32, rule: RuleIndex) {
        if let Some(ask) = self.ask(unit, rule) {
            ask.whole = true;
        }
    }

    /// A match of the rule may begin there, if it begins anywhere near the string that was seen.
    pub(super) fn near(&mut self, unit: u32, rule: RuleIndex, places: &Range<usize>) {
        let number = u32::try_from(self.places.len()).unwrap_or(NONE);
        let Some(ask) = self.ask(unit, rule) else { return };
        // Another string could not say the place: all of the unit is looked at anyway.
        if ask.whole {
            return;
        }
        let before = std::mem::replace(&mut ask.last, number);
        let octets = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (start, end) = (octets(places.start), octets(places.end));
        self.places.push(Place { start, end, before });
    }

    /// The note for this unit and rule, a new one if there is none.
    fn ask(&mut self, unit: u32, rule: RuleIndex) -> Option<&mut Ask> {
        let last = self.by_rule.get_mut(rule as usize)?;
        let known = self.asks.get(*last as usize);
        if !known.is_some_and(|ask| ask.rule == rule && ask.unit == unit) {
            *last = u32::try_from(self.asks.len()).ok()?;
            self.asks.push(Ask { unit, rule, whole: false, last: NONE });
        }
        self.asks.get_mut(*last as usize)
    }

    pub(super) fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// The places of an ask, the last one first.
    pub(super) fn places_of(&self, ask: &Ask) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut next = ask.last;
        std::iter::from_fn(move || {
            let place = self.places.get(next as usize)?;
            next = place.before;
            Some(place.start as usize..place.end as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_for_the_same_unit_are_one() {
        let mut asked = Asked::default();
        asked.fit(4);
        asked.near(0, 1, &(3..5));
        asked.whole(0, 2);
        asked.near(0, 1, &(8..9));
        asked.near(1, 1, &(0..1));
        asked.whole(1, 2);
        asked.near(1, 2, &(4..5));
        asked.near(1, 1, &(2..3));
        asked.whole(1, 1);
        // No such rule.
        asked.whole(0, 4);
        let all: Vec<_> = asked
            .asks()
            .iter()
            .map(|ask| (ask.unit, ask.rule, ask.whole, asked.places_of(ask).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            all,
            [
                (0, 1, false, vec![8..9, 3..5]),
                (0, 2, true, vec![]),
                (1, 1, true, vec![2..3, 0..1]),
                (1, 2, true, vec![]),
            ]
        );
        asked.clear();
        asked.whole(0, 3);
        asked.whole(0, 1);
        assert_eq!(asked.asks().len(), 2);
    }
}
