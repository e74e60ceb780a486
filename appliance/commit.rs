//! Build script of the programs: the commit that they are built from, as `SEKISHO_COMMIT` (or `unknown`).
//!
//! `5f0c2a9b41d7`, and `, with changes` behind it where files that make the programs differ from it. Asked anew
//! when a commit is made or such a file changes, so a build of what is there already builds nothing; without git,
//! or outside of a checkout, the programs are built all the same. A program says it after `--version`.

#![expect(clippy::print_stdout, reason = "a build script talks to cargo there")]

use std::path::Path;
use std::process::{Command, Stdio};

/// What programs are made of, below the workspace.
const MADE_OF: [&str; 6] =
    ["core", "appliance", "loadgen", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];

fn main() {
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let top = Path::new(&package)
        .ancestors()
        .find(|place| place.join("Cargo.lock").is_file())
        .unwrap_or_else(|| Path::new("."));
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(top).args(words).stdin(Stdio::null()).stderr(Stdio::null());
        let output = git.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A file that is not there would be asked for at every build.
    let watch = |file: &Path| {
        if file.exists() {
            println!("cargo::rerun-if-changed={}", file.display());
        }
    };
    MADE_OF.iter().for_each(|name| watch(&top.join(name)));
    let head = git(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "packed-refs", &head] {
        if let Some(file) = git(&["rev-parse", "--git-path", name]).filter(|_| !name.is_empty()) {
            watch(&top.join(file));
        }
    }
    // The checkout must be this one, not one that the sources were unpacked in.
    let is_ours = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| is_ours);
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    let status = ["status", "--porcelain", "--untracked-files=normal", "--"];
    let changed = git(&[&status[..], &MADE_OF[..]].concat()).filter(|_| is_ours);
    let changes =
        if changed.is_some_and(|files| !files.is_empty()) { ", with changes" } else { "" };
    println!("cargo::rustc-env=SEKISHO_COMMIT={commit}{changes}");
}
