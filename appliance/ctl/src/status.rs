//! `status`: what the engine says of itself.
//!
//! The engine answers an object; here it is flattened and shown, not understood, so that an older
//! command line shows a newer engine's figures. Alarms come first, and make the answer a "no".

use sekisho_core::control::{Request, Response};
use serde_json::Value;

use crate::call::{ask, unexpected};
use crate::outcome::{Outcome, Ran};
use crate::output;
use crate::place::Place;

/// Runs `status`.
pub(crate) fn run(place: &Place, json: bool) -> Ran {
    let status = match ask(place, "status", Request::Status)? {
        Response::Status { status } => status,
        other => return Err(unexpected("status", &other)),
    };
    let alarms = alarms(&status);
    if json {
        output::json(&status);
    } else {
        for alarm in &alarms {
            output::words(format_args!("ALARM {}", output::shown(alarm)));
        }
        let mut rows = Vec::new();
        let mut figures = status;
        if let Value::Object(fields) = &mut figures {
            // They were said above, in words.
            fields.remove("alarms");
        }
        flatten("", &figures, &mut rows);
        output::table(&["figure", "value"], rows);
        if alarms.is_empty() {
            output::words("no alarm");
        }
    }
    Ok(Outcome::done_if(alarms.is_empty()))
}

/// The alarms as text, whatever their shape.
fn alarms(status: &Value) -> Vec<String> {
    let text = |value: &Value| match (value, value.get("name"), value.get("text")) {
        (Value::String(text), ..) => text.clone(),
        (_, Some(Value::String(name)), Some(Value::String(text))) => format!("{name}: {text}"),
        (other, ..) => other.to_string(),
    };
    match status.get("alarms") {
        Some(Value::Array(alarms)) => alarms.iter().map(text).collect(),
        Some(Value::Object(alarms)) => alarms
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect(),
        _ => Vec::new(),
    }
}

/// `{"a":{"b":1}}` becomes the row `a.b`, `1`.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let join = |name: &str| {
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
    };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                flatten(&join(name), field, rows);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&join(&index.to_string()), item, rows);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            rows.push(vec![prefix.to_owned(), items.join(", ")]);
        }
        other => rows.push(vec![prefix.to_owned(), scalar(other)]),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), output::shown)
}

#[cfg(test)]
mod tests {
    use super::{alarms, flatten};
    use serde_json::json;

    #[test]
    fn every_figure_becomes_a_row_and_every_alarm_a_line() {
        let status = json!({
            "generation": 3,
            "shards": [{"mails": 1}, {"mails": 2}],
            "listeners": ["127.0.0.1:2525"],
            "alarms": ["disk: spool at its reserve"],
        });
        let mut rows = Vec::new();
        flatten("", &status, &mut rows);
        let row = |name: &str| rows.iter().find(|row| row[0] == name).map(|row| row[1].clone());
        assert_eq!(row("generation").as_deref(), Some("3"));
        assert_eq!(row("shards.1.mails").as_deref(), Some("2"));
        assert_eq!(row("listeners").as_deref(), Some("127.0.0.1:2525"));
        assert_eq!(alarms(&status), ["disk: spool at its reserve"]);
        let named = json!({"alarms": [{"name": "certificate", "text": "ends in 2 days"}]});
        assert_eq!(alarms(&named), ["certificate: ends in 2 days"], "as the engine says it");
        assert_eq!(alarms(&json!({"alarms": {"disk": false, "worker": "dead"}})), ["worker: dead"]);
    }
}
