//! Damaged records as an alarm that stays until somebody has looked: `run/damaged` has a line for each, and the alarm
//! is raised while the file is there. Whoever has looked removes it. A count in memory went out with the next
//! restart, whether or not anybody had seen it; and one that nobody can end hides the next damage.
//!
//! At most [`FILE_BYTES_MAX`] octets: what is damaged beyond that is in the engine's diagnostics alone. Everything
//! here blocks: it runs on glommio's helper thread, or on those that answer for figures.

#![expect(clippy::disallowed_methods, reason = "runs beside the shards, never on one")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::clock::UnixMillis;
use crate::spool::Damage;

/// Some hundreds of damages.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The file in the data directory.
fn file(data: &Path) -> PathBuf {
    data.join("run/damaged")
}

/// One line of the file.
pub(super) fn line(damage: &Damage, now: UnixMillis) -> String {
    let text = damage.to_string().replace(['\r', '\n'], " ");
    format!("{} {text}\n", now.as_secs())
}

/// Adds lines; what is there already is not told twice: a segment that is not compacted yet is found damaged at
/// each start.
///
/// # Errors
/// The file cannot be written, or its disk is full: the caller keeps count.
pub(super) fn append(data: &Path, lines: &str) -> io::Result<()> {
    let path = file(data);
    let mut file = File::options().create(true).append(true).open(&path)?;
    let known = std::fs::read_to_string(&path)?;
    let about = |line: &str| line.split_once(' ').map_or("", |(_, text)| text).to_owned();
    let told: BTreeSet<String> = known.lines().map(about).collect();
    let mut fresh = String::new();
    for line in lines.split_inclusive('\n') {
        let room = FILE_BYTES_MAX.saturating_sub((known.len() + fresh.len()) as u64);
        if room >= line.len() as u64 && !told.contains(&about(line.trim_end())) {
            fresh.push_str(line);
        }
    }
    file.write_all(fresh.as_bytes())?;
    file.sync_data()
}

/// Text of the alarm while it is raised. `uncounted`: damages that could not be written down.
pub(super) fn alarm(data: &Path, uncounted: u64) -> Option<String> {
    let path = file(data);
    let lines = match std::fs::read_to_string(&path) {
        Ok(text) => text.lines().count() as u64,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        // It is there, whatever is in it.
        Err(_) => 1,
    };
    let all = lines + uncounted;
    let path = path.display();
    (all > 0).then(|| {
        format!(
            "{all} damaged records were set aside, {path} names each: look at the disk, then remove \
             that file"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_stays_until_its_file_is_removed_and_the_file_has_a_bound() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("run")).unwrap();
        assert_eq!(alarm(data.path(), 0), None);
        assert!(alarm(data.path(), 2).unwrap().starts_with("2 damaged records"));
        let damage = Damage {
            path: "/s/0000000001.segment".into(),
            offset: 12_288,
            bytes: 8_192,
            what: "body checksum 1,\nexpected 2".to_owned(),
            acknowledged: true,
        };
        let first = line(&damage, UnixMillis(1_800_000_000_000));
        assert!(first.starts_with("1800000000 segment /s/0000000001.segment offset 12288"));
        assert_eq!(first.matches('\n').count(), 1, "{first}");
        let later = UnixMillis(1_800_000_001_000);
        let at = |offset| line(&Damage { offset, ..damage.clone() }, later);
        append(data.path(), &first).unwrap();
        // The next start finds it again, and another one.
        append(data.path(), &(at(12_288) + &at(20_480))).unwrap();
        let text = alarm(data.path(), 0).unwrap();
        assert!(text.starts_with("2 damaged records") && text.contains("run/damaged"), "{text}");
        let many: String = (0..2_000).map(|n| at(n * 4096)).collect();
        for _ in 0..2 {
            append(data.path(), &many).unwrap();
        }
        let bytes = std::fs::metadata(file(data.path())).unwrap().len();
        assert!(bytes <= FILE_BYTES_MAX && bytes > FILE_BYTES_MAX - 200, "{bytes}");
        std::fs::remove_file(file(data.path())).unwrap();
        assert_eq!(alarm(data.path(), 0), None);
    }
}
