//! clamd's protocol (clamd(8)): commands and replies end with NUL; a mail goes as `INSTREAM`, chunks with their lengths
//! before them, and one of length 0 at the end. A connection for each mail, as clamd closes it after the reply.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use super::error::ScannerError;
use super::report::{Answer, name};
use super::wire::{Wire, chunks};
use crate::config::ScannerAddress;
use crate::content::Content;

/// A longer reply is not clamd's.
const REPLY_BYTES_MAX: usize = 4096;

/// Has `content` looked at.
pub(super) fn scan(
    address: &ScannerAddress,
    content: &Content,
    until: Instant,
) -> Result<Answer, ScannerError> {
    let mut wire = Wire::connect(address, until)?;
    let sent = send(&mut wire, content);
    if let Err(error @ (ScannerError::Content(_) | ScannerError::Late)) = sent {
        return Err(error);
    }
    // Where it takes no more, it says why before it closes: that is the answer, not the failed write.
    match (reply(&mut wire), sent) {
        (Ok(text), _) if !text.is_empty() => understood(&text),
        (_, Err(error)) | (Err(error), _) => Err(error),
        (Ok(_), Ok(())) => Err(ScannerError::protocol("an empty reply")),
    }
}

fn send(wire: &mut Wire, content: &Content) -> Result<(), ScannerError> {
    wire.write_all(b"zINSTREAM\0").map_err(ScannerError::of_wire)?;
    chunks(content, 0, &mut |chunk| {
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes();
        wire.write_all(&length).and_then(|()| wire.write_all(chunk)).map_err(ScannerError::of_wire)
    })?;
    wire.write_all(&[0; 4]).map_err(ScannerError::of_wire)
}

/// What it says until NUL or its end.
fn reply(wire: &mut Wire) -> Result<Vec<u8>, ScannerError> {
    let mut text = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let read = wire.read(&mut buffer).map_err(ScannerError::of_wire)?;
        let part = buffer.get(..read).unwrap_or_default();
        let end = memchr::memchr(0, part);
        text.extend_from_slice(part.get(..end.unwrap_or(read)).unwrap_or_default());
        if read == 0 && text.is_empty() {
            let end = std::io::ErrorKind::UnexpectedEof;
            return Err(ScannerError::Closed(end.into()));
        }
        if end.is_some() || read == 0 {
            return Ok(text);
        }
        if text.len() > REPLY_BYTES_MAX {
            return Err(ScannerError::protocol("a reply without an end"));
        }
    }
}

/// `stream: OK`, `stream: NAME FOUND`, `TEXT ERROR`.
pub(super) fn understood(reply: &[u8]) -> Result<Answer, ScannerError> {
    let reply = reply.trim_ascii();
    if let Some(text) = reply.strip_suffix(b"ERROR") {
        let limit = memchr::memmem::find(text, b"size limit exceeded").is_some();
        return if limit { Ok(Answer::TooLarge) } else { Err(ScannerError::Refused(name(text))) };
    }
    let said = reply.strip_prefix(b"stream:").map(<[u8]>::trim_ascii);
    match said {
        Some(b"OK") => Ok(Answer::Clean),
        Some(said) => match said.strip_suffix(b"FOUND") {
            Some(found) => Ok(Answer::Found(name(without_digest(found.trim_ascii())))),
            None => Err(ScannerError::protocol(format!("`{}`", name(said)))),
        },
        None => Err(ScannerError::protocol(format!("`{}`", name(reply)))),
    }
}

/// `NAME(44d88612fea8a8f36de82e1278abb02f:68)` where clamd is set to `ExtendedDetectionInfo`.
fn without_digest(found: &[u8]) -> &[u8] {
    let Some(open) = memchr::memrchr(b'(', found) else { return found };
    let (plain, rest) = found.split_at_checked(open).unwrap_or((found, b""));
    let inner = rest.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")"));
    let is_digest = inner.is_some_and(|inner| {
        let mut halves = inner.splitn(2, |octet| *octet == b':');
        let digest = halves.next().unwrap_or_default();
        let size = halves.next().unwrap_or_default();
        digest.len() >= 32
            && digest.iter().all(u8::is_ascii_hexdigit)
            && size.iter().all(u8::is_ascii_digit)
    });
    if is_digest { plain } else { found }
}

/// What it calls itself: engine, signatures and their date.
pub(super) fn version(address: &ScannerAddress, until: Instant) -> Result<Box<str>, ScannerError> {
    let mut wire = Wire::connect(address, until)?;
    wire.write_all(b"zVERSION\0").map_err(ScannerError::of_wire)?;
    Ok(name(&reply(&mut wire)?))
}
