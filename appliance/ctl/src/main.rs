//! `sekisho`: the operator's command line. `noun verb`, data on stdout, words on stderr; exit code 0
//! done, 1 "no", 2 could not run.
//!
//! Each noun is a file. A command reads files of the data directory (quarantine, log, generations) or
//! asks the engine through its control socket; it never writes what the engine writes.

mod arguments;
mod backup;
mod call;
mod check;
mod config;
mod list;
mod log;
mod outcome;
mod output;
mod period;
mod place;
mod publish;
mod quarantine;
mod queue;
mod recipient;
mod run;
mod send;
mod status;
mod tables;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use outcome::{Outcome, Ran};
use place::Place;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command(Arguments::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(failure) => {
            output::words(failure);
            ExitCode::from(2)
        }
    }
}

fn command(arguments: Arguments) -> Ran {
    let Arguments { data, config, json, command } = arguments;
    let place = Place::new(&data, config.as_deref());
    match command {
        Command::Run(arguments) => run::run(&place, &arguments),
        Command::Check(arguments) => check::run(&place, json, &arguments),
        Command::Tables(command) => tables::run(&place, json, &command),
        Command::List(command) => list::run(&place, json, &command),
        Command::Recipient(command) => recipient::run(&place, json, &command),
        Command::Config(command) => config::run(&place, json, &command),
        Command::Quarantine(command) => quarantine::run(&place, json, command),
        Command::Log(command) => log::run(&place, json, &command),
        Command::Queue(command) => queue::run(&place, json, command),
        Command::Status => status::run(&place, json),
        Command::Send(arguments) => send::run(&place, json, &arguments),
        Command::Backup { file } => backup::backup(&place, json, &file),
        Command::Restore { file, yes } => backup::restore(&place, json, &file, yes),
        Command::DemoSink { listen, store } => run::serve_demo_sink(listen, &store),
    }
}
