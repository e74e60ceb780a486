//! `list add|remove|show`: single allow and block entries.

use std::net::IpAddr;

use sekisho_core::clock::{Now, UnixMillis};
use sekisho_core::envelope::Mailbox;
use sekisho_core::tables::publish::View;
use sekisho_core::tables::sources::item;
use sekisho_core::tables::{Change, Entry, MatchOn, Owner, Polarity, SenderEntry, Side};

use crate::arguments::{EntryArguments, ListCommand, MatchOnWord, PolarityWord, SideWord};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, time};
use crate::place::Place;
use crate::publish::{self, Told};

const COLUMNS: &[&str] = &["side", "polarity", "owner", "pattern", "match on", "active from"];

/// Runs one `list` command.
pub(crate) fn run(place: &Place, json: bool, command: &ListCommand) -> Ran {
    match command {
        ListCommand::Add(arguments) => {
            let entry = added(place, arguments)?;
            let from = entry.active_from.0;
            let told = publish::change(place, "list add", Change::EntryAdd { entry })?;
            in_force(json, &told, from)
        }
        ListCommand::Remove(arguments) => {
            let entry = entry("list remove", arguments)?;
            let told = publish::change(place, "list remove", Change::EntryRemove { entry })?;
            in_force(json, &told, 0)
        }
        ListCommand::Show { sender, recipient } => {
            show(place, json, sender.as_deref(), recipient.as_deref())
        }
    }
}

/// Says whether a change is in force; `from` is when it begins to work, 0 for at once.
pub(crate) fn in_force(json: bool, told: &Told, from: u64) -> Ran {
    let later = if from == 0 { String::new() } else { format!("; works from {}", time(from)) };
    let (words, outcome) = match told {
        Told::InForce => (format!("in force{later}"), Outcome::Done),
        Told::NobodyThere => (format!("noted; no engine runs{later}"), Outcome::Done),
        Told::Refused(why) => (format!("noted, but not in force: {why}"), Outcome::No),
        Told::Pointless(why) => (why.clone(), Outcome::No),
    };
    if json {
        output::json(&serde_json::json!({
            "in_force": *told == Told::InForce, "said": words, "active_from": from,
        }));
    } else {
        output::words(words);
    }
    Ok(outcome)
}

/// An entry to add: that of a mailbox user's list works from when the settings of its domain say (C28).
pub(crate) fn added(place: &Place, arguments: &EntryArguments) -> Result<Entry, Failure> {
    let mut entry = entry("list add", arguments)?;
    let Owner::Account(address) = &entry.owner else { return Ok(entry) };
    let name = address.rsplit_once('@').map_or("", |(_, name)| name);
    // An unknown domain is refused by name when the change is checked.
    let settings = publish::publisher(place)?.list_settings(name);
    let settings = settings.map_err(|error| publish::failed(place, "tables", &error))?;
    let Some(lists) = settings else { return Ok(entry) };
    if lists.delay_seconds > 0 && !arguments.at_once {
        let delay = u64::from(lists.delay_seconds) * 1000;
        entry.active_from = UnixMillis(Now::read().unix.0.saturating_add(delay));
    }
    Ok(entry)
}

fn entry(what: &str, arguments: &EntryArguments) -> Result<Entry, Failure> {
    let fail = |why: String| Failure::new(what, why);
    Ok(Entry {
        owner: item::owner(&arguments.owner).map_err(fail)?,
        side: match arguments.side {
            SideWord::Sender => Side::Sender,
            SideWord::Recipient => Side::Recipient,
        },
        polarity: match arguments.polarity {
            PolarityWord::Allow => Polarity::Allow,
            PolarityWord::Block => Polarity::Block,
        },
        pattern: item::pattern(&arguments.pattern).map_err(fail)?,
        match_on: match arguments.match_on {
            Some(MatchOnWord::Envelope) => MatchOn::Envelope,
            Some(MatchOnWord::Header) => MatchOn::Header,
            Some(MatchOnWord::Both) => MatchOn::Both,
            None => MatchOn::Setting,
        },
        active_from: UnixMillis(0),
    })
}

