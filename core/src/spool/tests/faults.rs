//! Faults of segments that a start finds: each has a defined answer that names file and offset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::MailId;
use crate::spool::budget::{Arriving, Budget};
use crate::spool::disk::Disk as _;
use crate::spool::log::{Loaded, Log, LogOptions, NewRecord};
use crate::spool::reader;
use crate::spool::sim::{Faults, SimDisk};
use crate::spool::{CopyId, Damage, SpoolError};

const NOW: UnixMillis = UnixMillis(1_000_000);

fn id(number: u128) -> CopyId {
    CopyId::new(MailId(uuid::Uuid::from_u128(number)), 0)
}

fn options() -> LogOptions {
    let budget = Arc::new(Budget::new("spool", u64::MAX, 0));
    LogOptions::new(PathBuf::from("/s"), 4, budget)
}

fn run<T>(disk: &SimDisk, future: impl Future<Output = T>) -> T {
    disk.run(future, 1_000_000).expect("it ends")
}

async fn append(log: &Log<SimDisk>, number: u128, bytes: usize) -> Result<(), SpoolError> {
    let new = NewRecord { id: id(number), kind: 16, stamp: 1, meta: b"{}".to_vec() };
    log.append(new, &Content::from_octets(vec![number as u8; bytes])).await
}

/// Five mails of two blocks in one segment: blocks 1-2, 3-4, 5-6, 7-8, 9-10.
fn filled(disk: &SimDisk) {
    run(disk, async {
        let log = Log::open(disk.clone(), options(), NOW).await.unwrap();
        for number in 1..=5 {
            append(&log, number, 5_000).await.unwrap();
        }
    });
}

fn start(disk: &SimDisk) -> (Log<SimDisk>, Loaded, Vec<Damage>) {
    run(disk, async {
        let log = Log::open(disk.clone(), options(), NOW).await.unwrap();
        let loaded = log.load().await;
        let damage = log.take_damage();
        (log, loaded, damage)
    })
}

fn damage_file(disk: &SimDisk, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let path = PathBuf::from("/s/0000000001.segment");
    let files = disk.files(Path::new("/s"));
    let (_, mut octets) = files.into_iter().find(|(name, _)| *name == path).unwrap();
    change(&mut octets);
    disk.set_file(&path, octets);
    path
}

#[test]
fn a_flipped_bit_costs_one_mail_is_set_aside_and_named() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let path = damage_file(&disk, |octets| octets[3 * 4096 + 700] ^= 4);
    let (_, loaded, damage) = start(&disk);
    assert_eq!(loaded.ids, [id(1), id(3), id(4), id(5)]);
    assert_eq!(damage.len(), 1);
    let found = &damage[0];
    assert_eq!((&found.path, found.offset, found.bytes), (&path, 3 * 4096, 8192));
    assert!(
        found.acknowledged && found.to_string().contains("offset 12288: body checksum"),
        "{found}"
    );
    let aside = disk.files(Path::new("/s/damaged"));
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].1.len(), 8192, "the octets are kept for whoever wants to look");
}

#[test]
fn what_was_set_aside_goes_after_30_days_and_the_oldest_when_it_is_too_much() {
    const DAY_MS: u64 = 86_400_000;
    let disk = SimDisk::new(1);
    filled(&disk);
    damage_file(&disk, |octets| octets[3 * 4096 + 700] ^= 4);
    let aside = || {
        let files = disk.files(Path::new("/s/damaged")).into_iter();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        files.map(|(path, octets)| (name(path), octets.len())).collect::<Vec<_>>()
    };
    start(&disk);
    // Found again at the next start: one copy all the same.
    let (log, ..) = start(&disk);
    assert_eq!(aside(), [("0000000001-12288-1000".to_owned(), 8192)]);
    // What an earlier program left, and what is not ours.
    for (name, bytes) in [("0000000007-4096", 10), ("notes.txt", 5)] {
        run(&disk, async {
            let file = disk.create(&Path::new("/s/damaged").join(name)).await.unwrap();
            disk.write_at(&file, vec![b'x'; bytes], 0).await.unwrap();
        });
    }
    let tick = |days: u64| run(&disk, log.tick(UnixMillis(NOW.0 + days * DAY_MS)));
    let names = || aside().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    tick(29);
    let later = format!("0000000007-4096-{}", 1000 + 29 * 86_400);
    assert_eq!(names(), ["0000000001-12288-1000", &later, "notes.txt"]);
    tick(31);
    assert_eq!(names(), [&later, "notes.txt"]);
    // 40 and 40 MiB are more than 64.
    for (name, bytes) in [("0000000008-4096-3000000", 40 << 20), ("0000000009-0-3000001", 40 << 20)]
    {
        run(&disk, async {
            let file = disk.create(&Path::new("/s/damaged").join(name)).await.unwrap();
            disk.write_at(&file, vec![0; bytes], 0).await.unwrap();
        });
    }
    tick(32);
    assert_eq!(names(), ["0000000009-0-3000001", "notes.txt"]);
}

