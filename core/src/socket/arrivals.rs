//! Octets of one socket that arrived and were not read yet.

use std::collections::VecDeque;

use super::kernel::Lent;

/// Octets of one arrival, or several, and how many of them were read.
#[derive(Debug)]
pub(super) enum Arrived {
    Lent(Lent, usize),
    Copied(Vec<u8>, usize),
}

/// What arrived, in order. One arrival is what there mostly is, and needs no memory of its own.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    first: Option<Arrived>,
    /// Without memory when empty: 10,000 idle connections have 10,000 of these.
    rest: VecDeque<Arrived>,
}

impl Arrivals {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Arrived> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    pub(super) fn push(&mut self, arrived: Arrived) {
        if self.first.is_none() {
            self.first = Some(arrived);
        } else {
            self.rest.push_back(arrived);
        }
    }

    pub(super) fn take_first(&mut self) -> Option<Arrived> {
        let first = self.first.take();
        self.first = self.rest.pop_front();
        if self.first.is_none() {
            self.rest = VecDeque::new();
        }
        first
    }

    /// Puts back what [`Self::take_first`] gave.
    pub(super) fn put_first(&mut self, arrived: Arrived) {
        if let Some(second) = self.first.replace(arrived) {
            self.rest.push_front(second);
        }
    }
}
