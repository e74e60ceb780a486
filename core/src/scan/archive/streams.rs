//! One compressed stream, one member: gzip, bzip2, xz, zstd, lzip, LZMA. Its name is that of the container without the ending.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::{Budget, MEMORY_KIB_MAX, Member};
use crate::message::{ExceptionKind, FileType, Limit};

/// Endings that a compressor adds, and what they stand for.
const ENDINGS: &[(&str, &str)] = &[
    (".tgz", ".tar"),
    (".tbz2", ".tar"),
    (".tbz", ".tar"),
    (".txz", ".tar"),
    (".tlz", ".tar"),
    (".tzst", ".tar"),
    (".gz", ""),
    (".bz2", ""),
    (".xz", ""),
    (".zst", ""),
    (".lzma", ""),
    (".lz", ""),
];
/// Marks of compressions that nobody here undoes: lz4 and its old form, GRZip, LRZIP, ZPAQ, lzop, compress, and the frames that
/// lz4 and zstd pass over.
const NOT_READ: &[&[u8]] = &[
    b"\x04\x22\x4D\x18",
    b"\x02\x21\x4C\x18",
    b"GRZipII",
    b"LRZI",
    b"zPQ",
    b"\x89LZO",
    b"\x1F\x9D",
    b"\x1F\xA0",
];
/// Window of a zstd frame, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

pub(super) fn members(
    kind: FileType,
    octets: &[u8],
    name: &str,
    place: &str,
    budget: &mut Budget<'_>,
) -> Vec<Member> {
    let bytes_in = octets.len() as u64;
    let mut own_name = Vec::new();
    let read = match kind {
        FileType::Gzip => {
            let mut decoder = MultiGzDecoder::new(octets);
            let read = one(&mut decoder, bytes_in, place, budget);
            let header = decoder.header().and_then(|header| header.filename());
            own_name = header.unwrap_or_default().to_vec();
            read
        }
        FileType::Bzip2 => {
            one(&mut bzip2::read::MultiBzDecoder::new(octets), bytes_in, place, budget)
        }
        FileType::Xz => {
            let mut decoder = lzma_rust2::XzReader::new_mem_limit(octets, true, MEMORY_KIB_MAX);
            one(&mut decoder, bytes_in, place, budget)
        }
        FileType::Zstd => match zstd::stream::read::Decoder::new(octets) {
            Ok(mut decoder) => {
                // A frame that needs more than this is refused when it is met.
                let _ = decoder.window_log_max(ZSTD_WINDOW_LOG_MAX);
                one(&mut decoder, bytes_in, place, budget)
            }
            Err(_) => None,
        },
        _ if octets.starts_with(b"LZIP") => {
            if lzip_kib(octets) > MEMORY_KIB_MAX {
                budget.limit(Limit::Memory, place, "lzip that needs too much memory");
                return Vec::new();
            }
            one(&mut lzma_rust2::LzipReader::new(octets), bytes_in, place, budget)
        }
        // LZMA has no mark of its own: it is what the others are not.
        _ if !is_not_read(octets) => {
            match lzma_rust2::LzmaReader::new_mem_limit(octets, MEMORY_KIB_MAX, None) {
                Ok(mut decoder) => one(&mut decoder, bytes_in, place, budget),
                Err(_) => None,
            }
        }
        _ => {
            budget.note(ExceptionKind::NotScanned, place, "a compression that is not read here");
            return Vec::new();
        }
    };
    let Some((content, whole)) = read else {
        budget.note(ExceptionKind::NotScanned, place, format!("{kind:?} that cannot be unpacked"));
        return Vec::new();
    };
    if !whole {
        let detail = format!("{kind:?} data that cannot be read to its end");
        budget.note(ExceptionKind::Malformed, place, detail);
    }
    // Some programs give it the name in its header, others that of the file without the ending.
    let outer = without_ending(name).into_bytes();
    if own_name.is_empty() {
        return vec![Member::new(outer, content)];
    }
    let other_name = if outer == name.as_bytes() { Vec::new() } else { outer };
    vec![Member { other_name, ..Member::new(own_name, content) }]
}

/// Memory that the members of an lzip ask for: each has a head of its own, and its reader has no bound for it.
fn lzip_kib(octets: &[u8]) -> u32 {
    let heads = memchr::memmem::find_iter(octets, b"LZIP\x01");
    let codes = heads.filter_map(|at| octets.get(at + 5));
    codes.map(|code| 1_u32 << (code & 0x1F)).max().unwrap_or(0) / 1024
}

fn one(
    decoder: &mut dyn Read,
    bytes_in: u64,
    place: &str,
    budget: &mut Budget<'_>,
) -> Option<(Vec<u8>, bool)> {
    budget.admits_member(place).then(|| budget.read(decoder, bytes_in, place))
}

fn is_not_read(octets: &[u8]) -> bool {
    let skipped = matches!(octets, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]);
    skipped || NOT_READ.iter().any(|mark| octets.starts_with(mark))
}

/// `a.tar.xz` is `a.tar`, `a.tgz` is `a.tar`.
fn without_ending(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let found = ENDINGS.iter().find_map(|(ending, stands_for)| {
        let at = lower.strip_suffix(ending)?.len();
        Some(format!("{}{stands_for}", name.get(..at)?))
    });
    found.unwrap_or_else(|| name.to_owned())
}
