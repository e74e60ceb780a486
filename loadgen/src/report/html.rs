//! A run, or two side by side, as one page that needs nothing else: no script, no network, no
//! font file. It is well-formed XML too, so that a test can read it with a parser.

use std::fmt::Write;

use super::RunReport;
use super::compare::{differences, rows};
use super::figures::{answered, figures, load_words, machine_words, refused};
use super::panels::{Panel, Run, Table, panels, started};
use super::text::{capital, count, escape, figure};

const STYLE: &str = include_str!("page.css");
/// What the charts are about, in the order of [`panels`]; their titles are findings.
const KINDS: [&str; 7] = [
    "Throughput over time",
    "Latency percentiles",
    "Latency over time",
    "CPU over time",
    "Refusals by reply",
    "CPU a mail by stage",
    "Memory over time",
];
/// Figures that stand at the top of the page of one run.
const FACTS: [&str; 6] =
    ["accepted", "latency p50", "latency p99", "latency p99.99", "engine CPU a mail", "mails lost"];

/// The page of one run.
pub fn page(report: &RunReport) -> String {
    render(std::slice::from_ref(report))
}

/// The page of two runs, the second measured by the first.
pub fn page_of_two(a: &RunReport, b: &RunReport) -> String {
    render(&[a.clone(), b.clone()])
}

fn render(reports: &[RunReport]) -> String {
    let runs = Run::all(reports);
    let titles: Vec<String> = runs.iter().map(|run| title_of(run.report)).collect();
    let mut page = begin(&titles.join(" / "));
    match reports {
        [a, b] => head_of_two(&mut page, a, b),
        _ => runs.iter().for_each(|run| head_of_one(&mut page, run.report)),
    }
    page.push_str("<div class=\"panels\">\n");
    for (panel, kind) in panels(&runs).iter().zip(KINDS) {
        write_panel(&mut page, panel, kind);
    }
    page.push_str("</div>\n");
    for run in &runs {
        conservation(&mut page, run);
        circumstances(&mut page, run);
    }
    page.push_str("</body></html>\n");
    page
}

/// Everything before the first heading.
pub(super) fn begin(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n"
    )
}

fn title_of(report: &RunReport) -> String {
    if report.title.is_empty() { "A run without a title".to_owned() } else { report.title.clone() }
}

pub(super) fn notice(page: &mut String, class: &str, text: &str) {
    let _ = writeln!(page, "<div class=\"notice {class}\"><p>{}</p></div>", escape(text));
}

/// What must be known before any figure is believed.
pub(super) fn notices(page: &mut String, report: &RunReport, name: &str) {
    if let Some(reason) = &report.generator.limited {
        notice(
            page,
            "warn",
            &format!(
                "{name}Limited by the load generator, so this says what the generator can, not the engine: {reason}"
            ),
        );
    }
    if let Some(found) = &report.conservation {
        if found.sum() != found.sent {
            notice(
                page,
                "bad",
                &format!(
                    "{name}The count does not add up: {} sent, {} found.",
                    count(found.sent),
                    count(found.sum())
                ),
            );
        }
        if found.lost_count > 0 {
            notice(
                page,
                "bad",
                &format!("{name}{} accepted mails were lost.", count(found.lost_count)),
            );
        } else if found.sum() == found.sent {
            notice(
                page,
                "good",
                &format!(
                    "{name}No mail was lost: all {} were found again. Duplicated: {}.",
                    count(found.sent),
                    count(found.duplicated_count)
                ),
            );
        }
    }
    let totals = &report.totals;
    if totals.unknown > 0 || totals.connect_failures > 0 {
        notice(
            page,
            "warn",
            &format!(
                "{name}Broken off before the answer: {}; connections that could not be made: {}.",
                count(totals.unknown),
                count(totals.connect_failures)
            ),
        );
    }
    if !report.first_refusal.is_empty() {
        notice(page, "warn", &format!("{name}First refusal: {}", report.first_refusal));
    }
}

fn head_of_one(page: &mut String, report: &RunReport) {
    let _ = writeln!(
        page,
        "<h1>{}</h1>\n<p class=\"quiet\">{}, {} s: {} mails accepted, {} refused</p>",
        escape(&title_of(report)),
        started(report),
        figure(report.seconds),
        count(report.totals.accepted),
        count(refused(report)),
    );
    notices(page, report, "");
    page.push_str("<dl class=\"facts\">");
    for fact in figures(report).iter().filter(|fact| FACTS.contains(&fact.name)) {
        let words = fact.words();
        let unit = if words == "-" { "not measured" } else { fact.unit };
        let _ =
            write!(page, "<div><dt>{}</dt><dd>{words} <small>{unit}</small></dd></div>", fact.name);
    }
    page.push_str("</dl>\n");
}

