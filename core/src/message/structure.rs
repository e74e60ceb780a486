//! The MIME tree, read by `mail-parser` behind limits of ours.
//!
//! `mail-parser` searches for a boundary to the end of the message for each multipart. Every such
//! search needs a Content-Type field of its own, so these are counted first, and a message with too
//! many is not handed over: it is scanned flat. Messages inside a message are not opened by it (it
//! would recurse, see `declared::mask`) but here, each with the same count before it.
//!
//! What a client may see and `mail-parser` does not is looked for in a second pass (`overlooked`).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use mail_parser::{
    HeaderName, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

use super::condensed::Condensed;
use super::declared::{self, Transfer};
use super::field::{self, Field};
use super::filetype::{FileType, mail_start};
use super::overlooked::{self, Covered};
use super::part::{Part, PartOrigin, Span};
use super::view::ViewLimits;
use super::{Exception, ExceptionKind, encoded, parameter};

/// Octets of a part that are looked at to see whether it is what it says.
const PROSE_SAMPLE_BYTES: usize = 4096;

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
    let mut parts = Reader::new(limits, &mut exceptions).run(seen, String::new(), Origin::Wire);
    add_blocks(&mut parts, &mut exceptions);
    Structure { header_bytes, fields, parts, exceptions }
}

/// The parts of a mail that was found inside something else (an archive), as parts of their own.
/// `path`: what their paths begin with.
#[must_use]
pub fn entities_of(
    octets: &[u8],
    path: &str,
    limits: &ViewLimits,
    exceptions: &mut Vec<Exception>,
) -> Vec<Part<'static>> {
    let parts = Reader::new(limits, exceptions).run(octets, path.to_owned(), Origin::Inside);
    let mut parts: Vec<Part<'static>> = parts.into_iter().map(Part::into_owned).collect();
    add_blocks(&mut parts, exceptions);
    parts
}

/// Appends the encoded blocks of all parts.
fn add_blocks(parts: &mut Vec<Part<'_>>, exceptions: &mut Vec<Exception>) {
    let mut found = Vec::new();
    for part in &*parts {
        let blocks = encoded::blocks_of_part(part);
        if blocks.len() >= encoded::BLOCKS_MAX {
            let detail = format!("{} encoded blocks or more", blocks.len());
            exceptions.push(Exception::limit(&part.path, detail));
        }
        if part.origin == PartOrigin::Mime && encoded::holds_unread(&part.decoded) {
            let detail = "an encoding inside of a text that is not read here";
            exceptions.push(not_scanned(&part.path, detail));
        }
        found.extend(blocks);
    }
    parts.extend(found);
}

fn not_scanned(place: &str, detail: &str) -> Exception {
    Exception { kind: ExceptionKind::NotScanned, place: place.into(), detail: detail.into() }
}

/// Whether offsets are offsets of the message that arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// They are.
    Wire,
    /// They are offsets of something that was decoded.
    Inside,
}

/// Where a message is.
#[derive(Clone)]
struct Place {
    path: String,
    depth: usize,
    /// Offset of its first octet in what [`Covered`] counts in.
    base: usize,
    origin: Origin,
    /// The part of the arrived message that it is in.
    outer: Option<Span>,
    /// The message itself: its fields are not those of a part.
    outermost: bool,
}

/// A part to be visited.
struct Visit {
    part: usize,
    path: String,
    depth: usize,
    root: bool,
    /// A child of a multipart/digest is a message unless it says otherwise (RFC 2046 section 5.1.5).
    in_digest: bool,
}

/// A leaf, and what its place makes of it.
struct Leaf<'p> {
    part: MessagePart<'p>,
    visit: Visit,
}

/// Takes the parser's graphs apart. Each part is taken once, so cycles end.
struct Reader<'r> {
    limits: &'r ViewLimits,
    exceptions: &'r mut Vec<Exception>,
    /// Parts so far, of all messages inside each other.
    parts: usize,
    /// Steps that were granted to the parser so far.
    steps: u64,
    too_deep: bool,
    too_many: bool,
}

impl<'r> Reader<'r> {
    fn new(limits: &'r ViewLimits, exceptions: &'r mut Vec<Exception>) -> Self {
        Self { limits, exceptions, parts: 0, steps: 0, too_deep: false, too_many: false }
    }

