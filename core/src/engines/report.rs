//! What scanners say of one mail, and what of it is a finding.

use super::error::ScannerError;
use crate::config::OnScannerError;
use crate::scan::Scanned;
use crate::scan::finding::{Finding, FindingKind};

/// Characters of a name that a scanner gives.
const NAME_CHARS_MAX: usize = 120;
/// How the detail of a finding of theirs begins.
const MARK: &str = "engine:";

/// What one scanner says.
#[derive(Debug)]
pub enum Answer {
    /// Nothing was found.
    Clean,
    /// Malware, by the name that it gives.
    Found(Box<str>),
    /// The mail is larger than it takes.
    TooLarge,
    /// It did not look.
    Failed(ScannerError),
}

/// What one scanner says of one mail.
#[derive(Debug)]
pub struct Report {
    /// Its name in the configuration.
    pub scanner: Box<str>,
    /// What becomes of a mail that it did not look at.
    pub on_error: OnScannerError,
    /// What it says.
    pub answer: Answer,
    /// From the question to the answer.
    pub micros: u64,
}

impl Report {
    /// In words, for the story of the mail.
    #[must_use]
    pub fn told(&self) -> Scanned {
        let said = match &self.answer {
            Answer::Clean => "nothing found".to_owned(),
            Answer::Found(name) => format!("found {name}"),
            Answer::TooLarge => "not asked: too large for it".to_owned(),
            Answer::Failed(error) => format!("did not look: {error}"),
        };
        Scanned { name: self.scanner.clone(), said: said.into(), micros: self.micros }
    }
}

/// What was found.
///
/// # Errors
/// Why the mail has to come again: a scanner with `on_error = "temporary"` did not look at it, and no other found
/// malware in it. A name is better than none at all, and the mail that has one need not come again.
pub fn findings(reports: &[Report]) -> Result<Vec<Finding>, String> {
    let found = reports.iter().any(|report| matches!(report.answer, Answer::Found(_)));
    let mut all = Vec::new();
    for report in reports {
        match (&report.answer, report.on_error) {
            (Answer::Clean, _) => {}
            (Answer::Found(name), _) => all.push(finding(kind(name), name, &report.scanner, "")),
            // It will be as large when it comes again.
            (Answer::TooLarge, OnScannerError::Ignore) => {}
            (Answer::TooLarge, OnScannerError::Temporary | OnScannerError::Hold) => {
                let why = "the mail is larger than it takes";
                all.push(finding(FindingKind::LimitReached, "SCANNER_LIMIT", &report.scanner, why));
            }
            (Answer::Failed(_), OnScannerError::Ignore) => {}
            (Answer::Failed(error), OnScannerError::Temporary) if !found => {
                return Err(format!("{}: {error}", report.scanner));
            }
            (Answer::Failed(error), OnScannerError::Hold | OnScannerError::Temporary) => {
                let why = error.to_string();
                let kind = FindingKind::LimitReached;
                all.push(finding(kind, "SCANNER_FAILED", &report.scanner, &why));
            }
        }
    }
    Ok(all)
}

/// clamd tells some things that are no malware by names, if it is set up to.
fn kind(name: &str) -> FindingKind {
    if name.starts_with("Heuristics.Encrypted.") {
        FindingKind::Encrypted
    } else if name.starts_with("Heuristics.Limits.Exceeded") {
        FindingKind::LimitReached
    } else {
        FindingKind::of_malware_name(name)
    }
}

fn finding(kind: FindingKind, rule: &str, scanner: &str, why: &str) -> Finding {
    let detail = if why.is_empty() { String::new() } else { format!(" {why}") };
    let detail: String = format!("{MARK}{scanner}{detail}").chars().take(200).collect();
    Finding { kind, rule: rule.into(), points: 0, detail: detail.into(), log_only: false }
}

/// A name that a scanner gave, fit for logs, header fields and notices: printable ASCII, of bounded length.
pub(super) fn name(octets: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(octets);
    let plain = text.trim().chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    let plain: String = plain.take(NAME_CHARS_MAX).collect();
    if plain.is_empty() { "unnamed".into() } else { plain.into() }
}
