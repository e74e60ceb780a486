//! Content by DATA and BDAT: dots, line ends, smuggling, limits of the content.

use super::*;

fn refusing() -> SessionConfig {
    SessionConfig { bare_line_ends: BareLineEnds::Refuse, ..config() }
}

/// Sends `octets` after 354 and gives back the peer.
#[track_caller]
fn after_354(config: SessionConfig, octets: &[u8], expected: &[&str]) -> Peer {
    let mut peer = Peer::in_transaction(config);
    peer.expect("DATA\r\n", &["354"]);
    peer.expect(octets, expected);
    peer
}

#[test]
fn dots_are_unstuffed_and_line_ends_made_canonical() {
    // Decision 0040. Input without the final dot line, expected content.
    let table: [(&[u8], &[u8]); 24] = [
        (b"", b""),
        (b"a\r\n", b"a\r\n"),
        (b"\r\n", b"\r\n"),
        (b"..\r\n", b".\r\n"),
        (b"...\r\n", b"..\r\n"),
        (b".a\r\n", b"a\r\n"),
        (b"a.\r\n", b"a.\r\n"),
        (b"a\r\n..b\r\n..\r\n", b"a\r\n.b\r\n.\r\n"),
        // Bare LF.
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a\n\r\n", b"a\r\n\r\n"),
        (b"a\n..b\r\n", b"a\r\n..b\r\n"),
        // Bare CR.
        (b"a\rb\r\n", b"a\r\nb\r\n"),
        (b"a\r..b\r\n", b"a\r\n..b\r\n"),
        // CR CR LF is a bare CR and a CR LF.
        (b"a\r\r\n", b"a\r\n\r\n"),
        (b"a\r\r\r\n", b"a\r\n\r\n\r\n"),
        (b"a\r\r\n..b\r\n", b"a\r\n\r\n.b\r\n"),
        // LF CR is a bare LF and then whatever the CR is.
        (b"a\n\rb\r\n", b"a\r\n\r\nb\r\n"),
        (b"\n\r\n", b"\r\n\r\n"),
        // A stuffed dot before a bare line end is still stuffing.
        (b"a\r\n.\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r\n.\rb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r\n.\r\r\n", b"a\r\n\r\n\r\n"),
        // Other octets pass.
        (b"\0a\xff\x80\x1a\x0b\x0c\r\n", b"\0a\xff\x80\x1a\x0b\x0c\r\n"),
        (b"\xe3\x81\x82\r\n", b"\xe3\x81\x82\r\n"),
        (b"a\x85b\r\n", b"a\x85b\r\n"),
    ];
    for (input, expected) in table {
        let octets = [input, b".\r\n"].concat();
        let shown = String::from_utf8_lossy(input);
        let peer = after_354(config(), &octets, &["250 2.0.0"]);
        assert_eq!(peer.only_content(), expected, "{shown:?}");
        let bare = expected.iter().filter(|octet| **octet == b'\r').count()
            != input.windows(2).filter(|window| window == b"\r\n").count();
        let reply = if bare { "550 5.5.2" } else { "250 2.0.0" };
        assert_eq!(peer.messages[0].0.traits.bare_line_ends, bare, "{shown:?}");
        after_354(refusing(), &octets, &[reply]);
    }
}

#[test]
fn only_cr_lf_dot_cr_lf_ends_data_whatever_surrounds_the_dot() {
    // SMTP smuggling: every pair of line ends of up to three octets around a dot, followed by what
    // a smuggler would like us to obey.
    let ends: Vec<Vec<u8>> = (1..=3_u32)
        .flat_map(|length| {
            (0..2_u32.pow(length)).map(move |bits| {
                (0..length).map(|at| if bits >> at & 1 == 0 { b'\r' } else { b'\n' }).collect()
            })
        })
        .collect();
    for before in &ends {
        for after in &ends {
            let mut octets = b"Subject: x\r\n\r\nbody".to_vec();
            octets.extend_from_slice(before);
            octets.push(b'.');
            octets.extend_from_slice(after);
            let smuggled = b"MAIL FROM:<evil@bar.com>\r\nRCPT TO:<victim@foo.com>\r\n";
            octets.extend_from_slice(smuggled);
            let mut peer = Peer::in_transaction(config());
            peer.expect("DATA\r\n", &["354"]);
            let said = peer.say(&octets);
            let shown = String::from_utf8_lossy(&octets).into_owned();
            if before.ends_with(b"\r\n") && after.starts_with(b"\r\n") {
                assert!(said.starts_with("250 2.0.0"), "{shown:?}");
                assert_eq!(peer.messages.len(), 1);
                continue;
            }
            assert_eq!(said, "", "{shown:?}");
            peer.expect("\r\n.\r\n", &["250"]);
            let content = peer.only_content();
            assert!(content.ends_with(b"victim@foo.com>\r\n\r\n"), "{shown:?}");
            // Canonical: no bare CR or LF is left, so stuffing it again hides nothing.
            assert!(is_canonical(content), "{shown:?}");
        }
    }
}

