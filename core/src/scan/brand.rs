//! Mail in the name of a brand that is not of it.
//!
//! What an author calls himself is read as people read it (NFKC, letters of other scripts undone). A name says that the mail
//! is *from* the brand if nothing is left of it without the brand and words such as "support" or 「お知らせ」; a shop that
//! sells on a brand's platform, or somebody who speaks of it, has more of a name and gets few points.

use super::finding::{Finding, MilliPoints};
use super::known::{Brand, BrandIds, HostKind, is_restricted, known};
use super::letter::{Letter, fold};
use super::links::{Links, Trick, is_random, trick};
use super::signs::{self, add};
use super::{ScanTables, known as known_data, letter};

/// Letters that may be left of a name that is a brand's: of a script that writes words with one or two, none.
const REST_CHARS_MAX: usize = 3;
/// Octets of the text in which brands are counted.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Times that a text names a brand that it speaks as.
const MENTIONS_MIN: usize = 3;

/// Letters of a word of a mailbox that can be a brand's name.
const MAILBOX_CHARS_MIN: usize = 4;

/// Points from which on a mail is bulk mail that may speak of brands: what it says in passing is no claim.
const GRAY_POINTS: MilliPoints = 3_000;

/// Words that brands have beside their name; they leave nothing of an author of his own.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "a", "access", "account", "accounts", "airdrop", "alert", "alerta", "alertas", "alerts", "and", "anti", "antivirus", "app",
    "assistance", "atendimento", "auto", "automated", "aviso", "avisos", "banca", "banco", "bank", "banque", "belohnung",
    "belohnungen", "benefits", "bestellung", "billing", "black", "bonus", "box", "cadeau", "cadeaucentrum", "cadeaukaart", "card",
    "cards", "care", "center", "centre", "claim", "claims", "client", "cliente", "clientes", "clients", "cloud", "co", "com", "compte",
    "comunica", "confirm", "confirmation", "corp", "corporation", "customer", "customers", "customerservice", "das", "deal", "deals",
    "delivery", "department", "der", "desk", "detected", "deutschland",
    "die", "dienst", "digital", "dry", "experience", "express", "feedback",
    "fiscalizacao", "for", "friday", "from", "gewinn", "gewinner", "gewinnspiel", "gift", "gifts", "gutschein", "gutscheine", "help",
    "helpdesk", "id", "important", "inc", "info", "information", "japan", "jp", "klantenservice", "konto", "kundenbetreuung",
    "kundendienst", "kundenkonto", "kundenservice", "kundensupport", "lieferservice", "lieferung", "limited", "live", "livraison",
    "llc", "login", "ltd", "mail", "member", "members", "membership", "message", "messages", "mitgliederservice", "mitteilung", "my",
    "mystery", "nachricht", "news", "no", "noreply", "notice", "notifica", "notificacao", "notification", "notifications", "of",
    "offer", "offers", "office", "official", "online", "opinion", "order", "orders", "paiement", "paket", "paketdienst", "pakete",
    "pay", "payment", "perks", "pontos", "prime", "promo", "promos", "promotion", "promotions", "protection", "protocolo",
    "recompensa", "recompensas", "renewal", "rep", "reply", "representative", "request", "requested", "requires", "reward", "rewards",
    "sac", "savings", "securite", "security", "seguros", "service", "services", "servicio", "set", "shipping", "shop", "sicherheit",
    "soporte", "status", "storage", "store", "subscription", "suivi", "suporte", "support", "surprise", "survey", "system", "sécurité",
    "team", "thank", "thanks", "the", "to", "tool", "tools", "tracking", "umfrage", "update", "usa", "verification", "verify",
    "versand", "vip", "virus", "von", "voucher", "wallet", "warning", "web", "wet", "wichtige", "winnaar", "winner", "winners", "you",
    "your",
];
const JAPANESE_WORDS: [&str; 48] = [
    "カスタマーサービス",
    "カスタマーサポート",
    "カスタマーセンター",
    "お客様サポート",
    "お客様センター",
    "お客様サービス",
    "お客さま",
    "サポート",
    "センター",
    "サービス",
    "セキュリティ",
    "アカウント",
    "メンバーズ",
    "オンライン",
    "ショッピング",
    "株式会社",
    "事務局",
    "公式",
    "通知",
    "自動",
    "配信",
    "送信",
    "専用",
    "窓口",
    "管理",
    "運営",
    "担当",
    "会員",
    "重要",
    "緊急",
    "お知らせ",
    "ご案内",
    "ご利用",
    "ご確認",
    "お支払い",
    "確認",
    "銀行",
    "カード",
    "証券",
    "認証",
    "情報",
    "安全",
    "メール",
    "チーム",
    "からの",
    "より",
    "様",
    "係",
];

