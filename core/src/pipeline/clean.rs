//! Taking malware out of a mail: who wants it, what is handed to the rewriting, what the log says.

use super::Transaction;
use super::message::{Judged, Message};
use crate::analysis::Cleaning;
use crate::policy::Action;
use crate::rewrite::Removed;
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
pub(super) fn removed(cuts: &[Cut]) -> Vec<Removed<'_>> {
    let removed = |cut| {
        let &Cut { start, end, ref name, bytes, ref virus } = cut;
        Removed { start, end, name, bytes, virus }
    };
    cuts.iter().map(removed).collect()
}

/// What was taken out of this recipient's copy, for the log.
pub(super) fn told(message: &Message, judged: &Judged) -> Vec<String> {
    if judged.decision.action != Action::Clean {
        return Vec::new();
    }
    let told = |cut: &Cut| format!("{} ({})", cut.name, cut.virus).trim().to_owned();
    message.examination.cuts.iter().map(told).collect()
}
