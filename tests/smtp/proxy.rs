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
