//! What all shards of the box share: configuration, tables, admission, counters, budgets, alarms.
//! Everything in it is immutable, atomic or swapped as a whole; nothing in it is ever waited for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::alarms::{self, Refused};
use super::counters::{Counter, Counters};
use super::damage;
use super::metrics::{Cpu, Figures};
use super::start;
use crate::accept::admission::Admission;
use crate::accept::remembered::Remembered;
use crate::accept::tls::Certificates;
use crate::analysis;
use crate::authn::{Authenticators, DnsLists, Sealer};
use crate::clock::{Now, UnixMillis};
use crate::config::Config;
use crate::deliver::destinations::Destinations;
use crate::deliver::live::HopTls;
use crate::engines::{self, Engines};
use crate::greylist::Greylist;
use crate::notice::{self, Templates};
use crate::resolve::ResolverThreads;
use crate::resolve::zone::ZoneServer;
use crate::spool::SpoolError;
use crate::spool::budget::{Arriving, Budget};
use crate::stages::{Stage, Stages};
use crate::tables::Current;

/// Gauges that each shard writes once a second.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Sessions.
    pub sessions: AtomicU64,
    /// 1 while new connections are turned away for an overload.
    pub overloaded: AtomicU64,
    /// Memory of message bodies.
    pub memory_bytes: AtomicU64,
    /// Mails in the queue.
    pub queue_mails: AtomicU64,
    /// When the oldest of them was queued, UTC milliseconds; 0 without one.
    pub queue_oldest: AtomicU64,
    /// Damaged records that could not be written down in `run/damaged`.
    pub damaged: AtomicU64,
    /// 1 until everything that the last run left is read.
    pub recovering: AtomicU64,
    /// 1 if its sockets have a ring of their own.
    pub ring: AtomicU64,
    /// Rows of the mail log that could not be written.
    pub lost_rows: AtomicU64,
}

impl Gauges {
    /// Those of a shard that has read nothing yet: until it says otherwise, nobody may take its queue and quarantine
    /// for empty.
    pub(super) fn at_start() -> Self {
        Self { recovering: AtomicU64::new(1), ..Self::default() }
    }
}

/// Budgets of the kinds of files.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Waiting mail.
    pub spool: Arc<Budget>,
    /// Held mail.
    pub quarantine: Arc<Budget>,
    /// Mail log.
    pub maillog: Arc<Budget>,
}

/// What delivery shares: threads that look hosts up, TLS, what is known of each destination.
#[derive(Debug)]
pub struct Hops {
    /// Look-ups.
    pub resolver: ResolverThreads,
    /// TLS towards hops.
    pub tls: HopTls,
    /// Concurrency and back-off.
    pub destinations: Arc<Destinations>,
}

/// The shared state.
#[derive(Debug)]
pub struct Shared {
    /// Data directory.
    pub data: PathBuf,
    /// Configuration file, for a reload.
    pub config_file: PathBuf,
    /// Configuration in force.
    pub config: ArcSwap<Config>,
    /// Limits per client.
    pub admission: Arc<Admission>,
    /// Clients that need not wait for the greeting any more.
    pub greeted: Remembered,
    /// Clients whose mail was taken and not found to be bad.
    pub senders: Remembered,
    /// Certificates of the listeners.
    pub certificates: Certificates,
    /// Disk budgets.
    pub budgets: Budgets,
    /// Counters, one for each shard.
    pub counters: Vec<Arc<Counters>>,
    /// Gauges, one for each shard.
    pub gauges: Vec<Arc<Gauges>>,
    /// CPU by stage, one for each shard.
    pub stages: Vec<Arc<Stages>>,
    /// Delivery.
    pub hops: Hops,
    /// Analysis workers.
    pub analysis: analysis::Pool,
    /// Threads that check senders and ask DNS lists.
    pub authenticators: Authenticators,
    /// Who seals what we change.
    pub sealer: ArcSwapOption<Sealer>,
    /// Texts of notices.
    pub notices: ArcSwap<Templates>,
    /// How many notices went lately.
    pub notice_limits: notice::Limits,
    /// Marks of notices.
    pub notice_marks: notice::Marks,
    /// DNS lists of client addresses.
    pub dns_lists: ArcSwap<DnsLists>,
    /// Scan engines of others.
    pub engines: ArcSwap<Engines>,
    /// Strangers who were asked to come again, and who did.
    pub greylist: Arc<Greylist>,
    /// The zone that all look-ups go to, if there is one.
    pub zone: Option<ZoneServer>,
    pub(super) tables: OnceLock<Current>,
    /// Held while tables or configuration change hands: by control threads, never by a shard.
    #[expect(clippy::disallowed_types, reason = "only control threads wait for it")]
    pub(super) changing: std::sync::Mutex<()>,
    pub(super) draining: AtomicBool,
    /// When the patterns in force were built, UTC milliseconds; a merge of single changes keeps them.
    pub(super) patterns_built_at: AtomicU64,
    /// Deaths of analysis workers, as an alarm.
    pub(super) worker_deaths: Recent,
    /// Connections that were turned away in an overload.
    pub(super) sheddings: Recent,
    /// The newest generation that was offered and refused.
    pub(super) refused: Refused,
    pub(super) started: Now,
}

