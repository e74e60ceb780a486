//! Lengths, counts and time-outs.

use super::*;

#[test]
fn a_command_line_may_have_4096_octets_and_no_more() {
    for (bytes, expected) in [(4096, "250"), (4097, "500 5.5.2"), (100_000, "500 5.5.2")] {
        let mut peer = Peer::identified(config());
        let line = format!("NOOP {}\r\n", "x".repeat(bytes - 7));
        assert_eq!(line.len(), bytes);
        peer.expect(line + "NOOP\r\n", &[expected, "250"]);
    }
}

#[test]
fn a_command_line_without_end_costs_no_memory_and_is_answered_once() {
    let mut peer = Peer::identified(config());
    for _ in 0..1000 {
        peer.expect("x".repeat(4000), &[]);
        assert!(peer.session.input.pending().len() < COMMAND_LINE_BYTES_MAX);
    }
    peer.expect("\r\nNOOP\r\n", &["500 5.5.2", "250"]);
}

#[test]
fn control_characters_in_commands_are_refused() {
    for command in [
        "NOOP\0\r\n",
        "NO\0OP\r\n",
        "MAIL FROM:<a\r@bar.com>\r\n",
        "MAIL FROM:<a\x7f@bar.com>\r\n",
        "RCPT TO:<\"a\x01\"@foo.com>\r\n",
        "NOOP a\rb\r\n",
        "QUIT\r\r\n",
        "\tNOOP\r\n",
    ] {
        let mut peer = Peer::identified(config());
        peer.expect(command, &["500 5.5.2"]);
    }
    let mut peer = Peer::identified(config());
    peer.expect(b"MAIL FROM:<\xe9@bar.com>\r\n", &["501 5.5.4"]);
    peer.expect(b"\xff\xfe\r\n", &["500 5.5.2"]);
}

#[test]
fn commands_that_end_with_a_bare_line_feed_follow_the_setting() {
    let mut peer = Peer::identified(config());
    peer.expect("NOOP\nMAIL FROM:<a@bar.com>\n", &["250", "250"]);
    let mut peer =
        Peer::identified(SessionConfig { bare_line_ends: BareLineEnds::Refuse, ..config() });
    peer.expect("NOOP\nNOOP\r\n", &["500 5.5.2", "250"]);
}

#[test]
fn spaces_where_no_harm_is_done_are_forgiven() {
    let mut peer = Peer::identified(config());
    peer.expect("noop  \r\nRSET \t\r\n", &["250", "250"]);
    peer.expect("mail FROM: <a@bar.com>  size=5 \r\nRcpt  to:  <b@foo.com>\r\n", &["250", "250"]);
}

#[test]
fn the_recipient_after_the_last_gets_452() {
    // RFC 5321 section 4.5.3.1.10, RFC 9422.
    let mut peer = Peer::identified(SessionConfig { recipients_max: 2, ..config() });
    peer.expect("MAIL FROM:<>\r\nRCPT TO:<nobody@x>\r\n", &["250", "550"]);
    peer.expect(
        "RCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<c@x>\r\nRCPT TO:<\r\nDATA\r\n",
        &["250", "250", "452 4.5.3", "501", "354"],
    );
}

#[test]
fn recipients_that_are_put_off_cost_those_accepted_before_them_nothing() {
    // A list of 1,200 sent in one group to a server that takes 1,000: after 50 times 452 the session
    // was cut with 421, and nobody got the mail.
    let config = SessionConfig {
        recipients_max: 2,
        refused_recipients_max: 2,
        deferred_recipients_max: 20,
        ..config()
    };
    let mut peer = Peer::identified(config.clone());
    let group = "RCPT TO:<a@x>\r\n".repeat(22) + "DATA\r\n";
    let mut expected = vec!["452 4.5.3"; 22];
    expected[..2].fill("250");
    peer.expect("MAIL FROM:<>\r\n", &["250"]);
    peer.expect(group, &[&expected[..], &["354"]].concat());
    peer.expect(".\r\n", &["250"]);
    assert_eq!(peer.messages[0].0.envelope.recipients.len(), 2);
    // The same for the pipeline's 4yz (rates, call-outs without an answer).
    let mut peer = Peer::identified(config.clone());
    peer.expect("MAIL FROM:<>\r\nRCPT TO:<a@x>\r\n", &["250", "250"]);
    peer.expect(
        "RCPT TO:<busy@x>\r\n".repeat(20) + "DATA\r\n",
        &[&["450"; 20][..], &["354"]].concat(),
    );
    // But not without end.
    let mut peer = Peer::identified(config);
    peer.expect("MAIL FROM:<>\r\n", &["250"]);
    peer.expect("RCPT TO:<busy@x>\r\n".repeat(30), &[&["450"; 21][..], &["421 4.7.0"]].concat());
    assert_eq!(peer.closed, Some(CloseReason::Limit));
}

#[test]
fn too_many_errors_refusals_idle_commands_or_transactions_end_the_session() {
    let config = SessionConfig {
        errors_max: 2,
        refused_recipients_max: 2,
        idle_commands_max: 2,
        transactions_max: 2,
        ..config()
    };
    for (octets, expected) in [
        ("x\r\nx\r\nx\r\nNOOP\r\n", &["500", "500", "500", "421 4.7.0 too many errors"][..]),
        ("NOOP\r\nVRFY x\r\nRSET\r\n", &["250", "252", "421 4.7.0 too many commands"]),
        ("EHLO x\r\nHELO x\r\nEHLO x\r\n", &["250", "250", "421 4.7.0"]),
        (
            "MAIL FROM:<>\r\nRCPT TO:<nobody@x>\r\nRCPT TO:<nobody@x>\r\nRCPT TO:<nobody@x>\r\n",
            &["250", "550", "550", "550", "421 4.7.0 too many refused"],
        ),
        (
            "MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nNOOP\r\n",
            &["250", "250", "250", "250", "421 4.7.0 too many transactions"],
        ),
    ] {
        let mut peer = Peer::identified(config.clone());
        peer.expect(octets, expected);
        assert_eq!(peer.closed, Some(CloseReason::Limit), "{octets}");
    }
    // A message in between makes idle commands good again.
    let mut peer = Peer::identified(config);
    peer.expect(
        "NOOP\r\nNOOP\r\nMAIL FROM:<>\r\nRCPT TO:<b@x>\r\nDATA\r\n",
        &["250", "250", "250", "250", "354"],
    );
    peer.expect(".\r\nNOOP\r\nNOOP\r\n", &["250", "250", "250"]);
}

