//! Scanning: units of a text, and octets of any length.

use crate::scan::patterns::SLICE_BYTES_MAX;
use crate::scan::patterns::error::ScanError;
use crate::scan::patterns::fields::{Fields, Units};
use crate::scan::patterns::format::{FieldPlan, OnLiteral};
use crate::scan::patterns::hs::{self, Database, Space, Stream};
use crate::scan::patterns::open::{OpenField, Patterns};
use crate::scan::patterns::rule::{Field, RuleIndex, Test};
use crate::scan::patterns::sieve::{LANES, Sieve, Sieved};

use super::{LazyCache, Scratch, State, gather};

impl Patterns {
    /// Texts that the message has ready.
    pub(super) async fn run_texts(
        &self,
        scratch: &mut Scratch,
        fields: &Fields<'_>,
        pause: &impl AsyncFn(),
    ) -> Result<(), ScanError> {
        for (index, plan) in self.plan.fields.iter().enumerate() {
            let units = match plan.field {
                Field::Body => fields.body,
                Field::RawBody => fields.rawbody,
                Field::Normalised => fields.normalised,
                _ => continue,
            };
            self.run_units(scratch, index, units, pause).await?;
        }
        Ok(())
    }

    /// The whole message and its parts.
    pub(super) async fn run_octets(
        &self,
        scratch: &mut Scratch,
        fields: &Fields<'_>,
        pause: &impl AsyncFn(),
    ) -> Result<(), ScanError> {
        let concerned = |wanted: &dyn Fn(&Field) -> bool| {
            self.plan.fields.iter().any(|plan| wanted(&plan.field))
        };
        if concerned(&|field| *field == Field::Raw) {
            for (index, plan) in self.plan.fields.iter().enumerate() {
                if plan.field == Field::Raw {
                    self.run_stream(scratch, index, fields.raw, pause).await?;
                }
            }
            self.end_part(&mut scratch.state, fields.raw.len());
        }
        if !concerned(&|field| matches!(field, Field::Part(_) | Field::At(_))) {
            return Ok(());
        }
        for part in &fields.parts {
            for (index, plan) in self.plan.fields.iter().enumerate() {
                let octets = match plan.field {
                    Field::Part(target) if gather::concerns(target, part) => Some(part.octets),
                    Field::At(place) => gather::program(place, part),
                    _ => None,
                };
                if let Some(octets) = octets {
                    self.run_stream(scratch, index, octets, pause).await?;
                }
            }
            self.end_part(&mut scratch.state, part.octets.len());
        }
        Ok(())
    }

    /// Evaluates logical signatures over the hits of one part, and forgets those hits.
    fn end_part(&self, state: &mut State, bytes: usize) {
        if self.part_parents.is_empty() {
            return;
        }
        let subs: Vec<RuleIndex> =
            state.hit.iter().copied().filter(|rule| self.part_parents.contains_key(rule)).collect();
        let mut metas: Vec<RuleIndex> =
            subs.iter().filter_map(|sub| self.part_parents.get(sub)).flatten().copied().collect();
        metas.sort_unstable();
        metas.dedup();
        for meta in metas {
            if let Some(Test::PartMeta { expression, bytes: (low, high) }) =
                self.rule(meta).map(|rule| &rule.test)
                && (*low..=*high).contains(&(bytes as u64))
                && expression.holds(|sub| state.count(sub))
            {
                state.add(meta, 1);
            }
        }
        for sub in subs {
            state.set(sub, 0);
        }
        let State { hit, counts, .. } = state;
        hit.retain(|rule| counts.get(*rule as usize).is_some_and(|count| *count > 0));
    }

    /// The message does not have this field.
    pub(super) fn run_unset(&self, scratch: &mut Scratch, index: usize) {
        if let Some(plan) = self.plan.fields.get(index) {
            plan.unset.iter().for_each(|rule| scratch.state.add(*rule, 1));
        }
    }

