//! The MIME tree, read by `mail-parser` behind limits of ours.
//!
//! `mail-parser` keeps nested messages inside each other, so that dropping them recurses, and it
//! searches for a boundary to the end of the message for each multipart. Every level and every such
//! search needs a Content-Type field of its own, so these are counted first, and a message with too
//! many is not handed over: it is scanned flat.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{
    Encoding, HeaderName, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

use super::field::{self, Field};
use super::part::{Part, PartOrigin};
use super::view::ViewLimits;
use super::{Exception, encoded, parameter};

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| MessageParser::new().with_mime_headers());

/// What was read.
pub(super) struct Structure<'m> {
    pub(super) header_bytes: usize,
    pub(super) fields: Vec<Field<'m>>,
    pub(super) parts: Vec<Part<'m>>,
    pub(super) exceptions: Vec<Exception>,
}

/// Reads `raw`.
pub(super) fn read<'m>(raw: &'m [u8], limits: &ViewLimits) -> Structure<'m> {
    let mut exceptions = Vec::new();
    let seen = match raw.get(..limits.message_bytes_max) {
        Some(seen) if seen.len() < raw.len() => {
            exceptions.push(Exception::limit(
                "message",
                format!("{} octets, {} are looked at", raw.len(), seen.len()),
            ));
            seen
        }
        _ => raw,
    };
    let (header_bytes, fields) = field::split(seen, limits, &mut exceptions);
    let mut parts = match parse(seen, limits, &mut exceptions) {
        Some(message) => Walk::new(limits, &mut exceptions).run(message),
        None => vec![flat(seen, header_bytes)],
    };
    let blocks: Vec<Part<'m>> = parts.iter().flat_map(encoded::blocks).collect();
    parts.extend(blocks);
    Structure { header_bytes, fields, parts, exceptions }
}

/// The body as one text part.
fn flat(raw: &[u8], header_bytes: usize) -> Part<'_> {
    let body = raw.get(header_bytes..).unwrap_or_default();
    let mut part = Part::of_octets("1".into(), PartOrigin::Mime, "", Cow::Borrowed(body));
    part.content_type = "text/plain".into();
    part.attachment = false;
    part
}

/// Hands `raw` to `mail-parser`, unless it could recurse too deep or walk too long in it.
fn parse<'m>(
    raw: &'m [u8],
    limits: &ViewLimits,
    exceptions: &mut Vec<Exception>,
) -> Option<Message<'m>> {
    let types = content_types(raw);
    let steps = structure_cost(raw);
    if types > limits.parts_max.saturating_mul(2) || steps > limits.steps_max {
        exceptions.push(Exception::limit(
            "message",
            format!("{types} declared parts in {} octets", raw.len()),
        ));
        return None;
    }
    match catch_unwind(AssertUnwindSafe(|| PARSER.parse(raw))) {
        Ok(message) => message.filter(|message| !message.parts.is_empty()),
        Err(_) => {
            exceptions.push(Exception::malformed("message", "structure that cannot be read"));
            None
        }
    }
}

/// Upper bound on the Content-Type fields that the parser can see: colons after that name, white
/// space inside it allowed, since the parser allows it.
pub(super) fn content_types(raw: &[u8]) -> usize {
    memchr::memchr_iter(b':', raw)
        .filter(|&colon| {
            let mut wanted = b"content-type".iter().rev();
            for octet in raw.get(..colon).unwrap_or_default().iter().rev() {
                if octet.is_ascii_whitespace() && *octet != b'\n' {
                    continue;
                }
                match wanted.next() {
                    Some(letter) if octet.eq_ignore_ascii_case(letter) => {}
                    Some(_) => return false,
                    None => return true,
                }
            }
            wanted.next().is_none()
        })
        .count()
}

/// A message of the tree whose parts are not yet taken.
struct Open<'m> {
    raw: Cow<'m, [u8]>,
    parts: Vec<Option<MessagePart<'m>>>,
}

/// A part to be visited.
struct Visit {
    message: usize,
    part: usize,
    path: String,
    depth: usize,
    /// The root of the whole message: its fields are the message's own.
    outermost: bool,
}

