//! The examples of RFC 5321 (appendix D and sections 3 and 4) and of the extensions' RFCs, line by line.
//! The client's lines are as printed there; of the server's, code and enhanced status code count, since
//! the texts are free (section 4.2), and the greeting lines are ours.

use super::*;

/// Plays a dialogue: `C: ` lines are fed, `S: ` lines are the replies then expected.
#[track_caller]
fn play(mut peer: Peer, script: &str) -> Peer {
    let mut said = String::new();
    let mut expected = vec![];
    for line in script.lines().map(str::trim_start).chain(["C: "]) {
        if let Some(reply) = line.strip_prefix("S: ") {
            expected.push(reply);
        } else if let Some(command) = line.strip_prefix("C: ").or_else(|| line.strip_prefix("C:")) {
            if !expected.is_empty() {
                peer.expect(&said, &expected);
                said.clear();
                expected.clear();
            }
            said.push_str(command);
            said.push_str("\r\n");
        }
    }
    peer
}

fn with_tls() -> SessionConfig {
    let capabilities = Capabilities { starttls: true, ..Capabilities::default() };
    SessionConfig { capabilities, ..config() }
}

fn greeted() -> Peer {
    let mut peer = Peer::new(config());
    peer.expect("", &["220 foo.com ESMTP"]);
    peer
}

#[test]
fn rfc_5321_appendix_d_1_a_typical_transaction() {
    let peer = play(
        greeted(),
        "C: EHLO bar.com
         S: 250 LIMITS
         C: MAIL FROM:<Smith@bar.com>
         S: 250 2.1.0
         C: RCPT TO:<Jones@foo.com>
         S: 250 2.1.5
         C: RCPT TO:<Green@foo.com>
         S: 550 5.1.1
         C: RCPT TO:<Brown@foo.com>
         S: 250 2.1.5
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         C: Blah blah blah...
         C: ...etc. etc. etc.
         C: .
         S: 250 2.0.0
         C: QUIT
         S: 221 2.0.0",
    );
    assert_eq!(peer.closed, Some(CloseReason::Quit));
    // The second line begins with a dot that this client, as printed, did not stuff.
    assert_eq!(peer.only_content(), b"Blah blah blah...\r\n..etc. etc. etc.\r\n");
    let envelope = &peer.messages[0].0.envelope;
    assert_eq!(envelope.reverse_path, Some(Mailbox::new("Smith", "bar.com")));
    let names: Vec<_> = envelope.recipients.iter().map(|r| &*r.original.local_part).collect();
    assert_eq!(names, ["Jones", "Brown"]);
}

#[test]
fn rfc_5321_appendix_d_2_an_aborted_transaction() {
    let peer = play(
        greeted(),
        "C: EHLO bar.com
         S: 250 LIMITS
         C: MAIL FROM:<Smith@bar.com>
         S: 250
         C: RCPT TO:<Jones@foo.com>
         S: 250
         C: RCPT TO:<Green@foo.com>
         S: 550
         C: RSET
         S: 250
         C: QUIT
         S: 221",
    );
    assert!(peer.messages.is_empty());
}

#[test]
fn rfc_5321_appendix_d_3_both_steps_of_a_relayed_mail() {
    let peer = play(
        greeted(),
        "C: EHLO bar.com
         S: 250
         C: MAIL FROM:<JQP@bar.com>
         S: 250
         C: RCPT TO:<@foo.com:Jones@XYZ.COM>
         S: 250
         C: DATA
         S: 354
         C: Received: from bar.com by foo.com ; Thu, 21 May 1998
         C:     05:33:29 -0700
         C: Date: Thu, 21 May 1998 05:33:22 -0700
         C: From: John Q. Public <JQP@bar.com>
         C: Subject:  The Next Meeting of the Board
         C: To: Jones@xyz.com
         C:
         C: Bill:
         C: The next meeting of the board of directors will be
         C: on Tuesday.
         C:                         John.
         C: .
         S: 250
         C: QUIT
         S: 221",
    );
    // The source route is dropped: what counts is the domain at its end.
    let recipient = &peer.messages[0].0.envelope.recipients[0];
    assert_eq!(recipient.original, Mailbox::new("Jones", "xyz.com"));
}

