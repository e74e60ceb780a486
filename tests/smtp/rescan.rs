//! TM-34, `quarantine.rescan`: what is released is looked at again. What held it does not hold it again, everything
//! else does.

use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use serde_json::Value;

use crate::quarantine::starter_rules;

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
const FROM: &str = "sender@example.com";

fn setup(hop: &Hop, settings: &str) -> Setup {
    let settings = format!(
        "recipient.verify = \"off\"\nquarantine.reply = \"accept\"\nquarantine.rescan = true\n\
         lists.block_action = \"quarantine\"\n{settings}"
    );
    Setup { files: starter_rules(), settings, ..Setup::to(hop.address()) }
}

fn rule(name: &str, action: &str, when: &str) -> String {
    format!(
        "[[domain.settings.rules]]\nname = \"{name}\"\naction = \"{action}\"\n\
         [domain.settings.rules.when]\n{when}\n"
    )
}

fn send(gateway: &Gateway, to: &[&str], subject: &str, body: &str) {
    let content = format!("From: <{FROM}>\r\nSubject: {subject}\r\n\r\n{body}\r\n");
    let sent = gateway.send(FROM, to, content.as_bytes());
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
}

fn held(gateway: &Gateway) -> Vec<Value> {
    gateway.sekisho_json(&["quarantine", "list"])
}

/// Id of the only item for `to`.
fn item(gateway: &Gateway, to: &str) -> String {
    let all: Vec<Value> = held(gateway).into_iter().filter(|item| item["to"] == to).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]["item"].as_str().expect("an id").to_owned()
}

fn show(gateway: &Gateway, item: &str) -> Value {
    gateway.sekisho_json(&["quarantine", "show", item]).remove(0)
}

/// Releases; whether it was done, and the words.
fn release(gateway: &Gateway, item: &str) -> (bool, String) {
    let answer = gateway.sekisho_json(&["quarantine", "release", item, "--yes"]).remove(0);
    let done = answer["done"].as_bool().expect("yes or no");
    (done, answer["why"].as_str().expect("words").to_owned())
}

fn arrived(hop: &Hop) -> Vec<String> {
    hop.mails().into_iter().flat_map(|mail| mail.envelope.rcpt_to).collect()
}

/// Publishes the same domain with more settings at its end.
fn publish(gateway: &Gateway, more: &str) {
    let path = gateway.etc().join("domains.toml");
    let text = std::fs::read_to_string(path).unwrap();
    gateway.write("domains.toml", &format!("{text}\n{more}"));
    let built = gateway.sekisho(&["tables", "build"]);
    assert!(built.status.success(), "{}", words(&built));
}

#[test]
fn what_held_a_mail_does_not_hold_it_again_whatever_kind_of_rule_it_was() {
    // Held by size, by an attachment rule or by a class action, a mail was held again at each release: only evidence of
    // the reason was left out, and these need none.
    let hop = Hop::start();
    let settings = format!(
        "size.limit_mb = 1\nsize.action = \"quarantine\"\n\
         [[domain.settings.class_actions]]\norder = 7\nmain = \"virus\"\naction = \"fake_accept\"\n{}{}{}",
        rule("programs", "quarantine", "attachment_name = [\"*.exe\"]"),
        rule(
            "invoices",
            "quarantine",
            "header = [{ name = \"Subject\", matches = \"*invoice*\" }]"
        ),
        rule("crowds", "quarantine_hidden", "recipients_more_than = 2"),
    );
    let gateway = Gateway::start(&setup(&hop, &settings));
    send(&gateway, &["size@demo.test"], "large", &"0123456789abcdef\r\n".repeat(70_000));
    send(&gateway, &["subject@demo.test"], "your invoice", "pay");
    send(&gateway, &["spam@demo.test"], "spam", GTUBE);
    let crowd = ["a@demo.test", "b@demo.test", "c@demo.test"];
    send(&gateway, &crowd, "all of you", "hello");
    let server = gateway.smtp().to_string();
    let eicar = gateway.sekisho(&[
        "send",
        "--server",
        &server,
        "--sample",
        "eicar",
        "--to",
        "virus@demo.test",
    ]);
    assert!(eicar.status.success(), "{}", words(&eicar));
    let program = "From: <sender@example.com>\r\nSubject: x\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n\
         Content-Type: application/octet-stream; name=\"a.exe\"\r\n\
         Content-Disposition: attachment; filename=\"a.exe\"\r\n\r\ntext\r\n--b--\r\n";
    let sent = gateway.send(FROM, &["program@demo.test"], program.as_bytes());
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());

    let cases = [
        ("size@demo.test", "oversize", "size.action"),
        ("subject@demo.test", "content", "rule invoices"),
        ("spam@demo.test", "spam", "spam.action"),
        ("b@demo.test", "content", "rule crowds"),
        ("virus@demo.test", "malware", "class_actions 7"),
        ("program@demo.test", "attachment", "rule programs"),
    ];
    assert_eq!(held(&gateway).len(), cases.len() + 2, "{:?}", held(&gateway));
    for (to, reason, held_by) in cases {
        let item = item(&gateway, to);
        let shown = show(&gateway, &item);
        assert_eq!(
            (&shown["reason"], &shown["held_by"]),
            (&reason.into(), &held_by.into()),
            "{to}"
        );
        let (done, why) = release(&gateway, &item);
        assert!(done, "{to} is held again by what held it: {why}");
        assert_eq!(show(&gateway, &item)["state"], "released");
    }
    let mut arrived = arrived(&hop);
    arrived.sort_unstable();
    let mut all: Vec<_> = cases.iter().map(|(to, ..)| (*to).to_owned()).collect();
    all.sort_unstable();
    assert_eq!(arrived, all, "each once, and nobody else of the crowd");
}