impl Shared {
    /// The tables, once a generation is in force.
    #[must_use]
    pub fn tables(&self) -> Option<&Current> {
        self.tables.get()
    }

    /// No new sessions, and those between transactions end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether `bytes` of new mail fit on the disk: it may be spooled, or held, and must be logged.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`] of the kind that is full.
    pub fn admits(&self, bytes: u64) -> Result<(), SpoolError> {
        self.budgets.spool.check(bytes)?;
        self.budgets.quarantine.check(bytes)
    }

    /// Room for one large mail of `bytes` octets that begins to arrive, wherever it will be kept.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`] of the kind that is full.
    pub fn promise(&self, bytes: u64) -> Result<Arriving, SpoolError> {
        Arriving::promise(&[&self.budgets.spool, &self.budgets.quarantine], bytes)
    }

    /// Whether limits on single clients hold for `address`.
    #[must_use]
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.config.load().admission.exempt.iter().any(|network| network.contains(&address))
    }

    fn sum(&self, gauge: impl Fn(&Gauges) -> &AtomicU64) -> u64 {
        self.gauges.iter().map(|gauges| gauge(gauges).load(Ordering::Relaxed)).sum()
    }

    /// Age of the oldest waiting mail in seconds; 0 without one.
    #[must_use]
    pub fn queue_age_seconds(&self, now: Now) -> u64 {
        let oldest = self
            .gauges
            .iter()
            .map(|gauges| gauges.queue_oldest.load(Ordering::Relaxed))
            .filter(|oldest| *oldest != 0)
            .min();
        oldest.map_or(0, |oldest| now.unix.0.saturating_sub(oldest) / 1000)
    }

    /// Alarms with their texts, raised ones only.
    #[must_use]
    pub fn raised(&self, now: Now) -> Vec<(&'static str, String)> {
        self.all_alarms(now)
            .into_iter()
            .filter_map(|(name, text)| text.map(|text| (name, text)))
            .collect()
    }

    fn all_alarms(&self, now: Now) -> Vec<(&'static str, Option<String>)> {
        let disk = [&self.budgets.spool, &self.budgets.quarantine, &self.budgets.maillog]
            .into_iter()
            .filter_map(|budget| budget.alarm())
            .collect::<Vec<_>>();
        let certificate = || {
            let config = self.config.load();
            let (file, _) = start::certificate_files(&self.config_file, &self.data, &config);
            file.display().to_string()
        };
        let end = self.certificates.current().not_after;
        let built = self.patterns_built_at.load(Ordering::Relaxed);
        let stale = match (self.tables(), built) {
            (None, _) => Some(alarms::NO_GENERATION.to_owned()),
            (Some(_), 0) => None,
            (Some(_), _) => alarms::stale(UnixMillis(built), now.unix),
        };
        let in_force = self.tables().map_or(0, |tables| tables.load().number());
        let deaths = self.analysis.counters().deaths;
        let died = self.worker_deaths.is_raised(deaths, now);
        let shed = self.counter(Counter::ConnectionsShed);
        let is_shedding = self.sheddings.is_raised(shed, now);
        let damaged = self.sum(|gauges| &gauges.damaged);
        vec![
            ("disk", alarms::disk(&disk)),
            ("queue_age", alarms::queue_age(self.queue_age_seconds(now))),
            ("certificate", alarms::certificate(end, now.unix, certificate)),
            ("stale_signatures", stale),
            ("generation_refused", self.refused.alarm(in_force)),
            ("dead_worker", died.then(|| alarms::dead_worker(deaths))),
            ("scanner", alarms::scanner(&self.engines.load().figures())),
            ("overload", is_shedding.then(|| alarms::overload(shed))),
            ("damaged_records", damage::alarm(&self.data, damaged)),
            ("lost_log_rows", alarms::lost_rows(self.sum(|gauges| &gauges.lost_rows))),
        ]
    }
}

