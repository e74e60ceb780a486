//! The engine's DNS client against a server that answers, lies, drips and fails.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use sekisho_core::clock::{MonoMillis, Now};
use sekisho_core::resolve::{
    DnsClient, DnsSettings, Lookup, MailHosts, ResolveError, Resolver, ResolverThreads,
};
use sekisho_tests::dns::{DnsServer, Trick};

const ZONE: &str = "\
    plain.test. 300 MX 20 mx2.plain.test.
    plain.test. 300 MX 10 MX1.plain.test.
    mx1.plain.test. 300 A 192.0.2.1
    mx1.plain.test. 300 A 192.0.2.2
    mx1.plain.test. 300 AAAA 2001:db8::1
    own.test. 300 A 192.0.2.9
    null.test. 300 MX 0 .
    both.test. 300 MX 0 .
    both.test. 300 MX 10 mx1.plain.test.
    alias.test. 300 CNAME plain.test.
    ring1.test. 300 CNAME ring2.test.
    ring2.test. 300 CNAME ring1.test.
    zero.test. 0 MX 10 mx1.plain.test.
    bad.test. 300 MX 10 *.test.
    xn--wgv71a.test. 300 MX 10 mx1.plain.test.
    ";

fn threads(dns: DnsSettings) -> ResolverThreads {
    let lookup: Lookup = Arc::new(|_| Ok(Vec::new()));
    Resolver::start(2, &lookup, &DnsClient::new(dns, || Now::read().mono)).unwrap()
}

fn resolver(servers: &[&DnsServer]) -> Resolver {
    let servers = servers.iter().map(|server| server.address()).collect();
    let timeout = Duration::from_millis(300);
    threads(DnsSettings { servers, timeout, attempts: 2 }).for_shard()
}

