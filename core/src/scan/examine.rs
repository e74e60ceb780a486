//! One message, all scanners.

use serde::{Deserialize, Serialize};

use crate::message::{Active, ExceptionKind, View};
use crate::tables::{Digest, HostFlags};

use super::cut::Cut;
use super::finding::{Finding, FindingKind};
use super::patterns::{Patterns, ScanError, Scratch};
use super::{active, attachment};

/// Findings of one message; what comes after is counted, not kept.
pub const FINDINGS_MAX: usize = 1_000;
/// Part names that are kept for the log.
const NAMES_MAX: usize = 50;

/// Finds the name of the signature for a digest and a size in octets.
pub type HashLookUp<'t> = &'t dyn Fn(&Digest, u64) -> Option<Box<str>>;

/// Look-ups in the tables of the transaction's generation.
#[derive(Clone, Copy)]
pub struct ScanTables<'t> {
    /// Compiled rules; `None` only before there is a first generation.
    pub patterns: Option<&'t Patterns>,
    /// Name of the signature for a digest and a size in octets; `None` where the generation has no
    /// hashes, so that no part is hashed for nothing.
    pub hash: Option<HashLookUp<'t>>,
    /// What is known of a host; `None` where the generation knows none, so that no text is searched
    /// for URIs for nothing.
    pub url_host: Option<&'t dyn Fn(&str) -> HostFlags>,
}

/// What a message is, for conditions of policy rules and for the log; no judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Has a password-protected part.
    pub encrypted: bool,
    /// Parts and members that were looked at.
    pub parts: u32,
    /// Attachments and members, at most 50.
    pub attachments: Vec<Attachment>,
    /// Hosts of URIs, without duplicates, at most 50.
    pub url_hosts: Vec<Box<str>>,
    /// `Received` fields.
    pub hops: u32,
    /// The Subject, decoded.
    pub subject: Box<str>,
    /// The From field, decoded.
    pub author: Box<str>,
    /// The Message-ID field.
    pub message_id: Box<str>,
}

/// One attachment or member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Decoded file name; empty if it has none.
    pub name: Box<str>,
    /// Declared type, lower case.
    pub content_type: Box<str>,
    /// What the octets are.
    pub true_type: Box<str>,
    /// Decoded octets.
    pub bytes: u64,
    /// Password-protected.
    pub encrypted: bool,
    /// It, or something in it, acts when it is opened.
    pub active: bool,
}

/// All that was found in one message. Crosses the socket between engine and analysis worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Examination {
    /// Findings, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// What the message is.
    pub facts: Facts,
    /// Parts that must go so that the rest is free of malware; empty if that was not asked for, or
    /// cannot be done.
    pub cuts: Vec<Cut>,
    /// The same for what acts when it is opened.
    pub active_cuts: Vec<Cut>,
}

impl Examination {
    /// Name of the first malware that was found, rules that only log left out.
    #[must_use]
    pub fn virus(&self) -> Option<&str> {
        let found = self.findings.iter().find(|found| found.kind.is_virus() && !found.log_only);
        found.map(|found| &*found.rule)
    }

    /// Name of the first check that found something that acts when it is opened.
    #[must_use]
    pub fn active(&self) -> Option<&str> {
        let acts = |found: &&Finding| found.kind == FindingKind::ActiveContent;
        self.findings.iter().find(acts).map(|found| &*found.rule)
    }
}

/// Looks at `view` with all scanners. `pause` is awaited after each slice of at most
/// [`crate::limits::SCAN_SLICE_BYTES`] of pattern matching; all else is linear in the number of
/// parts, URIs and exceptions. `envelope_from` is the reverse-path without brackets.
///
/// # Errors
/// [`ScanError`]: our own fault; the message was not looked at and must not be taken for clean.
pub async fn examine(
    view: &View<'_>,
    tables: &ScanTables<'_>,
    scratch: &mut Scratch,
    envelope_from: Option<&[u8]>,
    pause: &impl AsyncFn(),
) -> Result<Examination, ScanError> {
    let mut findings = match tables.patterns {
        Some(patterns) => {
            patterns.run(scratch, view, envelope_from, pause).await?.findings(patterns)
        }
        None => Vec::new(),
    };
    exceptions(view, &mut findings);
    attachment::findings(view, &mut findings);
    let marks = active::marks(view);
    active::findings(&marks, &mut findings);
    hashes(view, tables, &mut findings);
    let url_hosts = urls(view, tables, &mut findings);
    findings.truncate(FINDINGS_MAX);
    let facts = facts(view, url_hosts, &findings, &marks);
    Ok(Examination { findings, facts, ..Examination::default() })
}