/// A count that only grows, as an alarm that ends: raised from when somebody sees it grow to an hour
/// later. What died once and never again must not stand in the way of the next alarm for ever.
#[derive(Debug, Default)]
pub(super) struct Recent {
    seen: AtomicU64,
    /// UTC milliseconds.
    at: AtomicU64,
}

impl Recent {
    const MILLIS: u64 = 3_600_000;

    fn is_raised(&self, count: u64, now: Now) -> bool {
        if self.seen.swap(count, Ordering::Relaxed) != count {
            self.at.store(now.unix.0, Ordering::Relaxed);
        }
        let since = now.unix.0.saturating_sub(self.at.load(Ordering::Relaxed));
        count > 0 && since < Self::MILLIS
    }
}

impl Shared {
    /// What drives connections: `ring` or `streams`, as `[engine] sockets` calls them.
    pub(super) fn sockets(&self) -> String {
        let (rings, shards) = (self.sum(|gauges| &gauges.ring), self.gauges.len() as u64);
        match rings {
            0 => "streams".to_owned(),
            rings if rings == shards => "ring".to_owned(),
            rings => format!("ring on {rings} of {shards} shards, streams on the others"),
        }
    }
}

impl Figures for Shared {
    fn counter(&self, counter: Counter) -> u64 {
        self.counters.iter().map(|counters| counters.read(counter)).sum()
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, i64)> {
        let now = Now::read();
        let figure = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let generation = self.tables().map_or(0, |tables| tables.load().number());
        let certificate = self.certificates.current().not_after.since(now.unix).as_secs();
        let budgets = &self.budgets;
        let recovering = self.sum(|gauges| &gauges.recovering);
        let overloaded = self.sum(|gauges| &gauges.overloaded);
        let rings = self.sum(|gauges| &gauges.ring);
        vec![
            ("sessions", "Open sessions", figure(self.sum(|gauges| &gauges.sessions))),
            ("memory_bytes", "Memory of bodies", figure(self.sum(|gauges| &gauges.memory_bytes))),
            ("queue_mails", "Mails that wait", figure(self.sum(|gauges| &gauges.queue_mails))),
            ("queue_age_seconds", "Age of the oldest", figure(self.queue_age_seconds(now))),
            ("recovering", "Shards that still read what the last run left", figure(recovering)),
            ("overloaded_shards", "Shards that turn connections away", figure(overloaded)),
            ("socket_rings", "Shards whose sockets have a ring", figure(rings)),
            ("spool_bytes", "Spool on disk", figure(budgets.spool.used())),
            ("quarantine_bytes", "Quarantine on disk", figure(budgets.quarantine.used())),
            ("arriving_bytes", "Promised to large mails", figure(budgets.spool.arriving())),
            ("maillog_bytes", "Mail log on disk", figure(budgets.maillog.used())),
            ("generation", "Generation in force", figure(generation)),
            ("certificate_seconds", "Until the certificate ends", figure(certificate)),
            (
                "uptime_seconds",
                "Since the start",
                figure(now.mono.since(self.started.mono).as_secs()),
            ),
        ]
    }

    fn cpu(&self) -> Vec<Cpu> {
        let of = |kind, number, mails, stages: &Stages| Cpu {
            kind,
            number,
            mails,
            thread_nanos: stages.thread_nanos(),
            stages: Stage::ALL.map(|stage| (stage, stages.nanos(stage))),
        };
        let shards = self.stages.iter().zip(&self.counters).enumerate();
        let shards = shards.map(|(number, (stages, counters))| {
            of("shard", number, counters.read(Counter::MessagesReceived), stages)
        });
        let workers = self.analysis.stages().iter().enumerate();
        let workers = workers.map(|(number, stages)| of("worker", number, stages.mails(), stages));
        shards.chain(workers).collect()
    }

    fn engines(&self) -> Vec<engines::Figures> {
        self.engines.load().figures()
    }

    fn alarms(&self) -> Vec<(&'static str, bool)> {
        let all = self.all_alarms(Now::read());
        all.into_iter().map(|(name, text)| (name, text.is_some())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Now, Recent, UnixMillis};

    #[test]
    fn an_alarm_for_deaths_ends_an_hour_after_the_last_one() {
        let at = |minutes: u64| Now {
            unix: UnixMillis(1_800_000_000_000 + minutes * 60_000),
            ..Now::default()
        };
        let recent = Recent::default();
        assert!(!recent.is_raised(0, at(0)));
        assert!(recent.is_raised(1, at(10)));
        assert!(recent.is_raised(1, at(69)));
        assert!(!recent.is_raised(1, at(70)));
        assert!(recent.is_raised(2, at(100)));
        assert!(!recent.is_raised(2, at(161)));
    }
}
