//! Tables at the size to reach: `cargo run --release -p sekisho-bench --example tables_scale --
//! [list entries] [recipients] [networks] [work directory]`; 10 M, 1 M, 1 M and the system's temporary
//! directory if absent. Prints build time, file sizes, look-ups/s, single changes/s with their delay
//! until they are in force, swaps under load, memory. Figures are for comparing on one machine, nothing
//! is asserted but that answers are right.

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

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sekisho_core::clock::UnixMillis;
use sekisho_core::envelope::Mailbox;
use sekisho_core::tables::publish::Publisher;
use sekisho_core::tables::sources::{ListFormat, item};
use sekisho_core::tables::{
    Change, Current, Entry, Generation, MatchOn, NetworkClass, Owner, Polarity, Side, Snapshot,
    Source, SourceKind, Sources,
};

const DOMAINS: u64 = 1000;

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number ^ (number >> 29)
}

fn recipient(number: u64) -> (String, String) {
    (format!("user{number:x}"), format!("d{}.example", number % DOMAINS))
}

/// Entry `number` of the lists: of an account, of a domain, of the gateway.
fn entry(number: u64, recipients: u64) -> (String, String) {
    let random = mix(number);
    let sender = format!("s{number:x}@mail{}.example.net", random % 50_000);
    let (local_part, domain) = recipient(random % recipients);
    match number % 4 {
        0 | 1 => (format!("account:{local_part}@{domain}"), sender),
        2 => (format!("domain:{domain}"), sender),
        _ => ("gateway".to_owned(), sender),
    }
}

fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn lines(path: &Path, count: u64, line: impl Fn(u64) -> String) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for number in 0..count {
        writeln!(file, "{}", line(number)).unwrap();
    }
    file.flush().unwrap();
}

fn sources(dir: &Path, entries: u64, recipients: u64, networks: u64) -> Sources {
    lines(&dir.join("domains.toml"), DOMAINS, |number| {
        format!(
            "[[domain]]\nname = \"d{number}.example\"\nprofile = \"securemail\"\n[[domain.route]]\nhost = \"mx.d{number}.example\"\n"
        )
    });
    lines(&dir.join("recipients.txt"), recipients, |number| {
        let (local_part, domain) = recipient(number);
        format!("{local_part}@{domain}")
    });
    lines(&dir.join("senders.csv"), entries, |number| {
        let (owner, sender) = entry(number, recipients);
        let polarity = if number % 2 == 0 { "allow" } else { "block" };
        format!("{owner},sender,{polarity},{sender}")
    });
    lines(&dir.join("bad.zone"), networks, |number| {
        let address = std::net::Ipv4Addr::from(u32::try_from(mix(number) >> 32).unwrap());
        format!("{address} :127.0.0.2:listed")
    });
    let source = |name: &str, kind| Source { path: dir.join(name), kind };
    let zone = SourceKind::Networks {
        list: "bad".into(),
        class: NetworkClass::Positive,
        format: ListFormat::Rbldnsd,
    };
    Sources {
        files: vec![
            source("domains.toml", SourceKind::Domains),
            source("recipients.txt", SourceKind::Recipients),
            source("senders.csv", SourceKind::Entries),
            source("bad.zone", zone),
        ],
        ..Sources::default()
    }
}

/// Runs `ask` for `count` numbers and prints its rate.
fn rate(name: &str, count: u64, mut ask: impl FnMut(u64) -> bool) {
    let start = Instant::now();
    let hits = (0..count).filter(|number| ask(*number)).count();
    let seconds = start.elapsed().as_secs_f64();
    let (rate, nanoseconds) = (count as f64 / seconds, seconds * 1e9 / count as f64);
    println!("{name}: {rate:.0}/s, {nanoseconds:.0} ns each, {hits} of {count} found");
}

fn look_ups(snapshot: &Snapshot, entries: u64, recipients: u64) {
    let at = UnixMillis(1);
    let asked: Vec<Mailbox> = (0..500_000)
        .map(|number| {
            let (local_part, domain) = recipient(mix(number) % (2 * recipients));
            Mailbox::new(&local_part, &domain)
        })
        .collect();
    let pairs: Vec<(Mailbox, Mailbox)> = (0..200_000_u64)
        .map(|number| {
            let number = mix(number) % (2 * entries);
            let (_, sender) = entry(number, recipients);
            let (local_part, domain) = recipient(mix(number) % recipients);
            let (sender, sender_domain) = sender.split_once('@').unwrap();
            (Mailbox::new(&local_part, &domain), Mailbox::new(sender, sender_domain))
        })
        .collect();
    let place = |number: u64| usize::try_from(number).unwrap();
    for pass in ["first pass", "warm"] {
        rate(&format!("resolve recipient, {pass}"), asked.len() as u64, |number| {
            use sekisho_core::tables::Resolution;
            let found = snapshot.resolve(asked.get(place(number)).unwrap());
            matches!(found, Resolution::Known { listed: true, .. })
        });
        rate(
            &format!("sender entries of all owners and patterns (15 keys), {pass}"),
            pairs.len() as u64,
            |number| {
                let (recipient, sender) = pairs.get(place(number)).unwrap();
                !snapshot.sender_entries(recipient, sender, at).is_empty()
            },
        );
        rate(&format!("network, {pass}"), 1_000_000, |number| {
            let address = u32::try_from(mix(number) >> 32).unwrap();
            !snapshot.network(std::net::Ipv4Addr::from(address).into()).is_empty()
        });
    }
}

