//! `check FILE|DIR`: judges mail files by the newest generation as the engine would, without sending
//! anything: class, reasons, score with every contribution, and what would happen to the mail.
//!
//! It runs in this process, with the bounds of an analysis worker but without its sandbox: point it
//! at hostile files as an ordinary user. Stages before the message (call-outs, limits) are not asked. The DNS is asked about
//! the sender, and scan engines of others about the mail, as `world.rs` says; `story.rs` tells it all for people.

mod decide;
mod sender;
mod show;
mod story;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sekisho_core::analysis::Cleaning;
use sekisho_core::classify::{self, Models, Reading, features_with_texts};
use sekisho_core::clock::{Now, Stopwatch};
use sekisho_core::config::Config;
use sekisho_core::content::Content;
use sekisho_core::engines::{self, Report};
use sekisho_core::envelope::Mailbox;
use sekisho_core::message::{View, ViewLimits, authors};
use sekisho_core::pipeline::client::{ClientLists, finding};
use sekisho_core::pipeline::entries::Who;
use sekisho_core::policy::{self, Decision, DomainSettings, ListDecision};
use sekisho_core::scan::content::Cache;
use sekisho_core::scan::finding::{Finding, split_place};
use sekisho_core::scan::patterns::{Excerpt, Scratch};
use sekisho_core::scan::yara::Yara;
use sekisho_core::scan::{self, ArchiveLimits, Examination, ScanTables, Unwanted};
use sekisho_core::tables::{Resolution, Snapshot};
use sekisho_core::verdict::{self, AppliedEntry, AuthEvidence, Contribution, Owner, Verdict};
use sekisho_loadgen::mix::to_canonical;
use serde_json::json;

use self::decide::Seen;
use self::sender::Sender;
use self::show::{show, to_json};
use self::world::{Checked, World};
use crate::arguments::CheckArguments;
use crate::list::mailbox;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;
use crate::publish::{position, progress_bar};
use crate::story::{Descriptions, Lang};
use crate::tables;

/// Rules whose places are looked for.
const EXCERPTS_MAX: usize = 50;

/// Runs `check`.
pub(crate) fn run(place: &Place, json: bool, arguments: &CheckArguments) -> Ran {
    let files = files(&arguments.path)?;
    let snapshot = tables::in_force(place)?;
    let mut judge = Judge::new(&snapshot, Some(place), arguments)?;
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
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
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
    /// Findings about the client's address.
    network: Vec<Finding>,
    /// All findings, in the order of the contributions; those that depend on who receives among them.
    found: Vec<Finding>,
    /// The words that moved the classifier most, with their shares in thousandths.
    words: Vec<(String, i32)>,
    checked: Checked,
    /// Where rules matched.
    excerpts: Vec<(Box<str>, Excerpt)>,
    times: Times,
    settings: Arc<DomainSettings>,
    /// It would be delivered if an allow entry named its sender.
    allowed_would_deliver: bool,
    /// What rules say of themselves.
    described: Descriptions,
    lang: Lang,
}

/// What the stages took, microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    parse: u64,
    sender: u64,
    content: u64,
    verdict: u64,
}

impl Judged {
    /// What a rule found, whoever looked; the first of several.
    fn finding(&self, rule: &str) -> Option<&Finding> {
        self.found.iter().find(|finding| &*finding.rule == rule)
    }

    /// Contributions, each with its finding; results about the sender have none.
    fn parts(&self) -> impl Iterator<Item = (&Contribution, Option<&Finding>)> {
        let contributions = self.verdict.contributions.iter().enumerate();
        contributions.map(|(at, one)| (one, self.found.get(at)))
    }

    /// Where a rule matched: looked for afterwards, or noted by the scan.
    fn place<'j>(&'j self, rule: &str, found: Option<&'j Finding>) -> Option<(&'j str, &'j str)> {
        let excerpt = self.excerpts.iter().find(|(name, _)| &**name == rule);
        let excerpt = excerpt.map(|(_, excerpt)| (&*excerpt.place, &*excerpt.text));
        excerpt.or_else(|| split_place(&found?.detail).1)
    }
}

/// Words of the classifier that are shown.
pub(crate) const WORDS_MAX: usize = 15;