#[test]
fn a_damaged_length_does_not_take_the_mails_behind_it_along() {
    let disk = SimDisk::new(1);
    filled(&disk);
    damage_file(&disk, |octets| octets[4096 + 64..4096 + 72].fill(0xFF));
    let (_, loaded, damage) = start(&disk);
    assert_eq!(loaded.ids, [id(2), id(3), id(4), id(5)]);
    assert!(damage[0].what.contains("head checksum"), "{}", damage[0]);
}

#[test]
fn a_half_written_tail_is_dropped_without_an_alarm() {
    let disk = SimDisk::new(1);
    filled(&disk);
    damage_file(&disk, |octets| octets[10 * 4096..].fill(0));
    let (_, loaded, damage) = start(&disk);
    assert_eq!(loaded.ids, [id(1), id(2), id(3), id(4)]);
    assert_eq!(damage.len(), 1);
    assert!(!damage[0].acknowledged, "nobody can tell it from a write that was cut off");
    assert!(damage[0].to_string().contains("unfinished tail dropped"), "{}", damage[0]);
}

#[test]
fn a_truncated_segment_is_noticed_by_the_one_after_it() {
    let disk = SimDisk::new(1);
    run(&disk, async {
        let mut small = options();
        small.segment_bytes = 40_000;
        let log = Log::open(disk.clone(), small, NOW).await.unwrap();
        for number in 1..=6 {
            append(&log, number, 5_000).await.unwrap();
        }
    });
    let path = damage_file(&disk, |octets| octets.truncate(17_000));
    let (_, loaded, damage) = start(&disk);
    assert_eq!(loaded.ids, [id(1), id(6)]);
    let truncated = damage.iter().find(|found| found.what.contains("truncated")).unwrap();
    assert_eq!(truncated.path, path);
    assert_eq!(truncated.what, "truncated: 17000 octets, segment 2 says 45056");
    assert!(truncated.acknowledged);
}

#[test]
fn a_sealed_segment_with_a_damaged_index_is_read_whole() {
    let disk = SimDisk::new(1);
    run(&disk, async {
        let log = Log::open(disk.clone(), options(), NOW).await.unwrap();
        for number in 1..=5 {
            append(&log, number, 5_000).await.unwrap();
        }
        log.tick(UnixMillis(NOW.0 + 7 * 3_600_000)).await;
        for _ in 0..1_000 {
            crate::spool::disk::Disk::pause(&disk).await;
        }
    });
    damage_file(&disk, |octets| {
        assert_eq!(octets.len(), 13 * 4096, "eleven blocks, index, trailer");
        octets[11 * 4096 + 100] ^= 1;
    });
    let (_, loaded, damage) = start(&disk);
    assert_eq!(loaded.ids.len(), 5);
    assert!(damage.iter().all(|found| !found.acknowledged), "{damage:?}");
}

