//! The last answers of hops, each text kept once: a million mails for one dead hop have one.

use std::collections::HashMap;
use std::rc::Rc;

/// Different texts kept; later ones are shown as "see the mail log".
const TEXTS_MAX: usize = 4_096;
/// Longest text in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Texts by small number. 0 is "not tried yet".
#[derive(Debug)]
pub(super) struct Answers {
    texts: Vec<Rc<str>>,
    known: HashMap<Rc<str>, u16, ahash::RandomState>,
}

impl Default for Answers {
    fn default() -> Self {
        let texts = vec!["not tried yet".into(), "see the mail log".into()];
        Self { texts, known: HashMap::default() }
    }
}

impl Answers {
    /// The number of a text.
    pub(super) fn index_of(&mut self, text: &str) -> u16 {
        if text.is_empty() {
            return 0;
        }
        let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
        if let Some(index) = self.known.get(text.as_str()) {
            return *index;
        }
        let Ok(index) = u16::try_from(self.texts.len()) else { return 1 };
        if self.texts.len() >= TEXTS_MAX {
            return 1;
        }
        let text: Rc<str> = text.into();
        self.texts.push(Rc::clone(&text));
        self.known.insert(text, index);
        index
    }

    /// The text of a number.
    pub(super) fn text(&self, index: u16) -> &str {
        self.texts.get(usize::from(index)).map_or("", |text| text)
    }
}
