//! Author mailboxes: the addresses of the `From:` header fields, for lists that match on them.

use mail_parser::{Address, HeaderValue, MessageParser};

use serde::{Deserialize, Serialize};

use super::View;
use super::field::{Field, decode_field};
use crate::envelope::Mailbox;
use crate::limits::AUTHOR_DOMAINS_MAX;

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
        section.extend_from_slice(&section_of(field));
    }
    if section.is_empty() { Vec::new() } else { authors(&section) }
}

/// Domains that some reader may take the mail to be from, at most [`AUTHOR_DOMAINS_MAX`] and one: those of the mailboxes of
/// every `From:`, and of whatever else stands in it as an address, well-formed or not. Readers differ in which of two they
/// show, and in what they forgive; display names never count.
#[must_use]
pub fn author_domains(view: &View<'_>) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = Vec::new();
    let mut add = |mailbox: Mailbox| {
        if found.len() <= AUTHOR_DOMAINS_MAX && !found.contains(&mailbox.domain) {
            found.push(mailbox.domain);
        }
    };
    for field in view.fields_named("from") {
        let proper = authors(&section_of(field));
        let (angles, pieces) = addresses(&field.raw_value);
        // Words behind a bare address belong to no domain.
        let others = if angles.is_empty() && proper.is_empty() { pieces } else { angles };
        proper.into_iter().for_each(&mut add);
        others.into_iter().filter_map(forgiven).for_each(&mut add);
    }
    found
}

/// The field alone, as a header section with an author.
fn section_of(field: &Field<'_>) -> Vec<u8> {
    [b"From:", &*field.raw_value, b"\r\n"].concat()
}

/// Each `<...>` of a field outside of quotes and comments, and each piece between commas.
fn addresses(raw: &[u8]) -> (Vec<&[u8]>, Vec<&[u8]>) {
    let (mut inside, mut pieces) = (Vec::new(), Vec::new());
    let (mut start, mut opened) = (0, None);
    let (mut quoted, mut escaped, mut comment) = (false, false, 0_usize);
    for (at, octet) in raw.iter().enumerate() {
        let skip = std::mem::take(&mut escaped);
        match octet {
            _ if skip => {}
            b'\\' => escaped = true,
            b'"' if comment == 0 => quoted = !quoted,
            b'(' if !quoted => comment += 1,
            b')' if !quoted => comment = comment.saturating_sub(1),
            _ if quoted || comment > 0 => {}
            b'<' => opened = Some(at + 1),
            b'>' => inside.extend(opened.take().and_then(|from| raw.get(from..at))),
            b',' | b';' => {
                pieces.extend(raw.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        if inside.len() + pieces.len() >= AUTHORS_MAX {
            break;
        }
    }
    // An angle that nothing closes: the rest.
    inside.extend(opened.and_then(|from| raw.get(from..)));
    pieces.extend(raw.get(start..));
    (inside, pieces)
}

/// An address as a forgiving reader takes it: encoded, with blanks, a route, or marks behind it.
fn forgiven(raw: &[u8]) -> Option<Mailbox> {
    let text = decode_field(raw.get(..ADDRESS_BYTES_MAX).unwrap_or(raw));
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    // A comment behind it is none of it.
    let text = text.split('(').next().unwrap_or_default();
    let text = text.rsplit(':').next().unwrap_or_default();
    to_mailbox(text.trim_matches(['<', '>', '"', '\'', '@', '.']))
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
    // The root may be written, and is the same domain.
    let domain = idna::domain_to_ascii(domain.trim().trim_end_matches('.')).ok()?;
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
    fn whatever_may_pass_for_the_author_has_its_domain_asked() {
        let check = |from: &str, expected: &[&str]| {
            let raw = format!("{from}\r\n\r\n");
            let view = View::build(raw.as_bytes(), &crate::message::ViewLimits::shard());
            let found = author_domains(&view);
            assert_eq!(found.iter().map(|one| &**one).collect::<Vec<_>>(), expected, "{from}");
        };
        for alone in [
            "From: ceo@strict.test",
            "From: ceo@strict.test.",
            "From: CEO <ceo@STRICT.test>",
            "From: <ceo@strict.test@>",
            "From: <ceo @ strict.test>",
            "From: CEO <ceo@strict.test",
            "From: <@route.test:ceo@strict.test>",
            "From: =?utf-8?q?ceo=40strict=2Etest?=",
            "From: <=?utf-8?q?ceo=40strict=2Etest?=>",
            "From: ceo@strict.test (a comment, <with@other.test>)",
            "From: \"x <a@other.test>\" <ceo@strict.test>",
            "From: \"x \\\" <a@other.test>\" <ceo@strict.test>",
            "garbage line\r\nFrom: ceo@strict.test",
            "X: a\r\ngarbage line\r\nFrom: ceo@strict.test",
        ] {
            check(alone, &["strict.test"]);
        }
        let both = ["strict.test", "evil.test"];
        check("From: CEO <ceo@strict.test>, x@evil.test", &both);
        check("From: CEO <ceo@strict.test>\r\nFrom: x@evil.test", &both);
        check("From: x@evil.test\r\nFrom: <ceo@strict.test@>", &["evil.test", "strict.test"]);
        let angles = |from: &str| {
            let raw = format!("{from}\r\n\r\n");
            let view = View::build(raw.as_bytes(), &crate::message::ViewLimits::shard());
            let mut found = author_domains(&view);
            found.sort();
            found
        };
        assert_eq!(
            angles("From: <ceo@strict.test> <x@evil.test>"),
            ["evil.test".into(), "strict.test".into()]
        );
        check("From: the boss", &[]);
        check("Subject: x", &[]);
        let many: Vec<String> = (0..30).map(|n| format!("a@d{n}.test")).collect();
        assert_eq!(angles(&format!("From: {}", many.join(", "))).len(), AUTHOR_DOMAINS_MAX + 1);
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
