//! Streams of PDF. Names, lengths and cross references are not believed: files made for an attack
//! are broken on purpose. Whatever follows `stream` is taken for what its octets say it is; run lengths
//! do not say it, and are tried where the file names them anywhere.

use memchr::memmem;

use super::active;
use super::archive::{Budget, Member};
use crate::message::{ExceptionKind, FileType, Limit, detect};
use filter::{Deflate, Lzw, RunLength, from_base85};
use text::{Added, Pages};
use token::{Token, Tokens};

pub(super) use filter::from_hex;

mod cmap;
mod crypt;
mod filter;
mod objects;
mod text;
mod token;

/// Streams of one PDF that are looked into.
const STREAMS_MAX: usize = 4_000;

/// Octets of a dictionary in front of its stream.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Octets in front of what is deflated.
const ZLIB_HEAD_BYTES: usize = 2;
/// Octets at the end of a stream that may be missing or wrong.
const SLACK_BYTES: usize = 64;

/// Filters behind the first one that are undone where they are told by their octets.
const CHAIN_MAX: usize = 6;

/// What comes of a filter by guess is mostly a few octets of nothing.
const GUESSED_BYTES_MIN: usize = 16;

/// What the streams hold.
pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let encrypted = has_name(octets, b"Encrypt");
    let opened = crypt::open(octets, place, budget);
    match &opened {
        Some(opened) => active::pdf::look(&opened.objects(octets), place, budget),
        None => active::pdf::look(octets, place, budget),
    }
    let named = Named::of(octets);
    let mut pages = Pages::of_file(octets);
    let (mut count, mut broken) = (0_usize, false);
    for at in memmem::find_iter(octets, b"stream") {
        if octets.get(..at).is_some_and(|before| before.ends_with(b"end")) {
            continue;
        }
        count += 1;
        if count > STREAMS_MAX || !budget.admits_input(octets.len(), place) {
            budget.limit(Limit::Entries, place, "too many streams in a PDF");
            break;
        }
        let data = data_of(octets.get(at + 6..).unwrap_or_default());
        let head = Head::before(octets.get(..at).unwrap_or_default());
        let (mut unfolded, failed) = contents(data, named, place, budget);
        let failed = failed.or_else(|| if is_zlib(data) { None } else { Some(0) });
        if let Some(used) = failed.filter(|_| !encrypted && head.deflated && !broken) {
            broken = is_broken(data, used, budget);
        }
        if broken {
            let detail = "a stream of a PDF that cannot be read to its end";
            budget.note(ExceptionKind::Malformed, place, detail);
        }
        // Not every stream of an encrypted file is encrypted, and which ones are is not believed.
        if let Some(plain) = opened.as_ref().and_then(|opened| opened.stream(octets, at, data)) {
            budget.used_input(plain.len() as u64);
            unfolded.append(&mut contents(&plain, named, place, budget).0);
        }
        for content in unfolded {
            let objects = holds_objects(&content);
            if objects {
                active::pdf::look(&content, place, budget);
            }
            let added = pages.add(head.number, &content, objects);
            if added == Added::NoRoom {
                budget.limit(Limit::Bytes, place, "more text in a PDF than is read");
            }
            // Drawing instructions are no files: only what looks like one becomes a member.
            if holds_file(&content) {
                if !budget.admits_member(place) {
                    return out;
                }
                out.push(match added {
                    Added::Drawing => Member::drawing(b"stream".to_vec(), content),
                    Added::Other | Added::NoRoom => Member::new(b"stream".to_vec(), content),
                });
            }
        }
    }
    out.extend(budget.text(pages.text(), place));
    out
}

/// What is behind the word `stream` and the line that it ends.
fn data_of(rest: &[u8]) -> &[u8] {
    let blanks = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let line = rest.get(blanks..).unwrap_or_default();
    // Blanks without a line end are data.
    let rest = if matches!(line, [b'\r' | b'\n', ..]) { line } else { rest };
    let data = rest.strip_prefix(b"\r").unwrap_or(rest);
    data.strip_prefix(b"\n").unwrap_or(data)
}

/// What stands in front of a stream.
#[derive(Default)]
struct Head {
    /// Number of its object; 0 where there is none.
    number: u32,
    /// Its dictionary says that its data are deflated, and nothing else first.
    deflated: bool,
}

