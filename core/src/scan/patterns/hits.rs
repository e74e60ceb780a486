//! What a scan found.

use crate::scan::finding::{Finding, FindingKind};

use super::open::Patterns;
use super::rule::RuleIndex;

/// A rule that hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The rule.
    pub rule: RuleIndex,
    /// How often; 1 for rules that are not `multiple`.
    pub count: u32,
}

/// Rules that hit one message, sub-rules among them, in the order of their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// The rules.
    pub rules: Vec<Hit>,
    /// Limits that were reached: rule name and which limit. Each is a finding of its own.
    pub limits: Vec<(Box<str>, &'static str)>,
}

impl Hits {
    /// Findings for all rules that are not sub-rules, and one `LimitReached` for each limit.
    ///
    /// A `multiple` rule gives its points once, as `SpamAssassin` does; its count is in the detail.
    #[must_use]
    pub fn findings(&self, patterns: &Patterns) -> Vec<Finding> {
        let mut found = Vec::new();
        for hit in &self.rules {
            let Some(rule) = patterns.rule(hit.rule) else { continue };
            if rule.sub {
                continue;
            }
            let detail: String = match hit.count {
                0 | 1 => rule.describe_en.chars().take(200).collect(),
                count => {
                    let text: String = rule.describe_en.chars().take(180).collect();
                    format!("{text} ({count} times)")
                }
            };
            found.push(Finding {
                kind: rule.kind,
                rule: rule.name.as_str().into(),
                points: rule.points,
                detail: detail.into(),
                log_only: rule.log_only,
            });
        }
        for (rule, limit) in &self.limits {
            found.push(Finding {
                kind: FindingKind::LimitReached,
                rule: rule.clone(),
                points: 0,
                detail: (*limit).into(),
                log_only: false,
            });
        }
        found
    }
}
