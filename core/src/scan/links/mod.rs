//! Where the links of a mail lead: what a reader can click, what he is shown instead, and what pictures are fetched.
//!
//! Every address inside an address is looked at ([`redirect`]), so that a bad host behind a redirector is found. What
//! belongs to whom is read off the public suffix list; what passes for a brand is in [`trick`].
//!
//! Bounds: as many URIs as the view keeps, at most twenty addresses inside each, [`HOSTS_MAX`] hosts and [`SHOWN_MAX`] pairs
//! of text and target kept; each host is judged once.

mod redirect;
mod trick;

use std::net::IpAddr;

use ahash::AHashSet;

use super::ScanTables;
use super::finding::Finding;
use super::known::{HostKind, known, label_of};
use super::signs::{self, add};
use crate::message::{Uri, UriSource, View};
use crate::tables::HostFlags;
use redirect::follow;
pub(super) use trick::{Trick, is_random, trick};

/// Hosts of each kind that are kept.
const HOSTS_MAX: usize = 200;
/// Pairs of shown and true target that are kept.
const SHOWN_MAX: usize = 20;
/// Anchors whose text is compared with their target.
const ANCHORS_MAX: usize = 500;
/// Octets of a shown text that can be an address.
const SHOWN_BYTES_MAX: usize = 300;
/// Octets of a URI that are kept of a view (`message::uri`).
const URI_BYTES_MAX: usize = 4096;
/// Characters of a word that marks one reader.
const MARK_CHARS_MIN: usize = 20;
/// Beginnings of a path that are looked up from its end, and as many from its begin.
const PAGE_LOOK_UPS_MAX: usize = 6;

/// What was found about links.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Hosts that a reader may end at, in order, without duplicates.
    pub(super) clicks: Vec<Box<str>>,
    /// Hosts of redirectors, pictures and all else that is not clicked.
    pub(super) others: Vec<Box<str>>,
    /// Text that is an address, and the host that the link ends at instead.
    pub(super) shown: Vec<Shown>,
    /// A brand's host that leads on to one outside of the brand, and that one.
    pub(super) through: Option<(Box<str>, Box<str>)>,
    /// Links that can be clicked and carry a mark of their own, as those do that count clicks.
    pub(super) counted: usize,
    /// Links that can be clicked.
    pub(super) clickable: usize,
    seen: AHashSet<Box<str>>,
    /// Hosts that lists were asked about.
    asked: AHashSet<Box<str>>,
    /// Hosts of links that work; others are named where somebody warns of them.
    open: AHashSet<Box<str>>,
}

/// A link whose text is another address than it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Host in the text.
    pub(super) shown: Box<str>,
    /// Host that it leads to.
    pub(super) target: Box<str>,
    /// The text is a whole address (`https://..`, `www..`), not just a name.
    pub(super) whole: bool,
}

/// Looks at all links. `recipients`: addresses in To and Cc, lower case. Signs of single links go to `out`.
pub(super) fn gather(
    view: &View<'_>,
    tables: &ScanTables<'_>,
    recipients: &[Box<str>],
    out: &mut Vec<Finding>,
) -> Links {
    let mut links = Links::default();
    let clicked = clicked(view);
    compare(view, &mut links);
    // What an anchor shows is in the text, too, and is not where anybody gets.
    let only_shown: AHashSet<Box<str>> =
        links.shown.iter().map(|pair| pair.shown.clone()).collect();
    let coded: Vec<String> = recipients.iter().take(3).map(|one| coded(one)).collect();
    for uri in view.uris() {
        let clickable = match uri.source {
            UriSource::Attribute => clicked.contains(&*uri.written),
            UriSource::Document => true,
            UriSource::Text | UriSource::Defanged => {
                !only_shown.contains(&uri.host) && !is_file_name(uri)
            }
        };
        links.clickable += usize::from(clickable);
        if clickable {
            scheme(uri, out);
        }
        let chain = follow(uri);
        for named in chain.named() {
            links.ask(named, tables, out);
        }
        if uri.host.is_empty() {
            continue;
        }
        for hop in chain.hops().chain(chain.beside()) {
            links.look_up(hop, tables, out);
        }
        if !clickable {
            keep(&mut links.others, &uri.host);
            continue;
        }
        links.counted +=
            usize::from(has_mark(&uri.canonical) || known().is(&uri.host, HostKind::Click));
        for end in chain.ends().chain(chain.beside()) {
            one_link(end, out);
            keep(&mut links.clicks, &end.host);
            if uri.source != UriSource::Defanged {
                links.open.insert(end.host.clone());
            }
            if links.through.is_none() && leaves_brand(uri, end) {
                links.through = Some((uri.host.clone(), end.host.clone()));
            }
        }
        if let Some((_, fragment)) = uri.canonical.split_once('#') {
            let lower = fragment.to_ascii_lowercase();
            let plain = recipients.iter().any(|one| lower.contains(&**one));
            if plain || coded.iter().any(|one| fragment.contains(one.as_str())) {
                add(out, &signs::LINK_TO_RECIPIENT, &uri.host);
            }
        }
        if uri.source == UriSource::Defanged {
            add(out, &signs::LINK_DEFANGED, &uri.host);
        }
    }
    links.ask_named(view, tables, out);
    hosts(&links, out);
    links
}

