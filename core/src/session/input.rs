//! Octets that have arrived and are not used yet.

/// `start <= octets.len()`. Bounded by what the driver reads at once plus one command line, because it
/// reads only when all complete commands are done.
#[derive(Debug, Default)]
pub(super) struct Input {
    octets: Vec<u8>,
    start: usize,
}

/// A session that waits for content keeps no more than this.
const IDLE_BYTES_MAX: usize = 4096;

impl Input {
    pub(super) fn fill(&mut self, octets: &[u8]) {
        if self.start > 0 {
            self.octets.drain(..self.start);
            self.start = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.octets.len());
    }

    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.start = 0;
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.octets.capacity()
    }

    /// Gives all memory back before a wait for a command: most sessions wait most of the time.
    pub(super) fn release(&mut self) {
        if self.pending().is_empty() {
            *self = Self::default();
        }
    }

    /// Gives memory back before a wait for content.
    pub(super) fn rest(&mut self) {
        if self.pending().is_empty() {
            self.clear();
            if self.octets.capacity() > IDLE_BYTES_MAX {
                self.octets = Vec::new();
            }
        }
    }
}
