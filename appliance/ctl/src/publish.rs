//! From configuration and sources to generations and deltas, and the word to the engine.
//!
//! Files first, then the word: a generation that the engine refuses, or that is built while no
//! engine runs, lies there complete; the engine keeps its last good one.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sekisho_core::config::Config;
use sekisho_core::control::{Request, Response};
use sekisho_core::tables::publish::Publisher;
use sekisho_core::tables::{Change, Progress, PublishError, Report, Sources};

use crate::call::{CallError, call};
use crate::outcome::Failure;
use crate::output;
use crate::place::Place;

/// The engine verifies and maps first: gigabytes at the largest.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(300);
/// So many deltas on a generation are merged into a new one.
const DELTAS_MAX: usize = 2000;
/// So old a delta is merged too, however few there are.
const DELTA_AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// Generations that are kept on disk: the one in force and two to go back to.
const GENERATIONS_KEPT: usize = 3;

/// What the engine said to a new generation or delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is in force.
    InForce,
    /// No engine runs; the next one starts with it.
    NobodyThere,
    /// It stays with what it had.
    Refused(String),
}

/// Reads the configuration; warnings go to stderr, mistakes too, all of them.
pub(crate) fn read_config(place: &Place) -> Result<(String, Config), Failure> {
    let name = place.config.display().to_string();
    let text = std::fs::read_to_string(&place.config).map_err(|error| {
        Failure::new(&name, error).next(format_args!("sekisho{} run", place.arguments()))
    })?;
    match Config::parse(&text, &name) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(output::words);
            Ok((text, config))
        }
        Err(mistakes) => {
            mistakes.iter().for_each(output::words);
            Err(Failure::new(&name, format_args!("{} mistakes, listed above", mistakes.len())))
        }
    }
}

/// The sources that a configuration names, directories opened; mistakes go to stderr, all of them.
pub(crate) fn sources(place: &Place, text: &str, config: &Config) -> Result<Sources, Failure> {
    Sources::of_config(config, text.to_owned(), &place.etc(), own_hosts(config))
        .map_err(|mistakes| failed("tables", &PublishError::Sources(mistakes)))
}

/// Our own names and addresses, which cannot be next hops (SM-10).
pub(crate) fn own_hosts(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter().map(|listener| listener.address.to_string());
    std::iter::once(config.engine.host_name.to_string()).chain(listeners).collect()
}

/// The writing side of the generations.
pub(crate) fn publisher(place: &Place) -> Result<Publisher, Failure> {
    Publisher::open(&place.generations()).map_err(|error| failed("tables", &error))
}

/// A failure of the publishing side; mistakes in sources go to stderr, all of them.
pub(crate) fn failed(what: &str, error: &PublishError) -> Failure {
    if let PublishError::Sources(mistakes) = error {
        mistakes.iter().for_each(output::words);
        return Failure::new(
            what,
            format_args!(
                "{} mistakes in the sources, listed above; nothing was built",
                mistakes.len()
            ),
        );
    }
    let failure = Failure::new(what, error);
    match error {
        PublishError::NoGeneration { .. } => failure.next("sekisho tables build"),
        _ => failure,
    }
}

/// Builds the next generation from the configuration's sources.
pub(crate) fn build(place: &Place) -> Result<(u64, Report), Failure> {
    let (text, config) = read_config(place)?;
    let sources = sources(place, &text, &config)?;
    let bar = progress_bar();
    let built = publisher(place)?.build(&sources, &mut |progress| show(&bar, &progress));
    bar.finish_and_clear();
    built.map_err(|error| failed("tables build", &error))
}

/// A bar on stderr, where that is a terminal.
pub(crate) fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {msg} {human_pos}/{human_len} {wide_bar}")
    {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    if bar.message() != progress.step {
        bar.set_message(progress.step.clone());
    }
    if let Some(total) = progress.total {
        bar.set_length(total);
    }
    bar.set_position(progress.done);
}

/// Tells the engine of something new.
pub(crate) fn tell(place: &Place, request: Request) -> Result<Told, Failure> {
    match call(&place.control_socket(), request, ADOPT_TIMEOUT) {
        Ok(Response::Done) => Ok(Told::InForce),
        Ok(Response::Refused { why }) => Ok(Told::Refused(why)),
        Ok(other) => Err(crate::call::unexpected("tables", &other)),
        Err(CallError::Nobody) => Ok(Told::NobodyThere),
        Err(CallError::Broken(why)) => Err(Failure::new("tables: the engine", why)),
    }
}

/// One change, written as a delta and put in force: under a second at any size of the base.
pub(crate) fn change(place: &Place, change: Change) -> Result<Told, Failure> {
    publisher(place)?.add_delta(&[change]).map_err(|error| failed("change", &error))?;
    tell(place, Request::AdoptDeltas)
}

/// Merges the deltas of the newest generation into a new one where they are many or old; its number.
pub(crate) fn merge_if_due(place: &Place) -> Result<Option<u64>, Failure> {
    let publisher = publisher(place)?;
    let latest = publisher.latest().map_err(|error| failed("merge", &error))?;
    let Some(latest) = latest else { return Ok(None) };
    if !is_due(&publisher.generation_dir(latest).join("delta")) {
        return Ok(None);
    }
    let merged = publisher.merge(&mut |_| ()).map_err(|error| failed("merge", &error))?;
    let Some(number) = merged else { return Ok(None) };
    match tell(place, Request::Adopt { generation: number })? {
        Told::Refused(why) => Err(Failure::new(
            "merge",
            format_args!("the engine refused generation {number}: {why}"),
        )),
        Told::InForce | Told::NobodyThere => {
            publisher.collect(GENERATIONS_KEPT).map_err(|error| failed("merge", &error))?;
            Ok(Some(number))
        }
    }
}

fn is_due(deltas: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(deltas) else { return false };
    let (mut count, mut oldest) = (0, Duration::ZERO);
    for entry in entries.flatten() {
        count += 1;
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        oldest = oldest.max(age.unwrap_or_default());
    }
    count >= DELTAS_MAX || (count > 0 && oldest >= DELTA_AGE_MAX)
}
