//! What is stored of a held mail: the fields of `HeldMail` from everything that is known.

use super::Pipeline;
use super::message::{Judged, Message};
use super::rescan::RULE;
use crate::policy::{self, Action, Decision, DomainSettings};
use crate::quarantine::{Attachment, HeldItem, HeldMail, MatchedRule};
use crate::scan::finding::Finding;
use crate::verdict::{self, Contribution, ListDecision};

/// Rules that are kept of one verdict, the weightiest first.
const RULES_MAX: usize = 50;
/// Attachments that are kept of one message, and octets of each name. Each recipient has a record of
/// its own: what is kept here is written as often as the mail has recipients.
const ATTACHMENTS_MAX: usize = 50;
const NAME_BYTES_MAX: usize = 255;
/// Octets of what a rule found, with the place.
const DETAIL_BYTES_MAX: usize = 400;

/// The record of a held copy for the recipients of `group`.
pub(super) fn held_mail(
    message: &Message,
    judged: &[Judged],
    group: &[u16],
    bytes: u64,
) -> HeldMail {
    let first = group.first().and_then(|first| judged.get(usize::from(*first)));
    let days = first
        .and_then(|one| one.decision.hold.as_ref())
        .map(|hold| hold.days)
        .or_else(|| group_days(message, group))
        .unwrap_or(30)
        .max(1);
    HeldMail {
        mail: message.transaction.mail,
        direction: crate::quarantine::Direction::Inbound,
        received_at: message.transaction.begun.unix,
        held_at: message.at.unix,
        days,
        client: message.client.clone(),
        envelope: message.envelope_without_recipients(),
        author: message.head.excerpt("from").into(),
        authors: message.head.authors.iter().take(2).map(|author| author.key().into()).collect(),
        subject: message.head.excerpt("subject").into(),
        bytes,
        received_bytes: message.received.bytes,
        recipients_count: message.named,
        message_id: message.head.excerpt("message-id").into(),
        our_message_id: "".into(),
        attachments: attachments(message),
        auth: super::authenticate::results(&message.authentication),
        auth_evidence: message.auth_evidence.iter().map(|one| one.key()).collect(),
        items: group.iter().filter_map(|index| item(message, judged, *index)).collect(),
    }
}

fn group_days(message: &Message, group: &[u16]) -> Option<u16> {
    let first = message.transaction.recipients.get(usize::from(*group.first()?))?;
    Some(first.settings().quarantine.days)
}

/// Attachments for lists and the log.
pub(super) fn attachments(message: &Message) -> Vec<Attachment> {
    message
        .examination
        .facts
        .attachments
        .iter()
        .take(ATTACHMENTS_MAX)
        .map(|one| Attachment {
            name: clip(&one.name, NAME_BYTES_MAX).into(),
            mime: one.true_type.clone(),
            bytes: one.bytes,
            sha256: None,
        })
        .collect()
}

/// Contributions of a verdict, largest first; what decided is among them, whatever it weighs.
pub(super) fn rules(judged: &Judged) -> Vec<MatchedRule> {
    let verdict = &judged.verdict;
    let found = verdict::ordered(&judged.found);
    let mut all: Vec<(&Contribution, Option<&Finding>)> = verdict
        .contributions
        .iter()
        .enumerate()
        .map(|(at, one)| (one, found.get(at).copied()))
        .collect();
    let weight = |one: &Contribution| std::cmp::Reverse(one.points.unsigned_abs());
    if all.len() > RULES_MAX {
        let decided = |rule: &str| verdict.detections.iter().any(|known| *known.rule == *rule);
        all.sort_by_key(|(one, _)| (!decided(&one.rule), weight(one)));
        all.truncate(RULES_MAX);
    }
    all.sort_by(|(a, _), (b, _)| weight(a).cmp(&weight(b)).then(a.rule.cmp(&b.rule)));
    let rule = |(one, found): (&Contribution, Option<&Finding>)| MatchedRule {
        name: one.rule.clone(),
        points: one.points,
        detail: clip(found.map_or("", |found| &found.detail), DETAIL_BYTES_MAX).into(),
        stage: match found.map(|found| found.kind.stage()) {
            // What is no finding is a result about the sender.
            None => "sender".into(),
            Some("spam") => "".into(),
            Some(stage) => stage.into(),
        },
        not_counted: !one.counted,
    };
    all.into_iter().map(rule).collect()
}

/// A client's address that is in a list, as a rule that matched.
pub(super) fn client_rule(list: &str, client: std::net::IpAddr) -> MatchedRule {
    MatchedRule { name: list.into(), detail: client.to_string().into(), ..MatchedRule::default() }
}

