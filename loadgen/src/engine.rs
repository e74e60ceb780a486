//! An engine on this machine, seen from outside: its process and workers in `/proc`, and what it says of itself on
//! its control socket.
//!
//! It is found by its data directory: `run/engine.json` names the process, `run/control.sock` answers `status`. CPU is
//! that of the process with all its threads, of its worker processes, and of workers that ended. What cannot be read
//! (another user's process, an engine that is restarting) is none, never zero. Bounds: one pass over `/proc` a second;
//! an answer of 4 MiB, a minute.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::report::{Second, Stage};

/// A tick of `/proc/<pid>/stat` in milliseconds: `USER_HZ`, 100 in the ABI of x86-64 and of ARM.
const TICK_MS: u64 = 10;
/// Octets of an answer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// An answer comes within this.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// A shard tells its CPU once a second; after so long its figures are those of the end of a run.
pub const SETTLED: Duration = Duration::from_millis(1200);

/// An engine.
#[derive(Clone, Debug)]
pub struct Engine {
    data: PathBuf,
    pid: u32,
}

/// What its processes took, and have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its processes since it started.
    pub cpu_ms: u64,
    /// Resident memory of all of them.
    pub rss_kib: u64,
}

impl Engine {
    /// The engine of a data directory.
    ///
    /// # Errors
    /// `run/engine.json` cannot be read, or is none.
    pub fn of(data: &Path) -> io::Result<Self> {
        let about = fs::read(data.join("run/engine.json"))?;
        let about: Value = serde_json::from_slice(&about)?;
        let pid = about.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| io::Error::other("run/engine.json names no process"))?;
        Ok(Self { data: data.to_owned(), pid })
    }

    /// What its processes take now.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let own = Process::read(self.pid)?;
        let mut sum = Usage { cpu_ms: (own.ticks + own.ticks_of_ended) * TICK_MS, rss_kib: 0 };
        sum.rss_kib = resident_kib(self.pid);
        for pid in processes() {
            if let Some(worker) = Process::read(pid).filter(|worker| worker.parent == self.pid) {
                sum.cpu_ms += worker.ticks * TICK_MS;
                sum.rss_kib += resident_kib(pid);
            }
        }
        Some(sum)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// Nobody listens on the socket, or the answer is none.
    pub fn status(&self) -> io::Result<Status> {
        let mut socket = UnixStream::connect(self.data.join("run/control.sock"))?;
        socket.set_read_timeout(Some(ANSWER_TIME))?;
        socket.set_write_timeout(Some(ANSWER_TIME))?;
        let id = uuid::Uuid::now_v7();
        socket.write_all(
            format!("{{\"id\":\"{id}\",\"request\":{{\"verb\":\"status\"}}}}\n").as_bytes(),
        )?;
        let mut line = String::new();
        BufReader::new(socket.take(ANSWER_BYTES_MAX)).read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer.pointer_mut("/response/status") {
            Some(status) => Ok(Status(status.take())),
            None => Err(io::Error::other(format!("status: {line}"))),
        }
    }
}

struct Process {
    parent: u32,
    ticks: u64,
    /// Of children that ended.
    ticks_of_ended: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may have blanks and brackets in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
            ticks_of_ended: number(13)? + number(14)?,
        })
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim_end_matches("kB").trim().parse().unwrap_or(0)
}

