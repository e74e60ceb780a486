//! Which parts of a message must go so that the rest of it is free of malware, or of what acts when it is
//! opened, if that can be said.
//!
//! A part is a leaf of the MIME tree, with all that was unpacked from it; inside a message that is
//! itself encoded it is that whole message. Each is looked at by itself, and then the message without
//! those that were found is looked at again: only if nothing is left is there an answer. Runs only in
//! an analysis worker and in `sekisho check`; costs about two more looks at such a message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::archive::{ArchiveLimits, expand};
use super::examine::{Examination, ScanTables, examine};
use super::patterns::{ScanError, Scratch};
use super::yara::Yara;
use crate::message::{Active, Part, Span, View, ViewLimits};

/// One part to be taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cut {
    /// Offset of its header section in the message.
    pub start: u64,
    /// Offset behind its last octet.
    pub end: u64,
    /// Its file name; empty if it has none.
    pub name: Box<str>,
    /// Its size in octets, decoded.
    pub bytes: u64,
    /// Name of what was found in it.
    pub virus: Box<str>,
    /// What was found is no malware, but acts when it is opened.
    pub active: bool,
}

/// What shall not be left in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// Malware.
    Malware,
    /// What acts when it is opened.
    Active,
}

impl Unwanted {
    /// Its name, if there is any.
    #[must_use]
    pub fn found(self, seen: &Examination) -> Option<&str> {
        match self {
            Self::Malware => seen.virus(),
            Self::Active => seen.active(),
        }
    }
}

/// What stands in the place of a part while the rest is looked at again.
pub const STAND_IN: &[u8] = b"Content-Type: text/plain\r\n\r\nremoved";

/// The parts of `raw` that must go; empty if what is unwanted is where nothing can be taken out: in the only
/// body, in a structure that is not in order, in what no part for itself shows.
///
/// # Errors
/// [`ScanError`]: our own fault.
pub async fn cuts(
    raw: &[u8],
    unwanted: Unwanted,
    limits: (&ViewLimits, &ArchiveLimits),
    tables: &ScanTables<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<Cut>, ScanError> {
    let mut view = View::build(raw, limits.0);
    expand(&mut view, limits.1);
    let mut groups: BTreeMap<Option<(usize, usize)>, Vec<Part<'_>>> = BTreeMap::new();
    for part in std::mem::take(&mut view.parts) {
        groups
            .entry(part.span.map(|Span { header, end, .. }| (header, end)))
            .or_default()
            .push(part);
    }
    let all = groups.len();
    let mut found = Vec::new();
    for (place, parts) in groups {
        let (name, bytes) = parts.first().map_or_else(Default::default, |first| {
            (first.file_name().unwrap_or_default().into(), first.decoded.len() as u64)
        });
        let mut alone = View::build(b"", limits.0);
        let own = |mark: &&Active| parts.iter().any(|part| part.path == mark.place);
        alone.active = view.active.iter().filter(own).cloned().collect();
        alone.parts = parts;
        let seen = examine(&alone, tables, scratch, None, &async || ()).await?;
        let Some(virus) = unwanted.found(&seen) else { continue };
        let Some((start, end)) =
            place.filter(|&(start, end)| is_between_delimiters(raw, start, end))
        else {
            return Ok(Vec::new());
        };
        let (start, end, virus) = (start as u64, end as u64, virus.into());
        let active = unwanted == Unwanted::Active;
        found.push(Cut { start, end, name, bytes, virus, active });
    }
    let apart = found.windows(2).all(|pair| matches!(pair, [one, two] if one.end <= two.start));
    // What was not looked at may hold more.
    let is_cut = || tables.yara.is_some_and(Yara::is_cut);
    if found.is_empty() || found.len() >= all || !apart || is_cut() {
        return Ok(Vec::new());
    }
    let rest = without(raw, &found);
    let seen = look(&rest, limits, tables, scratch).await?;
    Ok(if unwanted.found(&seen).is_some() || is_cut() { Vec::new() } else { found })
}

async fn look(
    raw: &[u8],
    limits: (&ViewLimits, &ArchiveLimits),
    tables: &ScanTables<'_>,
    scratch: &mut Scratch,
) -> Result<Examination, ScanError> {
    let mut view = View::build(raw, limits.0);
    expand(&mut view, limits.1);
    examine(&view, tables, scratch, None, &async || ()).await
}

/// Whether a part is where every reader sees it: from the line behind a delimiter to the line before
/// the next one.
pub(super) fn is_between_delimiters(raw: &[u8], start: usize, end: usize) -> bool {
    let before = raw.get(..start).and_then(|before| before.strip_suffix(b"\r\n"));
    let line = before.map(|before| {
        let from = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        before.get(from..).unwrap_or_default()
    });
    line.is_some_and(|line| line.starts_with(b"--"))
        && raw.get(end..).is_some_and(|rest| rest.starts_with(b"\r\n--"))
}

/// The message with stand-ins for the cuts, which are in order and apart.
fn without(raw: &[u8], cuts: &[Cut]) -> Vec<u8> {
    let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0_usize;
    for cut in cuts {
        out.extend_from_slice(raw.get(at..offset(cut.start)).unwrap_or_default());
        out.extend_from_slice(STAND_IN);
        at = offset(cut.end);
    }
    out.extend_from_slice(raw.get(at..).unwrap_or_default());
    out
}
