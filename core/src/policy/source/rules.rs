//! `[[...rules]]` of a domain's settings.
//!
//! A rule with the name of one that is there already (of the profile) overrides of it what it writes;
//! others come behind it. `rules_replace = true` beside them: those of the profile are not taken.

use std::collections::BTreeSet;

use super::conditions;
use super::content::is_token;
use super::named::Lists;
use super::notice::told;
use super::setting::{COMMON, action};
use crate::config::walk::Section;
use crate::policy::rules::{
    Exceptions, Notice, PolicyRule, RuleDirection, RuleKind, Scope, SideActions, StandardSetting,
};
use crate::policy::settings::{ActionSettings, NamedList};
use crate::policy::{Action, DomainSettings, NoticeTo};
use crate::scan::content::{
    EXPRESSIONS_MAX, Needle, REGEXES_MAX, SET_BYTES_MAX, WORDS_MAX, WordMatch,
};
use crate::verdict::Likelihood;

/// Rules of one domain.
const RULES_MAX: usize = 500;
/// Between the orders of two rules that name none.
const ORDER_STEP: u32 = 10;

/// What a rule may ask for that is no setting.
const RULE_ACTIONS: &[Action] = &[
    Action::Deliver,
    Action::Header,
    Action::Stamp,
    Action::Tag,
    Action::Quarantine,
    Action::QuarantineHidden,
    Action::Reject,
    Action::Drop,
];

/// Reads the rules; standard rules write what they say into their settings, and are read from them.
pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut DomainSettings, lists: &Lists) {
    let mut replace = false;
    section.flag("rules_replace", &mut replace);
    if replace {
        settings.rules.clear();
    }
    let mut rules = std::mem::take(&mut settings.rules);
    pull_all(&mut rules, &settings.actions);
    let mut lists_used: BTreeSet<String> = BTreeSet::new();
    let mut seen: BTreeSet<Box<str>> = BTreeSet::new();
    let place = section.place_of("rules");
    section.tables("rules", |section| {
        let mut name: Box<str> = "".into();
        section.line("name", 80, &mut name);
        if name.is_empty() {
            section.wrong("name", section.place_of("name"), "is missing or empty");
        } else if !seen.insert(name.clone()) {
            let shown = name.escape_debug();
            section.wrong("name", section.place_of("name"), format!("`{shown}` is there twice"));
        }
        let known = rules.iter().position(|rule| rule.name == name);
        let behind = rules.iter().map(|rule| rule.order).max().unwrap_or_default();
        let fresh = PolicyRule {
            name,
            enabled: true,
            order: behind.saturating_add(ORDER_STEP),
            ..PolicyRule::default()
        };
        let base = known.and_then(|at| rules.get(at)).cloned();
        let is_new = base.is_none();
        let mut rule = base.unwrap_or(fresh);
        one(section, &mut rule, lists);
        if is_new && !section.has("action") {
            section.wrong("action", section.start(), "is missing");
        }
        push(section, &rule, &mut settings.actions);
        let asked = rule.side.notices.iter().map(|notice| &notice.to);
        lists_used.extend(asked.filter_map(list_name));
        match known.and_then(|at| rules.get_mut(at)) {
            Some(slot) => *slot = rule,
            None => rules.push(rule),
        }
    });
    join(&rules, &mut settings.actions);
    pull_all(&mut rules, &settings.actions);
    rules.sort_by_key(|rule| rule.order);
    bounds(section, place, &rules);
    settings.rules = rules;
    lists_used.extend(settings.notice.virus.iter().filter_map(list_name));
    for name in lists_used {
        let Some(list) = lists.addresses(&name) else { continue };
        let mailboxes = list.mailboxes().map(Into::into).collect();
        settings.notify_lists.retain(|known| *known.name != *name);
        settings.notify_lists.push(NamedList { name: name.into(), mailboxes });
    }
}

/// The named list that a notice goes to.
fn list_name(to: &NoticeTo) -> Option<String> {
    match to {
        NoticeTo::List(name) => Some(name.to_string()),
        NoticeTo::Sender | NoticeTo::Recipient | NoticeTo::Administrator => None,
    }
}