#[test]
fn tm_34_what_lists_say_of_its_client_since_does_not_drop_what_the_recipient_asks_for() {
    // In the profile tmems a listed client is refused, and what can no longer be refused is dropped: a false positive
    // was lost when its recipient wanted it, because its client had come to be listed meanwhile.
    let hop = Hop::start();
    let settings = "ip.action = \"reject\"\nquarantine.mixed_reply = \"dropped\"\n";
    let mut setup = setup(&hop, settings);
    setup.files.push(("bad.zone".to_owned(), "192.0.2.66 :127.0.0.2:test\n".to_owned()));
    setup.config =
        "[[tables.source]]\npath = \"bad.zone\"\nkind = \"networks\"\nformat = \"rbldnsd\"\n\
                    name = \"badlist\"\nclass = \"positive\"\n"
            .to_owned();
    let gateway = Gateway::start(&setup);
    send(&gateway, &["one@demo.test", "two@demo.test"], "spam", GTUBE);
    gateway.write("bad.zone", "127.0.0.1 :127.0.0.2:test\n");
    let two = item(&gateway, "two@demo.test");
    publish(&gateway, "");
    let refused = gateway.send(FROM, &["one@demo.test"], b"Subject: x\r\n\r\nx\r\n");
    assert_eq!(refused.reply.code / 100, 5, "the client is listed now: {refused:?}");
    let (done, why) = release(&gateway, &item(&gateway, "one@demo.test"));
    assert!(done, "{why}");
    assert_eq!(arrived(&hop), ["one@demo.test"]);
    // Rules of the policy still apply: TM-34's own acceptance.
    let secret = "[[domain.settings.rules]]\nname = \"spammy\"\naction = \"quarantine\"\n\
                  [domain.settings.rules.when]\nheader = [{ name = \"Subject\", matches = \"spam\" }]\n";
    publish(&gateway, secret);
    let (done, _) = release(&gateway, &two);
    assert!(!done, "held again");
    let shown = show(&gateway, &two);
    assert_eq!(
        (&shown["reason"], &shown["held_by"]),
        (&"content".into(), &"rule spammy".into()),
        "{shown}"
    );
}

#[test]
fn another_rule_holds_it_again_under_the_same_id_and_is_overruled_by_the_next_release() {
    // Two rules that hold the same mail held it in turn for ever.
    let hop = Hop::start();
    let settings = format!(
        "size.limit_mb = 1\nsize.action = \"quarantine\"\n{}{}",
        rule("crowds", "quarantine_hidden", "recipients_more_than = 1"),
        rule(
            "invoices",
            "quarantine",
            "header = [{ name = \"Subject\", matches = \"*invoice*\" }]"
        ),
    );
    let mut gateway = Gateway::start(&setup(&hop, &settings));
    send(&gateway, &["one@demo.test", "two@demo.test"], "invoice", GTUBE);
    let id = item(&gateway, "two@demo.test");
    let mut seen = vec![show(&gateway, &id)["held_by"].clone()];
    let (held_at, expires_at) =
        (show(&gateway, &id)["held_at"].clone(), show(&gateway, &id)["expires_at"].clone());
    loop {
        let (done, why) = release(&gateway, &id);
        if done {
            break;
        }
        assert!(why.contains("held again"), "{why}");
        let shown = show(&gateway, &id);
        assert_eq!((&shown["state"], &shown["held_at"]), (&"held".into(), &held_at));
        assert_eq!(shown["expires_at"], expires_at, "its day stays");
        assert_eq!(shown["hidden"], shown["held_by"] == "rule crowds");
        seen.push(shown["held_by"].clone());
        assert!(seen.len() < 9, "{seen:?}");
        // What was overruled is not forgotten with the process.
        gateway.kill();
        gateway.up();
        assert_eq!(gateway.queued(), 0, "everything is read");
    }
    let mut distinct: Vec<String> = seen.iter().map(ToString::to_string).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "each held it once: {seen:?}");
    for rule in ["spam.action", "rule crowds", "rule invoices"] {
        assert!(
            seen.iter().any(|by| by == rule),
            "the number of recipients is remembered: {seen:?}"
        );
    }
    assert_eq!(arrived(&hop), ["two@demo.test"]);
    assert_eq!(held(&gateway).len(), 1, "the other recipient's is as it was");
}

