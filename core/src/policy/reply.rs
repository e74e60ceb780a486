//! One reply for several recipients: unified model, section 3.3.

use super::action::{Action, Decision, HoldReply, HoldSpec, MixedReply};

/// What the client is told after end of data, before delivery has its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupReply {
    /// 250, once every copy is safe (rule of 250).
    Accept,
    /// 550 5.7.1: every recipient ends in reject or in quarantine with reply reject.
    Reject,
}

/// Decides the one reply and makes the decisions fit it: where the answer is 250, a recipient whose
/// action was reject is silently held or dropped as its domain says. Never a bounce.
pub fn group_reply(decisions: &mut [Decision]) -> GroupReply {
    let refuses = |decision: &Decision| {
        decision.action == Action::Reject
            || decision.hold.as_ref().is_some_and(|hold| hold.reply == HoldReply::Reject)
    };
    if !decisions.is_empty() && decisions.iter().all(refuses) {
        return GroupReply::Reject;
    }
    for decision in decisions.iter_mut() {
        match (decision.action, decision.mixed_reply) {
            (Action::Reject, MixedReply::Held) => {
                decision.action = Action::Quarantine;
                decision.hold = Some(HoldSpec {
                    days: decision.mixed_days,
                    hidden: false,
                    reply: HoldReply::Accept,
                });
            }
            (Action::Reject, MixedReply::Dropped) => decision.action = Action::Drop,
            (
                Action::Deliver
                | Action::Header
                | Action::Stamp
                | Action::Tag
                | Action::Clean
                | Action::Quarantine
                | Action::QuarantineHidden
                | Action::Drop,
                _,
            ) => {}
        }
    }
    GroupReply::Accept
}
