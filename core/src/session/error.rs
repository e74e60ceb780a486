//! What a client can do wrong, and the reply that follows from it: one place, one table test.

use crate::reply::{Enhanced, Reply};

/// Who has to act on an error (house style, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The SMTP client, or the proxy before it.
    Client,
    /// We have no room for more of it.
    Ourselves,
}

/// What is wrong with a path or mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not the grammar of RFC 5321 section 4.1.2.
    #[error("syntax error in address")]
    Syntax,
    /// A mailbox without a domain.
    #[error("address needs a domain")]
    NoDomain,
    /// RFC 5321 section 4.5.3.1.1.
    #[error("local-part too long")]
    LocalPartTooLong,
    /// RFC 5321 section 4.5.3.1.2, or a label of more than 63 octets.
    #[error("domain too long")]
    DomainTooLong,
    /// RFC 5321 section 4.5.3.1.3.
    #[error("path too long")]
    PathTooLong,
    /// Not a domain after IDNA processing (RFC 5890, UTS 46).
    #[error("domain is not a valid internationalized domain name")]
    Idna,
}

/// Everything that a client can do wrong in a session. The text is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not a command of SMTP.
    #[error("command not recognized")]
    UnknownCommand,
    /// A command that exists and is not served here.
    #[error("command not implemented")]
    NotImplemented,
    /// Longer than `limits::COMMAND_LINE_BYTES_MAX`.
    #[error("command line too long")]
    CommandTooLong,
    /// A control character in a command, a bare CR among them.
    #[error("control character in command")]
    ControlCharacter,
    /// A bare LF ended the command, and the listener refuses those.
    #[error("command line must end with CR LF")]
    BareLineFeed,
    /// An argument where none belongs, none where one belongs, or a malformed one.
    #[error("syntax error in argument")]
    Argument,
    /// HELO or EHLO without a usable name.
    #[error("a domain name or address literal is needed")]
    HeloName,
    /// MAIL's path.
    #[error("{0}")]
    ReversePath(PathError),
    /// RCPT's path.
    #[error("{0}")]
    ForwardPath(PathError),
    /// An address outside ASCII without SMTPUTF8. RFC 6531 section 3.5.
    #[error("internationalized address needs SMTPUTF8")]
    Utf8Undeclared,
    /// A parameter of MAIL or RCPT with a malformed or missing value, or given twice.
    #[error("syntax error in parameter")]
    ParameterSyntax,
    /// A parameter of an extension that was not offered.
    #[error("parameter not recognized")]
    ParameterUnknown,
    /// A known parameter with a value that is not served (BODY=BINARYMIME).
    #[error("parameter value not implemented")]
    ParameterValue,
    /// SIZE, a chunk, or the content itself, is above the limit. RFC 1870 section 6.
    #[error("message too big")]
    MessageTooBig,
    /// No HELO or EHLO yet.
    #[error("send HELO or EHLO first")]
    NoHelo,
    /// MAIL inside a transaction.
    #[error("transaction already open")]
    NestedMail,
    /// RCPT, DATA or BDAT without MAIL.
    #[error("send MAIL first")]
    NoMail,
    /// DATA or BDAT without RCPT.
    #[error("send RCPT first")]
    NoRecipient,
    /// DATA or BDAT, and every RCPT was refused.
    #[error("no valid recipients")]
    NoValidRecipient,
    /// More than RCPTMAX.
    #[error("too many recipients")]
    TooManyRecipients,
    /// RCPT or DATA after BDAT. RFC 3030 section 2.
    #[error("not after BDAT")]
    AfterBdat,
    /// BDAT after a failed one: RSET is needed.
    #[error("transaction failed, send RSET")]
    TransactionFailed,
    /// BDAT whose size cannot be read: the framing is lost and the session must end.
    #[error("syntax error in chunk size")]
    ChunkSize,
    /// STARTTLS in an encrypted session.
    #[error("session is encrypted already")]
    TlsActive,
    /// XCLIENT inside a transaction.
    #[error("not inside a transaction")]
    InTransaction,
    /// A bare CR or LF in the content, and the listener refuses those.
    #[error("bare CR or LF in message")]
    BareLineEnd,
    /// A content line longer than `limits::CONTENT_LINE_BYTES_MAX`.
    #[error("line too long in message")]
    ContentLineTooLong,
    /// The session was refused in the greeting: only QUIT is left.
    #[error("no service for you here, send QUIT")]
    SessionRefused,
}

impl SessionError {
    /// Reply code and enhanced status code.
    #[must_use]
    pub fn codes(self) -> (u16, Enhanced) {
        match self {
            Self::UnknownCommand
            | Self::CommandTooLong
            | Self::ControlCharacter
            | Self::BareLineFeed => (500, Enhanced(5, 5, 2)),
            Self::NotImplemented => (502, Enhanced(5, 5, 1)),
            Self::Argument | Self::HeloName | Self::ParameterSyntax | Self::ChunkSize => {
                (501, Enhanced(5, 5, 4))
            }
            Self::ReversePath(_) => (501, Enhanced(5, 1, 7)),
            Self::ForwardPath(_) => (501, Enhanced(5, 1, 3)),
            Self::Utf8Undeclared => (553, Enhanced(5, 6, 7)),
            Self::ParameterUnknown => (555, Enhanced(5, 5, 4)),
            Self::ParameterValue => (504, Enhanced(5, 5, 4)),
            Self::MessageTooBig => (552, Enhanced(5, 3, 4)),
            Self::NoHelo
            | Self::NestedMail
            | Self::NoMail
            | Self::NoRecipient
            | Self::AfterBdat
            | Self::TransactionFailed
            | Self::TlsActive
            | Self::InTransaction
            | Self::SessionRefused => (503, Enhanced(5, 5, 1)),
            Self::NoValidRecipient => (554, Enhanced(5, 5, 1)),
            Self::TooManyRecipients => (452, Enhanced(4, 5, 3)),
            Self::BareLineEnd => (550, Enhanced(5, 5, 2)),
            Self::ContentLineTooLong => (554, Enhanced(5, 6, 0)),
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn fault(self) -> Fault {
        if self.permanent() { Fault::Client } else { Fault::Ourselves }
    }

    /// Whether trying again unchanged is useless.
    #[must_use]
    pub fn permanent(self) -> bool {
        self.codes().0 >= 500
    }

    /// The reply to the client.
    #[must_use]
    pub fn reply(self) -> Reply {
        let (code, enhanced) = self.codes();
        Reply::new(code, enhanced, self.to_string())
    }
}

/// What is wrong with a PROXY header. The connection is closed without a word: the peer is a proxy
/// that the operator named, and no SMTP client would understand the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Not a PROXY protocol version 2 header.
    #[error("not a PROXY v2 header")]
    NotProxy,
    /// Longer than any header with the addresses that we read.
    #[error("PROXY header of {0} octets, at most {max} are read", max = super::proxy::HEADER_BYTES_MAX)]
    TooLong(usize),
    /// A stream over neither IPv4 nor IPv6.
    #[error("PROXY header without an IPv4 or IPv6 stream address")]
    Family,
}

impl ProxyError {
    /// Who has to act.
    #[must_use]
    pub fn fault(self) -> Fault {
        Fault::Client
    }

    /// Whether trying again unchanged is useless.
    #[must_use]
    pub fn permanent(self) -> bool {
        true
    }
}
