//! Data on stdout, words on stderr.
//!
//! A reader that closed its end (`sekisho log search | head`) is no failure: writing just stops.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::outcome::Outcome;

/// One line of data.
pub(crate) fn data(line: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// One line of words.
pub(crate) fn words(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// One JSON value, a line of its own.
pub(crate) fn json<T: Serialize>(value: &T) {
    match serde_json::to_string(value) {
        Ok(text) => data(text),
        Err(error) => words(format_args!("sekisho: output: {error}")),
    }
}

/// What came of a command that has no data to show: words, or an object with the same words.
pub(crate) fn said(as_json: bool, outcome: Outcome, words_said: impl std::fmt::Display) -> Outcome {
    if as_json {
        json(&serde_json::json!({
            "done": outcome == Outcome::Done, "said": words_said.to_string(),
        }));
    } else {
        words(words_said);
    }
    outcome
}

/// A table of columns: aligned for people, tab-separated where it is not a terminal, so that `cut`
/// and `awk` see one field as one field.
pub(crate) fn table(columns: &[&str], rows: Vec<Vec<String>>) {
    if !io::stdout().is_terminal() {
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('\t', " ")).collect();
            data(cells.join("\t"));
        }
        return;
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    table.add_rows(rows);
    data(table);
}

/// Text from a mail, safe to show: control characters, line ends and the marks that turn the
/// direction of writing are shown as escapes (a subject must not paint the operator's terminal).
pub(crate) fn shown(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Wall clock milliseconds as local time, to the second.
pub(crate) fn time(unix_millis: u64) -> String {
    let stamp = i64::try_from(unix_millis)
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    match stamp {
        Some(stamp) => {
            stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        None => unix_millis.to_string(),
    }
}

/// Octets in the largest unit that keeps a digit before the point.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let mut scaled = count;
    let mut rest = 0;
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if scaled < 1024 {
            break;
        }
        rest = scaled % 1024;
        scaled /= 1024;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{scaled}.{} {unit}", rest * 10 / 1024) }
}

#[cfg(test)]
mod tests {
    use super::{bytes, shown};

    #[test]
    fn text_of_a_mail_cannot_reach_the_terminal_as_a_command() {
        assert_eq!(shown("請求書 a"), "請求書 a");
        assert_eq!(shown("\u{1b}[2Ja\r\nb"), "\\u{1b}[2Ja\\u{d}\\u{a}b");
        assert_eq!(shown("a\u{202e}fdp.exe"), "a\\u{202e}fdp.exe");
    }

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (3 * 1024 * 1024, "3.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