/// Reads one rule over what it was.
fn one(section: &mut Section<'_, '_>, rule: &mut PolicyRule, lists: &Lists) {
    section.number("order", 1..=1_000_000, &mut rule.order);
    let ways = [("inbound", RuleDirection::Inbound), ("outbound", RuleDirection::Outbound)];
    section.choice("direction", &ways, &mut rule.direction);
    let kinds = [("content", RuleKind::Content), ("dlp", RuleKind::Dlp)];
    section.choice("kind", &kinds, &mut rule.kind);
    let mut sets = rule.sets.unwrap_or(StandardSetting::Spam);
    let names = StandardSetting::ALL.map(|setting| (setting.key(), setting));
    if section.has("sets") {
        section.choice("sets", &names, &mut sets);
        rule.sets = Some(sets);
    } else {
        section.choice("sets", &names, &mut sets);
    }
    section.flag("enabled", &mut rule.enabled);
    section.flag("log_only", &mut rule.log_only);
    section.flag("last", &mut rule.last);
    let allowed = match rule.sets {
        None => RULE_ACTIONS.to_vec(),
        Some(StandardSetting::Virus) => [COMMON, &[Action::Clean]].concat(),
        Some(StandardSetting::Encrypted) => [COMMON, &[Action::Stamp]].concat(),
        Some(_) => COMMON.to_vec(),
    };
    action(section, "action", &allowed, &mut rule.action);
    section.line("tag", 60, &mut rule.tag);
    section.line("stamp", 1000, &mut rule.stamp);
    let own = rule.sets.is_none();
    if own && rule.action == Action::Stamp && rule.stamp.is_empty() {
        section.wrong("stamp", section.start(), "is missing, and the action is \"stamp\"");
    }
    if let Some(scope) = section.table("scope", |section| {
        let mut scope = Scope::default();
        lists.set(section, "recipients", &mut scope.recipients);
        lists.set(section, "senders", &mut scope.senders);
        scope
    }) {
        rule.scope = scope;
    }
    if let Some(except) = section.table("except", |section| {
        let mut except = Exceptions::default();
        lists.set(section, "recipients", &mut except.recipients);
        lists.set(section, "senders", &mut except.senders);
        except.when = section.table("when", |section| conditions::read(section, lists));
        except
    }) {
        rule.except = except;
    }
    if let Some(when) = section.table("when", |section| conditions::read(section, lists)) {
        rule.conditions = when;
    }
    side(section, &mut rule.side, lists);
    section.flag("delete_attachments", &mut rule.side.delete_attachments);
    if rule.side.delete_attachments && rule.sets.is_some() {
        let place = section.place_of("delete_attachments");
        section.wrong("delete_attachments", place, "not for a rule that sets a setting");
    }
}

/// Side actions, of a rule or of a class action.
pub(super) fn side(section: &mut Section<'_, '_>, side: &mut SideActions, lists: &Lists) {
    if section.has("add_header") {
        side.fields = section.tables("add_header", field);
    } else {
        section.tables("add_header", field);
    }
    let mailbox =
        |section: &Section<'_, '_>, key: &str, text: &crate::config::walk::Placed<&str>| {
            if !super::domain::is_mailbox(text.value) {
                let shown: String = text.value.chars().take(80).collect();
                let why = format!("`{}` is not a mail address", shown.escape_debug());
                section.wrong(key, text.start, why);
            }
            Box::<str>::from(text.value)
        };
    if let Some(text) = section.text("redirect") {
        side.redirect =
            if text.value.is_empty() { None } else { Some(mailbox(section, "redirect", &text)) };
    }
    if let Some(texts) = section.texts("bcc") {
        side.bcc = texts.iter().map(|text| mailbox(section, "bcc", text)).collect();
    }
    let given = section.has("notify");
    let notices = section.tables("notify", |section| notice(section, lists));
    if given {
        side.notices = notices.into_iter().flatten().collect();
    }
    for (key, count) in
        [("add_header", side.fields.len()), ("bcc", side.bcc.len()), ("notify", side.notices.len())]
    {
        if count > 20 {
            section.wrong(key, section.place_of(key), format!("{count} of them, at most 20"));
        }
    }
}

