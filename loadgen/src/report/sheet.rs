//! The capacity sheet: a row for each engine of the plan, and everything that must be known to believe it.
//!
//! Like [`RunReport`](super::RunReport) its JSON is the saved form: fields are added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Conservation, Machine, Percentiles, Stage};

/// What a plan came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sheet {
    /// When it began, seconds of the Unix epoch.
    pub started_unix: u64,
    /// How long it took.
    pub seconds: f64,
    /// The command as it was started.
    pub command: Vec<String>,
    /// `whole`, `quick` or `budget`.
    pub plan: String,
    /// Where it ran.
    pub machine: Machine,
    /// What ran.
    pub programs: Programs,
    /// Cores of the engine, all its threads and workers.
    pub engine_cores: Vec<usize>,
    /// Cores of generator and sink.
    pub generator_cores: Vec<usize>,
    /// What mail was made durable on.
    pub disk: Disk,
    /// Load average of a minute before the first row: what else the machine had to do.
    pub load_before: Option<f64>,
    /// In the order of the plan.
    pub rows: Vec<Row>,
}

/// Which programs they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Programs {
    /// First half of the digest of `sekisho-engine`.
    pub engine_sha256: String,
    /// Commit that the engine says it is built from, `with changes` if it differed from it.
    pub commit: Option<String>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Kind of its file system.
    pub file_system: String,
    /// Median time of an `fdatasync` of 4 KiB.
    pub flush_ms: f64,
}

/// One engine of the plan. None: not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The row that it adds a part to.
    pub base: Option<String>,
    /// What it is, or adds.
    pub what: String,
    /// Mix of mails.
    pub mix: String,
    /// `through` or `spool`; none without an engine.
    pub mode: Option<String>,
    /// Mails of the closed loop.
    pub mails: u64,
    /// Of these, read by an analysis worker.
    pub on_worker: u64,
    /// Mails a second in the closed loop.
    pub closed_per_second: f64,
    /// CPU of the engine and its workers for each mail, to its delivery.
    pub cpu_ms: Option<f64>,
    /// The same as the kernel counts it for the processes, in ticks of 10 ms: what `cpu_ms` is held against.
    pub kernel_cpu_ms: Option<f64>,
    /// How much more than its base.
    pub added_ms: Option<f64>,
    /// Highest rate that was kept up with.
    pub knee: Option<f64>,
    /// Why the ramp ended.
    pub knee_ended: String,
    /// The lowest rate that was not kept up with, and how that showed: each search for a knee has one, or it found none.
    pub beyond_knee: Option<BeyondKnee>,
    /// Rate of the open loop.
    pub rate: Option<f64>,
    /// Latency in it, from the time at which a mail was due.
    pub latency_ms: Option<Percentiles>,
    /// The same: quantile (0 to 1) and milliseconds, ascending.
    pub latency_curve: Vec<(f64, f64)>,
    /// Mails behind the latencies.
    pub latency_mails: u64,
    /// Replies other than 2yz in the closed and the open loop, how often each came. Those of the ramp, which goes beyond
    /// the knee on purpose, are not in it.
    pub refusals: BTreeMap<String, u64>,
    /// The first of them in full.
    pub first_refusal: String,
    /// Resident memory of the engine and its workers after the open loop; tables that they share count in each.
    pub rss_mib: Option<u64>,
    /// CPU by stage.
    pub stages: Vec<Stage>,
    /// Mails that still waited a minute after the last load.
    pub waiting: u64,
    /// Whether every mail of all its loads was found again.
    pub conservation: Option<Conservation>,
    /// CPU of the generator for each mail of the closed loop.
    pub generator_cpu_ms: f64,
    /// What measured the generator and not the engine.
    pub limited: Vec<String>,
    /// Why the row proves nothing: mail was lost, came twice, or does not add up.
    pub failed: Option<String>,
}

/// A step of a ramp that was too much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BeyondKnee {
    /// Its rate.
    pub rate: f64,
    /// What showed it.
    pub why: String,
}

impl Row {
    /// Refusals of all codes.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    /// Notes what a load was answered but 2yz.
    pub fn note_replies(&mut self, replies: &BTreeMap<String, u64>, first: &str) {
        for (code, times) in replies.iter().filter(|(code, _)| !code.starts_with('2')) {
            *self.refusals.entry(code.clone()).or_default() += times;
        }
        if self.first_refusal.is_empty() {
            first.clone_into(&mut self.first_refusal);
        }
    }
}

