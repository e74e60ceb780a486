//! PROXY v2 and XCLIENT say who the client is, from named addresses only.

use std::io::{Read, Write};
use std::net::TcpStream;

use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::DEADLINE;

/// A PROXY v2 header: TCP over IPv4 from 192.0.2.7:4711 to 192.0.2.8:25.
const HEADER: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\x12\x67\x00\x19";

#[test]
fn the_client_address_of_a_proxy_header_is_in_the_received_field() {
    let hop = Hop::start();
    let gateway = Gateway::prepare(&Setup {
        listener: "proxy_from = [\"127.0.0.0/8\"]".to_owned(),
        ..Setup::to(hop.address())
    });
    // The harness's own probe would be refused: it sends no header. So the start is watched by hand.
    let mut gateway = gateway;
    gateway.up_with(|address| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(HEADER)?;
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting)?;
        if &greeting == b"220" { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    });
    let mut stream = TcpStream::connect(gateway.smtp()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(HEADER).unwrap();
    let dialogue = format!(
        "EHLO far.example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<user@{DOMAIN}>\r\nDATA\r\n"
    );
    let mut wire = sekisho_loadgen::wire::Wire::new(stream);
    assert!(wire.line().unwrap().starts_with(b"220"));
    wire.put(dialogue.as_bytes());
    wire.flush().unwrap();
    while !wire.line().unwrap().starts_with(b"354") {}
    wire.put(b"Subject: a\r\n\r\nb\r\n.\r\nQUIT\r\n");
    wire.flush().unwrap();
    assert!(wire.line().unwrap().starts_with(b"250"));
    let received = String::from_utf8_lossy(&hop.mails()[0].content).into_owned();
    assert!(received.contains("192.0.2.7"), "{received}");
}

#[test]
fn xclient_is_offered_to_named_addresses_only_and_believed_from_them() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        listener: "xclient_from = [\"127.0.0.1\"]".to_owned(),
        ..Setup::to(hop.address())
    });
    let mut client = gateway.client();
    assert!(client.offers("XCLIENT"), "{:?}", client.capabilities);
    let reply = client.command("XCLIENT ADDR=192.0.2.9 NAME=far.example.com").unwrap();
    assert_eq!(reply.code, 220, "{}", reply.text());
    assert_eq!(client.command("EHLO far.example.com").unwrap().code, 250);
    let to = format!("user@{DOMAIN}");
    let mail = sekisho_loadgen::client::Mail {
        from: "a@example.com",
        to: &[&to],
        content: b"A: b\r\n\r\nc\r\n",
    };
    assert!(client.send(&mail).unwrap().accepted());
    let received = String::from_utf8_lossy(&hop.mails()[0].content).into_owned();
    assert!(received.contains("192.0.2.9"), "{received}");

    let stranger = Gateway::start(&Setup::to(hop.address()));
    let mut client = stranger.client();
    assert!(!client.offers("XCLIENT"));
    let reply = client.command("XCLIENT ADDR=192.0.2.9").unwrap();
    assert!(reply.code >= 500, "{}", reply.text());
}

/// A PROXY v2 header with these octets after the signature.
fn header(command_and_family: [u8; 2], addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [&HEADER[..12], &command_and_family, &length, addresses].concat()
}

/// A header for a client: IPv4 if it has four octets, IPv6 if it has sixteen.
fn from(source: &[u8]) -> Vec<u8> {
    let family = if source.len() == 4 { 0x11 } else { 0x21 };
    let destination = vec![0_u8; source.len()];
    header([0x21, family], &[source, &destination, &[0x12, 0x67, 0, 25]].concat())
}

/// Says `octets` first; the greeting, or nothing if the connection was closed without a word.
fn greeted(address: std::net::SocketAddr, octets: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let _ = stream.write_all(octets);
    let mut line = Vec::new();
    let mut octet = [0];
    while !line.ends_with(b"\n") && stream.read(&mut octet).is_ok_and(|count| count == 1) {
        line.push(octet[0]);
    }
    (stream, String::from_utf8(line).unwrap())
}

