//! Against servers of our own on loopback: those that behave, and those that do not.

#![expect(
    clippy::disallowed_methods,
    reason = "a mail in a file, and servers that a developer names"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::block_on;

use super::lane::{Breaker, FAILURES_MAX};
use super::*;
use crate::config::{OnScannerError, ScannerAddress, ScannerKind};
use crate::content::{LargeFile, Piece};
use crate::scan::finding::FindingKind;

const EICAR: &[u8] = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

/// Serves each connection with `serve` on a thread of its own; how many there were.
fn server(
    serve: impl Fn(TcpStream, usize) + Clone + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream, number));
        }
    });
    (address, count)
}

fn scanner(kind: ScannerKind, address: SocketAddr) -> Scanner {
    Scanner {
        name: "other".into(),
        kind,
        address: ScannerAddress::Tcp(address),
        timeout_ms: 2_000,
        connections_max: 2,
        ..Scanner::default()
    }
}

fn ask(scanner: &Scanner, octets: &[u8]) -> Report {
    let engines = Engines::start(std::slice::from_ref(scanner)).unwrap();
    ask_by(&engines, octets)
}

fn ask_by(engines: &Engines, octets: &[u8]) -> Report {
    let mut reports = block_on(engines.begin(&Content::from_octets(octets)).answer());
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn said(report: &Report) -> String {
    report.told().said.into()
}

/// The octets of one INSTREAM.
fn instream(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut command = [0; 10];
    stream.read_exact(&mut command).ok()?;
    assert_eq!(&command, b"zINSTREAM\0");
    let mut all = Vec::new();
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            return Some(all);
        }
        let start = all.len();
        all.resize(start + length, 0);
        stream.read_exact(&mut all[start..]).ok()?;
    }
}

/// A clamd that knows one signature.
fn clamd(mut stream: TcpStream, _: usize) {
    let mut command = [0; 9];
    if stream.peek(&mut command).is_ok_and(|read| read == 9) && &command == b"zVERSION\0" {
        let _ = stream.write_all(b"ClamAV 9.9.9/1/today\0");
        return;
    }
    let Some(octets) = instream(&mut stream) else { return };
    let found = memchr::memmem::find(&octets, EICAR).is_some();
    let reply: &[u8] =
        if found { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" };
    let _ = stream.write_all(reply);
}

/// A clamd that says `reply` whatever it is sent.
fn saying(reply: &'static [u8]) -> impl Fn(TcpStream, usize) + Clone + Send + 'static {
    move |mut stream, _| {
        let _ = instream(&mut stream);
        let _ = stream.write_all(reply);
    }
}

#[test]
fn clamd_finds_a_virus_by_name_and_nothing_in_a_clean_mail() {
    let (address, _) = server(clamd);
    let one = scanner(ScannerKind::Clamd, address);
    assert_eq!(said(&ask(&one, b"Subject: a\r\n\r\nb")), "nothing found");
    let mail = [b"Subject: a\r\n\r\n".as_slice(), EICAR].concat();
    let report = ask(&one, &mail);
    assert_eq!(said(&report), "found Eicar-Test-Signature");
    let found = findings(&[report]).unwrap();
    assert_eq!(found[0].kind, FindingKind::Malware);
    assert_eq!((&*found[0].rule, &*found[0].detail), ("Eicar-Test-Signature", "engine:other"));
}

#[test]
fn a_mail_in_memory_and_in_a_file_arrives_as_the_octets_that_it_is() {
    let (address, _) = server(|mut stream: TcpStream, _| {
        let octets = instream(&mut stream).unwrap_or_default();
        let sum = blake3::hash(&octets).to_hex();
        let _ = stream.write_all(format!("stream: {sum} FOUND\0").as_bytes());
    });
    let engines = Engines::start(&[scanner(ScannerKind::Clamd, address)]).unwrap();
    let octets: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(at) / 7) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &octets).unwrap();
    let large = Arc::new(LargeFile {
        file: std::fs::File::open(file.path()).unwrap(),
        path: file.path().into(),
        bytes: octets.len() as u64,
    });
    let content = Content {
        pieces: vec![
            Piece::Memory(octets[..100].into()),
            Piece::File { file: large, offset: 100, bytes: 299_900 },
        ],
    };
    let reports = block_on(engines.begin(&content).answer());
    assert_eq!(said(&reports[0]), format!("found {}", blake3::hash(&octets).to_hex()));
}

