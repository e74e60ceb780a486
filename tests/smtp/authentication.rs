//! Who sent it, end to end: SPF, DKIM, DMARC, the client's name, sender IP match; what each result does, and what is written.

use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use sekisho_tests::dns::{DnsServer, Trick};
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use serde_json::Value;

/// Mail of `good.test` comes from loopback; `strict.test` sends from elsewhere and wants the rest refused.
const ZONE: &str = "\
good.test. 300 IN TXT \"v=spf1 ip4:127.0.0.0/8 -all\"
_dmarc.good.test. 300 IN TXT \"v=DMARC1; p=reject\"
strict.test. 300 IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"
_dmarc.strict.test. 300 IN TXT \"v=DMARC1; p=reject\"
soft.test. 300 IN TXT \"v=spf1 ~all\"
1.0.0.127.in-addr.arpa. 300 IN PTR client.good.test.
client.good.test. 300 IN A 127.0.0.1
";

fn setup(hop: &Hop, settings: &str) -> Setup {
    Setup {
        authentication: "enabled = true\ndeadline_ms = 2000",
        config: "[dns]\nzone = \"names.zone\"\nzone_only = true\n".to_owned(),
        files: vec![("names.zone".to_owned(), ZONE.to_owned())],
        settings: format!(
            "recipient.verify = \"off\"\nquarantine.reply = \"accept\"\nheaders.set = \"standard\"\n{settings}"
        ),
        ..Setup::to(hop.address())
    }
}

/// Sends a mail from `sender` whose author is `author`.
fn send(gateway: &Gateway, sender: &str, author: &str) {
    let text = format!(
        "Authentication-Results: gateway.test; dmarc=pass header.from=forged.test\r\n\
         Authentication-Results: elsewhere.test; spf=pass\r\n\
         From: {author}\r\nTo: user@demo.test\r\nSubject: who am I\r\n\r\nText.\r\n"
    );
    let sent = gateway.send(sender, &["user@demo.test"], text.as_bytes());
    assert!(sent.accepted(), "{}", sent.reply.text());
}

/// The last mail that the hop has.
fn last(hop: &Hop) -> String {
    let mails = hop.mails();
    String::from_utf8_lossy(&mails.last().expect("a mail").content).into_owned()
}

fn held(gateway: &Gateway) -> Vec<Value> {
    gateway.sekisho_json(&["quarantine", "list"])
}

#[test]
fn what_passes_is_delivered_with_its_results_and_without_forged_ones() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, ""));
    send(&gateway, "a@good.test", "Good <a@good.test>");
    let mail = last(&hop);
    assert!(
        mail.contains(
            "Authentication-Results: gateway.test;\r\n\tspf=pass smtp.mailfrom=good.test"
        ),
        "{mail}"
    );
    assert!(mail.contains("dmarc=pass (p=reject) header.from=good.test"), "{mail}");
    assert!(mail.contains("iprev=pass policy.iprev=127.0.0.1"), "{mail}");
    assert!(!mail.contains("forged.test"), "a field with our name is not from us: {mail}");
    assert!(mail.contains("elsewhere.test; spf=pass"), "a field of others stays: {mail}");
}

#[test]
fn tm_08_each_check_holds_with_its_own_reason() {
    let hop = Hop::start();
    let settings = "auth.dmarc.reject = \"quarantine\"\nauth.spf.softfail = \"quarantine\"\n\
                    auth.sender_ip_match.fail = \"quarantine\"\n\
                    [[domain.settings.auth.sender_ip]]\ndomain = \"partner.test\"\n\
                    networks = [\"192.0.2.0/24\"]\n";
    let gateway = Gateway::start(&setup(&hop, settings));
    for (sender, author, reason) in [
        ("a@good.test", "a@strict.test", "dmarc"),
        ("a@soft.test", "a@soft.test", "spf"),
        ("a@partner.test", "a@partner.test", "sender_ip_match"),
    ] {
        let before = held(&gateway).len();
        send(&gateway, sender, author);
        let items = sekisho_tests::wait::wait_for("the mail is held", || {
            let items = held(&gateway);
            (items.len() > before).then_some(items)
        });
        assert!(items.iter().any(|item| item["reason"] == reason), "{reason}: {items:?}");
        let item = items.iter().find(|item| item["reason"] == reason).expect("the item");
        assert_eq!(item["category"], "auth", "{item}");
    }
}

