//! Searching the mail log from another process, newest first, beside a running engine or without one.

use std::path::Path;

use serde_json::Value;

use super::{Row, RowsMeta};
use crate::clock::UnixMillis;
use crate::spool::disk::list_blocking;
use crate::spool::reader::{self, Place};
use crate::spool::{Damage, SpoolError};

/// What to search for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Rows at or after.
    pub from: Option<UnixMillis>,
    /// Rows before.
    pub to: Option<UnixMillis>,
    /// All have to match.
    pub conditions: Vec<Condition>,
}

/// What one field of a row must say, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name as in the JSON of a [`Row`]; `any` stands for every field.
    pub field: String,
    /// How much of it the text is.
    pub extent: Extent,
    /// The text.
    pub text: String,
}

/// How much of a field a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it, or of one of the values in it.
    Whole,
    /// Part of it.
    Part,
}

/// Rows that match, and what could not be read.
#[derive(Debug, Default)]
pub struct Answer {
    /// Rows, newest first.
    pub rows: Vec<Row>,
    /// More rows match than were asked for.
    pub more: bool,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// Searches the logs of all shards under `directory` (`maillog` of the data directory) for at most `rows_max`
/// rows. Memory: one record of rows at a time, and the answer. `progress` hears how many records were read, of how
/// many there are at most.
///
/// # Errors
/// The directory cannot be listed. An absent one is an empty log.
pub fn search(
    directory: &Path,
    query: &Query,
    rows_max: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Answer, SpoolError> {
    let mut answer = Answer::default();
    let mut places = Vec::new();
    let shards = list_blocking(directory);
    for shard in shards.map_err(|error| SpoolError::io("list", directory, &error))? {
        if shard.name.parse::<u16>().is_ok() {
            let scan = reader::scan(&directory.join(shard.name))?;
            answer.damage.extend(scan.damage);
            // Written later within the same second comes first.
            places.extend(scan.rows.into_iter().enumerate());
        }
    }
    places.sort_by_key(|(order, place)| std::cmp::Reverse((place.stamp(), *order)));
    let records = places.len();
    for (read, (_, place)) in places.into_iter().enumerate() {
        progress(read, records);
        // A record's stamp is its newest row: nothing later in this order can be newer than it.
        let full = answer.rows.len() > rows_max;
        let oldest_kept = answer.rows.get(rows_max.saturating_sub(1)).map(Row::at);
        if full && oldest_kept.is_some_and(|at| at.as_secs() > u64::from(place.stamp())) {
            break;
        }
        if query.from.is_some_and(|from| u64::from(place.stamp()) < from.as_secs()) {
            break;
        }
        match rows_of(&place, query) {
            Ok(rows) => merge(&mut answer.rows, rows),
            Err(SpoolError::Damaged { path, offset, what }) => {
                answer.damage.push(Damage { path, offset, bytes: 0, what, acknowledged: true });
            }
            // The oldest segment was dropped while we read.
            Err(_) => continue,
        }
        answer.more |= answer.rows.len() > rows_max;
        answer.rows.truncate(rows_max.saturating_add(1));
    }
    answer.rows.truncate(rows_max);
    Ok(answer)
}

/// Adds the rows of one more record, newest first. Records come nearly in order: what is older than all of the new
/// ones is the end of the list, and only that is sorted. (The whole list for each of a million rows' records
/// took more time than reading them.)
fn merge(rows: &mut Vec<Row>, more: Vec<Row>) {
    let Some(newest) = more.iter().map(Row::at).max() else { return };
    let mixed = rows.partition_point(|row| row.at() >= newest);
    rows.extend(more);
    if let Some(mixed) = rows.get_mut(mixed..) {
        mixed.sort_by_key(|row| std::cmp::Reverse(row.at()));
    }
}

/// Rows of one record that match, newest first.
fn rows_of(place: &Place, query: &Query) -> Result<Vec<Row>, SpoolError> {
    let meta: RowsMeta = serde_json::from_slice(&place.read_meta()?).unwrap_or_default();
    let outside =
        query.from.is_some_and(|from| meta.to < from) || query.to.is_some_and(|to| meta.from >= to);
    if meta.rows > 0 && outside {
        return Ok(Vec::new());
    }
    let (_, content) = place.read()?;
    let lines = content.as_memory().map(|octets| &**octets).unwrap_or_default();
    let tests: Vec<Test<'_>> = query.conditions.iter().map(Test::new).collect();
    let mut rows = Vec::new();
    for line in lines.split(|octet| *octet == b'\n').rev().filter(|line| !line.is_empty()) {
        if tests.iter().any(|test| test.cannot_hold(line)) {
            continue;
        }
        // A row of a newer version that we cannot read is left out rather than stopping the search.
        let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
        if !tests.iter().all(|test| test.holds(&value)) {
            continue;
        }
        let Ok(row) = serde_json::from_slice::<Row>(line) else { continue };
        let in_time = query.from.is_none_or(|from| row.at() >= from)
            && query.to.is_none_or(|to| row.at() < to);
        if in_time {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Fuzz entry: any octets as the rows of a record, each asked for its own values. Number of rows.
///
/// # Panics
/// When a row that can be read cannot be written.
pub fn fuzz_rows(octets: &[u8]) -> usize {
    let conditions: Vec<Condition> = [("any", Extent::Part, "a"), ("status", Extent::Whole, "")]
        .map(|(field, extent, text)| Condition { field: field.into(), extent, text: text.into() })
        .into();
    let tests: Vec<Test<'_>> = conditions.iter().map(Test::new).collect();
    let mut rows = Vec::new();
    for line in octets.split(|octet| *octet == b'\n') {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
        for test in &tests {
            // We escape no letter.
            let passed_over = test.cannot_hold(line) && test.holds(&value);
            assert!(!passed_over || line.contains(&b'\\'), "a row passed over");
        }
        if let Ok(row) = serde_json::from_slice::<Row>(line) {
            assert!(serde_json::to_vec(&row).is_ok());
            rows.push(row);
        }
    }
    let count = rows.len();
    rows.sort_by_key(|row| std::cmp::Reverse(row.at()));
    merge(&mut rows, Vec::new());
    count
}

/// A condition made ready for millions of rows.
struct Test<'q> {
    condition: &'q Condition,
    /// In lower case.
    text: String,
    /// The text stands in a line of JSON as it is, but for the case of ASCII letters.
    is_plain: bool,
}

impl<'q> Test<'q> {
    fn new(condition: &'q Condition) -> Self {
        let text = condition.text.to_lowercase();
        let plain =
            |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\') || octet == b' ';
        let is_plain = !text.is_empty() && text.bytes().all(plain);
        Self { condition, text, is_plain }
    }

    /// A row that does not hold the text anywhere need not be parsed. Lines with other than ASCII are:
    /// a letter of theirs may become an ASCII one in lower case.
    fn cannot_hold(&self, line: &[u8]) -> bool {
        let Some((first, rest)) = self.text.as_bytes().split_first().filter(|_| self.is_plain)
        else {
            return false;
        };
        if !line.is_ascii() {
            return false;
        }
        !memchr::memchr2_iter(*first, first.to_ascii_uppercase(), line).any(|at| {
            let after = line.get(at + 1..at + 1 + rest.len());
            after.is_some_and(|after| after.eq_ignore_ascii_case(rest))
        })
    }

    fn holds(&self, row: &Value) -> bool {
        let extent = self.condition.extent;
        if self.condition.field == "any" {
            let mut values = row.as_object().into_iter().flat_map(serde_json::Map::values);
            return values.any(|value| holds(value, &self.text, extent));
        }
        match row.get(&self.condition.field) {
            Some(value) => holds(value, &self.text, extent),
            // Rows of the other kind have no such field: as good as an empty one.
            None => extent == Extent::Whole && self.text.is_empty(),
        }
    }
}

/// Whether a value, or any within it, is or contains `text` (lower case).
fn holds(value: &Value, text: &str, extent: Extent) -> bool {
    let says = |value: &str| match extent {
        Extent::Whole => value == text,
        Extent::Part => value.contains(text),
    };
    match value {
        Value::Null => text.is_empty(),
        Value::Bool(value) => says(&value.to_string()),
        Value::Number(value) => says(&value.to_string()),
        Value::String(value) => says(&value.to_lowercase()),
        Value::Array(values) => {
            (text.is_empty() && values.is_empty())
                || values.iter().any(|value| holds(value, text, extent))
                || (extent == Extent::Whole && says(&value.to_string().to_lowercase()))
        }
        Value::Object(values) => values.values().any(|value| holds(value, text, extent)),
    }
}
