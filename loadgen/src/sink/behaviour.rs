//! What a sink offers, and how it misbehaves.

use std::time::Duration;

use crate::random::Random;

/// What EHLO offers. All of them by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 1870, with this limit in octets.
    pub size: Option<u64>,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            pipelining: true,
            chunking: true,
            smtputf8: true,
            eight_bit_mime: true,
            dsn: true,
            size: Some(2048 * 1024 * 1024),
        }
    }
}

impl Extensions {
    /// A server of 1982.
    pub const NONE: Self = Self {
        pipelining: false,
        chunking: false,
        smtputf8: false,
        eight_bit_mime: false,
        dsn: false,
        size: None,
    };

    /// Parses a list such as `pipelining,chunking`; `all` and `none` are words too.
    ///
    /// # Errors
    /// The word that is not known.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut extensions = Self::NONE;
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "all" => extensions = Self::default(),
                "none" => extensions = Self::NONE,
                "pipelining" => extensions.pipelining = true,
                "chunking" => extensions.chunking = true,
                "smtputf8" => extensions.smtputf8 = true,
                "8bitmime" => extensions.eight_bit_mime = true,
                "dsn" => extensions.dsn = true,
                "size" => extensions.size = Some(2048 * 1024 * 1024),
                other => return Err(format!("unknown extension `{other}`")),
            }
        }
        Ok(extensions)
    }
}

/// What happens to one recipient or one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Taken.
    Take,
    /// 451 to RCPT. Local-part `tempfail`.
    RcptTemporary,
    /// 550 to RCPT. Local-part `reject`.
    RcptPermanent,
    /// 451 to the final dot. Local-part `dotfail`.
    DotTemporary,
    /// 554 to the final dot. Local-part `dotreject`.
    DotPermanent,
    /// Not taken, and no answer to the final dot. Local-part `hang`.
    Hang,
    /// Taken and stored, but no answer to the final dot. Local-part `hangtaken`.
    HangTaken,
    /// Not taken, closed after the final dot. Local-part `close`.
    Close,
    /// Taken and stored, then closed without an answer. Local-part `closetaken`.
    CloseTaken,
    /// Closed in answer to RCPT. Local-part `closercpt`.
    CloseRcpt,
    /// Answers what is no SMTP reply to RCPT. Local-part `nonsense`.
    Nonsense,
    /// Taken, answered after `slow`. Local-part `slow`.
    Slow,
}

/// Local-parts that script a fate. A word counts when the local-part is it, or goes on with
/// something that is not a letter: `tempfail-17` does, `tempfailure` does not.
const SCRIPTED: &[(&str, Fate)] = &[
    ("tempfail", Fate::RcptTemporary),
    ("reject", Fate::RcptPermanent),
    ("dotfail", Fate::DotTemporary),
    ("dotreject", Fate::DotPermanent),
    ("hang", Fate::Hang),
    ("hangtaken", Fate::HangTaken),
    ("close", Fate::Close),
    ("closetaken", Fate::CloseTaken),
    ("closercpt", Fate::CloseRcpt),
    ("nonsense", Fate::Nonsense),
    ("slow", Fate::Slow),
];

/// How a sink misbehaves; by default only as the local-part scripts it.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Whether local-parts script it.
    pub by_local_part: bool,
    /// Percentage of recipients answered 451.
    pub rcpt_temporary_percent: u8,
    /// Percentage of recipients answered 550.
    pub rcpt_permanent_percent: u8,
    /// Percentage of mails answered 451 at the final dot.
    pub dot_temporary_percent: u8,
    /// Percentage of mails answered 554 at the final dot.
    pub dot_permanent_percent: u8,
    /// Percentage of recipients in answer to which the connection is closed.
    pub rcpt_close_percent: u8,
    /// Percentage of DATA commands in answer to which the connection is closed.
    pub data_close_percent: u8,
    /// Percentage of contents in the middle of which the connection is closed.
    pub body_close_percent: u8,
    /// Percentage of mails after whose final dot the connection is closed; not taken.
    pub dot_close_percent: u8,
    /// Percentage of mails whose final dot gets no answer at all; not taken.
    pub dot_hang_percent: u8,
    /// Percentage of mails that are taken after `slow`.
    pub dot_slow_percent: u8,
    /// Greeting: 421 and closed, as a server does that is too busy.
    pub busy: bool,
    /// Before every answer to RCPT and to the final dot.
    pub delay: Duration,
    /// What [`Fate::Slow`] waits before it takes the mail.
    pub slow: Duration,
    /// Seed of the percentages.
    pub seed: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            by_local_part: true,
            rcpt_temporary_percent: 0,
            rcpt_permanent_percent: 0,
            dot_temporary_percent: 0,
            dot_permanent_percent: 0,
            rcpt_close_percent: 0,
            data_close_percent: 0,
            body_close_percent: 0,
            dot_close_percent: 0,
            dot_hang_percent: 0,
            dot_slow_percent: 0,
            busy: false,
            delay: Duration::ZERO,
            slow: Duration::from_secs(2),
            seed: 1,
        }
    }
}

impl Behaviour {
    /// What becomes of a recipient.
    #[must_use]
    pub fn recipient(&self, mailbox: &str, random: &mut Random) -> Fate {
        if self.by_local_part {
            let local = mailbox.rsplit_once('@').map_or(mailbox, |(local, _)| local);
            let word_end = local.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(local.len());
            let word = local.get(..word_end).unwrap_or_default();
            for (name, fate) in SCRIPTED {
                if word.eq_ignore_ascii_case(name) {
                    return *fate;
                }
            }
        }
        if random.chance(self.rcpt_temporary_percent) {
            return Fate::RcptTemporary;
        }
        if random.chance(self.rcpt_permanent_percent) {
            return Fate::RcptPermanent;
        }
        if random.chance(self.rcpt_close_percent) {
            return Fate::CloseRcpt;
        }
        Fate::Take
    }

    /// What becomes of a mail whose accepted recipients script nothing.
    #[must_use]
    pub fn mail(&self, random: &mut Random) -> Fate {
        if random.chance(self.dot_temporary_percent) {
            return Fate::DotTemporary;
        }
        if random.chance(self.dot_permanent_percent) {
            return Fate::DotPermanent;
        }
        if random.chance(self.dot_close_percent) {
            return Fate::Close;
        }
        if random.chance(self.dot_hang_percent) {
            return Fate::Hang;
        }
        if random.chance(self.dot_slow_percent) {
            return Fate::Slow;
        }
        Fate::Take
    }
}
