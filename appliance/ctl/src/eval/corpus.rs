//! Labelled mails: which there are, what the judgement saw in each, which are copies of one another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sekisho_core::classify::{Features, Likeness};
use sekisho_core::message::{View, ViewLimits};
use sekisho_core::policy::ListDecision;
use sekisho_core::scan::finding::Finding;
use sekisho_core::tables::Snapshot;
use sekisho_core::verdict::AuthEvidence;
use sekisho_loadgen::mix::to_canonical;

use crate::arguments::{CheckArguments, EvalArguments};
use crate::check::{Judge, files};
use crate::outcome::Failure;
use crate::output;
use crate::publish::{position, progress_bar};

/// Likeness, per cent, from which on two mails are copies of one.
const COPY_PERCENT: u32 = 70;
/// Mails with a band in common that are compared.
const CANDIDATES_MAX: usize = 50;
/// Threads that examine.
const THREADS: usize = 2;

/// One labelled mail.
pub(crate) struct Mail {
    pub(crate) file: PathBuf,
    /// Its folder, an index into [`Corpus::folders`].
    pub(crate) folder: usize,
    pub(crate) spam: bool,
    pub(crate) features: Features,
    /// Without the classifier's.
    pub(crate) findings: Vec<Finding>,
    pub(crate) list: ListDecision,
    /// What the checks of the sender came to; empty where nobody was asked.
    pub(crate) auth: Vec<AuthEvidence>,
    /// Of its Date field, where that can be read.
    pub(crate) date: Option<i64>,
    /// Mails that are copies of one another have the same; the index of the first.
    pub(crate) group: usize,
}

/// All of them.
pub(crate) struct Corpus {
    pub(crate) folders: Vec<(String, bool)>,
    pub(crate) mails: Vec<Mail>,
}

/// Folders with their labels: those named, then those below `DIR` that their names give one.
fn folders(arguments: &EvalArguments) -> Result<Vec<(PathBuf, bool)>, Failure> {
    let mut found: Vec<(PathBuf, bool)> = Vec::new();
    found.extend(arguments.ham.iter().map(|dir| (dir.clone(), false)));
    found.extend(arguments.spam.iter().map(|dir| (dir.clone(), true)));
    for dir in &arguments.dirs {
        if let Some(spam) = label(dir) {
            found.push((dir.clone(), spam));
            continue;
        }
        let fail = |error: std::io::Error| Failure::new(dir.display(), error);
        let mut below = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if let Some(spam) = label(&path).filter(|_| path.is_dir()) {
                below.push((path, spam));
            }
        }
        below.sort();
        if below.is_empty() {
            let why = "no folder in it whose name begins with ham, spam or phish";
            return Err(Failure::new(dir.display(), why).next("--ham DIR and --spam DIR name them"));
        }
        found.append(&mut below);
    }
    for (spam, missing) in [(true, "spam"), (false, "ham")] {
        if !found.iter().any(|(_, label)| *label == spam) {
            return Err(Failure::new("eval", format_args!("no folder of {missing}")));
        }
    }
    Ok(found)
}

fn label(dir: &Path) -> Option<bool> {
    let name = dir.file_name()?.to_string_lossy().to_lowercase();
    if name.starts_with("ham") {
        return Some(false);
    }
    (name.starts_with("spam") || name.starts_with("phish")).then_some(true)
}

impl Corpus {
    /// Reads and examines everything.
    pub(crate) fn read(snapshot: &Snapshot, arguments: &EvalArguments) -> Result<Self, Failure> {
        let (mut names, mut paths) = (Vec::new(), Vec::new());
        for (dir, spam) in folders(arguments)? {
            for file in files(&dir)? {
                paths.push((file, names.len(), spam));
            }
            names.push((dir.display().to_string(), spam));
        }
        let bar = progress_bar();
        position(&bar, "examining", 0, Some(paths.len() as u64));
        let check = arguments.as_check();
        let share = paths.len().div_ceil(THREADS).max(1);
        let (bar_of_all, check) = (&bar, &check);
        let examined: Vec<Result<Vec<Mail>, Failure>> = std::thread::scope(|scope| {
            let run = |part| move || examine(snapshot, check, part, &|| bar_of_all.inc(1));
            let started: Vec<_> = paths.chunks(share).map(|part| scope.spawn(run(part))).collect();
            let lost = || Err(Failure::new("eval", "a thread that examined mails panicked"));
            started.into_iter().map(|one| one.join().unwrap_or_else(|_| lost())).collect()
        });
        bar.finish_and_clear();
        let mut mails = Vec::with_capacity(paths.len());
        for part in examined {
            mails.append(&mut part?);
        }
        let mut corpus = Self { folders: names, mails };
        corpus.find_copies();
        Ok(corpus)
    }

    /// Joins mails that are copies of one another, directly or through others.
    pub(super) fn find_copies(&mut self) {
        let sketches: Vec<Likeness> =
            self.mails.iter().map(|mail| Likeness::of(&mail.features.list)).collect();
        let mut first: Vec<usize> = (0..self.mails.len()).collect();
        let mut by_band: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, sketch) in sketches.iter().enumerate() {
            for key in sketch.bands() {
                let others = by_band.entry(key).or_default();
                for other in others.iter().copied() {
                    let (a, b) = (root(&first, index), root(&first, other));
                    let like = |other: &Likeness| sketch.percent(other) >= COPY_PERCENT;
                    if a != b
                        && sketches.get(other).is_some_and(like)
                        && let Some(place) = first.get_mut(a.max(b))
                    {
                        *place = a.min(b);
                    }
                }
                if others.len() < CANDIDATES_MAX {
                    others.push(index);
                }
            }
        }
        for (index, mail) in self.mails.iter_mut().enumerate() {
            mail.group = root(&first, index);
        }
    }
}

fn root(first: &[usize], mut at: usize) -> usize {
    while let Some(next) = first.get(at).copied().filter(|next| *next != at) {
        at = next;
    }
    at
}

fn examine(
    snapshot: &Snapshot,
    check: &CheckArguments,
    part: &[(PathBuf, usize, bool)],
    done: &dyn Fn(),
) -> Result<Vec<Mail>, Failure> {
    let mut judge = Judge::new(snapshot, None, check)?;
    let mut mails = Vec::with_capacity(part.len());
    for (file, folder, spam) in part {
        done();
        let octets = match std::fs::read(file) {
            Ok(octets) => octets,
            Err(error) => {
                output::words(Failure::new(file.display(), error));
                continue;
            }
        };
        let content = to_canonical(&octets);
        let (examination, list, auth) = judge.seen(&content)?;
        mails.push(Mail {
            file: file.clone(),
            folder: *folder,
            spam: *spam,
            features: examination.features,
            findings: examination.findings,
            list,
            auth,
            date: date(&content),
            group: 0,
        });
    }
    Ok(mails)
}

/// Seconds of the Date field.
fn date(content: &[u8]) -> Option<i64> {
    let view = View::build(content, &ViewLimits::shard());
    let field = view.fields_named("date").next()?;
    // Comments such as `(PST)`, and names of the day, are of no use.
    let text = field.value.split('(').next().unwrap_or_default().trim();
    let text = text.split_once(',').map_or(text, |(_, rest)| rest).trim();
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from(zoned).as_second())
}
