//! XCLIENT as Postfix defines it: a trusted front says who the client is. Only from named addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::command::parameters;
use super::error::SessionError;
use super::grammar;
use super::step::Step;
use super::{Phase, Session, Xclient};

/// What an XCLIENT command says. `None` = not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    address: Option<IpAddr>,
    port: Option<u16>,
    local_address: Option<IpAddr>,
    local_port: Option<u16>,
    /// `Some(None)`: said to be unavailable.
    name: Option<Option<Box<str>>>,
    helo: Option<Option<Box<str>>>,
    esmtp: Option<bool>,
}

fn parse(argument: &str) -> Result<Said, SessionError> {
    let mut said = Said::default();
    if argument.is_empty() {
        return Err(SessionError::Argument);
    }
    // `parameters` wants the space before the first one.
    let argument = format!(" {argument}");
    for item in parameters(&argument) {
        let (keyword, value) = item.map_err(|_| SessionError::Argument)?;
        let value =
            grammar::decode_xtext(value.unwrap_or_default()).ok_or(SessionError::Argument)?;
        attribute(&mut said, &keyword.to_ascii_uppercase(), &value)
            .ok_or(SessionError::Argument)?;
    }
    Ok(said)
}

/// `None` if keyword or value make no sense.
fn attribute(said: &mut Said, keyword: &str, value: &str) -> Option<()> {
    let unavailable =
        value.eq_ignore_ascii_case("[UNAVAILABLE]") || value.eq_ignore_ascii_case("[TEMPUNAVAIL]");
    match keyword {
        "ADDR" if !unavailable => said.address = Some(address(value)?),
        "DESTADDR" if !unavailable => said.local_address = Some(address(value)?),
        "PORT" if !unavailable => said.port = Some(value.parse().ok()?),
        "DESTPORT" if !unavailable => said.local_port = Some(value.parse().ok()?),
        "NAME" if !unavailable => said.name = Some(Some(name(value)?)),
        "HELO" if !unavailable => said.helo = Some(Some(name(value)?)),
        "NAME" => said.name = Some(None),
        "HELO" => said.helo = Some(None),
        "PROTO" if value.eq_ignore_ascii_case("SMTP") => said.esmtp = Some(false),
        "PROTO" if value.eq_ignore_ascii_case("ESMTP") => said.esmtp = Some(true),
        // We trust no login of others; there is nothing to do without an address or port.
        "LOGIN" | "ADDR" | "DESTADDR" | "PORT" | "DESTPORT" | "PROTO" if unavailable => {}
        "LOGIN" => {}
        _ => return None,
    }
    Some(())
}

fn address(value: &str) -> Option<IpAddr> {
    match value.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPV6:") => {
            rest.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
        }
        _ => value.parse().ok(),
    }
}

/// A name that may stand in a trace field.
fn name(value: &str) -> Option<Box<str>> {
    let fine = !value.is_empty()
        && value.len() <= crate::limits::DOMAIN_BYTES_MAX
        && value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._:[]".contains(&octet));
    fine.then(|| value.into())
}

impl Session {
    /// Handles XCLIENT: the session begins anew with the client that was named.
    pub(super) fn xclient(&mut self, argument: &str) -> Option<Step> {
        if self.xclient == Xclient::Refused {
            return self.fail(SessionError::UnknownCommand);
        }
        if !matches!(self.phase, Phase::Greeted | Phase::Identified) {
            return self.fail(SessionError::InTransaction);
        }
        let said = match parse(argument) {
            Ok(said) => said,
            Err(error) => return self.fail(error),
        };
        let client = &mut self.client;
        if let Some(address) = said.address {
            client.address.set_ip(address);
            // The name belonged to the other address.
            client.name = None;
        }
        if let Some(port) = said.port {
            client.address.set_port(port);
        }
        if let Some(address) = said.local_address {
            client.local.set_ip(address);
        }
        if let Some(port) = said.local_port {
            client.local.set_port(port);
        }
        if let Some(name) = said.name {
            client.name = name;
        }
        if let Some(esmtp) = said.esmtp {
            client.esmtp = esmtp;
        }
        if let Some(helo) = said.helo {
            client.helo = helo.clone().unwrap_or_default();
            self.xclient_helo = helo;
        }
        self.phase = Phase::Start;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_xtext_and_nonsense_is_refused() {
        let said =
            parse("NAME=spike.example.org ADDR=168.100.189.2 PORT=2525 PROTO=ESMTP").unwrap();
        assert_eq!(said.name, Some(Some("spike.example.org".into())));
        assert_eq!(said.address, Some("168.100.189.2".parse().unwrap()));
        assert_eq!((said.port, said.esmtp), (Some(2525), Some(true)));
        let said =
            parse("addr=IPV6:2001:db8::1 name=[UNAVAILABLE] helo=a+2Eb DESTADDR=[tempunavail]")
                .unwrap();
        assert_eq!(said.address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(said.name, Some(None));
        assert_eq!(said.helo, Some(Some("a.b".into())));
        assert_eq!(said.local_address, None);
        let said = parse("ADDR=IPV6:::ffff:192.0.2.1").unwrap();
        assert_eq!(said.address, Some("192.0.2.1".parse().unwrap()), "lists know it so");
        for wrong in [
            "",
            "ADDR",
            "ADDR=",
            "ADDR=1.2.3",
            "ADDR=1.2.3.4.5",
            "PORT=65536",
            "PORT=-1",
            "PROTO=LMTP",
            "COLOUR=blue",
            "HELO=a+0D+0Ab",
            "NAME=a(b)",
            "NAME=+FF",
            "NAME=a+2",
        ] {
            assert_eq!(parse(wrong), Err(SessionError::Argument), "{wrong}");
        }
    }
}
