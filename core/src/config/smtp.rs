//! `[smtp]`: limits and time-outs of the server side.

use crate::limits;

use super::walk::Section;

/// What becomes of a bare CR or LF in content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareLineEnds {
    /// Made CR LF once, at the door.
    #[default]
    Canonical,
    /// 550 5.5.2.
    Refuse,
}

/// 8-bit content for a next hop without 8BITMIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EightBit {
    /// Sent as it is.
    #[default]
    AsIs,
    /// Refused with 5.6.3, or a DSN.
    Refuse,
}

/// A client that talks before our greeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyTalkers {
    /// 554 and close.
    #[default]
    Refuse,
    /// Served.
    Allow,
}

/// `[smtp]`. Time-outs are those of RFC 5321 section 4.5.3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Largest message of any domain, in octets.
    pub message_bytes_max: u64,
    /// Recipients of one transaction.
    pub recipients_max: u32,
    /// Transactions of one session.
    pub transactions_max: u32,
    /// Errors of a client before 421.
    pub errors_max: u32,
    /// Unknown recipients of one session before 421.
    pub unknown_recipients_max: u32,
    /// Received fields before a mail counts as looping.
    pub received_hops_max: u32,
    /// Waiting for a command.
    pub command_timeout_ms: u64,
    /// Waiting for a block of content.
    pub data_timeout_ms: u64,
    /// A session may last this long.
    pub session_timeout_ms: u64,
    /// Strangers wait so long for the greeting, to catch early talkers.
    pub greeting_delay_ms: u64,
    /// What an early talker gets.
    pub early_talkers: EarlyTalkers,
    /// Bare CR or LF in content.
    pub bare_line_ends: BareLineEnds,
    /// 8-bit content for a hop without 8BITMIME.
    pub eight_bit: EightBit,
    /// Memory of all sessions of a shard; over it new mail gets 452.
    pub shard_memory_bytes_max: u64,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            message_bytes_max: 128 << 20,
            recipients_max: 1000,
            transactions_max: 1000,
            errors_max: 20,
            unknown_recipients_max: 50,
            received_hops_max: 50,
            command_timeout_ms: 300_000,
            data_timeout_ms: 180_000,
            session_timeout_ms: 3_600_000,
            greeting_delay_ms: 1000,
            early_talkers: EarlyTalkers::Refuse,
            bare_line_ends: BareLineEnds::Canonical,
            eight_bit: EightBit::AsIs,
            shard_memory_bytes_max: 512 << 20,
        }
    }
}

impl Smtp {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut smtp = Self::default();
        let size = 65_536..=limits::MESSAGE_BYTES_CEILING;
        section.number("message_bytes_max", size, &mut smtp.message_bytes_max);
        let floor = u32::try_from(limits::RECIPIENTS_FLOOR).unwrap_or(100);
        section.number("recipients_max", floor..=50_000, &mut smtp.recipients_max);
        section.number("transactions_max", 1..=1_000_000, &mut smtp.transactions_max);
        section.number("errors_max", 1..=10_000, &mut smtp.errors_max);
        let unknown = &mut smtp.unknown_recipients_max;
        section.number("unknown_recipients_max", 1..=100_000, unknown);
        let hops = u32::try_from(limits::RECEIVED_HOPS_MAX).unwrap_or(100);
        section.number("received_hops_max", 10..=hops, &mut smtp.received_hops_max);
        section.number("command_timeout_ms", 1_000..=3_600_000, &mut smtp.command_timeout_ms);
        section.number("data_timeout_ms", 1_000..=3_600_000, &mut smtp.data_timeout_ms);
        section.number("session_timeout_ms", 10_000..=86_400_000, &mut smtp.session_timeout_ms);
        section.number("greeting_delay_ms", 0..=60_000, &mut smtp.greeting_delay_ms);
        let early = [("refuse", EarlyTalkers::Refuse), ("allow", EarlyTalkers::Allow)];
        section.choice("early_talkers", &early, &mut smtp.early_talkers);
        let ends = [("canonical", BareLineEnds::Canonical), ("refuse", BareLineEnds::Refuse)];
        section.choice("bare_line_ends", &ends, &mut smtp.bare_line_ends);
        let eight = [("as_is", EightBit::AsIs), ("refuse", EightBit::Refuse)];
        section.choice("eight_bit", &eight, &mut smtp.eight_bit);
        let memory = (16 << 20)..=(1 << 40);
        section.number("shard_memory_bytes_max", memory, &mut smtp.shard_memory_bytes_max);
        smtp
    }
}
