//! Octets of one socket that arrived and were not read yet.

use std::collections::VecDeque;

use super::kernel::Lent;

/// Octets of several arrivals that lie in one piece: as many as one buffer of the ring has.
const PIECE_BYTES_MAX: usize = 16 * 1024;

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

    /// Adds a copy of `octets`, to what was copied last if both fit into one piece. Larger pieces would grow by
    /// doubling, and those of thousands of sockets leave as much memory behind as they hold.
    pub(super) fn copy(&mut self, octets: &[u8]) {
        match self.rest.back_mut().or(self.first.as_mut()) {
            Some(Arrived::Copied(last, _)) if last.len() + octets.len() <= PIECE_BYTES_MAX => {
                let wanted = last.len() + octets.len();
                if wanted > last.capacity() {
                    let room = wanted.max(2 * last.len()).min(PIECE_BYTES_MAX);
                    last.reserve_exact(room - last.len());
                }
                last.extend_from_slice(octets);
            }
            _ => self.push(Arrived::Copied(octets.to_vec(), 0)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_a_piece_while_it_has_room_and_keep_their_order() {
        let mut arrivals = Arrivals::default();
        let sent: Vec<Vec<u8>> = [1, 1000, PIECE_BYTES_MAX, 9000, 9000, 5]
            .iter()
            .zip(0_u8..)
            .map(|(&n, i)| vec![i; n])
            .collect();
        sent.iter().for_each(|octets| arrivals.copy(octets));
        let mut pieces = Vec::new();
        while let Some(Arrived::Copied(octets, 0)) = arrivals.take_first() {
            assert!(
                octets.len() <= PIECE_BYTES_MAX && octets.capacity() <= PIECE_BYTES_MAX,
                "{}",
                octets.len()
            );
            pieces.push(octets);
        }
        assert!(arrivals.is_empty());
        assert_eq!(
            pieces.iter().map(Vec::len).collect::<Vec<_>>(),
            [1001, PIECE_BYTES_MAX, 9000, 9005]
        );
        assert_eq!(pieces.concat(), sent.concat());
    }
}
