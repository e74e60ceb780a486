//! Names of classes, reasons and likelihoods: unified model, sections 4.1 and 4.2.

use serde::{Deserialize, Serialize};

/// Main class of a mail for one recipient. Unified model, section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MainClass {
    /// Nothing found.
    NotSpam,
    /// An allow entry applied.
    Whitelisted,
    /// Released and trained as ham.
    FalsePositive,
    /// A block entry applied.
    Blacklisted,
    /// Trained as spam afterwards.
    FalseNegative,
    /// Phishing, social engineering, business e-mail compromise, web reputation.
    Phish,
    /// A virus reason.
    Virus,
    /// Spam, graymail (as sub class), or a content rule (as sub class).
    Spam,
    /// Held and not releasable by the user.
    Locked,
    /// Temporary refusal.
    Greylist,
    /// Between the two thresholds: suspected spam.
    Unsure,
    /// Not classified: scanning skipped, or a part of the mail could not be read.
    Unknown,
    /// Scan or parse failure.
    Error,
}

impl MainClass {
    /// All classes, in the order of section 4.1.
    pub const ALL: [Self; 13] = [
        Self::NotSpam,
        Self::Whitelisted,
        Self::FalsePositive,
        Self::Blacklisted,
        Self::FalseNegative,
        Self::Phish,
        Self::Virus,
        Self::Spam,
        Self::Locked,
        Self::Greylist,
        Self::Unsure,
        Self::Unknown,
        Self::Error,
    ];

    /// Those that evidence leads to. The others come of what is done with a mail.
    pub const JUDGED: [Self; 9] = [
        Self::NotSpam,
        Self::Whitelisted,
        Self::Blacklisted,
        Self::Phish,
        Self::Virus,
        Self::Spam,
        Self::Unsure,
        Self::Unknown,
        Self::Error,
    ];

    /// The name in logs and headers, as section 4.1 writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSpam => "Not Spam",
            Self::Whitelisted => "Whitelisted",
            Self::FalsePositive => "False-positive",
            Self::Blacklisted => "Blacklisted",
            Self::FalseNegative => "False-negative",
            Self::Phish => "Phish",
            Self::Virus => "Virus",
            Self::Spam => "Spam",
            Self::Locked => "Locked",
            Self::Greylist => "Greylist",
            Self::Unsure => "Unsure",
            Self::Unknown => "Unknown",
            Self::Error => "Error",
        }
    }

    /// The key in settings files: `not_spam`, `whitelisted`, ...
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::NotSpam => "not_spam",
            Self::Whitelisted => "whitelisted",
            Self::FalsePositive => "false_positive",
            Self::Blacklisted => "blacklisted",
            Self::FalseNegative => "false_negative",
            Self::Phish => "phish",
            Self::Virus => "virus",
            Self::Spam => "spam",
            Self::Locked => "locked",
            Self::Greylist => "greylist",
            Self::Unsure => "unsure",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }
}

/// Why a mail is held or refused. Unified model, section 4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Sender IP match failed.
    SenderIpMatch,
    /// SPF failed.
    Spf,
    /// DKIM failed.
    Dkim,
    /// DMARC failed.
    Dmarc,
    /// Known ransomware.
    Ransomware,
    /// Malware made for one target.
    TargetedAttack,
    /// Known malware.
    Malware,
    /// Sandbox verdict or similar.
    SuspiciousObject,
    /// Could not be scanned: encrypted, a limit, malformed, worker death.
    ScanException,
    /// Spam score.
    Spam,
    /// Business e-mail compromise.
    Bec,
    /// Phishing.
    Phishing,
    /// Bulk mail that was asked for once.
    Graymail,
    /// Reputation of a URL, or of the client's address.
    WebReputation,
    /// A content rule without conditions.
    NoCriteria,
    /// A content rule.
    Content,
    /// An attachment rule.
    Attachment,
    /// Data loss prevention.
    Dlp,
    /// A block entry.
    BlockList,
    /// Larger than the limit.
    Oversize,
}

/// Category of a reason. Unified model, section 4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Sender authentication.
    Auth,
    /// Security filter.
    Virus,
    /// Spam filter: the only one whose senders a user may approve.
    Spam,
    /// Content filter.
    Content,
    /// DLP filter.
    Dlp,
    /// User or domain list.
    List,
    /// Size limit.
    Size,
}

impl Category {
    /// The key in logs and replies.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Virus => "virus",
            Self::Spam => "spam",
            Self::Content => "content",
            Self::Dlp => "dlp",
            Self::List => "list",
            Self::Size => "size",
        }
    }
}

impl Reason {
    /// All reasons, in the order of section 4.2.
    pub const ALL: [Self; 20] = [
        Self::SenderIpMatch,
        Self::Spf,
        Self::Dkim,
        Self::Dmarc,
        Self::Ransomware,
        Self::TargetedAttack,
        Self::Malware,
        Self::SuspiciousObject,
        Self::ScanException,
        Self::Spam,
        Self::Bec,
        Self::Phishing,
        Self::Graymail,
        Self::WebReputation,
        Self::NoCriteria,
        Self::Content,
        Self::Attachment,
        Self::Dlp,
        Self::BlockList,
        Self::Oversize,
    ];

    /// The key in logs and settings.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::SenderIpMatch => "sender_ip_match",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Ransomware => "ransomware",
            Self::TargetedAttack => "targeted_attack",
            Self::Malware => "malware",
            Self::SuspiciousObject => "suspicious_object",
            Self::ScanException => "scan_exception",
            Self::Spam => "spam",
            Self::Bec => "bec",
            Self::Phishing => "phishing",
            Self::Graymail => "graymail",
            Self::WebReputation => "web_reputation",
            Self::NoCriteria => "no_criteria",
            Self::Content => "content",
            Self::Attachment => "attachment",
            Self::Dlp => "dlp",
            Self::BlockList => "block_list",
            Self::Oversize => "oversize",
        }
    }

    /// Its category.
    #[must_use]
    pub fn category(self) -> Category {
        match self {
            Self::SenderIpMatch | Self::Spf | Self::Dkim | Self::Dmarc => Category::Auth,
            Self::Ransomware
            | Self::TargetedAttack
            | Self::Malware
            | Self::SuspiciousObject
            | Self::ScanException => Category::Virus,
            Self::Spam | Self::Bec | Self::Phishing | Self::Graymail | Self::WebReputation => {
                Category::Spam
            }
            Self::NoCriteria | Self::Content | Self::Attachment => Category::Content,
            Self::Dlp => Category::Dlp,
            Self::BlockList => Category::List,
            Self::Oversize => Category::Size,
        }
    }

    /// Filter type of the event log (section 4.2).
    #[must_use]
    pub fn filter_type(self) -> &'static str {
        match self.category() {
            Category::Auth => "Sender authentication",
            Category::Virus => "Security Filter",
            Category::Spam => "Spam Filter",
            Category::Content => "Content Filter",
            Category::Dlp => "DLP Filter",
            Category::List => "User/Domain List",
            Category::Size => "Size Limit",
        }
    }
}

/// How likely the mail is spam (IIJ-76). Low: below `suspect.medium_points`; High: from
/// `spam.points` on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Likelihood {
    /// Not or hardly.
    #[default]
    Low,
    /// Upper part of the suspected range.
    Medium,
    /// Over the spam threshold.
    High,
}

impl Likelihood {
    /// `LOW`, `MEDIUM`, `HIGH`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }
}