    fn run<'o>(mut self, octets: &'o [u8], path: String, origin: Origin) -> Vec<Part<'o>> {
        let outermost = origin == Origin::Wire;
        let place = Place { path, depth: 1, base: 0, origin, outer: None, outermost };
        let mut out = Vec::new();
        self.whole(octets, place, &mut out);
        out
    }

    /// Octets that nothing else covers: their parts, then what is passed over by those.
    fn whole<'o>(&mut self, octets: &'o [u8], place: Place, out: &mut Vec<Part<'o>>) {
        let (first, path, outer) = (out.len(), place.path.clone(), place.outer);
        let mut covered = Vec::new();
        self.message(octets, place, &mut covered, out);
        let (blocks, all) = overlooked::find(octets, &mut covered);
        for block in blocks {
            if out.iter().skip(first).any(|part| *part.decoded == *block) || self.is_full() {
                continue;
            }
            self.parts += 1;
            let path = child_path(&path, "?", out.len());
            let mut part = Part::of_octets(path.into(), PartOrigin::Encoded, "", Cow::Owned(block));
            part.attachment = false;
            part.span = outer;
            out.push(part);
        }
        if !all {
            let detail = "too many encoded blocks outside of its parts".to_owned();
            self.exceptions.push(Exception::limit("message", detail));
        }
    }

    /// One message.
    fn message<'o>(
        &mut self,
        octets: &'o [u8],
        place: Place,
        covered: &mut Vec<Covered>,
        out: &mut Vec<Part<'o>>,
    ) {
        let types = declared::type_fields(octets).count();
        self.steps = self.steps.saturating_add(cost(octets, types));
        if types > self.limits.parts_max.saturating_mul(2) || self.steps > self.limits.steps_max {
            let detail = format!("{types} declared parts in {} octets", octets.len());
            self.exceptions.push(Exception::limit("message", detail));
            return self.flat(octets, &place, out);
        }
        let mut condensed = Condensed::of(octets);
        declared::mask(&mut condensed.octets);
        let Some(mut message) = self.parse(&condensed.octets) else {
            return self.flat(octets, &place, out);
        };
        condensed.put_back(&mut message);
        if place.outermost {
            self.text_among_fields(octets, out);
        }
        for leaf in self.leaves(message, &place) {
            self.leaf(octets, leaf, &place, covered, out);
        }
    }

    /// A line that is no field, and all behind it to the empty line: some clients begin the body there.
    fn text_among_fields<'o>(&mut self, octets: &'o [u8], out: &mut Vec<Part<'o>>) {
        let section = octets.get(..header_bytes(octets)).unwrap_or_default();
        let Some(start) = first_strange_line(section).filter(|_| !self.is_full()) else { return };
        self.parts += 1;
        let text = section.get(start..).unwrap_or_default();
        let path = "header".into();
        let mut part = Part::of_octets(path, PartOrigin::Mime, "", Cow::Borrowed(text));
        part.content_type = "text/plain".into();
        part.attachment = false;
        out.push(part);
    }

    /// The body as one text part.
    fn flat<'o>(&mut self, octets: &'o [u8], place: &Place, out: &mut Vec<Part<'o>>) {
        if self.is_full() {
            return;
        }
        self.parts += 1;
        let body = octets.get(header_bytes(octets)..).unwrap_or_default();
        let path = if place.path.is_empty() { "1".into() } else { place.path.as_str().into() };
        let mut part = Part::of_octets(path, PartOrigin::Mime, "", Cow::Borrowed(body));
        part.content_type = "text/plain".into();
        part.attachment = false;
        part.span = place.outer;
        out.push(part);
    }

    fn parse<'p>(&mut self, octets: &'p [u8]) -> Option<Message<'p>> {
        match catch_unwind(AssertUnwindSafe(|| PARSER.parse(octets))) {
            Ok(message) => message.filter(|message| !message.parts.is_empty()),
            Err(_) => {
                let what = "structure that cannot be read";
                self.exceptions.push(Exception::malformed("message", what));
                None
            }
        }
    }

    fn is_full(&mut self) -> bool {
        if self.parts < self.limits.parts_max {
            return false;
        }
        if !std::mem::replace(&mut self.too_many, true) {
            let detail = format!("more than {} parts", self.limits.parts_max);
            self.exceptions.push(Exception::limit("message", detail));
        }
        true
    }

    /// The leaves of the tree in order, then parts that no other part names.
    fn leaves<'p>(&mut self, message: Message<'p>, place: &Place) -> Vec<Leaf<'p>> {
        let mut parts: Vec<_> = message.parts.into_iter().map(Some).collect();
        let mut leaves = Vec::new();
        let root = Visit {
            part: 0,
            path: place.path.clone(),
            depth: place.depth,
            root: true,
            in_digest: false,
        };
        let mut todo = VecDeque::from([root]);
        while let Some(visit) = todo.pop_front() {
            if leaves.len() > self.limits.parts_max {
                break;
            }
            let Some(slot) = parts.get_mut(visit.part) else {
                let what = "a part that is not there";
                self.exceptions.push(Exception::malformed("message", what));
                continue;
            };
            let Some(mut part) = slot.take() else { continue };
            match std::mem::take(&mut part.body) {
                PartType::Multipart(ids) if !ids.is_empty() && !self.is_deep(&visit) => {
                    let in_digest = &*media_type(&part, false) == "multipart/digest";
                    for (index, id) in ids.into_iter().enumerate().rev() {
                        let path = child_path(&visit.path, "", index);
                        let (part, depth) = (id as usize, visit.depth + 1);
                        todo.push_front(Visit { part, path, depth, root: false, in_digest });
                    }
                }
                _ => leaves.push(Leaf { part, visit }),
            }
        }
        for part in parts.into_iter().flatten() {
            let path = child_path(&place.path, "?", leaves.len());
            let visit = Visit { part: 0, path, depth: place.depth, root: false, in_digest: false };
            leaves.push(Leaf { part, visit });
        }
        leaves
    }

    fn is_deep(&mut self, visit: &Visit) -> bool {
        if visit.depth < self.limits.depth_max {
            return false;
        }
        if !std::mem::replace(&mut self.too_deep, true) {
            let detail = format!("nested deeper than {}", self.limits.depth_max);
            self.exceptions.push(Exception::limit(&visit.path, detail));
        }
        true
    }

    /// Makes a part of a leaf; opens it if it is a message.
    fn leaf<'o>(
        &mut self,
        octets: &'o [u8],
        leaf: Leaf<'_>,
        place: &Place,
        covered: &mut Vec<Covered>,
        out: &mut Vec<Part<'o>>,
    ) {
        if self.is_full() {
            return;
        }
        let Leaf { part, visit } = leaf;
        let media = media_type(&part, visit.in_digest);
        let charset = charset_of(&part);
        let (decoded, transfer) = decoded_octets(octets, &part);
        let (start, end) = (part.offset_body as usize, part.offset_end as usize);
        if let Some(transfer) = transfer {
            let base64 = transfer == Transfer::Base64;
            covered.push(Covered { start: place.base + start, end: place.base + end, base64 });
        }
        let header = part.offset_header as usize;
        let span = if place.origin == Origin::Wire && !visit.root {
            let base = place.base;
            Some(Span { header: base + header, body: base + start, end: base + end })
        } else {
            place.outer
        };
        if matches!(&*media, "message/rfc822" | "message/global" | "message/news")
            && !self.is_deep(&visit)
        {
            let inside = Place {
                path: visit.path.clone(),
                depth: visit.depth + 1,
                base: place.base + start,
                origin: if transfer.is_none() { place.origin } else { Origin::Inside },
                outer: span,
                outermost: false,
            };
            match decoded {
                Cow::Borrowed(inner) => self.message(inner, inside, covered, out),
                Cow::Owned(inner) => self.inside(&inner, inside, out),
            }
            return;
        }
        self.parts += 1;
        let path = if visit.path.is_empty() { "1".into() } else { visit.path.as_str().into() };
        let mut made = Part::of_octets(path, PartOrigin::Mime, "", decoded);
        made.span = span;
        made.charset = charset.into();
        made.attachment = part
            .content_disposition()
            .is_some_and(|given| given.ctype().eq_ignore_ascii_case("attachment"));
        made.file_names = file_names(octets, &part);
        if !(visit.root && place.outermost) {
            made.fields = part_fields(octets, &part);
        }
        self.note_unread(octets, &part, &media, &made.path);
        let as_written = slice(octets, part.offset_body, part.offset_end);
        if transfer == Some(Transfer::Base64) && media.starts_with("text/") && is_prose(as_written)
        {
            self.as_written(as_written, &made, out);
        }
        made.content_type = media;
        let depth = visit.depth + 1;
        if made.file_type() == FileType::Mail && !self.is_deep(&visit) {
            self.mail_by_another_name(made, depth, out);
        } else {
            out.push(made);
        }
    }

    /// A text that only says that it is base64: a client shows it as it is, so it is read like that, too, and not
    /// instead of what it decodes to, since other clients skip what is not of the alphabet.
    fn as_written<'o>(&mut self, text: &'o [u8], made: &Part<'o>, out: &mut Vec<Part<'o>>) {
        if self.is_full() {
            return;
        }
        self.parts += 1;
        let path = format!("{}/as-written", made.path).into();
        let mut part = Part::of_octets(path, PartOrigin::Mime, "", Cow::Borrowed(text));
        part.content_type = "text/plain".into();
        part.charset = made.charset.clone();
        part.attachment = false;
        part.span = made.span;
        out.push(part);
    }

    /// A mail that was attached under another type (.eml as application/octet-stream).
    fn mail_by_another_name<'o>(&mut self, made: Part<'o>, depth: usize, out: &mut Vec<Part<'o>>) {
        let inside = Place {
            path: format!("{}/mail", made.path),
            depth,
            base: 0,
            origin: Origin::Inside,
            outer: made.span,
            outermost: false,
        };
        let inner = made.decoded.get(mail_start(&made.decoded)..).unwrap_or_default().to_vec();
        out.push(Part { opened: true, ..made });
        let first = out.len();
        self.inside(&inner, inside, out);
        // Its texts are in that part already, and rules must not count them twice.
        let inner_parts = out.split_off(first);
        for mut part in inner_parts {
            // What acts is no text: a page is looked at as a page.
            let page = matches!(part.file_type(), FileType::Html | FileType::Script);
            if page || part.attachment || memchr::memmem::find(&inner, &part.decoded).is_none() {
                part.origin = PartOrigin::Encoded;
                out.push(part);
            }
        }
    }

    /// A message in octets of its own.
    fn inside<'o>(&mut self, inner: &[u8], mut place: Place, out: &mut Vec<Part<'o>>) {
        place.base = 0;
        let mut parts = Vec::new();
        self.whole(inner, place, &mut parts);
        out.extend(parts.into_iter().map(Part::into_owned));
    }

    /// Says what of a part nobody here can look at.
    fn note_unread(&mut self, octets: &[u8], part: &MessagePart<'_>, media: &str, path: &str) {
        if media == "message/partial" {
            // RFC 2046 section 5.2.2: each fragment for itself shows nothing, and clients join them.
            self.exceptions.push(Exception::malformed(path, "a fragment of a message"));
        }
        let body = || slice(octets, part.offset_body, part.offset_end);
        let unread = |header: &&mail_parser::Header<'_>| {
            let value = slice(octets, header.offset_start, header.offset_end);
            header.name == HeaderName::ContentTransferEncoding
                && (declared::is_unread_transfer(value)
                    // Without its first line, which clients do not ask for, it is not undone here.
                    || declared::is_uuencode(value) && encoded::is_headless(body()))
        };
        if part.headers.iter().any(|header| unread(&header)) {
            let detail = "a transfer encoding that is not read here";
            self.exceptions.push(not_scanned(path, detail));
        }
    }
}

