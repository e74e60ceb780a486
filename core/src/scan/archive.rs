//! Opens containers: every member becomes a part of the view, so that the same rules, hashes and
//! checks see it. Runs only in an analysis worker: what is read here may loop, stall or allocate.
//!
//! Read: ZIP and what is built on it (Office Open XML, OpenDocument, JAR), 7z, tar, cpio, cabinets, LZH, ISO 9660, TNEF, gzip,
//! bzip2, xz, zstd, lzip, LZMA, stored members of RAR and ARJ, streams of PDF, mails inside members, uuencode and base64
//! inside members, compound files with `.msg` and VBA (`ole`), RTF, files inside of OneNote. All else that holds other files
//! is `NotScanned`, never clean. Bounds are for the whole message, not for each container.
//!
//! A file may be several things at once: a ZIP is read from its end, so a PDF, a program, a picture or
//! a RAR may be in front of it, and which one a client opens is decided by its name. All are read.

mod arj;
mod cab;
mod cpio;
mod iso;
mod lzh;
mod mapi;
mod onenote;
mod rar;
mod seven_zip;
mod streams;
mod tnef;
mod udf;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use memchr::memmem;

use super::passwords::Passwords;
use super::{active, ole, pdf, zip};
use crate::message::{
    Active, Exception, ExceptionKind, FileType, Limit, Part, PartOrigin, Unread, View, ViewLimits,
    blocks_of, decode_charset, detect, entities_of, holds_unread, mail_start, zip_end,
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
    /// Whether words of the message's own text are tried as passwords of what is protected in it.
    pub passwords_from_text: bool,
}

/// Up to here the ratio does not count: empty pages of small documents compress well.
const RATIO_FREE_BYTES: u64 = 8 * 1024 * 1024;
/// Compressed octets that are read for each octet of their container, before it counts as a trick:
/// headers that overlap let the same data be unpacked again and again.
const INPUT_RATIO_MAX: u64 = 16;
/// Up to here that does not count.
const INPUT_FREE_BYTES: u64 = 64 * 1024 * 1024;

/// Pages that are read for their links.
const PAGES_MAX: usize = 100;
/// Octets of a page that is read for its links.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Links of documents that are kept.
const LINKS_MAX: usize = 2_000;

/// Memory that a decoder may ask for, in KiB: dictionaries are as large as the sender likes.
pub(super) const MEMORY_KIB_MAX: u32 = 128 * 1024;

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            depth_max: 5,
            members_max: 1_000,
            bytes_max: 256 * 1024 * 1024,
            ratio_max: 200,
            passwords_from_text: true,
        }
    }
}

/// What is left of the bounds, and what was found wrong.
#[derive(Debug)]
pub(super) struct Budget<'l> {
    limits: &'l ArchiveLimits,
    members: usize,
    bytes: u64,
    input: u64,
    full: bool,
    pub(super) exceptions: Vec<Exception>,
    /// What acts when it is opened.
    active: Vec<Active>,
    /// Addresses that documents lead to.
    links: Vec<Box<str>>,
    /// Pages that may still be read for their links.
    pages: usize,
    pub(super) passwords: Passwords,
}

/// A member on its way to become a part.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) octets: Vec<u8>,
    /// Another name that it may have once it is unpacked; empty where there is none.
    pub(super) other_name: Vec<u8>,
    /// What its container says of it where it is not unpacked.
    unread: Option<Unread>,
    /// What it says is in a member of its own.
    told: bool,
    /// It is no file: what a document says.
    text: bool,
}

impl Member {
    pub(super) fn new(name: Vec<u8>, octets: Vec<u8>) -> Self {
        Self { name, octets, other_name: Vec::new(), unread: None, told: false, text: false }
    }

    /// Instructions that draw text, which is in a member of its own.
    pub(super) fn drawing(name: Vec<u8>, octets: Vec<u8>) -> Self {
        Self { told: true, ..Self::new(name, octets) }
    }

