//! Verdict, settings and facts to one decision: unified model, sections 3.1 (stages 13, 14) and 4.3.

use crate::verdict::{DetectionKind, IpAction, Likelihood, ListDecision, Reason, Stage, Verdict};

use super::action::{Action, Decision, HoldReply, HoldSpec, MatchedRule};
use super::rules::Facts;
use super::settings::{BlockAction, DomainSettings, RejectAt};

/// Tag of an action `tag` for which nobody wrote one.
const DEFAULT_TAG: &str = "[SPAM]";

/// What one rule or setting asks for.
struct Ask<'s> {
    name: Box<str>,
    action: Action,
    reason: Reason,
    tag: &'s str,
    stamp: &'s str,
    reply: Option<HoldReply>,
}

impl<'s> Ask<'s> {
    fn new(name: impl Into<Box<str>>, action: Action, reason: Reason) -> Self {
        Self { name: name.into(), action, reason, tag: "", stamp: "", reply: None }
    }

    fn tagged(self, tag: &'s str) -> Self {
        Self { tag, ..self }
    }
}

/// Decides what happens to the copy of one recipient.
#[must_use]
pub fn decide(verdict: &Verdict, settings: &DomainSettings, facts: &Facts<'_>) -> Decision {
    let mut asks: Vec<Ask<'_>> = Vec::new();
    let class_action = settings
        .class_actions
        .iter()
        .filter(|candidate| candidate.matches(verdict))
        .min_by_key(|candidate| candidate.order);
    match class_action {
        Some(chosen) => {
            let name = format!("class_actions {}", chosen.order);
            let reason = verdict.reason.unwrap_or(Reason::NoCriteria);
            let ask = Ask::new(name, chosen.action, reason).tagged(&settings.actions.spam_tag);
            asks.push(Ask { reply: chosen.reply, ..ask });
        }
        None => asks.extend(defaults(verdict, settings, facts)),
    }
    if facts.message_bytes > settings.size.limit_bytes()
        && !skips(&verdict.list, settings, Stage::Size)
    {
        asks.push(Ask::new("size.action", settings.size.action, Reason::Oversize));
    }
    let mut matched: Vec<MatchedRule> = Vec::new();
    let rules_skipped = skips(&verdict.list, settings, Stage::Content);
    for rule in settings.rules.iter().filter(|rule| rule.enabled && !rules_skipped) {
        if !rule.matches(verdict, facts) {
            continue;
        }
        let reason = rule.reason();
        if rule.log_only {
            let (name, action) = (rule.name.clone(), rule.action);
            matched.push(MatchedRule { name, action, reason, log_only: true });
        } else {
            let tag = if rule.tag.is_empty() { &settings.actions.spam_tag } else { &rule.tag };
            let ask = Ask::new(rule.name.clone(), rule.action, reason).tagged(tag);
            asks.push(Ask { stamp: &rule.stamp, ..ask });
        }
    }
    settle(asks, matched, verdict, settings, facts)
}

/// What the settings ask for, given the evidence.
fn defaults<'s>(
    verdict: &Verdict,
    settings: &'s DomainSettings,
    facts: &Facts<'_>,
) -> Vec<Ask<'s>> {
    let actions = &settings.actions;
    let mut asks = Vec::new();
    for found in &verdict.detections {
        let ask = |name: &str, action| Ask::new(name, action, found.reason);
        asks.push(match found.kind {
            DetectionKind::Virus if actions.virus == Action::Clean && !facts.cleaned => {
                ask("virus.in", actions.virus_uncleanable)
            }
            DetectionKind::Virus => ask("virus.in", actions.virus),
            DetectionKind::Blocked => {
                ask("lists.block_action", block_action(settings.lists.block_action))
            }
            DetectionKind::Phish | DetectionKind::Spam => {
                ask("spam.action", actions.spam).tagged(&actions.spam_tag)
            }
            DetectionKind::Suspect => ask("suspect.action", suspect_action(verdict, settings))
                .tagged(&actions.suspect_tag),
            DetectionKind::Graymail => {
                ask("graymail.action", actions.graymail).tagged(&actions.suspect_tag)
            }
            DetectionKind::Auth(method, outcome) => {
                let name = format!("auth.{}.{}", method.key(), outcome.key());
                ask(&name, settings.auth.action(method, outcome)).tagged(&actions.spam_tag)
            }
            DetectionKind::Exception => ask("scan_exception.action", actions.scan_exception),
            DetectionKind::Content => ask("content.action", actions.content),
            DetectionKind::ActiveContent
                if actions.active_content == Action::Clean && !facts.active_cleaned =>
            {
                ask("active_content.action", actions.active_content_uncleanable)
            }
            DetectionKind::ActiveContent => {
                ask("active_content.action", actions.active_content).tagged(&actions.suspect_tag)
            }
            DetectionKind::Attachment => ask("highrisk.in", actions.highrisk),
            DetectionKind::Encrypted => Ask {
                stamp: &actions.encrypted_stamp,
                ..ask("encrypted.action", actions.encrypted)
            },
            DetectionKind::NotScanned => ask("not_scanned.action", actions.not_scanned),
            DetectionKind::NetworkPositive if settings.weights.ip_action == IpAction::Reject => {
                ask("ip.action", Action::Reject)
            }
            DetectionKind::NetworkPositive | DetectionKind::NetworkSuspect => continue,
        });
    }
    asks
}

