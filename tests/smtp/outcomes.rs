//! What the client is told when the next hop misbehaves, and that every mail is accounted for.

use std::collections::BTreeMap;
use std::time::Duration;

use sekisho_tests::account::{Told, account};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;

fn mail(id: &str) -> Vec<u8> {
    format!(
        "X-Envelope-Id: {id}\r\nFrom: <a@example.com>\r\nTo: <b@{DOMAIN}>\r\n\
         Message-ID: <{id}@example.com>\r\nSubject: {id}\r\n\r\nbody of {id}\r\n"
    )
    .into_bytes()
}

/// Architecture, section 2, the table of outcomes of *through*.
#[test]
fn through_answers_the_client_as_the_table_of_outcomes_says() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        delivery: "final_dot_wait_ms = 1000".to_owned(),
        ..Setup::to(hop.address())
    });
    let one = |to: &str| {
        let to = format!("{to}@{DOMAIN}");
        gateway.send("a@example.com", &[&to], &mail(&to)).reply.code
    };
    assert_eq!(one("user"), 250, "taken");
    // Before the failures: a destination that backs off is not asked, so nothing is refused by it.
    assert_eq!(one("reject"), 550, "5xx for every recipient: the same to the client");
    assert_eq!(one("dotreject"), 554, "5xx to the final dot: the same to the client");
    assert_eq!(one("tempfail"), 250, "4xx before our final dot: spooled");
    assert_eq!(one("dotfail"), 250, "4xx to our final dot: spooled");
    assert_eq!(one("closercpt"), 250, "closed before our final dot: spooled");
    assert_eq!(one("nonsense"), 250, "nonsense before our final dot: spooled");
    assert_eq!(one("close"), 250, "closed after our final dot: outcome unknown, spooled");
    assert_eq!(one("hang"), 250, "silent after our final dot: outcome unknown, spooled");
    let queued = gateway.queued();
    assert_eq!(queued, 6, "what was spooled waits");
}

#[test]
fn some_recipients_taken_some_refused_is_250_and_a_report_to_the_sender() {
    let hop = Hop::start();
    // The sender's own domain is one of ours, so that the report comes out at the hop.
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let to = [&*format!("user@{DOMAIN}"), &format!("reject@{DOMAIN}")];
    let from = format!("sender@{DOMAIN}");
    let sent = gateway.send(&from, &to, &mail("some"));
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let report = wait_longer("the report arrives", Duration::from_secs(30), || {
        hop.mails().into_iter().find(|mail| mail.envelope.mail_from.is_empty())
    });
    assert_eq!(report.envelope.rcpt_to, [from]);
    let text = String::from_utf8_lossy(&report.content).into_owned();
    assert!(text.contains("multipart/report"), "RFC 3464: {text}");
    assert!(text.contains(&format!("reject@{DOMAIN}")), "the refused recipient is named: {text}");
}

#[test]
fn a_next_hop_that_is_down_costs_nothing_but_time_in_both_modes() {
    for mode in ["through", "spool"] {
        let mut hop = Hop::start();
        let gateway = Gateway::start(&Setup { mode, ..Setup::to(hop.address()) });
        hop.down();
        let mut told = BTreeMap::new();
        for number in 0..20 {
            let to = format!("u-{number}@{DOMAIN}");
            let sent = gateway.send("a@example.com", &[&to], &mail(&number.to_string()));
            assert_eq!(sent.reply.code, 250, "{mode}: {}", sent.reply.text());
            told.insert(number.to_string(), Told::Taken);
        }
        assert_eq!(gateway.queued(), 20, "{mode}");
        hop.up();
        let flushed = gateway.sekisho(&["queue", "flush"]);
        assert!(flushed.status.success());
        wait_longer("the queue empties", Duration::from_secs(60), || {
            (gateway.queued() == 0).then_some(())
        });
        let account = account(&told, &hop, &gateway);
        assert_eq!(account.missing, Vec::<String>::new(), "{mode}");
        assert!(account.delivered.values().all(|times| *times == 1), "{mode}: no duplicate");
    }
}

#[test]
fn the_queue_is_listed_explained_held_and_emptied_by_command() {
    let mut hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    hop.down();
    let to = format!("u-1@{DOMAIN}");
    assert_eq!(gateway.send("a@example.com", &[&to], &mail("1")).reply.code, 250);
    let rows = gateway.sekisho_json(&["queue", "list"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["domain"], DOMAIN);
    let why = gateway.sekisho_json(&["queue", "why", DOMAIN]);
    assert_eq!(why[0]["mails"], 1);
    assert!(!why[0]["why"].as_str().unwrap_or_default().is_empty(), "{why:?}");

    assert!(gateway.sekisho(&["queue", "hold", DOMAIN]).status.success());
    hop.up();
    let why = gateway.sekisho_json(&["queue", "why", DOMAIN]);
    assert!(why[0]["why"].as_str().unwrap_or_default().contains("held"), "{why:?}");
    assert!(gateway.sekisho(&["queue", "unhold", DOMAIN]).status.success());
    assert!(gateway.sekisho(&["queue", "flush", DOMAIN]).status.success());
    wait_longer("the held mail goes out", Duration::from_secs(30), || hop.mails().pop());

    hop.down();
    assert_eq!(gateway.send("a@example.com", &[&to], &mail("2")).reply.code, 250);
    let rows = gateway.sekisho_json(&["queue", "list"]);
    let id = rows[0]["mail"].as_str().expect("an id").to_owned();
    assert!(gateway.sekisho(&["queue", "remove", &id]).status.success());
    assert_eq!(gateway.queued(), 1, "without --yes it only says what it would do");
    assert!(gateway.sekisho(&["queue", "remove", &id, "--yes"]).status.success());
    assert_eq!(gateway.queued(), 0);
}
