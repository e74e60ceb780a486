//! The writing side, for the command line and the control plane.
//!
//! `generations/<n>/` is a generation, complete once it has that name; `generations/<n>/delta/<k>`
//! are its deltas, and beside them is their net in stretches (`stretches.rs`). `generations/lock` is held
//! while something gets its name (milliseconds), `generations/build.lock` while a generation is made (up
//! to minutes): single changes go on meanwhile and are carried over at the end, the last of them under the
//! lock. A crash at any point leaves a temporary name that nobody reads and [`Publisher::collect`]
//! removes. The locks are `flock`s, so they die with their process.

mod bypass;
mod check;
mod known;
mod merge;
mod stretches;
mod teach;

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::{make_generation, write_dir};
use super::current::Snapshot;
use super::delta::{self, Layer};
use super::file::Check;
use super::manifest::{CHANGES, MANIFEST};
use super::{Change, Generation, Progress, PublishError, Report, Sources, disk};
use crate::policy::ListSettings;
use known::Known;
use stretches::Pieces;
pub use teach::NamedModel;

/// Single changes that a backup brought back, until a build has taken them.
const RESTORED: &str = "restored";

/// The directory of the generations. One process writes at a time, any number may wait for it.
#[derive(Debug)]
pub struct Publisher {
    dir: PathBuf,
}

/// Held until dropped.
#[derive(Debug)]
struct Lock {
    _file: File,
}

pub(super) fn io_at(file: &Path) -> impl FnOnce(std::io::Error) -> PublishError + use<> {
    let file = file.to_owned();
    move |source| PublishError::Io { file, source }
}

