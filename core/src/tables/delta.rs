//! Single changes to recipients and lists, on top of a generation.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::file::{self, Kind};
use super::senders::{Entry, Pattern, Polarity, PrefixLengths, Side, entry_key};
use super::{AdoptError, disk};

/// One change. Applying it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// This address is a mailbox.
    RecipientAdd {
        /// In the form of `Mailbox::key`.
        address: Box<str>,
    },
    /// This address is an alias of another one in the same domain.
    AliasAdd {
        /// In the form of `Mailbox::key`.
        address: Box<str>,
        /// In the form of `Mailbox::key`.
        target: Box<str>,
    },
    /// This address, mailbox or alias, is no more.
    RecipientRemove {
        /// In the form of `Mailbox::key`.
        address: Box<str>,
    },
    /// This entry is in force, instead of one with the same owner, side, polarity and pattern.
    EntryAdd {
        /// The entry.
        entry: Entry,
    },
    /// The entry with the same owner, side, polarity and pattern is no more; the rest of it is
    /// ignored.
    EntryRemove {
        /// The entry.
        entry: Entry,
    },
}

/// One change in a line, for messages.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecipientAdd { address } => write!(f, "add recipient {address}"),
            Self::AliasAdd { address, target } => write!(f, "add alias {address} of {target}"),
            Self::RecipientRemove { address } => write!(f, "remove recipient {address}"),
            Self::EntryAdd { entry } => write!(f, "add {}", described(entry)),
            Self::EntryRemove { entry } => write!(f, "remove {}", described(entry)),
        }
    }
}

fn described(entry: &Entry) -> String {
    let side = match entry.side {
        Side::Sender => "sender",
        Side::Recipient => "recipient",
    };
    let polarity = match entry.polarity {
        Polarity::Allow => "allow",
        Polarity::Block => "block",
    };
    format!("{side} {polarity} entry {} of {}", entry.pattern, entry.owner)
}

/// What changes say of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecipientChange {
    Removed,
    Mailbox,
    /// Alias of this address.
    Alias(Box<str>),
}

/// What changes say of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum EntryChange {
    #[default]
    Untouched,
    Removed(Arc<Entry>),
    Put(Arc<Entry>),
}

/// The net of some changes: the last one of each address and entry. Immutable once it is in force.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub recipients: HashMap<Arc<str>, RecipientChange>,
    /// By the key of the entry: what is said of allow and of block.
    pub entries: HashMap<Arc<[u8]>, [EntryChange; 2]>,
    pub lengths: PrefixLengths,
    bytes: usize,
    meter: Option<Arc<AtomicUsize>>,
}

impl Drop for Layer {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Place of a polarity in `Layer::entries`.
pub(super) fn slot(polarity: Polarity) -> usize {
    match polarity {
        Polarity::Allow => 0,
        Polarity::Block => 1,
    }
}

/// Roughly what a map's entry takes beside its key.
const RECIPIENT_BYTES: usize = 80;
const ENTRY_BYTES: usize = 240;

impl Layer {
    /// The net of `changes`, in their order.
    pub(super) fn of<'c>(changes: impl IntoIterator<Item = &'c Change>) -> Self {
        let mut layer = Self::default();
        changes.into_iter().for_each(|change| layer.apply(change));
        layer
    }

