//! `[authentication]`: SPF, DKIM, ARC, DMARC and the client's name.

use super::walk::Section;

/// `[authentication]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// Whether senders are checked at all.
    pub enabled: bool,
    /// Threads that do it; 0 = one for four cores, at least two.
    pub threads: u16,
    /// For all look-ups of one mail; what is not answered by then is temperror.
    pub deadline_ms: u64,
    /// Entries of the greylist, of the box.
    pub greylist_entries: u32,
    /// Domains whose ARC seals are believed, in A-labels and lower case.
    pub arc_trusted: Vec<Box<str>>,
}

/// Sealers of one list.
const TRUSTED_MAX: usize = 1_000;

impl Default for Authentication {
    fn default() -> Self {
        Self {
            enabled: true,
            threads: 0,
            deadline_ms: 5_000,
            greylist_entries: 1 << 20,
            arc_trusted: Vec::new(),
        }
    }
}

impl Authentication {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut authentication = Self::default();
        section.flag("enabled", &mut authentication.enabled);
        section.number("threads", 0..=64, &mut authentication.threads);
        section.number("deadline_ms", 100..=60_000, &mut authentication.deadline_ms);
        let entries = (1 << 10)..=(1 << 26);
        section.number("greylist_entries", entries, &mut authentication.greylist_entries);
        let texts = section.texts("arc_trusted").unwrap_or_default();
        if let Some(text) = texts.get(TRUSTED_MAX) {
            section.wrong("arc_trusted", text.start, format_args!("more than {TRUSTED_MAX}"));
        }
        for text in texts.iter().take(TRUSTED_MAX) {
            match idna::domain_to_ascii_strict(text.value) {
                Ok(domain) if domain.contains('.') => {
                    authentication.arc_trusted.push(domain.to_ascii_lowercase().into());
                }
                _ => section.wrong("arc_trusted", text.start, "is not a domain"),
            }
        }
        authentication
    }

    /// How many threads that is on a machine of `cores`.
    #[must_use]
    pub fn threads_on(&self, cores: usize) -> usize {
        match self.threads {
            0 => cores.div_ceil(4).max(2),
            threads => threads.into(),
        }
    }
}