fn mail_hosts(resolver: &Resolver, domain: &str) -> Result<Vec<String>, String> {
    match block_on(resolver.mail_hosts(domain, || MonoMillis(0))) {
        Ok(MailHosts::Hosts(hosts)) => {
            Ok(hosts.iter().map(|one| format!("{} {}", one.preference, one.host)).collect())
        }
        Ok(MailHosts::TakesNoMail) => Err("takes no mail".to_owned()),
        Ok(MailHosts::NoSuchDomain) => Err("no such domain".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn mail_hosts_are_found_as_rfc_5321_and_rfc_7505_say() {
    let server = DnsServer::start(ZONE);
    let resolver = resolver(&[&server]);
    let both = ["10 mx1.plain.test", "20 mx2.plain.test"].as_slice();
    for (domain, expected) in [
        ("plain.test", Ok(both)),
        ("PLAIN.test", Ok(both)),
        ("alias.test", Ok(both)),
        ("日本.test", Ok(&["10 mx1.plain.test"])),
        ("own.test", Ok(&["0 own.test"])),
        ("[192.0.2.7]", Ok(&["0 [192.0.2.7]"])),
        ("both.test", Ok(&["10 mx1.plain.test"])),
        ("null.test", Err("takes no mail")),
        ("nowhere.test", Err("no such domain")),
        ("not a name", Err("no such domain")),
        ("ring1.test", Err("host look-up failed")),
        ("bad.test", Err("host has no address")),
    ] {
        let found = mail_hosts(&resolver, domain);
        let found = found.as_deref().map_err(String::as_str);
        let expected = expected.map(|hosts| hosts.iter().map(ToString::to_string).collect());
        let expected: Result<Vec<String>, &str> = expected;
        assert_eq!(found, expected.as_deref().map_err(|error| *error), "{domain}");
    }
}

#[test]
fn addresses_of_a_mail_host_come_by_dns_alone_ipv4_first() {
    let server = DnsServer::start(ZONE);
    let resolver = resolver(&[&server]);
    let ask = |host: &str| block_on(resolver.mail_host_addresses(host, || MonoMillis(0)));
    let expected: Vec<IpAddr> =
        ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|a| a.parse().unwrap()).into();
    assert_eq!(ask("mx1.plain.test"), Ok(expected));
    assert_eq!(ask("[192.0.2.7]"), Ok(vec!["192.0.2.7".parse().unwrap()]));
    // The hosts file of every machine has it, and no MX may mean it.
    assert_eq!(ask("localhost"), Err(ResolveError::NoAddress));
    assert_eq!(ask("127.0.0.1"), Err(ResolveError::NoAddress), "no address in disguise");
}

#[test]
fn answers_are_kept_as_long_as_they_say() {
    let server = DnsServer::start(ZONE);
    let resolver = resolver(&[&server]);
    let ask = |name: &str, at| block_on(resolver.mail_hosts(name, || MonoMillis(at)));
    for (name, times, expected) in [
        ("plain.test", [0, 299_999, 300_000], 2),
        ("zero.test", [0, 1, 2], 3),
        // The SOA's minimum is 120 s.
        ("nowhere.test", [0, 119_999, 120_000], 2),
    ] {
        for at in times {
            ask(name, at).unwrap();
        }
        assert_eq!(server.asked(name, RecordType::MX), expected, "{name}");
    }
}

#[test]
fn liars_failures_and_servers_of_old_do_not_stop_an_answer() {
    let server = DnsServer::start(ZONE);
    let resolver = resolver(&[&server]);
    for (name, trick) in
        [("liars", Trick::Liars), ("truncated", Trick::Truncated), ("edns", Trick::NoEdns)]
    {
        server.serve(&format!("{name}.test. 300 MX 10 mx.{name}.test."));
        server.trick(&format!("{name}.test"), trick);
        let found = mail_hosts(&resolver, &format!("{name}.test"));
        assert_eq!(found, Ok(vec![format!("10 mx.{name}.test")]));
    }
}

#[test]
fn an_answer_that_cannot_be_used_is_temporary_and_comes_in_time() {
    let server = DnsServer::start(ZONE);
    let resolver = resolver(&[&server]);
    // A header that promises one question, whose name points at itself.
    let looped = [&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0xc0, 12, 0, 15, 0, 1]].concat();
    let promises = vec![0x81, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let huge = [&promises[..], &vec![b'x'; 60_000]].concat();
    for (name, trick) in [
        ("servfail", Trick::Code(ResponseCode::ServFail)),
        ("refused", Trick::Code(ResponseCode::Refused)),
        ("formerr", Trick::Code(ResponseCode::FormErr)),
        ("silent", Trick::Silent),
        ("closed", Trick::TruncatedAndClosed),
        ("looped", Trick::Octets(looped)),
        ("promises", Trick::Octets(promises)),
        ("huge", Trick::Octets(huge)),
        ("referral", Trick::Referral),
        ("drip", Trick::Drip(60_000, Duration::from_millis(20))),
    ] {
        server.serve(&format!("{name}.test. 300 TXT x"));
        server.trick(&format!("{name}.test"), trick);
        let began = Instant::now();
        let found = mail_hosts(&resolver, &format!("{name}.test"));
        let error = found.expect_err(name);
        assert!(error.contains("failed") || error.contains("too long"), "{name}: {error}");
        assert!(began.elapsed() < Duration::from_secs(5), "{name}: {:?}", began.elapsed());
    }
}

#[test]
fn the_second_server_is_asked_where_the_first_one_fails() {
    let (dead, alive) = (DnsServer::start(ZONE), DnsServer::start(ZONE));
    let asked = resolver(&[&dead, &alive]);
    for trick in [Trick::Silent, Trick::Code(ResponseCode::ServFail)] {
        dead.trick("plain.test", trick);
        // A fresh cache each.
        let asked = if dead.asked("plain.test", RecordType::MX) == 0 {
            &asked
        } else {
            &resolver(&[&dead, &alive])
        };
        assert!(mail_hosts(asked, "plain.test").is_ok());
    }
    assert_eq!(alive.asked("plain.test", RecordType::MX), 2);
}

#[test]
fn nobody_there_is_a_temporary_failure() {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings =
        DnsSettings { servers: vec![gone], timeout: Duration::from_millis(300), attempts: 1 };
    let resolver = threads(settings).for_shard();
    assert!(mail_hosts(&resolver, "plain.test").is_err_and(|e| e != "no such domain"));
}
