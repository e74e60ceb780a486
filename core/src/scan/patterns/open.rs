//! A payload made ready to run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem::Finder;

use super::confirm::{Anchored, Confirm};
use super::error::OpenError;
use super::fields::Wanted;
use super::format::{self, FieldPlan, OnLiteral, Plan};
use super::grams::Grams;
use super::hs::{self, Database};
use super::lazy::Lazy;
use super::meta::Expression;
use super::rule::{Field, PartTarget, Pattern, Rule, RuleIndex, Test};
use super::run::Scratch;
use super::sieve::{LANES, Sieve, Sieved};

/// Tells a scratch space which patterns it was made for.
static OPENED: AtomicU64 = AtomicU64::new(1);

/// All rules of a generation, ready to run. Shared by all shards; nothing in it changes.
#[derive(Debug)]
pub struct Patterns {
    pub(super) id: u64,
    pub(super) plan: Plan,
    pub(super) fields: Vec<OpenField>,
    /// By rule; only for those that PCRE2 may have to look at.
    pub(super) confirms: Vec<Option<Confirm>>,
    /// By rule; only for those that PCRE2 looks at near a literal.
    pub(super) anchored: Vec<Option<Anchored>>,
    /// By rule: how many of its hits count, and if it skips the first unit; apart from [`Rule`], since they are
    /// asked for each unit that a rule is to look at.
    pub(super) bounds: Vec<(u32, bool)>,
    /// By rule: sets of strings, in lower case, of each of which a unit that matches has one.
    pub(super) also: Vec<Vec<Vec<Finder<'static>>>>,
    /// Header names (lower case) that rules ask for; their place in `asked_headers`.
    pub(super) header_slots: HashMap<String, usize, ahash::RandomState>,
    pub(super) asked_headers: Vec<AskedHeader>,
    /// Rules for what is there that are not about a header field.
    pub(super) exists_elsewhere: Vec<RuleIndex>,
    /// Metas that a hit of a rule can make true, by rule.
    pub(super) parents: Vec<Vec<RuleIndex>>,
    /// By rule: a meta that may hold where none of its parts hits.
    pub(super) always: Vec<bool>,
    /// Metas for parts, by sub-rule.
    pub(super) part_parents: HashMap<RuleIndex, Vec<RuleIndex>, ahash::RandomState>,
    wanted: Wanted,
}

/// What rules ask of the header fields of one name.
#[derive(Debug, Default)]
pub(super) struct AskedHeader {
    /// Fields of the plan.
    pub(super) plans: Vec<usize>,
    /// Rules that only want to know if there is one.
    pub(super) exists: Vec<RuleIndex>,
}

/// One field's databases.
#[derive(Debug)]
pub(super) struct OpenField {
    pub(super) literals: Option<Database>,
    /// Long literals, over octets.
    pub(super) grams: Grams,
    /// Over each unit by itself.
    pub(super) expressions: Vec<Database>,
    /// Over many units at once.
    pub(super) joined: Vec<Database>,
    /// Over each unit, for [`LANES`] rules each.
    pub(super) sieves: Vec<Sieve>,
    /// Over each unit; as many as the plan has.
    pub(super) lazy: Vec<Lazy>,
    /// All of them in one, where there are several: tells where none of them needs to run.
    pub(super) lazies: Option<Lazy>,
}

impl Patterns {
    /// Opens a payload: checks all of it and loads the databases (milliseconds).
    ///
    /// # Errors
    /// [`OpenError::Rebuild`]: for another libhs or CPU; else it is damaged.
    pub fn open(payload: &[u8]) -> Result<Self, OpenError> {
        let (plan, blobs) = format::read(payload)?;
        let here = hs::platform();
        if plan.platform != here {
            return Err(OpenError::Rebuild { built: plan.platform, here });
        }
        let fields = plan
            .fields
            .iter()
            .map(|field| load_field(field, &plan.rules, blobs))
            .collect::<Result<Vec<_>, _>>()?;
        let confirms = confirms(&plan)?;
        let anchored = anchored(&plan)?;
        let bounds =
            plan.rules.iter().map(|rule| (rule.count_max, rule.skips_first_unit)).collect();
        let also = also(&plan);
        let (header_slots, asked_headers, exists_elsewhere) = header_index(&plan);
        let part_parents = part_parents(&plan);
        let (parents, always) = meta_index(&plan);
        let wanted = wanted(&plan.fields);
        let id = OPENED.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            id,
            plan,
            fields,
            confirms,
            anchored,
            bounds,
            also,
            header_slots,
            asked_headers,
            exists_elsewhere,
            parents,
            always,
            part_parents,
            wanted,
        })
    }

    /// Working memory for one shard. It fits other patterns too: [`Self::run`] adapts it.
    ///
    /// # Errors
    /// No memory.
    pub fn scratch(&self) -> Result<Scratch, super::ScanError> {
        let mut scratch = Scratch::default();
        scratch.fit(self)?;
        Ok(scratch)
    }

    /// A rule.
    #[must_use]
    pub fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.plan.rules.get(index as usize)
    }

    /// All rules, by index.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.plan.rules
    }

    /// Which texts of a message the rules look at.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }
}

