//! Why a mail was judged as it was, to be read aloud: of a file by `check`, of a mail that came by `log story`.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;
use serde_json::Value;

const ZONE: &str = "\
strict.test. 300 IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"
_dmarc.strict.test. 300 IN TXT \"v=DMARC1; p=reject\"
9.2.0.192.bl.test. 300 IN A 127.0.0.2
";

const RULE: &str = "[[rule]]\nname = \"OFFER\"\nfield = \"body\"\npattern = \"once in a [a-z]+\"\nkind = \"spam\"\n\
                    points = 6.5\n";

const MAIL: &str = "X-Envelope-Id: 1\r\nFrom: Boss <boss@strict.test>\r\nTo: user@demo.test\r\n\
                    Subject: offer\r\n\r\nThis comes once in a lifetime, do hurry.\r\n";

fn gateway(hop: &Hop) -> Gateway {
    let mut setup = Setup::to(hop.address());
    setup.files = vec![
        ("rules/50-offer.toml".to_owned(), RULE.to_owned()),
        ("names.zone".to_owned(), ZONE.to_owned()),
        ("mail.eml".to_owned(), MAIL.to_owned()),
    ];
    setup.settings += "spam.points = 7\n";
    setup.authentication = "enabled = true\ndeadline_ms = 2000";
    setup.config = "[dns]\nzone = \"names.zone\"\nzone_only = true\n\
                    [[reputation.dns_list]]\nzone = \"bl.test\"\nname = \"Example list\"\n"
        .to_owned();
    Gateway::start(&setup)
}

fn text(value: &Value) -> String {
    value.to_string()
}

#[test]
fn check_asks_the_zone_about_the_sender_and_tells_all_that_led_to_the_verdict() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let file = gateway.etc().join("mail.eml");
    let file = file.to_str().unwrap();
    let who = ["--client", "192.0.2.9", "--helo", "a.test", "--from", "boss@other.test"];
    let to = ["--to", "user@demo.test"];
    let arguments = [&["check", file][..], &who, &to].concat();
    let judged = &gateway.sekisho_json(&arguments)[0];
    assert_eq!(judged["delivers"], false);
    let auth = text(&judged["auth"]);
    assert!(auth.contains("\"dmarc\"") && auth.contains("p=reject"), "{auth}");
    assert!(text(&judged["auth_evidence"]).contains("dmarc.reject"), "{judged}");
    let rules = judged["contributions"].as_array().unwrap();
    let offer = rules.iter().find(|one| one["rule"] == "OFFER").expect("the rule hit");
    assert_eq!(offer["place"], "body");
    assert!(offer["excerpt"].as_str().unwrap().contains("[once in a lifetime]"), "{offer}");
    assert!(rules.iter().any(|one| one["rule"] == "Example list"), "of the DNS list: {judged}");
    let story = &judged["story"];
    let stages: Vec<_> = story["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["connect", "lists", "parse", "sender", "virus", "spam", "decide"]);
    let end = story["end"].as_str().unwrap();
    assert!(end.starts_with("Held (class Spam) because its score of"), "{end}");
    assert!(end.contains("most of it by OFFER 6.5, DMARC_REJECT 3"), "{end}");
    // A lower score would not be enough: DMARC holds it, too.
    let besides =
        "Without that it would not be delivered, either: `auth.dmarc.reject` applies, too.";
    assert!(end.contains(besides), "{end}");
    assert!(end.ends_with("It would be if its sender were on an allow list of the recipient."));

    let plain = gateway.sekisho(&[&arguments[..], &["--lang", "ja"]].concat());
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.contains("class\tSpam") && plain.contains("auth\tdmarc=fail"), "{plain}");
    assert!(plain.contains("=> 隔離されます（分類: Spam）"), "{plain}");

    // Without the client's address nobody can be asked about it.
    let unknown = &gateway.sekisho_json(&["check", file])[0];
    assert!(text(&unknown["story"]).contains("the client's address is not known"), "{unknown}");
}

#[test]
fn log_story_tells_of_a_mail_that_came_what_check_would() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let sent = gateway.send("boss@strict.test", &["user@demo.test"], MAIL.as_bytes());
    assert!(sent.accepted(), "{}", sent.reply.text());
    let row = wait_for("the row is in the log", || {
        gateway.sekisho_json(&["log", "search", "subject=offer", "row=delivery"]).into_iter().next()
    });
    let mail = row["mail"].as_str().unwrap();
    let told = &gateway.sekisho_json(&["log", "story", mail])[0];
    let all = text(told);
    assert!(all.contains("OFFER (6.5 points)") && all.contains("spf: fail strict.test"), "{all}");
    assert!(all.contains("`spam.action` asks for quarantine"), "{all}");
    let end = told["story"]["end"].as_str().unwrap();
    assert!(end.starts_with("Held (class Spam) because of its score of"), "{end}");
    let stages = told["story"]["stages"].as_array().unwrap();
    assert!(stages.iter().filter(|one| one["micros"].is_u64()).count() >= 3, "{all}");
    let none = gateway.sekisho(&["log", "story", "01a2174788947d57a4f78639a9202f68"]);
    assert_eq!(none.status.code(), Some(1));
}
