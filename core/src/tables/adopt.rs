//! Taking over a generation: copy, verify, map.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::{Archive, Portable, rancor};
use smallvec::SmallVec;

use super::build::rules::{self, RuleSource, Wanted};
use super::domains::{Domains, PoliciesTable, RoutesTable};
use super::file::{Check, Kind, MappedFile, Table, name_of_block};
use super::flat::{ArchivedFlat, Flat};
use super::hosts::HostsTable;
use super::manifest::Manifest;
use super::networks::NetworksTable;
use super::senders::{ArchivedSendersTable, SendersTable};
use super::tokens::TokensTable;
use super::{AdoptError, Digest, DomainRef, HostFlags, NetworkHit, disk, file, hashes};
use crate::classify::{Model, Reading};
use crate::limits::BLOCK_BYTES;
use crate::scan::patterns::{BuildReport, OpenError, Patterns};
use crate::scan::yara::{self, NotUsable};

/// A generation in use: the engine's own, verified, mapped copy. Immutable.
#[derive(Debug, Default)]
pub struct Generation {
    number: u64,
    config_text: String,
    domains: Arc<Domains>,
    policies_name: String,
    routes_name: String,
    recipients: Option<Arc<Table<Flat>>>,
    senders: Option<Arc<Table<SendersTable>>>,
    networks: Option<Arc<Table<NetworksTable>>>,
    hashes: Option<Arc<Table<Flat>>>,
    hosts: Option<Arc<Table<HostsTable>>>,
    tokens: Option<Arc<Table<TokensTable>>>,
    patterns: Option<(String, Arc<Patterns>)>,
    /// Name, file, number of rules.
    yara: Option<(String, Arc<MappedFile>, u64)>,
}

/// Name of a table in the engine's directory, where a generation has it.
fn shared<T>(known: Option<&Arc<Table<T>>>, hash: &str) -> Option<Arc<Table<T>>>
where
    T: Archive,
    T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    known.filter(|table| table.file().name() == hash).map(Arc::clone)
}

impl Generation {
    /// Copies the tables of `generation_dir` into `engine_dir/tables`, verifies the copy, maps it and
    /// touches its pages. Tables that `previous` has mapped already are shared. Blocking: call it
    /// beside the shards.
    ///
    /// # Errors
    /// [`AdoptError`], with file and value; nothing changes then.
    pub fn adopt(
        generation_dir: &Path,
        engine_dir: &Path,
        previous: Option<&Self>,
    ) -> Result<Arc<Self>, AdoptError> {
        let manifest = Manifest::read(generation_dir)?;
        let place = Place::Copied { from: generation_dir, to: engine_dir.join("tables") };
        Self::load(&manifest, generation_dir, &place, previous, &Kind::TABLES).map(Arc::new)
    }

    /// The same with only the tables that examining a message asks: patterns, YARA rules, hashes, hosts. For
    /// analysis workers, which start often and may not map gigabytes of addresses.
    ///
    /// # Errors
    /// As [`Self::adopt`].
    pub fn adopt_for_scan(
        generation_dir: &Path,
        engine_dir: &Path,
    ) -> Result<Arc<Self>, AdoptError> {
        let manifest = Manifest::read(generation_dir)?;
        let place = Place::Copied { from: generation_dir, to: engine_dir.join("tables") };
        let wanted = [Kind::Patterns, Kind::Yara, Kind::Hashes, Kind::Urls];
        Self::load(&manifest, generation_dir, &place, None, &wanted).map(Arc::new)
    }

    /// The published files themselves, header and shape checked only: for the publisher.
    pub(super) fn published(generation_dir: &Path) -> Result<Self, AdoptError> {
        let manifest = Manifest::read(generation_dir)?;
        let place = Place::Own { dir: generation_dir };
        Self::load(&manifest, generation_dir, &place, None, &Kind::TABLES)
    }

