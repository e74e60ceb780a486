//! Who a mail poses as, seen from the domain that receives it (BEC): persons of the house, the house's own domain, its
//! partners, brands.
//!
//! Pure: what the mail says was gathered in [`crate::scan`], who really sent it by [`crate::authn`]; here both meet the
//! settings of one domain. The same mail may be forged for one recipient and ordinary for another.
//!
//! Where nobody checked the sender (switched off, no answer of the DNS in time), nothing is held against him for it.

use serde::{Deserialize, Serialize};

use super::auth::{AuthEvidence, AuthMethod, AuthOutcome};
use crate::authn::{AuthResult, Authentication};
use crate::scan::finding::{Finding, FindingKind, MilliPoints};
use crate::scan::{REPLY_TO_FREE_MAIL, REPLY_TO_FREE_MAIL_HIDDEN, Sender, fold, passes_for};

/// `impersonation.*`
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ImpersonationSettings {
    /// Whether anything of it counts.
    pub enabled: bool,
    /// Domains of the house besides the recipient's own.
    pub own_domains: Vec<Box<str>>,
    /// Domains of others that mail must not pose as: partners, suppliers, the bank.
    pub protected_domains: Vec<Box<str>>,
    /// Persons in whose name only they write.
    pub persons: Vec<Person>,
    /// Brands besides those that the product knows.
    pub brands: Vec<ProtectedBrand>,
    /// What each counts.
    pub points: ImpersonationPoints,
}

/// One protected person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// The name, in any order and writing.
    pub name: Box<str>,
    /// Addresses that are this person's besides those of the house, lower case.
    pub addresses: Vec<Box<str>>,
}

/// A brand of the operator's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ProtectedBrand {
    /// What it calls itself.
    pub names: Vec<Box<str>>,
    /// Its domains, and all below them.
    pub domains: Vec<Box<str>>,
}

/// `impersonation.points`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ImpersonationPoints {
    /// A person's name before a foreign address.
    pub person: MilliPoints,
    /// The house's own domain, from outside, vouched for by nobody.
    pub own_domain: MilliPoints,
    /// A domain that looks like one of the house or of its partners.
    pub look_alike: MilliPoints,
    /// A brand's own domain, vouched for by nobody, or a brand's name before a foreign address.
    pub brand: MilliPoints,
    /// Besides one of these: answers go elsewhere.
    pub reply_to: MilliPoints,
    /// Besides one of these: the client sent nothing good within the last day.
    pub first_contact: MilliPoints,
}

impl Default for ImpersonationPoints {
    fn default() -> Self {
        Self {
            person: 4_000,
            own_domain: 3_000,
            look_alike: 3_500,
            brand: 2_500,
            reply_to: 1_000,
            first_contact: 500,
        }
    }
}

impl Default for ImpersonationSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            own_domains: Vec::new(),
            protected_domains: Vec::new(),
            persons: Vec::new(),
            brands: Vec::new(),
            points: ImpersonationPoints::default(),
        }
    }
}

/// What is known of the way that a mail came.
#[derive(Clone, Copy, Debug)]
pub struct Way<'w> {
    /// Domains of the recipient: as it was named, and after aliases.
    pub recipient_domains: [&'w str; 2],
    /// Domain of the reverse-path; empty for the null one.
    pub envelope_domain: &'w str,
    /// Whether somebody vouches for the author's domain; `None`: not known.
    pub vouched: Option<bool>,
    /// The client sent something good within the last day.
    pub known_client: bool,
}

