//! Author mailboxes: the addresses of the `From:` header fields, for lists that match on them.

use mail_parser::{Address, HeaderValue, MessageParser};

use serde::{Deserialize, Serialize};

use super::View;
use super::field::{Field, decode_field};
use crate::envelope::Mailbox;

/// Authors that are looked at; more than this is an attack on the lists, not a letter.
const AUTHORS_MAX: usize = 20;

/// Characters of a display name that are kept.
const NAME_CHARS_MAX: usize = 200;
/// Octets of an address that are kept: RFC 5321 allows 254.
const ADDRESS_BYTES_MAX: usize = 320;

/// A mailbox with the name that a reader sees before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedMailbox {
    /// Display name, decoded, quotes removed; empty if there is none. At most 200 characters.
    pub name: Box<str>,
    /// `local-part@domain`, lower case, domain in A-labels.
    pub address: Box<str>,
}

impl NamedMailbox {
    /// What is behind the last `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// The mailboxes of all fields of this name, without the names.
#[must_use]
pub fn mailboxes(view: &View<'_>, name: &str) -> Vec<Mailbox> {
    let mut section = Vec::new();
    for field in view.fields_named(name) {
        section.extend_from_slice(b"From:");
        section.extend_from_slice(&field.raw_value);
        section.extend_from_slice(b"\r\n");
    }
    if section.is_empty() { Vec::new() } else { authors(&section) }
}

/// The mailboxes of an address field (RFC 5322 section 3.4) with their names, at most 20. What has no address is left
/// out.
#[must_use]
pub fn named_mailboxes(field: &Field<'_>) -> Vec<NamedMailbox> {
    let mut found = Vec::new();
    let (mut start, mut quoted, mut angle, mut comment) = (0_usize, false, false, 0_usize);
    let raw = &*field.raw_value;
    for (at, octet) in raw.iter().enumerate() {
        match octet {
            b'"' if comment == 0 && (at == 0 || raw.get(at - 1) != Some(&b'\\')) => {
                quoted = !quoted
            }
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b'(' if !quoted => comment += 1,
            b')' if !quoted => comment = comment.saturating_sub(1),
            b',' | b';' if !quoted && !angle && comment == 0 && found.len() < AUTHORS_MAX => {
                found.extend(named(raw.get(start..at).unwrap_or_default()));
                start = at + 1;
            }
            _ => {}
        }
    }
    if found.len() < AUTHORS_MAX {
        found.extend(named(raw.get(start..).unwrap_or_default()));
    }
    found
}

/// One mailbox: `Name <address>`, `address (Name)` or `address`.
fn named(raw: &[u8]) -> Option<NamedMailbox> {
    let raw = raw.trim_ascii();
    let opening = memchr::memrchr(b'<', raw);
    let (name, address) = match opening.and_then(|at| Some((raw.get(..at)?, raw.get(at + 1..)?))) {
        Some((name, rest)) => (name, rest.split(|octet| *octet == b'>').next().unwrap_or_default()),
        None => match memchr::memchr(b'(', raw) {
            Some(at) => (raw.get(at + 1..)?.strip_suffix(b")").unwrap_or_default(), raw.get(..at)?),
            None => (&b""[..], raw),
        },
    };
    let address = decode_field(address.get(..ADDRESS_BYTES_MAX).unwrap_or(address));
    // The display name of a group stands before a colon.
    let address = address.rsplit(':').next().unwrap_or_default();
    let address = to_mailbox(address)?.key();
    let name = decode_field(name);
    let name = name.trim().trim_matches(['"', '\'']).trim();
    let name: String = name.chars().filter(|c| *c != '\\').take(NAME_CHARS_MAX).collect();
    Some(NamedMailbox { name: name.into(), address: address.into() })
}

/// The mailboxes of every `From:` field of a header section, in order, without duplicates. What is
/// not an address is left out; display names never count.
#[must_use]
pub fn authors(header_section: &[u8]) -> Vec<Mailbox> {
    let Some(message) = MessageParser::new().with_address_headers().parse_headers(header_section)
    else {
        return Vec::new();
    };
    let mut found: Vec<Mailbox> = Vec::new();
    for field in message.headers() {
        if !field.name().eq_ignore_ascii_case("from") {
            continue;
        }
        let HeaderValue::Address(addresses) = &field.value else { continue };
        for text in address_texts(addresses) {
            if let Some(mailbox) = to_mailbox(text)
                && !found.contains(&mailbox)
                && found.len() < AUTHORS_MAX
            {
                found.push(mailbox);
            }
        }
    }
    found
}

fn address_texts<'a>(addresses: &'a Address<'_>) -> Vec<&'a str> {
    addresses.iter().filter_map(|address| address.address()).collect()
}

/// `local@domain` in the canonical form of the tables: domain in A-labels, lower case.
fn to_mailbox(text: &str) -> Option<Mailbox> {
    let (local_part, domain) = text.trim().rsplit_once('@')?;
    let local_part = local_part.trim().trim_matches('"');
    let domain = idna::domain_to_ascii(domain.trim()).ok()?;
    (!local_part.is_empty() && !domain.is_empty()).then(|| Mailbox::new(local_part, &domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: &[&str]) {
        let found: Vec<_> = authors(header.as_bytes()).iter().map(Mailbox::key).collect();
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn names_are_what_a_reader_sees() {
        let check = |value: &'static str, expected: &[(&str, &str)]| {
            let field = Field::new("From".into(), value.as_bytes().into());
            let found = named_mailboxes(&field);
            let found: Vec<_> = found.iter().map(|one| (&*one.name, &*one.address)).collect();
            assert_eq!(found, expected, "{value}");
        };
        check("Anna <Anna@Example.COM>", &[("Anna", "anna@example.com")]);
        check("\"Amazon, Inc.\" <x@evil.example>", &[("Amazon, Inc.", "x@evil.example")]);
        check("x@evil.example (The Bank)", &[("The Bank", "x@evil.example")]);
        check(
            "=?UTF-8?B?5bGx55Sw?= <yamada@example.jp>, b@example.org",
            &[("山田", "yamada@example.jp"), ("", "b@example.org")],
        );
        check("\"boss@bank.example\" <x@evil.example>", &[("boss@bank.example", "x@evil.example")]);
        check(
            "team: a@example.com, B <b@example.com>;",
            &[("", "a@example.com"), ("B", "b@example.com")],
        );
        check("nobody", &[]);
    }

    #[test]
    fn every_author_counts_and_display_names_do_not() {
        check("From: Anna <anna@Example.COM>\r\n\r\n", &["anna@example.com"]);
        check(
            "From: a@example.com, B <b@example.org>\r\nFrom: c@example.net\r\n\r\n",
            &["a@example.com", "b@example.org", "c@example.net"],
        );
        check("From: \"boss@bank.example\" <x@evil.example>\r\n\r\n", &["x@evil.example"]);
        check(
            "From: =?UTF-8?B?5bGx55Sw?= <yamada@xn--wgv71a119e.example>\r\n\r\n",
            &["yamada@xn--wgv71a119e.example"],
        );
        check("From: nobody\r\nSubject: x\r\n\r\n", &[]);
        check("Subject: x\r\n\r\n", &[]);
    }
}
