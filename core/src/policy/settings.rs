//! The settings of one domain that concern inbound mail: unified model, section 6. The names of
//! fields are the names of settings there (`lists.precedence` is `lists.precedence`).
//!
//! Settings of the console, of digests and of outbound mail (C04 to C13, C29, C30, C33 to C35, C46,
//! C51, C63 to C94) come with the rooms that use them; adding a field is not a change of the format.

use serde::{Deserialize, Serialize};

use crate::verdict::Weights;

use super::action::{Action, HeaderSet, HoldReply, MixedReply};
use super::lists::{MatchOn, PatternKind, Precedence};
use super::rules::{ClassAction, PolicyRule};

/// The five profiles: presets of the settings, as data in `core/data/profiles`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// IIJ Secure MX Service.
    #[default]
    IijSecureMx,
    /// SecureMail.
    Securemail,
    /// iTSCOM Spam Scan Service.
    ItscomSpamScan,
    /// Mail & Web Business Mail Security.
    NttMailSecurity,
    /// Trend Micro Email Security.
    Tmems,
}

/// How recipients are verified (C01, IIJ-10).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Every local-part is accepted.
    #[default]
    Off,
    /// Only those in the recipients table.
    List,
    /// As `list`; the list comes from a directory (later issue).
    Directory,
    /// The next hop is asked, and its answer kept for a while.
    Callout,
}

/// What a block entry does (C22).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BlockAction {
    /// 550, no copy.
    Reject,
    /// 250, no copy.
    Drop,
    /// Held.
    #[default]
    Quarantine,
}

/// When a refusal for the client's address is spoken (`ip.reject_at`, section 3.1 note a).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RejectAt {
    /// At RCPT.
    #[default]
    Rcpt,
    /// After the header is known, so that an allow entry for the author can save the mail.
    Data,
}

/// Kinds of aliases that the domain may have (C14).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AliasKind {
    /// Another local-part of the same domain (SM-20).
    Mailbox,
    /// Another domain (SM-21).
    Domain,
    /// From a directory.
    Directory,
}

/// `recipient.*`
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct RecipientSettings {
    /// C01.
    pub verify: Verify,
    /// C02: refused recipients get a row in the mail log.
    pub log_invalid: bool,
    /// C03: characters that a local-part must not hold (SM-51); empty = none.
    pub refused_chars: Box<str>,
}

/// `lists.*`
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct ListSettings {
    /// C20.
    pub precedence: Precedence,
    /// C22.
    pub block_action: BlockAction,
    /// C23: which lists a mailbox user has: allow.
    pub user_allow: bool,
    /// C23: which lists a mailbox user has: block.
    pub user_block: bool,
    /// C24: entries per list.
    pub max: u32,
    /// C25: accepted forms, sorted.
    pub forms: Vec<PatternKind>,
    /// C26 for allow entries that do not say.
    pub match_on: MatchOn,
    /// C26 for block entries that do not say.
    pub block_match_on: MatchOn,
    /// C27: the same entry may be in both lists.
    pub cross_duplicate: bool,
    /// C28: seconds from registration to effect (ITS-47).
    pub delay_seconds: u32,
    /// C31: the customer may add recipient block entries (SM-58).
    pub recipient_block: bool,
}

impl Default for ListSettings {
    fn default() -> Self {
        Self {
            precedence: Precedence::AllowFirst,
            block_action: BlockAction::Quarantine,
            user_allow: true,
            user_block: true,
            max: 10_000,
            forms: vec![PatternKind::Address, PatternKind::Domain],
            match_on: MatchOn::Both,
            block_match_on: MatchOn::Both,
            cross_duplicate: true,
            delay_seconds: 0,
            recipient_block: false,
        }
    }
}

/// `suspect.action` (C42): by likelihood.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct SuspectActions {
    /// Likelihood LOW.
    pub low: Action,
    /// Likelihood MEDIUM.
    pub medium: Action,
}

