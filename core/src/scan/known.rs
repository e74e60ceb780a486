//! What is known of hosts and brands without any list: `core/data/hosts.toml` and
//! `core/data/brands.toml`, read once.
//!
//! Lists of the operator (tables of kind `urls`) come on top, through [`super::ScanTables`].
//! Memory: below 2 MB for the process; nothing here grows.

use std::sync::LazyLock;

use ahash::{AHashMap, AHashSet};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use serde::Deserialize;
use smallvec::SmallVec;

use super::named::Names;

/// Letters of a label below which it is too short to be told from others by one letter.
const NEAR_CHARS_MIN: usize = 6;

/// Letters of a label from which on it is found inside of a longer word.
const LONG_CHARS_MIN: usize = 6;

/// What a host may be known as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostKind {
    /// Leads on to an address inside its own.
    Redirector,
    /// Leads on to wherever it was told to.
    Shortener,
    /// Anybody has a page below it.
    FreeHosting,
    /// Anybody makes a form there.
    Form,
    /// Counts clicks for others, or is a platform with customers' names below it.
    Click,
    /// Anybody has a mailbox there.
    FreeMail,
    /// Mailboxes to throw away.
    Disposable,
    /// At the foot of everybody's pages: videos, pictures, schemas.
    Foot,
    /// Subscribers of a provider have mailboxes there, besides the provider itself.
    Subscriber,
    /// Below a shortener, but leads to one service and nowhere else.
    OneService,
}

impl HostKind {
    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

#[derive(Deserialize)]
struct HostsFile {
    redirector: Vec<Box<str>>,
    shortener: Vec<Box<str>>,
    free_hosting: Vec<Box<str>>,
    form: Vec<Box<str>>,
    click: Vec<Box<str>>,
    free_mail: Vec<Box<str>>,
    disposable: Vec<Box<str>>,
    foot: Vec<Box<str>>,
    subscriber: Vec<Box<str>>,
    one_service: Vec<Box<str>>,
    cheap_suffix: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct BrandsFile {
    /// Names that are those of people, places and shops, too.
    everyday: Vec<Box<str>>,
    brand: Vec<Brand>,
}

/// One brand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brand {
    /// What authors call themselves, NFKC, lower case.
    pub(super) names: Vec<Box<str>>,
    /// Its domains; names below them are its own, too.
    pub(super) domains: Vec<Box<str>>,
    /// The name is also an ordinary word.
    #[serde(default)]
    pub(super) generic: bool,
    /// Owns its label under country domains.
    #[serde(default)]
    pub(super) global: bool,
    /// One letter off means nothing.
    #[serde(default)]
    pub(super) exact: bool,
}

impl Brand {
    /// As logs call it.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }
}

/// Places of brands in [`Known::brands`].
pub(super) type BrandIds = SmallVec<[u16; 4]>;

/// All of it, indexed.
pub(super) struct Known {
    hosts: AHashMap<Box<str>, u16>,
    cheap_suffix: AHashSet<Box<str>>,
    everyday: AHashSet<Box<str>>,
    brands: Vec<Brand>,
    /// Finds names in text.
    names: Names,
    domains: AHashMap<Box<str>, BrandIds>,
    /// Labels that a brand is known by (`amazon`).
    labels: AHashMap<Box<str>, u16>,
    /// Labels as they look: digits for letters, `rn` for `m`.
    skeletons: AHashMap<Box<str>, u16>,
    /// Labels with one letter taken out: two that share one are at most two letters apart.
    near: AHashMap<Box<str>, BrandLabels>,
    /// Finds long labels inside of others (`amazonlogin`); the pattern's number leads to the brand.
    long: AhoCorasick,
    long_brands: Vec<u16>,
}

type BrandLabels = SmallVec<[(u16, Box<str>); 1]>;

/// A label that passes for a brand's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alike {
    /// Looks the same (`arnazon`, `paypa1`, letters of other scripts).
    Same,
    /// One letter off (`amazom`, `rakutem`).
    Near,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let hosts = toml::from_str(include_str!("../../data/hosts.toml"));
    let brands = toml::from_str(include_str!("../../data/brands.toml"));
    let (hosts, brands): (HostsFile, BrandsFile) = match (hosts, brands) {
        (Ok(hosts), Ok(brands)) => (hosts, brands),
        (Err(error), _) | (_, Err(error)) => unreachable!("our own data, tested: {error}"),
    };
    Known::index(hosts, brands)
});

/// What is known.
pub(super) fn known() -> &'static Known {
    &KNOWN
}

