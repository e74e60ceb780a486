//! Every rule by PCRE2 over every unit: slow, without tiers; what tiering is measured against.

use std::collections::HashMap;

use crate::scan::patterns::confirm::Confirm;
use crate::scan::patterns::error::ScanError;
use crate::scan::patterns::fields::Fields;
use crate::scan::patterns::hits::Hits;
use crate::scan::patterns::open::Patterns;
use crate::scan::patterns::rule::{Field, RuleIndex, Test};

use super::gather::{self, Gathered};
use super::{Scratch, State};

/// The rules of a payload without any gate, for tests and measurements. Logical signatures, which
/// look at one part at a time, are left out.
#[derive(Debug)]
pub struct Ungated<'p> {
    patterns: &'p Patterns,
    confirms: Vec<Option<Confirm>>,
}

impl<'p> Ungated<'p> {
    /// Compiles all rules for PCRE2.
    #[must_use]
    pub fn new(patterns: &'p Patterns) -> Self {
        let confirm = |test: &Test| match test {
            Test::Expression { pattern, .. } => Confirm::new(pattern).ok(),
            _ => None,
        };
        let confirms = patterns.rules().iter().map(|rule| confirm(&rule.test)).collect();
        Self { patterns, confirms }
    }

    /// Runs all rules over one message.
    ///
    /// # Errors
    /// No memory for `scratch`.
    pub fn run(&self, scratch: &mut Scratch, fields: &Fields<'_>) -> Result<Hits, ScanError> {
        scratch.fit(self.patterns)?;
        scratch.state.clear();
        let mut units: HashMap<&Field, Vec<Vec<u8>>> = HashMap::new();
        for (index, rule) in (0_u32..).zip(self.patterns.rules()) {
            if let Test::Exists(Field::Header(name, _)) = &rule.test
                && fields.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
            {
                scratch.state.add(index, 1);
            }
            let (Test::Expression { field, .. } | Test::Literals { field, .. }) = &rule.test else {
                continue;
            };
            let units = units.entry(field).or_insert_with(|| units_of(fields, field));
            self.one(index, units, &mut scratch.state);
        }
        Ok(self.patterns.conclude(&mut scratch.state, fields))
    }

    fn one(&self, index: RuleIndex, units: &[Vec<u8>], state: &mut State) {
        let Some(rule) = self.patterns.rule(index) else { return };
        if let (Test::Expression { unset, field, .. }, true) = (&rule.test, units.is_empty()) {
            let absent = !matches!(field, Field::Body | Field::RawBody | Field::Normalised);
            if let Some(Some(confirm)) = self.confirms.get(index as usize)
                && absent
                && can_be_unset(field)
                && confirm.matches(unset.as_bytes()) == Ok(true)
            {
                state.add(index, 1);
            }
        }
        for (number, unit) in units.iter().enumerate() {
            if rule.skips_first_unit && number == 0 {
                continue;
            }
            let most = rule.count_max.saturating_sub(state.count(index));
            let times = match (&rule.test, self.confirms.get(index as usize)) {
                (Test::Literals { literals, caseless, .. }, _) => {
                    let find =
                        |text: &[u8], literal: &[u8]| memchr::memmem::find(text, literal).is_some();
                    let lower = unit.to_ascii_lowercase();
                    u32::from(
                        most > 0
                            && literals.iter().any(|literal| match caseless {
                                true => find(&lower, &literal.to_ascii_lowercase()),
                                false => find(unit, literal),
                            }),
                    )
                }
                (_, Some(Some(confirm))) => match confirm.count(unit, most) {
                    Ok(times) if most > 0 => times,
                    Ok(_) => 0,
                    Err(_) => {
                        state.limit(&rule.name, super::confirming::STEPS);
                        0
                    }
                },
                _ => 0,
            };
            state.add(index, times);
        }
    }
}

/// Fields for which "the message does not have it" means something.
fn can_be_unset(field: &Field) -> bool {
    !matches!(field, Field::Raw | Field::Part(_) | Field::At(_))
}

pub(super) fn units_of(fields: &Fields<'_>, field: &Field) -> Vec<Vec<u8>> {
    let owned = |unit: &[u8]| unit.to_vec();
    match field {
        Field::Body => fields.body.iter().map(owned).collect(),
        Field::RawBody => fields.rawbody.iter().map(owned).collect(),
        Field::Normalised => fields.normalised.iter().map(owned).collect(),
        Field::Raw => vec![fields.raw.to_vec()],
        Field::Part(target) => {
            let parts = fields.parts.iter().filter(|part| gather::concerns(*target, part));
            parts.map(|part| part.octets.to_vec()).collect()
        }
        Field::At(place) => {
            let parts = fields.parts.iter();
            parts.filter_map(|part| gather::program(*place, part)).map(owned).collect()
        }
        Field::Header(name, form) => {
            let mut unit = Vec::new();
            let mut there = false;
            for header in fields.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)) {
                gather::write_form(header, *form, &mut unit);
                there = true;
            }
            if there { vec![unit] } else { Vec::new() }
        }
        other => {
            let mut out = Gathered::default();
            gather::gather(fields, other, &mut out);
            let mut start = 0;
            out.ends
                .iter()
                .map(|end| {
                    let unit = out.octets.get(start..*end as usize).unwrap_or_default().to_vec();
                    start = *end as usize;
                    unit
                })
                .collect()
        }
    }
}