    /// Matches each unit by itself. Units are scanned for literals many at a time, cut where units
    /// end, so that nothing can hide in a cut.
    pub(super) async fn run_units(
        &self,
        scratch: &mut Scratch,
        index: usize,
        units: Units<'_>,
        pause: &impl AsyncFn(),
    ) -> Result<(), ScanError> {
        let mut first = 0_usize;
        let mut start = 0_usize;
        while first < units.ends.len() {
            // As many units as fit into a slice, at least one.
            let rest = units.ends.get(first..).unwrap_or_default();
            let fit = rest.partition_point(|end| *end as usize <= start + SLICE_BYTES_MAX).max(1);
            let ends = rest.get(..fit).unwrap_or_default();
            let end = ends.last().map_or(start, |end| *end as usize);
            let slice = Slice { octets: units.octets, start, end, ends, first };
            self.scan_slice(scratch, index, &slice).map_err(ScanError::Scan)?;
            if end > start + SLICE_BYTES_MAX / 2 {
                pause().await;
            }
            first += fit;
            start = end;
        }
        Ok(())
    }

    fn scan_slice(
        &self,
        scratch: &mut Scratch,
        index: usize,
        slice: &Slice<'_>,
    ) -> Result<(), i32> {
        let Scratch { space, state, lazy, lazy_growth_left, .. } = scratch;
        let (Some(plan), Some(open)) = (self.plan.fields.get(index), self.fields.get(index)) else {
            return Ok(());
        };
        state.asked.clear();
        if let Some(database) = &open.literals {
            slice.literals(database, plan, space, state)?;
        }
        if !open.joined.is_empty() {
            slice.joined(open, plan, space, state)?;
        }
        for (sieve, sequences) in open.sieves.iter().zip(plan.sieved.chunks(LANES)) {
            slice.sieve(sieve, sequences, state);
        }
        let caches = lazy.get_mut(index).map(Vec::as_mut_slice).unwrap_or_default();
        self.run_lazy(open, plan, caches, slice, lazy_growth_left, state);
        let mut start = slice.start;
        for (number, end) in (slice.first..).zip(slice.ends) {
            let end = *end as usize;
            let unit = slice.octets.get(start..end).unwrap_or_default();
            start = end;
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if unit.is_empty() {
                plan.empty.iter().for_each(|rule| state.add(*rule, 1));
                continue;
            }
            if plan.field == Field::Normalised && simdutf8::basic::from_utf8(unit).is_err() {
                plan.expressions.iter().for_each(|e| state.asked.whole(number, e.rule));
            } else {
                for database in &open.expressions {
                    self.expressions(database, plan, unit, number, space, state)?;
                }
            }
            plan.plain.iter().for_each(|rule| state.asked.whole(number, *rule));
        }
        self.confirm(state, slice);
        Ok(())
    }

    /// Notes the units in which a lazy automaton cannot say "no".
    fn run_lazy(
        &self,
        open: &OpenField,
        plan: &FieldPlan,
        caches: &mut [LazyCache],
        slice: &Slice<'_>,
        growth_left: &mut usize,
        state: &mut State,
    ) {
        let (first, caches) = match caches.split_first_mut() {
            Some((first, rest)) if open.lazies.is_some() => (Some(first), rest),
            _ => (None, caches),
        };
        let mut together = open.lazies.as_ref().zip(first);
        for (number, unit) in slice.units() {
            if let Some((lazies, cache)) = &mut together
                && cache.is_worth_it(unit)
                && !lazies.may_match(cache, unit, growth_left)
            {
                continue;
            }
            for ((lazy, cache), rule) in open.lazy.iter().zip(&mut *caches).zip(&plan.lazy) {
                if self.rule(*rule).is_none_or(|known| state.count(*rule) < known.count_max)
                    && lazy.may_match(cache, unit, growth_left)
                {
                    state.asked.whole(number, *rule);
                }
            }
        }
    }

    fn expressions(
        &self,
        database: &Database,
        plan: &FieldPlan,
        unit: &[u8],
        number: u32,
        space: &mut Space,
        state: &mut State,
    ) -> Result<(), i32> {
        hs::scan(database, unit, space, &mut |id, _| {
            if let Some(expression) = plan.expressions.get(id as usize) {
                if expression.confirm {
                    state.asked.whole(number, expression.rule);
                } else if !(number == 0 && self.skips_first(expression.rule)) {
                    state.add(expression.rule, 1);
                }
            }
            false
        })
    }

