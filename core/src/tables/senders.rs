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
    Both,
    /// As the recipient's domain says (`lists.match_on`, `lists.block_match_on`).
    #[default]
    Setting,
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

/// An address as it may be written into a list: keys have no quotes.
fn shown_address(key: &str) -> String {
    let parts = key.rsplit_once('@');
    parts.map_or_else(|| key.to_owned(), |(local, domain)| Mailbox::new(local, domain).to_path())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => f.write_str(&shown_address(text)),
            Self::Domain(text) => f.write_str(text),
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

/// What the table keeps of an entry beside its key: polarity, match_on, active_from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryValue {
    pub polarity: Polarity,
    pub match_on: MatchOn,
    pub active_from: UnixMillis,
}

impl EntryValue {
    pub(super) fn of(entry: &Entry) -> Self {
        let Entry { polarity, match_on, active_from, .. } = *entry;
        Self { polarity, match_on, active_from }
    }

    pub(super) fn encode(self) -> [u8; 10] {
        let [a, b, c, d, e, f, g, h] = self.active_from.0.to_le_bytes();
        let polarity = match self.polarity {
            Polarity::Allow => 0,
            Polarity::Block => 1,
        };
        let match_on = match self.match_on {
            MatchOn::Envelope => 0,
            MatchOn::Header => 1,
            MatchOn::Both => 2,
            MatchOn::Setting => 3,
        };
        [polarity, match_on, a, b, c, d, e, f, g, h]
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let [polarity, match_on, active_from @ ..] = <[u8; 10]>::try_from(value).ok()?;
        Some(Self {
            polarity: match polarity {
                0 => Polarity::Allow,
                1 => Polarity::Block,
                _ => return None,
            },
            match_on: match match_on {
                0 => MatchOn::Envelope,
                1 => MatchOn::Header,
                2 => MatchOn::Both,
                3 => MatchOn::Setting,
                _ => return None,
            },
            active_from: UnixMillis(u64::from_le_bytes(active_from)),
        })
    }

    /// Two values of one key may stand beside each other if one allows and the other blocks (C27).
    pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
        left.first() == right.first()
    }
}

/// Separates the owner from the pattern in a key; no address may hold it.
const UNIT_SEPARATOR: u8 = 0x1f;

fn push_owner(key: &mut Vec<u8>, side: Side, level: OwnerLevel, name: &str) {
    key.clear();
    key.push(match side {
        Side::Sender => b's',
        Side::Recipient => b'r',
    });
    key.push(match level {
        OwnerLevel::Gateway => b'g',
        OwnerLevel::Tenant => b't',
        OwnerLevel::Domain => b'd',
        OwnerLevel::Account => b'a',
    });
    key.extend_from_slice(name.as_bytes());
    key.push(UNIT_SEPARATOR);
}

fn push_text(key: &mut Vec<u8>, kind: PatternKind, text: &str) {
    key.push(match kind {
        PatternKind::Network => b'n',
        PatternKind::Subdomains => b's',
        PatternKind::AnyAtDomain => b'w',
        PatternKind::Domain => b'd',
        PatternKind::Address => b'a',
    });
    key.extend_from_slice(text.as_bytes());
}

fn push_net(key: &mut Vec<u8>, net: ipnet::IpNet) {
    key.push(b'n');
    match net.network() {
        IpAddr::V4(address) => key.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => key.extend_from_slice(&address.octets()),
    }
    key.push(net.prefix_len());
}

/// What the keys of all entries of one list begin with: side and owner.
pub(super) fn list_stem(entry: &Entry) -> Vec<u8> {
    let mut stem = Vec::with_capacity(64);
    push_owner(&mut stem, entry.side, entry.owner.level(), owner_name(&entry.owner));
    stem
}

fn owner_name(owner: &Owner) -> &str {
    match owner {
        Owner::Gateway => "",
        Owner::Tenant(name) | Owner::Domain(name) | Owner::Account(name) => name,
    }
}

/// The key of an entry; with its polarity it is what makes an entry the same entry.
pub(super) fn entry_key(entry: &Entry) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    push_owner(&mut key, entry.side, entry.owner.level(), owner_name(&entry.owner));
    match &entry.pattern {
        Pattern::Address(text)
        | Pattern::Domain(text)
        | Pattern::AnyAtDomain(text)
        | Pattern::Subdomains(text) => push_text(&mut key, entry.pattern.kind(), text),
        Pattern::Network(net) => push_net(&mut key, *net),
    }
    key
}

