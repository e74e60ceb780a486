use super::*;
use futures_lite::future::{block_on, poll_once, yield_now};
use std::pin::pin;

/// Uses so much CPU.
fn burn(millis: u64) {
    let end = now() + millis * 1_000_000;
    while now() < end {}
}

fn millis(stages: &Stages, stage: Stage) -> u64 {
    stages.nanos(stage) / 1_000_000
}

fn on_own_thread(work: impl FnOnce(Arc<Stages>) + Send + 'static) -> Arc<Stages> {
    let stages = Arc::new(Stages::default());
    let given = Arc::clone(&stages);
    let thread = std::thread::spawn(move || {
        register(Arc::clone(&given), Sampling::All);
        work(given);
    });
    thread.join().unwrap();
    stages
}

#[test]
fn every_stage_has_its_own_place_and_name() {
    for (index, stage) in Stage::ALL.into_iter().enumerate() {
        assert_eq!(stage as usize, index);
    }
    let mut names: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), STAGES);
}

#[test]
fn a_stage_that_waits_is_not_charged_for_what_runs_meanwhile() {
    let stages = on_own_thread(|_| {
        let task = async {
            burn(2);
            let hop = enter(Stage::NextHop);
            burn(3);
            yield_now().await;
            burn(3);
            drop(hop);
            burn(2);
        };
        let task = pin!(task);
        let mut task = pin!(measured(Stage::Session, task));
        block_on(async {
            assert!(poll_once(task.as_mut()).await.is_none());
            // Another task, and nobody's.
            let other = pin!(async { burn(5) });
            let mut other = pin!(measured(Stage::Flush, other));
            assert!(poll_once(other.as_mut()).await.is_some());
            burn(20);
            assert!(poll_once(task.as_mut()).await.is_some());
        });
    });
    let [session, hop, flush] = [Stage::Session, Stage::NextHop, Stage::Flush];
    for (stage, least) in [(session, 4), (hop, 6), (flush, 5)] {
        let found = millis(&stages, stage);
        // Readings are left out, so a stage that burns by reading the clock may come to a little less.
        assert!((least - 2..least + 5).contains(&found), "{stage:?}: {found} ms");
    }
    let sum: u64 = Stage::ALL.iter().map(|stage| stages.nanos(*stage)).sum();
    assert!(sum < 30_000_000, "what nobody named is in no stage: {sum} ns");
}

#[test]
fn a_task_that_is_given_up_leaves_no_stage_behind() {
    let stages = on_own_thread(|_| {
        let mut given_up = Box::pin(measured(
            Stage::Session,
            Box::pin(async {
                let _scan = enter(Stage::ScanRest);
                std::future::pending::<()>().await;
            }),
        ));
        block_on(async { assert!(poll_once(&mut given_up).await.is_none()) });
        measured_now(Stage::Spool, || {
            // Its guard goes while another task is at work.
            drop(given_up);
            burn(3);
        });
        burn(3);
    });
    assert!(millis(&stages, Stage::Spool) >= 2);
    assert_eq!(millis(&stages, Stage::ScanRest), 0);
}

#[test]
fn samples_come_to_what_all_polls_took() {
    let stages = Arc::new(Stages::default());
    let given = Arc::clone(&stages);
    let work = move || {
        register(given, Sampling::Some);
        for _ in 0..4_000 {
            measured_now(Stage::View, || {
                let end = now() + 5_000;
                while now() < end {}
            });
        }
        now()
    };
    let all = std::thread::spawn(work).join().unwrap();
    let found = stages.nanos(Stage::View);
    // 250 samples of 4,000: within a third, unless the draw is broken.
    assert!(found > all / 3 && found < all * 3 / 2, "{found} of {all} ns");
}

#[test]
fn a_worker_says_what_each_content_took_and_nonsense_has_a_bound() {
    let spent = std::thread::spawn(|| {
        let mut spending = Spending::begin();
        measured_now(Stage::View, || burn(2));
        let first = spending.take();
        (first, spending.take())
    });
    let (first, second) = spent.join().unwrap();
    let view = Stage::View as usize;
    assert!(first.stages[view] > 1_000_000 && first.all >= first.stages[view], "{first:?}");
    assert_eq!(second.stages[view], 0);
    let stages = Stages::default();
    stages.add(&Spent { stages: vec![u64::MAX; 100], all: u64::MAX });
    stages.add(&Spent::default());
    assert_eq!((stages.mails(), stages.thread_nanos()), (2, 3_600_000_000_000));
    assert_eq!(stages.nanos(Stage::Flush), 3_600_000_000_000);
}
