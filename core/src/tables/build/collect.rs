//! Reads all sources into builders, mistakes into a list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{PROGRESS_LINES, Progress, SourceReport};
use crate::envelope::Mailbox;
use crate::policy::source::{DomainSource, parse_domains, unknown_templates};
use crate::scan::patterns::ignored_names;
use crate::tables::delta::{EntryChange, Layer, RecipientChange, slot};
use crate::tables::flat::{FlatBuilder, Full, Origin};
use crate::tables::hosts::{self, HostList, Scope};
use crate::tables::networks::NetworksBuilder;
use crate::tables::recipients::Record;
use crate::tables::senders::{
    Entry, EntryValue, Owner, Pattern, Polarity, PrefixLengths, Side, entry_key,
};
use crate::tables::sources::lines::{Errors, LineError, each_line, plain_item};
use crate::tables::sources::rbldnsd::{Taken, Zone};
use crate::tables::sources::{
    ListFormat, RuleFormat, Source, SourceKind, clamav_hashes, csv, item,
};
use crate::tables::{SourceError, Sources, disk, hashes};

/// Largest file that is read as a whole (domains, patterns).
const WHOLE_FILE_BYTES_MAX: u64 = 512 << 20;
/// The origin of single changes.
pub(super) const BY_CHANGE: u32 = u32::MAX;

/// A pattern source as it was read.
pub(in crate::tables) struct PatternText {
    pub path: PathBuf,
    pub format: RuleFormat,
    pub content: Vec<u8>,
}

/// Everything, read.
#[derive(Default)]
pub(super) struct Collected {
    pub files: Vec<PathBuf>,
    pub domains: Vec<(u32, DomainSource)>,
    pub recipients: FlatBuilder,
    /// Aliases again, for the check of their chains: target and origin.
    pub aliases: HashMap<Box<str>, (Box<str>, Origin)>,
    pub senders: FlatBuilder,
    pub lengths: PrefixLengths,
    pub networks: NetworksBuilder,
    pub hashes: FlatBuilder,
    pub hosts: FlatBuilder,
    pub host_lists: Vec<HostList>,
    pub patterns: Vec<PatternText>,
    pub reports: Vec<SourceReport>,
    pub errors: Errors,
    /// Single changes; they win over what the sources say.
    changes: Layer,
    /// Domains of ours; for an alias the domain it stands for.
    names: BTreeMap<Box<str>, Option<Box<str>>>,
    items: u64,
    left_out: u64,
    /// By number of the source.
    warnings: Vec<(u32, String)>,
    /// Names of hash signatures that are left out.
    ignored: HashSet<String>,
    scratch: Vec<u8>,
}

/// Reads everything.
pub(super) fn collect(
    sources: &Sources,
    progress: &mut dyn FnMut(Progress),
) -> Result<Collected, Vec<SourceError>> {
    let mut all = Collected { changes: Layer::of(&sources.changes), ..Collected::default() };
    all.files = sources.files.iter().map(|source| source.path.clone()).collect();
    for source in sources.files.iter().filter(|source| source.kind == SourceKind::Hashes) {
        if clamav_hashes::names_to_ignore(&source.path)
            && let Some(content) = all.whole(&source.path)
        {
            ignored_names(&content, &mut all.ignored);
        }
    }
    let own_hosts: Vec<&str> = sources.own_hosts.iter().map(String::as_str).collect();
    let numbered = || (0_u32..).zip(&sources.files);
    for (number, source) in numbered().filter(|(_, source)| source.kind == SourceKind::Domains) {
        all.domains_file(number, source, (&own_hosts, &sources.notices));
    }
    let mut files = sources.files.iter().filter(|source| source.kind == SourceKind::Domains);
    if let (true, true, Some(last)) =
        (all.domains.is_empty(), all.errors.is_empty(), files.next_back())
    {
        // An emptied file would have every recipient refused for good: 550, and senders give up.
        let text = "names no domain: every recipient would be refused";
        all.errors.push(SourceError::new(&last.path, 0, 0, text));
    }
    // Addresses in the domains' own lists may belong to any of the domains: read them last.
    let domains = std::mem::take(&mut all.domains);
    for (number, domain) in &domains {
        all.domain(*number, domain);
    }
    all.domains = domains;
    for (number, source) in numbered() {
        (all.items, all.left_out) = (0, 0);
        if source.kind == SourceKind::Domains {
            all.items = all.domains.iter().filter(|(from, _)| *from == number).count() as u64;
        } else {
            all.source(number, source, progress);
        }
        all.reports.push(SourceReport {
            path: source.path.display().to_string(),
            items: all.items,
            left_out: all.left_out,
            warnings: {
                let own = all.warnings.iter().filter(|(from, _)| *from == number);
                own.map(|(_, text)| text.clone()).collect()
            },
        });
    }
    all.single_changes();
    Ok(all)
}

