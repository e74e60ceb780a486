//! rbldnsd zones: lines of `ip4set`, `ip4trie`, `ip6trie`, `dnset` and a part of `generic`.
//!
//! Taken: entries, ranges, short forms (`10.1` is `10.1.0.0/16`), `!` exclusions, values
//! (`:127.0.0.2:text`, `:2:text`, a text alone), the default value of the lines that follow (a line
//! that begins with `:`), `$0` to `$9` and `$=` in texts, `$MAXRANGE4`. Directives about the zone as
//! such (`$SOA $NS $TTL $TIMESTAMP $DATASET`) are left out: it is not served.
//!
//! Another rule than rbldnsd's `ip4set`: the most specific prefix of a list decides, whatever its
//! length, where rbldnsd asks by whole octets. No zone in use was found that differs by it.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net};

use super::item;
use super::lines::LineError;
use crate::tables::hosts::Scope;

const DEFAULT_CODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What is carried from line to line.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    code: Ipv4Addr,
    text: String,
    variables: [Option<String>; 10],
    base: Option<String>,
    /// Ranges of IPv4 with more addresses are refused.
    range_max: Option<u32>,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            code: DEFAULT_CODE,
            text: String::new(),
            variables: std::array::from_fn(|_| None),
            base: None,
            range_max: None,
        }
    }
}

/// One entry of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkEntry {
    pub nets: Vec<IpNet>,
    /// A record and text; none = taken out.
    pub value: Option<(Ipv4Addr, String)>,
}

/// One entry of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostEntry {
    pub name: String,
    pub scope: Scope,
    pub excluded: bool,
}

/// What a line is after comments, directives and default values are dealt with.
enum Line<'l> {
    Nothing,
    LeftOut,
    /// Column, `!`, item, rest.
    Entry(usize, bool, &'l str, &'l str),
}

/// What came of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    Entry(T),
    Nothing,
    LeftOut,
}

