//! Taking malware, or what acts when it is opened, out of a mail: who wants it, what is handed to the rewriting, what the log says.

use super::Transaction;
use super::message::{Judged, Message};
use crate::analysis::Cleaning;
use crate::policy::{Action, Decision, DomainSettings, MatchedRule, RemovedByRule};
use crate::rewrite::{Removed, Why};
use crate::scan::{Cut, Examination};

/// What the domain of some recipient takes out.
pub(super) fn cleaning(transaction: &Transaction) -> Cleaning {
    let wants = |wanted: fn(&DomainSettings) -> bool| {
        transaction.recipients.iter().any(|one| wanted(one.settings()))
    };
    Cleaning {
        malware: wants(DomainSettings::cleans_malware),
        active: wants(|settings| settings.actions.active_content == Action::Clean),
    }
}

/// What is cut out of the copies of this decision, held ones too: for each setting that cleans, its own parts. They are
/// leaves of one tree, so that two of them are the same or apart.
pub(super) fn cuts(examination: &Examination, decision: &Decision) -> Vec<Cut> {
    let cleans = |name: &str| {
        let asked =
            |rule: &MatchedRule| rule.acts() && rule.action == Action::Clean && &*rule.name == name;
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
pub(super) fn removed<'m>(cuts: &'m [Cut], decision: &'m Decision) -> Vec<Removed<'m>> {
    let cut = |cut: &'m Cut| {
        let &Cut { start, end, ref name, bytes, ref virus, active } = cut;
        let why = if active { Why::Active(virus) } else { Why::Virus(virus) };
        Removed { start, end, name, bytes, why }
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
    if !judged.decision.cleans() {
        return Vec::new();
    }
    let told = |part: Removed<'_>| {
        let why = match part.why {
            Why::Virus(found) | Why::Active(found) => found.to_owned(),
            Why::Rule(rule) => format!("rule {rule}"),
        };
        format!("{} ({why})", part.name).trim().to_owned()
    };
    let cuts = cuts(&message.examination, &judged.decision);
    removed(&cuts, &judged.decision).into_iter().map(told).collect()
}
