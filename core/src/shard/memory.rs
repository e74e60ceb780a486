//! One budget of memory for the message bodies of all sessions of a shard.
//!
//! A body in memory is charged with what its buffer holds; over the budget new mail gets 452 and
//! bodies under way are refused with 452 as well, largest risk first: whoever asks for more.

use std::cell::Cell;
use std::rc::Rc;

/// The budget of a shard. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Memory {
    budget: Rc<Budget>,
}

#[derive(Debug)]
struct Budget {
    used: Cell<u64>,
    bytes_max: u64,
}

/// What one session uses; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    memory: Memory,
    bytes: u64,
}

impl Memory {
    /// A budget of `bytes_max` octets.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self { budget: Rc::new(Budget { used: Cell::new(0), bytes_max }) }
    }

    /// Octets charged now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.budget.used.get()
    }

    /// Whether `bytes` more would fit.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.budget.bytes_max
    }

    /// An empty charge.
    #[must_use]
    pub fn charge(&self) -> Charge {
        Charge { memory: self.clone(), bytes: 0 }
    }
}

impl Charge {
    /// Charges `bytes` instead of what was charged before; false (and nothing changed) if that does
    /// not fit.
    #[must_use]
    pub fn set(&mut self, bytes: u64) -> bool {
        if bytes > self.bytes && !self.memory.fits(bytes - self.bytes) {
            return false;
        }
        self.memory.budget.used.set(self.memory.used() - self.bytes + bytes);
        self.bytes = bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.budget.used.set(self.memory.used() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_that_does_not_fit_changes_nothing_and_a_dropped_one_is_given_back() {
        let memory = Memory::new(100);
        let (mut one, mut two) = (memory.charge(), memory.charge());
        assert!(one.set(60) && two.set(40));
        assert!(!two.set(41) && !one.set(61));
        assert_eq!(memory.used(), 100);
        assert!(one.set(10));
        assert!(two.set(90));
        drop(two);
        assert_eq!(memory.used(), 10);
    }
}
