//! Samples on disk: what was trained, by whom, and what was taken back.
//!
//! `training/journal` has a line for each batch (one `train` command, or one release) and for each undo;
//! `training/<scope>.samples` a line for each sample: label, time and features, never the mail. Lines are JSON and
//! are only added. What counts now is what the lines come to, in their order, without those of batches that were
//! taken back; so taking back is exact. The newest [`SAMPLES_MAX`] of a scope count; a file with four times as
//! many lines is written anew without what does not count. `training/lock` is held by whoever writes.
//!
//! A line that a power cut tore is passed over, and the next one begins on a line of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sekisho_core::classify::{Features, FitOptions, Sample, fit};
use serde::{Deserialize, Serialize};

use crate::outcome::Failure;
use crate::place::Place;

/// Samples of one scope that count.
pub(crate) const SAMPLES_MAX: usize = 10_000;
/// Longest line: a mail with all features it may have.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Changes when `fit` gives other octets for the same samples.
const FIT_VERSION: u32 = 2;

/// A line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Its number; undoing names it.
    pub(crate) batch: u64,
    /// Batch that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undoes: Option<u64>,
    /// Name of a domain; empty for the gateway.
    #[serde(default)]
    pub(crate) scope: String,
    /// `spam` or `ham`.
    #[serde(default)]
    pub(crate) label: String,
    /// Milliseconds of Unix time.
    pub(crate) time: u64,
    /// Who did it: the number of the user.
    #[serde(default)]
    pub(crate) by: String,
    /// How: `train` or `release`.
    #[serde(default)]
    pub(crate) how: String,
}

/// A line of a scope's samples.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    batch: u64,
    id: String,
    spam: bool,
    features: Features,
}

/// A sample that counts.
#[derive(Debug)]
pub(crate) struct Live {
    batch: u64,
    order: usize,
    pub(crate) spam: bool,
    features: Features,
}

/// Samples of a scope by their ids.
pub(crate) type Samples = BTreeMap<String, Live>;

/// What became of one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is a new sample.
    New,
    /// It had the other label.
    Moved,
    /// It was one already.
    Known,
}

