//! Which way a rule runs, by what it costs on a sample text, without losing a hit.

use std::time::Instant;

use super::confirm::Confirm;
use super::hs::{self, Entry, Mode};
use super::literals;
use super::report::Outcome;
use super::rule::{Field, Pattern, Rule, Test};
use super::simplify::simplify;

/// Mail-like text, written for this purpose: English and Japanese, plain, HTML, addresses, URIs.
const SAMPLE: &str = include_str!("sample.txt");

/// Gated rules up to this cost are not compared with Hyperscan (which takes time to compile).
const GATE_GOOD_NS_PER_KIB: f64 = 60.0;
/// A rule that PCRE2 has to run over everything may cost this much.
const PLAIN_NS_PER_KIB_MAX: f64 = 4_000.0;
/// Rules up to this cost run by PCRE2 alone: a database would not save much.
const PLAIN_GOOD_NS_PER_KIB: f64 = 120.0;
/// libhs takes many seconds for some expressions beyond this: only simplified.
const LONG_EXPRESSION_BYTES: usize = 600;
/// In short fields, such as one header field, that matters less.
const PLAIN_SHORT_NS_PER_KIB_MAX: f64 = 40_000.0;

/// The way a rule runs.
#[derive(Clone, Debug)]
pub(super) enum Tier {
    /// Its literals are the rule.
    Literal { literals: Vec<Vec<u8>>, caseless: bool },
    /// PCRE2 where one of these (in any case) was seen.
    Gated { literals: Vec<Vec<u8>> },
    /// Hyperscan.
    Expression { entry: Entry, prefilter: bool, joined: bool },
    /// PCRE2 everywhere.
    Plain,
}

/// A rule with its way.
#[derive(Clone, Debug)]
pub(super) struct Tiered {
    pub(super) tier: Tier,
    pub(super) cost_ns_per_kib: f64,
    /// Matches an empty unit.
    pub(super) empty: bool,
    /// Matches what stands for a missing field.
    pub(super) unset: bool,
}

/// Fields whose units are short: cost matters less, and a database of their own is hardly worth it.
pub(super) fn is_short(field: &Field) -> bool {
    matches!(
        field,
        Field::Header(..)
            | Field::MimeHeader(..)
            | Field::ToCc
            | Field::MessageIds
            | Field::EnvelopeFrom
            | Field::FileName
    )
}

/// Fields with units of any length, scanned as streams.
pub(super) fn is_streamed(field: &Field) -> bool {
    matches!(field, Field::Raw | Field::Part(_))
}

fn sample_units(field: &Field) -> Vec<&'static [u8]> {
    if is_streamed(field) || matches!(field, Field::AllHeaders(_)) {
        return vec![SAMPLE.as_bytes()];
    }
    let lines = is_short(field) || *field == Field::Uri;
    let split = if lines { "\n" } else { "\n\n" };
    SAMPLE.split(split).map(str::as_bytes).filter(|unit| !unit.is_empty()).collect()
}

/// Chooses the way of one rule, or refuses it.
pub(super) fn choose(rule: &Rule) -> Result<Option<Tiered>, Outcome> {
    match &rule.test {
        Test::Expression { field, pattern, unset, .. } => {
            expression(field, pattern, unset).map(Some)
        }
        Test::Literals { literals, caseless, .. } => Ok(Some(Tiered {
            tier: Tier::Literal { literals: literals.clone(), caseless: *caseless },
            cost_ns_per_kib: 0.0,
            empty: false,
            unset: false,
        })),
        Test::Exists(_) | Test::Meta(_) | Test::PartMeta { .. } => Ok(None),
    }
}

fn expression(field: &Field, pattern: &Pattern, unset: &str) -> Result<Tiered, Outcome> {
    let confirm = Confirm::new(pattern).map_err(|why| Outcome::Refused(format!("PCRE2: {why}")))?;
    let limit = |_| Outcome::Refused("reaches the match limit on nothing".to_owned());
    let empty = confirm.matches(b"").map_err(limit)?;
    let unset = confirm.matches(unset.as_bytes()).map_err(limit)?;
    let gate = literals::necessary(pattern);
    let sample = sample_units(field);
    let made = |tier, cost| Tiered { tier, cost_ns_per_kib: cost, empty, unset };
    let plain_cost = plain_cost(&confirm, &sample);
    let gated_cost = gate.as_ref().map(|literals| 5.0 + plain_cost * share(literals, &sample));
    if let (Some(literals), Some(cost)) = (&gate, gated_cost)
        && (cost <= GATE_GOOD_NS_PER_KIB || is_short(field))
    {
        return Ok(made(Tier::Gated { literals: literals.clone() }, cost));
    }
    let plain_max = if is_short(field) { PLAIN_SHORT_NS_PER_KIB_MAX } else { PLAIN_NS_PER_KIB_MAX };
    let by_database = if plain_cost > PLAIN_GOOD_NS_PER_KIB {
        best_database(field, pattern, &sample)
    } else {
        None
    };
    let by_database = by_database.map(|mut found| {
        if found.fired {
            found.cost += plain_cost * if found.prefilter { 0.6 } else { 0.2 };
        }
        found
    });
    let least = by_database.as_ref().map_or(f64::MAX, |found| found.cost).min(plain_cost);
    match (gate, gated_cost, by_database) {
        (Some(literals), Some(gated), _) if gated <= least => {
            Ok(made(Tier::Gated { literals }, gated))
        }
        (_, _, Some(found)) if found.cost <= plain_cost || plain_cost > plain_max => {
            let Found { entry, prefilter, joined, cost, .. } = found;
            Ok(made(Tier::Expression { entry, prefilter, joined }, cost))
        }
        _ if plain_cost <= plain_max => Ok(made(Tier::Plain, plain_cost)),
        (Some(literals), Some(gated), _) => Ok(made(Tier::Gated { literals }, gated)),
        _ => Err(Outcome::Refused(format!(
            "no necessary literal, libhs cannot take it, and it costs {plain_cost:.0} ns for each \
             KiB (at most {plain_max:.0})"
        ))),
    }
}

