//! Verdict, settings and facts to one decision: unified model, sections 3.1 (stages 13, 14) and 4.3.

use std::borrow::Cow;

use crate::verdict::{
    Detection, DetectionKind, IpAction, Likelihood, ListDecision, MainClass, Reason, Stage, Verdict,
};

use super::action::{
    Action, Decision, HoldReply, HoldSpec, MatchedRule, NoticeAsk, RemovedByRule, SentTo,
};
use super::rules::{Facts, PolicyRule, SideActions, StandardSetting, bypass};
use super::settings::{BlockAction, DomainSettings};

/// Tag of an action `tag` for which nobody wrote one.
const DEFAULT_TAG: &str = "[SPAM]";
/// Mailboxes that get copies of one mail for one recipient, and fields that are added to it.
const SIDE_ACTIONS_MAX: usize = 20;

/// Names of attachments in one stamp.
const NAMES_MAX: usize = 50;

/// What one rule or setting asks for.
struct Ask<'s> {
    matched: MatchedRule,
    /// Written by the rule itself: put in whatever its action is.
    own_tag: &'s str,
    own_stamp: &'s str,
    /// Of the setting: only for the action that asks for it.
    tag: &'s str,
    stamp: &'s str,
    reply: Option<HoldReply>,
    side: Option<&'s SideActions>,
    /// The administrator's rule, if it is one.
    rule: Option<&'s PolicyRule>,
}

impl<'s> Ask<'s> {
    fn new(name: impl Into<Box<str>>, action: Action, reason: Reason) -> Self {
        let matched = MatchedRule {
            name: name.into(),
            action,
            reason,
            log_only: false,
            memo: "".into(),
            condition: "".into(),
            bypassed: "".into(),
        };
        Self {
            matched,
            own_tag: "",
            own_stamp: "",
            tag: "",
            stamp: "",
            reply: None,
            side: None,
            rule: None,
        }
    }

    fn tagged(self, tag: &'s str) -> Self {
        Self { tag, ..self }
    }

    fn because(mut self, condition: impl Into<Box<str>>) -> Self {
        self.matched.condition = condition.into();
        self
    }

    fn acts(&self) -> bool {
        !self.matched.log_only && self.matched.bypassed.is_empty()
    }

    /// Without effect where a bypass names it; `spared`: one for the whole domain does not.
    fn bypassed(mut self, facts: &Facts<'_>, spared: Spared) -> Self {
        let names = [&*self.matched.name, &*self.matched.memo];
        if let Some(told) = bypass(facts.bypasses, &names, spared) {
            self.matched.bypassed = told.into();
        }
        self
    }
}

/// Whether a bypass of a whole domain leaves something in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spared {
    /// Rules and settings of the administrator.
    No,
    /// What protects from malware, and the box: only a bypass that names it.
    Yes,
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
            let name = chosen.rule_name();
            let reason = verdict.reason.unwrap_or(Reason::NoCriteria);
            let ask = Ask::new(name, chosen.action, reason).tagged(&settings.actions.spam_tag);
            let ask = ask.because(verdict.main_class.name());
            let (side, own_tag) = (Some(&chosen.side), &*chosen.tag);
            let ask = Ask { reply: chosen.reply, side, own_tag, ..ask };
            asks.push(ask.bypassed(facts, Spared::No));
        }
        None => {
            for found in &verdict.detections {
                of_setting(&mut asks, found, (verdict, settings, facts));
            }
        }
    }
    if facts.message_bytes > settings.size.limit_bytes()
        && !skips(&verdict.list, settings, Stage::Size)
    {
        let ask = Ask::new("size.action", settings.size.action, Reason::Oversize);
        let told = format!("size {} > {}", facts.message_bytes, settings.size.limit_bytes());
        asks.push(ask.because(told).bypassed(facts, Spared::Yes));
    }
    if !skips(&verdict.list, settings, Stage::Content) {
        asks.extend(of_rules(verdict, settings, facts));
    }
    settle(asks, verdict, settings, facts)
}

