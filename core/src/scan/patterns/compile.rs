//! Sources to payload.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::SourceError;
use super::format::{self, Blob, ExpressionBlob, FieldPlan, InDatabase, OnLiteral, Plan};
use super::grams::{self, Grams};
use super::hs::{self, Database, Entry, Mode};
use super::report::{BuildReport, Outcome, RuleReport};
use super::rule::{Field, Rule, RuleIndex, Test};
use super::sieve::Sieved;
use super::sources::{Collected, Draft, clamav, spamassassin, toml};
use super::tier::{self, Tier, Tiered};

/// What a source is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceFormat {
    /// `SpamAssassin` rules (`.cf`), read in the order given, later lines override earlier ones.
    SpamAssassin,
    /// `ClamAV` extended signatures (`.ndb`).
    ClamAvNdb,
    /// `ClamAV` logical signatures (`.ldb`).
    ClamAvLdb,
    /// `ClamAV` signatures of container members (`.cdb`).
    ClamAvCdb,
    /// Names of `ClamAV` signatures that are not to be used (`.ign`, `.ign2`).
    ClamAvIgn,
    /// Every other text file of `ClamAV`: reported, not read.
    ClamAvOther,
    /// Our own rules (`.toml`).
    Toml,
}

impl SourceFormat {
    /// The format of a file by its name; `None`: not one of these.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        match path.rsplit('.').next()?.to_ascii_lowercase().as_str() {
            "cf" | "pre" => Some(Self::SpamAssassin),
            "ndb" | "ndu" => Some(Self::ClamAvNdb),
            "ldb" | "ldu" => Some(Self::ClamAvLdb),
            "cdb" => Some(Self::ClamAvCdb),
            "ign" | "ign2" => Some(Self::ClamAvIgn),
            ending if clamav::NOT_READ.iter().any(|(known, _)| *known == ending) => {
                Some(Self::ClamAvOther)
            }
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

/// One source file.
#[derive(Clone, Debug)]
pub struct PatternSource {
    /// Its name, for messages.
    pub path: String,
    /// Its octets.
    pub octets: Vec<u8>,
    /// Its format.
    pub format: SourceFormat,
}

/// A payload for [`super::Patterns::open`].
#[derive(Clone, Debug)]
pub struct CompiledPatterns(pub Vec<u8>);

/// Rules of short fields up to this many run without a database.
const DATABASE_WORTH: usize = 4;

/// Lazy automata of one field: each has up to 4 MiB of states for each shard.
const LAZY_MAX: usize = 12;

/// Expressions in one database.
const EXPRESSIONS_IN_DATABASE: usize = 40;

/// Compiles `sources`. What becomes of each rule is in `report`.
///
/// Uses two threads. Time: mostly Hyperscan compiling what has no necessary literal.
///
/// # Errors
/// All lines that cannot be understood; nothing is built then.
pub fn build(
    sources: &[PatternSource],
    report: &mut BuildReport,
) -> Result<CompiledPatterns, Vec<SourceError>> {
    let collected = read(sources);
    if !collected.errors.is_empty() {
        return Err(collected.errors);
    }
    report.notes.extend(collected.notes);
    for (word, place, count) in collected.unknown {
        report.unknown_lines.push(format!("{place}: {word} ({count} lines)"));
    }
    let place = |rule: &Rule| {
        let source = sources.get(rule.place.0 as usize);
        format!("{}:{}", source.map_or("?", |source| &source.path), rule.place.1)
    };
    let drafts = last_of_each_name(collected.drafts, report);
    let chosen = choose_all(&drafts);
    let mut builder = Builder::default();
    for (draft, choice) in drafts.into_iter().zip(chosen) {
        let mut entry = RuleReport {
            name: draft.rule.name.clone(),
            place: place(&draft.rule),
            field: match &draft.rule.test {
                Test::Expression { field, .. }
                | Test::Literals { field, .. }
                | Test::Exists(field) => field.to_string(),
                Test::Meta(_) | Test::PartMeta { .. } => String::new(),
            },
            outcome: Outcome::Taken,
            cost_ns_per_kib: 0,
        };
        match choice {
            Err(outcome) => entry.outcome = outcome,
            Ok(tiered) => {
                if let Some(tiered) = &tiered {
                    entry.outcome = outcome_of(&tiered.tier);
                    entry.cost_ns_per_kib = whole(tiered.cost_ns_per_kib);
                }
                builder.add(draft.rule, tiered, report.rules.len());
            }
        }
        report.rules.push(entry);
    }
    builder.resolve(report);
    let failed =
        |text: String| vec![SourceError { file: "patterns".into(), line: 0, column: 0, text }];
    builder.finish(report).map(CompiledPatterns).map_err(failed)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the type"
)]
fn whole(cost: f64) -> u32 {
    cost.clamp(0.0, 4e9) as u32
}

