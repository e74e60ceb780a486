//! List entries as the tables give them, in the words of `policy`.

use std::net::IpAddr;

use crate::clock::UnixMillis;
use crate::envelope::Mailbox;
use crate::policy::{self, ListDecision, ListEntry, ListSettings};
use crate::tables::{self, SenderEntry, Snapshot};

/// Whom a mail is from, as far as that is known: what sender lists are asked with.
#[derive(Clone, Copy, Debug)]
pub struct Who<'m> {
    /// Address of the client.
    pub client: Option<IpAddr>,
    /// Reverse-path.
    pub sender: Option<&'m Mailbox>,
    /// Mailboxes of the From field; none before the header is known.
    pub authors: &'m [Mailbox],
}

impl Who<'_> {
    /// What the sender lists of a recipient say.
    #[must_use]
    pub fn decision(
        self,
        tables: &Snapshot,
        recipient: &Mailbox,
        settings: &ListSettings,
        now: UnixMillis,
    ) -> ListDecision {
        let client = self.client.map(|client| client_entries(tables, recipient, client, now));
        let mut envelope = client.unwrap_or_default();
        if let Some(sender) = self.sender {
            envelope.extend(sender_entries(tables, recipient, sender, now));
        }
        let entries = |author| sender_entries(tables, recipient, author, now);
        let header = policy::lists::of_authors(self.authors.iter().map(entries), settings, now);
        policy::lists::choose(&envelope, &header, settings, now)
    }
}

/// Entries for `recipient` that match the mailbox `sender`.
#[must_use]
pub fn sender_entries(
    tables: &Snapshot,
    recipient: &Mailbox,
    sender: &Mailbox,
    now: UnixMillis,
) -> Vec<ListEntry> {
    tables.sender_entries(recipient, sender, now).iter().map(entry).collect()
}

/// Entries for `recipient` that match the address of the client.
#[must_use]
pub fn client_entries(
    tables: &Snapshot,
    recipient: &Mailbox,
    client: IpAddr,
    now: UnixMillis,
) -> Vec<ListEntry> {
    tables.client_entries(recipient, client, now).iter().map(entry).collect()
}

fn entry(found: &SenderEntry) -> ListEntry {
    ListEntry {
        owner: match found.owner {
            tables::OwnerLevel::Gateway => policy::Owner::Gateway,
            tables::OwnerLevel::Tenant => policy::Owner::Tenant,
            tables::OwnerLevel::Domain => policy::Owner::Domain,
            tables::OwnerLevel::Account => policy::Owner::Account,
        },
        polarity: match found.polarity {
            tables::Polarity::Allow => policy::Polarity::Allow,
            tables::Polarity::Block => policy::Polarity::Block,
        },
        pattern: match found.kind {
            tables::PatternKind::Network => policy::PatternKind::Ip,
            tables::PatternKind::Subdomains => policy::PatternKind::SubdomainWildcard,
            tables::PatternKind::AnyAtDomain => policy::PatternKind::DomainWildcard,
            tables::PatternKind::Domain => policy::PatternKind::Domain,
            tables::PatternKind::Address => policy::PatternKind::Address,
        },
        match_on: match found.match_on {
            tables::MatchOn::Envelope => policy::MatchOn::Envelope,
            tables::MatchOn::Header => policy::MatchOn::Header,
            tables::MatchOn::Both => policy::MatchOn::Both,
            tables::MatchOn::Setting => policy::MatchOn::Setting,
        },
        active_from: found.active_from,
        text: found.pattern.clone(),
    }
}
