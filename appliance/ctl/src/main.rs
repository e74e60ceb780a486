//! `sekisho`: the operator's command line. `noun verb`, data on stdout, words on stderr; exit code 0
//! done, 1 "no", 2 could not run.
//!
//! Each noun is a file. A command reads files of the data directory (quarantine, log, generations) or
//! asks the engine through its control socket; it never writes what the engine writes.

mod arguments;
mod backup;
mod bypass;
mod call;
mod check;
mod config;
mod eval;
mod examples;
mod key;
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
mod rules;
mod run;
mod send;
mod status;
mod story;
mod tables;
mod train;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use outcome::{Failure, Outcome, Ran};
use place::Place;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error, std::env::args_os().skip(1)),
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
fn not_understood(error: &clap::Error, words: impl Iterator<Item = OsString>) -> ExitCode {
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
            output::words(mistake(&error.render().to_string(), &verb(words)));
            ExitCode::from(2)
        }
    }
}

/// `sekisho list add` of whatever was written around it: whose help fits a mistake.
fn verb(words: impl Iterator<Item = OsString>) -> String {
    let mut verb = String::from("sekisho");
    let mut meant = Arguments::command();
    for word in words {
        let Some(next) = meant.find_subcommand(&word).cloned() else { continue };
        verb.push(' ');
        verb.push_str(next.get_name());
        meant = next;
    }
    verb
}

/// clap's paragraphs in one line; the next step is the help of the verb that was meant.
fn mistake(text: &str, verb: &str) -> Failure {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let ours = lines.take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let mut why = String::new();
    for line in ours {
        if !why.is_empty() {
            // "not provided:" is followed by what was not.
            why.push_str(if why.ends_with(':') { " " } else { "; " });
        }
        why.push_str(line.trim_start_matches("error: ").trim_start_matches("tip: "));
    }
    Failure::new("arguments", why).next(format_args!("{verb} --help"))
}

fn command(arguments: Arguments) -> Ran {
    let Arguments { data, config, json, command } = arguments;
    let place = Place::new(&data, config.as_deref());
    match command {
        Command::Run(arguments) => run::run(&place, &arguments),
        Command::Check(arguments) => check::run(&place, json, &arguments),
        Command::Eval(arguments) => eval::run(&place, json, &arguments),
        Command::Train(command) => train::run(&place, json, &command),
        Command::Tables(command) => tables::run(&place, json, &command),
        Command::List(command) => list::run(&place, json, &command),
        Command::Bypass(command) => bypass::run(&place, json, &command),
        Command::Rules(arguments) => rules::run(&place, json, &arguments),
        Command::Recipient(command) => recipient::run(&place, json, &command),
        Command::Config(command) => config::run(&place, json, &command),
        Command::Quarantine(command) => quarantine::run(&place, json, command),
        Command::Log(command) => log::run(&place, json, &command),
        Command::Queue(command) => queue::run(&place, json, command),
        Command::Key(command) => key::run(&place, json, &command),
        Command::Status => status::run(&place, json),
        Command::Send(arguments) => send::run(&place, json, &arguments),
        Command::Backup { file, yes } => backup::backup(&place, json, &file, yes),
        Command::Restore { file, yes } => backup::restore(&place, json, &file, yes),
        Command::DemoSink { listen, store } => run::serve_demo_sink(listen, &store),
    }
}

#[cfg(test)]
mod tests {
    use super::{mistake, verb};
    use crate::arguments::Arguments;
    use clap::{CommandFactory, Parser};

    #[test]
    fn a_mistake_in_the_arguments_is_one_line_and_the_help_that_fits_it() {
        for (words, said) in [
            (
                &["list", "add", "alow", "x"][..],
                "sekisho: arguments: invalid value 'alow' for '<POLARITY>'; [possible values: \
                 allow, block]; a similar value exists: 'allow'\ntry: sekisho list add --help",
            ),
            (
                &["list", "add", "allow"],
                "sekisho: arguments: the following required arguments were not provided: \
                 <PATTERN>\ntry: sekisho list add --help",
            ),
            (&["frob"], "sekisho: arguments: unrecognized subcommand 'frob'\ntry: sekisho --help"),
            (
                &["--data", "d", "tables", "show", "x"],
                "sekisho: arguments: invalid value 'x' for '[GENERATION]': invalid digit found in \
                 string\ntry: sekisho tables show --help",
            ),
        ] {
            let all = std::iter::once("sekisho").chain(words.iter().copied());
            let error = Arguments::try_parse_from(all).unwrap_err();
            let verb = verb(words.iter().map(Into::into));
            assert_eq!(mistake(&error.render().to_string(), &verb).to_string(), said);
        }
    }

    #[test]
    fn every_verb_shows_examples_that_it_understands() {
        let mut open = vec![(String::from("sekisho"), Arguments::command())];
        while let Some((name, command)) = open.pop() {
            let verbs: Vec<_> =
                command.get_subcommands().filter(|one| !one.is_hide_set()).collect();
            let next =
                |one: &&clap::Command| (format!("{name} {}", one.get_name()), (*one).clone());
            open.extend(verbs.iter().map(next));
            if !verbs.is_empty() {
                continue;
            }
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = after.lines().filter(|line| line.starts_with("  sekisho"));
            let mut count = 0;
            for example in examples {
                let plain = example.trim().replace(" --data /srv/sekisho", "");
                assert!(plain.starts_with(&name), "{example} is no example of {name}");
                Arguments::try_parse_from(example.split_whitespace())
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
                count += 1;
            }
            assert!(count > 0, "{name} --help has no example");
        }
    }
}