fn outcome_of(tier: &Tier) -> Outcome {
    match tier {
        Tier::Literal { .. } => Outcome::Taken,
        Tier::Gated { .. } => Outcome::TakenGated,
        Tier::Expression { prefilter: false, .. } => Outcome::TakenExpression,
        Tier::Expression { prefilter: true, .. } => Outcome::Confirmed,
        Tier::Sieved { .. } | Tier::Lazy => Outcome::TakenSieved,
        Tier::Plain => Outcome::TakenPlain,
    }
}

/// Reads all sources. `SpamAssassin` files belong together; the others stand alone.
fn read(sources: &[PatternSource]) -> Collected {
    let mut reader = spamassassin::Reader::default();
    let mut out = Collected::default();
    let mut ignored = HashSet::new();
    for (index, source) in sources.iter().enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        match source.format {
            SourceFormat::SpamAssassin => reader.read(&source.path, number, &source.octets),
            SourceFormat::ClamAvNdb => {
                clamav::read_ndb(&source.path, number, &source.octets, &mut out);
            }
            SourceFormat::ClamAvLdb => {
                clamav::read_ldb(&source.path, number, &source.octets, &mut out);
            }
            SourceFormat::ClamAvCdb => {
                clamav::read_cdb(&source.path, number, &source.octets, &mut out);
            }
            SourceFormat::ClamAvIgn => clamav::ignored_names(&source.octets, &mut ignored),
            SourceFormat::ClamAvOther => {
                clamav::note_not_read(&source.path, &source.octets, &mut out);
            }
            SourceFormat::Toml => toml::read(&source.path, number, &source.octets, &mut out),
        }
    }
    clamav::leave_out(&ignored, &mut out.drafts);
    let mut all = reader.finish();
    all.drafts.append(&mut out.drafts);
    all.errors.append(&mut out.errors);
    all.notes.append(&mut out.notes);
    all
}

fn last_of_each_name(drafts: Vec<Draft>, report: &mut BuildReport) -> Vec<Draft> {
    let mut last: HashMap<String, usize> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if last.insert(draft.rule.name.clone(), index).is_some() {
            let name = &draft.rule.name;
            report.notes.push(format!("{name}: named twice, the later one counts"));
        }
    }
    let keep = |(index, draft): (usize, Draft)| {
        (last.get(&draft.rule.name) == Some(&index)).then_some(draft)
    };
    drafts.into_iter().enumerate().filter_map(keep).collect()
}

type Choice = Result<Option<Tiered>, Outcome>;

/// Chooses the way of each rule, on two threads.
fn choose_all(drafts: &[Draft]) -> Vec<Choice> {
    let one = |draft: &Draft| match &draft.outcome {
        Some(outcome) => Err(outcome.clone()),
        None => tier::choose(&draft.rule),
    };
    let (left, right) = drafts.split_at(drafts.len() / 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| right.iter().map(one).collect::<Vec<Choice>>());
        let mut all: Vec<Choice> = left.iter().map(one).collect();
        match other.join() {
            Ok(more) => all.extend(more),
            // A panic in there is a bug here: it goes on, it is not hidden.
            Err(panic) => std::panic::resume_unwind(panic),
        }
        all
    })
}

/// An expression for a database.
struct Waiting {
    rule: RuleIndex,
    entry: Entry,
    prefilter: bool,
    joined: bool,
}

/// Expressions of one field for one database.
struct Job {
    field: usize,
    joined: bool,
    mode: Mode,
    /// Numbered over all databases of the field.
    entries: Vec<(RuleIndex, Entry)>,
}

