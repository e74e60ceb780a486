//! What happens once, before and around the shards: configuration, certificates, budgets, tables,
//! analysis workers, control socket, metrics, signals.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::alarms::Refused;
use super::inbox::ShardCall;
use super::keeper::{self, Keeper};
use super::metrics::{self, Figures};
use super::shared::{Budgets, Gauges, Hops, Recent, Shared};
use super::{EngineError, Options, delivery, dispatch, written};
use crate::accept::admission::Admission;
use crate::accept::remembered::Remembered;
use crate::accept::tls::{self, Certificates};
use crate::analysis::{self, PoolSettings};
use crate::authn::{self, Authenticators, DnsLists};
use crate::clock::Now;
use crate::config::{Config, DnsList, ListenerTls};
use crate::control::server;
use crate::deliver::destinations::Destinations;
use crate::deliver::live::HopTls;
use crate::engines::Engines;
use crate::notice::{Limits, Marks};
use crate::resolve::zone::{Beyond, Zone, ZoneServer};
use crate::resolve::{DnsClient, DnsSettings, Resolver, system_lookup, zone_lookup};
use crate::spool::budget::Budget;

/// Open files that the engine asks for: sessions, hops, segments.
const FILES_WANTED: u64 = 1 << 20;

/// What the shards start from.
pub(super) struct Started {
    pub(super) shared: Arc<Shared>,
    pub(super) inboxes: Arc<[flume::Sender<ShardCall>]>,
    pub(super) receivers: Vec<flume::Receiver<ShardCall>>,
    pub(super) seeds: Vec<u64>,
    pub(super) keeper: Keeper,
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError + '_ {
    move |source| EngineError::Io { path: path.to_owned(), source }
}

/// Reads the configuration; warnings go to the diagnostics.
pub(super) fn read_config(file: &Path) -> Result<Config, EngineError> {
    #[expect(clippy::disallowed_methods, reason = "before the shards run, or beside them")]
    let text = std::fs::read_to_string(file).map_err(io_error(file))?;
    let (config, warnings) =
        Config::parse(&text, &file.display().to_string()).map_err(EngineError::Config)?;
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
    Ok(config)
}

/// Does everything that comes before the shards.
pub(super) fn prepare(options: &Options) -> Result<Started, EngineError> {
    let mut config = read_config(&options.config)?;
    let data = match &options.data {
        Some(data) => data.clone(),
        None => beside(&options.config, &config.engine.data_dir),
    };
    config.engine.data_dir.clone_from(&data);
    raise_limits();
    std::fs::create_dir_all(&data).map_err(io_error(&data))?;
    choose_ports(&mut config)?;
    let count = shard_count(&config, &data);
    let (certificate, key) = certificate_files(&options.config, &data, &config);
    tls::ensure_self_signed(&config.engine.host_name, &certificate, &key)?;
    let certificates = Certificates::load(&certificate, &key)?;
    let analysis = analysis(&data, &config)?;
    let (zone, dns) = names(&options.config, &config)?;
    let hops = hops(&options.config, &config, &dns, zone.is_some())?;
    let authenticators = authenticators(&config, dns)?;
    let sealer = written::sealer(&data, &config).map_err(EngineError::Authentication)?;
    let notices = written::templates(&options.config).map_err(EngineError::Notices)?;
    let seeds = seeds(usize::from(count) + 1);
    let entries = config.authentication.greylist_entries as usize;
    let (greylist, keeper) = keeper::start(&data, entries, seeds.last().copied().unwrap_or(0))?;
    let shared = Arc::new(Shared {
        budgets: budgets(&data, &config),
        admission: Arc::new(Admission::new(seeds.last().copied().unwrap_or(0))),
        greeted: Remembered::new(seeds.last().copied().unwrap_or(0)),
        senders: Remembered::new(seeds.last().copied().unwrap_or(1)),
        certificates,
        hops,
        counters: (0..count).map(|_| Arc::default()).collect(),
        gauges: (0..count).map(|_| Arc::new(Gauges::at_start())).collect(),
        stages: (0..count).map(|_| Arc::default()).collect(),
        analysis,
        authenticators,
        sealer: ArcSwapOption::from(sealer),
        notices: ArcSwap::from_pointee(notices),
        notice_marks: Marks::default(),
        notice_limits: Limits::new(seeds.last().copied().unwrap_or(0)),
        dns_lists: ArcSwap::from_pointee(dns_lists(&config)),
        engines: ArcSwap::from_pointee(engines(&config)?),
        greylist,
        zone,
        tables: OnceLock::new(),
        #[expect(clippy::disallowed_types, reason = "only control threads wait for it")]
        changing: std::sync::Mutex::new(()),
        draining: AtomicBool::new(false),
        patterns_built_at: AtomicU64::new(0),
        worker_deaths: Recent::default(),
        sheddings: Recent::default(),
        refused: Refused::default(),
        started: Now::read(),
        config: ArcSwap::from_pointee(config),
        config_file: options.config.clone(),
        data,
    });
    let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| flume::bounded(1024)).unzip();
    let inboxes: Arc<[_]> = inboxes.into();
    let socket = shared.data.join("run/control.sock");
    server::serve(&socket, dispatch::dispatch(Arc::clone(&shared), Arc::clone(&inboxes)))?;
    dispatch::adopt_latest(&shared);
    let figures: Arc<dyn Figures> = Arc::clone(&shared) as _;
    if let Some(address) = shared.config.load().metrics.address {
        metrics::serve(address, figures)
            .map_err(|error| EngineError::Metrics { address, text: error.to_string() })?;
    }
    Ok(Started { shared, inboxes, receivers, seeds, keeper })
}

