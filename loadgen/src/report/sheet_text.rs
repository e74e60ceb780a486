//! The capacity sheet in words, for a terminal, and the budget of a mail as the table of `ARCHITECTURE.md`.

use std::fmt::Write;

use super::sheet::{Row, Sheet};
use super::text::{count, figure, percent, printable, utc};

/// A load average above this is other people's work: one core was busy a third of the time.
const BUSY_BEFORE: f64 = 0.33;

/// Below so many mails CPU by stage is off by more than a tenth or so.
const MAILS_MIN: u64 = 1000;

/// Head and row of one column.
pub(super) type Column = (&'static str, fn(&Row) -> String);

fn known(value: Option<f64>) -> String {
    value.map_or_else(none, figure)
}

fn added(row: &Row) -> String {
    row.added_ms.map_or_else(String::new, |ms| {
        let sign = if ms >= 0.0 { "+" } else { "" };
        format!("{sign}{}", figure(ms))
    })
}

/// What a row costs, column by column.
pub(super) const COSTS: [Column; 7] = [
    ("CPU, ms a mail", |row| known(row.cpu_ms)),
    ("more than its base", added),
    ("by the kernel, ms", |row| known(row.kernel_cpu_ms)),
    ("read by a worker", |row| row.cpu_ms.map_or_else(none, |_| percent(row.on_worker, row.mails))),
    ("memory, MiB", |row| row.rss_mib.map_or_else(none, count)),
    ("refused", |row| count(row.refused())),
    ("lost / twice", |row| {
        let found = row.conservation.as_ref();
        found.map_or_else(none, |found| {
            format!("{} / {}", count(found.lost_count), count(found.duplicated_count))
        })
    }),
];

/// What a row can, column by column.
pub(super) const RATES: [Column; 8] = [
    ("closed loop, mails/s", |row| figure(row.closed_per_second)),
    ("knee, mails/s", |row| known(row.knee)),
    ("latency at, mails/s", |row| known(row.rate)),
    ("p50, ms", |row| known(row.latency_ms.as_ref().map(|of| of.p50))),
    ("p90, ms", |row| known(row.latency_ms.as_ref().map(|of| of.p90))),
    ("p99, ms", |row| known(row.latency_ms.as_ref().map(|of| of.p99))),
    ("p99.9, ms", |row| known(row.latency_ms.as_ref().map(|of| of.p999))),
    // Below 10,000 mails this is the slowest of them.
    ("p99.99, ms", |row| known(row.latency_ms.as_ref().map(|of| of.p9999))),
];

fn none() -> String {
    "-".to_owned()
}

/// Name of a row, its mix and how it is kept.
pub(super) fn title(row: &Row) -> String {
    let mode = row.mode.as_deref().map_or_else(String::new, |mode| format!(", {mode}"));
    format!("{} ({}{mode})", row.name, row.mix)
}

/// Where it ran, and what, as pairs of words.
pub(super) fn circumstances(sheet: &Sheet) -> Vec<(&'static str, String)> {
    let machine = &sheet.machine;
    let cores = |cores: &[usize]| {
        let words: Vec<String> = cores.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    vec![
        ("processor", format!("{}, {} cores", machine.cpu, machine.cores)),
        ("memory", format!("{} MiB", count(machine.memory_kib / 1024))),
        ("kernel", machine.kernel.clone()),
        (
            "cores",
            format!(
                "engine, all its threads and workers: {}; generator and sink: {}",
                cores(&sheet.engine_cores),
                cores(&sheet.generator_cores)
            ),
        ),
        (
            "programs",
            format!(
                "engine {} (SHA-256 {}...); load generator {}",
                machine.engine.as_deref().unwrap_or("of an unknown version"),
                sheet.programs.engine_sha256,
                machine.loadgen_version
            ),
        ),
        (
            "commit",
            sheet.programs.commit.clone().unwrap_or_else(|| "the engine does not say".to_owned()),
        ),
        (
            "durability",
            format!(
                "through: the next hop has it before 250; spool and hold: fdatasync before 250, on {} \
                 ({} ms for a flush of 4 KiB)",
                sheet.disk.file_system,
                figure(sheet.disk.flush_ms)
            ),
        ),
        (
            "started",
            format!(
                "{}, {} s, {} plan",
                utc(sheet.started_unix),
                figure(sheet.seconds),
                sheet.plan
            ),
        ),
        (
            "machine before",
            sheet.load_before.map_or_else(
                || "load not known".to_owned(),
                |load| format!("load average {} over a minute", figure(load)),
            ),
        ),
        ("command", sheet.command.join(" ")),
    ]
}

/// Sums over all rows: sent and where it was found.
pub(super) fn conserved(sheet: &Sheet) -> String {
    let found: Vec<_> = sheet.rows.iter().filter_map(|row| row.conservation.as_ref()).collect();
    let sum = |of: fn(&super::Conservation) -> u64| count(found.iter().map(|one| of(one)).sum());
    format!(
        "sent {} = delivered {} + held {} + refused {} + dropped {} + unknown {} + lost {}; duplicated {}",
        sum(|one| one.sent),
        sum(|one| one.delivered),
        sum(|one| one.held),
        sum(|one| one.refused),
        sum(|one| one.dropped),
        sum(|one| one.unknown),
        sum(|one| one.lost_count),
        sum(|one| one.duplicated_count),
    )
}

/// Where each search for a knee stopped, in one line: steps beyond the knee are meant to fail.
pub(super) fn beyond_knees(sheet: &Sheet) -> Option<String> {
    let found = sheet.rows.iter().filter_map(|row| {
        let beyond = row.beyond_knee.as_ref()?;
        Some(format!("{} at {} mails/s ({})", row.name, figure(beyond.rate), beyond.why))
    });
    let found: Vec<String> = found.collect();
    (!found.is_empty()).then(|| {
        format!("Too much, as the search for the knee is to find out: {}", found.join("; "))
    })
}

/// What must be known of single rows before they are believed.
pub(super) fn remarks(sheet: &Sheet) -> Vec<(&'static str, String)> {
    let mut remarks = Vec::new();
    if let Some(load) = sheet.load_before.filter(|load| *load > BUSY_BEFORE) {
        remarks.push((
            "warn",
            format!(
                "The machine was BUSY WITH OTHER WORK (load {} before the first row): CPU a mail compares, rates and \
                 latencies are what was left",
                figure(load)
            ),
        ));
    }
    for row in &sheet.rows {
        if let Some(why) = &row.failed {
            remarks.push(("bad", format!("{}: PROVES NOTHING: {why}", row.name)));
        }
        if !row.stages.is_empty() && row.mails < MAILS_MIN {
            let text = format!(
                "{}: only {} mails in the closed loop, too few for CPU by stage, of which one turn in sixteen is \
                 measured: try --seconds",
                row.name,
                count(row.mails)
            );
            remarks.push(("warn", text));
        }
        if row.waiting > 0 {
            let waiting = count(row.waiting);
            let text =
                format!("{}: {waiting} mails still waited a minute after the load", row.name);
            remarks.push(("warn", text));
        }
        if row.refused() > 0 {
            let codes: Vec<String> = row
                .refusals
                .iter()
                .map(|(code, times)| format!("{code} {} times", count(*times)))
                .collect();
            let text = format!(
                "{}: refused {} (first: {})",
                row.name,
                codes.join(", "),
                row.first_refusal
            );
            remarks.push(("warn", text));
        }
        for why in &row.limited {
            remarks.push(("warn", format!("{}: LIMITED BY THE GENERATOR: {why}", row.name)));
        }
    }
    remarks
}

/// The sheet in words.
#[must_use]
pub fn render(sheet: &Sheet) -> String {
    let mut lines = vec!["Capacity sheet".to_owned(), String::new()];
    lines.push(
        "Cost: CPU of the engine's process, all its threads and workers, to the last delivery"
            .to_owned(),
    );
    columns(&mut lines, sheet, &COSTS);
    lines.extend([String::new(), rates_heading(sheet)]);
    columns(&mut lines, sheet, &RATES);
    lines.extend(beyond_knees(sheet).map(|text| printable(&text)));
    lines.push(String::new());
    lines.push(conserved(sheet));
    lines.extend(remarks(sheet).into_iter().map(|(_, text)| printable(&text)));
    if sheet.rows.iter().any(|row| !row.stages.is_empty()) {
        lines.push(String::new());
        lines.push(
            "CPU by stage, µs a mail (sampled by the engine: see `sekisho status`)".to_owned(),
        );
        lines.push(budget(sheet));
    }
    lines.extend(sheet.rows.iter().map(|row| format!("{}: {}", title(row), printable(&row.what))));
    lines.push(String::new());
    for (name, words) in circumstances(sheet) {
        lines.push(format!("{name}: {}", printable(&words)));
    }
    lines.join("\n") + "\n"
}

/// What the latencies are, in one line.
pub(super) fn rates_heading(sheet: &Sheet) -> String {
    let measured = sheet.rows.iter().filter(|row| row.latency_ms.is_some());
    let fewest = measured.map(|row| row.latency_mails).min();
    let of = fewest.map_or_else(String::new, |mails| {
        format!(
            ", of {} mails or more; a percentile that so few do not have is the slowest",
            count(mails)
        )
    });
    format!(
        "Rate, and latency at four fifths of the knee from the time at which a mail was due{of}"
    )
}

/// A table with a line for each row of the sheet; heads of several words stand in several lines.
fn columns(lines: &mut Vec<String>, sheet: &Sheet, all: &[Column]) {
    let widest = sheet.rows.iter().map(|row| title(row).chars().count()).max().unwrap_or(0);
    let width =
        |head: &str| parts(head).iter().map(|part| part.chars().count()).max().unwrap_or(0).max(7);
    for line in 0..3 {
        let mut text = " ".repeat(widest);
        for (head, _) in all {
            let word = parts(head).get(line).cloned().unwrap_or_default();
            let _ = write!(text, "  {word:>width$}", width = width(head));
        }
        if !text.trim().is_empty() {
            lines.push(text.trim_end().to_owned());
        }
    }
    for row in &sheet.rows {
        let mut text = format!("{:<widest$}", title(row));
        for (head, of) in all {
            let _ = write!(text, "  {:>width$}", of(row), width = width(head));
        }
        lines.push(text.trim_end().to_owned());
    }
}

/// At most three lines of a head.
fn parts(head: &str) -> Vec<String> {
    let mut words = head.split(' ');
    let first = words.next().unwrap_or_default().to_owned();
    let second = words.next().unwrap_or_default().to_owned();
    vec![first, second, words.collect::<Vec<_>>().join(" ")]
}

/// Stages of all rows in their order: that of the row in which they come first.
pub(super) fn stage_names(sheet: &Sheet) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in &sheet.rows {
        let mut after = 0;
        for stage in &row.stages {
            match names.iter().position(|name| *name == stage.name) {
                Some(at) => after = at + 1,
                None => {
                    names.insert(after.min(names.len()), &stage.name);
                    after += 1;
                }
            }
        }
    }
    names
}

/// Microseconds of a stage in a row; none where it has no such stage.
pub(super) fn micros(row: &Row, stage: &str) -> Option<f64> {
    row.stages.iter().find(|one| one.name == stage).map(|one| one.micros_per_mail)
}

/// The budget of a mail: a row for each stage, a column for each engine of the plan, microseconds; a table in
/// Markdown.
#[must_use]
pub fn budget(sheet: &Sheet) -> String {
    let rows: Vec<&Row> = sheet.rows.iter().filter(|row| !row.stages.is_empty()).collect();
    let names = stage_names(sheet);
    let head = "stage, µs of CPU a mail";
    let widest =
        names.iter().copied().chain([head]).map(|name| name.chars().count()).max().unwrap_or(0);
    let width = |row: &Row| row.name.chars().count().max(6);
    let mut text = format!("| {head:<widest$} |");
    for row in &rows {
        let _ = write!(text, " {:>width$} |", row.name, width = width(row));
    }
    let _ = write!(text, "\n|{}|", "-".repeat(widest + 2));
    for row in &rows {
        let _ = write!(text, "{}:|", "-".repeat(width(row) + 1));
    }
    let mut line = |name: &str, of: &dyn Fn(&Row) -> Option<f64>| {
        let _ = write!(text, "\n| {name:<widest$} |");
        for row in &rows {
            // Three digits are more than a run is worth.
            let words = of(row).map_or_else(none, |us| format!("{us:.1}"));
            let _ = write!(text, " {words:>width$} |", width = width(row));
        }
    };
    for name in names {
        line(name, &|row| micros(row, name));
    }
    line("**all**", &|row| row.cpu_ms.map(|ms| ms * 1000.0));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::sheet::sample;
    use super::*;

    #[test]
    fn the_sheet_in_words_has_a_line_for_each_row_and_says_what_to_doubt() {
        let text = render(&sample());
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        let words = |line: &str| {
            line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
        };
        let relay: Vec<String> =
            text.lines().filter(|line| line.starts_with("relay (")).map(words).collect();
        let expected = [
            "relay (sizes, through) 0.200 0.200 0 % 60 0 0 / 0",
            "relay (sizes, through) 3,000 2,800 2,240 1.50 4.00 9.25 30.0 42.0",
            "relay (sizes, through): what it adds",
        ];
        assert_eq!(relay, expected);
        assert!(line("starter rules (").contains("+0.300"));
        assert!(text.contains("starter rules: refused 451 4.3.2 3 times (first: 451 4.3.2 try"));
        assert!(text.contains("load average 0.250") && !text.contains("BUSY"));
        assert!(text.contains("sent 36 = delivered 36"));
        assert!(text.contains("hold: PROVES NOTHING: sent 9"));
        assert_eq!(text.matches("relay at 2,900 mails/s (91.0 % accepted)").count(), 1);
        assert!(text.contains("commit: the engine does not say"));
        assert!(text.contains("starter rules: LIMITED BY THE GENERATOR: knee"));
        assert!(text.contains("generator and sink: 1, 2"));
    }

    #[test]
    fn a_busy_machine_and_a_row_of_few_mails_are_said_to_be_so() {
        let mut sheet = sample();
        sheet.load_before = Some(4.5);
        assert!(render(&sheet).contains("BUSY WITH OTHER WORK (load 4.50"));
        assert!(!render(&sheet).contains("too few"));
        sheet.rows[1].mails = 52;
        assert!(
            render(&sheet)
                .contains("relay: only 52 mails in the closed loop, too few for CPU by stage")
        );
        sheet.load_before = None;
        assert!(render(&sheet).contains("load not known"));
    }

    #[test]
    fn the_budget_is_a_table_with_stages_in_their_order() {
        let text = budget(&sample());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "| stage, µs of CPU a mail |  relay | starter rules |   hold |");
        assert_eq!(lines[1], "|-------------------------|-------:|--------------:|-------:|");
        assert_eq!(lines[2], "| session                 |    8.1 |          20.2 |   40.5 |");
        assert_eq!(lines[3], "| scan                    |      - |           9.0 |      - |");
        assert_eq!(lines[6], "| **all**                 |  200.0 |         500.0 | 1000.0 |");
        assert_eq!(lines.len(), 7);
    }
}
