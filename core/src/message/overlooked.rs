//! What the reading of the structure passes over, and some client does not.
//!
//! Readers differ in where a part begins: at which of two Content-Type fields, at which of two
//! boundaries, in the middle of a line or not, in what stands before the first delimiter and behind
//! the last. There is no end to such tricks, so this does not ask what a client would make of the
//! structure. It walks the lines that no decoded part covers and undoes whatever says that it is
//! encoded: what follows a Content-Transfer-Encoding field, and runs of lines of base64. One pass,
//! linear; an ordinary mail has nothing of the kind outside its parts.

use super::declared::Transfer;
use super::field;
use super::filetype::{FileType, detect, zip_end};

/// Octets that a decoded part was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Covered {
    /// Where its body begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Its encoding is base64; otherwise quoted-printable.
    pub(super) base64: bool,
}

/// Blocks that are undone in one message; more are a limit that was reached.
const BLOCKS_MAX: usize = 100;
/// A line of base64 that begins a run; mailers write 60 to 76.
const LINE_BYTES_MIN: usize = 56;
/// Fewer decoded octets are no file: the shortest of interest has 68 (EICAR), and signatures of
/// lists and footers in an encoding of their own are longer and harmless.
const CONTENT_BYTES_MIN: usize = 24;

/// Letters of base64 inside other text that could be a file; a hash, a key or a token is mostly shorter.
const INSIDE_LETTERS_MIN: usize = 128;

const FIELD: &[u8] = b"content-transfer-encoding";

/// Blocks of `octets` outside of `covered`, undone, and whether those are all.
pub(super) fn find(octets: &[u8], covered: &mut [Covered]) -> (Vec<Vec<u8>>, bool) {
    covered.sort_unstable();
    let mut out = Vec::new();
    let mut asked: Option<(usize, Transfer)> = None;
    let (mut at, mut next, mut tried, mut body) = (0_usize, 0_usize, 0_usize, 0_usize);
    while at < octets.len() {
        if tried >= BLOCKS_MAX {
            return (out, false);
        }
        while covered.get(next).is_some_and(|range| range.end <= at) {
            next += 1;
        }
        if let Some(range) = covered.get(next)
            && range.start <= at
        {
            at = range.end;
            next += 1;
            continue;
        }
        let rest = octets.get(at..).unwrap_or_default();
        let line_bytes = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..line_bytes).unwrap_or(rest);
        if let Some(transfer) = field_of(line, rest) {
            // All fields of one header section have the same body: looked for once.
            if at >= body {
                body = body_after(octets, at);
            }
            let known = covered
                .iter()
                .any(|range| range.start == body && range.base64 == (transfer == Transfer::Base64));
            if !known && asked != Some((body, transfer)) {
                asked = Some((body, transfer));
                tried += 1;
                let block = octets.get(body..).unwrap_or_default();
                let block = block.get(..delimiter(block)).unwrap_or(block);
                keep(transfer.undo(block), &mut out);
            }
        } else if line_bytes >= LINE_BYTES_MIN && is_base64(line) {
            let run = base64_run(rest);
            tried += 1;
            keep(Transfer::Base64.undo(rest.get(..run).unwrap_or(rest)), &mut out);
            at += run;
            continue;
        }
        at += line_bytes;
    }
    (out, true)
}

fn keep(content: Vec<u8>, out: &mut Vec<Vec<u8>>) {
    if content.trim_ascii().len() >= CONTENT_BYTES_MIN {
        out.push(content);
    }
}

/// Runs of lines of base64 in a text, undone: what XML documents carry of others.
pub(super) fn base64_runs(octets: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0_usize;
    while at < octets.len() && out.len() < most {
        let rest = octets.get(at..).unwrap_or_default();
        let line_bytes = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..line_bytes).unwrap_or(rest);
        if line_bytes >= LINE_BYTES_MIN && is_base64(line) {
            let run = base64_run(rest);
            keep(Transfer::Base64.undo(rest.get(..run).unwrap_or(rest)), &mut out);
            at += run;
        } else {
            at += line_bytes;
        }
    }
    out
}

/// Base64 that is not alone on its lines: between the tags of XML, behind the colon of a property of iCalendar, indented or
/// folded; and lines that are shorter than those above. Tokens and keys look alike, so only what is a file counts.
pub(super) fn base64_inside(octets: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let binary = octets.get(..1024).unwrap_or(octets).contains(&0);
    let mut at = 0_usize;
    while !binary && out.len() < most {
        let rest = octets.get(at..).unwrap_or_default();
        let Some(start) = rest.iter().position(is_letter).map(|blanks| at + blanks) else { break };
        let run = run_inside(octets, start);
        at = run.next;
        let (Some(end), true) = (run.end, run.letters >= INSIDE_LETTERS_MIN) else { continue };
        let content = Transfer::Base64.undo(octets.get(start..end).unwrap_or_default());
        if is_file(&content) {
            out.push(content);
        }
    }
    out
}

