//! Expressions of one domain, compiled.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::expression::{Check, Expression, Near, Needle, Place, WordMatch};
use super::identifier::Identifier;
use super::text::{Lines, fold, tidy};

/// Expressions of one domain.
pub const EXPRESSIONS_MAX: usize = 500;
/// Words of all its expressions.
pub const WORDS_MAX: usize = 20_000;
/// Octets of all its words and regular expressions.
pub const SET_BYTES_MAX: usize = 256 * 1024;
/// Regular expressions (and groups of words with wildcards) of all its expressions.
pub const REGEXES_MAX: usize = 100;
/// Memory of one compiled regular expression.
const REGEX_BYTES_MAX: usize = 512 * 1024;

/// One thing to be found in a text; an expression has one, and one more for what must be near.
#[derive(Debug)]
pub(super) enum Slot {
    /// Words of the common automaton.
    Words {
        how: WordMatch,
    },
    Regex {
        regex: Box<Regex>,
        check: Check,
    },
    Identifier(Identifier),
}

/// One expression.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) id: u64,
    pub(super) source: Expression,
    /// Index of its slot.
    pub(super) main: usize,
    /// Every one of so many words must be there.
    pub(super) all_of: Option<u32>,
    /// Slot of what must be near, and the characters that may be between.
    pub(super) near: Option<(usize, u32)>,
}

/// Which slot a word of the automaton is of, and its number there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) slot: usize,
    pub(super) word: u32,
}

/// All expressions of one domain, ready to be looked for.
#[derive(Debug, Default)]
pub struct ContentSet {
    pub(super) expressions: Vec<Compiled>,
    pub(super) slots: Vec<Slot>,
    pub(super) words: Option<AhoCorasick>,
    pub(super) owners: Vec<Owner>,
    /// Octets of the longest word.
    pub(super) longest: usize,
    /// An expression could not be compiled: what it would find is not known.
    pub(super) incomplete: bool,
    bytes: usize,
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Its syntax, or its size.
    #[error("is no regular expression that can be used here: {0}")]
    Regex(Box<str>),
    /// It would be found everywhere.
    #[error("a regular expression must not match the empty text")]
    MatchesNothing,
    /// Nothing is left of a word.
    #[error("a word has no character that is not blank")]
    EmptyWord,
}

/// Compiles one regular expression.
///
/// # Errors
/// [`ContentError`]; the operator is at fault.
pub fn compile_regex(expression: &str) -> Result<Regex, ContentError> {
    let refused = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        ContentError::Regex(last.trim().chars().take(200).collect::<String>().into())
    };
    let config = Regex::config()
        .nfa_size_limit(Some(REGEX_BYTES_MAX))
        .onepass_size_limit(Some(REGEX_BYTES_MAX))
        .dfa_size_limit(Some(REGEX_BYTES_MAX))
        .hybrid_cache_capacity(2 * 1024 * 1024);
    let regex = Regex::builder()
        .configure(config)
        .syntax(syntax::Config::new().case_insensitive(true).multi_line(true).nest_limit(50))
        .build(expression)
        .map_err(|error| match error.syntax_error() {
            Some(syntax) => refused(syntax),
            None => refused(&error),
        })?;
    if regex.is_match("") {
        return Err(ContentError::MatchesNothing);
    }
    Ok(regex)
}

/// A word as it is compared: in the form of the texts, lower case.
///
/// # Errors
/// [`ContentError::EmptyWord`].
pub fn plain_word(word: &str) -> Result<String, ContentError> {
    let mut out = String::with_capacity(word.len());
    fold(&tidy(word, Lines::Flowed), &mut out);
    if out.is_empty() { Err(ContentError::EmptyWord) } else { Ok(out) }
}

/// What is being put together.
#[derive(Default)]
struct Making {
    set: ContentSet,
    patterns: Vec<String>,
}

