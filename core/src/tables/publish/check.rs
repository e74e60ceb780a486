//! Whether single changes make sense.

use super::super::current::endless;
use super::super::senders::{Entry, Owner, Pattern, PatternKind, Polarity, Side, entry_key};
use super::super::{AdoptError, Change, PublishError};
use super::known::{Domain, Known};
use crate::policy::{self, ListSettings};

/// Why a change is not made.
enum No {
    /// It makes no sense.
    Refused(String),
    /// What it is compared with cannot be read.
    Failed(AdoptError),
}

impl From<String> for No {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<AdoptError> for No {
    fn from(error: AdoptError) -> Self {
        Self::Failed(error)
    }
}

fn no<T>(why: &str) -> Result<T, No> {
    Err(No::Refused(why.to_owned()))
}

/// Checks changes one after the other, each on top of those before it; `known` knows them afterwards.
pub(super) fn check(known: &mut Known, changes: &[Change]) -> Result<(), PublishError> {
    for change in changes {
        let refused = |why| PublishError::Refused { change: change.to_string(), why };
        reason(known, change).map_err(|no| match no {
            No::Refused(why) => refused(why),
            No::Failed(error) => PublishError::Generation(error),
        })?;
        known.apply(change);
        endless(std::slice::from_ref(change), |key| known.recipient(key))
            .map_or(Ok(()), |why| Err(refused(why)))?;
    }
    Ok(())
}

fn reason(now: &Known, change: &Change) -> Result<(), No> {
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
            None => no("there is no such recipient"),
        },
        Change::EntryAdd { entry } => add_entry(now, entry),
        Change::EntryRemove { entry } => match now.entry(&entry_key(entry), entry.polarity) {
            Some(_) => Ok(()),
            None => no("there is no such entry"),
        },
    }
}

/// The domain with this name, which must be its own.
fn domain(now: &Known, name: &str) -> Result<Domain, No> {
    match now.domain(name)? {
        Some((domain, false)) => Ok(domain),
        Some((domain, true)) => {
            Err(format!("{name} is an alias of {}, use that domain", domain.name).into())
        }
        None => Err(format!("{name} is not a domain of ours").into()),
    }
}

/// The domain of an address.
fn ours(now: &Known, address: &str) -> Result<Domain, No> {
    let (_, name) = address.rsplit_once('@').ok_or_else(|| format!("`{address}` has no @"))?;
    domain(now, name)
}

/// SM-20: no alias in the place of a mailbox; O16: nothing twice.
fn absent(now: &Known, address: &str) -> Result<(), No> {
    match now.recipient(address) {
        None => Ok(()),
        Some(None) => no("this address is a mailbox already"),
        Some(Some(target)) => Err(format!("this address is an alias of {target} already").into()),
    }
}

fn add_entry(now: &Known, entry: &Entry) -> Result<(), No> {
    let domain = match &entry.owner {
        Owner::Gateway | Owner::Tenant(_) => None,
        Owner::Domain(name) => Some(domain(now, name)?),
        Owner::Account(address) => Some(ours(now, address)?),
    };
    let key = entry_key(entry);
    // An entry that already works does not become a new one by waiting again (C28).
    let same = now.entry(&key, entry.polarity).is_some_and(|value| {
        value.match_on == entry.match_on && value.active_from <= entry.active_from
    });
    if same {
        return no("this entry is there already");
    }
    let Some(domain) = domain else { return Ok(()) };
    if let Owner::Account(_) = &entry.owner {
        users_own(now, entry, &domain.lists)?;
    }
    // C27
    let other = match entry.polarity {
        Polarity::Allow => Polarity::Block,
        Polarity::Block => Polarity::Allow,
    };
    if !domain.lists.cross_duplicate && now.entry(&key, other).is_some() {
        return no("the same entry is in the opposite list");
    }
    Ok(())
}

/// The top-level domain or public suffix (`com`, `co.jp`) that a pattern is all of: TM-37. An administrator may mean it.
fn whole_suffix(pattern: &Pattern) -> Option<&str> {
    let (Pattern::Domain(domain) | Pattern::AnyAtDomain(domain) | Pattern::Subdomains(domain)) =
        pattern
    else {
        return None;
    };
    let is_suffix = || {
        let suffix = psl::suffix(domain.as_bytes());
        suffix.is_some_and(|suffix| {
            suffix.typ() == Some(psl::Type::Icann) && suffix == domain.as_bytes()
        })
    };
    (!domain.contains('.') || is_suffix()).then_some(domain)
}

/// What the domain's settings say of a mailbox user's own lists: C23, C24, C25, C31. The lists of a
/// domain, a tenant and the gateway are an administrator's, and an operator's file is his own.
fn users_own(now: &Known, entry: &Entry, lists: &ListSettings) -> Result<(), String> {
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
    if let Some(suffix) = whole_suffix(&entry.pattern) {
        return Err(format!("it would hold for everybody below {suffix}"));
    }
    let (length, max) = (now.list_length(entry), lists.max as usize);
    if length >= max {
        return Err(format!("the list holds {length} entries, lists.max of this domain is {max}"));
    }
    Ok(())
}