/// Whether the author's domain is vouched for: by DMARC, or, where the domain publishes none, by an SPF or DKIM pass of the same
/// organisation. `None`: nobody could tell.
fn vouched(found: &Authentication, evidence: &[AuthEvidence], author_domain: &str) -> Option<bool> {
    if found.left_out {
        // A held copy that is looked at again: what spoke against the sender was kept, what spoke for him was not.
        let failed = |one: &AuthEvidence| {
            let outcomes = [AuthOutcome::Fail, AuthOutcome::Quarantine, AuthOutcome::Reject];
            one.method == AuthMethod::Dmarc && outcomes.contains(&one.outcome)
        };
        return evidence.iter().any(failed).then_some(false);
    }
    let organisation =
        |domain: &str| psl::domain_str(domain).unwrap_or(domain).to_ascii_lowercase();
    let author = organisation(author_domain);
    match found.dmarc.result {
        AuthResult::Pass => return Some(true),
        AuthResult::Fail => return Some(found.dmarc.by_arc.is_some()),
        AuthResult::TempError => return None,
        AuthResult::None
        | AuthResult::Neutral
        | AuthResult::Policy
        | AuthResult::SoftFail
        | AuthResult::PermError => {}
    }
    let signed = found
        .dkim
        .iter()
        .any(|one| one.result == AuthResult::Pass && organisation(&one.domain) == author);
    let sent = found.spf.result == AuthResult::Pass && organisation(&found.spf.domain) == author;
    if signed || sent {
        return Some(true);
    }
    // Whoever sends chooses how long the names of others take.
    let late = |result: AuthResult, domain: &str| {
        result == AuthResult::TempError && (domain.is_empty() || organisation(domain) == author)
    };
    let late = late(found.spf.result, &found.spf.domain)
        || found.dkim.iter().any(|one| late(one.result, &one.domain));
    (!late).then_some(false)
}

/// The same for all authors together: as for the one about whom it is the worst.
#[must_use]
pub fn all_vouched<'a>(
    found: &Authentication,
    evidence: &[AuthEvidence],
    author_domains: impl Iterator<Item = &'a str>,
) -> Option<bool> {
    let mut all = author_domains.map(|domain| vouched(found, evidence, domain)).collect::<Vec<_>>();
    if all.is_empty() {
        all.push(vouched(found, evidence, ""));
    }
    let is = |answer: Option<bool>| all.contains(&answer);
    if is(Some(false)) {
        return Some(false);
    }
    if is(None) { None } else { Some(true) }
}

/// Everything in a mail that poses as somebody, for recipients of one domain.
#[must_use]
pub fn impersonation(
    sender: &Sender,
    way: &Way<'_>,
    settings: &ImpersonationSettings,
) -> Vec<Finding> {
    let mut out = Vec::new();
    if !settings.enabled {
        return out;
    }
    let seen = Seen { sender, way, settings };
    seen.persons(&mut out);
    seen.own_domain(&mut out);
    seen.look_alikes(&mut out);
    seen.links(&mut out);
    if out.iter().any(|found| found.kind == FindingKind::Bec) {
        seen.besides(&mut out);
    }
    seen.brands(&mut out);
    seen.hidden(&mut out);
    out
}

struct Seen<'s> {
    sender: &'s Sender,
    way: &'s Way<'s>,
    settings: &'s ImpersonationSettings,
}

fn add(
    out: &mut Vec<Finding>,
    rule: &str,
    (kind, points): (FindingKind, MilliPoints),
    detail: &str,
) {
    if points != 0 && !out.iter().any(|found| &*found.rule == rule) {
        let detail: String = detail.chars().take(200).collect();
        out.push(Finding {
            kind,
            rule: rule.into(),
            points,
            detail: detail.into(),
            log_only: false,
        });
    }
}

