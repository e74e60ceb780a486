//! Author mailboxes: the addresses of the `From:` header fields, for lists that match on them.

use mail_parser::{Address, HeaderValue, MessageParser};

use crate::envelope::Mailbox;

/// Authors that are looked at; more than this is an attack on the lists, not a letter.
const AUTHORS_MAX: usize = 20;

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
