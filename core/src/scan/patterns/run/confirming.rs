//! What PCRE2 is asked once something cheaper did not say "no".

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
    /// Lets PCRE2 look at places that were noted for it. Where they are many, it looks at the whole unit.
    pub(super) fn confirm_near(&self, state: &mut State, slice: &Slice<'_>) {
        let mut nears = std::mem::take(&mut state.nears);
        let mut places = std::mem::take(&mut state.places);
        nears.sort_unstable_by_key(|near| order((near.0, near.1)));
        state.pairs.sort_unstable_by_key(|pair| order(*pair));
        let whole = state.pairs.len();
        for near in nears.chunk_by(|one, two| (one.0, one.1) == (two.0, two.1)) {
            let Some((number, rule, ..)) = near.first().copied() else { continue };
            let Some(unit) = slice.unit(number as usize) else { continue };
            // PCRE2 looks at all of the unit anyway, where another string could not say the place.
            let looked_at = state.pairs.get(..whole).unwrap_or_default();
            if looked_at.binary_search(&(number, rule)).is_ok()
                || (number == 0 && self.skips_first(rule))
            {
                continue;
            }
            places.clear();
            places.extend(near.iter().map(|near| near.2 as usize..near.3 as usize));
            confirm::in_order(&mut places);
            let trials: usize = places.iter().map(ExactSizeIterator::len).sum();
            if trials > PLACES_FREE && trials > unit.len() / OCTETS_FOR_PLACE {
                state.pairs.push((number, rule));
                continue;
            }
            let Some(Some(anchored)) = self.anchored.get(rule as usize) else { continue };
            let most = self.most(state, rule);
            if most > 0 {
                match anchored.count(unit, &places, most) {
                    Ok(times) => state.add(rule, times),
                    Err(_) => self.note_limit(state, rule),
                }
            }
        }
        nears.clear();
        state.nears = nears;
        state.places = places;
    }

    /// Lets PCRE2 look at the units that were noted for it.
    pub(super) fn confirm_pairs(&self, state: &mut State, slice: &Slice<'_>) {
        let mut pairs = std::mem::take(&mut state.pairs);
        pairs.sort_unstable_by_key(|pair| order(*pair));
        pairs.dedup();
        let mut lowered = None;
        for (number, rule) in &pairs {
            let Some(unit) = slice.unit(*number as usize) else { continue };
            if *number == 0 && self.skips_first(*rule) {
                continue;
            }
            if let Some(also) = self.also.get(*rule as usize).filter(|also| !also.is_empty()) {
                if lowered != Some(*number) {
                    lowered = Some(*number);
                    state.lower.clear();
                    state.lower.extend(unit.iter().map(u8::to_ascii_lowercase));
                }
                let has =
                    |set: &Vec<Finder<'_>>| set.iter().any(|f| f.find(&state.lower).is_some());
                if !also.iter().all(has) {
                    continue;
                }
            }
            self.confirm(state, *rule, unit);
        }
        pairs.clear();
        state.pairs = pairs;
    }

    fn confirm(&self, state: &mut State, index: RuleIndex, unit: &[u8]) {
        let Some(Some(confirm)) = self.confirms.get(index as usize) else { return };
        let most = self.most(state, index);
        let found = match most {
            0 => return,
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

/// One number to sort by: half the time of comparing two.
fn order((number, rule): (u32, RuleIndex)) -> u64 {
    u64::from(number) << 32 | u64::from(rule)
}