/// `host` is `domain` or below it.
fn is_of(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Seen<'_> {
    fn own(&self) -> impl Iterator<Item = &str> {
        let of_recipient = self.way.recipient_domains.iter().copied();
        let listed = self.settings.own_domains.iter().map(|domain| &**domain);
        of_recipient.chain(listed).filter(|domain| !domain.is_empty())
    }

    fn is_own(&self, host: &str) -> bool {
        self.own().any(|domain| is_of(host, domain))
    }

    /// Somebody else's mail to himself, whose answers go to a free mailbox.
    fn hidden(&self, out: &mut Vec<Finding>) {
        let author = self.sender.authors.first().map_or("", |author| author.domain());
        if self.sender.hidden_recipients && !self.is_own(author) {
            out.push(REPLY_TO_FREE_MAIL.finding(author));
            out.push(REPLY_TO_FREE_MAIL_HIDDEN.finding(author));
        }
    }

    /// A person's name before an address that is not the person's.
    fn persons(&self, out: &mut Vec<Finding>) {
        // A name without an address, or before a group of them, is what the reader sees.
        let first = self.sender.authors.first();
        let of_first = first.map_or(("", ""), |first| (&*first.address, first.domain()));
        let authors = self.sender.authors.iter();
        let named = authors.map(|author| (&*author.name, (&*author.address, author.domain())));
        let all = named.chain([(&*self.sender.called, of_first)]);
        for (name, (address, domain)) in all.filter(|(name, _)| !name.is_empty()) {
            if self.is_own(domain) && self.way.vouched != Some(false) {
                continue;
            }
            let name = Name::of(name);
            for person in &self.settings.persons {
                let own = person.addresses.iter().any(|own| **own == *address);
                if !own && Name::of(&person.name).is_in(&name) {
                    let by = if address.is_empty() { "nobody" } else { address };
                    let found = format!("{} by {by}", person.name);
                    add(out, "BEC_PERSON", (FindingKind::Bec, self.settings.points.person), &found);
                    if self.sender.free_author {
                        add(out, "BEC_FREE_MAIL", (FindingKind::Bec, 1_000), address);
                    }
                }
            }
        }
    }

    /// The house's own domain: as the author's, and as a name before another.
    fn own_domain(&self, out: &mut Vec<Finding>) {
        let points = self.settings.points.own_domain;
        for author in &self.sender.authors {
            if self.is_own(author.domain()) {
                // Lists of others send what our own people wrote, and break what vouches for it.
                if self.way.vouched == Some(false) && !self.sender.list {
                    add(out, "BEC_OWN_DOMAIN", (FindingKind::Bec, points), &author.address);
                }
                continue;
            }
            let name = fold(&author.name);
            let named = self.own().find(|domain| domain.len() >= 6 && names_domain(&name, domain));
            if let Some(domain) = named.filter(|_| !self.sender.list) {
                let found = format!("{domain} in the name of {}", author.address);
                add(out, "BEC_OWN_DOMAIN_IN_NAME", (FindingKind::Bec, points * 2 / 3), &found);
            }
        }
    }

    /// Domains that pass for one of the house or of its partners.
    fn look_alikes(&self, out: &mut Vec<Finding>) {
        let points = self.settings.points.look_alike;
        let authors = self.sender.authors.iter().map(|author| author.domain());
        let replies = self.sender.reply_to.iter().map(|reply| reply.domain());
        for domain in authors.chain(replies).chain([self.way.envelope_domain]) {
            if let Some(original) = self.passes(domain) {
                let found = format!("{domain} for {original}");
                add(out, "BEC_LOOK_ALIKE", (FindingKind::Bec, points), &found);
            }
        }
    }

    fn passes(&self, host: &str) -> Option<&str> {
        let protected = || self.settings.protected_domains.iter().map(|domain| &**domain);
        if self.is_own(host) || protected().any(|domain| is_of(host, domain)) {
            return None;
        }
        self.own().chain(protected()).find(|domain| passes_for(host, domain))
    }

    /// Links that show the house's domain or pass for it.
    fn links(&self, out: &mut Vec<Finding>) {
        let points = self.settings.points;
        for host in &self.sender.link_hosts {
            if let Some(original) = self.passes(host) {
                let found = format!("{host} for {original}");
                add(out, "LINK_LOOKS_LIKE_OWN", (FindingKind::Phishing, points.look_alike), &found);
            }
        }
        for (shown, target) in &self.sender.shown {
            let of_author = self.sender.authors.iter().any(|author| self.is_own(author.domain()));
            let trusted = of_author && self.way.vouched != Some(false) || self.sender.list;
            if self.is_own(shown) && !self.is_own(target) && !trusted {
                let found = format!("{shown} leads to {target}");
                add(out, "LINK_SHOWS_OWN", (FindingKind::Phishing, 2_500), &found);
            }
        }
    }

    /// What makes it worse.
    fn besides(&self, out: &mut Vec<Finding>) {
        let points = self.settings.points;
        let author = self.sender.authors.first().map_or("", |author| author.domain());
        let organisation = |domain: &str| psl::domain_str(domain).unwrap_or(domain).to_owned();
        let elsewhere = |reply: &str| organisation(reply) != organisation(author);
        if let Some(reply) = self.sender.reply_to.iter().find(|reply| elsewhere(reply.domain())) {
            add(out, "BEC_REPLY_TO", (FindingKind::Bec, points.reply_to), &reply.address);
        }
        if !self.way.known_client {
            add(out, "BEC_FIRST_CONTACT", (FindingKind::Bec, points.first_contact), author);
        }
    }

    /// Brands: a known one whose domain nobody vouches for, and those of the settings.
    fn brands(&self, out: &mut Vec<Finding>) {
        let points = self.settings.points.brand;
        let sender = self.sender;
        if !sender.brand.is_empty()
            && self.way.vouched == Some(false)
            && !sender.list
            && !sender.free_author
        {
            add(out, "BRAND_FORGED", (FindingKind::Phishing, points), &sender.brand);
            if sender.links && !sender.brand_linked {
                let points = (FindingKind::Phishing, 2_000);
                add(out, "BRAND_FORGED_LINKS", points, &sender.brand);
            }
        }
        // Where the DNS says nothing the mail itself has to show whose it is.
        if sender.brand_unsigned && self.way.vouched.is_none() {
            add(out, "BRAND_UNSIGNED", (FindingKind::Phishing, 3_000), &sender.brand);
        }
        let Some(author) = sender.authors.first() else { return };
        let name = Name::of(&author.name);
        for brand in &self.settings.brands {
            let own = brand.domains.iter().any(|domain| is_of(author.domain(), domain));
            let claims = brand.names.iter().find(|brand| Name::of(brand).is_in(&name));
            let Some(claimed) = claims.filter(|_| !own || self.way.vouched == Some(false)) else {
                continue;
            };
            let found = format!("{claimed} by {}", author.address);
            add(out, "BRAND_LISTED", (FindingKind::Phishing, points), &found);
            let linked = |host: &str| brand.domains.iter().any(|domain| is_of(host, domain));
            if sender.links && !sender.link_hosts.iter().any(|host| linked(host)) {
                add(out, "BRAND_LISTED_LINKS", (FindingKind::Phishing, 2_000), claimed);
            }
        }
    }
}

