//! Clients that talk before our greeting, RFC 5321 section 4.3.1, with the configuration as it is shipped. The
//! clients come by a proxy: loopback, where the tests are, is trusted and never waits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::DEADLINE;

/// Shorter than the pause before the greeting, longer than a packet needs to arrive.
const SOON: Duration = Duration::from_millis(300);

/// A header of PROXY protocol version 2 for a client at 198.51.100.`host`.
fn from(host: u8) -> Vec<u8> {
    let addresses = [198, 51, 100, host, 192, 0, 2, 8, 0x12, 0x67, 0, 25];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".as_slice(), &addresses].concat()
}

fn connect(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(header).unwrap();
    stream
}

fn first_line(stream: &mut TcpStream) -> String {
    let (mut line, mut octet) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") && stream.read(&mut octet).is_ok_and(|count| count == 1) {
        line.push(octet[0]);
    }
    String::from_utf8(line).unwrap()
}

/// How long the greeting took, and what it was.
fn greeting(address: SocketAddr, header: &[u8]) -> (Duration, String) {
    let begun = Instant::now();
    let mut stream = connect(address, header);
    let line = first_line(&mut stream);
    let took = begun.elapsed();
    stream.write_all(b"EHLO far.example.com\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(!line.starts_with("220") || said.ends_with("221 2.0.0 Bye\r\n"), "{line}{said}");
    (took, line)
}

/// Spamware that sends its commands blindly was greeted and served: without a pause only those were
/// noticed whose octets came with the connection itself.
#[test]
fn a_stranger_who_does_not_wait_for_the_greeting_is_refused_and_who_waits_waits_once() {
    let hop = Hop::start();
    let mut gateway = Gateway::prepare(&Setup {
        listener: "proxy_from = [\"127.0.0.0/8\"]".to_owned(),
        ..Setup::to(hop.address())
    });
    // A health check of the balancer itself.
    let health = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    gateway.up_with(|address| {
        TcpStream::connect(address)?;
        let line = first_line(&mut connect(address, health));
        if line.starts_with("220") { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    });
    let smtp = gateway.smtp();
    let (took, line) = greeting(smtp, health);
    assert!(line.starts_with("220") && took < SOON, "the balancer itself: {took:?} {line}");

    let blind = |host| {
        let mut stream = connect(smtp, &from(host));
        stream.set_read_timeout(Some(SOON)).unwrap();
        assert!(stream.read(&mut [0]).is_err(), "no greeting yet");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"EHLO blind.example.com\r\nMAIL FROM:<a@example.com>\r\n").unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        said
    };
    assert_eq!(blind(1), "554 Talked before the greeting\r\n");
    // Being refused is not having waited.
    assert_eq!(blind(1), "554 Talked before the greeting\r\n");
    // Nor is going away before the greeting.
    drop(connect(smtp, &from(2)));

    for host in [1, 2, 3] {
        let (took, line) = greeting(smtp, &from(host));
        assert!(line.starts_with("220") && took >= SOON, "a stranger, {host}: {took:?} {line}");
        let (took, line) = greeting(smtp, &from(host));
        assert!(line.starts_with("220") && took < SOON, "known, {host}: {took:?} {line}");
    }
    // Whoever is known and caught all the same is a stranger again.
    let mut stream = connect(smtp, &[from(3), b"EHLO early\r\n".to_vec()].concat());
    assert!(first_line(&mut stream).starts_with("554"), "caught with its first packet");
    let (took, line) = greeting(smtp, &from(3));
    assert!(line.starts_with("220") && took >= SOON, "a stranger again: {took:?} {line}");
    assert_eq!(gateway.status().pointer("/counters/early_talkers"), Some(&3.into()));
}

#[test]
fn clients_of_trusted_networks_never_wait() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let (took, line) = greeting(gateway.smtp(), b"");
    assert!(line.starts_with("220") && took < SOON, "{took:?} {line}");
}
