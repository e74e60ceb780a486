//! The report of an attack as one page that needs nothing else.

use std::fmt::Write as _;

use super::words::{kept, replies};
use super::{AttackSecond, HostileReport, Phase};
use crate::report::chart::{Along, Line, Plot, Up};
use crate::report::figures::answered;
use crate::report::html::{
    begin, circumstances, conservation, notice, notices, write_panel, write_table,
};
use crate::report::panels::{
    Panel, Run, Table, curve, latency_over_time, refusals, spread, started, throughput,
};
use crate::report::text::{count, escape, figure, fixed, percent, seconds};

/// Classes of the phases' lines, in their order.
const CLASSES: [&str; 3] = ["accepted", "permanent", "offered"];

/// The page.
pub fn page(report: &HostileReport) -> String {
    let joined = report.joined();
    let runs = Run::all(std::slice::from_ref(&joined));
    let mut page = begin(&report.title);
    let _ = writeln!(
        page,
        "<h1>{}</h1>\n<p class=\"quiet\">{}, {} s</p>",
        escape(&report.title),
        started(&joined),
        figure(joined.seconds),
    );
    notice(
        &mut page,
        if report.kept >= report.kept_min { "good" } else { "bad" },
        &capital(&kept(report)),
    );
    notices(&mut page, &joined, "");
    facts(&mut page, report);
    page.push_str("<div class=\"panels\">\n");
    write_panel(&mut page, &throughput(&runs), "Paying load over time, all phases");
    write_panel(&mut page, &latency_over_time(&runs), "Latency of the paying load over time");
    write_panel(&mut page, &percentiles(&report.phases), "Latency percentiles by phase");
    write_panel(&mut page, &attackers(report), "Attackers over time");
    write_panel(&mut page, &refusals(&runs), "Refusals of paying mails by reply");
    page.push_str("</div>\n<section class=\"below\"><h2>The paying load by phase</h2>");
    write_table(&mut page, &phases(report));
    page.push_str("</section>\n<section class=\"below\"><h2>What the attackers did</h2>");
    let attack = &report.attack;
    let _ = write!(
        page,
        "<p class=\"note\">{}</p>",
        escape(&format!(
            "At most {} sessions and {} new ones a second, from {} networks of {} addresses each; {} begun, {} held up by \
             busy sessions, {} not begun in time. Their thread was busy {} % of {} s.",
            count(attack.sessions_max as u64),
            figure(attack.per_second_max),
            count(attack.networks as u64),
            attack.hosts,
            count(attack.begun),
            count(attack.held_up),
            count(attack.late),
            fixed(attack.busy * 100.0, 0),
            figure(attack.seconds),
        ))
    );
    write_table(&mut page, &profiles(report));
    page.push_str("</section>\n");
    for run in &runs {
        conservation(&mut page, run);
        circumstances(&mut page, run);
    }
    page.push_str("</body></html>\n");
    page
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.map_or_else(String::new, |first| first.chain(characters).collect())
}

fn facts(page: &mut String, report: &HostileReport) {
    let latency = |index: usize| {
        let phase = report.phases.get(index).filter(|phase| answered(&phase.run) > 0);
        phase.map_or_else(|| "-".to_owned(), |phase| figure(phase.run.latency_ms.p99))
    };
    let rate =
        |index: usize| figure(report.phases.get(index).map_or(0.0, Phase::accepted_per_second));
    let most = report.attack.series.iter().map(|second| second.open).max().unwrap_or(0);
    page.push_str("<dl class=\"facts\">");
    for (name, words, unit) in [
        ("kept", fixed(report.kept, 3), "of 1"),
        ("accepted alone", rate(0), "mails/s"),
        ("accepted beside the attack", rate(1), "mails/s"),
        ("latency p99 alone", latency(0), "ms"),
        ("latency p99 beside the attack", latency(1), "ms"),
        ("attackers at a time", count(most), "sessions"),
    ] {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{words} <small>{unit}</small></dd></div>");
    }
    page.push_str("</dl>\n");
}

fn phases(report: &HostileReport) -> Table {
    let head = [
        "phase", "offered", "in time", "part", "4yz", "5yz", "unknown", "p50 ms", "p90", "p99",
        "p99.9", "p99.99", "max",
    ];
    let row = |phase: &Phase| {
        let (totals, of) = (&phase.run.totals, &phase.run.latency_ms);
        let is_known = answered(&phase.run) > 0;
        let mut cells = vec![
            phase.name.clone(),
            count(phase.offered),
            count(phase.accepted_in_time),
            percent(phase.accepted_in_time, phase.offered),
            count(totals.refused_temporary),
            count(totals.refused_permanent),
            count(totals.unknown),
        ];
        let all = [of.p50, of.p90, of.p99, of.p999, of.p9999, of.max];
        cells.extend(all.map(|ms| if is_known { figure(ms) } else { "-".to_owned() }));
        cells
    };
    Table { head: head.map(str::to_owned).to_vec(), rows: report.phases.iter().map(row).collect() }
}

