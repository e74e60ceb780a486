//! More comes than a shard can do: what is beyond hears 421 and comes again, nothing of what was taken is lost, and the
//! operator is told. How much of the peak is kept is measured with release programs (`bench/bars.sh overload`), not here.

use std::time::{Duration, Instant};

use sekisho_loadgen::conservation::{Elsewhere, SentLedger, holds};
use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::send::{self, Pace, SendOptions, Spread};
use sekisho_loadgen::sink::{Sink, SinkOptions};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::wait::wait_longer;

#[test]
fn beyond_what_it_can_do_a_shard_says_421_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(SinkOptions::default()).unwrap();
    let taken = dir.path().join("sink");
    sink.keep_ledger(&taken).unwrap();
    let gateway = Gateway::start(&Setup {
        shards: 1,
        // Or all wait for one of twenty connections to the hop, and the shard for nothing.
        delivery: "connections_per_destination_max = 1000".to_owned(),
        config: "[admission]\nsessions_working_max = 40\noverload_delay_ms = 5\n".to_owned(),
        ..Setup::to(sink.address())
    });
    let counter = |name: &str| {
        gateway.status().pointer(&format!("/counters/{name}")).and_then(serde_json::Value::as_u64)
    };
    // Until somebody was turned away: how long that takes is the machine's business.
    let until = Instant::now() + Duration::from_secs(60);
    let (mut round, mut accepted, mut put_off) = (0, 0, 0);
    while put_off == 0 {
        assert!(Instant::now() < until, "nobody was turned away in {round} rounds");
        round += 1;
        let sent = dir.path().join(format!("sent{round}"));
        let options = SendOptions {
            server: gateway.smtp(),
            pace: Pace::Open { per_second: 6000.0, spread: Spread::Poisson },
            seconds: Some(Duration::from_secs(2)),
            sessions: 3000,
            mails_per_connection: 1,
            to: vec![format!("user@{DOMAIN}")],
            ledger: Some(sent.clone()),
            seed: round,
            timeout: Duration::from_secs(60),
            ..SendOptions::default()
        };
        let report = send::run(options, Mix::named("trap", round).unwrap()).unwrap();
        assert_eq!(report.totals.unknown, 0, "{report:?}");
        assert_eq!(report.totals.refused_permanent, 0, "{:?}", report.first_refusal);
        accepted += report.totals.accepted;
        put_off += report.totals.refused_temporary;
        if report.totals.refused_temporary > 0 {
            assert!(report.first_refusal.starts_with("421 4.3.2"), "{}", report.first_refusal);
        }
        let ledger = SentLedger::read(&sent).unwrap();
        wait_longer("what was taken is delivered", Duration::from_secs(60), || {
            let found = ledger.account(&taken, &Elsewhere::default()).unwrap();
            (holds(&found) && found.unknown == 0).then_some(())
        });
    }
    assert!(accepted > 0);
    assert_eq!(counter("connections_shed"), Some(put_off));
    let alarms = gateway.status().pointer("/alarms").unwrap().to_string();
    assert!(alarms.contains("turned away with 421"), "{alarms}");
    // It was a matter of the moment.
    wait_longer("everybody is let in again", Duration::from_secs(60), || {
        let options = SendOptions {
            server: gateway.smtp(),
            sessions: 1,
            mails: 1,
            to: vec![format!("user@{DOMAIN}")],
            ..SendOptions::default()
        };
        let report = send::run(options, Mix::generated(1)).unwrap();
        (report.totals.accepted == 1).then_some(())
    });
}