impl Known {
    fn index(file: HostsFile, BrandsFile { everyday, brand: brands }: BrandsFile) -> Self {
        let mut hosts: AHashMap<Box<str>, u16> = AHashMap::new();
        let kinds = [
            (HostKind::Redirector, file.redirector),
            (HostKind::Shortener, file.shortener),
            (HostKind::FreeHosting, file.free_hosting),
            (HostKind::Form, file.form),
            (HostKind::Click, file.click),
            (HostKind::FreeMail, file.free_mail),
            (HostKind::Disposable, file.disposable),
            (HostKind::Foot, file.foot),
            (HostKind::Subscriber, file.subscriber),
            (HostKind::OneService, file.one_service),
        ];
        for (kind, names) in kinds {
            for name in names {
                *hosts.entry(name).or_default() |= kind.bit();
            }
        }
        let mut names = Vec::new();
        let mut known = Self {
            hosts,
            cheap_suffix: file.cheap_suffix.into_iter().collect(),
            everyday: everyday.into_iter().collect(),
            brands: Vec::new(),
            names: Names::new(Vec::new()),
            domains: AHashMap::new(),
            labels: AHashMap::new(),
            skeletons: AHashMap::new(),
            near: AHashMap::new(),
            long: empty_names(),
            long_brands: Vec::new(),
        };
        let mut long: Vec<Box<str>> = Vec::new();
        for (number, brand) in brands.iter().enumerate() {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            for name in &brand.names {
                names.push((name.clone(), number));
            }
            for domain in &brand.domains {
                known.domains.entry(domain.clone()).or_default().push(number);
            }
            known.index_labels(brand, number);
        }
        for (label, number) in &known.labels {
            let distinct = brands.get(usize::from(*number)).is_some_and(|brand| !brand.generic);
            if distinct && label.len() >= LONG_CHARS_MIN {
                long.push(label.clone());
                known.long_brands.push(*number);
            }
        }
        known.names = Names::new(names);
        known.long = finder(&long);
        known.brands = brands;
        known
    }

    /// The brand's labels: its names that could be one, and the first of its domains.
    fn index_labels(&mut self, brand: &Brand, number: u16) {
        let plain =
            |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        let joined = brand.names.iter().map(|name| name.replace(' ', ""));
        let first = brand.domains.first().map(|domain| label_of(domain).to_owned());
        for label in joined.chain(first).filter(|label| plain(label) && label.len() >= 3) {
            self.labels.entry(label.as_str().into()).or_insert(number);
            self.skeletons.entry(skeleton(&label).into()).or_insert(number);
            if brand.exact || brand.generic || label.len() < NEAR_CHARS_MIN {
                continue;
            }
            for key in without_one(&label).chain([label.clone()]) {
                self.near.entry(key.into()).or_default().push((number, label.as_str().into()));
            }
        }
    }

    /// Whether `host`, or a name above it, is known as this.
    pub(super) fn is(&self, host: &str, kind: HostKind) -> bool {
        parents(host).any(|name| self.hosts.get(name).is_some_and(|bits| bits & kind.bit() != 0))
    }

    /// Whether its top-level domain is one of the cheap ones.
    pub(super) fn is_cheap(&self, host: &str) -> bool {
        host.rsplit('.').next().is_some_and(|suffix| self.cheap_suffix.contains(suffix))
    }

    /// Whether a name of a brand is also that of people, places and shops.
    pub(super) fn is_everyday(&self, name: &str) -> bool {
        self.everyday.contains(name)
    }

    /// The brand of which `word` is a name, unless it is an ordinary word, too.
    pub(super) fn named(&self, word: &str) -> Option<u16> {
        let (number, _) = self.names_in(word).find(|(_, range)| range.len() == word.len())?;
        let distinct = !self.is_everyday(word) && !self.brand(number)?.generic;
        distinct.then_some(number)
    }

    /// Brands that `host` is written down as a domain of. Only they are asked where it is held against somebody that he is
    /// none of them.
    pub(super) fn owners_of(&self, host: &str) -> BrandIds {
        parents(host).filter_map(|name| self.domains.get(name)).flatten().copied().collect()
    }

    /// Brands that `host` belongs to, or may well belong to: for excusing who has something to do with them.
    pub(super) fn brands_of(&self, host: &str) -> BrandIds {
        let mut found = self.owners_of(host);
        let label = label_of(host);
        if label.is_empty() {
            return found;
        }
        let suffix = psl::suffix_str(host).unwrap_or_default();
        // `amazon.de`; `amazon.xyz` is anybody's.
        let country = suffix.rsplit('.').next().is_some_and(|top| top.len() == 2);
        let whole = self.labels.get(label).copied();
        let global = whole.filter(|number| {
            self.brand(*number).is_some_and(|brand| brand.global && country && !self.is_cheap(host))
        });
        // A company of that name stands behind `amazon-card.co.jp`: the registry asks for one.
        let words = || label.split('-').filter_map(|word| self.labels.get(word).copied());
        let company = whole.or_else(|| words().next()).or_else(|| self.label_inside(label));
        if let Some(number) = global.or_else(|| company.filter(|_| is_restricted(suffix)))
            && !found.contains(&number)
        {
            found.push(number);
        }
        found
    }

