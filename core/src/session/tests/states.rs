//! Which command is answered how in which state, and what every error says.

use super::*;

/// Puts a session into a state by what a client says.
const STATES: [(&str, &str); 6] = [
    ("greeted", ""),
    ("identified", "EHLO bar.com\r\n"),
    ("mail", "EHLO bar.com\r\nMAIL FROM:<a@bar.com>\r\n"),
    ("rcpt", "EHLO bar.com\r\nMAIL FROM:<a@bar.com>\r\nRCPT TO:<b@foo.com>\r\n"),
    ("chunks", "EHLO bar.com\r\nMAIL FROM:<>\r\nRCPT TO:<b@foo.com>\r\nBDAT 2\r\nab"),
    ("failed", "EHLO bar.com\r\nMAIL FROM:<>\r\nRCPT TO:<full@foo.com>\r\nBDAT 2\r\nab"),
];

#[test]
fn every_command_in_every_state_has_its_reply() {
    // RFC 5321 sections 4.1.4 and 4.3.2. Columns as in STATES.
    let table: [(&str, [&str; 6]); 27] = [
        ("HELO x", ["250", "250", "250", "250", "250", "250"]),
        ("EHLO x", ["250", "250", "250", "250", "250", "250"]),
        ("MAIL FROM:<x@y>", ["503", "250", "503", "503", "503", "503"]),
        ("MAIL FROM:<blocked@y>", ["503", "550 5.7.1", "503", "503", "503", "503"]),
        ("RCPT TO:<x@y>", ["503", "503", "250", "250", "503", "503"]),
        ("RCPT TO:<nobody@y>", ["503", "503", "550", "550", "503", "503"]),
        ("DATA", ["503", "503", "503", "354", "503", "503"]),
        ("DATA x", ["501", "501", "501", "501", "501", "501"]),
        ("BDAT 0", ["503", "503", "503", "250", "250", "503"]),
        ("BDAT 0 LAST", ["503", "503", "503", "250", "250", "503"]),
        ("BDAT x", ["501", "501", "501", "501", "501", "501"]),
        ("RSET", ["250", "250", "250", "250", "250", "250"]),
        ("RSET x", ["501", "501", "501", "501", "501", "501"]),
        ("NOOP", ["250", "250", "250", "250", "250", "250"]),
        ("NOOP x y", ["250", "250", "250", "250", "250", "250"]),
        ("QUIT", ["221", "221", "221", "221", "221", "221"]),
        ("QUIT x", ["501", "501", "501", "501", "501", "501"]),
        ("VRFY x", ["252", "252", "252", "252", "252", "252"]),
        ("VRFY", ["501", "501", "501", "501", "501", "501"]),
        ("EXPN x", ["502", "502", "502", "502", "502", "502"]),
        ("HELP", ["214", "214", "214", "214", "214", "214"]),
        ("AUTH PLAIN x", ["502", "502", "502", "502", "502", "502"]),
        ("TURN", ["502", "502", "502", "502", "502", "502"]),
        ("STARTTLS", ["502", "502", "502", "502", "502", "502"]),
        ("LHLO x", ["500", "500", "500", "500", "500", "500"]),
        ("", ["500", "500", "500", "500", "500", "500"]),
        ("\u{e9}", ["500", "500", "500", "500", "500", "500"]),
    ];
    for (command, expected) in table {
        for ((state, before), expected) in STATES.iter().zip(expected) {
            let mut peer = Peer::new(config());
            peer.say(before);
            let text = peer.say(format!("{command}\r\n"));
            assert!(text.starts_with(expected), "{command:?} in {state}: {text}");
        }
    }
}

#[test]
fn after_a_refused_greeting_only_quit_is_served() {
    // RFC 5321 section 3.1.
    let mut session = Session::new(Arc::new(config()), client(), Xclient::Refused);
    assert_eq!(session.advance(Now::default()), Step::AskClient);
    session.answer(Answer::Reply(Reply::plain(554, "No service")));
    let mut peer = Peer::with(session);
    peer.expect("", &["554 No service"]);
    for command in ["EHLO x", "MAIL FROM:<>", "RSET", "nonsense", "DATA", "NOOP"] {
        peer.expect(format!("{command}\r\n"), &["503 5.5.1"]);
    }
    peer.expect("BDAT 6\r\nQUIT\r\nQUIT\r\n", &["503 5.5.1", "221"]);
    assert_eq!(peer.closed, Some(CloseReason::Quit));
}

