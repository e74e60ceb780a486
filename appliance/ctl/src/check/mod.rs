//! `check FILE|DIR`: judges mail files by the newest generation as the engine would, without sending
//! anything: class, reasons, score with every contribution, and what would happen to the mail.
//!
//! It runs in this process, with the bounds of an analysis worker but without its sandbox: point it
//! at hostile files as an ordinary user. Stages before the message (call-outs, limits) are not asked.

mod sender;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekisho_core::analysis::Cleaning;
use sekisho_core::clock::Now;
use sekisho_core::config::Config;
use sekisho_core::envelope::Mailbox;
use sekisho_core::message::{View, ViewLimits, authors};
use sekisho_core::pipeline::entries::{client_entries, sender_entries};
use sekisho_core::policy::{self, AttachmentFact, Decision, DomainSettings, Facts, ListDecision};
use sekisho_core::scan::finding::{Finding, FindingKind};
use sekisho_core::scan::patterns::Scratch;
use sekisho_core::scan::{self, ArchiveLimits, Examination, ScanTables, Unwanted};
use sekisho_core::tables::{NetworkClass, Resolution, Snapshot};
use sekisho_core::verdict::{self, Verdict};
use sekisho_loadgen::mix::to_canonical;
use serde_json::json;

use self::sender::Sender;
use crate::arguments::CheckArguments;
use crate::list::mailbox;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown};
use crate::place::Place;
use crate::publish::{position, progress_bar};
use crate::quarantine::points;
use crate::tables;

/// Runs `check`.
pub(crate) fn run(place: &Place, json: bool, arguments: &CheckArguments) -> Ran {
    let files = files(&arguments.path)?;
    let snapshot = tables::in_force(place)?;
    let mut judge = Judge::new(&snapshot, arguments)?;
    judge.archives.passwords_from_text = passwords_from_text(place);
    if let [file] = files.as_slice()
        && !arguments.path.is_dir()
    {
        let judged = judge.file(file)?;
        show(&judged, json);
        return Ok(Outcome::done_if(judged.decision.action.delivers()));
    }
    summarise(&mut judge, &files, json)
}

/// `analysis.passwords_from_text` of the box; its default where the configuration cannot be read.
fn passwords_from_text(place: &Place) -> bool {
    let text = std::fs::read_to_string(&place.config).ok();
    let config = text.and_then(|text| Config::parse(&text, "sekisho.toml").ok());
    config.is_none_or(|(config, _)| config.analysis.passwords_from_text)
}

/// The file, or every file beneath a directory.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(next) = open.pop() {
        let fail = |error: std::io::Error| Failure::new(next.display(), error);
        if !next.is_dir() {
            std::fs::metadata(&next).map_err(fail)?;
            found.push(next);
            continue;
        }
        for entry in std::fs::read_dir(&next).map_err(fail)? {
            open.push(entry.map_err(fail)?.path());
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(path.display(), "no file in it"));
    }
    Ok(found)
}

/// One file and what was made of it.
struct Judged {
    file: PathBuf,
    sender: Sender,
    recipient: Option<Mailbox>,
    examination: Examination,
    verdict: Verdict,
    decision: Decision,
}

/// What judges: tables, and whose settings.
struct Judge<'s> {
    snapshot: &'s Snapshot,
    arguments: &'s CheckArguments,
    recipient: Option<Mailbox>,
    settings: Arc<DomainSettings>,
    scratch: Scratch,
    archives: ArchiveLimits,
}

impl<'s> Judge<'s> {
    fn new(snapshot: &'s Snapshot, arguments: &'s CheckArguments) -> Result<Self, Failure> {
        let recipient = arguments.to.as_deref().map(|to| mailbox("check --to", to)).transpose()?;
        let mut settings = Arc::new(policy::preset(policy::Profile::default()));
        let mut resolved = recipient.clone();
        if let Some(asked) = &recipient {
            match snapshot.resolve(asked) {
                Resolution::Known { mailbox, domain, .. } => {
                    settings = Arc::clone(&domain.settings);
                    resolved = Some(mailbox);
                }
                Resolution::UnknownDomain => {
                    return Err(Failure::new(
                        "check --to",
                        format_args!("{}: not a domain of this gateway", asked.domain),
                    ));
                }
            }
        }
        let scratch = match snapshot.generation().patterns() {
            Some(patterns) => {
                patterns.scratch().map_err(|error| Failure::new("check: patterns", error))?
            }
            None => Scratch::default(),
        };
        let archives = ArchiveLimits::default();
        Ok(Self { snapshot, arguments, recipient: resolved, settings, scratch, archives })
    }

