//! Rules of our own, in TOML.
//!
//! ```toml
//! [[rule]]
//! name = "SEK_JA_ACCOUNT_LOCKED"      # letters, digits, _; a name that begins with __ is a part
//!                                     # of other rules and has no finding of its own
//! describe_ja = "アカウント停止を装う文面"
//! describe_en = "Pretends that an account was locked"
//! field = "normalised"                # subject from to cc reply-to message-id envelope-from
//!                                     # header:NAME header:NAME:raw|addr|name headers
//!                                     # body normalised rawbody uri filename raw part
//! pattern = '(?i)アカウント.{0,20}(?:停止|制限|ロック)'   # PCRE2; or `literals`, or `meta`
//! kind = "phishing"                   # FindingKind; default "spam"
//! points = 2.5                        # default 1.0; at most three decimals
//!
//! [[rule]]
//! name = "__SEK_SHORT_TEXT"
//! field = "body"
//! literals = ["click here", "ここをクリック"]
//! case = "ignore"                     # "exact" or "ignore" (A to Z only); default "ignore"
//! multiple = true                     # counts all matches, not only the first (not for literals)
//!
//! [[rule]]
//! name = "SEK_BOTH"
//! meta = "SEK_JA_ACCOUNT_LOCKED && (__SEK_SHORT_TEXT || __OTHER) && !__LIST"
//! points = 1.5
//! log_only = true                     # reported, never judged by
//! ```
//!
//! `normalised` is UTF-8 text and its patterns match characters; all other fields are matched octet
//! by octet (write UTF-8 text as it is; a class of non-ASCII characters needs `normalised`).
//! `part` is each decoded body part, `raw` the whole message.

use crate::config::hint;
use crate::scan::finding::FindingKind;

use super::super::COUNT_MAX;
use super::super::error::SourceError;
use super::super::meta::Expression;
use super::super::rule::{Field, HeaderForm, PartTarget, Pattern, Rule, Test};
use super::{Collected, Draft};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of a rule, as [`Keys::take`] knows them.
const KEYS: [&str; 12] = [
    "name",
    "describe_ja",
    "describe_en",
    "field",
    "pattern",
    "literals",
    "meta",
    "case",
    "kind",
    "points",
    "log_only",
    "multiple",
];

/// Reads one file into `out`; `source` is its index in the list of sources.
pub fn read(file: &str, source: u32, octets: &[u8], out: &mut Collected) {
    let text = match std::str::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => {
            let place = Places { file, text: "" };
            let line = octets.iter().take(error.valid_up_to()).filter(|c| **c == b'\n').count();
            let mut found = place.error(0, "not UTF-8".into());
            found.line = u32::try_from(line + 1).unwrap_or(u32::MAX);
            out.errors.push(found);
            return;
        }
    };
    let places = Places { file, text };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            out.errors.push(places.error(at, error.message().to_owned()));
            return;
        }
    };
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("rule", DeValue::Array(rules)) => {
                for rule in rules {
                    read_rule(&places, source, rule, out);
                }
            }
            (other, _) => {
                let hint = match hint(other, ["rule"]) {
                    none if none.is_empty() => ", expected `[[rule]]`".to_owned(),
                    hint => hint,
                };
                let text = format!("unknown key `{other}`{hint}");
                out.errors.push(places.error(key.span().start, text));
            }
        }
    }
}

struct Places<'f> {
    file: &'f str,
    text: &'f str,
}

impl Places<'_> {
    fn error(&self, at: usize, text: String) -> SourceError {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = at - before.rfind('\n').map_or(0, |end| end + 1) + 1;
        SourceError {
            file: self.file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            text,
        }
    }
}

#[derive(Default)]
struct Keys {
    name: Option<String>,
    describe_ja: String,
    describe_en: String,
    field: Option<Field>,
    pattern: Option<(usize, String)>,
    literals: Option<Vec<Vec<u8>>>,
    meta: Option<Expression>,
    exact: bool,
    kind: Option<FindingKind>,
    points: Option<i32>,
    log_only: bool,
    multiple: bool,
}

fn read_rule(places: &Places<'_>, source: u32, rule: &Spanned<DeValue<'_>>, out: &mut Collected) {
    let at = rule.span().start;
    let DeValue::Table(table) = rule.get_ref() else {
        out.errors.push(places.error(at, "`rule` is a list of tables: write [[rule]]".into()));
        return;
    };
    let mut keys = Keys::default();
    let before = out.errors.len();
    for (key, value) in table {
        if let Err((at, text)) = keys.take(key.get_ref(), key.span().start, value) {
            out.errors.push(places.error(at, text));
        }
    }
    if out.errors.len() > before {
        return;
    }
    let line = places.error(at, String::new()).line;
    match keys.into_rule((source, line)) {
        Ok(rule) => out.drafts.push(Draft { rule, outcome: None }),
        Err(text) => out.errors.push(places.error(at, text)),
    }
}

