//! What is in force now: a generation and its deltas, swapped as one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use super::delta::{self, EntryChange, Layer, RecipientChange, slot};
use super::recipients::{ChainEnd, RecipientFlags, Record, follow};
use super::senders::{
    EntryValue, Owners, PrefixLengths, SenderEntries, SenderEntry, SenderKey, candidates, entry_of,
};
use super::{
    AdoptError, Bypasses, Change, Digest, DomainRef, Entry, Generation, HostFlags, NetworkHit,
    Polarity, Resolution, Side,
};
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;

/// Memory that the deltas in force and those that transactions still hold may take together; the
/// answer to a full budget is a merge.
pub const DELTA_BYTES_MAX: usize = 256 << 20;

/// Old generations that transactions may keep mapped.
pub const OLD_BASES_MAX: usize = 2;

/// One generation with the deltas that were known when it was loaded. Never changes: a transaction
/// takes one at MAIL and keeps it to its end.
#[derive(Debug)]
pub struct Snapshot {
    generation: Arc<Generation>,
    overlay: Overlay,
    bypasses: Arc<Bypasses>,
}

/// Deltas above a generation: layers, the oldest first, each at least twice the size of the next one, so
/// that adopting a change costs by its own size (amortised, times the logarithm of their number).
#[derive(Clone, Debug, Default)]
struct Overlay {
    layers: Vec<Arc<Layer>>,
    lengths: PrefixLengths,
    number: u64,
}

impl Overlay {
    fn push(&mut self, layer: Layer, meter: &Arc<AtomicUsize>) {
        self.lengths.add_all(&layer.lengths.v4, &layer.lengths.v6);
        let mut layer = layer;
        while let Some(last) = self.layers.pop_if(|last| last.len() < 2 * layer.len().max(1)) {
            layer = Layer::merged(&last, &layer);
        }
        self.layers.push(layer.metered(meter));
        self.number += 1;
    }

    /// With the prefix lengths of the base.
    fn above(generation: &Generation) -> Self {
        let mut lengths = PrefixLengths::default();
        if let Some(senders) = generation.senders() {
            lengths.add_all(&senders.lengths.v4, &senders.lengths.v6);
        }
        Self { layers: Vec::new(), lengths, number: 0 }
    }

    fn recipient(&self, key: &str) -> Option<&RecipientChange> {
        self.layers.iter().rev().find_map(|layer| layer.recipients.get(key))
    }
}

impl Snapshot {
    /// `generation` without a delta.
    fn new(generation: Arc<Generation>) -> Self {
        let overlay = Overlay::above(&generation);
        Self { generation, overlay, bypasses: Arc::default() }
    }

    /// `generation` with the net of its deltas `1..=number`: for the publisher.
    pub(super) fn above(generation: Arc<Generation>, net: Layer, number: u64) -> Self {
        let mut overlay = Overlay::above(&generation);
        overlay.lengths.add_all(&net.lengths.v4, &net.lengths.v6);
        overlay.layers.push(Arc::new(net));
        overlay.number = number;
        Self { generation, overlay, bypasses: Arc::default() }
    }

    /// The same with more changes.
    fn with(&self, layer: Layer, meter: &Arc<AtomicUsize>) -> Self {
        let mut overlay = self.overlay.clone();
        overlay.push(layer, meter);
        let bypasses = Arc::clone(&self.bypasses);
        Self { generation: Arc::clone(&self.generation), overlay, bypasses }
    }

    /// What is said of the address with this key: none = unknown, `Some(None)` = mailbox.
    pub(super) fn recipient(&self, key: &str) -> Option<Option<String>> {
        match self.overlay.recipient(key) {
            Some(RecipientChange::Removed) => return None,
            Some(RecipientChange::Mailbox) => return Some(None),
            Some(RecipientChange::Alias(target)) => return Some(Some(target.to_string())),
            None => {}
        }
        let value = self.generation.recipients()?.find(key.as_bytes()).next()?;
        match Record::decode(value)? {
            Record::Mailbox => Some(None),
            Record::Alias(target) => Some(Some(target.to_owned())),
        }
    }

