//! The sender against the crate's own sink, in one process.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Encryption, Pace, SendOptions, Spread, run};
use crate::conservation::{Elsewhere, SentLedger, holds};
use crate::mix::Mix;
use crate::report::{Conservation, Percentiles, RunReport};
use crate::sink::{Behaviour, Extensions, Sink, SinkOptions};
use crate::store;

/// A sink that keeps everything, and the ledgers of both sides.
struct Bench {
    sink: Sink,
    dir: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        Self::with(name, Behaviour::default())
    }

    fn with(name: &str, behaviour: Behaviour) -> Self {
        let dir = std::env::temp_dir().join(format!("sekisho-send-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let sink = Sink::start(SinkOptions {
            store: Some(dir.join("store")),
            behaviour,
            ..SinkOptions::default()
        })
        .unwrap();
        sink.keep_ledger(&dir.join("sink")).unwrap();
        Self { sink, dir }
    }

    fn options(&self) -> SendOptions {
        SendOptions {
            server: self.sink.address(),
            sessions: 4,
            mails: 40,
            timeout: Duration::from_secs(20),
            ledger: Some(self.dir.join("sent")),
            ..SendOptions::default()
        }
    }

    fn run(&self, options: SendOptions) -> RunReport {
        let report = run(options, Mix::generated(5)).unwrap();
        let totals = &report.totals;
        let of_series = |count: fn(&crate::report::Second) -> u64| -> u64 {
            report.series.iter().map(count).sum()
        };
        assert_eq!(of_series(|second| second.accepted), totals.accepted);
        assert_eq!(of_series(|second| second.temporary), totals.refused_temporary);
        assert_eq!(of_series(|second| second.unknown), totals.unknown);
        report
    }

    fn conservation(&self) -> Conservation {
        let sent = SentLedger::read(&self.dir.join("sent")).unwrap();
        sent.account(&self.dir.join("sink"), &Elsewhere::default()).unwrap()
    }

    /// All mails came, each once, as the mix drew them.
    fn assert_all(&self, report: &RunReport, mails: u64) {
        assert_eq!(report.totals.accepted, mails, "{report:?}");
        let conservation = self.conservation();
        assert!(holds(&conservation), "{conservation:?}");
        assert_eq!((conservation.sent, conservation.delivered), (mails, mails));
        let stored = store::read_all(&self.dir.join("store")).unwrap();
        let ids: HashSet<_> = stored.iter().map(store::StoredMail::envelope_id).collect();
        assert_eq!(ids.len() as u64, mails);
        let drawn = templates();
        for mail in &stored {
            let field = mail.content.iter().position(|&octet| octet == b'\n').unwrap() + 1;
            assert!(drawn.contains(&mail.content[field..]), "a content that no mix drew");
        }
        assert_eq!(report.latency_curve.last().unwrap().1, report.latency_ms.max);
        assert!(report.generator.cpu_ms_per_mail > 0.0, "{:?}", report.generator);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Every content of the mix that the tests send, without its envelope id field.
fn templates() -> HashSet<Vec<u8>> {
    let mix = Mix::generated(5);
    let mut random = crate::random::Random::new(99);
    let field = crate::ENVELOPE_ID_FIELD.len() + ": \r\n".len();
    let mut drawn = HashSet::new();
    for _ in 0..20_000 {
        if drawn.len() == mix.count() {
            break;
        }
        drawn.insert(mix.draw(&mut random, "")[field..].to_vec());
    }
    assert_eq!(drawn.len(), mix.count());
    drawn
}

fn open(per_second: f64, spread: Spread) -> Pace {
    Pace::Open { per_second, spread }
}

#[test]
fn a_closed_loop_delivers_every_mail_once_on_as_many_connections_as_asked_for() {
    for (mails_per_connection, connections) in [(1, 40..=40), (5, 8..=11)] {
        let bench = Bench::new(&format!("closed-{mails_per_connection}"));
        let report = bench.run(SendOptions { mails_per_connection, ..bench.options() });
        bench.assert_all(&report, 40);
        assert_eq!(report.replies["250 2.0.0"], 40);
        assert!(connections.contains(&bench.sink.connections()), "{}", bench.sink.connections());
    }
}

#[test]
fn several_threads_share_the_mails_and_each_has_its_own_ring() {
    let bench = Bench::new("threads");
    let report = bench.run(SendOptions { threads: 3, sessions: 7, ..bench.options() });
    bench.assert_all(&report, 40);
    assert_eq!(report.generator.threads, 3);
    // More threads than sessions would be threads without work.
    let report = bench.run(SendOptions { threads: 9, sessions: 2, seed: 2, ..bench.options() });
    assert_eq!((report.totals.accepted, report.generator.threads), (40, 2));
}

#[test]
fn pipelining_and_bdat_bring_the_same_octets() {
    for (name, pipelining, chunk_bytes) in [
        ("pipelining", true, None),
        ("bdat-one", false, Some(usize::MAX)),
        ("bdat-chunks", false, Some(3000)),
        ("bdat-pipelined", true, Some(3000)),
        ("bdat-tiny", false, Some(600)),
    ] {
        let bench = Bench::new(name);
        let report = bench.run(SendOptions {
            pipelining,
            chunk_bytes,
            mails_per_connection: 3,
            ..bench.options()
        });
        bench.assert_all(&report, 40);
        let stored = store::read_all(&bench.dir.join("store")).unwrap();
        let by = if chunk_bytes.is_some() { "BDAT" } else { "DATA" };
        assert!(stored.iter().all(|mail| mail.envelope.by == by), "{name}");
    }
}

#[test]
fn what_the_server_does_not_offer_is_not_tried() {
    let options = SinkOptions { extensions: Extensions::NONE, ..SinkOptions::default() };
    let sink = Sink::start(options).unwrap();
    let ask = |options: SendOptions| {
        let server = sink.address();
        let options = SendOptions { server, sessions: 1, mails: 1, ..options };
        let report = run(options, Mix::generated(5)).unwrap();
        assert_eq!((report.totals.accepted, report.totals.connect_failures), (0, 21));
        report.first_refusal
    };
    let said = ask(SendOptions { pipelining: true, ..SendOptions::default() });
    assert_eq!(said, "the server does not offer PIPELINING");
    let said = ask(SendOptions { chunk_bytes: Some(1), ..SendOptions::default() });
    assert_eq!(said, "the server does not offer CHUNKING");
}

#[test]
fn a_mail_of_several_recipients_goes_to_each_and_one_refusal_does_not_keep_it_back() {
    for pipelining in [false, true] {
        let bench = Bench::new(&format!("recipients-{pipelining}"));
        let to = vec!["u{n}-{r}@demo.test".to_owned(), "reject-{n}@demo.test".to_owned()];
        let report = bench.run(SendOptions { to, recipients: 4, pipelining, ..bench.options() });
        bench.assert_all(&report, 40);
        assert_eq!(report.replies["550 5.1.1"], 80, "two of four recipients of each mail");
        for mail in store::read_all(&bench.dir.join("store")).unwrap() {
            let id = mail.envelope_id().unwrap();
            let number = id.split_once('-').unwrap().1;
            let expected = [0, 2].map(|r| format!("u{number}-{r}@demo.test"));
            assert_eq!(mail.envelope.rcpt_to, expected);
        }
    }
}

#[test]
fn connections_come_from_every_source_address() {
    let bench = Bench::new("sources");
    let sources = (1..=5).map(|last| [127, 0, 1, last].into()).collect();
    let report = bench.run(SendOptions { sources, threads: 2, ..bench.options() });
    bench.assert_all(&report, 40);
    let peer = |mail: &store::StoredMail| {
        let peer: SocketAddr = mail.envelope.peer.parse().unwrap();
        peer.ip().to_string()
    };
    let stored = store::read_all(&bench.dir.join("store")).unwrap();
    let seen: HashSet<String> = stored.iter().map(peer).collect();
    assert_eq!(seen, (1..=5).map(|last| format!("127.0.1.{last}")).collect());
    assert_eq!(report.load.source_addresses, 5);
}

#[test]
fn refusals_are_counted_by_their_code_and_the_session_goes_on() {
    for (pipelining, chunk_bytes) in
        [(false, None), (true, None), (false, Some(2000)), (true, Some(2000))]
    {
        let bench = Bench::new(&format!("refused-{pipelining}-{}", chunk_bytes.is_some()));
        let to = ["u@demo.test", "tempfail@demo.test", "dotfail@demo.test", "dotreject@demo.test"];
        let report = bench.run(SendOptions {
            to: to.map(str::to_owned).to_vec(),
            mails_per_connection: 100,
            pipelining,
            chunk_bytes,
            ..bench.options()
        });
        let totals = &report.totals;
        assert_eq!((totals.accepted, totals.unknown), (10, 0), "{report:?}");
        assert_eq!((totals.refused_temporary, totals.refused_permanent), (20, 10), "{report:?}");
        assert!(report.first_refusal.contains("scripted"), "{}", report.first_refusal);
        assert_eq!(report.replies["250 2.0.0"], 10);
        // RCPT and the dot have the same code; a pipelined group is told more behind it.
        assert!(report.replies["451 4.3.0"] >= 20, "{:?}", report.replies);
        assert_eq!(bench.sink.connections(), 4, "no refusal cost the connection");
        let conservation = bench.conservation();
        assert!(holds(&conservation), "{conservation:?}");
        assert_eq!((conservation.delivered, conservation.refused), (10, 30));
    }
}

#[test]
fn a_server_that_hangs_or_closes_leaves_unknown_mails_and_nothing_is_lost() {
    let bench = Bench::new("hangs");
    let to = [
        "u@demo.test",
        "hang@demo.test",
        "hangtaken@demo.test",
        "close@demo.test",
        "closetaken@demo.test",
        "closercpt@demo.test",
        "nonsense@demo.test",
        "u@demo.test",
    ];
    let report = bench.run(SendOptions {
        to: to.map(str::to_owned).to_vec(),
        timeout: Duration::from_secs(2),
        mails_per_connection: 3,
        ..bench.options()
    });
    let totals = &report.totals;
    assert_eq!((totals.accepted, totals.unknown), (10, 25), "{report:?}");
    assert_eq!(totals.refused_permanent, 5, "what is no reply is a refusal");
    assert_eq!(report.replies["0"], 5);
    let conservation = bench.conservation();
    assert!(holds(&conservation), "{conservation:?}");
    // Taken without an answer: delivered, whatever the client knows.
    assert_eq!((conservation.delivered, conservation.unknown), (20, 15), "{conservation:?}");
    assert_eq!(conservation.refused, 5);
}

#[test]
fn a_server_that_is_down_is_tried_again_and_then_given_up() {
    let bench = Bench::new("down");
    let options = bench.options();
    bench.sink.set_behaviour(Behaviour { busy: true, ..Behaviour::default() });
    let options = SendOptions { sessions: 1, mails: 3, ..options };
    let report = bench.run(options.clone());
    assert_eq!((report.totals.accepted, report.totals.connect_failures), (0, 21));
    let ledger = std::fs::read_to_string(bench.dir.join("sent")).unwrap();
    assert_eq!(ledger, "1-0\tuser@demo.test\tnot-sent\n");
    assert_eq!(report.replies["421 4.3.2"], 21);
    // An open loop was told 421 for every mail: that is an answer.
    let pace = open(50.0, Spread::Even);
    let report = bench.run(SendOptions { pace, sessions: 10, seed: 2, ..options });
    assert_eq!((report.totals.refused_temporary, report.totals.connect_failures), (3, 0));
}

#[test]
fn an_open_loop_keeps_its_rate_and_delivers_every_mail() {
    for (spread, mails_per_connection) in [(Spread::Even, 1), (Spread::Poisson, 7)] {
        let bench = Bench::new(&format!("open-{mails_per_connection}"));
        let report = bench.run(SendOptions {
            pace: open(100.0, spread),
            sessions: 50,
            mails: u64::MAX,
            seconds: Some(Duration::from_secs(1)),
            mails_per_connection,
            threads: 2,
            ..bench.options()
        });
        let sent: u64 = report.series.iter().map(|second| second.sent).sum();
        match spread {
            Spread::Even => assert_eq!(sent, 100),
            Spread::Poisson => assert!((60..150).contains(&sent), "{sent} arrivals"),
        }
        bench.assert_all(&report, sent);
    }
}

/// Beyond overload most answers are refusals and come at once: one p99 of all said that all was well.
#[test]
fn the_latency_of_accepted_mails_has_no_refusal_in_it() {
    for (name, rcpt_permanent_percent) in [("accepted", 0), ("refused", 100)] {
        let behaviour = Behaviour { rcpt_permanent_percent, ..Behaviour::default() };
        let bench = Bench::with(&format!("latency-{name}"), behaviour);
        let report = bench.run(bench.options());
        assert!(report.latency_ms.max > 0.0, "{name}: {report:?}");
        let accepted = if rcpt_permanent_percent == 0 {
            report.latency_ms.clone()
        } else {
            Percentiles::default()
        };
        assert_eq!(report.latency_accepted_ms, accepted, "{name}");
    }
}

#[test]
fn the_latency_of_an_open_loop_holds_the_stall_that_a_closed_loop_hides() {
    // One mail of a hundred is answered after 300 ms. With one session all others wait behind it:
    // a closed loop sees one slow mail, an open loop sees all that should have been sent.
    let slow = Duration::from_millis(300);
    let bench = Bench::with("stall", Behaviour { slow, ..Behaviour::default() });
    let mut to = vec!["u@demo.test".to_owned(); 100];
    to[30] = "slow@demo.test".to_owned();
    let options =
        SendOptions { to, sessions: 1, mails: 100, mails_per_connection: 1000, ..bench.options() };
    let closed = bench.run(options.clone());
    let pace = open(100.0, Spread::Even);
    let opened = bench.run(SendOptions { pace, seed: 2, ..options });
    assert_eq!((closed.totals.accepted, opened.totals.accepted), (100, 100));
    assert!(closed.latency_ms.p90 < 150.0, "{:?}", closed.latency_ms);
    assert!(opened.latency_ms.p90 > 100.0, "{:?}", opened.latency_ms);
    assert!(opened.latency_ms.p99 > 250.0, "{:?}", opened.latency_ms);
    let limited = opened.generator.limited.unwrap();
    assert!(limited.contains("found all 1 sessions busy"), "{limited}");
}

#[test]
fn time_ends_a_closed_loop() {
    let bench = Bench::new("seconds");
    let seconds = Some(Duration::from_millis(400));
    let report = bench.run(SendOptions { mails: u64::MAX, seconds, ..bench.options() });
    assert!(report.totals.accepted > 0);
    assert!((0.1..5.0).contains(&report.seconds), "{} s", report.seconds);
    bench.assert_all(&report, report.totals.accepted);
}

#[test]
fn options_without_an_end_or_a_rate_are_refused() {
    let base = SendOptions::default();
    for (options, error) in [
        (SendOptions { mails: u64::MAX, ..base.clone() }, "neither a number of mails nor a time"),
        (SendOptions { pace: open(0.0, Spread::Even), ..base.clone() }, "the rate must be above 0"),
        (SendOptions { recipients: 0, ..base }, "a mail needs a recipient"),
    ] {
        let text = run(options, Mix::generated(1)).unwrap_err().to_string();
        assert!(text.contains(error), "{text}");
    }
}

/// A server with TLS in front of the sink; STARTTLS is answered here, the rest by the sink.
fn tls_front(sink: SocketAddr, encryption: Encryption) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(vec!["mx.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || serve_tls(stream.unwrap(), sink, encryption, config));
        }
    });
    address
}

