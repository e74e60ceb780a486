//! A new base of an old one and its changes, without the sources.

use std::fs;
use std::path::Path;

use super::super::delta::{self, EntryChange, Layer, RecipientChange, slot};
use super::super::file::{self, Kind};
use super::super::flat::{FlatBuilder, Full};
use super::super::manifest::{CHANGES, CONFIG, Manifest, REPORT};
use super::super::recipients::Record;
use super::super::senders::{EntryValue, Pattern, PrefixLengths, SendersTable};
use super::super::{Generation, Progress, PublishError, Report, disk};
use super::io_at;

/// Writes generation `number` into `dir`: `from` with `carried`, all its single changes, net. Those
/// that are in the base already change nothing.
pub(super) fn merge(
    from: &Path,
    dir: &Path,
    number: u64,
    carried: &Layer,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), PublishError> {
    let base = Generation::published(from)?;
    let mut manifest = Manifest::read(from)?;
    manifest.number = number;
    let report = from.join(REPORT);
    let text = disk::read(&report, 1 << 30).map_err(io_at(&report))?;
    let mut report: Report = serde_json::from_slice(&text).unwrap_or_default();
    for kind in Kind::TABLES {
        let file = format!("{}.table", kind.name());
        let path = dir.join(&file);
        let step = format!("merging {}", kind.name());
        let (entries, written) = match kind {
            Kind::Recipients => {
                let table = recipients(&base, carried).map_err(|_| too_large(&path))?;
                let (table, _) = table.finish(|_, _| true);
                let written = file::write(&path, kind, &table).map_err(io_at(&path))?;
                (table.len(), written)
            }
            Kind::Senders => {
                let table = senders(&base, carried).map_err(|_| too_large(&path))?;
                let written = file::write(&path, kind, &table).map_err(io_at(&path))?;
                (table.flat.len(), written)
            }
            // Nobody writes to a file that has its name, so both generations may share it.
            Kind::Networks
            | Kind::Routes
            | Kind::Policies
            | Kind::Patterns
            | Kind::Yara
            | Kind::Hashes
            | Kind::Urls
            | Kind::Tokens
            | Kind::Delta
            | Kind::Stretch
            | Kind::Bypasses => {
                if manifest.tables.contains_key(kind.name()) {
                    fs::hard_link(from.join(&file), &path).map_err(io_at(&path))?;
                }
                continue;
            }
        };
        progress(Progress { step, done: entries, total: Some(entries) });
        if let Some(row) = report.tables.iter_mut().find(|row| row.name == kind.name()) {
            row.entries = entries;
            row.bytes = written.bytes;
            row.hash.clone_from(&written.name);
        }
        manifest.tables.insert(kind.name().to_owned(), written.into());
    }
    if !manifest.pattern_sources.is_empty() {
        let sources = dir.join("sources");
        fs::create_dir(&sources).map_err(io_at(&sources))?;
        for source in &manifest.pattern_sources {
            let path = sources.join(&source.file);
            fs::hard_link(from.join("sources").join(&source.file), &path).map_err(io_at(&path))?;
        }
        disk::sync_dir(&sources).map_err(io_at(&sources))?;
    }
    fs::hard_link(from.join(CONFIG), dir.join(CONFIG)).map_err(io_at(&dir.join(CONFIG)))?;
    let path = dir.join(CHANGES);
    delta::write(&path, &carried.to_changes()).map_err(io_at(&path))?;
    let path = dir.join(REPORT);
    let text = serde_json::to_vec_pretty(&report).unwrap_or_default();
    disk::write_new(&path, &text).map_err(io_at(&path))?;
    manifest.write(dir).map_err(io_at(dir))
}

fn too_large(path: &Path) -> PublishError {
    io_at(path)(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the merged table is full"))
}

fn recipients(base: &Generation, carried: &Layer) -> Result<FlatBuilder, Full> {
    let mut table = FlatBuilder::default();
    for (key, value) in base.recipients().into_iter().flat_map(|table| table.records()) {
        let changed = std::str::from_utf8(key).ok().and_then(|key| carried.recipients.get(key));
        if changed.is_none() {
            table.push(key, value, (0, 0))?;
        }
    }
    let mut value = Vec::new();
    for (address, change) in &carried.recipients {
        match change {
            RecipientChange::Removed => continue,
            RecipientChange::Mailbox => Record::Mailbox.encode(&mut value),
            RecipientChange::Alias(target) => Record::Alias(target).encode(&mut value),
        }
        table.push(address.as_bytes(), &value, (0, 0))?;
    }
    Ok(table)
}

fn senders(base: &Generation, carried: &Layer) -> Result<SendersTable, Full> {
    let mut table = FlatBuilder::default();
    let mut lengths = PrefixLengths::default();
    if let Some(senders) = base.senders() {
        lengths.add_all(&senders.lengths.v4, &senders.lengths.v6);
        for (key, value) in senders.flat.records() {
            let polarity = EntryValue::decode(value).map(|value| slot(value.polarity));
            let changes = carried.entries.get(key);
            let change = polarity.and_then(|slot| changes?.get(slot));
            if change.is_none_or(|change| *change == EntryChange::Untouched) {
                table.push(key, value, (0, 0))?;
            }
        }
    }
    for (key, changes) in &carried.entries {
        for change in changes {
            let EntryChange::Put(entry) = change else { continue };
            if let Pattern::Network(net) = &entry.pattern {
                lengths.add(*net);
            }
            table.push(key, &EntryValue::of(entry).encode(), (0, 0))?;
        }
    }
    let (flat, _) = table.finish(EntryValue::same);
    Ok(SendersTable { flat, lengths })
}
