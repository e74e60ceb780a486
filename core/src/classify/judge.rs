//! What models say of one mail, as findings with points.

use std::fmt::Write as _;

use smallvec::SmallVec;

use super::features::Features;
use super::likeness::Likeness;
use super::model::{Like, Model};
use crate::scan::finding::{Finding, FindingKind, MilliPoints};

/// Samples of each label from which on a model speaks.
const SAMPLES_MIN: u32 = 50;
/// Samples of each label from which on it speaks with its full voice.
pub const SAMPLES_FULL: u32 = 200;
/// What the shipped model adds at most: to a mail that somebody signed, and to one that nobody did. It has never seen a mail
/// of this site, and the mails that it was made of are of a time before signatures: what is written today and signed is
/// unlike them, and gets the points of one small sign.
const BASE_SIGNED_POINTS_MAX: MilliPoints = 1_000;
const BASE_POINTS_MAX: MilliPoints = 2_900;
/// Scores from which on it adds anything, and all of that. Short letters of today have 500 to 1,600, half of the spam of 2002 has
/// 5,500 and more.
const BASE_SPAM_SCORES: (i32, i32) = (500, 3_000);
/// What it takes off where a mail is all that people wrote to each other on lists, and the score from which on it is. Less says
/// nothing: of 791 phishing mails of 2022 to 2026 it called 589 ham, 82 of them by that much.
const BASE_POINTS_MIN: MilliPoints = -1_000;
const BASE_HAM_SCORE: i32 = -4_000;
/// Score from which on a mail is spam by its words alone, in thousandths; found by `sekisho eval`.
const SPAM_SCORE: i32 = 500;
const SPAM_POINTS: MilliPoints = 5_000;
const POINTS_MAX: MilliPoints = 7_500;
const POINTS_MIN: MilliPoints = -3_000;
/// Likeness to a sample, per cent, from which on it is another copy; and one that is nearly the same.
const LIKE_PERCENT: u32 = 70;
const SAME_PERCENT: u32 = 90;

/// Models that have a say, the nearest first to last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Models<'m> {
    /// Of the recipient's domain.
    pub domain: Option<Model<'m>>,
    /// Of the whole gateway.
    pub gateway: Option<Model<'m>>,
    /// Shipped.
    pub base: Option<Model<'m>>,
}

impl<'m> Models<'m> {
    /// Whether anybody has anything to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domain.is_none() && self.gateway.is_none() && self.base.is_none()
    }

    /// The model that says most about a mail with these features, for explaining.
    #[must_use]
    pub fn loudest(&self, features: &[u32]) -> Option<Model<'m>> {
        let (voices, left) = self.voices(features);
        let trained = voices.iter().max_by_key(|voice| voice.share);
        let trained = trained.filter(|one| one.share >= left || self.base.is_none());
        trained.map(|voice| voice.model).or(self.base)
    }

    /// What the trained models say, the nearest first, and the thousandths of the say that are left to the shipped one.
    /// A model that knows less of a mail leaves the rest to the next; where nothing is left, nobody else is asked.
    fn voices(&self, features: &[u32]) -> (SmallVec<[Voice<'m>; 2]>, i32) {
        let (mut voices, mut left) = (SmallVec::new(), 1000);
        for (model, name) in [(self.domain, "domain"), (self.gateway, "gateway")] {
            let Some(model) = model.filter(|model| left > 0 && voice(model) > 0) else { continue };
            let said = model.say(features);
            let share = voice(&model) * said.familiar / 1000 * left / 1000;
            left -= share;
            voices.push(Voice { model, name, score: said.score, share });
        }
        (voices, left)
    }
}

/// One of several models that are asked.
struct Voice<'m> {
    model: Model<'m>,
    name: &'static str,
    score: i32,
    /// Thousandths of the say.
    share: i32,
}

/// How much of the say a model has, in thousandths.
fn voice(model: &Model<'_>) -> i32 {
    let samples = model.samples_min();
    if samples < SAMPLES_MIN {
        return 0;
    }
    i32::try_from(samples.min(SAMPLES_FULL) * 1000 / SAMPLES_FULL).unwrap_or(1000)
}

