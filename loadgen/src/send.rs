//! A closed loop of sessions: each sends its next mail when the last one was answered.
//!
//! A closed loop hides waiting when the server is overloaded (a slow server gets fewer mails), so
//! its latencies are good for comparing two builds and for nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::client::{Client, Mail};
use crate::mix::Mix;
use crate::random::Random;

/// What is sent, and how.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// The server.
    pub server: SocketAddr,
    /// Sessions at a time.
    pub sessions: usize,
    /// Mails in all.
    pub mails: u64,
    /// Mails on one connection before it is closed and opened again.
    pub mails_per_connection: u64,
    /// Reverse-path.
    pub from: String,
    /// Forward-paths, one after the other; `{n}` becomes the number of the mail.
    pub to: Vec<String>,
    /// Argument of EHLO.
    pub helo: String,
    /// Seed of the draw and of the envelope ids.
    pub seed: u64,
    /// Before a session gives up waiting.
    pub timeout: Duration,
    /// One line for each mail: id, recipient, outcome. Written before the next mail is sent.
    pub ledger: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SendReport {
    /// Mails whose end of data was answered 2yz.
    pub accepted: u64,
    /// Mails answered 4yz.
    pub refused_temporary: u64,
    /// Mails answered 5yz.
    pub refused_permanent: u64,
    /// Mails whose connection broke before the answer: taken or not, nobody knows.
    pub unknown: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// The first reply that was not 2yz; empty if there was none.
    pub first_refusal: String,
    /// From the first connection to the last answer.
    pub seconds: f64,
    /// Accepted mails in a second.
    pub mails_per_second: f64,
    /// From the first octet of MAIL to the answer to the end of data.
    pub latency_ms: Percentiles,
}

/// Percentiles of the latency in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Half of the mails were quicker.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// What all sessions share.
struct Shared {
    options: SendOptions,
    mix: Mix,
    next: AtomicU64,
    accepted: AtomicU64,
    temporary: AtomicU64,
    permanent: AtomicU64,
    unknown: AtomicU64,
    connect_failures: AtomicU64,
    first_refusal: OnceLock<String>,
    ledger: Option<Mutex<File>>,
}

impl Shared {
    fn note(&self, id: &str, to: &str, outcome: &str) {
        if let Some(ledger) = &self.ledger {
            let mut file = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            // A ledger that cannot be written shows as mails missing from it.
            let _ = writeln!(file, "{id}\t{to}\t{outcome}");
        }
    }
}

/// Sends all mails and waits for the end.
///
/// # Errors
/// The ledger cannot be made, or no thread can be started.
pub fn run(options: SendOptions, mix: Mix) -> io::Result<SendReport> {
    let ledger = match &options.ledger {
        Some(path) => Some(Mutex::new(File::options().create(true).append(true).open(path)?)),
        None => None,
    };
    let sessions = options.sessions.max(1);
    let shared = Arc::new(Shared {
        options,
        mix,
        next: AtomicU64::new(0),
        accepted: AtomicU64::new(0),
        temporary: AtomicU64::new(0),
        permanent: AtomicU64::new(0),
        unknown: AtomicU64::new(0),
        connect_failures: AtomicU64::new(0),
        first_refusal: OnceLock::new(),
        ledger,
    });
    let start = Instant::now();
    let mut threads = Vec::with_capacity(sessions);
    for number in 0..sessions as u64 {
        let for_session = Arc::clone(&shared);
        threads.push(
            thread::Builder::new()
                .name(format!("send-{number}"))
                .stack_size(256 * 1024)
                .spawn(move || session(&for_session, number))?,
        );
    }
    let mut latency = empty_histogram();
    for thread in threads {
        if let Ok(own) = thread.join() {
            // All are made with the same bounds, so they add.
            let _ = latency.add(own);
        }
    }
    Ok(report(&shared, &latency, start.elapsed()))
}

fn empty_histogram() -> Histogram<u64> {
    // Three digits are always a legal precision.
    Histogram::new(3).unwrap_or_else(|_| unreachable!("a histogram of three digits"))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn report(shared: &Shared, latency: &Histogram<u64>, elapsed: Duration) -> SendReport {
    let accepted = shared.accepted.load(Ordering::Relaxed);
    let milliseconds = |micros: u64| micros as f64 / 1000.0;
    let seconds = elapsed.as_secs_f64();
    SendReport {
        accepted,
        refused_temporary: shared.temporary.load(Ordering::Relaxed),
        refused_permanent: shared.permanent.load(Ordering::Relaxed),
        unknown: shared.unknown.load(Ordering::Relaxed),
        connect_failures: shared.connect_failures.load(Ordering::Relaxed),
        first_refusal: shared.first_refusal.get().cloned().unwrap_or_default(),
        seconds,
        mails_per_second: if seconds > 0.0 { accepted as f64 / seconds } else { 0.0 },
        latency_ms: Percentiles {
            p50: milliseconds(latency.value_at_quantile(0.5)),
            p99: milliseconds(latency.value_at_quantile(0.99)),
            p999: milliseconds(latency.value_at_quantile(0.999)),
            max: milliseconds(latency.max()),
        },
    }
}

fn session(shared: &Shared, number: u64) -> Histogram<u64> {
    let options = &shared.options;
    let mut latency = empty_histogram();
    let mut random = Random::new(options.seed ^ (number + 1).wrapping_mul(0x00D1_B54A_32D1_92ED));
    let mut client: Option<(Client, u64)> = None;
    let mut failures = 0_u32;
    loop {
        let mail_number = shared.next.fetch_add(1, Ordering::Relaxed);
        if mail_number >= options.mails {
            if let Some((client, _)) = client {
                client.quit();
            }
            return latency;
        }
        let id = format!("{:x}-{mail_number}", options.seed);
        let to = recipient(options, mail_number);
        let content = shared.mix.draw(&mut random, &id);
        // A connection that cannot be made costs the mail nothing: it is tried until it can, or 20
        // times in a row not.
        let (mut connected, mut used) = loop {
            if let Some(open) = client.take() {
                break open;
            }
            match Client::hello(options.server, &options.helo, options.timeout) {
                Ok(fresh) => {
                    failures = 0;
                    break (fresh, 0);
                }
                Err(_) if failures < 20 => {
                    failures += 1;
                    shared.connect_failures.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(100));
                }
                Err(_) => {
                    shared.note(&id, &to, "not-sent");
                    return latency;
                }
            }
        };
        let started = Instant::now();
        let mail = Mail { from: &options.from, to: &[&to], content: &content };
        match connected.send(&mail) {
            Ok(sent) => {
                let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                let _ = latency.record(micros);
                let counter = match sent.reply.code {
                    200..300 => &shared.accepted,
                    400..500 => &shared.temporary,
                    _ => &shared.permanent,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                if !sent.reply.is_positive() {
                    shared.first_refusal.get_or_init(|| sent.reply.text());
                }
                shared.note(&id, &to, &sent.reply.code.to_string());
                used += 1;
                if used >= options.mails_per_connection {
                    connected.quit();
                } else if sent.reply.code != 421 {
                    client = Some((connected, used));
                }
            }
            Err(_) => {
                shared.unknown.fetch_add(1, Ordering::Relaxed);
                shared.note(&id, &to, "unknown");
            }
        }
    }
}

fn recipient(options: &SendOptions, mail_number: u64) -> String {
    let count = options.to.len().max(1) as u64;
    let index = usize::try_from(mail_number % count).unwrap_or(0);
    options.to.get(index).map_or_else(String::new, |to| to.replace("{n}", &mail_number.to_string()))
}