/// What an engine said of itself.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// A counter or gauge; 0 where it is unknown to this engine.
    #[must_use]
    pub fn figure(&self, name: &str) -> u64 {
        let of = |kind: &str| self.0.get(kind)?.get(name)?.as_u64();
        of("counters").or_else(|| of("gauges")).unwrap_or(0)
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.0.get("version").and_then(Value::as_str).unwrap_or_default()
    }

    /// Microseconds of CPU of the engine and its workers, as their clocks have it; none where it does not tell. Not the
    /// sum of stages: those of shards are estimates.
    #[must_use]
    pub fn cpu_micros(&self) -> Option<u64> {
        let cpu = self.0.get("cpu")?;
        let own = cpu.get("process_us")?.as_u64()?;
        let workers = cpu.get("workers").and_then(Value::as_array).into_iter().flatten();
        let of_workers = workers.filter_map(|worker| worker.get("all_us")?.as_u64());
        Some(own + of_workers.sum::<u64>())
    }

    /// Microseconds of CPU by stage, shards first; the rest of each kind of thread is a stage of its own, so that the
    /// sum is what the engine and its workers took.
    fn micros(&self) -> Vec<(String, u64)> {
        let cpu = |name: &str| self.0.get("cpu").and_then(|cpu| cpu.get(name));
        let mut all = Vec::new();
        let mut of_shards = 0;
        for (kind, prefix, rest) in [
            ("shards", "", "rest of the shard: executor, ring, kernel"),
            ("workers", "worker: ", "worker: rest, its socket"),
        ] {
            let members = cpu(kind).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let mut stages = BTreeMap::<&str, u64>::new();
            let mut taken = 0;
            for member in members {
                taken += member.get("all_us").and_then(Value::as_u64).unwrap_or(0);
                let named = member.get("stages_us").and_then(Value::as_object);
                for (name, micros) in named.into_iter().flatten() {
                    *stages.entry(name).or_default() += micros.as_u64().unwrap_or(0);
                }
            }
            let named: u64 = stages.values().sum();
            let stages = stages.into_iter();
            all.extend(stages.map(|(name, micros)| (format!("{prefix}{name}"), micros)));
            all.push((rest.to_owned(), taken.saturating_sub(named)));
            if kind == "shards" {
                of_shards = taken;
            }
        }
        let process = cpu("process_us").and_then(Value::as_u64).unwrap_or(0);
        let others = process.saturating_sub(of_shards);
        all.push(("other threads of the engine".to_owned(), others));
        all
    }
}

/// CPU of an engine for each mail that it received between two of its answers, by stage, in the order of a mail's way.
/// Empty where it tells no stages or received nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "microseconds of a run")]
pub fn stages(before: &Status, after: &Status) -> Vec<Stage> {
    let mails =
        after.figure("messages_received").saturating_sub(before.figure("messages_received"));
    if mails == 0 || after.0.get("cpu").is_none() {
        return Vec::new();
    }
    let before: BTreeMap<String, u64> = before.micros().into_iter().collect();
    let mut stages: Vec<(usize, Stage)> = after
        .micros()
        .into_iter()
        .filter_map(|(name, micros)| {
            let took = micros.saturating_sub(before.get(&name).copied().unwrap_or(0));
            let micros_per_mail = took as f64 / mails as f64;
            let place = ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
            (took > 0).then_some((place, Stage { name, micros_per_mail }))
        })
        .collect();
    stages.sort_by_key(|(place, _)| *place);
    stages.into_iter().map(|(_, stage)| stage).collect()
}

/// Stages of a shard in the order of a mail's way, as far as this release knows them; those of workers and the rest
/// come after them as the engine says them.
const ORDER: [&str; 17] = [
    "session",
    "recipient",
    "view",
    "scan_texts",
    "scan_headers",
    "scan_bodies",
    "scan_octets",
    "scan_rest",
    "hand_over",
    "decide",
    "next_hop",
    "spool",
    "queue",
    "quarantine",
    "maillog",
    "flush",
    "rest of the shard: executor, ring, kernel",
];

/// Usage by the second, as a run goes on.
#[derive(Debug)]
pub(crate) struct Watch {
    engine: Engine,
    start: Instant,
    samples: Vec<(f64, Usage)>,
    before: Option<Status>,
}

impl Watch {
    /// Begins with the run.
    pub(crate) fn begin(engine: Engine, start: Instant) -> Self {
        let before = engine.status().ok();
        let mut watch = Self { engine, start, samples: Vec::new(), before };
        watch.sample();
        watch
    }

    /// Once a second, or about.
    pub(crate) fn sample(&mut self) {
        if let Some(usage) = self.engine.usage() {
            self.samples.push((self.start.elapsed().as_secs_f64(), usage));
        }
    }