/// Top-level domains that end names of files, too.
const FILE_SUFFIXES: [&str; 12] =
    ["zip", "mov", "sh", "py", "pl", "rs", "md", "ps", "so", "ai", "app", "cab"];

/// `report.zip` in a text is a file, and no mail reader makes a link of it.
fn is_file_name(uri: &Uri) -> bool {
    let suffix = uri.host.rsplit('.').next().unwrap_or_default();
    FILE_SUFFIXES.contains(&suffix) && !uri.written.contains("://") && !uri.written.contains('/')
}

/// Targets of all anchors and forms, as [`Uri::written`] has them.
fn clicked<'v>(view: &'v View<'_>) -> AHashSet<&'v str> {
    let mut found = AHashSet::new();
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()) {
        let html = part.html();
        let links = html.anchors.iter().map(|anchor| anchor.link).chain(html.forms.iter().copied());
        for link in links.filter_map(|link| html.links.get(link as usize)) {
            found.insert(link.get(..link.floor_char_boundary(URI_BYTES_MAX)).unwrap_or(link));
        }
    }
    found
}

/// The inner octets of an address in base64, whatever stands before and behind it.
fn coded(address: &str) -> String {
    let whole = base64_simd::STANDARD_NO_PAD.encode_to_string(address.as_bytes());
    // The last group depends on what follows.
    whole.get(..whole.len() / 4 * 4).unwrap_or(&whole).to_owned()
}

fn keep(hosts: &mut Vec<Box<str>>, host: &str) {
    if hosts.len() < HOSTS_MAX && !hosts.iter().any(|kept| &**kept == host) {
        hosts.push(host.into());
    }
}

impl Links {
    /// What lists say of a host and its page, a host once.
    fn ask(&mut self, uri: &Uri, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
        // Most boxes have no list: nothing is gathered for nobody's question.
        if uri.host.is_empty() || tables.url_host.is_none() {
            return;
        }
        if let Some((page, flags)) = listed_page(uri, tables) {
            listed(&page, flags, out);
        }
        if self.asked.insert(uri.host.clone()) {
            let flags = tables.url_host.map(|known| known(&uri.host)).unwrap_or_default();
            listed(&uri.host, flags, out);
        }
    }

    /// Addresses that are only named ([`View::named_uris`]): lists are asked, and that is all.
    fn ask_named(&mut self, view: &View<'_>, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
        if tables.url_host.is_none() {
            return;
        }
        for uri in view.named_uris() {
            for named in follow(uri).all() {
                self.ask(named, tables, out);
            }
        }
    }

    /// [`Self::ask`] for what somebody may click, and whether it hides where it leads.
    fn look_up(&mut self, uri: &Uri, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
        self.ask(uri, tables, out);
        if self.seen.insert(uri.host.clone()) {
            let flags = tables.url_host.map(|known| known(&uri.host)).unwrap_or_default();
            if flags.shortener || is_shortener(&uri.host) {
                add(out, &signs::URL_SHORTENER, &uri.host);
            }
        }
    }
}

