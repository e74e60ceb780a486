//! 7z. Its coders may ask for gigabytes of dictionary, so what they ask for is looked at before they are made.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{Cursor, Read};

use sevenz_rust2::{Archive, ArchiveEntry, Block, BlockDecoder, Error, Password};

use super::{Budget, MEMORY_KIB_MAX, Member};
use crate::message::{ExceptionKind, Limit};

const LZMA: &[u8] = &[3, 1, 1];
const LZMA2: &[u8] = &[0x21];
const PPMD: &[u8] = &[3, 4, 1];
const AES: &[u8] = &[6, 0xF1, 7, 1];

/// Rounds of a try are 2 to the power of this by default.
const POWER_DEFAULT: u32 = 19;
/// Octets that each round hashes besides salt and password.
const ROUND_BYTES: u64 = 8;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let empty = Password::empty();
    if header_kib(octets) > u64::from(MEMORY_KIB_MAX) {
        budget.limit(Limit::Memory, place, "7z that needs too much memory");
        return Vec::new();
    }
    let archive = Archive::read(&mut Cursor::new(octets), &empty);
    let locked = match &archive {
        Ok(archive) => archive.blocks.iter().any(is_encrypted),
        Err(error) => matches!(error, Error::PasswordRequired | Error::MaybeBadPassword(_)),
    };
    if locked && let Some(members) = opened(octets, archive.as_ref().ok(), place, budget) {
        return members;
    }
    match archive {
        Ok(archive) => {
            if locked {
                encrypted(place, budget);
            }
            unpack(octets, &archive, &empty, (place, budget)).0
        }
        Err(error) => {
            say(&error, place, budget);
            Vec::new()
        }
    }
}

/// The members, if a word of the mail is the password. `archive` is there if only data are protected.
fn opened(
    octets: &[u8],
    archive: Option<&Archive>,
    place: &str,
    budget: &mut Budget<'_>,
) -> Option<Vec<Member>> {
    // What is stored and not compressed is only known to be wrong at its end.
    let cost =
        cost(archive.map_or_else(|| power_of_header(octets), power)) + octets.len() as u64 / 256;
    let mut number = 0;
    while let Some(word) = budget.passwords.candidate(number, cost) {
        number += 1;
        let password = Password::new(&word);
        let members = budget.attempt(|budget| {
            let archive = Archive::read(&mut Cursor::new(octets), &password).ok()?;
            let (members, whole) = unpack(octets, &archive, &password, (place, budget));
            whole.then_some(members)
        });
        if members.is_some() {
            budget.passwords.fits(&word);
            let detail = "7z opened with a password of the mail";
            budget.note(ExceptionKind::Opened, place, detail);
            return members;
        }
    }
    None
}

/// What a try costs, in blocks of SHA-256, for a password of a dozen characters in UTF-16.
fn cost(power: u32) -> u64 {
    (1_u64 << power.min(24)) * (ROUND_BYTES + 24) / 64
}

/// How often an encrypted block hashes its password, as a power of two.
fn power(archive: &Archive) -> u32 {
    let coders = archive.blocks.iter().flat_map(|block| &block.coders);
    let aes = coders.filter(|coder| coder.encoder_method_id() == AES);
    aes.filter_map(|coder| coder.properties().first())
        .map(|first| u32::from(first & 0x3F))
        .max()
        .unwrap_or(POWER_DEFAULT)
}

/// The same of an encrypted header: its coder stands in clear near the end of the file, behind its own
/// number and the length of its properties.
fn power_of_header(octets: &[u8]) -> u32 {
    let tail = octets.get(octets.len().saturating_sub(64 * 1024)..).unwrap_or(octets);
    let coders = memchr::memmem::find_iter(tail, AES);
    let first = coders.filter_map(|at| tail.get(at + AES.len() + 1));
    first.map(|first| u32::from(first & 0x3F)).max().unwrap_or(POWER_DEFAULT)
}

fn is_encrypted(block: &Block) -> bool {
    block.coders.iter().any(|coder| coder.encoder_method_id() == AES)
}

