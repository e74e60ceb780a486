//! Tests of the analysis room. The worker is this test program itself, started again for the one
//! test `worker_process`, which runs on its main thread.

#![expect(
    clippy::disallowed_methods,
    reason = "tests measure time, wait, and read what the kernel tells of processes"
)]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, pending};

use super::pool::Task;
use super::*;
use crate::classify::Reading;
use crate::content::Content;
use crate::scan::finding::FindingKind;

/// What a worker is told to do in a test instead of its work.
pub(super) fn misbehave(how: Option<&str>, mut socket: &UnixStream) {
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
        Some("drip") => {
            // A long answer, one octet after the other: each read of it succeeds in time.
            socket.write_all(&1_000_000_u32.to_le_bytes()).unwrap();
            loop {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(100) {
                    std::hint::spin_loop();
                }
                socket.write_all(b" ").unwrap();
            }
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
    let arguments = WorkerArguments { memory_bytes_max: 1 << 30, ..WorkerArguments::default() };
    worker_main(&arguments).unwrap();
}

/// As Debian has it; a number, so that the test needs no entry for it.
const NOBODY: Account = Account { user: 65_534, group: 65_534 };

#[test]
#[ignore = "is the worker process of the test of users"]
fn nobodys_worker_process() {
    let arguments = WorkerArguments {
        memory_bytes_max: 1 << 30,
        user: Some(NOBODY),
        ..WorkerArguments::default()
    };
    worker_main(&arguments).unwrap();
}

fn settings(test: &str, deadline: Duration, queue_max: usize) -> PoolSettings {
    let mut settings = PoolSettings::new(std::env::current_exe().unwrap(), "".into());
    // The test program takes no further arguments: the limit comes from `worker_process`, and what
    // the pool appends is read as more names that no test has.
    settings.arguments =
        ["--ignored", "--test-threads=1", "--nocapture", test].map(Into::into).to_vec();
    settings.deadline = deadline;
    settings.queue_max = queue_max;
    settings
}

fn pool(deadline: Duration, queue_max: usize) -> Pool {
    let settings = settings("analysis::tests::worker_process", deadline, queue_max);
    Pool::start(settings, None).unwrap()
}

fn asked(content: Content, misbehave: Option<&str>) -> Task {
    let misbehave = misbehave.map(str::to_owned);
    Task {
        content,
        envelope_from: None,
        generation: None,
        cleaning: Cleaning::default(),
        expressions: Vec::new(),
        reading: Reading::default(),
        misbehave,
    }
}

/// What the pool says of a content, however long that takes.
fn examine(pool: &Pool, content: Content) -> Result<Examination, AnalysisError> {
    block_on(pool.submit(asked(content, None), pending()))
}

fn provoke(pool: &Pool, content: Content, how: &str) -> Result<Examination, AnalysisError> {
    block_on(pool.submit(asked(content, Some(how)), pending()))
}

/// A mail of its own for each way to die: a content that killed is remembered.
fn other_mail(text: &str) -> Content {
    Content::from_octets(format!("Subject: {text}\r\n\r\nhello\r\n").into_bytes())
}

/// Ends after so long, without an executor.
async fn after(pause: Duration) {
    let (ended, waits) = flume::bounded::<()>(1);
    std::thread::spawn(move || {
        std::thread::sleep(pause);
        drop(ended);
    });
    let _ = waits.recv_async().await;
}

fn mail() -> Content {
    Content::from_octets(
        &b"Subject: x\r\nFrom: Anna <a@b.example>\r\nTo: c@d.example\r\nMessage-ID: <1@b.example>\r\n\
           Date: Mon, 06 Jul 2026 09:00:00 +0900\r\n\r\nhello http://a.example/\r\n"[..],
    )
}

#[test]
fn a_content_is_examined_in_a_worker_and_the_worker_is_kept() {
    let pool = pool(Duration::from_secs(20), 4);
    for _ in 0..3 {
        let seen = examine(&pool, mail()).unwrap();
        assert_eq!((&*seen.facts.subject, seen.findings.len()), ("x", 0));
        let sender = &seen.facts.sender;
        let author = sender.authors.first().map(|author| (&*author.name, &*author.address));
        assert_eq!(author, Some(("Anna", "a@b.example")));
        assert_eq!(sender.link_hosts, ["a.example".into()]);
    }
    assert_eq!(pool.counters(), PoolCounters { examined: 3, deaths: 0, full: 0 });
}

/// Worker processes of this test program, those that nobody has waited for included.
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children"));
    let texts: Vec<String> = threads.filter_map(|thread| of(thread.unwrap()).ok()).collect();
    texts.iter().flat_map(|text| text.split_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn an_idle_worker_that_is_killed_is_noticed_counted_and_replaced() {
    // It stayed a zombie, no alarm was raised, and the next content was blamed for the death.
    let pool = pool(Duration::from_secs(20), 4);
    examine(&pool, mail()).unwrap();
    let first = children();
    assert_eq!(first.len(), 1, "{first:?}");
    kill(first[0]);
    let end = Instant::now() + Duration::from_secs(20);
    let second = loop {
        let now = children();
        if pool.counters().deaths == 1 && now.len() == 1 && now != first {
            break now;
        }
        assert!(Instant::now() < end, "{:?}, {now:?} after {first:?}", pool.counters());
        std::thread::sleep(Duration::from_millis(20));
    };
    // It may still be starting: idle it is when it has answered.
    examine(&pool, mail()).unwrap();
    assert_eq!(children(), second, "the new one is used");
    kill(second[0]);
    assert_eq!(&*examine(&pool, mail()).unwrap().facts.subject, "x");
    assert_eq!(pool.counters(), PoolCounters { examined: 3, deaths: 2, full: 0 });
    assert_eq!(children().len(), 1);
}

#[test]
fn a_content_on_which_workers_die_twice_is_a_finding_and_the_next_one_is_served() {
    let pool = pool(Duration::from_secs(20), 4);
    for how in ["abort", "allocate", "socket", "open", "recurse"] {
        let before = pool.counters().deaths;
        let seen = provoke(&pool, other_mail(how), how).unwrap();
        let kinds: Vec<_> = seen.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::WorkerDied], "{how}");
        assert_eq!(pool.counters().deaths - before, 2, "{how}");
    }
    assert_eq!(&*examine(&pool, mail()).unwrap().facts.subject, "x");
}

