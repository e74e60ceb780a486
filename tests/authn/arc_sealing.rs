//! The 17 sealing cases of the ARC test suite (draft of December 2016, what RFC 8617 became).
//!
//! Where we differ from what the suite writes down, and why:
//! - The suite's key has 1024 bits, and ring signs with 2048 and more: we seal with a key of our own and another selector, so
//!   `a=`, `s=` and both `b=` differ. That the suite's own fields and ours sign the same octets is checked by one verifier
//!   here for both.
//! - We write `b=` on one line and fold between tags; the suite leaves folding open.
//! - Merging several Authentication-Results fields (ar_merged) is no step of ours: there is one, which we wrote. The test
//!   merges.

use std::collections::BTreeMap;
use std::time::Duration;

use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY as RSA, UnparsedPublicKey};
use sekisho_core::authn::{
    AuthResult, Authentication, Authenticators, Sealer, Sealing, Settings, Subject, Unsealed,
};
use sekisho_core::content::Content;
use sekisho_core::message::{View, ViewLimits, author_domains};
use sekisho_core::resolve::DnsSettings;
use sekisho_tests::corpus;
use sekisho_tests::dns::DnsServer;
use serde::Deserialize;

const KEY: &str = include_str!("../data/keys/arc-rsa-2048.pem");

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Scenario {
    tests: BTreeMap<String, Case>,
    txt_records: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Case {
    message: String,
    t: u64,
    #[serde(rename = "sig-headers")]
    signed: String,
    #[serde(rename = "srv-id")]
    server: String,
    #[serde(rename = "AS")]
    seal: String,
    #[serde(rename = "AMS")]
    signature: String,
    #[serde(rename = "AAR")]
    results: String,
}

/// Fields with their folds, and the body.
fn parts(mail: &str) -> (Vec<(String, String)>, &str) {
    let (header, body) = mail.split_once("\r\n\r\n").expect("a body");
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.split("\r\n") {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => *value = format!("{value}\r\n{line}"),
            _ => {
                let (name, value) = line.split_once(':').expect("a field");
                fields.push((name.trim().to_lowercase(), value.to_owned()));
            }
        }
    }
    (fields, body)
}

fn relaxed(name: &str, value: &str) -> String {
    format!("{name}:{}", value.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn tags(value: &str) -> BTreeMap<String, String> {
    let tag = |tag: &str| {
        let (name, value) = tag.split_once('=')?;
        Some((name.trim().to_owned(), value.split_whitespace().collect::<String>()))
    };
    value.split(';').filter_map(tag).collect()
}

/// A set as three values: results, signature, seal. `b=` of the suite is folded for the page, not for the hash.
type Set = [String; 3];

fn unfolded(value: &str) -> String {
    let tag = |tag: &str| match tag.trim_start().starts_with("b=") {
        true => format!(" {}", tag.split_whitespace().collect::<String>()),
        false => tag.to_owned(),
    };
    value.trim_end().split(';').map(tag).collect::<Vec<_>>().join(";")
}

fn without_b(value: &str) -> String {
    let tag = |tag: &str| match tag.trim_start().starts_with("b=") {
        true => {
            let (before, _) = tag.split_once('=').expect("it has one");
            format!("{before}=")
        }
        false => tag.to_owned(),
    };
    value.split(';').map(tag).collect::<Vec<_>>().join(";")
}

/// Whether both signatures of a set hold: of the message's fields, and of the chain (`before`: the sets that are signed with
/// it).
fn holds(set: &Set, before: &[Set], fields: &[(String, String)], key: &[u8]) -> bool {
    let [results, signature, seal] = set;
    let verify = |input: &str, value: &str| {
        let b = tags(value).remove("b").expect("b=");
        let b = decoded(&b);
        UnparsedPublicKey::new(&RSA, key).verify(input.as_bytes(), &b).is_ok()
    };
    let mut input = String::new();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let list = tags(signature).remove("h").expect("h=");
    for name in list.split(':') {
        let skip = used.entry(name).or_default();
        let field = fields.iter().rev().filter(|(field, _)| field == name).nth(*skip);
        *skip += 1;
        if let Some((_, value)) = field {
            input.push_str(&format!("{}\r\n", relaxed(name, value)));
        }
    }
    input.push_str(&relaxed("arc-message-signature", &without_b(signature)));
    let message = verify(&input, signature);
    let mut input = String::new();
    for [results, signature, seal] in before {
        for (name, value) in [
            ("arc-authentication-results", results),
            ("arc-message-signature", signature),
            ("arc-seal", seal),
        ] {
            input.push_str(&format!("{}\r\n", relaxed(name, value)));
        }
    }
    input.push_str(&format!("{}\r\n", relaxed("arc-authentication-results", results)));
    input.push_str(&format!("{}\r\n", relaxed("arc-message-signature", signature)));
    input.push_str(&relaxed("arc-seal", &without_b(seal)));
    message && verify(&input, seal)
}

fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for c in text.chars().filter_map(|c| ALPHABET.find(c)) {
        bits = (bits << 6) | u32::try_from(c).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).expect("an octet"));
        }
    }
    out
}

/// The RSAPublicKey in a record.
fn public_key(record: &str) -> Vec<u8> {
    let der = decoded(&tags(record).remove("p").expect("p="));
    // SubjectPublicKeyInfo ends with a bit string that holds the key.
    let at = der.windows(2).rposition(|two| two == [0x00, 0x30]).expect("a key in it");
    der.get(at + 1..).expect("the key").to_vec()
}

