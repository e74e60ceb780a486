//! What the patterns cost on real mail, and if tiering loses a hit.
//!
//! `cargo run --release -p sekisho-bench --example patterns_cost -- RULES_DIR MAIL_DIR [--check]`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a program that measures and prints; it stops at the first error"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use sekisho_core::message::{View, ViewLimits};
use sekisho_core::scan::patterns::{
    BuildReport, Fields, Outcome, PatternSource, Patterns, SourceFormat, Ungated, build,
};

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

/// Nanoseconds that this thread was on a CPU: other work on the machine does not count.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// CR LF, as the engine stores mail.
fn canonical(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 40);
    for line in octets.split_inclusive(|c| *c == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut rules = Vec::new();
    files(Path::new(&args[1]), &mut rules);
    let sources: Vec<PatternSource> = rules
        .iter()
        .filter_map(|path| {
            let path_text = path.display().to_string();
            let format = SourceFormat::of_path(&path_text)?;
            Some(PatternSource { path: path_text, octets: std::fs::read(path).unwrap(), format })
        })
        .collect();
    let start = Instant::now();
    let mut report = BuildReport::default();
    // `--payload FILE`: keep what was built, to measure again without building.
    let kept = args.iter().position(|arg| arg == "--payload").and_then(|at| args.get(at + 1));
    let old = kept.and_then(|path| std::fs::read(path).ok());
    let payload = match old.map_or_else(|| build(&sources, &mut report).map(|built| built.0), Ok) {
        Ok(payload) => payload,
        Err(errors) => {
            errors.iter().for_each(|error| println!("{error}"));
            return;
        }
    };
    if let Some(path) = kept {
        std::fs::write(path, &payload).unwrap();
    }
    println!(
        "built in {:.1?}: {} KiB from {} files",
        start.elapsed(),
        payload.len() / 1024,
        sources.len()
    );
    let named: [(&str, fn(&Outcome) -> bool); 9] = [
        ("without an expression", |o| *o == Outcome::Taken),
        ("gated", |o| *o == Outcome::TakenGated),
        ("sieved", |o| *o == Outcome::TakenSieved),
        ("Hyperscan", |o| *o == Outcome::TakenExpression),
        ("prefilter + confirm", |o| *o == Outcome::Confirmed),
        ("PCRE2 alone", |o| *o == Outcome::TakenPlain),
        ("score 0", |o| *o == Outcome::ScoreZero),
        ("refused", |o| matches!(o, Outcome::Refused(_))),
        ("not taken", |o| matches!(o, Outcome::NotTaken(_))),
    ];
    println!("rules {}, taken {}", report.rules.len(), report.taken());
    for (name, wanted) in named {
        println!("  {name}: {}", report.count(wanted));
    }
    for rule in &report.rules {
        if let Outcome::Refused(why) = &rule.outcome {
            println!("  refused {} ({}): {why}", rule.name, rule.place);
        }
    }
    if args.iter().any(|arg| arg == "--report") {
        let mut costly: Vec<_> = report.rules.iter().collect();
        costly.sort_by_key(|rule| std::cmp::Reverse(rule.cost_ns_per_kib));
        for rule in costly.iter().take(60) {
            println!(
                "  {:6} ns/KiB {:?} {} {}",
                rule.cost_ns_per_kib, rule.outcome, rule.name, rule.place
            );
        }
        report.unknown_lines.iter().for_each(|line| println!("  {line}"));
    }
    if report.rules.iter().any(|rule| rule.cost_ns_per_kib > 0) {
        let mut sums = std::collections::BTreeMap::<String, (u32, usize)>::new();
        for rule in &report.rules {
            let key = format!("{} {:?}", rule.field, rule.outcome);
            let sum = sums.entry(key).or_default();
            sum.0 += rule.cost_ns_per_kib;
            sum.1 += 1;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, (cost, _))| std::cmp::Reverse(*cost));
        for (name, (cost, count)) in sums.iter().take(25) {
            println!("  {cost:7} ns/KiB in {count} rules: {name}");
        }
    }
    let start = Instant::now();
    let patterns = Patterns::open(&payload).unwrap();
    println!("opened in {:.1?}", start.elapsed());

    let mut mails = Vec::new();
    files(Path::new(&args[2]), &mut mails);
    let mails: Vec<Vec<u8>> =
        mails.iter().map(|path| canonical(&std::fs::read(path).unwrap())).collect();
    let bytes: usize = mails.iter().map(Vec::len).sum();
    let limits = ViewLimits::worker();
    let mut scratch = patterns.scratch().unwrap();
    let (mut view_s, mut scan_s, mut text, mut hits) = (0.0, 0.0, 0, 0);
    let ungated = Ungated::new(&patterns);
    let mut other = patterns.scratch().unwrap();
    let (mut differences, mut checked, mut limits_reached) = (0, 0, 0);
    for batch in mails.chunks(100) {
        let start = cpu_ns();
        let views: Vec<View<'_>> = batch.iter().map(|mail| View::build(mail, &limits)).collect();
        let fields: Vec<Fields<'_>> =
            views.iter().map(|view| Fields::of_view(view, None, patterns.wanted())).collect();
        view_s += (cpu_ns() - start) / 1e9;
        let start = cpu_ns();
        for fields in &fields {
            let run = patterns.run_fields(&mut scratch, fields, &async || {});
            let found = futures_lite::future::block_on(run).unwrap();
            hits += found.rules.len();
        }
        scan_s += (cpu_ns() - start) / 1e9;
        if args.iter().any(|arg| arg == "--check") {
            for fields in &fields {
                let run = patterns.run_fields(&mut scratch, fields, &async || {});
                let tiered = futures_lite::future::block_on(run).unwrap();
                let plain = ungated.run(&mut other, fields).unwrap();
                for (one, two, what) in
                    [(&tiered, &plain, "only tiered"), (&plain, &tiered, "lost")]
                {
                    for hit in one.rules.iter().filter(|hit| !two.rules.contains(hit)) {
                        differences += 1;
                        println!("{what}: {} {}", patterns.rule(hit.rule).unwrap().name, hit.count);
                    }
                }
                checked += plain.rules.len();
                limits_reached += plain.limits.len();
            }
        }
        let octets = |fields: &Fields<'_>| fields.body.octets.len() + fields.rawbody.octets.len();
        text += fields.iter().map(octets).sum::<usize>();
    }
    let count = mails.len() as f64;
    println!(
        "{} mails, {} KiB mean, text {} KiB mean; view {:.1} us, scan {:.1} us each = {:.1} MB/s of mail; {:.1} hits each",
        mails.len(),
        bytes / mails.len() / 1024,
        text / mails.len() / 1024,
        view_s / count * 1e6,
        scan_s / count * 1e6,
        bytes as f64 / scan_s / 1e6,
        hits as f64 / count,
    );
    println!("16 KiB of such mail: {:.1} us of scanning", scan_s / bytes as f64 * 16384.0 * 1e6);
    if checked > 0 {
        println!(
            "{checked} hits of the ungated rules, {differences} differences, {limits_reached} limits"
        );
    }
}
