//! The shard's TCP: over a ring of our own where the kernel has what it needs, else over glommio's streams.
//!
//! The ring costs less CPU and no buffer for an idle connection (docs/decisions/0086); the streams do the same work
//! on older kernels. Which of the two is in force is found out once, at the start, and said in `status`.

mod arrivals;
mod kernel;
mod ring;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::future::poll_once;
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _};
use glommio::net::{TcpListener, TcpStream};
use socket2::{Domain, Type};

pub use ring::{RingArrival, RingListener, RingSocket, SocketRing};

/// Connections that wait to be accepted; the kernel's `somaxconn` bounds it, too.
const BACKLOG: i32 = 4096;

thread_local! {
    /// The read buffer of this shard: filled only while a stream is polled, so that an idle one holds none.
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// Where a shard's sockets come from. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Sockets {
    /// Our own ring.
    Ring(SocketRing),
    /// glommio's streams.
    Streams,
}

impl Sockets {
    /// Listens at `address`, beside the other shards.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Connections of the process before that are not quite over must not keep the port.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        // Connections inherit it. Replies are small and waited for.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(match self {
            Self::Ring(ring) => Listener::Ring(ring.listen(socket.into())),
            Self::Streams => Listener::Streams(kernel::glommio_listener(socket)),
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// What the kernel said.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        match self {
            Self::Ring(ring) => ring.connect(address).await.map(Socket::Ring),
            Self::Streams => {
                let stream = TcpStream::connect(address).await?;
                // Commands are small and the answer is waited for: Nagle would add 40 ms to each mail.
                stream.set_nodelay(true)?;
                Ok(Socket::Stream(Box::new(stream)))
            }
        }
    }
}

/// A listening socket.
pub enum Listener {
    /// Of the ring.
    Ring(RingListener),
    /// Of glommio.
    Streams(TcpListener),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring(_) => "Listener::Ring",
            Self::Streams(_) => "Listener::Streams",
        })
    }
}

impl Listener {
    /// The next connection.
    ///
    /// # Errors
    /// What the kernel said: most often that no descriptor is left.
    pub async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Ring(listener) => listener.accept().await.map(Arrival::Ring),
            Self::Streams(listener) => Ok(Arrival::Stream(listener.accept().await?)),
        }
    }
}

/// A connection that was accepted and is not served yet.
#[derive(Debug)]
pub enum Arrival {
    /// Of the ring.
    Ring(RingArrival),
    /// Of glommio.
    Stream(TcpStream),
}

impl Arrival {
    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Ring(arrival) => arrival.peer(),
            Self::Stream(stream) => stream.peer_addr().ok(),
        }
    }

    /// Says `line` if the socket takes it at once, and closes.
    pub async fn refuse(self, line: &[u8]) {
        match self {
            Self::Ring(arrival) => arrival.refuse(line),
            Self::Stream(mut stream) => {
                // A new connection takes one line at once; whose does not is not waited for.
                let _ = poll_once(stream.write_all(line)).await;
            }
        }
    }

    /// Serves it.
    #[must_use]
    pub fn welcome(self) -> Socket {
        match self {
            Self::Ring(arrival) => Socket::Ring(arrival.welcome()),
            Self::Stream(stream) => Socket::Stream(Box::new(stream)),
        }
    }
}

/// A connection in clear.
pub enum Socket {
    /// Of the ring.
    Ring(RingSocket),
    /// Of glommio. Boxed: it is seven times as large as the other.
    Stream(Box<TcpStream>),
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring(_) => "Socket::Ring",
            Self::Stream(_) => "Socket::Stream",
        })
    }
}

impl Socket {
    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Ring(socket) => socket.peer(),
            Self::Stream(stream) => stream.peer_addr().ok(),
        }
    }

    /// Our end; of connections that were accepted.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Ring(socket) => socket.local(),
            Self::Stream(stream) => stream.local_addr().ok(),
        }
    }

    /// Open, with nothing to be read.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::Ring(socket) => socket.is_quiet(),
            Self::Stream(stream) => {
                let mut octet = [0];
                let mut peek = std::pin::pin!(stream.peek(&mut octet));
                let mut context = Context::from_waker(std::task::Waker::noop());
                peek.as_mut().poll(&mut context).is_pending()
            }
        }
    }

    /// Reads what is there and hands it to `take`, which must not use a socket; no octets mean that the peer closed.
    ///
    /// # Errors
    /// What the socket said.
    pub async fn read_with<T>(&mut self, mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
        poll_fn(|context| self.poll_read_with(context, &mut take)).await
    }

    /// [`Self::read_with`], without a future that would have to be kept.
    ///
    /// # Errors
    /// What the socket said.
    pub fn poll_read_with<T>(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        match self {
            Self::Ring(socket) => socket.poll_read_with(context, usize::MAX, take),
            Self::Stream(stream) => poll_read_with(&mut **stream, context, take),
        }
    }

    /// Fills `buffer` and reads not one octet more.
    ///
    /// # Errors
    /// What the socket said; `UnexpectedEof` if the peer closed.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        AsyncReadExt::read_exact(self, buffer).await
    }

    /// Writes all of `octets` and leaves the buffer empty. Returns when they are on their way: up to 64 KiB may wait
    /// for the peer in our memory besides those in the kernel's, and an error may be told by what is done next.
    ///
    /// # Errors
    /// What the socket said.
    pub async fn write_all(&mut self, octets: &mut Vec<u8>) -> io::Result<()> {
        poll_fn(|context| self.poll_write_all(context, octets)).await
    }

    /// [`Self::write_all`], without a future that would have to be kept: what is still to be written stays in `octets`.
    ///
    /// # Errors
    /// What the socket said.
    pub fn poll_write_all(
        &mut self,
        context: &mut Context<'_>,
        octets: &mut Vec<u8>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Ring(socket) => socket.poll_write_all(context, octets),
            Self::Stream(stream) => poll_write_all(&mut **stream, context, octets),
        }
    }
}

/// [`Socket::read_with`] for whatever is a stream of octets: TLS over a socket.
///
/// # Errors
/// What the stream said.
pub async fn read_with<T>(
    stream: &mut (impl AsyncRead + Unpin),
    mut take: impl FnMut(&[u8]) -> T,
) -> io::Result<T> {
    poll_fn(|context| poll_read_with(stream, context, &mut take)).await
}

/// [`read_with`], without a future that would have to be kept.
///
/// # Errors
/// What the stream said.
pub fn poll_read_with<T>(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    SHARED.with_borrow_mut(|buffer| {
        let read = std::task::ready!(Pin::new(stream).poll_read(context, buffer));
        Poll::Ready(read.map(|count| take(buffer.get(..count).unwrap_or_default())))
    })
}

/// Writes `octets` to whatever is a stream of them, and leaves those that are still to be written.
///
/// # Errors
/// What the stream said.
pub fn poll_write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    context: &mut Context<'_>,
    octets: &mut Vec<u8>,
) -> Poll<io::Result<()>> {
    while !octets.is_empty() {
        match std::task::ready!(Pin::new(&mut *stream).poll_write(context, octets)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => drop(octets.drain(..count.min(octets.len()))),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Ring(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Stream(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Ring(socket) => Pin::new(socket).poll_write(context, buffer),
            Self::Stream(stream) => Pin::new(&mut **stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Ring(socket) => Pin::new(socket).poll_flush(context),
            Self::Stream(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Ring(socket) => Pin::new(socket).poll_close(context),
            Self::Stream(stream) => Pin::new(&mut **stream).poll_close(context),
        }
    }
}