/// `name` holds `domain` as a whole (`IT desk example.co.jp`, `taro@example.co.jp`).
fn names_domain(name: &str, domain: &str) -> bool {
    name.match_indices(domain).any(|(at, _)| {
        let before = name.get(..at).and_then(|text| text.chars().next_back());
        let after = name.get(at + domain.len()..).and_then(|text| text.chars().next());
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !before.is_some_and(|c| joins(c) || c == '.') && !after.is_some_and(joins)
    })
}

/// A name, however it is written: width, case, disguises, order of its parts.
struct Name {
    parts: Vec<String>,
    joined: String,
}

impl Name {
    fn of(text: &str) -> Self {
        let folded = fold(text);
        let parts = folded.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.map(str::to_owned).collect();
        Self { joined: parts.concat(), parts }
    }

    /// Whether `other` is this name, perhaps with a title before or behind.
    fn is_in(&self, other: &Self) -> bool {
        if self.joined.is_empty() || other.joined.is_empty() {
            return false;
        }
        if self.joined == other.joined {
            return true;
        }
        if self.parts.len() >= 2 && self.parts.iter().all(|part| other.parts.contains(part)) {
            return true;
        }
        // Japanese names are written without a space as often as with one.
        let turned: String = self.parts.iter().rev().map(String::as_str).collect();
        let long = self.joined.chars().count() >= 3 && !self.joined.is_ascii();
        long && (other.joined.contains(&self.joined) || other.joined.contains(&turned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::{DkimCheck, SpfCheck};

    fn mailbox(name: &str, address: &str) -> crate::message::NamedMailbox {
        crate::message::NamedMailbox { name: name.into(), address: address.into() }
    }

    fn way(vouched: Option<bool>) -> Way<'static> {
        Way {
            recipient_domains: ["example.co.jp", "example.co.jp"],
            envelope_domain: "",
            vouched,
            known_client: true,
        }
    }

    fn settings() -> ImpersonationSettings {
        let person = |name: &str, addresses: &[&str]| Person {
            name: name.into(),
            addresses: addresses.iter().map(|address| (*address).into()).collect(),
        };
        ImpersonationSettings {
            persons: vec![person("山田 太郎", &["taro@home.example"]), person("Hanako Sato", &[])],
            protected_domains: vec!["supplier.com".into()],
            brands: vec![ProtectedBrand {
                names: vec!["みどり信用組合".into()],
                domains: vec!["midori.example".into()],
            }],
            ..ImpersonationSettings::default()
        }
    }

    fn rules(sender: &Sender, way: &Way<'_>) -> Vec<String> {
        let found = impersonation(sender, way, &settings());
        found.iter().map(|one| one.rule.to_string()).collect()
    }

    /// TM-09, BEC: the name of a protected person before a foreign address.
    #[test]
    fn tm_09_persons_are_known_in_every_writing_of_their_name() {
        for (name, address, expected) in [
            ("山田太郎", "x@evil.example", true),
            ("太郎 山田", "x@evil.example", true),
            ("代表取締役　山田　太郎", "x@evil.example", true),
            ("山田太郎 社長", "x@gmail.com", true),
            ("SATO, Hanako", "x@evil.example", true),
            ("Ｈａｎａｋｏ　Ｓａｔｏ", "x@evil.example", true),
            ("h\u{430}nako s\u{430}to", "x@evil.example", true),
            ("山田太郎", "taro@home.example", false),
            ("山田太郎", "yamada@example.co.jp", false),
            ("山田太", "x@evil.example", false),
            ("Sato", "x@evil.example", false),
            ("", "x@evil.example", false),
        ] {
            let sender = Sender { authors: vec![mailbox(name, address)], ..Sender::default() };
            let found = rules(&sender, &way(Some(true)));
            assert_eq!(
                found.iter().any(|rule| rule == "BEC_PERSON"),
                expected,
                "{name} {address} {found:?}"
            );
        }
    }

    #[test]
    fn persons_are_known_without_an_address_and_before_a_group() {
        for (called, address, expected) in [
            ("Hanako Sato", "", true),
            ("Hanako Sato:", "x@evil.example", true),
            ("Hanako Sato:", "it@example.co.jp", false),
            ("", "hanako.sato@evil.example", false),
            ("Hanako", "", false),
        ] {
            let authors = if address.is_empty() { vec![] } else { vec![mailbox("", address)] };
            let sender = Sender { authors, called: called.into(), ..Sender::default() };
            let found = rules(&sender, &way(Some(true)));
            let is_found = found.iter().any(|rule| rule == "BEC_PERSON");
            assert_eq!(is_found, expected, "{called} {address} {found:?}");
        }
    }

    /// A form on a site of the house writes to itself, and answers go to who filled it in.
    #[test]
    fn who_writes_to_himself_hides_whom_he_writes_to_unless_it_is_the_house() {
        let sender = |address: &str| Sender {
            authors: vec![mailbox("", address)],
            hidden_recipients: true,
            ..Sender::default()
        };
        let found = rules(&sender("info@other.example"), &way(Some(true)));
        assert_eq!(found, ["REPLY_TO_FREE_MAIL", "REPLY_TO_FREE_MAIL_HIDDEN"]);
        assert!(rules(&sender("info@example.co.jp"), &way(Some(true))).is_empty());
        let shown = Sender { hidden_recipients: false, ..sender("info@other.example") };
        assert!(rules(&shown, &way(Some(true))).is_empty());
    }

    #[test]
    fn own_domain_counts_only_where_nobody_vouches_for_it() {
        let sender =
            Sender { authors: vec![mailbox("IT", "it@example.co.jp")], ..Sender::default() };
        assert_eq!(rules(&sender, &way(Some(false))), ["BEC_OWN_DOMAIN"]);
        assert!(rules(&sender, &way(Some(true))).is_empty());
        assert!(rules(&sender, &way(None)).is_empty(), "not checked is not forged");
        let list = Sender { list: true, ..sender };
        assert!(rules(&list, &way(Some(false))).is_empty(), "a list breaks signatures");
        let named = |name: &str| {
            let sender =
                Sender { authors: vec![mailbox(name, "x@evil.example")], ..Sender::default() };
            rules(&sender, &way(Some(true)))
        };
        assert_eq!(named("メール管理者 example.co.jp"), ["BEC_OWN_DOMAIN_IN_NAME"]);
        assert_eq!(named("taro@example.co.jp"), ["BEC_OWN_DOMAIN_IN_NAME"]);
        assert!(named("myexample.co.jp").is_empty() && named("example.co.jpx").is_empty());
    }

    #[test]
    fn look_alikes_of_the_house_and_of_partners_are_found_everywhere() {
        let check = |sender: &Sender, expected: &[&str]| {
            assert_eq!(rules(sender, &way(Some(true))), expected, "{sender:?}");
        };
        for domain in [
            "examp1e.co.jp",
            "exanple.com",
            "exarnple.com",
            "suppller.com",
            "supplier.com.evil.test",
        ] {
            let authors = vec![mailbox("", &format!("a@{domain}"))];
            let links = vec![domain.into()];
            if !domain.starts_with("exarnple") {
                check(&Sender { authors, ..Sender::default() }, &["BEC_LOOK_ALIKE"]);
                check(&Sender { link_hosts: links, ..Sender::default() }, &["LINK_LOOKS_LIKE_OWN"]);
            }
        }
        for domain in
            ["example.com", "www.example.co.jp", "supplier.com", "a.supplier.com", "other.example"]
        {
            let authors = vec![mailbox("", &format!("a@{domain}"))];
            check(&Sender { authors, link_hosts: vec![domain.into()], ..Sender::default() }, &[]);
        }
        let shown = vec![("www.example.co.jp".into(), "evil.test".into())];
        check(&Sender { shown, ..Sender::default() }, &["LINK_SHOWS_OWN"]);
    }

    #[test]
    fn what_makes_it_worse_never_stands_alone() {
        let reply_to = vec![mailbox("", "boss@gmail.com")];
        let mut sender =
            Sender { authors: vec![mailbox("x", "x@evil.example")], reply_to, ..Sender::default() };
        let stranger = Way { known_client: false, ..way(Some(true)) };
        assert!(rules(&sender, &stranger).is_empty());
        sender.authors = vec![mailbox("山田太郎", "x@evil.example")];
        assert_eq!(rules(&sender, &stranger), ["BEC_PERSON", "BEC_REPLY_TO", "BEC_FIRST_CONTACT"]);
        let points: i32 =
            impersonation(&sender, &stranger, &settings()).iter().map(|one| one.points).sum();
        assert!(points >= 5_000);
        let off = ImpersonationSettings { enabled: false, ..settings() };
        assert!(impersonation(&sender, &stranger, &off).is_empty());
    }

    #[test]
    fn brands_are_forged_where_nobody_vouches_or_the_name_is_listed() {
        let authors = vec![mailbox("", "no-reply@amazon.co.jp")];
        let sender = Sender { authors, brand: "amazon".into(), links: true, ..Sender::default() };
        assert_eq!(rules(&sender, &way(Some(false))), ["BRAND_FORGED", "BRAND_FORGED_LINKS"]);
        assert!(
            rules(&sender, &way(Some(true))).is_empty() && rules(&sender, &way(None)).is_empty()
        );
        let bare = Sender { brand_unsigned: true, ..sender.clone() };
        assert_eq!(rules(&bare, &way(None)), ["BRAND_UNSIGNED"]);
        assert!(rules(&bare, &way(Some(true))).is_empty());
        let listed = |address: &str| Sender {
            authors: vec![mailbox("みどり信用組合 お客様センター", address)],
            ..Sender::default()
        };
        assert_eq!(rules(&listed("x@evil.example"), &way(Some(true))), ["BRAND_LISTED"]);
        assert!(rules(&listed("x@mail.midori.example"), &way(Some(true))).is_empty());
    }

    #[test]
    fn somebody_vouches_by_dmarc_or_by_the_same_organisation() {
        let base = Authentication::default;
        let mut pass = base();
        pass.dmarc.result = AuthResult::Pass;
        assert_eq!(vouched(&pass, &[], "example.jp"), Some(true));
        let mut signed = base();
        signed.dkim = vec![DkimCheck {
            result: AuthResult::Pass,
            domain: "mail.example.jp".into(),
            ..DkimCheck::default()
        }];
        assert_eq!(vouched(&signed, &[], "example.jp"), Some(true));
        assert_eq!(vouched(&signed, &[], "other.jp"), Some(false));
        let mut late = base();
        late.spf = SpfCheck { result: AuthResult::TempError, ..SpfCheck::default() };
        assert_eq!(vouched(&late, &[], "example.jp"), None);
        late.spf.domain = "mail.example.jp".into();
        assert_eq!(vouched(&late, &[], "example.jp"), None);
        late.spf.domain = "slow.evil.example".into();
        assert_eq!(vouched(&late, &[], "example.jp"), Some(false), "the sender's own silence");
        let all = |domains: &[&str]| all_vouched(&signed, &[], domains.iter().copied());
        assert_eq!(all(&["example.jp"]), Some(true));
        assert_eq!(all(&["example.jp", "evil.example"]), Some(false), "one of two authors");
        assert_eq!(all(&[]), Some(false), "nobody");
        assert_eq!(vouched(&base(), &[], "example.jp"), Some(false));
        let kept = AuthEvidence { method: AuthMethod::Dmarc, outcome: AuthOutcome::Reject };
        assert_eq!(vouched(&Authentication::left_out(), &[kept], "example.jp"), Some(false));
        assert_eq!(vouched(&Authentication::left_out(), &[], "example.jp"), None);
    }
}
