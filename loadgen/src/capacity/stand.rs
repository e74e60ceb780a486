//! One engine of the plan: its configuration, its tables, its process and its end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{CapacityOptions, Part, Rules};
use crate::engine::Engine;
use crate::random::Random;
use crate::report::sheet::{Disk, Programs};

/// The domain that mail is for.
pub(super) const DOMAIN: &str = "capacity.test";
/// An engine is up within this; patterns of another machine are compiled anew.
pub(super) const START: Duration = Duration::from_secs(180);
/// An engine ends within this after SIGTERM.
const STOP: Duration = Duration::from_secs(60);
/// How often a start or an end is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// Signatures of text, besides the rules.
const LITERALS: usize = 20_000;
/// Octets of a program that are looked at for its digest.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// The starter rules of this release: the generator knows nothing of the engine but its programs.
const STARTER: &[(&str, &str)] = &[
    ("10-test.toml", include_str!("../../../core/data/rules/10-test.toml")),
    ("20-phishing-ja.toml", include_str!("../../../core/data/rules/20-phishing-ja.toml")),
    ("21-phishing-en.toml", include_str!("../../../core/data/rules/21-phishing-en.toml")),
    ("30-spam-ja.toml", include_str!("../../../core/data/rules/30-spam-ja.toml")),
    ("31-spam-en.toml", include_str!("../../../core/data/rules/31-spam-en.toml")),
    ("32-spam-topics.toml", include_str!("../../../core/data/rules/32-spam-topics.toml")),
    ("33-spam-offers-en.toml", include_str!("../../../core/data/rules/33-spam-offers-en.toml")),
    ("40-attachments.toml", include_str!("../../../core/data/rules/40-attachments.toml")),
];

/// A rule that every mail matches: what is measured is holding.
const EVERY_MAIL: &str = "[[rule]]\nname = \"CAPACITY_ALL\"\ndescribe_en = \"Every mail\"\n\
    describe_ja = \"すべてのメール\"\nfield = \"message-id\"\npattern = '.'\nkind = \"spam\"\npoints = 1000\n";

/// A running engine; ended when dropped.
pub(super) struct Stand {
    child: Child,
    smtp: SocketAddr,
    engine: Engine,
}

impl Stand {
    /// Writes the configuration, builds the tables unless a row before had the same, starts the engine.
    pub(super) fn start(
        options: &CapacityOptions,
        part: &Part,
        hop: SocketAddr,
        tell: &dyn Fn(&str),
    ) -> io::Result<Self> {
        let rules = part.rules.unwrap_or(Rules::Without);
        let data = options.scratch.join(format!("engine-{rules:?}"));
        empty(&data)?;
        let smtp = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let etc = data.join("etc");
        fs::create_dir_all(&etc)?;
        let mut config = configuration(options, part, smtp);
        for (format, path) in sources(options, rules, &etc)? {
            // Writing to a string cannot fail.
            let _ = write!(
                config,
                "[[tables.source]]\npath = {:?}\nkind = \"patterns\"\nformat = \"{format}\"\n",
                path.display().to_string()
            );
        }
        fs::write(etc.join("sekisho.toml"), config)?;
        fs::write(etc.join("domains.toml"), domain(rules, hop))?;
        if !data.join("generations").is_dir() {
            tell("building the tables");
            build(&options.programs, &data)?;
        }
        tell("starting the engine");
        let log = File::create(data.join("engine.log"))?;
        let mut command = Command::new(options.programs.join("sekisho-engine"));
        command.arg("--config").arg(etc.join("sekisho.toml")).arg("--data").arg(&data);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A process is born on the cores of the thread that makes it.
        pin(&options.engine_cores)?;
        let spawned = command.spawn();
        pin(&options.generator_cores)?;
        let mut child = spawned.map_err(|error| named(&options.programs, &error))?;
        match up(&mut child, &data) {
            Ok(engine) => Ok(Self { child, smtp, engine }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let words = fs::read_to_string(data.join("engine.log")).unwrap_or_default();
                let last: Vec<&str> = words.lines().rev().take(5).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                Err(io::Error::other(format!("{error}\n{}", last.join("\n"))))
            }
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Lets it drain and end.
    pub(super) fn stop(mut self) -> io::Result<()> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0)) {
            kill_process(pid, Signal::TERM)?;
        }
        let end = Instant::now() + STOP;
        while Instant::now() < end {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(io::Error::other(format!("the engine ended: {status}")));
                }
                None => thread::sleep(LOOK),
            }
        }
        Err(io::Error::other(format!("the engine did not drain within {} s", STOP.as_secs())))
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // Our own child: after it was waited for this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn up(child: &mut Child, data: &Path) -> io::Result<Engine> {
    let end = Instant::now() + START;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("the engine ended: {status}")));
        }
        if let Ok(engine) = Engine::of(data)
            && engine.status().is_ok_and(|status| status.figure("generation") > 0)
        {
            return Ok(engine);
        }
        thread::sleep(LOOK);
    }
    Err(io::Error::other(format!("the engine was not up within {} s", START.as_secs())))
}

/// Takes everything out of a data directory but the tables.
fn empty(data: &Path) -> io::Result<()> {
    if !data.is_dir() {
        return fs::create_dir_all(data);
    }
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "generations") {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}

fn configuration(options: &CapacityOptions, part: &Part, smtp: SocketAddr) -> String {
    let cores = options.engine_cores.len().max(1);
    format!(
        "[engine]\ndata_dir = \"..\"\nshards = {cores}\nhost_name = \"{DOMAIN}\"\n\
         [[listener]]\naddress = \"{smtp}\"\n[delivery]\nmode = \"{}\"\n[analysis]\nworkers = {cores}\n\
         [metrics]\naddress = \"off\"\n[authentication]\nenabled = false\n\
         [[tables.source]]\npath = \"domains.toml\"\nkind = \"domains\"\nformat = \"toml\"\n",
        part.mode.unwrap_or("through"),
    )
}