/// Local-parts of nobody in person, besides [`WORDS`].
const OFFICES: &[&str] = &[
    "no",
    "reply",
    "noreply",
    "donotreply",
    "do",
    "not",
    "admin",
    "mail",
    "mailer",
    "post",
    "newsletter",
    "order",
    "orders",
    "shop",
    "store",
    "web",
    "ml",
    "system",
    "help",
    "master",
    "point",
    "card",
];

/// What a text says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    brands: BrandIds,
    /// Nothing else is left of it.
    strong: bool,
}

/// Whose name `text` (folded) is.
fn claim(text: &str) -> Option<Claim> {
    let mut brands = BrandIds::new();
    let (mut rest, mut from) = (String::with_capacity(text.len()), 0);
    let mut clear = false;
    for (number, range) in known().names_in(text) {
        rest.push_str(text.get(from..range.start)?);
        rest.push(' ');
        from = range.end;
        let name = text.get(range)?;
        let generic = known().brand(number).is_some_and(|brand| brand.generic);
        clear |= !known().is_everyday(name) && (!generic || name.contains(' ') || !name.is_ascii());
        if !brands.contains(&number) {
            brands.push(number);
        }
    }
    if brands.is_empty() {
        return None;
    }
    rest.push_str(text.get(from..)?);
    for word in JAPANESE_WORDS {
        if rest.contains(word) {
            rest = rest.replace(word, " ");
            clear = true;
        }
    }
    let mut left = 0;
    for word in rest.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if WORDS.contains(&word) {
            clear = true;
        } else if !word.contains(|c: char| c.is_ascii_digit()) {
            left += if word.is_ascii() { word.len() } else { word.len() + REST_CHARS_MAX };
        }
    }
    // An ordinary word alone ("Chase", "Apple", "佐川") may be somebody's own name.
    Some(Claim { brands, strong: clear && left <= REST_CHARS_MAX })
}

/// The brands of an address that a name shows (`service@paypal.com`).
fn claimed_address(name: &str) -> Option<Claim> {
    let (_, domain) = name.split_once('@')?;
    let end = domain.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'));
    let brands = known().brands_of(domain.get(..end.unwrap_or(domain.len()))?);
    (!brands.is_empty()).then_some(Claim { brands, strong: true })
}

/// All signs about brands and the author's domain.
pub(super) fn find(
    letter: &Letter<'_, '_>,
    links: &Links,
    tables: &ScanTables<'_>,
    out: &mut Vec<Finding>,
) {
    author(letter, tables, out);
    // "Microsoft Outlook" writes what a tenant's server could not deliver; where links lead counts there, too.
    if !letter.is_report() {
        spoken(letter, links, tables, out);
    }
    shown(letter, links, out);
    if let Some((outer, end)) = &links.through
        && !belongs(letter.domain(), &known().brands_of(outer))
    {
        add(out, &signs::BRAND_OPEN_REDIRECT, &format!("{outer} to {end}"));
    }
}

