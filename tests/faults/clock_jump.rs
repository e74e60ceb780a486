//! The wall clock jumps under load, forward and back, by an hour and by days: no mail expires, waits for days, or
//! is held or delivered twice.

use sekisho_tests::gateway::{Gateway, Setup, free_port};
use sekisho_tests::preload::Preload;
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, PATIENCE, Stand};
use sekisho_tests::wait::wait_longer;

use crate::MODES;

const HOUR: i64 = 3_600;
/// Longer than a mail's lifetime (five days).
const DAYS: i64 = 10 * 24 * HOUR;

/// Reports, if there were any, would find no mail host, and are found in the queue.
fn no_dns() -> String {
    format!("[dns]\nservers = [\"{}\"]\ntimeout_ms = 500\n", free_port())
}

#[test]
fn mail_in_flight_and_mail_that_waits_outlast_every_jump_of_the_clock() {
    let Some(preload) = Preload::new("jumps of the clock") else { return };
    for (mode, seed) in MODES.into_iter().zip(0x601..) {
        let mut sink = SinkProcess::start(&[]);
        let setup = Setup { mode, config: no_dns(), ..Setup::to(sink.address()) };
        let mut gateway = Gateway::prepare(&setup);
        gateway.launch(preload.launch());
        gateway.up();
        let mut stand = Stand::new();
        let (mut sent, mut in_flight) = (0, 0);
        // Each with mail that waits for a hop that is down across the jump, and mail in flight.
        for (round, ahead) in [HOUR, -HOUR, DAYS, -DAYS, 0].into_iter().enumerate() {
            let load = Load { seed: seed + 0x10 * round as u64, mails: 60, ..Load::default() };
            stand.load(&gateway, &load);
            sent += load.mails;
            stand.answered(10);
            in_flight += sink.kill();
            wait_longer("mail waits", PATIENCE, || (gateway.queued() >= 10).then_some(()));
            preload.clock_ahead(ahead);
            stand.answered(40);
            sink.up();
            // By itself, on the schedule of a second: nobody flushes.
            wait_longer("what waited is delivered", PATIENCE, || {
                (gateway.queued() == 0).then_some(())
            });
        }
        let story = format!("clock jumps, {mode}");
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        balance.holds(&story, in_flight);
        assert_eq!(balance.account.refused, 0, "{story}: {balance}");
        assert_eq!(balance.account.delivered, sent, "{story}: {balance}");
    }
}
