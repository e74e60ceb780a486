//! A next hop that misbehaves by order in each phase of the dialogue, in clear or under TLS. What it
//! takes is counted, not kept: for whole mails there is [`crate::hop::Hop`].

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Where in the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The greeting.
    Banner,
    /// EHLO; HELO is always answered.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// After the first octets of the content.
    Body,
    /// After the final dot.
    Dot,
}

/// What the hop does there instead.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this; line ends are added.
    Say(String),
    /// Never says or reads anything again.
    Silent,
    /// Closes.
    Close,
    /// Does what is normal after this time.
    Late(Duration),
    /// Says this without an end, until the peer is gone.
    Endless(String),
}

/// How STARTTLS goes.
#[derive(Clone, Debug, Default)]
pub enum Tls {
    /// Not offered.
    #[default]
    No,
    /// With this certificate.
    With(Arc<ServerConfig>),
    /// Offered, and then this instead of a handshake.
    Broken(&'static [u8]),
}

/// How a hop behaves.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Lines of the EHLO reply in clear, besides STARTTLS.
    pub offers: Vec<&'static str>,
    /// The same under TLS.
    pub offers_under_tls: Vec<&'static str>,
    /// STARTTLS.
    pub tls: Tls,
    /// What it does instead.
    pub acts: BTreeMap<Phase, Act>,
}

impl Script {
    /// One phase goes otherwise.
    #[must_use]
    pub fn with(mut self, phase: Phase, act: Act) -> Self {
        self.acts.insert(phase, act);
        self
    }
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    connections: usize,
    taken: Vec<bool>,
}

/// The hop; it ends when dropped.
#[derive(Debug)]
pub struct ScriptHop {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    /// How many scripts there were.
    behaviours: Arc<AtomicUsize>,
}

impl ScriptHop {
    /// A hop on a free port.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let hop = Self {
            address,
            script: Arc::new(Mutex::new(script)),
            seen: Arc::default(),
            stop: Arc::default(),
            behaviours: Arc::default(),
        };
        let behaviours = Arc::clone(&hop.behaviours);
        let (script, seen, stop) =
            (Arc::clone(&hop.script), Arc::clone(&hop.seen), Arc::clone(&hop.stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                seen.lock().expect("what was seen").connections += 1;
                let session = Session {
                    script: script.lock().expect("the script").clone(),
                    seen: Arc::clone(&seen),
                    stop: Arc::clone(&stop),
                    behaviours: Arc::clone(&behaviours),
                    behaviour: behaviours.load(Ordering::SeqCst),
                };
                std::thread::spawn(move || {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
                    // A peer that went away is what half of the scripts want.
                    let _ = session.run(stream);
                });
            }
        });
        hop
    }

    /// Behaves differently from the next connection on; silent ones are closed.
    ///
    /// # Panics
    /// A session panicked.
    pub fn behave(&self, script: Script) {
        *self.script.lock().expect("the script") = script;
        self.behaviours.fetch_add(1, Ordering::SeqCst);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Commands it read, those under TLS with `*` before them.
    ///
    /// # Panics
    /// A session panicked.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().expect("what was seen").lines.clone()
    }

    /// Connections so far.
    ///
    /// # Panics
    /// A session panicked.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.lock().expect("what was seen").connections
    }

    /// For each content that was taken, whether it came under TLS.
    ///
    /// # Panics
    /// A session panicked.
    #[must_use]
    pub fn taken(&self) -> Vec<bool> {
        self.seen.lock().expect("what was seen").taken.clone()
    }
}

impl Drop for ScriptHop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Session {
    script: Script,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    behaviours: Arc<AtomicUsize>,
    behaviour: usize,
}

impl Session {
    fn run(self, mut stream: TcpStream) -> io::Result<()> {
        self.react(&mut stream, Phase::Banner, "220 hop.test ESMTP")?;
        if !self.dialogue(&mut stream, false)? {
            return Ok(());
        }
        match &self.script.tls {
            Tls::No => Ok(()),
            Tls::Broken(octets) => {
                // After the peer's hello: before it this would be text in clear, another matter.
                self.octet(&mut stream)?;
                stream.write_all(octets)
            }
            Tls::With(config) => {
                let connection = ServerConnection::new(Arc::clone(config));
                let connection = connection.map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                self.dialogue(&mut stream, true).map(drop)
            }
        }
    }

