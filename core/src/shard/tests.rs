//! Tests of a whole engine in this process: what only a defect of ours can bring about, over the real listeners
//! and connections.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write files, wait, and are clients of their own engine"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Options, run};
use crate::session::Session;

const DEADLINE: Duration = Duration::from_secs(30);

/// A defect of ours, for a session whose reverse-path asks for it.
pub(super) fn misbehave(session: &Session) {
    let asked = session.envelope().reverse_path.as_ref();
    assert!(
        asked.is_none_or(|path| &*path.local_part != "defect"),
        "a defect of ours, as asked for"
    );
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self(BufReader::new(stream));
        assert!(client.line().starts_with("220 "));
        assert!(client.say("EHLO client.example.com").starts_with("250 "));
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// The last line of the reply to a command.
    fn say(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}

/// One call on the control socket.
fn call(data: &Path, verb: &str) -> serde_json::Value {
    let mut stream = UnixStream::connect(data.join("run/control.sock")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let call = format!("{{\"id\": \"{verb}\", \"request\": {{\"verb\": \"{verb}\"}}}}\n");
    stream.write_all(call.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// Where the engine takes mail, once it does.
fn ready(data: &Path) -> SocketAddr {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Ok(text) = std::fs::read_to_string(data.join("run/engine.json")) {
            let about: serde_json::Value = serde_json::from_str(&text).unwrap();
            return about["listeners"][0]["address"].as_str().unwrap().parse().unwrap();
        }
        assert!(Instant::now() < end, "the engine is not ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_session_that_panics_ends_with_421_and_the_others_of_its_shard_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sekisho.toml");
    let text = "[engine]\nshards = 1\nhost_name = \"gateway.test\"\n[[listener]]\n\
                address = \"127.0.0.1:0\"\n[analysis]\nworkers = 1\n[metrics]\naddress = \"off\"\n";
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let options = Options { config, data: Some(data.clone()) };
    let engine = std::thread::spawn(move || run(&options));
    let address = ready(&data);

    let mut other = Client::connect(address);
    let mut defect = Client::connect(address);
    let reply = defect.say("MAIL FROM:<defect@example.com>");
    assert_eq!(reply, "421 4.3.0 Internal problem, closing connection\r\n");
    let mut rest = String::new();
    assert_eq!(defect.0.read_to_string(&mut rest).unwrap(), 0, "and closed: {rest}");

    assert!(other.say("NOOP").starts_with("250 "), "a session that was open goes on");
    assert!(Client::connect(address).say("QUIT").starts_with("221 "), "a new one is served");
    let counters = &call(&data, "status")["response"]["status"]["counters"];
    assert_eq!(counters["session_panics"], 1, "{counters}");
    assert!(other.say("QUIT").starts_with("221 "));
    // The places of the session were given back, or the drain would wait for it.
    call(&data, "drain");
    engine.join().unwrap().unwrap();
}
