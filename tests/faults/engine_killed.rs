//! `kill -9` of the engine, twice in one load. What was in flight may arrive twice, once for each kill.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, Stand};

fn killed(mode: &'static str, seed: u64) {
    let sink = SinkProcess::start(&[]);
    let mut gateway = Gateway::start(&Setup { mode, ..Setup::to(sink.address()) });
    let mut stand = Stand::new();
    stand.load(&gateway, &Load { seed, ..Load::default() });
    let mut in_flight = 0;
    for answered in [60, 150] {
        stand.answered(answered);
        in_flight += gateway.kill_counting(sink.address());
        gateway.up();
    }
    let balance = stand.settle(&gateway, &[sink.ledger()]);
    balance.holds(&format!("engine killed, {mode}"), in_flight);
}

#[test]
fn a_killed_engine_loses_no_mail_in_through_mode() {
    killed("through", 0x101);
}

#[test]
fn a_killed_engine_loses_no_mail_in_spool_mode() {
    killed("spool", 0x102);
}
