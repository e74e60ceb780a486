//! Next hops of a domain, in the order in which they are tried.

use std::sync::Arc;

use crate::tables::{Route, RouteTls};

/// TLS towards a next hop: that of the table.
pub type TlsRule = RouteTls;

/// One next hop: that of the table.
pub type Hop = Route;

/// Finds the next hops of a recipient domain in the tables in force now. `None`: not a domain of
/// ours; an empty list: no route (SM-05), which is temporary.
pub type Routes = std::rc::Rc<dyn Fn(&str) -> Option<Arc<[Hop]>>>;

/// Puts `hops` into the order of trying: by preference, equal ones shuffled by `random`, so that
/// they share the load (RFC 5321 section 5.1).
#[must_use]
pub(crate) fn in_order(hops: &[Hop], mut random: impl FnMut() -> u64) -> Vec<Hop> {
    let mut keyed: Vec<_> = hops.iter().map(|hop| (hop.preference, random(), hop)).collect();
    keyed.sort_by_key(|(preference, draw, _)| (*preference, *draw));
    keyed.into_iter().map(|(_, _, hop)| hop.clone()).collect()
}
