//! The judgement itself: one pass over the findings, then one choice of class.

use serde::{Deserialize, Serialize};

use crate::scan::finding::{Finding, FindingKind, MilliPoints};

use super::auth::{AuthEvidence, AuthMethod, AuthOutcome};
use super::{IpAction, Likelihood, ListDecision, MainClass, Reason, Stage, Weights};

/// One named part of the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// Rule, signature, list or check.
    pub rule: Box<str>,
    /// What it added.
    pub points: MilliPoints,
    /// False: reported only (log-only rule, stage skipped by an allow entry, other sum).
    pub counted: bool,
}

/// Kinds of evidence that a setting answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectionKind {
    /// `virus.in`.
    Virus,
    /// `lists.block_action`.
    Blocked,
    /// `spam.action`.
    Phish,
    /// `spam.action`.
    Spam,
    /// `auth.*`: the setting of this check and result.
    Auth(AuthMethod, AuthOutcome),
    /// `scan_exception.action`.
    Exception,
    /// `suspect.action`.
    Suspect,
    /// `graymail.action`.
    Graymail,
    /// `content` rules of the tables.
    Content,
    /// `highrisk.in`.
    Attachment,
    /// `active_content.action`.
    ActiveContent,
    /// `encrypted.action`.
    Encrypted,
    /// `not_scanned.action`.
    NotScanned,
    /// `ip.action`: bad client address.
    NetworkPositive,
    /// `ip.action`: suspected client address.
    NetworkSuspect,
}

/// One kind of evidence that was found and not skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// What answers to it.
    pub kind: DetectionKind,
    /// Why.
    pub reason: Reason,
    /// The first rule (by name) that found it.
    pub rule: Box<str>,
}

/// The judgement of one mail for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Main class.
    pub main_class: MainClass,
    /// Sub class: the reason in finer words.
    pub sub_class: Option<Box<str>>,
    /// Extra class: the rule that decided.
    pub extra_class: Option<Box<str>>,
    /// Reason; `None` for mail in which nothing was found.
    pub reason: Option<Reason>,
    /// Likelihood.
    pub likelihood: Likelihood,
    /// Sum of what was counted.
    pub points: MilliPoints,
    /// Everything that was found, skipped and log-only ones included: of each finding in the order of [`ordered`], then of
    /// the checks of the sender.
    pub contributions: Vec<Contribution>,
    /// Evidence that settings answer to: worst kind first, at most one per kind and reason.
    pub detections: Vec<Detection>,
    /// The list decision that was judged with.
    pub list: ListDecision,
    /// What the client's address was found to be, whatever was skipped (ITS-02).
    pub client: ClientMark,
    /// What the scan was worth, whatever was skipped.
    #[serde(default)]
    pub scan: ScanMark,
}

/// What the scan of a mail was worth (ITS-05, ITS-07).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanMark {
    /// Malware was found.
    pub has_virus: bool,
    /// Some part was not scanned, or not to its end.
    pub is_partial: bool,
    /// Nothing of it was: workers died of it, because it is too large for them or made for that.
    pub is_missing: bool,
}

impl ScanMark {
    fn note(&mut self, kind: FindingKind) {
        self.has_virus |= kind.is_virus();
        match kind {
            FindingKind::Encrypted
            | FindingKind::Malformed
            | FindingKind::NotScanned
            | FindingKind::LimitReached => self.is_partial = true,
            FindingKind::WorkerDied => (self.is_partial, self.is_missing) = (true, true),
            _ => {}
        }
    }
}

/// Class of the client's address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ClientMark {
    /// In no list.
    #[default]
    Normal,
    /// Suspected.
    Suspect,
    /// Bad.
    Positive,
}

impl Verdict {
    /// Whether there is evidence of this kind.
    #[must_use]
    pub fn has(&self, kind: DetectionKind) -> bool {
        self.detections.iter().any(|detection| detection.kind == kind)
    }
}

