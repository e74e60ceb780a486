use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_lite::future::{block_on, poll_once};

use super::cache::{Cache, ENTRIES_MAX};
use super::{Lookup, ResolveError, Resolver};
use crate::clock::MonoMillis;

fn counting(answers: Vec<io::Result<Vec<IpAddr>>>) -> (Lookup, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let answers: Vec<_> = answers.into_iter().map(|a| a.map_err(|error| error.kind())).collect();
    let lookup: Lookup = Arc::new(move |_| {
        let call = counter.fetch_add(1, Ordering::SeqCst) as usize;
        answers[call.min(answers.len() - 1)].clone().map_err(io::Error::from)
    });
    (lookup, calls)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_and_literals_are_not_looked_up() {
    let (lookup, calls) = counting(vec![Err(io::ErrorKind::Other.into())]);
    let resolver = Resolver::start(1, &lookup).unwrap().for_shard();
    for (host, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("[192.0.2.7]", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[ipv6:::1]", "::1"),
    ] {
        let found = block_on(resolver.addresses(host, || MonoMillis(0)));
        assert_eq!(found, Ok(vec![address(expected)]), "{host}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[test]
fn a_name_is_looked_up_once_a_minute_and_doubles_are_dropped() {
    let one = address("192.0.2.1");
    let (lookup, calls) = counting(vec![Ok(vec![one, one, address("192.0.2.2")])]);
    let resolver = Resolver::start(2, &lookup).unwrap().for_shard();
    for at in [0, 59_999] {
        let found = block_on(resolver.addresses("mx.example.com", || MonoMillis(at)));
        assert_eq!(found, Ok(vec![one, address("192.0.2.2")]));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    block_on(resolver.addresses("mx.example.com", || MonoMillis(60_000))).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_failed_look_up_is_temporary_and_an_old_answer_bridges_it() {
    let old = address("192.0.2.1");
    let (lookup, _) = counting(vec![Ok(vec![old]), Err(io::ErrorKind::Other.into())]);
    let resolver = Resolver::start(1, &lookup).unwrap().for_shard();
    let ask = |host: &str, at| block_on(resolver.addresses(host, || MonoMillis(at)));
    assert_eq!(ask("a.example", 0), Ok(vec![old]));
    assert_eq!(ask("a.example", 60_001), Ok(vec![old]), "stale, but better than none");
    assert_eq!(ask("a.example", 60_001 + 3_600_001), Err(ResolveError::Failed));
    assert_eq!(ask("b.example", 0), Err(ResolveError::Failed));
    assert!(!ResolveError::Failed.permanent());
}

#[test]
fn a_name_without_addresses_is_said_to_have_none() {
    let (lookup, _) = counting(vec![Ok(Vec::new())]);
    let resolver = Resolver::start(1, &lookup).unwrap().for_shard();
    let found = block_on(resolver.addresses("a.example", || MonoMillis(0)));
    assert_eq!(found, Err(ResolveError::NoAddress));
}

#[test]
fn a_full_queue_is_busy_and_never_grows() {
    let (release, held) = flume::bounded::<()>(0);
    let lookup: Lookup = Arc::new(move |_| {
        // Holds the only thread until the test ends.
        let _ = held.recv();
        Ok(Vec::new())
    });
    let resolver = Resolver::start(1, &lookup).unwrap().for_shard();
    let mut waiting = Vec::new();
    let busy = loop {
        let host = format!("h{}.example", waiting.len());
        let resolver = resolver.clone();
        let mut ask = Box::pin(async move { resolver.addresses(&host, || MonoMillis(0)).await });
        match block_on(poll_once(&mut ask)) {
            Some(answer) => break answer,
            None => waiting.push(ask),
        }
    };
    assert_eq!(busy, Err(ResolveError::Busy));
    assert!((1_024..=1_025).contains(&waiting.len()), "{}", waiting.len());
    drop(release);
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = Cache::default();
    for n in 0..=ENTRIES_MAX + 10 {
        let _ = cache.note(&format!("h{n}.example"), Ok(vec![address("::1")]), MonoMillis(0));
        assert!(cache.len() <= ENTRIES_MAX);
    }
}