    /// A brand by its place.
    pub(super) fn brand(&self, number: u16) -> Option<&Brand> {
        self.brands.get(usize::from(number))
    }

    /// Names of brands in `text` (normalised, lower case): brand, and where. Letters and digits beside a Latin name
    /// make it another word.
    pub(super) fn names_in<'s>(
        &'s self,
        text: &'s str,
    ) -> impl Iterator<Item = (u16, std::ops::Range<usize>)> + 's {
        self.names.find_in(text)
    }

    /// The brand whose label this is.
    pub(super) fn label(&self, label: &str) -> Option<u16> {
        self.labels.get(label).copied()
    }

    /// The brand whose label is inside of this one.
    pub(super) fn label_inside(&self, label: &str) -> Option<u16> {
        let found = self.long.find(label)?;
        self.long_brands.get(found.pattern().as_usize()).copied()
    }

    /// Whether `domain` is written down as a brand's.
    pub(super) fn is_brand_domain(&self, domain: &str) -> Option<u16> {
        self.domains.get(domain).and_then(|brands| brands.first().copied())
    }

    /// Whether `label` (unicode form) is not a brand's label but could be taken for one.
    pub(super) fn alike(&self, label: &str) -> Option<(u16, Alike)> {
        if self.labels.contains_key(label) {
            return None;
        }
        let looks = skeleton(label);
        let long = looks.chars().count() >= 5;
        if let Some(number) =
            self.skeletons.get(looks.as_str()).filter(|_| long || !label.is_ascii())
        {
            return Some((*number, Alike::Same));
        }
        if label.len() < NEAR_CHARS_MIN - 1 || label.len() > 40 || !label.is_ascii() {
            return None;
        }
        let mut near = without_one(label).chain([label.to_owned()]);
        near.find_map(|key| {
            let found = self.near.get(key.as_str())?;
            let brand = found.iter().find(|(_, brand)| one_off(brand, label))?;
            Some((brand.0, Alike::Near))
        })
    }
}

fn finder(patterns: &[Box<str>]) -> AhoCorasick {
    let patterns = patterns.iter().map(|pattern| &**pattern);
    let mut builder = AhoCorasick::builder();
    builder.kind(Some(AhoCorasickKind::DFA));
    let built =
        builder.match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(true).build(patterns);
    built.unwrap_or_else(|_| empty_names())
}

fn empty_names() -> AhoCorasick {
    AhoCorasick::new([""; 0]).unwrap_or_else(|error| unreachable!("no pattern at all: {error}"))
}

/// `host`, then each name above it.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |name| name.split_once('.').map(|(_, parent)| parent))
}

/// The label of the organisational domain that was chosen by its owner: `amazon` of `www.amazon.co.jp`; empty for
/// addresses.
pub(super) fn label_of(host: &str) -> &str {
    let Some(domain) = psl::domain_str(host) else { return "" };
    domain.split('.').next().unwrap_or_default()
}

/// Suffixes below which only companies, offices and schools of a country get a name.
pub(super) fn is_restricted(suffix: &str) -> bool {
    matches!(
        suffix,
        "co.jp"
            | "go.jp"
            | "ac.jp"
            | "ed.jp"
            | "lg.jp"
            | "ad.jp"
            | "gov"
            | "mil"
            | "edu"
            | "gov.uk"
            | "gov.au"
            | "com.au"
            | "bank"
            | "insurance"
    )
}

/// How a label looks: marks dropped, letters of other scripts and digits folded to the letters they pass for.
pub(super) fn skeleton(label: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let mut latin = String::with_capacity(label.len());
    crate::message::normalise(label, &mut latin);
    let plain = latin.nfd().filter(|c| !unicode_normalization::char::is_combining_mark(*c));
    let folded: String = plain
        .map(|c| match c.to_ascii_lowercase() {
            '0' => 'o',
            '1' | 'i' | '|' => 'l',
            '3' => 'e',
            '5' => 's',
            other => other,
        })
        .collect();
    folded.replace("rn", "m").replace("vv", "w")
}

