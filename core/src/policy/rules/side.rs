//! What a rule asks for besides its final action. All of it can be combined with any final action, and
//! every rule that matches adds its own.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::policy::action::NoticeTo;

/// Side actions of a rule or class action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SideActions {
    /// Header fields that are added: name (`X-...`) and value.
    #[serde(skip_serializing_if = "is_default")]
    pub fields: Vec<(Box<str>, Box<str>)>,
    /// The mail goes to this mailbox instead of its recipient.
    #[serde(skip_serializing_if = "is_default")]
    pub redirect: Option<Box<str>>,
    /// Mailboxes that get a copy, without anybody being told.
    #[serde(skip_serializing_if = "is_default")]
    pub bcc: Vec<Box<str>>,
    /// Who is told of it.
    #[serde(skip_serializing_if = "is_default")]
    pub notices: Vec<Notice>,
    /// Attachments that the rule's own conditions are about are taken out.
    #[serde(skip_serializing_if = "is_default")]
    pub delete_attachments: bool,
}

impl SideActions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A notice that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// To whom.
    pub to: NoticeTo,
    /// Name of the template; empty = that of the rule's reason.
    pub template: Box<str>,
}