/// In whose name the mail speaks.
fn spoken(letter: &Letter<'_, '_>, links: &Links, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
    if let Some(brand) = mailbox_of(letter, links, tables) {
        add(out, &signs::AUTHOR_MAILBOX_BRAND, &format!("{brand} by {}", letter.domain()));
    }
    let domain = letter.domain();
    // `Harbor_Freight.Rewards` is read as words, too; `booking.com` is a name.
    let name = fold(&letter.called);
    let spaced = name.replace(['_', '.', '#', '*', '-'], " ");
    if let Some(brand) = posed(&name) {
        add(out, &signs::AUTHOR_LETTERS_DISGUISED, brand);
    }
    if let Some(brand) = posed(&letter.subject) {
        add(out, &signs::SUBJECT_LETTERS_DISGUISED, brand);
    }
    let named = [name, spaced].into_iter().find_map(|name| {
        // `'PayPal' via Group <group@lists.example>` says where it went through.
        let via = letter.list && name.contains(" via ");
        let claimed = claimed_address(&name).or_else(|| claim(&name)).filter(|_| !via)?;
        // Surveys, tickets and job offers come from the platforms that brands run them on.
        let on_platform = known().is(domain, HostKind::Click);
        Some(Claim { strong: claimed.strong && !on_platform, ..claimed })
    });
    let foreign = |claim: &Claim| !belongs(domain, &claim.brands);
    let leads = |claim: &Claim| links.clicks.iter().any(|host| belongs(host, &claim.brands));
    let mut spoken = None;
    if let Some(claim) = named.filter(foreign) {
        let found = format!("{} by {domain}", name_of(&claim));
        if claim.strong {
            add(out, &signs::BRAND_NAME_FOREIGN, &found);
            match (links.clickable, leads(&claim)) {
                (0, _) => {}
                (_, false) => add(out, &signs::BRAND_LINKS_ELSEWHERE, &found),
                (_, true) => add(out, &signs::BRAND_LINKS_MIXED, &found),
            }
        } else {
            add(out, &signs::BRAND_NAME_WEAK, &found);
        }
        spoken = Some(claim);
    } else if let Some(claim) = subject(letter).filter(foreign) {
        let found = format!("{} by {domain}", name_of(&claim));
        if links.clickable > 0 && !leads(&claim) {
            let sign = if claim.strong && letter.gray < GRAY_POINTS && !letter.list {
                &signs::BRAND_SUBJECT
            } else {
                &signs::BRAND_SUBJECT_WEAK
            };
            add(out, sign, &found);
        }
        spoken = Some(claim);
    }
    if let Some(claim) = &spoken {
        let pictures = links.others.iter().any(|host| belongs(host, &claim.brands));
        if pictures && links.clickable > 0 && !leads(claim) {
            add(out, &signs::BRAND_PICTURES, name_of(claim));
        }
    }
    text(letter, links, out);
}

/// Whether the author's address is a brand's, and there is neither a link nor a signature of the brand: anybody can write
/// that address.
pub(super) fn is_unsigned(letter: &Letter<'_, '_>, links: &Links) -> bool {
    let brands = known().owners_of(letter.domain());
    if brands.is_empty() || links.clickable == 0 || letter.list || letter.answer {
        return false;
    }
    if is_anybodys(letter.domain()) || !speaks_as(letter, &brands) {
        return false;
    }
    let leads = |host: &str| belongs(host, &brands) || known().is(host, HostKind::Click);
    let signed = letter.signers().any(|domain| belongs(domain, &brands));
    !signed && !links.clicks.iter().any(|host| leads(host))
}

/// Whether a domain is that of many houses or people: below the names of states, of providers.
pub(super) fn is_anybodys(domain: &str) -> bool {
    let suffix = psl::suffix_str(domain).unwrap_or_default();
    let states = ["gov", "gouv", "gob", "go.jp", "lg.jp", "gc.ca"];
    states.iter().any(|of| suffix.contains(of))
        || known().is(domain, HostKind::FreeMail)
        || known().is(domain, HostKind::Subscriber)
}

/// Whether a mail with a brand's address is in the name of the brand, and not in that of somebody who works there.
fn speaks_as(letter: &Letter<'_, '_>, brands: &BrandIds) -> bool {
    let Some(author) = letter.authors.first() else { return false };
    let local = author.address.rsplit_once('@').map_or("", |(local, _)| local);
    let mut words = local.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let claimed = claim(&fold(&author.name));
    claimed.is_some_and(|claim| claim.brands.iter().any(|brand| brands.contains(brand)))
        || words.all(|word| WORDS.contains(&word) || OFFICES.contains(&word))
}

fn belongs(host: &str, brands: &BrandIds) -> bool {
    known().brands_of(host).iter().any(|brand| brands.contains(brand))
}

fn name_of(claim: &Claim) -> &'static str {
    claim.brands.first().and_then(|number| known().brand(*number)).map_or("", Brand::name)
}

/// What the subject says that the mail is: strong if it begins with the brand, in brackets or not. Answers and forwarded
/// mail speak of others.
fn subject(letter: &Letter<'_, '_>) -> Option<Claim> {
    let subject = letter.subject.trim_start_matches(|c: char| !c.is_alphanumeric());
    if letter.answer {
        return None;
    }
    let (number, range) = known().names_in(subject).next()?;
    let generic = known().brand(number).is_some_and(|brand| brand.generic);
    let name = subject.get(range.clone())?;
    if generic && name.is_ascii() && !name.contains(' ') {
        return None;
    }
    let mut brands = BrandIds::new();
    brands.push(number);
    let before = letter.subject.chars().next().is_some_and(|c| "【[「『<〈《(".contains(c));
    let closed = subject.get(range.end..)?.chars().take(12).any(|c| "】]」』>〉》):".contains(c));
    Some(Claim { brands, strong: range.start == 0 && (before || closed) })
}

