//! What a session is told when it starts: capabilities, limits, time-outs. Plain values; `config`
//! reads them from the file and the shard turns them into this, once per listener and generation.

use std::time::Duration;

use crate::limits::{
    CONTENT_LINE_BYTES_MAX, LOCAL_PART_BYTES_TOLERATED, MESSAGE_BYTES_CEILING, RECIPIENTS_FLOOR,
};

/// What becomes of a CR or LF in the content that is not part of a CR LF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareLineEnds {
    /// Each one is made CR LF, once, at the door (decision 0040).
    #[default]
    Canonical,
    /// The message is refused after its end with 550 5.5.2; commands that end with a bare LF are
    /// answered 500 5.5.2.
    Refuse,
}

/// Extensions that a listener may switch off. PIPELINING, SIZE, 8BITMIME, ENHANCEDSTATUSCODES and
/// LIMITS are always offered, BINARYMIME never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// STARTTLS, RFC 3207: offered while the session is not encrypted.
    pub starttls: bool,
    /// CHUNKING, RFC 3030: BDAT.
    pub chunking: bool,
    /// SMTPUTF8, RFC 6531.
    pub smtputf8: bool,
    /// DSN, RFC 3461.
    pub dsn: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { starttls: false, chunking: true, smtputf8: true, dsn: true }
    }
}

/// Time-outs of the server's side, RFC 5321 section 4.5.3.2, and the guard against slow clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From our reply until the next command is complete (4.5.3.2.7: 5 minutes). Octets of an
    /// unfinished command do not extend it.
    pub command: Duration,
    /// Between two arrivals of content (4.5.3.2.5: 3 minutes).
    pub content: Duration,
    /// How long content may be slower than `content_bytes_per_second_min`.
    pub content_grace: Duration,
    /// Slowest average rate of content, in octets per second, once the grace is over.
    pub content_bytes_per_second_min: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            content: Duration::from_secs(180),
            content_grace: Duration::from_secs(600),
            content_bytes_per_second_min: 500,
        }
    }
}

/// Everything that a session needs to know about its listener. Shared by all its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Our name in the greeting and in the answer to HELO and EHLO.
    pub host_name: Box<str>,
    /// Extensions.
    pub capabilities: Capabilities,
    /// Largest message in octets, SIZE of RFC 1870: the largest limit of any domain (SM-62).
    pub message_bytes_max: u64,
    /// Longest content line in octets without its line end; a longer one is refused, 554 5.6.0.
    pub content_line_bytes_max: usize,
    /// Longest local-part in octets.
    pub local_part_bytes_max: usize,
    /// Recipients of one transaction, RCPTMAX of RFC 9422; one more gets 452 4.5.3.
    pub recipients_max: usize,
    /// Transactions of one session, MAILMAX of RFC 9422; one more gets 421 and the session ends.
    pub transactions_max: u32,
    /// Commands answered 5yz for their form or order before the session ends with 421.
    pub errors_max: u32,
    /// Recipients refused for good in one session before it ends with 421 (address harvesting).
    pub refused_recipients_max: u32,
    /// Recipients answered 4yz in one session before it ends with 421: those beyond RCPTMAX of a large
    /// list, sent in one pipelined group, are answered one by one; an endless row of them is not.
    pub deferred_recipients_max: u32,
    /// Commands that lead nowhere (NOOP, RSET, VRFY, HELP, repeated EHLO) between two messages before
    /// the session ends with 421.
    pub idle_commands_max: u32,
    /// Octets of refused content that are read and thrown away before the session is cut.
    pub swallow_bytes_max: u64,
    /// Bare CR and LF.
    pub bare_line_ends: BareLineEnds,
    /// Time-outs.
    pub timeouts: Timeouts,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            host_name: "localhost".into(),
            capabilities: Capabilities::default(),
            message_bytes_max: 50 * 1024 * 1024,
            content_line_bytes_max: CONTENT_LINE_BYTES_MAX,
            local_part_bytes_max: LOCAL_PART_BYTES_TOLERATED,
            recipients_max: RECIPIENTS_FLOOR,
            transactions_max: 1000,
            errors_max: 20,
            refused_recipients_max: 100,
            deferred_recipients_max: 20_000,
            idle_commands_max: 100,
            swallow_bytes_max: MESSAGE_BYTES_CEILING,
            bare_line_ends: BareLineEnds::default(),
            timeouts: Timeouts::default(),
        }
    }
}