fn profiles(report: &HostileReport) -> Table {
    let head = [
        "profile",
        "opened",
        "not connected",
        "turned away",
        "closed by us",
        "by the server",
        "of them reset",
        "after ms, p50",
        "p99",
        "max",
        "open at the end",
        "octets said",
        "replies",
    ];
    let rows = report.attack.profiles.iter().map(|profile| {
        let after = &profile.closed_after_ms;
        let ms = |value| if profile.server_closed > 0 { figure(value) } else { "-".to_owned() };
        vec![
            profile.name.clone(),
            count(profile.opened),
            count(profile.not_connected + profile.failed_here),
            count(profile.turned_away),
            count(profile.own_closed),
            count(profile.server_closed),
            count(profile.server_reset),
            ms(after.p50),
            ms(after.p99),
            ms(after.max),
            count(profile.open_at_end),
            count(profile.octets_sent),
            replies(&profile.replies),
        ]
    });
    Table { head: head.map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn percentiles(phases: &[Phase]) -> Panel {
    let known: Vec<(&Phase, &'static str)> =
        phases.iter().zip(CLASSES).filter(|(phase, _)| answered(&phase.run) > 0).collect();
    // Beyond the nines that the count of mails has, a percentile is the largest value again.
    let high = |phase: &Phase| (answered(&phase.run).max(10) as f64).log10().clamp(1.0, 6.0);
    let lines: Vec<Line> = known
        .iter()
        .map(|(phase, class)| Line {
            name: phase.name.clone(),
            class,
            points: spread(&curve(&phase.run), high(phase)),
        })
        .collect();
    let words: Vec<String> = known
        .iter()
        .map(|(phase, _)| {
            format!("{}: 99 % within {} ms", phase.name, figure(phase.run.latency_ms.p99))
        })
        .collect();
    let title = if words.is_empty() { "no mail was answered".to_owned() } else { words.join("; ") };
    let legend = lines.iter().map(|line| (line.name.clone(), line.class)).collect();
    let across = known.iter().map(|(phase, _)| high(phase)).fold(1.0, f64::max);
    let plot = Plot {
        label: title.clone(),
        along: Along::Quantiles(across),
        up: Up::Logarithmic,
        unit: "latency, ms",
        lines,
    };
    let chart = if plot.lines.is_empty() { String::new() } else { plot.render() };
    let head = ["phase", "p50", "p90", "p99", "p99.9", "p99.99", "max"].map(str::to_owned).to_vec();
    let rows = known.iter().map(|(phase, _)| {
        let of = &phase.run.latency_ms;
        let all = [of.p50, of.p90, of.p99, of.p999, of.p9999, of.max];
        std::iter::once(phase.name.clone()).chain(all.map(figure)).collect()
    });
    let table = Table { head, rows: rows.collect() };
    let note = "Latency counts from the time at which a mail was due.".to_owned();
    Panel { title, note, legend, chart, table }
}

fn attackers(report: &HostileReport) -> Panel {
    let series = &report.attack.series;
    let line = |name: &str, class, of: fn(&AttackSecond) -> u64| Line {
        name: name.to_owned(),
        class,
        points: series.iter().map(|one| (one.at + 0.5, Some(of(one) as f64))).collect(),
    };
    let lines = vec![
        line("open", "accepted", |one| one.open),
        line("new in the second", "offered", |one| one.opened),
        line("closed by the server in the second", "permanent", |one| one.server_closed),
    ];
    let most = series.iter().map(|one| one.open).max().unwrap_or(0);
    let opened: u64 = report.attack.profiles.iter().map(|profile| profile.opened).sum();
    let title = format!("{} attackers opened, {} at a time at most", count(opened), count(most));
    let legend = lines.iter().map(|line| (line.name.clone(), line.class)).collect();
    let end = report.joined().seconds;
    let plot = Plot {
        label: title.clone(),
        along: Along::Time(end),
        up: Up::FromZero,
        unit: "sessions",
        lines,
    };
    let chart = if series.is_empty() { String::new() } else { plot.render() };
    let head = ["second", "open", "new", "closed by the server"].map(str::to_owned).to_vec();
    let rows = series.iter().map(|one| {
        vec![seconds(one.at), count(one.open), count(one.opened), count(one.server_closed)]
    });
    let table = Table { head, rows: rows.collect() };
    Panel { title, note: String::new(), legend, chart, table }
}
