//! Entries for fuzzing: no octets of a sender may make a reader panic, run on, or hand out more than the
//! bounds allow. Each says how much was found, so that whoever bends the input sees whether it still comes
//! to where it should.

use std::borrow::Cow;

use super::archive::{ArchiveLimits, Budget, expand, found};
use super::cut::{Unwanted, cuts, is_between_delimiters};
use super::examine::{Examination, FINDINGS_MAX, ScanTables, examine};
use super::patterns::Scratch;
use super::{letter, ole, pdf};
use crate::message::{Part, PartOrigin, View, ViewLimits};
use crate::tables::HostFlags;

/// Bounds that a small input can reach.
pub(super) fn limits() -> ArchiveLimits {
    ArchiveLimits { members_max: 50, bytes_max: 4 * 1024 * 1024, ..ArchiveLimits::default() }
}

/// A host is known for one thing or another by its length: every branch is reached.
fn known(host: &str) -> HostFlags {
    let bit = |place: usize| host.len() >> place & 1 == 1;
    HostFlags {
        bad: bit(0),
        shortener: bit(1),
        disposable: bit(2),
        free_mail: bit(3),
        suspicious: bit(4),
    }
}

/// Any octets as a mail, looked at as a worker does: structure, containers, findings, what could be taken out,
/// features, and the answer as it crosses the socket. Number of findings.
///
/// # Panics
/// When a bound does not hold, a part to be taken out is not where every reader sees it, or the answer is not the
/// same on the other side.
pub fn fuzz_mail(raw: &[u8]) -> usize {
    let (limits, archives) = (ViewLimits::worker(), limits());
    let tables = ScanTables {
        patterns: None,
        hash: None,
        url_host: Some(&known),
        reading: crate::classify::Reading::Whole,
        content: &[],
        yara: None,
    };
    let mut scratch = Scratch::default();
    let mut view = View::build(raw, &limits);
    let own = view.parts.len();
    expand(&mut view, &archives);
    assert!(view.parts.len() <= own + archives.members_max, "more members than allowed");
    let looked = examine(&view, &tables, &mut scratch, Some(b"a@b.example"), &async || ());
    let mut seen = futures_lite::future::block_on(looked).unwrap_or_default();
    assert!(seen.findings.len() <= FINDINGS_MAX, "more findings than allowed");
    for unwanted in [Unwanted::Malware, Unwanted::Active] {
        if unwanted.found(&seen).is_none() {
            continue;
        }
        let found = cuts(raw, unwanted, (&limits, &archives), &tables, &mut scratch);
        let found = futures_lite::future::block_on(found).unwrap_or_default();
        let mut behind = 0;
        for cut in &found {
            assert!(behind <= cut.start && cut.start <= cut.end, "parts out of order");
            let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            assert!(is_between_delimiters(raw, at(cut.start), at(cut.end)), "no part of its own");
            behind = cut.end;
        }
        seen.active_cuts = found;
    }
    let sent = serde_json::to_vec(&seen).unwrap_or_default();
    let received: Option<Examination> = serde_json::from_slice(&sent).ok();
    assert!(received.as_ref() == Some(&seen), "the answer is not what was sent");
    seen.findings.len()
}

/// Any text, with the addresses in it, as a plain mail and as the markup of one. Number of addresses.
pub fn fuzz_links(text: &[u8]) -> usize {
    let mut count = 0;
    for kind in ["plain", "html"] {
        let head = format!(
            "From: Brand <a@brand.example>\r\nTo: b@own.example\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n"
        );
        let raw = [head.as_bytes(), text].concat();
        count += View::build(&raw, &ViewLimits::shard()).uris().len();
        fuzz_mail(&raw);
    }
    let text = String::from_utf8_lossy(text);
    let _ = letter::fold(&text);
    count
}

/// Any octets as an attachment, in a mail that says a password. Number of members.
pub fn fuzz_protected(octets: &[u8]) -> usize {
    let mail = b"Subject: x\r\n\r\nPassword: secret";
    let mut view = View::build(mail, &ViewLimits::shard());
    let before = view.parts.len();
    let owned = Cow::Owned(octets.to_vec());
    view.parts.push(Part::of_octets("9".into(), PartOrigin::Mime, "a.zip", owned));
    expand(&mut view, &limits());
    view.parts.len() - before - 1
}

/// First octet: which of the readers of streams inside compound files. Number of members, marks and addresses.
pub fn fuzz_streams(data: &[u8]) -> usize {
    let limits = limits();
    let mut budget = Budget::new(&limits);
    let members = ole::fuzz_stream(data, &mut budget);
    assert!(members <= limits.members_max, "more members than allowed");
    members + found(&budget)
}

/// Any octets behind every filter of PDF. Number of readings.
pub fn fuzz_filters(data: &[u8]) -> usize {
    let limits = limits();
    pdf::fuzz_filters(data, &mut Budget::new(&limits))
}
