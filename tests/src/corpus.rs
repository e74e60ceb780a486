//! The development corpus, where it lies beside the repository (`../shared/corpus/*.tar.xz`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::left_out;

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The unpacked folder of one archive; none, said plainly, where the archive is not there.
///
/// # Panics
/// The archive is there and cannot be unpacked.
#[must_use]
pub fn folder(name: &str) -> Option<PathBuf> {
    let beside = repository().parent()?.join("shared/corpus");
    let archive = beside.join(format!("{name}.tar.xz"));
    if !archive.is_file() {
        left_out(&format!("corpus {name}"), &format!("there is no {}", archive.display()));
        return None;
    }
    let target = std::env::current_exe().ok()?;
    let target = target.ancestors().find(|dir| dir.ends_with("target"))?.join("corpus");
    let done = target.join(name);
    if done.is_dir() {
        return Some(done);
    }
    // Tests run side by side: each unpacks for itself, the first rename wins.
    let own = target.join(format!(".{name}-{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir_all(&own).expect("a directory for the corpus");
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&own).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{} unpacks", archive.display());
    let won = fs::rename(own.join(name), &done);
    let _ = fs::remove_dir_all(&own);
    assert!(won.is_ok() || done.is_dir(), "{} is unpacked", done.display());
    Some(done)
}

/// Every file beneath a folder, by name.
///
/// # Panics
/// A directory cannot be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the corpus") {
            let path = entry.expect("an entry of the corpus").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
