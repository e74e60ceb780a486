//! `notice.*` (C91) and `stamp.*` of a domain's settings.

use crate::config::walk::{Placed, Section};
use crate::policy::{
    Addresses, DomainSettings, Language, NoticeSettings, NoticeTo, PolicyRule, RuleDirection,
    StampSigned,
};

use super::domain::is_mailbox;
use super::named::{Lists, referred};

/// Addresses of a domain's administrators.
const ADDRESSES_MAX: usize = 20;

pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut DomainSettings, lists: &Lists) {
    let (notice, signed) = (&mut settings.notice, &mut settings.stamp_signed);
    section.table("notice", |section| one(section, notice, lists));
    section.table("stamp", |section| {
        let choices = [
            ("stamp", StampSigned::Stamp),
            ("stamp_and_seal", StampSigned::StampAndSeal),
            ("header", StampSigned::Header),
        ];
        section.choice("signed", &choices, signed);
    });
}

fn one(section: &mut Section<'_, '_>, notice: &mut NoticeSettings, lists: &Lists) {
    let languages = [("both", Language::Both), ("ja", Language::Ja), ("en", Language::En)];
    section.choice("language", &languages, &mut notice.language);
    section.line("from", 254, &mut notice.from);
    if !notice.from.is_empty() && !is_mailbox(&notice.from) {
        section.wrong("from", section.place_of("from"), "is not a mail address");
    }
    if let Some(texts) = section.texts("virus") {
        notice.virus =
            texts.iter().filter_map(|text| told(section, "virus", text, lists)).collect();
        notice.virus.sort();
        notice.virus.dedup();
    }
    section.flag("unverified_senders", &mut notice.unverified_senders);
    addresses(section, "administrators", &mut notice.administrators);
    section.number("address_hourly_max", 1..=10_000, &mut notice.address_hourly_max);
    section.number("domain_hourly_max", 1..=60_000, &mut notice.domain_hourly_max);
}

/// Texts of notices that rules name and nobody wrote: `known` are those that there are. Rules for outbound mail wait for it.
#[must_use]
pub fn unknown_templates(settings: &DomainSettings, known: &[String]) -> Vec<String> {
    let inbound = |rule: &&PolicyRule| rule.direction == RuleDirection::Inbound;
    let rules = settings.rules.iter().filter(inbound);
    let rules = rules.map(|rule| (format!("rule `{}`", rule.name), &rule.side));
    let classes = settings.class_actions.iter();
    let classes = classes.map(|one| (format!("class_actions {}", one.order), &one.side));
    let mut wrong = Vec::new();
    for (name, side) in rules.chain(classes) {
        let asked = side.notices.iter().map(|notice| &*notice.template);
        let missing = |one: &&str| !one.is_empty() && !known.iter().any(|known| known == one);
        for template in asked.filter(missing) {
            let (template, known) = (template.escape_debug(), known.join(", "));
            wrong.push(format!(
                "{name}: notify.template: there is no text `{template}`; there are {known}, and what stands in \
                 notices/{{ja,en}}/NAME.txt"
            ));
        }
    }
    wrong
}

/// Who gets a notice, in a word; `list:NAME` is a named list of addresses (IIJ-85).
pub(super) fn told(
    section: &Section<'_, '_>,
    key: &'static str,
    text: &Placed<&str>,
    lists: &Lists,
) -> Option<NoticeTo> {
    let listed = |name: &&str| lists.addresses(name).is_some();
    match text.value {
        "sender" => Some(NoticeTo::Sender),
        "recipient" => Some(NoticeTo::Recipient),
        "administrator" => Some(NoticeTo::Administrator),
        other => {
            let list = referred(other).filter(listed).map(|name| NoticeTo::List(name.into()));
            let wide = |known: &Addresses| !known.is_empty() && known.mailboxes().next().is_none();
            if referred(other).and_then(|name| lists.addresses(name)).is_some_and(wide) {
                let why =
                    "the list has no plain mail address: patterns and domains cannot be written to";
                section.wrong(key, text.start, why);
            }
            if list.is_none() {
                let why = "expected sender, recipient, administrator, or list:NAME of a list of addresses";
                section.wrong(key, text.start, why);
            }
            list
        }
    }
}

/// A list of mail addresses; one that is not given keeps its value.
fn addresses(section: &mut Section<'_, '_>, key: &'static str, slot: &mut Vec<Box<str>>) {
    let Some(texts) = section.texts(key) else { return };
    for text in texts.iter().filter(|text| !is_mailbox(text.value)) {
        section.wrong(key, text.start, "is not a mail address");
    }
    if let Some(text) = texts.get(ADDRESSES_MAX) {
        section.wrong(key, text.start, format_args!("more than {ADDRESSES_MAX}"));
    }
    *slot = texts.into_iter().map(|text| text.value.into()).collect();
}