/// `{ name = "X-...", value = "..." }`
fn field(section: &mut Section<'_, '_>) -> (Box<str>, Box<str>) {
    let (mut name, mut value): (Box<str>, Box<str>) = Default::default();
    section.line("name", 60, &mut name);
    section.line("value", 400, &mut value);
    let lower = name.to_ascii_lowercase();
    let place = section.place_of("name");
    if !lower.starts_with("x-") || !name.bytes().all(is_token) || lower.starts_with("x-sekisho-") {
        section.wrong("name", place, "expected a name that begins with X- and is not X-Sekisho-");
    }
    if value.contains('\n') {
        section.wrong("value", section.place_of("value"), "has a line end");
    }
    (name, value)
}

fn notice(section: &mut Section<'_, '_>, lists: &Lists) -> Option<Notice> {
    let mut template: Box<str> = "".into();
    section.line("template", 80, &mut template);
    let Some(text) = section.text("to") else {
        section.wrong("to", section.place_of("to"), "is missing");
        return None;
    };
    Some(Notice { to: told(section, "to", &text, lists)?, template })
}

/// Writes a standard rule into its setting, as far as this file says something of it.
fn push(section: &Section<'_, '_>, rule: &PolicyRule, actions: &mut ActionSettings) {
    let Some(sets) = rule.sets else { return };
    if section.has("tag") {
        match sets {
            StandardSetting::Spam => actions.spam_tag = rule.tag.clone(),
            StandardSetting::Suspect | StandardSetting::Graymail => {
                actions.suspect_tag = rule.tag.clone();
            }
            _ => section.wrong("tag", section.place_of("tag"), "not for this setting"),
        }
    }
    if section.has("stamp") {
        match sets {
            StandardSetting::Encrypted => actions.encrypted_stamp = rule.stamp.clone(),
            _ => section.wrong("stamp", section.place_of("stamp"), "not for this setting"),
        }
    }
    if !section.has("enabled") && !section.has("action") {
        return;
    }
    let value = if rule.enabled { rule.action } else { Action::Deliver };
    for slot in slots(rule, sets, actions) {
        *slot = value;
    }
}

/// Reads standard rules from their settings. Several names of one setting keep what each says, unless the setting itself says
/// something else than all of them.
fn pull_all(rules: &mut [PolicyRule], actions: &ActionSettings) {
    let joined = {
        let mut joined = actions.clone();
        join(rules, &mut joined);
        joined
    };
    let alone: Vec<bool> = rules.iter().map(|rule| !shares(rule, rules)).collect();
    for (rule, alone) in rules.iter_mut().zip(alone) {
        let Some(sets) = rule.sets else { continue };
        let value = |all: &ActionSettings| {
            let mut copy = all.clone();
            slots(rule, sets, &mut copy).iter().map(|slot| **slot).collect::<Vec<_>>()
        };
        if alone || value(actions) != value(&joined) {
            pull(rule, actions);
        }
    }
}

/// Whether another rule is a name of the same setting.
fn shares(rule: &PolicyRule, rules: &[PolicyRule]) -> bool {
    let all = |rule: &PolicyRule| rule.conditions.likelihoods.is_empty();
    rules.iter().any(|other| {
        let same = other.name != rule.name && rule.sets.is_some() && other.sets == rule.sets;
        let mut asked = other.conditions.likelihoods.iter();
        same && (rule.sets != Some(StandardSetting::Suspect)
            || all(rule)
            || all(other)
            || asked.any(|one| rule.conditions.likelihoods.contains(one)))
    })
}