    /// True: the handshake follows.
    fn dialogue(&self, stream: &mut (impl Read + Write), under_tls: bool) -> io::Result<bool> {
        let (mut mail, mut recipients) = (false, 0);
        loop {
            let line = self.line(stream)?;
            let mark = if under_tls { "*" } else { "" };
            self.seen.lock().expect("what was seen").lines.push(format!("{mark}{line}"));
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => drop(self.react(stream, Phase::Ehlo, &self.offer(under_tls))?),
                "HELO" => say(stream, "250 hop.test")?,
                "STARTTLS" => {
                    if self.react(stream, Phase::StartTls, "220 go")? {
                        return Ok(true);
                    }
                }
                "MAIL" => mail = self.react(stream, Phase::Mail, "250 2.1.0 ok")?,
                "RCPT" => {
                    let normal = if mail { "250 2.1.5 ok" } else { "503 5.5.1 no MAIL" };
                    recipients += usize::from(self.react(stream, Phase::Rcpt, normal)?);
                }
                "DATA" => {
                    let normal = if recipients > 0 { "354 go" } else { "554 5.5.1 no recipients" };
                    if self.react(stream, Phase::Data, normal)? {
                        self.content(stream, under_tls)?;
                        (mail, recipients) = (false, 0);
                    }
                }
                "RSET" => {
                    (mail, recipients) = (false, 0);
                    say(stream, "250 2.0.0 reset")?;
                }
                "QUIT" => {
                    say(stream, "221 2.0.0 bye")?;
                    return Ok(false);
                }
                _ => say(stream, "500 5.5.2 what")?,
            }
        }
    }

    fn content(&self, stream: &mut (impl Read + Write), under_tls: bool) -> io::Result<()> {
        if self.script.acts.contains_key(&Phase::Body) {
            self.octet(stream)?;
            self.react(stream, Phase::Body, "")?;
        }
        let mut end = Vec::from(*b"\r\n");
        while !end.ends_with(b"\r\n.\r\n") {
            if end.len() > 64 * 1024 {
                end.drain(..end.len() - 8);
            }
            end.push(self.octet(stream)?);
        }
        let text = self.text(stream, Phase::Dot, "250 2.0.0 taken")?;
        // Before the peer hears of it, and somebody asks.
        if text.starts_with('2') {
            self.seen.lock().expect("what was seen").taken.push(under_tls);
        }
        say(stream, text)
    }

    fn offer(&self, under_tls: bool) -> String {
        let mut lines = vec!["hop.test"];
        match (under_tls, &self.script.tls) {
            (true, _) => lines.extend(&self.script.offers_under_tls),
            (false, Tls::No) => lines.extend(&self.script.offers),
            (false, _) => {
                lines.extend(&self.script.offers);
                lines.push("STARTTLS");
            }
        }
        let last = lines.pop().unwrap_or_default();
        let mut text: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        text.push_str(&format!("250 {last}"));
        text
    }

    /// Does what the script says; whether the peer heard a yes.
    fn react(&self, stream: &mut impl Write, phase: Phase, normal: &str) -> io::Result<bool> {
        let text = self.text(stream, phase, normal)?;
        if !text.is_empty() {
            say(stream, text)?;
        }
        Ok(text.starts_with(['2', '3']))
    }

    /// What is to be said; an error ends the session.
    fn text<'t>(
        &'t self,
        stream: &mut impl Write,
        phase: Phase,
        normal: &'t str,
    ) -> io::Result<&'t str> {
        match self.script.acts.get(&phase) {
            None => Ok(normal),
            Some(Act::Say(text)) => Ok(text),
            Some(Act::Late(time)) => {
                std::thread::sleep(*time);
                Ok(normal)
            }
            Some(Act::Close) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Act::Silent) => {
                while !self.is_over() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Act::Endless(text)) => loop {
                say(stream, text)?;
            },
        }
    }

    /// The hop ends, or behaves differently now: who is silent closes then.
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.behaviours.load(Ordering::SeqCst) != self.behaviour
    }

    fn line(&self, stream: &mut impl Read) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.octet(stream)?);
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Octet by octet: what follows STARTTLS belongs to the handshake.
    fn octet(&self, stream: &mut impl Read) -> io::Result<u8> {
        let mut octet = [0];
        loop {
            match stream.read(&mut octet) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(octet[0]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) && !self.stop.load(Ordering::SeqCst) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn say(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes())?;
    stream.flush()
}

/// An authority for the certificates of hops.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM.
    pub pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate and its key for a server.
fn server(certificate: &rcgen::Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate with its key");
    Arc::new(config)
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a name")
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// No randomness.
    #[must_use]
    pub fn start() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        let (pem, der) = (root.pem(), root.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A valid certificate for `name`, or one that has expired.
    ///
    /// # Panics
    /// No randomness.
    #[must_use]
    pub fn certify(&self, name: &str, expired: bool) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(name);
        if expired {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        server(&params.signed_by(&key, &self.issuer).expect("a certificate"), &key)
    }
}

/// A server that lets in only whoever shows a certificate of `authority`. Under TLS 1.3 the client's handshake is done
/// before the server sees that it has none.
///
/// # Panics
/// No randomness.
#[must_use]
pub fn demanding(authority: &Authority) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der.clone()).expect("a root");
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let key = KeyPair::generate().expect("a key");
    let certificate = params("hop.test").self_signed(&key).expect("a certificate");
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("protocol versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("a certificate with its key");
    Arc::new(config)
}

/// A certificate that nobody else signed.
///
/// # Panics
/// No randomness.
#[must_use]
pub fn self_signed(name: &str) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    server(&params(name).self_signed(&key).expect("a certificate"), &key)
}
