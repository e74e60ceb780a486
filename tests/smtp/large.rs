//! Large mails while they arrive: their room on the disk is counted from the first octet, and what is refused of one
//! never stands in the next.

use std::time::Duration;

use sekisho_loadgen::client::{Client, Mail};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{wait_for, wait_longer};

use crate::clean::below_added;

const MIB: usize = 1 << 20;

fn to() -> String {
    format!("user@{DOMAIN}")
}

fn content(letter: char, bytes: usize) -> Vec<u8> {
    let line = letter.to_string().repeat(62) + "\r\n";
    format!("Subject: {letter}\r\n\r\n{}", line.repeat(bytes / 64)).into_bytes()
}

/// What is promised to mails that are arriving, as the metrics say.
fn arriving(gateway: &Gateway) -> u64 {
    gateway.status()["gauges"]["arriving_bytes"].as_u64().expect("a figure")
}

/// MAIL and RCPT and the command that begins the content.
fn begin(gateway: &Gateway, size: &str) -> (Client, u16) {
    let mut client = gateway.client();
    assert_eq!(client.command(&format!("MAIL FROM:<a@example.com>{size}")).unwrap().code, 250);
    assert_eq!(client.command(&format!("RCPT TO:<{}>", to())).unwrap().code, 250);
    let code = client.command("DATA").unwrap().code;
    (client, code)
}

/// 12 MiB of budget, 1 MiB of it in reserve.
fn small_budget(hop: &Hop) -> Gateway {
    Gateway::start(&Setup {
        storage: "spool_bytes_max = 12582912".to_owned(),
        ..Setup::to(hop.address())
    })
}

#[test]
fn mails_that_arrive_together_get_452_before_they_go_through_the_reserve_together() {
    // Four sessions on two shards, each with a mail that fits by itself: all of them were admitted, and wrote
    // through the reserve to the end of the disk.
    let hop = Hop::start();
    let gateway = small_budget(&hop);
    let size = format!(" SIZE={}", 4 * MIB);
    let mut begun: Vec<(Client, u16)> = (0..4).map(|_| begin(&gateway, &size)).collect();
    let codes: Vec<u16> = begun.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 354).count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 452).count(), 2, "{codes:?}");
    assert_eq!(arriving(&gateway), 8 * MIB as u64, "as declared, before the first octet");

    // One that declared nothing, and sends more than there is left.
    let (mut silent, code) = begin(&gateway, "");
    assert_eq!(code, 354);
    let mut octets = content('s', 4 * MIB);
    octets.extend_from_slice(b".\r\n");
    silent.raw(&octets).unwrap();
    let reply = silent.reply().unwrap();
    assert_eq!(reply.code, 452, "{}", reply.text());
    wait_for("what it had is given back", || (arriving(&gateway) == 8 * MIB as u64).then_some(()));

    // Those that were admitted go through; one is aborted half-way and gives its room back.
    let mut admitted = begun.iter_mut().filter(|(_, code)| *code == 354);
    let (first, _) = admitted.next().unwrap();
    let mut octets = content('f', 4 * MIB - 1000);
    octets.extend_from_slice(b".\r\n");
    first.raw(&octets).unwrap();
    let reply = first.reply().unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text());
    let (second, _) = admitted.next().unwrap();
    second.raw(&content('x', MIB)).unwrap();
    drop(begun);
    wait_for("nothing is promised any more", || (arriving(&gateway) == 0).then_some(()));
    for shard in 0..2 {
        wait_for("nothing is left in incoming", || {
            let dir = gateway.data().join(format!("spool/{shard}/incoming"));
            (std::fs::read_dir(dir).ok()?.count() == 0).then_some(())
        });
    }
    let sent = gateway.send("a@example.com", &[&to()], &content('g', 4 * MIB));
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    assert_eq!(hop.mails().len(), 2);
}

