//! Limits hold for the whole box, and it is never an open relay.

use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{DEADLINE, wait_for};

#[test]
fn it_is_never_an_open_relay() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        smtp: "errors_max = 1000\nunknown_recipients_max = 1000".to_owned(),
        domain: "aliases = [\"alias.test\"]".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert_eq!(client.command("MAIL FROM:<a@example.com> SMTPUTF8").unwrap().code, 250);
    for path in [
        "<victim@example.org>",
        "<victim%example.org@example.net>",
        "<@demo.test:victim@example.org>",
        "<\"victim@example.org\"@example.net>",
        "<victim@[192.0.2.1]>",
        "<victim@[IPv6:2001:db8::1]>",
        "<example.org!victim@example.net>",
        "<victim@example.org@demo.test.example.org>",
        "<victim>",
        "<victim@sub.demo.test>",
        "<victim@demo.test.>",
        "<victim@.demo.test>",
        "<victim@demo.test.example.org>",
        "<victim@xdemo.test>",
        "<victim@d\u{435}mo.test>",
        "<victim@demo\u{3002}test\u{3002}example.org>",
        "<victim@demo.test@example.org>",
        "<victim@example.org@demo.test>",
        "<@example.org:victim@example.org>",
        "<@demo.test,@example.net:victim@example.org>",
        "<example.org:victim@demo.test>",
        "<victim @demo.test>",
        "<victim@ demo.test>",
        "<victim@demo.test >",
        "<victim(@demo.test)@example.org>",
        "<victim@(demo.test)example.org>",
        "<\"victim\"@example.org\"@demo.test>",
        "<\"victim\" <victim@example.org>@demo.test>",
        "<victim@[127.0.0.1]>",
        "<victim@[IPv6:::1]>",
        "<victim@[IPv6:::ffff:127.0.0.1]>",
        "<victim@127.0.0.1>",
        "<victim@localhost>",
        "<victim@gateway.test>",
        "<victim%example.org@[127.0.0.1]>",
        "<victim%example.org@alias.test>",
        "<example.org!victim@demo.test>",
        "<example.org!victim@alias.test>",
        "<\"victim@example.org\"@alias.test>",
        "<\"victim\\@example.org\"@demo.test>",
        "<@alias.test:victim%example.org@demo.test>",
        "<victim@alias.test.example.org>",
    ] {
        let reply = client.command(&format!("RCPT TO:{path}")).unwrap();
        assert!((500..600).contains(&reply.code), "{path}: {}", reply.text());
    }
    // The same tricks inside our own domain go to our own domain's hop and nowhere else.
    for path in ["<victim%example.org@demo.test>", "<\"victim@example.org\"@demo.test>"] {
        let reply = client.command(&format!("RCPT TO:{path}")).unwrap();
        assert!(reply.code == 250 || reply.code >= 500, "{path}: {}", reply.text());
    }
    client.quit();
    assert!(hop.mails().is_empty());
}

/// RFC 5321 section 4.5.1: always, also where recipients are listed and nobody listed him.
#[test]
fn postmaster_is_taken_in_every_spelling_and_goes_to_the_domain_of_our_own_name() {
    let hop = Hop::start();
    let hosts_domain = "[[domain]]\nname = \"gateway.test\"\nprofile = \"securemail\"\n[[domain.route]]\n\
                        host = \"127.0.0.1\"\nport = 9\ntls = \"never\"\n[domain.settings]\n\
                        recipient.verify = \"off\"\n";
    let gateway = Gateway::start(&Setup {
        settings: "recipient.verify = \"list\"".to_owned(),
        domains: hosts_domain.to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert_eq!(client.command("MAIL FROM:<>").unwrap().code, 250);
    for path in ["<postmaster@demo.test>", "<POSTMASTER@Demo.Test>", "<\"Postmaster\"@demo.test>"] {
        assert_eq!(client.command(&format!("RCPT TO:{path}")).unwrap().code, 250, "{path}");
    }
    for path in ["<postmaster@other.test>", "<postmaster2@demo.test>", "<nobody@demo.test>"] {
        assert_eq!(client.command(&format!("RCPT TO:{path}")).unwrap().code, 550, "{path}");
    }
    // Our name is gateway.test, so <Postmaster> alone is its postmaster, whose hop is down here; after
    // demo.test was named it is demo.test's.
    assert_eq!(client.command("RCPT TO:<pOsTmAsTeR>").unwrap().code, 250);
    assert_eq!(client.command("DATA").unwrap().code, 354);
    assert_eq!(client.command("Subject: a\r\n\r\nb\r\n.").unwrap().code, 250);
    assert!(hop.mails()[0].envelope.rcpt_to.iter().all(|to| to.ends_with("@demo.test")));
    for line in ["MAIL FROM:<>", "RCPT TO:<Postmaster>"] {
        assert_eq!(client.command(line).unwrap().code, 250, "{line}");
    }
    assert_eq!(client.command("DATA").unwrap().code, 354);
    assert_eq!(client.command("Subject: a\r\n\r\nb\r\n.").unwrap().code, 250);
    let waiting = gateway.sekisho_json(&["queue", "list"]);
    assert!(format!("{waiting:?}").contains("gateway.test"), "{waiting:?}");
    assert_eq!(hop.mails().len(), 1);
}

/// A listener on [::] sees clients with IPv4 as ::ffff:127.0.0.1; they are those of 127.0.0.0/8.
#[test]
fn a_listener_for_both_families_knows_ipv4_clients_by_their_own_address() {
    let hop = Hop::start();
    let Ok(both) = std::net::TcpListener::bind("[::]:0").and_then(|socket| socket.local_addr())
    else {
        sekisho_tests::left_out("a listener on [::]", "this machine has no IPv6");
        return;
    };
    let gateway = Gateway::start(&Setup {
        listener: format!("[[listener]]\naddress = \"{both}\""),
        config: "[admission]\nexempt = [\"127.0.0.0/8\"]\n[admission.address]\n\
                 connections_max = 1\n[admission.network]\nconnections_max = 1\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    let by_v4 = std::net::SocketAddr::from(([127, 0, 0, 1], both.port()));
    let open: Vec<_> =
        (0..5).map(|_| Client::hello(by_v4, "v4.example.com", DEADLINE).unwrap()).collect();
    drop(open);
    let by_v6 = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, both.port()));
    let first = Client::hello(by_v6, "v6.example.com", DEADLINE).unwrap();
    assert!(Client::hello(by_v6, "v6.example.com", DEADLINE).is_err(), "not exempt");
    drop(first);
    assert_eq!(gateway.client().command("NOOP").unwrap().code, 250);
}

#[test]
fn connections_per_address_are_limited_for_the_box_whatever_the_number_of_shards() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        config: "[admission]\nexempt = []\n[admission.address]\nconnections_max = 4\n".to_owned(),
        shards: 2,
        ..Setup::to(hop.address())
    });
    let connect = || Client::hello(gateway.smtp(), "many.example.com", DEADLINE);
    let open: Vec<_> = (0..8).map(|_| connect()).collect();
    let admitted = open.iter().filter(|client| client.is_ok()).count();
    assert_eq!(admitted, 4);
    let refused = open.iter().find_map(|client| client.as_ref().err()).unwrap().to_string();
    assert!(refused.contains("421"), "{refused}");
    drop(open);
    wait_for("a place is free again", || connect().ok());
}

