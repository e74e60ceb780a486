//! What is wrong with a file that people write, and where.

use std::fmt;

/// One mistake (or warning) with its place: `sekisho.toml:12:21: smtp.errors_max: 0 is below ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// File as the operator named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Key and what is wrong with it, with both values.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.text)
    }
}

/// The known word nearest to `word`, if it is near enough to be what was meant.
#[must_use]
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let far = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= far)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `, did you mean ...?` behind a mistake, or nothing.
#[must_use]
pub fn hint<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    did_you_mean(word, known).map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

/// Edits (insert, delete, replace one character) from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    // A key of a hostile length must not cost its square.
    let to: Vec<char> = to.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, c) in from.chars().take(64).enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, wanted) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(c != *wanted);
            diagonal = *cell;
            left = replaced.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}
