//! Points of rules, fitted to labels: a proposal for the operator, never put into force.
//!
//! Points are taken for log-odds around the threshold, so what is fitted is a logistic regression over hits whose
//! bias is the threshold. Each weight is drawn to what the rule has now: a rule that hit seldom keeps it.

use std::collections::BTreeMap;

use super::corpus::Corpus;
use super::measure::Judged;

/// Passes over the mails.
const PASSES: usize = 200;
const STEP: f64 = 0.2;
/// How strongly a weight is drawn to what it is now; in mails.
const HOLD: f64 = 5.0;
/// Bounds of a weight, in points.
const POINTS_MAX: f64 = 8.0;
/// A rule with fewer hits keeps its points.
const HITS_MIN: usize = 10;

/// Hits of one mail: rule and points in points.
struct Hits {
    fold: usize,
    spam: bool,
    rules: Vec<(usize, f64)>,
}

/// What fitting gives.
pub(crate) struct Fitted {
    /// Rule, hits, points now, points proposed.
    pub(crate) rules: Vec<(String, usize, f64, f64)>,
    /// Ham and spam at or above the threshold now, and with weights of the other folds.
    pub(crate) now: (u32, u32),
    pub(crate) then: (u32, u32),
}

/// Fits weights to what was judged; `fold_of` by mail.
pub(crate) fn fit(corpus: &Corpus, judged: &[Judged], fold_of: &[usize], threshold: f64) -> Fitted {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for part in judged.iter().flat_map(|one| &one.verdict.contributions) {
        let next = names.len();
        names.entry(&part.rule).or_insert(next);
    }
    let (mut sums, mut hits) = (vec![0.0; names.len()], vec![0_usize; names.len()]);
    let mut mails: Vec<Hits> = Vec::with_capacity(judged.len());
    for one in judged {
        let Some(mail) = corpus.mails.get(one.mail) else { continue };
        let mut rules = Vec::new();
        for part in one.verdict.contributions.iter().filter(|part| part.counted) {
            let Some(at) = names.get(&*part.rule).copied() else { continue };
            let points = f64::from(part.points) / 1000.0;
            rules.push((at, points));
            if let (Some(sum), Some(count)) = (sums.get_mut(at), hits.get_mut(at)) {
                *sum += points;
                *count += 1;
            }
        }
        let fold = fold_of.get(one.mail).copied().unwrap_or_default();
        mails.push(Hits { fold, spam: mail.spam, rules });
    }
    let now: Vec<f64> =
        sums.iter().zip(&hits).map(|(sum, count)| sum / (*count).max(1) as f64).collect();
    let folds = fold_of.iter().max().map_or(1, |last| last + 1);
    let mut counts = [(0, 0), (0, 0)];
    for fold in 0..folds {
        let shift = shifts(mails.iter().filter(|mail| mail.fold != fold), &hits, threshold);
        for mail in mails.iter().filter(|mail| mail.fold == fold) {
            let zero = vec![0.0; shift.len()];
            for (count, shift) in counts.iter_mut().zip([&zero, &shift]) {
                if score(mail, shift) >= threshold {
                    if mail.spam { count.1 += 1 } else { count.0 += 1 }
                }
            }
        }
    }
    let shift = shifts(mails.iter(), &hits, threshold);
    let rules = names
        .into_iter()
        .map(|(name, at)| {
            let old = now.get(at).copied().unwrap_or_default();
            let by = shift.get(at).copied().unwrap_or_default();
            let new = (old + by).clamp(-POINTS_MAX, POINTS_MAX);
            (name.to_owned(), hits.get(at).copied().unwrap_or_default(), old, new)
        })
        .collect();
    let [now, then] = counts;
    Fitted { rules, now, then }
}

/// Points of a mail when each rule's are shifted.
fn score(mail: &Hits, shift: &[f64]) -> f64 {
    mail.rules.iter().map(|(at, points)| points + shift.get(*at).copied().unwrap_or_default()).sum()
}

/// By how much each rule's points should move. Plain gradient descent over all mails at once: the same mails
/// give the same numbers.
fn shifts<'m>(
    mails: impl Iterator<Item = &'m Hits> + Clone,
    hits: &[usize],
    threshold: f64,
) -> Vec<f64> {
    let mut shift = vec![0.0; hits.len()];
    for _ in 0..PASSES {
        let mut slope = vec![0.0; hits.len()];
        for mail in mails.clone() {
            let odds = score(mail, &shift) - threshold;
            let wrong = 1.0 / (1.0 + (-odds).exp()) - if mail.spam { 1.0 } else { 0.0 };
            for (at, _) in &mail.rules {
                if let Some(slope) = slope.get_mut(*at) {
                    *slope += wrong;
                }
            }
        }
        for ((shift, slope), count) in shift.iter_mut().zip(&slope).zip(hits) {
            if *count >= HITS_MIN {
                let step = (slope + HOLD * *shift) / (*count as f64 / 4.0 + HOLD);
                *shift = (*shift - STEP * step).clamp(-POINTS_MAX, POINTS_MAX);
            }
        }
    }
    shift
}
