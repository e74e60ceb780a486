//! A fitted model as octets: what a table of a generation holds, and what is shipped with the program.
//!
//! | octets | what |
//! |---|---|
//! | 0..8 | magic `SEKIMDL3` |
//! | 8..16 | samples of spam, of ham |
//! | 16..20 | bias of the logistic half, in 4,096ths |
//! | 20..32 | slots, marks, bands: how many of each |
//! | 32..36 | thousandths of a usual sample's header features that other samples have, too; 0: not known |
//! | 36..40 | 0 |
//! | then | slots of 8: feature, evidence (1,024ths), weight (4,096ths); empty ones are 0 |
//! | then | marks of 136: label, author, likeness of one sample |
//! | then | bands of 8, ascending: key, index of the mark |
//!
//! Numbers are little-endian. Slots are an open hash table of a power of two, probed linearly from the place that the upper bits of
//! a feature name; at most six in ten are taken, so a feature that is not there costs about one line of the cache, and the
//! features of a mail, which are ascending, are looked up from one end of the table to the other.

use super::likeness::{BANDS, BINS, Likeness};

const MAGIC: &[u8; 8] = b"SEKIMDL3";
const HEAD_BYTES: usize = 40;
const SLOT_BYTES: usize = 8;
const MARK_BYTES: usize = 8 + 2 * BINS;
/// Samples with a band in common that are compared: many copies of one mail are one mail.
const CANDIDATES_MAX: usize = 24;
/// Features that the Bayes half listens to: the strongest.
const HEARD_MAX: usize = 150;
/// Evidence below this says nothing, in 1,024ths.
const HEARD_MIN: u16 = 415;
/// How much of the Bayes half goes into the sum, and its bound: it corrects, it does not decide.
const BAYES_SHARE: f64 = 0.02;
const BAYES_BOUND: f64 = 10.0;

/// How much of a mail's header features a model must know, in thousandths of what it knows of its own samples: from the
/// first on it has a say, from the second on its whole. What mailers write tells one time and place from another, whatever
/// the words.
const FAMILIAR_MIN: i32 = 550;
const FAMILIAR_FULL: i32 = 750;
/// Header features from which on there is something to compare.
const FAMILIAR_FEATURES_MIN: u32 = 20;

/// Classes of features; see `Place::mark`.
pub(super) const CLASSES: usize = 5;
/// The class of what the header section has.
pub(super) const HEADER: usize = 0;
/// The class of relations.
pub(super) const RELATIONS: usize = 4;
/// How loud each class speaks, and learns. Relations are few, and each says more than a word: as loud as one of
/// eight words, when there are thirty of them.
pub(super) const LOUDNESS: [f64; CLASSES] = [1.0, 1.0, 1.0, 1.0, 2.0];

/// The class of a feature.
pub(super) fn class(feature: u32) -> usize {
    feature as usize & 7
}

/// Unit of a weight.
pub(super) const WEIGHT_ONE: f64 = 4096.0;
/// Unit of the evidence of one feature.
pub(super) const EVIDENCE_ONE: f64 = 1024.0;

/// What a feature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub feature: u32,
    /// `ln(p / (1 - p))` of being spam, in 1,024ths.
    pub evidence: i16,
    /// Weight of the logistic half, in 4,096ths.
    pub weight: i16,
}

/// One sample, for likeness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub spam: bool,
    pub author: u32,
    pub likeness: Likeness,
}

/// A model in memory that somebody else owns.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m> {
    /// Samples of spam and of ham that it was fitted to.
    pub spam: u32,
    /// See `spam`.
    pub ham: u32,
    bias: i32,
    usual: i32,
    slots: &'m [[u8; SLOT_BYTES]],
    marks: &'m [[u8; MARK_BYTES]],
    bands: &'m [[u8; SLOT_BYTES]],
}

/// What a model says of a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How much the mail looks like spam: thousandths of a natural logarithm of odds, 0 where nothing is known.
    pub score: i32,
    /// How much the mail is like those that the model was made of, whatever their label: thousandths.
    pub familiar: i32,
}

/// A sample that is like a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Like {
    /// It was spam.
    pub spam: bool,
    /// The author's domain is the same.
    pub same_author: bool,
    /// How much of both is the same, per cent.
    pub percent: u32,
}