fn head_of_two(page: &mut String, a: &RunReport, b: &RunReport) {
    page.push_str("<h1>Two runs side by side</h1>\n");
    for (name, report) in [("A", a), ("B", b)] {
        let _ = writeln!(
            page,
            "<p class=\"quiet\"><b>{name}</b>: {}, {}</p>",
            escape(&title_of(report)),
            started(report),
        );
    }
    for (name, report) in [("A: ", a), ("B: ", b)] {
        notices(page, report, name);
    }
    for (name, in_a, in_b) in differences(a, b) {
        notice(page, "warn", &format!("Not the same in both, {name}: A {in_a}; B {in_b}."));
    }
    let table = Table {
        head: ["figure", "A", "B", "B / A"].map(str::to_owned).to_vec(),
        rows: rows(a, b)
            .into_iter()
            .map(|row| {
                let name = if row.unit.is_empty() {
                    row.name
                } else {
                    format!("{}, {}", row.name, row.unit)
                };
                vec![
                    name,
                    row.words.0,
                    row.words.1,
                    row.ratio.map_or_else(|| "-".to_owned(), figure),
                ]
            })
            .collect(),
    };
    page.push_str(
        "<section><h2>Figures and ratios</h2><p class=\"note\">One run each: only a repeat of the same run \
         shows how much of a ratio is chance.</p>",
    );
    write_table(page, &table);
    page.push_str("</section>\n<div class=\"below\"></div>\n");
}

pub(super) fn write_panel(page: &mut String, panel: &Panel, kind: &str) {
    let _ = writeln!(
        page,
        "<section><p class=\"kind\">{kind}</p><h2>{}</h2>",
        escape(&capital(&panel.title))
    );
    if !panel.note.is_empty() {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(&panel.note));
    }
    if panel.chart.is_empty() {
        page.push_str("</section>\n");
        return;
    }
    if panel.legend.len() > 1 {
        page.push_str("<ul class=\"legend\">");
        for (name, class) in &panel.legend {
            let _ = write!(
                page,
                "<li><svg class=\"{class}\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><path d=\"M1 5L27 5\"/></svg>{}</li>",
                escape(name)
            );
        }
        page.push_str("</ul>\n");
    }
    page.push_str(&panel.chart);
    page.push_str("<details><summary>The same as a table</summary>");
    write_table(page, &panel.table);
    page.push_str("</details></section>\n");
}

pub(super) fn write_table(page: &mut String, table: &Table) {
    page.push_str("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for cell in &table.head {
        let _ = write!(page, "<th scope=\"col\">{}</th>", escape(cell));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escape(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>");
}

pub(super) fn words(page: &mut String, heading: &str, pairs: &[(&str, String)]) {
    let _ = write!(
        page,
        "<section class=\"below\"><h2>{}</h2><table class=\"words\"><tbody>",
        escape(heading)
    );
    for (name, words) in pairs {
        let _ = writeln!(page, "<tr><td>{name}</td><td>{}</td></tr>", escape(words));
    }
    page.push_str("</tbody></table></section>\n");
}

pub(super) fn conservation(page: &mut String, run: &Run<'_>) {
    let Some(found) = &run.report.conservation else { return };
    let mut pairs = vec![
        ("sent", count(found.sent)),
        ("delivered", count(found.delivered)),
        ("held", count(found.held)),
        ("refused", count(found.refused)),
        ("dropped", count(found.dropped)),
        ("unknown", count(found.unknown)),
        ("lost", count(found.lost_count)),
        ("duplicated", count(found.duplicated_count)),
    ];
    for (name, ids) in [("lost ids", &found.lost), ("duplicated ids", &found.duplicated)] {
        if !ids.is_empty() {
            pairs.push((name, ids.join(" ")));
        }
    }
    words(page, &of_run(run, "Where every mail was found again"), &pairs);
}

pub(super) fn circumstances(page: &mut String, run: &Run<'_>) {
    let report = run.report;
    let mut pairs = load_words(report);
    pairs.extend(machine_words(report));
    if report.generator.threads > 0 || report.generator.cpu_ms_per_mail > 0.0 {
        pairs.push((
            "generator",
            format!(
                "{} threads, {} ms of CPU a mail",
                report.generator.threads,
                figure(report.generator.cpu_ms_per_mail)
            ),
        ));
    }
    pairs.push(("mails answered", count(answered(report))));
    if !report.command.is_empty() {
        pairs.push(("command", report.command.join(" ")));
    }
    words(page, &of_run(run, "What was run, and where"), &pairs);
}

fn of_run(run: &Run<'_>, heading: &str) -> String {
    if run.name.is_empty() { heading.to_owned() } else { format!("{}: {heading}", run.name) }
}
