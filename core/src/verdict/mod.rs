//! Findings to one verdict per recipient: main class, sub class, reason, likelihood, points, and
//! every contribution by name.
//!
//! It judges and never acts: what happens to the mail is decided in `policy`. It reads no clock and
//! no table; the same findings, weights and list decision give the same verdict, in any order of
//! the findings. Memory: a few hundred bytes per finding, freed with the transaction.
//!
//! Which of several classes a mail gets: Virus, Blacklisted, Phish, Spam, Error, Unsure, Spam by a
//! content rule, Whitelisted, Unknown (could not be scanned as a whole), Not Spam. The class names
//! the worst evidence; `detections` keeps all of it, because the strongest action of *all* matching
//! rules wins (unified model, section 4.3).

mod auth;
mod class;
mod impersonation;
mod judge;
mod weights;

#[cfg(test)]
mod tests;

pub use auth::{
    AuthEvidence, AuthMethod, AuthOutcome, AuthWeight, SenderNetworks, auth_evidence,
    sender_ip_evidence,
};
pub use class::{Category, Likelihood, MainClass, Reason};
pub use impersonation::{
    ImpersonationPoints, ImpersonationSettings, Person, ProtectedBrand, Way, all_vouched,
    impersonation,
};
pub use judge::{
    ClientMark, Contribution, Detection, DetectionKind, ScanMark, Verdict, judge, ordered,
    sub_classes,
};
pub use weights::{IpAction, Stage, Weights};

use serde::{Deserialize, Serialize};

/// Who owns a sender list entry; nearer owners come first. Unified model, section 2 "List entry".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The mailbox that receives.
    Account,
    /// Its domain.
    Domain,
    /// The tenant of the domain.
    Tenant,
    /// The whole appliance.
    Gateway,
}

/// What a list decision did for one recipient (unified model, section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListDecision {
    /// No entry applies.
    #[default]
    None,
    /// The recipient is on the recipient allow list: every filter is bypassed (SM-57).
    Bypass,
    /// An allow entry applies: the stages of `lists.allow_skips` can neither hold nor tag.
    Allow(AppliedEntry),
    /// A block entry applies: `lists.block_action`.
    Block(AppliedEntry),
}

/// The entry that won, for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedEntry {
    /// Whose list.
    pub owner: Owner,
    /// The pattern as its owner wrote it.
    pub text: Box<str>,
}
