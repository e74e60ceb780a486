//! What the client is told of a message, and whether its sender may be told later.

use std::net::IpAddr;

use super::Pipeline;
use super::message::{Judged, Message};
use crate::policy::Action;
use crate::reply::{Enhanced, Reply};
use crate::verdict::{self, Verdict};

/// Never a bounce for spam or virus.
pub(super) fn may_report(verdict: &Verdict) -> bool {
    use verdict::MainClass as M;
    match verdict.main_class {
        M::NotSpam | M::Whitelisted | M::FalsePositive | M::Unknown | M::Greylist => true,
        M::Blacklisted
        | M::FalseNegative
        | M::Phish
        | M::Virus
        | M::Spam
        | M::Locked
        | M::Unsure
        | M::Error => false,
    }
}

impl Pipeline {
    /// Who sent good mail goes before strangers when more comes than can be served.
    pub(super) fn remember_sender(&self, message: &Message, judged: &[Judged], reply: &Reply) {
        if reply.is_positive() && judged.iter().all(|judged| may_report(&judged.verdict)) {
            // As `listener::whose` asks for it.
            let client = message.client.address.ip().to_canonical();
            self.rooms.shared.senders.remember(client, message.at.mono);
        }
    }
}

pub(super) fn accepted(message: &Message) -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), format!("Ok: queued as {}", message.transaction.mail))
}

/// NTT-10: address and list, in the words of the manual.
pub(super) fn bad_client(client: IpAddr, list: &str) -> Reply {
    Reply::new(550, Enhanced(5, 7, 1), format!("Mail from {client} blocked using {list}"))
}

/// 550 for mail that policy refuses; says which kind of reason, nothing about rules. A client's address is told as at
/// RCPT (`ip.reject_at = "data"`).
pub(super) fn rejection(message: &Message, judged: &Judged) -> Reply {
    let mut refusing =
        judged.decision.matched.iter().filter(|one| one.acts() && one.action == Action::Reject);
    if let Some(first) = refusing.next().filter(|first| &*first.name == "ip.action") {
        return bad_client(message.transaction.client, &first.condition);
    }
    let why = judged.decision.reason.map_or("policy", |reason| reason.category().key());
    if judged.decision.reason == Some(verdict::Reason::Oversize) {
        return Reply::new(552, Enhanced(5, 3, 4), "Message larger than the recipient takes");
    }
    Reply::new(550, Enhanced(5, 7, 1), format!("Message refused by the recipient's policy ({why})"))
}
