//! `eval DIR...`: how well the judgement tells spam from ham, by labelled folders.
//!
//! Each mail is judged by the newest generation's rules and lists and a model that was fitted to the other folds,
//! as a domain's own model would be. The shipped model has no say: it may have been made of the same
//! mails. Folds are chosen by a fixed seed, and copies of one mail are in one fold. Nothing is changed
//! and no engine is asked; the DNS about the senders only with `--dns` or `--zone`.

mod corpus;
mod folds;
mod measure;
mod roc;
mod weights;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::Path;

use sekisho_core::classify::Model;
use sekisho_core::verdict::Weights;
use serde_json::{Value, json};

use self::corpus::Corpus;
use self::measure::{Judged, Point, Row};
use crate::arguments::EvalArguments;
use crate::check::Judge;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown};
use crate::place::Place;
use crate::publish::{position, progress_bar};
use crate::quarantine::points;
use crate::tables;

/// Choice of the folds.
const SEED: u64 = 20_030_228;
/// Threads that fit.
const THREADS: usize = 2;
/// Contributions of a mail that are told.
const STORY_MAX: usize = 8;

/// Runs `eval`.
pub(crate) fn run(place: &Place, json: bool, arguments: &EvalArguments) -> Ran {
    let snapshot = tables::in_force(place)?;
    let settings = Judge::new(&snapshot, None, &arguments.as_check())?.settings;
    let weights = &settings.weights;
    let corpus = Corpus::read(&snapshot, arguments)?;
    let count = usize::from(arguments.folds);
    let fold_of = folds::folds(&corpus, count, SEED);
    let judged = cross(&corpus, &fold_of, count, weights)?;
    let (old, new) = folds::by_time(&corpus);
    let model = folds::model(old.iter().filter_map(|index| corpus.mails.get(*index)));
    let later = measure::judge(&corpus, &new, Model::open(&model), weights);
    let curve = measure::curve(&corpus, &judged);
    if let Some(file) = &arguments.roc {
        write(file, &roc::svg(&curve, weights.spam_points))?;
    }
    if let Some(file) = &arguments.scores {
        write(file, &scores(&corpus, &judged, &fold_of))?;
    }
    let threshold = f64::from(weights.spam_points) / 1000.0;
    let fitted = arguments.fit.then(|| weights::fit(&corpus, &judged, &fold_of, threshold));
    if json {
        let mut all = to_json(&corpus, &judged, &later, &curve);
        if let Value::Object(fields) = &mut all {
            fields.insert("rules".to_owned(), rules_json(&corpus, &judged, weights));
            fields.insert("fitted".to_owned(), fitted.as_ref().map_or(Value::Null, fitted_json));
        }
        output::json(&all);
        return Ok(Outcome::Done);
    }
    output::words(format_args!(
        "{} mails, {count} folds, seed {SEED}; the model of each fold is fitted to the others; the \
         shipped model has no say",
        corpus.mails.len()
    ));
    show_matrix("ten-fold", &corpus, &judged, count);
    show_curve(&curve, weights);
    show_matrix("by time: learned from the oldest 70 % of each label", &corpus, &later, 0);
    show_rules(&corpus, &judged, weights);
    show_wrong(&corpus, &judged, &fold_of);
    if let Some(fitted) = fitted {
        show_fitted(&fitted);
    }
    Ok(Outcome::Done)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = std::fs::File::create(file).and_then(|mut open| open.write_all(text.as_bytes()));
    written.map_err(|error| Failure::new(file.display(), error))
}