#[test]
fn damage_that_only_shows_when_a_mail_is_read_names_file_and_offset() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let (log, _, _) = start(&disk);
    let path = damage_file(&disk, |octets| octets[5 * 4096 + 700] ^= 4);
    let error = run(&disk, log.read(id(3))).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("segment {} offset 20480: body checksum", path.display())),
        "{text}"
    );
    assert!(error.permanent() && !error.is_full());
    assert_eq!(log.take_damage().len(), 1, "an alarm as well");
    assert!(run(&disk, log.read(id(4))).is_ok());
}

#[test]
fn after_a_failed_flush_the_segment_is_closed_and_everybody_who_waited_hears_of_it() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let (log, _, _) = start(&disk);
    disk.set_faults(Faults { sync_fails: 1000, ..Faults::default() });
    let error = run(&disk, append(&log, 9, 10)).unwrap_err();
    assert!(error.to_string().contains("fdatasync") && !error.permanent(), "{error}");
    disk.set_faults(Faults::default());
    run(&disk, append(&log, 10, 10)).unwrap();
    disk.crash();
    let (_, loaded, _) = start(&disk);
    assert!(loaded.ids.contains(&id(10)) && loaded.ids.len() == 6, "{:?}", loaded.ids);
}

#[test]
fn a_full_disk_is_said_to_be_full_and_recovers_by_itself() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let (log, _, _) = start(&disk);
    disk.set_capacity(50_000);
    let error = run(&disk, append(&log, 9, 20_000)).unwrap_err();
    assert!(error.is_full() && !error.permanent(), "{error}");
    assert_eq!(error.fault(), crate::spool::Fault::Operator);
    disk.set_capacity(u64::MAX);
    run(&disk, append(&log, 9, 20_000)).unwrap();
}

#[test]
fn an_id_is_used_once() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let (log, _, _) = start(&disk);
    let error = run(&disk, append(&log, 3, 10)).unwrap_err();
    assert!(matches!(error, SpoolError::AlreadyThere { .. }) && error.permanent());
}

#[test]
fn killed_octets_leave_the_disk_and_the_living_stay() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let (log, _, _) = start(&disk);
    run(&disk, async {
        log.kill(id(2)).unwrap().durable().await.unwrap();
        // One of five is dead: not worth copying until its time is up.
        for hours in [1, 13, 14] {
            log.tick(UnixMillis(NOW.0 + hours * 3_600_000)).await;
            for _ in 0..1_000 {
                crate::spool::disk::Disk::pause(&disk).await;
            }
        }
    });
    let files = disk.files(Path::new("/s"));
    let whole = files.iter().any(|(_, octets)| octets.windows(64).any(|w| w == [2u8; 64]));
    assert!(!whole, "the killed mail's octets are still on the disk");
    disk.crash();
    let (_, loaded, damage) = start(&disk);
    assert_eq!(loaded.ids, [id(1), id(3), id(4), id(5)]);
    assert!(damage.is_empty(), "{damage:?}");
}

/// Each tombstone asks for a flush, so that on a busy shard one is nearly always under way when the tick looks:
/// space has to come back all the same, or a steady load fills the budget with what was delivered long ago.
#[test]
fn space_comes_back_while_one_flush_follows_the_other() {
    let disk = SimDisk::new(1);
    run(&disk, async {
        let mut options = options();
        options.segment_bytes = 256 << 10;
        let log = Log::open(disk.clone(), options, NOW).await.unwrap();
        let mut number = 0;
        let mut most = 0;
        for second in 1..=100_u64 {
            for _ in 0..10 {
                number += 1;
                append(&log, number, 5_000).await.unwrap();
                let _ = log.kill(id(number)).unwrap();
            }
            // The flush that the last tombstone asked for has not ended when the tick comes.
            log.tick(UnixMillis(NOW.0 + second * 1_000)).await;
            most = most.max(disk.files(Path::new("/s")).len());
        }
        assert!(most <= 4, "{most} segments, the living of which are in one");
    });
}

#[test]
fn an_absent_directory_is_an_empty_log_for_the_reader() {
    let scan = reader::scan(Path::new("/nonexistent/never")).unwrap();
    assert!(scan.records.is_empty() && scan.damage.is_empty());
}