pub(super) fn is_canonical(content: &[u8]) -> bool {
    let count = |octet| content.iter().filter(|found| **found == octet).count();
    let pairs = content.windows(2).filter(|window| window == b"\r\n").count();
    count(b'\r') == pairs
        && count(b'\n') == pairs
        && (content.is_empty() || content.ends_with(b"\r\n"))
}

#[test]
fn what_was_noticed_in_the_content_is_told() {
    let peer = after_354(config(), b"plain\r\n.\r\n", &["250"]);
    assert_eq!(peer.messages[0].0.traits, ContentTraits::default());
    // 8-bit without BODY=8BITMIME passes, but is told.
    let peer = after_354(config(), b"\xe9\0\n.\r\n\r\n.\r\n", &["250"]);
    let traits = peer.messages[0].0.traits;
    assert!(traits.eight_bit && traits.nul && traits.bare_line_ends && !traits.unterminated);
    let mut peer = Peer::in_transaction(config());
    peer.expect("BDAT 3 LAST\r\nabc", &["250"]);
    assert!(peer.messages[0].0.traits.unterminated);
    assert_eq!(peer.only_content(), b"abc\r\n");
}

#[test]
fn lines_up_to_64_kib_pass_unchanged_and_longer_ones_are_refused() {
    let line = |bytes: usize| [vec![b'x'; bytes], b"\r\n".to_vec()].concat();
    for (bytes, expected) in [(998, "250"), (65_535, "250"), (65_536, "250"), (65_537, "554 5.6.0")]
    {
        let octets = [line(10), line(bytes), line(10), b".\r\n".to_vec()].concat();
        let peer = after_354(config(), &octets, &[expected]);
        if expected == "250" {
            assert_eq!(peer.only_content(), &octets[..octets.len() - 3]);
        }
        let mut peer = Peer::in_transaction(config());
        let octets = line(bytes);
        let command = format!("BDAT {} LAST\r\n", octets.len());
        peer.expect([command.as_bytes(), &octets].concat(), &[expected]);
    }
}

#[test]
fn sm_62_a_size_above_the_limit_is_refused_at_mail() {
    let config = SessionConfig { message_bytes_max: 1000, ..config() };
    let mut peer = Peer::identified(config);
    for (size, expected) in [
        ("1000", "250 2.1.0"),
        ("1001", "552 5.3.4"),
        ("99999999999999999999", "552 5.3.4"),
        ("100000000000000000000", "501 5.5.4"),
        ("0", "250"),
        ("x", "501 5.5.4"),
        ("-1", "501 5.5.4"),
        ("", "501 5.5.4"),
    ] {
        peer.expect(format!("MAIL FROM:<a@bar.com> SIZE={size}\r\n"), &[expected]);
        peer.expect("RSET\r\n", &["250"]);
    }
}

#[test]
fn sm_62_content_above_the_limit_is_swallowed_to_its_end_and_refused() {
    let config = SessionConfig { message_bytes_max: 1000, ..config() };
    let octets = [vec![b'x'; 998], b"\r\n".to_vec()].concat();
    let end = b"\r\n.\r\nNOOP\r\n".to_vec();
    after_354(
        config.clone(),
        &[octets.clone(), b".\r\nNOOP\r\n".to_vec()].concat(),
        &["250", "250"],
    );
    let peer = after_354(
        config.clone(),
        &[octets.clone(), vec![b'y'; 100_000], end].concat(),
        &["552 5.3.4", "250"],
    );
    assert!(peer.messages.is_empty());
    // Stuffing does not count.
    let stuffed = "..\r\n".repeat(333);
    after_354(config, format!("{stuffed}.\r\n").as_bytes(), &["250"]);
}

