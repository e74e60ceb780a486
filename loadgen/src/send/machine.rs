//! Where a run takes place.

use std::fs;

use crate::report::Machine;

/// This machine. What the system does not tell stays empty.
#[must_use]
pub fn machine() -> Machine {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
        value.unwrap_or_default().to_owned()
    };
    let memory = field(&text("/proc/meminfo"), "MemTotal");
    Machine {
        kernel: format!("Linux {}", text("/proc/sys/kernel/osrelease").trim()),
        cpu: field(&text("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_kib: memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0),
        loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: None,
        durability: None,
    }
}