#[test]
fn a_budget_refuses_before_its_reserve_raises_an_alarm_and_recovers() {
    let budget = Budget::new("spool", 1_000, 100);
    assert!(budget.admits(900) && !budget.admits(901));
    budget.add(850);
    assert!(budget.alarm().unwrap().contains("850 octets of 900 octets used (94 %)"));
    let error = budget.check(51).unwrap_err();
    let text = "spool: 51 octets do not fit: 850 of 1000 octets used, reserve 100";
    assert_eq!(error.to_string(), text);
    assert!(error.is_full() && !error.permanent());
    assert!(budget.check_reserve(150).is_ok() && budget.check_reserve(151).is_err());
    budget.release(100);
    assert!(budget.alarm().is_some(), "83 %: it does not flutter");
    budget.release(100);
    assert!(budget.alarm().is_none() && budget.admits(250));
    budget.set_free(150);
    assert!(!budget.admits(51), "the file system's reserve counts, too");
    // The budget is all but empty: the operator was told "0 of 67108864 octets used", which explains nothing.
    let error = budget.check(51).unwrap_err();
    let text = "spool: 51 octets do not fit: 150 free on the disk, 100 of them kept";
    assert_eq!(error.to_string(), text);
    assert!(error.is_full() && !error.permanent());
    assert!(budget.alarm().is_some(), "before mail of any size is refused");
    budget.set_free(200);
    assert!(budget.alarm().is_none());
    budget.set_free(99);
    assert!(budget.alarm().is_some() && budget.excess() == 1);
}

#[test]
fn mails_that_arrive_together_cannot_go_through_the_reserve_together() {
    // Each of three mails of 400 octets was admitted by itself, because none was counted before it was complete:
    // together they took 1,200 octets of a budget of 1,000 with 100 in reserve.
    let (spool, held) =
        (Arc::new(Budget::new("spool", 1_000, 100)), Arc::new(Budget::new("quarantine", 900, 100)));
    spool.set_free(5_000);
    let budgets = [&spool, &held];
    let mut one = Arriving::promise(&budgets, 400).unwrap();
    let two = Arriving::promise(&budgets, 400).unwrap();
    let full = Arriving::promise(&budgets, 400).unwrap_err();
    assert!(full.is_full() && full.to_string().contains("800 of 1000 octets used"), "{full}");
    assert!(Arriving::promise(&budgets, 100).unwrap_err().to_string().contains("quarantine"));
    assert_eq!((spool.arriving(), held.arriving()), (800, 800), "a refused promise leaves nothing");
    assert!(spool.admits(100) && !spool.admits(101) && !held.admits(1));

    // Who sends more than was declared needs room for it, octet by octet.
    one.wrote(400);
    assert!(one.cover(401).unwrap_err().is_full(), "no room in the quarantine");
    assert_eq!((spool.arriving(), held.arriving()), (800, 800));
    drop(two);
    one.cover(600).unwrap();
    one.wrote(200);
    assert_eq!((spool.arriving(), held.arriving()), (600, 600));
    // It is complete: what is kept of it may use the promise, and the reserve.
    assert!(spool.check_reserve(1_000).is_ok());
    spool.add(600);
    drop(one);
    assert_eq!((spool.used(), spool.arriving(), held.arriving()), (600, 0, 0));
}

#[test]
fn the_disk_itself_is_promised_once_whatever_was_written_of_it_since_it_was_looked_at() {
    let budget = Arc::new(Budget::new("spool", u64::MAX / 2, 100));
    budget.set_free(1_000);
    let mut one = Arriving::promise(&[&budget], 500).unwrap();
    assert!(budget.admits(400) && !budget.admits(401));
    one.wrote(500);
    assert!(budget.admits(400) && !budget.admits(401), "written, not yet sampled");
    budget.set_free(500);
    assert!(budget.admits(400) && !budget.admits(401), "written and sampled");
    let mut undeclared = Arriving::promise(&[&budget], 0).unwrap();
    undeclared.cover(400).unwrap();
    assert!(undeclared.cover(401).unwrap_err().is_full());
}
