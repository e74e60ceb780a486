//! The threads and their queue.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::cache::{Cache, Found};
use super::mail_hosts::to_ascii;
use super::{ADDRESSES_MAX, DnsClient, MailHosts, ResolveError};
use crate::clock::MonoMillis;

/// Threads of one kind.
const THREADS_MAX: usize = 16;
/// Requests that wait for a thread.
const REQUESTS_MAX: usize = 1_024;
/// Hosts in a cache.
pub(super) const HOSTS_MAX: usize = 10_000;
/// Domains in a cache.
const DOMAINS_MAX: usize = 2_000;
/// The system's resolver does not tell the TTL; one minute is what a careful operator gives a host
/// that may move.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// When look-ups fail, an answer that is this much too old still beats none: a hop's address
/// seldom changes while the DNS is down. Not for strangers' domains, whose reports can wait.
const STALE_FOR: Duration = Duration::from_secs(3_600);

/// What looks a name up, blocking. The system's, or a test's.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

struct Request<V> {
    name: Box<str>,
    answer: flume::Sender<Found<V>>,
}

/// What the threads of the DNS client are asked for.
enum DnsRequest {
    MailHosts(Request<MailHosts>),
    Addresses(Request<Vec<IpAddr>>),
}

/// The side threads; one set for the box. They end when the last clone is dropped.
#[derive(Clone)]
struct Threads {
    system: flume::Sender<Request<Vec<IpAddr>>>,
    dns: flume::Sender<DnsRequest>,
}

/// What a shard knows already.
struct Caches {
    system: Cache<Vec<IpAddr>>,
    dns: Cache<Vec<IpAddr>>,
    mail_hosts: Cache<MailHosts>,
}

/// Looks hosts up. [`ResolverThreads::for_shard`] gives each shard its own caches.
#[derive(Clone)]
pub struct Resolver {
    threads: Threads,
    caches: Rc<RefCell<Caches>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let caches = self.caches.borrow();
        let cached = caches.system.len() + caches.dns.len() + caches.mail_hosts.len();
        f.debug_struct("Resolver").field("cached", &cached).finish()
    }
}

/// The system's resolver (getaddrinfo: hosts file, search list, DNS as the machine is set up).
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|host| {
        // The port does not matter; ToSocketAddrs wants one.
        (host, 25).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
    })
}

/// The zone first, through `dns`, which asks its server; then, unless `zone_only`, the system's resolver.
#[must_use]
pub fn zone_lookup(dns: DnsClient, zone_only: bool) -> Lookup {
    let system = system_lookup();
    Arc::new(move |host| {
        let in_zone = to_ascii(host).map(|name| dns.host_addresses(&name));
        match in_zone {
            Some(Ok((addresses, _))) => Ok(addresses),
            _ if zone_only => Err(io::ErrorKind::NotFound.into()),
            _ => system(host),
        }
    })
}

