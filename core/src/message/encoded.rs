//! Encoded blocks inside text: uuencode, `begin-base64`, `data:` URIs, base64 between tags or in folded lines, and a text that
//! is nothing but base64.

use std::borrow::Cow;

use super::field::decode_base64_lenient;
use super::filetype::{FileType, detect, zip_end};
use super::overlooked::{base64_inside, base64_runs};
use super::part::{Part, PartOrigin};
use memchr::memmem;

/// Blocks of one part that are looked for; one that has as many may have more (a limit).
pub(super) const BLOCKS_MAX: usize = 50;
/// Shortest base64 text that counts as such; a shorter one is a word.
const BASE64_BYTES_MIN: usize = 40;
/// Zeros that the lines of one text may leave out at their ends, beside one for each octet of it: a few letters would otherwise
/// stand for many times as much.
pub(super) const PADDING_BYTES: usize = 64 * 1024;
/// A line of BinHex has 64 letters; fewer are words.
const BINHEX_LINE_BYTES: usize = 32;

/// The encoded blocks of a part, as parts of their own.
pub(super) fn blocks_of_part(part: &Part<'_>) -> Vec<Part<'static>> {
    if part.origin != PartOrigin::Mime {
        return Vec::new();
    }
    let found = match &part.decoded {
        // Lines that arrived as they are were looked at already (`overlooked`).
        Cow::Borrowed(octets) => blocks(octets),
        Cow::Owned(octets) => blocks_of(octets),
    };
    found
        .into_iter()
        .enumerate()
        .map(|(index, (name, octets))| {
            let path = format!("{}/{}", part.path, index + 1);
            let attachment = !name.is_empty();
            let made = Part::of_octets(path.into(), PartOrigin::Encoded, &name, Cow::Owned(octets));
            Part { span: part.span, attachment, ..made }
        })
        .collect()
}

/// What `data:` URIs carry (RFC 2397), pictures left out: a page that saves a file to disk when it is
/// opened carries it so.
fn data_uris(octets: &[u8]) -> Vec<Vec<u8>> {
    const MARK: &[u8] = b";base64,";
    memmem::find_iter(octets, MARK)
        .take(BLOCKS_MAX)
        .filter_map(|at| {
            let rest = octets.get(at + MARK.len()..)?;
            let inside = |octet: &u8| {
                octet.is_ascii_alphanumeric()
                    || matches!(octet, b'+' | b'/' | b'=' | b'\r' | b'\n' | b' ' | b'\t')
            };
            let end = rest.iter().position(|octet| !inside(octet)).unwrap_or(rest.len());
            let content = decode_base64_lenient(rest.get(..end)?);
            let kind = detect(&content);
            let shown = matches!(kind, FileType::Image | FileType::Media | FileType::Empty);
            (!shown || zip_end(&content).is_some()).then_some(content)
        })
        .collect()
}

/// The encoded blocks of some octets: name (may be empty) and content.
#[must_use]
pub fn blocks_of(octets: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out = blocks(octets);
    for content in base64_runs(octets, BLOCKS_MAX.saturating_sub(out.len())) {
        if !out.iter().any(|(_, known)| *known == content) {
            out.push((String::new(), content));
        }
    }
    out
}

fn blocks(octets: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out: Vec<(String, Vec<u8>)> =
        data_uris(octets).into_iter().map(|content| (String::new(), content)).collect();
    let mut from = 0_usize;
    let mut padding = PADDING_BYTES.saturating_add(octets.len());
    while out.len() < BLOCKS_MAX
        && let Some(found) =
            octets.get(from..).and_then(|rest| memmem::find(rest, b"begin ")).map(|at| at + from)
    {
        from = found + 6;
        let at_line_start = found == 0 || octets.get(found - 1) == Some(&b'\n');
        if at_line_start
            && let Some(block) = uuencoded(octets.get(from..).unwrap_or_default(), &mut padding)
        {
            out.push(block);
        }
    }
    posix_base64(octets, &mut out);
    if out.is_empty()
        && let Some(content) = bare_base64(octets)
    {
        out.push((String::new(), content));
    }
    for content in base64_inside(octets, BLOCKS_MAX.saturating_sub(out.len())) {
        if !out.iter().any(|(_, known)| *known == content) {
            out.push((String::new(), content));
        }
    }
    out
}

/// What POSIX `uuencode -m` writes: base64 between a line with a name and one of four equals signs, in lines of any length.
fn posix_base64(octets: &[u8], out: &mut Vec<(String, Vec<u8>)>) {
    const MARK: &[u8] = b"begin-base64 ";
    let mut from = 0_usize;
    while out.len() < BLOCKS_MAX
        && let Some(found) = octets.get(from..).and_then(|rest| memmem::find(rest, MARK))
    {
        let at = found + from;
        from = at + MARK.len();
        if at > 0 && octets.get(at - 1) != Some(&b'\n') {
            continue;
        }
        let rest = octets.get(from..).unwrap_or_default();
        let (head, body) = rest.split_at(memchr::memchr(b'\n', rest).unwrap_or(rest.len()));
        // The hyphen of the next mark ends it as well, so none is read twice.
        let end = memmem::find(body, b"\n====").unwrap_or(body.len());
        let body = body.get(..end).unwrap_or(body);
        let body = body.get(..memmem::find(body, MARK).unwrap_or(end)).unwrap_or(body);
        from += head.len() + body.len();
        let name = head.splitn(2, |&octet| octet == b' ').nth(1).unwrap_or_default();
        let content = decode_base64_lenient(body);
        if !content.is_empty() {
            out.push((
                String::from_utf8_lossy(name.trim_ascii()).chars().take(255).collect(),
                content,
            ));
        }
    }
}

/// Whether a text holds an encoding that nobody here undoes, whole: yEnc or BinHex. Words about them are none.
#[must_use]
pub fn holds_unread(octets: &[u8]) -> bool {
    let at_line_start = |at: &usize| *at == 0 || octets.get(at - 1) == Some(&b'\n');
    let yenc = |at: usize| {
        let rest = octets.get(at..).unwrap_or_default();
        let line = rest.get(..memchr::memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or(rest);
        let says = |word: &[u8]| memmem::find(line, word).is_some();
        says(b" line=") && says(b" size=") && says(b" name=")
    };
    let binhex = |at: usize| {
        let rest = octets.get(at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let data = rest.get(end..).unwrap_or_default().trim_ascii_start();
        let line = data.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
        line.starts_with(b":") && line.len() > BINHEX_LINE_BYTES && !line.contains(&b' ')
    };
    memmem::find_iter(octets, b"=ybegin ").take(BLOCKS_MAX).filter(at_line_start).any(yenc)
        && memmem::find(octets, b"\n=yend ").is_some()
        || memmem::find_iter(octets, b"(This file must be converted with BinHex")
            .take(BLOCKS_MAX)
            .filter(at_line_start)
            .any(binhex)
}

/// Whether what is said to be uuencoded has no first line that says so.
pub(super) fn is_headless(body: &[u8]) -> bool {
    !body.trim_ascii().is_empty()
        && !body.starts_with(b"begin ")
        && memmem::find(body, b"\nbegin ").is_none()
}

/// Reads a uuencoded block after its `begin `. A zero may be written as a blank, and blanks at the end of a line are lost on
/// the way: as many are put back as the length of the line asks for, `padding` octets at most.
fn uuencoded(text: &[u8], padding: &mut usize) -> Option<(String, Vec<u8>)> {
    let mut lines = text.split(|&octet| octet == b'\n').map(<[u8]>::trim_ascii_end);
    let head = lines.next()?;
    let (mode, name) = head.split_at(memchr::memchr(b' ', head)?);
    if !(3..=4).contains(&mode.len()) || !mode.iter().all(|octet| (b'0'..=b'7').contains(octet)) {
        return None;
    }
    let mut content = Vec::new();
    for line in lines {
        if line == b"end" {
            break;
        }
        let Some((&length, data)) = line.split_first() else {
            continue;
        };
        if !(b' '..=b'`').contains(&length) {
            break;
        }
        let wanted = usize::from((length - b' ') & 0x3F);
        let start = content.len();
        for group in data.chunks(4) {
            let mut bits = 0_u32;
            for index in 0..4 {
                let octet = group.get(index).copied().unwrap_or(b' ');
                bits = bits << 6 | u32::from(octet.wrapping_sub(b' ') & 0x3F);
            }
            let [_, a, b, c] = bits.to_be_bytes();
            content.extend([a, b, c]);
        }
        let missing = (start + wanted).saturating_sub(content.len()).min(*padding);
        *padding -= missing;
        content.resize(content.len() + missing, 0);
        content.truncate(start + wanted);
    }
    let name = String::from_utf8_lossy(name.trim_ascii()).chars().take(255).collect();
    (!content.is_empty()).then_some((name, content))
}

/// The content, if the whole text is base64 in lines.
fn bare_base64(octets: &[u8]) -> Option<Vec<u8>> {
    let text = octets.trim_ascii();
    if text.len() < BASE64_BYTES_MIN {
        return None;
    }
    let mut letters = 0_usize;
    for octet in text {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => letters += 1,
            b'\r' | b'\n' => {}
            _ => return None,
        }
    }
    letters
        .is_multiple_of(4)
        .then(|| decode_base64_lenient(text))
        .filter(|content| !content.is_empty())
}
