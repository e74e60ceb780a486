//! One client connection as a byte stream, in clear or under TLS.
//!
//! Reading borrows a buffer that all connections of the shard share: glommio's unbuffered streams
//! fill it only while they are polled, so an idle connection holds none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_lite::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use glommio::net::TcpStream;
use rustls::ServerConfig;

thread_local! {
    /// The read buffer of this shard.
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// A client connection.
pub enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Lost in a failed handshake.
    Gone,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Stream::Plain",
            Self::Tls(_) => "Stream::Tls",
            Self::Gone => "Stream::Gone",
        })
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Stream {
    /// Reads what is there and hands it to `take`; 0 octets mean that the peer closed.
    ///
    /// # Errors
    /// What the socket or TLS said.
    pub async fn read_with<T>(&mut self, mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
        poll_fn(|context| {
            SHARED.with_borrow_mut(|buffer| {
                let read = match self {
                    Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
                    Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
                    Self::Gone => Poll::Ready(Ok(0)),
                };
                match read {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(count)) => {
                        Poll::Ready(Ok(take(buffer.get(..count).unwrap_or_default())))
                    }
                }
            })
        })
        .await
    }

    /// Fills `buffer` from a connection in clear, and reads not one octet more: what follows may be
    /// a TLS handshake.
    ///
    /// # Errors
    /// What the socket said; `UnexpectedEof` if the peer closed.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.read_exact(buffer).await,
            Self::Tls(_) | Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Addresses of the peer and of our side, in canonical form: a listener on `[::]` sees clients
    /// with IPv4 as `::ffff:192.0.2.1`. Taken as it is, the whole of IPv4 is one network of admission
    /// (a /64), and no list of addresses ever finds its entry.
    #[must_use]
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Plain(stream) => {
                let (peer, local) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
                Some((canonical(peer), canonical(local)))
            }
            Self::Tls(_) | Self::Gone => None,
        }
    }

    /// Writes all of `octets`.
    ///
    /// # Errors
    /// What the socket or TLS said.
    pub async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(octets).await,
            Self::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Answers a TLS handshake on a connection in clear. Octets that came in clear after STARTTLS
    /// are the session's to drop; none are read here before the handshake.
    ///
    /// # Errors
    /// What the handshake said; the connection is lost.
    pub async fn upgrade(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        match std::mem::replace(self, Self::Gone) {
            Self::Plain(stream) => {
                let stream = TlsAcceptor::from(config).accept(stream).await?;
                *self = Self::Tls(Box::new(stream));
                Ok(())
            }
            Self::Tls(_) | Self::Gone => Err(io::Error::other("not a connection in clear")),
        }
    }

    /// Protocol version and cipher suite; nothing in clear.
    #[must_use]
    pub fn tls_text(&self) -> Option<Box<str>> {
        let Self::Tls(stream) = self else { return None };
        let (_, connection) = stream.get_ref();
        let version = connection.protocol_version()?.as_str()?;
        let suite = connection.negotiated_cipher_suite()?.suite().as_str()?;
        // rustls spells `TLS13_AES_...`; everybody else, and the registry, `TLS_AES_...`.
        let suite = suite.replace("TLS13_", "TLS_");
        Some(format!("{} {suite}", version.replace("TLSv1_", "TLSv1.")).into())
    }

    /// Says goodbye (close_notify, FIN). Errors do not matter any more.
    pub async fn close(&mut self) {
        let _ = match self {
            Self::Plain(stream) => stream.close().await,
            Self::Tls(stream) => stream.close().await,
            Self::Gone => Ok(()),
        };
    }
}
