//! Which way a rule runs, by what it costs on a sample text, without losing a hit.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use super::confirm::{self, Anchored, Confirm};
use super::distance::Distance;
use super::hs::{self, Entry, Mode};
use super::lazy::Lazy;
use super::literals::{self, Gate, Necessary};
use super::report::Outcome;
use super::rule::{Field, Pattern, Rule, Test};
use super::sieve::{self, Places, Sieve};
use super::simplify::{core_of, simplify, tree_of};
use super::uncounted;

/// Mail-like text, written for this purpose: English and Japanese, plain, HTML, addresses, URIs.
pub(super) const SAMPLE: &str = include_str!("sample.txt");
/// Header blocks, written for this purpose too.
const SAMPLE_HEADERS: &str = include_str!("sample-headers.txt");

/// Rules up to this cost are not tried by a sieve.
const GOOD_NS_PER_KIB: f64 = 60.0;
/// Rules up to this cost are not compared with Hyperscan, which takes seconds to compile some, and
/// hardly ever runs one for less.
const DATABASE_FROM_NS_PER_KIB: f64 = 250.0;
/// A rule that PCRE2 has to run over everything may cost this much.
const PLAIN_NS_PER_KIB_MAX: f64 = 4_000.0;
/// libhs takes many seconds for some expressions beyond this: only simplified.
const LONG_EXPRESSION_BYTES: usize = 600;
/// In short fields, such as one header field, that matters less.
const PLAIN_SHORT_NS_PER_KIB_MAX: f64 = 40_000.0;

/// What calling libhs costs for the few hundred octets that the URIs of a mail are.
const URI_SCAN_NS_PER_KIB: f64 = 700.0;
/// What a sample of one unit does not have is expected in one unit of that many.
const UNSEEN_ONE_IN: usize = 40;
/// A literal's share of the literal database; one rule's share of a sieve.
const GATE_NS_PER_KIB: f64 = 5.0;
/// What one occurrence of a literal costs before PCRE2 is asked.
const HIT_NS: f64 = 20.0;
/// What PCRE2 costs over a whole unit grows with the unit; at places near a string it does not.
const UNSURE: f64 = 1.5;
/// One trial of PCRE2 at one place, or at the few that one string asks for.
const TRIAL_NS: f64 = 100.0;
/// The least octets of a unit of `rawbody`, which ends with the line.
const RAW_UNIT_OCTETS: usize = 1024;
/// A paragraph.
const UNIT_OCTETS: f64 = 400.0;
/// Looking for one string more before PCRE2 does.
const ALSO_NS_PER_KIB: f64 = 40.0;
/// Below this PCRE2 is as quick as looking for strings first.
const ALSO_FROM_NS_PER_KIB: f64 = 300.0;
const SIEVE_NS_PER_KIB: f64 = 40.0;
/// To look for the place in a block in which a sieve saw something.
const BLOCK_NS: f64 = 60.0;
/// Rules beyond this cost are tried by a lazy automaton, which costs about half of it.
const LAZY_FROM_NS_PER_KIB: f64 = 3_000.0;
/// States that an expression may need for the sample: one that needs more would fill its cache.
const LAZY_SAMPLE_BYTES_MAX: usize = 1024 * 1024;
/// Runs of one measurement, and the time after which there is no further one.
const RUNS_MAX: usize = 8;
const RUNS_TIME_MAX: Duration = Duration::from_millis(2);

/// The way a rule runs.
#[derive(Clone, Debug)]
pub(super) enum Tier {
    /// Its literals are the rule.
    Literal { literals: Vec<Vec<u8>>, caseless: bool },
    /// PCRE2 where one of these (in any case) was seen: at the places that are that far before it, or
    /// over all of the unit.
    Gated { literals: Vec<(Vec<u8>, Option<Distance>)> },
    /// Hyperscan.
    Expression { entry: Entry, prefilter: bool, joined: bool },
    /// PCRE2 where the beginning of the expression, or of an end of it, was seen: at the places that are that far before
    /// it, or over all of the unit.
    Sieved { places: Places, near: Option<Distance> },
    /// PCRE2 where a lazy automaton cannot say "no".
    Lazy,
    /// PCRE2 everywhere.
    Plain,
}

