//! Mailboxes, paths and the envelope (RFC 5321 sections 2.3.11 and 4.1.2), and what is known of the
//! client. Values only: the grammar that makes them from octets is `session::grammar`.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Our id of one accepted message (not the Message-ID field): UUID version 7, so ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailId(pub uuid::Uuid);

impl MailId {
    /// A fresh id. `random` comes from the caller (house invariant 5).
    #[must_use]
    pub fn from_parts(unix: crate::clock::UnixMillis, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix.0, &random).into_uuid())
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl fmt::Debug for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MailId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::try_parse(text).map(Self)
    }
}

/// A mailbox `local-part@domain`. UTF-8. The local-part is kept as the client wrote it, quotes
/// removed; the domain is lower case, in A-label form, or an address literal with its brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mailbox {
    /// Local-part, unquoted.
    pub local_part: Box<str>,
    /// Domain: A-labels in lower case, or `[literal]`.
    pub domain: Box<str>,
}

impl Mailbox {
    /// A mailbox of parts that are already in canonical form.
    #[must_use]
    pub fn new(local_part: &str, domain: &str) -> Self {
        Self { local_part: local_part.into(), domain: domain.into() }
    }

    /// The form that tables are keyed by: lower case, unquoted.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}@{}", self.local_part.to_lowercase(), self.domain)
    }

    /// The form for SMTP commands and header fields: local-part quoted where RFC 5321 needs it.
    #[must_use]
    pub fn to_path(&self) -> String {
        let atext = |c: char| {
            c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
        };
        let dot_string = !self.local_part.is_empty()
            && self.local_part.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext));
        if dot_string {
            return format!("{}@{}", self.local_part, self.domain);
        }
        let mut quoted = String::with_capacity(self.local_part.len() + 4);
        for c in self.local_part.chars() {
            if c == '"' || c == '\\' {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        format!("\"{quoted}\"@{}", self.domain)
    }

    /// Whether a next hop needs SMTPUTF8 for it.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local_part.is_ascii() && self.domain.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_path())
    }
}

/// The argument of MAIL FROM; `None` is the null reverse-path `<>`.
pub type ReversePath = Option<Mailbox>;

/// NOTIFY of RFC 3461 section 4.1. All false means the parameter was absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// NEVER: no report at all.
    pub never: bool,
    /// SUCCESS.
    pub success: bool,
    /// FAILURE.
    pub failure: bool,
    /// DELAY.
    pub delay: bool,
}

impl Notify {
    /// Whether a failure may be reported to the reverse-path: asked for, or nothing was said.
    #[must_use]
    pub fn reports_failure(self) -> bool {
        !self.never && (self.failure || !(self.success || self.delay))
    }

    /// What both ask for together: of a recipient that was named twice, whoever wants to hear of it does.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, same) if one == same => one,
            (Self { never: true, .. }, other) | (other, Self { never: true, .. }) => other,
            (one, other) => Self {
                never: false,
                success: one.success || other.success,
                failure: one.reports_failure() || other.reports_failure(),
                delay: one.delay || other.delay,
            },
        }
    }
}

/// RET of RFC 3461 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// Whole message.
    Full,
    /// Header section only.
    Headers,
}

/// BODY of RFC 6152 (BINARYMIME is not offered).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyType {
    /// 7BIT, or nothing said.
    #[default]
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
}

/// One accepted RCPT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// As the client named it.
    pub original: Mailbox,
    /// After domain alias and mailbox alias: who it is for, and what the next hop is told.
    pub resolved: Mailbox,
    /// NOTIFY.
    #[serde(default)]
    pub notify: Notify,
    /// ORCPT as received (`rfc822;user@example.com`), xtext kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<Box<str>>,
}

/// The envelope of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// BODY.
    #[serde(default)]
    pub body: BodyType,
    /// SMTPUTF8 was given.
    #[serde(default)]
    pub smtputf8: bool,
    /// RET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Ret>,
    /// ENVID as received, xtext kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<Box<str>>,
    /// SIZE in octets, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Accepted recipients in order.
    pub recipients: Vec<Recipient>,
}

/// Who talks to us: the peer, or what a trusted proxy (PROXY v2, XCLIENT) said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Address and port of the client.
    pub address: SocketAddr,
    /// Address and port that it reached.
    pub local: SocketAddr,
    /// Verified reverse name, if looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Argument of HELO/EHLO; empty before it.
    pub helo: Box<str>,
    /// EHLO rather than HELO.
    pub esmtp: bool,
    /// Protocol version and cipher suite when the session is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::Notify;

    #[test]
    fn of_two_wishes_to_be_told_the_wider_one_holds() {
        let absent = Notify::default();
        let never = Notify { never: true, ..absent };
        let success = Notify { success: true, ..absent };
        let failure = Notify { failure: true, ..absent };
        let delay = Notify { delay: true, ..absent };
        for (one, other, both) in [
            (absent, absent, absent),
            (never, never, never),
            (never, absent, absent),
            (never, success, success),
            (success, delay, Notify { success: true, delay: true, ..absent }),
            // Nothing said means failure (RFC 3461 section 4.1), and must go on to mean it.
            (absent, success, Notify { success: true, failure: true, ..absent }),
            (absent, failure, failure),
        ] {
            assert_eq!((one.with(other), other.with(one)), (both, both), "{one:?} {other:?}");
            assert_eq!(
                both.reports_failure(),
                one.reports_failure() || other.reports_failure(),
                "{one:?} {other:?}"
            );
        }
    }
}
