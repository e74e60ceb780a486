//! `tables build|show|verify`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_core::control::Request;
use sekisho_core::tables::{Current, Generation, Report, Snapshot};
use serde_json::Value;

use crate::arguments::TablesCommand;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, bytes, shown};
use crate::place::Place;
use crate::publish::{self, Told};

/// Runs one `tables` command.
pub(crate) fn run(place: &Place, json: bool, command: &TablesCommand) -> Ran {
    match command {
        TablesCommand::Build { no_adopt, rules } => build(place, json, *no_adopt, *rules),
        TablesCommand::Show { generation, rules } => show(place, json, *generation, *rules),
        TablesCommand::Verify { generation } => verify(place, json, *generation),
    }
}

fn build(place: &Place, json: bool, no_adopt: bool, rules: bool) -> Ran {
    let (number, report) = publish::build(place)?;
    print(number, &report, json, rules);
    output::words(format_args!("generation {number} is built"));
    if no_adopt {
        return Ok(Outcome::Done);
    }
    match publish::tell(place, Request::Adopt { generation: number })? {
        Told::InForce => output::words(format_args!("generation {number} is in force")),
        Told::NobodyThere => {
            output::words("no engine runs; the next one starts with it");
        }
        Told::Refused(why) | Told::Pointless(why) => {
            output::words(format_args!("sekisho: the engine refused it: {why}"));
            return Ok(Outcome::No);
        }
    }
    Ok(Outcome::Done)
}

/// The generation that is meant: as named, else the newest.
pub(crate) fn number(place: &Place, named: Option<u64>) -> Result<u64, Failure> {
    if let Some(number) = named {
        let dir = publish::publisher(place)?.generation_dir(number);
        if !dir.is_dir() {
            let what = format!("generation {number}");
            return Err(Failure::new(what, format_args!("{}: is not there", dir.display())).next(
                format_args!(
                    "ls {}; without a number it is the newest",
                    place.generations().display()
                ),
            ));
        }
        return Ok(number);
    }
    let latest = publish::publisher(place)?.latest();
    let latest = latest.map_err(|error| publish::failed(place, "tables", &error))?;
    latest.ok_or_else(|| {
        Failure::new("tables", format_args!("{}: no generation yet", place.generations().display()))
            .next(format_args!("sekisho{} tables build", place.arguments()))
    })
}

fn show(place: &Place, json: bool, named: Option<u64>, rules: bool) -> Ran {
    let number = number(place, named)?;
    let path = publish::publisher(place)?.generation_dir(number).join("report.json");
    let fail = |why: String| Failure::new(path.display(), why);
    let text = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
    let report = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
    print(number, &report, json, rules);
    Ok(Outcome::Done)
}

fn print(number: u64, report: &Report, json: bool, rules: bool) {
    if json {
        output::json(&serde_json::json!({"generation": number, "report": report}));
        return;
    }
    let rows = report
        .tables
        .iter()
        .map(|table| vec![table.name.clone(), table.entries.to_string(), bytes(table.bytes)])
        .collect();
    output::table(&["table", "entries", "size"], rows);
    for warning in report.sources.iter().flat_map(|source| &source.warnings) {
        output::words(format_args!("warning: {warning}"));
    }
    for source in report.sources.iter().filter(|source| source.left_out > 0) {
        output::words(format_args!("{}: {} lines left out", source.path, source.left_out));
    }
    print_rules(&report.patterns, rules);
}

/// The rules as `scan::patterns` reports them: how many were taken and how, each refused one with its
/// place and why, and every one on request. Other lists (notes, unknown lines) on request too.
fn print_rules(patterns: &Value, all: bool) {
    let Value::Object(fields) = patterns else { return };
    for (name, list) in fields {
        let Value::Array(list) = list else { continue };
        if name != "rules" {
            if all {
                list.iter().for_each(|one| output::data(format_args!("{name}\t{}", text(one))));
            } else if !list.is_empty() {
                output::words(format_args!("rules, {name}: {}; --rules lists them", list.len()));
            }
            continue;
        }
        if !list.is_empty() {
            output::words(format_args!("rules: {}", outcome_counts(list)));
        }
        for rule in list {
            let (outcome, why) = outcome_words(rule);
            if all || outcome == "refused" {
                let field = |name: &str| rule.get(name).map(text).unwrap_or_default();
                let (name, place) = (field("name"), field("place"));
                output::data(format_args!("{name}\t{outcome}\t{why}\t{place}"));
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), shown)
}

/// What became of a rule, and why: `"taken_plain"` or `{"refused": "why"}`.
fn outcome_words(rule: &Value) -> (String, String) {
    match rule.get("outcome") {
        Some(Value::Object(outcome)) => {
            outcome.iter().next().map(|(name, why)| (name.clone(), text(why))).unwrap_or_default()
        }
        Some(outcome) => (text(outcome), String::new()),
        None => (String::new(), String::new()),
    }
}

fn outcome_counts(rules: &[Value]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for rule in rules {
        *counts.entry(outcome_words(rule).0).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    counts.join(", ")
}

/// Copies, verifies and maps a generation as the engine does, in a directory of our own: the
/// engine's is the engine's to write. What is mapped stays mapped when its names are gone.
pub(crate) fn open(place: &Place, number: u64) -> Result<Arc<Generation>, Failure> {
    let what = format!("generation {number}");
    let scratch = place.run().join(format!("read-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|error| Failure::new(&what, error))?;
    let dir = publish::publisher(place)?.generation_dir(number);
    let adopted = Generation::adopt(&dir, &scratch, None);
    let _ = std::fs::remove_dir_all(&scratch);
    adopted.map_err(|error| Failure::new(&what, error))
}

/// The newest generation with its deltas, patterns included: what the engine judges by.
pub(crate) fn in_force(place: &Place) -> Result<Arc<Snapshot>, Failure> {
    let number = number(place, None)?;
    let current = Current::new(open(place, number)?);
    let dir = publish::publisher(place)?.generation_dir(number);
    current.adopt_deltas(&dir).map_err(|error| Failure::new("deltas", error))?;
    Ok(current.load())
}

fn verify(place: &Place, json: bool, named: Option<u64>) -> Ran {
    let number = number(place, named)?;
    Ok(match open(place, number) {
        Ok(_) => {
            let said = format!("generation {number}: every file is what it says");
            output::said(json, Outcome::Done, said)
        }
        Err(failure) => output::said(json, Outcome::No, failure),
    })
}

#[cfg(test)]
mod tests {
    use super::{outcome_counts, outcome_words};
    use serde_json::json;

    #[test]
    fn what_became_of_a_rule_is_said_in_words() {
        for (outcome, word, why) in [
            (json!("taken_gated"), "taken_gated", ""),
            (json!({"refused": "too costly"}), "refused", "too costly"),
            (json!({"not_taken": "eval:check"}), "not_taken", "eval:check"),
        ] {
            let (found, reason) = outcome_words(&json!({"name": "A", "outcome": outcome}));
            assert_eq!((found.as_str(), reason.as_str()), (word, why));
        }
    }

    #[test]
    fn rules_are_counted_by_what_became_of_them() {
        let rules = [
            json!({"name": "A", "outcome": "taken_plain"}),
            json!({"name": "B", "outcome": "taken_plain"}),
            json!({"name": "C", "outcome": {"refused": "x"}}),
        ];
        assert_eq!(outcome_counts(&rules), "1 refused, 2 taken_plain");
    }
}