/// A setting with several names is worth the strongest of them: what is looked for in a mail goes by the setting.
fn join(rules: &[PolicyRule], actions: &mut ActionSettings) {
    let value = |rule: &PolicyRule| if rule.enabled { rule.action } else { Action::Deliver };
    let shared = || rules.iter().filter(|rule| shares(rule, rules));
    for rule in shared() {
        let Some(sets) = rule.sets else { continue };
        slots(rule, sets, actions).into_iter().for_each(|slot| *slot = Action::Deliver);
    }
    for rule in shared() {
        let Some(sets) = rule.sets else { continue };
        let value = value(rule);
        slots(rule, sets, actions).into_iter().for_each(|slot| *slot = value.max(*slot));
    }
}

/// Reads a standard rule from its setting: on if that does something.
fn pull(rule: &mut PolicyRule, actions: &ActionSettings) {
    let Some(sets) = rule.sets else { return };
    let mut copy = actions.clone();
    let value = slots(rule, sets, &mut copy).iter().map(|slot| **slot).max().unwrap_or_default();
    rule.enabled = value != Action::Deliver || rule.action == Action::Deliver && rule.enabled;
    if value != Action::Deliver {
        rule.action = value;
    }
    match sets {
        StandardSetting::Spam => rule.tag = actions.spam_tag.clone(),
        StandardSetting::Suspect => rule.tag = actions.suspect_tag.clone(),
        StandardSetting::Encrypted => rule.stamp = actions.encrypted_stamp.clone(),
        StandardSetting::Virus
        | StandardSetting::Graymail
        | StandardSetting::ScanException
        | StandardSetting::Highrisk
        | StandardSetting::Content => {}
    }
}

/// The settings that a standard rule is the name of. One about suspected spam of some likelihood is that
/// of this likelihood only.
fn slots<'a>(
    rule: &PolicyRule,
    sets: StandardSetting,
    actions: &'a mut ActionSettings,
) -> Vec<&'a mut Action> {
    match sets {
        StandardSetting::Virus => vec![&mut actions.virus],
        StandardSetting::Spam => vec![&mut actions.spam],
        StandardSetting::Graymail => vec![&mut actions.graymail],
        StandardSetting::Encrypted => vec![&mut actions.encrypted],
        StandardSetting::ScanException => vec![&mut actions.scan_exception],
        StandardSetting::Highrisk => vec![&mut actions.highrisk],
        StandardSetting::Content => vec![&mut actions.content],
        StandardSetting::Suspect => {
            let asked = &rule.conditions.likelihoods;
            let all = asked.is_empty();
            let mut both = Vec::new();
            if all || asked.contains(&Likelihood::Low) {
                both.push(&mut actions.suspect.low);
            }
            if all || asked.contains(&Likelihood::Medium) {
                both.push(&mut actions.suspect.medium);
            }
            both
        }
    }
}

/// What all rules of a domain may have together: what they look for is compiled as one.
fn bounds(section: &Section<'_, '_>, place: usize, rules: &[PolicyRule]) {
    let conditions = rules
        .iter()
        .flat_map(|rule| std::iter::once(&rule.conditions).chain(rule.except.when.as_ref()));
    let (mut expressions, mut words, mut regexes, mut bytes) = (0, 0, 0, 0);
    for expression in conditions.flat_map(|when| &when.content) {
        expressions += 1;
        let near = expression.near.as_ref().map(|near| &near.needle);
        for needle in std::iter::once(&expression.needle).chain(near) {
            match needle {
                Needle::Words { words: all, how, .. } => {
                    words += all.len();
                    bytes += all.iter().map(|word| word.len()).sum::<usize>();
                    regexes += usize::from(*how == WordMatch::Wildcard);
                }
                Needle::Regex { expression, .. } => {
                    regexes += 1;
                    bytes += expression.len();
                }
                Needle::Identifier(_) => {}
            }
        }
    }
    for (what, count, most) in [
        ("rules", rules.len(), RULES_MAX),
        ("content conditions", expressions, EXPRESSIONS_MAX),
        ("words", words, WORDS_MAX),
        ("regular expressions", regexes, REGEXES_MAX),
        ("octets of words and expressions", bytes, SET_BYTES_MAX),
    ] {
        if count > most {
            section.wrong("rules", place, format!("{count} {what} in all, at most {most}"));
        }
    }
}
