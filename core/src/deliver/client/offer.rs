//! What a hop offers in its EHLO reply, RFC 5321 section 4.1.1.1.

use crate::reply::Reply;

/// Extensions we know how to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 1870: offered at all.
    pub size: bool,
    /// RFC 1870: largest message in octets; `None` = no fixed maximum.
    pub size_max: Option<u64>,
    /// RFC 9422: most recipients of one transaction.
    pub recipients_max: Option<usize>,
    /// RFC 9422: most transactions of one connection.
    pub mails_max: Option<u32>,
}

impl Offer {
    /// Reads the lines behind the first one.
    pub(crate) fn from_reply(reply: &Reply) -> Self {
        let mut offer = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => offer.pipelining = true,
                "CHUNKING" => offer.chunking = true,
                "8BITMIME" => offer.eight_bit_mime = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "DSN" => offer.dsn = true,
                "STARTTLS" => offer.starttls = true,
                "SIZE" => {
                    offer.size = true;
                    offer.size_max =
                        words.next().and_then(|word| word.parse().ok()).filter(|max| *max > 0);
                }
                "LIMITS" => words.for_each(|word| offer.limit(word)),
                _ => {}
            }
        }
        offer
    }

    fn limit(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else { return };
        match name.to_ascii_uppercase().as_str() {
            // A limit of 0 would forbid all mail: nonsense, ignored (RFC 9422 section 3).
            "RCPTMAX" => self.recipients_max = value.parse().ok().filter(|max| *max > 0),
            "MAILMAX" => self.mails_max = value.parse().ok().filter(|max| *max > 0),
            _ => {}
        }
    }
}
