//! MAIL, RFC 5321 section 4.1.1.2, with SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET and
//! ENVID (RFC 3461) and AUTH (RFC 4954 section 5: read, judged by its form, not used).

use crate::envelope::{BodyType, Envelope, Ret};

use super::command::{parameters, strip_keyword};
use super::error::SessionError;
use super::grammar::{self, Path};
use super::settings::SessionConfig;
use super::step::Step;
use super::{Phase, Question, Session};

/// Longest ENVID, RFC 3461 section 4.4.
const ENVID_BYTES_MAX: usize = 100;

/// Reads the argument of MAIL into a fresh envelope.
///
/// # Errors
/// The client is at fault: address, parameters, or a size above the limit (SM-62).
pub(super) fn parse(argument: &str, config: &SessionConfig) -> Result<Envelope, SessionError> {
    let argument = strip_keyword(argument, "FROM:").ok_or(SessionError::Argument)?;
    let parsed =
        grammar::path(argument, config.local_part_bytes_max).map_err(SessionError::ReversePath)?;
    let reverse_path = match parsed.path {
        Path::Null => None,
        Path::Mailbox(mailbox) => Some(mailbox),
        Path::Postmaster => {
            return Err(SessionError::ReversePath(super::error::PathError::NoDomain));
        }
    };
    let mut envelope = Envelope { reverse_path, ..Envelope::default() };
    let mut seen = Seen::default();
    for item in parameters(parsed.rest) {
        let (keyword, value) = item?;
        let parameter = Parameter::of(keyword, config)?;
        seen.once(parameter)?;
        apply(&mut envelope, parameter, value)?;
    }
    if parsed.internationalized && !envelope.smtputf8 {
        return Err(SessionError::Utf8Undeclared);
    }
    if envelope.size.is_some_and(|size| size > config.message_bytes_max) {
        return Err(SessionError::MessageTooBig);
    }
    Ok(envelope)
}

/// The parameters of MAIL that are served. The number is the bit in [`Seen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    Size = 1,
    Body = 2,
    SmtpUtf8 = 4,
    Ret = 8,
    Envid = 16,
    Auth = 32,
}

impl Parameter {
    fn of(keyword: &str, config: &SessionConfig) -> Result<Self, SessionError> {
        let capabilities = &config.capabilities;
        [
            ("SIZE", Self::Size, true),
            ("BODY", Self::Body, true),
            ("SMTPUTF8", Self::SmtpUtf8, capabilities.smtputf8),
            ("RET", Self::Ret, capabilities.dsn),
            ("ENVID", Self::Envid, capabilities.dsn),
            ("AUTH", Self::Auth, true),
        ]
        .into_iter()
        .find(|(name, _, offered)| *offered && keyword.eq_ignore_ascii_case(name))
        .map(|(_, parameter, _)| parameter)
        .ok_or(SessionError::ParameterUnknown)
    }
}

#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn once(&mut self, parameter: Parameter) -> Result<(), SessionError> {
        let bit = parameter as u8;
        if self.0 & bit != 0 {
            return Err(SessionError::ParameterSyntax);
        }
        self.0 |= bit;
        Ok(())
    }
}

fn apply(
    envelope: &mut Envelope,
    parameter: Parameter,
    value: Option<&str>,
) -> Result<(), SessionError> {
    const WRONG: SessionError = SessionError::ParameterSyntax;
    if parameter == Parameter::SmtpUtf8 {
        envelope.smtputf8 = true;
        return if value.is_some() { Err(WRONG) } else { Ok(()) };
    }
    let value = value.ok_or(WRONG)?;
    match parameter {
        Parameter::Size => {
            if value.len() > 20 || !value.bytes().all(|octet| octet.is_ascii_digit()) {
                return Err(WRONG);
            }
            // 20 digits may be more than 64 bits hold; that is above every limit.
            envelope.size = Some(value.parse().unwrap_or(u64::MAX));
        }
        Parameter::Body => {
            envelope.body = if value.eq_ignore_ascii_case("7BIT") {
                BodyType::SevenBit
            } else if value.eq_ignore_ascii_case("8BITMIME") {
                BodyType::EightBitMime
            } else if value.eq_ignore_ascii_case("BINARYMIME") {
                return Err(SessionError::ParameterValue);
            } else {
                return Err(WRONG);
            };
        }
        Parameter::Ret => {
            envelope.ret = if value.eq_ignore_ascii_case("FULL") {
                Some(Ret::Full)
            } else if value.eq_ignore_ascii_case("HDRS") {
                Some(Ret::Headers)
            } else {
                return Err(WRONG);
            };
        }
        Parameter::Envid => {
            if value.len() > ENVID_BYTES_MAX || !grammar::is_xtext(value) {
                return Err(WRONG);
            }
            envelope.envid = Some(value.into());
        }
        Parameter::Auth => {
            // We authenticate nobody, so this says nothing that we could trust.
            if !grammar::is_xtext(value) {
                return Err(WRONG);
            }
        }
        Parameter::SmtpUtf8 => {}
    }
    Ok(())
}

impl Session {
    /// Handles MAIL.
    pub(super) fn mail(&mut self, argument: &str) -> Option<Step> {
        match self.phase {
            Phase::Identified => {}
            Phase::Greeted => return self.fail(SessionError::NoHelo),
            _ => return self.fail(SessionError::NestedMail),
        }
        match parse(argument, &self.config) {
            Ok(envelope) => {
                if self.transactions >= self.config.transactions_max {
                    return self.over_limit("too many transactions in this session");
                }
                self.transactions += 1;
                self.transaction().envelope = envelope;
                self.ask(Question::Mail, Step::AskMail)
            }
            Err(error) => self.fail(error),
        }
    }
}