/// What judges: tables, and whose settings.
pub(crate) struct Judge<'s> {
    snapshot: &'s Snapshot,
    arguments: &'s CheckArguments,
    recipient: Option<Mailbox>,
    pub(crate) settings: Arc<DomainSettings>,
    domain: String,
    scratch: Scratch,
    content: RefCell<Cache>,
    world: World,
    archives: ArchiveLimits,
    yara: Option<Yara>,
}

impl<'s> Judge<'s> {
    pub(crate) fn new(
        snapshot: &'s Snapshot,
        place: Option<&Place>,
        arguments: &'s CheckArguments,
    ) -> Result<Self, Failure> {
        let world = World::new(place, arguments)?;
        let recipient = arguments.to.as_deref().map(|to| mailbox("check --to", to)).transpose()?;
        let mut settings = Arc::new(policy::preset(policy::Profile::default()));
        let (mut resolved, mut domain) = (recipient.clone(), String::new());
        if let Some(asked) = &recipient {
            match snapshot.resolve(asked) {
                Resolution::Known { mailbox, domain: found, .. } => {
                    settings = Arc::clone(&found.settings);
                    domain = found.name.to_string();
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
        let (recipient, content) = (resolved, RefCell::default());
        let archives = ArchiveLimits::default();
        let begun = Instant::now();
        let open = |payload| Yara::open(payload, Box::new(move || begun.elapsed()));
        let yara = snapshot.generation().yara().map(open).transpose();
        let yara = yara.map_err(|why| Failure::new("check: YARA rules", why))?;
        Ok(Self {
            snapshot,
            arguments,
            recipient,
            settings,
            domain,
            scratch,
            content,
            world,
            archives,
            yara,
        })
    }

    fn file(&mut self, file: &Path) -> Result<Judged, Failure> {
        let fail = |why: String| Failure::new(file.display(), why);
        let octets = std::fs::read(file).map_err(|error| fail(error.to_string()))?;
        let canonical = to_canonical(&octets);
        let content = Content::from_octets(&*canonical);
        let (mut times, mut watch) = (Times::default(), Stopwatch::start());
        let mut view = View::build(&canonical, &ViewLimits::worker());
        let sender = Sender::find(&view, self.arguments)?;
        scan::expand(&mut view, &self.archives);
        times.parse = watch.lap();
        let checked = self.world.check(&sender, &content);
        times.sender = watch.lap();
        let reading = match self.settings.classifier.enabled {
            true => self.snapshot.generation().reading(&self.domain),
            false => Reading::Nothing,
        };
        let mut examination = self.examine(&view, &sender, reading).map_err(fail)?;
        self.clean(&mut examination, &canonical).map_err(fail)?;
        self.ask_engines(&mut examination, &content).map_err(fail)?;
        times.content = watch.lap();
        let network = self.network_findings(&sender, &checked);
        let evidence = self.evidence(&canonical, &sender, &checked);
        let mut own = self.impersonation(&examination, &sender, (&checked, &evidence));
        let models = self.models();
        if self.settings.classifier.enabled {
            let suspect = self.settings.weights.suspect_points;
            own.extend(classify::findings(&examination.features, &models, suspect));
        }
        let examined = examination.findings.iter().chain(&examination.engine_findings);
        let all: Vec<Finding> = examined.chain(&network).chain(&own).cloned().collect();
        // So that the finding of each contribution stands at its place.
        let found: Vec<Finding> = verdict::ordered(&all).into_iter().cloned().collect();
        let judge = |list| verdict::judge(&found, &evidence, &self.settings.weights, list);
        let bytes = canonical.len() as u64;
        let seen =
            Seen { view: &view, examination: &examination, sender: &sender, auth: &evidence };
        let verdict = judge(self.lists(&canonical, &sender));
        let decision = self.decide(&seen, &verdict, bytes);
        times.verdict = watch.lap();
        let allowed = judge(ListDecision::Allow(AppliedEntry {
            owner: Owner::Account,
            text: sender.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default().into(),
        }));
        let allowed = self.decide(&seen, &allowed, bytes);
        Ok(Judged {
            file: file.to_owned(),
            excerpts: self.excerpts(&view, &sender, &verdict),
            words: words(&view, &models),
            found,
            recipient: self.recipient.clone(),
            settings: Arc::clone(&self.settings),
            allowed_would_deliver: allowed.action.delivers(),
            described: Descriptions::of(self.snapshot, self.arguments.lang),
            lang: self.arguments.lang,
            sender,
            examination,
            verdict,
            decision,
            network,
            checked,
            times,
        })
    }

    /// Finds what can be taken out, where the domain cleans.
    fn clean(&mut self, examination: &mut Examination, raw: &[u8]) -> Result<(), String> {
        let archives = self.archives.clone();
        let cleaning = Cleaning {
            malware: self.settings.cleans_malware(),
            active: self.settings.actions.active_content == policy::Action::Clean,
        };
        for unwanted in cleaning.wanted(examination) {
            let cuts = self.cuts(raw, unwanted, &archives)?;
            match unwanted {
                Unwanted::Malware => examination.cuts = cuts,
                Unwanted::Active => examination.active_cuts = cuts,
            }
        }
        Ok(())
    }

    /// All that a mail is judged by, but for the classifier: for `eval`, which has models of its own.
    pub(crate) fn seen(
        &mut self,
        content: &[u8],
    ) -> Result<(Examination, ListDecision, Vec<AuthEvidence>), Failure> {
        let mut view = View::build(content, &ViewLimits::worker());
        let sender = Sender::find(&view, self.arguments)?;
        scan::expand(&mut view, &ArchiveLimits::default());
        let examined = self.examine(&view, &sender, Reading::Whole);
        let mut examination = examined.map_err(|why| Failure::new("eval", why))?;
        let checked = self.world.check(&sender, &Content::from_octets(content));
        let evidence = self.evidence(content, &sender, &checked);
        examination.findings.extend(self.network_findings(&sender, &checked));
        let posed = self.impersonation(&examination, &sender, (&checked, &evidence));
        examination.findings.extend(posed);
        Ok((examination, self.lists(content, &sender), evidence))
    }

    /// The models that have a say for the recipient.
    fn models(&self) -> Models<'s> {
        let generation = self.snapshot.generation();
        let domain = (!self.domain.is_empty()).then(|| generation.model(&self.domain)).flatten();
        Models { domain, gateway: generation.model(""), base: classify::base() }
    }

    /// Whom the mail poses as for the recipient.
    fn impersonation(
        &self,
        examination: &Examination,
        sender: &Sender,
        (checked, evidence): (&Checked, &[AuthEvidence]),
    ) -> Vec<Finding> {
        let facts = &examination.facts.sender;
        let domain = self.recipient.as_ref().map_or("", |recipient| &recipient.domain);
        let asked = self.arguments.to.as_deref().and_then(|to| to.rsplit_once('@'));
        let authors = sender.author_domains.iter().map(|domain| &**domain);
        let way = verdict::Way {
            recipient_domains: [domain, asked.map_or(domain, |(_, domain)| domain)],
            envelope_domain: sender.reverse_path.as_ref().map_or("", |path| &path.domain),
            vouched: match checked.not_asked {
                Some(_) => None,
                None => verdict::all_vouched(&checked.authentication, evidence, authors),
            },
            // What the engine remembers of clients is not asked.
            known_client: true,
        };
        verdict::impersonation(facts, &way, &self.settings.impersonation)
    }

    /// Asks scan engines of others, as far as the domain wants them.
    fn ask_engines(&self, examination: &mut Examination, content: &Content) -> Result<(), String> {
        if !self.settings.actions.engines {
            return Ok(());
        }
        let reports = self.world.scan(content);
        examination.scanned = reports.iter().map(Report::told).collect();
        examination.engine_findings = engines::findings(&reports)?;
        let is_bad = examination.engine_findings.iter().any(|found| found.kind.is_virus());
        if is_bad && !examination.cuts.is_empty() {
            let ranges: Vec<_> = examination.cuts.iter().map(|cut| (cut.start, cut.end)).collect();
            let rest = self.world.scan(&content.with_stand_ins(&ranges, scan::STAND_IN));
            let found = engines::findings(&rest)?;
            if found.iter().any(|one| one.kind.is_virus()) {
                examination.cuts.clear();
            }
        }
        Ok(())
    }

    /// Everything that does not speak for the sender.
    fn evidence(&self, content: &[u8], sender: &Sender, checked: &Checked) -> Vec<AuthEvidence> {
        if checked.not_asked.is_some() {
            return Vec::new();
        }
        let mut evidence = verdict::auth_evidence(&checked.authentication);
        let authors = authors(header_section(content));
        let domains = sender.reverse_path.iter().chain(&authors).map(|mailbox| &*mailbox.domain);
        if let Some(client) = sender.client {
            let networks = &self.settings.auth.sender_ip;
            evidence.extend(verdict::sender_ip_evidence(client, domains, networks));
        }
        evidence
    }

    /// Where the rules matched that counted, of a single file only: of a directory nobody reads it.
    fn excerpts(
        &self,
        view: &View<'_>,
        sender: &Sender,
        verdict: &Verdict,
    ) -> Vec<(Box<str>, Excerpt)> {
        let patterns = self.snapshot.generation().patterns();
        let Some(patterns) = patterns.filter(|_| !self.arguments.path.is_dir()) else {
            return Vec::new();
        };
        let from = sender.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
        let place = |one: &Contribution| {
            let found = patterns.excerpt(&one.rule, view, Some(from.as_bytes()))?;
            Some((one.rule.clone(), found))
        };
        verdict.contributions.iter().take(EXCERPTS_MAX).filter_map(place).collect()
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
            reading: Reading::Nothing,
            content: &[],
            yara: self.yara.as_ref(),
        };
        let limits = ViewLimits::worker();
        let found = scan::cuts(raw, unwanted, (&limits, archives), &tables, &mut self.scratch);
        futures_lite::future::block_on(found).map_err(|error| error.to_string())
    }

    fn examine(
        &mut self,
        view: &View<'_>,
        sender: &Sender,
        reading: Reading,
    ) -> Result<Examination, String> {
        let snapshot = self.snapshot;
        let hash = |digest: &_, bytes| snapshot.hash(digest, bytes).map(Into::into);
        let expressions = self.settings.content_expressions();
        let mut content = Vec::new();
        if !expressions.is_empty() {
            let set = Cache::set(&self.content, &expressions, &async || ());
            content.push(futures_lite::future::block_on(set));
        }
        let tables = ScanTables {
            patterns: snapshot.generation().patterns().map(|patterns| &**patterns),
            hash: snapshot.generation().has_hashes().then_some(&hash),
            url_host: Some(&|host| snapshot.url_host(host)),
            reading,
            content: &content,
            yara: self.yara.as_ref(),
        };
        self.yara.iter().for_each(Yara::begin);
        let path = sender.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
        let from = sender.is_path_known.then_some(path.as_bytes());
        let scan = scan::examine(view, &tables, &mut self.scratch, from, &async || ());
        futures_lite::future::block_on(scan).map_err(|error| error.to_string())
    }

    /// What lists say of the client's address.
    fn network_findings(&self, sender: &Sender, checked: &Checked) -> Vec<Finding> {
        let Some(client) = sender.client else { return Vec::new() };
        let lists = ClientLists::of(self.snapshot, client);
        let class = lists.class(Some(&checked.listed), self.world.lists());
        class.and_then(|class| finding(class, client)).into_iter().collect()
    }

    fn lists(&self, content: &[u8], sender: &Sender) -> ListDecision {
        let now = Now::read().unix;
        // Without a recipient only the gateway's own entries apply; any address finds those.
        let nobody = Mailbox::new("", "invalid");
        let whose = self.recipient.as_ref().unwrap_or(&nobody);
        if self.snapshot.recipient_allow(whose, now).is_some() {
            return ListDecision::Bypass;
        }
        let who = Who {
            client: sender.client,
            sender: sender.reverse_path.as_ref(),
            authors: &authors(header_section(content)),
        };
        who.decision(self.snapshot, whose, &self.settings.lists, now)
    }
}

/// What moved the loudest model most.
fn words(view: &View<'_>, models: &Models<'_>) -> Vec<(String, i32)> {
    let features = features_with_texts(view);
    let numbers: Vec<u32> = features.iter().map(|(feature, _)| *feature).collect();
    let Some(model) = models.loudest(&numbers) else { return Vec::new() };
    let strongest = model.strongest(&features, WORDS_MAX);
    strongest.into_iter().map(|(text, share)| (text.to_owned(), share)).collect()
}

/// The header section with its empty line; all of it if there is none.
fn header_section(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|four| four == b"\r\n\r\n");
    content.get(..end.map_or(content.len(), |end| end + 4)).unwrap_or_default()
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
