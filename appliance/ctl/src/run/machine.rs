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

fn kernel() -> Check {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let verdict = match version(&release) {
        Some(version) if version < KERNEL_MIN => Verdict::Missing(
            "sudo apt-get install linux-image-amd64, then start the machine again".to_owned(),
        ),
        _ => Verdict::Good,
    };
    Check { what: "kernel", found: release.into_owned(), verdict }
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
        Some(rustix::io::Errno::PERM) if disabled => {
            "sudo sysctl -w kernel.io_uring_disabled=0".to_owned()
        }
        Some(rustix::io::Errno::PERM) => {
            "the container forbids it: start it with --security-opt seccomp=unconfined".to_owned()
        }
        Some(rustix::io::Errno::NOMEM) => memory_lock_fix(),
        _ => {
            "a kernel built with CONFIG_IO_URING: sudo apt-get install linux-image-amd64".to_owned()
        }
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
    "sudo prlimit --pid $$ --memlock=67108864:67108864   (for good: echo '* - memlock 65536' | sudo \
     tee /etc/security/limits.d/sekisho.conf, then log in again)"
        .to_owned()
}

fn memory_lock() -> Check {
    // More than the minimum, where it is to be had: each shard registers buffers.
    let limit = raise(Resource::Memlock, 64 << 20);
    let found = limit.map_or_else(|| "unlimited".to_owned(), output::bytes);
    let verdict = match limit {
        Some(limit) if limit < MEMLOCK_BYTES_MIN => Verdict::Missing(memory_lock_fix()),
        _ => Verdict::Good,
    };
    Check { what: "memory-lock limit", found, verdict }
}

fn files() -> Check {
    let limit = raise(Resource::Nofile, 1 << 20);
    let found = limit.map_or_else(|| "unlimited".to_owned(), |limit| format!("{limit} files"));
    let verdict = match limit {
        Some(limit) if limit < FILES_MIN => {
            Verdict::Weak("sudo prlimit --pid $$ --nofile=65536:65536".to_owned())
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
            (format!("{} free", output::bytes(free)), verdict)
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
    use super::{Check, Verdict, check, io_uring_fix, report, version};
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
