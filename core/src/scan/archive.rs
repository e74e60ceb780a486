//! Opens containers: every member becomes a part of the view, so that the same rules, hashes and
//! checks see it. Runs only in an analysis worker: what is read here may loop, stall or allocate.
//!
//! Read: ZIP and what is built on it (Office Open XML, OpenDocument, JAR), gzip, tar, compressed
//! streams of PDF, uuencode and base64 inside members. All else that holds other files is
//! `NotScanned`, never clean. Bounds are for the whole message, not for each container.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Cursor, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use memchr::memmem;

use super::zip;
use crate::message::{
    Exception, ExceptionKind, FileType, Part, PartOrigin, View, blocks_of, decode_charset,
};

/// Bounds on what one message may unfold to.
#[derive(Clone, Debug)]
pub struct ArchiveLimits {
    /// Containers inside each other; a plain ZIP has depth 1.
    pub depth_max: usize,
    /// Members of all containers together.
    pub members_max: usize,
    /// Octets of all members together.
    pub bytes_max: u64,
    /// Octets out for each octet in, for members above 8 MiB.
    pub ratio_max: u64,
}

/// Up to here the ratio does not count: empty pages of small documents compress well.
const RATIO_FREE_BYTES: u64 = 8 * 1024 * 1024;
/// Compressed streams of one PDF that are looked into.
const PDF_STREAMS_MAX: usize = 2_000;

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { depth_max: 5, members_max: 1_000, bytes_max: 256 * 1024 * 1024, ratio_max: 200 }
    }
}

/// What is left of the bounds, and what was found wrong.
#[derive(Debug)]
pub(super) struct Budget<'l> {
    limits: &'l ArchiveLimits,
    members: usize,
    bytes: u64,
    full: bool,
    pub(super) exceptions: Vec<Exception>,
}

/// A member on its way to become a part.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) octets: Vec<u8>,
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l ArchiveLimits) -> Self {
        Self { limits, members: 0, bytes: 0, full: false, exceptions: Vec::new() }
    }

    pub(super) fn note(&mut self, kind: ExceptionKind, place: &str, detail: impl Into<Box<str>>) {
        let exception = Exception { kind, place: place.into(), detail: detail.into() };
        if self.exceptions.len() < 100 && !self.exceptions.contains(&exception) {
            self.exceptions.push(exception);
        }
    }

    /// Room for one more member.
    pub(super) fn admits_member(&mut self, place: &str) -> bool {
        if self.members >= self.limits.members_max || self.full {
            let detail = format!("more than {} members", self.limits.members_max);
            self.note(ExceptionKind::LimitReached, place, detail);
            return false;
        }
        self.members += 1;
        true
    }

    /// Reads a member as far as the bounds go. What was read before an error is kept: a wrong check
    /// sum does not stop a client from opening it.
    pub(super) fn read(
        &mut self,
        source: &mut dyn Read,
        bytes_in: u64,
        place: &str,
    ) -> (Vec<u8>, bool) {
        let ratio_bytes = bytes_in.saturating_mul(self.limits.ratio_max).max(RATIO_FREE_BYTES);
        let room = self.limits.bytes_max.saturating_sub(self.bytes);
        let allowed = ratio_bytes.min(room);
        let mut out = Vec::new();
        let mut chunk = vec![0_u8; 64 * 1024];
        let mut whole = true;
        loop {
            match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => out.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    whole = false;
                    break;
                }
            }
            if out.len() as u64 > allowed {
                out.truncate(usize::try_from(allowed).unwrap_or(0));
                self.full |= allowed == room;
                let detail = if allowed == room {
                    format!("unfolds to more than {} octets", self.limits.bytes_max)
                } else {
                    format!("unfolds to more than {} times its size", self.limits.ratio_max)
                };
                self.note(ExceptionKind::LimitReached, place, detail);
                break;
            }
        }
        self.bytes = self.bytes.saturating_add(out.len() as u64);
        (out, whole)
    }
}

