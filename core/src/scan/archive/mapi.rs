//! Properties as TNEF holds them (MS-OXTNEF section 2.1.3.4): a list of typed values, some of them named.

use crate::scan::ole::{half, word};

/// Properties of one list, and values of one property.
const PROPERTIES_MAX: u32 = 10_000;
const VALUES_MAX: u32 = 10_000;

/// A property has several values.
const MULTIPLE: u16 = 0x1000;
/// From here on a property has a name.
const NAMED: u16 = 0x8000;

pub(super) const UNICODE: u16 = 0x001F;
pub(super) const OBJECT: u16 = 0x000D;

/// One value of variable length.
pub(super) struct Property<'z> {
    pub(super) id: u16,
    pub(super) kind: u16,
    pub(super) value: &'z [u8],
}

/// A list that is walked.
struct List<'z> {
    octets: &'z [u8],
    at: usize,
}

impl<'z> List<'z> {
    fn word(&mut self) -> Option<u32> {
        let value = word(self.octets, self.at)?;
        self.at += 4;
        Some(value)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.octets.len())?;
        Some(())
    }

    /// A length and as many octets, filled up to a multiple of four; the last one need not be.
    fn counted(&mut self) -> Option<&'z [u8]> {
        let bytes = usize::try_from(self.word()?).ok()?;
        let end = self.at.checked_add(bytes)?;
        let value = self.octets.get(self.at..end)?;
        self.at = end.next_multiple_of(4).min(self.octets.len());
        Some(value)
    }
}

/// Gives each value of variable length to `take`. `None`: the list cannot be read to its end.
pub(super) fn each<'z>(octets: &'z [u8], take: &mut dyn FnMut(Property<'z>)) -> Option<()> {
    let mut list = List { octets, at: 0 };
    let count = list.word()?;
    if count > PROPERTIES_MAX {
        return None;
    }
    for _ in 0..count {
        let (kind, id) = (half(octets, list.at)?, half(octets, list.at + 2)?);
        list.skip(4)?;
        if id >= NAMED {
            // The set of names, then a number or a text.
            list.skip(16)?;
            match list.word()? {
                0 => list.skip(4)?,
                _ => list.counted().map(|_| ())?,
            }
        }
        let single = kind & !MULTIPLE;
        let fixed = match single {
            0x0000 | 0x0001 => Some(0),
            0x0002 | 0x0003 | 0x0004 | 0x000A | 0x000B => Some(4),
            0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
            0x0048 => Some(16),
            OBJECT | 0x001E | UNICODE | 0x0102 => None,
            _ => return None,
        };
        let values = match (fixed, kind & MULTIPLE) {
            (Some(_), 0) => 1,
            _ => list.word().filter(|values| *values <= VALUES_MAX)?,
        };
        for _ in 0..values {
            match fixed {
                Some(bytes) => list.skip(bytes)?,
                None => take(Property { id, kind: single, value: list.counted()? }),
            }
        }
    }
    Some(())
}