#[test]
fn rfc_5321_appendix_d_4_verifying_and_sending() {
    let peer = play(
        greeted(),
        "C: EHLO bar.com
         S: 250
         C: VRFY Crispin
         S: 252 2.5.2
         C: MAIL FROM:<EAK@bar.com>
         S: 250
         C: RCPT TO:<Admin.MRC@foo.com>
         S: 250
         C: DATA
         S: 354
         C: Blah blah blah...
         C: ...etc. etc. etc.
         C: .
         S: 250
         C: QUIT
         S: 221",
    );
    assert_eq!(peer.messages.len(), 1);
}

#[test]
fn rfc_5321_section_3_examples_of_mail_and_verification() {
    // 3.3 mail transaction; 3.5.1 VRFY and EXPN; 3.7.1 and 4.1.1.3 source routes; 3.8 QUIT.
    play(
        greeted(),
        "C: HELO bar.com
         S: 250 foo.com
         C: VRFY Smith
         S: 252
         C: VRFY <Smith@foo.com>
         S: 252
         C: EXPN Example-People
         S: 502 5.5.1
         C: MAIL FROM:<userx@y.foo.org>
         S: 250
         C: RCPT TO:<@hosta.int,@jkl.org:userc@d.bar.org>
         S: 250
         C: RCPT TO:<userc@d.bar.org>
         S: 250
         C: RCPT TO:<Postmaster>
         S: 250
         C: RCPT TO:<postmaster@foo.com>
         S: 250
         C: NOOP
         S: 250
         C: HELP
         S: 214
         C: HELP MAIL
         S: 214
         C: NOOP ignored
         S: 250
         C: quit
         S: 221",
    );
}

#[test]
fn rfc_5321_section_4_2_1_and_4_3_2_a_null_reverse_path_is_accepted() {
    let peer = play(
        greeted(),
        "C: EHLO [192.0.2.1]
         S: 250
         C: MAIL FROM:<>
         S: 250
         C: RCPT TO:<@hosta.foo.org:userx@d.bar.org>
         S: 250
         C: DATA
         S: 354
         C: Subject: delivery failed
         C: .
         S: 250",
    );
    assert_eq!(peer.messages[0].0.envelope.reverse_path, None);
}

#[test]
fn rfc_2920_section_4_pipelined_groups_get_their_replies_in_one_flush() {
    let mut peer = Peer::identified(config());
    peer.expect(
        "MAIL FROM:<mrose@dbc.mtview.ca.us>\r\nRCPT TO:<ned@innosoft.com>\r\n\
         RCPT TO:<dan@innosoft.com>\r\nRCPT TO:<kvc@innosoft.com>\r\nDATA\r\n",
        &["250", "250", "250", "250", "354"],
    );
    peer.expect("Hello\r\n.\r\nQUIT\r\n", &["250", "221"]);
    assert_eq!(peer.messages[0].0.envelope.recipients.len(), 3);
}

#[test]
fn rfc_2920_section_4_all_recipients_of_a_pipelined_group_refused() {
    let mut peer = Peer::identified(config());
    peer.expect(
        "MAIL FROM:<mrose@dbc.mtview.ca.us>\r\nRCPT TO:<nobody@innosoft.com>\r\n\
         RCPT TO:<nobody@foo.com>\r\nDATA\r\nRSET\r\nMAIL FROM:<>\r\nDATA\r\n",
        &["250", "550 5.1.1", "550 5.1.1", "554 5.5.1", "250", "250", "503 5.5.1"],
    );
}

#[test]
fn pipelining_after_data_runs_when_the_message_is_answered() {
    let mut peer = Peer::in_transaction(config());
    peer.expect("DATA\r\n", &["354"]);
    peer.expect(
        "one SPAM\r\n.\r\nMAIL FROM:<a@bar.com>\r\nRCPT TO:<b@foo.com>\r\nDATA\r\n",
        &["550 5.7.1", "250", "250", "354"],
    );
    peer.expect("two\r\n.\r\nQUIT\r\n", &["250", "221"]);
    assert_eq!(peer.messages.len(), 2);
    assert_eq!(peer.messages[1].1, b"two\r\n");
}