/// An open relay is looked for by trying; an operator who was asked why a partner's mail is refused found
/// nothing in the log. And whoever tries a thousand times does not fill it.
#[test]
fn relaying_that_is_denied_is_in_the_log_and_a_flood_of_it_is_not() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        shards: 1,
        smtp: "errors_max = 10000\nunknown_recipients_max = 10000".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert_eq!(client.command("MAIL FROM:<a@example.com>").unwrap().code, 250);
    for path in ["victim@example.org", "victim%example.org@demo.test"] {
        assert_eq!(client.command(&format!("RCPT TO:<{path}>")).unwrap().code, 550);
        let row = wait_for("its row", || {
            gateway.sekisho_json(&["log", "search", &format!("to={path}")]).pop()
        });
        assert_eq!((&row["status"], &row["from"]), (&"rejected".into(), &"a@example.com".into()));
        assert_eq!(row["source_address"], "127.0.0.1", "{row}");
        assert!(row["reply"].as_str().unwrap().ends_with("Relaying denied"), "{row}");
    }
    let rows = || gateway.sekisho_json(&["log", "search", "to~@flood.test", "--rows-max", "10000"]);
    // More than a minute may have, also if a new one begins under way.
    for _ in 0..30 {
        let group: String = (0..50).map(|n| format!("RCPT TO:<u{n}@flood.test>\r\n")).collect();
        client.raw(group.as_bytes()).unwrap();
        assert!((0..50).all(|_| client.reply().unwrap().code == 550));
    }
    let event = wait_for("the row that says that there are no more", || {
        gateway.sekisho_json(&["log", "search", "row=event", "condition=relaying denied"]).pop()
    });
    assert!(event["memo"].as_str().unwrap().contains("not logged"), "{event}");
    let count = rows().len();
    assert!((500..=1200).contains(&count), "{count} of 1500");
    assert_eq!(client.command("RCPT TO:<user@demo.test>").unwrap().code, 250);
}

#[test]
fn a_message_over_the_limit_is_refused_at_mail_by_its_declared_size_and_at_data_by_its_real_one() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        smtp: "message_bytes_max = 65536".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert!(client.capabilities.iter().any(|line| line.starts_with("SIZE 65536")));
    let reply = client.command("MAIL FROM:<a@example.com> SIZE=65537").unwrap();
    assert_eq!(reply.code, 552, "{}", reply.text());
    let line = "x".repeat(70) + "\r\n";
    let content = format!("Subject: large\r\n\r\n{}", line.repeat(1000));
    let to = format!("user@{DOMAIN}");
    let sent = gateway.send("a@example.com", &[&to], content.as_bytes());
    assert_eq!(sent.reply.code, 552, "{}", sent.reply.text());
    assert!(hop.mails().is_empty());
}

#[test]
fn a_mail_far_over_the_memory_bound_passes_byte_for_byte() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let line = "0123456789".repeat(7) + "\r\n";
    let content = format!("X-Envelope-Id: big\r\nSubject: large\r\n\r\n{}", line.repeat(60_000));
    let to = format!("user@{DOMAIN}");
    let sent = gateway.send("a@example.com", &[&to], content.as_bytes());
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let mails = hop.mails();
    assert_eq!(mails.len(), 1);
    assert!(crate::clean::below_added(&mails[0].content, content.as_bytes()).is_some());
}
