//! Choosing among sender list entries: unified model, section 5.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
pub use crate::verdict::{AppliedEntry, ListDecision, Owner};

use super::settings::ListSettings;

/// Allow or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// Mail from there is wanted.
    Allow,
    /// Mail from there is not wanted.
    Block,
}

/// Form of an entry, most specific first: the order of the variants is that of `specific_first`.
/// A client address is the most specific thing an entry can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    /// A client address or network.
    Ip,
    /// `user@d`: exactly this mailbox.
    Address,
    /// `d`: the part after @ equals d, no subdomains.
    Domain,
    /// `*@d`: the same set as `d`.
    DomainWildcard,
    /// `*@*.d`: any subdomain of d, not d itself.
    SubdomainWildcard,
}

/// Which address an entry is compared with (C26).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MatchOn {
    /// The reverse-path.
    Envelope,
    /// The author (`From:`).
    Header,
    /// Both: either one matching is enough.
    #[default]
    Both,
    /// As the recipient's domain says (`lists.match_on`, `lists.block_match_on`).
    Setting,
}

/// One entry that matched an address, as the tables give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListEntry {
    /// Whose list it is in.
    pub owner: Owner,
    /// Allow or block.
    pub polarity: Polarity,
    /// Its form.
    pub pattern: PatternKind,
    /// Which address it is for.
    pub match_on: MatchOn,
    /// No effect before this time (C28, ITS-47).
    pub active_from: UnixMillis,
    /// The pattern as its owner wrote it, for the log.
    pub text: Box<str>,
}

/// Which of two entries wins (C20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precedence {
    /// The more specific pattern; then the nearer owner; then block.
    SpecificFirst,
    /// User block, admin block, user allow, admin allow: the first hit.
    BlockFirst,
    /// Any allow.
    #[default]
    AllowFirst,
}

impl ListEntry {
    fn applies(&self, at: MatchOn, settings: &ListSettings, now: UnixMillis) -> bool {
        let match_on = match (self.match_on, self.polarity) {
            (MatchOn::Setting, Polarity::Allow) => settings.match_on,
            (MatchOn::Setting, Polarity::Block) => settings.block_match_on,
            (named, _) => named,
        };
        // An address of a client is never a header field; such an entry counts where it is found.
        let side = match_on == at || match_on == MatchOn::Both || self.pattern == PatternKind::Ip;
        side && self.active_from <= now
    }
}

/// Entries that match the authors of a mail: those of each, in turn. With several authors an allow entry holds only if
/// each of them is allowed: else whoever writes a known name beside his own would be let in.
#[must_use]
pub fn of_authors(
    authors: impl ExactSizeIterator<Item = Vec<ListEntry>>,
    settings: &ListSettings,
    now: UnixMillis,
) -> Vec<ListEntry> {
    let several = authors.len() > 1;
    let (mut all, mut all_allowed) = (Vec::new(), true);
    for entries in authors {
        let allows = |entry: &ListEntry| {
            entry.polarity == Polarity::Allow && entry.applies(MatchOn::Header, settings, now)
        };
        all_allowed &= !several || entries.iter().any(allows);
        all.extend(entries);
    }
    if !all_allowed {
        all.retain(|entry| entry.polarity == Polarity::Block);
    }
    all
}

/// Chooses the entry that applies. `envelope`: entries that match the reverse-path or the client's
/// address; `header`: entries that match an author address (empty before the header is known).
/// Entries whose `active_from` is later than `now` have no effect.
#[must_use]
pub fn choose(
    envelope: &[ListEntry],
    header: &[ListEntry],
    settings: &ListSettings,
    now: UnixMillis,
) -> ListDecision {
    let candidates = envelope
        .iter()
        .filter(|entry| entry.applies(MatchOn::Envelope, settings, now))
        .chain(header.iter().filter(|entry| entry.applies(MatchOn::Header, settings, now)));
    let block_first = |entry: &ListEntry| entry.polarity == Polarity::Allow;
    let winner = match settings.precedence {
        // `false` sorts first: block before allow where all else is equal.
        Precedence::SpecificFirst => {
            candidates.min_by_key(|e| (specificity(e.pattern), e.owner, block_first(e)))
        }
        Precedence::BlockFirst => {
            candidates.min_by_key(|e| (block_first(e), e.owner, specificity(e.pattern)))
        }
        Precedence::AllowFirst => candidates
            .min_by_key(|e| (e.polarity == Polarity::Block, e.owner, specificity(e.pattern))),
    };
    let Some(entry) = winner else { return ListDecision::None };
    let applied = AppliedEntry { owner: entry.owner, text: entry.text.clone() };
    match entry.polarity {
        Polarity::Allow => ListDecision::Allow(applied),
        Polarity::Block => ListDecision::Block(applied),
    }
}

/// Rank of a pattern, most specific first. Section 5 step 3 ranks an exact domain before `*@domain`
/// although both name the same set.
fn specificity(pattern: PatternKind) -> u8 {
    match pattern {
        PatternKind::Ip => 0,
        PatternKind::Address => 1,
        PatternKind::Domain => 2,
        PatternKind::DomainWildcard => 3,
        PatternKind::SubdomainWildcard => 4,
    }
}
