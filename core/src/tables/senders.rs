//! Allow and block entries: who wrote them, what they match, from when. Unified model section 5.
//!
//! An entry is found by exact look-ups only: for every owner that is responsible for the recipient
//! (account, domain, tenant, gateway) and every pattern that the address can match (itself, its
//! domain, each parent domain, each prefix length in use), one key.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::envelope::Mailbox;

/// Whether an entry is about senders or recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Matches reverse-path, author or client address.
    Sender,
    /// Matches the recipient after alias resolution.
    Recipient,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// White list, safe list.
    Allow,
    /// Black list.
    Block,
}

/// What an address entry is compared with, C26.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOn {
    /// The reverse-path.
    Envelope,
    /// The `From:` header field.
    Header,
    /// Either.
    #[default]
    Both,
}

/// How near the owner is to the recipient; the order is from far to near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerLevel {
    /// The whole box.
    Gateway,
    /// One contract.
    Tenant,
    /// One domain.
    Domain,
    /// One mailbox.
    Account,
}

/// Who wrote an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The operator, for all.
    Gateway,
    /// A tenant, by name.
    Tenant(Box<str>),
    /// A domain, A-labels in lower case.
    Domain(Box<str>),
    /// A mailbox, in the form of [`Mailbox::key`].
    Account(Box<str>),
}

impl Owner {
    /// Its level.
    #[must_use]
    pub fn level(&self) -> OwnerLevel {
        match self {
            Self::Gateway => OwnerLevel::Gateway,
            Self::Tenant(_) => OwnerLevel::Tenant,
            Self::Domain(_) => OwnerLevel::Domain,
            Self::Account(_) => OwnerLevel::Account,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("gateway"),
            Self::Tenant(name) => write!(f, "tenant:{name}"),
            Self::Domain(name) => write!(f, "domain:{name}"),
            Self::Account(name) => write!(f, "account:{name}"),
        }
    }
}

/// Kinds of patterns, from the least specific to the most specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    /// Client address or prefix.
    Network,
    /// `*@*.d`: any subdomain of d, not d itself.
    Subdomains,
    /// `*@d`: the same set as `d`.
    AnyAtDomain,
    /// `d`: the part after @ equals d.
    Domain,
    /// `user@d`.
    Address,
}

/// What an entry matches, canonical: lower case, A-labels, prefix with its host bits cleared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// `user@d`.
    Address(Box<str>),
    /// `d`.
    Domain(Box<str>),
    /// `*@d`, written without `*@`.
    AnyAtDomain(Box<str>),
    /// `*@*.d`, written without `*@*.`.
    Subdomains(Box<str>),
    /// One address or a prefix.
    Network(ipnet::IpNet),
}

impl Pattern {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> PatternKind {
        match self {
            Self::Address(_) => PatternKind::Address,
            Self::Domain(_) => PatternKind::Domain,
            Self::AnyAtDomain(_) => PatternKind::AnyAtDomain,
            Self::Subdomains(_) => PatternKind::Subdomains,
            Self::Network(_) => PatternKind::Network,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) | Self::Domain(text) => f.write_str(text),
            Self::AnyAtDomain(domain) => write!(f, "*@{domain}"),
            Self::Subdomains(domain) => write!(f, "*@*.{domain}"),
            Self::Network(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "{}", net.addr())
            }
            Self::Network(net) => write!(f, "{net}"),
        }
    }
}

/// One line of an allow or block list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who wrote it.
    pub owner: Owner,
    /// Sender or recipient list.
    pub side: Side,
    /// Allow or block.
    pub polarity: Polarity,
    /// What it matches.
    pub pattern: Pattern,
    /// What addresses are compared with it.
    #[serde(default)]
    pub match_on: MatchOn,
    /// From when it works, C28; 0: always.
    #[serde(default)]
    pub active_from: UnixMillis,
}

/// An entry that matches, as `policy::lists` chooses among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderEntry {
    /// How near the owner is.
    pub owner: OwnerLevel,
    /// Allow or block.
    pub polarity: Polarity,
    /// How specific the pattern is.
    pub kind: PatternKind,
    /// What it is compared with: the caller knows which of the two it asked for.
    pub match_on: MatchOn,
    /// From when it works; never later than the `now` of the question.
    pub active_from: UnixMillis,
    /// The pattern as text, for the log.
    pub pattern: Box<str>,
}

/// Entries that match; more than four are rare.
pub type SenderEntries = smallvec::SmallVec<[SenderEntry; 4]>;

/// What of a sender is looked up.
#[derive(Clone, Copy, Debug)]
pub enum SenderKey<'a> {
    /// An address of the envelope or the header.
    Mailbox(&'a Mailbox),
    /// The client.
    Address(IpAddr),
}