impl Publisher {
    /// Opens (and creates) `generations`.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn open(dir: &Path) -> Result<Self, PublishError> {
        fs::create_dir_all(dir).map_err(io_at(dir))?;
        Ok(Self { dir: dir.to_owned() })
    }

    fn lock(&self, name: &str) -> Result<Lock, PublishError> {
        let path = self.dir.join(name);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(io_at(&path))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| io_at(&path)(error.into()))?;
        Ok(Lock { _file: file })
    }

    /// Numbers of all complete generations, the oldest first.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn numbers(&self) -> Result<Vec<u64>, PublishError> {
        let names = disk::names(&self.dir).map_err(io_at(&self.dir))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.retain(|number| self.generation_dir(*number).join(MANIFEST).exists());
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Newest complete generation, or none.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn latest(&self) -> Result<Option<u64>, PublishError> {
        Ok(self.numbers()?.last().copied())
    }

    /// Its directory.
    #[must_use]
    pub fn generation_dir(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }

    fn latest_or_none_yet(&self) -> Result<u64, PublishError> {
        self.latest()?.ok_or_else(|| PublishError::NoGeneration { dir: self.dir.clone() })
    }

    /// The latest generation with its deltas, for `list show` and `recipient show`.
    ///
    /// # Errors
    /// [`PublishError::NoGeneration`] and whatever reading it meets.
    pub fn view(&self) -> Result<View, PublishError> {
        let dir = self.generation_dir(self.latest_or_none_yet()?);
        let last = stretches::last_delta(&dir);
        let net = Pieces::read(&dir, last, Check::Header)?.net();
        let generation = Arc::new(Generation::published(&dir)?);
        Ok(View { snapshot: Snapshot::above(generation, net, last) })
    }

    /// What the settings of a domain, by its name or that of an alias, say of lists; without reading what
    /// a view has.
    ///
    /// # Errors
    /// [`PublishError::NoGeneration`] and whatever reading it meets.
    pub fn list_settings(&self, domain: &str) -> Result<Option<ListSettings>, PublishError> {
        let dir = self.generation_dir(self.latest_or_none_yet()?);
        let found = Known::read(&dir, 0)?.domain(domain)?;
        Ok(found.map(|(domain, _)| domain.lists))
    }

    /// All single changes of a generation and its deltas `1..=last`, net, with the number of the last.
    fn changes_of(&self, number: u64) -> Result<(Layer, u64), PublishError> {
        let dir = self.generation_dir(number);
        let mut changes = Layer::of(&delta::read_carried(&dir.join(CHANGES))?);
        let last = stretches::last_delta(&dir);
        // What is read here is written into tables: every octet is checked.
        let deltas = Pieces::read(&dir, last, Check::Full)?;
        deltas.pieces.iter().for_each(|piece| piece.add_to(&mut changes));
        Ok((changes, last))
    }

    /// Gives deltas `after + 1..` of one generation to the directory that follows it, numbered from
    /// `place`; how many. Nobody writes to a delta, so both may have the same file.
    fn carry_over(
        &self,
        from: u64,
        after: u64,
        (into, place): (&Path, u64),
    ) -> Result<u64, PublishError> {
        let dir = self.generation_dir(from);
        let last = stretches::last_delta(&dir);
        for (number, place) in (after + 1..=last).zip(place..) {
            let target = delta::path(into, place);
            fs::hard_link(delta::path(&dir, number), &target).map_err(io_at(&target))?;
        }
        Ok(last.saturating_sub(after))
    }

    /// Makes generation `latest + 1` by `fill`; deltas that arrive meanwhile are carried over.
    fn make<T>(
        &self,
        base: Option<(u64, u64)>,
        fill: impl FnOnce(&Path, u64) -> Result<T, PublishError>,
    ) -> Result<(u64, T), PublishError> {
        let number = self.latest()?.map_or(1, |latest| latest + 1);
        let out = self.generation_dir(number);
        let mut failure = None;
        let made = write_dir(&out, |temporary| {
            let filled = fill(temporary, number).and_then(|value| {
                let mut carried = 0;
                // Most of them before anybody has to wait for it, then those that came meanwhile.
                if let Some((from, after)) = base {
                    carried = self.carry_over(from, after, (temporary, 1))?;
                    // Without them the first change to the new generation takes longer, no more.
                    let _ = stretches::write_all(temporary, carried);
                }
                let lock = self.lock("lock")?;
                if let Some((from, after)) = base {
                    self.carry_over(from, after + carried, (temporary, 1 + carried))?;
                }
                Ok((value, lock))
            });
            // The lock is given back after the rename, when `write_dir` hands the value out.
            filled.map_err(|error| {
                let text = error.to_string();
                failure = Some(error);
                std::io::Error::other(text)
            })
        });
        match made {
            Ok((value, _lock)) => Ok((number, value)),
            Err(error) => Err(failure.unwrap_or_else(|| io_at(&out)(error))),
        }
    }

    /// Builds the next generation; the single changes of the latest one are carried over. Its number.
    ///
    /// # Errors
    /// [`PublishError::Sources`] with all mistakes; no generation then.
    pub fn build(
        &self,
        sources: &Sources,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(u64, Report), PublishError> {
        let _building = self.lock("build.lock")?;
        let mut sources = sources.clone();
        let mut base = None;
        let restored = self.dir.join(RESTORED);
        let has_restored = restored.exists();
        if has_restored {
            sources.changes.splice(..0, delta::read_carried(&restored)?);
        }
        if let Some(latest) = self.latest()? {
            let (changes, last) = self.changes_of(latest)?;
            if !has_restored {
                sources.changes.splice(..0, changes.to_changes());
            }
            base = Some((latest, last));
        }
        let made = self.make(base, |dir, number| {
            let report = make_generation(&sources, number, dir, progress);
            let report = report.map_err(PublishError::Sources)?;
            if let Some((latest, _)) = base {
                teach::carry_models(&self.generation_dir(latest), dir)?;
            }
            Ok(report)
        })?;
        if has_restored {
            fs::remove_file(&restored).map_err(io_at(&restored))?;
        }
        Ok(made)
    }

    /// The net of all single changes, for a backup: they stand in no source. None without a
    /// generation.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn changes(&self) -> Result<Option<Vec<Change>>, PublishError> {
        let Some(latest) = self.latest()? else { return Ok(None) };
        Ok(Some(self.changes_of(latest)?.0.to_changes()))
    }

    /// Writes changes down in place of all single changes there are; the next build takes them.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn restore_changes(&self, changes: &[Change]) -> Result<(), PublishError> {
        let _lock = self.lock("lock")?;
        let path = self.dir.join(RESTORED);
        let temporary = disk::temporary(&path);
        let _ = fs::remove_file(&temporary);
        delta::write(&temporary, changes).map_err(io_at(&temporary))?;
        disk::rename(&temporary, &path).map_err(io_at(&path))
    }

    /// Adds changes to the latest generation: its number and that of the delta. Then tell the engine
    /// `AdoptDeltas`.
    ///
    /// # Errors
    /// [`PublishError::Refused`] for the first change that makes no sense; none is added then.
    pub fn add_delta(&self, changes: &[Change]) -> Result<(u64, u64), PublishError> {
        let _lock = self.lock("lock")?;
        let latest = self.latest_or_none_yet()?;
        let dir = self.generation_dir(latest);
        let number = stretches::last_delta(&dir) + 1;
        let mut known = Known::read(&dir, number - 1)?;
        check::check(&mut known, changes)?;
        let path = delta::path(&dir, number);
        let temporary = disk::temporary(&path);
        let _ = fs::remove_file(&temporary);
        delta::write(&temporary, changes).map_err(io_at(&temporary))?;
        disk::rename(&temporary, &path).map_err(io_at(&path))?;
        // The change is made, whether this can be written or not. The next one tries again.
        let _ = stretches::complete(&dir, number, &known.into_missing());
        Ok((latest, number))
    }

    /// Makes a new generation of the latest one and its deltas. Then tell the engine `Adopt`. None if
    /// there is nothing to merge.
    ///
    /// # Errors
    /// [`PublishError`]; the old generation stays.
    pub fn merge(&self, progress: &mut dyn FnMut(Progress)) -> Result<Option<u64>, PublishError> {
        let _building = self.lock("build.lock")?;
        let Some(latest) = self.latest()? else { return Ok(None) };
        let (carried, last) = self.changes_of(latest)?;
        if last == 0 {
            return Ok(None);
        }
        let from = self.generation_dir(latest);
        let made = self.make(Some((latest, last)), |dir, number| {
            merge::merge(&from, dir, number, &carried, progress)
        })?;
        Ok(Some(made.0))
    }

    /// Makes a new generation of the latest one with other models of the classifier; its number. Then
    /// tell the engine `Adopt`.
    ///
    /// # Errors
    /// [`PublishError::NoGeneration`] and whatever reading and writing meets; the old generation stays.
    pub fn teach(&self, models: Vec<NamedModel>) -> Result<u64, PublishError> {
        let _building = self.lock("build.lock")?;
        let latest = self.latest_or_none_yet()?;
        let from = self.generation_dir(latest);
        let made =
            self.make(Some((latest, 0)), |dir, number| teach::teach(&from, dir, number, models))?;
        Ok(made.0)
    }

    /// Removes all but the `keep` newest generations, and what crashed builds left.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn collect(&self, keep: usize) -> Result<usize, PublishError> {
        let _building = self.lock("build.lock")?;
        let mut removed = 0;
        let numbers = self.numbers()?;
        for number in numbers.iter().rev().skip(keep.max(1)) {
            let dir = self.generation_dir(*number);
            // Without its manifest it is no generation any more, whatever happens from here on.
            fs::remove_file(dir.join(MANIFEST)).map_err(io_at(&dir))?;
            fs::remove_dir_all(&dir).map_err(io_at(&dir))?;
            removed += 1;
        }
        for name in disk::names(&self.dir).map_err(io_at(&self.dir))? {
            let number = name.split('.').next().and_then(|name| name.parse::<u64>().ok());
            let dir = self.dir.join(&name);
            if number.is_some() && dir.is_dir() && !dir.join(MANIFEST).exists()
                || number.is_some() && name.contains(".tmp-")
            {
                fs::remove_dir_all(&dir).map_err(io_at(&dir))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// What is published now, for showing.
#[derive(Debug)]
pub struct View {
    snapshot: Snapshot,
}

impl View {
    /// Every look-up that the engine has.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Recipients with the target of aliases, in no order; deltas included.
    pub fn recipients(&self) -> impl Iterator<Item = (String, Option<String>)> {
        self.snapshot.all_recipients()
    }

    /// Allow and block entries, in no order; deltas included.
    pub fn entries(&self) -> impl Iterator<Item = super::Entry> {
        self.snapshot.all_entries()
    }
}
