//! What can happen to a mail: unified model, section 4.3.

use serde::{Deserialize, Serialize};

use crate::verdict::{IpAction, MainClass, Reason, Verdict};

/// Final actions, weakest to strongest: the order of the variants *is* the order of section 4.3.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Deliver.
    #[default]
    Deliver,
    /// Deliver with a header field that says so.
    Header,
    /// Deliver with a body stamp.
    Stamp,
    /// Deliver with a subject tag.
    Tag,
    /// Deliver with the bad parts taken out.
    Clean,
    /// Hold; the reply (250 or 550) is `quarantine.reply`.
    Quarantine,
    /// Hold, not shown to the recipient.
    QuarantineHidden,
    /// 5xx, no copy.
    Reject,
    /// 250, no copy.
    Drop,
}

impl Action {
    /// The key in settings files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Header => "header",
            Self::Stamp => "stamp",
            Self::Tag => "tag",
            Self::Clean => "clean",
            Self::Quarantine => "quarantine",
            Self::QuarantineHidden => "quarantine_hidden",
            Self::Reject => "reject",
            Self::Drop => "drop",
        }
    }

    /// The name in logs (section 4.3).
    #[must_use]
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Deliver | Self::Header | Self::Stamp | Self::Tag | Self::Clean => "Deliver",
            Self::Quarantine | Self::QuarantineHidden => "Quarantine",
            Self::Reject => "Rejected",
            Self::Drop => "Discard",
        }
    }

    /// Whether a next hop gets the mail.
    #[must_use]
    pub fn delivers(self) -> bool {
        self <= Self::Clean
    }

    /// Whether the mail goes to quarantine.
    #[must_use]
    pub fn holds(self) -> bool {
        matches!(self, Self::Quarantine | Self::QuarantineHidden)
    }
}

/// What the sending server is told of a held mail (C61, SM-61).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReply {
    /// 250.
    #[default]
    Accept,
    /// 550 5.7.1, while a copy is held.
    Reject,
}

/// What becomes of a recipient whose action was reject when others of the same mail are accepted
/// (unified model, section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixedReply {
    /// Silently held.
    #[default]
    Held,
    /// Silently dropped; the record of it is durable before the 250.
    Dropped,
}

/// How a mail is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSpec {
    /// Days kept (C60): the retention class.
    pub days: u16,
    /// Not shown to the recipient.
    pub hidden: bool,
    /// What the sending server is told.
    pub reply: HoldReply,
}

/// Which header fields are added (C44, section 10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderSet {
    /// Only `Received`.
    None,
    /// `X-Sekisho-*`.
    #[default]
    Standard,
    /// `X-AS`, `X-SLBL-Result`, `X-Spam-Filtered`, `X-Spam-Result`, `X-IPAS`, `X-AV-Result`.
    Itscom,
}

/// A rule or setting that matched, for the event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedRule {
    /// Name of the policy rule, or the key of the setting (`spam.action`).
    pub name: Box<str>,
    /// What it asks for.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Reported only: it had no effect.
    pub log_only: bool,
    /// Name of the standard rule that the setting goes by; empty = none.
    #[serde(default)]
    pub memo: Box<str>,
    /// What of the mail it was: likelihood, malware, what matched where; empty = nothing was asked.
    #[serde(default)]
    pub condition: Box<str>,
    /// Who bypassed it, until when and why; empty = nobody. It had no effect then.
    #[serde(default)]
    pub bypassed: Box<str>,
}

impl MatchedRule {
    /// Whether it has an effect: it is neither reported only nor bypassed.
    #[must_use]
    pub fn acts(&self) -> bool {
        !self.log_only && self.bypassed.is_empty()
    }
}

/// A part that a rule takes out of the mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedByRule {
    /// Offset of its header section.
    pub start: u64,
    /// Offset behind its last octet.
    pub end: u64,
    /// Its file name.
    pub name: Box<str>,
    /// Its size in octets, decoded.
    pub bytes: u64,
    /// Name of the rule.
    pub rule: Box<str>,
}

