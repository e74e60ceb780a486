//! What YARA rules cost: to compile, to open in a worker, and for each mail. Only with the feature `yara`.
//!
//! ```text
//! cargo run --release -p sekisho-bench --features yara --example yara_cost -- COUNT|DIR_OF_RULES MAIL_DIR
//! ```
//!
//! With a number so many rules are made: two strings, octets with gaps and an expression each, as public sets have them. Times are
//! those of the thread on a CPU, memory is what is resident.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program that measures and prints; it stops at the first error"
)]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use sekisho_core::classify::Reading;
use sekisho_core::message::{View, ViewLimits};
use sekisho_core::scan::patterns::{BuildReport, Outcome, Scratch};
use sekisho_core::scan::yara::{self, Yara, YaraSource};
use sekisho_core::scan::{ArchiveLimits, ScanTables, examine, expand};
use sekisho_loadgen::mix::to_canonical;

/// The engine's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAILS_MAX: usize = 500;
/// First argument of the process that only opens rules.
const OPEN: &str = "--open";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rules, mails] = args.as_slice() else {
        println!("COUNT|DIR_OF_RULES MAIL_DIR");
        return;
    };
    if rules == OPEN {
        open(Path::new(mails));
        return;
    }
    let texts = match rules.parse() {
        Ok(count) => vec![("generated.yar".to_owned(), generated(count).into_bytes())],
        Err(_) => read(Path::new(rules)),
    };
    let sources: Vec<YaraSource<'_>> =
        texts.iter().map(|(path, octets)| YaraSource { path, octets }).collect();
    let mut report = BuildReport::default();
    let begun = cpu_ms();
    let built = yara::build(&sources, &HashSet::new(), &mut report).unwrap();
    let (payload, count) = built.unwrap();
    let refused = report.rules.iter().filter(|rule| matches!(rule.outcome, Outcome::Refused(_)));
    println!("{count} rules of {} files, {} mistakes", texts.len(), refused.count());
    println!("compiled in {:.0} ms, {} KiB", cpu_ms() - begun, payload.len() / 1024);
    // In a process of its own: memory that the compiler gave back is used again here.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &payload).unwrap();
    let program = std::env::current_exe().unwrap();
    let opened = Command::new(program).arg(OPEN).arg(file.path()).status().unwrap();
    assert!(opened.success());
    let yara = Yara::open(&payload, clock()).unwrap();
    let mut mails = read(Path::new(mails));
    mails.truncate(MAILS_MAX);
    let views: Vec<Vec<u8>> = mails.iter().map(|(_, octets)| to_canonical(octets)).collect();
    let octets: usize = views.iter().map(Vec::len).sum();
    println!("{} mails, {:.1} KiB mean", views.len(), octets as f64 / 1024.0 / views.len() as f64);
    let without = all(&views, None);
    let with = all(&views, Some(&yara));
    println!("without rules {without:.2} ms a mail, with them {with:.2} ms");
}

/// What a worker does with the rules before its first mail.
fn open(payload: &Path) {
    let payload = std::fs::read(payload).unwrap();
    let (before, begun) = (resident_kib(), cpu_ms());
    let yara = Yara::open(&payload, clock()).unwrap();
    println!("opened in {:.0} ms, {} KiB more", cpu_ms() - begun, resident_kib() - before);
    drop(yara);
}

fn clock() -> Box<dyn Fn() -> Duration> {
    let begun = Instant::now();
    Box::new(move || begun.elapsed())
}

/// Milliseconds a mail; the least of three rounds.
fn all(mails: &[Vec<u8>], yara: Option<&Yara>) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..3 {
        let begun = cpu_ms();
        for raw in mails {
            let mut view = View::build(raw, &ViewLimits::worker());
            expand(&mut view, &ArchiveLimits::default());
            let tables = ScanTables {
                patterns: None,
                hash: None,
                url_host: None,
                reading: Reading::Nothing,
                content: &[],
                yara,
            };
            yara.iter().for_each(|yara| yara.begin());
            let mut scratch = Scratch::default();
            block_on(examine(&view, &tables, &mut scratch, None, &async || ())).unwrap();
        }
        least = least.min(cpu_ms() - begun);
    }
    least / mails.len() as f64
}

fn generated(count: usize) -> String {
    let mut out = String::new();
    for n in 0..count {
        let octet = n % 256;
        writeln!(
            out,
            "rule Generated{n} {{ meta: author = \"bench\" strings: $a = \"marker-{n:06x}-loader\" nocase \
             $b = \"CreateRemote{n}Thread\" wide ascii $c = {{ 4D {octet:02X} ?? [2-6] {n:08X} 90 }} \
             $d = /https?:\\/\\/[a-z0-9.]{{1,20}}gate{n}\\.example\\/[a-z]{{4,8}}/ \
             condition: filesize < 20MB and (2 of them or ($c and uint16(0) == 0x5A4D)) }}"
        )
        .unwrap();
    }
    out
}

fn read(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut open: Vec<PathBuf> = vec![dir.to_owned()];
    let mut out = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            out.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    out.sort();
    out
}

fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
    nanos / 1e6
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