    /// The engine's part of each second, and its stages.
    pub(crate) fn end(mut self, seconds: &mut [Second]) -> (Vec<Stage>, Option<String>) {
        self.sample();
        fill(&self.samples, seconds);
        let Some(before) = self.before else { return (Vec::new(), None) };
        std::thread::sleep(SETTLED);
        match self.engine.status() {
            Ok(after) => (stages(&before, &after), Some(after.version().to_owned())),
            Err(_) => (Vec::new(), None),
        }
    }
}

/// CPU by the second between samples that do not come on the second.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn fill(samples: &[(f64, Usage)], seconds: &mut [Second]) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let at = |time: f64| {
        let after = samples.iter().position(|(when, _)| *when >= time);
        let Some(after) = after else { return last.1.cpu_ms as f64 };
        let (Some(left), Some(right)) = (samples.get(after.saturating_sub(1)), samples.get(after))
        else {
            return first.1.cpu_ms as f64;
        };
        let width = right.0 - left.0;
        let share = if width > 0.0 { (time - left.0) / width } else { 0.0 };
        let (low, high) = (left.1.cpu_ms as f64, right.1.cpu_ms as f64);
        low + (high - low) * share.clamp(0.0, 1.0)
    };
    for second in seconds {
        second.engine_cpu_ms = Some((at(second.at + 1.0) - at(second.at)).max(0.0));
        let of_second = samples.iter().filter(|(when, _)| *when >= second.at);
        second.engine_rss_kib = of_second.map(|(_, usage)| usage.rss_kib).next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stages_and_their_rest_come_to_what_engine_and_workers_took() {
        let status = |mails: u64, times: u64| {
            Status(json!({
                "counters": {"messages_received": mails},
                "cpu": {
                    "process_us": 1000 * times,
                    "shards": [
                        {"mails": mails, "all_us": 700 * times, "stages_us": {"view": 100 * times, "session": 300 * times}},
                        {"mails": 0, "all_us": 100 * times, "stages_us": {"session": 50 * times}},
                    ],
                    "workers": [{"mails": 1, "all_us": 90 * times, "stages_us": {"containers": 80 * times}}],
                },
            }))
        };
        let found = stages(&status(5, 1), &status(15, 11));
        let words: Vec<_> =
            found.iter().map(|stage| format!("{} {}", stage.name, stage.micros_per_mail)).collect();
        let expected = [
            "session 350",
            "view 100",
            "rest of the shard: executor, ring, kernel 350",
            "worker: containers 80",
            "worker: rest, its socket 10",
            "other threads of the engine 200",
        ];
        assert_eq!(words, expected);
        assert_eq!(status(5, 11).cpu_micros(), Some(11 * 1090));
        assert_eq!(Status(json!({"cpu": {}})).cpu_micros(), None);
        assert!(stages(&status(5, 1), &status(5, 2)).is_empty(), "nothing was received");
        assert!(
            stages(&Status(json!({})), &Status(json!({"counters": {"messages_received": 2}})))
                .is_empty()
        );
    }

    #[test]
    fn seconds_get_their_part_of_samples_that_come_late() {
        let usage = |cpu_ms, rss_kib| Usage { cpu_ms, rss_kib };
        let samples = [(0.0, usage(100, 7)), (1.5, usage(400, 8)), (2.5, usage(500, 9))];
        let mut seconds: Vec<Second> =
            [0.0, 1.0, 2.0].iter().map(|at| Second { at: *at, ..Second::default() }).collect();
        fill(&samples, &mut seconds);
        let cpu: Vec<_> = seconds.iter().map(|second| second.engine_cpu_ms.unwrap()).collect();
        assert_eq!(cpu, [200.0, 150.0, 50.0]);
        let rss: Vec<_> = seconds.iter().map(|second| second.engine_rss_kib).collect();
        assert_eq!(rss, [Some(7), Some(8), Some(9)]);
        fill(&[], &mut seconds);
        assert!(seconds[0].engine_cpu_ms.is_some(), "without samples nothing is taken away");
    }

    #[test]
    fn a_process_is_read_with_its_parent() {
        let own = Process::read(std::process::id()).unwrap();
        assert!(own.parent > 0 && resident_kib(std::process::id()) > 0);
        assert!(processes().any(|pid| pid == std::process::id()));
        assert!(Process::read(0).is_none());
    }
}