fn load_field(field: &FieldPlan, rules: &[Rule], blobs: &[u8]) -> Result<OpenField, OpenError> {
    let load = |blob: format::Blob| {
        Database::deserialize(format::blob(blobs, blob)?)
            .map_err(|code| OpenError::Database { field: field.field.to_string(), code })
    };
    let of_kind = |joined: bool| {
        let blobs = field.expression_blobs.iter().filter(move |blob| blob.joined == joined);
        blobs.map(|blob| load(blob.blob)).collect::<Result<Vec<_>, _>>()
    };
    let patterns = field.lazy.iter().filter_map(|rule| match &rules.get(*rule as usize)?.test {
        Test::Expression { pattern, .. } => Some(pattern),
        _ => None,
    });
    let patterns: Vec<&Pattern> = patterns.collect();
    let sieve = |all: &[Sieved]| Sieve::new(all.iter().map(|sieved| &sieved.places));
    Ok(OpenField {
        lazies: if patterns.len() > 1 { Lazy::of_any(&patterns) } else { None },
        literals: field.literal_blob.map(load).transpose()?,
        grams: load_grams(field, blobs)?,
        expressions: of_kind(false)?,
        joined: of_kind(true)?,
        sieves: field.sieved.chunks(LANES).map(sieve).collect(),
        lazy: load_lazy(field, rules)?,
    })
}

fn load_grams(field: &FieldPlan, blobs: &[u8]) -> Result<Grams, OpenError> {
    let Some(blob) = field.gram_blob else { return Ok(Grams::default()) };
    Grams::read(format::blob(blobs, blob)?)
        .ok_or_else(|| OpenError::Damaged(format!("long literals of {}", field.field)))
}

/// The lazy automata of a field.
fn load_lazy(field: &FieldPlan, rules: &[Rule]) -> Result<Vec<Lazy>, OpenError> {
    let load = |index: &RuleIndex| {
        let rule = rules.get(*index as usize);
        let lazy = match rule.map(|rule| &rule.test) {
            Some(Test::Expression { pattern, .. }) => Lazy::new(pattern),
            _ => None,
        };
        lazy.ok_or_else(|| OpenError::Damaged(format!("rule {index} has no automaton")))
    };
    field.lazy.iter().map(load).collect()
}

type HeaderIndex = (HashMap<String, usize, ahash::RandomState>, Vec<AskedHeader>, Vec<RuleIndex>);

/// What is asked of each header name, and the rules for what is there that are about something else.
fn header_index(plan: &Plan) -> HeaderIndex {
    let mut slots = HashMap::default();
    let mut asked: Vec<AskedHeader> = Vec::new();
    let mut of_name = |name: &String, change: &dyn Fn(&mut AskedHeader)| {
        let slot = *slots.entry(name.clone()).or_insert(asked.len());
        asked.resize_with(asked.len().max(slot + 1), AskedHeader::default);
        asked.get_mut(slot).into_iter().for_each(change);
    };
    for (index, field) in plan.fields.iter().enumerate() {
        if let Field::Header(name, _) = &field.field {
            of_name(name, &|asked| asked.plans.push(index));
        }
    }
    let mut elsewhere = Vec::new();
    for rule in &plan.exists {
        match plan.rules.get(*rule as usize).map(|rule| &rule.test) {
            Some(Test::Exists(Field::Header(name, _))) => {
                of_name(name, &|asked| asked.exists.push(*rule));
            }
            _ => elsewhere.push(*rule),
        }
    }
    (slots, asked, elsewhere)
}

fn part_parents(plan: &Plan) -> HashMap<RuleIndex, Vec<RuleIndex>, ahash::RandomState> {
    let mut parents: HashMap<RuleIndex, Vec<RuleIndex>, ahash::RandomState> = HashMap::default();
    for meta in &plan.part_metas {
        if let Some(Test::PartMeta { expression, .. }) =
            plan.rules.get(*meta as usize).map(|rule| &rule.test)
        {
            for sub in expression.rules.iter().flatten() {
                parents.entry(*sub).or_default().push(*meta);
            }
        }
    }
    parents
}

