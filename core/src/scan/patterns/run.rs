//! Running the patterns over one message.

use std::ops::Range;

use crate::message::View;
use crate::stages::{self, Stage};

use super::HITS_MAX;
use super::error::ScanError;
use super::fields::Fields;
use super::hits::{Hit, Hits};
use super::hs::Space;
use super::lazy::{Lazy, LazyCache};
use super::open::{OpenField, Patterns};
use super::rule::{RuleIndex, Test};

mod asked;
mod confirming;
mod excerpt;
mod gather;
mod ungated;
mod units;

pub use excerpt::Excerpt;
pub use ungated::Ungated;

/// Working memory for one scan at a time: one for each shard.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) space: Space,
    /// The patterns that it fits; 0: none yet.
    owner: u64,
    pub(super) state: State,
    /// Units of a field that is put together from pieces.
    pub(super) gathered: gather::Gathered,
    /// States of the lazy automata, field by field.
    lazy: Vec<Vec<LazyCache>>,
    /// Octets by which they may grow for this message.
    lazy_growth_left: usize,
    /// What tells where rules match.
    compiled: excerpt::Compiled,
}

/// Growth that one message may cause: some milliseconds.
const LAZY_GROWTH_BYTES_MAX: usize = 256 * 1024;

/// What is known of the message so far.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Hits by rule.
    counts: Vec<u32>,
    /// Rules with hits.
    hit: Vec<RuleIndex>,
    /// All hits, also those beyond what is counted.
    total: u32,
    /// What PCRE2 is to look at in the slice at hand.
    pub(super) asked: asked::Asked,
    /// Places of one unit and rule.
    pub(super) places: Vec<Range<usize>>,
    /// Units of a slice with LF between them.
    pub(super) joined: Vec<u8>,
    /// The unit that PCRE2 is to look at, in lower case.
    pub(super) lower: Vec<u8>,
    /// By rule: a meta of which a part hits.
    marks: Vec<bool>,
    /// Limits that were reached.
    limits: Vec<(Box<str>, &'static str)>,
}

impl Scratch {
    /// Makes it fit `patterns`, if it does not yet.
    pub(super) fn fit(&mut self, patterns: &Patterns) -> Result<(), ScanError> {
        if self.owner == patterns.id {
            return Ok(());
        }
        for field in &patterns.fields {
            for database in field.literals.iter().chain(&field.expressions).chain(&field.joined) {
                self.space.grow(database).map_err(ScanError::Scratch)?;
            }
        }
        self.state.counts.clear();
        self.state.counts.resize(patterns.plan.rules.len(), 0);
        self.state.hit.clear();
        self.state.asked.fit(patterns.plan.rules.len());
        let caches =
            |field: &OpenField| field.lazies.iter().chain(&field.lazy).map(Lazy::cache).collect();
        self.lazy = patterns.fields.iter().map(caches).collect();
        self.compiled.clear();
        self.owner = patterns.id;
        Ok(())
    }
}

impl State {
    fn clear(&mut self) {
        for rule in self.hit.drain(..) {
            if let Some(count) = self.counts.get_mut(rule as usize) {
                *count = 0;
            }
        }
        self.total = 0;
        self.asked.clear();
        self.limits.clear();
    }

    pub(super) fn count(&self, rule: RuleIndex) -> u32 {
        self.counts.get(rule as usize).copied().unwrap_or(0)
    }

    /// Adds `times` hits of a rule.
    pub(super) fn add(&mut self, rule: RuleIndex, times: u32) {
        if times == 0 {
            return;
        }
        if self.total >= HITS_MAX {
            self.limit("patterns", "more hits than are counted in one message");
            return;
        }
        self.total = self.total.saturating_add(times);
        if let Some(count) = self.counts.get_mut(rule as usize) {
            if *count == 0 {
                self.hit.push(rule);
            }
            *count = count.saturating_add(times);
        }
    }

    fn set(&mut self, rule: RuleIndex, times: u32) {
        if let Some(count) = self.counts.get_mut(rule as usize) {
            if *count == 0 && times > 0 {
                self.hit.push(rule);
            }
            *count = times;
        }
    }

