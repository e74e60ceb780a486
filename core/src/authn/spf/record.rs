//! The record of RFC 7208 section 12, read whole before any of it is evaluated: one wrong term makes all of it a
//! permerror (section 4.6). Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::expand::MacroString;
use crate::authn::AuthResult;

/// Terms in a record: more than DNS can carry usefully.
const TERMS_MAX: usize = 1_000;

/// A record.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// In order.
    pub(super) directives: Vec<Directive>,
    /// `redirect=`
    pub(super) redirect: Option<MacroString>,
    /// `exp=`
    pub(super) exp: Option<MacroString>,
}

/// A mechanism and what it means if it matches.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) qualifier: AuthResult,
    pub(super) mechanism: Mechanism,
    /// As it is written, for the record of what matched.
    pub(super) text: Box<str>,
}

/// Bits of a network prefix that count, for each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// RFC 7208 section 5.
#[derive(Debug)]
pub(super) enum Mechanism {
    All,
    Include(MacroString),
    A(Option<MacroString>, Prefixes),
    Mx(Option<MacroString>, Prefixes),
    Ptr(Option<MacroString>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(MacroString),
}

/// The record is not well-formed: permerror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether a TXT record is one of SPF (section 4.5).
pub(super) fn is_spf(text: &[u8]) -> bool {
    let version = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"v=spf1"));
    version && matches!(text.get(6), None | Some(b' '))
}

impl Record {
    /// Reads what [`is_spf`] took.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
        let terms = text.get(6..).ok_or(Malformed)?;
        let mut record = Self::default();
        for (number, term) in terms.split(' ').filter(|term| !term.is_empty()).enumerate() {
            if number >= TERMS_MAX || !term.bytes().all(|octet| octet.is_ascii_graphic()) {
                return Err(Malformed);
            }
            match modifier(term) {
                Some((name, value)) => record.modify(name, value)?,
                None => record.directives.push(directive(term)?),
            }
        }
        Ok(record)
    }

    fn modify(&mut self, name: &str, value: &str) -> Result<(), Malformed> {
        let slot = match () {
            () if name.eq_ignore_ascii_case("redirect") => &mut self.redirect,
            () if name.eq_ignore_ascii_case("exp") => &mut self.exp,
            () => {
                // Unknown ones are ignored, but they have to be well-formed (section 6).
                return MacroString::parse(value, true).map(drop);
            }
        };
        // Section 6: at most once.
        match slot.replace(MacroString::domain(value)?) {
            Some(_) => Err(Malformed),
            None => Ok(()),
        }
    }
}

/// `name=value`, if the term is a modifier.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut octets = name.bytes();
    let first = octets.next()?.is_ascii_alphabetic();
    let rest = octets.all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    (first && rest).then_some((name, value))
}

fn directive(term: &str) -> Result<Directive, Malformed> {
    let (qualifier, rest) = match term.as_bytes().first() {
        Some(b'+') => (AuthResult::Pass, term.get(1..)),
        Some(b'-') => (AuthResult::Fail, term.get(1..)),
        Some(b'~') => (AuthResult::SoftFail, term.get(1..)),
        Some(b'?') => (AuthResult::Neutral, term.get(1..)),
        _ => (AuthResult::Pass, Some(term)),
    };
    let rest = rest.unwrap_or_default();
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, argument) = rest.split_at_checked(end).ok_or(Malformed)?;
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if argument.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(MacroString::domain(value(argument)?)?),
        "exists" => Mechanism::Exists(MacroString::domain(value(argument)?)?),
        "a" => {
            let (domain, prefixes) = domain_and_prefixes(argument)?;
            Mechanism::A(domain, prefixes)
        }
        "mx" => {
            let (domain, prefixes) = domain_and_prefixes(argument)?;
            Mechanism::Mx(domain, prefixes)
        }
        "ptr" if argument.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(MacroString::domain(value(argument)?)?)),
        "ip4" => {
            let (address, bits) = network(value(argument)?, 32)?;
            Mechanism::Ip4(address.parse().map_err(|_| Malformed)?, bits)
        }
        "ip6" => {
            let (address, bits) = network(value(argument)?, 128)?;
            Mechanism::Ip6(address.parse().map_err(|_| Malformed)?, bits)
        }
        _ => return Err(Malformed),
    };
    Ok(Directive { qualifier, mechanism, text: term.into() })
}

/// What stands behind the colon.
fn value(argument: &str) -> Result<&str, Malformed> {
    argument.strip_prefix(':').ok_or(Malformed)
}

fn network(text: &str, bits_max: u8) -> Result<(&str, u8), Malformed> {
    match text.split_once('/') {
        None => Ok((text, bits_max)),
        Some((address, bits)) => Ok((address, prefix(bits, bits_max)?)),
    }
}

/// A number without leading zeros.
fn prefix(text: &str, bits_max: u8) -> Result<u8, Malformed> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !plain || leading_zero {
        return Err(Malformed);
    }
    text.parse().ok().filter(|bits| *bits <= bits_max).ok_or(Malformed)
}

/// `[":" domain-spec] [dual-cidr-length]`. A domain-spec may hold a slash, so the lengths are taken from the end.
fn domain_and_prefixes(argument: &str) -> Result<(Option<MacroString>, Prefixes), Malformed> {
    let mut rest = argument;
    let mut prefixes = Prefixes { v4: 32, v6: 128 };
    if let Some((before, bits)) = trailing(rest, "//") {
        prefixes.v6 = prefix(bits, 128)?;
        rest = before;
    }
    if let Some((before, bits)) = trailing(rest, "/") {
        prefixes.v4 = prefix(bits, 32)?;
        rest = before;
    }
    match rest.is_empty() {
        true => Ok((None, prefixes)),
        false => Ok((Some(MacroString::domain(value(rest)?)?), prefixes)),
    }
}

/// Splits `before`, `mark`, digits.
fn trailing<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let (before, digits) = text.rsplit_once(mark)?;
    let number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    number.then_some((before, digits))
}
