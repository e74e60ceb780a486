//! A queue of many mails for dead hops over a `kill -9`: nobody else's mail waits for it, and all of it is
//! known again. What it takes is measured by `bench/queue-million.sh`.

use std::fmt::Write as _;
use std::time::Duration;

use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::report::RunReport;
use sekisho_loadgen::send::{self, SendOptions};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup, free_port};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;

/// Mails for dead hops.
const MAILS: u64 = 20_000;
/// Dead domains, one hop each.
const DOMAINS: usize = 50;
/// Mails for the healthy domain, in each of the two runs.
const HEALTHY: u64 = 200;

fn send(gateway: &Gateway, mails: u64, seed: u64, to: Vec<String>) -> RunReport {
    let files = tempfile::tempdir().unwrap();
    let text = "From: a@example.com\nTo: b@example.com\nSubject: order\n\nplease review\n";
    std::fs::write(files.path().join("small.eml"), text).unwrap();
    let options = SendOptions {
        server: gateway.smtp(),
        sessions: 16,
        mails,
        mails_per_connection: 200,
        from: "sender@example.com".to_owned(),
        to,
        helo: "load.example.com".to_owned(),
        seed,
        timeout: Duration::from_secs(60),
        ..SendOptions::default()
    };
    send::run(options, Mix::from_directory(files.path()).unwrap()).unwrap()
}

#[test]
fn a_long_queue_is_known_again_after_a_kill_and_healthy_mail_does_not_wait_for_it() {
    let hop = Hop::start();
    let dead = free_port();
    let mut domains = String::new();
    for n in 0..DOMAINS {
        write!(
            domains,
            "[[domain]]\nname = \"dead{n}.test\"\nprofile = \"securemail\"\n[[domain.route]]\n\
             host = \"127.0.1.{}\"\nport = {}\ntls = \"never\"\n[domain.settings]\n\
             recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n",
            n + 1,
            dead.port()
        )
        .unwrap();
    }
    let setup = Setup { mode: "spool", domains, ..Setup::to(hop.address()) };
    let mut gateway = Gateway::start(&setup);
    let names = (0..DOMAINS).map(|n| format!("user@dead{n}.test")).collect();
    assert_eq!(send(&gateway, MAILS, 1, names).totals.accepted, MAILS);
    assert_eq!(gateway.queued(), MAILS);
    let healthy = vec![format!("user@{DOMAIN}")];

    for round in 1..=2 {
        gateway.kill();
        gateway.up();
        let report = send(&gateway, HEALTHY, 1 + round, healthy.clone());
        assert_eq!(report.totals.accepted, HEALTHY, "{report:?}");
        wait_longer("healthy mail is delivered", Duration::from_secs(60), || {
            (hop.mails().len() as u64 >= HEALTHY * round).then_some(())
        });
        // A mail that was lost, or is there twice, keeps the number from coming out.
        wait_longer("all are known again", Duration::from_secs(60), || {
            (gateway.queued() == MAILS).then_some(())
        });
    }
    let why = gateway.sekisho_json(&["queue", "why"]);
    let mails: u64 = why.iter().filter_map(|row| row["mails"].as_u64()).sum();
    assert_eq!((why.len(), mails), (DOMAINS, MAILS), "{why:?}");
}
