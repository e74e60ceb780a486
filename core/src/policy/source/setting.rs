//! Overrides of settings by their names in unified model section 6. Profiles are read by this code
//! too.

use crate::config::walk::Section;
use crate::policy::{
    Action, AddRequires, AliasKind, BlockAction, DomainSettings, HeaderSet, HoldReply, MatchOn,
    MixedReply, PatternKind, Precedence, RejectAt, Verify,
};
use crate::verdict::{IpAction, Stage};

use super::named::Lists;
use super::{rule, rules};

/// Every final action but cleaning and stamping, which need more than a word.
pub(super) const COMMON: &[Action] = &[
    Action::Deliver,
    Action::Header,
    Action::Tag,
    Action::Quarantine,
    Action::QuarantineHidden,
    Action::Reject,
    Action::Drop,
];

/// Reads the settings that stand in `section` into `settings`; those that do not keep their value.
pub fn apply_settings(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    with_lists(section, settings, &Lists::default());
}

/// The same, where rules may refer to named lists.
pub(super) fn with_lists(
    section: &mut Section<'_, '_>,
    settings: &mut DomainSettings,
    lists: &Lists,
) {
    recipient(section, settings);
    sender_lists(section, settings, lists);
    verdict(section, settings);
    exceptions(section, settings);
    quarantine(section, settings);
    super::auth::read(section, &mut settings.auth);
    greylist(section, settings);
    super::notice::read(section, settings, lists);
    super::impersonation::read(section, &mut settings.impersonation);
    classifier(section, settings);
    rule::read_class_actions(section, &mut settings.class_actions, lists);
    rules::read(section, settings, lists);
    let weights = &mut settings.weights;
    weights.highrisk = settings.actions.highrisk != Action::Deliver;
    weights.active_content = settings.actions.active_content != Action::Deliver;
    weights.content = settings.actions.content != Action::Deliver;
    weights.graymail = settings.actions.graymail != Action::Deliver;
    weights.auth = settings.auth.weights();
}

/// C01 to C03, C14.
fn recipient(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let recipient = &mut settings.recipient;
    section.table("recipient", |section| {
        let verify = [
            ("off", Verify::Off),
            ("list", Verify::List),
            ("directory", Verify::Directory),
            ("callout", Verify::Callout),
        ];
        section.choice("verify", &verify, &mut recipient.verify);
        section.flag("log_invalid", &mut recipient.log_invalid);
        let place = section.place_of("refused_chars");
        section.line("refused_chars", 64, &mut recipient.refused_chars);
        // A letter or digit here would refuse nearly everybody, silently, one by one.
        if recipient.refused_chars.chars().any(|c| c.is_ascii_alphanumeric() || c == '@') {
            section.wrong("refused_chars", place, "holds a letter, a digit or @");
        }
    });
    section.table("alias", |section| {
        let kinds = [
            ("mailbox", AliasKind::Mailbox),
            ("domain", AliasKind::Domain),
            ("directory", AliasKind::Directory),
        ];
        section.choices("kinds", &kinds, &mut settings.alias_kinds);
    });
}

