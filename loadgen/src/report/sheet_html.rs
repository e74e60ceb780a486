//! The capacity sheet as one page that needs nothing else, like that of a run.

use std::fmt::Write;

use super::chart::{Along, Bar, Line, Plot, Up, bars};
use super::html::{begin, notice, words, write_panel, write_table};
use super::panels::{Panel, Table, spread};
use super::sheet::{Row, Sheet};
use super::sheet_text::{
    COSTS, Column, RATES, beyond_knees, circumstances, conserved, micros, rates_heading, remarks,
    stage_names, title,
};
use super::text::{capital, count, escape, figure, utc};

/// Lines of one chart by the style sheet; more would not be told apart.
const LINES: [&str; 7] = ["l1", "l2", "l3", "l4", "l5", "l6", "l7"];

/// The page.
#[must_use]
pub fn page(sheet: &Sheet) -> String {
    let mut page = begin("Capacity sheet");
    let _ = writeln!(
        page,
        "<h1>Capacity sheet</h1>\n<p class=\"quiet\">{}, {} plan, {} engines one after the other</p>",
        utc(sheet.started_unix),
        escape(&sheet.plan),
        sheet.rows.iter().filter(|row| row.mode.is_some()).count(),
    );
    let kind = if sheet.holds() { "good" } else { "bad" };
    notice(&mut page, kind, &format!("Every mail of every row: {}.", conserved(sheet)));
    for (kind, text) in remarks(sheet) {
        notice(&mut page, kind, &text);
    }
    facts(&mut page, sheet);
    page.push_str("<section><h2>What one more part costs</h2>");
    let note = "CPU is that of the engine's process, all its threads, and its workers, to the last delivery: as the engine \
                tells it by stage, and as the kernel counts it for the processes. A row is compared with its base, the row \
                that has one part less. Memory is resident, and tables that processes share count in each.";
    whole(&mut page, sheet, note, &COSTS);
    page.push_str("<div class=\"below\"></div><section><h2>What each engine can</h2>");
    let beyond = beyond_knees(sheet).map_or_else(String::new, |text| format!(" {text}."));
    whole(&mut page, sheet, &format!("{}.{beyond}", rates_heading(sheet)), &RATES);
    page.push_str("<div class=\"below\"></div><div class=\"panels\">\n");
    let engines = || sheet.rows.iter().filter(|row| row.mode.is_some());
    chart(&mut page, ("CPU a mail", "ms"), engines(), None, |row| row.cpu_ms);
    let knee = ("Highest rate that was kept up with", "mails/s");
    chart(&mut page, knee, sheet.rows.iter(), Some("knee"), |row| row.knee);
    latencies(&mut page, sheet);
    let within = ("99 % within, at four fifths of the knee", "ms");
    chart(&mut page, within, engines(), Some("latency"), |row| {
        row.latency_ms.as_ref().map(|of| of.p99)
    });
    let memory = ("Memory of the engine and its workers", "MiB");
    chart(&mut page, memory, engines(), None, |row| {
        row.rss_mib.and_then(|mib| u32::try_from(mib).ok()).map(f64::from)
    });
    refusals(&mut page, sheet);
    page.push_str("</div>\n");
    stages(&mut page, sheet);
    let pairs: Vec<_> = circumstances(sheet);
    words(&mut page, "What was run, and where", &pairs);
    page.push_str("</body></html>\n");
    page
}

/// The three figures that one looks for first.
fn facts(page: &mut String, sheet: &Sheet) {
    let named = |name: &str| sheet.rows.iter().find(|row| row.name == name);
    let mut facts = Vec::new();
    for (name, words) in [
        ("relay", "relay"),
        ("literals", "full scanning"),
        ("hold", "hold"),
        ("spool", "spool, durable"),
    ] {
        let Some(row) = named(name) else { continue };
        if let Some(ms) = row.cpu_ms {
            facts.push((format!("{words}, CPU a mail"), figure(ms), "ms"));
        }
        if let Some(knee) = row.knee {
            facts.push((format!("{words}, knee"), figure(knee), "mails/s"));
        }
    }
    if facts.is_empty() {
        return;
    }
    page.push_str("<dl class=\"facts\">");
    for (name, value, unit) in facts {
        let name = capital(&name);
        let _ = write!(page, "<div><dt>{name}</dt><dd>{value} <small>{unit}</small></dd></div>");
    }
    page.push_str("</dl>\n");
}