/// Letters from one place of a text on, over line ends.
struct RunInside {
    /// Where they end as base64 does: before a tag or at the end of a line. `None`: nowhere.
    end: Option<usize>,
    /// Letters before that end.
    letters: usize,
    /// Where to go on.
    next: usize,
}

/// The run whose first letter is at `start`.
fn run_inside(octets: &[u8], start: usize) -> RunInside {
    let before = octets.get(..start).unwrap_or_default();
    let in_tag = before.trim_ascii_end().ends_with(b">");
    let opened = in_tag
        || before.ends_with(b":")
        || before
            .iter()
            .rev()
            .find(|octet| !matches!(octet, b' ' | b'\t'))
            .is_none_or(|octet| *octet == b'\n');
    let mut run = RunInside { end: None, letters: 0, next: start };
    let mut letters = 0_usize;
    loop {
        let rest = octets.get(run.next..).unwrap_or_default();
        let word = rest.iter().position(|octet| !is_letter(octet)).unwrap_or(rest.len());
        letters += word;
        let end = run.next + word;
        let behind = rest.get(word..).unwrap_or_default();
        let gap = behind.iter().position(|octet| !octet.is_ascii_whitespace());
        let gap = gap.unwrap_or(behind.len());
        let line_ends = behind.get(..gap).unwrap_or_default().contains(&b'\n');
        let closed = line_ends || behind.len() == gap || behind.starts_with(b"<");
        if closed || in_tag && behind.get(gap) == Some(&b'<') {
            (run.end, run.letters) = (Some(end), letters);
        }
        let padded = octets.get(..end).is_some_and(|before| before.ends_with(b"="));
        let goes_on = gap > 0 && (line_ends || in_tag) && behind.get(gap).is_some_and(is_letter);
        if !opened || padded || !goes_on {
            run.next = end;
            break;
        }
        run.next = end + gap;
    }
    if !opened {
        run.end = None;
    }
    run
}

fn is_letter(octet: &u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=')
}

/// Whether octets are a file, and not a key or a token that happens to begin as one: types whose mark has two octets do not
/// count, and a text has to be one to its end.
fn is_file(content: &[u8]) -> bool {
    match detect(content) {
        FileType::Unknown => content.starts_with(b"ActiveMime"),
        FileType::Text => std::str::from_utf8(content).is_ok(),
        FileType::Script => !content.starts_with(b"#!") || std::str::from_utf8(content).is_ok(),
        FileType::Empty
        | FileType::Image
        | FileType::Media
        | FileType::DosExe
        | FileType::Arj
        | FileType::Cpio
        | FileType::OtherCompression => zip_end(content).is_some(),
        _ => true,
    }
}

/// The encoding that a field at the start of `rest` names, folds included.
fn field_of(line: &[u8], rest: &[u8]) -> Option<Transfer> {
    let name = line.get(..FIELD.len())?;
    if !name.eq_ignore_ascii_case(FIELD) {
        return None;
    }
    let whole = rest.get(..field::field_end(rest).min(1000)).unwrap_or(rest);
    let colon = memchr::memchr(b':', whole)?;
    Transfer::named_in(whole.get(colon + 1..)?)
}

/// Where the header section that `at` is in ends: behind its empty line.
fn body_after(octets: &[u8], at: usize) -> usize {
    let rest = octets.get(at..).unwrap_or_default();
    for end in memchr::memchr_iter(b'\n', rest) {
        match rest.get(end + 1..) {
            Some([b'\n', ..]) => return at + end + 2,
            Some([b'\r', b'\n', ..]) => return at + end + 3,
            _ => {}
        }
    }
    octets.len()
}

/// Octets before the first line that begins with two hyphens.
fn delimiter(block: &[u8]) -> usize {
    if block.starts_with(b"--") {
        return 0;
    }
    memchr::memmem::find(block, b"\n--").map_or(block.len(), |at| at + 1)
}

/// Whether a line is nothing but base64.
fn is_base64(line: &[u8]) -> bool {
    let letters = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
    let line = line.trim_ascii_end();
    !line.is_empty() && line.iter().all(letters)
}

/// Octets of the lines from the start of `rest` that are nothing but base64.
fn base64_run(rest: &[u8]) -> usize {
    let mut bytes = 0_usize;
    for line in rest.split_inclusive(|&octet| octet == b'\n') {
        if !is_base64(line) {
            break;
        }
        bytes += line.len();
    }
    bytes
}