/// What a finding is evidence of, by itself, and the stage that an allow entry may skip.
fn meaning(kind: FindingKind) -> (Stage, Option<(DetectionKind, Reason)>) {
    use DetectionKind as D;
    match kind {
        FindingKind::Spam
        | FindingKind::Phishing
        | FindingKind::Bec
        | FindingKind::Graymail
        | FindingKind::WebReputation => (Stage::Spam, None),
        FindingKind::Malware => (Stage::Virus, Some((D::Virus, Reason::Malware))),
        FindingKind::Ransomware => (Stage::Virus, Some((D::Virus, Reason::Ransomware))),
        FindingKind::TargetedAttack => (Stage::Virus, Some((D::Virus, Reason::TargetedAttack))),
        FindingKind::SuspiciousObject => (Stage::Virus, Some((D::Virus, Reason::SuspiciousObject))),
        FindingKind::Encrypted => (Stage::Virus, Some((D::Encrypted, Reason::ScanException))),
        FindingKind::LimitReached | FindingKind::Malformed | FindingKind::WorkerDied => {
            (Stage::Virus, Some((D::Exception, Reason::ScanException)))
        }
        FindingKind::NotScanned => (Stage::Virus, Some((D::NotScanned, Reason::ScanException))),
        FindingKind::Content => (Stage::Content, Some((D::Content, Reason::Content))),
        FindingKind::Attachment => (Stage::Content, Some((D::Attachment, Reason::Attachment))),
        FindingKind::ActiveContent => (Stage::Content, Some((D::ActiveContent, Reason::Content))),
        FindingKind::NetworkPositive => {
            (Stage::Ip, Some((D::NetworkPositive, Reason::WebReputation)))
        }
        FindingKind::NetworkSuspect => {
            (Stage::Ip, Some((D::NetworkSuspect, Reason::WebReputation)))
        }
    }
}

/// Sums over the findings that count.
#[derive(Default)]
struct Sums {
    content: MilliPoints,
    network: MilliPoints,
    graymail: MilliPoints,
    /// Heaviest rule of each phishing kind: reason, points, name.
    phish: Option<(MilliPoints, Reason, Box<str>)>,
    /// Heaviest spam rule, for the extra class.
    heaviest: Option<(MilliPoints, Box<str>)>,
    graymail_rule: Option<Box<str>>,
}

/// Findings in the order of the contributions of their verdict: that in which scanners report must not decide anything.
#[must_use]
pub fn ordered(findings: &[Finding]) -> Vec<&Finding> {
    let mut ordered: Vec<&Finding> = findings.iter().collect();
    ordered.sort_by(|a, b| a.rule.cmp(&b.rule).then(a.points.cmp(&b.points)));
    ordered
}

/// Judges what was found in a mail, and about its sender, for one recipient.
#[must_use]
pub fn judge(
    findings: &[Finding],
    auth: &[AuthEvidence],
    weights: &Weights,
    list: ListDecision,
) -> Verdict {
    let ordered = ordered(findings);
    let skipped = |stage: Stage| match &list {
        ListDecision::Bypass => stage != Stage::Size,
        ListDecision::Allow(_) => weights.allow_skips.contains(&stage),
        ListDecision::None | ListDecision::Block(_) => false,
    };
    let mut sums = Sums::default();
    let mut detections: Vec<Detection> = Vec::new();
    let mut contributions = Vec::with_capacity(ordered.len());
    let (mut client, mut scan) = (ClientMark::Normal, ScanMark::default());
    for finding in ordered {
        let (stage, direct) = meaning(finding.kind);
        let counted = !finding.log_only && !skipped(stage);
        let (points, mark) = match finding.kind {
            FindingKind::NetworkPositive => (weights.ip_positive_points, ClientMark::Positive),
            FindingKind::NetworkSuspect => (weights.ip_suspect_points, ClientMark::Suspect),
            _ => (finding.points, ClientMark::Normal),
        };
        client = client.max(mark);
        if !finding.log_only {
            scan.note(finding.kind);
        }
        contributions.push(Contribution { rule: finding.rule.clone(), points, counted });
        if !counted {
            continue;
        }
        add(&mut sums, finding, points);
        if let Some((kind, reason)) = direct
            && (kind != DetectionKind::Attachment || weights.highrisk)
            && (kind != DetectionKind::Content || weights.content)
            && (kind != DetectionKind::ActiveContent || weights.active_content)
            && !detections.iter().any(|d| d.kind == kind && d.reason == reason)
        {
            detections.push(Detection { kind, reason, rule: finding.rule.clone() });
        }
    }
    let auth_counts = !skipped(Stage::Auth);
    add_auth(auth, weights, auth_counts, &mut sums, &mut contributions, &mut detections);
    let points = total(&sums, weights);
    let likelihood = if points >= weights.spam_points {
        Likelihood::High
    } else if points >= weights.suspect_medium_points {
        Likelihood::Medium
    } else {
        Likelihood::Low
    };
    by_score(&mut detections, &sums, points, weights);
    if let ListDecision::Block(entry) = &list {
        let rule = entry.text.clone();
        let reason = Reason::BlockList;
        detections.push(Detection { kind: DetectionKind::Blocked, reason, rule });
    }
    detections.sort_by(|a, b| (a.kind, a.reason, &a.rule).cmp(&(b.kind, b.reason, &b.rule)));
    let deciding = detections.iter().find(|found| names_class(found.kind, weights));
    let main_class = main_class(deciding, &list);
    let bulk = || detections.iter().find(|found| found.kind == DetectionKind::Graymail);
    Verdict {
        main_class,
        // Bulk mail that nothing is done about is Not Spam, and still told apart.
        sub_class: deciding.or_else(bulk).map(sub_class),
        extra_class: deciding.map(|d| d.rule.clone()),
        reason: deciding.map(|d| d.reason),
        likelihood,
        points,
        contributions,
        detections,
        list,
        client,
        scan,
    }
}

