//! Body stamps. A stamp is inserted at the beginning of the first text part (text and HTML of a
//! multipart/alternative both), in the part's own charset and transfer encoding: the octets of the
//! mail are never re-encoded, only ours are put before them.
//!
//! Where that cannot be done right (signed or encrypted structure, inline PGP, unknown charset or encoding, a charset in which
//! no line of the stamp can be said, no text part in the front) the stamp becomes the field `X-Sekisho-Stamp`: decisions 0064,
//! 0106. Nothing is looked for inside the text: what a sender wrote there (comments, styles) cannot hide a stamp before it.

use super::header::fields;
use super::subject::base64;
use crate::message;

/// Depth of multiparts that is looked into.
const DEPTH_MAX: usize = 8;
/// Characters on one line of a stamp: in any charset below the 998 octets of RFC 5322, in HTML too, where a character takes
/// up to ten.
const LINE_CHARS_MAX: usize = 90;
/// Octets of a text that are searched for inline PGP.
const PGP_BYTES_MAX: usize = 64 * 1024;

/// Where stamps go.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Offsets in the body, ascending, and the octets to insert there.
    pub(super) inserts: Vec<(usize, Vec<u8>)>,
    /// Stamps that become header fields.
    pub(super) fields: Vec<Box<str>>,
}

impl Plan {
    /// The body stays as it is.
    pub(super) fn fields(stamps: &[Box<str>]) -> Self {
        Self { inserts: Vec::new(), fields: stamps.to_vec() }
    }
}

/// Decides where `stamps` go.
pub(super) fn plan(header: &[u8], body: &[u8], stamps: &[Box<str>]) -> Plan {
    if stamps.is_empty() {
        return Plan::default();
    }
    // For some readers a header section ends at a line of blanks, or at one that is no field, for others it does not: where the
    // text is cannot be said.
    let blank = |line: &[u8]| line.len() > 1 && line.trim_ascii().is_empty();
    let mut lines_of = header.split(|octet| *octet == b'\n');
    if lines_of.any(blank) || message::first_strange_line(header).is_some() {
        return Plan::fields(stamps);
    }
    let text = lines(stamps);
    let mut places = Vec::new();
    find(header, body, 0, DEPTH_MAX, &mut places);
    if places.iter().any(|place| place.has_pgp(body) || place.is_mislabelled(body)) {
        return Plan::fields(stamps);
    }
    let inserts: Vec<(usize, Vec<u8>)> = places
        .iter()
        .filter_map(|place| Some((place.start, place.entity.encode(&text, place.octets(body))?)))
        .collect();
    // Who reads the part that could not be stamped finds it among the fields at least.
    let all = !inserts.is_empty() && inserts.len() == places.len();
    Plan { inserts, fields: if all { Vec::new() } else { stamps.to_vec() } }
}

/// The lines of all stamps.
fn lines(stamps: &[Box<str>]) -> Vec<String> {
    let lines = stamps.iter().flat_map(|stamp| stamp.trim().lines());
    lines.map(|line| line.trim_end().chars().filter(|c| !c.is_control()).collect()).collect()
}

