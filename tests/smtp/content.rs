//! What the next hop receives is one mail, octet for octet, whatever stood around its dots, however
//! it was cut into packets, and whether it was kept in memory or in a file.

use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;

use crate::clean::below_added;

/// What RFC 5321 and decision 0040 make of octets after 354: the content, and what follows its end.
fn model(octets: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut content, mut at, mut line_start) = (Vec::new(), 0, true);
    loop {
        let rest = &octets[at..];
        if line_start && rest.starts_with(b".\r\n") {
            return (content, &rest[3..]);
        }
        (at, line_start) = match rest {
            [b'.', ..] if line_start => (at + 1, false),
            [b'\r', b'\n', ..] => {
                content.extend_from_slice(b"\r\n");
                (at + 2, true)
            }
            [b'\r' | b'\n', ..] => {
                content.extend_from_slice(b"\r\n");
                (at + 1, false)
            }
            [octet, ..] => {
                content.push(*octet);
                (at + 1, false)
            }
            [] => panic!("content without an end"),
        };
    }
}

fn begin(client: &mut Client) {
    let rcpt = format!("RCPT TO:<user@{DOMAIN}>");
    for line in ["MAIL FROM:<a@example.com>", &rcpt] {
        assert_eq!(client.command(line).unwrap().code, 250, "{line}");
    }
}

const EVIL: &str = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<user@demo.test>\r\nDATA\r\n\
                    Subject: evil\r\n\r\nevil\r\n.\r\n";