/// What the administrator's rules ask for, in their order.
fn of_rules<'s>(
    verdict: &Verdict,
    settings: &'s DomainSettings,
    facts: &Facts<'_>,
) -> Vec<Ask<'s>> {
    let mut asks = Vec::new();
    let own = settings.rules.iter().enumerate().filter(|(_, rule)| rule.sets.is_none());
    for (index, rule) in own {
        let Some(condition) = rule.matches(index, verdict, facts) else { continue };
        let ask = Ask::new(rule.name.clone(), rule.action, rule.reason());
        let mut ask = ask.tagged(&settings.actions.spam_tag).because(condition);
        ask.matched.log_only = rule.log_only;
        let ask = Ask {
            own_tag: &rule.tag,
            own_stamp: &rule.stamp,
            side: Some(&rule.side),
            rule: Some(rule),
            ..ask
        };
        let ask = ask.bypassed(facts, Spared::No);
        let ends = rule.last && ask.acts();
        asks.push(ask);
        if ends {
            break;
        }
    }
    let asks_texts = |rule: &PolicyRule| rule.enabled && !rule.conditions.content.is_empty();
    if facts.content_cut && settings.rules.iter().any(asks_texts) {
        // Nobody shall take "no rule matched" for "everything was searched".
        let mut ask = Ask::new("content", Action::Deliver, Reason::Content)
            .because("not all texts of this mail were searched");
        ask.matched.log_only = true;
        asks.push(ask);
    }
    asks
}

/// Adds what a setting asks for, given its evidence. Where standard rules are its names, they are the setting: each that is
/// for this mail asks under its own name, and what none of them is for is not touched.
fn of_setting<'s>(
    asks: &mut Vec<Ask<'s>>,
    found: &Detection,
    (verdict, settings, facts): (&Verdict, &'s DomainSettings, &Facts<'_>),
) {
    let spared = match found.kind {
        DetectionKind::Virus | DetectionKind::Blocked | DetectionKind::Exception => Spared::Yes,
        DetectionKind::Phish
        | DetectionKind::Spam
        | DetectionKind::Auth(..)
        | DetectionKind::Suspect
        | DetectionKind::Graymail
        | DetectionKind::Content
        | DetectionKind::ActiveContent
        | DetectionKind::Attachment
        | DetectionKind::Encrypted
        | DetectionKind::NotScanned
        | DetectionKind::NetworkPositive
        | DetectionKind::NetworkSuspect => Spared::No,
    };
    let setting = StandardSetting::of(found.kind);
    let names = || {
        settings.rules.iter().enumerate().filter(|(_, rule)| {
            rule.sets.is_some() && rule.sets == setting && rule.is_of(verdict.likelihood)
        })
    };
    // One name has what the setting has; of several each says its own.
    let several = names().nth(1).is_some();
    let mut is_named = false;
    for (index, rule) in names().filter(|(_, rule)| rule.enabled) {
        is_named = true;
        if rule.matches(index, verdict, facts).is_none() {
            continue;
        }
        let named = several.then_some(rule.action);
        let plain = plain_setting(found, verdict, settings, (facts, named));
        let Some(mut ask) = plain else { continue };
        if several && !rule.tag.is_empty() {
            ask.tag = &rule.tag;
        }
        ask.side = Some(&rule.side);
        ask.matched.memo = rule.name.clone();
        ask.matched.log_only = rule.log_only;
        asks.push(ask.bypassed(facts, spared));
    }
    if !is_named {
        let plain = plain_setting(found, verdict, settings, (facts, None));
        asks.extend(plain.map(|ask| ask.bypassed(facts, spared)));
    }
}

/// The setting that answers to evidence, as log, bypasses and held items name it.
#[must_use]
pub fn setting_key(kind: DetectionKind) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        DetectionKind::Virus => "virus.in",
        DetectionKind::Blocked => "lists.block_action",
        DetectionKind::Phish | DetectionKind::Spam => "spam.action",
        DetectionKind::Suspect => "suspect.action",
        DetectionKind::Graymail => "graymail.action",
        DetectionKind::Auth(method, outcome) => {
            return format!("auth.{}.{}", method.key(), outcome.key()).into();
        }
        DetectionKind::Exception => "scan_exception.action",
        DetectionKind::Content => "content.action",
        DetectionKind::ActiveContent => "active_content.action",
        DetectionKind::Attachment => "highrisk.in",
        DetectionKind::Encrypted => "encrypted.action",
        DetectionKind::NotScanned => "not_scanned.action",
        DetectionKind::NetworkPositive | DetectionKind::NetworkSuspect => "ip.action",
    })
}

