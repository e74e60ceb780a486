//! `SpamAssassin` rule files (`Mail::SpamAssassin::Conf`, version 4).
//!
//! Taken: `header body rawbody uri full mimeheader meta score describe tflags lang replace_*`,
//! `if`/`ifplugin`/`else`/`endif`. `eval:` functions, captures (`%{...}`) and fields that need the
//! trust boundary (`X-Spam-Relays-*`) are listed as not taken; metas count them as never hit.

use std::collections::HashMap;

use crate::scan::finding::FindingKind;

use super::super::COUNT_MAX;
use super::super::error::SourceError;
use super::super::meta::Expression;
use super::super::report::Outcome;
use super::super::rule::{Field, HeaderForm, Pattern, Rule, Test};
use super::{Collected, Draft, ascii_pattern, octets_as_text, shown_text};

mod condition;
mod expression;
mod replace;

use condition::Conditions;

/// Score sets: network tests off or on, Bayes off or on. Ours has neither, set 0.
const SCORE_SET: usize = 0;

/// Words whose lines say something about rules.
const RULE_WORDS: [&str; 7] = ["header", "body", "rawbody", "uri", "full", "mimeheader", "meta"];

/// Reads files in the order they are given: later lines override earlier ones, over all files.
#[derive(Debug, Default)]
pub struct Reader {
    rules: Vec<Draft>,
    by_name: HashMap<String, usize>,
    scores: HashMap<String, f64>,
    describe_en: HashMap<String, String>,
    describe_ja: HashMap<String, String>,
    flags: HashMap<String, Vec<String>>,
    replace: replace::Tags,
    collected: Collected,
}

/// Where a line is.
#[derive(Clone, Copy)]
struct Place<'f> {
    file: &'f str,
    source: u32,
    line: u32,
}

impl Reader {
    /// Reads one file; `source` is its index in the list of sources.
    pub fn read(&mut self, file: &str, source: u32, octets: &[u8]) {
        let text = octets_as_text(octets);
        let mut conditions = Conditions::default();
        for (index, full) in text.lines().enumerate() {
            let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let place = Place { file, source, line };
            let stripped = strip_comment(full);
            let column = stripped.len() - stripped.trim_start().len();
            let trimmed = stripped.trim();
            if trimmed.is_empty() {
                continue;
            }
            match conditions.line(trimmed) {
                Ok(true) => {}
                Ok(false) => self.line(place, trimmed, column),
                Err(text) => self.error(place, column, text),
            }
        }
        if conditions.open() {
            let place =
                Place { file, source, line: u32::try_from(text.lines().count()).unwrap_or(0) };
            self.error(place, 0, "`if` without `endif`".into());
        }
    }

    fn error(&mut self, place: Place<'_>, column: usize, text: String) {
        self.collected.errors.push(SourceError {
            file: place.file.to_owned(),
            line: place.line,
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
            text,
        });
    }

    fn line(&mut self, place: Place<'_>, text: &str, column: usize) {
        let (word, rest) = split_word(text);
        let rest_column = column + text.len() - rest.len();
        match word {
            _ if RULE_WORDS.contains(&word) => self.rule(place, word, rest, rest_column),
            "score" | "describe" | "tflags" | "replace_rules" => {
                if let Err(text) = self.about_rule(word, rest) {
                    self.error(place, rest_column, text);
                }
            }
            "replace_tag" | "replace_inter" | "replace_pre" | "replace_post" | "replace_start"
            | "replace_end" => {
                let (name, value) = split_word(rest);
                if !self.replace.set(word, name, value) {
                    self.error(place, rest_column, format!("{word} needs a name and a value"));
                }
            }
            "lang" => {
                let (language, rest) = split_word(rest);
                let (word, rest) = split_word(rest);
                let (name, value) = split_word(rest);
                if language.starts_with("ja") && word == "describe" {
                    self.describe_ja.insert(name.to_owned(), shown_text(value));
                }
            }
            other => self.collected.unknown_word(other, place.file, place.line),
        }
    }