/// Lines, none of them too long and none with blanks at its end: in format=flowed those would join it to the next (RFC 3676
/// section 4.1). Where there are blanks, words stay whole.
fn wrapped(lines: &[String]) -> String {
    let mut out = String::new();
    for line in lines {
        let mut rest = line.as_str();
        while let Some((at, _)) = rest.char_indices().nth(LINE_CHARS_MAX) {
            let (front, _) = rest.split_at(at);
            let blank = front.rfind(' ').filter(|blank| !front[..*blank].trim().is_empty());
            let (now, then) = rest.split_at(blank.unwrap_or(at));
            out.push_str(now.trim_end());
            out.push('\n');
            rest = then.trim_start();
        }
        out.push_str(rest);
        out.push('\n');
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// A text that is stamped: where it begins and ends in the body of the message, and what it is.
struct Place {
    start: usize,
    end: usize,
    entity: Entity,
}

impl Place {
    fn octets<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }

    /// A text that only says that it is base64: a client that shows it as it is would show the stamp in base64.
    fn is_mislabelled(&self, body: &[u8]) -> bool {
        self.entity.encoding == "base64" && message::is_prose(self.octets(body))
    }

    /// Signed or encrypted by hand, inside the text. In quoted-printable the line stands as it is.
    fn has_pgp(&self, body: &[u8]) -> bool {
        let octets = self.octets(body);
        let octets = octets.get(..PGP_BYTES_MAX.min(octets.len())).unwrap_or_default();
        let decoded = match self.entity.encoding.as_str() {
            "base64" => {
                let whole = octets.len() - octets.len() % 4;
                mail_parser::decoders::base64::base64_decode(
                    octets.get(..whole).unwrap_or_default(),
                )
            }
            _ => None,
        };
        let text = decoded.as_deref().unwrap_or(octets);
        memchr::memmem::find_iter(text, b"-----BEGIN PGP ")
            .any(|at| at == 0 || matches!(text.get(at - 1), Some(b'\n' | b'>')))
    }
}

/// The first text part, and in a multipart/alternative each of them (NTT-05: text and HTML). `body` ends where the entity
/// does, which begins at `start`.
fn find(
    header: &[u8],
    body: &[u8],
    start: usize,
    depth: usize,
    places: &mut Vec<Place>,
) -> Option<()> {
    let entity = Entity::of(header);
    if !entity.media.starts_with("multipart/") {
        let text = matches!(entity.media.as_str(), "text/plain" | "text/html");
        if text && !entity.attachment {
            places.push(Place { start, end: body.len(), entity });
        }
        return Some(());
    }
    // What is signed or encrypted must not be touched; what a digest holds without a type of its own is a message.
    let closed = ["multipart/signed", "multipart/encrypted", "multipart/digest"];
    if closed.contains(&entity.media.as_str()) || depth == 0 {
        return None;
    }
    let all = entity.media == "multipart/alternative";
    let delimiter = format!("--{}", entity.boundary?);
    let mut at = start;
    while let Some(found) = find_delimiter(body, at, delimiter.as_bytes()) {
        let after = body.get(found + delimiter.len()..)?;
        if after.starts_with(b"--") {
            return None;
        }
        let part = found + delimiter.len() + memchr::memchr(b'\n', after)? + 1;
        let header_bytes = super::header::section_bytes(body.get(part..)?);
        let inside = part + header_bytes;
        let next = find_delimiter(body, part, delimiter.as_bytes()).unwrap_or(body.len());
        let part_header = body.get(part..inside)?;
        // A part that ends before its header does has no body of its own.
        if inside <= next && part_header.ends_with(b"\r\n") {
            find(part_header, body.get(..next)?, inside, depth - 1, places);
        }
        if !all && !places.is_empty() {
            return Some(());
        }
        at = part;
    }
    None
}

/// Offset of the first line from `at` on that is this delimiter, final or not (RFC 2046 section 5.1.1). A line that only
/// begins like it is another's: `--a` does not end at `--ab`.
fn find_delimiter(body: &[u8], at: usize, delimiter: &[u8]) -> Option<usize> {
    let rest = body.get(at..)?;
    memchr::memmem::find_iter(rest, delimiter).map(|found| at + found).find(|found| {
        let begins = *found == 0 || body.get(found - 1) == Some(&b'\n');
        let after = body.get(found + delimiter.len()..).unwrap_or_default();
        let after = after.strip_prefix(b"--").unwrap_or(after);
        let blank = after.iter().find(|octet| !matches!(octet, b' ' | b'\t'));
        begins && matches!(blank, None | Some(b'\r' | b'\n'))
    })
}

/// What matters of an entity's header.
struct Entity {
    /// `type/subtype`, lower case.
    media: String,
    charset: Option<String>,
    boundary: Option<String>,
    encoding: String,
    attachment: bool,
    /// format=flowed (RFC 3676).
    flowed: bool,
}

impl Entity {
    /// Reads Content-Type, Content-Transfer-Encoding, Content-Disposition.
    fn of(header: &[u8]) -> Self {
        let mut entity = Self {
            media: "text/plain".into(),
            charset: None,
            boundary: None,
            encoding: "7bit".into(),
            attachment: false,
            flowed: false,
        };
        for field in fields(header) {
            let value = String::from_utf8_lossy(field.value);
            let first = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
            if field.name.eq_ignore_ascii_case(b"Content-Type") {
                entity.charset = parameter(&value, "charset").map(|c| c.to_ascii_lowercase());
                entity.boundary = parameter(&value, "boundary").filter(|b| !b.is_empty());
                entity.flowed = parameter(&value, "format")
                    .is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
                entity.media = first;
            } else if field.name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                entity.encoding = first;
            } else if field.name.eq_ignore_ascii_case(b"Content-Disposition") {
                entity.attachment = first == "attachment";
            }
        }
        entity
    }

    /// The stamp as octets of this entity, which holds `octets`; `None` if that cannot be said right.
    fn encode(&self, lines: &[String], octets: &[u8]) -> Option<Vec<u8>> {
        // Old mailers send ISO-2022-JP without saying so, and every Japanese reader knows it by its shifts.
        let shifted = || {
            let front = octets.get(..PGP_BYTES_MAX.min(octets.len())).unwrap_or_default();
            memchr::memmem::find(front, b"\x1b$").is_some()
        };
        let charset = match self.charset.as_deref().unwrap_or("us-ascii") {
            "us-ascii" | "ascii" if self.is_seven_bit() && shifted() => "iso-2022-jp",
            charset => charset,
        };
        let encoding = message::encoding(charset);
        let shifts = encoding == Some(encoding_rs::ISO_2022_JP);
        let unlabelled = matches!(charset, "us-ascii" | "ascii");
        // 8-bit octets in an entity labelled 7bit would be a lie; ISO-2022-JP has none.
        let ascii = unlabelled || (self.is_seven_bit() && !shifts);
        // UTF-7 has another meaning for some of ASCII; UTF-16 and UTF-32 have another width.
        let plain = encoding.is_some_and(encoding_rs::Encoding::is_ascii_compatible);
        if !(plain || unlabelled || shifts) {
            return None;
        }
        let text = match (self.media.as_str(), self.flowed) {
            // Characters that are not ASCII are references there.
            ("text/html", _) => html(&wrapped(lines)),
            (_, flowed) => {
                let lines = if ascii { in_ascii(lines)? } else { in_charset(lines, encoding?)? };
                let said = wrapped(&lines);
                (if flowed { stuffed(&said) } else { said }) + "\n\n"
            }
        };
        let octets = if ascii {
            text.into_bytes()
        } else {
            let encoding = encoding?;
            // ISO-2022-JP is one that encodes without being a superset of ASCII; what has no encoder is left alone.
            if encoding.output_encoding() != encoding {
                return None;
            }
            encoding.encode(&text).0.into_owned()
        };
        self.transfer(&octets)
    }

    fn is_seven_bit(&self) -> bool {
        matches!(self.encoding.as_str(), "7bit" | "")
    }

    /// Applies the transfer encoding; the result ends at a line end and leaves what follows whole.
    fn transfer(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(octets.len() * 2);
        match self.encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" => {
                for octet in octets {
                    if *octet == b'\n' {
                        out.push(b'\r');
                    }
                    out.push(*octet);
                }
            }
            "base64" => {
                // Padding in the middle would end the part for many decoders: fill up with blanks.
                let mut lines = Vec::with_capacity(octets.len() + 8);
                for octet in octets {
                    if *octet == b'\n' {
                        lines.push(b'\r');
                    }
                    lines.push(*octet);
                }
                let ends = lines.strip_suffix(b"\r\n").map_or(0, |_| 2);
                let at = lines.len() - ends;
                while lines.len() % 3 != 0 {
                    lines.insert(at, b' ');
                }
                for line in lines.chunks(57) {
                    base64(&mut out, line);
                    out.extend_from_slice(b"\r\n");
                }
            }
            "quoted-printable" => quoted_printable(&mut out, octets),
            _ => return None,
        }
        Some(out)
    }
}

