//! What the administrators of a mail's recipients look for in texts: which expressions, and where they
//! are looked for.

use std::rc::Rc;
use std::sync::Arc;

use super::recipient::Accepted;
use super::{Pipeline, Transaction};
use crate::classify::Reading;
use crate::policy::DomainSettings;
use crate::scan::content::{Cache, ContentSet, Expression, Needle};

/// Octets of all expressions of one mail: the domains of its recipients are the sender's choice. What
/// is beyond is not looked for, and the log says so.
const EXPRESSIONS_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The different settings of the recipients' domains that look for something in texts.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    settings: Vec<Arc<DomainSettings>>,
    /// There were more.
    pub(super) cut: bool,
    /// What the classifiers need that some domain asks.
    pub(super) reading: Reading,
}

impl Wanted {
    pub(super) fn of(transaction: &Transaction) -> Self {
        let mut wanted = Self::default();
        let mut last: Option<&Arc<DomainSettings>> = None;
        let mut domain: Option<&str> = None;
        let mut bytes = 0_usize;
        for accepted in &transaction.recipients {
            let settings = accepted.settings();
            if domain.is_none_or(|domain| *domain != *accepted.domain.name) {
                domain = Some(&accepted.domain.name);
                wanted.reading = wanted.reading.max(reading(transaction, accepted));
            }
            // Most mails have one domain, and most domains look for nothing.
            if last.is_some_and(|last| Arc::ptr_eq(last, settings)) {
                continue;
            }
            last = Some(settings);
            let known = wanted.settings.iter().any(|known| Arc::ptr_eq(known, settings));
            let expressions = settings.content_expressions();
            if known || expressions.is_empty() {
                continue;
            }
            let size: usize = expressions.iter().map(|one| size_of(one)).sum();
            if bytes.saturating_add(size) > EXPRESSIONS_BYTES_MAX {
                wanted.cut = true;
                continue;
            }
            bytes += size;
            wanted.settings.push(Arc::clone(settings));
        }
        wanted
    }

    /// As a worker gets them.
    pub(super) fn expressions(&self) -> Vec<Vec<Expression>> {
        let own = |settings: &Arc<DomainSettings>| {
            settings.content_expressions().into_iter().cloned().collect()
        };
        self.settings.iter().map(own).collect()
    }
}

/// What the classifier of this recipient's domain needs.
fn reading(transaction: &Transaction, accepted: &Accepted) -> Reading {
    if accepted.settings().classifier.enabled {
        transaction.snapshot.generation().reading(&accepted.domain.name)
    } else {
        Reading::Nothing
    }
}

/// Roughly the octets of an expression when it is written down.
fn size_of(expression: &Expression) -> usize {
    let of = |needle: &Needle| match needle {
        Needle::Words { words, .. } => words.iter().map(|word| word.len() + 8).sum(),
        Needle::Regex { expression, .. } => expression.len() * 2,
        Needle::Identifier(_) => 0,
    };
    let near = expression.near.as_ref().map_or(0, |near| of(&near.needle));
    400 + of(&expression.needle) + near
}

impl Pipeline {
    /// Compiled for this shard.
    pub(super) async fn content_sets(
        &self,
        wanted: &Wanted,
        pause: &impl AsyncFn(),
    ) -> Vec<Rc<ContentSet>> {
        let mut sets = Vec::with_capacity(wanted.settings.len());
        for settings in &wanted.settings {
            let expressions = settings.content_expressions();
            sets.push(Cache::set(&self.rooms().content, &expressions, pause).await);
        }
        sets
    }
}
