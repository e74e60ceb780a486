//! One engine with a configuration, a domain and a data directory of its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sekisho_core::control::{Answer, Call, Request, Response};
use sekisho_loadgen::client::{Client, Mail, Sent};
use serde_json::Value;
use tempfile::TempDir;

use crate::process;
use crate::wait::{DEADLINE, wait_longer};

/// The domain that mail is accepted for.
pub const DOMAIN: &str = "demo.test";
/// The engine compiles patterns at its first start.
const START: Duration = Duration::from_secs(120);

/// How a gateway is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Next hop of the domain; none: no route.
    pub hop: Option<SocketAddr>,
    /// `through` or `spool`.
    pub mode: &'static str,
    /// Lines of `[delivery]`.
    pub delivery: String,
    /// Lines of `[engine]`.
    pub engine: String,
    /// Lines of `[smtp]`.
    pub smtp: String,
    /// Lines of `[storage]`.
    pub storage: String,
    /// Lines of the first `[[listener]]`.
    pub listener: String,
    /// Lines of `[authentication]`. Senders are not checked unless a test says so: it has to bring a DNS.
    pub authentication: &'static str,
    /// Further sections of the configuration.
    pub config: String,
    /// Lines of the domain, before its route.
    pub domain: String,
    /// Lines of `[domain.settings]`.
    pub settings: String,
    /// Further domains.
    pub domains: String,
    /// Files beside the configuration: name and text.
    pub files: Vec<(String, String)>,
    /// Executors.
    pub shards: u16,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            hop: None,
            mode: "through",
            delivery: String::new(),
            engine: String::new(),
            smtp: String::new(),
            storage: String::new(),
            listener: String::new(),
            authentication: "enabled = false",
            config: String::new(),
            domain: String::new(),
            settings: "recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n".to_owned(),
            domains: String::new(),
            files: Vec::new(),
            shards: 2,
        }
    }
}

impl Setup {
    /// Everything goes to this hop.
    #[must_use]
    pub fn to(hop: SocketAddr) -> Self {
        Self { hop: Some(hop), ..Self::default() }
    }

    fn config_text(&self, smtp: SocketAddr) -> String {
        format!(
            "[engine]\ndata_dir = \"..\"\nshards = {shards}\nhost_name = \"gateway.test\"\n\
             {engine}\n[[listener]]\naddress = \"{smtp}\"\n{listener}\n\
             [smtp]\n{smtp_lines}\n\
             [delivery]\nmode = \"{mode}\"\nretry_seconds = [1]\njitter_percent = 0\n\
             back_off_seconds_min = 1\nback_off_seconds_max = 1\n{delivery}\n\
             [storage]\nreserve_bytes = 1048576\n{storage}\n\
             [authentication]\n{authentication}\n[analysis]\nworkers = 1\n[metrics]\naddress = \"off\"\n\
             [[tables.source]]\npath = \"domains.toml\"\nkind = \"domains\"\nformat = \"toml\"\n\
             [[tables.source]]\npath = \"rules\"\nkind = \"patterns\"\nformat = \"toml\"\n\
             optional = true\n{config}\n",
            shards = self.shards,
            engine = self.engine,
            listener = self.listener,
            smtp_lines = self.smtp,
            mode = self.mode,
            delivery = self.delivery,
            storage = self.storage,
            authentication = self.authentication,
            config = self.config,
        )
    }

    fn domains_text(&self) -> String {
        let mut text =
            format!("[[domain]]\nname = \"{DOMAIN}\"\nprofile = \"securemail\"\n{}\n", self.domain);
        if let Some(hop) = self.hop {
            let _ = writeln!(
                text,
                "[[domain.route]]\nhost = \"{}\"\nport = {}\ntls = \"never\"",
                hop.ip(),
                hop.port()
            );
        }
        let _ = writeln!(text, "[domain.settings]\n{}\n{}", self.settings, self.domains);
        text
    }
}

/// A running engine; ended when dropped.
#[derive(Debug)]
pub struct Gateway {
    dir: TempDir,
    smtp: SocketAddr,
    engine: Option<Child>,
    launch: Launch,
}

