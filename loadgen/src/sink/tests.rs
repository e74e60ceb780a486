use std::time::Duration;

use super::{Behaviour, Extensions, Fate, Sink, SinkOptions};
use crate::client::{Client, Mail};
use crate::random::Random;
use crate::store;

const TIMEOUT: Duration = Duration::from_secs(10);

fn sink(name: &str, extensions: Extensions) -> (Sink, std::path::PathBuf) {
    let dir = std::env::temp_dir().join(format!("sekisho-sink-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let options = SinkOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        store: Some(dir.clone()),
        extensions,
        behaviour: Behaviour::default(),
    };
    (Sink::start(options).unwrap(), dir)
}

#[test]
fn a_mail_lies_in_the_store_as_it_was_sent_with_its_envelope() {
    for extensions in [Extensions::default(), Extensions::NONE] {
        let (sink, dir) = sink(&format!("plain-{}", extensions.dsn), extensions);
        let mut client = Client::hello(sink.address(), "client.test", TIMEOUT).unwrap();
        let content = b"X-Envelope-Id: 17\r\nSubject: a\r\n\r\n.dot\r\n..\r\n";
        let to = ["a@demo.test", "reject-1@demo.test", "b@demo.test"];
        let sent = client.send(&Mail { from: "c@example.com", to: &to, content }).unwrap();
        assert!(sent.accepted());
        let codes: Vec<u16> = sent.recipients.iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [250, 550, 250]);
        client.quit();
        let mails = store::read_all(&dir).unwrap();
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].content, content);
        assert_eq!(mails[0].envelope.mail_from, "c@example.com");
        assert_eq!(mails[0].envelope.rcpt_to, ["a@demo.test", "b@demo.test"]);
        assert_eq!(mails[0].envelope_id().as_deref(), Some("17"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_ledger_names_each_mail_and_a_report_by_the_mail_it_is_about() {
    let (sink, dir) = sink("ledger", Extensions::default());
    let ledger = dir.join("ledger");
    sink.keep_ledger(&ledger).unwrap();
    let mut client = Client::hello(sink.address(), "client.test", TIMEOUT).unwrap();
    let mail = b"X-Envelope-Id: 1-7\r\n\r\nhello\r\n".as_slice();
    let report = b"Subject: failed\r\n\r\n--b\r\n\r\nX-Envelope-Id: 1-8\r\n--b--\r\n".as_slice();
    for (from, content) in [("c@example.com", mail), ("", report), ("", b"A: b\r\n\r\n")] {
        let sent = client.send(&Mail { from, to: &["a@demo.test"], content }).unwrap();
        assert!(sent.accepted());
    }
    let expected = "1-7\tc@example.com\ta@demo.test\n1-8\t\ta@demo.test\n\t\ta@demo.test\n";
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), expected);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn bdat_chunks_make_one_mail() {
    let (sink, dir) = sink("bdat", Extensions::default());
    let mut client = Client::hello(sink.address(), "client.test", TIMEOUT).unwrap();
    for line in ["MAIL FROM:<>", "RCPT TO:<a@demo.test>"] {
        assert_eq!(client.command(line).unwrap().code, 250);
    }
    client.raw(b"BDAT 3\r\nA: BDAT 9 LAST\r\nb\r\n\r\nc.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    assert_eq!(client.reply().unwrap().code, 250);
    let mails = store::read_all(&dir).unwrap();
    assert_eq!(mails[0].content, b"A: b\r\n\r\nc.\r\n");
    assert_eq!(mails[0].envelope.by, "BDAT");
    assert_eq!(mails[0].envelope.mail_from, "");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn scripted_local_parts_misbehave_as_they_say() {
    let (sink, dir) = sink("scripted", Extensions::default());
    let send = |to: &str| {
        let mut client = Client::hello(sink.address(), "client.test", TIMEOUT).unwrap();
        client.send(&Mail { from: "c@example.com", to: &[to], content: b"A: b\r\n\r\n" })
    };
    let check = |to: &str, code: u16| assert_eq!(send(to).unwrap().reply.code, code, "{to}");
    check("tempfail@demo.test", 451);
    check("reject@demo.test", 550);
    check("dotfail-2@demo.test", 451);
    check("dotreject@demo.test", 554);
    check("tempfailure@demo.test", 250);
    for to in ["close@demo.test", "closetaken@demo.test", "closercpt@demo.test"] {
        assert!(send(to).is_err(), "{to} is closed without an answer");
    }
    let mails = store::read_all(&dir).unwrap();
    let stored: Vec<&str> = mails.iter().map(|mail| mail.envelope.rcpt_to[0].as_str()).collect();
    assert_eq!(stored, ["tempfailure@demo.test", "closetaken@demo.test"]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_stopped_sink_is_down_and_a_second_start_overwrites_nothing() {
    let (sink, dir) = sink("again", Extensions::default());
    let address = sink.address();
    let send = |address| {
        Client::hello(address, "client.test", TIMEOUT)?.send(&Mail {
            from: "",
            to: &["a@demo.test"],
            content: b"A: b\r\n\r\n",
        })
    };
    send(address).unwrap();
    sink.stop();
    assert!(send(address).is_err());
    let again = Sink::start(SinkOptions {
        listen: address,
        store: Some(dir.clone()),
        extensions: Extensions::default(),
        behaviour: Behaviour { busy: true, ..Behaviour::default() },
    })
    .unwrap();
    assert!(send(address).is_err(), "busy: 421 instead of a greeting");
    again.set_behaviour(Behaviour::default());
    send(address).unwrap();
    assert_eq!(store::read_all(&dir).unwrap().len(), 2);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn percentages_hold_and_extension_lists_are_parsed_or_refused_by_name() {
    let behaviour =
        Behaviour { rcpt_temporary_percent: 20, dot_permanent_percent: 10, ..Behaviour::default() };
    let mut random = Random::new(5);
    let count = |fates: &[Fate], fate: Fate| fates.iter().filter(|one| **one == fate).count();
    let fates: Vec<Fate> =
        (0..10_000).map(|_| behaviour.recipient("a@demo.test", &mut random)).collect();
    assert!((1800..2200).contains(&count(&fates, Fate::RcptTemporary)));
    let fates: Vec<Fate> = (0..10_000).map(|_| behaviour.mail(&mut random)).collect();
    assert!((850..1150).contains(&count(&fates, Fate::DotPermanent)));
    assert_eq!(Extensions::parse("all"), Ok(Extensions::default()));
    assert!(Extensions::parse("pipelining,dsn").unwrap().dsn);
    assert_eq!(Extensions::parse("turbo"), Err("unknown extension `turbo`".to_owned()));
}