    fn about_rule(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let (name, value) = split_word(rest);
        if name.is_empty() || (value.is_empty() && !matches!(word, "replace_rules" | "describe")) {
            return Err(format!("{word} needs a rule and a value"));
        }
        match word {
            "score" => {
                let mut numbers = Vec::new();
                for number in value.split_whitespace() {
                    let bare = number.trim_matches(['(', ')']);
                    let parsed: f64 =
                        bare.parse().map_err(|_| format!("score: `{number}` is no number"))?;
                    let relative = number.starts_with('(');
                    let before = self.scores.get(name).copied().unwrap_or(1.0);
                    numbers.push(if relative { before + parsed } else { parsed });
                }
                let chosen = numbers.get(SCORE_SET).or_else(|| numbers.first());
                if let Some(score) = chosen.filter(|score| score.abs() <= 1_000_000.0) {
                    self.scores.insert(name.to_owned(), *score);
                }
            }
            "describe" => {
                self.describe_en.insert(name.to_owned(), shown_text(value));
            }
            "tflags" => {
                let flags = value.split_whitespace().map(ToOwned::to_owned);
                self.flags.entry(name.to_owned()).or_default().extend(flags);
            }
            _ => self.replace.add_rules(rest.split_whitespace()),
        }
        Ok(())
    }

    fn rule(&mut self, place: Place<'_>, word: &str, rest: &str, column: usize) {
        let (name, value) = split_word(rest);
        let value_column = column + rest.len() - value.len();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) || value.is_empty() {
            self.error(
                place,
                column,
                format!("{word} needs a name (letters, digits, _) and a test"),
            );
            return;
        }
        let draft = match test(word, value) {
            Ok(Ok(test)) => draft(name, test, None, place),
            Ok(Err(outcome)) => {
                draft(name, Test::Meta(Expression::default()), Some(outcome), place)
            }
            Err((at, text)) => {
                self.error(place, value_column + at, format!("{name}: {text}"));
                return;
            }
        };
        match self.by_name.get(name).and_then(|index| self.rules.get_mut(*index)) {
            Some(known) => *known = draft,
            None => {
                self.by_name.insert(name.to_owned(), self.rules.len());
                self.rules.push(draft);
            }
        }
    }

    /// All rules with their scores, descriptions and flags.
    #[must_use]
    pub fn finish(mut self) -> Collected {
        for draft in &mut self.rules {
            let rule = &mut draft.rule;
            let flags = self.flags.remove(&rule.name).unwrap_or_default();
            let has = |flag: &str| flags.iter().any(|known| known == flag);
            if let Some(text) = self.describe_en.remove(&rule.name) {
                rule.describe_en = text;
            }
            if let Some(text) = self.describe_ja.remove(&rule.name) {
                rule.describe_ja = text;
            }
            rule.skips_first_unit = has("nosubject");
            if has("multiple") {
                let most = flags.iter().find_map(|flag| flag.strip_prefix("maxhits="));
                let most = most.and_then(|text| text.parse().ok()).unwrap_or(COUNT_MAX);
                rule.count_max = most.clamp(1, COUNT_MAX);
            }
            let score = self.scores.get(&rule.name).copied().unwrap_or_else(|| {
                let plain = if rule.name.starts_with("T_") { 0.01 } else { 1.0 };
                if has("nice") { -plain } else { plain }
            });
            rule.points = milli(score);
            rule.sub = rule.name.starts_with("__");
            if draft.outcome.is_some() {
                continue;
            }
            if has("net") {
                draft.outcome = Some(Outcome::NotTaken("network test".into()));
            } else if score == 0.0 {
                draft.outcome = Some(Outcome::ScoreZero);
            } else if let Test::Expression { pattern, .. } = &mut rule.test
                && self.replace.concerns(&rule.name)
            {
                pattern.text = ascii_pattern(&self.replace.apply(&pattern.text));
            }
        }
        self.collected.drafts = self.rules;
        self.collected
    }
}

#[expect(clippy::cast_possible_truncation, reason = "scores are checked to be within a million")]
fn milli(score: f64) -> i32 {
    (score * 1000.0).round() as i32
}

fn draft(name: &str, test: Test, outcome: Option<Outcome>, place: Place<'_>) -> Draft {
    let rule = Rule {
        name: name.to_owned(),
        test,
        kind: FindingKind::Spam,
        points: 0,
        sub: false,
        log_only: false,
        count_max: 1,
        skips_first_unit: false,
        describe_ja: String::new(),
        describe_en: String::new(),
        place: (place.source, place.line),
    };
    Draft { rule, outcome }
}

type Read = Result<Result<Test, Outcome>, (usize, String)>;

