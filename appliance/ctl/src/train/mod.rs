//! `train spam|ham|undo|list|status|base`: mails that people gave a label, and the models made of
//! them (SM-30 to SM-32, C74).
//!
//! Each command is one batch. The model of its scope (the gateway, or a domain) is fitted anew and published as
//! a generation that shares all else with the one before; the engine has it within seconds, whatever the size
//! of the lists.

mod read;
mod report;
mod store;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use sekisho_core::classify::{Features, FitOptions, SAMPLES_FULL, Sample, fit};
use sekisho_core::clock::Now;
use sekisho_core::control::Request;
use serde_json::json;

pub(crate) use self::read::one as features;
use self::store::{Added, Batch, Store};
use crate::arguments::{TrainArguments, TrainCommand};
use crate::check::files;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown, time};
use crate::place::Place;
use crate::publish::{self, Told, position, progress_bar};

/// Generations that are kept on disk, as for every other way to make one.
const GENERATIONS_KEPT: usize = 3;
/// What the shipped model may have: it stays below 1 MiB and has no features of single mails.
const BASE: FitOptions =
    FitOptions { seen_min: 5, features_max: 39_000, marks: false, relations: false };

/// Runs one `train` command.
pub(crate) fn run(place: &Place, json: bool, command: &TrainCommand) -> Ran {
    match command {
        TrainCommand::Spam(arguments) => train(place, json, true, arguments),
        TrainCommand::Ham(arguments) => train(place, json, false, arguments),
        TrainCommand::Undo { batch, last } => undo(place, json, *batch, *last),
        TrainCommand::List { domain, rows_max } => list(place, json, domain.as_deref(), *rows_max),
        TrainCommand::Status => status(place, json),
        TrainCommand::Base { out, ham, spam } => base(json, out, ham, spam),
    }
}

/// Mails with one label, for one scope.
pub(crate) struct Lesson {
    /// Name of a domain; empty for the gateway.
    pub(crate) scope: String,
    pub(crate) spam: bool,
    pub(crate) how: &'static str,
    /// What each mail is called in what is said.
    pub(crate) mails: Vec<(String, Features)>,
}

fn train(place: &Place, json: bool, spam: bool, arguments: &TrainArguments) -> Ran {
    let scope = scope(place, arguments.domain.as_deref())?;
    let (mut mails, mut ids, mut all) = (Vec::new(), Vec::new(), true);
    for path in &arguments.paths {
        for file in files(path)? {
            let name = file.display().to_string();
            match read::mails(&file) {
                Ok(found) => {
                    ids.extend(found.iter().filter_map(|mail| mail.id));
                    mails.extend(found.into_iter().map(|mail| (name.clone(), mail.features)));
                }
                Err(why) => {
                    all = false;
                    refused(json, &name, &why);
                }
            }
        }
    }
    let told = teach(place, json, Lesson { scope, spam, how: "train", mails })?;
    report::say(place, spam, &user(), &ids)?;
    Ok(if all { told } else { Outcome::No })
}

/// SM-30: one line; the others go on.
fn refused(json: bool, name: &str, why: &str) {
    if json {
        output::json(&json!({"file": name, "trained": false, "why": why}));
    } else {
        output::words(format_args!("sekisho: {}: {why}", shown(name)));
    }
}

/// The scope that is meant: a domain that is ours and may train (C74), or the gateway.
pub(crate) fn scope(place: &Place, domain: Option<&str>) -> Result<String, Failure> {
    let Some(domain) = domain else { return Ok(String::new()) };
    let view = publish::publisher(place)?.view();
    let view = view.map_err(|error| publish::failed(place, "train", &error))?;
    let name = domain.to_ascii_lowercase();
    let Some(found) = view.snapshot().domain(&name) else {
        return Err(Failure::new(
            "train --domain",
            format_args!("{name}: not a domain of this gateway"),
        ));
    };
    if !found.settings.classifier.train {
        let why = format_args!("{name}: train.enabled is false for this domain");
        return Err(Failure::new("train --domain", why));
    }
    Ok(found.name.to_string())
}

/// Adds samples, fits, publishes. A line for each mail.
pub(crate) fn teach(place: &Place, json: bool, lesson: Lesson) -> Ran {
    let Lesson { scope, spam, how, mails } = lesson;
    if mails.is_empty() {
        return Ok(Outcome::No);
    }
    let label = if spam { "spam" } else { "ham" };
    let store = Store::open(place)?;
    let batch = Batch {
        batch: 0,
        undoes: None,
        scope: scope.clone(),
        label: label.to_owned(),
        time: Now::read().unix.0,
        by: user(),
        how: how.to_owned(),
    };
    let (names, features): (Vec<String>, Vec<Features>) = mails.into_iter().unzip();
    let (number, became) = store.add(batch, features)?;
    for (name, added) in names.iter().zip(&became) {
        let word = match added {
            Added::New => "trained",
            Added::Moved => "moved: it had the other label",
            Added::Known => "known already",
        };
        if json {
            output::json(
                &json!({"file": name, "trained": true, "label": label, "said": word, "batch": number}),
            );
        } else {
            output::data(format_args!("{}\t{label}\t{word}", shown(name)));
        }
    }
    if became.iter().all(|added| *added == Added::Known) {
        return Ok(Outcome::Done);
    }
    let whose = if scope.is_empty() { "the gateway" } else { &scope };
    output::words(format_args!("batch {number} for {whose}; `train undo {number}` takes it back"));
    put_in_force(place, &store)
}

