//! `kill -9` of the engine at random moments under load: no acknowledged mail is missing, none is
//! half-written. Both modes; every other round with the next hop down.
//!
//! A kill keeps the page cache, so this shows recovery and the order of answers, not the disk: that
//! is what the simulated disk in `core/src/spool` shows.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::random::Random;
use sekisho_loadgen::report::RunReport;
use sekisho_loadgen::send::{self, SendOptions};
use sekisho_tests::account::{Told, account};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;

/// What the ledger of a load says of each mail.
pub(crate) fn read_ledger(path: &Path) -> BTreeMap<String, Told> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let (id, _to, outcome) = (fields.next()?, fields.next()?, fields.next()?);
            let told = match outcome.chars().next() {
                Some('2') => Told::Taken,
                Some('4' | '5') => Told::Refused,
                _ => Told::Unknown,
            };
            Some((id.to_owned(), told))
        })
        .collect()
}

/// A load in the background; its ledger is complete when it is joined.
pub(crate) fn load(
    gateway: &Gateway,
    mails: u64,
    sessions: usize,
    seed: u64,
    ledger: &Path,
) -> std::thread::JoinHandle<RunReport> {
    let options = SendOptions {
        server: gateway.smtp(),
        sessions,
        mails,
        mails_per_connection: 5,
        from: "sender@example.com".to_owned(),
        to: vec![format!("u-{{n}}@{DOMAIN}")],
        helo: "load.example.com".to_owned(),
        seed,
        timeout: Duration::from_secs(60),
        ledger: Some(ledger.to_owned()),
        ..SendOptions::default()
    };
    std::thread::spawn(move || send::run(options, Mix::generated(seed)).expect("a load"))
}

fn rounds(mode: &'static str, kills: usize, seed: u64) {
    let mut hop = Hop::start();
    let mut gateway = Gateway::start(&Setup { mode, ..Setup::to(hop.address()) });
    let mut random = Random::new(seed);
    let mut told = BTreeMap::new();
    let dir = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        if kill % 2 == 1 {
            hop.down()
        } else {
            hop.up()
        }
        let ledger = dir.path().join(format!("{kill}"));
        let sender = load(&gateway, 60, 6, seed + 1 + kill as u64, &ledger);
        // The random moment is the purpose here, not a wait for something.
        std::thread::sleep(Duration::from_millis(random.below(400) as u64));
        gateway.kill();
        gateway.up();
        let report = sender.join().expect("the load ends");
        let of_round = read_ledger(&ledger);
        assert!(!of_round.is_empty(), "seed {seed}, kill {kill}: nothing was sent: {report:?}");
        told.extend(of_round);
    }
    hop.up();
    // What the last kill left must be read before it can be flushed.
    let _ = gateway.queued();
    assert!(gateway.sekisho(&["queue", "flush"]).status.success());
    wait_longer("the queue empties", Duration::from_secs(120), || {
        (gateway.queued() == 0).then_some(())
    });
    let account = account(&told, &hop, &gateway);
    let taken = told.values().filter(|told| **told == Told::Taken).count();
    assert!(taken > 0, "mode {mode}, seed {seed}: the load got through somewhere");
    assert_eq!(
        account.missing,
        Vec::<String>::new(),
        "mode {mode}, seed {seed}: acknowledged and gone, of {taken}"
    );
    for mail in hop.mails() {
        let id = mail.envelope_id().unwrap_or_default();
        let length = mail.content.len();
        assert!(mail.content.ends_with(b"\r\n") && length > 1024, "{id}: half-written, {length}");
    }
    eprintln!(
        "kill -9, {mode}: {kills} kills, {} sent, {taken} acknowledged, {} delivered, {} held, \
         {} duplicates, 0 missing",
        account.sent,
        account.delivered.len(),
        account.held.len(),
        account.delivered.values().filter(|times| **times > 1).count(),
    );
}

fn kills() -> usize {
    if sekisho_tests::is_soak() { 100 } else { 10 }
}

#[test]
fn no_acknowledged_mail_is_lost_when_the_engine_is_killed_in_through_mode() {
    rounds("through", kills(), 20_261_123);
}

#[test]
fn no_acknowledged_mail_is_lost_when_the_engine_is_killed_in_spool_mode() {
    rounds("spool", kills(), 20_261_124);
}
