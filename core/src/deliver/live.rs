//! The real world: glommio's sockets and timers, rustls, getaddrinfo on side threads; and the real
//! store. Nothing here decides anything.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::io::AsyncWriteExt as _;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::any_certificate::AnyCertificate;
use super::store::{Store, to_row};
use super::transport::{Certificate, Stream, World, within};
use crate::clock::{MonoMillis, Now, UnixMillis};
use crate::content::{Content, LargeFile};
use crate::maillog::{DeliveryRow, MailLog};
use crate::quarantine::Quarantine;
use crate::resolve::{MailHosts, ResolveError, Resolver};
use crate::socket::{self, Socket, Sockets};
use crate::spool::disk::Disk;
use crate::spool::held::HeldMail;
use crate::spool::{CopyId, Deferral, Outcome, QueuedMail, SpoolError, SpoolStore};

/// Longest wait for a host look-up; the resolver's own may be longer.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// Delivery as it runs in the engine.
pub type LiveDeliverer<D> = super::Deliverer<Live, Kept<D>>;

/// The world of a glommio shard.
#[derive(Clone)]
pub struct Live {
    clock: fn() -> Now,
    sockets: Sockets,
    resolver: Resolver,
    any: Arc<ClientConfig>,
    valid: Arc<ClientConfig>,
    chance: Rc<Cell<u64>>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

/// TLS towards next hops, made once for the box.
#[derive(Clone, Debug)]
pub struct HopTls {
    any: Arc<ClientConfig>,
    valid: Arc<ClientConfig>,
}

impl HopTls {
    /// The system's roots, for hops whose certificate must be valid. A root that cannot be read is
    /// left out; without any every `verify` hop fails, which is temporary and named.
    ///
    /// `trusted`: a PEM file of further roots, for hops inside that are certified by their owner.
    ///
    /// # Errors
    /// That file cannot be read or holds no certificate: the operator is at fault. Or rustls takes none
    /// of our protocol versions: a defect of ours.
    pub fn new(trusted: Option<&Path>) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_, _) = roots.add_parsable_certificates(found.certs);
        if let Some(path) = trusted {
            let wrong = |why: String| io::Error::other(format!("{}: {why}", path.display()));
            let own = rustls_native_certs::load_certs_from_paths(Some(path), None);
            if let Some(error) = own.errors.first() {
                return Err(wrong(error.to_string()));
            }
            if roots.add_parsable_certificates(own.certs).0 == 0 {
                return Err(wrong("no certificate in it".to_owned()));
            }
        }
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)
        };
        let valid = builder()?.with_root_certificates(roots).with_no_client_auth();
        let trusting = Arc::new(AnyCertificate::new(&provider));
        let any =
            builder()?.dangerous().with_custom_certificate_verifier(trusting).with_no_client_auth();
        Ok(Self { any: Arc::new(any), valid: Arc::new(valid) })
    }
}

impl Live {
    /// The world of one shard. `clock` reads both clocks; `seed` is random.
    #[must_use]
    pub fn new(
        clock: fn() -> Now,
        sockets: Sockets,
        resolver: Resolver,
        tls: &HopTls,
        seed: u64,
    ) -> Self {
        Self {
            clock,
            sockets,
            resolver,
            any: Arc::clone(&tls.any),
            valid: Arc::clone(&tls.valid),
            chance: Rc::new(Cell::new(seed)),
        }
    }
}

impl Live {
    async fn in_time<T>(
        &self,
        look_up: impl Future<Output = Result<T, ResolveError>>,
    ) -> Result<T, ResolveError> {
        let deadline = self.now().mono.plus(LOOK_UP_TIMEOUT);
        within(self, deadline, look_up).await.unwrap_or(Err(ResolveError::TimedOut))
    }
}

/// A connection to a hop.
pub enum HopStream {
    /// In clear.
    Plain(Socket),
    /// Under TLS.
    Tls(Box<TlsStream<Socket>>),
}

impl std::fmt::Debug for HopStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "HopStream::Plain",
            Self::Tls(_) => "HopStream::Tls",
        })
    }
}

