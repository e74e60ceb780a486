//! Domains that want to be taken for a brand's.

use crate::message::disguised_words;
use crate::scan::known::{Alike, HostKind, known, label_of, skeleton};

/// Labels of a host that are looked at.
const LABELS_MAX: usize = 12;
/// Words that a phisher puts beside a brand's name. With one of them even an ordinary word is meant as the brand.
const RISKY: [&str; 40] = [
    "account",
    "accounts",
    "alert",
    "auth",
    "bank",
    "billing",
    "card",
    "cards",
    "check",
    "client",
    "co",
    "confirm",
    "customer",
    "help",
    "id",
    "info",
    "jp",
    "login",
    "mail",
    "member",
    "my",
    "net",
    "online",
    "pay",
    "payment",
    "portal",
    "refund",
    "secure",
    "security",
    "service",
    "services",
    "signin",
    "sign",
    "support",
    "unlock",
    "update",
    "user",
    "verify",
    "verification",
    "webmail",
];

/// What makes a host pass for a brand's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scan) enum Trick {
    /// The brand's whole domain stands in front of it.
    Embeds(u16),
    /// It looks the same.
    Looks(u16),
    /// One letter off.
    Near(u16),
    /// The brand's name is a word of it.
    Names(u16),
    /// Letters of several scripts in one word, or a name that looks Latin and is not.
    Mixed,
}

/// The trick of a host (A-labels, lower case), if it is one.
pub(in crate::scan) fn trick(host: &str) -> Option<Trick> {
    let known = known();
    let domain = psl::domain_str(host)?;
    if !known.brands_of(host).is_empty() || known.is(domain, HostKind::Click) {
        return None;
    }
    let before = host.strip_suffix(domain).unwrap_or_default().trim_end_matches('.');
    if let Some(brand) = embedded(before) {
        return Some(Trick::Embeds(brand));
    }
    let label = label_of(host);
    let plain;
    let (label, is_coded) = if label.starts_with("xn--") {
        plain = idna::domain_to_unicode(label).0;
        (plain.as_str(), true)
    } else {
        (label, false)
    };
    match known.alike(label) {
        Some((brand, Alike::Same)) => return Some(Trick::Looks(brand)),
        Some((brand, Alike::Near)) => return Some(Trick::Near(brand)),
        None => {}
    }
    if is_coded && (disguised_words(label) > 0 || is_all_alike(label)) {
        return Some(Trick::Mixed);
    }
    let parts = || label.split('-').filter(|part| part.len() >= 5);
    let looks = parts().find_map(|part| known.alike(part).filter(|(_, how)| *how == Alike::Same));
    if let Some((brand, _)) = looks.filter(|_| label.contains('-')) {
        return Some(Trick::Looks(brand));
    }
    named(host, label, before).map(Trick::Names)
}

/// A brand's whole domain among the labels in front of the organisational domain.
fn embedded(before: &str) -> Option<u16> {
    if !before.contains('.') {
        return None;
    }
    let labels: Vec<&str> = before.split('.').take(LABELS_MAX).collect();
    (0..labels.len()).find_map(|from| {
        (from + 2..=labels.len()).find_map(|to| {
            let part = labels.get(from..to)?.join(".");
            known().is_brand_domain(&part)
        })
    })
}

/// A brand's name as a word of the organisational label or of a label in front of it.
fn named(host: &str, label: &str, before: &str) -> Option<u16> {
    let words = || label.split('-').chain(before.split(['.', '-'])).take(LABELS_MAX * 2);
    let risky = || words().any(|word| RISKY.contains(&word));
    let says = |word: &str| {
        let number = known().label(word)?;
        let brand = known().brand(number)?;
        // Names that nobody else has: `sakura`, `delta`, `nomura` stand in many a name of a house.
        let clear = !brand.generic && word.len() >= 4 && known().named(word).is_some();
        // `amazon` under somebody else's top-level domain needs no other word.
        (clear || risky() && label.contains('-')).then_some(number)
    };
    // A word in front may be anybody's machine (`citi.umich.edu`) where names are not thrown away.
    let thrown_away = known().is_cheap(host) || known().is(host, HostKind::FreeHosting) || risky();
    let front = before.split(['.', '-']).take(LABELS_MAX).filter(|_| thrown_away);
    label.split('-').take(LABELS_MAX).chain(front).find_map(says).or_else(|| {
        let long = known().label_inside(label)?;
        let brand = known().brand(long)?;
        // `amazonian` is a word; `amazonlogin` and `smbc-card-x` are not.
        let rest = brand.names.iter().find_map(|name| label.split_once(&**name));
        let (front, back) = rest.unwrap_or((label, ""));
        let word = |text: &str| RISKY.iter().any(|risky| risky.len() > 3 && text.contains(risky));
        (word(front) || word(back)).then_some(long)
    })
}