/// C20 to C28, C31, C33.
fn sender_lists(section: &mut Section<'_, '_>, settings: &mut DomainSettings, named: &Lists) {
    let (lists, weights) = (&mut settings.lists, &mut settings.weights);
    section.table("lists", |section| {
        let precedence = [
            ("specific_first", Precedence::SpecificFirst),
            ("block_first", Precedence::BlockFirst),
            ("allow_first", Precedence::AllowFirst),
        ];
        section.choice("precedence", &precedence, &mut lists.precedence);
        let stages = [
            ("spam", Stage::Spam),
            ("virus", Stage::Virus),
            ("content", Stage::Content),
            ("ip", Stage::Ip),
            ("greylist", Stage::Greylist),
            ("auth", Stage::Auth),
            ("size", Stage::Size),
        ];
        section.choices("allow_skips", &stages, &mut weights.allow_skips);
        let block = [
            ("reject", BlockAction::Reject),
            ("drop", BlockAction::Drop),
            ("quarantine", BlockAction::Quarantine),
        ];
        section.choice("block_action", &block, &mut lists.block_action);
        let mut users: Vec<bool> = Vec::new();
        if section.has("user_lists") {
            section.choices("user_lists", &[("allow", false), ("block", true)], &mut users);
            lists.user_allow = users.contains(&false);
            lists.user_block = users.contains(&true);
        } else {
            section.choices("user_lists", &[("allow", false), ("block", true)], &mut users);
        }
        section.number("max", 1..=1_000_000, &mut lists.max);
        let forms = [
            ("ip", PatternKind::Ip),
            ("address", PatternKind::Address),
            ("domain", PatternKind::Domain),
            ("*@domain", PatternKind::DomainWildcard),
            ("*@*.domain", PatternKind::SubdomainWildcard),
        ];
        section.choices("forms", &forms, &mut lists.forms);
        let sides =
            [("envelope", MatchOn::Envelope), ("header", MatchOn::Header), ("both", MatchOn::Both)];
        section.choice("match_on", &sides, &mut lists.match_on);
        section.choice("block_match_on", &sides, &mut lists.block_match_on);
        let duplicate = [("refuse", false), ("permit", true)];
        section.choice("cross_duplicate", &duplicate, &mut lists.cross_duplicate);
        section.number("delay_seconds", 0..=86_400, &mut lists.delay_seconds);
        let recipient = &mut lists.recipient_block;
        section.choice("recipient", &[("none", false), ("block", true)], recipient);
        let requires = [
            ("none", AddRequires::None),
            ("threat_filter", AddRequires::ThreatFilter),
            ("spam_category", AddRequires::SpamCategory),
        ];
        section.choice("add_requires", &requires, &mut lists.add_requires);
        named.set(section, "threat_filter", &mut lists.threat_filter);
        named.set(section, "other_filter", &mut lists.other_filter);
    });
}

/// C40 to C44 and the thresholds.
fn verdict(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let (actions, weights) = (&mut settings.actions, &mut settings.weights);
    section.table("spam", |section| {
        action(section, "action", COMMON, &mut actions.spam);
        section.line("tag", 60, &mut actions.spam_tag);
        section.points("points", &mut weights.spam_points);
    });
    section.table("suspect", |section| {
        section.table("action", |section| {
            action(section, "low", COMMON, &mut actions.suspect.low);
            action(section, "medium", COMMON, &mut actions.suspect.medium);
        });
        section.line("tag", 60, &mut actions.suspect_tag);
        section.points("points", &mut weights.suspect_points);
        section.points("medium_points", &mut weights.suspect_medium_points);
    });
    section.table("graymail", |section| {
        action(section, "action", COMMON, &mut actions.graymail);
        section.points("points", &mut weights.graymail_points);
    });
    let order = [weights.suspect_points, weights.suspect_medium_points, weights.spam_points];
    if !order.is_sorted() || weights.suspect_points <= 0 {
        let text = "expected 0 < suspect.points <= suspect.medium_points <= spam.points";
        section.problem(section.place_of("spam"), text);
    }
    section.table("ip", |section| {
        let ip = [
            ("header", IpAction::Header),
            ("reject", IpAction::Reject),
            ("score", IpAction::Score),
        ];
        section.choice("action", &ip, &mut weights.ip_action);
        let at = [("rcpt", RejectAt::Rcpt), ("data", RejectAt::Data)];
        section.choice("reject_at", &at, &mut actions.ip_reject_at);
        section.points("positive_points", &mut weights.ip_positive_points);
        section.points("suspect_points", &mut weights.ip_suspect_points);
    });
    section.table("headers", |section| {
        let sets = [
            ("none", HeaderSet::None),
            ("standard", HeaderSet::Standard),
            ("itscom", HeaderSet::Itscom),
        ];
        section.choice("set", &sets, &mut settings.headers);
    });
}

