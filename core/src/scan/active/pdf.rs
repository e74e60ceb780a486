//! Names in a PDF that make it act: JavaScript, launching, forms that send, files inside, links.
//!
//! Names are looked for by themselves, `#xx` undone, without objects, lengths or cross references:
//! what is made for an attack has none of them in order. Streams that hold octets are passed over, those
//! that hold objects come unfolded from `scan::pdf`.

use memchr::memmem;

use crate::scan::archive::Budget;

/// Names that are looked at.
const NAMES_MAX: usize = 2_000_000;
/// Links of one document.
const LINKS_MAX: usize = 1_000;
/// Actions on opening that are looked at.
const OPENED_MAX: usize = 10;
/// Octets of a link.
const LINK_BYTES_MAX: usize = 4096;
/// Octets of a link once too many octets were read for links that do not end.
const LINK_BYTES_SHORT: usize = 128;
/// Octets that are read in vain for links, for each octet of the document.
const VAIN_RATIO_MAX: usize = 4;
/// Up to here that does not count.
const VAIN_FREE_BYTES: usize = 64 * 1024;

/// Notes what acts in the objects of `octets`: a whole file, or a stream of objects.
pub(in crate::scan) fn look(octets: &[u8], place: &str, budget: &mut Budget<'_>) {
    let vain = octets.len().saturating_mul(VAIN_RATIO_MAX).saturating_add(VAIN_FREE_BYTES);
    let mut counts = Counts { vain, ..Counts::default() };
    for (start, end) in between_streams(octets) {
        let Some(range) = octets.get(start..end) else { continue };
        let mut from = 0;
        for _ in 0..NAMES_MAX {
            let Some(at) = range.get(from..).and_then(|rest| memchr::memchr(b'/', rest)) else {
                break;
            };
            let (name, next) = name(range, from + at + 1);
            from = next;
            let rest = range.get(next..).unwrap_or_default();
            named(&name, rest, &mut counts, (place, budget));
            if name == b"OpenAction" {
                counts.opened += 1;
                if counts.opened <= OPENED_MAX && opens_address(octets, rest) {
                    budget.mark("ACTIVE_PDF_ACTION", place, "opens an address by itself");
                }
            }
        }
    }
}

/// What was met.
#[derive(Default)]
struct Counts {
    links: usize,
    opened: usize,
    /// Octets that may still be read for links that do not end. A megabyte of `/URI(` would be read two thousand times.
    vain: usize,
}

/// One name and what follows it.
fn named(name: &[u8], rest: &[u8], counts: &mut Counts, (place, budget): (&str, &mut Budget<'_>)) {
    let follows = || rest.iter().copied().find(|octet| !is_blank(*octet));
    match name {
        b"JavaScript" => budget.mark("ACTIVE_PDF_JAVASCRIPT", place, "JavaScript"),
        // A key, whose value is text or the number of an object.
        b"JS" if follows().is_some_and(|octet| matches!(octet, b'(' | b'<' | b'0'..=b'9')) => {
            budget.mark("ACTIVE_PDF_JAVASCRIPT", place, "JavaScript");
        }
        b"Launch" => budget.mark("ACTIVE_PDF_LAUNCH", place, "starts a program or opens a file"),
        b"SubmitForm" => budget.mark("ACTIVE_PDF_ACTION", place, "sends a form"),
        b"ImportData" => budget.mark("ACTIVE_PDF_ACTION", place, "imports data"),
        b"GoToR" | b"GoToE" => budget.mark("ACTIVE_PDF_ACTION", place, "opens another document"),
        b"RichMedia" | b"Rendition" => budget.mark("ACTIVE_PDF_RICHMEDIA", place, "media that run"),
        b"EmbeddedFile" | b"EmbeddedFiles" => {
            budget.mark("ACTIVE_PDF_EMBEDDED", place, "files inside");
        }
        b"URI" if counts.links < LINKS_MAX => {
            let most = if counts.vain == 0 { LINK_BYTES_SHORT } else { LINK_BYTES_MAX };
            let near = rest.get(..rest.len().min(2 * most)).unwrap_or_default();
            match string(near) {
                Some(link) => {
                    counts.links += 1;
                    budget.link(&String::from_utf8_lossy(&link));
                }
                // In `/S /URI` it is a value, and nothing was read for it.
                None if matches!(follows(), Some(b'(' | b'<')) => {
                    counts.vain = counts.vain.saturating_sub(near.len());
                }
                None => {}
            }
        }
        _ => {}
    }
}

/// Whether an address is opened without a click: `/OpenAction` with `/S /URI`, in itself or in the object
/// that it names. `rest`: what follows the name.
fn opens_address(octets: &[u8], rest: &[u8]) -> bool {
    let rest = rest.get(..rest.len().min(400)).unwrap_or_default().trim_ascii_start();
    let inside = if rest.starts_with(b"<<") {
        memmem::find(rest, b">>").and_then(|end| rest.get(..end))
    } else {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let number = rest.get(..digits).filter(|number| !number.is_empty());
        number.and_then(|number| object(octets, number))
    };
    let mut from = 0;
    while let Some(at) = inside.and_then(|inside| memchr::memchr(b'/', inside.get(from..)?)) {
        let (name, next) = name(inside.unwrap_or_default(), from + at + 1);
        if name == b"URI" {
            return true;
        }
        from = next;
    }
    false
}

/// The first octets of the object of this number.
fn object<'o>(octets: &'o [u8], number: &[u8]) -> Option<&'o [u8]> {
    let mark = [number, b" 0 obj"].concat();
    let alone = |at: &usize| {
        at.checked_sub(1).and_then(|before| octets.get(before)).is_none_or(|o| !o.is_ascii_digit())
    };
    let at = memmem::find_iter(octets, &mark).find(alone)?;
    let rest = octets.get(at..)?;
    let rest = rest.get(..400).unwrap_or(rest);
    Some(memmem::find(rest, b"endobj").and_then(|end| rest.get(..end)).unwrap_or(rest))
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, 0 | 9 | 10 | 12 | 13 | 32)
}