    fn load(
        manifest: &Manifest,
        generation_dir: &Path,
        place: &Place<'_>,
        previous: Option<&Self>,
        wanted: &[Kind],
    ) -> Result<Self, AdoptError> {
        let hash = |kind: Kind| {
            let table = manifest.tables.get(kind.name()).filter(|_| wanted.contains(&kind));
            table.map(|table| table.hash.as_str())
        };
        let mut generation = Self {
            number: manifest.number,
            config_text: manifest.config_text(generation_dir)?,
            ..Self::default()
        };
        macro_rules! table {
            ($field:ident, $kind:expr) => {
                if let Some(hash) = hash($kind) {
                    let known = previous.and_then(|old| shared(old.$field.as_ref(), hash));
                    generation.$field = Some(match known {
                        Some(table) => table,
                        None => Arc::new(place.table($kind, hash)?),
                    });
                }
            };
        }
        // One line for each table instead of five times the same match.
        table!(recipients, Kind::Recipients);
        table!(senders, Kind::Senders);
        table!(networks, Kind::Networks);
        table!(hashes, Kind::Hashes);
        table!(hosts, Kind::Urls);
        table!(tokens, Kind::Tokens);
        generation.policies_name = hash(Kind::Policies).unwrap_or_default().to_owned();
        generation.routes_name = hash(Kind::Routes).unwrap_or_default().to_owned();
        let same_domains = previous.filter(|old| {
            old.policies_name == generation.policies_name
                && old.routes_name == generation.routes_name
        });
        generation.domains = match same_domains {
            Some(old) => Arc::clone(&old.domains),
            None => place.domains(&generation.policies_name, &generation.routes_name)?,
        };
        if let Some(hash) = hash(Kind::Patterns) {
            let known = previous.and_then(|old| old.patterns.clone());
            generation.patterns = match known.filter(|(name, _)| name == hash) {
                Some(known) => Some(known),
                None => place.patterns(hash)?.map(|open| (hash.to_owned(), open)),
            };
        }
        if let Some(hash) = hash(Kind::Yara) {
            let known = previous.and_then(|old| old.yara.clone());
            generation.yara = match known.filter(|(name, ..)| name == hash) {
                Some(known) => Some(known),
                None => place.yara(hash)?.map(|(file, rules)| (hash.to_owned(), file, rules)),
            };
        }
        Ok(generation)
    }

    /// A generation without any table: what an engine has before its first one.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Its number; 0 only for [`Self::empty`].
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The settings it carries, TOML.
    #[must_use]
    pub fn config_text(&self) -> &str {
        &self.config_text
    }