impl Stream for HopStream {
    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let take = |octets: &[u8]| {
            into.extend_from_slice(octets);
            octets.len()
        };
        match self {
            Self::Plain(stream) => stream.read_with(take).await,
            Self::Tls(stream) => socket::read_with(&mut **stream, take).await,
        }
    }

    async fn write_all(&mut self, octets: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(octets).await,
            Self::Tls(stream) => {
                stream.write_all(octets).await?;
                octets.clear();
                stream.flush().await
            }
        }
    }

    fn is_quiet(&self) -> bool {
        // Whatever can be read on an idle connection, its end included, makes it useless.
        match self {
            Self::Plain(stream) => stream.is_quiet(),
            Self::Tls(stream) => stream.get_ref().0.is_quiet(),
        }
    }

    fn tls_text(&self) -> Option<Box<str>> {
        let Self::Tls(stream) = self else { return None };
        let (_, connection) = stream.get_ref();
        let version = connection.protocol_version()?.as_str()?;
        let suite = connection.negotiated_cipher_suite()?.suite().as_str()?;
        Some(format!("{} {suite}", version.replace("TLSv1_", "TLSv1.")).into())
    }
}

impl World for Live {
    type Stream = HopStream;

    fn now(&self) -> Now {
        (self.clock)()
    }

    async fn sleep_until(&self, at: MonoMillis) {
        glommio::timer::sleep(at.since(self.now().mono)).await;
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        let state = self.chance.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.chance.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(task).detach();
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.in_time(self.resolver.addresses(host, || self.now().mono)).await
    }

    async fn mail_hosts(&self, domain: &str) -> Result<MailHosts, ResolveError> {
        self.in_time(self.resolver.mail_hosts(domain, || self.now().mono)).await
    }

    async fn mail_host_addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.in_time(self.resolver.mail_host_addresses(host, || self.now().mono)).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<HopStream> {
        self.sockets.connect(address).await.map(HopStream::Plain)
    }

    async fn start_tls(
        &self,
        stream: HopStream,
        host: &str,
        certificate: Certificate,
    ) -> io::Result<HopStream> {
        let HopStream::Plain(stream) = stream else {
            return Err(io::Error::other("already under TLS"));
        };
        let config = match certificate {
            Certificate::Any => &self.any,
            Certificate::Valid => &self.valid,
        };
        let name = match (ServerName::try_from(host.to_owned()), certificate) {
            (Ok(name), _) => name,
            // An address literal, or an underscore: no name to verify, and none is needed then.
            (Err(_), Certificate::Any) => {
                let peer = stream.peer().ok_or(io::ErrorKind::NotConnected)?;
                ServerName::IpAddress(peer.ip().into())
            }
            (Err(error), Certificate::Valid) => return Err(io::Error::other(error)),
        };
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        Ok(HopStream::Tls(Box::new(stream)))
    }

    async fn read_file(
        &self,
        file: Arc<LargeFile>,
        offset: u64,
        bytes: usize,
    ) -> io::Result<Vec<u8>> {
        let read = move || {
            let mut out = vec![0; bytes];
            let count = file.file.read_at(&mut out, offset)?;
            out.truncate(count);
            Ok(out)
        };
        glommio::executor().spawn_blocking(read).await
    }
}

/// The stores of a shard.
#[derive(Debug)]
pub struct Kept<D: Disk> {
    /// Queued mail.
    pub spool: SpoolStore<D>,
    /// Held mail.
    pub quarantine: Quarantine<D>,
    /// Mail log.
    pub log: MailLog<D>,
    /// For rows that say when they were written.
    pub clock: fn() -> Now,
}

impl<D: Disk> Clone for Kept<D> {
    fn clone(&self) -> Self {
        Self {
            spool: self.spool.clone(),
            quarantine: self.quarantine.clone(),
            log: self.log.clone(),
            clock: self.clock,
        }
    }
}

impl<D: Disk> Store for Kept<D> {
    async fn put(
        &self,
        mail: &QueuedMail,
        content: &Content,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        self.spool.put(mail, content, now).await
    }

    async fn load(&self, id: CopyId) -> Result<(QueuedMail, Content), SpoolError> {
        self.spool.load(id).await
    }

    fn settle(
        &self,
        id: CopyId,
        recipient: u16,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        self.spool.settle(id, recipient, outcome, now).map(drop)
    }

    fn defer(&self, id: CopyId, deferral: &Deferral, now: UnixMillis) -> Result<(), SpoolError> {
        self.spool.defer(id, deferral, now)
    }

    async fn hold(
        &self,
        held: &HeldMail,
        content: &Content,
        now: UnixMillis,
    ) -> Result<(), SpoolError> {
        match self.quarantine.hold(held, content, now).await {
            // Held before a crash that lost the note of it: it is where it shall be.
            Ok(_) | Err(SpoolError::AlreadyThere { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn log(&self, row: DeliveryRow) {
        self.log.write(&[to_row(row)], (self.clock)().unix);
    }

    async fn log_durable(&self, row: DeliveryRow) -> Result<(), SpoolError> {
        self.log.write_durable(&[to_row(row)], (self.clock)().unix).await
    }
}