/// A text that speaks as a brand all the time.
fn text(letter: &Letter<'_, '_>, links: &Links, out: &mut Vec<Finding>) {
    if letter.list || letter.gray >= GRAY_POINTS || links.clickable == 0 || letter.answer {
        return;
    }
    let text = &letter.view.normalised().text;
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text);
    let mut counts: Vec<(u16, usize)> = Vec::new();
    for (number, _) in known().names_in(text) {
        match counts.iter_mut().find(|(one, _)| *one == number) {
            Some((_, count)) => *count += 1,
            None => counts.push((number, 1)),
        }
    }
    let Some((number, count)) = counts.iter().copied().max_by_key(|(_, count)| *count) else {
        return;
    };
    let Some(brand) = known().brand(number).filter(|brand| !brand.generic && count >= MENTIONS_MIN)
    else {
        return;
    };
    let own = |host: &str| known().brands_of(host).contains(&number);
    if !own(letter.domain()) && !links.clicks.iter().any(|host| own(host)) {
        add(out, &signs::BRAND_TEXT, brand.name());
    }
}

/// Links that show one domain and lead to another.
fn shown(letter: &Letter<'_, '_>, links: &Links, out: &mut Vec<Finding>) {
    for pair in &links.shown {
        let brands = known().brands_of(&pair.shown);
        let found = format!("{} leads to {}", pair.shown, pair.target);
        // Services for newsletters count clicks, and show where they really lead.
        let counted = letter.bulk || letter.list || known().is(&pair.target, HostKind::Click);
        let of_brand = belongs(&pair.target, &brands) || belongs(letter.domain(), &brands);
        if !brands.is_empty() && !of_brand && !counted {
            add(out, &signs::LINK_SHOWN_BRAND, &found);
        } else if pair.whole && !of_brand {
            add(out, &signs::LINK_SHOWN_ELSEWHERE, &found);
        }
    }
}

/// The author's domain by itself.
fn author(letter: &Letter<'_, '_>, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
    let domain = letter.domain();
    if domain.is_empty() {
        return;
    }
    let sign = match trick(domain) {
        Some(Trick::Looks(_) | Trick::Mixed) => Some(&signs::AUTHOR_LOOKS_LIKE_BRAND),
        Some(Trick::Embeds(_) | Trick::Names(_)) => Some(&signs::AUTHOR_EMBEDS_BRAND),
        Some(Trick::Near(_)) => Some(&signs::AUTHOR_NEAR_BRAND),
        None => None,
    };
    if let Some(sign) = sign {
        add(out, sign, domain);
    }
    if known().is_cheap(domain) && known().brands_of(domain).is_empty() {
        add(out, &signs::AUTHOR_CHEAP_SUFFIX, domain);
    }
    let restricted = is_restricted(psl::suffix_str(domain).unwrap_or_default());
    if !restricted && is_random(known_data::label_of(domain)) {
        add(out, &signs::AUTHOR_RANDOM, domain);
    }
    // Houses without a domain of their own have mail servers that report what they could not deliver.
    if known().is(domain, HostKind::FreeHosting) && !letter.is_report() {
        add(out, &signs::AUTHOR_FREE_HOSTING, domain);
    }
    let reply_to = letter.reply_to.first().map_or("", |one| one.domain());
    if [domain, reply_to].iter().any(|one| letter::is_disposable(one, tables)) {
        add(out, &signs::AUTHOR_DISPOSABLE, domain);
    }
}

/// The brand whose domain or name the author's local-part is, and that the domain does not belong to
/// (`faq.mizuhobank.co.jp@..`, `amazon-info7@..`). A site's own programs write so, too (`wordpress@..`), and so does the
/// mailbox that a house has for its dealings with the brand: both lead to who they are of. Lists and free mailboxes are
/// anybody's.
fn mailbox_of(
    letter: &Letter<'_, '_>,
    links: &Links,
    tables: &ScanTables<'_>,
) -> Option<&'static str> {
    let address = &letter.authors.first()?.address;
    let (local, domain) = address.rsplit_once('@')?;
    if links.clickable == 0 || letter.list || letter.answer {
        return None;
    }
    let number = domain_in(local).or_else(|| name_in(local))?;
    if known().brands_of(domain).contains(&number) || known().is(domain, HostKind::Click) {
        return None;
    }
    let house = letter::organisation(domain);
    let own = |host: &str| {
        letter::organisation(host) == house || known().brands_of(host).contains(&number)
    };
    if letter::is_free(domain, tables) || links.clicks.iter().any(|host| own(host)) {
        return None;
    }
    known().brand(number).map(Brand::name)
}