/// Opens every container of `view` and appends its members to the parts.
pub fn expand(view: &mut View<'_>, limits: &ArchiveLimits) {
    let mut budget = Budget::new(limits);
    let mut todo: VecDeque<(usize, usize)> = (0..view.parts.len()).map(|at| (at, 0)).collect();
    while let Some((at, depth)) = todo.pop_front() {
        let Some(part) = view.parts.get(at) else { break };
        let members = open(part, depth, &mut budget);
        let path = part.path.clone();
        for member in members {
            let name = display_name(&member.name);
            let place = child_place(&path, &name, view.parts.len());
            let octets = Cow::Owned(member.octets);
            todo.push_back((view.parts.len(), depth + 1));
            view.parts.push(Part::of_octets(place, PartOrigin::Member, &name, octets));
        }
    }
    view.exceptions.append(&mut budget.exceptions);
}

/// The members of one part; empty where it holds none or must not be opened.
fn open(part: &Part<'_>, depth: usize, budget: &mut Budget<'_>) -> Vec<Member> {
    let kind = part.file_type();
    let octets: &[u8] = &part.decoded;
    let place: &str = &part.path;
    if kind.is_unread_container() && kind != FileType::Pdf {
        unread(kind, octets, place, budget);
        return Vec::new();
    }
    let holds = kind.is_zip() || matches!(kind, FileType::Gzip | FileType::Tar | FileType::Pdf);
    if holds && depth >= budget.limits.depth_max {
        let detail = format!("nested deeper than {}", budget.limits.depth_max);
        budget.note(ExceptionKind::LimitReached, place, detail);
        return Vec::new();
    }
    match kind {
        FileType::Gzip => gzip(octets, place, budget),
        FileType::Tar => tar(octets, place, budget),
        FileType::Pdf => pdf(octets, place, budget),
        _ if kind.is_zip() => zip::members(octets, place, budget),
        FileType::Text if part.origin == PartOrigin::Member && depth <= budget.limits.depth_max => {
            encoded(octets, place, budget)
        }
        _ => Vec::new(),
    }
}

/// Says of a container that is not opened whether it is so by its owner's wish or by our limits.
fn unread(kind: FileType, octets: &[u8], place: &str, budget: &mut Budget<'_>) {
    // An encrypted Office document is an OLE file with a stream of this name, in UTF-16.
    const ENCRYPTED_PACKAGE: &[u8] = b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0";
    let encrypted = match kind {
        FileType::Ole => memmem::find(octets, ENCRYPTED_PACKAGE).is_some(),
        FileType::SevenZip => seven_zip_encrypted(octets),
        FileType::Rar => rar_encrypted(octets),
        _ => false,
    };
    if encrypted {
        budget.note(ExceptionKind::Encrypted, place, "password-protected");
    } else {
        budget.note(ExceptionKind::NotScanned, place, format!("{kind:?} is not read here"));
    }
}

/// The coder id of AES in a 7z header, where that is not packed; packed headers are not read.
fn seven_zip_encrypted(octets: &[u8]) -> bool {
    let tail = octets.len().saturating_sub(64 * 1024);
    octets.get(tail..).is_some_and(|tail| memmem::find(tail, b"\x06\xF1\x07\x01").is_some())
}

/// The encryption marks of the first headers of RAR 4 and 5.
fn rar_encrypted(octets: &[u8]) -> bool {
    match octets {
        // RAR 5: the first header's type is 4 (archive encryption).
        [b'R', b'a', b'r', b'!', 0x1A, 0x07, 0x01, 0x00, _, _, _, _, _, 4, ..] => true,
        // RAR 4: main header flag 0x80 (headers encrypted), then file header flag 0x04.
        [b'R', b'a', b'r', b'!', 0x1A, 0x07, 0x00, _, _, 0x73, low, ..] => {
            low & 0x80 != 0
                || octets.get(22) == Some(&0x74) && octets.get(23).is_some_and(|f| f & 4 != 0)
        }
        _ => false,
    }
}

fn gzip(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    if !budget.admits_member(place) {
        return Vec::new();
    }
    let mut decoder = MultiGzDecoder::new(octets);
    let (content, whole) = budget.read(&mut decoder, octets.len() as u64, place);
    if !whole {
        budget.note(ExceptionKind::Malformed, place, "gzip data that cannot be read to its end");
    }
    let name = decoder.header().and_then(|header| header.filename()).unwrap_or_default().to_vec();
    vec![Member { name, octets: content }]
}

