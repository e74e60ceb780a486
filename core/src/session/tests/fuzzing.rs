//! Smoke runs of the fuzz entries on seeded random inputs with a dictionary, the PROXY header's table,
//! and the canary: the checks do fail when they should.

use super::*;
use crate::session::grammar::fuzz_grammar;
use crate::session::proxy::{self, Proxied, fuzz_proxy};

/// xorshift64*: enough for choosing, and the same everywhere.
struct Choice(u64);

impl Choice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    /// Words of the dictionary, cut, doubled and mixed with any octets.
    fn input(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut octets = vec![];
        for _ in 0..self.below(30) {
            match self.below(12) {
                0 => octets.push(self.below(256) as u8),
                1 => {
                    let cut = octets.len() - octets.len().min(self.below(5));
                    octets.truncate(cut);
                }
                2 => octets.extend(vec![b"x.\"@\r"[self.below(5)]; self.below(3000)]),
                _ => octets.extend_from_slice(words[self.below(words.len())]),
            }
        }
        octets
    }
}

fn smoke(seed: u64, words: &[&[u8]], target: fn(&[u8])) {
    let mut choice = Choice(seed);
    for round in 0..2000 {
        let input = choice.input(words);
        let outcome = std::panic::catch_unwind(|| target(&input));
        let shown = String::from_utf8_lossy(&input).into_owned();
        assert!(outcome.is_ok(), "seed {seed}, round {round}: {shown:?}");
    }
}

#[test]
fn fuzz_session_holds_for_2000_seeded_inputs() {
    let words: [&[u8]; 32] = [
        b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<no@d>\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"DATA\r\n",
        b"BDAT 10\r\n",
        b"BDAT 3 LAST\r\n",
        b"BDAT 12000\r\n",
        b"\r\n.\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b".",
        b"..",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
        b"XCLIENT ADDR=IPV6:::1 HELO=x\r\n",
        b"SIZE=",
        b"BODY=8BITMIME",
        b" SMTPUTF8",
        b" NOTIFY=NEVER",
        b" ORCPT=rfc822;",
        b"<",
        b">",
        b"@",
        b"\"",
        b"\\",
        b"\xe3\x81\x82",
        b"\xff",
        b"\0",
    ];
    smoke(40, &words, fuzz_session);
}

#[test]
fn fuzz_grammar_holds_for_2000_seeded_inputs() {
    let words: [&[u8]; 24] = [
        b"<",
        b">",
        b"@",
        b"\"",
        b"\\",
        b":",
        b",",
        b".",
        b"a",
        b"b.example",
        b"[",
        b"]",
        b"IPv6:",
        b"::1",
        b"127.0.0.1",
        b"xn--",
        b"\xe3\x81\x82",
        b"\xc3\x9f",
        b"%",
        b"!",
        b"+2B",
        b"<@x:",
        b"postmaster",
        b" ",
    ];
    smoke(41, &words, fuzz_grammar);
}

#[test]
fn fuzz_proxy_holds_for_2000_seeded_inputs() {
    let words: [&[u8]; 10] = [
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
        b"\x21",
        b"\x20",
        b"\x11",
        b"\x21\x00\x24",
        b"\x00\x0c",
        b"\xff\xff",
        b"\x7f\0\0\x01",
        b"\0\0\0\0",
    ];
    smoke(42, &words, fuzz_proxy);
}

#[test]
fn the_smoke_run_notices_a_target_that_fails() {
    let canary = |data: &[u8]| assert!(!data.starts_with(b"RSET"), "found");
    let outcome = std::panic::catch_unwind(|| smoke(43, &[b"RSET", b"x"], canary));
    assert!(outcome.is_err());
}

fn header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut octets = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    octets.extend_from_slice(&[command, family]);
    octets.extend_from_slice(&(addresses.len() as u16).to_be_bytes());
    octets.extend_from_slice(addresses);
    octets
}

#[test]
fn proxy_headers_name_the_client() {
    let ipv4 = [192, 0, 2, 7, 198, 51, 100, 25, 0x12, 0x34, 0, 25];
    let octets = header(0x21, 0x11, &ipv4);
    let expected = Proxied::Client {
        source: "192.0.2.7:4660".parse().unwrap(),
        destination: "198.51.100.25:25".parse().unwrap(),
    };
    assert_eq!(proxy::parse(&octets), Ok(Some((expected, octets.len()))));
    // What follows belongs to SMTP; every cut waits for more.
    let more = [&octets[..], b"EHLO x\r\n"].concat();
    assert_eq!(proxy::parse(&more), Ok(Some((expected, octets.len()))));
    for cut in 0..octets.len() {
        assert_eq!(proxy::parse(&octets[..cut]), Ok(None), "{cut}");
    }
    let mut ipv6 = [0_u8; 36];
    (ipv6[0], ipv6[15], ipv6[31], ipv6[33], ipv6[35]) = (0xfd, 1, 2, 99, 25);
    let octets = header(0x21, 0x21, &ipv6);
    let expected = Proxied::Client {
        source: "[fd00::1]:99".parse().unwrap(),
        destination: "[::2]:25".parse().unwrap(),
    };
    assert_eq!(proxy::parse(&octets), Ok(Some((expected, octets.len()))));
    // What a proxy with one socket for both families says of a client with IPv4.
    let mut mapped = [0_u8; 36];
    mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
    mapped[26..32].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 25]);
    mapped[32..].copy_from_slice(&ipv4[8..]);
    let expected = Proxied::Client {
        source: "192.0.2.7:4660".parse().unwrap(),
        destination: "198.51.100.25:25".parse().unwrap(),
    };
    assert_eq!(proxy::parse(&header(0x21, 0x21, &mapped)), Ok(Some((expected, 52))));
    // TLVs are skipped.
    let octets = header(0x21, 0x11, &[&ipv4[..], &[1, 0, 2, b'h', b'2']].concat());
    assert!(matches!(proxy::parse(&octets), Ok(Some((Proxied::Client { .. }, 33)))));
    let octets = header(0x20, 0x00, &[]);
    assert_eq!(proxy::parse(&octets), Ok(Some((Proxied::Local, 16))));
}

#[test]
fn proxy_headers_that_make_no_sense_are_refused() {
    let ipv4 = [0_u8; 12];
    for (octets, expected) in [
        (b"EHLO x\r\n".to_vec(), ProxyError::NotProxy),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(), ProxyError::NotProxy),
        (header(0x11, 0x11, &ipv4), ProxyError::NotProxy),
        (header(0x22, 0x11, &ipv4), ProxyError::NotProxy),
        (header(0x21, 0x41, &ipv4), ProxyError::NotProxy),
        (header(0x21, 0x11, &ipv4[..11]), ProxyError::NotProxy),
        (header(0x21, 0x00, &[]), ProxyError::Family),
        (header(0x21, 0x12, &ipv4), ProxyError::Family),
        (header(0x21, 0x31, &[0; 216]), ProxyError::Family),
        (header(0x21, 0x11, &[0; 4081]), ProxyError::TooLong(4097)),
    ] {
        let found = proxy::parse(&octets);
        assert_eq!(found, Err(expected), "{octets:?}");
        assert!(expected.permanent() && expected.fault() == Fault::Client);
    }
    assert_eq!(ProxyError::NotProxy.to_string(), "not a PROXY v2 header");
    assert_eq!(
        ProxyError::TooLong(4097).to_string(),
        "PROXY header of 4097 octets, at most 4096 are read"
    );
    assert_eq!(
        ProxyError::Family.to_string(),
        "PROXY header without an IPv4 or IPv6 stream address"
    );
}
