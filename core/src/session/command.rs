//! One command line to verb and argument. No allocation: the argument borrows the line.

use super::error::SessionError;

/// The commands that we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    Xclient,
    /// Known and not served: EXPN, AUTH, and what RFC 5321 appendix F retired.
    NotServed,
    /// The first word of an HTTP request: a browser was made to talk to us.
    Http,
}

const VERBS: [(&str, Verb); 27] = [
    ("RCPT", Verb::Rcpt),
    ("MAIL", Verb::Mail),
    ("DATA", Verb::Data),
    ("EHLO", Verb::Ehlo),
    ("BDAT", Verb::Bdat),
    ("QUIT", Verb::Quit),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("HELO", Verb::Helo),
    ("STARTTLS", Verb::StartTls),
    ("VRFY", Verb::Vrfy),
    ("HELP", Verb::Help),
    ("XCLIENT", Verb::Xclient),
    ("EXPN", Verb::NotServed),
    ("AUTH", Verb::NotServed),
    ("ETRN", Verb::NotServed),
    ("TURN", Verb::NotServed),
    ("SEND", Verb::NotServed),
    ("SOML", Verb::NotServed),
    ("SAML", Verb::NotServed),
    ("GET", Verb::Http),
    ("POST", Verb::Http),
    ("PUT", Verb::Http),
    ("HEAD", Verb::Http),
    ("OPTIONS", Verb::Http),
    ("CONNECT", Verb::Http),
    ("PRI", Verb::Http),
];

/// A command line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    pub(super) verb: Verb,
    /// Without the spaces around it. Valid UTF-8 without control characters.
    pub(super) argument: &'a str,
}

/// Takes a line without its line end apart. RFC 5321 section 2.4: verbs in any case.
///
/// # Errors
/// The client is at fault: unknown verb, control characters, not UTF-8.
pub(super) fn parse(line: &[u8]) -> Result<Command<'_>, SessionError> {
    let text = std::str::from_utf8(line).map_err(|_| {
        // Octets that are no UTF-8 never belong into a verb; say what is wrong with the argument.
        let known = line.split(|octet| *octet == b' ').next().is_some_and(|word| {
            VERBS.iter().any(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        });
        if known { SessionError::Argument } else { SessionError::UnknownCommand }
    })?;
    let text = text.trim_end_matches([' ', '\t']);
    if text.bytes().any(|octet| octet.is_ascii_control()) {
        return Err(SessionError::ControlCharacter);
    }
    let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
    let verb = VERBS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, verb)| *verb)
        .ok_or(SessionError::UnknownCommand)?;
    Ok(Command { verb, argument: argument.trim_start_matches(' ') })
}

/// Drops `keyword` (such as `FROM:`) from the start of `argument`, in any case.
pub(super) fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then_some(rest)
}

/// The parameters after a path: `keyword` or `keyword=value`, RFC 5321 section 4.1.2.
///
/// Each item is keyword and value, or the error that it is malformed.
pub(super) fn parameters(
    rest: &str,
) -> impl Iterator<Item = Result<(&str, Option<&str>), SessionError>> {
    // `<a@b>SIZE=1`: a parameter must be set off by a space.
    let glued = !rest.is_empty() && !rest.starts_with(' ');
    let words = rest.split(' ').filter(|word| !word.is_empty());
    glued.then_some(Err(SessionError::ParameterSyntax)).into_iter().chain(words.map(parameter))
}

fn parameter(word: &str) -> Result<(&str, Option<&str>), SessionError> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let keyword_fine = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let value_fine = value.is_none_or(|value| !value.is_empty() && !value.contains('='));
    if keyword_fine && value_fine {
        Ok((keyword, value))
    } else {
        Err(SessionError::ParameterSyntax)
    }
}