/// C45, C47 to C49.
fn exceptions(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let actions = &mut settings.actions;
    section.table("virus", |section| {
        let with_clean = [COMMON, &[Action::Clean]].concat();
        action(section, "in", &with_clean, &mut actions.virus);
        action(section, "uncleanable", COMMON, &mut actions.virus_uncleanable);
        section.flag("engines", &mut actions.engines);
    });
    section.table("encrypted", |section| {
        let with_stamp = [COMMON, &[Action::Stamp]].concat();
        action(section, "action", &with_stamp, &mut actions.encrypted);
        section.line("stamp", 1000, &mut actions.encrypted_stamp);
    });
    if actions.encrypted == Action::Stamp && actions.encrypted_stamp.is_empty() {
        section.problem(section.place_of("encrypted"), "encrypted.stamp: is missing");
    }
    section.table("active_content", |section| {
        let with_clean = [COMMON, &[Action::Clean]].concat();
        action(section, "action", &with_clean, &mut actions.active_content);
        let uncleanable = &mut actions.active_content_uncleanable;
        action(section, "uncleanable", COMMON, uncleanable);
    });
    let one = |section: &mut Section<'_, '_>, slot: &mut Action| {
        action(section, "action", COMMON, slot);
    };
    section.table("scan_exception", |section| one(section, &mut actions.scan_exception));
    section.table("not_scanned", |section| one(section, &mut actions.not_scanned));
    section.table("content", |section| one(section, &mut actions.content));
    section.table("highrisk", |section| action(section, "in", COMMON, &mut actions.highrisk));
    let size = &mut settings.size;
    section.table("size", |section| {
        section.number("limit_mb", 1..=2048, &mut size.limit_mb);
        action(section, "action", &[Action::Reject, Action::Quarantine], &mut size.action);
    });
}

/// C60 to C62 and section 3.3.
fn quarantine(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let quarantine = &mut settings.quarantine;
    section.table("quarantine", |section| {
        section.number("days", 1..=365, &mut quarantine.days);
        let reply = [("accept", HoldReply::Accept), ("reject", HoldReply::Reject)];
        section.choice("reply", &reply, &mut quarantine.reply);
        section.flag("rescan", &mut quarantine.rescan);
        let mixed = [("held", MixedReply::Held), ("dropped", MixedReply::Dropped)];
        section.choice("mixed_reply", &mixed, &mut quarantine.mixed_reply);
    });
}

/// `greylist.*`
fn greylist(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let greylist = &mut settings.greylist;
    section.table("greylist", |section| {
        section.flag("enabled", &mut greylist.enabled);
        section.number("delay_seconds", 1..=86_400, &mut greylist.delay_seconds);
        section.number("window_hours", 1..=720, &mut greylist.window_hours);
        section.number("known_days", 1..=365, &mut greylist.known_days);
        if u64::from(greylist.delay_seconds) >= u64::from(greylist.window_hours) * 3600 {
            let place = section.place_of("delay_seconds");
            section.problem(place, "delay_seconds: nobody can come again within window_hours");
        }
    });
}

/// C74.
fn classifier(section: &mut Section<'_, '_>, settings: &mut DomainSettings) {
    let classifier = &mut settings.classifier;
    section.table("classifier", |section| section.flag("enabled", &mut classifier.enabled));
    section.table("train", |section| section.flag("enabled", &mut classifier.train));
}

/// One of `allowed`.
pub(super) fn action(
    section: &mut Section<'_, '_>,
    key: &'static str,
    allowed: &[Action],
    slot: &mut Action,
) {
    let choices: Vec<(&'static str, Action)> =
        allowed.iter().map(|action| (action.key(), *action)).collect();
    section.choice(key, &choices, slot);
}