    /// A domain of ours by its name or the name of an alias; A-labels in lower case.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<DomainRef> {
        self.domains.find(name).map(|(domain, _)| domain.clone())
    }

    /// Name of the first domain by name.
    #[must_use]
    pub fn first_domain(&self) -> Option<&Arc<str>> {
        self.domains.first()
    }

    /// All domains, in no order.
    pub fn domains(&self) -> impl Iterator<Item = &DomainRef> {
        self.domains.iter()
    }

    /// A domain, and whether `name` was an alias of it.
    pub(super) fn domain_or_alias(&self, name: &str) -> Option<(&DomainRef, bool)> {
        self.domains.find(name)
    }

    /// Every list that knows the address of a client; the most specific entry of each list.
    #[must_use]
    pub fn network(&self, address: IpAddr) -> SmallVec<[NetworkHit<'_>; 2]> {
        self.networks.as_ref().map(|table| table.get().find(address)).unwrap_or_default()
    }

    /// Name of the signature for a file with this digest and size in octets.
    #[must_use]
    pub fn hash(&self, digest: &Digest, size: u64) -> Option<&str> {
        hashes::find(self.hashes.as_ref()?.get(), digest, size)
    }

    /// Whether there is any signature to look up: without one nobody need compute a digest.
    #[must_use]
    pub fn has_hashes(&self) -> bool {
        self.hashes.as_ref().is_some_and(|table| table.get().entries() > 0)
    }

    /// Whether anything is known of any host.
    #[must_use]
    pub fn has_hosts(&self) -> bool {
        self.hosts.as_ref().is_some_and(|table| table.get().flat.entries() > 0)
    }

    /// What is known of a host name, or of a domain above it where the list says so.
    #[must_use]
    pub fn url_host(&self, host: &str) -> HostFlags {
        self.hosts.as_ref().map(|table| table.get().find(host)).unwrap_or_default()
    }

    /// The model of the classifier that a domain trained; with an empty name that of the gateway.
    #[must_use]
    pub fn model(&self, scope: &str) -> Option<Model<'_>> {
        self.tokens.as_ref()?.get().find(scope)
    }

    /// How much of a mail to a domain the classifier reads, where the domain asks it.
    #[must_use]
    pub fn reading(&self, domain: &str) -> Reading {
        let trained = self.model("").or_else(|| self.model(domain)).is_some();
        if trained { Reading::Whole } else { Reading::Shipped }
    }

    /// The compiled patterns; none if the generation has no pattern source.
    #[must_use]
    pub fn patterns(&self) -> Option<&Arc<Patterns>> {
        self.patterns.as_ref().map(|(_, patterns)| patterns)
    }

    /// Compiled YARA rules, for [`yara::Yara::open`]; none if the generation has none.
    #[must_use]
    pub fn yara(&self) -> Option<&[u8]> {
        self.yara.as_ref().map(|(_, file, _)| file.payload())
    }

    pub(super) fn recipients(&self) -> Option<&ArchivedFlat> {
        self.recipients.as_ref().map(|table| table.get())
    }

    pub(super) fn senders(&self) -> Option<&ArchivedSendersTable> {
        self.senders.as_ref().map(|table| table.get())
    }

    /// Records of each table and octets mapped, by the table's name: for `status` and `tables show`.
    #[must_use]
    pub fn sizes(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let mut sizes = BTreeMap::new();
        let mut add = |kind: Kind, entries: u64, file: &MappedFile| {
            sizes.insert(kind.name(), (entries, file.bytes()));
        };
        if let Some(table) = &self.recipients {
            add(Kind::Recipients, table.get().entries(), table.file());
        }
        if let Some(table) = &self.senders {
            add(Kind::Senders, table.get().flat.entries(), table.file());
        }
        if let Some(table) = &self.networks {
            add(Kind::Networks, table.get().prefixes(), table.file());
        }
        if let Some(table) = &self.hashes {
            add(Kind::Hashes, table.get().entries(), table.file());
        }
        if let Some(table) = &self.hosts {
            add(Kind::Urls, table.get().flat.entries(), table.file());
        }
        if let Some((_, file, rules)) = &self.yara {
            add(Kind::Yara, *rules, file);
        }
        if let Some(table) = &self.tokens {
            add(Kind::Tokens, table.get().models.len() as u64, table.file());
        }
        sizes
    }

    /// Names of its files in the engine's directory.
    fn file_names(&self) -> Vec<&str> {
        let mut names = vec![self.policies_name.as_str(), self.routes_name.as_str()];
        names.extend(self.recipients.as_ref().map(|table| table.file().name()));
        names.extend(self.senders.as_ref().map(|table| table.file().name()));
        names.extend(self.networks.as_ref().map(|table| table.file().name()));
        names.extend(self.hashes.as_ref().map(|table| table.file().name()));
        names.extend(self.hosts.as_ref().map(|table| table.file().name()));
        names.extend(self.tokens.as_ref().map(|table| table.file().name()));
        names.extend(self.patterns.as_ref().map(|(name, _)| name.as_str()));
        names.extend(self.yara.as_ref().map(|(name, ..)| name.as_str()));
        names
    }
}

