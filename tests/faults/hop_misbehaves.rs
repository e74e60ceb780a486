//! The next hop answers 4yz for a time, closes in the middle of contents, hangs.

use std::path::PathBuf;

use sekisho_loadgen::sink::{Behaviour, Sink, SinkOptions};
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::process::connections_to;
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, PATIENCE, Stand};
use sekisho_tests::wait::wait_longer;
use tempfile::TempDir;

use crate::MODES;

/// A sink in this process that can be told to behave otherwise, and its ledger.
fn sink() -> (Sink, PathBuf, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let sink = Sink::start(SinkOptions::default()).unwrap();
    sink.keep_ledger(&ledger).unwrap();
    (sink, ledger, dir)
}

/// Both modes; the hop takes nothing until 40 mails wait for it, then all. No client may notice, and nothing that was
/// not taken may be there twice.
fn through_bad_times(story: &str, bad: &Behaviour, seed: u64) {
    for (mode, seed) in MODES.into_iter().zip(seed..) {
        let (sink, ledger, _dir) = sink();
        let gateway = Gateway::start(&Setup { mode, ..Setup::to(sink.address()) });
        let mut stand = Stand::new();
        stand.load(&gateway, &Load { seed, mails: 240, ..Load::default() });
        stand.answered(60);
        sink.set_behaviour(bad.clone());
        wait_longer("mail waits", PATIENCE, || (gateway.queued() >= 40).then_some(()));
        sink.set_behaviour(Behaviour::default());
        let balance = stand.settle(&gateway, &[ledger]);
        balance.holds_exactly(&format!("{story}, {mode}"));
        assert_eq!(balance.account.delivered, 240, "{story}, {mode}: {balance}");
    }
}

#[test]
fn a_hop_that_answers_4yz_to_every_recipient_for_a_time_gets_all_mail_later_each_once() {
    let bad = Behaviour { rcpt_temporary_percent: 100, ..Behaviour::default() };
    through_bad_times("451 to RCPT", &bad, 0x301);
}

#[test]
fn a_hop_that_answers_4yz_to_the_final_dot_or_421_for_a_time_gets_all_mail_later_each_once() {
    let bad = Behaviour { dot_temporary_percent: 100, ..Behaviour::default() };
    through_bad_times("451 to the final dot", &bad, 0x311);
    let bad = Behaviour { busy: true, rcpt_temporary_percent: 100, ..Behaviour::default() };
    through_bad_times("421 at the greeting", &bad, 0x321);
}

#[test]
fn a_hop_that_closes_in_the_middle_of_a_content_gets_the_mail_again_and_never_twice() {
    let bad = Behaviour { body_close_percent: 100, ..Behaviour::default() };
    through_bad_times("closed in the middle of DATA", &bad, 0x331);
}

#[test]
fn a_hop_that_hangs_holds_up_no_client_for_longer_than_the_setting_and_loses_nothing() {
    for (mode, seed) in MODES.into_iter().zip(0x341..) {
        let sink = SinkProcess::start(&[]);
        let delivery = "response_timeout_ms = 1000\nfinal_dot_wait_ms = 1000\n\
                        connect_timeout_ms = 1000";
        let gateway = Gateway::start(&Setup {
            mode,
            delivery: delivery.to_owned(),
            ..Setup::to(sink.address())
        });
        let mut stand = Stand::new();
        stand.load(&gateway, &Load { seed, mails: 240, sessions: 16, ..Load::default() });
        stand.answered(60);
        sink.stop();
        // What it has in its buffers it takes when it goes on, though nobody may wait for the answer any more.
        let in_flight = connections_to(sink.address());
        wait_longer("mail waits", PATIENCE, || (gateway.queued() >= 40).then_some(()));
        sink.go_on();
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        let story = format!("hop hangs, {mode}");
        balance.holds(&story, in_flight);
        assert_eq!(
            (balance.account.refused, balance.account.unknown),
            (0, 0),
            "{story}: {balance}"
        );
        assert_eq!(balance.account.delivered, 240, "{story}: {balance}");
    }
}
