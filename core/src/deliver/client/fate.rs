//! What became of a recipient at a hop, and why a connection ended.

use super::{EightBitRule, Nonsense, Offer, Transaction, ours};
use crate::envelope::{BodyType, Recipient};
use crate::reply::{Enhanced, Reply};

/// What became of one recipient at one hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not named to the hop yet. Never seen by the caller.
    Open,
    /// The hop took RCPT; the content is still to come. Never seen by the caller.
    Named,
    /// The hop took the message.
    Taken(Reply),
    /// Not taken; may be tried again.
    Later(Reply),
    /// Refused for good.
    Never(Reply),
    /// The content was sent to its end and no answer came.
    Unknown(Reply),
    /// Above the hop's limit for one transaction (LIMITS RCPTMAX): try it in the next one.
    NotTried,
}

impl Fate {
    /// What a 4yz or 5yz makes of a recipient; `None` for 2yz and 3yz, which are no refusal.
    pub(super) fn of_refusal(reply: &Reply) -> Option<Self> {
        if reply.is_transient() {
            Some(Self::Later(reply.clone()))
        } else if reply.is_permanent() {
            Some(Self::Never(reply.clone()))
        } else {
            None
        }
    }
}

/// Why a connection is of no use any more. All of them are temporary: they say something of the hop, nothing
/// of the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The greeting was not 220. A 554 there is about our connection, not about this mail.
    Greeting(Reply),
    /// EHLO and HELO were refused.
    Hello(Reply),
    /// TLS is required and not offered.
    NoTls,
    /// TLS is required and STARTTLS was refused.
    TlsRefused(Reply),
    /// The handshake failed, with its error.
    Handshake(String),
    /// The hop does not speak SMTP.
    Nonsense(Nonsense),
    /// 421 at any time, or a refused RSET.
    Shutdown(Reply),
    /// The hop closed the connection.
    Closed,
    /// The hop was silent for too long.
    TimedOut,
    /// The socket or our own disk failed, with the error.
    Io(String),
}

impl Failure {
    /// The failure as a reply; for everything the hop did not say itself, one of ours.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let temporary = |detail, text: String| Reply::new(450, Enhanced(4, detail, 0), text);
        match self {
            Self::Greeting(reply) | Self::Hello(reply) | Self::TlsRefused(reply)
                if !reply.is_transient() =>
            {
                temporary(4, format!("next hop refused the connection: {reply}"))
            }
            Self::Greeting(reply)
            | Self::Hello(reply)
            | Self::TlsRefused(reply)
            | Self::Shutdown(reply)
                if reply.is_transient() =>
            {
                reply.clone()
            }
            Self::Greeting(reply)
            | Self::Hello(reply)
            | Self::TlsRefused(reply)
            | Self::Shutdown(reply) => temporary(4, format!("next hop closed: {reply}")),
            Self::NoTls => {
                ours(450, Enhanced(4, 7, 4), "next hop offers no TLS, which is required")
            }
            Self::Handshake(error) => {
                Reply::new(450, Enhanced(4, 7, 5), format!("TLS with next hop failed: {error}"))
            }
            Self::Nonsense(what) => {
                Reply::new(450, Enhanced(4, 5, 0), format!("next hop does not speak SMTP: {what}"))
            }
            Self::Closed => ours(450, Enhanced(4, 4, 2), "next hop closed the connection"),
            Self::TimedOut => ours(450, Enhanced(4, 4, 2), "next hop does not answer"),
            Self::Io(error) => {
                Reply::new(450, Enhanced(4, 4, 2), format!("connection to next hop: {error}"))
            }
        }
    }

    /// The reply above is the hop's own.
    #[must_use]
    pub fn from_hop(&self) -> bool {
        match self {
            Self::Greeting(reply)
            | Self::Hello(reply)
            | Self::TlsRefused(reply)
            | Self::Shutdown(reply) => reply.is_transient(),
            Self::NoTls
            | Self::Handshake(_)
            | Self::Nonsense(_)
            | Self::Closed
            | Self::TimedOut
            | Self::Io(_) => false,
        }
    }
}

/// What can be said before the first command, from the offer alone; and whether MAIL needs SMTPUTF8.
pub(super) fn before(
    transaction: &Transaction,
    offer: &Offer,
    eight_bit: EightBitRule,
) -> (Vec<Fate>, bool) {
    let sender_utf8 = transaction.reverse_path.as_ref().is_some_and(|path| !path.is_ascii());
    let message_utf8 = sender_utf8 || transaction.needs.utf8_header;
    let whole = whole_message(transaction, offer, eight_bit, message_utf8);
    let mut room = offer.recipients_max.unwrap_or(usize::MAX);
    let mut utf8 = message_utf8;
    let mut fate = |recipient: &Recipient| {
        if let Some(reply) = &whole {
            return Fate::Never(reply.clone());
        }
        let needs_utf8 = !recipient.resolved.is_ascii();
        if needs_utf8 && !offer.smtputf8 {
            let text = "the next hop cannot take an internationalised address (SMTPUTF8)";
            return Fate::Never(ours(553, Enhanced(5, 6, 7), text));
        }
        if room == 0 {
            return Fate::NotTried;
        }
        room -= 1;
        utf8 |= needs_utf8;
        Fate::Open
    };
    let fates = transaction.recipients.iter().map(&mut fate).collect();
    (fates, utf8 && offer.smtputf8)
}

/// A refusal that holds for every recipient.
fn whole_message(
    transaction: &Transaction,
    offer: &Offer,
    eight_bit: EightBitRule,
    utf8: bool,
) -> Option<Reply> {
    if utf8 && !offer.smtputf8 {
        let text = "the next hop cannot take internationalised mail (SMTPUTF8)";
        return Some(ours(550, Enhanced(5, 6, 7), text));
    }
    if let Some(max) = offer.size_max.filter(|max| transaction.bytes > *max) {
        let text = format!("message of {} octets is above the next hop's {max}", transaction.bytes);
        return Some(Reply::new(552, Enhanced(5, 3, 4), text));
    }
    let eight = transaction.needs.eight_bit || transaction.body == BodyType::EightBitMime;
    if eight && !offer.eight_bit_mime && eight_bit == EightBitRule::Refuse {
        let text = "the next hop does not take 8-bit content (8BITMIME)";
        return Some(ours(554, Enhanced(5, 6, 3), text));
    }
    None
}

/// What the fuzz entry sends.
pub(super) fn fuzz_transaction() -> Transaction {
    use crate::envelope::Mailbox;
    let recipient = |name: &str| Recipient {
        original: Mailbox::new(name, "example.com"),
        resolved: Mailbox::new(name, "example.com"),
        notify: crate::envelope::Notify::default(),
        orcpt: None,
    };
    Transaction {
        reverse_path: None,
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        needs: crate::deliver::Needs::default(),
        bytes: 10,
        recipients: vec![recipient("a"), recipient("b"), recipient("c")],
        probe: false,
    }
}
