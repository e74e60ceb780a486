//! What judging needs of a domain's settings. It lives here and not in `policy`, so that `verdict`
//! imports nothing that acts.

use serde::{Deserialize, Serialize};

use super::auth::{AuthEvidence, AuthWeight};
use crate::scan::finding::MilliPoints;

/// Filter stages that an allow entry may skip (C21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Spam category: spam, BEC, phishing, graymail, web reputation.
    Spam,
    /// Virus category, scan exceptions included.
    Virus,
    /// Content, attachment and DLP rules, and the administrator's policy rules.
    Content,
    /// Reputation of the client's address.
    Ip,
    /// Greylisting.
    Greylist,
    /// Sender authentication.
    Auth,
    /// Size limit.
    Size,
}

/// What a bad client address does (C43).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpAction {
    /// Header field and points, but never over a threshold by itself (ITS-03).
    Header,
    /// 550 naming address and list (NTT-10).
    Reject,
    /// Points.
    #[default]
    Score,
}

/// Thresholds and weights of one domain, in thousandths of a point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Weights {
    /// From here on: class Spam, likelihood HIGH.
    pub spam_points: MilliPoints,
    /// From here on: class Unsure, likelihood LOW. `suspect <= medium <= spam`.
    pub suspect_points: MilliPoints,
    /// From here on: class Unsure, likelihood MEDIUM.
    pub suspect_medium_points: MilliPoints,
    /// Graymail has a sum and a threshold of its own: bulk mail is not half a spam.
    pub graymail_points: MilliPoints,
    /// What a bad client address does.
    pub ip_action: IpAction,
    /// Points of a client address of class Positive.
    pub ip_positive_points: MilliPoints,
    /// Points of a client address of class Suspect.
    pub ip_suspect_points: MilliPoints,
    /// `highrisk.in` does something: attachment findings count as evidence of a class.
    pub highrisk: bool,
    /// `content.action` does something: content findings count as evidence of a class.
    pub content: bool,
    /// `active_content.action` does something: such findings count as evidence of a class.
    #[serde(default)]
    pub active_content: bool,
    /// `graymail.action` does something: bulk mail is of a class of its own; else it is said and no more.
    #[serde(default = "graymail")]
    pub graymail: bool,
    /// Stages that an allow entry skips (C21), sorted.
    pub allow_skips: Vec<Stage>,
    /// Results of sender authentication that count.
    #[serde(default)]
    pub auth: Vec<AuthWeight>,
}

/// Of tables that were made before there was the field: as they were.
fn graymail() -> bool {
    true
}

impl Weights {
    /// What a result of sender authentication counts here.
    #[must_use]
    pub fn of_auth(&self, evidence: AuthEvidence) -> Option<AuthWeight> {
        let same = |weight: &&AuthWeight| {
            weight.method == evidence.method && weight.outcome == evidence.outcome
        };
        self.auth.iter().find(same).copied()
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            spam_points: 5_000,
            suspect_points: 3_000,
            suspect_medium_points: 4_000,
            graymail_points: 3_000,
            ip_action: IpAction::Score,
            ip_positive_points: 2_500,
            ip_suspect_points: 1_000,
            highrisk: false,
            content: false,
            active_content: false,
            graymail: false,
            allow_skips: vec![Stage::Spam],
            auth: Vec::new(),
        }
    }
}
