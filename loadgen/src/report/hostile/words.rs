//! The report of an attack in words, for a terminal.

use std::collections::BTreeMap;

use super::{AttackReport, HostileReport, Phase, ProfileReport};
use crate::report::figures::{answered, machine_words};
use crate::report::text::{count, figure, fixed, percent, printable, utc};
use crate::report::words::conservation;

/// Replies of a profile that are listed; a server may make up as many as it likes.
const REPLIES_MAX: usize = 8;

/// A run in words, lines of about 100 columns. Text of peers cannot move the cursor.
pub fn render(report: &HostileReport) -> String {
    let mut lines = vec![printable(&report.title)];
    if let Some(peak) = report.peak {
        lines.push(format!("peak alone: {} mails/s", figure(peak)));
    }
    lines.push(phase_head());
    lines.extend(report.phases.iter().map(phase_row));
    for phase in &report.phases {
        let replies = replies(&phase.run.replies);
        if phase.run.replies.keys().any(|code| !code.starts_with('2')) {
            lines.push(format!("{}: {replies}", phase.name));
        }
    }
    lines.push(kept(report));
    lines.extend(attack(&report.attack));
    if let Some(found) = &report.conservation {
        lines.extend(conservation(found));
    }
    if let Some(reason) = &report.limited {
        lines.push(format!("LIMITED BY THE GENERATOR: {}", printable(reason)));
    }
    let machine: Vec<String> = machine_words(&report.joined())
        .iter()
        .map(|(name, words)| format!("{name} {}", printable(words)))
        .collect();
    lines.push(format!("machine: {}", machine.join(", ")));
    if report.started_unix > 0 {
        lines.push(format!("started: {}", utc(report.started_unix)));
    }
    if !report.command.is_empty() {
        lines.push(format!("command: {}", printable(&report.command.join(" "))));
    }
    lines.join("\n") + "\n"
}

/// The verdict in one line.
pub(super) fn kept(report: &HostileReport) -> String {
    format!(
        "kept: {} of the paying load ({} wanted): {} mails/s accepted beside the attack, {} alone",
        fixed(report.kept, 3),
        fixed(report.kept_min, 2),
        figure(of_phase(report, 1).map_or(0.0, Phase::accepted_per_second)),
        figure(of_phase(report, 0).map_or(0.0, Phase::accepted_per_second)),
    )
}

fn of_phase(report: &HostileReport, index: usize) -> Option<&Phase> {
    report.phases.get(index)
}

fn phase_head() -> String {
    format!(
        "{:<9} {:>8} {:>9} {:>7} {:>6} {:>6} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "phase",
        "offered",
        "in time",
        "part",
        "4yz",
        "5yz",
        "unknown",
        "p50 ms",
        "p99",
        "p99.9",
        "p99.99",
        "max"
    )
}

fn phase_row(phase: &Phase) -> String {
    let (totals, of) = (&phase.run.totals, &phase.run.latency_ms);
    let is_known = answered(&phase.run) > 0;
    let ms = |value: f64| if is_known { figure(value) } else { "-".to_owned() };
    format!(
        "{:<9} {:>8} {:>9} {:>7} {:>6} {:>6} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8}",
        phase.name,
        count(phase.offered),
        count(phase.accepted_in_time),
        percent(phase.accepted_in_time, phase.offered),
        count(totals.refused_temporary),
        count(totals.refused_permanent),
        count(totals.unknown),
        ms(of.p50),
        ms(of.p99),
        ms(of.p999),
        ms(of.p9999),
        ms(of.max),
    )
}

fn attack(attack: &AttackReport) -> Vec<String> {
    let most: u64 = attack.series.iter().map(|second| second.open).max().unwrap_or(0);
    let mut lines = vec![
        format!(
            "attack: at most {} sessions and {} new ones a second, from {} networks of {} addresses; {} s, the first {} \
             before the paying load",
            count(attack.sessions_max as u64),
            figure(attack.per_second_max),
            count(attack.networks as u64),
            attack.hosts,
            figure(attack.seconds),
            figure(attack.lead_seconds),
        ),
        format!(
            "        {} begun ({} a second), {} open at a time, {} held up by busy sessions, {} not begun in time; its \
             thread was busy {} %",
            count(attack.begun),
            figure(if attack.seconds > 0.0 { attack.begun as f64 / attack.seconds } else { 0.0 }),
            count(most),
            count(attack.held_up),
            count(attack.late),
            fixed(attack.busy * 100.0, 0),
        ),
        format!(
            "{:<14} {:>8} {:>7} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>10}",
            "profile",
            "opened",
            "not con",
            "turned a",
            "by us",
            "by server",
            "p50 ms",
            "max ms",
            "open end",
            "octets"
        ),
    ];
    for profile in &attack.profiles {
        lines.push(profile_row(profile));
        if !profile.replies.is_empty() {
            lines.push(format!("    {}", replies(&profile.replies)));
        }
    }
    lines
}

fn profile_row(profile: &ProfileReport) -> String {
    let after = &profile.closed_after_ms;
    let ms = |value| if profile.server_closed > 0 { figure(value) } else { "-".to_owned() };
    format!(
        "{:<14} {:>8} {:>7} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>10}",
        printable(&profile.name),
        count(profile.opened),
        count(profile.not_connected + profile.failed_here),
        count(profile.turned_away),
        count(profile.own_closed),
        count(profile.server_closed),
        ms(after.p50),
        ms(after.max),
        count(profile.open_at_end),
        count(profile.octets_sent),
    )
}

/// Replies by code, the most frequent first.
pub(super) fn replies(all: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = all.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let listed = sorted.iter().take(REPLIES_MAX);
    let mut words: Vec<String> = listed
        .map(|(code, times)| format!("{} {} times", printable(code), count(**times)))
        .collect();
    if sorted.len() > REPLIES_MAX {
        words.push(format!("{} others", sorted.len() - REPLIES_MAX));
    }
    words.join("; ")
}
