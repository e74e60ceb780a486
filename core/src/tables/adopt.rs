//! Taking over a generation: copy, verify, map.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smallvec::SmallVec;

use super::{AdoptError, Digest, DomainRef, HostFlags, NetworkHit};

/// A generation in use: the engine's own, verified, mapped copy. Immutable.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    config_text: String,
}

impl Generation {
    /// Copies the tables of `generation_dir` into `engine_dir/tables`, verifies the copy, maps it and
    /// touches its pages. Tables that `previous` has mapped already are shared. Blocking: call it
    /// beside the shards.
    ///
    /// # Errors
    /// [`AdoptError`], with file and value; nothing changes then.
    pub fn adopt(
        generation_dir: &Path,
        engine_dir: &Path,
        previous: Option<&Self>,
    ) -> Result<Arc<Self>, AdoptError> {
        let _ = (engine_dir, previous);
        Err(AdoptError::Malformed { file: generation_dir.into(), text: "not yet built".into() })
    }

    /// A generation without any table: what an engine has before its first one.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        Arc::new(Self { number: 0, config_text: String::new() })
    }

    /// Its number; 0 only for [`Self::empty`].
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The settings it carries, TOML.
    #[must_use]
    pub fn config_text(&self) -> &str {
        &self.config_text
    }

    /// A domain of ours by its name or the name of an alias; A-labels in lower case.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<DomainRef> {
        let _ = name;
        None
    }

    /// Every list that knows the address of a client; the most specific entry of each list.
    #[must_use]
    pub fn network(&self, address: IpAddr) -> SmallVec<[NetworkHit<'_>; 2]> {
        let _ = address;
        SmallVec::new()
    }

    /// Name of the signature for a file with this digest and size in octets.
    #[must_use]
    pub fn hash(&self, digest: &Digest, size: u64) -> Option<&str> {
        let _ = (digest, size);
        None
    }

    /// What is known of a host name, or of a domain above it where the list says so.
    #[must_use]
    pub fn url_host(&self, host: &str) -> HostFlags {
        let _ = host;
        HostFlags::default()
    }
}

/// Compiles the patterns of a generation for this machine, from the sources that it carries, and puts
/// them into `engine_dir`, where the next [`Generation::adopt`] finds them. Takes up to minutes of
/// one core.
///
/// # Errors
/// [`AdoptError`] where a source is missing or does not compile any more.
pub fn rebuild_patterns(generation_dir: &Path, engine_dir: &Path) -> Result<(), AdoptError> {
    let _ = engine_dir;
    Err(AdoptError::Malformed { file: PathBuf::from(generation_dir), text: "not yet built".into() })
}