/// What a setting asks for; `named`: the action of the standard rule that it is asked by.
fn plain_setting<'s>(
    found: &Detection,
    verdict: &Verdict,
    settings: &'s DomainSettings,
    (facts, named): (&Facts<'_>, Option<Action>),
) -> Option<Ask<'s>> {
    let actions = &settings.actions;
    let or = |action: Action| named.unwrap_or(action);
    let ask =
        |action| Ask::new(setting_key(found.kind), action, found.reason).because(&*found.rule);
    let likelihood = verdict.likelihood.name();
    Some(match found.kind {
        DetectionKind::Virus if or(actions.virus) == Action::Clean && !facts.cleaned => {
            ask(actions.virus_uncleanable)
        }
        DetectionKind::Virus => ask(or(actions.virus)),
        DetectionKind::Blocked => ask(block_action(settings.lists.block_action)),
        DetectionKind::Phish | DetectionKind::Spam => {
            ask(or(actions.spam)).tagged(&actions.spam_tag).because(likelihood)
        }
        DetectionKind::Suspect => ask(or(suspect_action(verdict, settings)))
            .tagged(&actions.suspect_tag)
            .because(likelihood),
        DetectionKind::Graymail => ask(or(actions.graymail)).tagged(&actions.suspect_tag),
        DetectionKind::Auth(method, outcome) => {
            ask(settings.auth.action(method, outcome)).tagged(&actions.spam_tag)
        }
        DetectionKind::Exception => ask(or(actions.scan_exception)),
        DetectionKind::Content => ask(or(actions.content)),
        DetectionKind::ActiveContent
            if actions.active_content == Action::Clean && !facts.active_cleaned =>
        {
            ask(actions.active_content_uncleanable)
        }
        DetectionKind::ActiveContent => ask(actions.active_content).tagged(&actions.suspect_tag),
        DetectionKind::Attachment => ask(or(actions.highrisk)),
        DetectionKind::Encrypted => {
            let stamp = &actions.encrypted_stamp;
            Ask { stamp, ..ask(or(actions.encrypted)) }
        }
        DetectionKind::NotScanned => ask(actions.not_scanned),
        DetectionKind::NetworkPositive if settings.weights.ip_action == IpAction::Reject => {
            ask(Action::Reject)
        }
        DetectionKind::NetworkPositive | DetectionKind::NetworkSuspect => return None,
    })
}

/// Puts the asks together: the strongest wins, everything else that weaker ones ask for stays.
fn settle(
    mut asks: Vec<Ask<'_>>,
    verdict: &Verdict,
    settings: &DomainSettings,
    facts: &Facts<'_>,
) -> Decision {
    let removed = removals(&mut asks, facts);
    let acting = || asks.iter().filter(|ask| ask.acts());
    let action = acting().map(|ask| ask.matched.action).max().unwrap_or_default();
    let is_strongest = |ask: &&Ask<'_>| ask.matched.action == action && action != Action::Deliver;
    let strongest = acting().find(is_strongest);
    let hold = action.holds().then(|| HoldSpec {
        days: settings.quarantine.days,
        hidden: action == Action::QuarantineHidden,
        reply: acting()
            .filter(|ask| ask.matched.action == action)
            .find_map(|ask| ask.reply)
            .unwrap_or(settings.quarantine.reply),
    });
    let spam = verdict.has(DetectionKind::Phish) || verdict.has(DetectionKind::Spam);
    let suspect = verdict.has(DetectionKind::Suspect) && suspect_action(verdict, settings).holds();
    let mut decision = Decision {
        action,
        hold,
        reason: strongest.map(|ask| ask.matched.reason),
        tag: acting().find_map(tag_of),
        stamps: Vec::new(),
        headers: settings.headers,
        ip_action: settings.weights.ip_action,
        judged_spam: spam || suspect,
        matched: Vec::new(),
        mixed_reply: settings.quarantine.mixed_reply,
        mixed_days: settings.quarantine.days,
        class: match action {
            // Section 4.1: held, and not for the user to release. What it is besides says the sub class.
            Action::QuarantineHidden => Some((MainClass::Locked, locked_for(verdict, strongest))),
            _ => strongest.and_then(|ask| class_of(ask, action, verdict)),
        },
        fields: Vec::new(),
        redirect: None,
        bcc: Vec::new(),
        stamp_signed: settings.stamp_signed,
        notices: match virus_is_news(&asks, verdict, settings) {
            true => settings.notice.asks(verdict),
            false => Vec::new(),
        },
        removed,
    };
    for ask in acting() {
        stamp(ask, facts, &mut decision.stamps);
        besides(ask, &mut decision);
    }
    decision.matched = asks.into_iter().map(|ask| ask.matched).collect();
    decision
}