    /// One that is not unpacked: its name and size are worth a look all the same.
    pub(super) fn unread(name: Vec<u8>, bytes: u64, encrypted: bool) -> Self {
        Self { unread: Some(Unread { bytes, encrypted }), ..Self::new(name, Vec::new()) }
    }
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l ArchiveLimits) -> Self {
        Self {
            limits,
            members: 0,
            bytes: 0,
            input: 0,
            full: false,
            exceptions: Vec::new(),
            active: Vec::new(),
            links: Vec::new(),
            pages: PAGES_MAX,
            passwords: Passwords::off(),
        }
    }

    /// Notes what acts when `place` is opened; each check once for a place.
    pub(super) fn mark(&mut self, rule: &'static str, place: &str, detail: impl Into<Box<str>>) {
        active::note(&mut self.active, rule, place, detail);
    }

    /// Keeps an address that a document leads to.
    pub(super) fn link(&mut self, link: &str) {
        if self.links.len() < LINKS_MAX && !link.is_empty() {
            self.links.push(link.chars().take(4096).collect::<String>().into());
        }
    }

    /// Does what may turn out to be wrong, as with a wrong password: `None`, and what it took of the bounds
    /// comes back.
    pub(super) fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (members, bytes, full) = (self.members, self.bytes, self.full);
        let exceptions = self.exceptions.len();
        let done = work(self);
        if done.is_none() {
            (self.members, self.bytes, self.full) = (members, bytes, full);
            self.exceptions.truncate(exceptions);
        }
        done
    }

    pub(super) fn note(&mut self, kind: ExceptionKind, place: &str, detail: impl Into<Box<str>>) {
        let exception = Exception { kind, place: place.into(), detail: detail.into() };
        if self.exceptions.len() < 100 && !self.exceptions.contains(&exception) {
            self.exceptions.push(exception);
        }
    }

    /// Notes a bound that was met.
    pub(super) fn limit(&mut self, limit: Limit, place: &str, detail: impl Into<Box<str>>) {
        self.note(ExceptionKind::LimitReached(limit), place, detail);
    }

    /// Whether compressed data of a container of `bytes` octets may still be read.
    pub(super) fn admits_input(&mut self, bytes: usize, place: &str) -> bool {
        let most = (bytes as u64).saturating_mul(INPUT_RATIO_MAX).max(INPUT_FREE_BYTES);
        if self.input <= most {
            return true;
        }
        self.limit(Limit::Work, place, "the same data unpacked again and again");
        false
    }

    /// Counts compressed octets that were read.
    pub(super) fn used_input(&mut self, bytes: u64) {
        self.input = self.input.saturating_add(bytes);
    }

    /// Room for one more member.
    pub(super) fn admits_member(&mut self, place: &str) -> bool {
        if self.full {
            let detail = format!("unfolds to more than {} octets", self.limits.bytes_max);
            self.limit(Limit::Bytes, place, detail);
            return false;
        }
        if self.members >= self.limits.members_max {
            let detail = format!("more than {} members", self.limits.members_max);
            self.limit(Limit::Entries, place, detail);
            return false;
        }
        self.members += 1;
        true
    }

    /// Whether one more member fits, without counting it.
    pub(super) fn has_room(&self) -> bool {
        self.members < self.limits.members_max && !self.full
    }

    /// Whether nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// What a document says, as a member for rules about words; it is no file that anybody could save.
    pub(super) fn text(&mut self, text: String, place: &str) -> Option<Member> {
        if text.trim().is_empty() || !self.admits_member(place) {
            return None;
        }
        self.unpacked(text.len());
        if self.bytes > self.limits.bytes_max {
            self.full = true;
            let detail = format!("unfolds to more than {} octets", self.limits.bytes_max);
            self.limit(Limit::Bytes, place, detail);
            return None;
        }
        Some(Member { text: true, ..Member::new(b"text".to_vec(), text.into_bytes()) })
    }

    /// Counts octets that were made otherwise than by [`Self::read`].
    pub(super) fn unpacked(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
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
                Err(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
                    self.limit(Limit::Memory, place, "a decoder asks for too much memory");
                    break;
                }
                Err(_) => {
                    whole = false;
                    break;
                }
            }
            if out.len() as u64 > allowed {
                out.truncate(usize::try_from(allowed).unwrap_or(0));
                self.full |= allowed == room;
                let (limit, detail) = if allowed == room {
                    let most = self.limits.bytes_max;
                    (Limit::Bytes, format!("unfolds to more than {most} octets"))
                } else {
                    let most = self.limits.ratio_max;
                    (Limit::Ratio, format!("unfolds to more than {most} times its size"))
                };
                self.limit(limit, place, detail);
                break;
            }
        }
        self.bytes = self.bytes.saturating_add(out.len() as u64);
        (out, whole)
    }
}