#[test]
fn what_another_rule_would_drop_is_gone_with_its_record_and_a_refusal_holds_it() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, ""));
    for subject in ["drop", "refuse"] {
        send(&gateway, &[&format!("{subject}@demo.test")], subject, GTUBE);
    }
    let (dropped, refused) = (item(&gateway, "drop@demo.test"), item(&gateway, "refuse@demo.test"));
    let subject = |text: &str| format!("header = [{{ name = \"Subject\", matches = \"{text}\" }}]");
    let rules = rule("away", "drop", &subject("drop")) + &rule("no", "reject", &subject("refuse"));
    publish(&gateway, &rules);

    let (done, why) = release(&gateway, &refused);
    assert!(!done && why.contains("rule no"), "there is nobody to refuse it to: {why}");
    assert_eq!(show(&gateway, &refused)["held_by"], "rule no");
    assert!(release(&gateway, &refused).0, "the next release overrules that, too");

    let (done, why) = release(&gateway, &dropped);
    assert!(!done && why.contains("rule away"), "{why}");
    assert!(held(&gateway).is_empty(), "{:?}", held(&gateway));
    // The record was durable before: it is there at once, under the id of the mail as it was held.
    let mail = dropped.split('-').nth(1).expect("the mail's id");
    let rows = gateway.sekisho_json(&["log", "search", "status=dropped"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["address"], "drop@demo.test", "{rows:?}");
    assert_eq!(rows[0]["mail"].as_str().map(|id| id.replace('-', "")).as_deref(), Some(mail));
    let (done, why) = release(&gateway, &dropped);
    assert!(!done, "it is gone: {why}");
    assert_eq!(arrived(&hop), ["refuse@demo.test"]);
}

#[test]
fn lists_of_now_hold_for_each_recipient_of_a_copy_behind_its_alias() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "aliases = [\"alias.test\"]\nrecipients = [\"one\", \"two\", \"three\"]\n"
            .to_owned(),
        domains: "[[domain.alias]]\nalias = \"sales\"\nmailbox = \"three\"\n".to_owned(),
        ..setup(
            &hop,
            &rule("all", "quarantine", "header = [{ name = \"Subject\", matches = \"hi\" }]"),
        )
    });
    // One copy, three recipients, two of them behind aliases.
    send(&gateway, &["one@demo.test", "two@alias.test", "sales@alias.test"], "hi", GTUBE);
    let change = |arguments: &[&str]| {
        let output = gateway.sekisho(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
    };
    // Since it was held: one blocks the sender, two allows it, three bypasses every filter.
    change(&["list", "add", "block", FROM, "--owner", "account:one@demo.test"]);
    change(&["list", "add", "allow", FROM, "--owner", "account:two@demo.test"]);
    change(&["list", "add", "allow", "three@demo.test", "--side", "recipient"]);
    for to in ["two@demo.test", "three@demo.test"] {
        let (done, why) = release(&gateway, &item(&gateway, to));
        assert!(done, "{to}: spam and rule are skipped: {why}");
    }
    let blocked = item(&gateway, "one@demo.test");
    let mut seen = Vec::new();
    while let (false, why) = release(&gateway, &blocked) {
        seen.push(show(&gateway, &blocked)["held_by"].to_string());
        assert!(seen.len() < 4, "{seen:?} {why}");
    }
    assert!(seen.iter().any(|by| by.contains("lists.block_action")), "{seen:?}");
    let mut arrived = arrived(&hop);
    arrived.sort_unstable();
    assert_eq!(arrived, ["one@demo.test", "three@demo.test", "two@demo.test"]);
}

#[test]
fn tm_34_what_the_tables_of_now_call_it_is_still_the_rule_that_held_it() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, "spam.action = \"quarantine\"\n"));
    send(&gateway, &["user@demo.test"], "offer", GTUBE);
    let item = item(&gateway, "user@demo.test");
    assert_eq!(show(&gateway, &item)["reason"], "spam");
    // Since then a rule calls the same mail phishing, which has the same setting.
    gateway.write(
        "rules/99-new.toml",
        "[[rule]]\nname = \"NOW_PHISHING\"\ndescribe_en = \"a test\"\ndescribe_ja = \"テスト\"\n\
         field = \"rawbody\"\npattern = 'GTUBE'\nkind = \"phishing\"\npoints = 50\n",
    );
    publish(&gateway, "");
    let (done, why) = release(&gateway, &item);
    assert!(done, "{why}");
    assert_eq!(arrived(&hop), ["user@demo.test"]);
}