/// A path of the configuration, relative to the directory of its file.
pub(super) fn beside(file: &Path, path: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if path.is_relative() => parent.join(path),
        _ => path.to_owned(),
    }
}

/// Certificate and key: the configured ones, or those of the first start.
pub(super) fn certificate_files(file: &Path, data: &Path, config: &Config) -> (PathBuf, PathBuf) {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => (beside(file, certificate), beside(file, key)),
        _ => (data.join("secrets/certificate.pem"), data.join("secrets/key.pem")),
    }
}

fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, wanted) in [(Resource::Nofile, FILES_WANTED), (Resource::Memlock, u64::MAX)] {
        let now = getrlimit(resource);
        let want = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let raised = Rlimit { current: Some(want), maximum: now.maximum };
        if let Err(error) = setrlimit(resource, raised) {
            tracing::warn!(?resource, %error, "a limit could not be raised");
        }
    }
}

/// Port 0 becomes a free port before the shards bind, so that all of them bind the same one.
fn choose_ports(config: &mut Config) -> Result<(), EngineError> {
    for listener in &mut config.listeners {
        if listener.address.port() == 0 {
            let address = listener.address;
            let chosen = TcpListener::bind(address).and_then(|bound| bound.local_addr());
            listener.address = chosen.map_err(|source| EngineError::Listen { address, source })?;
        }
    }
    if let Some(address) = &mut config.metrics.address
        && address.port() == 0
    {
        let chosen = TcpListener::bind(*address).and_then(|bound| bound.local_addr());
        *address = chosen.map_err(|source| EngineError::Listen { address: *address, source })?;
    }
    Ok(())
}

/// Cores that this process may use.
pub(super) fn cores() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// One shard for each core, or as configured; never fewer than have mail on disk, because a shard's
/// spool and quarantine are read by the shard of that number only.
fn shard_count(config: &Config, data: &Path) -> u16 {
    let wanted = match config.engine.shards {
        0 => u16::try_from(cores().len()).unwrap_or(1).max(1),
        shards => shards,
    };
    #[expect(clippy::disallowed_methods, reason = "before the shards run")]
    let on_disk = ["spool", "quarantine"]
        .iter()
        .filter_map(|kind| std::fs::read_dir(data.join(kind)).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u16>().ok())
        .map(|highest| highest.saturating_add(1))
        .max();
    wanted.max(on_disk.unwrap_or(0))
}

