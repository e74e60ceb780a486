//! The threads and their queue.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs as _};
use std::rc::Rc;
use std::sync::Arc;

use super::ResolveError;
use super::cache::{Answer, Cache};
use crate::clock::MonoMillis;

/// Threads of one resolver.
const THREADS_MAX: usize = 16;
/// Requests that wait for a thread.
const REQUESTS_MAX: usize = 1_024;
/// Addresses kept of one answer.
const ADDRESSES_MAX: usize = 16;

/// What looks a name up, blocking. The system's, or a test's.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

struct Request {
    host: Box<str>,
    answer: flume::Sender<Answer>,
}

/// The side threads; one set for the box. They end when the last clone is dropped.
#[derive(Clone)]
struct Threads {
    requests: flume::Sender<Request>,
}

/// Looks hosts up. [`ResolverThreads::for_shard`] gives each shard its own cache.
#[derive(Clone)]
pub struct Resolver {
    threads: Threads,
    cache: Rc<RefCell<Cache>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("cached", &self.cache.borrow().len()).finish()
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

impl Resolver {
    /// Starts `threads` threads, 1..=16.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(threads: usize, lookup: &Lookup) -> io::Result<ResolverThreads> {
        let (requests, queue) = flume::bounded::<Request>(REQUESTS_MAX);
        for number in 0..threads.clamp(1, THREADS_MAX) {
            let (queue, lookup) = (queue.clone(), Arc::clone(lookup));
            let name = format!("resolve-{number}");
            std::thread::Builder::new().name(name).spawn(move || serve(&queue, &lookup))?;
        }
        Ok(ResolverThreads(Threads { requests }))
    }

    /// Addresses of `host`, a name or an address in any of its forms (`192.0.2.1`, `[192.0.2.1]`,
    /// `[IPv6:2001:db8::1]`). `now`: for the cache. Does not time out by itself: the caller has the
    /// clock, and drops the future at its deadline.
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
        let known = self.cache.borrow().find(host, now());
        if let Some(answer) = known {
            return answer;
        }
        let (answer, receive) = flume::bounded(1);
        let request = Request { host: host.into(), answer };
        if self.threads.requests.try_send(request).is_err() {
            return Err(ResolveError::Busy);
        }
        let answer = receive.recv_async().await.unwrap_or(Err(ResolveError::Failed));
        self.cache.borrow_mut().note(host, answer, now())
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
        Resolver { threads: self.0.clone(), cache: Rc::default() }
    }
}

fn serve(queue: &flume::Receiver<Request>, lookup: &Lookup) {
    while let Ok(request) = queue.recv() {
        // The shard has given up already: spare the DNS.
        if request.answer.is_disconnected() {
            continue;
        }
        let answer = match lookup(&request.host) {
            Ok(mut addresses) => {
                let mut seen = Vec::new();
                addresses.retain(|address| {
                    let new = !seen.contains(address);
                    seen.push(*address);
                    new
                });
                addresses.truncate(ADDRESSES_MAX);
                if addresses.is_empty() { Err(ResolveError::NoAddress) } else { Ok(addresses) }
            }
            // getaddrinfo's "no such host" and "try again" look alike through std: both are temporary.
            Err(_) => Err(ResolveError::Failed),
        };
        // The shard may be gone; then nobody wants the answer.
        let _ = request.answer.try_send(answer);
    }
}

/// An address rather than a name. RFC 5321 section 4.1.3.
fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Some(v6) = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        return inner.get(v6.len()..)?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    inner.parse().ok()
}
