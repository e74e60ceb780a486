//! URIs of a message: from text and from attributes of HTML.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use ahash::AHashSet;
use linkify::{LinkFinder, LinkKind};
use url::{Host, Url};

use super::field::hex_pair;
use super::plaintext::{
    between_letters, has_scheme, hidden_in_text, is_defanged, is_link, links_of, refang, runs_on,
    unfolded,
};
use super::shortcut::shortcut;
use super::view::View;

/// Longest URI that is kept as written, in octets.
const URI_BYTES_MAX: usize = 4096;
/// Octets of a URI that are read. Servers refuse longer ones, most of them much shorter ones.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Octets of a user name that is too long to be kept.
const USER_BYTES_MAX: usize = 64;

pub(super) static FINDER: LazyLock<LinkFinder> = LazyLock::new(|| {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]).url_must_have_scheme(false);
    finder
});

/// Where a URI was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UriSource {
    /// In visible text or the Subject.
    Text,
    /// In text, made unclickable on purpose (`hxxp`, `[.]`).
    Defanged,
    /// In an attribute of HTML (`href`, `src`, `action`, `background`).
    Attribute,
    /// In a document: an action of a PDF, a link of an Office file, a shortcut.
    Document,
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

impl Uri {
    /// Reads one URI as found at `source`. `None` for what names no place outside the message
    /// (`#anchor`, `cid:`) or is empty.
    #[must_use]
    pub fn read(written: &str, source: UriSource) -> Option<Self> {
        let whole = written.trim();
        let written = cut(whole, URI_BYTES_MAX);
        let head = written.get(..4).unwrap_or_default();
        if written.is_empty() || written.starts_with('#') || head.eq_ignore_ascii_case("cid:") {
            return None;
        }
        let whole = if head.eq_ignore_ascii_case("data") { written } else { whole };
        // Browsers drop tabs and line ends inside an address, before they read anything of it, and take `\` for `/`.
        let clean: String = whole.chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
        let clean = shortened(&clean);
        let parsed = Url::parse(&clean).ok().filter(|url| url.has_host() || url.scheme().len() > 1);
        let parsed = match parsed {
            // `example.com:80/x` parses as scheme `example.com`.
            Some(url) if url.has_host() || !url.scheme().contains('.') => Some(url),
            _ => Url::parse(&format!("http://{}", clean.trim_start_matches('/'))).ok(),
        };
        let (mut canonical, mut host, mut domain) =
            (written.into(), Box::default(), Box::default());
        if let Some(url) = parsed {
            match url.host() {
                Some(Host::Domain(name)) => {
                    let name = name.trim_end_matches('.').to_ascii_lowercase();
                    domain = psl::domain_str(&name).unwrap_or_default().into();
                    host = name.into();
                }
                Some(Host::Ipv4(address)) => host = address.to_string().into(),
                Some(Host::Ipv6(address)) => host = address.to_string().into(),
                None => {}
            }
            canonical = undo_percent(url.as_str()).into();
        }
        Some(Self { written: written.into(), canonical, host, domain, source })
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// An address without what would push its host out of sight: a browser reads the host behind 5,000 octets of user name.
fn shortened(clean: &str) -> Cow<'_, str> {
    if clean.len() <= READ_BYTES_MAX && !clean.contains('@') || clean.len() <= URI_BYTES_MAX {
        return Cow::Borrowed(clean);
    }
    let near = cut(clean, READ_BYTES_MAX);
    let Some((scheme, rest)) = clean.split_once(':').filter(|(scheme, _)| scheme.len() <= 16)
    else {
        return Cow::Borrowed(near);
    };
    let rest = rest.trim_start_matches(['/', '\\']);
    let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) if user.len() > USER_BYTES_MAX => {
            let (user, host) = (cut(user, USER_BYTES_MAX), cut(host, URI_BYTES_MAX));
            format!("{scheme}://{user}@{host}{}", cut(path, READ_BYTES_MAX)).into()
        }
        _ => Cow::Borrowed(near),
    }
}