/// RFC 2045 section 6.7, lines of at most 76.
fn quoted_printable(out: &mut Vec<u8>, octets: &[u8]) {
    let mut column = 0;
    for octet in octets {
        if *octet == b'\n' {
            out.extend_from_slice(b"\r\n");
            column = 0;
            continue;
        }
        let plain = octet.is_ascii_graphic() && *octet != b'=';
        let width = if plain { 1 } else { 3 };
        if column + width > 75 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(*octet);
        } else {
            out.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column += width;
    }
}

/// Lines that ASCII can say: those that are ASCII; without one that says something, those that are mostly, as an English sentence
/// about a file with a Japanese name is. `None` if there are none: question marks alone would tell nobody anything.
fn in_ascii(lines: &[String]) -> Option<Vec<String>> {
    let letters = |line: &str| line.bytes().filter(u8::is_ascii_alphabetic).count();
    let ascii: Vec<String> = lines.iter().filter(|line| line.is_ascii()).cloned().collect();
    let says = |line: &String| line.bytes().any(|octet| octet.is_ascii_alphanumeric());
    if ascii.iter().any(says) {
        return Some(ascii);
    }
    let mostly =
        |line: &&String| letters(line) > 2 * line.chars().filter(|c| !c.is_ascii()).count();
    let marked = |line: &String| line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    let lines: Vec<String> = lines.iter().filter(mostly).map(marked).collect();
    (!lines.is_empty()).then_some(lines)
}

