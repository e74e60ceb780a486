//! What scheduling needs of a queued mail, and how the index of a sealed segment carries it.
//!
//! A [`QueuedSummary`] is a [`QueuedMail`] without what only its delivery needs, under the same names: it is
//! read from the metadata of a record and from an index alike. The metadata of an index record is lines of
//! JSON, one object for each queued mail in the order of the blocks: `{"block":12,"mail":{...}}`. So a start
//! reads a hundred octets for a mail in place of a block of 4 KiB. Older engines do not look at the metadata of an
//! index, and the indexes that they wrote have none: then the records themselves are read. A line that is
//! missing costs one read.

use serde::{Deserialize, Serialize};

use super::{Deferral, QueuedMail, QueuedRecipient, RecipientState};
use crate::clock::UnixMillis;
use crate::envelope::Notify;

/// Most octets of lines in one index; the records of further mails are read. A segment of 64 MiB with a mail in
/// each block has some 2 MiB.
pub(crate) const LINES_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(LINES_BYTES_MAX <= super::format::META_BYTES_MAX);

/// A queued mail as scheduling sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedSummary {
    /// Domain whose routes are used, in A-labels.
    pub route_domain: Box<str>,
    /// Recipients of the copy.
    pub recipients: Vec<SummaryRecipient>,
    /// When it was accepted.
    pub queued_at: UnixMillis,
    /// Attempts and the next one.
    #[serde(default, skip_serializing_if = "is_untried")]
    pub deferral: Deferral,
    /// Octets of the stored copy.
    #[serde(default)]
    pub bytes: u64,
}

/// One recipient, as scheduling sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRecipient {
    /// Index in the transaction's envelope.
    pub index: u16,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recipient: Asked,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: RecipientState,
}

/// What the client asked for one recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// NOTIFY.
    #[serde(default)]
    pub notify: Notify,
}

fn is_untried(deferral: &Deferral) -> bool {
    deferral.attempts == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl QueuedSummary {
    /// The summary of a mail.
    #[must_use]
    pub fn of(mail: &QueuedMail) -> Self {
        let recipient = |one: &QueuedRecipient| SummaryRecipient {
            index: one.index,
            recipient: Asked { notify: one.recipient.notify },
            state: one.state.clone(),
        };
        Self {
            route_domain: mail.route_domain.clone(),
            recipients: mail.recipients.iter().map(recipient).collect(),
            queued_at: mail.queued_at,
            deferral: mail.deferral.clone(),
            bytes: mail.bytes,
        }
    }

    /// Recipients that are still to be delivered.
    pub fn waiting(&self) -> impl Iterator<Item = &SummaryRecipient> {
        self.recipients.iter().filter(|one| one.state == RecipientState::Waiting)
    }
}

/// One line of an index's metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    block: u32,
    mail: QueuedSummary,
}

/// Adds the line of the mail at `block`, unless that would be more than `room` octets in all. `meta`: metadata of
/// its record; what is none of a queued mail has no line.
pub(crate) fn add_line(lines: &mut Vec<u8>, room: usize, block: u32, meta: &[u8]) {
    let Ok(mail) = serde_json::from_slice(meta) else { return };
    let before = lines.len();
    let written = serde_json::to_writer(&mut *lines, &Line { block, mail });
    lines.push(b'\n');
    if written.is_err() || lines.len() > room {
        lines.truncate(before);
    }
}

/// The lines of an index, read one by one in the order of the blocks.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    octets: Vec<u8>,
    used: usize,
    next: Option<Line>,
}

impl Lines {
    pub(crate) fn new(octets: Vec<u8>) -> Self {
        Self { octets, used: 0, next: None }
    }

    /// The summary of the mail at `block`, if there is one. Blocks are asked for in ascending order.
    pub(crate) fn find(&mut self, block: u32) -> Option<QueuedSummary> {
        loop {
            if self.next.is_none() {
                self.next = self.read();
            }
            if self.next.as_ref()?.block > block {
                return None;
            }
            let line = self.next.take()?;
            if line.block == block {
                return Some(line.mail);
            }
        }
    }

    /// The next line that is one of a queued mail: later releases may add others.
    fn read(&mut self) -> Option<Line> {
        loop {
            let rest = self.octets.get(self.used..)?;
            let end = memchr::memchr(b'\n', rest)?;
            self.used += end + 1;
            if let Ok(line) = serde_json::from_slice(rest.get(..end)?) {
                return Some(line);
            }
        }
    }
}