/// The directory, locked until dropped.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens (and creates) `training`; waits for whoever writes to it.
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        let dir = place.data.join("training");
        let fail = |error: io::Error| Failure::new(dir.display(), error);
        fs::create_dir_all(&dir).map_err(fail)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(dir.join("lock"));
        let lock = lock.map_err(fail)?;
        let operation = rustix::fs::FlockOperation::LockExclusive;
        rustix::fs::flock(&lock, operation).map_err(|error| fail(error.into()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// All batches and undos, in order.
    pub(crate) fn journal(&self) -> Result<Vec<Batch>, Failure> {
        lines(&self.dir.join("journal"))
    }

    fn undone(&self) -> Result<BTreeSet<u64>, Failure> {
        Ok(self.journal()?.iter().filter_map(|batch| batch.undoes).collect())
    }

    /// Scopes that have samples, or had them.
    pub(crate) fn scopes(&self) -> Result<Vec<String>, Failure> {
        let fail = |error: io::Error| Failure::new(self.dir.display(), error);
        let mut scopes = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            if let Some(scope) = name.strip_suffix(".samples") {
                scopes.push(if scope == "gateway" { String::new() } else { scope.to_owned() });
            }
        }
        scopes.sort();
        Ok(scopes)
    }

    /// `gateway` is no name of a domain: those have a dot.
    fn path(&self, scope: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", if scope.is_empty() { "gateway" } else { scope }))
    }

    /// What counts in a scope.
    pub(crate) fn samples(&self, scope: &str) -> Result<Samples, Failure> {
        Ok(self.replay(scope, &self.undone()?)?.0)
    }

    /// The same, with the number of lines that it was made of.
    fn replay(&self, scope: &str, undone: &BTreeSet<u64>) -> Result<(Samples, usize), Failure> {
        let read: Vec<Line> = lines(&self.path(scope, "samples"))?;
        let count = read.len();
        let mut samples = Samples::new();
        for (order, line) in read.into_iter().enumerate() {
            if !undone.contains(&line.batch) {
                let Line { batch, id, spam, features } = line;
                samples.insert(id, Live { batch, order, spam, features });
            }
        }
        if samples.len() > SAMPLES_MAX {
            let mut orders: Vec<usize> = samples.values().map(|live| live.order).collect();
            orders.sort_unstable();
            let first = orders.get(orders.len() - SAMPLES_MAX).copied().unwrap_or_default();
            samples.retain(|_, live| live.order >= first);
        }
        Ok((samples, count))
    }

    /// Adds a batch; its number, and what became of each mail, in their order.
    pub(crate) fn add(
        &self,
        mut batch: Batch,
        mails: Vec<Features>,
    ) -> Result<(u64, Vec<Added>), Failure> {
        let spam = batch.label == "spam";
        let (mut samples, count) = self.replay(&batch.scope, &self.undone()?)?;
        batch.batch = self.next()?;
        let (mut text, mut became, mut added) = (Vec::new(), Vec::new(), 0);
        for features in mails {
            let id = id_text(&features);
            let known = samples.get(&id).map(|live| live.spam);
            became.push(match known {
                Some(label) if label == spam => Added::Known,
                Some(_) => Added::Moved,
                None => Added::New,
            });
            if known != Some(spam) {
                let line =
                    Line { batch: batch.batch, id: id.clone(), spam, features: features.clone() };
                push_line(&mut text, &line)?;
                samples
                    .insert(id, Live { batch: batch.batch, order: count + added, spam, features });
                added += 1;
            }
        }
        if added > 0 {
            // The number is taken before any sample has it.
            let mut line = Vec::new();
            push_line(&mut line, &batch)?;
            append(&self.dir.join("journal"), &line)?;
            append(&self.path(&batch.scope, "samples"), &text)?;
            if count + added > 4 * SAMPLES_MAX {
                self.compact(&batch.scope)?;
            }
        }
        Ok((batch.batch, became))
    }

    /// Takes a batch back: the scope that it was of.
    pub(crate) fn undo(&self, number: u64, time: u64, by: String) -> Result<String, String> {
        let journal = self.journal().map_err(|failure| failure.to_string())?;
        let found = journal.iter().find(|one| one.batch == number && one.undoes.is_none());
        let found = found.ok_or_else(|| format!("there is no batch {number}"))?;
        if journal.iter().any(|one| one.undoes == Some(number)) {
            return Err(format!("batch {number} was taken back before"));
        }
        let scope = found.scope.clone();
        let batch = Batch {
            batch: self.next().map_err(|failure| failure.to_string())?,
            undoes: Some(number),
            scope: scope.clone(),
            label: found.label.clone(),
            time,
            by,
            how: "undo".to_owned(),
        };
        let mut line = Vec::new();
        push_line(&mut line, &batch)
            .and_then(|()| append(&self.dir.join("journal"), &line))
            .map_err(|failure| failure.to_string())?;
        Ok(scope)
    }

    fn next(&self) -> Result<u64, Failure> {
        Ok(self.journal()?.last().map_or(1, |last| last.batch + 1))
    }

    /// Writes the samples of a scope anew, without what does not count. Batches that only moved a label are
    /// then taken back as if the mail had been new in them.
    fn compact(&self, scope: &str) -> Result<(), Failure> {
        let samples = self.samples(scope)?;
        let mut ordered: Vec<(String, Live)> = samples.into_iter().collect();
        ordered.sort_by_key(|(_, live)| live.order);
        let mut text = Vec::new();
        for (id, Live { batch, spam, features, .. }) in ordered {
            push_line(&mut text, &Line { batch, id, spam, features })?;
        }
        replace(&self.path(scope, "samples"), &text)
    }

    /// The model of a scope; made anew only if the samples are others. None without a sample.
    pub(crate) fn model(&self, scope: &str) -> Result<Option<Vec<u8>>, Failure> {
        let samples = self.samples(scope)?;
        if samples.is_empty() {
            return Ok(None);
        }
        let mut hasher = Hasher::default();
        hasher.add(&FIT_VERSION.to_le_bytes());
        for (id, live) in &samples {
            hasher.add(id.as_bytes());
            hasher.add(&[u8::from(live.spam)]);
        }
        let hash = hasher.finish();
        let path = self.path(scope, "model");
        if let Ok(kept) = fs::read(&path)
            && let Some(model) = kept.strip_prefix(hash.as_slice())
        {
            return Ok(Some(model.to_vec()));
        }
        let samples: Vec<Sample<'_>> = samples
            .values()
            .map(|live| Sample {
                spam: live.spam,
                author: live.features.author,
                features: &live.features.list,
            })
            .collect();
        let model = fit(&samples, FitOptions::default());
        replace(&path, &[hash.as_slice(), model.as_slice()].concat())?;
        Ok(Some(model))
    }
}

/// Names what a model was made of.
#[derive(Default)]
struct Hasher(blake3::Hasher);

impl Hasher {
    fn add(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

fn id_text(features: &Features) -> String {
    features.id().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Every whole line of a file; none if it is not there.
fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, Failure> {
    let fail = |error: io::Error| Failure::new(path.display(), error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let (mut reader, mut found, mut line) = (BufReader::new(file), Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(fail)? == 0 {
            return Ok(found);
        }
        found.extend(serde_json::from_slice::<T>(&line));
    }
}

fn push_line<T: Serialize>(text: &mut Vec<u8>, value: &T) -> Result<(), Failure> {
    serde_json::to_writer(&mut *text, value).map_err(|error| Failure::new("training", error))?;
    text.push(b'\n');
    Ok(())
}

/// Adds lines to a file and flushes it.
fn append(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        file.write_all(text)?;
        file.sync_all()
    })();
    written.map_err(|error: io::Error| Failure::new(path.display(), error))
}

/// Writes a file as a whole, under another name first.
fn replace(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(octets).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| Failure::new(path.display(), error))
}