/// An address of the command line in canonical form.
pub(crate) fn mailbox(what: &str, text: &str) -> Result<Mailbox, Failure> {
    let key = item::address(text).map_err(|why| Failure::new(what, why))?;
    match key.rsplit_once('@') {
        Some((local_part, domain)) => Ok(Mailbox::new(local_part, domain)),
        None => Err(Failure::new(what, format_args!("`{text}` is no address"))),
    }
}

/// The newest generation with its deltas.
pub(crate) fn view(place: &Place) -> Result<View, Failure> {
    publish::publisher(place)?.view().map_err(|error| publish::failed(place, "tables", &error))
}

/// Every entry, by owner and pattern.
fn show_all(place: &Place, json: bool) -> Ran {
    let mut entries: Vec<Entry> = view(place)?.entries().collect();
    entries.sort_by_cached_key(|entry| (entry.owner.to_string(), entry.pattern.to_string()));
    if json {
        entries.iter().for_each(output::json);
    } else {
        let rows = entries
            .iter()
            .map(|entry| {
                vec![
                    word(&entry.side),
                    word(&entry.polarity),
                    entry.owner.to_string(),
                    entry.pattern.to_string(),
                    word(&entry.match_on),
                    since(entry.active_from.0),
                ]
            })
            .collect();
        output::table(COLUMNS, rows);
    }
    if entries.is_empty() {
        output::words("no entry");
    }
    Ok(Outcome::done_if(!entries.is_empty()))
}

fn word(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn since(unix_millis: u64) -> String {
    if unix_millis == 0 { "always".to_owned() } else { time(unix_millis) }
}

fn show(place: &Place, json: bool, sender: Option<&str>, recipient: Option<&str>) -> Ran {
    const WHAT: &str = "list show";
    if sender.is_none() && recipient.is_none() {
        return show_all(place, json);
    }
    let view = view(place)?;
    let snapshot = view.snapshot();
    let now = Now::read().unix;
    let mut found: Vec<(&str, SenderEntry)> = Vec::new();
    let recipient = recipient.map(|text| mailbox(WHAT, text)).transpose()?;
    if let Some(recipient) = &recipient {
        found.extend(snapshot.recipient_block(recipient, now).map(|entry| ("recipient", entry)));
        found.extend(snapshot.recipient_allow(recipient, now).map(|entry| ("recipient", entry)));
    }
    if let Some(sender) = sender {
        // Without a recipient only the gateway's own entries apply; any address finds those.
        let whose = recipient.unwrap_or_else(|| Mailbox::new("", "invalid"));
        let entries = match sender.parse::<IpAddr>() {
            Ok(address) => snapshot.client_entries(&whose, address, now),
            Err(_) => snapshot.sender_entries(&whose, &mailbox(WHAT, sender)?, now),
        };
        found.extend(entries.into_iter().map(|entry| ("sender", entry)));
    }
    let any = !found.is_empty();
    if json {
        for (side, entry) in &found {
            output::json(&serde_json::json!({
                "side": side, "polarity": entry.polarity, "owner": entry.owner,
                "pattern": entry.pattern, "match_on": entry.match_on,
                "active_from": entry.active_from,
            }));
        }
    } else {
        let rows = found
            .iter()
            .map(|(side, entry)| {
                vec![
                    (*side).to_owned(),
                    word(&entry.polarity),
                    word(&entry.owner),
                    entry.pattern.to_string(),
                    word(&entry.match_on),
                    since(entry.active_from.0),
                ]
            })
            .collect();
        output::table(COLUMNS, rows);
    }
    if !any {
        output::words("no entry");
    }
    Ok(Outcome::done_if(any))
}
