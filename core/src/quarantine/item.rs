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

/// What a release overruled: that much holds the item no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overruled {
    /// Reason key.
    pub reason: Box<str>,
    /// As `HeldItem::held_by`.
    pub held_by: Box<str>,
}

/// Why a released item is held again (TM-34): another rule, by the tables of that moment. Shown instead of what
/// stands in the item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// When it was looked at.
    pub at: UnixMillis,
    /// As in `HeldItem`.
    pub main_class: Box<str>,
    /// As in `HeldItem`.
    pub category: Box<str>,
    /// As in `HeldItem`.
    pub reason: Box<str>,
    /// As in `HeldItem`.
    pub held_by: Box<str>,
    /// As in `HeldItem`.
    #[serde(default)]
    pub hidden: bool,
    /// Everything that releases overruled so far: else two rules would hold it in turn for ever.
    #[serde(default)]
    pub overruled: Vec<Overruled>,
}

/// State of one held item. It begins as `Held`; when `held_at` plus its days is over it is
/// invisible, whatever its state.
///
/// Stored as a note to the copy. A state that this code does not know (of a newer release) counts as `Held`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ItemState {
    /// Held.
    #[default]
    Held,
    /// Held by another rule than at first.
    HeldAgain(Box<Again>),
    /// Handed to delivery; becomes `Released`, or `Held` again if that failed. Found after a restart it is left over:
    /// nobody knows whether the mail went out, so it may be released once more.
    Releasing {
        /// Who asked for it.
        by: Box<str>,
        /// When.
        at: UnixMillis,
        /// It was `HeldAgain` before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Box<Again>>,
    },
    /// Delivered on request. Stays visible until it expires; asking for it again delivers nothing.
    Released {
        /// Who asked for it.
        by: Box<str>,
        /// When.
        at: UnixMillis,
        /// It was trained as not spam with it: its class is False-positive (SM-60).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ham: bool,
    },
    /// Deleted on request, or dropped by a rule when it was released; final. Its octets leave the disk within 24
    /// hours of the last item's.
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
            Self::Held | Self::HeldAgain(_) => "held",
            Self::Releasing { .. } => "releasing",
            Self::Released { .. } => "released",
            Self::Deleted { .. } => "deleted",
        }
    }

    /// Whether an item in this state may become `next`. (That a release which runs in this process is not begun
    /// twice is the quarantine's business: the state alone cannot tell it from one that a crash cut off.)
    #[must_use]
    pub fn may_become(&self, next: &Self) -> bool {
        match self {
            Self::Held | Self::HeldAgain(_) => {
                matches!(next, Self::Releasing { .. } | Self::Deleted { .. })
            }
            Self::Releasing { .. } => true,
            Self::Released { .. } => matches!(next, Self::Deleted { .. }),
            Self::Deleted { .. } => false,
        }
    }

    /// Why it is held now, if that is not what stands in the item.
    #[must_use]
    pub fn again(&self) -> Option<&Again> {
        match self {
            Self::HeldAgain(again) => Some(again),
            Self::Releasing { again, .. } => again.as_deref(),
            Self::Held | Self::Released { .. } | Self::Deleted { .. } => None,
        }
    }

    /// The state of an item whose release came to nothing.
    #[must_use]
    pub fn held(&self) -> Self {
        self.again().map_or(Self::Held, |again| Self::HeldAgain(Box::new(again.clone())))
    }
}
