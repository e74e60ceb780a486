//! From files of rules to a payload.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use yara_x::errors::CompileError;
use yara_x::warnings::Warning;
use yara_x::{Compiler, Rules};

use super::YaraSource;
use super::format::{self, Head};
use super::meta::{name_of, weight};
use crate::scan::patterns::{BuildReport, Outcome, RuleReport};

/// Mistakes of one file that are reported.
const MISTAKES_MAX: usize = 20;
/// Doubts about one file that are reported: rules that are slow, and alike.
const WARNINGS_MAX: usize = 20;

/// Something about a file: line and column from 1, and what.
struct Note {
    line: usize,
    column: usize,
    text: String,
}

/// Files that are right, by their namespaces.
type Taken<'s> = BTreeMap<String, (&'s YaraSource<'s>, Lines)>;

/// Compiles the files without a mistake, and says in `report` what became of each rule. Findings whose names are in `ignored` are
/// left out. The payload and the number of its rules; none if there is no rule.
///
/// Each file is looked at by itself first: one that is refused leaves nothing of itself behind, in the others or in the payload.
///
/// # Errors
/// Our own fault, in words.
pub fn build(
    sources: &[YaraSource<'_>],
    ignored: &HashSet<String>,
    report: &mut BuildReport,
) -> Result<Option<(Vec<u8>, u64)>, String> {
    let mut taken = Taken::new();
    for (number, source) in sources.iter().enumerate() {
        if is_right(source, report) {
            // The name of a namespace is never shown; files of two directories may have the same.
            taken.insert(format!("f{number:06}"), (source, Lines::of(source.octets)));
        }
    }
    let mut rules = compile(&taken)?;
    let before = taken.len();
    refuse_weights(&rules, &mut taken, report);
    if taken.len() < before {
        rules = compile(&taken)?;
    }
    let mut left_out = Vec::new();
    let mut count = 0;
    for rule in rules.iter().filter(|rule| !rule.is_private()) {
        let name = name_of(rule.identifier());
        let is_ignored = ignored.contains(&name);
        let outcome = match is_ignored {
            true => Outcome::NotTaken("a name to be ignored".to_owned()),
            false => Outcome::Taken,
        };
        let place = taken.get(rule.namespace()).map_or_else(String::new, |(source, lines)| {
            format!("{}:{}", source.path, lines.of_rule(rule.identifier()))
        });
        report.rules.push(reported(name.clone(), place, outcome));
        count += u64::from(!is_ignored);
        left_out.extend(is_ignored.then_some(name));
    }
    if count == 0 {
        return Ok(None);
    }
    left_out.sort();
    left_out.dedup();
    let compiled = rules.serialize().map_err(|error| error.to_string())?;
    Ok(Some((format::write(&Head::new(count, left_out), &compiled)?, count)))
}

/// With what holds for every file.
fn compiler() -> Compiler<'static> {
    let mut compiler = Compiler::new();
    compiler
        // A rule file must not read others, by whatever name.
        .enable_includes(false)
        // As YARA itself and ClamAV read expressions.
        .relaxed_re_syntax(true)
        .max_warnings(WARNINGS_MAX);
    compiler
}

/// All files, each in the namespace that it is listed under.
fn compile(taken: &Taken<'_>) -> Result<Rules, String> {
    let mut compiler = compiler();
    for (namespace, (source, _)) in taken {
        compiler.new_namespace(namespace);
        let added = compiler.add_source(source.octets).map(drop);
        added.map_err(|error| format!("{}: {}", source.path, error.title()))?;
    }
    Ok(compiler.build())
}

/// Whether a file is right by itself; the report says why not, or what is doubtful.
fn is_right(source: &YaraSource<'_>, report: &mut BuildReport) -> bool {
    let text = String::from_utf8_lossy(source.octets);
    let look = || {
        let mut compiler = compiler();
        match compiler.add_source(source.octets).is_ok() {
            true => Ok(compiler.warnings().iter().map(|one| doubt(one, &text)).collect()),
            false => Err(compiler.errors().iter().map(|one| mistake(one, &text)).collect()),
        }
    };
    // A compiler that panics on one file takes none of the others along.
    let looked: Result<Vec<Note>, Vec<Note>> =
        catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| {
            let text = "a file that YARA-X cannot bear".to_owned();
            Err(vec![Note { line: 1, column: 1, text }])
        });
    let is_right = looked.is_ok();
    match looked {
        Ok(doubts) => {
            let told =
                |Note { line, column, text }| format!("{}:{line}:{column}: {text}", source.path);
            report.notes.extend(doubts.into_iter().map(told));
        }
        Err(mistakes) => {
            mistakes.into_iter().take(MISTAKES_MAX).for_each(|note| refuse(source, note, report));
        }
    }
    is_right
}

/// Takes the files out in which a rule says of its weight what cannot be.
fn refuse_weights(rules: &Rules, taken: &mut Taken<'_>, report: &mut BuildReport) {
    let mut refused = HashSet::new();
    for rule in rules.iter() {
        let Err(what) = weight(&rule) else { continue };
        let Some((source, lines)) = taken.get(rule.namespace()) else { continue };
        let line = lines.of_rule(rule.identifier());
        let text = format!("rule {}: {what}", rule.identifier());
        refuse(source, Note { line, column: 1, text }, report);
        refused.insert(rule.namespace());
    }
    taken.retain(|namespace, _| !refused.contains(namespace.as_str()));
}

fn refuse(source: &YaraSource<'_>, note: Note, report: &mut BuildReport) {
    let Note { line, column, text } = note;
    let place = format!("{}:{line}:{column}", source.path);
    let outcome = Outcome::Refused(format!("{text}; no rule of this file is used"));
    report.rules.push(reported("YARA".to_owned(), place, outcome));
}

fn reported(name: String, place: String, outcome: Outcome) -> RuleReport {
    RuleReport { name, place, field: "part".to_owned(), outcome, cost_ns_per_kib: 0 }
}

fn mistake(error: &CompileError, text: &str) -> Note {
    let labels = error.labels().map(|label| (label.span().start(), label.text().to_owned()));
    note(text, error.title(), labels)
}

fn doubt(warning: &Warning, text: &str) -> Note {
    let labels = warning.labels().map(|label| (label.span().start(), label.text().to_owned()));
    note(text, warning.title(), labels)
}

/// The first label is where it is, and says more than the title does.
fn note(text: &str, title: &str, mut labels: impl Iterator<Item = (usize, String)>) -> Note {
    let (at, label) = labels.next().unwrap_or_default();
    let before = text.as_bytes().get(..at.min(text.len())).unwrap_or_default();
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
    let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = match label.is_empty() {
        true => title.to_owned(),
        false => format!("{title}: {label}"),
    };
    Note { line, column: column + 1, text }
}

/// Lines of `rule NAME`; the first one where a comment says the same before it.
struct Lines(HashMap<String, usize>);

impl Lines {
    fn of(octets: &[u8]) -> Self {
        let mut lines = HashMap::new();
        for (at, line) in String::from_utf8_lossy(octets).lines().enumerate() {
            let words = line.split(|c: char| c.is_whitespace() || c == '{' || c == ':');
            let mut words = words.filter(|word| !word.is_empty());
            // A line may hold several.
            while words.any(|word| word == "rule") {
                let Some(name) = words.next() else { break };
                lines.entry(name.to_owned()).or_insert(at + 1);
            }
        }
        Self(lines)
    }

    fn of_rule(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(1)
    }
}
