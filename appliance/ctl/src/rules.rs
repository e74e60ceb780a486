//! `rules DOMAIN`: the rules of a domain in the newest generation, those of its profile among them.

use clap::Args;
use sekisho_core::policy::{PolicyRule, RuleDirection, RuleKind};

use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown};
use crate::place::Place;
use crate::tables;

/// `rules`.
#[derive(Debug, Args)]
pub(crate) struct RulesArguments {
    /// The domain.
    domain: String,
}

/// Runs `rules`.
pub(crate) fn run(place: &Place, json: bool, arguments: &RulesArguments) -> Ran {
    let snapshot = tables::in_force(place)?;
    let Some(domain) = snapshot.domain(&arguments.domain.to_lowercase()) else {
        let why = format!("{}: not a domain of this gateway", arguments.domain);
        return Err(Failure::new("rules", why));
    };
    let rules = &domain.settings.rules;
    if json {
        rules.iter().for_each(output::json);
    } else {
        output::table(
            &["order", "name", "state", "direction", "kind", "action"],
            rules.iter().map(row).collect(),
        );
    }
    if rules.is_empty() {
        output::words("no rule");
    }
    Ok(Outcome::done_if(!rules.is_empty()))
}

fn row(rule: &PolicyRule) -> Vec<String> {
    let state = match (rule.enabled, rule.log_only) {
        (false, _) => "off",
        (true, true) => "log only",
        (true, false) => "on",
    };
    let direction = match rule.direction {
        RuleDirection::Inbound => "in",
        RuleDirection::Outbound => "out",
    };
    let kind = match (rule.sets, rule.kind) {
        (Some(setting), _) => setting.key(),
        (None, RuleKind::Content) => "content",
        (None, RuleKind::Dlp) => "dlp",
    };
    vec![
        rule.order.to_string(),
        shown(&rule.name),
        state.to_owned(),
        direction.to_owned(),
        kind.to_owned(),
        rule.action.key().to_owned(),
    ]
}