/// The members that this password (or none) gives, and whether that went well.
fn unpack(
    octets: &[u8],
    archive: &Archive,
    password: &Password,
    (place, budget): (&str, &mut Budget<'_>),
) -> (Vec<Member>, bool) {
    let mut out = Vec::new();
    if archive.blocks.iter().any(|block| memory_kib(block) > u64::from(MEMORY_KIB_MAX)) {
        budget.limit(Limit::Memory, place, "7z that needs too much memory");
        return (names(archive, &HashSet::new(), place, budget), true);
    }
    let mut source = Cursor::new(octets);
    let (mut all, full, abandoned) = (true, Cell::new(false), Cell::new(false));
    let mut each = |entry: &ArchiveEntry, source: &mut dyn Read| {
        if entry.is_directory() && !entry.has_stream() {
            return Ok(true);
        }
        if !budget.admits_member(place) {
            full.set(true);
            return Ok(false);
        }
        // A solid block is unpacked for all of its members; the size of one says nothing of the ratio.
        let (content, whole) = budget.read(source, octets.len() as u64, place);
        if !whole {
            all = false;
            budget.note(ExceptionKind::Malformed, place, "7z member that cannot be read");
        }
        // Before the next member the library reads what is left of this one: of a bomb that has no end, and a decoder that
        // has failed once, and is asked again, may turn in a circle (found by the fuzzer).
        let left = (content.len() as u64) < entry.size();
        full.set(budget.is_full());
        abandoned.set(abandoned.get() || left);
        out.push(Member::new(entry.name().as_bytes().to_vec(), content));
        Ok(!left && !full.get())
    };
    // Block by block and with one thread: the library's own reader asks the system how many cores there are, which the
    // sandbox answers with death. One that fails hides nothing of the others.
    let mut failed = None;
    for block in 0..archive.blocks.len() {
        let decoder = BlockDecoder::new(1, block, archive, password, &mut source);
        if let Err(error) = decoder.for_each_entries(&mut each) {
            failed = failed.or(Some(error));
        }
        if full.get() {
            break;
        }
    }
    if let Some(error) = failed {
        all = false;
        abandoned.set(true);
        say(&error, place, budget);
    }
    if abandoned.get() && !full.get() {
        let seen = out.iter().map(|member| member.name.as_slice()).collect();
        let mut rest = names(archive, &seen, place, budget);
        out.append(&mut rest);
    }
    (out, all)
}

fn encrypted(place: &str, budget: &mut Budget<'_>) {
    budget.note(ExceptionKind::Encrypted, place, "password-protected 7z");
}

/// Names that were not seen are worth a look by the attachment rules, whatever is inside.
fn names(
    archive: &Archive,
    seen: &HashSet<&[u8]>,
    place: &str,
    budget: &mut Budget<'_>,
) -> Vec<Member> {
    let unseen =
        |file: &&ArchiveEntry| !file.is_directory() && !seen.contains(file.name().as_bytes());
    let files = archive.files.iter().filter(unseen);
    let locked = archive.blocks.iter().any(is_encrypted);
    let mut out = Vec::new();
    for file in files {
        if !budget.admits_member(place) {
            break;
        }
        out.push(Member::unread(file.name().as_bytes().to_vec(), file.size(), locked));
    }
    out
}

fn say(error: &Error, place: &str, budget: &mut Budget<'_>) {
    match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => encrypted(place, budget),
        Error::UnsupportedCompressionMethod(_)
        | Error::Unsupported(_)
        | Error::ExternalUnsupported
        | Error::UnsupportedVersion { .. } => {
            budget.note(ExceptionKind::NotScanned, place, "7z of a kind that is not read here");
        }
        Error::MaxMemLimited { .. } => {
            budget.limit(Limit::Memory, place, "7z that needs too much memory");
        }
        _ => budget.note(ExceptionKind::Malformed, place, "7z that cannot be read"),
    }
}

/// Memory that a packed header asks for. The library unpacks it without a bound, so its coders are looked at where they
/// stand: in the header that the first one leads to, or, where that one has no check sum, anywhere near the end, where the
/// library looks for it then.
fn header_kib(octets: &[u8]) -> u64 {
    const PACKED: u8 = 0x17;
    let word = |at: usize| {
        let field = octets.get(at..at + 8).and_then(|field| field.try_into().ok());
        field.map(u64::from_le_bytes).and_then(|value| usize::try_from(value).ok())
    };
    let header = match octets.get(8..12) {
        Some([0, 0, 0, 0]) => octets.get(octets.len().saturating_sub(1 << 20)..),
        _ => {
            let start = word(12).and_then(|offset| offset.checked_add(32));
            let end = start.zip(word(20)).and_then(|(start, bytes)| start.checked_add(bytes));
            let header = start.zip(end).and_then(|(start, end)| octets.get(start..end));
            header.filter(|header| header.first() == Some(&PACKED))
        }
    };
    let header = header.unwrap_or_default();
    // Behind the coder's number: the length of its properties, then these.
    let lzma = memchr::memmem::find_iter(header, b"\x03\x01\x01\x05").filter_map(|at| {
        let field = header.get(at + 5..at + 9)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(field)))
    });
    let lzma2 = memchr::memmem::find_iter(header, b"\x21\x21\x01").filter_map(|at| {
        let bits = *header.get(at + 3)?;
        (bits <= 40).then(|| u64::from(2 | bits & 1) << (bits / 2 + 11))
    });
    lzma.chain(lzma2).max().unwrap_or(0) / 1024
}

/// Memory that the coders of a block ask for.
fn memory_kib(block: &Block) -> u64 {
    let octets = block.coders.iter().map(|coder| {
        let properties = coder.properties();
        let word = || {
            let field = properties.get(1..5).and_then(|field| field.try_into().ok());
            u64::from(field.map_or(u32::MAX, u32::from_le_bytes))
        };
        match coder.encoder_method_id() {
            LZMA | PPMD => word(),
            LZMA2 => match properties.first() {
                Some(bits @ 0..=39) => u64::from(2 | bits & 1) << (bits / 2 + 11),
                _ => u64::MAX / 2,
            },
            _ => 0,
        }
    });
    octets.fold(0, u64::saturating_add) / 1024
}
