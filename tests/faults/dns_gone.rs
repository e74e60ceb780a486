//! DNS is gone under load: reports to strangers wait for their mail hosts, mail for a next hop waits for the address
//! of its name. Both come through when it is back, each once.

use std::collections::BTreeMap;

use hickory_proto::rr::RecordType;
use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::send::{self, Pace, SendOptions, Spread};
use sekisho_loadgen::sink::{Sink, SinkOptions};
use sekisho_tests::dns::{DnsServer, Trick};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::preload::Preload;
use sekisho_tests::sink_process::{SinkProcess, lines};
use sekisho_tests::stand::{Load, PATIENCE, Stand, drain};
use sekisho_tests::wait::wait_longer;

use crate::MODES;

/// How often each id is in a sink's ledger.
fn times(ledger: &std::path::Path) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap().lines() {
        let id = line.split('\t').next().unwrap_or_default();
        *times.entry(id.to_owned()).or_default() += 1;
    }
    times
}

#[test]
fn reports_wait_while_the_senders_domain_cannot_be_looked_up_and_each_goes_out_once() {
    const MAILS: u64 = 120;
    const BEFORE: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // By its script this hop refuses `reject...`: each mail is half refused, which makes a report.
    let hop = Sink::start(SinkOptions::default()).unwrap();
    hop.keep_ledger(&path("hop")).unwrap();
    let stranger = SinkProcess::start(&[]);
    // Believed for no time: an outage is noticed at once.
    let dns = DnsServer::start("away.test. 0 MX 10 mx.away.test.\n mx.away.test. 0 A 127.0.0.1\n");
    let report_port = stranger.address().port();
    let gateway = Gateway::start(&Setup {
        delivery: format!("report_port = {report_port}\nreport_refused_networks = []"),
        config: format!("[dns]\nservers = [\"{}\"]\ntimeout_ms = 500\n", dns.address()),
        ..Setup::to(hop.address())
    });
    let load = |seed: u64, mails: u64| {
        let options = SendOptions {
            server: gateway.smtp(),
            sessions: 8,
            pace: Pace::Open { per_second: 60.0, spread: Spread::Even },
            mails,
            from: "sender@away.test".to_owned(),
            to: vec![format!("u-{{n}}@{DOMAIN}"), format!("reject-{{n}}@{DOMAIN}")],
            recipients: 2,
            seed,
            ledger: Some(path("sent")),
            ..SendOptions::default()
        };
        std::thread::spawn(move || send::run(options, Mix::generated(seed)))
    };
    let before = load(0x801, BEFORE);
    wait_longer("the first reports go out", PATIENCE, || (stranger.taken() >= 5).then_some(()));
    for name in ["away.test", "mx.away.test"] {
        dns.trick(name, Trick::Silent);
    }
    let after = load(0x802, MAILS - BEFORE);
    wait_longer("reports wait", PATIENCE, || (gateway.queued() >= 30).then_some(()));
    let accepted = [before, after].map(|load| load.join().unwrap().unwrap().totals.accepted);
    assert_eq!(accepted, [BEFORE, MAILS - BEFORE], "no client notices");
    assert!((stranger.taken() as u64) < MAILS, "some still wait");
    for name in ["away.test", "mx.away.test"] {
        // Noise comes before each answer, but the answer comes.
        dns.trick(name, Trick::Liars);
    }
    drain(&gateway, PATIENCE);
    let (delivered, reported) = (times(&path("hop")), times(&stranger.ledger()));
    assert_eq!(lines(&path("sent")) as u64, MAILS);
    for line in std::fs::read_to_string(path("sent")).unwrap().lines() {
        let id = line.split('\t').next().unwrap();
        assert_eq!((delivered.get(id), reported.get(id)), (Some(&1), Some(&1)), "{id}");
    }
    assert_eq!((delivered.len() as u64, reported.len() as u64), (MAILS, MAILS));
    assert!(dns.asked("away.test", RecordType::MX) >= 2);
    sekisho_tests::say(&format!("DNS gone: {MAILS} sent, all delivered and reported once"));
}

#[test]
fn mail_waits_while_the_name_of_its_hop_cannot_be_looked_up_and_an_outage_after_that_is_bridged() {
    let Some(preload) = Preload::new("a next hop whose name is unknown for a time") else { return };
    for (mode, seed) in MODES.into_iter().zip(0x811..) {
        let sink = SinkProcess::start(&[]);
        let route = format!(
            "[[domain.route]]\nhost = \"localhost\"\nport = {}\ntls = \"never\"",
            sink.address().port()
        );
        let mut gateway = Gateway::prepare(&Setup { mode, domain: route, ..Setup::default() });
        gateway.launch(preload.launch());
        preload.names_unknown(true);
        gateway.up();
        let mut stand = Stand::new();
        stand.load(&gateway, &Load { seed, mails: 240, ..Load::default() });
        wait_longer("mail waits", PATIENCE, || (gateway.queued() >= 40).then_some(()));
        assert_eq!(sink.taken(), 0, "the hop's address was not known");
        preload.names_unknown(false);
        wait_longer("the hop is found", PATIENCE, || (gateway.queued() == 0).then_some(()));
        // An address that is known is good for a while, and an old one is better than none.
        preload.names_unknown(true);
        let again = Load { seed: seed + 0x10, mails: 60, ..Load::default() };
        stand.load(&gateway, &again);
        wait_longer("mail goes on", PATIENCE, || (sink.taken() >= 270).then_some(()));
        preload.names_unknown(false);
        let story = format!("next hop's name unknown, {mode}");
        let balance = stand.settle(&gateway, &[sink.ledger()]);
        balance.holds_exactly(&story);
        assert_eq!(balance.account.delivered, 300, "{story}: {balance}");
    }
}