/// Takes the parser's graph apart without recursion. Each part is taken once, so cycles end.
struct Walk<'m, 'w> {
    limits: &'w ViewLimits,
    exceptions: &'w mut Vec<Exception>,
    open: Vec<Open<'m>>,
    todo: VecDeque<Visit>,
    leaves: Vec<Part<'m>>,
    too_deep: bool,
}

impl<'m, 'w> Walk<'m, 'w> {
    fn new(limits: &'w ViewLimits, exceptions: &'w mut Vec<Exception>) -> Self {
        Self {
            limits,
            exceptions,
            open: Vec::new(),
            todo: VecDeque::new(),
            leaves: Vec::new(),
            too_deep: false,
        }
    }

    fn run(mut self, message: Message<'m>) -> Vec<Part<'m>> {
        self.open(message, String::new(), 1, true);
        while let Some(visit) = self.todo.pop_front() {
            self.visit(visit);
            if self.leaves.len() >= self.limits.parts_max {
                let detail = format!("more than {} parts", self.limits.parts_max);
                self.exceptions.push(Exception::limit("message", detail));
                break;
            }
        }
        self.strays();
        self.leaves
    }

    fn open(&mut self, message: Message<'m>, path: String, depth: usize, outermost: bool) {
        let parts = message.parts.into_iter().map(Some).collect();
        self.open.push(Open { raw: message.raw_message, parts });
        let message = self.open.len() - 1;
        self.todo.push_front(Visit { message, part: 0, path, depth, outermost });
    }

    fn visit(&mut self, visit: Visit) {
        let Some(slot) = self.open.get_mut(visit.message).and_then(|m| m.parts.get_mut(visit.part))
        else {
            self.exceptions.push(Exception::malformed("message", "a part that is not there"));
            return;
        };
        let Some(mut part) = slot.take() else {
            return;
        };
        let deep = visit.depth >= self.limits.depth_max;
        match std::mem::take(&mut part.body) {
            PartType::Multipart(ids) if !ids.is_empty() && !deep => {
                let children = ids.into_iter().enumerate().map(|(index, id)| Visit {
                    message: visit.message,
                    part: id as usize,
                    path: child_path(&visit.path, index),
                    depth: visit.depth + 1,
                    outermost: false,
                });
                for child in children.rev() {
                    self.todo.push_front(child);
                }
            }
            PartType::Message(nested) if !deep => {
                self.open(nested, visit.path, visit.depth + 1, false);
            }
            body => {
                let whole = matches!(body, PartType::Multipart(_) | PartType::Message(_));
                if whole && deep && !std::mem::replace(&mut self.too_deep, true) {
                    let detail = format!("nested deeper than {}", self.limits.depth_max);
                    self.exceptions.push(Exception::limit(&visit.path, detail));
                }
                self.leaf(&visit, part, body);
            }
        }
    }

    fn leaf(&mut self, visit: &Visit, part: MessagePart<'m>, body: PartType<'m>) {
        let Some(message) = self.open.get(visit.message) else {
            return;
        };
        let path = if visit.path.is_empty() { "1".into() } else { visit.path.as_str().into() };
        self.leaves.push(leaf(&message.raw, path, part, body, visit.outermost));
    }

    /// Parts that no other part names are scanned too.
    fn strays(&mut self) {
        for index in 0..self.open.len() {
            let Some(message) = self.open.get_mut(index) else { break };
            let strays: Vec<_> = message.parts.iter_mut().filter_map(Option::take).collect();
            for mut part in strays {
                if self.leaves.len() >= self.limits.parts_max {
                    return;
                }
                let body = std::mem::take(&mut part.body);
                let path = format!("?{}", self.leaves.len() + 1);
                let visit = Visit { message: index, part: 0, path, depth: 1, outermost: false };
                self.leaf(&visit, part, body);
            }
        }
    }
}

fn child_path(parent: &str, index: usize) -> String {
    if parent.is_empty() { format!("{}", index + 1) } else { format!("{parent}.{}", index + 1) }
}

/// Makes a leaf of a parsed part.
fn leaf<'m>(
    raw: &Cow<'m, [u8]>,
    path: Box<str>,
    part: MessagePart<'m>,
    body: PartType<'m>,
    outermost: bool,
) -> Part<'m> {
    let charset = part
        .content_type()
        .and_then(|declared| declared.attribute("charset"))
        .map(str::to_ascii_lowercase)
        .unwrap_or_default();
    let decoded = decoded_octets(raw, &part, body, &charset);
    let mut out = Part::of_octets(path, PartOrigin::Mime, "", decoded);
    out.content_type = match part.content_type() {
        Some(declared) => {
            let subtype = declared.subtype().unwrap_or("");
            format!("{}/{subtype}", declared.ctype()).to_ascii_lowercase().into()
        }
        None => "text/plain".into(),
    };
    out.charset = charset.into();
    out.attachment = part
        .content_disposition()
        .is_some_and(|given| given.ctype().eq_ignore_ascii_case("attachment"));
    out.file_names = file_names(raw, &part);
    if !outermost {
        out.fields = part_fields(raw, &part);
    }
    out
}