/// Whether somebody is told of malware: not where a list lets it pass, and not where the standard rule about it is off, is not
/// for this mail, only logs or is bypassed (NTT-05: the notice is what rule 1 does).
fn virus_is_news(asks: &[Ask<'_>], verdict: &Verdict, settings: &DomainSettings) -> bool {
    let setting = StandardSetting::of(DetectionKind::Virus);
    let is_rule = settings.rules.iter().any(|rule| rule.sets.is_some() && rule.sets == setting);
    let tells = |ask: &Ask<'_>| {
        let by_setting = &*ask.matched.name == "virus.in";
        let by_class = ask.matched.name.starts_with("class_actions ");
        ask.acts() && (by_class || by_setting && !(is_rule && ask.matched.memo.is_empty()))
    };
    !skips(&verdict.list, settings, Stage::Virus) && asks.iter().any(tells)
}

/// The tag that an ask puts into the subject.
fn tag_of(ask: &Ask<'_>) -> Option<Box<str>> {
    match (ask.own_tag, ask.tag, ask.matched.action) {
        ("", "", Action::Tag) => Some(DEFAULT_TAG.into()),
        ("", tag, Action::Tag) => Some(tag.into()),
        ("", ..) => None,
        (own, ..) => Some(own.into()),
    }
}

fn stamp(ask: &Ask<'_>, facts: &Facts<'_>, stamps: &mut Vec<Box<str>>) {
    let text = match (ask.own_stamp, ask.matched.action) {
        ("", Action::Stamp) => ask.stamp,
        (own, _) => own,
    };
    if text.is_empty() {
        return;
    }
    let text: Box<str> = text.replace("{file}", &file_names(facts)).into();
    if !stamps.contains(&text) {
        stamps.push(text);
    }
}

/// Side actions of an ask, added to those of others.
fn besides(ask: &Ask<'_>, decision: &mut Decision) {
    let Some(side) = ask.side else { return };
    let rule = match &*ask.matched.memo {
        "" => &ask.matched.name,
        memo => &Box::from(memo),
    };
    for field in &side.fields {
        if decision.fields.len() < SIDE_ACTIONS_MAX && !decision.fields.contains(field) {
            decision.fields.push(field.clone());
        }
    }
    let to = |mailbox: &str| SentTo { mailbox: mailbox.into(), rule: rule.clone() };
    if decision.redirect.is_none() {
        decision.redirect = side.redirect.as_deref().map(to);
    }
    for mailbox in &side.bcc {
        let known = decision.bcc.iter().any(|other| other.mailbox == *mailbox);
        if decision.bcc.len() < SIDE_ACTIONS_MAX && !known {
            decision.bcc.push(to(mailbox));
        }
    }
    for notice in &side.notices {
        let (to, template) = (notice.to.clone(), notice.template.clone());
        let asked = NoticeAsk { rule: rule.clone(), to, template };
        if decision.notices.len() < SIDE_ACTIONS_MAX && !decision.notices.contains(&asked) {
            decision.notices.push(asked);
        }
    }
}

