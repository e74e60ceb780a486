//! Taking malware, or what acts when it is opened, out of a mail: who wants it, what is handed to the rewriting, what the log says.

use super::Transaction;
use super::message::{Judged, Message};
use crate::analysis::Cleaning;
use crate::policy::{Action, ActionSettings, Decision, MatchedRule};
use crate::rewrite::Removed;
use crate::scan::{Cut, Examination};

/// What the domain of some recipient takes out.
pub(super) fn cleaning(transaction: &Transaction) -> Cleaning {
    let wants = |wanted: fn(&ActionSettings) -> Action| {
        transaction.recipients.iter().any(|one| wanted(&one.settings().actions) == Action::Clean)
    };
    Cleaning {
        malware: wants(|actions| actions.virus),
        active: wants(|actions| actions.active_content),
    }
}

/// What is cut out of the copies of this decision: for each setting that cleans, its own parts. They are
/// leaves of one tree, so that two of them are the same or apart.
pub(super) fn cuts(examination: &Examination, decision: &Decision) -> Vec<Cut> {
    let cleans = |name: &str| {
        let asked = |rule: &MatchedRule| rule.action == Action::Clean && &*rule.name == name;
        decision.matched.iter().any(asked)
    };
    let mut out = Vec::new();
    if cleans("virus.in") {
        out.extend(examination.cuts.iter().cloned());
    }
    if cleans("active_content.action") {
        let known = |cut: &&Cut| !out.iter().any(|other: &Cut| other.start == cut.start);
        let more: Vec<Cut> = examination.active_cuts.iter().filter(known).cloned().collect();
        out.extend(more);
    }
    out.sort_by_key(|cut| cut.start);
    out
}

/// The parts to be taken out, as the rewriting needs them.
pub(super) fn removed(cuts: &[Cut]) -> Vec<Removed<'_>> {
    let removed = |cut| {
        let &Cut { start, end, ref name, bytes, ref virus, active } = cut;
        Removed { start, end, name, bytes, virus, active }
    };
    cuts.iter().map(removed).collect()
}

/// What was taken out of this recipient's copy, for the log.
pub(super) fn told(message: &Message, judged: &Judged) -> Vec<String> {
    if judged.decision.action != Action::Clean {
        return Vec::new();
    }
    let told = |cut: &Cut| format!("{} ({})", cut.name, cut.virus).trim().to_owned();
    cuts(&message.examination, &judged.decision).iter().map(told).collect()
}
