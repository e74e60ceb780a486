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
    let release = text("/proc/sys/kernel/osrelease");
    let memory = field(&text("/proc/meminfo"), "MemTotal");
    Machine {
        kernel: format!("Linux {}", version(&release)),
        cpu: field(&text("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_kib: memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0),
        loadgen_version: crate::VERSION.to_owned(),
        engine: None,
        durability: None,
    }
}

/// The version in a kernel's release. What comes behind its first `-` is somebody's own name for a build.
fn version(release: &str) -> &str {
    let release = release.trim();
    release.split_once('-').map_or(release, |(version, _)| version)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_is_its_version_without_the_name_of_a_build() {
        for (release, version) in
            [("6.18.44-host.a1\n", "6.18.44"), ("6.1.0\n", "6.1.0"), ("6.1-rc1-x", "6.1"), ("", "")]
        {
            assert_eq!(super::version(release), version, "{release}");
        }
    }
}
