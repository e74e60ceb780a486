//! DATA and the content that follows it, by DATA or BDAT. RFC 5321 section 4.1.1.4.

use crate::clock::{MonoMillis, Now};
use crate::limits::{BODY_IN_MEMORY_BYTES_MAX, SCAN_SLICE_BYTES};
use crate::reply::{Enhanced, Reply};

use super::error::SessionError;
use super::input::Input;
use super::pace::Pace;
use super::settings::{BareLineEnds, SessionConfig};
use super::step::{CloseReason, Received, Step};
use super::unstuff::{Canonical, Framing};
use super::{Phase, Question, Session, Transaction};

/// The content of one transaction on its way in.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) canonical: Canonical,
    /// Said by `Session::refuse_content`: the rest is thrown away.
    pub(super) refusal: Option<Reply>,
    /// Octets as received.
    pub(super) received: u64,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new(Framing::Dot)
    }
}

impl Receiver {
    pub(super) fn new(framing: Framing) -> Self {
        Self { canonical: Canonical::new(framing), refusal: None, received: 0 }
    }

    /// Why this content cannot be taken, judged by all of it so far. The order is fixed, so that the
    /// answer does not depend on how the octets were split.
    pub(super) fn failure(&self, config: &SessionConfig) -> Option<Reply> {
        let refused_ends = config.bare_line_ends == BareLineEnds::Refuse;
        if let Some(reply) = &self.refusal {
            Some(reply.clone())
        } else if self.canonical.bytes() > config.message_bytes_max {
            Some(SessionError::MessageTooBig.reply())
        } else if self.canonical.longest_line_bytes() > config.content_line_bytes_max {
            Some(SessionError::ContentLineTooLong.reply())
        } else if refused_ends && self.canonical.traits().bare_line_ends {
            Some(SessionError::BareLineEnd.reply())
        } else {
            None
        }
    }

    pub(super) fn is_failed(&self, config: &SessionConfig) -> bool {
        self.refusal.is_some()
            || self.canonical.bytes() > config.message_bytes_max
            || self.canonical.longest_line_bytes() > config.content_line_bytes_max
            || (config.bare_line_ends == BareLineEnds::Refuse
                && self.canonical.traits().bare_line_ends)
    }
}

impl Session {
    /// Handles DATA.
    pub(super) fn data(&mut self, argument: &str) -> Option<Step> {
        if !argument.is_empty() {
            return self.fail(SessionError::Argument);
        }
        if let Some(error) = self.content_out_of_order() {
            return self.fail(error);
        }
        if matches!(self.phase, Phase::Chunks | Phase::ChunksFailed) {
            return self.fail(SessionError::AfterBdat);
        }
        self.ask(Question::Data, Step::AskData)
    }

    /// Why neither DATA nor BDAT may come now.
    pub(super) fn content_out_of_order(&self) -> Option<SessionError> {
        match self.phase {
            Phase::Mail if !self.envelope().recipients.is_empty() => None,
            Phase::Mail if self.refused_in_transaction => Some(SessionError::NoValidRecipient),
            Phase::Mail => Some(SessionError::NoRecipient),
            Phase::Greeted => Some(SessionError::NoHelo),
            Phase::Identified => Some(SessionError::NoMail),
            _ => None,
        }
    }

    /// 354: content follows until the dot.
    pub(super) fn start_data(&mut self) {
        self.start_content(Framing::Dot);
        self.phase = Phase::Data;
        self.output.extend_from_slice(b"354 End data with <CR><LF>.<CR><LF>\r\n");
    }

    pub(super) fn start_content(&mut self, framing: Framing) {
        let transaction = self.transaction();
        transaction.receiver = Receiver::new(framing);
        transaction.pace = Pace::default();
    }

    /// Reads content of DATA.
    pub(super) fn receive_data(&mut self, input: &mut Input, now: Now) -> Option<Step> {
        if let Some(step) = self.content_full(now) {
            return Some(step);
        }
        // Cut exactly here, whatever the split.
        let ceiling = self.config.message_bytes_max.saturating_add(self.config.swallow_bytes_max);
        let room = ceiling.saturating_sub(self.transaction().receiver.received);
        if room == 0 {
            let reply = SessionError::MessageTooBig.reply();
            return self.close_with(&reply, CloseReason::Limit);
        }
        if input.pending().is_empty() {
            input.rest();
            return self.read_content(now);
        }
        let (fed, _) = self.feed(input, now, room);
        if fed { self.content_complete() } else { None }
    }