/// Where the files of a generation are taken from.
enum Place<'a> {
    /// Copied into the engine's directory and verified there.
    Copied { from: &'a Path, to: PathBuf },
    /// The publisher's own.
    Own { dir: &'a Path },
}

impl Place<'_> {
    fn table<T>(&self, kind: Kind, hash: &str) -> Result<Table<T>, AdoptError>
    where
        T: Archive,
        T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
    {
        self.take(kind, hash, |path, check| Table::open(path, kind, check))
    }

    /// The patterns, or those that were rebuilt here in their place. The publisher has no use for any.
    fn patterns(&self, hash: &str) -> Result<Option<Arc<Patterns>>, AdoptError> {
        let Self::Copied { to, .. } = self else { return Ok(None) };
        let path = self.path(Kind::Patterns);
        let open = |file: &MappedFile| match Patterns::open(file.payload()) {
            Ok(patterns) => Ok(Some(Arc::new(patterns))),
            Err(OpenError::Rebuild { built, here }) => {
                Err(AdoptError::Rebuild { file: path.clone(), found: built, expected: here })
            }
            Err(error @ (OpenError::Damaged(_) | OpenError::Database { .. })) => {
                Err(AdoptError::Malformed { file: path.clone(), text: error.to_string() })
            }
        };
        let file = self.take(Kind::Patterns, hash, |path, check| {
            MappedFile::open(path, Kind::Patterns, check)
        })?;
        let rebuilt = to.join(rebuilt_name(hash));
        match open(&file) {
            Err(AdoptError::Rebuild { .. }) if rebuilt.exists() => {
                open(&MappedFile::open(&rebuilt, Kind::Patterns, Check::Full)?)
            }
            opened => opened,
        }
    }

    /// The YARA rules, or those that were rebuilt here in their place. The publisher has no use for any.
    fn yara(&self, hash: &str) -> Result<Option<(Arc<MappedFile>, u64)>, AdoptError> {
        let Self::Copied { to, .. } = self else { return Ok(None) };
        let path = self.path(Kind::Yara);
        let checked = |file: MappedFile| match yara::checked(file.payload()) {
            Ok(rules) => Ok(Some((Arc::new(file), rules))),
            Err(NotUsable::Rebuild { built, here }) => {
                Err(AdoptError::Rebuild { file: path.clone(), found: built, expected: here })
            }
            Err(NotUsable::Damaged(text)) => {
                Err(AdoptError::Malformed { file: path.clone(), text })
            }
        };
        let open = |path: &Path, check| MappedFile::open(path, Kind::Yara, check);
        let rebuilt = to.join(rebuilt_name(hash));
        match checked(self.take(Kind::Yara, hash, open)?) {
            Err(AdoptError::Rebuild { .. }) if rebuilt.exists() => {
                checked(open(&rebuilt, Check::Full)?)
            }
            checked => checked,
        }
    }

    fn domains(&self, policies: &str, routes: &str) -> Result<Arc<Domains>, AdoptError> {
        if policies.is_empty() {
            return Ok(Arc::default());
        }
        let malformed = |text| AdoptError::Malformed { file: self.path(Kind::Policies), text };
        let table: Table<PoliciesTable> = self.table(Kind::Policies, policies)?;
        let policies = rkyv::deserialize::<PoliciesTable, rancor::Error>(table.get())
            .map_err(|error| malformed(error.to_string()))?;
        let table: Table<RoutesTable> = self.table(Kind::Routes, routes)?;
        let routes = rkyv::deserialize::<RoutesTable, rancor::Error>(table.get())
            .map_err(|error| malformed(error.to_string()))?;
        Domains::read(&policies, &routes).map(Arc::new).map_err(malformed)
    }

    fn path(&self, kind: Kind) -> PathBuf {
        let dir = match self {
            Self::Copied { from, .. } => from,
            Self::Own { dir } => dir,
        };
        dir.join(format!("{}.table", kind.name()))
    }

    fn take<T>(
        &self,
        kind: Kind,
        hash: &str,
        open: impl Fn(&Path, Check) -> Result<T, AdoptError>,
    ) -> Result<T, AdoptError> {
        let source = self.path(kind);
        let Self::Copied { to, .. } = self else { return open(&source, Check::Header) };
        let io = |file: &Path| {
            let file = file.to_owned();
            move |source| AdoptError::Io { file, source }
        };
        let own = to.join(hash);
        if own.exists() {
            match open(&own, Check::Full) {
                Ok(table) => return Ok(table),
                // A copy that went bad on the disk is replaced by a fresh one.
                Err(_) => std::fs::remove_file(&own).map_err(io(&own))?,
            }
        }
        std::fs::create_dir_all(to).map_err(io(to))?;
        let temporary = disk::temporary(&own);
        let _ = std::fs::remove_file(&temporary);
        let taken = disk::copy_new(&source, &temporary)
            .map_err(io(&source))
            .and_then(|_| expect_name(&source, &temporary, hash))
            .and_then(|()| open(&temporary, Check::Full).map_err(|error| renamed(error, &source)))
            .and_then(|table| {
                disk::rename(&temporary, &own).map_err(io(&own))?;
                Ok(table)
            });
        if taken.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        taken
    }
}

/// The copy's header must be the one that the manifest names.
fn expect_name(source: &Path, copy: &Path, hash: &str) -> Result<(), AdoptError> {
    use std::io::Read as _;
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    disk::open(copy)
        .and_then(|file| file.take(BLOCK_BYTES as u64).read_to_end(&mut block))
        .map_err(|error| AdoptError::Io { file: copy.to_owned(), source: error })?;
    let found = name_of_block(&block);
    if found == hash {
        return Ok(());
    }
    let (file, expected) = (source.to_owned(), hash.to_owned());
    Err(AdoptError::Mismatch { file, what: "BLAKE3 of the header", found, expected })
}

