//! `[[tables.source]]`: the files that a generation is built from.

use std::path::PathBuf;

use super::walk::Section;

/// What a source fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// Domains with settings and routes (our TOML).
    Domains,
    /// Valid recipients.
    Recipients,
    /// Sender allow and block entries.
    Senders,
    /// Client networks.
    Networks,
    /// Hashes of bad parts.
    Hashes,
    /// Hosts of URLs.
    Urls,
    /// Patterns.
    Patterns,
}

/// How a source is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceFormat {
    /// Our TOML.
    Toml,
    /// CSV with a header line.
    Csv,
    /// One entry a line.
    List,
    /// rbldnsd zone.
    Rbldnsd,
    /// SpamAssassin rules.
    Spamassassin,
    /// ClamAV text signatures; the kind follows from the file name's extension.
    Clamav,
    /// YARA rules.
    Yara,
}

/// Class of the networks of a source (kind `networks`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkClass {
    /// Never judged by address.
    Allow,
    /// Refused.
    Deny,
    /// Suspected (`X-AS: SUSPECT`).
    Suspect,
    /// Bad (`X-AS: POSITIVE`).
    #[default]
    Positive,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File or directory (all files in it that have the format's extension).
    pub path: PathBuf,
    /// What it fills.
    pub kind: TableKind,
    /// How it is written.
    pub format: SourceFormat,
    /// Name in findings and logs; empty = file name.
    pub name: Box<str>,
    /// For kind `networks`.
    pub class: NetworkClass,
    /// A missing file is not an error.
    pub optional: bool,
}

/// `[tables]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Sources in order.
    pub sources: Vec<Source>,
}

impl Default for Tables {
    fn default() -> Self {
        let source = |path: &str, kind, format, optional| Source {
            path: path.into(),
            kind,
            format,
            name: "".into(),
            class: NetworkClass::default(),
            optional,
        };
        Self {
            sources: vec![
                source("domains.toml", TableKind::Domains, SourceFormat::Toml, false),
                source("rules", TableKind::Patterns, SourceFormat::Toml, true),
                source("recipients.csv", TableKind::Recipients, SourceFormat::Csv, true),
                source("senders.csv", TableKind::Senders, SourceFormat::Csv, true),
            ],
        }
    }
}

impl Tables {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        if !section.has("source") {
            section.tables("source", |_| ());
            return Self::default();
        }
        Self { sources: section.tables("source", source).into_iter().flatten().collect() }
    }
}

/// One `[[tables.source]]`; `None` if it is wrong.
fn source(section: &mut Section<'_, '_>) -> Option<Source> {
    let kinds = [
        ("domains", TableKind::Domains),
        ("recipients", TableKind::Recipients),
        ("senders", TableKind::Senders),
        ("networks", TableKind::Networks),
        ("hashes", TableKind::Hashes),
        ("urls", TableKind::Urls),
        ("patterns", TableKind::Patterns),
    ];
    let formats = [
        ("toml", SourceFormat::Toml),
        ("csv", SourceFormat::Csv),
        ("list", SourceFormat::List),
        ("rbldnsd", SourceFormat::Rbldnsd),
        ("spamassassin", SourceFormat::Spamassassin),
        ("clamav", SourceFormat::Clamav),
        ("yara", SourceFormat::Yara),
    ];
    let classes = [
        ("allow", NetworkClass::Allow),
        ("deny", NetworkClass::Deny),
        ("suspect", NetworkClass::Suspect),
        ("positive", NetworkClass::Positive),
    ];
    for key in ["path", "kind", "format"] {
        if !section.has(key) {
            section.wrong(key, section.start(), "is missing");
        }
    }
    let path = section.text("path");
    if let Some(path) = path.as_ref().filter(|path| path.value.is_empty()) {
        section.wrong("path", path.start, "is empty");
    }
    let (mut kind, mut format) = (TableKind::Domains, SourceFormat::Toml);
    section.choice("kind", &kinds, &mut kind);
    section.choice("format", &formats, &mut format);
    let (mut name, mut class, mut optional) = ("".into(), NetworkClass::default(), false);
    section.line("name", 80, &mut name);
    section.choice("class", &classes, &mut class);
    section.flag("optional", &mut optional);
    if section.has("class") && kind != TableKind::Networks {
        section.wrong("class", section.place_of("class"), "is only for kind \"networks\"");
    }
    if section.has("kind") && section.has("format") && !fits(kind, format) {
        let place = section.place_of("format");
        section.wrong("format", place, "does not fit this kind");
    }
    Some(Source { path: path?.value.into(), kind, format, name, class, optional })
}

/// Which formats a kind can be read from.
fn fits(kind: TableKind, format: SourceFormat) -> bool {
    use SourceFormat as F;
    match kind {
        TableKind::Domains => format == F::Toml,
        TableKind::Recipients | TableKind::Senders => matches!(format, F::Csv | F::List),
        TableKind::Networks => matches!(format, F::List | F::Rbldnsd | F::Csv),
        TableKind::Hashes => matches!(format, F::Clamav | F::List | F::Csv),
        TableKind::Urls => matches!(format, F::List | F::Csv | F::Rbldnsd),
        TableKind::Patterns => {
            matches!(format, F::Toml | F::Spamassassin | F::Clamav | F::Yara)
        }
    }
}
