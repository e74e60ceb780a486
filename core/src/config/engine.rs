//! `[engine]`, `[log]`, `[metrics]`, `[analysis]`: the box itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::walk::Section;

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Directory of generations, spool, quarantine, mail log, keys. Relative to the file's directory.
    pub data_dir: PathBuf,
    /// Executors; 0 = one per core.
    pub shards: u16,
    /// Our name in the greeting, in HELO and in Received.
    pub host_name: Box<str>,
    /// What sockets are driven by.
    pub sockets: Sockets,
}

/// `engine.sockets`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// Rings if the kernel has what they need, else streams.
    #[default]
    Auto,
    /// A ring for each shard; without it the engine does not start.
    Ring,
    /// glommio's streams.
    Streams,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            data_dir: "var".into(),
            shards: 0,
            host_name: "sekisho.localdomain".into(),
            sockets: Sockets::Auto,
        }
    }
}

impl Engine {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut engine = Self::default();
        section.parsed("data_dir", &mut engine.data_dir);
        if engine.data_dir.as_os_str().is_empty() {
            section.wrong("data_dir", section.place_of("data_dir"), "is empty");
        }
        section.number("shards", 0..=1024, &mut engine.shards);
        let sockets =
            [("auto", Sockets::Auto), ("ring", Sockets::Ring), ("streams", Sockets::Streams)];
        section.choice("sockets", &sockets, &mut engine.sockets);
        if let Some(name) = section.text("host_name") {
            match host_name(name.value) {
                Some(host) => engine.host_name = host,
                None => section.wrong("host_name", name.start, "is not a domain name"),
            }
        }
        engine
    }
}

/// A domain name in lower case and A-label form; `None` if it is none.
#[must_use]
pub fn host_name(written: &str) -> Option<Box<str>> {
    let ascii = idna::domain_to_ascii(written).ok()?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (ascii.len() <= 253 && ascii.split('.').all(label)).then(|| ascii.into())
}

/// `log.level`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Faults only.
    Error,
    /// And what the operator should look at.
    Warn,
    /// And starts, stops, generations.
    #[default]
    Info,
    /// And every session.
    Debug,
}

impl LogLevel {
    /// The word that tracing's filters know.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut level = Self::default();
        let levels = [Self::Error, Self::Warn, Self::Info, Self::Debug];
        section.choice("level", &levels.map(|level| (level.as_str(), level)), &mut level);
        level
    }
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus reads; `None` (written `"off"`) = nowhere.
    pub address: Option<SocketAddr>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { address: Some(SocketAddr::from(([127, 0, 0, 1], 9525))) }
    }
}

impl Metrics {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut metrics = Self::default();
        if let Some(written) = section.text("address") {
            match (written.value, written.value.parse()) {
                ("off", _) => metrics.address = None,
                (_, Ok(address)) => metrics.address = Some(address),
                (_, Err(_)) => {
                    section.wrong("address", written.start, "expected address:port or \"off\"");
                }
            }
        }
        metrics
    }
}

/// `[analysis]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// Worker processes; 0 = one per core.
    pub workers: u16,
    /// Contents that may wait for a worker; more is 451.
    pub queue_max: u32,
    /// A worker that has not answered by then is killed.
    pub deadline_ms: u64,
    /// Address space of one worker.
    pub memory_bytes_max: u64,
    /// Whether words of a mail's own text are tried as passwords of what is protected in it.
    pub passwords_from_text: bool,
    /// User that workers become where the engine may change users (root); empty = the engine's.
    pub user: Box<str>,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            workers: 0,
            queue_max: 64,
            deadline_ms: 30_000,
            memory_bytes_max: 512 << 20,
            passwords_from_text: true,
            user: "nobody".into(),
        }
    }
}

impl Analysis {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut analysis = Self::default();
        section.number("workers", 0..=1024, &mut analysis.workers);
        section.number("queue_max", 1..=65_536, &mut analysis.queue_max);
        section.number("deadline_ms", 100..=600_000, &mut analysis.deadline_ms);
        let memory = (64 << 20)..=(64 << 30);
        section.number("memory_bytes_max", memory, &mut analysis.memory_bytes_max);
        section.flag("passwords_from_text", &mut analysis.passwords_from_text);
        if let Some(user) = section.text("user") {
            if user.value.contains([':', '\n', '\0']) {
                section.wrong("user", user.start, "is not the name of a user");
            } else {
                analysis.user = user.value.into();
            }
        }
        analysis
    }
}
