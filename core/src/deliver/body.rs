//! Sends a content: dots stuffed behind DATA, as it is behind BDAT. RFC 5321 section 4.5.2.
//!
//! The rope is never copied as a whole: pieces go through one buffer of `BUFFER_BYTES`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::client::Form;
use super::transport::{Stream, World, within};
use crate::clock::MonoMillis;
use crate::content::{Content, LargeFile, Piece};

/// Octets gathered before they are written.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Stuffs dots. The content has canonical line ends, so a line begins after a LF; the state
/// is that alone, whatever the cuts between the pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stuffer {
    at_line_start: bool,
}

impl Stuffer {
    pub(super) fn new() -> Self {
        Self { at_line_start: true }
    }

    /// Appends `octets` to `out` with a dot before each dot that begins a line.
    pub(super) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let Some(last) = octets.last() else { return };
        if self.at_line_start && octets.first() == Some(&b'.') {
            out.push(b'.');
        }
        let mut done = 0;
        for at in memchr::memmem::find_iter(octets, b"\n.") {
            // Up to and with the LF; the dot itself follows with the next stretch.
            out.extend_from_slice(octets.get(done..=at).unwrap_or_default());
            out.push(b'.');
            done = at + 1;
        }
        out.extend_from_slice(octets.get(done..).unwrap_or_default());
        self.at_line_start = *last == b'\n';
    }

    /// Appends the end of the content. One that does not end a line (it came by BDAT) gets its CR LF.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" });
    }
}

/// Why a content did not get out.
pub(super) enum Unsent {
    /// A write took longer than `patience`.
    TimedOut,
    /// The socket, or our own file.
    Io(io::Error),
}

/// How long writing may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// One write.
    pub write: Duration,
    /// All of them.
    pub until: MonoMillis,
}

/// Writes `content` behind what waits in `buffer` already (the BDAT command), all but its end, which is
/// left in `buffer` for [`write`]: from there on a failure counts as "unknown".
pub(super) async fn send<W: World>(
    world: &W,
    stream: &mut W::Stream,
    buffer: &mut Vec<u8>,
    (content, form): (&Content, Form),
    pace: Pace,
) -> Result<(), Unsent> {
    let mut stuffer = Stuffer::new();
    let mut push = |octets: &[u8], buffer: &mut Vec<u8>| match form {
        Form::Data => stuffer.push(octets, buffer),
        Form::Bdat => buffer.extend_from_slice(octets),
    };
    for piece in &content.pieces {
        let mut reader = PieceReader { piece, offset: 0 };
        loop {
            // Written before the next stretch, never after it: what is last has to wait.
            let stretch = reader.next(world).await.map_err(Unsent::Io)?;
            let Some(stretch) = stretch else { break };
            if buffer.len() + stretch.len() > BUFFER_BYTES && !buffer.is_empty() {
                write(world, stream, buffer, pace).await?;
            }
            push(&stretch, buffer);
        }
    }
    if form == Form::Data {
        stuffer.finish(buffer);
    }
    Ok(())
}

/// Writes and empties `buffer`.
pub(super) async fn write<W: World>(
    world: &W,
    stream: &mut W::Stream,
    buffer: &mut Vec<u8>,
    pace: Pace,
) -> Result<(), Unsent> {
    let deadline = world.now().mono.plus(pace.write).min(pace.until);
    match within(world, deadline, stream.write_all(buffer)).await {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Unsent::Io(error)),
        None => Err(Unsent::TimedOut),
    }
}

/// Gives out a piece in stretches of at most `BUFFER_BYTES`.
struct PieceReader<'c> {
    piece: &'c Piece,
    offset: u64,
}

impl<'c> PieceReader<'c> {
    async fn next(&mut self, world: &impl World) -> io::Result<Option<std::borrow::Cow<'c, [u8]>>> {
        let left = self.piece.bytes().saturating_sub(self.offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        let start = self.offset;
        self.offset += wanted as u64;
        match self.piece {
            Piece::Memory(octets) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                Ok(octets.get(start..start.saturating_add(wanted)).map(Into::into))
            }
            Piece::File { file, offset, .. } => {
                read_exactly(world, file, offset + start, wanted).await.map(|out| Some(out.into()))
            }
        }
    }
}

/// A file that became shorter is an error: the hop must never get half a mail as a whole one.
async fn read_exactly(
    world: &impl World,
    file: &Arc<LargeFile>,
    offset: u64,
    bytes: usize,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes);
    while out.len() < bytes {
        let at = offset + out.len() as u64;
        let part = world.read_file(Arc::clone(file), at, bytes - out.len()).await?;
        if part.is_empty() {
            let text = format!("{} ends at {at}", file.path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        out.extend_from_slice(&part);
    }
    Ok(out)
}
