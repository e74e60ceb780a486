//! TLS towards next hops: every rule against every kind of hop, with real handshakes.

use std::fmt::Write as _;
use std::time::Duration;

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::script::{
    Act, Authority, Phase, Script, ScriptHop, Tls, demanding, self_signed,
};
use sekisho_tests::wait::wait_longer;

/// How a mail ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clear,
    Encrypted,
    /// Spooled, with this in the reason.
    Waits(&'static str),
}

const INJECTED: &str = "220 go\r\n250-hop.test\r\n250 PIPELINING";

#[test]
fn each_tls_rule_does_with_each_hop_what_it_says() {
    let authority = Authority::start();
    let valid = || Tls::With(authority.certify("127.0.0.1", false));
    let own = || Tls::With(self_signed("elsewhere.test"));
    let strict = || Tls::With(demanding(&authority));
    let broken = || Tls::Broken(b"this is no handshake\r\n");
    let tls = |tls| Script { tls, ..Script::default() };
    let refusing = |text: &str| tls(valid()).with(Phase::StartTls, Act::Say(text.to_owned()));
    let no_handshake = "TLS with next hop failed";
    let cases: Vec<(&str, &str, Script, End, usize)> = vec![
        ("never", "offered", tls(valid()), End::Clear, 1),
        ("opportunistic", "valid", tls(valid()), End::Encrypted, 1),
        ("opportunistic", "self-signed", tls(own()), End::Encrypted, 1),
        ("opportunistic", "not offered", tls(Tls::No), End::Clear, 1),
        ("opportunistic", "refused", refusing("454 4.7.0 not now"), End::Clear, 1),
        // Better in clear than not at all, but never on a connection that is half encrypted.
        ("opportunistic", "broken", tls(broken()), End::Clear, 2),
        ("opportunistic", "closed", tls(Tls::Broken(b"")), End::Clear, 2),
        // Says no when the handshake is over for us: the mail waited five days for a hop that takes it in clear.
        ("opportunistic", "wants a certificate", tls(strict()), End::Clear, 2),
        ("opportunistic", "injected", refusing(INJECTED), End::Waits("behind the answer"), 1),
        ("required", "valid", tls(valid()), End::Encrypted, 1),
        ("required", "self-signed", tls(own()), End::Encrypted, 1),
        ("required", "not offered", tls(Tls::No), End::Waits("offers no TLS"), 1),
        ("required", "refused", refusing("454 4.7.0 not now"), End::Waits("not now"), 1),
        ("required", "refused for good", refusing("554 5.7.3 no"), End::Waits("5.7.3 no"), 1),
        ("required", "broken", tls(broken()), End::Waits(no_handshake), 1),
        ("required", "wants a certificate", tls(strict()), End::Waits(no_handshake), 1),
        ("required", "injected", refusing(INJECTED), End::Waits("behind the answer"), 1),
        ("verify", "valid", tls(valid()), End::Encrypted, 1),
        ("verify", "not offered", tls(Tls::No), End::Waits("offers no TLS"), 1),
        ("verify", "self-signed", tls(own()), End::Waits(no_handshake), 1),
        (
            "verify",
            "own, right name",
            tls(Tls::With(self_signed("127.0.0.1"))),
            End::Waits(no_handshake),
            1,
        ),
        (
            "verify",
            "wrong name",
            tls(Tls::With(authority.certify("other.test", false))),
            End::Waits(no_handshake),
            1,
        ),
        (
            "verify",
            "expired",
            tls(Tls::With(authority.certify("127.0.0.1", true))),
            End::Waits(no_handshake),
            1,
        ),
    ];
    let mut domains = String::new();
    let hops: Vec<_> =
        cases.iter().map(|(_, _, script, ..)| ScriptHop::start(script.clone())).collect();
    for (number, (hop, (rule, ..))) in hops.iter().zip(&cases).enumerate() {
        domain(&mut domains, &format!("d{number}.test"), hop, rule);
    }
    let gateway = Gateway::start(&Setup {
        delivery: "trusted_certificates = \"hops.pem\"".to_owned(),
        domains,
        files: vec![("hops.pem".to_owned(), authority.pem.clone())],
        ..Setup::default()
    });
    for (number, (hop, (rule, name, _, end, connections))) in hops.iter().zip(&cases).enumerate() {
        let domain = format!("d{number}.test");
        let to = format!("u@{domain}");
        let sent = gateway.send("a@example.com", &[&to], b"Subject: tls\r\n\r\nbody\r\n");
        assert_eq!(sent.reply.code, 250, "{rule} {name}: never a loss, never a refusal");
        let taken = hop.taken();
        match end {
            End::Clear => assert_eq!(taken, [false], "{rule} {name}"),
            End::Encrypted => {
                assert_eq!(taken, [true], "{rule} {name}");
                let clear = hop.lines().into_iter().filter(|line| !line.starts_with('*'));
                let clear: Vec<_> = clear.map(|line| line[..4].to_owned()).collect();
                assert_eq!(clear, ["EHLO", "STAR"], "{rule} {name}: nothing else in clear");
            }
            End::Waits(reason) => {
                assert_eq!(taken, [false; 0], "{rule} {name}");
                let why = gateway.sekisho_json(&["queue", "why", &domain]);
                let why = why[0]["why"].as_str().unwrap_or_default().to_owned();
                assert!(
                    why.contains(reason) || why.contains("did not answer"),
                    "{rule} {name}: {why}"
                );
                let said = hop.lines().iter().any(|line| line.contains("MAIL"));
                assert!(!said, "{rule} {name}: no address was told in clear");
            }
        }
        if !matches!(end, End::Waits(_)) {
            assert_eq!(hop.connections(), *connections, "{rule} {name}");
        }
    }
    // A hop that mends itself gets its mail, encrypted.
    let number = cases.iter().position(|(rule, name, ..)| (*rule, *name) == ("verify", "expired"));
    let hop = &hops[number.unwrap()];
    hop.behave(tls(valid()));
    wait_longer("the mail goes out", Duration::from_secs(60), || {
        let _ = gateway.sekisho(&["queue", "flush"]);
        (hop.taken() == [true]).then_some(())
    });
}