/// Points of a score. Steep around the middle, where the words of a mail decide; flat at both ends,
/// so that no number of words outweighs everything else.
fn points(score: i32) -> MilliPoints {
    let points = if score <= 0 {
        score
    } else if score < SPAM_SCORE {
        score * SPAM_POINTS / SPAM_SCORE
    } else {
        SPAM_POINTS + (score - SPAM_SCORE) * 8 / 10
    };
    points.clamp(POINTS_MIN, POINTS_MAX)
}

/// Findings of the models about a mail. `suspect_points` is the domain's threshold: the shipped
/// model alone stays below it.
#[must_use]
pub fn findings(
    features: &Features,
    models: &Models<'_>,
    suspect_points: MilliPoints,
) -> Vec<Finding> {
    let mut out = Vec::new();
    if features.is_empty() {
        return out;
    }
    let (voices, left) = models.voices(&features.list);
    let (mut sum, mut who) = (0, String::new());
    for Voice { model, name, score, share } in voices {
        sum += points(score) * share / 1000;
        let _ = write!(who, "model of the {name}, {} spam and {} ham", model.spam, model.ham);
        if share < 1000 {
            let _ = write!(who, " ({} % of the say)", share / 10);
        }
        who.push_str("; ");
    }
    // It was made of English mail.
    if let Some(base) = models.base.filter(|_| left > 0 && !features.japanese) {
        sum += base_points(&base, features, suspect_points) * left / 1000;
        who.push_str("shipped model; ");
    }
    if let Some(rule) = rule(sum) {
        let detail = format!("{who}{} features", features.list.len());
        out.push(finding(rule, sum, &detail));
    }
    out.extend(likeness(features, models));
    out
}

/// What the shipped model gives.
fn base_points(base: &Model<'_>, features: &Features, suspect_points: MilliPoints) -> MilliPoints {
    let max = if features.signed { BASE_SIGNED_POINTS_MAX } else { BASE_POINTS_MAX };
    let max = max.min(suspect_points.saturating_sub(1)).max(0);
    match base.say(&features.list).score {
        ..=BASE_HAM_SCORE => BASE_POINTS_MIN,
        score => {
            let (from, full) = BASE_SPAM_SCORES;
            max * (score - from).clamp(0, full - from) / (full - from)
        }
    }
}

/// Names by the odds that the points stand for, per cent; none where they say nothing.
fn rule(points: MilliPoints) -> Option<&'static str> {
    Some(match points {
        4_600.. => "CLASSIFIER_SPAM_99",
        2_950.. => "CLASSIFIER_SPAM_95",
        1_390.. => "CLASSIFIER_SPAM_80",
        100.. => "CLASSIFIER_SPAM_50",
        -99..100 => return None,
        -1_389..-99 => "CLASSIFIER_HAM_50",
        -2_949..-1_389 => "CLASSIFIER_HAM_20",
        _ => "CLASSIFIER_HAM_05",
    })
}

/// A mail like one that somebody reported counts from the first report on.
fn likeness(features: &Features, models: &Models<'_>) -> Option<Finding> {
    if models.domain.is_none() && models.gateway.is_none() {
        return None;
    }
    let own = Likeness::of(&features.list);
    let find = |model: Option<Model<'_>>| {
        let like = model?.like(&own, features.author)?;
        // Whoever copies a mail that was released must also write as its author, which is checked.
        (like.percent >= LIKE_PERCENT && (like.spam || like.same_author)).then_some(like)
    };
    let Like { spam, percent, .. } = find(models.domain).or_else(|| find(models.gateway))?;
    let (rule, points) = match (spam, percent >= SAME_PERCENT) {
        (true, true) => ("TRAINED_SPAM", 5_000),
        (true, false) => ("TRAINED_SPAM", 3_000),
        (false, true) => ("TRAINED_HAM", -6_000),
        (false, false) => ("TRAINED_HAM", -3_000),
    };
    let label = if spam { "spam" } else { "not spam" };
    Some(finding(rule, points, &format!("{percent} % like a mail reported as {label}")))
}

fn finding(rule: &str, points: MilliPoints, detail: &str) -> Finding {
    let (kind, log_only) = (FindingKind::Spam, false);
    Finding { kind, rule: rule.into(), points, detail: detail.into(), log_only }
}