/// Reads as Latin letters and has none.
fn is_all_alike(label: &str) -> bool {
    !label.is_ascii()
        && skeleton(label).is_ascii()
        && !label.contains(|c: char| c.is_ascii_alphabetic())
}

/// Letters that nobody could say: a name made by a program. Short names and those of few letters say nothing.
pub(in crate::scan) fn is_random(label: &str) -> bool {
    if label.len() < 8 || !label.is_ascii() || label.starts_with("xn--") || label.contains('-') {
        return false;
    }
    let letters = label.bytes().filter(u8::is_ascii_alphabetic).count();
    let vowels = label.bytes().filter(|octet| b"aeiouy".contains(octet)).count();
    let (mut run, mut longest, mut changes, mut last) = (0_usize, 0_usize, 0_usize, None);
    for octet in label.bytes() {
        run = if octet.is_ascii_alphabetic() && !b"aeiouy".contains(&octet) { run + 1 } else { 0 };
        longest = longest.max(run);
        changes += usize::from(last.is_some_and(|last| last != octet.is_ascii_digit()));
        last = Some(octet.is_ascii_digit());
    }
    longest >= 7 || changes >= 4 || (letters >= 8 && vowels * 10 < letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_that_pass_for_a_brands_are_known_by_how() {
        let check = |host: &str, expected: &str| {
            let ascii = idna::domain_to_ascii(host).unwrap();
            let found = match trick(&ascii) {
                None => "none".to_owned(),
                Some(Trick::Mixed) => "mixed".to_owned(),
                Some(
                    found @ (Trick::Embeds(n) | Trick::Looks(n) | Trick::Near(n) | Trick::Names(n)),
                ) => {
                    let text = format!("{found:?}").to_lowercase();
                    let how = text.split('(').next().unwrap_or_default().to_owned();
                    format!("{how} {}", known().brand(n).map_or("", |brand| brand.name()))
                }
            };
            assert_eq!(found, expected, "{host}");
        };
        check("amazon.co.jp.verify.evil.top", "embeds amazon");
        check("www.smbc-card.com.xyz123.cn", "embeds 三井住友銀行");
        check("arnazon.com", "looks amazon");
        check("paypa1.com", "looks paypal");
        check("paypa1-secure.com", "looks paypal");
        check("p\u{430}ypal.com", "looks paypal");
        check("rakutem.shop", "near rakuten");
        check("amazon-login.top", "names amazon");
        check("login-amazon.web.app", "names amazon");
        check("amazon.evil.top", "names amazon");
        check("amazon.login.evil.test", "names amazon");
        check("apple-id-verify.com", "names apple");
        check("amazonlogin.com", "names amazon");
        check("smbc-direct.cfd", "names 三井住友銀行");
        check("b\u{430}nk-example.com", "mixed");
        for fine in [
            "amazon.co.jp",
            "www.amazon.de",
            "apple-trees.org",
            "pineapple.com",
            "amazonian.org",
            "smbc.co.jp",
            "qualtrics.com",
            "amazon.qualtrics.com",
            "www.citi.umich.edu",
            "line-up.example",
            "github.io",
            "日本語.jp",
            "пример.рф",
            "chance.org",
            "maison.fr",
            "192.0.2.1",
            "",
        ] {
            check(fine, "none");
        }
    }

    #[test]
    fn names_that_nobody_could_say_are_random() {
        for label in ["xqzrvkplmn", "a1b2c3d4e5", "bbtgmwkhvr", "qwrtpsdfgh"] {
            assert!(is_random(label), "{label}");
        }
        for label in [
            "example",
            "smbc-card",
            "kuronekoyamato",
            "sourceforge",
            "strengthened",
            "rakuten",
            "4sq",
            "mjhtml",
            "freshrpms",
        ] {
            assert!(!is_random(label), "{label}");
        }
    }
}
