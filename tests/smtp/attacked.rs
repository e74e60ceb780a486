//! A paying load beside all kinds of attackers at once: no paying mail is lost, each attacker gets what the engine
//! has for it, and nothing of them is left afterwards. How much of the paying load's speed is kept is measured with
//! release programs (`sekisho-loadgen hostile`), not here.

use std::collections::BTreeMap;
use std::time::Duration;

use sekisho_loadgen::conservation::{Elsewhere, SentLedger, holds};
use sekisho_loadgen::hostile::{
    HostileOptions, Networks, Offer, Recovery, Scope, Script, Shares, run,
};
use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::report::hostile::ProfileReport;
use sekisho_loadgen::send::{SendOptions, Spread};
use sekisho_loadgen::sink::{Sink, SinkOptions};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::wait::{DEADLINE, wait_longer};

fn replies(profile: &ProfileReport, code: &str) -> u64 {
    profile.replies.get(code).copied().unwrap_or(0)
}

/// Adds what one run counted.
fn add(sum: &mut ProfileReport, one: &ProfileReport) {
    sum.opened += one.opened;
    sum.server_closed += one.server_closed;
    for (code, times) in &one.replies {
        *sum.replies.entry(code.clone()).or_default() += times;
    }
}

/// What each kind of attacker is to meet, where it did not yet.
fn missing(profiles: &BTreeMap<String, ProfileReport>) -> Vec<(&'static str, &'static str)> {
    const MEETS: [(&str, &[&str]); 7] = [
        ("early-talkers", &["554"]),
        ("slow-loris", &["220", "421 4.4.2"]),
        ("rcpt-harvest", &["550 5.1.1", "421 4.7.0"]),
        ("bad-commands", &["500 5.5.2", "503 5.5.1", "421 4.7.0"]),
        ("huge-lines", &["500 5.5.2", "554 5.6.0"]),
        ("half-open", &["421 4.4.2"]),
        ("flood", &["220"]),
    ];
    let met = |name: &str, code: &str| {
        profiles.get(name).is_some_and(|profile| replies(profile, code) > 0)
    };
    let all =
        MEETS.into_iter().flat_map(|(name, codes)| codes.iter().map(move |code| (name, *code)));
    all.filter(|(name, code)| !met(name, code)).collect()
}

#[test]
fn a_paying_load_is_served_beside_every_kind_of_attacker_and_nothing_of_them_stays() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(SinkOptions::default()).unwrap();
    sink.keep_ledger(&dir.path().join("sink")).unwrap();
    let gateway = Gateway::start(&Setup {
        // Short, so that slow lorises and silent sessions meet their time-out within the test.
        smtp: "command_timeout_ms = 2000\ndata_timeout_ms = 2000\nunknown_recipients_max = 20"
            .to_owned(),
        // The paying load is nobody's stranger; the attackers are.
        config:
            "[admission]\nexempt = [\"127.0.0.0/24\"]\n[admission.address]\nconnections_max = 4\n"
                .to_owned(),
        domain: "recipients = [\"user\"]".to_owned(),
        settings: "recipient.verify = \"list\"\nquarantine.reply = \"accept\"\n".to_owned(),
        ..Setup::to(sink.address())
    });
    let word = |text: &str| text.to_owned();
    let options = HostileOptions {
        send: SendOptions {
            server: gateway.smtp(),
            sessions: 20,
            to: vec![format!("user@{DOMAIN}")],
            ledger: Some(dir.path().join("sent")),
            timeout: Duration::from_secs(60),
            ..SendOptions::default()
        },
        offer: Offer::Rate(20.0),
        spread: Spread::Even,
        phase: Duration::from_secs(5),
        lead: Duration::from_secs(2),
        recovery: Recovery::Measured,
        times: 10.0,
        per_second_max: 150.0,
        shares: Shares::default(),
        networks: Networks::parse(&[word("127.2.0.0/20")], 3, &[], Scope::Loopback).unwrap(),
        script: Script {
            helo: word("attacker.example.net"),
            from: word("attacker@example.net"),
            to: format!("user@{DOMAIN}"),
            domain: DOMAIN.to_owned(),
        },
        kept_min: 0.0,
    };
    // A busy machine may be too slow for an attacker to get to its end in one run: then there is another one.
    let mut profiles: BTreeMap<String, ProfileReport> = BTreeMap::new();
    let mut accepted = 0;
    for round in 0.. {
        // Each round has envelope ids of its own.
        let mut options = options.clone();
        options.send.seed = 1 + round * 10;
        let report = run(&options, || Ok(Mix::generated(3)), |_| {}).unwrap();
        for phase in &report.phases {
            let totals = &phase.run.totals;
            let refused = totals.refused_temporary + totals.refused_permanent;
            assert_eq!((refused, totals.unknown), (0, 0), "{}: {totals:?}", phase.name);
            accepted += totals.accepted;
        }
        for one in report.attack.profiles {
            assert_eq!(one.opened, one.server_closed + one.own_closed + one.open_at_end, "{one:?}");
            add(profiles.entry(one.name.clone()).or_default(), &one);
        }
        let missing = missing(&profiles);
        if missing.is_empty() {
            break;
        }
        assert!(round < 5, "never seen: {missing:?}\n{profiles:?}");
    }

    // Every paying mail that was sent was taken, and is there once. No content of an attacker reached anybody.
    assert!(accepted > 0);
    let sent = SentLedger::read(&dir.path().join("sent")).unwrap();
    let found = sent.account(&dir.path().join("sink"), &Elsewhere::default()).unwrap();
    assert!(holds(&found) && (found.sent, found.delivered) == (accepted, accepted), "{found:?}");
    assert_eq!(sink.mails(), accepted);

    // Nobody got further than his limit.
    let harvest = &profiles["rcpt-harvest"];
    assert!(replies(harvest, "550 5.1.1") <= 21 * harvest.opened, "{harvest:?}");
    let bad = &profiles["bad-commands"];
    let errors: u64 =
        bad.replies.iter().filter(|one| one.0.starts_with('5')).map(|one| one.1).sum();
    assert!(errors <= 21 * bad.opened, "{bad:?}");

    // And nothing of them stays.
    let status = wait_longer("no session is left", DEADLINE, || {
        let status = gateway.status();
        (status.pointer("/gauges/sessions") == Some(&0.into())).then_some(status)
    });
    let of = |name: &str| status.pointer(name).and_then(serde_json::Value::as_u64);
    assert_eq!(of("/counters/session_panics"), Some(0));
    assert_eq!(of("/gauges/memory_bytes"), Some(0));
    assert!(
        of("/counters/early_talkers") >= Some(replies(&profiles["early-talkers"], "554")),
        "{status}"
    );
    assert_eq!(of("/counters/messages_accepted"), Some(accepted), "{status}");
    assert!(
        gateway
            .send("a@example.com", &[&format!("user@{DOMAIN}")], b"A: b\r\n\r\nc\r\n")
            .accepted()
    );
}
