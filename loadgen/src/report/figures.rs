//! The figures of a run by name, as words, tables and comparisons show them.

use super::RunReport;
use super::text::{count, figure};

/// One figure of a run. None: not measured.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub value: Option<f64>,
    /// Counted, not measured.
    counted: bool,
}

impl Figure {
    /// The value in words, without its unit.
    pub(super) fn words(&self) -> String {
        match self.value {
            None => "-".to_owned(),
            // Counts of a run are far below 2^53.
            Some(value) if self.counted && value.is_finite() => super::text::fixed(value, 0),
            Some(value) => figure(value),
        }
    }
}

/// All figures of a run, in the order in which one asks for them.
pub(super) fn figures(report: &RunReport) -> Vec<Figure> {
    let measured = |name, unit, value: Option<f64>| Figure { name, unit, value, counted: false };
    let counted =
        |name, value: u64| Figure { name, unit: "", value: Some(value as f64), counted: true };
    // A run in which no mail was answered has no latencies; zeros would be the best ever seen.
    let latency = |value: f64| (answered(report) > 0).then_some(value);
    let of = &report.latency_ms;
    let mut all = vec![
        measured("accepted", "mails/s", Some(report.mails_per_second)),
        measured("run", "s", Some(report.seconds)),
        counted("mails accepted", report.totals.accepted),
        counted("refused for now (4yz)", report.totals.refused_temporary),
        counted("refused for good (5yz)", report.totals.refused_permanent),
        counted("unknown (broken off)", report.totals.unknown),
        counted("connections not made", report.totals.connect_failures),
        measured("latency p50", "ms", latency(of.p50)),
        measured("latency p90", "ms", latency(of.p90)),
        measured("latency p99", "ms", latency(of.p99)),
        measured("latency p99.9", "ms", latency(of.p999)),
        measured("latency p99.99", "ms", latency(of.p9999)),
        measured("latency max", "ms", latency(of.max)),
        measured("engine CPU a mail", "ms", engine_cpu_ms_per_mail(report)),
        measured("engine memory, most", "MiB", engine_mib_most(report)),
        measured(
            "generator CPU a mail",
            "ms",
            Some(report.generator.cpu_ms_per_mail).filter(|ms| *ms > 0.0),
        ),
    ];
    if let Some(found) = &report.conservation {
        all.push(counted("mails lost", found.lost_count));
        all.push(counted("mails duplicated", found.duplicated_count));
    }
    all
}

/// Mails that got a reply.
pub(super) fn answered(report: &RunReport) -> u64 {
    let totals = &report.totals;
    totals.accepted.saturating_add(refused(report))
}

/// Mails that were refused.
pub(super) fn refused(report: &RunReport) -> u64 {
    report.totals.refused_temporary.saturating_add(report.totals.refused_permanent)
}

/// CPU of the engine over the run, shared by the mails that it answered.
pub(crate) fn engine_cpu_ms_per_mail(report: &RunReport) -> Option<f64> {
    let known: Vec<f64> = report.series.iter().filter_map(|second| second.engine_cpu_ms).collect();
    let mails = answered(report);
    (!known.is_empty() && mails > 0).then(|| known.iter().sum::<f64>() / mails as f64)
}

fn engine_mib_most(report: &RunReport) -> Option<f64> {
    let most = report.series.iter().filter_map(|second| second.engine_rss_kib).max()?;
    Some(most as f64 / 1024.0)
}

/// What was asked for, as pairs of words.
pub(super) fn load_words(report: &RunReport) -> Vec<(&'static str, String)> {
    let load = &report.load;
    let yes = |asked: bool| if asked { "yes" } else { "no" }.to_owned();
    let named = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    vec![
        ("mix", named(&load.mix)),
        ("sessions", count(load.sessions as u64)),
        (
            "arrivals",
            load.arrivals_per_second.map_or_else(
                || "closed loop: the next mail when the last was answered".to_owned(),
                |rate| format!("{} mails/s, latency from the time a mail was due", figure(rate)),
            ),
        ),
        ("mails on a connection", count(load.mails_per_connection)),
        ("recipients of a mail", count(load.recipients as u64)),
        ("pipelining", yes(load.pipelining)),
        ("BDAT", yes(load.bdat)),
        ("TLS", named(&load.tls)),
        ("threads", count(load.threads as u64)),
        ("source addresses", count(load.source_addresses as u64)),
        ("seed", load.seed.to_string()),
    ]
}

/// Where it ran, as pairs of words; what is not known is left out.
pub(super) fn machine_words(report: &RunReport) -> Vec<(&'static str, String)> {
    let machine = &report.machine;
    let known = |number: u64, words: String| (number > 0).then_some(words);
    let all = [
        ("processor", Some(machine.cpu.clone())),
        ("cores", known(machine.cores as u64, count(machine.cores as u64))),
        ("memory", known(machine.memory_kib, format!("{} MiB", count(machine.memory_kib / 1024)))),
        ("kernel", Some(machine.kernel.clone())),
        ("load generator", Some(machine.loadgen_version.clone())),
        ("engine", machine.engine.clone()),
        ("durability", machine.durability.clone()),
    ];
    let words = all.into_iter().filter_map(|(name, words)| Some((name, words?)));
    words.filter(|(_, words)| !words.is_empty()).collect()
}