/// One gateway behind a balancer, with limits for the clients behind it; the balancer's network is
/// named for XCLIENT too.
#[test]
fn limits_lists_and_xclient_go_by_the_address_that_the_proxy_names() {
    let hop = Hop::start();
    let mut gateway = Gateway::prepare(&Setup {
        listener: "proxy_from = [\"127.0.0.0/8\"]\nxclient_from = [\"127.0.0.0/8\"]".to_owned(),
        // Twenty strangers, one after the other.
        smtp: "greeting_delay_ms = 10".to_owned(),
        config: "[admission]\nexempt = []\n[admission.address]\nconnections_max = 2\n\
                 [admission.network]\nconnections_max = 4\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    let health = header([0x20, 0], &[]);
    gateway.up_with(|address| {
        TcpStream::connect(address)?;
        let (_, greeting) = greeted(address, &health);
        if greeting.starts_with("220") { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    });
    let codes = |sources: &[Vec<u8>]| -> Vec<String> {
        let open: Vec<_> =
            sources.iter().map(|source| greeted(gateway.smtp(), &from(source))).collect();
        open.into_iter().map(|(_, greeting)| greeting.get(..3).unwrap_or("").to_owned()).collect()
    };
    let v4 = |a: u8, d: u8| vec![198, 51, a, d];
    let v6 = |net: u8, host: u8| {
        let mut address = vec![0_u8; 16];
        (address[0], address[1], address[7], address[15]) = (0x20, 0x01, net, host);
        address
    };
    let mapped = |a: u8, d: u8| [&[0; 10][..], &[0xff, 0xff, 198, 51, a, d]].concat();
    let (yes, no) = ("220", "421");
    assert_eq!(codes(&[v4(1, 1), v4(1, 1), v4(1, 1)]), [yes, yes, no], "one address");
    assert_eq!(codes(&[1, 2, 3, 4, 5].map(|d| v4(2, d))), [yes, yes, yes, yes, no], "a /24");
    assert_eq!(codes(&[1, 2, 3, 4, 5].map(|d| v6(3, d))), [yes, yes, yes, yes, no], "a /64");
    assert_eq!(codes(&[1, 2, 3, 4, 5].map(|net| v6(10 + net, 1))), [yes; 5], "five of them");
    // A proxy with a socket for both families: all of IPv4 is not one network.
    assert_eq!(codes(&[1, 2, 3, 4, 5].map(|a| mapped(20 + a, 1))), [yes; 5], "IPv4 in IPv6");
    assert_eq!(codes(&[v4(30, 1), mapped(30, 1), v4(30, 1)]), [yes, yes, no], "the same address");

    // A stranger behind the balancer is not the balancer.
    let (mut stream, _) = greeted(gateway.smtp(), &from(&v4(40, 1)));
    stream.write_all(b"EHLO x\r\nXCLIENT ADDR=192.0.2.1\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(!said.contains("XCLIENT") && said.contains("\r\n500 "), "{said}");
    // The balancer for itself is.
    let (mut stream, _) = greeted(gateway.smtp(), &health);
    stream.write_all(b"EHLO x\r\nXCLIENT ADDR=192.0.2.1\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("XCLIENT") && said.ends_with("221 2.0.0 Bye\r\n"), "{said}");

    // Whoever talks before the greeting behind a proxy is an early talker all the same.
    let early = [from(&v4(50, 1)), b"EHLO early\r\n".to_vec()].concat();
    assert!(greeted(gateway.smtp(), &early).1.starts_with("554 "), "early behind the proxy");

    let addresses = &from(&v4(60, 1))[16..];
    let tlv = [addresses, &[4, 0, 3, 1, 2, 3, 0x20, 0, 0]].concat();
    let large = [addresses, &[4, 0x0f, 0xa0], &[0; 0x0fa0]].concat();
    let unterminated = [addresses, &[4, 0xff, 0xff, 1]].concat();
    for (name, octets) in [
        ("TLVs", header([0x21, 0x11], &tlv)),
        ("4,000 octets of TLV", header([0x21, 0x11], &large)),
        ("LOCAL with addresses", header([0x20, 0x11], addresses)),
        ("LOCAL with a TLV", header([0x20, 0], &[4, 0, 1, 7])),
        ("a TLV that ends too early", header([0x21, 0x11], &unterminated)),
    ] {
        assert!(greeted(gateway.smtp(), &octets).1.starts_with("220 "), "{name}");
    }
    for (name, octets) in [
        ("version 1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n".to_vec()),
        ("no header", b"EHLO mx.example.com, twice\r\n".to_vec()),
        ("version 3", header([0x31, 0x11], addresses)),
        ("an unknown command", header([0x22, 0x11], addresses)),
        ("a Unix socket", header([0x21, 0x31], &[0; 216])),
        ("a datagram", header([0x21, 0x12], addresses)),
        ("no family", header([0x21, 0], &[])),
        ("addresses too short", header([0x21, 0x11], &addresses[..8])),
        ("IPv6 with IPv4's length", header([0x21, 0x21], addresses)),
        ("a length that nobody needs", header([0x21, 0x11], &[0; 60_000])),
    ] {
        assert_eq!(greeted(gateway.smtp(), &octets).1, "", "{name}: closed without a word");
    }
    // A header in single octets is one.
    let mut slow = TcpStream::connect(gateway.smtp()).unwrap();
    slow.set_nodelay(true).unwrap();
    for octet in from(&v4(70, 1)) {
        slow.write_all(&[octet]).unwrap();
    }
    let mut greeting = [0; 4];
    slow.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ");
    assert!(hop.mails().is_empty());
}

/// The front's own address is not a client: at 300 connections a minute its whole flow was cut.
#[test]
fn a_front_that_uses_xclient_is_not_limited_and_its_clients_are() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        listener: "xclient_from = [\"127.0.0.1\"]".to_owned(),
        config: "[admission]\nexempt = []\n[admission.address]\nconnections_max = 2\n\
                 connections_per_minute = 5\n"
            .to_owned(),
        ..Setup::to(hop.address())
    });
    let mut open: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for (number, client) in open.iter_mut().enumerate() {
        let reply = client.command(&format!("XCLIENT ADDR=192.0.{number}.1")).unwrap();
        assert_eq!(reply.code, 220, "{number}: {}", reply.text());
    }
    let codes: Vec<u16> = (0..3)
        .map(|_| {
            let mut client = gateway.client();
            let code = client.command("XCLIENT ADDR=IPV6:::ffff:198.51.100.1").unwrap().code;
            open.push(client);
            code
        })
        .collect();
    assert_eq!(codes, [220, 220, 421], "one client behind the front");
}
