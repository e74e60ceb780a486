//! ZIP, read as every client together reads it: by the directory at the end, and by the local
//! headers in front of the data. Where the two differ, something is hidden from somebody: it is said
//! (`Malformed`), and both readings are followed.

use std::io::{Cursor, Read};

use flate2::read::DeflateDecoder;
use memchr::memmem;
use zip::ZipArchive;
use zip::result::ZipError;

use super::archive::{Budget, MEMORY_KIB_MAX, Member};
use crate::message::{ExceptionKind, Limit};

/// Signature of a local header, and its length without name and extra field.
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
/// The number that stands for encryption by AES instead of the method.
const AES: u16 = 99;
/// Methods that ask for as much memory as the sender says: LZMA, XZ, PPMd. APPNOTE.TXT sections 5.8 and 5.10.
const LZMA: u16 = 14;
const XZ: u16 = 95;
const PPMD: u16 = 98;
/// A size that is in the extra field instead. APPNOTE.TXT section 4.5.3.
const IN_EXTRA_FIELD: usize = 0xFFFF_FFFF;

/// A local header. APPNOTE.TXT section 4.3.7.
struct Local<'z> {
    encrypted: bool,
    /// Sizes follow the data.
    descriptor: bool,
    method: u16,
    compressed: usize,
    name: &'z [u8],
    data: usize,
}

/// One archive while it is read.
struct Reading<'z, 'b, 'l> {
    octets: &'z [u8],
    place: &'b str,
    budget: &'b mut Budget<'l>,
    out: Vec<Member>,
    /// Ranges of the members that the directory names.
    covered: Vec<(usize, usize)>,
    role: Role,
    /// No word of the mail opened a protected member.
    locked: bool,
}

/// What the octets are besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A ZIP, which has to be in order.
    Own,
    /// Something else that a ZIP may be behind, or only a part of (a presentation that holds
    /// documents): what is not in order proves nothing.
    Behind,
}

/// The members of a ZIP.
pub(super) fn members(
    octets: &[u8],
    role: Role,
    place: &str,
    budget: &mut Budget<'_>,
) -> Vec<Member> {
    let (out, covered) = (Vec::new(), Vec::new());
    let mut reading = Reading { octets, place, budget, out, covered, role, locked: false };
    match ZipArchive::new(Cursor::new(octets)) {
        Ok(mut archive) => {
            for index in 0..archive.len() {
                if !reading.budget.admits_member(place) {
                    return reading.out;
                }
                reading.by_directory(&mut archive, index);
            }
        }
        Err(_) => reading.malformed("zip directory that cannot be read"),
    }
    reading.by_local_headers();
    reading.out
}

impl<'z> Reading<'z, '_, '_> {
    fn malformed(&mut self, what: &str) {
        if self.role == Role::Behind {
            return;
        }
        self.budget.note(ExceptionKind::Malformed, self.place, what);
    }

    fn encrypted(&mut self) {
        self.budget.note(ExceptionKind::Encrypted, self.place, "password-protected zip member");
    }

    /// One member that the directory names.
    fn by_directory(&mut self, archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize) {
        let Ok(raw) = archive.by_index_raw(index) else {
            return self.malformed("zip member that is not where it should be");
        };
        let name = raw.name_raw().to_vec();
        let (encrypted, bytes_in) = (raw.encrypted(), raw.compressed_size());
        let start = usize::try_from(raw.header_start()).unwrap_or(usize::MAX);
        let (compression, is_dir, bytes_out) = (raw.compression(), raw.is_dir(), raw.size());
        drop(raw);
        let method = method_number(compression);
        let local = local_at(self.octets, start);
        let mut differs = false;
        if let Some(local) = &local {
            let bytes = usize::try_from(bytes_in).unwrap_or(usize::MAX);
            differs = self.compare(local, &name, (encrypted, method, bytes));
            let known = local.compressed != 0 && local.compressed != IN_EXTRA_FIELD;
            let bytes =
                if known && !local.descriptor { bytes.min(local.compressed) } else { bytes };
            self.covered.push((start, local.data.saturating_add(bytes)));
        }
        let aes = local.as_ref().is_some_and(|local| local.method == AES);
        // What such a method asks for stands behind the encryption, where it cannot be looked at before.
        let opened = match encrypted && !matches!(method, Some(LZMA | XZ | PPMD)) {
            true => self.opened(archive, index, (aes, bytes_in)),
            false => None,
        };
        let unread = encrypted && opened.is_none();
        if unread || !encrypted && local.as_ref().is_some_and(|local| local.encrypted) {
            self.encrypted();
        }
        if encrypted {
            // Where it is not opened, its name is still worth a look by the attachment rules.
            self.out.push(match opened {
                Some(octets) => Member::new(name.clone(), octets),
                None => Member::unread(name.clone(), bytes_out, true),
            });
        }
        if let Some(local) = local.filter(|_| differs)
            && self.budget.admits_member(self.place)
        {
            // A client that reads from the front believes the local header.
            self.unpack(&local);
        }
        if encrypted || is_dir && bytes_in == 0 {
            return;
        }
        if method.is_none() {
            return self.not_read(name, bytes_out, compression);
        }
        if memory_kib(archive, index, method) > MEMORY_KIB_MAX {
            let detail = "zip member that needs too much memory";
            self.budget.limit(Limit::Memory, self.place, detail);
            self.out.push(Member::unread(name, bytes_out, false));
            return;
        }
        match member_at(archive, index, method) {
            Ok(mut member) => {
                let (content, whole) = self.budget.read(&mut *member, bytes_in, self.place);
                if !whole {
                    self.malformed("zip member that cannot be read");
                }
                self.out.push(Member::new(name, content));
            }
            Err(ZipError::UnsupportedArchive(_)) => {
                self.not_read(name, bytes_out, compression);
            }
            Err(_) => self.malformed("zip member that cannot be opened"),
        }
    }

