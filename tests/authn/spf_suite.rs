//! The openspf test suite for RFC 7208: every scenario served as a zone, every case asked as the engine asks.

use std::collections::HashMap;
use std::time::Duration;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record};
use sekisho_core::authn::{Authenticators, Settings, SpfCheck, Subject};
use sekisho_core::resolve::DnsSettings;
use sekisho_tests::corpus;
use sekisho_tests::dns::{DnsServer, Trick};
use serde::Deserialize;
use serde_norway::Value;

#[derive(Deserialize)]
struct Scenario {
    description: String,
    tests: HashMap<String, Case>,
    zonedata: HashMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
struct Case {
    helo: String,
    host: String,
    mailfrom: String,
    result: OneOrMore,
    explanation: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn has(&self, result: &str) -> bool {
        match self {
            Self::One(one) => one == result,
            Self::More(more) => more.iter().any(|one| one == result),
        }
    }
}

/// A name as the suite writes it; `None` for what no DNS can hold.
fn name(text: &str) -> Option<Name> {
    let labels = text.trim_end_matches('.').split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Sequence(all) => all.iter().filter_map(|one| one.as_str().map(Into::into)).collect(),
        one => one.as_str().map(Into::into).into_iter().collect(),
    }
}

/// The records of one name. A record of the old type SPF is one of TXT, too, unless the name has some of its own.
fn records(owner: &Name, entries: &[Value]) -> Vec<Record> {
    let has_txt = entries.iter().any(|entry| entry.get("TXT").is_some());
    let data = |entry: &Value| -> Option<RData> {
        let (kind, value) = entry.as_mapping()?.iter().next()?;
        let text = || value.as_str();
        Some(match kind.as_str()? {
            "A" => RData::A(A(text()?.parse().ok()?)),
            "AAAA" => RData::AAAA(AAAA(text()?.parse().ok()?)),
            "CNAME" => RData::CNAME(CNAME(name(text()?)?)),
            "PTR" => RData::PTR(PTR(name(text()?)?)),
            "MX" => {
                let pair = value.as_sequence()?;
                let preference = u16::try_from(pair.first()?.as_u64()?).ok()?;
                RData::MX(MX::new(preference, name(pair.get(1)?.as_str()?)?))
            }
            "SPF" if has_txt => return None,
            "TXT" if text() == Some("NONE") => return None,
            // A record without any string cannot be sent.
            "SPF" | "TXT" if strings(value).is_empty() => return None,
            "SPF" | "TXT" => RData::TXT(TXT::new(strings(value))),
            other => panic!("a record of type {other}"),
        })
    };
    entries
        .iter()
        .filter_map(data)
        .map(|data| Record::from_rdata(owner.clone(), 300, data))
        .collect()
}

fn serve(server: &DnsServer, scenario: &Scenario) {
    let mut all = Vec::new();
    server.forget_tricks();
    for (text, entries) in &scenario.zonedata {
        let Some(owner) = name(text) else { continue };
        all.extend(records(&owner, entries));
        if entries.iter().any(|entry| entry.as_str() == Some("TIMEOUT")) {
            server.trick(text, Trick::SilentUnlessKnown);
        }
    }
    server.serve_records(all);
}

fn asked(authenticators: &Authenticators, case: &Case) -> SpfCheck {
    let subject = Subject {
        ip: case.host.parse().expect("an address"),
        helo: case.helo.as_str().into(),
        sender: case.mailfrom.as_str().into(),
        author_domains: Vec::new(),
        receiver: "receiver.test".into(),
        now: 1_400_000_000,
    };
    futures_lite::future::block_on(authenticators.spf(subject)).0
}

#[test]
fn the_openspf_suite_passes_whole() {
    let Some(folder) = corpus::folder("auth") else { return };
    let text = std::fs::read_to_string(folder.join("spf/rfc7208-tests.yml")).expect("the suite");
    let (mut cases, mut wrong) = (0, Vec::new());
    for document in serde_norway::Deserializer::from_str(&text) {
        let scenario = Scenario::deserialize(document).expect("a scenario");
        let server = DnsServer::start("");
        serve(&server, &scenario);
        let dns = DnsSettings {
            servers: vec![server.address()],
            timeout: Duration::from_millis(150),
            attempts: 1,
        };
        let settings = Settings { threads: 1, deadline: Duration::from_secs(3), dns };
        let authenticators = Authenticators::start(&settings).expect("threads");
        for (title, case) in &scenario.tests {
            cases += 1;
            let found = asked(&authenticators, case);
            let said = found.explanation.as_deref().unwrap_or("DEFAULT");
            let wanted = case.explanation.as_deref().unwrap_or(said);
            // The suite writes hexadecimal digits in upper case, RFC 7208 in lower case.
            if !case.result.has(found.result.keyword()) || !said.eq_ignore_ascii_case(wanted) {
                wrong.push(format!("{} / {title}: {found:?}", scenario.description));
            }
        }
    }
    println!("{cases} cases, {} wrong", wrong.len());
    assert!(cases >= 203, "{cases} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