/// By rule: the metas that may hold once it hits; and if a meta may hold where none of its parts does.
fn meta_index(plan: &Plan) -> (Vec<Vec<RuleIndex>>, Vec<bool>) {
    let mut parents = vec![Vec::new(); plan.rules.len()];
    let mut always = vec![false; plan.rules.len()];
    let metas = plan.metas.iter().filter_map(|meta| match &plan.rules.get(*meta as usize)?.test {
        Test::Meta(expression) => Some((*meta, expression)),
        _ => None,
    });
    let metas: Vec<(RuleIndex, &Expression)> = metas.collect();
    let mut named = vec![0_usize; plan.rules.len()];
    for part in metas.iter().flat_map(|(_, expression)| expression.rules.iter().flatten()) {
        named.get_mut(*part as usize).into_iter().for_each(|named| *named += 1);
    }
    for (meta, expression) in metas {
        if let Some(always) = always.get_mut(meta as usize) {
            *always = expression.holds(|_| 0);
        }
        let triggers = expression.triggers(|rule| named.get(rule as usize).copied().unwrap_or(0));
        let parts = || expression.rules.iter().flatten().copied().collect();
        for part in triggers.unwrap_or_else(parts) {
            parents.get_mut(part as usize).into_iter().for_each(|parents| parents.push(meta));
        }
    }
    (parents, always)
}

fn wanted(fields: &[FieldPlan]) -> Wanted {
    let mut wanted = Wanted::default();
    for field in fields {
        match field.field {
            Field::Body => wanted.body = true,
            Field::RawBody => wanted.rawbody = true,
            Field::Normalised => wanted.normalised = true,
            Field::Uri => wanted.uris = true,
            Field::Part(target) => wanted.file_types |= target != PartTarget::Any,
            Field::At(_) => wanted.file_types = true,
            _ => {}
        }
    }
    wanted
}

fn also(plan: &Plan) -> Vec<Vec<Vec<Finder<'static>>>> {
    let mut by_rule = Vec::new();
    by_rule.resize_with(plan.rules.len(), Vec::new);
    for (rule, sets) in plan.fields.iter().flat_map(|field| &field.also) {
        if let Some(slot) = by_rule.get_mut(*rule as usize) {
            let finder = |text: &Vec<u8>| Finder::new(text).into_owned();
            *slot = sets.iter().map(|set| set.iter().map(finder).collect()).collect();
        }
    }
    by_rule
}

/// Compiles what PCRE2 looks at near a literal, or near what a sieve saw.
fn anchored(plan: &Plan) -> Result<Vec<Option<Anchored>>, OpenError> {
    let mut by_rule = Vec::new();
    by_rule.resize_with(plan.rules.len(), || None);
    let near = plan.fields.iter().flat_map(|field| {
        let literals = field.literals.iter().flatten().filter_map(|target| match target {
            OnLiteral::Near(rule, _) => Some(*rule),
            _ => None,
        });
        literals.chain(field.sieved.iter().filter(|s| s.near.is_some()).map(|s| s.rule))
    });
    for rule in near {
        let Some(slot @ None) = by_rule.get_mut(rule as usize) else { continue };
        *slot = match plan.rules.get(rule as usize).map(|rule| &rule.test) {
            Some(Test::Expression { pattern, .. }) => Anchored::new(pattern),
            _ => None,
        };
        if slot.is_none() {
            return Err(OpenError::Damaged(format!("rule {rule} cannot be tried at a place")));
        }
    }
    Ok(by_rule)
}

/// Compiles what PCRE2 may have to look at.
fn confirms(plan: &Plan) -> Result<Vec<Option<Confirm>>, OpenError> {
    let mut needed = vec![false; plan.rules.len()];
    let mut need = |rule: RuleIndex| {
        if let Some(needed) = needed.get_mut(rule as usize) {
            *needed = true;
        }
    };
    for field in &plan.fields {
        for target in field.literals.iter().flatten() {
            if let OnLiteral::Confirm(rule) | OnLiteral::Near(rule, _) = target {
                need(*rule);
            }
        }
        field.expressions.iter().filter(|e| e.confirm).for_each(|e| need(e.rule));
        field.sieved.iter().for_each(|sieved| need(sieved.rule));
        field.lazy.iter().for_each(|rule| need(*rule));
        field.plain.iter().for_each(|rule| need(*rule));
    }
    plan.rules
        .iter()
        .zip(needed)
        .map(|(rule, needed)| match &rule.test {
            Test::Expression { pattern, .. } if needed => Confirm::new(pattern)
                .map(Some)
                .map_err(|why| OpenError::Damaged(format!("{}: {why}", rule.name))),
            _ => Ok(None),
        })
        .collect()
}