    /// The octets of a protected member, if a word of the mail is its password. Where all words were
    /// tried in vain, other members of the same archive are not worth it.
    fn opened(
        &mut self,
        archive: &mut ZipArchive<Cursor<&[u8]>>,
        index: usize,
        (aes, bytes_in): (bool, u64),
    ) -> Option<Vec<u8>> {
        // AES derives its key by 1,000 rounds of two hashes for each 20 octets of it.
        let cost = if aes { 9_000 } else { 500 };
        let place = self.place;
        let mut number = 0;
        while let Some(password) =
            self.budget.passwords.candidate(number, cost).filter(|_| !self.locked)
        {
            number += 1;
            let octets = self.budget.attempt(|budget| {
                let mut member = archive.by_index_decrypt(index, password.as_bytes()).ok()?;
                // One in 256 wrong passwords is only known to be wrong by the sum at the end.
                let (content, whole) = budget.read(&mut member, bytes_in, place);
                whole.then_some(content)
            });
            if octets.is_some() {
                self.budget.passwords.fits(&password);
                let detail = "zip member opened with a password of the mail";
                self.budget.note(ExceptionKind::Opened, place, detail);
                return octets;
            }
        }
        self.locked = true;
        None
    }

    /// A member by a method that nobody here undoes; its name is still worth a look.
    fn not_read(&mut self, name: Vec<u8>, bytes: u64, compression: zip::CompressionMethod) {
        let detail = format!("zip method {compression} is not read here");
        self.budget.note(ExceptionKind::NotScanned, self.place, detail);
        self.out.push(Member::unread(name, bytes, false));
    }

    /// Says where the local header contradicts the directory; true where that changes what is read.
    fn compare(
        &mut self,
        local: &Local<'z>,
        name: &[u8],
        (encrypted, method, bytes): (bool, Option<u16>, usize),
    ) -> bool {
        if local.name != name {
            self.malformed("zip names differ between its headers");
        }
        if local.encrypted != encrypted {
            self.malformed("zip headers differ in whether a member is encrypted");
        }
        let read = matches!(local.method, 0 | 8);
        // AES stands in the place of the method, which is in an extra field then.
        let aes = encrypted && local.method == AES;
        let other_method = !aes && method.map_or(read, |method| method != local.method);
        if other_method {
            self.malformed("zip methods differ between its headers");
        }
        let sized = !local.descriptor && local.compressed != IN_EXTRA_FIELD;
        // Zero is what some writers leave there without saying that the size follows.
        let other_size = sized && local.compressed != 0 && local.compressed != bytes;
        if other_size {
            self.malformed("zip sizes differ between its headers");
        }
        local.encrypted != encrypted || other_method || other_size
    }

    /// Members that only local headers name: clients that read from the front (or repair) open them.
    fn by_local_headers(&mut self) {
        let mut covered = std::mem::take(&mut self.covered);
        covered.sort_unstable();
        let mut ranges = covered.into_iter().peekable();
        let mut behind = 0_usize;
        for at in memmem::find_iter(self.octets, LOCAL) {
            while let Some((_, end)) = ranges.next_if(|&(start, _)| start <= at) {
                behind = behind.max(end);
            }
            if at < behind {
                continue;
            }
            let Some(local) = local_at(self.octets, at).filter(plausible) else { continue };
            self.malformed("zip member that its directory does not name");
            if !self.budget.admits_member(self.place) {
                return;
            }
            if local.encrypted {
                self.encrypted();
                continue;
            }
            behind = behind.max(self.unpack(&local));
        }
    }

