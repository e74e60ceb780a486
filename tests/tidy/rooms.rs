//! Who may import whom in `core/src`: the table of ARCHITECTURE.md as data. An edge that is not in
//! it fails here; adding one is a decision, not a convenience.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_tests::corpus::{files, repository};

/// Values that every room speaks in; they import one another and nothing else.
const VOCABULARY: &[&str] = &["clock", "content", "envelope", "limits", "reply", "stages"];

/// Room, and the rooms it may import besides the vocabulary. `*` is every room but `shard`.
const ROOMS: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("accept", &["config", "socket", "tables"]),
    // SessionSettings are made from `config` by the shard; the grammar of addresses is its own.
    ("session", &[]),
    ("message", &[]),
    // Its findings are `scan`'s.
    ("classify", &["message", "scan"]),
    // A worker maps the generation itself.
    ("analysis", &["classify", "config", "message", "scan", "tables"]),
    // `config` for the words of a mistake in a file that people write.
    ("scan", &["classify", "config", "message", "tables"]),
    ("authn", &["resolve"]),
    ("engines", &["config", "scan"]),
    ("greylist", &[]),
    ("verdict", &["authn", "config", "scan"]),
    ("policy", &["config", "scan", "tables", "verdict"]),
    ("notice", &["policy"]),
    ("rewrite", &["authn", "message", "policy", "verdict"]),
    // Its queue is shown in the words of the control socket.
    (
        "deliver",
        &[
            "config",
            "control",
            "maillog",
            "message",
            "quarantine",
            "resolve",
            "socket",
            "spool",
            "tables",
        ],
    ),
    ("quarantine", &["spool", "verdict"]),
    ("maillog", &["policy", "spool", "verdict"]),
    ("spool", &[]),
    ("tables", &["classify", "config", "policy", "scan"]),
    ("resolve", &["config"]),
    ("socket", &[]),
    // The pipeline is handed the rooms and counters of its shard, and the body that was accepted: the one
    // edge upwards, kept to those types.
    ("pipeline", &["*", "accept", "shard"]),
    ("control", &["config"]),
    ("shard", &["*"]),
];

/// The room of each `crate::room` in a file without its comments.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        let mut rest = code;
        while let Some(at) = rest.find("crate::") {
            rest = &rest[at + "crate::".len()..];
            if let Some(list) = rest.strip_prefix('{') {
                // `use crate::{a::b, c}`: one line, or the rest is found line by line below.
                for part in list.split(['}', ';']).next().unwrap_or_default().split(',') {
                    let room = part.trim().split("::").next().unwrap_or_default();
                    found.insert(room.to_owned());
                }
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_' && c != '8');
            found.insert(rest[..end.unwrap_or(rest.len())].to_owned());
        }
    }
    found.remove("");
    found
}

#[test]
fn every_room_imports_only_what_its_row_in_the_table_allows() {
    let src = repository().join("core/src");
    let known: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in files(&src) {
        let name = path.strip_prefix(&src).unwrap().display().to_string();
        let first = name.split('/').next().unwrap_or_default();
        let room = first.strip_suffix(".rs").unwrap_or(first);
        // Tests may bring rooms together.
        if room == "lib" || name.ends_with("tests.rs") || name.contains("/tests/") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let allowed: &[&str] = if VOCABULARY.contains(&room) {
            &[]
        } else {
            match known.get(room) {
                Some(allowed) => allowed,
                None => {
                    wrong.push(format!("{name}: room `{room}` is not in the table"));
                    continue;
                }
            }
        };
        for import in imports(text) {
            let is_room = known.contains_key(import.as_str());
            let fine = !is_room
                || import == room
                || allowed.contains(&import.as_str())
                || (allowed.contains(&"*") && import != "shard" && import != "accept")
                || (room == "shard");
            if !fine {
                wrong.push(format!("{name}: imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that the table does not have:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_table_is_in_the_library_and_the_other_way_round() {
    let text = std::fs::read_to_string(repository().join("core/src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut table: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    table.extend(VOCABULARY);
    assert_eq!(declared, table);
}

#[test]
fn imports_are_found_in_every_way_of_writing_them() {
    let text = "use crate::spool::log::Log;\nuse crate::{policy, verdict::Verdict};\n\
                fn f() -> crate::reply::Reply { crate::limits::X } // crate::shard\n";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["limits", "policy", "reply", "spool", "verdict"]);
}