/// Who trains.
fn user() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// Publishes the models of all scopes that are still ours.
fn put_in_force(place: &Place, store: &Store) -> Ran {
    let publisher = publish::publisher(place)?;
    let fail = |error| publish::failed(place, "train", &error);
    let view = publisher.view().map_err(fail)?;
    let scopes = store.scopes()?;
    let bar = progress_bar();
    position(&bar, "fitting", 0, Some(scopes.len() as u64));
    let mut models = Vec::new();
    for scope in scopes {
        bar.inc(1);
        if !scope.is_empty() && view.snapshot().domain(&scope).is_none() {
            continue;
        }
        if let Some(model) = store.model(&scope)? {
            models.push((scope, model));
        }
    }
    bar.finish_and_clear();
    let number = publisher.teach(models).map_err(fail)?;
    match publish::tell(place, Request::Adopt { generation: number })? {
        Told::InForce => {
            publisher.collect(GENERATIONS_KEPT).map_err(fail)?;
            output::words(format_args!("generation {number} is in force"));
            Ok(Outcome::Done)
        }
        Told::NobodyThere => {
            output::words(format_args!(
                "generation {number}; no engine runs, the next one starts with it"
            ));
            Ok(Outcome::Done)
        }
        Told::Refused(why) | Told::Pointless(why) => {
            output::words(format_args!(
                "sekisho: train: the engine refused generation {number}: {why}"
            ));
            Ok(Outcome::No)
        }
    }
}

fn undo(place: &Place, json: bool, batch: Option<u64>, last: bool) -> Ran {
    let store = Store::open(place)?;
    let number = match batch {
        Some(number) => number,
        None if last => {
            let journal = store.journal()?;
            let undone = |number: u64| journal.iter().any(|one| one.undoes == Some(number));
            let open = journal.iter().rev().find(|one| one.undoes.is_none() && !undone(one.batch));
            match open {
                Some(open) => open.batch,
                None => {
                    return Ok(output::said(
                        json,
                        Outcome::No,
                        "sekisho: train: nothing to take back",
                    ));
                }
            }
        }
        None => {
            let failure = Failure::new("train undo", "which one? a number, or --last");
            return Err(failure.next(format_args!("sekisho{} train list", place.arguments())));
        }
    };
    if let Err(why) = store.undo(number, Now::read().unix.0, user()) {
        return Ok(output::said(json, Outcome::No, format_args!("sekisho: train undo: {why}")));
    }
    output::said(json, Outcome::Done, format_args!("batch {number} is taken back"));
    put_in_force(place, &store)
}

fn list(place: &Place, json: bool, domain: Option<&str>, rows_max: usize) -> Ran {
    let journal = Store::open(place)?.journal()?;
    let undone = |number: u64| journal.iter().any(|one| one.undoes == Some(number));
    let wanted =
        |one: &&Batch| one.undoes.is_none() && domain.is_none_or(|domain| one.scope == domain);
    let found: Vec<&Batch> = journal.iter().rev().filter(wanted).take(rows_max).collect();
    if json {
        for one in &found {
            output::json(&json!({
                "batch": one.batch, "scope": one.scope, "label": one.label, "time": one.time,
                "by": one.by, "how": one.how, "undone": undone(one.batch),
            }));
        }
    } else {
        let row = |one: &&Batch| {
            let state = if undone(one.batch) { "taken back" } else { "" };
            let scope = if one.scope.is_empty() { "gateway" } else { &one.scope };
            [&one.batch.to_string(), &time(one.time), scope, &one.label, &one.how, &one.by, state]
                .map(str::to_owned)
                .to_vec()
        };
        let columns = ["batch", "time", "for", "label", "how", "by", ""];
        output::table(&columns, found.iter().map(row).collect());
    }
    Ok(Outcome::done_if(!found.is_empty()))
}

fn status(place: &Place, json: bool) -> Ran {
    let store = Store::open(place)?;
    let mut rows = Vec::new();
    for scope in store.scopes()? {
        let samples = store.samples(&scope)?;
        let spam = samples.values().filter(|live| live.spam).count();
        let ham = samples.len() - spam;
        let full = usize::try_from(SAMPLES_FULL).unwrap_or(usize::MAX);
        let voice = (spam.min(ham) * 100 / full).min(100);
        let voice = if voice < 25 { 0 } else { voice };
        if json {
            output::json(
                &json!({"scope": scope, "spam": spam, "ham": ham, "voice_percent": voice}),
            );
        }
        let scope = if scope.is_empty() { "gateway".to_owned() } else { scope };
        rows.push(vec![scope, spam.to_string(), ham.to_string(), format!("{voice} %")]);
    }
    let some = !rows.is_empty();
    if !json {
        output::table(&["for", "spam", "ham", "voice"], rows);
    }
    Ok(Outcome::done_if(some))
}

/// Makes the model that is shipped: numbers only.
fn base(json: bool, out: &Path, ham: &[PathBuf], spam: &[PathBuf]) -> Ran {
    let mut mails: Vec<(bool, Features)> = Vec::new();
    for (dirs, spam) in [(ham, false), (spam, true)] {
        for dir in dirs {
            for file in files(dir)? {
                let found = read::mails(&file).map_err(|why| Failure::new(file.display(), why))?;
                mails.extend(found.into_iter().map(|mail| (spam, mail.features)));
            }
        }
    }
    let samples: Vec<Sample<'_>> = mails
        .iter()
        .map(|(spam, mail)| Sample { spam: *spam, author: mail.author, features: &mail.list })
        .collect();
    let model = fit(&samples, BASE);
    std::fs::write(out, &model).map_err(|error| Failure::new(out.display(), error))?;
    let said = format!("{} mails, {} octets: {}", samples.len(), model.len(), out.display());
    Ok(output::said(json, Outcome::Done, said))
}