/// Another mailbox that a rule sends the mail to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    /// The mailbox.
    pub mailbox: Box<str>,
    /// Name of the rule.
    pub rule: Box<str>,
}

/// What happens to the copy of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The strongest action of all that matched.
    pub action: Action,
    /// How it is held, if `action` holds.
    pub hold: Option<HoldSpec>,
    /// Why; `None` if nothing but delivery was asked for.
    pub reason: Option<Reason>,
    /// Subject tag to insert if the mail is delivered (now or on release).
    pub tag: Option<Box<str>>,
    /// Body stamps to insert if the mail is delivered; file names are filled in.
    pub stamps: Vec<Box<str>>,
    /// Header fields to add.
    pub headers: HeaderSet,
    /// What a bad client address did, for `X-AS` and `X-IPAS`.
    pub ip_action: IpAction,
    /// The class is one that the domain's spam rules hold, or would hold were holding on (`X-IPAS`).
    pub judged_spam: bool,
    /// Every rule and setting that matched, in order.
    pub matched: Vec<MatchedRule>,
    /// What becomes of a reject when others of the same mail are accepted.
    pub mixed_reply: MixedReply,
    /// Days that a reject turned into a silent hold is kept.
    pub mixed_days: u16,
    /// What a stamp does to a mail that its author's domain has signed.
    #[serde(default)]
    pub stamp_signed: StampSigned,
    /// Class and sub class that a rule of the administrator gives the mail (section 4.2).
    #[serde(default)]
    pub class: Option<(MainClass, Box<str>)>,
    /// Header fields that rules add: name and value.
    #[serde(default)]
    pub fields: Vec<(Box<str>, Box<str>)>,
    /// Who gets it instead of the recipient, if it is delivered.
    #[serde(default)]
    pub redirect: Option<SentTo>,
    /// Who gets a copy, if it is delivered.
    #[serde(default)]
    pub bcc: Vec<SentTo>,
    /// Who is told of it by mail.
    #[serde(default)]
    pub notices: Vec<NoticeAsk>,
    /// Parts that rules take out, if it is delivered or held: in order and apart.
    #[serde(default)]
    pub removed: Vec<RemovedByRule>,
}

impl Decision {
    /// Class and sub class as the recipient, the log and the quarantine name them: a rule may give one.
    #[must_use]
    pub fn class<'a>(&'a self, verdict: &'a Verdict) -> (MainClass, Option<&'a str>) {
        match &self.class {
            Some((class, sub)) => (*class, Some(sub)),
            None => (verdict.main_class, verdict.sub_class.as_deref()),
        }
    }

    /// Whether parts are taken out of the copy. Of a held one, too, if something asked for it and something stronger holds
    /// the mail: a release delivers what is held, and must not bring what cleaning would have kept away.
    #[must_use]
    pub fn cleans(&self) -> bool {
        let asked = |rule: &MatchedRule| rule.acts() && rule.action == Action::Clean;
        self.action == Action::Clean
            || self.action.holds() && (!self.removed.is_empty() || self.matched.iter().any(asked))
    }
}

/// What a stamp does to a mail with a valid signature of its author's domain (`stamp.signed`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampSigned {
    /// It goes into the text; the signature breaks.
    #[default]
    Stamp,
    /// It goes into the text where the box can seal what it changes, else it is a header field.
    StampAndSeal,
    /// It is a header field.
    Header,
}

/// A notice that a rule or setting asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NoticeAsk {
    /// Name of the rule, or the key of the setting.
    pub rule: Box<str>,
    /// Who gets it.
    pub to: NoticeTo,
    /// Name of the template.
    pub template: Box<str>,
}

/// Who gets a notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeTo {
    /// The envelope's sender.
    Sender,
    /// The recipient.
    Recipient,
    /// The domain's administrators.
    Administrator,
    /// The addresses of a notify list (IIJ-85).
    List(Box<str>),
}
