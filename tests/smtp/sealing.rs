//! ARC sealing of what we change, end to end: a stamped and a tagged mail, and what a receiver makes of the seal.

use std::time::Duration;

use sekisho_core::authn::{AuthResult, Authentication, Authenticators, Sealer, Settings, Subject};
use sekisho_core::content::Content;
use sekisho_core::message::{View, ViewLimits, author_domains};
use sekisho_core::resolve::DnsSettings;
use sekisho_tests::dns::DnsServer;
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;

const KEY: &str = include_str!("../data/keys/arc-rsa-2048.pem");

const ZONE: &str = "good.test. 300 IN TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n\
                    _dmarc.good.test. 300 IN TXT \"v=DMARC1; p=reject\"\n";

/// Everything with a subject that begins so is stamped or tagged.
const RULES: &str = "[[domain.settings.rules]]\nname = \"stamp\"\naction = \"stamp\"\n\
    stamp = \"社外からのメールです。 This mail is from outside.\"\n\
    when.header = [{ name = \"Subject\", matches = \"stamp*\" }]\n\
    [[domain.settings.rules]]\nname = \"tag\"\naction = \"tag\"\ntag = \"[EXT]\"\n\
    when.header = [{ name = \"Subject\", matches = \"tag*\" }]\n";

fn gateway(hop: &Hop, settings: &str) -> Gateway {
    let mut gateway = Gateway::prepare(&Setup {
        authentication: "enabled = true\ndeadline_ms = 2000\n[authentication.arc_seal]\n\
                         domain = \"gateway.test\"\nselector = \"arc1\"",
        config: "[dns]\nzone = \"names.zone\"\nzone_only = true\n".to_owned(),
        files: vec![("names.zone".to_owned(), format!("{ZONE}{}", record()))],
        settings: format!("recipient.verify = \"off\"\n{settings}\n{RULES}"),
        ..Setup::to(hop.address())
    });
    std::fs::create_dir_all(gateway.data().join("secrets")).unwrap();
    std::fs::write(gateway.data().join("secrets/arc.pem"), KEY).unwrap();
    gateway.up();
    gateway
}

/// The record of our key in the zone.
fn record() -> String {
    let sealer = Sealer::from_pem(KEY.as_bytes(), "gateway.test", "arc1").unwrap();
    let (name, value) = sealer.record();
    let strings: Vec<String> =
        value.as_bytes().chunks(200).map(|part| format!("\"{}\"", part.escape_ascii())).collect();
    format!("{name}. 300 IN TXT {}\n", strings.join(" "))
}

/// What a receiver behind the gateway finds.
fn receiver(mail: &[u8]) -> Authentication {
    let server = DnsServer::start(&format!("{ZONE}{}", record()));
    let dns = DnsSettings {
        servers: vec![server.address()],
        timeout: Duration::from_millis(500),
        attempts: 1,
    };
    let settings = Settings { threads: 1, deadline: Duration::from_secs(5), dns };
    let authenticators = Authenticators::start(&settings).unwrap();
    let subject = Subject {
        ip: "192.0.2.1".parse().unwrap(),
        helo: "gateway.test".into(),
        sender: "a@good.test".into(),
        author_domains: author_domains(&View::build(mail, &ViewLimits::shard())),
        receiver: "receiver.test".into(),
        now: 1_900_000_000,
    };
    let content = Content::from_octets(mail.to_vec());
    let mut found =
        futures_lite::future::block_on(authenticators.begin(subject, content, None).answer());
    found.believe(&["gateway.test".into()]);
    found
}

fn mail(subject: &str) -> String {
    format!(
        "From: a@good.test\r\nTo: user@demo.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         本文です。\r\n"
    )
}

fn last(hop: &Hop) -> Vec<u8> {
    hop.mails().pop().expect("a mail").content
}

#[test]
fn what_we_change_is_sealed_and_a_receiver_who_believes_us_lets_it_pass() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "");
    for subject in ["stamp this", "tag this"] {
        let sent = gateway.send("a@good.test", &["user@demo.test"], mail(subject).as_bytes());
        assert!(sent.accepted(), "{}", sent.reply.text());
        let got = last(&hop);
        let text = String::from_utf8_lossy(&got).into_owned();
        assert!(text.starts_with("ARC-Seal: "), "{text}");
        assert!(
            text.contains("ARC-Authentication-Results: i=1; gateway.test;\r\n\tspf=pass"),
            "{text}"
        );
        assert!(text.contains("社外から") || text.contains("Subject: [EXT] tag this"), "{text}");
        let found = receiver(&got);
        assert_eq!(found.arc.result, AuthResult::Pass, "{found:?}\n{text}");
        assert_eq!(found.dmarc.result, AuthResult::Fail, "we are not in its SPF");
        assert_eq!(found.dmarc.by_arc.as_deref(), Some("gateway.test"), "{found:?}");
        // The same mail comes by again: its chain holds, and is carried on.
        let sent = gateway.send("a@good.test", &["user@demo.test"], &got);
        assert!(sent.accepted(), "{}", sent.reply.text());
        let again = last(&hop);
        let text = String::from_utf8_lossy(&again).into_owned();
        if subject.starts_with("stamp") {
            assert!(text.contains(";\r\n\tcv=pass;\r\n\td=gateway.test;\r\n\ti=2"), "{text}");
            let found = receiver(&again);
            assert_eq!((found.arc.result, found.arc.sealers.len()), (AuthResult::Pass, 2));
        }
    }
    // Nothing is sealed that we did not change.
    let sent = gateway.send("a@good.test", &["user@demo.test"], mail("plain").as_bytes());
    assert!(sent.accepted());
    assert!(!String::from_utf8_lossy(&last(&hop)).contains("ARC-Seal"));
    let status = gateway.sekisho_json(&["status"]);
    assert_eq!(status[0]["counters"]["arc_unsealed"], 0, "{status:?}");
}