/// What each class of evidence asks for: section 6.3.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct ActionSettings {
    /// C40 `spam.action`, phishing included.
    pub spam: Action,
    /// C41 `spam.tag`; empty = none.
    pub spam_tag: Box<str>,
    /// C42 `suspect.action`.
    pub suspect: SuspectActions,
    /// C41 `suspect.tag`; empty = none.
    pub suspect_tag: Box<str>,
    /// `graymail.action` (10.3: on in tmems only).
    pub graymail: Action,
    /// C43: when `ip.action = "reject"` is spoken.
    pub ip_reject_at: RejectAt,
    /// C45 `virus.in`.
    pub virus: Action,
    /// What is done with a virus that cannot be cleaned when `virus.in = "clean"`.
    pub virus_uncleanable: Action,
    /// C47 `encrypted.action`.
    pub encrypted: Action,
    /// Stamp of `encrypted.action = "stamp"`; `{file}` stands for the names of the attachments.
    pub encrypted_stamp: Box<str>,
    /// C47b `scan_exception.action`.
    pub scan_exception: Action,
    /// C47c `not_scanned.action`.
    pub not_scanned: Action,
    /// C48 `highrisk.in`; `deliver` = only the administrator's rules act.
    pub highrisk: Action,
    /// Content findings of the pattern tables.
    pub content: Action,
}

impl Default for ActionSettings {
    fn default() -> Self {
        Self {
            spam: Action::Quarantine,
            spam_tag: "".into(),
            suspect: SuspectActions::default(),
            suspect_tag: "".into(),
            graymail: Action::Deliver,
            ip_reject_at: RejectAt::Rcpt,
            virus: Action::Quarantine,
            virus_uncleanable: Action::Drop,
            encrypted: Action::Deliver,
            encrypted_stamp: "".into(),
            scan_exception: Action::Quarantine,
            not_scanned: Action::Deliver,
            highrisk: Action::Deliver,
            content: Action::Deliver,
        }
    }
}

/// `size.*` (C49, SM-62)
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct SizeSettings {
    /// Megabytes of 1,048,576 octets; 1 to 2048.
    pub limit_mb: u32,
    /// What a larger mail gets: reject (552 at MAIL where SIZE says so) or quarantine.
    pub action: Action,
}

impl Default for SizeSettings {
    fn default() -> Self {
        Self { limit_mb: 100, action: Action::Reject }
    }
}

impl SizeSettings {
    /// The limit in octets.
    #[must_use]
    pub fn limit_bytes(self) -> u64 {
        u64::from(self.limit_mb) * 1024 * 1024
    }
}

/// `quarantine.*`
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct QuarantineSettings {
    /// C60.
    pub days: u16,
    /// C61.
    pub reply: HoldReply,
    /// C62 (TM-34).
    pub rescan: bool,
    /// Section 3.3.
    pub mixed_reply: MixedReply,
}

impl Default for QuarantineSettings {
    fn default() -> Self {
        Self { days: 14, reply: HoldReply::Accept, rescan: false, mixed_reply: MixedReply::Held }
    }
}

/// All settings of one domain that concern inbound mail.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct DomainSettings {
    /// Where the presets came from; a reset of the domain restores them.
    pub profile: Profile,
    /// `recipient.*`
    pub recipient: RecipientSettings,
    /// `alias.kinds` (C14), sorted.
    pub alias_kinds: Vec<AliasKind>,
    /// `lists.*` without `lists.allow_skips`, which is in `weights`.
    pub lists: ListSettings,
    /// Thresholds, `ip.*`, `lists.allow_skips`.
    pub weights: Weights,
    /// Section 6.3.
    pub actions: ActionSettings,
    /// `headers.set` (C44).
    pub headers: HeaderSet,
    /// `size.*`
    pub size: SizeSettings,
    /// `quarantine.*`
    pub quarantine: QuarantineSettings,
    /// C50 `class_actions`, in order.
    pub class_actions: Vec<ClassAction>,
    /// The administrator's rules, in order.
    pub rules: Vec<PolicyRule>,
    /// Mailbox that gets notices (SM-51); empty = none.
    pub primary_contact: Box<str>,
}