    /// One text of any length as a single unit.
    async fn run_stream(
        &self,
        scratch: &mut Scratch,
        index: usize,
        octets: &[u8],
        pause: &impl AsyncFn(),
    ) -> Result<(), ScanError> {
        let (Some(plan), Some(open)) = (self.plan.fields.get(index), self.fields.get(index)) else {
            return Ok(());
        };
        let Scratch { space, state, .. } = scratch;
        if octets.is_empty() {
            plan.empty.iter().for_each(|rule| state.add(*rule, 1));
            return Ok(());
        }
        let mut literals = stream(open.literals.as_ref())?;
        let mut expressions = open
            .expressions
            .iter()
            .map(Stream::open)
            .collect::<Result<Vec<_>, _>>()
            .map_err(ScanError::Scan)?;
        state.asked.clear();
        plan.plain.iter().for_each(|rule| state.asked.whole(0, *rule));
        for (piece, number) in octets.chunks(SLICE_BYTES_MAX).zip(0..) {
            let start = number * SLICE_BYTES_MAX;
            open.grams.scan(octets, start..start + piece.len(), &mut |id| {
                on_literal(plan, state, id);
            });
            if let Some(stream) = &mut literals {
                let scanned = stream.scan(piece, space, &mut |id, _| on_literal(plan, state, id));
                scanned.map_err(ScanError::Scan)?;
            }
            for stream in &mut expressions {
                let scanned =
                    stream.scan(piece, space, &mut |id, _| on_expression(plan, state, id));
                scanned.map_err(ScanError::Scan)?;
            }
            if piece.len() > SLICE_BYTES_MAX / 2 {
                pause().await;
            }
        }
        if let Some(stream) = literals {
            let scanned = stream.finish(space, &mut |id, _| on_literal(plan, state, id));
            scanned.map_err(ScanError::Scan)?;
        }
        for stream in expressions {
            let scanned = stream.finish(space, &mut |id, _| on_expression(plan, state, id));
            scanned.map_err(ScanError::Scan)?;
        }
        let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        let slice = Slice { octets, start: 0, end: octets.len(), ends: &[length], first: 0 };
        self.confirm(state, &slice);
        Ok(())
    }
}

fn stream(database: Option<&Database>) -> Result<Option<Stream<'_>>, ScanError> {
    database.map(Stream::open).transpose().map_err(ScanError::Scan)
}

fn on_literal(plan: &FieldPlan, state: &mut State, id: u32) -> bool {
    for target in plan.literals.get(id as usize).into_iter().flatten() {
        match *target {
            OnLiteral::Hit(rule) if state.count(rule) == 0 => state.add(rule, 1),
            OnLiteral::Hit(_) => {}
            OnLiteral::Confirm(rule) | OnLiteral::Near(rule, _) => state.asked.whole(0, rule),
        }
    }
    false
}

fn on_expression(plan: &FieldPlan, state: &mut State, id: u32) -> bool {
    if let Some(expression) = plan.expressions.get(id as usize) {
        if expression.confirm {
            state.asked.whole(0, expression.rule);
        } else {
            state.add(expression.rule, 1);
        }
    }
    false
}

/// Units `first..` of a text, which lie in `start..end`.
pub(super) struct Slice<'u> {
    octets: &'u [u8],
    start: usize,
    end: usize,
    /// Ends of these units.
    ends: &'u [u32],
    first: usize,
}

