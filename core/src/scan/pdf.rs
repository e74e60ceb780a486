//! Streams of PDF. Names, lengths and cross references are not believed: files made for an attack
//! are broken on purpose. Whatever follows `stream` is taken for what its octets say it is.

use flate2::read::ZlibDecoder;
use memchr::memmem;

use super::archive::{Budget, Member};
use crate::message::{ExceptionKind, FileType, detect};

/// Streams of one PDF that are looked into.
const STREAMS_MAX: usize = 4_000;

/// What the streams hold.
pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    if memmem::find(octets, b"/Encrypt").is_some() {
        // The word may stand in a comment of a file that is not encrypted at all: go on.
        budget.note(ExceptionKind::Encrypted, place, "encrypted PDF");
    }
    for filter in [&b"/LZWDecode"[..], b"/RunLengthDecode"] {
        if memmem::find(octets, filter).is_some() {
            budget.note(ExceptionKind::NotScanned, place, "a PDF filter that is not read here");
        }
    }
    let mut count = 0_usize;
    for at in memmem::find_iter(octets, b"stream") {
        if octets.get(..at).is_some_and(|before| before.ends_with(b"end")) {
            continue;
        }
        count += 1;
        if count > STREAMS_MAX || !budget.admits_input(octets.len(), place) {
            budget.note(ExceptionKind::LimitReached, place, "too many streams in a PDF");
            break;
        }
        let rest = octets.get(at + 6..).unwrap_or_default();
        let data = rest.strip_prefix(b"\r").unwrap_or(rest);
        let data = data.strip_prefix(b"\n").unwrap_or(data);
        let Some(content) = unfold(data, place, budget) else { continue };
        // Drawing instructions are no files: only what looks like one becomes a member.
        if holds_file(&content) {
            if !budget.admits_member(place) {
                break;
            }
            out.push(Member { name: b"stream".to_vec(), octets: content });
        }
    }
    out
}

/// The octets behind the filters of a stream; `None` if it holds nothing of interest.
fn unfold(data: &[u8], place: &str, budget: &mut Budget<'_>) -> Option<Vec<u8>> {
    if is_zlib(data) {
        return Some(inflate(data, place, budget));
    }
    let head: Vec<u8> =
        data.iter().copied().filter(|o| !o.is_ascii_whitespace()).take(16).collect();
    let hex = |octet: &u8| octet.is_ascii_hexdigit() || *octet == b'>';
    let base85 = |octet: &u8| (b'!'..=b'u').contains(octet) || matches!(octet, b'z' | b'~');
    let text = if head.iter().all(hex) {
        let end = memchr::memchr(b'>', data)?;
        from_hex(data.get(..end)?)
    } else if head.iter().all(base85) {
        let end = memmem::find(data, b"~>").filter(|end| !passes_end(data, *end))?;
        from_base85(data.get(..end)?)
    } else {
        // Not filtered: worth a part of its own only if it is a file that is opened further.
        let end = memmem::find(data, b"endstream").unwrap_or(data.len());
        budget.used_input(end as u64);
        let plain = data.get(..end)?;
        let kind = detect(plain);
        return (kind.is_container() || kind.is_program()).then(|| plain.to_vec());
    };
    budget.used_input(data.len().min(text.len() * 2) as u64);
    if is_zlib(&text) {
        return Some(inflate(&text, place, budget));
    }
    Some(text)
}

/// Whether the stream ended before `end`.
fn passes_end(data: &[u8], end: usize) -> bool {
    data.get(..end).is_some_and(|inside| memmem::find(inside, b"endstream").is_some())
}

/// The two octets of a zlib header: method 8, check sum divisible by 31. RFC 1950 section 2.2.
fn is_zlib(data: &[u8]) -> bool {
    let [method, check, ..] = data else { return false };
    method & 0x0F == 8 && (u32::from(*method) * 256 + u32::from(*check)).is_multiple_of(31)
}

fn inflate(data: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<u8> {
    let mut inflater = ZlibDecoder::new(data);
    let content = budget.read(&mut inflater, data.len() as u64, place).0;
    budget.used_input(inflater.total_in());
    content
}

/// ASCIIHexDecode. ISO 32000-1 section 7.4.2.
fn from_hex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text
        .iter()
        .filter_map(|octet| char::from(*octet).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    let digit = |pair: &[u8], at: usize| pair.get(at).copied().unwrap_or(0);
    digits.chunks(2).map(|pair| digit(pair, 0) << 4 | digit(pair, 1)).collect()
}

/// ASCII85Decode. ISO 32000-1 section 7.4.3.
fn from_base85(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"<~").unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() / 5 * 4);
    let (mut value, mut digits) = (0_u32, 0_usize);
    let shift = |value: u32, digit: u8| value.wrapping_mul(85).wrapping_add(u32::from(digit));
    for octet in text {
        match octet {
            b'z' if digits == 0 => out.extend([0; 4]),
            b'!'..=b'u' => {
                value = shift(value, octet - b'!');
                digits += 1;
                if digits == 5 {
                    out.extend(value.to_be_bytes());
                    (value, digits) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if digits > 1 {
        let filled = (digits..5).fold(value, |value, _| shift(value, 84));
        out.extend(filled.to_be_bytes().iter().take(digits - 1));
    }
    out
}

/// Content of a stream that is worth a part of its own.
fn holds_file(content: &[u8]) -> bool {
    let kind = detect(content);
    kind.is_container() || kind.is_program() || matches!(kind, FileType::Text | FileType::Html)
}