impl Resolver {
    /// Starts `threads` threads, 1..=16, for each kind of look-up.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(threads: usize, lookup: &Lookup, dns: &DnsClient) -> io::Result<ResolverThreads> {
        let (system, system_queue) = flume::bounded::<Request<Vec<IpAddr>>>(REQUESTS_MAX);
        let (asked, dns_queue) = flume::bounded::<DnsRequest>(REQUESTS_MAX);
        for number in 0..threads.clamp(1, THREADS_MAX) {
            let thread = |kind: &str| std::thread::Builder::new().name(format!("{kind}-{number}"));
            let (queue, lookup) = (system_queue.clone(), Arc::clone(lookup));
            thread("resolve").spawn(move || {
                while let Ok(request) = queue.recv() {
                    serve(&request, |host| by_system(&lookup, host));
                }
            })?;
            let (queue, client) = (dns_queue.clone(), dns.clone());
            thread("dns").spawn(move || {
                while let Ok(request) = queue.recv() {
                    match request {
                        DnsRequest::MailHosts(one) => serve(&one, |name| client.mail_hosts(name)),
                        DnsRequest::Addresses(one) => {
                            serve(&one, |name| client.host_addresses(name));
                        }
                    }
                }
            })?;
        }
        Ok(ResolverThreads(Threads { system, dns: asked }))
    }

    /// Addresses of `host`, a name or an address in any of its forms (`192.0.2.1`, `[192.0.2.1]`,
    /// `[IPv6:2001:db8::1]`), by the system's resolver: for hosts that the operator named. `now`:
    /// for the cache. Does not time out by itself: the caller has the clock, and drops the future
    /// at its deadline.
    ///
    /// # Errors
    /// [`ResolveError`]; all of them are temporary.
    pub async fn addresses(
        &self,
        host: &str,
        now: impl Fn() -> MonoMillis,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        let known = self.caches.borrow().system.find(host, now());
        if let Some(answer) = known {
            return answer;
        }
        let (answer, receive) = flume::bounded(1);
        let request = Request { name: host.into(), answer };
        let asked = self.threads.system.try_send(request).is_ok();
        let found = answer_of(asked, receive).await?;
        self.caches.borrow_mut().system.note(host, found, now())
    }

    /// Hosts that take the mail of `domain`, a name in any script or an address literal, by DNS.
    /// As [`Resolver::addresses`] otherwise.
    ///
    /// # Errors
    /// [`ResolveError`]; all of them are temporary.
    pub async fn mail_hosts(
        &self,
        domain: &str,
        now: impl Fn() -> MonoMillis,
    ) -> Result<MailHosts, ResolveError> {
        if bracketed(domain).is_some() {
            let host = super::MailHost { preference: 0, host: domain.into() };
            return Ok(MailHosts::Hosts(vec![host]));
        }
        let Some(domain) = to_ascii(domain) else { return Ok(MailHosts::NoSuchDomain) };
        let known = self.caches.borrow().mail_hosts.find(&domain, now());
        if let Some(answer) = known {
            return answer;
        }
        let (answer, receive) = flume::bounded(1);
        let request = Request { name: domain.as_str().into(), answer };
        let asked = self.threads.dns.try_send(DnsRequest::MailHosts(request)).is_ok();
        let found = answer_of(asked, receive).await?;
        self.caches.borrow_mut().mail_hosts.note(&domain, found, now())
    }

    /// Addresses of a host that [`Resolver::mail_hosts`] named, by DNS alone. As
    /// [`Resolver::addresses`] otherwise.
    ///
    /// # Errors
    /// [`ResolveError`]; all of them are temporary.
    pub async fn mail_host_addresses(
        &self,
        host: &str,
        now: impl Fn() -> MonoMillis,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(address) = bracketed(host) {
            return Ok(vec![address]);
        }
        let known = self.caches.borrow().dns.find(host, now());
        if let Some(answer) = known {
            return answer;
        }
        let (answer, receive) = flume::bounded(1);
        let request = Request { name: host.into(), answer };
        let asked = self.threads.dns.try_send(DnsRequest::Addresses(request)).is_ok();
        let found = answer_of(asked, receive).await?;
        self.caches.borrow_mut().dns.note(host, found, now())
    }
}

/// Waits for a thread. `Err` is not to be cached: it says something of us, not of the name.
async fn answer_of<V>(
    asked: bool,
    receive: flume::Receiver<Found<V>>,
) -> Result<Found<V>, ResolveError> {
    match asked {
        true => Ok(receive.recv_async().await.unwrap_or(Err(ResolveError::Failed))),
        false => Err(ResolveError::Busy),
    }
}

/// The threads, to be handed to the shards.
#[derive(Clone)]
pub struct ResolverThreads(Threads);

impl std::fmt::Debug for ResolverThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResolverThreads")
    }
}

impl ResolverThreads {
    /// A resolver for one shard, with a cache of its own.
    #[must_use]
    pub fn for_shard(&self) -> Resolver {
        let caches = Caches {
            system: Cache::new(HOSTS_MAX, STALE_FOR),
            dns: Cache::new(HOSTS_MAX, Duration::ZERO),
            mail_hosts: Cache::new(DOMAINS_MAX, Duration::ZERO),
        };
        Resolver { threads: self.0.clone(), caches: Rc::new(RefCell::new(caches)) }
    }
}

fn serve<V>(request: &Request<V>, look_up: impl FnOnce(&str) -> Found<V>) {
    // The shard has given up already: spare the DNS.
    if request.answer.is_disconnected() {
        return;
    }
    // It may be gone by now; then nobody wants the answer.
    let _ = request.answer.try_send(look_up(&request.name));
}

fn by_system(lookup: &Lookup, host: &str) -> Found<Vec<IpAddr>> {
    // getaddrinfo's "no such host" and "try again" look alike through std: both are temporary.
    let mut addresses = lookup(host).map_err(|_| ResolveError::Failed)?;
    let mut seen = Vec::new();
    addresses.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err(ResolveError::NoAddress) } else { Ok((addresses, GOOD_FOR)) }
}

/// An address rather than a name. RFC 5321 section 4.1.3.
fn literal(host: &str) -> Option<IpAddr> {
    bracketed(host).or_else(|| inner_literal(host))
}

/// An address literal of a mailbox: without its brackets it would be a name.
fn bracketed(host: &str) -> Option<IpAddr> {
    inner_literal(host.strip_prefix('[')?.strip_suffix(']')?)
}

fn inner_literal(inner: &str) -> Option<IpAddr> {
    if let Some(v6) = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        return inner.get(v6.len()..)?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    inner.parse().ok()
}
