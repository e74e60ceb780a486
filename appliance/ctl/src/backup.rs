//! `backup` and `restore`: configuration, sources of tables, secrets, training. Not mail: spool, quarantine
//! and log are the box's own, and generations are built again from their sources.
//!
//! The file is a zstd-compressed tar with the paths `config/sekisho.toml`, `config/...` (sources beside
//! it), `secrets/...`, `training/...` (reported mails as features: they stand nowhere else) and
//! `changes.json`: the single changes of `list` and `recipient`, which stand in no source. Sources
//! elsewhere on the disk (a package's rules) are named and left out.
//! It is made with mode 0600, for it holds private keys.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use sekisho_core::tables::Change;

use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;
use crate::publish::{self, position, progress_bar};

const CONFIG_NAME: &str = "config/sekisho.toml";
/// Sources that lie beside the configuration.
const CONFIG_DIR: &str = "config";
/// The directories of the data directory that are saved.
const SECRETS: &str = "secrets";
const TRAINING: &str = "training";
/// Texts of notices, beside the configuration.
const NOTICES: &str = "notices";

/// Single changes to the tables, net.
const CHANGES_NAME: &str = "changes.json";
const CHANGES_BYTES_MAX: u64 = 2 << 30;

/// Runs `backup`.
pub(crate) fn backup(place: &Place, json: bool, file: &Path, yes: bool) -> Ran {
    let what = format!("backup {}", file.display());
    let fail = |error: io::Error| Failure::new(&what, error);
    if !place.config.is_file() {
        return Err(Failure::new(
            &what,
            format_args!("{}: no configuration to save", place.config.display()),
        )
        .next("--data and --config name what is saved"));
    }
    if file.exists() && !yes {
        let said = format!("sekisho: {what}: is there already; --yes overwrites it");
        return Ok(output::said(json, Outcome::No, said));
    }
    let changes = publish::publisher(place)?.changes();
    let changes = changes.map_err(|error| publish::failed(place, &what, &error))?;
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let out = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .map_err(fail)?;
    let files = files(place);
    let bytes = |(path, _): &(PathBuf, PathBuf)| fs::metadata(path).map_or(0, |one| one.len());
    let bar = progress_bar();
    position(&bar, "saving octets", 0, Some(files.iter().map(bytes).sum()));
    let mut encoder = zstd::Encoder::new(out, 6).map_err(fail)?;
    let mut archive = tar::Builder::new(bar.wrap_write(&mut encoder));
    archive.follow_symlinks(true);
    let mut saved = Vec::new();
    for (path, name) in files {
        archive
            .append_path_with_name(&path, name)
            .map_err(|error| Failure::new(path.display(), error))?;
        saved.push(path.display().to_string());
    }
    if let Some(changes) = changes {
        let text = serde_json::to_vec(&changes).map_err(io::Error::other).map_err(fail)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, CHANGES_NAME, text.as_slice()).map_err(fail)?;
        saved.push(publish::counted(changes.len(), "single change"));
    }
    drop(archive.into_inner().map_err(fail)?);
    bar.finish_and_clear();
    let mut out = encoder.finish().map_err(fail)?;
    out.flush().map_err(fail)?;
    out.sync_all().map_err(fail)?;
    fs::rename(&part, file).map_err(fail)?;
    if json {
        output::json(&serde_json::json!({"file": file.display().to_string(), "saved": saved}));
    } else {
        saved.iter().for_each(output::data);
        output::words(format_args!(
            "saved to {}; it holds private keys, keep it as you keep those",
            file.display()
        ));
    }
    Ok(Outcome::Done)
}

