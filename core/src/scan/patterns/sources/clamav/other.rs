//! Files that are no signatures of octets: names to be left out, and what is not read here.

use std::collections::HashSet;

use super::super::super::report::Outcome;
use super::super::{Collected, Draft, octets_as_text};
use crate::scan::yara;

/// Endings of files that are reported and not read, and what they are.
pub const NOT_READ: &[(&str, &str)] = &[
    ("idb", "icons of programs"),
    ("fuzzy", "fuzzy hashes of pictures"),
    ("crb", "certificates of programs that are trusted or revoked"),
    ("ftm", "magic of file types: file types are our own"),
    ("pdb", "domains of phishing checks: link checks are our own"),
    ("gdb", "domains of phishing checks: link checks are our own"),
    ("wdb", "exceptions from phishing checks: link checks are our own"),
    ("pwdb", "passwords of archives: those in the mail's own text are tried"),
    ("cbc", "bytecode programs"),
    ("cfg", "settings of signatures"),
    ("info", "what a database consists of"),
    ("ioc", "OpenIOC"),
    ("yar", yara::MISSING),
    ("yara", yara::MISSING),
];

/// Notes in the report that a file is not read, and how many lines that are.
pub fn note_not_read(file: &str, octets: &[u8], out: &mut Collected) {
    let ending = file.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let what = NOT_READ.iter().find(|(known, _)| *known == ending).map_or("", |(_, what)| what);
    let text = octets_as_text(octets);
    let is_line = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let lines = text.lines().filter(is_line).count();
    let first = text.lines().position(|line| is_line(&line)).map_or(1, |at| at + 1);
    out.notes.push(format!("{file}:{first}: refused, {lines} lines: {what}"));
}

/// Names of a file of `ign` (`database:line:name`) or `ign2` (`name`, or `name:digest of the line`).
pub fn ignored_names(octets: &[u8], out: &mut HashSet<String>) {
    for line in octets_as_text(octets).lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.split(':');
        let name = match (parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(number), Some(name)) if number.parse::<u64>().is_ok() => name,
            (Some(name), ..) => name,
            (None, ..) => continue,
        };
        // Other tools show names of own signatures so.
        out.insert(name.strip_suffix(".UNOFFICIAL").unwrap_or(name).to_owned());
    }
}

/// Marks the rules of these names as left out.
pub fn leave_out(names: &HashSet<String>, drafts: &mut [Draft]) {
    let listed = drafts.iter_mut().filter(|draft| names.contains(&draft.rule.name));
    listed.for_each(|draft| draft.outcome = Some(Outcome::NotTaken("a name to be ignored".into())));
}
