//! Class actions (C50, SM-63), and the patterns that names are written as.

use serde::{Deserialize, Serialize};

use super::side::SideActions;
use crate::policy::action::{Action, HoldReply};
use crate::verdict::{MainClass, Verdict};

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
    /// Subject tag; empty = none, but for action `tag` the domain's `spam.tag`.
    #[serde(default)]
    pub tag: Box<str>,
    /// What is done besides.
    #[serde(default)]
    pub side: SideActions,
}

impl ClassAction {
    /// Whether it is for this verdict.
    #[must_use]
    pub fn matches(&self, verdict: &Verdict) -> bool {
        let sub = verdict.sub_class.as_deref().unwrap_or_default();
        let extra = verdict.extra_class.as_deref().unwrap_or_default();
        self.is_for(verdict.main_class, sub, extra)
    }

    /// Whether it is for mail of these classes.
    #[must_use]
    pub fn is_for(&self, main: MainClass, sub: &str, extra: &str) -> bool {
        let any_or = |pattern: &str, text: &str| pattern.is_empty() || glob(pattern, text);
        glob(&self.main, main.key()) && any_or(&self.sub, sub) && any_or(&self.extra, extra)
    }

    /// Its name in the log, and for bypasses.
    #[must_use]
    pub fn rule_name(&self) -> String {
        format!("class_actions {}", self.order)
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
