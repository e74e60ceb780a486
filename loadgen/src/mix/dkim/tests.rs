use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};

use crate::mix::{Mix, zone};
use crate::random::Random;

/// The answers of a name server that has a zone file loaded.
#[derive(Default)]
struct Served(HashMap<Box<str>, Txt>);

impl Served {
    /// Reads the TXT records of selectors out of a master file.
    fn load(text: &str) -> Self {
        let origin = text.lines().next().unwrap().strip_prefix("$ORIGIN ").unwrap();
        let mut served = Self::default();
        for line in text.lines() {
            let Some((name, strings)) = line.split_once(" IN TXT ") else { continue };
            assert!(strings.split('"').all(|string| string.len() <= 255), "{line}");
            if name.contains("._domainkey.") {
                let record: String = strings.split('"').skip(1).step_by(2).collect();
                let key = DomainKey::parse(record.as_bytes()).unwrap();
                let name = format!("{name}.{origin}").into_boxed_str();
                served.0.insert(name, Txt::DomainKey(key.into()));
            }
        }
        served
    }
}

impl ResolverCache<Box<str>, Txt> for Served {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _key: Box<str>, _value: Txt, _valid_until: Instant) {}
}

/// A cache for record types that DKIM does not ask for.
struct Nothing;

impl<K, V> ResolverCache<K, V> for Nothing {
    fn get<Q>(&self, _name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn remove<Q>(&self, _name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _key: K, _value: V, _valid_until: Instant) {}
}

type Ask<'a, P> = Parameters<'a, P, Served, Nothing, Nothing, Nothing, Nothing>;

fn dkim_results(authenticator: &MessageAuthenticator, served: &Served, mail: &[u8]) -> Vec<bool> {
    let message = AuthenticatedMessage::parse(mail).unwrap();
    let ask: Ask<'_, &AuthenticatedMessage<'_>> = Parameters {
        params: &message,
        cache_txt: Some(served),
        cache_mx: None::<&Nothing>,
        cache_ptr: None,
        cache_ipv4: None,
        cache_ipv6: None,
    };
    let outputs = futures_lite::future::block_on(authenticator.verify_dkim(ask));
    outputs.iter().map(|output| output.result() == &DkimResult::Pass).collect()
}

#[test]
fn signatures_verify_against_the_zone_of_the_seed_and_fail_on_a_changed_mail_or_another_zone() {
    let authenticator = MessageAuthenticator::new_cloudflare().unwrap();
    let served = Served::load(&zone(1).unwrap());
    assert_eq!(served.0.len(), 32, "two selectors of sixteen domains");
    let other = Served::load(&zone(2).unwrap());
    let mut counts = [0; 3];
    let mut random = Random::new(3);
    let mix = Mix::named("real", 1).unwrap();
    for number in 0..600 {
        let mail = mix.draw(&mut random, &format!("1-{number}"));
        let results = dkim_results(&authenticator, &served, &mail);
        assert!(results.iter().all(|pass| *pass), "mail {number}: {results:?}");
        counts[results.len()] += 1;
        let mut changed = mail.clone();
        changed.extend_from_slice(b"one more line\r\n");
        assert!(dkim_results(&authenticator, &served, &changed).iter().all(|pass| !pass));
        if String::from_utf8_lossy(&mail).contains("a=ed25519-sha256") {
            let results = dkim_results(&authenticator, &other, &mail);
            assert!(results.contains(&false), "the key of seed 2 is another one");
        }
    }
    // A quarter unsigned, half once, a quarter twice.
    for (count, aim) in counts.iter().zip([150, 300, 150]) {
        assert!((aim - 60..aim + 60).contains(count), "{counts:?}");
    }
}