/// The name that begins at `at`, `#xx` undone, and where it ends. ISO 32000-1 section 7.3.5.
fn name(octets: &[u8], at: usize) -> (Vec<u8>, usize) {
    let (mut out, mut at) = (Vec::new(), at);
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some(octet) = octets.get(at) {
        if is_blank(*octet) || b"()<>[]{}/%".contains(octet) {
            break;
        }
        let pair = octets.get(at + 1).and_then(digit).zip(octets.get(at + 2).and_then(digit));
        let (value, used) = match (octet, pair) {
            (b'#', Some((high, low))) => (high << 4 | low, 3),
            (other, _) => (*other, 1),
        };
        at += used;
        // The longest name of interest is shorter.
        if out.len() < 64 {
            out.push(value);
        }
    }
    (out, at)
}

/// A string in brackets or hexadecimal.
fn string(rest: &[u8]) -> Option<Vec<u8>> {
    let begin = rest.iter().position(|octet| !is_blank(*octet))?;
    let rest = rest.get(begin..)?;
    let inside = rest.get(1..)?;
    match rest.first()? {
        b'<' if rest.get(1) != Some(&b'<') => {
            let end = memchr::memchr(b'>', inside)?;
            Some(crate::scan::pdf::from_hex(inside.get(..end)?))
        }
        b'(' if memchr::memchr(b')', inside).is_some() => {
            let (mut out, mut depth, mut octets) = (Vec::new(), 1, inside.iter().copied());
            while let Some(octet) = octets.next() {
                match octet {
                    b'\\' => out.extend(octets.next()),
                    b'(' => {
                        depth += 1;
                        out.push(octet);
                    }
                    b')' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(out);
                        }
                        out.push(octet);
                    }
                    octet => out.push(octet),
                }
            }
            None
        }
        _ => None,
    }
}

/// Ranges of the octets without streams whose first octets are no text: a name there is chance.
fn between_streams(octets: &[u8]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let (mut from, mut ends) = (0, true);
    while let Some(at) = octets.get(from..).and_then(|rest| memmem::find(rest, b"stream")) {
        let begin = from + at + 6;
        let data = octets.get(begin..).unwrap_or_default();
        let head = data.get(..512).unwrap_or(data);
        let odd =
            head.iter().filter(|octet| !octet.is_ascii_graphic() && !is_blank(**octet)).count();
        let binary = odd * 4 > head.len();
        // Where there is no end behind one, there is none behind the next.
        let end = if binary && ends { memmem::find(data, b"endstream") } else { None };
        ends &= !binary || end.is_some();
        match end {
            Some(end) => {
                out.push((from, begin));
                from = begin + end + 9;
            }
            None => {
                out.push((from, begin));
                from = begin;
            }
        }
        if out.len() > 200_000 {
            break;
        }
    }
    out.push((from, octets.len()));
    out
}
