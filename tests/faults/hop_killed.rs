//! `kill -9` of the next hop. A mail whose answer was on its way is delivered again; all others wait.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, PATIENCE, Stand};
use sekisho_tests::wait::wait_longer;

use crate::MODES;

#[test]
fn mail_waits_for_a_hop_that_was_killed_and_only_what_was_in_flight_arrives_twice() {
    for (mode, seed) in MODES.into_iter().zip(0x201..) {
        let mut sink = SinkProcess::start(&[]);
        let gateway = Gateway::start(&Setup { mode, ..Setup::to(sink.address()) });
        let mut stand = Stand::new();
        stand.load(&gateway, &Load { seed, mails: 300, ..Load::default() });
        let mut in_flight = 0;
        for answered in [60, 160] {
            stand.answered(answered);
            in_flight += sink.kill();
            wait_longer("mail waits for the hop", PATIENCE, || {
                (gateway.queued() >= 20).then_some(())
            });
            sink.up();
        }
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        let story = format!("hop killed, {mode}");
        balance.holds(&story, in_flight);
        assert_eq!(balance.account.refused, 0, "{story}: the client notices nothing: {balance}");
        assert_eq!(balance.account.delivered, 300, "{story}: {balance}");
    }
}
