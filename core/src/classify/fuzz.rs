//! Entries for fuzzing: a model file that somebody bent, and features as a worker sends them.

use super::{Features, Likeness, Model, Models, findings};

/// Any octets as a model: what passes for one is asked, and may answer nonsense, but within its bounds. Number of
/// features that it knows.
///
/// # Panics
/// When points or shares are out of their bounds.
pub fn fuzz_model(octets: &[u8]) -> usize {
    let Some(model) = Model::open(octets) else { return 0 };
    // Its own features, so that they are found; they begin behind the head.
    let (words, _) = octets.get(40..).unwrap_or_default().as_chunks::<8>();
    let first = |slot: &[u8; 8]| slot.first_chunk::<4>().copied().map_or(0, u32::from_le_bytes);
    let mut list: Vec<u32> = words.iter().take(200).map(first).filter(|one| *one > 3).collect();
    list.sort_unstable();
    list.dedup();
    let named: Vec<(u32, String)> = list.iter().map(|one| (*one, one.to_string())).collect();
    let said = model.say(&list);
    assert!(said.score.abs() <= 1_000_000, "a score out of its bounds");
    assert!((0..=1000).contains(&said.familiar), "more than wholly alike");
    assert!(model.strongest(&named, 10).len() <= 10, "more words than asked for");
    let like = model.like(&Likeness::of(&list), 7);
    assert!(like.is_none_or(|like| like.percent <= 100), "more than the same");
    let features = Features { list, author: 7, ..Features::default() };
    for models in [
        Models { domain: Some(model), ..Models::default() },
        Models { gateway: Some(model), base: Some(model), ..Models::default() },
    ] {
        let _ = models.loudest(&features.list);
        for found in findings(&features, &models, 5_000) {
            assert!(found.points.abs() <= 100_000, "points out of their bounds");
        }
    }
    features.list.len()
}

/// Any text as features: they are what they were written as. 1 if they are some.
///
/// # Panics
/// When they are written otherwise than they were read.
pub fn fuzz_features(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text).into_owned();
    let Ok(features) = Features::try_from(text) else { return 0 };
    assert_eq!(Features::try_from(String::from(features.clone())).as_ref(), Ok(&features));
    let _ = features.id();
    1
}