    /// Unpacks what a local header announces. Returns where its data surely ends: only compressed
    /// data says so itself; a size is a claim, and what it spans is looked at too.
    fn unpack(&mut self, local: &Local<'z>) -> usize {
        let data = self.octets.get(local.data..).unwrap_or_default();
        let sized = local.compressed != 0 && !local.descriptor;
        let bounded = if sized { data.get(..local.compressed).unwrap_or(data) } else { data };
        let (content, used) = match local.method {
            0 => {
                let mut stored = bounded;
                (self.budget.read(&mut stored, bounded.len() as u64, self.place).0, 0)
            }
            8 => {
                if !self.budget.admits_input(self.octets.len(), self.place) {
                    return local.data;
                }
                let mut inflater = DeflateDecoder::new(data);
                let content = self.budget.read(&mut inflater, data.len() as u64, self.place).0;
                self.budget.used_input(inflater.total_in());
                (content, usize::try_from(inflater.total_in()).unwrap_or(0))
            }
            _ => {
                let detail = "zip method that is not read here";
                self.budget.note(ExceptionKind::NotScanned, self.place, detail);
                (Vec::new(), 0)
            }
        };
        self.out.push(Member::new(local.name.to_vec(), content));
        local.data.saturating_add(used)
    }
}

/// A member unpacked. XZ, whose blocks each say anew how much memory they want, by a reader that has a bound for it.
fn member_at<'a>(
    archive: &'a mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    method: Option<u16>,
) -> Result<Box<dyn Read + 'a>, ZipError> {
    if method == Some(XZ) {
        let raw = archive.by_index_raw(index)?;
        return Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(raw, false, MEMORY_KIB_MAX)));
    }
    Ok(Box::new(archive.by_index(index)?))
}

/// Memory that the data of a member ask for in front of them.
fn memory_kib(archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize, method: Option<u16>) -> u32 {
    let mut head = [0_u8; 9];
    if !matches!(method, Some(LZMA | PPMD))
        || !archive.by_index_raw(index).is_ok_and(|mut raw| raw.read_exact(&mut head).is_ok())
    {
        return 0;
    }
    let [first, second, _, _, _, a, b, c, d] = head;
    match method {
        // Version and size of the properties, the properties, the dictionary.
        Some(LZMA) => u32::from_le_bytes([a, b, c, d]) / 1024,
        // Four bits of order, eight of mebibytes.
        _ => ((u32::from(u16::from_le_bytes([first, second])) >> 4 & 0xFF) + 1) * 1024,
    }
}

/// The method's number (APPNOTE.TXT section 4.4.5), of those that are read.
fn method_number(compression: zip::CompressionMethod) -> Option<u16> {
    use zip::CompressionMethod as Method;
    Some(match compression {
        Method::Stored => 0,
        Method::Deflated => 8,
        Method::Deflate64 => 9,
        Method::Bzip2 => 12,
        Method::Lzma => LZMA,
        Method::Zstd => 93,
        Method::Xz => XZ,
        Method::Ppmd => PPMD,
        _ => return None,
    })
}

/// Four octets may be a header by chance; a method that exists and a short name rarely are.
fn plausible(local: &Local<'_>) -> bool {
    matches!(local.method, 0 | 1..=10 | 12 | 14 | 18 | 93..=99)
        && !local.name.is_empty()
        && local.name.len() <= 1024
}

/// The local header at `at`.
fn local_at(octets: &[u8], at: usize) -> Option<Local<'_>> {
    let rest = octets.get(at..)?;
    let header = rest.get(..LOCAL_BYTES).filter(|header| header.starts_with(LOCAL))?;
    let half = |offset: usize| -> Option<u16> {
        Some(u16::from_le_bytes(header.get(offset..offset + 2)?.try_into().ok()?))
    };
    let name_bytes = usize::from(half(26)?);
    let extra_bytes = usize::from(half(28)?);
    let compressed = u32::from_le_bytes(header.get(18..22)?.try_into().ok()?);
    Some(Local {
        encrypted: half(6)? & 1 != 0,
        descriptor: half(6)? & 8 != 0,
        method: half(8)?,
        compressed: usize::try_from(compressed).ok()?,
        name: rest.get(LOCAL_BYTES..LOCAL_BYTES + name_bytes)?,
        data: at + LOCAL_BYTES + name_bytes + extra_bytes,
    })
}
