//! The mail's way. A session asks four questions; the answers are here, every branch in sight.
//!
//! 1. `client`: may it talk to us? Only limits refuse here; reputation waits for RCPT.
//! 2. `reverse_path`: may a mail begin? Takes the snapshot of the tables that the whole transaction sees.
//! 3. `recipient`: `pipeline/recipient.rs`, the stages of RCPT in the order of the unified model.
//! 4. `message`: `pipeline/message.rs`: look, judge, decide per recipient, rewrite, hold, deliver, log.
//!
//! The pipeline owns the branches and none of the work: reading is `message`, evidence is `scan`,
//! judgement `verdict`, the choice of action `policy`, new octets `rewrite`, durability `spool`,
//! `quarantine` and `maillog`, the rule of 250 `deliver`.
//!
//! What happens when a stage cannot work:
//!
//! | cannot | then |
//! |---|---|
//! | tables not there yet (patterns being rebuilt) | 451 at MAIL |
//! | no room on disk, no memory | 452 before DATA |
//! | our own fault while judging (queue full, worker restart) | 451 |
//! | the message's own fault (limits, malformed, kills workers) | finding, judged by policy, held by default |
//! | copy neither delivered nor durable | 4xx; the client keeps the mail |

mod clean;
pub mod entries;
mod hold;
mod message;
mod recipient;
mod release;
mod rows;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::accept::admission::{Admitted, Rated, Refusal};
use crate::clock::{MonoMillis, Now};
use crate::content::{Content, Piece};
use crate::envelope::{Client, Envelope, MailId, ReversePath};
use crate::limits::BODY_IN_MEMORY_BYTES_MAX;
use crate::reply::{Enhanced, Reply};
use crate::session::Answer;
use crate::shard::rooms::{Incoming, LargeWriter, Rooms};
use crate::tables::Snapshot;

pub use recipient::Accepted;

/// The answers of one shard.
#[derive(Clone, Debug)]
pub struct Pipeline {
    rooms: Rc<Rooms>,
}

/// One MAIL and what follows it. Holds its snapshot of the tables to its end.
#[derive(Debug)]
pub struct Transaction {
    /// Id of the mail that it becomes.
    pub mail: MailId,
    /// When MAIL came.
    pub begun: Now,
    /// The tables as they were then.
    pub snapshot: Arc<Snapshot>,
    /// Address of the client.
    pub client: IpAddr,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// SIZE, if declared.
    pub declared_bytes: Option<u64>,
    /// List that calls the client address bad.
    pub bad_network: Option<Box<str>>,
    /// List that suspects the client address.
    pub suspect_network: Option<Box<str>>,
    /// Accepted recipients in order.
    pub recipients: Vec<Accepted>,
}

/// The octets of a message while it comes in: in the session's buffer, or in a file of its own.
#[derive(Debug, Default)]
pub struct Body {
    file: Option<LargeWriter>,
}

/// The octets of a complete message; a file of its own goes when this does.
#[derive(Debug)]
pub enum Complete {
    /// In memory.
    Memory(Content),
    /// In a file.
    File(Incoming),
}

impl Complete {
    /// The octets.
    #[must_use]
    pub fn content(&self) -> &Content {
        match self {
            Self::Memory(content) => content,
            Self::File(incoming) => &incoming.content,
        }
    }
}

impl Pipeline {
    /// The pipeline over the rooms of one shard.
    #[must_use]
    pub fn new(rooms: Rc<Rooms>) -> Self {
        Self { rooms }
    }

    /// The rooms of this shard.
    #[must_use]
    pub fn rooms(&self) -> &Rc<Rooms> {
        &self.rooms
    }

    /// Whether one more connection of `address` fits into the limits of the box.
    ///
    /// # Errors
    /// [`Refusal`]: which limit was reached; the answer is 421.
    pub fn admit(&self, address: IpAddr, now: MonoMillis) -> Result<Admitted, Refusal> {
        let shared = &self.rooms.shared;
        shared.admission.connect(address, &shared.config.load().admission, now)
    }

    /// Whether one more of `what` is over the rate of this client.
    #[must_use]
    pub fn over_rate(&self, admitted: &Admitted, what: Rated, now: MonoMillis) -> bool {
        let shared = &self.rooms.shared;
        shared.admission.over_rate(admitted, what, &shared.config.load().admission, now)
    }

    /// Question 1: the client, before the greeting and after XCLIENT.
    #[must_use]
    pub fn client(&self, client: &Client) -> Answer {
        let _ = client;
        Answer::Accept
    }

    /// Question 2: MAIL.
    ///
    /// # Errors
    /// The reply that refuses it.
    pub fn reverse_path(
        &self,
        client: &Client,
        envelope: &Envelope,
        now: Now,
    ) -> Result<Transaction, Reply> {
        recipient::begin(self, client, envelope, now)
    }

    /// Before 354: is there room on disk and in memory? 452 comes before the reserve is touched.
    #[must_use]
    pub fn data(&self, transaction: Option<&Transaction>) -> Answer {
        let declared = transaction.and_then(|transaction| transaction.declared_bytes).unwrap_or(0);
        if let Err(error) = self.rooms.shared.admits(declared) {
            tracing::warn!(%error, "no room for new mail");
            let text = "Insufficient system storage, try again later";
            return Answer::Reply(Reply::new(452, Enhanced(4, 3, 1), text));
        }
        if !self.rooms.memory.fits(BODY_IN_MEMORY_BYTES_MAX as u64) {
            let text = "Insufficient memory, try again later";
            return Answer::Reply(Reply::new(452, Enhanced(4, 3, 1), text));
        }
        Answer::Accept
    }

    /// Moves octets of a large message to its file.
    ///
    /// # Errors
    /// The reply that refuses the message: no room, disk error; temporary.
    pub async fn spill(&self, mail: MailId, body: &mut Body, octets: Vec<u8>) -> Result<(), Reply> {
        let written = async {
            let file = match &mut body.file {
                Some(file) => file,
                None => body.file.insert(self.rooms.spool.incoming(mail).await?),
            };
            file.write(octets).await
        };
        written.await.map_err(|error| {
            tracing::error!(%error, "a large message could not be written");
            Reply::new(452, Enhanced(4, 3, 1), "Insufficient system storage, try again later")
        })
    }

    /// The whole message, once its last octets are here.
    ///
    /// # Errors
    /// As [`Self::spill`].
    pub async fn complete(
        &self,
        mail: MailId,
        mut body: Body,
        rest: Vec<u8>,
    ) -> Result<Complete, Reply> {
        if body.file.is_none() && rest.len() <= BODY_IN_MEMORY_BYTES_MAX {
            return Ok(Complete::Memory(Content { pieces: vec![Piece::Memory(rest.into())] }));
        }
        self.spill(mail, &mut body, rest).await?;
        let Some(file) = body.file else {
            return Err(Reply::new(451, Enhanced(4, 3, 0), "Internal problem, try again later"));
        };
        match file.finish().await {
            Ok(incoming) => Ok(Complete::File(incoming)),
            Err(error) => {
                tracing::error!(%error, "a large message could not be made durable");
                let text = "Insufficient system storage, try again later";
                Err(Reply::new(452, Enhanced(4, 3, 1), text))
            }
        }
    }
}