fn test(word: &str, value: &str) -> Read {
    if value.starts_with("eval:") {
        let end = value.find('(').unwrap_or(value.len());
        return Ok(Err(Outcome::NotTaken(value.get(..end).unwrap_or_default().to_owned())));
    }
    match word {
        "meta" => match Expression::parse(value) {
            Ok(expression) => Ok(Ok(Test::Meta(expression))),
            Err((_, text)) if text.starts_with("function") => Ok(Err(Outcome::NotTaken(text))),
            Err(fault) => Err(fault),
        },
        "header" | "mimeheader" => header_test(word, value),
        _ => {
            let field = match word {
                "body" => Field::Body,
                "rawbody" => Field::RawBody,
                "uri" => Field::Uri,
                _ => Field::Raw,
            };
            let pattern = expression::read(value)?;
            Ok(expression_test(field, pattern, false, String::new()))
        }
    }
}

fn expression_test(
    field: Field,
    pattern: Pattern,
    negated: bool,
    unset: String,
) -> Result<Test, Outcome> {
    if pattern.text.contains("%{") {
        return Err(Outcome::NotTaken("captured value %{...}".into()));
    }
    Ok(Test::Expression { field, pattern, negated, unset })
}

fn header_test(word: &str, value: &str) -> Read {
    let mime = word == "mimeheader";
    if let Some(name) = value.strip_prefix("exists:") {
        return Ok(header_field(name.trim(), mime).map(Test::Exists));
    }
    // `Name =~ /re/`; the space before the operator may be missing.
    let Some(at) = value.find("=~").or_else(|| value.find("!~")) else {
        return Err((0, "expected `=~`, `!~`, exists: or eval:".into()));
    };
    let operator = match (value.find("=~"), value.find("!~")) {
        (Some(yes), Some(no)) => yes.min(no),
        _ => at,
    };
    let negated = value.get(operator..).is_some_and(|rest| rest.starts_with('!'));
    let name = value.get(..operator).unwrap_or_default().trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err((0, format!("`{name}` is no name of a header field")));
    }
    let rest = value.get(operator + 2..).unwrap_or_default();
    let start = operator + 2 + (rest.len() - rest.trim_start().len());
    let mut text = rest.trim();
    let mut unset = String::new();
    if let Some(from) = text.rfind("[if-unset:") {
        let tail = text.get(from..).unwrap_or_default();
        unset = tail.trim_start_matches("[if-unset:").trim_end_matches(']').trim().to_owned();
        text = text.get(..from).unwrap_or_default().trim_end();
    }
    let pattern = expression::read(text).map_err(|(at, text)| (start + at, text))?;
    Ok(header_field(name, mime).and_then(|field| expression_test(field, pattern, negated, unset)))
}

fn header_field(text: &str, mime: bool) -> Result<Field, Outcome> {
    let (name, form) = match text.split_once(':') {
        None => (text, HeaderForm::Value),
        Some((name, "raw")) => (name, HeaderForm::Raw),
        Some((name, "addr")) => (name, HeaderForm::Addr),
        Some((name, "name")) => (name, HeaderForm::Name),
        Some((_, form)) => return Err(Outcome::NotTaken(format!("form `:{form}` of a header"))),
    };
    if mime {
        return Ok(Field::MimeHeader(name.to_ascii_lowercase(), form));
    }
    if name.starts_with("X-Spam-Relays-") || name.starts_with("ALL-") {
        return Err(Outcome::NotTaken(format!("field {name} (needs the trust boundary)")));
    }
    Ok(match name {
        "ALL" => Field::AllHeaders(form),
        "ToCc" => Field::ToCc,
        "EnvelopeFrom" => Field::EnvelopeFrom,
        "MESSAGEID" => Field::MessageIds,
        _ => Field::Header(name.to_ascii_lowercase(), form),
    })
}

/// First word and the rest without space around it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.find([' ', '\t']) {
        Some(end) => {
            let (word, rest) = text.split_at(end);
            (word, rest.trim())
        }
        None => (text, ""),
    }
}

/// Cuts a comment off: `#` not after a backslash; then `\#` is `#`.
fn strip_comment(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut before = ' ';
    for c in line.chars() {
        if c == '#' {
            if before != '\\' {
                break;
            }
            out.pop();
        }
        out.push(c);
        before = c;
    }
    out
}