    /// Feeds at most `limit` octets of `input`: whether the end was seen, and how many were used.
    pub(super) fn feed(&mut self, input: &mut Input, now: Now, limit: u64) -> (bool, u64) {
        let pending = input.pending();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(SCAN_SLICE_BYTES);
        let slice = pending.get(..limit).unwrap_or(pending);
        let Transaction { receiver, pace, envelope, .. } =
            &mut **self.transaction.get_or_insert_default();
        make_room(&mut self.content, slice.len(), envelope.size);
        let fed = receiver.canonical.feed(slice, &mut self.content);
        input.consume(fed.consumed);
        let used = fed.consumed as u64;
        receiver.received += used;
        pace.arrived(now.mono, used);
        if receiver.is_failed(&self.config) {
            self.drop_content();
        }
        (fed.ended, used)
    }

    /// Lets the driver take a full buffer before more is read.
    pub(super) fn content_full(&mut self, now: Now) -> Option<Step> {
        let pace = &mut self.transaction.get_or_insert_default().pace;
        pace.resume(now.mono);
        (self.content.len() >= BODY_IN_MEMORY_BYTES_MAX).then(|| {
            // What the disk costs is not the client's slowness.
            pace.pause(now.mono);
            Step::ContentFull
        })
    }

    /// Throws away what is held, and tells the driver if it holds some of it.
    pub(super) fn drop_content(&mut self) {
        // The buffer too: a refused session must not keep what others could use.
        self.content = Vec::new();
        self.drop_pending |= std::mem::take(&mut self.content_taken);
    }

    /// The last octet is there: ask, or give the reply of what went wrong.
    pub(super) fn content_complete(&mut self) -> Option<Step> {
        let Transaction { envelope, receiver, .. } =
            &mut **self.transaction.get_or_insert_default();
        if let Some(reply) = receiver.failure(&self.config) {
            reply.write_to(&mut self.output);
            self.end_transaction();
            return None;
        }
        let chunked = self.phase != Phase::Data;
        self.phase = Phase::Identified;
        let received = Received {
            envelope: std::mem::take(envelope),
            bytes: receiver.canonical.bytes(),
            traits: receiver.canonical.traits(),
            chunked,
        };
        self.ask(Question::Message, Step::AskMessage(Box::new(received)))
    }

    /// Waits for content, or gives up on a client that is silent or too slow.
    pub(super) fn read_content(&mut self, now: Now) -> Option<Step> {
        let pace = &mut self.transaction.get_or_insert_default().pace;
        let deadline = pace.deadline(now.mono, &self.config.timeouts);
        self.read(now, deadline)
    }

    /// Waits until `deadline`; past it, or when the peer is gone, the session ends.
    pub(super) fn read(&mut self, now: Now, deadline: MonoMillis) -> Option<Step> {
        if self.peer_closed {
            self.close(CloseReason::PeerClosed)
        } else if now.mono >= deadline {
            let reply = Reply::new(421, Enhanced(4, 4, 2), "Timeout, closing connection");
            self.close_with(&reply, CloseReason::Timeout)
        } else {
            Some(Step::Read { deadline })
        }
    }
}

/// Up to one slice a content gets the room that its client declared, else twice what it has. Beyond it gets all the room
/// that it may need in memory: grown by doubling it would leave as much memory behind as it takes, and 200 bodies that
/// grow together would have the allocator hold three times the budget.
fn make_room(content: &mut Vec<u8>, bytes: usize, declared: Option<u64>) {
    let wanted = content.len() + bytes;
    if wanted <= content.capacity() {
        return;
    }
    let room = if wanted > SCAN_SLICE_BYTES {
        wanted.max(BODY_IN_MEMORY_BYTES_MAX + SCAN_SLICE_BYTES)
    } else {
        let declared = declared.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        wanted.max(2 * content.len()).max(declared.min(SCAN_SLICE_BYTES))
    };
    content.reserve_exact(room - content.len());
}
