//! Figures of a judgement that is compared with labels.

use std::collections::BTreeMap;

use sekisho_core::classify::{Model, Models, findings};
use sekisho_core::scan::finding::MilliPoints;
use sekisho_core::verdict::{self, MainClass, Reason, Verdict, Weights};

use super::corpus::{Corpus, Mail};

/// What became of one mail.
pub(crate) struct Judged {
    /// Index of the mail.
    pub(crate) mail: usize,
    pub(crate) verdict: Verdict,
}

impl Judged {
    /// Held as spam by the presets: the class is at least Spam, and not for being bulk mail that was asked for.
    pub(crate) fn caught(&self) -> bool {
        let bad = [MainClass::Spam, MainClass::Phish, MainClass::Virus, MainClass::Blacklisted];
        bad.contains(&self.verdict.main_class) && !self.is_graymail()
    }

    fn is_graymail(&self) -> bool {
        self.verdict.reason == Some(Reason::Graymail)
    }
}

/// Judges some mails with a model of the domain and without the shipped one, which may have been made
/// of these very mails.
pub(crate) fn judge(
    corpus: &Corpus,
    mails: &[usize],
    model: Option<Model<'_>>,
    weights: &Weights,
) -> Vec<Judged> {
    let models = Models { domain: model, ..Models::default() };
    let one = |index: &usize| {
        let mail = corpus.mails.get(*index)?;
        let mut all = mail.findings.clone();
        all.extend(findings(&mail.features, &models, weights.suspect_points));
        let verdict = verdict::judge(&all, &mail.auth, weights, mail.list.clone());
        Some(Judged { mail: *index, verdict })
    };
    mails.iter().filter_map(one).collect()
}

/// One folder: mails, and how many got each class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) mails: u32,
    pub(crate) caught: u32,
    pub(crate) unsure: u32,
    pub(crate) graymail: u32,
    pub(crate) passed: u32,
}

/// The confusion matrix, a row for each folder.
pub(crate) fn matrix(corpus: &Corpus, judged: &[Judged]) -> Vec<Row> {
    let mut rows = vec![Row::default(); corpus.folders.len()];
    for one in judged {
        let folder = corpus.mails.get(one.mail).map_or(0, |mail| mail.folder);
        let Some(row) = rows.get_mut(folder) else { continue };
        row.mails += 1;
        if one.caught() {
            row.caught += 1;
        } else if one.is_graymail() {
            row.graymail += 1;
        } else if one.verdict.main_class == MainClass::Unsure {
            row.unsure += 1;
        } else {
            row.passed += 1;
        }
    }
    rows
}

/// Wilson's interval of a share at 95 %, per cent.
pub(crate) fn interval(part: u32, all: u32) -> (f64, f64) {
    if all == 0 {
        return (0.0, 100.0);
    }
    let (z, count) = (1.96_f64, f64::from(all));
    let share = f64::from(part) / count;
    let middle = share + z * z / (2.0 * count);
    let spread = z * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
    let whole = 1.0 + z * z / count;
    (100.0 * ((middle - spread) / whole).max(0.0), 100.0 * ((middle + spread) / whole).min(1.0))
}

/// A share in words: `0.08 % (0.02 to 0.29)`.
pub(crate) fn rate(part: u32, all: u32) -> String {
    let (low, high) = interval(part, all);
    let share = 100.0 * f64::from(part) / f64::from(all.max(1));
    format!("{share:.2} % ({low:.2} to {high:.2})")
}

/// A point of the curve: mails of each label at or above a number of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) points: MilliPoints,
    pub(crate) ham: u32,
    pub(crate) spam: u32,
}

/// The curve, from the highest points down.
pub(crate) fn curve(corpus: &Corpus, judged: &[Judged]) -> Vec<Point> {
    let mut by_points: BTreeMap<MilliPoints, (u32, u32)> = BTreeMap::new();
    for one in judged {
        let counts = by_points.entry(one.verdict.points).or_default();
        if corpus.mails.get(one.mail).is_some_and(|mail| mail.spam) {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
    }
    let (mut ham, mut spam) = (0, 0);
    by_points
        .into_iter()
        .rev()
        .map(|(points, (more_ham, more_spam))| {
            ham += more_ham;
            spam += more_spam;
            Point { points, ham, spam }
        })
        .collect()
}

/// Share of all pairs of a spam and a ham in which the spam has more points; half for as many.
pub(crate) fn area(curve: &[Point]) -> f64 {
    let Some(last) = curve.last() else { return 0.0 };
    let (mut sum, mut before) = (0.0, (0_u32, 0_u32));
    for point in curve {
        let ham = f64::from(point.ham - before.0);
        sum += ham * (f64::from(before.1) + f64::from(point.spam - before.1) / 2.0);
        before = (point.ham, point.spam);
    }
    sum / (f64::from(last.ham) * f64::from(last.spam)).max(1.0)
}

/// What one rule did.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleRow {
    pub(crate) rule: String,
    pub(crate) ham: u32,
    pub(crate) spam: u32,
    /// Its points where it hit, on the average, in thousandths.
    pub(crate) points: i64,
    /// Ham that is caught and would not be without it.
    pub(crate) cost: u32,
    /// Spam that is caught and would not be without it.
    pub(crate) gain: u32,
}

/// What each rule did, the one that hit most first.
pub(crate) fn rules(corpus: &Corpus, judged: &[Judged], weights: &Weights) -> Vec<RuleRow> {
    let mut rows: BTreeMap<&str, RuleRow> = BTreeMap::new();
    for one in judged {
        let spam = corpus.mails.get(one.mail).is_some_and(|mail: &Mail| mail.spam);
        let points = one.verdict.points;
        for part in &one.verdict.contributions {
            let row = rows.entry(&part.rule).or_default();
            row.points += i64::from(part.points);
            let decided = part.counted
                && points >= weights.spam_points
                && points - part.points < weights.spam_points;
            if spam {
                row.spam += 1;
                row.gain += u32::from(decided);
            } else {
                row.ham += 1;
                row.cost += u32::from(decided);
            }
        }
    }
    let mut rows: Vec<RuleRow> = rows
        .into_iter()
        .map(|(rule, row)| {
            let points = row.points / i64::from((row.ham + row.spam).max(1));
            RuleRow { rule: rule.to_owned(), points, ..row }
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.ham + row.spam));
    rows
}
