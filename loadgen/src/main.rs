//! `sekisho-loadgen sink` receives, `send` sends, `ramp` finds the knee, `capacity` writes the sheet, `hostile` attacks
//! beside a load, `conserve` accounts, `traffic` writes mails as files, `report` shows a saved run.

mod commands;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::capacity::CapacityArguments;
use commands::conserve::ConserveArguments;
use commands::hostile::HostileArguments;
use commands::ramp::RampArguments;
use commands::send::SendArguments;
use commands::sink::SinkArguments;
use commands::traffic::TrafficArguments;
use sekisho_loadgen::report::command::{self, ReportArguments};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load clients and a receiving server for capacity tests.
#[derive(Parser)]
#[command(name = "sekisho-loadgen", version = sekisho_loadgen::VERSION)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive mail: each as a file, or only counted.
    Sink(Box<SinkArguments>),
    /// Send mail in a closed loop of sessions, or in an open loop by the clock.
    Send(Box<SendArguments>),
    /// Raise the rate of an open loop until the server no longer keeps up.
    Ramp(Box<RampArguments>),
    /// Start engines, switch one part on after the other, and write what each costs and can.
    Capacity(Box<CapacityArguments>),
    Hostile(Box<HostileArguments>),
    /// Prove from two ledgers that no mail was lost and none is there twice.
    Conserve(ConserveArguments),
    /// Write the mails of a mix as files, and the zone that has their DKIM keys.
    Traffic(TrafficArguments),
    /// Show a saved run, or two side by side, as words, JSON or a page.
    Report(ReportArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Sink(arguments) => commands::sink::run(*arguments),
        Command::Send(arguments) => commands::send::run(&arguments),
        Command::Ramp(arguments) => commands::ramp::run(&arguments),
        Command::Capacity(arguments) => commands::capacity::run(&arguments),
        Command::Hostile(arguments) => commands::hostile::run(&arguments),
        Command::Conserve(arguments) => commands::conserve::run(&arguments),
        Command::Traffic(arguments) => commands::traffic::run(&arguments),
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