/// Every file that is saved, with its name in the archive.
fn files(place: &Place) -> Vec<(PathBuf, PathBuf)> {
    let mut files = vec![(place.config.clone(), PathBuf::from(CONFIG_NAME))];
    let config = publish::read_config(place).map(|(_, config)| config.tables.sources);
    match config {
        Ok(sources) => {
            for source in sources {
                let relative = source.path.components();
                if relative.clone().all(|part| matches!(part, Component::Normal(_))) {
                    let name = Path::new(CONFIG_DIR).join(&source.path);
                    tree(&place.etc().join(&source.path), &name, &mut files);
                } else {
                    output::words(format_args!(
                        "not saved, it lies elsewhere: {}",
                        source.path.display()
                    ));
                }
            }
        }
        Err(failure) => {
            output::words(failure);
            output::words("so only the file itself is saved, not the sources that it names");
        }
    }
    tree(&place.etc().join(NOTICES), &Path::new(CONFIG_DIR).join(NOTICES), &mut files);
    tree(&place.data.join(SECRETS), Path::new(SECRETS), &mut files);
    tree(&place.data.join(TRAINING), Path::new(TRAINING), &mut files);
    files
}

/// A file, or every file beneath a directory; what is not there is nothing.
fn tree(path: &Path, name: &Path, files: &mut Vec<(PathBuf, PathBuf)>) {
    if path.is_file() {
        files.push((path.to_owned(), name.to_owned()));
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        tree(&entry.path(), &name.join(entry.file_name()), files);
    }
}

