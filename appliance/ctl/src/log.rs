//! `log search`: rows of the mail log by any field, part of a text, and time; `log story`: why a mail was judged as it was.

mod story_of;

use sekisho_core::clock::Now;
use sekisho_core::maillog::reader::{Condition, Extent, Query, search};
use sekisho_core::maillog::{DeliveryRow, EventRow, Row};
use serde_json::Value;

use crate::arguments::{LogCommand, RowKind};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown, time};
use crate::period;
use crate::place::Place;
use crate::publish::{position, progress_bar};
use crate::story::{Descriptions, Lang};
use crate::tables;

/// Runs one `log` command.
pub(crate) fn run(place: &Place, json: bool, command: &LogCommand) -> Ran {
    let (conditions, since, until, kind, rows_max, fields) = match command {
        LogCommand::Story { mail, lang } => return story(place, json, mail, *lang),
        LogCommand::Search { conditions, since, until, kind, rows_max, fields } => {
            (conditions, since, until, kind, rows_max, fields)
        }
    };
    if *fields {
        if json {
            output::json(&known_fields());
        } else {
            known_fields().iter().for_each(output::data);
        }
        return Ok(Outcome::Done);
    }
    let mut conditions: Vec<Condition> =
        conditions.iter().map(|text| condition(text)).collect::<Result<_, _>>()?;
    if let Some(kind) = kind {
        let text = match kind {
            RowKind::Delivery => "delivery",
            RowKind::Event => "event",
        };
        conditions.push(Condition {
            field: "row".into(),
            extent: Extent::Whole,
            text: text.into(),
        });
    }
    let now = Now::read().unix.0;
    let (from, to) = period::between(since.as_deref(), until.as_deref(), now)?;
    let query = Query { from, to, conditions };
    place.must_exist()?;
    let directory = place.data.join("maillog");
    if !directory.exists() {
        output::words(format_args!("{}: no log yet", directory.display()));
        return Ok(Outcome::No);
    }
    let bar = progress_bar();
    let answer = search(&directory, &query, *rows_max, &mut |read, records| {
        position(&bar, "reading the log", read as u64, Some(records as u64));
    });
    bar.finish_and_clear();
    let answer = answer.map_err(|error| Failure::new("log search", error))?;
    for damage in &answer.damage {
        output::words(format_args!("sekisho: log: damaged: {damage:?}"));
    }
    print(&answer.rows, json);
    if answer.more {
        output::words("there are more; --rows-max, --since and --until choose");
    }
    if answer.rows.is_empty() {
        output::words("no row matches");
    }
    Ok(Outcome::done_if(!answer.rows.is_empty()))
}

/// Rows of one mail that a story is told from: a recipient has one, and some when it was tried again.
const STORY_ROWS_MAX: usize = 2_000;

/// The story of a mail, once for each recipient, from the row that its verdict was written with.
fn story(place: &Place, json: bool, mail: &str, lang: Lang) -> Ran {
    place.must_exist()?;
    let directory = place.data.join("maillog");
    let condition = Condition { field: "mail".into(), extent: Extent::Whole, text: mail_id(mail) };
    let query = Query { from: None, to: None, conditions: vec![condition] };
    let answer = search(&directory, &query, STORY_ROWS_MAX, &mut |_, _| {})
        .map_err(|error| Failure::new("log story", error))?;
    let mut deliveries: Vec<&DeliveryRow> = Vec::new();
    let mut events: Vec<&EventRow> = Vec::new();
    // The newest come first; the row with the verdict is the oldest of a recipient.
    for row in answer.rows.iter().rev() {
        match row {
            Row::Delivery(row) if deliveries.iter().any(|one| one.recipient == row.recipient) => {}
            Row::Delivery(row) => deliveries.push(row),
            Row::Event(row) => events.push(row),
        }
    }
    if deliveries.is_empty() {
        output::words("no row of that mail");
    }
    // What rules say of themselves is in the tables; without them their findings are told in English.
    let tables = (lang == Lang::Ja).then(|| tables::in_force(place).ok()).flatten();
    let described = tables.map(|tables| Descriptions::of(&tables, lang)).unwrap_or_default();
    for row in &deliveries {
        let told = story_of::row(row, &events, (lang, &described));
        if json {
            output::json(&serde_json::json!({ "to": row.to, "story": told.to_json() }));
        } else {
            output::data(format_args!("{} -> {}", time(row.at.0), shown(&row.to)));
            told.print();
            output::data("");
        }
    }
    Ok(Outcome::done_if(!deliveries.is_empty()))
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
    let text = rest.get(1..).unwrap_or_default();
    let text = if field == "mail" { mail_id(text) } else { text.to_owned() };
    Ok(Condition {
        field: field.to_owned(),
        text,
        extent: if rest.starts_with('=') { Extent::Whole } else { Extent::Part },
    })
}

/// A mail's id as rows write it, whether it was copied from a reply, from `queue list`, or is the id of
/// a held item (`SHARD-MAIL-RECIPIENT`); a part of one stays as it is.
fn mail_id(text: &str) -> String {
    let of_item = || text.split('-').nth(1)?.parse::<uuid::Uuid>().ok();
    let id = text.parse::<uuid::Uuid>().ok().or_else(of_item);
    id.map_or_else(|| text.to_owned(), |id| id.to_string())
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
                shown(format!("{} {}", row.action, row.action_details).trim_end()),
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
    use super::{Condition, Extent, condition, known_fields};

    #[test]
    fn a_condition_is_a_field_that_rows_have_and_a_text() {
        let part = condition("subject~in=voice").unwrap();
        let want =
            Condition { field: "subject".into(), extent: Extent::Part, text: "in=voice".into() };
        assert_eq!(part, want);
        let mail = "01a21747-8894-7d57-a4f7-8639a9202f68";
        for written in
            [mail, "01a2174788947d57a4f78639a9202f68", "1-01a2174788947d57a4f78639a9202f68-0"]
        {
            assert_eq!(condition(&format!("mail={written}")).unwrap().text, mail, "{written}");
        }
        assert_eq!(condition("mail~01a217").unwrap().text, "01a217");
        assert_eq!(condition("status=held").unwrap().extent, Extent::Whole);
        assert!(condition("nonsense=1").unwrap_err().to_string().contains("`nonsense`"));
        assert!(condition("held").is_err());
        for field in ["status", "subject", "filter_type", "any", "source_address"] {
            assert!(known_fields().iter().any(|known| known == field), "{field}");
        }
    }
}