/// The octets behind the transfer encoding. The parser has decoded text to UTF-8 by its own idea of
/// the charset; where that could have changed an octet, they are decoded again from the source.
fn decoded_octets<'m>(
    raw: &Cow<'m, [u8]>,
    part: &MessagePart<'m>,
    body: PartType<'m>,
    charset: &str,
) -> Cow<'m, [u8]> {
    let text = match body {
        PartType::Binary(octets) | PartType::InlineBinary(octets) => return octets,
        PartType::Text(text) | PartType::Html(text) => Some(text),
        PartType::Multipart(_) | PartType::Message(_) => None,
    };
    let unchanged = matches!(charset, "" | "utf-8" | "us-ascii")
        && text.as_ref().is_some_and(|text| !text.contains(char::REPLACEMENT_CHARACTER));
    if unchanged && let Some(text) = text {
        return match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
    }
    let source = slice(raw, part.offset_body, part.offset_end);
    let again = match part.encoding {
        Encoding::Base64 => Some(field::decode_base64_lenient(&source)),
        Encoding::QuotedPrintable => quoted_printable_decode(&source),
        Encoding::None => None,
    };
    again.map_or(source, Cow::Owned)
}

/// A range of the octets that a part refers to; an impossible one is empty.
fn slice<'m>(raw: &Cow<'m, [u8]>, start: u32, end: u32) -> Cow<'m, [u8]> {
    let range = start as usize..(end as usize).min(raw.len());
    match raw {
        Cow::Borrowed(raw) => Cow::Borrowed(raw.get(range).unwrap_or_default()),
        Cow::Owned(raw) => Cow::Owned(raw.get(range).unwrap_or_default().to_vec()),
    }
}

fn part_fields<'m>(raw: &Cow<'m, [u8]>, part: &MessagePart<'m>) -> Vec<Field<'m>> {
    part.headers
        .iter()
        .map(|header| {
            let value = match slice(raw, header.offset_start, header.offset_end) {
                Cow::Borrowed(octets) => Cow::Borrowed(octets.trim_ascii_end()),
                Cow::Owned(octets) => Cow::Owned(octets.trim_ascii_end().to_vec()),
            };
            Field::new(Cow::Owned(header.name.as_str().to_owned()), value).into_owned()
        })
        .collect()
}

/// Every file name that the two fields give.
fn file_names(raw: &[u8], part: &MessagePart<'_>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for (wanted_field, wanted) in
        [(HeaderName::ContentDisposition, "filename"), (HeaderName::ContentType, "name")]
    {
        for header in part.headers.iter().filter(|header| header.name == wanted_field) {
            if matches!(&header.value, HeaderValue::ContentType(value) if value.attributes.is_none())
            {
                continue;
            }
            let value = slice(&Cow::Borrowed(raw), header.offset_start, header.offset_end);
            for name in parameter::values(&value, wanted) {
                if names.len() < 4 && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

/// Upper bound on the steps that reading the structure of `raw` may take.
#[must_use]
pub fn structure_cost(raw: &[u8]) -> u64 {
    (raw.len() as u64).saturating_mul(content_types(raw) as u64 + 1)
}
