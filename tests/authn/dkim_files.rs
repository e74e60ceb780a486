//! Real signed mail with its keys: what was signed verifies, what was touched does not.

use std::path::Path;
use std::time::Duration;

use sekisho_core::authn::{AuthResult, Authentication, Authenticators, Settings, Subject};
use sekisho_core::content::Content;
use sekisho_core::message::{View, ViewLimits, author_domains};
use sekisho_core::resolve::DnsSettings;
use sekisho_tests::corpus;
use sekisho_tests::dns::DnsServer;

/// Between 1970 and the end of the signatures that have one.
const NOW: u64 = 1_667_843_664;

/// The keys, and the mail in canonical line ends.
fn parts(file: &Path) -> (String, Vec<u8>) {
    let text = std::fs::read_to_string(file).expect("a file of the corpus");
    let (keys, mail) = text.split_once("\n\n").expect("keys before the mail");
    let zone = keys.lines().filter_map(|line| {
        let (name, key) = line.split_once(' ')?;
        // A string of TXT has at most 255 octets.
        let strings: Vec<String> =
            key.as_bytes().chunks(200).map(|part| format!("\"{}\"", part.escape_ascii())).collect();
        Some(format!("{name}. 300 IN TXT {}\n", strings.join(" ")))
    });
    (zone.collect(), mail.replace('\n', "\r\n").into_bytes())
}

fn checked(zone: &str, mail: &[u8], now: u64) -> Authentication {
    let server = DnsServer::start(zone);
    let dns = DnsSettings {
        servers: vec![server.address()],
        timeout: Duration::from_millis(500),
        attempts: 1,
    };
    let settings = Settings { threads: 1, deadline: Duration::from_secs(5), dns };
    let authenticators = Authenticators::start(&settings).expect("threads");
    let subject = Subject {
        ip: "192.0.2.1".parse().expect("an address"),
        helo: "client.example".into(),
        sender: "".into(),
        author_domains: author_domains(&View::build(mail, &ViewLimits::shard())),
        receiver: "gateway.test".into(),
        now,
    };
    let content = Content::from_octets(mail.to_vec());
    futures_lite::future::block_on(authenticators.begin(subject, content, None).answer())
}

#[test]
fn every_signature_of_the_dkim_files_passes_and_fails_when_the_body_is_touched() {
    let Some(folder) = corpus::folder("auth") else { return };
    let files = corpus::files(&folder.join("mail-auth/dkim"));
    assert_eq!(files.len(), 6);
    for file in files {
        let (zone, mail) = parts(&file);
        let found = checked(&zone, &mail, NOW);
        assert_eq!(found.dkim_result(), AuthResult::Pass, "{}: {found:?}", file.display());
        let mut touched = mail.clone();
        touched.extend_from_slice(b"One line more.\r\n");
        let found = checked(&zone, &touched, NOW);
        assert_eq!(found.dkim_result(), AuthResult::Fail, "{}: {found:?}", file.display());
        let without_keys = checked("", &mail, NOW);
        assert_ne!(without_keys.dkim_result(), AuthResult::Pass, "{}", file.display());
    }
}

#[test]
fn both_arc_files_have_a_chain_that_holds() {
    let Some(folder) = corpus::folder("auth") else { return };
    let files = corpus::files(&folder.join("mail-auth/arc"));
    assert_eq!(files.len(), 2);
    for file in files {
        let (zone, mail) = parts(&file);
        let found = checked(&zone, &mail, NOW);
        assert_eq!(found.arc.result, AuthResult::Pass, "{}: {found:?}", file.display());
        assert!(!found.arc.sealers.is_empty());
        let mut touched = mail.clone();
        touched.extend_from_slice(b"One line more.\r\n");
        let found = checked(&zone, &touched, NOW);
        assert_eq!(found.arc.result, AuthResult::Fail, "{}: {found:?}", file.display());
    }
}
