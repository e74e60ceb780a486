//! Generations are swapped under load without dropping a session; what does not fit is refused and
//! the last good one stays.

use std::collections::BTreeMap;
use std::time::Duration;

use sekisho_tests::account::{Told, account};
use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;

use crate::kill::{load, read_ledger};

#[test]
fn ten_generations_are_swapped_in_under_load_and_no_mail_is_refused_or_lost() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let sender = load(&gateway, 400, 6, 77, &ledger);
    for _ in 0..10 {
        let built = gateway.sekisho(&["tables", "build"]);
        assert!(built.status.success(), "{}", words(&built));
    }
    let report = sender.join().unwrap();
    assert_eq!(report.totals.accepted, 400, "{report:?}");
    assert_eq!(gateway.status()["generation"], 11, "{}", gateway.status());
    wait_longer("the queue empties", Duration::from_secs(60), || {
        (gateway.queued() == 0).then_some(())
    });
    let told: BTreeMap<String, Told> = read_ledger(&ledger);
    let account = account(&told, &hop, &gateway);
    assert_eq!(account.missing, Vec::<String>::new());
}

#[test]
fn a_transaction_that_is_over_lets_its_tables_go_at_once() {
    // A client that had said RSET and stayed kept its tables until its next MAIL: with many such clients every
    // generation of the day was still mapped.
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let mapped = || gateway.status()["old_generations_mapped"].as_u64().unwrap();
    let mut client = gateway.client();
    let begin = |client: &mut sekisho_loadgen::client::Client| {
        assert_eq!(client.command("MAIL FROM:<a@example.com>").unwrap().code, 250);
        assert_eq!(client.command("RCPT TO:<user@demo.test>").unwrap().code, 250);
        assert!(gateway.sekisho(&["tables", "build"]).status.success());
        assert_eq!(mapped(), 1, "a transaction under way keeps what it began with");
    };
    for end in ["RSET", "EHLO again.test"] {
        begin(&mut client);
        assert_eq!(client.command(end).unwrap().code, 250);
        assert_eq!(mapped(), 0, "{end}");
    }
    begin(&mut client);
    // A content that is refused: the rest of it may take its time.
    assert_eq!(client.command("DATA").unwrap().code, 354);
    let line = "x".repeat(70_000) + "\r\n";
    client.raw(line.as_bytes()).unwrap();
    wait_longer("a refused content", Duration::from_secs(10), || (mapped() == 0).then_some(()));
    client.raw(b".\r\n").unwrap();
    assert!(client.reply().unwrap().code >= 500);
    assert_eq!(client.command("NOOP").unwrap().code, 250);
}

#[test]
fn a_broken_generation_is_refused_with_file_and_value_and_the_last_good_one_stays() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    // Another domain makes other tables: those that are the same are never read again.
    let domains = std::fs::read_to_string(gateway.etc().join("domains.toml")).unwrap();
    let other = format!("{domains}\n[[domain]]\nname = \"other.test\"\nprofile = \"tmems\"\n");
    gateway.write("domains.toml", &other);
    let built = gateway.sekisho(&["tables", "build", "--no-adopt"]);
    assert!(built.status.success(), "{}", words(&built));
    for entry in std::fs::read_dir(gateway.data().join("generations/2")).unwrap().flatten() {
        let table = entry.path();
        if table.extension().is_some_and(|extension| extension == "table") {
            // One flipped bit in each, under a name of its own: the files may be links.
            let mut octets = std::fs::read(&table).unwrap();
            let last = octets.len() - 1;
            octets[last] ^= 1;
            std::fs::remove_file(&table).unwrap();
            std::fs::write(&table, octets).unwrap();
        }
    }
    let verified = gateway.sekisho(&["tables", "verify", "2"]);
    assert_eq!(verified.status.code(), Some(1), "{}", words(&verified));
    match gateway.control(sekisho_core::control::Request::Adopt { generation: 2 }) {
        sekisho_core::control::Response::Refused { why } => {
            assert!(why.contains(".table"), "the file is named: {why}");
        }
        other => panic!("a broken generation was taken over: {other:?}"),
    }
    assert_eq!(gateway.status()["generation"], 1);
    let sent = gateway.send("a@example.com", &["user@demo.test"], b"A: b\r\n\r\nc\r\n");
    assert_eq!(sent.reply.code, 250, "mail flows on the last good one");

    // Mistakes in a source: all of them, with line and column, and nothing is built.
    gateway.write("domains.toml", "[[domain]]\nname = \"demo.test\"\nprofil = \"tmems\"\n");
    let built = gateway.sekisho(&["tables", "build"]);
    assert_eq!(built.status.code(), Some(2));
    assert!(words(&built).contains("domains.toml:3:1"), "{}", words(&built));
    assert!(!gateway.data().join("generations/3").exists());
}
