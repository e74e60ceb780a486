//! Numbers that have letters in them, and mail addresses.

use std::ops::Range;

/// Runs of ASCII letters and digits: start and end.
fn runs(text: &str, from: usize) -> impl Iterator<Item = (usize, usize)> {
    let octets = text.as_bytes();
    let mut at = from;
    std::iter::from_fn(move || {
        let rest = octets.get(at..)?;
        let start = at + rest.iter().position(u8::is_ascii_alphanumeric)?;
        let run = octets.get(start..)?;
        let length = run.iter().position(|o| !o.is_ascii_alphanumeric());
        at = start + length.unwrap_or(run.len());
        Some((start, at))
    })
}

/// Where the run that `at` may be in the middle of begins.
fn run_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len()
}

/// Two letters and seven digits (ICAO 9303, Japan).
pub(super) fn passports(
    text: &str,
    within: Range<usize>,
    each: &mut dyn FnMut(Range<usize>) -> bool,
) {
    for (start, end) in runs(text, run_start(text, within.start)) {
        if start >= within.end {
            return;
        }
        let run = text.as_bytes().get(start..end).unwrap_or_default();
        let fits = run.len() == 9
            && run.iter().take(2).all(u8::is_ascii_alphabetic)
            && run.iter().skip(2).all(u8::is_ascii_digit);
        if fits && start >= within.start && !each(start..end) {
            return;
        }
    }
}

/// Length of an IBAN by country: the registry of SWIFT.
fn iban_length(country: &[u8]) -> Option<usize> {
    let by_length: [(&str, usize); 18] = [
        ("NO", 15),
        ("BE", 16),
        ("DK FK FI FO GL NL SD", 18),
        ("MK SI", 19),
        ("AT BA EE KZ LT LU XK MN", 20),
        ("CH HR LI LV", 21),
        ("BG BH CR DE GB GE IE ME RS VA", 22),
        ("AE GI IL IQ OM SO TL", 23),
        ("AD CZ ES MD PK RO SA SE SK TN VG", 24),
        ("LY PT ST", 25),
        ("IS TR", 26),
        ("BI DJ FR GR IT MC MR SM", 27),
        ("AL AZ BY CY DO GT HU LB NI PL SV", 28),
        ("BR EG PS QA UA", 29),
        ("JO KW MU YE", 30),
        ("MT SC", 31),
        ("LC", 32),
        ("RU", 33),
    ];
    let named =
        |list: &str| list.split(' ').any(|code| code.as_bytes().eq_ignore_ascii_case(country));
    by_length.iter().find(|(list, _)| named(list)).map(|(_, length)| *length)
}

/// Groups of an IBAN as people write it: nine of four.
const IBAN_GROUPS_MAX: usize = 10;

pub(super) fn ibans(text: &str, within: Range<usize>, each: &mut dyn FnMut(Range<usize>) -> bool) {
    let octets = text.as_bytes();
    let mut behind = 0_usize;
    for (start, _) in runs(text, run_start(text, within.start)) {
        if start >= within.end {
            return;
        }
        let head = octets.get(start..start + 4).unwrap_or_default();
        let begins = head.iter().take(2).all(u8::is_ascii_alphabetic)
            && head.len() == 4
            && head.iter().skip(2).all(u8::is_ascii_digit);
        if !begins || start < behind {
            continue;
        }
        let Some(length) = iban_length(head.get(..2).unwrap_or_default()) else { continue };
        let Some((whole, end)) = collect(octets, start, length) else { continue };
        if mod97(&whole) {
            behind = end;
            if start >= within.start && !each(start..end) {
                return;
            }
        }
    }
}

/// `length` letters and digits from `start` on, over single spaces, and where they end; nothing if
/// letters or digits go on there.
fn collect(octets: &[u8], start: usize, length: usize) -> Option<(Vec<u8>, usize)> {
    let mut whole = Vec::with_capacity(length);
    let (mut at, mut groups) = (start, 1);
    while whole.len() < length {
        match octets.get(at)? {
            octet if octet.is_ascii_alphanumeric() => whole.push(*octet),
            b' ' if groups < IBAN_GROUPS_MAX && octets.get(at + 1) != Some(&b' ') => groups += 1,
            _ => return None,
        }
        at += 1;
    }
    let on = octets.get(at).is_some_and(u8::is_ascii_alphanumeric);
    (!on).then_some((whole, at))
}

/// ISO 7064 MOD 97-10 of ISO 13616: the first four behind the rest, letters as 10 to 35.
pub(in crate::scan::content) fn mod97(whole: &[u8]) -> bool {
    let (front, rest) = whole.split_at_checked(4).unwrap_or((whole, &[]));
    let sum = rest.iter().chain(front).try_fold(0_u32, |sum, octet| {
        let value = char::from(*octet).to_digit(36)?;
        Some(if value > 9 { (sum * 100 + value) % 97 } else { (sum * 10 + value) % 97 })
    });
    sum == Some(1) && whole.len() > 4
}

/// Octets of the parts of an address; RFC 5321 section 4.5.3.1.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;

/// `local@domain`, as it stands in texts: dots and letters, a top-level domain of letters.
pub(super) fn addresses(
    text: &str,
    within: Range<usize>,
    each: &mut dyn FnMut(Range<usize>) -> bool,
) {
    let octets = text.as_bytes();
    let is_local = |octet: &&u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'+' | b'-' | b'%')
    };
    let is_domain = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-');
    let from = within.start;
    let rest = octets.get(from..).unwrap_or_default();
    for at in memchr::memchr_iter(b'@', rest).map(|at| at + from) {
        let before = octets.get(..at).unwrap_or_default();
        let local = before.iter().rev().take(LOCAL_BYTES_MAX + 1).take_while(is_local).count();
        let after = octets.get(at + 1..).unwrap_or_default();
        let long = after.iter().take(DOMAIN_BYTES_MAX + 1).take_while(is_domain).count();
        let domain = after.get(..long).unwrap_or_default();
        let domain = domain.strip_suffix(b".").unwrap_or(domain);
        let top = domain.rsplit(|octet| *octet == b'.').next().unwrap_or_default();
        let fits = (1..=LOCAL_BYTES_MAX).contains(&local)
            && domain.len() <= DOMAIN_BYTES_MAX
            && domain.contains(&b'.')
            && top.len() >= 2
            && top.iter().all(u8::is_ascii_alphabetic);
        let start = at - local;
        if start >= within.end {
            return;
        }
        if fits && start >= within.start && !each(start..at + 1 + domain.len()) {
            return;
        }
    }
}
