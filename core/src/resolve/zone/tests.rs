use hickory_proto::rr::DNSClass;

use super::*;
use crate::clock::MonoMillis;
use crate::resolve::{DnsClient, DnsSettings};

const TEXT: &str = "\
$ORIGIN example.test.
$TTL 300
@ IN SOA ns admin 1 3600 600 86400 120
@ IN MX 10 mail
mail IN A 192.0.2.1
www IN CNAME mail
far IN CNAME elsewhere.invalid.
a.b.c IN TXT \"one \" \"text\"
*.wild IN A 192.0.2.9
*.wild IN TXT \"any\"
$ORIGIN .
single.other IN A 192.0.2.7
";

fn zone() -> Zone {
    Zone::parse(TEXT, None).expect("a zone")
}

fn ask(zone: &Zone, name: &str, kind: RecordType) -> Option<Message> {
    let mut query = Message::query();
    let mut question = Query::query(Name::from_ascii(name).expect("a name"), kind);
    question.query_class = DNSClass::IN;
    query.add_query(question);
    zone.answer(&query)
}

fn told(name: &str, kind: RecordType) -> String {
    match ask(&zone(), name, kind) {
        None => "not ours".to_owned(),
        Some(message) => {
            let data: Vec<String> =
                message.answers.iter().map(|one| format!("{} {}", one.name, one.data)).collect();
            format!("{:?} {}", message.metadata.response_code, data.join(", "))
                .trim_end()
                .to_owned()
        }
    }
}

#[test]
fn names_types_aliases_and_wildcards_are_answered_as_a_server_does() {
    use RecordType as T;
    for (name, kind, expected) in [
        ("mail.example.test.", T::A, "NoError mail.example.test. 192.0.2.1"),
        ("MAIL.Example.Test.", T::A, "NoError mail.example.test. 192.0.2.1"),
        ("mail.example.test.", T::AAAA, "NoError"),
        (
            "www.example.test.",
            T::A,
            "NoError www.example.test. mail.example.test., mail.example.test. 192.0.2.1",
        ),
        ("far.example.test.", T::A, "NoError far.example.test. elsewhere.invalid."),
        ("nobody.example.test.", T::A, "NXDomain"),
        ("b.c.example.test.", T::A, "NoError"),
        ("x.wild.example.test.", T::A, "NoError x.wild.example.test. 192.0.2.9"),
        ("x.y.wild.example.test.", T::TXT, "NoError x.y.wild.example.test. any"),
        ("wild.example.test.", T::A, "NoError"),
        ("single.other.", T::A, "NoError single.other. 192.0.2.7"),
        ("double.other.", T::A, "not ours"),
        ("elsewhere.", T::A, "not ours"),
    ] {
        assert_eq!(told(name, kind), expected, "{name} {kind}");
    }
    let no = ask(&zone(), "nobody.example.test.", T::A).expect("an answer");
    assert_eq!(no.authorities.len(), 1, "a no carries the SOA that says for how long");
}

#[test]
fn what_is_no_zone_file_is_refused() {
    for text in ["a b c d", "@ IN A 192.0.2.300", "example.test. 300 IN MX ten mail", "(\n"] {
        assert!(Zone::parse(text, None).is_err(), "{text}");
    }
    assert!(Zone::parse("", None).is_ok());
}

fn client(server: &ZoneServer) -> DnsClient {
    let settings = DnsSettings {
        servers: vec![server.address()],
        timeout: std::time::Duration::from_secs(2),
        attempts: 1,
    };
    DnsClient::new(settings, || MonoMillis(0))
}

#[test]
fn it_is_served_by_udp_and_tcp_and_asks_others_for_what_it_does_not_have() {
    let loopback = ([127, 0, 0, 1], 0).into();
    let long: String = (0..200).map(|n| format!("many.test. 300 IN A 192.0.2.{}\n", n)).collect();
    let behind = Zone::parse(&format!("behind.test. 300 IN A 192.0.2.50\n{long}"), None).unwrap();
    let behind = ZoneServer::start(behind, loopback, Beyond::Nothing).unwrap();
    let front = ZoneServer::start(zone(), loopback, Beyond::Ask(client(&behind))).unwrap();
    let dns = client(&front);
    let addresses = |host: &str| dns.host_addresses(host).map(|(found, _)| found.len());
    assert_eq!(addresses("mail.example.test"), Ok(1));
    assert_eq!(addresses("behind.test"), Ok(1), "asked of the other server");
    assert_eq!(addresses("many.test"), Ok(16), "too long for UDP, both ways");
    assert!(addresses("nobody.test").is_err());
    let new = Zone::parse("mail.example.test. 300 IN A 192.0.2.3\n", None).unwrap();
    front.replace(new);
    assert_eq!(
        dns.host_addresses("mail.example.test").unwrap().0,
        [std::net::IpAddr::from([192, 0, 2, 3])]
    );
}
