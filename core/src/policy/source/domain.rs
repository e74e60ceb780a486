//! `[[domain]]` tables.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::walk::{Placed, Section, Walk};
use crate::config::{Problem, Route, host_name};
use crate::limits;
use crate::policy::{AliasKind, DomainSettings, Profile, Verify, preset};

use super::named::Lists;
use super::setting::with_lists;

/// One mailbox alias as written (SM-20): both are local-parts of the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasSource {
    /// Mail for this local-part ...
    pub alias: Box<str>,
    /// ... goes to this one.
    pub mailbox: Box<str>,
    /// Line in the file, for the table builder's errors about chains and loops.
    pub line: usize,
}

/// One domain as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSource {
    /// Name in A-label form, lower case.
    pub name: Box<str>,
    /// Line in the file, for the table builder's errors.
    pub line: usize,
    /// Profile.
    pub profile: Profile,
    /// Presets with the domain's overrides.
    pub settings: DomainSettings,
    /// Next hops as written; empty = 451 at RCPT (SM-05).
    pub routes: Vec<Route>,
    /// Other domains whose mail is this domain's (SM-21), A-label form.
    pub domain_aliases: Vec<Box<str>>,
    /// Mailbox aliases (SM-20).
    pub mailbox_aliases: Vec<AliasSource>,
    /// Valid local-parts, inline.
    pub recipients: Vec<Box<str>>,
    /// File with valid addresses or local-parts, one a line; relative to the domains file.
    pub recipients_file: Option<PathBuf>,
    /// Local-parts whose mail is refused (SM-58).
    pub recipient_block: Vec<Box<str>>,
    /// Local-parts that bypass every filter (SM-57).
    pub recipient_allow: Vec<Box<str>>,
}

/// Reads a domains file. `file` is the name that errors carry; `own_hosts` are our own names and
/// addresses (`engine.host_name`, listeners), which cannot be next hops (SM-10).
///
/// # Errors
/// Every mistake, in the order of the file; the operator is at fault.
pub fn parse_domains(
    text: &str,
    file: &str,
    own_hosts: &[&str],
) -> Result<(Vec<DomainSource>, Vec<Problem>), Vec<Problem>> {
    let line_of =
        |offset: usize| text.bytes().take(offset).filter(|octet| *octet == b'\n').count() + 1;
    Walk::read(text, file, |root| {
        let mut lists = Lists::default();
        lists.read(root);
        let read = root.tables("domain", |section| {
            let domain = domain(section, own_hosts, (&lists, &line_of));
            (domain, section.place_of("name"))
        });
        let mut owners: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
        for (domain, place) in &read {
            let names = std::iter::once(&domain.name).chain(&domain.domain_aliases);
            for name in names.filter(|name| !name.is_empty()) {
                if let Some(owner) = owners.insert(name.clone(), domain.name.clone()) {
                    root.problem(*place, format!("domain {name}: already belongs to {owner}"));
                }
            }
        }
        read.into_iter().map(|(domain, _)| domain).collect()
    })
}

/// One `[[domain]]`.
fn domain(
    section: &mut Section<'_, '_>,
    own_hosts: &[&str],
    (lists, line_of): (&Lists, &dyn Fn(usize) -> usize),
) -> DomainSource {
    let name = section.text("name").and_then(|text| domain_name(section, "name", &text));
    if !section.has("name") {
        section.wrong("name", section.start(), "is missing");
    }
    let mut profile = Profile::default();
    let profiles = Profile::ALL.map(|profile| (profile.key(), profile));
    section.choice("profile", &profiles, &mut profile);
    let mut settings = preset(profile);
    let mut lists = lists.clone();
    lists.read(section);
    section.table("settings", |section| with_lists(section, &mut settings, &lists));
    section.line("primary_contact", 254, &mut settings.primary_contact);
    if !settings.primary_contact.is_empty() && !is_mailbox(&settings.primary_contact) {
        let place = section.place_of("primary_contact");
        section.wrong("primary_contact", place, "is not a mail address");
    }
    let own = |host: &str, port| is_own(host, port, own_hosts);
    let routes = section.tables("route", |section| Route::read(section, own));
    if routes.is_empty() {
        section.warn("route", "there is none: recipients get 451 until there is");
    }
    let aliases = section.texts("aliases").unwrap_or_default();
    let domain_aliases =
        aliases.iter().filter_map(|text| domain_name(section, "aliases", text)).collect();
    refuse_unless(section, "aliases", &settings, AliasKind::Domain);
    let mailbox_aliases = section.tables("alias", |section| alias(section, line_of));
    refuse_unless(section, "alias", &settings, AliasKind::Mailbox);
    check_aliases(section, &mailbox_aliases);
    let has_recipients = section.has("recipients") || section.has("recipients_file");
    if settings.recipient.verify == Verify::List && !has_recipients {
        // They may be in a recipients table of their own, so this is no error.
        section.warn("recipients", "none here: only those of the recipients tables are known");
    }
    if settings.recipient.verify == Verify::Off && has_recipients {
        // Seen with the profile tmems: two addresses were listed, and mail to any other was taken, too.
        section.warn(
            "recipients",
            "every address is accepted, not only these, while settings.recipient.verify is `off`; \
             `list` refuses the others",
        );
    }
    DomainSource {
        line: line_of(section.place_of("name")),
        name: name.unwrap_or_default(),
        profile,
        settings,
        routes,
        domain_aliases,
        mailbox_aliases,
        recipients: local_parts(section, "recipients"),
        recipients_file: section
            .text("recipients_file")
            .filter(|text| !text.value.is_empty())
            .map(|text| text.value.into()),
        recipient_block: local_parts(section, "refused_recipients"),
        recipient_allow: local_parts(section, "bypass_recipients"),
    }
}