    /// Notes a limit, once for each rule.
    pub(super) fn limit(&mut self, rule: &str, limit: &'static str) {
        if !self.limits.iter().any(|(known, _)| &**known == rule) {
            self.limits.push((rule.into(), limit));
        }
    }
}

impl Patterns {
    /// Runs all rules over `view`. See [`Self::run_fields`].
    ///
    /// # Errors
    /// As there.
    pub async fn run(
        &self,
        scratch: &mut Scratch,
        view: &View<'_>,
        envelope_from: Option<&[u8]>,
        pause: &impl AsyncFn(),
    ) -> Result<Hits, ScanError> {
        let fields = {
            let _stage = stages::enter(Stage::ScanTexts);
            Fields::of_view(view, envelope_from, self.wanted())
        };
        self.run_fields(scratch, &fields, pause).await
    }

    /// Runs all rules over one message, with a pause after each slice of at most
    /// [`super::SLICE_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ScanError`]: our own fault; the message was not scanned and must not be taken for clean.
    pub async fn run_fields(
        &self,
        scratch: &mut Scratch,
        fields: &Fields<'_>,
        pause: &impl AsyncFn(),
    ) -> Result<Hits, ScanError> {
        scratch.fit(self)?;
        scratch.state.clear();
        scratch.lazy_growth_left = LAZY_GROWTH_BYTES_MAX;
        let stage = stages::enter(Stage::ScanHeaders);
        self.run_headers(scratch, fields, pause).await?;
        drop(stage);
        let stage = stages::enter(Stage::ScanBodies);
        self.run_texts(scratch, fields, pause).await?;
        drop(stage);
        let stage = stages::enter(Stage::ScanOctets);
        self.run_octets(scratch, fields, pause).await?;
        drop(stage);
        Ok(self.conclude(&mut scratch.state, fields))
    }

    /// What follows from the hits of expressions: rules for what is there, negations, metas.
    fn conclude(&self, state: &mut State, fields: &Fields<'_>) -> Hits {
        for rule in &self.exists_elsewhere {
            if let Some(Test::Exists(field)) = self.rule(*rule).map(|rule| &rule.test)
                && gather::has(fields, field)
            {
                state.add(*rule, 1);
            }
        }
        for rule in &self.plan.negated {
            let turned = u32::from(state.count(*rule) == 0);
            state.set(*rule, turned);
        }
        self.run_metas(state);
        self.hits(state)
    }

    /// Metas in their order; only those of which a part hits, or which hold where none does.
    fn run_metas(&self, state: &mut State) {
        let mut marks = std::mem::take(&mut state.marks);
        marks.clear();
        marks.resize(self.plan.rules.len(), false);
        let mark = |rule: RuleIndex, marks: &mut Vec<bool>| {
            for parent in self.parents.get(rule as usize).into_iter().flatten() {
                if let Some(mark) = marks.get_mut(*parent as usize) {
                    *mark = true;
                }
            }
        };
        state.hit.iter().for_each(|rule| mark(*rule, &mut marks));
        for rule in &self.plan.metas {
            let index = *rule as usize;
            let concerned =
                marks.get(index) == Some(&true) || self.always.get(index) == Some(&true);
            if concerned
                && let Some(Test::Meta(expression)) = self.rule(*rule).map(|rule| &rule.test)
                && expression.holds(|part| state.count(part))
            {
                state.add(*rule, 1);
                mark(*rule, &mut marks);
            }
        }
        state.marks = marks;
    }

    fn hits(&self, state: &mut State) -> Hits {
        state.hit.sort_unstable();
        state.hit.dedup();
        let rules = state.hit.iter().filter_map(|rule| {
            let most = self.rule(*rule).map_or(1, |rule| rule.count_max);
            let count = state.count(*rule).min(most);
            (count > 0).then_some(Hit { rule: *rule, count })
        });
        Hits { rules: rules.collect(), limits: std::mem::take(&mut state.limits) }
    }
}
