//! The settings of one domain that concern inbound mail: unified model, section 6. The names of
//! fields are the names of settings there (`lists.precedence` is `lists.precedence`).
//!
//! Settings of the console, of digests and of outbound mail (C04 to C13, C29, C30, C34, C35, C46,
//! C51, C63 to C90, C92 to C94) come with the rooms that use them; adding a field is not a change of the format.

use serde::{Deserialize, Serialize};

use crate::envelope::Mailbox;
use crate::scan::content::Expression;
use crate::scan::finding::MilliPoints;
use crate::verdict::{
    AuthMethod, AuthOutcome, AuthWeight, Category, ImpersonationSettings, SenderNetworks, Weights,
};

use super::action::{Action, HeaderSet, HoldReply, MixedReply, StampSigned};
use super::lists::{MatchOn, PatternKind, Precedence};
use super::notice::NoticeSettings;
use super::rules::{Addresses, ClassAction, PolicyRule, RuleDirection, StandardSetting};

/// The five profiles: presets of the settings, as data in `core/data/profiles`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectAt {
    /// At RCPT.
    #[default]
    Rcpt,
    /// After the header is known, so that an allow entry for the author can save the mail.
    Data,
}

/// Kinds of aliases that the domain may have (C14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecipientSettings {
    /// C01.
    pub verify: Verify,
    /// C02: refused recipients get a row in the mail log.
    pub log_invalid: bool,
    /// C03: characters that a local-part must not hold (SM-51); empty = none.
    pub refused_chars: Box<str>,
}

/// `lists.*`
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// C33: what has to hold for an entry to be added from a held mail.
    #[serde(default)]
    pub add_requires: AddRequires,
    /// Accounts whose user filter is "Threat Email Filter" (IIJ-53).
    #[serde(default)]
    pub threat_filter: Addresses,
    /// Accounts whose user filter is another one.
    #[serde(default)]
    pub other_filter: Addresses,
}

/// `lists.add_requires` (C33). A list that is full takes nothing anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddRequires {
    /// Nothing else.
    #[default]
    None,
    /// The account's user filter is "Threat Email Filter" (IIJ-53).
    ThreatFilter,
    /// The mail is held for a reason of the spam category (TM-08).
    SpamCategory,
}

impl ListSettings {
    /// IIJ-53, C33: whether the sender of a mail that is held for this account and this category may be put on its list.
    ///
    /// # Errors
    /// Why not, for whoever asked.
    pub fn may_add(&self, account: &Mailbox, category: &str) -> Result<(), &'static str> {
        if !self.user_allow {
            return Err("accounts of this domain have no allow list (lists.user_lists)");
        }
        match self.add_requires {
            AddRequires::None => Ok(()),
            AddRequires::ThreatFilter if self.threat_filter.contains(account) => Ok(()),
            AddRequires::ThreatFilter if self.other_filter.contains(account) => {
                Err("the account's user filter is not \"Threat Email Filter\"")
            }
            AddRequires::ThreatFilter => Err("the account has no user filter"),
            AddRequires::SpamCategory if category == Category::Spam.key() => Ok(()),
            AddRequires::SpamCategory => Err("it is not held for a reason of the spam category"),
        }
    }
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
            add_requires: AddRequires::None,
            threat_filter: Addresses::default(),
            other_filter: Addresses::default(),
        }
    }
}

/// `suspect.action` (C42): by likelihood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SuspectActions {
    /// Likelihood LOW.
    pub low: Action,
    /// Likelihood MEDIUM.
    pub medium: Action,
}

/// What each class of evidence asks for: section 6.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// `virus.engines`: whether scan engines of others (`[[scanner]]`) look at this domain's mail.
    #[serde(default = "engines")]
    pub engines: bool,
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
    /// `active_content.action`: macros, scripts, remote templates, embedded files.
    #[serde(default)]
    pub active_content: Action,
    /// What is done with active content that cannot be taken out when `active_content.action = "clean"`.
    #[serde(default = "held")]
    pub active_content_uncleanable: Action,
}

/// Of tables that were made before there were any.
fn engines() -> bool {
    true
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
            engines: engines(),
            encrypted: Action::Deliver,
            encrypted_stamp: "".into(),
            scan_exception: Action::Quarantine,
            not_scanned: Action::Deliver,
            highrisk: Action::Deliver,
            content: Action::Deliver,
            active_content: Action::Deliver,
            active_content_uncleanable: held(),
        }
    }
}

/// Settings of before a field was: what cannot be cleaned is held.
fn held() -> Action {
    Action::Quarantine
}

/// What one result of one check of the sender does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AuthRule {
    /// The check.
    pub method: AuthMethod,
    /// The result.
    pub outcome: AuthOutcome,
    /// What it asks for.
    pub action: Action,
    /// What it adds to the score.
    pub points: MilliPoints,
}