#[test]
fn tm_08_a_signature_that_fails_holds_with_the_reason_dkim() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, "auth.dkim.fail = \"quarantine\"\n"));
    // SPF passes, so DMARC does: only the signature is bad, its body hash is of another body.
    let text = "From: a@good.test\r\nTo: user@demo.test\r\nSubject: signed\r\n\r\nText.\r\n";
    for (signed, held_now) in [(String::new(), 0), (signature("good.test"), 1)] {
        let sent = gateway.send("a@good.test", &["user@demo.test"], (signed + text).as_bytes());
        assert!(sent.accepted(), "{}", sent.reply.text());
        let items = held(&gateway);
        assert_eq!(items.len(), held_now, "{items:?}");
        for item in items {
            assert_eq!((&item["reason"], &item["category"]), (&"dkim".into(), &"auth".into()));
        }
    }
    assert_eq!(hop.mails().len(), 1, "the one that is not signed");
}

#[test]
fn a_signature_that_cannot_be_read_is_not_told_as_none() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, ""));
    for (signature, told) in [
        ("v=1; a=rsa-sha256; d=good.test; s=s; h=from; b=AAAA", "dkim=permerror"),
        ("v=1; a=rsa-sha256; c=simple", "dkim=permerror"),
        ("hello", "dkim=permerror"),
        ("", "dkim=none"),
    ] {
        let field = match signature {
            "" => String::new(),
            signature => format!("DKIM-Signature: {signature}\r\n"),
        };
        let text = format!("{field}From: a@good.test\r\nSubject: signed\r\n\r\nText.\r\n");
        let sent = gateway.send("a@good.test", &["user@demo.test"], text.as_bytes());
        assert!(sent.accepted(), "{}", sent.reply.text());
        assert!(last(&hop).contains(told), "{signature}: {}", last(&hop));
    }
}

#[test]
fn a_dns_that_is_silent_is_temperror_and_refuses_nobody() {
    let dns = DnsServer::start("");
    for name in ["good.test", "_dmarc.good.test", "1.0.0.127.in-addr.arpa", "client.good.test"] {
        dns.trick(name, Trick::Silent);
    }
    let hop = Hop::start();
    let setup = Setup {
        config: format!("[dns]\nservers = [\"{}\"]\ntimeout_ms = 400\n", dns.address()),
        ..setup(&hop, "auth.dmarc.reject = \"quarantine\"\n")
    };
    let gateway = Gateway::start(&setup);
    let begun = Instant::now();
    send(&gateway, "a@good.test", "a@good.test");
    let mail = last(&hop);
    assert!(mail.contains("spf=temperror"), "{mail}");
    assert!(mail.contains("dmarc=temperror"), "{mail}");
    assert!(begun.elapsed() < Duration::from_secs(15), "within the deadline");
    dns.trick("good.test", Trick::Code(ResponseCode::ServFail));
    send(&gateway, "b@good.test", "b@good.test");
    assert!(last(&hop).contains("spf=temperror"), "{}", last(&hop));
}

/// A signature whose body hash is that of an empty body, so that its key is asked for.
fn signature(domain: &str) -> String {
    format!(
        "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d={domain}; s=s; h=from;\r\n\
         \tbh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AAAA\r\n"
    )
}

