//! `sekisho-loadgen ramp`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sekisho_loadgen::ramp::{self, RampOptions, RampReport, Step};
use sekisho_loadgen::send::{Progress, SendOptions};

use super::load::{LoadArguments, SpreadWord};

#[derive(Args)]
pub(crate) struct RampArguments {
    #[command(flatten)]
    load: LoadArguments,
    /// First rate, mails a second.
    #[arg(long, default_value_t = 50.0)]
    from_rate: f64,
    /// No rate is above this.
    #[arg(long, default_value_t = 100_000.0)]
    rate_max: f64,
    /// Time of a step.
    #[arg(long, default_value_t = 5.0)]
    step_seconds: f64,
    /// Steps at most.
    #[arg(long, default_value_t = 16)]
    steps: usize,
    /// A step fails if p99 is above this.
    #[arg(long, value_name = "MS")]
    p99_max: Option<f64>,
    /// The knee is known when it is known within so many percent.
    #[arg(long, default_value_t = 5.0)]
    precision_percent: f64,
    /// How the moments are spread.
    #[arg(long, value_enum, default_value_t = SpreadWord::Poisson)]
    spread: SpreadWord,
    /// Sessions at most.
    #[arg(long, default_value_t = 1000)]
    sessions_max: usize,
    /// Write all steps as JSON.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON object on standard output instead of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &RampArguments) -> Result<ExitCode, String> {
    let step = Duration::try_from_secs_f64(arguments.step_seconds)
        .map_err(|_| format!("--step-seconds {}: not a time", arguments.step_seconds))?;
    let send = SendOptions {
        sessions: arguments.sessions_max,
        // The table is the progress.
        progress: Progress::Off,
        ..arguments.load.options()?
    };
    let options = RampOptions {
        send,
        from_rate: arguments.from_rate,
        rate_max: arguments.rate_max,
        step,
        steps: arguments.steps,
        p99_ms_max: arguments.p99_max,
        spread: arguments.spread.spread(),
        precision: arguments.precision_percent / 100.0,
    };
    let is_table = !arguments.json;
    if is_table {
        let _ = writeln!(
            io::stdout(),
            "{:>9} {:>11} {:>9} {:>9} {:>9}  remarks",
            "rate/s",
            "accepted/s",
            "p50 ms",
            "p99 ms",
            "CPU ms"
        );
    }
    let mix = || arguments.load.mix().map_err(io::Error::other);
    let report = ramp::run(&options, mix, |step| {
        if is_table {
            print_step(step);
        }
    })
    .map_err(|error| format!("ramp: {error}"))?;
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    if let Some(path) = &arguments.output {
        std::fs::write(path, &text)
            .map_err(|error| format!("output {}: {error}", path.display()))?;
    }
    if is_table {
        print_end(&report);
    } else {
        let _ = writeln!(io::stdout(), "{text}");
    }
    Ok(if report.knee > 0.0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn print_step(step: &Step) {
    let remarks: Vec<&str> =
        [&step.failed, &step.limited].into_iter().flatten().map(String::as_str).collect();
    let _ = writeln!(
        io::stdout(),
        "{:>9.1} {:>11.1} {:>9.2} {:>9.2} {:>9.3}  {}",
        step.rate,
        step.accepted_per_second,
        step.p50_ms,
        step.p99_ms,
        step.generator_cpu_ms,
        remarks.join("; ")
    );
}

fn print_end(report: &RampReport) {
    let failed = report.first_failed.map_or_else(String::new, |rate| format!(", not at {rate:.1}"));
    let _ = writeln!(
        io::stdout(),
        "knee: {:.1} mails/s kept up with{failed} ({})",
        report.knee,
        report.ended
    );
}
