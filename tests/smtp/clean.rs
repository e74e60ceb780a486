//! A clean mail arrives as it was sent, below what we add.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;

/// The received content without the header fields that were put in front of what was sent.
pub(crate) fn below_added<'c>(received: &'c [u8], sent: &[u8]) -> Option<&'c [u8]> {
    let at = received.len().checked_sub(sent.len())?;
    let (added, rest) = received.split_at(at);
    let whole_fields = added.is_empty() || added.ends_with(b"\r\n");
    (whole_fields && rest == sent).then_some(rest)
}

#[test]
fn a_clean_mail_is_delivered_byte_for_byte_with_its_envelope() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let content = "X-Envelope-Id: 1\r\nFrom: Alice <alice@example.com>\r\nTo: user@demo.test\r\n\
                   Date: Thu, 29 Feb 2024 10:00:00 +0900\r\nMessage-ID: <1@example.com>\r\n\
                   Subject: lunch\r\nMIME-Version: 1.0\r\n\
                   Content-Type: text/plain; charset=utf-8\r\n\r\n.leading dot\r\n\
                   昼食\r\n..\r\n\r\n";
    let to = ["user@demo.test", "other@demo.test"];
    let sent = gateway.send("alice@example.com", &to, content.as_bytes());
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());

    let mails = hop.mails();
    assert_eq!(mails.len(), 1, "one copy for both recipients");
    assert_eq!(mails[0].envelope.mail_from, "alice@example.com");
    assert_eq!(mails[0].envelope.rcpt_to, to);
    assert!(
        below_added(&mails[0].content, content.as_bytes()).is_some(),
        "not identical below the added fields:\n{}",
        String::from_utf8_lossy(&mails[0].content)
    );
    let head = String::from_utf8_lossy(&mails[0].content);
    assert!(head.starts_with("Received: ") || head.contains("\r\nReceived: "), "{head}");
}

/// Line ends are made canonical once, at the door; nobody downstream sees another end of data than
/// we did.
#[test]
fn bare_line_ends_become_canonical_and_no_second_mail_is_smuggled_in() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let mut client = gateway.client();
    for line in ["MAIL FROM:<a@example.com>", "RCPT TO:<user@demo.test>"] {
        assert_eq!(client.command(line).unwrap().code, 250);
    }
    assert_eq!(client.command("DATA").unwrap().code, 354);
    client
        .raw(
            b"X-Envelope-Id: 2\r\nSubject: one\r\n\r\nfirst\n.\nMAIL FROM:<evil@example.com>\r\n\
              second\n.\r\nthird\r\n\r\n.\r\n",
        )
        .unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    client.quit();
    let mails = hop.mails();
    assert_eq!(mails.len(), 1);
    let content = String::from_utf8_lossy(&mails[0].content).into_owned();
    assert!(
        content.ends_with(
            "first\r\n.\r\nMAIL FROM:<evil@example.com>\r\nsecond\r\n.\r\nthird\r\n\r\n"
        ),
        "{content}"
    );
}
