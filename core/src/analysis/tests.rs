//! Tests of the analysis room. The worker is this test program itself, started again for the one
//! test `worker_process`, which runs on its main thread.

use std::time::Duration;

use futures_lite::future::block_on;

use super::*;
use crate::content::Content;
use crate::scan::finding::FindingKind;

/// What a worker is told to do in a test instead of its work.
pub(super) fn misbehave(how: Option<&str>) {
    match how {
        None => {}
        Some("abort") => std::process::abort(),
        Some("spin") => loop {
            std::hint::spin_loop();
        },
        Some("allocate") => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 16 * 1024 * 1024]);
            }
        }
        Some("socket") => {
            let _ = std::net::UdpSocket::bind("127.0.0.1:0");
        }
        Some("open") => {
            let _ = std::fs::metadata("/etc/passwd");
        }
        Some("recurse") => {
            let _ = descend(0);
        }
        Some(other) => panic!("unknown misbehaviour {other}"),
    }
}

#[expect(unconditional_recursion, reason = "overflows the stack on purpose")]
fn descend(depth: usize) -> usize {
    let room = [depth; 512];
    descend(std::hint::black_box(room)[0] + 1) + std::hint::black_box(room)[1]
}

#[test]
#[ignore = "is the worker process of the other tests"]
fn worker_process() {
    let arguments = WorkerArguments { memory_bytes_max: 1 << 30, tables: None };
    worker_main(&arguments).unwrap();
}

fn pool(deadline: Duration, queue_max: usize) -> Pool {
    let mut settings = PoolSettings::new(std::env::current_exe().unwrap(), "".into());
    // The test program takes no further arguments: the limit comes from `worker_process`, and what
    // the pool appends is read as one more name that no test has.
    settings.arguments =
        ["--ignored", "--test-threads=1", "--nocapture", "analysis::tests::worker_process"]
            .map(Into::into)
            .to_vec();
    settings.deadline = deadline;
    settings.queue_max = queue_max;
    Pool::start(settings, None).unwrap()
}

fn mail() -> Content {
    Content::from_octets(&b"Subject: x\r\nFrom: a@b.example\r\n\r\nhello http://a.example/\r\n"[..])
}

#[test]
fn a_content_is_examined_in_a_worker_and_the_worker_is_kept() {
    let pool = pool(Duration::from_secs(20), 4);
    for _ in 0..3 {
        let seen = block_on(pool.examine(mail(), None)).unwrap();
        assert_eq!((&*seen.facts.subject, seen.findings.len()), ("x", 0));
    }
    assert_eq!(pool.counters(), PoolCounters { examined: 3, deaths: 0, full: 0 });
}

#[test]
fn a_content_on_which_workers_die_twice_is_a_finding_and_the_next_one_is_served() {
    let pool = pool(Duration::from_secs(20), 4);
    for how in ["abort", "allocate", "socket", "open", "recurse"] {
        let before = pool.counters().deaths;
        let seen = block_on(pool.submit(mail(), None, None, Some(how))).unwrap();
        let kinds: Vec<_> = seen.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::WorkerDied], "{how}");
        assert_eq!(pool.counters().deaths - before, 2, "{how}");
    }
    assert_eq!(&*block_on(pool.examine(mail(), None)).unwrap().facts.subject, "x");
}

#[test]
fn a_worker_that_spins_is_killed_at_its_deadline() {
    let pool = pool(Duration::from_secs(2), 4);
    let seen = block_on(pool.submit(mail(), None, None, Some("spin"))).unwrap();
    assert_eq!(seen.findings[0].kind, FindingKind::WorkerDied);
}

#[test]
fn a_full_queue_is_our_own_fault_and_said_at_once() {
    let pool = pool(Duration::from_secs(2), 1);
    let mut waiting: Vec<_> =
        (0..6).map(|_| Box::pin(pool.submit(mail(), None, None, Some("spin")))).collect();
    let mut full = 0;
    for job in &mut waiting {
        let polled = block_on(futures_lite::future::poll_once(job));
        full += usize::from(matches!(polled, Some(Err(AnalysisError::QueueFull(1)))));
    }
    assert!(full >= 4, "{full} of 6 were turned away");
    assert_eq!(pool.counters().full, full as u64);
}

#[test]
fn a_program_that_is_no_worker_is_our_own_fault() {
    let mut settings = PoolSettings::new("/nonexistent/program".into(), "".into());
    settings.deadline = Duration::from_secs(2);
    let pool = Pool::start(settings, None).unwrap();
    let answer = block_on(pool.examine(mail(), None));
    assert!(matches!(answer, Err(AnalysisError::Start(_))), "{answer:?}");
}

#[test]
fn a_content_of_memory_and_file_pieces_arrives_whole() {
    use crate::content::{LargeFile, Piece};
    use std::io::Write;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"skip From: file@example\r\n\r\nbody\r\n").unwrap();
    let large = LargeFile { file: file.reopen().unwrap(), path: file.path().into(), bytes: 33 };
    let content = Content {
        pieces: vec![
            Piece::Memory(b"Subject: both\r\n"[..].into()),
            Piece::File { file: std::sync::Arc::new(large), offset: 5, bytes: 28 },
        ],
    };
    let seen = block_on(pool(Duration::from_secs(20), 1).examine(content, None)).unwrap();
    assert_eq!((&*seen.facts.subject, &*seen.facts.author), ("both", "file@example"));
}

#[test]
fn only_what_may_stall_leaves_the_shard() {
    use crate::message::ViewLimits;
    let view = |raw: &'static [u8]| View::build(raw, &ViewLimits::shard());
    assert!(!needs_worker(&view(b"Subject: x\r\n\r\ntext")));
    let zip = b"Content-Type: application/zip\r\n\r\nPK\x03\x04 and so on";
    assert!(needs_worker(&view(zip)));
    assert!(!too_costly(b"Subject: x\r\n\r\ntext"));
    assert!(too_costly(&vec![b'x'; 400 * 1024]));
    assert!(too_costly("Content-Type: a\r\n".repeat(2000).as_bytes()));
}

#[test]
fn worker_arguments_survive_the_command_line() {
    for tables in [None, Some(("/g".into(), "/e".into()))] {
        let arguments = WorkerArguments { memory_bytes_max: 5, tables };
        let read = WorkerArguments::read(arguments.to_arguments().into_iter());
        assert_eq!(read, Ok(arguments));
    }
    assert!(WorkerArguments::read(["x".into()].into_iter()).is_err());
    assert!(WorkerArguments::read(["1".into(), "/g".into()].into_iter()).is_err());
}
