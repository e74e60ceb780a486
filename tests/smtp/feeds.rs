//! Feeds of others: hosts, pages and hashes of files, and the reasons that they give (TM-08).

use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;
use serde_json::Value;

use crate::eicar::{attachment, mail};

/// SHA-256 of [`FILE`].
const HASH: &str = "1208a29439f234c518e84d4ec632489b44763e0c5a251594e8c7fa619ccc3fc3";
const FILE: &[u8] = b"what the feed knows by its hash";

fn setup(hop: &Hop) -> Setup {
    let source = |path: &str, kind: &str, format: &str| {
        format!(
            "[[tables.source]]\npath = \"{path}\"\nkind = \"{kind}\"\nformat = \"{format}\"\n\n"
        )
    };
    Setup {
        config: [
            source("suspicious-object-urls.txt", "urls", "list"),
            source("bad-hosts.txt", "urls", "list"),
            source("suspicious-object.hsb", "hashes", "clamav"),
        ]
        .concat(),
        files: vec![
            (
                "suspicious-object-urls.txt".to_owned(),
                "odd.example\nhttps://shared.example/odd/page\n".to_owned(),
            ),
            ("bad-hosts.txt".to_owned(), "bad.example\n".to_owned()),
            ("suspicious-object.hsb".to_owned(), format!("{HASH}:*:SuspiciousObject.Feed.1:73\n")),
        ],
        domains: format!(
            "[[domain]]\nname = \"tm.test\"\nprofile = \"tmems\"\nrecipients = [\"user\"]\n\
             [[domain.route]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n",
            hop.address().port()
        ),
        ..Setup::to(hop.address())
    }
}

fn send(gateway: &Gateway, content: &[u8]) {
    let sent = gateway.send("a@client.example", &["user@tm.test"], content);
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
}

fn text(subject: &str, link: &str) -> Vec<u8> {
    format!("From: <a@client.example>\r\nSubject: {subject}\r\n\r\nSee {link} for it.\r\n").into()
}

#[test]
fn tm_08_hosts_pages_and_files_of_a_feed_are_suspicious_objects() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop));
    // What the list of the recipient says does not let it pass: it is no spam.
    let allow = ["list", "add", "allow", "a@client.example", "--owner", "account:user@tm.test"];
    let output = gateway.sekisho(&allow);
    assert!(output.status.success(), "{}", words(&output));
    send(&gateway, &text("host", "http://www.odd.example/x"));
    send(&gateway, &text("page", "https://shared.example/odd/page?id=7"));
    send(&gateway, &text("another page", "https://shared.example/even"));
    send(&gateway, &text("listed", "https://bad.example/"));
    send(&gateway, &mail("file", &[&attachment("a.bin", FILE)]));
    send(&gateway, &mail("another file", &[&attachment("a.bin", b"something else")]));
    let held = |item: &Value| ["subject", "reason", "category"].map(|key| item[key].clone());
    let mut items: Vec<[Value; 3]> =
        gateway.sekisho_json(&["quarantine", "list", "--all"]).iter().map(held).collect();
    items.sort_by_key(|[subject, ..]| subject.to_string());
    let expected =
        ["file", "host", "page"].map(|one| [one, "suspicious_object", "virus"].map(Value::from));
    assert_eq!(items, expected);
    // The feed's own words are in the story of the mail.
    let row = wait_for("its row", || {
        gateway.sekisho_json(&["log", "search", "row=delivery", "subject=page"]).pop()
    });
    assert!(row["rules"].to_string().contains("shared.example/odd/page"), "{row}");
    // Only spam is what an allow entry lets through: the list of bad hosts is one of spam's conditions.
    assert_eq!(hop.mails().len(), 3, "another page, listed, another file");
}
