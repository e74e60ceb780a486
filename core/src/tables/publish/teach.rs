//! A new generation that differs from the latest one in what the classifier learned.

use std::fs;
use std::path::Path;

use super::super::file::{self, Kind};
use super::super::manifest::{CHANGES, CONFIG, Manifest, REPORT};
use super::super::tokens::{TokensRow, TokensTable};
use super::super::{PublishError, Report, TableReport, disk};
use super::io_at;

/// Name of a domain, or empty for the gateway, and the octets of its model.
pub type NamedModel = (String, Vec<u8>);

/// Writes generation `number` into `dir`: `from` with other models. Nobody writes to a file that has
/// its name, so both share all else; this takes milliseconds at any size of the lists.
pub(super) fn teach(
    from: &Path,
    dir: &Path,
    number: u64,
    models: Vec<NamedModel>,
) -> Result<(), PublishError> {
    let mut manifest = Manifest::read(from)?;
    manifest.number = number;
    let link = |name: &str| {
        let path = dir.join(name);
        fs::hard_link(from.join(name), &path).map_err(io_at(&path))
    };
    manifest.tables.remove(Kind::Tokens.name());
    for name in manifest.tables.keys() {
        link(&format!("{name}.table"))?;
    }
    if !manifest.pattern_sources.is_empty() {
        let sources = dir.join("sources");
        fs::create_dir(&sources).map_err(io_at(&sources))?;
        for source in &manifest.pattern_sources {
            link(&format!("sources/{}", source.file))?;
        }
        disk::sync_dir(&sources).map_err(io_at(&sources))?;
    }
    [CONFIG, CHANGES].into_iter().try_for_each(link)?;
    let mut row = None;
    let rows = models.into_iter().map(|(scope, octets)| TokensRow { scope, octets });
    let mut table = TokensTable { models: rows.collect() };
    table.models.sort_by(|a, b| a.scope.cmp(&b.scope));
    if !table.models.is_empty() {
        let path = dir.join(format!("{}.table", Kind::Tokens.name()));
        let written = file::write(&path, Kind::Tokens, &table).map_err(io_at(&path))?;
        row = Some(TableReport {
            name: Kind::Tokens.name().to_owned(),
            entries: table.models.len() as u64,
            bytes: written.bytes,
            hash: written.name.clone(),
        });
        manifest.tables.insert(Kind::Tokens.name().to_owned(), written.into());
    }
    let report = report(from)?;
    write_report(dir, report, row)?;
    manifest.write(dir).map_err(io_at(dir))
}

/// Gives a freshly built generation the models of the one before it: they stand in no source.
pub(super) fn carry_models(from: &Path, dir: &Path) -> Result<(), PublishError> {
    let Some(table) = Manifest::read(from)?.tables.remove(Kind::Tokens.name()) else {
        return Ok(());
    };
    let name = format!("{}.table", Kind::Tokens.name());
    let path = dir.join(&name);
    fs::hard_link(from.join(&name), &path).map_err(io_at(&path))?;
    let row = report(from)?.tables.into_iter().find(|row| row.name == Kind::Tokens.name());
    let own = report(dir)?;
    let path = dir.join(REPORT);
    fs::remove_file(&path).map_err(io_at(&path))?;
    write_report(dir, own, row)?;
    Manifest::add_table(dir, Kind::Tokens.name(), table).map_err(io_at(dir))
}

fn report(dir: &Path) -> Result<Report, PublishError> {
    let path = dir.join(REPORT);
    let text = disk::read(&path, 1 << 30).map_err(io_at(&path))?;
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

/// Writes the report of a generation with another row for the models.
fn write_report(
    dir: &Path,
    mut report: Report,
    row: Option<TableReport>,
) -> Result<(), PublishError> {
    report.tables.retain(|row| row.name != Kind::Tokens.name());
    report.tables.extend(row);
    let path = dir.join(REPORT);
    let text = serde_json::to_vec_pretty(&report).unwrap_or_default();
    disk::write_new(&path, &text).map_err(io_at(&path))
}