#[test]
fn what_clamd_may_reply_is_understood_and_what_it_may_not_is_a_failure() {
    for (reply, told) in [
        (b"stream: OK\0".as_slice(), "nothing found"),
        (b"stream: OK\n", "nothing found"),
        (b"stream: A.B-1 FOUND\0", "found A.B-1"),
        (b"stream: A(44d88612fea8a8f36de82e1278abb02f:68) FOUND\0", "found A"),
        (b"stream: A(x) FOUND\0", "found A(x)"),
        (b"stream: \x1b[2J\xff FOUND\0", "found ?[2J?"),
        (b"INSTREAM size limit exceeded. ERROR\0", "not asked: too large for it"),
        (b"COMMAND READ TIMED OUT ERROR\0", "did not look: refused: COMMAND READ TIMED OUT"),
        (
            b"stream: Can't allocate memory ERROR\0",
            "did not look: refused: stream: Can't allocate memory",
        ),
        (b"hello\0", "did not look: does not speak its protocol: `hello`"),
        (b"stream: maybe\0", "did not look: does not speak its protocol: `maybe`"),
        (b"\0", "did not look: does not speak its protocol: an empty reply"),
        (b"", "did not look: closed the connection: unexpected end of file"),
    ] {
        let (address, _) = server(saying(reply));
        let report = ask(&scanner(ScannerKind::Clamd, address), b"x");
        assert_eq!(said(&report), told, "{}", reply.escape_ascii());
    }
}

#[test]
fn heuristics_of_clamd_that_are_no_malware_are_called_what_they_are() {
    for (name, kind) in [
        ("Heuristics.Encrypted.Zip", FindingKind::Encrypted),
        ("Heuristics.Limits.Exceeded.MaxFileSize", FindingKind::LimitReached),
        ("Win.Test.EICAR_HDB-1", FindingKind::Malware),
    ] {
        let report = Report {
            scanner: "a".into(),
            on_error: OnScannerError::Temporary,
            answer: Answer::Found(name.into()),
            micros: 1,
        };
        assert_eq!(findings(&[report]).unwrap()[0].kind, kind, "{name}");
    }
}

#[test]
fn a_size_limit_that_is_told_before_the_end_is_an_answer_and_not_a_broken_connection() {
    let (address, _) = server(|mut stream: TcpStream, _| {
        let mut some = vec![0; 100_000];
        let _ = stream.read_exact(&mut some);
        let _ = stream.write_all(b"INSTREAM size limit exceeded. ERROR\0");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        // Closing with octets unread would take the reply back.
        while stream.read(&mut some).is_ok_and(|read| read > 0) {}
    });
    let report = ask(&scanner(ScannerKind::Clamd, address), &vec![b'a'; 3_000_000]);
    assert!(matches!(report.answer, Answer::TooLarge), "{report:?}");
}