/// What acts and where it leads, so far: for fuzzing.
pub(super) fn found(budget: &Budget<'_>) -> usize {
    budget.active.len() + budget.links.len()
}

/// Opens every container of `view` and appends its members to the parts.
pub fn expand(view: &mut View<'_>, limits: &ArchiveLimits) {
    let mut budget = Budget::new(limits);
    if limits.passwords_from_text && view.parts.iter().any(Part::is_container) {
        budget.passwords = Passwords::of(view);
    }
    let mut todo: VecDeque<(usize, usize)> = (0..view.parts.len()).map(|at| (at, 0)).collect();
    while let Some((at, depth)) = todo.pop_front() {
        let Some(part) = view.parts.get(at) else { break };
        let members = open(part, depth, &mut budget);
        let (path, span) = (part.path.clone(), part.span);
        for member in members {
            let name = display_name(&member.name);
            let place = child_place(&path, &name, view.parts.len());
            let octets = Cow::Owned(member.octets);
            todo.push_back((view.parts.len(), depth + 1));
            let mut made = Part::of_octets(place, PartOrigin::Member, &name, octets);
            (made.span, made.unread, made.told) = (span, member.unread, member.told);
            let other_name: Box<str> = display_name(&member.other_name).into();
            if !other_name.is_empty() && !made.file_names.contains(&other_name) {
                made.file_names.push(other_name);
            }
            if member.text {
                made.attachment = false;
                made.file_names.clear();
            }
            view.parts.push(made);
        }
    }
    view.exceptions.append(&mut budget.exceptions);
    view.active.append(&mut budget.active);
    view.links.append(&mut budget.links);
}

/// The members of one part; empty where it holds none or must not be opened.
fn open(part: &Part<'_>, depth: usize, budget: &mut Budget<'_>) -> Vec<Member> {
    let kind = part.file_type();
    let octets: &[u8] = &part.decoded;
    let place: &str = &part.path;
    if kind.is_unread_container() {
        budget.note(ExceptionKind::NotScanned, place, format!("{kind:?} is not read here"));
    }
    let end = zip_end(octets);
    let member = part.origin == PartOrigin::Member;
    // What was decoded out of a text is opened here as well, unless that was done where it was found.
    let inner = part.origin != PartOrigin::Mime && !part.is_opened();
    let behind = part.archives_behind();
    let holds = kind.is_zip()
        || end.is_some()
        || !behind.is_empty()
        || kind.is_archive()
        || kind == FileType::Mail && inner;
    if holds && depth >= budget.limits.depth_max {
        let detail = format!("nested deeper than {}", budget.limits.depth_max);
        budget.limit(Limit::Depth, place, detail);
        return Vec::new();
    }
    let name = part.file_name().unwrap_or_default();
    if member && kind == FileType::Text && is_linking(name) {
        active::xml::links(octets).iter().for_each(|link| budget.link(link));
    }
    page_links(part, budget);
    let (mut out, mut unread_bytes) = match kind {
        FileType::Mail | FileType::Text | FileType::Html if !inner => (Vec::new(), 0),
        FileType::Text | FileType::Html => (encoded(octets, depth, place, budget), 0),
        _ => of_kind(kind, (octets, name), place, budget),
    };
    for (at, kind) in behind {
        let octets = octets.get(at..).unwrap_or_default();
        let (mut members, bytes) = of_kind(kind, (octets, name), place, budget);
        out.append(&mut members);
        unread_bytes = unread_bytes.max(bytes);
    }
    // The end of a ZIP that is itself a member of the tar does not make the tar a ZIP.
    let role = if kind.is_zip() { zip::Role::Own } else { zip::Role::Behind };
    if kind.is_zip() || end.is_some_and(|end| end >= unread_bytes) {
        out.append(&mut zip::members(octets, role, place, budget));
    }
    out
}

