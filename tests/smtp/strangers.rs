//! Strangers: DNS lists of client addresses, and greylisting.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;

/// Loopback stands in one list as bad, in another as suspect, and a third speaks for it.
const ZONE: &str = "\
1.0.0.127.bad.test. 300 IN A 127.0.0.2
1.0.0.127.dull.test. 300 IN A 127.0.0.4
1.0.0.127.good.test. 300 IN A 127.0.0.2
1.0.0.127.refuses.test. 300 IN A 127.255.255.254
friend.test. 300 IN TXT \"v=spf1 +all\"
";

fn list(zone: &str, more: &str) -> String {
    format!("[[reputation.dns_list]]\nzone = \"{zone}\"\nname = \"list of {zone}\"\n{more}\n")
}

/// DNS lists are asked whether senders are checked or not.
const NOT_CHECKED: &str = "enabled = false";
const CHECKED: &str = "enabled = true\ndeadline_ms = 2000";

fn setup(hop: &Hop, authentication: &'static str, lists: &str, settings: &str) -> Setup {
    Setup {
        authentication,
        config: format!("[dns]\nzone = \"names.zone\"\nzone_only = true\n{lists}"),
        files: vec![("names.zone".to_owned(), ZONE.to_owned())],
        settings: format!("recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n{settings}"),
        ..Setup::to(hop.address())
    }
}

fn rcpt(gateway: &Gateway, from: &str) -> String {
    let mut client = gateway.client();
    client.command(&format!("MAIL FROM:<{from}>")).expect("MAIL");
    let reply = client.command("RCPT TO:<user@demo.test>").expect("RCPT").text();
    client.quit();
    reply
}

#[test]
fn ntt_10_a_refusal_names_address_and_list_and_an_approved_sender_passes() {
    let hop = Hop::start();
    let settings = "ip.action = \"reject\"\nlists.allow_skips = [\"spam\", \"ip\"]\n";
    let gateway = Gateway::start(&setup(&hop, NOT_CHECKED, &list("bad.test", ""), settings));
    let reply = rcpt(&gateway, "a@example.com");
    assert!(reply.starts_with("550"), "{reply}");
    assert!(reply.contains("Mail from 127.0.0.1 blocked using list of bad.test"), "{reply}");
    let added =
        gateway.sekisho(&["list", "add", "allow", "a@example.com", "--owner", "domain:demo.test"]);
    assert!(added.status.success(), "{added:?}");
    sekisho_tests::wait::wait_for("the approved sender passes", || {
        rcpt(&gateway, "a@example.com").starts_with("250").then_some(())
    });
}

#[test]
fn its_01_weights_and_codes_say_which_class_an_address_has() {
    let hop = Hop::start();
    for (lists, expected) in [
        (list("bad.test", ""), Some("X-AS: POSITIVE")),
        (list("dull.test", "codes = [\"127.0.0.4-127.0.0.7 = 0.6\"]"), Some("X-AS: SUSPECT")),
        (list("dull.test", "codes = [\"127.0.0.2\"]"), None),
        (list("refuses.test", ""), None),
        (list("silent.test", ""), None),
        (list("bad.test", "") + &list("good.test", "weight = -1.0"), None),
    ] {
        let settings = "headers.set = \"itscom\"\nip.action = \"header\"\n";
        let gateway = Gateway::start(&setup(&hop, NOT_CHECKED, &lists, settings));
        let sent = gateway.send("a@example.com", &["user@demo.test"], b"Subject: a\r\n\r\nb\r\n");
        assert!(sent.accepted(), "ITS-03: the address alone holds nothing: {}", sent.reply.text());
        let mails = hop.mails();
        let mail = String::from_utf8_lossy(&mails.last().expect("a mail").content).into_owned();
        match expected {
            Some(field) => assert!(mail.contains(field), "{lists}\n{mail}"),
            None => assert!(!mail.contains("X-AS"), "{lists}\n{mail}"),
        }
    }
}

#[test]
fn sm_64_a_retry_before_the_delay_is_asked_to_come_again_and_does_not_begin_it_anew() {
    let hop = Hop::start();
    let settings = "greylist.enabled = true\ngreylist.delay_seconds = 4\n";
    let gateway = Gateway::start(&setup(&hop, CHECKED, "", settings));
    let begun = std::time::Instant::now();
    assert!(rcpt(&gateway, "a@example.com").starts_with("451"));
    let mut early = 0;
    sekisho_tests::wait::wait_for("the attempt behind the delay is let in", || {
        let reply = rcpt(&gateway, "a@example.com");
        if reply.starts_with("451") {
            early += 1;
            assert!(reply.contains("try again in"), "{reply}");
            return None;
        }
        assert!(begun.elapsed().as_secs() >= 3, "let in before the delay: {reply}");
        Some(())
    });
    assert!(early > 0, "no retry came before the delay");
    assert_eq!(gateway.status()["counters"]["greylist_passed"], 1);
}

