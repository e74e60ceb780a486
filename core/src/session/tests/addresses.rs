//! The address grammar, and that it never makes us an open relay.

use smtp_proto::Request;

use super::*;
use crate::session::grammar::{self, Path};

fn mailbox(text: &str) -> Result<(String, String), PathError> {
    grammar::any_mailbox(text).map(|found| (found.local_part.into(), found.domain.into()))
}

#[test]
fn mailboxes_are_read_as_rfc_5321_section_4_1_2_says() {
    for (text, local_part, domain) in [
        ("a@b", "a", "b"),
        ("Smith@BAR.com", "Smith", "bar.com"),
        ("a.b@x-y.example", "a.b", "x-y.example"),
        ("!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x"),
        ("\"a b\"@x", "a b", "x"),
        ("\"a\\\"b\\\\\"@x", "a\"b\\", "x"),
        ("\"\"@x", "", "x"),
        ("\"<a>\"@x", "<a>", "x"),
        ("a@[127.0.0.1]", "a", "[127.0.0.1]"),
        ("a@[IPv6:::1]", "a", "[IPv6:::1]"),
        ("a@[ipv6:2001:DB8:0:0::1]", "a", "[IPv6:2001:db8::1]"),
        // Forgiven: dots of Japanese carriers, underscores in domains (decision 0042).
        ("a..b@docomo.ne.jp", "a..b", "docomo.ne.jp"),
        ("a.@docomo.ne.jp", "a.", "docomo.ne.jp"),
        (".a@x", ".a", "x"),
        ("a@my_host.example", "a", "my_host.example"),
        // RFC 6531: U-labels become A-labels.
        ("a@\u{4f8b}\u{3048}.jp", "a", "xn--r8jz45g.jp"),
        ("a@B\u{dc}CHER.example", "a", "xn--bcher-kva.example"),
        ("a@\u{ff45}xample\u{3002}com", "a", "example.com"),
        ("a@XN--R8JZ45G.jp", "a", "xn--r8jz45g.jp"),
        ("\u{53d7}\u{4fe1}\u{8005}@x", "\u{53d7}\u{4fe1}\u{8005}", "x"),
        ("\"\u{e9} x\"@x", "\u{e9} x", "x"),
    ] {
        assert_eq!(mailbox(text), Ok((local_part.into(), domain.into())), "{text}");
    }
}

#[test]
fn what_is_no_mailbox_is_refused() {
    use PathError as E;
    let long = "x".repeat(64);
    for (text, expected) in [
        ("", E::Syntax),
        ("a", E::NoDomain),
        ("@b", E::Syntax),
        ("a@", E::Syntax),
        ("a@b@c", E::Syntax),
        ("a b@c", E::Syntax),
        ("a@b c", E::Syntax),
        ("a,b@c", E::Syntax),
        ("a:b@c", E::Syntax),
        ("a(b)@c", E::Syntax),
        ("a@b.", E::Syntax),
        ("a@.b", E::Syntax),
        ("a@b..c", E::Syntax),
        ("a@-b", E::Syntax),
        ("a@b-.c", E::Syntax),
        ("a@b!c", E::Syntax),
        ("a@b%c", E::Syntax),
        ("\"a@b", E::Syntax),
        ("\"a\"b@c", E::Syntax),
        ("\"a\\\"@b", E::Syntax),
        ("\"a\u{7f}\"@b", E::Syntax),
        ("\"a\\\n\"@b", E::Syntax),
        ("a@[127.0.0.1", E::Syntax),
        ("a@127.0.0.1]", E::Syntax),
        ("a@[127.0.0]", E::Syntax),
        ("a@[::1]", E::Syntax),
        ("a@[IPv6:127.0.0.1]", E::Syntax),
        ("a@[IPv6:]", E::Syntax),
        ("a@[x:y]", E::Syntax),
        ("a@[]", E::Syntax),
        ("a@[127.0.0.1]b", E::Syntax),
        ("a\u{85}@b", E::Syntax),
        ("a\u{3000}@b", E::Syntax),
        ("a@\u{200d}b", E::Idna),
        ("a@b\u{ff0f}c", E::Idna),
        (&format!("a@{long}.x"), E::DomainTooLong),
        (&format!("a@{}x", "x.".repeat(128)), E::DomainTooLong),
        (&format!("{}@b", "x".repeat(255)), E::LocalPartTooLong),
    ] {
        let found = mailbox(text);
        // What UTS 46 maps to something that is no domain is refused either way.
        let same = found == Err(expected) || (expected == E::Idna && found == Err(E::Syntax));
        assert!(same, "{text}: {found:?}");
    }
    assert_eq!(grammar::mailbox(&format!("{}@b", "x".repeat(65)), 64), Err(E::LocalPartTooLong));
}