/// A rule with its way.
#[derive(Clone, Debug)]
pub(super) struct Tiered {
    pub(super) tier: Tier,
    /// PCRE2 need not look at a unit that lacks one of these (lower case, found in any case).
    pub(super) also: Vec<literals::Set>,
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
    matches!(field, Field::Raw | Field::Part(_) | Field::At(_))
}

fn sample_units(field: &Field) -> Vec<&'static [u8]> {
    if is_streamed(field) {
        return vec![SAMPLE.as_bytes()];
    }
    if matches!(field, Field::AllHeaders(_)) {
        return SAMPLE_HEADERS.split("\n\n").map(str::as_bytes).collect();
    }
    if *field == Field::RawBody {
        return raw_units();
    }
    let lines = is_short(field) || *field == Field::Uri;
    let split = if lines { "\n" } else { "\n\n" };
    // What has become text has no tags any more.
    let rendered = matches!(field, Field::Body | Field::Normalised);
    let left_out = |unit: &&str| unit.is_empty() || (rendered && unit.starts_with('<'));
    SAMPLE.split(split).filter(|unit| !left_out(unit)).map(str::as_bytes).collect()
}

/// Units as long as those of `rawbody`: what is rare in a paragraph is not in one of them.
fn raw_units() -> Vec<&'static [u8]> {
    let (mut units, mut rest) = (Vec::new(), SAMPLE.as_bytes());
    while !rest.is_empty() {
        let line_end = rest.get(RAW_UNIT_OCTETS..).and_then(|rest| memchr::memchr(b'\n', rest));
        let (unit, behind) =
            rest.split_at(line_end.map_or(rest.len(), |end| RAW_UNIT_OCTETS + end + 1));
        units.push(unit);
        rest = behind;
    }
    units
}

