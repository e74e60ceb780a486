//! Bypasses: for a while, a rule of a domain, or all of them, are without effect.
//!
//! They are in one small file beside the generations, `generations/bypasses`, that is replaced as a whole:
//! a bypass belongs to no generation, survives builds and merges, and ends by itself. The engine reads it
//! with each adoption of a generation or of single changes, and every snapshot has it, so a transaction sees
//! the same bypasses from its first to its last octet. Those that ended stay in the file for a while: they
//! are the record of who did it, when and why. A backup has none: they are made for hours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::{self, Kind};
use super::{AdoptError, disk};
use crate::clock::UnixMillis;

/// Bypasses in the file, those that ended included.
pub const BYPASSES_MAX: usize = 1_000;
/// Longest time that one may last: what lasts longer is a setting.
pub const BYPASS_DAYS_MAX: u64 = 31;
/// How long the record of one stays after its end.
pub(super) const KEPT_DAYS: u64 = 90;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// One bypass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// Its number, for removing it.
    pub id: u64,
    /// The domain.
    pub domain: Box<str>,
    /// Name of the rule, or key of the setting; `None`: all rules, and all settings but those against
    /// malware, block lists and the size limit.
    pub rule: Option<Box<str>>,
    /// When it began.
    pub since: UnixMillis,
    /// When it ends.
    pub until: UnixMillis,
    /// Who did it.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
    /// Who ended it before its time, and when.
    #[serde(default)]
    pub removed: Option<(Box<str>, UnixMillis)>,
}

impl Bypass {
    /// When it ends or ended.
    #[must_use]
    pub fn end(&self) -> UnixMillis {
        self.removed.as_ref().map_or(self.until, |(_, at)| (*at).min(self.until))
    }

    /// Whether it is in force.
    #[must_use]
    pub fn is_in_force(&self, at: UnixMillis) -> bool {
        self.since <= at && at < self.end()
    }
}

/// All of them, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypasses(Vec<Bypass>);

impl Bypasses {
    /// Those of a domain that are in force.
    pub fn of<'b>(&'b self, domain: &'b str, at: UnixMillis) -> impl Iterator<Item = &'b Bypass> {
        self.0.iter().filter(move |one| *one.domain == *domain && one.is_in_force(at))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Bypass> {
        self.0.iter()
    }

    /// Whether there is none, ended ones included: what nearly every mail finds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, with the next number; forgets those that ended long ago.
    ///
    /// # Errors
    /// Why it makes no sense, in words; the operator is at fault.
    pub(super) fn add(&mut self, mut new: Bypass) -> Result<u64, String> {
        let now = new.since;
        let day = 86_400_000;
        if new.until <= now {
            return Err("it would end before it begins".to_owned());
        }
        if new.until.0 - now.0 > BYPASS_DAYS_MAX * day {
            return Err(format!(
                "it lasts longer than {BYPASS_DAYS_MAX} days: change the settings"
            ));
        }
        new.id = self.0.iter().map(|one| one.id).max().unwrap_or_default() + 1;
        self.0.retain(|one| one.end().0.saturating_add(KEPT_DAYS * day) > now.0);
        if self.0.len() >= BYPASSES_MAX {
            // The oldest records make room, never what is in force.
            match self.0.iter().position(|one| !one.is_in_force(now)) {
                Some(ended) => drop(self.0.remove(ended)),
                None => return Err(format!("{BYPASSES_MAX} are in force")),
            }
        }
        self.0.push(new);
        Ok(self.0.last().map_or(0, |one| one.id))
    }

    /// Ends one.
    ///
    /// # Errors
    /// That there is none with this number in force.
    pub(super) fn end(&mut self, id: u64, by: &str, now: UnixMillis) -> Result<Bypass, String> {
        let found = self.0.iter_mut().find(|one| one.id == id && one.is_in_force(now));
        let found = found.ok_or_else(|| format!("no bypass {id} is in force"))?;
        found.removed = Some((by.into(), now));
        Ok(found.clone())
    }
}

/// The file in a directory of generations.
fn path(dir: &Path) -> PathBuf {
    dir.join("bypasses")
}

/// Reads and verifies the file; without one there are none.
pub(super) fn read(dir: &Path) -> Result<Arc<Bypasses>, AdoptError> {
    let path = path(dir);
    if !path.exists() {
        return Ok(Arc::default());
    }
    let content = disk::read(&path, FILE_BYTES_MAX)
        .map_err(|source| AdoptError::Io { file: path.clone(), source })?;
    let (_, payload) = file::verify(&content, Kind::Bypasses).map_err(|wrong| wrong.of(&path))?;
    let all: Vec<Bypass> = serde_json::from_slice(payload)
        .map_err(|error| AdoptError::Malformed { file: path, text: error.to_string() })?;
    Ok(Arc::new(Bypasses(all)))
}

/// Replaces the file.
pub(super) fn write(dir: &Path, all: &Bypasses) -> std::io::Result<()> {
    let path = path(dir);
    let payload = serde_json::to_vec(&all.0).map_err(std::io::Error::other)?;
    let temporary = disk::temporary(&path);
    disk::write_new(&temporary, &file::whole(Kind::Bypasses, &payload))?;
    disk::rename(&temporary, &path)
}
