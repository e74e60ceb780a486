//! From what was read to the tables: duplicates, alias chains, sets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::SourceReport;
use super::collect::{BY_CHANGE, Collected, PatternText};
use super::rules::{self, CompiledRules, RuleSource, Wanted};
use crate::policy::source::DomainSource;
use crate::scan::patterns;
use crate::tables::domains::{DomainRow, PoliciesTable, RoutesRow, RoutesTable};
use crate::tables::flat::{Duplicate, Flat, FlatBuilder, Origin};
use crate::tables::hosts::{self, HostsTable};
use crate::tables::networks::NetworksTable;
use crate::tables::recipients::{ChainEnd, follow};
use crate::tables::senders::{EntryValue, SendersTable};
use crate::tables::sources::lines::Errors;
use crate::tables::{SourceError, hashes};

/// All tables, ready to be written, with their numbers of entries.
pub(in crate::tables) struct Made {
    pub policies: PoliciesTable,
    pub routes: RoutesTable,
    pub recipients: Flat,
    pub senders: SendersTable,
    pub networks: NetworksTable,
    pub network_entries: u64,
    pub hashes: Flat,
    pub hosts: HostsTable,
    pub patterns: Option<MadePatterns>,
    pub reports: Vec<SourceReport>,
}

/// Compiled patterns with their sources.
pub(in crate::tables) struct MadePatterns {
    pub compiled: CompiledRules,
    pub report: serde_json::Value,
    pub sources: Vec<PatternText>,
}

/// Makes the tables.
pub(super) fn make(collected: Collected) -> Result<Made, Vec<SourceError>> {
    let Collected {
        files,
        domains,
        recipients,
        aliases,
        senders,
        lengths,
        networks,
        hashes,
        hosts,
        host_lists,
        patterns: pattern_texts,
        reports,
        mut errors,
        ..
    } = collected;
    let mut places = Places { files: &files, errors: &mut errors };
    let (policies, routes) = domain_tables(&domains, &mut places);
    places.chains(&aliases);
    let recipients = places.table(recipients, |_, _| true, address_text);
    let senders = places.table(senders, EntryValue::same, entry_text);
    let network_entries = networks.len();
    let hashes = places.table(hashes, hashes::same, |_| "this digest and size".to_owned());
    let hosts = places.table(hosts, hosts::same, address_text);
    let patterns = compile(pattern_texts, places.errors);
    if !errors.is_empty() {
        return Err(errors.into_list(&files));
    }
    Ok(Made {
        policies,
        routes,
        recipients,
        senders: SendersTable { flat: senders, lengths },
        networks: networks.finish(),
        network_entries,
        hashes,
        hosts: HostsTable { flat: hosts, lists: host_lists },
        patterns,
        reports,
    })
}

fn address_text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

fn entry_text(_: &[u8]) -> String {
    "this entry of this owner".to_owned()
}

/// Turns origins into places in files.
struct Places<'a> {
    files: &'a [PathBuf],
    errors: &'a mut Errors,
}

impl Places<'_> {
    fn place(&self, (file, line): Origin) -> (PathBuf, u64) {
        match self.files.get(file as usize) {
            Some(file) => (file.clone(), line.into()),
            None => (Path::new("single changes").to_owned(), 0),
        }
    }

    /// O16: the second occurrence is the error.
    fn table(
        &mut self,
        builder: FlatBuilder,
        same: impl Fn(&[u8], &[u8]) -> bool,
        describe: fn(&[u8]) -> String,
    ) -> Flat {
        let (table, duplicates) = builder.finish(same);
        for Duplicate { key, first, second } in duplicates {
            let (first_file, first_line) = self.place(first);
            let (file, line) = self.place(second);
            let what = describe(&key);
            let text = if first.0 == BY_CHANGE {
                format!("{what} is there already, by a single change")
            } else {
                format!("{what} is there already: {}:{first_line}", first_file.display())
            };
            self.errors.push(SourceError::new(&file, line, 1, text));
        }
        table
    }

    /// SM-20 to SM-22: a chain of aliases must end.
    fn chains(&mut self, aliases: &HashMap<Box<str>, (Box<str>, Origin)>) {
        for (address, (_, origin)) in aliases {
            let end = follow(address.to_string(), |key| {
                aliases.get(key).map(|(target, _)| Some(target.to_string()))
            });
            if end == ChainEnd::Endless {
                let (file, line) = self.place(*origin);
                let text = format!(
                    "alias {address} leads back to itself or over more than {} others",
                    crate::limits::ALIAS_CHAIN_MAX
                );
                self.errors.push(SourceError::new(&file, line, 1, text));
            }
        }
    }
}

/// Settings once each, domains, next hops.
fn domain_tables(
    domains: &[(u32, DomainSource)],
    places: &mut Places<'_>,
) -> (PoliciesTable, RoutesTable) {
    let mut policies = PoliciesTable::default();
    let mut routes = RoutesTable::default();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    for (file, domain) in domains {
        let hops: Result<Vec<String>, _> =
            domain.routes.iter().map(serde_json::to_string).collect();
        let (settings, hops) = match (serde_json::to_string(&domain.settings), hops) {
            (Ok(settings), Ok(hops)) => (settings, hops),
            (Err(error), _) | (_, Err(error)) => {
                let (file, line) = places.place((*file, u32::try_from(domain.line).unwrap_or(0)));
                places.errors.push(SourceError::new(&file, line, 0, error.to_string()));
                continue;
            }
        };
        let next = u32::try_from(policies.settings.len()).unwrap_or(u32::MAX);
        let number = *numbers.entry(settings).or_insert_with_key(|settings| {
            policies.settings.push(settings.clone());
            next
        });
        policies.domains.push(DomainRow {
            name: domain.name.to_string(),
            tenant: None,
            settings: number,
            aliases: domain.domain_aliases.iter().map(ToString::to_string).collect(),
        });
        routes.domains.push(RoutesRow { name: domain.name.to_string(), routes: hops });
    }
    (policies, routes)
}

/// Compiles the rules; none without a source.
fn compile(texts: Vec<PatternText>, errors: &mut Errors) -> Option<MadePatterns> {
    if texts.is_empty() {
        return None;
    }
    let mut report = patterns::BuildReport::default();
    let sources: Vec<RuleSource<'_>> =
        texts.iter().map(|text| (&*text.path, text.format, &*text.content)).collect();
    match rules::compile(&sources, Wanted::All, &mut report) {
        Ok(compiled) => Some(MadePatterns {
            compiled,
            report: serde_json::to_value(&report).unwrap_or_default(),
            sources: texts,
        }),
        Err(mistakes) => {
            for error in mistakes {
                let (line, column) = (error.line.into(), error.column.into());
                errors.push(SourceError::new(Path::new(&error.file), line, column, error.text));
            }
            None
        }
    }
}
