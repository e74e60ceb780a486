//! `[[tables.source]]` of `sekisho.toml` to sources.

use std::path::{Path, PathBuf};

use super::{HostFlags, ListFormat, NetworkClass, RuleFormat, Source, SourceKind, Sources};
use crate::config::{self, Config, SourceFormat, TableKind};
use crate::scan::yara;
use crate::tables::{Owner, Polarity, Side, SourceError, disk};

impl Sources {
    /// The sources that a configuration names. Relative paths are below `base`; a directory stands for
    /// all files in it, and in the directories in it, with an extension of the format, by name. `own_hosts` as in the field.
    ///
    /// # Errors
    /// A directory that cannot be read, a missing file that is not optional; all of them.
    pub fn of_config(
        config: &Config,
        config_text: String,
        base: &Path,
        own_hosts: Vec<String>,
    ) -> Result<Self, Vec<SourceError>> {
        let mut files = Vec::new();
        let mut errors = Vec::new();
        for source in &config.tables.sources {
            let path = base.join(&source.path);
            match expand(&path, source) {
                Ok(paths) => files.extend(paths.into_iter().map(|path| {
                    let kind = kind(source, &path);
                    Source { path, kind }
                })),
                Err(error) => errors.push(SourceError::new(&path, 0, 0, error.to_string())),
            }
        }
        if errors.is_empty() {
            Ok(Self { config_text, own_hosts, files, ..Self::default() })
        } else {
            Err(errors)
        }
    }
}

/// Directories below a source's own that are looked into.
const DEPTH_MAX: usize = 8;

/// The files that a source stands for. A directory without any is a mistake, not an empty table: rules
/// that nobody runs look like mail that nobody finds fault with.
fn expand(path: &Path, source: &config::Source) -> std::io::Result<Vec<PathBuf>> {
    if !path.exists() {
        let missing = std::io::Error::from(rustix::io::Errno::NOENT);
        return if source.optional { Ok(Vec::new()) } else { Err(missing) };
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let extensions: &[&str] = match (source.format, source.kind) {
        (SourceFormat::Toml, _) => &["toml"],
        (SourceFormat::Csv, _) => &["csv"],
        (SourceFormat::List, _) => &["txt", "list"],
        (SourceFormat::Rbldnsd, _) => &["zone", "rbldnsd"],
        (SourceFormat::Spamassassin, _) => &["cf"],
        (SourceFormat::Clamav, TableKind::Hashes) => &[
            "hdb", "hsb", "mdb", "msb", "hdu", "hsu", "mdu", "msu", "imp", "fp", "sfp", "ign",
            "ign2",
        ],
        // Those that are not read are named in the report.
        (SourceFormat::Clamav, _) => &[
            "ndb", "ldb", "ndu", "ldu", "cdb", "ign", "ign2", "idb", "fuzzy", "crb", "ftm", "pdb",
            "gdb", "wdb", "pwdb", "cbc", "cfg", "info", "ioc", "yar", "yara",
        ],
        (SourceFormat::Yara, _) => &["yar", "yara"],
    };
    let mut files = Vec::new();
    gather(path, extensions, DEPTH_MAX, &mut files)?;
    if files.is_empty() && !source.optional {
        let text = format!("no file in this directory ends in .{}", extensions.join(", ."));
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, text));
    }
    Ok(files)
}

/// Adds the files in `dir` that have one of `extensions`, by name, then those of the directories in
/// it. Links to directories are left out: they may lead back.
fn gather(
    dir: &Path,
    extensions: &[&str],
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    let (dirs, others): (Vec<_>, Vec<_>) =
        disk::names(dir)?.into_iter().map(|name| dir.join(name)).partition(|path| path.is_dir());
    files.extend(others.into_iter().filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        path.is_file() && extension.is_some_and(|extension| extensions.contains(&extension))
    }));
    for below in dirs.into_iter().filter(|path| !path.is_symlink()) {
        if depth == 0 {
            let text = format!("{}: more than {DEPTH_MAX} directories deep", below.display());
            return Err(std::io::Error::other(text));
        }
        gather(&below, extensions, depth - 1, files)?;
    }
    Ok(())
}

fn kind(source: &config::Source, path: &Path) -> SourceKind {
    let name = if source.name.is_empty() {
        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    } else {
        source.name.to_string()
    };
    let format = match source.format {
        SourceFormat::Rbldnsd => ListFormat::Rbldnsd,
        SourceFormat::Toml
        | SourceFormat::Csv
        | SourceFormat::List
        | SourceFormat::Spamassassin
        | SourceFormat::Clamav
        | SourceFormat::Yara => ListFormat::Plain,
    };
    match source.kind {
        TableKind::Domains => SourceKind::Domains,
        TableKind::Recipients => SourceKind::Recipients,
        TableKind::Senders if source.format == SourceFormat::List => SourceKind::EntryList {
            owner: Owner::Gateway.to_string(),
            side: Side::Sender,
            polarity: Polarity::Block,
        },
        TableKind::Senders => SourceKind::Entries,
        TableKind::Networks => SourceKind::Networks {
            list: name,
            class: match source.class {
                config::NetworkClass::Allow => NetworkClass::Allow,
                config::NetworkClass::Deny => NetworkClass::Deny,
                config::NetworkClass::Suspect => NetworkClass::Suspect,
                config::NetworkClass::Positive => NetworkClass::Positive,
            },
            format,
        },
        TableKind::Hashes => SourceKind::Hashes,
        TableKind::Urls => SourceKind::Hosts { flags: host_flags(&name), list: name, format },
        TableKind::Patterns => SourceKind::Patterns {
            format: match source.format {
                SourceFormat::Spamassassin => RuleFormat::Spamassassin,
                // As for ClamAV itself; without YARA they are noted with all that is not read.
                SourceFormat::Clamav if yara::IS_HERE && is_yara(path) => RuleFormat::Yara,
                SourceFormat::Clamav => RuleFormat::Clamav,
                SourceFormat::Yara => RuleFormat::Yara,
                SourceFormat::Toml
                | SourceFormat::Csv
                | SourceFormat::List
                | SourceFormat::Rbldnsd => RuleFormat::Toml,
            },
        },
    }
}

/// Whether a file among signatures of ClamAV holds YARA rules.
fn is_yara(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ending.eq_ignore_ascii_case("yar") || ending.eq_ignore_ascii_case("yara")
}

/// What a list of hosts says of them, by its name: `shortener..`, `disposable..`, `free-mail..`, `suspicious-object..`;
/// any other one is a list of bad hosts.
fn host_flags(name: &str) -> HostFlags {
    let name = name.to_ascii_lowercase();
    let mut flags = HostFlags::default();
    if name.starts_with("shortener") {
        flags.shortener = true;
    } else if name.starts_with("disposable") {
        flags.disposable = true;
    } else if name.starts_with("free-mail") || name.starts_with("freemail") {
        flags.free_mail = true;
    } else if name.starts_with("suspicious-object") {
        flags.suspicious = true;
    } else {
        flags.bad = true;
    }
    flags
}
