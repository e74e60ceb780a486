//! Body stamps. A stamp is inserted at the beginning of the first text part (text and HTML of a
//! multipart/alternative both), in the part's own charset and transfer encoding: the octets of the
//! mail are never re-encoded, only ours are put before them.
//!
//! Where that cannot be done right (signed or encrypted structure, unknown charset or encoding, no
//! text part in the front) the stamp becomes the field `X-Sekisho-Stamp`: decision 0064.

use super::header::fields;
use super::subject::base64;

/// Depth of multiparts that is looked into.
const DEPTH_MAX: usize = 8;

/// Where stamps go.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Offsets in the body, ascending, and the octets to insert there.
    pub(super) inserts: Vec<(usize, Vec<u8>)>,
    /// Stamps that become header fields.
    pub(super) fields: Vec<Box<str>>,
}

/// Decides where `stamps` go.
pub(super) fn plan(header: &[u8], body: &[u8], stamps: &[Box<str>]) -> Plan {
    if stamps.is_empty() {
        return Plan::default();
    }
    let text = stamps.iter().map(|stamp| stamp.trim()).collect::<Vec<_>>().join("\n");
    let mut places = Vec::new();
    find(header, body, 0, DEPTH_MAX, &mut places);
    let inserts: Vec<(usize, Vec<u8>)> = places
        .into_iter()
        .filter_map(|(offset, entity)| Some((offset, entity.encode(&text)?)))
        .collect();
    let fields = if inserts.is_empty() { stamps.to_vec() } else { Vec::new() };
    Plan { inserts, fields }
}

/// What matters of an entity's header.
struct Entity {
    /// `type/subtype`, lower case.
    media: String,
    charset: Option<String>,
    boundary: Option<String>,
    encoding: String,
    attachment: bool,
}

/// The first text part, and in a multipart/alternative each of them (NTT-05: text and HTML): offset
/// of its body in the message's body, and what it is.
fn find(
    header: &[u8],
    body: &[u8],
    start: usize,
    depth: usize,
    places: &mut Vec<(usize, Entity)>,
) -> Option<()> {
    let entity = Entity::of(header);
    if !entity.media.starts_with("multipart/") {
        let text = matches!(entity.media.as_str(), "text/plain" | "text/html");
        if text && !entity.attachment {
            places.push((start, entity));
        }
        return Some(());
    }
    // What is signed or encrypted must not be touched.
    let closed = ["multipart/signed", "multipart/encrypted"].contains(&entity.media.as_str());
    if closed || depth == 0 {
        return None;
    }
    let all = entity.media == "multipart/alternative";
    let delimiter = format!("--{}", entity.boundary?);
    let mut at = start;
    while let Some(found) = find_line(body, at, delimiter.as_bytes()) {
        let after = body.get(found + delimiter.len()..)?;
        if after.starts_with(b"--") {
            return None;
        }
        let part = found + delimiter.len() + memchr::memchr(b'\n', after)? + 1;
        let header_bytes = super::header::section_bytes(body.get(part..)?);
        let inside = part + header_bytes;
        let next = find_line(body, part, delimiter.as_bytes()).unwrap_or(body.len());
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

/// Offset of the first line from `at` on that begins with `start`.
fn find_line(body: &[u8], at: usize, start: &[u8]) -> Option<usize> {
    let rest = body.get(at..)?;
    memchr::memmem::find_iter(rest, start)
        .map(|found| at + found)
        .find(|found| *found == 0 || body.get(found - 1) == Some(&b'\n'))
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
        };
        for field in fields(header) {
            let value = String::from_utf8_lossy(field.value);
            let first = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
            if field.name.eq_ignore_ascii_case(b"Content-Type") {
                entity.charset = parameter(&value, "charset").map(|c| c.to_ascii_lowercase());
                entity.boundary = parameter(&value, "boundary").filter(|b| !b.is_empty());
                entity.media = first;
            } else if field.name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                entity.encoding = first;
            } else if field.name.eq_ignore_ascii_case(b"Content-Disposition") {
                entity.attachment = first == "attachment";
            }
        }
        entity
    }

    /// The stamp as octets of this entity; `None` if that cannot be said right.
    fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let text = if self.media == "text/html" { html(text) } else { format!("{text}\n\n") };
        let charset = self.charset.as_deref().unwrap_or("us-ascii");
        let ascii = matches!(charset, "us-ascii" | "ascii")
            // 8-bit octets in an entity labelled 7bit would be a lie; ISO-2022-JP has none.
            || (matches!(self.encoding.as_str(), "7bit" | "") && !charset.starts_with("iso-2022"));
        let octets = if ascii {
            to_ascii(&text).into_bytes()
        } else {
            let encoding = encoding_rs::Encoding::for_label(charset.as_bytes())?;
            // UTF-16 has no encoder here (RFC 2781), and what decodes as "replacement" is unknown.
            if encoding.output_encoding() != encoding {
                return None;
            }
            let fits = |c: char| !encoding.encode(c.encode_utf8(&mut [0; 4])).2;
            let known: String = text.chars().map(|c| if fits(c) { c } else { '?' }).collect();
            encoding.encode(&known).0.into_owned()
        };
        self.transfer(&octets)
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

/// Lines that are ASCII; if there is none, everything with `?` for what is not.
fn to_ascii(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| line.is_ascii()).collect();
    if text.is_ascii() {
        text.to_owned()
    } else if lines.iter().any(|line| !line.trim().is_empty()) {
        format!("{}\n\n", lines.join("\n").trim())
    } else {
        text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
    }
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