#[test]
fn a_mail_that_is_too_large_is_not_sent_and_is_an_exception_where_errors_are_not_ignored() {
    let (address, count) = server(clamd);
    let mut one = scanner(ScannerKind::Clamd, address);
    one.message_bytes_max = 10;
    let report = ask(&one, b"more than ten octets");
    assert!(matches!(report.answer, Answer::TooLarge));
    assert_eq!(findings(&[report]).unwrap()[0].kind, FindingKind::LimitReached);
    one.on_error = OnScannerError::Ignore;
    assert!(findings(&[ask(&one, b"more than ten octets")]).unwrap().is_empty());
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn servers_that_hang_drip_flood_or_close_fail_within_the_time_limit() {
    type Serve = fn(TcpStream, usize);
    let silent: Serve = |stream, _| {
        std::thread::park_timeout(std::time::Duration::from_secs(5));
        drop(stream);
    };
    let dripping: Serve = |mut stream, _| {
        while stream.write_all(b"s").is_ok() {
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    };
    let flooding: Serve = |mut stream, _| while stream.write_all(&[b'a'; 4096]).is_ok() {};
    let closing: Serve = |stream, _| drop(stream);
    for (what, serve) in
        [("silent", silent), ("dripping", dripping), ("flooding", flooding), ("closing", closing)]
    {
        for kind in [ScannerKind::Clamd, ScannerKind::Icap] {
            let (address, _) = server(serve);
            let mut one = scanner(kind, address);
            one.timeout_ms = 300;
            // More than the buffers of a connection take, so that writing hangs, too.
            let report = ask(&one, &vec![b'x'; 8_000_000]);
            assert!(matches!(report.answer, Answer::Failed(_)), "{what} {kind:?}: {report:?}");
        }
    }
}

#[test]
fn on_error_says_what_becomes_of_a_mail_and_a_name_outweighs_a_failure() {
    let report = |on_error, answer| Report { scanner: "a".into(), on_error, answer, micros: 0 };
    let failed = || Answer::Failed(ScannerError::Late);
    let temporary = report(OnScannerError::Temporary, failed());
    assert_eq!(findings(&[temporary]).unwrap_err(), "a: no answer in time");
    assert!(findings(&[report(OnScannerError::Ignore, failed())]).unwrap().is_empty());
    let held = findings(&[report(OnScannerError::Hold, failed())]).unwrap();
    assert_eq!((held[0].kind, &*held[0].rule), (FindingKind::LimitReached, "SCANNER_FAILED"));
    let both = [
        report(OnScannerError::Temporary, failed()),
        report(OnScannerError::Temporary, Answer::Found("Bad".into())),
    ];
    let found = findings(&both).unwrap();
    assert!(found.iter().any(|finding| &*finding.rule == "Bad"));
}

#[test]
fn a_scanner_that_fails_again_and_again_is_left_alone_and_tried_with_one_mail() {
    let breaker = Breaker::default();
    for at in 0..u64::from(FAILURES_MAX) {
        assert!(breaker.lets_in(at));
        breaker.failed(at);
    }
    assert!(!breaker.lets_in(5_000));
    assert!(breaker.lets_in(5_010), "after its rest");
    assert!(!breaker.lets_in(5_010), "one mail only");
    breaker.failed(5_020);
    assert!(!breaker.lets_in(15_000), "it rests longer");
    assert!(breaker.lets_in(15_030));
    breaker.left();
    assert!(breaker.lets_in(15_030), "the mail that was to try never came to it");
    breaker.worked();
    assert!(breaker.lets_in(15_031) && breaker.lets_in(15_031));
}

#[test]
fn nobody_listens_and_figures_say_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let engines = Engines::start(&[scanner(ScannerKind::Clamd, free)]).unwrap();
    for _ in 0..=FAILURES_MAX {
        assert!(matches!(ask_by(&engines, b"x").answer, Answer::Failed(_)));
    }
    let figures = &engines.figures()[0];
    assert_eq!(figures.state, State::Resting);
    assert_eq!(figures.failed, u64::from(FAILURES_MAX) + 1);
}

/// What an ICAP client sent: the head, and the octets of the encapsulated body.
struct Question {
    head: String,
    body: Vec<u8>,
    ieof: bool,
}

struct Icap {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Icap {
    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.ahead, end) {
                let rest = self.ahead.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.ahead, rest));
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            self.ahead.extend_from_slice(&buffer[..read]);
        }
    }

    /// Chunks up to the last one; whether that said `ieof`.
    fn chunks(&mut self, into: &mut Vec<u8>) -> Option<bool> {
        loop {
            let line = String::from_utf8(self.until(b"\r\n")?).unwrap();
            let length = usize::from_str_radix(line.trim().split(';').next().unwrap(), 16).unwrap();
            if length == 0 {
                self.until(b"\r\n")?;
                return Some(line.contains("ieof"));
            }
            while self.ahead.len() < length + 2 {
                let mut buffer = [0; 4096];
                let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
                self.ahead.extend_from_slice(&buffer[..read]);
            }
            into.extend(self.ahead.drain(..length));
            assert_eq!(self.ahead.drain(..2).collect::<Vec<_>>(), b"\r\n");
        }
    }

    fn question(&mut self) -> Option<Question> {
        let head = String::from_utf8(self.until(b"\r\n\r\n")?).unwrap();
        let (mut body, mut ieof) = (Vec::new(), false);
        if !head.starts_with("OPTIONS") {
            let places = head.split("Encapsulated: ").nth(1).unwrap();
            let offset = places.split("-body=").nth(1).unwrap();
            let offset: usize = offset.split("\r\n").next().unwrap().parse().unwrap();
            while self.ahead.len() < offset {
                let mut buffer = [0; 4096];
                let read = self.stream.read(&mut buffer).ok()?;
                self.ahead.extend_from_slice(&buffer[..read]);
            }
            self.ahead.drain(..offset);
            ieof = self.chunks(&mut body)?;
        }
        Some(Question { head, body, ieof })
    }

    fn say(&mut self, text: &[u8]) {
        let _ = self.stream.write_all(text);
    }
}

