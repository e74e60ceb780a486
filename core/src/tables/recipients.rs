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
