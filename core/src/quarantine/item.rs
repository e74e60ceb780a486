//! Ids and states of held items.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::envelope::MailId;

/// Id of one held item, `<shard>-<mail>-<recipient index>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// Shard that holds it.
    pub shard: u16,
    /// The mail.
    pub mail: MailId,
    /// Recipient's index in the transaction's envelope.
    pub recipient: u16,
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.shard, self.mail, self.recipient)
    }
}

impl FromStr for ItemId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        let [shard, mail, recipient] = parts.as_slice() else {
            return Err(format!("`{text}` is not of the form SHARD-MAIL-RECIPIENT"));
        };
        Ok(Self {
            shard: shard.parse().map_err(|error| format!("`{shard}`: {error}"))?,
            mail: mail.parse().map_err(|error| format!("`{mail}`: {error}"))?,
            recipient: recipient.parse().map_err(|error| format!("`{recipient}`: {error}"))?,
        })
    }
}

/// State of one held item. It begins as `Held`; when `held_at` plus its days is over it is
/// invisible, whatever its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ItemState {
    /// Held.
    #[default]
    Held,
    /// Handed to delivery; becomes `Released`, or `Held` again if that failed.
    Releasing {
        /// Who asked for it.
        by: Box<str>,
        /// When.
        at: UnixMillis,
    },
    /// Delivered on request. Stays visible until it expires, and may be released again.
    Released {
        /// Who asked for it.
        by: Box<str>,
        /// When.
        at: UnixMillis,
    },
    /// Deleted on request; final. Its octets leave the disk within 24 hours of the last item's.
    Deleted {
        /// Who asked for it.
        by: Box<str>,
        /// When.
        at: UnixMillis,
    },
}

impl ItemState {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Releasing { .. } => "releasing",
            Self::Released { .. } => "released",
            Self::Deleted { .. } => "deleted",
        }
    }

    /// Whether an item in this state may become `next`.
    #[must_use]
    pub fn may_become(&self, next: &Self) -> bool {
        match self {
            Self::Held | Self::Released { .. } => {
                matches!(next, Self::Releasing { .. } | Self::Deleted { .. })
            }
            // After a crash an item may still be `Releasing`: asking again is harmless.
            Self::Releasing { .. } => true,
            Self::Deleted { .. } => false,
        }
    }
}
