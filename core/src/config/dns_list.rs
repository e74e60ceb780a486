//! `[reputation]`: DNS lists of client addresses, what their answers weigh, and from where on an address is bad.

use std::net::Ipv4Addr;

use super::walk::Section;

/// Lists, and codes of one.
const LISTS_MAX: usize = 32;
const CODES_MAX: usize = 64;

/// `[reputation]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reputation {
    /// Sum of weights, in thousandths, from which a client address is of class POSITIVE.
    pub positive_weight: i32,
    /// The same for SUSPECT.
    pub suspect_weight: i32,
    /// `[[reputation.dns_list]]`
    pub dns_lists: Vec<DnsList>,
}

/// One DNS list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsList {
    /// Its name in refusals and logs; without one it is the zone.
    pub name: Box<str>,
    /// The zone that is asked, in A-labels.
    pub zone: Box<str>,
    /// First and last answer, and what they weigh.
    pub codes: Vec<(Ipv4Addr, Ipv4Addr, i32)>,
}

impl Default for Reputation {
    fn default() -> Self {
        Self { positive_weight: 1_000, suspect_weight: 500, dns_lists: Vec::new() }
    }
}

impl Reputation {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut reputation = Self::default();
        section.points("positive_weight", &mut reputation.positive_weight);
        section.points("suspect_weight", &mut reputation.suspect_weight);
        let order = [1, reputation.suspect_weight, reputation.positive_weight];
        if !order.is_sorted() {
            let place = section.place_of("suspect_weight");
            section.problem(place, "expected 0 < suspect_weight <= positive_weight");
        }
        if section.has("dns_list") {
            reputation.dns_lists = section.tables("dns_list", dns_list);
            if reputation.dns_lists.len() > LISTS_MAX {
                let place = section.place_of("dns_list");
                section.wrong("dns_list", place, format_args!("more than {LISTS_MAX}"));
            }
        }
        reputation
    }
}

fn dns_list(section: &mut Section<'_, '_>) -> DnsList {
    let mut list = DnsList { name: "".into(), zone: "".into(), codes: Vec::new() };
    let place = section.place_of("zone");
    match section.text("zone").map(|text| idna::domain_to_ascii_strict(text.value)) {
        Some(Ok(zone)) if !zone.is_empty() => list.zone = zone.into(),
        Some(_) => section.wrong("zone", place, "is not a domain"),
        None => section.problem(place, "zone: is missing"),
    }
    list.name = list.zone.clone();
    section.line("name", 60, &mut list.name);
    let mut weight = 1_000;
    section.points("weight", &mut weight);
    let codes = section.texts("codes").unwrap_or_default();
    if let Some(code) = codes.get(CODES_MAX) {
        section.wrong("codes", code.start, format_args!("more than {CODES_MAX}"));
    }
    for code in codes.iter().take(CODES_MAX) {
        match range(code.value, weight) {
            Some(code) => list.codes.push(code),
            None => section.wrong(
                "codes",
                code.start,
                "expected `127.0.0.2`, `127.0.0.4-127.0.0.7`, each with ` = WEIGHT` if it is to have its own",
            ),
        }
    }
    if codes.is_empty() {
        // RFC 5782 section 2.3: answers are of 127.0.0.0/8; those of 127.255.255.0/24 commonly say "you may not ask".
        let all = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 255, 254, 255), weight);
        list.codes.push(all);
    }
    list
}

/// `FIRST[-LAST][ = WEIGHT]`.
fn range(text: &str, weight: i32) -> Option<(Ipv4Addr, Ipv4Addr, i32)> {
    let (range, weight) = match text.split_once('=') {
        None => (text, weight),
        Some((range, own)) => (range, thousandths(own.trim())?),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let loopback = |address: Ipv4Addr| address.is_loopback();
    (first <= last && loopback(first) && loopback(last)).then_some((first, last, weight))
}

/// `-1.25` is -1250.
fn thousandths(text: &str) -> Option<i32> {
    let value: f64 = text.parse().ok()?;
    let scaled = (value * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds that stand before it")]
    (scaled.abs() <= 1_000_000.0).then_some(scaled as i32)
}