fn serve_tls(
    mut near: TcpStream,
    sink: SocketAddr,
    encryption: Encryption,
    config: Arc<rustls::ServerConfig>,
) {
    near.set_nodelay(true).unwrap();
    let far = TcpStream::connect(sink).unwrap();
    let mut far = BufReader::new(far);
    if encryption == Encryption::StartTls {
        near.write_all(b"220 front ESMTP\r\n").unwrap();
        let mut lines = BufReader::new(near.try_clone().unwrap());
        for (command, reply) in
            [("EHLO", "250-front\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n")]
        {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            assert!(line.starts_with(command), "{line}");
            near.write_all(reply.as_bytes()).unwrap();
        }
        // The sink's own greeting is for nobody.
        far.read_line(&mut String::new()).unwrap();
    }
    let connection = rustls::ServerConnection::new(config).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, near);
    let mut buffer = vec![0; 64 * 1024];
    // Every part of the dialogue is one turn: what the client says in one go, and one reply.
    let mut is_content = false;
    if encryption == Encryption::Implicit {
        let mut line = String::new();
        far.read_line(&mut line).unwrap();
        tls.write_all(line.as_bytes()).unwrap();
    }
    let mut said: Vec<u8> = Vec::new();
    loop {
        let Ok(bytes @ 1..) = tls.read(&mut buffer) else { return };
        said.extend_from_slice(&buffer[..bytes]);
        let end: &[u8] = if is_content { b"\r\n.\r\n" } else { b"\r\n" };
        if !said.ends_with(end) {
            continue;
        }
        far.get_mut().write_all(&said).unwrap();
        is_content = said == b"DATA\r\n";
        said.clear();
        loop {
            let mut line = String::new();
            if far.read_line(&mut line).unwrap() == 0 {
                return;
            }
            tls.write_all(line.as_bytes()).unwrap();
            if line.as_bytes().get(3) == Some(&b' ') {
                break;
            }
        }
    }
}

#[test]
fn starttls_and_implicit_tls_bring_the_same_octets() {
    for encryption in [Encryption::StartTls, Encryption::Implicit] {
        for mails_per_connection in [1, 4] {
            let bench = Bench::new(&format!("{encryption:?}-{mails_per_connection}"));
            let server = tls_front(bench.sink.address(), encryption);
            let report = bench.run(SendOptions {
                server,
                encryption,
                mails_per_connection,
                mails: 20,
                ..bench.options()
            });
            bench.assert_all(&report, 20);
            assert_eq!(report.totals.connect_failures, 0);
        }
    }
    // Asked for and not offered is not sent in clear.
    let bench = Bench::new("no-starttls");
    let encryption = Encryption::StartTls;
    let report = bench.run(SendOptions { encryption, sessions: 1, mails: 1, ..bench.options() });
    assert_eq!((report.totals.accepted, bench.sink.mails()), (0, 0));
    assert_eq!(report.first_refusal, "the server does not offer STARTTLS");
}
