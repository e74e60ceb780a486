//! Tables of 100,000 list entries, 10,000 recipients and 10,000 networks: look-ups, and a swap of generations
//! as every shard sees it. `examples/tables_scale.rs` does the same at the size to reach, and takes minutes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that measures")]

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sekisho_core::clock::UnixMillis;
use sekisho_core::envelope::Mailbox;
use sekisho_core::tables::publish::Publisher;
use sekisho_core::tables::sources::ListFormat;
use sekisho_core::tables::{
    Change, Current, Generation, NetworkClass, Source, SourceKind, Sources,
};

const ENTRIES: u32 = 100_000;
const RECIPIENTS: u32 = 10_000;
const NETWORKS: u32 = 10_000;
/// Numbers that are asked for; half of them are in no table.
const ASKED: u32 = 4096;

/// Spreads numbers, so that neighbours are not asked one after the other.
fn spread(number: u32) -> u32 {
    (number ^ (number >> 15)).wrapping_mul(0x9e37_79b1)
}

fn recipient(number: u32) -> (String, &'static str) {
    (format!("user{number}"), "bench.example")
}

fn sender(number: u32) -> (String, String) {
    (format!("s{number}"), format!("mail{}.example.net", number % 5000))
}

fn write_lines(path: &Path, count: u32, line: impl Fn(u32) -> String) {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "{}", line(number)).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

fn sources(dir: &Path) -> Sources {
    let domains = "[[domain]]\nname = \"bench.example\"\nprofile = \"securemail\"\n\
                   [[domain.route]]\nhost = \"mx.bench.example\"\n";
    std::fs::write(dir.join("domains.toml"), domains).unwrap();
    write_lines(&dir.join("recipients.txt"), RECIPIENTS, |number| {
        let (local_part, domain) = recipient(number);
        format!("{local_part}@{domain}")
    });
    write_lines(&dir.join("senders.csv"), ENTRIES, |number| {
        let (local_part, domain) = recipient(number % RECIPIENTS);
        let owner = match number % 3 {
            0 => format!("account:{local_part}@{domain}"),
            1 => format!("domain:{domain}"),
            _ => "gateway".to_owned(),
        };
        let (local_part, domain) = sender(number);
        format!("{owner},sender,block,{local_part}@{domain}")
    });
    write_lines(&dir.join("bad.zone"), NETWORKS, |number| {
        format!("{} :127.0.0.2:listed", Ipv4Addr::from(spread(number)))
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

fn tables(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let publisher = Publisher::open(&dir.path().join("generations")).unwrap();
    let sources = sources(dir.path());
    let build = || publisher.generation_dir(publisher.build(&sources, &mut |_| ()).unwrap().0);
    let (first_dir, second_dir) = (build(), build());
    let engine = dir.path().join("engine");
    let first = Generation::adopt(&first_dir, &engine, None).unwrap();
    let second = Generation::adopt(&second_dir, &engine, Some(&first)).unwrap();
    let current = Current::new(Arc::clone(&first));
    let snapshot = current.load();

    let asked = |of: u32| (0..ASKED).map(move |number| spread(number) % (2 * of));
    let recipients: Vec<Mailbox> = asked(RECIPIENTS)
        .map(recipient)
        .map(|(local_part, domain)| Mailbox::new(&local_part, domain))
        .collect();
    let senders: Vec<Mailbox> = asked(ENTRIES)
        .map(sender)
        .map(|(local_part, domain)| Mailbox::new(&local_part, &domain))
        .collect();
    let addresses: Vec<IpAddr> =
        asked(NETWORKS).map(|number| Ipv4Addr::from(spread(number)).into()).collect();

    let mut group = criterion.benchmark_group("tables");
    let mut turn = 0;
    let mut next = move || {
        turn = (turn + 1) % ASKED as usize;
        turn
    };
    group.bench_function("resolve_recipient", |bench| {
        bench.iter(|| black_box(snapshot.resolve(&recipients[next()])));
    });
    group.bench_function("sender_entries_of_all_owners", |bench| {
        bench.iter(|| {
            let at = next();
            black_box(snapshot.sender_entries(&recipients[at], &senders[at], UnixMillis(1)).len())
        });
    });
    group.bench_function("network", |bench| {
        bench.iter(|| black_box(snapshot.network(addresses[next()]).len()));
    });
    drop(snapshot);
    // What a message pays for a consistent view, and what an adoption costs once all is verified.
    group.bench_function("load_snapshot", |bench| bench.iter(|| current.load()));
    let mut second_turn = false;
    group.bench_function("swap", |bench| {
        bench.iter(|| {
            second_turn = !second_turn;
            let (generation, dir) =
                if second_turn { (&second, &second_dir) } else { (&first, &first_dir) };
            current.swap(Arc::clone(generation), dir).unwrap();
        });
    });
    // One more list change, whatever number went before it: the flushes of one file and of a directory, and now and
    // then a stretch.
    let mut number = 0;
    group.sample_size(20);
    group.bench_function("single_change", |bench| {
        bench.iter(|| {
            number += 1;
            let address = format!("change{number}@bench.example").into();
            publisher.add_delta(&[Change::RecipientAdd { address }]).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
