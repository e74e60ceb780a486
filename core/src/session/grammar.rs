//! The address grammar of RFC 5321 section 4.1.2 with RFC 6531, from octets to `envelope` values.
//!
//! What decides about relaying is the domain after the last unquoted `@`, nothing else: `%`, `!` and a
//! quoted `@` in a local-part are ordinary characters, a source route is dropped. More is let in than
//! the grammar allows where real mail needs it (decision 0042): dots anywhere in an unquoted local-part
//! (Japanese carriers gave out `a..b.@`), underscores in domains, local-parts beyond 64 octets.
//! Nothing here allocates but the `Mailbox` that comes out.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::PathError;
use crate::envelope::Mailbox;
use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_TOLERATED, PATH_BYTES_MAX};

/// What stands between the angle brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `<>`.
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
    /// `<Postmaster>` in any case, without a domain.
    Postmaster,
}

/// A path and what follows it on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedPath<'a> {
    /// The path.
    pub path: Path,
    /// It has octets above 127, so it needs SMTPUTF8.
    pub internationalized: bool,
    /// The rest of the line after `>`.
    pub rest: &'a str,
}

/// Reads `<...>` at the start of `input`; spaces before it are forgiven.
///
/// # Errors
/// The client is at fault, permanently.
pub fn path(input: &str, local_part_bytes_max: usize) -> Result<ParsedPath<'_>, PathError> {
    let inner = input.trim_start_matches(' ').strip_prefix('<').ok_or(PathError::Syntax)?;
    let end = closing_bracket(inner).ok_or(PathError::Syntax)?;
    let (inner, rest) = inner.split_at_checked(end).ok_or(PathError::Syntax)?;
    let rest = rest.strip_prefix('>').ok_or(PathError::Syntax)?;
    if inner.len() + 2 > PATH_BYTES_MAX {
        return Err(PathError::PathTooLong);
    }
    let internationalized = !inner.is_ascii();
    let path = if inner.is_empty() {
        Path::Null
    } else if inner.eq_ignore_ascii_case("postmaster") {
        Path::Postmaster
    } else {
        Path::Mailbox(mailbox(without_source_route(inner)?, local_part_bytes_max)?)
    };
    Ok(ParsedPath { path, internationalized, rest })
}

/// Where the first `>` outside a quoted string is.
fn closing_bracket(inner: &str) -> Option<usize> {
    let mut quoted = false;
    let mut octets = inner.bytes().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                octets.next();
            }
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Drops `@a,@b:`. RFC 5321 section 4.1.1.3 and appendix C: must be accepted, should be ignored.
fn without_source_route(inner: &str) -> Result<&str, PathError> {
    let mut rest = inner;
    while let Some(route) = rest.strip_prefix('@') {
        // An address literal holds colons of its own: `@[IPv6:::1]:user@c`.
        let literal_end =
            if route.starts_with('[') { route.find(']').ok_or(PathError::Syntax)? } else { 0 };
        let tail = route.get(literal_end..).unwrap_or_default();
        let end = literal_end + tail.find([',', ':']).ok_or(PathError::Syntax)?;
        domain(route.get(..end).unwrap_or_default())?;
        let mark = route.as_bytes().get(end).copied();
        rest = route.get(end + 1..).unwrap_or_default();
        match mark {
            Some(b':') => return Ok(rest),
            _ if rest.starts_with('@') => {}
            _ => return Err(PathError::Syntax),
        }
    }
    Ok(rest)
}

/// Reads a whole `local-part@domain`.
///
/// # Errors
/// The client (or whoever wrote the address) is at fault, permanently.
pub fn mailbox(input: &str, local_part_bytes_max: usize) -> Result<Mailbox, PathError> {
    let (local_part, rest) = match input.strip_prefix('"') {
        Some(quoted) => {
            let (local_part, rest) = quoted_string(quoted)?;
            (local_part, rest)
        }
        None => {
            let end = input.find('@').unwrap_or(input.len());
            let (local_part, rest) = input.split_at_checked(end).ok_or(PathError::Syntax)?;
            if local_part.is_empty() || !local_part.chars().all(|c| c == '.' || is_atext(c)) {
                return Err(PathError::Syntax);
            }
            (Box::from(local_part), rest)
        }
    };
    if local_part.len() > local_part_bytes_max {
        return Err(PathError::LocalPartTooLong);
    }
    match rest.strip_prefix('@') {
        Some(name) => Ok(Mailbox { local_part, domain: domain(name)? }),
        None if rest.is_empty() => Err(PathError::NoDomain),
        None => Err(PathError::Syntax),
    }
}

/// Reads a mailbox with the widest limits: for configuration, lists and command lines.
///
/// # Errors
/// As [`mailbox`].
pub fn any_mailbox(input: &str) -> Result<Mailbox, PathError> {
    mailbox(input, LOCAL_PART_BYTES_TOLERATED)
}

