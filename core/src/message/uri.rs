//! URIs of a message: from text and from attributes of HTML.

use std::borrow::Cow;
use std::sync::LazyLock;

use ahash::AHashSet;
use aho_corasick::AhoCorasick;
use linkify::{LinkFinder, LinkKind};
use url::{Host, Url};

use super::field::hex_pair;
use super::view::View;

/// Longest URI that is kept, in octets.
const URI_BYTES_MAX: usize = 4096;

static FINDER: LazyLock<LinkFinder> = LazyLock::new(|| {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]).url_must_have_scheme(false);
    finder
});

/// What makes an address unclickable, and what it stands for.
const DEFANGED: [&str; 7] = ["hxxp", "hXXp", "[.]", "(.)", "[dot]", "(dot)", "[:]"];
const PLAIN: [&str; 7] = ["http", "http", ".", ".", ".", ".", ":"];
static MARKS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let marks = AhoCorasick::new(DEFANGED);
    marks.unwrap_or_else(|error| unreachable!("seven short strings: {error}"))
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
        let written = cut(written.trim());
        let head = written.get(..4).unwrap_or_default();
        if written.is_empty() || written.starts_with('#') || head.eq_ignore_ascii_case("cid:") {
            return None;
        }
        // Browsers drop tabs and line ends inside an address and take `\` for `/`.
        let clean: String = written.chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
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

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(URI_BYTES_MAX)).unwrap_or(text)
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

/// URIs of `view`.
pub(super) fn collect(view: &View<'_>) -> Vec<Uri> {
    let mut out = Collector { uris: Vec::new(), seen: AHashSet::new(), uris_max: view.uris_max };
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()) {
        for link in part.html().links.iter().filter(|link| is_absolute(link)) {
            out.add(link, UriSource::Attribute);
        }
    }
    out.text(&view.body().text);
    for target in view.parts.iter().filter_map(|part| shortcut(&part.decoded)) {
        out.add(&target, UriSource::Document);
    }
    for link in &view.links {
        out.add(link, UriSource::Document);
    }
    out.uris
}

/// Where a shortcut to an address (`.url`) leads.
fn shortcut(octets: &[u8]) -> Option<String> {
    const HEAD: &[u8] = b"[InternetShortcut]";
    let octets = octets.trim_ascii_start();
    octets.get(..HEAD.len()).filter(|head| head.eq_ignore_ascii_case(HEAD))?;
    let text = String::from_utf8_lossy(octets.get(..URI_BYTES_MAX).unwrap_or(octets));
    let rows = text.lines().filter_map(|line| line.split_once('='));
    rows.filter(|(key, _)| key.trim().eq_ignore_ascii_case("URL"))
        .map(|(_, target)| target.trim().to_owned())
        .next()
}

struct Collector {
    uris: Vec<Uri>,
    seen: AHashSet<Box<str>>,
    uris_max: usize,
}

impl Collector {
    fn add(&mut self, written: &str, source: UriSource) {
        if self.uris.len() < self.uris_max
            && self.seen.insert(written.into())
            && let Some(uri) = Uri::read(written, source)
        {
            self.uris.push(uri);
        }
    }

    fn text(&mut self, text: &str) {
        // Every link that is looked for has a dot; most texts that have one also have a link.
        for link in FINDER.links(text) {
            let defanged = link.as_str().get(..4).is_some_and(|s| s.eq_ignore_ascii_case("hxxp"));
            if is_link(link.as_str()) && !defanged {
                self.add(link.as_str(), UriSource::Text);
            }
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

/// Without a scheme, a link needs a known public suffix: `etc.But` is the end of a sentence, and
/// `report.doc` a file.
fn is_link(link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let host = link.split(['/', '?', '#', ':']).next().unwrap_or_default().to_ascii_lowercase();
    psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known())
        && psl::domain_str(&host).is_some()
}

/// Makes addresses clickable again that were made unclickable; `None` if there is none.
fn refang(text: &str) -> Option<String> {
    MARKS.is_match(text).then(|| MARKS.replace_all(text, &PLAIN))
}
