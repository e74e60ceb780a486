//! `[[tables.source]]` with a directory as its path.

use std::fs;
use std::path::Path;

use super::super::*;
use crate::config::Config;

fn files(base: &Path, optional: bool) -> Result<Vec<String>, String> {
    let text = format!(
        "[[tables.source]]\npath = \"rules\"\nkind = \"patterns\"\nformat = \"spamassassin\"\n\
         optional = {optional}\n"
    );
    let (config, _) = Config::parse(&text, "sekisho.toml").expect("a configuration");
    let found = Sources::of_config(&config, text, base, Vec::new());
    let relative = |source: &Source| {
        source.path.strip_prefix(base).expect("below the base").display().to_string()
    };
    found
        .map(|sources| sources.files.iter().map(relative).collect())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// An operator pointed at a tree of SpamAssassin's rules, and a generation without any pattern was
/// built and put in force without a word.
#[test]
fn a_directory_stands_for_the_files_in_it_and_below_it() {
    let base = tempfile::tempdir().unwrap();
    let rules = base.path().join("rules");
    fs::create_dir_all(rules.join("sandbox/one")).unwrap();
    for name in ["20_b.cf", "10_a.cf", "README", "sandbox/one/30_c.cf", "sandbox/40_d.cf"] {
        fs::write(rules.join(name), "").unwrap();
    }
    std::os::unix::fs::symlink(&rules, rules.join("sandbox/again")).unwrap();
    assert_eq!(
        files(base.path(), false).unwrap(),
        ["rules/10_a.cf", "rules/20_b.cf", "rules/sandbox/40_d.cf", "rules/sandbox/one/30_c.cf"]
    );
}

#[test]
fn a_directory_without_a_file_of_the_format_is_a_mistake_unless_optional() {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("rules")).unwrap();
    fs::write(base.path().join("rules/README"), "").unwrap();
    let text = files(base.path(), false).unwrap_err();
    assert!(text.contains("rules") && text.contains("no file in this directory ends in .cf"));
    assert_eq!(files(base.path(), true).unwrap(), Vec::<String>::new());
}

#[test]
fn a_tree_without_an_end_is_refused() {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir_all(base.path().join("rules/1/2/3/4/5/6/7/8/9")).unwrap();
    assert!(files(base.path(), true).unwrap_err().contains("more than 8 directories deep"));
}