impl Keys {
    fn take(
        &mut self,
        key: &str,
        key_at: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), (usize, String)> {
        let at = value.span().start;
        let string = || match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err((at, format!("{key}: expected a string"))),
        };
        let truth = || match value.get_ref() {
            DeValue::Boolean(yes) => Ok(*yes),
            _ => Err((at, format!("{key}: expected true or false"))),
        };
        match key {
            "name" => {
                let name = string()?;
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if name.is_empty() || !name.chars().all(fits) {
                    return Err((at, format!("name: `{name}` has more than letters, digits, _")));
                }
                self.name = Some(name);
            }
            "describe_ja" => self.describe_ja = string()?,
            "describe_en" => self.describe_en = string()?,
            "field" => self.field = Some(field(&string()?).map_err(|text| (at, text))?),
            "pattern" => self.pattern = Some((at, string()?)),
            "literals" => self.literals = Some(literals(value)?),
            "meta" => {
                let text = string()?;
                let read = Expression::parse(&text);
                self.meta = Some(read.map_err(|(column, text)| (at + 1 + column, text))?);
            }
            "case" => match string()?.as_str() {
                "exact" => self.exact = true,
                "ignore" => self.exact = false,
                other => return Err((at, format!("case: `{other}` is not exact or ignore"))),
            },
            "kind" => {
                let name = string()?;
                let kind = serde_json::from_value(serde_json::Value::String(name.clone()));
                self.kind = Some(kind.map_err(|_| (at, format!("kind: unknown `{name}`")))?);
            }
            "points" => {
                self.points = Some(points(value).ok_or_else(|| {
                    (at, "points: expected a number from -1000 to 1000".to_owned())
                })?)
            }
            "log_only" => self.log_only = truth()?,
            "multiple" => self.multiple = truth()?,
            other => {
                let hint = hint(other, KEYS);
                return Err((key_at, format!("unknown key `{other}`{hint}")));
            }
        }
        Ok(())
    }

    fn into_rule(self, place: (u32, u32)) -> Result<Rule, String> {
        let name = self.name.ok_or("a rule needs `name`")?;
        let test = match (self.pattern, self.literals, self.meta, self.field) {
            (Some((_, text)), None, None, Some(field)) => {
                let utf = field == Field::Normalised;
                let text = if utf { text } else { utf8_as_octets(&text) };
                let pattern = Pattern { text, utf, ..Pattern::default() };
                Test::Expression { field, pattern, negated: false, unset: String::new() }
            }
            (None, Some(literals), None, Some(field)) => {
                if self.multiple {
                    return Err(format!("{name}: `multiple` is not for literals"));
                }
                Test::Literals { field, literals, caseless: !self.exact }
            }
            (None, None, Some(expression), None) => Test::Meta(expression),
            _ => {
                return Err(format!(
                    "{name}: needs `field` and one of `pattern` and `literals`, or `meta` alone"
                ));
            }
        };
        Ok(Rule {
            sub: name.starts_with("__"),
            name,
            test,
            kind: self.kind.unwrap_or(FindingKind::Spam),
            points: self.points.unwrap_or(1000),
            log_only: self.log_only,
            count_max: if self.multiple { COUNT_MAX } else { 1 },
            skips_first_unit: false,
            describe_ja: self.describe_ja,
            describe_en: self.describe_en,
            place,
        })
    }
}

/// In a byte pattern a character is its octets, as one group so that a quantifier takes them all.
fn utf8_as_octets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_class = false;
    let mut escaped = false;
    for c in text.chars() {
        if c.is_ascii() {
            match (escaped, c) {
                (false, '[') => in_class = true,
                (false, ']') => in_class = false,
                _ => {}
            }
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        escaped = false;
        let mut octets = [0_u8; 4];
        let hex: String =
            c.encode_utf8(&mut octets).bytes().map(|octet| format!("\\x{octet:02x}")).collect();
        if in_class {
            out.push_str(&hex);
        } else {
            out.push_str(&format!("(?:{hex})"));
        }
    }
    out
}

fn literals(value: &Spanned<DeValue<'_>>) -> Result<Vec<Vec<u8>>, (usize, String)> {
    let at = value.span().start;
    let DeValue::Array(items) = value.get_ref() else {
        return Err((at, "literals: expected a list of strings".into()));
    };
    let mut out = Vec::new();
    for item in items {
        match item.get_ref() {
            DeValue::String(text) if (2..=250).contains(&text.len()) => {
                out.push(text.as_bytes().to_vec());
            }
            _ => {
                let text = "literals: each is a string of 2 to 250 octets";
                return Err((item.span().start, text.into()));
            }
        }
    }
    if out.is_empty() { Err((at, "literals: none given".into())) } else { Ok(out) }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be within +-1,000,000")]
fn points(value: &Spanned<DeValue<'_>>) -> Option<i32> {
    let number: f64 = match value.get_ref() {
        DeValue::Integer(integer) => integer.as_str().parse().ok()?,
        DeValue::Float(float) => float.as_str().parse().ok()?,
        _ => return None,
    };
    (number.abs() <= 1000.0).then(|| (number * 1000.0).round() as i32)
}

fn field(text: &str) -> Result<Field, String> {
    let header = |name: &str| Field::Header(name.to_owned(), HeaderForm::Value);
    Ok(match text {
        "subject" | "from" | "to" | "cc" | "reply-to" | "message-id" => header(text),
        "envelope-from" => Field::EnvelopeFrom,
        "headers" => Field::AllHeaders(HeaderForm::Value),
        "body" => Field::Body,
        "normalised" => Field::Normalised,
        "rawbody" => Field::RawBody,
        "uri" => Field::Uri,
        "filename" => Field::FileName,
        "raw" => Field::Raw,
        "part" => Field::Part(PartTarget::Any),
        other => {
            let Some(name) = other.strip_prefix("header:") else {
                return Err(format!("field: unknown `{other}`"));
            };
            let (name, form) = match name.rsplit_once(':') {
                Some((name, "raw")) => (name, HeaderForm::Raw),
                Some((name, "addr")) => (name, HeaderForm::Addr),
                Some((name, "name")) => (name, HeaderForm::Name),
                Some(_) => return Err(format!("field: unknown form in `{other}`")),
                None => (name, HeaderForm::Value),
            };
            let fits = |c: char| c.is_ascii_graphic() && c != ':';
            if name.is_empty() || !name.chars().all(fits) {
                return Err(format!("field: `{name}` is no name of a header field"));
            }
            Field::Header(name.to_ascii_lowercase(), form)
        }
    })
}