/// Whether a host leads on to wherever it was told to.
pub(super) fn is_shortener(host: &str) -> bool {
    known().is(host, HostKind::Shortener) && !known().is(host, HostKind::OneService)
}

/// What is found where a list names a host or a page.
fn listed(name: &str, flags: HostFlags, out: &mut Vec<Finding>) {
    if flags.bad {
        out.push(signs::URL_BAD_HOST.finding(name));
    }
    if flags.suspicious {
        out.push(signs::URL_SUSPICIOUS_OBJECT.finding(name));
    }
}

/// The page, or what its path begins with, that a list calls bad or suspicious.
fn listed_page(uri: &Uri, tables: &ScanTables<'_>) -> Option<(String, HostFlags)> {
    let known = tables.url_host?;
    let rest = uri.canonical.split_once("://")?.1;
    let at = rest.find('/')?;
    let page = rest.get(at..)?.split('#').next()?.trim_end_matches('/');
    let mut key = format!("{}{page}", uri.host);
    for _ in 0..PAGE_LOOK_UPS_MAX {
        if key.len() <= uri.host.len() {
            break;
        }
        let flags = known(&key);
        if flags.bad || flags.suspicious {
            return Some((key, flags));
        }
        let Some(cut) = key.rfind(['/', '?']) else { break };
        key.truncate(cut);
    }
    beginnings(&uri.host, page).into_iter().rev().find_map(|key| {
        let flags = known(&key);
        (flags.bad || flags.suspicious).then_some((key, flags))
    })
}

/// What a page's path begins with, the shortest first, and last all of it without the query. Servers take `//` for `/`, and
/// answer for a page whatever stands behind it, so both would hide a page from its list.
fn beginnings(host: &str, page: &str) -> Vec<String> {
    let path = page.split('?').next().unwrap_or_default();
    let mut keys: Vec<String> = Vec::new();
    let mut key = host.to_owned();
    for (at, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
        key.push('/');
        key.push_str(name);
        if at < PAGE_LOOK_UPS_MAX {
            keys.push(key.clone());
        }
    }
    if keys.last().is_some_and(|last| last.len() < key.len()) {
        keys.push(key);
    }
    keys
}

/// Signs of one link that its host does not decide.
fn one_link(uri: &Uri, out: &mut Vec<Finding>) {
    let Some((_, rest)) = uri.canonical.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains('.') || user.contains("%2E") {
        add(out, &signs::LINK_USERINFO, &uri.written);
    }
    let behind_scheme = uri.written.split_once("//").map_or(&*uri.written, |(_, rest)| rest);
    let written = behind_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let written = written.rsplit_once('@').map_or(written, |(_, host)| host);
    match uri.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if !written.contains(&*uri.host) => {
            add(out, &signs::LINK_ADDRESS_DISGUISED, &format!("{written} is {address}"));
        }
        Ok(address) if !is_inside(address) => add(out, &signs::LINK_ADDRESS, &uri.host),
        Ok(_) => {}
        Err(_) if written.contains('%') => add(out, &signs::LINK_HOST_ENCODED, &uri.written),
        Err(_) => {}
    }
    // The parser leaves the scheme's own port out.
    let port = place.rsplit_once(':').map(|(_, port)| port).filter(|_| !place.ends_with(']'));
    if port.is_some_and(|port| !matches!(port, "80" | "443" | "8080" | "8443" | "")) {
        add(out, &signs::LINK_PORT, &uri.host);
    }
}

/// An address of somebody's own network: a printer, a test box.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Something to click that is no address of a page.
fn scheme(uri: &Uri, out: &mut Vec<Finding>) {
    if uri.written.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("http")) {
        return;
    }
    let head: String =
        uri.written.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(20).collect();
    let head = head.to_ascii_lowercase();
    let runs = ["javascript:", "vbscript:"].iter().any(|scheme| head.starts_with(scheme));
    let empty = runs && uri.written.len() < 24;
    if head.starts_with("data:text") || head.starts_with("data:application") || runs && !empty {
        add(out, &signs::LINK_SCHEME, &head);
    }
}