#[test]
fn a_large_stamped_mail_in_a_file_is_sealed_too_and_a_broken_chain_is_sealed_as_failed() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "");
    let line = "0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let large = format!("{}{}", mail("tag large"), line.repeat(10_000));
    let sent = gateway.send("a@good.test", &["user@demo.test"], large.as_bytes());
    assert!(sent.accepted(), "{}", sent.reply.text());
    let got = last(&hop);
    assert!(got.starts_with(b"ARC-Seal: "));
    assert_eq!(receiver(&got).arc.result, AuthResult::Pass);
    // Somebody on the way adds a line: the chain does not hold any more, and we say so.
    let broken = [got.as_slice(), b"one more\r\n"].concat();
    let broken = String::from_utf8(broken).unwrap().replace("Subject: [EXT] tag", "Subject: tag");
    let sent = gateway.send("a@good.test", &["user@demo.test"], broken.as_bytes());
    assert!(sent.accepted(), "{}", sent.reply.text());
    let got = last(&hop);
    let text = String::from_utf8_lossy(&got).into_owned();
    assert!(text.starts_with("ARC-Seal: ") && text.contains("\tcv=fail;"), "{}", &text[..2000]);
    // After that nobody seals.
    let ended = text.replace("Subject: [EXT] tag", "Subject: tag");
    let sent = gateway.send("a@good.test", &["user@demo.test"], ended.as_bytes());
    assert!(sent.accepted(), "{}", sent.reply.text());
    let text = String::from_utf8_lossy(&last(&hop)).into_owned();
    assert_eq!(text.matches("ARC-Seal: ").count(), 2, "no third set");
    let status = gateway.sekisho_json(&["status"]);
    assert_eq!(status[0]["counters"]["arc_unsealed"], 1, "{status:?}");
}

#[test]
fn a_key_that_is_not_there_is_named_at_the_start_and_by_a_check() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "");
    std::fs::remove_file(gateway.data().join("secrets/arc.pem")).unwrap();
    for command in [["config", "check"], ["config", "reload"]] {
        let said = gateway.sekisho(&command);
        let words = format!(
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        assert!(!said.status.success() && words.contains("arc_seal.key"), "{words}");
    }
    // The old key stays in force.
    let sent = gateway.send("a@good.test", &["user@demo.test"], mail("tag it").as_bytes());
    assert!(sent.accepted());
    assert!(last(&hop).starts_with(b"ARC-Seal: "));
}

/// A real signed mail of the corpus with the record of its key.
fn signed() -> Option<(String, String)> {
    let file = sekisho_tests::corpus::folder("auth")?.join("mail-auth/dkim/001.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let (keys, mail) = text.split_once("\n\n").unwrap();
    let record = |line: &str| {
        let (name, key) = line.split_once(' ')?;
        let strings: Vec<String> =
            key.as_bytes().chunks(200).map(|part| format!("\"{}\"", part.escape_ascii())).collect();
        Some(format!("{name}. 300 IN TXT {}\n", strings.join(" ")))
    };
    Some((keys.lines().filter_map(record).collect(), mail.replace('\n', "\r\n")))
}

#[test]
fn a_signed_mail_keeps_its_text_where_the_domain_says_so_and_its_signature_still_holds() {
    let Some((zone, mail)) = signed() else { return };
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        authentication: "enabled = true\ndeadline_ms = 2000",
        config: "[dns]\nzone = \"names.zone\"\nzone_only = true\n".to_owned(),
        files: vec![("names.zone".to_owned(), zone)],
        settings: "recipient.verify = \"off\"\nstamp.signed = \"header\"\nheaders.set = \"standard\"\n\
                   [[domain.settings.rules]]\nname = \"all\"\naction = \"stamp\"\nstamp = \"STAMP\"\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    let send = |content: &str| {
        let sent = gateway.send("a@good.test", &["user@demo.test"], content.as_bytes());
        assert!(sent.accepted(), "{}", sent.reply.text());
        last(&hop)
    };
    let got = send(&mail);
    assert!(crate::clean::below_added(&got, mail.as_bytes()).is_some(), "the text is as it was");
    let text = String::from_utf8_lossy(&got).into_owned();
    assert!(text.contains("dkim=pass") && text.contains("X-Sekisho-Stamp: STAMP\r\n"), "{text}");
    // A signature that does not hold keeps nobody from stamping.
    let text = String::from_utf8_lossy(&send(&format!("{mail}P.S.\r\n"))).into_owned();
    assert!(text.contains("dkim=fail") && !text.contains("X-Sekisho-Stamp"), "{text}");
    assert!(text.contains("\r\n\r\nSTAMP\r\n"), "{text}");
}
