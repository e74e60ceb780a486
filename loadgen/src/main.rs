//! `sekisho-loadgen sink` receives, `send` sends, `ramp` finds the knee, `conserve` accounts.

mod commands;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use commands::conserve::ConserveArguments;
use commands::ramp::RampArguments;
use commands::send::SendArguments;
use sekisho_loadgen::report::command::{self, ReportArguments};
use sekisho_loadgen::sink::{Behaviour, Extensions, Sink, SinkOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load clients and a receiving server for capacity tests.
#[derive(Parser)]
#[command(name = "sekisho-loadgen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive mail: each as a file, or only counted.
    Sink(SinkArguments),
    /// Send mail in a closed loop of sessions, or in an open loop by the clock.
    Send(Box<SendArguments>),
    /// Raise the rate of an open loop until the server no longer keeps up.
    Ramp(Box<RampArguments>),
    /// Prove from two ledgers that no mail was lost and none is there twice.
    Conserve(ConserveArguments),
    /// Show a saved run, or two side by side, as words, JSON or a page.
    Report(ReportArguments),
}

#[derive(Args)]
struct SinkArguments {
    /// Address and port.
    #[arg(long, default_value = "127.0.0.1:2526")]
    listen: SocketAddr,
    /// Directory for the mails; without it they are only counted.
    #[arg(long)]
    store: Option<PathBuf>,
    /// One line for each mail: id, reverse-path, forward-path.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// What EHLO offers: all, none, or a list of pipelining,chunking,smtputf8,8bitmime,dsn,size.
    #[arg(long, default_value = "all")]
    extensions: String,
    /// Percentage of recipients answered 451.
    #[arg(long, default_value_t = 0)]
    rcpt_temporary_percent: u8,
    /// Percentage of recipients answered 550.
    #[arg(long, default_value_t = 0)]
    rcpt_permanent_percent: u8,
    /// Percentage of mails answered 451 at the final dot.
    #[arg(long, default_value_t = 0)]
    dot_temporary_percent: u8,
    /// Percentage of mails answered 554 at the final dot.
    #[arg(long, default_value_t = 0)]
    dot_permanent_percent: u8,
    /// Wait so long before every answer to RCPT and to the final dot.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Ignore local-parts that script a fate (tempfail, reject, dotfail, dotreject, hang,
    /// hangtaken, close, closetaken, closercpt, nonsense, slow).
    #[arg(long)]
    no_script: bool,
    /// Seed of the percentages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Sink(arguments) => sink(arguments),
        Command::Send(arguments) => commands::send::run(&arguments),
        Command::Ramp(arguments) => commands::ramp::run(&arguments),
        Command::Conserve(arguments) => commands::conserve::run(&arguments),
        Command::Report(arguments) => {
            command::run(&arguments, &mut io::stdout()).map(|()| ExitCode::SUCCESS)
        }
    };
    match result {
        Ok(code) => code,
        Err(text) => {
            let _ = writeln!(io::stderr(), "sekisho-loadgen: {text}");
            ExitCode::from(2)
        }
    }
}

fn sink(arguments: SinkArguments) -> Result<ExitCode, String> {
    let options = SinkOptions {
        listen: arguments.listen,
        store: arguments.store,
        extensions: Extensions::parse(&arguments.extensions)?,
        behaviour: Behaviour {
            by_local_part: !arguments.no_script,
            rcpt_temporary_percent: arguments.rcpt_temporary_percent,
            rcpt_permanent_percent: arguments.rcpt_permanent_percent,
            dot_temporary_percent: arguments.dot_temporary_percent,
            dot_permanent_percent: arguments.dot_permanent_percent,
            delay: Duration::from_millis(arguments.delay_ms),
            seed: arguments.seed,
            ..Behaviour::default()
        },
    };
    let listen = options.listen;
    let sink = Sink::start(options).map_err(|error| format!("listen on {listen}: {error}"))?;
    if let Some(path) = &arguments.ledger {
        sink.keep_ledger(path).map_err(|error| format!("ledger {}: {error}", path.display()))?;
    }
    let _ = writeln!(io::stdout(), "READY {}", sink.address());
    sink.join();
    Ok(ExitCode::SUCCESS)
}
