//! Reading a segment whatever state it is in.

use super::{Head, Payload, Trailer, offset};
use crate::limits::BLOCK_BYTES;

/// What stands in a segment at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A sound record.
    Record(Head, Payload<'a>),
    /// Octets that are no record, up to the next one or the end.
    Gap { offset: u64, bytes: u64, what: String },
}

/// Walks a segment, record by record; what does not check is a gap up to the next record. The octets come in
/// windows, so that a segment need not be in memory as a whole.
#[derive(Debug)]
pub(crate) struct Walk {
    segment: u32,
    block: u32,
    salt: Option<u64>,
    /// Where the gap began that the walk is in, and why.
    gap: Option<(u32, String)>,
}

/// What a walk came to.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A record or a gap.
    Found(Found<'a>),
    /// Octets from [`Walk::offset`] on that are needed to go on: that many, or all that there are.
    More(u64),
    /// Nothing follows.
    End,
}

impl Walk {
    pub(crate) fn new(segment: u32) -> Self {
        Self { segment, block: 0, salt: None, gap: None }
    }

    /// What comes before is not asked for again.
    pub(crate) fn offset(&self) -> u64 {
        offset(self.block)
    }

    /// Goes on. `window`: octets of the segment from `from` on; `last`: nothing follows them.
    pub(crate) fn step<'a>(&mut self, window: &'a [u8], from: u64, last: bool) -> Step<'a> {
        loop {
            let at = self.offset().checked_sub(from).and_then(|at| usize::try_from(at).ok());
            let rest = at.and_then(|at| window.get(at..)).unwrap_or_default();
            if rest.len() < BLOCK_BYTES && !last {
                return Step::More(BLOCK_BYTES as u64);
            }
            if rest.is_empty() {
                let end = from + window.len() as u64;
                return self.end_of_gap(end).map_or(Step::End, Step::Found);
            }
            if self.gap.is_none() && Trailer::parse(rest, self.segment).is_some() {
                self.block += 1;
                continue;
            }
            let head = self.head(rest);
            if let Ok(head) = &head
                && !last
                && head.record_bytes() > rest.len() as u64
            {
                return Step::More(head.record_bytes());
            }
            match head.and_then(|head| Ok((head, head.payload(rest)?))) {
                Ok((head, payload)) => {
                    // The record itself is given by the next call then.
                    if let Some(gap) = self.end_of_gap(self.offset()) {
                        return Step::Found(gap);
                    }
                    self.salt.get_or_insert(head.salt);
                    self.block += head.blocks();
                    return Step::Found(Found::Record(head, payload));
                }
                Err(what) => {
                    self.gap.get_or_insert((self.block, what));
                    self.block += 1;
                }
            }
        }
    }

    fn head(&self, octets: &[u8]) -> Result<Head, String> {
        let head = Head::parse(octets, self.segment, self.block)?;
        match self.salt.filter(|salt| *salt != head.salt) {
            Some(salt) => Err(format!("salt {:016x}, expected {salt:016x}", head.salt)),
            None => Ok(head),
        }
    }

    fn end_of_gap<'a>(&mut self, end: u64) -> Option<Found<'a>> {
        let (block, what) = self.gap.take()?;
        let from = offset(block);
        Some(Found::Gap { offset: from, bytes: end.saturating_sub(from), what })
    }
}

/// What stands in a segment that is in memory as a whole.
pub(crate) fn walk(octets: &[u8], segment: u32) -> impl Iterator<Item = Found<'_>> {
    let mut walk = Walk::new(segment);
    std::iter::from_fn(move || match walk.step(octets, 0, true) {
        Step::Found(found) => Some(found),
        Step::More(_) | Step::End => None,
    })
}