    /// The entries with this key; `each` gets at most one of each polarity.
    pub(super) fn entries(&self, key: &[u8], each: &mut dyn FnMut(EntryValue)) {
        let mut decided = [false; 2];
        for layer in self.overlay.layers.iter().rev() {
            let Some(changes) = layer.entries.get(key) else { continue };
            for (decided, change) in decided.iter_mut().zip(changes) {
                match change {
                    EntryChange::Put(entry) if !*decided => {
                        *decided = true;
                        each(EntryValue::of(entry));
                    }
                    EntryChange::Removed(_) => *decided = true,
                    EntryChange::Put(_) | EntryChange::Untouched => {}
                }
            }
        }
        let base = self.generation.senders().map(|senders| senders.flat.find(key));
        for value in base.into_iter().flatten().filter_map(EntryValue::decode) {
            if decided.get(slot(value.polarity)) == Some(&false) {
                each(value);
            }
        }
    }

    /// Every recipient with the target of an alias, in no order.
    pub(super) fn all_recipients(&self) -> impl Iterator<Item = (String, Option<String>)> {
        let mut changed: HashMap<Arc<str>, RecipientChange> = HashMap::new();
        for layer in &self.overlay.layers {
            changed.extend(
                layer.recipients.iter().map(|(key, change)| (Arc::clone(key), change.clone())),
            );
        }
        let added: Vec<_> = changed
            .iter()
            .filter_map(|(address, change)| match change {
                RecipientChange::Removed => None,
                RecipientChange::Mailbox => Some((address.to_string(), None)),
                RecipientChange::Alias(target) => {
                    Some((address.to_string(), Some(target.to_string())))
                }
            })
            .collect();
        let base = self.generation.recipients().into_iter().flat_map(|table| table.records());
        base.filter_map(move |(key, value)| {
            let address = std::str::from_utf8(key).ok()?;
            if changed.contains_key(address) {
                return None;
            }
            match Record::decode(value)? {
                Record::Mailbox => Some((address.to_owned(), None)),
                Record::Alias(target) => Some((address.to_owned(), Some(target.to_owned()))),
            }
        })
        .chain(added)
    }

    /// Every allow and block entry, in no order.
    pub(super) fn all_entries(&self) -> impl Iterator<Item = Entry> {
        let mut changed = Layer::default();
        for layer in &self.overlay.layers {
            changed = Layer::merged(&changed, layer);
        }
        let added: Vec<Entry> = changed
            .entries
            .values()
            .flatten()
            .filter_map(|change| match change {
                EntryChange::Put(entry) => Some((**entry).clone()),
                EntryChange::Removed(_) | EntryChange::Untouched => None,
            })
            .collect();
        let base = self.generation.senders().into_iter().flat_map(|table| table.flat.records());
        base.filter_map(move |(key, value)| {
            let value = EntryValue::decode(value)?;
            let changes = changed.entries.get(key).and_then(|both| both.get(slot(value.polarity)));
            match changes {
                None | Some(EntryChange::Untouched) => entry_of(key, value),
                Some(EntryChange::Put(_) | EntryChange::Removed(_)) => None,
            }
        })
        .chain(added)
    }

    fn matching(
        &self,
        side: Side,
        recipient: &Mailbox,
        wanted: SenderKey<'_>,
        now: UnixMillis,
    ) -> SenderEntries {
        let account = recipient.key();
        let domain = self.generation.domain_or_alias(&recipient.domain);
        let tenant = domain.and_then(|(domain, _)| domain.tenant.as_deref());
        let owners = Owners { account: &account, domain: &recipient.domain, tenant };
        let mut found = candidates(side, owners, wanted, &self.overlay.lengths, |key, each| {
            self.entries(key, each);
        });
        found.retain(|entry| entry.active_from <= now);
        found
    }

    fn recipient_entry(
        &self,
        mailbox: &Mailbox,
        polarity: Polarity,
        now: UnixMillis,
    ) -> Option<SenderEntry> {
        let wanted = SenderKey::Mailbox(mailbox);
        let mut found = self.matching(Side::Recipient, mailbox, wanted, now);
        found.retain(|entry| entry.polarity == polarity);
        found.into_iter().max_by_key(|entry| (entry.kind, entry.owner))
    }

