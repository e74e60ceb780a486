//! HELO and EHLO, RFC 5321 section 4.1.1.1, and what we offer.

use std::io::Write as _;

use super::error::SessionError;
use super::step::Step;
use super::{Phase, Session, Xclient, grammar};

/// Which of the two greetings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Helo,
    Ehlo,
}

/// A name that can stand in a Received field. RFC 5321 section 4.1.4 forbids refusing mail because the
/// name does not verify, and real clients send host names that are no domains: any word of harmless
/// characters will do. Brackets, quotes and the like never, since the name is written into the trace.
fn is_name(argument: &str) -> bool {
    grammar::domain(argument).is_ok()
        || (!argument.is_empty()
            && argument.len() <= crate::limits::DOMAIN_BYTES_MAX
            && argument
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet)))
}

impl Session {
    /// Handles HELO and EHLO: a new start, like RSET.
    pub(super) fn helo(&mut self, greeting: Greeting, argument: &str) -> Option<Step> {
        if !argument.is_ascii() || !is_name(argument) {
            return self.fail(SessionError::HeloName);
        }
        if self.phase != Phase::Greeted && !self.may_idle() {
            return None;
        }
        self.reset_transaction();
        self.phase = Phase::Identified;
        let (name, esmtp) = match &self.xclient_helo {
            Some(name) => (name.clone(), self.client.esmtp),
            None => (argument.into(), greeting == Greeting::Ehlo),
        };
        self.client.helo = name;
        self.client.esmtp = esmtp;
        match greeting {
            Greeting::Helo => {
                self.output.extend_from_slice(b"250 ");
                self.output.extend_from_slice(self.config.host_name.as_bytes());
                self.output.extend_from_slice(b"\r\n");
            }
            Greeting::Ehlo => self.offer(),
        }
        None
    }

    /// The answer to EHLO. Only what has something behind it (issue 2 section 2).
    fn offer(&mut self) {
        let config = &self.config;
        let capabilities = &config.capabilities;
        let output = &mut self.output;
        let mut line = |wanted: bool, text: &str| {
            if wanted {
                output.extend_from_slice(b"250-");
                output.extend_from_slice(text.as_bytes());
                output.extend_from_slice(b"\r\n");
            }
        };
        line(true, &config.host_name);
        line(true, "PIPELINING");
        line(true, "8BITMIME");
        line(true, "ENHANCEDSTATUSCODES");
        line(capabilities.chunking, "CHUNKING");
        line(capabilities.smtputf8, "SMTPUTF8");
        line(capabilities.dsn, "DSN");
        line(capabilities.starttls && self.client.tls.is_none(), "STARTTLS");
        line(
            self.xclient == Xclient::Offered,
            "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT",
        );
        // Writing to a Vec cannot fail.
        let _ = write!(
            self.output,
            "250-SIZE {}\r\n250 LIMITS RCPTMAX={} MAILMAX={}\r\n",
            config.message_bytes_max, config.recipients_max, config.transactions_max
        );
    }
}