/// The members of octets of a kind, and of a tar how many octets it takes.
fn of_kind(
    kind: FileType,
    (octets, name): (&[u8], &str),
    place: &str,
    budget: &mut Budget<'_>,
) -> (Vec<Member>, usize) {
    let members = match kind {
        FileType::Gzip
        | FileType::Bzip2
        | FileType::Xz
        | FileType::Zstd
        | FileType::OtherCompression => {
            guarded(place, budget, |budget| streams::members(kind, octets, name, place, budget))
        }
        FileType::SevenZip => {
            guarded(place, budget, |budget| seven_zip::members(octets, place, budget))
        }
        FileType::Rar => rar::members(octets, place, budget),
        FileType::Cab => guarded(place, budget, |budget| cab::members(octets, place, budget)),
        FileType::Arj => arj::members(octets, place, budget),
        FileType::Lzh => guarded(place, budget, |budget| lzh::members(octets, place, budget)),
        FileType::Iso => iso::members(octets, place, budget),
        FileType::Cpio => cpio::members(octets, place, budget),
        FileType::Tnef => tnef::members(octets, place, budget),
        FileType::Tar => return tar(octets, place, budget),
        FileType::Pdf => pdf::members(octets, place, budget),
        FileType::Ole => guarded(place, budget, |budget| ole::members(octets, place, budget)),
        FileType::Rtf => {
            guarded(place, budget, |budget| active::rtf::members(octets, place, budget))
        }
        FileType::OneNote => onenote::members(octets, place, budget),
        FileType::Unknown if octets.starts_with(b"ActiveMime") => {
            active_mime(octets, place, budget)
        }
        FileType::Mail => mail(octets, place, budget),
        _ => Vec::new(),
    };
    (members, 0)
}

/// Members of documents that hold the addresses that a reader may click.
fn is_linking(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".rels", "content.xml", "document.xml"].iter().any(|ending| name.ends_with(ending))
}

/// What a library's decoder makes of it. One that panics (`cab` 0.6.0 does, on an offset behind the end of a folder) says no
/// more than that the data are wrong: it costs its members, not the worker.
fn guarded<'l>(
    place: &str,
    budget: &mut Budget<'l>,
    decode: impl FnOnce(&mut Budget<'l>) -> Vec<Member>,
) -> Vec<Member> {
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(budget)));
    decoded.unwrap_or_else(|_| {
        budget.note(ExceptionKind::Malformed, place, "data that its reader cannot bear");
        Vec::new()
    })
}

/// Addresses of a page that is a file of its own: the mail's texts are read for theirs elsewhere.
fn page_links(part: &Part<'_>, budget: &mut Budget<'_>) {
    if budget.pages == 0 || part.decoded.len() > PAGE_BYTES_MAX || !part.is_page() {
        return;
    }
    budget.pages -= 1;
    let whole = |link: &&str| link.contains("://") || link.starts_with("//");
    let links = part.html().links.iter().map(|link| &**link);
    links.filter(whole).for_each(|link| budget.link(link));
}

