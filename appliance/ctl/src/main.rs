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
use outcome::{Failure, Outcome, Ran};
use place::Place;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    match command(arguments) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(failure) => {
            output::words(failure);
            ExitCode::from(2)
        }
    }
}

/// Help and version as clap prints them; a mistake in the form of every other failure.
fn not_understood(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            output::words(mistake(&error.render().to_string()));
            ExitCode::from(2)
        }
    }
}

/// clap's paragraphs in one line; the next step is the help of the verb that was meant.
fn mistake(text: &str) -> Failure {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let ours = lines.take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let why: Vec<&str> =
        ours.map(|line| line.trim_start_matches("error: ").trim_start_matches("tip: ")).collect();
    let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let verb: Vec<&str> = usage
        .unwrap_or("sekisho")
        .split_whitespace()
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    Failure::new("arguments", why.join("; ")).next(format_args!("{} --help", verb.join(" ")))
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
        Command::Backup { file, yes } => backup::backup(&place, json, &file, yes),
        Command::Restore { file, yes } => backup::restore(&place, json, &file, yes),
        Command::DemoSink { listen, store } => run::serve_demo_sink(listen, &store),
    }
}

#[cfg(test)]
mod tests {
    use super::mistake;
    use crate::arguments::Arguments;
    use clap::Parser;

    #[test]
    fn a_mistake_in_the_arguments_is_one_line_and_the_help_that_fits_it() {
        for (words, said) in [
            (
                &["list", "add", "alow", "x"][..],
                "sekisho: arguments: invalid value 'alow' for '<POLARITY>'; [possible values: \
                 allow, block]; a similar value exists: 'allow'\ntry: sekisho --help",
            ),
            (
                &["list", "add", "allow"],
                "sekisho: arguments: the following required arguments were not provided:; \
                 <PATTERN>\ntry: sekisho list add --help",
            ),
            (&["frob"], "sekisho: arguments: unrecognized subcommand 'frob'\ntry: sekisho --help"),
        ] {
            let words = std::iter::once("sekisho").chain(words.iter().copied());
            let error = Arguments::try_parse_from(words).unwrap_err();
            assert_eq!(mistake(&error.render().to_string()).to_string(), said);
        }
    }
}
