//! A next hop that is a process of its own: it can be killed, stopped and started again on its port.
//! What it took is in its ledger, a line for each mail, written before the answer.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::gateway::program;
use crate::process::connections_to;
use crate::stand::PATIENCE;
use crate::wait::wait_longer;

/// The program `sekisho-loadgen sink`; ended when dropped.
#[derive(Debug)]
pub struct SinkProcess {
    address: SocketAddr,
    child: Option<Child>,
    dir: TempDir,
    arguments: Vec<String>,
}

impl SinkProcess {
    /// A sink on a free port, with these further arguments.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let mut sink = Self {
            address: ([127, 0, 0, 1], 0).into(),
            child: None,
            dir: tempfile::tempdir().expect("a directory for the sink"),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        };
        // There also if it never takes a mail.
        File::create(sink.ledger()).expect("a ledger");
        sink.up();
        sink
    }

    /// Where it listens, also while it is down.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it took, over all its lives.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// How many mails it took.
    #[must_use]
    pub fn taken(&self) -> usize {
        lines(&self.ledger())
    }

    /// Starts it, on the port that it had.
    ///
    /// # Panics
    /// It does not.
    pub fn up(&mut self) {
        let said = self.dir.path().join("said");
        let out = File::create(&said).expect("a file for its words");
        let child = Command::new(program("sekisho-loadgen"))
            .args(["sink", "--no-script", "--listen", &self.address.to_string(), "--ledger"])
            .arg(self.ledger())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("a second handle"))
            .stdout(out)
            .spawn()
            .expect("sekisho-loadgen starts");
        // Before anything can fail: whoever starts it also ends it.
        let child = self.child.insert(child);
        self.address = wait_longer("the sink listens", PATIENCE, || {
            let text = fs::read_to_string(&said).unwrap_or_default();
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the sink ended ({status}): {text}");
            }
            text.strip_prefix("READY ")?.strip_suffix('\n')?.parse().ok()
        });
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running sink");
        crate::process::signal(child.id(), signal);
    }

    /// It hangs: connections are made by the kernel, and nothing answers.
    ///
    /// # Panics
    /// It does not run.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on where it was stopped.
    ///
    /// # Panics
    /// It does not run.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`; how many connections it had at that moment, each with one delivery at most.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) -> usize {
        self.stop();
        let in_flight = connections_to(self.address);
        let mut child = self.child.take().expect("a running sink");
        child.kill().expect("SIGKILL to the sink");
        child.wait().expect("the sink's end");
        in_flight
    }
}

impl Drop for SinkProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Complete lines of a file; 0 if it is not there.
#[must_use]
pub fn lines(path: &Path) -> usize {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut octets));
    if read.is_err() {
        return 0;
    }
    octets.iter().filter(|octet| **octet == b'\n').count()
}
