//! What a run came to: the one structure behind the words, the JSON and the page.
//!
//! Whoever makes a load fills it in; rendering only reads it. The JSON is the saved form: fields are
//! added, never renamed, and a field that an older file lacks has its empty value, so that two runs
//! of different releases can be laid side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod chart;
pub mod command;
pub mod compare;
mod figures;
pub mod file;
pub mod hostile;
pub mod html;
mod panels;
mod scale;
mod series;
pub mod sheet;
pub mod sheet_html;
pub mod sheet_text;
mod text;
pub mod words;

pub(crate) use figures::engine_cpu_ms_per_mail;

/// One run of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunReport {
    /// What it was, e.g. `send: closed loop, 16 sessions`.
    pub title: String,
    /// When it began, seconds of the Unix epoch.
    pub started_unix: u64,
    /// The command as it was started, without secrets.
    pub command: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// What was asked for.
    pub load: LoadPlan,
    /// How long it took.
    pub seconds: f64,
    /// Outcomes of mails.
    pub totals: Totals,
    /// The first reply that was not 2yz; empty if there was none.
    pub first_refusal: String,
    /// Accepted mails in a second, over the whole run.
    pub mails_per_second: f64,
    /// From the first octet of a mail to the reply after its last; in an open loop from the time
    /// at which it was meant to be sent.
    pub latency_ms: Percentiles,
    /// The same of accepted mails alone: beyond overload refusals are quick, and would hide what the others waited.
    pub latency_accepted_ms: Percentiles,
    /// Quantile (0 to 1) and milliseconds, ascending.
    pub latency_curve: Vec<(f64, f64)>,
    /// One entry for each second.
    pub series: Vec<Second>,
    /// How often each reply to a mail came: `250`, `451 4.7.1`.
    pub replies: BTreeMap<String, u64>,
    /// CPU of the engine for each mail by stage; empty where it does not tell.
    pub stages: Vec<Stage>,
    /// Whether every mail was found again; none where nobody looked.
    pub conservation: Option<Conservation>,
    /// What the generator itself took.
    pub generator: Generator,
}

/// Where a run took place. Empty or zero: not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Kernel's name and release.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Logical processors.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_kib: u64,
    /// Version of the load generator.
    pub loadgen_version: String,
    /// Version or commit of the engine.
    pub engine: Option<String>,
    /// When the engine answers 250: `through` or `spool`.
    pub durability: Option<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadPlan {
    /// Sessions at a time; in an open loop the most that may be open.
    pub sessions: usize,
    /// Open loop: mails in a second; none: a closed loop.
    pub arrivals_per_second: Option<f64>,
    /// Mails on a connection before it is closed.
    pub mails_per_connection: u64,
    /// Recipients of a mail.
    pub recipients: usize,
    /// Commands of a transaction sent together.
    pub pipelining: bool,
    /// Content by BDAT.
    pub bdat: bool,
    /// `none`, `starttls` or `implicit`.
    pub tls: String,
    /// Name of the mix of mails.
    pub mix: String,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
    /// Addresses that connections came from.
    pub source_addresses: usize,
}

/// Outcomes of mails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Answered 2yz after the last octet.
    pub accepted: u64,
    /// Answered 4yz.
    pub refused_temporary: u64,
    /// Answered 5yz.
    pub refused_permanent: u64,
    /// The connection broke before the answer: taken or not, nobody knows.
    pub unknown: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
}

/// Latencies in milliseconds that so many of the mails stayed below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    /// 50 %.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// 99.99 %.
    pub p9999: f64,
    /// All.
    pub max: f64,
}

/// One second of a run. None: not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Second {
    /// Seconds from the start of the run to the start of this one.
    pub at: f64,
    /// Mails begun; in an open loop those that were due.
    pub sent: u64,
    /// Answered 2yz.
    pub accepted: u64,
    /// Answered 4yz.
    pub temporary: u64,
    /// Answered 5yz.
    pub permanent: u64,
    /// Broken off before the answer.
    pub unknown: u64,
    /// Median latency of those answered.
    pub p50_ms: Option<f64>,
    /// 99 % of those answered stayed below.
    pub p99_ms: Option<f64>,
    /// CPU of the engine, all its threads and workers.
    pub engine_cpu_ms: Option<f64>,
    /// CPU of the load generator.
    pub generator_cpu_ms: Option<f64>,
    /// Resident memory of the engine.
    pub engine_rss_kib: Option<u64>,
}

/// CPU of the engine for each mail in one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// The stage in the engine's words.
    pub name: String,
    /// Microseconds of CPU for each mail.
    pub micros_per_mail: f64,
}

/// Every mail has an id; where each was found again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conservation {
    /// Mails that were sent to their last octet.
    pub sent: u64,
    /// Reached the sink.
    pub delivered: u64,
    /// Held by the engine: quarantine or queue.
    pub held: u64,
    /// Answered 4yz or 5yz.
    pub refused: u64,
    /// Dropped by a rule, with a row in the log.
    pub dropped: u64,
    /// Broken off before the answer and not found.
    pub unknown: u64,
    /// Accepted and nowhere: must be 0.
    pub lost_count: u64,
    /// Their ids, the first of them.
    pub lost: Vec<String>,
    /// Reached the sink more than once.
    pub duplicated_count: u64,
    /// Their ids, the first of them.
    pub duplicated: Vec<String>,
}

impl Conservation {
    /// What `sent` must be: every mail in exactly one place.
    pub fn sum(&self) -> u64 {
        [self.delivered, self.held, self.refused, self.dropped, self.unknown, self.lost_count]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// What the load generator took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generator {
    /// CPU of the generator for each mail.
    pub cpu_ms_per_mail: f64,
    /// Worker threads.
    pub threads: usize,
    /// Why this run measures the generator and not the engine; none: it does not.
    pub limited: Option<String>,
}

#[cfg(test)]
mod tests;