/// Octets of the header section, the empty line not included.
fn header_bytes(octets: &[u8]) -> usize {
    let mut at = 0_usize;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            return at;
        }
        at += line.len();
    }
    at
}

/// Where the first line of a header section begins that is neither a field nor goes on with one; an mbox delimiter as the
/// first line is none.
#[must_use]
pub fn first_strange_line(section: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    for line in section.split_inclusive(|&octet| octet == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        let start = at;
        at += line.len();
        let goes_on = matches!(line.first(), Some(b' ' | b'\t')) && start > 0;
        let mbox = start == 0 && (line.starts_with(b"From ") || line.starts_with(b">From "));
        if !goes_on && !mbox && !line.contains(&b':') {
            return Some(start);
        }
    }
    None
}

fn child_path(parent: &str, mark: &str, index: usize) -> String {
    let index = index + 1;
    if parent.is_empty() { format!("{mark}{index}") } else { format!("{parent}.{mark}{index}") }
}

/// The declared type, lower case.
fn media_type(part: &MessagePart<'_>, in_digest: bool) -> Box<str> {
    match part.content_type() {
        Some(given) => {
            let subtype = given.subtype().unwrap_or("");
            declared::unmasked(format!("{}/{subtype}", given.ctype()).to_ascii_lowercase())
        }
        None if in_digest => "message/rfc822".into(),
        None => "text/plain".into(),
    }
}

