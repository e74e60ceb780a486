//! The writing side, for the command line and the control plane: one process at a time, by a lock
//! on `generations/lock`.

use std::path::{Path, PathBuf};

use super::{Change, Progress, PublishError, Report, Sources};

/// The directory of the generations, locked for writing.
#[derive(Debug)]
pub struct Publisher {
    dir: PathBuf,
}

impl Publisher {
    /// Opens (and creates) `generations`.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn open(dir: &Path) -> Result<Self, PublishError> {
        Ok(Self { dir: dir.to_owned() })
    }

    /// Newest complete generation, or none.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn latest(&self) -> Result<Option<u64>, PublishError> {
        Ok(None)
    }

    /// Its directory.
    #[must_use]
    pub fn generation_dir(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
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
        let _ = (sources, progress);
        Err(PublishError::NoGeneration { dir: self.dir.clone() })
    }

    /// Adds changes to the latest generation: its number and that of the delta. Then tell the engine
    /// `AdoptDeltas`.
    ///
    /// # Errors
    /// [`PublishError::Refused`] for the first change that makes no sense; none is added then.
    pub fn add_delta(&self, changes: &[Change]) -> Result<(u64, u64), PublishError> {
        let _ = changes;
        Err(PublishError::NoGeneration { dir: self.dir.clone() })
    }

    /// Makes a new generation of the latest one and its deltas. Then tell the engine `Adopt`. None if
    /// there is nothing to merge.
    ///
    /// # Errors
    /// [`PublishError`]; the old generation stays.
    pub fn merge(&self, progress: &mut dyn FnMut(Progress)) -> Result<Option<u64>, PublishError> {
        let _ = progress;
        Ok(None)
    }

    /// Removes all but the `keep` newest generations, and what crashed builds left.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn collect(&self, keep: usize) -> Result<usize, PublishError> {
        let _ = keep;
        Ok(0)
    }
}
