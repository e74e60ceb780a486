//! `impersonation.*`: whom mail to a domain must not pose as.
//!
//! ```toml
//! [domain.settings.impersonation]
//! own_domains = ["example.com"]            # besides the domain itself
//! protected_domains = ["supplier.example"] # partners whose look-alikes are known, too
//! points = { person = 4.0, own_domain = 3.0, look_alike = 3.5, brand = 2.5, reply_to = 1.0, first_contact = 0.5 }
//!
//! [[domain.settings.impersonation.persons]]
//! name = "山田 太郎"
//! addresses = ["taro@home.example"]        # besides those of the own domains
//!
//! [[domain.settings.impersonation.brands]]
//! names = ["みどり信用組合"]
//! domains = ["midori.example"]
//! ```

use crate::config::walk::Section;
use crate::verdict::{ImpersonationSettings, Person, ProtectedBrand};

/// Domains of one list, persons, brands of one domain, and names or addresses of one of these.
const DOMAINS_MAX: usize = 1_000;
const PERSONS_MAX: usize = 500;
const BRANDS_MAX: usize = 200;
const TEXTS_MAX: usize = 50;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;

/// Reads `[impersonation]`.
pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut ImpersonationSettings) {
    section.table("impersonation", |section| {
        section.flag("enabled", &mut settings.enabled);
        domains(section, "own_domains", &mut settings.own_domains);
        domains(section, "protected_domains", &mut settings.protected_domains);
        section.table("points", |section| {
            let points = &mut settings.points;
            section.points("person", &mut points.person);
            section.points("own_domain", &mut points.own_domain);
            section.points("look_alike", &mut points.look_alike);
            section.points("brand", &mut points.brand);
            section.points("reply_to", &mut points.reply_to);
            section.points("first_contact", &mut points.first_contact);
        });
        if section.has("persons") {
            let place = section.place_of("persons");
            settings.persons = section.tables("persons", person);
            if settings.persons.len() > PERSONS_MAX {
                section.wrong("persons", place, format_args!("more than {PERSONS_MAX} of them"));
            }
        }
        if section.has("brands") {
            let place = section.place_of("brands");
            settings.brands = section.tables("brands", brand);
            if settings.brands.len() > BRANDS_MAX {
                section.wrong("brands", place, format_args!("more than {BRANDS_MAX} of them"));
            }
        }
    });
}

fn domains(section: &mut Section<'_, '_>, key: &'static str, slot: &mut Vec<Box<str>>) {
    let Some(texts) = section.texts(key) else { return };
    let mut found = Vec::with_capacity(texts.len());
    for text in &texts {
        match idna::domain_to_ascii_strict(text.value) {
            Ok(domain) if domain.contains('.') => found.push(domain.to_ascii_lowercase().into()),
            _ => section.wrong(key, text.start, format_args!("`{}` is not a domain", text.value)),
        }
    }
    if found.len() > DOMAINS_MAX {
        let place = section.place_of(key);
        section.wrong(key, place, format_args!("more than {DOMAINS_MAX} of them"));
    }
    *slot = found;
}

/// Texts of at least two letters each: a shorter name is part of too many others.
fn names(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Box<str>> {
    let place = section.place_of(key);
    let texts = section.texts(key).unwrap_or_default();
    let fits = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).count() >= 2
            && text.chars().count() <= NAME_CHARS_MAX
    };
    if texts.len() > TEXTS_MAX || texts.iter().any(|text| !fits(text.value)) {
        let text =
            format_args!("expected at most {TEXTS_MAX} names of 2 to {NAME_CHARS_MAX} characters");
        section.wrong(key, place, text);
    }
    texts.iter().map(|text| text.value.into()).collect()
}

fn person(section: &mut Section<'_, '_>) -> Person {
    let mut person = Person::default();
    let place = section.place_of("name");
    section.line("name", NAME_CHARS_MAX, &mut person.name);
    if person.name.chars().filter(|c| c.is_alphanumeric()).count() < 2 {
        section.problem(place, "name: is missing, or shorter than two letters");
    }
    for text in section.texts("addresses").unwrap_or_default() {
        let mailbox = text.value.rsplit_once('@').and_then(|(local_part, domain)| {
            let domain =
                idna::domain_to_ascii(domain).ok().filter(|domain| domain.contains('.'))?;
            (!local_part.is_empty()).then(|| format!("{}@{domain}", local_part.to_lowercase()))
        });
        match mailbox {
            Some(address) => person.addresses.push(address.into()),
            None => section.wrong(
                "addresses",
                text.start,
                format_args!("`{}` is not an address", text.value),
            ),
        }
    }
    if person.addresses.len() > TEXTS_MAX {
        section.wrong("addresses", place, format_args!("more than {TEXTS_MAX} of them"));
    }
    person
}

fn brand(section: &mut Section<'_, '_>) -> ProtectedBrand {
    let mut brand = ProtectedBrand { names: names(section, "names"), ..ProtectedBrand::default() };
    domains(section, "domains", &mut brand.domains);
    if brand.names.is_empty() || brand.domains.is_empty() {
        section.problem(section.place_of("names"), "names and domains: at least one of each");
    }
    brand
}
