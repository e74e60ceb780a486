//! Taking malware out of a mail: who wants it, what is handed to the rewriting, what the log says.

use super::Transaction;
use super::message::{Judged, Message};
use crate::analysis::Cleaning;
use crate::policy::{Action, Decision, RemovedByRule};
use crate::rewrite::{Removed, Why};
use crate::scan::Cut;

/// Whether the domain of some recipient cleans.
pub(super) fn cleaning(transaction: &Transaction) -> Cleaning {
    let mut recipients = transaction.recipients.iter();
    if recipients.any(|one| one.settings().actions.virus == Action::Clean) {
        Cleaning::Asked
    } else {
        Cleaning::NotAsked
    }
}

/// The parts to be taken out, as the rewriting needs them.
pub(super) fn removed<'m>(cuts: &'m [Cut], decision: &'m Decision) -> Vec<Removed<'m>> {
    let cut = |cut: &'m Cut| {
        let Cut { start, end, name, bytes, virus } = cut;
        Removed { start: *start, end: *end, name, bytes: *bytes, why: Why::Virus(virus) }
    };
    let ruled = |part: &'m RemovedByRule| {
        let RemovedByRule { start, end, name, bytes, rule } = part;
        Removed { start: *start, end: *end, name, bytes: *bytes, why: Why::Rule(rule) }
    };
    let mut all: Vec<Removed<'m>> = cuts.iter().map(cut).collect();
    all.extend(decision.removed.iter().map(ruled));
    // The same part may be both; what is in another part goes with it.
    all.sort_by_key(|part| (part.start, std::cmp::Reverse(part.end)));
    let mut end = 0;
    all.retain(|part| {
        let apart = part.start >= end;
        end = end.max(part.end);
        apart
    });
    all
}

/// What was taken out of this recipient's copy, for the log.
pub(super) fn told(message: &Message, judged: &Judged) -> Vec<String> {
    if judged.decision.action != Action::Clean {
        return Vec::new();
    }
    let told = |part: Removed<'_>| {
        let why = match part.why {
            Why::Virus(virus) => virus.to_owned(),
            Why::Rule(rule) => format!("rule {rule}"),
        };
        format!("{} ({why})", part.name).trim().to_owned()
    };
    removed(&message.examination.cuts, &judged.decision).into_iter().map(told).collect()
}
