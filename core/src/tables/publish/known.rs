//! What single changes are checked against: the tables of the latest generation and its deltas, of which
//! only those pages are read that the questions touch.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::{Archive, Portable, rancor};

use super::super::delta::{EntryChange, Layer, RecipientChange, slot};
use super::super::domains::{ArchivedDomainRow, PoliciesTable};
use super::super::file::{Check, Kind, Table};
use super::super::flat::Flat;
use super::super::manifest::Manifest;
use super::super::recipients::Record;
use super::super::senders::{EntryValue, SendersTable, list_stem};
use super::super::{AdoptError, Change, Entry, Polarity};
use super::stretches::{Pieces, Span};
use crate::policy::{DomainSettings, ListSettings};

/// The latest generation, its deltas `1..=last`, and changes above them.
#[derive(Debug)]
pub(super) struct Known {
    dir: PathBuf,
    manifest: Manifest,
    recipients: Option<Table<Flat>>,
    senders: Option<Table<SendersTable>>,
    /// Opened by the first question: the lists of the gateway need none, and its shape is checked row by row.
    policies: OnceCell<Option<Table<PoliciesTable>>>,
    deltas: Pieces,
    above: Layer,
}

/// A domain of ours, as far as changes need it.
#[derive(Debug)]
pub(super) struct Domain {
    pub name: String,
    pub lists: ListSettings,
}

impl Known {
    /// # Errors
    /// A table or delta that cannot be read.
    pub(super) fn read(dir: &Path, last: u64) -> Result<Self, AdoptError> {
        let manifest = Manifest::read(dir)?;
        Ok(Self {
            recipients: table(dir, &manifest, Kind::Recipients)?,
            senders: table(dir, &manifest, Kind::Senders)?,
            policies: OnceCell::new(),
            deltas: Pieces::read(dir, last, Check::Header)?,
            above: Layer::default(),
            dir: dir.to_owned(),
            manifest,
        })
    }

    /// One more change is known from now on.
    pub(super) fn apply(&mut self, change: &Change) {
        self.above.apply(change);
    }

    /// Stretches that are not there.
    pub(super) fn into_missing(self) -> Vec<Span> {
        self.deltas.into_missing()
    }

    /// As [`super::Snapshot::recipient`].
    pub(super) fn recipient(&self, key: &str) -> Option<Option<String>> {
        let above = self.above.recipients.get(key).cloned();
        let pieces = &self.deltas.pieces;
        match above.or_else(|| pieces.iter().rev().find_map(|piece| piece.recipient(key))) {
            Some(RecipientChange::Removed) => return None,
            Some(RecipientChange::Mailbox) => return Some(None),
            Some(RecipientChange::Alias(target)) => return Some(Some(target.into())),
            None => {}
        }
        let value = self.recipients.as_ref()?.get().find(key.as_bytes()).next()?;
        match Record::decode(value)? {
            Record::Mailbox => Some(None),
            Record::Alias(target) => Some(Some(target.to_owned())),
        }
    }

    /// The entry with this key and polarity.
    pub(super) fn entry(&self, key: &[u8], polarity: Polarity) -> Option<EntryValue> {
        let above = self.above.entries.get(key).and_then(|both| both.get(slot(polarity)));
        let changes = above
            .cloned()
            .into_iter()
            .chain(self.deltas.pieces.iter().rev().map(|piece| piece.entry(key, polarity)));
        for change in changes {
            match change {
                EntryChange::Put(entry) => return Some(EntryValue::of(&entry)),
                EntryChange::Removed(_) => return None,
                EntryChange::Untouched => {}
            }
        }
        let base = self.senders.as_ref()?.get().flat.find(key);
        base.filter_map(EntryValue::decode).find(|value| value.polarity == polarity)
    }

    /// How many entries are in the list (owner, side, polarity) that `entry` would be added to. Reads
    /// the whole table.
    pub(super) fn list_length(&self, entry: &Entry) -> usize {
        let stem = list_stem(entry);
        let place = slot(entry.polarity);
        let mut changed = self.deltas.net();
        changed.absorb(&self.above);
        let change = |key: &[u8]| changed.entries.get(key).and_then(|both| both.get(place));
        let base = self.senders.iter().flat_map(|table| table.get().flat.records());
        let old = base
            .filter(|(key, _)| key.starts_with(&stem))
            .filter(|(key, value)| {
                EntryValue::decode(value).is_some_and(|value| value.polarity == entry.polarity)
                    && matches!(change(key), None | Some(EntryChange::Untouched))
            })
            .count();
        let new = changed
            .entries
            .iter()
            .filter(|(key, both)| {
                key.starts_with(&stem) && matches!(both.get(place), Some(EntryChange::Put(_)))
            })
            .count();
        old + new
    }

    /// A domain by its own name or by that of an alias, and whether it was an alias.
    ///
    /// # Errors
    /// A table of domains that cannot be read.
    pub(super) fn domain(&self, name: &str) -> Result<Option<(Domain, bool)>, AdoptError> {
        let found = self.find(name)?;
        let found = found
            .map(|(name, settings, is_alias)| (Domain { name, lists: settings.lists }, is_alias));
        Ok(found)
    }

    /// Name and settings of a domain, by its own name or by that of an alias.
    ///
    /// # Errors
    /// As [`Self::domain`].
    pub(super) fn settings(
        &self,
        name: &str,
    ) -> Result<Option<(String, DomainSettings)>, AdoptError> {
        Ok(self.find(name)?.map(|(name, settings, _)| (name, settings)))
    }

    fn find(&self, name: &str) -> Result<Option<(String, DomainSettings, bool)>, AdoptError> {
        if self.policies.get().is_none() {
            // Nobody else sets it.
            let _ = self.policies.set(table(&self.dir, &self.manifest, Kind::Policies)?);
        }
        let Some(table) = self.policies.get().and_then(Option::as_ref) else { return Ok(None) };
        let table = table.get();
        let own = table.domains.iter().find(|row| row.name == name).map(|row| (row, false));
        let alias = |row: &&_| is_alias(row, name);
        let found = own.or_else(|| table.domains.iter().find(alias).map(|row| (row, true)));
        let Some((row, is_alias)) = found else { return Ok(None) };
        let malformed =
            |text| AdoptError::Malformed { file: path(&self.dir, Kind::Policies), text };
        let number = row.settings.to_native();
        let settings = table
            .settings
            .get(number as usize)
            .ok_or_else(|| malformed(format!("{}: settings {number} are missing", row.name)))?;
        let settings: DomainSettings = serde_json::from_str(settings)
            .map_err(|error| malformed(format!("settings that cannot be read: {error}")))?;
        Ok(Some((row.name.as_str().to_owned(), settings, is_alias)))
    }
}

fn is_alias(row: &ArchivedDomainRow, name: &str) -> bool {
    row.aliases.iter().any(|alias| alias == name)
}

fn path(dir: &Path, kind: Kind) -> PathBuf {
    dir.join(format!("{}.table", kind.name()))
}

/// A table of the generation in `dir`, if it has it.
fn table<T>(dir: &Path, manifest: &Manifest, kind: Kind) -> Result<Option<Table<T>>, AdoptError>
where
    T: Archive,
    T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    if !manifest.tables.contains_key(kind.name()) {
        return Ok(None);
    }
    Table::open(&path(dir, kind), kind, Check::Header).map(Some)
}
