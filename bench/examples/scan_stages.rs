//! What each stage between the final dot and the findings costs for one mail, and the texts that
//! rules see, as one digest a mail.
//!
//! ```text
//! cargo run --release -p sekisho-bench --example scan_stages -- stages RULES_DIR [--payload FILE] [MAIL_DIR]
//! cargo run --release -p sekisho-bench --example scan_stages -- texts MAIL_DIR > FILE
//! cargo run --release -p sekisho-bench --example scan_stages -- render ROUNDS
//! ```
//!
//! `stages` takes the least CPU time of several rounds: other work on the machine makes a round
//! slower and never faster. Without `MAIL_DIR` it takes the load generator's mix. `texts` is for
//! comparing two builds: their outputs must be the same. `render` does the same work each time, to
//! be counted by `valgrind --tool=callgrind`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::type_complexity,
    reason = "a program that measures and prints; it stops at the first error"
)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::hint::black_box;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use sekisho_core::message::{View, ViewLimits};
use sekisho_core::scan::patterns::{
    BuildReport, Fields, PatternSource, Patterns, Scratch, SourceFormat, build,
};
use sekisho_loadgen::mix::{Mix, to_canonical};
use sekisho_loadgen::random::Random;

/// The engine's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const MIX_MAILS: usize = 400;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("stages") => stages(&args[1..]),
        Some("texts") => texts(Path::new(&args[1])),
        Some("render") => render(args[1].parse().unwrap()),
        _ => println!(
            "stages RULES_DIR [--payload FILE] [MAIL_DIR] | texts MAIL_DIR | render ROUNDS"
        ),
    }
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

fn read_mails(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = Vec::new();
    files(dir, &mut paths);
    let read = |path: PathBuf| (path.clone(), to_canonical(&std::fs::read(&path).unwrap()));
    paths.into_iter().map(read).collect()
}

/// Mails of the mix, by their size class as well.
fn mix_mails() -> Vec<Vec<u8>> {
    let mix = Mix::generated(1);
    let mut random = Random::new(2);
    (0..MIX_MAILS).map(|number| mix.draw(&mut random, &format!("id-{number}"))).collect()
}

/// Nanoseconds that this thread was on a CPU. The kernel brings the figure up to date when the
/// thread is scheduled, else only at its next tick (4 ms).
fn cpu_ns() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Least microseconds for each of `count` mails.
fn least(count: usize, mut run: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let start = cpu_ns();
        run();
        least = least.min(cpu_ns() - start);
    }
    least / count as f64 / 1e3
}

fn open_patterns(args: &[String]) -> Patterns {
    let kept = args.iter().position(|arg| arg == "--payload").map(|at| args[at + 1].clone());
    if let Some(payload) = kept.as_ref().and_then(|path| std::fs::read(path).ok()) {
        return Patterns::open(&payload).unwrap();
    }
    let mut paths = Vec::new();
    files(Path::new(&args[0]), &mut paths);
    let source = |path: &PathBuf| {
        let name = path.display().to_string();
        let format = SourceFormat::of_path(&name)?;
        Some(PatternSource { path: name, octets: std::fs::read(path).unwrap(), format })
    };
    let sources: Vec<PatternSource> = paths.iter().filter_map(source).collect();
    let payload = build(&sources, &mut BuildReport::default()).unwrap().0;
    if let Some(path) = kept {
        std::fs::write(path, &payload).unwrap();
    }
    Patterns::open(&payload).unwrap()
}

fn stages(args: &[String]) {
    let patterns = open_patterns(args);
    let dir = args.iter().skip(1).rfind(|arg| Path::new(arg).is_dir());
    let mails: Vec<Vec<u8>> = match dir {
        Some(dir) => read_mails(Path::new(dir)).into_iter().map(|(_, mail)| mail).collect(),
        None => mix_mails(),
    };
    let classes: [(&str, std::ops::Range<usize>); 4] = [
        ("all", 0..usize::MAX),
        ("to 8 KiB", 0..8 * 1024),
        ("8 to 64 KiB", 8 * 1024..64 * 1024),
        ("64 KiB and more", 64 * 1024..usize::MAX),
    ];
    let mut scratch = patterns.scratch().unwrap();
    for (name, sizes) in classes {
        let chosen: Vec<&[u8]> =
            mails.iter().map(Vec::as_slice).filter(|mail| sizes.contains(&mail.len())).collect();
        if !chosen.is_empty() {
            class(name, &chosen, &patterns, &mut scratch);
        }
    }
}

