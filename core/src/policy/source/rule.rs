//! `[[...class_actions]]` and `[[...rules]]` of a domain's settings.

use crate::config::walk::Section;
use crate::policy::{
    Action, ClassAction, Conditions, HeaderCondition, HoldReply, PolicyRule, glob,
};
use crate::verdict::MainClass;

use super::setting::action;

/// What a rule of the administrator may ask for.
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

/// C50, SM-63. Overriding means replacing the whole list.
pub(super) fn read_class_actions(section: &mut Section<'_, '_>, slot: &mut Vec<ClassAction>) {
    let given = section.has("class_actions");
    let read = section.tables("class_actions", |section| {
        let mut order = 0;
        if !section.has("order") {
            section.wrong("order", section.start(), "is missing");
        }
        section.number("order", 1..=10_000, &mut order);
        let mut class = ClassAction {
            order,
            main: "".into(),
            sub: "".into(),
            extra: "".into(),
            action: Action::Deliver,
            reply: None,
        };
        section.line("main", 80, &mut class.main);
        section.line("sub", 80, &mut class.sub);
        section.line("extra", 80, &mut class.extra);
        let place = section.place_of("main");
        if !MainClass::ALL.iter().any(|known| glob(&class.main, known.key())) {
            let shown = class.main.escape_debug();
            section.wrong("main", place, format_args!("`{shown}` matches no main class"));
        }
        // The seven actions of SM-63.
        let actions = [
            ("accept", (Action::Deliver, None)),
            ("accept_and_mark", (Action::Tag, None)),
            ("quarantine", (Action::Quarantine, Some(HoldReply::Reject))),
            ("quarantine_hidden", (Action::QuarantineHidden, None)),
            ("fake_accept", (Action::Quarantine, Some(HoldReply::Accept))),
            ("reject", (Action::Reject, None)),
            ("drop", (Action::Drop, None)),
        ];
        let mut chosen = (Action::Deliver, None);
        if !section.has("action") {
            section.wrong("action", section.start(), "is missing");
        }
        section.choice("action", &actions, &mut chosen);
        (class.action, class.reply) = chosen;
        (class, section.start())
    });
    let mut orders = std::collections::BTreeSet::new();
    for (class, start) in &read {
        if class.order != 0 && !orders.insert(class.order) {
            let order = class.order;
            section.problem(*start, format!("class_actions.order: {order} is there twice"));
        }
    }
    if given {
        *slot = read.into_iter().map(|(class, _)| class).collect();
        slot.sort_by_key(|class| class.order);
    }
}

/// The administrator's rules. Overriding means replacing the whole list.
pub(super) fn read_rules(section: &mut Section<'_, '_>, slot: &mut Vec<PolicyRule>) {
    let given = section.has("rules");
    let read = section.tables("rules", |section| {
        let mut rule = PolicyRule {
            name: "".into(),
            enabled: true,
            log_only: false,
            conditions: Conditions::default(),
            action: Action::Deliver,
            tag: "".into(),
            stamp: "".into(),
        };
        section.line("name", 80, &mut rule.name);
        if rule.name.is_empty() {
            section.wrong("name", section.place_of("name"), "is missing or empty");
        }
        section.flag("enabled", &mut rule.enabled);
        section.flag("log_only", &mut rule.log_only);
        if !section.has("action") {
            section.wrong("action", section.start(), "is missing");
        }
        action(section, "action", RULE_ACTIONS, &mut rule.action);
        section.line("tag", 60, &mut rule.tag);
        section.line("stamp", 1000, &mut rule.stamp);
        if rule.action == Action::Stamp && rule.stamp.is_empty() {
            section.wrong("stamp", section.start(), "is missing, and the action is \"stamp\"");
        }
        if let Some(conditions) = section.table("when", conditions) {
            rule.conditions = conditions;
        }
        rule
    });
    if given {
        *slot = read;
    }
}

/// `[...rules.when]`: all that are set must hold.
fn conditions(section: &mut Section<'_, '_>) -> Conditions {
    let mut when = Conditions::default();
    let classes = MainClass::ALL.map(|class| (class.key(), class));
    section.choices("class", &classes, &mut when.classes);
    let mut points = 0;
    if section.has("points_min") {
        section.points("points_min", &mut points);
        when.points_min = Some(points);
    } else {
        section.points("points_min", &mut points);
    }
    when.larger_than_bytes = optional(section, "larger_than_bytes", 1 << 40);
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    when.recipients_more_than = optional(section, "recipients_more_than", 100_000).map(count);
    when.attachments_more_than = optional(section, "attachments_more_than", 100_000).map(count);
    when.attachment_larger_than_bytes = optional(section, "attachment_larger_than_bytes", 1 << 40);
    when.attachment_names = patterns(section, "attachment_name");
    when.attachment_types = patterns(section, "attachment_type");
    when.headers = section.tables("header", |section| {
        let mut header = HeaderCondition { name: "".into(), pattern: "".into() };
        section.line("name", 80, &mut header.name);
        section.line("matches", 400, &mut header.pattern);
        let token = |octet: u8| octet.is_ascii_graphic() && octet != b':';
        if header.name.is_empty() || !header.name.bytes().all(token) {
            section.wrong("name", section.place_of("name"), "is not a header field name");
        }
        if header.pattern.is_empty() {
            section.wrong("matches", section.place_of("matches"), "is missing or empty");
        }
        header
    });
    when
}

/// A number that may be absent.
fn optional(section: &mut Section<'_, '_>, key: &'static str, most: u64) -> Option<u64> {
    let mut number = 0;
    let given = section.has(key);
    section.number(key, 0..=most, &mut number);
    given.then_some(number)
}

/// A list of patterns, none empty.
fn patterns(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Box<str>> {
    let texts = section.texts(key).unwrap_or_default();
    for text in texts.iter().filter(|text| text.value.is_empty() || text.value.len() > 400) {
        section.wrong(key, text.start, "a pattern has 1 to 400 octets");
    }
    texts.into_iter().map(|text| text.value.into()).collect()
}