impl Zone {
    fn line<'l>(&mut self, line: &'l str) -> Result<Line<'l>, LineError> {
        let start = line.len() - line.trim_start().len();
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            return Ok(Line::Nothing);
        }
        if let Some(directive) = content.strip_prefix('$') {
            return self.directive(start, directive);
        }
        if content.starts_with(':') {
            let (code, text) = self.value(start, content)?;
            (self.code, self.text) = (code, text);
            return Ok(Line::Nothing);
        }
        let (excluded, item) = match content.strip_prefix('!') {
            Some(item) => (true, item.trim_start()),
            None => (false, content),
        };
        // An item ends at a blank, or at a `:` that begins its value; IPv6 has colons of its own.
        let end = item.find([' ', '\t']).unwrap_or(item.len());
        let (name, rest) = item.split_at_checked(end).unwrap_or((item, ""));
        let (name, rest) = match name.split_once(':') {
            Some((before, _)) if before.contains('.') => item.split_at(before.len()),
            _ => (name, rest),
        };
        let column = line.find(name).unwrap_or(start);
        Ok(Line::Entry(column, excluded, name, rest.trim()))
    }

    fn directive<'l>(&mut self, at: usize, text: &str) -> Result<Line<'l>, LineError> {
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let rest = rest.trim();
        match word {
            "SOA" | "NS" | "TTL" | "TIMESTAMP" | "DATASET" | "MAXRANGE6" => Ok(Line::LeftOut),
            "=" => {
                self.base = Some(rest.to_owned());
                Ok(Line::Nothing)
            }
            "MAXRANGE4" => {
                let limit = match rest.strip_prefix('/') {
                    Some(bits) => bits
                        .parse::<u32>()
                        .ok()
                        .and_then(|bits| 32_u32.checked_sub(bits))
                        .map(|host_bits| 1_u32.checked_shl(host_bits).unwrap_or(u32::MAX)),
                    None => rest.parse().ok(),
                };
                self.range_max =
                    Some(limit.ok_or_else(|| (at, format!("`{rest}` is not a range limit")))?);
                Ok(Line::Nothing)
            }
            digit => {
                let slot = digit.parse::<usize>().ok().and_then(|n| self.variables.get_mut(n));
                let slot = slot.ok_or_else(|| (at, format!("directive `${word}` is not known")))?;
                *slot = Some(rest.to_owned());
                Ok(Line::Nothing)
            }
        }
    }

    /// `:127.0.0.2:text`, `:2:text`, `:2`, or a text alone.
    fn value(&self, at: usize, text: &str) -> Result<(Ipv4Addr, String), LineError> {
        let Some(value) = text.strip_prefix(':') else {
            return match text {
                "" => Ok((self.code, self.substituted(&self.text))),
                text if text.starts_with('#') => Ok((self.code, self.substituted(&self.text))),
                text => Ok((self.code, self.substituted(text))),
            };
        };
        let (code, text) = value.split_once(':').unwrap_or((value, ""));
        let code = match code.trim() {
            "" => self.code,
            code => match (code.parse::<Ipv4Addr>(), code.parse::<u8>()) {
                (Ok(address), _) => address,
                (_, Ok(last)) => Ipv4Addr::new(127, 0, 0, last),
                _ => return Err((at, format!("`{code}` is not an A record value"))),
            },
        };
        Ok((code, self.substituted(text.trim())))
    }

    /// Replaces `$0` to `$9` and `$=`; a single `$` stays, for the address.
    fn substituted(&self, text: &str) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let variable = match rest.peek() {
                Some('=') if c == '$' => self.base.as_ref(),
                Some(digit) if c == '$' => digit
                    .to_digit(10)
                    .and_then(|digit| self.variables.get(digit as usize))
                    .and_then(Option::as_ref),
                _ => None,
            };
            match variable {
                Some(value) => {
                    out.push_str(value);
                    rest.next();
                }
                None => out.push(c),
            }
        }
        out
    }

    /// A line of a zone of addresses.
    pub(crate) fn network(&mut self, line: &str) -> Result<Taken<NetworkEntry>, LineError> {
        let (at, excluded, text, rest) = match self.line(line)? {
            Line::Nothing => return Ok(Taken::Nothing),
            Line::LeftOut => return Ok(Taken::LeftOut),
            Line::Entry(at, excluded, text, rest) => (at, excluded, text, rest),
        };
        if let Some(record) = generic(rest) {
            let Some(code) = record else { return Ok(Taken::LeftOut) };
            let net = reversed(text).ok_or_else(|| {
                (at, format!("`{text}` is not an IPv4 address written backwards"))
            })?;
            let value = Some((code, String::new()));
            return Ok(Taken::Entry(NetworkEntry { nets: vec![net], value }));
        }
        let nets = if text.contains(':') { v6(text) } else { self.v4(text) };
        let nets = nets.map_err(|what| (at, what))?;
        let value = if excluded { None } else { Some(self.value(at, rest)?) };
        Ok(Taken::Entry(NetworkEntry { nets, value }))
    }

    /// A line of a zone of names.
    pub(crate) fn host(&mut self, line: &str) -> Result<Taken<HostEntry>, LineError> {
        let (at, excluded, text, rest) = match self.line(line)? {
            Line::Nothing => return Ok(Taken::Nothing),
            Line::LeftOut => return Ok(Taken::LeftOut),
            Line::Entry(at, excluded, text, rest) => (at, excluded, text, rest),
        };
        match generic(rest) {
            Some(None) => return Ok(Taken::LeftOut),
            Some(Some(_)) => {}
            None => drop(self.value(at, rest)?),
        }
        let (scope, name) = match (text.strip_prefix("*."), text.strip_prefix('.')) {
            (Some(name), _) => (Scope::Below, name),
            (None, Some(name)) => (Scope::Both, name),
            (None, None) => (Scope::Exact, text),
        };
        let name = item::domain(name).map_err(|what| (at, what))?;
        Ok(Taken::Entry(HostEntry { name, scope, excluded }))
    }

    fn v4(&self, text: &str) -> Result<Vec<IpNet>, String> {
        let wrong = || format!("`{text}` is not an IPv4 address, prefix or range");
        let (first, last) = match text.split_once('-') {
            Some((from, to)) => {
                let (first, octets) = short_v4(from).ok_or_else(wrong)?;
                let last = match to.parse::<u8>() {
                    // `10.1.2.3-7`: the last octet that was written changes.
                    Ok(octet) => {
                        let shift = 8 * (4 - octets);
                        let kept = first & !(0xff_u32 << shift);
                        kept | u32::from(octet) << shift | low_bits(shift)
                    }
                    Err(_) => {
                        let (last, octets) = short_v4(to).ok_or_else(wrong)?;
                        last | low_bits(8 * (4 - octets))
                    }
                };
                (first, last)
            }
            None => {
                let (address, bits) = match text.split_once('/') {
                    Some((address, bits)) => {
                        (address, Some(bits.parse::<u8>().map_err(|_| wrong())?))
                    }
                    None => (text, None),
                };
                let (first, octets) = short_v4(address).ok_or_else(wrong)?;
                let bits = bits.map_or(8 * octets, u32::from);
                let host_bits = 32_u32.checked_sub(bits).ok_or_else(wrong)?;
                (first & !low_bits(host_bits), first | low_bits(host_bits))
            }
        };
        if last < first {
            return Err(format!("`{text}`: the range ends before it begins"));
        }
        if let Some(limit) = self.range_max
            && last - first >= limit
        {
            return Err(format!(
                "`{text}` has {} addresses, $MAXRANGE4 allows {limit}",
                u64::from(last - first) + 1
            ));
        }
        let nets = Ipv4Subnets::new(Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last), 0);
        Ok(nets.map(IpNet::V4).collect())
    }
}