/// Part of what the rules see.
type Keep = for<'f, 'a> fn(&'f Fields<'a>) -> Fields<'a>;

/// One size class: microseconds for each mail and stage. Every round makes its views anew, since
/// they keep what was once asked for.
fn class(name: &str, mails: &[&[u8]], patterns: &Patterns, scratch: &mut Scratch) {
    let limits = ViewLimits::shard();
    let count = mails.len();
    let bytes: usize = mails.iter().map(|mail| mail.len()).sum();
    println!("{name}: {count} mails, {} octets mean, us each:", bytes / count);
    let with = |ask: &dyn Fn(&View<'_>)| {
        least(count, || {
            for mail in mails {
                let view = View::build(mail, &limits);
                ask(&view);
                black_box(&view);
            }
        })
    };
    let structure = with(&|_| {});
    println!("  structure {structure:.1}");
    let wanted = patterns.wanted();
    let all = with(&|view| {
        black_box(Fields::of_view(view, None, wanted));
    });
    println!("  texts that the rules ask for {:.1}", all - structure);
    let asks: [(&str, &dyn Fn(&View<'_>)); 4] = [
        ("body", &|view| {
            black_box(view.body());
        }),
        ("rawbody", &|view| {
            black_box(view.rawbody());
        }),
        ("body + normalised", &|view| {
            black_box(view.normalised());
        }),
        ("body + URIs", &|view| {
            black_box(view.uris());
        }),
    ];
    for (name, ask) in asks {
        println!("    {name} {:.1}", with(ask) - structure);
    }
    let views: Vec<View<'_>> = mails.iter().map(|mail| View::build(mail, &limits)).collect();
    let fields: Vec<Fields<'_>> =
        views.iter().map(|view| Fields::of_view(view, None, wanted)).collect();
    let mut scan = |keep: Keep| {
        let kept: Vec<Fields<'_>> = fields.iter().map(keep).collect();
        least(count, || {
            for fields in &kept {
                black_box(block_on(patterns.run_fields(scratch, fields, &async || {})).unwrap());
            }
        })
    };
    let total = scan(|f| f.clone());
    println!("  scan {total:.1}; {:.1} MB/s of mail", bytes as f64 / count as f64 / total);
    let none = scan(|_| Fields::default());
    println!("    nothing there {none:.1}");
    let keeps: [(&str, Keep); 6] = [
        ("headers", |f| Fields {
            headers: f.headers.clone(),
            raw: &f.raw[..f.header_bytes],
            header_bytes: f.header_bytes,
            ..Fields::default()
        }),
        ("body", |f| Fields { body: f.body, ..Fields::default() }),
        ("rawbody", |f| Fields { rawbody: f.rawbody, ..Fields::default() }),
        ("normalised", |f| Fields { normalised: f.normalised, ..Fields::default() }),
        ("URIs", |f| Fields { uris: f.uris.clone(), ..Fields::default() }),
        ("raw and parts", |f| Fields { raw: f.raw, parts: f.parts.clone(), ..Fields::default() }),
    ];
    for (name, keep) in keeps {
        println!("    {name} {:.1}", scan(keep) - none);
    }
    println!("  sum {:.1}", all + total);
}

fn texts(dir: &Path) {
    for (path, mail) in read_mails(dir) {
        let view = View::build(&mail, &ViewLimits::worker());
        let mut hasher = DefaultHasher::new();
        let digest = |value: &dyn std::fmt::Debug| {
            let mut hasher = DefaultHasher::new();
            format!("{value:?}").hash(&mut hasher);
            hasher.finish()
        };
        for part in &view.parts {
            format!("{:?} {:?}", part.text(), part.html()).hash(&mut hasher);
            part.decoded.hash(&mut hasher);
        }
        println!(
            "{} structure {:x} fields {:x} parts {:x} body {:x} rawbody {:x} normalised {:x} uris {:x}",
            path.strip_prefix(dir).unwrap().display(),
            digest(&(view.header_bytes, &view.exceptions, view.parts.len())),
            digest(&view.fields),
            hasher.finish(),
            digest(view.body()),
            digest(view.rawbody()),
            digest(view.normalised()),
            digest(&view.uris()),
        );
    }
}

fn render(rounds: usize) {
    let mails = mix_mails();
    for _ in 0..rounds {
        for mail in &mails {
            let view = View::build(mail, &ViewLimits::shard());
            black_box((view.body(), view.rawbody(), view.uris(), view.normalised()));
        }
    }
}