/// Undoes percent encoding of what needs none (RFC 3986 section 2.3): letters, digits, `-._~`.
fn undo_percent(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let value = match from.as_bytes() {
            [b'%', high, low, ..] => hex_pair(*high, *low),
            _ => None,
        };
        match value {
            Some(octet) if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                out.push(char::from(octet));
                rest = from.get(3..).unwrap_or_default();
            }
            _ => {
                out.push('%');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// What [`collect`] finds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// See [`View::uris`].
    pub(super) uris: Vec<Uri>,
    /// See [`View::named_uris`]; as many at most.
    pub(super) named: Vec<Uri>,
}

/// URIs of `view`.
pub(super) fn collect(view: &View<'_>) -> Found {
    let mut out = Collector { uris_max: view.uris_max, ..Collector::default() };
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()) {
        for link in part.html().links.iter().filter(|link| is_absolute(link)) {
            out.add(link, UriSource::Attribute);
        }
    }
    let text = &view.body().text;
    out.text(text);
    let shortcuts: Vec<_> = view.parts.iter().filter_map(|part| shortcut(&part.decoded)).collect();
    for target in shortcuts.iter().filter_map(|shortcut| shortcut.target.as_ref()) {
        out.add(target, UriSource::Document);
    }
    for link in &view.links {
        out.add(link, UriSource::Document);
    }
    for link in shortcuts.iter().flat_map(|shortcut| &shortcut.others) {
        out.name(link);
    }
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()) {
        part.html().named.iter().filter(|link| is_absolute(link)).for_each(|link| out.name(link));
    }
    hidden_in_text(text, |link| out.name(link));
    for part in view.parts.iter().filter(|part| part.is_text()) {
        if let Some(joined) = unfolded(view, part) {
            links_of(&joined, |link| out.name(link));
        }
    }
    out.found
}

#[derive(Default)]
struct Collector {
    found: Found,
    seen: AHashSet<Box<str>>,
    seen_named: AHashSet<Box<str>>,
    uris_max: usize,
}

impl Collector {
    fn add(&mut self, written: &str, source: UriSource) {
        if self.found.uris.len() < self.uris_max
            && self.seen.insert(written.into())
            && let Some(uri) = Uri::read(written, source)
        {
            self.found.uris.push(uri);
        }
    }

    fn name(&mut self, written: &str) {
        if self.found.named.len() < self.uris_max
            && !self.seen.contains(written)
            && self.seen_named.insert(written.into())
            && let Some(uri) = Uri::read(written, UriSource::Attribute)
        {
            self.found.named.push(uri);
        }
    }

    fn text(&mut self, text: &str) {
        let mut taken: Vec<Range<usize>> = Vec::new();
        // Every link that is looked for has a dot; most texts that have one also have a link.
        for link in FINDER.links(text) {
            let written = link.as_str();
            if is_link(written) && !is_defanged(written) && !runs_on(written) {
                self.add(written, UriSource::Text);
                taken.push(link.start()..link.end());
            }
        }
        if !text.is_ascii() {
            between_letters(text, |link, at| {
                let next = taken.partition_point(|range| range.end <= at);
                let within = taken.get(next).is_some_and(|range| range.start <= at);
                // A name without a scheme in Japanese text is as often a name as an address.
                if has_scheme(link) && !within {
                    self.add(link, UriSource::Text);
                } else {
                    self.name(link);
                }
            });
        }
        if let Some(refanged) = refang(text) {
            for link in FINDER.links(&refanged) {
                if is_link(link.as_str()) && !self.seen.contains(link.as_str()) {
                    self.add(link.as_str(), UriSource::Defanged);
                }
            }
        }
    }
}

/// An attribute names a place outside the message: `page.html` and `top` do not, in a mail.
fn is_absolute(link: &str) -> bool {
    let scheme = link.find(':').and_then(|colon| link.get(..colon)).unwrap_or_default();
    let has_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !scheme.contains(['/', '?', '#']);
    has_scheme || link.starts_with("//") || link.starts_with("\\\\") || is_link(link)
}