/// The brand that a domain at the end of a local-part belongs to.
fn domain_in(local: &str) -> Option<u16> {
    let above = std::iter::successors(Some(local), |name| Some(name.split_once('.')?.1));
    above.filter(|name| name.contains('.')).find_map(|name| known().is_brand_domain(name))
}

/// The brand that a local-part is named after: it is numbered, or nothing else is left of it but words such as "support".
/// `anna.apple` is somebody's name.
fn name_in(local: &str) -> Option<u16> {
    let numbered = local.contains(|c: char| c.is_ascii_digit());
    let mut found = None;
    for word in local.split(|c: char| !c.is_ascii_alphabetic()) {
        match known().named(word).filter(|_| word.len() >= MAILBOX_CHARS_MIN) {
            Some(number) => found = found.or(Some(number)),
            None if numbered || word.len() < MAILBOX_CHARS_MIN || WORDS.contains(&word) => {}
            None => return None,
        }
    }
    found
}

/// Kanji that pass for kana and strokes in a brand's name (力 for カ), undone; `None` if there are none beside kana.
fn kana_undone(name: &str) -> Option<String> {
    const PAIRS: [(char, char); 10] = [
        ('力', 'カ'),
        ('一', 'ー'),
        ('二', 'ニ'),
        ('口', 'ロ'),
        ('八', 'ハ'),
        ('工', 'エ'),
        ('夕', 'タ'),
        ('卜', 'ト'),
        ('千', 'チ'),
        ('才', 'オ'),
    ];
    let kana = |c: char| ('\u{30A1}'..='\u{30FC}').contains(&c);
    if !name.chars().any(kana) || !name.contains(PAIRS.map(|(kanji, _)| kanji)) {
        return None;
    }
    let plain = |c: char| PAIRS.iter().find(|(kanji, _)| *kanji == c).map_or(c, |(_, kana)| *kana);
    Some(name.chars().map(plain).collect())
}

/// The brand whose name `name` (folded) shows once kanji that pass for kana are undone. A name that begins with such a one
/// begins a word: `施工ポスター` does not show `エポス`.
fn posed(name: &str) -> Option<&'static str> {
    let undone = kana_undone(name)?;
    // Kanji and kana are of three octets each, so places are the same in both.
    let (number, _) = known().names_in(&undone).find(|(_, range)| {
        let written = name.get(range.clone()).unwrap_or_default();
        let shown = undone.get(range.clone()).unwrap_or_default();
        let inside = written.chars().next() == shown.chars().next();
        let before = name.get(..range.start).and_then(|before| before.chars().next_back());
        written != shown && (inside || !before.is_some_and(char::is_alphabetic))
    })?;
    known().brand(number).map(Brand::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_brands_if_nothing_else_is_left_of_it() {
        let check = |name: &str, expected: Option<(&str, bool)>| {
            let found = claim(&fold(name));
            assert_eq!(
                found.as_ref().map(|claim| (name_of(claim), claim.strong)),
                expected,
                "{name}"
            );
        };
        for name in [
            "Amazon",
            "Amazon.co.jp",
            "Ａｍａｚｏｎカスタマーサービス",
            "Amazon Security Team",
            "\u{410}m\u{430}zon",
        ] {
            check(name, Some(("amazon", true)));
        }
        check("三井住友カード株式会社", Some(("三井住友銀行", true)));
        check("みずほ銀行", Some(("みずほ銀行", true)));
        check("楽天", Some(("rakuten", true)));
        check("佐川急便より", Some(("佐川急便", true)));
        // People, shops and places.
        for (name, brand) in [
            ("佐川 誠", "佐川急便"),
            ("佐川", "佐川急便"),
            ("みずほ歯科", "みずほ銀行"),
            ("セゾン美容室", "セゾンカード"),
            ("ソフトバンク名東", "ソフトバンク"),
        ] {
            let found = claim(&fold(name));
            assert!(found.as_ref().is_some_and(|claim| !claim.strong), "{name} {brand} {found:?}");
        }
        for name in ["ライオン歯科", "オリコン", "瀬戸市水道局"] {
            check(name, None);
        }
        check("えきねっと事務局", Some(("ビューカード", true)));
        check("Apple Support", Some(("apple", true)));
        check("Apple", Some(("apple", false)));
        check("Chase", Some(("chase", false)));
        check("山田商店 楽天市場店", Some(("rakuten", false)));
        check("Bob Smith (Microsoft MVP)", Some(("microsoft", false)));
        for name in ["Anna", "Pineapple Support", "Advisa", "amazonian", ""] {
            check(name, None);
        }
    }
}
