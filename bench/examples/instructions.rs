//! A fixed small work, the same each time, to be counted by `valgrind --tool=callgrind`; see
//! `bench/instructions.sh`, which subtracts a run of no rounds from one of several.
//!
//! ```text
//! cargo run --release -p sekisho-bench --example instructions -- rules PAYLOAD
//! cargo run --release -p sekisho-bench --example instructions -- view|scan|session|signs|classify ROUNDS PAYLOAD
//! ```
//!
//! Every round works on the same mails of the load generator's mix. `scan` makes the view and runs the starter
//! rules over it, as a message passes through; `signs` runs all that looks at a mail but rules, `classify` gathers
//! features and asks the shipped model. `rules` compiles them, outside of valgrind: which tier takes a rule
//! is chosen by time, and time under valgrind is another. Where the processor has more than valgrind shows (AVX-512),
//! what was compiled for it cannot be opened there, and `scan` says that it is left out.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures and prints; it stops at the first error"
)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use futures_lite::future::block_on;
use sekisho_core::classify::{Features, Models, Reading, base, findings};
use sekisho_core::clock::Now;
use sekisho_core::envelope::{Client, Recipient};
use sekisho_core::message::{View, ViewLimits};
use sekisho_core::scan::patterns::{
    BuildReport, Fields, PatternSource, Patterns, Scratch, SourceFormat, build,
};
use sekisho_core::scan::{ScanTables, examine};
use sekisho_core::session::{Answer, ForwardPath, Session, SessionConfig, Step, Xclient};
use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::random::Random;

/// The engine's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAILS: usize = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (work, rounds, payload) = match words.as_slice() {
        ["rules", payload] => return std::fs::write(payload, starter_rules()).unwrap(),
        [work @ ("view" | "scan" | "session" | "signs" | "classify"), rounds, payload] => {
            (*work, *rounds, *payload)
        }
        _ => return println!("rules PAYLOAD | view|scan|session|signs|classify ROUNDS PAYLOAD"),
    };
    let rounds: usize = rounds.parse().unwrap();
    let mix = Mix::generated(1);
    let mut random = Random::new(2);
    let mails: Vec<Vec<u8>> =
        (0..MAILS).map(|number| mix.draw(&mut random, &format!("id-{number}"))).collect();
    match work {
        "view" => view(rounds, &mails),
        "scan" => scan(rounds, &mails, &std::fs::read(payload).unwrap()),
        "signs" => signs(rounds, &mails),
        "classify" => classify(rounds, &mails),
        _ => session(rounds, &mails),
    }
    println!("mails {}", rounds * MAILS);
}

fn view(rounds: usize, mails: &[Vec<u8>]) {
    for mail in mails.iter().cycle().take(rounds * MAILS) {
        let view = View::build(mail, &ViewLimits::shard());
        black_box((view.body(), view.rawbody(), view.uris(), view.normalised()));
    }
}

/// The rules that every new gateway begins with.
fn starter_rules() -> Vec<u8> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/data/rules"));
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let sources: Vec<PatternSource> = paths
        .iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let format = SourceFormat::of_path(&name)?;
            Some(PatternSource { path: name, octets: std::fs::read(path).unwrap(), format })
        })
        .collect();
    build(&sources, &mut BuildReport::default()).unwrap().0
}

fn scan(rounds: usize, mails: &[Vec<u8>], payload: &[u8]) {
    let patterns = match Patterns::open(payload) {
        Ok(patterns) => patterns,
        Err(error) => return println!("left out: {error}"),
    };
    let mut scratch = patterns.scratch().unwrap();
    for mail in mails.iter().cycle().take(rounds * MAILS) {
        let view = View::build(mail, &ViewLimits::shard());
        let fields = Fields::of_view(&view, None, patterns.wanted());
        black_box(block_on(patterns.run_fields(&mut scratch, &fields, &async || {})).unwrap());
    }
}

/// All that looks at a mail where the generation has neither rules nor hashes, and no model is asked.
fn signs(rounds: usize, mails: &[Vec<u8>]) {
    let tables = ScanTables {
        patterns: None,
        hash: None,
        url_host: None,
        reading: Reading::Nothing,
        content: &[],
        yara: None,
    };
    let mut scratch = Scratch::default();
    // One more, also in a run of none: tables are built when they are first asked.
    for mail in mails.iter().cycle().take(rounds * MAILS + 1) {
        let view = View::build(mail, &ViewLimits::shard());
        let found = examine(&view, &tables, &mut scratch, Some(b"a@example.org"), &async || {});
        black_box(block_on(found).unwrap());
    }
}

/// Features and what the shipped model says of them.
fn classify(rounds: usize, mails: &[Vec<u8>]) {
    let models = Models { base: base(), ..Models::default() };
    for mail in mails.iter().cycle().take(rounds * MAILS) {
        let view = View::build(mail, &ViewLimits::shard());
        black_box(findings(&Features::read(&view, Reading::Shipped), &models, 3_000));
    }
}

fn session(rounds: usize, mails: &[Vec<u8>]) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 25));
    let client =
        Client { address, local: address, name: None, helo: "".into(), esmtp: false, tls: None };
    let config = Arc::new(SessionConfig::default());
    let contents: Vec<Vec<u8>> = mails.iter().map(|mail| stuffed(mail)).collect();
    for content in contents.iter().cycle().take(rounds * MAILS) {
        let mut session = Session::new(Arc::clone(&config), client.clone(), Xclient::Refused);
        let flights: [&[u8]; 6] = [
            b"EHLO client.example\r\n",
            b"MAIL FROM:<sender@example.org>\r\n",
            b"RCPT TO:<user@example.com>\r\n",
            b"DATA\r\n",
            content,
            b"QUIT\r\n",
        ];
        black_box(dialogue(&mut session, &flights));
    }
}

/// Content as it goes over the wire: dots stuffed, with the final one.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(mail.len() + 64);
    for line in mail.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            octets.push(b'.');
        }
        octets.extend_from_slice(line);
    }
    octets.extend_from_slice(b".\r\n");
    octets
}

/// Plays one connection, a flight at a time, and returns the octets of the message.
fn dialogue(session: &mut Session, flights: &[&[u8]]) -> usize {
    let mut flights = flights.iter();
    let mut bytes = 0;
    loop {
        match session.advance(Now::default()) {
            Step::Read { .. } => {
                black_box(session.output()).clear();
                match flights.next() {
                    Some(octets) => session.fill(octets),
                    None => session.peer_closed(),
                }
            }
            Step::AskClient | Step::AskMail | Step::AskData => session.answer(Answer::Accept),
            Step::AskRcpt(rcpt) => {
                let ForwardPath::Mailbox(mailbox) = rcpt.path else { return bytes };
                session.answer(Answer::Recipient(Recipient {
                    original: mailbox.clone(),
                    resolved: mailbox,
                    notify: rcpt.notify,
                    orcpt: rcpt.orcpt,
                }));
            }
            Step::ContentFull | Step::ContentDropped => bytes += session.take_content().len(),
            Step::AskMessage(_) => {
                bytes += black_box(session.take_content()).len();
                session.answer(Answer::Accept);
            }
            Step::StartTls | Step::Close { .. } => return bytes,
        }
    }
}