#[test]
fn a_client_that_never_ends_refused_content_is_cut() {
    let config = SessionConfig { message_bytes_max: 1000, swallow_bytes_max: 5000, ..config() };
    let peer = after_354(config.clone(), &vec![b'x'; 6001], &["552 5.3.4"]);
    assert_eq!(peer.closed, Some(CloseReason::Limit));
    let mut peer = Peer::in_transaction(config);
    peer.expect("BDAT 5001\r\n", &["552 5.3.4"]);
    assert_eq!(peer.closed, Some(CloseReason::Limit));
}

#[test]
fn large_content_is_handed_over_in_parts_and_never_held_beyond_its_bound() {
    let line = "0123456789abcde\r\n".repeat(61_681); // 1 MiB and a little
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    for piece in line.as_bytes().chunks(10_000) {
        peer.expect(piece, &[]);
        assert!(peer.session.content.len() < crate::limits::BODY_IN_MEMORY_BYTES_MAX);
    }
    peer.expect(".\r\n", &["250"]);
    assert_eq!(peer.full, 3);
    assert_eq!(peer.only_content(), line.as_bytes());
    // All of it at once, by BDAT.
    let mut peer = Peer::in_transaction(config());
    peer.expect(format!("BDAT {} LAST\r\n{line}", line.len()), &["250"]);
    assert!(peer.full >= 3);
    assert_eq!(peer.only_content(), line.as_bytes());
}

#[test]
fn content_that_the_driver_holds_is_dropped_when_its_transaction_fails() {
    let half = "x".repeat(998) + "\r\n";
    let part = half.repeat(300);
    // RSET between chunks, a new EHLO, content that turns out too big, QUIT.
    for (after, expected) in [
        ("RSET\r\n", &["250"][..]),
        ("EHLO x\r\n", &["250"]),
        ("QUIT\r\n", &["221"]),
        ("BDAT 99999999 LAST\r\n", &[]),
    ] {
        let mut peer = Peer::in_transaction(config());
        peer.expect(format!("BDAT {}\r\n{part}", part.len()), &["250"]);
        assert_eq!(peer.full, 1);
        peer.expect(after, expected);
        assert_eq!(peer.dropped, 1, "{after}");
    }
    let config = SessionConfig { message_bytes_max: 400_000, ..config() };
    let peer = after_354(config, format!("{part}{part}.\r\n").as_bytes(), &["552 5.3.4"]);
    assert_eq!((peer.full, peer.dropped), (1, 1));
}

#[test]
fn the_driver_may_refuse_content_half_way() {
    let part = ("x".repeat(998) + "\r\n").repeat(300);
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    peer.session.fill(part.as_bytes());
    while peer.session.advance(peer.now) != Step::ContentFull {}
    peer.session.refuse_content(Reply::new(452, Enhanced(4, 3, 1), "No room"));
    peer.expect(format!("{part}.\r\nNOOP\r\n"), &["452 4.3.1 No room", "250"]);
    assert_eq!((peer.messages.len(), peer.dropped), (0, 0));
    // The refusal belongs to its transaction only.
    peer.expect("MAIL FROM:<>\r\nRCPT TO:<b@foo.com>\r\nDATA\r\n", &["250", "250", "354"]);
    peer.expect("x\r\n.\r\n", &["250"]);
}

