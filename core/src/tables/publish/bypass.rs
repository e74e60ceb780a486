//! Making and ending bypasses.

use std::fs;

use super::super::bypass::{self, Bypass, Bypasses};
use super::super::{PublishError, disk};
use super::known::Known;
use super::{Publisher, io_at};
use crate::clock::UnixMillis;
use crate::policy;

impl Publisher {
    /// All bypasses, ended ones included.
    ///
    /// # Errors
    /// [`PublishError::Generation`]: the file cannot be read.
    pub fn bypasses(&self) -> Result<Bypasses, PublishError> {
        let read = bypass::read(&self.dir).map_err(PublishError::Generation)?;
        Ok((*read).clone())
    }

    /// Makes one; `new.id` is ignored. Its number. Then tell the engine `AdoptDeltas`.
    ///
    /// # Errors
    /// [`PublishError::Refused`]: no such domain or rule, or it makes no sense.
    pub fn add_bypass(&self, mut new: Bypass) -> Result<u64, PublishError> {
        let _lock = self.lock("lock")?;
        let change = format!("bypass {}", new.domain);
        let refused = |why: String| PublishError::Refused { change: change.clone(), why };
        let dir = self.generation_dir(self.latest_or_none_yet()?);
        let settings =
            Known::read(&dir, 0)?.settings(&new.domain).map_err(PublishError::Generation)?;
        let Some((name, settings)) = settings else {
            return Err(refused(format!("{} is not a domain of ours", new.domain)));
        };
        new.domain = name.into();
        if let Some(rule) = &new.rule {
            let named = settings.rules.iter().any(|known| known.name == *rule);
            if !named && !policy::is_setting(rule) {
                let names: Vec<&str> = settings.rules.iter().map(|rule| &*rule.name).collect();
                return Err(refused(format!("no rule `{rule}`, there are: {}", names.join(", "))));
            }
        }
        let mut all = self.bypasses()?;
        let id = all.add(new).map_err(refused)?;
        self.write_bypasses(&all)?;
        Ok(id)
    }

    /// Ends one before its time. Then tell the engine `AdoptDeltas`.
    ///
    /// # Errors
    /// [`PublishError::Refused`]: none with this number is in force.
    pub fn end_bypass(&self, id: u64, by: &str, now: UnixMillis) -> Result<Bypass, PublishError> {
        let _lock = self.lock("lock")?;
        let mut all = self.bypasses()?;
        let ended = all.end(id, by, now);
        let ended =
            ended.map_err(|why| PublishError::Refused { change: format!("bypass {id}"), why })?;
        self.write_bypasses(&all)?;
        Ok(ended)
    }

    fn write_bypasses(&self, all: &Bypasses) -> Result<(), PublishError> {
        let path = self.dir.join("bypasses");
        let _ = fs::remove_file(disk::temporary(&path));
        bypass::write(&self.dir, all).map_err(io_at(&path))
    }
}