/// Runs `restore`.
pub(crate) fn restore(place: &Place, json: bool, file: &Path, yes: bool) -> Ran {
    let what = format!("restore {}", file.display());
    let fail = |error: io::Error| Failure::new(&what, error);
    let input = File::open(file).map_err(fail)?;
    let bar = progress_bar();
    position(&bar, "reading octets", 0, input.metadata().ok().map(|file| file.len()));
    let input = zstd::Decoder::new(bar.wrap_read(input)).map_err(fail)?;
    let mut archive = tar::Archive::new(input);
    let mut written = Vec::new();
    let no_backup = |error: io::Error| {
        Failure::new(&what, format_args!("not a file that `sekisho backup` wrote: {error}"))
    };
    for entry in archive.entries().map_err(no_backup)? {
        let mut entry = entry.map_err(no_backup)?;
        let name = entry.path().map_err(fail)?.into_owned();
        if name == Path::new(CHANGES_NAME) {
            written.push(restore_changes(place, &what, entry, yes)?);
            continue;
        }
        let Some(target) = target(place, &name) else {
            return Err(Failure::new(
                &what,
                format_args!("{}: not a path that a backup holds", name.display()),
            ));
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if yes {
            put(&mut entry, &target).map_err(|error| {
                Failure::new(&what, format_args!("{}: {error}", target.display()))
            })?;
        }
        written.push(target.display().to_string());
    }
    bar.finish_and_clear();
    if written.is_empty() {
        return Err(Failure::new(&what, "nothing in it"));
    }
    if json {
        output::json(&serde_json::json!({"restored": yes, "files": written}));
    } else {
        written.iter().for_each(output::data);
    }
    if yes {
        output::words(format_args!("restored; now: sekisho{} tables build", place.arguments()));
    } else {
        output::words("would write these, over what is there; --yes does it");
    }
    Ok(Outcome::Done)
}

/// The single changes, for the next build to take in place of those that there are; how many.
fn restore_changes(
    place: &Place,
    what: &str,
    entry: impl io::Read,
    yes: bool,
) -> Result<String, Failure> {
    let changes: Vec<Change> = serde_json::from_reader(entry.take(CHANGES_BYTES_MAX))
        .map_err(|error| Failure::new(what, format_args!("{CHANGES_NAME}: {error}")))?;
    if yes {
        fs::create_dir_all(&place.data)
            .map_err(|error| Failure::new(place.data.display(), error))?;
        let restored = publish::publisher(place)?.restore_changes(&changes);
        restored.map_err(|error| publish::failed(place, what, &error))?;
    }
    Ok(publish::counted(changes.len(), "single change"))
}

/// Where an entry goes; none for a name that no backup of ours holds (`..`, absolute, unknown).
fn target(place: &Place, name: &Path) -> Option<PathBuf> {
    if name.components().any(|part| !matches!(part, Component::Normal(_))) {
        return None;
    }
    if name == Path::new(CONFIG_NAME) {
        return Some(place.config.clone());
    }
    if let Ok(source) = name.strip_prefix(CONFIG_DIR) {
        return (source != Path::new("")).then(|| place.etc().join(source));
    }
    let mut saved = [SECRETS, TRAINING].into_iter().map(Path::new);
    let is_saved = saved.any(|one| name.starts_with(one) && name != one);
    is_saved.then(|| place.data.join(name))
}

/// Writes under another name first: a half-restored file never has the real name.
fn put(entry: &mut impl io::Read, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut out =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::copy(entry, &mut out)?;
    out.sync_all()?;
    fs::rename(&part, target)
}

#[cfg(test)]
mod tests {
    use super::{backup, restore, target};
    use crate::outcome::Outcome;
    use crate::place::Place;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[test]
    fn what_was_saved_comes_back_and_only_with_yes() {
        let dir = tempfile::tempdir().unwrap();
        let from = Place::new(&dir.path().join("a"), None);
        fs::create_dir_all(from.etc().join("rules")).unwrap();
        fs::create_dir_all(from.data.join("secrets")).unwrap();
        fs::create_dir_all(from.data.join("spool")).unwrap();
        let text = sekisho_core::config::DEFAULT_TEXT;
        fs::write(&from.config, text).unwrap();
        fs::write(from.etc().join("rules/one.toml"), "x\n").unwrap();
        fs::write(from.etc().join("domains.toml"), "d\n").unwrap();
        fs::write(from.data.join("secrets/key.pem"), "k\n").unwrap();
        fs::create_dir_all(from.etc().join("notices/ja")).unwrap();
        fs::write(from.etc().join("notices/ja/virus.txt"), "n\n").unwrap();
        fs::write(from.data.join("spool/mail"), "m\n").unwrap();
        fs::create_dir_all(from.data.join("training")).unwrap();
        fs::write(from.data.join("training/journal"), "t\n").unwrap();
        let file = dir.path().join("backup.tar.zst");
        assert_eq!(backup(&from, true, &file, false), Ok(Outcome::Done));
        assert_eq!(backup(&from, true, &file, false), Ok(Outcome::No), "it is there already");
        assert_eq!(backup(&from, true, &file, true), Ok(Outcome::Done));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let to = Place::new(&dir.path().join("b"), None);
        assert_eq!(restore(&to, true, &file, false), Ok(Outcome::Done));
        assert!(!to.data.exists(), "nothing is written without --yes");
        assert_eq!(restore(&to, true, &file, true), Ok(Outcome::Done));
        assert_eq!(fs::read_to_string(&to.config).unwrap(), text);
        assert_eq!(fs::read_to_string(to.etc().join("rules/one.toml")).unwrap(), "x\n");
        assert_eq!(fs::read_to_string(to.etc().join("domains.toml")).unwrap(), "d\n");
        assert_eq!(fs::read_to_string(to.data.join("secrets/key.pem")).unwrap(), "k\n");
        assert_eq!(fs::read_to_string(to.etc().join("notices/ja/virus.txt")).unwrap(), "n\n");
        let training = fs::read_to_string(to.data.join("training/journal")).unwrap();
        assert_eq!(training, "t\n", "what was reported is nowhere else");
        assert!(!to.data.join("spool").exists(), "mail is not part of a backup");
    }

    #[test]
    fn names_that_no_backup_holds_are_refused() {
        let place = Place::new(Path::new("/d"), None);
        assert_eq!(
            target(&place, Path::new("config/sekisho.toml")),
            Some("/d/etc/sekisho.toml".into())
        );
        assert_eq!(target(&place, Path::new("config/a/b")), Some("/d/etc/a/b".into()));
        assert_eq!(target(&place, Path::new("secrets/k")), Some("/d/secrets/k".into()));
        for name in
            ["../etc/passwd", "/etc/passwd", "config/../../x", "spool/0/1", "config", "secrets", ""]
        {
            assert_eq!(target(&place, Path::new(name)), None, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("not.tar.zst");
        fs::write(&file, "nonsense").unwrap();
        let place = Place::new(dir.path(), None);
        let error = restore(&place, true, &file, true).unwrap_err().to_string();
        assert!(error.contains("not a file that `sekisho backup` wrote"), "{error}");
        assert!(backup(&Place::new(&dir.path().join("none"), None), true, &file, true).is_err());
    }
}
