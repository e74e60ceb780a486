//! Other processes as the kernel shows them: connections, children, memory; and signals to them.

use std::fs;
use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to a process by its number.
///
/// # Panics
/// There is no such process.
pub fn signal(pid: u32, signal: Signal) {
    let raw = i32::try_from(pid).expect("a process number");
    let pid = Pid::from_raw(raw).expect("a process number above 0");
    kill_process(pid, signal).expect("a signal");
}

/// Established TCP connections to an address on this machine, by the kernel's table.
///
/// # Panics
/// It cannot be read, or the address is not IPv4.
#[must_use]
pub fn connections_to(address: SocketAddr) -> usize {
    const ESTABLISHED: &str = "01";
    let SocketAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    // The kernel writes the four octets as one number of its own byte order.
    let number = u32::from_ne_bytes(address.ip().octets());
    let remote = format!("{number:08X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of TCP connections");
    let of_ours = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        fields.next() == Some(&remote) && fields.next() == Some(ESTABLISHED)
    };
    table.lines().filter(of_ours).count()
}

/// Analysis workers of an engine.
///
/// # Panics
/// `/proc` cannot be read.
#[must_use]
pub fn workers_of(engine: u32) -> Vec<u32> {
    let parent = format!("PPid:\t{engine}\n");
    let worker = |pid: &u32| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        read("status").is_ok_and(|status| status.contains(&parent))
            && read("cmdline").is_ok_and(|command| command.contains("analysis-worker"))
    };
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(worker).collect()
}

/// The most memory that a process had at once (`VmHWM`), in KiB; `None` once it is gone.
#[must_use]
pub fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// `RssAnon` and `RssShmem` of a process together, in KiB; `None` once it is gone.
#[must_use]
pub fn memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Some(field("RssAnon:")? + field("RssShmem:")?)
}
