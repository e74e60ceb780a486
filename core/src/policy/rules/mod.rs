//! The administrator's own rules: class actions (C50, SM-63) and ordered policy rules with every
//! condition of TM-09 and of IIJ's filters (IIJ-74 to IIJ-76, IIJ-85), scope, exceptions and side actions.
//!
//! A rule is asked in its order. Of all that match, the strongest final action wins, and everything that
//! weaker ones ask for besides (tags, stamps, fields, copies, notices) is still done; `last` ends the row.
//!
//! A **standard rule** names a setting (`sets = "spam.action"`): it is that setting under the name that the
//! product gives it, so that an operator can list, switch and override the rules of a profile by name. Its
//! evidence is what the setting answers to; scope, exceptions, further conditions, notices, `log_only` and
//! bypasses work as for any other rule.
//!
//! | file | what |
//! |---|---|
//! | `conditions` | what can be asked of a mail, and how it is asked |
//! | `address` | sets of addresses |
//! | `side` | side actions |
//! | `class` | class actions, patterns |

mod address;
mod class;
mod conditions;
mod facts;
mod side;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

pub use address::Addresses;
pub use class::{ClassAction, glob};
pub use conditions::{Combine, Conditions, HeaderCondition, TimeOfDay};
pub(super) use facts::bypass;
pub use facts::{AttachmentFact, Bypassed, Facts, high_risk};
pub use side::{Notice, SideActions};

use super::action::Action;
use crate::envelope::Mailbox;
use crate::verdict::{AuthEvidence, DetectionKind, Likelihood, Reason, Verdict};

/// Which way a mail goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleDirection {
    /// To the domain.
    #[default]
    Inbound,
    /// From the domain.
    Outbound,
}

/// What a rule is about, beside its conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Content and attachments: reasons `content`, `attachment`, `no_criteria`.
    #[default]
    Content,
    /// Data that must not leave its place: reason `dlp`, main class Locked.
    Dlp,
}

/// Settings that a standard rule can be the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandardSetting {
    /// `virus.in`
    Virus,
    /// `spam.action`
    Spam,
    /// `suspect.action`
    Suspect,
    /// `graymail.action`
    Graymail,
    /// `encrypted.action`
    Encrypted,
    /// `scan_exception.action`
    ScanException,
    /// `highrisk.in`
    Highrisk,
    /// `content.action`
    Content,
}

impl StandardSetting {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Virus,
        Self::Spam,
        Self::Suspect,
        Self::Graymail,
        Self::Encrypted,
        Self::ScanException,
        Self::Highrisk,
        Self::Content,
    ];

    /// The key of the setting.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Virus => "virus.in",
            Self::Spam => "spam.action",
            Self::Suspect => "suspect.action",
            Self::Graymail => "graymail.action",
            Self::Encrypted => "encrypted.action",
            Self::ScanException => "scan_exception.action",
            Self::Highrisk => "highrisk.in",
            Self::Content => "content.action",
        }
    }

    /// The setting that answers to this evidence, if a rule can be its name.
    #[must_use]
    pub fn of(kind: DetectionKind) -> Option<Self> {
        match kind {
            DetectionKind::Virus => Some(Self::Virus),
            DetectionKind::Phish | DetectionKind::Spam => Some(Self::Spam),
            DetectionKind::Suspect => Some(Self::Suspect),
            DetectionKind::Graymail => Some(Self::Graymail),
            DetectionKind::Encrypted => Some(Self::Encrypted),
            DetectionKind::Exception => Some(Self::ScanException),
            DetectionKind::Attachment => Some(Self::Highrisk),
            DetectionKind::Content => Some(Self::Content),
            DetectionKind::Blocked
            | DetectionKind::Auth(..)
            | DetectionKind::ActiveContent
            | DetectionKind::NotScanned
            | DetectionKind::NetworkPositive
            | DetectionKind::NetworkSuspect => None,
        }
    }
}

/// What is as it is by itself is not written down: a profile's rules are in the settings of each domain.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether it is the key that the log names a setting by: what a bypass can name besides rules.
#[must_use]
pub fn is_setting(name: &str) -> bool {
    let others = [
        "size.action",
        "lists.block_action",
        "not_scanned.action",
        "ip.action",
        "active_content.action",
    ];
    let auth = || {
        let key = name.strip_prefix("auth.").and_then(AuthEvidence::from_key);
        key.is_some()
    };
    StandardSetting::ALL.iter().any(|setting| setting.key() == name)
        || others.contains(&name)
        || name.starts_with("class_actions ")
        || auth()
}

/// Whose mail a rule is for; a side that names nobody is for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Recipients.
    #[serde(skip_serializing_if = "is_default")]
    pub recipients: Addresses,
    /// Senders: reverse-path or author.
    #[serde(skip_serializing_if = "is_default")]
    pub senders: Addresses,
}