#[test]
fn names_of_the_sender_that_are_silent_do_not_switch_dmarc_off() {
    let dns = DnsServer::start(ZONE);
    let slow: Vec<String> = (0..6).map(|n| format!("slow{n}.evil.test")).collect();
    for name in &slow {
        dns.trick(name, Trick::Silent);
        dns.trick(&format!("s._domainkey.{name}"), Trick::Silent);
    }
    let hop = Hop::start();
    let setup = Setup {
        config: format!("[dns]\nservers = [\"{}\"]\ntimeout_ms = 1000\n", dns.address()),
        ..setup(&hop, "auth.dmarc.reject = \"quarantine\"\n")
    };
    let gateway = Gateway::start(&setup);
    for count in [0, 1, 3, 6] {
        let signed: String = slow.iter().take(count).map(|name| signature(name)).collect();
        let mail = format!("{signed}From: ceo@strict.test\r\nSubject: {count} slow\r\n\r\n");
        // A reverse-path of the same kind.
        let sent = gateway.send("a@slow0.evil.test", &["user@demo.test"], mail.as_bytes());
        assert!(sent.accepted(), "{}", sent.reply.text());
        assert!(hop.mails().is_empty(), "{count}: {}", last(&hop));
        let items = held(&gateway);
        let item = items.iter().find(|item| item["subject"] == format!("{count} slow"));
        let item = item.unwrap_or_else(|| panic!("{count}: {items:?}"));
        assert_eq!(item["reason"], "dmarc", "{item}");
    }
    // And what is good is found good beside what is slow.
    let mail = format!("{}From: a@good.test\r\n\r\n", signature("slow1.evil.test"));
    assert!(gateway.send("a@good.test", &["user@demo.test"], mail.as_bytes()).accepted());
    assert!(last(&hop).contains("dmarc=pass"), "{}", last(&hop));
}

#[test]
fn whatever_a_reader_may_take_for_the_author_is_asked_about() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, "auth.dmarc.reject = \"quarantine\"\n"));
    let forms = [
        "From: ceo@strict.test.",
        "From: CEO <ceo@strict.test>, a@good.test",
        "From: a@good.test\r\nFrom: ceo@strict.test",
        "From: <ceo@strict.test> <a@good.test>",
        "From: <ceo@strict.test@>",
        "From: <ceo @ strict.test>",
        "From: =?utf-8?q?ceo=40strict=2Etest?=",
        "X-A: b\r\na line without a colon\r\nFrom: CEO <ceo@strict.test>",
        " a first line that begins with a blank\r\nFrom: CEO <ceo@strict.test>",
    ];
    for (number, from) in forms.iter().enumerate() {
        let mail = format!("{from}\r\nSubject: form {number}\r\n\r\nText.\r\n");
        let sent = gateway.send("a@good.test", &["user@demo.test"], mail.as_bytes());
        assert!(sent.accepted(), "{}", sent.reply.text());
        assert!(hop.mails().is_empty(), "{from}: {}", last(&hop));
        assert_eq!(held(&gateway).len(), number + 1, "{from}");
    }
    // One author is enough to be asked about, and a name is none.
    let mail = "From: \"ceo@strict.test\" <a@good.test>\r\n\r\nText.\r\n";
    assert!(gateway.send("a@good.test", &["user@demo.test"], mail.as_bytes()).accepted());
    assert!(last(&hop).contains("dmarc=pass (p=reject) header.from=good.test"), "{}", last(&hop));
}

#[test]
fn a_zone_file_is_read_again_by_a_reload() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, ""));
    send(&gateway, "a@new.test", "a@new.test");
    assert!(last(&hop).contains("spf=none smtp.mailfrom=new.test"), "{}", last(&hop));
    let more = format!("{ZONE}later.test. 300 IN TXT \"v=spf1 +all\"\n");
    gateway.write("names.zone", &more);
    let reloaded = gateway.sekisho(&["config", "reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    send(&gateway, "a@later.test", "a@later.test");
    assert!(last(&hop).contains("spf=pass smtp.mailfrom=later.test"), "{}", last(&hop));
    gateway.write("names.zone", "no zone at all (\n");
    assert!(!gateway.sekisho(&["config", "reload"]).status.success());
}
