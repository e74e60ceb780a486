//! `[[...class_actions]]` of a domain's settings.

use crate::config::walk::Section;
use crate::policy::{Action, ClassAction, HoldReply, SideActions, glob};
use crate::verdict::{MainClass, sub_classes};

use super::named::Lists;
use super::rules;

/// Names for an error.
fn names<'n>(all: impl Iterator<Item = &'n str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

/// C50, SM-63. Overriding means replacing the whole list.
pub(super) fn read_class_actions(
    section: &mut Section<'_, '_>,
    slot: &mut Vec<ClassAction>,
    lists: &Lists,
) {
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
            tag: "".into(),
            side: SideActions::default(),
        };
        section.line("main", 80, &mut class.main);
        section.line("sub", 80, &mut class.sub);
        section.line("extra", 80, &mut class.extra);
        section.line("tag", 60, &mut class.tag);
        rules::side(section, &mut class.side, lists);
        let place = section.place_of("main");
        if !MainClass::JUDGED.iter().any(|known| glob(&class.main, known.key())) {
            let shown = class.main.escape_debug();
            let known = names(MainClass::JUDGED.iter().map(|class| class.key()));
            let text = format!("`{shown}` matches no class that a mail is judged to be: {known}");
            section.wrong("main", place, text);
        }
        let place = section.place_of("sub");
        if !class.sub.is_empty() && !sub_classes().any(|known| glob(&class.sub, known)) {
            let shown = class.sub.escape_debug();
            let known = names(sub_classes());
            section.wrong("sub", place, format!("`{shown}` matches no sub class: {known}"));
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