impl Job {
    fn rules_of(&self, ids: &[u32]) -> Vec<RuleIndex> {
        let of = |id: &u32| self.entries.iter().find(|(_, entry)| entry.id == *id);
        ids.iter().filter_map(of).map(|(rule, _)| *rule).collect()
    }
}

fn jobs_of((field, (waiting, plan)): (usize, (&Vec<Waiting>, &FieldPlan))) -> Vec<Job> {
    let mode = if tier::is_streamed(&plan.field) { Mode::Stream } else { Mode::Block };
    let mut jobs = Vec::new();
    for joined in [false, true] {
        let numbered: Vec<(RuleIndex, Entry)> = (0_u32..)
            .zip(waiting)
            .filter(|(_, waiting)| waiting.joined == joined)
            .map(|(id, waiting)| (waiting.rule, Entry { id, ..waiting.entry.clone() }))
            .collect();
        let job = |entries: &[(RuleIndex, Entry)]| {
            let entries = entries.to_vec();
            Job { field, joined, mode, entries }
        };
        jobs.extend(numbered.chunks(EXPRESSIONS_IN_DATABASE).map(job));
    }
    jobs
}

/// What became of one job: databases, or why not, with the ids in each.
type Made = Vec<(Vec<u32>, Result<Database, hs::CompileFault>)>;

/// Compiles all jobs on two threads.
fn compile_all(jobs: &[Job]) -> Vec<Made> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made: Vec<(usize, Made)> = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(job) = jobs.get(at)
        {
            let entries: Vec<Entry> = job.entries.iter().map(|(_, entry)| entry.clone()).collect();
            let mut of_job = Vec::new();
            compile_some(&entries, job.mode, &mut of_job);
            made.push((at, of_job));
        }
        made
    };
    let mut all = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut all = work();
        match other.join() {
            Ok(more) => all.extend(more),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        all
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, made)| made).collect()
}

/// Compiles `entries` into one database, or into several where one would be too much for libhs.
fn compile_some(entries: &[Entry], mode: Mode, made: &mut Made) {
    match hs::compile(entries, mode) {
        Err(_) if entries.len() > 1 => {
            let (left, right) = entries.split_at(entries.len() / 2);
            compile_some(left, mode, made);
            compile_some(right, mode, made);
        }
        result => made.push((entries.iter().map(|entry| entry.id).collect(), result)),
    }
}

#[derive(Default)]
struct Builder {
    rules: Vec<Rule>,
    /// Index of each rule in the report.
    reported: Vec<usize>,
    fields: BTreeMap<Field, Vec<(RuleIndex, Tiered)>>,
    blobs: Vec<u8>,
    metas: Vec<RuleIndex>,
}

impl Builder {
    fn add(&mut self, rule: Rule, tiered: Option<Tiered>, reported: usize) {
        let index = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        if let (Some(tiered), Test::Expression { field, .. } | Test::Literals { field, .. }) =
            (tiered, &rule.test)
        {
            self.fields.entry(field.clone()).or_default().push((index, tiered));
        }
        self.rules.push(rule);
        self.reported.push(reported);
    }

    /// Turns names in metas into indices and puts metas into an order in which each comes after
    /// those it is made of. Names that are not there count as never hit; a circle is refused.
    fn resolve(&mut self, report: &mut BuildReport) {
        let by_name: HashMap<String, RuleIndex> =
            (0_u32..).zip(&self.rules).map(|(index, rule)| (rule.name.clone(), index)).collect();
        for rule in &mut self.rules {
            let (Test::Meta(expression) | Test::PartMeta { expression, .. }) = &mut rule.test
            else {
                continue;
            };
            let names = std::mem::take(&mut expression.names);
            expression.rules = names.iter().map(|name| by_name.get(name).copied()).collect();
            let missing: Vec<String> =
                names.into_iter().filter(|name| !by_name.contains_key(name)).collect();
            if !missing.is_empty() {
                let text = missing.join(" ");
                report.notes.push(format!("{}: counted as never hit: {text}", rule.name));
            }
        }
        // A payload that cannot go deep: states are kept here, not on the stack.
        let mut state = vec![0_u8; self.rules.len()];
        for index in 0..self.rules.len() {
            self.order(index, &mut state, report);
        }
    }