/// Lines that a charset can say but for some characters, which are question marks there: a Japanese line in a Western charset
/// would be nothing else. `None` if there are none.
fn in_charset(lines: &[String], charset: &'static encoding_rs::Encoding) -> Option<Vec<String>> {
    let fits = |c: char| !charset.encode(c.encode_utf8(&mut [0; 4])).2;
    let marked = |line: &String| -> Option<String> {
        let line: String = line.chars().map(|c| if fits(c) { c } else { '?' }).collect();
        let marks = line.chars().filter(|c| *c == '?').count();
        (marks * 3 <= line.chars().filter(|c| !c.is_whitespace()).count()).then_some(line)
    };
    let lines: Vec<String> = lines.iter().filter_map(marked).collect();
    lines.iter().any(|line| line.contains(char::is_alphanumeric)).then_some(lines)
}

/// RFC 3676 section 4.4: what could be taken for a quote or a sign in front gets a blank before it.
fn stuffed(text: &str) -> String {
    let stuff = |line: &str| match line.starts_with([' ', '>']) || line.starts_with("From ") {
        true => format!(" {line}"),
        false => line.to_owned(),
    };
    text.lines().map(stuff).collect::<Vec<_>>().join("\n")
}

/// A paragraph in ASCII, escaped: right in every charset that begins in ASCII. It stands before
/// `<html>`; every reader shows it there, and looking for `<body>` would mean decoding the part.
fn html(text: &str) -> String {
    let mut out = String::from("<div style=\"border:1px solid #999;padding:4px\">");
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("<br>\n"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    out.push_str("</div>\n");
    out
}

/// A parameter of a structured field, quotes removed. RFC 2045 section 5.1.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once(';') {
        let (key, value) = after.split_once('=')?;
        if key.trim().eq_ignore_ascii_case(name) {
            let value = value.trim_start();
            return Some(match value.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next().unwrap_or("").to_owned(),
                None => value.split([';', ' ', '\t', '\r', '\n']).next().unwrap_or("").to_owned(),
            });
        }
        // A quoted value may hold a semicolon.
        rest = match value.trim_start().strip_prefix('"').and_then(|q| q.split_once('"')) {
            Some((_, rest)) => rest,
            None => value,
        };
    }
    None
}

#[cfg(test)]
mod tests;