impl Head {
    fn before(octets: &[u8]) -> Self {
        let near = octets.get(octets.len().saturating_sub(HEAD_BYTES_MAX)..).unwrap_or(octets);
        let near = near.trim_ascii_end();
        let Some(at) = memmem::rfind(near, b"obj").filter(|_| near.ends_with(b">>")) else {
            return Self::default();
        };
        let number = objects::number_before(near.get(..at).unwrap_or_default()).unwrap_or(0);
        let mut tokens = Tokens::new(near.get(at + 3..).unwrap_or_default());
        let named = |token: &Token| matches!(token, Token::Name(name) if name == b"Filter");
        let filter = tokens.find(named).and_then(|_| match tokens.next() {
            Some(Token::ArrayOpen) => tokens.next(),
            other => other,
        });
        let deflated =
            matches!(filter, Some(Token::Name(name)) if name == b"FlateDecode" || name == b"Fl");
        Self { number, deflated }
    }
}

/// Whether data that should be deflated are not, before the stream ends. `used`: octets behind which they cannot be unfolded.
/// What is missing at the very end (the check sum, the mark of the last block) is missing in files of honest writers, too, and
/// every reader shows all the rest.
fn is_broken(data: &[u8], used: u64, budget: &mut Budget<'_>) -> bool {
    let end = memmem::find(data, b"endstream").unwrap_or(data.len());
    budget.used_input(end as u64);
    let used = usize::try_from(used).unwrap_or(usize::MAX);
    let left = data.get(..end).and_then(|data| data.get(used..)).unwrap_or_default();
    left.trim_ascii().len() > SLACK_BYTES || used == 0 && !left.trim_ascii().is_empty()
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

/// What a stream may hold. More than one thing where its octets do not say which filter it has. Where its first filter failed,
/// it says behind how many octets.
fn contents(
    data: &[u8],
    named: Named,
    place: &str,
    budget: &mut Budget<'_>,
) -> (Vec<Vec<u8>>, Option<u64>) {
    let (mut out, mut todo, mut failed) = (Vec::new(), Vec::new(), None);
    if is_zlib(data) {
        let (content, used) = inflate(data, place, budget);
        failed = used;
        todo.push(content);
    } else if let Some(content) = unfold(data, budget) {
        todo.push(content);
    }
    todo.append(&mut guessed(data, named, place, budget));
    // Filters behind each other: two are used, more is a trick, and only what its octets tell is undone of it.
    for content in todo {
        out.append(&mut guessed(&content, named, place, budget));
        out.push(chained(content, place, budget));
    }
    (out, failed)
}

/// What is behind filters that follow each other, as far as their octets tell.
fn chained(mut content: Vec<u8>, place: &str, budget: &mut Budget<'_>) -> Vec<u8> {
    for _ in 0..CHAIN_MAX {
        let inner = if is_zlib(&content) {
            inflate(&content, place, budget).0
        } else {
            let Some(inner) = texted(&content, budget) else { return content };
            inner
        };
        // Two octets may look like the head of zlib by chance.
        if inner.is_empty() {
            return content;
        }
        content = inner;
    }
    if is_zlib(&content) {
        let detail = "filters of a PDF that follow each other without end";
        budget.note(ExceptionKind::NotScanned, place, detail);
    }
    content
}

/// What is behind hexadecimal digits or base 85, if nothing else is there to its end.
fn texted(content: &[u8], budget: &mut Budget<'_>) -> Option<Vec<u8>> {
    let text = content.trim_ascii();
    let blank = |octet: &u8| octet.is_ascii_whitespace();
    let hex = |text: &[u8]| text.iter().all(|octet| octet.is_ascii_hexdigit() || blank(octet));
    let base85 = |text: &[u8]| {
        text.iter().all(|octet| (b'!'..=b'u').contains(octet) || *octet == b'z' || blank(octet))
    };
    budget.used_input(content.len() as u64);
    if let Some(text) = text.strip_suffix(b"~>") {
        return base85(text).then(|| from_base85(text));
    }
    let text = text.strip_suffix(b">").filter(|text| text.len() >= 2 * GUESSED_BYTES_MIN)?;
    hex(text).then(|| from_hex(text))
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

/// The octets behind another filter of a stream; `None` if it holds nothing of interest.
fn unfold(data: &[u8], budget: &mut Budget<'_>) -> Option<Vec<u8>> {
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

/// What zlib's data unfold to, and if they do so not to their end, behind how many octets. The check sum is not asked for.
fn inflate(data: &[u8], place: &str, budget: &mut Budget<'_>) -> (Vec<u8>, Option<u64>) {
    let mut inflater = Deflate::new(data.get(ZLIB_HEAD_BYTES..).unwrap_or_default());
    let (content, whole) = budget.read(&mut inflater, data.len() as u64, place);
    let used = inflater.used() + ZLIB_HEAD_BYTES as u64;
    budget.used_input(used);
    let failed = if content.is_empty() { 0 } else { used };
    (content, if whole { None } else { Some(failed) })
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
    let (readings, _) = contents(data, named, "1", budget);
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
