//! Streams of PDF. Names, lengths and cross references are not believed: files made for an attack
//! are broken on purpose. Whatever follows `stream` is taken for what its octets say it is; run lengths
//! do not say it, and are tried where the file names them anywhere.

use flate2::read::ZlibDecoder;
use memchr::memmem;

use super::active;
use super::archive::{Budget, Member};
use crate::message::{ExceptionKind, FileType, detect};
use filter::{Lzw, RunLength, from_base85};

pub(super) use filter::from_hex;

mod crypt;
mod filter;

/// Streams of one PDF that are looked into.
const STREAMS_MAX: usize = 4_000;

/// What comes of a filter by guess is mostly a few octets of nothing.
const GUESSED_BYTES_MIN: usize = 16;

/// What the streams hold.
pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let opened = crypt::open(octets, place, budget);
    match &opened {
        Some(opened) => active::pdf::look(&opened.objects(octets), place, budget),
        None => active::pdf::look(octets, place, budget),
    }
    let named = Named::of(octets);
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
        let mut found = contents(data, named, place, budget);
        // Not every stream of an encrypted file is encrypted, and which ones are is not believed.
        if let Some(plain) = opened.as_ref().and_then(|opened| opened.stream(octets, at, data)) {
            budget.used_input(plain.len() as u64);
            found.append(&mut contents(&plain, named, place, budget));
        }
        for content in found {
            if holds_objects(&content) {
                active::pdf::look(&content, place, budget);
            }
            // Drawing instructions are no files: only what looks like one becomes a member.
            if holds_file(&content) {
                if !budget.admits_member(place) {
                    return out;
                }
                out.push(Member { name: b"stream".to_vec(), octets: content });
            }
        }
    }
    out
}

/// Filters whose data cannot be told by its octets, if the file names them anywhere.
#[derive(Clone, Copy)]
struct Named {
    run_length: bool,
    lzw: bool,
    late_change: bool,
}

impl Named {
    /// A filter may be named far from its stream, or where only a reader of all objects finds it; then
    /// it could be any.
    fn of(octets: &[u8]) -> Self {
        let hidden = memmem::find_iter(octets, b"/Filter").any(|at| {
            let behind = octets.get(at + 7..).unwrap_or_default().iter();
            let first = behind.copied().find(|o| !o.is_ascii_whitespace() && *o != b'[');
            first.is_some_and(|octet| octet.is_ascii_digit())
        });
        Self {
            run_length: hidden || has_name(octets, b"RunLengthDecode") || has_name(octets, b"RL"),
            lzw: hidden || has_name(octets, b"LZW"),
            late_change: has_name(octets, b"EarlyChange"),
        }
    }
}

/// Whether a name begins so; `/L#5aW` is `/LZW`. ISO 32000-1 section 7.3.5.
fn has_name(octets: &[u8], name: &[u8]) -> bool {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    memchr::memchr_iter(b'/', octets).any(|at| {
        let mut rest = octets.get(at + 1..).unwrap_or_default();
        name.iter().all(|wanted| {
            let (octet, behind) = match rest {
                [b'#', high, low, behind @ ..] => match (digit(high), digit(low)) {
                    (Some(high), Some(low)) => (high << 4 | low, behind),
                    _ => return false,
                },
                [octet, behind @ ..] => (*octet, behind),
                [] => return false,
            };
            rest = behind;
            octet == *wanted
        })
    })
}

/// What a stream may hold. More than one thing where its octets do not say which filter it has.
fn contents(data: &[u8], named: Named, place: &str, budget: &mut Budget<'_>) -> Vec<Vec<u8>> {
    let (mut out, mut todo) = (Vec::new(), Vec::new());
    if let Some(content) = unfold(data, place, budget) {
        todo.push(content);
    }
    todo.append(&mut guessed(data, named, place, budget));
    // Filters behind each other: two are used, more is a trick that readers do not all follow.
    for content in todo {
        out.append(&mut guessed(&content, named, place, budget));
        out.push(if is_zlib(&content) { inflate(&content, place, budget) } else { content });
    }
    out
}

/// What LZW and run lengths make of it. LZW begins with a code that tells it, if it is as it should be.
fn guessed(data: &[u8], named: Named, place: &str, budget: &mut Budget<'_>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    if named.lzw || matches!(data, [0x80, 0..=0x7F, ..]) {
        for early_change in [true, false] {
            if early_change || named.late_change {
                let mut lzw = Lzw::new(data, early_change);
                out.push(budget.read(&mut lzw, data.len() as u64, place).0);
                budget.used_input((data.len() - lzw.left()) as u64);
            }
        }
    }
    if named.run_length {
        let mut run_length = RunLength::new(data);
        out.push(budget.read(&mut run_length, data.len() as u64, place).0);
        budget.used_input((data.len() - run_length.left()) as u64);
    }
    out.retain(|content| content.len() >= GUESSED_BYTES_MIN);
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
    // Where the end of a text is looked for in vain, that costs as much as where it is found.
    let within = |end: Option<usize>, budget: &mut Budget<'_>| {
        budget.used_input(end.unwrap_or(data.len()) as u64);
        data.get(..end?)
    };
    let text = if head.iter().all(hex) {
        from_hex(within(memchr::memchr(b'>', data), budget)?)
    } else if head.iter().all(base85) {
        let text = within(memmem::find(data, b"~>"), budget)?;
        from_base85(Some(text).filter(|text| memmem::find(text, b"endstream").is_none())?)
    } else {
        // Not filtered: worth a part of its own only if it is a file that is opened further.
        let end = memmem::find(data, b"endstream").unwrap_or(data.len());
        budget.used_input(end as u64);
        let plain = data.get(..end)?;
        let kind = detect(plain);
        return (kind.is_container() || kind.is_program()).then(|| plain.to_vec());
    };
    Some(text)
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

/// A stream of objects begins with their numbers and offsets. ISO 32000-1 section 7.5.7.
fn holds_objects(content: &[u8]) -> bool {
    let head = content.get(..64).unwrap_or(content).trim_ascii_start();
    head.first().is_some_and(u8::is_ascii_digit) && memmem::find(content, b"<<").is_some()
        || head.starts_with(b"<<")
}

/// Fuzz entry: any octets behind every filter. Number of readings.
pub(super) fn fuzz_filters(data: &[u8], budget: &mut Budget<'_>) -> usize {
    let named = Named { run_length: true, lzw: true, late_change: true };
    let readings = contents(data, named, "1", budget);
    for content in &readings {
        active::pdf::look(content, "1", budget);
    }
    readings.iter().filter(|content| !content.is_empty()).count() + crypt::fuzz(data)
}

/// Content of a stream that is worth a part of its own.
fn holds_file(content: &[u8]) -> bool {
    let kind = detect(content);
    kind.is_container() || kind.is_program() || matches!(kind, FileType::Text | FileType::Html)
}
