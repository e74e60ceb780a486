//! The trained classifier: features of a mail, models fitted to labelled mails, points with reasons.
//!
//! A model has two halves over the same features: Bayes' (what each feature says by itself; the strongest
//! are combined) and a logistic one (what they say together). Three models have a say: the shipped one, with
//! few points and none about Japanese text; one of the gateway; one of the recipient's domain. A nearer one
//! takes the say over as it gets samples, from 50 of each label on, wholly at 200. Below that, and beside it,
//! a mail counts that is nearly the same as one that was reported: from the first report on.
//!
//! It does not store samples (`sekisho train` does), read files, or decide. Everything is a function of its
//! arguments: the same samples in any order give the same octets of a model, the same model and mail the same
//! points.
//!
//! Bounds: at most [`FEATURES_MAX`] features of a mail (16 KiB), 2^18 of a model (4 MiB), one look-up each.

mod features;
mod fit;
mod fuzz;
mod headers;
mod judge;
mod likeness;
mod model;
mod relations;
#[cfg(test)]
mod tests;
mod text;

pub use features::{FEATURES_MAX, Features, Reading, features_with_texts};
pub use fit::{FitOptions, Sample, fit};
pub use fuzz::{fuzz_features, fuzz_model};
pub use judge::{Models, SAMPLES_FULL, findings};
pub use likeness::Likeness;
pub use model::{Like, Model, Said};

use std::sync::LazyLock;

/// Numbers only: features and weights, fitted to mails in the public domain by `sekisho train base`.
static BASE: &[u8] = include_bytes!("../../data/base-model.bin");

/// The shipped model.
#[must_use]
pub fn base() -> Option<Model<'static>> {
    static MODEL: LazyLock<Option<Model<'static>>> = LazyLock::new(|| Model::open(BASE));
    *MODEL
}