#[test]
fn room_is_given_back_at_rset_and_when_the_mail_turns_out_small() {
    let hop = Hop::start();
    let gateway = small_budget(&hop);
    let mut client = gateway.client();
    for last in ["BDAT 0", "RSET"] {
        let size = 8 * MIB;
        assert_eq!(
            client.command(&format!("MAIL FROM:<a@example.com> SIZE={size}")).unwrap().code,
            250
        );
        assert_eq!(client.command(&format!("RCPT TO:<{}>", to())).unwrap().code, 250);
        assert_eq!(client.command("BDAT 0").unwrap().code, 250);
        assert_eq!(arriving(&gateway), size as u64, "{last}");
        if last == "BDAT 0" {
            client.raw(b"BDAT 17 LAST\r\nSubject: a\r\n\r\nb\r\n").unwrap();
            assert_eq!(client.reply().unwrap().code, 250);
        } else {
            assert_eq!(client.command(last).unwrap().code, 250);
        }
        wait_for("the room is free", || (arriving(&gateway) == 0).then_some(()));
    }
    client.quit();
}

#[test]
fn octets_of_a_refused_large_mail_never_stand_before_the_next_one_of_the_session() {
    // The client got 452 in the middle of a mail, and sent another one: that one was delivered with the octets of the
    // first before its own.
    let hop = Hop::start();
    let gateway = small_budget(&hop);
    let mut client = Client::hello(gateway.smtp(), "c.example", Duration::from_secs(60)).unwrap();
    let to = to();
    let mut send = |content: &[u8]| {
        client.send(&Mail { from: "a@example.com", to: &[&to], content }).unwrap().reply
    };
    let small = b"Subject: small\r\n\r\nits own octets\r\n".to_vec();
    let large = content('L', MIB);
    for next in [&small, &large] {
        let refused = send(&content('R', 13 * MIB));
        assert_eq!(refused.code, 452, "{}", refused.text());
        let taken = send(next);
        assert_eq!(taken.code, 250, "{}", taken.text());
    }
    client.quit();
    let mails = wait_longer("both arrive", Duration::from_secs(30), || {
        let mails = hop.mails();
        (mails.len() == 2).then_some(mails)
    });
    for (mail, sent) in mails.iter().zip([&small, &large]) {
        let all = mails.iter().any(|mail| below_added(&mail.content, sent).is_some());
        assert!(all, "a mail of {} octets is not what was sent", sent.len());
        assert!(!mail.content.windows(8).any(|window| window == b"RRRRRRRR"));
    }
}

#[test]
fn its_08_a_header_section_that_is_longer_than_what_is_read_of_it_is_held() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: "headers.set = \"itscom\"\nquarantine.reply = \"accept\"\n\
                   scan_exception.action = \"quarantine\"\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    // What it says of itself behind the first MiB would pass for our word.
    let filling = "X-Filling: ".to_owned() + &"x".repeat(900) + "\r\n";
    let forged = |fields: usize| {
        let many = filling.repeat(fields);
        let mail = format!("Subject: s\r\n{many}X-SLBL-Result: SAFE-LISTED\r\n\r\nbody\r\n");
        gateway.send("a@example.com", &[&to()], mail.as_bytes()).reply
    };
    let reply = forged(300);
    assert_eq!(reply.code, 250, "{}", reply.text());
    let mails = hop.mails();
    assert_eq!(mails.len(), 1, "some hundred KiB are no reason");
    let mail = String::from_utf8_lossy(&mails[0].content).into_owned();
    assert!(!mail.contains("SAFE-LISTED"), "taken out");
    let reply = forged(1300);
    assert_eq!(reply.code, 250, "{}", reply.text());
    let held =
        wait_for("it is held", || gateway.sekisho_json(&["quarantine", "list", "--all"]).pop());
    assert_eq!(
        (&held["reason"], &held["class"]),
        (&"scan_exception".into(), &"Error".into()),
        "{held}"
    );
    assert_eq!(hop.mails().len(), 1);
}
