//! Two runs side by side, with ratios.

use serde::Serialize;

use super::RunReport;
use super::figures::{figures, load_words, machine_words};
use super::text::{figure, printable};

/// One figure of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// Its unit; empty for counts.
    pub unit: String,
    /// In the first run; none: not measured.
    pub a: Option<f64>,
    /// In the second run; none: not measured.
    pub b: Option<f64>,
    /// The second divided by the first, where that is a number.
    pub ratio: Option<f64>,
    /// Values as words.
    #[serde(skip)]
    pub(super) words: (String, String),
}

/// All figures that at least one of two runs has.
pub fn rows(a: &RunReport, b: &RunReport) -> Vec<Row> {
    let (first, second) = (figures(a), figures(b));
    // Either may have figures that the other lacks; the order is that of the longer list.
    let names = if second.len() > first.len() { &second } else { &first };
    names
        .iter()
        .map(|named| {
            let find = |all: &[super::figures::Figure]| {
                let found = all.iter().find(|one| one.name == named.name);
                (
                    found.and_then(|one| one.value).filter(|value| value.is_finite()),
                    found.map_or_else(|| "-".to_owned(), super::figures::Figure::words),
                )
            };
            let ((a, a_words), (b, b_words)) = (find(&first), find(&second));
            let ratio = match (a, b) {
                (Some(a), Some(b)) if a != 0.0 => Some(b / a).filter(|ratio| ratio.is_finite()),
                _ => None,
            };
            Row {
                name: named.name.to_owned(),
                unit: named.unit.to_owned(),
                a,
                b,
                ratio,
                words: (a_words, b_words),
            }
        })
        .filter(|row| row.a.is_some() || row.b.is_some())
        .collect()
}

/// What makes two runs hard to compare: name, what it was in each.
pub fn differences(a: &RunReport, b: &RunReport) -> Vec<(String, String, String)> {
    let words = |report: &RunReport| {
        let mut all = load_words(report);
        // The engine is what is compared; a fresh seed draws from the same mix.
        all.retain(|(name, _)| *name != "seed");
        all.extend(machine_words(report).into_iter().filter(|(name, _)| *name != "engine"));
        all
    };
    let (first, second) = (words(a), words(b));
    let mut names: Vec<&str> = first.iter().chain(&second).map(|(name, _)| *name).collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        let new = !seen.contains(name);
        seen.push(*name);
        new
    });
    let find = |all: &[(&str, String)], name: &str| {
        let found = all.iter().find(|(other, _)| *other == name);
        found.map_or_else(|| "not known".to_owned(), |(_, words)| words.clone())
    };
    names
        .into_iter()
        .map(|name| (name.to_owned(), find(&first, name), find(&second, name)))
        .filter(|(_, a, b)| a != b)
        .collect()
}

/// Two runs in words: a table, and below it what else differs.
pub fn render(a: &RunReport, b: &RunReport) -> String {
    let mut lines = vec![
        format!("A: {}", printable(&a.title)),
        format!("B: {}", printable(&b.title)),
        format!("{:<28} {:>12} {:>12} {:>8}", "", "A", "B", "B / A"),
    ];
    for row in rows(a, b) {
        let name =
            if row.unit.is_empty() { row.name } else { format!("{}, {}", row.name, row.unit) };
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), figure);
        lines.push(format!("{name:<28} {:>12} {:>12} {ratio:>8}", row.words.0, row.words.1));
    }
    for (name, a, b) in differences(a, b) {
        lines.push(format!("NOT THE SAME: {name}: {} / {}", printable(&a), printable(&b)));
    }
    for (run, report) in [("A", a), ("B", b)] {
        if let Some(reason) = &report.generator.limited {
            lines.push(format!("{run} WAS LIMITED BY THE GENERATOR: {}", printable(reason)));
        }
    }
    lines.push(
        "One run each: only a repeat of the same run shows how much of a ratio is chance."
            .to_owned(),
    );
    lines.join("\n") + "\n"
}
