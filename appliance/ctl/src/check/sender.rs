//! Who sent a mail file: as the options say, or as the trace fields of a trusted hop say.

use std::net::IpAddr;

use sekisho_core::envelope::Mailbox;
use sekisho_core::message::{View, author_domains};

use crate::arguments::CheckArguments;
use crate::list::mailbox;
use crate::outcome::Failure;

/// Client, HELO and reverse-path, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    /// Address of the client.
    pub(super) client: Option<IpAddr>,
    /// What it said in HELO.
    pub(super) helo: Option<String>,
    /// Reverse-path; none where it is null or unknown.
    pub(super) reverse_path: Option<Mailbox>,
    /// Somebody said what the reverse-path was.
    pub(super) is_path_known: bool,
    /// Domains that the mail may be from.
    pub(super) author_domains: Vec<Box<str>>,
}

impl Sender {
    /// Options win over trace fields, and those are read only where a trusted hop is named.
    ///
    /// # Errors
    /// `--from` is no address.
    pub(super) fn find(view: &View<'_>, arguments: &CheckArguments) -> Result<Self, Failure> {
        let mut sender = if arguments.trusted_hop.is_empty() {
            Self::default()
        } else {
            Self::of_trace(view, &arguments.trusted_hop)
        };
        if let Some(client) = arguments.client {
            sender.client = Some(client);
        }
        if let Some(helo) = &arguments.helo {
            sender.helo = Some(helo.clone());
        }
        sender.author_domains = author_domains(view);
        sender.is_path_known |= arguments.from.is_some();
        match arguments.from.as_deref() {
            None => {}
            Some("" | "<>") => sender.reverse_path = None,
            Some(from) => sender.reverse_path = Some(mailbox("check --from", from)?),
        }
        Ok(sender)
    }

    /// From the top: the first `Received` field whose client is not a trusted hop was written by one,
    /// and names the client that we would have seen. What is below it anybody may have written.
    fn of_trace(view: &View<'_>, trusted: &[ipnet::IpNet]) -> Self {
        let mut sender = Self::default();
        for field in view.fields_named("received") {
            let Some((helo, client)) = received(&field.value) else { break };
            sender.helo = Some(helo);
            sender.client = Some(client);
            if !trusted.iter().any(|net| net.contains(&client)) {
                break;
            }
        }
        let path = view.fields_named("return-path").next();
        let path = path.map(|field| field.value.trim().trim_matches(['<', '>']).to_owned());
        let is_null = path.as_ref().is_some_and(String::is_empty);
        sender.reverse_path = path.and_then(|path| mailbox("path", &path).ok());
        // What cannot be read is not known.
        sender.is_path_known = is_null || sender.reverse_path.is_some();
        sender
    }
}

/// `from HELO (name [192.0.2.1]) by ...`: HELO and the address in brackets before `by`.
fn received(value: &str) -> Option<(String, IpAddr)> {
    let rest = value.trim_start().strip_prefix("from")?;
    let before_by = rest.split(" by ").next().unwrap_or(rest);
    let helo = before_by.split_whitespace().next()?.to_owned();
    let mut parts = before_by.split('[').skip(1);
    let address = parts.find_map(|part| {
        let literal = part.split(']').next()?;
        let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
        literal.parse().ok()
    })?;
    Some((helo, address))
}

#[cfg(test)]
mod tests {
    use super::{Sender, received};
    use sekisho_core::message::{View, ViewLimits};

    #[test]
    fn the_client_is_read_from_every_usual_way_of_writing_it() {
        for (value, helo, address) in [
            (
                "from a.example (b.example [192.0.2.1]) by mx.test with ESMTP",
                "a.example",
                "192.0.2.1",
            ),
            ("from a.example ([192.0.2.1]) by mx.test", "a.example", "192.0.2.1"),
            ("from [192.0.2.7] (unknown [192.0.2.7]) by mx.test", "[192.0.2.7]", "192.0.2.7"),
            ("from a (b [IPv6:2001:db8::1]) by mx.test", "a", "2001:db8::1"),
        ] {
            let want = Some((helo.to_owned(), address.parse().unwrap()));
            assert_eq!(received(value), want, "{value}");
        }
        assert_eq!(received("by mx.test with local"), None);
        assert_eq!(
            received("from a by mx.test [192.0.2.1]"),
            None,
            "what follows `by` is the server"
        );
    }

    #[test]
    fn trace_fields_are_believed_down_to_the_first_hop_that_is_not_trusted() {
        let mail = b"Return-Path: <a@example.com>\r\n\
            Received: from in.test (in.test [10.0.0.5]) by store.test\r\n\
            Received: from evil.example (evil.example [192.0.2.66]) by in.test\r\n\
            Received: from bank.example (bank.example [198.51.100.1]) by evil.example\r\n\r\n";
        let view = View::build(mail, &ViewLimits::shard());
        let sender = Sender::of_trace(&view, &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(sender.client, Some("192.0.2.66".parse().unwrap()));
        assert_eq!(sender.helo.as_deref(), Some("evil.example"));
        assert_eq!(sender.reverse_path.unwrap().to_string(), "a@example.com");
    }
}
