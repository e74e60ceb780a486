//! `sekisho-loadgen send`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use sekisho_loadgen::conservation::{self, Elsewhere, SentLedger};
use sekisho_loadgen::report::{Conservation, RunReport, words};
use sekisho_loadgen::send::{self, Pace, SendOptions};

use super::load::{LoadArguments, SpreadWord};

/// Mails of a run that names neither a number nor a time.
const MAILS: u64 = 1000;

#[derive(Args)]
pub(crate) struct SendArguments {
    #[command(flatten)]
    load: LoadArguments,
    /// Closed loop: sessions at a time.
    #[arg(long, default_value_t = 10, conflicts_with = "rate")]
    sessions: usize,
    /// Open loop: so many mails in a second, whatever the server does. Latency is counted from the
    /// moment at which a mail was due.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Open loop: how the moments are spread.
    #[arg(long, value_enum, default_value_t = SpreadWord::Poisson)]
    spread: SpreadWord,
    /// Open loop: sessions at most; mails that find none keep the moment at which they were due.
    #[arg(long, default_value_t = 1000)]
    sessions_max: usize,
    /// Mails in all [default: 1000, without --seconds].
    #[arg(long)]
    mails: Option<u64>,
    /// Begin no mail after so long.
    #[arg(long)]
    seconds: Option<f64>,
    /// One line for each mail: id, recipients, outcome.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// The sink's ledger: prove afterwards that no mail was lost and none is there twice.
    #[arg(long, requires = "ledger")]
    sink_ledger: Option<PathBuf>,
    /// Wait so long for accepted mails to reach the sink.
    #[arg(long, default_value_t = 10)]
    settle_seconds: u64,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

impl SendArguments {
    fn options(&self) -> Result<SendOptions, String> {
        let seconds = match self.seconds {
            Some(seconds) => Some(
                Duration::try_from_secs_f64(seconds)
                    .map_err(|_| format!("--seconds {seconds}: not a time"))?,
            ),
            None => None,
        };
        let mails = match (self.mails, seconds) {
            (Some(mails), _) => mails,
            (None, Some(_)) => u64::MAX,
            (None, None) => MAILS,
        };
        let (pace, sessions) = match self.rate {
            Some(per_second) => {
                (Pace::Open { per_second, spread: self.spread.spread() }, self.sessions_max)
            }
            None => (Pace::Closed, self.sessions),
        };
        let ledger = self.ledger.clone();
        Ok(SendOptions { pace, sessions, mails, seconds, ledger, ..self.load.options()? })
    }
}

pub(crate) fn run(arguments: &SendArguments) -> Result<ExitCode, String> {
    let options = arguments.options()?;
    let mix = arguments.load.mix()?;
    let mut report = send::run(options, mix).map_err(|error| format!("send: {error}"))?;
    if let (Some(sent), Some(received)) = (&arguments.ledger, &arguments.sink_ledger) {
        let limit = Duration::from_secs(arguments.settle_seconds);
        report.conservation = Some(settle(sent, received, limit)?);
    }
    if arguments.json {
        let _ = writeln!(io::stdout(), "{}", json(&report)?);
    } else {
        print_words(&report);
    }
    let all_answered = report.totals.unknown == 0 && report.totals.accepted > 0;
    let holds = report.conservation.as_ref().is_none_or(conservation::holds);
    Ok(if all_answered && holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Accounts for all mails, as soon as none is missing or the time is up.
pub(super) fn settle(
    sent: &Path,
    received: &Path,
    limit: Duration,
) -> Result<Conservation, String> {
    let ledger =
        SentLedger::read(sent).map_err(|error| format!("ledger {}: {error}", sent.display()))?;
    let end = Instant::now() + limit;
    loop {
        let result = ledger
            .account(received, &Elsewhere::default())
            .map_err(|error| format!("sink ledger {}: {error}", received.display()))?;
        if result.lost_count == 0 || Instant::now() >= end {
            return Ok(result);
        }
        // The server delivers on its own time; there is no event to wait for.
        thread::sleep(Duration::from_millis(200));
    }
}

/// The report, and beside it the totals where they were before there was a report: scripts read
/// `accepted` and its neighbours from the top.
fn json(report: &RunReport) -> Result<String, String> {
    let mut value = serde_json::to_value(report).map_err(|error| error.to_string())?;
    let totals = value.get("totals").and_then(|totals| totals.as_object()).cloned();
    if let (Some(object), Some(totals)) = (value.as_object_mut(), totals) {
        object.extend(totals);
    }
    Ok(value.to_string())
}

fn print_words(report: &RunReport) {
    let (latency, totals) = (&report.latency_ms, &report.totals);
    let mut out = io::stdout();
    let _ = writeln!(
        out,
        "accepted {}, refused for now {}, refused {}, unknown {}, not connected {}\n\
         {:.1} mails/s in {:.2} s; latency ms p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}\n\
         generator: {:.3} ms of CPU a mail on {} threads",
        totals.accepted,
        totals.refused_temporary,
        totals.refused_permanent,
        totals.unknown,
        totals.connect_failures,
        report.mails_per_second,
        report.seconds,
        latency.p50,
        latency.p99,
        latency.p999,
        latency.max,
        report.generator.cpu_ms_per_mail,
        report.generator.threads,
    );
    if let Some(cpu) = words::stages(report) {
        let _ = writeln!(out, "{cpu}");
    }
    if !report.first_refusal.is_empty() {
        let _ = writeln!(out, "first refusal: {}", report.first_refusal);
    }
    if let Some(why) = &report.generator.limited {
        let _ = writeln!(out, "LIMITED by the generator: {why}");
    }
    if let Some(conservation) = &report.conservation {
        let _ = writeln!(out, "{}", conservation::words(conservation));
    }
}

#[cfg(test)]
mod tests {
    use sekisho_loadgen::report::{RunReport, Totals};

    #[test]
    fn the_json_has_the_totals_at_the_top_where_scripts_look_for_them() {
        let totals = Totals { accepted: 7, unknown: 1, ..Totals::default() };
        let report = RunReport { totals, ..RunReport::default() };
        let value: serde_json::Value =
            serde_json::from_str(&super::json(&report).unwrap()).unwrap();
        for (key, expected) in [
            ("accepted", 7),
            ("refused_temporary", 0),
            ("refused_permanent", 0),
            ("unknown", 1),
            ("connect_failures", 0),
        ] {
            assert_eq!(value[key], expected, "{key}");
            assert_eq!(value["totals"][key], expected, "{key}");
        }
        for key in ["first_refusal", "seconds", "mails_per_second"] {
            assert!(!value[key].is_null(), "{key}");
        }
        for key in ["p50", "p99", "p999", "max"] {
            assert!(value["latency_ms"][key].is_number(), "{key}");
        }
    }
}
