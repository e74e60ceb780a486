//! Fits a model to samples: the same samples in any order give the same octets.
//!
//! Both halves are made anew of all samples each time, so training a mail and taking it back leaves nothing
//! behind. Ten thousand samples take a second or two on one core.

use super::likeness::Likeness;
use super::model::{
    CLASSES, EVIDENCE_ONE, HEADER, LOUDNESS, Mark, RELATIONS, Slot, WEIGHT_ONE, class, write,
};

/// Features of one model: the most frequent ones.
const MODEL_FEATURES_MAX: usize = 1 << 18;
/// Mails that a feature must have been seen in.
const SEEN_MIN: u32 = 2;
/// Orders that the samples are taken in: by the order alone a mail on the border falls to one side or to the other,
/// less so by the mean of a few.
const ORDERS: u16 = 5;
/// Passes over the samples in each order.
const PASSES: usize = 15;
/// Step of the first pass; each weight's own steps shrink with what it was corrected by (AdaGrad).
const STEP: f32 = 0.2;
/// Step of the bias, which every sample moves.
const BIAS_STEP: f32 = 0.02;
/// Draws each weight towards nothing.
const DECAY: f32 = 1.0e-6;
/// Robinson's strength of the assumption that an unknown feature says nothing.
const PRIOR: f64 = 0.3;

/// One mail that somebody gave a label.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'s> {
    /// Spam, or not.
    pub spam: bool,
    /// Stands for the domain of the author.
    pub author: u32,
    /// Its features, ascending, without duplicates.
    pub features: &'s [u32],
}

/// How a model is written.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions {
    /// Mails that a feature must have been seen in.
    pub seen_min: u32,
    /// Features that are kept.
    pub features_max: usize,
    /// Whether it can say which sample a mail is like.
    pub marks: bool,
    /// Whether it knows how the pieces of a mail fit together. Where the shipped model alone is asked, nobody looks.
    pub relations: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { seen_min: SEEN_MIN, features_max: MODEL_FEATURES_MAX, marks: true, relations: true }
    }
}

/// A feature and the mails that have it.
#[derive(Clone, Copy)]
struct Seen {
    feature: u32,
    spam: u32,
    ham: u32,
}