/// Mail that a rule is not for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Exceptions {
    /// These recipients.
    #[serde(skip_serializing_if = "is_default")]
    pub recipients: Addresses,
    /// These senders: reverse-path or author.
    #[serde(skip_serializing_if = "is_default")]
    pub senders: Addresses,
    /// Mail that fulfils these.
    #[serde(skip_serializing_if = "is_default")]
    pub when: Option<Conditions>,
}

/// One rule of the administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyRule {
    /// Name, shown in logs; no two of a domain have the same.
    pub name: Box<str>,
    /// Place in the row: lower ones first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: u32,
    /// Which mail.
    #[serde(default, skip_serializing_if = "is_default")]
    pub direction: RuleDirection,
    /// What it is about.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: RuleKind,
    /// The setting that it is the name of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sets: Option<StandardSetting>,
    /// Off: as if it were not there.
    pub enabled: bool,
    /// Reported, without effect.
    pub log_only: bool,
    /// For whom.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: Scope,
    /// For whom not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub except: Exceptions,
    /// When it matches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub conditions: Conditions,
    /// What it asks for.
    pub action: Action,
    /// Subject tag; empty = none, but for action `tag` the domain's `spam.tag`.
    pub tag: Box<str>,
    /// Text put into the body; empty = none.
    pub stamp: Box<str>,
    /// What it asks for besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub side: SideActions,
    /// No rule behind it is asked once it matched.
    #[serde(default, skip_serializing_if = "is_default")]
    pub last: bool,
}

/// For each rule of a domain, in their order, whether it is for this recipient. Two recipients with
/// the same one are decided about together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeMask(SmallVec<[u64; 2]>);

impl ScopeMask {
    /// That of `recipient`. Empty where no rule asks for recipients.
    #[must_use]
    pub fn of(rules: &[PolicyRule], recipient: &Mailbox) -> Self {
        let asks = |rule: &PolicyRule| {
            !rule.scope.recipients.is_unsaid() || !rule.except.recipients.is_unsaid()
        };
        let mut mask = SmallVec::new();
        if !rules.iter().any(asks) {
            return Self(mask);
        }
        mask.resize(rules.len().div_ceil(64), 0);
        for (index, rule) in rules.iter().enumerate() {
            let (scope, except) = (&rule.scope.recipients, &rule.except.recipients);
            let covered = scope.is_unsaid() || scope.contains(recipient);
            if covered
                && !except.contains(recipient)
                && let Some(word) = mask.get_mut(index / 64)
            {
                *word |= 1 << (index % 64);
            }
        }
        Self(mask)
    }

    fn covers(&self, index: usize) -> bool {
        self.0.is_empty()
            || self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

impl PolicyRule {
    /// Whether it is on, for this recipient and sender, and what it says of the mail holds: what of the
    /// mail it was, for the log; empty if it asks for nothing. `index` is its place among the rules.
    #[must_use]
    pub fn matches(&self, index: usize, verdict: &Verdict, facts: &Facts<'_>) -> Option<String> {
        let applies = self.enabled
            && self.direction == RuleDirection::Inbound
            && facts.scope.covers(index)
            && (self.scope.senders.is_unsaid() || facts.sent_by(&self.scope.senders))
            && !facts.sent_by(&self.except.senders);
        if !applies {
            return None;
        }
        let matched = self.conditions.matches(verdict, facts)?;
        let excepted = self.except.when.as_ref().is_some_and(|when| {
            // Exceptions without a condition are none, not all.
            *when != Conditions::default() && when.matches(verdict, facts).is_some()
        });
        (!excepted).then_some(matched)
    }

    /// Whether a standard rule is the name of its setting at this likelihood: suspected spam has an action for each.
    #[must_use]
    pub(in crate::policy) fn is_of(&self, likelihood: Likelihood) -> bool {
        let asked = &self.conditions.likelihoods;
        let likelihood = match likelihood {
            Likelihood::Low => Likelihood::Low,
            // As `suspect.action` has it.
            Likelihood::Medium | Likelihood::High => Likelihood::Medium,
        };
        self.sets != Some(StandardSetting::Suspect)
            || asked.is_empty()
            || asked.contains(&likelihood)
    }

    /// The reason of what it asks for.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.kind {
            RuleKind::Dlp => Reason::Dlp,
            // TM-08: a rule about password protection is a scan exception.
            RuleKind::Content if self.conditions.attachment_encrypted == Some(true) => {
                Reason::ScanException
            }
            RuleKind::Content if self.conditions.is_about_attachments() => Reason::Attachment,
            RuleKind::Content if self.conditions == Conditions::default() => Reason::NoCriteria,
            RuleKind::Content => Reason::Content,
        }
    }
}
