//! Reading a TOML file key by key, so that every mistake is reported at once and each with its
//! place. serde's derive gives places too, but stops at the first mistake.
//!
//! A [`Section`] is one table of the file. Each reader names the key, its bounds and the slot to fill;
//! the slot keeps its default when the key is absent or wrong. `Section::finish` reports the keys
//! that nobody asked for.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, hint};

/// One file being read.
#[derive(Debug)]
pub struct Walk<'t> {
    file: &'t str,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'t> Walk<'t> {
    /// Reads `text` with `read`. `file` is the name that problems carry.
    ///
    /// # Errors
    /// Every mistake, in the order of the file; the operator is at fault.
    pub fn read<R>(
        text: &'t str,
        file: &'t str,
        read: impl FnOnce(&mut Section<'_, 't>) -> R,
    ) -> Result<(R, Vec<Problem>), Vec<Problem>> {
        let walk = Walk { file, text, problems: RefCell::default(), warnings: RefCell::default() };
        let (root, syntax) = DeTable::parse_recoverable(text);
        for error in &syntax {
            let message = error.message().lines().next().unwrap_or("not TOML");
            walk.problem(error.span().unwrap_or(0..0).start, message.to_owned());
        }
        let mut section = Section {
            walk: &walk,
            path: String::new(),
            table: root.get_ref(),
            start: root.span().start,
            known: Vec::new(),
        };
        let value = read(&mut section);
        // What follows a syntax error may have been read as something else: a key that "is missing"
        // or "is unknown" there would be a false lead.
        if syntax.is_empty() {
            section.finish();
        }
        let in_order = |problems: RefCell<Vec<Problem>>| {
            let mut problems = problems.into_inner();
            problems.sort_by_key(|problem| (problem.line, problem.column));
            problems
        };
        let problems = in_order(walk.problems);
        if problems.is_empty() { Ok((value, in_order(walk.warnings))) } else { Err(problems) }
    }

    fn place(&self, offset: usize, text: String) -> Problem {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|octet| *octet == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Problem { file: self.file.to_owned(), line, column, text }
    }

    fn problem(&self, offset: usize, text: String) {
        let problem = self.place(offset, text);
        self.problems.borrow_mut().push(problem);
    }
}

/// A value with its place, for checks of the caller's own.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Offset in the file.
    pub start: usize,
}

/// One table of a file.
#[derive(Debug)]
pub struct Section<'w, 't> {
    walk: &'w Walk<'t>,
    path: String,
    table: &'w DeTable<'t>,
    start: usize,
    known: Vec<&'static str>,
}

impl<'w, 't> Section<'w, 't> {
    /// Reports a mistake at `start` in the words of the caller.
    pub fn problem(&self, start: usize, text: impl Into<String>) {
        self.walk.problem(start, text.into());
    }

    /// Reports a mistake in the value of `key`.
    pub fn wrong(&self, key: &str, start: usize, text: impl Display) {
        self.walk.problem(start, format!("{}{key}: {text}", self.path));
    }

    /// Reports something that works but should be looked at.
    pub fn warn(&self, key: &str, text: impl Display) {
        let start = self.place_of(key);
        let warning = self.walk.place(start, format!("{}{key}: {text}", self.path));
        self.walk.warnings.borrow_mut().push(warning);
    }

    /// Where the section starts.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where the value of `key` starts; the section's start if it is absent.
    #[must_use]
    pub fn place_of(&self, key: &str) -> usize {
        self.find(key).map_or(self.start, |value| value.span().start)
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &str) -> Option<&'w Spanned<DeValue<'t>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn key(&mut self, key: &'static str) -> Option<&'w Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.find(key)
    }

    fn expected(&self, key: &str, value: &Spanned<DeValue<'_>>, what: &str) {
        let is = value.get_ref().type_str();
        self.wrong(key, value.span().start, format_args!("is a {is}, expected {what}"));
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str, slot: &mut bool) {
        let Some(value) = self.key(key) else { return };
        match value.get_ref().as_bool() {
            Some(flag) => *slot = flag,
            None => self.expected(key, value, "true or false"),
        }
    }