fn charset_of(part: &MessagePart<'_>) -> String {
    let given = part.content_type().and_then(|given| given.attribute("charset"));
    given.map(str::to_ascii_lowercase).unwrap_or_default()
}

/// The octets behind the transfer encoding, and which it was. Decoded from the source: the parser saw only the ends
/// of it ([`Condensed`]), and gives up where an encoding is broken or oddly declared.
fn decoded_octets<'o>(
    octets: &'o [u8],
    part: &MessagePart<'_>,
) -> (Cow<'o, [u8]>, Option<Transfer>) {
    let source = slice(octets, part.offset_body, part.offset_end);
    // The last one counts, for the parser as well.
    let mut fields = part.headers.iter();
    let field = fields.rfind(|field| field.name == HeaderName::ContentTransferEncoding);
    let transfer = field
        .and_then(|field| Transfer::named_in(slice(octets, field.offset_start, field.offset_end)));
    let Some(encoding) = transfer else {
        return (Cow::Borrowed(source), None);
    };
    (Cow::Owned(encoding.undo(source)), transfer)
}

/// Whether octets under the name of base64 are something else: more than one in twenty is not of its alphabet, line
/// ends left out. What a mail gateway on the way adds to base64 (a footer in clear) is rarer, and is found by `overlooked`.
#[must_use]
pub fn is_prose(source: &[u8]) -> bool {
    let source = source.get(..PROSE_SAMPLE_BYTES).unwrap_or(source);
    let foreign = |octet: &&u8| {
        !(octet.is_ascii_alphanumeric() || matches!(**octet, b'+' | b'/' | b'=' | b'\r' | b'\n'))
    };
    source.iter().filter(foreign).count() * 20 > source.len()
}

