//! Looks for rules in a mail.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Duration;

use yara_x::{Rules, ScanError, Scanner};

use super::meta::{name_of, weight};
use super::{MATCHES_MAX, NotUsable, SECONDS_MAX, format};
use crate::message::View;
use crate::scan::examine::push;
use crate::scan::finding::{Finding, FindingKind};

/// Findings of one mail: those of other scanners have their room, too.
const FINDINGS_MAX: usize = 200;
/// The place of what matched in the mail as it came.
const WHOLE: &str = "the whole mail";

/// Compiled rules that are ready to be looked for.
///
/// The rules stay in memory until the process ends: a worker has those of one generation for its life, as `sekisho check` has.
/// Opening them starts a thread, which counts the seconds: a worker does so before it closes its sandbox.
pub struct Yara {
    scanner: RefCell<Scanner<'static>>,
    ignored: HashSet<String>,
    /// The time since any moment.
    now: Box<dyn Fn() -> Duration>,
    /// When the rules have had their time for this mail.
    until: Cell<Duration>,
    is_cut: Cell<bool>,
}

impl std::fmt::Debug for Yara {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Yara").field("is_cut", &self.is_cut).finish_non_exhaustive()
    }
}

impl Yara {
    /// Opens a payload; `now` is the time since any moment.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn open(payload: &[u8], now: Box<dyn Fn() -> Duration>) -> Result<Self, String> {
        let (head, compiled) = format::read(payload).map_err(|error| match error {
            NotUsable::Damaged(what) => what,
            NotUsable::Rebuild { built, here } => {
                format!("YARA rules are built by {built}, here is {here}")
            }
        })?;
        let rules = Rules::deserialize(compiled).map_err(|error| error.to_string())?;
        let mut scanner = Scanner::new(Box::leak(Box::new(rules)));
        scanner.max_matches_per_pattern(MATCHES_MAX).fast_scan(true);
        scanner.set_timeout(Duration::from_secs(SECONDS_MAX));
        // What is built on first use is built now.
        scanner.scan(b"\0").map_err(|error| error.to_string())?;
        let yara = Self {
            scanner: RefCell::new(scanner),
            ignored: head.ignored.into_iter().collect(),
            now,
            until: Cell::default(),
            is_cut: Cell::default(),
        };
        yara.begin();
        Ok(yara)
    }

    /// A mail begins: its time starts.
    pub fn begin(&self) {
        self.until.set((self.now)().saturating_add(Duration::from_secs(SECONDS_MAX)));
        self.is_cut.set(false);
    }

    /// Whether the time was over before all was looked at: what was not found may be there.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// What matches in the parts of `view`, and in the mail as it came: each rule once, where it matched first. At most
    /// [`FINDINGS_MAX`], malware before limits before all else.
    pub(in crate::scan) fn findings(&self, view: &View<'_>) -> Vec<Finding> {
        let mut out = Vec::new();
        let mut seen = HashSet::new();
        let parts = view.parts.iter().filter(|part| !part.is_known_good());
        let parts = parts.map(|part| (part.file_name().unwrap_or(&part.path), &*part.decoded));
        let all = parts.chain(std::iter::once((WHOLE, view.raw)));
        for (place, octets) in all.filter(|(_, octets)| !octets.is_empty()) {
            match self.scan(octets, &mut seen) {
                Ok(found) => {
                    let clipped: String = place.chars().take(200).collect();
                    let placed = |found| Finding { detail: clipped.as_str().into(), ..found };
                    out.extend(found.into_iter().map(placed));
                }
                Err(ScanError::Timeout) => {
                    self.is_cut.set(true);
                    let detail = format!("YARA rules had {SECONDS_MAX} s, and stopped in {place}");
                    push(&mut out, FindingKind::LimitReached, "SCAN_TIMEOUT", &detail);
                    break;
                }
                Err(error) => {
                    self.is_cut.set(true);
                    let detail = format!("YARA rules, in {place}: {error}");
                    push(&mut out, FindingKind::NotScanned, "SCAN_NOT_READ", &detail);
                }
            }
        }
        let is_limit = |kind| matches!(kind, FindingKind::LimitReached | FindingKind::NotScanned);
        out.sort_by_key(|found| (!found.kind.is_virus(), !is_limit(found.kind)));
        out.truncate(FINDINGS_MAX);
        out
    }

    /// What matches in `octets` and is not in `seen`, by name.
    fn scan(
        &self,
        octets: &[u8],
        seen: &mut HashSet<&'static str>,
    ) -> Result<Vec<Finding>, ScanError> {
        let left = self.until.get().checked_sub((self.now)()).filter(|left| !left.is_zero());
        let mut scanner = self.scanner.borrow_mut();
        let results = scanner.set_timeout(left.ok_or(ScanError::Timeout)?).scan(octets)?;
        let mut found = Vec::new();
        for rule in results.matching_rules() {
            let name = name_of(rule.identifier());
            if self.ignored.contains(&name) || !seen.insert(rule.identifier()) {
                continue;
            }
            // The build has looked at it.
            let Ok(weight) = weight(&rule) else { continue };
            found.push(Finding {
                kind: weight.kind,
                rule: name.into(),
                points: weight.points,
                detail: Box::default(),
                log_only: weight.log_only,
            });
        }
        found.sort_by(|one, other| one.rule.cmp(&other.rule));
        Ok(found)
    }
}
