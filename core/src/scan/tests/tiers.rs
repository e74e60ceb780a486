//! Tiers lose no hit: per rule and mail, the hits are those of every rule run ungated (issue 2,
//! section 3). `bench/examples/patterns_cost.rs --check` does it with any rules and mails; here it is
//! bounded: expressions of our own that are hard to gate, the starter rules, and SpamAssassin's rules
//! over a sample of the corpus.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;

use super::{corpus, files_below};
use crate::message::{View, ViewLimits};
use crate::scan::patterns::{
    BuildReport, Fields, Outcome, PatternSource, Patterns, SourceFormat, Ungated, build,
};

/// Left out of the corpus' rules: its eight rules take most of a minute to build, ten times as long as
/// all others together.
const LONG_TO_BUILD: &str = "jhardin/20_fillform.cf";

/// Mails of each folder of the corpus: 200 in the gate, all in the long run.
fn sample_max() -> usize {
    if std::env::var_os("SEKISHO_SOAK").is_some() { usize::MAX } else { 200 }
}

fn sources_of(paths: &[PathBuf]) -> Vec<PatternSource> {
    let source = |path: &PathBuf| {
        let name = path.display().to_string();
        let format = SourceFormat::of_path(&name)?;
        Some(PatternSource { octets: std::fs::read(path).unwrap(), path: name, format })
    };
    paths.iter().filter_map(source).collect()
}

/// Evenly spread: every n-th file.
fn sample_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    files_below(folder, &mut files);
    let step = files.len().div_ceil(sample_max()).max(1);
    let named =
        |path: &PathBuf| (path.display().to_string(), canonical(&std::fs::read(path).unwrap()));
    files.iter().step_by(step).map(named).collect()
}

/// CR LF, as the engine stores mail, and without the line that an mbox has above it.
fn canonical(octets: &[u8]) -> Vec<u8> {
    let from_line = octets.starts_with(b"From ");
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 40);
    for line in octets.split_inclusive(|c| *c == b'\n').skip(usize::from(from_line)) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// What hit, to see that the comparison was about something.
struct Compared {
    hits: usize,
    rules: BTreeSet<String>,
}

/// Runs all rules with and without tiers over all mails, and fails with every difference.
fn compare(patterns: &Patterns, mails: &[(String, Vec<u8>)]) -> Compared {
    let ungated = Ungated::new(patterns);
    let mut scratch = patterns.scratch().unwrap();
    let mut other = patterns.scratch().unwrap();
    let mut compared = Compared { hits: 0, rules: BTreeSet::new() };
    let mut wrong = Vec::new();
    for (mail, octets) in mails {
        let view = View::build(octets, &ViewLimits::shard());
        let envelope_from = Some(&b"bounce-1-a@news.example.net"[..]);
        let fields = Fields::of_view(&view, envelope_from, patterns.wanted());
        let run = patterns.run_fields(&mut scratch, &fields, &async || {});
        let tiered = block_on(run).unwrap();
        let plain = ungated.run(&mut other, &fields).unwrap();
        let name = |rule| patterns.rule(rule).unwrap().name.clone();
        for (one, two, what) in [(&plain, &tiered, "lost"), (&tiered, &plain, "only tiered")] {
            let missing = one.rules.iter().filter(|hit| !two.rules.contains(hit));
            wrong.extend(
                missing.map(|hit| format!("{mail}: {what}: {} x{}", name(hit.rule), hit.count)),
            );
        }
        for hit in &plain.rules {
            compared.hits += 1;
            compared.rules.insert(name(hit.rule));
        }
    }
    let all = wrong.len();
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{all} differences, the first:\n{}", wrong.join("\n"));
    compared
}

fn built(sources: &[PatternSource]) -> (Patterns, BuildReport) {
    let mut report = BuildReport::default();
    let payload = build(sources, &mut report).unwrap();
    (Patterns::open(&payload.0).unwrap(), report)
}

/// Rules that were given a way other than PCRE2 over everything, and hit.
fn gated_with_hits(report: &BuildReport, compared: &Compared) -> usize {
    let gate = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::TakenGated
                | Outcome::TakenSieved
                | Outcome::TakenExpression
                | Outcome::Confirmed
        )
    };
    let hit = |name: &String| compared.rules.contains(name);
    report.rules.iter().filter(|rule| gate(&rule.outcome) && hit(&rule.name)).count()
}

#[test]
fn difficult_and_starter_rules_hit_as_often_as_without_their_gates() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = here.join("src/scan/tests");
    let mut paths = vec![own.join("difficult.cf"), own.join("difficult.toml")];
    files_below(&here.join("data/rules"), &mut paths);
    let (patterns, report) = built(&sources_of(&paths));
    let difficult = std::fs::read_to_string(own.join("difficult.eml")).unwrap();
    let mut mails: Vec<(String, Vec<u8>)> = [
        ("as it is", difficult.clone()),
        ("in one paragraph", difficult.replace("\n\n", "\n").replacen("\n--part", "\n\n--part", 1)),
        ("each line alone", difficult.replace(". ", ".\n\n")),
        ("in upper case", difficult.to_uppercase().replace("--PART", "--part")),
        // Every place in the slices and sets of units that a scan goes by.
        ("after 63 KiB", difficult.replacen("Cheap", &(".\n".repeat(32_200) + "\nCheap"), 1)),
        ("after 70 units", difficult.replacen("Cheap", &("zz\n\n".repeat(70) + "Cheap"), 1)),
    ]
    .map(|(name, text)| (name.to_owned(), canonical(text.as_bytes())))
    .into();
    let first = compare(&patterns, &mails[..1]);
    let difficult = report.rules.iter().filter(|rule| rule.place.contains("/difficult."));
    let silent: Vec<_> = difficult.filter(|rule| !first.rules.contains(&rule.name)).collect();
    assert!(silent.is_empty(), "not taken or never hit: {silent:#?}");
    mails.extend(sample_below(&here.join("../tests/data/eml")));
    for name in ["mail", "japanese"] {
        if let Some(folder) = corpus(name) {
            mails.extend(sample_below(&folder));
        }
    }
    let compared = compare(&patterns, &mails);
    let gated = gated_with_hits(&report, &compared);
    eprintln!("{} mails, {} hits, {gated} gated rules with hits", mails.len(), compared.hits);
    assert!(gated > 40, "{gated}");
}

#[test]
fn spamassassins_rules_hit_as_often_as_without_their_gates() {
    let (Some(rules), Some(mail)) = (corpus("rules"), corpus("mail")) else { return };
    let mut paths = Vec::new();
    files_below(&rules.join("spamassassin"), &mut paths);
    paths.retain(|path| !path.ends_with(LONG_TO_BUILD));
    let (patterns, report) = built(&sources_of(&paths));
    let mut mails = Vec::new();
    for folder in ["ham-easy", "ham-hard", "spam"] {
        mails.extend(sample_below(&mail.join(folder)));
    }
    let compared = compare(&patterns, &mails);
    let gated = gated_with_hits(&report, &compared);
    eprintln!(
        "{} rules taken, {} mails, {} hits, {gated} gated rules with hits",
        report.taken(),
        mails.len(),
        compared.hits
    );
    assert!(report.taken() > 1_000 && gated > 200, "{} {gated}", report.taken());
}
