//! No room on disk: 452 before the reserve is touched, held mail stays, and it recovers by itself.

use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;
use std::time::Duration;

/// Sends the same large mail until it is refused, which must be with 452 and long before 8 MiB; how many
/// were taken.
fn taken_until_452(gateway: &Gateway, to: &str, content: &str) -> usize {
    let most = 8 * 1024 * 1024 / content.len();
    for taken in 0..=most {
        let sent = gateway.send("a@example.com", &[to], content.as_bytes());
        if sent.reply.code != 250 {
            assert_eq!(sent.reply.code, 452, "{}", sent.reply.text());
            return taken;
        }
    }
    panic!("8 MiB were taken under a budget of 3 or 4 MiB");
}

fn takes_mail_again(gateway: &Gateway, to: &str, content: &str) {
    wait_longer("it takes mail again", Duration::from_secs(60), || {
        let sent = gateway.send("a@example.com", &[to], content.as_bytes());
        (sent.reply.code == 250).then_some(())
    });
}

#[test]
fn mail_is_refused_with_452_before_the_reserve_is_touched_and_taken_again_when_there_is_room() {
    let mut hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        mode: "spool",
        storage: "spool_bytes_max = 3145728".to_owned(),
        ..Setup::to(hop.address())
    });
    hop.down();
    let to = format!("user@{DOMAIN}");
    let line = "x".repeat(70) + "\r\n";
    let content = format!("Subject: large\r\n\r\n{}", line.repeat(3000));
    let taken = taken_until_452(&gateway, &to, &content);
    assert!(taken > 0, "there was room at first");
    let status = gateway.status();
    assert_ne!(status["alarms"], serde_json::json!([]), "the disk is an alarm");

    hop.up();
    assert!(gateway.sekisho(&["queue", "flush"]).status.success());
    wait_longer("the queue empties", Duration::from_secs(60), || {
        (gateway.queued() == 0).then_some(())
    });
    assert_eq!(hop.mails().len(), taken, "what was acknowledged arrived");
    takes_mail_again(&gateway, &to, &content);
}

#[test]
fn a_full_quarantine_refuses_new_mail_keeps_every_held_one_and_recovers_by_itself() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        files: crate::quarantine::starter_rules(),
        storage: "quarantine_bytes_max = 4194304".to_owned(),
        shards: 1,
        ..Setup::to(hop.address())
    });
    let to = format!("user@{DOMAIN}");
    let line = "x".repeat(70) + "\r\n";
    let gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
    let content = format!("Subject: held\r\n\r\n{gtube}\r\n{}", line.repeat(2000));
    let held = || gateway.sekisho_json(&["quarantine", "list"]);
    let taken = taken_until_452(&gateway, &to, &content);
    let clean = gateway.send("a@example.com", &[&to], b"Subject: clean\r\n\r\nx\r\n");
    assert_eq!(clean.reply.code, 452, "what it will be is not known before it is here");
    assert_eq!(held().len(), taken, "held mail is never dropped to make room");

    let ids: Vec<String> =
        held().iter().map(|item| item["item"].as_str().unwrap().to_owned()).collect();
    let mut delete = vec!["quarantine", "delete", "--yes"];
    delete.extend(ids.iter().skip(1).map(String::as_str));
    assert!(gateway.sekisho(&delete).status.success());
    assert_eq!(held().len(), 1);
    takes_mail_again(&gateway, &to, &content);
    let exported = gateway.sekisho(&["quarantine", "export", &ids[0]]);
    assert!(exported.stdout.ends_with(line.as_bytes()), "the one that was kept is whole");
}