/// A long word of letters and digits behind the host.
fn has_mark(canonical: &str) -> bool {
    let behind = canonical.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let Some((_, path)) = behind else { return false };
    path.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).any(|word| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        word.len() >= MARK_CHARS_MIN && digits >= 2 && digits < word.len()
    })
}

/// Whether a redirector belongs to a brand and leads out of it. Gates that check links for their customers do so, too.
fn leaves_brand(outer: &Uri, end: &Uri) -> bool {
    if outer.host == end.host {
        return false;
    }
    let brands = known().brands_of(&outer.host);
    let is_gate =
        ["safelinks", "safelink.", "trendmicro"].iter().any(|gate| outer.host.contains(gate));
    !brands.is_empty()
        && !is_gate
        && !known().brands_of(&end.host).iter().any(|brand| brands.contains(brand))
}

/// What hosts look like, each once.
fn hosts(links: &Links, out: &mut Vec<Finding>) {
    for host in links.clicks.iter().filter(|host| links.open.contains(*host)) {
        if known().is(host, HostKind::Form) {
            add(out, &signs::LINK_FORM, host);
        } else if known().is(host, HostKind::FreeHosting) {
            add(out, &signs::LINK_FREE_HOSTING, host);
        }
        if known().is_cheap(host) && known().brands_of(host).is_empty() {
            add(out, &signs::LINK_CHEAP_SUFFIX, host);
        }
        if is_random(label_of(host)) && !known().is(host, HostKind::Click) {
            add(out, &signs::LINK_RANDOM_HOST, host);
        }
        let Some(found) = trick(host) else { continue };
        let sign = match found {
            Trick::Embeds(_) => &signs::LINK_EMBEDS_BRAND,
            Trick::Looks(_) => &signs::LINK_LOOKS_LIKE_BRAND,
            Trick::Near(_) => &signs::LINK_NEAR_BRAND,
            Trick::Names(_) => &signs::LINK_NAMES_BRAND,
            Trick::Mixed => &signs::LINK_MIXED_SCRIPTS,
        };
        add(out, sign, host);
    }
}

/// Compares what anchors show with where they lead.
fn compare(view: &View<'_>, links: &mut Links) {
    let mut left = ANCHORS_MAX;
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()) {
        let html = part.html();
        for anchor in &html.anchors {
            let Some((target, text)) = html.anchor(anchor) else { continue };
            if left == 0 || links.shown.len() >= SHOWN_MAX {
                return;
            }
            let Some((shown, whole)) = shown_address(text) else { continue };
            left -= 1;
            let Some(target) =
                Uri::read(target, UriSource::Attribute).filter(|uri| !uri.host.is_empty())
            else {
                continue;
            };
            let chain = follow(&target);
            let same =
                chain.hops().any(|hop| *hop.domain == *shown.domain || hop.host == shown.host);
            if let Some(end) = chain.ends().last().filter(|_| !same) {
                let pair = Shown { shown: shown.host, target: end.host.clone(), whole };
                if !links.shown.contains(&pair) {
                    links.shown.push(pair);
                }
            }
        }
    }
}

/// The address that a text is, as a whole; true where it cannot be read as anything else.
fn shown_address(text: &str) -> Option<(Uri, bool)> {
    let fits = text.len() <= SHOWN_BYTES_MAX && text.contains('.');
    if !fits || text.contains(char::is_whitespace) || text.contains('@') && !text.contains("://") {
        return None;
    }
    let text = text.trim_matches(['<', '>', '(', ')', '[', ']', '"', ',']).trim_end_matches('.');
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let whole = lower.starts_with("http") || lower.starts_with("www.");
    let uri = Uri::read(text, UriSource::Text)?;
    let known_suffix = psl::suffix(uri.host.as_bytes()).is_some_and(|suffix| suffix.is_known());
    (!uri.domain.is_empty() && known_suffix).then_some((uri, whole))
}
