//! Held mails for the command line: blocking, read-only, beside a running engine or without one.
//!
//! Memory: the index of one retention class at a time (about 100 octets a copy) and twice the rows that are
//! wanted; what does not match, or is older than the newest rows, is let go at once. A search reads the metadata of every
//! copy once; items that are named are found by the index alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{HeldItem, HeldMail, ItemId, ItemState};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::spool::disk::list_blocking;
use crate::spool::reader::{self, Place, Scan};
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
    /// Main class, whole.
    pub class: String,
    /// Held at or after.
    pub from: Option<UnixMillis>,
    /// Held before.
    pub to: Option<UnixMillis>,
    /// Also items that only administrators see.
    pub with_hidden: bool,
    /// Not those that are released.
    pub without_released: bool,
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
    /// Which of the copy's items it is; class and reason are those that hold it now.
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

/// The newest items that match, how many there are, and what could not be read.
#[derive(Debug, Default)]
pub struct Listing {
    /// Items that match, newest first, as many as were wanted.
    pub items: Vec<Listed>,
    /// How many match.
    pub total: u64,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// Lists the items in `directory` (`quarantine` of the data directory) that match and are visible at `now`:
/// neither deleted nor expired. At most `rows_max` of them, the newest.
///
/// # Errors
/// The directory cannot be listed. An absent one is an empty quarantine.
pub fn list(
    directory: &Path,
    filter: &Filter,
    rows_max: usize,
    now: UnixMillis,
) -> Result<Listing, SpoolError> {
    let mut listing = Listing::default();
    for (shard, class) in classes(directory)? {
        let scan = reader::scan(&class)?;
        for id in scan.records.keys() {
            for listed in items(shard, &scan, *id, now, &mut listing.damage) {
                if filter.matches(&listed) {
                    listing.total += 1;
                    listing.items.push(listed);
                }
            }
            if listing.items.len() >= rows_max.saturating_mul(2) {
                newest(&mut listing.items, rows_max);
            }
        }
        listing.damage.extend(scan.damage);
    }
    newest(&mut listing.items, rows_max);
    Ok(listing)
}

fn newest(items: &mut Vec<Listed>, rows_max: usize) {
    items.sort_by_key(|listed| std::cmp::Reverse((listed.held.held_at, listed.id)));
    items.truncate(rows_max);
}

/// The visible items of one copy.
fn items(
    shard: u16,
    scan: &Scan,
    id: CopyId,
    now: UnixMillis,
    damage: &mut Vec<Damage>,
) -> Vec<Listed> {
    let Some(place) = scan.records.get(&id) else { return Vec::new() };
    let held = match read_held(id, place) {
        Ok(held) => held,
        Err(SpoolError::Damaged { path, offset, what }) => {
            damage.push(Damage { path, offset, bytes: 0, what, acknowledged: true });
            return Vec::new();
        }
        // Compacted meanwhile, or of a version we do not read: not ours to report as damage.
        Err(_) => return Vec::new(),
    };
    if now >= held.expires_at() {
        return Vec::new();
    }
    let notes = scan.notes.get(&id);
    let listed = |item: &HeldItem| {
        let note = notes.and_then(|notes| notes.get(&item.index));
        let state: ItemState =
            note.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
        let mut item = item.clone();
        if let Some(again) = state.again() {
            item.main_class.clone_from(&again.main_class);
            item.category.clone_from(&again.category);
            item.reason.clone_from(&again.reason);
            item.held_by.clone_from(&again.held_by);
            item.hidden = again.hidden;
        }
        let id = ItemId { shard, mail: held.mail, recipient: item.index };
        let deleted = matches!(state, ItemState::Deleted { .. });
        (!deleted).then(|| Listed { id, state, held: held.clone(), item, place: place.clone() })
    };
    held.items.iter().filter_map(listed).collect()
}

/// Those of `ids` that are visible at `now`, and what could not be read.
///
/// # Errors
/// The directory cannot be listed.
pub fn find_all(
    directory: &Path,
    ids: &[ItemId],
    now: UnixMillis,
) -> Result<(BTreeMap<ItemId, Listed>, Vec<Damage>), SpoolError> {
    let (mut found, mut damage) = (BTreeMap::new(), Vec::new());
    for (shard, class) in classes(directory)? {
        let mut wanted = ids.iter().filter(|id| id.shard == shard).peekable();
        if wanted.peek().is_none() {
            continue;
        }
        let scan = reader::scan(&class)?;
        for id in wanted {
            let copies = CopyId::new(id.mail, 0)..=CopyId::new(id.mail, u16::MAX);
            for (copy, _) in scan.records.range(copies) {
                let of_copy = items(shard, &scan, *copy, now, &mut damage);
                if let Some(listed) = of_copy.into_iter().find(|listed| listed.id == *id) {
                    found.insert(*id, listed);
                    break;
                }
            }
        }
    }
    Ok((found, damage))
}

/// One item with its octets.
///
/// # Errors
/// [`SpoolError::NotFound`], also when deleted or expired.
pub fn find(directory: &Path, id: ItemId, now: UnixMillis) -> Result<Listed, SpoolError> {
    let (mut found, _) = find_all(directory, &[id], now)?;
    found.remove(&id).ok_or_else(|| SpoolError::NotFound {
        id: CopyId::new(id.mail, id.recipient),
        directory: directory.to_path_buf(),
    })
}

impl Filter {
    fn matches(&self, Listed { state, held, item, .. }: &Listed) -> bool {
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
            && (self.class.is_empty() || item.main_class.eq_ignore_ascii_case(&self.class))
            && !(self.without_released && matches!(state, ItemState::Released { .. }))
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
