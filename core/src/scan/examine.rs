//! One message, all scanners.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::classify::{Features, Reading};
use crate::message::{Active, ExceptionKind, Limit, Part, PartOrigin, View, is_known_charset};
use crate::stages::{self, Stage};
use crate::tables::{Digest, HostFlags};

use super::content::{self, ContentHit, ContentSet};
use super::cut::{Cut, is_between_delimiters};
use super::finding::{Finding, FindingKind};
use super::hash;
use super::letter::{Letter, Sender};
use super::patterns::{Patterns, ScanError, Scratch};
use super::yara::Yara;
use super::{active, attachment, brand, graymail, hidden, kin, links, structure};

/// Findings of one message; what comes after is counted, not kept.
pub const FINDINGS_MAX: usize = 1_000;
/// Of these, signs that are not rules: patterns that hit everywhere do not displace them.
const SIGNS_MAX: usize = 200;
/// Hosts that are kept for the log.
const NAMES_MAX: usize = 50;
/// Attachments and members that conditions of rules can be asked of: fewer would let a sender put the
/// one that matters behind them.
const ATTACHMENTS_MAX: usize = 1_000;
/// Octets of one name; the end of it stays, where its extension is.
const NAME_BYTES_MAX: usize = 500;

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
    /// What is known of a host, or of a page (`host/path`); `None` where the generation knows none.
    pub url_host: Option<&'t dyn Fn(&str) -> HostFlags>,
    /// How much the classifiers that recipients' domains ask need, so that features are not gathered for nothing.
    pub reading: Reading,
    /// What the administrators of the recipients' domains look for in texts.
    pub content: &'t [Rc<ContentSet>],
    /// YARA rules; only where a worker looks, and `sekisho check`.
    pub yara: Option<&'t Yara>,
}

/// What a message is, for conditions of policy rules and for the log; no judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Has a password-protected part.
    pub encrypted: bool,
    /// Parts and members that were looked at.
    pub parts: u32,
    /// Attachments and members, at most 1,000.
    pub attachments: Vec<Attachment>,
    /// Attachments that are parts of the mail itself, all of them.
    pub attachments_count: u32,
    /// No text part shows anything (本文が空白).
    pub body_blank: bool,
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
    /// Who the mail says that it is from, and where its links lead, for checks that know who receives.
    pub sender: Sender,
}

/// One attachment or member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Decoded file name; empty if it has none.
    pub name: Box<str>,
    /// What else its fields call it: clients differ in which name they believe.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<Box<str>>,
    /// Declared type, lower case.
    pub content_type: Box<str>,
    /// What the octets are.
    pub true_type: Box<str>,
    /// Decoded octets.
    pub bytes: u64,
    /// Password-protected.
    pub encrypted: bool,
    /// It, or something in it, acts when it is opened: macros, scripts, what opens by itself.
    pub active: bool,
    /// Where the part is that has to go for it to go, if it can be taken out: offsets of its header
    /// section and behind its last octet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<(u64, u64)>,
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
    /// Expressions of [`ScanTables::content`] that are fulfilled.
    pub content: Vec<ContentHit>,
    /// Not all texts were searched for them.
    pub content_cut: bool,
    /// What the classifier asks; none if it was not asked for.
    pub features: Features,
    /// What scan engines of others found; it counts where the domain of a recipient wants them.
    pub engine_findings: Vec<Finding>,
    /// What each of them said, found or not.
    pub scanned: Vec<Scanned>,
}

/// What one scan engine of others said, for the story of the mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scanned {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// What it said, in English.
    pub said: Box<str>,
    /// From the question to the answer, microseconds.
    pub micros: u64,
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
    if let Some(known) = tables.hash {
        hash::mark_good(view, known);
    }
    let mut findings = match tables.patterns {
        Some(patterns) => {
            let hits = patterns.run(scratch, view, envelope_from, pause).await?;
            let mut findings = hits.findings(patterns);
            let found = &mut findings;
            patterns.tell_places((&hits, scratch), view, envelope_from, found, pause).await;
            findings
        }
        None => Vec::new(),
    };
    exceptions(view, &mut findings);
    charsets(view, &mut findings);
    attachment::findings(view, &mut findings);
    let marks = active::marks(view);
    active::findings(&marks, &mut findings);
    if let Some(known) = tables.hash {
        hash::findings(view, known, &mut findings);
    }
    if let Some(yara) = tables.yara {
        let _stage = stages::enter(Stage::ScanOctets);
        // In front: patterns that hit everywhere do not displace malware.
        let mut found = yara.findings(view);
        found.append(&mut findings);
        findings = found;
    }
    let mut signs_found = Vec::new();
    let (url_hosts, sender) = signs(view, tables, envelope_from, &mut signs_found);
    signs_found.truncate(SIGNS_MAX);
    findings.truncate(FINDINGS_MAX - SIGNS_MAX);
    findings.append(&mut signs_found);
    let mut facts = facts(view, url_hosts, &findings, &marks);
    facts.sender = sender;
    let features = Features::read(view, tables.reading);
    let found = content::look(view, tables.content, pause).await;
    let (content, content_cut) = (found.hits, found.cut);
    Ok(Examination { findings, facts, features, content, content_cut, ..Examination::default() })
}