/// Seeds from the kernel; from the clock if it gives none.
fn seeds(count: usize) -> Vec<u64> {
    let mut octets = vec![0; count * 8];
    if let Err(error) = rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty())
    {
        tracing::warn!(%error, "no random numbers from the kernel");
        octets.fill_with(|| Now::read().unix.0.to_le_bytes()[0]);
    }
    octets
        .chunks_exact(8)
        .map(|chunk| chunk.iter().fold(0, |seed, octet| seed << 8 | u64::from(*octet)))
        .collect()
}

/// Starts the analysis workers; they learn their generation when one is adopted.
fn analysis(data: &Path, config: &Config) -> Result<analysis::Pool, EngineError> {
    let failed = |error: &dyn std::fmt::Display| EngineError::Analysis(error.to_string());
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let section = &config.analysis;
    let mut settings = PoolSettings::new(program, data.join("engine"));
    settings.workers = match section.workers {
        0 => cores().len().max(1),
        workers => usize::from(workers),
    };
    settings.queue_max = section.queue_max as usize;
    settings.deadline = Duration::from_millis(section.deadline_ms);
    settings.memory_bytes_max = section.memory_bytes_max;
    settings.passwords_from_text = section.passwords_from_text;
    settings.user = match analysis::worker_user(&section.user).map_err(|error| failed(&error))? {
        analysis::WorkerUser::Own(account) => Some(account),
        analysis::WorkerUser::Engines(why) => {
            tracing::info!(why, "analysis workers run as the engine's own user");
            None
        }
    };
    analysis::Pool::start(settings, None).map_err(|error| failed(&error))
}

/// Threads for look-ups, of each kind.
const LOOK_UP_THREADS: usize = 4;

/// The zone of the operator's, served, and whom to ask then; without one, the servers of the configuration.
///
/// # Errors
/// The zone file cannot be read or served.
pub fn names(
    file: &Path,
    config: &Config,
) -> Result<(Option<ZoneServer>, DnsSettings), EngineError> {
    let mut settings = DnsSettings {
        servers: config.dns.servers.clone(),
        timeout: Duration::from_millis(config.dns.timeout_ms),
        attempts: config.dns.attempts,
    };
    let Some(zone) = read_zone(file, config).map_err(EngineError::Zone)? else {
        return Ok((None, settings));
    };
    let beyond = match config.dns.zone_only {
        true => Beyond::Nothing,
        false => Beyond::Ask(DnsClient::new(settings.clone(), || Now::read().mono)),
    };
    let served = ZoneServer::start(zone, config.dns.zone_address, beyond);
    let served = served.map_err(|error| EngineError::Zone(error.to_string()))?;
    settings.servers = vec![served.address()];
    tracing::info!(address = %served.address(), "zone file served");
    Ok((Some(served), settings))
}

/// The zone file, if there is to be one.
pub(super) fn read_zone(file: &Path, config: &Config) -> Result<Option<Zone>, String> {
    let Some(path) = &config.dns.zone else { return Ok(None) };
    let path = beside(file, path);
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    #[expect(clippy::disallowed_methods, reason = "before the shards run, or beside them")]
    let text = std::fs::read_to_string(&path).map_err(|error| named(&error))?;
    Zone::parse(&text, Some(path.clone())).map(Some).map_err(|error| named(&error))
}

/// The DNS lists of the configuration as the threads take them.
#[must_use]
pub fn dns_lists(config: &Config) -> DnsLists {
    let code =
        |(first, last, weight): &_| authn::Code { first: *first, last: *last, weight: *weight };
    let list = |list: &DnsList| authn::DnsList {
        name: list.name.clone(),
        zone: list.zone.clone(),
        codes: list.codes.iter().map(code).collect(),
    };
    let section = &config.reputation;
    DnsLists {
        lists: section.dns_lists.iter().map(list).collect(),
        positive: section.positive_weight,
        suspect: section.suspect_weight,
    }
}

/// Always there: DNS lists are asked whether senders are checked or not, and either may be switched on by a reload.
fn authenticators(config: &Config, dns: DnsSettings) -> Result<Authenticators, EngineError> {
    let section = &config.authentication;
    let settings = authn::Settings {
        threads: section.threads_on(cores().len()),
        deadline: Duration::from_millis(section.deadline_ms),
        dns,
    };
    let started = Authenticators::start(&settings);
    started.map_err(|error| EngineError::Authentication(error.to_string()))
}