fn set_of(fields: &[(String, String)], instance: &str) -> Option<Set> {
    let one = |name: &str| {
        let mut all = fields.iter().filter(|(field, _)| field == name);
        let found =
            all.find(|(_, value)| tags(value).get("i").map(String::as_str) == Some(instance));
        found.map(|(_, value)| value.clone())
    };
    Some([one("arc-authentication-results")?, one("arc-message-signature")?, one("arc-seal")?])
}

fn zone(records: &[(String, String)]) -> String {
    let record = |(name, text): &(String, String)| {
        let text: String = text.split('\n').collect();
        let strings: Vec<String> = text
            .as_bytes()
            .chunks(200)
            .map(|part| format!("\"{}\"", part.escape_ascii()))
            .collect();
        format!("{name}. 300 IN TXT {}\n", strings.join(" "))
    };
    records.iter().map(record).collect()
}

fn checked(zone: &str, mail: &[u8]) -> Authentication {
    let server = DnsServer::start(zone);
    let dns = DnsSettings {
        servers: vec![server.address()],
        timeout: Duration::from_millis(500),
        attempts: 1,
    };
    let settings = Settings { threads: 1, deadline: Duration::from_secs(5), dns };
    let authenticators = Authenticators::start(&settings).expect("threads");
    let subject = Subject {
        ip: "192.0.2.1".parse().expect("an address"),
        helo: "client.example".into(),
        sender: "".into(),
        author_domains: author_domains(&View::build(mail, &ViewLimits::shard())),
        receiver: "gateway.test".into(),
        now: 12_400,
    };
    let content = Content::from_octets(mail.to_vec());
    futures_lite::future::block_on(authenticators.begin(subject, content, None).answer())
}

/// The results that the gateway wrote: those of `server` in one, in their order.
fn merged(fields: &[(String, String)], server: &str) -> String {
    let all = fields.iter().filter(|(name, _)| name == "authentication-results");
    let ours =
        all.filter_map(|(_, value)| value.trim().strip_prefix(server)?.trim().strip_prefix(';'));
    let statements: Vec<&str> = ours
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .collect();
    format!("{server};\r\n\t{}", statements.join(";\r\n\t"))
}

fn run(name: &str, case: &Case, suite: &[(String, String)]) {
    let sealer = Sealer::from_pem(KEY.as_bytes(), "example.org", "ours").expect("a key");
    let mail = case.message.replace('\n', "\r\n");
    let (fields, _) = parts(&mail);
    let mut records = suite.to_vec();
    records.push(sealer.record());
    let zone = zone(&records);
    let chain = checked(&zone, mail.as_bytes()).arc.result;
    let sealing = Sealing { results: merged(&fields, &case.server), chain, now: case.t };
    let signed: Vec<(&str, bool)> = case.signed.split(':').map(|name| (name, false)).collect();
    let sealed = sealer.seal_fields(&Content::from_octets(mail.as_bytes()), &sealing, &signed);
    if case.seal.trim().is_empty() {
        assert_eq!(sealed, Err(Unsealed::Ended), "{name}");
        return;
    }
    let sealed = String::from_utf8(sealed.expect(name)).expect("ASCII");
    assert!(sealed.lines().all(|line| line.len() < 998), "{name}: {sealed}");
    let expected: Set = [&case.results, &case.signature, &case.seal].map(|value| unfolded(value));
    let whole = format!("{sealed}{mail}");
    let (with_ours, _) = parts(&whole);
    let instance = tags(&case.seal).remove("i").expect("i=");
    let ours = set_of(&with_ours, &instance).expect("our set");
    let [wanted, ..] = &expected;
    for (ours, expected) in ours.iter().zip(&expected).skip(1) {
        let (mut ours, mut expected) = (tags(ours), tags(expected));
        for differs in ["b", "s"] {
            ours.remove(differs);
            expected.remove(differs);
        }
        assert_eq!(ours, expected, "{name}");
    }
    let [results, _, seal] = &ours;
    assert_eq!(relaxed("", results), relaxed("", wanted), "{name}");
    let cv = tags(seal).remove("cv").expect("cv=");
    let number: u32 = instance.parse().expect("a number");
    let before: Vec<Set> = match cv.as_str() {
        "pass" => (1..number).map(|i| set_of(&fields, &i.to_string()).expect("a set")).collect(),
        _ => Vec::new(),
    };
    let (_, record) = suite.first().expect("the suite's key");
    let key = public_key(record);
    assert!(holds(&expected, &before, &fields, &key), "{name}: the suite's own set");
    let key = public_key(&sealer.record().1);
    assert!(holds(&ours, &before, &fields, &key), "{name}: {sealed}");
    let found = checked(&zone, format!("{sealed}{mail}").as_bytes());
    let judged = if cv == "fail" { AuthResult::Fail } else { AuthResult::Pass };
    assert_eq!(found.arc.result, judged, "{name}: {:?}", found.arc);
    assert_eq!(u32::try_from(found.arc.sealers.len()), Ok(number), "{name}");
}

#[test]
fn all_17_sealing_cases_mean_what_the_suite_means() {
    let Some(folder) = corpus::folder("auth") else { return };
    let text = std::fs::read_to_string(folder.join("arc/arc-draft-sign-tests.yml"));
    let text = text.expect("the suite");
    let mut cases = 0;
    for document in serde_norway::Deserializer::from_str(&text) {
        let scenario = Scenario::deserialize(document).expect("a scenario");
        let records: Vec<(String, String)> = scenario.txt_records.into_iter().collect();
        for (name, case) in &scenario.tests {
            run(name, case, &records);
            cases += 1;
        }
    }
    assert_eq!(cases, 17);
}