fn domain(domains: &mut String, name: &str, hop: &ScriptHop, rule: &str) {
    let _ = write!(
        domains,
        "[[domain]]\nname = \"{name}\"\nprofile = \"securemail\"\n[[domain.route]]\n\
         host = \"127.0.0.1\"\nport = {}\ntls = \"{rule}\"\n[domain.settings]\n\
         recipient.verify = \"off\"\n",
        hop.address().port()
    );
}

/// RFC 3207 section 4.2: an attacker in between writes the list in clear as he likes.
#[test]
fn what_a_hop_offered_in_clear_is_forgotten_under_tls() {
    let hop = ScriptHop::start(Script {
        offers: vec!["SIZE 10", "PIPELINING", "DSN"],
        offers_under_tls: vec!["SIZE 0"],
        tls: Tls::With(self_signed("hop.test")),
        ..Script::default()
    });
    let mut domains = String::new();
    domain(&mut domains, "tls.test", &hop, "required");
    let gateway = Gateway::start(&Setup { domains, ..Setup::default() });
    let sent = gateway.send("a@example.com", &["u@tls.test"], b"Subject: tls\r\n\r\nbody\r\n");
    assert_eq!(sent.reply.code, 250);
    assert_eq!(hop.taken(), [true], "the size of 10 octets was said in clear");
    let hellos = hop.lines().iter().filter(|line| line.contains("EHLO")).count();
    assert_eq!(hellos, 2, "EHLO is said again");
}

#[test]
fn a_file_of_trusted_certificates_that_cannot_be_used_is_named_at_the_start() {
    let gateway = Gateway::prepare(&Setup {
        delivery: "trusted_certificates = \"empty.pem\"".to_owned(),
        files: vec![("empty.pem".to_owned(), "nothing\n".to_owned())],
        ..Setup::default()
    });
    let output = std::process::Command::new(sekisho_tests::gateway::program("sekisho-engine"))
        .arg("--config")
        .arg(gateway.etc().join("sekisho.toml"))
        .arg("--data")
        .arg(gateway.data())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("empty.pem"), "{text}");
}
