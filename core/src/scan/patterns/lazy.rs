//! A lazy automaton: tells if a costly expression may match in a unit.
//!
//! Some expressions are so wide (forms to fill in: a hundred words, three times in a row) that they
//! have no literal, no telling beginning, and take PCRE2 up to 70 ns for each octet. An automaton of
//! what the expression matches at least ([`super::simplify::anchored_core_of`]) takes below 2 ns and says "no"
//! nearly always; PCRE2 looks at the rest. Its states are made when a text first needs them, since all
//! of them would be too many, and kept in a [`LazyCache`] of the shard.
//!
//! Bounds: a cache has at most [`CACHE_BYTES_MAX`]; one message may make it grow by what its caller
//! allows (making states is what costs). Beyond either the answer is "may match", which is always
//! right.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};

use super::rule::Pattern;
use super::simplify::anchored_core_of;

/// States that are kept of one expression.
const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of one expression, spelled out.
const NFA_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Shorter matches are everywhere.
const MATCH_OCTETS_MIN: usize = 3;

/// The automaton of one expression.
#[derive(Debug)]
pub(super) struct Lazy(DFA);

/// States made so far; belongs to one [`Lazy`] and one thread.
#[derive(Debug)]
pub(super) struct LazyCache(Cache);

impl Lazy {
    /// `None`: the expression is too large, its matches too short, or it is about characters.
    pub(super) fn new(pattern: &Pattern) -> Option<Self> {
        let core = anchored_core_of(pattern)?;
        if core.properties().minimum_len()? < MATCH_OCTETS_MIN {
            return None;
        }
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
        LazyCache(self.0.create_cache())
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
        let before = cache.0.memory_usage();
        let answer = self.run(&mut cache.0, unit);
        *growth_left = growth_left.saturating_sub(cache.0.memory_usage().saturating_sub(before));
        answer.unwrap_or_else(|| {
            cache.0.reset(&self.0);
            true
        })
    }

    /// `None`: the cache is full.
    fn run(&self, cache: &mut Cache, unit: &[u8]) -> Option<bool> {
        let input = Input::new(unit).earliest(true);
        self.0.try_search_fwd(cache, &input).ok().map(|found| found.is_some())
    }
}