#[test]
fn sm_64_strangers_come_again_are_let_in_and_are_known_after_a_restart() {
    let hop = Hop::start();
    let settings = "greylist.enabled = true\ngreylist.delay_seconds = 1\n";
    let mut gateway = Gateway::start(&setup(&hop, CHECKED, "", settings));
    let reply = rcpt(&gateway, "a@example.com");
    assert!(reply.starts_with("451") && reply.contains("4.7.1"), "{reply}");
    let counters = || gateway.status()["counters"].clone();
    assert_eq!(counters()["greylisted"], 1);
    sekisho_tests::wait::wait_for("the second attempt is let in", || {
        rcpt(&gateway, "a@example.com").starts_with("250").then_some(())
    });
    assert_eq!(counters()["greylist_passed"], 1);
    assert!(counters()["greylist_delay_seconds"].as_u64() >= Some(1));
    let other = rcpt(&gateway, "b@example.com");
    assert!(other.starts_with("250"), "the network is known to this domain: {other}");
    // By SPF the same client is somebody else: the domain that vouches for him.
    assert!(rcpt(&gateway, "a@friend.test").starts_with("451"));
    sekisho_tests::wait::wait_for("a row for each deferral", || {
        let rows = gateway.sekisho_json(&["log", "search", "classification=Greylist"]);
        (rows.len() >= 2).then_some(())
    });
    let held = gateway.sekisho_json(&["quarantine", "list", "--all"]);
    assert!(
        held.is_empty(),
        "SM-64: what is refused for now is in the log, not in quarantine: {held:?}"
    );
    gateway.drain();
    gateway.up();
    let reply = rcpt(&gateway, "c@example.com");
    assert!(reply.starts_with("250"), "known after a restart: {reply}");
}

/// The table is written each ten seconds (ARCHITECTURE.md, Files): a kill takes what came since, and nothing else.
#[test]
fn a_kill_takes_no_more_of_the_greylist_than_its_last_ten_seconds() {
    let hop = Hop::start();
    let settings = "greylist.enabled = true\ngreylist.delay_seconds = 1\n";
    let mut gateway = Gateway::start(&setup(&hop, CHECKED, "", settings));
    assert!(rcpt(&gateway, "a@example.com").starts_with("451"));
    sekisho_tests::wait::wait_for("the second attempt is let in", || {
        rcpt(&gateway, "a@example.com").starts_with("250").then_some(())
    });
    let known = std::time::SystemTime::now();
    let file = gateway.data().join("engine/greylist");
    let patience = std::time::Duration::from_secs(60);
    sekisho_tests::wait::wait_longer("the table is written", patience, || {
        let written = std::fs::metadata(&file).and_then(|file| file.modified()).ok()?;
        (written > known).then_some(())
    });
    // A stranger of just now: whether he is remembered depends on when the table was written last.
    assert!(rcpt(&gateway, "a@friend.test").starts_with("451"));
    gateway.kill();
    // A kill in the middle of writing leaves the unfinished file beside the whole one.
    std::fs::write(file.with_extension("new"), b"SKSHGRL1 torn").unwrap();
    gateway.up();
    let reply = rcpt(&gateway, "b@example.com");
    assert!(reply.starts_with("250"), "known before the last ten seconds: {reply}");
    let reply = rcpt(&gateway, "a@friend.test");
    assert!(reply.starts_with("451"), "a stranger is asked to come again: {reply}");
    sekisho_tests::wait::wait_for("and let in when he does", || {
        rcpt(&gateway, "a@friend.test").starts_with("250").then_some(())
    });
}

#[test]
fn ntt_10_where_the_address_is_judged_with_the_content_the_refusal_names_it_too() {
    let hop = Hop::start();
    let settings =
        "ip.action = \"reject\"\nip.reject_at = \"data\"\nlists.allow_skips = [\"spam\", \"ip\"]\n";
    let gateway = Gateway::start(&setup(&hop, NOT_CHECKED, &list("bad.test", ""), settings));
    let content = b"From: <a@example.com>\r\nSubject: a\r\n\r\nb\r\n";
    let reply = gateway.send("bounce@lists.example", &["user@demo.test"], content).reply;
    assert_eq!(reply.code, 550);
    let text = reply.text();
    assert!(text.contains("Mail from 127.0.0.1 blocked using list of bad.test"), "{text}");
    assert!(hop.mails().is_empty());
    // An allow entry for the author saves it: that is what waiting for the content is for.
    let allow = ["list", "add", "allow", "a@example.com", "--owner", "domain:demo.test"];
    assert!(gateway.sekisho(&allow).status.success());
    let reply = gateway.send("bounce@lists.example", &["user@demo.test"], content).reply;
    assert_eq!(reply.code, 250, "{}", reply.text());
}