#[test]
fn paths_are_read_with_their_brackets_and_without_their_route() {
    for (text, expected) in [
        ("<>", Ok("null")),
        ("  <a@b> X=1", Ok("a@b")),
        ("<Postmaster>", Ok("postmaster")),
        ("<POSTMASTER>", Ok("postmaster")),
        ("<@x:a@b>", Ok("a@b")),
        ("<@x,@y.z:a@b>", Ok("a@b")),
        ("<@[IPv6:::1],@[1.2.3.4]:a@b>", Ok("a@b")),
        ("<\"a>b\"@c>", Ok("\"a>b\"@c")),
        ("<\"a\\\">b\"@c>", Ok("\"a\\\">b\"@c")),
        ("a@b", Err(PathError::Syntax)),
        ("<a@b", Err(PathError::Syntax)),
        ("<<a@b>>", Err(PathError::Syntax)),
        ("< a@b>", Err(PathError::Syntax)),
        ("<a@b >", Err(PathError::Syntax)),
        ("<@x>", Err(PathError::Syntax)),
        ("<@x:>", Err(PathError::Syntax)),
        ("<@x,a@b>", Err(PathError::Syntax)),
        ("<@x,y:a@b>", Err(PathError::Syntax)),
        ("<@:a@b>", Err(PathError::Syntax)),
        ("<@[IPv6:::1:a@b>", Err(PathError::Syntax)),
        ("<a>", Err(PathError::NoDomain)),
        (&format!("<{}@b>", "x".repeat(1024)), Err(PathError::PathTooLong)),
    ] {
        let found = grammar::path(text, 254).map(|parsed| match parsed.path {
            Path::Null => "null".into(),
            Path::Postmaster => "postmaster".into(),
            Path::Mailbox(mailbox) => mailbox.to_path(),
        });
        assert_eq!(found, expected.map(String::from), "{text}");
    }
}

#[test]
fn no_address_form_makes_us_relay_for_a_domain_that_is_not_ours() {
    // What the pipeline is asked about: the domain after the last unquoted @, and it alone decides.
    // Address, local-part, domain, whether another server might route it on by the local-part.
    for (text, local_part, domain, routed) in [
        ("<user%other.example@us.example>", "user%other.example", "us.example", true),
        ("<other.example!user@us.example>", "other.example!user", "us.example", true),
        ("<\"user@other.example\"@us.example>", "user@other.example", "us.example", true),
        ("<\"user\\@other.example\"@us.example>", "user@other.example", "us.example", true),
        ("<@us.example,@b:user@other.example>", "user", "other.example", false),
        ("<@us.example:user%us.example@other.example>", "user%us.example", "other.example", true),
        ("<user@[127.0.0.1]>", "user", "[127.0.0.1]", false),
        ("<user@[IPv6:::1]>", "user", "[IPv6:::1]", false),
        ("<user@[IPv6:::ffff:127.0.0.1]>", "user", "[IPv6:::ffff:127.0.0.1]", false),
        ("<user@127.0.0.1>", "user", "127.0.0.1", false),
        ("<user@us.example.other.example>", "user", "us.example.other.example", false),
        ("<user@US.example>", "user", "us.example", false),
    ] {
        let mut peer = Peer::identified(config());
        peer.expect("MAIL FROM:<a@bar.com>\r\n", &["250"]);
        peer.session.fill(format!("RCPT TO:{text}\r\n").as_bytes());
        let Step::AskRcpt(rcpt) = peer.session.advance(peer.now) else { panic!("{text}") };
        let expected = Mailbox::new(local_part, domain);
        assert_eq!(rcpt.path, ForwardPath::Mailbox(expected), "{text}");
        assert_eq!(grammar::is_source_routed(local_part), routed, "{text}");
    }
    // And these are no addresses at all.
    let mut peer = Peer::identified(config());
    peer.expect("MAIL FROM:<a@bar.com>\r\n", &["250"]);
    for text in ["user@other@us.example", "@us.example", ""] {
        peer.expect(format!("RCPT TO:<{text}>\r\n"), &["501 5.1.3"]);
    }
    peer.expect("RCPT TO:<user@other.example>@us.example>\r\n", &["501 5.5.4"]);
}

