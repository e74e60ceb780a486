//! Where rules match, for whoever explains a verdict to people: the scan itself keeps no places, because it would pay for
//! them in every mail. Of mail that looks bad, the rules that weigh most are asked again, after the fact; `sekisho check`
//! asks for all that hit.

use std::ops::Range;

use ahash::AHashMap;

use crate::message::View;
use crate::scan::finding::{FOUND_IN, Finding, FindingKind, MilliPoints};
use crate::scan::patterns::confirm::Confirm;
use crate::scan::patterns::fields::{Fields, Wanted};
use crate::scan::patterns::hits::Hits;
use crate::scan::patterns::open::Patterns;
use crate::scan::patterns::rule::{Field, Pattern, RuleIndex, Test};

use super::ungated::units_of;
use super::{Scratch, gather};

/// Octets before and behind a match that are shown with it, and of the match itself.
const AROUND_BYTES: usize = 24;
const MATCH_BYTES_MAX: usize = 80;
/// Rules in rules that are looked into.
const DEPTH_MAX: usize = 8;

/// Points of all rules from which their places are looked for: where presets begin to suspect a mail. Ordinary mail has
/// less, and costs nothing.
const TOLD_POINTS_MIN: MilliPoints = 3_000;
/// Rules whose places are looked for.
const TOLD_MAX: usize = 5;
/// Characters of a place and of the text there, in a finding.
const PLACE_CHARS_MAX: usize = 40;
const TEXT_CHARS_MAX: usize = 64;

/// Expressions that are kept compiled for the next mail that looks bad.
const COMPILED_MAX: usize = 128;

/// Expressions of rules whose places were looked for. The same few rules weigh most in most of the bad mail, and to compile
/// one takes longer than to run it.
#[derive(Debug, Default)]
pub(in crate::scan::patterns) struct Compiled(AHashMap<RuleIndex, Option<Confirm>>);

impl Compiled {
    /// Forgets all: the patterns are others now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn of(&mut self, rule: RuleIndex, pattern: &Pattern) -> Option<&Confirm> {
        if self.0.len() >= COMPILED_MAX && !self.0.contains_key(&rule) {
            self.0.clear();
        }
        self.0.entry(rule).or_insert_with(|| Confirm::new(pattern).ok()).as_ref()
    }
}

/// Where a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The field, or the path of the part.
    pub place: Box<str>,
    /// What stands there, with a little around it; escaped where it is no text.
    pub text: Box<str>,
}

impl Patterns {
    /// The first place where the rule of this name matches; `None` for rules that match nothing by themselves (negations,
    /// rules for what is there).
    #[must_use]
    pub fn excerpt(
        &self,
        name: &str,
        view: &View<'_>,
        envelope_from: Option<&[u8]>,
    ) -> Option<Excerpt> {
        let at = self.rules().iter().position(|rule| rule.name == name)?;
        let wanted =
            Wanted { body: true, rawbody: true, normalised: true, uris: true, file_types: true };
        let fields = Fields::of_view(view, envelope_from, wanted);
        let (rule, compiled) = (u32::try_from(at).ok()?, &mut Compiled::default());
        self.place_of(rule, (view, &fields), compiled, (0, &|_| true))
    }

    /// Adds to the findings that weigh most where their rules match. Of ordinary mail none does.
    pub(in crate::scan) async fn tell_places(
        &self,
        (hits, scratch): (&Hits, &mut Scratch),
        view: &View<'_>,
        envelope_from: Option<&[u8]>,
        findings: &mut [Finding],
        pause: &impl AsyncFn(),
    ) {
        let acts = |kind: FindingKind| kind.is_virus() || kind == FindingKind::Content;
        let points = findings
            .iter()
            .filter(|found| found.points > 0 && !found.log_only)
            .fold(0, |sum: MilliPoints, found| sum.saturating_add(found.points));
        if points < TOLD_POINTS_MIN && !findings.iter().any(|found| acts(found.kind)) {
            return;
        }
        let mut told: Vec<&mut Finding> =
            findings.iter_mut().filter(|found| acts(found.kind) || found.points > 0).collect();
        told.sort_by_key(|found| (!acts(found.kind), std::cmp::Reverse(found.points)));
        told.truncate(TOLD_MAX);
        let fields = Fields::of_view(view, envelope_from, self.wanted());
        let hit = |rule: RuleIndex| hits.rules.binary_search_by_key(&rule, |hit| hit.rule).is_ok();
        for found in told {
            let named = |hit: &&super::Hit| {
                self.rule(hit.rule).is_some_and(|rule| *rule.name == *found.rule)
            };
            let Some(rule) = hits.rules.iter().find(named).map(|hit| hit.rule) else { continue };
            if let Some(excerpt) =
                self.place_of(rule, (view, &fields), &mut scratch.compiled, (0, &hit))
            {
                let place: String = excerpt.place.chars().take(PLACE_CHARS_MAX).collect();
                let text = clipped(&excerpt.text);
                found.detail = format!("{}{FOUND_IN}{place}: {text}", found.detail).into();
            }
            pause().await;
        }
    }

