//! What delivery needs of the world outside: time, chance, addresses, streams. Two implementations:
//! [`super::live`] (glommio, rustls) and the scripted hops of the tests.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::clock::{MonoMillis, Now};
use crate::content::LargeFile;
use crate::resolve::{MailHosts, ResolveError};

/// A connection to a hop, in clear or under TLS.
pub trait Stream: 'static {
    /// Appends what the peer sent to `into`; 0 means that it closed.
    fn read(&mut self, into: &mut Vec<u8>) -> impl Future<Output = io::Result<usize>>;
    /// Writes all of `octets` and leaves the buffer empty.
    fn write_all(&mut self, octets: &mut Vec<u8>) -> impl Future<Output = io::Result<()>>;
    /// An idle connection that is still open and on which nothing waits to be read.
    fn is_quiet(&self) -> bool;
    /// Protocol version and cipher suite; nothing in clear.
    fn tls_text(&self) -> Option<Box<str>>;
}

/// Whether the certificate of a hop is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Any will do: the rule is opportunistic or required.
    Any,
    /// Must be valid for the host name.
    Valid,
}

/// The world outside of a shard's delivery. Cloning shares it.
pub trait World: Clone + 'static {
    /// Connections of this world.
    type Stream: Stream;

    /// Both clocks.
    fn now(&self) -> Now;
    /// Returns at `at`, or later.
    fn sleep_until(&self, at: MonoMillis) -> impl Future<Output = ()>;
    /// 64 random bits: for jitter, for the order of equal hops and for ids; not for secrets.
    fn random(&self) -> u64;
    /// Runs `task` to its end beside the caller.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
    /// Addresses of a host name or address that the operator gave.
    fn addresses(&self, host: &str) -> impl Future<Output = Result<Vec<IpAddr>, ResolveError>>;
    /// Mail hosts of a domain that is not ours.
    fn mail_hosts(&self, domain: &str) -> impl Future<Output = Result<MailHosts, ResolveError>>;
    /// Addresses of a host that `mail_hosts` named.
    fn mail_host_addresses(
        &self,
        host: &str,
    ) -> impl Future<Output = Result<Vec<IpAddr>, ResolveError>>;
    /// Opens a connection.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
    /// Does the client's half of a TLS handshake.
    fn start_tls(
        &self,
        stream: Self::Stream,
        host: &str,
        certificate: Certificate,
    ) -> impl Future<Output = io::Result<Self::Stream>>;
    /// Reads up to `bytes` octets of a large message.
    fn read_file(
        &self,
        file: Arc<LargeFile>,
        offset: u64,
        bytes: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>>;
}

/// Runs `work` until `deadline`; `None` when that came first. `work` is dropped then.
pub(super) async fn within<T>(
    world: &impl World,
    deadline: MonoMillis,
    work: impl Future<Output = T>,
) -> Option<T> {
    let done = async { Some(work.await) };
    let late = async {
        world.sleep_until(deadline).await;
        None
    };
    futures_lite::future::or(done, late).await
}
