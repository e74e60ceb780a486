//! A lazy automaton: tells if a costly expression may match in a unit.
//!
//! Some expressions are so wide (forms to fill in: a hundred words, three times in a row) that they
//! have no literal, no telling beginning, and take PCRE2 up to 70 ns for each octet. An automaton of
//! what the expression matches at least ([`super::uncounted`]) takes below 2 ns and says "no"
//! nearly always; PCRE2 looks at the rest. Its states are made when a text first needs them, since all
//! of them would be too many, and kept in a [`LazyCache`] of the shard.
//!
//! Bounds: a cache has at most [`CACHE_BYTES_MAX`]; one message may make it grow by what its caller
//! allows (making states is what costs). Beyond either the answer is "may match", which is always
//! right.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

use super::rule::Pattern;
use super::uncounted;

/// States that are kept of one expression.
const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After so many octets of text it is reckoned up what states cost.
const RECKONING_OCTETS: usize = 256 * 1024;
/// So many octets of text pay for one octet of states; making one costs some twenty times what passing through does.
const SEEN_FOR_ONE_MADE: usize = 8;
/// An automaton that does not pay is tried again after so many octets of text.
const REST_OCTETS: usize = 16 * 1024 * 1024;
/// Size of one expression, spelled out.
const NFA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The automaton of one expression.
#[derive(Debug)]
pub(super) struct Lazy(DFA);

/// States made so far; belongs to one [`Lazy`] and one thread.
#[derive(Debug)]
pub(super) struct LazyCache {
    states: Cache,
    /// Octets looked at, and octets of states made for them, since the last reckoning.
    seen: usize,
    made: usize,
    /// Octets to come for which it is left alone.
    rest: usize,
}

impl LazyCache {
    /// Whether to ask the automaton about `unit`: one that goes on making states costs more than it saves, and is left
    /// alone for a while. Several expressions in one make states for all combinations of where each of them is: few in
    /// the mails of one campaign, without end in everybody's.
    pub(super) fn is_worth_it(&mut self, unit: &[u8]) -> bool {
        if self.rest > 0 {
            self.rest = self.rest.saturating_sub(unit.len());
            return false;
        }
        if self.seen >= RECKONING_OCTETS {
            if self.made > self.seen / SEEN_FOR_ONE_MADE {
                self.rest = REST_OCTETS;
            }
            (self.seen, self.made) = (0, 0);
        }
        self.rest == 0
    }
}

impl Lazy {
    /// `None`: the expression is too large, its matches too short, or it is about characters.
    pub(super) fn new(pattern: &Pattern) -> Option<Self> {
        Self::of_any(&[pattern])
    }

    /// One automaton that tells if any of `patterns` may match: one pass instead of several, with more
    /// states.
    pub(super) fn of_any(patterns: &[&Pattern]) -> Option<Self> {
        let trees = patterns.iter().map(|pattern| uncounted::tree_of(pattern));
        let core = Hir::alternation(trees.collect::<Option<Vec<_>>>()?);
        let config = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(NFA_BYTES_MAX))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&core).ok()?;
        // A cache that is full is an error: it is we who decide then, by what the message has left.
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES_MAX)
            .minimum_cache_clear_count(Some(0));
        DFA::builder().configure(config).build_from_nfa(nfa).ok().map(Self)
    }

    pub(super) fn cache(&self) -> LazyCache {
        LazyCache { states: self.0.create_cache(), seen: 0, made: 0, rest: 0 }
    }

    /// If it may match in `unit`. `growth_left`: octets by which caches may still grow.
    pub(super) fn may_match(
        &self,
        cache: &mut LazyCache,
        unit: &[u8],
        growth_left: &mut usize,
    ) -> bool {
        if *growth_left == 0 {
            return true;
        }
        let before = cache.states.memory_usage();
        let answer = self.run(&mut cache.states, unit);
        let made = cache.states.memory_usage().saturating_sub(before);
        *growth_left = growth_left.saturating_sub(made);
        cache.seen += unit.len();
        cache.made += made;
        answer.unwrap_or_else(|| {
            cache.states.reset(&self.0);
            true
        })
    }

    /// `None`: the cache is full.
    fn run(&self, cache: &mut Cache, unit: &[u8]) -> Option<bool> {
        let input = Input::new(unit).earliest(true);
        self.0.try_search_fwd(cache, &input).ok().map(|found| found.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automaton_that_goes_on_making_states_is_left_alone_for_a_while() {
        // Which of the last sixteen octets were an `a`.
        let pattern = Pattern { text: "a................c".to_owned(), ..Pattern::default() };
        let lazy = Lazy::new(&pattern).unwrap();
        let mut cache = lazy.cache();
        let mut draw = 1_u64;
        let mut text = || -> Vec<u8> {
            let letter = |_| {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *b"abxy".get((draw >> 33) as usize % 4).unwrap()
            };
            (0..4096).map(letter).collect()
        };
        let mut asked = 0;
        while cache.is_worth_it(&[0; 4096]) && asked < 200 {
            lazy.may_match(&mut cache, &text(), &mut usize::MAX.clone());
            asked += 1;
        }
        assert!((64..70).contains(&asked), "reckoned up after 256 KiB: {asked}");
        let left_alone = (0..).take_while(|_| !cache.is_worth_it(&[0; 65_536])).count();
        assert_eq!(left_alone, REST_OCTETS / 65_536, "and tried again");
    }

    #[test]
    fn an_automaton_does_not_count() {
        let pattern = Pattern { text: "(?:a.{1,9}b.{1,9}){3}c".to_owned(), ..Pattern::default() };
        let lazy = Lazy::new(&pattern).unwrap();
        let mut cache = lazy.cache();
        let text = b"axbxxaxxxbxxxxaxxbx".repeat(200);
        let before = cache.states.memory_usage();
        assert!(!lazy.may_match(&mut cache, &text, &mut usize::MAX.clone()));
        assert!(
            cache.states.memory_usage() - before < 8 * 1024,
            "one state for each place, not for each count"
        );
        let many = [b"a".as_slice(), &[b'x'; 90], b"bxaxbxaxbxxxc"].concat();
        assert!(lazy.may_match(&mut cache, &many, &mut usize::MAX.clone()), "PCRE2 counts");
    }

    #[test]
    fn one_that_knows_its_texts_is_asked_for_ever() {
        let pattern = Pattern { text: "(?:a.{1,9}b.{1,9}){3}c".to_owned(), ..Pattern::default() };
        let lazy = Lazy::new(&pattern).unwrap();
        let mut cache = lazy.cache();
        for _ in 0..200 {
            let unit = b"abxyyxab".repeat(512);
            assert!(cache.is_worth_it(&unit));
            lazy.may_match(&mut cache, &unit, &mut usize::MAX.clone());
        }
    }
}
