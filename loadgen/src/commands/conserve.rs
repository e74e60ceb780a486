//! `sekisho-loadgen conserve`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sekisho_loadgen::conservation::{self, Elsewhere, SentLedger};

#[derive(Args)]
pub(crate) struct ConserveArguments {
    /// The sender's ledger (send --ledger).
    #[arg(long)]
    sent: PathBuf,
    /// The sink's ledger (sink --ledger).
    #[arg(long)]
    received: PathBuf,
    /// So many mails are held in quarantine or queue.
    #[arg(long, default_value_t = 0, conflicts_with = "log")]
    held: u64,
    /// Mail log as JSON rows, for what is held and dropped; each mail needs a recipient of its own
    /// (send --to u-{n}@...).
    #[arg(long)]
    log: Option<PathBuf>,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ConserveArguments) -> Result<ExitCode, String> {
    let named = |name: &str, path: &PathBuf, error: io::Error| {
        format!("{name} {}: {error}", path.display())
    };
    let sent =
        SentLedger::read(&arguments.sent).map_err(|error| named("sent", &arguments.sent, error))?;
    let elsewhere = match &arguments.log {
        Some(log) => sent.read_log(log).map_err(|error| named("log", log, error))?,
        None => Elsewhere { held: arguments.held, ..Elsewhere::default() },
    };
    let result = sent
        .account(&arguments.received, &elsewhere)
        .map_err(|error| named("received", &arguments.received, error))?;
    if arguments.json {
        let text = serde_json::to_string(&result).map_err(|error| error.to_string())?;
        let _ = writeln!(io::stdout(), "{text}");
    } else {
        let _ = writeln!(io::stdout(), "{}", conservation::words(&result));
    }
    Ok(if conservation::holds(&result) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