/// An ICAP server that answers OPTIONS with `options` and a mail with what `answer` makes of it.
fn icap(
    options: &'static str,
    answer: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    server(move |stream, _| {
        let mut icap = Icap { stream, ahead: Vec::new() };
        while let Some(mut question) = icap.question() {
            if question.head.starts_with("OPTIONS") {
                icap.say(options.as_bytes());
                continue;
            }
            assert!(question.head.contains("Allow: 204"));
            if question.head.contains("Preview:") && !question.ieof {
                icap.say(b"ICAP/1.0 100 Continue\r\n\r\n");
                icap.chunks(&mut question.body).unwrap();
            }
            let said = answer(&question.body);
            icap.say(&said);
        }
    })
}

const PLAIN: &str = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nService: test 1\r\nAllow: 204\r\n\r\n";
const PREVIEW: &str =
    "ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nPreview: 16\r\nOptions-TTL: 3600\r\n\r\n";
const REQMOD: &str = "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nPreview: 0\r\n\r\n";

#[test]
fn icap_with_and_without_preview_sends_the_whole_mail_and_keeps_its_connection() {
    for options in [PLAIN, PREVIEW, REQMOD] {
        let (address, connections) = icap(options, |body| {
            if memchr::memmem::find(body, EICAR).is_some() {
                let sum = blake3::hash(body).to_hex();
                format!(
                    "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=E-{sum};\r\n\
                     Encapsulated: res-hdr=0, null-body=20\r\n\r\n"
                )
                .into_bytes()
            } else {
                b"ICAP/1.0 204 No modifications needed\r\nISTag: \"x\"\r\n\r\n".to_vec()
            }
        });
        let mut one = scanner(ScannerKind::Icap, address);
        one.connections_max = 1;
        let engines = Engines::start(&[one]).unwrap();
        for mail in [b"short".as_slice(), b"", &[b'a'; 200_000]] {
            assert_eq!(said(&ask_by(&engines, mail)), "nothing found", "{options}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "kept");
        let mail = [&[b'a'; 100_000], EICAR].concat();
        let sum = blake3::hash(&mail).to_hex();
        assert_eq!(said(&ask_by(&engines, &mail)), format!("found E-{sum}"));
        assert_eq!(said(&ask_by(&engines, b"after it")), "nothing found");
    }
}

#[test]
fn icap_names_what_it_found_in_one_of_several_fields() {
    for (fields, told) in [
        ("X-Infection-Found: Type=0; Resolution=2; Threat=A.B;", "found A.B"),
        ("X-Virus-ID: A.C", "found A.C"),
        (
            "X-Virus-ID: none\r\nX-Violations-Found: 1\r\n\tmail.eml\r\n\tA.D\r\n\t1\r\n\t0",
            "found A.D",
        ),
    ] {
        let (address, _) = icap(PLAIN, move |_| {
            format!("ICAP/1.0 200 OK\r\n{fields}\r\nEncapsulated: null-body=0\r\n\r\n").into_bytes()
        });
        assert_eq!(said(&ask(&scanner(ScannerKind::Icap, address), b"x")), told, "{fields}");
    }
    for fields in ["X-Virus-ID: none", "X-Violations-Found: 0"] {
        let (address, _) =
            icap(PLAIN, move |_| format!("ICAP/1.0 204 No\r\n{fields}\r\n\r\n").into_bytes());
        assert_eq!(said(&ask(&scanner(ScannerKind::Icap, address), b"x")), "nothing found");
    }
}

#[test]
fn a_body_that_comes_back_is_clean_only_if_every_octet_is_the_same() {
    let back = |http: &'static str, change: bool| {
        move |body: &[u8]| {
            let mut body = body.to_vec();
            if change {
                body[0] ^= 1;
            }
            let head = format!("{http}\r\n\r\n");
            let places = format!("res-hdr=0, res-body={}", head.len());
            let mut said =
                format!("ICAP/1.0 200 OK\r\nEncapsulated: {places}\r\n\r\n{head}").into_bytes();
            said.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            said.extend_from_slice(&body);
            said.extend_from_slice(b"\r\n0\r\n\r\n");
            said
        }
    };
    let changed = "found changed by the scanner";
    for (http, change, told) in [
        ("HTTP/1.1 200 OK", false, "nothing found"),
        ("HTTP/1.1 200 OK", true, changed),
        ("HTTP/1.1 403 Forbidden", false, changed),
    ] {
        let (address, _) = icap(PLAIN, back(http, change));
        let report = ask(&scanner(ScannerKind::Icap, address), b"Subject: a\r\n\r\nb\r\n");
        assert_eq!(said(&report), told, "{http} {change}");
    }
}

#[test]
fn garbage_of_an_icap_server_is_a_failure_and_never_clean() {
    for garbage in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "ICAP/1.0 abc\r\n\r\n",
        "\r\n\r\n",
        "ICAP/1.0 500 Server error\r\n\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=9999999\r\n\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\nzz\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\nffffffffffffffff\r\n",
        "ICAP/1.0 100 Continue\r\n\r\n",
    ] {
        let (address, _) = icap(PLAIN, move |_| garbage.as_bytes().to_vec());
        let mut one = scanner(ScannerKind::Icap, address);
        one.timeout_ms = 500;
        let report = ask(&one, b"x");
        assert!(matches!(report.answer, Answer::Failed(_)), "{garbage:?}: {report:?}");
    }
    let (address, _) = icap("ICAP/1.0 404 ICAP Service not found\r\n\r\n", |_| Vec::new());
    let told = said(&ask(&scanner(ScannerKind::Icap, address), b"x"));
    assert_eq!(told, "did not look: refused: ICAP OPTIONS: answer 404");
}