/// Every published sequence is a pair of these around a dot.
const ENDS: [&[u8]; 9] =
    [b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\r\n\r", b"\r\n\n", b"\0\r\n", b""];

#[test]
fn no_sequence_around_a_dot_smuggles_a_second_mail() {
    for setting in ["canonical", "refuse"] {
        let hop = Hop::start();
        let gateway = Gateway::start(&Setup {
            smtp: format!("bare_line_ends = \"{setting}\""),
            ..Setup::to(hop.address())
        });
        let (mut contents, mut refused) = (Vec::new(), 0);
        for before in ENDS {
            for after in ENDS {
                if before.ends_with(b"\r\n") && after.starts_with(b"\r\n") {
                    continue; // The true end: what follows are commands.
                }
                let wire = [
                    b"Subject: s\r\n\r\nfirst",
                    before,
                    b".",
                    after,
                    EVIL.as_bytes(),
                    b"\r\n.\r\n",
                ]
                .concat();
                let (content, rest) = model(&wire);
                let bare = is_bare(&wire[..wire.len() - rest.len()]);
                let mut client = gateway.client();
                begin(&mut client);
                assert_eq!(client.command("DATA").unwrap().code, 354);
                // Cut where it hurts: in the middle of everything around the dot.
                let (head, tail) = wire.split_at(23 + before.len() / 2);
                client.raw(head).unwrap();
                client.raw(tail).unwrap();
                let reply = client.reply().unwrap();
                if setting == "refuse" && bare {
                    assert_eq!(reply.code, 550, "{before:?} {after:?}: {}", reply.text());
                    refused += 1;
                } else {
                    assert_eq!(reply.code, 250, "{before:?} {after:?}: {}", reply.text());
                    contents.push(content);
                }
                client.quit();
            }
        }
        wait_longer("all are delivered", sekisho_tests::wait::DEADLINE, || {
            (gateway.queued() == 0).then_some(())
        });
        let mails = hop.mails();
        assert_eq!(mails.len(), contents.len(), "{setting}: as many mails as were answered 250");
        assert_eq!(setting == "refuse", refused > 50, "{refused}");
        for mail in mails {
            assert_eq!(mail.envelope.mail_from, "a@example.com");
            let found =
                contents.iter().position(|content| below_added(&mail.content, content).is_some());
            contents.swap_remove(found.expect("a mail that nobody sent"));
        }
    }
}

fn is_bare(octets: &[u8]) -> bool {
    octets.iter().enumerate().any(|(at, octet)| match octet {
        b'\r' => octets.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || octets[at - 1] != b'\r',
        _ => false,
    })
}

/// Small numbers from a seed; enough to choose cuts and pieces.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// A content of exactly `bytes` octets with everything in it that is easily lost.
fn content(bytes: usize, dice: &mut Dice) -> Vec<u8> {
    let mut content = format!("X-Envelope-Id: {bytes}\r\nSubject: border\r\n\r\n").into_bytes();
    let pieces: [&[u8]; 9] =
        [b".", b"..", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\0", b"\x80\xff", b"x", b"\xe5\xb1\xb1"];
    while content.len() + 8 < bytes {
        let piece = pieces[dice.below(pieces.len())];
        content.extend_from_slice(piece);
        content.resize(content.len() + dice.below(40).min(bytes - 5 - content.len()), b'y');
    }
    content.resize(bytes - 2, b'z');
    content.extend_from_slice(b"\r\n");
    content
}

/// 256 KiB are the border between memory and a file of its own.
#[test]
fn sizes_around_the_border_of_memory_and_file_arrive_octet_for_octet_by_data_and_by_bdat() {
    const BORDER: usize = 256 * 1024;
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let seed = 0x5eed_0017;
    eprintln!("seed {seed:#x}");
    let mut dice = Dice(seed);
    let mut sizes = vec![
        BORDER - 2,
        BORDER - 1,
        BORDER,
        BORDER + 1,
        BORDER + 2,
        BORDER + 65_536,
        2 * BORDER - 1,
        2 * BORDER,
        2 * BORDER + 1,
    ];
    sizes.extend((0..6).map(|_| BORDER - 70_000 + dice.below(140_000)));
    let mut sent = Vec::new();
    let mut client = gateway.client();
    for bytes in sizes {
        let content = content(bytes, &mut dice);
        assert!(content.len() == bytes && !is_bare(&content));
        begin(&mut client);
        assert_eq!(client.command("DATA").unwrap().code, 354);
        let mut wire = Vec::new();
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            wire.extend(line.starts_with(b".").then_some(b'.'));
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        for piece in pieces(&wire, &mut dice) {
            client.raw(piece).unwrap();
        }
        let reply = client.reply().unwrap();
        assert_eq!(reply.code, 250, "{bytes} by DATA: {}", reply.text());
        begin(&mut client);
        for piece in pieces(&content, &mut dice) {
            client.raw(format!("BDAT {}\r\n", piece.len()).as_bytes()).unwrap();
            client.raw(piece).unwrap();
            assert_eq!(client.reply().unwrap().code, 250);
        }
        let reply = client.command("BDAT 0 LAST").unwrap();
        assert_eq!(reply.code, 250, "{bytes} by BDAT: {}", reply.text());
        sent.push(content);
    }
    client.quit();
    wait_longer("all are delivered", sekisho_tests::wait::DEADLINE, || {
        (gateway.queued() == 0).then_some(())
    });
    let mails = hop.mails();
    assert_eq!(mails.len(), 2 * sent.len());
    for content in &sent {
        let same = mails.iter().filter(|mail| below_added(&mail.content, content).is_some());
        assert_eq!(same.count(), 2, "{} octets differ (seed {seed:#x})", content.len());
    }
}

fn pieces<'o>(octets: &'o [u8], dice: &mut Dice) -> Vec<&'o [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), octets);
    while !rest.is_empty() {
        let bytes = [1, 7, 1000, 65_535, 65_536, 200_000][dice.below(6)].min(rest.len());
        let (piece, more) = rest.split_at(bytes);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// The smallest and the strangest that is still a mail.
#[test]
fn nothing_only_dots_and_lines_of_64_kib_arrive_as_they_were_sent() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let long = [b"Subject: long\r\n\r\n.", &vec![b'l'; 65_535][..], b"\r\n"].concat();
    let contents: [&[u8]; 6] = [
        b"",
        b"\r\n",
        b".\r\n..\r\n...\r\n",
        b"Subject: n\r\n\r\n\0nul\0\r\n",
        b"Subject: 8\r\n\r\n\xff\xfe\x80\r\n",
        &long,
    ];
    let to = format!("user@{DOMAIN}");
    let mut client = gateway.client();
    for content in contents {
        let mail = sekisho_loadgen::client::Mail { from: "a@example.com", to: &[&to], content };
        assert!(client.send(&mail).unwrap().accepted(), "{content:?}");
        begin(&mut client);
        client.raw(format!("BDAT {} LAST\r\n", content.len()).as_bytes()).unwrap();
        client.raw(content).unwrap();
        assert_eq!(client.reply().unwrap().code, 250, "{content:?}");
        let mails = hop.mails();
        let same = mails.iter().filter(|mail| below_added(&mail.content, content).is_some());
        assert!(same.count() >= 2, "{content:?}");
    }
    // By BDAT a last line may lack its end: it gets one.
    begin(&mut client);
    client.raw(b"BDAT 16 LAST\r\nA: b\r\n\r\nno end\r.").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    let mails = hop.mails();
    assert_eq!(mails.len(), 13);
    assert!(mails.iter().any(|mail| mail.content.ends_with(b"A: b\r\n\r\nno end\r\n.\r\n")));
    // One octet more than 64 KiB in a line is too much, and said at the end.
    let over = [b"Subject: over\r\n\r\n", &vec![b'l'; 65_537][..], b"\r\n"].concat();
    let mail = sekisho_loadgen::client::Mail { from: "a@example.com", to: &[&to], content: &over };
    assert_eq!(client.send(&mail).unwrap().reply.code, 554);
    assert_eq!(hop.mails().len(), 13);
}
