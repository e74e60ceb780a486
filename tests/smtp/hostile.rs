//! Clients that are slow, silent, greedy or gone cost themselves and nobody else.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{DEADLINE, wait_for};
use serde_json::Value;

fn gauge(gateway: &Gateway, name: &str) -> Option<u64> {
    gateway.status().pointer(&format!("/gauges/{name}")).and_then(Value::as_u64)
}

/// Says `lines` one after another; every answer must be positive or 354.
fn said(gateway: &Gateway, lines: &[&str]) -> Client {
    let mut client = Client::connect(gateway.smtp(), DEADLINE).unwrap();
    for line in lines {
        let reply = client.command(line).unwrap();
        assert!((200..400).contains(&reply.code), "{line}: {}", reply.text());
    }
    client
}

/// RFC 5321 section 4.5.3.1.10: the client goes on with those that were accepted.
#[test]
fn a_list_larger_than_we_take_at_once_reaches_those_who_were_accepted() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        smtp: "recipients_max = 100".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    let mut group = b"MAIL FROM:<list@example.com>\r\n".to_vec();
    for number in 0..300 {
        group.extend_from_slice(format!("RCPT TO:<u{number}@{DOMAIN}>\r\n").as_bytes());
    }
    group.extend_from_slice(b"DATA\r\n");
    client.raw(&group).unwrap();
    let codes: Vec<u16> = (0..302).map(|_| client.reply().unwrap().code).collect();
    assert_eq!(codes[0], 250);
    assert!(codes[1..101].iter().all(|code| *code == 250), "{codes:?}");
    assert!(codes[101..301].iter().all(|code| *code == 452), "{codes:?}");
    assert_eq!(codes[301], 354);
    client.raw(b"Subject: list\r\n\r\nhello\r\n.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    assert_eq!(hop.mails().iter().map(|mail| mail.envelope.rcpt_to.len()).sum::<usize>(), 100);
    // Whoever asks for names that do not exist is not a list: 421 after as many as are allowed.
    let mut client = gateway.client();
    let guesses = "RCPT TO:<guess@other.test>\r\n".repeat(10_000);
    client.raw(format!("MAIL FROM:<>\r\n{guesses}").as_bytes()).unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    let codes: Vec<u16> =
        std::iter::from_fn(|| client.reply().ok()).map(|reply| reply.code).collect();
    assert_eq!(codes.len(), 52, "51 refusals and the last word");
    assert_eq!((codes[50], codes[51]), (550, 421));
}

/// RFC 5321 section 4.5.3.2, with short times. Octets of a command that never ends help nobody.
#[test]
fn whoever_keeps_us_waiting_is_told_421_in_every_state() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        smtp: "command_timeout_ms = 3000\ndata_timeout_ms = 3000".to_owned(),
        ..Setup::to(hop.address())
    });
    let rcpt = format!("RCPT TO:<user@{DOMAIN}>");
    let dialogue = ["EHLO slow.example.com", "MAIL FROM:<a@example.com>", &rcpt];
    let data = [&dialogue[..], &["DATA"]].concat();
    let chunks = [&dialogue[..], &["BDAT 5\r\nabc"]].concat();
    let states: [(&str, &[&str], &[u8]); 8] = [
        ("silent after the greeting", &[], b""),
        ("an unfinished command", &[], b"EHL"),
        ("after EHLO", &dialogue[..1], b""),
        ("after MAIL", &dialogue[..2], b"RC"),
        ("after RCPT", &dialogue[..3], b"DATA"),
        ("in content", &data, b"Subject: half\r\n\r\n."),
        ("between chunks", &chunks, b""),
        ("in a chunk", &dialogue, b"BDAT 100\r\nabc"),
    ];
    let begun = Instant::now();
    let mut clients: Vec<(&str, Client)> = states
        .into_iter()
        .map(|(state, lines, rest)| {
            let mut client = said(&gateway, lines);
            client.raw(rest).unwrap();
            (state, client)
        })
        .collect();
    for (state, client) in &mut clients {
        let reply = client.reply().unwrap_or_else(|error| panic!("{state}: {error}"));
        assert_eq!(
            (reply.code, &*reply.lines[0]),
            (421, "4.4.2 Timeout, closing connection"),
            "{state}"
        );
        assert!(client.reply().is_err(), "{state}: closed");
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    // One octet now and then is not a command.
    let mut trickle = said(&gateway, &dialogue[..1]);
    let mut octets = 0;
    while trickle.raw(b"N").is_ok() {
        octets += 1;
        assert!(octets < 300, "a command of single octets is waited for without end");
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_for("no session is left", || (gauge(&gateway, "sessions") == Some(0)).then_some(()));
    assert!(hop.mails().is_empty());
}

#[test]
fn clients_that_vanish_or_never_read_hold_nothing_up() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let rcpt = format!("RCPT TO:<user@{DOMAIN}>");
    let dialogue = ["EHLO gone.example.com", "MAIL FROM:<a@example.com>", &*rcpt, "DATA"];
    for _ in 0..20 {
        // Closed with our replies unread: the kernel sends RST.
        let mut client = said(&gateway, &dialogue);
        client.raw(b"Subject: never ends\r\n\r\nx\r\n.").unwrap();
        drop(client);
        let mut client = said(&gateway, &dialogue[..3]);
        client.raw(b"NOOP\r\nBDAT 5000\r\nabc").unwrap();
        drop(client);
    }
    // Half closed after everything was said: all of it is answered.
    let mut half = TcpStream::connect(gateway.smtp()).unwrap();
    half.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut wire = sekisho_loadgen::wire::Wire::new(half.try_clone().unwrap());
    assert!(wire.line().unwrap().starts_with(b"220"));
    let all = format!(
        "EHLO half.example.com\r\nMAIL FROM:<a@example.com>\r\n{rcpt}\r\nBDAT 7 LAST\r\na: b\r\n\n\
         NOOP\r\nQUIT\r\n"
    );
    std::io::Write::write_all(&mut half, all.as_bytes()).unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let codes: Vec<Vec<u8>> = std::iter::from_fn(|| wire.line().ok())
        .filter(|line| line.get(3) == Some(&b' '))
        .map(|line| line[..3].to_vec())
        .collect();
    assert_eq!(codes, [b"250", b"250", b"250", b"250", b"250", b"221"]);
    // Never reads a reply: 400,000 of them do not fit anywhere.
    let greedy = std::thread::spawn({
        let address = gateway.smtp();
        move || {
            let mut client = Client::connect(address, Duration::from_secs(3)).unwrap();
            client.raw(b"EHLO greedy.example.com\r\nMAIL FROM:<a@example.com>\r\n").unwrap();
            let many = "RCPT TO:<u@demo.test>\r\n".repeat(1000);
            while client.raw(many.as_bytes()).is_ok() {}
        }
    });
    let to = format!("user@{DOMAIN}");
    for _ in 0..20 {
        assert!(gateway.send("a@example.com", &[&to], b"A: b\r\n\r\nc\r\n").accepted());
    }
    greedy.join().unwrap();
    wait_for("no session is left", || (gauge(&gateway, "sessions") == Some(0)).then_some(()));
    assert_eq!(gauge(&gateway, "memory_bytes"), Some(0));
    assert_eq!(hop.mails().len(), 21);
    let panics = gateway.status().pointer("/counters/session_panics").cloned();
    assert_eq!(panics, Some(Value::from(0)));
}

