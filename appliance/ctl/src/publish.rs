//! From configuration and sources to generations and deltas, and the word to the engine.
//!
//! Files first, then the word: a generation that the engine refuses, or that is built while no
//! engine runs, lies there complete; the engine keeps its last good one.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sekisho_core::config::Config;
use sekisho_core::control::{Request, Response};
use sekisho_core::shard::written;
use sekisho_core::tables::publish::Publisher;
use sekisho_core::tables::{Change, PublishError, Report, Sources};

use crate::call::{CallError, call};
use crate::outcome::Failure;
use crate::output;
use crate::place::Place;

/// The engine verifies and maps first: gigabytes at the largest.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a change waits for the engine to be on the newest generation.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);
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
    /// The change makes no sense here; nothing was written.
    Pointless(String),
}

/// Reads the configuration; warnings go to stderr, mistakes too, all of them.
pub(crate) fn read_config(place: &Place) -> Result<(String, Config), Failure> {
    let name = place.config.display().to_string();
    let text = std::fs::read_to_string(&place.config)
        .map_err(|error| place.first_start(Failure::new(&name, error)))?;
    match Config::parse(&text, &name) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(output::words);
            Ok((text, config))
        }
        Err(mistakes) => {
            mistakes.iter().for_each(output::words);
            let count = counted(mistakes.len(), "mistake");
            Err(Failure::new(&name, format_args!("{count}, listed above")))
        }
    }
}

/// The sources that a configuration names, directories opened; mistakes go to stderr, all of them.
pub(crate) fn sources(place: &Place, text: &str, config: &Config) -> Result<Sources, Failure> {
    let templates = written::templates(&place.config);
    let templates = templates.map_err(|why| Failure::new("tables build", why))?;
    let mut sources = Sources::of_config(config, text.to_owned(), &place.etc(), own_hosts(config))
        .map_err(|mistakes| failed(place, "tables build", &PublishError::Sources(mistakes)))?;
    sources.notices = templates.names();
    Ok(sources)
}

/// Our own names and addresses, which cannot be next hops (SM-10).
pub(crate) fn own_hosts(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter().map(|listener| listener.address.to_string());
    std::iter::once(config.engine.host_name.to_string()).chain(listeners).collect()
}

/// The writing side of the generations.
pub(crate) fn publisher(place: &Place) -> Result<Publisher, Failure> {
    place.must_exist()?;
    Publisher::open(&place.generations()).map_err(|error| failed(place, "tables", &error))
}

/// A failure of the publishing side; mistakes in sources go to stderr, all of them.
pub(crate) fn failed(place: &Place, what: &str, error: &PublishError) -> Failure {
    if let PublishError::Sources(mistakes) = error {
        mistakes.iter().for_each(output::words);
        let count = counted(mistakes.len(), "mistake");
        return Failure::new(
            what,
            format_args!("{count} in the sources, listed above; nothing was built"),
        );
    }
    let failure = Failure::new(what, error);
    match error {
        PublishError::NoGeneration { .. } => {
            failure.next(format_args!("sekisho{} tables build", place.arguments()))
        }
        _ => failure,
    }
}

/// Builds the next generation from the configuration's sources.
pub(crate) fn build(place: &Place) -> Result<(u64, Report), Failure> {
    let (text, config) = read_config(place)?;
    let sources = sources(place, &text, &config)?;
    std::fs::create_dir_all(&place.data)
        .map_err(|error| Failure::new(place.data.display(), error))?;
    let bar = progress_bar();
    let built = publisher(place)?.build(&sources, &mut |progress| {
        position(&bar, &progress.step, progress.done, progress.total);
    });
    bar.finish_and_clear();
    built.map_err(|error| failed(place, "tables build", &error))
}

/// A bar on stderr, where that is a terminal.
pub(crate) fn progress_bar() -> ProgressBar {
    ProgressBar::new(0).with_style(style(true))
}