    /// How deep it is among rules, and which of them are worth looking into.
    fn place_of(
        &self,
        rule: RuleIndex,
        (view, fields): (&View<'_>, &Fields<'_>),
        compiled: &mut Compiled,
        (depth, worth): (usize, &dyn Fn(RuleIndex) -> bool),
    ) -> Option<Excerpt> {
        match &self.rule(rule)?.test {
            Test::Expression { negated: true, .. } | Test::Exists(_) => None,
            Test::Expression { field, pattern, .. } => {
                let confirm = compiled.of(rule, pattern)?;
                found_in(field, view, fields, &|unit| confirm.first(unit))
            }
            Test::Literals { field, literals, caseless } => {
                let find = |unit: &[u8]| {
                    let unit = if *caseless { unit.to_ascii_lowercase() } else { unit.to_vec() };
                    literals.iter().find_map(|literal| {
                        let literal =
                            if *caseless { literal.to_ascii_lowercase() } else { literal.clone() };
                        let start = memchr::memmem::find(&unit, &literal)?;
                        Some(start..start + literal.len())
                    })
                };
                found_in(field, view, fields, &find)
            }
            Test::Meta(expression) | Test::PartMeta { expression, .. } => {
                let asked = |part: &&RuleIndex| depth < DEPTH_MAX && worth(**part);
                let mut parts = expression.rules.iter().flatten().filter(asked);
                parts.find_map(|part| {
                    self.place_of(*part, (view, fields), compiled, (depth + 1, worth))
                })
            }
        }
    }
}

fn found_in(
    field: &Field,
    view: &View<'_>,
    fields: &Fields<'_>,
    find: &dyn Fn(&[u8]) -> Option<Range<usize>>,
) -> Option<Excerpt> {
    if let Field::Part(_) | Field::At(_) = field {
        return view.parts.iter().zip(&fields.parts).find_map(|(named, part)| {
            let octets = match field {
                Field::At(place) => gather::program(*place, part)?,
                Field::Part(target) if gather::concerns(*target, part) => part.octets,
                _ => return None,
            };
            let found = find(octets)?;
            let place = match named.file_name() {
                Some(name) => format!("{} ({name})", named.path),
                None => named.path.to_string(),
            };
            Some(Excerpt { place: place.into(), text: around(octets, &found) })
        });
    }
    units_of(fields, field).iter().find_map(|unit| {
        let found = find(unit)?;
        Some(Excerpt { place: field.to_string().into(), text: around(unit, &found) })
    })
}

/// The match of an excerpt with as much around it as fits.
fn clipped(text: &str) -> String {
    let all = text.chars().count();
    let start = text.find('[').map_or(0, |at| text.get(..at).unwrap_or_default().chars().count());
    let before = start.min(12);
    let text: String = text.chars().skip(start - before).take(TEXT_CHARS_MAX).collect();
    if all > TEXT_CHARS_MAX + start - before { format!("{text}...") } else { text }
}

/// The match in brackets, with what stands around it.
fn around(unit: &[u8], found: &Range<usize>) -> Box<str> {
    let text = |range: Range<usize>| {
        let octets = unit.get(range).unwrap_or_default();
        let text = String::from_utf8_lossy(octets);
        let plain = text.trim_matches(char::REPLACEMENT_CHARACTER);
        plain.replace(|c: char| c.is_control(), " ")
    };
    let start = found.start.saturating_sub(AROUND_BYTES);
    let end = found.end.saturating_add(AROUND_BYTES).min(unit.len());
    let shown = found.end.min(found.start.saturating_add(MATCH_BYTES_MAX));
    let cut = if shown < found.end { "..." } else { "" };
    let matched = text(found.start..shown);
    format!("{}[{matched}{cut}]{}", text(start..found.start), text(found.end..end)).into()
}