/// Parts that rules take out. A rule whose attachment cannot be taken out holds the mail instead: it
/// must not be delivered with what the rule removes.
fn removals(asks: &mut [Ask<'_>], facts: &Facts<'_>) -> Vec<RemovedByRule> {
    let mut removed: Vec<RemovedByRule> = Vec::new();
    for ask in asks.iter_mut().filter(|ask| ask.acts()) {
        let Some(rule) = ask.rule.filter(|rule| rule.side.delete_attachments) else { continue };
        let meant = facts.attachments.iter().filter(|one| rule.conditions.is_meant(one));
        let mut least = Action::Deliver;
        for one in meant {
            match one.span {
                Some((start, end)) => {
                    least = least.max(Action::Clean);
                    let (name, bytes) = (one.name.as_str().into(), one.bytes);
                    removed.push(RemovedByRule {
                        start,
                        end,
                        name,
                        bytes,
                        rule: rule.name.clone(),
                    });
                }
                None => least = least.max(Action::Quarantine),
            }
        }
        ask.matched.action = ask.matched.action.max(least);
    }
    removed.sort_by_key(|part| (part.start, std::cmp::Reverse(part.end)));
    let mut end = 0;
    removed.retain(|part| {
        let apart = part.start >= end;
        end = end.max(part.end);
        apart
    });
    removed
}

/// The class that section 4.2 gives a mail that a rule of the administrator, its size or its client's address keeps
/// from its recipient, unless it is something worse by itself.
fn class_of(ask: &Ask<'_>, action: Action, verdict: &Verdict) -> Option<(MainClass, Box<str>)> {
    if action.delivers() {
        return None;
    }
    let class: (MainClass, Box<str>) = match (ask.matched.reason, ask.rule) {
        (Reason::Dlp, Some(_)) => return Some((MainClass::Locked, "dlp".into())),
        (Reason::Content | Reason::Attachment | Reason::NoCriteria, Some(_)) => {
            (MainClass::Spam, "content".into())
        }
        (reason @ Reason::Oversize, None) => (MainClass::Unknown, reason.key().into()),
        // The address of the client alone is no class (ITS-03), until something is done about it.
        (reason @ Reason::WebReputation, None) => (MainClass::Spam, reason.key().into()),
        _ => return None,
    };
    match verdict.main_class {
        MainClass::NotSpam
        | MainClass::Whitelisted
        | MainClass::Unsure
        | MainClass::Unknown
        | MainClass::FalsePositive => Some(class),
        MainClass::Blacklisted
        | MainClass::FalseNegative
        | MainClass::Phish
        | MainClass::Virus
        | MainClass::Spam
        | MainClass::Locked
        | MainClass::Greylist
        | MainClass::Error => None,
    }
}

/// Sub class of a mail that is held out of sight.
fn locked_for(verdict: &Verdict, strongest: Option<&Ask<'_>>) -> Box<str> {
    match &verdict.sub_class {
        Some(sub) => sub.clone(),
        None => strongest.map_or("", |ask| ask.matched.reason.key()).into(),
    }
}

/// Names for `{file}` in a stamp: those that could not be read, else all attachments.
fn file_names(facts: &Facts<'_>) -> String {
    if !facts.unread_names.is_empty() {
        return facts.unread_names.get(..NAMES_MAX).unwrap_or(facts.unread_names).join(", ");
    }
    let mut names: Vec<&str> = Vec::new();
    let mut spans = Vec::new();
    for attachment in facts.attachments {
        // Members of an archive are where it is, and come after it.
        let inside = attachment.span.is_some() && spans.contains(&attachment.span);
        spans.push(attachment.span);
        if !inside && !attachment.name.is_empty() {
            names.push(&attachment.name);
        }
        if names.len() >= NAMES_MAX {
            break;
        }
    }
    names.join(", ")
}

/// `suspect.action` for the likelihood at hand.
fn suspect_action(verdict: &Verdict, settings: &DomainSettings) -> Action {
    match verdict.likelihood {
        Likelihood::Low => settings.actions.suspect.low,
        Likelihood::Medium | Likelihood::High => settings.actions.suspect.medium,
    }
}

/// `lists.block_action` as a final action.
pub(super) fn block_action(setting: BlockAction) -> Action {
    match setting {
        BlockAction::Reject => Action::Reject,
        BlockAction::Drop => Action::Drop,
        BlockAction::Quarantine => Action::Quarantine,
    }
}

/// Whether the list decision lets this stage be skipped. The size limit holds even for a recipient
/// that bypasses every filter: it protects the box, not the recipient.
pub(super) fn skips(list: &ListDecision, settings: &DomainSettings, stage: Stage) -> bool {
    match list {
        ListDecision::Bypass => stage != Stage::Size,
        ListDecision::Allow(_) => settings.weights.allow_skips.contains(&stage),
        ListDecision::None | ListDecision::Block(_) => false,
    }
}
