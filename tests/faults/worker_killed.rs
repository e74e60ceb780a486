//! The kernel kills an analysis worker that has a mail: the next worker examines the mail, or, if it dies too, the
//! mail is held as not scanned. None is lost, and none passes unexamined.

use std::time::Duration;

use rustix::process::Signal;
use sekisho_loadgen::sink::{Sink, SinkOptions};
use sekisho_loadgen::store;
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::process::{signal, workers_of};
use sekisho_tests::stand::{Load, PATIENCE, Stand};
use sekisho_tests::wait::wait_longer;

/// The rule that finds what the mix `classes` calls a virus, in plain and in archives.
const RULES: &str = include_str!("../../core/data/rules/10-test.toml");
/// Attachments of that mix that have it inside.
const INFECTED: [&str; 4] = ["eicar.com", "eicar.zip", "nested.zip", "photos.zip"];

/// Workers that died with a mail, as the engine says.
fn deaths(gateway: &Gateway) -> usize {
    let log = std::fs::read_to_string(gateway.data().join("run/engine.log")).unwrap();
    log.matches("an analysis worker died or was killed").count()
}

/// Kills the worker; false if it had no mail.
fn kill_worker(gateway: &Gateway) -> bool {
    let before = deaths(gateway);
    let worker =
        wait_longer("a worker runs", PATIENCE, || workers_of(gateway.pid()).first().copied());
    // Stopped for a while, it is given a mail by some session; what it was given before that it has as well.
    signal(worker, Signal::STOP);
    std::thread::sleep(Duration::from_millis(300));
    signal(worker, Signal::KILL);
    wait_longer("another worker runs", Duration::from_secs(60), || {
        workers_of(gateway.pid()).iter().any(|pid| *pid != worker).then_some(())
    });
    deaths(gateway) > before
}

#[test]
fn mails_of_killed_workers_are_examined_again_or_held_and_none_is_lost_or_passes_unexamined() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, mails) = (dir.path().join("ledger"), dir.path().join("mails"));
    let sink =
        Sink::start(SinkOptions { store: Some(mails.clone()), ..SinkOptions::default() }).unwrap();
    sink.keep_ledger(&ledger).unwrap();
    let gateway = Gateway::start(&Setup {
        files: vec![("rules/10-test.toml".to_owned(), RULES.to_owned())],
        ..Setup::to(sink.address())
    });
    let mut stand = Stand::new();
    let slow = Load { mails: 150, per_second: 40.0, ..Load::default() };
    stand.load(&gateway, &Load { mix: "real", seed: 0x701, ..slow.clone() });
    stand.load(&gateway, &Load { mix: "classes", seed: 0x702, ..slow });
    let mut kills = 0;
    while stand.is_sending() && kills < 6 {
        kills += usize::from(kill_worker(&gateway));
    }
    assert!(kills >= 2, "only {kills} workers had a mail when they were killed");
    let balance = stand.settle(&gateway, &[ledger]);
    balance.holds_exactly(&format!("{kills} workers killed"));
    assert!(balance.account.held > 0, "infected mail is held: {balance}");
    for mail in store::read_all(&mails).unwrap() {
        let text = String::from_utf8_lossy(&mail.content);
        let infected = INFECTED.iter().find(|name| text.contains(&format!("\"{name}\"")));
        assert_eq!(infected, None, "delivered: {:?}", mail.envelope_id());
    }
}
