//! Sources of rules to the tables that are looked for in mails: patterns, and YARA's.

use std::collections::HashSet;
use std::path::Path;

use crate::scan::patterns::{self, BuildReport, CompiledPatterns, SourceError, SourceFormat};
use crate::scan::yara::{self, YaraSource};
use crate::tables::sources::RuleFormat;

/// A source: how it was named, how it is written, its octets.
pub(in crate::tables) type RuleSource<'s> = (&'s Path, RuleFormat, &'s [u8]);

/// What became of the sources.
#[derive(Default)]
pub(in crate::tables) struct CompiledRules {
    /// Without a source that is not YARA's there are none.
    pub(in crate::tables) patterns: Option<Vec<u8>>,
    /// YARA rules and their number.
    pub(in crate::tables) yara: Option<(Vec<u8>, u64)>,
}

/// Which tables are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tables) enum Wanted {
    All,
    /// YARA's are good as they are.
    Patterns,
}

/// Compiles `sources`. What becomes of each rule is in `report`.
///
/// # Errors
/// All mistakes; a file of YARA rules that has some is left out and is none.
pub(in crate::tables) fn compile(
    sources: &[RuleSource<'_>],
    wanted: Wanted,
    report: &mut BuildReport,
) -> Result<CompiledRules, Vec<SourceError>> {
    let mut out = CompiledRules::default();
    let others: Vec<_> = sources.iter().filter_map(pattern_source).collect();
    let mut mistakes = Vec::new();
    if !others.is_empty() {
        match patterns::build(&others, report) {
            Ok(CompiledPatterns(payload)) => out.patterns = Some(payload),
            Err(found) => mistakes = found,
        }
    }
    if wanted == Wanted::All {
        match yara_rules(sources, report) {
            Ok(compiled) => out.yara = compiled,
            Err(mut found) => mistakes.append(&mut found),
        }
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

fn yara_rules(
    sources: &[RuleSource<'_>],
    report: &mut BuildReport,
) -> Result<Option<(Vec<u8>, u64)>, Vec<SourceError>> {
    let own = |(_, format, _): &&RuleSource<'_>| *format == RuleFormat::Yara;
    let paths: Vec<(String, &[u8])> = sources
        .iter()
        .filter(own)
        .map(|(path, _, octets)| (path.display().to_string(), *octets))
        .collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let files: Vec<YaraSource<'_>> =
        paths.iter().map(|(path, octets)| YaraSource { path, octets }).collect();
    let mut ignored = HashSet::new();
    for (path, format, octets) in sources {
        let of_path = SourceFormat::of_path(&path.display().to_string());
        if *format == RuleFormat::Clamav && of_path == Some(SourceFormat::ClamAvIgn) {
            patterns::ignored_names(octets, &mut ignored);
        }
    }
    yara::build(&files, &ignored, report).map_err(|text| {
        let mistake = |(file, _): &(String, &[u8])| SourceError {
            file: file.clone(),
            line: 0,
            column: 0,
            text: text.clone(),
        };
        paths.iter().map(mistake).collect()
    })
}

/// A source as `scan::patterns` takes it; `None` for YARA's.
fn pattern_source((path, format, octets): &RuleSource<'_>) -> Option<patterns::PatternSource> {
    let path = path.display().to_string();
    let format = match format {
        RuleFormat::Spamassassin => SourceFormat::SpamAssassin,
        RuleFormat::Toml => SourceFormat::Toml,
        // A file that is named by itself may be called anything.
        RuleFormat::Clamav => match SourceFormat::of_path(&path) {
            Some(SourceFormat::SpamAssassin | SourceFormat::Toml) | None => SourceFormat::ClamAvNdb,
            Some(format) => format,
        },
        RuleFormat::Yara => return None,
    };
    Some(patterns::PatternSource { format, path, octets: octets.to_vec() })
}
