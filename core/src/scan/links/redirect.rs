//! Where a link leads: addresses inside an address, as redirectors, click counters and mail gateways write them.
//!
//! One address inside is where the link leads; what else stands in it may be a decoy, or where it really leads, so lists are
//! asked about all. Bounds for one link: [`HOPS_MAX`] levels, [`BESIDE_MAX`] addresses besides, [`TRIES_MAX`] places that
//! begin like an address, and [`Work::octets`] undone. Each `http` of a long link once had the whole rest undone up to three
//! times: 20 MB of links took 44 seconds.

use std::borrow::Cow;

use memchr::memmem;

use crate::message::{Uri, UriSource};
use crate::scan::known::{HostKind, known};

/// Addresses inside addresses that are followed.
const HOPS_MAX: usize = 4;
/// Addresses that stand beside those.
const BESIDE_MAX: usize = 16;
/// Times that `%25` is undone.
const ROUNDS_MAX: usize = 3;
/// Places in one link that begin like an address and are tried.
const TRIES_MAX: usize = 64;
/// Octets of such a place in which its host ends, encoded three times.
const HOST_BYTES_MAX: usize = 600;
/// Octets of addresses that are undone whatever the length of the link.
const OCTETS_MIN: usize = 4096;
/// Octets of base64 that are undone.
const CODED_BYTES_MAX: usize = 4096;

/// A link, and what is inside of it.
#[derive(Clone, Debug)]
pub(super) struct Chain<'u> {
    outer: &'u Uri,
    /// At most [`HOPS_MAX`].
    inner: Vec<Uri>,
    /// What else a redirector has inside and may lead to.
    beside: Vec<Uri>,
    /// What is named somewhere inside; with `beside` at most [`BESIDE_MAX`].
    named: Vec<Uri>,
}

impl Chain<'_> {
    /// All addresses that lead to each other, the outermost first.
    pub(super) fn hops(&self) -> impl Iterator<Item = &Uri> {
        std::iter::once(self.outer).chain(&self.inner)
    }

    /// What a redirector may lead to instead.
    pub(super) fn beside(&self) -> impl Iterator<Item = &Uri> {
        self.beside.iter()
    }

    /// What is named inside without anybody being led there for certain. Only lists are asked about it.
    pub(super) fn named(&self) -> impl Iterator<Item = &Uri> {
        self.named.iter()
    }

    /// All addresses.
    pub(super) fn all(&self) -> impl Iterator<Item = &Uri> {
        self.hops().chain(&self.beside).chain(&self.named)
    }

    /// Where a reader may end: at the innermost, and at each one that does not certainly lead on. A share button has an
    /// address inside, too, and leads nowhere else.
    pub(super) fn ends(&self) -> impl Iterator<Item = &Uri> {
        let last = self.inner.len();
        let stays = move |(at, hop): &(usize, &Uri)| *at == last || !is_redirector(hop);
        self.hops().enumerate().filter(stays).map(|(_, hop)| hop)
    }

    /// Keeps what was found inside of `outer`, but not where the chain leads on.
    fn keep(&mut self, found: Vec<Uri>, role: Role) {
        for one in found {
            let is_new = !self.all().any(|other| other.canonical == one.canonical);
            if is_new && self.beside.len() + self.named.len() < BESIDE_MAX {
                match role {
                    Role::Beside => self.beside.push(one),
                    Role::Named => self.named.push(one),
                }
            }
        }
    }
}

/// What an address is that stands inside another one, and not where that leads.
#[derive(Clone, Copy)]
enum Role {
    Beside,
    Named,
}

fn is_redirector(uri: &Uri) -> bool {
    known().is(&uri.host, HostKind::Redirector)
}

/// What may still be spent on one link.
struct Work {
    tries: usize,
    octets: usize,
}

impl Work {
    /// Whether `bytes` may be undone; they are spent then.
    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.octets.checked_sub(bytes);
        self.octets = left.unwrap_or(self.octets);
        left.is_some()
    }

    fn may_try(&mut self) -> bool {
        let left = self.tries.checked_sub(1);
        self.tries = left.unwrap_or(0);
        left.is_some()
    }
}

/// What is found inside one address.
#[derive(Default)]
struct Inside {
    /// Addresses, the first the one that is led to.
    addresses: Vec<Uri>,
    /// Names that may be addresses.
    named: Vec<Uri>,
}

