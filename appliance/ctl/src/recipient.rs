//! `recipient add|remove|show`: single known recipients and aliases.

use sekisho_core::tables::sources::item;
use sekisho_core::tables::{Change, Resolution};

use crate::arguments::RecipientCommand;
use crate::list::{in_force, mailbox, view};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;
use crate::publish;

/// Runs one `recipient` command.
pub(crate) fn run(place: &Place, json: bool, command: &RecipientCommand) -> Ran {
    let key = |what: &str, text: &str| -> Result<Box<str>, Failure> {
        item::address(text).map(Into::into).map_err(|why| Failure::new(what, why))
    };
    match command {
        RecipientCommand::Add { address, alias_of } => {
            let address = key("recipient add", address)?;
            let change = match alias_of {
                Some(target) => Change::AliasAdd { address, target: key("recipient add", target)? },
                None => Change::RecipientAdd { address },
            };
            in_force(json, &publish::change(place, "recipient add", change)?, 0)
        }
        RecipientCommand::Remove { address } => {
            let address = key("recipient remove", address)?;
            let change = Change::RecipientRemove { address };
            in_force(json, &publish::change(place, "recipient remove", change)?, 0)
        }
        RecipientCommand::Show { address: Some(address) } => show(place, json, address),
        RecipientCommand::Show { address: None } => show_all(place, json),
    }
}

fn show(place: &Place, json: bool, address: &str) -> Ran {
    let asked = mailbox("recipient show", address)?;
    match view(place)?.snapshot().resolve(&asked) {
        Resolution::UnknownDomain => {
            if json {
                output::json(&serde_json::json!({"address": address, "known_domain": false}));
            } else {
                output::words(format_args!("{}: not a domain of this gateway", asked.domain));
            }
            Ok(Outcome::No)
        }
        Resolution::Known { mailbox, domain, listed, flags } => {
            let routes: Vec<String> = domain
                .routes
                .iter()
                .map(|route| {
                    format!("{}:{} preference {}", route.host, route.port, route.preference)
                })
                .collect();
            if json {
                output::json(&serde_json::json!({
                    "address": address, "known_domain": true, "mailbox": mailbox.to_string(),
                    "domain": &*domain.name, "listed": listed,
                    "domain_alias": flags.domain_alias, "mailbox_alias": flags.mailbox_alias,
                    "routes": routes,
                }));
            } else {
                output::data(format_args!("mailbox\t{mailbox}"));
                output::data(format_args!("domain\t{}", domain.name));
                output::data(format_args!("listed\t{}", if listed { "yes" } else { "no" }));
                for route in routes {
                    output::data(format_args!("next hop\t{route}"));
                }
            }
            Ok(Outcome::done_if(listed))
        }
    }
}

/// Every known address, with the target of aliases.
fn show_all(place: &Place, json: bool) -> Ran {
    let mut all: Vec<(String, Option<String>)> = view(place)?.recipients().collect();
    all.sort();
    for (address, target) in &all {
        if json {
            output::json(&serde_json::json!({"address": address, "alias_of": target}));
        } else {
            match target {
                Some(target) => output::data(format_args!("{address}\t{target}")),
                None => output::data(address),
            }
        }
    }
    if all.is_empty() {
        output::words("no recipient is listed");
    }
    Ok(Outcome::done_if(!all.is_empty()))
}
