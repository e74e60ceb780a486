//! Writes the files of a generation.

use std::io;
use std::path::Path;

use super::collect::PatternText;
use super::make::Made;
use super::{Progress, Report, TableReport};
use crate::tables::file::{self, Kind, Written};
use crate::tables::manifest::{CHANGES, CONFIG, CarriedSource, Manifest, REPORT};
use crate::tables::sources::RuleFormat;
use crate::tables::{Sources, delta, disk};

/// Writes everything into `dir` and flushes each file.
pub(super) fn write(
    dir: &Path,
    number: u64,
    sources: &Sources,
    made: Made,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Report> {
    let mut manifest = Manifest::new(number);
    let mut report = Report { sources: made.reports, ..Report::default() };
    let mut note = |kind: Kind, entries: u64, written: Written| {
        progress(Progress {
            step: format!("writing {}", kind.name()),
            done: entries,
            total: Some(entries),
        });
        report.tables.push(TableReport {
            name: kind.name().to_owned(),
            entries,
            bytes: written.bytes,
            hash: written.name.clone(),
        });
        manifest.tables.insert(kind.name().to_owned(), written.into());
    };
    let path = |kind: Kind| dir.join(format!("{}.table", kind.name()));
    let domains = made.policies.domains.len() as u64;
    let written = file::write(&path(Kind::Policies), Kind::Policies, &made.policies)?;
    note(Kind::Policies, domains, written);
    let written = file::write(&path(Kind::Routes), Kind::Routes, &made.routes)?;
    note(Kind::Routes, domains, written);
    let entries = made.recipients.len();
    let written = file::write(&path(Kind::Recipients), Kind::Recipients, &made.recipients)?;
    note(Kind::Recipients, entries, written);
    drop(made.recipients);
    let entries = made.senders.flat.len();
    let written = file::write(&path(Kind::Senders), Kind::Senders, &made.senders)?;
    note(Kind::Senders, entries, written);
    drop(made.senders);
    let written = file::write(&path(Kind::Networks), Kind::Networks, &made.networks)?;
    note(Kind::Networks, made.network_entries, written);
    let written = file::write(&path(Kind::Hashes), Kind::Hashes, &made.hashes)?;
    note(Kind::Hashes, made.hashes.len(), written);
    let written = file::write(&path(Kind::Urls), Kind::Urls, &made.hosts)?;
    note(Kind::Urls, made.hosts.flat.len(), written);
    if let Some(patterns) = made.patterns {
        let is_yara = |source: &&PatternText| source.format == RuleFormat::Yara;
        let others = patterns.sources.len() - patterns.sources.iter().filter(is_yara).count();
        if let Some(payload) = &patterns.compiled.patterns {
            let written = file::write_bytes(&path(Kind::Patterns), Kind::Patterns, payload)?;
            note(Kind::Patterns, others as u64, written);
        }
        if let Some((payload, rules)) = &patterns.compiled.yara {
            let written = file::write_bytes(&path(Kind::Yara), Kind::Yara, payload)?;
            note(Kind::Yara, *rules, written);
        }
        report.patterns = patterns.report;
        std::fs::create_dir(dir.join("sources"))?;
        for (index, source) in patterns.sources.iter().enumerate() {
            // The name on disk is ours: nothing of the operator's path becomes one.
            let file = format!("{index:04}");
            disk::write_new(&dir.join("sources").join(&file), &source.content)?;
            manifest.pattern_sources.push(CarriedSource {
                file,
                path: source.path.clone(),
                format: source.format,
                hash: blake3::hash(&source.content).to_hex().to_string(),
            });
        }
        disk::sync_dir(&dir.join("sources"))?;
    }
    disk::write_new(&dir.join(CONFIG), sources.config_text.as_bytes())?;
    manifest.config_hash = blake3::hash(sources.config_text.as_bytes()).to_hex().to_string();
    delta::write(&dir.join(CHANGES), &sources.changes)?;
    let text = serde_json::to_vec_pretty(&report).map_err(io::Error::other)?;
    disk::write_new(&dir.join(REPORT), &text)?;
    manifest.write(dir)?;
    Ok(report)
}
