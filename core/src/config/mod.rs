//! `sekisho.toml`, typed and checked. One file per section: struct, default, limits.
//!
//! Values become domain types when they are read; nothing checks them again. All mistakes of a file
//! are reported at once, each as `file:line:column: key: problem`. Units are in the names of keys.
//! What belongs to a domain (profiles, lists, actions) is not here but in the domains file
//! (`policy::source`). No environment variables, no clock, no I/O: text in, values out.

mod admission;
mod authentication;
mod default;
mod delivery;
mod dns;
mod dns_list;
mod engine;
mod listener;
mod problem;
mod route;
mod scanner;
mod smtp;
mod storage;
mod tables;
pub mod walk;

#[cfg(test)]
mod tests;

pub use admission::{Admission, Allowance};
pub use authentication::{ArcSeal, Authentication, Sealed};
pub use default::DEFAULT_TEXT;
pub use delivery::{Delivery, DeliveryMode, Tls};
pub use dns::Dns;
pub use dns_list::{DnsList, Reputation};
pub use engine::{Analysis, Engine, LogLevel, Metrics, Sockets, host_name};
pub use listener::{Listener, ListenerTls};
pub use problem::{Problem, did_you_mean, hint};
pub use route::{Route, RouteTls};
pub use scanner::{OnScannerError, Scanner, ScannerAddress, ScannerKind};
pub use smtp::{BareLineEnds, EarlyTalkers, EightBit, Smtp};
pub use storage::Storage;
pub use tables::{NetworkClass, Source, SourceFormat, TableKind, Tables};

/// One mistake in a configuration file.
pub type ConfigError = Problem;
/// Something in a configuration file that works but should be looked at.
pub type Warning = Problem;

/// A network, or a single address as a network of one. Host bits are an error: `10.0.0.1/8` is a
/// slip in one of its halves, and guessing which would open or close the wrong door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

impl std::str::FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: ipnet::IpNet = text.parse().map_err(|_| "is not an address or network")?;
        if network.network() == network.addr() {
            Ok(Self(network))
        } else {
            Err("has bits set beyond its prefix length")
        }
    }
}

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[engine]`
    pub engine: Engine,
    /// `[[listener]]`, at least one.
    pub listeners: Vec<Listener>,
    /// `[smtp]`
    pub smtp: Smtp,
    /// `[admission]`
    pub admission: Admission,
    /// `[tls]`
    pub tls: Tls,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[dns]`
    pub dns: Dns,
    /// `[authentication]`
    pub authentication: Authentication,
    /// `[reputation]`
    pub reputation: Reputation,
    /// `[storage]`
    pub storage: Storage,
    /// `[tables]`
    pub tables: Tables,
    /// `[analysis]`
    pub analysis: Analysis,
    /// `[[scanner]]`
    pub scanners: Vec<Scanner>,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `log.level`
    pub log_level: LogLevel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            listeners: vec![Listener::default()],
            smtp: Smtp::default(),
            admission: Admission::default(),
            tls: Tls::default(),
            delivery: Delivery::default(),
            dns: Dns::default(),
            authentication: Authentication::default(),
            reputation: Reputation::default(),
            storage: Storage::default(),
            tables: Tables::default(),
            analysis: Analysis::default(),
            scanners: Vec::new(),
            metrics: Metrics::default(),
            log_level: LogLevel::default(),
        }
    }
}

impl Config {
    /// Reads a configuration. `file` is the name that problems carry.
    ///
    /// # Errors
    /// Every mistake in the file, in its order; the operator is at fault.
    pub fn parse(text: &str, file: &str) -> Result<(Self, Vec<Warning>), Vec<ConfigError>> {
        walk::Walk::read(text, file, |root| {
            let mut config = Self::default();
            set(&mut config.engine, root.table("engine", Engine::read));
            let has_listeners = root.has("listener");
            let listeners = root.tables("listener", Listener::read);
            if has_listeners {
                if listeners.is_empty() {
                    root.wrong("listener", root.place_of("listener"), "at least one is needed");
                }
                config.listeners = listeners;
            }
            set(&mut config.smtp, root.table("smtp", Smtp::read));
            set(&mut config.admission, root.table("admission", Admission::read));
            set(&mut config.tls, root.table("tls", Tls::read));
            set(&mut config.delivery, root.table("delivery", Delivery::read));
            set(&mut config.dns, root.table("dns", Dns::read));
            set(&mut config.authentication, root.table("authentication", Authentication::read));
            set(&mut config.reputation, root.table("reputation", Reputation::read));
            set(&mut config.storage, root.table("storage", Storage::read));
            set(&mut config.tables, root.table("tables", Tables::read));
            set(&mut config.analysis, root.table("analysis", Analysis::read));
            config.scanners = scanner::read(root);
            set(&mut config.metrics, root.table("metrics", Metrics::read));
            set(&mut config.log_level, root.table("log", LogLevel::read));
            config
        })
    }
}

/// Replaces a default by what was read, if the section was there.
fn set<T>(slot: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *slot = read;
    }
}

/// Any octets are read or refused with places inside the text; never a panic. Number of mistakes, or 1.
pub fn fuzz_config(data: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(data) else { return 0 };
    let parsed = Config::parse(text, "fuzz.toml");
    if let Err(problems) = &parsed {
        assert!(!problems.is_empty(), "a refusal without a reason");
        let lines = text.split('\n').count();
        assert!(problems.iter().all(|p| (1..=lines).contains(&p.line) && p.column >= 1));
    }
    parsed.map_or_else(|problems| problems.len(), |_| 1)
}