/// Puts the asks together: the strongest wins, tags and stamps of weaker ones stay.
fn settle(
    asks: Vec<Ask<'_>>,
    mut matched: Vec<MatchedRule>,
    verdict: &Verdict,
    settings: &DomainSettings,
    facts: &Facts<'_>,
) -> Decision {
    let action = asks.iter().map(|ask| ask.action).max().unwrap_or_default();
    let strongest = asks.iter().find(|ask| ask.action == action && action != Action::Deliver);
    let tag = asks.iter().find(|ask| ask.action == Action::Tag).map(|ask| {
        let text = if ask.tag.is_empty() { DEFAULT_TAG } else { ask.tag };
        Box::from(text)
    });
    let mut stamps: Vec<Box<str>> = Vec::new();
    for ask in asks.iter().filter(|ask| ask.action == Action::Stamp && !ask.stamp.is_empty()) {
        let text: Box<str> = ask.stamp.replace("{file}", &file_names(facts)).into();
        if !stamps.contains(&text) {
            stamps.push(text);
        }
    }
    let hold = action.holds().then(|| HoldSpec {
        days: settings.quarantine.days,
        hidden: action == Action::QuarantineHidden,
        reply: asks
            .iter()
            .filter(|ask| ask.action == action)
            .find_map(|ask| ask.reply)
            .unwrap_or(settings.quarantine.reply),
    });
    let reason = strongest.map(|ask| ask.reason);
    let spam = verdict.has(DetectionKind::Phish) || verdict.has(DetectionKind::Spam);
    let suspect = verdict.has(DetectionKind::Suspect) && suspect_action(verdict, settings).holds();
    let asked = asks.into_iter().map(|ask| MatchedRule {
        name: ask.name,
        action: ask.action,
        reason: ask.reason,
        log_only: false,
    });
    matched.splice(0..0, asked);
    Decision {
        action,
        hold,
        reason,
        tag,
        stamps,
        headers: settings.headers,
        ip_action: settings.weights.ip_action,
        judged_spam: spam || suspect,
        matched,
        mixed_reply: settings.quarantine.mixed_reply,
        mixed_days: settings.quarantine.days,
    }
}

/// Names for `{file}` in a stamp: those that could not be read, else all attachments.
fn file_names(facts: &Facts<'_>) -> String {
    if !facts.unread_names.is_empty() {
        return facts.unread_names.join(", ");
    }
    let names = facts.attachments.iter().map(|attachment| attachment.name.as_str());
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `suspect.action` for the likelihood at hand.
fn suspect_action(verdict: &Verdict, settings: &DomainSettings) -> Action {
    match verdict.likelihood {
        Likelihood::Low => settings.actions.suspect.low,
        Likelihood::Medium | Likelihood::High => settings.actions.suspect.medium,
    }
}

/// `lists.block_action` as a final action.
fn block_action(setting: BlockAction) -> Action {
    match setting {
        BlockAction::Reject => Action::Reject,
        BlockAction::Drop => Action::Drop,
        BlockAction::Quarantine => Action::Quarantine,
    }
}

/// Whether the list decision lets this stage be skipped. The size limit holds even for a recipient
/// that bypasses every filter: it protects the box, not the recipient.
fn skips(list: &ListDecision, settings: &DomainSettings, stage: Stage) -> bool {
    match list {
        ListDecision::Bypass => stage != Stage::Size,
        ListDecision::Allow(_) => settings.weights.allow_skips.contains(&stage),
        ListDecision::None | ListDecision::Block(_) => false,
    }
}

/// Whether a client address of class Positive is refused at this point for this recipient (stage 4h;
/// NTT-10: the reply names address and list).
#[must_use]
pub fn network_refusal(settings: &DomainSettings, list: &ListDecision, at: RejectAt) -> bool {
    settings.weights.ip_action == IpAction::Reject
        && settings.actions.ip_reject_at == at
        && !skips(list, settings, Stage::Ip)
}

/// Whether strangers are asked to come again (stage 4i), unless a list says otherwise.
#[must_use]
pub fn greylists(settings: &DomainSettings, list: &ListDecision) -> bool {
    settings.greylist.enabled && !skips(list, settings, Stage::Greylist)
}

/// The final action of a block entry that was found at RCPT (stage 4g), if one was: reject is
/// answered there, the others wait for the mail.
#[must_use]
pub fn block_at_rcpt(settings: &DomainSettings, list: &ListDecision) -> Option<Action> {
    matches!(list, ListDecision::Block(_)).then(|| block_action(settings.lists.block_action))
}

/// The first character of a local-part that the domain refuses (C03, SM-51: 550 5.1.3).
#[must_use]
pub fn refused_char(settings: &DomainSettings, local_part: &str) -> Option<char> {
    local_part.chars().find(|c| settings.recipient.refused_chars.contains(*c))
}
