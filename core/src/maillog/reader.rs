//! Searching the mail log from another process, newest first, beside a running engine or without one.

use std::path::Path;

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
    /// Field names as in the JSON of a [`Row`], and the text that the field must contain, without regard
    /// to case. All have to match. The name `any` stands for every field.
    pub fields: Vec<(String, String)>,
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
/// rows. Memory: one record of rows at a time, and the answer.
///
/// # Errors
/// The directory cannot be listed. An absent one is an empty log.
pub fn search(directory: &Path, query: &Query, rows_max: usize) -> Result<Answer, SpoolError> {
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
    for (_, place) in places {
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
            Ok(rows) => answer.rows.extend(rows),
            Err(SpoolError::Damaged { path, offset, what }) => {
                answer.damage.push(Damage { path, offset, bytes: 0, what, acknowledged: true });
            }
            // The oldest segment was dropped while we read.
            Err(_) => continue,
        }
        answer.rows.sort_by_key(|row| std::cmp::Reverse(row.at()));
        answer.more |= answer.rows.len() > rows_max;
        answer.rows.truncate(rows_max.saturating_add(1));
    }
    answer.rows.truncate(rows_max);
    Ok(answer)
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
    let mut rows = Vec::new();
    for line in lines.split(|octet| *octet == b'\n').rev().filter(|line| !line.is_empty()) {
        // A row of a newer version that we cannot read is left out rather than stopping the search.
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        let Ok(row) = serde_json::from_slice::<Row>(line) else { continue };
        let in_time = query.from.is_none_or(|from| row.at() >= from)
            && query.to.is_none_or(|to| row.at() < to);
        if in_time && query.fields.iter().all(|(name, text)| matches(&value, name, text)) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn matches(row: &serde_json::Value, name: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    if name == "any" {
        return row.as_object().is_some_and(|row| row.values().any(|value| holds(value, &text)));
    }
    row.get(name).is_some_and(|value| holds(value, &text))
}

/// Whether a value, or any within it, contains `text` (lower case).
fn holds(value: &serde_json::Value, text: &str) -> bool {
    match value {
        serde_json::Value::Null => text.is_empty(),
        serde_json::Value::Bool(value) => value.to_string().contains(text),
        serde_json::Value::Number(value) => value.to_string().contains(text),
        serde_json::Value::String(value) => value.to_lowercase().contains(text),
        serde_json::Value::Array(values) => {
            (text.is_empty() && values.is_empty()) || values.iter().any(|value| holds(value, text))
        }
        serde_json::Value::Object(values) => values.values().any(|value| holds(value, text)),
    }
}