#[test]
fn a_silent_client_times_out_after_five_minutes_and_octets_alone_do_not_help() {
    // RFC 5321 section 4.5.3.2.7.
    let mut peer = Peer::identified(config());
    peer.expect("", &[]);
    assert_eq!(peer.deadline, Some(MonoMillis(300_000)));
    peer.later(Duration::from_secs(299));
    peer.expect("NO", &[]);
    assert_eq!(peer.deadline, Some(MonoMillis(300_000)));
    peer.expect("OP\r\n", &["250"]);
    assert_eq!(peer.deadline, Some(MonoMillis(599_000)));
    peer.later(Duration::from_secs(300));
    peer.expect("N", &["421 4.4.2"]);
    assert_eq!(peer.closed, Some(CloseReason::Timeout));
}

#[test]
fn silence_in_content_times_out_after_three_minutes() {
    // RFC 5321 section 4.5.3.2.5.
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    assert_eq!(peer.deadline, Some(MonoMillis(180_000)));
    peer.later(Duration::from_secs(170));
    peer.expect("x", &[]);
    assert_eq!(peer.deadline, Some(MonoMillis(350_000)));
    peer.later(Duration::from_secs(180));
    peer.expect("", &["421 4.4.2"]);
    assert_eq!(peer.closed, Some(CloseReason::Timeout));
}

#[test]
fn content_slower_than_the_least_rate_is_cut_and_an_honest_slow_line_is_not() {
    // One octet every two minutes would never be silent long enough.
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    let mut minutes = 0;
    while peer.closed.is_none() {
        peer.later(Duration::from_secs(120));
        minutes += 2;
        peer.say("x");
        assert!(minutes < 20, "still not cut");
    }
    assert_eq!((peer.closed, minutes), (Some(CloseReason::Timeout), 12));
    // 1 KiB a second for an hour is fine.
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    for _ in 0..60 {
        peer.later(Duration::from_secs(60));
        peer.expect("x".repeat(1022).repeat(60) + "\r\n", &[]);
    }
    peer.expect(".\r\n", &["250"]);
}

#[test]
fn chunks_of_nothing_do_not_outwit_the_least_rate() {
    let mut peer = Peer::in_transaction(config());
    for _ in 0..3 {
        peer.expect("BDAT 1\r\nx", &["250"]);
        peer.later(Duration::from_secs(250));
    }
    peer.expect("", &["421 4.4.2"]);
    assert_eq!(peer.closed, Some(CloseReason::Timeout));
}

#[test]
fn time_that_our_disk_takes_is_not_the_clients() {
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    peer.session.fill("x\r\n".repeat(100_000).as_bytes());
    loop {
        match peer.session.advance(peer.now) {
            Step::ContentFull => {
                // Ten hours on the disk.
                peer.now.mono = peer.now.mono.plus(Duration::from_secs(36_000));
                peer.session.take_content();
            }
            Step::Read { deadline } => {
                assert!(deadline.since(peer.now.mono) >= Duration::from_secs(170));
                break;
            }
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_session_in_content_keeps_its_content_and_no_buffers_beside_it() {
    // Seen from outside: 400 sessions over the budget held four times what was charged, because each
    // kept the packet that it had read last, and the buffer of the content it had been refused.
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    peer.expect("x\r\n".repeat(20_000), &[]);
    assert!(peer.session.input.held_bytes() <= 4096);
    assert!(peer.session.content_bytes() >= 60_000 && peer.session.content_bytes() < 130_000);
    peer.session.refuse_content(Reply::new(452, Enhanced(4, 3, 1), "No room"));
    assert_eq!(peer.session.content_bytes(), 0);
    peer.expect("x\r\n".repeat(20_000), &[]);
    assert_eq!(peer.session.content_bytes(), 0);
    assert!(peer.session.input.held_bytes() <= 4096);
    peer.expect(".\r\n", &["452 4.3.1"]);
    // A chunk that is wanted, and one that is swallowed.
    let mut peer = Peer::in_transaction(config());
    peer.expect(format!("BDAT 100000\r\n{}", "x\r\n".repeat(20_000)), &[]);
    assert!(peer.session.input.held_bytes() <= 4096);
    let mut peer = Peer::identified(config());
    peer.expect(format!("BDAT 100000\r\n{}", "x\r\n".repeat(20_000)), &[]);
    assert!(peer.session.input.held_bytes() <= 4096);
    assert_eq!(peer.session.content_bytes(), 0);
}

#[test]
fn a_session_that_waits_for_a_command_keeps_no_buffer() {
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    peer.expect("x\r\n".repeat(50_000) + ".\r\n", &["250"]);
    assert_eq!(peer.session.content.capacity(), 0);
    assert_eq!(peer.session.input.held_bytes(), 0);
    assert!(peer.session.transaction.is_none());
    assert!(size_of::<Session>() <= 328, "{}", size_of::<Session>());
}
