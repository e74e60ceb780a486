//! `notice.*` (C91) and `stamp.*` of a domain's settings.

use crate::config::walk::Section;
use crate::policy::{DomainSettings, Language, NoticeList, NoticeSettings, NoticeTo, StampSigned};

use super::domain::is_mailbox;

/// Addresses of a domain's administrators, or of a notify list.
const ADDRESSES_MAX: usize = 20;
/// Notify lists of a domain.
const LISTS_MAX: usize = 50;

pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let (notice, signed) = (&mut settings.notice, &mut settings.stamp_signed);
    section.table("notice", |section| one(section, notice));
    section.table("stamp", |section| {
        let choices = [
            ("stamp", StampSigned::Stamp),
            ("stamp_and_seal", StampSigned::StampAndSeal),
            ("header", StampSigned::Header),
        ];
        section.choice("signed", &choices, signed);
    });
}

fn one(section: &mut Section<'_, '_>, notice: &mut NoticeSettings) {
    let languages = [("both", Language::Both), ("ja", Language::Ja), ("en", Language::En)];
    section.choice("language", &languages, &mut notice.language);
    section.line("from", 254, &mut notice.from);
    if !notice.from.is_empty() && !is_mailbox(&notice.from) {
        section.wrong("from", section.place_of("from"), "is not a mail address");
    }
    let mut told: Vec<Told> = Vec::new();
    let given = section.has("virus");
    let choices = [
        ("sender", Told::Sender),
        ("recipient", Told::Recipient),
        ("administrator", Told::Administrator),
    ];
    section.choices("virus", &choices, &mut told);
    if given {
        notice.virus = told.into_iter().map(Told::to_notice).collect();
    }
    section.flag("unverified_senders", &mut notice.unverified_senders);
    addresses(section, "administrators", &mut notice.administrators);
    section.number("address_hourly_max", 1..=10_000, &mut notice.address_hourly_max);
    section.number("domain_hourly_max", 1..=60_000, &mut notice.domain_hourly_max);
    let given = section.has("lists");
    let lists = section.tables("lists", |section| {
        let mut list = NoticeList { name: "".into(), addresses: Vec::new() };
        section.line("name", 80, &mut list.name);
        if list.name.is_empty() {
            section.wrong("name", section.place_of("name"), "is missing or empty");
        }
        addresses(section, "addresses", &mut list.addresses);
        if list.addresses.is_empty() {
            section.wrong("addresses", section.place_of("addresses"), "is missing or empty");
        }
        list
    });
    let mut names: Vec<&str> = lists.iter().map(|list| &*list.name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != lists.len() {
        section.wrong("lists", section.place_of("lists"), "has a name twice");
    }
    if lists.len() > LISTS_MAX {
        let text = format_args!("more than {LISTS_MAX}");
        section.wrong("lists", section.place_of("lists"), text);
    }
    if given {
        notice.lists = lists;
    }
}

/// The words of `notice.virus`, in the order of a choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Sender,
    Recipient,
    Administrator,
}

impl Told {
    fn to_notice(self) -> NoticeTo {
        match self {
            Self::Sender => NoticeTo::Sender,
            Self::Recipient => NoticeTo::Recipient,
            Self::Administrator => NoticeTo::Administrator,
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