/// A section that was begun: a line for each row of the sheet.
fn whole(page: &mut String, sheet: &Sheet, note: &str, columns: &[Column]) {
    let mut head = vec!["engine with".to_owned()];
    head.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    let row = |row: &Row| {
        let mut cells = vec![format!("{}: {}", title(row), row.what)];
        cells.extend(columns.iter().map(|(_, of)| of(row)));
        cells
    };
    let table = Table { head, rows: sheet.rows.iter().map(row).collect() };
    let _ = writeln!(page, "<p class=\"note\">{}</p><div class=\"named\">", escape(note));
    write_table(page, &table);
    page.push_str("</div></section>\n");
}

/// Percentiles of all engines that had the same mails, a chart for each mix.
fn latencies(page: &mut String, sheet: &Sheet) {
    let mut mixes: Vec<&str> = Vec::new();
    for row in sheet.rows.iter().filter(|row| row.mode.is_some() && !row.latency_curve.is_empty()) {
        if !mixes.contains(&row.mix.as_str()) {
            mixes.push(&row.mix);
        }
    }
    for mix in mixes {
        let rows: Vec<&Row> = sheet
            .rows
            .iter()
            .filter(|row| row.mode.is_some() && row.mix == mix && !row.latency_curve.is_empty())
            .collect();
        let lines: Vec<Line> = rows
            .iter()
            .zip(LINES)
            .map(|(row, class)| Line {
                name: row.name.clone(),
                class,
                points: spread(&row.latency_curve, nines_max(row)),
            })
            .collect();
        let high = rows.iter().map(|row| nines_max(row)).fold(1.0, f64::max);
        let legend = lines.iter().map(|line| (line.name.clone(), line.class)).collect();
        let title = format!("Latency percentiles, mix {mix}");
        let plot = Plot {
            label: title.clone(),
            along: Along::Quantiles(high),
            up: Up::Logarithmic,
            unit: "latency, ms",
            lines,
        };
        let mut head = vec!["percentile".to_owned()];
        head.extend(rows.iter().map(|row| format!("{}, ms", row.name)));
        let line = |(name, of): &(&str, Of)| {
            let mut cells = vec![(*name).to_owned()];
            cells.extend(rows.iter().map(|row| {
                row.latency_ms.as_ref().map_or_else(|| "-".to_owned(), |ms| figure(of(ms)))
            }));
            cells
        };
        let table = Table { head, rows: PERCENTILES.iter().map(line).collect() };
        let note = "Open loop at four fifths of each engine's own knee.".to_owned();
        let panel = Panel { title, note, legend, chart: plot.render(), table };
        write_panel(page, &panel, "From the time at which a mail was due");
    }
}

/// One latency of all.
type Of = fn(&super::Percentiles) -> f64;

const PERCENTILES: [(&str, Of); 6] = [
    ("p50", |of| of.p50),
    ("p90", |of| of.p90),
    ("p99", |of| of.p99),
    ("p99.9", |of| of.p999),
    ("p99.99", |of| of.p9999),
    ("max", |of| of.max),
];

/// Beyond the nines that the count of mails has, a percentile is the largest value again.
#[expect(clippy::cast_precision_loss, reason = "mails of a run")]
fn nines_max(row: &Row) -> f64 {
    (row.latency_mails.max(10) as f64).log10().clamp(1.0, 6.0)
}

fn refusals(page: &mut String, sheet: &Sheet) {
    let mut rows = Vec::new();
    for row in &sheet.rows {
        for (code, times) in &row.refusals {
            rows.push(vec![title(row), code.clone(), count(*times)]);
        }
    }
    page.push_str(
        "<section><h2>Refusals by code</h2><p class=\"note\">Replies other than 2yz in the closed and the open loop; the \
         ramp goes beyond the knee on purpose and is not counted.</p>",
    );
    if rows.is_empty() {
        page.push_str("<p>None: every mail of every row was accepted.</p>");
    } else {
        let head = ["engine with", "reply", "times"].map(str::to_owned).to_vec();
        write_table(page, &Table { head, rows });
    }
    page.push_str("</section>\n");
}

