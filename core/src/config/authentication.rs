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
    /// `[authentication.arc_seal]`; without it nothing is sealed.
    pub arc_seal: Option<ArcSeal>,
}

/// `[authentication.arc_seal]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcSeal {
    /// `d=`, in A-labels and lower case.
    pub domain: Box<str>,
    /// `s=`
    pub selector: Box<str>,
    /// Name of the key's file in `secrets/` of the data directory.
    pub key: Box<str>,
    /// What is sealed.
    pub what: Sealed,
}

/// Which mail is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealed {
    /// That whose body or subject we changed.
    #[default]
    Changed,
    /// All that is handed on.
    All,
}

impl ArcSeal {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let mut domain: Box<str> = "".into();
        let mut selector: Box<str> = "".into();
        let mut seal = Self {
            domain: "".into(),
            selector: "".into(),
            key: "arc.pem".into(),
            what: Sealed::default(),
        };
        section.line("domain", 253, &mut domain);
        section.line("selector", 63, &mut selector);
        section.line("key", 100, &mut seal.key);
        section.choice(
            "seal",
            &[("changed", Sealed::Changed), ("all", Sealed::All)],
            &mut seal.what,
        );
        let name =
            |text: &str| idna::domain_to_ascii_strict(text).ok().map(|n| n.to_ascii_lowercase());
        match name(&domain).filter(|domain| domain.contains('.')) {
            Some(domain) => seal.domain = domain.into(),
            None => {
                section.wrong("domain", section.place_of("domain"), "is missing or not a domain")
            }
        }
        match name(&selector).filter(|selector| !selector.is_empty()) {
            Some(selector) => seal.selector = selector.into(),
            None => {
                section.wrong("selector", section.place_of("selector"), "is missing or not a label")
            }
        }
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if seal.key.is_empty() || seal.key.starts_with('.') || !seal.key.bytes().all(plain) {
            let text = "is not the name of a file in secrets/";
            section.wrong("key", section.place_of("key"), text);
        }
        (!seal.domain.is_empty() && !seal.selector.is_empty()).then_some(seal)
    }
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
            arc_seal: None,
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
        authentication.arc_seal = section.table("arc_seal", ArcSeal::read).flatten();
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
