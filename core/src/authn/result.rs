//! What the checks say, in the words of RFC 8601.

use serde::{Deserialize, Serialize};

/// A result of one method. RFC 8601 section 2.7; each method uses some of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AuthResult {
    /// Nothing to check.
    #[default]
    None,
    /// The domain says nothing of this client; a signature that cannot be used.
    Neutral,
    /// It is so.
    Pass,
    /// It is not.
    Fail,
    /// Probably not (SPF).
    SoftFail,
    /// Passed, but we do not accept it.
    Policy,
    /// No answer now: the DNS, or a deadline of ours.
    TempError,
    /// What was published is wrong.
    PermError,
}

impl AuthResult {
    /// The keyword of RFC 8601.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// SPF of one identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpfCheck {
    /// RFC 7208 section 2.6.
    pub result: AuthResult,
    /// The domain that was checked, in A-labels.
    pub domain: Box<str>,
    /// The term that matched, as it is written in the record; empty if none did.
    pub matched: Box<str>,
    /// What the domain says about its "fail".
    pub explanation: Option<Box<str>>,
}

/// One DKIM signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DkimCheck {
    /// RFC 8601 section 2.7.1.
    pub result: AuthResult,
    /// `d=`, empty for a signature that cannot be read.
    pub domain: Box<str>,
    /// `s=`
    pub selector: Box<str>,
    /// `a=`
    pub algorithm: Box<str>,
    /// Why, if it did not pass.
    pub reason: Box<str>,
}

/// What a domain owner asks for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum DmarcPolicy {
    /// Nothing.
    #[default]
    None,
    /// To be suspicious.
    Quarantine,
    /// Not to take it.
    Reject,
}

impl DmarcPolicy {
    /// As it is published.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// DMARC of the author's domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DmarcCheck {
    /// none: no policy is published, or there is not one author domain.
    pub result: AuthResult,
    /// The author's domain, in A-labels.
    pub domain: Box<str>,
    /// The policy in force for it, whatever the result.
    pub policy: DmarcPolicy,
    /// SPF passed for a domain that aligns.
    pub spf_aligned: bool,
    /// A signature of a domain that aligns passed.
    pub dkim_aligned: bool,
    /// There are several author domains; this is the strictest result.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub several: bool,
    /// It failed here, but this forwarder, whose seals we believe, saw it pass.
    pub by_arc: Option<Box<str>>,
}

/// The ARC chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArcCheck {
    /// none, pass or fail (RFC 8617 section 4.4); temperror and permerror for its keys.
    pub result: AuthResult,
    /// First sealer first.
    pub sealers: Vec<ArcSealer>,
    /// Why, if it did not pass.
    pub reason: Box<str>,
}

/// One set of an ARC chain: who sealed, and what he says he saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArcSealer {
    /// `d=` of the seal.
    pub domain: Box<str>,
    /// His result of DMARC.
    pub dmarc: AuthResult,
    /// The author's domain that it is about (`header.from`), if he says so.
    pub author: Option<Box<str>>,
}

/// Whether the client's address has a name that leads back to it (RFC 8601 section 3, iprev).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReverseCheck {
    /// pass, fail, temperror, permerror (it has no name).
    pub result: AuthResult,
    /// The first name that leads back, else the first name.
    pub name: Box<str>,
}

/// Everything that was found out about who sent a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authentication {
    /// SPF of MAIL FROM; of HELO for the null reverse-path.
    pub spf: SpfCheck,
    /// SPF of HELO, where MAIL FROM was checked, too.
    pub helo: Option<SpfCheck>,
    /// Signatures in the order of the header.
    pub dkim: Vec<DkimCheck>,
    /// The author's domain.
    pub dmarc: DmarcCheck,
    /// The chain of forwarders.
    pub arc: ArcCheck,
    /// The client's address.
    pub reverse: ReverseCheck,
    /// Not asked: switched off, or the mail was not from outside.
    pub left_out: bool,
    /// Its reader broke on the mail: nobody knows who sent it, and that is the mail's own fault.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
}

impl Authentication {
    /// Nothing was checked.
    #[must_use]
    pub fn left_out() -> Self {
        Self { left_out: true, ..Self::default() }
    }

    /// Nothing could be found out in time.
    #[must_use]
    pub fn unanswered() -> Self {
        let mut all = Self::default();
        all.spf.result = AuthResult::TempError;
        all.dmarc.result = AuthResult::TempError;
        all.reverse.result = AuthResult::TempError;
        all
    }

    /// The reader of signatures broke on it.
    #[must_use]
    pub fn unreadable() -> Self {
        Self { unreadable: true, ..Self::unanswered() }
    }

    /// Believes these forwarders (lower case): where DMARC fails here and the chain of seals holds, what one of them saw
    /// counts if nobody sealed after him whom we do not believe.
    pub fn believe(&mut self, trusted: &[Box<str>]) {
        let fails = self.dmarc.result == AuthResult::Fail && self.arc.result == AuthResult::Pass;
        // A seal speaks for one author.
        if !fails || self.dmarc.several {
            return;
        }
        let author = &self.dmarc.domain;
        let believed = self.arc.sealers.iter().rev().take_while(|sealer| {
            trusted.iter().any(|domain| domain.eq_ignore_ascii_case(&sealer.domain))
        });
        let mut saw = believed.filter(|sealer| {
            let same = sealer.author.as_ref().is_none_or(|one| one.eq_ignore_ascii_case(author));
            sealer.dmarc == AuthResult::Pass && same
        });
        self.dmarc.by_arc = saw.next().map(|sealer| sealer.domain.clone());
    }

    /// The best result of all signatures: one that passes is what counts (RFC 6376 section 6.1).
    #[must_use]
    pub fn dkim_result(&self) -> AuthResult {
        let rank = |result: AuthResult| match result {
            AuthResult::Pass => 0,
            AuthResult::TempError => 1,
            AuthResult::Fail => 2,
            AuthResult::Policy => 3,
            AuthResult::Neutral | AuthResult::SoftFail => 4,
            AuthResult::PermError => 5,
            AuthResult::None => 6,
        };
        let results = self.dkim.iter().map(|check| check.result);
        results.min_by_key(|result| rank(*result)).unwrap_or_default()
    }
}