/// Judges each mail by a model of the other folds.
fn cross(
    corpus: &Corpus,
    fold_of: &[usize],
    count: usize,
    weights: &Weights,
) -> Result<Vec<Judged>, Failure> {
    let bar = progress_bar();
    position(&bar, "folds", 0, Some(count as u64));
    let one = |fold: usize| {
        let other = corpus.mails.iter().zip(fold_of).filter(|(_, of)| **of != fold);
        let model = folds::model(other.map(|(mail, _)| mail));
        let own = fold_of.iter().enumerate().filter(|(_, of)| **of == fold);
        let own: Vec<usize> = own.map(|(index, _)| index).collect();
        bar.inc(1);
        measure::judge(corpus, &own, Model::open(&model), weights)
    };
    let one = &one;
    let mut judged: Vec<Judged> = std::thread::scope(|scope| {
        let run = |first: usize| {
            move || (first..count).step_by(THREADS).flat_map(one).collect::<Vec<_>>()
        };
        let started: Vec<_> = (0..THREADS).map(|first| scope.spawn(run(first))).collect();
        let lost = |_| Failure::new("eval", "a thread that fitted a model panicked");
        let joined = started.into_iter().map(|thread| thread.join().map_err(lost));
        joined.collect::<Result<Vec<_>, _>>().map(|parts| parts.into_iter().flatten().collect())
    })?;
    bar.finish_and_clear();
    judged.sort_by_key(|judged| judged.mail);
    Ok(judged)
}

/// A line for each mail, for setting another filter beside it.
fn scores(corpus: &Corpus, judged: &[Judged], fold_of: &[usize]) -> String {
    let mut out = String::from("fold\tlabel\tpoints\tclass\tfile\n");
    for one in judged {
        let Some(mail) = corpus.mails.get(one.mail) else { continue };
        let fold = fold_of.get(one.mail).copied().unwrap_or_default();
        let (label, total) = (label(mail.spam), points(one.verdict.points));
        let class = one.verdict.main_class.name();
        out.push_str(&format!("{fold}\t{label}\t{total}\t{class}\t{}\n", mail.file.display()));
    }
    out
}

fn label(spam: bool) -> &'static str {
    if spam { "spam" } else { "ham" }
}

fn show_matrix(title: &str, corpus: &Corpus, judged: &[Judged], folds: usize) {
    let title = if folds == 0 { title.to_owned() } else { format!("{folds} folds") };
    output::data(format_args!("\n{title}"));
    let row = |((name, spam), row): (&(String, bool), Row)| {
        let what = if *spam { "caught" } else { "false positives" };
        vec![
            name.clone(),
            row.mails.to_string(),
            row.passed.to_string(),
            row.unsure.to_string(),
            row.graymail.to_string(),
            row.caught.to_string(),
            format!("{what} {}", measure::rate(row.caught, row.mails)),
        ]
    };
    let rows = corpus.folders.iter().zip(measure::matrix(corpus, judged)).map(row).collect();
    output::table(
        &["folder", "mails", "not spam", "unsure", "graymail", "spam", "rate (95 %)"],
        rows,
    );
}

/// The area under the curve, and what other thresholds would do.
fn show_curve(curve: &[Point], weights: &Weights) {
    output::data(format_args!("\narea under the curve {:.5}", measure::area(curve)));
    let (ham, spam) = curve.last().map_or((0, 0), |last| (last.ham, last.spam));
    let at = |threshold: i32| {
        let point = curve.iter().take_while(|point| point.points >= threshold).last();
        let (held, caught) = point.map_or((0, 0), |point| (point.ham, point.spam));
        let mark = if threshold == weights.spam_points { " = spam.points" } else { "" };
        vec![
            format!("{}{mark}", points(threshold)),
            format!("{held} {}", measure::rate(held, ham)),
            format!("{caught} {}", measure::rate(caught, spam)),
        ]
    };
    let mut thresholds: Vec<i32> = (1..=10).map(|whole| whole * 1000).collect();
    thresholds.push(weights.spam_points);
    thresholds.sort_unstable();
    thresholds.dedup();
    output::table(&["threshold", "ham", "spam"], thresholds.into_iter().map(at).collect());
}

fn show_rules(corpus: &Corpus, judged: &[Judged], weights: &Weights) {
    output::data(
        "\nrules: hits, average points, and mails that only this rule brought over the threshold",
    );
    let rows = measure::rules(corpus, judged, weights)
        .into_iter()
        .map(|row| {
            let points = points(i32::try_from(row.points).unwrap_or_default());
            let numbers = [row.ham, row.spam, row.cost, row.gain].map(|number| number.to_string());
            let [ham, spam, cost, gain] = numbers;
            vec![row.rule, ham, spam, points, cost, gain]
        })
        .collect();
    output::table(&["rule", "ham", "spam", "points", "ham held by it", "spam caught by it"], rows);
}

