//! The administrator's own rules: class actions (C50, SM-63) and ordered policy rules of a first
//! working depth (TM-09 has the full list of conditions).

use serde::{Deserialize, Serialize};

use crate::scan::finding::MilliPoints;
use crate::verdict::{MainClass, Reason, Verdict};

use super::action::{Action, HoldReply};

/// A custom action for a class; the first that matches replaces the default action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassAction {
    /// 1 = first. No two are equal.
    pub order: u32,
    /// Pattern (`*`, `?`) over the key of the main class.
    pub main: Box<str>,
    /// Pattern over the sub class; empty = any.
    pub sub: Box<str>,
    /// Pattern over the extra class; empty = any.
    pub extra: Box<str>,
    /// What happens instead.
    pub action: Action,
    /// Reply of a quarantine action, if it is not to be `quarantine.reply`.
    pub reply: Option<HoldReply>,
}

impl ClassAction {
    /// Whether it is for this verdict.
    #[must_use]
    pub fn matches(&self, verdict: &Verdict) -> bool {
        let any_or = |pattern: &str, text: &str| pattern.is_empty() || glob(pattern, text);
        glob(&self.main, verdict.main_class.key())
            && any_or(&self.sub, verdict.sub_class.as_deref().unwrap_or(""))
            && any_or(&self.extra, verdict.extra_class.as_deref().unwrap_or(""))
    }
}

/// One header condition: some field of this name matches the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderCondition {
    /// Field name, any case.
    pub name: Box<str>,
    /// Pattern (`*`, `?`, any case) over the decoded value.
    pub pattern: Box<str>,
}

/// Conditions of a rule; all that are set must hold. None set: every mail ("no criteria").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conditions {
    /// Main class is one of these; empty = any.
    pub classes: Vec<MainClass>,
    /// Score at least this.
    pub points_min: Option<MilliPoints>,
    /// Message larger than this many octets.
    pub larger_than_bytes: Option<u64>,
    /// More recipients in the envelope than this.
    pub recipients_more_than: Option<u32>,
    /// More attachments than this.
    pub attachments_more_than: Option<u32>,
    /// Some attachment larger than this many octets.
    pub attachment_larger_than_bytes: Option<u64>,
    /// Some attachment's name matches one of these patterns (`*.exe`).
    pub attachment_names: Vec<Box<str>>,
    /// Some attachment's declared or true type matches one of these patterns (`application/*`).
    pub attachment_types: Vec<Box<str>>,
    /// Every one of these header conditions holds.
    pub headers: Vec<HeaderCondition>,
}

/// One rule of the administrator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyRule {
    /// Name, shown in logs.
    pub name: Box<str>,
    /// Off: as if it were not there.
    pub enabled: bool,
    /// Reported, without effect.
    pub log_only: bool,
    /// When it matches.
    pub conditions: Conditions,
    /// What it asks for.
    pub action: Action,
    /// Subject tag of action `tag`; empty = the domain's `spam.tag`.
    pub tag: Box<str>,
    /// Text of action `stamp`.
    pub stamp: Box<str>,
}

/// What a rule can ask of one attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachmentFact {
    /// Decoded file name; empty = none.
    pub name: String,
    /// Declared content type, lower case.
    pub content_type: String,
    /// What the octets say it is; empty = unknown.
    pub true_type: String,
    /// Decoded size in octets.
    pub bytes: u64,
}

impl From<&crate::scan::Attachment> for AttachmentFact {
    fn from(seen: &crate::scan::Attachment) -> Self {
        Self {
            name: seen.name.to_string(),
            content_type: seen.content_type.to_string(),
            true_type: seen.true_type.to_string(),
            bytes: seen.bytes,
        }
    }
}

