//! What the checks of the sender are evidence of. Which of it counts, and what it does, are settings of the domain.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::authn::{AuthResult, Authentication, DmarcPolicy};
use crate::scan::finding::MilliPoints;

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// The author's or sender's domain has addresses of its own, by the administrator's list.
    SenderIpMatch,
    /// DMARC.
    Dmarc,
    /// SPF of MAIL FROM (of HELO for the null reverse-path).
    Spf,
    /// The best of all DKIM signatures.
    Dkim,
    /// The chain of those who passed the mail on.
    Arc,
    /// Whether the client's address has a name that leads back to it.
    Reverse,
}

impl AuthMethod {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::SenderIpMatch, Self::Dmarc, Self::Spf, Self::Dkim, Self::Arc, Self::Reverse];

    /// The key in settings (`auth.spf`).
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::SenderIpMatch => "sender_ip_match",
            Self::Dmarc => "dmarc",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Arc => "arc",
            Self::Reverse => "reverse",
        }
    }

    /// The reason of a mail that is held for it. A client's name is part of its reputation; a chain is one of signatures.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::SenderIpMatch => Reason::SenderIpMatch,
            Self::Dmarc => Reason::Dmarc,
            Self::Spf => Reason::Spf,
            Self::Dkim | Self::Arc => Reason::Dkim,
            Self::Reverse => Reason::WebReputation,
        }
    }

    /// The results that a setting may name.
    #[must_use]
    pub fn outcomes(self) -> &'static [AuthOutcome] {
        use AuthOutcome as O;
        match self {
            Self::SenderIpMatch => &[O::Pass, O::Fail],
            Self::Dmarc => {
                &[O::Pass, O::None, O::Fail, O::Quarantine, O::Reject, O::TempError, O::PermError]
            }
            Self::Spf => {
                &[O::Pass, O::None, O::Neutral, O::Fail, O::SoftFail, O::TempError, O::PermError]
            }
            Self::Dkim => &[O::Pass, O::None, O::Neutral, O::Fail, O::TempError, O::PermError],
            Self::Arc => &[O::Pass, O::None, O::Fail, O::TempError, O::PermError],
            Self::Reverse => &[O::Pass, O::None, O::Fail, O::TempError],
        }
    }
}

/// What a check came to, as settings name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthOutcome {
    /// DMARC failed, and the author's domain asks for rejection.
    Reject,
    /// DMARC failed, and the author's domain asks for suspicion.
    Quarantine,
    /// It failed (of DMARC: and the domain asks for nothing).
    Fail,
    /// SPF's softer fail.
    SoftFail,
    /// What was published is wrong.
    PermError,
    /// No answer of the DNS.
    TempError,
    /// The domain says nothing of this client; a signature that cannot be used.
    Neutral,
    /// Nothing is published, signed, or named.
    None,
    /// It speaks for the sender.
    Pass,
}

impl AuthOutcome {
    /// The key in settings.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::PermError => "permerror",
            Self::TempError => "temperror",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Pass => "pass",
        }
    }

    fn of(result: AuthResult) -> Self {
        match result {
            AuthResult::Pass => Self::Pass,
            AuthResult::None => Self::None,
            AuthResult::Neutral | AuthResult::Policy => Self::Neutral,
            AuthResult::Fail => Self::Fail,
            AuthResult::SoftFail => Self::SoftFail,
            AuthResult::TempError => Self::TempError,
            AuthResult::PermError => Self::PermError,
        }
    }
}

/// One result of a check of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthEvidence {
    /// The check.
    pub method: AuthMethod,
    /// What it came to.
    pub outcome: AuthOutcome,
}

impl AuthEvidence {
    /// As it is stored: `dmarc.reject`.
    #[must_use]
    pub fn key(self) -> Box<str> {
        format!("{}.{}", self.method.key(), self.outcome.key()).into()
    }

