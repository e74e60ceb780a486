//! What PCRE2 is asked once something cheaper did not say "no".

use std::ops::Range;

use memchr::memmem::Finder;

use crate::scan::patterns::confirm;
use crate::scan::patterns::open::Patterns;
use crate::scan::patterns::rule::RuleIndex;

use super::State;
use super::units::Slice;

/// Places of a unit that are always tried one by one.
const PLACES_FREE: usize = 8;
/// Trials, each with its own call, beyond one in so many octets cost more than one look at the unit.
const OCTETS_FOR_PLACE: usize = 24;

/// What PCRE2 could not finish.
pub(super) const STEPS: &str = "an expression reached its limit of steps";

impl Patterns {
    /// Lets PCRE2 look at what was noted for it.
    pub(super) fn confirm(&self, state: &mut State, slice: &Slice<'_>) {
        let asked = std::mem::take(&mut state.asked);
        let mut places = std::mem::take(&mut state.places);
        let mut lowered = None;
        for ask in asked.asks() {
            let Some(unit) = slice.unit(ask.unit as usize) else { continue };
            let most = self.most(state, ask.rule);
            if most == 0 || (ask.unit == 0 && self.skips_first(ask.rule)) {
                continue;
            }
            if !ask.whole {
                places.clear();
                places.extend(asked.places_of(ask));
                if self.confirm_near(state, ask.rule, unit, &mut places, most) {
                    continue;
                }
            }
            if let Some(also) = self.also.get(ask.rule as usize).filter(|also| !also.is_empty()) {
                if lowered != Some(ask.unit) {
                    lowered = Some(ask.unit);
                    state.lower.clear();
                    state.lower.extend(unit.iter().map(u8::to_ascii_lowercase));
                }
                let has =
                    |set: &Vec<Finder<'_>>| set.iter().any(|f| f.find(&state.lower).is_some());
                if !also.iter().all(has) {
                    continue;
                }
            }
            self.confirm_whole(state, ask.rule, unit, most);
        }
        state.asked = asked;
        state.places = places;
    }

    /// At places alone; `false` where they are so many that all of the unit costs less.
    fn confirm_near(
        &self,
        state: &mut State,
        rule: RuleIndex,
        unit: &[u8],
        places: &mut Vec<Range<usize>>,
        most: u32,
    ) -> bool {
        confirm::in_order(places);
        let trials: usize = places.iter().map(ExactSizeIterator::len).sum();
        if trials > PLACES_FREE && trials > unit.len() / OCTETS_FOR_PLACE {
            return false;
        }
        if let Some(Some(anchored)) = self.anchored.get(rule as usize) {
            match anchored.count(unit, places, most) {
                Ok(times) => state.add(rule, times),
                Err(_) => self.note_limit(state, rule),
            }
        }
        true
    }

    fn confirm_whole(&self, state: &mut State, index: RuleIndex, unit: &[u8], most: u32) {
        let Some(Some(confirm)) = self.confirms.get(index as usize) else { return };
        let found = match most {
            1 => confirm.matches(unit).map(u32::from),
            most => confirm.count(unit, most),
        };
        match found {
            Ok(times) => state.add(index, times),
            Err(_) => self.note_limit(state, index),
        }
    }

    /// Hits of a rule that still count.
    fn most(&self, state: &State, rule: RuleIndex) -> u32 {
        let (most, _) = self.bounds.get(rule as usize).copied().unwrap_or_default();
        most.saturating_sub(state.count(rule))
    }

    fn note_limit(&self, state: &mut State, rule: RuleIndex) {
        if let Some(rule) = self.rule(rule) {
            state.limit(&rule.name, STEPS);
        }
    }

    pub(super) fn skips_first(&self, rule: RuleIndex) -> bool {
        self.bounds.get(rule as usize).is_some_and(|(_, skips)| *skips)
    }
}