#[test]
fn an_icap_server_that_closes_a_kept_connection_is_asked_again_over_a_new_one() {
    let (address, connections) = server(|stream, _| {
        let mut icap = Icap { stream, ahead: Vec::new() };
        for said in [PLAIN, "ICAP/1.0 204 No\r\n\r\n"] {
            let Some(question) = icap.question() else { return };
            let said =
                if question.head.starts_with("OPTIONS") { said } else { "ICAP/1.0 204 No\r\n\r\n" };
            icap.say(said.as_bytes());
            if !question.head.starts_with("OPTIONS") {
                return;
            }
        }
    });
    let mut one = scanner(ScannerKind::Icap, address);
    one.connections_max = 1;
    let engines = Engines::start(&[one]).unwrap();
    for _ in 0..3 {
        assert_eq!(said(&ask_by(&engines, b"x")), "nothing found");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

/// A clamd and an ICAP server that are really there, if somebody names them: never asked in the gate.
#[test]
#[ignore = "needs servers: CLAMD_SOCKET, ICAP_ADDRESS"]
fn real_scanners_find_what_they_should() {
    let named = |name: &str| std::env::var(name).ok();
    let clamd = named("CLAMD_SOCKET").map(|path| Scanner {
        address: ScannerAddress::Unix(path.into()),
        ..scanner(ScannerKind::Clamd, ([127, 0, 0, 1], 0).into())
    });
    let icap = named("ICAP_ADDRESS").map(|address| Scanner {
        service: "/avscan".into(),
        ..scanner(ScannerKind::Icap, address.parse().unwrap())
    });
    for one in [clamd, icap].into_iter().flatten() {
        let engines = Engines::start(std::slice::from_ref(&one)).unwrap();
        let mail = [b"Subject: a\r\n\r\n".as_slice(), EICAR].concat();
        for (octets, bad) in [(b"Subject: a\r\n\r\nb\r\n".as_slice(), false), (&mail, true)] {
            for _ in 0..200 {
                let report = ask_by(&engines, octets);
                assert_eq!(matches!(report.answer, Answer::Found(_)), bad, "{report:?}");
            }
        }
        let figures = &engines.figures()[0];
        let mean = figures.micros / figures.asked;
        eprintln!("{}: {mean} us a mail, version {}", figures.address, figures.version);
    }
}