/// How many lines there are cannot be known beforehand; every so many are reported.
fn counted<'p>(
    source: &Source,
    progress: &'p mut dyn FnMut(Progress),
) -> impl FnMut(u64) + use<'p> {
    let step = format!("reading {}", source.path.display());
    move |line| {
        if line % PROGRESS_LINES == 0 {
            progress(Progress { step: step.clone(), done: line, total: None });
        }
    }
}

fn full(_: Full) -> LineError {
    (0, "the table is full: it holds at most 1.7 GB of keys and values".to_owned())
}

/// Line and column, from 1, of the first octet that is no UTF-8.
fn first_bad_octet(content: &[u8]) -> (u64, u64) {
    let good = content.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let line = good.matches('\n').count() as u64 + 1;
    let last = good.rsplit('\n').next().unwrap_or_default();
    (line, last.chars().count() as u64 + 1)
}

impl Collected {
    fn whole(&mut self, path: &Path) -> Option<Vec<u8>> {
        disk::read(path, WHOLE_FILE_BYTES_MAX)
            .map_err(|error| self.errors.push(SourceError::new(path, 0, 0, error.to_string())))
            .ok()
    }

    fn domains_file(
        &mut self,
        number: u32,
        source: &Source,
        (own_hosts, notices): (&[&str], &[String]),
    ) {
        let path = &source.path;
        let Some(content) = self.whole(path) else { return };
        let text = match String::from_utf8(content) {
            Ok(text) => text,
            Err(error) => {
                let (line, column) = first_bad_octet(error.as_bytes());
                self.errors.push(SourceError::new(path, line, column, "is not UTF-8"));
                return;
            }
        };
        match parse_domains(&text, &path.display().to_string(), own_hosts) {
            Ok((domains, warnings)) => {
                self.warnings.extend(warnings.iter().map(|warning| (number, warning.to_string())));
                for domain in domains {
                    self.name(path, &domain);
                    if !notices.is_empty() {
                        let unknown = unknown_templates(&domain.settings, notices);
                        let told =
                            unknown.into_iter().map(|why| format!("domain {}: {why}", domain.name));
                        let error = |why| SourceError::new(path, domain.line as u64, 0, why);
                        told.map(error).for_each(|error| self.errors.push(error));
                    }
                    self.domains.push((number, domain));
                }
            }
            Err(problems) => {
                for problem in problems {
                    let (line, column) = (problem.line as u64, problem.column as u64);
                    self.errors.push(SourceError::new(path, line, column, problem.text));
                }
            }
        }
    }

    /// Notes a domain's names; SM-21: a name belongs to one domain.
    fn name(&mut self, path: &Path, domain: &DomainSource) {
        let mut add = |name: &str, target: Option<Box<str>>| {
            if self.names.insert(name.into(), target).is_some() {
                let text = format!("domain {name}: already belongs to another domain");
                self.errors.push(SourceError::new(path, domain.line as u64, 0, text));
            }
        };
        add(&domain.name, None);
        for alias in &domain.domain_aliases {
            add(alias, Some(domain.name.clone()));
        }
    }