/// atext of RFC 5322 section 3.2.3, with RFC 6531's UTF8-non-ascii. C1 controls are no letters.
fn is_atext(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
        | '`' | '{' | '|' | '}' | '~' => true,
        _ => !c.is_ascii() && !c.is_control() && !c.is_whitespace(),
    }
}

/// Reads a quoted string after its opening quote: the text without quotes, and the rest.
fn quoted_string(input: &str) -> Result<(Box<str>, &str), PathError> {
    let mut text = String::new();
    let mut chars = input.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let rest = input.get(at + 1..).unwrap_or_default();
                return Ok((text.into_boxed_str(), rest));
            }
            '\\' => match chars.next() {
                Some((_, escaped @ ' '..='~')) => text.push(escaped),
                _ => return Err(PathError::Syntax),
            },
            _ if c.is_control() => return Err(PathError::Syntax),
            _ => text.push(c),
        }
    }
    Err(PathError::Syntax)
}

/// Reads a domain or an address literal into its canonical form: A-labels in lower case, or the
/// literal in brackets with the address as the standard library writes it.
///
/// # Errors
/// The client (or whoever wrote the name) is at fault, permanently.
pub fn domain(input: &str) -> Result<Box<str>, PathError> {
    if let Some(literal) = input.strip_prefix('[') {
        return address_literal(literal.strip_suffix(']').ok_or(PathError::Syntax)?);
    }
    if input.len() > PATH_BYTES_MAX {
        return Err(PathError::DomainTooLong);
    }
    let mut name = if input.is_ascii() {
        String::from(input)
    } else {
        // UTS 46 maps and may bring in characters that no domain has: checked again below.
        idna::domain_to_ascii(input).map_err(|_| PathError::Idna)?
    };
    name.make_ascii_lowercase();
    check_ascii_domain(&name)?;
    Ok(name.into_boxed_str())
}

/// sub-domains of letters, digits, hyphens inside, and underscores, which real sender domains have.
fn check_ascii_domain(name: &str) -> Result<(), PathError> {
    if name.len() > DOMAIN_BYTES_MAX {
        return Err(PathError::DomainTooLong);
    }
    for label in name.split('.') {
        let fine = !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
        if !fine {
            return Err(PathError::Syntax);
        }
        if label.len() > 63 {
            return Err(PathError::DomainTooLong);
        }
    }
    Ok(())
}

/// `127.0.0.1` or `IPv6:::1`; the general form of RFC 5321 has no registered tag and is refused.
fn address_literal(text: &str) -> Result<Box<str>, PathError> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(format!("[{address}]").into_boxed_str());
    }
    let (tag, address) = text.split_at_checked(5).ok_or(PathError::Syntax)?;
    if !tag.eq_ignore_ascii_case("IPv6:") {
        return Err(PathError::Syntax);
    }
    let address: Ipv6Addr = address.parse().map_err(|_| PathError::Syntax)?;
    Ok(format!("[IPv6:{address}]").into_boxed_str())
}

/// Whether `local_part` could make another server route the mail on: percent hack, bang path, or an `@`
/// of its own. Never a reason for us to relay; a domain may refuse such characters (SM-51).
#[must_use]
pub fn is_source_routed(local_part: &str) -> bool {
    local_part.contains(['%', '!', '@'])
}

/// xtext of RFC 3461 section 4: printable ASCII without `=`, `+` only before two upper case hex digits.
#[must_use]
pub fn is_xtext(text: &str) -> bool {
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'+' => {
                let hex = |octet: Option<u8>| matches!(octet, Some(b'0'..=b'9' | b'A'..=b'F'));
                if !hex(octets.next()) || !hex(octets.next()) {
                    return false;
                }
            }
            b'=' => return false,
            b'!'..=b'~' => {}
            _ => return false,
        }
    }
    true
}

/// Decodes xtext; lower case hex digits are forgiven. `None` if it is malformed or not UTF-8.
#[must_use]
pub fn decode_xtext(text: &str) -> Option<String> {
    let mut octets = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        if octet != b'+' {
            decoded.push(octet);
            continue;
        }
        let high = char::from(octets.next()?).to_digit(16)?;
        let low = char::from(octets.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// Fuzz entry: any octets; a mailbox that comes out must read back as itself.
pub fn fuzz_grammar(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = is_xtext(&text);
    let _ = decode_xtext(&text);
    if let Ok(name) = domain(&text) {
        assert_eq!(domain(&name).as_deref(), Ok(&*name), "canonical form is stable");
    }
    if let Ok(parsed) = path(&text, LOCAL_PART_BYTES_TOLERATED)
        && let Path::Mailbox(found) = parsed.path
    {
        assert!(found.domain.is_ascii());
        assert_eq!(any_mailbox(&found.to_path()).as_ref(), Ok(&found), "{found:?}");
    }
}