#[test]
fn a_client_may_be_closed_at_the_greeting() {
    let mut session = Session::new(Arc::new(config()), client(), Xclient::Refused);
    assert_eq!(session.advance(Now::default()), Step::AskClient);
    session.answer(Answer::Close(Reply::plain(421, "Too many connections")));
    assert_eq!(session.advance(Now::default()), Step::Close { reason: CloseReason::Refused });
    assert_eq!(session.output(), b"421 Too many connections\r\n");
}

#[test]
fn an_early_talker_gets_554_in_place_of_the_greeting() {
    let mut session = Session::new(Arc::new(config()), client(), Xclient::Refused);
    assert_eq!(session.advance(Now::default()), Step::AskClient);
    session.fill(b"EHLO spammer\r\n");
    session.early_talker();
    session.answer(Answer::Accept); // The pipeline's answer comes too late and changes nothing.
    assert_eq!(session.advance(Now::default()), Step::Close { reason: CloseReason::EarlyTalker });
    assert_eq!(session.output(), b"554 Talked before the greeting\r\n");
}

#[test]
fn a_refused_message_ends_its_transaction_but_not_the_session() {
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    peer.expect("SPAM\r\n.\r\n", &["550 5.7.1"]);
    peer.expect("RCPT TO:<b@foo.com>\r\n", &["503"]);
    peer.expect("MAIL FROM:<a@bar.com>\r\n", &["250"]);
}

#[test]
fn no_room_before_data_keeps_the_transaction_and_before_bdat_swallows_the_chunk() {
    // Architecture decision 2: no room on disk = 452 before DATA.
    let mut peer = Peer::identified(config());
    peer.expect("MAIL FROM:<>\r\nRCPT TO:<full@foo.com>\r\nDATA\r\n", &["250", "250", "452 4.3.1"]);
    peer.expect("RSET\r\nMAIL FROM:<>\r\nRCPT TO:<full@foo.com>\r\n", &["250", "250", "250"]);
    peer.expect("BDAT 6 LAST\r\nRSET\r\nNOOP\r\n", &["452 4.3.1", "250"]);
    assert!(peer.messages.is_empty());
}

#[test]
fn iij_10_the_pipelines_refusal_of_a_recipient_is_passed_on_word_for_word() {
    let mut peer = Peer::identified(config());
    peer.expect(
        "MAIL FROM:<a@bar.com>\r\nRCPT TO:<nobody@foo.com>\r\nRCPT TO:<busy@foo.com>\r\n",
        &["250", "550 5.1.1 No such user here", "450 4.2.1 Try later"],
    );
}

#[test]
fn http_requests_end_the_session() {
    let mut peer = Peer::new(config());
    peer.expect("", &["220"]);
    peer.expect(
        "POST / HTTP/1.1\r\nHost: foo.com\r\n\r\nEHLO x\r\nMAIL FROM:<>\r\n",
        &["421 4.7.0"],
    );
    assert_eq!(peer.closed, Some(CloseReason::Protocol));
}

#[test]
fn a_drain_says_421_between_transactions() {
    for before in ["", "EHLO x\r\n", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@foo.com>\r\n"] {
        let mut peer = Peer::new(config());
        peer.say(before);
        peer.session.shutdown();
        peer.expect("", &["421 4.3.2"]);
        assert_eq!(peer.closed, Some(CloseReason::Shutdown));
    }
    let mut peer = Peer::new(config());
    peer.session.shutdown();
    peer.expect("", &["421 4.3.2"]);
}

#[test]
fn a_drain_lets_content_under_way_finish() {
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\nhalf", &["354"]);
    peer.session.shutdown();
    peer.expect("", &[]);
    peer.expect("\r\n.\r\nMAIL FROM:<>\r\n", &["250 2.0.0", "421 4.3.2"]);
    assert_eq!(peer.only_content(), b"half\r\n");
    let mut peer = Peer::in_transaction(config());
    peer.expect("BDAT 2\r\nab", &["250"]);
    peer.session.shutdown();
    peer.expect("BDAT 2 LAST\r\ncd", &["250 2.0.0 Ok", "421 4.3.2"]);
    assert_eq!(peer.only_content(), b"abcd\r\n");
}

