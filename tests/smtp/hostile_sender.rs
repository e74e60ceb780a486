//! What one sender may cost: a mail whose fields, attachments and recipients are all as many and as long
//! as they may be.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;

use crate::quarantine::starter_rules;

const RECIPIENTS: usize = 500;

/// 120 KiB of subject, 100 attachments with long names, and the GTUBE line, so that it is held.
fn mail() -> Vec<u8> {
    let folded = "long words \r\n ".repeat(9_000);
    let mut text = format!("From: a@example.com\r\nSubject: {folded}\r\n");
    text.push_str(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n",
    );
    text.push_str("XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n");
    for number in 0..100 {
        let name = "n".repeat(700);
        let _ = write!(
            text,
            "--b\r\nContent-Disposition: attachment; filename=\"{number}-{name}.txt\"\r\n\r\nx\r\n"
        );
    }
    text.push_str("--b--\r\n");
    text.into_bytes()
}

fn octets_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => octets_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Each recipient has its row in the log. With the whole subject and every name in each of them one
/// mail of 200 KiB to a thousand recipients wrote 200 MiB, and a handful drove the log of three
/// months out of its budget.
#[test]
fn a_mail_is_not_written_into_the_log_as_often_as_it_has_recipients() {
    let hop = Hop::start();
    let gateway =
        Gateway::start(&Setup { files: starter_rules(), shards: 1, ..Setup::to(hop.address()) });
    let to: Vec<String> = (0..RECIPIENTS).map(|number| format!("u{number}@{DOMAIN}")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let sent = gateway.send("sender@example.com", &to, &mail());
    assert!(sent.accepted(), "{}", sent.reply.text());

    let rows = wait_longer("every recipient has its row", Duration::from_secs(60), || {
        let rows = gateway.sekisho_json(&["log", "search", "status=held", "--rows-max", "1000"]);
        (rows.len() == RECIPIENTS).then_some(rows)
    });
    for row in &rows {
        let subject = row["subject"].as_str().unwrap_or_default();
        assert!(subject.starts_with("long words"), "{row}");
        assert!(row.to_string().len() < 32 * 1024, "{} octets", row.to_string().len());
    }
    let log = octets_below(&gateway.data().join("maillog"));
    assert!(log < (RECIPIENTS * 32 * 1024) as u64, "{log} octets of log for one mail");

    let items = gateway.sekisho_json(&["quarantine", "list", "--rows-max", "1000"]);
    assert_eq!(items.len(), RECIPIENTS);
    let kept = octets_below(&gateway.data().join("quarantine"));
    assert!(kept < 16 * 1024 * 1024, "{kept} octets held for one mail of 200 KiB");
}