    /// What a domain says of its own addresses.
    fn domain(&mut self, number: u32, domain: &DomainSource) {
        let path = self.files.get(number as usize).cloned().unwrap_or_default();
        let key = |local_part: &str| Mailbox::new(local_part, &domain.name).key();
        let line = u32::try_from(domain.line).unwrap_or(0);
        let mut failures = Vec::new();
        for recipient in &domain.recipients {
            failures.extend(self.recipient(&key(recipient), None, (number, line)).err());
        }
        for alias in &domain.mailbox_aliases {
            let at = (number, u32::try_from(alias.line).unwrap_or(0));
            failures
                .extend(self.recipient(&key(&alias.alias), Some(&key(&alias.mailbox)), at).err());
        }
        let lists = [
            (&domain.recipient_block, Polarity::Block),
            (&domain.recipient_allow, Polarity::Allow),
        ];
        for (list, polarity) in lists {
            for local_part in list {
                let entry = Entry {
                    owner: Owner::Domain(domain.name.clone()),
                    side: Side::Recipient,
                    polarity,
                    pattern: Pattern::Address(key(local_part).into()),
                    match_on: crate::tables::MatchOn::Both,
                    active_from: crate::clock::UnixMillis(0),
                };
                failures.extend(self.entry(&entry, (number, line)).err());
            }
        }
        for (column, text) in failures {
            self.errors.push(SourceError::new(&path, line.into(), column as u64 + 1, text));
        }
        if let Some(file) = &domain.recipients_file {
            let file = path.parent().unwrap_or_else(|| Path::new("")).join(file);
            let number = u32::try_from(self.files.len()).unwrap_or(BY_CHANGE);
            self.files.push(file.clone());
            self.lines(&file, &mut |_| (), |all, line, text| {
                let Some((column, item)) = plain_item(text) else { return Ok(()) };
                let address = if item.contains('@') {
                    item::address(item).map_err(|what| (column, what))?
                } else {
                    item::address(&format!("{item}@{}", domain.name))
                        .map_err(|what| (column, what))?
                };
                all.recipient(&address, None, (number, line))
            });
        }
    }

    /// Runs `each` over the lines of a file; the errors it returns get their place.
    fn lines(
        &mut self,
        path: &Path,
        count: &mut dyn FnMut(u64),
        mut each: impl FnMut(&mut Self, u32, &str) -> Result<(), LineError>,
    ) {
        let mut errors = std::mem::take(&mut self.errors);
        each_line(path, &mut errors, &mut |line, text| {
            count(line);
            let line = u32::try_from(line).map_err(|_| (0, "too many lines".to_owned()))?;
            each(self, line, text)
        });
        self.errors = errors;
    }

    fn source(&mut self, number: u32, source: &Source, progress: &mut dyn FnMut(Progress)) {
        let path = &source.path;
        let mut count = counted(source, progress);
        match &source.kind {
            SourceKind::Domains => {}
            SourceKind::Recipients => self.recipients_file(number, path, &mut count),
            SourceKind::Entries => self.entries_file(number, path, &mut count),
            SourceKind::EntryList { owner, side, polarity } => {
                self.entry_list(number, path, &mut count, (owner, *side, *polarity));
            }
            SourceKind::Networks { list, class, format } => {
                let list = self.networks.list(list, *class);
                self.networks(path, &mut count, list, *format);
            }
            SourceKind::Hosts { list, flags, format } => {
                let place = u16::try_from(self.host_lists.len()).unwrap_or(u16::MAX);
                let bits = hosts::flag_bits(*flags);
                self.host_lists.push(HostList { name: list.clone(), flags: bits });
                // A sub-domain of a free-mail domain is somebody's own; one of a bad host is not.
                let scope = if flags.free_mail { Scope::Exact } else { Scope::Both };
                self.hosts(path, &mut count, (number, place, scope), *format);
            }
            SourceKind::Hashes => self.hashes_file(number, path, &mut count),
            SourceKind::Patterns { format } => {
                if let Some(content) = self.whole(path) {
                    self.items = content.iter().filter(|octet| **octet == b'\n').count() as u64;
                    self.patterns.push(PatternText {
                        path: path.clone(),
                        format: *format,
                        content,
                    });
                }
            }
        }
    }