#[test]
fn a_peer_that_closes_is_obeyed_as_far_as_its_commands_are_complete() {
    let mut peer = Peer::in_transaction(config());
    peer.session.fill(b"NOOP\r\nQUI");
    peer.session.peer_closed();
    peer.expect("", &["250"]);
    assert_eq!(peer.closed, Some(CloseReason::PeerClosed));
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\nhalf a mail\r\n", &["354"]);
    peer.session.peer_closed();
    peer.expect("", &[]);
    assert_eq!(peer.closed, Some(CloseReason::PeerClosed));
    assert!(peer.messages.is_empty());
}

#[test]
fn abort_ends_the_session_even_while_a_question_is_open() {
    let mut session = Session::new(Arc::new(config()), client(), Xclient::Refused);
    assert_eq!(session.advance(Now::default()), Step::AskClient);
    session.abort(&Reply::new(421, Enhanced(4, 3, 0), "Internal error"));
    assert_eq!(session.advance(Now::default()), Step::Close { reason: CloseReason::Refused });
    assert_eq!(session.output(), b"421 4.3.0 Internal error\r\n");
}

#[test]
fn every_error_has_its_text_and_codes() {
    use SessionError as E;
    for (error, expected) in [
        (E::UnknownCommand, "500 5.5.2 command not recognized"),
        (E::NotImplemented, "502 5.5.1 command not implemented"),
        (E::CommandTooLong, "500 5.5.2 command line too long"),
        (E::ControlCharacter, "500 5.5.2 control character in command"),
        (E::BareLineFeed, "500 5.5.2 command line must end with CR LF"),
        (E::Argument, "501 5.5.4 syntax error in argument"),
        (E::HeloName, "501 5.5.4 a domain name or address literal is needed"),
        (E::ReversePath(PathError::Syntax), "501 5.1.7 syntax error in address"),
        (E::ReversePath(PathError::NoDomain), "501 5.1.7 address needs a domain"),
        (E::ForwardPath(PathError::LocalPartTooLong), "501 5.1.3 local-part too long"),
        (E::ForwardPath(PathError::DomainTooLong), "501 5.1.3 domain too long"),
        (E::ForwardPath(PathError::PathTooLong), "501 5.1.3 path too long"),
        (
            E::ForwardPath(PathError::Idna),
            "501 5.1.3 domain is not a valid internationalized domain name",
        ),
        (E::Utf8Undeclared, "553 5.6.7 internationalized address needs SMTPUTF8"),
        (E::ParameterSyntax, "501 5.5.4 syntax error in parameter"),
        (E::ParameterUnknown, "555 5.5.4 parameter not recognized"),
        (E::ParameterValue, "504 5.5.4 parameter value not implemented"),
        (E::MessageTooBig, "552 5.3.4 message too big"),
        (E::NoHelo, "503 5.5.1 send HELO or EHLO first"),
        (E::NestedMail, "503 5.5.1 transaction already open"),
        (E::NoMail, "503 5.5.1 send MAIL first"),
        (E::NoRecipient, "503 5.5.1 send RCPT first"),
        (E::NoValidRecipient, "554 5.5.1 no valid recipients"),
        (E::TooManyRecipients, "452 4.5.3 too many recipients"),
        (E::AfterBdat, "503 5.5.1 not after BDAT"),
        (E::TransactionFailed, "503 5.5.1 transaction failed, send RSET"),
        (E::ChunkSize, "501 5.5.4 syntax error in chunk size"),
        (E::TlsActive, "503 5.5.1 session is encrypted already"),
        (E::InTransaction, "503 5.5.1 not inside a transaction"),
        (E::BareLineEnd, "550 5.5.2 bare CR or LF in message"),
        (E::ContentLineTooLong, "554 5.6.0 line too long in message"),
        (E::SessionRefused, "503 5.5.1 no service for you here, send QUIT"),
    ] {
        assert_eq!(error.reply().to_string(), expected);
        assert_eq!(error.permanent(), error != E::TooManyRecipients);
        let fault = if error.permanent() { Fault::Client } else { Fault::Ourselves };
        assert_eq!(error.fault(), fault);
    }
}
