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

/// Until its listeners are bound: it verifies and maps gigabytes of tables before.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// One answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A drain waits for sessions in DATA; each has minutes by RFC 5321 section 4.5.3.2.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(180);
/// How much of its last words is shown when it did not start.
const LAST_WORDS_LINES: usize = 20;
const LAST_WORDS_BYTES: u64 = 64 * 1024;

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

    /// Starts one and waits until every listener of it is bound.
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
        // The socket answers before the listeners are bound: only then does it run.
        while !engine.is_ready(place) {
            if engine.process.ended(Duration::from_millis(50)) {
                let how = engine.process.end();
                return Err(engine.did_not_start(place, &how));
            }
            if Instant::now() >= deadline || stop.load(Ordering::SeqCst) > 0 {
                engine.process.signal(Signal::TERM);
                return Err(Failure::new(what, "was not ready in time")
                    .next(format_args!("less {}", log.display())));
            }
        }
        Ok(engine)
    }

    /// What an engine that has started wrote of itself.
    fn about(place: &Place) -> serde_json::Value {
        let about = std::fs::read(place.run().join("engine.json")).unwrap_or_default();
        serde_json::from_slice(&about).unwrap_or_default()
    }

    /// Where its figures are, if it serves them.
    pub(super) fn metrics(place: &Place) -> Option<String> {
        Some(Self::about(place).get("metrics")?.as_str()?.to_owned())
    }

    /// Whether every listener of it is bound: it says so by writing its number down.
    fn is_ready(&self, place: &Place) -> bool {
        let about = Self::about(place);
        about.get("pid").and_then(serde_json::Value::as_i64) == Some(self.number().into())
            && call(&self.socket, Request::Ping, PING_TIMEOUT).is_ok()
    }

    /// Its last words and the next step that they suggest.
    fn did_not_start(&self, place: &Place, how: &str) -> Failure {
        let words = self.process.words(&place.engine_log(), LAST_WORDS_BYTES);
        let lines: Vec<&str> = words.lines().collect();
        let from = lines.len().saturating_sub(LAST_WORDS_LINES);
        let last: String = lines.iter().skip(from).map(|line| format!("\n  {line}")).collect();
        Failure::new("engine", format_args!("{how} before it was ready; its last words:{last}"))
            .next(next_step(&words, place))
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

/// What helps against the usual reasons not to start.
fn next_step(words: &str, place: &Place) -> String {
    let says = |text: &str| words.contains(text);
    if says("Address already in use") {
        let file = place.config.display();
        format!("ss -ltnp shows who listens there; or name another address in {file}")
    } else if says("Permission denied") {
        format!("ls -lR {} shows what this user may not read", place.data.display())
    } else if says("No space left") {
        format!("df -h {}", place.data.display())
    } else {
        format!("sekisho{} config check", place.arguments())
    }
}

#[cfg(test)]
mod tests {
    use super::next_step;
    use crate::place::Place;
    use std::path::Path;

    #[test]
    fn the_next_step_fits_what_the_engine_said_last() {
        let place = Place::new(Path::new("var"), None);
        let next = |words| next_step(words, &place);
        assert!(
            next("listen on 127.0.0.1:25: Address already in use (os error 98)").contains("ss ")
        );
        assert!(next("var/spool: Permission denied").contains("ls -lR var"));
        assert!(next("var/spool: No space left on device").contains("df -h var"));
        assert_eq!(next("something else"), "sekisho config check");
    }
}
