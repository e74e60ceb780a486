//! `[[named_list]]` (for every domain of the file) and `[[domain.named_list]]`: addresses or words under a
//! name that rules refer to (IIJ-85). A reference is `list:NAME`, wherever addresses or words stand; the
//! rule holds what is in the list, so a list costs nothing that is not used.

use std::collections::BTreeMap;

use crate::config::walk::{Placed, Section};
use crate::policy::rules::Addresses;

/// Entries of one list, and of all addresses of a rule.
const ENTRIES_MAX: usize = 10_000;
/// Octets of one word.
pub(super) const WORD_BYTES_MAX: usize = 200;
/// How a list is referred to.
const PREFIX: &str = "list:";

/// Lists by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    addresses: BTreeMap<String, Addresses>,
    words: BTreeMap<String, Vec<Box<str>>>,
}

impl Lists {
    /// Reads the lists that stand in `section`, above those that are known; a list of the same name
    /// takes the place of the other.
    pub(super) fn read(&mut self, section: &mut Section<'_, '_>) {
        let read = section.tables("named_list", |section| {
            let mut name: Box<str> = "".into();
            section.line("name", 80, &mut name);
            if name.is_empty() {
                section.wrong("name", section.place_of("name"), "is missing or empty");
            }
            let addresses = section.texts("addresses").map(|texts| {
                let mut set = Addresses::default();
                texts.iter().for_each(|text| add(section, "addresses", text, &mut set));
                set
            });
            let words = section.texts("words").map(|texts| plain(section, "words", &texts));
            if addresses.is_some() == words.is_some() {
                let place = section.place_of("name");
                section.wrong("name", place, "a list has either `addresses` or `words`");
            }
            (name.to_string(), addresses, words)
        });
        for (name, addresses, words) in read {
            if let Some(addresses) = addresses {
                self.addresses.insert(name, addresses);
            } else if let Some(words) = words {
                self.words.insert(name, words);
            }
        }
    }

    /// The list of addresses with this name.
    pub(super) fn addresses(&self, name: &str) -> Option<&Addresses> {
        self.addresses.get(name)
    }

    /// Reads a set of addresses, lists by name among them.
    pub(super) fn set(
        &self,
        section: &mut Section<'_, '_>,
        key: &'static str,
        slot: &mut Addresses,
    ) {
        let Some(texts) = section.texts(key) else { return };
        let mut set = Addresses::default();
        for text in &texts {
            match text.value.strip_prefix(PREFIX) {
                None => add(section, key, text, &mut set),
                Some(name) => match self.addresses.get(name) {
                    Some(list) => set.extend(list),
                    None => unknown(section, key, text, "addresses"),
                },
            }
        }
        if !texts.is_empty() && set.is_empty() {
            set.name_nobody();
        }
        if set.len() > ENTRIES_MAX {
            let count = set.len();
            section.wrong(
                key,
                section.place_of(key),
                format!("{count} entries, at most {ENTRIES_MAX}"),
            );
        } else {
            *slot = set;
        }
    }

    /// Reads words, lists by name among them.
    pub(super) fn words(
        &self,
        section: &mut Section<'_, '_>,
        key: &'static str,
    ) -> Option<Vec<Box<str>>> {
        let texts = section.texts(key)?;
        let mut all = Vec::new();
        for text in texts {
            match text.value.strip_prefix(PREFIX) {
                None => all.extend(plain(section, key, &[text])),
                Some(name) => match self.words.get(name) {
                    Some(list) => all.extend(list.iter().cloned()),
                    None => unknown(section, key, &text, "words"),
                },
            }
        }
        Some(all)
    }
}

/// The name in `list:NAME`.
pub(super) fn referred(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)
}

fn unknown(section: &Section<'_, '_>, key: &str, text: &Placed<&str>, of: &str) {
    let shown: String = text.value.chars().take(80).collect();
    let shown = shown.escape_debug();
    section.wrong(
        key,
        text.start,
        format!("`{shown}`: there is no named list of {of} of this name"),
    );
}

fn add(section: &Section<'_, '_>, key: &str, text: &Placed<&str>, set: &mut Addresses) {
    if set.len() >= ENTRIES_MAX {
        return section.wrong(key, text.start, format!("at most {ENTRIES_MAX} entries"));
    }
    if let Err(why) = set.add(text.value) {
        let shown: String = text.value.chars().take(80).collect();
        section.wrong(key, text.start, format!("`{}` {why}", shown.escape_debug()));
    }
}

/// Words that are not blank and not too long.
fn plain(section: &Section<'_, '_>, key: &str, texts: &[Placed<&str>]) -> Vec<Box<str>> {
    for text in texts {
        let odd = |c: char| c.is_control();
        if text.value.len() > WORD_BYTES_MAX || text.value.chars().any(odd) {
            let why =
                format!("a word has at most {WORD_BYTES_MAX} octets and no control character");
            section.wrong(key, text.start, why);
        } else if let Err(error) = crate::scan::content::plain_word(text.value) {
            section.wrong(key, text.start, error);
        }
    }
    texts.iter().map(|text| text.value.into()).collect()
}
