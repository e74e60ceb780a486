//! Macros: RFC 7208 section 7. Read when the record is, expanded when a term is evaluated. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::record::Malformed;

/// What macros stand for.
#[derive(Debug)]
pub(super) struct Values<'v> {
    /// `%{s}`: MAIL FROM, or `postmaster@` HELO.
    pub(super) sender: &'v str,
    /// `%{d}`: the domain whose record is being evaluated.
    pub(super) domain: &'v str,
    /// `%{i}`, `%{c}`, `%{v}`.
    pub(super) ip: IpAddr,
    /// `%{p}`: looked up before, where a macro needs it.
    pub(super) validated: Option<&'v str>,
    /// `%{h}`
    pub(super) helo: &'v str,
    /// `%{r}`: our own name.
    pub(super) receiver: &'v str,
    /// `%{t}`: seconds since 1970.
    pub(super) now: u64,
}

/// A string with macros in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MacroString(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

#[derive(Debug, PartialEq, Eq)]
struct Macro {
    letter: u8,
    /// URL-escaped: the letter was upper case.
    escaped: bool,
    /// Labels kept from the right; `None`: all.
    keep: Option<usize>,
    reversed: bool,
    delimiters: String,
}

impl MacroString {
    /// A macro-string. `explaining`: `%{c}`, `%{r}` and `%{t}` may stand in it (section 7.2).
    pub(super) fn parse(text: &str, explaining: bool) -> Result<Self, Malformed> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at_checked(at).ok_or(Malformed)?;
            plain.push_str(before);
            let after = after.get(1..).ok_or(Malformed)?;
            let (taken, piece) = match after.as_bytes().first() {
                Some(b'%') => (1, "%"),
                Some(b'_') => (1, " "),
                Some(b'-') => (1, "%20"),
                Some(b'{') => {
                    let end = after.find('}').ok_or(Malformed)?;
                    let inner = after.get(1..end).ok_or(Malformed)?;
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Macro(Macro::parse(inner, explaining)?));
                    (end + 1, "")
                }
                _ => return Err(Malformed),
            };
            plain.push_str(piece);
            rest = after.get(taken..).ok_or(Malformed)?;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// A domain-spec: it ends with a macro or with a top label (section 7.1).
    pub(super) fn domain(text: &str) -> Result<Self, Malformed> {
        let string = Self::parse(text, false)?;
        let ends_well = match string.0.last() {
            None => false,
            Some(Piece::Macro(_)) => true,
            Some(Piece::Text(end)) => {
                let end = end.strip_suffix('.').unwrap_or(end);
                end.rsplit_once('.').is_some_and(|(_, last)| is_top_label(last))
            }
        };
        if ends_well { Ok(string) } else { Err(Malformed) }
    }

    /// Whether it needs the validated domain.
    pub(super) fn needs_validated(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Macro(one) if one.letter == b'p'))
    }

    /// The string with its macros replaced.
    pub(super) fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Macro(one) => one.expand(values, &mut out),
            }
        }
        out
    }

    /// A name to look up: longer ones lose labels on the left until they fit (section 7.3).
    pub(super) fn expand_domain(&self, values: &Values<'_>) -> String {
        let whole = self.expand(values);
        let mut name = whole.strip_suffix('.').unwrap_or(&whole);
        while name.len() > 253 {
            match name.split_once('.') {
                Some((_, rest)) => name = rest,
                None => break,
            }
        }
        name.to_owned()
    }
}

fn is_top_label(label: &str) -> bool {
    let octets = label.as_bytes();
    let plain = octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
    let (first, last) = (octets.first(), octets.last());
    let ends = first
        .zip(last)
        .is_some_and(|(f, l)| f.is_ascii_alphanumeric() && l.is_ascii_alphanumeric());
    plain && ends && octets.iter().any(|octet| !octet.is_ascii_digit())
}

impl Macro {
    fn parse(inner: &str, explaining: bool) -> Result<Self, Malformed> {
        let letter = *inner.as_bytes().first().ok_or(Malformed)?;
        let lower = letter.to_ascii_lowercase();
        let known = b"slodiphv".contains(&lower) || (explaining && b"crt".contains(&lower));
        if !known {
            return Err(Malformed);
        }
        let rest = inner.get(1..).ok_or(Malformed)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits).ok_or(Malformed)?;
        let keep = match number {
            "" => None,
            // 128 is the most that need be supported; more labels than a name can have are all of them.
            number => match number.parse::<usize>() {
                Ok(0) => return Err(Malformed),
                Ok(keep) => Some(keep),
                Err(_) => Some(usize::MAX),
            },
        };
        let reversed = rest.starts_with(['r', 'R']);
        let delimiters = if reversed { rest.get(1..).unwrap_or_default() } else { rest };
        if !delimiters.bytes().all(|octet| b".-+,/_=".contains(&octet)) {
            return Err(Malformed);
        }
        Ok(Self {
            letter: lower,
            escaped: letter.is_ascii_uppercase(),
            keep,
            reversed,
            delimiters: if delimiters.is_empty() { ".".to_owned() } else { delimiters.to_owned() },
        })
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let (local, host) = values.sender.rsplit_once('@').unwrap_or(("postmaster", values.sender));
        let local = if local.is_empty() { "postmaster" } else { local };
        let value = match self.letter {
            b's' => format!("{local}@{host}"),
            b'l' => local.to_owned(),
            b'o' => host.to_owned(),
            b'd' => values.domain.to_owned(),
            b'i' => dotted(values.ip),
            b'p' => values.validated.unwrap_or("unknown").to_owned(),
            b'v' if values.ip.is_ipv4() => "in-addr".to_owned(),
            b'v' => "ip6".to_owned(),
            b'h' => values.helo.to_owned(),
            b'c' => values.ip.to_string(),
            b'r' => values.receiver.to_owned(),
            _ => values.now.to_string(),
        };
        let mut parts: Vec<&str> = value.split(|c: char| self.delimiters.contains(c)).collect();
        if self.reversed {
            parts.reverse();
        }
        let skip = self.keep.map_or(0, |keep| parts.len().saturating_sub(keep));
        let kept = parts.get(skip..).unwrap_or_default().join(".");
        match self.escaped {
            false => out.push_str(&kept),
            true => escape(&kept, out),
        }
    }
}

/// RFC 3986: all but unreserved characters.
fn escape(text: &str, out: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
}

/// Section 7.3: IPv6 addresses as nibbles.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            let digits: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            digits.join(".")
        }
    }
}