impl Slice<'_> {
    /// Numbers and units.
    fn units(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut start = self.start;
        (self.first..).zip(self.ends).map(move |(number, end)| {
            let unit = self.octets.get(start..*end as usize).unwrap_or_default();
            start = *end as usize;
            (u32::try_from(number).unwrap_or(u32::MAX), unit)
        })
    }

    /// Expressions over all units at once, LF between them.
    fn joined(
        &self,
        open: &OpenField,
        plan: &FieldPlan,
        space: &mut Space,
        state: &mut State,
    ) -> Result<(), i32> {
        let mut text = std::mem::take(&mut state.joined);
        text.clear();
        let mut ends: Vec<u32> = Vec::with_capacity(self.ends.len());
        for (_, unit) in self.units() {
            text.extend_from_slice(unit);
            text.push(b'\n');
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        if plan.field == Field::Normalised && simdutf8::basic::from_utf8(&text).is_err() {
            for (number, _) in self.units() {
                plan.expressions.iter().for_each(|e| state.asked.whole(number, e.rule));
            }
        } else {
            for database in &open.joined {
                hs::scan(database, &text, space, &mut |id, to| {
                    self.on_joined(&ends, plan, state, id, to);
                    false
                })?;
            }
        }
        state.joined = text;
        Ok(())
    }

    /// Sequences of octets that expressions have, unit by unit.
    fn sieve(&self, sieve: &Sieve, rules: &[Sieved], state: &mut State) {
        for (number, unit) in self.units() {
            // Lanes whose rule looks at all of this unit.
            let mut whole = 0_u64;
            sieve.scan(unit, &mut |found, block| {
                let mut found = found & !whole;
                while found != 0 {
                    let lane = found.trailing_zeros() as usize;
                    found &= found - 1;
                    let Some(Sieved { rule, places, near }) = rules.get(lane) else { continue };
                    let Some(distance) = near else {
                        whole |= 1 << lane;
                        state.asked.whole(number, *rule);
                        continue;
                    };
                    sieve.ends(unit, lane, block.clone(), &mut |end| {
                        let at = end.saturating_sub(places.count());
                        let mut add = |places| state.asked.near(number, *rule, &places);
                        if distance.places(unit, at, &mut add).is_none() {
                            whole |= 1 << lane;
                            state.asked.whole(number, *rule);
                        }
                    });
                }
            });
        }
    }

    /// A match that ends at `to` of the joined text: PCRE2 looks at the unit that it ends in.
    fn on_joined(&self, ends: &[u32], plan: &FieldPlan, state: &mut State, id: u32, to: u64) {
        let at = ends.partition_point(|end| u64::from(*end) < to);
        let number = u32::try_from(self.first + at).unwrap_or(u32::MAX);
        if let Some(expression) = plan.expressions.get(id as usize) {
            state.asked.whole(number, expression.rule);
        }
    }

    pub(super) fn unit(&self, number: usize) -> Option<&[u8]> {
        let (start, end) = self.bounds(number.checked_sub(self.first)?);
        self.octets.get(start..end)
    }

    /// Where the unit begins and ends that is `at` in this slice.
    fn bounds(&self, at: usize) -> (usize, usize) {
        let end = |at: usize| self.ends.get(at).map(|end| *end as usize);
        (
            at.checked_sub(1).map_or(Some(self.start), end).unwrap_or(self.end),
            end(at).unwrap_or(self.end),
        )
    }

    /// Literals of all units at once. One that lies across two units is none; where it only gates
    /// an expression, PCRE2 looks in vain.
    fn literals(
        &self,
        database: &Database,
        plan: &FieldPlan,
        space: &mut Space,
        state: &mut State,
    ) -> Result<(), i32> {
        let block = self.octets.get(self.start..self.end).unwrap_or_default();
        let (mut at, mut unit_start, mut unit_end) = (0, self.start, self.start);
        hs::scan(database, block, space, &mut |id, to| {
            let end = self.start + usize::try_from(to).unwrap_or(usize::MAX);
            // Nearly always in the unit of the last one or soon behind it.
            if !(unit_start < end && end <= unit_end) {
                at = self.ends.partition_point(|unit_end| (*unit_end as usize) < end);
                (unit_start, unit_end) = self.bounds(at);
            }
            let number = u32::try_from(self.first + at).unwrap_or(u32::MAX);
            let bytes = plan.literal_bytes.get(id as usize).map_or(0, |bytes| *bytes as usize);
            let inside = end >= unit_start + bytes;
            for target in plan.literals.get(id as usize).into_iter().flatten() {
                match *target {
                    OnLiteral::Hit(rule) => {
                        if inside && state.count(rule) == 0 {
                            state.add(rule, 1);
                        }
                    }
                    OnLiteral::Confirm(rule) => state.asked.whole(number, rule),
                    OnLiteral::Near(rule, distance) if inside => {
                        let unit = self.octets.get(unit_start..unit_end).unwrap_or_default();
                        let mut add = |places| state.asked.near(number, rule, &places);
                        if distance.places(unit, end - bytes - unit_start, &mut add).is_none() {
                            state.asked.whole(number, rule);
                        }
                    }
                    OnLiteral::Near(..) => {}
                }
            }
            false
        })
    }
}