/// What an engine is started with besides its own arguments: for faults that come from outside of it.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// A program that becomes the engine in a mount namespace of its own (`unshare ... sh -c '...; exec "$@"' sh`),
    /// and its arguments.
    pub wrapper: Vec<OsString>,
    /// Variables of its environment (`LD_PRELOAD`).
    pub environment: Vec<(OsString, OsString)>,
}

/// A program of the workspace: beside the test program, in the same profile.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let built = own.ancestors().map(|dir| dir.join(name)).find(|path| path.is_file());
    built.unwrap_or_else(|| panic!("{name} is not built: cargo build --bins, or make test"))
}

/// A port that was free a moment ago. The engine is started again on the same one, so it cannot
/// choose it.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

impl Gateway {
    /// Writes the configuration, builds the tables, starts the engine, waits until it accepts mail.
    ///
    /// # Panics
    /// Any of it fails; the engine's last words are shown.
    #[must_use]
    pub fn start(setup: &Setup) -> Self {
        let mut gateway = Self::prepare(setup);
        gateway.up();
        gateway
    }

    /// The same without starting the engine.
    ///
    /// # Panics
    /// The tables cannot be built.
    #[must_use]
    pub fn prepare(setup: &Setup) -> Self {
        let dir = tempfile::tempdir().expect("a data directory");
        let launch = Launch::default();
        let gateway = Self { dir, smtp: free_port(), engine: None, launch };
        let etc = gateway.etc();
        fs::create_dir_all(etc.join("rules")).expect("etc");
        fs::create_dir_all(gateway.data().join("run")).expect("run");
        gateway.write("sekisho.toml", &setup.config_text(gateway.smtp));
        gateway.write("domains.toml", &setup.domains_text());
        for (name, text) in &setup.files {
            gateway.write(name, text);
        }
        let built = gateway.sekisho(&["tables", "build"]);
        assert!(built.status.success(), "tables build: {}", words(&built));
        gateway
    }

    /// Starts the engine and waits until it accepts mail.
    ///
    /// # Panics
    /// It does not.
    pub fn up(&mut self) {
        self.up_with(|address| {
            Client::hello(address, "probe.test", Duration::from_secs(2)).map(Client::quit)
        });
    }