#[test]
fn malformed_mail_and_rcpt_arguments_have_their_replies() {
    let mut peer = Peer::identified(SessionConfig { errors_max: 1000, ..config() });
    for (argument, expected) in [
        ("", "501 5.5.4"),
        ("FROM", "501 5.5.4"),
        ("TO:<a@b>", "501 5.5.4"),
        ("FROM:", "501 5.1.7"),
        ("FROM:a@b", "501 5.1.7"),
        ("FROM:<a>", "501 5.1.7"),
        ("FROM:<postmaster>", "501 5.1.7"),
        ("FROM:<a@b>SIZE=1", "501 5.5.4"),
        ("FROM:<a@b> =1", "501 5.5.4"),
        ("FROM:<a@b> SIZE", "501 5.5.4"),
        ("FROM:<a@b> SIZE=", "501 5.5.4"),
        ("FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4"),
        ("FROM:<a@b> SIZE=1=2", "501 5.5.4"),
        ("FROM:<a@b> BODY=9BIT", "501 5.5.4"),
        ("FROM:<a@b> BODY", "501 5.5.4"),
        ("FROM:<a@b> BODY=BINARYMIME", "504 5.5.4"),
        ("FROM:<a@b> RET=ALL", "501 5.5.4"),
        ("FROM:<a@b> ENVID=a+2", "501 5.5.4"),
        (&format!("FROM:<a@b> ENVID={}", "x".repeat(101)), "501 5.5.4"),
        ("FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
        ("FROM:<a@b> AUTH", "501 5.5.4"),
        ("FROM:<a@b> AUTH=a+zz", "501 5.5.4"),
        ("FROM:<a@b> MT-PRIORITY=3", "555 5.5.4"),
        ("FROM:<a@b> REQUIRETLS", "555 5.5.4"),
        ("FROM:<a@b> NOTIFY=NEVER", "555 5.5.4"),
        ("FROM:<\u{e9}@b>", "553 5.6.7"),
        ("FROM:<a@\u{e9}.b>", "553 5.6.7"),
        ("FROM:<\u{e9}@b> SMTPUTF8", "250"),
        ("FROM:<a@b> AUTH=<> SIZE=10 BODY=8bitmime", "250"),
        ("FROM:<a@b> AUTH=e+3Dmc2@example.com", "250"),
        ("FROM:<@x,@y:a@b> RET=FULL ENVID=QQ+2B1 SMTPUTF8 BODY=7BIT SIZE=5", "250"),
    ] {
        peer.expect(format!("MAIL {argument}\r\n"), &[expected]);
        peer.expect("RSET\r\n", &["250"]);
    }
    peer.expect("MAIL FROM:<>\r\n", &["250"]);
    for (argument, expected) in [
        ("", "501 5.5.4"),
        ("TO:", "501 5.1.3"),
        ("TO:<>", "501 5.1.3"),
        ("TO:<a>", "501 5.1.3"),
        ("TO:<a@b> NOTIFY", "501 5.5.4"),
        ("TO:<a@b> NOTIFY=", "501 5.5.4"),
        ("TO:<a@b> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
        ("TO:<a@b> NOTIFY=SOON", "501 5.5.4"),
        ("TO:<a@b> ORCPT=a@b", "501 5.5.4"),
        ("TO:<a@b> ORCPT=;a@b", "501 5.5.4"),
        ("TO:<a@b> ORCPT=rfc822;a+2g", "501 5.5.4"),
        ("TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", "501 5.5.4"),
        ("TO:<a@b> SIZE=5", "555 5.5.4"),
        ("TO:<\u{e9}@b>", "553 5.6.7"),
        (&format!("TO:<a@b> ORCPT=rfc822;{}", "x".repeat(494)), "501 5.5.4"),
        (&format!("TO:<a@b> ORCPT=rfc822;{}", "x".repeat(493)), "250"),
        ("TO:<a@b> NOTIFY=SUCCESS,delay,Failure ORCPT=rfc822;a+2Bb@c", "250"),
    ] {
        peer.expect(format!("RCPT {argument}\r\n"), &[expected]);
    }
    peer.expect("RSET\r\nMAIL FROM:<> SMTPUTF8\r\n", &["250", "250"]);
    peer.expect("RCPT TO:<\u{e9}@b> ORCPT=utf-8;\u{e9}@b\r\n", &["250"]);
}

#[test]
fn helo_names_are_words_that_may_stand_in_a_trace_field() {
    let mut peer = Peer::new(SessionConfig { errors_max: 1000, ..config() });
    peer.say("");
    for (name, fine) in [
        ("bar.com", true),
        ("[192.0.2.1]", true),
        ("[IPv6:2001:db8::1]", true),
        ("MY_PC", true),
        ("localhost.", true),
        ("192.0.2.1", true),
        ("2001:db8::1", true),
        ("", false),
        ("a b", false),
        ("<a>", false),
        ("a(b)", false),
        ("\"a\"", false),
        ("a;b", false),
        ("b\u{fc}cher", false),
        (&"x".repeat(256), false),
    ] {
        for verb in ["EHLO", "HELO"] {
            peer.session.idle_commands = 0;
            peer.expect(format!("{verb} {name}\r\n"), &[if fine { "250" } else { "501 5.5.4" }]);
            let client = peer.session.client();
            assert!(!fine || (*client.helo == *name && client.esmtp == (verb == "EHLO")));
        }
    }
}

#[test]
fn xtext_is_decoded_and_judged() {
    for (text, well_formed, decoded) in [
        ("abc", true, Some("abc")),
        ("a+2Bb+3D", true, Some("a+b=")),
        ("a+2bb", false, Some("a+b")),
        ("a=b", false, Some("a=b")),
        ("a+", false, None),
        ("a+2", false, None),
        ("a+GG", false, None),
        ("+FF", true, None),
        ("a b", false, Some("a b")),
        ("", true, Some("")),
    ] {
        assert_eq!(grammar::is_xtext(text), well_formed, "{text}");
        assert_eq!(grammar::decode_xtext(text).as_deref(), decoded, "{text}");
    }
}

#[test]
fn smtp_proto_reads_the_same_addresses_and_parameters() {
    // An oracle that others wrote: Stalwart's parser. It keeps case and source routes differently, so
    // the forms on which both must agree are compared.
    for line in [
        "MAIL FROM:<>\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        "MAIL FROM:<a.b+c@b.example> SIZE=1000 BODY=8BITMIME\r\n",
        "MAIL FROM:<a@b.example> RET=HDRS ENVID=abc SMTPUTF8\r\n",
        "RCPT TO:<a@b.example>\r\n",
        "RCPT TO:<a%c@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b.example\r\n",
        "RCPT TO:<a!c@b.example> NOTIFY=NEVER\r\n",
    ] {
        let argument = line.split_once(' ').unwrap().1.trim_end();
        match Request::parse(&mut line.as_bytes().iter()).unwrap() {
            Request::Mail { from } => {
                let ours = mail::parse(argument, &config()).unwrap();
                let path = ours.reverse_path.map(|m| m.to_path()).unwrap_or_default();
                assert_eq!(path, from.address, "{line}");
                assert_eq!(ours.size.unwrap_or(0), from.size as u64);
                assert_eq!(ours.envid.as_deref(), from.env_id.as_deref());
            }
            Request::Rcpt { to } => {
                let ours = rcpt::parse(argument, &config(), false).unwrap();
                let ForwardPath::Mailbox(mailbox) = ours.path else { panic!("{line}") };
                assert_eq!(mailbox.to_path(), to.address, "{line}");
                let orcpt = ours.orcpt.as_deref().and_then(|text| text.split_once(';'));
                assert_eq!(orcpt.map(|(_, address)| address), to.orcpt.as_deref());
            }
            other => panic!("{other:?}"),
        }
    }
}