/// Memory is bounded, and a full budget costs those who came last, not everybody.
#[test]
fn more_content_than_the_budget_is_put_off_and_what_fits_is_taken() {
    // Large enough that a session's own few KiB and the allocator's granules do not count beside it.
    const BUDGET: u64 = 48 * 1024 * 1024;
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        smtp: format!("shard_memory_bytes_max = {BUDGET}"),
        shards: 1,
        ..Setup::to(hop.address())
    });
    let rcpt = format!("RCPT TO:<user@{DOMAIN}>");
    let before = resident(gateway.pid());
    let mut clients: Vec<Client> = (0..300)
        .map(|_| said(&gateway, &["EHLO many.example.com", "MAIL FROM:<a@example.com>", &rcpt]))
        .collect();
    // 300 bodies of 200 KiB that grow together.
    let (mut begun, mut put_off) = (Vec::new(), 0);
    for mut client in clients.drain(..) {
        match client.command("DATA").unwrap().code {
            354 => begun.push(client),
            452 => put_off += 1,
            code => panic!("DATA: {code}"),
        }
    }
    let part = ("y".repeat(1022) + "\r\n").repeat(50);
    for _ in 0..4 {
        for client in &mut begun {
            client.raw(part.as_bytes()).unwrap();
        }
    }
    wait_for("the budget is used, and somebody put off", || {
        let used = gauge(&gateway, "memory_bytes").unwrap_or(0);
        assert!(used <= BUDGET, "{used}");
        let status = gateway.status();
        let refusals = status.pointer("/counters/memory_refusals").and_then(Value::as_u64);
        (used > BUDGET / 2 && refusals > Some(0)).then_some(())
    });
    let grown = resident(gateway.pid()).saturating_sub(before);
    // Besides the budget: the first slice of each body, whose room the allocator keeps for a while after it grew, and
    // the read buffers.
    assert!(grown < 5 * BUDGET / 2, "{grown} octets for a budget of {BUDGET}");
    let mut taken = 0_u64;
    for client in &mut begun {
        client.raw(b"\r\n.\r\n").unwrap();
    }
    for client in &mut begun {
        match client.reply().unwrap().code {
            250 => taken += 1,
            452 => put_off += 1,
            code => panic!("end of data: {code}"),
        }
    }
    // 320 KiB of buffer for each body of 200 KiB: 153 fit at a time. Whoever ends early leaves room for those who still
    // send, so how many come through is a matter of the moment; not all, and not hardly any.
    assert!((100..300).contains(&taken), "{taken} taken, {put_off} put off");
    assert_eq!(taken + put_off, 300);
    drop(begun);
    wait_for("nothing is held", || (gauge(&gateway, "memory_bytes") == Some(0)).then_some(()));
    sekisho_tests::wait::wait_longer("all are delivered", Duration::from_secs(60), || {
        (gateway.queued() == 0).then_some(())
    });
    assert_eq!(hop.mails().len() as u64, taken);
}

/// Memory of a process in octets: what it filled itself. Pages of its program that it has come to run are not counted:
/// those of a debug build are some MiB that say nothing of sessions.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of =
        |name| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    let kib = |name| of(name).unwrap().parse::<u64>().unwrap();
    (kib("RssAnon:") + kib("RssShmem:")) * 1024
}
