//! Where a link leads: addresses inside an address, as redirectors, click counters and mail gateways write them.

use memchr::memmem;

use crate::message::{Uri, UriSource};
use crate::scan::known::{HostKind, known};

/// Addresses inside addresses that are followed.
const HOPS_MAX: usize = 4;
/// Times that `%25` is undone.
const ROUNDS_MAX: usize = 3;

/// A link, and what is inside of it.
#[derive(Clone, Debug)]
pub(super) struct Chain<'u> {
    outer: &'u Uri,
    /// At most [`HOPS_MAX`].
    inner: Vec<Uri>,
}

impl Chain<'_> {
    /// All addresses, the outermost first.
    pub(super) fn hops(&self) -> impl Iterator<Item = &Uri> {
        std::iter::once(self.outer).chain(&self.inner)
    }

    /// Where a reader may end: at the innermost, and at each one that does not certainly lead on. A share button has an
    /// address inside, too, and leads nowhere else.
    pub(super) fn ends(&self) -> impl Iterator<Item = &Uri> {
        let last = self.inner.len();
        let stays = move |(at, hop): &(usize, &Uri)| {
            *at == last || !known().is(&hop.host, HostKind::Redirector)
        };
        self.hops().enumerate().filter(stays).map(|(_, hop)| hop)
    }
}

/// Follows `uri`.
pub(super) fn follow(uri: &Uri) -> Chain<'_> {
    let mut chain = Chain { outer: uri, inner: Vec::new() };
    while chain.inner.len() < HOPS_MAX
        && let Some(next) = inside(chain.inner.last().unwrap_or(uri))
    {
        chain.inner.push(next);
    }
    chain
}

/// The address inside an address, if there is one.
fn inside(uri: &Uri) -> Option<Uri> {
    let text = &*uri.canonical;
    // Behind `https://h`: its own scheme does not count.
    let behind = text.get(9..)?;
    if uri.host.is_empty() {
        return None;
    }
    let found = memmem::find_iter(behind.as_bytes(), b"http").find_map(|at| {
        let rest = behind.get(at..)?;
        let rest = rest.split(['&', '"', '<', '>']).next().unwrap_or(rest);
        let target = if uri.host.ends_with("urldefense.com") || uri.host.ends_with("proofpoint.com")
        {
            of_proofpoint(rest)
        } else {
            undo_percent(rest)
        };
        is_address(&target).then_some(target)
    });
    let target = found.or_else(|| of_mirror(uri)).or_else(|| of_base64(text))?;
    Uri::read(&target, UriSource::Attribute)
        .filter(|inner| !inner.host.is_empty() && inner.host != uri.host)
}

fn is_address(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        host.split(['/', '?', '#']).next().unwrap_or_default().contains(['.', '['])
    })
}

/// Undoes percent encoding, also where it was done more than once.
fn undo_percent(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..ROUNDS_MAX {
        if text.contains("://") || !text.contains('%') {
            break;
        }
        text = once(&text);
    }
    // `http:/host` as in the path of a proxy.
    match text.split_once(":/") {
        Some((scheme @ ("http" | "https"), rest)) if !rest.starts_with('/') => {
            format!("{scheme}://{rest}")
        }
        _ => text,
    }
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
fn of_proofpoint(text: &str) -> String {
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
fn of_mirror(uri: &Uri) -> Option<String> {
    let of_google = uri.domain.starts_with("google.");
    let (_, path) = uri.canonical.split_once("/amp/").filter(|_| of_google)?;
    let target = undo_percent(&format!("https://{}", path.strip_prefix("s/").unwrap_or(path)));
    is_address(&target).then_some(target)
}

/// `...?u=aHR0cHM6Ly9ldmlsLnRlc3Qv`
fn of_base64(text: &str) -> Option<String> {
    use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let at = memmem::find(text.as_bytes(), b"aHR0c")?;
    let coded = text.get(at..)?;
    let end =
        coded.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/' | '-' | '_'));
    let coded = coded.get(..end.unwrap_or(coded.len()))?.as_bytes();
    let octets = STANDARD_NO_PAD
        .decode_to_vec(coded)
        .or_else(|_| URL_SAFE_NO_PAD.decode_to_vec(coded))
        .ok()?;
    let target = String::from_utf8(octets).ok()?;
    is_address(&target).then_some(target)
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
}