/// Everything is delivered, whatever it is judged to be, unless holding is what is measured.
fn domain(rules: Rules, hop: SocketAddr) -> String {
    let spam = if rules == Rules::Hold { "quarantine" } else { "header" };
    format!(
        "[[domain]]\nname = \"{DOMAIN}\"\nprofile = \"securemail\"\n[[domain.route]]\nhost = \"{}\"\nport = {}\n\
         tls = \"never\"\n[domain.settings]\nrecipient.verify = \"off\"\nquarantine.reply = \"accept\"\n\
         spam.action = \"{spam}\"\nscan_exception.action = \"deliver\"\n",
        hop.ip(),
        hop.port(),
    )
}

/// Format and path of each source of patterns.
fn sources(
    options: &CapacityOptions,
    rules: Rules,
    etc: &Path,
) -> io::Result<Vec<(&'static str, PathBuf)>> {
    let mut sources = Vec::new();
    if rules >= Rules::Starter {
        let starter = etc.join("rules");
        fs::create_dir_all(&starter)?;
        for (name, text) in STARTER {
            fs::write(starter.join(name), text)?;
        }
        if rules == Rules::Hold {
            fs::write(starter.join("90-all.toml"), EVERY_MAIL)?;
        }
        sources.push(("toml", starter));
    }
    if let Some(directory) = options.spamassassin.as_ref().filter(|_| rules >= Rules::SpamAssassin)
    {
        sources.push(("spamassassin", fs::canonicalize(directory)?));
    }
    if rules >= Rules::All {
        let file = etc.join("literals.ndb");
        fs::write(&file, literals())?;
        sources.push(("clamav", file));
    }
    Ok(sources)
}

/// Signatures of octets that no mail has, always the same.
fn literals() -> String {
    let mut random = Random::new(5);
    let mut text = String::new();
    for number in 0..LITERALS {
        let _ = write!(text, "Capacity.Literal{number}:0:*:");
        for _ in 0..16 + random.below(25) {
            let _ = write!(text, "{:02x}", random.below(256));
        }
        text.push('\n');
    }
    text
}

fn build(programs: &Path, data: &Path) -> io::Result<()> {
    let mut command = Command::new(programs.join("sekisho"));
    command.arg("--data").arg(data).args(["tables", "build"]).stdin(Stdio::null());
    let built = command.output().map_err(|error| named(programs, &error))?;
    if built.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&built.stderr);
    Err(io::Error::other(format!("sekisho tables build: {}: {}", built.status, words.trim())))
}

fn named(programs: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("programs in {}: {error}", programs.display()))
}

/// The calling thread, and what it starts from now on, run on these cores only; empty: wherever they may.
pub(super) fn pin(cores: &[usize]) -> io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(io::Error::other(format!("core {core}: there is none")));
        }
        set.set(*core);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cores {cores:?}: {error}")))
}

/// Version and digest of the programs.
pub(super) fn programs(directory: &Path) -> io::Result<Programs> {
    let engine = directory.join("sekisho-engine");
    let file = File::open(&engine)
        .map_err(|error| io::Error::other(format!("{}: {error}", engine.display())))?;
    let mut octets = Vec::new();
    file.take(PROGRAM_BYTES_MAX).read_to_end(&mut octets)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &octets);
    let digest: String = digest.as_ref().iter().take(8).fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    });
    // `sekisho-engine 0.1.0 (5f0c2a9b41d7, with changes)`; one that is older has no brackets.
    let mut version = Command::new(&engine);
    version.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    let said = version.output().ok().filter(|output| output.status.success());
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let commit = said.as_deref().and_then(commit_in);
    Ok(Programs { engine_sha256: digest, commit })
}

/// The commit in what a program says of its version.
fn commit_in(said: &str) -> Option<String> {
    let (_, commit) = said.trim().strip_suffix(')')?.rsplit_once(" (")?;
    (commit != "unknown").then(|| commit.to_owned())
}

/// What the scratch directory lies on, and what a flush of 4 KiB takes there.
pub(super) fn disk(scratch: &Path) -> io::Result<Disk> {
    const PROBES: usize = 21;
    let kind = match rustix::fs::statfs(scratch)?.f_type {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs: nothing on it is durable",
        0x794C_7630 => "overlayfs",
        _ => "another file system",
    };
    let path = scratch.join("probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(Disk {
        file_system: kind.to_owned(),
        flush_ms: times.get(PROBES / 2).copied().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::{commit_in, literals};

    #[test]
    fn the_commit_is_what_the_engine_says_behind_its_version() {
        let commit = |said: &str| commit_in(&format!("sekisho-engine {said}\n"));
        assert_eq!(commit("0.1.0 (5f0c2a9b41d7)").as_deref(), Some("5f0c2a9b41d7"));
        let changed = commit("0.1.0 (5f0c2a9b41d7, with changes)");
        assert_eq!(changed.as_deref(), Some("5f0c2a9b41d7, with changes"));
        assert_eq!((commit("0.1.0 (unknown)"), commit("0.1.0")), (None, None));
    }

    #[test]
    fn there_are_as_many_literals_as_the_sheet_says_and_always_the_same() {
        let text = literals();
        assert_eq!(text.lines().count(), 20_000);
        assert!(text.lines().all(|line| {
            let hex = line.rsplit(':').next().unwrap();
            (32..=80).contains(&hex.len()) && hex.len() % 2 == 0
        }));
        assert_eq!(text, literals());
    }
}