/// The operator knows the published file, not our copy of it.
fn renamed(error: AdoptError, source: &Path) -> AdoptError {
    let named = source.to_owned();
    match error {
        AdoptError::Io { source, .. } => AdoptError::Io { file: named, source },
        AdoptError::Mismatch { what, found, expected, .. } => {
            AdoptError::Mismatch { file: named, what, found, expected }
        }
        AdoptError::Malformed { text, .. } => AdoptError::Malformed { file: named, text },
        AdoptError::Rebuild { found, expected, .. } => {
            AdoptError::Rebuild { file: named, found, expected }
        }
    }
}

/// Unlinks tables in `engine_dir` that none of `used` has. A map that somebody still holds lives on.
///
/// # Errors
/// [`AdoptError::Io`].
pub fn sweep(engine_dir: &Path, used: &[&Generation]) -> Result<usize, AdoptError> {
    let dir = engine_dir.join("tables");
    let kept: Vec<&str> = used.iter().flat_map(|generation| generation.file_names()).collect();
    let io = |source| AdoptError::Io { file: dir.clone(), source };
    let mut removed = 0;
    for name in disk::names(&dir).map_err(io)? {
        if !kept.contains(&name.strip_suffix(".rebuilt").unwrap_or(&name)) {
            std::fs::remove_file(dir.join(&name)).map_err(io)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Compiles the patterns and YARA rules of a generation for this machine, from the sources that it carries, and puts
/// them into `engine_dir`, where the next [`Generation::adopt`] finds them. Takes up to minutes of
/// one core.
///
/// # Errors
/// [`AdoptError`] where a source is missing or does not compile any more.
pub fn rebuild_patterns(generation_dir: &Path, engine_dir: &Path) -> Result<(), AdoptError> {
    let manifest = Manifest::read(generation_dir)?;
    let carried = manifest.carried(generation_dir)?;
    let sources: Vec<RuleSource<'_>> = carried
        .iter()
        .map(|(source, content)| (&*source.path, source.format, &**content))
        .collect();
    let built =
        rules::compile(&sources, wanted(&manifest, engine_dir), &mut BuildReport::default());
    let built = built.map_err(|errors| AdoptError::Malformed {
        file: generation_dir.join("sources"),
        text: errors.first().map(ToString::to_string).unwrap_or_default(),
    })?;
    let tables =
        [(Kind::Patterns, built.patterns), (Kind::Yara, built.yara.map(|(payload, _)| payload))];
    for (kind, payload) in tables {
        if let Some((table, payload)) = manifest.tables.get(kind.name()).zip(payload) {
            put_rebuilt(kind, &table.hash, &payload, engine_dir)?;
        }
    }
    Ok(())
}

/// YARA rules whose copy can be used are not compiled again.
fn wanted(manifest: &Manifest, engine_dir: &Path) -> Wanted {
    let Some(table) = manifest.tables.get(Kind::Yara.name()) else { return Wanted::Patterns };
    let own = engine_dir.join("tables").join(&table.hash);
    let file = MappedFile::open(&own, Kind::Yara, Check::Header);
    match file.map(|file| yara::checked(file.payload())) {
        Ok(Ok(_)) => Wanted::Patterns,
        Ok(Err(NotUsable::Rebuild { .. } | NotUsable::Damaged(_))) | Err(_) => Wanted::All,
    }
}

/// Writes a table that is used in the place of `hash`.
fn put_rebuilt(
    kind: Kind,
    hash: &str,
    payload: &[u8],
    engine_dir: &Path,
) -> Result<(), AdoptError> {
    let dir = engine_dir.join("tables");
    let path = dir.join(rebuilt_name(hash));
    let temporary = disk::temporary(&path);
    let written = std::fs::create_dir_all(&dir)
        .and_then(|()| match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => file::write_bytes(&temporary, kind, payload),
        })
        .and_then(|_| disk::rename(&temporary, &path));
    written.map_err(|source| AdoptError::Io { file: path, source })
}

/// Name of a table that was built here in the place of `hash`.
fn rebuilt_name(hash: &str) -> String {
    format!("{hash}.rebuilt")
}