/// Without a known end there is no bar to fill: a full one said that a file was read when it had begun.
fn style(has_end: bool) -> ProgressStyle {
    let template = template(has_end);
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn template(has_end: bool) -> &'static str {
    if has_end {
        "{spinner} {msg} {human_pos}/{human_len} {wide_bar}"
    } else {
        "{spinner} {msg} {human_pos}"
    }
}

/// `done` of `total`, if that is known, of the step `what`.
pub(crate) fn position(bar: &ProgressBar, what: &str, done: u64, total: Option<u64>) {
    if bar.message() != what {
        bar.set_message(what.to_owned());
        bar.set_style(style(total.is_some()));
    }
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
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

/// `1 mistake`, `2 mistakes`.
pub(crate) fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// One change, written as a delta and put in force: under a second at any size of the base.
pub(crate) fn change(place: &Place, what: &str, change: Change) -> Result<Told, Failure> {
    let (generation, _) = match publisher(place)?.add_delta(&[change]) {
        Ok(added) => added,
        Err(PublishError::Refused { change, why }) => {
            return Ok(Told::Pointless(format!("sekisho: {what}: {change}: {why}")));
        }
        Err(error) => return Err(failed(place, what, &error)),
    };
    match tell(place, Request::AdoptDeltas)? {
        Told::InForce => engine_reaches(place, generation),
        other => Ok(other),
    }
}

/// The engine takes the deltas of its own generation only. If it is still on an older one, because
/// that one is being adopted now, or was refused, or was built with `--no-adopt`, then a change to the
/// newest is not in force, whatever the engine answered.
fn engine_reaches(place: &Place, generation: u64) -> Result<Told, Failure> {
    let deadline = Instant::now() + REACH_TIMEOUT;
    loop {
        let status = match crate::call::ask(place, "tables", Request::Status)? {
            Response::Status { status } => status,
            other => return Err(crate::call::unexpected("tables", &other)),
        };
        let has = status.get("generation").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if has >= generation {
            return Ok(Told::InForce);
        }
        if Instant::now() >= deadline {
            return Ok(Told::Refused(format!(
                "it belongs to generation {generation} and the engine is on {has}; \
                 `sekisho{} tables build` makes one that it can take over",
                place.arguments()
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Merges the deltas of the newest generation into a new one where they are many or old; its number.
pub(crate) fn merge_if_due(place: &Place) -> Result<Option<u64>, Failure> {
    let publisher = publisher(place)?;
    let latest = publisher.latest().map_err(|error| failed(place, "merge", &error))?;
    let Some(latest) = latest else { return Ok(None) };
    if !is_due(&publisher.generation_dir(latest).join("delta")) {
        return Ok(None);
    }
    let merged = publisher.merge(&mut |_| ()).map_err(|error| failed(place, "merge", &error))?;
    let Some(number) = merged else { return Ok(None) };
    match tell(place, Request::Adopt { generation: number })? {
        Told::Refused(why) | Told::Pointless(why) => Err(Failure::new(
            "merge",
            format_args!("the engine refused generation {number}: {why}"),
        )),
        Told::InForce | Told::NobodyThere => {
            publisher.collect(GENERATIONS_KEPT).map_err(|error| failed(place, "merge", &error))?;
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

#[cfg(test)]
mod tests {
    use super::{counted, template};
    use indicatif::ProgressStyle;

    #[test]
    fn only_a_step_with_a_known_end_has_a_bar() {
        // `reading senders.csv 700,000/0` stood beside a full bar.
        assert!(template(true).contains("{wide_bar}") && !template(false).contains("_len}"));
        assert!(
            [true, false]
                .into_iter()
                .all(|end| ProgressStyle::with_template(template(end)).is_ok())
        );
    }

    #[test]
    fn one_thing_is_one_and_not_several() {
        assert_eq!(counted(1, "mistake"), "1 mistake");
        assert_eq!(counted(0, "mistake"), "0 mistakes");
        assert_eq!(counted(3, "mistake"), "3 mistakes");
    }
}
