//! TM-09: conditions at their limits, each with a mail that it is for and one that it nearly is for, from the envelope and
//! the octets of real mails.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;

use crate::eicar::{TEXT, attachment, mail};

const FROM: &str = "a@example.com";

fn gateway(hop: &Hop) -> Gateway {
    let rule = |name: &str, when: &str| {
        format!(
            "[[domain.settings.rules]]\nname = \"{name}\"\naction = \"quarantine\"\n\
             scope.recipients = [\"{name}@demo.test\", \"{name}-*@demo.test\"]\n{when}\n"
        )
    };
    let rules = [
        rule("recipients", "when.recipients_more_than = 50"),
        rule("count", "when.attachments_more_than = 20"),
        rule("large", "when.attachment_larger_than_bytes = 5_242_880"),
        rule("message", "when.larger_than_bytes = 10_485_760"),
        rule("subject", "when.subject_blank = true"),
        rule("body", "when.body_blank = true"),
        rule("null", "when.envelope_from_blank = true"),
        rule("author", "when.from_differs_from_envelope = true"),
        rule("reply", "when.from_differs_from_reply_to = true"),
        rule("name", "when.attachment_name = [\"*.exe\"]"),
        rule("type", "when.attachment_true_type = [\"pdf\"]"),
        rule("macro", "when.attachment_active = true"),
    ];
    Gateway::start(&Setup {
        settings: format!(
            "recipient.verify = \"off\"\nquarantine.reply = \"accept\"\nhighrisk.in = \"deliver\"\n\
             spam.action = \"deliver\"\n{}",
            rules.concat()
        ),
        ..Setup::to(hop.address())
    })
}

/// Whether the mail is held for the one recipient that the rule `name` is for.
fn is_held(gateway: &Gateway, name: &str, from: &str, content: &[u8]) -> bool {
    let to = format!("{name}@demo.test");
    let sent = gateway.send(from, &[&to], content);
    assert_eq!(sent.reply.code, 250, "{name}: {}", sent.reply.text());
    let items = gateway.sekisho_json(&["quarantine", "list", "--all"]);
    let own = items.iter().filter(|item| item["to"] == *to);
    let held = own.filter(|item| item["state"] == "held").count();
    // So that the next one is counted by itself.
    for item in items.iter().filter(|item| item["to"] == *to) {
        let id = item["item"].as_str().unwrap();
        assert!(gateway.sekisho(&["quarantine", "delete", id, "--yes"]).status.success());
    }
    held == 1
}

#[test]
fn tm_09_each_condition_holds_at_its_limit_and_not_before() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let files = |count: usize| {
        let file = attachment("a.txt", b"text");
        let mut parts = vec![TEXT];
        parts.extend(std::iter::repeat_n(file.as_str(), count));
        mail("files", &parts)
    };
    let file_of = |bytes: usize| mail("file", &[TEXT, &attachment("a.bin", &vec![b'x'; bytes])]);
    let message_of = |bytes: usize| {
        let head = "Subject: message\r\n\r\n";
        let lines = "0123456789".repeat(7) + "\r\n";
        let mut mail = head.to_owned() + &lines.repeat((bytes - head.len()) / lines.len());
        let rest = bytes - mail.len();
        mail.push_str(&"y".repeat(rest.saturating_sub(2)));
        mail.push_str(if rest >= 2 { "\r\n" } else { "" });
        mail.into_bytes()
    };
    let text = |fields: &str, body: &str| format!("{fields}\r\n\r\n{body}\r\n").into_bytes();
    let named = |name: &str| mail("name", &[TEXT, &attachment(name, b"harmless")]);
    let typed = |octets: &[u8]| mail("type", &[TEXT, &attachment("a.bin", octets)]);
    let pdf: &[u8] = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n";
    let limit = 10_485_760;
    let cases: [(&str, &str, Vec<u8>, Vec<u8>); 11] = [
        ("count", FROM, files(20), files(21)),
        ("large", FROM, file_of(5_242_880), file_of(5_242_881)),
        ("message", FROM, message_of(limit), message_of(limit + 1)),
        ("subject", FROM, text("Subject: x", "b"), text("Subject:   ", "b")),
        ("body", FROM, text("Subject: x", "b"), text("Subject: x", "  \r\n\t")),
        ("null", FROM, text("Subject: x", "b"), Vec::new()),
        (
            "author",
            FROM,
            text("From: Some One <a@example.com>", "b"),
            text("From: Some One <b@example.com>", "b"),
        ),
        (
            "reply",
            FROM,
            text("From: a@example.com\r\nReply-To: X <A@Example.com>", "b"),
            text("From: a@example.com\r\nReply-To: X <x@example.com>", "b"),
        ),
        ("name", FROM, named("exe.txt"), named("SETUP.EXE")),
        ("type", FROM, typed(b"PDF-1.4"), typed(pdf)),
        (
            "macro",
            FROM,
            named("a.txt"),
            mail("js", &[TEXT, &attachment("a.js", b"WScript.Echo(1)")]),
        ),
    ];
    for (name, from, nearly, meant) in cases {
        assert!(!is_held(&gateway, name, from, &nearly), "{name}: nearly");
        match meant.is_empty() {
            true => assert!(is_held(&gateway, name, "", &nearly), "{name}"),
            false => assert!(is_held(&gateway, name, from, &meant), "{name}"),
        }
    }
    // 50 recipients and 51.
    for (count, held) in [(50, 0), (51, 51)] {
        let to: Vec<String> = (0..count).map(|n| format!("recipients-{n}@demo.test")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let sent = gateway.send(FROM, &to, b"Subject: many\r\n\r\nb\r\n");
        assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
        let items = gateway.sekisho_json(&["quarantine", "list", "--all"]);
        let own = items.iter().filter(|item| item["subject"] == "many").count();
        assert_eq!(own, held, "{count} recipients");
    }
}