impl<'m> Model<'m> {
    /// Reads the head and checks the lengths. `None`: no model of this format.
    #[must_use]
    pub fn open(octets: &'m [u8]) -> Option<Self> {
        let (head, rest) = octets.split_at_checked(HEAD_BYTES)?;
        let (magic, numbers) = head.split_at_checked(MAGIC.len())?;
        let (numbers, _) = numbers.as_chunks::<4>();
        let at = |index: usize| numbers.get(index).copied().map(u32::from_le_bytes);
        let (spam, ham, bias) = (at(0)?, at(1)?, at(2)?.cast_signed());
        let (slots, marks, bands) = (at(3)? as usize, at(4)? as usize, at(5)? as usize);
        let usual = i32::try_from(at(6)?).ok().filter(|usual| *usual <= 1000)?;
        let (slot_octets, rest) = rest.split_at_checked(slots.checked_mul(SLOT_BYTES)?)?;
        let (mark_octets, band_octets) = rest.split_at_checked(marks.checked_mul(MARK_BYTES)?)?;
        let whole = band_octets.len() == bands.checked_mul(SLOT_BYTES)?;
        if magic != MAGIC || !slots.is_power_of_two() || !whole {
            return None;
        }
        let (slots, _) = slot_octets.as_chunks();
        let (marks, _) = mark_octets.as_chunks();
        let (bands, _) = band_octets.as_chunks();
        Some(Self { spam, ham, bias, usual, slots, marks, bands })
    }

    /// The smaller of both numbers of samples.
    #[must_use]
    pub fn samples_min(&self) -> u32 {
        self.spam.min(self.ham)
    }

    /// What is known of a feature.
    fn find(&self, feature: u32) -> Option<Slot> {
        let mask = self.slots.len() - 1;
        let mut at = place(feature, self.slots.len());
        for _ in 0..self.slots.len() {
            let slot = read_slot(self.slots.get(at)?);
            if slot.feature == feature {
                return Some(slot);
            }
            if slot.feature == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// What it says of the mail with `features`.
    #[must_use]
    pub fn say(&self, features: &[u32]) -> Said {
        let (mut sums, mut counts) = ([0_i64; CLASSES], [0_u32; CLASSES]);
        let mut heard: Vec<i16> = Vec::with_capacity(features.len());
        for slot in features.iter().filter_map(|feature| self.find(*feature)) {
            let class = class(slot.feature);
            if let (Some(sum), Some(count)) = (sums.get_mut(class), counts.get_mut(class)) {
                *sum += i64::from(slot.weight);
                *count += 1;
            }
            if slot.evidence.unsigned_abs() >= HEARD_MIN {
                heard.push(slot.evidence);
            }
        }
        let familiar = self.familiar(features, counts);
        if counts == [0; CLASSES] {
            return Said { score: 0, familiar };
        }
        let logistic: f64 = sums
            .iter()
            .zip(counts)
            .zip(LOUDNESS)
            .map(|((sum, count), loud)| loud * share(*sum, count))
            .sum();
        let bias = f64::from(self.bias) / WEIGHT_ONE;
        let score = thousandths(bias + logistic + BAYES_SHARE * bayes(&mut heard));
        Said { score, familiar }
    }

    /// How much a mail is like the samples, by its header features: all of them, and those that are `known`.
    fn familiar(&self, features: &[u32], known: [u32; CLASSES]) -> i32 {
        let all = features.iter().filter(|feature| class(**feature) == HEADER).count();
        let (all, known) = (u32::try_from(all).unwrap_or(u32::MAX), known.get(HEADER).copied());
        if self.usual == 0 || all < FAMILIAR_FEATURES_MIN {
            return 1000;
        }
        let share = i32::try_from(u64::from(known.unwrap_or(0)) * 1000 / u64::from(all));
        let share = share.unwrap_or(0) * 1000 / self.usual;
        ((share - FAMILIAR_MIN) * 1000 / (FAMILIAR_FULL - FAMILIAR_MIN)).clamp(0, 1000)
    }

    /// The strongest features of a mail for and against, with their share of the score in thousandths.
    pub fn strongest<'t>(&self, features: &'t [(u32, String)], most: usize) -> Vec<(&'t str, i32)> {
        let mut counts = [0_u32; CLASSES];
        let known: Vec<(&str, Slot)> = features
            .iter()
            .filter_map(|(feature, text)| Some((text.as_str(), self.find(*feature)?)))
            .collect();
        for (_, slot) in &known {
            if let Some(count) = counts.get_mut(class(slot.feature)) {
                *count += 1;
            }
        }
        let mut found: Vec<(&str, i32)> = known
            .iter()
            .map(|(text, slot)| {
                let class = class(slot.feature);
                let count = counts.get(class).copied().unwrap_or(1);
                let loud = LOUDNESS.get(class).copied().unwrap_or(1.0);
                (*text, thousandths(loud * share(slot.weight.into(), count)))
            })
            .collect();
        found.sort_by_key(|(text, share)| (std::cmp::Reverse(share.abs()), *text));
        found.truncate(most);
        found
    }

    /// The sample that is most like a mail.
    #[must_use]
    pub fn like(&self, likeness: &Likeness, author: u32) -> Option<Like> {
        let mut best: Option<Like> = None;
        for key in likeness.bands() {
            let from = self.bands.partition_point(|band| read_band(band).0 < key);
            let same = self.bands.iter().skip(from).map(read_band);
            for (_, index) in same.take_while(|band| band.0 == key).take(CANDIDATES_MAX) {
                let Some(mark) = self.marks.get(index as usize).map(read_mark) else { continue };
                let percent = likeness.percent(&mark.likeness);
                let same_author = author != 0 && mark.author == author;
                let like = Like { spam: mark.spam, same_author, percent };
                // Of two that are as like, the word of a person that it is not spam counts.
                let order = |like: &Like| (like.percent, like.same_author, !like.spam);
                if best.as_ref().is_none_or(|best| order(&like) > order(best)) {
                    best = Some(like);
                }
            }
        }
        best
    }
}

/// The share of features of one class: divided so that a long mail does not shout.
fn share(sum: i64, count: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "4,096 features of 16 bits are 28 bits")]
    let sum = sum as f64 / WEIGHT_ONE;
    if count == 0 { 0.0 } else { sum / f64::from(count).sqrt() }
}

