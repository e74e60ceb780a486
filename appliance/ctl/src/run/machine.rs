//! What the machine must offer, and the exact line that fixes what it does not.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::output;

/// glommio refuses to make an executor below it.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// Sessions, segments, maps; below it few sessions fit.
const FILES_MIN: u64 = 4096;
/// The oldest kernel that glommio's io_uring calls work on.
const KERNEL_MIN: (u32, u32) = (5, 8);
/// Below it the first mails fill the disk's reserve.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Between lines of a fix, as [`report`] indents them.
const LINE: &str = "\n           ";
// The lines that fix what is missing. `tests/machine.sh` says them before the build; a test holds the two together.
const NEW_KERNEL: &str = "apt-get install linux-image-amd64";
const ALLOW_IO_URING: &str = "sysctl -w kernel.io_uring_disabled=0";
const CONTAINER: &str = "the container forbids it: start it with --security-opt seccomp=unconfined";
const MORE_LOCKED: &str = "prlimit --pid $$ --memlock=67108864:67108864";
const MORE_LOCKED_FOR_GOOD: &str = "echo '* - memlock 65536' > /etc/security/limits.d/sekisho.conf";

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// What.
    pub(super) what: &'static str,
    /// What was found.
    pub(super) found: String,
    /// What it means.
    pub(super) verdict: Verdict,
}

/// What a check means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// It runs, but look at it: this line helps.
    Weak(String),
    /// It cannot run: this line fixes it.
    Missing(String),
}

/// Looks at everything; raises soft limits to what is needed where that is allowed.
pub(super) fn check(data: &Path, engine: &Path) -> Vec<Check> {
    vec![kernel(), io_uring(), processor(), memory_lock(), files(), disk(data), program(engine)]
}

/// Prints what is not good; whether it can run.
pub(super) fn report(checks: &[Check], all: bool) -> bool {
    let mut runs = true;
    for check in checks {
        match &check.verdict {
            Verdict::Good if all => {
                output::words(format_args!("  ok       {}: {}", check.what, check.found));
            }
            Verdict::Good => {}
            Verdict::Weak(fix) => {
                output::words(format_args!("  look at  {}: {}", check.what, check.found));
                output::words(format_args!("           {fix}"));
            }
            Verdict::Missing(fix) => {
                runs = false;
                output::words(format_args!("  missing  {}: {}", check.what, check.found));
                output::words(format_args!("           {fix}"));
            }
        }
    }
    runs
}

/// How this user does something as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// Is root.
    Already,
    /// Debian's installer sets it up unless root has a password.
    Sudo,
    /// And then there is this.
    Su,
}

impl Root {
    fn of_this_user() -> Self {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if rustix::process::geteuid().is_root() {
            Self::Already
        } else if std::env::split_paths(&paths).any(|path| path.join("sudo").is_file()) {
            Self::Sudo
        } else {
            Self::Su
        }
    }

    /// The line to type. What a shell has to do for it (`$$`, `>`) is done by the right one.
    fn line(self, command: &str) -> String {
        match self {
            Self::Already => command.to_owned(),
            Self::Sudo if command.contains('>') => format!("sudo sh -c \"{command}\""),
            Self::Sudo => format!("sudo {command}"),
            Self::Su => format!("su -c \"{command}\""),
        }
    }
}

fn as_root(command: &str) -> String {
    Root::of_this_user().line(command)
}

fn new_kernel() -> String {
    format!("{}{LINE}then start the machine again", as_root(NEW_KERNEL))
}

fn kernel() -> Check {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    match version(&release) {
        Some(version) if version < KERNEL_MIN => {
            let (major, minor) = KERNEL_MIN;
            let found = format!("{release}, at least {major}.{minor} is needed");
            Check { what: "kernel", found, verdict: Verdict::Missing(new_kernel()) }
        }
        _ => Check { what: "kernel", found: release.into_owned(), verdict: Verdict::Good },
    }
}