    /// With one more change.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::RecipientAdd { address } => {
                self.recipient(address, RecipientChange::Mailbox);
            }
            Change::AliasAdd { address, target } => {
                self.recipient(address, RecipientChange::Alias(target.clone()));
            }
            Change::RecipientRemove { address } => {
                self.recipient(address, RecipientChange::Removed);
            }
            Change::EntryAdd { entry } => {
                self.entry(entry, EntryChange::Put(Arc::new(entry.clone())));
            }
            Change::EntryRemove { entry } => {
                self.entry(entry, EntryChange::Removed(Arc::new(entry.clone())));
            }
        }
    }

    /// What is said of an address from now on.
    pub(super) fn recipient(&mut self, address: &str, change: RecipientChange) {
        if self.recipients.insert(address.into(), change).is_none() {
            self.bytes += RECIPIENT_BYTES + address.len();
        }
    }

    /// What is said from now on of the entry with the key and the polarity of `entry`.
    pub(super) fn entry(&mut self, entry: &Entry, change: EntryChange) {
        let key = entry_key(entry);
        if let Pattern::Network(net) = &entry.pattern {
            self.lengths.add(*net);
        }
        let bytes = ENTRY_BYTES + key.len();
        let slots = self.entries.entry(key.into()).or_insert_with(|| {
            self.bytes += bytes;
            Default::default()
        });
        if let Some(place) = slots.get_mut(slot(entry.polarity)) {
            *place = change;
        }
    }

    /// Both as one; `newer` wins.
    pub(super) fn merged(older: &Self, newer: &Self) -> Self {
        let mut merged = Self {
            recipients: older.recipients.clone(),
            entries: older.entries.clone(),
            lengths: older.lengths.clone(),
            bytes: older.bytes,
            meter: None,
        };
        merged.absorb(newer);
        merged
    }

    /// With all that `newer` says, which wins.
    pub(super) fn absorb(&mut self, newer: &Self) {
        for (address, change) in &newer.recipients {
            if self.recipients.insert(Arc::clone(address), change.clone()).is_none() {
                self.bytes += RECIPIENT_BYTES + address.len();
            }
        }
        for (key, changes) in &newer.entries {
            let slots = self.entries.entry(Arc::clone(key)).or_insert_with(|| {
                self.bytes += ENTRY_BYTES + key.len();
                Default::default()
            });
            for (slot, change) in slots.iter_mut().zip(changes) {
                if *change != EntryChange::Untouched {
                    *slot = change.clone();
                }
            }
        }
        self.lengths.add_all(&newer.lengths.v4, &newer.lengths.v6);
    }

    /// Counts its memory on `meter` from now until it is dropped.
    pub(super) fn metered(mut self, meter: &Arc<AtomicUsize>) -> Arc<Self> {
        meter.fetch_add(self.bytes, Ordering::Relaxed);
        self.meter = Some(Arc::clone(meter));
        Arc::new(self)
    }

    /// Roughly the memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Addresses and entries it speaks of.
    pub(super) fn len(&self) -> usize {
        self.recipients.len() + self.entries.len()
    }

    /// As changes again, in the order of their keys.
    pub(super) fn to_changes(&self) -> Vec<Change> {
        let mut recipients: Vec<_> = self.recipients.iter().collect();
        recipients.sort_unstable_by_key(|(address, _)| Arc::clone(address));
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| Arc::clone(key));
        let recipients = recipients.into_iter().map(|(address, change)| {
            let address: Box<str> = (&**address).into();
            match change {
                RecipientChange::Removed => Change::RecipientRemove { address },
                RecipientChange::Mailbox => Change::RecipientAdd { address },
                RecipientChange::Alias(target) => {
                    Change::AliasAdd { address, target: target.clone() }
                }
            }
        });
        let entries =
            entries.into_iter().flat_map(|(_, slots)| slots).filter_map(|change| match change {
                EntryChange::Untouched => None,
                EntryChange::Removed(entry) => {
                    Some(Change::EntryRemove { entry: (**entry).clone() })
                }
                EntryChange::Put(entry) => Some(Change::EntryAdd { entry: (**entry).clone() }),
            });
        recipients.chain(entries).collect()
    }
}

/// Largest delta file that is read.
const DELTA_BYTES_MAX: u64 = 64 << 20;

/// Name of delta `number` below the directory of its generation.
pub(super) fn path(generation_dir: &Path, number: u64) -> PathBuf {
    generation_dir.join("delta").join(format!("{number:08}"))
}

/// Writes changes into a new file and flushes it. The payload is JSON, so that a newer engine reads
/// what an older command line wrote.
pub(super) fn write(path: &Path, changes: &[Change]) -> io::Result<()> {
    let payload = serde_json::to_vec(changes).map_err(io::Error::other)?;
    disk::write_new(path, &file::whole(Kind::Delta, &payload))
}

/// Reads and verifies a file of changes. It is read as a whole, never mapped.
pub(super) fn read(path: &Path) -> Result<Vec<Change>, AdoptError> {
    read_up_to(path, DELTA_BYTES_MAX)
}

/// The same for all the single changes that a generation carries.
pub(super) fn read_carried(path: &Path) -> Result<Vec<Change>, AdoptError> {
    read_up_to(path, file::PAYLOAD_BYTES_MAX)
}

fn read_up_to(path: &Path, bytes_max: u64) -> Result<Vec<Change>, AdoptError> {
    let content = disk::read(path, bytes_max)
        .map_err(|source| AdoptError::Io { file: path.to_owned(), source })?;
    let (_, payload) = file::verify(&content, Kind::Delta).map_err(|wrong| wrong.of(path))?;
    serde_json::from_slice(payload)
        .map_err(|error| AdoptError::Malformed { file: path.to_owned(), text: error.to_string() })
}
