//! A run in words, for a terminal.

use std::fmt::Write;

use super::figures::{answered, engine_cpu_ms_per_mail, load_words, machine_words};
use super::text::{count, figure, percent, printable, utc};
use super::{Conservation, RunReport};

/// Replies that are listed; a server may make up as many as it likes.
const REPLIES_MAX: usize = 20;

/// A run in words, lines of about 100 columns. Text of peers cannot move the cursor.
pub fn render(report: &RunReport) -> String {
    let mut lines = Vec::new();
    if !report.title.is_empty() {
        lines.push(printable(&report.title));
    }
    let totals = &report.totals;
    lines.push(format!(
        "accepted {}, refused for now {}, refused {}, unknown {}, not connected {}",
        count(totals.accepted),
        count(totals.refused_temporary),
        count(totals.refused_permanent),
        count(totals.unknown),
        count(totals.connect_failures),
    ));
    lines.push(format!(
        "{} mails/s in {} s; latency {}",
        figure(report.mails_per_second),
        figure(report.seconds),
        latencies(report),
    ));
    if !report.replies.is_empty() {
        lines.push(format!("replies: {}", replies(report)));
    }
    if !report.first_refusal.is_empty() {
        lines.push(format!("first refusal: {}", printable(&report.first_refusal)));
    }
    if let Some(cpu) = cpu(report) {
        lines.push(cpu);
    }
    lines.extend(stages(report));
    if let Some(found) = &report.conservation {
        lines.extend(conservation(found));
    }
    if let Some(reason) = &report.generator.limited {
        lines.push(format!("LIMITED BY THE GENERATOR: {}", printable(reason)));
    }
    let pairs = |words: Vec<(&str, String)>| {
        let words: Vec<String> =
            words.iter().map(|(name, words)| format!("{name} {}", printable(words))).collect();
        words.join(", ")
    };
    lines.push(format!("load: {}", pairs(load_words(report))));
    lines.push(format!("machine: {}", pairs(machine_words(report))));
    if report.started_unix > 0 {
        lines.push(format!("started: {}", utc(report.started_unix)));
    }
    if !report.command.is_empty() {
        lines.push(format!("command: {}", printable(&report.command.join(" "))));
    }
    lines.join("\n") + "\n"
}

/// CPU of the engine by stage in one line; none where it did not tell.
#[must_use]
pub fn stages(report: &RunReport) -> Option<String> {
    let stages = report.stages.iter();
    let words: Vec<String> = stages
        .map(|stage| format!("{} {}", printable(&stage.name), figure(stage.micros_per_mail)))
        .collect();
    (!words.is_empty()).then(|| format!("stages, µs of CPU a mail: {}", words.join(", ")))
}

fn latencies(report: &RunReport) -> String {
    if answered(report) == 0 {
        return "not known: no mail was answered".to_owned();
    }
    let of = &report.latency_ms;
    let all = [
        ("p50", of.p50),
        ("p90", of.p90),
        ("p99", of.p99),
        ("p99.9", of.p999),
        ("p99.99", of.p9999),
        ("max", of.max),
    ];
    let words: Vec<String> =
        all.iter().map(|(name, ms)| format!("{name} {}", figure(*ms))).collect();
    format!("ms {}", words.join(", "))
}

fn replies(report: &RunReport) -> String {
    let all: u64 = report.replies.values().fold(0, |sum, times| sum.saturating_add(*times));
    let mut sorted: Vec<(&String, &u64)> = report.replies.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut words: Vec<String> = sorted
        .iter()
        .take(REPLIES_MAX)
        .map(|(code, times)| {
            format!("{} {} times ({})", printable(code), count(**times), percent(**times, all))
        })
        .collect();
    if sorted.len() > REPLIES_MAX {
        words.push(format!("{} others", sorted.len() - REPLIES_MAX));
    }
    words.join("; ")
}

fn cpu(report: &RunReport) -> Option<String> {
    let engine = engine_cpu_ms_per_mail(report);
    let own = Some(report.generator.cpu_ms_per_mail).filter(|ms| *ms > 0.0);
    if engine.is_none() && own.is_none() {
        return None;
    }
    let mut text = "CPU a mail:".to_owned();
    if let Some(ms) = engine {
        let _ = write!(text, " engine {} ms;", figure(ms));
    }
    if let Some(ms) = own {
        let _ =
            write!(text, " generator {} ms ({} threads);", figure(ms), report.generator.threads);
    }
    Some(text.trim_end_matches(';').to_owned())
}

pub(super) fn conservation(found: &Conservation) -> Vec<String> {
    let mut lines = vec![format!(
        "sent {} = delivered {} + held {} + refused {} + dropped {} + unknown {} + lost {}; duplicated {}",
        count(found.sent),
        count(found.delivered),
        count(found.held),
        count(found.refused),
        count(found.dropped),
        count(found.unknown),
        count(found.lost_count),
        count(found.duplicated_count),
    )];
    if found.sum() != found.sent {
        lines.push(format!("DOES NOT ADD UP: sent {}, found {}", found.sent, found.sum()));
    }
    for (word, ids) in [("LOST", &found.lost), ("DUPLICATED", &found.duplicated)] {
        if !ids.is_empty() {
            lines.push(format!("{word}: {}", printable(&ids.join(" "))));
        }
    }
    lines
}