/// Bars of all rows. `limit`: how what the generator limited begins, where that touches these figures.
fn chart<'r>(
    page: &mut String,
    (name, unit): (&str, &str),
    rows: impl Iterator<Item = &'r Row>,
    limit: Option<&str>,
    of: impl Fn(&Row) -> Option<f64>,
) {
    let is_limited =
        |row: &Row| limit.is_some_and(|limit| row.limited.iter().any(|why| why.starts_with(limit)));
    let mut seen = false;
    let made: Vec<Bar> = rows
        .filter_map(|row| {
            let value = of(row)?;
            let limited = is_limited(row);
            seen |= limited;
            let (class, star) = if limited { ("temporary", " *") } else { ("accepted", "") };
            let words = format!("{} {unit}{star}", figure(value));
            Some(Bar { name: row.name.clone(), words, class, value })
        })
        .collect();
    if made.is_empty() {
        return;
    }
    let note =
        if seen { "<p class=\"note\">* limited by the generator, not the engine</p>" } else { "" };
    let _ = writeln!(
        page,
        "<section><h2>{}</h2>{note}{}</section>",
        escape(name),
        bars(&format!("{name}, {unit}"), &made)
    );
}

fn stages(page: &mut String, sheet: &Sheet) {
    let rows: Vec<&Row> = sheet.rows.iter().filter(|row| !row.stages.is_empty()).collect();
    if rows.is_empty() {
        return;
    }
    page.push_str("<div class=\"below\"></div><div class=\"panels\">\n");
    for row in &rows {
        let made: Vec<Bar> = row
            .stages
            .iter()
            .map(|stage| Bar {
                name: stage.name.clone(),
                words: format!("{} µs", figure(stage.micros_per_mail)),
                class: "accepted",
                value: stage.micros_per_mail,
            })
            .collect();
        let heading = format!("{} µs of CPU a mail", figure(row.cpu_ms.unwrap_or(0.0) * 1000.0));
        let _ = writeln!(
            page,
            "<section><p class=\"kind\">CPU by stage: {}</p><h2>{heading}</h2>{}</section>",
            escape(&title(row)),
            bars(&heading, &made)
        );
    }
    page.push_str("</div>\n<div class=\"below\"></div>");
    let mut head = vec!["stage, µs of CPU a mail".to_owned()];
    head.extend(rows.iter().map(|row| row.name.clone()));
    let line = |name: &str| {
        let mut cells = vec![name.to_owned()];
        let cell = |row: &&Row| micros(row, name).map_or_else(|| "-".to_owned(), figure);
        cells.extend(rows.iter().map(cell));
        cells
    };
    let table = Table { head, rows: stage_names(sheet).into_iter().map(line).collect() };
    page.push_str(
        "<section><h2>Budget of a mail</h2><p class=\"note\">Told by the engine, which measures one of sixteen turns of \
         a session and all of a worker. The rest of a shard is what no stage has: the executor, its ring, the kernel's \
         work for it.</p>",
    );
    write_table(page, &table);
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::super::sheet::sample;
    use super::*;

    #[test]
    fn the_page_is_well_formed_needs_nothing_else_and_warns_before_its_figures() {
        let page = page(&sample());
        let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
        let read = roxmltree::Document::parse(body).unwrap();
        let with = |class: &str| {
            let found = read.descendants().filter(|node| node.attribute("class") == Some(class));
            found.count()
        };
        assert_eq!((with("notice bad"), with("notice warn"), with("notice good")), (2, 2, 0));
        let rows = read.descendants().find(|node| node.has_tag_name("tbody")).unwrap();
        assert_eq!(rows.children().filter(|node| node.has_tag_name("tr")).count(), 4);
        assert!(page.contains("view &lt;b&gt;"), "names of stages are an engine's words");
        assert!(
            page.contains("<td>451 4.3.2</td><td>3</td>") && page.contains("try &lt;later&gt;")
        );
        let starred = page.matches("2,800 mails/s *</text>").count();
        assert_eq!(starred, 2, "the knee that the generator limited, in both shapes");
        assert_eq!(with("line l1"), 2, "percentiles of the first engine, in both shapes");
        assert!(!page.contains("<script") && !page.contains("http-equiv=\"refresh"));
    }
}