    /// Bypasses of rules, as they were when it came into force.
    #[must_use]
    pub fn bypasses(&self) -> &Arc<Bypasses> {
        &self.bypasses
    }

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
        self.overlay.number
    }

    /// Addresses and entries that the deltas in it speak of.
    #[must_use]
    pub fn delta_changes(&self) -> usize {
        self.overlay.layers.iter().map(|layer| layer.len()).sum()
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
        let Some((domain, domain_alias)) = self.generation.domain_or_alias(&mailbox.domain) else {
            return Resolution::UnknownDomain;
        };
        let own =
            Mailbox { local_part: mailbox.local_part.clone(), domain: (&*domain.name).into() };
        let unlisted = |mailbox: Mailbox, domain: &DomainRef| Resolution::Known {
            mailbox,
            domain: domain.clone(),
            listed: false,
            flags: RecipientFlags { domain_alias, mailbox_alias: false },
        };
        // Chains without end are refused when they are built or adopted. Should one be there all the
        // same, the address counts as unknown.
        let ChainEnd::At { key, listed, hops } = follow(own.key(), |key| self.recipient(key))
        else {
            return unlisted(own, domain);
        };
        if hops == 0 {
            let flags = RecipientFlags { domain_alias, mailbox_alias: false };
            return Resolution::Known { mailbox: own, domain: domain.clone(), listed, flags };
        }
        let Some((local_part, name)) = key.rsplit_once('@') else { return unlisted(own, domain) };
        let Some((domain, _)) = self.generation.domain_or_alias(name) else {
            return Resolution::UnknownDomain;
        };
        Resolution::Known {
            mailbox: Mailbox::new(local_part, &domain.name),
            domain: domain.clone(),
            listed,
            flags: RecipientFlags { domain_alias, mailbox_alias: true },
        }
    }

    /// Whether a recipient block entry is in force for it. `mailbox` after [`Self::resolve`].
    #[must_use]
    pub fn recipient_block(&self, mailbox: &Mailbox, now: UnixMillis) -> Option<SenderEntry> {
        self.recipient_entry(mailbox, Polarity::Block, now)
    }

    /// Whether a recipient allow entry is in force for it: bypass all filters.
    #[must_use]
    pub fn recipient_allow(&self, mailbox: &Mailbox, now: UnixMillis) -> Option<SenderEntry> {
        self.recipient_entry(mailbox, Polarity::Allow, now)
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
        self.matching(Side::Sender, recipient, SenderKey::Mailbox(sender), now)
    }

    /// The same for the address of the client.
    #[must_use]
    pub fn client_entries(
        &self,
        recipient: &Mailbox,
        client: IpAddr,
        now: UnixMillis,
    ) -> SenderEntries {
        self.matching(Side::Sender, recipient, SenderKey::Address(client), now)
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
    /// Generations that were in force before.
    old: ArcSwap<Vec<Weak<Generation>>>,
    delta_bytes: Arc<AtomicUsize>,
}