#[test]
fn rfc_3030_section_4_1_simple_chunking() {
    let content = "x".repeat(20_000 - 2) + "\r\n";
    let mut peer = Peer::identified(config());
    peer.expect("MAIL FROM:<Sam@Random.com>\r\n", &["250"]);
    peer.expect("RCPT TO:<Susan@Random.com>\r\n", &["250"]);
    peer.expect(format!("BDAT 20000 LAST\r\n{content}"), &["250 2.0.0"]);
    peer.expect("QUIT\r\n", &["221"]);
    assert_eq!(peer.only_content(), content.as_bytes());
    assert!(peer.messages[0].0.chunked);
}

#[test]
fn rfc_3030_section_4_2_pipelined_chunks() {
    let mut peer = Peer::identified(config());
    peer.expect(
        "MAIL FROM:<ned@ymir.claremont.edu>\r\nRCPT TO:<gvaudre@cnri.reston.va.us>\r\n\
         RCPT TO:<jstewart@cnri.reston.va.us>\r\n",
        &["250", "250", "250"],
    );
    peer.expect(
        "BDAT 6\r\n.abc\r\nBDAT 5\r\n.\r\nx\nBDAT 0 LAST\r\n",
        &["250 2.0.0 6 octets", "250 2.0.0 5 octets", "250 2.0.0 Ok"],
    );
    // Dots mean nothing here, and the bare LF is made canonical.
    assert_eq!(peer.only_content(), b".abc\r\n.\r\nx\r\n");
}

#[test]
fn rfc_3030_section_4_2_binarymime_is_neither_offered_nor_taken() {
    let mut peer = Peer::new(config());
    peer.say("");
    assert!(!peer.say("EHLO bar.com\r\n").contains("BINARYMIME"));
    peer.expect("MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME\r\n", &["504 5.5.4"]);
    peer.expect("MAIL FROM:<ned@ymir.claremont.edu> BODY=8BITMIME\r\n", &["250"]);
}

#[test]
fn rfc_3461_section_10_1_the_parameters_of_dsn_reach_the_envelope() {
    let peer = play(
        greeted(),
        "C: EHLO Example.ORG
         S: 250
         C: MAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159
         S: 250
         C: RCPT TO:<Bob@Example.COM> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM
         S: 250
         C: RCPT TO:<Carol@Ivory.EDU> NOTIFY=FAILURE ORCPT=rfc822;Carol@Ivory.EDU
         S: 250
         C: RCPT TO:<Dana@Ivory.EDU> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Dana@Ivory.EDU
         S: 250
         C: RCPT TO:<George@Tax-ME.GOV> NOTIFY=NEVER ORCPT=rfc822;George@Tax-ME.GOV
         S: 250
         C: DATA
         S: 354
         C: (message goes here)
         C: .
         S: 250",
    );
    let envelope = &peer.messages[0].0.envelope;
    assert_eq!(envelope.ret, Some(crate::envelope::Ret::Headers));
    assert_eq!(envelope.envid.as_deref(), Some("QQ314159"));
    let notify: Vec<_> = envelope.recipients.iter().map(|r| r.notify).collect();
    assert!(notify[0].success && !notify[0].failure);
    assert!(notify[1].failure && notify[2].success && notify[2].failure && notify[3].never);
    assert_eq!(envelope.recipients[1].orcpt.as_deref(), Some("rfc822;Carol@Ivory.EDU"));
}