fn block(number: u64) -> Change {
    let entry = Entry {
        owner: Owner::Gateway,
        side: Side::Sender,
        polarity: Polarity::Block,
        pattern: item::pattern(&format!("new{number}@changes.example")).unwrap(),
        match_on: MatchOn::Both,
        active_from: UnixMillis(0),
    };
    Change::EntryAdd { entry }
}

/// Single changes under load from another thread; each is timed from the call to when a snapshot shows it.
fn changes(current: &Current, publisher: &Publisher, dir: &Path, count: u64) {
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let to = Mailbox::new("user1", "d1.example");
    let mut delays = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let snapshot = current.load();
                for number in 0..100 {
                    let sender = Mailbox::new(&format!("x{number}"), "changes.example");
                    let _ = snapshot.sender_entries(&to, &sender, UnixMillis(1));
                }
                asked.fetch_add(100, Ordering::Relaxed);
            }
        });
        let all = Instant::now();
        for number in 0..count {
            let start = Instant::now();
            publisher.add_delta(&[block(number)]).unwrap();
            current.adopt_deltas(dir).unwrap();
            let sender = Mailbox::new(&format!("new{number}"), "changes.example");
            let found = current.load().sender_entries(&to, &sender, UnixMillis(1));
            assert_eq!(found.len(), 1, "the change is not in force");
            delays.push(start.elapsed());
        }
        let seconds = all.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        delays.sort_unstable();
        let at = |part: u64| {
            delays.get(usize::try_from(count * part / 100).unwrap().min(delays.len() - 1))
        };
        println!(
            "{count} single changes: {:.0}/s; in force after p50 {:?}, p99 {:?}, max {:?}; look-ups beside them {:.0}/s",
            count as f64 / seconds,
            at(50).unwrap(),
            at(99).unwrap(),
            delays.last().unwrap(),
            asked.load(Ordering::Relaxed) as f64 / seconds,
        );
    });
}

/// Swaps between two generations while another thread asks; every snapshot must be of one piece.
fn swaps(current: &Current, both: [(&Arc<Generation>, &Path); 2]) {
    let stop = AtomicBool::new(false);
    let merged = both[1].0.number();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut asked, to) = (0_u64, Mailbox::new("user1", "d1.example"));
            let sender = Mailbox::new("new0", "changes.example");
            while !stop.load(Ordering::Relaxed) {
                let snapshot = current.load();
                for _ in 0..20 {
                    let in_delta = snapshot.delta_number() > 0;
                    let found = snapshot.sender_entries(&to, &sender, UnixMillis(1)).len();
                    assert_eq!(found, usize::from(in_delta || snapshot.number() == merged));
                    asked += 1;
                }
            }
            asked
        });
        let start = Instant::now();
        let (mut count, mut longest) = (0_u32, Duration::ZERO);
        while start.elapsed() < Duration::from_secs(3) {
            let [first, second] = both;
            let (generation, dir) = if count % 2 == 0 { second } else { first };
            let one = Instant::now();
            current.swap(Arc::clone(generation), dir).unwrap();
            longest = longest.max(one.elapsed());
            count += 1;
        }
        stop.store(true, Ordering::Relaxed);
        println!(
            "{count} swaps in 3 s (longest {longest:?}, half of them with all deltas), {} look-ups beside them, none of two generations",
            reader.join().unwrap()
        );
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |absent: u64| arguments.next().map_or(absent, |text| text.parse().unwrap());
    let (entries, recipients, networks) =
        (number(10_000_000), number(1_000_000), number(1_000_000));
    let base = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let dir = base.join(format!("tables-scale-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    println!("{entries} list entries, {recipients} recipients, {networks} networks");
    let sources = sources(&dir, entries, recipients, networks);
    let publisher = Publisher::open(&dir.join("generations")).unwrap();
    let start = Instant::now();
    let (first, report) = publisher.build(&sources, &mut |_| ()).unwrap();
    println!("build: {:.1} s, memory peak {} MiB", start.elapsed().as_secs_f64(), memory("VmHWM"));
    for table in report.tables.iter().filter(|table| table.entries > 0) {
        println!("  {}: {} entries, {} MiB", table.name, table.entries, table.bytes >> 20);
    }
    let (engine, first_dir) = (dir.join("engine"), publisher.generation_dir(first));
    let start = Instant::now();
    let old = Generation::adopt(&first_dir, &engine, None).unwrap();
    println!("adopt (copy, verify, map): {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    drop(Generation::adopt(&first_dir, &engine, Some(&old)).unwrap());
    println!("adopt again, tables shared: {:?}", start.elapsed());
    let current = Current::new(Arc::clone(&old));
    look_ups(&current.load(), entries, recipients);
    changes(&current, &publisher, &first_dir, 2000);
    println!("counts: {:?}", current.counts());
    let start = Instant::now();
    let second = publisher.merge(&mut |_| ()).unwrap().unwrap();
    println!("merge into a new base: {:.1} s", start.elapsed().as_secs_f64());
    let second_dir = publisher.generation_dir(second);
    let new = Generation::adopt(&second_dir, &engine, Some(&old)).unwrap();
    swaps(&current, [(&old, &first_dir), (&new, &second_dir)]);
    println!(
        "memory: resident {} MiB with two bases mapped, anonymous {} MiB, peak {} MiB",
        memory("VmRSS"),
        memory("RssAnon"),
        memory("VmHWM")
    );
    fs::remove_dir_all(&dir).unwrap();
}
