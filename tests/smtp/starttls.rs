//! STARTTLS and the implicit TLS listener, with the self-signed certificate of the first start.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use sekisho_tests::gateway::{Gateway, Setup, free_port};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::DEADLINE;

/// Takes any certificate: this is about the session, not about trust.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn tls(stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("gateway.test").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Reads one reply, byte by byte: nothing of what follows may be swallowed.
fn reply(stream: &mut impl Read) -> String {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            line.push(octet[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let last = line.as_bytes()[3] == b' ';
        text.push_str(&line);
        if last {
            return text;
        }
    }
}

fn dialogue(stream: &mut (impl Read + Write)) {
    for (line, code) in [
        ("EHLO c.example.com", "250"),
        ("MAIL FROM:<a@example.com>", "250"),
        ("RCPT TO:<user@demo.test>", "250"),
        ("DATA", "354"),
        ("Subject: tls\r\n\r\nb\r\n.", "250"),
        ("QUIT", "221"),
    ] {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let reply = reply(stream);
        assert!(reply.starts_with(code), "{line}: {reply}");
        assert!(!reply.contains("STARTTLS"), "not offered again inside TLS");
    }
}

#[test]
fn starttls_encrypts_the_session_and_plain_text_sent_along_with_it_is_thrown_away() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let mut stream = TcpStream::connect(gateway.smtp()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(reply(&mut stream).starts_with("220"));
    stream.write_all(b"EHLO c.example.com\r\n").unwrap();
    assert!(reply(&mut stream).contains("STARTTLS"));
    // CVE-2011-0411 and its many children: these commands came before the encryption.
    stream.write_all(b"STARTTLS\r\nMAIL FROM:<injected@example.com>\r\n").unwrap();
    assert!(reply(&mut stream).starts_with("220"));
    let mut encrypted = tls(stream);
    dialogue(&mut encrypted);
    let mails = hop.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].envelope.mail_from, "a@example.com");
    assert!(String::from_utf8_lossy(&mails[0].content).contains("ESMTPS"), "RFC 3848");
}

#[test]
fn the_implicit_tls_listener_takes_mail() {
    let hop = Hop::start();
    let second = free_port();
    let gateway = Gateway::start(&Setup {
        listener: format!(
            "tls = \"none\"\n[[listener]]\naddress = \"{second}\"\ntls = \"implicit\""
        ),
        ..Setup::to(hop.address())
    });
    assert!(!gateway.client().offers("STARTTLS"), "switched off on the first listener");
    let stream = TcpStream::connect(second).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut encrypted = tls(stream);
    assert!(reply(&mut encrypted).starts_with("220"));
    dialogue(&mut encrypted);
    assert_eq!(hop.mails().len(), 1);
}

/// Reads until the peer closes.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut octets = Vec::new();
    let _ = stream.read_to_end(&mut octets);
    octets
}

#[test]
fn starttls_forgets_everything_and_plain_text_in_place_of_a_handshake_ends_the_session() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let open = || {
        let mut stream = TcpStream::connect(gateway.smtp()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        assert!(reply(&mut stream).starts_with("220"));
        stream
    };
    let say = |stream: &mut TcpStream, line: &str, code: &str| {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let text = reply(stream);
        assert!(text.starts_with(code), "{line}: {text}");
    };
    // Injected in a packet of its own, before the handshake: an alert, and nothing is obeyed.
    let mut stream = open();
    say(&mut stream, "EHLO c.example.com", "250");
    say(&mut stream, "STARTTLS", "220");
    stream
        .write_all(b"MAIL FROM:<injected@example.com>\r\nRCPT TO:<user@demo.test>\r\nDATA\r\n")
        .unwrap();
    let said = rest(&mut stream);
    assert!(said.is_empty() || said.starts_with(&[0x15, 3]), "a TLS alert at most: {said:?}");

    // In the middle of a transaction: what was said before does not count after it.
    let mut stream = open();
    say(&mut stream, "STARTTLS now", "501");
    say(&mut stream, "EHLO c.example.com", "250");
    say(&mut stream, "MAIL FROM:<before@example.com>", "250");
    say(&mut stream, "RCPT TO:<user@demo.test>", "250");
    say(&mut stream, "STARTTLS", "220");
    let mut encrypted = tls(stream);
    for (line, code) in [
        ("DATA", "503"),
        ("RCPT TO:<user@demo.test>", "503"),
        ("MAIL FROM:<a@example.com>", "503"),
        ("STARTTLS", "503"),
        ("BDAT 6 LAST\r\nNOOP", "503"),
        ("EHLO c.example.com", "250"),
        ("STARTTLS", "503"),
    ] {
        encrypted.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let text = reply(&mut encrypted);
        assert!(text.starts_with(code), "{line:?}: {text}");
    }
    dialogue(&mut encrypted);
    assert_eq!(hop.mails().len(), 1);
}

/// RFC 8996. OpenSSL is told to go as low as it can, so that it is us who refuse.
#[test]
fn tls_1_2_and_1_3_are_spoken_and_older_ones_refused() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let openssl = |version: &str| {
        let mut child = std::process::Command::new("openssl")
            .args(["s_client", "-starttls", "smtp", "-quiet", "-cipher", "ALL:@SECLEVEL=0"])
            .args([version, "-connect", &gateway.smtp().to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        // It may have ended already; then its pipe is closed.
        let _ =
            child.stdin.take().map(|mut pipe| pipe.write_all(b"EHLO c.example.com\r\nQUIT\r\n"));
        let output = child.wait_with_output()?;
        let words = [output.stdout, output.stderr].concat();
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&words).into_owned())
    };
    if let Err(error) = openssl("-tls1_3") {
        sekisho_tests::left_out("versions of TLS by OpenSSL", &error.to_string());
        return;
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let said = openssl(version).unwrap();
        assert!(said.contains("221 2.0.0 Bye"), "{version}: {said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = openssl(version).unwrap();
        assert!(!said.contains("221 "), "{version}: {said}");
    }
}