/// `6.1.0-18-amd64` is (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn io_uring() -> Check {
    let (found, verdict) = match io_uring::IoUring::new(8) {
        Ok(_) => ("allowed".to_owned(), Verdict::Good),
        Err(error) => (error.to_string(), Verdict::Missing(io_uring_fix(&error))),
    };
    Check { what: "io_uring", found, verdict }
}

fn io_uring_fix(error: &std::io::Error) -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let disabled = disabled.is_ok_and(|text| text.trim() != "0");
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::PERM) if disabled => as_root(ALLOW_IO_URING),
        Some(rustix::io::Errno::PERM) => CONTAINER.to_owned(),
        Some(rustix::io::Errno::NOMEM) => memory_lock_fix(),
        _ => new_kernel(),
    }
}

/// Hyperscan needs SSSE3; without it the engine cannot load a pattern.
fn processor() -> Check {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = information.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let (found, verdict) = if flags.is_empty() {
        ("unknown".to_owned(), Verdict::Good)
    } else if has("ssse3") {
        let width = ["avx512bw", "avx2", "ssse3"].into_iter().find(|flag| has(flag));
        (width.unwrap_or("ssse3").to_owned(), Verdict::Good)
    } else {
        let fix = "a machine whose processor has SSSE3 (any since 2006; in a virtual machine choose \
                   the CPU model \"host\")";
        ("no SSSE3".to_owned(), Verdict::Missing(fix.to_owned()))
    };
    Check { what: "processor", found, verdict }
}

/// The limit in force after the soft one was raised as far as `wanted` and the hard one allow.
fn raise(resource: Resource, wanted: u64) -> Option<u64> {
    let limit = getrlimit(resource);
    let soft = limit.current?;
    if soft >= wanted {
        return Some(soft);
    }
    let raised = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    let asked = Rlimit { current: Some(raised), maximum: limit.maximum };
    match setrlimit(resource, asked) {
        Ok(()) => Some(raised),
        Err(_) => Some(soft),
    }
}

fn memory_lock_fix() -> String {
    let (now, for_good) = (as_root(MORE_LOCKED), as_root(MORE_LOCKED_FOR_GOOD));
    format!("{now}{LINE}for good, from the next login on:{LINE}{for_good}")
}

fn memory_lock() -> Check {
    // More than the minimum, where it is to be had: each shard registers buffers.
    let limit = raise(Resource::Memlock, 64 << 20);
    let mut found = limit.map_or_else(|| "unlimited".to_owned(), output::bytes);
    let verdict = match limit {
        Some(limit) if limit < MEMLOCK_BYTES_MIN => {
            found.push_str(&format!(", at least {} are needed", output::bytes(MEMLOCK_BYTES_MIN)));
            Verdict::Missing(memory_lock_fix())
        }
        _ => Verdict::Good,
    };
    Check { what: "memory-lock limit", found, verdict }
}

fn files() -> Check {
    let limit = raise(Resource::Nofile, 1 << 20);
    let mut found = limit.map_or_else(|| "unlimited".to_owned(), |limit| format!("{limit} files"));
    let verdict = match limit {
        Some(limit) if limit < FILES_MIN => {
            found.push_str(&format!(", {FILES_MIN} are few"));
            Verdict::Weak(as_root("prlimit --pid $$ --nofile=65536:65536"))
        }
        _ => Verdict::Good,
    };
    Check { what: "open-file limit", found, verdict }
}

fn disk(data: &Path) -> Check {
    let existing = data.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("."));
    let existing = if existing == Path::new("") { Path::new(".") } else { existing };
    let (found, verdict) = match rustix::fs::statvfs(existing) {
        Ok(figures) => {
            let free = figures.f_bavail.saturating_mul(figures.f_frsize);
            let verdict = if free < FREE_BYTES_MIN {
                Verdict::Weak("--data on a disk with room, or make room".to_owned())
            } else {
                Verdict::Good
            };
            let of = match verdict {
                Verdict::Weak(_) => format!(", {} are few", output::bytes(FREE_BYTES_MIN)),
                Verdict::Good | Verdict::Missing(_) => String::new(),
            };
            (format!("{} free{of}", output::bytes(free)), verdict)
        }
        Err(error) => (error.to_string(), Verdict::Weak(format!("ls -ld {}", existing.display()))),
    };
    Check { what: "disk", found, verdict }
}