/// Aliases of a kind that `alias.kinds` (C14) does not allow.
fn refuse_unless(section: &Section<'_, '_>, key: &str, settings: &DomainSettings, kind: AliasKind) {
    if section.has(key) && !settings.alias_kinds.contains(&kind) {
        let text = "not allowed by alias.kinds of this domain";
        section.wrong(key, section.place_of(key), text);
    }
}

/// A domain name, reported if it is none.
fn domain_name(section: &Section<'_, '_>, key: &str, text: &Placed<&str>) -> Option<Box<str>> {
    let name = host_name(text.value).filter(|name| name.contains('.') || &**name == "localhost");
    if name.is_none() {
        let shown: String = text.value.chars().take(80).collect();
        let shown = shown.escape_debug();
        section.wrong(key, text.start, format_args!("`{shown}` is not a domain name"));
    }
    name
}

/// Whether a next hop is ourselves: our name on any port, or an address and port we listen on.
fn is_own(host: &str, port: u16, own_hosts: &[&str]) -> bool {
    own_hosts.iter().any(|own| match own.parse::<std::net::SocketAddr>() {
        Ok(listener) => {
            let address = host.parse::<IpAddr>().ok();
            let loopback = host == "localhost" || address.is_some_and(|a| a.is_loopback());
            let same = address == Some(listener.ip())
                || (loopback && (listener.ip().is_loopback() || listener.ip().is_unspecified()));
            same && listener.port() == port
        }
        Err(_) => own.eq_ignore_ascii_case(host),
    })
}

/// One `[[domain.alias]]`.
fn alias(section: &mut Section<'_, '_>, line_of: &dyn Fn(usize) -> usize) -> AliasSource {
    let mut part = |key: &'static str| match section.text(key) {
        Some(text) => local_part(section, key, &text),
        None => {
            section.wrong(key, section.place_of(key), "is missing");
            None
        }
    };
    let (alias, mailbox) = (part("alias"), part("mailbox"));
    AliasSource {
        alias: alias.unwrap_or_default(),
        mailbox: mailbox.unwrap_or_default(),
        line: line_of(section.place_of("alias")),
    }
}

/// SM-20: alias equal to its mailbox, or the same alias twice, is refused. Loops over several steps
/// are found by the table builder, which sees the other sources too.
fn check_aliases(section: &Section<'_, '_>, aliases: &[AliasSource]) {
    let mut seen = std::collections::BTreeSet::new();
    for alias in aliases.iter().filter(|alias| !alias.alias.is_empty()) {
        let name = alias.alias.to_lowercase();
        if name == alias.mailbox.to_lowercase() {
            section.wrong(
                "alias",
                section.place_of("alias"),
                format!("`{name}` is its own target"),
            );
        }
        if !seen.insert(name.clone()) {
            section.wrong("alias", section.place_of("alias"), format!("`{name}` is there twice"));
        }
    }
}

/// A list of local-parts (SM-58: user name only).
fn local_parts(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Box<str>> {
    let texts = section.texts(key).unwrap_or_default();
    texts.iter().filter_map(|text| local_part(section, key, text)).collect()
}

/// A local-part, reported if it is none.
fn local_part(section: &Section<'_, '_>, key: &str, text: &Placed<&str>) -> Option<Box<str>> {
    let value = text.value;
    let problem = if value.is_empty() {
        "is empty"
    } else if value.contains('@') {
        "holds @: the user name only (the part before @) is expected"
    } else if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "holds a space or a control character"
    } else if value.len() > limits::LOCAL_PART_BYTES_TOLERATED {
        "is too long"
    } else {
        return Some(value.into());
    };
    let shown: String = value.chars().take(80).collect();
    section.wrong(key, text.start, format_args!("`{}` {problem}", shown.escape_debug()));
    None
}

/// `user@domain`, roughly: enough for an address that notices are sent to.
pub(super) fn is_mailbox(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.len() <= limits::LOCAL_PART_BYTES_TOLERATED
            && !local.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@')
            && host_name(domain).is_some()
    })
}