/// Follows `uri`.
pub(super) fn follow(uri: &Uri) -> Chain<'_> {
    let octets = uri.canonical.len().saturating_mul(4).saturating_add(OCTETS_MIN);
    let mut work = Work { tries: TRIES_MAX, octets };
    let mut chain = Chain { outer: uri, inner: Vec::new(), beside: Vec::new(), named: Vec::new() };
    let mut rest: Vec<(Vec<Uri>, Role)> = Vec::new();
    loop {
        let last = chain.inner.last().unwrap_or(uri);
        let Inside { mut addresses, named } = inside(last, &mut work);
        let leads_on = is_redirector(last);
        // A redirector that names itself leads on all the same; a page that does has its reader come back.
        let next = match addresses.iter().position(|one| one.host != last.host) {
            Some(at) if at == 0 || leads_on => Some(at),
            _ => None,
        };
        let next = next.filter(|_| chain.inner.len() < HOPS_MAX).map(|at| addresses.remove(at));
        let own = |one: &Uri| one.host == last.host;
        let (own, others): (Vec<Uri>, Vec<Uri>) = addresses.into_iter().partition(own);
        rest.push((others, if leads_on { Role::Beside } else { Role::Named }));
        rest.push((own, Role::Named));
        rest.push((named, Role::Named));
        match next {
            Some(next) => chain.inner.push(next),
            None => break,
        }
    }
    for (found, role) in rest {
        chain.keep(found, role);
    }
    // What stands beside may be another redirector with its address inside.
    let mut at = 0;
    while let Some(one) = chain.beside.iter().chain(&chain.named).nth(at).cloned() {
        let found = inside(&one, &mut work);
        chain.keep(found.addresses, Role::Named);
        chain.keep(found.named, Role::Named);
        at += 1;
    }
    chain
}

/// The addresses inside an address.
fn inside(uri: &Uri, work: &mut Work) -> Inside {
    let mut found = Inside::default();
    let text = &*uri.canonical;
    if uri.host.is_empty() {
        in_program(text, work, &mut found);
        return found;
    }
    // Behind `https://h`: its own scheme does not count.
    let behind = text.get(9..).unwrap_or_default();
    let of_proofpoint =
        uri.host.ends_with("urldefense.com") || uri.host.ends_with("proofpoint.com");
    with_scheme(behind, of_proofpoint, work, &mut found.addresses);
    let other = of_mirror(uri, work).into_iter().chain(of_base64(text, work));
    let other: Vec<Uri> = other.filter_map(|target| read(&target)).collect();
    if found.addresses.is_empty() {
        found.addresses = other;
    } else {
        found.named.extend(other);
    }
    without_scheme(uri, work, &mut found);
    found
}

fn read(target: &str) -> Option<Uri> {
    Uri::read(target, UriSource::Attribute).filter(|uri| !uri.host.is_empty())
}

/// What begins with `http`, encoded or not.
fn with_scheme(text: &str, of_proofpoint: bool, work: &mut Work, out: &mut Vec<Uri>) {
    let mut end = 0_usize;
    for at in memchr::memchr2_iter(b'h', b'H', text.as_bytes()) {
        let Some(rest) = text.get(at..).filter(|rest| begins_address(rest)) else { continue };
        if !work.may_try() {
            return;
        }
        // Where `rest` ends is looked for once for all that begin before.
        if at >= end {
            let stop = rest.find(['&', '"', '<', '>', ' ']);
            end = stop.map_or(text.len(), |stop| at + stop);
        }
        let rest = text.get(at..end).unwrap_or(rest);
        let undo = |text: &str| {
            if of_proofpoint { undo_proofpoint(text) } else { undo_percent(text) }
        };
        let head = rest.get(..rest.floor_char_boundary(HOST_BYTES_MAX)).unwrap_or(rest);
        if !is_address(&undo(head)) {
            continue;
        }
        if !work.spend(rest.len()) {
            return;
        }
        out.extend(read(&undo(rest)));
    }
}

/// Whether a text begins with `http:` or `https:`, as far as can be told without undoing it.
fn begins_address(text: &str) -> bool {
    let octets = text.as_bytes();
    if !octets.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"http")) {
        return false;
    }
    let rest = octets.get(4..).unwrap_or_default();
    let rest = rest.strip_prefix(b"s").or_else(|| rest.strip_prefix(b"S")).unwrap_or(rest);
    match rest {
        [b':', b'/' | b'\\' | b'%', ..] | [b'-', b'3', b'A' | b'a', ..] => true,
        [b'%', code @ ..] => {
            let mut code = code;
            for _ in 1..ROUNDS_MAX {
                code = code.strip_prefix(b"25").unwrap_or(code);
            }
            matches!(code, [b'3', b'A' | b'a', ..])
        }
        _ => false,
    }
}

