use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};

use super::cache::Cache;
use super::resolver::HOSTS_MAX;
use super::servers::parse;
use super::{DnsClient, DnsSettings, Lookup, ResolveError, Resolver, ResolverThreads};
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

/// Without any DNS.
fn start(threads: usize, lookup: &Lookup) -> ResolverThreads {
    let dns = DnsClient::new(DnsSettings::default(), || MonoMillis(0));
    Resolver::start(threads, lookup, &dns).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_and_literals_are_not_looked_up() {
    let (lookup, calls) = counting(vec![Err(io::ErrorKind::Other.into())]);
    let resolver = start(1, &lookup).for_shard();
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
    let resolver = start(2, &lookup).for_shard();
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
    let resolver = start(1, &lookup).for_shard();
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
    let resolver = start(1, &lookup).for_shard();
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
    let resolver = start(1, &lookup).for_shard();
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
fn the_cache_is_bounded_and_believes_no_ttl_for_more_than_a_day() {
    let mut cache = Cache::new(HOSTS_MAX, Duration::ZERO);
    let century = Duration::from_secs(u32::MAX.into());
    for n in 0..=HOSTS_MAX + 10 {
        let _ = cache.note(&format!("h{n}.example"), Ok((n, century)), MonoMillis(0));
        assert!(cache.len() <= HOSTS_MAX);
    }
    let last = format!("h{}.example", HOSTS_MAX + 10);
    assert_eq!(cache.find(&last, MonoMillis(86_399_999)), Some(Ok(HOSTS_MAX + 10)));
    assert_eq!(cache.find(&last, MonoMillis(86_400_000)), None);
}

#[test]
fn an_answer_with_a_ttl_of_zero_is_told_and_not_kept() {
    let mut cache = Cache::new(10, Duration::ZERO);
    assert_eq!(cache.note("a.example", Ok((1, Duration::ZERO)), MonoMillis(7)), Ok(1));
    assert_eq!(cache.find("a.example", MonoMillis(7)), None);
    let failed = cache.note("a.example", Err(ResolveError::Failed), MonoMillis(8));
    assert_eq!(failed, Err(ResolveError::Failed), "a stranger's old answer bridges nothing");
}

#[test]
fn the_servers_of_a_resolv_conf_are_read_as_the_c_library_does() {
    for (text, expected) in [
        ("", vec!["127.0.0.1:53"]),
        ("# nameserver 192.0.2.9\nsearch example.com\n", vec!["127.0.0.1:53"]),
        (
            "nameserver 192.0.2.1\nnameserver\t2001:db8::1 \noptions ndots:1\n",
            vec!["192.0.2.1:53", "[2001:db8::1]:53"],
        ),
        ("nameserver fe80::1%2\nnameserver fe80::1%eth0\n", vec!["[fe80::1%2]:53"]),
        ("nameserver\nnameserver what\n nameserver 192.0.2.3", vec!["192.0.2.3:53"]),
    ] {
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text:?}");
    }
    assert_eq!(parse(&"nameserver 192.0.2.1\n".repeat(1_000)).len(), 8);
}
