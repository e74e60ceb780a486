use std::collections::BTreeMap;

use sekisho_core::classify::Model;
use sekisho_core::policy::{self, ListDecision};
use sekisho_core::scan::finding::{Finding, FindingKind};

use super::corpus::{Corpus, Mail};
use super::{folds, measure, roc, weights};
use crate::train::features;

/// Mails of two topics; every tenth is a copy of the one before it.
fn corpus(each: usize) -> Corpus {
    let topics = [
        ["meeting", "report", "agenda", "minutes", "review", "patch", "lunch", "team"],
        ["winner", "prize", "claim", "lottery", "urgent", "million", "click", "offer"],
    ];
    let mut mails = Vec::new();
    for (folder, words) in topics.iter().enumerate() {
        for number in 0..each {
            let own = if number % 10 == 9 { number - 1 } else { number };
            let body: String = (0..80)
                .map(|at| {
                    format!(
                        "{}{} ",
                        words[(at * (own + 3) + at / 8) % 8],
                        if at % 3 == 0 { "." } else { "" }
                    )
                })
                .collect();
            let text =
                format!("From: a@{}.example\nSubject: {}\n\n{body}\n", words[0], words[own % 8]);
            let rule = Finding {
                kind: FindingKind::Spam,
                rule: "TOPIC".into(),
                points: 1_000,
                detail: "".into(),
                log_only: false,
            };
            mails.push(Mail {
                file: format!("{folder}/{number}.eml").into(),
                folder,
                spam: folder == 1,
                features: features(text.as_bytes()).unwrap(),
                findings: if folder == 1 && number % 2 == 0 { vec![rule] } else { Vec::new() },
                list: ListDecision::None,
                auth: Vec::new(),
                date: i64::try_from(number).ok(),
                group: 0,
            });
        }
    }
    let folders = vec![("ham".to_owned(), false), ("spam".to_owned(), true)];
    let mut corpus = Corpus { folders, mails };
    corpus.find_copies();
    corpus
}

#[test]
fn copies_are_in_one_fold_and_the_same_seed_gives_the_same_folds() {
    let corpus = corpus(100);
    let fold_of = folds::folds(&corpus, 5, 7);
    assert_eq!(fold_of, folds::folds(&corpus, 5, 7));
    let mut of_group: BTreeMap<usize, usize> = BTreeMap::new();
    for (mail, fold) in corpus.mails.iter().zip(&fold_of) {
        assert_eq!(of_group.entry(mail.group).or_insert(*fold), fold, "{}", mail.file.display());
    }
    assert_eq!(corpus.mails[9].group, corpus.mails[8].group);
}

#[test]
fn a_model_of_the_other_folds_tells_two_topics_apart() {
    let corpus = corpus(260);
    let settings = policy::preset(policy::Profile::default());
    let (old, new) = folds::by_time(&corpus);
    let model = folds::model(corpus.mails.iter());
    let all: Vec<usize> = (0..corpus.mails.len()).collect();
    let judged = measure::judge(&corpus, &all, Model::open(&model), &settings.weights);
    let rows = measure::matrix(&corpus, &judged);
    assert_eq!((rows[0].mails, rows[0].caught), (260, 0));
    assert!(rows[1].caught > 250, "{:?}", rows[1]);
    let curve = measure::curve(&corpus, &judged);
    assert!(measure::area(&curve) > 0.99);
    let svg = roc::svg(&curve, settings.weights.spam_points);
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    let rules = measure::rules(&corpus, &judged, &settings.weights);
    let topic = rules.iter().find(|row| row.rule == "TOPIC").unwrap();
    assert_eq!((topic.ham, topic.spam, topic.points), (0, 130, 1_000));
    // Nothing is learned from what is tried.
    assert!(old.iter().all(|index| !new.contains(index)));
    let without = measure::judge(&corpus, &all, None, &settings.weights);
    assert!(without.iter().all(|one| one.verdict.points <= 1_000));
    let fitted = weights::fit(&corpus, &without, &folds::folds(&corpus, 5, 7), 5.0);
    let (_, hits, now, proposed) = fitted.rules.iter().find(|rule| rule.0 == "TOPIC").unwrap();
    assert_eq!((*hits, *now), (130, 1.0));
    assert!(*proposed > 2.0, "a rule that only hits spam is worth more: {proposed}");
}

#[test]
fn intervals_hold_the_share_and_shrink_with_the_number() {
    for (part, all) in [(0, 10), (1, 10), (10, 10), (5, 500)] {
        let (low, high) = measure::interval(part, all);
        let share = 100.0 * f64::from(part) / f64::from(all);
        assert!(low <= share + 1e-9 && share <= high + 1e-9 && high - low < 40.0, "{part}/{all}");
    }
    assert_eq!(measure::interval(0, 0), (0.0, 100.0));
}