    /// The same where a session begins in another way than with a greeting.
    ///
    /// # Panics
    /// It does not accept mail.
    pub fn up_with(&mut self, probe: impl Fn(SocketAddr) -> std::io::Result<()>) {
        let log = File::options().create(true).append(true).open(self.engine_log());
        let log = log.expect("a file for the engine's words");
        let mut command = match self.launch.wrapper.split_first() {
            None => Command::new(program("sekisho-engine")),
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program("sekisho-engine"));
                command
            }
        };
        let mut child = command
            .envs(self.launch.environment.iter().map(|(name, value)| (name, value)))
            .arg("--config")
            .arg(self.etc().join("sekisho.toml"))
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("sekisho-engine starts");
        wait_longer("the engine accepts mail", START, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the engine ended ({status}):\n{}", self.last_words());
            }
            probe(self.smtp).ok()
        });
        self.engine = Some(child);
    }

    /// Starts it in another way from now on.
    pub fn launch(&mut self, launch: Launch) {
        self.launch = launch;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.kill();
            let _ = engine.wait();
        }
    }

    /// The same; how many connections it had to this next hop at that moment, each with one delivery at most.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill_counting(&mut self, hop: SocketAddr) -> usize {
        // Stopped first: what is counted cannot change before the kill.
        process::signal(self.pid(), rustix::process::Signal::STOP);
        let in_flight = process::connections_to(hop);
        self.kill();
        in_flight
    }

    /// SIGTERM, and the end by itself.
    ///
    /// # Panics
    /// It does not end.
    pub fn drain(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let pid = rustix::process::Pid::from_child(&engine);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
            let status = wait_longer("the engine drains", Duration::from_secs(60), || {
                engine.try_wait().expect("its state")
            });
            assert!(status.success(), "drained with {status}:\n{}", self.last_words());
        }
    }

    /// Whether it still runs.
    pub fn is_up(&mut self) -> bool {
        self.engine.as_mut().is_some_and(|engine| matches!(engine.try_wait(), Ok(None)))
    }

    /// Process number of the engine.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.engine.as_ref().expect("a running engine").id()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration's directory.
    #[must_use]
    pub fn etc(&self) -> PathBuf {
        self.data().join("etc")
    }

    /// Writes a file beside the configuration.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.etc().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file of the test");
    }

    /// Flips a bit at the end of every table of a generation.
    ///
    /// # Panics
    /// There is none.
    pub fn damage_generation(&self, generation: u64) {
        let dir = self.data().join(format!("generations/{generation}"));
        for entry in fs::read_dir(dir).expect("a generation").flatten() {
            let table = entry.path();
            if table.extension().is_some_and(|extension| extension == "table") {
                let mut octets = fs::read(&table).expect("a table");
                *octets.last_mut().expect("a table that is not empty") ^= 1;
                // Under a name of its own: the files may be links.
                fs::remove_file(&table).expect("a table");
                fs::write(&table, octets).expect("a table");
            }
        }
    }

    /// Where it takes mail.
    #[must_use]
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    fn engine_log(&self) -> PathBuf {
        self.data().join("run/engine.log")
    }

    /// The end of what the engine said.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read(self.engine_log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let from = text.len().saturating_sub(6000);
        text.get(from..).unwrap_or(&text).to_owned()
    }

    /// A session after EHLO.
    ///
    /// # Panics
    /// It is not accepted.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::hello(self.smtp, "client.example.com", DEADLINE)
            .unwrap_or_else(|error| panic!("no session: {error}\n{}", self.last_words()))
    }

    /// Sends one mail in a session of its own.
    ///
    /// # Panics
    /// The session breaks.
    #[must_use]
    pub fn send(&self, from: &str, to: &[&str], content: &[u8]) -> Sent {
        let mut client = self.client();
        let sent = client.send(&Mail { from, to, content });
        let sent = sent.unwrap_or_else(|error| panic!("send: {error}\n{}", self.last_words()));
        client.quit();
        sent
    }

    /// One call on the control socket.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    pub fn control(&self, request: Request) -> Response {
        use std::io::{BufRead, BufReader, Write};
        let socket = self.data().join("run/control.sock");
        let mut stream =
            std::os::unix::net::UnixStream::connect(socket).expect("the control socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let call = Call { id: uuid::Uuid::now_v7().simple().to_string(), request };
        let mut line = serde_json::to_string(&call).expect("a call");
        line.push('\n');
        stream.write_all(line.as_bytes()).expect("a call is sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("an answer");
        let answer: Answer = serde_json::from_str(&answer).expect("an answer in JSON");
        answer.response
    }

    /// The engine's figures.
    ///
    /// # Panics
    /// It does not answer with them.
    #[must_use]
    pub fn status(&self) -> Value {
        match self.control(Request::Status) {
            Response::Status { status } => status,
            other => panic!("status: {other:?}"),
        }
    }

    /// How many mails wait in the queue.
    ///
    /// # Panics
    /// The engine does not say.
    #[must_use]
    pub fn queued(&self) -> u64 {
        // After a restart the queue is read while new mail is already taken: until then it counts less.
        wait_longer("what the last run left is read", Duration::from_secs(60), || {
            let status = self.status();
            (status.pointer("/gauges/recovering") == Some(&Value::from(0))).then_some(())
        });
        match self.control(Request::QueueList { domain: None, rows_max: 1 }) {
            Response::Queue { total, .. } => total,
            other => panic!("queue list: {other:?}"),
        }
    }

    /// The command line on this data directory.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn sekisho(&self, arguments: &[&str]) -> Output {
        let mut command = match &self.engine {
            // Where the engine has mounts of its own, they are looked at with its eyes.
            Some(engine) if !self.launch.wrapper.is_empty() => {
                let mut command = Command::new("nsenter");
                command
                    .arg(format!("--mount=/proc/{}/ns/mnt", engine.id()))
                    .arg(program("sekisho"));
                command
            }
            _ => Command::new(program("sekisho")),
        };
        command
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("sekisho starts")
    }

    /// The same with `--json`: the objects of its lines, whatever the exit code below 2.
    ///
    /// # Panics
    /// It could not run, or a line is not JSON.
    #[must_use]
    pub fn sekisho_json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.sekisho(&all);
        assert!(output.status.code().is_some_and(|code| code < 2), "{all:?}: {}", words(&output));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            crate::left_out("(failed test) the engine's last words", &self.last_words());
        }
    }
}

/// What a command said, for a failure's text.
#[must_use]
pub fn words(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
