//! `sekisho-loadgen hostile`.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sekisho_loadgen::hostile::{
    self, HostileOptions, Networks, News, Offer, Recovery, Script, Shares,
};
use sekisho_loadgen::ramp::RampOptions;
use sekisho_loadgen::report::hostile as report;
use sekisho_loadgen::send::SendOptions;

use super::load::{LoadArguments, SpreadWord};
use super::send::settle;

/// An attack beside a paying load, and what the paying load felt.
///
/// Phase 1: the paying load alone, an open loop at --rate, or at half of the peak (--peak, or found by a ramp). Phase
/// 2: the same beside the attack. Phase 3, with --recovery: alone again. Kept is the part of what was offered in a
/// phase that was accepted within it, of phase 2 divided by that of phase 1. Exit code 1: less than --keep-min, or a
/// mail is lost.
///
/// Profiles: early-talkers (an envelope before the greeting), slow-loris (an octet of a command or of content every
/// two seconds), rcpt-harvest (made-up recipients in pipelined groups), bad-commands, huge-lines (128 KiB, as a command
/// and as content), half-open (deaf from the start, or silent after RCPT), flood (connects and goes).
///
/// The server must tell the two apart: let it exempt the paying load's addresses from its limits, and not those of the
/// attackers. The engine exempts all of loopback unless told otherwise: admission.exempt = ["127.0.0.0/24"].
#[derive(Args)]
pub(crate) struct HostileArguments {
    #[command(flatten)]
    load: LoadArguments,
    /// Paying mails in a second.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// The peak, if it is known: no ramp is made.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "rate")]
    peak: Option<f64>,
    /// Without --rate: so much of the peak is offered.
    #[arg(long, default_value_t = 50.0)]
    peak_percent: f64,
    /// Time of a step of the ramp.
    #[arg(long, default_value_t = 4.0)]
    step_seconds: f64,
    /// How the moments of paying mails are spread.
    #[arg(long, value_enum, default_value_t = SpreadWord::Poisson)]
    spread: SpreadWord,
    /// Sessions of the paying load at most; the attack has --times as many.
    #[arg(long, default_value_t = 1000)]
    sessions_max: usize,
    /// Time of a phase, in whole seconds.
    #[arg(long, default_value_t = 20)]
    phase_seconds: u64,
    /// The attack begins so long before phase 2.
    #[arg(long, default_value_t = 3.0)]
    lead_seconds: f64,
    /// Run the paying load alone again afterwards.
    #[arg(long)]
    recovery: bool,
    /// So many times the sessions of the paying load, at a time and in a second.
    #[arg(long, default_value_t = 10.0)]
    times: f64,
    /// New attackers in a second, at most.
    #[arg(long, default_value_t = 5000.0)]
    new_per_second_max: f64,
    /// Attackers and their parts, such as early-talkers:20,slow-loris:20 [default: all].
    #[arg(long, value_name = "NAME:PART,...")]
    profile: Option<String>,
    /// Network that attackers come from, by its /24s, such as 127.1.0.0/16; may be given more than once. The paying
    /// load's /24 is refused.
    #[arg(long, default_value = "127.1.0.0/16")]
    network: Vec<String>,
    /// Addresses of each /24 that a profile has, 36 at most; profiles share none.
    #[arg(long, default_value_t = 16)]
    hosts: u8,
    /// Domain whose recipients are guessed [default: that of the first forward-path].
    #[arg(long)]
    harvest_domain: Option<String>,
    /// So much of the paying load must be kept.
    #[arg(long, default_value_t = 0.8)]
    keep_min: f64,
    /// One line for each paying mail of all phases: id, recipients, outcome.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// The sink's ledger: prove afterwards that no paying mail was lost and none is there twice.
    #[arg(long, requires = "ledger")]
    sink_ledger: Option<PathBuf>,
    /// Wait so long for accepted mails to reach the sink.
    #[arg(long, default_value_t = 10)]
    settle_seconds: u64,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// One JSON object on standard output instead of words.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &HostileArguments) -> Result<ExitCode, String> {
    let options = arguments.options()?;
    more_descriptors();
    let mix = || arguments.load.mix().map_err(io::Error::other);
    let mut report =
        hostile::run(&options, mix, tell).map_err(|error| format!("hostile: {error}"))?;
    if let (Some(sent), Some(received)) = (&arguments.ledger, &arguments.sink_ledger) {
        let limit = Duration::from_secs(arguments.settle_seconds);
        report.conservation = Some(settle(sent, received, limit)?);
    }
    let text = serde_json::to_string(&report).map_err(|error| error.to_string())?;
    let written = |what: &str, path: &PathBuf, octets: &str| {
        std::fs::write(path, octets).map_err(|error| format!("{what} {}: {error}", path.display()))
    };
    if let Some(path) = &arguments.output {
        written("output", path, &text)?;
    }
    if let Some(path) = &arguments.html {
        written("html", path, &report::page(&report))?;
    }
    let words = if arguments.json { text + "\n" } else { report::render(&report) };
    let _ = io::stdout().write_all(words.as_bytes());
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What is under way: words, so standard error.
fn tell(news: News<'_>) {
    let _ = match news {
        News::Ramp(step) => {
            let remark = step.failed.as_deref().unwrap_or("kept up with");
            writeln!(io::stderr(), "ramp: {:.1} mails/s: {remark}", step.rate)
        }
        News::Phase(name) => writeln!(io::stderr(), "phase: {name}"),
    };
}

/// An attack has thousands of sockets; what the operator's hard limit allows is taken.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the report says how many attackers found no descriptor.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

impl HostileArguments {
    fn options(&self) -> Result<HostileOptions, String> {
        let time = |name: &str, seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| format!("{name} {seconds}: not a time"))
        };
        let send = SendOptions {
            sessions: self.sessions_max,
            ledger: self.ledger.clone(),
            ..self.load.options()?
        };
        let part = self.peak_percent / 100.0;
        let offer = match (self.rate, self.peak) {
            (Some(rate), _) => Offer::Rate(rate),
            (None, Some(peak)) => Offer::OfPeak { peak, part },
            (None, None) => Offer::OfRamp {
                ramp: Box::new(RampOptions {
                    send: SendOptions::default(),
                    from_rate: 200.0,
                    rate_max: 100_000.0,
                    step: time("--step-seconds", self.step_seconds)?,
                    steps: 16,
                    p99_ms_max: None,
                    spread: self.spread.spread(),
                    precision: 0.05,
                }),
                part,
            },
        };
        let shares =
            self.profile.as_deref().map_or_else(|| Ok(Shares::default()), Shares::parse)?;
        // Without a source of its own the paying load comes from the address that the server has.
        let own = send.server.ip();
        let paying: &[IpAddr] = if send.sources.is_empty() {
            &[if own.is_loopback() && own.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { own }]
        } else {
            &send.sources
        };
        let networks = Networks::parse(&self.network, self.hosts, paying, self.load.scope())?;
        let to = send.to.first().map(|to| to.replace("{n}", "0").replace("{r}", "0"));
        let to = to.unwrap_or_default();
        let of_path = to.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let domain = self.harvest_domain.clone().or(of_path).unwrap_or_default();
        let helo = "attacker.example.net".to_owned();
        let script = Script { helo, from: "attacker@example.net".to_owned(), to, domain };
        Ok(HostileOptions {
            send,
            offer,
            spread: self.spread.spread(),
            phase: Duration::from_secs(self.phase_seconds),
            lead: time("--lead-seconds", self.lead_seconds)?,
            recovery: if self.recovery { Recovery::Measured } else { Recovery::None },
            times: self.times,
            per_second_max: self.new_per_second_max,
            shares,
            networks,
            script,
            kept_min: self.keep_min,
        })
    }
}