impl Sheet {
    /// Sets what each row adds to its base.
    pub fn compare(&mut self) {
        let cpu: Vec<(String, f64)> =
            self.rows.iter().filter_map(|row| Some((row.name.clone(), row.cpu_ms?))).collect();
        for row in &mut self.rows {
            let base = row.base.as_ref();
            let base = base.and_then(|base| cpu.iter().find(|(name, _)| name == base));
            row.added_ms = row.cpu_ms.zip(base).map(|(own, (_, base))| own - base);
        }
    }

    /// Whether every row proves that no mail was lost and none came twice.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.failed.is_none() && row.conservation.is_some())
    }
}

/// A sheet for the tests of what shows it.
#[cfg(test)]
pub(super) fn sample() -> Sheet {
    let stages = |times: f64| {
        let stage = |name: &str, micros: f64| Stage {
            name: name.to_owned(),
            // What comes back from JSON is the same number.
            micros_per_mail: (micros * times * 100.0).round() / 100.0,
        };
        vec![stage("session", 40.5), stage("view <b>", 7.0), stage("rest of the shard", 100.0)]
    };
    let row = |name: &str, base: Option<&str>, ms: f64| Row {
        name: name.to_owned(),
        base: base.map(str::to_owned),
        what: "what it adds".to_owned(),
        mix: "sizes".to_owned(),
        mode: Some("through".to_owned()),
        mails: 4000,
        closed_per_second: 3000.0,
        cpu_ms: Some(ms),
        knee: Some(2800.0),
        beyond_knee: Some(BeyondKnee { rate: 2900.0, why: "91.0 % accepted".to_owned() }),
        rate: Some(2240.0),
        latency_ms: Some(Percentiles {
            p50: 1.5,
            p90: 4.0,
            p99: 9.25,
            p999: 30.0,
            p9999: 42.0,
            max: 42.0,
        }),
        latency_curve: vec![(0.0, 1.0), (0.5, 1.5), (0.99, 9.25), (1.0, 42.0)],
        latency_mails: 7000,
        kernel_cpu_ms: Some(ms),
        rss_mib: Some(60),
        stages: stages(ms),
        conservation: Some(Conservation { sent: 9, delivered: 9, ..Conservation::default() }),
        ..Row::default()
    };
    let mut limited = row("starter rules", Some("relay"), 0.5);
    limited.limited = vec!["knee: generator and sink took 95 % of their cores".to_owned()];
    let replies = BTreeMap::from([("250".to_owned(), 5), ("451 4.3.2".to_owned(), 3)]);
    limited.note_replies(&replies, "451 4.3.2 try <later>");
    limited.stages.insert(1, Stage { name: "scan".to_owned(), micros_per_mail: 9.0 });
    let mut broken = row("hold", Some("nowhere"), 1.0);
    broken.failed = Some("sent 9 = ... + lost 1".to_owned());
    let mut sheet = Sheet {
        engine_cores: vec![0],
        generator_cores: vec![1, 2],
        load_before: Some(0.25),
        machine: Machine { cores: 4, ..Machine::default() },
        rows: vec![
            Row { mode: None, cpu_ms: None, stages: Vec::new(), ..row("no engine", None, 0.0) },
            row("relay", None, 0.2),
            limited,
            broken,
        ],
        ..Sheet::default()
    };
    sheet.compare();
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_measured_by_its_base_and_one_that_lost_mail_proves_nothing() {
        let sheet = sample();
        let added: Vec<_> = sheet.rows.iter().map(|row| row.added_ms).collect();
        assert_eq!(added, [None, None, Some(0.3), None]);
        assert!(!sheet.holds());
        let mut good = sheet.clone();
        good.rows.truncate(3);
        assert!(good.holds());
        good.rows[1].conservation = None;
        assert!(!good.holds(), "nobody looked");
        let json = serde_json::to_string(&sheet).unwrap();
        assert_eq!(serde_json::from_str::<Sheet>(&json).unwrap(), sheet);
        assert_eq!(serde_json::from_str::<Sheet>("{\"rows\":[{}]}").unwrap().rows.len(), 1);
    }
}