impl ContentSet {
    /// Compiles `expressions`; `pause` is awaited after each. Those beyond the bounds above, and those
    /// that [`compile_regex`] refuses, are left out and leave the set incomplete: settings with such
    /// are refused before they get here.
    pub async fn compile(expressions: &[&Expression], pause: &impl AsyncFn()) -> Self {
        let mut making = Making::default();
        for expression in expressions.iter().take(EXPRESSIONS_MAX) {
            making.add(expression);
            pause().await;
        }
        let Making { mut set, patterns } = making;
        set.incomplete |= expressions.len() > EXPRESSIONS_MAX;
        if !patterns.is_empty() {
            let built = AhoCorasickBuilder::new()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&patterns);
            match built {
                Ok(words) => {
                    set.bytes += words.memory_usage();
                    set.words = Some(words);
                }
                Err(_) => set.incomplete = true,
            }
            pause().await;
        }
        set
    }

    /// Roughly the memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether some expression looks in texts of this place.
    pub(super) fn looks_in(&self, place: &Place) -> bool {
        self.expressions.iter().any(|one| one.source.looks_in(place))
    }
}

impl Making {
    fn add(&mut self, expression: &Expression) {
        let Some(main) = self.slot(&expression.needle) else { return };
        let all_of = match &expression.needle {
            Needle::Words { words, all: true, .. } => u32::try_from(words.len()).ok(),
            Needle::Words { .. } | Needle::Regex { .. } | Needle::Identifier(_) => None,
        };
        let near = match (&expression.near, &expression.needle) {
            (Some(Near { needle, chars }), _) => Some((needle.clone(), *chars)),
            (None, Needle::Identifier(what)) => what.near_words().map(|(words, chars)| {
                let words = words.iter().map(|word| Box::from(*word)).collect();
                (Needle::Words { words, how: WordMatch::Part, all: false }, chars)
            }),
            (None, Needle::Words { .. } | Needle::Regex { .. }) => None,
        };
        let near = match near {
            None => None,
            Some((needle, chars)) => match self.slot(&needle) {
                Some(slot) => Some((slot, chars)),
                None => return,
            },
        };
        self.set.bytes += 512;
        let source = Expression {
            // The words are in the automaton.
            needle: Needle::Words { words: Vec::new(), how: WordMatch::Part, all: false },
            ..expression.clone()
        };
        let compiled = Compiled { id: expression.id, source, main, all_of, near };
        self.set.expressions.push(compiled);
    }

    fn slot(&mut self, needle: &Needle) -> Option<usize> {
        let index = self.set.slots.len();
        let slot = match needle {
            Needle::Words { words, how: WordMatch::Wildcard, .. } => {
                let whole: Vec<String> = words.iter().map(|word| wildcard(word)).collect();
                self.regex(&format!("^(?:{})$", whole.join("|")), Check::None)
            }
            Needle::Words { words, how, .. } => {
                for (number, word) in (0_u32..).zip(words) {
                    match plain_word(word) {
                        Ok(word) if self.patterns.len() < WORDS_MAX => {
                            self.set.longest = self.set.longest.max(word.len());
                            self.patterns.push(word);
                            self.set.owners.push(Owner { slot: index, word: number });
                        }
                        Ok(_) | Err(_) => self.set.incomplete = true,
                    }
                }
                Some(Slot::Words { how: *how })
            }
            Needle::Regex { expression, check } => self.regex(expression, *check),
            Needle::Identifier(what) => Some(Slot::Identifier(*what)),
        };
        match slot {
            Some(slot) => self.set.slots.push(slot),
            None => {
                self.set.incomplete = true;
                return None;
            }
        }
        Some(index)
    }

    fn regex(&mut self, expression: &str, check: Check) -> Option<Slot> {
        let regexes = self.set.slots.iter().filter(|slot| matches!(slot, Slot::Regex { .. }));
        if regexes.count() >= REGEXES_MAX {
            return None;
        }
        let regex = compile_regex(expression).ok()?;
        // What it keeps for searching is not in its own figure.
        self.set.bytes += regex.memory_usage() + 64 * 1024;
        Some(Slot::Regex { regex: Box::new(regex), check })
    }
}

/// A word with `*` and `?` as a regular expression.
fn wildcard(word: &str) -> String {
    let plain = plain_word(word).unwrap_or_default();
    let mut out = String::with_capacity(plain.len() * 2);
    for c in plain.chars() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            c => {
                if regex_syntax::is_meta_character(c) {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
    out
}

/// The expression that words with wildcards become: to be tried before settings are taken.
///
/// # Errors
/// As [`compile_regex`].
pub fn check_wildcards(words: &[&str]) -> Result<(), ContentError> {
    let whole: Vec<String> = words.iter().map(|word| wildcard(word)).collect();
    compile_regex(&format!("^(?:{})$", whole.join("|"))).map(|_| ())
}
