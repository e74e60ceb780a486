//! The engine as its control process sees it: a process and a socket.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sekisho_core::control::{Request, Response};

use super::process::Process;
use crate::call::{CallError, call};
use crate::outcome::Failure;
use crate::place::Place;

/// Until the socket answers: the engine opens it before it maps its tables.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// One answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A drain waits for sessions in DATA; each has minutes by RFC 5321 section 4.5.3.2.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(180);
/// How much of its last words is shown when it did not start.
const LAST_WORDS_LINES: usize = 20;

/// A running engine.
#[derive(Debug)]
pub(super) struct Engine {
    process: Process,
    socket: std::path::PathBuf,
}

impl Engine {
    /// The one that answers on the socket.
    pub(super) fn running(place: &Place) -> Option<Self> {
        let socket = place.control_socket();
        call(&socket, Request::Ping, PING_TIMEOUT).ok()?;
        let process = Process::listening_on(&socket).ok()?;
        Some(Self { process, socket })
    }

    /// Starts one and waits until it answers.
    pub(super) fn start(
        place: &Place,
        program: &Path,
        stop: &AtomicUsize,
    ) -> Result<Self, Failure> {
        let what = "engine";
        let log = place.engine_log();
        let fail = |error: io::Error| Failure::new(what, error);
        std::fs::create_dir_all(place.run()).map_err(fail)?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&place.config).arg("--data").arg(&place.data);
        let process = Process::start(&mut command, &log)
            .map_err(|error| Failure::new(what, format_args!("{}: {error}", program.display())))?;
        let mut engine = Self { process, socket: place.control_socket() };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if call(&engine.socket, Request::Ping, PING_TIMEOUT).is_ok() {
                return Ok(engine);
            }
            if engine.process.ended(Duration::from_millis(50)) {
                let how = engine.process.end();
                return Err(Failure::new(
                    what,
                    format_args!("{how} before it answered; its last words:\n{}", last_words(&log)),
                )
                .next(format_args!("sekisho{} config check", place.arguments())));
            }
            if Instant::now() >= deadline || stop.load(Ordering::SeqCst) > 0 {
                engine.process.signal(Signal::TERM);
                return Err(Failure::new(
                    what,
                    format_args!("no answer on {}", engine.socket.display()),
                )
                .next(format_args!("less {}", log.display())));
            }
        }
    }

    /// Its process number.
    pub(super) fn number(&self) -> i32 {
        self.process.number()
    }

    /// Waits until it has ended, at most `limit`; whether it has.
    pub(super) fn ended(&mut self, limit: Duration) -> bool {
        self.process.ended(limit)
    }

    /// How it ended.
    pub(super) fn end(&mut self) -> String {
        self.process.end()
    }

    /// Where it listens, as it says itself.
    pub(super) fn listeners(&self) -> Vec<String> {
        let Ok(Response::Status { status }) = call(&self.socket, Request::Status, PING_TIMEOUT)
        else {
            return Vec::new();
        };
        let listeners = status.get("listeners").and_then(|list| list.as_array());
        let text = |value: &serde_json::Value| {
            let address = value.as_str().or_else(|| value.get("address")?.as_str())?;
            let tls = value.get("tls").and_then(|tls| tls.as_str()).unwrap_or_default();
            Some(if tls.is_empty() { address.to_owned() } else { format!("{address} ({tls})") })
        };
        listeners.map(|list| list.iter().filter_map(text).collect()).unwrap_or_default()
    }

    /// Lets it finish what it has; killed only at a second signal or when it never ends. Whether it
    /// ended by itself.
    pub(super) fn drain(&mut self, stop: &AtomicUsize) -> bool {
        match call(&self.socket, Request::Drain, PING_TIMEOUT) {
            Ok(_) | Err(CallError::Nobody) => {}
            // A socket that does not answer: the signal says the same.
            Err(CallError::Broken(_)) => self.process.signal(Signal::TERM),
        }
        let asked = stop.load(Ordering::SeqCst);
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while !self.process.ended(Duration::from_millis(200)) {
            if stop.load(Ordering::SeqCst) > asked || Instant::now() >= deadline {
                self.process.signal(Signal::KILL);
                self.process.ended(PING_TIMEOUT);
                return false;
            }
        }
        true
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LAST_WORDS_LINES);
    lines.iter().skip(from).map(|line| format!("  {line}\n")).collect()
}
