//! ARCHITECTURE.md names every room and only paths that exist; decisions are short and complete.

use sekisho_tests::corpus::{files, repository};

#[test]
fn the_architecture_page_is_short_names_every_room_and_every_path_in_it_exists() {
    let repository = repository();
    let text = std::fs::read_to_string(repository.join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 300, "{} lines", text.lines().count());
    let lib = std::fs::read_to_string(repository.join("core/src/lib.rs")).unwrap();
    for room in lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(text.contains(&format!("`{room}`")), "room `{room}` is not in ARCHITECTURE.md");
    }
    // Links of Markdown, and code that looks like a path of the repository.
    let mut missing = Vec::new();
    for (index, part) in text.split("](").enumerate().skip(1) {
        let target = part.split(')').next().unwrap_or_default();
        if !target.starts_with('#') && !repository.join(target).exists() {
            missing.push(format!("link {index}: {target}"));
        }
    }
    let folders = ["core/", "appliance/", "docs/", "loadgen/", "tests/", "bench/"];
    for word in text.split('`').skip(1).step_by(2) {
        if folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '<', ' '])
        {
            let path = word.split('{').next().unwrap_or_default();
            if !repository.join(path).exists() {
                missing.push(word.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn every_decision_is_at_most_forty_lines_with_its_five_parts() {
    let mut wrong = Vec::new();
    for path in files(&repository().join("docs/decisions")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if text.lines().count() > 40 {
            wrong.push(format!("{name}: {} lines", text.lines().count()));
        }
        for part in ["Situation", "Decision", "Rejected", "Consequences", "Revisit when"] {
            if !text.contains(part) {
                wrong.push(format!("{name}: no {part}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_has_its_line_in_the_decisions() {
    let repository = repository();
    let decided =
        std::fs::read_to_string(repository.join("docs/decisions/dependencies.md")).unwrap();
    let manifest = std::fs::read_to_string(repository.join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let missing: Vec<&str> = section
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .filter(|name| !name.is_empty() && !name.starts_with("sekisho"))
        .filter(|name| !decided.contains(name))
        .collect();
    assert!(missing.is_empty(), "no line in dependencies.md: {missing:?}");
}

/// What names a workplace must not be in the repository.
#[test]
fn nothing_in_the_repository_names_the_place_where_it_was_written() {
    let repository = repository();
    // In two halves each, so that this file does not find itself.
    let words = [concat!("/wo", "rk/"), concat!("artifa", "ctory"), concat!("/ro", "ot/.")];
    let mut found = Vec::new();
    for folder in ["core", "appliance", "bench", "loadgen", "tests", "docs", ".ci", ".config"] {
        for path in files(&repository.join(folder)) {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for word in words.iter().filter(|word| text.contains(**word)) {
                found.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
