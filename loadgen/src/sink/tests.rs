use std::time::Duration;

use super::{Behaviour, Entry, Extensions, Fate, Service, Sink, SinkOptions, tls};
use crate::client::{Client, Mail};
use crate::random::Random;
use crate::store;
use crate::wire::Wire;

const TIMEOUT: Duration = Duration::from_secs(10);

fn sink(name: &str, extensions: Extensions) -> (Sink, std::path::PathBuf) {
    let dir = std::env::temp_dir().join(format!("sekisho-sink-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let options = SinkOptions { store: Some(dir.clone()), extensions, ..SinkOptions::default() };
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
        behaviour: Behaviour { busy: true, ..Behaviour::default() },
        ..SinkOptions::default()
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

#[test]
fn connections_are_closed_at_each_stage_hang_and_slow_down_at_their_percentages() {
    let all = |set: fn(&mut Behaviour)| {
        let mut behaviour = Behaviour { slow: Duration::from_millis(150), ..Behaviour::default() };
        set(&mut behaviour);
        behaviour
    };
    let (sink, dir) = sink("stages", Extensions::NONE);
    let send = |timeout| {
        let mut client = Client::hello(sink.address(), "client.test", timeout)?;
        client.send(&Mail { from: "c@example.com", to: &["a@demo.test"], content: b"A: b\r\n\r\n" })
    };
    let closing: [fn(&mut Behaviour); 4] = [
        |behaviour| behaviour.rcpt_close_percent = 100,
        |behaviour| behaviour.data_close_percent = 100,
        |behaviour| behaviour.body_close_percent = 100,
        |behaviour| behaviour.dot_close_percent = 100,
    ];
    for set in closing {
        sink.set_behaviour(all(set));
        let error = send(TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    sink.set_behaviour(all(|behaviour| behaviour.dot_hang_percent = 100));
    let error = send(Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer, no close");
    assert_eq!(sink.mails(), 0, "none of these is taken");
    for (set, least) in [
        ((|behaviour| behaviour.dot_slow_percent = 100) as fn(&mut Behaviour), 150),
        (|behaviour| behaviour.delay = Duration::from_millis(100), 200),
    ] {
        sink.set_behaviour(all(set));
        let start = std::time::Instant::now();
        assert!(send(TIMEOUT).unwrap().accepted());
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(least), "{took:?} of {least} ms");
    }
    assert_eq!(store::read_all(&dir).unwrap().len(), 2);
    std::fs::remove_dir_all(dir).unwrap();
    let behaviour =
        Behaviour { dot_close_percent: 10, dot_hang_percent: 20, ..Behaviour::default() };
    let mut random = Random::new(5);
    let fates: Vec<Fate> = (0..10_000).map(|_| behaviour.mail(&mut random)).collect();
    let count = |fate: Fate| fates.iter().filter(|one| **one == fate).count();
    assert!((850..1150).contains(&count(Fate::Close)));
    // A fifth of the nine tenths that are not closed.
    assert!((1600..2000).contains(&count(Fate::Hang)));
}

#[test]
fn a_slow_answer_holds_up_nobody_else_of_its_thread() {
    let (sink, dir) = sink("beside", Extensions::default());
    sink.set_behaviour(Behaviour { slow: Duration::from_secs(60), ..Behaviour::default() });
    let mut slow = Client::hello(sink.address(), "client.test", TIMEOUT).unwrap();
    let mail = b"MAIL FROM:<>\r\nRCPT TO:<slow@demo.test>\r\nDATA\r\nA: b\r\n\r\n.\r\n";
    slow.raw(mail).unwrap();
    for code in [250, 250, 354] {
        assert_eq!(slow.reply().unwrap().code, code);
    }
    let mut other = Client::hello(sink.address(), "client.test", TIMEOUT).unwrap();
    let mail = Mail { from: "", to: &["a@demo.test"], content: b"A: b\r\n\r\n" };
    assert!(other.send(&mail).unwrap().accepted());
    assert_eq!(sink.mails(), 1);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_hundred_sessions_at_a_time_on_two_threads_lose_nothing_and_count_octets() {
    let options = SinkOptions::default();
    let sink = Sink::serve(options, Service { threads: 2, ..Service::default() }).unwrap();
    let content = [b"A: b\r\n\r\n".as_slice(), &b"..dots\r\n.\r\nx\r\n".repeat(20_000)].concat();
    let mut clients: Vec<Client> =
        (0..100).map(|_| Client::hello(sink.address(), "client.test", TIMEOUT).unwrap()).collect();
    for client in &mut clients {
        let mail = Mail { from: "", to: &["a@demo.test"], content: &content };
        assert!(client.send(&mail).unwrap().accepted());
    }
    assert_eq!(sink.connections(), 100);
    assert_eq!(sink.mails(), 100);
    assert_eq!(sink.bytes(), 100 * content.len() as u64);
}

#[test]
fn a_client_that_reads_no_reply_is_not_read_from_either_and_gets_all_of_them_later() {
    use std::io::{Read as _, Write as _};
    const COMMANDS: usize = 400_000;
    let (sink, dir) = sink("deaf", Extensions::default());
    let mut stream = std::net::TcpStream::connect(sink.address()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut far = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        far.write_all(&b"NOOP\r\n".repeat(COMMANDS)).unwrap();
        far.write_all(b"QUIT\r\n").unwrap();
    });
    // Six octets are answered by fourteen: the sink's side is full long before the end.
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    writer.join().unwrap();
    assert_eq!(answers.matches("250 2.0.0 ok\r\n").count(), COMMANDS);
    assert!(answers.ends_with("221 2.0.0 bye\r\n"));
    std::fs::remove_dir_all(dir).unwrap();
}

/// A client side of TLS that takes any certificate's word.
fn tls_client(pem: &[u8]) -> rustls::ClientConfig {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth()
}

#[test]
fn mail_is_taken_under_tls_after_starttls_and_from_the_first_octet() {
    use std::io::{Read as _, Write as _};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    assert!(tls::from_files(&key, &cert).is_err(), "key and certificate changed places");
    let config = std::sync::Arc::new(tls_client(made.cert.pem().as_bytes()));
    for entry in [Entry::Clear, Entry::Implicit] {
        let options = SinkOptions::default();
        let service =
            Service { tls: Some(tls::from_files(&cert, &key).unwrap()), entry, threads: 1 };
        let sink = Sink::serve(options, service).unwrap();
        let stream = std::net::TcpStream::connect(sink.address()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        if entry == Entry::Clear {
            let mut wire = Wire::new(stream.try_clone().unwrap());
            assert!(wire.line().unwrap().starts_with(b"220 "));
            // What is smuggled behind STARTTLS in the clear gets no answer under TLS.
            wire.put(b"EHLO a\r\nSTARTTLS\r\nNOOP\r\n");
            wire.flush().unwrap();
            let mut lines = Vec::new();
            while !lines.last().is_some_and(|line: &Vec<u8>| line.starts_with(b"220 ")) {
                lines.push(wire.line().unwrap());
            }
            assert!(
                lines.contains(&b"250 STARTTLS".to_vec())
                    || lines.contains(&b"250-STARTTLS".to_vec())
            );
        }
        let name = "localhost".try_into().unwrap();
        let connection =
            rustls::ClientConnection::new(std::sync::Arc::clone(&config), name).unwrap();
        let mut secure = rustls::StreamOwned::new(connection, stream);
        let body = b"X: y\r\n".repeat(50_000);
        secure.write_all(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@demo.test>\r\nDATA\r\n").unwrap();
        secure.write_all(&body).unwrap();
        secure.write_all(b".\r\nQUIT\r\n").unwrap();
        let mut answers = String::new();
        secure.read_to_string(&mut answers).unwrap();
        assert!(answers.contains("\r\n250 2.0.0 taken as 1\r\n221 "), "{answers}");
        assert!(!answers.contains("STARTTLS"), "not offered a second time");
        assert_eq!(answers.starts_with("220 "), entry == Entry::Implicit);
        assert_eq!(sink.bytes(), body.len() as u64);
    }
    let options = SinkOptions::default();
    let service = Service { entry: Entry::Implicit, ..Service::default() };
    assert!(Sink::serve(options, service).is_err(), "no certificate");
    assert!(tls::self_signed().is_ok());
}