fn is_address(text: &str) -> bool {
    behind_scheme(text).is_some_and(|host| {
        host.split(['/', '?', '#']).next().unwrap_or_default().contains(['.', '['])
    })
}

fn behind_scheme(text: &str) -> Option<&str> {
    ["https://", "http://"].iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| text.get(scheme.len()..))?
    })
}

/// Undoes percent encoding, also where it was done more than once.
fn undo_percent(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ROUNDS_MAX {
        if text.contains("://") || !text.contains('%') {
            break;
        }
        text = once(&text).into();
    }
    // `http:/host` as in the path of a proxy.
    match text.split_once(":/") {
        Some((scheme, rest)) if !rest.starts_with('/') && is_web(scheme) => {
            format!("{scheme}://{rest}")
        }
        _ => text.into_owned(),
    }
}

fn is_web(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn once(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [octet, after @ ..] = rest {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match digit(0).zip(digit(1)).filter(|_| *octet == b'%') {
            Some((high, low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*octet);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Version 2 writes `-3A` for `%3A` and `_` for `/`; version 3 ends the address with `__;`.
fn undo_proofpoint(text: &str) -> String {
    if let Some((address, _)) = text.split_once("__;") {
        return undo_percent(address);
    }
    if text.starts_with("http-3A") || text.starts_with("https-3A") {
        let plain = text.replace('_', "/");
        let mut out = String::with_capacity(plain.len());
        let mut rest = plain.as_str();
        while let Some(at) = rest.find('-') {
            let hex = rest.get(at + 1..at + 3).unwrap_or_default();
            let is_hex = hex.len() == 2 && hex.bytes().all(|octet| octet.is_ascii_hexdigit());
            out.push_str(rest.get(..at).unwrap_or_default());
            out.push(if is_hex { '%' } else { '-' });
            rest = rest.get(at + 1..).unwrap_or_default();
        }
        out.push_str(rest);
        return undo_percent(&out);
    }
    undo_percent(text)
}

/// A page in the search engine's store of fast pages: `google.com/amp/s/host/page`.
fn of_mirror(uri: &Uri, work: &mut Work) -> Option<String> {
    let of_google = uri.domain.starts_with("google.");
    let (_, path) = uri.canonical.split_once("/amp/").filter(|_| of_google)?;
    if !work.spend(path.len()) {
        return None;
    }
    let target = undo_percent(&format!("https://{}", path.strip_prefix("s/").unwrap_or(path)));
    is_address(&target).then_some(target)
}

/// `...?u=aHR0cHM6Ly9ldmlsLnRlc3Qv`: `http`, `HTTP`, `Http`; `//` only as all of a parameter, since any word may have
/// these three letters.
fn of_base64(text: &str, work: &mut Work) -> Vec<String> {
    let mut out = Vec::new();
    for head in ["aHR0c", "SFRUU", "SHR0c", "=Ly9"] {
        for at in memmem::find_iter(text.as_bytes(), head).take(HOPS_MAX) {
            let coded = text.get(at..).unwrap_or_default().trim_start_matches('=');
            let no_digit =
                |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/' | '-' | '_');
            let near = coded.get(..coded.floor_char_boundary(CODED_BYTES_MAX)).unwrap_or(coded);
            let coded = near.get(..near.find(no_digit).unwrap_or(near.len())).unwrap_or(near);
            if !work.spend(coded.len()) {
                return out;
            }
            let Some(octets) = undo_base64(coded) else { continue };
            let target = String::from_utf8(octets).unwrap_or_default();
            if is_address(&target) || target.strip_prefix("//").is_some_and(is_host_first) {
                out.push(target);
            }
        }
    }
    out
}

fn undo_base64(coded: &str) -> Option<Vec<u8>> {
    use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let coded = coded.as_bytes();
    STANDARD_NO_PAD.decode_to_vec(coded).or_else(|_| URL_SAFE_NO_PAD.decode_to_vec(coded)).ok()
}

/// Whether a text begins with what may be the name of a host.
fn is_host_first(text: &str) -> bool {
    let host = text.split(['/', '?', '#', ':', '\\']).next().unwrap_or_default();
    let last = host.rsplit_once('.').map_or("", |(_, last)| last);
    host.len() < 256
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'))
        && last.len() > 1
        && last.contains(char::is_alphabetic)
}

/// Parameters that are an address without its scheme: `?q=//host/`, and to a redirector `?q=host/`.
fn without_scheme(uri: &Uri, work: &mut Work, found: &mut Inside) {
    let Some((_, query)) = uri.canonical.split_once('?') else { return };
    let redirects = is_redirector(uri);
    for value in query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value) {
        let near = value.get(..value.floor_char_boundary(HOST_BYTES_MAX)).unwrap_or(value);
        if !near.contains('.') || begins_address(near) {
            continue;
        }
        if !work.may_try() {
            return;
        }
        let target = undo_percent(near).replace('\\', "/");
        match target.strip_prefix("//") {
            Some(host) if is_host_first(host) => {
                let to = if redirects { &mut found.addresses } else { &mut found.named };
                to.extend(read(&target));
            }
            None if redirects && is_host_first(&target) => {
                found.named.extend(read(&format!("http://{target}")));
            }
            _ => {}
        }
    }
}

/// What the link of another program has inside: `ms-word:ofe|u|http://host/`, `search-ms:...location:\\\\host@80\\x`,
/// `file:////host/`, a page in a `data:`.
fn in_program(text: &str, work: &mut Work, found: &mut Inside) {
    let Some((scheme, behind)) = text.split_once(':') else { return };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("mailto") || is("tel") || is("cid") || is("mid") {
        return;
    }
    if is("data") {
        in_data(behind, work, found);
        return;
    }
    for piece in behind.split(['|', '"', '\'', '(', ')', '<', '>', ' ']) {
        with_scheme(piece, false, work, &mut found.named);
    }
    if let Some(path) = behind.strip_prefix("//") {
        found.named.extend(of_share(path.trim_start_matches(['/', '\\'])));
    } else {
        let near = behind.get(..behind.floor_char_boundary(OCTETS_MIN)).unwrap_or(behind);
        let plain = near.replace("%5C", "\\").replace("%5c", "\\");
        let host = plain.split_once("\\\\").map(|(_, host)| host);
        found.named.extend(host.and_then(of_share));
    }
}

/// `host@80\x`, as a client reads it behind `\\`.
fn of_share(text: &str) -> Option<Uri> {
    let host = text.split(['\\', '/', '@', '&', '|', '"', '\'']).next().unwrap_or_default();
    let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
    if is_address || is_host_first(host) { read(&format!("http://{host}/")) } else { None }
}

/// The addresses on a page that is all in its own link.
fn in_data(text: &str, work: &mut Work, found: &mut Inside) {
    let Some((kind, page)) = text.split_once(',').filter(|(kind, _)| !kind.starts_with("image"))
    else {
        return;
    };
    if !work.spend(page.len()) {
        return;
    }
    let page = if kind.to_ascii_lowercase().ends_with(";base64") {
        let coded = page.replace("%2B", "+").replace("%2F", "/");
        let coded = coded.split(['=', '%']).next().unwrap_or_default();
        // It may have been cut within a group of four.
        let whole = coded.get(..coded.len() / 4 * 4).unwrap_or(coded);
        let octets = undo_base64(coded).or_else(|| undo_base64(whole)).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    } else {
        once(page)
    };
    for piece in page.split(['"', '\'', '<', '>', ' ', '\n', '\r', '\t', ')']) {
        with_scheme(piece, false, work, &mut found.named);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_addresses_are_followed() {
        let ends = |link: &str| -> Vec<String> {
            let uri = Uri::read(link, UriSource::Attribute).unwrap();
            follow(&uri).ends().map(|uri| uri.host.to_string()).collect()
        };
        for (link, expected) in [
            ("https://www.google.com/url?q=https://evil.test/a&sa=D", "evil.test"),
            ("https://www.google.com/url?q=https%3A%2F%2Fevil.test%2Fa&sa=D", "evil.test"),
            ("https://www.google.com/url?q=https%253A%252F%252Fevil.test%252F", "evil.test"),
            (
                "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.test%2Fx%3Fa%3Db&data=05",
                "evil.test",
            ),
            (
                "https://urldefense.proofpoint.com/v2/url?u=https-3A__evil.test_a-2Db&d=DwM",
                "evil.test",
            ),
            ("https://urldefense.com/v3/__https://evil.test/login__;!!abc$", "evil.test"),
            ("https://www.google.com/amp/s/https://evil.test/x", "evil.test"),
            ("https://www.bing.com/ck/a?u=a1aHR0cHM6Ly9ldmlsLnRlc3Qv&ntb=1", "evil.test"),
            (
                "https://www.google.com/url?q=https://l.facebook.com/l.php?u=https%3A%2F%2Fevil.test%2F",
                "evil.test",
            ),
            ("https://plain.test/about", "plain.test"),
        ] {
            assert_eq!(ends(link), [expected], "{link}");
        }
        // Not a redirector that is known: where it leads is not known either, so both count.
        assert_eq!(ends("https://open.test/go?to=https://evil.test/"), ["open.test", "evil.test"]);
        let deep = "https://www.google.com/url?q=".repeat(40) + "https://evil.test/";
        let deep = Uri::read(&deep, UriSource::Text).unwrap();
        assert!(follow(&deep).hops().count() <= HOPS_MAX + 1);
    }

    fn all(link: &str) -> Vec<String> {
        let uri = Uri::read(link, UriSource::Attribute).unwrap();
        follow(&uri).all().map(|uri| uri.host.to_string()).collect()
    }

    /// Where the address that counts stood behind another one, or was written as browsers read it and we did not, the
    /// link led to the redirector and lists were asked about that alone.
    #[test]
    fn every_address_inside_an_address_is_known_whatever_stands_before_it() {
        for link in [
            "https://www.google.com/url?source=https://www.wikipedia.org/&url=http%3A%2F%2Fevil.com/x",
            "https://www.google.com/url?ref=https://www.google.com/&q=http%3A%2F%2Fevil.com/x",
            "https://www.google.com/url?q=HTTP%3A%2F%2Fevil.com/x",
            "https://www.google.com/url?q=Https%253a%252F%252Fevil.com/x",
            "https://www.google.com/url?q=//evil.com/x",
            "https://www.google.com/url?q=evil.com/x",
            "https://redir.example.net/?u=//evil.com/x",
            "https://redir.example.net/?u=SFRUUFM6Ly9ldmlsLmNvbS94",
            "https://redir.example.net/?u=Ly9ldmlsLmNvbS94",
            "https://redir.example.net/?a=https://a.com&b=https://b.com&c=https%3A%2F%2Fevil.com/",
            "https://redir.example.net/?a=https://a.com&c=https%3A%2F%2Fwww.google.com%2Furl%3Fq%3Devil.com",
            "ms-word:ofe|u|http://evil.com/x.docx",
            r"search-ms:query=a&crumb=location:\\evil.com@80\x",
            "file:////evil.com/share/x",
            "data:text/html;base64,PGEgaHJlZj1odHRwOi8vZXZpbC5jb20veD5hPC9hPg==",
        ] {
            assert!(all(link).iter().any(|host| host == "evil.com"), "{link}: {:?}", all(link));
        }
    }

    /// What is only named inside of a link is asked about, and nobody is taken to be led there.
    #[test]
    fn an_address_beside_another_is_an_end_only_where_a_redirector_has_it() {
        let ends = |link: &str| -> Vec<String> {
            let uri = Uri::read(link, UriSource::Attribute).unwrap();
            let chain = follow(&uri);
            chain.ends().chain(chain.beside()).map(|uri| uri.host.to_string()).collect()
        };
        for (link, expected) in [
            ("https://www.google.com/url?a=https://a.com&b=https://b.com", &["a.com", "b.com"][..]),
            ("https://shop.test/?a=https://a.com&b=https://b.com", &["shop.test", "a.com"]),
            ("https://shop.test/?a=https://shop.test/x&b=https://b.com", &["shop.test"]),
            ("https://www.google.com/search?q=example.com", &["www.google.com"]),
            ("mailto:a@b.test?body=https://a.com", &[""]),
            ("https://shop.test/report.zip?v=1.2&file=price.pdf", &["shop.test"]),
        ] {
            assert_eq!(ends(link), expected, "{link}");
        }
        assert_eq!(all("https://shop.test/report.zip?v=1.2&file=price.pdf"), ["shop.test"]);
        assert_eq!(all("https://www.google.com/maps?q=35.68,139.76&z=1.5"), ["www.google.com"]);
    }

    /// Links of nothing but beginnings of addresses: 20 MB of them took 44 seconds.
    #[test]
    fn following_a_link_takes_work_in_proportion_to_its_length() {
        for piece in
            ["http%25", "http", "http%253A%252F%252F", "http://a.b/", "aHR0cHM6Ly9h", "=Ly9"]
        {
            let link = format!("http://g.com/?{}", piece.repeat(4096 / piece.len()));
            let uri = Uri::read(&link, UriSource::Attribute).unwrap();
            let mut work = Work { tries: TRIES_MAX, octets: 4 * link.len() };
            inside(&uri, &mut work);
            let chain = follow(&uri);
            assert!(chain.inner.len() <= HOPS_MAX, "{piece}");
            assert!(chain.beside.len() + chain.named.len() <= BESIDE_MAX, "{piece}");
        }
        // What only looks like a beginning is no try, and what comes behind it is found.
        let link = format!("http://g.com/?{}&u=http%3A%2F%2Fevil.com", "http%25".repeat(400));
        assert!(all(&link).iter().any(|host| host == "evil.com"));
    }
}
