//! BDAT, RFC 3030. The octets of a chunk follow the command whatever we think of it, so a refused chunk
//! is read and thrown away before its reply; a command whose size cannot be read ends the session, because
//! nobody can tell any more where the next command begins.

use crate::clock::Now;
use crate::reply::{Enhanced, Reply};

use super::error::SessionError;
use super::input::Input;
use super::pace::Pace;
use super::step::{CloseReason, Step};
use super::unstuff::Framing;
use super::{Phase, Question, Session};

/// The argument of BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) bytes: u64,
    pub(super) last: bool,
}

/// Where a session stands once a refused chunk has been thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Refused,
    Greeted,
    Identified,
    Mail,
    ChunksFailed,
}

fn parse(argument: &str) -> Option<Chunk> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let size = words.next()?;
    // RFC 3030 allows 20 digits; `parse` alone would also take a sign.
    if size.len() > 20 || !size.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Chunk { bytes: size.parse().ok()?, last })
}

impl Session {
    /// Handles BDAT.
    pub(super) fn bdat(&mut self, argument: &str) -> Option<Step> {
        if !self.config.capabilities.chunking {
            // Not offered, so its octets are the client's own fault; executing them as commands is not.
            return self.close_with(&SessionError::NotImplemented.reply(), CloseReason::Protocol);
        }
        let Some(chunk) = parse(argument) else {
            return self.close_with(&SessionError::ChunkSize.reply(), CloseReason::Protocol);
        };
        let refused = match self.phase {
            Phase::ChunksFailed => Some(SessionError::TransactionFailed),
            Phase::Refused => Some(SessionError::SessionRefused),
            Phase::Chunks => None,
            _ => self.content_out_of_order(),
        };
        if let Some(error) = refused {
            return self.swallow(chunk, error);
        }
        let before = if self.phase == Phase::Chunks {
            self.transaction().receiver.canonical.bytes()
        } else {
            0
        };
        if before.saturating_add(chunk.bytes) > self.config.message_bytes_max {
            self.drop_content();
            return self.swallow(chunk, SessionError::MessageTooBig);
        }
        if self.phase == Phase::Chunks {
            self.phase = Phase::Chunk { left: chunk.bytes, chunk };
            return None;
        }
        self.ask(Question::Chunk(chunk), Step::AskData)
    }

    /// The first chunk may come.
    pub(super) fn start_chunks(&mut self, chunk: Chunk) {
        self.start_content(Framing::Counted);
        self.phase = Phase::Chunk { left: chunk.bytes, chunk };
    }

    /// Reads and drops the octets of a chunk; then `error` is the reply.
    fn swallow(&mut self, chunk: Chunk, error: SessionError) -> Option<Step> {
        self.count_error(error);
        self.swallow_with(chunk, error.reply());
        None
    }

    /// As `swallow`, with a reply of the pipeline's.
    pub(super) fn swallow_with(&mut self, chunk: Chunk, reply: Reply) {
        if chunk.bytes > self.config.swallow_bytes_max {
            self.close_with(&reply, CloseReason::Limit);
            return;
        }
        let next = match self.phase {
            Phase::Refused => After::Refused,
            Phase::Greeted => After::Greeted,
            Phase::Identified => After::Identified,
            Phase::Mail if self.envelope().recipients.is_empty() => After::Mail,
            // A failed transaction waits for RSET, but its last chunk ends it.
            _ if chunk.last => After::Identified,
            _ => After::ChunksFailed,
        };
        let transaction = self.transaction();
        transaction.pace = Pace::default();
        transaction.swallow_reply = Some(reply);
        self.phase = Phase::Swallow { left: chunk.bytes, next };
    }

    /// Reads a chunk that is wanted.
    pub(super) fn receive_chunk(
        &mut self,
        input: &mut Input,
        now: Now,
        (left, chunk): (u64, Chunk),
    ) -> Option<Step> {
        if let Some(step) = self.content_full(now) {
            return Some(step);
        }
        let mut left = left;
        if left > 0 {
            if input.pending().is_empty() {
                input.rest();
                return self.read_content(now);
            }
            let (_, used) = self.feed(input, now, left);
            left = left.saturating_sub(used);
            self.phase = Phase::Chunk { left, chunk };
        }
        if left > 0 {
            return None;
        }
        if chunk.last {
            let receiver = &mut self.transaction.get_or_insert_default().receiver;
            receiver.canonical.finish(&mut self.content);
            return self.content_complete();
        }
        match self.transaction.get_or_insert_default().receiver.failure(&self.config) {
            Some(reply) => {
                reply.write_to(&mut self.output);
                self.phase = Phase::ChunksFailed;
            }
            None => {
                Reply::new(250, Enhanced(2, 0, 0), format!("{} octets received", chunk.bytes))
                    .write_to(&mut self.output);
                self.phase = Phase::Chunks;
            }
        }
        None
    }

    /// Reads a chunk that is not wanted.
    pub(super) fn receive_swallowed(
        &mut self,
        input: &mut Input,
        now: Now,
        (left, next): (u64, After),
    ) -> Option<Step> {
        if left > 0 && input.pending().is_empty() {
            input.rest();
            return self.read_content(now);
        }
        let used = left.min(input.pending().len() as u64);
        input.consume(usize::try_from(used).unwrap_or(usize::MAX));
        self.transaction().pace.arrived(now.mono, used);
        let left = left - used;
        if left > 0 {
            self.phase = Phase::Swallow { left, next };
            return None;
        }
        if let Some(reply) = self.transaction().swallow_reply.take() {
            reply.write_to(&mut self.output);
        }
        match next {
            After::Refused => (self.phase, self.transaction) = (Phase::Refused, None),
            After::Greeted => (self.phase, self.transaction) = (Phase::Greeted, None),
            After::Mail => self.phase = Phase::Mail,
            After::ChunksFailed => self.phase = Phase::ChunksFailed,
            After::Identified => self.end_transaction(),
        }
        self.check_limits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_of_bdat_is_a_size_and_perhaps_last() {
        let chunk = |bytes, last| Some(Chunk { bytes, last });
        for (argument, expected) in [
            ("0", chunk(0, false)),
            ("0 LAST", chunk(0, true)),
            ("1000 last", chunk(1000, true)),
            ("18446744073709551615", chunk(u64::MAX, false)),
            ("18446744073709551616", None),
            ("000000000000000000001", None),
            ("", None),
            ("LAST", None),
            ("-1", None),
            ("+1", None),
            ("1 FIRST", None),
            ("1 LAST LAST", None),
        ] {
            assert_eq!(parse(argument), expected, "{argument}");
        }
    }
}