/// What was wrong with the message itself.
fn exceptions(view: &View<'_>, out: &mut Vec<Finding>) {
    for exception in &view.exceptions {
        let (kind, rule) = match exception.kind {
            ExceptionKind::LimitReached => (FindingKind::LimitReached, "SCAN_LIMIT"),
            ExceptionKind::Malformed => (FindingKind::Malformed, "SCAN_MALFORMED"),
            ExceptionKind::Encrypted => (FindingKind::Encrypted, "SCAN_ENCRYPTED"),
            ExceptionKind::NotScanned => (FindingKind::NotScanned, "SCAN_NOT_READ"),
            // No fault: for the log, and for rules of the administrator.
            ExceptionKind::Opened => (FindingKind::Spam, "SCAN_OPENED"),
        };
        push(out, kind, rule, &format!("{}: {}", exception.place, exception.detail));
    }
}

/// Known bad files.
fn hashes(view: &View<'_>, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
    let Some(known) = tables.hash else { return };
    for part in view.parts.iter().filter(|part| !part.decoded.is_empty()) {
        let size = part.decoded.len() as u64;
        let hashes = part.hashes();
        let digests =
            [Digest::Sha256(hashes.sha256), Digest::Sha1(hashes.sha1), Digest::Md5(hashes.md5)];
        if let Some(name) = digests.iter().find_map(|digest| known(digest, size)) {
            let place = part.file_name().unwrap_or(&part.path);
            push(out, FindingKind::Malware, &name, place);
        }
    }
}

/// Known bad hosts; returns the hosts for the log.
fn urls(view: &View<'_>, tables: &ScanTables<'_>, out: &mut Vec<Finding>) -> Vec<Box<str>> {
    let mut hosts: Vec<Box<str>> = Vec::new();
    let Some(known) = tables.url_host else { return hosts };
    for uri in view.uris().iter().filter(|uri| !uri.host.is_empty()) {
        if hosts.contains(&uri.host) {
            continue;
        }
        let flags = known(&uri.host);
        if flags.bad {
            push(out, FindingKind::WebReputation, "URL_BAD_HOST", &uri.host);
        }
        if flags.shortener {
            push(out, FindingKind::Spam, "URL_SHORTENER", &uri.host);
        }
        if hosts.len() < NAMES_MAX {
            hosts.push(uri.host.clone());
        }
    }
    hosts
}

fn facts(
    view: &View<'_>,
    url_hosts: Vec<Box<str>>,
    findings: &[Finding],
    marks: &[Active],
) -> Facts {
    let field = |name: &str| -> Box<str> {
        let value = view.fields_named(name).next().map_or("", |field| &field.value);
        value.chars().take(500).collect::<String>().into()
    };
    Facts {
        encrypted: findings.iter().any(|finding| finding.kind == FindingKind::Encrypted),
        parts: u32::try_from(view.parts.len()).unwrap_or(u32::MAX),
        attachments: attachments(view, marks),
        url_hosts,
        hops: u32::try_from(crate::message::trace::hop_count(view)).unwrap_or(u32::MAX),
        subject: field("subject"),
        author: field("from"),
        message_id: field("message-id"),
    }
}

fn attachments(view: &View<'_>, marks: &[Active]) -> Vec<Attachment> {
    // An exception says where it was met: at the part itself, or at a member of it.
    let within = |place: &str, path: &str| {
        let rest = place.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
    };
    let encrypted = |path: &str| {
        view.exceptions.iter().any(|exception| {
            exception.kind == ExceptionKind::Encrypted && within(&exception.place, path)
        })
    };
    view.parts
        .iter()
        .filter(|part| part.attachment || part.file_name().is_some())
        .take(NAMES_MAX)
        .map(|part| Attachment {
            name: part.file_name().unwrap_or_default().into(),
            content_type: part.content_type.clone(),
            true_type: format!("{:?}", part.file_type()).to_ascii_lowercase().into(),
            bytes: part.decoded.len() as u64,
            encrypted: encrypted(&part.path),
            active: marks.iter().any(|mark| within(&mark.place, &part.path)),
        })
        .collect()
}

fn push(out: &mut Vec<Finding>, kind: FindingKind, rule: &str, detail: &str) {
    let detail: Box<str> = detail.chars().take(200).collect::<String>().into();
    if out.len() < FINDINGS_MAX
        && !out.iter().any(|finding| &*finding.rule == rule && finding.detail == detail)
    {
        out.push(Finding { kind, rule: rule.into(), points: 0, detail, log_only: false });
    }
}