/// Fisher's way of combining, for probabilities of both sides at once: the sum of the logarithms of the odds over
/// the root of their number, which is what its chi-square comes to for many.
fn bayes(heard: &mut Vec<i16>) -> f64 {
    if heard.len() > HEARD_MAX {
        heard.select_nth_unstable_by_key(HEARD_MAX, |evidence| {
            (std::cmp::Reverse(evidence.unsigned_abs()), *evidence)
        });
        heard.truncate(HEARD_MAX);
    }
    let sum: i64 = heard.iter().map(|evidence| i64::from(*evidence)).sum();
    let count = u32::try_from(heard.len().max(1)).unwrap_or(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "150 times 16 bits")]
    let sum = 2.0 * sum as f64 / EVIDENCE_ONE;
    (sum / f64::from(count).sqrt()).clamp(-BAYES_BOUND, BAYES_BOUND)
}

/// Thousandths, bounded.
#[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
fn thousandths(value: f64) -> i32 {
    (value * 1000.0).clamp(-1.0e6, 1.0e6).round() as i32
}

/// Where a feature is looked for first.
fn place(feature: u32, slots: usize) -> usize {
    // Below the number of slots, which is a power of two of at most 32 bits.
    usize::try_from((u64::from(feature) * slots as u64) >> 32).unwrap_or(0)
}

fn read_slot(octets: &[u8; SLOT_BYTES]) -> Slot {
    let [a, b, c, d, e, f, g, h] = *octets;
    Slot {
        feature: u32::from_le_bytes([a, b, c, d]),
        evidence: i16::from_le_bytes([e, f]),
        weight: i16::from_le_bytes([g, h]),
    }
}

fn read_band(octets: &[u8; SLOT_BYTES]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *octets;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

fn read_mark(octets: &[u8; MARK_BYTES]) -> Mark {
    let (numbers, _) = octets.as_chunks::<4>();
    let at = |index: usize| numbers.get(index).copied().map_or(0, u32::from_le_bytes);
    let bins = octets.get(8..).unwrap_or_default();
    Mark { spam: at(0) == 1, author: at(1), likeness: Likeness::read(bins) }
}

/// Writes a model. `slots` in any order; each feature once. `usual`: see [`self`].
pub(super) fn write(
    samples: (u32, u32),
    bias: i32,
    usual: u32,
    slots: &[Slot],
    marks: &[Mark],
) -> Vec<u8> {
    let capacity = (slots.len() * 5 / 3 + 1).next_power_of_two();
    let mut table = vec![[0_u8; SLOT_BYTES]; capacity];
    let mut ordered: Vec<&Slot> = slots.iter().collect();
    ordered.sort_by_key(|slot| slot.feature);
    for slot in ordered {
        let mut at = place(slot.feature, capacity);
        while let Some(place) = table.get_mut(at) {
            if *place == [0; SLOT_BYTES] {
                let [a, b, c, d] = slot.feature.to_le_bytes();
                let ([e, f], [g, h]) = (slot.evidence.to_le_bytes(), slot.weight.to_le_bytes());
                *place = [a, b, c, d, e, f, g, h];
                break;
            }
            at = (at + 1) & (capacity - 1);
        }
    }
    let mut bands: Vec<(u32, u32)> = Vec::with_capacity(marks.len() * BANDS);
    for (mark, index) in marks.iter().zip(0_u32..) {
        bands.extend(mark.likeness.bands().map(|key| (key, index)));
    }
    bands.sort_unstable();
    let mut out = MAGIC.to_vec();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let head = [
        samples.0,
        samples.1,
        bias.cast_unsigned(),
        count(capacity),
        count(marks.len()),
        count(bands.len()),
        usual,
        0,
    ];
    out.extend(head.iter().flat_map(|number| number.to_le_bytes()));
    out.extend(table.iter().flatten());
    for mark in marks {
        out.extend_from_slice(&u32::from(mark.spam).to_le_bytes());
        out.extend_from_slice(&mark.author.to_le_bytes());
        mark.likeness.write(&mut out);
    }
    for (key, index) in bands {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&index.to_le_bytes());
    }
    out
}