#[test]
fn bdat_mixes_have_defined_replies() {
    for (octets, expected, content) in [
        // Tiny chunks: CR and LF, and a dot, each in a chunk of its own.
        (
            "BDAT 1\r\naBDAT 1\r\n\rBDAT 1\r\n\nBDAT 1\r\n.BDAT 1\r\n\rBDAT 1\r\n\nBDAT 0 LAST\r\n",
            &["250", "250", "250", "250", "250", "250", "250 2.0.0 Ok"][..],
            Some("a\r\n.\r\n"),
        ),
        // LAST twice: the second has no transaction; its octets are no commands.
        ("BDAT 1 LAST\r\naBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", &["250", "503", "250"], Some("a\r\n")),
        // Not the last, then DATA; then the chunks go on.
        ("BDAT 1\r\naDATA\r\nBDAT 1 LAST\r\nb", &["250", "503", "250"], Some("ab\r\n")),
        (
            "BDAT 1\r\naRCPT TO:<c@foo.com>\r\nBDAT 0 LAST\r\n",
            &["250", "503", "250"],
            Some("a\r\n"),
        ),
        ("BDAT 1\r\naNOOP\r\nBDAT 0 LAST\r\n", &["250", "250", "250"], Some("a\r\n")),
        ("BDAT 0 LAST\r\n", &["250"], Some("")),
        ("BDAT 0\r\nBDAT 0\r\nBDAT 2 LAST\r\nab", &["250", "250", "250"], Some("ab\r\n")),
        // A CR at the very end is a bare one, and a line end.
        ("BDAT 2 LAST\r\na\r", &["250"], Some("a\r\n")),
        ("BDAT 3\r\na\r\nBDAT 0 LAST\r\n", &["250", "250"], Some("a\r\n")),
        // RSET forgets the chunks.
        ("BDAT 1\r\naRSET\r\nBDAT 1 LAST\r\nbNOOP\r\n", &["250", "250", "503", "250"], None),
        ("BDAT 1\r\naQUIT\r\n", &["250", "221"], None),
        // Too big: swallowed, and so is what follows until RSET.
        (
            "BDAT 1\r\naBDAT 1001\r\n{1001}BDAT 5\r\nRSET\rDATA\r\nRSET\r\nMAIL FROM:<>\r\n",
            &["250", "552 5.3.4", "503 5.5.1", "503", "250", "250"],
            None,
        ),
        // ... or until the last chunk has gone by.
        (
            "BDAT 1001\r\n{1001}BDAT 5 LAST\r\nQUIT\rMAIL FROM:<>\r\n",
            &["552 5.3.4", "503 5.5.1", "250 2.1.0"],
            None,
        ),
        // Several chunks that are too big together.
        ("BDAT 1000\r\n{1000}BDAT 1 LAST\r\nxNOOP\r\n", &["250", "552 5.3.4", "250"], None),
        // The framing is lost.
        ("BDAT 1\r\naBDAT many LAST\r\nQUIT\r\n", &["250", "501 5.5.4"], None),
        ("BDAT\r\nQUIT\r\n", &["501 5.5.4"], None),
        ("BDAT 18446744073709551615 LAST\r\n", &["552 5.3.4"], None),
    ] {
        let octets =
            octets.replace("{1001}", &"z".repeat(1001)).replace("{1000}", &"z".repeat(1000));
        let mut peer = Peer::in_transaction(SessionConfig { message_bytes_max: 1000, ..config() });
        peer.expect(&octets, expected);
        let found = peer.messages.first().map(|(_, content)| std::str::from_utf8(content).unwrap());
        assert_eq!(found, content, "{octets}");
    }
}

#[test]
fn bdat_without_a_recipient_is_swallowed_before_its_reply() {
    let mut peer = Peer::identified(config());
    peer.expect("BDAT 6\r\nQUIT\r\nNOOP\r\n", &["503 5.5.1", "250"]);
    peer.expect(
        "MAIL FROM:<>\r\nRCPT TO:<nobody@foo.com>\r\nBDAT 6 LAST\r\nQUIT\r\n",
        &["250", "550", "554 5.5.1"],
    );
    // The transaction is as it was: another recipient may follow.
    peer.expect("RCPT TO:<b@foo.com>\r\nBDAT 1 LAST\r\nx", &["250", "250"]);
}

#[test]
fn bare_line_ends_in_chunks_are_refused_where_the_listener_says_so() {
    let mut peer = Peer::in_transaction(refusing());
    peer.expect("BDAT 3\r\na\nbBDAT 2 LAST\r\n\r\n", &["550 5.5.2", "503 5.5.1"]);
    let mut peer = Peer::in_transaction(refusing());
    // A missing last line end is not a bare one.
    peer.expect("BDAT 3\r\na\r\nBDAT 1 LAST\r\nb", &["250", "250"]);
}
