//! The view of one message.

use std::cell::OnceCell;

use super::field::Field;
use super::part::Part;
use super::text::{self, RawUnits, TextUnits};
use super::uri::{self, Found, Uri};
use super::{Active, Exception, structure};

/// Bounds of a view. A message beyond one gets an [`Exception`] and is scanned as far as it goes.
#[derive(Clone, Debug)]
pub struct ViewLimits {
    /// Octets of the message that are looked at.
    pub message_bytes_max: usize,
    /// Depth of the MIME tree; a plain message has depth 1.
    pub depth_max: usize,
    /// Leaves of the MIME tree.
    pub parts_max: usize,
    /// Header fields of the message.
    pub fields_max: usize,
    /// Octets of one header field.
    pub field_bytes_max: usize,
    /// Octets of each of the texts.
    pub text_bytes_max: usize,
    /// URIs that are kept.
    pub uris_max: usize,
    /// Octets times (declared types + 1) that the structure parser may walk in the worst case: its
    /// time, counted in steps so that the same message always gets the same answer.
    pub steps_max: u64,
}

impl ViewLimits {
    /// Bounds on a shard, where a message is at most
    /// [`crate::limits::BODY_IN_MEMORY_BYTES_MAX`] plus a header section.
    #[must_use]
    pub fn shard() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            depth_max: 30,
            parts_max: 500,
            fields_max: 1000,
            field_bytes_max: 64 * 1024,
            text_bytes_max: 1024 * 1024,
            uris_max: 1000,
            steps_max: 100_000_000,
        }
    }

    /// Bounds in an analysis worker, which is killed when it takes too long.
    #[must_use]
    pub fn worker() -> Self {
        Self {
            message_bytes_max: 2048 * 1024 * 1024,
            text_bytes_max: 4 * 1024 * 1024,
            uris_max: 5000,
            steps_max: 50_000_000_000,
            ..Self::shard()
        }
    }
}

/// One message, ready to be scanned.
#[derive(Debug)]
pub struct View<'m> {
    /// The whole message in canonical line ends.
    pub raw: &'m [u8],
    /// Octets of the header section, the empty line not included.
    pub header_bytes: usize,
    /// Header fields in order.
    pub fields: Vec<Field<'m>>,
    /// Leaves of the MIME tree in order, then encoded blocks found in texts, then (in a worker)
    /// members of archives.
    pub parts: Vec<Part<'m>>,
    /// What was wrong with the message.
    pub exceptions: Vec<Exception>,
    /// What acts when it is opened, as far as containers were opened for it (in a worker).
    pub active: Vec<Active>,
    /// Addresses that documents lead to, as written there (in a worker). To be filled before
    /// [`Self::uris`] is asked for.
    pub links: Vec<Box<str>>,
    pub(super) text_bytes_max: usize,
    pub(super) uris_max: usize,
    body: OnceCell<TextUnits>,
    rawbody: OnceCell<RawUnits>,
    /// `None`: no different from `body`.
    normalised: OnceCell<Option<TextUnits>>,
    uris: OnceCell<Found>,
}

impl<'m> View<'m> {
    /// Reads the structure of `raw`. Never fails and never panics: what is wrong is in
    /// `exceptions`, and at worst the whole message is one text part.
    #[must_use]
    pub fn build(raw: &'m [u8], limits: &ViewLimits) -> Self {
        let read = structure::read(raw, limits);
        Self {
            raw,
            header_bytes: read.header_bytes,
            fields: read.fields,
            parts: read.parts,
            exceptions: read.exceptions,
            active: Vec::new(),
            links: Vec::new(),
            text_bytes_max: limits.text_bytes_max,
            uris_max: limits.uris_max,
            body: OnceCell::new(),
            rawbody: OnceCell::new(),
            normalised: OnceCell::new(),
            uris: OnceCell::new(),
        }
    }

    /// The header section, without the empty line that ends it.
    #[must_use]
    pub fn header_section(&self) -> &'m [u8] {
        self.raw.get(..self.header_bytes).unwrap_or(self.raw)
    }

    /// Header fields called `name` (any case), in order.
    pub fn fields_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Field<'m>> + 's {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// Domains (`d=`) of the DKIM-Signature fields that have what a signature needs (RFC 6376, section 3.5). Whether they
    /// hold is checked elsewhere.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.fields_named("dkim-signature").filter_map(|field| {
            let tag = |name: &str| {
                let mut tags = field.value.split(';').filter_map(|tag| tag.split_once('='));
                let found = tags.find(|(tag, _)| tag.trim() == name);
                found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
            };
            let whole = ["b", "bh", "s"].iter().all(|name| tag(name).is_some());
            tag("d").filter(|_| whole)
        })
    }

    /// SpamAssassin's text for `body` rules: the Subject, then the rendered text parts as
    /// paragraphs; white space collapsed; each unit is one paragraph (at most 2,048 characters)
    /// and is matched by itself.
    pub fn body(&self) -> &TextUnits {
        self.body.get_or_init(|| text::body(self))
    }

    /// SpamAssassin's text for `rawbody` rules: decoded, not rendered text parts, in units of 1 to
    /// 2 KiB that end at line ends.
    pub fn rawbody(&self) -> &RawUnits {
        self.rawbody.get_or_init(|| text::rawbody(self))
    }

    /// [`Self::body`] after NFKC, with confusable letters folded and invisible characters removed;
    /// lower case is not applied. The same units as `body`.
    pub fn normalised(&self) -> &TextUnits {
        let own = self.normalised.get_or_init(|| self.body().normalised());
        own.as_ref().unwrap_or_else(|| self.body())
    }

    /// URIs from texts and from attributes of HTML, without duplicates, in order of finding.
    pub fn uris(&self) -> &[Uri] {
        &self.found_uris().uris
    }

    /// Addresses beside [`Self::uris`] that a reader, or his client, may get to, and need not: within Japanese text, in
    /// full-width letters, in styles, in what only one client shows. For questions to lists, and nothing else: ordinary
    /// mail has many of them, and they say little about it.
    pub fn named_uris(&self) -> &[Uri] {
        &self.found_uris().named
    }

    fn found_uris(&self) -> &Found {
        self.uris.get_or_init(|| uri::collect(self))
    }
}
