//! Verdict and settings to one action per recipient. Never does I/O, reads no clock: the same
//! findings, settings and facts give the same action, always.
//!
//! - `settings`: what a domain can set (unified model, section 6); `profile`: the five presets, data
//!   in `core/data/profiles`; `source`: the domains file that people write.
//! - `lists`: which sender list entry applies (section 5).
//! - `at_rcpt`: what is refused at RCPT already.
//! - `decide`: the strongest final action of all that matched (section 4.3), class actions, the
//!   administrator's rules; `reply`: one reply for several recipients (section 3.3).
//!
//! Called by the pipeline, once per recipient at RCPT and once after end of data. It allocates only
//! what it returns.

mod action;
mod at_rcpt;
mod decide;
pub mod lists;
mod notice;
mod profile;
mod reply;
mod rules;
mod settings;
pub mod source;

#[cfg(test)]
mod tests;

pub use action::{
    Action, Decision, HeaderSet, HoldReply, HoldSpec, MatchedRule, MixedReply, NoticeAsk, NoticeTo,
    RemovedByRule, SentTo, StampSigned,
};
pub use at_rcpt::{block_refusal, greylists, network_refusal, refused_char, size_refusal};
pub use decide::{decide, setting_key};
pub use lists::{ListDecision, ListEntry, MatchOn, Owner, PatternKind, Polarity, Precedence};
pub use notice::{Language, NoticeSettings};
pub use profile::preset;
pub use reply::{GroupReply, group_reply};
pub use rules::{
    Addresses, AttachmentFact, Bypassed, ClassAction, Combine, Conditions, Exceptions, Facts,
    HeaderCondition, Notice, PolicyRule, RuleDirection, RuleKind, Scope, ScopeMask, SideActions,
    StandardSetting, TimeOfDay, glob, high_risk, is_setting,
};
pub use settings::{
    ActionSettings, AddRequires, AliasKind, AuthRule, AuthSettings, BlockAction,
    ClassifierSettings, DomainSettings, GreylistSettings, ListSettings, NamedList, Profile,
    QuarantineSettings, RecipientSettings, RejectAt, SizeSettings, SuspectActions, Verify,
};
