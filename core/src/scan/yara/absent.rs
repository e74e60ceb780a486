//! A build without YARA.

use std::collections::HashSet;
use std::time::Duration;

use super::{MISSING, NotUsable, YaraSource};
use crate::message::View;
use crate::scan::finding::Finding;
use crate::scan::patterns::BuildReport;

/// Compiled rules that are ready to be looked for; there are none in this build.
#[derive(Debug)]
pub enum Yara {}

impl Yara {
    /// Never opens any.
    ///
    /// # Errors
    /// Always: [`MISSING`].
    pub fn open(_: &[u8], _: Box<dyn Fn() -> Duration>) -> Result<Self, String> {
        Err(MISSING.to_owned())
    }

    /// A mail begins.
    pub fn begin(&self) {
        match *self {}
    }

    /// Whether the time was over before all was looked at.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match *self {}
    }

    pub(in crate::scan) fn findings(&self, _: &View<'_>) -> Vec<Finding> {
        match *self {}
    }
}

/// Compiles nothing.
///
/// # Errors
/// Always: [`MISSING`].
pub fn build(
    _: &[YaraSource<'_>],
    _: &HashSet<String>,
    _: &mut BuildReport,
) -> Result<Option<(Vec<u8>, u64)>, String> {
    Err(MISSING.to_owned())
}

/// Whether a payload can be used here; never.
///
/// # Errors
/// Always: [`MISSING`].
pub fn checked(_: &[u8]) -> Result<u64, NotUsable> {
    Err(NotUsable::Damaged(MISSING.to_owned()))
}