    /// A whole number within bounds.
    pub fn number<T>(&mut self, key: &'static str, bounds: RangeInclusive<T>, slot: &mut T)
    where
        T: TryFrom<i128> + Into<i128> + Copy,
    {
        let Some(value) = self.key(key) else { return };
        let Some(integer) = value.get_ref().as_integer() else {
            return self.expected(key, value, "a whole number");
        };
        let (least, most): (i128, i128) = ((*bounds.start()).into(), (*bounds.end()).into());
        let start = value.span().start;
        match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if number < least => {
                self.wrong(key, start, format_args!("{number} is below the minimum of {least}"));
            }
            Ok(number) if number > most => {
                self.wrong(key, start, format_args!("{number} is above the maximum of {most}"));
            }
            Ok(number) => {
                if let Ok(number) = T::try_from(number) {
                    *slot = number;
                }
            }
            Err(_) => {
                let written = integer.as_str();
                self.wrong(key, start, format_args!("{written} is above the maximum of {most}"));
            }
        }
    }

    /// Points with up to three decimals (`5`, `2.5`), kept in thousandths; -1000 to 1000.
    pub fn points(&mut self, key: &'static str, slot: &mut i32) {
        let Some(value) = self.key(key) else { return };
        let written = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => return self.expected(key, value, "points (5 or 2.5)"),
        };
        match thousandths(written) {
            Some(points) if points.abs() <= 1_000_000 => *slot = points,
            _ => {
                let text = "must be -1000 to 1000 with at most three decimals";
                self.wrong(key, value.span().start, format_args!("{written} {text}"));
            }
        }
    }

    /// One of some words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        slot: &mut T,
    ) {
        let Some(value) = self.key(key) else { return };
        if let Some(chosen) = self.chosen(key, value, choices) {
            *slot = chosen;
        }
    }

    /// A list of some words, sorted, each once.
    pub fn choices<T: Copy + Ord>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        slot: &mut Vec<T>,
    ) {
        let Some(value) = self.key(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            return self.expected(key, value, "a list of words");
        };
        let mut chosen: Vec<T> =
            items.iter().filter_map(|item| self.chosen(key, item, choices)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        *slot = chosen;
    }

    fn chosen<T: Copy>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let Some(word) = value.get_ref().as_str() else {
            self.expected(key, value, "a word");
            return None;
        };
        let found = choices.iter().find(|(name, _)| *name == word).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let hint = hint(word, names.iter().copied());
            let all = names.join(", ");
            self.wrong(
                key,
                value.span().start,
                format_args!("`{}` is not one of {all}{hint}", word.escape_debug()),
            );
        }
        found
    }

    /// A text, as it is.
    pub fn text(&mut self, key: &'static str) -> Option<Placed<&'w str>> {
        let value = self.key(key)?;
        let start = value.span().start;
        match value.get_ref().as_str() {
            Some(text) => Some(Placed { value: text, start }),
            None => {
                self.expected(key, value, "a text");
                None
            }
        }
    }

    /// A text of at most `chars_max` characters without control characters.
    pub fn line(&mut self, key: &'static str, chars_max: usize, slot: &mut Box<str>) {
        let Some(text) = self.text(key) else { return };
        if text.value.chars().any(|c| c.is_control() && c != '\n') {
            self.wrong(key, text.start, "holds a control character");
        } else if text.value.chars().count() > chars_max {
            let is = text.value.chars().count();
            self.wrong(key, text.start, format_args!("{is} characters, at most {chars_max}"));
        } else {
            *slot = text.value.into();
        }
    }

    /// A text that is parsed; the error of the parser is the text of the problem.
    pub fn parsed<T>(&mut self, key: &'static str, slot: &mut T)
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.text(key) else { return };
        match text.value.parse() {
            Ok(value) => *slot = value,
            Err(error) => self.not_parsed(key, &text, &error),
        }
    }

    fn not_parsed(&self, key: &str, text: &Placed<&str>, error: &dyn Display) {
        let shown: String = text.value.chars().take(80).collect();
        self.wrong(key, text.start, format_args!("`{}`: {error}", shown.escape_debug()));
    }

    /// A list of texts, as they are.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<Placed<&'w str>>> {
        let value = self.key(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.expected(key, value, "a list of texts");
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(Placed { value: text, start: item.span().start }),
                None => self.expected(key, item, "a text"),
            }
        }
        Some(texts)
    }

    /// A list of texts that are parsed.
    pub fn all_parsed<T>(&mut self, key: &'static str, slot: &mut Vec<T>)
    where
        T: FromStr<Err: Display>,
    {
        let Some(texts) = self.texts(key) else { return };
        slot.clear();
        for text in texts {
            match text.value.parse() {
                Ok(value) => slot.push(value),
                Err(error) => self.not_parsed(key, &text, &error),
            }
        }
    }

    /// A list of whole numbers within bounds, at least one.
    pub fn numbers(&mut self, key: &'static str, bounds: RangeInclusive<u64>, slot: &mut Vec<u64>) {
        let Some(value) = self.key(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            return self.expected(key, value, "a list of whole numbers");
        };
        let mut numbers = Vec::with_capacity(items.len());
        for item in items.iter() {
            let number = item
                .get_ref()
                .as_integer()
                .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok());
            match number {
                Some(number) if bounds.contains(&number) => numbers.push(number),
                _ => {
                    let (least, most) = (bounds.start(), bounds.end());
                    let text = format!("expected whole numbers from {least} to {most}");
                    self.wrong(key, item.span().start, text);
                }
            }
        }
        if items.is_empty() {
            self.wrong(key, value.span().start, "is empty, expected at least one number");
        } else {
            *slot = numbers;
        }
    }

    /// Reads a table below this one, if it is there.
    pub fn table<R>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'w, 't>) -> R,
    ) -> Option<R> {
        let value = self.key(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.expected(key, value, "a table");
            return None;
        };
        let path = format!("{}{key}.", self.path);
        let start = value.span().start;
        let mut section = Section { walk: self.walk, path, table, start, known: Vec::new() };
        let result = read(&mut section);
        section.finish();
        Some(result)
    }

    /// Reads each table of `[[key]]`; empty when there is none.
    pub fn tables<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'w, 't>) -> R,
    ) -> Vec<R> {
        let Some(value) = self.key(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.expected(key, value, "tables, each written [[...]]");
            return Vec::new();
        };
        let mut results = Vec::with_capacity(items.len());
        for item in items.iter() {
            let Some(table) = item.get_ref().as_table() else {
                self.expected(key, item, "a table");
                continue;
            };
            let path = format!("{}{key}.", self.path);
            let start = item.span().start;
            let mut section = Section { walk: self.walk, path, table, start, known: Vec::new() };
            results.push(read(&mut section));
            section.finish();
        }
        results
    }

    /// Reports every key that was not asked for.
    fn finish(&self) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let hint = hint(name, self.known.iter().copied());
                let path = &self.path;
                let name = name.escape_debug();
                self.walk.problem(key.span().start, format!("unknown key `{path}{name}`{hint}"));
            }
        }
    }
}

/// `-2.5` is -2500. `None` for more than three decimals, exponents, `inf`, `nan`, overflow.
fn thousandths(written: &str) -> Option<i32> {
    let (negative, digits) = match written.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, written.strip_prefix('+').unwrap_or(written)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let whole: i32 = whole.parse().ok()?;
    let fraction: i32 = format!("{fraction:0<3}").parse().ok()?;
    let points = whole.checked_mul(1000)?.checked_add(fraction)?;
    Some(if negative { -points } else { points })
}