    fn file(&mut self, file: &Path) -> Result<Judged, Failure> {
        let fail = |why: String| Failure::new(file.display(), why);
        let octets = std::fs::read(file).map_err(|error| fail(error.to_string()))?;
        let content = to_canonical(&octets);
        let mut view = View::build(&content, &ViewLimits::worker());
        let sender = Sender::find(&view, self.arguments)?;
        let archives = self.archives.clone();
        scan::expand(&mut view, &archives);
        let mut examination = self.examine(&view, &sender).map_err(fail)?;
        let cleaning = Cleaning {
            malware: self.settings.actions.virus == policy::Action::Clean,
            active: self.settings.actions.active_content == policy::Action::Clean,
        };
        for unwanted in cleaning.wanted(&examination) {
            let cuts = self.cuts(&content, unwanted, &archives).map_err(fail)?;
            match unwanted {
                Unwanted::Malware => examination.cuts = cuts,
                Unwanted::Active => examination.active_cuts = cuts,
            }
        }
        let mut findings = examination.findings.clone();
        findings.extend(self.network_findings(&sender));
        let list = self.lists(&content, &sender);
        let verdict = verdict::judge(&findings, &[], &self.settings.weights, list);
        let decision = self.decide(&view, &examination, &verdict, content.len() as u64);
        let recipient = self.recipient.clone();
        Ok(Judged { file: file.to_owned(), sender, recipient, examination, verdict, decision })
    }

    /// What can be taken out of a mail with malware, or with active content.
    fn cuts(
        &mut self,
        raw: &[u8],
        unwanted: Unwanted,
        archives: &ArchiveLimits,
    ) -> Result<Vec<scan::Cut>, String> {
        let snapshot = self.snapshot;
        let hash = |digest: &_, bytes| snapshot.hash(digest, bytes).map(Into::into);
        let tables = ScanTables {
            patterns: snapshot.generation().patterns().map(|patterns| &**patterns),
            hash: snapshot.generation().has_hashes().then_some(&hash),
            url_host: None,
        };
        let limits = ViewLimits::worker();
        let found = scan::cuts(raw, unwanted, (&limits, archives), &tables, &mut self.scratch);
        futures_lite::future::block_on(found).map_err(|error| error.to_string())
    }

    fn examine(&mut self, view: &View<'_>, sender: &Sender) -> Result<Examination, String> {
        let snapshot = self.snapshot;
        let hash = |digest: &_, bytes| snapshot.hash(digest, bytes).map(Into::into);
        let tables = ScanTables {
            patterns: snapshot.generation().patterns().map(|patterns| &**patterns),
            hash: snapshot.generation().has_hashes().then_some(&hash),
            url_host: Some(&|host| snapshot.url_host(host)),
        };
        let from = sender.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
        let scan =
            scan::examine(view, &tables, &mut self.scratch, Some(from.as_bytes()), &async || ());
        futures_lite::future::block_on(scan).map_err(|error| error.to_string())
    }

    fn network_findings(&self, sender: &Sender) -> Vec<Finding> {
        let Some(client) = sender.client else { return Vec::new() };
        let hits = self.snapshot.network(client);
        hits.iter()
            .filter_map(|hit| {
                let kind = match hit.class {
                    NetworkClass::Positive => FindingKind::NetworkPositive,
                    NetworkClass::Suspect => FindingKind::NetworkSuspect,
                    NetworkClass::Allow | NetworkClass::Deny => return None,
                };
                let detail = client.to_string().into();
                Some(Finding { kind, rule: hit.list.into(), points: 0, detail, log_only: false })
            })
            .collect()
    }

    fn lists(&self, content: &[u8], sender: &Sender) -> ListDecision {
        let now = Now::read().unix;
        // Without a recipient only the gateway's own entries apply; any address finds those.
        let nobody = Mailbox::new("", "invalid");
        let whose = self.recipient.as_ref().unwrap_or(&nobody);
        if self.snapshot.recipient_allow(whose, now).is_some() {
            return ListDecision::Bypass;
        }
        let mut envelope = Vec::new();
        if let Some(client) = sender.client {
            envelope.extend(client_entries(self.snapshot, whose, client, now));
        }
        if let Some(path) = &sender.reverse_path {
            envelope.extend(sender_entries(self.snapshot, whose, path, now));
        }
        let end = content.windows(4).position(|four| four == b"\r\n\r\n");
        let section = content.get(..end.map_or(content.len(), |end| end + 4)).unwrap_or_default();
        let header: Vec<_> = authors(section)
            .iter()
            .flat_map(|author| sender_entries(self.snapshot, whose, author, now))
            .collect();
        policy::lists::choose(&envelope, &header, &self.settings.lists, now)
    }

