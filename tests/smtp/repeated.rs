//! The same mailbox named twice in one transaction, by its own name or by an alias.

use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;

const MAIL: &[u8] = b"Subject: once\r\n\r\nb\r\n";

fn content(client: &mut Client) -> u16 {
    assert_eq!(client.command("DATA").unwrap().code, 354);
    client.raw(&[MAIL, b".\r\n"].concat()).unwrap();
    client.reply().unwrap().code
}

/// A list and its aliases named one mailbox three times, and its owner had the mail three times.
#[test]
fn a_mailbox_that_is_named_again_is_accepted_and_gets_one_copy_and_one_row() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        domain: "aliases = [\"alias.test\"]\n".to_owned(),
        domains: "[[domain.alias]]\nalias = \"sales\"\nmailbox = \"user\"\n".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert_eq!(client.command("MAIL FROM:<a@example.com>").unwrap().code, 250);
    for to in ["user@demo.test", "sales@demo.test", "other@demo.test", "user@alias.test"] {
        let reply = client.command(&format!("RCPT TO:<{to}> NOTIFY=NEVER")).unwrap();
        assert_eq!(reply.code, 250, "{to}: {}", reply.text());
    }
    // Somebody wants to hear of a failure after all.
    let reply = client.command("RCPT TO:<user@demo.test> NOTIFY=FAILURE").unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text());
    assert_eq!(content(&mut client), 250);
    // And the same again with the copies in the other order: nothing is left of the transaction before.
    assert_eq!(client.command("MAIL FROM:<b@example.com>").unwrap().code, 250);
    assert_eq!(client.command("RCPT TO:<user@demo.test>").unwrap().code, 250);
    assert_eq!(content(&mut client), 250);
    client.quit();

    let taken: Vec<_> = hop.mails().into_iter().map(|mail| mail.envelope).collect();
    let first = taken.iter().find(|one| one.mail_from == "a@example.com").unwrap();
    assert_eq!(first.rcpt_to, ["user@demo.test", "other@demo.test"]);
    assert_eq!(taken.len(), 2, "{taken:?}");
    sekisho_tests::wait::wait_for("one row for each mailbox and mail", || {
        let rows = gateway.sekisho_json(&["log", "search", "row=delivery"]);
        let mut about: Vec<String> =
            rows.iter().map(|row| format!("{} {}", row["from"], row["address"])).collect();
        about.sort();
        let want = [
            "\"a@example.com\" \"other@demo.test\"",
            "\"a@example.com\" \"user@demo.test\"",
            "\"b@example.com\" \"user@demo.test\"",
        ];
        (about == want).then_some(()).ok_or(about).ok()
    });
}

/// Recipients that are named again are no way around the limit.
#[test]
fn recipients_that_are_named_again_count_for_the_limit() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        smtp: "recipients_max = 100".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert_eq!(client.command("MAIL FROM:<a@example.com>").unwrap().code, 250);
    let codes: Vec<u16> = (0..102)
        .map(|_| client.command(&format!("RCPT TO:<user@{DOMAIN}>")).unwrap().code)
        .collect();
    assert!(codes[..100].iter().all(|code| *code == 250), "{codes:?}");
    assert_eq!(codes[100..], [452, 452]);
    assert_eq!(content(&mut client), 250);
    assert_eq!(hop.mails()[0].envelope.rcpt_to, [format!("user@{DOMAIN}")]);
}