    fn recipients_file(&mut self, number: u32, path: &Path, count: &mut dyn FnMut(u64)) {
        let comma = path.extension().is_some_and(|extension| extension == "csv");
        self.lines(path, count, |all, line, text| {
            if line == 1 && csv::is_header(text, "address") {
                return Ok(());
            }
            let Some((column, item)) = plain_item(text) else { return Ok(()) };
            let (address, target) = if comma {
                csv::recipient(item).map_err(|(at, what)| (column + at, what))?
            } else {
                (item::address(item).map_err(|what| (column, what))?, None)
            };
            all.items += 1;
            all.recipient(&address, target.as_deref(), (number, line))
        });
    }

    fn entries_file(&mut self, number: u32, path: &Path, count: &mut dyn FnMut(u64)) {
        self.lines(path, count, |all, line, text| {
            if line == 1 && csv::is_header(text, "owner") {
                return Ok(());
            }
            let Some((column, item)) = plain_item(text) else { return Ok(()) };
            let entry = csv::entry(item).map_err(|(at, what)| (column + at, what))?;
            all.items += 1;
            all.entry(&entry, (number, line))
        });
    }

    fn entry_list(
        &mut self,
        number: u32,
        path: &Path,
        count: &mut dyn FnMut(u64),
        (owner, side, polarity): (&str, Side, Polarity),
    ) {
        let owner = match item::owner(owner) {
            Ok(owner) => owner,
            Err(what) => return self.errors.push(SourceError::new(path, 0, 0, what)),
        };
        self.lines(path, count, |all, line, text| {
            let Some((column, item)) = plain_item(text) else { return Ok(()) };
            let entry = Entry {
                owner: owner.clone(),
                side,
                polarity,
                pattern: item::pattern(item).map_err(|what| (column, what))?,
                match_on: crate::tables::MatchOn::Setting,
                active_from: crate::clock::UnixMillis(0),
            };
            all.items += 1;
            all.entry(&entry, (number, line))
        });
    }

    fn hashes_file(&mut self, number: u32, path: &Path, count: &mut dyn FnMut(u64)) {
        if clamav_hashes::names_to_ignore(path) {
            return;
        }
        let Some(shape) = clamav_hashes::Shape::of(path) else {
            let text = "the name ends in none of .hdb .hsb .mdb .msb .imp .fp .sfp .ign .ign2";
            return self.errors.push(SourceError::new(path, 0, 0, text));
        };
        self.lines(path, count, |all, line, text| {
            let found = clamav_hashes::signature(text, shape)?;
            let Some((digest, size, name)) = found else { return Ok(()) };
            if all.ignored.contains(name) {
                all.left_out += 1;
                return Ok(());
            }
            all.items += 1;
            let (key, value) = (hashes::key(&digest), hashes::value(size, name));
            all.hashes.push(&key, &value, (number, line)).map_err(full)
        });
    }

    fn networks(&mut self, path: &Path, count: &mut dyn FnMut(u64), list: u32, format: ListFormat) {
        let mut zone = Zone::default();
        let code = std::net::Ipv4Addr::new(127, 0, 0, 2);
        self.lines(path, count, |all, _, text| {
            match format {
                ListFormat::Plain => {
                    let Some((column, item)) = plain_item(text) else { return Ok(()) };
                    let net = item::network(item).map_err(|what| (column, what))?;
                    all.networks.push(list, net, Some((code, "")));
                    all.items += 1;
                }
                ListFormat::Rbldnsd => match zone.network(text)? {
                    Taken::Entry(entry) => {
                        let value = entry.value.as_ref().map(|(code, text)| (*code, text.as_str()));
                        for net in entry.nets {
                            all.networks.push(list, net, value);
                        }
                        all.items += 1;
                    }
                    Taken::LeftOut => all.left_out += 1,
                    Taken::Nothing => {}
                },
            }
            Ok(())
        });
    }