impl Current {
    /// Starts with `generation` and no deltas.
    #[must_use]
    pub fn new(generation: Arc<Generation>) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(Snapshot::new(generation)),
            old: ArcSwap::default(),
            delta_bytes: Arc::default(),
        }
    }

    /// What is in force now. A few nanoseconds; no lock.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a generation and the deltas in its directory into force, in one swap. Blocking. One
    /// thread at a time swaps and adopts (the control thread of the engine).
    ///
    /// # Errors
    /// [`AdoptError`]; what was in force stays.
    pub fn swap(
        &self,
        generation: Arc<Generation>,
        generation_dir: &Path,
    ) -> Result<(), AdoptError> {
        let (mut next, _) = self.with_deltas(Snapshot::new(generation), generation_dir)?;
        next.bypasses = bypasses(generation_dir).unwrap_or_else(|error| {
            // A generation does not wait for them; what was bypassed stays so until its end.
            tracing::error!(%error, "bypasses cannot be read, those in force stay");
            Arc::clone(&self.snapshot.load().bypasses)
        });
        let old = self.snapshot.swap(Arc::new(next));
        let mut held: Vec<_> = self.old.load().iter().cloned().collect();
        held.retain(|generation| generation.strong_count() > 0);
        // The first generation is swapped in above itself, for its deltas: it is still one.
        let old = Arc::downgrade(&old.generation);
        if !held.iter().any(|known| known.ptr_eq(&old)) {
            held.push(old);
        }
        self.old.store(Arc::new(held));
        Ok(())
    }

    /// Takes over the deltas in the directory of the generation in force that are new; how many.
    /// Cost by the size of the change, not of the table. Blocking (small files).
    ///
    /// # Errors
    /// [`AdoptError`]; what was in force stays.
    pub fn adopt_deltas(&self, generation_dir: &Path) -> Result<usize, AdoptError> {
        let now = self.snapshot.load_full();
        let bypasses = bypasses(generation_dir)?;
        let news = bypasses != now.bypasses;
        let (generation, overlay) = (Arc::clone(&now.generation), now.overlay.clone());
        let base = Snapshot { generation, overlay, bypasses };
        let (next, count) = self.with_deltas(base, generation_dir)?;
        if count > 0 || news {
            self.snapshot.store(Arc::new(next));
        }
        Ok(count)
    }

    fn with_deltas(
        &self,
        base: Snapshot,
        generation_dir: &Path,
    ) -> Result<(Snapshot, usize), AdoptError> {
        let (mut snapshot, mut count) = (base, 0);
        loop {
            let path = delta::path(generation_dir, snapshot.delta_number() + 1);
            if !path.exists() {
                return Ok((snapshot, count));
            }
            let changes = delta::read(&path)?;
            let layer = Layer::of(&changes);
            let bytes = self.delta_bytes.load(Ordering::Relaxed) + layer.bytes();
            if bytes > DELTA_BYTES_MAX {
                return Err(AdoptError::Mismatch {
                    file: path,
                    what: "memory of all deltas in octets (merge them)",
                    found: bytes.to_string(),
                    expected: format!("at most {DELTA_BYTES_MAX}"),
                });
            }
            let next = snapshot.with(layer, &self.delta_bytes);
            endless(&changes, |key| next.recipient(key))
                .map_or(Ok(()), |text| Err(AdoptError::Malformed { file: path, text }))?;
            (snapshot, count) = (next, count + 1);
        }
    }

    /// Whether `snapshot` keeps something alive that is in the way: a generation that is not in force any more
    /// while too many old ones are mapped, or deltas that are not in force any more while all of them together
    /// take half of their budget. (At the whole of it single changes are refused, so half is the time to act.)
    #[must_use]
    pub fn is_blocked_by(&self, snapshot: &Snapshot) -> bool {
        self.is_blocked_within(snapshot, OLD_BASES_MAX, DELTA_BYTES_MAX / 2)
    }

    pub(super) fn is_blocked_within(
        &self,
        snapshot: &Snapshot,
        bases_max: usize,
        delta_bytes_max: usize,
    ) -> bool {
        let now = self.load();
        let old_base = !Arc::ptr_eq(&snapshot.generation, &now.generation);
        let in_force =
            |layer: &Arc<Layer>| now.overlay.layers.iter().any(|newer| Arc::ptr_eq(newer, layer));
        let old_layer = !snapshot.overlay.layers.iter().all(in_force);
        (old_base && self.old_bases_mapped() > bases_max)
            || (old_layer && self.delta_bytes.load(Ordering::Relaxed) > delta_bytes_max)
    }

    /// Older generations that somebody still holds.
    #[must_use]
    pub fn old_bases_mapped(&self) -> usize {
        let current = self.load();
        let old = self.old.load();
        let held = old.iter().filter_map(Weak::upgrade);
        held.filter(|generation| !Arc::ptr_eq(generation, &current.generation)).count()
    }

    /// Every generation that is held: what [`super::adopt::sweep`] must leave.
    #[must_use]
    pub fn held(&self) -> Vec<Arc<Generation>> {
        let mut held: Vec<_> = self.old.load().iter().filter_map(Weak::upgrade).collect();
        held.push(Arc::clone(&self.load().generation));
        held
    }

    /// Figures.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let snapshot = self.load();
        Counts {
            generation: snapshot.number(),
            delta: snapshot.delta_number(),
            delta_changes: snapshot.delta_changes(),
            delta_bytes: self.delta_bytes.load(Ordering::Relaxed),
            old_bases_mapped: self.old_bases_mapped(),
        }
    }
}

/// The bypasses beside a generation.
fn bypasses(generation_dir: &Path) -> Result<Arc<Bypasses>, AdoptError> {
    generation_dir.parent().map_or_else(|| Ok(Arc::default()), super::bypass::read)
}

/// The first alias among `changes` whose chain has no end, in words; `look` knows them.
pub(super) fn endless(
    changes: &[Change],
    look: impl Fn(&str) -> Option<Option<String>>,
) -> Option<String> {
    changes.iter().find_map(|change| match change {
        Change::AliasAdd { address, .. } => {
            let end = follow(address.to_string(), &look);
            (end == ChainEnd::Endless).then(|| {
                format!(
                    "alias {address} leads back to itself or over more than {} others",
                    crate::limits::ALIAS_CHAIN_MAX
                )
            })
        }
        Change::RecipientAdd { .. }
        | Change::RecipientRemove { .. }
        | Change::EntryAdd { .. }
        | Change::EntryRemove { .. } => None,
    })
}
