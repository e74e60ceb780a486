//! The payload of the table: a line of JSON about it, and what YARA-X made of the rules.
//!
//! The table's checksum says that it is what was built; that it was built by the same YARA-X is looked at here. What follows is
//! taken as it is, as the databases of Hyperscan are: whoever writes generations is believed.

use serde::{Deserialize, Serialize};

use super::NotUsable;

/// What makes the octets behind the head: rules of another version are compiled again from their sources.
pub(super) const BUILT_BY: &str = "yara-x 1.22.1 pulley";

/// The first line.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    built_by: String,
    /// Rules that have findings.
    pub(super) rules: u64,
    /// Names of findings that are left out.
    pub(super) ignored: Vec<String>,
}

impl Head {
    pub(super) fn new(rules: u64, ignored: Vec<String>) -> Self {
        Self { built_by: BUILT_BY.to_owned(), rules, ignored }
    }
}

/// Puts a payload together.
pub(super) fn write(head: &Head, compiled: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = serde_json::to_vec(head).map_err(|error| error.to_string())?;
    out.push(b'\n');
    out.extend_from_slice(compiled);
    Ok(out)
}

/// The head, and what is behind it.
pub(super) fn read(payload: &[u8]) -> Result<(Head, &[u8]), NotUsable> {
    let damaged = |what: String| NotUsable::Damaged(format!("compiled YARA rules: {what}"));
    let line = memchr::memchr(b'\n', payload).and_then(|end| payload.split_at_checked(end));
    let (line, rest) = line.ok_or_else(|| damaged("no head".to_owned()))?;
    let head: Head = serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
    if head.built_by != BUILT_BY {
        return Err(NotUsable::Rebuild { built: head.built_by, here: BUILT_BY.to_owned() });
    }
    Ok((head, rest.get(1..).unwrap_or_default()))
}

/// Whether a payload can be used here, by its head alone; the number of rules.
///
/// # Errors
/// [`NotUsable`].
pub fn checked(payload: &[u8]) -> Result<u64, NotUsable> {
    read(payload).map(|(head, _)| head.rules)
}
