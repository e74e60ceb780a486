//! Single changes to recipients and lists, on top of a generation.

use serde::{Deserialize, Serialize};

use super::senders::Entry;

/// One change. Applying it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// This address is a mailbox.
    RecipientAdd {
        /// In the form of `Mailbox::key`.
        address: Box<str>,
    },
    /// This address is an alias of another one in the same domain.
    AliasAdd {
        /// In the form of `Mailbox::key`.
        address: Box<str>,
        /// In the form of `Mailbox::key`.
        target: Box<str>,
    },
    /// This address, mailbox or alias, is no more.
    RecipientRemove {
        /// In the form of `Mailbox::key`.
        address: Box<str>,
    },
    /// This entry is in force, instead of one with the same owner, side, polarity and pattern.
    EntryAdd {
        /// The entry.
        entry: Entry,
    },
    /// The entry with the same owner, side, polarity and pattern is no more; the rest of it is
    /// ignored.
    EntryRemove {
        /// The entry.
        entry: Entry,
    },
}
