//! YARA rules as sources of a generation; what a build without YARA says of them.

use super::*;
use crate::config::Config;
use crate::scan::yara::MISSING;

const RULE: &str = "rule Demo { strings: $a = \"unlikely word\" condition: $a }\n";

/// A configuration with one directory of the format.
fn sources_of(at: &Appliance, format: &str) -> Sources {
    fs::write(at.path("domains.toml"), DOMAINS).unwrap();
    let text = format!(
        "[[tables.source]]\npath = \"domains.toml\"\nkind = \"domains\"\nformat = \"toml\"\n\
         [[tables.source]]\npath = \"signatures\"\nkind = \"patterns\"\nformat = \"{format}\"\n"
    );
    let (config, _) = Config::parse(&text, "sekisho.toml").unwrap();
    Sources::of_config(&config, text, at.root.path(), Vec::new()).unwrap()
}

#[cfg(not(feature = "yara"))]
#[test]
fn a_build_without_yara_says_so_and_refuses_what_was_built_with_it() {
    let at = Appliance::new();
    fs::create_dir(at.path("signatures")).unwrap();
    fs::write(at.path("signatures/demo.yar"), RULE).unwrap();
    let mistakes = at.publisher().build(&sources_of(&at, "yara"), &mut |_| ()).unwrap_err();
    let PublishError::Sources(mistakes) = mistakes else { panic!("{mistakes:?}") };
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let file = at.path("signatures/demo.yar");
    assert_eq!(told, [format!("{}: {MISSING}", file.display())]);
    // Among signatures of ClamAV they are one kind more that is not read.
    fs::write(at.path("signatures/demo.ndb"), "Demo:0:*:756e6c696b656c79\n").unwrap();
    let (_, report) = at.publisher().build(&sources_of(&at, "clamav"), &mut |_| ()).unwrap();
    let notes = report.patterns["notes"].to_string();
    assert!(notes.contains(&format!("demo.yar:1: refused, 1 lines: {MISSING}")), "{notes}");
    let dir = at.dir(1);
    let path = dir.join("yara.table");
    let written = file::write_bytes(&path, file::Kind::Yara, b"{}\n").unwrap();
    manifest::Manifest::add_table(&dir, "yara", written.into()).unwrap();
    let error = at.adopt(1).unwrap_err().to_string();
    assert_eq!(error, format!("{}: {MISSING}", path.display()));
}

#[cfg(feature = "yara")]
#[test]
fn yara_rules_are_compiled_once_and_again_for_another_version() {
    let at = Appliance::new();
    fs::create_dir(at.path("signatures")).unwrap();
    fs::write(at.path("signatures/demo.yar"), RULE).unwrap();
    fs::write(at.path("signatures/bad.yara"), "rule Bad {\n  condition: nothing }\n").unwrap();
    let sources = sources_of(&at, "yara");
    let (_, report) = at.publisher().build(&sources, &mut |_| ()).unwrap();
    let rules = report.patterns["rules"].to_string();
    assert!(rules.contains("bad.yara:2:14") && rules.contains("YARA.Demo"), "{rules}");
    let generation = at.adopt(1).unwrap();
    assert!(generation.patterns().is_none(), "nothing else is there");
    assert_eq!(generation.sizes()["yara"].0, 1);
    let carried = fs::read_to_string(at.dir(1).join("sources/0001")).unwrap();
    assert_eq!(carried, RULE, "to be compiled elsewhere");
    let again = Generation::adopt(&at.dir(1), &at.path("engine"), Some(&generation)).unwrap();
    assert_eq!(again.yara().unwrap().as_ptr(), generation.yara().unwrap().as_ptr(), "shared");
    assert_eq!(adopt::sweep(&at.path("engine"), &[&*generation]).unwrap(), 0);
    // The same, as an older program would have made it.
    let older = String::from_utf8_lossy(generation.yara().unwrap()).replace("pulley", "other");
    let line = older.lines().next().unwrap();
    let (dir, path) = (at.dir(1), at.dir(1).join("yara.table"));
    fs::remove_file(&path).unwrap();
    let payload = format!("{line}\nnothing that can be read");
    let written = file::write_bytes(&path, file::Kind::Yara, payload.as_bytes()).unwrap();
    manifest::Manifest::add_table(&dir, "yara", written.into()).unwrap();
    let error = at.adopt(1).unwrap_err();
    assert!(matches!(error, AdoptError::Rebuild { .. }), "{error}");
    adopt::rebuild_patterns(&dir, &at.path("engine")).unwrap();
    let worker = Generation::adopt_for_scan(&dir, &at.path("engine")).unwrap();
    assert_eq!(worker.yara(), generation.yara(), "the same rules");
    let rebuilt = at.adopt(1).unwrap();
    assert_eq!(adopt::sweep(&at.path("engine"), &[&*rebuilt]).unwrap(), 1, "the old copy goes");
    assert!(rebuilt.yara().is_some());
}

#[cfg(feature = "yara")]
#[test]
fn yara_rules_beside_signatures_of_clamav_are_read_as_clamav_does() {
    let at = Appliance::new();
    fs::create_dir(at.path("signatures")).unwrap();
    fs::write(at.path("signatures/demo.yar"), format!("{RULE}rule Off {{ condition: true }}"))
        .unwrap();
    fs::write(at.path("signatures/local.ign2"), "YARA.Off.UNOFFICIAL\n").unwrap();
    fs::write(at.path("signatures/demo.ndb"), "Demo:0:*:756e6c696b656c79\n").unwrap();
    let sources = sources_of(&at, "clamav");
    let format = sources::RuleFormat::Yara;
    assert!(sources.files.iter().any(|source| source.kind == SourceKind::Patterns { format }));
    let (_, report) = at.publisher().build(&sources, &mut |_| ()).unwrap();
    let entries: Vec<_> =
        report.tables.iter().map(|table| (table.name.as_str(), table.entries)).collect();
    assert!(entries.contains(&("patterns", 2)) && entries.contains(&("yara", 1)), "{entries:?}");
    assert!(!report.patterns["notes"].to_string().contains(MISSING), "{:?}", report.patterns);
    let generation = at.adopt(1).unwrap();
    assert!(generation.patterns().is_some() && generation.yara().is_some());
    // Taken away, it is away.
    fs::remove_file(at.path("signatures/demo.yar")).unwrap();
    at.publisher().build(&sources_of(&at, "clamav"), &mut |_| ()).unwrap();
    assert!(at.adopt(2).unwrap().yara().is_none());
}
