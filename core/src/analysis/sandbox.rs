//! Locks a worker in: limits of the kernel, then a list of the system calls that are left.
//!
//! Closed before the first octet of a content is read. After that the process can read what it was
//! handed, allocate up to its limit, answer, and end. Any other system call ends it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::fs::{Gid, Uid};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::account::Account;

/// CPU seconds of one worker's life; it is replaced long before by count of requests.
const CPU_SECONDS_MAX: u64 = 3_600;
/// Open files: socket, three standard streams, tables, descriptors of one request.
const FILES_MAX: u64 = 256;

/// How long a thread may take to come to rest.
const THREADS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why a worker could not be locked in; it ends then, without having read anything.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A limit was refused by the kernel.
    #[error("resource limit: {0}")]
    Limit(#[from] rustix::io::Errno),
    /// A right could not be given up.
    #[error("{what}: {errno}")]
    Rights {
        /// Which.
        what: &'static str,
        /// Why.
        errno: rustix::io::Errno,
    },
    /// Another thread of the worker does not come to rest.
    #[error("threads of the worker: {0}")]
    Threads(std::io::Error),
    /// The filter was refused.
    #[error("system call filter: {0}")]
    Filter(String),
}

/// Becomes `account` for good, without any other group, and gives up every capability. The calling
/// thread must be the only one: these are rights of threads.
///
/// # Errors
/// [`SandboxError::Rights`]; nothing may be read then.
pub(super) fn give_up_rights(account: Option<Account>) -> Result<(), SandboxError> {
    let rights = |what| move |errno| SandboxError::Rights { what, errno };
    if let Some(Account { user, group }) = account {
        // What no program that is started could get back. Refused only to those who cannot anyway.
        for capability in CapabilitySet::all().iter() {
            let _ = remove_capability_from_bounding_set(capability);
        }
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        set_thread_groups(&[]).map_err(rights("supplementary groups"))?;
        set_thread_res_gid(group, group, group).map_err(rights("group"))?;
        set_thread_res_uid(user, user, user).map_err(rights("user"))?;
    }
    clear_ambient_capability_set().map_err(rights("ambient capabilities"))?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(rights("capabilities"))?;
    set_no_new_privs(true).map_err(rights("no new privileges"))
}

/// Whom the sandbox is closed around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// The calling thread, which is the only one.
    Calling,
    /// The one that counts the seconds of YARA rules, too. It began without rights.
    All,
}

/// Closes the sandbox around `threads`. `memory_bytes_max` is on top of what is mapped now: tables may be larger than any mail.
///
/// # Errors
/// [`SandboxError`]; nothing may be read then.
pub(super) fn close(memory_bytes_max: u64, threads: Threads) -> Result<(), SandboxError> {
    if threads == Threads::All {
        others_wait()?;
    }
    let address_space = mapped_bytes().saturating_add(memory_bytes_max);
    for (resource, bound) in [
        (Resource::As, address_space),
        (Resource::Cpu, CPU_SECONDS_MAX),
        (Resource::Nofile, FILES_MAX),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) })?;
    }
    // The second one may not be installed any more once the list is in force.
    for program in [refusals(), filter()] {
        let program = program.map_err(|error| SandboxError::Filter(error.to_string()))?;
        let applied = match threads {
            Threads::Calling => seccompiler::apply_filter(&program),
            Threads::All => seccompiler::apply_filter_all_threads(&program),
        };
        applied.map_err(|error| SandboxError::Filter(error.to_string()))?;
    }
    Ok(())
}

/// Waits until every other thread sleeps. One that has just been made asks the kernel for more than the list has (where its stack
/// is, for one), and would end the process.
#[expect(clippy::disallowed_methods, reason = "in a worker, before it is locked in")]
fn others_wait() -> Result<(), SandboxError> {
    let begun = super::now();
    let own = rustix::thread::gettid().as_raw_pid().to_string();
    // What is to be read is readable by everyone, also where the worker has become another user.
    let sleeps = |task: std::fs::DirEntry| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        task.file_name() == own.as_str() || status.contains("\nState:\tS")
    };
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").map_err(SandboxError::Threads)?;
        if tasks.flatten().all(sleeps) {
            return Ok(());
        }
        if begun.elapsed() > THREADS_WAIT_MAX {
            return Err(SandboxError::Threads(std::io::ErrorKind::TimedOut.into()));
        }
        std::thread::yield_now();
    }
}

/// Address space in use; zero where the kernel does not say.
#[expect(clippy::disallowed_methods, reason = "once, in a worker, before it is locked in")]
fn mapped_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or_default();
    let kibibytes: u64 = line.trim_end_matches("kB").trim().parse().unwrap_or(0);
    kibibytes.saturating_mul(1024)
}

/// Calls that allocators make in passing (glibc reads the kernel's overcommit mode when it gives
/// memory back, mimalloc asks for the processor). The list lets them through, and this second
/// filter answers "not permitted", which they take for "no": they do nothing and kill nobody.
#[cfg(target_arch = "x86_64")]
const REFUSED: &[i64] = &[libc::SYS_openat, libc::SYS_getcpu, libc::SYS_open, libc::SYS_access];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED: &[i64] = &[libc::SYS_openat, libc::SYS_getcpu, libc::SYS_faccessat];

/// Refuses [`REFUSED`]. Of two filters the stricter answer counts.
fn refusals() -> Result<BpfProgram, seccompiler::Error> {
    let rules = REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(NOT_PERMITTED),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

/// The calls that are left.
fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let allowed = [
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_readv,
        libc::SYS_recvmsg,
        libc::SYS_recvfrom,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_sched_yield,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        allowed.iter().chain(WAITS).chain(REFUSED).map(|&call| (call, Vec::new())).collect();
    // Memory that is written is never run, and no file is mapped into it.
    let not_executable =
        || SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(EXECUTABLE), 0);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![not_executable()?])?]);
    }
    // The standard library asks whether a descriptor is open before it closes it; nothing else of
    // fcntl is left.
    let ask = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, ASK_DESCRIPTOR)?;
    rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![ask])?]);
    // mimalloc gives every range that it maps a name.
    let name = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, NAME_MEMORY)?;
    rules.insert(libc::SYS_prctl, vec![SeccompRule::new(vec![name])?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

/// What the thread that counts the seconds of YARA rules waits with.
const WAITS: &[i64] = if cfg!(feature = "yara") { &[libc::SYS_clock_nanosleep] } else { &[] };

/// `PROT_EXEC`.
const EXECUTABLE: u64 = 4;
/// `EPERM`.
const NOT_PERMITTED: u32 = 1;
/// `PR_SET_VMA`.
const NAME_MEMORY: u64 = 0x5356_4D41;
/// `F_GETFD`.
const ASK_DESCRIPTOR: u64 = 1;
