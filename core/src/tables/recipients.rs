//! Recipients: known addresses, mailbox aliases, flags per recipient.

use crate::envelope::Mailbox;

use super::DomainRef;

/// What is said of one recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecipientFlags {
    /// A domain alias was followed.
    pub domain_alias: bool,
    /// At least one mailbox alias was followed.
    pub mailbox_alias: bool,
}

/// Who a recipient is: domain alias first, then the chain of mailbox aliases (SM-20 to SM-22).
#[derive(Clone, Debug)]
pub enum Resolution {
    /// Not a domain that mail is accepted for.
    UnknownDomain,
    /// A domain of ours.
    Known {
        /// Who it is for in the end, and what the next hop is told.
        mailbox: Mailbox,
        /// The domain of `mailbox`.
        domain: DomainRef,
        /// The address is in the table; what that means is up to `recipient.verify`.
        listed: bool,
        /// How it was found.
        flags: RecipientFlags,
    },
}

/// What the table says of one address. On disk: one octet of kind, then the target's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record<'t> {
    Mailbox,
    /// Alias of the address with this key.
    Alias(&'t str),
}

const MAILBOX: u8 = 0;
const ALIAS: u8 = 1;

impl<'t> Record<'t> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::Mailbox => out.push(MAILBOX),
            Self::Alias(target) => {
                out.push(ALIAS);
                out.extend_from_slice(target.as_bytes());
            }
        }
    }

    pub(super) fn decode(value: &'t [u8]) -> Option<Self> {
        match value.split_first()? {
            (&MAILBOX, []) => Some(Self::Mailbox),
            (&ALIAS, target) => std::str::from_utf8(target).ok().map(Self::Alias),
            _ => None,
        }
    }
}

/// Where a chain of mailbox aliases ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChainEnd {
    /// At this key; `listed` says whether it is in the table, `hops` how many aliases were followed.
    At { key: String, listed: bool, hops: usize },
    /// It comes back to an address it has seen, or is longer than `ALIAS_CHAIN_MAX`.
    Endless,
}

/// Follows aliases from `key`. `look` answers for one key with the target of an alias, or none for
/// a mailbox; `None` for an unknown address.
pub(super) fn follow(
    key: String,
    mut look: impl FnMut(&str) -> Option<Option<String>>,
) -> ChainEnd {
    let mut key = key;
    for hops in 0..=crate::limits::ALIAS_CHAIN_MAX {
        match look(&key) {
            None => return ChainEnd::At { key, listed: false, hops },
            Some(None) => return ChainEnd::At { key, listed: true, hops },
            Some(Some(target)) => key = target,
        }
    }
    ChainEnd::Endless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_their_encoding_and_nonsense_is_no_record() {
        let mut octets = Vec::new();
        for record in [Record::Mailbox, Record::Alias("user@example.com")] {
            record.encode(&mut octets);
            assert_eq!(Record::decode(&octets), Some(record));
        }
        for nonsense in [&[][..], &[7], &[MAILBOX, 1], &[ALIAS, 0xff]] {
            assert_eq!(Record::decode(nonsense), None);
        }
    }

    #[test]
    fn a_chain_ends_at_a_mailbox_at_the_unknown_or_is_endless() {
        let table = |key: &str| match key {
            "a" => Some(Some("b".to_owned())),
            "b" => Some(Some("c".to_owned())),
            "c" => Some(None),
            "x" => Some(Some("y".to_owned())),
            "y" => Some(Some("x".to_owned())),
            "lost" => Some(Some("nowhere".to_owned())),
            _ => None,
        };
        let at = |key: &str, listed, hops| ChainEnd::At { key: key.to_owned(), listed, hops };
        assert_eq!(follow("a".into(), table), at("c", true, 2));
        assert_eq!(follow("lost".into(), table), at("nowhere", false, 1));
        assert_eq!(follow("z".into(), table), at("z", false, 0));
        assert_eq!(follow("x".into(), table), ChainEnd::Endless);
    }
}
