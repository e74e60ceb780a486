//! Notes in memory: those of one segment while it is looked at, and the newest of a start, until the records
//! that they are about are given.
//!
//! A queue that waits for dead hops has one note for each mail, and they are nearly alike: the same answer of the same
//! hop, another time. So a text is kept as what it shares with others and the one large number in it; a million of
//! them would take a quarter of a gigabyte otherwise, more than the queue itself.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU64;
use std::rc::Rc;

use crate::spool::CopyId;
use crate::spool::format::Note;

/// Shared texts; what comes after has its text to itself.
const SHARED_MAX: usize = 10_000;
/// Digits of a number that is worth taking out: those of a time in milliseconds.
const DIGITS_MIN: usize = 10;
/// More may not fit.
const DIGITS_MAX: usize = 19;
/// Stands for the number.
const MARK: u8 = 0;

/// Texts that notes have in common.
type Shared = HashSet<Rc<[u8]>, ahash::RandomState>;

/// Notes in their order.
#[derive(Debug, Default)]
pub(super) struct NoteList {
    all: Vec<(Note, Text)>,
    shared: Shared,
}

impl NoteList {
    pub(super) fn push(&mut self, mut note: Note) {
        let text = Text::new(&std::mem::take(&mut note.text), &mut self.shared);
        self.all.push((note, text));
    }

    pub(super) fn into_notes(self) -> impl Iterator<Item = Note> {
        self.all.into_iter().map(|(note, text)| Note { text: text.octets(), ..note })
    }
}

/// The newest note of each slot of a record.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    newest: BTreeMap<(CopyId, u16), Newest>,
    shared: Shared,
}

#[derive(Debug)]
struct Newest {
    /// Its place in the order of notes.
    origin: u64,
    text: Text,
}

/// The text of a note.
#[derive(Debug, PartialEq, Eq)]
struct Text {
    /// With [`MARK`] where the number was, if there was one.
    shared: Rc<[u8]>,
    number: Option<NonZeroU64>,
}

impl Notes {
    /// Keeps a note if it is newer than the one that is known.
    pub(super) fn add(&mut self, id: CopyId, slot: u16, origin: u64, text: &[u8]) {
        let known = self.newest.get(&(id, slot));
        if known.is_none_or(|known| known.origin < origin) {
            let text = Text::new(text, &mut self.shared);
            self.newest.insert((id, slot), Newest { origin, text });
        }
    }

    /// The notes of a record, which are let go: slot and text.
    pub(crate) fn take(&mut self, id: CopyId) -> Vec<(u16, Vec<u8>)> {
        let slots: Vec<u16> =
            self.newest.range((id, 0)..=(id, u16::MAX)).map(|((_, slot), _)| *slot).collect();
        let taken = slots.into_iter().filter_map(|slot| {
            let note = self.newest.remove(&(id, slot))?;
            Some((slot, note.text.octets()))
        });
        taken.collect()
    }

    /// Lets one go; `false` if there was none.
    pub(crate) fn let_go(&mut self) -> bool {
        self.newest.pop_first().is_some()
    }

    /// All of them: record, slot, text.
    pub(super) fn into_all(self) -> impl Iterator<Item = (CopyId, u16, Vec<u8>)> {
        self.newest.into_iter().map(|((id, slot), note)| (id, slot, note.text.octets()))
    }
}

impl Text {
    fn new(text: &[u8], shared: &mut Shared) -> Self {
        let (rest, number) = match without_number(text) {
            Some((rest, number)) => (rest, Some(number)),
            None => (text.to_vec(), None),
        };
        if let Some(known) = shared.get(rest.as_slice()) {
            return Self { shared: Rc::clone(known), number };
        }
        let rest: Rc<[u8]> = rest.into();
        if shared.len() < SHARED_MAX {
            shared.insert(Rc::clone(&rest));
        }
        Self { shared: rest, number }
    }

    fn octets(&self) -> Vec<u8> {
        let at = memchr::memchr(MARK, &self.shared);
        let (Some(number), Some((front, back))) =
            (self.number, at.and_then(|at| self.shared.split_at_checked(at)))
        else {
            return self.shared.to_vec();
        };
        let number = number.to_string();
        [front, number.as_bytes(), back.get(1..).unwrap_or_default()].concat()
    }
}

/// The text with [`MARK`] in the place of its first large number, and that number.
fn without_number(text: &[u8]) -> Option<(Vec<u8>, NonZeroU64)> {
    if text.contains(&MARK) {
        return None;
    }
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let run = rest.get(..digits).unwrap_or_default();
        if (DIGITS_MIN..=DIGITS_MAX).contains(&digits) && !run.starts_with(b"0") {
            let number = std::str::from_utf8(run).ok()?.parse().ok()?;
            let back = rest.get(digits..).unwrap_or_default();
            return Some(([text.get(..at)?, &[MARK], back].concat(), number));
        }
        at += digits.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::MailId;

    fn id(number: u8) -> CopyId {
        CopyId { mail: MailId(uuid::Uuid::from_bytes([number; 16])), copy: 0 }
    }

    #[test]
    fn the_newest_of_a_slot_counts_and_texts_are_shared() {
        let mut notes = Notes::default();
        let text = |at: u64| format!("{{\"next_attempt_at\":{at},\"last_answer\":\"refused\"}}");
        for number in 0..100 {
            let at = 1_764_000_000_000 + u64::from(number);
            notes.add(id(number), 3, 7, text(at).as_bytes());
            notes.add(id(number), 3, 6, b"older");
            notes.add(id(number), 1, 1, b"x");
        }
        assert_eq!(notes.shared.len(), 2);
        let taken = notes.take(id(5));
        assert_eq!(taken, [(1, b"x".to_vec()), (3, text(1_764_000_000_005).into_bytes())]);
        assert_eq!(notes.take(id(5)), []);
        notes.add(id(5), 3, 8, b"newer");
        assert_eq!(notes.take(id(5)), [(3, b"newer".to_vec())]);
        let mut left = 0;
        while notes.let_go() {
            left += 1;
        }
        assert_eq!(left, 198);
    }

    proptest! {
        #[test]
        fn a_text_comes_back_as_it_was(texts in prop::collection::vec("[a0-9\\x00]{0,60}", 0..20)) {
            let mut shared = HashSet::default();
            for text in &texts {
                let kept = Text::new(text.as_bytes(), &mut shared);
                prop_assert_eq!(kept.octets(), text.as_bytes());
            }
        }
    }
}
