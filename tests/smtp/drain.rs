//! SIGTERM: sessions in the middle of a mail finish, the others are told 421. Reload drops no session.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sekisho_core::control::{Request, Response};
use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;

#[test]
fn a_session_in_data_finishes_while_the_engine_drains_and_an_idle_one_gets_421() {
    let hop = Hop::start();
    let mut gateway = Gateway::start(&Setup::to(hop.address()));
    let mut idle = gateway.client();
    let mut busy = gateway.client();
    let rcpt = format!("RCPT TO:<user@{DOMAIN}>");
    for (line, code) in [("MAIL FROM:<a@example.com>", 250), (&*rcpt, 250), ("DATA", 354)] {
        assert_eq!(busy.command(line).unwrap().code, code, "{line}");
    }
    busy.raw(b"X-Envelope-Id: drain\r\n\r\nfirst half\r\n").unwrap();
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(idle.reply().map(|reply| reply.code).unwrap_or(421), 421, "told, or just closed");
    wait_for("no new session", || {
        Client::hello(gateway.smtp(), "late.test", Duration::from_secs(1)).is_err().then_some(())
    });
    busy.raw(b"second half\r\n.\r\n").unwrap();
    assert_eq!(busy.reply().unwrap().code, 250, "the mail in flight is finished");
    drop(busy);
    gateway.drain();
    let mails = hop.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].content.ends_with(b"first half\r\nsecond half\r\n"));
}

#[test]
fn a_reload_drops_no_session_and_a_broken_configuration_leaves_the_old_one_in_force() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let mut session = gateway.client();
    assert_eq!(gateway.control(Request::Reload), Response::Done);
    assert_eq!(session.command("NOOP").unwrap().code, 250);

    let path = gateway.etc().join("sekisho.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}\n[nonsense]\n")).unwrap();
    match gateway.control(Request::Reload) {
        Response::Refused { why } => assert!(why.contains("nonsense"), "{why}"),
        other => panic!("a broken file was taken: {other:?}"),
    }
    let to = format!("user@{DOMAIN}");
    assert_eq!(gateway.send("a@example.com", &[&to], b"A: b\r\n\r\nc\r\n").reply.code, 250);
    assert_eq!(session.command("NOOP").unwrap().code, 250);
}

/// RFC 3030 content counts as content: between two chunks, and in the middle of one.
#[test]
fn chunks_under_way_finish_while_the_engine_drains_and_a_transaction_before_them_does_not() {
    let hop = Hop::start();
    let mut gateway = Gateway::start(&Setup::to(hop.address()));
    let rcpt = format!("RCPT TO:<user@{DOMAIN}>");
    let transaction = || {
        let mut client = gateway.client();
        for line in ["MAIL FROM:<a@example.com>", &*rcpt] {
            assert_eq!(client.command(line).unwrap().code, 250, "{line}");
        }
        client
    };
    let (mut before, mut between, mut inside) = (transaction(), transaction(), transaction());
    between.raw(b"BDAT 8\r\nA: b\r\n\r\n").unwrap();
    assert_eq!(between.reply().unwrap().code, 250);
    // The first octet is answered, so content is under way whenever the rest of the second chunk comes.
    inside.raw(b"BDAT 1\r\nC").unwrap();
    assert_eq!(inside.reply().unwrap().code, 250);
    inside.raw(b"BDAT 15\r\n: d\r\n\r\nfir").unwrap();
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(before.reply().map(|reply| reply.code).unwrap_or(421), 421, "told, or just closed");
    between.raw(b"BDAT 6 LAST\r\nbetwee").unwrap();
    assert_eq!(between.reply().unwrap().code, 250);
    assert_eq!(between.reply().unwrap().code, 421);
    inside.raw(b"st\r\n").unwrap();
    inside.raw(b"xBDAT 6 LAST\r\ninside").unwrap();
    let codes: Vec<u16> = (0..3).map(|_| inside.reply().unwrap().code).collect();
    assert_eq!(codes, [250, 250, 421]);
    gateway.drain();
    let mut ends: Vec<_> = hop.mails().into_iter().map(|mail| mail.content).collect();
    ends.sort_by_key(Vec::len);
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().any(|content| content.ends_with(b"A: b\r\n\r\nbetwee\r\n")));
    assert!(ends.iter().any(|content| content.ends_with(b"C: d\r\n\r\nfirst\r\nxinside\r\n")));
}

#[test]
fn a_client_that_never_reads_does_not_keep_the_engine_from_ending() {
    let hop = Hop::start();
    let mut gateway = Gateway::start(&Setup::to(hop.address()));
    let mut stream = narrow(gateway.smtp());
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Who speaks before the greeting is refused.
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
    stream.write_all(b"EHLO deaf.example.com\r\n").unwrap();
    // About 2.3 MB of replies: more than both sides' buffers hold.
    let rcpt = format!("RCPT TO:<u@{DOMAIN}>\r\n").repeat(1000);
    let transaction = format!("MAIL FROM:<a@example.com>\r\n{rcpt}RSET\r\n");
    for _ in 0..90 {
        if stream.write_all(transaction.as_bytes()).is_err() {
            break;
        }
    }
    let mut last = 0;
    wait_for("the engine waits for the client to read", || {
        std::thread::sleep(Duration::from_secs(1));
        let status = gateway.status();
        let taken = status.pointer("/counters/recipients_accepted");
        let taken = taken.and_then(serde_json::Value::as_u64).unwrap_or(0);
        assert!(taken < 90_000, "all was read: the buffers hold more than this test thinks");
        (taken > 20_000 && taken == std::mem::replace(&mut last, taken)).then_some(())
    });
    // `drain` waits for a minute; it took five.
    gateway.drain();
}

/// A connection whose receive buffer is as small as the kernel lets it be.
fn narrow(address: std::net::SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 1).unwrap();
    connect(&socket, &address).unwrap();
    TcpStream::from(socket)
}