/// Adds what the checks of the sender count in this domain.
fn add_auth(
    auth: &[AuthEvidence],
    weights: &Weights,
    counted: bool,
    sums: &mut Sums,
    contributions: &mut Vec<Contribution>,
    detections: &mut Vec<Detection>,
) {
    for evidence in auth {
        let Some(weight) = weights.of_auth(*evidence) else { continue };
        if weight.points == 0 && !weight.acts {
            continue;
        }
        let rule = evidence.rule();
        contributions.push(Contribution { rule: rule.clone(), points: weight.points, counted });
        if !counted {
            continue;
        }
        sums.add_content(weight.points, &rule);
        if weight.acts {
            let kind = DetectionKind::Auth(evidence.method, evidence.outcome);
            detections.push(Detection { kind, reason: evidence.method.reason(), rule });
        }
    }
}

impl Sums {
    fn add_content(&mut self, points: MilliPoints, rule: &str) {
        self.content = self.content.saturating_add(points);
        if points > 0 && self.heaviest.as_ref().is_none_or(|(most, _)| points > *most) {
            self.heaviest = Some((points, rule.into()));
        }
    }
}

/// Adds one finding that counts to its sum.
fn add(sums: &mut Sums, finding: &Finding, points: MilliPoints) {
    let reason = match finding.kind {
        FindingKind::NetworkPositive | FindingKind::NetworkSuspect => {
            // Several lists that name one address are one observation, not several.
            sums.network = sums.network.max(points);
            return;
        }
        FindingKind::Graymail => {
            sums.graymail = sums.graymail.saturating_add(points);
            sums.graymail_rule.get_or_insert_with(|| finding.rule.clone());
            return;
        }
        FindingKind::Phishing => Some(Reason::Phishing),
        FindingKind::Bec => Some(Reason::Bec),
        FindingKind::WebReputation => Some(Reason::WebReputation),
        FindingKind::Spam
        | FindingKind::Malware
        | FindingKind::Ransomware
        | FindingKind::TargetedAttack
        | FindingKind::SuspiciousObject
        | FindingKind::Encrypted
        | FindingKind::LimitReached
        | FindingKind::Malformed
        | FindingKind::WorkerDied
        | FindingKind::NotScanned
        | FindingKind::Content
        | FindingKind::Attachment
        | FindingKind::ActiveContent => None,
    };
    sums.add_content(points, &finding.rule);
    if let Some(reason) = reason
        && sums.phish.as_ref().is_none_or(|(most, ..)| points > *most)
    {
        sums.phish = Some((points, reason, finding.rule.clone()));
    }
}

/// The score. With `ip.action = "header"` the client's address adds to content that is suspect by
/// itself and never speaks alone (ITS-03).
fn total(sums: &Sums, weights: &Weights) -> MilliPoints {
    let network = match weights.ip_action {
        IpAction::Score => sums.network,
        IpAction::Header if sums.content > 0 => sums.network,
        IpAction::Header | IpAction::Reject => 0,
    };
    sums.content.saturating_add(network)
}

