//! `if`, `ifplugin`, `else`, `endif`: as a stock `SpamAssassin` 4.0 with its default plugins.

use super::super::super::meta::Expression;

/// The version that we say we are.
const VERSION: &str = "4.000001";

/// Plugins that a stock installation loads, as far as rule files ask for them.
const PLUGINS: [&str; 26] = [
    "AskDNS",
    "AutoLearnThreshold",
    "Bayes",
    "BodyEval",
    "Check",
    "DKIM",
    "DMARC",
    "DNSEval",
    "FreeMail",
    "HTMLEval",
    "HTTPSMismatch",
    "HashBL",
    "HeaderEval",
    "ImageInfo",
    "MIMEEval",
    "MIMEHeader",
    "RelayEval",
    "ReplaceTags",
    "SPF",
    "SpamCop",
    "URIDNSBL",
    "URIDetail",
    "URIEval",
    "VBounce",
    "WLBLEval",
    "WelcomeListSubject",
];

/// Conditions inside conditions.
const DEPTH_MAX: usize = 64;

/// The conditions that are open.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<bool>);

impl Conditions {
    /// Takes a line: `true` if it is a condition, or if conditions hide it.
    pub(super) fn line(&mut self, line: &str) -> Result<bool, String> {
        let end = line.find([' ', '\t', '(']).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let rest = rest.trim();
        match word {
            "ifplugin" => {
                let name = rest.split_whitespace().next().unwrap_or_default();
                self.push(has_plugin(name))?;
            }
            "if" => {
                let holds = evaluate(rest)?;
                self.push(holds)?;
            }
            "else" => match self.0.last_mut() {
                Some(holds) => *holds = !*holds,
                None => return Err("`else` without `if`".into()),
            },
            "endif" => {
                if self.0.pop().is_none() {
                    return Err("`endif` without `if`".into());
                }
            }
            _ => return Ok(self.0.contains(&false)),
        }
        Ok(true)
    }

    fn push(&mut self, holds: bool) -> Result<(), String> {
        if self.0.len() >= DEPTH_MAX {
            return Err(format!("conditions deeper than {DEPTH_MAX}"));
        }
        self.0.push(holds);
        Ok(())
    }

    pub(super) fn open(&self) -> bool {
        !self.0.is_empty()
    }
}

fn has_plugin(name: &str) -> bool {
    name.strip_prefix("Mail::SpamAssassin::Plugin::").is_some_and(|name| PLUGINS.contains(&name))
}

/// Functions become 1 or 0, then it is an expression like any meta.
fn evaluate(text: &str) -> Result<bool, String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word: String = rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':'))
            .collect();
        if word.is_empty() {
            plain.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        }
        rest = rest.get(word.len()..).unwrap_or_default();
        match word.as_str() {
            "plugin" | "can" | "has" => {
                let inner =
                    rest.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')'));
                let Some((name, after)) = inner else { return Err(format!("{word} needs (name)")) };
                let name = name.trim();
                let holds = match word.as_str() {
                    "plugin" => has_plugin(name),
                    // Captures are not taken, so the rules that need them are not wanted.
                    "can" => !name.ends_with("feature_capture_rules") && !name.contains("compat_"),
                    _ => true,
                };
                plain.push(if holds { '1' } else { '0' });
                rest = after;
            }
            "version" => plain.push_str(VERSION),
            "perl_version" => plain.push_str("5.036"),
            _ => plain.push_str(&word),
        }
    }
    let expression = Expression::parse(&plain).map_err(|(_, text)| format!("if: {text}"))?;
    Ok(expression.value(|_| 0.0).abs() > f64::EPSILON)
}
