//! The mail log: what survives, what goes, what a search finds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{Condition, Extent, Query, search};
use super::{DeliveryRow, EventRow, MailLog, Row};
use crate::clock::UnixMillis;
use crate::spool::budget::Budget;
use crate::spool::disk::{Disk, GlommioDisk};
use crate::spool::log::LogOptions;
use crate::spool::sim::{Faults, SimDisk};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY: u64 = 86_400_000;

fn row(second: u64, to: &str, subject: &str) -> Row {
    Row::Delivery(Box::new(DeliveryRow {
        at: UnixMillis(NOW.0 + second * 1000),
        to: to.into(),
        subject: subject.into(),
        status: "sent".into(),
        source_address: Some("192.0.2.7".parse().unwrap()),
        ..DeliveryRow::default()
    }))
}

fn options(directory: PathBuf, budget: &Arc<Budget>) -> LogOptions {
    LogOptions::new(directory, 4, Arc::clone(budget))
}

fn run<T>(disk: &SimDisk, future: impl Future<Output = T>) -> T {
    disk.run(future, 1_000_000).expect("it ends")
}

async fn settle(disk: &SimDisk) {
    for _ in 0..500 {
        disk.pause().await;
    }
}

/// Records of rows that are on the disk after a start.
fn segments(disk: &SimDisk) -> usize {
    let files = disk.files(Path::new("/maillog/0"));
    files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "segment")).count()
}

#[test]
fn a_power_cut_takes_only_rows_that_were_not_flushed_and_a_durable_row_takes_the_earlier_along() {
    let disk = SimDisk::new(2);
    let budget = Arc::new(Budget::new("maillog", u64::MAX, 0));
    let open = || MailLog::open(disk.clone(), options("/maillog/0".into(), &budget), 90, NOW);
    run(&disk, async {
        let log = open().await.unwrap();
        log.write(&[row(1, "flushed-by-the-next@example.com", "")], NOW);
        log.write_durable(&[row(2, "durable@example.com", "")], NOW).await.unwrap();
        log.write(&[row(3, "lost@example.com", "")], NOW);
    });
    disk.crash();
    let all: Vec<u8> = disk.files(Path::new("/maillog")).into_iter().flat_map(|f| f.1).collect();
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("flushed-by-the-next@") && text.contains("durable@"));
    assert!(!text.contains("lost@"), "what this test calls lost was never given to the disk");
}

#[test]
fn a_durable_row_is_not_acknowledged_when_the_disk_fails_and_is_written_when_it_works_again() {
    let disk = SimDisk::new(2);
    let budget = Arc::new(Budget::new("maillog", u64::MAX, 0));
    run(&disk, async {
        let log = MailLog::open(disk.clone(), options("/maillog/0".into(), &budget), 90, NOW);
        let log = log.await.unwrap();
        disk.set_faults(Faults { sync_fails: 1000, ..Faults::default() });
        assert!(log.write_durable(&[row(1, "again@example.com", "")], NOW).await.is_err());
        disk.set_faults(Faults::default());
        log.tick(NOW).await;
        settle(&disk).await;
        assert_eq!(log.lost_rows(), 0);
    });
    disk.crash();
    let all: Vec<u8> = disk.files(Path::new("/maillog")).into_iter().flat_map(|f| f.1).collect();
    assert!(String::from_utf8_lossy(&all).contains("again@"));
}