/// What was wrong with the message itself.
fn exceptions(view: &View<'_>, out: &mut Vec<Finding>) {
    for exception in &view.exceptions {
        let (kind, rule) = match exception.kind {
            ExceptionKind::LimitReached(limit) => (FindingKind::LimitReached, rule_of(limit)),
            ExceptionKind::Malformed => (FindingKind::Malformed, "SCAN_MALFORMED"),
            ExceptionKind::Encrypted => (FindingKind::Encrypted, "SCAN_ENCRYPTED"),
            ExceptionKind::NotScanned => (FindingKind::NotScanned, "SCAN_NOT_READ"),
            // No fault: for the log, and for rules of the administrator.
            ExceptionKind::Opened => (FindingKind::Spam, "SCAN_OPENED"),
        };
        push(out, kind, rule, &format!("{}: {}", exception.place, exception.detail));
    }
}

/// Each bound has a rule of its own: a log shows one text for a rule.
fn rule_of(limit: Limit) -> &'static str {
    match limit {
        Limit::Mime => "SCAN_LIMIT_MIME",
        Limit::Depth => "SCAN_LIMIT_DEPTH",
        Limit::Entries => "SCAN_LIMIT_ENTRIES",
        Limit::Bytes => "SCAN_LIMIT_BYTES",
        Limit::Ratio => "SCAN_LIMIT_RATIO",
        Limit::Memory => "SCAN_LIMIT_MEMORY",
        Limit::Work => "SCAN_LIMIT_WORK",
    }
}

/// Texts of a charset that nobody here reads: they were guessed at, and their octets matched as they are. It says nothing of
/// its sender, so it has no points; who wonders why a word was not found sees it.
fn charsets(view: &View<'_>, out: &mut Vec<Finding>) {
    for part in view.parts.iter().filter(|part| part.is_text() && !is_known_charset(&part.charset))
    {
        push(
            out,
            FindingKind::Spam,
            "CHARSET_UNKNOWN",
            &format!("{}: {}", part.path, part.charset),
        );
    }
}

/// Signs that are not words of rules: where links lead, in whose name the mail is, what is hidden, how it was sent.
/// Returns hosts for the log, and what is needed where the recipient is known.
fn signs(
    view: &View<'_>,
    tables: &ScanTables<'_>,
    envelope_from: Option<&[u8]>,
    out: &mut Vec<Finding>,
) -> (Vec<Box<str>>, Sender) {
    let mut letter = Letter::read(view, envelope_from);
    let links = links::gather(view, tables, &letter.recipients, out);
    letter.gray = graymail::find(&letter, &links, out);
    brand::find(&letter, &links, tables, out);
    hidden::find(&letter, out);
    kin::find(&letter, &links, tables, out);
    structure::find(&letter, &links, tables, out);
    let hosts = links.clicks.iter().chain(&links.others).take(NAMES_MAX).cloned().collect();
    (hosts, letter.sender(&links, tables))
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
        attachments_count: attachments_count(view),
        body_blank: body_blank(view),
        url_hosts,
        hops: u32::try_from(crate::message::trace::hop_count(view)).unwrap_or(u32::MAX),
        subject: field("subject"),
        author: field("from"),
        message_id: field("message-id"),
        sender: Sender::default(),
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
        .filter(|part| is_attachment(part))
        .take(ATTACHMENTS_MAX)
        .map(|part| Attachment {
            name: ending(part.file_name().unwrap_or_default()),
            other_names: part.file_names.iter().skip(1).map(|name| ending(name)).collect(),
            content_type: part.content_type.clone(),
            true_type: format!("{:?}", part.file_type()).to_ascii_lowercase().into(),
            bytes: part.unread.map_or(part.decoded.len() as u64, |unread| unread.bytes),
            encrypted: part.unread.is_some_and(|unread| unread.encrypted) || encrypted(&part.path),
            active: marks.iter().any(|mark| within(&mark.place, &part.path)),
            span: part
                .span
                .filter(|span| is_between_delimiters(view.raw, span.header, span.end))
                .map(|span| (span.header as u64, span.end as u64)),
        })
        .collect()
}

fn is_attachment(part: &Part<'_>) -> bool {
    part.attachment || part.file_name().is_some()
}

/// The end of a name, at most [`NAME_BYTES_MAX`] octets.
fn ending(name: &str) -> Box<str> {
    let from = name.ceil_char_boundary(name.len().saturating_sub(NAME_BYTES_MAX));
    name.get(from..).unwrap_or(name).into()
}

fn attachments_count(view: &View<'_>) -> u32 {
    let own = |part: &&Part<'_>| part.origin == PartOrigin::Mime && is_attachment(part);
    u32::try_from(view.parts.iter().filter(own).count()).unwrap_or(u32::MAX)
}

/// Whether a text shows a character.
pub(crate) fn shows(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(c))
}

/// Whether no text part shows a character. The first part of nearly every mail does, early.
fn body_blank(view: &View<'_>) -> bool {
    let text = |part: &&Part<'_>| part.is_text() && !part.attachment;
    !view.parts.iter().filter(text).any(|part| {
        if part.is_shown_as_html() { shows(&part.html().text) } else { shows(part.text()) }
    })
}

/// Characters of no width that a blank body may be filled with.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}')
}

pub(super) fn push(out: &mut Vec<Finding>, kind: FindingKind, rule: &str, detail: &str) {
    let detail: Box<str> = detail.chars().take(200).collect::<String>().into();
    if out.len() < FINDINGS_MAX
        && !out.iter().any(|finding| &*finding.rule == rule && finding.detail == detail)
    {
        out.push(Finding { kind, rule: rule.into(), points: 0, detail, log_only: false });
    }
}
