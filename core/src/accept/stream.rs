//! One client connection as a byte stream, in clear or under TLS. An idle one holds no read buffer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::io::{AsyncWrite as _, AsyncWriteExt as _};
use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use rustls::ServerConfig;

use crate::socket::{self, Socket};

/// A client connection.
pub enum Stream {
    /// In clear.
    Plain(Socket),
    /// Under TLS.
    Tls(Box<TlsStream<Socket>>),
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
    pub fn poll_read_with<T>(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        match self {
            Self::Plain(stream) => stream.poll_read_with(context, take),
            Self::Tls(stream) => socket::poll_read_with(&mut **stream, context, take),
            Self::Gone => Poll::Ready(Ok(take(&[]))),
        }
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
                let (peer, local) = (stream.peer()?, stream.local()?);
                Some((canonical(peer), canonical(local)))
            }
            Self::Tls(_) | Self::Gone => None,
        }
    }

    /// Writes all of `octets`; what is still to be written stays in the buffer. See [`Socket::write_all`].
    ///
    /// # Errors
    /// What the socket or TLS said.
    pub fn poll_write_all(
        &mut self,
        context: &mut Context<'_>,
        octets: &mut Vec<u8>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_all(context, octets),
            Self::Tls(stream) => {
                ready!(socket::poll_write_all(&mut **stream, context, octets))?;
                Pin::new(&mut **stream).poll_flush(context)
            }
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
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