/// All ones in the lowest `bits` bits.
fn low_bits(bits: u32) -> u32 {
    u32::MAX.checked_shr(32_u32.saturating_sub(bits)).unwrap_or(0)
}

/// One to four octets; the missing ones are 0.
fn short_v4(text: &str) -> Option<(u32, u32)> {
    let (mut address, mut octets) = (0_u32, 0_u32);
    for octet in text.trim_end_matches('.').split('.') {
        let value: u8 = octet.parse().ok()?;
        octets += 1;
        if octets > 4 {
            return None;
        }
        address |= u32::from(value) << (8 * (4 - octets));
    }
    Some((address, octets))
}

fn v6(text: &str) -> Result<Vec<IpNet>, String> {
    let wrong = || format!("`{text}` is not an IPv6 address or prefix");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, bits.parse::<u8>().map_err(|_| wrong())?),
        None => (text, 128),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
    let net = Ipv6Net::new(address, bits).map_err(|_| wrong())?.trunc();
    Ok(vec![IpNet::V6(net)])
}

/// `[ttl] A address`, `[ttl] TXT ..`: the A record's value; `Some(None)` for other record types.
fn generic(rest: &str) -> Option<Option<Ipv4Addr>> {
    let mut words = rest.split_whitespace();
    let mut word = words.next()?;
    if word.bytes().all(|octet| octet.is_ascii_digit()) {
        word = words.next()?;
    }
    match word {
        "A" => words.next()?.parse().ok().map(Some),
        "TXT" | "MX" | "AAAA" => Some(None),
        _ => None,
    }
}

/// `4.3.2.1` is 1.2.3.4, as in a DNS name.
fn reversed(text: &str) -> Option<IpNet> {
    let [d, c, b, a] = text.parse::<Ipv4Addr>().ok()?.octets();
    Ipv4Net::new(Ipv4Addr::new(a, b, c, d), 32).ok().map(IpNet::V4)
}