#[test]
fn a_worker_that_spins_or_drips_its_answer_is_killed_at_its_deadline() {
    // The deadline once held for each read of the answer: a worker that sent an octet in each of them
    // had no end, and its slot was gone for good.
    let deadline = Duration::from_secs(2);
    let pool = pool(deadline, 4);
    for how in ["spin", "drip"] {
        let begun = Instant::now();
        let seen = provoke(&pool, other_mail(how), how).unwrap();
        // Nothing of it was looked at (ITS-05), because of a limit and not of a crash.
        let first = &seen.findings[0];
        assert_eq!((first.kind, &*first.rule), (FindingKind::WorkerDied, "SCAN_TIMEOUT"), "{how}");
        // Two deadlines for two workers, and what a busy machine needs to start them.
        assert!(begun.elapsed() < deadline * 6, "{how}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_content_that_killed_two_workers_kills_no_third() {
    let pool = pool(Duration::from_secs(20), 4);
    for _ in 0..3 {
        let seen = provoke(&pool, mail(), "abort").unwrap();
        assert_eq!(seen.findings[0].kind, FindingKind::WorkerDied);
    }
    assert_eq!(pool.counters().deaths, 2);
    assert_eq!(&*examine(&pool, other_mail("y")).unwrap().facts.subject, "y");
}

#[test]
fn a_loop_of_crashes_pauses_and_then_serves_again() {
    let pool = pool(Duration::from_secs(20), 4);
    let begun = Instant::now();
    for number in 0..3 {
        provoke(&pool, other_mail(&number.to_string()), "abort").unwrap();
    }
    // After the second content: 4 deaths, the second pause (100 ms) comes before the third content.
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    assert_eq!(&*examine(&pool, mail()).unwrap().facts.subject, "x");
    assert_eq!(pool.counters(), PoolCounters { examined: 1, deaths: 6, full: 0 });
}

#[test]
fn waiting_for_a_free_worker_ends_and_what_a_worker_has_goes_on() {
    // With all workers busy, a content once waited until one of them took it, only to hear then that
    // it had waited too long: its client was gone by that time.
    // One worker, and a queue in the order of asking: it has the first content until that killed it twice.
    let pool = pool(Duration::from_secs(3), 4);
    let claimed = async {
        // It died of it once, so it has it.
        while pool.counters().deaths == 0 {
            after(Duration::from_millis(10)).await;
        }
    };
    let is_over = std::cell::Cell::new(false);
    let first = async {
        let answer = pool.submit(asked(other_mail("s"), Some("spin")), claimed).await;
        is_over.set(true);
        answer
    };
    let second = async {
        let answer = pool.submit(asked(mail(), None), async {}).await;
        assert!(!is_over.get(), "it waited for the worker");
        answer
    };
    let (first, second) = block_on(futures_lite::future::zip(first, second));
    assert_eq!(first.unwrap().findings[0].kind, FindingKind::WorkerDied, "claimed: not given up");
    assert_eq!(second, Err(AnalysisError::Waited(3_000)));
    // It was not examined behind its client's back.
    assert_eq!(&*examine(&pool, other_mail("next")).unwrap().facts.subject, "next");
    assert_eq!(pool.counters().examined, 1);
}

#[test]
fn a_full_queue_is_our_own_fault_and_said_at_once() {
    let pool = pool(Duration::from_secs(2), 1);
    let mut waiting: Vec<_> =
        (0..6).map(|_| Box::pin(pool.submit(asked(mail(), Some("spin")), pending()))).collect();
    let mut full = 0;
    for job in &mut waiting {
        let polled = block_on(futures_lite::future::poll_once(job));
        full += usize::from(matches!(polled, Some(Err(AnalysisError::QueueFull(1)))));
    }
    assert!(full >= 4, "{full} of 6 were turned away");
    assert_eq!(pool.counters().full, full as u64);
}

/// The status of the thread that is locked in, of the child of this process whose command line names
/// `test`. The test harness may run it on a thread of its own; the engine's worker has one thread.
fn status_of_worker(test: &str) -> Option<String> {
    let ours = format!("PPid:\t{}\n", std::process::id());
    let child = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find(|entry| {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        status.contains(&ours) && memchr::memmem::find(&command, test.as_bytes()).is_some()
    })?;
    std::fs::read_dir(child.path().join("task")).ok()?.filter_map(Result::ok).find_map(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        status.contains("NoNewPrivs:\t1").then_some(status)
    })
}

#[test]
fn a_worker_of_root_is_nobody_without_groups_and_capabilities() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("LEFT OUT: only root can change the user of a worker");
        return;
    }
    let test = "analysis::tests::nobodys_worker_process";
    let pool = Pool::start(settings(test, Duration::from_secs(20), 4), None).unwrap();
    assert_eq!(&*examine(&pool, mail()).unwrap().facts.subject, "x");
    let status = status_of_worker(test).expect("a worker that waits for its next content");
    let field = |name: &str| -> Vec<&str> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("absent");
        line.split_whitespace().collect()
    };
    assert_eq!((field("Uid:"), field("Gid:")), (vec!["65534"; 4], vec!["65534"; 4]));
    assert_eq!(field("Groups:"), [""; 0]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), (vec!["1"], vec!["2"]));
    // The engine can still end it.
    let seen = provoke(&pool, other_mail("abort"), "abort").unwrap();
    assert_eq!(seen.findings[0].kind, FindingKind::WorkerDied);
}

