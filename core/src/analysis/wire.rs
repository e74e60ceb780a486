//! What crosses the socket between engine and worker: a length, JSON, and descriptors.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::{ANSWER_BYTES_MAX, Cleaning, now};
use crate::classify::Reading;
use crate::content::{Content, Piece};
use crate::scan::Examination;
use crate::scan::content::Expression;
use crate::stages::Spent;

/// Descriptors of one request.
const DESCRIPTORS_MAX: usize = 8;
/// Longest request: the pipeline bounds the expressions of a mail far below it.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One piece of the content: a range of a descriptor that comes with the request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) descriptor: usize,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// A request to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) ranges: Vec<Range>,
    pub(super) envelope_from: Option<Vec<u8>>,
    pub(super) cleaning: Cleaning,
    /// What the administrators of the recipients' domains look for: the expressions of each domain.
    #[serde(default)]
    pub(super) content: Vec<Vec<Expression>>,
    /// What the classifiers need that will be asked.
    pub(super) reading: Reading,
    /// Only in tests: what the worker shall do instead.
    #[cfg(test)]
    #[serde(default)]
    pub(super) misbehave: Option<String>,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The tables are mapped and the sandbox is closed.
    Ready,
    /// It cannot start or scan, and why.
    Failed(Box<str>),
    /// It looked, and what that took.
    Examined(Box<Examination>, Spent),
}

/// The descriptors of a content, and where its pieces are in them. Pieces in memory go into one
/// sealed memory file; pieces in files keep their file.
pub(super) fn lay_out(content: &Content) -> io::Result<(Vec<OwnedFd>, Vec<Range>)> {
    let mut memory =
        File::from(memfd_create("content", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    let (mut at, mut ranges, mut files) = (0_u64, Vec::new(), Vec::new());
    for piece in &content.pieces {
        match piece {
            Piece::Memory(octets) => {
                memory.write_all(octets)?;
                ranges.push(Range { descriptor: 0, offset: at, bytes: octets.len() as u64 });
                at += octets.len() as u64;
            }
            Piece::File { file, offset, bytes } => {
                files.push(file.file.try_clone()?.into());
                ranges.push(Range { descriptor: files.len(), offset: *offset, bytes: *bytes });
            }
        }
    }
    fcntl_add_seals(
        &memory,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    let mut descriptors = vec![OwnedFd::from(memory)];
    descriptors.append(&mut files);
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::other("content of too many files"));
    }
    Ok((descriptors, ranges))
}

/// Reads at most `bytes_max` octets of the content that `ranges` describe.
pub(super) fn gather(
    descriptors: Vec<OwnedFd>,
    ranges: &[Range],
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let files: Vec<File> = descriptors.into_iter().map(File::from).collect();
    let wanted: u64 = ranges.iter().map(|range| range.bytes).sum();
    let room = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes_max);
    let mut out = vec![0_u8; room];
    let mut filled = 0_usize;
    for range in ranges {
        let bytes = usize::try_from(range.bytes).unwrap_or(usize::MAX).min(room - filled);
        let (Some(file), Some(target)) =
            (files.get(range.descriptor), out.get_mut(filled..filled + bytes))
        else {
            return Err(io::Error::other("request without its descriptor"));
        };
        file.read_exact_at(target, range.offset)?;
        filled += bytes;
    }
    Ok(out)
}

/// Sends a request with its descriptors.
pub(super) fn send_request(
    socket: &UnixStream,
    request: &Request,
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let body = serde_json::to_vec(request)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::other("too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&*socket).write_all(&body)
}

/// Waits for a request. `None` when the engine has closed the socket.
pub(super) fn receive_request(socket: &UnixStream) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
    let mut length = [0_u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut length)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if let Some(rest) = length.get_mut(received.bytes..) {
        (&*socket).read_exact(rest)?;
    }
    let mut source = socket;
    let body = read_body(&mut source, length, REQUEST_BYTES_MAX)?;
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

/// Sends an answer.
pub(super) fn send_answer(mut socket: &UnixStream, answer: &Answer) -> io::Result<()> {
    let body = serde_json::to_vec(answer)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    socket.write_all(&length.to_le_bytes())?;
    socket.write_all(&body)
}

/// Waits for an answer, `until` then at most, whatever the number of reads that it comes in.
pub(super) fn receive_answer(socket: &UnixStream, until: Instant) -> io::Result<Answer> {
    let mut source = Until { socket, until };
    let mut length = [0_u8; 4];
    source.read_exact(&mut length)?;
    let body = read_body(&mut source, length, ANSWER_BYTES_MAX)?;
    Ok(serde_json::from_slice(&body)?)
}

/// A socket of which every read ends at one and the same time.
struct Until<'s> {
    socket: &'s UnixStream,
    until: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "deadline of the worker"));
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut socket = self.socket;
        socket.read(room)
    }
}

fn read_body(source: &mut impl Read, length: [u8; 4], bytes_max: usize) -> io::Result<Vec<u8>> {
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > bytes_max {
        return Err(io::Error::other(format!("{bytes} octets, {bytes_max} are allowed")));
    }
    let mut body = vec![0_u8; bytes];
    source.read_exact(&mut body)?;
    Ok(body)
}