/// Fits a model; see [`super::Model`] for what it makes.
#[must_use]
pub fn fit(samples: &[Sample<'_>], options: FitOptions) -> Vec<u8> {
    let mut samples: Vec<&Sample<'_>> = samples.iter().collect();
    samples.sort_by(|a, b| (a.features, a.spam).cmp(&(b.features, b.spam)));
    let spam = count(samples.iter().filter(|sample| sample.spam).count());
    let ham = count(samples.len()).saturating_sub(spam);
    let seen = seen(&samples, options);
    let (weights, bias) = logistic(&samples, &seen);
    let slots: Vec<Slot> = seen
        .iter()
        .zip(weights)
        .map(|(seen, weight)| Slot {
            feature: seen.feature,
            evidence: scaled(evidence(*seen, spam, ham), EVIDENCE_ONE),
            weight: scaled(weight.into(), WEIGHT_ONE),
        })
        .collect();
    let marks: Vec<Mark> = samples
        .iter()
        .filter(|_| options.marks)
        .map(|sample| Mark {
            spam: sample.spam,
            author: sample.author,
            likeness: Likeness::of(sample.features),
        })
        .collect();
    let usual = usual(&samples, &seen, options);
    write((spam, ham), scaled(bias.into(), WEIGHT_ONE).into(), usual, &slots, &marks)
}

/// Thousandths of the header features of a usual sample (the median) that a model without that sample would know.
fn usual(samples: &[&Sample<'_>], seen: &[Seen], options: FitOptions) -> u32 {
    let others = |feature: &u32| {
        let found = seen.binary_search_by_key(feature, |one| one.feature).ok();
        let found = found.and_then(|at| seen.get(at));
        found.is_some_and(|one| one.spam + one.ham > options.seen_min)
    };
    let mut shares: Vec<u32> = samples
        .iter()
        .map(|sample| {
            let header = || sample.features.iter().filter(|feature| class(**feature) == HEADER);
            let known = header().filter(|feature| others(feature)).count();
            count(known * 1000 / header().count().max(1))
        })
        .collect();
    shares.sort_unstable();
    shares.get(shares.len() / 2).copied().unwrap_or(0)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A value as a number of 16 bits.
#[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
fn scaled(value: f64, one: f64) -> i16 {
    (value * one).round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

/// Features that were seen often enough, ascending; the most frequent where there are too many.
fn seen(samples: &[&Sample<'_>], options: FitOptions) -> Vec<Seen> {
    let mut all: Vec<u64> = Vec::with_capacity(samples.iter().map(|one| one.features.len()).sum());
    for sample in samples {
        let label = u64::from(sample.spam);
        all.extend(sample.features.iter().map(|feature| u64::from(*feature) << 1 | label));
    }
    all.sort_unstable();
    let mut seen: Vec<Seen> = all
        .chunk_by(|a, b| a >> 1 == b >> 1)
        .map(|same| {
            let spam = count(same.iter().filter(|one| **one & 1 == 1).count());
            let feature = same.first().map_or(0, |one| one >> 1);
            Seen {
                feature: u32::try_from(feature).unwrap_or(0),
                spam,
                ham: count(same.len()).saturating_sub(spam),
            }
        })
        .filter(|one| one.spam + one.ham >= options.seen_min)
        .filter(|one| options.relations || class(one.feature) != RELATIONS)
        .collect();
    if seen.len() > options.features_max {
        seen.sort_by_key(|one| (std::cmp::Reverse(one.spam + one.ham), one.feature));
        seen.truncate(options.features_max);
        seen.sort_by_key(|one| one.feature);
    }
    seen
}

/// `ln(p / (1 - p))` that a mail with the feature is spam, if both were as frequent; Robinson's.
fn evidence(seen: Seen, spam: u32, ham: u32) -> f64 {
    let of_spam = f64::from(seen.spam) / f64::from(spam.max(1));
    let of_ham = f64::from(seen.ham) / f64::from(ham.max(1));
    let plain = of_spam / (of_spam + of_ham);
    let mails = f64::from(seen.spam + seen.ham);
    let sure = (PRIOR * 0.5 + mails * plain) / (PRIOR + mails);
    let sure = sure.clamp(0.001, 0.999);
    (sure / (1.0 - sure)).ln()
}

/// A generator whose numbers are the same everywhere.
struct Order(u64);

impl Order {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % (bound as u64).max(1)).unwrap_or(0)
    }
}

/// Weights of the logistic half, in the order of `seen`, and its bias: the mean over several orders.
fn logistic(samples: &[&Sample<'_>], seen: &[Seen]) -> (Vec<f32>, f32) {
    let known: Vec<Vec<u32>> = samples.iter().map(|sample| known(sample.features, seen)).collect();
    let (mut mean, mut mean_bias) = (vec![0.0_f32; seen.len()], 0.0_f32);
    for order in 0..ORDERS {
        let (weights, bias) = descend(samples, &known, seen, Order(12_345 + u64::from(order)));
        for (mean, weight) in mean.iter_mut().zip(weights) {
            *mean += weight / f32::from(ORDERS);
        }
        mean_bias += bias / f32::from(ORDERS);
    }
    (mean, mean_bias)
}

/// One descent, the samples in the order that `random` gives. `known`: the features of each as places in `seen`.
fn descend(
    samples: &[&Sample<'_>],
    known: &[Vec<u32>],
    seen: &[Seen],
    mut random: Order,
) -> (Vec<f32>, f32) {
    let class: Vec<u8> =
        seen.iter().map(|one| u8::try_from(class(one.feature)).unwrap_or_default()).collect();
    let (mut weights, mut moved) = (vec![0.0_f32; seen.len()], vec![1.0e-6_f32; seen.len()]);
    let mut bias = 0.0_f32;
    let mut order: Vec<usize> = (0..samples.len()).collect();
    for _ in 0..PASSES {
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        for index in &order {
            let (Some(sample), Some(known)) = (samples.get(*index), known.get(*index)) else {
                continue;
            };
            if known.is_empty() {
                continue;
            }
            let shares = shares(known, &class);
            let share = |at: u32| {
                let class = class.get(at as usize).copied().unwrap_or_default();
                shares.get(usize::from(class)).copied().unwrap_or_default()
            };
            let weight =
                |at: &u32| weights.get(*at as usize).copied().unwrap_or_default() * share(*at);
            let sum: f32 = bias + known.iter().map(weight).sum::<f32>();
            let wrong = 1.0 / (1.0 + (-sum).exp()) - if sample.spam { 1.0 } else { 0.0 };
            for at in known {
                let slot = weights.get_mut(*at as usize).zip(moved.get_mut(*at as usize));
                let Some((weight, moved)) = slot else { continue };
                let step = wrong * share(*at) + DECAY * *weight;
                *moved += step * step;
                *weight -= STEP * step / moved.sqrt();
            }
            bias -= BIAS_STEP * wrong;
        }
    }
    (weights, bias)
}

/// Places in `seen` of those features that are there; both ascending.
fn known(features: &[u32], seen: &[Seen]) -> Vec<u32> {
    let find = |feature: &u32| seen.binary_search_by_key(feature, |one| one.feature).ok();
    features.iter().filter_map(find).map(count).collect()
}

/// What one feature of each class counts in a mail.
fn shares(known: &[u32], class: &[u8]) -> [f32; CLASSES] {
    let mut counts = [0_u16; CLASSES];
    for at in known {
        let class = class.get(*at as usize).copied().unwrap_or_default();
        if let Some(count) = counts.get_mut(usize::from(class)) {
            *count += 1;
        }
    }
    let mut shares = counts.map(|count| 1.0 / f32::from(count.max(1)).sqrt());
    for (share, loud) in shares.iter_mut().zip(LOUDNESS) {
        #[expect(clippy::cast_possible_truncation, reason = "a small constant")]
        let loud = loud as f32;
        *share *= loud;
    }
    shares
}
