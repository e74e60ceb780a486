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
//! | a scan engine of others gives no answer (`pipeline/engines.rs`) | `on_error`: 451, ignored, or a finding |
//! | the message's own fault (limits, malformed, kills workers) | finding, judged by policy, held by default |
//! | copy neither delivered nor durable | 4xx; the client keeps the mail |

pub mod about;
mod answer;
mod authenticate;
mod clean;
pub mod client;
mod content;
mod copies;
mod engines;
pub mod entries;
mod held_jobs;
mod hold;
pub mod judge;
mod message;
mod notices;
mod recipient;
mod release;
mod rescan;
mod rows;
mod seal;
mod times;

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::accept::admission::{Admitted, Rated, Refusal};
use crate::authn::SpfChecks;
use crate::clock::{MonoMillis, Now};
use crate::content::{Content, Piece};
use crate::envelope::{Client, Envelope, MailId, Notify, ReversePath};
use crate::limits::BODY_IN_MEMORY_BYTES_MAX;
use crate::reply::{Enhanced, Reply};
use crate::session::Answer;
use crate::shard::rooms::{Incoming, LargeWriter, Rooms};
use crate::spool::budget::Arriving;
use crate::stages::{self, Stage};
use crate::tables::Snapshot;

pub use recipient::Accepted;

/// The answers of one shard.
#[derive(Clone, Debug)]
pub struct Pipeline {
    rooms: Rc<Rooms>,
    /// What operators asked of held items.
    jobs: Rc<RefCell<held_jobs::Jobs>>,
    /// Rows of relaying that was denied.
    denied: Rc<rows::RowsPerMinute>,
    /// Rows of those who were asked to come again.
    asked_again: Rc<rows::RowsPerMinute>,
    /// Events of recipients that a filter refused.
    filtered: Rc<rows::RowsPerMinute>,
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
    /// What it called itself.
    pub helo: Box<str>,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// SIZE, if declared.
    pub declared_bytes: Option<u64>,
    /// What tables of networks say of the client's address.
    pub networks: client::ClientLists,
    /// What DNS lists say of it.
    listed: authenticate::Reputation,
    /// SPF, once a recipient asked for it.
    spf: std::cell::OnceCell<SpfChecks>,
    /// Accepted recipients in order, each mailbox once.
    pub recipients: Vec<Accepted>,
    /// A hash of each recipient's mailbox, in the same order: 50,000 recipients are compared by words.
    mailboxes: Vec<u64>,
}

impl Transaction {
    /// Takes a recipient, or finds that the same mailbox is there already, by its own name or an alias: then
    /// it stays one recipient, or its owner would have the mail twice. Its index and what all who named it
    /// want to be told.
    ///
    /// The local-part is compared as it is written: only the next hop knows whether it tells `User` from `user`,
    /// and a copy too many is better than none.
    fn accept(&mut self, accepted: Accepted) -> Option<(usize, Notify)> {
        let new = &accepted.recipient;
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(&new.resolved);
        let known = (0..).zip(&self.mailboxes).filter(|(_, known)| **known == hash);
        let same = known.map(|(index, _)| index).find(|index| {
            self.recipients.get(*index).is_some_and(|old| old.recipient.resolved == new.resolved)
        });
        if let Some((index, old)) =
            same.and_then(|index| Some((index, self.recipients.get_mut(index)?)))
        {
            let notify = old.recipient.notify.with(new.notify);
            old.recipient.notify = notify;
            return Some((index, notify));
        }
        self.mailboxes.push(hash);
        self.recipients.push(accepted);
        None
    }
}

/// The octets of a message while it comes in: in the session's buffer, or in a file of its own, and the room on
/// disk that is promised to it.
#[derive(Debug, Default)]
pub struct Body {
    file: Option<LargeWriter>,
    room: Arriving,
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
        Self {
            rooms,
            jobs: Rc::default(),
            denied: Rc::default(),
            asked_again: Rc::default(),
            filtered: Rc::default(),
        }
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

    /// The same for a front server that may use XCLIENT: its clients are limited when it names them.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_front(&self, now: MonoMillis) -> Result<Admitted, Refusal> {
        let shared = &self.rooms.shared;
        shared.admission.connect_front(&shared.config.load().admission, now)
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
        let _stage = stages::enter(Stage::Recipient);
        recipient::begin(self, client, envelope, now)
    }

    /// Before 354: is there room on disk and in memory? 452 comes before the reserve is touched. What goes to a file
    /// of its own has its room from here on, so that others that come at the same time do not get it, too.
    #[must_use]
    pub fn data(&self, transaction: &Transaction, body: &mut Body) -> Answer {
        *body = Body::default();
        let shared = &self.rooms.shared;
        let declared = transaction.declared_bytes.unwrap_or(0);
        let promised = if declared > BODY_IN_MEMORY_BYTES_MAX as u64 {
            shared.promise(declared)
        } else {
            shared.admits(declared).map(|()| Arriving::default())
        };
        match promised {
            Ok(room) => body.room = room,
            Err(error) => {
                tracing::warn!(%error, "no room for new mail");
                let text = "Insufficient system storage, try again later";
                return Answer::Reply(Reply::new(452, Enhanced(4, 3, 1), text));
            }
        }
        if !self.rooms.memory.fits(BODY_IN_MEMORY_BYTES_MAX as u64) {
            body.room = Arriving::default();
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
                None => {
                    let room = match std::mem::take(&mut body.room) {
                        room if room.is_promised() => room,
                        // No size was declared, or a small one.
                        _ => self.rooms.shared.promise(0)?,
                    };
                    body.file.insert(self.rooms.spool.incoming(mail, room).await?)
                }
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
