//! Processes that outlive this one: the engine and the demo's next hop.
//!
//! They run in process groups of their own (Ctrl-C in the terminal reaches only us) and write to
//! files (a pipe to a dead parent would end them). Nothing ties their lives to ours: an engine whose
//! control process was killed goes on, and the next one takes it over by the socket.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A log beyond this is set aside at the next start.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// A living or dead process, our child or not. The descriptor names the process itself, so a number
/// that the system gave to another one is no danger.
#[derive(Debug)]
pub(super) struct Process {
    child: Option<Child>,
    number: i32,
    descriptor: OwnedFd,
    /// Where its own words begin in the log that it shares with those before it.
    words_from: u64,
}

impl Process {
    /// Starts `command` with its words appended to `log`.
    pub(super) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        if std::fs::metadata(log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            std::fs::rename(log, log.with_extension("log.1"))?;
        }
        let out = File::options().create(true).append(true).open(log)?;
        let words_from = out.metadata()?.len();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { child: Some(child), number: pid.as_raw_nonzero().get(), descriptor, words_from })
    }

    /// The process that listens on a Unix socket.
    pub(super) fn listening_on(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        let peer = rustix::net::sockopt::socket_peercred(&stream)?;
        Self::running(peer.pid)
    }

    /// A process by its number.
    pub(super) fn running(pid: Pid) -> io::Result<Self> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let number = pid.as_raw_nonzero().get();
        Ok(Self { child: None, number, descriptor, words_from: 0 })
    }

    /// Its number, for messages.
    pub(super) fn number(&self) -> i32 {
        self.number
    }

    /// What it wrote to its log, at most the last `bytes_max` octets.
    pub(super) fn words(&self, log: &Path, bytes_max: u64) -> String {
        let mut words = Vec::new();
        let read = File::open(log).and_then(|mut file| {
            let end = file.metadata()?.len();
            let from = self.words_from.max(end.saturating_sub(bytes_max));
            file.seek(io::SeekFrom::Start(from))?;
            file.take(bytes_max).read_to_end(&mut words)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&words).into_owned(),
            Err(error) => format!("{}: {error}", log.display()),
        }
    }

    /// Waits until it has ended, at most `limit`; whether it has. A signal may cut the wait short.
    pub(super) fn ended(&mut self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).ok();
        let mut watched = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let has_ended = matches!(poll(&mut watched, limit.as_ref()), Ok(1..));
        if has_ended && let Some(child) = &mut self.child {
            // Reaped here, so that no dead engine stays in the process table.
            let _ = child.wait();
        }
        has_ended
    }

    /// How it ended, if it was our child.
    pub(super) fn end(&mut self) -> String {
        match self.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => status.to_string(),
            Some(Err(error)) => error.to_string(),
            None => "ended".to_owned(),
        }
    }

    /// Sends a signal; a process that has ended takes none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }
}

/// When a process that died is started again: at once, then after longer and longer pauses.
#[derive(Debug)]
pub(super) struct BackOff {
    pause: Duration,
    started: Instant,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);
    /// Who lived so long begins again with the first pause.
    const HEALTHY: Duration = Duration::from_secs(60);

    /// For a process that was started at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { pause: Self::FIRST, started: now }
    }

    /// It was started again at `now`.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = now;
    }

    /// It died at `now`: how long to wait.
    pub(super) fn died(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.started) >= Self::HEALTHY {
            self.pause = Self::FIRST;
        }
        let pause = self.pause;
        self.pause = (self.pause * 2).min(Self::LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::{BackOff, Process};
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn pauses_grow_to_a_bound_and_begin_again_after_a_healthy_life() {
        let start = Instant::now();
        let mut back_off = BackOff::new(start);
        let pauses: Vec<u128> = (0..12).map(|_| back_off.died(start).as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[11], 30_000);
        let later = start + Duration::from_secs(600);
        back_off.started(later);
        assert_eq!(back_off.died(later + Duration::from_secs(5)).as_millis(), 30_000);
        assert_eq!(back_off.died(later + Duration::from_secs(61)).as_millis(), 100);
    }

    #[test]
    fn the_words_of_a_process_are_its_own_and_not_those_of_the_one_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "an old failure\n").unwrap();
        let mut child = Process::start(Command::new("echo").arg("a new one"), &log).unwrap();
        assert!(child.ended(Duration::from_secs(10)));
        assert_eq!(child.words(&log, 1000), "a new one\n");
        assert_eq!(child.words(&log, 4), "one\n");
    }

    #[test]
    fn the_end_of_a_process_is_seen_whether_it_is_a_child_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut child =
            Process::start(Command::new("sleep").arg("60"), &dir.path().join("log")).unwrap();
        let pid = rustix::process::Pid::from_raw(child.number()).unwrap();
        let mut stranger = Process::running(pid).unwrap();
        assert!(!child.ended(Duration::ZERO));
        assert!(!stranger.ended(Duration::ZERO));
        stranger.signal(rustix::process::Signal::TERM);
        assert!(child.ended(Duration::from_secs(10)));
        assert!(stranger.ended(Duration::from_secs(10)));
        assert!(child.end().contains("15"), "{}", child.end());
    }
}
