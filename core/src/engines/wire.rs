//! A connection to a scanner on which every read and write ends at one deadline, and the octets of a mail in pieces.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::error::ScannerError;
use crate::config::ScannerAddress;
use crate::content::{Content, Piece};

/// Octets that are sent at a time.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of other programs, on threads beside the shards"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// One connection. Blocks, but never past its deadline: what is left of it is set before each call of the system, so
/// that a peer that sends an octet a second gains nothing.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    until: Instant,
}

impl Wire {
    pub(super) fn connect(address: &ScannerAddress, until: Instant) -> Result<Self, ScannerError> {
        let left = until.saturating_duration_since(now());
        if left.is_zero() {
            return Err(ScannerError::Late);
        }
        let connected = match address {
            ScannerAddress::Unix(path) => {
                Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
                    // A full backlog blocks the call; this is its time limit.
                    socket.set_write_timeout(Some(left))?;
                    socket.connect(&SockAddr::unix(path)?)?;
                    Ok(socket)
                })
            }
            ScannerAddress::Tcp(address) => {
                Socket::new(Domain::for_address(*address), Type::STREAM, None).and_then(|socket| {
                    socket.connect_timeout(&SockAddr::from(*address), left)?;
                    socket.set_tcp_nodelay(true)?;
                    Ok(socket)
                })
            }
        };
        let late = |kind| matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        match connected {
            Ok(socket) => Ok(Self { socket, until }),
            Err(error) if late(error.kind()) => Err(ScannerError::Late),
            Err(error) => Err(ScannerError::Connect(error)),
        }
    }

    /// The deadline of the next question on a connection that is kept.
    pub(super) fn set_until(&mut self, until: Instant) {
        self.until = until;
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(into)
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands the octets from `start` on to `take`, at most [`CHUNK_BYTES`] at a time.
pub(super) fn chunks(
    content: &Content,
    start: u64,
    take: &mut impl FnMut(&[u8]) -> Result<(), ScannerError>,
) -> Result<(), ScannerError> {
    let mut skip = start;
    let mut buffer = Vec::new();
    for piece in &content.pieces {
        let skipped = skip.min(piece.bytes());
        skip -= skipped;
        match piece {
            Piece::Memory(octets) => {
                let from = usize::try_from(skipped).unwrap_or(usize::MAX);
                let rest = octets.get(from..).unwrap_or_default();
                rest.chunks(CHUNK_BYTES).try_for_each(&mut *take)?;
            }
            Piece::File { file, offset, bytes } => {
                buffer.resize(CHUNK_BYTES, 0);
                let (mut at, end) = (offset + skipped, offset + bytes);
                while at < end {
                    let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                    let part = buffer.get_mut(..wanted).unwrap_or_default();
                    file.file.read_exact_at(part, at).map_err(ScannerError::Content)?;
                    take(part)?;
                    at += wanted as u64;
                }
            }
        }
    }
    Ok(())
}