    fn hosts(
        &mut self,
        path: &Path,
        count: &mut dyn FnMut(u64),
        (number, list, scope): (u32, u16, Scope),
        format: ListFormat,
    ) {
        let mut zone = Zone::default();
        self.lines(path, count, |all, line, text| {
            let (name, value) = match format {
                ListFormat::Plain => {
                    let Some((column, item)) = plain_item(text) else { return Ok(()) };
                    let name = item::host_or_page(item).map_err(|what| (column, what))?;
                    (name, hosts::value(list, scope, false))
                }
                ListFormat::Rbldnsd => match zone.host(text)? {
                    Taken::Entry(entry) => {
                        let value = hosts::value(list, entry.scope, entry.excluded);
                        (entry.name, value)
                    }
                    Taken::LeftOut => {
                        all.left_out += 1;
                        return Ok(());
                    }
                    Taken::Nothing => return Ok(()),
                },
            };
            all.items += 1;
            all.hosts.push(name.as_bytes(), &value, (number, line)).map_err(full)
        });
    }

    /// The domain of an address must be ours, and not by an alias: a domain alias is followed first
    /// (SM-22), so an address in one would never be asked for.
    fn ours(&self, address: &str) -> Result<(), LineError> {
        let (_, name) = address.rsplit_once('@').unwrap_or_default();
        match self.names.get(name) {
            Some(None) => Ok(()),
            Some(Some(target)) => {
                Err((0, format!("{address}: {name} is an alias of {target}, use that domain")))
            }
            None => Err((0, format!("{address}: {name} is not a domain of ours"))),
        }
    }

    fn recipient(
        &mut self,
        address: &str,
        target: Option<&str>,
        origin: Origin,
    ) -> Result<(), LineError> {
        self.ours(address)?;
        if self.changes.recipients.contains_key(address) {
            return Ok(());
        }
        let record = match target {
            None => Record::Mailbox,
            Some(target) => {
                self.ours(target)?;
                if target == address {
                    return Err((0, format!("{address} is an alias of itself")));
                }
                self.aliases.insert(address.into(), (target.into(), origin));
                Record::Alias(target)
            }
        };
        record.encode(&mut self.scratch);
        self.recipients.push(address.as_bytes(), &self.scratch, origin).map_err(full)
    }

    fn entry(&mut self, entry: &Entry, origin: Origin) -> Result<(), LineError> {
        let key = entry_key(entry);
        let changed = self.changes.entries.get(key.as_slice());
        let changed = changed.and_then(|changes| changes.get(slot(entry.polarity)));
        if changed.is_some_and(|change| *change != EntryChange::Untouched) {
            return Ok(());
        }
        if let Pattern::Network(net) = &entry.pattern {
            self.lengths.add(*net);
        }
        self.senders.push(&key, &EntryValue::of(entry).encode(), origin).map_err(full)
    }

    /// Adds what was changed one by one since the sources were written. A change for a domain that is
    /// gone goes with it.
    fn single_changes(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        for (line, (address, change)) in (0_u32..).zip(&changes.recipients) {
            let target = match change {
                RecipientChange::Removed => continue,
                RecipientChange::Mailbox => None,
                RecipientChange::Alias(target) => Some(&**target),
            };
            let gone = |address: &str| self.ours(address).is_err();
            if !gone(address) && !target.is_some_and(gone) {
                let added = self.recipient(address, target, (BY_CHANGE, line));
                self.change_failed(added);
            }
        }
        for change in changes.entries.values().flatten() {
            if let EntryChange::Put(entry) = change {
                let added = self.entry(entry, (BY_CHANGE, 0));
                self.change_failed(added);
            }
        }
    }

    fn change_failed(&mut self, result: Result<(), LineError>) {
        if let Err((_, text)) = result {
            self.errors.push(SourceError::new(Path::new("single changes"), 0, 0, text));
        }
    }
}