/// `auth.*`: an action and points for each result of each check (TM-08, unified model 3.1 stage 8).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AuthSettings {
    /// At most one for each check and result.
    pub rules: Vec<AuthRule>,
    /// Domains whose mail comes from certain networks only (sender IP match).
    pub sender_ip: Vec<SenderNetworks>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        use AuthMethod as M;
        use AuthOutcome as O;
        let rule =
            |method, outcome, points| AuthRule { method, outcome, action: Action::Deliver, points };
        // A forged sender counts most where its domain itself says what to do about it.
        let rules = vec![
            rule(M::SenderIpMatch, O::Fail, 3_000),
            rule(M::Dmarc, O::Reject, 3_000),
            rule(M::Dmarc, O::Quarantine, 2_000),
            rule(M::Dmarc, O::Fail, 700),
            rule(M::Spf, O::Fail, 1_500),
            rule(M::Spf, O::SoftFail, 700),
            rule(M::Spf, O::PermError, 200),
            rule(M::Dkim, O::Fail, 300),
            rule(M::Reverse, O::None, 700),
            rule(M::Reverse, O::Fail, 300),
        ];
        Self { rules, sender_ip: Vec::new() }
    }
}

impl AuthSettings {
    /// The rule for a result, made if there is none.
    pub(super) fn rule(&mut self, method: AuthMethod, outcome: AuthOutcome) -> &mut AuthRule {
        let known = |rule: &AuthRule| rule.method == method && rule.outcome == outcome;
        let at = self.rules.iter().position(known).unwrap_or_else(|| {
            let action = Action::Deliver;
            self.rules.push(AuthRule { method, outcome, action, points: 0 });
            self.rules.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed above")]
        &mut self.rules[at]
    }

    /// What a result asks for.
    #[must_use]
    pub fn action(&self, method: AuthMethod, outcome: AuthOutcome) -> Action {
        let known = |rule: &&AuthRule| rule.method == method && rule.outcome == outcome;
        self.rules.iter().find(known).map_or(Action::Deliver, |rule| rule.action)
    }

    /// What judging needs of it.
    #[must_use]
    pub fn weights(&self) -> Vec<AuthWeight> {
        let weight = |rule: &AuthRule| AuthWeight {
            method: rule.method,
            outcome: rule.outcome,
            points: rule.points,
            acts: rule.action != Action::Deliver,
        };
        self.rules.iter().map(weight).collect()
    }
}

/// `greylist.*`: strangers are asked to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GreylistSettings {
    /// Whether it is done.
    pub enabled: bool,
    /// Who comes again sooner has to wait on.
    pub delay_seconds: u32,
    /// Who does not come again within this is a stranger again.
    pub window_hours: u32,
    /// Who came again is known for so long after his last mail.
    pub known_days: u32,
}

impl Default for GreylistSettings {
    fn default() -> Self {
        Self { enabled: false, delay_seconds: 300, window_hours: 24, known_days: 36 }
    }
}

/// `classifier.*` and `train.*` (C74).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassifierSettings {
    /// `classifier.enabled`: the classifier has a say.
    pub enabled: bool,
    /// `train.enabled`: the domain may train a model of its own.
    pub train: bool,
}

impl Default for ClassifierSettings {
    fn default() -> Self {
        Self { enabled: true, train: true }
    }
}

/// `size.*` (C49, SM-62)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Mailboxes under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamedList {
    /// The name.
    pub name: Box<str>,
    /// The mailboxes.
    pub mailboxes: Vec<Box<str>>,
}

/// All settings of one domain that concern inbound mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// `auth.*`
    #[serde(default)]
    pub auth: AuthSettings,
    /// `greylist.*`
    #[serde(default)]
    pub greylist: GreylistSettings,
    /// `impersonation.*`
    #[serde(default)]
    pub impersonation: ImpersonationSettings,
    /// `classifier.*`, `train.*`
    #[serde(default)]
    pub classifier: ClassifierSettings,
    /// `size.*`
    pub size: SizeSettings,
    /// `quarantine.*`
    pub quarantine: QuarantineSettings,
    /// `stamp.signed`
    #[serde(default)]
    pub stamp_signed: StampSigned,
    /// `notice.*` (C91)
    #[serde(default)]
    pub notice: NoticeSettings,
    /// C50 `class_actions`, in order.
    pub class_actions: Vec<ClassAction>,
    /// The administrator's rules, in order; a profile's standard rules among them.
    pub rules: Vec<PolicyRule>,
    /// Lists that notices of rules go to (IIJ-85).
    #[serde(default)]
    pub notify_lists: Vec<NamedList>,
    /// Mailbox that gets notices (SM-51); empty = none.
    pub primary_contact: Box<str>,
}

impl DomainSettings {
    /// Whether malware is taken out for somebody: by the setting, or by one of several rules that are its names.
    #[must_use]
    pub fn cleans_malware(&self) -> bool {
        let cleans = |rule: &PolicyRule| {
            rule.enabled
                && rule.sets == Some(StandardSetting::Virus)
                && rule.action == Action::Clean
        };
        self.actions.virus == Action::Clean || self.rules.iter().any(cleans)
    }

    /// What its rules look for in texts: nothing is searched for the others.
    #[must_use]
    pub fn content_expressions(&self) -> Vec<&Expression> {
        let asked = |rule: &&PolicyRule| rule.enabled && rule.direction == RuleDirection::Inbound;
        let conditions =
            self.rules.iter().filter(asked).flat_map(|rule| {
                std::iter::once(&rule.conditions).chain(rule.except.when.as_ref())
            });
        conditions.flat_map(|when| &when.content).collect()
    }
}