    fn decide(
        &self,
        view: &View<'_>,
        examination: &Examination,
        verdict: &Verdict,
        message_bytes: u64,
    ) -> Decision {
        let headers: Vec<(String, String)> = view
            .fields
            .iter()
            .map(|field| (field.name.to_string(), field.value.to_string()))
            .collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let found = &examination.facts.attachments;
        let attachments: Vec<AttachmentFact> = found
            .iter()
            .map(|one| AttachmentFact {
                name: one.name.to_string(),
                content_type: one.content_type.to_string(),
                true_type: one.true_type.to_string(),
                bytes: one.bytes,
            })
            .collect();
        let unread: Vec<&str> =
            found.iter().filter(|one| one.encrypted).map(|one| &*one.name).collect();
        let facts = Facts {
            message_bytes,
            recipients: 1,
            attachments: &attachments,
            headers: &headers,
            unread_names: &unread,
            cleaned: !examination.cuts.is_empty(),
            active_cleaned: !examination.active_cuts.is_empty(),
        };
        policy::decide(verdict, &self.settings, &facts)
    }
}

fn show(judged: &Judged, json: bool) {
    if json {
        output::json(&to_json(judged));
        return;
    }
    let Judged { verdict, decision, sender, .. } = judged;
    let line = |name: &str, value: String| output::data(format_args!("{name}\t{value}"));
    line("file", judged.file.display().to_string());
    if let Some(client) = sender.client {
        line("client", format!("{client} {}", shown(sender.helo.as_deref().unwrap_or_default())));
    }
    if let Some(path) = &sender.reverse_path {
        line("from", shown(&path.to_string()));
    }
    let sub_class = verdict.sub_class.as_deref().unwrap_or_default();
    line("class", format!("{} {sub_class}", verdict.main_class.name()).trim_end().to_owned());
    line("reason", verdict.reason.map_or("none", verdict::Reason::key).to_owned());
    line("likelihood", verdict.likelihood.name().to_owned());
    line("points", points(verdict.points));
    line("action", decision.action.key().to_owned());
    let mut contributions: Vec<_> = verdict.contributions.iter().collect();
    contributions.sort_by_key(|one| std::cmp::Reverse(one.points.abs()));
    for one in contributions {
        let counted = if one.counted { "" } else { " (not counted)" };
        let detail = detail(judged, &one.rule);
        line("rule", format!("{} {}{counted} {detail}", points(one.points), one.rule));
    }
    for detection in &verdict.detections {
        line("detection", format!("{} by {}", detection.reason.key(), shown(&detection.rule)));
    }
}

fn detail(judged: &Judged, rule: &str) -> String {
    let finding = judged.examination.findings.iter().find(|finding| &*finding.rule == rule);
    finding.map(|finding| shown(&finding.detail)).unwrap_or_default()
}

fn to_json(judged: &Judged) -> serde_json::Value {
    let Judged { verdict, decision, sender, .. } = judged;
    let contributions: Vec<_> = verdict
        .contributions
        .iter()
        .map(|one| {
            json!({
                "rule": one.rule, "points": one.points, "counted": one.counted,
                "detail": detail(judged, &one.rule),
            })
        })
        .collect();
    json!({
        "file": judged.file.display().to_string(),
        "client": sender.client,
        "helo": sender.helo,
        "from": sender.reverse_path.as_ref().map(ToString::to_string),
        "to": judged.recipient.as_ref().map(ToString::to_string),
        "class": verdict.main_class.name(),
        "sub_class": verdict.sub_class,
        "reason": verdict.reason.map(verdict::Reason::key),
        "likelihood": verdict.likelihood.name(),
        "points": verdict.points,
        "action": decision.action.key(),
        "delivers": decision.action.delivers(),
        "contributions": contributions,
    })
}

/// A directory: with `--json` an object for each file, then one with the counts.
fn summarise(judge: &mut Judge<'_>, files: &[PathBuf], json: bool) -> Ran {
    let mut counts: BTreeMap<(String, String, &str), usize> = BTreeMap::new();
    let mut unread = 0;
    let bar = progress_bar();
    position(&bar, "judging", 0, Some(files.len() as u64));
    for file in files {
        bar.inc(1);
        let judged = match judge.file(file) {
            Ok(judged) => judged,
            Err(failure) => {
                bar.suspend(|| output::words(failure));
                unread += 1;
                continue;
            }
        };
        if json {
            output::json(&to_json(&judged));
        }
        let reason = judged.verdict.reason.map_or("", verdict::Reason::key);
        let class = judged.verdict.main_class.name().to_owned();
        let key = (class, reason.to_owned(), judged.decision.action.key());
        *counts.entry(key).or_default() += 1;
    }
    bar.finish_and_clear();
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if json {
        let classes: Vec<_> = rows
            .iter()
            .map(|((class, reason, action), count)| {
                json!({"class": class, "reason": reason, "action": action, "mails": count})
            })
            .collect();
        output::json(&json!({"files": files.len(), "unread": unread, "summary": classes}));
    } else {
        let cells = rows
            .into_iter()
            .map(|((class, reason, action), count)| {
                vec![count.to_string(), class, reason, action.to_owned()]
            })
            .collect();
        output::table(&["mails", "class", "reason", "action"], cells);
    }
    Ok(Outcome::done_if(unread == 0))
}
