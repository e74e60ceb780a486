//! Trace fields (RFC 5321 section 4.4): hop count and what the hops say.

use super::view::View;

/// Number of `Received` fields; more than [`crate::limits::RECEIVED_HOPS_MAX`] is a loop.
#[must_use]
pub fn hop_count(view: &View<'_>) -> usize {
    view.fields_named("received").count()
}
