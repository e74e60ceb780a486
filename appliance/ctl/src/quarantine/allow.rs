//! `quarantine allow`: Always Allow (IIJ-53). The sender of a held mail goes onto the allow list of its recipient, if
//! `lists.add_requires` of the domain is fulfilled (C33). It releases nothing.

use sekisho_core::policy::MatchOn;
use sekisho_core::quarantine::reader::Listed;
use sekisho_core::tables::Change;
use serde_json::json;

use super::{find_all, id, not_held};
use crate::arguments::{EntryArguments, PolarityWord, SideWord};
use crate::list::{added, in_force};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown};
use crate::place::Place;
use crate::publish::{self, Told};

/// Runs it: an answer for each item.
pub(super) fn run(place: &Place, json: bool, items: &[String]) -> Ran {
    let ids = items.iter().map(|item| id(item)).collect::<Result<Vec<_>, _>>()?;
    let found = find_all(place, &ids)?;
    let mut all = true;
    for id in ids {
        let Some(listed) = found.get(&id) else {
            not_held(id);
            all = false;
            continue;
        };
        match sender(place, listed)? {
            Ok(sender) => all &= allow(place, json, listed, sender)? == Outcome::Done,
            Err(why) => {
                all = false;
                if json {
                    output::json(&json!({"item": id.to_string(), "done": false, "why": why}));
                } else {
                    output::words(format_args!("sekisho: quarantine allow {id}: {why}"));
                }
            }
        }
    }
    Ok(Outcome::done_if(all))
}

/// The address that goes onto the list, or why none does.
fn sender(place: &Place, listed: &Listed) -> Result<Result<String, String>, Failure> {
    let account = &listed.item.recipient.resolved;
    let settings = publish::publisher(place)?.list_settings(&account.domain);
    let settings = settings.map_err(|error| publish::failed(place, "tables", &error))?;
    let Some(lists) = settings else {
        return Ok(Err("the recipient's domain is not ours any more".to_owned()));
    };
    if let Err(why) = lists.may_add(account, &listed.item.category) {
        return Ok(Err(format!("{}: {why}", shown(&account.to_string()))));
    }
    let envelope = || listed.held.envelope.reverse_path.as_ref().map(ToString::to_string);
    let sender = match lists.match_on {
        MatchOn::Envelope => envelope(),
        // What the reader of a mail sees as its sender; of several nobody knows who is meant.
        MatchOn::Header | MatchOn::Both | MatchOn::Setting => {
            match listed.held.authors.as_slice() {
                [one] => Some(one.to_string()),
                _ => envelope(),
            }
        }
    };
    Ok(sender.ok_or_else(|| "it names no sender that could be allowed".to_owned()))
}

fn allow(place: &Place, json: bool, listed: &Listed, sender: String) -> Ran {
    let account = &listed.item.recipient.resolved;
    let arguments = EntryArguments {
        polarity: PolarityWord::Allow,
        pattern: sender,
        owner: format!("account:{account}"),
        side: SideWord::Sender,
        match_on: None,
        at_once: false,
    };
    let entry = added(place, &arguments)?;
    let from = entry.active_from.0;
    let pattern = shown(&entry.pattern.to_string()).to_string();
    let told = publish::change(place, "quarantine allow", Change::EntryAdd { entry })?;
    // What was refused is not allowed by anybody.
    if !json && !matches!(told, Told::Pointless(_)) {
        output::words(format_args!("{pattern} is allowed by {}", shown(&account.to_string())));
    }
    in_force(json, &told, from)
}
