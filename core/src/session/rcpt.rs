//! RCPT, RFC 5321 section 4.1.1.3, with NOTIFY and ORCPT (RFC 3461).

use crate::envelope::Notify;

use super::command::{parameters, strip_keyword};
use super::error::{PathError, SessionError};
use super::grammar::{self, Path};
use super::settings::SessionConfig;
use super::step::{ForwardPath, RcptTo, Step};
use super::{Phase, Question, Session};

/// Longest ORCPT, RFC 3461 section 4.2.
const ORCPT_BYTES_MAX: usize = 500;

/// Reads the argument of RCPT.
///
/// # Errors
/// The client is at fault: address or parameters.
pub(super) fn parse(
    argument: &str,
    config: &SessionConfig,
    smtputf8: bool,
) -> Result<RcptTo, SessionError> {
    let argument = strip_keyword(argument, "TO:").ok_or(SessionError::Argument)?;
    let parsed =
        grammar::path(argument, config.local_part_bytes_max).map_err(SessionError::ForwardPath)?;
    let path = match parsed.path {
        Path::Null => return Err(SessionError::ForwardPath(PathError::Syntax)),
        Path::Mailbox(mailbox) => ForwardPath::Mailbox(mailbox),
        Path::Postmaster => ForwardPath::Postmaster,
    };
    if parsed.internationalized && !smtputf8 {
        return Err(SessionError::Utf8Undeclared);
    }
    let mut rcpt = RcptTo { path, notify: Notify::default(), orcpt: None };
    for item in parameters(parsed.rest) {
        let (keyword, value) = item?;
        if !config.capabilities.dsn {
            return Err(SessionError::ParameterUnknown);
        } else if keyword.eq_ignore_ascii_case("NOTIFY") {
            if rcpt.notify != Notify::default() {
                return Err(SessionError::ParameterSyntax);
            }
            rcpt.notify = notify(value.unwrap_or_default()).ok_or(SessionError::ParameterSyntax)?;
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            let value = value.unwrap_or_default();
            if rcpt.orcpt.is_some() || !is_orcpt(value, smtputf8) {
                return Err(SessionError::ParameterSyntax);
            }
            rcpt.orcpt = Some(value.into());
        } else {
            return Err(SessionError::ParameterUnknown);
        }
    }
    Ok(rcpt)
}

/// `NEVER`, or a list of the others. RFC 3461 section 4.1.
fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify { never: true, ..Notify::default() });
    }
    let mut notify = Notify::default();
    for word in value.split(',') {
        let flag = if word.eq_ignore_ascii_case("SUCCESS") {
            &mut notify.success
        } else if word.eq_ignore_ascii_case("FAILURE") {
            &mut notify.failure
        } else if word.eq_ignore_ascii_case("DELAY") {
            &mut notify.delay
        } else {
            return None;
        };
        *flag = true;
    }
    Some(notify)
}

/// `addr-type ";" xtext`; with SMTPUTF8 also the forms of RFC 6533 section 3, of which the
/// characters are checked, not the escapes.
fn is_orcpt(value: &str, smtputf8: bool) -> bool {
    let Some((kind, address)) = value.split_once(';') else { return false };
    let kind_fine = !kind.is_empty()
        && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let utf8 = smtputf8
        && kind.eq_ignore_ascii_case("utf-8")
        && !address.is_empty()
        && address.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '=');
    value.len() <= ORCPT_BYTES_MAX && kind_fine && (utf8 || grammar::is_xtext(address))
}

impl Session {
    /// Handles RCPT.
    pub(super) fn rcpt(&mut self, argument: &str) -> Option<Step> {
        match self.phase {
            Phase::Mail => {}
            Phase::Greeted => return self.fail(SessionError::NoHelo),
            Phase::Chunks | Phase::ChunksFailed => return self.fail(SessionError::AfterBdat),
            _ => return self.fail(SessionError::NoMail),
        }
        match parse(argument, &self.config, self.envelope().smtputf8) {
            // Who is named again costs us the same work.
            Ok(_)
                if self.envelope().recipients.len() + self.repeated_recipients
                    >= self.config.recipients_max =>
            {
                let reply = SessionError::TooManyRecipients.reply();
                reply.write_to(&mut self.output);
                self.count_refused(&reply)
            }
            Ok(rcpt) => self.ask(Question::Rcpt, Step::AskRcpt(rcpt)),
            Err(error) => {
                self.refused_in_transaction = true;
                self.fail(error)
            }
        }
    }
}
