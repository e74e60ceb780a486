//! What a scanner found. A finding says what is there; it never says what shall happen.

use serde::{Deserialize, Serialize};

/// Points of a score in thousandths, so that sums do not depend on their order.
pub type MilliPoints = i32;

/// One observation about one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of evidence it is.
    pub kind: FindingKind,
    /// Name of the rule, signature, list or check, as the operator knows it.
    pub rule: Box<str>,
    /// Its contribution to the spam score.
    pub points: MilliPoints,
    /// What was found, for logs and the console: escaped where shown, at most 200 characters, and behind [`FOUND_IN`] where
    /// the rule matched, at most 120 more.
    pub detail: Box<str>,
    /// The rule is set to "log only": reported, never judged by.
    #[serde(default)]
    pub log_only: bool,
}

/// Between what a rule says and where it matched, in the detail of a finding.
pub const FOUND_IN: &str = "; found in ";

/// A detail without the place where its rule matched, and that place with the text there.
#[must_use]
pub fn split_place(detail: &str) -> (&str, Option<(&str, &str)>) {
    let Some((before, found)) = detail.rsplit_once(FOUND_IN) else { return (detail, None) };
    match found.split_once(": ") {
        Some(place) => (before, Some(place)),
        None => (detail, None),
    }
}

impl FindingKind {
    /// Key of the stage of unified model 3.1 that finds it.
    #[must_use]
    pub fn stage(self) -> &'static str {
        match self {
            Self::Spam | Self::Phishing | Self::Bec | Self::Graymail | Self::WebReputation => {
                "spam"
            }
            Self::Malware
            | Self::Ransomware
            | Self::TargetedAttack
            | Self::SuspiciousObject
            | Self::Encrypted
            | Self::LimitReached
            | Self::Malformed
            | Self::WorkerDied
            | Self::NotScanned => "virus",
            Self::Content | Self::Attachment | Self::ActiveContent => "content",
            Self::NetworkPositive | Self::NetworkSuspect => "connect",
        }
    }

    /// What a signature, a listed file or another engine found, by the name that it has for it (TM-08): those who name
    /// malware say in the name whether it is ransomware, made for one target, or only suspicious.
    #[must_use]
    pub fn of_malware_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        if name.contains("ransom") || name.contains("filecoder") {
            return Self::Ransomware;
        }
        let is_target = |word: &str| {
            let apt = word.strip_prefix("apt").map(|rest| rest.bytes().all(|c| c.is_ascii_digit()));
            apt == Some(true) || word == "targeted" || word == "targetedattack"
        };
        if words.clone().any(is_target) {
            return Self::TargetedAttack;
        }
        if words.any(|word| matches!(word, "suspicious" | "suspiciousobject" | "susp")) {
            return Self::SuspiciousObject;
        }
        Self::Malware
    }

    /// Whether it makes a mail class Virus: what has it must not be delivered as it is.
    #[must_use]
    pub fn is_virus(self) -> bool {
        matches!(
            self,
            Self::Malware | Self::Ransomware | Self::TargetedAttack | Self::SuspiciousObject
        )
    }
}

/// Kinds of evidence; the reasons of the unified model (section 4.2) follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Counts towards the spam score.
    Spam,
    /// Counts towards the spam score and makes the class Phish once the mail is over the threshold.
    Phishing,
    /// Business e-mail compromise; as `Phishing`.
    Bec,
    /// Bulk mail that was asked for once.
    Graymail,
    /// A URL or host with bad reputation.
    WebReputation,
    /// Known malware.
    Malware,
    /// Known ransomware.
    Ransomware,
    /// Malware made for one target.
    TargetedAttack,
    /// Sandbox verdict or similar: suspicious, not known.
    SuspiciousObject,
    /// Cannot be scanned: password-protected.
    Encrypted,
    /// Cannot be scanned: a limit (depth, members, bytes, ratio, time, hits) was reached.
    LimitReached,
    /// Cannot be scanned: malformed beyond what its reader understands.
    Malformed,
    /// Not scanned at all: two analysis workers died on it, or were killed at their deadline.
    WorkerDied,
    /// A container or member of a format that is not read here. Never means "clean".
    NotScanned,
    /// A content rule of the administrator.
    Content,
    /// An attachment rule (type, name, extension).
    Attachment,
    /// Something that acts when it is opened: macros, scripts, remote templates, embedded files.
    ActiveContent,
    /// The client address is in a list of bad addresses.
    NetworkPositive,
    /// The client address is suspected.
    NetworkSuspect,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tm_08_the_name_of_malware_says_of_what_kind_it_is() {
        use FindingKind as K;
        for (name, kind) in [
            ("Win.Ransomware.WannaCry-6313787-0", K::Ransomware),
            ("Trojan-Ransom.Win32.Locky.d", K::Ransomware),
            ("Win32/Filecoder.NHT", K::Ransomware),
            ("Win.Trojan.APT28-1", K::TargetedAttack),
            ("MULTI.APT.Cozy-2", K::TargetedAttack),
            ("TargetedAttack.Report.x", K::TargetedAttack),
            ("SuspiciousObject.feed.12", K::SuspiciousObject),
            ("Heuristics.Suspicious.PE", K::SuspiciousObject),
            ("Win.Trojan.Adapter-1", K::Malware),
            ("Eicar-Test-Signature", K::Malware),
            ("", K::Malware),
        ] {
            assert_eq!(K::of_malware_name(name), kind, "{name}");
        }
    }
}
