//! The mark of our notices, which keeps one that comes back from causing the next.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use crate::envelope::Mailbox;

/// The field that marks our notices. Its last word is the mark; the first ones say what the notice is.
pub const MARK: &str = "X-Sekisho-Notice";

/// Marks of this process: of an address, and known to nobody else. A sender who has got a notice, and puts its mark into a
/// mail, saves himself from notices and nobody else.
#[derive(Clone, Debug, Default)]
pub struct Marks(RandomState);

impl Marks {
    /// The mark of notices to this address.
    #[must_use]
    pub fn of(&self, to: &Mailbox) -> u64 {
        self.0.hash_one(to.key())
    }

    /// Whether a field, as it was received, has the mark of this address.
    #[must_use]
    pub fn is_in(&self, field: &str, to: &Mailbox) -> bool {
        field.split_whitespace().next_back() == Some(&shown(self.of(to)))
    }
}

/// A mark as it is written.
pub(super) fn shown(mark: u64) -> String {
    format!("{mark:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_one_address_and_one_process() {
        let (marks, other) = (Marks::default(), Marks::default());
        let (anna, ben) = (Mailbox::new("anna", "a.test"), Mailbox::new("ben", "a.test"));
        let field = format!("virus {}", shown(marks.of(&anna)));
        assert!(marks.is_in(&field, &anna));
        assert!(!marks.is_in(&field, &ben) && !other.is_in(&field, &anna));
        assert!(!marks.is_in("virus", &anna) && !marks.is_in("", &anna));
    }
}
