//! What lists say of the client's address: tables of networks and DNS lists, put together in one place for the engine and
//! for `sekisho check`.

use std::net::IpAddr;

use crate::authn::{DnsLists, Listed, ListedAs};
use crate::scan::finding::{Finding, FindingKind};
use crate::tables::{NetworkClass, Snapshot};

/// What the tables say of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLists {
    /// An own list lets it in: nothing else is asked.
    pub allowed: bool,
    /// The own list that refuses it, whatever others say.
    denied: Option<Box<str>>,
    positive: Option<Box<str>>,
    suspect: Option<Box<str>>,
}

impl ClientLists {
    /// Asks the tables.
    #[must_use]
    pub fn of(tables: &Snapshot, address: IpAddr) -> Self {
        let mut lists = Self::default();
        for hit in tables.network(address) {
            let slot = match hit.class {
                NetworkClass::Allow => {
                    return Self { allowed: true, ..Self::default() };
                }
                NetworkClass::Deny => &mut lists.denied,
                NetworkClass::Positive => &mut lists.positive,
                NetworkClass::Suspect => &mut lists.suspect,
            };
            *slot = Some(hit.list.into());
        }
        lists
    }

    /// The class of the address, and the list that gives it. A table weighs as much as its class asks for
    /// (`reputation.positive_weight`), and is added to what DNS lists weigh: one that speaks for the client can
    /// outweigh it. An own list that refuses cannot be outweighed.
    #[must_use]
    pub fn class<'l>(
        &'l self,
        listed: Option<&'l Listed>,
        weights: &DnsLists,
    ) -> Option<(ListedAs, &'l str)> {
        if self.allowed {
            return None;
        }
        if let Some(list) = &self.denied {
            return Some((ListedAs::Positive, list));
        }
        let table = match (&self.positive, &self.suspect) {
            (Some(list), _) => Some((ListedAs::Positive, &**list, weights.positive)),
            (None, Some(list)) => Some((ListedAs::Suspect, &**list, weights.suspect)),
            (None, None) => None,
        };
        let Some(listed) = listed.filter(|listed| listed.weight != 0) else {
            return table.map(|(class, list, _)| (class, list));
        };
        let Some((own, list, weight)) = table else {
            return (listed.class != ListedAs::Normal).then_some((listed.class, &*listed.list));
        };
        let class = weights.class(weight.saturating_add(listed.weight));
        // What brought it over the threshold of a worse class than the table's is the DNS list.
        let named = if class > own && !listed.list.is_empty() { &*listed.list } else { list };
        (class != ListedAs::Normal).then_some((class, named))
    }
}

/// The finding about an address of this class.
#[must_use]
pub fn finding((class, list): (ListedAs, &str), client: IpAddr) -> Option<Finding> {
    let kind = match class {
        ListedAs::Normal => return None,
        ListedAs::Suspect => FindingKind::NetworkSuspect,
        ListedAs::Positive => FindingKind::NetworkPositive,
    };
    let detail = client.to_string().into();
    Some(Finding { kind, rule: list.into(), points: 0, detail, log_only: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dns_list_says_for_a_client_outweighs_a_table_but_not_an_own_list() {
        let weights = DnsLists { lists: Vec::new(), positive: 1_000, suspect: 500 };
        let table = ClientLists { positive: Some("table".into()), ..ClientLists::default() };
        let denied = ClientLists { denied: Some("own".into()), ..ClientLists::default() };
        let allowed = ClientLists { allowed: true, ..table.clone() };
        let says =
            |weight, list: &str| Listed { class: weights.class(weight), list: list.into(), weight };
        let good = says(-1_000, "");
        let bad = says(1_000, "dnsbl");
        use ListedAs::{Positive, Suspect};
        for (lists, listed, want) in [
            (&table, None, Some((Positive, "table"))),
            (&table, Some(&good), None),
            (&table, Some(&says(-300, "")), Some((Suspect, "table"))),
            (&table, Some(&bad), Some((Positive, "table"))),
            (&denied, Some(&good), Some((Positive, "own"))),
            (&allowed, Some(&bad), None),
            (&ClientLists::default(), Some(&bad), Some((Positive, "dnsbl"))),
            (&ClientLists::default(), Some(&good), None),
        ] {
            assert_eq!(lists.class(listed, &weights), want, "{lists:?} {listed:?}");
        }
        let suspect = ClientLists { suspect: Some("table".into()), ..ClientLists::default() };
        let half = says(500, "dnsbl");
        assert_eq!(suspect.class(Some(&half), &weights), Some((Positive, "dnsbl")));
    }
}
