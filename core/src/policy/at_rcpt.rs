//! What RCPT is answered by settings: unified model, section 3.1, stages 4b and 4f to 4i. Whatever is refused here
//! could not be let through later, so what lets it through later counts here, too: bypasses and class actions.

use std::borrow::Cow;

use crate::verdict::{AppliedEntry, IpAction, ListDecision, MainClass, Reason, Stage};

use super::action::Action;
use super::decide::{Spared, block_action, skips};
use super::rules::{Bypassed, ClassAction, bypass};
use super::settings::{DomainSettings, RejectAt};

/// The first character of a local-part that the domain refuses (C03, SM-51: 550 5.1.3).
#[must_use]
pub fn refused_char(settings: &DomainSettings, local_part: &str) -> Option<char> {
    local_part.chars().find(|c| settings.recipient.refused_chars.contains(*c))
}

/// SM-62: whether a mail that says so of itself (SIZE) is refused as too large.
#[must_use]
pub fn size_refusal(
    settings: &DomainSettings,
    declared_bytes: u64,
    bypasses: &[Bypassed<'_>],
) -> bool {
    settings.size.action == Action::Reject
        && declared_bytes > settings.size.limit_bytes()
        && bypass(bypasses, &["size.action"], Spared::Yes).is_none()
}

/// The rule by which a block entry that was found at RCPT (stage 4g) is refused there, if it is. What else the entry
/// leads to waits for the mail.
///
/// SM-63: a class action for Blacklisted replaces `lists.block_action`, so RCPT is refused only where that refuses.
#[must_use]
pub fn block_refusal(
    settings: &DomainSettings,
    list: &ListDecision,
    bypasses: &[Bypassed<'_>],
) -> Option<Cow<'static, str>> {
    let ListDecision::Block(entry) = list else { return None };
    let (rule, action, spared) = match class_action(settings, entry) {
        Some(chosen) => (Cow::Owned(chosen.rule_name()), chosen.action, Spared::No),
        None => {
            let action = block_action(settings.lists.block_action);
            (Cow::Borrowed("lists.block_action"), action, Spared::Yes)
        }
    };
    let refuses = action == Action::Reject && bypass(bypasses, &[&*rule], spared).is_none();
    refuses.then_some(rule)
}

/// The class action for mail that a block entry is about, as far as its class is known before the mail.
fn class_action<'s>(settings: &'s DomainSettings, entry: &AppliedEntry) -> Option<&'s ClassAction> {
    let (main, sub) = (MainClass::Blacklisted, Reason::BlockList.key());
    let meant = |one: &&ClassAction| one.is_for(main, sub, &entry.text);
    settings.class_actions.iter().filter(meant).min_by_key(|one| one.order)
}

/// Whether a client address of class Positive is refused at this point for this recipient (stage 4h;
/// NTT-10: the reply names address and list). No class action is asked: an address is not a class.
#[must_use]
pub fn network_refusal(
    settings: &DomainSettings,
    list: &ListDecision,
    at: RejectAt,
    bypasses: &[Bypassed<'_>],
) -> bool {
    settings.weights.ip_action == IpAction::Reject
        && settings.actions.ip_reject_at == at
        && !skips(list, settings, Stage::Ip)
        && bypass(bypasses, &["ip.action"], Spared::No).is_none()
}

/// Whether strangers are asked to come again (stage 4i), unless a list says otherwise.
#[must_use]
pub fn greylists(settings: &DomainSettings, list: &ListDecision) -> bool {
    settings.greylist.enabled && !skips(list, settings, Stage::Greylist)
}
