//! Held mails for the command line: blocking, read-only, beside a running engine or without one.

use std::path::{Path, PathBuf};

use super::{HeldItem, HeldMail, ItemId, ItemState};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::spool::disk::list_blocking;
use crate::spool::reader::{self, Place};
use crate::spool::{CopyId, Damage, SpoolError};

/// What to list; empty text and `None` mean any. Text is searched without regard to case.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of the recipient's mailbox.
    pub recipient: String,
    /// Part of the reverse-path or of the `From:` field.
    pub sender: String,
    /// Part of the subject.
    pub subject: String,
    /// Reason key, category or main class, whole.
    pub reason: String,
    /// Held at or after.
    pub from: Option<UnixMillis>,
    /// Held before.
    pub to: Option<UnixMillis>,
    /// Also items that only administrators see.
    pub with_hidden: bool,
}

/// One listed item.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: ItemId,
    /// Its state.
    pub state: ItemState,
    /// Its copy.
    pub held: HeldMail,
    /// Which of the copy's items it is.
    pub item: HeldItem,
    place: Place,
}

impl Listed {
    /// The stored octets.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] with file and offset; [`SpoolError::Io`].
    pub fn content(&self) -> Result<Content, SpoolError> {
        Ok(self.place.read()?.1)
    }
}

/// Items, newest first, and what could not be read.
#[derive(Debug, Default)]
pub struct Listing {
    /// Items that match.
    pub items: Vec<Listed>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// Lists the items in `directory` (`quarantine` of the data directory) that match and are visible at `now`:
/// neither deleted nor expired.
///
/// # Errors
/// The directory cannot be listed. An absent one is an empty quarantine.
pub fn list(directory: &Path, filter: &Filter, now: UnixMillis) -> Result<Listing, SpoolError> {
    let mut listing = Listing::default();
    for (shard, class) in classes(directory)? {
        let scan = reader::scan(&class)?;
        listing.damage.extend(scan.damage);
        for (id, place) in &scan.records {
            let held = match read_held(*id, place) {
                Ok(held) => held,
                Err(SpoolError::Damaged { path, offset, what }) => {
                    let damage = Damage { path, offset, bytes: 0, what, acknowledged: true };
                    listing.damage.push(damage);
                    continue;
                }
                // Compacted meanwhile, or of a version we do not read: not ours to report as damage.
                Err(_) => continue,
            };
            if now >= held.expires_at() {
                continue;
            }
            let notes = scan.notes.get(id);
            for item in held.items.iter().filter(|item| filter.matches(&held, item)) {
                let note = notes.and_then(|notes| notes.get(&item.index));
                let state: ItemState =
                    note.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
                if matches!(state, ItemState::Deleted { .. }) {
                    continue;
                }
                listing.items.push(Listed {
                    id: ItemId { shard, mail: held.mail, recipient: item.index },
                    state,
                    held: held.clone(),
                    item: item.clone(),
                    place: place.clone(),
                });
            }
        }
    }
    listing.items.sort_by_key(|listed| std::cmp::Reverse((listed.held.held_at, listed.id)));
    Ok(listing)
}

/// One item with its octets.
///
/// # Errors
/// [`SpoolError::NotFound`], also when deleted or expired; [`SpoolError::Damaged`].
pub fn find(directory: &Path, id: ItemId, now: UnixMillis) -> Result<Listed, SpoolError> {
    let filter = Filter { with_hidden: true, ..Filter::default() };
    let listing = list(directory, &filter, now)?;
    let found = listing.items.into_iter().find(|listed| listed.id == id);
    found.ok_or_else(|| SpoolError::NotFound {
        id: CopyId::new(id.mail, id.recipient),
        directory: directory.to_path_buf(),
    })
}

impl Filter {
    fn matches(&self, held: &HeldMail, item: &HeldItem) -> bool {
        let part = |text: &str, wanted: &str| {
            wanted.is_empty() || text.to_lowercase().contains(&wanted.to_lowercase())
        };
        let reverse_path = held.envelope.reverse_path.as_ref();
        let reverse_path = reverse_path.map(ToString::to_string).unwrap_or_default();
        let reasons: [&str; 3] = [&item.reason, &item.category, &item.main_class];
        let reason = |text: &&str| text.eq_ignore_ascii_case(&self.reason);
        (self.with_hidden || !item.hidden)
            && part(&item.recipient.resolved.to_string(), &self.recipient)
            && (part(&reverse_path, &self.sender) || part(&held.author, &self.sender))
            && part(&held.subject, &self.subject)
            && (self.reason.is_empty() || reasons.iter().any(reason))
            && self.from.is_none_or(|from| held.held_at >= from)
            && self.to.is_none_or(|to| held.held_at < to)
    }
}

fn read_held(id: CopyId, place: &Place) -> Result<HeldMail, SpoolError> {
    serde_json::from_slice(&place.read_meta()?).map_err(|error| SpoolError::Metadata {
        path: PathBuf::new(),
        offset: 0,
        what: format!("{id}: {error}"),
    })
}

/// Directories of retention classes with their shard.
fn classes(directory: &Path) -> Result<Vec<(u16, PathBuf)>, SpoolError> {
    let list =
        |path: &Path| list_blocking(path).map_err(|error| SpoolError::io("list", path, &error));
    let mut out = Vec::new();
    for shard in list(directory)? {
        let Ok(number) = shard.name.parse::<u16>() else { continue };
        for class in list(&directory.join(&shard.name))? {
            if class.directory && class.name.parse::<u16>().is_ok() {
                out.push((number, directory.join(&shard.name).join(class.name)));
            }
        }
    }
    Ok(out)
}