    fn parts_of(&self, index: usize) -> Vec<usize> {
        match self.rules.get(index).map(|rule| &rule.test) {
            Some(Test::Meta(expression)) => {
                expression.rules.iter().flatten().map(|rule| *rule as usize).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Depth first; `state`: 0 not seen, 1 under way, 2 done.
    fn order(&mut self, start: usize, state: &mut [u8], report: &mut BuildReport) {
        let mut stack = vec![(start, self.parts_of(start))];
        if state.get(start).copied() != Some(0) {
            return;
        }
        while let Some((index, mut parts)) = stack.pop() {
            if let Some(mark) = state.get_mut(index) {
                *mark = 1;
            }
            let Some(next) = parts.pop() else {
                if let Some(mark) = state.get_mut(index) {
                    *mark = 2;
                }
                if matches!(self.rules.get(index).map(|rule| &rule.test), Some(Test::Meta(_))) {
                    self.metas.push(u32::try_from(index).unwrap_or(u32::MAX));
                }
                continue;
            };
            stack.push((index, parts));
            match state.get(next).copied() {
                Some(0) => stack.push((next, self.parts_of(next))),
                Some(1) => {
                    let name = self.rules.get(index).map_or("", |rule| rule.name.as_str());
                    report.notes.push(format!("{name}: depends on itself, counted as never hit"));
                }
                _ => {}
            }
        }
    }

    fn finish(mut self, report: &mut BuildReport) -> Result<Vec<u8>, String> {
        let mut fields = Vec::new();
        let mut waiting = Vec::new();
        for (field, rules) in std::mem::take(&mut self.fields) {
            let (plan, expressions) = self.field(field, rules)?;
            fields.push(plan);
            waiting.push(expressions);
        }
        let jobs: Vec<Job> = waiting.iter().zip(&fields).enumerate().flat_map(jobs_of).collect();
        for (job, made) in jobs.iter().zip(compile_all(&jobs)) {
            let Some(plan) = fields.get_mut(job.field) else { continue };
            for (entries, result) in made {
                match result {
                    Ok(database) => {
                        let blob = self.keep(&database)?;
                        plan.expression_blobs.push(ExpressionBlob { blob, joined: job.joined });
                    }
                    // It compiled when it was measured, so this is out of the ordinary.
                    Err(fault) => {
                        for rule in job.rules_of(&entries) {
                            report.notes.push(format!("libhs: {}: {rule}", fault.text));
                            plan.plain.push(rule);
                            self.re_report(rule, Outcome::TakenPlain, report);
                        }
                    }
                }
            }
        }
        for (plan, rules) in fields.iter_mut().zip(&waiting) {
            // Normalised text that is not UTF-8 would be our own bug; PCRE2 can cope with it.
            let always = plan.field == Field::Normalised;
            for Waiting { rule, prefilter, joined, .. } in rules {
                let counted = self.rules.get(*rule as usize).is_some_and(|rule| rule.count_max > 1);
                let confirm = *prefilter || *joined || counted || always;
                plan.expressions.push(InDatabase { rule: *rule, confirm });
            }
        }
        let of = |wanted: &dyn Fn(&Rule) -> bool| -> Vec<RuleIndex> {
            (0_u32..).zip(&self.rules).filter(|(_, r)| wanted(r)).map(|(i, _)| i).collect()
        };
        let part_metas = of(&|rule| matches!(rule.test, Test::PartMeta { .. }));
        let exists = of(&|rule| matches!(rule.test, Test::Exists(_)));
        let negated = of(&|rule| matches!(rule.test, Test::Expression { negated: true, .. }));
        let plan = Plan {
            platform: hs::platform(),
            rules: self.rules,
            fields,
            metas: self.metas,
            part_metas,
            exists,
            negated,
        };
        format::write(&plan, &self.blobs)
    }

    fn field(
        &mut self,
        field: Field,
        rules: Vec<(RuleIndex, Tiered)>,
    ) -> Result<(FieldPlan, Vec<Waiting>), String> {
        let mut plan = FieldPlan {
            literal_blob: None,
            gram_blob: None,
            literals: Vec::new(),
            literal_bytes: Vec::new(),
            expression_blobs: Vec::new(),
            expressions: Vec::new(),
            sieved: Vec::new(),
            lazy: Vec::new(),
            also: Vec::new(),
            plain: Vec::new(),
            unset: rules.iter().filter(|(_, t)| t.unset).map(|(i, _)| *i).collect(),
            empty: rules.iter().filter(|(_, t)| t.empty).map(|(i, _)| *i).collect(),
            field,
        };
        let few = tier::is_short(&plan.field) && rules.len() < DATABASE_WORTH;
        let mut literals: BTreeMap<(Vec<u8>, bool), Vec<OnLiteral>> = BTreeMap::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        for (rule, tiered) in rules {
            if !tiered.also.is_empty() {
                plan.also.push((rule, tiered.also));
            }
            match tiered.tier {
                Tier::Literal { literals: own, caseless } => {
                    for literal in own {
                        let key = if caseless { literal.to_ascii_lowercase() } else { literal };
                        literals.entry((key, caseless)).or_default().push(OnLiteral::Hit(rule));
                    }
                }
                _ if few => plan.plain.push(rule),
                Tier::Gated { literals: own } => {
                    for (literal, near) in own {
                        let targets = literals.entry((literal, true)).or_default();
                        targets.push(match near {
                            Some(distance) => OnLiteral::Near(rule, distance),
                            None => OnLiteral::Confirm(rule),
                        });
                    }
                }
                Tier::Expression { entry, prefilter, joined } => {
                    waiting.push(Waiting { rule, entry, prefilter, joined });
                }
                Tier::Sieved { places, near } => plan.sieved.push(Sieved { rule, places, near }),
                Tier::Lazy if plan.lazy.len() < LAZY_MAX => plan.lazy.push(rule),
                Tier::Lazy => plan.plain.push(rule),
                Tier::Plain => plan.plain.push(rule),
            }
        }
        // Prefilters by themselves: what libhs makes of them is large.
        waiting.sort_by_key(|waiting| (waiting.prefilter, waiting.rule));
        let mode = if tier::is_streamed(&plan.field) { Mode::Stream } else { Mode::Block };
        self.literals(&mut plan, literals, mode)?;
        Ok((plan, waiting))
    }

    fn literals(
        &mut self,
        plan: &mut FieldPlan,
        literals: BTreeMap<(Vec<u8>, bool), Vec<OnLiteral>>,
        mode: Mode,
    ) -> Result<(), String> {
        if literals.is_empty() {
            return Ok(());
        }
        // Where many units are scanned in one go, each occurrence counts: it may be in another unit.
        let single = if mode == Mode::Stream { hs::SINGLEMATCH } else { 0 };
        let mut entries = Vec::new();
        let mut long = Vec::new();
        for (id, ((octets, caseless), mut targets)) in (0_u32..).zip(literals) {
            plan.literal_bytes.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
            targets.sort();
            targets.dedup();
            plan.literals.push(targets);
            if mode == Mode::Stream && !caseless && octets.len() >= grams::LITERAL_BYTES_MIN {
                long.push((id, octets));
            } else {
                let flags = single | if caseless { hs::CASELESS } else { 0 };
                entries.push(Entry { octets, flags, id });
            }
        }
        if long.len() >= grams::LITERALS_MIN {
            let (kept, left) = Grams::new(long);
            plan.gram_blob = Some(self.keep_octets(&kept.write()));
            long = left;
        }
        let rest = long.into_iter().map(|(id, octets)| Entry { octets, flags: single, id });
        entries.extend(rest);
        if entries.is_empty() {
            return Ok(());
        }
        let database = hs::compile_literals(&entries, mode)
            .map_err(|fault| format!("literals of {}: {}", plan.field, fault.text))?;
        plan.literal_blob = Some(self.keep(&database)?);
        Ok(())
    }

    fn keep(&mut self, database: &Database) -> Result<Blob, String> {
        let octets = database.serialize().map_err(|code| format!("libhs serialize: {code}"))?;
        Ok(self.keep_octets(&octets))
    }

    fn keep_octets(&mut self, octets: &[u8]) -> Blob {
        let blob = Blob { offset: self.blobs.len(), bytes: octets.len() };
        self.blobs.extend_from_slice(octets);
        blob
    }

    fn re_report(&self, rule: RuleIndex, outcome: Outcome, report: &mut BuildReport) {
        let reported = self.reported.get(rule as usize);
        if let Some(entry) = reported.and_then(|index| report.rules.get_mut(*index)) {
            entry.outcome = outcome;
        }
    }
}