#[test]
fn a_program_that_is_no_worker_is_our_own_fault() {
    let mut settings = PoolSettings::new("/nonexistent/program".into(), "".into());
    settings.deadline = Duration::from_secs(2);
    let pool = Pool::start(settings, None).unwrap();
    let answer = examine(&pool, mail());
    assert!(matches!(answer, Err(AnalysisError::Start(_))), "{answer:?}");
}

#[test]
fn a_content_of_memory_and_file_pieces_arrives_whole() {
    use crate::content::{LargeFile, Piece};
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"skip From: file@example\r\n\r\nbody\r\n").unwrap();
    let large = LargeFile { file: file.reopen().unwrap(), path: file.path().into(), bytes: 33 };
    let content = Content {
        pieces: vec![
            Piece::Memory(b"Subject: both\r\n"[..].into()),
            Piece::File { file: Arc::new(large), offset: 5, bytes: 28 },
        ],
    };
    let seen = examine(&pool(Duration::from_secs(20), 1), content).unwrap();
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
    let tables: Option<(PathBuf, PathBuf)> = Some(("/g".into(), "/e".into()));
    for (user, tables) in [(None, None), (Some(NOBODY), tables.clone()), (None, tables)] {
        let arguments = WorkerArguments {
            memory_bytes_max: 5,
            passwords_from_text: user.is_some(),
            user,
            tables,
        };
        let read = WorkerArguments::read(arguments.to_arguments().into_iter());
        assert_eq!(read, Ok(arguments));
    }
    let read = |words: &[&str]| WorkerArguments::read(words.iter().map(Into::into));
    assert!(read(&["x"]).is_err() && read(&["1"]).is_err() && read(&["1", "0"]).is_err());
    assert!(read(&["1", "-", "/g"]).is_err());
}
