//! SM-30 to SM-32 end to end: what somebody reported or released counts for the next mail that is like it, and can be undone.

use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{DEADLINE, wait_for, wait_longer};
use serde_json::Value;

use crate::quarantine::starter_rules;

const SHOP: &str = "offers@shop.example";

/// What the rule below holds.
const BULK: &str = "Dear gardener, our autumn bulbs are here: tulips, daffodils, crocuses and hyacinths for every bed. \
    Each bag holds fifty bulbs of the first size, packed by hand in our barn and sent within two days of your order. \
    Plant them before the ground freezes, three times as deep as they are high, and cover the bed with leaves.";

const RULE: &str = "[[rule]]\nname = \"TULIPS\"\ndescribe_en = \"a test\"\ndescribe_ja = \"テスト\"\n\
    field = \"rawbody\"\npattern = 'tulips'\nkind = \"spam\"\npoints = 5.5\n";

fn start(hop: &Hop) -> Gateway {
    let mut files = starter_rules();
    files.push(("rules/99-tulips.toml".to_owned(), RULE.to_owned()));
    Gateway::start(&Setup {
        files,
        settings: "recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n\
                   spam.action = \"quarantine\"\n"
            .to_owned(),
        ..Setup::to(hop.address())
    })
}

fn letter(from: &str, subject: &str, body: &str) -> String {
    format!(
        "From: Shop <{from}>\r\nTo: user@demo.test\r\nSubject: {subject}\r\n\
         Date: Thu, 26 Nov 2026 09:00:00 +0900\r\nMessage-ID: <{}@shop.example>\r\n\r\n{body}\r\n",
        subject.replace(' ', ".")
    )
}

fn send(gateway: &Gateway, from: &str, subject: &str, body: &str) {
    let sent = gateway.send(from, &["user@demo.test"], letter(from, subject, body).as_bytes());
    assert_eq!(sent.reply.code, 250, "{subject}: {}", sent.reply.text());
}

fn arrived(hop: &Hop, subject: &str) -> bool {
    let line = format!("Subject: {subject}\r\n");
    hop.mails().iter().any(|mail| String::from_utf8_lossy(&mail.content).contains(&line))
}

/// The held item of this subject, if there is one.
fn held(gateway: &Gateway, subject: &str) -> Option<Value> {
    let items = gateway.sekisho_json(&["quarantine", "list"]);
    items.into_iter().find(|item| item["subject"] == subject)
}

/// Sends mails that are alike until what was taught is in force: each is either held or has arrived.
fn until(gateway: &Gateway, hop: &Hop, name: &str, delivered: bool, body: &str) {
    let mut number = 0;
    wait_longer("what was taught is in force", DEADLINE, || {
        number += 1;
        let subject = format!("{name} {number}");
        send(gateway, SHOP, &subject, body);
        let is_there = arrived(hop, &subject);
        assert!(is_there || held(gateway, &subject).is_some(), "{subject} is nowhere");
        (is_there == delivered).then_some(())
    });
}

fn run(gateway: &Gateway, arguments: &[&str]) {
    let output = gateway.sekisho(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", words(&output));
}

#[test]
fn sm_32_a_mail_like_one_that_was_released_and_trained_is_delivered() {
    let hop = Hop::start();
    let gateway = start(&hop);
    send(&gateway, SHOP, "first", BULK);
    let id = wait_for("the first is held", || held(&gateway, "first"));
    let id = id["item"].as_str().unwrap();
    run(&gateway, &["quarantine", "release", id, "--train", "--yes"]);
    wait_for("it is released", || arrived(&hop, "first").then_some(()));
    let next = BULK.replace("fifty", "sixty").replace("leaves", "straw");
    until(&gateway, &hop, "next", true, &next);
    // What was learned is about this author: nobody else gets through by the same words.
    send(&gateway, "offers@copycat.example", "copied", &next);
    wait_for("the copy is held", || held(&gateway, "copied"));
    run(&gateway, &["train", "undo", "--last"]);
    until(&gateway, &hop, "undone", false, &next);
}

#[test]
fn sm_30_a_mail_like_one_that_was_reported_scores_higher_and_sm_31_lower_again() {
    let hop = Hop::start();
    let gateway = start(&hop);
    let quiet = BULK.replace("tulips, ", "");
    send(&gateway, SHOP, "before", &quiet);
    assert!(arrived(&hop, "before"), "nothing is said against it yet");
    let file = gateway.data().join("reported.eml");
    std::fs::write(&file, letter(SHOP, "before", &quiet)).unwrap();
    let file = file.to_str().unwrap();
    let next = quiet.replace("fifty", "sixty");
    let mut number = 0;
    let mut until = |what: &str, wanted: fn(i64) -> bool| {
        wait_longer(what, DEADLINE, || {
            number += 1;
            let subject = format!("next {number}");
            send(&gateway, SHOP, &subject, &next);
            let row = wait_for("its row", || {
                let subject = format!("subject={subject}");
                gateway.sekisho_json(&["log", "search", "row=delivery", &subject]).pop()
            });
            wanted(row["points"].as_i64().expect("points")).then_some(())
        });
    };
    until("not taught", |points| points == 0);
    run(&gateway, &["train", "spam", file, "--domain", "demo.test"]);
    until("SM-30: higher", |points| points >= 3_000);
    run(&gateway, &["train", "ham", file, "--domain", "demo.test"]);
    until("SM-31: lower", |points| points <= 0);
}