/// Adds what follows from the sums.
fn by_score(found: &mut Vec<Detection>, sums: &Sums, points: MilliPoints, weights: &Weights) {
    let heaviest = sums.heaviest.as_ref().map_or_else(|| "ip".into(), |(_, rule)| rule.clone());
    if points >= weights.spam_points {
        found.push(match &sums.phish {
            Some((_, reason, rule)) => {
                Detection { kind: DetectionKind::Phish, reason: *reason, rule: rule.clone() }
            }
            None => Detection { kind: DetectionKind::Spam, reason: Reason::Spam, rule: heaviest },
        });
    } else if points >= weights.suspect_points {
        let reason = Reason::Spam;
        found.push(Detection { kind: DetectionKind::Suspect, reason, rule: heaviest });
    }
    if let Some(rule) = &sums.graymail_rule
        && sums.graymail >= weights.graymail_points
    {
        let reason = Reason::Graymail;
        found.push(Detection { kind: DetectionKind::Graymail, reason, rule: rule.clone() });
    }
}

/// The class of the worst evidence that names one.
fn main_class(worst: Option<&Detection>, list: &ListDecision) -> MainClass {
    let own = match list {
        ListDecision::Bypass | ListDecision::Allow(_) => MainClass::Whitelisted,
        ListDecision::None | ListDecision::Block(_) => MainClass::NotSpam,
    };
    let Some(worst) = worst else { return own };
    match worst.kind {
        DetectionKind::Virus => MainClass::Virus,
        DetectionKind::Blocked => MainClass::Blacklisted,
        DetectionKind::Phish => MainClass::Phish,
        DetectionKind::Spam
        | DetectionKind::Auth(..)
        | DetectionKind::Graymail
        | DetectionKind::Content
        | DetectionKind::Attachment
        | DetectionKind::ActiveContent => MainClass::Spam,
        DetectionKind::Exception => MainClass::Error,
        DetectionKind::Suspect => MainClass::Unsure,
        // "Not scanned" is never "clean"; for an allowed sender the list is what was judged by.
        DetectionKind::Encrypted | DetectionKind::NotScanned => match own {
            MainClass::Whitelisted => MainClass::Whitelisted,
            _ => MainClass::Unknown,
        },
        DetectionKind::NetworkPositive | DetectionKind::NetworkSuspect => own,
    }
}

/// Whether evidence of this kind gives the mail its class and reason. A bad client address by itself is a
/// header field and a few points, not a reason to hold; what speaks for a sender is none either.
fn names_class(kind: DetectionKind, weights: &Weights) -> bool {
    match kind {
        DetectionKind::NetworkPositive
        | DetectionKind::NetworkSuspect
        | DetectionKind::Auth(_, AuthOutcome::Pass) => false,
        DetectionKind::Graymail => weights.graymail,
        DetectionKind::Virus
        | DetectionKind::Blocked
        | DetectionKind::Phish
        | DetectionKind::Spam
        | DetectionKind::Auth(..)
        | DetectionKind::Exception
        | DetectionKind::Suspect
        | DetectionKind::Content
        | DetectionKind::Attachment
        | DetectionKind::ActiveContent
        | DetectionKind::Encrypted
        | DetectionKind::NotScanned => true,
    }
}

/// What evidence that has no reason of its own is called.
const CONTENT: &str = "content";
const ACTIVE_CONTENT: &str = "active_content";
const ENCRYPTED: &str = "encrypted";
const NOT_SCANNED: &str = "not_scanned";

/// Every sub class that a verdict can have.
pub fn sub_classes() -> impl Iterator<Item = &'static str> {
    let own = [ACTIVE_CONTENT, ENCRYPTED, NOT_SCANNED];
    Reason::ALL.into_iter().map(Reason::key).chain(own)
}

/// The sub class of a detection: section 4.2 ("sub class content"), else the reason's key.
fn sub_class(detection: &Detection) -> Box<str> {
    match detection.kind {
        DetectionKind::Content | DetectionKind::Attachment => CONTENT.into(),
        DetectionKind::ActiveContent => ACTIVE_CONTENT.into(),
        DetectionKind::Encrypted => ENCRYPTED.into(),
        DetectionKind::NotScanned => NOT_SCANNED.into(),
        _ => detection.reason.key().into(),
    }
}