/// The parts of a mail that is a member.
fn mail(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let octets = octets.get(mail_start(octets)..).unwrap_or_default();
    let mut exceptions = Vec::new();
    let parts = entities_of(octets, place, &ViewLimits::worker(), &mut exceptions);
    for exception in exceptions {
        budget.note(exception.kind, place, exception.detail);
    }
    let mut out = Vec::new();
    for part in parts {
        if !part.attachment && part.is_text() {
            budget.passwords.add_text(part.text());
        }
        // Its texts are in the member already; a page is looked at as a page.
        let page = matches!(part.file_type(), FileType::Html | FileType::Script);
        if !page && !part.attachment && memmem::find(octets, &part.decoded).is_some() {
            continue;
        }
        if !budget.admits_member(place) {
            break;
        }
        budget.unpacked(part.decoded.len());
        let name = part.file_name().unwrap_or_default().as_bytes().to_vec();
        out.push(Member::new(name, part.decoded.into_owned()));
    }
    out
}

/// What Word saves beside a page of HTML: a compound file with the macros, packed by zlib.
fn active_mime(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let starts = memmem::find_iter(octets, b"\x78").take(50);
    for data in starts.filter_map(|at| octets.get(at..)) {
        let mut inflater = flate2::read::ZlibDecoder::new(data);
        let (content, _) = budget.read(&mut inflater, data.len() as u64, place);
        if detect(&content) == FileType::Ole && budget.admits_member(place) {
            return vec![Member::new(b"editdata.mso".to_vec(), content)];
        }
    }
    budget.note(ExceptionKind::NotScanned, place, "ActiveMime that cannot be read");
    Vec::new()
}

/// The members, and where the last of them ends.
fn tar(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> (Vec<Member>, usize) {
    let (mut out, mut end) = (Vec::new(), 0);
    let mut archive = tar::Archive::new(Cursor::new(octets));
    // Several archives one after the other: some readers go on behind the end of the first.
    archive.set_ignore_zeros(true);
    let Ok(entries) = archive.entries() else {
        budget.note(ExceptionKind::Malformed, place, "tar that cannot be read");
        return (out, end);
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
        let last = entry.raw_file_position().saturating_add(bytes_in);
        end = end.max(usize::try_from(last).unwrap_or(usize::MAX));
        let (content, whole) = budget.read(&mut entry, bytes_in, place);
        if !whole {
            budget.note(ExceptionKind::Malformed, place, "tar member that ends early");
        }
        if !content.is_empty() {
            out.push(Member::new(name, content));
        }
    }
    (out, end)
}

/// What is encoded in a text. That may be a text with something encoded in it, and so on.
fn encoded(octets: &[u8], depth: usize, place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    if holds_unread(octets) {
        let detail = "an encoding inside of a text that is not read here";
        budget.note(ExceptionKind::NotScanned, place, detail);
    }
    for (name, octets) in blocks_of(octets) {
        if depth >= budget.limits.depth_max {
            let detail = format!("nested deeper than {}", budget.limits.depth_max);
            budget.limit(Limit::Depth, place, detail);
            break;
        }
        if !budget.admits_member(place) {
            break;
        }
        budget.unpacked(octets.len());
        out.push(Member::new(name.into_bytes(), octets));
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

/// Fuzz entry: any octets, taken as an attachment, unfold within the bounds. Number of members.
///
/// # Panics
/// When a bound does not hold.
pub fn fuzz_archive(octets: &[u8]) -> usize {
    let limits = super::fuzz::limits();
    let mut view = View::build(b"A: b\r\n\r\n", &ViewLimits::shard());
    let before = view.parts.len();
    let owned = Cow::Owned(octets.to_vec());
    view.parts.push(Part::of_octets("9".into(), PartOrigin::Mime, "a.zip", owned));
    expand(&mut view, &limits);
    assert!(view.parts.len() <= before + 1 + limits.members_max, "more members than allowed");
    let bytes: u64 = view.parts.iter().skip(before + 1).map(|part| part.decoded.len() as u64).sum();
    assert!(bytes <= 2 * limits.bytes_max, "more octets than allowed");
    view.parts.len() - before - 1 + view.active.len() + view.links.len()
}
