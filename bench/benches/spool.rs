//! The spool on the file system of the temporary directory: mails of 16 KiB made durable, alone and 64 at a
//! time (group commit), and the reading of a log of 1,000 mails from outside.
//!
//! A temporary directory in memory makes a flush free: set TMPDIR to a disk to measure one.

#![allow(clippy::unwrap_used, reason = "a program that measures")]

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use sekisho_core::clock::UnixMillis;
use sekisho_core::content::Content;
use sekisho_core::envelope::MailId;
use sekisho_core::spool::budget::Budget;
use sekisho_core::spool::disk::GlommioDisk;
use sekisho_core::spool::log::{Log, LogOptions, NewRecord, Urgency};
use sekisho_core::spool::{CopyId, reader};

const MAIL_BYTES: usize = 16 * 1024;
const TOGETHER: u64 = 64;
const SCANNED: u64 = 1000;

fn executor() -> LocalExecutor {
    LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 20).ring_depth(64).make().unwrap()
}

fn options(directory: PathBuf) -> LogOptions {
    LogOptions::new(directory, 4, Arc::new(Budget::new("spool", u64::MAX, 0)))
}

/// Makes one mail durable; it is dead at once afterwards, so that the log does not grow for ever.
async fn commit(log: &Log<GlommioDisk>, number: u128, content: &Content) {
    let id = CopyId::new(MailId(uuid::Uuid::from_u128(number)), 0);
    let record = NewRecord { id, kind: 16, stamp: 1, meta: b"{\"bench\":true}".to_vec() };
    log.append(record, content).await.unwrap();
    log.kill(id).unwrap();
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor();
    let log =
        executor.run(Log::open(GlommioDisk, options(dir.path().join("spool")), UnixMillis(1)));
    let log = log.unwrap();
    let content = Content::from_octets(vec![b'x'; MAIL_BYTES]);
    let numbers = Cell::new(0_u128);
    let next = || {
        numbers.set(numbers.get() + 1);
        numbers.get()
    };
    let mut group = criterion.benchmark_group("spool");
    group.sample_size(20);
    group.throughput(Throughput::Elements(1));
    group.bench_function("commit_16_kib", |bench| {
        bench.iter(|| executor.run(commit(&log, next(), &content)));
    });
    group.throughput(Throughput::Elements(TOGETHER));
    group.bench_function("commit_64_together", |bench| {
        bench.iter(|| {
            executor.run(async {
                let mut mails = Vec::new();
                for _ in 0..TOGETHER {
                    let (log, content, number) = (log.clone(), content.clone(), next());
                    mails.push(glommio::spawn_local(async move {
                        commit(&log, number, &content).await
                    }));
                }
                for mail in mails {
                    mail.await;
                }
            });
        });
    });
    group.finish();
}

fn scans(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor();
    let directory = dir.path().join("spool");
    let log =
        executor.run(Log::open(GlommioDisk, options(directory.clone()), UnixMillis(1))).unwrap();
    let content = Content::from_octets(vec![b'x'; MAIL_BYTES]);
    executor.run(async {
        // Id 0 is that of a row, which has none.
        for number in 1..=SCANNED {
            let id = CopyId::new(MailId(uuid::Uuid::from_u128(u128::from(number))), 0);
            let record = NewRecord { id, kind: 16, stamp: 1, meta: b"{\"bench\":true}".to_vec() };
            log.append_lazy(record, &content, Urgency::Now).unwrap();
            if number % 50 == 0 {
                log.flush().await.unwrap();
            }
        }
        log.flush().await.unwrap();
    });
    let mut group = criterion.benchmark_group("spool");
    group.sample_size(20);
    group.throughput(Throughput::Elements(SCANNED));
    group.bench_function("scan_log_of_1000", |bench| {
        bench.iter(|| {
            let found = reader::scan(&directory).unwrap();
            assert_eq!(found.records.len() as u64, SCANNED);
            found
        });
    });
    group.finish();
}

criterion_group!(benches, commits, scans);
criterion_main!(benches);