/// False positives, then false negatives, each with its story.
fn show_wrong(corpus: &Corpus, judged: &[Judged], fold_of: &[usize]) {
    for spam in [false, true] {
        output::data(if spam { "\nspam that was not caught" } else { "\nfalse positives" });
        for one in judged {
            let Some(mail) = corpus.mails.get(one.mail).filter(|mail| mail.spam == spam) else {
                continue;
            };
            if one.caught() != spam {
                let fold = fold_of.get(one.mail).copied().unwrap_or_default();
                output::data(format_args!("{} fold {fold}: {}", mail.file.display(), story(one)));
            }
        }
    }
}

/// Points, and what they are made of.
fn story(one: &Judged) -> String {
    let mut parts: Vec<_> =
        one.verdict.contributions.iter().filter(|part| part.points != 0).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.points.abs()));
    let told = parts
        .iter()
        .take(STORY_MAX)
        .map(|part| format!("{} {}", points(part.points), shown(&part.rule)));
    let told: Vec<String> = told.collect();
    format!("{} = {}", points(one.verdict.points), told.join(", "))
}

fn show_fitted(fitted: &weights::Fitted) {
    output::data(
        "\n# Fitted to these mails; nothing was changed. Hits, points now, points proposed.",
    );
    let (ham, spam) = fitted.now;
    output::data(format_args!("# now: {ham} ham held, {spam} spam caught"));
    let (ham, spam) = fitted.then;
    output::data(format_args!("# fitted to the other folds: {ham} ham held, {spam} spam caught"));
    output::data("[weights]");
    for (rule, hits, now, proposed) in &fitted.rules {
        output::data(format_args!("{rule:?} = {proposed:.1} # {hits}, now {now:.1}"));
    }
}

/// The table of rules: hits, mean points, and the mails that each decided about.
fn rules_json(corpus: &Corpus, judged: &[Judged], weights: &Weights) -> Value {
    let row = |row: measure::RuleRow| {
        json!({
            "rule": row.rule, "ham": row.ham, "spam": row.spam, "points": row.points,
            "ham_held_by_it": row.cost, "spam_caught_by_it": row.gain,
        })
    };
    measure::rules(corpus, judged, weights).into_iter().map(row).collect()
}

/// What fitting proposes.
fn fitted_json(fitted: &weights::Fitted) -> Value {
    type Rule = (String, usize, f64, f64);
    let rule = |(rule, hits, now, proposed): &Rule| json!({"rule": rule, "hits": hits, "now": now, "proposed": proposed});
    let counts = |(ham, spam): (u32, u32)| json!({"ham_held": ham, "spam_caught": spam});
    json!({
        "now": counts(fitted.now), "other_folds": counts(fitted.then),
        "weights": fitted.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn to_json(corpus: &Corpus, judged: &[Judged], later: &[Judged], curve: &[Point]) -> Value {
    let rows = |judged: &[Judged]| -> Vec<Value> {
        corpus
            .folders
            .iter()
            .zip(measure::matrix(corpus, judged))
            .map(|((name, spam), row)| {
                json!({
                    "folder": name, "label": label(*spam), "mails": row.mails,
                    "spam": row.caught, "unsure": row.unsure, "graymail": row.graymail, "not_spam": row.passed,
                    "interval": measure::interval(row.caught, row.mails),
                })
            })
            .collect()
    };
    let wrong = |spam: bool| -> Vec<Value> {
        judged
            .iter()
            .filter_map(|one| Some((one, corpus.mails.get(one.mail)?)))
            .filter(|(one, mail)| mail.spam == spam && one.caught() != spam)
            .map(|(one, mail)| {
                json!({
                    "file": mail.file.display().to_string(), "points": one.verdict.points,
                    "contributions": one.verdict.contributions,
                })
            })
            .collect()
    };
    json!({
        "mails": corpus.mails.len(), "seed": SEED, "folders": rows(judged), "by_time": rows(later),
        "area": measure::area(curve), "false_positives": wrong(false), "missed": wrong(true),
    })
}