/// If the expression may run over many units with LF between them without losing a hit in one of
/// them: `^` and `$` then hold at every line, a superset; what holds only at the very ends of a
/// text must not be in it.
fn may_be_joined(field: &Field, pattern: &Pattern) -> bool {
    let only_at_ends = ["\\A", "\\Z", "\\z", "\\G", "(?-", "(*", "(?^"];
    joins(field) && !only_at_ends.iter().any(|text| pattern.text.contains(text))
}

fn sample_kib(sample: &[&[u8]]) -> f64 {
    let bytes: usize = sample.iter().map(|unit| unit.len()).sum();
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0
}

fn plain_cost(confirm: &Confirm, sample: &[&[u8]]) -> f64 {
    best_of_two(sample, || {
        for unit in sample {
            let _ = confirm.matches(unit);
        }
    })
}

/// Nanoseconds for each KiB, the better of two runs: the first one also warms up.
#[expect(
    clippy::disallowed_methods,
    reason = "the build measures what a rule costs; nothing of a mail depends on it"
)]
fn best_of_two(sample: &[&[u8]], mut run: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..2 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e9 / sample_kib(sample).max(0.01)
}

/// Share of the sample's units that have one of the literals.
fn share(literals: &[Vec<u8>], sample: &[&[u8]]) -> f64 {
    let with = sample.iter().filter(|unit| {
        let lower = unit.to_ascii_lowercase();
        literals.iter().any(|literal| memchr::memmem::find(&lower, literal).is_some())
    });
    let with = f64::from(u32::try_from(with.count()).unwrap_or(u32::MAX));
    with / f64::from(u32::try_from(sample.len().max(1)).unwrap_or(u32::MAX))
}

/// What libhs makes of an expression alone.
struct Found {
    entry: Entry,
    prefilter: bool,
    joined: bool,
    /// It matches somewhere in the sample.
    fired: bool,
    cost: f64,
}

/// The expression by itself in a database: as it is, simplified, or else as libhs prefilters it.
fn best_database(field: &Field, pattern: &Pattern, sample: &[&[u8]]) -> Option<Found> {
    let joined = may_be_joined(field, pattern);
    let mut flags = hs::SINGLEMATCH | hs::ALLOWEMPTY;
    for (on, flag) in [
        (pattern.caseless, hs::CASELESS),
        (pattern.multiline || joined, hs::MULTILINE),
        (pattern.dotall, hs::DOTALL),
        (pattern.utf, hs::UTF8 | hs::UCP),
    ] {
        if on {
            flags |= flag;
        }
    }
    let text =
        if pattern.extended { format!("(?x){}", pattern.text) } else { pattern.text.clone() };
    let entry = |text: String, flags| Entry { octets: text.into_bytes(), flags, id: 0 };
    let alone = |entry, prefilter| measured(field, entry, prefilter, joined, sample);
    let simple = simplify(pattern).and_then(|text| {
        // Without anchors it may always run over many units at once.
        let flags = (flags | hs::DOTALL) & !(hs::MULTILINE | hs::CASELESS);
        let entry = entry(text, flags);
        measured(field, entry, true, joins(field), sample)
    });
    if pattern.text.len() > LONG_EXPRESSION_BYTES && simple.is_some() {
        return simple;
    }
    let whole = alone(entry(text.clone(), flags), false);
    let whole = match (whole, &simple) {
        (None, None) => alone(entry(text, flags | hs::PREFILTER), true),
        (whole, _) => whole,
    };
    match (whole, simple) {
        (Some(whole), Some(simple)) if simple.cost < whole.cost * 0.7 && !simple.fired => {
            Some(simple)
        }
        (whole, simple) => whole.or(simple),
    }
}

/// Fields of many units.
fn joins(field: &Field) -> bool {
    matches!(field, Field::Body | Field::RawBody | Field::Normalised | Field::Uri)
}

fn measured(
    field: &Field,
    entry: Entry,
    prefilter: bool,
    joined: bool,
    sample: &[&[u8]],
) -> Option<Found> {
    let mode = if is_streamed(field) { Mode::Stream } else { Mode::Block };
    let database = hs::compile(std::slice::from_ref(&entry), mode).ok()?;
    let mut space = hs::Space::default();
    space.grow(&database).ok()?;
    let whole = sample.join(&b'\n');
    let units: Vec<&[u8]> = if joined { vec![&whole] } else { sample.to_vec() };
    let mut fired = false;
    let mut on_match = |_, _| {
        fired = true;
        false
    };
    let cost = best_of_two(sample, || {
        for unit in &units {
            if mode == Mode::Block {
                let _ = hs::scan(&database, unit, &mut space, &mut on_match);
            } else if let Ok(mut stream) = hs::Stream::open(&database) {
                let _ = stream.scan(unit, &mut space, &mut on_match);
                let _ = stream.finish(&mut space, &mut on_match);
            }
        }
    });
    Some(Found { entry, prefilter, joined, fired, cost })
}