/// The entry that a key and a value stand for.
pub(super) fn entry_of(key: &[u8], value: EntryValue) -> Option<Entry> {
    let (head, rest) = key.split_first_chunk::<2>()?;
    let cut = rest.iter().position(|octet| *octet == UNIT_SEPARATOR)?;
    let (name, pattern) = rest.split_at_checked(cut)?;
    let name = || std::str::from_utf8(name).ok().map(Box::from);
    let (kind, text) = pattern.get(1..)?.split_first()?;
    let word = || std::str::from_utf8(text).ok().map(Box::from);
    let [side, level] = *head;
    Some(Entry {
        side: match side {
            b's' => Side::Sender,
            b'r' => Side::Recipient,
            _ => return None,
        },
        owner: match level {
            b'g' => Owner::Gateway,
            b't' => Owner::Tenant(name()?),
            b'd' => Owner::Domain(name()?),
            b'a' => Owner::Account(name()?),
            _ => return None,
        },
        pattern: match kind {
            b'a' => Pattern::Address(word()?),
            b'd' => Pattern::Domain(word()?),
            b'w' => Pattern::AnyAtDomain(word()?),
            b's' => Pattern::Subdomains(word()?),
            b'n' => Pattern::Network(net_of(text)?),
            _ => return None,
        },
        polarity: value.polarity,
        match_on: value.match_on,
        active_from: value.active_from,
    })
}

fn net_of(octets: &[u8]) -> Option<ipnet::IpNet> {
    let (length, address) = octets.split_last()?;
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    ipnet::IpNet::new(address, *length).ok()
}

/// The owners who are responsible for a recipient, nearest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owners<'a> {
    pub account: &'a str,
    pub domain: &'a str,
    pub tenant: Option<&'a str>,
}

/// Prefix lengths that are in use in a table of entries: only these are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize)]
pub(super) struct PrefixLengths {
    pub v4: Vec<u8>,
    pub v6: Vec<u8>,
}

impl PrefixLengths {
    pub(super) fn add(&mut self, net: ipnet::IpNet) {
        let lengths = match net {
            ipnet::IpNet::V4(_) => &mut self.v4,
            ipnet::IpNet::V6(_) => &mut self.v6,
        };
        if let Err(place) = lengths.binary_search(&net.prefix_len()) {
            lengths.insert(place, net.prefix_len());
        }
    }

    pub(super) fn add_all(&mut self, v4: &[u8], v6: &[u8]) {
        for (mine, theirs) in [(&mut self.v4, v4), (&mut self.v6, v6)] {
            for length in theirs {
                if let Err(place) = mine.binary_search(length) {
                    mine.insert(place, *length);
                }
            }
        }
    }
}

/// Asks `look` for every key under which an entry for `wanted` can stand; `look` calls back with what
/// it finds. `lengths` are all prefix lengths that any layer has.
pub(super) fn candidates(
    side: Side,
    owners: Owners<'_>,
    wanted: SenderKey<'_>,
    lengths: &PrefixLengths,
    mut look: impl FnMut(&[u8], &mut dyn FnMut(EntryValue)),
) -> SenderEntries {
    let levels = [
        (OwnerLevel::Account, Some(owners.account)),
        (OwnerLevel::Domain, Some(owners.domain)),
        (OwnerLevel::Tenant, owners.tenant),
        (OwnerLevel::Gateway, Some("")),
    ];
    let patterns = patterns_of(wanted, lengths);
    let mut found = SenderEntries::new();
    let mut key = Vec::with_capacity(128);
    for (owner, name) in levels {
        let Some(name) = name else { continue };
        push_owner(&mut key, side, owner, name);
        let stem = key.len();
        for pattern in &patterns {
            key.truncate(stem);
            match pattern {
                Pattern::Address(text)
                | Pattern::Domain(text)
                | Pattern::AnyAtDomain(text)
                | Pattern::Subdomains(text) => push_text(&mut key, pattern.kind(), text),
                Pattern::Network(net) => push_net(&mut key, *net),
            }
            look(&key, &mut |value: EntryValue| {
                found.push(SenderEntry {
                    owner,
                    polarity: value.polarity,
                    kind: pattern.kind(),
                    match_on: value.match_on,
                    active_from: value.active_from,
                    pattern: pattern.to_string().into(),
                });
            });
        }
    }
    found
}

/// Every pattern that matches.
fn patterns_of(wanted: SenderKey<'_>, lengths: &PrefixLengths) -> Vec<Pattern> {
    let mut patterns = Vec::with_capacity(8);
    match wanted {
        SenderKey::Mailbox(mailbox) => {
            patterns.push(Pattern::Address(mailbox.key().into()));
            patterns.push(Pattern::Domain(mailbox.domain.clone()));
            patterns.push(Pattern::AnyAtDomain(mailbox.domain.clone()));
            let mut rest = &*mailbox.domain;
            while let Some((_, parent)) = rest.split_once('.') {
                patterns.push(Pattern::Subdomains(parent.into()));
                rest = parent;
            }
        }
        SenderKey::Address(address) => {
            let address = address.to_canonical();
            let used = if address.is_ipv4() { &lengths.v4 } else { &lengths.v6 };
            // The most specific first, as for addresses.
            for length in used.iter().rev() {
                if let Ok(net) = ipnet::IpNet::new(address, *length) {
                    patterns.push(Pattern::Network(net.trunc()));
                }
            }
        }
    }
    patterns
}

/// The table: entries by key, and which prefix lengths they use.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(super) struct SendersTable {
    pub flat: super::flat::Flat,
    pub lengths: PrefixLengths,
}
