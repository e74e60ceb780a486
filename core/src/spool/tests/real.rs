//! The same code on the real disk, under a glommio executor.

use std::sync::Arc;

use glommio::{LocalExecutorBuilder, Placement};

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::MailId;
use crate::spool::CopyId;
use crate::spool::budget::Budget;
use crate::spool::disk::GlommioDisk;
use crate::spool::log::{Log, LogOptions, NewRecord, Urgency};
use crate::spool::reader;

fn id(number: u128) -> CopyId {
    CopyId::new(MailId(uuid::Uuid::from_u128(number)), 0)
}

/// Runs a future on an executor that fits into a small memory-lock limit.
pub(crate) fn on_glommio<T>(future: impl Future<Output = T> + 'static) -> T
where
    T: Send + 'static,
{
    LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(128 << 10)
        .ring_depth(64)
        .make()
        .expect("an executor")
        .run(future)
}

#[test]
fn records_notes_and_kills_survive_a_restart_on_the_real_disk_and_a_reader_sees_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool/0");
    let budget = Arc::new(Budget::new("spool", u64::MAX, 0));
    let options = LogOptions::new(path.clone(), 4, budget);
    on_glommio(async move {
        let log = Log::open(GlommioDisk, options.clone(), UnixMillis(1)).await.unwrap();
        // Group commit: all of them in a few flushes.
        let mut appends = Vec::new();
        for number in 1..=64 {
            let log = log.clone();
            appends.push(glommio::spawn_local(async move {
                let new = NewRecord { id: id(number), kind: 16, stamp: 1, meta: b"{}".to_vec() };
                log.append(new, &Content::from_octets(vec![number as u8; 6_000])).await
            }));
        }
        for append in appends {
            append.await.unwrap();
        }
        log.note(id(7), 1, b"seven".to_vec(), Urgency::Now).unwrap().durable().await.unwrap();
        log.kill(id(8)).unwrap().durable().await.unwrap();
        let scan = reader::scan(&options.directory).unwrap();
        assert_eq!(scan.records.len(), 63, "beside a live writer");
        assert!(scan.damage.is_empty(), "{:?}", scan.damage);
        // A day later: the first segment is sealed, then compacted because of its one dead record.
        let first = options.directory.join("0000000001.segment");
        for minute in 0..3_000 {
            log.tick(UnixMillis(20 * 3_600_000 + minute * 60_000)).await;
            if !first.exists() {
                break;
            }
            glommio::timer::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(!first.exists(), "not compacted within its time");
        let again = Log::open(GlommioDisk, options.clone(), UnixMillis(2)).await.unwrap();
        let loaded = again.load().await;
        assert_eq!(loaded.ids.len(), 63);
        assert_eq!(loaded.notes[&id(7)], [(1, b"seven".to_vec())]);
        let record = again.read(id(64)).await.unwrap();
        assert_eq!(&**record.content.as_memory().unwrap(), vec![64u8; 6_000]);
        assert!(again.read(id(8)).await.is_err());
        assert_eq!(again.take_damage(), []);
    });
    let scan = reader::scan(&path).unwrap();
    let (meta, content) = scan.records[&id(3)].read().unwrap();
    assert_eq!((meta, &**content.as_memory().unwrap()), (b"{}".to_vec(), &[3u8; 6_000][..]));
    assert_eq!(scan.notes[&id(7)][&1], b"seven");
}