/// The list entry that was judged with, in words.
pub(super) fn list_entry(list: &ListDecision) -> String {
    match list {
        ListDecision::None => String::new(),
        ListDecision::Bypass => "recipient allow list".to_owned(),
        ListDecision::Allow(entry) => format!("allow: {}", entry.text),
        ListDecision::Block(entry) => format!("block: {}", entry.text),
    }
}

/// Who asked for what is done: the key of the setting, or `rule` and the name of the administrator's rule; empty if
/// nobody asked for more than delivery.
pub(super) fn decided_by(decision: &Decision, settings: &DomainSettings) -> Box<str> {
    let acts = |matched: &&policy::MatchedRule| !matched.log_only && matched.bypassed.is_empty();
    let asked = || decision.matched.iter().filter(acts);
    let strongest = asked().map(|matched| matched.action).max().unwrap_or_default();
    let first = asked().find(|matched| matched.action == strongest);
    match first.filter(|_| strongest != Action::Deliver) {
        None => "".into(),
        Some(first) if settings.rules.iter().any(|rule| rule.name == first.name) => {
            format!("{RULE}{}", first.name).into()
        }
        Some(first) => first.name.clone(),
    }
}

fn item(message: &Message, judged: &[Judged], index: u16) -> Option<HeldItem> {
    let one @ Judged { verdict, decision, .. } = judged.get(usize::from(index))?;
    let (class, sub_class) = one.class();
    let accepted = message.transaction.recipients.get(usize::from(index))?;
    let reason = decision.reason.or(verdict.reason);
    Some(HeldItem {
        index,
        recipient: accepted.recipient.clone(),
        hidden: decision.hold.as_ref().is_some_and(|hold| hold.hidden),
        category: reason.map_or("", |reason| reason.category().key()).into(),
        reason: reason.map_or("", |reason| reason.key()).into(),
        held_by: decided_by(decision, accepted.settings()),
        main_class: class.name().into(),
        sub_class: sub_class.into(),
        extra_classes: verdict.extra_class.iter().cloned().collect(),
        likelihood: verdict.likelihood.name().into(),
        points: verdict.points,
        list_entry: list_entry(&verdict.list).into(),
        rules: rules(one),
        action: decision.action.key().into(),
        reply: None,
    })
}

impl Pipeline {
    /// What a copy for `group` is held as where it can neither be delivered nor reported.
    pub(super) fn fallback(message: &Message, judged: &[Judged], group: &[u16]) -> Box<HeldMail> {
        Box::new(held_mail(message, judged, group, message.received.bytes))
    }
}

/// The beginning of `text`, at most `bytes_max` octets.
pub(super) fn clip(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::policy::{Facts, Profile, decide, preset};
    use crate::scan::finding::FindingKind;

    fn finding(kind: FindingKind, rule: &str, points: i32, detail: &str) -> Finding {
        Finding { kind, rule: rule.into(), points, detail: detail.into(), log_only: false }
    }

    fn kept(found: Vec<Finding>) -> Vec<MatchedRule> {
        let settings = preset(Profile::Securemail);
        let verdict = verdict::judge(&found, &[], &settings.weights, ListDecision::None);
        let decision = decide(&verdict, &settings, &Facts::default());
        rules(&Judged { verdict: Rc::new(verdict), found: Rc::new(found), decision })
    }

    #[test]
    fn what_decided_is_kept_whatever_it_weighs_among_many_rules() {
        let mut found: Vec<Finding> =
            (0..90).map(|n| finding(FindingKind::Spam, &format!("R{n:02}"), 10 + n, "")).collect();
        found.push(finding(FindingKind::Malware, "Bad.File", 0, "a.exe"));
        found.push(finding(FindingKind::LimitReached, "SCAN_LIMIT", 0, "2: too deep"));
        let kept = kept(found);
        assert_eq!(kept.len(), RULES_MAX);
        let of = |name: &str| kept.iter().find(|one| &*one.name == name);
        let virus = of("Bad.File").expect("what decided");
        assert_eq!((&*virus.stage, &*virus.detail), ("virus", "a.exe"));
        assert!(of("SCAN_LIMIT").is_some() && of("R89").is_some() && of("R00").is_none());
        assert_eq!(&*kept[0].name, "R89", "the weightiest first");
    }

    #[test]
    fn two_findings_of_one_rule_keep_each_its_own_text() {
        let one = |detail| finding(FindingKind::Attachment, "ATTACH_DANGEROUS", 0, detail);
        let kept = kept(vec![one("x.exe"), one("y.exe")]);
        let details: Vec<&str> = kept.iter().map(|one| &*one.detail).collect();
        assert_eq!(details, ["x.exe", "y.exe"]);
    }
}
