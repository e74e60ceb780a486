//! What a paying load felt beside an attack, and what the attack did: the structure behind the words, the JSON and
//! the page. Fields are added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Conservation, Machine, Percentiles, RunReport, Second};

mod page;
#[cfg(test)]
mod tests;
mod words;

pub use page::page;
pub use words::render;

/// A paying load alone, beside an attack, and perhaps alone again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostileReport {
    /// What it was.
    pub title: String,
    /// When it began, seconds of the Unix epoch.
    pub started_unix: u64,
    /// The command as it was started, without secrets.
    pub command: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// The highest rate that the server kept up with alone; none: the rate was given.
    pub peak: Option<f64>,
    /// Paying mails offered in a second, in each phase.
    pub rate: f64,
    /// The phases in their order: `alone`, `attacked`, and perhaps `after`.
    pub phases: Vec<Phase>,
    /// Of the paying mails offered in their phase, how many were accepted in it: beside the attack, divided by alone.
    pub kept: f64,
    /// So much must be kept.
    pub kept_min: f64,
    /// What the attackers did.
    pub attack: AttackReport,
    /// Where the paying mails of all phases were found again; none: nobody looked.
    pub conservation: Option<Conservation>,
    /// Why this run measures the generator and not the server; none: it does not.
    pub limited: Option<String>,
}

impl HostileReport {
    /// Whether enough was kept, and nothing was lost.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.kept >= self.kept_min
            && self.conservation.as_ref().is_none_or(crate::conservation::holds)
    }

    /// All phases as one run, each where it lay in time. Latencies are those of the phases, and not of the whole.
    fn joined(&self) -> RunReport {
        let mut all = RunReport {
            title: self.title.clone(),
            started_unix: self.started_unix,
            command: self.command.clone(),
            machine: self.machine.clone(),
            load: self.phases.first().map(|phase| phase.run.load.clone()).unwrap_or_default(),
            conservation: self.conservation.clone(),
            ..RunReport::default()
        };
        all.generator.limited.clone_from(&self.limited);
        for phase in &self.phases {
            let (run, totals) = (&phase.run, &mut all.totals);
            totals.accepted += run.totals.accepted;
            totals.refused_temporary += run.totals.refused_temporary;
            totals.refused_permanent += run.totals.refused_permanent;
            totals.unknown += run.totals.unknown;
            totals.connect_failures += run.totals.connect_failures;
            if all.first_refusal.is_empty() {
                all.first_refusal.clone_from(&run.first_refusal);
            }
            for (code, times) in &run.replies {
                *all.replies.entry(code.clone()).or_default() += times;
            }
            let moved =
                |second: &Second| Second { at: second.at + phase.from_seconds, ..second.clone() };
            all.series.extend(run.series.iter().map(moved));
            all.seconds = phase.from_seconds + run.seconds;
            all.generator.threads = run.generator.threads;
        }
        if all.seconds > 0.0 {
            all.mails_per_second = all.totals.accepted as f64 / all.seconds;
        }
        all
    }
}

/// The paying load in one phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// `alone`, `attacked`, `after`.
    pub name: String,
    /// From the start of the first phase to the start of this one.
    pub from_seconds: f64,
    /// Mails were due for so long.
    pub seconds: f64,
    /// Paying mails that were due.
    pub offered: u64,
    /// Of them, accepted before the phase was over.
    pub accepted_in_time: u64,
    /// The whole run, with what was answered after the phase.
    pub run: RunReport,
}

impl Phase {
    /// The part of what was offered that was accepted in time.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.offered == 0 { 0.0 } else { self.accepted_in_time as f64 / self.offered as f64 }
    }

    /// Accepted in time, mails a second.
    #[must_use]
    pub fn accepted_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.accepted_in_time as f64 / self.seconds } else { 0.0 }
    }
}

/// What the attackers did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttackReport {
    /// Sessions at a time, at most.
    pub sessions_max: usize,
    /// New ones in a second, at most.
    pub per_second_max: f64,
    /// Networks (/24) they came from.
    pub networks: usize,
    /// Addresses of each.
    pub hosts: usize,
    /// Parts of the profiles, `early-talkers:15,flood:10`.
    pub shares: String,
    /// It began so long before the paying load of its phase.
    pub lead_seconds: f64,
    /// How long it went on.
    pub seconds: f64,
    /// Connections that were begun.
    pub begun: u64,
    /// New connections that were not begun, because the server kept all sessions busy.
    pub held_up: u64,
    /// New connections that were not begun, because the generator was too busy.
    pub late: u64,
    /// Part of the time for which the attack's thread was busy.
    pub busy: f64,
    /// What came of it, by profile.
    pub profiles: Vec<ProfileReport>,
    /// One entry for each second.
    pub series: Vec<AttackSecond>,
}

/// What came of the attackers of one profile. `opened = server_closed + own_closed + open_at_end`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileReport {
    /// Its name.
    pub name: String,
    /// Sessions at a time, at most.
    pub sessions_max: usize,
    /// Connections that stood.
    pub opened: u64,
    /// Connections that the server did not take.
    pub not_connected: u64,
    /// Connections that this machine could not begin: no ports, no descriptors.
    pub failed_here: u64,
    /// Greeted with something else than 220.
    pub turned_away: u64,
    /// Replies by code, `550 5.1.1`, greetings included.
    pub replies: BTreeMap<String, u64>,
    /// Octets said.
    pub octets_sent: u64,
    /// Octets heard.
    pub octets_received: u64,
    /// Closed by the server.
    pub server_closed: u64,
    /// Of them, with a reset.
    pub server_reset: u64,
    /// How long after they stood the server closed them.
    pub closed_after_ms: Percentiles,
    /// Closed by the attacker, who was through.
    pub own_closed: u64,
    /// Still open when the attack ended.
    pub open_at_end: u64,
    /// Open at a time, at most.
    pub open_most: u64,
}

/// One second of an attack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttackSecond {
    /// Seconds from the start of the first phase.
    pub at: f64,
    /// Connections that stood in it.
    pub opened: u64,
    /// Connections that the server closed in it.
    pub server_closed: u64,
    /// Open at its end.
    pub open: u64,
}
