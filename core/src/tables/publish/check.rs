//! Whether single changes make sense.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::super::current::{Snapshot, endless};
use super::super::delta::Layer;
use super::super::senders::{Entry, Owner, PatternKind, Polarity, Side, entry_key};
use super::super::{Change, PublishError};
use crate::policy::{self, ListSettings};

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
        // An entry that already works does not become a new one by waiting again (C28).
        same |= value.polarity == entry.polarity
            && value.match_on == entry.match_on
            && value.active_from <= entry.active_from;
        opposite |= value.polarity != entry.polarity;
    });
    if same {
        return Err("this entry is there already".to_owned());
    }
    if let (Owner::Account(_), Some(domain)) = (&entry.owner, domain) {
        users_own(now, entry, &domain.settings.lists)?;
    }
    // C27
    if opposite && domain.is_some_and(|domain| !domain.settings.lists.cross_duplicate) {
        return Err("the same entry is in the opposite list".to_owned());
    }
    Ok(())
}

/// What the domain's settings say of a mailbox user's own lists: C23, C24, C25, C31. The lists of a
/// domain, a tenant and the gateway are an administrator's, and an operator's file is his own.
fn users_own(now: &Snapshot, entry: &Entry, lists: &ListSettings) -> Result<(), String> {
    let allowed = match (entry.side, entry.polarity) {
        (Side::Sender, Polarity::Allow) => lists.user_allow,
        (Side::Sender, Polarity::Block) => lists.user_block,
        (Side::Recipient, Polarity::Allow) => false,
        (Side::Recipient, Polarity::Block) => lists.recipient_block,
    };
    if !allowed {
        let setting = match entry.side {
            Side::Sender => "lists.user_lists",
            Side::Recipient => "lists.recipient",
        };
        return Err(format!("{setting} of this domain gives its users no such list"));
    }
    let form = match entry.pattern.kind() {
        PatternKind::Network => policy::PatternKind::Ip,
        PatternKind::Address => policy::PatternKind::Address,
        PatternKind::Domain => policy::PatternKind::Domain,
        PatternKind::AnyAtDomain => policy::PatternKind::DomainWildcard,
        PatternKind::Subdomains => policy::PatternKind::SubdomainWildcard,
    };
    if !lists.forms.contains(&form) {
        return Err("lists.forms of this domain does not take this form".to_owned());
    }
    let (length, max) = (now.list_length(entry), lists.max as usize);
    if length >= max {
        return Err(format!("the list holds {length} entries, lists.max of this domain is {max}"));
    }
    Ok(())
}
