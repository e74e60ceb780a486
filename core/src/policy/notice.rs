//! `notice.*`: who of a domain is told what by mail (C91), and which of it a verdict asks for.

use serde::{Deserialize, Serialize};

use crate::verdict::{DetectionKind, Verdict};

use super::action::{NoticeAsk, NoticeTo};

/// In which language a domain is written to (U1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Japanese, then English.
    #[default]
    Both,
    /// Japanese.
    Ja,
    /// English.
    En,
}

/// `notice.*`
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeSettings {
    /// Language of notices and of what stands in the place of removed parts.
    pub language: Language,
    /// `From:` of notices; empty = `no-reply` at the name of the box.
    pub from: Box<str>,
    /// Who is told of a virus (NTT-06).
    pub virus: Vec<NoticeTo>,
    /// Senders are told although nothing shows that the mail is from them. A virus forges its sender.
    pub unverified_senders: bool,
    /// Who the administrators are; empty = `primary_contact`.
    pub administrators: Vec<Box<str>>,
    /// Notices to one address in an hour.
    pub address_hourly_max: u16,
    /// Notices about mail of the domain in an hour.
    pub domain_hourly_max: u16,
}

impl Default for NoticeSettings {
    fn default() -> Self {
        Self {
            language: Language::Both,
            from: "".into(),
            virus: Vec::new(),
            unverified_senders: false,
            administrators: Vec::new(),
            address_hourly_max: 20,
            domain_hourly_max: 500,
        }
    }
}

impl NoticeSettings {
    /// What these settings ask for, given the evidence. A virus that a list lets pass is no news.
    pub(super) fn asks(&self, verdict: &Verdict) -> Vec<NoticeAsk> {
        if !verdict.has(DetectionKind::Virus) {
            return Vec::new();
        }
        let ask = |to: &NoticeTo| NoticeAsk {
            rule: "notice.virus".into(),
            to: to.clone(),
            template: match to {
                NoticeTo::Sender => "virus_sender".into(),
                NoticeTo::Recipient => "virus".into(),
                NoticeTo::Administrator | NoticeTo::List(_) => "virus_administrator".into(),
            },
        };
        self.virus.iter().map(ask).collect()
    }
}
