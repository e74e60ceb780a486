//! The header sets of unified model 10.1.

use std::io::Write as _;

use crate::policy::HeaderSet;
use crate::verdict::{ClientMark, ListDecision, Verdict};

use super::{Rewriting, Scanned, subject};

/// Rules named in a field; the mail log has all of them.
const RULES_SHOWN: usize = 60;

/// Appends the fields of the domain's set. Writing to a Vec cannot fail.
pub(super) fn write(out: &mut Vec<u8>, job: &Rewriting<'_>) {
    match job.decision.headers {
        HeaderSet::None => {}
        HeaderSet::Standard => {
            super::authentication::write(out, job);
            standard(out, job);
        }
        HeaderSet::Itscom => itscom(out, job),
    }
}

/// `X-Sekisho-*`.
fn standard(out: &mut Vec<u8>, job: &Rewriting<'_>) {
    let verdict = job.verdict;
    let _ = write!(out, "X-Sekisho-Id: {}\r\n", job.mail);
    let (class, sub) = job.decision.class(verdict);
    let _ = write!(out, "X-Sekisho-Class: {}", class.name());
    if let Some(sub) = sub {
        let _ = write!(out, "; sub={}", token(sub));
    }
    let _ = write!(out, "; likelihood={}\r\n", verdict.likelihood.name());
    let _ = write!(out, "X-Sekisho-Score: {}\r\n", points(verdict.points));
    let counted = verdict.contributions.iter().filter(|part| part.counted);
    let mut rules = counted.take(RULES_SHOWN).peekable();
    if rules.peek().is_some() {
        let _ = write!(out, "X-Sekisho-Rules:");
        let mut column = 16;
        while let Some(part) = rules.next() {
            let comma = if rules.peek().is_some() { "," } else { "" };
            let text = format!("{}={}{comma}", token(&part.rule), points(part.points));
            if column + text.len() > 76 {
                let _ = write!(out, "\r\n\t");
                column = 8;
            } else {
                out.push(b' ');
                column += 1;
            }
            out.extend_from_slice(text.as_bytes());
            column += text.len();
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The fields of iTSCOM Spam Scan (ITS-02 to ITS-07).
fn itscom(out: &mut Vec<u8>, job: &Rewriting<'_>) {
    let verdict = job.verdict;
    match verdict.client {
        ClientMark::Normal => {}
        ClientMark::Suspect => out.extend_from_slice(b"X-AS: SUSPECT\r\n"),
        ClientMark::Positive => out.extend_from_slice(b"X-AS: POSITIVE\r\n"),
    }
    match verdict.list {
        ListDecision::None => {}
        ListDecision::Block(_) => out.extend_from_slice(b"X-SLBL-Result: BLOCK-LISTED\r\n"),
        ListDecision::Allow(_) | ListDecision::Bypass => {
            out.extend_from_slice(b"X-SLBL-Result: SAFE-LISTED\r\n");
        }
    }
    if job.scanned == Scanned::Yes && !verdict.scan.is_missing {
        out.extend_from_slice(b"X-Spam-Filtered: true\r\n");
        let _ = write!(out, "X-Spam-Result: {}\r\n", opaque(verdict));
    }
    if job.scanned == Scanned::Yes {
        let _ = write!(out, "X-AV-Result: {}\r\n", av_result(verdict));
    }
    if job.decision.judged_spam {
        out.extend_from_slice(b"X-IPAS: POSITIVE\r\n");
    }
}

/// What the virus engine says, whatever an allow entry made of it.
fn av_result(verdict: &Verdict) -> &'static str {
    if verdict.scan.has_virus {
        "infected"
    } else if verdict.scan.is_partial {
        "not-scanned"
    } else {
        "clean"
    }
}

/// The result string: means something to us only. Version, points, likelihood, which rules.
fn opaque(verdict: &Verdict) -> String {
    let mut sum = 0;
    for part in verdict.contributions.iter().filter(|part| part.counted) {
        sum = crc32c::crc32c_append(sum, part.rule.as_bytes());
        sum = crc32c::crc32c_append(sum, &part.points.to_le_bytes());
    }
    let (points, likelihood) = (verdict.points, verdict.likelihood.name());
    format!("v1:{points}:{likelihood}:{sum:08x}")
}

/// The fields that rules of the administrator add.
pub(super) fn rule_fields(out: &mut Vec<u8>, job: &Rewriting<'_>) {
    for (name, value) in &job.decision.fields {
        let _ = write!(out, "{name}:");
        subject::encoded_words(out, &value.split_whitespace().collect::<Vec<_>>().join(" "));
        out.extend_from_slice(b"\r\n");
    }
}

/// A stamp that could not go into the body.
pub(super) fn stamp_field(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"X-Sekisho-Stamp:");
    subject::encoded_words(out, &text.split_whitespace().collect::<Vec<_>>().join(" "));
    out.extend_from_slice(b"\r\n");
}

/// `-1250` is `-1.250`.
fn points(thousandths: i32) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let size = thousandths.unsigned_abs();
    format!("{sign}{}.{:03}", size / 1000, size % 1000)
}

/// A name of a rule, fit for a header field.
fn token(name: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && !"=,;()\"\\".contains(c);
    name.chars().take(64).map(|c| if fits(c) { c } else { '_' }).collect()
}
