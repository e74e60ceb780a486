//! Which mails a model is made of and which it is tried on.

use std::collections::BTreeMap;

use sekisho_core::classify::{FitOptions, Sample, fit};

use super::corpus::{Corpus, Mail};

/// Share of the oldest mails that the split by time learns from, per cent.
const OLD_PERCENT: usize = 70;

/// The fold of each mail. Copies of one mail are in one fold; each fold has about as many mails of each
/// label; the same seed and mails give the same folds.
pub(crate) fn folds(corpus: &Corpus, count: usize, seed: u64) -> Vec<usize> {
    let mut members: BTreeMap<usize, (bool, usize)> = BTreeMap::new();
    for mail in &corpus.mails {
        members.entry(mail.group).or_insert((mail.spam, 0)).1 += 1;
    }
    let mut sizes: Vec<(usize, bool, usize)> =
        members.into_iter().map(|(group, (spam, members))| (group, spam, members)).collect();
    // The largest groups first, so that the small ones can even out.
    sizes.sort_by_key(|(group, _, members)| (std::cmp::Reverse(*members), mixed(*group, seed)));
    let mut filled = [vec![0_usize; count], vec![0_usize; count]];
    let mut fold_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (group, spam, members) in sizes {
        let Some(filled) = filled.get_mut(usize::from(spam)) else { continue };
        let least = filled.iter().copied().min().unwrap_or_default();
        let even: Vec<usize> = filled
            .iter()
            .enumerate()
            .filter(|(_, mails)| **mails == least)
            .map(|(at, _)| at)
            .collect();
        let pick = usize::try_from(mixed(group, !seed) % even.len().max(1) as u64).unwrap_or(0);
        let fold = even.get(pick).copied().unwrap_or_default();
        if let Some(mails) = filled.get_mut(fold) {
            *mails += members;
        }
        fold_of.insert(group, fold);
    }
    let of = |mail: &Mail| fold_of.get(&mail.group).copied().unwrap_or_default();
    corpus.mails.iter().map(of).collect()
}

/// A number for an order that looks like none.
fn mixed(index: usize, seed: u64) -> u64 {
    let mut value = (index as u64 ^ seed).wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

/// A model of these mails, as a domain would train it.
pub(crate) fn model<'m>(mails: impl Iterator<Item = &'m Mail>) -> Vec<u8> {
    let sample = |mail: &'m Mail| Sample {
        spam: mail.spam,
        author: mail.features.author,
        features: &mail.features.list,
    };
    let samples: Vec<Sample<'_>> = mails.map(sample).collect();
    fit(&samples, FitOptions::default())
}

/// The mails of the split by time: learned from, and tried on. Those without a date, and copies of what was learned
/// from, are in neither.
pub(crate) fn by_time(corpus: &Corpus) -> (Vec<usize>, Vec<usize>) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    // By label: in a collection, spam and ham need not be of the same months.
    for spam in [false, true] {
        let mut dated: Vec<(i64, usize)> = corpus
            .mails
            .iter()
            .enumerate()
            .filter(|(_, mail)| mail.spam == spam)
            .filter_map(|(index, mail)| Some((mail.date?, index)))
            .collect();
        dated.sort_unstable();
        let cut = dated.len() * OLD_PERCENT / 100;
        old.extend(dated.iter().take(cut).map(|(_, index)| *index));
        new.extend(dated.iter().skip(cut).map(|(_, index)| *index));
    }
    let group = |index: &usize| corpus.mails.get(*index).map(|mail| mail.group);
    let learned: std::collections::HashSet<_> = old.iter().map(group).collect();
    new.retain(|index| !learned.contains(&group(index)));
    (old, new)
}