fn engines(config: &Config) -> Result<Engines, EngineError> {
    Engines::start(&config.scanners).map_err(|error| EngineError::Scanners(error.to_string()))
}

fn hops(file: &Path, config: &Config, dns: &DnsSettings, zone: bool) -> Result<Hops, EngineError> {
    let failed = |error: &dyn std::fmt::Display| EngineError::Delivery(error.to_string());
    let settings = delivery::settings(config);
    let dns = DnsClient::new(dns.clone(), || Now::read().mono);
    let lookup = match zone {
        true => zone_lookup(dns.clone(), config.dns.zone_only),
        false => system_lookup(),
    };
    let trusted = config.delivery.trusted_certificates.as_ref().map(|path| beside(file, path));
    Ok(Hops {
        resolver: Resolver::start(LOOK_UP_THREADS, &lookup, &dns)
            .map_err(|error| failed(&error))?,
        tls: HopTls::new(trusted.as_deref()).map_err(|error| failed(&error))?,
        destinations: Destinations::new(
            settings.connections_per_destination_max,
            settings.back_off,
        ),
    })
}

/// Budgets: as configured, or as much as the disk has.
fn budgets(data: &Path, config: &Config) -> Budgets {
    let storage = &config.storage;
    let disk = rustix::fs::statvfs(data).map_or(u64::MAX / 2, |stat| stat.f_blocks * stat.f_frsize);
    let budget = |kind, bytes| {
        let limit = if bytes == 0 { disk } else { bytes };
        Arc::new(Budget::new(kind, limit, storage.reserve_bytes))
    };
    Budgets {
        spool: budget("spool", storage.spool_bytes_max),
        quarantine: budget("quarantine", storage.quarantine_bytes_max),
        // Rows must be written when mail was taken: the log lives on its whole budget.
        maillog: Arc::new(Budget::new("maillog", storage.maillog_bytes_max, 1 << 20)),
    }
}

/// Says where the engine is: to the diagnostics, and in `run/engine.json` for programs.
pub(super) fn announce(shared: &Shared) -> Result<(), EngineError> {
    let config = shared.config.load();
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| {
            let tls = match listener.tls {
                ListenerTls::None => "none",
                ListenerTls::Starttls => "starttls",
                ListenerTls::Implicit => "implicit",
            };
            serde_json::json!({ "address": listener.address, "tls": tls })
        })
        .collect();
    let addresses: Vec<SocketAddr> = config.listeners.iter().map(|one| one.address).collect();
    let about = serde_json::json!({
        "pid": std::process::id(),
        "listeners": listeners,
        "metrics": config.metrics.address,
        "control": shared.data.join("run/control.sock"),
        "shards": shared.counters.len(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let file = shared.data.join("run/engine.json");
    let unfinished = shared.data.join("run/engine.json.new");
    #[expect(clippy::disallowed_methods, reason = "once, on the main thread")]
    let written = std::fs::write(&unfinished, format!("{about:#}\n"))
        .and_then(|()| std::fs::rename(&unfinished, &file));
    written.map_err(io_error(&file))?;
    tracing::info!(?addresses, shards = shared.counters.len(), "READY");
    Ok(())
}

/// SIGTERM and SIGINT drain.
pub(super) fn signals(
    shared: &Arc<Shared>,
    inboxes: &Arc<[flume::Sender<ShardCall>]>,
) -> Result<(), EngineError> {
    let path = Path::new("signals");
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).map_err(io_error(path))?;
    let (shared, inboxes) = (Arc::clone(shared), Arc::clone(inboxes));
    let spawned = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            tracing::info!(signal, "draining");
            begin_drain(&shared, &inboxes);
        }
    });
    spawned.map_err(io_error(path))?;
    Ok(())
}

/// Tells every shard to drain.
pub(super) fn begin_drain(shared: &Shared, inboxes: &[flume::Sender<ShardCall>]) {
    shared.draining.store(true, Ordering::Relaxed);
    for inbox in inboxes {
        // A shard that is gone needs no drain.
        let _ = inbox.try_send(ShardCall::Drain);
    }
}