/// Chooses the way of one rule, or refuses it.
pub(super) fn choose(rule: &Rule) -> Result<Option<Tiered>, Outcome> {
    match &rule.test {
        Test::Expression { field, pattern, unset, .. } => {
            expression(field, pattern, unset).map(Some)
        }
        Test::Literals { literals, caseless, .. } => Ok(Some(Tiered {
            tier: Tier::Literal { literals: literals.clone(), caseless: *caseless },
            also: Vec::new(),
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
    let sample = sample_units(field);
    let plain_cost = plain_cost(&confirm, &sample);
    let mut ways: Vec<(Tier, f64)> = Vec::new();
    let Necessary { gates, mut also } = literals::necessary(pattern);
    if plain_cost < ALSO_FROM_NS_PER_KIB || !joins(field) {
        also.clear();
    }
    ways.extend(gated(&gates, plain_cost, &also, &sample));
    if joins(field) {
        ways.extend(near(pattern, &gates, &sample));
    }
    // What PCRE2 costs where it looks at all units but those that lack a string.
    let strings: usize = also.iter().map(Vec::len).sum();
    let plain_cost = if also.is_empty() {
        plain_cost
    } else {
        let strings = f64::from(u32::try_from(strings).unwrap_or(u32::MAX));
        plain_cost * share(&[&Vec::new()], &also, &sample) + ALSO_NS_PER_KIB * strings
    };
    let least = |ways: &[(Tier, f64)]| ways.iter().map(|way| way.1).fold(f64::MAX, f64::min);
    // What a header field costs is not worth looking further.
    if ways.is_empty() || !is_short(field) {
        if least(&ways) > GOOD_NS_PER_KIB && joins(field) {
            ways.extend(sieved(pattern, plain_cost, &sample));
        }
        if least(&ways) > LAZY_FROM_NS_PER_KIB && plain_cost > LAZY_FROM_NS_PER_KIB && joins(field)
        {
            ways.extend(lazily(pattern, plain_cost, &sample));
        }
        let plain_max =
            if is_short(field) { PLAIN_SHORT_NS_PER_KIB_MAX } else { PLAIN_NS_PER_KIB_MAX };
        if plain_cost <= plain_max {
            ways.push((Tier::Plain, plain_cost));
        }
        if least(&ways) > DATABASE_FROM_NS_PER_KIB {
            ways.extend(without_counts(field, pattern, plain_cost, &sample));
            // To count over a gap may take libhs minutes, and which rules come so far a measurement decides.
            let asks = ways.is_empty() || !uncounted::counts_far(pattern);
            ways.extend(asks.then(|| best_database(field, pattern, &sample)).flatten().map(
                |found| {
                    let confirmed = if found.prefilter || found.joined { found.fired } else { 0.0 };
                    let Found { entry, prefilter, joined, cost, .. } = found;
                    let call = if *field == Field::Uri { URI_SCAN_NS_PER_KIB } else { 0.0 };
                    (
                        Tier::Expression { entry, prefilter, joined },
                        call + cost + plain_cost * confirmed,
                    )
                },
            ));
        }
        if ways.is_empty() {
            return Err(Outcome::Refused(format!(
                "no necessary literal, libhs cannot take it, and it costs {plain_cost:.0} ns for \
                 each KiB (at most {plain_max:.0})"
            )));
        }
    }
    let refused = || Outcome::Refused("no way to run it".to_owned());
    let (tier, cost) =
        ways.into_iter().min_by(|one, two| one.1.total_cmp(&two.1)).ok_or_else(refused)?;
    if let Tier::Gated { literals } = &tier {
        let near = literals.iter().any(|(_, near)| near.is_some());
        also.retain(|set| !near && !literals.iter().map(|(literal, _)| literal).eq(set));
    }
    Ok(Tiered { tier, also, cost_ns_per_kib: cost, empty, unset })
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
    best_of(sample, || {
        for unit in sample {
            let _ = confirm.matches(unit);
        }
    })
}

/// Nanoseconds for each KiB, the best of some runs: the first one also warms up, and another program
/// makes a run longer and never shorter. Few runs where one takes long. Time of this thread on a CPU: what others do
/// with the machine meanwhile shall not decide how rules run.
fn best_of(sample: &[&[u8]], mut run: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    let begun = cpu_time();
    for number in 0..RUNS_MAX {
        let start = cpu_time();
        run();
        let end = cpu_time();
        best = best.min(end.saturating_sub(start).as_secs_f64());
        if number > 0 && end.saturating_sub(begun) > RUNS_TIME_MAX {
            break;
        }
    }
    best * 1e9 / sample_kib(sample).max(0.01)
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Share of the sample's units that have one of the literals, and one of each set in `also`.
fn share(literals: &[&Vec<u8>], also: &[literals::Set], sample: &[&[u8]]) -> f64 {
    let with = sample.iter().filter(|unit| {
        let lower = unit.to_ascii_lowercase();
        let has = |literal: &Vec<u8>| memchr::memmem::find(&lower, literal).is_some();
        literals.iter().any(|text| has(text)) && also.iter().all(|set| set.iter().any(has))
    });
    let seen = likely_part(with.count(), sample.len());
    let expected = |set: &mut dyn Iterator<Item = &Vec<u8>>| {
        1.0 - (-literals::expected(set) * UNIT_OCTETS).exp()
    };
    let alsos = also.iter().map(|set| expected(&mut set.iter()));
    seen.max(alsos.fold(expected(&mut literals.iter().copied()), f64::min))
}

/// The cheapest gate at which PCRE2 looks at the whole unit, and what that costs.
fn gated(
    gates: &[Gate],
    plain_cost: f64,
    also: &[literals::Set],
    sample: &[&[u8]],
) -> Option<(Tier, f64)> {
    let ways = gates.iter().filter(|gate| gate.rare).map(|gate| {
        let strings: Vec<&Vec<u8>> = gate.strings.keys().collect();
        let cost = GATE_NS_PER_KIB + UNSURE * plain_cost * share(&strings, also, sample);
        let literals = strings.into_iter().map(|literal| (literal.clone(), None)).collect();
        (Tier::Gated { literals }, cost)
    });
    ways.min_by(|one, two| one.1.total_cmp(&two.1))
}

/// The cheapest gate at which PCRE2 is only tried where a match can begin, and what that costs.
fn near(pattern: &Pattern, gates: &[Gate], sample: &[&[u8]]) -> Option<(Tier, f64)> {
    let anchored = Anchored::new(pattern)?;
    let ways = gates.iter().filter(|gate| gate.near).map(|gate| {
        let mut hits = 0_usize;
        let places: Vec<Vec<Range<usize>>> = sample
            .iter()
            .map(|unit| {
                let lower = unit.to_ascii_lowercase();
                let mut places: Vec<Range<usize>> = Vec::new();
                for (literal, distance) in &gate.strings {
                    for at in memchr::memmem::find_iter(&lower, literal) {
                        hits += 1;
                        distance.places(unit, at, &mut |range| places.push(range));
                    }
                }
                confirm::in_order(&mut places);
                places
            })
            .collect();
        let cost = best_of(sample, || {
            for (unit, places) in sample.iter().zip(&places) {
                let _ = anchored.count(unit, places, 1);
            }
        });
        let hits = f64::from(u32::try_from(hits).unwrap_or(u32::MAX));
        let expected = literals::expected(gate.strings.keys()) * 1024.0;
        let seen = cost + HIT_NS * hits / sample_kib(sample).max(0.01);
        let cost = GATE_NS_PER_KIB + seen.max(expected * (HIT_NS + TRIAL_NS));
        let strings = gate.strings.iter();
        let literals = strings.map(|(text, distance)| (text.clone(), Some(*distance))).collect();
        (Tier::Gated { literals }, cost)
    });
    ways.min_by(|one, two| one.1.total_cmp(&two.1))
}

/// By a sieve, and what that costs: over whole units, and at places if a match begins near what is seen.
fn sieved(pattern: &Pattern, plain_cost: f64, sample: &[&[u8]]) -> Vec<(Tier, f64)> {
    // Whoever contains a match contains one of each of its ends: the rarest beginning of one will do.
    let rarest = |all: Vec<(Places, Distance)>| {
        let key = |(places, _): &(Places, Distance)| (fired(places, sample), places.chance());
        let keyed = all.into_iter().map(|one| (key(&one), one));
        let rarer = |one: &(usize, f64), two: &(usize, f64)| {
            one.0.cmp(&two.0).then(one.1.total_cmp(&two.1))
        };
        keyed.min_by(|one, two| rarer(&one.0, &two.0)).map(|(_, one)| one)
    };
    let mut ways = Vec::new();
    let cores = core_of(pattern).map(|core| sieve::sequences(&core)).unwrap_or_default();
    let trees = tree_of(pattern).map(|tree| sieve::sequences(&tree)).unwrap_or_default();
    let at_line = literals::begins_lines(pattern);
    let near = trees.iter().filter(|(_, distance)| distance.is_near(at_line)).cloned().collect();
    if let Some((places, distance)) = rarest(near)
        && let Some(anchored) = Anchored::new(pattern)
    {
        let cost = near_cost(&places, distance, &anchored, sample);
        ways.push((Tier::Sieved { places, near: Some(distance) }, cost));
    }
    if let Some((places, _)) = rarest([cores, trees].concat()) {
        let fired = fired(&places, sample);
        let cost = SIEVE_NS_PER_KIB + plain_cost * likely_part(fired, sample.len());
        ways.push((Tier::Sieved { places, near: None }, cost));
    }
    ways
}

/// How many units of the sample the sieve of one sequence lets through.
fn fired(places: &Places, sample: &[&[u8]]) -> usize {
    let sieve = Sieve::new([places]);
    let fires = |unit: &&&[u8]| {
        let mut fired = false;
        sieve.scan(unit, &mut |_, _| fired = true);
        fired
    };
    sample.iter().filter(fires).count()
}

/// What a sieve costs that says where to try.
fn near_cost(places: &Places, distance: Distance, anchored: &Anchored, sample: &[&[u8]]) -> f64 {
    let sieve = Sieve::new([places]);
    let mut blocks = 0_usize;
    let found: Vec<Vec<Range<usize>>> = sample
        .iter()
        .map(|unit| {
            let mut found: Vec<Range<usize>> = Vec::new();
            sieve.scan(unit, &mut |_, block| {
                blocks += 1;
                sieve.ends(unit, 0, block, &mut |end| {
                    let at = end.saturating_sub(places.count());
                    distance.places(unit, at, &mut |range| found.push(range));
                });
            });
            confirm::in_order(&mut found);
            found
        })
        .collect();
    let trials = best_of(sample, || {
        for (unit, places) in sample.iter().zip(&found) {
            let _ = anchored.count(unit, places, 1);
        }
    });
    let blocks = f64::from(u32::try_from(blocks).unwrap_or(u32::MAX));
    let seen = trials + BLOCK_NS * blocks / sample_kib(sample).max(0.01);
    SIEVE_NS_PER_KIB + seen.max(places.chance() * 1024.0 * (BLOCK_NS + TRIAL_NS))
}

/// By a lazy automaton, and what that costs.
fn lazily(pattern: &Pattern, plain_cost: f64, sample: &[&[u8]]) -> Option<(Tier, f64)> {
    let lazy = Lazy::new(pattern)?;
    let mut cache = lazy.cache();
    let mut fired = 0;
    let cost = best_of(sample, || {
        let mut growth_left = LAZY_SAMPLE_BYTES_MAX;
        fired = sample.iter().filter(|u| lazy.may_match(&mut cache, u, &mut growth_left)).count();
    });
    Some((Tier::Lazy, cost + plain_cost * likely_part(fired, sample.len())))
}

/// What libhs makes of an expression alone.
struct Found {
    entry: Entry,
    prefilter: bool,
    joined: bool,
    /// Share of the sample's units in which it matches.
    fired: f64,
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
        (Some(whole), Some(simple))
            if simple.cost < whole.cost * 0.7 && simple.fired <= whole.fired =>
        {
            Some(simple)
        }
        (whole, simple) => whole.or(simple),
    }
}

/// By libhs what it matches at least without counts, and what that costs.
fn without_counts(
    field: &Field,
    pattern: &Pattern,
    plain_cost: f64,
    sample: &[&[u8]],
) -> Option<(Tier, f64)> {
    let case = if pattern.caseless { hs::CASELESS } else { 0 };
    let flags = hs::SINGLEMATCH | hs::DOTALL | hs::MULTILINE | case;
    let entry = Entry { octets: uncounted::text_of(pattern)?.into_bytes(), flags, id: 0 };
    let found = measured(field, entry, true, joins(field), sample)?;
    let Found { entry, prefilter, joined, fired, cost } = found;
    let call = if *field == Field::Uri { URI_SCAN_NS_PER_KIB } else { 0.0 };
    let fired = fired.max(likely_part(0, sample.len()));
    Some((Tier::Expression { entry, prefilter, joined }, call + cost + plain_cost * fired))
}

/// Fields of many units.
fn joins(field: &Field) -> bool {
    matches!(field, Field::Body | Field::RawBody | Field::Normalised | Field::Uri)
}

fn measured(
    field: &Field,
    mut entry: Entry,
    prefilter: bool,
    joined: bool,
    sample: &[&[u8]],
) -> Option<Found> {
    let mode = if is_streamed(field) { Mode::Stream } else { Mode::Block };
    if joined {
        // Each match counts: it may end in another unit.
        entry.flags &= !hs::SINGLEMATCH;
    }
    let database = hs::compile(std::slice::from_ref(&entry), mode).ok()?;
    let mut space = hs::Space::default();
    space.grow(&database).ok()?;
    let whole = sample.join(&b'\n');
    let units: Vec<&[u8]> = if joined { vec![&whole] } else { sample.to_vec() };
    let ends: Vec<u64> = sample
        .iter()
        .scan(0, |end, unit| {
            *end += unit.len() as u64 + 1;
            Some(*end)
        })
        .collect();
    let mut in_units = BTreeSet::new();
    let cost = best_of(sample, || {
        for (number, unit) in units.iter().enumerate() {
            let mut last = usize::MAX;
            let mut on_match = |_, to| {
                let at = if joined { ends.partition_point(|end| *end < to) } else { number };
                if at != last {
                    in_units.insert(at);
                    last = at;
                }
                false
            };
            if mode == Mode::Block {
                let _ = hs::scan(&database, unit, &mut space, &mut on_match);
            } else if let Ok(mut stream) = hs::Stream::open(&database) {
                let _ = stream.scan(unit, &mut space, &mut on_match);
                let _ = stream.finish(&mut space, &mut on_match);
            }
        }
    });
    Some(Found { entry, prefilter, joined, fired: part_of(in_units.len(), sample.len()), cost })
}

/// Share of units of real mail, seen that of the sample: no beginning is so rare that it never comes. Nor does one
/// that is not in a sample of one unit come in each: every rule over octets would run ungated.
fn likely_part(count: usize, all: usize) -> f64 {
    let all = if all == 1 && count == 0 { UNSEEN_ONE_IN } else { all };
    part_of(count.max(1), all)
}

fn part_of(count: usize, all: usize) -> f64 {
    let of = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    of(count) / of(all.max(1))
}
