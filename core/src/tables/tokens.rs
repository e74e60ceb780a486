//! Models of the classifier that this site trained (table `tokens`).

use rkyv::{Archive, Serialize};

use crate::classify::Model;

/// The table.
#[derive(Debug, Default, Archive, Serialize)]
pub(super) struct TokensTable {
    /// Ascending by scope.
    pub models: Vec<TokensRow>,
}

/// One model.
#[derive(Clone, Debug, Archive, Serialize)]
pub(super) struct TokensRow {
    /// Name of a domain; empty for the gateway.
    pub scope: String,
    /// See `classify::Model`.
    pub octets: Vec<u8>,
}

impl ArchivedTokensTable {
    /// The model of `scope`; its lengths are checked each time it is opened, which takes nanoseconds.
    pub(super) fn find(&self, scope: &str) -> Option<Model<'_>> {
        let at = self.models.binary_search_by(|row| row.scope.as_str().cmp(scope)).ok()?;
        Model::open(&self.models.get(at)?.octets)
    }
}
