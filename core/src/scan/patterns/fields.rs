//! What of a message the rules see: the boundary between `message` and this room.

use crate::message::{FileType, View};

/// Units of one text, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Units<'a> {
    /// All units.
    pub octets: &'a [u8],
    /// End of each, ascending; the last is `octets.len()`.
    pub ends: &'a [u32],
}

impl<'a> Units<'a> {
    /// The units in order. Ends that do not ascend give empty units.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let octets = self.octets;
        let mut start = 0_usize;
        self.ends.iter().map(move |&end| {
            let end = end as usize;
            let unit = octets.get(start..end).unwrap_or_default();
            start = end;
            unit
        })
    }
}

/// A header field.
#[derive(Clone, Copy, Debug)]
pub struct HeaderField<'a> {
    /// Its name.
    pub name: &'a str,
    /// The value as received, without the final CR LF.
    pub raw: &'a [u8],
    /// The value unfolded and decoded.
    pub value: &'a str,
}

/// A decoded body part.
#[derive(Clone, Debug)]
pub struct PartOctets<'a> {
    /// Its header fields.
    pub headers: Vec<HeaderField<'a>>,
    /// Its octets.
    pub octets: &'a [u8],
    /// What it is; `None` until somebody asks (only rules for one kind of part do).
    pub file_type: FileType,
    /// Declared as HTML, or HTML by its octets.
    pub html: bool,
    /// Declared as text.
    pub text: bool,
}

/// One message as rules see it.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    /// The whole message.
    pub raw: &'a [u8],
    /// Octets of its header section.
    pub header_bytes: usize,
    /// Its header fields.
    pub headers: Vec<HeaderField<'a>>,
    /// Reverse-path without angle brackets, if the envelope is known.
    pub envelope_from: Option<&'a [u8]>,
    /// Rendered text.
    pub body: Units<'a>,
    /// Decoded, not rendered text.
    pub rawbody: Units<'a>,
    /// Rendered text, normalised: valid UTF-8 in each unit.
    pub normalised: Units<'a>,
    /// URIs.
    pub uris: Vec<&'a [u8]>,
    /// File names.
    pub file_names: Vec<&'a [u8]>,
    /// Parts.
    pub parts: Vec<PartOctets<'a>>,
}

/// Which of the texts that cost something to make are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// [`Fields::body`]
    pub body: bool,
    /// [`Fields::rawbody`]
    pub rawbody: bool,
    /// [`Fields::normalised`]
    pub normalised: bool,
    /// [`Fields::uris`]
    pub uris: bool,
    /// [`PartOctets::file_type`]
    pub file_types: bool,
}

impl<'a> Fields<'a> {
    /// The fields of `view` that are wanted.
    #[must_use]
    pub fn of_view(view: &'a View<'_>, envelope_from: Option<&'a [u8]>, wanted: Wanted) -> Self {
        let mut fields = Self {
            raw: view.raw,
            header_bytes: view.header_bytes,
            headers: view.fields.iter().map(header_field).collect(),
            envelope_from,
            ..Self::default()
        };
        if wanted.body {
            let text = view.body();
            fields.body = Units { octets: text.text.as_bytes(), ends: &text.ends };
        }
        if wanted.rawbody {
            let text = view.rawbody();
            fields.rawbody = Units { octets: &text.octets, ends: &text.ends };
        }
        if wanted.normalised {
            let text = view.normalised();
            fields.normalised = Units { octets: text.text.as_bytes(), ends: &text.ends };
        }
        if wanted.uris {
            fields.uris = view.uris().iter().map(|uri| uri.written.as_bytes()).collect();
        }
        let single = view.parts.len() == 1;
        for part in &view.parts {
            fields.file_names.extend(part.file_names.iter().map(|name| name.as_bytes()));
            let mut headers: Vec<_> = part.fields.iter().map(header_field).collect();
            if single && headers.is_empty() {
                headers.clone_from(&fields.headers);
            }
            fields.parts.push(PartOctets {
                headers,
                octets: if part.is_known_good() { &[] } else { &part.decoded },
                file_type: if wanted.file_types { part.file_type() } else { FileType::Unknown },
                html: part.is_html(),
                text: part.is_text(),
            });
        }
        fields
    }
}

fn header_field<'a>(field: &'a crate::message::Field<'_>) -> HeaderField<'a> {
    HeaderField { name: &field.name, raw: &field.raw_value, value: &field.value }
}
