//! Whether what a mail gives its reader to click has anything to do with who sent it.
//!
//! A shop's newsletter leads to the shop, or to the service that counts its clicks, which also signed it, takes its bounces
//! or its unsubscriptions. Who sends in a name that he does not have leads somewhere else altogether, whatever the words,
//! whatever the language. People who write to each other link to anything, so answers, lists and free mailboxes are left out.

use smallvec::SmallVec;

use super::finding::Finding;
use super::known::{HostKind, known, label_of};
use super::letter::{Letter, is_free};
use super::links::{Links, is_shortener};
use super::signs::{self, add};
use super::{ScanTables, letter};

/// Organisations that a mail names as its own.
const KIN_MAX: usize = 16;
/// Letters of a label that is found inside of another one of the same house (`shop` of `shop-news`).
const LABEL_CHARS_MIN: usize = 5;
/// The same between hyphens.
const WORD_CHARS_MIN: usize = 3;

/// Organisational domains of who sent a mail, and of those who did it for him.
struct Kin<'m>(SmallVec<[&'m str; KIN_MAX]>);

impl<'m> Kin<'m> {
    fn of(letter: &'m Letter<'_, '_>) -> Self {
        let mut kin = Self(SmallVec::new());
        letter.authors.iter().for_each(|author| kin.add(author.domain()));
        kin.add(domain_in(letter.envelope.as_deref().unwrap_or_default()));
        letter.signers().for_each(|domain| kin.add(domain));
        for field in &letter.view.fields {
            let value = field.value.as_ref();
            if field.name.eq_ignore_ascii_case("sender") {
                kin.add(domain_in(value));
            } else if field.name.eq_ignore_ascii_case("list-unsubscribe") {
                value.split(',').for_each(|how| kin.add(host_in(how)));
            }
        }
        kin
    }

    fn add(&mut self, domain: &'m str) {
        let organisation = letter::organisation(domain);
        if !organisation.is_empty() && self.0.len() < KIN_MAX && !self.0.contains(&organisation) {
            self.0.push(organisation);
        }
    }

    /// Whether `host` is of one of them, or of a house of the same name.
    fn has(&self, host: &str) -> bool {
        let (organisation, label) = (letter::organisation(host), label_of(host));
        self.0.iter().any(|kin| {
            let own = label_of(kin);
            let inside = |short: &str, long: &str| {
                short.len() >= LABEL_CHARS_MIN && long.contains(short)
                    || short.len() >= WORD_CHARS_MIN && long.split('-').any(|word| word == short)
            };
            kin.eq_ignore_ascii_case(organisation) || inside(own, label) || inside(label, own)
        })
    }
}

/// The domain of an address in a field; empty if there is none.
fn domain_in(value: &str) -> &str {
    let domain = value.rsplit_once('@').map_or("", |(_, domain)| domain);
    domain.split(['>', ' ', ';', ',']).next().unwrap_or_default()
}

/// The host of a `<https://..>` or `<mailto:..>`; empty if there is none.
fn host_in(how: &str) -> &str {
    match how.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', ':', '>']).next().unwrap_or_default(),
        None => how
            .split_once('@')
            .map_or("", |(_, rest)| rest.split(['?', '>', ' ']).next().unwrap_or_default()),
    }
}

/// All signs about links and their sender.
pub(super) fn find(
    letter: &Letter<'_, '_>,
    links: &Links,
    tables: &ScanTables<'_>,
    out: &mut Vec<Finding>,
) {
    let domain = letter.domain();
    let people = letter.answer || letter.list || is_free(domain, tables);
    if !letter.page || people || letter.is_report() {
        return;
    }
    let kin = Kin::of(letter);
    let brands = known().brands_of(domain);
    let of_brand = |host: &str| known().brands_of(host).iter().any(|brand| brands.contains(brand));
    let own = |host: &str| kin.has(host) || of_brand(host) || known().is(host, HostKind::Click);
    if links.clicks.iter().any(|host| own(host)) || letter.signers().any(of_brand) {
        return;
    }
    // Buttons of social networks and of shops for programs are at the foot of everybody's mail.
    let elsewhere: Vec<&str> = links
        .clicks
        .iter()
        .map(|host| &**host)
        .filter(|host| psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known()))
        .filter(|host| hides(host, tables) || !is_foot(host))
        .collect();
    let Some(first) = elsewhere.first() else { return };
    add(out, &signs::LINKS_ELSEWHERE, &format!("{domain} to {first}"));
    if !letter.is_signed() {
        add(out, &signs::LINKS_ELSEWHERE_UNSIGNED, "");
    }
    if elsewhere.iter().all(|host| hides(host, tables)) {
        add(out, &signs::LINKS_ALL_HIDDEN, first);
    }
}

/// Whether a host says nothing of where a reader gets to.
fn hides(host: &str, tables: &ScanTables<'_>) -> bool {
    let flags = tables.url_host.map(|known| known(host)).unwrap_or_default();
    flags.shortener
        || is_shortener(host)
        || known().is(host, HostKind::FreeHosting) && !known().is(host, HostKind::Click)
}

/// Whether everybody's mail leads there, too: a large company, videos, maps.
fn is_foot(host: &str) -> bool {
    known().is(host, HostKind::Foot) || !known().brands_of(host).is_empty()
}
