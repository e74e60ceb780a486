//! What a session wants next, and what it is answered.

use crate::clock::MonoMillis;
use crate::envelope::{Envelope, Mailbox, Notify, Recipient};
use crate::reply::Reply;

/// The next thing to do for a session. Every `Ask...` is a question: nothing moves on until
/// `Session::answer`.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Flush the output, then read; at the deadline call `advance` all the same, it closes.
    Read {
        /// When the peer has been silent (or slow) for too long.
        deadline: MonoMillis,
    },
    /// May this client talk to us? Before the greeting, and again after XCLIENT changed
    /// `Session::client`. `Accept` greets; `Reply` with 554 refuses but waits for QUIT (RFC 5321
    /// section 3.1); `Close` refuses and closes.
    AskClient,
    /// May this mail begin? Reverse-path and parameters are in `Session::envelope`.
    AskMail,
    /// May this recipient be added? `Recipient` accepts it; the reply of `Reply` refuses it.
    AskRcpt(RcptTo),
    /// May content follow (room on disk, memory)? Before 354, or before the first chunk of BDAT.
    AskData,
    /// `limits::BODY_IN_MEMORY_BYTES_MAX` octets or more are waiting: take them with `take_content`
    /// and go on with `advance`. If there is no room for them: `refuse_content`.
    ContentFull,
    /// What `take_content` gave for the current transaction is void: the transaction ended
    /// (RSET, a refused message, a new EHLO). Drop it and go on with `advance`.
    ContentDropped,
    /// The message is complete; `take_content` gives the (rest of the) octets. `Reply` is the final reply.
    AskMessage(Box<Received>),
    /// Flush the output, shake hands, then `tls_done`. If the handshake fails, close.
    StartTls,
    /// Flush the output and close. The session is over.
    Close {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// QUIT.
    Quit,
    /// The peer closed.
    PeerClosed,
    /// Refused by an answer.
    Refused,
    /// Talked before the greeting.
    EarlyTalker,
    /// A time-out of `Timeouts`.
    Timeout,
    /// One of the limits on errors, refused recipients, idle commands, transactions or swallowed octets.
    Limit,
    /// The framing is lost (unreadable BDAT size) or the peer speaks another protocol (HTTP).
    Protocol,
    /// `Session::shutdown`.
    Shutdown,
}

/// The argument of RCPT, RFC 5321 section 4.1.1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptTo {
    /// For whom.
    pub path: ForwardPath,
    /// NOTIFY, RFC 3461.
    pub notify: Notify,
    /// ORCPT as received.
    pub orcpt: Option<Box<str>>,
}

/// The path of RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardPath {
    /// A mailbox; a source route before it has been dropped.
    Mailbox(Mailbox),
    /// `<Postmaster>` without a domain: whoever runs this gateway (RFC 5321 section 4.5.1).
    Postmaster,
}

/// A complete message, except its octets.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// The envelope, `recipients.len() >= 1`.
    pub envelope: Envelope,
    /// Octets of the content in canonical line ends, all that was and will be taken.
    pub bytes: u64,
    /// What was noticed on the way.
    pub traits: ContentTraits,
    /// Came by BDAT (RFC 3030) rather than DATA.
    pub chunked: bool,
}

/// What was noticed in the content while it came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentTraits {
    /// An octet above 127, whatever BODY said.
    pub eight_bit: bool,
    /// A NUL octet.
    pub nul: bool,
    /// A bare CR or LF was made CR LF.
    pub bare_line_ends: bool,
    /// The last line had no line end and was given one (BDAT only).
    pub unterminated: bool,
}

/// The answer to the open question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the session's own reply. Not for `AskRcpt`.
    Accept,
    /// Yes to `AskRcpt`: this is the recipient as resolved.
    Recipient(Recipient),
    /// Yes to `AskRcpt`: it is the recipient at `index` of the envelope once more, who stays one recipient;
    /// `notify` is what all who named him ask for.
    Repeated {
        /// Where he stands.
        index: usize,
        /// NOTIFY.
        notify: Notify,
    },
    /// This reply. For `AskMessage` the final one; for the other questions 2yz means yes and
    /// everything else no.
    Reply(Reply),
    /// This reply, and the session ends.
    Close(Reply),
}