/// A range of the octets that a part refers to; an impossible one is empty.
fn slice(octets: &[u8], start: u32, end: u32) -> &[u8] {
    octets.get(start as usize..(end as usize).min(octets.len())).unwrap_or_default()
}

fn part_fields<'o>(octets: &'o [u8], part: &MessagePart<'_>) -> Vec<Field<'o>> {
    part.headers
        .iter()
        .map(|header| {
            let value = slice(octets, header.offset_start, header.offset_end).trim_ascii_end();
            Field::new(Cow::Owned(header.name.as_str().to_owned()), Cow::Borrowed(value))
        })
        .collect()
}

/// Every file name that the two fields give.
fn file_names(octets: &[u8], part: &MessagePart<'_>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for (wanted_field, wanted) in
        [(HeaderName::ContentDisposition, "filename"), (HeaderName::ContentType, "name")]
    {
        for header in part.headers.iter().filter(|header| header.name == wanted_field) {
            if matches!(&header.value, HeaderValue::ContentType(value) if value.attributes.is_none())
            {
                continue;
            }
            let value = slice(octets, header.offset_start, header.offset_end);
            for name in parameter::values(value, wanted) {
                if names.len() < 4 && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

/// Upper bound on the steps that reading the structure of `raw` may take, messages in an encoding
/// inside it not counted: those are counted when they are decoded.
#[must_use]
pub fn structure_cost(raw: &[u8]) -> u64 {
    cost(raw, declared::type_fields(raw).count())
}

fn cost(octets: &[u8], types: usize) -> u64 {
    (octets.len() as u64).saturating_mul(types as u64 + 1)
}
