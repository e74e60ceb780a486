//! What drives the sockets: by the setting, and as `status` says it. The streams serve kernels that lack what the ring needs.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;

fn delivers_over(sockets: &str) -> serde_json::Value {
    let hop = Hop::start();
    let engine = format!("sockets = \"{sockets}\"");
    let gateway = Gateway::start(&Setup { engine, ..Setup::to(hop.address()) });
    let large =
        [b"Subject: large\r\n\r\n".as_slice(), &b"0123456789 \r\n".repeat(100_000)].concat();
    for content in [b"Subject: small\r\n\r\nb\r\n".as_slice(), &large] {
        let sent = gateway.send("a@example.com", &["user@demo.test"], content);
        assert_eq!(sent.reply.code, 250, "{sent:?}");
    }
    let taken = hop.mails();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().any(|mail| mail.content.ends_with(&large)), "octet for octet");
    gateway.status()["sockets"].clone()
}

#[test]
fn streams_do_the_same_work_and_status_says_which_it_is() {
    assert_eq!(delivers_over("streams"), "streams");
    let automatic = delivers_over("auto");
    assert!(automatic == "ring" || automatic == "streams", "{automatic}");
    if automatic == "ring" {
        assert_eq!(delivers_over("ring"), "ring");
    }
}
