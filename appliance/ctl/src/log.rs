//! `log search`: rows of the mail log by any field, part of a text, and time.

use sekisho_core::clock::{Now, UnixMillis};
use sekisho_core::maillog::reader::{Query, search};
use sekisho_core::maillog::{DeliveryRow, EventRow, Row};
use serde_json::Value;

use crate::arguments::{LogCommand, RowKind};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown, time};
use crate::period;
use crate::place::Place;

/// Rows that are looked through where a condition is "equal": the reader finds by part only.
const CANDIDATES_MAX: usize = 1_000_000;

/// One condition as it is written.
#[derive(Debug, PartialEq, Eq)]
struct Condition {
    field: String,
    text: String,
    whole: bool,
}

/// Runs one `log` command.
pub(crate) fn run(place: &Place, json: bool, command: &LogCommand) -> Ran {
    let LogCommand::Search { conditions, since, until, kind, rows_max, fields } = command;
    if *fields {
        known_fields().iter().for_each(output::data);
        return Ok(Outcome::Done);
    }
    let mut conditions: Vec<Condition> =
        conditions.iter().map(|text| condition(text)).collect::<Result<_, _>>()?;
    if let Some(kind) = kind {
        let text = match kind {
            RowKind::Delivery => "delivery",
            RowKind::Event => "event",
        };
        conditions.push(Condition { field: "row".into(), text: text.into(), whole: true });
    }
    let now = Now::read().unix.0;
    let query = Query {
        from: period::point("--since", since.as_deref(), now)?.map(UnixMillis),
        to: period::point("--until", until.as_deref(), now)?.map(UnixMillis),
        fields: conditions.iter().map(|one| (one.field.clone(), one.text.clone())).collect(),
    };
    let whole: Vec<&Condition> = conditions.iter().filter(|one| one.whole).collect();
    let candidates = if whole.is_empty() { *rows_max } else { CANDIDATES_MAX };
    let directory = place.data.join("maillog");
    if !directory.exists() {
        output::words(format_args!("{}: no log yet", directory.display()));
        return Ok(Outcome::No);
    }
    let mut answer = search(&directory, &query, candidates)
        .map_err(|error| Failure::new("log search", error))?;
    for damage in &answer.damage {
        output::words(format_args!("sekisho: log: damaged: {damage:?}"));
    }
    answer.rows.retain(|row| whole.iter().all(|condition| is_whole(row, condition)));
    let more = answer.more || answer.rows.len() > *rows_max;
    answer.rows.truncate(*rows_max);
    print(&answer.rows, json);
    if more {
        output::words("there are more; --rows-max, --since and --until choose");
    }
    if answer.rows.is_empty() {
        output::words("no row matches");
    }
    Ok(Outcome::done_if(!answer.rows.is_empty()))
}

/// `status=held`, `subject~invoice`; the field must be one that rows have.
fn condition(written: &str) -> Result<Condition, Failure> {
    let fail = |why: String| {
        Failure::new(format_args!("log search {}", shown(written)), why)
            .next("sekisho log search to~user@example.com status=held; sekisho log search --fields")
    };
    let at = written
        .find(['=', '~'])
        .ok_or_else(|| fail("neither FIELD=TEXT nor FIELD~TEXT".to_owned()))?;
    let (field, rest) = written.split_at(at);
    if !known_fields().iter().any(|known| known == field) {
        return Err(fail(format!("no row has a field `{}`", shown(field))));
    }
    Ok(Condition {
        field: field.to_owned(),
        text: rest.get(1..).unwrap_or_default().to_owned(),
        whole: rest.starts_with('='),
    })
}

/// Every field of a row, by asking an empty one of each kind.
fn known_fields() -> Vec<String> {
    let mut names = vec!["any".to_owned()];
    for row in
        [Row::Delivery(Box::<DeliveryRow>::default()), Row::Event(Box::<EventRow>::default())]
    {
        if let Ok(Value::Object(fields)) = serde_json::to_value(&row) {
            names.extend(fields.keys().cloned());
        }
    }
    names.sort();
    names.dedup();
    names
}

fn is_whole(row: &Row, condition: &Condition) -> bool {
    let row = serde_json::to_value(row).unwrap_or_default();
    let equal = |value: &Value| match value {
        Value::String(text) => text.eq_ignore_ascii_case(&condition.text),
        Value::Null => condition.text.is_empty(),
        other => other.to_string().eq_ignore_ascii_case(&condition.text),
    };
    match row.get(&condition.field) {
        Some(value) => equal(value),
        None if condition.field == "any" => {
            row.as_object().is_some_and(|fields| fields.values().any(equal))
        }
        None => condition.text.is_empty(),
    }
}

fn print(rows: &[Row], json: bool) {
    if json {
        rows.iter().for_each(output::json);
        return;
    }
    let cells = rows
        .iter()
        .map(|row| match row {
            Row::Delivery(row) => vec![
                time(row.at.0),
                row.status.clone(),
                shown(if row.from.is_empty() { "<>" } else { &row.from }),
                shown(&row.to),
                row.classification.clone(),
                row.reason.clone(),
                row.relay.clone(),
                shown(&row.reply),
                shown(&row.subject),
            ],
            Row::Event(row) => vec![
                time(row.at.0),
                "event".to_owned(),
                shown(if row.from.is_empty() { "<>" } else { &row.from }),
                shown(&row.address),
                row.filter_type.clone(),
                shown(&row.condition),
                row.by.clone(),
                shown(&row.action),
                shown(&row.memo),
            ],
        })
        .collect();
    output::table(
        &["time", "status", "from", "to", "class", "reason", "relay", "reply", "subject"],
        cells,
    );
}

#[cfg(test)]
mod tests {
    use super::{Condition, condition, is_whole, known_fields};
    use sekisho_core::maillog::{DeliveryRow, Row};

    #[test]
    fn a_condition_is_a_field_that_rows_have_and_a_text() {
        let part = condition("subject~in=voice").unwrap();
        let want = Condition { field: "subject".into(), text: "in=voice".into(), whole: false };
        assert_eq!(part, want);
        assert!(condition("status=held").unwrap().whole);
        assert!(condition("nonsense=1").unwrap_err().to_string().contains("`nonsense`"));
        assert!(condition("held").is_err());
        for field in ["status", "subject", "filter_type", "any", "source_address"] {
            assert!(known_fields().iter().any(|known| known == field), "{field}");
        }
    }

    #[test]
    fn equal_is_the_whole_field_and_not_a_part_of_it() {
        let row = DeliveryRow { status: "held".to_owned(), bytes: 12, ..DeliveryRow::default() };
        let row = Row::Delivery(Box::new(row));
        for (written, want) in
            [("status=held", true), ("status=hel", false), ("bytes=12", true), ("any=HELD", true)]
        {
            assert_eq!(is_whole(&row, &condition(written).unwrap()), want, "{written}");
        }
    }
}