#[test]
fn rows_go_after_their_days_and_the_oldest_go_first_when_the_budget_is_full() {
    let disk = SimDisk::new(2);
    let budget = Arc::new(Budget::new("maillog", 1 << 30, 1 << 20));
    run(&disk, async {
        let log = MailLog::open(disk.clone(), options("/maillog/0".into(), &budget), 90, NOW);
        let log = log.await.unwrap();
        for day in 0..4 {
            let now = UnixMillis(NOW.0 + day * DAY);
            log.write(&[row(day * 86_400, &format!("day{day}@example.com"), "")], now);
            log.tick(now).await;
            settle(&disk).await;
        }
        assert_eq!(segments(&disk), 4);
        log.tick(UnixMillis(NOW.0 + 91 * DAY)).await;
        settle(&disk).await;
        assert_eq!(segments(&disk), 3, "only the one that is past its days");
        // Somebody else fills the disk: the log gives way, oldest first, the newest stays.
        budget.add(1 << 30);
        log.tick(UnixMillis(NOW.0 + 91 * DAY)).await;
        settle(&disk).await;
        assert!(segments(&disk) < 3);
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test damages a file")]
fn a_search_finds_rows_of_all_shards_newest_first_by_any_field_time_and_part() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("maillog");
    let path = root.clone();
    crate::spool::on_glommio(async move {
        let budget = Arc::new(Budget::new("maillog", u64::MAX, 0));
        for shard in 0..2u64 {
            let options = options(path.join(shard.to_string()), &budget);
            let log = MailLog::open(GlommioDisk, options, 90, NOW).await.unwrap();
            for number in 0..50 {
                let second = number * 2 + shard;
                let subject = if number == 7 { "請求書 Invoice" } else { "hello" };
                let row = row(second, &format!("user{second}@example.com"), subject);
                log.write(&[row], NOW);
                if number % 10 == 9 {
                    log.flush().await.unwrap();
                }
            }
            let event = EventRow {
                at: UnixMillis(NOW.0 + 500_000),
                action: "release".into(),
                by: "admin".into(),
                ..EventRow::default()
            };
            log.write_durable(&[Row::Event(Box::new(event))], NOW).await.unwrap();
        }
    });
    let find = |fields: &[(&str, &str)], from, to| {
        let conditions = fields
            .iter()
            .map(|(field, text)| Condition {
                field: field.trim_start_matches('=').to_owned(),
                extent: if field.starts_with('=') { Extent::Whole } else { Extent::Part },
                text: (*text).to_owned(),
            })
            .collect();
        search(&root, &Query { from, to, conditions }, 1000).unwrap().rows
    };
    let all = find(&[], None, None);
    assert_eq!(all.len(), 102);
    assert!(all.is_sorted_by_key(|row| std::cmp::Reverse(row.at())), "newest first");
    assert_eq!(find(&[("subject", "invoice")], None, None).len(), 2);
    assert_eq!(find(&[("subject", "請求")], None, None).len(), 2);
    assert_eq!(find(&[("to", "USER42@")], None, None).len(), 1);
    assert_eq!(find(&[("to", "user42@"), ("subject", "invoice")], None, None).len(), 0);
    assert_eq!(find(&[("any", "192.0.2.7")], None, None).len(), 100);
    assert_eq!(find(&[("row", "event"), ("by", "admin")], None, None).len(), 2);
    // The whole field, a value within it, a field that rows of the other kind do not have.
    assert_eq!(find(&[("=to", "USER42@example.com")], None, None).len(), 1);
    assert_eq!(find(&[("=to", "user42@")], None, None).len(), 0);
    assert_eq!(find(&[("=subject", "請求書 invoice")], None, None).len(), 2);
    assert_eq!(find(&[("=any", "hello")], None, None).len(), 98);
    assert_eq!(find(&[("=by", "")], None, None).len(), 100);
    let second = |second: u64| Some(UnixMillis(NOW.0 + second * 1000));
    assert_eq!(find(&[], second(10), second(20)).len(), 10);
    let few = search(&root, &Query::default(), 5).unwrap();
    assert!(few.more && few.rows == all[..5]);
    // A flipped bit costs one record, and is reported with file and offset.
    let segment = root.join("0/0000000001.segment");
    let mut octets = std::fs::read(&segment).unwrap();
    octets[4096 + 300] ^= 1;
    std::fs::write(&segment, octets).unwrap();
    let answer = search(&root, &Query::default(), 1000).unwrap();
    assert_eq!(answer.rows.len(), 92);
    assert_eq!((answer.damage.len(), answer.damage[0].offset), (1, 4096));
}

#[test]
fn every_row_that_was_written_is_read_again_field_by_field() {
    let rows = [row(1, "a@example.com", "s"), Row::Event(Box::default())];
    for row in rows {
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }
    let newer = r#"{"row":"delivery","at":5,"to":"x","a_field_of_the_next_release":1}"#;
    assert_eq!(serde_json::from_str::<Row>(newer).unwrap().at(), UnixMillis(5));
}
