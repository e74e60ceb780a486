//! `auth.*`: what each result of each check of the sender does in a domain, and what it adds to the score.
//!
//! ```toml
//! [domain.settings.auth.dmarc]
//! reject = "quarantine"                  # DMARC failed, and the author's domain asks for rejection
//! points = { quarantine = 2.0, pass = -0.5 }
//!
//! [[domain.settings.auth.sender_ip]]     # mail of this domain comes from here, or it is forged
//! domain = "example.com"
//! networks = ["192.0.2.0/24"]
//! ```

use super::setting;
use crate::config::Network;
use crate::config::walk::Section;
use crate::policy::settings::{AuthRule, AuthSettings};
use crate::verdict::{AuthMethod, SenderNetworks};

/// Domains of one list, and networks of one domain.
const DOMAINS_MAX: usize = 1_000;
const NETWORKS_MAX: usize = 1_000;

/// Reads `[auth]`.
pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut AuthSettings) {
    section.table("auth", |section| {
        for method in AuthMethod::ALL {
            section.table(method.key(), |section| one_method(section, method, settings));
        }
        if section.has("sender_ip") {
            let entries = section.tables("sender_ip", sender_networks);
            settings.sender_ip = entries.into_iter().take(DOMAINS_MAX).collect();
        }
    });
}

fn one_method(section: &mut Section<'_, '_>, method: AuthMethod, settings: &mut AuthSettings) {
    for outcome in method.outcomes() {
        let rule: &mut AuthRule = settings.rule(method, *outcome);
        setting::action(section, outcome.key(), setting::COMMON, &mut rule.action);
    }
    section.table("points", |section| {
        for outcome in method.outcomes() {
            section.points(outcome.key(), &mut settings.rule(method, *outcome).points);
        }
    });
}

fn sender_networks(section: &mut Section<'_, '_>) -> SenderNetworks {
    let mut entry = SenderNetworks { domain: "".into(), networks: Vec::new() };
    let place = section.place_of("domain");
    match section.text("domain").map(|text| idna::domain_to_ascii_strict(text.value)) {
        Some(Ok(domain)) if domain.contains('.') => {
            entry.domain = domain.to_ascii_lowercase().into();
        }
        Some(_) => section.wrong("domain", place, "is not a domain"),
        None => section.problem(place, "domain: is missing"),
    }
    let place = section.place_of("networks");
    let mut networks: Vec<Network> = Vec::new();
    section.all_parsed("networks", &mut networks);
    if networks.is_empty() || networks.len() > NETWORKS_MAX {
        section.wrong("networks", place, format_args!("expected 1 to {NETWORKS_MAX} of them"));
    }
    let written = networks.iter().take(NETWORKS_MAX).map(|network| network.0.to_string().into());
    entry.networks = written.collect();
    entry
}
