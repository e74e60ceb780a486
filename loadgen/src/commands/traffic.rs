//! `sekisho-loadgen traffic`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sekisho_loadgen::{mix, traffic};

use super::mails::MailsArguments;

#[derive(Args)]
pub(crate) struct TrafficArguments {
    #[command(flatten)]
    from: MailsArguments,
    /// Mails in all.
    #[arg(long, default_value_t = 1000)]
    mails: u64,
    /// Directory for the mails.
    #[arg(long, required_unless_present = "zone")]
    out: Option<PathBuf>,
    /// Write the zone of this seed's DKIM keys to a master file.
    #[arg(long)]
    zone: Option<PathBuf>,
}

pub(crate) fn run(arguments: &TrafficArguments) -> Result<ExitCode, String> {
    let (mix, seed) = (arguments.from.mix()?, arguments.from.seed);
    if let Some(path) = &arguments.zone {
        let zone = mix::zone(seed)?;
        std::fs::write(path, zone).map_err(|error| format!("zone {}: {error}", path.display()))?;
        let _ = writeln!(io::stdout(), "zone {} in {}", mix::ZONE, path.display());
    }
    if let Some(dir) = &arguments.out {
        let bytes = traffic::write(&mix, seed, arguments.mails, dir)
            .map_err(|error| format!("out {}: {error}", dir.display()))?;
        let (mails, dir) = (arguments.mails, dir.display());
        let _ = writeln!(io::stdout(), "{mails} mails, {bytes} octets, in {dir}");
    }
    Ok(ExitCode::SUCCESS)
}