    /// What [`Self::key`] wrote.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let (method, outcome) = key.split_once('.')?;
        let method = AuthMethod::ALL.into_iter().find(|one| one.key() == method)?;
        let outcome = method.outcomes().iter().find(|one| one.key() == outcome)?;
        Some(Self { method, outcome: *outcome })
    }

    /// What it says, in English and in Japanese.
    #[must_use]
    pub fn told(self) -> [String; 2] {
        use AuthOutcome as O;
        let (en, ja) = match self.method {
            AuthMethod::SenderIpMatch => ("addresses of the sender", "送信元アドレスの照合"),
            AuthMethod::Dmarc => ("DMARC", "DMARC"),
            AuthMethod::Spf => ("SPF", "SPF"),
            AuthMethod::Dkim => ("DKIM", "DKIM"),
            AuthMethod::Arc => ("ARC", "ARC"),
            AuthMethod::Reverse => ("name of the client's address", "接続元アドレスの逆引き"),
        };
        let (said, result) = match self.outcome {
            O::Reject => ("failed; the domain asks for rejection", "失敗（ドメインは拒否を要求）"),
            O::Quarantine => {
                ("failed; the domain asks for suspicion", "失敗（ドメインは隔離を要求）")
            }
            O::Fail => ("failed", "失敗"),
            O::SoftFail => ("failed softly", "弱い失敗"),
            O::PermError => ("what is published is wrong", "公開情報の誤り"),
            O::TempError => ("no answer of the DNS", "DNS の応答なし"),
            O::Neutral => ("says nothing", "判断なし"),
            O::None => ("there is none", "なし"),
            O::Pass => ("passed", "成功"),
        };
        [format!("{en}: {said}"), format!("{ja}: {result}")]
    }

    /// What [`Self::rule`] wrote.
    #[must_use]
    pub fn from_rule(rule: &str) -> Option<Self> {
        let all = AuthMethod::ALL.into_iter().flat_map(|method| {
            method.outcomes().iter().map(move |outcome| Self { method, outcome: *outcome })
        });
        all.into_iter().find(|one| *one.rule() == *rule)
    }

    /// Its name in scores: `DMARC_REJECT`.
    #[must_use]
    pub fn rule(self) -> Box<str> {
        format!("{}_{}", self.method.key(), self.outcome.key()).to_ascii_uppercase().into()
    }
}

/// What a result counts in one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AuthWeight {
    /// The check.
    pub method: AuthMethod,
    /// The result.
    pub outcome: AuthOutcome,
    /// What it adds to the score.
    pub points: MilliPoints,
    /// A setting asks for more than delivery: it is evidence of a class.
    pub acts: bool,
}

/// A domain whose mail comes from these networks only (TMEmS, sender IP match).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SenderNetworks {
    /// The domain, in A-labels and lower case; subdomains are not meant.
    pub domain: Box<str>,
    /// Addresses and prefixes.
    pub networks: Vec<Box<str>>,
}

impl SenderNetworks {
    fn has(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.networks.iter().any(|text| match text.parse::<ipnet::IpNet>() {
            Ok(network) => network.contains(&client),
            Err(_) => text.parse::<IpAddr>().is_ok_and(|address| address == client),
        })
    }
}

/// What each check came to. A DMARC failure that a trusted sealer vouches for is nothing.
#[must_use]
pub fn auth_evidence(found: &Authentication) -> Vec<AuthEvidence> {
    if found.left_out {
        return Vec::new();
    }
    let dmarc = match (found.dmarc.result, found.dmarc.policy) {
        (AuthResult::Fail, _) if found.dmarc.by_arc.is_some() => None,
        (AuthResult::Fail, DmarcPolicy::Reject) => Some(AuthOutcome::Reject),
        (AuthResult::Fail, DmarcPolicy::Quarantine) => Some(AuthOutcome::Quarantine),
        (result, _) => Some(AuthOutcome::of(result)),
    };
    let reverse = match found.reverse.result {
        AuthResult::Pass => Some(AuthOutcome::Pass),
        AuthResult::PermError => Some(AuthOutcome::None),
        AuthResult::Fail => Some(AuthOutcome::Fail),
        AuthResult::TempError => Some(AuthOutcome::TempError),
        _ => None,
    };
    let all = [
        (AuthMethod::Dmarc, dmarc),
        (AuthMethod::Spf, Some(AuthOutcome::of(found.spf.result))),
        (AuthMethod::Dkim, Some(AuthOutcome::of(found.dkim_result()))),
        (AuthMethod::Arc, Some(AuthOutcome::of(found.arc.result))),
        (AuthMethod::Reverse, reverse),
    ];
    let present = all.into_iter().filter_map(|(method, outcome)| Some((method, outcome?)));
    present.map(|(method, outcome)| AuthEvidence { method, outcome }).collect()
}

/// Sender IP match (TM-08): whether the client is one of those that the domain's mail comes from, for domains that are
/// listed. `domains`: of the reverse-path and of the authors.
#[must_use]
pub fn sender_ip_evidence<'d>(
    client: IpAddr,
    domains: impl Iterator<Item = &'d str>,
    listed: &[SenderNetworks],
) -> Option<AuthEvidence> {
    if listed.is_empty() {
        return None;
    }
    let entry =
        |domain: &str| listed.iter().find(|entry| entry.domain.eq_ignore_ascii_case(domain));
    let mut outcome = None;
    for entry in domains.filter_map(entry) {
        outcome = Some(AuthOutcome::Pass);
        if !entry.has(client) {
            outcome = Some(AuthOutcome::Fail);
            break;
        }
    }
    Some(AuthEvidence { method: AuthMethod::SenderIpMatch, outcome: outcome? })
}