/// Whether `host` could be taken for `domain` or something below it, and is not: its label looks the same or is one letter
/// off, or the whole domain stands in front of another. The same label under another suffix is not meant: most houses have
/// several.
#[must_use]
pub fn passes_for(host: &str, domain: &str) -> bool {
    let whole = host.split_once(domain);
    if whole.is_some_and(|(before, after)| {
        (before.is_empty() || before.ends_with('.')) && after.starts_with('.')
    }) {
        return true;
    }
    let (label, own) = (label_of(host), label_of(domain));
    let plain = |label: &str| idna::domain_to_unicode(label).0;
    if label.is_empty() || own.len() < 4 || label == own {
        return false;
    }
    let (label, own) = (plain(label), plain(own));
    let near =
        own.len() >= NEAR_CHARS_MIN && label.is_ascii() && own.is_ascii() && one_off(&own, &label);
    near || skeleton(&label) == skeleton(&own)
}

/// `label` with each of its letters taken out in turn. It is ASCII.
fn without_one(label: &str) -> impl Iterator<Item = String> + '_ {
    label.char_indices().map(|(at, _)| {
        let (before, after) = label.split_at(at);
        format!("{before}{}", after.get(1..).unwrap_or_default())
    })
}

/// One letter more, less, or other, or two neighbours changed over. Both are ASCII.
fn one_off(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    let (short, long) = (short.as_bytes(), long.as_bytes());
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short, long) =
        (short.get(same..).unwrap_or_default(), long.get(same..).unwrap_or_default());
    match (short, long) {
        ([], []) => false,
        (rest, [_, more @ ..]) if rest == more => true,
        ([_, rest @ ..], [_, more @ ..]) if rest == more => true,
        ([a, b, rest @ ..], [c, d, more @ ..]) => a == d && b == c && rest == more,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets of the automaton.
    const TABLES_BYTES_MAX: usize = 2 << 20;

    #[test]
    fn our_own_data_is_whole() {
        assert!(known().brands.len() >= 150, "{}", known().brands.len());
        let tables = known().long.memory_usage();
        assert!(tables < TABLES_BYTES_MAX, "{tables}");
        for brand in &known().brands {
            assert!(!brand.names.is_empty() && !brand.domains.is_empty(), "{brand:?}");
            for name in &brand.names {
                let mut folded = String::new();
                crate::message::normalise(name, &mut folded);
                assert_eq!(folded.to_lowercase(), **name, "names are kept as they are compared");
            }
            for domain in &brand.domains {
                let strict = idna::domain_to_ascii_strict(domain).unwrap();
                assert_eq!(strict, **domain);
            }
        }
        for host in known().hosts.keys() {
            assert_eq!(idna::domain_to_ascii_strict(host).unwrap(), **host);
        }
    }

    #[test]
    fn labels_that_could_be_taken_for_a_brand_are_found_and_others_not() {
        let alike = |label: &str| {
            known()
                .alike(label)
                .and_then(|(number, how)| Some((known().brand(number)?.name(), how)))
        };
        assert_eq!(alike("arnazon"), Some(("amazon", Alike::Same)));
        assert_eq!(alike("paypa1"), Some(("paypal", Alike::Same)));
        assert_eq!(alike("micr0soft"), Some(("microsoft", Alike::Same)));
        assert_eq!(alike("p\u{430}ypal"), Some(("paypal", Alike::Same)));
        assert_eq!(alike("\u{430}m\u{430}zon"), Some(("amazon", Alike::Same)));
        assert_eq!(alike("rakutén"), Some(("rakuten", Alike::Same)));
        for label in ["amazom", "amzaon", "amazonn", "amzon"] {
            assert_eq!(alike(label), Some(("amazon", Alike::Near)), "{label}");
        }
        for label in ["amazon", "maison", "chance", "maple", "example", "mercury", "lime", "orange"]
        {
            assert_eq!(alike(label), None, "{label}");
        }
    }

    #[test]
    fn hosts_belong_to_brands_by_domain_country_and_registry() {
        let of = |host: &str| -> Vec<&str> {
            known().brands_of(host).iter().filter_map(|n| Some(known().brand(*n)?.name())).collect()
        };
        assert_eq!(of("www.amazon.co.jp"), ["amazon"]);
        assert_eq!(of("amazon.de"), ["amazon"]);
        assert_eq!(of("mail.rakuten.co.jp"), ["rakuten"]);
        assert_eq!(of("rakuten-somethingnew.co.jp"), ["rakuten"]);
        assert!(of("amazon.xyz").is_empty() && of("amazon.co.jp.evil.example").is_empty());
        assert!(of("amazon.cn.evil.top").is_empty());
        assert!(of("192.0.2.1").is_empty() && of("").is_empty());
    }
}