fn tar(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let mut archive = tar::Archive::new(Cursor::new(octets));
    let Ok(entries) = archive.entries() else {
        budget.note(ExceptionKind::Malformed, place, "tar that cannot be read");
        return out;
    };
    for entry in entries {
        let Ok(mut entry) = entry else {
            budget.note(ExceptionKind::Malformed, place, "tar member that cannot be read");
            break;
        };
        if !budget.admits_member(place) {
            break;
        }
        let name = entry.path_bytes().into_owned();
        let bytes_in = entry.size().min(octets.len() as u64);
        let (content, whole) = budget.read(&mut entry, bytes_in, place);
        if !whole {
            budget.note(ExceptionKind::Malformed, place, "tar member that ends early");
        }
        if !content.is_empty() {
            out.push(Member { name, octets: content });
        }
    }
    out
}

/// Inflates whatever follows `stream` in a PDF. Names and cross references are not believed: files
/// made for an attack are broken on purpose.
fn pdf(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    if memmem::find(octets, b"/Encrypt").is_some() {
        budget.note(ExceptionKind::Encrypted, place, "encrypted PDF");
        return Vec::new();
    }
    let mut out = Vec::new();
    for (count, at) in memmem::find_iter(octets, b"stream").enumerate() {
        if octets.get(..at).is_some_and(|before| before.ends_with(b"end")) {
            continue;
        }
        if count >= PDF_STREAMS_MAX * 2 {
            budget.note(ExceptionKind::LimitReached, place, "too many streams in a PDF");
            break;
        }
        let rest = octets.get(at + 6..).unwrap_or_default();
        let data = rest.strip_prefix(b"\r").unwrap_or(rest);
        let data = data.strip_prefix(b"\n").unwrap_or(data);
        // The two octets of a zlib header: method 8, check sum divisible by 31.
        let [method, check, ..] = data else { continue };
        if method & 0x0F != 8 || !(u32::from(*method) * 256 + u32::from(*check)).is_multiple_of(31)
        {
            continue;
        }
        let (content, _) = budget.read(&mut ZlibDecoder::new(data), data.len() as u64, place);
        // Drawing instructions are no files: only what looks like one becomes a member.
        if !content.is_empty() && holds_file(&content) {
            if !budget.admits_member(place) {
                break;
            }
            out.push(Member { name: b"stream".to_vec(), octets: content });
        }
    }
    out
}

/// Content of a PDF stream that is worth a part of its own.
fn holds_file(content: &[u8]) -> bool {
    let kind = crate::message::detect(content);
    kind.is_container() || kind.is_program() || matches!(kind, FileType::Text | FileType::Html)
}

fn encoded(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    for (name, octets) in blocks_of(octets) {
        if !budget.admits_member(place) {
            break;
        }
        out.push(Member { name: name.into_bytes(), octets });
    }
    out
}

/// A member's name for display: UTF-8 by guess, no control characters, last 200 characters.
fn display_name(name: &[u8]) -> String {
    let text = decode_charset(name, "").text;
    let clean: Vec<char> = text.chars().filter(|c| !c.is_control()).collect();
    clean.iter().skip(clean.len().saturating_sub(200)).collect()
}

fn child_place(parent: &str, name: &str, index: usize) -> Box<str> {
    let parent: String = parent.chars().take(200).collect();
    if name.is_empty() {
        format!("{parent}/{index}").into()
    } else {
        format!("{parent}/{name}").into()
    }
}

/// Fuzz entry: any octets, taken as an attachment, unfold within the bounds.
///
/// # Panics
/// When a bound does not hold.
pub fn fuzz_zip(octets: &[u8]) {
    let limits =
        ArchiveLimits { members_max: 50, bytes_max: 4 * 1024 * 1024, ..Default::default() };
    let mut view = View::build(b"A: b\r\n\r\n", &crate::message::ViewLimits::shard());
    let before = view.parts.len();
    let owned = Cow::Owned(octets.to_vec());
    view.parts.push(Part::of_octets("9".into(), PartOrigin::Mime, "a.zip", owned));
    expand(&mut view, &limits);
    assert!(view.parts.len() <= before + 1 + limits.members_max, "more members than allowed");
    let bytes: u64 = view.parts.iter().skip(before + 1).map(|part| part.decoded.len() as u64).sum();
    assert!(bytes <= 2 * limits.bytes_max, "more octets than allowed");
}