/// What is known of a message besides its verdict.
#[derive(Clone, Debug, Default)]
pub struct Facts<'m> {
    /// Size in canonical octets.
    pub message_bytes: u64,
    /// Recipients in the envelope.
    pub recipients: u32,
    /// Attachments.
    pub attachments: &'m [AttachmentFact],
    /// Header fields: name and decoded value.
    pub headers: &'m [(&'m str, &'m str)],
    /// Names of attachments that could not be read (encrypted), for the `{file}` of a stamp.
    pub unread_names: &'m [&'m str],
    /// The scanner made a copy without the bad parts.
    pub cleaned: bool,
    /// The scanner made a copy without the parts that act when they are opened.
    pub active_cleaned: bool,
}

impl PolicyRule {
    /// Whether all conditions hold. `enabled` is the caller's business.
    #[must_use]
    pub fn matches(&self, verdict: &Verdict, facts: &Facts<'_>) -> bool {
        let when = &self.conditions;
        let over = |limit: Option<u64>, value: u64| limit.is_none_or(|limit| value > limit);
        let some_name = |a: &AttachmentFact| when.attachment_names.iter().any(|p| glob(p, &a.name));
        let some_type = |a: &AttachmentFact| {
            let types = [a.content_type.as_str(), a.true_type.as_str()];
            when.attachment_types.iter().any(|p| types.iter().any(|t| glob(p, t)))
        };
        let field = |c: &HeaderCondition| {
            let named = |(name, value): &(&str, &str)| {
                name.eq_ignore_ascii_case(&c.name) && glob(&c.pattern, value)
            };
            facts.headers.iter().any(named)
        };
        (when.classes.is_empty() || when.classes.contains(&verdict.main_class))
            && when.points_min.is_none_or(|least| verdict.points >= least)
            && over(when.larger_than_bytes, facts.message_bytes)
            && over(when.recipients_more_than.map(u64::from), u64::from(facts.recipients))
            && over(when.attachments_more_than.map(u64::from), facts.attachments.len() as u64)
            && when
                .attachment_larger_than_bytes
                .is_none_or(|limit| facts.attachments.iter().any(|a| a.bytes > limit))
            && (when.attachment_names.is_empty() || facts.attachments.iter().any(some_name))
            && (when.attachment_types.is_empty() || facts.attachments.iter().any(some_type))
            && when.headers.iter().all(field)
    }

    /// The reason of what it asks for.
    #[must_use]
    pub fn reason(&self) -> Reason {
        if self.is_about_attachments() {
            Reason::Attachment
        } else if self.conditions == Conditions::default() {
            Reason::NoCriteria
        } else {
            Reason::Content
        }
    }

    /// Whether it has a condition on attachments (reason `attachment` rather than `content`).
    #[must_use]
    pub fn is_about_attachments(&self) -> bool {
        let when = &self.conditions;
        !when.attachment_names.is_empty()
            || !when.attachment_types.is_empty()
            || when.attachment_larger_than_bytes.is_some()
            || when.attachments_more_than.is_some()
            || when.larger_than_bytes.is_some()
    }
}

/// Whether `text` as a whole matches `pattern` (`*` any run, `?` any one character, any case).
/// Linear in memory, at most `pattern * text` steps: no pattern makes it explode.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().flat_map(char::to_lowercase).collect();
    let mut reach = vec![false; pattern.len() + 1];
    let mut next = reach.clone();
    let open = |reach: &mut [bool]| {
        for (index, c) in pattern.iter().enumerate() {
            if *c == '*'
                && reach.get(index) == Some(&true)
                && let Some(slot) = reach.get_mut(index + 1)
            {
                *slot = true;
            }
        }
    };
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    open(&mut reach);
    for c in text.chars().flat_map(char::to_lowercase) {
        next.fill(false);
        for (index, wanted) in pattern.iter().enumerate() {
            if reach.get(index) != Some(&true) {
                continue;
            }
            let to = match wanted {
                '*' => index,
                '?' => index + 1,
                exact if *exact == c => index + 1,
                _ => continue,
            };
            if let Some(slot) = next.get_mut(to) {
                *slot = true;
            }
        }
        open(&mut next);
        std::mem::swap(&mut reach, &mut next);
    }
    reach.last() == Some(&true)
}
