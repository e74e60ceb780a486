//! Lengths of files and lines, and what must not be in any of them.

use std::path::{Path, PathBuf};

use sekisho_tests::corpus::{files, repository};

/// Lines of code in a file; tests have files of their own beyond 100.
const CODE_LINES_MAX: usize = 500;
/// Columns of a line (rustfmt leaves strings and comments alone).
const COLUMNS_MAX: usize = 140;

/// Every Rust file of the workspace.
pub(crate) fn sources() -> Vec<PathBuf> {
    let repository = repository();
    ["core", "appliance", "bench", "loadgen", "tests"]
        .iter()
        .flat_map(|folder| files(&repository.join(folder)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "target"))
        .collect()
}

/// Whether a file holds nothing but tests.
fn is_tests(path: &Path) -> bool {
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    in_tests || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// Lines of code before the tests at the end of a file; comments are welcome and do not count.
fn code_lines(text: &str) -> usize {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn no_file_of_code_is_longer_than_the_wall() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|path| !is_tests(path))
        .filter_map(|path| {
            let lines = code_lines(&std::fs::read_to_string(path).unwrap());
            (lines > CODE_LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "over {CODE_LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn no_line_runs_off_the_page() {
    let mut wide = Vec::new();
    for path in sources().iter().filter(|path| !is_tests(path)) {
        for (number, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                wide.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(wide.is_empty(), "over {COLUMNS_MAX} columns:\n{}", wide.join("\n"));
}

#[test]
fn unsafe_code_stands_only_where_a_decision_lets_it() {
    let allowed = [
        "core/src/tables/",
        "core/src/scan/patterns/",
        "core/src/analysis/",
        "core/src/socket/kernel/",
        "loadgen/src/send/ring.rs",
        "appliance/engine/src/memory.rs",
        "bench/examples/byte_path/bare.rs",
    ];
    let repository = repository();
    let mut found = Vec::new();
    for path in sources() {
        let name = path.strip_prefix(&repository).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let has = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            // Spelled in two halves, so that this file does not find itself.
            code.contains(concat!("unsafe", " {"))
                || code.contains(concat!("unsafe", " fn"))
                || code.contains(concat!("unsafe", " impl"))
        });
        if has && !allowed.iter().any(|room| name.starts_with(room)) {
            found.push(name);
        }
    }
    assert!(found.is_empty(), "unsafe code outside its rooms:\n{}", found.join("\n"));
}

#[test]
fn every_exception_from_a_lint_says_why() {
    let repository = repository();
    let mut found = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let is_exception = line.starts_with("#[allow(") || line.starts_with("#[expect(");
            let closes = line.ends_with(")]");
            if is_exception && closes && !line.contains("reason") {
                found.push(format!(
                    "{}:{}",
                    path.strip_prefix(&repository).unwrap().display(),
                    number + 1
                ));
            }
        }
    }
    assert!(found.is_empty(), "without a reason:\n{}", found.join("\n"));
}