fn program(engine: &Path) -> Check {
    let verdict = if engine.is_file() {
        Verdict::Good
    } else {
        Verdict::Missing("make build, or --engine FILE".to_owned())
    };
    Check { what: "engine", found: engine.display().to_string(), verdict }
}

#[cfg(test)]
mod tests {
    use super::{
        ALLOW_IO_URING, CONTAINER, Check, KERNEL_MIN, MEMLOCK_BYTES_MIN, MORE_LOCKED,
        MORE_LOCKED_FOR_GOOD, NEW_KERNEL, Root, Verdict, check, io_uring_fix, report, version,
    };
    use std::path::Path;

    #[test]
    fn kernel_releases_are_read_as_numbers() {
        for (release, want) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.10.0", Some((5, 10))),
            ("6.18.44-fc-v595", Some((6, 18))),
            ("x", None),
        ] {
            assert_eq!(version(release), want, "{release}");
        }
    }

    #[test]
    fn what_is_missing_stops_the_start_and_what_is_weak_does_not() {
        let check = |verdict| Check { what: "x", found: "y".to_owned(), verdict };
        assert!(report(&[check(Verdict::Good), check(Verdict::Weak("w".to_owned()))], true));
        assert!(!report(&[check(Verdict::Missing("m".to_owned()))], false));
    }

    #[test]
    fn what_needs_root_is_a_line_for_who_is_root_has_sudo_or_only_su() {
        for (root, command, line) in [
            (Root::Already, "a", "a"),
            (Root::Sudo, "a", "sudo a"),
            (Root::Sudo, "a > b", "sudo sh -c \"a > b\""),
            (Root::Su, "a > b", "su -c \"a > b\""),
        ] {
            assert_eq!(root.line(command), line);
        }
    }

    #[test]
    fn the_check_before_the_build_has_the_same_bounds_and_says_the_same_lines() {
        let script = include_str!("../../../../tests/machine.sh").replace("\\$", "$");
        for line in [NEW_KERNEL, ALLOW_IO_URING, CONTAINER, MORE_LOCKED, MORE_LOCKED_FOR_GOOD] {
            assert!(script.contains(line), "{line}");
        }
        let (major, minor) = KERNEL_MIN;
        assert!(script.contains(&format!("at least {major}.{minor} is needed")));
        assert!(script.contains(&format!("at least {} KiB are needed", MEMLOCK_BYTES_MIN / 1024)));
    }

    #[test]
    fn the_check_before_the_build_stops_where_a_limit_is_low_or_the_kernel_old() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/machine.sh");
        for (wrapper, argument, says) in [
            ("prlimit", "--memlock=65536:65536", "memory-lock limit: 64 KiB, at least 512 KiB"),
            ("setarch", "--uname-2.6", "kernel: 2.6."),
        ] {
            let done = std::process::Command::new(wrapper).args([argument, script]).output();
            let done = done.unwrap_or_else(|error| panic!("{wrapper}: {error}"));
            let words = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{words}");
            assert!(words.contains(says), "{says} in {words}");
        }
    }

    #[test]
    fn an_engine_that_is_not_there_is_missing_and_every_missing_thing_names_its_fix() {
        let checks = check(Path::new("/nowhere/var"), Path::new("/nowhere/sekisho-engine"));
        let engine = checks.iter().find(|check| check.what == "engine").unwrap();
        assert!(matches!(&engine.verdict, Verdict::Missing(fix) if fix.contains("make build")));
        let error = std::io::Error::from_raw_os_error(rustix::io::Errno::NOMEM.raw_os_error());
        assert!(io_uring_fix(&error).contains("prlimit"), "no memory: the lock limit");
        let error = std::io::Error::from_raw_os_error(rustix::io::Errno::NOSYS.raw_os_error());
        assert!(io_uring_fix(&error).contains("linux-image"), "no system call: the kernel");
    }
}