#[test]
fn rfc_3207_section_5_starttls_starts_anew_and_drops_plaintext() {
    let mut peer = Peer::new(with_tls());
    peer.expect("", &["220"]);
    assert!(peer.say("EHLO client.example.com\r\n").contains("250-STARTTLS\r\n"));
    peer.expect("MAIL FROM:<a@bar.com>\r\n", &["250"]);
    // CVE-2011-0411: what follows in the same packet must not be executed after the handshake.
    peer.expect("STARTTLS\r\nMAIL FROM:<evil@bar.com>\r\nRCPT TO:<b@foo.com>\r\n", &["220 2.0.0"]);
    assert_eq!(peer.handshakes, 1);
    assert!(peer.session.plaintext_dropped());
    peer.session.tls_done("TLSv1.3 TLS13_AES_256_GCM_SHA384");
    peer.expect("", &[]);
    peer.expect("MAIL FROM:<a@bar.com>\r\n", &["503 5.5.1"]);
    assert_eq!(&*peer.session.client().helo, "");
    assert!(!peer.say("EHLO client.example.com\r\n").contains("STARTTLS"));
    peer.expect("STARTTLS\r\n", &["503 5.5.1"]);
    peer.expect("MAIL FROM:<a@bar.com>\r\n", &["250"]);
    assert!(peer.session.client().tls.as_deref().unwrap().starts_with("TLSv1.3"));
}

#[test]
fn starttls_is_refused_where_it_is_not_offered_or_has_an_argument() {
    let mut peer = Peer::identified(config());
    peer.expect("STARTTLS\r\n", &["502 5.5.1"]);
    let mut peer = Peer::identified(with_tls());
    peer.expect("STARTTLS now\r\n", &["501 5.5.4"]);
    assert_eq!(peer.handshakes, 0);
}

#[test]
fn the_offer_names_everything_that_is_served_and_nothing_else() {
    let mut peer = Peer::new(with_tls());
    peer.say("");
    assert_eq!(
        peer.say("EHLO bar.com\r\n"),
        "250-foo.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-CHUNKING\r\n250-SMTPUTF8\r\n250-DSN\r\n250-STARTTLS\r\n250-SIZE 52428800\r\n\
         250 LIMITS RCPTMAX=100 MAILMAX=1000\r\n"
    );
    let capabilities =
        Capabilities { starttls: false, chunking: false, smtputf8: false, dsn: false };
    let mut peer = Peer::new(SessionConfig { capabilities, ..config() });
    peer.say("");
    assert_eq!(
        peer.say("EHLO bar.com\r\n"),
        "250-foo.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-SIZE 52428800\r\n250 LIMITS RCPTMAX=100 MAILMAX=1000\r\n"
    );
    peer.expect("MAIL FROM:<a@bar.com> SMTPUTF8\r\n", &["555 5.5.4"]);
    peer.expect("MAIL FROM:<a@bar.com> RET=FULL\r\n", &["555 5.5.4"]);
    peer.expect("MAIL FROM:<a@bar.com>\r\n", &["250"]);
    peer.expect("RCPT TO:<b@foo.com> NOTIFY=NEVER\r\n", &["555 5.5.4"]);
    peer.expect("BDAT 5\r\nQUIT\r\n", &["502 5.5.1"]);
    assert_eq!(peer.closed, Some(CloseReason::Protocol));
}

#[test]
fn xclient_names_the_client_and_greets_again_for_named_addresses_only() {
    let mut peer = Peer::identified(config());
    peer.expect("XCLIENT ADDR=198.51.100.7\r\n", &["500 5.5.2"]);
    let session = Session::new(Arc::new(config()), client(), Xclient::Offered);
    let mut peer = Peer::with(session);
    peer.expect("", &["220"]);
    assert!(peer.say("EHLO front\r\n").contains("250-XCLIENT NAME ADDR"));
    peer.expect("XCLIENT ADDR=nonsense\r\n", &["501 5.5.4"]);
    peer.expect(
        "XCLIENT NAME=mx.example ADDR=IPV6:2001:db8::7 PORT=99 HELO=real.example PROTO=SMTP\r\n",
        &["220 foo.com"],
    );
    let seen = peer.session.client();
    assert_eq!(seen.address, "[2001:db8::7]:99".parse::<SocketAddr>().unwrap());
    assert_eq!(seen.name.as_deref(), Some("mx.example"));
    peer.expect("EHLO front\r\n", &["250"]);
    let seen = peer.session.client();
    assert_eq!((&*seen.helo, seen.esmtp), ("real.example", false));
    peer.expect("MAIL FROM:<a@bar.com>\r\nXCLIENT ADDR=1.2.3.4\r\n", &["250", "503 5.5.1"]);
}
