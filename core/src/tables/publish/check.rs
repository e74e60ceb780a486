//! Whether single changes make sense.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::super::current::{Snapshot, endless};
use super::super::delta::Layer;
use super::super::senders::{Entry, EntryValue, Owner, entry_key};
use super::super::{Change, PublishError};

/// Checks changes one after the other, each on top of those before it.
pub(super) fn check(
    before: &Snapshot,
    changes: &[Change],
    meter: &Arc<AtomicUsize>,
) -> Result<(), PublishError> {
    let mut after: Option<Snapshot> = None;
    for change in changes {
        let now = after.as_ref().unwrap_or(before);
        let refused = |why| PublishError::Refused { change: change.to_string(), why };
        reason(now, change).map_err(refused)?;
        let next = now.with(Layer::of([change]), meter);
        endless(&next, std::slice::from_ref(change)).map_or(Ok(()), |why| Err(refused(why)))?;
        after = Some(next);
    }
    Ok(())
}

fn reason(now: &Snapshot, change: &Change) -> Result<(), String> {
    match change {
        Change::RecipientAdd { address } => {
            ours(now, address)?;
            absent(now, address)
        }
        Change::AliasAdd { address, target } => {
            ours(now, address)?;
            ours(now, target)?;
            absent(now, address)
        }
        Change::RecipientRemove { address } => match now.recipient(address) {
            Some(_) => Ok(()),
            None => Err("there is no such recipient".to_owned()),
        },
        Change::EntryAdd { entry } => add_entry(now, entry),
        Change::EntryRemove { entry } => {
            let mut found = false;
            now.entries(&entry_key(entry), &mut |value| found |= value.polarity == entry.polarity);
            if found { Ok(()) } else { Err("there is no such entry".to_owned()) }
        }
    }
}

fn ours(now: &Snapshot, address: &str) -> Result<(), String> {
    let (_, name) = address.rsplit_once('@').ok_or_else(|| format!("`{address}` has no @"))?;
    match now.generation().domain_or_alias(name) {
        Some((_, false)) => Ok(()),
        Some((domain, true)) => {
            Err(format!("{name} is an alias of {}, use that domain", domain.name))
        }
        None => Err(format!("{name} is not a domain of ours")),
    }
}

/// SM-20: no alias in the place of a mailbox; O16: nothing twice.
fn absent(now: &Snapshot, address: &str) -> Result<(), String> {
    match now.recipient(address) {
        None => Ok(()),
        Some(None) => Err("this address is a mailbox already".to_owned()),
        Some(Some(target)) => Err(format!("this address is an alias of {target} already")),
    }
}

fn add_entry(now: &Snapshot, entry: &Entry) -> Result<(), String> {
    let name = match &entry.owner {
        Owner::Gateway | Owner::Tenant(_) => None,
        Owner::Domain(name) => Some(&**name),
        Owner::Account(address) => {
            ours(now, address)?;
            address.rsplit_once('@').map(|(_, name)| name)
        }
    };
    let domain = match name {
        None => None,
        Some(name) => match now.generation().domain_or_alias(name) {
            Some((domain, false)) => Some(domain),
            Some((domain, true)) => {
                return Err(format!("{name} is an alias of {}, use that domain", domain.name));
            }
            None => return Err(format!("{name} is not a domain of ours")),
        },
    };
    let (mut same, mut opposite) = (false, false);
    now.entries(&entry_key(entry), &mut |value| {
        same |= value == EntryValue::of(entry);
        opposite |= value.polarity != entry.polarity;
    });
    if same {
        return Err("this entry is there already".to_owned());
    }
    // C27
    if opposite && domain.is_some_and(|domain| !domain.settings.lists.cross_duplicate) {
        return Err("the same entry is in the opposite list".to_owned());
    }
    Ok(())
}
